//! How many conversations about one content there may be, in all, from one address, and with one
//! peer.

use super::{Company, Swarm};
use crate::core::fault::Fault;
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::limits::ADDRESS_CONVERSATIONS_MAX;
use crate::core::mark::mark;
use crate::core::network::public_source;
use crate::core::report::State;
use crate::core::time::{Span, Time};
use crate::peer::{Identity, Session};
use crate::wire::peer::{Framer, Handshake};
use std::net::{IpAddr, SocketAddr};

/// A conversation that began no longer ago than this is not ended for a newcomer.
const NEW: Span = Span::secs(60);
/// Nor are those that are the oldest.
const LONGEST_KEPT: usize = 4;
/// A conversation that was silent for so long gives way when the same peer comes anew.
const GONE_QUIET: Span = Span::secs(5);

impl Swarm {
    /// A source of our own that no socket stands behind takes its seat, however full the table is.
    pub fn seat(
        &mut self,
        (conn, at): (ConnId, SocketAddr),
        read: (Framer, Handshake),
        identity: Identity,
        now: Time,
        out: &mut Outbox,
    ) {
        self.seats.insert(conn);
        self.take_in((conn, at), read, identity, now, out);
    }

    /// A conversation begins that we did not dial.
    pub(super) fn take_in(
        &mut self,
        (conn, remote): (ConnId, SocketAddr),
        read: (Framer, Handshake),
        identity: Identity,
        now: Time,
        out: &mut Outbox,
    ) {
        let geometry = self.content.geometry.clone();
        let session = Session::accepted(conn, remote, read, identity, geometry, now);
        self.sessions.insert(conn, session);
        if let Err(fault) = self.greeted(conn, now, out) {
            self.end(conn, fault, now, out);
        }
    }

    /// The conversations that there is only so much room for.
    fn crowd(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values().filter(|session| !self.seats.contains(&session.conn))
    }

    /// Whether there is no room for another conversation with `ip`.
    pub(super) fn has_no_room_for(&self, ip: IpAddr) -> bool {
        let is_full = self.crowd().count() >= self.terms.conversations_max;
        let Some(source) = public_source(ip) else { return is_full };
        let remotes = self.crowd().map(|session| session.remote.ip());
        let from_there = remotes.filter(|remote| public_source(*remote) == Some(source));
        is_full || from_there.count() >= ADDRESS_CONVERSATIONS_MAX
    }

    /// Whether one who dialled us may stay. Among strangers a full table takes one of higher
    /// canonical priority in place of one with whom nothing goes on, and one who fetches keeps a
    /// quarter of the table for those it dials: who fills it with idle peers cuts nobody off.
    pub(super) fn makes_room_for(
        &mut self,
        remote: SocketAddr,
        now: Time,
        out: &mut Outbox,
    ) -> bool {
        let most = self.terms.conversations_max;
        if self.terms.company == Company::Strangers && self.fetch.is_some() {
            let incoming = self.crowd().filter(|session| !session.outgoing).count();
            if incoming >= most - most / 4 {
                mark!("D24");
                return self.swaps_for(remote, now, out);
            }
        }
        if self.has_no_room_for(remote.ip()) {
            let full = self.crowd().count() >= most;
            return full && self.swaps_for(remote, now, out) && !self.has_no_room_for(remote.ip());
        }
        true
    }

    /// Ends the conversation that is least worth keeping, if it is worth less than one with
    /// `remote`.
    fn swaps_for(&mut self, remote: SocketAddr, now: Time, out: &mut Outbox) -> bool {
        let Some(newcomer) = self.neighbours.priority(remote) else { return false };
        let is_idle = |session: &&Session| {
            !session.outgoing
                && now.since(session.began) > NEW
                && self.state_of(session) != State::Connected
        };
        let mut idle: Vec<&Session> = self.crowd().filter(is_idle).collect();
        // Those that are here longest stay: that is dear to feign.
        idle.sort_by_key(|session| session.began);
        let rank =
            |session: &&Session| Some((self.neighbours.priority(session.remote)?, session.conn));
        let least = idle.iter().skip(LONGEST_KEPT).filter_map(rank).min();
        let Some((_, conn)) = least.filter(|(least, _)| *least < newcomer) else { return false };
        mark!("D24");
        self.end(conn, Fault::nobody("another peer came, and there is no room"), now, out);
        true
    }

    /// How many more may be dialled.
    pub(super) fn room(&self) -> usize {
        self.terms.conversations_max.saturating_sub(self.crowd().count() + self.dials.len())
    }
}

/// Of two conversations with one peer, each with whether we dialled it, the one to give up: the
/// side with the greater peer id (`keep_dialled` if that is ours) keeps the one it dialled, so both
/// sides choose the same. `quiet` is how long nothing came of the old one.
pub fn loser(
    keep_dialled: bool,
    (new, new_dialled): (ConnId, bool),
    (old, old_dialled): (ConnId, bool),
    quiet: Span,
) -> ConnId {
    match (new_dialled == keep_dialled, old_dialled == keep_dialled) {
        (true, false) => old,
        // It came back, and what it had before is dead: nothing came of that for a while.
        _ if new_dialled == old_dialled && quiet > GONE_QUIET => old,
        _ => new,
    }
}
