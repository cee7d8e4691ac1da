//! Which blocks to take from whom. Told facts, asked `next`. Every block is in exactly one of
//! Missing, Asked, Held, Proven: a piece nobody began is all Missing, a proven one all Proven, and
//! the open ones in between are kept block by block. Rarest first.

use crate::content::bitfield::Bitfield;
use crate::content::geometry::{Block, Geometry, Piece};
use crate::core::id::ConnId;
use crate::core::rng::Rng;
use std::collections::BTreeMap;

/// Missing pieces compared for rarity when a piece is begun: enough to find a rare one, few enough
/// that a content of a million pieces costs no more than one of a thousand.
const COMPARED: usize = 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BlockState {
    Missing,
    Asked(ConnId),
    Held,
}

/// A piece that was begun and is not proven.
#[derive(Debug)]
struct Open {
    blocks: Vec<BlockState>,
    missing: u32,
    held: u32,
    /// Who began it: others leave it to them while they can.
    owner: ConnId,
}

#[derive(Debug)]
pub struct Picker {
    geometry: Geometry,
    open: BTreeMap<Piece, Open>,
    /// Pieces that nobody began, in an order of our own so that leechers differ.
    untouched: Vec<Piece>,
    /// Where a piece stands in `untouched`.
    place: Vec<u32>,
    /// How many of our sources have each piece.
    sources: Vec<u16>,
    proven: Bitfield,
}

/// `place` of a piece that is not untouched.
const GONE: u32 = u32::MAX;

impl Picker {
    pub fn new(geometry: Geometry, proven: Bitfield, rng: &mut Rng) -> Picker {
        let pieces = geometry.pieces();
        let mut untouched: Vec<Piece> =
            geometry.all_pieces().filter(|piece| !proven.get(piece.index())).collect();
        rng.shuffle(&mut untouched);
        let mut place = vec![GONE; pieces as usize];
        for (at, piece) in untouched.iter().enumerate() {
            place[piece.index() as usize] = at as u32;
        }
        let sources = vec![0; pieces as usize];
        Picker { geometry, open: BTreeMap::new(), untouched, place, sources, proven }
    }

    pub fn proven(&self) -> &Bitfield {
        &self.proven
    }

    pub fn is_complete(&self) -> bool {
        self.proven.is_full()
    }

    /// Whether a source with these pieces has any that we lack.
    pub fn wants(&self, has: &Bitfield) -> bool {
        self.proven.lacks_any_of(has)
    }

    pub fn lacks(&self, piece: Piece) -> bool {
        !self.proven.get(piece.index())
    }

    pub fn got_have(&mut self, piece: u32) {
        if let Some(sources) = self.sources.get_mut(piece as usize) {
            *sources = sources.saturating_add(1);
        }
    }

    pub fn got_bitfield(&mut self, before: &Bitfield, after: &Bitfield) {
        after.ones().filter(|piece| !before.get(*piece)).for_each(|piece| self.got_have(piece));
    }

    pub fn lost_source(&mut self, has: &Bitfield) {
        for piece in has.ones() {
            if let Some(sources) = self.sources.get_mut(piece as usize) {
                *sources = sources.saturating_sub(1);
            }
        }
    }

    /// Up to `n` blocks to ask of `conn`, appended to `into`. At most `may_open` pieces are begun.
    pub fn next(
        &mut self,
        conn: ConnId,
        has: &Bitfield,
        n: usize,
        mut may_open: usize,
        into: &mut Vec<Block>,
    ) {
        let target = into.len() + n;
        self.take_open(conn, has, target, into, |open| open.owner == conn);
        while into.len() < target && may_open > 0 {
            let Some(piece) = self.rarest(has) else { break };
            self.begin(piece, conn);
            may_open -= 1;
            self.take_from(piece, conn, target, into);
        }
        self.take_open(conn, has, target, into, |_| true);
    }

    fn take_open(
        &mut self,
        conn: ConnId,
        has: &Bitfield,
        target: usize,
        into: &mut Vec<Block>,
        suits: impl Fn(&Open) -> bool,
    ) {
        while into.len() < target {
            let found = self
                .open
                .iter()
                .find(|(piece, open)| open.missing > 0 && suits(open) && has.get(piece.index()));
            let Some((piece, _)) = found else { return };
            self.take_from(*piece, conn, target, into);
        }
    }

    fn take_from(&mut self, piece: Piece, conn: ConnId, target: usize, into: &mut Vec<Block>) {
        let Some(open) = self.open.get_mut(&piece) else { return };
        for (index, state) in open.blocks.iter_mut().enumerate() {
            if into.len() >= target {
                return;
            }
            if *state == BlockState::Missing
                && let Some(block) = self.geometry.block_at(piece, index as u32)
            {
                *state = BlockState::Asked(conn);
                open.missing -= 1;
                into.push(block);
            }
        }
    }

    /// A piece nobody began that the source has and few others have.
    fn rarest(&self, has: &Bitfield) -> Option<Piece> {
        self.untouched
            .iter()
            .rev()
            .filter(|piece| has.get(piece.index()))
            .take(COMPARED)
            .min_by_key(|piece| self.sources.get(piece.index() as usize).copied())
            .copied()
    }

    fn begin(&mut self, piece: Piece, owner: ConnId) {
        let at = std::mem::replace(&mut self.place[piece.index() as usize], GONE) as usize;
        self.untouched.swap_remove(at);
        if let Some(moved) = self.untouched.get(at) {
            self.place[moved.index() as usize] = at as u32;
        }
        let blocks = self.geometry.blocks_in(piece);
        let open = Open {
            blocks: vec![BlockState::Missing; blocks as usize],
            missing: blocks,
            held: 0,
            owner,
        };
        self.open.insert(piece, open);
    }

    /// Whether the block is asked of `conn` and not held.
    pub fn awaits(&self, conn: ConnId, block: Block) -> bool {
        let open = self.open.get(&block.piece());
        open.and_then(|open| open.blocks.get(block.index() as usize))
            == Some(&BlockState::Asked(conn))
    }

    /// A block came whole. True when its piece now stands whole in memory.
    pub fn got_block(&mut self, block: Block) -> bool {
        let Some(open) = self.open.get_mut(&block.piece()) else { return false };
        let Some(state) = open.blocks.get_mut(block.index() as usize) else { return false };
        if let BlockState::Asked(_) = state {
            *state = BlockState::Held;
            open.held += 1;
        }
        open.held as usize == open.blocks.len()
    }

    /// A block will not come from `conn` after all.
    pub fn lost_block(&mut self, conn: ConnId, block: Block) {
        let Some(open) = self.open.get_mut(&block.piece()) else { return };
        let Some(state) = open.blocks.get_mut(block.index() as usize) else { return };
        if *state == BlockState::Asked(conn) {
            *state = BlockState::Missing;
            open.missing += 1;
        }
    }

    /// The piece stands proven in the file.
    pub fn got_proven(&mut self, piece: Piece) {
        self.open.remove(&piece);
        self.proven.set(piece.index());
    }

    /// The piece did not match: all its blocks are missing again.
    pub fn got_broken(&mut self, piece: Piece) {
        if let Some(open) = self.open.get_mut(&piece) {
            open.blocks.fill(BlockState::Missing);
            open.missing = open.blocks.len() as u32;
            open.held = 0;
        }
    }

    /// Blocks by state: missing, asked, held, proven. Their sum is the content.
    pub fn census(&self) -> [u64; 4] {
        let blocks = |piece: &Piece| u64::from(self.geometry.blocks_in(*piece));
        let mut census = [0; 4];
        census[0] = self.untouched.iter().map(blocks).sum();
        for open in self.open.values() {
            for state in &open.blocks {
                match state {
                    BlockState::Missing => census[0] += 1,
                    BlockState::Asked(_) => census[1] += 1,
                    BlockState::Held => census[2] += 1,
                }
            }
        }
        census[3] =
            self.proven.ones().filter_map(|at| self.geometry.piece(at)).map(|p| blocks(&p)).sum();
        census
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    fn picker(size: u64, seed: u64) -> (Picker, Geometry) {
        let geometry = Geometry::new(size, 65_536).unwrap();
        let none = Bitfield::new(geometry.pieces());
        (Picker::new(geometry, none, &mut Rng::new(seed)), geometry)
    }

    #[test]
    fn the_rarest_piece_is_begun_first() {
        let (mut picker, geometry) = picker(65_536 * 8, 3);
        let all = Bitfield::full(geometry.pieces());
        let mut most = all.clone();
        for _ in 0..3 {
            picker.got_bitfield(&Bitfield::new(geometry.pieces()), &all);
        }
        most.clear(5);
        picker.got_bitfield(&Bitfield::new(geometry.pieces()), &most);
        let mut blocks = Vec::new();
        picker.next(conn(0), &all, 4, 8, &mut blocks);
        assert!(blocks.iter().all(|block| block.piece().index() == 5), "{blocks:?}");
    }

    #[test]
    fn no_piece_is_begun_beyond_what_may_be_opened() {
        let (mut picker, geometry) = picker(65_536 * 8, 3);
        let all = Bitfield::full(geometry.pieces());
        let mut blocks = Vec::new();
        picker.next(conn(0), &all, 100, 2, &mut blocks);
        assert_eq!(blocks.len(), 8, "two pieces of four blocks");
    }

    #[test]
    fn every_block_is_in_exactly_one_state_whatever_happens() {
        let seed = 0x91_cc;
        let mut rng = Rng::new(seed);
        let (mut picker, geometry) = picker(65_536 * 9 + 777, seed);
        let all = Bitfield::full(geometry.pieces());
        let total = geometry.blocks();
        let mut asked: Vec<(ConnId, Block)> = Vec::new();
        for step in 0..5_000 {
            let who = conn(rng.below(3) as u32);
            match rng.below(10) {
                0..4 => {
                    let mut blocks = Vec::new();
                    picker.next(who, &all, rng.below(6) as usize, 1, &mut blocks);
                    for block in blocks {
                        assert!(picker.awaits(who, block));
                        assert!(!asked.iter().any(|(_, b)| *b == block), "asked twice");
                        asked.push((who, block));
                    }
                }
                4..8 if !asked.is_empty() => {
                    let (from, block) = asked.swap_remove(rng.below(asked.len() as u64) as usize);
                    assert!(picker.awaits(from, block));
                    if picker.got_block(block) {
                        match rng.chance(700) {
                            true => picker.got_proven(block.piece()),
                            false => picker.got_broken(block.piece()),
                        }
                    }
                }
                8 => {
                    asked.retain(|(from, block)| {
                        if *from == who {
                            picker.lost_block(who, *block);
                        }
                        *from != who
                    });
                }
                _ => {}
            }
            let census = picker.census();
            assert_eq!(census.iter().sum::<u64>(), total, "seed {seed:#x} step {step} {census:?}");
            assert_eq!(census[1], asked.len() as u64, "seed {seed:#x} step {step}");
        }
        assert!(picker.is_complete(), "seed {seed:#x}: {:?}", picker.census());
    }
}
