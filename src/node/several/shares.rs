//! What holds for a process is shared out among its fetches: connections, memory and rates.

use super::owners::Owners;
use super::said::Said;
use super::sockets::Sockets;
use super::{Fetch, Several, picture};
use crate::core::limits::{FETCHES_MAX, FETCHES_PAGES_BYTES_MAX, PAGES_BYTES_MAX};
use crate::core::report::Transfer;
use crate::core::rng::Rng;
use crate::core::throttle::Limit;
use crate::node::Node;
use crate::node::lobby::Lobby;
use crate::node::plan::NodePlan;
use crate::peer::Encrypting;
use std::cell::Cell;
use std::num::NonZeroU64;

/// The rates of all of them together.
#[derive(Debug, Default)]
pub(super) struct Shares {
    up: Limit,
    down: Limit,
}

impl Shares {
    /// The rates, up and down, of each of so many.
    pub fn among(&self, count: usize) -> (Limit, Limit) {
        (share(self.up, count), share(self.down, count))
    }
}

fn share(limit: Limit, count: usize) -> Limit {
    let share = |rate: NonZeroU64| NonZeroU64::new(rate.get() / count.max(1) as u64);
    limit.map(|rate| share(rate).unwrap_or(NonZeroU64::MIN))
}

impl Several {
    /// The plans of fetches, in their order, [`FETCHES_MAX`] at the most; each as if it were alone.
    /// Encryption, secrets and rates are those of the first.
    pub fn new(plans: Vec<NodePlan>) -> Several {
        let count = plans.len().max(1);
        let sockets = Sockets::of(&plans);
        let (mut shares, mut lobby) = (Shares::default(), Lobby::default());
        let (mut rng, mut encrypting) = (Rng::new(0), Encrypting::default());
        if let Some(plan) = plans.first() {
            rng = Rng::new(plan.seed);
            encrypting = Encrypting::new(plan.encryption, &plan.secret, rng.fork(0x35e));
            lobby = Lobby::new(encrypting.fork());
            shares = Shares { up: plan.terms.limit_up, down: plan.terms.limit_down };
        }
        let (up, down) = shares.among(count);
        let fetches = plans.into_iter().take(FETCHES_MAX).map(|mut plan| {
            plan.seed = rng.next_u64();
            plan.terms.conversations_max = (plan.terms.conversations_max / count).max(1);
            plan.terms.pages_bytes = PAGES_BYTES_MAX.min(FETCHES_PAGES_BYTES_MAX / count as u64);
            (plan.terms.limit_up, plan.terms.limit_down) = (up, down);
            let label = picture::label(&plan);
            let mut node = Node::new(plan);
            // No two of them may choose the same keys.
            node.shared.encrypting = encrypting.fork();
            Fetch {
                label,
                node: Some(node),
                last: Transfer::default(),
                deadline: Cell::new(None),
                complete: false,
                ending: None,
            }
        });
        Several {
            fetches: fetches.collect(),
            owners: Owners::default(),
            sockets,
            lobby,
            said: Said::default(),
            shares,
        }
    }
}

impl Node {
    /// From now on no more than so much a second, up and down.
    pub(super) fn limit(&mut self, (up, down): (Limit, Limit)) {
        let terms = &mut self.shared.plan.terms;
        if (terms.limit_up, terms.limit_down) == (up, down) {
            return;
        }
        (terms.limit_up, terms.limit_down) = (up, down);
        if let Some(swarm) = &mut self.shared.swarm {
            swarm.limit(up, down);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_shared_out_and_never_none_at_all() {
        let of = |rate: Option<u64>, count| {
            share(rate.and_then(NonZeroU64::new), count).map(NonZeroU64::get)
        };
        assert_eq!((of(Some(900), 3), of(Some(900), 1)), (Some(300), Some(900)));
        assert_eq!((of(Some(2), 3), of(None, 3)), (Some(1), None));
    }
}
