//! Data on its way to a client as RAW frames: shared bytes, cut as they leave.

use crate::wire::catalogue::frame::{FIN, RAW, write_frame};
use crate::wire::catalogue::kind;
use std::sync::Arc;

/// Bytes on their way out as RAW frames.
#[derive(Debug)]
pub struct Stream {
    number: u16,
    parts: Vec<Arc<[u8]>>,
    /// First part that has not left whole, and how much of it has.
    part: usize,
    at: usize,
}

impl Stream {
    pub fn new(number: u16, parts: Vec<Arc<[u8]>>, skip: u64) -> Stream {
        let mut stream = Stream { number, parts, part: 0, at: 0 };
        stream.at = usize::try_from(skip).unwrap_or(usize::MAX);
        while let Some(part) = stream.parts.get(stream.part)
            && stream.at >= part.len()
        {
            stream.at -= part.len();
            stream.part += 1;
        }
        stream
    }

    /// Appends the next frame with at most `most` bytes of one part; true if it is the last.
    pub fn frame(&mut self, most: usize, out: &mut Vec<u8>) -> bool {
        let part = self.parts.get(self.part).map(|part| &part[..]).unwrap_or_default();
        let left = part.get(self.at..).unwrap_or_default();
        let now = left.get(..most).unwrap_or(left);
        self.at += now.len();
        if self.at >= part.len() {
            (self.part, self.at) = (self.part + 1, 0);
        }
        let last = self.part >= self.parts.len();
        let flags = if last { RAW | FIN } else { RAW };
        write_frame(kind::ANSWER | kind::FETCH, flags, self.number, now, out);
        last
    }
}
