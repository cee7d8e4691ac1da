//! Step 8 of the turn: the wishes of the role are applied, in the order they were stated.

use super::conns::Phase;
use super::door::Door;
use super::listen::{self, Kinds};
use super::{Completion, Reactor, TOKEN_TCP, TOKEN_UDP, dial};
use crate::core::chunk::Chunk;
use crate::core::id::ConnId;
use crate::core::io::{Closed, Effect, Listening, NetError, Outbox, Role, Transport};
use mio::Interest;
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};

/// Capacity of the arena kept from turn to turn, bytes.
const ARENA_KEEP_BYTES: usize = 1024 * 1024;

impl<R: Role> Reactor<R> {
    /// Applies what the role wished for so far. With an ending all file work is done too.
    pub(super) fn apply_effects(&mut self) {
        let mut effects = mem::replace(&mut self.door.out.effects, mem::take(&mut self.spare));
        for effect in effects.drain(..) {
            self.apply(effect);
        }
        self.spare = effects;
        let Door { out, counters, now, .. } = &mut self.door;
        self.datagrams.flush(out, *now, counters);
        self.door.out.arena.clear();
        self.door.out.arena.shrink_to(ARENA_KEEP_BYTES);
        let completions = &mut self.completions;
        self.files.work(self.door.ending.is_some(), |ticket, done| {
            completions.push_back(Completion::File(ticket, done));
        });
    }

    fn apply(&mut self, effect: Effect) {
        let now = self.door.now;
        match effect {
            Effect::Send { conn, chunk } => self.queue(conn, chunk),
            Effect::Close { conn, flush } => self.door.conns.close(conn, flush, now),
            Effect::Encipher { conn, send, receive: _ } => {
                if let Some(conn) = self.door.conns.get_mut(conn) {
                    conn.queue.encipher(send);
                }
            }
            Effect::Reading { conn, on } => {
                if let Some(conn) = self.door.conns.get_mut(conn) {
                    conn.paused = !on && conn.closing_until.is_none();
                }
                self.door.conns.list_ready(conn);
            }
            Effect::Dial { conn, to, from, transport } => {
                self.door.counters.dialled += 1;
                if let Err(why) = self.dial(conn, (to, from), &transport) {
                    self.door.conns.mark_unborn(conn, why);
                }
            }
            Effect::Datagram { to, from, start, len } => {
                self.datagrams.post(to, from, start, len);
            }
            Effect::File { ticket, op } => self.files.push(ticket, op),
            Effect::Store { ticket, op } => self.ask_store(ticket, op),
            Effect::Listen { ticket, at, port_last, tcp, udp } => {
                let result = self.listen(at, port_last, Kinds { tcp, udp });
                self.completions.push_back(Completion::Listening(ticket, result));
            }
            Effect::Tell(event) => self.events.push(event),
            // Noted when it was stated.
            Effect::End(_) => {}
        }
    }

    fn queue(&mut self, id: ConnId, chunk: Chunk) {
        let Some(conn) = self.door.conns.get_mut(id) else { return };
        if !conn.takes_output() || conn.closing_until.is_some() {
            return;
        }
        match chunk {
            Chunk::Head(head) => conn.queue.push_bytes(head.bytes()),
            Chunk::Arena { start, len } => {
                let out: &Outbox = &self.door.out;
                conn.queue.push_bytes(out.bytes(start, len));
            }
            Chunk::File(span) => conn.queue.push_span(span),
        }
        self.door.conns.list_flush(id);
    }

    fn dial(
        &mut self,
        conn: ConnId,
        (to, from): (SocketAddr, Option<IpAddr>),
        transport: &Transport,
    ) -> Result<(), Closed> {
        if self.inlet.full(self.door.conns.len()) {
            // Every descriptor is in use.
            return Err(Closed::Unreachable);
        }
        let tls = match transport {
            Transport::Plain => None,
            Transport::Tls { name } => {
                Some(Box::new(self.trust.session(name).map_err(Closed::Untrusted)?))
            }
        };
        let failed = |e: io::Error| dial::reason(&e);
        let stream = dial::begin(to, from).map_err(failed)?;
        let registry = self.poll.registry();
        self.door.conns.insert(registry, conn, (stream, tls), Phase::Dialling).map_err(failed)
    }

    fn listen(
        &mut self,
        at: SocketAddr,
        port_last: u16,
        kinds: Kinds,
    ) -> Result<Listening, NetError> {
        let bound = listen::bind(at, port_last, kinds)?;
        let registry = self.poll.registry();
        let refused = |e: io::Error| listen::net_error(&e);
        if let Some(mut listener) = bound.tcp {
            registry.register(&mut listener, TOKEN_TCP, Interest::READABLE).map_err(refused)?;
            self.inlet.listener = Some(listener);
            self.inlet.acceptable = true;
        }
        if let Some(mut socket) = bound.udp {
            registry.register(&mut socket, TOKEN_UDP, Interest::READABLE).map_err(refused)?;
            self.datagrams.serve(socket);
            self.datagrams.readable = true;
        }
        Ok(bound.listening)
    }
}
