//! Several fetches in one process: each is a node of its own, and all live on one loop, behind one
//! listener and one socket for datagrams. They take their ids from one outbox, so no two of them
//! can have the same; what is to be known is whose an id is. One that ends leaves the others be.

mod ends;
mod guests;
mod owners;
mod picture;
mod said;
mod shares;
mod sockets;

use super::Node;
use super::lobby::Lobby;
use crate::core::id::ConnId;
use crate::core::io::{Effect, Input, Outbox, Role};
use crate::core::report::{Ending, Snapshot, Transfer};
use crate::core::time::Time;
use owners::Owners;
use said::Said;
use shares::Shares;
use sockets::{Sockets, Wish};
use std::cell::Cell;

/// One of the fetches.
#[derive(Debug)]
struct Fetch {
    /// What it is called on the screen: as it was typed.
    label: String,
    /// Until it is over.
    node: Option<Node>,
    /// What it had come to when it was over.
    last: Transfer,
    /// When it wants to be woken; unknown since it heard something.
    deadline: Cell<Option<Time>>,
    complete: bool,
    ending: Option<Ending>,
}

impl Fetch {
    fn deadline(&self) -> Time {
        let Some(node) = &self.node else { return Time::NEVER };
        let known = self.deadline.get().unwrap_or_else(|| node.deadline());
        self.deadline.set(Some(known));
        known
    }
}

#[derive(Debug)]
pub struct Several {
    /// In the order of the command line.
    fetches: Vec<Fetch>,
    owners: Owners,
    sockets: Sockets,
    /// Connections that have not said yet which of them they are about.
    lobby: Lobby,
    said: Said,
    shares: Shares,
}

impl Several {
    /// Those that go on.
    fn active(&self) -> impl Iterator<Item = (usize, &Node)> {
        let fetches = self.fetches.iter().enumerate();
        fetches.filter_map(|(who, fetch)| Some((who, fetch.node.as_ref()?)))
    }

    fn route(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Born if self.fetches.is_empty() => self.end(out),
            Input::Born => self.tell_all(|_| Some(Input::Born), now, out),
            Input::Wake => {
                let due = |fetch: &Fetch| (fetch.deadline() <= now).then_some(Input::Wake);
                self.tell_all(due, now, out);
            }
            Input::Asked(command) => self.tell_all(|_| Some(Input::Asked(command)), now, out),
            Input::Listening { ticket, result } => self.sockets.got(ticket, result),
            Input::Accepted { conn, remote, .. } => self.got_guest(conn, remote, now, out),
            Input::Datagram { from, to, bytes } => {
                for who in self.sockets.spoke_to(from) {
                    self.tell(who, Input::Datagram { from, to, bytes }, now, out);
                }
            }
            Input::File { ticket, done } => {
                if let Some(who) = self.owners.got_file(ticket, &done, out) {
                    self.tell(who, Input::File { ticket, done }, now, out);
                }
            }
            // No node has a database.
            Input::Stored { .. } => {}
            Input::Bytes { conn, bytes } if self.lobby.holds(conn) => {
                self.got_guest_bytes(conn, bytes, now, out);
            }
            Input::Connected { conn, .. }
            | Input::Bytes { conn, .. }
            | Input::Sent { conn, .. }
            | Input::Closed { conn, .. } => self.got_of(conn, input, now, out),
        }
    }

    fn got_of(&mut self, conn: ConnId, input: Input<'_>, now: Time, out: &mut Outbox) {
        let owner = self.owners.of(conn);
        if matches!(input, Input::Closed { .. }) {
            self.owners.closed(conn);
            self.lobby.left(conn);
        }
        if let Some(who) = owner {
            self.tell(who, input, now, out);
        }
    }

    /// Tells each that goes on what there is for it.
    fn tell_all(
        &mut self,
        what: impl Fn(&Fetch) -> Option<Input<'static>>,
        now: Time,
        out: &mut Outbox,
    ) {
        for who in 0..self.fetches.len() {
            if let Some(input) = self.fetches.get(who).and_then(&what) {
                self.tell(who, input, now, out);
            }
        }
    }

    fn tell(&mut self, who: usize, input: Input<'_>, now: Time, out: &mut Outbox) {
        self.turn(who, now, out, |node, out| node.on(now, input, out));
    }

    /// A turn of one of them, if it goes on, and what is to be done about its wishes.
    fn turn(
        &mut self,
        who: usize,
        now: Time,
        out: &mut Outbox,
        turn: impl FnOnce(&mut Node, &mut Outbox),
    ) {
        let before = out.effects.len();
        let Some(fetch) = self.fetches.get_mut(who) else { return };
        let Some(node) = &mut fetch.node else { return };
        turn(node, out);
        fetch.deadline.set(None);
        self.heed(who, before, out);
        self.look_whether_over(who, now, out);
    }

    /// Goes through the wishes behind the first `at`: whose they are is noted, and what is a matter
    /// of the whole process is taken out or made to be one.
    fn heed(&mut self, who: usize, mut at: usize, out: &mut Outbox) {
        let Some(fetch) = self.fetches.get_mut(who) else { return };
        while let Some(effect) = out.effects.get_mut(at) {
            let passes = match effect {
                Effect::End(ending) => {
                    fetch.ending = Some(*ending);
                    false
                }
                Effect::Listen { ticket, at, tcp, .. } => {
                    self.sockets.wished(Wish { who, ticket: *ticket, at: *at }, *tcp, at)
                }
                Effect::Tell(event) => {
                    fetch.complete |= event.kind == "complete";
                    self.said.passes((who, &fetch.label), event)
                }
                Effect::Datagram { to, .. } => self.sockets.speaks(who, *to),
                other => self.owners.note(who, other),
            };
            match passes {
                true => at += 1,
                false => _ = out.effects.remove(at),
            }
        }
    }
}

impl Role for Several {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        self.route(now, input, out);
        for conn in self.lobby.expire(now) {
            out.close(conn);
        }
        while let Some((who, ticket, result)) = self.sockets.answer() {
            self.tell(who, Input::Listening { ticket, result }, now, out);
        }
    }

    fn deadline(&self) -> Time {
        let fetches = self.fetches.iter().map(Fetch::deadline).min();
        fetches.unwrap_or(Time::NEVER).min(self.lobby.deadline())
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        self.picture(now)
    }

    fn audit(&self) -> Result<(), String> {
        self.active().try_for_each(|(_, node)| node.audit())
    }
}
