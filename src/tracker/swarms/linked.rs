//! Two swarms that are one content: how many nodes it has under either hash.

use super::Swarms;
use crate::core::id::InfoHash;
use crate::tracker::counts::{Counts, Standing};

impl Swarms {
    /// From now on the two hashes are one content for the counts, unless one of them already
    /// belongs to another pair.
    pub fn link(&mut self, one: InfoHash, other: InfoHash) {
        let union = self.union(one, other);
        let sum = self.sum(one, other);
        if self.pairs.link(one, other, union) {
            self.exchange(sum, union);
        }
    }

    /// Takes back [`Swarms::link`].
    pub fn unlink(&mut self, one: InfoHash, other: InfoHash) {
        let sum = self.sum(one, other);
        if let Some(union) = self.pairs.unlink(one, other) {
            self.exchange(union, sum);
        }
    }

    fn exchange(&mut self, old: Counts, new: Counts) {
        let nodes = &mut self.nodes;
        nodes.complete = (nodes.complete + new.complete).saturating_sub(old.complete);
        nodes.incomplete = (nodes.incomplete + new.incomplete).saturating_sub(old.incomplete);
    }

    fn sum(&self, one: InfoHash, other: InfoHash) -> Counts {
        let (a, b) = (self.scrape(one).0, self.scrape(other).0);
        Counts { complete: a.complete + b.complete, incomplete: a.incomplete + b.incomplete }
    }

    fn union(&self, one: InfoHash, other: InfoHash) -> Counts {
        let mut counts = Counts::default();
        let arenas = self.table.arenas();
        for peer in self.table.get(one).iter().flat_map(|swarm| swarm.peers(arenas)) {
            let there = self.complete_in(Some(other), peer.key);
            counts.moved(Standing::Absent, Standing::of(Some(peer.complete), there));
        }
        for peer in self.table.get(other).iter().flat_map(|swarm| swarm.peers(arenas)) {
            if self.complete_in(Some(one), peer.key).is_none() {
                counts.moved(Standing::Absent, Standing::of(Some(peer.complete), None));
            }
        }
        counts
    }
}
