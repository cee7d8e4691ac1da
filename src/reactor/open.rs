//! One open file: who may change it, and what it must be for its bytes to be given out; its lock,
//! its mode and its holes.

use super::regular::{file_error, meta};
use crate::core::io::{FileError, Meta};
use crate::core::mark::mark;
use rustix::fs::{Advice, FlockOperation, Mode, SeekFrom};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Flock, FlockType};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;

/// A tick of a coarse clock takes a millisecond at the least: not each of so many changes has one
/// of its own.
const PROBES: usize = 8;

#[derive(Debug)]
pub(super) struct Open {
    pub fd: OwnedFd,
    pub pinned: Option<Meta>,
    /// What our last change left, once changes by others are looked for.
    guarded: Option<Meta>,
}

impl Open {
    pub fn new(fd: OwnedFd) -> Open {
        Open { fd, pinned: None, guarded: None }
    }

    pub fn meta(&self) -> Result<Meta, Errno> {
        rustix::fs::fstat(&self.fd).map(|stat| meta(&stat))
    }

    /// After bytes were read: whether they are of the file that was pinned or guarded. Who writes
    /// to it marks its time before its bytes (since Linux 6.13 a time of its own for every look,
    /// earlier one of some milliseconds), so bytes of another version are never taken for it.
    pub fn is_as_pinned(&self) -> Result<(), FileError> {
        let Some(was) = self.pinned.as_ref().or(self.guarded.as_ref()) else { return Ok(()) };
        let now = self.meta().map_err(file_error)?;
        if self.pinned.is_none() {
            // A rename of ours changes the third of the times, and nothing else.
            let same = (now.size, now.mtime_ns) == (was.size, was.mtime_ns);
            return if same { Ok(()) } else { Err(FileError::Changed) };
        }
        if same(&now, was) {
            return Ok(());
        }
        mark!("E09");
        Err(file_error(Errno::STALE))
    }

    /// Whether bytes of this file must be looked after when they leave.
    pub fn is_watched(&self) -> bool {
        self.pinned.is_some() || self.guarded.is_some()
    }

    /// -> whether the times of the file are fine enough to tell every change.
    pub fn guard(&mut self) -> Result<bool, FileError> {
        let fine = has_fine_times(&self.fd);
        self.take_picture().map(|()| fine)
    }

    fn take_picture(&mut self) -> Result<(), FileError> {
        self.guarded = Some(self.meta().map_err(file_error)?);
        Ok(())
    }

    /// Whether nobody else changed the file, if it is guarded.
    fn is_ours(&self) -> Result<(), FileError> {
        let Some(guarded) = &self.guarded else { return Ok(()) };
        let now = self.meta().map_err(file_error)?;
        if same(&now, guarded) { Ok(()) } else { Err(FileError::Changed) }
    }

    /// A sync may take long, and changes neither size nor times: what differs after it was done by
    /// others meanwhile.
    pub fn sync(&self, work: impl FnOnce(&OwnedFd) -> Result<(), Errno>) -> Result<(), FileError> {
        self.is_ours()?;
        work(&self.fd).map_err(file_error)?;
        self.is_ours()
    }

    /// A change of ours. Nothing else of ours comes between it and the looks before and after, so
    /// that whatever differs was done by others.
    pub fn change(
        &mut self,
        work: impl FnOnce(&OwnedFd) -> Result<(), Errno>,
    ) -> Result<(), FileError> {
        self.is_ours()?;
        let result = work(&self.fd).map_err(file_error);
        if self.guarded.is_none() {
            return result;
        }
        // What was refused may have been done in part.
        result.and(self.take_picture())
    }
}

/// Whether changes that follow each other at once have times of their own (Linux 6.13 and later, on
/// most file systems). The mode is set to what it is, which changes a time and nothing else; who
/// may not do that learns nothing.
pub(super) fn has_fine_times(fd: &OwnedFd) -> bool {
    let changed = || {
        let mode = rustix::fs::fstat(fd)?.st_mode;
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode & 0o7777))?;
        rustix::fs::fstat(fd).map(|stat| meta(&stat).ctime_ns)
    };
    let times: Result<Vec<i128>, Errno> = (0..PROBES).map(|_| changed()).collect();
    times.is_ok_and(|times| times.windows(2).all(|pair| pair.first() < pair.last()))
}

pub(super) fn same(a: &Meta, b: &Meta) -> bool {
    (a.size, a.mtime_ns, a.ctime_ns) == (b.size, b.mtime_ns, b.ctime_ns)
}

/// Whether what a path names is what it named, unchanged.
pub(super) fn is_as_it_was(was: Option<Meta>, now: Option<Meta>) -> bool {
    match (was, now) {
        (Some(was), Some(now)) => was.inode == now.inode && same(&was, &now),
        (was, now) => was == now,
    }
}

/// The lock that counts is that of `flock`. The other one is there because the system tells its
/// holder; it may be missing.
pub(super) fn lock(fd: &OwnedFd) -> Result<(), Errno> {
    let exclusive = FlockOperation::NonBlockingLockExclusive;
    retry_on_intr(|| rustix::fs::flock(fd, exclusive))?;
    let _ = rustix::fs::fcntl_lock(fd, exclusive);
    Ok(())
}

/// The process that holds the lock, as the system knows it at this moment.
pub(super) fn holder(fd: &OwnedFd) -> Option<u32> {
    let whole = Flock::from(FlockType::WriteLock);
    let held = rustix::process::fcntl_getlk(fd, &whole).ok()??;
    u32::try_from(held.pid?.as_raw_nonzero().get()).ok()
}

/// The mode of a new file, a program or not; `None` where the system does not tell the umask.
pub(super) fn plain_mode(executable: bool) -> Option<Mode> {
    let plain = Mode::from_raw_mode(if executable { 0o777 } else { 0o666 });
    umask().map(|umask| plain & !umask)
}

/// Without a mode to set the file keeps what it has of the bits to read and to write.
pub(super) fn set_mode(fd: &OwnedFd, wanted: Option<Mode>) -> Result<(), Errno> {
    let now = Mode::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    let wanted = wanted.unwrap_or(now & Mode::from_raw_mode(0o666));
    if now & Mode::from_raw_mode(0o7777) == wanted {
        return Ok(());
    }
    rustix::fs::fchmod(fd, wanted)
}

pub(super) fn set_plain_mode(fd: &OwnedFd) -> Result<(), Errno> {
    set_mode(fd, plain_mode(false))
}

/// Read and not set: to set it, even for a moment, would be felt by other threads.
fn umask() -> Option<Mode> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok().map(Mode::from_raw_mode)
}

/// The advice to forget the bytes makes Linux begin to write them; what is not written yet is not
/// forgotten.
pub(super) fn write_back(fd: &OwnedFd, offset: u64, len: u64) -> Result<(), Errno> {
    match NonZeroU64::new(len) {
        Some(len) => rustix::fs::fadvise(fd, offset, Some(len), Advice::DontNeed),
        None => Ok(()),
    }
}

pub(super) fn next_extent(fd: &OwnedFd, offset: u64) -> Result<Option<(u64, u64)>, Errno> {
    let start = match rustix::fs::seek(fd, SeekFrom::Data(offset)) {
        Err(Errno::NXIO) => return Ok(None),
        start => start?,
    };
    Ok(Some((start, rustix::fs::seek(fd, SeekFrom::Hole(start))?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    fn guarded(name: &str) -> (Open, File) {
        let path = std::env::temp_dir().join(format!("lmk-open-{}-{name}", std::process::id()));
        std::fs::write(&path, [7; 100]).unwrap();
        let both = [(); 2].map(|()| File::options().read(true).write(true).open(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        let [ours, others] = both;
        let mut open = Open::new(ours.into());
        open.guard().unwrap();
        (open, others)
    }

    #[test]
    fn an_edit_inside_a_sync_is_found_by_it_and_by_all_that_follows() {
        let (mut open, others) = guarded("sync");
        assert_eq!(open.sync(|fd| rustix::fs::fdatasync(fd)), Ok(()));
        open.change(|fd| rustix::io::pwrite(fd, b"ours", 0).map(drop)).unwrap();
        assert_eq!(open.sync(|fd| rustix::fs::fsync(fd)), Ok(()));
        let edited = open.sync(|fd| {
            others.write_all_at(b"others", 9).unwrap();
            rustix::fs::fdatasync(fd)
        });
        assert_eq!(edited, Err(FileError::Changed));
        assert_eq!(open.sync(|fd| rustix::fs::fdatasync(fd)), Err(FileError::Changed));
        assert_eq!(open.change(|_| Ok(())), Err(FileError::Changed));
    }

    #[test]
    fn bytes_of_a_guarded_file_are_given_out_until_somebody_else_writes() {
        let (mut open, others) = guarded("read");
        open.change(|fd| rustix::io::pwrite(fd, b"ours", 0).map(drop)).unwrap();
        assert!(open.is_watched());
        assert_eq!(open.is_as_pinned(), Ok(()));
        others.write_all_at(b"others", 9).unwrap();
        assert_eq!(open.is_as_pinned(), Err(FileError::Changed));
    }

    #[test]
    fn times_that_are_told_to_be_fine_tell_every_edit() {
        let (mut open, others) = guarded("fine");
        if !open.guard().unwrap() {
            return;
        }
        for _ in 0..1000 {
            open.change(|fd| rustix::io::pwrite(fd, b"ours", 0).map(drop)).unwrap();
            others.write_all_at(b"other", 5).unwrap();
            assert_eq!(open.is_as_pinned(), Err(FileError::Changed));
            open.take_picture().unwrap();
        }
    }
}
