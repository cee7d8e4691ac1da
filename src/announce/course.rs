//! What one announcing conversation says when, whatever carries it: `started` first, then at the
//! tracker's interval, `completed` once, `stopped` at the end (BEP 3).

use crate::core::time::{Span, Time};
use crate::wire::udp::Event;

#[derive(Clone, Debug)]
pub struct Course {
    life: Life,
    /// When the next announce begins, unless one is under way.
    next: Time,
    /// No hurried announce before this.
    hurry_from: Time,
    /// The event of the announce under way or next.
    event: Event,
    /// What to say after `started` was heard.
    completion: Completion,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// Not started, or over.
    Quiet,
    Running,
    Stopping,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Completion {
    /// It is not known yet whether content was missing at the start.
    Unknown,
    /// Content was missing at the start: `completed` may come.
    Open,
    /// To be said with the next announce that is free for it.
    ToSay,
    /// Said, or never to be said.
    Closed,
}

impl Default for Course {
    fn default() -> Course {
        Course {
            life: Life::Quiet,
            next: Time::NEVER,
            hurry_from: Time::ZERO,
            event: Event::Started,
            completion: Completion::Unknown,
        }
    }
}

impl Course {
    /// Announces from `at` on, `started` first.
    pub fn start(&mut self, at: Time) {
        if self.life == Life::Quiet {
            self.life = Life::Running;
            self.event = Event::Started;
            self.completion = Completion::Unknown;
            self.next = at;
        }
    }

    /// Everything is here: to be said once, at once, if something was missing at the start. ->
    /// whether an announce under way is overtaken, as a regular one is and `started` is not.
    pub fn completed(&mut self, now: Time) -> bool {
        if self.completion != Completion::Open {
            return false;
        }
        self.completion = Completion::ToSay;
        self.next = now;
        self.event == Event::None
    }

    /// The next announce begins now, or as soon as hurrying is allowed.
    pub fn hurry(&mut self, now: Time) {
        self.next = self.next.min(self.hurry_from.max(now));
    }

    /// Ends. -> whether `stopped` is to be said: what never left needs no farewell.
    pub fn stop(&mut self) -> bool {
        let heard_of = self.life == Life::Running
            && (self.event != Event::Started || self.completion != Completion::Unknown);
        self.life = if heard_of { Life::Stopping } else { Life::Quiet };
        self.next = Time::NEVER;
        if heard_of {
            self.event = Event::Stopped;
        }
        heard_of
    }

    pub fn next(&self) -> Time {
        self.next
    }

    /// The event of the announce that leaves now.
    pub fn event(&self) -> Event {
        self.event
    }

    /// Whether an announce begins now, if none is under way.
    pub fn begins(&mut self, now: Time) -> bool {
        let begins = self.life == Life::Running && self.next <= now;
        if begins && self.completion == Completion::ToSay && self.event != Event::Started {
            self.event = Event::Completed;
        }
        begins
    }

    /// An announce left; `complete` = nothing was missing.
    pub fn left(&mut self, complete: bool) {
        if self.completion == Completion::Unknown {
            self.completion = if complete { Completion::Closed } else { Completion::Open };
        }
    }

    /// An announce was answered; hurrying is allowed from `hurry_from` on.
    pub fn answered(&mut self, now: Time, interval: Span, hurry_from: Time) {
        if self.event == Event::Completed {
            self.completion = Completion::Closed;
        }
        self.event = Event::None;
        self.hurry_from = hurry_from;
        self.next = if self.completion == Completion::ToSay { now } else { now + interval };
    }

    /// There was no answer, or a refusal: the same is said again at `next`.
    pub fn again(&mut self, next: Time) {
        self.next = next;
        self.over_if_stopping();
    }

    /// Whether the word that came back was the answer to `stopped`: the conversation is over then.
    pub fn over_if_stopping(&mut self) -> bool {
        let over = self.life == Life::Stopping;
        if over {
            self.life = Life::Quiet;
            self.next = Time::NEVER;
        }
        over
    }

    pub fn is_stopping(&self) -> bool {
        self.life == Life::Stopping
    }
}
