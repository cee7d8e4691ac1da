//! A row of files as one open file: whatever is asked of a file, mapped onto the files below a
//! folder. Work that touches all of them is done in portions, so that the loop keeps turning.

mod beneath;
mod pool;
mod portions;

use super::open::{self, same};
use super::regular::{file_error, meta, open_regular, read, write};
use crate::core::io::{FileDone, FileError, FileOp, Meta, OpenMode};
use crate::core::mark::mark;
use crate::core::row::{Place, Row, Tally};
use beneath::{Beneath, root_meta, split};
use pool::Pool;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::io::IoSliceMut;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

/// Files looked at for data by one operation: holes beyond are called data.
const HOLES_MAX: usize = 4096;

/// What the files must be for bytes to be given out or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Watch {
    Nothing,
    /// What our last change left.
    Guarded,
    /// What they were found to be.
    Pinned,
}

#[derive(Debug)]
pub(super) struct OpenRow {
    row: Rc<Row>,
    beneath: Beneath,
    writes: bool,
    pool: Pool,
    /// What is kept of unwanted files, once there is something. It stays open: it may be removed.
    aside: Option<OwnedFd>,
    /// What each file was when it was seen last; behind them what is kept aside.
    seen: Vec<Option<Meta>>,
    watch: Watch,
    /// Somebody else changed one of the files.
    changed: bool,
    /// Files, and folders with new entries, that wait for a sync.
    unsynced: BTreeSet<usize>,
    unsynced_folders: BTreeSet<Box<[u8]>>,
    /// How far the operation under way has come, and what it found.
    pass: usize,
    tally: Tally,
}

impl OpenRow {
    /// Opens the folder; [`OpenRow::look_at_all`] makes it ready.
    pub fn open(root: &Path, row: Rc<Row>, mode: OpenMode) -> Result<OpenRow, FileError> {
        let beneath = Beneath::open(root, mode)?;
        let mut open = OpenRow {
            seen: vec![None; row.files().len() + 1],
            row,
            beneath,
            writes: mode != OpenMode::Read,
            pool: Pool::default(),
            aside: None,
            watch: Watch::Nothing,
            changed: false,
            unsynced: BTreeSet::new(),
            unsynced_folders: BTreeSet::new(),
            pass: 0,
            tally: Tally::default(),
        };
        if let Some(path) = open.row.aside() {
            open.aside = match open_regular(path, OpenMode::Update) {
                Ok((fd, _)) => Some(fd),
                // What is only read goes without.
                Err(error) if error == FileError::NotFound || !open.writes => None,
                Err(error) => return Err(error),
            };
        }
        Ok(open)
    }

    /// The operation done, or handed back because there is more to do in a later turn.
    pub fn apply(&mut self, op: FileOp) -> Result<FileDone, FileOp> {
        Ok(match op {
            FileOp::Read { offset, mut page, .. } => {
                let result = self.read(offset, &mut page).map(|got| got as u32);
                FileDone::Read { page, result }
            }
            FileOp::Write { offset, page, .. } => {
                let result = self.write(offset, &page);
                FileDone::Wrote { page, result }
            }
            FileOp::NextExtent { offset, .. } => FileDone::Extent(self.next_extent(offset)),
            FileOp::Holder { .. } => FileDone::Holder(open::holder(&self.beneath.root)),
            FileOp::Lock { .. } => {
                FileDone::Done(open::lock(&self.beneath.root).map_err(file_error))
            }
            FileOp::WriteBack { offset, len, .. } => {
                self.write_back(offset, len);
                FileDone::Done(Ok(()))
            }
            FileOp::RemoveBeside { path, named, .. } => FileDone::Done(
                self.is_named(&named).and_then(|()| rustix::fs::unlink(&path).map_err(file_error)),
            ),
            op => return self.portion(op),
        })
    }

    /// Whether the path names the folder.
    fn is_named(&self, path: &Path) -> Result<(), FileError> {
        let (ours, now) = (root_meta(&self.beneath)?, super::paths::stat(path)?);
        match (now.device, now.inode) == (ours.device, ours.inode) {
            true => Ok(()),
            false => Err(FileError::Changed),
        }
    }

    /// The index of what is kept aside.
    fn aside_index(&self) -> usize {
        self.row.files().len()
    }

    /// Somebody else changed a file that is watched.
    fn differs(&mut self) -> FileError {
        self.changed = true;
        match self.watch {
            Watch::Pinned => {
                mark!("E09");
                file_error(Errno::STALE)
            }
            _ => FileError::Changed,
        }
    }

    /// Makes the descriptor of a file that is there ready, if it is. It must be the file that it
    /// was when it was seen last, whatever was closed meanwhile.
    fn reach(&mut self, file: usize) -> Result<bool, FileError> {
        if file == self.aside_index() {
            return Ok(self.aside.is_some());
        }
        if self.pool.get(file).is_some() {
            return Ok(true);
        }
        let Some(was) = self.seen.get(file).copied().flatten() else { return Ok(false) };
        let Some(entry) = self.row.files().get(file) else { return Ok(false) };
        let (path, writes) = (entry.path.clone(), self.writes);
        let (fd, now) = match self.with_room(|beneath| beneath.file(&path, writes)) {
            Err(FileError::NotFound | FileError::NotRegular | FileError::IsDirectory) => {
                return Err(self.differs());
            }
            opened => opened?,
        };
        if (was.device, was.inode) != (now.device, now.inode) {
            return Err(self.differs());
        }
        self.pool.put(file, fd);
        Ok(true)
    }

    /// Opens a file; where all descriptors are in use some of ours are closed for it.
    fn with_room<T>(
        &mut self,
        open: impl Fn(&Beneath) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        const NO_DESCRIPTOR: FileError = FileError::Other(Errno::MFILE.raw_os_error());
        match open(&self.beneath) {
            Err(NO_DESCRIPTOR) if self.pool.give_up_half() => open(&self.beneath),
            opened => opened,
        }
    }

    fn fd(&mut self, file: usize) -> Result<&OwnedFd, FileError> {
        let fd = match file == self.row.files().len() {
            true => self.aside.as_ref(),
            false => self.pool.get(file),
        };
        fd.ok_or(FileError::NotFound)
    }

    /// Makes a file that was not there.
    fn make(&mut self, file: usize) -> Result<(), FileError> {
        let now = match (self.row.files().get(file), self.row.aside()) {
            (Some(entry), _) => {
                let path = entry.path.clone();
                let (fd, now) = self.with_room(|beneath| beneath.make(&path))?;
                // The folder that is new itself is an entry of the one above it.
                let mut folder = split(&path).0;
                while self.unsynced_folders.insert(folder.into()) && !folder.is_empty() {
                    folder = split(folder).0;
                }
                self.pool.put(file, fd);
                now
            }
            (None, Some(path)) => {
                let (fd, now) = open_regular(path, OpenMode::CreateNew)?;
                self.aside = Some(fd);
                now
            }
            (None, None) => return Err(FileError::NotFound),
        };
        self.saw(file, Some(now));
        Ok(())
    }

    /// There is a file where one is to be made: another of ours under a name that is the same to
    /// the file system, or somebody else's.
    fn in_the_way(&mut self, file: usize) -> FileError {
        let row = self.row.clone();
        let found = row.files().get(file).and_then(|entry| self.beneath.look(&entry.path));
        self.beneath.forget();
        let is_found = |seen: &Option<Meta>| {
            found.zip(*seen).is_some_and(|(a, b)| (a.device, a.inode) == (b.device, b.inode))
        };
        match self.seen.iter().position(is_found) {
            Some(other) => FileError::OneFile(other, file),
            None if self.watch == Watch::Guarded => self.differs(),
            None => FileError::Exists,
        }
    }

    fn saw(&mut self, file: usize, now: Option<Meta>) {
        if let Some(seen) = self.seen.get_mut(file) {
            *seen = now;
        }
    }

    /// Whether a file that is open is as it was seen last; of a guarded one a rename of ours
    /// changes the third of the times.
    fn is_same(&mut self, file: usize, but_ctime: bool) -> Result<(), FileError> {
        if self.watch == Watch::Nothing {
            return Ok(());
        }
        if self.changed {
            return Err(self.differs());
        }
        let stat = rustix::fs::fstat(self.fd(file)?).map_err(file_error)?;
        let was = self.seen.get(file).copied().flatten();
        let now = meta(&stat);
        let same = was.is_some_and(|was| {
            let ctime_ns = if but_ctime { was.ctime_ns } else { now.ctime_ns };
            same(&was, &Meta { ctime_ns, ..now })
        });
        if same { Ok(()) } else { Err(self.differs()) }
    }

    /// A change of ours; what differs before it was done by others.
    fn change(
        &mut self,
        file: usize,
        work: impl FnOnce(&OwnedFd) -> Result<(), Errno>,
    ) -> Result<(), FileError> {
        if !self.writes {
            return Err(file_error(Errno::BADF));
        }
        if !self.reach(file)? {
            self.make(file).map_err(|error| match error {
                FileError::Exists => self.in_the_way(file),
                error => error,
            })?;
        }
        self.is_same(file, false)?;
        self.unsynced.insert(file);
        let result = self.fd(file).and_then(|fd| work(fd).map_err(file_error));
        if self.watch == Watch::Guarded {
            // What was refused may have been done in part.
            let stat = rustix::fs::fstat(self.fd(file)?).map_err(file_error)?;
            self.saw(file, Some(meta(&stat)));
        }
        result
    }

    /// Fills the page. -> bytes got; fewer only at the end of the row, or where a file is short.
    fn read(&mut self, offset: u64, page: &mut [u8]) -> Result<usize, FileError> {
        let (row, mut rest, mut got) = (self.row.clone(), page, 0);
        for (place, len) in row.parts(offset, rest.len() as u64) {
            let Some((part, behind)) = rest.split_at_mut_checked(len as usize) else { break };
            let n = match place {
                Place::File(file, at) => self.read_part(file, at, part)?,
                Place::Aside(at) => self.read_part(row.files().len(), at, part)?,
                Place::Zeros => {
                    part.fill(0);
                    part.len()
                }
            };
            got += n;
            if n < part.len() {
                break;
            }
            rest = behind;
        }
        Ok(got)
    }

    fn read_part(&mut self, file: usize, at: u64, part: &mut [u8]) -> Result<usize, FileError> {
        if !self.reach(file)? {
            // A hole of what is being written; nothing of what must be there.
            part.fill(0);
            return Ok(if self.writes { part.len() } else { 0 });
        }
        let mut got = read(self.fd(file)?, at, part).map_err(file_error)? as usize;
        if file == self.aside_index() && got < part.len() {
            // It ends with what was written last.
            part.get_mut(got..).unwrap_or_default().fill(0);
            got = part.len();
        }
        self.is_same(file, self.watch == Watch::Guarded)?;
        Ok(got)
    }

    fn write(&mut self, offset: u64, page: &[u8]) -> Result<(), FileError> {
        let (row, mut rest) = (self.row.clone(), page);
        if offset.saturating_add(page.len() as u64) > row.size() {
            return Err(file_error(Errno::INVAL));
        }
        for (place, len) in row.parts(offset, rest.len() as u64) {
            let Some((part, behind)) = rest.split_at_checked(len as usize) else { break };
            rest = behind;
            match place {
                Place::File(file, at) => self.change(file, |fd| write(fd, at, part))?,
                Place::Aside(at) if row.aside().is_some() => {
                    self.change(row.files().len(), |fd| write(fd, at, part))?;
                }
                Place::Aside(_) | Place::Zeros => {}
            }
        }
        Ok(())
    }

    /// Fills the parts in order from `offset` on, or fails.
    pub fn read_parts(
        &mut self,
        mut offset: u64,
        parts: &mut [IoSliceMut<'_>],
    ) -> Result<(), FileError> {
        for part in parts {
            if self.read(offset, part)? < part.len() {
                mark!("E10");
                return Err(FileError::Changed);
            }
            offset += part.len() as u64;
        }
        Ok(())
    }

    fn next_extent(&mut self, offset: u64) -> Result<Option<(u64, u64)>, FileError> {
        let row = self.row.clone();
        let mut at = offset;
        for (n, (place, len)) in row.parts(offset, row.size()).enumerate() {
            let end = at + len;
            let (file, from) = match place {
                Place::File(file, from) => (file, from),
                Place::Aside(from) => (row.files().len(), from),
                Place::Zeros => {
                    at = end;
                    continue;
                }
            };
            if n >= HOLES_MAX {
                return Ok(Some((at, end)));
            }
            if self.reach(file)? {
                let found =
                    self.fd(file).and_then(|fd| open::next_extent(fd, from).map_err(file_error))?;
                if let Some((start, stop)) = found.filter(|(start, _)| *start < from + len) {
                    let (start, stop) = (at + (start - from), (at + (stop - from)).min(end));
                    return Ok(Some((start, stop)));
                }
            }
            at = end;
        }
        Ok(None)
    }

    fn write_back(&mut self, offset: u64, len: u64) {
        let row = self.row.clone();
        for (place, len) in row.parts(offset, len) {
            let Place::File(file, at) = place else { continue };
            if let Some(fd) = self.pool.get(file) {
                // A hint.
                let _ = open::write_back(fd, at, len);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::row::RowFile;

    #[test]
    fn a_file_that_is_there_as_another_of_ours_is_told_with_both() {
        let root = std::env::temp_dir().join(format!("lmk-row-twins-{}", std::process::id()));
        std::fs::remove_dir_all(&root).ok();
        let file = |path: &str, offset| RowFile {
            path: path.as_bytes().into(),
            offset,
            len: 4,
            wanted: true,
            executable: false,
        };
        let row = Rc::new(Row::new(vec![file("A", 0), file("a", 4)], 8, None).unwrap());
        let mut open = OpenRow::open(&root, row, OpenMode::CreateNew).unwrap();
        open.write(0, b"once").unwrap();
        // As it is where upper and lower case are one.
        std::fs::hard_link(root.join("A"), root.join("a")).unwrap();
        assert_eq!(open.write(4, b"more"), Err(FileError::OneFile(0, 1)));
        open.watch = Watch::Guarded;
        assert_eq!(open.write(4, b"more"), Err(FileError::OneFile(0, 1)));
        std::fs::remove_file(root.join("a")).unwrap();
        std::fs::write(root.join("a"), b"of others").unwrap();
        assert_eq!(open.in_the_way(1), FileError::Changed);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
