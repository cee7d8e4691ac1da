//! Pieces being filled: a page of memory for each, from its first byte on, within a bound. Each
//! block is hashed as it completes, while it is still warm; a whole piece is folded to one node and
//! compared with what the content says before a byte of it goes to disk.

use crate::content::digest;
use crate::content::geometry::{Block, Geometry, Piece};
use crate::content::metainfo::Content;
use crate::core::id::{ConnId, Hash32};
use crate::core::io::Page;
use crate::core::limits::{PAGES_BYTES_MAX, PAGES_MIN};
use std::collections::BTreeMap;

/// A piece in memory.
#[derive(Debug)]
pub struct Filling {
    /// Empty until the first byte of the piece comes.
    pub page: Page,
    pub evidence: Evidence,
}

/// What is known of the blocks of one piece.
#[derive(Debug)]
pub struct Evidence {
    pub leaves: Vec<Hash32>,
    /// Who sent each block: whom to blame.
    from: Vec<Option<ConnId>>,
}

impl Evidence {
    /// Who sent parts of it, each once.
    pub fn senders(&self) -> Vec<ConnId> {
        let mut senders: Vec<ConnId> = self.from.iter().flatten().copied().collect();
        senders.sort_unstable();
        senders.dedup();
        senders
    }

    pub fn is_from(&self, conn: ConnId) -> bool {
        self.from.contains(&Some(conn))
    }

    /// The blocks whose leaves are not `leaves`, and who sent them.
    pub fn differing(&self, leaves: &[Hash32]) -> Vec<(u32, Option<ConnId>)> {
        let blocks = (0..).zip(self.leaves.iter().zip(&self.from));
        blocks
            .filter(|(index, (leaf, _))| leaves.get(*index as usize) != Some(leaf))
            .map(|(index, (_, from))| (index, *from))
            .collect()
    }
}

/// What became of a whole piece.
#[derive(Debug)]
pub enum Verdict {
    /// It is what the tree says: to be written.
    Proven(Filling),
    /// It is not.
    Broken(Filling),
}

#[derive(Debug)]
pub struct Assembly {
    geometry: Geometry,
    filling: BTreeMap<Piece, Filling>,
    /// Pages that wait for use. The one that came last is taken first: it is still in the cache.
    spare: Vec<Page>,
    /// Pieces that may have a page or the promise of one, and those that do: begun, in dispute, or
    /// on their way to disk.
    pages_max: usize,
    promised: usize,
}

impl Assembly {
    pub fn new(geometry: Geometry) -> Assembly {
        let (filling, spare) = (BTreeMap::new(), Vec::new());
        let mut assembly = Assembly { geometry, filling, spare, pages_max: 0, promised: 0 };
        assembly.hold(PAGES_BYTES_MAX);
        assembly
    }

    /// Holds no more than so many bytes, but a few pieces in any case; said before any is begun.
    pub fn hold(&mut self, pages_bytes: u64) {
        let page_bytes = u64::from(self.geometry.piece_length()).max(1);
        self.pages_max = (pages_bytes / page_bytes).max(PAGES_MIN) as usize;
    }

    /// Pieces that may still be begun; none while more are promised than planned, as a piece that
    /// lost its page is begun again without asking.
    pub fn room(&self) -> usize {
        self.pages_max.saturating_sub(self.promised)
    }

    /// Pages there are at most: of pieces, promised to them, and spare.
    pub fn pages(&self) -> usize {
        self.promised + self.spare.len()
    }

    /// Promises a page to a piece that was begun. It takes one with its first byte: what is asked
    /// for far ahead costs no memory, and a few pages that stay in the cache serve for all.
    pub fn begin(&mut self, piece: Piece) {
        self.filling.entry(piece).or_insert_with(|| {
            self.promised += 1;
            let blocks = self.geometry.blocks_in(piece) as usize;
            let leaves = vec![Hash32([0; 32]); blocks];
            let evidence = Evidence { leaves, from: vec![None; blocks] };
            Filling { page: Page::new(), evidence }
        });
    }

    /// Copies a part of a block to its place: the only copy of payload that is ours.
    pub fn fill(&mut self, block: Block, at: u32, bytes: &[u8]) {
        let Some(filling) = self.filling.get_mut(&block.piece()) else { return };
        if filling.page.is_empty() {
            filling.page = self.spare.pop().unwrap_or_default();
            filling.page.resize(self.geometry.piece_len(block.piece()) as usize, 0);
        }
        let start = (block.begin() + at) as usize;
        if let Some(place) = filling.page.get_mut(start..start + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// The first `bytes` of a block that is coming in.
    pub fn begun(&self, block: Block, bytes: u32) -> &[u8] {
        let start = block.begin() as usize;
        let page = self.filling.get(&block.piece()).map(|filling| &filling.page);
        page.and_then(|page| page.get(start..start + bytes as usize)).unwrap_or_default()
    }

    /// A block is whole: its leaf is hashed.
    pub fn end_block(&mut self, block: Block, from: ConnId) {
        let len = self.geometry.block_len(block) as usize;
        let Some(filling) = self.filling.get_mut(&block.piece()) else { return };
        let (start, index) = (block.begin() as usize, block.index() as usize);
        let evidence = &mut filling.evidence;
        if let (Some(bytes), Some(leaf), Some(sender)) = (
            filling.page.get(start..start + len),
            evidence.leaves.get_mut(index),
            evidence.from.get_mut(index),
        ) {
            (*leaf, *sender) = (digest::sha256(bytes), Some(from));
        }
    }

    /// All blocks of the piece came: is it what the content says? `None` if it is not being filled.
    pub fn judge(&mut self, piece: Piece, content: &Content) -> Option<Verdict> {
        let filling = self.filling.remove(&piece)?;
        let hash = content.piece_hash(piece, &filling.page, &filling.evidence.leaves);
        let proven = hash.is_some() && hash == content.expected(piece.index());
        Some(if proven { Verdict::Proven(filling) } else { Verdict::Broken(filling) })
    }

    /// A piece that did not match is filled further: some of its blocks are good.
    pub fn resume(&mut self, piece: Piece, filling: Filling) {
        self.filling.insert(piece, filling);
    }

    /// Nothing of it is of use any more; what is known of its blocks is handed back.
    pub fn discard(&mut self, filling: Filling) -> Evidence {
        self.give_back(filling.page);
        filling.evidence
    }

    /// A page came back from the disk.
    pub fn give_back(&mut self, page: Page) {
        self.promised = self.promised.saturating_sub(1);
        if page.capacity() > 0 {
            self.spare.push(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::metainfo::V2;
    use crate::core::rng::Rng;

    /// Whatever becomes of pieces, no page is lost or made twice.
    #[test]
    fn pages_return_to_the_stock_whatever_becomes_of_their_pieces() {
        let seed = 0xa55e;
        let mut rng = Rng::new(seed);
        let geometry = Geometry::new(40 << 18, 1 << 18).unwrap();
        let root = Hash32([1; 32]);
        let v2 = V2::write(b"x", &geometry, root, &[root; 40]).unwrap();
        let content = Content::from_info(&v2.info, None).unwrap();
        let content = Content { v2: Some(v2), ..content };
        let mut assembly = Assembly::new(geometry.clone());
        let (all, mut open, mut kept) = (assembly.room(), Vec::new(), Vec::new());
        for step in 0..2_000 {
            let piece = geometry.piece(rng.below(40) as u32).unwrap();
            match rng.below(4) {
                0 | 1 if !open.contains(&piece) && kept.iter().all(|(of, _)| *of != piece) => {
                    assembly.begin(piece);
                    assembly.begin(piece);
                    open.push(piece);
                }
                2 if !open.is_empty() => {
                    let piece = open.swap_remove(0);
                    let Some(Verdict::Broken(filling)) = assembly.judge(piece, &content) else {
                        panic!("seed {seed:#x} step {step}: not broken");
                    };
                    kept.push((piece, filling));
                }
                3 if !kept.is_empty() => {
                    let (piece, filling) = kept.swap_remove(0);
                    if rng.chance(500) {
                        assembly.resume(piece, filling);
                        open.push(piece);
                    } else {
                        assembly.discard(filling);
                    }
                }
                _ => {}
            }
            let used = open.len() + kept.len();
            assert_eq!(assembly.room(), all - used, "seed {seed:#x} step {step}");
        }
    }

    #[test]
    fn pieces_begun_beyond_the_stock_leave_no_room() {
        let geometry = Geometry::new(64 << 30, 16 << 20).unwrap();
        let mut assembly = Assembly::new(geometry.clone());
        let room = assembly.room() as u32;
        for index in 0..room + 3 {
            assembly.begin(geometry.piece(index).unwrap());
        }
        for _ in 0..3 {
            assert_eq!(assembly.room(), 0);
            assembly.give_back(Page::new());
        }
        assert_eq!(assembly.room(), 0);
        assembly.give_back(Page::new());
        assert_eq!(assembly.room(), 1);
    }

    #[test]
    fn a_piece_takes_a_page_with_its_first_byte_and_one_that_was_used_before() {
        let geometry = Geometry::new(8 << 18, 1 << 18).unwrap();
        let mut assembly = Assembly::new(geometry.clone());
        let pieces: Vec<Piece> = geometry.all_pieces().collect();
        pieces.iter().for_each(|piece| assembly.begin(*piece));
        assert!(assembly.filling.values().all(|filling| filling.page.capacity() == 0));
        assembly.give_back(vec![7; 1 << 18]);
        assembly.fill(geometry.block_at(pieces[3], 1).unwrap(), 0, &[1, 2]);
        assert!(assembly.spare.is_empty(), "a page that waits is used first");
        let taken = |filling: &&Filling| filling.page.capacity() > 0;
        assert_eq!(assembly.filling.values().filter(taken).count(), 1);
    }

    #[test]
    fn only_blocks_whose_leaves_differ_are_accused() {
        let conn = |slot| Some(ConnId { slot, generation: 0 });
        let leaf = |n: u8| Hash32([n; 32]);
        let evidence = Evidence {
            leaves: vec![leaf(1), leaf(2), leaf(3)],
            from: vec![conn(1), conn(2), conn(1)],
        };
        assert_eq!(evidence.differing(&[leaf(1), leaf(9), leaf(3), leaf(0)]), [(1, conn(2))]);
        assert_eq!(evidence.differing(&[leaf(1), leaf(2)]), [(2, conn(1))]);
        assert_eq!(evidence.senders().len(), 2);
    }
}
