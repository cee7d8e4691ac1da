//! Whom the swarm dials, and what becomes of it.

use super::Swarm;
use crate::core::id::ConnId;
use crate::core::io::{Closed, Outbox};
use crate::core::report::Event;
use crate::core::time::Time;
use crate::peer::{Identity, Session};
use std::net::SocketAddr;

impl Swarm {
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

    pub(super) fn dial_due(&mut self, now: Time, out: &mut Outbox) {
        if self.leaving {
            return;
        }
        for (addr, identity) in self.neighbours.due(self.fetch.is_some(), now) {
            let conn = out.dial(addr);
            self.neighbours.dialled(addr, conn, now);
            self.dials.insert(conn, (addr, identity));
        }
    }

    /// A dial of ours is established; `false` if it is not ours.
    pub fn got_connected(&mut self, conn: ConnId, now: Time, out: &mut Outbox) -> bool {
        let Some((addr, identity)) = self.dials.remove(&conn) else { return false };
        let Some((_, info_hash)) = self.identities().find(|(ours, _)| *ours == identity) else {
            out.close(conn);
            return true;
        };
        let geometry = self.content.geometry;
        let mut session = Session::dialled(conn, addr, identity, info_hash, geometry, now);
        session.open(&self.us, now, out);
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
