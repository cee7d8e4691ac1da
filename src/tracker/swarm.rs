//! One swarm: who announced under one info-hash, from where, and whether they have it all.

use super::members::{Arenas, Keyed, Members};
use super::pool::{MovedBlock, Pool};
use super::record::{Entry, Family, LastKnown, Record};
pub use super::record::{Peer, PeerKey, SETTLED};
use super::sample::{Asker, Candidate, Choice};
use crate::core::id::InfoHash;
use crate::core::rng::Rng;
use crate::core::store::SwarmPart;
use crate::wire::read::Fields;
use std::net::IpAddr;

/// Peers of one part of a packed swarm: 50 or 62 KB, a fraction of a millisecond to write.
pub const PART_PEERS: usize = 1024;
/// Bytes before the records of a part.
pub const PART_HEAD_BYTES: usize = 9;

/// Its peers stand in the arenas of the table, which every look at them needs.
#[derive(Debug)]
pub struct Swarm {
    pub hash: InfoHash,
    /// Its place in the table.
    pub place: u32,
    /// Unix second of the first announce.
    pub born_s: u32,
    /// Downloads that were finished under our eyes, as far as the records know of them.
    pub finished: u32,
    /// What an earlier run counted: its records may be older than its count.
    finished_before: u32,
    /// Among those that changed since they were last written.
    pub noted: bool,
    /// Among those that are kept for their count of completions alone.
    pub parked: bool,
    v4: Members<4>,
    v6: Option<Box<Members<16>>>,
}

/// What became of a peer that announced again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refreshed {
    pub was_complete: bool,
    /// It finished its download just now.
    pub finished: bool,
}

impl Swarm {
    pub fn new(hash: InfoHash, born_s: u32) -> Swarm {
        Swarm {
            hash,
            place: 0,
            born_s,
            finished: 0,
            finished_before: 0,
            noted: false,
            parked: false,
            v4: Members::default(),
            v6: None,
        }
    }

    /// One without peers that an earlier run counted for; kept for that alone.
    pub fn remembered(hash: InfoHash, completed: u32) -> Swarm {
        let (finished, finished_before) = (completed, completed);
        // Its age is not known: it begins with its first peer.
        Swarm { finished, finished_before, parked: true, ..Swarm::new(hash, u32::MAX) }
    }

    /// An earlier run counted for it.
    pub fn remember(&mut self, completed: u32) {
        self.finished_before = self.finished_before.max(completed);
    }

    /// Downloads that were finished, each counted once (BEP 15 scrape). A peer that finished, was
    /// counted, and whose record was not written before a crash finishes again: that is not seen
    /// above the count that was.
    pub fn completed(&self) -> u32 {
        self.finished.max(self.finished_before)
    }

    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.as_ref().map_or(0, |v6| v6.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Peers that have it all, both families.
    pub fn complete(&self) -> u32 {
        self.v4.complete() + self.v6.as_ref().map_or(0, |v6| v6.complete())
    }

    pub fn incomplete(&self) -> u32 {
        self.len() as u32 - self.complete()
    }

    /// No peer is over before this Unix second.
    pub fn earliest_s(&self) -> u32 {
        self.v4.earliest_s().min(self.v6.as_ref().map_or(u32::MAX, |v6| v6.earliest_s()))
    }

    /// Whether a peer is there, and complete.
    pub fn standing(&self, key: PeerKey, arenas: &Arenas) -> Option<bool> {
        let port = key.addr().port().to_be_bytes();
        match key.ip() {
            IpAddr::V4(ip) => standing(&self.v4, (&ip.octets(), port), &arenas.keyed, &arenas.v4),
            IpAddr::V6(ip) => {
                let v6 = self.v6.as_ref()?;
                standing(v6, (&ip.octets(), port), &arenas.keyed, &arenas.v6)
            }
        }
    }

    /// How many peers come from the limited source of `ip`; 0 when no limit counts for it.
    pub fn of_source(&self, ip: IpAddr, arenas: &Arenas) -> usize {
        let Arenas { keyed, v4, v6 } = arenas;
        match ip {
            IpAddr::V4(ip) => self.v4.of_source(&ip.octets(), keyed, v4),
            IpAddr::V6(ip) => {
                self.v6.as_ref().map_or(0, |members| members.of_source(&ip.octets(), keyed, v6))
            }
        }
    }

    pub fn peers<'a>(&'a self, arenas: &'a Arenas) -> impl Iterator<Item = Peer> + 'a {
        let v6 = self.v6.iter().flat_map(|v6| v6.records(&arenas.v6)).map(Record::peer);
        self.v4.records(&arenas.v4).iter().map(Record::peer).chain(v6)
    }

    /// Its block of IPv4 peers moved.
    pub fn moved_v4(&mut self, moved: MovedBlock) {
        self.v4.block = moved.block;
    }

    /// Its block of IPv6 peers moved.
    pub fn moved_v6(&mut self, moved: MovedBlock) {
        if let Some(v6) = &mut self.v6 {
            v6.block = moved.block;
        }
    }

    /// Adds a peer that is not there yet.
    pub fn insert(&mut self, key: PeerKey, entry: &Entry, arenas: &mut Arenas) {
        let (port, place) = (key.addr().port(), self.place);
        let Arenas { keyed, v4, v6 } = arenas;
        match key.ip() {
            IpAddr::V4(ip) => {
                self.v4.insert(Record::new(ip.octets(), port, entry), place, keyed, v4);
            }
            IpAddr::V6(ip) => {
                let members = self.v6.get_or_insert_default();
                members.insert(Record::new(ip.octets(), port, entry), place, keyed, v6);
            }
        }
    }

    /// An announce of a peer, if it is there.
    pub fn refresh(
        &mut self,
        key: PeerKey,
        entry: &Entry,
        arenas: &mut Arenas,
    ) -> Option<Refreshed> {
        let port = key.addr().port().to_be_bytes();
        let Arenas { keyed, v4, v6 } = arenas;
        let refreshed = match key.ip() {
            IpAddr::V4(ip) => {
                let at = self.v4.find(&ip.octets(), port, keyed, v4)?;
                refresh(&mut self.v4, at, entry, keyed, v4)
            }
            IpAddr::V6(ip) => {
                let members = self.v6.as_mut()?;
                let at = members.find(&ip.octets(), port, keyed, v6)?;
                refresh(members, at, entry, keyed, v6)
            }
        };
        if refreshed.finished {
            crate::mark!("B14");
            self.finished = self.finished.saturating_add(1);
        }
        Some(refreshed)
    }

    /// Whether the peer that is removed was complete; `None` when it is not there.
    pub fn remove(&mut self, key: PeerKey, arenas: &mut Arenas) -> Option<bool> {
        let port = key.addr().port().to_be_bytes();
        let Arenas { keyed, v4, v6 } = arenas;
        match key.ip() {
            IpAddr::V4(ip) => {
                let at = self.v4.find(&ip.octets(), port, keyed, v4)?;
                self.v4.remove(at, self.place, keyed, v4).map(|record| record.complete())
            }
            IpAddr::V6(ip) => {
                let members = self.v6.as_mut()?;
                let at = members.find(&ip.octets(), port, keyed, v6)?;
                let gone = members.remove(at, self.place, keyed, v6);
                self.v6.take_if(|members| members.is_empty());
                gone.map(|record| record.complete())
            }
        }
    }

    /// Any peer, and how often it was heard.
    pub fn any(&self, rng: &mut Rng, arenas: &Arenas) -> Option<(PeerKey, u8)> {
        let at = rng.below(self.len() as u64) as usize;
        match self.v4.records(&arenas.v4).get(at) {
            Some(record) => Some((record.key(), record.heard())),
            None => {
                let at = at.checked_sub(self.v4.len())?;
                let record = self.v6.as_ref()?.records(&arenas.v6).get(at)?;
                Some((record.key(), record.heard()))
            }
        }
    }

    /// The keys of up to `most` peers at `from..from + count` that are over at `now_s`, into
    /// `over`; the place to go on at, or `None` after the last. IPv6 peers stand behind the others.
    pub fn over(
        &mut self,
        now_s: u32,
        (from, count, most): (usize, usize, usize),
        over: &mut Vec<PeerKey>,
        arenas: &Arenas,
    ) -> Option<usize> {
        let first = self.v4.len();
        if from < first || from == 0 {
            let part = (from, count, most);
            let next = self.v4.over(now_s, part, over, &arenas.v4, Record::key);
            if next.is_some() {
                return next;
            }
        }
        let v6 = self.v6.as_mut()?;
        let done = first.saturating_sub(from);
        let part = (from.saturating_sub(first), count.saturating_sub(done), most);
        Some(v6.over(now_s, part, over, &arenas.v6, Record::key)? + first)
    }

    /// Offers peers to an asker until `take` took what it wants.
    pub fn sample(
        &self,
        choice: &mut Choice<'_>,
        asker: &Asker,
        arenas: &Arenas,
        take: &mut impl FnMut(&Candidate<'_>) -> bool,
    ) {
        match (asker.v4, &self.v6) {
            (true, _) => choice.of(self.v4.parted(&arenas.v4), asker, take),
            (false, Some(v6)) => choice.of(v6.parted(&arenas.v6), asker, take),
            (false, None) => {}
        }
    }

    /// Appends the peers in parts; one empty part if there are none. A part is its head (bytes of
    /// an address, [`Swarm::finished`] of the records, Unix second of the first announce), then
    /// records.
    pub fn pack(&self, arenas: &Arenas, out: &mut Vec<SwarmPart>) {
        let from = out.len();
        self.pack_family(self.v4.records(&arenas.v4), from, out);
        if let Some(v6) = &self.v6 {
            self.pack_family(v6.records(&arenas.v6), from, out);
        }
        match out.get_mut(from..).and_then(|parts| parts.last_mut()) {
            Some(part) => part.last = true,
            None => {
                out.push(SwarmPart { hash: self.hash, part: 0, last: true, packed: Vec::new() });
            }
        }
    }

    fn pack_family<const N: usize>(
        &self,
        records: &[Record<N>],
        from: usize,
        out: &mut Vec<SwarmPart>,
    ) where
        [u8; N]: Family,
    {
        for records in records.chunks(PART_PEERS) {
            let bytes = PART_HEAD_BYTES + records.len() * Record::<N>::BYTES;
            let mut packed = Vec::with_capacity(bytes);
            packed.push(N as u8);
            packed.extend_from_slice(&self.finished.to_be_bytes());
            packed.extend_from_slice(&self.born_s.to_be_bytes());
            records.iter().for_each(|record| record.write(&mut packed));
            let part = (out.len() - from) as u32;
            out.push(SwarmPart { hash: self.hash, part, last: false, packed });
        }
    }

    /// Takes peers of a part whose time is not over at the Unix second `limits.0`, `limits.1` of
    /// them at most, and adds them to `peers`. Of each that has a place it is asked whether it
    /// `may_enter` beside so many of its source. `None` when some were left out, or the bytes are
    /// no part.
    pub fn unpack(
        &mut self,
        bytes: &[u8],
        limits: (u32, usize),
        arenas: &mut Arenas,
        peers: &mut Vec<LastKnown>,
        may_enter: &mut dyn FnMut(PeerKey, usize) -> bool,
    ) -> Option<()> {
        let Arenas { keyed, v4, v6 } = arenas;
        let mut fields = Fields(bytes);
        let family = fields.u8()?;
        let (finished, born_s) = (fields.u32()?, fields.u32()?);
        let before = self.len();
        let whole = match family {
            4 => {
                let mut home = (self.place, keyed, v4);
                take_in(&mut self.v4, &mut fields, limits, &mut home, peers, may_enter)
            }
            16 => {
                let members = self.v6.get_or_insert_default();
                let mut home = (self.place, keyed, v6);
                let whole = take_in(members, &mut fields, limits, &mut home, peers, may_enter);
                self.v6.take_if(|members| members.is_empty());
                whole
            }
            _ => None,
        };
        if self.len() > before {
            // Parts that were written at different times: the one that knew least is right, for
            // what is counted once more below the durable count does not show.
            self.finished = if before == 0 { finished } else { self.finished.min(finished) };
            self.born_s = self.born_s.min(born_s);
        }
        whole
    }
}

fn standing<const N: usize>(
    members: &Members<N>,
    (ip, port): (&[u8; N], [u8; 2]),
    keyed: &Keyed,
    pool: &Pool<Record<N>>,
) -> Option<bool>
where
    [u8; N]: Family,
{
    let at = members.find(ip, port, keyed, pool)?;
    members.records(pool).get(at).map(Record::complete)
}

fn take_in<const N: usize>(
    members: &mut Members<N>,
    fields: &mut Fields<'_>,
    (now_s, mut room): (u32, usize),
    (place, keyed, pool): &mut (u32, &mut Keyed, &mut Pool<Record<N>>),
    peers: &mut Vec<LastKnown>,
    may_enter: &mut dyn FnMut(PeerKey, usize) -> bool,
) -> Option<()>
where
    [u8; N]: Family,
{
    let mut whole = Some(());
    while !fields.0.is_empty() {
        let record = Record::<N>::read(fields)?.heard_by(now_s);
        let there = members.find(record.ip_bytes(), record.port_bytes(), keyed, pool);
        let known = record.last_known();
        let mut fits =
            || may_enter(known.peer.key, members.of_source(record.ip_bytes(), keyed, pool));
        if record.over_s() <= now_s || there.is_some() || room == 0 || !fits() {
            whole = None;
            continue;
        }
        room -= 1;
        peers.push(known);
        members.insert(record, *place, keyed, pool);
    }
    whole
}

/// A peer that calls itself by another id is another run: what it finishes counts again.
fn refresh<const N: usize>(
    members: &mut Members<N>,
    at: usize,
    entry: &Entry,
    keyed: &Keyed,
    pool: &mut Pool<Record<N>>,
) -> Refreshed
where
    [u8; N]: Family,
{
    let mut refreshed = Refreshed { was_complete: false, finished: false };
    members.change(at, keyed, pool, |record| {
        refreshed.was_complete = record.complete();
        let same_run = record.id() == entry.id;
        // A datagram that came twice changes nothing.
        crate::mark!("B21");
        record.enter(entry);
        let counted = record.counted() && same_run;
        refreshed.finished = record.complete() && same_run && !counted;
        record.set_counted(counted || record.complete());
    });
    refreshed
}
