//! Who may enter: the limits of the table, and who gives way to a newcomer.

use super::lists::CONNECTIONS_MAX;
use super::record::{PeerKey, SETTLED};
use super::shares::Shares;
use super::source::Source;
use super::swarm::Swarm;
use super::table::Table;
use crate::core::fault::Refusal;
use crate::core::id::InfoHash;
use crate::core::limits;
use crate::core::rng::Rng;

/// Peers looked at for one that gives way.
const TRIES: usize = 8;
/// Swarms looked at for one when all the table is full.
const TRIES_ALL: usize = 64;
/// Places drawn for them: where many swarms went, most places have none.
const DRAWS_MAX: usize = 2048;

/// The most of everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Peers of the table.
    pub peers: usize,
    pub swarm_peers: usize,
    /// Entries of one limited source in all swarms together.
    pub source_entries: u32,
    /// Limits per address count for private addresses too.
    pub public: bool,
    /// Seconds of the longest interval given.
    pub interval_s: u64,
    /// TCP connections, those promised to ticket holders included.
    pub connections: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            peers: limits::TRACKED_PEERS_MAX,
            swarm_peers: limits::SWARM_PEERS_MAX,
            source_entries: limits::ADDRESS_TORRENTS_MAX,
            public: false,
            interval_s: limits::INTERVAL_MAX.as_secs(),
            connections: CONNECTIONS_MAX,
        }
    }
}

/// What a newcomer finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    Free,
    /// This one gives way.
    Replace(InfoHash, PeerKey),
    /// The newcomer is answered and not listed.
    None,
}

/// What admission looks at.
#[derive(Debug)]
pub struct Gate<'a> {
    pub bounds: &'a Bounds,
    pub table: &'a Table,
    pub shares: &'a Shares,
    pub rng: &'a mut Rng,
    /// Peers of the table.
    pub peers: usize,
}

impl Gate<'_> {
    /// Whether a peer that is not in the swarm may enter. A full swarm makes room by replacing one
    /// that has not settled, a full table by replacing one whose source has more entries than the
    /// newcomer's: never one whose source has fewer.
    pub fn admit(&mut self, hash: InfoHash, key: PeerKey) -> Result<Room, Refusal> {
        let swarm = self.table.get(hash);
        let source = Source::limited(key.ip(), self.bounds.public);
        let share = self.shares.of(source);
        if source.is_some() && share >= self.bounds.source_entries {
            crate::mark!("B12");
            return Err(refuse("too many torrents from your address"));
        }
        let here = swarm.map_or(0, |swarm| swarm.of_source(key.ip(), self.table.arenas()));
        if source.is_some() && here >= limits::ADDRESS_PEERS_MAX {
            return Err(refuse("too many peers from your address"));
        }
        let full = self.peers >= self.bounds.peers;
        let swarm_full = swarm.is_some_and(|swarm| swarm.len() >= self.bounds.swarm_peers);
        if !full && !swarm_full {
            return Ok(Room::Free);
        }
        let gives_way = match (swarm, swarm_full) {
            (Some(swarm), true) => self.newcomer_of(swarm, share),
            _ => self.greedier(share).or_else(|| self.newcomer_of(swarm?, share)),
        };
        match gives_way {
            Some((hash, key)) => Ok(Room::Replace(hash, key)),
            None if full => Err(refuse("tracker is full, try later")),
            None => Ok(Room::None),
        }
    }

    fn share_of(&self, key: PeerKey) -> u32 {
        self.shares.of(Source::limited(key.ip(), self.bounds.public))
    }

    /// A peer of the swarm that was not heard often enough to keep its place.
    fn newcomer_of(&mut self, swarm: &Swarm, share: u32) -> Option<(InfoHash, PeerKey)> {
        (0..TRIES).find_map(|_| {
            let (key, heard) = swarm.any(self.rng, self.table.arenas())?;
            let gives = heard < SETTLED && self.share_of(key) >= share;
            if gives {
                crate::mark!("B13");
            }
            gives.then_some((swarm.hash, key))
        })
    }

    /// Any peer whose source has more entries than the newcomer's would have.
    fn greedier(&mut self, share: u32) -> Option<(InfoHash, PeerKey)> {
        let places = self.table.places() as u64;
        let mut found: Option<(u32, InfoHash, PeerKey)> = None;
        let (mut draws, mut looks) = (0, 0);
        while draws < DRAWS_MAX && looks < TRIES_ALL {
            draws += 1;
            let Some(swarm) = self.table.at(self.rng.below(places) as usize) else { continue };
            let Some((key, _)) = swarm.any(self.rng, self.table.arenas()) else { continue };
            looks += 1;
            let other = self.share_of(key);
            if other > share + 1 && found.is_none_or(|(most, ..)| other > most) {
                found = Some((other, swarm.hash, key));
            }
        }
        found.map(|(_, hash, key)| (hash, key))
    }
}

fn refuse(what: &'static str) -> Refusal {
    // An error of BEP 15 has no code.
    Refusal { code: 0, what }
}
