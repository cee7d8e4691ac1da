//! Open files and the work on them. Operations wait in the order they were wished for and are
//! applied in bounded portions; each answer is told in a later turn.

use super::open::{self, Open};
use super::paths;
use super::regular::{file_error, meta, open_regular, read, write};
use super::row::OpenRow;
use crate::core::chunk::FileSpan;
use crate::core::id::{FileId, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Meta, OpenMode};
use crate::core::limits::FILE_TURN_BYTES;
use crate::core::mark::mark;
use crate::core::slots::Slots;
use mio::net::TcpStream;
use rustix::io::{Errno, retry_on_intr};
use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What a sync counts for in a turn's portion: it may wait for a disk.
const SYNC_COST_BYTES: usize = 4 * 1024 * 1024;
/// What the system says of a descriptor that is none.
const NOT_OPEN: FileError = FileError::Other(Errno::BADF.raw_os_error());
/// The file ends where bytes of it were promised.
pub(super) const SHORTER: FileFailed = FileFailed(FileError::Changed);
/// What a small operation counts for.
const SMALL_COST_BYTES: usize = 16 * 1024;

/// A span could not be read whole: the file shrank (`Changed`), failed or is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileFailed(pub FileError);

#[derive(Debug)]
enum Opened {
    One(Open),
    Row(Box<OpenRow>),
}

#[derive(Debug, Default)]
pub(super) struct Files {
    open: Slots<FileId, Opened>,
    /// A row that is being opened.
    opening: Option<Box<OpenRow>>,
    waiting: VecDeque<(Ticket, FileOp)>,
}

impl Files {
    pub fn push(&mut self, ticket: Ticket, op: FileOp) {
        self.waiting.push_back((ticket, op));
    }

    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Applies waiting operations in order: one turn's portion, or (`all`) every one.
    pub fn work(&mut self, all: bool, mut done: impl FnMut(Ticket, FileDone)) {
        let mut cost = 0;
        while all || cost < FILE_TURN_BYTES {
            let Some((ticket, op)) = self.waiting.pop_front() else { return };
            cost += cost_bytes(&op);
            match self.apply(op) {
                Ok(answer) => done(ticket, answer),
                // There is more to do than belongs into one turn, and what follows waits for it.
                Err(op) => {
                    self.waiting.push_front((ticket, op));
                    cost += FILE_TURN_BYTES;
                }
            }
        }
        if self.is_waiting() {
            // The rest waits for a later turn: a slow disk holds up nobody's deadline for long.
            mark!("D33");
        }
    }

    fn apply(&mut self, op: FileOp) -> Result<FileDone, FileOp> {
        if let FileOp::OpenRow { .. } = op {
            return self.open_row(op);
        }
        match op.file().and_then(|file| self.open.get_mut(file)) {
            Some(Opened::Row(row)) if !matches!(op, FileOp::Close { .. }) => row.apply(op),
            _ => Ok(self.apply_to_one(op)),
        }
    }

    fn open_row(&mut self, op: FileOp) -> Result<FileDone, FileOp> {
        let FileOp::OpenRow { root, row, mode } = &op else { return Err(op) };
        let opened = match self.opening.take() {
            Some(row) => Ok(row),
            None => OpenRow::open(root, row.clone(), *mode).map(Box::new),
        };
        let looked = opened.and_then(|mut row| Ok((row.begin()?, row)));
        Ok(FileDone::Opened(match looked {
            Ok((None, row)) => {
                self.opening = Some(row);
                return Err(op);
            }
            Ok((Some(meta), row)) => Ok((self.open.insert(Opened::Row(row)), meta)),
            Err(error) => Err(error),
        }))
    }

    fn apply_to_one(&mut self, op: FileOp) -> FileDone {
        match op {
            FileOp::Open { path, mode } => FileDone::Opened(self.open(&path, mode)),
            FileOp::Stat { path } => FileDone::Meta(paths::stat(&path)),
            FileOp::StatOpen { file } => FileDone::Meta(self.on(file, |fd| {
                let stat = rustix::fs::fstat(fd)?;
                Ok(meta(&stat))
            })),
            FileOp::StatNamed { file, path } => FileDone::Meta(self.named(file, &path)),
            FileOp::NextExtent { file, offset } => {
                FileDone::Extent(self.on(file, |fd| open::next_extent(fd, offset)))
            }
            FileOp::Read { file, offset, mut page } => {
                let got = self.on(file, |fd| read(fd, offset, &mut page));
                let result = got.and_then(|n| self.is_as_pinned(file).map(|()| n));
                FileDone::Read { page, result }
            }
            FileOp::Write { file, offset, page } => {
                let result = self.change(file, |fd| write(fd, offset, &page));
                FileDone::Wrote { page, result }
            }
            FileOp::Load { path, bytes_max } => FileDone::Loaded(paths::load(&path, bytes_max)),
            FileOp::FreeSpace { path } => FileDone::Free(paths::free_space(&path)),
            FileOp::ListDir { path, entries_max } => {
                FileDone::Listed(paths::list_dir(&path, entries_max))
            }
            FileOp::Holder { file } => {
                let holder = self.on(file, |fd| Ok(open::holder(fd)));
                FileDone::Holder(holder.ok().flatten())
            }
            FileOp::Guard { file } => {
                let open = self.one_mut(file).ok_or(NOT_OPEN);
                FileDone::Guarded(open.and_then(Open::guard))
            }
            op => FileDone::Done(self.perform(op)),
        }
    }

    /// The operations that are answered by `Done`.
    fn perform(&mut self, op: FileOp) -> Result<(), FileError> {
        match op {
            FileOp::Sync { file, meta } => self.one(file).ok_or(NOT_OPEN)?.sync(|fd| {
                retry_on_intr(|| match meta {
                    true => rustix::fs::fsync(fd),
                    false => rustix::fs::fdatasync(fd),
                })
            }),
            FileOp::SyncDir { path } => paths::sync_dir(&path),
            FileOp::SetLen { file, len } => {
                self.change(file, |fd| retry_on_intr(|| rustix::fs::ftruncate(fd, len)))
            }
            FileOp::SetPlainMode { file } => self.change(file, open::set_plain_mode),
            // One file is wanted.
            FileOp::RemoveUnwanted { .. } => Ok(()),
            FileOp::WriteBack { file, offset, len } => {
                self.on(file, |fd| open::write_back(fd, offset, len))
            }
            FileOp::Rename { from, to, replace } => paths::rename(&from, &to, replace),
            FileOp::Remove { path } => paths::remove(&path),
            FileOp::RemoveBeside { path, file, named } => {
                self.named(file, &named).map_err(|_| FileError::Changed)?;
                rustix::fs::unlink(&path).map_err(file_error)
            }
            FileOp::Close { file } => self.open.remove(file).map(drop).ok_or(NOT_OPEN),
            FileOp::Save { path, bytes, private } => paths::save(&path, &bytes, private),
            FileOp::Lock { file } => self.on(file, open::lock),
            FileOp::Pin { file, meta } => {
                self.one_mut(file).ok_or(NOT_OPEN)?.pinned = Some(meta);
                Ok(())
            }
            // Answered with more than that it is done.
            FileOp::Open { .. }
            | FileOp::OpenRow { .. }
            | FileOp::Stat { .. }
            | FileOp::StatNamed { .. }
            | FileOp::StatOpen { .. }
            | FileOp::NextExtent { .. }
            | FileOp::Read { .. }
            | FileOp::Write { .. }
            | FileOp::Load { .. }
            | FileOp::FreeSpace { .. }
            | FileOp::ListDir { .. }
            | FileOp::Guard { .. }
            | FileOp::Holder { .. } => Err(FileError::Other(Errno::INVAL.raw_os_error())),
        }
    }

    fn one(&self, file: FileId) -> Option<&Open> {
        match self.open.get(file)? {
            Opened::One(open) => Some(open),
            Opened::Row(_) => None,
        }
    }

    fn one_mut(&mut self, file: FileId) -> Option<&mut Open> {
        match self.open.get_mut(file)? {
            Opened::One(open) => Some(open),
            Opened::Row(_) => None,
        }
    }

    /// What an open file is, if that path names it.
    fn named(&self, file: FileId, path: &Path) -> Result<Meta, FileError> {
        let (ours, now) = (self.on(file, |fd| rustix::fs::fstat(fd))?, paths::stat(path)?);
        match (now.device, now.inode) == (ours.st_dev, ours.st_ino) {
            true => Ok(now),
            false => Err(FileError::Changed),
        }
    }

    /// Works on an open file; an id that is not open is the system's EBADF.
    fn on<T>(
        &self,
        file: FileId,
        work: impl FnOnce(&OwnedFd) -> Result<T, Errno>,
    ) -> Result<T, FileError> {
        let open = self.one(file).ok_or(Errno::BADF);
        open.and_then(|open| work(&open.fd)).map_err(file_error)
    }

    /// Changes an open file, unless it is guarded and somebody else changed it.
    fn change(
        &mut self,
        file: FileId,
        work: impl FnOnce(&OwnedFd) -> Result<(), Errno>,
    ) -> Result<(), FileError> {
        self.one_mut(file).ok_or(NOT_OPEN)?.change(work)
    }

    fn is_as_pinned(&self, file: FileId) -> Result<(), FileError> {
        self.one(file).map_or(Ok(()), Open::is_as_pinned)
    }

    /// Whether bytes of this file are read before they leave: they must be looked after, or do not
    /// stand in one file.
    pub fn is_read(&self, file: FileId) -> bool {
        match self.open.get(file) {
            Some(Opened::One(open)) => open.is_watched(),
            Some(Opened::Row(_)) => true,
            None => false,
        }
    }

    fn open(&mut self, path: &Path, mode: OpenMode) -> Result<(FileId, Meta), FileError> {
        let (fd, meta) = open_regular(path, mode)?;
        Ok((self.open.insert(Opened::One(Open::new(fd))), meta))
    }

    /// Reads one stretch of a file into several places, `len` bytes in all, or fails.
    pub fn read_parts(
        &mut self,
        file: FileId,
        offset: u64,
        mut parts: &mut [IoSliceMut<'_>],
        len: u64,
    ) -> Result<(), FileFailed> {
        let open = match self.open.get_mut(file).ok_or(FileFailed(NOT_OPEN))? {
            Opened::One(open) => open,
            Opened::Row(row) => return row.read_parts(offset, parts).map_err(FileFailed),
        };
        let mut got = 0;
        while got < len {
            let at = offset.checked_add(got).ok_or(SHORTER)?;
            let n = retry_on_intr(|| rustix::io::preadv(&open.fd, parts, at))
                .map_err(|errno| FileFailed(file_error(errno)))?;
            if n == 0 {
                mark!("E10");
                return Err(SHORTER);
            }
            got += n as u64;
            IoSliceMut::advance_slices(&mut parts, n);
        }
        open.is_as_pinned().map_err(FileFailed)
    }

    /// Sends the first bytes of a span without reading them here. -> bytes the socket took; 0 at
    /// the end of the file.
    pub fn send(&self, stream: &TcpStream, span: &FileSpan, len: usize) -> Result<usize, Errno> {
        let fd = &self.one(span.file).ok_or(Errno::BADF)?.fd;
        let mut offset = span.offset;
        retry_on_intr(|| rustix::fs::sendfile(stream, fd, Some(&mut offset), len))
    }
}

fn cost_bytes(op: &FileOp) -> usize {
    match op {
        FileOp::Read { page, .. } | FileOp::Write { page, .. } => page.len().max(SMALL_COST_BYTES),
        FileOp::Sync { .. }
        | FileOp::SyncDir { .. }
        | FileOp::Load { .. }
        | FileOp::ListDir { .. } => SYNC_COST_BYTES,
        FileOp::Save { bytes, .. } => bytes.len().saturating_add(SYNC_COST_BYTES),
        _ => SMALL_COST_BYTES,
    }
}
