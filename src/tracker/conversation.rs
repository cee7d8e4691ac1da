//! One catalogue connection after its hello: frames to requests, requests to answers, one after the
//! other, at the pace at which the client takes them.

use super::desk::Desk;
use super::parts::Parts;
use super::raw_stream::Stream;
use super::requests::{self, Client, Reply};
use super::ticket;
use super::unsaved::Unsaved;
use super::watches::Watches;
use super::work::{NEAR_REQUESTS_BURST, NEAR_REQUESTS_PER_S, REQUEST_BYTES_A_STEP, REQUEST_STEPS};
use super::work::{REQUESTS_BURST, REQUESTS_PER_S};
use crate::core::fault::Refusal;
use crate::core::io::Outbox;
use crate::core::time::{Span, Time};
use crate::wire::catalogue::answer::Answer;
use crate::wire::catalogue::frame::{FrameLimits, FrameReader, Message, write_message};
use crate::wire::catalogue::request::Request;
use crate::wire::catalogue::{RAW_FRAME_BYTES, kind};

/// The next answer or frame is made only while fewer bytes than this wait to be sent.
pub const QUEUE_BYTES: u64 = 256 * 1024;
/// A message must grow by so many bytes in each span of so long, or it is not waited for. What came
/// in an earlier span counts for nothing.
const SPAN_BYTES_MIN: u64 = 10 * 1024;
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
    /// Since when the message that is coming in is measured, and how many bytes came since.
    inside: Option<(Time, u64)>,
    answer: Vec<u8>,
}

impl Conversation {
    pub fn new(client: Client, frame_max: u32) -> Conversation {
        let credit = if client.public { REQUESTS_BURST } else { NEAR_REQUESTS_BURST };
        let limits = match client.rights & ticket::WRITE {
            0 => FrameLimits::READER,
            _ => FrameLimits::TRACKER,
        };
        Conversation {
            client,
            frame_max,
            reader: FrameReader::new(limits),
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
        self.held_back() + self.answer.capacity() + self.watches.bytes()
    }

    /// Of these, bytes of requests that are not executed and of answers that are not given.
    pub fn held_back(&self) -> usize {
        self.held.capacity() + self.reader.held() + self.unsaved.bytes()
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
        let enough = bytes >= SPAN_BYTES_MIN && passed < Span(2 * SLOW.0);
        self.is_read && passed >= SLOW && !enough
    }

    /// Measures the message that is coming in; once a span brought enough a new one begins.
    fn measure(&mut self, now: Time, came: usize) {
        let Some((since, bytes)) = &mut self.inside else { return };
        *bytes += came as u64;
        if now.since(*since) >= SLOW && *bytes >= SPAN_BYTES_MIN {
            (*since, *bytes) = (now, 0);
        }
    }

    /// Takes what came. `queued` bytes wait to be sent on this connection.
    pub fn got_bytes(&mut self, bytes: &[u8], mut queued: u64, desk: &mut Desk<'_>) -> Heard {
        self.measure(desk.now, bytes.len());
        if !self.held.is_empty() || !self.is_free(queued) {
            if self.held.len() + bytes.len() > HELD_BYTES_MAX {
                return Heard::Broken;
            }
            self.held.extend_from_slice(bytes);
            self.pace(desk);
            return Heard::Fine;
        }
        let mut rest = bytes;
        let heard = self.requests(&mut rest, &mut queued, desk);
        self.held.extend_from_slice(rest);
        if heard == Heard::Fine {
            self.tell(queued, desk);
        }
        self.pace(desk);
        heard
    }

    /// Room came: sends on, and takes up what was held back.
    pub fn go_on(&mut self, mut queued: u64, desk: &mut Desk<'_>) -> Heard {
        queued += self.pump(queued, desk.out);
        queued += self.release(queued, desk);
        let mut heard = Heard::Fine;
        if !self.held.is_empty() && self.is_free(queued) {
            let held = std::mem::take(&mut self.held);
            let mut rest = held.get(self.done..).unwrap_or_default();
            heard = self.requests(&mut rest, &mut queued, desk);
            self.done = held.len() - rest.len();
            if self.done < held.len() {
                self.held = held;
            } else {
                self.done = 0;
            }
        }
        if heard == Heard::Fine {
            self.tell(queued, desk);
        }
        self.pace(desk);
        heard
    }

    /// Whether a watch may be told something: not between the frames of an answer.
    fn may_tell(&self, queued: u64) -> bool {
        self.stream.is_none() && self.unsaved.is_empty() && queued < QUEUE_BYTES
    }

    /// Tells the watches what there is to tell, while the client takes it.
    fn tell(&mut self, mut queued: u64, desk: &mut Desk<'_>) {
        while self.may_tell(queued)
            && desk.registry.work.is_left()
            && let Some(news) = self.watches.next(self.client.owner, desk.registry)
        {
            let kind = kind::ANSWER | kind::WATCH;
            queued += match news.payload {
                Ok(payload) => self.payload(kind, news.stream, &payload, desk.out),
                Err(refusal) => self.answer(news.stream, &refusal.into(), desk.out),
            };
        }
    }

    fn is_free(&self, queued: u64) -> bool {
        self.unsaved.has_room() && self.stream.is_none() && self.credit > 0 && queued < QUEUE_BYTES
    }

    /// Reads from the client only while nothing of it is held back.
    fn pace(&mut self, desk: &mut Desk<'_>) {
        let read = self.held.is_empty();
        if read != self.is_read {
            self.is_read = read;
            desk.out.reading(self.client.conn, read);
            // A client cannot send while it is not read from.
            self.inside = self.inside.map(|_| (desk.now, 0));
        }
    }

    /// Executes requests from the front of `rest` as long as answers may be made.
    fn requests(&mut self, rest: &mut &[u8], queued: &mut u64, desk: &mut Desk<'_>) -> Heard {
        while self.is_free(*queued) && desk.registry.work.is_left() && !rest.is_empty() {
            let message = match self.reader.next(rest) {
                Ok(message) => message,
                Err(refusal) => {
                    self.answer(0, &refusal.into(), desk.out);
                    *rest = &[];
                    return Heard::Broken;
                }
            };
            let Some(message) = message else {
                self.inside = match self.reader.is_inside() {
                    true => self.inside.or(Some((desk.now, 0))),
                    false => None,
                };
                break;
            };
            self.inside = None;
            self.credit -= 1;
            let steps = message.payload.len() as u64 / REQUEST_BYTES_A_STEP + REQUEST_STEPS;
            desk.registry.work.spend(steps);
            if let Some(reply) = self.request(&message, desk) {
                *queued += self.in_order(message.stream, reply, *queued, desk.out);
            }
        }
        Heard::Fine
    }

    /// Executes one request: its reply, and up to where changes must be kept before it is given.
    fn request(&mut self, message: &Message, desk: &mut Desk<'_>) -> Option<(u64, Reply)> {
        let registry = &mut *desk.registry;
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
                let reply = requests::execute(registry, desk.now, &self.client, request, desk.out);
                Some((registry.unsaved_mark(writes, self.client.conn).unwrap_or(0), reply))
            }
            Err(refusal) => refused(refusal),
        }
    }

    /// Replies at once, unless what the reply says is not kept yet or others wait for that.
    fn in_order(
        &mut self,
        number: u16,
        (mark, reply): (u64, Reply),
        queued: u64,
        out: &mut Outbox,
    ) -> u64 {
        if mark == 0 && self.unsaved.is_empty() {
            return self.reply(number, reply, queued, out);
        }
        self.unsaved.push(number, mark, reply);
        0
    }

    /// Sends the answers whose changes are kept; a refusal where they could not be.
    fn release(&mut self, queued: u64, desk: &mut Desk<'_>) -> u64 {
        self.unsaved.settle(self.client.conn, &mut desk.registry.keeping);
        let mut sent = 0;
        while self.stream.is_none()
            && queued + sent < QUEUE_BYTES
            && let Some((number, reply)) = self.unsaved.next()
        {
            sent += self.reply(number, reply, queued + sent, desk.out);
        }
        sent
    }

    /// Sends an answer that is written already; the bytes of its frames.
    fn payload(&mut self, kind: u8, stream: u16, payload: &[u8], out: &mut Outbox) -> u64 {
        self.answer.clear();
        write_message((kind, 0, stream), payload, self.frame_max, &mut self.answer);
        self.send_answer(out)
    }

    fn reply(&mut self, stream: u16, reply: Reply, queued: u64, out: &mut Outbox) -> u64 {
        match reply {
            Reply::Answer(answer) => self.answer(stream, &answer, out),
            Reply::Payload(kind, payload) => self.payload(kind, stream, &payload, out),
            Reply::Stream { parts, skip } => {
                self.stream = Some(Stream::new(stream, Parts::new(parts, skip)));
                self.pump(queued, out)
            }
        }
    }

    fn answer(&mut self, stream: u16, answer: &Answer, out: &mut Outbox) -> u64 {
        self.answer.clear();
        answer.encode(stream, self.frame_max, &mut self.answer);
        self.send_answer(out)
    }

    fn send_answer(&mut self, out: &mut Outbox) -> u64 {
        out.send(self.client.conn, &self.answer);
        let bytes = self.answer.len() as u64;
        if self.answer.capacity() > 4096 {
            self.answer = Vec::new();
        }
        bytes
    }

    /// Sends frames of the stream while there is room; how many bytes.
    fn pump(&mut self, queued: u64, out: &mut Outbox) -> u64 {
        let most = (self.frame_max.saturating_sub(4) as usize).clamp(1, RAW_FRAME_BYTES);
        let mut sent = 0;
        while let Some(stream) = &mut self.stream
            && queued + sent < QUEUE_BYTES
        {
            self.answer.clear();
            let last = stream.frame(most, &mut self.answer);
            out.send(self.client.conn, &self.answer);
            sent += self.answer.len() as u64;
            if last {
                self.stream = None;
                self.answer = Vec::new();
            }
        }
        sent
    }
}
