//! Reading files one after the other, a page a turn.

use crate::core::id::{FileId, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Meta, OpenMode, Outbox, Page};
use crate::core::limits::FILE_STEP_BYTES;
use std::path::PathBuf;

/// At most one file is open and at most one answer is waited for.
#[derive(Debug, Default)]
pub struct Pages {
    asked: Option<Ticket>,
    file: Option<FileId>,
    page: Page,
}

/// What was asked for.
#[derive(Debug)]
pub enum Got {
    Opened(Meta),
    /// Bytes from where they were asked for, fewer only at the end of the file. The page is given
    /// back with [`Pages::done_with`].
    Bytes(Page),
    Failed(FileError),
}

impl Pages {
    /// -> [`Got::Opened`]
    pub fn open(&mut self, path: PathBuf, out: &mut Outbox) {
        self.asked = Some(out.file(FileOp::Open { path, mode: OpenMode::Read }));
    }

    /// From now on reads fail if the file is not what `meta` says.
    pub fn pin(&mut self, meta: Meta, out: &mut Outbox) {
        if let Some(file) = self.file {
            out.file(FileOp::Pin { file, meta });
        }
    }

    /// The next bytes, at most `len` of them. -> [`Got::Bytes`]
    pub fn read(&mut self, offset: u64, len: u64, out: &mut Outbox) {
        let Some(file) = self.file else { return };
        let mut page = std::mem::take(&mut self.page);
        page.resize(len.min(FILE_STEP_BYTES as u64) as usize, 0);
        self.asked = Some(out.file(FileOp::Read { file, offset, page }));
    }

    pub fn done_with(&mut self, page: Page) {
        self.page = page;
    }

    pub fn close(&mut self, out: &mut Outbox) {
        if let Some(file) = self.file.take() {
            out.file(FileOp::Close { file });
        }
    }

    /// The answer to what was asked last; of anything else nothing.
    pub fn got(&mut self, ticket: Ticket, done: FileDone) -> Option<Got> {
        self.asked.take_if(|asked| *asked == ticket)?;
        match done {
            FileDone::Opened(Ok((file, meta))) => {
                self.file = Some(file);
                Some(Got::Opened(meta))
            }
            FileDone::Read { mut page, result: Ok(got) } => {
                page.truncate(got as usize);
                Some(Got::Bytes(page))
            }
            FileDone::Opened(Err(error)) | FileDone::Read { result: Err(error), .. } => {
                Some(Got::Failed(error))
            }
            _ => None,
        }
    }
}
