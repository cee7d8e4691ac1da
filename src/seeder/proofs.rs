//! Answers to hash requests (BEP 52). Nodes of the piece layer are at hand; leaves are hashed again
//! from the file when they are asked for, one piece at a time, because nobody keeps 32 bytes for
//! every block of a large content.

use super::library::Library;
use crate::content::digest;
use crate::content::merkle::{self, Answer};
use crate::core::id::{ConnId, Hash32, Ticket};
use crate::core::io::{FileDone, FileOp, Outbox, Page};
use crate::core::limits::BLOCK_BYTES;
use crate::core::time::Time;
use crate::peer::{Session, Sessions};
use crate::wire::peer::{self, HashRange, Message};
use std::collections::{BTreeMap, VecDeque};

/// Requests that wait for leaves; more are refused.
const WAITING_MAX: usize = 64;

#[derive(Debug)]
struct Waiting {
    conn: ConnId,
    range: HashRange,
    /// Leaves read so far, by piece.
    leaves: BTreeMap<u32, Vec<Hash32>>,
}

#[derive(Debug, Default)]
pub struct Proofs {
    waiting: VecDeque<Waiting>,
    /// The read that is out, and the piece it is of.
    reading: Option<(Ticket, u32)>,
    page: Page,
}

impl Proofs {
    pub fn left(&mut self, conn: ConnId) {
        self.waiting.retain(|waiting| waiting.conn != conn);
    }

    pub fn asked(
        &mut self,
        session: &mut Session,
        range: HashRange,
        library: &Library,
        now: Time,
        out: &mut Outbox,
    ) {
        let waiting = Waiting { conn: session.conn, range, leaves: BTreeMap::new() };
        match compose(&waiting, library) {
            Answer::Hashes(hashes) => send(session, range, &hashes, now, out),
            Answer::NeedLeaves(_) if self.waiting.len() < WAITING_MAX => {
                self.waiting.push_back(waiting);
                self.read_next(library, out);
            }
            _ => session.say(Message::HashReject(range), now, out),
        }
    }

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
        let got = result.unwrap_or(0) as usize;
        if let Some(first) = self.waiting.front_mut() {
            let whole = got == library.content().geometry.piece_len(piece) as usize;
            let data = page.get(..got).unwrap_or_default();
            let leaves = data.chunks(BLOCK_BYTES as usize).map(digest::sha256).collect();
            first.leaves.insert(piece, if whole { leaves } else { Vec::new() });
        }
        self.page = page;
        self.answer_first(library, sessions, now, out);
        self.read_next(library, out);
        None
    }

    fn answer_first(
        &mut self,
        library: &Library,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(first) = self.waiting.front() else { return };
        let answer = compose(first, library);
        if matches!(answer, Answer::NeedLeaves(_)) {
            return;
        }
        if let Some(session) = sessions.get_mut(&first.conn) {
            match answer {
                Answer::Hashes(hashes) => send(session, first.range, &hashes, now, out),
                _ => session.say(Message::HashReject(first.range), now, out),
            }
        }
        self.waiting.pop_front();
    }

    /// Reads the next piece that the first waiting request needs.
    fn read_next(&mut self, library: &Library, out: &mut Outbox) {
        if self.reading.is_some() {
            return;
        }
        let Some(first) = self.waiting.front() else { return };
        let Answer::NeedLeaves(needed) = compose(first, library) else { return };
        let Some(piece) = needed.into_iter().next() else { return };
        let geometry = library.content().geometry;
        let mut page = std::mem::take(&mut self.page);
        page.resize(geometry.piece_len(piece) as usize, 0);
        let offset = geometry.piece_offset(piece);
        let ticket = out.file(FileOp::Read { file: library.file(), offset, page });
        self.reading = Some((ticket, piece));
    }
}

/// The answer as far as it can be made from the content and the leaves read so far. Pieces we have
/// not proven have no leaves to give.
fn compose(waiting: &Waiting, library: &Library) -> Answer {
    let Some(v2) = &library.content().v2 else { return Answer::Reject };
    let leaves_of = |piece: u32| waiting.leaves.get(&piece).cloned();
    let answer = merkle::answer(waiting.range, &library.content().geometry, v2, leaves_of);
    match &answer {
        Answer::NeedLeaves(pieces) if pieces.iter().any(|p| !library.have().get(*p)) => {
            Answer::Reject
        }
        _ => answer,
    }
}

fn send(session: &mut Session, range: HashRange, hashes: &[Hash32], now: Time, out: &mut Outbox) {
    out.send(session.conn, &peer::hashes_head(range, hashes.len() as u32));
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
    out.send(session.conn, &bytes);
    session.spoke = now;
}
