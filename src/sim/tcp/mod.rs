//! Byte streams between processes: dial, accept, back-pressure by a window, a rate, deliveries cut
//! anywhere, orderly ends, resets, and black holes that nobody tells of. Here: what the roles wish.
//! `steps`: what happens to the ends. `link`: how bytes and ends travel.

mod link;
mod steps;

use super::world::World;
use crate::core::chunk::{Chunk, FileSpan};
use crate::core::cipher::Keystream;
use crate::core::id::ConnId;
use crate::core::io::{Closed, Outbox};
use crate::core::time::{Span, Time};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// The pause between two deliveries to one role, and before it hears what it caused itself.
const SOON: Span = Span::us(1);
/// A segment for a machine without power is sent again after this.
const AGAIN: Span = Span::secs(3);

/// What happens to one end of a stream.
pub(super) enum Step {
    Syn,
    SynAck,
    Ack,
    DialFails(Closed),
    Arrive(Vec<u8>),
    Fin,
    Rst,
    /// The role takes what arrived.
    Deliver,
    /// There may be room in the window again.
    Pump,
    /// The other role took this many bytes.
    Credit(u64),
    TellSent,
    TellClosed(Closed),
    /// Someone between resets both ends.
    Cut,
    /// From now on nothing arrives, either way.
    Dark,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Dialled or being accepted: the role may queue already.
    Opening,
    Up,
    /// The role closed it; its queue still leaves.
    Flushing,
    /// The role closed it or it failed: `Closed` is about to be told.
    Closing,
    Over,
}

enum Queued {
    /// Bytes, and how many of them left.
    Bytes(Vec<u8>, usize),
    Span(FileSpan),
}

pub(super) struct End {
    node: usize,
    life: u32,
    conn: Option<ConnId>,
    local: SocketAddr,
    phase: Phase,
    flush_wanted: bool,
    reading: bool,
    queue: VecDeque<Queued>,
    /// Bytes in `queue`.
    pub queued: u64,
    /// What leaves the queue is enciphered, once the bytes queued before have left.
    sends: Option<(u64, Keystream)>,
    /// What comes is.
    receives: Option<Keystream>,
    /// Bytes that left the queue and were not yet taken by the other role.
    window_used: u64,
    untold: u64,
    sent_planned: bool,
    pump_planned: bool,
    /// The link is busy with earlier bytes until then.
    busy_until: Time,
    /// Nothing may arrive at the other end before this: order.
    arrives_after: Time,
    /// Segments that arrived; the role took `inbox_taken` bytes of the first.
    inbox: VecDeque<Vec<u8>>,
    inbox_taken: usize,
    /// Bytes the role took that the sender was not told of yet.
    uncredited: u64,
    fin_came: bool,
    rst_came: bool,
    deliver_planned: bool,
}

pub(super) struct Stream {
    pub ends: [End; 2],
    dark: bool,
}

impl End {
    fn new(node: usize, life: u32, conn: Option<ConnId>, local: SocketAddr) -> End {
        End {
            node,
            life,
            conn,
            local,
            phase: Phase::Opening,
            flush_wanted: false,
            reading: true,
            queue: VecDeque::new(),
            queued: 0,
            sends: None,
            receives: None,
            window_used: 0,
            untold: 0,
            sent_planned: false,
            pump_planned: false,
            busy_until: Time::ZERO,
            arrives_after: Time::ZERO,
            inbox: VecDeque::new(),
            inbox_taken: 0,
            uncredited: 0,
            fin_came: false,
            rst_came: false,
            deliver_planned: false,
        }
    }

    fn drop_queue(&mut self) {
        self.queue.clear();
        (self.queued, self.untold) = (0, 0);
    }

    /// The next bytes for the role, at most `len`, never across two segments.
    fn take_inbox(&mut self, len: usize) -> Vec<u8> {
        let Some(segment) = self.inbox.front() else { return Vec::new() };
        let end = self.inbox_taken.saturating_add(len).min(segment.len());
        let bytes = segment[self.inbox_taken..end].to_vec();
        if end == segment.len() {
            self.inbox.pop_front();
            self.inbox_taken = 0;
        } else {
            self.inbox_taken = end;
        }
        bytes
    }
}

/// The wishes of roles.
impl World {
    pub(super) fn dial(&mut self, node: usize, life: u32, conn: ConnId, to: SocketAddr) {
        let host = self.nodes[node].host;
        let local = SocketAddr::new(self.source_ip(host, to.ip()), self.ephemeral_port(host));
        self.last_stream += 1;
        let id = self.last_stream;
        let mut far = End::new(usize::MAX, 0, None, to);
        far.phase = Phase::Over;
        let near = End::new(node, life, Some(conn), local);
        self.streams.insert(id, Stream { ends: [near, far], dark: false });
        if let Some(process) = &mut self.nodes[node].process {
            process.conns.insert(conn, (id, 0));
        }
        let lost = self.rng.tcp.chance(self.weather.dial_lost_pm);
        if !(lost && self.faults()) {
            self.tcp_after(self.trip(0), id, 1, Step::Syn);
        }
        let patience = self.weather.dial_timeout;
        self.tcp_after(patience, id, 0, Step::DialFails(Closed::Unreachable));
    }

    pub(super) fn send(&mut self, node: usize, conn: ConnId, chunk: Chunk, kept: &Outbox) {
        let Some((id, side)) = self.place(node, conn) else { return };
        let Some(end) = self.end(id, side) else { return };
        // After a reset nothing leaves any more, whether or not the role has heard of it.
        let leaves = matches!(end.phase, Phase::Opening | Phase::Up) && !end.rst_came;
        if !leaves || end.flush_wanted {
            return;
        }
        let (item, len) = match chunk {
            Chunk::Head(head) => {
                (Queued::Bytes(head.bytes().to_vec(), 0), head.bytes().len() as u64)
            }
            Chunk::Arena { start, len } => {
                (Queued::Bytes(kept.bytes(start, len).to_vec(), 0), u64::from(len))
            }
            Chunk::File(span) => (Queued::Span(span), u64::from(span.len)),
        };
        if len > 0 {
            end.queue.push_back(item);
            end.queued += len;
            self.plan_pump(id, side, self.now + SOON);
        }
    }

    pub(super) fn close(&mut self, node: usize, conn: ConnId, flush: bool) {
        let Some((id, side)) = self.place(node, conn) else { return };
        let Some(end) = self.end(id, side) else { return };
        match (end.phase, flush) {
            (Phase::Up, true) if end.rst_came => self.end_role_side(id, side, Closed::Reset),
            (Phase::Opening, true) => end.flush_wanted = true,
            (Phase::Up, true) => {
                end.phase = Phase::Flushing;
                self.drain_inbox(id, side);
                self.plan_pump(id, side, self.now + SOON);
            }
            (Phase::Opening | Phase::Up | Phase::Flushing, false) => {
                self.say_goodbye(id, side);
                self.end_role_side(id, side, Closed::ByUs);
            }
            _ => {}
        }
    }

    pub(super) fn reading(&mut self, node: usize, conn: ConnId, on: bool) {
        let Some((id, side)) = self.place(node, conn) else { return };
        let Some(end) = self.end(id, side) else { return };
        end.reading = on;
        self.plan_deliver(id, side);
    }

    /// The process of this end is gone: its system closes for it.
    pub(super) fn orphan(&mut self, id: u64, side: usize, orderly: bool) {
        if orderly {
            self.pump(id, side);
        }
        self.say_goodbye(id, side);
        if let Some(end) = self.end(id, side) {
            end.phase = Phase::Over;
            end.drop_queue();
        }
        self.forget_if_over(id);
    }

    /// The machine lost its power: its ends are gone without a word.
    pub(super) fn forget_ends_of(&mut self, host: usize) {
        let here = |node: usize| self.nodes.get(node).is_some_and(|node| node.host == host);
        for stream in self.streams.values_mut() {
            for end in stream.ends.iter_mut().filter(|end| here(end.node)) {
                end.phase = Phase::Over;
                end.drop_queue();
            }
        }
        self.streams.retain(|_, stream| stream.ends.iter().any(|end| end.phase != Phase::Over));
    }
}
