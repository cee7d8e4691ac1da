//! What lies below a folder: opened, made and looked at relative to its descriptor, and never
//! through a symbolic link, so that nobody who exchanges a folder meanwhile leads us elsewhere.

use crate::core::io::{FileError, Meta, OpenMode};
use crate::core::mark::mark;
use crate::reactor::paths::or_here;
use crate::reactor::regular::{file_error, meta, regular};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

#[derive(Debug)]
pub(super) struct Beneath {
    pub root: OwnedFd,
    /// The folder looked into last, while many files are looked at.
    last: Option<(Vec<u8>, OwnedFd)>,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Beneath {
    /// Opens the folder; `CreateNew` makes it.
    pub fn open(path: &Path, mode: OpenMode) -> Result<Beneath, FileError> {
        let flags = match mode {
            OpenMode::Read => FOLDER,
            OpenMode::Update | OpenMode::CreateNew => FOLDER | OFlags::NOFOLLOW,
        };
        if mode == OpenMode::CreateNew {
            rustix::fs::mkdir(path, Mode::from_raw_mode(0o777)).map_err(file_error)?;
        }
        let root = retry_on_intr(|| rustix::fs::open(or_here(path), flags, Mode::empty()));
        let root = root.map_err(|errno| match errno {
            // No folder, or one behind a link.
            Errno::NOTDIR | Errno::LOOP => FileError::NotRegular,
            errno => file_error(errno),
        })?;
        Ok(Beneath { root, last: None })
    }

    /// What the path names; nothing unless it is a regular file.
    pub fn look(&mut self, path: &[u8]) -> Option<Meta> {
        let (folder, name) = split(path);
        if self.last.as_ref().is_none_or(|(last, _)| last != folder) {
            let fd = self.folder(folder).ok()?;
            self.last = Some((folder.to_vec(), fd));
        }
        let (_, fd) = self.last.as_ref()?;
        let stat = rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        regular(&stat).ok()
    }

    /// From now on folders are looked for anew.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// Opens a regular file that is there.
    pub fn file(&self, path: &[u8], writes: bool) -> Result<(OwnedFd, Meta), FileError> {
        let flags = if writes { OFlags::RDWR } else { OFlags::RDONLY };
        // It is looked at first, because to open a device may do something.
        let probe = self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty());
        let stat = rustix::fs::fstat(probe.map_err(file_error)?).map_err(file_error)?;
        regular(&stat)?;
        self.opened(path, flags, Mode::empty())
    }

    /// Makes a file that is not there, and the folders that it lies in.
    pub fn make(&self, path: &[u8]) -> Result<(OwnedFd, Meta), FileError> {
        let (flags, mode) = (OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, 0o666);
        match self.opened(path, flags, Mode::from_raw_mode(mode)) {
            Err(FileError::NotFound) => {
                self.make_folders(split(path).0)?;
                self.opened(path, flags, Mode::from_raw_mode(mode))
            }
            opened => opened,
        }
    }

    /// Removes a file, and the folders above it that are empty then. -> the folder that is left.
    pub fn remove<'a>(&self, path: &'a [u8]) -> Result<&'a [u8], Errno> {
        let (mut folder, name) = split(path);
        rustix::fs::unlinkat(self.folder(folder)?, name, AtFlags::empty())?;
        while !folder.is_empty() {
            let (above, name) = split(folder);
            match rustix::fs::unlinkat(self.folder(above)?, name, AtFlags::REMOVEDIR) {
                Ok(()) => folder = above,
                Err(_) => break,
            }
        }
        Ok(folder)
    }

    /// Makes the entries of a folder durable.
    pub fn sync(&self, folder: &[u8]) -> Result<(), Errno> {
        let fd = match self.folder(folder) {
            // Nothing of it is left to be kept.
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            fd => fd?,
        };
        match retry_on_intr(|| rustix::fs::fsync(&fd)) {
            // Some file systems sync their folders by themselves and refuse to be asked.
            Err(Errno::INVAL) => Ok(()),
            result => result,
        }
    }

    fn opened(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<(OwnedFd, Meta), FileError> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let fd = self.resolve(path, flags, mode).map_err(file_error)?;
        let stat = rustix::fs::fstat(&fd).map_err(file_error)?;
        Ok((fd, regular(&stat)?))
    }

    fn folder(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        match path.is_empty() {
            true => rustix::io::fcntl_dupfd_cloexec(&self.root, 0),
            false => self.resolve(path, FOLDER | OFlags::NOFOLLOW, Mode::empty()),
        }
    }

    /// Each folder that is missing, from the first on.
    fn make_folders(&self, path: &[u8]) -> Result<(), FileError> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let (above, name) = split(path.get(..end).unwrap_or_default());
            let above = self.folder(above).map_err(file_error)?;
            match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(file_error(errno)),
            }
        }
        Ok(())
    }

    /// One call decides where a path leads (Linux 5.6); before it, one for each element.
    fn resolve(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = retry_on_intr(|| rustix::fs::openat2(&self.root, path, flags, mode, how));
        match opened {
            Err(Errno::LOOP | Errno::XDEV) => {
                mark!("E22");
                Err(Errno::LOOP)
            }
            Err(Errno::NOSYS | Errno::PERM) => walk(self.root.as_fd(), path, flags, mode),
            opened => opened,
        }
    }
}

/// Element by element; no link is followed at any of them.
fn walk(root: BorrowedFd, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let (folder, name) = split(path);
    let mut at: Option<OwnedFd> = None;
    for element in folder.split(|byte| *byte == b'/').filter(|element| !element.is_empty()) {
        let above = at.as_ref().map_or(root, AsFd::as_fd);
        let flags = FOLDER | OFlags::NOFOLLOW;
        at = Some(retry_on_intr(|| rustix::fs::openat(above, element, flags, Mode::empty()))?);
    }
    let above = at.as_ref().map_or(root, AsFd::as_fd);
    retry_on_intr(|| rustix::fs::openat(above, name, flags | OFlags::NOFOLLOW, mode))
}

/// The folder of a path, empty if it is the root, and the last element.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}

/// What the system says of the folder itself.
pub(super) fn root_meta(beneath: &Beneath) -> Result<Meta, FileError> {
    rustix::fs::fstat(&beneath.root).map(|stat| meta(&stat)).map_err(file_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::mark::expect_mark;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("lmk-beneath-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        std::fs::create_dir_all(path.join("root")).unwrap();
        path
    }

    #[test]
    fn no_link_is_followed_wherever_it_stands() {
        let top = folder("links");
        let root = top.join("root");
        std::fs::create_dir(top.join("outside")).unwrap();
        std::fs::write(top.join("outside/f"), b"secret").unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::fs::write(root.join("real/f"), b"ours").unwrap();
        symlink(top.join("outside"), root.join("folder")).unwrap();
        symlink("real", root.join("inside")).unwrap();
        symlink(top.join("outside/f"), root.join("file")).unwrap();
        let mut beneath = Beneath::open(&root, OpenMode::Update).unwrap();
        expect_mark!("E22", assert!(beneath.file(b"folder/f", true).is_err()));
        for path in [&b"folder/f"[..], b"inside/f", b"file", b"../outside/f"] {
            assert!(beneath.file(path, true).is_err(), "{}", path.escape_ascii());
            if path[0] != b'.' {
                assert_eq!(beneath.look(path), None, "{}", path.escape_ascii());
                let walked = walk(beneath.root.as_fd(), path, OFlags::RDONLY, Mode::empty());
                assert!(walked.is_err(), "{}", path.escape_ascii());
            }
        }
        assert!(beneath.make(b"folder/new").is_err());
        assert!(beneath.make(b"folder/deep/new").is_err());
        assert_eq!(std::fs::read_dir(top.join("outside")).unwrap().count(), 1);
        assert_eq!(beneath.look(b"real/f").unwrap().size, 4);
        assert_eq!(beneath.file(b"real/f", false).unwrap().1.size, 4);
        assert!(walk(beneath.root.as_fd(), b"real/f", OFlags::RDONLY, Mode::empty()).is_ok());
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn folders_are_made_as_deep_as_a_file_lies() {
        let top = folder("deep");
        let beneath = Beneath::open(&top.join("root"), OpenMode::Update).unwrap();
        beneath.make(b"a/b/c/d").unwrap();
        beneath.make(b"a/b/e").unwrap();
        assert_eq!(beneath.make(b"a/b/e").unwrap_err(), FileError::Exists);
        assert!(top.join("root/a/b/c/d").is_file());
        std::fs::remove_dir_all(top).unwrap();
    }

    /// Somebody exchanges a folder for a link to elsewhere and back, over and over, while files of
    /// it are made: none is made elsewhere.
    #[test]
    fn a_folder_that_becomes_a_link_meanwhile_leads_nowhere() {
        let top = folder("race");
        let (root, outside) = (top.join("root"), top.join("outside"));
        std::fs::create_dir(&outside).unwrap();
        std::fs::create_dir(root.join("d")).unwrap();
        symlink(&outside, root.join("link")).unwrap();
        let beneath = Beneath::open(&root, OpenMode::Update).unwrap();
        let swaps = root.clone();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        // A test alone has a thread: what is tried is an exchange in the middle of a call of ours,
        // and in one thread nothing happens in its middle. The program itself has none.
        let racer = std::thread::spawn(move || {
            let (d, link) = (swaps.join("d"), swaps.join("link"));
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let (at, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                rustix::fs::renameat_with(at, &d, at, &link, flags).unwrap();
            }
        });
        let mut made = 0;
        for n in 0..20_000 {
            made += u32::from(beneath.make(format!("d/{n}").as_bytes()).is_ok());
        }
        stop.send(()).unwrap();
        racer.join().unwrap();
        assert!(made > 0);
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        std::fs::remove_dir_all(top).unwrap();
    }
}
