//! Whom a swarm whose content is not known dials, and how many conversations it keeps.

use super::MagnetSwarm;
use crate::core::id::ConnId;
use crate::core::io::{Closed, Outbox};
use crate::core::network::public_source;
use crate::core::report::Event;
use crate::core::time::Time;
use crate::peer::{Encrypting, Identity};
use std::net::{IpAddr, SocketAddr};

/// Conversations that we opened, and dials on their way.
const DIALLED_MAX: usize = 32;
/// Conversations that were opened to us, in all ...
const GUESTS_MAX: usize = 32;
/// ... and by one public address (or IPv6 /64).
const ADDRESS_GUESTS_MAX: usize = 8;

impl MagnetSwarm {
    /// How conversations are encrypted; until told, they are not.
    pub fn encrypt(&mut self, encrypting: &mut Encrypting) {
        self.books.v1.encrypt(encrypting.fork());
        self.books.v2.encrypt(encrypting.fork());
    }

    /// Whether another conversation may be opened to us.
    pub(super) fn has_room_for_guest(&self, ip: IpAddr) -> bool {
        let guests = || self.talks.values().filter(|talk| !talk.outgoing);
        let source = public_source(ip);
        let same =
            guests().filter(|talk| source.is_some() && public_source(talk.remote.ip()) == source);
        guests().count() < GUESTS_MAX && same.count() < ADDRESS_GUESTS_MAX
    }

    /// Dials those whose turn it is. One who is met under one identity is not dialled under the
    /// other meanwhile: it would take us for the same.
    pub(super) fn dial_due(&mut self, now: Time, out: &mut Outbox) {
        for identity in [Identity::V2, Identity::V1] {
            if !self.learning.wants(identity) || self.topics.hash_of(identity).is_none() {
                continue;
            }
            let dialled = self.talks.values().filter(|talk| talk.outgoing).count();
            let room = DIALLED_MAX.saturating_sub(dialled + self.dials.len());
            // Of those in the book some may be met at the moment: the next ones are looked at, too.
            let due = self.books.of(identity).due(true, DIALLED_MAX * 2, now);
            let free = due.into_iter().map(|(addr, _)| addr).filter(|addr| !self.is_met(*addr));
            for addr in free.take(room).collect::<Vec<_>>() {
                let conn = out.dial(addr);
                self.books.of(identity).dialled(addr, conn, now);
                self.dials.insert(conn, (addr, identity));
            }
        }
    }

    fn is_met(&self, addr: SocketAddr) -> bool {
        self.talks.values().any(|talk| talk.listens_at() == Some(addr))
            || self.dials.values().any(|(dialled, _)| *dialled == addr)
    }

    /// Gives up dials that were not answered in time.
    pub(super) fn give_up_dials(&mut self, now: Time, out: &mut Outbox) {
        for book in [&self.books.v1, &self.books.v2] {
            book.overdue(now).into_iter().for_each(|conn| out.close(conn));
        }
    }

    pub(super) fn dial_failed(
        &mut self,
        conn: ConnId,
        (addr, identity): (SocketAddr, Identity),
        why: Closed,
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(lost) = self.books.of(identity).lost(conn, false, now) else { return };
        let reason = match why {
            Closed::Refused => "nobody listens there",
            Closed::ByUs => "no answer",
            _ => "it cannot be reached",
        };
        let line = format!("peer {addr}: {reason}; next try in {} s", lost.wait.as_secs());
        out.tell(Event::detail("unreachable", line).text("peer", addr.to_string()));
        // It may be met under the other identity at once.
        self.dial_due(now, out);
    }
}
