//! How many entries each limited source has in all swarms together, so that one that has many never
//! drives out one that has few.

use super::source::Source;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Shares {
    entries: BTreeMap<Source, u32>,
}

impl Shares {
    /// Sources that have entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries of a source; 0 for one without limits.
    pub fn of(&self, source: Option<Source>) -> u32 {
        source.and_then(|source| self.entries.get(&source)).copied().unwrap_or(0)
    }

    pub fn add(&mut self, source: Option<Source>) {
        if let Some(source) = source {
            *self.entries.entry(source).or_default() += 1;
        }
    }

    pub fn take(&mut self, source: Option<Source>) {
        let Some(source) = source else { return };
        let Some(count) = self.entries.get_mut(&source) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.entries.remove(&source);
        }
    }
}
