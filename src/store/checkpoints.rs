//! What is committed stands in the log first. It is moved into the database by hand, a little at a
//! time and in a turn of its own: SQLite would do it within a commit, and much at once.

use super::opening::Held;
use super::{Sqlite, schema};
use crate::core::store::Change;
use crate::core::time::{Span, Time};

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
/// With so much in the log it is moved without one.
const OVERDUE_BYTES: usize = 16 * 1024 * 1024;
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

impl Sqlite {
    pub(super) fn logged(&mut self, bytes: usize, now: Time) {
        self.logged_bytes = self.logged_bytes.saturating_add(bytes);
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

    /// Moves what is in the log. One that fails is tried again with the next bytes: until then the
    /// log holds everything, and a reader that keeps it from being moved does not matter.
    pub(super) fn checkpoint(&mut self, clock: &mut dyn FnMut() -> Time) {
        self.logged_bytes = 0;
        let Some(Held { db, .. }) = &self.held else { return };
        let began = clock();
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
