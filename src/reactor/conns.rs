//! The live connections by slot: socket, readiness bits, output queue, and the lists of those with
//! something to do. Ids are given by the outbox; the table checks their generation.

use super::FIRST_CONN_TOKEN;
use super::queue::Queue;
use super::tls::Tls;
use crate::core::cipher::{Keystream, StreamKey};
use crate::core::id::ConnId;
use crate::core::io::Closed;
use crate::core::limits;
use crate::core::time::{Span, Time};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::collections::VecDeque;
use std::io;

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Dialling,
    Open,
    /// Our end of the stream is sent; what still comes is thrown away until the other end comes.
    Lingering,
    /// Marked: freed at the end of the turn.
    Over(Closed),
}

#[derive(Debug)]
pub(super) struct Conn {
    pub id: ConnId,
    pub stream: TcpStream,
    pub phase: Phase,
    pub readable: bool,
    pub writable: bool,
    /// The poll said that nothing follows what can be read now.
    pub read_closed: bool,
    /// A write failed: what came before may still be read, then it is over.
    pub write_failed: bool,
    pub paused: bool,
    /// The role wished it closed: no bytes are told any more.
    pub hushed: bool,
    /// Set while we flush or linger before the close: give up at this time.
    pub closing_until: Option<Time>,
    pub queue: Queue,
    pub tls: Option<Box<Tls>>,
    /// What comes is enciphered so.
    pub enciphered: Option<Box<Keystream>>,
    /// Bytes that left and were not told yet.
    pub sent_untold: u64,
    in_ready: bool,
    in_flush: bool,
}

impl Conn {
    /// Whether bytes may still be queued and written: also in the turn in which the other side
    /// ended its half, so that an answer to its last words leaves.
    pub fn takes_output(&self) -> bool {
        matches!(self.phase, Phase::Dialling | Phase::Open | Phase::Over(Closed::ByPeer))
            && !self.write_failed
    }

    /// Whether there is something that can be written as far as we are concerned.
    pub fn has_output(&self) -> bool {
        match &self.tls {
            None => !self.queue.is_empty(),
            Some(tls) => tls.wants_write() || (tls.takes_plain() && !self.queue.is_empty()),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Conns {
    slots: Vec<Option<Conn>>,
    live: usize,
    /// Connections with something to read (or a dial that was answered), oldest first.
    ready: VecDeque<ConnId>,
    /// Connections with something to write, oldest first.
    flush: VecDeque<ConnId>,
    /// Ids whose `Closed` is due; without a `Conn` for dials that failed at once.
    marked: Vec<(ConnId, Closed)>,
    /// Connections whose `Sent` is due.
    sent: VecDeque<ConnId>,
    /// Connections that are flushed or lingered before their close.
    closing: Vec<ConnId>,
}

impl Conns {
    pub fn len(&self) -> usize {
        self.live
    }

    /// Takes a socket in and has it watched for both directions, once and for all.
    pub fn insert(
        &mut self,
        registry: &Registry,
        id: ConnId,
        (mut stream, tls): (TcpStream, Option<Box<Tls>>),
        phase: Phase,
    ) -> io::Result<()> {
        let slot = id.slot as usize;
        let token = Token(FIRST_CONN_TOKEN + slot);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        let conn = Conn {
            id,
            stream,
            phase,
            readable: false,
            writable: phase == Phase::Open,
            read_closed: false,
            write_failed: false,
            paused: false,
            hushed: false,
            closing_until: None,
            queue: Queue::default(),
            tls,
            enciphered: None,
            sent_untold: 0,
            in_ready: false,
            in_flush: false,
        };
        if let Some(place) = self.slots.get_mut(slot) {
            self.live += usize::from(place.is_none());
            *place = Some(conn);
        }
        Ok(())
    }

    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.slots.get_mut(id.slot as usize)?.as_mut().filter(|conn| conn.id == id)
    }

    pub fn remove(&mut self, id: ConnId) -> Option<Conn> {
        let gone = self.slots.get_mut(id.slot as usize)?.take_if(|conn| conn.id == id);
        self.live -= usize::from(gone.is_some());
        gone
    }

    /// Notes what the poll said of a token.
    pub fn note(&mut self, event: &mio::event::Event) {
        let slot = event.token().0.wrapping_sub(FIRST_CONN_TOKEN);
        let Some(conn) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        let ended = event.is_read_closed() || event.is_error();
        conn.readable |= event.is_readable() || ended;
        conn.read_closed |= ended;
        conn.writable |= event.is_writable() || event.is_write_closed();
        let id = conn.id;
        if event.is_error() && conn.paused && conn.phase == Phase::Open {
            // Nobody will read this connection, so nobody else would find out.
            self.mark(id, Closed::Reset);
        }
        self.list_ready(id);
        self.list_flush(id);
    }

    /// Puts a connection on the list of those to read, if there is reason to.
    pub fn list_ready(&mut self, id: ConnId) {
        let Some(conn) = self.get_mut(id) else { return };
        let due = match conn.phase {
            Phase::Dialling => conn.writable || conn.readable,
            Phase::Open | Phase::Lingering => conn.readable && !conn.paused,
            Phase::Over(_) => false,
        };
        if due && !conn.in_ready {
            conn.in_ready = true;
            self.ready.push_back(id);
        }
    }

    /// Puts a connection on the list of those to write, if there is reason to.
    pub fn list_flush(&mut self, id: ConnId) {
        let Some(conn) = self.get_mut(id) else { return };
        let ends = conn.closing_until.is_some() && conn.queue.is_empty();
        let work = conn.has_output() || ends;
        let due = work && conn.writable && conn.phase != Phase::Dialling && conn.takes_output();
        if due && !conn.in_flush {
            conn.in_flush = true;
            self.flush.push_back(id);
        }
    }

    pub fn ready_len(&self) -> usize {
        self.ready.len()
    }

    pub fn flush_len(&self) -> usize {
        self.flush.len()
    }

    pub fn next_ready(&mut self) -> Option<ConnId> {
        let id = self.ready.pop_front()?;
        if let Some(conn) = self.get_mut(id) {
            conn.in_ready = false;
        }
        Some(id)
    }

    pub fn next_flush(&mut self) -> Option<ConnId> {
        let id = self.flush.pop_front()?;
        if let Some(conn) = self.get_mut(id) {
            conn.in_flush = false;
        }
        Some(id)
    }

    /// Marks a connection as over. The first reason counts.
    pub fn mark(&mut self, id: ConnId, why: Closed) {
        let Some(conn) = self.get_mut(id) else { return };
        if !matches!(conn.phase, Phase::Over(_)) {
            conn.phase = Phase::Over(why);
            self.marked.push((id, why));
        }
    }

    /// Marks an id that never got a socket.
    pub fn mark_unborn(&mut self, id: ConnId, why: Closed) {
        self.marked.push((id, why));
    }

    /// What comes from here on is deciphered before it is told.
    pub fn decipher(&mut self, id: ConnId, key: StreamKey) {
        if let Some(conn) = self.get_mut(id) {
            conn.enciphered = Some(Box::new(Keystream::new(key)));
        }
    }

    /// No more bytes are told of a connection that the role wished closed.
    pub fn hush(&mut self, id: ConnId) {
        if let Some(conn) = self.get_mut(id) {
            conn.hushed = true;
        }
    }

    /// The wish to close: at once, or after the queue left.
    pub fn close(&mut self, id: ConnId, flush: bool, now: Time) {
        let Some(conn) = self.get_mut(id) else { return };
        conn.hushed = true;
        let unsent = !conn.queue.is_empty();
        let linger = match conn.phase {
            Phase::Open => true,
            // The other side may have closed one half only and wait for the answer.
            Phase::Dialling | Phase::Over(Closed::ByPeer) => unsent,
            Phase::Lingering | Phase::Over(_) => false,
        };
        if !(flush && linger && conn.takes_output()) {
            return self.mark(id, Closed::ByUs);
        }
        if matches!(conn.phase, Phase::Over(_)) {
            conn.phase = Phase::Open;
            self.marked.retain(|(marked, _)| *marked != id);
        }
        let Some(conn) = self.get_mut(id) else { return };
        conn.paused = false;
        if conn.closing_until.replace(now + Span::ms(limits::FLUSH_IDLE_MS)).is_none() {
            self.closing.push(id);
        }
        self.list_ready(id);
        self.list_flush(id);
    }

    /// Bytes left: their `Sent` is due in the next turn.
    pub fn note_sent(&mut self, id: ConnId, bytes: u64) {
        let Some(conn) = self.get_mut(id) else { return };
        let first = conn.sent_untold == 0;
        conn.sent_untold += bytes;
        if first {
            self.sent.push_back(id);
        }
    }

    pub fn sent_due(&self) -> bool {
        !self.sent.is_empty()
    }

    /// One connection whose `Sent` is due: its id, bytes since last told, bytes still queued.
    pub fn next_sent(&mut self) -> Option<(ConnId, u64, u64)> {
        while let Some(id) = self.sent.pop_front() {
            if let Some(conn) = self.get_mut(id) {
                let bytes = std::mem::take(&mut conn.sent_untold);
                return Some((id, bytes, conn.queue.len()));
            }
        }
        None
    }

    /// The ids to free now, each with its reason.
    pub fn take_marked(&mut self) -> Vec<(ConnId, Closed)> {
        std::mem::take(&mut self.marked)
    }

    /// The earliest time at which a flush or a lingering is given up.
    pub fn closing_deadline(&self) -> Time {
        let until = |id: &ConnId| {
            let conn = self.slots.get(id.slot as usize)?.as_ref().filter(|conn| conn.id == *id)?;
            conn.closing_until
        };
        self.closing.iter().filter_map(until).min().unwrap_or(Time::NEVER)
    }

    /// Gives up the closes that waited long enough.
    pub fn expire_closing(&mut self, now: Time) {
        if self.closing_deadline() > now {
            return;
        }
        let mut closing = std::mem::take(&mut self.closing);
        closing.retain(|id| {
            let until = self.get_mut(*id).and_then(|conn| conn.closing_until);
            let expired = until.is_some_and(|until| until <= now);
            if expired {
                self.mark(*id, Closed::ByUs);
            }
            until.is_some() && !expired
        });
        self.closing = closing;
    }

    /// Forgets closes whose connection is gone.
    pub fn forget_closing(&mut self, id: ConnId) {
        self.closing.retain(|closing| *closing != id);
    }
}
