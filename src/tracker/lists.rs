//! The TCP side: who is connected, for how long, and who had to go. Answers are produced only while
//! little waits to be sent, so that a slow reader costs little.

use super::connection::{Connection, Phase, Verdict};
use super::desk::Desk;
use super::source::public_source;
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Connections in all, those promised to ticket holders included: every seeder keeps one, and some
/// thousand machines may start at once.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Connections of one public address (or IPv6 /64).
pub const ADDRESS_CONNECTIONS_MAX: usize = 8;
/// Time for a hello, or for the first bytes of another protocol.
pub const HELLO: Span = Span::secs(5);
/// Silence after which a connection that is owed nothing is closed.
pub const IDLE: Span = Span::secs(30);
/// Time without any byte taken of what waits to be sent.
pub const STALLED: Span = Span::secs(10);
/// Bytes held back for all HTTP connections together: pipelined requests that wait for their turn.
pub const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug, Default)]
pub struct Lists {
    conns: BTreeMap<ConnId, Connection>,
    /// Connections that are not closing, in all and per public address.
    open: usize,
    of_address: BTreeMap<IpAddr, usize>,
    /// Bytes held back for HTTP connections.
    held: usize,
    /// Connections taken since the start.
    pub taken: u64,
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
            Some(Phase::Http(exchange)) => exchange.held(),
            Some(Phase::Closing) | None => 0,
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
            true => {
                self.opened(source);
                Phase::Opening(Vec::new())
            }
            false => {
                mark!("C03");
                out.close(conn);
                Phase::Closing
            }
        };
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        self.conns.insert(conn, Connection::new(now, source, local, phase));
    }

    fn admits(&self, source: IpAddr) -> bool {
        let same = public_source(source).and_then(|public| self.of_address.get(&public));
        self.open < CONNECTIONS_MAX && same.is_none_or(|same| *same < ADDRESS_CONNECTIONS_MAX)
    }

    fn opened(&mut self, source: IpAddr) {
        (self.open, self.taken) = (self.open + 1, self.taken + 1);
        if let Some(public) = public_source(source) {
            *self.of_address.entry(public).or_default() += 1;
        }
    }

    /// A connection is not spoken with any more: it is closing, or gone.
    fn over(&mut self, conn: ConnId) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        match std::mem::replace(&mut connection.phase, Phase::Closing) {
            Phase::Closing => return,
            Phase::Http(exchange) => self.held = self.held.saturating_sub(exchange.held()),
            Phase::Opening(_) | Phase::Catalogue(_) => {}
        }
        self.open = self.open.saturating_sub(1);
        if let Some(public) = public_source(connection.source)
            && let Some(count) = self.of_address.get_mut(&public)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_address.remove(&public);
            }
        }
    }

    pub fn got_bytes(
        &mut self,
        now: Time,
        conn: ConnId,
        bytes: &[u8],
        desk: &mut Desk<'_>,
        out: &mut Outbox,
    ) {
        self.with(conn, out, |connection, out| connection.got_bytes(now, conn, bytes, desk, out));
    }

    /// Bytes left the queue: time to go on with what was held back.
    pub fn sent(
        &mut self,
        now: Time,
        conn: ConnId,
        bytes: u64,
        desk: &mut Desk<'_>,
        out: &mut Outbox,
    ) {
        self.with(conn, out, |connection, out| {
            connection.sent(now, bytes);
            connection.go_on(now, conn, desk, out)
        });
    }

    pub fn closed(&mut self, conn: ConnId) {
        self.over(conn);
        if self.conns.remove(&conn).is_some_and(|connection| connection.is_owed()) {
            mark!("C07");
        }
    }

    /// The regular work of a second: connections that are too slow end, others get their share of
    /// requests.
    pub fn tick(&mut self, now: Time, desk: &mut Desk<'_>, out: &mut Outbox) {
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in ids {
            let Some(connection) = self.conns.get_mut(&conn) else { continue };
            if connection.is_over(now) {
                out.close(conn);
                self.over(conn);
            } else if connection.refill() {
                self.with(conn, out, |connection, out| connection.go_on(now, conn, desk, out));
            }
        }
    }

    /// Does something with a connection, keeps the books and does what it comes to.
    fn with(
        &mut self,
        conn: ConnId,
        out: &mut Outbox,
        work: impl FnOnce(&mut Connection, &mut Outbox) -> Verdict,
    ) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        let held = connection.held_back();
        let before = out.effects.len();
        let mut verdict = work(connection, out);
        connection.count_sent(out, before);
        let holds = connection.held_back();
        self.held = (self.held + holds).saturating_sub(held);
        if holds > held && self.held > HELD_BYTES_MAX {
            verdict = Verdict::Drop;
        }
        match verdict {
            Verdict::Go => return,
            Verdict::Served => {}
            Verdict::Drop | Verdict::Refused => self.dropped += 1,
        }
        match verdict {
            Verdict::Drop => out.close(conn),
            _ => out.close_after_flush(conn),
        }
        self.over(conn);
    }
}
