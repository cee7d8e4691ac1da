//! The plans of several fetches in one process: what each is told, and what there is for all.

use super::machine::Machine;
use super::planned::{absolute, fetch_node};
use super::typed::{Fetch, Peer};
use crate::core::fault::Fatal;
use crate::core::report::{Ending, foreign};
use crate::node::plan::{Job, NodePlan};
use std::io;
use std::net::SocketAddr;

/// Descriptors kept back from connections for each fetch: the files of a folder that are open at a
/// time, the part file and its journal, and the way to the tracker.
const DESCRIPTORS_EACH: u64 = 68;
/// Descriptors kept back for everything else.
const DESCRIPTORS_KEPT: u64 = 96;

/// The plans, in the order of the command line.
pub(super) fn plans(
    fetches: Vec<Fetch>,
    mut peer: Peer,
    machine: &Machine,
    resolve: &impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> Result<Vec<NodePlan>, Fatal> {
    if let Some(out) = fetches.iter().find_map(|fetch| fetch.out.as_ref())
        && !(machine.is_folder)(&absolute(out, machine))
    {
        let shown = foreign(&out.to_string_lossy());
        let line = format!("--out '{shown}': several wants need a folder that is there; make it");
        return Err(Fatal { ending: Ending::Usage, line });
    }
    let most = connections(machine.descriptors, fetches.len());
    peer.terms.conversations_max = peer.terms.conversations_max.min(most);
    let plan = |fetch| {
        let mut plan = fetch_node(fetch, peer.clone(), machine, resolve)?;
        if let Job::Fetch(fetch) = &mut plan.job {
            fetch.out_must_be_directory = fetch.out.is_some();
        }
        Ok(plan)
    };
    fetches.into_iter().map(plan).collect()
}

/// Connections that so many fetches may have together.
fn connections(descriptors: u64, count: usize) -> usize {
    let kept = DESCRIPTORS_KEPT.saturating_add(DESCRIPTORS_EACH.saturating_mul(count as u64));
    let most = descriptors.saturating_sub(kept).max(descriptors / 2);
    usize::try_from(most).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_descriptors_and_connections_at_least_half_of_them() {
        assert_eq!(connections(65_536, 2), 65_536 - 96 - 2 * 68);
        assert_eq!(connections(1024, 64), 512);
        assert_eq!(connections(1024, 3), 1024 - 96 - 3 * 68);
    }
}
