//! Reads pieces of a file and says which of them are what the content says: for a target
//! that is there already, and for a part file of an earlier run. Holes are not read.

use crate::content::bitfield::Bitfield;
use crate::content::digest;
use crate::content::geometry::Piece;
use crate::content::metainfo::{Content, PieceHash};
use crate::core::id::{FileId, Hash32, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Outbox, Page};
use crate::core::limits::BLOCK_BYTES;
use crate::core::mark::mark;
use std::rc::Rc;

/// What is asked of the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    /// Where the next data is, at or after the start of a piece.
    Extent(Piece),
    Bytes(Piece),
}

#[derive(Debug)]
pub struct Check {
    content: Rc<Content>,
    file: FileId,
    /// What is still to be checked, the next one last.
    left: Vec<Piece>,
    asked: Option<(Ticket, Asked)>,
    page: Page,
    leaves: Vec<Hash32>,
    /// The stretch of data found last. What lies between the pieces that are done and its start is
    /// a hole.
    data: (u64, u64),
    /// The hash of a piece of zeros: what a hole must be to be good.
    zeros: Option<PieceHash>,
    contradiction: Option<Piece>,
    checked_bytes: u64,
    passed_bytes: u64,
    pub good: Bitfield,
}

impl Check {
    /// Begins to check the pieces `which` of `file`.
    pub fn start(content: Rc<Content>, file: FileId, which: &Bitfield, out: &mut Outbox) -> Check {
        let all = content.geometry.all_pieces().rev();
        let mut check = Check {
            good: Bitfield::new(content.geometry.pieces()),
            left: all.filter(|piece| which.get(piece.index())).collect(),
            file,
            asked: None,
            page: Page::new(),
            leaves: Vec::new(),
            data: (0, 0),
            zeros: None,
            contradiction: None,
            checked_bytes: 0,
            passed_bytes: 0,
            content,
        };
        check.go_on(out);
        check
    }

    /// Asks for the next piece that is not a hole.
    fn go_on(&mut self, out: &mut Outbox) {
        while let Some(piece) = self.left.pop() {
            let geometry = &self.content.geometry;
            let (offset, len) = (geometry.piece_offset(piece), geometry.piece_len(piece));
            let (file, (start, end)) = (self.file, self.data);
            if offset + u64::from(len) <= start && len == geometry.piece_length() {
                mark!("E26");
                self.passed_bytes += u64::from(len);
                self.judge_hole(piece);
                continue;
            }
            let (asked, op) = if offset < end {
                let mut page = std::mem::take(&mut self.page);
                page.resize(len as usize, 0);
                (Asked::Bytes(piece), FileOp::Read { file, offset, page })
            } else {
                (Asked::Extent(piece), FileOp::NextExtent { file, offset })
            };
            self.asked = Some((out.file(op), asked));
            return;
        }
    }

    pub fn file(&self) -> FileId {
        self.file
    }

    pub fn is_done(&self) -> bool {
        self.asked.is_none()
    }

    /// Bytes read so far.
    pub fn checked_bytes(&self) -> u64 {
        self.checked_bytes
    }

    /// Bytes that are done: read, or holes.
    pub fn passed_bytes(&self) -> u64 {
        self.passed_bytes
    }

    /// A file operation came back; hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        out: &mut Outbox,
    ) -> Result<Option<FileDone>, FileError> {
        let Some((_, asked)) = self.asked.take_if(|(ours, _)| *ours == ticket) else {
            return Ok(Some(done));
        };
        match (asked, done) {
            (Asked::Extent(piece), FileDone::Extent(found)) => self.got_extent(piece, found),
            (Asked::Bytes(piece), FileDone::Read { page, result }) => {
                let got = result? as usize;
                self.judge(piece, page.get(..got).unwrap_or_default());
                self.page = page;
            }
            _ => return Ok(None),
        }
        self.go_on(out);
        Ok(None)
    }

    fn got_extent(&mut self, piece: Piece, found: Result<Option<(u64, u64)>, FileError>) {
        let offset = self.content.geometry.piece_offset(piece);
        self.data = match found {
            Ok(Some((start, end))) if start >= offset && end > start => (start, end),
            // The last piece is read even so: it may be shorter than the hash of zeros is for.
            Ok(None) => (self.content.geometry.size(), u64::MAX),
            // Whoever does not know about holes has none.
            _ => (offset, u64::MAX),
        };
        self.left.push(piece);
    }

    fn judge(&mut self, piece: Piece, bytes: &[u8]) {
        let geometry = &self.content.geometry;
        let len = geometry.piece_len(piece);
        self.checked_bytes += u64::from(len);
        self.passed_bytes += u64::from(len);
        if bytes.len() != len as usize {
            return;
        }
        self.leaves.clear();
        if self.content.has_tree() {
            digest::leaves(bytes, &mut self.leaves);
        }
        let hash = self.content.piece_hash(piece, bytes, &self.leaves);
        self.compare(piece, hash);
        if self.good.get(piece.index()) && self.content.contradicts_itself(piece, bytes) {
            self.contradiction = Some(piece);
        }
    }

    fn judge_hole(&mut self, piece: Piece) {
        if self.zeros.is_none() {
            let zeros = vec![0; self.content.geometry.piece_length() as usize];
            let mut leaves = Vec::new();
            if self.content.has_tree() {
                digest::leaves(&[0; BLOCK_BYTES as usize], &mut leaves);
                leaves = leaves.repeat(zeros.len() / BLOCK_BYTES as usize);
            }
            self.zeros = self.content.piece_hash(piece, &zeros, &leaves);
        }
        self.compare(piece, self.zeros);
    }

    /// A piece that is right by one hash of the content and wrong by the other.
    pub fn contradiction(&self) -> Option<Piece> {
        self.contradiction
    }

    fn compare(&mut self, piece: Piece, hash: Option<PieceHash>) {
        if hash.is_some() && hash == self.content.expected(piece.index()) {
            self.good.set(piece.index());
        }
    }
}
