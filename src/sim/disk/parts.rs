//! What the file operations are made of: handles, changes of bytes and of names, room.

use super::sparse::Sparse;
use super::{Body, Disk, Entry, Handle, Inode, settle};
use crate::core::id::FileId;
use crate::core::io::{FileError, FileKind, Meta};
use std::collections::BTreeSet;
use std::path::Path;

const EBADF: i32 = 9;
const ENOTDIR: i32 = 20;
const ESTALE: i32 = 116;

impl Disk {
    pub(super) fn handle(&self, owner: usize, file: FileId) -> Result<&Handle, FileError> {
        let handle = self.open.get(file).filter(|handle| handle.owner == owner);
        handle.ok_or(FileError::Other(EBADF))
    }

    /// The first name of an open file.
    pub(super) fn name_of(&self, owner: usize, file: FileId) -> String {
        let inode = self.handle(owner, file).map(|handle| handle.inode);
        let name = self.names.iter().find(|(_, number)| Ok(**number) == inode);
        name.map(|(path, _)| path.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub(super) fn regular(&self, owner: usize, file: FileId) -> Result<&Sparse, FileError> {
        match self.inodes.get(&self.handle(owner, file)?.inode).map(|inode| &inode.body) {
            Some(Body::Regular(body)) => Ok(body),
            _ => Err(FileError::NotRegular),
        }
    }

    /// Whether the file is still what it was pinned as.
    pub(super) fn is_as_pinned(&self, owner: usize, file: FileId) -> Result<(), FileError> {
        let handle = self.handle(owner, file)?;
        let now = self.meta(handle.inode);
        let same = |was: Meta| (was.size, was.mtime_ns) == (now.size, now.mtime_ns);
        match (handle.pinned, handle.guarded) {
            (Some(was), _) if !same(was) || was.ctime_ns != now.ctime_ns => {
                Err(FileError::Other(ESTALE))
            }
            (None, Some(was)) if !same(was) => Err(FileError::Changed),
            _ => Ok(()),
        }
    }

    /// An edit may come while a sync takes its time.
    pub(super) fn sync(&mut self, owner: usize, file: FileId) -> Result<(), FileError> {
        self.is_ours(owner, file)?;
        self.change(owner, file, Sparse::sync)?;
        self.edit_in_sync(owner, file);
        self.is_ours(owner, file)
    }

    pub(super) fn change(
        &mut self,
        owner: usize,
        file: FileId,
        how: impl FnOnce(&mut Sparse),
    ) -> Result<(), FileError> {
        let inode = self.handle(owner, file)?.inode;
        if let Some(Inode { body: Body::Regular(body), .. }) = self.inodes.get_mut(&inode) {
            how(body);
        }
        Ok(())
    }

    /// A change of the content: needs a handle that may write, and marks the time.
    pub(super) fn written(
        &mut self,
        owner: usize,
        file: FileId,
        how: impl FnOnce(&mut Sparse),
    ) -> Result<(), FileError> {
        self.is_ours(owner, file)?;
        let handle = self.handle(owner, file)?;
        if !handle.writable {
            return Err(FileError::Other(EBADF));
        }
        let (number, now, guarded) = (handle.inode, self.now_ns, handle.guarded.is_some());
        if let Some(inode) = self.inodes.get_mut(&number) {
            (inode.mtime_ns, inode.ctime_ns) = (now, now);
        }
        self.change(owner, file, how)?;
        if guarded { self.guard(owner, file) } else { Ok(()) }
    }

    pub(super) fn parent(&self, path: &Path) -> Result<(), FileError> {
        match self.stat(path.parent().ok_or(FileError::NotFound)?)?.kind {
            FileKind::Directory => Ok(()),
            _ => Err(FileError::Other(ENOTDIR)),
        }
    }

    pub(super) fn create(&mut self, path: &Path, body: Sparse) -> u64 {
        let inode = self.add(Body::Regular(body));
        self.enter(path, Entry::Link(path.to_path_buf(), inode));
        inode
    }

    /// Changes the names now and, when the directory is synced, for good.
    pub(super) fn enter(&mut self, path: &Path, entry: Entry) {
        settle(&mut self.names, &entry);
        let directory = path.parent().unwrap_or(path).to_path_buf();
        self.unsynced.entry(directory).or_default().push(entry);
    }

    pub(super) fn free(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.used())
    }

    pub(super) fn used(&self) -> u64 {
        let held = self.open.iter().flat_map(|(_, handle)| handle.held());
        let live: BTreeSet<u64> = self.names.values().copied().chain(held).collect();
        let bodies = live.iter().filter_map(|inode| self.inodes.get(inode));
        bodies
            .map(|inode| if let Body::Regular(b) = &inode.body { b.used_bytes() } else { 0 })
            .sum()
    }

    /// Forgets what no name, no handle and no power cut can bring back.
    pub(super) fn sweep(&mut self) {
        let held = self.open.iter().flat_map(|(_, handle)| handle.held());
        let mut live: BTreeSet<u64> = self.names.values().copied().chain(held).collect();
        live.extend(self.synced.values());
        for entry in self.unsynced.values().flatten() {
            if let Entry::Link(_, inode) | Entry::Move(_, _, inode) = entry {
                live.insert(*inode);
            }
        }
        self.inodes.retain(|number, _| live.contains(number));
    }
}
