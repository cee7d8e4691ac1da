//! The fetching half of a peer: links to sources, the picker, the assembly of pieces and their way to
//! disk. It routes; picker and assembly decide.

mod assembly;
pub mod link;
pub mod picker;

use crate::content::bitfield::Bitfield;
use crate::content::geometry::{Block, Piece};
use crate::content::metainfo::Content;
use crate::core::fault::Fault;
use crate::core::id::{ConnId, FileId, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Outbox};
use crate::core::limits::REQUESTS_OUT_MAX;
use crate::core::report::State;
use crate::core::rng::Rng;
use crate::core::time::Time;
use crate::peer::Session;
use crate::wire::peer::{BlockRef, Message};
use crate::wire::peer_state::UploadState;
use assembly::{Assembly, Verdict};
use link::{Link, Receiving};
use picker::Picker;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Requests a source queues that does not say how many.
const REQUESTS_OUT_UNTOLD: usize = 128;
/// Blocks nobody asked for, and refusals without a choke, that one source may send: more than can be
/// on their way when a choke makes requests void.
const MISPLACED_MAX: u32 = 2 * REQUESTS_OUT_MAX as u32;

/// What the swarm must know or do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// A piece is proven and stands in the file.
    Stored(Piece),
    /// A piece did not match, and all of it came from this source.
    Lied(ConnId, Piece),
    /// A piece did not match; several sources sent parts of it.
    Broken(Piece),
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
    news: Vec<News>,
    /// Reused: blocks picked, and their requests as bytes.
    picked: Vec<Block>,
    requests: Vec<u8>,
}

impl Leecher {
    /// Fetches what is not in `proven` into `file`.
    pub fn new(content: Rc<Content>, file: FileId, proven: Bitfield, rng: &mut Rng) -> Leecher {
        let geometry = content.geometry;
        Leecher {
            content,
            file,
            picker: Picker::new(geometry, proven, rng),
            assembly: Assembly::new(geometry),
            links: BTreeMap::new(),
            writes: BTreeMap::new(),
            misplaced: BTreeMap::new(),
            news: Vec::new(),
            picked: Vec::new(),
            requests: Vec::new(),
        }
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

    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    pub fn joined(&mut self, conn: ConnId, now: Time) {
        self.links.insert(conn, Link::new(now));
    }

    pub fn left(&mut self, session: &Session) {
        if let Some(mut link) = self.links.remove(&session.conn) {
            self.forget_asked(session.conn, &mut link);
        }
        self.misplaced.remove(&session.conn);
        self.picker.lost_source(&session.has);
    }

    fn forget_asked(&mut self, conn: ConnId, link: &mut Link) {
        let receiving = link.receiving.take().filter(|r| r.wanted).map(|r| r.block);
        for block in link.asked.drain(..).chain(receiving) {
            self.picker.lost_block(conn, block);
        }
    }

    /// The source told of pieces: `before` is what it had told until now.
    pub fn got_pieces(
        &mut self,
        session: &mut Session,
        before: &Bitfield,
        now: Time,
        out: &mut Outbox,
    ) {
        self.picker.got_bitfield(before, &session.has);
        self.review_interest(session, now, out);
    }

    pub fn got_have(&mut self, session: &mut Session, piece: Piece, now: Time, out: &mut Outbox) {
        self.picker.got_have(piece.index());
        if !session.wanting && self.picker.lacks(piece) {
            session.say(Message::Interested, now, out);
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

    pub fn got_state(&mut self, conn: ConnId, told: UploadState) {
        if let Some(link) = self.links.get_mut(&conn) {
            link.got_state(told);
        }
    }

    pub fn got_unchoke(&mut self, conn: ConnId, now: Time) {
        if let Some(link) = self.links.get_mut(&conn) {
            link.got_unchoke();
            link.served = now;
        }
    }

    /// Without the fast extension a choke makes all requests void; with it each is refused by name.
    pub fn got_choke(&mut self, session: &Session) {
        let Some(mut link) = self.links.remove(&session.conn) else { return };
        link.got_choke();
        if !session.fast() {
            for block in std::mem::take(&mut link.asked) {
                self.picker.lost_block(session.conn, block);
            }
        }
        self.links.insert(session.conn, link);
    }

    pub fn got_reject(&mut self, conn: ConnId, refused: BlockRef) -> Result<(), Fault> {
        let block = self.content.geometry.block(refused.piece, refused.begin, refused.len)?;
        let Some(link) = self.links.get_mut(&conn) else { return Ok(()) };
        if link.answered(block) {
            self.picker.lost_block(conn, block);
        }
        // After a choke every request is refused: that is in order.
        if link.serves() { self.count_misplaced(conn) } else { Ok(()) }
    }

    fn count_misplaced(&mut self, conn: ConnId) -> Result<(), Fault> {
        let count = self.misplaced.entry(conn).or_default();
        *count += 1;
        match *count > MISPLACED_MAX {
            true => Err(Fault::peer("too many refusals or blocks that nobody asked for")),
            false => Ok(()),
        }
    }

    pub fn block_began(&mut self, conn: ConnId, block: Block) -> Result<(), Fault> {
        let Some(link) = self.links.get_mut(&conn) else { return Ok(()) };
        let answered = link.answered(block);
        // A block that was given up and comes after all is read past.
        let wanted = answered && self.picker.awaits(conn, block);
        link.receiving = Some(Receiving { block, filled: 0, wanted });
        if answered { Ok(()) } else { self.count_misplaced(conn) }
    }

    pub fn block_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Time) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        let Some(receiving) = &mut link.receiving else { return };
        link.meter.add(now, bytes.len() as u64);
        if receiving.wanted {
            self.assembly.fill(receiving.block, receiving.filled, bytes);
        }
        receiving.filled += bytes.len() as u32;
    }

    pub fn block_ended(&mut self, conn: ConnId, now: Time, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        link.served = now;
        link.silent = false;
        let Some(receiving) = link.receiving.take().filter(|r| r.wanted) else { return };
        let block = receiving.block;
        self.assembly.end_block(block, conn);
        if self.picker.got_block(block) {
            self.judge(block.piece(), out);
        }
    }

    fn judge(&mut self, piece: Piece, out: &mut Outbox) {
        let Some(v2) = &self.content.v2 else { return };
        match self.assembly.judge(piece, v2) {
            Verdict::Proven(page) => {
                let offset = self.content.geometry.piece_offset(piece);
                let ticket = out.file(FileOp::Write { file: self.file, offset, page });
                self.writes.insert(ticket, piece);
            }
            Verdict::Broken(senders) => {
                self.picker.got_broken(piece);
                self.news.push(match senders[..] {
                    [liar] => News::Lied(liar, piece),
                    _ => News::Broken(piece),
                });
            }
        }
    }

    /// A write of ours came back; hands back what is not ours.
    pub fn got_file(&mut self, ticket: Ticket, done: FileDone) -> Option<FileDone> {
        let Some(piece) = self.writes.remove(&ticket) else { return Some(done) };
        if let FileDone::Wrote { page, result } = done {
            self.assembly.give_back(page);
            match result {
                Ok(()) => {
                    self.picker.got_proven(piece);
                    self.news.push(News::Stored(piece));
                }
                Err(error) => {
                    self.picker.got_broken(piece);
                    self.news.push(News::DiskFailed(error));
                }
            }
        }
        None
    }

    /// Asks the source for as much as it should have on its way.
    pub fn fill(&mut self, session: &mut Session, now: Time, out: &mut Outbox) {
        let conn = session.conn;
        let Some(link) = self.links.get_mut(&conn) else { return };
        let depth = depth(session);
        // Requests leave in handfuls: one message for many is one read for the source.
        if !link.serves() || link.asked.len() > depth * 3 / 4 {
            return;
        }
        if link.asked.is_empty() {
            link.served = now;
        }
        self.picked.clear();
        let (n, room) = (depth - link.asked.len(), self.assembly.room());
        self.picker.next(conn, &session.has, n, room, &mut self.picked);
        self.requests.clear();
        for block in &self.picked {
            self.assembly.begin(block.piece());
            let (piece, begin) = (block.piece().index(), block.begin());
            let asked = BlockRef { piece, begin, len: self.content.geometry.block_len(*block) };
            self.requests.extend_from_slice(&Message::Request(asked).encode());
            link.asked.push_back(*block);
        }
        if !self.requests.is_empty() {
            out.send(conn, &self.requests);
            session.spoke = now;
        }
    }

    /// Lets go of what sources owe for too long.
    pub fn tick(&mut self, now: Time) {
        let overdue: Vec<ConnId> = self
            .links
            .iter()
            .filter(|(_, link)| link.overdue(now))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in overdue {
            let Some(mut link) = self.links.remove(&conn) else { continue };
            link.silent = true;
            // They stay asked of the source: should they come, they are no offence.
            link.asked.iter().for_each(|block| self.picker.lost_block(conn, *block));
            self.links.insert(conn, link);
        }
    }

    /// The state of a source towards us, if we converse.
    pub fn state(&self, conn: ConnId) -> Option<State> {
        self.links.get(&conn).map(Link::state)
    }

    /// Bytes of payload a source sent, and its rate in bytes a second.
    pub fn downloaded(&self, conn: ConnId, now: Time) -> (u64, u64) {
        let meter = self.links.get(&conn).map(|link| &link.meter);
        meter.map_or((0, 0), |meter| (meter.total, meter.rate(now)))
    }
}

/// Requests a source should have of us at a time.
fn depth(session: &Session) -> usize {
    let told = session.introduced.as_ref().and_then(|words| words.reqq);
    told.map_or(REQUESTS_OUT_UNTOLD, |reqq| (reqq as usize).clamp(1, REQUESTS_OUT_MAX))
}
