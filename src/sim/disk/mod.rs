//! The disk of one machine: every file operation of the door, in memory. Data that was not synced
//! and directory entries whose directory was not synced are lost (or kept by chance) at a power
//! cut. `ops`: the operations. `faults`: refusals. `sparse`: the bytes of one file.

mod faults;
mod ops;
mod sparse;

pub use faults::{Fault, On};

use self::faults::Faults;
use self::sparse::Sparse;
use crate::core::id::FileId;
use crate::core::io::{Meta, Page};
use crate::core::rng::Rng;
use crate::core::slots::Slots;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// More than anybody fills.
const CAPACITY_BYTES: u64 = 1 << 50;

#[derive(Clone, Debug)]
enum Body {
    Regular(Sparse),
    Directory,
    Special,
    Symlink(PathBuf),
}

#[derive(Clone, Debug)]
struct Inode {
    body: Body,
    mtime_ns: i128,
    ctime_ns: i128,
}

/// A change of directory entries that a power cut may undo.
#[derive(Clone, Debug)]
enum Entry {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Move(PathBuf, PathBuf, u64),
}

#[derive(Debug)]
struct Handle {
    inode: u64,
    writable: bool,
    /// The process that opened it.
    owner: usize,
    /// What the file must be for its bytes to be given out.
    pinned: Option<Meta>,
    /// What our last change left, once changes by others are looked for.
    guarded: Option<Meta>,
}

/// One file system. Paths are absolute; `/` exists.
#[derive(Debug)]
pub struct Disk {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    /// The names a power cut leaves for certain.
    synced: BTreeMap<PathBuf, u64>,
    /// What happened since, by directory, in order.
    unsynced: BTreeMap<PathBuf, Vec<Entry>>,
    open: Slots<FileId, Handle>,
    locks: BTreeMap<u64, FileId>,
    last_inode: u64,
    capacity_bytes: u64,
    now_ns: i128,
    faults: Faults,
}

impl Default for Disk {
    fn default() -> Self {
        let mut disk = Disk {
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            synced: BTreeMap::new(),
            unsynced: BTreeMap::new(),
            open: Slots::default(),
            locks: BTreeMap::new(),
            last_inode: 0,
            capacity_bytes: CAPACITY_BYTES,
            now_ns: 0,
            faults: Faults::default(),
        };
        disk.place(Path::new("/"), Body::Directory);
        disk
    }
}

/// What a person does at the disk, and what a judge looks at.
impl Disk {
    /// Bytes the file system holds in all.
    pub fn set_capacity(&mut self, bytes: u64) {
        self.capacity_bytes = bytes;
    }

    /// Lets so many bytes be free.
    pub fn leave_free(&mut self, bytes: u64) {
        self.capacity_bytes = self.used().saturating_add(bytes);
    }

    /// Refuses nothing more, and has room.
    pub fn heal(&mut self) {
        self.faults.forgive();
        self.capacity_bytes = CAPACITY_BYTES;
    }

    /// The disk as a power cut would leave it now.
    pub fn after_power_cut(&self, rng: &mut Rng, survive_pm: u64) -> Disk {
        let mut left = Disk {
            inodes: self.inodes.clone(),
            names: self.names.clone(),
            synced: self.synced.clone(),
            unsynced: self.unsynced.clone(),
            ..Disk::default()
        };
        left.power_cut(rng, survive_pm);
        left
    }

    /// Makes a directory and those above it, durable at once.
    pub fn make_dirs(&mut self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        if self.names.contains_key(path) {
            return;
        }
        if let Some(parent) = path.parent() {
            self.make_dirs(parent);
        }
        self.place(path, Body::Directory);
    }

    /// Puts a file there, durable at once; replaces what was there.
    pub fn put(&mut self, path: impl AsRef<Path>, bytes: &[u8]) {
        let mut body = Sparse::default();
        body.write(0, bytes);
        body.sync();
        self.place(path.as_ref(), Body::Regular(body));
    }

    pub fn put_special(&mut self, path: impl AsRef<Path>) {
        self.place(path.as_ref(), Body::Special);
    }

    pub fn put_symlink(&mut self, path: impl AsRef<Path>, to: impl Into<PathBuf>) {
        self.place(path.as_ref(), Body::Symlink(to.into()));
    }

    /// The bytes of a regular file as any process would read them now.
    pub fn get(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let inode = self.names.get(path.as_ref())?;
        let Body::Regular(body) = &self.inodes.get(inode)?.body else { return None };
        let mut bytes = vec![0; body.len() as usize];
        body.read(0, &mut bytes);
        Some(bytes)
    }

    /// Bytes of a regular file that are no hole.
    pub fn used_bytes(&self, path: impl AsRef<Path>) -> Option<u64> {
        match &self.inodes.get(self.names.get(path.as_ref())?)?.body {
            Body::Regular(body) => Some(body.used_bytes()),
            _ => None,
        }
    }

    /// Changes a file in place: the person's editor. `false` if there is none.
    pub fn edit(&mut self, path: impl AsRef<Path>, how: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(mut bytes) = self.get(path.as_ref()) else { return false };
        how(&mut bytes);
        let Some(inode) = self.names.get(path.as_ref()).copied() else { return false };
        let Some(inode) = self.inodes.get_mut(&inode) else { return false };
        // Every look at a file makes the next change of it a later one.
        let later = self.now_ns.max(inode.ctime_ns + 1);
        (inode.mtime_ns, inode.ctime_ns) = (later, later);
        let mut body = Sparse::default();
        body.write(0, &bytes);
        body.sync();
        inode.body = Body::Regular(body);
        true
    }

    /// Removes a file for good; who has it open keeps it.
    pub fn unlink(&mut self, path: impl AsRef<Path>) {
        self.names.remove(path.as_ref());
        self.synced.remove(path.as_ref());
    }

    /// Every path there is, directories too, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.names.keys().map(PathBuf::as_path)
    }

    fn place(&mut self, path: &Path, body: Body) {
        let inode = self.add(body);
        self.names.insert(path.to_path_buf(), inode);
        self.synced.insert(path.to_path_buf(), inode);
    }

    fn add(&mut self, body: Body) -> u64 {
        self.last_inode += 1;
        let inode = Inode { body, mtime_ns: self.now_ns, ctime_ns: self.now_ns };
        self.inodes.insert(self.last_inode, inode);
        self.last_inode
    }
}

/// What the world does.
impl Disk {
    /// Unix nanoseconds, for the times of files.
    pub(super) fn set_clock(&mut self, now_ns: i128) {
        self.now_ns = now_ns;
    }

    /// A process ended: its files are closed and its locks free.
    pub(super) fn process_ends(&mut self, owner: usize) {
        for id in self.open.ids() {
            if self.open.get(id).is_some_and(|handle| handle.owner == owner) {
                self.close(owner, id).ok();
            }
        }
    }

    /// The power fails: all processes of the machine are gone, and what was not synced may be.
    pub(super) fn power_cut(&mut self, rng: &mut Rng, survive_pm: u64) {
        self.open = Slots::default();
        self.locks.clear();
        for (_, entries) in std::mem::take(&mut self.unsynced) {
            let kept = match survive_pm {
                0 => 0,
                1000.. => entries.len(),
                _ => rng.below(entries.len() as u64 + 1) as usize,
            };
            entries.iter().take(kept).for_each(|entry| settle(&mut self.synced, entry));
        }
        self.names = self.synced.clone();
        for inode in self.inodes.values_mut() {
            if let Body::Regular(body) = &mut inode.body {
                body.power_cut(rng, survive_pm);
            }
        }
        self.sweep();
    }

    /// The bytes of a span as they leave, or `None` when they cannot be read whole.
    pub(super) fn span(&self, owner: usize, file: FileId, offset: u64, len: u32) -> Option<Page> {
        let mut page = vec![0; len as usize];
        let read = self.regular(owner, file).ok()?.read(offset, &mut page);
        (read == page.len() && self.is_as_pinned(owner, file)).then_some(page)
    }
}

fn settle(names: &mut BTreeMap<PathBuf, u64>, entry: &Entry) {
    match entry {
        Entry::Link(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        Entry::Unlink(path) => {
            names.remove(path);
        }
        Entry::Move(from, to, inode) => {
            if names.get(from) == Some(inode) {
                names.remove(from);
            }
            names.insert(to.clone(), *inode);
        }
    }
}

#[cfg(test)]
mod tests;
