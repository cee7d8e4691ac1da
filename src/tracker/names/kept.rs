//! What of the catalogue outlives a run: which entries changed, and how they come back.

use super::super::history::Changes;
use super::{Life, NAMES_MAX, Names, Place, Record};
use crate::wire::catalogue::entry::Entry;

/// An entry that came, went or is not what it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed {
    pub place: Place,
    /// Its metainfo came.
    pub metainfo: bool,
    /// It was not there before.
    pub new: bool,
}

impl Names {
    /// Goes on counting where an earlier run ended.
    pub fn resume(&mut self, generation: u64) {
        self.generation = generation;
        self.changes = Changes::new(generation);
    }

    /// What changed since last asked, in order.
    pub fn take_changed(&mut self) -> Vec<Changed> {
        std::mem::take(&mut self.unkept)
    }

    pub(super) fn note(&mut self, place: &Place, metainfo: bool) {
        self.unkept.push(Changed { place: place.clone(), metainfo, new: false });
    }

    pub(super) fn note_new(&mut self, place: &Place, metainfo: bool) {
        self.unkept.push(Changed { place: place.clone(), metainfo, new: true });
    }

    /// Removes an entry whose publisher heard that it could not be kept.
    pub fn withdraw(&mut self, place: &Place) -> Option<Record> {
        self.remove(place)
    }

    pub(super) fn index(&mut self, place: &Place, entry: &Entry) {
        for hash in entry.swarm_hashes() {
            self.by_hash.insert((hash, place.1), place.0.clone());
        }
    }

    /// The lengths of its tables.
    pub fn tables(&self) -> [(&'static str, usize); 6] {
        [
            ("names", self.records.len()),
            ("name_hashes", self.by_hash.len()),
            ("name_owners", self.by_owner.len()),
            ("name_changes", self.changes.len()),
            ("names_unkept", self.unkept.len()),
            ("metainfo_bytes", self.metainfo_bytes),
        ]
    }

    /// Puts an entry of an earlier run back in its place, while there is room.
    pub fn restore(&mut self, number: u64, mut record: Record) -> Option<Place> {
        let place: Place = (record.entry.name.as_str().into(), number);
        self.next = self.next.max(number);
        if self.records.len() >= NAMES_MAX || self.records.contains_key(&place) {
            return None;
        }
        self.index(&place, &record.entry);
        for owner in &record.owners {
            *self.by_owner.entry(*owner).or_default() += 1;
        }
        self.listed += u64::from(matches!(record.life, Life::Listed { .. }));
        let metainfo = std::mem::take(&mut record.metainfo);
        self.store(&mut record, metainfo);
        self.records.insert(place.clone(), Box::new(record));
        Some(place)
    }
}
