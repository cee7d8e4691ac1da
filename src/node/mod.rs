//! The node role: one process of a peer. `lmk seeder` is a node whose content is complete, `lmk
//! leecher` one whose content is wanted. It routes news to the ties, the lobby, the swarm and the
//! work; it decides nothing.

mod check;
mod choice;
mod fetch;
mod hashing;
mod life;
mod lobby;
mod memory;
pub mod plan;
mod say;
mod share;
mod shared;
mod target;
mod ties;

use crate::core::fault::Fatal;
use crate::core::id::{ConnId, Ticket};
use crate::core::io::{FileDone, Input, Outbox, Role};
use crate::core::report::Snapshot;
use crate::core::rng::Rng;
use crate::core::time::Time;
use crate::wire::control::Op;
use fetch::Fetch;
use plan::{Job, NodePlan};
use share::Share;
use shared::Shared;
use ties::{Tie, Ties};

/// Bytes of a node key.
const KEY_BYTES: u64 = 32;

#[derive(Debug)]
enum Work {
    Share(Box<Share>),
    Fetch(Box<Fetch>),
    /// The plan cannot be carried out; said at birth.
    Refused(Fatal),
}

#[derive(Debug)]
pub struct Node {
    shared: Shared,
    work: Work,
    /// The read of the node key.
    key: Option<Ticket>,
}

impl Node {
    pub fn new(plan: NodePlan) -> Node {
        let mut rng = Rng::new(plan.seed);
        let (work, op) = match plan.job.clone() {
            Job::Seed(seed) => match Share::new(seed) {
                Ok(share) => (Work::Share(Box::new(share)), Op::Write),
                Err(fatal) => (Work::Refused(fatal), Op::Write),
            },
            Job::Fetch(fetch) => (Work::Fetch(Box::new(Fetch::new(fetch))), Op::Read),
        };
        let ties = Ties::new(plan.tracker, op, rng.fork(1));
        Node { shared: Shared::new(plan, ties, rng), work, key: None }
    }

    fn route(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) -> Result<(), Fatal> {
        match input {
            Input::Born => self.born(now, out)?,
            Input::Wake => {}
            Input::Asked(command) => self.asked(command, now, out),
            Input::Listening { ticket, result } => {
                if self.shared.got_listening(ticket, result)? {
                    match &mut self.work {
                        Work::Share(share) => share.got_listening(&mut self.shared, now, out),
                        Work::Fetch(fetch) => fetch.got_listening(&mut self.shared, now, out),
                        Work::Refused(_) => {}
                    }
                }
            }
            Input::Datagram { from, bytes, .. } => {
                self.shared.ties.got_datagram(from, bytes, now, out);
            }
            Input::File { ticket, done } => self.got_file(ticket, done, now, out)?,
            Input::Accepted { conn, remote, .. } => {
                if !self.shared.lobby.enter(conn, remote, now) {
                    out.close(conn);
                }
            }
            connection => self.route_connection(now, connection, out),
        }
        Ok(())
    }

    fn route_connection(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let shared = &mut self.shared;
        match input {
            Input::Connected { conn, .. } => {
                if !shared.ties.got_connected(conn, now, out)
                    && let Some(swarm) = &mut shared.swarm
                {
                    swarm.got_connected(conn, now, out);
                }
            }
            Input::Bytes { conn, bytes } => self.got_bytes(conn, bytes, now, out),
            Input::Sent { conn, queued, .. } => {
                if let Some(swarm) = &mut shared.swarm {
                    swarm.got_sent(conn, queued, now, out);
                }
            }
            Input::Closed { conn, why } => {
                if !shared.ties.got_closed(conn, why, now)
                    && !shared.lobby.left(conn)
                    && let Some(swarm) = &mut shared.swarm
                {
                    swarm.got_closed(conn, why, now, out);
                }
            }
            _ => {}
        }
    }

    fn got_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Time, out: &mut Outbox) {
        let shared = &mut self.shared;
        if let Some(swarm) = &mut shared.swarm
            && swarm.got_bytes(conn, bytes, now, out)
        {
            return;
        }
        if shared.lobby.holds(conn) {
            shared.got_guest_bytes(conn, bytes, now, out);
        } else {
            shared.ties.got_bytes(conn, bytes, now, out);
        }
    }

    fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        if self.key.take_if(|key| *key == ticket).is_some() {
            let loaded = match done {
                FileDone::Loaded(loaded) => loaded.ok(),
                _ => None,
            };
            self.got_key(loaded, now, out);
            return Ok(());
        }
        let shared = &mut self.shared;
        let done = match &mut self.work {
            Work::Share(share) => share.got_file(shared, (ticket, done), now, out)?,
            Work::Fetch(fetch) => fetch.got_file(shared, (ticket, done), now, out)?,
            Work::Refused(_) => None,
        };
        if let (Some(done), Some(swarm)) = (done, &mut shared.swarm)
            && swarm.got_file(ticket, done, now, out).is_none()
        {
            swarm.after_file(now, out);
        }
        Ok(())
    }

    /// What the input set in motion: news of ties and swarm, and what is due.
    fn settle(&mut self, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        for conn in self.shared.lobby.expire(now) {
            out.close(conn);
        }
        if let Some(swarm) = &mut self.shared.swarm {
            swarm.tick(now, out);
        }
        let stats = self.shared.stats();
        self.shared.ties.poll(stats, now, out);
        for tie in self.shared.ties.take_news() {
            self.got_tie(tie, now, out)?;
        }
        let happened = self.shared.swarm.as_mut().map(|swarm| swarm.take_happened());
        if let Work::Fetch(fetch) = &mut self.work {
            for happened in happened.unwrap_or_default() {
                fetch.got_happened(&mut self.shared, happened, now, out)?;
            }
            fetch.wake(&mut self.shared, now, out)?;
            fetch.go_if_idle(&mut self.shared, now, out);
        }
        Ok(())
    }

    fn got_tie(&mut self, tie: Tie, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        let shared = &mut self.shared;
        shared.got_tie(&tie, now, out);
        match &mut self.work {
            Work::Share(share) => share.got_tie(shared, tie, now, out),
            Work::Fetch(fetch) => fetch.got_tie(shared, tie, now, out),
            Work::Refused(_) => Ok(()),
        }
    }
}

impl Role for Node {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        if self.shared.ended {
            return;
        }
        let done = self.route(now, input, out).and_then(|()| self.settle(now, out));
        if let Err(fatal) = done {
            self.shared.fail(fatal, now, out);
        }
    }

    fn deadline(&self) -> Time {
        if self.shared.ended {
            return Time::NEVER;
        }
        let work = match &self.work {
            Work::Fetch(fetch) => fetch.deadline(),
            _ => Time::NEVER,
        };
        let swarm = self.shared.swarm.as_ref().map_or(Time::NEVER, |swarm| swarm.deadline());
        work.min(swarm).min(self.shared.ties.deadline()).min(self.shared.lobby.deadline())
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        let (phase, name, early) = match &self.work {
            Work::Share(share) => (share.phase(), share.name(), share.transfer(now)),
            Work::Fetch(fetch) => (fetch.phase(), fetch.name(), fetch.transfer()),
            Work::Refused(_) => ("refused", "", None),
        };
        let swarm = self.shared.swarm.as_ref();
        Snapshot {
            phase,
            waiting: self.shared.waiting.clone(),
            transfer: swarm.map(|swarm| swarm.transfer(name, now)).or(early),
            peers: swarm.map(|swarm| swarm.peer_rows(now)).unwrap_or_default(),
            tracker: None,
        }
    }
}
