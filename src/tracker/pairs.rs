//! Which two info-hashes are one content (a v1 companion and a v2 identity), and how many nodes
//! that content has under either, each counted once.

use super::counts::Counts;
use crate::core::id::InfoHash;
use slab::Slab;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub hashes: [InfoHash; 2],
    pub counts: Counts,
    /// How many catalogue entries say so.
    claims: u32,
}

/// Every hash is in at most one pair: whoever claims a second partner for it is not believed, and
/// nobody can make an announce cost more than two look-ups.
#[derive(Debug, Default)]
pub struct Pairs {
    pairs: Slab<Pair>,
    at: BTreeMap<InfoHash, usize>,
}

impl Pairs {
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Makes the pair with these counts, or adds a claim to it. True if it is new.
    pub fn link(&mut self, one: InfoHash, other: InfoHash, counts: Counts) -> bool {
        match (self.at.get(&one), self.at.get(&other)) {
            _ if one == other => false,
            (None, None) => {
                let slot = self.pairs.insert(Pair { hashes: [one, other], counts, claims: 1 });
                self.at.insert(one, slot);
                self.at.insert(other, slot);
                true
            }
            (Some(a), Some(b)) if a == b => {
                if let Some(pair) = self.pairs.get_mut(*a) {
                    pair.claims = pair.claims.saturating_add(1);
                }
                false
            }
            _ => false,
        }
    }

    /// Takes a claim back; the counts of the pair if that was the last.
    pub fn unlink(&mut self, one: InfoHash, other: InfoHash) -> Option<Counts> {
        let slot = self.slot(one, other)?;
        let pair = self.pairs.get_mut(slot)?;
        pair.claims = pair.claims.saturating_sub(1);
        if pair.claims > 0 {
            return None;
        }
        self.at.remove(&one);
        self.at.remove(&other);
        Some(self.pairs.try_remove(slot)?.counts)
    }

    pub fn of(&self, one: InfoHash, other: InfoHash) -> Option<&Pair> {
        self.pairs.get(self.slot(one, other)?)
    }

    pub fn of_mut(&mut self, hash: InfoHash) -> Option<&mut Pair> {
        self.pairs.get_mut(*self.at.get(&hash)?)
    }

    /// The other hash of the same content.
    pub fn twin(&self, hash: InfoHash) -> Option<InfoHash> {
        // Most trackers know no pair, and this is asked for every announce.
        if self.pairs.is_empty() {
            return None;
        }
        let [a, b] = self.pairs.get(*self.at.get(&hash)?)?.hashes;
        Some(if a == hash { b } else { a })
    }

    fn slot(&self, one: InfoHash, other: InfoHash) -> Option<usize> {
        let slot = *self.at.get(&one)?;
        (self.at.get(&other) == Some(&slot)).then_some(slot)
    }
}
