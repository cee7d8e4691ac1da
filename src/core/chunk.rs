//! Bytes to send: either here or in a file. The machine says *which* bytes leave; the reactor
//! decides how, and the simulator copies a slice.

use super::id::FileId;

/// A range of bytes of an open file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSpan {
    pub file: FileId,
    /// First byte.
    pub offset: u64,
    /// Length in bytes, never zero while queued.
    pub len: u32,
}

impl FileSpan {
    /// The rest of the span after its first `n` bytes left.
    pub fn advance(&mut self, n: u32) {
        let n = n.min(self.len);
        self.offset += u64::from(n);
        self.len -= n;
    }

    /// Whether `next` continues this span without a gap.
    pub fn joins(&self, next: &FileSpan) -> bool {
        self.file == next.file && self.offset + u64::from(self.len) == next.offset
    }
}

/// One piece of output for a connection's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chunk {
    /// A short message carried in the chunk itself.
    Head(Head),
    /// Bytes that stand in the outbox's arena until the effect is applied.
    Arena { start: u32, len: u32 },
    /// Bytes of a file, read when they leave.
    File(FileSpan),
}

/// Up to [`Head::CAPACITY`] bytes by value: every fixed-length peer message fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    bytes: [u8; Head::CAPACITY],
    len: u8,
}

impl Head {
    pub const CAPACITY: usize = 31;

    /// The bytes as a head, or `None` when they do not fit.
    pub fn new(bytes: &[u8]) -> Option<Head> {
        let mut head = Head { bytes: [0; Head::CAPACITY], len: bytes.len() as u8 };
        head.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(head)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_holds_31_bytes_and_not_32() {
        assert_eq!(Head::new(&[7; 31]).unwrap().bytes(), &[7; 31]);
        assert!(Head::new(&[7; 32]).is_none());
    }

    #[test]
    fn a_span_advances_to_nothing_and_not_beyond() {
        let file = FileId { slot: 0, generation: 0 };
        let mut span = FileSpan { file, offset: 10, len: 5 };
        span.advance(2);
        assert_eq!((span.offset, span.len), (12, 3));
        span.advance(9);
        assert_eq!((span.offset, span.len), (15, 0));
    }
}
