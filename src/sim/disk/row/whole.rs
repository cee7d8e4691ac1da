//! What is done to all files of a row at once.

use super::super::sparse::Sparse;
use super::super::{Body, Disk};
use super::{EBADF, OpenRow, Watch};
use crate::core::io::{FileError, FileKind, Meta};
use std::path::{Path, PathBuf};

impl Disk {
    pub(super) fn set_len_of_row(&mut self, open: &mut OpenRow) -> Result<(), FileError> {
        for (file, entry) in open.row.clone().files().iter().enumerate() {
            if entry.wanted && open.seen[file].is_none_or(|was| was.size != entry.len) {
                self.change_file(open, file, |body| body.set_len(entry.len))?;
            }
        }
        Ok(())
    }

    pub(super) fn remove_unwanted(&mut self, open: &OpenRow) -> Result<(), FileError> {
        if !open.writable {
            return Err(EBADF);
        }
        let root = self.names.iter().find(|(_, inode)| **inode == open.root);
        let root = root.map(|(path, _)| path.clone()).unwrap_or_default();
        for entry in open.row.files().iter().filter(|entry| !entry.wanted) {
            let path = root.join(self.folded(&entry.path));
            let is_wanted = |seen: &Meta| Some(&seen.inode) == self.names.get(&path);
            if open.seen.iter().flatten().any(is_wanted) {
                // Where `A` and `a` are one file it is a wanted one.
                continue;
            }
            if self.stat(&path).is_ok_and(|meta| meta.kind == FileKind::Regular) {
                self.remove(&path)?;
                let above = path.ancestors().skip(1).take_while(|above| *above != root);
                let _ = above.map(|folder| self.remove(folder)).take_while(Result::is_ok).count();
            }
        }
        Ok(())
    }

    /// The bytes of all files and the entries of all folders; an edit may come meanwhile.
    pub(super) fn sync_row(&mut self, open: &mut OpenRow, whole: bool) -> Result<(), FileError> {
        for file in 0..open.seen.len() {
            self.is_same(open, file, false)?;
        }
        self.sync_bodies(open, Sparse::sync);
        let root = self.names.iter().find(|(_, inode)| **inode == open.root);
        let root = root.map(|(path, _)| path.clone()).unwrap_or_default();
        let aside = open.row.aside().and_then(|path| path.parent()).map(Path::to_path_buf);
        let is_ours = |dir: &PathBuf| dir.starts_with(&root) || aside.as_ref() == Some(dir);
        // Nothing of a folder that was removed is left to be kept.
        let is_there = |dir: &&PathBuf| is_ours(dir) && self.names.contains_key(*dir);
        let dirs: Vec<PathBuf> = self.unsynced.keys().filter(is_there).cloned().collect();
        dirs.iter().try_for_each(|dir| self.sync_dir(dir))?;
        self.edit_in_row_sync(&root);
        if whole {
            self.look_at_all(open);
        }
        match open.changed && open.watch != Watch::Nothing {
            true => Err(Self::differs(open)),
            false => Ok(()),
        }
    }

    /// Does to the bytes of all files of a row what a sync does, or one that failed.
    pub(in crate::sim::disk) fn sync_bodies(&mut self, open: &OpenRow, how: fn(&mut Sparse)) {
        for meta in open.seen.iter().flatten() {
            if let Some(inode) = self.inodes.get_mut(&meta.inode)
                && let Body::Regular(body) = &mut inode.body
            {
                how(body);
            }
        }
    }
}
