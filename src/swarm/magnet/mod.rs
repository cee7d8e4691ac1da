//! A swarm of which nothing is known but info-hashes: its peers are met, the info dict is taken
//! from them (BEP 9), and what of the hash tree is no part of it (BEP 52). Then the conversations
//! end, and an ordinary swarm begins with the peers that are known. It routes; what to ask of whom
//! is decided beside it.

mod dials;
mod layers;
mod learning;
mod metadata;
mod talks;

use super::neighbours::{Neighbours, Struck};
use crate::content::metainfo::Content;
use crate::core::id::{ConnId, Hash32, InfoHash};
use crate::core::io::{Closed, Outbox};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::peer::{Early, Identity, Us};
use crate::wire::peer::{Framer, Handshake};
pub use learning::Learned;
use learning::Learning;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// How often it looks after timeouts and dials.
const TICK: Span = Span::ms(250);

/// The info-hashes that are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Topics {
    pub v1: Option<InfoHash>,
    pub v2: Option<Hash32>,
}

impl Topics {
    /// The identities to meet peers under, v2 first.
    pub fn identities(&self) -> impl Iterator<Item = (Identity, InfoHash)> + use<> {
        let v1 = self.v1.map(|hash| (Identity::V1, hash));
        let v2 = self.v2.map(|hash| (Identity::V2, hash.truncated()));
        v2.into_iter().chain(v1)
    }

    fn hash_of(&self, identity: Identity) -> Option<InfoHash> {
        self.identities().find(|(ours, _)| *ours == identity).map(|(_, hash)| hash)
    }
}

/// What is kept for each identity: one address may be met under both.
#[derive(Debug, Default)]
struct Books {
    v1: Neighbours,
    v2: Neighbours,
}

impl Books {
    fn of(&mut self, identity: Identity) -> &mut Neighbours {
        match identity {
            Identity::V1 => &mut self.v1,
            Identity::V2 => &mut self.v2,
        }
    }
}

#[derive(Debug)]
pub struct MagnetSwarm {
    us: Us,
    topics: Topics,
    talks: BTreeMap<ConnId, Early>,
    /// Dials on their way, with the identity they are made under.
    dials: BTreeMap<ConnId, (SocketAddr, Identity)>,
    books: Books,
    learning: Learning,
    next_tick: Time,
}

impl MagnetSwarm {
    pub fn new(topics: Topics, us: Us, rng: &mut Rng, now: Time) -> MagnetSwarm {
        let mut book = || Neighbours::new(rng.next_u64()).of_v1(true);
        MagnetSwarm {
            us,
            topics,
            talks: BTreeMap::new(),
            dials: BTreeMap::new(),
            books: Books { v1: book(), v2: book() },
            learning: Learning::new(topics, now),
            next_tick: now,
        }
    }

    /// The identities this swarm answers to.
    pub fn identities(&self) -> impl Iterator<Item = (Identity, InfoHash)> + use<> {
        self.topics.identities()
    }

    pub fn identity_of(&self, info_hash: InfoHash) -> Option<Identity> {
        self.identities().find(|(_, hash)| *hash == info_hash).map(|(identity, _)| identity)
    }

    pub fn deadline(&self) -> Time {
        self.next_tick
    }

    /// The listening port is known (or changed).
    pub fn listens_on(&mut self, port: u16) {
        self.us.listen_port = port;
    }

    /// Peers that a tracker or the link named.
    pub fn got_named(
        &mut self,
        identity: Identity,
        addrs: &[SocketAddr],
        now: Time,
        out: &mut Outbox,
    ) {
        self.books.of(identity).got_named(identity, addrs, now);
        self.dial_due(now, out);
    }

    /// A peer of the local network said that it takes part (BEP 14).
    pub fn got_nearby(
        &mut self,
        identity: Identity,
        addr: SocketAddr,
        now: Time,
        out: &mut Outbox,
    ) {
        self.books.of(identity).got_nearby(identity, addr, now);
        self.dial_due(now, out);
    }

    /// A peer dialled us and shook hands under one of our info-hashes.
    pub fn got_accepted(
        &mut self,
        (conn, remote): (ConnId, SocketAddr),
        read: (Framer, Handshake),
        identity: Identity,
        now: Time,
        out: &mut Outbox,
    ) {
        if !self.has_room_for_guest(remote.ip()) {
            return out.close(conn);
        }
        self.talks.insert(conn, Early::accepted(conn, remote, read, identity, now));
        self.greeted(conn, now, out);
    }

    /// A dial of ours is established; `false` if it is not ours.
    pub fn got_connected(&mut self, conn: ConnId, now: Time, out: &mut Outbox) -> bool {
        let Some((addr, identity)) = self.dials.remove(&conn) else { return false };
        let Some(info_hash) = self.topics.hash_of(identity) else {
            out.close(conn);
            return true;
        };
        let mut talk = Early::dialled(conn, addr, (identity, info_hash), now);
        talk.open(&self.us, self.books.of(identity).offer(addr), now, out);
        self.books.of(identity).met(addr, conn, now);
        self.talks.insert(conn, talk);
        true
    }

    /// Bytes of a conversation; `false` if it is not ours.
    pub fn got_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Time, out: &mut Outbox) -> bool {
        let Some(talk) = self.talks.get_mut(&conn) else { return false };
        talk.heard = now;
        if let Err(fault) = self.hear(conn, bytes, now, out) {
            self.end(conn, fault, now, out);
        }
        self.go_on(now, out);
        true
    }

    /// The end of a connection; `false` if it is not ours. Conversations we ended ourselves are
    /// forgotten already.
    pub fn got_closed(&mut self, conn: ConnId, why: Closed, now: Time, out: &mut Outbox) -> bool {
        if let Some((addr, identity)) = self.dials.remove(&conn) {
            self.dial_failed(conn, (addr, identity), why, now, out);
            return true;
        }
        if !self.talks.contains_key(&conn) {
            return false;
        }
        self.hung_up(conn, now);
        self.go_on(now, out);
        true
    }

    pub fn tick(&mut self, now: Time, out: &mut Outbox) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.give_up_dials(now, out);
        self.look_after_talks(now, out);
        self.go_on(now, out);
        self.dial_due(now, out);
    }

    /// What was learned, once it is all there: every conversation ends.
    pub fn take_learned(&mut self, now: Time, out: &mut Outbox) -> Option<Learned> {
        let learned = self.learning.take(now)?;
        self.hang_up(out);
        Some(learned)
    }

    /// Ends every conversation.
    pub fn hang_up(&mut self, out: &mut Outbox) {
        self.talks.keys().chain(self.dials.keys()).for_each(|conn| out.close(*conn));
        self.talks.clear();
        self.dials.clear();
    }

    /// The peers that are known, and those that sent bad data: for the swarm that comes after.
    pub fn into_peers(mut self, content: &Content) -> (Vec<(Identity, SocketAddr)>, Struck) {
        let mut struck = self.books.v1.take_struck();
        struck.extend(self.books.v2.take_struck());
        let known = |neighbours: &Neighbours, identity| {
            neighbours.addrs().map(move |addr| (identity, addr)).collect::<Vec<_>>()
        };
        let mut peers = Vec::new();
        if content.v2.is_some() {
            peers.extend(known(&self.books.v2, Identity::V2));
        }
        if content.v1.is_some() {
            peers.extend(known(&self.books.v1, Identity::V1));
        }
        (peers, struck)
    }

    /// How much came of what was asked for: blocks of metadata and ranges of hashes.
    pub fn arrived(&self) -> u64 {
        self.learning.arrived()
    }

    /// Conversations whose other side shook hands, and those of them that can send the info dict.
    pub fn counts(&self) -> (usize, usize) {
        let greeted = self.talks.values().filter(|talk| talk.peer_id.is_some());
        let able = self.talks.values().filter(|talk| talk.metadata_bytes().is_some());
        (greeted.count(), able.count())
    }
}
