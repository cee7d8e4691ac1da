//! One entry as the catalogue keeps it, and what makes one.

use super::counts::Counts;
use super::metainfo::Metainfo;
use super::names::Place;
use super::source::Source;
use crate::core::time::Time;
use crate::wire::catalogue::entry::{Entry, flag};
use crate::wire::catalogue::hello::Owner;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// Hidden from all but its owners until a source announces, or the time is over.
    Pending { until: Time },
    /// Seen by all; `alone` is until when it is kept although it has no source.
    Listed { alone: Option<Time> },
}

#[derive(Clone, Debug)]
pub struct Record {
    pub entry: Entry,
    /// Whoever published it and did not take it back; the first is shown. Never empty.
    pub owners: Vec<Owner>,
    /// Where it came from first, if limits count for that; not known of an entry of an earlier run.
    pub source: Option<Source>,
    /// Generation and Unix second of its last change.
    pub generation: u64,
    pub time_s: u64,
    pub life: Life,
    /// Its sources and those who want it, kept as they come and go: a list only reads them.
    pub counts: Counts,
    pub metainfo: Metainfo,
    /// Its claim that its two hashes are one content counts: it is taken back when the entry goes.
    pub linked: bool,
}

impl Record {
    pub fn is_seen_by(&self, viewer: Option<Owner>) -> bool {
        matches!(self.life, Life::Listed { .. })
            || viewer.is_some_and(|viewer| self.owners.contains(&viewer))
    }

    /// What the publisher said and the tracker knows.
    pub fn flags(&self) -> u32 {
        let stored = if self.metainfo.is_empty() { 0 } else { flag::METAINFO };
        let pending = if matches!(self.life, Life::Pending { .. }) { flag::PENDING } else { 0 };
        let seeds = self.metainfo.web_seeds.as_ref().map_or(0, |_| flag::WEB_SEEDS);
        self.entry.flags | stored | pending | seeds
    }

    /// Whether a publishing says the same. What another publisher signed is an entry of its own:
    /// the first signature must not keep others from being listed.
    pub(super) fn is_same(&self, entry: &Entry) -> bool {
        let signer = |entry: &Entry| entry.signed.as_ref().map(|signed| signed.key);
        let own = &self.entry;
        (own.v1, own.v2, signer(own)) == (entry.v1, entry.v2, signer(entry))
    }

    pub(super) fn has_source(&self) -> bool {
        matches!(self.life, Life::Listed { alone: None })
    }
}

/// A publishing that passed its checks.
#[derive(Clone, Debug)]
pub struct News {
    pub entry: Entry,
    pub metainfo: Metainfo,
    pub owner: Owner,
    pub time_s: u64,
    /// Who is in its swarms already.
    pub counts: Counts,
    /// Where it comes from, if limits per owner and address count for that.
    pub source: Option<Source>,
    /// The entry that its owner takes back for it.
    pub replaces: Option<Place>,
}

/// What a publishing came to.
#[derive(Debug)]
pub struct Published {
    pub place: Place,
    pub new: bool,
    pub gone: Vec<Record>,
}
