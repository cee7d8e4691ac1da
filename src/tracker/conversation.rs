//! One catalogue connection after its hello: frames to requests, requests to answers, one after the
//! other, at the pace at which the client takes them.

use super::raw_stream::Stream;
use super::registry::Registry;
use super::requests::{self, Client, Reply};
use super::unsaved::Unsaved;
use super::watches::Watches;
use super::work::{NEAR_REQUESTS_BURST, NEAR_REQUESTS_PER_S, REQUEST_BYTES_A_STEP, REQUEST_STEPS};
use super::work::{REQUESTS_BURST, REQUESTS_PER_S};
use crate::core::fault::Refusal;
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::time::{Span, Time};
use crate::wire::catalogue::answer::Answer;
use crate::wire::catalogue::frame::{FrameLimits, FrameReader, Message, write_message};
use crate::wire::catalogue::request::Request;
use crate::wire::catalogue::{RAW_FRAME_BYTES, kind};

/// The next answer or frame is made only while fewer bytes than this wait to be sent.
pub const QUEUE_BYTES: u64 = 256 * 1024;
/// A message that is slower than this after its first seconds is not waited for.
const RATE_BYTES_MIN: u64 = 1024;
const SLOW: Span = Span::secs(10);
/// Bytes kept of a client that sends on although it is not read from.
const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How the bytes of a client sounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    Fine,
    /// The framing is broken; the word about it is on its way.
    Broken,
}

#[derive(Debug)]
pub struct Conversation {
    pub(super) client: Client,
    /// Largest frame the client takes.
    frame_max: u32,
    reader: FrameReader,
    /// What came and waits until the answers before it are taken, and how much of it is done with.
    held: Vec<u8>,
    done: usize,
    stream: Option<Stream>,
    /// Answers that wait until what they say is kept, and those behind them.
    unsaved: Unsaved,
    /// Requests that may be executed at once.
    credit: u32,
    is_read: bool,
    watches: Watches,
    /// Since when a message is coming in, and how many bytes came since.
    inside: Option<(Time, u64)>,
    answer: Vec<u8>,
}

impl Conversation {
    pub fn new(client: Client, frame_max: u32) -> Conversation {
        let credit = if client.public { REQUESTS_BURST } else { NEAR_REQUESTS_BURST };
        Conversation {
            client,
            frame_max,
            reader: FrameReader::new(FrameLimits::TRACKER),
            held: Vec::new(),
            done: 0,
            stream: None,
            unsaved: Unsaved::default(),
            credit,
            is_read: true,
            watches: Watches::default(),
            inside: None,
            answer: Vec::new(),
        }
    }

    /// Bytes kept for this connection alone.
    pub fn held(&self) -> usize {
        self.held.capacity() + self.answer.capacity() + self.watches.bytes()
    }

    /// A second has passed.
    pub fn refill(&mut self) {
        let (more, most) = match self.client.public {
            true => (REQUESTS_PER_S, REQUESTS_BURST),
            false => (NEAR_REQUESTS_PER_S, NEAR_REQUESTS_BURST),
        };
        self.credit = (self.credit + more).min(most);
    }

    /// Whether it could go on, were there work left in this turn.
    pub fn has_work(&self, queued: u64, generation: u64) -> bool {
        let requests = !self.held.is_empty() && self.is_free(queued);
        requests || (self.watches.has_news(generation) && self.may_tell(queued))
    }

    /// Bytes that its watches take; 0 if it watches nothing.
    pub fn watch_bytes(&self) -> usize {
        self.watches.bytes()
    }

    /// Whether the message that is coming in takes too long.
    pub fn is_too_slow(&self, now: Time) -> bool {
        let Some((since, bytes)) = self.inside else { return false };
        let passed = now.since(since);
        self.is_read && passed >= SLOW && bytes < passed.as_secs().saturating_mul(RATE_BYTES_MIN)
    }

    /// Takes what came. `queued` bytes wait to be sent on this connection.
    pub fn got_bytes(
        &mut self,
        now: Time,
        conn: ConnId,
        bytes: &[u8],
        queued: u64,
        registry: &mut Registry,
        out: &mut Outbox,
    ) -> Heard {
        if let Some((_, got)) = &mut self.inside {
            *got += bytes.len() as u64;
        }
        if !self.held.is_empty() || !self.is_free(queued) {
            if self.held.len() + bytes.len() > HELD_BYTES_MAX {
                return Heard::Broken;
            }
            self.held.extend_from_slice(bytes);
            self.pace(conn, out);
            return Heard::Fine;
        }
        let mut rest = bytes;
        let mut queued = queued;
        let heard = self.requests(now, conn, &mut rest, &mut queued, registry, out);
        self.held.extend_from_slice(rest);
        if heard == Heard::Fine {
            self.tell(conn, queued, registry, out);
        }
        self.pace(conn, out);
        heard
    }

    /// Room came: sends on, and takes up what was held back.
    pub fn go_on(
        &mut self,
        now: Time,
        conn: ConnId,
        mut queued: u64,
        registry: &mut Registry,
        out: &mut Outbox,
    ) -> Heard {
        queued += self.pump(conn, queued, out);
        queued += self.release(conn, queued, registry, out);
        let mut heard = Heard::Fine;
        if !self.held.is_empty() && self.is_free(queued) {
            let held = std::mem::take(&mut self.held);
            let mut rest = held.get(self.done..).unwrap_or_default();
            heard = self.requests(now, conn, &mut rest, &mut queued, registry, out);
            self.done = held.len() - rest.len();
            if self.done < held.len() {
                self.held = held;
            } else {
                self.done = 0;
            }
        }
        if heard == Heard::Fine {
            self.tell(conn, queued, registry, out);
        }
        self.pace(conn, out);
        heard
    }

    /// Whether a watch may be told something: not between the frames of an answer.
    fn may_tell(&self, queued: u64) -> bool {
        self.stream.is_none() && self.unsaved.is_empty() && queued < QUEUE_BYTES
    }

    /// Tells the watches what there is to tell, while the client takes it.
    fn tell(&mut self, conn: ConnId, mut queued: u64, registry: &mut Registry, out: &mut Outbox) {
        while self.may_tell(queued)
            && registry.work.is_left()
            && let Some(news) = self.watches.next(self.client.owner, registry)
        {
            queued += match news.payload {
                Ok(payload) => {
                    self.payload(conn, kind::ANSWER | kind::WATCH, news.stream, &payload, out)
                }
                Err(refusal) => self.refuse(conn, news.stream, refusal, out),
            };
        }
    }

    fn is_free(&self, queued: u64) -> bool {
        self.unsaved.has_room() && self.stream.is_none() && self.credit > 0 && queued < QUEUE_BYTES
    }

    /// Reads from the client only while nothing of it is held back.
    fn pace(&mut self, conn: ConnId, out: &mut Outbox) {
        let read = self.held.is_empty();
        if read != self.is_read {
            self.is_read = read;
            out.reading(conn, read);
        }
    }

    /// Executes requests from the front of `rest` as long as answers may be made.
    fn requests(
        &mut self,
        now: Time,
        conn: ConnId,
        rest: &mut &[u8],
        queued: &mut u64,
        registry: &mut Registry,
        out: &mut Outbox,
    ) -> Heard {
        while self.is_free(*queued) && registry.work.is_left() && !rest.is_empty() {
            let message = match self.reader.next(rest) {
                Ok(message) => message,
                Err(refusal) => {
                    self.answer(conn, 0, &refusal.into(), out);
                    *rest = &[];
                    return Heard::Broken;
                }
            };
            let Some(message) = message else {
                self.inside = match self.reader.is_inside() {
                    true => self.inside.or(Some((now, 0))),
                    false => None,
                };
                break;
            };
            self.inside = None;
            self.credit -= 1;
            let steps = message.payload.len() as u64 / REQUEST_BYTES_A_STEP + REQUEST_STEPS;
            registry.work.spend(steps);
            if let Some(reply) = self.request(now, conn, &message, registry, out) {
                *queued += self.in_order(conn, message.stream, reply, *queued, out);
            }
        }
        Heard::Fine
    }

    /// Executes one request: its reply, and up to where changes must be kept before it is given.
    fn request(
        &mut self,
        now: Time,
        conn: ConnId,
        message: &Message,
        registry: &mut Registry,
        out: &mut Outbox,
    ) -> Option<(u64, Reply)> {
        let refused = |refusal: Refusal| Some((0, Reply::Answer(refusal.into())));
        match Request::decode(message) {
            Ok(request) if !self.client.may(&request) => refused(requests::NOT_FOR_READING),
            Ok(Request::Watch(watch)) => {
                if let Err(refusal) = self.watches.begin(message.stream, &watch, registry) {
                    return refused(refusal);
                }
                // Its first news are its answer; without work left they come later.
                match self.watches.first(self.client.owner, registry)?.payload {
                    Ok(payload) => Some((0, Reply::Payload(kind::ANSWER | kind::WATCH, payload))),
                    Err(refusal) => refused(refusal),
                }
            }
            Ok(Request::Unwatch) => {
                self.watches.end(message.stream, registry);
                Some((0, Reply::Answer(Answer::Unwatched)))
            }
            Ok(request) => {
                let writes = requests::writes(&request);
                let reply = requests::execute(registry, now, &self.client, request, out);
                Some((registry.unsaved_mark(writes, conn).unwrap_or(0), reply))
            }
            Err(refusal) => refused(refusal),
        }
    }

    /// Replies at once, unless what the reply says is not kept yet or others wait for that.
    fn in_order(
        &mut self,
        conn: ConnId,
        number: u16,
        (mark, reply): (u64, Reply),
        queued: u64,
        out: &mut Outbox,
    ) -> u64 {
        if mark == 0 && self.unsaved.is_empty() {
            return self.reply(conn, number, reply, queued, out);
        }
        self.unsaved.push(number, mark, reply);
        0
    }

    /// Sends the answers whose changes are kept; a refusal where they could not be.
    fn release(
        &mut self,
        conn: ConnId,
        queued: u64,
        registry: &mut Registry,
        out: &mut Outbox,
    ) -> u64 {
        self.unsaved.settle(conn, &mut registry.keeping);
        let mut sent = 0;
        while self.stream.is_none()
            && queued + sent < QUEUE_BYTES
            && let Some((number, reply)) = self.unsaved.next()
        {
            sent += self.reply(conn, number, reply, queued + sent, out);
        }
        sent
    }

    /// Sends an answer that is written already; the bytes of its frames.
    fn payload(
        &mut self,
        conn: ConnId,
        kind: u8,
        stream: u16,
        payload: &[u8],
        out: &mut Outbox,
    ) -> u64 {
        self.answer.clear();
        write_message((kind, 0, stream), payload, self.frame_max, &mut self.answer);
        self.send_answer(conn, out)
    }

    fn refuse(&mut self, conn: ConnId, stream: u16, refusal: Refusal, out: &mut Outbox) -> u64 {
        self.answer(conn, stream, &refusal.into(), out)
    }

    fn reply(
        &mut self,
        conn: ConnId,
        stream: u16,
        reply: Reply,
        queued: u64,
        out: &mut Outbox,
    ) -> u64 {
        match reply {
            Reply::Answer(answer) => self.answer(conn, stream, &answer, out),
            Reply::Payload(kind, payload) => self.payload(conn, kind, stream, &payload, out),
            Reply::Stream { parts, skip } => {
                self.stream = Some(Stream::new(stream, parts, skip));
                self.pump(conn, queued, out)
            }
        }
    }

    fn answer(&mut self, conn: ConnId, stream: u16, answer: &Answer, out: &mut Outbox) -> u64 {
        self.answer.clear();
        answer.encode(stream, self.frame_max, &mut self.answer);
        self.send_answer(conn, out)
    }

    fn send_answer(&mut self, conn: ConnId, out: &mut Outbox) -> u64 {
        out.send(conn, &self.answer);
        let bytes = self.answer.len() as u64;
        if self.answer.capacity() > 4096 {
            self.answer = Vec::new();
        }
        bytes
    }

    /// Sends frames of the stream while there is room; how many bytes.
    fn pump(&mut self, conn: ConnId, queued: u64, out: &mut Outbox) -> u64 {
        let most = (self.frame_max.saturating_sub(4) as usize).clamp(1, RAW_FRAME_BYTES);
        let mut sent = 0;
        while let Some(stream) = &mut self.stream
            && queued + sent < QUEUE_BYTES
        {
            self.answer.clear();
            let last = stream.frame(most, &mut self.answer);
            out.send(conn, &self.answer);
            sent += self.answer.len() as u64;
            if last {
                self.stream = None;
                self.answer = Vec::new();
            }
        }
        sent
    }
}
