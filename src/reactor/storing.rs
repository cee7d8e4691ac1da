//! Database work of a turn: asked as wishes are applied, committed once everything that can leave
//! without it has left.

use super::{Completion, Reactor};
use crate::core::id::Ticket;
use crate::core::io::Role;
use crate::core::store::{Store, StoreError, StoreOp};
use crate::core::time::{Span, Time};

/// Turns with something left over for which a commit waits: nobody shall wait for the disk who does
/// not need it, what else is to be written shall come along, and a flood shall not keep those
/// waiting who need it.
const PUT_OFF_MAX: u32 = 8;
/// A datagram may wait so long for the disk; what a commit takes beyond is made up for by this many
/// times as long without one, so that less than one datagram in a hundred waits longer.
const WAIT: Span = Span::us(1500);
const SHARE: u64 = 128;
/// But whoever waits for a commit waits no longer than this.
const APART_MAX: Span = Span::secs(1);

impl<R: Role> Reactor<R> {
    /// Gives the role a database.
    pub fn with_store(self, store: Option<Box<dyn Store>>) -> Reactor<R> {
        Reactor { store, ..self }
    }

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
        let Some(store) = &self.store else { return Time::NEVER };
        match self.pace.holds(self.door.now) && store.is_gathered() {
            true => store.due().max(self.pace.until),
            false => store.due(),
        }
    }

    /// One commit for all that was asked in this turn, or in several. At the end everything is
    /// written.
    pub(super) fn commit(&mut self) {
        let (last, now) = (self.door.ending.is_some(), self.door.now);
        self.pace.look(self.door.counters.datagrams_in, now);
        let Some(store) = self.store.as_mut().filter(|store| store.due() <= now) else {
            return;
        };
        let Reactor { clock, completions, .. } = self;
        let mut done = |ticket, done| completions.push_back(Completion::Stored(ticket, done));
        let goes_on = self.datagrams.readable
            || self.door.conns.ready_len() > 0
            || self.door.role.deadline() <= now;
        if !last && self.pace.puts_off(goes_on, now) {
            return store.gather(&mut || clock.now(), &mut done);
        }
        let began = clock.now();
        store.commit(&mut || clock.now(), last, &mut done);
        self.pace.took(clock.now().since(began));
    }
}

/// When the loop can bear the disk.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Turns that the next commit was put off for.
    put_off: u32,
    /// Datagrams received until the last turn.
    received: u64,
    /// How much longer than a datagram may wait the commit of the last turn took.
    excess: Span,
    /// No commit before.
    until: Time,
}

impl Pace {
    /// A turn received this many datagrams. If some waited for a commit, the next one must wait.
    fn look(&mut self, received: u64, now: Time) {
        let excess = std::mem::take(&mut self.excess);
        if received > self.received && excess > Span::ZERO {
            self.until = now + excess.times(SHARE).min(APART_MAX);
        }
        self.received = received;
    }

    fn holds(&self, now: Time) -> bool {
        self.until > now
    }

    fn puts_off(&mut self, goes_on: bool, now: Time) -> bool {
        let goes_on = goes_on && self.put_off < PUT_OFF_MAX;
        self.put_off += u32::from(goes_on);
        goes_on || self.holds(now)
    }

    fn took(&mut self, took: Span) {
        self.put_off = 0;
        self.excess = Span(took.0.saturating_sub(WAIT.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_is_waited_for_seldom_while_datagrams_come_and_at_once_while_none_do() {
        let at = |ms| Time::ZERO + Span::ms(ms);
        let mut pace = Pace::default();
        assert!(!pace.puts_off(false, at(0)));
        pace.took(Span::ms(4));
        pace.look(0, at(4));
        assert!(!pace.puts_off(false, at(4)), "nobody waited");
        pace.took(Span::ms(4));
        pace.look(1, at(8));
        assert!(pace.puts_off(false, at(8)) && pace.puts_off(false, at(200)));
        assert!(!pace.puts_off(false, at(400)));
        pace.took(Span::secs(1));
        pace.look(2, at(1400));
        assert!(pace.puts_off(false, at(2300)) && !pace.puts_off(false, at(2400)), "bounded");
        pace.took(Span::us(900));
        pace.look(3, at(2400));
        assert!(!pace.puts_off(false, at(2400)), "a quick one");
    }

    #[test]
    fn a_commit_gives_way_to_what_goes_on_a_few_times() {
        let mut pace = Pace::default();
        let given_way = (0..100).take_while(|_| pace.puts_off(true, Time::ZERO)).count();
        assert_eq!(given_way, PUT_OFF_MAX as usize);
        pace.took(Span::ZERO);
        assert!(pace.puts_off(true, Time::ZERO));
    }
}
