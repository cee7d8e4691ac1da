//! What is committed stands in the log first. It is moved into the database by hand, a little at a
//! time and in a turn of its own: SQLite would do it within a commit, and much at once.

use super::opening::Held;
use super::{Sqlite, schema};
use crate::core::time::{Span, Time};

/// What moving a part of the log may take.
const TAKES: Span = Span::ms(3);
/// Bytes moved at first, and the bounds of all others. Most of the time goes to two syncs,
/// whatever the size.
pub const BYTES: usize = 1024 * 1024;
const BYTES_MIN: usize = 256 * 1024;
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// With so many times more in the log it no longer gives way to commits that somebody waits for.
const OVERDUE: usize = 8;
/// What a durable row takes in the log, bytes: a page, most often.
pub const ROW_BYTES: usize = 4096;

impl Sqlite {
    pub(super) fn logged(&mut self, bytes: usize) {
        self.logged_bytes = self.logged_bytes.saturating_add(bytes);
    }

    pub(super) fn checkpoint_due(&self) -> bool {
        self.logged_bytes >= self.checkpoint_bytes
    }

    pub(super) fn checkpoint_overdue(&self) -> bool {
        self.logged_bytes >= self.checkpoint_bytes.saturating_mul(OVERDUE)
    }

    /// Moves what is in the log. One that fails is tried again with the next bytes: until then the
    /// log holds everything, and a reader that keeps it from being moved does not matter.
    pub(super) fn checkpoint(&mut self, clock: &mut dyn FnMut() -> Time) {
        self.logged_bytes = 0;
        let Some(Held { db, .. }) = &self.held else { return };
        let began = clock();
        db.execute_batch(schema::CHECKPOINT).ok();
        let took = clock().since(began);
        let bytes = self.checkpoint_bytes;
        let next = match took {
            took if took > TAKES => bytes / 2,
            took if took < Span(TAKES.0 / 2) => bytes * 2,
            _ => bytes,
        };
        self.checkpoint_bytes = next.clamp(BYTES_MIN, BYTES_MAX);
    }
}
