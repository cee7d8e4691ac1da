//! Which blocks to take from whom. Told facts, asked `next`. Every block is in exactly one of
//! Missing, Asked (of one source, or of two at the end), Held, Proven: a piece nobody began is all
//! Missing, a proven one all Proven, and the open ones in between are kept block by block. Rarest
//! first.

pub(super) mod open;

use crate::content::bitfield::Bitfield;
use crate::content::geometry::{Block, Geometry, Piece};
use crate::core::id::ConnId;
use crate::core::rng::Rng;
use open::{BlockState, Open};
use std::collections::BTreeMap;

/// Missing pieces compared for rarity when a piece is begun: enough to find a rare one, few enough
/// that a content of a million pieces costs no more than one of a thousand.
const COMPARED: usize = 1024;

/// In which order pieces are begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// Those that fewest sources have first: what is rare spreads before it is lost.
    #[default]
    Rarest,
    /// From the beginning to the end.
    Sequential,
}

#[derive(Debug)]
pub struct Picker {
    pub(super) geometry: Geometry,
    pub(super) open: BTreeMap<Piece, Open>,
    /// Pieces that nobody began, in an order of our own so that leechers differ.
    pub(super) untouched: Vec<Piece>,
    /// Where a piece stands in `untouched`.
    pub(super) place: Vec<u32>,
    /// How many of our sources have each piece.
    pub(super) sources: Vec<u16>,
    pub(super) proven: Bitfield,
    /// All that is asked for.
    pub(super) wanted: Bitfield,
    order: Order,
    /// The first piece is any.
    anywhere: bool,
    /// All pieces before this one were begun.
    begun: u32,
}

/// Whose a block is that comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// It is asked of this source alone.
    Sole,
    /// It is missing, but others are or were asked too.
    Shared,
    /// It is there already.
    Gone,
}

/// `place` of a piece that is not untouched.
pub(super) const GONE: u32 = u32::MAX;

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
        let (open, order) = (BTreeMap::new(), Order::default());
        let wanted = Bitfield::full(pieces);
        Picker {
            geometry,
            open,
            untouched,
            place,
            sources,
            proven,
            wanted,
            order,
            anywhere: false,
            begun: 0,
        }
    }

    pub fn begin_in(&mut self, order: Order) {
        self.order = order;
    }

    /// Nothing but these pieces is asked for; said before anything is.
    pub fn want_only(&mut self, wanted: Bitfield) {
        self.untouched.retain(|piece| wanted.get(piece.index()));
        self.place.fill(GONE);
        for (at, piece) in (0..).zip(&self.untouched) {
            if let Some(place) = self.place.get_mut(piece.index() as usize) {
                *place = at;
            }
        }
        self.wanted = wanted;
    }

    pub fn proven(&self) -> &Bitfield {
        &self.proven
    }

    pub fn is_complete(&self) -> bool {
        !self.proven.lacks_any_of(&self.wanted)
    }

    /// Whether a source with these pieces has any that we lack.
    pub fn wants(&self, has: &Bitfield) -> bool {
        self.proven.lacks_any_both_have(&self.wanted, has)
    }

    pub fn lacks(&self, piece: Piece) -> bool {
        self.wanted.get(piece.index()) && !self.proven.get(piece.index())
    }

    pub fn got_have(&mut self, piece: u32) {
        if let Some(sources) = self.sources.get_mut(piece as usize) {
            *sources = sources.saturating_add(1);
        }
    }

    /// Only what was not told before counts: whatever a source repeats or contradicts, the counts
    /// are those of what each has.
    pub fn got_bitfield(&mut self, before: &Bitfield, after: &Bitfield) {
        crate::mark!("D08");
        after.ones().filter(|piece| !before.get(*piece)).for_each(|piece| self.got_have(piece));
    }

    pub fn lost_source(&mut self, has: &Bitfield) {
        for piece in has.ones() {
            if let Some(sources) = self.sources.get_mut(piece as usize) {
                *sources = sources.saturating_sub(1);
            }
        }
    }

    /// Up to `n` blocks to ask of `conn`, appended to `into`. At most `may_open` pieces are begun;
    /// with `rarer`, only such as no more sources have, and nobody else's are helped with.
    pub fn next(
        &mut self,
        (conn, has): (ConnId, &Bitfield),
        n: usize,
        (mut may_open, rarer): (usize, Option<u16>),
        into: &mut Vec<Block>,
    ) {
        let target = into.len() + n;
        self.take_open(conn, has, target, into, |_, open| open.owner == Some(conn));
        // What another did not deliver comes before what nobody began: its piece waits in memory.
        self.take_open(conn, has, target, into, |_, open| open.owner.is_none());
        while into.len() < target && may_open > 0 {
            let next = match self.order {
                Order::Rarest => self.rarest(has),
                Order::Sequential => self.first(has),
            };
            let Some(piece) = next else { break };
            let sources = self.sources.get(piece.index() as usize).copied();
            if rarer.is_some_and(|most| sources.is_some_and(|sources| sources > most)) {
                return;
            }
            self.begin(piece, conn);
            may_open -= 1;
            self.take_from(piece, conn, target, into);
        }
        if rarer.is_none() {
            self.take_open(conn, has, target, into, |_, _| true);
        }
    }

    /// As `next`, but only blocks of pieces that did not match before, as `again` knows.
    pub fn next_again(
        &mut self,
        (conn, has): (ConnId, &Bitfield),
        n: usize,
        again: impl Fn(Piece) -> bool,
        into: &mut Vec<Block>,
    ) {
        let target = into.len() + n;
        self.take_open(conn, has, target, into, |piece, _| again(piece));
    }

    /// Whether the source has a piece of which a block is missing and nobody is asked.
    pub fn has_work(&self, conn: ConnId, has: &Bitfield) -> bool {
        let open = |(piece, open): (&Piece, &Open)| {
            open.missing > 0 && open.is_for(conn) && has.get(piece.index())
        };
        self.open.iter().any(open) || self.untouched.iter().any(|piece| has.get(piece.index()))
    }

    fn take_open(
        &mut self,
        conn: ConnId,
        has: &Bitfield,
        target: usize,
        into: &mut Vec<Block>,
        suits: impl Fn(Piece, &Open) -> bool,
    ) {
        while into.len() < target {
            let found = self.open.iter().find(|(piece, open)| {
                open.missing > 0
                    && suits(**piece, open)
                    && open.is_for(conn)
                    && has.get(piece.index())
            });
            let Some((piece, _)) = found else { return };
            self.take_from(*piece, conn, target, into);
        }
    }

    fn take_from(&mut self, piece: Piece, conn: ConnId, target: usize, into: &mut Vec<Block>) {
        let Some(open) = self.open.get_mut(&piece) else { return };
        open.owner.get_or_insert(conn);
        for index in 0..self.geometry.blocks_in(piece) {
            if into.len() >= target || open.missing == 0 {
                return;
            }
            if open.ask(index, conn) {
                into.extend(self.geometry.block_at(piece, index));
            }
        }
    }

    pub fn begin_anywhere(&mut self, on: bool) {
        self.anywhere = on;
    }

    /// A piece nobody began that the source has and few others have.
    fn rarest(&self, has: &Bitfield) -> Option<Piece> {
        let first = self.anywhere && self.proven.is_empty();
        self.untouched
            .iter()
            .rev()
            .filter(|piece| has.get(piece.index()))
            .take(if first { 1 } else { COMPARED })
            .min_by_key(|piece| self.sources.get(piece.index() as usize).copied())
            .copied()
    }

    /// The first piece nobody began that the source has.
    fn first(&mut self, has: &Bitfield) -> Option<Piece> {
        let places = self.place.get(self.begun as usize..).unwrap_or_default();
        self.begun += places.iter().take_while(|place| **place == GONE).count() as u32;
        let first = (self.begun..self.geometry.pieces())
            .find(|at| self.place.get(*at as usize) != Some(&GONE) && has.get(*at));
        first.and_then(|at| self.geometry.piece(at))
    }

    fn begin(&mut self, piece: Piece, owner: ConnId) {
        let at = std::mem::replace(&mut self.place[piece.index() as usize], GONE) as usize;
        self.untouched.swap_remove(at);
        if let Some(moved) = self.untouched.get(at) {
            self.place[moved.index() as usize] = at as u32;
        }
        self.open.insert(piece, Open::new(self.geometry.blocks_in(piece), owner));
    }

    /// Where a block that `conn` was asked for stands when it comes.
    pub fn claim(&self, conn: ConnId, block: Block) -> Claim {
        let Some(open) = self.open.get(&block.piece()) else { return Claim::Gone };
        match open.state(block.index()) {
            Some(BlockState::Asked(of)) if of == conn => Claim::Sole,
            None | Some(BlockState::Held) => Claim::Gone,
            // From anyone else it would not be from one source alone.
            Some(_) if open.alone => Claim::Gone,
            Some(_) => Claim::Shared,
        }
    }

    /// Asks a second source for a block; `false` if that may not be.
    pub fn ask_second(&mut self, conn: ConnId, block: Block) -> bool {
        let open = self.open.get_mut(&block.piece());
        open.is_some_and(|open| open.ask_second(block.index(), conn))
    }

    /// `conn` will send a block after all that was given up, whether another was asked for it
    /// meanwhile or nobody.
    pub fn reclaim(&mut self, conn: ConnId, block: Block) {
        if let Some(open) = self.open.get_mut(&block.piece())
            && open.is_for(conn)
            && !open.ask(block.index(), conn)
        {
            open.ask_second(block.index(), conn);
        }
    }

    /// A block came whole. True when its piece now stands whole in memory.
    pub fn got_block(&mut self, block: Block) -> bool {
        let Some(open) = self.open.get_mut(&block.piece()) else { return false };
        open.hold(block.index());
        open.is_whole()
    }

    /// Nothing more is to be expected of `conn` now: its pieces are for others.
    pub fn abandoned(&mut self, conn: ConnId) {
        self.open.values_mut().filter(|open| open.owner == Some(conn)).for_each(Open::abandon);
    }

    /// A block will not come from `conn` after all.
    pub fn lost_block(&mut self, conn: ConnId, block: Block) {
        if let Some(open) = self.open.get_mut(&block.piece()) {
            open.lose(block.index(), conn);
        }
    }

    /// The piece stands proven in the file.
    pub fn got_proven(&mut self, piece: Piece) {
        self.open.remove(&piece);
        self.proven.set(piece.index());
    }

    /// The piece cannot be used: all its blocks are missing again.
    pub fn got_broken(&mut self, piece: Piece) {
        if let Some(open) = self.open.get_mut(&piece) {
            open.alone = false;
            open.reset();
        }
    }

    /// These blocks of a piece were found wrong, the others right.
    pub fn got_bad_blocks(&mut self, piece: Piece, bad: &[u32]) {
        if let Some(open) = self.open.get_mut(&piece) {
            open.drop_blocks(bad);
        }
    }

    /// All of the piece is missing again and shall come from one source, `owner` if it can.
    pub fn take_alone(&mut self, piece: Piece, owner: Option<ConnId>) {
        if let Some(open) = self.open.get_mut(&piece) {
            open.reset();
            (open.alone, open.owner) = (true, owner);
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
                    BlockState::Asked(_) | BlockState::AskedTwice(..) => census[1] += 1,
                    BlockState::Held => census[2] += 1,
                }
            }
        }
        let unwanted = self.wanted.missing().filter(|at| !self.proven.get(*at));
        census[0] +=
            unwanted.filter_map(|at| self.geometry.piece(at)).map(|p| blocks(&p)).sum::<u64>();
        census[3] =
            self.proven.ones().filter_map(|at| self.geometry.piece(at)).map(|p| blocks(&p)).sum();
        census
    }
}

#[cfg(test)]
mod tests;
