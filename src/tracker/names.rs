//! The catalogue: which names there are, what they stand for, and who says so. A name may carry
//! several contents; equal bytes published by several owners under one name are one entry.

mod kept;
mod origins;
pub use kept::{Before, Changed};

use super::counts::Counts;
use super::history::{Change, Changes};
use super::metainfo::Metainfo;
pub use super::name_record::{Life, News, Published, Record};
use crate::core::fault::Refusal;
use crate::core::id::InfoHash;
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use crate::wire::catalogue::code;
use crate::wire::catalogue::entry::Entry;
use crate::wire::catalogue::hello::Owner;
use origins::Origins;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Entries in all: some 500 bytes each without metainfo.
pub const NAMES_MAX: usize = 2_000_000;
/// Contents under one name: more than any honest list a person chooses from.
pub const NAME_CONTENTS_MAX: usize = 32;
/// Versions kept of one owner under one name; the oldest goes first.
pub const OWNER_VERSIONS_MAX: usize = 8;
/// Owners of one entry that are remembered.
pub const ENTRY_OWNERS_MAX: usize = 64;
/// Names that stand for one content: what a first source costs at most.
pub const CONTENT_NAMES_MAX: usize = 64;
/// Entries of one owner that comes from a public address.
pub const OWNER_ENTRIES_MAX: u32 = 10_000;
/// Metainfo kept in all; what is published beyond is listed without.
pub const METAINFO_BYTES_MAX: usize = 1 << 30;
/// How long a new entry waits for its first source.
pub const PENDING: Span = Span::secs(60);

/// Where an entry stands in the order of the catalogue: its name, then the order of publishing.
pub type Place = (Arc<str>, u64);

#[derive(Debug)]
pub struct Names {
    /// Boxed: names come in order often, and then half of the room in a leaf is never used.
    records: BTreeMap<Place, Box<Record>>,
    /// Names of contents, by swarm hash and number.
    by_hash: BTreeMap<(InfoHash, u64), Arc<str>>,
    by_owner: BTreeMap<Owner, u32>,
    origins: Origins,
    generation: u64,
    changes: Changes,
    next: u64,
    listed: u64,
    metainfo_bytes: usize,
    keep: Span,
    sweep_at: Option<Place>,
    /// Since [`Names::take_changed`].
    unkept: Vec<Changed>,
}

impl Names {
    /// An empty catalogue. It counts its changes from `generation`, which must be above what any
    /// earlier run reached, so that clients who kept an old list notice.
    pub fn new(generation: u64, keep: Span) -> Names {
        Names {
            records: BTreeMap::new(),
            by_hash: BTreeMap::new(),
            by_owner: BTreeMap::new(),
            origins: Origins::default(),
            generation,
            changes: Changes::new(generation),
            next: 0,
            listed: 0,
            metainfo_bytes: 0,
            keep,
            sweep_at: None,
            unkept: Vec::new(),
        }
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What changed after a generation, oldest first; RESYNC if that is not known any more.
    pub fn changes(&self, since: u64) -> Result<impl Iterator<Item = &Change>, Refusal> {
        self.changes.since(since, self.generation)
    }

    /// A visible change of an entry: its generation.
    fn changed(&mut self, place: &Place, entry: &Entry) -> u64 {
        self.generation += 1;
        if let Some(hash) = entry.swarm_hashes().next() {
            let (name, number) = (place.0.clone(), place.1);
            self.changes.note(Change { generation: self.generation, name, number, hash });
        }
        self.generation
    }

    /// Counts the peers of the entries of a content anew.
    pub fn recount(&mut self, hash: InfoHash, count: impl Fn(&Entry) -> Counts) {
        for place in places(&self.by_hash, hash) {
            if let Some(record) = self.records.get_mut(&place) {
                record.counts = count(&record.entry);
            }
        }
    }

    /// Entries that all see.
    pub fn listed(&self) -> u64 {
        self.listed
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// All entries of a name, in the order they were published.
    pub fn of_name(&self, name: &str) -> impl Iterator<Item = (&Place, &Record)> {
        let name: Arc<str> = name.into();
        let of_name = self.records.range((name.clone(), 0)..=(name, u64::MAX));
        of_name.map(|(place, record)| (place, &**record))
    }

    /// Entries in order: after `after`, and with names from `prefix` on.
    pub fn from(
        &self,
        after: Option<Place>,
        prefix: &str,
    ) -> impl Iterator<Item = (&Place, &Record)> {
        let first: Place = (prefix.into(), 0);
        let start = match after {
            Some(after) if after >= first => Bound::Excluded(after),
            _ => Bound::Included(first),
        };
        self.records.range((start, Bound::Unbounded)).map(|(place, record)| (place, &**record))
    }

    /// The entries of a content.
    pub fn of_hash(&self, hash: InfoHash) -> impl Iterator<Item = &Record> {
        places(&self.by_hash, hash).filter_map(|place| self.get(&place))
    }

    /// Takes a publishing: where it stands now, whether it is new, and what had to go for it.
    pub fn publish(&mut self, now: Time, news: News) -> Result<Published, Refusal> {
        let same = self.of_name(&news.entry.name).find(|(_, record)| record.is_same(&news.entry));
        let (place, new, gone) = match same.map(|(place, _)| place.clone()) {
            Some(place) => {
                self.again(&place, news);
                (place, false, Vec::new())
            }
            None => {
                let gone = self.make_room(&news)?;
                (self.insert(now, news), true, gone)
            }
        };
        Ok(Published { place, new, gone })
    }

    pub fn get(&self, place: &Place) -> Option<&Record> {
        self.records.get(place).map(Box::as_ref)
    }

    /// The newest entry of an owner under a name.
    pub fn newest(&self, name: &str, owner: Owner) -> Option<&Place> {
        let own = self.of_name(name).filter(|(_, record)| record.owners.contains(&owner));
        own.max_by_key(|(_, record)| record.generation).map(|(place, _)| place)
    }

    /// An owner takes an entry back. What is removed, if nobody else owns it.
    pub fn unpublish(
        &mut self,
        name: &str,
        hash: InfoHash,
        owner: Owner,
    ) -> Result<Option<Record>, Refusal> {
        let found = || self.of_name(name).filter(|(_, record)| record.entry.has_hash(hash));
        let own = found().find(|(_, record)| record.owners.contains(&owner));
        let Some(place) = own.map(|(place, _)| place.clone()) else {
            return Err(match found().next() {
                Some(_) => Refusal { code: code::FORBIDDEN, what: "another owner's entry" },
                None => Refusal { code: code::NOT_FOUND, what: "no such entry" },
            });
        };
        Ok(self.disown(&place, owner))
    }

    /// A source came to the swarm of `hash`. Gives the names that all see from now on.
    pub fn got_source(&mut self, hash: InfoHash, time_s: u64) -> Vec<Place> {
        let mut shown = Vec::new();
        let (records, generation) = (&mut self.records, &mut self.generation);
        for place in places(&self.by_hash, hash) {
            let Some(record) = records.get_mut(&place) else { continue };
            if matches!(record.life, Life::Pending { .. }) {
                *generation += 1;
                (record.generation, record.time_s) = (*generation, time_s);
                self.listed += 1;
                let (name, number) = (place.0.clone(), place.1);
                self.changes.note(Change { generation: *generation, name, number, hash });
                shown.push(place.clone());
            }
            if !record.has_source() {
                self.unkept.push(Changed::of(&place));
            }
            record.life = Life::Listed { alone: None };
        }
        shown
    }

    /// The swarm of `hash` has no source any more; `still` says whether an entry has one elsewhere.
    pub fn lost_source(&mut self, hash: InfoHash, now: Time, still: impl Fn(&Entry) -> bool) {
        for place in places(&self.by_hash, hash) {
            if let Some(record) = self.records.get_mut(&place)
                && record.has_source()
                && !still(&record.entry)
            {
                mark!("C11");
                record.life = Life::Listed { alone: Some(now + self.keep) };
                self.unkept.push(Changed::of(&place));
            }
        }
    }

    fn insert(&mut self, now: Time, news: News) -> Place {
        self.next += 1;
        let place: Place = (news.entry.name.as_str().into(), self.next);
        self.index(&place, &news.entry);
        *self.by_owner.entry(news.owner).or_default() += 1;
        self.origins.came(news.source);
        let has_source = news.counts.complete > 0;
        let life = match has_source {
            true => Life::Listed { alone: None },
            false => Life::Pending { until: now + PENDING },
        };
        self.listed += u64::from(has_source);
        let generation = self.changed(&place, &news.entry);
        let mut record = Record {
            entry: news.entry,
            owners: vec![news.owner],
            source: news.source,
            generation,
            time_s: news.time_s,
            life,
            counts: news.counts,
            metainfo: Metainfo::default(),
            linked: false,
        };
        self.store(&mut record, news.metainfo);
        self.note(&place, !record.metainfo.is_empty(), Before::Absent);
        self.records.insert(place.clone(), Box::new(record));
        place
    }

    /// Keeps metainfo with a record that has none yet, while there is room.
    fn store(&mut self, record: &mut Record, metainfo: Metainfo) {
        let bytes = metainfo.bytes();
        let fits = self.metainfo_bytes + bytes <= METAINFO_BYTES_MAX;
        if record.metainfo.is_empty() && fits && self.origins.takes(record.source, bytes) {
            self.metainfo_bytes += bytes;
            record.metainfo = metainfo;
        } else if let (None, Some(urls)) = (&record.metainfo.web_seeds, metainfo.web_seeds) {
            let bytes = urls.len();
            let fits = self.metainfo_bytes + bytes <= METAINFO_BYTES_MAX;
            if fits && self.origins.takes(record.source, bytes) {
                self.metainfo_bytes += bytes;
                record.metainfo.web_seeds = Some(urls);
            }
        }
    }

    /// An entry is published once more: by a further owner, or as the newest of its owner again.
    fn again(&mut self, place: &Place, news: News) {
        let newest = self.newest(&news.entry.name, news.owner) == Some(place);
        let Some(mut record) = self.records.remove(place) else { return };
        let before = Before::was(&record);
        let (generation, owners) = (record.generation, record.owners.len());
        let had = record.metainfo.bytes();
        if !record.owners.contains(&news.owner) && record.owners.len() < ENTRY_OWNERS_MAX {
            record.owners.push(news.owner);
            *self.by_owner.entry(news.owner).or_default() += 1;
        } else if !newest {
            (record.generation, record.time_s) = (self.changed(place, &record.entry), news.time_s);
        }
        self.store(&mut record, news.metainfo);
        let metainfo = record.metainfo.bytes() != had;
        if metainfo || (record.generation, record.owners.len()) != (generation, owners) {
            self.note(place, metainfo, before);
        }
        self.records.insert(place.clone(), record);
    }

    /// Checks the limits for a new entry and removes what gives way to it: the owner's oldest
    /// version, or the oldest entry of the name that has no source.
    fn make_room(&mut self, news: &News) -> Result<Vec<Record>, Refusal> {
        let quota = |what| Err(Refusal { code: code::QUOTA, what });
        // What an update replaces goes anyway, unless others own it, too.
        let goes = news.replaces.as_ref().filter(|place| {
            self.records.get(place).is_some_and(|record| record.owners == [news.owner])
        });
        let own = self.by_owner.get(&news.owner).copied().unwrap_or(0);
        let one_less = u32::from(goes.is_some());
        if news.source.is_some() && own >= OWNER_ENTRIES_MAX + one_less {
            return quota("too many names of one owner");
        }
        if self.origins.is_full(news.source, one_less) {
            return quota("too many names from one address");
        }
        if self.records.len() >= NAMES_MAX {
            return quota("the catalogue is full");
        }
        let of = |hash| places(&self.by_hash, hash).count();
        if news.entry.swarm_hashes().any(|hash| of(hash) >= CONTENT_NAMES_MAX) {
            return quota("too many names of one content");
        }
        let stays = |(place, _): &(&Place, &Record)| Some(*place) != goes;
        let there: Vec<_> = self.of_name(&news.entry.name).filter(stays).collect();
        let own = || there.iter().filter(|(_, record)| record.owners.contains(&news.owner));
        let oldest = if own().count() >= OWNER_VERSIONS_MAX {
            own().min_by_key(|(_, record)| record.generation)
        } else if there.len() >= NAME_CONTENTS_MAX {
            let idle = there.iter().filter(|(_, record)| !record.has_source());
            let idle = idle.min_by_key(|(_, record)| record.generation);
            if idle.is_none() {
                return quota("too many contents under one name");
            }
            idle
        } else {
            None
        };
        let Some(place) = oldest.map(|(place, _)| Place::clone(place)) else {
            return Ok(Vec::new());
        };
        let gone = self.remove(&place);
        if let Some(record) = &gone {
            self.note(&place, false, Before::was(record));
        }
        Ok(gone.into_iter().collect())
    }

    fn disown(&mut self, place: &Place, owner: Owner) -> Option<Record> {
        let record = self.records.get_mut(place)?;
        let before = Before::was(record);
        let gone = if record.owners.len() == 1 {
            self.remove(place)
        } else {
            record.owners.retain(|other| *other != owner);
            self.forget(owner);
            None
        };
        self.note(place, false, before);
        gone
    }

    fn remove(&mut self, place: &Place) -> Option<Record> {
        let record = self.records.remove(place)?;
        self.unkept.push(Changed::of(place));
        for hash in record.entry.swarm_hashes() {
            self.by_hash.remove(&(hash, place.1));
        }
        for owner in &record.owners {
            self.forget(*owner);
        }
        if matches!(record.life, Life::Listed { .. }) {
            self.listed = self.listed.saturating_sub(1);
            self.changed(place, &record.entry);
        }
        self.metainfo_bytes = self.metainfo_bytes.saturating_sub(record.metainfo.bytes());
        self.origins.went(record.source, record.metainfo.bytes());
        Some(*record)
    }

    fn forget(&mut self, owner: Owner) {
        if let Some(count) = self.by_owner.get_mut(&owner) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_owner.remove(&owner);
            }
        }
    }
}

/// The places of a content, in the order they were published.
fn places(
    by_hash: &BTreeMap<(InfoHash, u64), Arc<str>>,
    hash: InfoHash,
) -> impl Iterator<Item = Place> {
    let of_hash = by_hash.range((hash, 0)..=(hash, u64::MAX));
    of_hash.map(|((_, number), name)| (name.clone(), *number))
}
