//! Database work of a turn: asked as wishes are applied, committed once everything that can leave
//! without it has left.

use super::{Completion, Reactor};
use crate::core::id::Ticket;
use crate::core::io::Role;
use crate::core::store::{StoreError, StoreOp};
use crate::core::time::Time;

/// Turns with something left over for which a commit waits: nobody shall wait for the disk who does
/// not need it, what else is to be written shall come along, and a flood shall not keep those
/// waiting who need it.
const PUT_OFF_MAX: u32 = 8;

impl<R: Role> Reactor<R> {
    pub(super) fn ask_store(&mut self, ticket: Ticket, op: StoreOp) {
        match &mut self.store {
            Some(store) => store.ask(ticket, op),
            None => {
                let done = op.refused(StoreError::Absent);
                self.completions.push_back(Completion::Stored(ticket, done));
            }
        }
    }

    /// When the database has work to do.
    pub(super) fn store_due(&self) -> Time {
        self.store.as_ref().map_or(Time::NEVER, |store| store.due())
    }

    /// One commit for all that was asked in this turn. At the end everything is written.
    pub(super) fn commit(&mut self) {
        let last = self.door.ending.is_some();
        let Some(store) = self.store.as_mut().filter(|store| store.due() <= self.door.now) else {
            return;
        };
        let goes_on = self.datagrams.readable
            || self.door.conns.ready_len() > 0
            || self.door.role.deadline() <= self.door.now;
        if goes_on && self.commits_put_off < PUT_OFF_MAX && !last {
            self.commits_put_off += 1;
            return;
        }
        self.commits_put_off = 0;
        let Reactor { clock, completions, .. } = self;
        store.commit(&mut || clock.now(), last, &mut |ticket, done| {
            completions.push_back(Completion::Stored(ticket, done));
        });
    }
}
