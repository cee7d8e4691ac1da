//! The picture of all fetches together, with a row for each.

use super::{Fetch, Several};
use crate::core::io::Role;
use crate::core::report::{FetchRow, Snapshot, Transfer, counted, escaped, foreign};
use crate::core::time::Time;
use crate::node::plan::{Job, NodePlan, Pin, TorrentFrom};
use std::os::unix::ffi::OsStrExt;

/// Reasons to wait that are told at a time.
const WAITING_MAX: usize = 3;
/// Digits of a pin that tell one content from another.
const PIN_DIGITS: usize = 8;

/// What a fetch is called: as it was typed, shortened.
pub(super) fn label(plan: &NodePlan) -> String {
    match (plan.torrent().map(|torrent| &torrent.from), &plan.job) {
        (Some(TorrentFrom::File(path, _)), _) => {
            escaped(path.file_name().unwrap_or(path.as_os_str()).as_bytes())
        }
        (Some(TorrentFrom::Magnet(magnet)), _) => foreign(&magnet.link.shown_name()),
        (None, Job::Fetch(fetch)) => {
            let name = foreign(&fetch.want.name);
            match &fetch.want.pin {
                Some(Pin::Hash(digits)) => {
                    format!("{name}@{}", digits.get(..PIN_DIGITS).unwrap_or(digits))
                }
                _ => name,
            }
        }
        (None, Job::Seed(seed)) => escaped(&seed.file_name),
    }
}

impl Several {
    pub(super) fn picture(&self, now: Time) -> Snapshot {
        let mut all = Snapshot { phase: "complete", ..Snapshot::default() };
        let mut total = Transfer::default();
        let mut waiting = Vec::new();
        for fetch in &self.fetches {
            let mut one = fetch.picture(now);
            let transfer = one.transfer.unwrap_or_default();
            add(&mut total, &transfer);
            all.peers.append(&mut one.peers);
            if fetch.node.is_some() && (all.phase != "downloading" || one.phase == all.phase) {
                all.phase = one.phase;
            }
            waiting.extend(one.waiting);
            let (want, complete) = (fetch.label.clone(), fetch.complete);
            all.fetches.push(FetchRow { want, phase: one.phase, complete, transfer });
        }
        waiting.truncate(WAITING_MAX);
        all.waiting = (!waiting.is_empty()).then(|| waiting.join("; "));
        total.name = counted(self.fetches.len() as u64, "content");
        all.transfer = Some(total);
        all
    }
}

impl Fetch {
    fn picture(&self, now: Time) -> Snapshot {
        if let Some(node) = &self.node {
            return node.snapshot(now);
        }
        let phase = if self.complete { "complete" } else { "failed" };
        let last = Transfer { rate_down: 0, rate_up: 0, sources: [0; 3], ..self.last.clone() };
        Snapshot { phase, transfer: Some(last), ..Snapshot::default() }
    }
}

fn add(total: &mut Transfer, one: &Transfer) {
    for (all, one) in [
        (&mut total.size, one.size),
        (&mut total.done, one.done),
        (&mut total.rate_down, one.rate_down),
        (&mut total.rate_up, one.rate_up),
        (&mut total.downloaded, one.downloaded),
        (&mut total.uploaded, one.uploaded),
    ] {
        *all = all.saturating_add(one);
    }
    for (all, one) in total.sources.iter_mut().zip(one.sources) {
        *all = all.saturating_add(one);
    }
}
