//! One content: its conversations, its two halves and its neighbours. It routes facts from the
//! conversations to the halves; it decides nothing about pieces or slots.

mod crowd;
mod dials;
mod doubt;
mod exchange;
mod facts;
mod files;
mod hearsay;
pub mod magnet;
mod neighbours;
mod partings;
mod priority;
mod rows;
mod terms;

use crate::content::bitfield::Bitfield;
use crate::content::geometry::Piece;
use crate::content::metainfo::Content;
use crate::core::id::{ConnId, FileId, InfoHash};
use crate::core::io::{Closed, FileError, Outbox};
use crate::core::report::State;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::leecher::Leecher;
use crate::peer::{Identity, Session, Sessions, Us, saying};
use crate::seeder::Seeder;
use crate::seeder::library::Library;
use crate::wire::peer::{Framer, Handshake};
pub use neighbours::Struck;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
pub use terms::{Company, Terms};

/// How often the swarm looks after timeouts, rates and dials.
const TICK: Span = Span::ms(250);
/// What the node must know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Happened {
    /// A piece is proven and written.
    Stored(Piece),
    /// Every piece is.
    Complete,
    /// A piece is right by one hash of the content and wrong by the other.
    Contradiction(Piece),
    DiskFailed(FileError),
    /// This machine damages what it holds: a piece that was proven, if it was found in one.
    Damaged(Option<Piece>),
    /// Bytes that we serve could not be read, or are not what they were.
    FileFailed(FileError),
    /// The last source we could take from is gone.
    NoSource,
}

#[derive(Debug)]
pub struct Swarm {
    content: Rc<Content>,
    us: Us,
    sessions: Sessions,
    /// Those of them that take nobody's place and give way to nobody.
    seats: BTreeSet<ConnId>,
    /// Dials on their way, with the identity they are made under.
    dials: BTreeMap<ConnId, (SocketAddr, Identity)>,
    serve: Seeder,
    fetch: Option<Leecher>,
    neighbours: neighbours::Neighbours,
    doubt: doubt::Doubt,
    terms: Terms,
    exchanges: exchange::Exchanges,
    /// Sources dialled and kept at a time.
    sources_max: usize,
    /// The state each neighbour was shown with last.
    shown: BTreeMap<ConnId, State>,
    happened: Vec<Happened>,
    next_tick: Time,
    /// Payload that came, conversations that ended included.
    downloaded: u64,
    uploaded: u64,
    /// Bytes that wait for all peers, blocks apart, as of the last tick and what was said since.
    told: u64,
    leaving: bool,
    /// Whether the first payload was told.
    first_byte: bool,
}

impl Swarm {
    /// A swarm whose pieces `have` stand proven in `file`. What is missing is fetched, from about
    /// `sources` at a time.
    pub fn new(
        content: Rc<Content>,
        us: Us,
        (file, have): (FileId, Bitfield),
        (slots, sources): (u32, u32),
        rng: &mut Rng,
        now: Time,
    ) -> Swarm {
        let fetch =
            (!have.is_full()).then(|| Leecher::new(content.clone(), file, have.clone(), rng));
        Swarm {
            neighbours: neighbours::Neighbours::new(rng.next_u64()).of_v1(content.v2.is_none()),
            serve: Seeder::new(Library::new(content.clone(), file, have), slots),
            content,
            us,
            sessions: Sessions::new(),
            seats: BTreeSet::new(),
            dials: BTreeMap::new(),
            fetch,
            doubt: Default::default(),
            terms: Terms::default(),
            exchanges: Default::default(),
            sources_max: sources as usize,
            shown: BTreeMap::new(),
            happened: Vec::new(),
            next_tick: now,
            downloaded: 0,
            uploaded: 0,
            told: 0,
            leaving: false,
            first_byte: false,
        }
    }

    pub fn content(&self) -> &Rc<Content> {
        &self.content
    }

    /// The identities this swarm answers to, the one between peers of ours first.
    pub fn identities(&self) -> impl Iterator<Item = (Identity, InfoHash)> {
        let v1 = self.content.v1.as_ref().map(|v1| (Identity::V1, v1.info_hash));
        let v2 = self.content.v2.as_ref().map(|v2| (Identity::V2, v2.info_hash.truncated()));
        v2.into_iter().chain(v1)
    }

    pub fn identity_of(&self, info_hash: InfoHash) -> Option<Identity> {
        self.identities().find(|(_, hash)| *hash == info_hash).map(|(identity, _)| identity)
    }

    pub fn is_complete(&self) -> bool {
        self.serve.library.have().is_full()
    }

    pub fn deadline(&self) -> Time {
        self.next_tick
    }

    /// The listening port is known (or changed).
    pub fn listens_on(&mut self, port: u16) {
        self.us.listen_port = port;
    }

    /// A peer dialled us and shook hands for this content.
    pub fn got_accepted(
        &mut self,
        (conn, remote): (ConnId, SocketAddr),
        (framer, handshake): (Framer, Handshake),
        identity: Identity,
        now: Time,
        out: &mut Outbox,
    ) {
        if !self.makes_room_for(remote, now, out) {
            return out.close(conn);
        }
        self.take_in((conn, remote), (framer, handshake), identity, now, out);
    }

    /// Bytes of a conversation; `false` if it is not ours.
    pub fn got_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Time, out: &mut Outbox) -> bool {
        let Some(session) = self.sessions.get_mut(&conn) else { return false };
        session.heard = now;
        session.room = saying::room(self.told);
        let before = session.told();
        if let Err(fault) = self.hear(conn, bytes, now, out) {
            self.end(conn, fault, now, out);
        }
        self.serve.pump(conn, &mut self.sessions, now, out);
        if let Some(session) = self.sessions.get_mut(&conn) {
            if let Some(fetch) = &mut self.fetch {
                fetch.fill(session, now, out);
            }
            self.told += session.told().saturating_sub(before);
            session.pause_if_crowded(out);
        }
        self.take_news(now, out);
        true
    }

    /// What left a connection; `false` if it is not ours.
    pub fn got_sent(&mut self, conn: ConnId, queued: u64, now: Time, out: &mut Outbox) -> bool {
        let Some(session) = self.sessions.get_mut(&conn) else { return false };
        session.got_sent(queued, out);
        self.serve.got_sent((conn, queued), &mut self.sessions, now, out);
        true
    }

    /// The end of a connection. Conversations we ended ourselves are forgotten already.
    pub fn got_closed(&mut self, conn: ConnId, why: Closed, now: Time, out: &mut Outbox) -> bool {
        if let Some((addr, _)) = self.dials.remove(&conn) {
            self.dial_failed(conn, addr, why, now, out);
            return true;
        }
        if !self.sessions.contains_key(&conn) {
            return false;
        }
        self.hung_up(conn, why, now, out);
        true
    }

    pub fn tick(&mut self, now: Time, out: &mut Outbox) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        for conn in self.neighbours.overdue(now) {
            out.close(conn);
        }
        self.look_after_sessions(now, out);
        self.told = self.sessions.values().map(Session::told).sum();
        if let Some(fetch) = &mut self.fetch {
            fetch.tick(&mut self.sessions, now, out);
            for session in self.sessions.values_mut().filter(|session| session.peer_id.is_some()) {
                fetch.review_interest(session, now, out);
                fetch.fill(session, now, out);
            }
        }
        let fetch = self.fetch.as_ref();
        let gives = |conn| fetch.map_or((0, false), |fetch| fetch.gives(conn, now));
        let gives: Option<&dyn Fn(ConnId) -> _> = fetch.is_some().then_some(&gives);
        self.serve.tick(&mut self.sessions, gives, now, out);
        self.leave_unneeded(now, out);
        self.dial_due(now, out);
        self.tell_of_peers(now, out);
        self.tell_states(now, out);
    }

    /// Whether the books of the fetching half agree.
    pub fn audit(&self) -> Result<(), String> {
        self.fetch.as_ref().map_or(Ok(()), |fetch| fetch.audit(&self.sessions))
    }
}
