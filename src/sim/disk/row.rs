//! A row of files as one open file: the twin of the reactor's. `whole`: what is done to all of
//! them.

mod whole;

use super::sparse::Sparse;
use super::{Body, Disk, Entry, Handle};
use crate::core::id::FileId;
use crate::core::io::{FileDone, FileError, FileKind, FileOp, Meta, OpenMode};
use crate::core::row::{Place, Row, Tally};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const EBADF: FileError = FileError::Other(9);
const EINVAL: FileError = FileError::Other(22);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Watch {
    Nothing,
    Guarded,
    Pinned,
}

/// What is open of a row beside its folder.
#[derive(Clone, Debug)]
pub(super) struct OpenRow {
    row: Rc<Row>,
    root: u64,
    writable: bool,
    /// What each file was when it was seen last; behind them what is kept aside.
    seen: Vec<Option<Meta>>,
    watch: Watch,
    changed: bool,
}

impl Handle {
    /// What stays there while it is open, whatever becomes of its name.
    pub(super) fn held(&self) -> impl Iterator<Item = u64> {
        let row = self.row.as_ref();
        let aside = row.and_then(|row| row.seen.get(row.row.files().len()).copied().flatten());
        std::iter::once(self.inode).chain(aside.map(|meta| meta.inode))
    }
}

impl Disk {
    pub(super) fn open_row(
        &mut self,
        owner: usize,
        (root, row): (&Path, Rc<Row>),
        mode: OpenMode,
    ) -> Result<(FileId, Meta), FileError> {
        let inode = match (self.names.get(root).copied(), mode) {
            (Some(_), OpenMode::CreateNew) => return Err(FileError::Exists),
            (Some(inode), OpenMode::Read) => self.follow(inode)?,
            (Some(inode), OpenMode::Update) => inode,
            (None, OpenMode::Read | OpenMode::Update) => return Err(FileError::NotFound),
            (None, OpenMode::CreateNew) => self.make_dir(root)?,
        };
        if self.meta(inode).kind != FileKind::Directory {
            return Err(FileError::NotRegular);
        }
        let writable = mode != OpenMode::Read;
        let seen = vec![None; row.files().len() + 1];
        let (watch, changed) = (Watch::Nothing, false);
        let mut open = OpenRow { row, root: inode, writable, seen, watch, changed };
        let aside = open.row.aside().and_then(|path| self.stat(path).ok());
        open.seen[open.row.files().len()] = aside.filter(|meta| meta.kind == FileKind::Regular);
        let meta = self.look_at_all(&mut open);
        if writable {
            Self::are_apart(&open)?;
        }
        let (pinned, guarded, row) = (None, None, Some(Box::new(open)));
        let handle = Handle { inode, writable, owner, pinned, guarded, row };
        Ok((self.open.insert(handle), meta))
    }

    /// Makes a directory, durable once the one above it is synced.
    fn make_dir(&mut self, path: &Path) -> Result<u64, FileError> {
        self.parent(path)?;
        let inode = self.add(Body::Directory);
        self.enter(path, Entry::Link(path.to_path_buf(), inode));
        Ok(inode)
    }

    /// An operation on an open row; the operation itself if it is not about one.
    pub(super) fn perform_on_row(&mut self, owner: usize, op: FileOp) -> Result<FileDone, FileOp> {
        let whole =
            matches!(op, FileOp::Close { .. } | FileOp::Lock { .. } | FileOp::Holder { .. });
        let Some(file) = op.file().filter(|_| !whole) else { return Err(op) };
        if matches!(op, FileOp::RemoveBeside { .. }) || self.handle(owner, file).is_err() {
            return Err(op);
        }
        let Some(mut open) = self.open.get_mut(file).and_then(|handle| handle.row.take()) else {
            return Err(op);
        };
        let done = self.apply_to_row(&mut open, op);
        if let Some(handle) = self.open.get_mut(file) {
            handle.row = Some(open);
        }
        Ok(done)
    }

    fn apply_to_row(&mut self, open: &mut OpenRow, op: FileOp) -> FileDone {
        match op {
            FileOp::StatOpen { .. } => FileDone::Meta(Ok(self.look_at_all(open))),
            FileOp::StatNamed { path, .. } => FileDone::Meta(match self.names.get(&path) {
                Some(inode) if *inode == open.root => Ok(self.look_at_all(open)),
                Some(_) => Err(FileError::Changed),
                None => Err(FileError::NotFound),
            }),
            FileOp::Read { offset, mut page, .. } => {
                let result = self.read_row(open, offset, &mut page).map(|got| got as u32);
                FileDone::Read { page, result }
            }
            FileOp::Write { offset, page, .. } => {
                let result = self.write_row(open, offset, &page);
                FileDone::Wrote { page, result }
            }
            FileOp::NextExtent { offset, .. } => {
                FileDone::Extent(Ok(self.next_extent_of_row(open, offset)))
            }
            FileOp::Guard { .. } => {
                (open.watch, open.changed) = (Watch::Nothing, false);
                self.look_at_all(open);
                open.watch = Watch::Guarded;
                FileDone::Guarded(Self::are_apart(open).map(|()| self.tick_ns <= 1))
            }
            FileOp::Pin { meta, .. } => {
                (open.watch, open.changed) = (Watch::Nothing, false);
                open.changed = self.look_at_all(open) != meta;
                open.watch = Watch::Pinned;
                if !open.writable {
                    // What was kept aside has proven the rest, and may go.
                    open.seen[open.row.files().len()] = None;
                }
                FileDone::Done(Ok(()))
            }
            FileOp::SetLen { len, .. } if len == open.row.size() => {
                FileDone::Done(self.set_len_of_row(open))
            }
            FileOp::Sync { meta, .. } => FileDone::Done(self.sync_row(open, meta)),
            FileOp::SetPlainMode { .. } => {
                let all = 0..open.row.files().len();
                let wanted = all.filter(|at| open.seen[*at].is_some()).collect::<Vec<_>>();
                let set = wanted.into_iter().try_for_each(|at| self.change_file(open, at, |_| {}));
                FileDone::Done(set)
            }
            FileOp::RemoveUnwanted { .. } => FileDone::Done(self.remove_unwanted(open)),
            FileOp::WriteBack { .. } => FileDone::Done(Ok(())),
            _ => FileDone::Done(Err(EINVAL)),
        }
    }

    /// What the names of the files are now.
    fn path_in_row(&self, open: &OpenRow, file: usize) -> Option<PathBuf> {
        match open.row.files().get(file) {
            Some(entry) => {
                let root = self.names.iter().find(|(_, inode)| **inode == open.root)?.0;
                Some(root.join(self.folded(&entry.path)))
            }
            None => open.row.aside().cloned(),
        }
    }

    /// What a name below a folder is to the disk.
    fn folded(&self, path: &[u8]) -> PathBuf {
        let path = if self.folds_case { path.to_ascii_lowercase() } else { path.to_vec() };
        PathBuf::from(OsStr::from_bytes(&path))
    }

    fn look_at(&self, open: &OpenRow, file: usize) -> Option<Meta> {
        if open.row.files().get(file).is_some_and(|entry| !entry.wanted) {
            return None;
        }
        if file == open.row.files().len() && (!open.writable || open.seen[file].is_some()) {
            // It stays open, whatever becomes of its name.
            return open.seen[file].map(|seen| self.meta(seen.inode));
        }
        let found = self.stat(&self.path_in_row(open, file)?).ok();
        found.filter(|meta| meta.kind == FileKind::Regular)
    }

    fn look_at_all(&mut self, open: &mut OpenRow) -> Meta {
        let (row, mut tally) = (open.row.clone(), Tally::default());
        for file in 0..open.seen.len() - usize::from(!open.writable) {
            let now = self.look_at(open, file);
            tally.add(row.files().get(file), now.as_ref());
            match open.watch {
                Watch::Nothing => open.seen[file] = now,
                _ => open.changed |= open.seen[file] != now,
            }
        }
        tally.meta(&row, &self.meta(open.root))
    }

    /// No file that is there is another one, too.
    fn are_apart(open: &OpenRow) -> Result<(), FileError> {
        let mut first = BTreeMap::new();
        for (file, seen) in open.seen.iter().enumerate() {
            let Some(inode) = seen.map(|meta| meta.inode) else { continue };
            if let Some(other) = first.insert(inode, file) {
                return Err(FileError::OneFile(other, file));
            }
        }
        Ok(())
    }

    fn differs(open: &mut OpenRow) -> FileError {
        open.changed = true;
        if open.watch == Watch::Pinned { FileError::STALE } else { FileError::Changed }
    }

    /// Whether a file is as it was when it was seen last.
    fn is_same(&self, open: &mut OpenRow, file: usize, but_ctime: bool) -> Result<(), FileError> {
        let (was, now) = (open.seen[file], self.look_at(open, file));
        let is_other = was.map(|meta| meta.inode) != now.map(|meta| meta.inode);
        if is_other || (open.watch != Watch::Nothing && open.changed) {
            return Err(Self::differs(open));
        }
        let same = was.zip(now).is_none_or(|(was, now)| {
            (was.size, was.mtime_ns) == (now.size, now.mtime_ns)
                && (but_ctime || was.ctime_ns == now.ctime_ns)
        });
        match same || open.watch == Watch::Nothing {
            true => Ok(()),
            false => Err(Self::differs(open)),
        }
    }

    fn body(&self, open: &OpenRow, file: usize) -> Option<&Sparse> {
        match &self.inodes.get(&open.seen[file]?.inode)?.body {
            Body::Regular(body) => Some(body),
            _ => None,
        }
    }

    /// Changes a file, which is made if it is not there.
    fn change_file(
        &mut self,
        open: &mut OpenRow,
        file: usize,
        how: impl FnOnce(&mut Sparse),
    ) -> Result<(), FileError> {
        if !open.writable {
            return Err(EBADF);
        }
        if let (None, Some(found)) = (open.seen[file], self.look_at(open, file)) {
            let is_found = |seen: &Option<Meta>| seen.is_some_and(|was| was.inode == found.inode);
            if let Some(other) = open.seen.iter().position(is_found) {
                return Err(FileError::OneFile(other, file));
            }
        }
        self.is_same(open, file, false)?;
        let inode = match open.seen[file] {
            Some(meta) => meta.inode,
            None => {
                let path = self.path_in_row(open, file).ok_or(FileError::NotFound)?;
                let below = path.ancestors().skip(1).collect::<Vec<_>>();
                for folder in below.into_iter().rev() {
                    if !self.names.contains_key(folder) {
                        self.make_dir(folder)?;
                    }
                }
                self.parent(&path)?;
                self.create(&path, Sparse::default())
            }
        };
        let now = self.now_ns;
        if let Some(inode) = self.inodes.get_mut(&inode) {
            (inode.mtime_ns, inode.ctime_ns) = (now, now);
            if let Body::Regular(body) = &mut inode.body {
                how(body);
            }
        }
        open.seen[file] = Some(self.meta(inode));
        Ok(())
    }

    /// The bytes got; fewer only at the end of the row, or where a file is short.
    pub(super) fn read_row(
        &mut self,
        open: &mut OpenRow,
        offset: u64,
        page: &mut [u8],
    ) -> Result<usize, FileError> {
        let (row, mut got) = (open.row.clone(), 0);
        for (place, len) in row.parts(offset, page.len() as u64) {
            let part = &mut page[got..got + len as usize];
            part.fill(0);
            let (file, at) = match place {
                Place::File(file, at) => (file, at),
                Place::Aside(at) => (row.files().len(), at),
                Place::Zeros => {
                    got += part.len();
                    continue;
                }
            };
            let is_there = open.seen[file].is_some();
            let is_aside = file == row.files().len();
            let is_whole = if open.writable { is_aside || !is_there } else { is_aside && is_there };
            let n = self.body(open, file).map_or(0, |body| body.read(at, part));
            self.is_same(open, file, open.watch == Watch::Guarded)?;
            got += if is_whole { part.len() } else { n };
            if !is_whole && n < part.len() {
                break;
            }
        }
        Ok(got)
    }

    fn write_row(&mut self, open: &mut OpenRow, offset: u64, page: &[u8]) -> Result<(), FileError> {
        let (row, mut done) = (open.row.clone(), 0);
        if offset.saturating_add(page.len() as u64) > row.size() {
            return Err(EINVAL);
        }
        for (place, len) in row.parts(offset, page.len() as u64) {
            let part = &page[done..done + len as usize];
            done += part.len();
            let (file, at) = match place {
                Place::File(file, at) => (file, at),
                Place::Aside(at) if row.aside().is_some() => (row.files().len(), at),
                Place::Aside(_) | Place::Zeros => continue,
            };
            let fresh = Sparse::default();
            if self.body(open, file).unwrap_or(&fresh).growth(at, part.len()) > self.free() {
                return Err(FileError::NoSpace);
            }
            self.change_file(open, file, |body| body.write(at, part))?;
        }
        Ok(())
    }

    fn next_extent_of_row(&self, open: &OpenRow, offset: u64) -> Option<(u64, u64)> {
        let mut at = offset;
        for (place, len) in open.row.parts(offset, open.row.size()) {
            let (file, from) = match place {
                Place::File(file, from) => (file, from),
                Place::Aside(from) => (open.row.files().len(), from),
                Place::Zeros => (usize::MAX, 0),
            };
            let body = if file == usize::MAX { None } else { self.body(open, file) };
            let data = body.and_then(|body| body.next_extent(from));
            if let Some((start, end)) = data.filter(|(start, _)| *start < from + len) {
                return Some((at + (start - from), (at + (end - from)).min(at + len)));
            }
            at += len;
        }
        None
    }

    /// The row of an open file, if it is one.
    pub(super) fn row_of(&self, owner: usize, file: FileId) -> Option<OpenRow> {
        self.handle(owner, file).ok()?.row.as_deref().cloned()
    }
}
