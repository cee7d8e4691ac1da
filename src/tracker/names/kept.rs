//! What of the catalogue outlives a run: which entries changed, and how they come back.

use super::super::history::Changes;
use super::{Life, NAMES_MAX, Names, Place, Record};
use crate::core::time::Time;
use crate::wire::catalogue::entry::Entry;

/// An entry that came, went or is not what it was.
#[derive(Clone, Debug)]
pub struct Changed {
    pub place: Place,
    /// Its metainfo came.
    pub metainfo: bool,
    pub before: Before,
}

/// What an entry was before somebody changed it: what it must be again when the change cannot be
/// kept.
#[derive(Clone, Debug, Default)]
pub enum Before {
    /// Nobody asked for the change: it stands, kept or not.
    #[default]
    Unasked,
    Absent,
    Was(Box<Record>),
}

impl Changed {
    /// A change that nobody asked for.
    pub(super) fn of(place: &Place) -> Changed {
        Changed { place: place.clone(), metainfo: false, before: Before::Unasked }
    }
}

impl Before {
    pub(super) fn was(record: &Record) -> Before {
        Before::Was(Box::new(record.clone()))
    }

    /// Before this change and a later one.
    pub fn and(self, later: Before) -> Before {
        match self {
            Before::Unasked => later,
            first => first,
        }
    }

    /// The generation of what was there.
    pub fn generation(&self) -> Option<u64> {
        match self {
            Before::Was(record) => Some(record.generation),
            Before::Unasked | Before::Absent => None,
        }
    }
}

impl Names {
    /// Goes on counting where an earlier run ended.
    pub fn resume(&mut self, generation: u64) {
        self.generation = generation;
        self.changes = Changes::new(generation);
    }

    /// Time passes: clients are told changes of the last day.
    pub fn age(&mut self, now: Time) {
        self.changes.age(now, self.generation);
    }

    /// What changed since last asked, in order.
    pub fn take_changed(&mut self) -> Vec<Changed> {
        std::mem::take(&mut self.unkept)
    }

    pub(super) fn note(&mut self, place: &Place, metainfo: bool, before: Before) {
        self.unkept.push(Changed { place: place.clone(), metainfo, before });
    }

    /// Removes an entry whose publisher heard that it could not be kept.
    pub fn withdraw(&mut self, place: &Place) -> Option<Record> {
        self.remove(place)
    }

    /// Makes an entry again what it was before a change that could not be kept; true if it was
    /// gone. What comes back is told as a change, and what is newer after it, so that of two
    /// versions the same one stays the newest.
    pub fn reinstate(&mut self, place: &Place, was: Record) -> bool {
        let before = was.generation;
        let gone = !self.records.contains_key(place);
        let told = match self.records.get_mut(place) {
            Some(record) => {
                // Its sources come and go whoever owns it.
                let owners = std::mem::replace(&mut record.owners, was.owners);
                let told = record.generation != before;
                owners.iter().for_each(|owner| self.forget(*owner));
                self.own(place);
                told
            }
            None => {
                self.put_back(place, was);
                true
            }
        };
        self.unkept.push(Changed::of(place));
        if !told {
            return gone;
        }
        if gone {
            self.tell_again(place);
        }
        let newer = self.of_name(&place.0).filter(|(other, _)| *other != place);
        let newer = newer.map(|(other, record)| (record.generation, other.clone()));
        let mut newer: Vec<(u64, Place)> = newer.filter(|(when, _)| *when > before).collect();
        newer.sort_unstable();
        newer.iter().for_each(|(_, other)| self.tell_again(other));
        gone
    }

    /// An entry is told as changed, as it is.
    fn tell_again(&mut self, place: &Place) {
        let Some(mut record) = self.records.remove(place) else { return };
        record.generation = self.changed(place, &record.entry);
        self.unkept.push(Changed::of(place));
        self.records.insert(place.clone(), record);
    }

    fn own(&mut self, place: &Place) {
        for owner in self.records.get(place).into_iter().flat_map(|record| &record.owners) {
            *self.by_owner.entry(*owner).or_default() += 1;
        }
    }

    pub(super) fn index(&mut self, place: &Place, entry: &Entry) {
        for hash in entry.swarm_hashes() {
            self.by_hash.insert((hash, place.1), place.0.clone());
        }
    }

    /// The lengths of its tables.
    pub fn tables(&self) -> [(&'static str, usize); 7] {
        [
            ("names", self.records.len()),
            ("name_hashes", self.by_hash.len()),
            ("name_owners", self.by_owner.len()),
            ("name_origins", self.origins.len()),
            ("name_changes", self.changes.len()),
            ("names_unkept", self.unkept.len()),
            ("metainfo_bytes", self.metainfo_bytes),
        ]
    }

    /// Puts an entry of an earlier run back in its place, while there is room.
    pub fn restore(&mut self, number: u64, record: Record) -> Option<Place> {
        let place: Place = (record.entry.name.as_str().into(), number);
        self.next = self.next.max(number);
        if self.records.len() >= NAMES_MAX || self.records.contains_key(&place) {
            return None;
        }
        self.put_back(&place, record);
        Some(place)
    }

    /// Looks at up to `count` entries, from where the last look ended, and removes those whose time
    /// is over, `most` at once.
    pub fn sweep(&mut self, now: Time, count: usize, most: usize) -> Vec<Record> {
        let over = |life: Life| match life {
            Life::Pending { until } | Life::Listed { alone: Some(until) } => until <= now,
            Life::Listed { alone: None } => false,
        };
        let mut last = None;
        let mut ended = true;
        let mut gone = Vec::new();
        for (seen, (place, record)) in self.from(self.sweep_at.clone(), "").enumerate() {
            if seen == count || gone.len() == most {
                ended = false;
                break;
            }
            if over(record.life) {
                gone.push(place.clone());
            }
            last = Some(place);
        }
        self.sweep_at = if ended { None } else { last.cloned() };
        gone.iter().filter_map(|place| self.remove(place)).collect()
    }

    /// Whether the last look did not come to the end.
    pub fn is_mid_sweep(&self) -> bool {
        self.sweep_at.is_some()
    }

    /// Whether the claim of an entry counts that its two hashes are one content.
    pub fn note_linked(&mut self, place: &Place, linked: bool) {
        if let Some(record) = self.records.get_mut(place) {
            record.linked = linked;
        }
    }

    fn put_back(&mut self, place: &Place, mut record: Record) {
        self.index(place, &record.entry);
        self.origins.came(record.source);
        self.listed += u64::from(matches!(record.life, Life::Listed { .. }));
        let metainfo = std::mem::take(&mut record.metainfo);
        self.store(&mut record, metainfo);
        self.records.insert(place.clone(), Box::new(record));
        self.own(place);
    }
}
