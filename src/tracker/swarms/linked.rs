//! Two swarms that are one content: how many nodes it has under either hash.

use super::Swarms;
use crate::core::id::InfoHash;
use crate::tracker::counts::{Counts, Standing};
use crate::tracker::pairs::Claim;

impl Swarms {
    /// From now on the two hashes are one content for the counts, unless one of them already
    /// belongs to another pair. How many peers were looked at for it; `None` if it is not believed.
    /// What is believed is to be taken back once, with [`Swarms::unlink`].
    pub fn link(&mut self, one: InfoHash, other: InfoHash) -> Option<usize> {
        match self.pairs.claim(one, other) {
            Claim::Refused => None,
            Claim::Again => Some(0),
            Claim::New => {
                let sum = self.sum(one, other);
                let (union, looked) = self.union(one, other);
                self.pairs.link(one, other, union);
                self.exchange(sum, union);
                Some(looked)
            }
        }
    }

    /// The other hash of the same content.
    pub fn twin(&self, hash: InfoHash) -> Option<InfoHash> {
        self.pairs.twin(hash)
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

    /// How many nodes there are under either hash, and how many were looked at: those of the
    /// smaller swarm, for nobody but them can be in both.
    fn union(&self, one: InfoHash, other: InfoHash) -> (Counts, usize) {
        let len = |hash| self.table.get(hash).map_or(0, |swarm| swarm.len());
        let (small, large) = if len(one) <= len(other) { (one, other) } else { (other, one) };
        let mut counts = self.sum(one, other);
        let arenas = self.table.arenas();
        for peer in self.table.get(small).iter().flat_map(|swarm| swarm.peers(arenas)) {
            if let Some(there) = self.complete_in(Some(large), peer.key) {
                let here = Some(peer.complete);
                counts.moved(Standing::of(here, None), Standing::Absent);
                counts.moved(Standing::of(Some(there), None), Standing::of(here, Some(there)));
            }
        }
        (counts, len(small))
    }
}
