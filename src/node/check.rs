//! Reads a file piece by piece and says which pieces are what the content's tree says: for a target
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
    next: u32,
    reading: Option<(Ticket, Piece)>,
    page: Page,
    leaves: Vec<Hash32>,
    pub good: Bitfield,
}

impl Check {
    /// Begins to read `file`, of which `len` bytes exist.
    pub fn start(content: Rc<Content>, file: FileId, out: &mut Outbox) -> Check {
        let good = Bitfield::new(content.geometry.pieces());
        let (page, leaves) = (Page::new(), Vec::new());
        let mut check = Check { content, file, next: 0, reading: None, page, leaves, good };
        check.read_next(out);
        check
    }

    fn read_next(&mut self, out: &mut Outbox) {
        let geometry = &self.content.geometry;
        let Some(piece) = geometry.piece(self.next) else { return };
        self.next += 1;
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
        let done = u64::from(self.next.saturating_sub(u32::from(self.reading.is_some())));
        (done * u64::from(self.content.geometry.piece_length())).min(self.content.geometry.size())
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
