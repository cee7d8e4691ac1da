//! The table of swarms: who announced what. Counters are kept as peers come and go, never
//! recounted, and a node that announces one content under two info-hashes is counted once.

use super::counts::{Counts, Standing};
use super::interval::{self, Asker as Rhythm};
use super::pairs::{Pair, Pairs};
use super::source::public_source;
use super::swarm::{Asker, Peer, PeerKey, Swarm};
use crate::core::fault::Refusal;
use crate::core::id::{InfoHash, PeerId};
use crate::core::rng::Rng;
use crate::core::time::Time;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Peers in all swarms together: about 100 bytes each.
pub const PEERS_MAX: usize = 4_000_000;
/// Peers of one swarm.
pub const SWARM_PEERS_MAX: usize = 20_000;
/// Entries of one public address (or IPv6 /64) in all swarms together.
pub const ADDRESS_ENTRIES_MAX: u32 = 4096;
/// Peers of one public address in one swarm.
pub const ADDRESS_PEERS_MAX: usize = 8;

/// One announce, as far as the table cares.
#[derive(Clone, Copy, Debug)]
pub struct Announce {
    pub hash: InfoHash,
    pub key: PeerKey,
    pub id: PeerId,
    pub complete: bool,
    pub stopped: bool,
}

/// What became of one peer.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    pub hash: InfoHash,
    pub key: PeerKey,
    /// As a member of the content, which may have a second info-hash.
    pub before: Standing,
    pub after: Standing,
    /// A download was finished, for the first time.
    pub finished: bool,
    /// The swarm got its first complete peer, or lost its last.
    pub source_changed: bool,
    /// The content's counts afterwards.
    pub counts: Counts,
}

/// The answer to an announce.
#[derive(Clone, Copy, Debug)]
pub struct Announced {
    pub moved: Moved,
    /// Who gave way, where the swarm was full.
    pub replaced: Option<Moved>,
    /// Seconds until the next announce.
    pub interval_s: u64,
}

/// Most peers of the table and of one swarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    pub peers: usize,
    pub swarm_peers: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { peers: PEERS_MAX, swarm_peers: SWARM_PEERS_MAX }
    }
}

enum Room {
    Free,
    Replace(PeerKey),
    /// The newcomer is answered and not listed.
    None,
}

fn refuse(what: &'static str) -> Refusal {
    // An error of BEP 15 has no code.
    Refusal { code: 0, what }
}

#[derive(Debug)]
pub struct Swarms {
    bounds: Bounds,
    table: BTreeMap<InfoHash, Swarm>,
    pairs: Pairs,
    /// Entries per public address.
    entries: BTreeMap<IpAddr, u32>,
    peers: usize,
    /// Nodes, each once per content.
    nodes: Counts,
    rng: Rng,
    /// Where the sweep goes on: swarm and slot.
    sweep_at: Option<(InfoHash, usize)>,
}

impl Swarms {
    pub fn new(rng: Rng, bounds: Bounds) -> Swarms {
        Swarms {
            bounds,
            table: BTreeMap::new(),
            pairs: Pairs::default(),
            entries: BTreeMap::new(),
            peers: 0,
            nodes: Counts::default(),
            rng,
            sweep_at: None,
        }
    }

    pub fn peers(&self) -> usize {
        self.peers
    }

    /// Swarms with at least one peer.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Nodes by state, each once per content.
    pub fn nodes(&self) -> Counts {
        self.nodes
    }

    /// The counts of one swarm, and how many downloads finished in it (BEP 15 scrape).
    pub fn scrape(&self, hash: InfoHash) -> (Counts, u32) {
        let Some(swarm) = self.table.get(&hash) else { return Default::default() };
        let counts = Counts { complete: swarm.complete(), incomplete: swarm.incomplete() };
        (counts, swarm.completed)
    }

    /// The counts of a content with the given identities, each node once.
    pub fn counts(&self, v1: Option<InfoHash>, v2: Option<InfoHash>) -> Counts {
        let of = |hash: Option<InfoHash>| hash.map(|h| self.scrape(h).0).unwrap_or_default();
        match (v1, v2) {
            (Some(one), Some(other)) if one != other => match self.pairs.of(one, other) {
                Some(pair) => pair.counts,
                // One of the two belongs to another pair: the larger swarm is the better guess.
                None => {
                    let (a, b) = (of(v1), of(v2));
                    if a.complete + a.incomplete >= b.complete + b.incomplete { a } else { b }
                }
            },
            _ => of(v1.or(v2)),
        }
    }

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
        for (key, complete) in self.table.get(&one).iter().flat_map(|swarm| swarm.addrs()) {
            let there = self.complete_in(Some(other), key);
            counts.moved(Standing::Absent, Standing::of(Some(complete), there));
        }
        for (key, complete) in self.table.get(&other).iter().flat_map(|swarm| swarm.addrs()) {
            if self.complete_in(Some(one), key).is_none() {
                counts.moved(Standing::Absent, Standing::of(Some(complete), None));
            }
        }
        counts
    }

    fn complete_in(&self, hash: Option<InfoHash>, key: PeerKey) -> Option<bool> {
        Some(self.table.get(&hash?)?.get(key)?.complete)
    }

    /// Whether a peer is in a swarm.
    pub fn holds(&self, hash: InfoHash, key: PeerKey) -> bool {
        self.table.get(&hash).is_some_and(|swarm| swarm.get(key).is_some())
    }

    /// Takes an announce.
    pub fn announce(&mut self, now: Time, news: &Announce) -> Result<Announced, Refusal> {
        let here = self.table.get(&news.hash).and_then(|swarm| swarm.get(news.key));
        let before = here.map(|peer| peer.complete);
        let (age, size) = match self.table.get(&news.hash) {
            Some(swarm) => (now.since(swarm.born), swarm.len() as u64),
            None => (crate::core::time::Span::ZERO, 0),
        };
        let rhythm = Rhythm { lmk: news.id.is_lmk(), complete: news.complete };
        let seconds = interval::interval_s(rhythm, age, size, self.peers as u64);
        let expires = now + interval::expiry(rhythm.lmk, seconds);
        let mut replaced = None;
        let done = |moved, replaced| Ok(Announced { moved, replaced, interval_s: seconds });
        if news.stopped {
            return done(self.remove(news.hash, news.key), replaced);
        }
        if before.is_none() {
            match self.admit(news)? {
                Room::Free => {}
                Room::Replace(key) => replaced = Some(self.remove(news.hash, key)),
                Room::None => return done(self.unmoved(news.hash, news.key), replaced),
            }
        }
        let swarm = self.table.entry(news.hash).or_insert_with(|| Swarm::new(now));
        let sources = swarm.complete();
        let mut finished = false;
        if before.is_some() {
            finished = swarm.refresh(news.key, news.id, news.complete, expires);
        } else {
            swarm.insert(news.key, news.id, news.complete, expires);
            self.peers += 1;
            if let Some(source) = public_source(news.key.ip()) {
                *self.entries.entry(source).or_default() += 1;
            }
        }
        let source_changed = (sources == 0) != (swarm.complete() == 0);
        let mut moved = self.moved(news.hash, news.key, before, Some(news.complete));
        (moved.finished, moved.source_changed) = (finished, source_changed);
        done(moved, replaced)
    }

    /// Offers live peers to an asker until `take` has what it wants.
    pub fn sample(
        &mut self,
        now: Time,
        hash: InfoHash,
        asker: &Asker,
        take: &mut dyn FnMut(&Peer) -> bool,
    ) {
        if let Some(swarm) = self.table.get_mut(&hash) {
            swarm.sample(now, asker, &mut self.rng, take);
        }
    }

    /// Removes a peer; nothing happens when it is not there.
    pub fn remove(&mut self, hash: InfoHash, key: PeerKey) -> Moved {
        let Some(swarm) = self.table.get_mut(&hash) else { return self.unmoved(hash, key) };
        let sources = swarm.complete();
        let Some(peer) = swarm.remove(key) else { return self.unmoved(hash, key) };
        let source_changed = sources > 0 && swarm.complete() == 0;
        if swarm.is_empty() {
            self.table.remove(&hash);
        }
        self.peers = self.peers.saturating_sub(1);
        if let Some(source) = public_source(key.ip())
            && let Some(count) = self.entries.get_mut(&source)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.entries.remove(&source);
            }
        }
        let mut moved = self.moved(hash, key, Some(peer.complete), None);
        moved.source_changed = source_changed;
        moved
    }

    /// Looks at up to `slots` places for peers whose time is over and removes them into `gone`,
    /// going on where the last sweep ended.
    pub fn sweep(&mut self, now: Time, mut slots: usize, gone: &mut Vec<Moved>) {
        let mut over = Vec::new();
        let mut rounds = self.table.len();
        while slots > 0 && rounds > 0 {
            let from = self.sweep_at.unwrap_or((InfoHash([0; 20]), 0));
            let Some((&hash, swarm)) = self.table.range(from.0..).next() else {
                if self.sweep_at.take().is_none() {
                    break;
                }
                continue;
            };
            let first = if hash == from.0 { from.1 } else { 0 };
            let next = swarm.expired(now, first, slots, &mut over);
            slots = slots.saturating_sub(swarm.len().max(1));
            self.sweep_at = match next {
                Some(slot) => Some((hash, slot)),
                None => successor(hash).map(|after| (after, 0)),
            };
            rounds -= usize::from(next.is_none());
            for key in over.drain(..) {
                gone.push(self.remove(hash, key));
            }
        }
    }

    /// Whether a peer that is not in the swarm may enter. A full swarm makes room by replacing one
    /// that has not settled.
    fn admit(&mut self, news: &Announce) -> Result<Room, Refusal> {
        let swarm = self.table.get(&news.hash);
        if let Some(source) = public_source(news.key.ip()) {
            if self.entries.get(&source).copied().unwrap_or(0) >= ADDRESS_ENTRIES_MAX {
                return Err(refuse("too many torrents from your address"));
            }
            let there = swarm.map(|s| s.of_address(news.key.ip(), ADDRESS_PEERS_MAX));
            if there.unwrap_or(0) >= ADDRESS_PEERS_MAX {
                return Err(refuse("too many peers from your address"));
            }
        }
        let full = self.peers >= self.bounds.peers;
        if !full && swarm.is_none_or(|swarm| swarm.len() < self.bounds.swarm_peers) {
            return Ok(Room::Free);
        }
        match swarm.and_then(|swarm| swarm.replaceable(&mut self.rng)) {
            Some(key) => Ok(Room::Replace(key)),
            None if full => Err(refuse("tracker is full, try later")),
            None => Ok(Room::None),
        }
    }

    fn unmoved(&self, hash: InfoHash, key: PeerKey) -> Moved {
        let twin = self.complete_in(self.pairs.twin(hash), key);
        let standing = Standing::of(self.complete_in(Some(hash), key), twin);
        Moved {
            hash,
            key,
            before: standing,
            after: standing,
            finished: false,
            source_changed: false,
            counts: self.content(hash),
        }
    }

    fn moved(
        &mut self,
        hash: InfoHash,
        key: PeerKey,
        old: Option<bool>,
        new: Option<bool>,
    ) -> Moved {
        let twin = self.complete_in(self.pairs.twin(hash), key);
        let (before, after) = (Standing::of(old, twin), Standing::of(new, twin));
        self.nodes.moved(before, after);
        if let Some(Pair { counts, .. }) = self.pairs.of_mut(hash) {
            counts.moved(before, after);
        }
        Moved { before, after, ..self.unmoved(hash, key) }
    }

    /// The counts of the content that `hash` belongs to.
    fn content(&self, hash: InfoHash) -> Counts {
        match self.pairs.twin(hash) {
            Some(twin) => self.pairs.of(hash, twin).map(|pair| pair.counts).unwrap_or_default(),
            None => self.scrape(hash).0,
        }
    }
}

/// The info-hash that follows in order; `None` after the last.
fn successor(InfoHash(mut bytes): InfoHash) -> Option<InfoHash> {
    for byte in bytes.iter_mut().rev() {
        let (next, carry) = byte.overflowing_add(1);
        *byte = next;
        if !carry {
            return Some(InfoHash(bytes));
        }
    }
    None
}
