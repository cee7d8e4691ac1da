//! One content: its conversations, its two halves and its neighbours. It routes facts from the
//! conversations to the halves; it decides nothing about pieces or slots.

mod facts;
mod neighbours;
mod rows;

use crate::content::bitfield::Bitfield;
use crate::content::metainfo::Content;
use crate::core::fault::{Blame, Fault};
use crate::core::id::{ConnId, FileId, InfoHash, Ticket};
use crate::core::io::{Closed, FileDone, FileError, Outbox};
use crate::core::report::{Event, State};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::leecher::{Leecher, News};
use crate::peer::{Identity, Session, Sessions, Us};
use crate::seeder::Seeder;
use crate::seeder::library::Library;
use crate::wire::peer::{Framer, Handshake, Message};
use neighbours::Neighbours;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

/// How often the swarm looks after timeouts, rates and dials.
const TICK: Span = Span::ms(250);
/// A handshake that is not complete after so long will not be.
const HANDSHAKE: Span = Span::secs(10);
/// Silence that ends a conversation (the practice of other clients, too).
const SILENCE: Span = Span::secs(120);
/// We say something at least so often; peers that wait choked and do not speak `lmk_state` hang up
/// after 10 s of silence at the earliest.
const KEEP_ALIVE: Span = Span::secs(60);
const KEEP_ALIVE_QUEUED: Span = Span::secs(8);
/// How long a complete peer is left alone by another.
const BOTH_COMPLETE: Span = Span::secs(3600);

/// What the node must know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Happened {
    /// Every piece is proven and written.
    Complete,
    DiskFailed(FileError),
    /// The last source we could take from is gone.
    NoSource,
}

#[derive(Debug)]
pub struct Swarm {
    content: Rc<Content>,
    us: Us,
    sessions: Sessions,
    /// Dials on their way, with the identity they are made under.
    dials: BTreeMap<ConnId, (SocketAddr, Identity)>,
    serve: Seeder,
    fetch: Option<Leecher>,
    neighbours: Neighbours,
    /// The state each neighbour was shown with last.
    shown: BTreeMap<ConnId, State>,
    happened: Vec<Happened>,
    next_tick: Time,
    /// Payload that came, conversations that ended included.
    downloaded: u64,
    uploaded: u64,
    leaving: bool,
}

impl Swarm {
    /// A swarm whose pieces `have` stand proven in `file`. What is missing is fetched.
    pub fn new(
        content: Rc<Content>,
        us: Us,
        (file, have): (FileId, Bitfield),
        slots: u32,
        rng: &mut Rng,
        now: Time,
    ) -> Swarm {
        let fetch =
            (!have.is_full()).then(|| Leecher::new(content.clone(), file, have.clone(), rng));
        Swarm {
            serve: Seeder::new(Library::new(content.clone(), file, have), slots),
            content,
            us,
            sessions: Sessions::new(),
            dials: BTreeMap::new(),
            fetch,
            neighbours: Neighbours::default(),
            shown: BTreeMap::new(),
            happened: Vec::new(),
            next_tick: now,
            downloaded: 0,
            uploaded: 0,
            leaving: false,
        }
    }

    pub fn content(&self) -> &Rc<Content> {
        &self.content
    }

    /// The identities this swarm answers to.
    pub fn identities(&self) -> impl Iterator<Item = (Identity, InfoHash)> {
        let v1 = self.content.v1.as_ref().map(|v1| (Identity::V1, v1.info_hash));
        let v2 = self.content.v2.as_ref().map(|v2| (Identity::V2, v2.info_hash.truncated()));
        v1.into_iter().chain(v2)
    }

    pub fn identity_of(&self, info_hash: InfoHash) -> Option<Identity> {
        self.identities().find(|(_, hash)| *hash == info_hash).map(|(identity, _)| identity)
    }

    pub fn is_complete(&self) -> bool {
        self.serve.library.have().is_full()
    }

    /// Bytes that are proven and written.
    pub fn done_bytes(&self) -> u64 {
        let have = self.serve.library.have();
        if have.is_full() {
            return self.content.geometry.size();
        }
        let geometry = &self.content.geometry;
        let last = geometry.pieces().wrapping_sub(1);
        let short = match geometry.piece(last) {
            Some(piece) if have.get(last) => geometry.piece_length() - geometry.piece_len(piece),
            _ => 0,
        };
        u64::from(have.count()) * u64::from(geometry.piece_length()) - u64::from(short)
    }

    pub fn take_happened(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.happened)
    }

    pub fn deadline(&self) -> Time {
        self.next_tick
    }

    /// The listening port is known (or changed).
    pub fn listens_on(&mut self, port: u16) {
        self.us.listen_port = port;
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

    fn dial_due(&mut self, now: Time, out: &mut Outbox) {
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

    /// A peer dialled us and shook hands for this content.
    pub fn got_accepted(
        &mut self,
        (conn, remote): (ConnId, SocketAddr),
        (framer, handshake): (Framer, Handshake),
        identity: Identity,
        now: Time,
        out: &mut Outbox,
    ) {
        let geometry = self.content.geometry;
        let read = (framer, handshake);
        let session = Session::accepted(conn, remote, read, identity, geometry, now);
        self.sessions.insert(conn, session);
        if let Err(fault) = self.greeted(conn, now, out) {
            self.end(conn, fault, now, out);
        }
    }

    /// Bytes of a conversation; `false` if it is not ours.
    pub fn got_bytes(
        &mut self,
        conn: ConnId,
        mut bytes: &[u8],
        now: Time,
        out: &mut Outbox,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&conn) else { return false };
        session.heard = now;
        if let Err(fault) = self.hear(conn, &mut bytes, now, out) {
            self.end(conn, fault, now, out);
        } else if let Some(session) = self.sessions.get_mut(&conn) {
            self.serve.pump(conn, now, out);
            if let Some(fetch) = &mut self.fetch {
                fetch.fill(session, now, out);
            }
        }
        self.take_news(now, out);
        true
    }

    /// What left a connection; `false` if it is not ours.
    pub fn got_sent(&mut self, conn: ConnId, queued: u64, now: Time, out: &mut Outbox) -> bool {
        let ours = self.sessions.contains_key(&conn);
        if ours {
            self.serve.got_sent(conn, queued, now, out);
        }
        ours
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
        let what = match why {
            Closed::FileFailed => "the file could not be read",
            Closed::Reset => "the connection was reset",
            _ => "it hung up",
        };
        self.forget(conn, Fault::nobody(what), now, out);
        true
    }

    fn dial_failed(
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

    /// File work; hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Option<FileDone> {
        let done = match &mut self.fetch {
            Some(fetch) => fetch.got_file(ticket, done)?,
            None => done,
        };
        self.serve.got_file(ticket, done, &mut self.sessions, now, out)
    }

    /// After file work: tells what is stored, and asks for more where a page came free.
    pub fn after_file(&mut self, now: Time, out: &mut Outbox) {
        self.take_news(now, out);
        if let Some(fetch) = &mut self.fetch {
            self.sessions.values_mut().for_each(|session| fetch.fill(session, now, out));
        }
    }

    fn take_news(&mut self, now: Time, out: &mut Outbox) {
        let Some(fetch) = &mut self.fetch else { return };
        for news in fetch.take_news() {
            match news {
                News::Stored(piece) => {
                    self.serve.library.add(piece.index());
                    for session in self.sessions.values_mut() {
                        if session.peer_id.is_some() && !session.has.get(piece.index()) {
                            session.say(Message::Have(piece.index()), now, out);
                        }
                    }
                }
                News::Lied(conn, piece) => {
                    let what = "sent a piece that does not match its hash";
                    let peer = self.sessions.get(&conn).map(|session| session.remote.to_string());
                    let peer = peer.unwrap_or_default();
                    let line =
                        format!("peer {peer}: piece {} does not match its hash", piece.index());
                    out.tell(Event::warning("corrupt", line).text("peer", peer));
                    self.end(conn, Fault::peer(what), now, out);
                }
                News::Broken(piece) => {
                    let line = format!("piece {} does not match; asked again", piece.index());
                    out.tell(Event::warning("corrupt", line));
                }
                News::DiskFailed(error) => self.happened.push(Happened::DiskFailed(error)),
            }
        }
        if self.fetch.as_ref().is_some_and(Leecher::is_complete) {
            self.completed(now, out);
        }
    }

    /// Nothing is missing any more: sources are let go, those who take stay.
    fn completed(&mut self, now: Time, out: &mut Outbox) {
        self.downloaded = self.downloaded();
        self.fetch = None;
        self.happened.push(Happened::Complete);
        for conn in self.sessions.keys().copied().collect::<Vec<_>>() {
            let Some(session) = self.sessions.get_mut(&conn) else { continue };
            if session.wanting {
                session.say(Message::NotInterested, now, out);
            }
            if session.has.is_full() {
                self.end(conn, Fault::nobody("both have everything"), now, out);
            }
        }
    }

    /// Ends a conversation because of a fault.
    fn end(&mut self, conn: ConnId, fault: Fault, now: Time, out: &mut Outbox) {
        if self.sessions.contains_key(&conn) {
            out.close_after_flush(conn);
            self.forget(conn, fault, now, out);
        }
    }

    fn forget(&mut self, conn: ConnId, fault: Fault, now: Time, out: &mut Outbox) {
        let Some(session) = self.sessions.remove(&conn) else { return };
        if let Some(fetch) = &mut self.fetch {
            self.downloaded += fetch.downloaded(conn, now).0;
            fetch.left(&session);
        }
        self.uploaded += self.serve.uploaded(conn, now).0;
        self.serve.left(conn, &mut self.sessions, now, out);
        let struck = fault.blame == Blame::Peer;
        if let Some(lost) = self.neighbours.lost(conn, struck, now)
            && self.is_complete()
            && session.has.is_full()
        {
            self.neighbours.put_off(lost.addr, BOTH_COMPLETE, now);
        }
        self.tell_gone(&session, fault, out);
        if let Some(fetch) = &mut self.fetch {
            self.sessions.values_mut().for_each(|session| fetch.fill(session, now, out));
        }
        self.check_sources();
    }

    /// Says once that nobody is left to take from.
    fn check_sources(&mut self) {
        if self.fetch.is_some() && self.sources() == 0 {
            self.happened.push(Happened::NoSource);
        }
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
        if let Some(fetch) = &mut self.fetch {
            fetch.tick(now);
            for session in self.sessions.values_mut().filter(|session| session.peer_id.is_some()) {
                fetch.review_interest(session, now, out);
                fetch.fill(session, now, out);
            }
        }
        self.serve.tick(&mut self.sessions, now, out);
        self.dial_due(now, out);
        self.tell_states(now, out);
    }

    fn look_after_sessions(&mut self, now: Time, out: &mut Outbox) {
        let mut ended = Vec::new();
        for session in self.sessions.values_mut() {
            if session.peer_id.is_none() && now.since(session.began) > HANDSHAKE {
                ended.push((session.conn, Fault::nobody("no handshake")));
                continue;
            }
            if now.since(session.heard) > SILENCE {
                ended.push((session.conn, Fault::nobody("silent for two minutes")));
                continue;
            }
            let waits = session.interested && session.choking && !session.is_lmk();
            let pause = if waits { KEEP_ALIVE_QUEUED } else { KEEP_ALIVE };
            if session.peer_id.is_some() && now.since(session.spoke) >= pause {
                session.say(Message::KeepAlive, now, out);
            }
        }
        for (conn, fault) in ended {
            self.end(conn, fault, now, out);
        }
    }

    /// Leaves: everyone is told, nobody is dialled any more.
    pub fn leave(&mut self, now: Time, out: &mut Outbox) {
        self.leaving = true;
        self.serve.close(&mut self.sessions, now, out);
    }

    /// Whether blocks that were asked of us are still on their way.
    pub fn busy(&self) -> bool {
        self.serve.busy()
    }
}
