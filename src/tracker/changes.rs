//! Which swarms changed since they were last written, so that a store can write them in slices.

use crate::core::id::InfoHash;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub struct Changes {
    /// Nothing is noted while nobody writes.
    on: bool,
    waiting: VecDeque<InfoHash>,
}

impl Changes {
    pub fn keep(&mut self) {
        self.on = true;
    }

    pub fn is_kept(&self) -> bool {
        self.on
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Notes a swarm. Beyond `most` nothing more is noted until some were written: what is missed
    /// is noted by its next announce.
    pub fn note(&mut self, hash: InfoHash, most: usize) -> bool {
        let noted = self.on && self.waiting.len() < most;
        if noted {
            self.waiting.push_back(hash);
        }
        noted
    }

    pub fn take(&mut self) -> Option<InfoHash> {
        self.waiting.pop_front()
    }
}
