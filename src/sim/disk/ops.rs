//! The file operations of the door, one by one.

use super::faults::refusal;
use super::sparse::Sparse;
use super::{Body, Disk, Entry, Handle, settle};
use crate::core::id::FileId;
use crate::core::io::{FileDone, FileError, FileKind, FileOp, Meta, OpenMode};
use std::path::{Path, PathBuf};

const ENOTDIR: i32 = 20;
const EINVAL: i32 = 22;
const ENOTEMPTY: i32 = 39;

impl Disk {
    /// Performs an operation at once; the world tells the answer later.
    pub(in crate::sim) fn perform(&mut self, owner: usize, op: FileOp) -> FileDone {
        if let Some(error) = self.refuse(owner, &op) {
            return refusal(op, error);
        }
        match self.perform_on_row(owner, op) {
            Ok(done) => done,
            Err(op) => self.perform_on_one(owner, op),
        }
    }

    fn perform_on_one(&mut self, owner: usize, op: FileOp) -> FileDone {
        match op {
            FileOp::Open { path, mode } => FileDone::Opened(self.open(owner, &path, mode)),
            FileOp::OpenRow { root, row, mode } => {
                FileDone::Opened(self.open_row(owner, (&root, row), mode))
            }
            FileOp::StatNamed { file, path } => FileDone::Meta(self.named(owner, file, &path)),
            FileOp::Stat { path } => FileDone::Meta(self.stat(&path)),
            FileOp::StatOpen { file } => {
                FileDone::Meta(self.handle(owner, file).map(|handle| self.meta(handle.inode)))
            }
            FileOp::Read { file, offset, mut page } => {
                let body = self.regular(owner, file);
                let got = body.map(|body| body.read(offset, &mut page) as u32);
                let result = got.and_then(|n| self.is_as_pinned(owner, file).map(|()| n));
                self.rot(owner, file, &mut page);
                FileDone::Read { page, result }
            }
            FileOp::Write { file, offset, page } => {
                let result = self.write(owner, file, offset, &page);
                FileDone::Wrote { page, result }
            }
            FileOp::ListDir { path, entries_max } => {
                FileDone::Listed(self.list_dir(&path, entries_max))
            }
            FileOp::FreeSpace { path } => FileDone::Free(self.stat(&path).map(|_| self.free())),
            FileOp::Load { path, bytes_max } => FileDone::Loaded(self.load(&path, bytes_max)),
            FileOp::Sync { file, .. } => FileDone::Done(self.sync(owner, file)),
            FileOp::SyncDir { path } => FileDone::Done(self.sync_dir(&path)),
            FileOp::SetLen { file, len } => {
                FileDone::Done(self.written(owner, file, |body| body.set_len(len)))
            }
            FileOp::Rename { from, to, replace } => {
                FileDone::Done(self.rename(&from, &to, replace))
            }
            FileOp::Remove { path } => FileDone::Done(self.remove(&path)),
            FileOp::RemoveBeside { path, file, named } => {
                FileDone::Done(self.remove_beside(owner, &path, (file, &named)))
            }
            FileOp::Close { file } => FileDone::Done(self.close(owner, file)),
            FileOp::Save { path, bytes, private } => {
                FileDone::Done(self.save(&path, &bytes, private))
            }
            FileOp::Lock { file } => FileDone::Done(self.lock(owner, file)),
            FileOp::Holder { file } => FileDone::Holder(self.holder(owner, file)),
            FileOp::Guard { file } => {
                FileDone::Guarded(self.guard(owner, file).map(|()| self.tick_ns <= 1))
            }
            FileOp::RemoveUnwanted { file } => FileDone::Done(self.handle(owner, file).map(|_| ())),
            FileOp::SetPlainMode { file } => FileDone::Done(self.written(owner, file, |_| {})),
            FileOp::WriteBack { file, .. } => FileDone::Done(self.handle(owner, file).map(|_| ())),
            FileOp::NextExtent { file, offset } => {
                FileDone::Extent(self.regular(owner, file).map(|body| body.next_extent(offset)))
            }
            FileOp::Pin { file, meta } => FileDone::Done(self.pin(owner, file, meta)),
        }
    }
}

/// The operations one by one.
impl Disk {
    fn open(
        &mut self,
        owner: usize,
        path: &Path,
        mode: OpenMode,
    ) -> Result<(FileId, Meta), FileError> {
        let found = self.names.get(path).copied();
        let inode = match (found, mode) {
            (Some(_), OpenMode::CreateNew) => return Err(FileError::Exists),
            (Some(inode), OpenMode::Read) => self.follow(inode)?,
            (Some(inode), OpenMode::Update) => inode,
            (None, OpenMode::Read | OpenMode::Update) => return Err(FileError::NotFound),
            (None, OpenMode::CreateNew) => {
                self.parent(path)?;
                self.create(path, Sparse::default())
            }
        };
        match self.inodes.get(&inode).map(|inode| &inode.body) {
            Some(Body::Regular(_)) => {}
            Some(Body::Directory) => return Err(FileError::IsDirectory),
            Some(Body::Special | Body::Symlink(_)) => return Err(FileError::NotRegular),
            None => return Err(FileError::NotFound),
        }
        let writable = mode != OpenMode::Read;
        let (pinned, guarded, row) = (None, None, None);
        let handle = Handle { inode, writable, owner, pinned, guarded, row };
        Ok((self.open.insert(handle), self.meta(inode)))
    }

    /// What a symbolic link leads to; at most forty links, as Linux.
    pub(super) fn follow(&self, mut inode: u64) -> Result<u64, FileError> {
        for _ in 0..40 {
            match self.inodes.get(&inode).map(|inode| &inode.body) {
                Some(Body::Symlink(to)) => {
                    inode = self.names.get(to).copied().ok_or(FileError::NotFound)?;
                }
                _ => return Ok(inode),
            }
        }
        Err(FileError::NotRegular)
    }

    pub(super) fn stat(&self, path: &Path) -> Result<Meta, FileError> {
        self.names.get(path).map(|inode| self.meta(*inode)).ok_or(FileError::NotFound)
    }

    pub(super) fn meta(&self, number: u64) -> Meta {
        let inode = self.inodes.get(&number);
        let (kind, size) = match inode.map(|inode| &inode.body) {
            Some(Body::Regular(body)) => (FileKind::Regular, body.len()),
            Some(Body::Directory) => (FileKind::Directory, 4096),
            Some(Body::Symlink(to)) => (FileKind::Symlink, to.as_os_str().len() as u64),
            Some(Body::Special) | None => (FileKind::Special, 0),
        };
        let (mtime_ns, ctime_ns) = inode.map_or((0, 0), |inode| (inode.mtime_ns, inode.ctime_ns));
        Meta { kind, size, device: 1, inode: number, mtime_ns, ctime_ns }
    }

    fn write(
        &mut self,
        owner: usize,
        file: FileId,
        offset: u64,
        page: &[u8],
    ) -> Result<(), FileError> {
        if self.regular(owner, file)?.growth(offset, page.len()) > self.free() {
            return Err(FileError::NoSpace);
        }
        self.written(owner, file, |body| body.write(offset, page))
    }

    fn load(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
        let inode = self.names.get(path).copied().ok_or(FileError::NotFound)?;
        match self.inodes.get(&self.follow(inode)?).map(|inode| &inode.body) {
            Some(Body::Regular(body)) if body.len() > bytes_max => Err(FileError::TooLarge),
            Some(Body::Regular(body)) => {
                let mut bytes = vec![0; body.len() as usize];
                body.read(0, &mut bytes);
                Ok(bytes)
            }
            Some(Body::Directory) => Err(FileError::IsDirectory),
            _ => Err(FileError::NotRegular),
        }
    }

    fn save(&mut self, path: &Path, bytes: &[u8], private: bool) -> Result<(), FileError> {
        match path.parent() {
            Some(parent) if private => self.make_dirs(parent),
            _ => self.parent(path)?,
        }
        match self.stat(path).map(|meta| meta.kind) {
            Ok(FileKind::Directory) => return Err(FileError::IsDirectory),
            Ok(FileKind::Special) => return Err(FileError::NotRegular),
            Ok(FileKind::Regular | FileKind::Symlink) | Err(_) => {}
        }
        let mut body = Sparse::default();
        if body.growth(0, bytes.len()) > self.free() {
            return Err(FileError::NoSpace);
        }
        body.write(0, bytes);
        body.sync();
        self.create(path, body);
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path, replace: bool) -> Result<(), FileError> {
        let inode = self.names.get(from).copied().ok_or(FileError::NotFound)?;
        self.parent(to)?;
        match self.stat(to) {
            Ok(_) if !replace => return Err(FileError::Exists),
            Ok(meta) if meta.kind == FileKind::Directory => return Err(FileError::IsDirectory),
            _ => {}
        }
        let is_directory = self.meta(inode).kind == FileKind::Directory;
        if is_directory && self.stat(to).is_ok() {
            return Err(FileError::Other(ENOTDIR));
        }
        if is_directory && to.starts_with(from) {
            return Err(FileError::Other(EINVAL));
        }
        self.enter(to, Entry::Move(from.to_path_buf(), to.to_path_buf(), inode));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> Result<(), FileError> {
        let is_below = |name: &&PathBuf| name.starts_with(path) && *name != path;
        if self.stat(path)?.kind == FileKind::Directory && self.names.keys().any(|n| is_below(&n)) {
            return Err(FileError::Other(ENOTEMPTY));
        }
        self.enter(path, Entry::Unlink(path.to_path_buf()));
        Ok(())
    }

    fn remove_beside(
        &mut self,
        owner: usize,
        path: &Path,
        (file, named): (FileId, &Path),
    ) -> Result<(), FileError> {
        let ours = self.handle(owner, file)?.inode;
        match self.names.get(named) {
            Some(inode) if *inode == ours => self.remove(path),
            _ => Err(FileError::Changed),
        }
    }

    /// What an open file is, if that path names it.
    fn named(&self, owner: usize, file: FileId, path: &Path) -> Result<Meta, FileError> {
        let ours = self.handle(owner, file)?.inode;
        match self.names.get(path) {
            Some(inode) if *inode == ours => Ok(self.meta(ours)),
            Some(_) => Err(FileError::Changed),
            None => Err(FileError::NotFound),
        }
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> Result<(), FileError> {
        if self.stat(path)?.kind != FileKind::Directory {
            return Err(FileError::Other(ENOTDIR));
        }
        for entry in self.unsynced.remove(path).unwrap_or_default() {
            settle(&mut self.synced, &entry);
        }
        self.sweep();
        Ok(())
    }

    fn lock(&mut self, owner: usize, file: FileId) -> Result<(), FileError> {
        let inode = self.handle(owner, file)?.inode;
        match *self.locks.entry(inode).or_insert(file) {
            holder if holder == file => Ok(()),
            _ => Err(FileError::Busy),
        }
    }

    /// The process that holds the lock of a file.
    fn holder(&self, owner: usize, file: FileId) -> Option<u32> {
        let holder = *self.locks.get(&self.handle(owner, file).ok()?.inode)?;
        u32::try_from(self.open.get(holder)?.owner).ok()
    }

    fn pin(&mut self, owner: usize, file: FileId, meta: Meta) -> Result<(), FileError> {
        self.handle(owner, file)?;
        if let Some(handle) = self.open.get_mut(file) {
            handle.pinned = Some(meta);
        }
        Ok(())
    }

    pub(super) fn guard(&mut self, owner: usize, file: FileId) -> Result<(), FileError> {
        let meta = self.meta(self.handle(owner, file)?.inode);
        if let Some(handle) = self.open.get_mut(file) {
            handle.guarded = Some(meta);
        }
        Ok(())
    }

    /// Whether nobody else changed a guarded file.
    pub(super) fn is_ours(&self, owner: usize, file: FileId) -> Result<(), FileError> {
        let handle = self.handle(owner, file)?;
        let now = self.meta(handle.inode);
        match handle.guarded.is_none_or(|was| was == now) {
            true => Ok(()),
            false => Err(FileError::Changed),
        }
    }

    pub(super) fn close(&mut self, owner: usize, file: FileId) -> Result<(), FileError> {
        self.handle(owner, file)?;
        self.open.remove(file);
        self.locks.retain(|_, holder| *holder != file);
        Ok(())
    }
}
