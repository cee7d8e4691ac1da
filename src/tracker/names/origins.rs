//! Where the names of the catalogue came from, as far as limits count: how many each source has,
//! and how much metainfo. An owner is a key that anybody makes; an address is not.

use crate::core::limits::{ADDRESS_METAINFO_BYTES_MAX, ADDRESS_NAMES_MAX};
use crate::tracker::source::Source;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Default, Debug)]
struct Origin {
    names: u32,
    metainfo_bytes: usize,
}

/// Of a source without limits, and of names of an earlier run, nothing is counted.
#[derive(Default, Debug)]
pub(super) struct Origins {
    of: BTreeMap<Source, Origin>,
}

impl Origins {
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether a source has all the names that it may have, and `more`.
    pub fn is_full(&self, source: Option<Source>, more: u32) -> bool {
        let origin = source.and_then(|source| self.of.get(&source));
        origin.is_some_and(|origin| origin.names >= ADDRESS_NAMES_MAX + more)
    }

    /// A name came.
    pub fn came(&mut self, source: Option<Source>) {
        if let Some(source) = source {
            self.of.entry(source).or_default().names += 1;
        }
    }

    /// Metainfo of a name that is there: counted and true, or more than its source may have.
    pub fn takes(&mut self, source: Option<Source>, bytes: usize) -> bool {
        let Some(origin) = source.and_then(|source| self.of.get_mut(&source)) else { return true };
        let fits = origin.metainfo_bytes + bytes <= ADDRESS_METAINFO_BYTES_MAX;
        if fits {
            origin.metainfo_bytes += bytes;
        }
        fits
    }

    /// A name went, with its metainfo.
    pub fn went(&mut self, source: Option<Source>, metainfo_bytes: usize) {
        let Some(source) = source else { return };
        let Some(origin) = self.of.get_mut(&source) else { return };
        origin.names = origin.names.saturating_sub(1);
        origin.metainfo_bytes = origin.metainfo_bytes.saturating_sub(metainfo_bytes);
        if origin.names == 0 {
            self.of.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_has_a_share_of_names_and_of_metainfo_and_no_more() {
        let mut origins = Origins::default();
        let greedy = Some(Source::of([8, 8, 8, 8].into()));
        let modest = Some(Source::of([8, 8, 4, 4].into()));
        for _ in 0..ADDRESS_NAMES_MAX {
            assert!(!origins.is_full(greedy, 0));
            origins.came(greedy);
            origins.came(None);
        }
        assert!(origins.is_full(greedy, 0), "all it may have");
        assert!(!origins.is_full(greedy, 1), "one of them goes for the new one");
        assert!(!origins.is_full(modest, 0) && !origins.is_full(None, 0));
        origins.came(modest);
        assert!(origins.takes(greedy, ADDRESS_METAINFO_BYTES_MAX - 1));
        assert!(!origins.takes(greedy, 2) && origins.takes(modest, 2));
        assert!(origins.takes(None, usize::MAX));
        origins.went(greedy, ADDRESS_METAINFO_BYTES_MAX - 1);
        assert!(!origins.is_full(greedy, 0) && origins.takes(greedy, 2));
        (1..ADDRESS_NAMES_MAX).for_each(|_| origins.went(greedy, 0));
        origins.went(modest, 2);
        assert_eq!(origins.len(), 0, "who has no names is forgotten");
    }
}
