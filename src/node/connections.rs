//! News of connections, brought to whom they are about: the ties to trackers, guests that have not
//! said yet what they want, and the swarm.

use super::lobby::{Announced, Reception};
use super::shared::Shared;
use crate::core::id::{ConnId, InfoHash};
use crate::core::io::{Closed, Input, Outbox};
use crate::core::time::Time;

impl Shared {
    pub(super) fn route_connection(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Connected { conn, .. } => self.got_connected(conn, now, out),
            Input::Bytes { conn, bytes } => self.got_bytes(conn, bytes, now, out),
            Input::Sent { conn, queued, .. } => {
                if let Some(swarm) = &mut self.swarm {
                    swarm.got_sent(conn, queued, now, out);
                }
            }
            Input::Closed { conn, why } => self.got_closed(conn, why, now, out),
            _ => {}
        }
    }

    fn got_connected(&mut self, conn: ConnId, now: Time, out: &mut Outbox) {
        let stats = self.stats();
        if self.ties.got_connected(conn, stats, now, out)
            || self.web.got_connected(conn, &mut self.swarm, now, out)
        {
            return;
        }
        if let Some(early) = &mut self.early
            && early.got_connected(conn, now, out)
        {
            return;
        }
        if let Some(swarm) = &mut self.swarm {
            swarm.got_connected(conn, now, out);
        }
    }

    fn got_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Time, out: &mut Outbox) {
        if let Some(swarm) = &mut self.swarm
            && swarm.got_bytes(conn, bytes, now, out)
        {
            return;
        }
        if let Some(early) = &mut self.early
            && early.got_bytes(conn, bytes, now, out)
        {
            return;
        }
        if self.lobby.holds(conn) {
            self.got_guest_bytes(conn, bytes, now, out);
        } else if !self.web.got_bytes(conn, bytes, &mut self.swarm, now, out) {
            self.ties.got_bytes(conn, bytes, now, out);
        }
    }

    fn got_closed(&mut self, conn: ConnId, why: Closed, now: Time, out: &mut Outbox) {
        if self.ties.got_closed(conn, why, now, out)
            || self.web.got_closed((conn, why), &mut self.swarm, now, out)
            || self.lobby.left(conn)
        {
            return;
        }
        if let Some(early) = &mut self.early
            && early.got_closed(conn, why, now, out)
        {
            return;
        }
        if let Some(swarm) = &mut self.swarm {
            swarm.got_closed(conn, why, now, out);
        }
    }

    /// What guests may be about.
    pub(super) fn info_hashes(&self) -> Vec<InfoHash> {
        let swarm = self.swarm.iter().flat_map(|swarm| swarm.identities());
        let early = self.early.iter().flat_map(|early| early.identities());
        swarm.map(|(_, hash)| hash).chain(early.map(|(_, hash)| hash)).collect()
    }

    /// Bytes of a connection that has not said yet what it is about.
    fn got_guest_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Time, out: &mut Outbox) {
        let swarms = self.info_hashes();
        let mut reception = Reception { swarms: &swarms, now, out };
        match self.lobby.hear(conn, bytes, &mut reception) {
            Ok(None) => {}
            Ok(Some(announced)) => self.take_in(conn, announced, now, out),
            Err(_) => out.close(conn),
        }
    }

    /// A guest said what it is about.
    pub(super) fn take_in(
        &mut self,
        conn: ConnId,
        announced: Announced<'_>,
        now: Time,
        out: &mut Outbox,
    ) {
        let Announced { remote, framer, handshake, rest } = announced;
        let info_hash = handshake.info_hash;
        if let Some(swarm) = &mut self.swarm
            && let Some(identity) = swarm.identity_of(info_hash)
        {
            swarm.got_accepted((conn, remote), (framer, handshake), identity, now, out);
            swarm.got_bytes(conn, &rest, now, out);
        } else if let Some(early) = &mut self.early
            && let Some(identity) = early.identity_of(info_hash)
        {
            early.got_accepted((conn, remote), (framer, handshake), identity, now, out);
            early.got_bytes(conn, &rest, now, out);
        } else {
            out.close(conn);
        }
    }
}
