//! A disk without room: the download pauses with its connections, looks at the disk from time to
//! time, and goes on as soon as there is room for some more.

use crate::core::id::Ticket;
use crate::core::io::{FileError, Outbox};
use crate::core::limits::DISK_FULL_RETRY;
use crate::core::mark::mark;
use crate::core::report::Event;
use crate::core::time::Time;
use crate::node::target::Target;

#[derive(Debug, Default)]
enum State {
    #[default]
    Enough,
    /// A piece found no room.
    Full { until: Time },
    /// How much is free?
    Asked(Ticket),
    /// There should be room: the next piece will tell.
    Trying,
}

#[derive(Debug, Default)]
pub(super) struct Room {
    state: State,
    /// What was said when it was found full, until it goes on.
    line: Option<String>,
}

impl Room {
    /// A piece could not be written for want of room.
    pub fn refused(&mut self, now: Time) {
        if !matches!(self.state, State::Full { .. } | State::Asked(_)) {
            self.state = State::Full { until: now + DISK_FULL_RETRY };
        }
    }

    /// Whether nothing is to be asked of anybody.
    pub fn is_short(&self) -> bool {
        matches!(self.state, State::Full { .. } | State::Asked(_))
    }

    /// Whether nobody found it full since there was room.
    pub fn is_enough(&self) -> bool {
        matches!(self.state, State::Enough)
    }

    /// The part file was opened, and there was room for that.
    pub fn opened(&mut self) {
        self.state = State::Enough;
    }

    pub fn deadline(&self) -> Time {
        match self.state {
            State::Full { until } => until,
            _ => Time::NEVER,
        }
    }

    /// Asks how much is free, when it is time to.
    pub fn look(&mut self, target: &Target, now: Time, out: &mut Outbox) {
        if now >= self.deadline() {
            self.state = State::Asked(target.ask_room(out));
        }
    }

    pub fn asked(&self, ticket: Ticket) -> bool {
        matches!(self.state, State::Asked(ours) if ours == ticket)
    }

    /// The answer, with `missing` bytes to come.
    pub fn got_free(
        &mut self,
        free: Result<u64, FileError>,
        (target, missing): (&Target, u64),
        now: Time,
    ) {
        self.state = match free {
            Ok(free) if target.has_room(free, missing) => State::Trying,
            _ => State::Full { until: now + DISK_FULL_RETRY },
        };
    }

    /// A piece found room. -> whether that is news.
    pub fn found(&mut self) -> bool {
        let tried = matches!(self.state, State::Trying);
        if tried {
            self.state = State::Enough;
        }
        tried
    }

    /// Says once that the disk is full.
    pub fn say_full(&mut self, percent: u64, out: &mut Outbox) {
        mark!("E02");
        if self.line.is_none() {
            let line = format!("disk full – paused, {percent} % kept; free space and it goes on");
            self.line = Some(line.clone());
            out.tell(Event::warning("disk_full", line).number("percent", percent));
        }
    }

    /// Says that it goes on, if it had been said that it does not.
    pub fn say_going_on(&mut self, percent: u64, out: &mut Outbox) {
        if self.line.take().is_some() {
            let line = format!("there is room again; going on at {percent} %");
            out.tell(Event::info("disk_room", line).number("percent", percent));
        }
    }

    /// The line, for as long as it holds.
    pub fn line(&self) -> Option<String> {
        self.line.clone()
    }
}
