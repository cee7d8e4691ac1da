//! How bytes leave a queue and travel, and how the two ends learn of each other's end.

use super::super::world::{Happening, World};
use super::{End, Phase, Queued, SOON, Step, Stream};
use crate::core::cipher::{Keystream, StreamKey};
use crate::core::id::ConnId;
use crate::core::io::{Closed, FileError};
use crate::core::time::{Span, Time};

impl World {
    /// Moves bytes from the queue onto the link, as the window and the rate allow.
    pub(super) fn pump(&mut self, id: u64, side: usize) {
        loop {
            let (now, window) = (self.now, self.weather.window_bytes);
            let segment = self.weather.segment_bytes;
            let Some(end) = self.end(id, side) else { return };
            if !matches!(end.phase, Phase::Up | Phase::Flushing) {
                return;
            }
            let room = window.saturating_sub(end.window_used).min(segment);
            if end.queue.is_empty() {
                return self.finish_flush(id, side);
            }
            if room == 0 {
                return;
            }
            if end.busy_until > now {
                let at = end.busy_until;
                return self.plan_pump(id, side, at);
            }
            match self.take_segment(id, side, room as usize) {
                Ok(bytes) => self.put_on_link(id, side, bytes),
                Err(error) => {
                    self.answer_rst_to_other(id, side);
                    return self.end_role_side(id, side, Closed::FileFailed(error));
                }
            }
        }
    }

    /// Up to `room` bytes of the queue, or why a span cannot be read whole.
    fn take_segment(&mut self, id: u64, side: usize, room: usize) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(bytes) };
        let end = &mut stream.ends[side];
        let disk = &mut self.hosts[self.nodes[end.node].host].disk;
        while bytes.len() < room {
            let left = room - bytes.len();
            match end.queue.front_mut() {
                None => break,
                Some(Queued::Bytes(all, gone)) => {
                    let to = all.len().min(*gone + left);
                    bytes.extend_from_slice(&all[*gone..to]);
                    *gone = to;
                    if to == all.len() {
                        end.queue.pop_front();
                    }
                }
                Some(Queued::Span(span)) => {
                    let len = span.len.min(left as u32);
                    bytes.append(&mut disk.span(end.node, span.file, span.offset, len)?);
                    span.advance(len);
                    if span.len == 0 {
                        end.queue.pop_front();
                    }
                }
            }
        }
        end.queued -= bytes.len() as u64;
        if let Some((clear, cipher)) = &mut end.sends {
            let plain = (*clear).min(bytes.len() as u64);
            *clear -= plain;
            cipher.apply(&mut bytes[plain as usize..]);
        }
        Ok(bytes)
    }

    pub(in crate::sim) fn encipher(
        &mut self,
        node: usize,
        conn: ConnId,
        send: StreamKey,
        receive: StreamKey,
    ) {
        let Some((id, side)) = self.place(node, conn) else { return };
        let Some(end) = self.end(id, side) else { return };
        end.sends = Some((end.queued, Keystream::new(send)));
        end.receives = Some(Keystream::new(receive));
    }

    pub(super) fn put_on_link(&mut self, id: u64, side: usize, bytes: Vec<u8>) {
        let len = bytes.len() as u64;
        let jitter = self.rng.tcp.below(self.weather.jitter.0 + 1);
        let stalled = self.rng.tcp.chance(self.weather.stall_pm);
        let stall = self.rng.tcp.below(Span::secs(3).0);
        let extra = if stalled && self.faults() { stall } else { 0 };
        let took = Span(len.saturating_mul(1_000_000_000) / self.weather.rate.max(1));
        let (now, trip) = (self.now, self.trip(jitter + extra));
        let Some(end) = self.end(id, side) else { return };
        end.window_used += len;
        end.untold += len;
        end.busy_until = now + took;
        if !end.sent_planned {
            end.sent_planned = true;
            self.tcp_after(SOON, id, side, Step::TellSent);
        }
        let at = self.order(id, side, now + took + trip);
        self.later(at, Happening::Tcp { stream: id, side: 1 - side, step: Step::Arrive(bytes) });
    }

    pub(super) fn finish_flush(&mut self, id: u64, side: usize) {
        if self.end(id, side).is_some_and(|end| end.phase == Phase::Flushing) {
            self.say_goodbye(id, side);
            if let Some(end) = self.end(id, side) {
                end.phase = Phase::Closing;
            }
            // Behind the `Sent` that is planned already.
            self.tcp_after(SOON, id, side, Step::TellClosed(Closed::ByUs));
        }
    }

    /// The other end learns that this one ended: behind everything that left, or with a reset if
    /// bytes came that nobody read.
    pub(super) fn say_goodbye(&mut self, id: u64, side: usize) {
        let trip = self.trip(0);
        let Some(end) = self.end(id, side) else { return };
        let unread = !end.inbox.is_empty();
        if !matches!(end.phase, Phase::Up | Phase::Flushing) {
            return;
        }
        let at = self.order(id, side, self.now + trip);
        let step = if unread { Step::Rst } else { Step::Fin };
        self.later(at, Happening::Tcp { stream: id, side: 1 - side, step });
    }

    pub(super) fn end_role_side(&mut self, id: u64, side: usize, why: Closed) {
        if let Some(end) = self.end(id, side) {
            end.phase = Phase::Closing;
            end.drop_queue();
            end.inbox.clear();
            self.tcp_after(SOON, id, side, Step::TellClosed(why));
        }
    }

    /// Bytes came for an end that is gone: its system answers with a reset.
    pub(super) fn answer_rst(&mut self, id: u64, side: usize) {
        self.answer_rst_to_other(id, side);
        if let Some(end) = self.end(id, side).filter(|end| end.conn.is_none()) {
            end.phase = Phase::Over;
        }
    }

    pub(super) fn answer_rst_to_other(&mut self, id: u64, side: usize) {
        let trip = self.trip(0);
        self.tcp_after(trip, id, 1 - side, Step::Rst);
    }

    pub(super) fn drain_inbox(&mut self, id: u64, side: usize) {
        let Some(end) = self.end(id, side) else { return };
        let len = end.inbox.iter().map(Vec::len).sum::<usize>() - end.inbox_taken;
        end.inbox.clear();
        end.inbox_taken = 0;
        self.credit(id, side, len as u64);
    }

    /// The sender of what `side` took learns that there is room.
    pub(super) fn credit(&mut self, id: u64, side: usize, bytes: u64) {
        let trip = self.trip(0);
        self.tcp_after(trip, id, 1 - side, Step::Credit(bytes));
    }

    /// When something that leaves `side` now may arrive: never before what left earlier.
    pub(super) fn order(&mut self, id: u64, side: usize, at: Time) -> Time {
        let Some(end) = self.end(id, side) else { return at };
        end.arrives_after = end.arrives_after.max(at);
        end.arrives_after
    }

    pub(super) fn plan_pump(&mut self, id: u64, side: usize, at: Time) {
        if let Some(end) = self.end(id, side).filter(|end| !end.pump_planned) {
            end.pump_planned = true;
            self.later(at, Happening::Tcp { stream: id, side, step: Step::Pump });
        }
    }

    pub(super) fn plan_deliver(&mut self, id: u64, side: usize) {
        let Some(end) = self.end(id, side) else { return };
        let news = !end.inbox.is_empty() || end.fin_came || end.rst_came;
        if news && end.reading && end.phase == Phase::Up && !end.deliver_planned {
            end.deliver_planned = true;
            self.tcp_after(SOON, id, side, Step::Deliver);
        }
    }

    pub(super) fn forget_if_over(&mut self, id: u64) {
        let over = |stream: &Stream| stream.ends.iter().all(|end| end.phase == Phase::Over);
        if self.streams.get(&id).is_some_and(over) {
            self.streams.remove(&id);
        }
    }

    pub(super) fn end(&mut self, id: u64, side: usize) -> Option<&mut End> {
        self.streams.get_mut(&id)?.ends.get_mut(side)
    }

    pub(super) fn place(&self, node: usize, conn: ConnId) -> Option<(u64, usize)> {
        self.nodes[node].process.as_ref()?.conns.get(&conn).copied()
    }

    pub(super) fn tcp_after(&mut self, after: Span, stream: u64, side: usize, step: Step) {
        self.later(self.now + after, Happening::Tcp { stream, side, step });
    }
}
