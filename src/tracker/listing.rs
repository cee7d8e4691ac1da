//! Pages of the catalogue, written straight into the payload of their answer: the whole list, names
//! by prefix or glob, or what changed. The work of one page is bounded; its cursor goes on. Names
//! that are looked up are answered in the same way, whole or not at all.

use super::history::Change;
use super::names::{Names, Place, Record};
use super::registry::Registry;
use super::work::ENTRY_STEPS;
use crate::core::bencode::Writer;
use crate::core::fault::Refusal;
use crate::core::glob::Glob;
use crate::core::mark::mark;
use crate::wire::catalogue::entry::{Added, write_gone, write_listed};
use crate::wire::catalogue::hello::Owner;
use crate::wire::catalogue::request::List;
use crate::wire::catalogue::{LIST_PAGE_BYTES, LIST_PAGE_MAX, code};
use std::collections::BTreeSet;

/// Entries looked at for one page: many may be hidden from the client, or not fit its glob.
const PAGE_LOOKS_MAX: u64 = 8_192;
/// Steps of a glob for one page.
const PAGE_GLOB_STEPS_MAX: u64 = 200_000;
/// Steps of a glob that take as long as one step of work.
const GLOB_STEPS_A_STEP: u64 = 16;

/// Finding a name in the catalogue, in steps of work.
const NAME_STEPS: u64 = 4;

/// The entries of one page in the making, as the list under the key `e`.
pub struct Page {
    pub writer: Writer,
    pub entries: u32,
    limit: u32,
    looks: u64,
    glob_steps: u64,
}

/// Which names a page is about.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    prefix: String,
    globs: Vec<Glob>,
}

impl Choice {
    /// Names that begin with `prefix` and fit one of `globs`, all if there are none.
    pub fn new(prefix: &str, globs: &[String]) -> Result<Choice, Refusal> {
        let bad = |what| Refusal { code: code::BAD_REQUEST, what };
        let globs = globs.iter().map(|glob| Glob::new(glob).map_err(bad));
        let globs: Vec<Glob> = globs.collect::<Result<_, _>>()?;
        let own = match &globs[..] {
            [one] => one.prefix(),
            _ => String::new(),
        };
        // A name must begin with both.
        let prefix = if own.starts_with(prefix) { own } else { prefix.to_owned() };
        Ok(Choice { prefix, globs })
    }

    fn fits(&self, name: &str, page: &mut Page) -> bool {
        name.starts_with(&self.prefix)
            && (self.globs.is_empty()
                || self.globs.iter().any(|glob| glob.fits(name, &mut page.glob_steps)))
    }

    /// Bytes kept for it, roughly.
    pub fn bytes(&self) -> usize {
        self.prefix.len() + self.globs.iter().map(Glob::bytes).sum::<usize>()
    }
}

impl Page {
    /// A page of at most `limit` entries behind the keys that stand before `e`.
    pub fn new(writer: Writer, limit: u32) -> Page {
        let mut writer = writer;
        writer.key(b"e").begin_list();
        Page { writer, entries: 0, limit: limit.min(LIST_PAGE_MAX), looks: 0, glob_steps: 0 }
    }

    fn is_full(&self) -> bool {
        self.entries >= self.limit || self.writer.len() >= LIST_PAGE_BYTES
    }

    /// Whether it took all the work that one page may take.
    fn is_tired(&self) -> bool {
        self.looks >= PAGE_LOOKS_MAX || self.glob_steps >= PAGE_GLOB_STEPS_MAX
    }

    /// What making it took.
    pub fn steps(&self) -> u64 {
        self.looks + u64::from(self.entries) * ENTRY_STEPS + self.glob_steps / GLOB_STEPS_A_STEP
    }

    fn put(&mut self, record: &Record) {
        self.entries += 1;
        let added = Added {
            flags: record.flags(),
            generation: record.generation,
            time_s: record.time_s,
            owner: record.owners.first().copied(),
            complete: record.counts.complete,
            incomplete: record.counts.incomplete,
            available: 0,
        };
        write_listed(&record.entry, &added, &mut self.writer);
    }

    /// Fills the page with entries that stand after `after`; where the next page goes on, and
    /// whether another name begins there.
    pub fn list(
        &mut self,
        registry: &Registry,
        viewer: Option<Owner>,
        choice: &Choice,
        after: Option<Place>,
    ) -> Option<(Place, bool)> {
        let mut last: Option<&Place> = None;
        for (place, record) in registry.names.from(after, &choice.prefix) {
            if !place.0.starts_with(&choice.prefix) {
                break;
            }
            if self.is_full() || self.is_tired() {
                return last.map(|last| (last.clone(), last.0 != place.0));
            }
            self.looks += 1;
            last = Some(place);
            if record.is_seen_by(viewer) && choice.fits(&place.0, self) {
                self.put(record);
            }
        }
        None
    }

    /// Fills the page with what changed after `since`; up to where it tells, and whether that is
    /// all there is.
    pub fn changes(
        &mut self,
        registry: &Registry,
        viewer: Option<Owner>,
        choice: &Choice,
        since: u64,
    ) -> Result<(u64, bool), Refusal> {
        let mut told = since;
        for change in registry.names.changes(since)? {
            if self.is_full() || self.is_tired() {
                return Ok((told, false));
            }
            self.looks += 1;
            told = change.generation;
            if choice.fits(&change.name, self) {
                self.change(registry, viewer, change);
            }
        }
        Ok((registry.names.generation(), true))
    }

    /// Fills the page with all entries of some names, each name once; false if they do not fit.
    fn whole(&mut self, names: &Names, viewer: Option<Owner>, wanted: &[String]) -> bool {
        let mut answered = BTreeSet::new();
        for name in wanted.iter().filter(|name| answered.insert(name.as_str())) {
            self.looks += NAME_STEPS;
            for (_, record) in names.of_name(name) {
                self.looks += 1;
                if record.is_seen_by(viewer) {
                    if self.is_full() {
                        return false;
                    }
                    self.put(record);
                }
            }
        }
        true
    }

    fn change(&mut self, registry: &Registry, viewer: Option<Owner>, change: &Change) {
        let place = (change.name.clone(), change.number);
        match registry.names.get(&place) {
            // A later change of it tells how it stands now.
            Some(record) if record.generation != change.generation => {}
            Some(record) if record.is_seen_by(viewer) => self.put(record),
            Some(_) => {}
            None => {
                self.entries += 1;
                write_gone(&change.name, Some(change.hash), change.generation, &mut self.writer);
            }
        }
    }
}

/// Answers a LIST: its payload, and the steps it took.
pub fn page(
    registry: &Registry,
    viewer: Option<Owner>,
    list: &List,
) -> Result<(Vec<u8>, u64), Refusal> {
    let choice = Choice::new(list.prefix.as_deref().unwrap_or_default(), list.glob.as_slice())?;
    let room = Vec::with_capacity(LIST_PAGE_BYTES + 4096);
    let mut page = Page::new(Writer::after(room), list.limit);
    let cursor = match list.since {
        Some(since) => {
            let told = list.cursor.as_deref().map(cursor_generation).transpose()?;
            let from = told.unwrap_or(since).max(since);
            let (told, whole) = page.changes(registry, viewer, &choice, from)?;
            (!whole).then(|| told.to_string().into_bytes())
        }
        None => {
            let after = list.cursor.as_deref().map(cursor_place).transpose()?;
            if after.is_some() {
                // Names that stay are told exactly once, whatever came and went between pages.
                mark!("C08");
            }
            let next = page.list(registry, viewer, &choice, after);
            next.map(|(last, whole)| place_cursor(&last, whole))
        }
    };
    let steps = page.steps();
    let (generation, names) = (registry.names.generation(), registry.names.listed());
    page.writer.end().key(b"g").uint(generation).key(b"n").uint(names).end();
    Ok((headed(cursor, page.writer), steps))
}

/// Answers a LOOKUP: its payload. The work is spent whether or not there is an answer.
///
/// Refuses with TOO_LARGE what is more than a page: part of an answer would not say that a name
/// stands for several contents. One name alone always fits.
pub fn found(
    registry: &mut Registry,
    viewer: Option<Owner>,
    names: &[String],
) -> Result<Vec<u8>, Refusal> {
    let mut writer = Writer::new();
    writer.begin_dict();
    let mut page = Page::new(writer, LIST_PAGE_MAX);
    let whole = page.whole(&registry.names, viewer, names);
    registry.work.spend(page.steps());
    if !whole {
        let what = "too many entries for one answer; look up fewer names at a time";
        return Err(Refusal { code: code::TOO_LARGE, what });
    }
    page.writer.end().key(b"g").uint(registry.names.generation()).end();
    Ok(page.writer.finish())
}

/// The key `c` stands first, and is known last.
fn headed(cursor: Option<Vec<u8>>, rest: Writer) -> Vec<u8> {
    let mut head = Writer::new();
    head.begin_dict();
    if let Some(cursor) = cursor {
        head.key(b"c").bytes(&cursor);
    }
    let (mut payload, rest) = (head.finish(), rest.finish());
    payload.reserve_exact(rest.len());
    payload.extend_from_slice(&rest);
    payload
}

/// A cursor is the last name looked at; when further contents of that name follow, NUL and the
/// number of the last entry are added. No name contains a NUL.
fn place_cursor((name, number): &Place, whole: bool) -> Vec<u8> {
    match whole {
        true => name.as_bytes().to_vec(),
        false => format!("{name}\0{number}").into_bytes(),
    }
}

const BAD_CURSOR: Refusal =
    Refusal { code: code::BAD_REQUEST, what: "not a cursor of this tracker" };

fn cursor_place(cursor: &[u8]) -> Result<Place, Refusal> {
    let text = std::str::from_utf8(cursor).map_err(|_| BAD_CURSOR)?;
    match text.split_once('\0') {
        None => Ok((text.into(), u64::MAX)),
        Some((name, number)) => Ok((name.into(), number.parse().map_err(|_| BAD_CURSOR)?)),
    }
}

/// The cursor of a list of changes: how far it got.
fn cursor_generation(cursor: &[u8]) -> Result<u64, Refusal> {
    let text = std::str::from_utf8(cursor).map_err(|_| BAD_CURSOR)?;
    text.parse().map_err(|_| BAD_CURSOR)
}
