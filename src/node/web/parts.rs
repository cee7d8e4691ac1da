//! What is asked of a web seed: blocks that wait, the range that is under way, and the blocks its
//! bytes are cut into again.

use crate::content::geometry::Geometry;
use crate::core::limits::{WEB_RANGE_BYTES_MAX, WEB_SKIP_BYTES_MAX};
use crate::wire::peer::{BlockRef, block_head};
use std::collections::VecDeque;

/// Most blocks that wait: more than a swarm asks of one source.
const WAITING_MAX: usize = 1024;

/// The range that is under way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// Its first byte in the file, and the one after its last.
    pub first: u64,
    pub end: u64,
    /// The blocks it is made of, the next one first.
    blocks: VecDeque<BlockRef>,
    /// Bytes of the next block that came.
    filled: u32,
    /// Bytes before the range that come first, where a server sends the whole file.
    skip: u64,
}

#[derive(Debug, Default)]
pub struct Parts {
    waiting: VecDeque<BlockRef>,
    pub range: Option<Range>,
}

/// What of the bytes of a body is for the swarm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cut<'a> {
    /// The head of a block (13 bytes of peer wire).
    Head([u8; 13]),
    Bytes(&'a [u8]),
}

impl Parts {
    pub fn ask(&mut self, block: BlockRef) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(block);
        }
    }

    /// Takes back what was not asked of the server yet; whether it was.
    pub fn cancel(&mut self, block: BlockRef) -> bool {
        let at = self.waiting.iter().position(|waiting| *waiting == block);
        at.and_then(|at| self.waiting.remove(at)).is_some()
    }

    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.range.is_none()
    }

    /// The next range: the first block that waits and those that follow it without a gap. -> its
    /// first and last byte.
    pub fn next_range(&mut self, geometry: &Geometry) -> Option<(u64, u64)> {
        let at = |block: &BlockRef| {
            let piece = geometry.piece(block.piece)?;
            Some(geometry.piece_offset(piece) + u64::from(block.begin))
        };
        let block = self.waiting.pop_front()?;
        let first = at(&block)?;
        let mut end = first + u64::from(block.len);
        let mut blocks = VecDeque::from([block]);
        while let Some(next) = self.waiting.front().copied() {
            if at(&next) != Some(end) || end - first >= WEB_RANGE_BYTES_MAX {
                break;
            }
            end += u64::from(next.len);
            blocks.push_back(next);
            self.waiting.pop_front();
        }
        self.range = Some(Range { first, end, blocks, filled: 0, skip: 0 });
        Some((first, end.saturating_sub(1)))
    }

    /// The range is to be asked again, elsewhere or on another connection.
    pub fn put_back(&mut self) {
        if let Some(range) = self.range.take() {
            for block in range.blocks.into_iter().rev() {
                self.waiting.push_front(block);
            }
        }
    }

    /// The server sends the whole file. `false` if that is too much for what is wanted.
    pub fn whole_file_comes(&mut self) -> bool {
        let Some(range) = &mut self.range else { return false };
        range.skip = range.first;
        range.skip <= WEB_SKIP_BYTES_MAX
    }
}

impl Range {
    /// Whether all of it came.
    pub fn is_done(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether nothing of it was told yet.
    pub fn is_untouched(&self) -> bool {
        self.filled == 0
    }

    /// The next of what `bytes` has for the swarm; `None` = they are taken, or the range is done.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Cut<'a>> {
        if self.skip > 0 {
            let n = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            *bytes = bytes.get(n..).unwrap_or_default();
            self.skip -= n as u64;
        }
        let block = *self.blocks.front()?;
        if bytes.is_empty() {
            return None;
        }
        // The head goes before the first byte, and is not counted.
        if self.filled == 0 {
            self.filled = 1;
            return Some(Cut::Head(block_head(block.piece, block.begin, block.len)));
        }
        let came = self.filled - 1;
        let n = ((block.len - came) as usize).min(bytes.len());
        let (part, rest) = bytes.split_at_checked(n).unwrap_or_default();
        *bytes = rest;
        self.filled += n as u32;
        if self.filled > block.len {
            self.filled = 0;
            self.blocks.pop_front();
        }
        Some(Cut::Bytes(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry() -> Geometry {
        Geometry::new(10 * 32_768, 32_768).unwrap()
    }

    fn block(piece: u32, nth: u32) -> BlockRef {
        BlockRef { piece, begin: nth * 16_384, len: 16_384 }
    }

    #[test]
    fn blocks_that_follow_each_other_are_one_range() {
        let mut parts = Parts::default();
        for block in [block(2, 1), block(3, 0), block(3, 1), block(5, 0)] {
            parts.ask(block);
        }
        assert!(!parts.cancel(block(9, 0)));
        let first = 2 * 32_768 + 16_384;
        assert_eq!(parts.next_range(&geometry()), Some((first, first + 3 * 16_384 - 1)));
        parts.put_back();
        assert!(parts.cancel(block(3, 0)));
        assert_eq!(parts.next_range(&geometry()), Some((first, first + 16_384 - 1)));
        assert_eq!(parts.next_range(&geometry()), Some((first + 32_768, first + 49_151)));
    }

    #[test]
    fn a_body_is_cut_into_its_blocks_wherever_it_is_cut_on_its_way() {
        let body: Vec<u8> = (0..3 * 16_384u32).map(|i| (i / 7) as u8).collect();
        for (step, skip) in [(1000, 0), (16_384, 7), (1 << 20, 16_384)] {
            let mut parts = Parts::default();
            for block in [block(0, 1), block(1, 0), block(1, 1)] {
                parts.ask(block);
            }
            parts.next_range(&geometry());
            let mut range = parts.range.take().unwrap();
            range.skip = skip;
            let (mut heads, mut told) = (Vec::new(), Vec::new());
            let sent = [vec![9; skip as usize], body.clone(), vec![8; 99]].concat();
            for mut bytes in sent.chunks(step) {
                while let Some(cut) = range.next(&mut bytes) {
                    match cut {
                        Cut::Head(head) => heads.push((told.len(), head)),
                        Cut::Bytes(bytes) => told.extend_from_slice(bytes),
                    }
                }
            }
            assert!(range.is_done() && told == body);
            let expected = [block(0, 1), block(1, 0), block(1, 1)].iter().enumerate();
            let expected: Vec<_> = expected
                .map(|(n, b)| (n * 16_384, block_head(b.piece, b.begin, b.len)))
                .collect();
            assert_eq!(heads, expected);
        }
    }
}
