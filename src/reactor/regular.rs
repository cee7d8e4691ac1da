//! Regular files by their descriptors: opened, read and written whole, and what the system says of
//! them in the role's words.

use crate::core::io::{FileError, FileKind, Meta, OpenMode};
use crate::core::mark::mark;
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Opens a regular file and nothing else. It is looked at before, because to open a device may do
/// something, and after, because it may have been exchanged meanwhile; O_NONBLOCK keeps a FIFO that
/// slipped in from stopping the loop.
pub(super) fn open_regular(path: &Path, mode: OpenMode) -> Result<(OwnedFd, Meta), FileError> {
    let (found, flags) = match mode {
        OpenMode::Read => (rustix::fs::stat(path), OFlags::RDONLY),
        OpenMode::Update => (rustix::fs::lstat(path), OFlags::RDWR | OFlags::NOFOLLOW),
        OpenMode::CreateNew => {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            (Err(Errno::NOENT), flags)
        }
    };
    if let Ok(stat) = found {
        regular(&stat)?;
    }
    let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mode = Mode::from_raw_mode(0o666);
    let fd = retry_on_intr(|| rustix::fs::open(path, flags, mode)).map_err(file_error)?;
    let stat = rustix::fs::fstat(&fd).map_err(file_error)?;
    Ok((fd, regular(&stat)?))
}

pub(super) fn regular(stat: &Stat) -> Result<Meta, FileError> {
    let meta = meta(stat);
    match meta.kind {
        FileKind::Regular => Ok(meta),
        FileKind::Directory => Err(FileError::IsDirectory),
        FileKind::Special | FileKind::Symlink => Err(FileError::NotRegular),
    }
}

/// Fills the page. -> bytes got; fewer only at the end of the file.
pub(super) fn read(fd: &OwnedFd, offset: u64, page: &mut [u8]) -> Result<u32, Errno> {
    read_with(offset, page, |rest, at| rustix::io::pread(fd, rest, at))
}

/// Writes all bytes.
pub(super) fn write(fd: &OwnedFd, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
    write_with(offset, bytes, |rest, at| rustix::io::pwrite(fd, rest, at))
}

fn read_with(
    offset: u64,
    page: &mut [u8],
    mut pread: impl FnMut(&mut [u8], u64) -> Result<usize, Errno>,
) -> Result<u32, Errno> {
    let mut got = 0;
    while let Some(rest) = page.get_mut(got..).filter(|rest| !rest.is_empty()) {
        let at = offset.checked_add(got as u64).ok_or(Errno::INVAL)?;
        match pread(rest, at) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    u32::try_from(got).map_err(|_| Errno::INVAL)
}

fn write_with(
    offset: u64,
    bytes: &[u8],
    mut pwrite: impl FnMut(&[u8], u64) -> Result<usize, Errno>,
) -> Result<(), Errno> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.checked_add(done as u64).ok_or(Errno::INVAL)?;
        match pwrite(rest, at) {
            // A regular file that takes nothing will take nothing the next time either.
            Ok(0) => return Err(Errno::IO),
            Ok(n) => {
                if n < rest.len() {
                    mark!("E05");
                }
                done += n;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// What the role may know of a file.
pub(super) fn meta(stat: &Stat) -> Meta {
    use rustix::fs::FileType;
    let ns = |secs: i64, ns: i128| i128::from(secs) * 1_000_000_000 + ns;
    Meta {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::Regular,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Symlink,
            _ => FileKind::Special,
        },
        size: u64::try_from(stat.st_size).unwrap_or(0),
        device: stat.st_dev,
        inode: stat.st_ino,
        mtime_ns: ns(stat.st_mtime, i128::from(stat.st_mtime_nsec)),
        ctime_ns: ns(stat.st_ctime, i128::from(stat.st_ctime_nsec)),
    }
}

/// The system's refusal in the role's words.
pub(super) fn file_error(errno: Errno) -> FileError {
    match errno {
        Errno::NOENT | Errno::NOTDIR => FileError::NotFound,
        Errno::EXIST => FileError::Exists,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => FileError::Denied,
        Errno::NOSPC | Errno::DQUOT => FileError::NoSpace,
        Errno::ISDIR => FileError::IsDirectory,
        // The last element is a symbolic link that must not be followed, or a socket.
        Errno::LOOP | Errno::NXIO => FileError::NotRegular,
        Errno::AGAIN => FileError::Busy,
        other => FileError::Other(other.raw_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::mark::expect_mark;

    #[test]
    fn short_and_interrupted_reads_and_writes_go_on_where_they_stopped() {
        let file: Vec<u8> = (0..100).collect();
        let mut calls = 0;
        let mut short = |len: usize| {
            calls += 1;
            if calls % 3 == 0 { Err(Errno::INTR) } else { Ok(len.min(7)) }
        };
        let mut page = vec![0; 120];
        let got = read_with(10, &mut page, |rest, at| {
            let there = file.get(at as usize..).unwrap_or_default();
            let n = short(rest.len().min(there.len()))?;
            rest[..n].copy_from_slice(&there[..n]);
            Ok(n)
        });
        assert_eq!(got, Ok(90));
        assert_eq!(page[..90], file[10..]);
        let mut written = Vec::new();
        expect_mark!("E05", {
            let done = write_with(5, &file, |rest, at| {
                let n = short(rest.len())?;
                assert_eq!(at, 5 + written.len() as u64);
                written.extend_from_slice(&rest[..n]);
                Ok(n)
            });
            assert_eq!(done, Ok(()));
        });
        assert_eq!(written, file);
    }

    #[test]
    fn a_file_that_takes_nothing_is_an_error_and_no_endless_loop() {
        assert_eq!(write_with(0, b"x", |_, _| Ok(0)), Err(Errno::IO));
        assert_eq!(write_with(0, b"x", |_, _| Err(Errno::NOSPC)), Err(Errno::NOSPC));
    }
}
