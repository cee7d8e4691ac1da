//! One catalogue connection after its hello: frames to requests, requests to answers, one after the
//! other, at the pace at which the client takes them.

use super::keeping::Fate;
use super::registry::Registry;
use super::requests::{self, Client, Reply};
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::time::{Span, Time};
use crate::wire::catalogue::answer::Answer;
use crate::wire::catalogue::frame::{FIN, FrameLimits, FrameReader, RAW, write_frame};
use crate::wire::catalogue::request::Request;
use crate::wire::catalogue::{RAW_FRAME_BYTES, kind};
use std::collections::VecDeque;
use std::sync::Arc;

/// The next answer or frame is made only while fewer bytes than this wait to be sent.
pub const QUEUE_BYTES: u64 = 256 * 1024;
/// Requests a connection may spend at once, and what it gets back per second. Beyond, it waits.
pub const REQUESTS_BURST: u32 = 400;
pub const REQUESTS_PER_S: u32 = 200;
/// A message that is slower than this after its first seconds is not waited for.
const RATE_BYTES_MIN: u64 = 1024;
const SLOW: Span = Span::secs(10);
/// Bytes kept of a client that sends on although it is not read from.
const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Answers that wait until what they say is kept; requests behind them wait, too.
const UNSAVED_MAX: usize = 256;

/// How the bytes of a client sounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    Fine,
    /// The framing is broken; the word about it is on its way.
    Broken,
}

#[derive(Debug)]
pub struct Conversation {
    client: Client,
    /// Largest frame the client takes.
    frame_max: u32,
    reader: FrameReader,
    /// What came and waits until the answers before it are taken.
    held: Vec<u8>,
    stream: Option<Stream>,
    /// Answers that wait until what they say is kept, and those behind them.
    unsaved: VecDeque<Unsaved>,
    /// Requests that may be executed at once.
    credit: u32,
    is_read: bool,
    /// Since when a message is coming in, and how many bytes came since.
    inside: Option<(Time, u64)>,
    answer: Vec<u8>,
}

/// What is answered once everything up to `mark` is kept.
#[derive(Debug)]
struct Unsaved {
    number: u16,
    mark: u64,
    reply: Reply,
}

/// Bytes on their way out as RAW frames.
#[derive(Debug)]
struct Stream {
    number: u16,
    parts: Vec<Arc<[u8]>>,
    /// First part that has not left whole, and how much of it has.
    part: usize,
    at: usize,
}

impl Conversation {
    pub fn new(client: Client, frame_max: u32) -> Conversation {
        Conversation {
            client,
            frame_max,
            reader: FrameReader::new(FrameLimits::TRACKER),
            held: Vec::new(),
            stream: None,
            unsaved: VecDeque::new(),
            credit: REQUESTS_BURST,
            is_read: true,
            inside: None,
            answer: Vec::new(),
        }
    }

    /// Bytes kept for this connection alone.
    pub fn held(&self) -> usize {
        self.held.capacity() + self.answer.capacity()
    }

    /// A second has passed.
    pub fn refill(&mut self) {
        self.credit = (self.credit + REQUESTS_PER_S).min(REQUESTS_BURST);
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
            return self.go_on(now, conn, queued, registry, out);
        }
        let mut rest = bytes;
        let heard = self.requests(now, conn, &mut rest, queued, registry, out);
        self.held.extend_from_slice(rest);
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
            let mut held = std::mem::take(&mut self.held);
            let mut rest = &held[..];
            heard = self.requests(now, conn, &mut rest, queued, registry, out);
            let left = rest.len();
            held.drain(..held.len() - left);
            held.shrink_to_fit();
            self.held = held;
        }
        self.pace(conn, out);
        heard
    }

    fn is_free(&self, queued: u64) -> bool {
        let unsaved = self.unsaved.len() < UNSAVED_MAX;
        unsaved && self.stream.is_none() && self.credit > 0 && queued < QUEUE_BYTES
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
        mut queued: u64,
        registry: &mut Registry,
        out: &mut Outbox,
    ) -> Heard {
        while self.is_free(queued) && !rest.is_empty() {
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
            let request = Request::decode(&message);
            queued += match request {
                Ok(request) => {
                    let writes = requests::writes(&request);
                    let reply = requests::execute(registry, now, &self.client, request, out);
                    let mark = registry.unsaved_mark(writes, conn).unwrap_or(0);
                    self.in_order(conn, message.stream, (mark, reply), queued, out)
                }
                Err(refusal) => {
                    let reply = Reply::Answer(refusal.into());
                    self.in_order(conn, message.stream, (0, reply), queued, out)
                }
            };
        }
        Heard::Fine
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
        self.unsaved.push_back(Unsaved { number, mark, reply });
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
        let mut sent = 0;
        while self.stream.is_none()
            && queued + sent < QUEUE_BYTES
            && let Some(first) = self.unsaved.front()
        {
            let fate = registry.keeping.fate(first.mark);
            if fate == Fate::Open {
                registry.keeping.wait(conn);
                break;
            }
            let Some(Unsaved { number, reply, .. }) = self.unsaved.pop_front() else { break };
            let reply = match fate {
                Fate::Lost(refusal) => Reply::Answer(refusal.into()),
                _ => reply,
            };
            sent += self.reply(conn, number, reply, queued + sent, out);
        }
        sent
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
            Reply::Stream { parts, skip } => {
                self.stream = Some(Stream::new(stream, parts, skip));
                self.pump(conn, queued, out)
            }
        }
    }

    fn answer(&mut self, conn: ConnId, stream: u16, answer: &Answer, out: &mut Outbox) -> u64 {
        self.answer.clear();
        answer.encode(stream, self.frame_max, &mut self.answer);
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

impl Stream {
    fn new(number: u16, parts: Vec<Arc<[u8]>>, skip: u64) -> Stream {
        let mut stream = Stream { number, parts, part: 0, at: 0 };
        stream.at = usize::try_from(skip).unwrap_or(usize::MAX);
        while let Some(part) = stream.parts.get(stream.part)
            && stream.at >= part.len()
        {
            stream.at -= part.len();
            stream.part += 1;
        }
        stream
    }

    /// Appends the next frame with at most `most` bytes of one part; true if it is the last.
    fn frame(&mut self, most: usize, out: &mut Vec<u8>) -> bool {
        let part = self.parts.get(self.part).map(|part| &part[..]).unwrap_or_default();
        let left = part.get(self.at..).unwrap_or_default();
        let now = left.get(..most).unwrap_or(left);
        self.at += now.len();
        if self.at >= part.len() {
            (self.part, self.at) = (self.part + 1, 0);
        }
        let last = self.part >= self.parts.len();
        let flags = if last { RAW | FIN } else { RAW };
        write_frame(kind::ANSWER | kind::FETCH, flags, self.number, now, out);
        last
    }
}
