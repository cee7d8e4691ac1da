//! One HTTP connection: heads to requests, requests to answers, one after the other and in their
//! order, at the pace at which the client takes them.

use super::{Asker, Reply, answer};
use crate::core::id::ConnId;
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use crate::tracker::conversation::QUEUE_BYTES;
use crate::tracker::desk::Desk;
use crate::tracker::parts::Parts;
use crate::tracker::work::{REQUESTS_BURST, REQUESTS_PER_S};
use crate::wire::http::head::{self, HEAD_BYTES_MAX, Method};
use crate::wire::http::response::ResponseHead;

/// Time from the first byte of a head to its last.
pub const HEAD: Span = Span::secs(5);
/// Bytes kept of a client that sends on although it is not read from: what one turn may bring.
pub const HELD_BYTES_MAX: usize = 1024 * 1024 + HEAD_BYTES_MAX;
/// Bytes of a body handed over at a time; a shorter one leaves in one piece with its head.
const PART_BYTES: usize = 64 * 1024;

/// How the bytes of a client sounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    Fine,
    /// All is said: the connection ends once the answers have left.
    Over,
    /// It broke the protocol; the word about it is on its way.
    Broken,
}

#[derive(Debug)]
pub struct Exchange {
    conn: ConnId,
    asker: Asker,
    /// What came and waits: a head that is not whole, or requests behind an answer.
    held: Vec<u8>,
    /// Bytes at the front of what waits that are known to hold no end of a head.
    seen: usize,
    /// A body on its way out.
    stream: Option<Parts>,
    /// Requests that may be executed at once.
    credit: u32,
    is_read: bool,
    /// Since when a head is coming in.
    inside: Option<Time>,
    /// How it ends once the stream has left.
    end: Option<Heard>,
}

impl Exchange {
    /// A connection whose first byte came at `since`.
    pub fn new(conn: ConnId, asker: Asker, since: Time) -> Exchange {
        Exchange {
            conn,
            asker,
            held: Vec::new(),
            seen: 0,
            stream: None,
            credit: REQUESTS_BURST,
            is_read: true,
            inside: Some(since),
            end: None,
        }
    }

    /// Bytes kept for this connection alone.
    pub fn held(&self) -> usize {
        self.held.capacity()
    }

    /// A second has passed.
    pub fn refill(&mut self) {
        self.credit = (self.credit + REQUESTS_PER_S).min(REQUESTS_BURST);
    }

    /// Whether it could go on, were there work left in this turn.
    pub fn has_work(&self, queued: u64) -> bool {
        self.seen < self.held.len() && self.is_free(queued)
    }

    /// Whether the head that is coming in takes too long.
    pub fn is_too_slow(&self, now: Time) -> bool {
        let slow = self.is_read && self.inside.is_some_and(|since| now.since(since) >= HEAD);
        if slow {
            mark!("C01");
        }
        slow
    }

    /// Takes what came. `queued` bytes wait to be sent on this connection.
    pub fn got_bytes(&mut self, bytes: &[u8], mut queued: u64, desk: &mut Desk<'_>) -> Heard {
        if self.end.is_some() {
            return Heard::Fine;
        }
        if self.held.len() + bytes.len() > HELD_BYTES_MAX {
            return Heard::Broken;
        }
        if !self.held.is_empty() || !self.is_free(queued) {
            self.held.extend_from_slice(bytes);
            return self.go_on(queued, desk);
        }
        let mut rest = bytes;
        self.requests(&mut rest, &mut queued, desk);
        self.held.extend_from_slice(rest);
        self.settle(queued, desk)
    }

    /// Room came: sends on, and takes up what was held back.
    pub fn go_on(&mut self, mut queued: u64, desk: &mut Desk<'_>) -> Heard {
        queued += self.pump(queued, desk);
        if !self.held.is_empty() && self.is_free(queued) {
            let mut held = std::mem::take(&mut self.held);
            let mut rest = &held[..];
            self.requests(&mut rest, &mut queued, desk);
            let left = rest.len();
            held.drain(..held.len() - left);
            held.shrink_to(left);
            self.held = held;
        }
        self.settle(queued, desk)
    }

    fn is_free(&self, queued: u64) -> bool {
        self.stream.is_none() && self.end.is_none() && self.credit > 0 && queued < QUEUE_BYTES
    }

    /// Says how the connection stands, and reads from the client only while its requests are
    /// executed: what is held then is the start of a head.
    fn settle(&mut self, queued: u64, desk: &mut Desk<'_>) -> Heard {
        if self.stream.is_none()
            && let Some(end) = self.end
        {
            return end;
        }
        let read = self.is_free(queued) && self.held.len() <= HEAD_BYTES_MAX;
        if read != self.is_read {
            if !read {
                mark!("C06");
            }
            self.is_read = read;
            desk.out.reading(self.conn, read);
        }
        Heard::Fine
    }

    /// Executes requests from the front of `rest` as long as answers may be made; what they add to
    /// the queue is added to `queued`.
    fn requests(&mut self, rest: &mut &[u8], queued: &mut u64, desk: &mut Desk<'_>) {
        while self.is_free(*queued) && desk.registry.work.is_left() {
            // Empty lines between requests are allowed (RFC 9112, section 2.2).
            while self.seen == 0
                && let [b'\r' | b'\n', after @ ..] = *rest
            {
                *rest = after;
            }
            if rest.is_empty() {
                self.inside = None;
                return;
            }
            match head::read(rest, self.seen) {
                Ok(None) => {
                    self.seen = rest.len();
                    self.inside = self.inside.or(Some(desk.now));
                    return;
                }
                Ok(Some((head, len))) => {
                    (self.seen, self.inside) = (0, None);
                    self.credit -= 1;
                    let reply = answer(&head, &self.asker, desk);
                    if !head.keep_alive {
                        self.end = Some(Heard::Over);
                    }
                    *queued += self.reply(reply, head.method == Method::Head, *queued, desk);
                    *rest = rest.get(len..).unwrap_or_default();
                }
                Err(bad) => {
                    let (status, why) = bad.answer();
                    self.end = Some(Heard::Broken);
                    *queued += self.reply(Reply::line(status, why), false, *queued, desk);
                    *rest = &[];
                }
            }
        }
    }

    /// Sends an answer, of a long one as much as there is room for; how many bytes.
    fn reply(&mut self, reply: Reply, head_only: bool, queued: u64, desk: &mut Desk<'_>) -> u64 {
        let Reply { status, media, more, .. } = &reply;
        let (len, keep_alive) = (reply.len(), self.end.is_none());
        let head = ResponseHead { status: *status, media, len, keep_alive, more };
        let mut bytes = head.encode().into_bytes();
        if head_only {
            desk.out.send(self.conn, &bytes);
            return bytes.len() as u64;
        }
        if len <= PART_BYTES as u64 {
            reply.parts.iter().for_each(|part| bytes.extend_from_slice(part));
            desk.out.send(self.conn, &bytes);
            return bytes.len() as u64;
        }
        desk.out.send(self.conn, &bytes);
        let sent = bytes.len() as u64;
        self.stream = Some(Parts::new(reply.parts, 0));
        sent + self.pump(queued + sent, desk)
    }

    /// Sends parts of the body while there is room; how many bytes.
    fn pump(&mut self, queued: u64, desk: &mut Desk<'_>) -> u64 {
        let mut sent = 0;
        while let Some(stream) = &mut self.stream
            && queued + sent < QUEUE_BYTES
        {
            let (bytes, last) = stream.next(PART_BYTES);
            desk.out.send(self.conn, bytes);
            sent += bytes.len() as u64;
            if last {
                self.stream = None;
            }
        }
        sent
    }
}
