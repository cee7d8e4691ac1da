//! One swarm: who announced under one info-hash, from where, and whether they have it all.

use super::mac::ip16;
use crate::core::id::PeerId;
use crate::core::rng::Rng;
use crate::core::time::Time;
use slab::Slab;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Identity of a peer within a swarm: its source address in 16 bytes, then the port it announced.
/// The id it calls itself by proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PeerKey([u8; 16], u16);

impl PeerKey {
    pub fn new(addr: SocketAddr) -> PeerKey {
        PeerKey(ip16(addr.ip()), addr.port())
    }

    pub fn ip(self) -> IpAddr {
        Ipv6Addr::from(self.0).to_canonical()
    }

    pub fn addr(self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.1)
    }

    fn is_v4(self) -> bool {
        self.ip().is_ipv4()
    }

    /// Every key of one address.
    fn all_of(ip: IpAddr) -> std::ops::RangeInclusive<PeerKey> {
        PeerKey(ip16(ip), 0)..=PeerKey(ip16(ip), u16::MAX)
    }
}

#[derive(Clone, Debug)]
pub struct Peer {
    pub key: PeerKey,
    pub id: PeerId,
    pub complete: bool,
    /// Its completion was counted, or it came complete: either way there is none to count.
    pub counted: bool,
    /// Announces heard, up to [`SETTLED`]: a settled peer is not replaced by a new one.
    pub heard: u8,
    pub expires: Time,
    /// Place in the list of its kind.
    place: u32,
}

/// Announces after which a peer keeps its place in a full swarm.
pub const SETTLED: u8 = 3;

#[derive(Clone, Debug)]
pub struct Swarm {
    pub born: Time,
    /// Downloads that were finished under our eyes.
    pub completed: u32,
    peers: Slab<Peer>,
    at: BTreeMap<PeerKey, u32>,
    /// Slots of the peers by kind: v4 incomplete, v4 complete, v6 incomplete, v6 complete. Their
    /// order is free, so that a sample can be drawn by shuffling the front in place.
    kinds: [Vec<u32>; 4],
}

fn kind(v4: bool, complete: bool) -> usize {
    usize::from(!v4) * 2 + usize::from(complete)
}

impl Swarm {
    pub fn new(born: Time) -> Swarm {
        Swarm {
            born,
            completed: 0,
            peers: Slab::new(),
            at: BTreeMap::new(),
            kinds: Default::default(),
        }
    }

    pub fn len(&self) -> usize {
        self.peers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Peers that have it all, both families.
    pub fn complete(&self) -> u32 {
        (self.kinds[1].len() + self.kinds[3].len()) as u32
    }

    pub fn incomplete(&self) -> u32 {
        (self.kinds[0].len() + self.kinds[2].len()) as u32
    }

    pub fn get(&self, key: PeerKey) -> Option<&Peer> {
        self.peers.get(*self.at.get(&key)? as usize)
    }

    /// How many peers announced from `ip`, counting no further than `most`.
    pub fn of_address(&self, ip: IpAddr, most: usize) -> usize {
        self.at.range(PeerKey::all_of(ip)).take(most).count()
    }

    pub fn addrs(&self) -> impl Iterator<Item = (PeerKey, bool)> {
        self.peers.iter().map(|(_, peer)| (peer.key, peer.complete))
    }

    pub fn in_order(&self) -> impl Iterator<Item = &Peer> {
        self.at.values().filter_map(|slot| self.peers.get(*slot as usize))
    }

    /// A peer that was known before this run keeps its place.
    pub fn settle(&mut self, key: PeerKey, counted: bool) {
        let slot = self.at.get(&key).copied().unwrap_or(u32::MAX);
        if let Some(peer) = self.peers.get_mut(slot as usize) {
            peer.counted |= counted;
            peer.heard = SETTLED;
        }
    }

    /// Adds a peer that is not there yet.
    pub fn insert(&mut self, key: PeerKey, id: PeerId, complete: bool, expires: Time) {
        let peer =
            Peer { key, id, complete, counted: complete, heard: 1, expires, place: u32::MAX };
        let slot = self.peers.insert(peer) as u32;
        self.at.insert(key, slot);
        self.list(slot);
    }

    /// An announce of a peer that is there. Returns whether it finished its download just now.
    pub fn refresh(&mut self, key: PeerKey, id: PeerId, complete: bool, expires: Time) -> bool {
        let Some(&slot) = self.at.get(&key) else { return false };
        let Some(peer) = self.peers.get_mut(slot as usize) else { return false };
        peer.id = id;
        peer.expires = expires;
        peer.heard = peer.heard.saturating_add(1).min(SETTLED);
        let finished = complete && !peer.counted;
        peer.counted |= complete;
        if peer.complete != complete {
            self.unlist(slot);
            if let Some(peer) = self.peers.get_mut(slot as usize) {
                peer.complete = complete;
            }
            self.list(slot);
        }
        if finished {
            self.completed = self.completed.saturating_add(1);
        }
        finished
    }

    pub fn remove(&mut self, key: PeerKey) -> Option<Peer> {
        let slot = self.at.remove(&key)?;
        self.unlist(slot);
        self.peers.try_remove(slot as usize)
    }

    /// Someone who may give way to a newcomer: not settled yet, found within a few tries.
    pub fn replaceable(&self, rng: &mut Rng) -> Option<PeerKey> {
        (0..8).find_map(|_| {
            let slot = rng.below(self.peers.len() as u64) as usize;
            self.peers.get(slot).filter(|peer| peer.heard < SETTLED).map(|peer| peer.key)
        })
    }

    /// The keys of peers in slots `from..from + count` that are over at `now`, into `over`; the
    /// slot to go on at, or `None` after the last.
    pub fn expired(
        &self,
        now: Time,
        from: usize,
        count: usize,
        over: &mut Vec<PeerKey>,
    ) -> Option<usize> {
        let end = from.saturating_add(count).min(self.peers.capacity());
        let slots = (from..end).filter_map(|slot| self.peers.get(slot));
        over.extend(slots.filter(|peer| peer.expires <= now).map(|peer| peer.key));
        (end < self.peers.capacity()).then_some(end)
    }

    /// Up to `want` live peers of the asker's family, a fresh random choice when there are more.
    /// A complete asker gets incomplete peers only; an incomplete one gets both kinds, complete
    /// ones at most half while there are others, so that downloaders find each other too.
    ///
    /// `take` says whether it took the peer.
    pub fn sample(
        &mut self,
        now: Time,
        asker: &Asker,
        rng: &mut Rng,
        take: &mut dyn FnMut(&Peer) -> bool,
    ) {
        let (few, full) = (kind(asker.v4, false), kind(asker.v4, true));
        let downloaders = self.kinds[few].len();
        let seeds = match asker.complete {
            true => 0,
            false => {
                let room = asker.want.saturating_sub(downloaders).max(asker.want.div_ceil(2));
                room.min(self.kinds[full].len())
            }
        };
        let given = self.draw(now, full, seeds, asker, rng, take);
        self.draw(now, few, asker.want.saturating_sub(given), asker, rng, take);
    }

    /// Shuffles the front of one list (Fisher and Yates) and offers what stands there until `want`
    /// are taken; gives up early where hardly anyone is fit to be given.
    fn draw(
        &mut self,
        now: Time,
        kind: usize,
        want: usize,
        asker: &Asker,
        rng: &mut Rng,
        take: &mut dyn FnMut(&Peer) -> bool,
    ) -> usize {
        let count = self.kinds[kind].len();
        let mut given = 0;
        for front in 0..count.min(want.saturating_mul(4).saturating_add(16)) {
            if given == want {
                break;
            }
            let chosen = front + rng.below((count - front) as u64) as usize;
            self.swap(kind, front, chosen);
            let slot = self.kinds[kind].get(front).copied().unwrap_or(u32::MAX);
            let Some(peer) = self.peers.get(slot as usize) else { continue };
            let itself = peer.key == asker.key || peer.id == asker.id;
            if !itself && peer.expires > now && take(peer) {
                given += 1;
            }
        }
        given
    }

    fn swap(&mut self, kind: usize, a: usize, b: usize) {
        if a != b && a.max(b) < self.kinds[kind].len() {
            self.kinds[kind].swap(a, b);
            self.place(kind, a);
            self.place(kind, b);
        }
    }

    /// Writes into a peer where it stands in its list.
    fn place(&mut self, kind: usize, place: usize) {
        if let Some(slot) = self.kinds[kind].get(place)
            && let Some(peer) = self.peers.get_mut(*slot as usize)
        {
            peer.place = place as u32;
        }
    }

    fn list(&mut self, slot: u32) {
        let Some(peer) = self.peers.get_mut(slot as usize) else { return };
        let list = &mut self.kinds[kind(peer.key.is_v4(), peer.complete)];
        peer.place = list.len() as u32;
        list.push(slot);
    }

    fn unlist(&mut self, slot: u32) {
        let Some(peer) = self.peers.get(slot as usize) else { return };
        let (kind, place) = (kind(peer.key.is_v4(), peer.complete), peer.place as usize);
        if place < self.kinds[kind].len() {
            self.kinds[kind].swap_remove(place);
            self.place(kind, place);
        }
    }
}

/// Who asks for peers, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    pub key: PeerKey,
    pub id: PeerId,
    pub complete: bool,
    /// The family of its addresses: the answer holds no other.
    pub v4: bool,
    /// Peers wanted.
    pub want: usize,
}
