//! Hashes what is to be shared in one pass, a page a turn, so that the loop keeps turning.

use crate::content::error::MetaError;
use crate::content::metainfo::{Content, ContentHasher, FolderHasher};
use crate::core::id::{FileId, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Outbox, Page};
use crate::core::limits::FILE_STEP_BYTES;
use crate::core::meter::Meter;
use crate::core::time::Time;

/// What is made of the bytes.
#[derive(Debug)]
pub enum Hasher {
    /// One file of so many bytes.
    File(Box<ContentHasher>, u64),
    Folder(Box<FolderHasher>),
}

impl Hasher {
    /// For one file of `size` bytes and that name.
    pub fn file(name: &[u8], size: u64) -> Result<Hasher, MetaError> {
        Ok(Hasher::File(Box::new(ContentHasher::new(name, size)?), size))
    }

    /// First byte and length of what is to be read next; of length 0 once all is read.
    fn next(&self) -> (u64, u64) {
        match self {
            Hasher::File(hasher, size) => (hasher.hashed(), size - hasher.hashed()),
            Hasher::Folder(hasher) => hasher.wanted().unwrap_or((0, 0)),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::File(hasher, _) => hasher.update(bytes),
            Hasher::Folder(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Result<Content, MetaError> {
        match self {
            Hasher::File(hasher, _) => hasher.finish(),
            Hasher::Folder(hasher) => hasher.finish(),
        }
    }
}

#[derive(Debug)]
pub struct Hashing {
    file: FileId,
    /// Bytes to hash in all, and those that are.
    pub size: u64,
    hashed_bytes: u64,
    /// Gone once it gave its result.
    hasher: Option<Hasher>,
    reading: Option<Ticket>,
    pub meter: Meter,
}

/// How hashing goes on.
#[derive(Debug)]
pub enum Step {
    More,
    /// All bytes are hashed.
    Whole(Box<Content>),
    Failed(FileError),
    /// The file is shorter than it was when it was opened.
    Changed,
    Refused(MetaError),
}

impl Hashing {
    /// Begins with the first page of `file`.
    pub fn start(file: FileId, hasher: Hasher, now: Time, out: &mut Outbox) -> Hashing {
        let (offset, left) = hasher.next();
        let size = match &hasher {
            Hasher::File(_, size) => *size,
            Hasher::Folder(hasher) => hasher.files().data_bytes(),
        };
        let (hasher, meter) = (Some(hasher), Meter::new(now));
        let mut hashing = Hashing { file, size, hashed_bytes: 0, hasher, reading: None, meter };
        hashing.read(offset, left, Page::new(), out);
        hashing
    }

    fn read(&mut self, offset: u64, left: u64, mut page: Page, out: &mut Outbox) {
        page.resize(left.min(FILE_STEP_BYTES as u64) as usize, 0);
        self.reading = Some(out.file(FileOp::Read { file: self.file, offset, page }));
    }

    pub fn hashed_bytes(&self) -> u64 {
        self.hashed_bytes
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
        let Some(hasher) = &mut self.hasher else { return Ok(Step::More) };
        hasher.update(&page);
        let (offset, left) = hasher.next();
        self.meter.add(now, got as u64);
        self.hashed_bytes += got as u64;
        if left > 0 {
            self.read(offset, left, page, out);
            return Ok(Step::More);
        }
        self.reading = None;
        Ok(match self.hasher.take().map(Hasher::finish) {
            Some(Ok(content)) => Step::Whole(Box::new(content)),
            Some(Err(error)) => Step::Refused(error),
            None => Step::More,
        })
    }
}
