//! Answers to hash requests (BEP 52). The tree from the piece layer up is kept; leaves are hashed
//! again from the file when they are asked for, one piece at a time, because nobody keeps 32 bytes
//! for every block of a large content. A few bytes can ask for many that must be read and hashed:
//! connections take turns, piece by piece, and those who hold no slot share so much a second.

use super::library::Library;
use super::slots::Slots;
use crate::content::digest;
use crate::content::proof::{HashRange, Tree};
use crate::core::id::{ConnId, Hash32, Ticket};
use crate::core::io::{FileDone, FileOp, Outbox, Page};
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use crate::peer::{Session, Sessions};
use crate::wire::peer::{self, Message};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;

/// Requests of one connection that wait for leaves; more are refused.
pub const WAITING_MAX: usize = 2;
/// Trees kept ready: of small files they are made again soon, of large ones there are not so many.
const TREES_MAX: usize = 4096;
/// Of equal files so many are looked at for one whose pieces we have.
const EQUAL_FILES_MAX: usize = 16;
/// So much is read and hashed in a second for all who hold no slot, ...
const SLOTLESS_BYTES_PER_S: u64 = 16 * 1024 * 1024;
/// ... and for all who hold one, who have better ways to make us work.
const SERVED_BYTES_PER_S: u64 = 64 * 1024 * 1024;
/// What is read at once is earned within this time; longer than a tick.
const AHEAD: Span = Span::ms(500);

/// Bytes that may be read, by the second.
#[derive(Debug)]
struct Budget {
    bytes_per_s: u64,
    /// When all that was spent is earned again.
    even: Time,
}

impl Budget {
    fn new(bytes_per_s: u64) -> Budget {
        Budget { bytes_per_s, even: Time::ZERO }
    }

    /// A piece may be longer than all that is earned ahead: it is paid off before the next one.
    fn is_there(&self, now: Time) -> bool {
        self.even <= now + AHEAD
    }

    fn spend(&mut self, bytes: u64, now: Time) {
        let span = Span(bytes.saturating_mul(1_000_000_000) / self.bytes_per_s);
        self.even = self.even.max(now) + span;
    }
}

#[derive(Debug)]
struct Waiting {
    asked: peer::HashRange,
    range: HashRange,
    tree: Rc<Tree>,
    /// The first piece of the file that the answer is made from.
    first: u32,
    /// Pieces whose leaves the answer needs, and those read so far.
    needs: Range<u32>,
    leaves: BTreeMap<u32, Vec<Hash32>>,
}

impl Waiting {
    /// The next piece to read.
    fn next_piece(&self) -> Option<u32> {
        self.needs.clone().find(|piece| !self.leaves.contains_key(piece))
    }
}

#[derive(Debug)]
pub struct Proofs {
    /// Trees that were asked for, by their roots.
    trees: BTreeMap<Hash32, Rc<Tree>>,
    waiting: BTreeMap<ConnId, VecDeque<Waiting>>,
    /// Those for whom something waits, the next one first.
    turns: VecDeque<ConnId>,
    /// The read that is out, for whom, and the piece it is of.
    reading: Option<(Ticket, ConnId, u32)>,
    page: Page,
    slotless: Budget,
    served: Budget,
}

impl Proofs {
    pub fn new() -> Proofs {
        Proofs {
            trees: BTreeMap::new(),
            waiting: BTreeMap::new(),
            turns: VecDeque::new(),
            reading: None,
            page: Page::new(),
            slotless: Budget::new(SLOTLESS_BYTES_PER_S),
            served: Budget::new(SERVED_BYTES_PER_S),
        }
    }

    pub fn left(&mut self, conn: ConnId) {
        self.waiting.remove(&conn);
        self.turns.retain(|waits| *waits != conn);
    }

    /// A request: refused if it is not of our tree, or needs leaves of a piece we have not proven.
    pub fn asked(
        &mut self,
        session: &mut Session,
        asked: peer::HashRange,
        (library, slots): (&Library, &Slots),
        now: Time,
        out: &mut Outbox,
    ) {
        match self.plan(asked, library) {
            Some(waiting)
                if self.waiting.get(&session.conn).map_or(0, VecDeque::len) < WAITING_MAX
                    && !session.is_crowded() =>
            {
                let conn = session.conn;
                if waiting.next_piece().is_none() {
                    self.answer(session, &waiting, now, out);
                } else {
                    if !self.waiting.contains_key(&conn) {
                        self.turns.push_back(conn);
                    }
                    self.waiting.entry(conn).or_default().push_back(waiting);
                    self.read_next(library, slots, now, out);
                }
            }
            _ => {
                mark!("D29");
                session.say(Message::HashReject(asked), now, out);
            }
        }
    }

    /// What an answer takes, from a file of that root of which we have what must be read.
    fn plan(&mut self, asked: peer::HashRange, library: &Library) -> Option<Waiting> {
        let peer::HashRange { root, base, index, length, proof } = asked;
        let range = HashRange { base, index, length, proof };
        let trees = library.content().trees()?;
        let mut files = trees.of_root(root).take(EQUAL_FILES_MAX).peekable();
        let tree = match self.trees.get(&root) {
            Some(tree) => Rc::clone(tree),
            None => {
                let tree = Rc::new(trees.tree(files.peek()?)?);
                if self.trees.len() >= TREES_MAX {
                    self.trees.clear();
                }
                self.trees.insert(root, Rc::clone(&tree));
                tree
            }
        };
        let needs = tree.needs(&range)?;
        let offered = library.offered();
        let file = files.find(|file| needs.clone().all(|at| offered.get(file.first + at)))?;
        let (first, leaves) = (file.first, BTreeMap::new());
        let needs = first + needs.start..first + needs.end;
        Some(Waiting { asked, range, tree, first, needs, leaves })
    }

    /// A read came back; hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        (library, slots): (&Library, &Slots),
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) -> Option<FileDone> {
        let ours = self.reading.take_if(|(reading, ..)| *reading == ticket);
        let Some((_, conn, piece)) = ours else { return Some(done) };
        let FileDone::Read { page, result } = done else { return None };
        if let Some(first) = self.waiting.get_mut(&conn).and_then(VecDeque::front_mut)
            && first.needs.contains(&piece)
        {
            // A short read gives too few leaves, which the tree refuses.
            let got = page.get(..result.unwrap_or(0) as usize).unwrap_or_default();
            let mut leaves = Vec::new();
            digest::leaves(got, &mut leaves);
            first.leaves.insert(piece, leaves);
        }
        self.page = page;
        if let Some(first) = self.take_ready(conn)
            && let Some(session) = sessions.get_mut(&conn)
        {
            self.answer(session, &first, now, out);
        }
        self.read_next(library, slots, now, out);
        None
    }

    /// The first request of a connection, if all its leaves are there.
    fn take_ready(&mut self, conn: ConnId) -> Option<Waiting> {
        let waiting = self.waiting.get_mut(&conn)?;
        let ready = waiting.pop_front_if(|first| first.next_piece().is_none());
        if waiting.is_empty() {
            self.left(conn);
        }
        ready
    }

    fn answer(&self, session: &mut Session, waiting: &Waiting, now: Time, out: &mut Outbox) {
        let leaves_of = |piece: u32| waiting.leaves.get(&(waiting.first + piece)).cloned();
        let hashes = waiting.tree.answer(&waiting.range, leaves_of);
        let Some(hashes) = hashes else {
            return session.say(Message::HashReject(waiting.asked), now, out);
        };
        session.send(&peer::hashes_head(waiting.asked, hashes.len() as u32), now, out);
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        session.send(&bytes, now, out);
    }

    /// Reads the next piece for the one whose turn it is, and for whom something may be read now.
    pub fn read_next(&mut self, library: &Library, slots: &Slots, now: Time, out: &mut Outbox) {
        if self.reading.is_some() {
            return;
        }
        let (slotless, served) = (self.slotless.is_there(now), self.served.is_there(now));
        let may = |conn: &ConnId| if slots.is_active(*conn) { served } else { slotless };
        let Some(turn) = self.turns.iter().position(may) else { return };
        let Some(conn) = self.turns.remove(turn) else { return };
        self.turns.push_back(conn);
        let first = self.waiting.get(&conn).and_then(VecDeque::front);
        let Some(index) = first.and_then(Waiting::next_piece) else { return };
        let geometry = &library.content().geometry;
        let Some(piece) = geometry.piece(index) else { return };
        let mut page = std::mem::take(&mut self.page);
        page.resize(geometry.piece_len(piece) as usize, 0);
        let budget = if slots.is_active(conn) { &mut self.served } else { &mut self.slotless };
        budget.spend(page.len() as u64, now);
        let offset = geometry.piece_offset(piece);
        let ticket = out.file(FileOp::Read { file: library.file(), offset, page });
        self.reading = Some((ticket, conn, index));
    }
}
