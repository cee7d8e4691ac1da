//! Answers to hash requests (BEP 52). The tree from the piece layer up is kept; leaves are hashed
//! again from the file when they are asked for, one piece at a time, because nobody keeps 32 bytes
//! for every block of a large content.

use super::library::Library;
use crate::content::digest;
use crate::content::proof::{HashRange, Tree};
use crate::core::id::{ConnId, Hash32, Ticket};
use crate::core::io::{FileDone, FileOp, Outbox, Page};
use crate::core::mark::mark;
use crate::core::time::Time;
use crate::peer::{Session, Sessions};
use crate::wire::peer::{self, Message};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Requests that wait for leaves; more are refused.
const WAITING_MAX: usize = 64;

#[derive(Debug)]
struct Waiting {
    conn: ConnId,
    asked: peer::HashRange,
    range: HashRange,
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
    tree: Option<Tree>,
    waiting: VecDeque<Waiting>,
    /// The read that is out, and the piece it is of.
    reading: Option<(Ticket, u32)>,
    page: Page,
}

impl Proofs {
    pub fn new(library: &Library) -> Proofs {
        Proofs {
            tree: library.content().tree(),
            waiting: VecDeque::new(),
            reading: None,
            page: Page::new(),
        }
    }

    pub fn left(&mut self, conn: ConnId) {
        self.waiting.retain(|waiting| waiting.conn != conn);
    }

    /// A request: refused if it is not of our tree, or needs leaves of a piece we have not proven.
    pub fn asked(
        &mut self,
        session: &mut Session,
        asked: peer::HashRange,
        library: &Library,
        now: Time,
        out: &mut Outbox,
    ) {
        let peer::HashRange { root, base, index, length, proof } = asked;
        let range = HashRange { base, index, length, proof };
        let ours = library.content().v2.as_ref().is_some_and(|v2| v2.root == root);
        let needs = self.tree.as_ref().filter(|_| ours).and_then(|tree| tree.needs(&range));
        match needs {
            Some(needs)
                if self.waiting.len() < WAITING_MAX
                    && !session.is_crowded()
                    && needs.clone().all(|piece| library.offered().get(piece)) =>
            {
                let (conn, leaves) = (session.conn, BTreeMap::new());
                let waiting = Waiting { conn, asked, range, needs, leaves };
                if waiting.next_piece().is_none() {
                    self.answer(session, &waiting, now, out);
                } else {
                    self.waiting.push_back(waiting);
                    self.read_next(library, out);
                }
            }
            _ => {
                mark!("D29");
                session.say(Message::HashReject(asked), now, out);
            }
        }
    }

    /// A read came back; hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        library: &Library,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) -> Option<FileDone> {
        let Some((_, piece)) = self.reading.take_if(|(reading, _)| *reading == ticket) else {
            return Some(done);
        };
        let FileDone::Read { page, result } = done else { return None };
        if let Some(first) = self.waiting.front_mut() {
            // A short read gives too few leaves, which the tree refuses.
            let got = page.get(..result.unwrap_or(0) as usize).unwrap_or_default();
            let mut leaves = Vec::new();
            digest::leaves(got, &mut leaves);
            first.leaves.insert(piece, leaves);
        }
        self.page = page;
        if let Some(first) = self.waiting.pop_front_if(|first| first.next_piece().is_none())
            && let Some(session) = sessions.get_mut(&first.conn)
        {
            self.answer(session, &first, now, out);
        }
        self.read_next(library, out);
        None
    }

    fn answer(&self, session: &mut Session, waiting: &Waiting, now: Time, out: &mut Outbox) {
        let leaves_of = |piece: u32| waiting.leaves.get(&piece).cloned();
        let hashes = self.tree.as_ref().and_then(|tree| tree.answer(&waiting.range, leaves_of));
        let Some(hashes) = hashes else {
            return session.say(Message::HashReject(waiting.asked), now, out);
        };
        session.send(&peer::hashes_head(waiting.asked, hashes.len() as u32), now, out);
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        session.send(&bytes, now, out);
    }

    /// Reads the next piece that the first waiting request needs.
    fn read_next(&mut self, library: &Library, out: &mut Outbox) {
        if self.reading.is_some() {
            return;
        }
        let Some(index) = self.waiting.front().and_then(Waiting::next_piece) else { return };
        let geometry = library.content().geometry;
        let Some(piece) = geometry.piece(index) else { return };
        let mut page = std::mem::take(&mut self.page);
        page.resize(geometry.piece_len(piece) as usize, 0);
        let offset = geometry.piece_offset(piece);
        let ticket = out.file(FileOp::Read { file: library.file(), offset, page });
        self.reading = Some((ticket, index));
    }
}
