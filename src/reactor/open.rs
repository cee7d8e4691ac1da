//! One open file: who may change it, and what it must be for its bytes to be given out; its lock,
//! its mode and its holes.

use super::files::{file_error, meta};
use crate::core::io::{FileError, Meta};
use crate::core::mark::mark;
use rustix::fs::{Advice, FlockOperation, Mode, SeekFrom};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Flock, FlockType};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;

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

    /// After bytes were read: whether they are of the file that was pinned. Who writes to a file
    /// marks its time before its bytes (since Linux 6.13 a time of its own for every look, before
    /// that one of some milliseconds), so bytes of another version are never taken for the pinned.
    pub fn is_as_pinned(&self) -> Result<(), Errno> {
        let Some(pinned) = &self.pinned else { return Ok(()) };
        if same(&self.meta()?, pinned) {
            return Ok(());
        }
        mark!("E09");
        Err(Errno::STALE)
    }

    pub fn guard(&mut self) -> Result<(), FileError> {
        self.guarded = Some(self.meta().map_err(file_error)?);
        Ok(())
    }

    /// A change of ours. Nothing else of ours comes between it and the looks before and after, so
    /// that whatever differs was done by others.
    pub fn change(
        &mut self,
        work: impl FnOnce(&OwnedFd) -> Result<(), Errno>,
    ) -> Result<(), FileError> {
        let Some(guarded) = &self.guarded else { return work(&self.fd).map_err(file_error) };
        if !same(&self.meta().map_err(file_error)?, guarded) {
            return Err(FileError::Changed);
        }
        let result = work(&self.fd).map_err(file_error);
        // What was refused may have been done in part.
        result.and(self.guard())
    }
}

fn same(a: &Meta, b: &Meta) -> bool {
    (a.size, a.mtime_ns, a.ctime_ns) == (b.size, b.mtime_ns, b.ctime_ns)
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

/// The mode of a new file. Where the system does not tell the umask the file keeps what it has of
/// the bits to read and to write.
pub(super) fn set_plain_mode(fd: &OwnedFd) -> Result<(), Errno> {
    let now = Mode::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    let plain = Mode::from_raw_mode(0o666);
    let wanted = umask().map_or(now & plain, |umask| plain & !umask);
    if now & Mode::from_raw_mode(0o7777) == wanted {
        return Ok(());
    }
    rustix::fs::fchmod(fd, wanted)
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
