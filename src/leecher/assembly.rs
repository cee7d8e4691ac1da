//! Pieces being filled: pages of memory, one for each open piece, from a bounded stock. Each block
//! is hashed as it completes, while it is still warm; a whole piece is folded to one node and
//! compared with the proven tree before a byte of it goes to disk.

use crate::content::digest;
use crate::content::geometry::{Block, Geometry, Piece};
use crate::content::merkle::Shape;
use crate::content::metainfo::V2;
use crate::core::id::{ConnId, Hash32};
use crate::core::io::Page;
use crate::core::limits::{PAGES_BYTES_MAX, PAGES_MIN};
use std::collections::BTreeMap;

#[derive(Debug)]
struct Filling {
    page: Page,
    leaves: Vec<Hash32>,
    /// Who sent each block: whom to blame.
    from: Vec<Option<ConnId>>,
}

/// What became of a whole piece.
#[derive(Debug)]
pub enum Verdict {
    /// It is what the tree says: to be written.
    Proven(Page),
    /// It is not; these sent parts of it.
    Broken(Vec<ConnId>),
}

#[derive(Debug)]
pub struct Assembly {
    geometry: Geometry,
    filling: BTreeMap<Piece, Filling>,
    /// Pages that wait for use.
    spare: Vec<Page>,
    /// Pages that may exist, and those that do: filling, spare, or on their way to disk.
    pages_max: usize,
    pages: usize,
}

impl Assembly {
    pub fn new(geometry: Geometry) -> Assembly {
        let page_bytes = u64::from(geometry.piece_length()).max(1);
        let pages_max = (PAGES_BYTES_MAX / page_bytes).max(PAGES_MIN) as usize;
        Assembly { geometry, filling: BTreeMap::new(), spare: Vec::new(), pages_max, pages: 0 }
    }

    /// Pieces that may still be begun. A piece that did not match is begun again without asking;
    /// where its page is another's by then, there is one page more than planned, and no room.
    pub fn room(&self) -> usize {
        (self.pages_max + self.spare.len()).saturating_sub(self.pages)
    }

    /// Makes sure that the piece of `block` has a page.
    fn filling(&mut self, piece: Piece) -> &mut Filling {
        self.filling.entry(piece).or_insert_with(|| {
            let mut page = self.spare.pop().unwrap_or_else(|| {
                self.pages += 1;
                Page::new()
            });
            page.resize(self.geometry.piece_len(piece) as usize, 0);
            let blocks = self.geometry.blocks_in(piece) as usize;
            Filling { page, leaves: vec![Hash32([0; 32]); blocks], from: vec![None; blocks] }
        })
    }

    /// Opens a page for a piece that was begun.
    pub fn begin(&mut self, piece: Piece) {
        self.filling(piece);
    }

    /// Copies a part of a block to its place: the only copy of payload that is ours.
    pub fn fill(&mut self, block: Block, at: u32, bytes: &[u8]) {
        let Some(filling) = self.filling.get_mut(&block.piece()) else { return };
        let start = (block.begin() + at) as usize;
        if let Some(place) = filling.page.get_mut(start..start + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// A block is whole: its leaf is hashed.
    pub fn end_block(&mut self, block: Block, from: ConnId) {
        let len = self.geometry.block_len(block) as usize;
        let Some(filling) = self.filling.get_mut(&block.piece()) else { return };
        let (start, index) = (block.begin() as usize, block.index() as usize);
        if let (Some(bytes), Some(leaf)) =
            (filling.page.get(start..start + len), filling.leaves.get_mut(index))
        {
            *leaf = digest::sha256(bytes);
            filling.from[index] = Some(from);
        }
    }

    /// All blocks of the piece came: does it fold to its node of the proven tree?
    pub fn judge(&mut self, piece: Piece, v2: &V2) -> Verdict {
        let Some(filling) = self.filling.remove(&piece) else { return Verdict::Broken(Vec::new()) };
        let node = Shape::of(&self.geometry).map(|shape| shape.piece_node(&filling.leaves));
        if node.is_some() && node == v2.piece_node(&self.geometry, piece.index()) {
            return Verdict::Proven(filling.page);
        }
        self.spare.push(filling.page);
        let mut senders: Vec<ConnId> = filling.from.into_iter().flatten().collect();
        senders.sort_unstable();
        senders.dedup();
        Verdict::Broken(senders)
    }

    /// A page came back from the disk.
    pub fn give_back(&mut self, page: Page) {
        self.spare.push(page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_begun_again_beyond_the_stock_leave_no_room() {
        let geometry = Geometry::new(64 << 30, 16 << 20).unwrap();
        let mut assembly = Assembly::new(geometry);
        let room = assembly.room() as u32;
        for index in 0..room + 3 {
            assembly.begin(geometry.piece(index).unwrap());
        }
        assert_eq!(assembly.room(), 0);
        for _ in 0..3 {
            assembly.give_back(Page::new());
            assert_eq!(assembly.room(), 0);
        }
        assembly.give_back(Page::new());
        assert_eq!(assembly.room(), 1);
    }
}
