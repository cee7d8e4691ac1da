//! Whether this machine can be believed. When several peers fail one piece, either they lie, or our
//! memory or disk damages what they sent: a self-test says which. Nobody is struck meanwhile, and
//! nobody at all if it fails.

use super::neighbours::Origin;
use crate::content::digest;
use crate::content::geometry::Piece;
use crate::content::metainfo::Content;
use crate::core::id::{ConnId, FileId, Hash32, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Outbox};
use crate::core::time::{Span, Time};
use std::collections::VecDeque;

/// Different peers that must fail one piece before we doubt ourselves.
const PEERS: usize = 3;
/// Pieces of which it is remembered who failed them.
const PIECES_MAX: usize = 64;
/// Peers accused while a test runs that wait for its outcome.
const ACCUSED_MAX: usize = 256;
/// For so long a test that went well is not repeated.
const TRUST: Span = Span::secs(60);
/// Bytes hashed whose hash is known.
const KNOWN_BYTES: u32 = 1 << 20;
/// SHA-256 of the bytes that [`known_bytes`] gives.
const KNOWN: Hash32 = Hash32([
    0x9a, 0x05, 0x83, 0x39, 0x22, 0x93, 0x72, 0xb0, 0x3c, 0x3b, 0x56, 0x55, 0x38, 0x73, 0xe3, 0x68,
    0x1b, 0xb2, 0xec, 0x06, 0x8f, 0x7b, 0x9f, 0x08, 0xd7, 0xd6, 0xc9, 0xdd, 0x93, 0x15, 0x7c, 0xbd,
]);

/// A peer that sent wrong blocks of a piece, as far as we can tell.
pub type Accused = (ConnId, Piece);

/// What is to be done about one who is accused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The peers lied.
    Guilty(Vec<Accused>),
    /// It is being found out.
    Open,
    /// The machine damages what it is given: this piece, if it was one that was read again.
    Damaged(Option<Piece>),
    Unreadable(FileError),
}

#[derive(Debug, Default)]
pub struct Doubt {
    /// Who failed which pieces, the last ones first.
    failed: VecDeque<(Piece, Vec<Origin>)>,
    reading: Option<(Ticket, Piece)>,
    accused: Vec<Accused>,
    passed: Option<Time>,
}

impl Doubt {
    /// A peer, from `origin` if that is known, is accused. `stored` is a piece that was proven and
    /// stands in `file`, if there is one.
    pub fn accuse(
        &mut self,
        accused: Accused,
        origin: Option<Origin>,
        (content, file, stored): (&Content, FileId, Option<Piece>),
        now: Time,
        out: &mut Outbox,
    ) -> Verdict {
        if self.reading.is_some() && self.accused.len() < ACCUSED_MAX {
            self.accused.push(accused);
            return Verdict::Open;
        }
        let fails = self.failed_by(accused.1, origin);
        let tested = self.passed.is_some_and(|at| now.since(at) < TRUST);
        if fails < PEERS || tested || self.reading.is_some() {
            return Verdict::Guilty(vec![accused]);
        }
        self.failed.retain(|(piece, _)| *piece != accused.1);
        if !is_known_hash_right(digest::sha256) {
            crate::mark!("D17");
            return Verdict::Damaged(None);
        }
        let Some(piece) = stored else {
            self.passed = Some(now);
            return Verdict::Guilty(vec![accused]);
        };
        let page = vec![0; content.geometry.piece_len(piece) as usize];
        let offset = content.geometry.piece_offset(piece);
        self.reading = Some((out.file(FileOp::Read { file, offset, page }), piece));
        self.accused.push(accused);
        Verdict::Open
    }

    /// How many different peers failed a piece, this one included.
    fn failed_by(&mut self, piece: Piece, origin: Option<Origin>) -> usize {
        let at = self.failed.iter().position(|(failed, _)| *failed == piece);
        let known = at.and_then(|at| self.failed.remove(at));
        let (_, mut by) = known.unwrap_or((piece, Vec::new()));
        // Who cannot be told from others is nobody new.
        by.extend(origin.filter(|origin| !by.contains(origin) && by.len() < PEERS));
        let count = by.len();
        self.failed.truncate(PIECES_MAX - 1);
        self.failed.push_front((piece, by));
        count
    }

    /// File work came back; `Err` hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        content: &Content,
        now: Time,
    ) -> Result<Verdict, FileDone> {
        let Some((_, piece)) = self.reading.take_if(|(reading, _)| *reading == ticket) else {
            return Err(done);
        };
        let accused = std::mem::take(&mut self.accused);
        let FileDone::Read { page, result } = done else { return Ok(Verdict::Guilty(accused)) };
        crate::mark!("D17");
        Ok(match result {
            Err(error) => Verdict::Unreadable(error),
            Ok(_) if !is_as_proven(content, piece, &page) => Verdict::Damaged(Some(piece)),
            Ok(_) => {
                self.passed = Some(now);
                Verdict::Guilty(accused)
            }
        })
    }
}

fn is_as_proven(content: &Content, piece: Piece, page: &[u8]) -> bool {
    let mut leaves = Vec::new();
    digest::leaves(page, &mut leaves);
    let hash = content.piece_hash(piece, page, &leaves);
    hash.is_some() && hash == content.expected(piece.index())
}

fn known_bytes() -> Vec<u8> {
    (0..KNOWN_BYTES).map(|i| (i ^ i >> 8 ^ i >> 16) as u8).collect()
}

fn is_known_hash_right(hash: impl Fn(&[u8]) -> Hash32) -> bool {
    hash(&known_bytes()) == KNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_hashes_wrongly_fails_the_test() {
        assert!(is_known_hash_right(digest::sha256));
        let flips = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[777_777] ^= 4;
            digest::sha256(&bytes)
        };
        assert!(!is_known_hash_right(flips));
    }
}
