//! Work on all files of a row: so many in one turn, the rest in later ones.

use super::beneath::root_meta;
use super::{OpenRow, Watch};
use crate::core::io::{FileDone, FileError, FileOp, Meta};
use crate::core::row::Tally;
use crate::reactor::open::{has_fine_times, is_as_it_was, plain_mode, set_mode};
use crate::reactor::paths;
use crate::reactor::regular::{file_error, meta, regular};
use rustix::fs::{AtFlags, CWD};
use rustix::io::{Errno, retry_on_intr};
use std::collections::BTreeSet;
use std::path::Path;

/// Files of one turn: some milliseconds.
const PORTION_FILES: usize = 1024;
/// Of more than so many files the whole file system is synced, in one call.
const SYNCS_MAX: usize = 64;

/// How an operation on all files goes on: `None` while there is more to do.
type Portion<T> = Result<Option<T>, FileError>;

impl OpenRow {
    /// A portion of an operation on all files: what came of it, or the operation itself if there is
    /// more to do.
    pub(super) fn portion(&mut self, op: FileOp) -> Result<FileDone, FileOp> {
        let done = match &op {
            FileOp::StatOpen { .. } => answer(self.look_at_all(), FileDone::Meta),
            FileOp::StatNamed { path, .. } => {
                let named = self.is_named(path);
                answer(named.and_then(|()| self.look_at_all()), FileDone::Meta)
            }
            FileOp::Guard { .. } => answer(self.guard(), FileDone::Guarded),
            FileOp::Pin { meta, .. } => answer(self.pin(meta), FileDone::Done),
            FileOp::SetLen { len, .. } => answer(self.set_len(*len), FileDone::Done),
            FileOp::SetPlainMode { .. } => answer(self.set_plain_mode(), FileDone::Done),
            FileOp::RemoveUnwanted { .. } => answer(self.remove_unwanted(), FileDone::Done),
            FileOp::Sync { meta, .. } => answer(self.sync(*meta), FileDone::Done),
            _ => Some(FileDone::Done(Err(file_error(Errno::INVAL)))),
        };
        if done.is_some() {
            (self.pass, self.tally) = (0, Tally::default());
            self.beneath.forget();
        }
        done.ok_or(op)
    }

    /// Looks at what is there, once the folder is open. -> what the row is.
    pub fn begin(&mut self) -> Portion<Meta> {
        let looked = self.look_at_all()?;
        if looked.is_some() {
            (self.pass, self.tally) = (0, Tally::default());
        }
        Ok(looked)
    }

    /// The files of this turn, and whether they are the last ones.
    fn take(&mut self) -> (std::ops::Range<usize>, bool) {
        self.beneath.forget();
        let (from, all) = (self.pass, self.seen.len());
        self.pass = (from + PORTION_FILES).min(all);
        (from..self.pass, self.pass == all)
    }

    /// What a file is now, by its path; what is kept aside may have none any more.
    fn look(&mut self, file: usize) -> Option<Meta> {
        match (self.row.files().get(file), &self.aside) {
            (Some(entry), _) if !entry.wanted => None,
            (Some(entry), _) => self.beneath.look(&entry.path),
            // It proves what else is there, and may go meanwhile.
            (None, _) if !self.writes => None,
            (None, Some(fd)) => rustix::fs::fstat(fd).ok().map(|stat| meta(&stat)),
            (None, None) => {
                let path = self.row.aside()?;
                let stat = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
                regular(&stat).ok()
            }
        }
    }

    /// Looks at each file. -> what the row is; what differs of a watched one is remembered.
    fn look_at_all(&mut self) -> Portion<Meta> {
        let (files, last) = self.take();
        for file in files {
            let (was, now) = (self.seen.get(file).copied().flatten(), self.look(file));
            self.tally.add(self.row.clone().files().get(file), now.as_ref());
            match self.watch {
                Watch::Nothing => {
                    if self.writes && now.is_some() && was.is_none() {
                        // An earlier run may have left it in the system's memory alone.
                        self.unsynced.insert(file);
                    }
                    self.saw(file, now);
                }
                Watch::Pinned | Watch::Guarded => self.changed |= !is_as_it_was(was, now),
            }
        }
        if !last {
            return Ok(None);
        }
        if self.writes && self.watch == Watch::Nothing {
            self.are_apart()?;
        }
        Ok(Some(self.tally.meta(&self.row, &root_meta(&self.beneath)?)))
    }

    /// No file that is there is another one, too: what is written to one would be lost in both.
    fn are_apart(&self) -> Result<(), FileError> {
        let there = self.seen.iter().enumerate();
        let there =
            there.filter_map(|(file, seen)| seen.map(|meta| (meta.device, meta.inode, file)));
        let mut there: Vec<(u64, u64, usize)> = there.collect();
        there.sort_unstable();
        let next = there.iter().skip(1);
        let mut pairs = there.iter().zip(next).filter(|(a, b)| (a.0, a.1) == (b.0, b.1));
        match pairs.next() {
            Some((a, b)) => Err(FileError::OneFile(a.2, b.2)),
            None => Ok(()),
        }
    }

    /// From now on what others change is noticed. -> whether the times are fine enough for that.
    fn guard(&mut self) -> Portion<bool> {
        (self.watch, self.changed) = (Watch::Nothing, false);
        if self.look_at_all()?.is_none() {
            return Ok(None);
        }
        self.watch = Watch::Guarded;
        Ok(Some(has_fine_times(&self.beneath.root)))
    }

    fn pin(&mut self, was: &Meta) -> Portion<()> {
        (self.watch, self.changed) = (Watch::Nothing, false);
        let Some(now) = self.look_at_all()? else { return Ok(None) };
        if !self.writes {
            self.aside = None;
        }
        self.watch = Watch::Pinned;
        self.changed = now != *was;
        Ok(Some(()))
    }

    /// Makes what is missing, and gives each file its length.
    fn set_len(&mut self, len: u64) -> Portion<()> {
        if len != self.row.size() || !self.writes {
            return Err(file_error(Errno::INVAL));
        }
        let row = self.row.clone();
        let (files, last) = self.take();
        for (file, entry) in files.clone().zip(row.files().get(files.start..).unwrap_or_default()) {
            let was = self.seen.get(file).copied().flatten();
            if entry.wanted && was.is_none_or(|was| was.size != entry.len) {
                self.change(file, |fd| retry_on_intr(|| rustix::fs::ftruncate(fd, entry.len)))?;
                let stat = rustix::fs::fstat(self.fd(file)?).map_err(file_error)?;
                self.saw(file, Some(meta(&stat)));
            }
        }
        Ok(last.then_some(()))
    }

    fn set_plain_mode(&mut self) -> Portion<()> {
        let row = self.row.clone();
        let (files, last) = self.take();
        let plain = [false, true].map(plain_mode);
        for (file, entry) in files.clone().zip(row.files().get(files.start..).unwrap_or_default()) {
            if entry.wanted {
                let [data, program] = plain;
                let mode = if entry.executable { program } else { data };
                self.change(file, |fd| set_mode(fd, mode))?;
            }
        }
        Ok(last.then_some(()))
    }

    /// Removes what an earlier run made of files that are not wanted now.
    fn remove_unwanted(&mut self) -> Portion<()> {
        if !self.writes {
            return Err(file_error(Errno::BADF));
        }
        let row = self.row.clone();
        let (files, last) = self.take();
        // Where `A` and `a` are one file it is a wanted one.
        let mut wanted: Option<BTreeSet<(u64, u64)>> = None;
        // Behind the files is what is kept aside.
        let entries = row.files().get(files.start..).unwrap_or_default().iter().take(files.len());
        for entry in entries.filter(|entry| !entry.wanted) {
            let Some(found) = self.beneath.look(&entry.path) else { continue };
            let same = |meta: &Meta| (meta.device, meta.inode);
            let wanted =
                wanted.get_or_insert_with(|| self.seen.iter().flatten().map(same).collect());
            if !wanted.contains(&same(&found)) {
                let folder = self.beneath.remove(&entry.path).map_err(file_error)?;
                self.unsynced_folders.insert(folder.into());
            }
        }
        Ok(last.then_some(()))
    }

    /// Makes what was written durable, and the entries of the folders it lies in. With `whole` all
    /// files are looked at: what differs was done by others.
    fn sync(&mut self, whole: bool) -> Portion<()> {
        if self.pass == 0 {
            self.sync_changed()?;
        }
        let is_over = !whole || self.watch == Watch::Nothing || self.look_at_all()?.is_some();
        match self.changed && self.watch != Watch::Nothing {
            true => Err(self.differs()),
            false => Ok(is_over.then_some(())),
        }
    }

    fn sync_changed(&mut self) -> Result<(), FileError> {
        let count = self.unsynced.len() + self.unsynced_folders.len();
        if count > SYNCS_MAX {
            retry_on_intr(|| rustix::fs::syncfs(&self.beneath.root)).map_err(file_error)?;
        }
        for file in self.unsynced.clone() {
            let is_aside = file == self.aside_index();
            if (count > SYNCS_MAX && !is_aside) || !self.reach(file)? {
                continue;
            }
            self.is_same(file, false)?;
            let synced = self.fd(file).map(|fd| retry_on_intr(|| rustix::fs::fsync(fd)))?;
            synced.map_err(file_error)?;
            self.is_same(file, false)?;
            if let Some(path) = self.row.aside().filter(|_| is_aside) {
                paths::sync_dir(path.parent().unwrap_or(Path::new("")))?;
            }
        }
        if count <= SYNCS_MAX {
            for folder in &self.unsynced_folders {
                self.beneath.sync(folder).map_err(file_error)?;
            }
        }
        self.unsynced.clear();
        self.unsynced_folders.clear();
        Ok(())
    }
}

fn answer<T>(
    portion: Portion<T>,
    done: impl FnOnce(Result<T, FileError>) -> FileDone,
) -> Option<FileDone> {
    portion.transpose().map(done)
}
