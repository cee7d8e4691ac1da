//! Connections that come in are for one of the fetches, and say by their handshake for which.

use super::Several;
use crate::core::id::{ConnId, InfoHash};
use crate::core::io::Outbox;
use crate::core::time::Time;
use crate::node::Node;
use crate::node::lobby::{Announced, Reception};
use std::net::SocketAddr;

impl Several {
    pub(super) fn got_guest(
        &mut self,
        conn: ConnId,
        remote: SocketAddr,
        now: Time,
        out: &mut Outbox,
    ) {
        if let Some(longest) = self.lobby.enter(conn, remote, now) {
            out.close(longest);
        }
    }

    /// Bytes of one that has not said yet what it is about.
    pub(super) fn got_guest_bytes(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        now: Time,
        out: &mut Outbox,
    ) {
        let hashes = |node: &Node| node.shared.info_hashes();
        let swarms: Vec<InfoHash> = self.active().flat_map(|(_, node)| hashes(node)).collect();
        let mut reception = Reception { swarms: &swarms, now, out };
        let announced = match self.lobby.hear(conn, bytes, &mut reception) {
            Ok(None) => return,
            Ok(Some(announced)) => announced,
            Err(_) => return out.close(conn),
        };
        let wanted = announced.handshake.info_hash;
        let host = self.active().find(|(_, node)| hashes(node).contains(&wanted));
        let Some((who, _)) = host else { return out.close(conn) };
        self.owners.took(conn, who);
        self.turn(who, now, out, |node, out| node.welcome(conn, announced, now, out));
    }
}

impl Node {
    /// A turn that begins with a guest of ours, received elsewhere.
    fn welcome(&mut self, conn: ConnId, announced: Announced<'_>, now: Time, out: &mut Outbox) {
        if self.shared.ended || self.shared.parting.is_some() {
            return out.close(conn);
        }
        let before = out.effects.len();
        self.shared.take_in(conn, announced, now, out);
        self.conclude(Ok(()), before, now, out);
    }
}
