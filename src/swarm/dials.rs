//! Whom the swarm dials, and what becomes of it.

use super::Swarm;
use super::neighbours::{DIAL_YOUNG, DIALS_MAX};
use crate::core::fault::Fault;
use crate::core::id::ConnId;
use crate::core::io::{Closed, Outbox};
use crate::core::report::{Event, State};
use crate::core::time::{Span, Time};
use crate::peer::{Encrypting, Identity, Session};
use std::net::SocketAddr;

/// Sources dialled beyond the wanted number while all of those let us wait.
const FURTHER_SOURCES: usize = 4;
/// How long a source that we did not need is left alone.
const UNNEEDED: Span = Span::secs(60);

impl Swarm {
    /// How conversations are encrypted; until told, they are not.
    pub fn encrypt(&mut self, encrypting: Encrypting) {
        self.neighbours.encrypt(encrypting);
    }

    /// A tracker named peers.
    pub fn got_named(
        &mut self,
        identity: Identity,
        addrs: &[SocketAddr],
        now: Time,
        out: &mut Outbox,
    ) {
        self.neighbours.got_named(identity, addrs, now);
        self.dial_due(now, out);
    }

    /// As [`Swarm::got_named`]; they are dialled with the next tick.
    pub fn know(&mut self, identity: Identity, addrs: &[SocketAddr], now: Time) {
        self.neighbours.got_named(identity, addrs, now);
    }

    /// A peer of the local network said that it takes part (BEP 14).
    pub fn got_nearby(
        &mut self,
        identity: Identity,
        addr: SocketAddr,
        now: Time,
        out: &mut Outbox,
    ) {
        self.know_nearby(identity, addr, now);
        self.dial_due(now, out);
    }

    /// As [`Swarm::got_nearby`]; it is dialled with the next tick.
    pub fn know_nearby(&mut self, identity: Identity, addr: SocketAddr, now: Time) {
        if self.exchanges() && self.terms.local {
            self.neighbours.got_nearby(identity, addr, now);
        }
    }

    pub(super) fn dial_due(&mut self, now: Time, out: &mut Outbox) {
        if self.leaving {
            return;
        }
        let room = self.dial_room(now).min(self.room());
        for (addr, identity) in self.neighbours.due(self.fetch.is_some(), room, now) {
            let conn = out.dial(addr);
            self.neighbours.dialled(addr, conn, now);
            self.dials.insert(conn, (addr, identity));
        }
    }

    /// How many more to dial. One who fetches keeps a bounded number of sources that it dialled and
    /// needs, and a few more while all of them let it wait for long.
    fn dial_room(&self, now: Time) -> usize {
        let Some(fetch) = &self.fetch else { return DIALS_MAX };
        let wanted = || self.sessions.values().filter(|session| session.wanting);
        let may_serve = |session: &&Session| match session.peer_id {
            Some(_) => session.wanting,
            None => now.since(session.began) < DIAL_YOUNG,
        };
        let dialled = self.sessions.values().filter(|session| session.outgoing);
        let ours = dialled.filter(may_serve).count() + self.neighbours.dialling(now);
        let all_wait = fetch.waits_long(wanted().map(|session| session.conn), now);
        let further = if all_wait { FURTHER_SOURCES } else { 0 };
        (self.sources_max + further).saturating_sub(ours)
    }

    /// Leaves sources that let us wait while as many serve us as are useful.
    pub(super) fn leave_unneeded(&mut self, now: Time, out: &mut Outbox) {
        let Some(fetch) = &self.fetch else { return };
        if fetch.serving() < self.sources_max {
            return;
        }
        let unneeded: Vec<ConnId> = self
            .sessions
            .values()
            .filter(|session| session.outgoing && session.wanting && !session.interested)
            .map(|session| session.conn)
            .filter(|conn| fetch.state(*conn) == Some(State::Unavailable))
            .collect();
        for conn in unneeded {
            let addr = self.sessions.get(&conn).map(|session| session.remote);
            self.end(conn, Fault::nobody("others serve"), now, out);
            if let Some(addr) = addr {
                self.neighbours.put_off(addr, UNNEEDED, now);
            }
        }
    }

    /// A dial of ours is established; `false` if it is not ours.
    pub fn got_connected(&mut self, conn: ConnId, now: Time, out: &mut Outbox) -> bool {
        let Some((addr, identity)) = self.dials.remove(&conn) else { return false };
        let Some((_, info_hash)) = self.identities().find(|(ours, _)| *ours == identity) else {
            out.close(conn);
            return true;
        };
        let geometry = self.content.geometry.clone();
        let mut session = Session::dialled(conn, addr, identity, info_hash, geometry, now);
        session.open(&self.us, self.neighbours.offer(addr), now, out);
        self.neighbours.met(addr, conn, now);
        self.sessions.insert(conn, session);
        true
    }

    pub(super) fn dial_failed(
        &mut self,
        conn: ConnId,
        addr: SocketAddr,
        why: Closed,
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(lost) = self.neighbours.lost(conn, false, now) else { return };
        let reason = match why {
            Closed::Refused => "nobody listens there",
            Closed::ByUs => "no answer",
            _ => "it cannot be reached; is a firewall closing the port?",
        };
        let line = format!("peer {addr}: {reason}; next try in {} s", lost.wait.as_secs());
        // Once is enough for a person, and a peer that was there and left is no news at all.
        let event = match !lost.met && lost.wait.as_secs() == 1 {
            true => Event::info("unreachable", line),
            false => Event::detail("unreachable", line),
        };
        out.tell(event.text("peer", addr.to_string()));
        self.check_sources();
    }
}
