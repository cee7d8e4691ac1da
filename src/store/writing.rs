//! Durable changes: gathered a little at a time, as they are asked for, in one transaction that is
//! committed when the loop can bear it.

use super::opening::Held;
use super::{Sqlite, checkpoints, errors, rows, schema};
use crate::core::id::Ticket;
use crate::core::store::{Change, StoreDone, StoreError, StoreOp};
use crate::core::time::{Span, Time};
use std::time::Duration;

/// What gathering may take in one turn.
const SLICE: Span = Span::us(500);
/// Changes between two looks at the clock.
const STEP: usize = 16;

/// The transaction under way.
#[derive(Debug, Default)]
pub(super) struct Writing {
    is_open: bool,
    /// Operations that are gathered whole.
    tickets: Vec<Ticket>,
    /// Changes of the operation asked first that are gathered.
    within: usize,
    log_bytes: usize,
    /// The longest that gathering held the loop.
    longest: Span,
}

impl Writing {
    pub fn is_open(&self) -> bool {
        self.is_open
    }
}

impl Sqlite {
    /// Gathers durable changes, a slice of them unless this is the `last` call.
    pub(super) fn gather_writes(
        &mut self,
        clock: &mut dyn FnMut() -> Time,
        last: bool,
        done: &mut dyn FnMut(Ticket, StoreDone),
    ) {
        if self.asked.is_empty() {
            return;
        }
        let began = clock();
        let begun = self.begin(last);
        if self.comes_again(&begun, began, last) {
            return;
        }
        if begun.is_err() {
            // What comes behind it would hear the same, each after a wait of its own.
            let all = self.asked.drain(..).map(|(ticket, _)| ticket);
            self.writing.tickets.extend(all);
            return self.ended(begun, clock(), done);
        }
        let gathered = self.gather_slice(clock, began, last);
        self.writing.longest = self.writing.longest.max(clock().since(began));
        if let Err(error) = gathered {
            self.writing.tickets.extend(self.asked.pop_front().map(|(ticket, _)| ticket));
            self.ended(Err(error), clock(), done);
        }
    }

    fn begin(&mut self, last: bool) -> Result<(), StoreError> {
        let Some(Held { db, .. }) = &self.held else { return Err(StoreError::Absent) };
        if self.writing.is_open {
            return Ok(());
        }
        if last {
            // There is no later turn to come again in.
            db.busy_timeout(Duration::from_nanos(super::BUSY.0)).ok();
        }
        let begun = db.execute_batch(schema::DURABLE);
        let begun = begun.and_then(|()| db.execute_batch(schema::BEGIN));
        begun.map_err(|error| errors::of_sqlite(&error))?;
        self.writing.is_open = true;
        Ok(())
    }

    fn gather_slice(
        &mut self,
        clock: &mut dyn FnMut() -> Time,
        began: Time,
        last: bool,
    ) -> Result<(), StoreError> {
        let Sqlite { held: Some(Held { db, .. }), asked, writing, .. } = self else {
            return Err(StoreError::Absent);
        };
        while let Some((ticket, op)) = asked.front() {
            let all = changes(op);
            let left = all.get(writing.within..).unwrap_or_default();
            for change in left.iter().take(STEP) {
                rows::change(db, change).map_err(|error| errors::of_sqlite(&error))?;
                writing.within += 1;
            }
            if writing.within >= all.len() {
                writing.within = 0;
                writing.log_bytes += checkpoints::log_bytes(all.iter());
                writing.tickets.push(*ticket);
                asked.pop_front();
            }
            if !last && clock().since(began) >= SLICE {
                break;
            }
        }
        Ok(())
    }

    /// Commits what is gathered. One operation is never torn in two.
    pub(super) fn commit_writes(
        &mut self,
        clock: &mut dyn FnMut() -> Time,
        last: bool,
        done: &mut dyn FnMut(Ticket, StoreDone),
    ) {
        let torn = self.writing.within > 0 && !last;
        let Some(Held { db, .. }) = self.held.as_ref().filter(|_| self.writing.is_open && !torn)
        else {
            return;
        };
        let began = clock();
        let result = db.execute_batch(schema::COMMIT).map_err(|error| errors::of_sqlite(&error));
        let now = clock();
        self.writing.longest = self.writing.longest.max(now.since(began));
        self.ended(result, now, done);
    }

    /// The transaction is over: what was gathered is kept, or nothing of it.
    fn ended(
        &mut self,
        result: Result<(), StoreError>,
        now: Time,
        done: &mut dyn FnMut(Ticket, StoreDone),
    ) {
        let Writing { tickets, log_bytes, longest, .. } = std::mem::take(&mut self.writing);
        if let Some(Held { db, .. }) = self.held.as_ref().filter(|held| !held.db.is_autocommit()) {
            // What cannot be rolled back is gone with the connection.
            db.execute_batch(schema::ROLLBACK).ok();
        }
        let commit = self.number_of(longest);
        self.logged(log_bytes, now);
        for ticket in tickets {
            done(ticket, StoreDone::Written { result: result.clone(), commit });
        }
    }
}

fn changes(op: &StoreOp) -> &[Change] {
    match op {
        StoreOp::Write(changes) => changes,
        _ => &[],
    }
}
