//! Entries whose rows are not what memory says, and the words for why they are not saved.

use super::names::Before;
use crate::core::store::StoreError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Numbers of entries whose row is not what memory says.
pub type Dirty = BTreeMap<u64, Unwritten>;

#[derive(Clone, Debug)]
pub struct Unwritten {
    pub name: Arc<str>,
    /// The metainfo is to be written, too.
    pub metainfo: bool,
    /// What it was when somebody asked for the change.
    pub before: Before,
}

/// Adds a change to what is to be written of an entry.
pub fn add(dirty: &mut Dirty, number: u64, change: Unwritten) {
    let Unwritten { name, metainfo, before } = change;
    let first = Unwritten { name, metainfo: false, before: Before::Unasked };
    let entry = dirty.entry(number).or_insert(first);
    entry.metainfo |= metainfo;
    entry.before = std::mem::take(&mut entry.before).and(before);
}

/// A refusal has a fixed text.
pub fn not_saving(error: &StoreError) -> &'static str {
    match error {
        StoreError::Full => "not saving: disk full",
        StoreError::Broken => "not saving: the disk reports an error",
        StoreError::Busy => "not saving: another program locks the database",
        StoreError::ReadOnly | StoreError::Denied => "not saving: the database cannot be written",
        StoreError::Damaged => "not saving: the database is damaged",
        _ => "not saving: the database refuses",
    }
}
