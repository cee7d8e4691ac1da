//! The fetching half of a peer: links to sources, the picker, the assembly of pieces and their way
//! to disk. It routes; picker and assembly decide.

mod asking;
mod assembly;
mod audit;
pub mod durable;
mod inquiry;
pub mod journal;
pub mod link;
mod pace;
pub mod picker;
mod receiving;
mod tail;

use crate::content::bitfield::Bitfield;
use crate::content::geometry::{Block, Piece};
use crate::content::metainfo::Content;
use crate::core::id::{ConnId, FileId, Ticket};
use crate::core::io::{FileError, Outbox};
use crate::core::meter::Meter;
use crate::core::report::State;
use crate::core::rng::Rng;
use crate::core::throttle::Throttle;
use crate::core::time::Time;
use crate::peer::Session;
use crate::wire::peer::Message;
use crate::wire::peer_state::UploadState;
use assembly::Assembly;
use inquiry::Inquiries;
use link::Link;
use picker::{Order, Picker};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What the swarm must know or do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// A piece is proven and stands in the file.
    Stored(Piece),
    /// This source sent wrong blocks of a piece: the leaves say so, or all of it came from there.
    Lied(ConnId, Piece),
    /// A piece did not match; several sources sent parts of it.
    Broken(Piece),
    /// A piece is right by one hash of the content and wrong by the other.
    Contradiction(Piece),
    DiskFailed(FileError),
}

#[derive(Debug)]
pub struct Leecher {
    content: Rc<Content>,
    file: FileId,
    picker: Picker,
    assembly: Assembly,
    links: BTreeMap<ConnId, Link>,
    /// Pieces on their way to disk.
    writes: BTreeMap<Ticket, Piece>,
    misplaced: BTreeMap<ConnId, u32>,
    /// Pieces that did not match.
    inquiries: Inquiries,
    /// Blocks that more than one source may send.
    contested: BTreeSet<Block>,
    /// Blocks that were asked of a second source at the end.
    asked_twice: u64,
    ticked: Time,
    news: Vec<News>,
    /// Nothing is asked for meanwhile.
    pub rests: bool,
    /// What is asked for a second.
    throttle: Throttle,
    /// Reused: blocks picked, and their requests as bytes.
    picked: Vec<Block>,
    requests: Vec<u8>,
}

impl Leecher {
    /// Fetches what is not in `proven` into `file`.
    pub fn new(content: Rc<Content>, file: FileId, proven: Bitfield, rng: &mut Rng) -> Leecher {
        let geometry = content.geometry.clone();
        Leecher {
            content,
            file,
            picker: Picker::new(geometry.clone(), proven, rng),
            assembly: Assembly::new(geometry),
            links: BTreeMap::new(),
            writes: BTreeMap::new(),
            misplaced: BTreeMap::new(),
            inquiries: Inquiries::default(),
            contested: BTreeSet::new(),
            asked_twice: 0,
            ticked: Time::ZERO,
            news: Vec::new(),
            rests: false,
            throttle: Throttle::default(),
            picked: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// In which order pieces are fetched.
    pub fn fetch_in(&mut self, order: Order) {
        self.picker.begin_in(order);
    }

    /// Whether the first piece may be any: a rare one takes longer to come, and until it is there
    /// we have nothing to give.
    pub fn begin_anywhere(&mut self, on: bool) {
        self.picker.begin_anywhere(on);
    }

    /// Fetches nothing but these pieces; said before there is a source.
    pub fn want_only(&mut self, wanted: Bitfield) {
        self.picker.want_only(wanted);
    }

    pub fn is_complete(&self) -> bool {
        self.picker.is_complete()
    }

    pub fn proven(&self) -> &Bitfield {
        self.picker.proven()
    }

    pub fn picker(&self) -> &Picker {
        &self.picker
    }

    /// Whether pieces are on their way to disk.
    pub fn writes(&self) -> bool {
        !self.writes.is_empty()
    }

    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    pub fn joined(&mut self, conn: ConnId, now: Time) {
        self.links.insert(conn, Link::new(now));
    }

    pub fn left(&mut self, session: &Session) {
        let counted = self.counts(session.conn);
        if let Some(link) = self.links.remove(&session.conn) {
            self.forget_asked(session.conn, &link);
        }
        self.inquiries.left(session.conn);
        self.misplaced.remove(&session.conn);
        if counted {
            self.picker.lost_source(&session.has);
        }
    }

    /// Whether the pieces of a source count for how rare they are.
    pub(super) fn counts(&self, conn: ConnId) -> bool {
        self.links.get(&conn).is_none_or(|link| link.counts)
    }

    /// The source told of pieces: `before` is what it had told until now.
    pub fn got_pieces(
        &mut self,
        session: &mut Session,
        before: &Bitfield,
        now: Time,
        out: &mut Outbox,
    ) {
        if self.counts(session.conn) {
            self.picker.got_bitfield(before, &session.has);
        }
        self.note_full(session);
        self.review_interest(session, now, out);
    }

    pub fn got_have(&mut self, session: &mut Session, piece: Piece, now: Time, out: &mut Outbox) {
        if self.counts(session.conn) {
            self.picker.got_have(piece.index());
        }
        self.note_full(session);
        if !session.wanting && self.picker.lacks(piece) {
            session.say(Message::Interested, now, out);
        }
    }

    fn note_full(&mut self, session: &Session) {
        if let Some(link) = self.links.get_mut(&session.conn) {
            link.full = session.has.is_full();
        }
    }

    /// Pieces are proven meanwhile: is the source still one?
    pub fn review_interest(&self, session: &mut Session, now: Time, out: &mut Outbox) {
        match (self.picker.wants(&session.has), session.wanting) {
            (true, false) => session.say(Message::Interested, now, out),
            (false, true) => session.say(Message::NotInterested, now, out),
            _ => {}
        }
    }

    pub fn got_state(&mut self, conn: ConnId, told: UploadState, now: Time) {
        if let Some(link) = self.links.get_mut(&conn) {
            link.got_state(told, now);
        }
    }

    pub fn got_unchoke(&mut self, conn: ConnId, now: Time) {
        if let Some(link) = self.links.get_mut(&conn) {
            link.got_unchoke(now);
        }
    }

    /// Sources that serve us.
    pub fn serving(&self) -> usize {
        self.links.values().filter(|link| link.state() == State::Connected).count()
    }

    /// Whether all sources let us wait for long: others may be better.
    pub fn waits_long(&self, wanted: impl Iterator<Item = ConnId>, now: Time) -> bool {
        let mut links = wanted.filter_map(|conn| self.links.get(&conn)).peekable();
        links.peek().is_some() && links.all(|link| link.waits_long(now))
    }

    /// The state of a source towards us, if we converse.
    pub fn state(&self, conn: ConnId) -> Option<State> {
        self.links.get(&conn).map(Link::state)
    }

    /// Bytes of payload a source sent, and whether a block came lately: else it snubs us.
    pub fn gives(&self, conn: ConnId, now: Time) -> (u64, bool) {
        let link = self.links.get(&conn);
        link.map_or((0, false), |link| (link.meter.total, link.gives(now)))
    }

    /// Bytes of payload a source sent, and when.
    pub fn meter(&self, conn: ConnId) -> Option<&Meter> {
        self.links.get(&conn).map(|link| &link.meter)
    }

    /// Bytes of payload a source sent, and its rate in bytes a second.
    pub fn downloaded(&self, conn: ConnId, now: Time) -> (u64, u64) {
        self.meter(conn).map_or((0, 0), |meter| (meter.total, meter.rate(now)))
    }
}
