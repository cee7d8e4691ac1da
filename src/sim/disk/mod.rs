//! The disk of one machine: every file operation of the door, in memory. Data that was not synced
//! and directory entries whose directory was not synced are lost (or kept by chance) at a power
//! cut. `ops`: the operations. `faults`: refusals. `person`: what people do
//! and judges see. `row`: many files as one.
//! `sparse`: the bytes of one file.

mod faults;
mod ops;
mod parts;
mod person;
mod row;
mod sparse;

pub use faults::{Fault, On};

use self::faults::Faults;
use self::sparse::Sparse;
use crate::core::id::FileId;
use crate::core::io::{DirEntry, FileError, FileKind, Meta, Page};
use crate::core::rng::Rng;
use crate::core::slots::Slots;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
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
    /// It is a folder, whose files are one.
    row: Option<Box<row::OpenRow>>,
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
    /// How far apart the times are that files can have.
    tick_ns: i128,
    /// Upper and lower case are one in the names below a row of files.
    folds_case: bool,
    /// Edits during syncs to come: of files whose name ends so, after so many syncs.
    edits_in_sync: Vec<(&'static str, u64)>,
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
            tick_ns: 1,
            folds_case: false,
            edits_in_sync: Vec::new(),
            faults: Faults::default(),
        };
        disk.place(Path::new("/"), Body::Directory);
        disk
    }
}

impl Disk {
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

/// Directories.
impl Disk {
    fn list_dir(&self, path: &Path, entries_max: usize) -> Result<Vec<DirEntry>, FileError> {
        if self.stat(path)?.kind != FileKind::Directory {
            return Err(FileError::NotFound);
        }
        let below = self.names.iter().filter(|(name, _)| name.parent() == Some(path));
        let entry = |(name, inode): (&PathBuf, &u64)| DirEntry {
            name: name.file_name().unwrap_or_default().as_bytes().to_vec(),
            meta: self.meta(*inode),
            executable: false,
        };
        let mut found: Vec<DirEntry> =
            below.take(entries_max.saturating_add(1)).map(entry).collect();
        if found.len() > entries_max {
            return Err(FileError::TooLarge);
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }
}

/// What the world does.
impl Disk {
    /// Unix nanoseconds, for the times of files.
    pub(super) fn set_clock(&mut self, now_ns: i128) {
        self.now_ns = now_ns - now_ns.rem_euclid(self.tick_ns);
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
        self.prune();
        for inode in self.inodes.values_mut() {
            if let Body::Regular(body) = &mut inode.body {
                body.power_cut(rng, survive_pm);
            }
        }
        self.sweep();
    }

    /// What lies in a directory that is gone is gone.
    fn prune(&mut self) {
        let mut kept = BTreeMap::new();
        for (path, inode) in std::mem::take(&mut self.names) {
            if path.parent().is_none_or(|parent| kept.contains_key(parent)) {
                kept.insert(path, inode);
            }
        }
        self.names = kept;
        self.synced = self.names.clone();
    }

    /// The bytes of a span as they leave, or why they cannot be read whole.
    pub(super) fn span(
        &mut self,
        owner: usize,
        file: FileId,
        offset: u64,
        len: u32,
    ) -> Result<Page, FileError> {
        if let Some(error) = self.refuse_span(owner, file) {
            return Err(error);
        }
        let mut page = vec![0; len as usize];
        if let Some(mut row) = self.row_of(owner, file) {
            return match self.read_row(&mut row, offset, &mut page)? {
                read if read < page.len() => Err(FileError::Changed),
                _ => Ok(page),
            };
        }
        match self.regular(owner, file)?.read(offset, &mut page) {
            read if read < page.len() => Err(FileError::Changed),
            _ => self.is_as_pinned(owner, file).map(|()| page),
        }
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
            let below = |path: &PathBuf| path != from && path.starts_with(from);
            let moved: Vec<PathBuf> = names.keys().filter(|path| below(path)).cloned().collect();
            for path in moved {
                if let (Ok(rest), Some(inode)) = (path.strip_prefix(from), names.remove(&path)) {
                    names.insert(to.join(rest), inode);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
