//! Steps 1 to 4 of the turn: how long to wait, what the poll says, and the news that need no
//! socket.

use super::{Completion, Reactor, TOKEN_SIGNALS, TOKEN_TCP, TOKEN_UDP, TOKEN_WAKE, internal};
use crate::core::fault::Fatal;
use crate::core::io::{Input, Role};
use crate::core::time::{Span, Time};
use std::io::ErrorKind;
use std::time::Duration;

impl<R: Role> Reactor<R> {
    /// How long the poll may wait: not at all while work is left over from the last turn.
    pub(super) fn wait(&mut self, wait_max: Span) -> Span {
        let left_over = !self.born
            || !self.completions.is_empty()
            || !self.door.out.effects.is_empty()
            || self.door.conns.ready_len() > 0
            || self.door.conns.flush_len() > 0
            || self.door.conns.sent_due()
            || self.datagrams.readable
            || self.datagrams.groups.is_readable()
            || self.files.is_waiting()
            || self.store_due() == Time::ZERO;
        if left_over {
            return Span::ZERO;
        }
        let due = [self.inlet.deadline(), self.datagrams.deadline()];
        let due = due.into_iter().fold(self.door.role.deadline(), Time::min);
        let due = due.min(self.door.conns.closing_deadline()).min(self.store_due());
        due.since(self.clock.now()).min(wait_max)
    }

    pub(super) fn poll_readiness(&mut self, wait: Span) -> Result<(), Fatal> {
        match self.poll.poll(&mut self.ready, Some(Duration::from_nanos(wait.0))) {
            Ok(()) => {}
            // A signal came; what it means is in its pipe.
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(internal("poll", &e)),
        }
        self.door.now = self.clock.now();
        for event in &self.ready {
            match event.token() {
                TOKEN_WAKE => {}
                TOKEN_SIGNALS => self.signalled = true,
                TOKEN_TCP => self.inlet.acceptable = true,
                TOKEN_UDP => self.datagrams.readable = true,
                token if self.datagrams.groups.note(token) => {}
                _ => self.door.conns.note(event),
            }
        }
        Ok(())
    }

    pub(super) fn tell_completions(&mut self) {
        if !std::mem::replace(&mut self.born, true) {
            self.door.tell(Input::Born);
        }
        for completion in self.completions.drain(..) {
            self.door.tell(match completion {
                Completion::Listening(ticket, result) => Input::Listening { ticket, result },
                Completion::Joined(ticket, result) => Input::Joined { ticket, result },
                Completion::File(ticket, done) => Input::File { ticket, done },
                Completion::Stored(ticket, done) => Input::Stored { ticket, done },
            });
        }
        while let Some((conn, bytes, queued)) = self.door.conns.next_sent() {
            self.door.tell(Input::Sent { conn, bytes, queued });
        }
    }

    pub(super) fn tell_commands(&mut self) {
        while let Some(command) = self.inbox.next() {
            self.door.tell(Input::Asked(command));
        }
        if let (true, Some(signals)) = (std::mem::take(&mut self.signalled), &mut self.signals) {
            for command in signals.pending() {
                self.door.tell(Input::Asked(command));
            }
        }
    }
}
