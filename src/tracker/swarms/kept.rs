//! What of the table of swarms outlives a run: peers with the time they have left, and how many
//! downloads were finished.

use super::super::source::public_source;
use super::super::swarm::{Peer, PeerKey, Swarm};
use super::{Moved, Swarms, swarm_of};
use crate::core::id::{InfoHash, PeerId};
use crate::core::time::Time;

/// Swarms without peers whose finished downloads are remembered: 32 MB.
pub const PAST_MAX: usize = 500_000;

/// A peer as an earlier run knew it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    pub key: PeerKey,
    pub id: PeerId,
    pub complete: bool,
    pub counted: bool,
    pub expires: Time,
}

impl Swarms {
    /// How many downloads of a swarm without peers were finished in its earlier life. The oldest
    /// hashes give way to nobody: beyond the bound a count is forgotten with its last peer.
    pub fn remember_finished(&mut self, hash: InfoHash, completed: u32) {
        if completed > 0 && self.past.len() < PAST_MAX {
            self.past.insert(hash, completed);
        }
    }

    /// The peers of a swarm, in the order of their addresses.
    pub fn peers_of(&self, hash: InfoHash) -> impl Iterator<Item = &Peer> {
        self.table.get(&hash).into_iter().flat_map(Swarm::in_order)
    }

    /// Puts a peer of an earlier run back, while there is room; what that changed.
    pub fn restore(&mut self, now: Time, hash: InfoHash, kept: &Kept) -> Option<Moved> {
        if self.peers >= self.bounds.peers {
            return None;
        }
        let swarm = swarm_of(&mut self.table, &mut self.past, now, hash);
        if swarm.len() >= self.bounds.swarm_peers || swarm.get(kept.key).is_some() {
            return None;
        }
        let sources = swarm.complete();
        swarm.insert(kept.key, kept.id, kept.complete, kept.expires);
        swarm.settle(kept.key, kept.counted);
        let source_changed = sources == 0 && kept.complete;
        self.peers += 1;
        if let Some(source) = public_source(kept.key.ip()) {
            *self.entries.entry(source).or_default() += 1;
        }
        let mut moved = self.moved(hash, kept.key, None, Some(kept.complete));
        moved.source_changed = source_changed;
        Some(moved)
    }
}
