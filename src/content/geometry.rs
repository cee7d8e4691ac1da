//! How a content is cut into pieces and blocks, and the only maker of piece and block indices.

use super::bitfield::Bitfield;
use super::error::MetaError;
use super::file_list::{FileList, Kind};
use crate::core::fault::Fault;
use crate::core::limits::{BLOCK_BYTES, PIECES_MAX};
use crate::core::mark::mark;
use std::rc::Rc;

/// Longest piece taken, bytes: its leaves (8192) still fit one BEP 52 `hashes` message.
pub const PIECE_BYTES_MAX: u32 = 128 * 1024 * 1024;

/// The piece length every version of lmk gives a content of `size` bytes: the smallest power of two
/// from 256 KiB (16 KiB for contents under 4 MiB) to 16 MiB that makes at most 32,768 pieces.
pub fn piece_length_for(size: u64) -> u32 {
    const PIECES_WANTED: u64 = 32_768;
    const LENGTH_MAX: u32 = 16 * 1024 * 1024;
    let mut length = if size < 4 * 1024 * 1024 { BLOCK_BYTES } else { 256 * 1024 };
    while length < LENGTH_MAX && size.div_ceil(u64::from(length)) > PIECES_WANTED {
        length *= 2;
    }
    length
}

/// The grid of one content: a row of `size` bytes in pieces of `piece_length`, the last one short,
/// each in blocks of 16 KiB, the last one short. Where every file begins with a piece (BEP 52), the
/// last piece of each file is short, too: what lies between its end and the next piece is zeros,
/// which need not be asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Geometry {
    size: u64,
    piece_length: u32,
    pieces: u32,
    /// Pieces that end before their place in the row does, and their bytes; in order.
    tails: Option<Rc<[(u32, u32)]>>,
    payload: u64,
    blocks: u64,
    /// The last block of each file may be asked for whole.
    padded: bool,
}

/// A piece that exists in the geometry it came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Piece(u32);

/// A block that exists in the geometry it came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Block {
    piece: Piece,
    index: u32,
}

impl Piece {
    /// Index in the content, from 0.
    pub fn index(self) -> u32 {
        self.0
    }
}

impl Block {
    pub fn piece(self) -> Piece {
        self.piece
    }

    /// Index in its piece, from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// First byte in its piece: `begin` of a request.
    pub fn begin(self) -> u32 {
        self.index * BLOCK_BYTES
    }
}

impl Geometry {
    /// The grid of `size` bytes without gaps. Refuses a piece length of zero or beyond
    /// [`PIECE_BYTES_MAX`] and more than `limits::PIECES_MAX` pieces.
    pub fn new(size: u64, piece_length: u32) -> Result<Geometry, MetaError> {
        Geometry::with_tails(size, piece_length, Vec::new())
    }

    /// The grid of the row that `files` lie in. Those that have trees end their last piece, and so
    /// does a pad that fills one (BEP 47).
    pub fn of(files: &FileList, piece_length: u32) -> Result<Geometry, MetaError> {
        // Refuses before anything is divided by it.
        Geometry::new(files.size(), piece_length)?;
        let grid = u64::from(piece_length);
        let padded = files.entries().iter().any(|entry| entry.root.is_some());
        let ends = files.entries().iter().filter_map(|entry| {
            let end = entry.offset + entry.length;
            let fills = entry.length < grid && (end.is_multiple_of(grid) || end == files.size());
            match entry.kind {
                Kind::Plain if entry.root.is_some() => Some(end),
                Kind::Pad if !padded && fills => Some(entry.offset),
                _ => None,
            }
        });
        let tails = ends.filter(|end| *end < files.size() && !end.is_multiple_of(grid));
        let tails = tails.map(|end| ((end / grid) as u32, (end % grid) as u32)).collect();
        Ok(Geometry { padded, ..Geometry::with_tails(files.size(), piece_length, tails)? })
    }

    fn with_tails(
        size: u64,
        piece_length: u32,
        tails: Vec<(u32, u32)>,
    ) -> Result<Geometry, MetaError> {
        if piece_length == 0 {
            return Err(MetaError::Bad("piece length", "must be positive"));
        }
        if piece_length > PIECE_BYTES_MAX {
            return Err(MetaError::Bad("piece length", "is above 128 MiB"));
        }
        let pieces = size.div_ceil(u64::from(piece_length));
        let Some(pieces) = u32::try_from(pieces).ok().filter(|pieces| *pieces <= PIECES_MAX) else {
            mark!("A13");
            return Err(MetaError::TooManyPieces);
        };
        let mut grid = Geometry {
            size,
            piece_length,
            pieces,
            tails: None,
            payload: size,
            blocks: 0,
            padded: false,
        };
        let full = u64::from(piece_length.div_ceil(BLOCK_BYTES));
        if let Some(last) = pieces.checked_sub(1) {
            let rest = u64::from(grid.blocks_in(Piece(last)));
            grid.blocks = u64::from(last) * full + rest;
        }
        for (piece, len) in &tails {
            let place = grid.place_len(Piece(*piece));
            grid.payload -= u64::from(place - len);
            grid.blocks -= u64::from(place.div_ceil(BLOCK_BYTES) - len.div_ceil(BLOCK_BYTES));
        }
        grid.tails = (!tails.is_empty()).then(|| tails.into());
        Ok(grid)
    }

    /// Bytes of the row, those between files included.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of all pieces together: what is to be fetched of the whole content.
    pub fn payload(&self) -> u64 {
        self.payload
    }

    /// Bytes of the pieces that are set.
    pub fn payload_of(&self, pieces: &Bitfield) -> u64 {
        if pieces.is_full() {
            return self.payload;
        }
        let grid = u64::from(self.piece_length);
        let mut bytes = u64::from(pieces.count()) * grid;
        let last = self.pieces.wrapping_sub(1);
        let tails = self.tails.iter().flat_map(|tails| tails.iter().copied());
        let end = (last, self.piece_len(Piece(last)));
        for (short, len) in tails.filter(|(piece, _)| *piece != last).chain([end]) {
            if pieces.get(short) {
                bytes -= grid - u64::from(len);
            }
        }
        bytes
    }

    /// Bytes from the beginning of a piece to that of the next one; those of the last piece are
    /// fewer, and those of the last piece of a file may be.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Number of pieces; 0 for an empty content.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// The piece of that index, if there is one.
    pub fn piece(&self, index: u32) -> Option<Piece> {
        (index < self.pieces).then_some(Piece(index))
    }

    /// The piece a message names.
    pub fn checked_piece(&self, index: u32) -> Result<Piece, Fault> {
        self.piece(index).ok_or(Fault::peer("piece index beyond the last piece"))
    }

    /// All pieces in order.
    pub fn all_pieces(&self) -> impl DoubleEndedIterator<Item = Piece> + use<> {
        (0..self.pieces).map(Piece)
    }

    /// First byte of `piece` in the content.
    pub fn piece_offset(&self, piece: Piece) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// Bytes of `piece`; 0 for a piece of another, larger geometry.
    pub fn piece_len(&self, piece: Piece) -> u32 {
        let tail = self.tails.as_ref().and_then(|tails| {
            let at = tails.binary_search_by_key(&piece.0, |(piece, _)| *piece).ok()?;
            tails.get(at).map(|(_, len)| *len)
        });
        tail.unwrap_or_else(|| self.place_len(piece))
    }

    /// Bytes of the row that are the place of `piece`: its own, and the zeros up to the next one.
    pub fn place_len(&self, piece: Piece) -> u32 {
        let rest = self.size.saturating_sub(self.piece_offset(piece));
        rest.min(u64::from(self.piece_length)) as u32
    }

    /// Bytes of `piece` that may be asked for.
    fn asked_len(&self, piece: Piece) -> u32 {
        let whole = self.piece_len(piece).next_multiple_of(BLOCK_BYTES).min(self.piece_length);
        self.place_len(piece).max(if self.padded { whole } else { 0 })
    }

    /// Number of blocks in `piece`.
    pub fn blocks_in(&self, piece: Piece) -> u32 {
        self.piece_len(piece).div_ceil(BLOCK_BYTES)
    }

    /// Number of blocks in the whole content.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The block of that index in `piece`, if there is one.
    pub fn block_at(&self, piece: Piece, index: u32) -> Option<Block> {
        (index < self.blocks_in(piece)).then_some(Block { piece, index })
    }

    /// All blocks of `piece` in order.
    pub fn blocks_of(&self, piece: Piece) -> impl DoubleEndedIterator<Item = Block> + use<> {
        (0..self.blocks_in(piece)).map(move |index| Block { piece, index })
    }

    /// First byte of `block` in the content.
    pub fn block_offset(&self, block: Block) -> u64 {
        self.piece_offset(block.piece) + u64::from(block.begin())
    }

    /// Bytes of `block`: 16 KiB, or the rest of its piece.
    pub fn block_len(&self, block: Block) -> u32 {
        self.piece_len(block.piece).saturating_sub(block.begin()).min(BLOCK_BYTES)
    }

    /// The block a received message carries: aligned, and exactly as long as that block is.
    pub fn block(&self, piece: u32, begin: u32, len: u32) -> Result<Block, Fault> {
        let piece = self.checked_piece(piece)?;
        if !begin.is_multiple_of(BLOCK_BYTES) {
            return Err(Fault::peer("block does not start on a multiple of 16 KiB"));
        }
        let block = self
            .block_at(piece, begin / BLOCK_BYTES)
            .ok_or(Fault::peer("block begins beyond its piece"))?;
        if len != self.block_len(block) {
            return Err(Fault::peer("block has the wrong length"));
        }
        Ok(block)
    }

    /// The bytes of the content a request asks for, as offset and length. Stock peers may ask for
    /// any 1 to 16,384 bytes inside one piece (BEP 3 practice), and for the zeros behind the end of
    /// a file (BEP 47): of contents with trees up to the end of the last block, which may lie
    /// behind the end of the row. So libtorrent 2.0.8 asks for the last block of every v2 file.
    pub fn span(&self, piece: u32, begin: u32, len: u32) -> Result<(u64, u32), Fault> {
        let piece = self.checked_piece(piece)?;
        if len == 0 {
            return Err(Fault::peer("request of no bytes"));
        }
        if len > BLOCK_BYTES {
            return Err(Fault::peer("request above 16 KiB"));
        }
        if u64::from(begin) + u64::from(len) > u64::from(self.asked_len(piece)) {
            return Err(Fault::peer("request goes beyond its piece"));
        }
        Ok((self.piece_offset(piece) + u64::from(begin), len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;

    #[test]
    fn an_empty_content_has_no_piece_and_no_block() {
        let g = Geometry::new(0, 16384).unwrap();
        assert_eq!((g.pieces(), g.blocks(), g.piece(0)), (0, 0, None));
        assert!(g.block(0, 0, 0).is_err());
        assert!(g.span(0, 0, 1).is_err());
    }

    #[test]
    fn the_last_piece_and_its_last_block_are_short() {
        let g = Geometry::new(100_000, 32768).unwrap();
        let last = g.piece(3).unwrap();
        assert_eq!((g.pieces(), g.piece_len(last), g.blocks_in(last), g.blocks()), (4, 1696, 1, 7));
        assert_eq!(g.block(3, 0, 1696).map(|b| g.block_offset(b)), Ok(98304));
        assert!(g.block(3, 0, 1697).is_err());
        assert!(g.block(3, 0, 1695).is_err());
        assert!(g.block(2, 100, 16384).is_err());
        assert!(g.block(4, 0, 16384).is_err());
        assert!(g.block(2, 32768, 16384).is_err());
        assert!(g.block(2, 0xffff_c000, 16384).is_err());
    }

    #[test]
    fn requests_may_ask_for_any_bytes_of_one_piece_up_to_16_kib() {
        let g = Geometry::new(100_000, 32768).unwrap();
        assert_eq!(g.span(1, 5, 7), Ok((32773, 7)));
        assert_eq!(g.span(1, 16384, 16384), Ok((49152, 16384)));
        for (piece, begin, len) in [
            (1, 0, 0),
            (1, 0, 16385),
            (1, 16385, 16384),
            (3, 1696, 1),
            (4, 0, 1),
            (u32::MAX, u32::MAX, u32::MAX),
            (1, u32::MAX, 16384),
        ] {
            assert!(g.span(piece, begin, len).is_err(), "{piece} {begin} {len}");
        }
    }

    #[test]
    fn impossible_grids_are_refused() {
        assert!(Geometry::new(1, 0).is_err());
        assert!(Geometry::new(1, PIECE_BYTES_MAX + 1).is_err());
        assert_eq!(Geometry::new(u64::MAX, PIECE_BYTES_MAX), Err(MetaError::TooManyPieces));
        assert_eq!(Geometry::new(u64::from(PIECES_MAX), 1).unwrap().pieces(), PIECES_MAX);
        assert!(Geometry::new(u64::from(PIECES_MAX) + 1, 1).is_err());
    }

    #[test]
    fn piece_length_is_a_fixed_function_of_size() {
        for (size, length) in [
            (0, 16 * KIB),
            (4 * MIB - 1, 16 * KIB),
            (4 * MIB, 256 * KIB),
            (8 * KIB * MIB, 256 * KIB),
            (8 * KIB * MIB + 1, 512 * KIB),
            (16 * KIB * MIB, 512 * KIB),
            (512 * KIB * MIB, 16 * MIB),
            (u64::MAX, 16 * MIB),
        ] {
            assert_eq!(u64::from(piece_length_for(size)), length, "size {size}");
        }
    }

    proptest! {
        #[test]
        fn the_rule_takes_the_smallest_length_that_fits(size in 0..(512 * KIB * MIB)) {
            let length = u64::from(piece_length_for(size));
            let least = if size < 4 * MIB { 16 * KIB } else { 256 * KIB };
            prop_assert!(length.is_power_of_two() && size.div_ceil(length) <= 32_768);
            prop_assert!(length == least || size.div_ceil(length / 2) > 32_768);
        }

        #[test]
        fn blocks_tile_the_content(size in 0u64..400_000, length in 1u32..70_000) {
            let g = Geometry::new(size, length).unwrap();
            let (mut next, mut count) = (0, 0);
            for piece in g.all_pieces() {
                prop_assert_eq!(g.piece_offset(piece), next);
                for block in g.blocks_of(piece) {
                    let len = g.block_len(block);
                    prop_assert!(len > 0 && len <= BLOCK_BYTES);
                    prop_assert_eq!(g.block_offset(block), next);
                    prop_assert_eq!(g.block(piece.index(), block.begin(), len), Ok(block));
                    prop_assert_eq!(g.span(piece.index(), block.begin(), len), Ok((next, len)));
                    next += u64::from(len);
                    count += 1;
                }
            }
            prop_assert_eq!((next, count), (size, g.blocks()));
        }

        #[test]
        fn whatever_a_message_says_stays_inside(
            size in 0u64..u64::from(u32::MAX) * 64,
            shift in 10u32..27,
            piece: u32, begin: u32, len: u32,
        ) {
            if let Ok(g) = Geometry::new(size, 1 << shift) {
                if let Ok(block) = g.block(piece, begin, len) {
                    prop_assert!(g.block_offset(block) + u64::from(g.block_len(block)) <= size);
                }
                let piece = piece % g.pieces().saturating_add(2);
                if let Ok((offset, len)) = g.span(piece, begin, len) {
                    prop_assert!(offset + u64::from(len) <= size);
                }
            }
        }
    }
}
