//! One turn of a role in a world: it hears one input, then its wishes are applied in order. Nothing
//! here is entered from inside a role.

use super::laws;
use super::net::NetDone;
use super::weather::Planted;
use super::world::{Happening, TURN, WALL_START_S, World};
use crate::core::id::{ConnId, Ticket};
use crate::core::io::{Closed, Effect, FileOp, Input, Outbox};
use crate::core::time::{Span, Time};

/// Wakes in a row without any other news before a role counts as spinning.
const WAKES_IN_A_ROW_MAX: u32 = 20_000;
/// Turns of one process between two looks at its snapshot.
const SNAPSHOT_EVERY: u64 = 64;

impl World {
    /// One turn of a role: it hears `input`, then its wishes are applied in order.
    pub(super) fn tell(&mut self, node: usize, input: Input<'_>) {
        let at = self.at(node);
        let Some(process) = &mut self.nodes[node].process else { return };
        let now = Time::ZERO + self.now.since(process.born);
        let closed = if let Input::Closed { conn, .. } = input { Some(conn) } else { None };
        let waking = matches!(input, Input::Wake);
        process.wakes_in_a_row = if waking { process.wakes_in_a_row + 1 } else { 0 };
        process.turns += 1;
        self.trace.input(at, &input);
        let verdict = process.watch.input(now, process.role.deadline(), &input);
        process.judges.input(now, &input);
        process.role.on(now, input, &mut process.out);
        if let Some(conn) = closed {
            process.out.conns.remove(conn);
        }
        let verdict = verdict.and_then(|()| process.watch.effects(&process.out, 0));
        let verdict = verdict.and_then(|()| process.judges.effects(now, &process.out));
        let verdict = verdict.and_then(|()| match process.wakes_in_a_row > WAKES_IN_A_ROW_MAX {
            true => Err("the role only wakes, again and again".into()),
            false => Ok(()),
        });
        let due = process.turns.is_multiple_of(SNAPSHOT_EVERY);
        let verdict = verdict.and_then(|()| if due { self.look(node) } else { Ok(()) });
        if let Err(what) = verdict {
            self.broken(format!("node {node} life {}: {what}", at.life));
        }
        self.apply_all(node);
        self.plan_wake(node);
    }

    /// The looks that are due now and then, at every process now.
    pub(super) fn look_at_all(&mut self) -> Result<(), String> {
        (0..self.nodes.len()).try_for_each(|node| {
            self.look(node).map_err(|what| format!("at the end: node {node}: {what}"))
        })
    }

    /// What can be seen of a role and is dear to look at.
    fn look(&mut self, node: usize) -> Result<(), String> {
        let slots_max = self.nodes[node].slots_max;
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let now = Time::ZERO + self.now.since(process.born);
        let picture = process.role.snapshot(now);
        laws::snapshot(&picture, slots_max)?;
        process.role.audit()?;
        process.judges.look(now, &picture)
    }

    fn apply_all(&mut self, node: usize) {
        let at = self.at(node);
        let Some(process) = &mut self.nodes[node].process else { return };
        // Nothing below calls the role, so its outbox can stand aside meanwhile.
        let mut effects = std::mem::take(&mut process.out.effects);
        let arena = std::mem::take(&mut process.out.arena);
        let mut kept = Outbox::default();
        kept.arena = arena;
        let mut ending = None;
        for effect in effects.drain(..) {
            self.trace.effect(at, &effect, &kept);
            match effect {
                Effect::End(how) => ending = ending.or(Some(how)),
                Effect::Tell(event) => self.nodes[node].events.push((self.now, event)),
                effect => self.apply(node, at.life, effect, &kept),
            }
        }
        if let Some(process) = &mut self.nodes[node].process {
            (process.out.effects, process.out.arena) = (effects, kept.arena);
            process.out.arena.clear();
        }
        if let Some(how) = ending {
            self.nodes[node].ending = Some(how);
            self.end_process(node, true);
        }
    }

    fn apply(&mut self, node: usize, life: u32, effect: Effect, kept: &Outbox) {
        match effect {
            Effect::Listen { ticket, at, port_last, tcp, udp } => {
                let done = NetDone::Listening(self.bind(node, at, port_last, tcp, udp));
                self.later(self.now + TURN, Happening::Net { node, life, ticket, done });
            }
            Effect::Join { ticket, group, on } => {
                let done = NetDone::Joined(self.join(node, group, on));
                self.later(self.now + TURN, Happening::Net { node, life, ticket, done });
            }
            Effect::Dial { conn, to, .. } => self.dial(node, life, conn, to),
            Effect::Send { conn, chunk } => self.send(node, conn, chunk, kept),
            Effect::Close { conn, flush } => self.close(node, conn, flush),
            Effect::Encipher { conn, send, receive } => self.encipher(node, conn, send, receive),
            Effect::Reading { conn, on } => self.reading(node, conn, on),
            Effect::Datagram { to, from, start, len } => {
                self.datagram_leaves(node, to, from, kept.bytes(start, len));
            }
            Effect::File { ticket, op } => self.file_op(node, life, ticket, op),
            Effect::Store { ticket, op } => self.store_op(node, life, ticket, op),
            Effect::Tell(_) | Effect::End(_) => {}
        }
    }

    fn file_op(&mut self, node: usize, life: u32, ticket: Ticket, op: FileOp) {
        let host = &mut self.hosts[self.nodes[node].host];
        let wall_ns = i128::from(WALL_START_S) * 1_000_000_000 + i128::from(self.now.0);
        host.disk.set_clock(wall_ns);
        let done = host.disk.perform(node, op);
        let (low, high) = self.weather.file_latency;
        let mut at = self.now + Span(self.rng.files.between(low.0, high.0));
        let stalled = self.rng.files.chance(self.weather.file_stall_pm);
        let stall = self.rng.files.below(Span::secs(5).0);
        if stalled && self.faults() {
            at = at + Span(stall);
        }
        let in_order = self.weather.files_in_order;
        if let Some(process) = self.process(node, life).filter(|_| in_order) {
            process.files_after = process.files_after.max(at);
            at = process.files_after;
        }
        self.later(at, Happening::File { node, life, ticket, done });
    }

    fn plan_wake(&mut self, node: usize) {
        let late = Span(self.rng.wakes.below(self.weather.wake_late.0 + 1));
        let (now, life) = (self.now, self.nodes[node].life);
        let Some(process) = &mut self.nodes[node].process else { return };
        let deadline = process.role.deadline();
        if deadline == Time::NEVER {
            process.wake_at = Time::NEVER;
            return;
        }
        let wanted = process.born + deadline.since(Time::ZERO);
        // A wake that is already planned for a time that will do stays: planning it anew at every
        // turn would put it off for ever.
        let at = (wanted + late).max(now + TURN);
        if process.wake_at >= wanted && process.wake_at <= at && process.wake_at > now {
            return;
        }
        process.wake_at = at;
        self.later(at, Happening::Wake { node, life, at });
    }

    pub(super) fn wake(&mut self, node: usize, life: u32, at: Time) {
        let Some(process) = self.process(node, life).filter(|process| process.wake_at == at) else {
            return;
        };
        process.wake_at = Time::NEVER;
        self.tell(node, Input::Wake);
    }

    /// The last word about a connection.
    pub(super) fn tell_closed(&mut self, node: usize, conn: ConnId, why: Closed) {
        if let Some(process) = &mut self.nodes[node].process {
            process.conns.remove(&conn);
        }
        self.tell(node, Input::Closed { conn, why });
        let twice = self.weather.planted == Some(Planted::ClosedTwice);
        if twice && self.rng.tcp.chance(200) {
            self.tell(node, Input::Closed { conn, why });
        }
    }
}
