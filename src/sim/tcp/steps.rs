//! What happens to the two ends of a stream, step by step.

use super::super::weather::{Planted, log_uniform};
use super::super::world::{Happening, World};
use super::{AGAIN, End, Phase, SOON, Step, Stream};
use crate::core::io::{Closed, Input};
use crate::core::time::{Span, Time};

impl World {
    pub(in crate::sim) fn tcp(&mut self, id: u64, side: usize, step: Step) {
        let Some(stream) = self.streams.get(&id) else { return };
        let travels =
            matches!(step, Step::SynAck | Step::Ack | Step::Arrive(_) | Step::Fin | Step::Rst);
        if stream.dark && (travels || matches!(step, Step::Syn | Step::Credit(_))) {
            return;
        }
        if (travels || matches!(step, Step::Syn | Step::Credit(_)))
            && let Some(until) = self.stream_parted(stream, side)
        {
            // It is sent again and again: behind the partition everything comes in its order.
            return self.later(until, Happening::Tcp { stream: id, side, step });
        }
        let node = stream.ends[side].node;
        if travels && self.nodes.get(node).is_some_and(|node| !self.hosts[node.host].up) {
            return self.tcp_after(AGAIN, id, side, step);
        }
        match step {
            Step::Syn => self.syn(id),
            Step::SynAck => self.syn_ack(id),
            Step::Ack => self.ack(id),
            Step::DialFails(why) => self.dial_fails(id, why),
            Step::Arrive(bytes) => self.arrive(id, side, bytes),
            Step::Fin | Step::Rst => self.other_ended(id, side, matches!(step, Step::Rst)),
            Step::Deliver => self.deliver(id, side),
            Step::Pump => {
                if let Some(end) = self.end(id, side) {
                    end.pump_planned = false;
                }
                self.pump(id, side);
            }
            Step::Credit(bytes) => {
                if let Some(end) = self.end(id, side) {
                    end.window_used = end.window_used.saturating_sub(bytes);
                }
                self.pump(id, side);
            }
            Step::TellSent => self.tell_sent(id, side),
            Step::TellClosed(why) => self.tell_end(id, side, why),
            Step::Cut => {
                if self.faults() {
                    self.tcp_after(SOON, id, 0, Step::Rst);
                    self.tcp_after(self.trip(0), id, 1, Step::Rst);
                }
            }
            Step::Dark => {
                let dark = self.faults();
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.dark |= dark;
                }
            }
        }
    }

    /// Until when nothing reaches this end of the stream, if its machines are parted.
    fn stream_parted(&self, stream: &Stream, side: usize) -> Option<Time> {
        let machine = |end: &End| match self.nodes.get(end.node) {
            Some(node) => Some(node.host),
            None => self.machine(end.local.ip()),
        };
        self.parted(machine(&stream.ends[1 - side])?, machine(&stream.ends[side])?)
    }

    pub(super) fn syn(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (dialler, to) = (stream.ends[0].node, stream.ends[1].local);
        let from = self.nodes[dialler].host;
        let back = self.trip(0);
        if self.host_at(from, to.ip()).is_none() {
            // Nobody answers: the dial times out.
            return;
        }
        let refused = self.rng.tcp.chance(self.weather.dial_refused_pm) && self.faults();
        let Some(node) = self.listener(from, to, true).filter(|_| !refused) else {
            return self.tcp_after(back, id, 0, Step::DialFails(Closed::Refused));
        };
        let life = self.nodes[node].life;
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.ends[1] = End::new(node, life, None, to);
        }
        self.tcp_after(back, id, 0, Step::SynAck);
    }

    pub(super) fn syn_ack(&mut self, id: u64) {
        let Some(Stream { ends: [near, far], .. }) = self.streams.get_mut(&id) else { return };
        let (Phase::Opening, Some(conn)) = (near.phase, near.conn) else {
            // The dialler gave up meanwhile; the listener never hears of it.
            far.phase = Phase::Over;
            return self.forget_if_over(id);
        };
        near.phase = if near.flush_wanted { Phase::Flushing } else { Phase::Up };
        let (node, local) = (near.node, near.local);
        let trip = self.trip(0);
        if let Some(near) = self.end(id, 0) {
            near.arrives_after = Time::ZERO;
        }
        self.order(id, 0, self.now + trip);
        self.tcp_after(trip, id, 1, Step::Ack);
        self.draw_faults(id);
        self.plan_pump(id, 0, self.now + SOON);
        self.tell(node, Input::Connected { conn, local });
    }

    /// Whether and when this stream is reset or goes dark.
    pub(super) fn draw_faults(&mut self, id: u64) {
        let rng = &mut self.rng.tcp;
        let (cut, dark) = (rng.chance(self.weather.reset_pm), rng.chance(self.weather.dark_pm));
        let cut_after = Span(log_uniform(rng, Span::ms(1).0, Span::secs(60).0));
        let dark_after = Span(log_uniform(rng, Span::ms(1).0, Span::secs(60).0));
        if cut {
            self.tcp_after(cut_after, id, 0, Step::Cut);
        }
        if dark {
            self.tcp_after(dark_after, id, 0, Step::Dark);
        }
    }

    pub(super) fn ack(&mut self, id: u64) {
        let Some(Stream { ends: [near, far], .. }) = self.streams.get_mut(&id) else { return };
        let (remote, local, node, life) = (near.local, far.local, far.node, far.life);
        if far.phase != Phase::Opening {
            return;
        }
        let Some(process) = self.process(node, life) else {
            return self.answer_rst(id, 1);
        };
        let conn = process.out.conns.insert(());
        process.conns.insert(conn, (id, 1));
        if let Some(far) = self.end(id, 1) {
            (far.conn, far.phase) = (Some(conn), Phase::Up);
        }
        self.tell(node, Input::Accepted { conn, remote, local });
    }

    pub(super) fn dial_fails(&mut self, id: u64, why: Closed) {
        if let Some(end) = self.end(id, 0).filter(|end| end.phase == Phase::Opening) {
            end.phase = Phase::Closing;
            end.drop_queue();
            self.tell_end(id, 0, why);
        }
    }

    pub(super) fn arrive(&mut self, id: u64, side: usize, bytes: Vec<u8>) {
        let Some(end) = self.end(id, side) else { return };
        match end.phase {
            Phase::Up => {
                end.inbox.push_back(bytes);
                self.plan_deliver(id, side);
            }
            // The role does not hear them any more, but the sender is not held up by that.
            Phase::Flushing => self.credit(id, side, bytes.len() as u64),
            _ => self.answer_rst(id, side),
        }
    }

    pub(super) fn other_ended(&mut self, id: u64, side: usize, reset: bool) {
        // Some systems throw away what the role has not read yet when a reset comes.
        let harsh = reset && self.rng.tcp.chance(500);
        let Some(end) = self.end(id, side) else { return };
        match end.phase {
            Phase::Up => {
                (end.fin_came, end.rst_came) = (end.fin_came || !reset, end.rst_came || reset);
                if reset {
                    end.drop_queue();
                }
                if harsh {
                    end.inbox.clear();
                }
                if end.rst_came && end.inbox.is_empty() {
                    end.phase = Phase::Closing;
                    return self.tell_end(id, side, Closed::Reset);
                }
                self.plan_deliver(id, side);
            }
            Phase::Opening | Phase::Flushing if reset => {
                end.phase = Phase::Closing;
                end.drop_queue();
                self.tell_end(id, side, Closed::Reset);
            }
            _ => {}
        }
    }

    pub(super) fn deliver(&mut self, id: u64, side: usize) {
        let (cut, short) = {
            let rng = &mut self.rng.tcp;
            (rng.chance(self.weather.cut_pm), rng.between(1, self.weather.cut_bytes.max(1)))
        };
        let window = self.weather.window_bytes;
        let double = self.weather.planted == Some(Planted::ByteTwice) && self.rng.tcp.chance(20);
        let Some(end) = self.end(id, side) else { return };
        end.deliver_planned = false;
        let (Phase::Up, true, Some(conn)) = (end.phase, end.reading, end.conn) else { return };
        let node = end.node;
        if end.inbox.is_empty() {
            if end.fin_came || end.rst_came {
                let why = if end.rst_came { Closed::Reset } else { Closed::ByPeer };
                end.phase = Phase::Closing;
                end.drop_queue();
                self.tell_end(id, side, why);
            }
            return;
        }
        let mut bytes = end.take_inbox(if cut { short as usize } else { usize::MAX });
        let len = bytes.len() as u64;
        if let Some(first) = bytes.first().copied().filter(|_| double) {
            bytes.insert(0, first);
        }
        end.uncredited += len;
        // The window opens in good parts: small ones become small segments (RFC 9293, 3.8.6.2).
        if end.inbox.is_empty() || end.uncredited >= window / 4 {
            let taken = std::mem::take(&mut end.uncredited);
            self.credit(id, side, taken);
        }
        if let Some(cipher) = self.end(id, side).and_then(|end| end.receives.as_mut()) {
            cipher.apply(&mut bytes);
        }
        self.plan_deliver(id, side);
        self.tell(node, Input::Bytes { conn, bytes: &bytes });
    }

    pub(super) fn tell_sent(&mut self, id: u64, side: usize) {
        let forget = self.weather.planted == Some(Planted::ForgottenSent);
        let Some(end) = self.end(id, side) else { return };
        end.sent_planned = false;
        let bytes = std::mem::take(&mut end.untold);
        let (Some(conn), true) = (end.conn, bytes > 0 && !forget) else { return };
        let (node, queued) = (end.node, end.queued);
        self.tell(node, Input::Sent { conn, bytes, queued });
    }

    pub(super) fn tell_end(&mut self, id: u64, side: usize, why: Closed) {
        let Some(end) = self.end(id, side) else { return };
        let (Phase::Closing, Some(conn)) = (end.phase, end.conn) else { return };
        end.phase = Phase::Over;
        let node = end.node;
        self.forget_if_over(id);
        self.tell_closed(node, conn, why);
    }
}
