//! The TCP side: who is connected, for how long, and which of the protocols of the port they speak.
//! Answers are produced only while little waits to be sent, so that a slow reader costs little.

use super::conversation::{Conversation, Heard};
use super::registry::Registry;
use super::requests::Client;
use super::source::public_source;
use super::ticket::Tickets;
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::limits::CATALOGUE_FRAME_BYTES_MAX;
use crate::core::time::{Span, Time};
use crate::wire::catalogue::hello::{HELLO_BYTES_MAX, Hello, HelloReply, Owner};
use crate::wire::control::{Status, VERSION, common_version};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Connections in all, those promised to ticket holders included: every seeder keeps one, and a
/// thousand machines may start at once.
pub const CONNECTIONS_MAX: usize = 4096;
/// Connections of one public address (or IPv6 /64).
pub const ADDRESS_CONNECTIONS_MAX: usize = 8;
/// Time for a hello, or for the request line of another protocol.
pub const HELLO: Span = Span::secs(5);
/// Silence after which a connection that is owed nothing is closed.
pub const IDLE: Span = Span::secs(30);
/// Time without any byte taken of what waits to be sent.
pub const STALLED: Span = Span::secs(10);

#[derive(Debug)]
struct Connection {
    source: IpAddr,
    local: SocketAddr,
    opened: Time,
    /// Last time something came, or something that waited left.
    active: Time,
    /// Bytes given to be sent and not told to have left.
    queued: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Not known yet what it speaks: the bytes so far.
    Opening(Vec<u8>),
    Catalogue(Box<Conversation>),
    /// Ended by us; nothing it says counts.
    Closing,
}

#[derive(Debug, Default)]
pub struct Lists {
    conns: BTreeMap<ConnId, Connection>,
    /// Connections dropped for what they said, since the last [`Lists::take_dropped`].
    dropped: u64,
}

impl Lists {
    pub fn len(&self) -> usize {
        self.conns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    /// How many connections broke the protocol since last asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Bytes of requests and answers kept for one connection; what is queued at the driver not
    /// counted.
    pub fn held(&self, conn: ConnId) -> usize {
        match self.conns.get(&conn).map(|connection| &connection.phase) {
            Some(Phase::Opening(bytes)) => bytes.len(),
            Some(Phase::Catalogue(conversation)) => conversation.held(),
            _ => 0,
        }
    }

    pub fn accepted(
        &mut self,
        now: Time,
        conn: ConnId,
        remote: SocketAddr,
        local: SocketAddr,
        out: &mut Outbox,
    ) {
        let source = remote.ip().to_canonical();
        let phase = match self.admits(source) {
            true => Phase::Opening(Vec::new()),
            false => {
                out.close(conn);
                Phase::Closing
            }
        };
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        let connection = Connection { source, local, opened: now, active: now, queued: 0, phase };
        self.conns.insert(conn, connection);
    }

    fn admits(&self, source: IpAddr) -> bool {
        let mut open = self.conns.values().filter(|c| !matches!(c.phase, Phase::Closing));
        if open.by_ref().count() >= CONNECTIONS_MAX {
            return false;
        }
        let Some(public) = public_source(source) else { return true };
        let same = self.conns.values().filter(|c| public_source(c.source) == Some(public));
        same.count() < ADDRESS_CONNECTIONS_MAX
    }

    pub fn got_bytes(
        &mut self,
        now: Time,
        conn: ConnId,
        bytes: &[u8],
        desk: &mut Desk<'_>,
        out: &mut Outbox,
    ) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        connection.active = now;
        let before = out.effects.len();
        let verdict = match &mut connection.phase {
            Phase::Closing => Verdict::Go,
            Phase::Catalogue(conversation) => {
                let heard =
                    conversation.got_bytes(now, conn, bytes, connection.queued, desk.registry, out);
                Verdict::from(heard)
            }
            Phase::Opening(_) => connection.opening(now, conn, bytes, desk, out),
        };
        connection.count_sent(out, before);
        self.obey(conn, verdict, out);
    }

    /// Bytes left the queue: time to go on with what was held back.
    pub fn sent(
        &mut self,
        now: Time,
        conn: ConnId,
        bytes: u64,
        registry: &mut Registry,
        out: &mut Outbox,
    ) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        connection.queued = connection.queued.saturating_sub(bytes);
        connection.active = now;
        self.go_on(now, conn, registry, out);
    }

    /// Changes were kept, or could not be: time for the answers that say so.
    pub fn stored(&mut self, now: Time, registry: &mut Registry, out: &mut Outbox) {
        for conn in registry.keeping.take_waiting() {
            self.go_on(now, conn, registry, out);
        }
    }

    pub fn closed(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
    }

    /// The regular work of a second: connections that are too slow end, others get their share of
    /// requests.
    pub fn tick(&mut self, now: Time, registry: &mut Registry, out: &mut Outbox) {
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in ids {
            let Some(connection) = self.conns.get_mut(&conn) else { continue };
            if connection.is_over(now) {
                out.close(conn);
                connection.phase = Phase::Closing;
                continue;
            }
            if let Phase::Catalogue(conversation) = &mut connection.phase {
                conversation.refill();
                self.go_on(now, conn, registry, out);
            }
        }
    }

    fn go_on(&mut self, now: Time, conn: ConnId, registry: &mut Registry, out: &mut Outbox) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        let Phase::Catalogue(conversation) = &mut connection.phase else { return };
        let before = out.effects.len();
        let heard = conversation.go_on(now, conn, connection.queued, registry, out);
        connection.count_sent(out, before);
        self.obey(conn, Verdict::from(heard), out);
    }

    fn obey(&mut self, conn: ConnId, verdict: Verdict, out: &mut Outbox) {
        if verdict == Verdict::Go {
            return;
        }
        self.dropped += u64::from(verdict != Verdict::Served);
        match verdict {
            Verdict::Drop => out.close(conn),
            _ => out.close_after_flush(conn),
        }
        if let Some(connection) = self.conns.get_mut(&conn) {
            connection.phase = Phase::Closing;
        }
    }
}

/// What a new connection may be given.
pub struct Desk<'a> {
    pub registry: &'a mut Registry,
    pub tickets: &'a mut Tickets,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Go,
    /// Answered and done.
    Served,
    /// Broke the protocol: close at once, or after the word about it.
    Drop,
    Refused,
}

impl From<Heard> for Verdict {
    fn from(heard: Heard) -> Verdict {
        match heard {
            Heard::Fine => Verdict::Go,
            Heard::Broken => Verdict::Refused,
        }
    }
}

impl Connection {
    fn is_over(&self, now: Time) -> bool {
        let silent = now.since(self.active);
        match &self.phase {
            Phase::Opening(_) => now.since(self.opened) >= HELLO,
            Phase::Closing => self.queued > 0 && silent >= STALLED,
            Phase::Catalogue(conversation) => {
                let patience = if self.queued > 0 { STALLED } else { IDLE };
                silent >= patience || conversation.is_too_slow(now)
            }
        }
    }

    /// Adds up what was given to this connection since the outbox had `before` effects.
    fn count_sent(&mut self, out: &Outbox, before: usize) {
        use crate::core::{chunk::Chunk, io::Effect};
        for effect in out.effects.iter().skip(before) {
            self.queued += match effect {
                Effect::Send { chunk: Chunk::Head(head), .. } => head.bytes().len() as u64,
                Effect::Send { chunk: Chunk::Arena { len, .. }, .. } => u64::from(*len),
                _ => 0,
            };
        }
    }

    /// The first bytes choose the protocol.
    fn opening(
        &mut self,
        now: Time,
        conn: ConnId,
        bytes: &[u8],
        desk: &mut Desk<'_>,
        out: &mut Outbox,
    ) -> Verdict {
        let Phase::Opening(so_far) = &mut self.phase else { return Verdict::Go };
        // A hello never needs more than this; what follows it may have come along.
        let room = HELLO_BYTES_MAX.saturating_sub(so_far.len()).min(bytes.len());
        let (first, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        so_far.extend_from_slice(first);
        if !Hello::begins(so_far) {
            return self.other_protocol(conn, out);
        }
        let (hello, len) = match Hello::decode(so_far) {
            Ok(Some(hello)) => hello,
            Ok(None) => return Verdict::Go,
            Err(_) => return Verdict::Drop,
        };
        let mut more = so_far.split_off(len.min(so_far.len()));
        more.extend_from_slice(rest);
        let (status, version) = self.judge(now, &hello, desk);
        let mut reply = Vec::new();
        HelloReply {
            version,
            status,
            max_frame: CATALOGUE_FRAME_BYTES_MAX,
            generation: desk.registry.names.generation(),
            time_s: desk.registry.unix_s(now),
        }
        .encode(&mut reply);
        out.send(conn, &reply);
        if status != Status::Ready {
            return Verdict::Refused;
        }
        let client = Client {
            owner: hello.node_key.as_ref().map(Owner::of),
            rights: hello.ticket.get(4).copied().unwrap_or_default(),
            public: public_source(self.source).is_some(),
            announce: format!("udp://{}/announce", self.local),
        };
        let mut conversation = Conversation::new(client, hello.max_frame);
        let queued = self.queued + reply.len() as u64;
        let heard = conversation.got_bytes(now, conn, &more, queued, desk.registry, out);
        self.phase = Phase::Catalogue(Box::new(conversation));
        Verdict::from(heard)
    }

    fn judge(&self, now: Time, hello: &Hello, desk: &mut Desk<'_>) -> (Status, u8) {
        let Some(version) = common_version((VERSION, VERSION), hello.versions) else {
            return (Status::BadVersion, 0);
        };
        let unix_s = desk.registry.unix_s(now);
        match desk.tickets.judge(&hello.ticket, self.source, &hello.nonce, unix_s) {
            Some(_) => {
                desk.tickets.used(&hello.ticket);
                (Status::Ready, version)
            }
            None => (Status::BadTicket, 0),
        }
    }

    /// Not a hello: a browser gets a line to read, everyone else the end.
    fn other_protocol(&mut self, conn: ConnId, out: &mut Outbox) -> Verdict {
        const METHODS: [&str; 7] =
            ["GET ", "HEAD ", "POST ", "PUT ", "OPTIONS ", "DELETE ", "PATCH "];
        let Phase::Opening(so_far) = &self.phase else { return Verdict::Go };
        let is = |method: &str| so_far.starts_with(method.as_bytes());
        let may_be = |method: &str| method.as_bytes().starts_with(so_far);
        if METHODS.into_iter().any(is) {
            let body =
                format!("lmk tracker: use lmk leecher --want NAME --tracker {}\n", self.local);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            out.send(conn, head.as_bytes());
            if !is("HEAD ") {
                out.send(conn, body.as_bytes());
            }
            return Verdict::Served;
        }
        if METHODS.into_iter().any(may_be) { Verdict::Go } else { Verdict::Drop }
    }
}
