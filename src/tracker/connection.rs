//! One TCP connection: the first bytes say which of the protocols of the port it speaks, the rest
//! is the matter of that protocol.

use super::access::{Access, Denied, Pass, announce_url};
use super::conversation::{self, Conversation};
use super::desk::Desk;
use super::held::Held;
use super::http::Asker;
use super::http::exchange::{self, Exchange};
use super::lists::{HELLO, IDLE, STALLED};
use super::requests::Client;
use super::ticket::{Holder, WRITE};
use crate::core::chunk::Chunk;
use crate::core::id::ConnId;
use crate::core::io::{Effect, Outbox};
use crate::core::limits::{CATALOGUE_FRAME_BYTES_MAX, CATALOGUE_SMALL_BYTES};
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use crate::wire::catalogue::hello::{HELLO_BYTES_MAX, Hello, HelloReply, Owner};
use crate::wire::control::{Status, VERSION, common_version};
use crate::wire::http::head::{self, HEAD_BYTES_MAX};
use crate::wire::token::scope;
use std::net::{IpAddr, SocketAddr};

#[derive(Debug)]
pub struct Connection {
    conn: ConnId,
    pub ends: Ends,
    opened: Time,
    /// Last time something came, or something that waited left.
    active: Time,
    /// Bytes given to be sent and not told to have left.
    queued: u64,
    pub phase: Phase,
}

/// Where a connection comes from, and where it came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    pub source: IpAddr,
    pub local: SocketAddr,
    /// The limits of public addresses count for it.
    pub limited: bool,
}

#[derive(Debug)]
pub enum Phase {
    /// Not known yet what it speaks: the bytes so far.
    Opening(Vec<u8>),
    Catalogue(Box<Conversation>),
    Http(Box<Exchange>),
    /// Ended by us; nothing it says counts.
    Closing,
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Go,
    /// Answered and done.
    Served,
    /// Broke the protocol: close at once, or after the word about it.
    Drop,
    Refused,
}

impl From<conversation::Heard> for Verdict {
    fn from(heard: conversation::Heard) -> Verdict {
        match heard {
            conversation::Heard::Fine => Verdict::Go,
            conversation::Heard::Broken => Verdict::Refused,
        }
    }
}

impl From<exchange::Heard> for Verdict {
    fn from(heard: exchange::Heard) -> Verdict {
        match heard {
            exchange::Heard::Fine => Verdict::Go,
            exchange::Heard::Over => Verdict::Served,
            exchange::Heard::Broken => Verdict::Refused,
        }
    }
}

impl Connection {
    pub fn new(now: Time, conn: ConnId, ends: Ends, phase: Phase) -> Connection {
        Connection { conn, ends, opened: now, active: now, queued: 0, phase }
    }

    /// Last time something came, or something that waited left.
    pub fn active(&self) -> Time {
        self.active
    }

    pub fn is_owed(&self) -> bool {
        self.queued > 0
    }

    /// Bytes of requests and answers that wait for their turn.
    pub fn held_back(&self) -> Held {
        match &self.phase {
            Phase::Http(exchange) => {
                Held { http: exchange.held().saturating_sub(HEAD_BYTES_MAX), large: 0 }
            }
            Phase::Catalogue(conversation) => {
                let large = conversation.held_back().saturating_sub(CATALOGUE_SMALL_BYTES);
                Held { http: 0, large }
            }
            Phase::Opening(_) | Phase::Closing => Held::default(),
        }
    }

    pub fn got_bytes(&mut self, bytes: &[u8], desk: &mut Desk<'_>) -> Verdict {
        self.active = desk.now;
        let queued = self.queued;
        match &mut self.phase {
            Phase::Closing => Verdict::Go,
            Phase::Catalogue(conversation) => conversation.got_bytes(bytes, queued, desk).into(),
            Phase::Http(exchange) => exchange.got_bytes(bytes, queued, desk).into(),
            Phase::Opening(_) => self.opening(bytes, desk),
        }
    }

    /// Bytes left the queue.
    pub fn sent(&mut self, now: Time, bytes: u64) {
        self.queued = self.queued.saturating_sub(bytes);
        self.active = now;
    }

    /// Goes on with what was held back.
    pub fn go_on(&mut self, desk: &mut Desk<'_>) -> Verdict {
        match &mut self.phase {
            Phase::Catalogue(conversation) => conversation.go_on(self.queued, desk).into(),
            Phase::Http(exchange) => exchange.go_on(self.queued, desk).into(),
            Phase::Opening(_) | Phase::Closing => Verdict::Go,
        }
    }

    /// Whether it could go on, were there work left in this turn; `generation` is the newest of the
    /// catalogue.
    pub fn has_work(&self, generation: u64) -> bool {
        match &self.phase {
            Phase::Catalogue(conversation) => conversation.has_work(self.queued, generation),
            Phase::Http(exchange) => exchange.has_work(self.queued),
            Phase::Opening(_) | Phase::Closing => false,
        }
    }

    /// Bytes that its watches take; 0 if it watches nothing.
    pub fn watch_bytes(&self) -> usize {
        match &self.phase {
            Phase::Catalogue(conversation) => conversation.watch_bytes(),
            _ => 0,
        }
    }

    /// Whether what it was let in for still holds.
    pub fn is_welcome(&mut self, access: &Access, unix_s: u64) -> bool {
        match &mut self.phase {
            Phase::Catalogue(conversation) => conversation.client.is_welcome(access, unix_s),
            _ => true,
        }
    }

    /// A second has passed; true if there may be something to go on with.
    pub fn refill(&mut self) -> bool {
        match &mut self.phase {
            Phase::Catalogue(conversation) => conversation.refill(),
            Phase::Http(exchange) => exchange.refill(),
            Phase::Opening(_) | Phase::Closing => return false,
        }
        true
    }

    pub fn is_over(&self, now: Time) -> bool {
        let silent = now.since(self.active);
        match &self.phase {
            Phase::Opening(_) => {
                let over = now.since(self.opened) >= HELLO;
                if over {
                    mark!("C01");
                }
                over
            }
            Phase::Closing => self.queued > 0 && silent >= STALLED,
            Phase::Catalogue(conversation) => {
                self.is_silent(silent) || conversation.is_too_slow(now)
            }
            Phase::Http(exchange) => self.is_silent(silent) || exchange.is_too_slow(now),
        }
    }

    /// Whether it does not take what it is owed, or, owed nothing, does not ask.
    fn is_silent(&self, silent: Span) -> bool {
        if self.queued > 0 && silent >= STALLED {
            mark!("C02");
        }
        silent >= if self.queued > 0 { STALLED } else { IDLE }
    }

    /// Adds up what was given to this connection since the outbox had `before` effects.
    pub fn count_sent(&mut self, out: &Outbox, before: usize) {
        for effect in out.effects.iter().skip(before) {
            self.queued += match effect {
                Effect::Send { chunk: Chunk::Head(head), .. } => head.bytes().len() as u64,
                Effect::Send { chunk: Chunk::Arena { len, .. }, .. } => u64::from(*len),
                _ => 0,
            };
        }
    }

    /// The first bytes choose the protocol.
    fn opening(&mut self, bytes: &[u8], desk: &mut Desk<'_>) -> Verdict {
        let Phase::Opening(so_far) = &mut self.phase else { return Verdict::Go };
        // A hello never needs more than this; what follows it may have come along.
        let room = HELLO_BYTES_MAX.saturating_sub(so_far.len()).min(bytes.len());
        let (first, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        so_far.extend_from_slice(first);
        if !Hello::begins(so_far) {
            return self.other_protocol(rest, desk);
        }
        let (hello, len) = match Hello::decode(so_far) {
            Ok(Some(hello)) => hello,
            Ok(None) => return Verdict::Go,
            Err(_) => return Verdict::Drop,
        };
        let mut more = so_far.split_off(len.min(so_far.len()));
        more.extend_from_slice(rest);
        let (status, version, pass) = self.judge(&hello, desk);
        let mut reply = Vec::new();
        HelloReply {
            version,
            status,
            max_frame: CATALOGUE_FRAME_BYTES_MAX,
            generation: desk.registry.names.generation(),
            time_s: desk.unix_s(),
        }
        .encode(&mut reply);
        desk.out.send(self.conn, &reply);
        if status != Status::Ready {
            return Verdict::Refused;
        }
        let announce = announce_url(self.ends.local, pass.bearer(&hello.token));
        let client = Client {
            conn: self.conn,
            ip: self.ends.source,
            owner: pass.owner.or_else(|| hello.node_key.as_ref().map(Owner::of)),
            pass,
            token: hello.token.into(),
            rights: hello.ticket.get(4).copied().unwrap_or_default(),
            public: self.ends.limited,
            announce,
        };
        let mut conversation = Conversation::new(client, hello.max_frame);
        let queued = self.queued + reply.len() as u64;
        let heard = conversation.got_bytes(&more, queued, desk);
        self.phase = Phase::Catalogue(Box::new(conversation));
        Verdict::from(heard)
    }

    fn judge(&self, hello: &Hello, desk: &mut Desk<'_>) -> (Status, u8, Pass) {
        let Some(version) = common_version((VERSION, VERSION), hello.versions) else {
            return (Status::BadVersion, 0, Pass::OPEN);
        };
        let unix_s = desk.unix_s();
        let rights = hello.ticket.get(4).copied().unwrap_or_default();
        let scope = if rights & WRITE != 0 { scope::WRITE } else { scope::READ };
        let pass = match desk.registry.access.passes(Some(&hello.token), scope, None, unix_s) {
            Ok(pass) => pass,
            Err(Denied) => {
                let missing = hello.token.is_empty();
                let status = if missing { Status::AuthRequired } else { Status::Forbidden };
                return (status, 0, Pass::OPEN);
            }
        };
        let owner = pass.owner.unwrap_or_default();
        let holder = Holder { ip: self.ends.source, nonce: &hello.nonce, owner };
        match desk.tickets.judge(&hello.ticket, holder, unix_s) {
            Some(_) => {
                desk.tickets.used(&hello.ticket, self.ends.source);
                (Status::Ready, version, pass)
            }
            None => (Status::BadTicket, 0, pass),
        }
    }

    /// Not a hello: HTTP, or nothing that is spoken here.
    fn other_protocol(&mut self, rest: &[u8], desk: &mut Desk<'_>) -> Verdict {
        let Phase::Opening(so_far) = &mut self.phase else { return Verdict::Go };
        match head::begins(so_far) {
            Some(true) => {}
            None => return Verdict::Go,
            Some(false) => {
                mark!("C04");
                return Verdict::Drop;
            }
        }
        let mut all = std::mem::take(so_far);
        all.extend_from_slice(rest);
        let asker = Asker { ip: self.ends.source, local: self.ends.local, bearer: None };
        let mut exchange = Exchange::new(self.conn, asker, self.opened);
        let heard = exchange.got_bytes(&all, self.queued, desk);
        self.phase = Phase::Http(Box::new(exchange));
        Verdict::from(heard)
    }
}
