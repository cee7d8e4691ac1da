//! The SHA-256 of a whole file, read a page a turn: what a pin by it is compared with.

use crate::content::digest::LeafHasher;
use crate::core::id::{FileId, Hash32, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Outbox, Page};
use crate::core::limits::FILE_STEP_BYTES;

#[derive(Debug)]
pub struct Whole {
    file: FileId,
    size: u64,
    offset: u64,
    hasher: LeafHasher,
    reading: Option<Ticket>,
}

impl Whole {
    /// Begins to read `file`, `size` bytes of it.
    pub fn start(file: FileId, size: u64, out: &mut Outbox) -> Whole {
        let hasher = LeafHasher::default();
        let mut whole = Whole { file, size, offset: 0, hasher, reading: None };
        whole.read(Page::new(), out);
        whole
    }

    fn read(&mut self, mut page: Page, out: &mut Outbox) {
        page.resize((self.size - self.offset).min(FILE_STEP_BYTES as u64) as usize, 0);
        let (file, offset) = (self.file, self.offset);
        self.reading = Some(out.file(FileOp::Read { file, offset, page }));
    }

    /// Bytes read so far.
    pub fn read_bytes(&self) -> u64 {
        self.offset
    }

    /// A read came back: the hash once all is read, or what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        out: &mut Outbox,
    ) -> Result<Result<Option<Hash32>, FileError>, FileDone> {
        let FileDone::Read { page, result } = done else { return Err(done) };
        if self.reading != Some(ticket) {
            return Err(FileDone::Read { page, result });
        }
        let got = match result {
            Ok(got) => got as usize,
            Err(error) => return Ok(Err(error)),
        };
        self.hasher.update(page.get(..got).unwrap_or_default());
        self.offset += got as u64;
        // A file that became shorter has another hash.
        if got > 0 && self.offset < self.size {
            self.read(page, out);
            return Ok(Ok(None));
        }
        Ok(Ok(Some(self.hasher.finish_reset())))
    }
}
