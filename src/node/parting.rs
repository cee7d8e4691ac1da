//! The end of a node whose trackers are told by a connection that it goes: they have a moment to
//! take it, then the process ends. A datagram needs none.

use super::shared::Shared;
use crate::core::io::{Input, Outbox};
use crate::core::report::Ending;
use crate::core::time::{Span, Time};

/// How long the trackers have.
const FAREWELL: Span = Span::secs(2);

#[derive(Clone, Copy, Debug)]
pub struct Parting {
    ending: Ending,
    until: Time,
}

impl Shared {
    /// Ends as soon as nobody is left to be told.
    pub(super) fn part_from_trackers(&mut self, ending: Ending, now: Time, out: &mut Outbox) {
        self.parting = Some(Parting { ending, until: now + FAREWELL });
        self.look_whether_over(now, out);
    }

    fn look_whether_over(&mut self, now: Time, out: &mut Outbox) {
        let Some(Parting { ending, until }) = self.parting else { return };
        if !self.ties.is_stopping() || now >= until {
            self.ended = true;
            out.end(ending);
        }
    }

    /// When there is something to do, once only the end is left to do.
    pub fn last_deadline(&self) -> Option<Time> {
        if self.ended {
            return Some(Time::NEVER);
        }
        self.parting.map(|parting| parting.until.min(self.ties.deadline()))
    }

    /// News while we part: what is not about a farewell is of no interest.
    pub fn part(&mut self, input: Input<'_>, now: Time, out: &mut Outbox) {
        let stats = self.stats();
        match input {
            Input::Connected { conn, .. } => _ = self.ties.got_connected(conn, stats, now, out),
            Input::Bytes { conn, bytes } => _ = self.ties.got_bytes(conn, bytes, now, out),
            Input::Closed { conn, why } => _ = self.ties.got_closed(conn, why, now, out),
            // Whoever asks twice does not want to wait.
            Input::Asked(_) => self.parting.iter_mut().for_each(|parting| parting.until = now),
            _ => {}
        }
        self.ties.poll(stats, now, out);
        self.ties.take_news();
        self.look_whether_over(now, out);
    }
}
