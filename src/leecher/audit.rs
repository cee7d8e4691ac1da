//! Whether the books of a leecher agree with each other: blocks by state, sources of each piece,
//! and memory. For judges alone: it counts everything anew.

use super::Leecher;
use super::link::Link;
use super::picker::open::{BlockState, Open};
use super::picker::{GONE, Picker};
use crate::content::geometry::{Block, Piece};
use crate::core::id::ConnId;
use crate::core::limits::{FAILED_PIECES_MAX, PAGES_BYTES_MAX};
use crate::peer::{Session, Sessions};

impl Leecher {
    /// An error says which two figures differ.
    pub fn audit(&self, sessions: &Sessions) -> Result<(), String> {
        let picker = &self.picker;
        picker.audit_places()?;
        for (piece, open) in &picker.open {
            open.audit(piece.index())?;
            for (index, state) in (0..).zip(&open.blocks) {
                let Some(block) = self.content.geometry.block_at(*piece, index) else { continue };
                self.audit_block(block, *state)?;
            }
            self.audit_missing(*piece, open)?;
        }
        for (piece, count) in (0..).zip(&picker.sources) {
            let has = |s: &&Session| s.has.get(piece) && self.counts(s.conn);
            let sources = sessions.values().filter(has).count();
            if sources != usize::from(*count) {
                return Err(format!("S10: piece {piece} has {sources} sources, not {count}"));
            }
        }
        let (census, all) = (picker.census(), self.content.geometry.blocks());
        if census.iter().sum::<u64>() != all {
            return Err(format!("S10: {census:?} blocks of {all}"));
        }
        let failed = self.inquiries.remembered();
        if failed > FAILED_PIECES_MAX {
            return Err(format!("S9: {failed} failed attempts at pieces are remembered"));
        }
        let (pages, page) = (self.assembly.pages(), self.content.geometry.piece_length());
        let bytes = pages as u64 * u64::from(page);
        // Pieces that lost their page are begun again without asking: as many as there are.
        match bytes > 2 * PAGES_BYTES_MAX.max(3 * u64::from(page)) {
            true => Err(format!("S9: {bytes} bytes of pieces in memory")),
            false => Ok(()),
        }
    }

    /// A block that is asked of somebody is really awaited from there.
    fn audit_block(&self, block: Block, state: BlockState) -> Result<(), String> {
        let awaits = |conn: &ConnId| {
            let owes = |link: &Link| link.owes().any(|owed| owed == block);
            self.links.get(conn).is_some_and(owes)
        };
        let asked = match state {
            BlockState::Missing | BlockState::Held => vec![],
            BlockState::Asked(of) => vec![of],
            BlockState::AskedTwice(a, b) => vec![a, b],
        };
        match asked.into_iter().find(|conn| !awaits(conn)) {
            Some(conn) => Err(format!("S10: {block:?} counts as asked of {conn:?} and is not")),
            None => Ok(()),
        }
    }

    /// No block counts as missing that a source owes and delivers: it would be asked for twice.
    fn audit_missing(&self, piece: Piece, open: &Open) -> Result<(), String> {
        let mut links = self.links.iter().filter(|(_, link)| !link.late && !open.alone);
        links.try_for_each(|(conn, link)| {
            let missing = |block: &Block| {
                block.piece() == piece && open.state(block.index()) == Some(BlockState::Missing)
            };
            link.owes().find(missing).map_or(Ok(()), |block| {
                Err(format!("S10: {block:?} is asked of {conn:?} and counts as missing"))
            })
        })
    }
}

impl Picker {
    /// A piece is either nobody's yet, or open, or proven.
    fn audit_places(&self) -> Result<(), String> {
        for (at, piece) in (0..).zip(&self.untouched) {
            if self.place.get(piece.index() as usize) != Some(&at) {
                return Err(format!("S10: the place of {piece:?} is lost"));
            }
        }
        let untouched = |piece: &Piece| {
            let place = self.place.get(piece.index() as usize).copied().unwrap_or(GONE);
            self.untouched.get(place as usize) == Some(piece)
        };
        for piece in self.geometry.all_pieces() {
            let states =
                [untouched(&piece), self.open.contains_key(&piece), self.proven.get(piece.index())];
            let unwanted = usize::from(!self.wanted.get(piece.index()));
            if states.iter().filter(|state| **state).count().max(unwanted) != 1 {
                return Err(format!("S10: {piece:?} is untouched, open, proven: {states:?}"));
            }
        }
        Ok(())
    }
}

impl Open {
    fn audit(&self, piece: u32) -> Result<(), String> {
        let count = |of| self.blocks.iter().filter(|state| **state == of).count();
        let counted = (count(BlockState::Missing), count(BlockState::Held));
        let kept = (self.missing as usize, self.held as usize);
        match counted == kept {
            true => Ok(()),
            false => Err(format!("S10: piece {piece}: {counted:?} missing and held, not {kept:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::bitfield::Bitfield;
    use crate::content::metainfo::ContentHasher;
    use crate::core::id::FileId;
    use crate::core::rng::Rng;
    use std::rc::Rc;

    /// A leecher with one open piece, and what its audit says after `spoil`.
    fn after(spoil: impl FnOnce(&mut Leecher)) -> Result<(), String> {
        let mut hasher = ContentHasher::new(b"x", 1 << 20).unwrap();
        hasher.update(&vec![7; 1 << 20]);
        let content = Rc::new(hasher.finish().unwrap());
        let pieces = content.geometry.pieces();
        let file = FileId { slot: 0, generation: 0 };
        let mut leecher = Leecher::new(content, file, Bitfield::new(pieces), &mut Rng::new(1));
        let (conn, mut picked) = (ConnId { slot: 1, generation: 0 }, Vec::new());
        let all = Bitfield::full(pieces);
        leecher.picker.next((conn, &all), 1, (1, None), &mut picked);
        leecher.picker.lost_block(conn, picked[0]);
        spoil(&mut leecher);
        leecher.audit(&Sessions::new())
    }

    #[test]
    fn books_that_agree_are_passed_and_every_one_that_does_not_is_found() {
        assert_eq!(after(|_| {}), Ok(()));
        let found = |spoil: fn(&mut Leecher)| after(spoil).unwrap_err();
        assert!(found(|leecher| leecher.picker.sources[3] += 1).contains("sources"));
        assert!(found(|leecher| _ = leecher.picker.untouched.pop()).contains("untouched"));
        assert!(found(|leecher| leecher.picker.untouched.swap(0, 1)).contains("place"));
        let open = |leecher: &mut Leecher, spoil: fn(&mut Open)| {
            leecher.picker.open.values_mut().for_each(spoil);
        };
        assert!(after(|l| open(l, |open| open.missing -= 1)).unwrap_err().contains("missing"));
        assert!(after(|l| open(l, |open| open.held += 1)).unwrap_err().contains("held"));
        let asks = |open: &mut Open| _ = open.ask(0, ConnId { slot: 9, generation: 0 });
        assert!(after(|l| open(l, asks)).unwrap_err().contains("is not"));
        let drops = |open: &mut Open| _ = open.blocks.pop();
        assert!(after(|l| open(l, drops)).is_err());
    }
}
