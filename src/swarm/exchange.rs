//! Peers tell each other of further ones (BEP 11), among strangers and not in private torrents (BEP
//! 27): once a minute, some at a time, what changed.

use super::Swarm;
use super::terms::Company;
use crate::announce::filter;
use crate::core::fault::Fault;
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use crate::peer::Session;
use crate::wire::peer_exchange::{PeerExchange, flags};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// What we say to one peer is so far apart.
const EVERY: Span = Span::secs(60);
/// A word that comes sooner after the last is not listened to: clocks and networks are not exact.
const EARLIEST: Span = Span::secs(50);
/// So many of them are borne.
const EARLY_MAX: u32 = 60;
/// Addresses taken of one message, and told in one: this many added, this many dropped.
const ADDRESSES_MAX: usize = 50;

/// What was told to one peer, and heard of it.
#[derive(Debug, Default)]
struct Talk {
    told: BTreeSet<SocketAddr>,
    next: Time,
    heard: Option<Time>,
    early: u32,
}

#[derive(Debug, Default)]
pub struct Exchanges {
    talks: BTreeMap<ConnId, Talk>,
}

impl Exchanges {
    pub fn left(&mut self, conn: ConnId) {
        self.talks.remove(&conn);
    }
}

impl Swarm {
    /// Whether peers are told of and heard of.
    pub(super) fn exchanges(&self) -> bool {
        self.terms.company == Company::Strangers && !self.content.private
    }

    /// A peer told of others.
    pub(super) fn got_peers(
        &mut self,
        conn: ConnId,
        told: &PeerExchange,
        now: Time,
    ) -> Result<(), Fault> {
        let Some(session) = self.sessions.get(&conn).filter(|_| self.exchanges()) else {
            return Ok(());
        };
        let talk = self.exchanges.talks.entry(conn).or_default();
        if talk.heard.is_some_and(|last| now.since(last) < EARLIEST) {
            mark!("D28");
            talk.early += 1;
            return match talk.early > EARLY_MAX {
                true => Err(Fault::peer("peer exchange: more than one message a minute")),
                false => Ok(()),
            };
        }
        talk.heard = Some(now);
        // One who has everything needs nobody else who has.
        let lacking = self.fetch.is_some();
        let wanted = |(_, said): &&(SocketAddr, u8)| lacking || said & flags::SEED == 0;
        let addrs: Vec<SocketAddr> =
            told.added.iter().take(ADDRESSES_MAX).filter(wanted).map(|(addr, _)| *addr).collect();
        let (remote, identity) = (session.remote, session.identity);
        let addrs = filter::keep_told(&addrs, remote);
        self.neighbours.got_hearsay(identity, &addrs, remote.ip(), now);
        Ok(())
    }

    /// Tells those whom it is time to tell.
    pub(super) fn tell_of_peers(&mut self, now: Time, out: &mut Outbox) {
        if !self.exchanges() || self.leaving {
            return;
        }
        let met: BTreeMap<SocketAddr, u8> = self.sessions.values().filter_map(described).collect();
        for (conn, session) in self.sessions.iter_mut() {
            if session.peer_id.is_none() || !session.hears_of_peers() {
                continue;
            }
            let talk = self.exchanges.talks.entry(*conn).or_default();
            if talk.next > now {
                continue;
            }
            let own = session.listens_at();
            let fits = |addr: &SocketAddr| Some(*addr) != own && may_know(session.remote, *addr);
            let fresh = met.iter().filter(|(addr, _)| !talk.told.contains(addr) && fits(addr));
            let added: Vec<(SocketAddr, u8)> =
                fresh.take(ADDRESSES_MAX).map(|(addr, said)| (*addr, *said)).collect();
            let gone = talk.told.iter().filter(|addr| !met.contains_key(addr));
            let dropped: Vec<SocketAddr> = gone.take(ADDRESSES_MAX).copied().collect();
            if added.is_empty() && dropped.is_empty() {
                continue;
            }
            talk.next = now + EVERY;
            dropped.iter().for_each(|addr| _ = talk.told.remove(addr));
            talk.told.extend(added.iter().map(|(addr, _)| *addr));
            session.tell_peers(&PeerExchange { added, dropped }, now, out);
        }
    }
}

/// A peer that others may dial, and what is said of it.
fn described(session: &Session) -> Option<(SocketAddr, u8)> {
    let addr = session.listens_at().filter(|_| session.peer_id.is_some())?;
    let seed = session.has.is_full() || session.wants_nothing();
    let said = if seed { flags::SEED } else { 0 };
    let reached = if session.outgoing { flags::REACHABLE } else { 0 };
    Some((SocketAddr::new(addr.ip().to_canonical(), addr.port()), said | reached))
}

/// Whether the address is of use for one who would hear of it from us.
fn may_know(hearer: SocketAddr, addr: SocketAddr) -> bool {
    !filter::keep_told(&[addr], hearer).is_empty()
}
