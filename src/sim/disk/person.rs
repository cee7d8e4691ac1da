//! What a person does at the disk, and what a judge looks at.

use super::sparse::Sparse;
use super::{Body, CAPACITY_BYTES, Disk};
use crate::core::id::FileId;
use crate::core::rng::Rng;
use std::path::{Path, PathBuf};

impl Disk {
    /// Bytes the file system holds in all.
    pub fn set_capacity(&mut self, bytes: u64) {
        self.capacity_bytes = bytes;
    }

    /// From now on files of a folder whose names differ in case alone are one.
    pub fn fold_case(&mut self) {
        self.folds_case = true;
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

    /// Another name of a file that is there.
    pub fn put_twin(&mut self, path: impl AsRef<Path>, of: impl AsRef<Path>) {
        if let Some(inode) = self.names.get(of.as_ref()).copied() {
            self.names.insert(path.as_ref().to_path_buf(), inode);
            self.synced.insert(path.as_ref().to_path_buf(), inode);
        }
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
        // Every look at a file makes the next change of it a later one, if its times are fine.
        let later = self.now_ns.max(inode.ctime_ns + i128::from(self.tick_ns <= 1));
        (inode.mtime_ns, inode.ctime_ns) = (later, later);
        let mut body = Sparse::default();
        body.write(0, &bytes);
        body.sync();
        inode.body = Body::Regular(body);
        true
    }

    /// Lets files have times that are so far apart, as before Linux 6.13: 1 is fine.
    pub fn set_tick(&mut self, tick_ns: i128) {
        self.tick_ns = tick_ns.max(1);
    }

    /// Somebody edits a file whose name ends so while it is synced, after `syncs` syncs.
    pub fn edit_at_sync(&mut self, name_ends: &'static str, syncs: u64) {
        self.edits_in_sync.push((name_ends, syncs));
    }

    /// Edits that have not come yet.
    pub fn edits_left(&self) -> usize {
        self.edits_in_sync.len()
    }

    pub(super) fn edit_in_sync(&mut self, owner: usize, file: FileId) {
        let name = self.name_of(owner, file);
        self.edit_named(&name, Path::new(&name));
    }

    /// The first file of a row is edited.
    pub(super) fn edit_in_row_sync(&mut self, root: &Path) {
        let below = |path: &&PathBuf| path.starts_with(root) && self.get(path).is_some();
        if let Some(path) = self.names.keys().find(below).cloned() {
            self.edit_named(&root.to_string_lossy(), &path);
        }
    }

    fn edit_named(&mut self, name: &str, path: &Path) {
        let meant = |(ends, _): &(&str, u64)| name.ends_with(ends);
        let Some(at) = self.edits_in_sync.iter().position(meant) else { return };
        match self.edits_in_sync.get_mut(at) {
            Some((_, syncs)) if *syncs > 0 => *syncs -= 1,
            _ => {
                self.edits_in_sync.remove(at);
                self.edit(path, |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 1));
            }
        }
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
}
