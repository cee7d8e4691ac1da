//! Data on its way to a client as RAW frames.

use super::parts::Parts;
use crate::wire::catalogue::frame::{FIN, RAW, write_frame};
use crate::wire::catalogue::kind;

/// The frames of one answer.
#[derive(Debug)]
pub struct Stream {
    number: u16,
    parts: Parts,
}

impl Stream {
    pub fn new(number: u16, parts: Parts) -> Stream {
        Stream { number, parts }
    }

    /// Appends the next frame with at most `most` bytes; true if it is the last.
    pub fn frame(&mut self, most: usize, out: &mut Vec<u8>) -> bool {
        let (bytes, last) = self.parts.next(most);
        let flags = if last { RAW | FIN } else { RAW };
        write_frame(kind::ANSWER | kind::FETCH, flags, self.number, bytes, out);
        last
    }
}
