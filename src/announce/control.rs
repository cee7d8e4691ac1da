//! The control conversation that prepares a catalogue connection (`docs/wire.md`).

use super::session::{Connection, Health, Pace, Reply, Session};
use crate::core::io::Outbox;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::control::{self, ControlRequest, ControlResponse, Op, Status, caps};
use crate::wire::token::Bearer;
use std::net::SocketAddr;

/// A person waits for the first answer.
const PACE: Pace = Pace { waits_ms: &[250, 500, 1000, 2000, 4000, 8000, 15_000], patience: 3 };
/// How long a busy tracker may put us off, seconds.
const BUSY_S: std::ops::RangeInclusive<u32> = 1..=60;

/// What the tracker said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    /// Zeros after HELLO.
    pub ticket: [u8; 24],
    /// Goes with the ticket.
    pub nonce: [u8; 8],
    /// When the ticket is no longer good.
    pub until: Time,
    /// Where the catalogue is.
    pub catalogue: SocketAddr,
    /// Bits of [`caps`].
    pub caps: u32,
    pub generation: u64,
    /// Names listed.
    pub names: u64,
    /// Largest frame the tracker takes, bytes.
    pub max_frame: u32,
    /// Most entries of one page.
    pub max_page: u32,
    /// Seconds since the tracker started, where it says so.
    pub age_s: Option<u32>,
}

impl Ready {
    /// Whether the tracker serves a network and not its own machine alone.
    pub fn is_open(&self) -> bool {
        self.caps & caps::OPEN != 0
    }

    /// Seconds since a start after which names are still coming back; `None` = what is not listed
    /// is not there.
    pub fn returning_s(&self) -> Option<u32> {
        self.age_s.filter(|_| self.caps & caps::RETURNING != 0)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    Ready(Ready),
    /// It asks to come back after so many seconds; the machine will.
    Busy {
        seconds: u32,
    },
    /// It said no: the conversation is over.
    Refused(Status),
    /// An error of BEP 15, safe to show: this is no tracker of ours. The conversation is over.
    Stock(String),
}

/// News from [`Control::poll`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    Health(Health),
    /// The time allowed is over; so is the conversation.
    GaveUp,
}

/// A machine for one control request. Call [`Control::poll`] after every other call and at
/// [`Control::deadline`].
#[derive(Clone, Debug)]
pub struct Control {
    session: Session,
    op: Op,
    nonce: [u8; 8],
    /// After BUSY: when to ask again.
    again: Option<Time>,
    /// `None` = asks without end.
    give_up_at: Option<Time>,
    token: Option<Bearer>,
}

impl Control {
    /// Begins to ask.
    pub fn new(
        now: Time,
        tracker: SocketAddr,
        op: Op,
        give_up_at: Option<Time>,
        seed: u64,
    ) -> Control {
        let mut rng = Rng::new(seed);
        let mut nonce = [0; 8];
        rng.fill(&mut nonce);
        let mut session = Session::new(tracker, PACE, rng);
        session.ask(now, control::ACTION);
        Control { session, op, nonce, again: None, give_up_at, token: None }
    }

    /// Shows a token.
    pub fn with_token(mut self, token: Option<Bearer>) -> Control {
        self.token = token;
        self
    }

    /// The connection id held, for another conversation with this tracker.
    pub fn connection(&self) -> Option<Connection> {
        self.session.connection()
    }

    /// Goes on with a connection id another conversation with this tracker got.
    pub fn share(&mut self, connection: Connection) {
        self.session.share(connection);
    }

    /// Whether nothing more will come.
    pub fn is_over(&self) -> bool {
        !self.session.is_asking() && self.again.is_none()
    }

    pub fn deadline(&self) -> Time {
        let own = [self.again, self.give_up_at.filter(|_| !self.is_over())];
        own.into_iter().flatten().fold(self.session.deadline(), Time::min)
    }

    /// Sends what is due.
    pub fn poll(&mut self, now: Time, out: &mut Outbox) -> Option<News> {
        if !self.is_over() && self.give_up_at.is_some_and(|at| at <= now) {
            self.session.rest();
            self.again = None;
            return Some(News::GaveUp);
        }
        if self.again.is_some_and(|at| at <= now) {
            self.again = None;
            self.session.ask(now, control::ACTION);
        }
        let (op, nonce) = (self.op, self.nonce);
        let versions = (control::VERSION, control::VERSION);
        let url_data = self.token.as_ref().map(Bearer::url_data).unwrap_or_default();
        let health = self.session.poll(now, out, |cid, tid, bytes| {
            let since = 0;
            ControlRequest { cid, tid, versions, op, nonce, since, url_data }.encode(bytes);
        });
        health.map(News::Health)
    }

    /// A datagram came, perhaps for this conversation.
    pub fn got_datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) -> Option<Heard> {
        let answer = match self.session.got(now, from, bytes, ControlResponse::decode)? {
            Reply::Answer(answer) => answer,
            Reply::Refused(text) => return Some(Heard::Stock(text)),
        };
        match answer.status {
            Status::Ready if answer.version == control::VERSION => {
                Some(Heard::Ready(self.ready(now, &answer)))
            }
            Status::Ready => Some(Heard::Refused(Status::BadVersion)),
            Status::Busy => {
                let seconds = answer.seconds.clamp(*BUSY_S.start(), *BUSY_S.end());
                self.again = Some(now + Span::secs(seconds.into()));
                Some(Heard::Busy { seconds })
            }
            status => Some(Heard::Refused(status)),
        }
    }

    fn ready(&self, now: Time, answer: &ControlResponse) -> Ready {
        let mut catalogue = self.session.tracker();
        if answer.tcp_port != 0 {
            catalogue.set_port(answer.tcp_port);
        }
        Ready {
            ticket: answer.ticket,
            nonce: self.nonce,
            until: now + Span::secs(answer.seconds.into()),
            catalogue,
            caps: answer.caps,
            generation: answer.generation,
            names: answer.names,
            max_frame: answer.max_frame,
            max_page: answer.max_page,
            age_s: (answer.age_s > 0).then_some(answer.age_s),
        }
    }
}
