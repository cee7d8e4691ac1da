//! One swarm: who announced under one info-hash, from where, and whether they have it all.

use super::members::{Keyed, Members};
use super::record::{Entry, Record};
pub use super::record::{Peer, PeerKey, SETTLED};
use super::sample::{Asker, Candidate, Choice};
use crate::core::id::InfoHash;
use crate::core::rng::Rng;
use crate::wire::read::Fields;
use std::net::IpAddr;

/// The first byte of a packed swarm.
const PACKED_VERSION: u8 = 1;

#[derive(Clone, Debug)]
pub struct Swarm {
    pub hash: InfoHash,
    /// Unix second of the first announce.
    pub born_s: u32,
    /// Downloads that were finished under our eyes.
    pub completed: u32,
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
            born_s,
            completed: 0,
            noted: false,
            parked: false,
            v4: Members::default(),
            v6: None,
        }
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
    pub fn standing(&self, key: PeerKey, keyed: &Keyed) -> Option<bool> {
        let port = key.addr().port().to_be_bytes();
        match key.ip() {
            IpAddr::V4(ip) => {
                self.v4.get(self.v4.find(&ip.octets(), port, keyed)?).map(Record::complete)
            }
            IpAddr::V6(ip) => {
                let v6 = self.v6.as_ref()?;
                v6.get(v6.find(&ip.octets(), port, keyed)?).map(Record::complete)
            }
        }
    }

    /// How many peers come from the limited source of `ip`; 0 when no limit counts for it.
    pub fn of_source(&self, ip: IpAddr, keyed: &Keyed) -> usize {
        match ip {
            IpAddr::V4(ip) => self.v4.of_source(&ip.octets(), keyed),
            IpAddr::V6(ip) => self.v6.as_ref().map_or(0, |v6| v6.of_source(&ip.octets(), keyed)),
        }
    }

    pub fn peers(&self) -> impl Iterator<Item = Peer> {
        let v6 = self.v6.iter().flat_map(|v6| v6.records()).map(Record::peer);
        self.v4.records().iter().map(Record::peer).chain(v6)
    }

    /// Adds a peer that is not there yet.
    pub fn insert(&mut self, key: PeerKey, entry: &Entry, keyed: &Keyed) {
        let port = key.addr().port();
        match key.ip() {
            IpAddr::V4(ip) => self.v4.insert(Record::new(ip.octets(), port, entry), keyed),
            IpAddr::V6(ip) => {
                let v6 = self.v6.get_or_insert_default();
                v6.insert(Record::new(ip.octets(), port, entry), keyed);
            }
        }
    }

    /// An announce of a peer, if it is there.
    pub fn refresh(&mut self, key: PeerKey, entry: &Entry, keyed: &Keyed) -> Option<Refreshed> {
        let port = key.addr().port().to_be_bytes();
        let refreshed = match key.ip() {
            IpAddr::V4(ip) => {
                let at = self.v4.find(&ip.octets(), port, keyed)?;
                refresh(&mut self.v4, at, entry, keyed)
            }
            IpAddr::V6(ip) => {
                let v6 = self.v6.as_mut()?;
                let at = v6.find(&ip.octets(), port, keyed)?;
                refresh(v6, at, entry, keyed)
            }
        };
        if refreshed.finished {
            crate::mark!("B14");
            self.completed = self.completed.saturating_add(1);
        }
        Some(refreshed)
    }

    /// Whether the peer that is removed was complete; `None` when it is not there.
    pub fn remove(&mut self, key: PeerKey, keyed: &Keyed) -> Option<bool> {
        let port = key.addr().port().to_be_bytes();
        match key.ip() {
            IpAddr::V4(ip) => {
                let at = self.v4.find(&ip.octets(), port, keyed)?;
                self.v4.remove(at, keyed).map(|record| record.complete())
            }
            IpAddr::V6(ip) => {
                let v6 = self.v6.as_mut()?;
                let at = v6.find(&ip.octets(), port, keyed)?;
                let gone = v6.remove(at, keyed).map(|record| record.complete());
                self.v6.take_if(|v6| v6.is_empty());
                gone
            }
        }
    }

    /// Any peer, and how often it was heard.
    pub fn any(&self, rng: &mut Rng) -> Option<(PeerKey, u8)> {
        let at = rng.below(self.len() as u64) as usize;
        match self.v4.get(at) {
            Some(record) => Some((record.key(), record.heard())),
            None => {
                let record = self.v6.as_ref()?.get(at.checked_sub(self.v4.len())?)?;
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
    ) -> Option<usize> {
        let first = self.v4.len();
        if from < first || from == 0 {
            let next = self.v4.over(now_s, (from, count, most), over, Record::key);
            if next.is_some() {
                return next;
            }
        }
        let v6 = self.v6.as_mut()?;
        let done = first.saturating_sub(from);
        let part = (from.saturating_sub(first), count.saturating_sub(done), most);
        Some(v6.over(now_s, part, over, Record::key)? + first)
    }

    /// Offers peers to an asker until `take` took what it wants.
    pub fn sample(
        &self,
        choice: &mut Choice<'_>,
        asker: &Asker,
        take: &mut impl FnMut(&Candidate<'_>) -> bool,
    ) {
        match (asker.v4, &self.v6) {
            (true, _) => choice.of(&self.v4, asker, take),
            (false, Some(v6)) => choice.of(v6, asker, take),
            (false, None) => {}
        }
    }

    /// Appends the swarm, without its hash, in the form that [`Swarm::unpack`] reads: version,
    /// completed, born, then number and records of IPv4 peers and of IPv6 peers.
    pub fn pack(&self, out: &mut Vec<u8>) {
        out.push(PACKED_VERSION);
        out.extend_from_slice(&self.completed.to_be_bytes());
        out.extend_from_slice(&self.born_s.to_be_bytes());
        self.v4.write(out);
        match &self.v6 {
            Some(v6) => v6.write(out),
            None => out.extend_from_slice(&[0; 4]),
        }
    }

    /// Reads a packed swarm. `now_s` is the Unix second: a peer that was over for more than
    /// `absent_s` by then is left out, the others count as heard just now, for nobody could
    /// announce in between. `None` when the bytes are not a packed swarm.
    pub fn unpack(
        hash: InfoHash,
        bytes: &[u8],
        (now_s, absent_s): (u32, u32),
        keyed: &Keyed,
    ) -> Option<Swarm> {
        let mut fields = Fields(bytes);
        if fields.u8()? != PACKED_VERSION {
            return None;
        }
        let completed = fields.u32()?;
        let mut swarm = Swarm { completed, ..Swarm::new(hash, fields.u32()?.min(now_s)) };
        let lives = |over_s: u32| over_s.saturating_add(absent_s) > now_s;
        Members::<4>::read(&mut fields, |record| {
            let there = swarm.v4.find(record.ip_bytes(), record.port_bytes(), keyed);
            if lives(record.over_s()) && there.is_none() {
                swarm.v4.insert(record.heard_again(now_s), keyed);
            }
        })?;
        let mut v6 = Members::<16>::default();
        Members::<16>::read(&mut fields, |record| {
            let there = v6.find(record.ip_bytes(), record.port_bytes(), keyed);
            if lives(record.over_s()) && there.is_none() {
                v6.insert(record.heard_again(now_s), keyed);
            }
        })?;
        swarm.v6 = (!v6.is_empty()).then(|| Box::new(v6));
        fields.0.is_empty().then_some(swarm)
    }
}

/// A peer that calls itself by another id is another run: what it finishes counts again.
fn refresh<const N: usize>(
    members: &mut Members<N>,
    at: usize,
    entry: &Entry,
    keyed: &Keyed,
) -> Refreshed
where
    [u8; N]: super::record::Family,
{
    let mut refreshed = Refreshed { was_complete: false, finished: false };
    members.change(at, keyed, |record| {
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
