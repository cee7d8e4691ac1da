//! File operations that name a path: look, rename, load and save whole, make durable.

use super::regular::{file_error, meta, open_regular, read, regular, write};
use crate::core::io::{DirEntry, FileError, FileKind, Meta, OpenMode};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Names tried for the file that is written beside a saved one.
const SAVE_NAMES_MAX: u32 = 16;

/// What a path names, not following a last symbolic link.
pub(super) fn stat(path: &Path) -> Result<Meta, FileError> {
    rustix::fs::lstat(path).map(|stat| meta(&stat)).map_err(file_error)
}

/// Atomic; without `replace` an existing `to` is refused, by the system itself where its file
/// system can.
pub(super) fn rename(from: &Path, to: &Path, replace: bool) -> Result<(), FileError> {
    if replace {
        return rustix::fs::rename(from, to).map_err(file_error);
    }
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system does not know the flag: a second name refuses an existing `to` as well.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            rustix::fs::link(from, to).and_then(|()| rustix::fs::unlink(from)).map_err(file_error)
        }
        result => result.map_err(file_error),
    }
}

/// Removes a file, or a folder with nothing in it.
pub(super) fn remove(path: &Path) -> Result<(), FileError> {
    let removed = match rustix::fs::unlink(path) {
        Err(Errno::ISDIR) => rustix::fs::rmdir(path),
        removed => removed,
    };
    removed.map_err(file_error)
}

/// Makes the entries of a directory durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), FileError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(or_here(path), flags, Mode::empty()).map_err(file_error)?;
    match retry_on_intr(|| rustix::fs::fsync(&dir)) {
        // Some file systems sync their directories by themselves and refuse to be asked.
        Err(Errno::INVAL) => Ok(()),
        result => result.map_err(file_error),
    }
}

/// What is in a directory, `.` and `..` apart, by name.
pub(super) fn list_dir(path: &Path, entries_max: usize) -> Result<Vec<DirEntry>, FileError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(or_here(path), flags, Mode::empty()).map_err(file_error)?;
    let mut found = Vec::new();
    for entry in Dir::read_from(&fd).map_err(file_error)? {
        let entry = entry.map_err(file_error)?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if found.len() >= entries_max {
            return Err(FileError::TooLarge);
        }
        match rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let (name, meta) = (name.to_bytes().to_vec(), meta(&stat));
                let executable = meta.kind == FileKind::Regular
                    && Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR);
                found.push(DirEntry { name, meta, executable });
            }
            // Gone since it was listed.
            Err(Errno::NOENT) => {}
            Err(e) => return Err(file_error(e)),
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Bytes free for us where `path` is, or would be if it existed.
pub(super) fn free_space(path: &Path) -> Result<u64, FileError> {
    let mut error = Errno::NOENT;
    for place in path.ancestors() {
        match rustix::fs::statvfs(or_here(place)) {
            Ok(found) => return Ok(found.f_bavail.saturating_mul(found.f_frsize)),
            Err(e @ (Errno::NOENT | Errno::NOTDIR)) => error = e,
            Err(e) => return Err(file_error(e)),
        }
    }
    Err(file_error(error))
}

/// A whole file of at most `bytes_max`.
pub(super) fn load(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let (fd, meta) = open_regular(path, OpenMode::Read)?;
    if meta.size > bytes_max {
        return Err(FileError::TooLarge);
    }
    let size = usize::try_from(meta.size).map_err(|_| FileError::TooLarge)?;
    let mut bytes = vec![0; size];
    let got = read(&fd, 0, &mut bytes).map_err(file_error)?;
    bytes.truncate(got as usize);
    Ok(bytes)
}

/// Replaces a file whole: readers see the old bytes or the new ones, after a power cut too. A
/// device or a FIFO is no file to replace; a symbolic link is replaced, and never followed.
pub(super) fn save(path: &Path, bytes: &[u8], private: bool) -> Result<(), FileError> {
    if let Ok(found) = rustix::fs::lstat(path)
        && meta(&found).kind != FileKind::Symlink
    {
        regular(&found)?;
    }
    let dir = path.parent().unwrap_or(Path::new(""));
    if private && !dir.as_os_str().is_empty() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| file_error(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
    }
    let mode = if private { 0o600 } else { 0o666 };
    let beside = write_beside(dir, bytes, Mode::from_raw_mode(mode))?;
    if let Err(e) = rustix::fs::rename(&beside, path) {
        // The error that counts is the first one.
        let _ = rustix::fs::unlink(&beside);
        return Err(file_error(e));
    }
    sync_dir(dir)
}

/// Writes the bytes, durably, under a name of its own in `dir`. -> that name.
fn write_beside(dir: &Path, bytes: &[u8], mode: Mode) -> Result<PathBuf, FileError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut why = FileError::Exists;
    for n in 0..SAVE_NAMES_MAX {
        let beside = dir.join(format!(".lmk-save-{}-{n}", std::process::id()));
        let fd = match rustix::fs::open(&beside, flags, mode) {
            Ok(fd) => fd,
            Err(Errno::EXIST) => continue,
            Err(e) => return Err(file_error(e)),
        };
        let written = write(&fd, 0, bytes)
            .and_then(|()| retry_on_intr(|| rustix::fs::fsync(&fd)))
            .map_err(file_error);
        match written {
            Ok(()) => return Ok(beside),
            Err(e) => why = e,
        }
        // Nothing of a failed attempt stays.
        let _ = rustix::fs::unlink(&beside);
        break;
    }
    Err(why)
}

/// The empty path is where we are.
pub(super) fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}
