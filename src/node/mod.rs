//! The node role: one process of a peer. `lmk seeder` is a node whose content is complete, `lmk
//! leecher` one whose content is wanted. It routes news to the ties, the lobby, the swarm and the
//! work; it decides nothing.

mod agreements;
mod check;
mod choice;
mod connections;
mod fetch;
mod file_watch;
mod hashing;
mod key;
pub mod layout;
mod lobby;
mod magnet;
mod memory;
mod part;
mod parting;
mod places;
pub mod plan;
mod publish;
mod say;
mod search;
mod seek;
pub mod several;
mod share;
mod shared;
mod target;
mod ties;
mod torrent;
mod web;
mod whole;
mod withdraw;
mod work;

use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{Command, FileDone, Input, Outbox, Role};
use crate::core::mark::mark;
use crate::core::report::{Ending, Event, Snapshot};
use crate::core::rng::Rng;
use crate::core::time::Time;
use plan::NodePlan;
use shared::Shared;
use ties::{Tie, Ties};
use work::Work;

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
        let work = Work::new(plan.job.clone());
        let ties = Ties::new(plan.tracker, work.op(), plan.token.clone(), rng.fork(1));
        let listed = plan.torrent().is_none_or(|torrent| torrent.listed);
        let ties = if listed { ties } else { ties.without_tracker() };
        Node { shared: Shared::new(plan, ties, rng), work, key: None }
    }

    fn born(&mut self, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        self.work.start(now, out)?;
        self.shared.speak(out);
        if !self.shared.ties.is_used() {
            self.shared.listen(out);
        }
        self.key = key::load(&self.shared.plan, out);
        if self.key.is_none() {
            self.shared.ties.start(self.shared.plan.secret, now, out);
        }
        Ok(())
    }

    fn route(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) -> Result<(), Fatal> {
        match input {
            Input::Born => self.born(now, out)?,
            Input::Wake | Input::Stored { .. } => {}
            Input::Asked(command) => self.asked(command, now, out),
            Input::Listening { ticket, result } => {
                if self.shared.got_listening(ticket, result, out)? {
                    self.work.got_listening(&mut self.shared, now, out);
                }
            }
            Input::Datagram { from, bytes, .. } => {
                if !self.shared.names.got_datagram(from, bytes, now) {
                    self.shared.ties.got_datagram(from, bytes, now, out);
                }
            }
            Input::File { ticket, done } => self.got_file(ticket, done, now, out)?,
            Input::Accepted { conn, remote, .. } => {
                if let Some(longest) = self.shared.lobby.enter(conn, remote, now) {
                    out.close(longest);
                }
            }
            connection => self.shared.route_connection(now, connection, out),
        }
        Ok(())
    }

    fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        if self.key.take_if(|key| *key == ticket).is_some() {
            let key = key::loaded(&self.shared.plan, done, out);
            self.shared.ties.start(key, now, out);
            return Ok(());
        }
        let shared = &mut self.shared;
        let Some(done) = shared.names.got_file(ticket, done, now, out) else { return Ok(()) };
        let done = self.work.got_file(shared, (ticket, done), now, out)?;
        if let (Some(done), Some(swarm)) = (done, &mut shared.swarm)
            && swarm.got_file(ticket, done, now, out).is_none()
        {
            swarm.after_file(now, out);
        }
        Ok(())
    }

    /// A signal: the tracker and the peers are told that we go.
    fn asked(&mut self, command: Command, now: Time, out: &mut Outbox) {
        let ending = match command {
            Command::Interrupt => Ending::Interrupted,
            Command::Hangup if self.work.outlives_terminal() => {
                mark!("F18");
                return;
            }
            Command::Terminate | Command::Hangup => Ending::Terminated,
        };
        if self.work.is_stopping() {
            return self.shared.end(ending, now, out);
        }
        if let Some(swarm) = &mut self.shared.swarm {
            swarm.leave(now, out);
        }
        let farewell = self.work.farewell(&self.shared);
        out.tell(Event::info("stopped", farewell));
        if !self.work.stop(&mut self.shared, ending, now, out) {
            self.shared.end(ending, now, out);
        }
    }

    /// What the input set in motion: news of ties and swarm, and what is due.
    fn settle(&mut self, before: usize, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        for conn in self.shared.lobby.expire(now) {
            out.close(conn);
        }
        if let Some(swarm) = &mut self.shared.swarm {
            swarm.tick(now, out);
        }
        if let Some(early) = &mut self.shared.early {
            early.tick(now, out);
        }
        let stats = self.shared.stats();
        self.shared.ties.poll(stats, now, out);
        self.shared.web.settle(before, &mut self.shared.swarm, now, out);
        self.shared.find_names(now, out);
        for tie in self.shared.ties.take_news() {
            self.got_tie(tie, now, out)?;
        }
        let happened = self.shared.swarm.as_mut().map(|swarm| swarm.take_happened());
        self.work.settle(&mut self.shared, happened.unwrap_or_default(), now, out)
    }

    /// The end of a turn, whatever it began with.
    fn conclude(&mut self, routed: Result<(), Fatal>, before: usize, now: Time, out: &mut Outbox) {
        let done = routed.and_then(|()| self.settle(before, now, out));
        self.shared.web.settle(before, &mut self.shared.swarm, now, out);
        if let Err(fatal) = done {
            self.shared.fail(fatal, now, out);
        }
    }

    fn got_tie(&mut self, tie: Tie, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        self.shared.got_tie(&tie, now, out);
        self.work.got_tie(&mut self.shared, tie, now, out)
    }
}

impl Role for Node {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        if self.shared.ended {
            return;
        }
        if self.shared.parting.is_some() {
            return self.shared.part(input, now, out);
        }
        let before = out.effects.len();
        let routed = self.route(now, input, out);
        self.conclude(routed, before, now, out);
    }

    fn deadline(&self) -> Time {
        if let Some(last) = self.shared.last_deadline() {
            return last;
        }
        let swarm = self.shared.swarm.as_ref().map_or(Time::NEVER, |swarm| swarm.deadline());
        let early = self.shared.early.as_ref().map_or(Time::NEVER, |early| early.deadline());
        let ties = self.shared.ties.deadline().min(self.shared.lobby.deadline());
        let ties = ties.min(self.shared.names.deadline());
        let ties = match &self.shared.swarm {
            Some(_) => ties.min(self.shared.web.deadline()),
            None => ties,
        };
        self.work.deadline().min(swarm).min(early).min(ties)
    }

    fn audit(&self) -> Result<(), String> {
        self.shared.swarm.as_ref().map_or(Ok(()), |swarm| swarm.audit())
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        let (phase, name, early) = self.work.picture(now);
        let swarm = self.shared.swarm.as_ref();
        Snapshot {
            phase,
            waiting: self.shared.waiting.clone(),
            transfer: swarm.map(|swarm| swarm.transfer(name, now)).or(early),
            peers: swarm.map(|swarm| swarm.peer_rows(now)).unwrap_or_default(),
            slots: swarm.map(|swarm| swarm.slots_row()).unwrap_or_default(),
            tracker: None,
            fetches: Vec::new(),
        }
    }
}
