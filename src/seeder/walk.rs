//! The files of a folder to share, found one directory a turn. Symbolic links are not followed and
//! whatever is no regular file is left out; both are said.

use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{DirEntry, FileDone, FileKind, FileOp, Meta, Outbox};
use crate::core::limits::FOLDER_FILES_MAX;
use crate::core::name;
use crate::core::report::{Ending, Event, escaped};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Entries left out that are told of one by one.
const TOLD_MAX: u64 = 20;

#[derive(Debug)]
pub struct Walk {
    top: PathBuf,
    /// The .torrent that is being made is not part of it, if there is one.
    made: Option<PathBuf>,
    /// Folders to look into, as paths below the top.
    open: Vec<Vec<u8>>,
    asked: Option<(Ticket, Vec<u8>)>,
    /// Files by their paths below the top.
    pub files: Vec<(Vec<u8>, Meta)>,
    /// Of them those that their owner may execute.
    pub executables: BTreeSet<Vec<u8>>,
    left_out: u64,
}

fn shown(path: &Path) -> String {
    escaped(path.as_os_str().as_bytes())
}

/// A path below `top` with elements joined by `/`.
pub fn below(top: &Path, path: &[u8]) -> PathBuf {
    top.join(OsStr::from_bytes(path))
}

impl Walk {
    /// Begins at `top`, which may be a symbolic link to a folder: the user named it.
    pub fn start(top: PathBuf, made: Option<PathBuf>, out: &mut Outbox) -> Walk {
        let mut walk = Walk {
            top,
            made,
            open: vec![Vec::new()],
            asked: None,
            files: vec![],
            executables: BTreeSet::new(),
            left_out: 0,
        };
        walk.go_on(out);
        walk
    }

    fn go_on(&mut self, out: &mut Outbox) {
        let Some(folder) = self.open.pop() else { return };
        let path = match folder.as_slice() {
            [] => self.top.join("."),
            folder => below(&self.top, folder),
        };
        let op = FileOp::ListDir { path, entries_max: FOLDER_FILES_MAX };
        self.asked = Some((out.file(op), folder));
    }

    /// A directory was read. -> whether all are.
    pub fn got(&mut self, ticket: Ticket, done: FileDone, out: &mut Outbox) -> Result<bool, Fatal> {
        let Some((_, folder)) = self.asked.take_if(|(asked, _)| *asked == ticket) else {
            return Ok(false);
        };
        let failed = |why: &str| {
            let path = shown(&below(&self.top, &folder));
            Fatal { ending: Ending::Disk, line: format!("{path}: {why}") }
        };
        let entries = match done {
            FileDone::Listed(Ok(entries)) => entries,
            FileDone::Listed(Err(error)) => return Err(failed(&error.reason())),
            _ => return Err(failed("an answer to another question")),
        };
        for entry in entries {
            self.enter(&folder, entry, out)?;
        }
        self.go_on(out);
        let over = self.asked.is_none();
        if over && self.left_out > TOLD_MAX {
            let count = self.left_out;
            let line = format!("{count} entries are left out in all");
            out.tell(Event::warning("left_out", line).number("entries", count));
        }
        Ok(over)
    }

    fn enter(&mut self, folder: &[u8], entry: DirEntry, out: &mut Outbox) -> Result<(), Fatal> {
        let usage = |line| Fatal { ending: Ending::Usage, line };
        let path = match folder {
            [] => entry.name.clone(),
            _ => [folder, b"/", &entry.name].concat(),
        };
        let place = below(&self.top, &path);
        let why = match entry.meta.kind {
            _ if self.made.as_ref() == Some(&place) => "it is the .torrent that is being made",
            FileKind::Symlink => "symbolic links are not followed",
            FileKind::Special => "it is neither a file nor a folder",
            FileKind::Regular | FileKind::Directory => {
                name::path_element(&entry.name)
                    .map_err(|why| usage(format!("{}: {why}", shown(&place))))?;
                if self.files.len() + self.open.len() >= FOLDER_FILES_MAX {
                    let top = shown(&self.top);
                    return Err(usage(format!("{top}: more than {FOLDER_FILES_MAX} files")));
                }
                if entry.executable {
                    self.executables.insert(path.clone());
                }
                match entry.meta.kind {
                    FileKind::Directory => self.open.push(path),
                    _ => self.files.push((path, entry.meta)),
                }
                return Ok(());
            }
        };
        self.left_out += 1;
        if self.left_out <= TOLD_MAX {
            let line = format!("{} is left out: {why}", escaped(&path));
            out.tell(Event::warning("left_out", line).text("path", String::from_utf8_lossy(&path)));
        }
        Ok(())
    }
}
