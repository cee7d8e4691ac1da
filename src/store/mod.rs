//! SQLite behind the door. What was asked in a turn is committed once, at its end: names and counts
//! durably, in one transaction; peers afterwards, in slices so small that the loop goes on.
// This folder owns its files, as the reactor owns the others.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod checkpoints;
mod errors;
mod opening;
mod rows;
pub mod schema;
mod slices;
mod writing;

use crate::core::id::Ticket;
use crate::core::mark::mark;
use crate::core::store::{Commit, Store, StoreDone, StoreError, StoreOp, SwarmPart};
use crate::core::time::{Span, Time};
use opening::Held;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;
use writing::Writing;

/// A lock of another program is waited for this long, and looked at this often.
const BUSY: Span = Span::secs(5);
const BUSY_RETRY: Span = Span::ms(20);

/// One database file.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    held: Option<Held>,
    asked: VecDeque<(Ticket, StoreOp)>,
    writing: Writing,
    liveness: VecDeque<(Ticket, VecDeque<SwarmPart>)>,
    /// Since when another program holds the lock, and when it is tried again.
    busy_since: Option<Time>,
    retry_at: Time,
    slice_bytes: usize,
    /// Bytes in the log that are not in the database yet, roughly, and how many of them are moved
    /// at a time.
    logged_bytes: usize,
    /// Of these, bytes behind the mark up to which parts are moved.
    unmarked_bytes: usize,
    logged_at: Time,
    checkpoint_bytes: usize,
    /// The longest of the slices, and of moving the log, that were not told yet.
    slice_longest: Span,
    checkpoint_longest: Span,
    commits: u64,
}

impl Sqlite {
    /// The database at `path`. Nothing is opened before it is asked for.
    pub fn new(path: PathBuf) -> Sqlite {
        Sqlite {
            path,
            held: None,
            asked: VecDeque::new(),
            writing: Writing::default(),
            liveness: VecDeque::new(),
            busy_since: None,
            retry_at: Time::ZERO,
            slice_bytes: slices::SLICE_BYTES,
            logged_bytes: 0,
            unmarked_bytes: 0,
            logged_at: Time::ZERO,
            checkpoint_bytes: checkpoints::BYTES,
            slice_longest: Span::ZERO,
            checkpoint_longest: Span::ZERO,
            commits: 0,
        }
    }

    /// What is not a write is answered at once.
    fn look(&mut self, op: &StoreOp) -> Result<StoreDone, StoreError> {
        if let StoreOp::Open { unix_s } = op {
            let (held, opened) = opening::open(&self.path, *unix_s)?;
            self.held = Some(held);
            return Ok(StoreDone::Opened(Ok(opened)));
        }
        let Some(Held { db, .. }) = &self.held else { return Err(StoreError::Absent) };
        let found = match op {
            StoreOp::Names { after, bytes_max } => {
                rows::names(db, *after, *bytes_max).map(|rows| StoreDone::Names(Ok(rows)))
            }
            StoreOp::Finished { after, rows_max } => {
                rows::finished(db, *after, *rows_max).map(|rows| StoreDone::Finished(Ok(rows)))
            }
            StoreOp::Swarms { after, bytes_max } => {
                rows::swarms(db, *after, *bytes_max).map(|rows| StoreDone::Swarms(Ok(rows)))
            }
            // The others are no questions.
            StoreOp::Open { .. } | StoreOp::Write(_) | StoreOp::Liveness(_) => {
                return Err(StoreError::Absent);
            }
        };
        found.map_err(|error| errors::of_sqlite(&error))
    }

    /// Answers what was asked and is not a write.
    fn answer(&mut self, done: &mut dyn FnMut(Ticket, StoreDone)) {
        if self.asked.iter().all(|(_, op)| matches!(op, StoreOp::Write(_))) {
            return;
        }
        for (ticket, op) in std::mem::take(&mut self.asked) {
            match op {
                StoreOp::Write(_) => self.asked.push_back((ticket, op)),
                op => {
                    let answer = self.look(&op).unwrap_or_else(|error| op.refused(error));
                    done(ticket, answer);
                }
            }
        }
    }

    /// Whether nothing waits to be written.
    fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.liveness.is_empty() && !self.writing.is_open()
    }

    /// One transaction: everything that `work` does, or nothing.
    fn transact(
        &self,
        synchronous: &str,
        last: bool,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let Some(Held { db, .. }) = &self.held else { return Err(StoreError::Absent) };
        if last {
            // There is no later turn to come again in.
            db.busy_timeout(Duration::from_nanos(BUSY.0)).ok();
        }
        let written = db
            .execute_batch(synchronous)
            .and_then(|()| db.execute_batch(schema::BEGIN))
            .and_then(|()| work(db))
            .and_then(|()| db.execute_batch(schema::COMMIT));
        written.map_err(|error| {
            if !db.is_autocommit() {
                // What cannot be rolled back is gone with the connection.
                db.execute_batch(schema::ROLLBACK).ok();
            }
            errors::of_sqlite(&error)
        })
    }

    /// Whether a result means: come again later. After a while it is final.
    fn comes_again(&mut self, result: &Result<(), StoreError>, now: Time, last: bool) -> bool {
        if *result != Err(StoreError::Busy) || last {
            self.busy_since = None;
            self.retry_at = Time::ZERO;
            return false;
        }
        mark!("C17");
        // Once it was held for too long nobody waits for it any more until it is free.
        let since = *self.busy_since.get_or_insert(now);
        let patient = now.since(since) < BUSY;
        self.retry_at = if patient { now + BUSY_RETRY } else { Time::ZERO };
        patient
    }

    fn number_of(&mut self, took: Span) -> Commit {
        self.commits += 1;
        let checkpoint = std::mem::take(&mut self.checkpoint_longest);
        Commit { number: self.commits, took, checkpoint }
    }
}

impl Store for Sqlite {
    fn ask(&mut self, ticket: Ticket, op: StoreOp) {
        match op {
            StoreOp::Liveness(parts) => self.liveness.push_back((ticket, parts.into())),
            op => self.asked.push_back((ticket, op)),
        }
    }

    fn due(&self) -> Time {
        match self.is_idle() {
            true => self.checkpoint_at(),
            false => self.retry_at,
        }
    }

    fn is_gathered(&self) -> bool {
        self.asked.is_empty() || (self.checkpoint_overdue() && !self.writing.is_open())
    }

    fn gather(&mut self, clock: &mut dyn FnMut() -> Time, done: &mut dyn FnMut(Ticket, StoreDone)) {
        self.answer(done);
        if !self.is_gathered() {
            self.gather_writes(clock, false, done);
        }
    }

    fn commit(
        &mut self,
        clock: &mut dyn FnMut() -> Time,
        last: bool,
        done: &mut dyn FnMut(Ticket, StoreDone),
    ) {
        // Moves have turns of their own, so that no other work is added to them.
        if self.part_due() && !last {
            return self.move_part(clock);
        }
        let overdue = self.checkpoint_overdue() && !self.writing.is_open();
        if (overdue || (self.is_idle() && self.checkpoint_due())) && !last {
            return self.checkpoint(clock);
        }
        self.answer(done);
        self.gather_writes(clock, last, done);
        self.commit_writes(clock, last, done);
        let waits = self.writing.is_open() || (self.retry_at > Time::ZERO && !last);
        if !self.liveness.is_empty() && !waits {
            self.write_slice(clock, last, done);
        }
    }
}
