//! The peers of one swarm in one family of addresses: packed records side by side, those that have
//! it all in front, with an index by address once there are many.

use super::record::{Family, Record};
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// From this many peers on there is an index; with fewer than half of them it is dropped.
const INDEX_FROM: usize = 40;

/// How peers are found: a key that nobody outside knows, and whether limits per address count for
/// private ones too.
#[derive(Clone, Copy, Debug)]
pub struct Keyed {
    pub key: (u64, u64),
    pub public: bool,
}

impl Keyed {
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(bytes);
        hasher.finish()
    }

    /// Peers of one limited source share a hash, so that they can be counted: the limit keeps them
    /// few. Others differ by their port too.
    fn place<const N: usize>(&self, record: &Record<N>) -> u64
    where
        [u8; N]: Family,
    {
        match record.source(self.public) {
            Some(source) => self.hash(&source.bytes()),
            None => self.hash(&joined(record.ip_bytes(), record.port_bytes())),
        }
    }
}

fn joined<const N: usize>(ip: &[u8; N], port: [u8; 2]) -> [u8; 18] {
    let mut bytes = [0; 18];
    let all = port.iter().chain(ip);
    bytes.iter_mut().zip(all).for_each(|(slot, byte)| *slot = *byte);
    bytes
}

/// The peers of one family.
#[derive(Clone, Debug)]
pub struct Members<const N: usize> {
    records: Vec<Record<N>>,
    /// Positions by [`Keyed::place`].
    index: Option<Box<HashTable<u32>>>,
    /// How many stand in front because they have it all.
    complete: u32,
    /// No peer is over before this Unix second.
    earliest_s: u32,
}

impl<const N: usize> Default for Members<N> {
    fn default() -> Members<N> {
        Members { records: Vec::new(), index: None, complete: 0, earliest_s: u32::MAX }
    }
}

impl<const N: usize> Members<N>
where
    [u8; N]: Family,
{
    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn complete(&self) -> u32 {
        self.complete
    }

    pub fn earliest_s(&self) -> u32 {
        self.earliest_s
    }

    pub fn records(&self) -> &[Record<N>] {
        &self.records
    }

    /// Those that have it all, and those that do not.
    pub fn parted(&self) -> (&[Record<N>], &[Record<N>]) {
        self.records.split_at_checked(self.complete as usize).unwrap_or_default()
    }

    pub fn find(&self, ip: &[u8; N], port: [u8; 2], keyed: &Keyed) -> Option<usize> {
        let Some(index) = &self.index else {
            return self.records.iter().position(|record| record.is(ip, port));
        };
        let place = match super::source::Source::limited(ip.ip(), keyed.public) {
            Some(source) => keyed.hash(&source.bytes()),
            None => keyed.hash(&joined(ip, port)),
        };
        let there = |at: &u32| self.at(*at).is_some_and(|record| record.is(ip, port));
        index.find(place, there).map(|at| *at as usize)
    }

    pub fn get(&self, at: usize) -> Option<&Record<N>> {
        self.records.get(at)
    }

    fn at(&self, at: u32) -> Option<&Record<N>> {
        self.records.get(at as usize)
    }

    /// How many peers come from the source of this address; 0 where no limit counts for it.
    pub fn of_source(&self, ip: &[u8; N], keyed: &Keyed) -> usize {
        let Some(source) = super::source::Source::limited(ip.ip(), keyed.public) else { return 0 };
        let same = |record: &Record<N>| record.source(keyed.public) == Some(source);
        match &self.index {
            None => self.records.iter().filter(|record| same(record)).count(),
            Some(index) => {
                let place = keyed.hash(&source.bytes());
                index.iter_hash(place).filter(|at| self.at(**at).is_some_and(same)).count()
            }
        }
    }

    /// Adds a peer that is not there. Memory grows by an eighth at a time.
    pub fn insert(&mut self, record: Record<N>, keyed: &Keyed) {
        if self.records.len() == self.records.capacity() {
            self.records.reserve_exact((self.records.len() / 8).max(1));
        }
        let at = self.records.len();
        self.records.push(record);
        self.earliest_s = self.earliest_s.min(record.over_s());
        match &mut self.index {
            Some(index) => {
                let records = &self.records;
                index.insert_unique(keyed.place(&record), at as u32, |at| {
                    records.get(*at as usize).map_or(0, |record| keyed.place(record))
                });
            }
            None if self.records.len() >= INDEX_FROM => self.make_index(keyed),
            None => {}
        }
        if record.complete() {
            self.swap(at, self.complete as usize, keyed);
            self.complete += 1;
        }
    }

    fn make_index(&mut self, keyed: &Keyed) {
        let mut index = HashTable::with_capacity(self.records.len());
        let place = |at: &u32| self.at(*at).map_or(0, |record| keyed.place(record));
        for at in 0..self.records.len() as u32 {
            index.insert_unique(place(&at), at, place);
        }
        self.index = Some(Box::new(index));
    }

    /// Changes a record; it moves when it becomes complete or ceases to be.
    pub fn change(&mut self, at: usize, keyed: &Keyed, change: impl FnOnce(&mut Record<N>)) {
        let Some(record) = self.records.get_mut(at) else { return };
        let before = record.complete();
        change(record);
        let after = record.complete();
        self.earliest_s = self.earliest_s.min(record.over_s());
        match (before, after) {
            (false, true) => {
                self.swap(at, self.complete as usize, keyed);
                self.complete += 1;
            }
            (true, false) => {
                self.complete = self.complete.saturating_sub(1);
                self.swap(at, self.complete as usize, keyed);
            }
            _ => {}
        }
    }

    pub fn remove(&mut self, at: usize, keyed: &Keyed) -> Option<Record<N>> {
        let mut at = at;
        let last = self.records.len().checked_sub(1)?;
        if self.records.get(at)?.complete() {
            self.complete = self.complete.saturating_sub(1);
            self.swap(at, self.complete as usize, keyed);
            at = self.complete as usize;
        }
        self.swap(at, last, keyed);
        let record = self.records.pop()?;
        if let Some(index) = &mut self.index
            && let Ok(entry) = index.find_entry(keyed.place(&record), |at| *at == last as u32)
        {
            entry.remove();
        }
        self.give_back();
        Some(record)
    }

    /// Memory that is no longer needed goes back.
    fn give_back(&mut self) {
        let len = self.records.len();
        if len < INDEX_FROM / 2 {
            self.index = None;
        }
        if len < self.records.capacity() / 2 {
            self.records.shrink_to(len + len / 8);
        }
        if len == 0 {
            self.earliest_s = u32::MAX;
        }
    }

    fn swap(&mut self, a: usize, b: usize, keyed: &Keyed) {
        if a == b {
            return;
        }
        let places = (self.get(a).map(|r| keyed.place(r)), self.get(b).map(|r| keyed.place(r)));
        let (Some(place_a), Some(place_b)) = places else { return };
        if let Some(index) = &mut self.index {
            // Over a third position: both may share a hash.
            let mut put = |place: u64, from: u32, to: u32| {
                if let Some(at) = index.find_mut(place, |at| *at == from) {
                    *at = to;
                }
            };
            put(place_a, a as u32, u32::MAX);
            put(place_b, b as u32, a as u32);
            put(place_a, u32::MAX, b as u32);
        }
        self.records.swap(a, b);
    }

    /// The peers at `from..from + count` that are over at `now_s`, up to `most` in `over`; where to
    /// go on, `None` after the last.
    pub fn over<K>(
        &mut self,
        now_s: u32,
        (from, count, most): (usize, usize, usize),
        over: &mut Vec<K>,
        key: impl Fn(&Record<N>) -> K,
    ) -> Option<usize> {
        if self.earliest_s > now_s {
            return None;
        }
        let (mut earliest, mut at) = (u32::MAX, from);
        for record in self.records.iter().skip(from).take(count) {
            if record.over_s() > now_s {
                earliest = earliest.min(record.over_s());
            } else if over.len() == most {
                return Some(at);
            } else {
                over.push(key(record));
            }
            at += 1;
        }
        if at < self.records.len() {
            return Some(at);
        }
        if from == 0 {
            self.earliest_s = earliest;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::PeerId;
    use crate::core::rng::Rng;
    use crate::tracker::record::{Entry, Progress};
    use std::collections::BTreeMap;

    fn record(n: u32, left: u64) -> Record<4> {
        let progress = Progress { left, ..Progress::default() };
        let entry = Entry { id: PeerId([n as u8; 20]), progress, now_s: n, lifetime_s: 100 };
        Record::new(((n / 4) | 0x0800_0000).to_be_bytes(), 7000 + n as u16 % 4, &entry)
    }

    #[test]
    fn any_order_of_changes_leaves_every_peer_where_it_is_found() {
        for seed in 0..30 {
            let mut rng = Rng::new(seed);
            let keyed = Keyed { key: (seed, 9), public: seed % 2 == 0 };
            let (mut members, mut model) = (Members::<4>::default(), BTreeMap::new());
            for step in 0..3000 {
                // Waves, so that the index comes and goes.
                let n = rng.below(if step / 500 % 2 == 0 { 120 } else { 12 }) as u32;
                let one = record(n, rng.below(2));
                let at = members.find(one.ip_bytes(), one.port_bytes(), &keyed);
                assert_eq!(at.is_some(), model.contains_key(&n), "seed {seed} step {step}");
                match at {
                    None => members.insert(one, &keyed),
                    Some(at) if rng.chance(if step / 500 % 2 == 0 { 300 } else { 800 }) => {
                        members.remove(at, &keyed);
                        model.remove(&n);
                        continue;
                    }
                    Some(at) => members.change(at, &keyed, |record| *record = one),
                }
                model.insert(n, one.complete());
                let complete = model.values().filter(|complete| **complete).count();
                assert_eq!((members.len(), members.complete()), (model.len(), complete as u32));
                let (full, few) = members.parted();
                assert!(full.iter().all(|r| r.complete()) && !few.iter().any(|r| r.complete()));
                let same = model.keys().filter(|other| *other / 4 == n / 4).count();
                assert_eq!(members.of_source(one.ip_bytes(), &keyed), same);
                assert!(members.records.capacity() <= 2 * members.len() + 1);
            }
        }
    }
}
