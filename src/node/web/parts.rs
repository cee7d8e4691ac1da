//! What is asked of a web seed: blocks that wait, the run of them that is under way, the parts of
//! files that it lies in, and the blocks their bytes are cut into again.

use crate::content::file_list::Kind;
use crate::content::metainfo::Content;
use crate::core::limits::{WEB_RANGE_BYTES_MAX, WEB_SKIP_BYTES_MAX};
use crate::wire::peer::{BlockRef, block_head};
use std::collections::VecDeque;

/// Most blocks that wait: more than a swarm asks of one source.
const WAITING_MAX: usize = 1024;

/// A part of a file, or of the zeros between files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Segment {
    Zeros(u64),
    File {
        entry: usize,
        /// First byte in the file.
        first: u64,
        len: u64,
    },
}

/// Blocks that follow each other without a gap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// What of it did not come yet, the next one first.
    blocks: VecDeque<BlockRef>,
    segments: VecDeque<Segment>,
    /// Bytes of the next block that came, its head counted as one.
    filled: u32,
    /// Bytes before the segment that come first, where a server sends the whole file.
    skip: u64,
}

#[derive(Debug, Default)]
pub struct Parts {
    waiting: VecDeque<BlockRef>,
    pub run: Option<Run>,
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
        self.waiting.is_empty() && self.run.is_none()
    }

    /// Begins the next run: the first block that waits and those that follow it without a gap.
    pub fn begin_run(&mut self, content: &Content) {
        let at = |block: &BlockRef| {
            let piece = content.geometry.piece(block.piece)?;
            Some(content.geometry.piece_offset(piece) + u64::from(block.begin))
        };
        let Some(block) = self.waiting.pop_front() else { return };
        let Some(first) = at(&block) else { return };
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
        let segments = segments(content, first, end);
        self.run = Some(Run { blocks, segments, filled: 0, skip: 0 });
    }

    /// The run is to be asked again, on another connection.
    pub fn put_back(&mut self) {
        if let Some(run) = self.run.take() {
            for block in run.blocks.into_iter().rev() {
                self.waiting.push_front(block);
            }
        }
    }
}

/// What of files, and of nothing, lies in a part of the row.
fn segments(content: &Content, first: u64, end: u64) -> VecDeque<Segment> {
    let (mut segments, mut at) = (VecDeque::new(), first);
    for span in content.files.spans(first, end) {
        let Some(entry) = content.files.entries().get(span.entry) else { continue };
        let start = entry.offset + span.offset;
        if start > at {
            segments.push_back(Segment::Zeros(start - at));
        }
        at = start + span.len;
        segments.push_back(match entry.kind {
            Kind::Plain => Segment::File { entry: span.entry, first: span.offset, len: span.len },
            Kind::Pad | Kind::Link => Segment::Zeros(span.len),
        });
    }
    if at < end {
        segments.push_back(Segment::Zeros(end - at));
    }
    segments
}

impl Run {
    /// What comes next; `None` = all of it came.
    pub fn segment(&self) -> Option<Segment> {
        self.segments.front().copied()
    }

    /// Whether the next segment is begun with, and no block is half here.
    pub fn is_untouched(&self) -> bool {
        self.filled == 0
    }

    /// Whether all of the file's part came that is being sent.
    pub fn is_part_done(&self) -> bool {
        !matches!(self.segments.front(), Some(Segment::File { len: 1.., .. }))
    }

    /// Goes on to what follows the part.
    pub fn part_ended(&mut self) {
        self.segments.pop_front();
        self.skip = 0;
    }

    /// The server sends the whole file. `false` if that is too much for what is wanted.
    pub fn whole_file_comes(&mut self) -> bool {
        let Some(Segment::File { first, .. }) = self.segments.front() else { return false };
        self.skip = *first;
        self.skip <= WEB_SKIP_BYTES_MAX
    }

    /// The next of what the body of an answer has for the swarm; `None` = its bytes are taken, or
    /// the part is done.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Cut<'a>> {
        if self.skip > 0 {
            let n = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            *bytes = bytes.get(n..).unwrap_or_default();
            self.skip -= n as u64;
        }
        let Some(Segment::File { first, len, .. }) = self.segments.front() else { return None };
        let (first, len) = (*first, *len);
        let room = usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
        let (mut ours, _) = bytes.split_at_checked(room)?;
        let before = ours.len();
        let cut = self.cut(&mut ours)?;
        let took = before - ours.len();
        *bytes = bytes.get(took..).unwrap_or_default();
        if let Some(Segment::File { first: at, len: left, .. }) = self.segments.front_mut() {
            (*at, *left) = (first + took as u64, len - took as u64);
        }
        Some(cut)
    }

    /// The next of what bytes of the run are for the swarm, wherever they come from.
    pub fn cut<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Cut<'a>> {
        let block = *self.blocks.front()?;
        if bytes.is_empty() {
            return None;
        }
        if self.filled == 0 {
            self.filled = 1;
            return Some(Cut::Head(block_head(block.piece, block.begin, block.len)));
        }
        let came = self.filled - 1;
        let n = (block.len.saturating_sub(came) as usize).min(bytes.len());
        let (part, rest) = bytes.split_at_checked(n)?;
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
    use crate::content::file_list::{Entry, FileList};
    use crate::content::geometry::Geometry;
    use crate::content::metainfo::ContentHasher;
    use std::rc::Rc;

    fn content(lengths: &[u64], grid: Option<u32>) -> Content {
        let mut hasher = ContentHasher::with_piece_length(b"x", 1, 32_768).unwrap();
        hasher.update(b"1");
        let entries = lengths.iter().map(|length| Entry::plain(*b"f", *length)).collect();
        let files = FileList::lay(entries, lengths.len() > 1, grid).unwrap();
        let geometry = Geometry::of(&files, 32_768).unwrap();
        Content { geometry, files: Rc::new(files), ..hasher.finish().unwrap() }
    }

    fn block(piece: u32, nth: u32) -> BlockRef {
        BlockRef { piece, begin: nth * 16_384, len: 16_384 }
    }

    fn run(parts: &mut Parts, content: &Content) -> Vec<Segment> {
        parts.begin_run(content);
        parts.run.as_ref().map(|run| run.segments.iter().copied().collect()).unwrap_or_default()
    }

    #[test]
    fn blocks_that_follow_each_other_are_one_range() {
        let (mut parts, content) = (Parts::default(), content(&[10 * 32_768], None));
        for block in [block(2, 1), block(3, 0), block(3, 1), block(5, 0)] {
            parts.ask(block);
        }
        assert!(!parts.cancel(block(9, 0)));
        let first = 2 * 32_768 + 16_384;
        let file = |first, len| vec![Segment::File { entry: 0, first, len }];
        assert_eq!(run(&mut parts, &content), file(first, 3 * 16_384));
        parts.put_back();
        assert!(parts.cancel(block(3, 0)));
        assert_eq!(run(&mut parts, &content), file(first, 16_384));
        assert_eq!(run(&mut parts, &content), file(first + 32_768, 16_384));
    }

    #[test]
    fn a_run_over_several_files_is_a_part_of_each_and_zeros_between_them() {
        let (mut parts, content) = (Parts::default(), content(&[10_000, 0, 40_000], Some(32_768)));
        parts.ask(block(0, 0));
        parts.ask(block(0, 1));
        parts.ask(block(1, 0));
        let expected = [
            Segment::File { entry: 0, first: 0, len: 10_000 },
            Segment::Zeros(22_768),
            Segment::File { entry: 2, first: 0, len: 16_384 },
        ];
        assert_eq!(run(&mut parts, &content), expected);
    }

    #[test]
    fn a_body_is_cut_into_its_blocks_wherever_it_is_cut_on_its_way() {
        let content = content(&[10 * 32_768], None);
        let body: Vec<u8> = (0..3 * 16_384u32).map(|i| (i / 7) as u8).collect();
        for (step, skip) in [(1000, 0), (16_384, 7), (1 << 20, 16_384)] {
            let mut parts = Parts::default();
            for block in [block(0, 1), block(1, 0), block(1, 1)] {
                parts.ask(block);
            }
            parts.begin_run(&content);
            let mut run = parts.run.take().unwrap();
            run.skip = skip;
            let (mut heads, mut told) = (Vec::new(), Vec::new());
            let sent = [vec![9; skip as usize], body.clone(), vec![8; 99]].concat();
            for mut bytes in sent.chunks(step) {
                while let Some(cut) = run.next(&mut bytes) {
                    match cut {
                        Cut::Head(head) => heads.push((told.len(), head)),
                        Cut::Bytes(bytes) => told.extend_from_slice(bytes),
                    }
                }
            }
            assert!(run.is_part_done() && told == body);
            let blocks = [block(0, 1), block(1, 0), block(1, 1)];
            let head =
                |(n, b): (usize, &BlockRef)| (n * 16_384, block_head(b.piece, b.begin, b.len));
            let expected: Vec<_> = blocks.iter().enumerate().map(head).collect();
            assert_eq!(heads, expected);
        }
    }
}
