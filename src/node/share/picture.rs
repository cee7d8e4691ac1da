//! What a seeder shows of itself: a word for what it does, and its figures before there is a swarm.

use super::{Phase, Share};
use crate::core::report::Transfer;
use crate::core::time::Time;

impl Share {
    pub fn phase(&self) -> &'static str {
        match &self.phase {
            Some(Phase::Fetching(_)) => "fetching",
            Some(Phase::Hashing(_)) => "hashing",
            Some(Phase::Checking(_)) => "checking",
            Some(Phase::Sharing(_)) if self.told => "seeding",
            Some(Phase::Sharing(_)) => "publishing",
            Some(Phase::Withdrawing(_)) => "withdrawing",
            _ => "opening",
        }
    }

    /// The transfer row before there is a swarm.
    pub fn transfer(&self, now: Time) -> Option<Transfer> {
        if let Some(Phase::Fetching(origin)) = &self.phase {
            return Some(origin.transfer(now));
        }
        let (_, meta) = self.file?;
        let (done, rate) = match &self.phase {
            Some(Phase::Hashing(hashing)) => (hashing.hashed_bytes(), hashing.meter.rate(now)),
            Some(Phase::Checking(check)) => (check.passed_bytes(), 0),
            _ => (0, 0),
        };
        let size = match &self.phase {
            Some(Phase::Hashing(hashing)) => hashing.size,
            _ => meta.size,
        };
        let name = self.name.clone();
        Some(Transfer { name, size, done, rate_down: rate, ..Transfer::default() })
    }
}
