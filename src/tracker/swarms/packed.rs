//! Swarms as bytes: which of them changed and wait to be written, and how they come back.

use super::{Swarms, note};
use crate::core::id::InfoHash;
use crate::core::limits::{ADDRESS_PEERS_MAX, PARKED_SWARMS_MAX};
use crate::core::store::SwarmPart;
use crate::core::time::Time;
use crate::tracker::record::{LastKnown, PeerKey};
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

    /// The next swarm to write: its parts into `out`, one empty part if there is nobody in it.
    pub fn changed(&mut self, out: &mut Vec<SwarmPart>) -> Option<InfoHash> {
        let hash = self.changes.take()?;
        let place = self.table.place(hash);
        if let Some(swarm) = place.and_then(|place| self.table.at_mut(place)) {
            swarm.noted = false;
        }
        match place.and_then(|place| self.table.at(place)) {
            None => out.push(SwarmPart { hash, part: 0, last: true, packed: Vec::new() }),
            Some(swarm) => swarm.pack(self.table.arenas(), out),
        }
        Some(hash)
    }

    /// What [`Swarms::changed`] gave could not be written.
    pub fn unwritten(&mut self, hash: InfoHash) {
        let place = self.table.place(hash);
        match place.and_then(|place| self.table.at_mut(place)) {
            None => drop(self.changes.note(hash, self.bounds.peers)),
            Some(swarm) => note(&mut self.changes, swarm, self.bounds.peers),
        }
    }

    /// How many downloads of a swarm an earlier run counted, while there is room to know it. Comes
    /// after [`Swarms::restore`].
    pub fn remember_completed(&mut self, hash: InfoHash, completed: u32) {
        let place = self.table.place(hash);
        if let Some(swarm) = place.and_then(|place| self.table.at_mut(place)) {
            return swarm.remember(completed);
        }
        let room = self.peers + self.parked.len() < self.bounds.peers
            && self.parked.len() < PARKED_SWARMS_MAX;
        if completed == 0 || !room {
            return self.forget_count(hash);
        }
        self.table.insert(Swarm::remembered(hash, completed));
        self.parked.push(None, hash);
    }

    /// Takes peers back that an earlier run packed, with the time they have left: these. Those that
    /// are over, or for whom there is no room, are left out; nothing is told of the others.
    pub fn restore(&mut self, now: Time, part: &SwarmPart) -> Vec<LastKnown> {
        let now_s = self.now_s(now);
        let known = self.table.place(part.hash);
        let (hash, there) = (part.hash, known.and_then(|place| self.table.at(place)));
        let room = self.bounds.peers.saturating_sub(self.peers);
        let here = there.map_or(0, Swarm::len);
        let room = room.min(self.bounds.swarm_peers.saturating_sub(here));
        let place = known.unwrap_or_else(|| self.table.insert(Swarm::new(hash, now_s)));
        let mut peers: Vec<LastKnown> = Vec::new();
        let (changes, most) = (&mut self.changes, self.bounds.peers);
        let (active, shares, bounds) = (&mut self.active, &mut self.shares, &self.bounds);
        // What an earlier run took in may be more than one source may have in this one.
        let mut may_enter = |key: PeerKey, beside: usize| {
            let source = Source::limited(key.ip(), bounds.public);
            let fits = source.is_none()
                || (beside < ADDRESS_PEERS_MAX && shares.of(source) < bounds.source_entries);
            if fits {
                shares.add(source);
            }
            fits
        };
        let unwanted = self.table.change(place, |swarm, arenas| {
            let was_empty = swarm.is_empty();
            let whole =
                swarm.unpack(&part.packed, (now_s, room), arenas, &mut peers, &mut may_enter);
            *active += usize::from(was_empty && !swarm.is_empty());
            if whole.is_none() {
                // What is written is not what is there.
                note(changes, swarm, most);
            }
            swarm.is_empty() && !swarm.parked
        });
        if unwanted == Some(true) {
            self.table.remove(hash);
            self.changes.note(hash, self.bounds.peers);
        }
        self.peers += peers.len();
        for LastKnown { peer, .. } in &peers {
            self.moved(hash, peer.key, None, Some(peer.complete));
        }
        self.unpark();
        peers
    }
}
