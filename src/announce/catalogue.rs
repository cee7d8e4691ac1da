//! The catalogue client: one TCP connection, typed requests in, typed answers out in their order.
//! It judges no content, and when to try again is its owner's to decide.

use super::control::Ready;
use crate::core::id::ConnId;
use crate::core::io::{Closed, Outbox};
use crate::core::limits::CATALOGUE_FRAME_BYTES_MAX;
use crate::core::time::{Span, Time};
use crate::wire::catalogue::answer::Answer;
use crate::wire::catalogue::frame::{FrameLimits, FrameReader, Message};
use crate::wire::catalogue::hello::{FRAME_BYTES_RANGE, Hello, HelloReply, NodeKey, REPLY_BYTES};
use crate::wire::catalogue::request::Request;
use crate::wire::catalogue::{REQUESTS_IN_FLIGHT_MAX, kind};
use crate::wire::control::{self, Status};
use crate::wire::token::Bearer;
use std::collections::VecDeque;

/// How long the tracker may be silent while something is due from it: the connection, its reply,
/// the next bytes of an answer.
const SILENCE_MAX: Span = Span::secs(10);

/// What came of the connection. After the last four it is over; its owner still hears its `Closed`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// The tracker took the hello.
    Opened {
        generation: u64,
        time_s: u64,
    },
    /// The answer to the request with this number.
    Answered {
        number: u64,
        answer: Answer,
    },
    /// The tracker did not take the hello.
    Refused(Status),
    /// What it sent is no catalogue: what was wrong.
    Broken(String),
    /// It was silent too long.
    Silent,
    Lost(Closed),
}

/// A machine for one connection. Call [`CatalogueClient::poll`] at [`CatalogueClient::deadline`].
#[derive(Debug)]
pub struct CatalogueClient {
    conn: ConnId,
    state: State,
    hello: Hello,
    /// Largest frame the tracker takes, bytes.
    frame_max: u32,
    waiting: VecDeque<Asked>,
    in_flight: VecDeque<InFlight>,
    /// Watches that were answered and go on.
    watches: Vec<InFlight>,
    asked: u64,
    /// The stream that was used last.
    stream: u16,
    /// When the tracker is called silent.
    silent_at: Time,
}

#[derive(Debug)]
enum State {
    Dialing,
    /// The part of the reply that has come.
    HelloSent(Vec<u8>),
    Ready(FrameReader),
    Over,
}

#[derive(Debug)]
struct Asked {
    number: u64,
    request: Request,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    number: u64,
    stream: u16,
    kind: u8,
}

impl CatalogueClient {
    /// Dials. The owner routes what it hears about [`CatalogueClient::conn`] here.
    pub fn dial(
        now: Time,
        ready: &Ready,
        node_key: Option<NodeKey>,
        out: &mut Outbox,
    ) -> CatalogueClient {
        let hello = Hello {
            versions: (control::VERSION, control::VERSION),
            max_frame: CATALOGUE_FRAME_BYTES_MAX,
            ticket: ready.ticket,
            nonce: ready.nonce,
            token: Vec::new(),
            node_key,
        };
        CatalogueClient {
            conn: out.dial(ready.catalogue),
            state: State::Dialing,
            hello,
            frame_max: 0,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            watches: Vec::new(),
            asked: 0,
            stream: 0,
            silent_at: now + SILENCE_MAX,
        }
    }

    /// Shows a token.
    pub fn with_token(mut self, token: Option<&Bearer>) -> CatalogueClient {
        self.hello.token = token.map(|token| token.text().into()).unwrap_or_default();
        self
    }

    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Whether every request was answered.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// Queues a request, or sends it if the connection is ready; the number stands on its answer.
    pub fn ask(&mut self, now: Time, request: Request, out: &mut Outbox) -> u64 {
        let number = self.asked;
        self.asked += 1;
        self.waiting.push_back(Asked { number, request });
        self.send_waiting(now, out);
        number
    }

    /// Ends the watch with this number; its last answer is [`Answer::Unwatched`].
    pub fn unwatch(&mut self, number: u64, out: &mut Outbox) {
        if let Some(watch) = self.watches.iter().find(|watch| watch.number == number) {
            let mut bytes = Vec::new();
            Request::Unwatch.encode(watch.stream, self.frame_max, &mut bytes);
            out.send(self.conn, &bytes);
        }
    }

    /// Ends the connection.
    pub fn close(&mut self, out: &mut Outbox) {
        if !matches!(self.state, State::Over) {
            self.state = State::Over;
            out.close(self.conn);
        }
    }

    pub fn deadline(&self) -> Time {
        match self.state {
            State::Over => Time::NEVER,
            State::Ready(_) if self.in_flight.is_empty() => Time::NEVER,
            _ => self.silent_at,
        }
    }

    /// Gives up a silent tracker.
    pub fn poll(&mut self, now: Time, out: &mut Outbox) -> Option<Heard> {
        if now < self.deadline() {
            return None;
        }
        self.close(out);
        Some(Heard::Silent)
    }

    /// The dial succeeded.
    pub fn got_connected(&mut self, now: Time, out: &mut Outbox) {
        if matches!(self.state, State::Dialing) {
            let mut bytes = Vec::new();
            self.hello.encode(&mut bytes);
            out.send(self.conn, &bytes);
            self.state = State::HelloSent(Vec::new());
            self.silent_at = now + SILENCE_MAX;
        }
    }

    /// Bytes came, cut anywhere.
    pub fn got_bytes(&mut self, now: Time, mut bytes: &[u8], out: &mut Outbox) -> Vec<Heard> {
        let mut heard = Vec::new();
        self.silent_at = now + SILENCE_MAX;
        if let State::HelloSent(_) = self.state {
            heard.extend(self.got_reply(&mut bytes, out));
        }
        while let State::Ready(reader) = &mut self.state {
            let next = match reader.next(&mut bytes) {
                Ok(None) => break,
                Ok(Some(message)) => self.got_message(message),
                Err(refusal) => Err(refusal.what.to_owned()),
            };
            let broken = next.is_err();
            heard.push(next.unwrap_or_else(Heard::Broken));
            if broken {
                self.close(out);
            }
        }
        self.send_waiting(now, out);
        heard
    }

    /// The connection is over; `None` if this side ended it.
    pub fn lost(&mut self, why: Closed) -> Option<Heard> {
        let over = matches!(self.state, State::Over);
        self.state = State::Over;
        (!over).then_some(Heard::Lost(why))
    }

    fn got_reply(&mut self, bytes: &mut &[u8], out: &mut Outbox) -> Option<Heard> {
        let State::HelloSent(held) = &mut self.state else { return None };
        let missing = REPLY_BYTES.saturating_sub(held.len()).min(bytes.len());
        let (part, rest) = bytes.split_at_checked(missing)?;
        held.extend_from_slice(part);
        *bytes = rest;
        let heard = match HelloReply::decode(held) {
            Ok(None) => return None,
            Err(fault) => Heard::Broken(fault.what.to_owned()),
            Ok(Some(reply)) if reply.status != Status::Ready => Heard::Refused(reply.status),
            Ok(Some(reply)) if reply.version != control::VERSION => {
                Heard::Refused(Status::BadVersion)
            }
            Ok(Some(reply)) if !FRAME_BYTES_RANGE.contains(&reply.max_frame) => {
                Heard::Broken("the tracker's frame size is out of range".into())
            }
            Ok(Some(reply)) => {
                self.frame_max = reply.max_frame.min(CATALOGUE_FRAME_BYTES_MAX);
                self.state = State::Ready(FrameReader::new(FrameLimits::CLIENT));
                return Some(Heard::Opened { generation: reply.generation, time_s: reply.time_s });
            }
        };
        self.close(out);
        Some(heard)
    }

    fn got_message(&mut self, message: Message) -> Result<Heard, String> {
        let stream = message.stream;
        let answer = Answer::decode(message).map_err(|fault| fault.what.to_owned())?;
        if let (0, Answer::Refused(refused)) = (stream, &answer) {
            return Err(refused.text.clone());
        }
        if let Some(at) = self.watches.iter().position(|watch| watch.stream == stream) {
            let number = self.watches.get(at).map_or(0, |watch| watch.number);
            if matches!(answer, Answer::Refused(_) | Answer::Unwatched) {
                self.watches.swap_remove(at);
            }
            return Ok(Heard::Answered { number, answer });
        }
        let expected = self.in_flight.pop_front().ok_or("an answer to nothing")?;
        let fits = answer.answers().is_none_or(|kind| kind == expected.kind);
        if stream != expected.stream || !fits {
            return Err("an answer to another request".to_owned());
        }
        if let Answer::Watched(_) = answer {
            self.watches.push(expected);
        }
        Ok(Heard::Answered { number: expected.number, answer })
    }

    /// Numbers come again after 65,535 requests, long after all were answered that are no watches.
    fn next_stream(&mut self) -> u16 {
        loop {
            self.stream = self.stream.checked_add(1).unwrap_or(1);
            if self.watches.iter().all(|watch| watch.stream != self.stream) {
                return self.stream;
            }
        }
    }

    fn send_waiting(&mut self, now: Time, out: &mut Outbox) {
        if !matches!(self.state, State::Ready(_)) {
            return;
        }
        while self.in_flight.len() < REQUESTS_IN_FLIGHT_MAX {
            let Some(Asked { number, request }) = self.waiting.pop_front() else { return };
            if self.in_flight.is_empty() {
                self.silent_at = now + SILENCE_MAX;
            }
            let kind = request.kind();
            let stream = if kind == kind::PING { 0 } else { self.next_stream() };
            let mut bytes = Vec::new();
            request.encode(stream, self.frame_max, &mut bytes);
            out.send(self.conn, &bytes);
            self.in_flight.push_back(InFlight { number, stream, kind });
        }
    }
}
