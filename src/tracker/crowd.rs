//! Many peers of one swarm: records in memory of their own, with an index by address.

use super::record::{Family, Record};
use super::source::Source;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

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
    fn place<const N: usize>(&self, ip: &[u8; N], port: [u8; 2]) -> u64
    where
        [u8; N]: Family,
    {
        match Source::limited(ip.ip(), self.public) {
            Some(source) => self.hash(&source.bytes()),
            None => self.hash(joined(ip, port).get(..N + 2).unwrap_or_default()),
        }
    }

    fn place_of<const N: usize>(&self, record: &Record<N>) -> u64
    where
        [u8; N]: Family,
    {
        self.place(record.ip_bytes(), record.port_bytes())
    }
}

fn joined<const N: usize>(ip: &[u8; N], port: [u8; 2]) -> [u8; 18] {
    let mut bytes = [0; 18];
    let all = port.iter().chain(ip);
    bytes.iter_mut().zip(all).for_each(|(slot, byte)| *slot = *byte);
    bytes
}

/// From this many peers on the index is cut into [`SHARDS`] tables, so that none of them takes long
/// to grow: 1,000,000 peers are 4,000 in each. With a quarter of them it is one table again.
const SHARDED_FROM: usize = 4096;
const SHARDS: usize = 256;

/// The peers, in the order that [`super::members::Members`] gives them.
#[derive(Debug)]
pub struct Crowd<const N: usize> {
    records: Vec<Record<N>>,
    /// Positions by [`Keyed::place`], in one table or in [`SHARDS`].
    index: Vec<HashTable<u32>>,
}

fn shard(place: u64, shards: usize) -> usize {
    // The lowest bits choose within a table, the highest tag its entries.
    (place >> 32) as usize % shards.max(1)
}

impl<const N: usize> Crowd<N>
where
    [u8; N]: Family,
{
    pub fn new(records: &[Record<N>], keyed: &Keyed) -> Crowd<N> {
        let mut all = Vec::with_capacity(records.len() + 1);
        all.extend_from_slice(records);
        let mut crowd = Crowd { records: all, index: Vec::new() };
        crowd.cut(1, keyed);
        crowd
    }

    pub fn records(&self) -> &[Record<N>] {
        &self.records
    }

    /// The address and the port of a record must stay what they are.
    pub fn records_mut(&mut self) -> &mut [Record<N>] {
        &mut self.records
    }

    pub fn find(&self, ip: &[u8; N], port: [u8; 2], keyed: &Keyed) -> Option<usize> {
        let place = keyed.place(ip, port);
        let there = |at: &u32| self.at(*at).is_some_and(|record| record.is(ip, port));
        self.table(place)?.find(place, there).map(|at| *at as usize)
    }

    fn table(&self, place: u64) -> Option<&HashTable<u32>> {
        self.index.get(shard(place, self.index.len()))
    }

    fn table_mut(&mut self, place: u64) -> Option<&mut HashTable<u32>> {
        let shards = self.index.len();
        self.index.get_mut(shard(place, shards))
    }

    fn at(&self, at: u32) -> Option<&Record<N>> {
        self.records.get(at as usize)
    }

    /// How many peers come from a limited source.
    pub fn of_source(&self, source: Source, keyed: &Keyed) -> usize {
        let place = keyed.hash(&source.bytes());
        let same = |at: &&u32| self.at(**at).and_then(|r| r.source(keyed.public)) == Some(source);
        self.table(place).map_or(0, |table| table.iter_hash(place).filter(same).count())
    }

    /// Makes the index anew.
    fn cut(&mut self, shards: usize, keyed: &Keyed) {
        self.index = vec![HashTable::with_capacity(self.records.len() / shards); shards];
        (0..self.records.len()).for_each(|at| self.enter(at, keyed));
    }

    fn enter(&mut self, at: usize, keyed: &Keyed) {
        let Crowd { records, index } = self;
        let place = |at: usize| records.get(at).map_or(0, |record| keyed.place_of(record));
        let (here, shards) = (place(at), index.len());
        if let Some(table) = index.get_mut(shard(here, shards)) {
            table.insert_unique(here, at as u32, |at| place(*at as usize));
        }
    }

    /// Adds a peer at the end. Memory grows by an eighth at a time.
    pub fn push(&mut self, record: Record<N>, keyed: &Keyed) {
        if self.records.len() == self.records.capacity() {
            self.records.reserve_exact((self.records.len() / 8).max(1));
        }
        let at = self.records.len();
        self.records.push(record);
        match self.index.len() {
            1 if at >= SHARDED_FROM => self.cut(SHARDS, keyed),
            _ => self.enter(at, keyed),
        }
    }

    /// Removes the last one. Memory that is no longer needed goes back.
    pub fn pop(&mut self, keyed: &Keyed) -> Option<Record<N>> {
        let record = self.records.pop()?;
        let (len, place) = (self.records.len(), keyed.place_of(&record));
        let last = |at: &u32| *at as usize == len;
        if let Some(Ok(entry)) = self.table_mut(place).map(|table| table.find_entry(place, last)) {
            entry.remove();
        }
        // Little at a time: the system takes a millisecond for some megabytes.
        if len < self.records.capacity() / 4 * 3 {
            self.records.shrink_to(len + len / 8);
        }
        if len < SHARDED_FROM / 4 && self.index.len() > 1 {
            self.cut(1, keyed);
        }
        Some(record)
    }

    pub fn swap(&mut self, a: usize, b: usize, keyed: &Keyed) {
        let place = |at: usize| self.records.get(at).map(|record| keyed.place_of(record));
        let (Some(place_a), Some(place_b)) = (place(a), place(b)) else { return };
        // Over a third position: both may share a hash.
        let mut put = |place: u64, from: u32, to: u32| {
            let table = self.table_mut(place);
            if let Some(at) = table.and_then(|table| table.find_mut(place, |at| *at == from)) {
                *at = to;
            }
        };
        put(place_a, a as u32, u32::MAX);
        put(place_b, b as u32, a as u32);
        put(place_a, u32::MAX, b as u32);
        self.records.swap(a, b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::PeerId;
    use crate::tracker::record::{Entry, Progress};

    #[test]
    fn the_index_is_cut_and_joined_and_finds_everybody() {
        let keyed = Keyed { key: (3, 4), public: false };
        let record = |n: usize| {
            let entry = Entry {
                id: PeerId([1; 20]),
                progress: Progress::default(),
                now_s: 0,
                lifetime_s: 9,
            };
            Record::new((0x0a00_0000 | n as u32).to_be_bytes(), 7, &entry)
        };
        let mut crowd = Crowd::<4>::new(&[], &keyed);
        let check = |crowd: &Crowd<4>, len: usize, shards: usize| {
            assert_eq!((crowd.records.len(), crowd.index.len()), (len, shards));
            for n in 0..len + 9 {
                let found = crowd.find(record(n).ip_bytes(), record(n).port_bytes(), &keyed);
                assert_eq!(found, (n < len).then_some(n), "{n} of {len}");
            }
        };
        (0..SHARDED_FROM).for_each(|n| crowd.push(record(n), &keyed));
        check(&crowd, SHARDED_FROM, 1);
        (SHARDED_FROM..2 * SHARDED_FROM).for_each(|n| crowd.push(record(n), &keyed));
        check(&crowd, 2 * SHARDED_FROM, SHARDS);
        crowd.swap(1, 5000, &keyed);
        assert_eq!(crowd.find(record(5000).ip_bytes(), record(0).port_bytes(), &keyed), Some(1));
        crowd.swap(1, 5000, &keyed);
        while crowd.records.len() >= SHARDED_FROM / 4 {
            assert_eq!(crowd.pop(&keyed), Some(record(crowd.records.len())));
        }
        check(&crowd, SHARDED_FROM / 4 - 1, 1);
        assert!(crowd.records.capacity() <= SHARDED_FROM / 2, "memory goes back");
    }
}
