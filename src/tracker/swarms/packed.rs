//! Swarms as bytes: which of them changed and wait to be written, and how they come back.

use super::{Swarms, note};
use crate::core::id::InfoHash;
use crate::core::time::Time;
use crate::tracker::record::Peer;
use crate::tracker::source::Source;
use crate::tracker::swarm::Swarm;

impl Swarms {
    /// From now on it is noted which swarms change, for [`Swarms::changed`].
    pub fn note_changes(&mut self) {
        self.changes.keep();
    }

    /// Swarms that changed and were not written since.
    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    /// The next swarm to write: its hash, and whether it is still there, then packed into `bytes`.
    pub fn changed(&mut self, bytes: &mut Vec<u8>) -> Option<(InfoHash, bool)> {
        let hash = self.changes.take()?;
        let place = self.table.place(hash);
        let Some(swarm) = place.and_then(|place| self.table.at_mut(place)) else {
            return Some((hash, false));
        };
        swarm.noted = false;
        swarm.pack(bytes);
        Some((hash, true))
    }

    /// Takes a swarm back that an earlier run packed; false when the bytes are no swarm, there is
    /// no room, or it is there already. Peers that were silent for longer than `absent_s` beyond
    /// their time are left
    /// out; nothing is told of the others.
    pub fn restore(&mut self, now: Time, hash: InfoHash, bytes: &[u8], absent_s: u32) -> bool {
        let keyed = *self.table.keyed();
        let now_s = self.now_s(now);
        let Some(mut swarm) = Swarm::unpack(hash, bytes, (now_s, absent_s), &keyed) else {
            return false;
        };
        let room = self.bounds.peers.saturating_sub(self.peers);
        if swarm.len() > room || self.table.place(hash).is_some() {
            return false;
        }
        if swarm.is_empty() && swarm.completed == 0 {
            // Nothing is left of it: the store may forget it.
            self.changes.note(hash, self.bounds.peers);
            return true;
        }
        self.peers += swarm.len();
        swarm.parked = swarm.is_empty();
        // What was written says when they were heard before.
        note(&mut self.changes, &mut swarm, self.bounds.peers);
        let (parked, keys) = (swarm.parked, swarm.peers().collect::<Vec<Peer>>());
        self.table.insert(swarm);
        if parked {
            self.parked.push_back(hash);
            self.unpark();
        }
        for peer in keys {
            self.shares.add(Source::limited(peer.key.ip(), self.bounds.public));
            self.moved(hash, peer.key, None, Some(peer.complete));
        }
        true
    }
}
