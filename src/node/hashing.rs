//! Hashes the file to share in one pass, a page a turn, so that the loop keeps turning.

use crate::content::error::MetaError;
use crate::content::metainfo::{Content, ContentHasher};
use crate::core::id::{FileId, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Outbox, Page};
use crate::core::limits::FILE_STEP_BYTES;
use crate::core::meter::Meter;
use crate::core::time::Time;

#[derive(Debug)]
pub struct Hashing {
    file: FileId,
    size: u64,
    offset: u64,
    /// Gone once it gave its result.
    hasher: Option<ContentHasher>,
    reading: Option<Ticket>,
    pub meter: Meter,
}

/// How hashing goes on.
#[derive(Debug)]
pub enum Step {
    More,
    /// All bytes are hashed.
    Whole(Content),
    Failed(FileError),
    /// The file is shorter than it was when it was opened.
    Changed,
    Refused(MetaError),
}

impl Hashing {
    /// Begins with the first page of `file`, `size` bytes under the name `name`.
    pub fn start(
        file: FileId,
        size: u64,
        name: &[u8],
        now: Time,
        out: &mut Outbox,
    ) -> Result<Hashing, MetaError> {
        let hasher = Some(ContentHasher::new(name, size)?);
        let meter = Meter::new(now);
        let mut hashing = Hashing { file, size, offset: 0, hasher, reading: None, meter };
        hashing.read(Page::new(), out);
        Ok(hashing)
    }

    fn read(&mut self, mut page: Page, out: &mut Outbox) {
        let len = (self.size - self.offset).min(FILE_STEP_BYTES as u64) as usize;
        page.resize(len, 0);
        let (file, offset) = (self.file, self.offset);
        self.reading = Some(out.file(FileOp::Read { file, offset, page }));
    }

    pub fn hashed_bytes(&self) -> u64 {
        self.offset
    }

    /// A page came; `Err` hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Step, FileDone> {
        if self.reading != Some(ticket) {
            return Err(done);
        }
        let FileDone::Read { page, result } = done else { return Ok(Step::More) };
        let got = match result {
            Ok(got) => got as usize,
            Err(error) => return Ok(Step::Failed(error)),
        };
        if got < page.len() {
            return Ok(Step::Changed);
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&page);
        }
        self.meter.add(now, got as u64);
        self.offset += got as u64;
        if self.offset < self.size {
            self.read(page, out);
            return Ok(Step::More);
        }
        self.reading = None;
        match self.hasher.take() {
            Some(hasher) => Ok(hasher.finish().map_or_else(Step::Refused, Step::Whole)),
            None => Ok(Step::More),
        }
    }
}
