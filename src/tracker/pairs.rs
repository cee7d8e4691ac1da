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

/// What became of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// The first one.
    New,
    /// One more.
    Again,
    /// One of the two belongs to another pair.
    Refused,
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

    /// Claims that two hashes are one content. A new pair is to be made with [`Pairs::link`].
    pub fn claim(&mut self, one: InfoHash, other: InfoHash) -> Claim {
        match (self.at.get(&one), self.at.get(&other)) {
            _ if one == other => Claim::Refused,
            (None, None) => Claim::New,
            (Some(a), Some(b)) if a == b => {
                if let Some(pair) = self.pairs.get_mut(*a) {
                    pair.claims = pair.claims.saturating_add(1);
                }
                Claim::Again
            }
            _ => Claim::Refused,
        }
    }

    /// Makes the pair that a first claim asks for, with these counts.
    pub fn link(&mut self, one: InfoHash, other: InfoHash, counts: Counts) {
        let slot = self.pairs.insert(Pair { hashes: [one, other], counts, claims: 1 });
        self.at.insert(one, slot);
        self.at.insert(other, slot);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_is_refused_is_nobodys() {
        let hash = |n: u8| InfoHash([n; 20]);
        let mut pairs = Pairs::default();
        assert_eq!(pairs.claim(hash(1), hash(2)), Claim::New);
        pairs.link(hash(1), hash(2), Counts::default());
        assert_eq!(pairs.claim(hash(2), hash(1)), Claim::Again);
        assert_eq!(pairs.claim(hash(1), hash(3)), Claim::Refused);
        assert_eq!(pairs.claim(hash(1), hash(1)), Claim::Refused);
        assert_eq!(pairs.unlink(hash(1), hash(3)), None);
        assert_eq!(pairs.unlink(hash(1), hash(2)), None, "one claim is left");
        assert_eq!(pairs.unlink(hash(1), hash(2)), Some(Counts::default()));
        assert_eq!(pairs.twin(hash(1)), None);
    }
}
