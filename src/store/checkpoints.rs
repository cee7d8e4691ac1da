//! What is committed stands in the log first. It is moved into the database by hand, a little at a
//! time and in turns of their own: SQLite would do it within a commit, and much at once.
//!
//! SQLite moves no more than what readers have seen, and syncs the database only once all of the
//! log is in it. A reader of ours therefore stands at a mark: up to there a part of the log is
//! moved without a sync, and the disk is asked to write it meanwhile. The move that empties the log
//! has little left to do then. Until it is over the log holds everything.

use super::opening::Held;
use super::{Sqlite, schema};
use crate::core::store::Change;
use crate::core::time::{Span, Time};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

/// What moving a part of the log may take.
const TAKES: Span = Span::ms(3);
/// Bytes moved at first, and the bounds of all others. Most of the time goes to two syncs,
/// whatever the size.
pub const BYTES: usize = 1024 * 1024;
const BYTES_MIN: usize = 256 * 1024;
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Where writes follow each other the log waits for a pause, for most of what a move takes does not
/// depend on its size.
const IDLE: Span = Span::ms(50);
/// With so much in the log it is emptied without one.
const OVERDUE_BYTES: usize = 16 * 1024 * 1024;
/// With so much behind the mark the mark goes on, and what is before it is moved.
const PART_BYTES: usize = 512 * 1024;
const PAGE_BYTES: usize = 4096;
/// A row of a name with its parts in the tree, without metainfo.
const NAME_BYTES: usize = 256;

/// What durable changes take in the log, roughly: a page each, but names of one transaction that
/// were published one after the other stand side by side.
pub fn log_bytes<'a>(changes: impl Iterator<Item = &'a Change>) -> usize {
    let mut last = None;
    let bytes = changes.map(|change| {
        let Change::Name(name) = change else { return PAGE_BYTES };
        let beside = last.is_some_and(|last: u64| name.number.abs_diff(last) == 1);
        last = Some(name.number);
        let metainfo = name.metainfo.iter().flat_map(|m| [&m.v1_info, &m.v2_info, &m.layers]);
        let metainfo: usize = metainfo.flatten().map(|part| part.len()).sum();
        metainfo + if beside { NAME_BYTES } else { PAGE_BYTES }
    });
    bytes.sum()
}

/// Moves parts of the log. The connection that writes may be within a transaction meanwhile.
#[derive(Debug)]
pub struct Mover {
    /// Reads, as of some commit, while it stands at a mark.
    mark: Connection,
    is_marked: bool,
    moving: Connection,
    /// Closed after the connections: closing a file gives up the locks that they have on it.
    database: File,
}

impl Mover {
    pub fn new(path: &Path) -> rusqlite::Result<Mover> {
        let open = || -> rusqlite::Result<Connection> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags(path, flags)?;
            db.busy_timeout(Duration::ZERO)?;
            Ok(db)
        };
        let (mark, moving) = (open()?, open()?);
        let database = File::open(path).map_err(|_| rusqlite::Error::InvalidPath(path.into()))?;
        Ok(Mover { mark, is_marked: false, moving, database })
    }

    /// Gives up the mark: everything may be moved.
    fn unmark(&mut self) {
        self.is_marked = false;
        // Also when the mark was not set whole: an open transaction would keep the log for ever.
        if !self.mark.is_autocommit() && self.mark.execute_batch(schema::COMMIT).is_err() {
            self.mark.execute_batch(schema::ROLLBACK).ok();
        }
    }

    /// Moves what is before the mark and sets it behind all that is committed.
    fn part(&mut self) {
        if self.is_marked {
            let before = self.bytes();
            self.moving.execute_batch(schema::CHECKPOINT).ok();
            let grown = NonZeroU64::new(self.bytes().saturating_sub(before));
            // What was added is not read soon, and is written from now on without being waited for.
            let advised = grown.map(|_| fadvise(&self.database, before, grown, Advice::DontNeed));
            advised.and_then(Result::ok);
        }
        self.unmark();
        self.is_marked = self.mark.execute_batch(schema::MARK).is_ok();
    }

    fn bytes(&self) -> u64 {
        self.database.metadata().map_or(0, |metadata| metadata.len())
    }
}

impl Sqlite {
    pub(super) fn logged(&mut self, bytes: usize, now: Time) {
        self.logged_bytes = self.logged_bytes.saturating_add(bytes);
        self.unmarked_bytes = self.unmarked_bytes.saturating_add(bytes);
        self.logged_at = now;
    }

    pub(super) fn checkpoint_due(&self) -> bool {
        self.logged_bytes >= self.checkpoint_bytes
    }

    /// When the log is moved if nothing is written meanwhile.
    pub(super) fn checkpoint_at(&self) -> Time {
        if self.checkpoint_due() { self.logged_at + IDLE } else { Time::NEVER }
    }

    pub(super) fn checkpoint_overdue(&self) -> bool {
        self.logged_bytes >= OVERDUE_BYTES
    }

    /// Whether a part of the log is to be moved although writes follow each other.
    pub(super) fn part_due(&self) -> bool {
        self.unmarked_bytes >= PART_BYTES && !self.is_idle()
    }

    pub(super) fn move_part(&mut self, clock: &mut dyn FnMut() -> Time) {
        self.unmarked_bytes = 0;
        let Some(Held { mover, .. }) = &mut self.held else { return };
        let began = clock();
        mover.part();
        self.checkpoint_longest = self.checkpoint_longest.max(clock().since(began));
    }

    /// Moves all that is in the log. One that fails is tried again with the next bytes: until then
    /// the log holds everything, and a reader that keeps it from being moved does not matter.
    pub(super) fn checkpoint(&mut self, clock: &mut dyn FnMut() -> Time) {
        (self.logged_bytes, self.unmarked_bytes) = (0, 0);
        let Some(Held { db, mover, .. }) = &mut self.held else { return };
        let began = clock();
        mover.unmark();
        db.execute_batch(schema::CHECKPOINT).ok();
        let took = clock().since(began);
        self.checkpoint_longest = self.checkpoint_longest.max(took);
        let bytes = self.checkpoint_bytes;
        let next = match took {
            took if took > TAKES => bytes / 2,
            took if took < Span(TAKES.0 / 2) => bytes * 2,
            _ => bytes,
        };
        self.checkpoint_bytes = next.clamp(BYTES_MIN, BYTES_MAX);
    }
}
