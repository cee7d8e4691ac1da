//! The latest changes of the catalogue, in the order of their generations: what a delta list and a
//! watch are told from. One log serves all; a client keeps no more than how far it got.

use crate::core::fault::Refusal;
use crate::core::id::InfoHash;
use crate::core::time::{Span, Time};
use crate::wire::catalogue::code;
use std::collections::VecDeque;
use std::sync::Arc;

/// Changes kept, removals among them: 64 bytes each. Who is further behind reads the list anew.
pub const CHANGES_MAX: usize = 100_000;
/// How long a change is kept, and how exactly that is known.
pub const CHANGES_LAST: Span = Span::secs(24 * 3600);
const AGE_EVERY: Span = Span::secs(60);
/// Old changes dropped at a time.
const DROPPED_MAX: usize = 4096;

/// An entry came, changed or went.
#[derive(Clone, Debug)]
pub struct Change {
    pub generation: u64,
    pub name: Arc<str>,
    /// Together with the name, its place in the catalogue.
    pub number: u64,
    /// A swarm hash of its content.
    pub hash: InfoHash,
}

#[derive(Debug)]
pub struct Changes {
    log: VecDeque<Change>,
    /// Changes up to this generation are not known any more.
    forgotten: u64,
    /// Which generation was the newest when, a minute apart.
    ages: VecDeque<(Time, u64)>,
}

impl Changes {
    /// No changes since `generation`.
    pub fn new(generation: u64) -> Changes {
        Changes { log: VecDeque::new(), forgotten: generation, ages: VecDeque::new() }
    }

    /// Changes that are known.
    pub fn len(&self) -> usize {
        self.log.len()
    }

    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    pub fn note(&mut self, change: Change) {
        if self.log.len() >= CHANGES_MAX
            && let Some(oldest) = self.log.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest.generation);
        }
        self.log.push_back(change);
    }

    /// Time passes: what is too old is forgotten. `newest` is the generation now.
    pub fn age(&mut self, now: Time, newest: u64) {
        while let Some((_, old)) = self.ages.pop_front_if(|(at, _)| now.since(*at) >= CHANGES_LAST)
        {
            self.forgotten = self.forgotten.max(old);
        }
        if self.ages.back().is_none_or(|(at, _)| now.since(*at) >= AGE_EVERY) {
            self.ages.push_back((now, newest));
        }
        for _ in 0..DROPPED_MAX {
            let forgotten = self.forgotten;
            if self.log.pop_front_if(|change| change.generation <= forgotten).is_none() {
                return;
            }
        }
    }

    /// Everything after `generation`, which `newest` must not be behind.
    pub fn since(
        &self,
        generation: u64,
        newest: u64,
    ) -> Result<impl Iterator<Item = &Change>, Refusal> {
        if generation < self.forgotten || generation > newest {
            return Err(Refusal { code: code::RESYNC, what: "read the whole list again" });
        }
        let first = self.log.partition_point(|change| change.generation <= generation);
        Ok(self.log.range(first..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(generation: u64) -> Change {
        Change { generation, name: "n".into(), number: generation, hash: InfoHash([0; 20]) }
    }

    #[test]
    fn what_was_forgotten_or_never_was_is_read_anew_and_all_else_is_told_once() {
        let mut changes = Changes::new(10);
        let newest = 10 + CHANGES_MAX as u64 + 3;
        for generation in 11..=newest {
            changes.note(change(generation));
        }
        assert_eq!(changes.log.len(), CHANGES_MAX);
        for bad in [0, 12, newest + 1] {
            assert_eq!(changes.since(bad, newest).err().map(|r| r.code), Some(code::RESYNC));
        }
        let told = |since| changes.since(since, newest).unwrap().map(|c| c.generation);
        assert_eq!(told(13).next(), Some(14));
        assert_eq!(told(newest - 2).collect::<Vec<_>>(), [newest - 1, newest]);
        assert_eq!(told(newest).count(), 0);
        assert_eq!(Changes::new(7).since(7, 7).unwrap().count(), 0);
    }

    #[test]
    fn a_change_is_told_for_a_day_and_whoever_knows_the_newest_has_missed_nothing() {
        let mut changes = Changes::new(0);
        let minute = |n: u64| Time::ZERO + Span::secs(60 * n);
        for n in 1..=3000 {
            changes.note(change(n));
            changes.age(minute(n), n);
        }
        let day = 24 * 60;
        assert_eq!(changes.since(3000 - day - 1, 3000).err().map(|r| r.code), Some(code::RESYNC));
        assert_eq!(changes.since(3000 - day, 3000).unwrap().count(), day as usize);
        assert_eq!(changes.log.len(), day as usize, "what is forgotten is dropped");
        (0..2 * day).for_each(|n| changes.age(minute(3000 + n), 3000));
        assert_eq!(changes.log.len(), 0);
        assert_eq!(changes.since(3000, 3000).unwrap().count(), 0);
        assert!(changes.since(2999, 3000).is_err());
        assert!(changes.ages.len() <= day as usize + 1);
    }
}
