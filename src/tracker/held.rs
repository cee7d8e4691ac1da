//! Bytes that connections hold back, against what there is for all of them: a source whose limits
//! count has a share of it, so that one never takes the room of all.

use super::source::Source;
use crate::core::limits::{ADDRESS_HELD_BYTES_MAX, CATALOGUE_HELD_BYTES_MAX};
use std::collections::BTreeMap;

/// Bytes held back for all HTTP connections together: pipelined requests that wait for their turn.
pub const HTTP_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Held {
    /// Of an HTTP connection.
    pub http: usize,
    /// Of a catalogue connection, beyond what each has for itself.
    pub large: usize,
}

/// Bytes of all connections.
#[derive(Debug, Default)]
pub struct Budget {
    all: Held,
    /// What of `large` is that of sources whose limits count.
    of_source: BTreeMap<Source, usize>,
}

impl Budget {
    /// A connection holds `after` instead of `before`; false if it grew beyond what there is.
    #[must_use]
    pub fn moved(&mut self, source: Option<Source>, before: Held, after: Held) -> bool {
        self.all.http = (self.all.http + after.http).saturating_sub(before.http);
        self.all.large = (self.all.large + after.large).saturating_sub(before.large);
        let share = source.map_or(0, |source| self.share(source, before.large, after.large));
        let http = after.http <= before.http || self.all.http <= HTTP_BYTES_MAX;
        let fits = self.all.large <= CATALOGUE_HELD_BYTES_MAX && share <= ADDRESS_HELD_BYTES_MAX;
        http && (after.large <= before.large || fits)
    }

    /// What a source holds now.
    fn share(&mut self, source: Source, before: usize, after: usize) -> usize {
        if before == after {
            return self.of_source.get(&source).copied().unwrap_or(0);
        }
        let share = self.of_source.entry(source).or_default();
        *share = (*share + after).saturating_sub(before);
        let left = *share;
        if left == 0 {
            self.of_source.remove(&source);
        }
        left
    }

    pub fn bytes(&self) -> usize {
        self.all.http + self.all.large
    }

    /// Sources that hold something.
    pub fn sources(&self) -> usize {
        self.of_source.len()
    }
}
