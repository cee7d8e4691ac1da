//! Reads pieces of a file and says which of them are what the content's tree says: for a target
//! that is there already, and for a part file of an earlier run.

use crate::content::bitfield::Bitfield;
use crate::content::digest;
use crate::content::geometry::Piece;
use crate::content::merkle::Shape;
use crate::content::metainfo::Content;
use crate::core::id::{FileId, Hash32, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Outbox, Page};
use std::rc::Rc;

#[derive(Debug)]
pub struct Check {
    content: Rc<Content>,
    file: FileId,
    /// What is still to be read, the next one last.
    left: Vec<Piece>,
    reading: Option<(Ticket, Piece)>,
    page: Page,
    leaves: Vec<Hash32>,
    checked_bytes: u64,
    pub good: Bitfield,
}

impl Check {
    /// Begins to read the pieces `which` of `file`.
    pub fn start(content: Rc<Content>, file: FileId, which: &Bitfield, out: &mut Outbox) -> Check {
        let good = Bitfield::new(content.geometry.pieces());
        let all = content.geometry.all_pieces().rev();
        let left = all.filter(|piece| which.get(piece.index())).collect();
        let (page, leaves) = (Page::new(), Vec::new());
        let mut check =
            Check { content, file, left, reading: None, page, leaves, checked_bytes: 0, good };
        check.read_next(out);
        check
    }

    fn read_next(&mut self, out: &mut Outbox) {
        let Some(piece) = self.left.pop() else { return };
        let geometry = &self.content.geometry;
        let mut page = std::mem::take(&mut self.page);
        page.resize(geometry.piece_len(piece) as usize, 0);
        let (file, offset) = (self.file, geometry.piece_offset(piece));
        self.reading = Some((out.file(FileOp::Read { file, offset, page }), piece));
    }

    pub fn is_done(&self) -> bool {
        self.reading.is_none()
    }

    /// Bytes read so far.
    pub fn checked_bytes(&self) -> u64 {
        self.checked_bytes
    }

    /// A read came back; hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        out: &mut Outbox,
    ) -> Result<Option<FileDone>, FileError> {
        let Some((_, piece)) = self.reading.take_if(|(reading, _)| *reading == ticket) else {
            return Ok(Some(done));
        };
        let FileDone::Read { page, result } = done else { return Ok(None) };
        let got = result? as usize;
        let geometry = &self.content.geometry;
        self.checked_bytes += u64::from(geometry.piece_len(piece));
        if got == geometry.piece_len(piece) as usize {
            self.leaves.clear();
            digest::leaves(page.get(..got).unwrap_or_default(), &mut self.leaves);
            let node = Shape::of(geometry).map(|shape| shape.piece_node(&self.leaves));
            let v2 = self.content.v2.as_ref();
            if node.is_some() && node == v2.and_then(|v2| v2.piece_node(geometry, piece.index())) {
                self.good.set(piece.index());
            }
        }
        self.page = page;
        self.read_next(out);
        Ok(None)
    }
}
