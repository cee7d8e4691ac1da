//! Which peers an asker is given: never itself, none that is over, those near it first, the rest at
//! random.

use super::record::{Family, Peer, PeerKey, Record};
use super::sites::Near;
use crate::core::id::PeerId;
use crate::core::rng::Rng;
use std::net::{IpAddr, SocketAddr};

/// Who asks for peers, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    pub key: PeerKey,
    pub id: PeerId,
    pub complete: bool,
    /// The family of the addresses it can use: the answer holds no other.
    pub v4: bool,
    /// Peers wanted.
    pub want: usize,
}

impl Asker {
    /// aria2 says that nothing is missing while it has a magnet link alone and knows no size: it
    /// needs those that have the metadata.
    fn may_have_a_link_alone(&self) -> bool {
        self.id.0.starts_with(b"A2-")
    }
}

/// Primes beyond the size of any swarm: a walk with such a stride meets everybody once.
const STRIDES: [u64; 8] = [
    4_294_967_311,
    4_294_967_357,
    4_294_967_371,
    4_294_967_377,
    4_294_967_387,
    4_294_967_389,
    4_294_967_459,
    4_294_967_477,
];

/// From so many records on a walk takes them in runs of so many, which lie side by side: memory is
/// read in rows, and the records of a very large swarm stand in no cache.
const RUNS: [(usize, usize); 3] = [(16_384, 32), (2048, 16), (128, 8)];
/// Records that are looked at for near ones, where there are so many and fewer would do.
const LOOKS_MIN: usize = 256;

/// A peer that may be handed out, as it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its address, 4 or 16 bytes, as compact forms of peers have it (BEP 15, BEP 23).
    pub ip: &'a [u8],
    pub port: [u8; 2],
    pub id: &'a [u8; 20],
    pub complete: bool,
}

impl Peer {
    /// The same in the form in which a table offers its peers.
    pub fn as_candidate<T>(&self, take: impl FnOnce(&Candidate<'_>) -> T) -> T {
        let port = self.key.addr().port().to_be_bytes();
        let (id, complete) = (&self.id.0, self.complete);
        match self.key.ip() {
            IpAddr::V4(ip) => take(&Candidate { ip: &ip.octets(), port, id, complete }),
            IpAddr::V6(ip) => take(&Candidate { ip: &ip.octets(), port, id, complete }),
        }
    }
}

impl Candidate<'_> {
    pub fn peer(&self) -> Option<Peer> {
        let ip = match self.ip.len() {
            4 => IpAddr::from(*self.ip.first_chunk::<4>()?),
            _ => IpAddr::from(*self.ip.first_chunk::<16>()?),
        };
        let key = PeerKey::new(SocketAddr::new(ip, u16::from_be_bytes(self.port)));
        Some(Peer { key, id: PeerId(*self.id), complete: self.complete })
    }
}

/// One choice of peers, with what it depends on besides the asker.
#[derive(Debug)]
pub struct Choice<'a> {
    pub now_s: u32,
    pub near: Near<'a>,
    pub rng: &'a mut Rng,
    /// Places of those that are not near; reused from choice to choice.
    pub far: &'a mut Vec<u32>,
}

impl Choice<'_> {
    /// From those that have it all and those that do not. A complete asker gets incomplete peers
    /// only; an incomplete one gets both kinds, complete ones at most half while there are others,
    /// so that downloaders find each other too. `take` says whether it took the peer.
    pub fn of<const N: usize>(
        &mut self,
        (full, few): (&[Record<N>], &[Record<N>]),
        asker: &Asker,
        take: &mut impl FnMut(&Candidate<'_>) -> bool,
    ) where
        [u8; N]: Family,
    {
        let seeds = match asker.complete && !asker.may_have_a_link_alone() {
            true => 0,
            false => {
                asker.want.saturating_sub(few.len()).max(asker.want.div_ceil(2)).min(full.len())
            }
        };
        let given = self.draw(full, seeds, asker, take);
        self.draw(few, asker.want.saturating_sub(given), asker, take);
    }

    /// Walks through the records from a random place with a random stride: all of them when they
    /// are few, else about four times as many as are wanted, so that an answer from a large swarm
    /// costs no more than one from a small one.
    fn draw<const N: usize>(
        &mut self,
        records: &[Record<N>],
        want: usize,
        asker: &Asker,
        take: &mut impl FnMut(&Candidate<'_>) -> bool,
    ) -> usize
    where
        [u8; N]: Family,
    {
        if records.is_empty() || want == 0 {
            return 0;
        }
        self.far.clear();
        let (own_ip, own_port) = (asker.key.ip(), asker.key.addr().port().to_be_bytes());
        let id = Some(&asker.id).filter(|id| !id.is_blank()).map(|id| &id.0);
        let itself = |record: &Record<N>| {
            Some(record.id_bytes()) == id
                || (record.port_bytes() == own_port && record.ip_bytes().ip() == own_ip)
        };
        let run = RUNS.iter().find(|(from, _)| records.len() >= *from).map_or(1, |(_, run)| *run);
        // Where the first run would begin: no record stands at the end of every run.
        let before = self.rng.below(run as u64) as usize;
        let runs = (records.len() + before).div_ceil(run) as u64;
        let stride = STRIDES.get(self.rng.below(8) as usize).map_or(1, |stride| stride % runs);
        let mut at = self.rng.below(runs);
        let mut looks = records.len().min(want.saturating_mul(4).max(LOOKS_MIN));
        let mut given = 0;
        while looks > 0 {
            let first = (at as usize * run).saturating_sub(before);
            let end = records.len().min((at as usize + 1) * run - before);
            let row = records.get(first..end).unwrap_or_default();
            // With nothing else to do for each, the processor waits for all of the row at once.
            let earliest_s = row.iter().map(Record::over_s).fold(u32::MAX, u32::min);
            for (nth, record) in row.iter().enumerate() {
                looks = looks.saturating_sub(1);
                let over = earliest_s <= self.now_s && record.over_s() <= self.now_s;
                if over || itself(record) {
                    continue;
                }
                if !self.near.has_bytes(record.ip_bytes()) {
                    if self.far.len() < want {
                        self.far.push((first + nth) as u32);
                    }
                } else if take(&record.candidate()) {
                    given += 1;
                    if given == want {
                        return given;
                    }
                }
            }
            at += stride;
            at -= if at >= runs { runs } else { 0 };
        }
        let far = self.far.iter().filter_map(|at| records.get(*at as usize));
        given + far.filter(|record| take(&record.candidate())).take(want - given).count()
    }
}
