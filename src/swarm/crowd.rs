//! How many conversations about one content there may be, in all, from one address, and with one
//! peer.

use super::{Company, Swarm};
use crate::core::fault::Fault;
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::limits::ADDRESS_CONVERSATIONS_MAX;
use crate::core::mark::mark;
use crate::core::network::{public_network, public_source};
use crate::core::report::State;
use crate::core::time::{Span, Time};
use crate::peer::{Identity, Session};
use crate::wire::peer::{Framer, Handshake};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A conversation that began no longer ago than this is not ended for a newcomer.
const NEW: Span = Span::secs(60);
/// Nor is one of which something came no longer ago, ...
const USEFUL: Span = Span::secs(300);
/// ... nor are those that are the oldest, nor those of which most came.
const LONGEST_KEPT: usize = 4;
const BEST_KEPT: usize = 4;
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
    /// `remote`: of those that are idle one from the network that has most of the table, and there
    /// the one of least priority.
    fn swaps_for(&mut self, remote: SocketAddr, now: Time, out: &mut Outbox) -> bool {
        let Some(priority) = self.neighbours.priority(remote) else { return false };
        let mut idle: Vec<&Session> =
            self.crowd().filter(|session| self.is_idle(session, now)).collect();
        // Those that are here longest stay, and those of which most came: that is dear to feign.
        idle.sort_by_key(|session| session.began);
        idle.drain(..LONGEST_KEPT.min(idle.len()));
        idle.sort_by_key(|session| Reverse(self.useful(session).0));
        let best = idle.iter().take(BEST_KEPT).filter(|session| self.useful(session).0 > 0).count();
        let seated = self.seated();
        let from = |network: Option<IpAddr>| network.and_then(|network| seated.get(&network));
        let rank = |session: &&Session| {
            let network = public_network(session.remote.ip());
            let priority = self.neighbours.priority(session.remote)?;
            Some((Reverse(from(network).copied().unwrap_or(0)), priority, network, session.conn))
        };
        let least = idle.into_iter().skip(best).filter_map(|session| rank(&session)).min();
        let Some((worst, least, network, conn)) = least else { return false };
        // What the newcomer's network would have, the one who goes being gone.
        let own = public_network(remote.ip());
        let own = own.map_or(0, |_| from(own).unwrap_or(&0) + usize::from(own != network));
        if (worst, least) >= (Reverse(own), priority) {
            return false;
        }
        mark!("D24");
        self.end(conn, Fault::nobody("another peer came, and there is no room"), now, out);
        true
    }

    /// Whether nothing goes on with one who dialled us: neither now nor of late.
    fn is_idle(&self, session: &Session, now: Time) -> bool {
        let is_useful = self.useful(session).1.is_some_and(|last| now.since(last) < USEFUL);
        let is_new = now.since(session.began) <= NEW;
        !(session.outgoing || is_new || is_useful) && self.state_of(session) != State::Connected
    }

    /// Bytes of payload that came from a peer, and when the last did; once we lack nothing, those
    /// that it took.
    fn useful(&self, session: &Session) -> (u64, Option<Time>) {
        let meter = match &self.fetch {
            Some(fetch) => fetch.meter(session.conn),
            None => self.serve.meter(session.conn),
        };
        meter.map_or((0, None), |meter| (meter.total, meter.last()))
    }

    /// How many conversations there are with each public network.
    fn seated(&self) -> BTreeMap<IpAddr, usize> {
        let mut seated = BTreeMap::new();
        for network in self.crowd().filter_map(|session| public_network(session.remote.ip())) {
            *seated.entry(network).or_default() += 1;
        }
        seated
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
