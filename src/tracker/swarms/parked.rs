//! Swarms that nobody is in, kept for what they counted. When there are too many, the oldest of
//! whoever left most of them goes: one that leaves very many drives out nobody else's.

use crate::core::id::InfoHash;
use crate::core::limits::PARKED_SWARMS_MAX;
use crate::tracker::source::Source;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Who left a swarm empty, if its limits count.
type Who = Option<Source>;

/// Swarms of one source beyond which they go before those of nobody.
const SHARE: usize = PARKED_SWARMS_MAX / 100;

#[derive(Debug, Default)]
pub struct Parked {
    /// Oldest first.
    queues: BTreeMap<Who, VecDeque<InfoHash>>,
    by_length: BTreeSet<(usize, Who)>,
    len: usize,
}

impl Parked {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn push(&mut self, who: Who, hash: InfoHash) {
        let queue = self.queues.entry(who).or_default();
        self.by_length.remove(&(queue.len(), who));
        queue.push_back(hash);
        self.by_length.insert((queue.len(), who));
        self.len += 1;
    }

    /// The one that goes first.
    pub fn pop(&mut self) -> Option<InfoHash> {
        // Those of whom nobody knows who left them, as after a restart, are not one who has many.
        let known = self.by_length.iter().rev().find(|(_, who)| who.is_some());
        let greedy = known.filter(|(len, _)| *len > SHARE);
        let first = *greedy.or(self.by_length.last())?;
        self.by_length.remove(&first);
        let (_, who) = first;
        let queue = self.queues.get_mut(&who)?;
        let hash = queue.pop_front()?;
        self.len -= 1;
        match queue.len() {
            0 => drop(self.queues.remove(&who)),
            len => drop(self.by_length.insert((len, who))),
        }
        Some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_left_most_gives_way_first_and_the_oldest_of_it() {
        let hash = |n: u16| {
            let mut hash = [0; 20];
            hash[..2].copy_from_slice(&n.to_be_bytes());
            InfoHash(hash)
        };
        let who = |n: u8| Some(Source::of([9, 9, 9, n].into()));
        let mut parked = Parked::default();
        parked.push(who(1), hash(1));
        parked.push(None, hash(2));
        parked.push(None, hash(3));
        (10..20).for_each(|n| parked.push(who(2), hash(n)));
        let gone: Vec<_> = (0..8).map(|_| parked.pop().unwrap()).collect();
        assert_eq!(gone, (10..18).map(hash).collect::<Vec<_>>());
        assert_eq!(parked.len(), 5);
        let rest: Vec<_> = std::iter::from_fn(|| parked.pop()).collect();
        assert_eq!(rest.len(), 5);
        assert!(rest[2..].contains(&hash(1)), "the one of the modest goes late: {rest:?}");
        assert!(parked.is_empty() && parked.pop().is_none() && parked.queues.is_empty());
    }

    #[test]
    fn what_an_earlier_run_left_goes_after_what_one_source_has_too_many_of() {
        let hash = |n: u32| {
            let mut hash = [0; 20];
            hash[..4].copy_from_slice(&n.to_be_bytes());
            InfoHash(hash)
        };
        let who = Some(Source::of([9, 9, 9, 9].into()));
        let mut parked = Parked::default();
        let (earlier, own) = (5 * SHARE as u32, SHARE as u32 + 3);
        (0..earlier).for_each(|n| parked.push(None, hash(n)));
        (earlier..earlier + own).for_each(|n| parked.push(who, hash(n)));
        let gone: Vec<_> = (0..4).map(|_| parked.pop().unwrap()).collect();
        assert_eq!(gone[..3], [earlier, earlier + 1, earlier + 2].map(hash));
        assert_eq!(gone[3], hash(0), "no more than its share is left of it");
    }
}
