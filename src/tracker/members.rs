//! The peers of one swarm in one family of addresses: packed records side by side, those that have
//! it all in front. A few of them stand in a block of the pool, many in memory of their own.

use super::crowd::Crowd;
pub use super::crowd::Keyed;
use super::pool::Pool;
use super::record::{Family, Record};

/// From this many peers on they are a crowd, with memory and an index of its own; with fewer than
/// half of them no longer.
const CROWD_FROM: usize = 40;
const _: () = assert!(CROWD_FROM <= super::pool::BLOCK_RECORDS_MAX + 1);

/// Where all swarms keep their peers, and how they find them.
#[derive(Debug)]
pub struct Arenas {
    pub keyed: Keyed,
    pub v4: Pool<Record<4>>,
    pub v6: Pool<Record<16>>,
}

/// The peers of one family.
#[derive(Debug)]
pub struct Members<const N: usize> {
    /// Those that stand in the pool: where.
    pub block: u32,
    len: u32,
    /// How many stand in front because they have it all.
    complete: u32,
    /// No peer is over before this Unix second.
    earliest_s: u32,
    crowd: Option<Box<Crowd<N>>>,
}

impl<const N: usize> Default for Members<N> {
    fn default() -> Members<N> {
        Members { block: 0, len: 0, complete: 0, earliest_s: u32::MAX, crowd: None }
    }
}

impl<const N: usize> Members<N>
where
    [u8; N]: Family,
{
    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn complete(&self) -> u32 {
        self.complete
    }

    pub fn earliest_s(&self) -> u32 {
        self.earliest_s
    }

    pub fn records<'a>(&'a self, pool: &'a Pool<Record<N>>) -> &'a [Record<N>] {
        match &self.crowd {
            Some(crowd) => crowd.records(),
            None => pool.get(self.len(), self.block),
        }
    }

    fn records_mut<'a>(&'a mut self, pool: &'a mut Pool<Record<N>>) -> &'a mut [Record<N>] {
        let len = self.len();
        match &mut self.crowd {
            Some(crowd) => crowd.records_mut(),
            None => pool.get_mut(len, self.block),
        }
    }

    /// Those that have it all, and those that do not.
    pub fn parted<'a>(&'a self, pool: &'a Pool<Record<N>>) -> (&'a [Record<N>], &'a [Record<N>]) {
        self.records(pool).split_at_checked(self.complete as usize).unwrap_or_default()
    }

    pub fn find(
        &self,
        ip: &[u8; N],
        port: [u8; 2],
        keyed: &Keyed,
        pool: &Pool<Record<N>>,
    ) -> Option<usize> {
        match &self.crowd {
            Some(crowd) => crowd.find(ip, port, keyed),
            None => self.records(pool).iter().position(|record| record.is(ip, port)),
        }
    }

    /// How many peers come from the source of this address; 0 where no limit counts for it.
    pub fn of_source(&self, ip: &[u8; N], keyed: &Keyed, pool: &Pool<Record<N>>) -> usize {
        let Some(source) = super::source::Source::limited(ip.ip(), keyed.public) else { return 0 };
        match &self.crowd {
            Some(crowd) => crowd.of_source(source, keyed),
            None => {
                let same = |record: &&Record<N>| record.source(keyed.public) == Some(source);
                self.records(pool).iter().filter(same).count()
            }
        }
    }

    /// Adds a peer that is not there to the swarm at the place `owner` of the table.
    pub fn insert(
        &mut self,
        record: Record<N>,
        owner: u32,
        keyed: &Keyed,
        pool: &mut Pool<Record<N>>,
    ) {
        let at = self.len();
        match &mut self.crowd {
            Some(crowd) => crowd.push(record, keyed),
            None if at + 1 < CROWD_FROM => {
                self.block = pool.resize(self.block, (at, at + 1), owner, record);
            }
            None => {
                let mut crowd = Crowd::new(pool.get(at, self.block), keyed);
                crowd.push(record, keyed);
                self.block = pool.resize(self.block, (at, 0), owner, record);
                self.crowd = Some(Box::new(crowd));
            }
        }
        self.len += 1;
        self.earliest_s = self.earliest_s.min(record.over_s());
        if record.complete() {
            self.swap(at, self.complete as usize, keyed, pool);
            self.complete += 1;
        }
    }

    /// Changes a record; it moves when it becomes complete or ceases to be.
    pub fn change(
        &mut self,
        at: usize,
        keyed: &Keyed,
        pool: &mut Pool<Record<N>>,
        change: impl FnOnce(&mut Record<N>),
    ) {
        let Some(record) = self.records_mut(pool).get_mut(at) else { return };
        let before = record.complete();
        change(record);
        let (after, over_s) = (record.complete(), record.over_s());
        self.earliest_s = self.earliest_s.min(over_s);
        match (before, after) {
            (false, true) => {
                self.swap(at, self.complete as usize, keyed, pool);
                self.complete += 1;
            }
            (true, false) => {
                self.complete = self.complete.saturating_sub(1);
                self.swap(at, self.complete as usize, keyed, pool);
            }
            _ => {}
        }
    }

    pub fn remove(
        &mut self,
        at: usize,
        owner: u32,
        keyed: &Keyed,
        pool: &mut Pool<Record<N>>,
    ) -> Option<Record<N>> {
        let mut at = at;
        let last = self.len().checked_sub(1)?;
        if self.records(pool).get(at)?.complete() {
            self.complete = self.complete.saturating_sub(1);
            self.swap(at, self.complete as usize, keyed, pool);
            at = self.complete as usize;
        }
        self.swap(at, last, keyed, pool);
        let gone = *self.records(pool).last()?;
        match &mut self.crowd {
            Some(crowd) => {
                crowd.pop(keyed);
                if last < CROWD_FROM / 2 {
                    self.block = pool.fill(crowd.records(), owner);
                    self.crowd = None;
                }
            }
            None => self.block = pool.resize(self.block, (last + 1, last), owner, gone),
        }
        self.len = last as u32;
        if last == 0 {
            self.earliest_s = u32::MAX;
        }
        Some(gone)
    }

    fn swap(&mut self, a: usize, b: usize, keyed: &Keyed, pool: &mut Pool<Record<N>>) {
        match &mut self.crowd {
            _ if a == b => {}
            Some(crowd) => crowd.swap(a, b, keyed),
            None => {
                let records = pool.get_mut(self.len as usize, self.block);
                if a.max(b) < records.len() {
                    records.swap(a, b);
                }
            }
        }
    }

    /// The peers at `from..from + count` that are over at `now_s`, up to `most` in `over`; where to
    /// go on, `None` after the last.
    pub fn over<K>(
        &mut self,
        now_s: u32,
        (from, count, most): (usize, usize, usize),
        over: &mut Vec<K>,
        pool: &Pool<Record<N>>,
        key: impl Fn(&Record<N>) -> K,
    ) -> Option<usize> {
        if self.earliest_s > now_s {
            return None;
        }
        let (mut earliest, mut at) = (u32::MAX, from);
        for record in self.records(pool).iter().skip(from).take(count) {
            if record.over_s() > now_s {
                earliest = earliest.min(record.over_s());
            } else if over.len() == most {
                return Some(at);
            } else {
                over.push(key(record));
            }
            at += 1;
        }
        if at < self.len() {
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
            let mut pool = Pool::default();
            let mut swarms: [(Members<4>, BTreeMap<u32, bool>); 3] = Default::default();
            for step in 0..6000 {
                let owner = rng.below(3) as usize;
                let (members, model) = &mut swarms[owner];
                // Waves, so that the crowd comes and goes.
                let n = rng.below(if step / 1000 % 2 == 0 { 120 } else { 12 }) as u32;
                let one = record(n, rng.below(2));
                let at = members.find(one.ip_bytes(), one.port_bytes(), &keyed, &pool);
                assert_eq!(at.is_some(), model.contains_key(&n), "seed {seed} step {step}");
                match at {
                    None => members.insert(one, owner as u32, &keyed, &mut pool),
                    Some(at) if rng.chance(if step / 1000 % 2 == 0 { 300 } else { 800 }) => {
                        let gone = members.remove(at, owner as u32, &keyed, &mut pool);
                        assert_eq!(gone.map(|gone| gone.key()), Some(one.key()));
                        model.remove(&n);
                    }
                    Some(at) => members.change(at, &keyed, &mut pool, |record| *record = one),
                }
                if at.is_none() || model.contains_key(&n) {
                    model.insert(n, one.complete());
                }
                for moved in pool.moved() {
                    swarms[moved.owner as usize].0.block = moved.block;
                }
                let (members, model) = &swarms[owner];
                let complete = model.values().filter(|complete| **complete).count();
                assert_eq!((members.len(), members.complete()), (model.len(), complete as u32));
                let (full, few) = members.parted(&pool);
                assert!(full.iter().all(|r| r.complete()) && !few.iter().any(|r| r.complete()));
                let same = model.keys().filter(|other| *other / 4 == n / 4).count();
                assert_eq!(members.of_source(one.ip_bytes(), &keyed, &pool), same);
            }
        }
    }
}
