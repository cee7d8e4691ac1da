//! What every UDP conversation with a tracker has in common: the connection id (BEP 15), one
//! question at a time, asked again until it is answered, and whether the tracker answers at all.

use crate::core::io::Outbox;
use crate::core::report::foreign_bytes;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::read::Fields;
use crate::wire::udp::{Request, Response, action};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How long a client uses a connection id (BEP 15).
const CONNECTION_LIFE: Span = Span::secs(60);

/// When to ask again, and when to call the tracker silent.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Milliseconds to wait after the first, second ... sending; the last one repeats.
    pub waits_ms: &'static [u64],
    /// Timeouts in a row before [`Health::NotAnswering`].
    pub patience: u32,
}

impl Pace {
    /// The wait after a sending that followed so many timeouts.
    fn wait(&self, timeouts: u32) -> Span {
        let wait_ms = self.waits_ms.get(timeouts as usize).or(self.waits_ms.last());
        Span::ms(wait_ms.copied().unwrap_or(1000))
    }
}

/// A connection id and the moment it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection {
    pub cid: u64,
    pub since: Time,
}

/// News about the tracker itself, each told once per outage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// So many sendings of one question went unanswered; asking goes on.
    NotAnswering { tries: u32 },
    /// It answers again.
    Back,
}

/// The end of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply<T> {
    Answer(T),
    /// The tracker's error text, safe to show.
    Refused(String),
}

/// One conversation with one tracker.
#[derive(Clone, Debug)]
pub struct Session {
    tracker: SocketAddr,
    /// Our address that questions leave from.
    from: IpAddr,
    pace: Pace,
    rng: Rng,
    connection: Option<Connection>,
    question: Option<Question>,
    /// The last error already made us connect anew: the next one is an answer.
    reconnected: bool,
    silent: bool,
    back: bool,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    /// The action number of the request and of its answer.
    action: u32,
    /// Take a connection id of any age: there is no time to get a new one.
    last_words: bool,
    /// What is on its way: its transaction, and whether it is a connect.
    sent: Option<(u32, bool)>,
    /// Sendings that nobody answered in time.
    timeouts: u32,
    due: Time,
}

impl Session {
    pub fn new(tracker: SocketAddr, pace: Pace, rng: Rng) -> Session {
        Session {
            tracker,
            from: unspecified(tracker),
            pace,
            rng,
            connection: None,
            question: None,
            reconnected: false,
            silent: false,
            back: false,
        }
    }

    /// Speaks from an address of ours where one is given; else from any.
    pub fn speak_from(&mut self, ours: Option<IpAddr>) {
        self.from = ours.unwrap_or_else(|| unspecified(self.tracker));
    }

    pub fn tracker(&self) -> SocketAddr {
        self.tracker
    }

    /// The connection id held, for another conversation with the same tracker.
    pub fn connection(&self) -> Option<Connection> {
        self.connection
    }

    /// Goes on with an id that another conversation got, unless the own one is younger.
    pub fn share(&mut self, connection: Connection) {
        if self.connection.is_none_or(|own| own.since < connection.since) {
            self.connection = Some(connection);
        }
    }

    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Begins a question that is answered under the same action number; an open one is dropped.
    pub fn ask(&mut self, now: Time, action: u32) {
        self.question =
            Some(Question { action, last_words: false, sent: None, timeouts: 0, due: now });
    }

    /// Like [`Session::ask`], with whatever connection id there is.
    pub fn ask_last(&mut self, now: Time, action: u32) {
        self.ask(now, action);
        if let Some(question) = &mut self.question {
            question.last_words = true;
        }
    }

    pub fn is_asking(&self) -> bool {
        self.question.is_some()
    }

    /// Whether nobody answered the last sending of the open question in its time.
    pub fn is_unanswered(&self, now: Time) -> bool {
        self.question.is_some_and(|question| question.sent.is_some() && question.due <= now)
    }

    /// Drops the open question.
    pub fn rest(&mut self) {
        self.question = None;
    }

    /// When [`Session::poll`] has something to do.
    pub fn deadline(&self) -> Time {
        match &self.question {
            _ if self.back => Time::ZERO,
            Some(question) => question.due,
            None => Time::NEVER,
        }
    }

    /// Sends what is due. `write` appends the request with the connection and transaction id given.
    pub fn poll(
        &mut self,
        now: Time,
        out: &mut Outbox,
        write: impl FnOnce(u64, u32, &mut Vec<u8>),
    ) -> Option<Health> {
        let mut health = std::mem::take(&mut self.back).then_some(Health::Back);
        let Some(question) = self.question.as_mut().filter(|question| question.due <= now) else {
            return health;
        };
        if let Some((_, connecting)) = question.sent {
            crate::mark!("B20");
            question.timeouts = question.timeouts.saturating_add(1);
            // A tracker that lost its key is silent about ids of the old one.
            if !connecting {
                self.connection = None;
            }
        }
        let fresh = |c: &Connection| now.since(c.since) <= CONNECTION_LIFE || question.last_words;
        let connection = self.connection.filter(fresh);
        let tid = self.rng.between(1, u64::from(u32::MAX)) as u32;
        let mut bytes = Vec::new();
        match connection {
            Some(connection) => write(connection.cid, tid, &mut bytes),
            None => Request::Connect { tid }.encode(&mut bytes),
        }
        out.datagram(self.tracker, self.from, &bytes);
        question.sent = Some((tid, connection.is_none()));
        question.due = now + jittered(self.pace.wait(question.timeouts), &mut self.rng);
        if question.timeouts >= self.pace.patience && !self.silent {
            self.silent = true;
            health = Some(Health::NotAnswering { tries: question.timeouts });
        }
        health
    }

    /// A datagram came. `read` reads the answer to the question; what it cannot read is ignored, as
    /// is all that does not come from the tracker or has another transaction. After this call there
    /// may be something to [`Session::poll`] at once.
    pub fn got<T>(
        &mut self,
        now: Time,
        from: SocketAddr,
        bytes: &[u8],
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<Reply<T>> {
        if (from.ip(), from.port()) != (self.tracker.ip(), self.tracker.port()) {
            crate::mark!("B17");
            return None;
        }
        let mut fields = Fields(bytes);
        let (action, tid) = (fields.u32()?, fields.u32()?);
        let question = self.question.as_mut()?;
        let (asked_tid, connecting) = question.sent?;
        if tid != asked_tid {
            return None;
        }
        if matches!(action, action::ERROR | action::ERROR_SWAPPED) {
            crate::mark!("B19");
            return self.got_error(now, connecting, foreign_bytes(fields.0));
        }
        if connecting {
            let Response::Connect { cid, .. } = Response::decode(bytes, false)? else {
                return None;
            };
            self.connection = Some(Connection { cid, since: now });
            self.go_on(now);
            return None;
        }
        if action != question.action {
            return None;
        }
        let answer = read(bytes)?;
        self.reconnected = false;
        self.finish();
        Some(Reply::Answer(answer))
    }

    fn got_error<T>(&mut self, now: Time, connecting: bool, text: String) -> Option<Reply<T>> {
        let about_id = text.to_ascii_lowercase().contains("connection id");
        if about_id && !connecting && !self.reconnected {
            self.reconnected = true;
            self.connection = None;
            self.go_on(now);
            return None;
        }
        self.finish();
        Some(Reply::Refused(text))
    }

    /// The tracker answered something on the way: the next datagram leaves at once.
    fn go_on(&mut self, now: Time) {
        if let Some(question) = &mut self.question {
            (question.sent, question.due) = (None, now);
        }
    }

    fn finish(&mut self) {
        self.question = None;
        self.back = std::mem::take(&mut self.silent);
    }
}

/// Where what is sent to `to` leaves from, if we take connections at the one address `ours`: from
/// there, so that the other side sees us where we can be reached. `None` = the system chooses, as
/// when nothing goes from `ours` to `to`.
pub fn leaves_from(ours: Option<IpAddr>, to: IpAddr) -> Option<IpAddr> {
    let goes =
        |ours: IpAddr| ours.is_ipv4() == to.is_ipv4() && (!ours.is_loopback() || to.is_loopback());
    ours.filter(|ours| !ours.is_unspecified() && goes(*ours))
}

/// "Any address of ours" of the family of `to`.
pub fn unspecified(to: SocketAddr) -> IpAddr {
    match to {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// `span` made 10 % longer or shorter at most, so that peers do not march in step.
pub fn jittered(span: Span, rng: &mut Rng) -> Span {
    let tenth = span.0 / 10;
    Span(rng.between(span.0 - tenth, span.0.saturating_add(tenth)))
}
