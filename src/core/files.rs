//! What a role may ask of the disk: file operations with tickets, and their answers.

use super::id::FileId;
use super::row::Row;
use std::path::PathBuf;
use std::rc::Rc;

/// A buffer for file bytes. It travels with the wish and comes back with the completion, so that a
/// role owns a fixed number of them.
pub type Page = Vec<u8>;

/// File work. Every operation is a ticket answered by [`super::io::Input::File`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileOp {
    /// -> `Opened`. Never follows a symbolic link at the last element; refuses what is not a
    /// regular file.
    Open { path: PathBuf, mode: OpenMode },
    /// The files of the folder `root` as one file, whose bytes are those of the row: whatever is
    /// asked of a file may be asked of it. `SetLen`, to the size of the row, makes what is missing
    /// of the wanted files; until then they are holes. `CreateNew` makes the folder. Only `Read`
    /// follows a symbolic link at the last element of `root`, and below it none is followed. What
    /// was kept aside is read with it, until it is pinned. -> `Opened`.
    OpenRow { root: PathBuf, row: Rc<Row>, mode: OpenMode },
    /// -> `Meta` of what a path names, not following a last symbolic link.
    Stat { path: PathBuf },
    /// -> `Meta` of an open file.
    StatOpen { file: FileId },
    /// -> `Meta` of an open file if `path` names it, else `Changed`, or `NotFound` if it names
    /// nothing.
    StatNamed { file: FileId, path: PathBuf },
    /// Fills `page` from `offset`. -> `Read` with the bytes got, fewer only at the end of the file.
    Read { file: FileId, offset: u64, page: Page },
    /// Writes the whole page at `offset`. -> `Wrote`.
    Write { file: FileId, offset: u64, page: Page },
    /// Makes written data durable: data and size, or with `meta` all metadata too. -> `Done`.
    Sync { file: FileId, meta: bool },
    /// Makes the entries of a directory durable. -> `Done`.
    SyncDir { path: PathBuf },
    /// -> `Done`.
    SetLen { file: FileId, len: u64 },
    /// Atomic rename; without `replace` an existing `to` is an error (`Exists`). -> `Done`.
    Rename { from: PathBuf, to: PathBuf, replace: bool },
    /// A file, or a folder with nothing in it. -> `Done`. A missing one is `NotFound`.
    Remove { path: PathBuf },
    /// Removes `path` if `named` still names the open `file`, else `Changed`. -> `Done`.
    RemoveBeside { path: PathBuf, file: FileId, named: PathBuf },
    /// Forgets the file. -> `Done`.
    Close { file: FileId },
    /// Bytes free for us on the file system that holds `path`. -> `Free`.
    FreeSpace { path: PathBuf },
    /// A whole small file, at most `bytes_max`. -> `Loaded`.
    Load { path: PathBuf, bytes_max: u64 },
    /// Replaces a small file whole (written beside, synced, renamed). A `private` one is for this
    /// user alone: mode 0600, and missing parent directories are made with mode 0700. One that is
    /// not has the mode that the user's umask leaves, in a directory that is there. What is there
    /// and is no regular file, a symbolic link too, is left alone: `NotRegular`. -> `Done`.
    Save { path: PathBuf, bytes: Vec<u8>, private: bool },
    /// The entries of a directory, at most `entries_max`, else `TooLarge`; not of what a last
    /// symbolic link leads to. -> `Listed`, sorted by name as raw bytes.
    ListDir { path: PathBuf, entries_max: usize },
    /// An advisory lock that dies with the process; `Busy` if another process holds it. -> `Done`.
    Lock { file: FileId },
    /// Who holds the lock of a file that was `Busy`. -> `Holder`.
    Holder { file: FileId },
    /// From now on a change of the file by anybody else is noticed: a `Read`, `Write`, `SetLen`,
    /// `SetPlainMode` or `Sync` fails with `Changed`, bytes leave as with `Pin`. -> `Guarded`.
    Guard { file: FileId },
    /// The mode of a new file: what the user's umask leaves of 0666, and no bit of execution, set
    /// user id or set group id. Those files of a row that are executable: what it leaves of 0777.
    /// -> `Done`.
    SetPlainMode { file: FileId },
    /// Of an open row removes the files that are not wanted, and the folders that only they lay in;
    /// the next `Sync` makes that durable. -> `Done`.
    RemoveUnwanted { file: FileId },
    /// Begins to bring written bytes to the disk and does not wait for it, so that the next `Sync`
    /// has little left to do. A hint: it promises nothing. -> `Done`.
    WriteBack { file: FileId, offset: u64, len: u64 },
    /// The first stretch of data at or after `offset`: before and behind it are holes, which read
    /// as zeros. A file system without holes calls all of the file data. -> `Extent`.
    NextExtent { file: FileId, offset: u64 },
    /// From now on bytes of the file are given out only while it is what `meta` says (size, times):
    /// it is looked at after they were read and before they leave. When it differs, a connection
    /// ends with [`super::io::Closed::FileFailed`] and a `Read` fails. -> `Done`.
    Pin { file: FileId, meta: Meta },
}

impl FileOp {
    /// The open file it is about.
    pub fn file(&self) -> Option<FileId> {
        match self {
            FileOp::StatOpen { file }
            | FileOp::StatNamed { file, .. }
            | FileOp::Read { file, .. }
            | FileOp::Write { file, .. }
            | FileOp::Sync { file, .. }
            | FileOp::SetLen { file, .. }
            | FileOp::RemoveBeside { file, .. }
            | FileOp::Close { file }
            | FileOp::Lock { file }
            | FileOp::Holder { file }
            | FileOp::Guard { file }
            | FileOp::SetPlainMode { file }
            | FileOp::RemoveUnwanted { file }
            | FileOp::WriteBack { file, .. }
            | FileOp::NextExtent { file, .. }
            | FileOp::Pin { file, .. } => Some(*file),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// Existing, read only. Follows a symbolic link: the user named it.
    Read,
    /// New, read and write; `Exists` if there is anything.
    CreateNew,
    /// Existing, read and write.
    Update,
}

/// Completion of a [`FileOp`].
#[derive(Debug)]
pub enum FileDone {
    Opened(Result<(FileId, Meta), FileError>),
    Meta(Result<Meta, FileError>),
    Read {
        page: Page,
        result: Result<u32, FileError>,
    },
    Wrote {
        page: Page,
        result: Result<(), FileError>,
    },
    Done(Result<(), FileError>),
    /// Whether each of two changes that follow each other at once has a time of its own.
    Guarded(Result<bool, FileError>),
    Free(Result<u64, FileError>),
    Loaded(Result<Vec<u8>, FileError>),
    Listed(Result<Vec<DirEntry>, FileError>),
    /// The process id of who holds a lock, if the system knows it.
    Holder(Option<u32>),
    /// First byte and end of a stretch of data; `None` if there is no more data.
    Extent(Result<Option<(u64, u64)>, FileError>),
}

/// What the system says of a file. Of a row of files: `kind`, `device` and `inode` are those of the
/// folder, each of the times is the sum of those of the files that are there; `size` is that of the
/// row if each wanted file is there with its length, 0 if none is there, else another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Meta {
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    pub device: u64,
    pub inode: u64,
    /// Nanoseconds of Unix time.
    pub mtime_ns: i128,
    /// Nanoseconds of Unix time.
    pub ctime_ns: i128,
}

/// One name in a directory, and what it names; a symbolic link is not followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// As the system has it: any bytes but `/` and NUL.
    pub name: Vec<u8>,
    pub meta: Meta,
    /// A regular file that its owner may execute.
    pub executable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FileKind {
    Regular,
    Directory,
    /// FIFO, socket, device: never opened.
    Special,
    Symlink,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileError {
    NotFound,
    Exists,
    Denied,
    NoSpace,
    IsDirectory,
    /// FIFO, socket, device or symbolic link where a regular file must be.
    NotRegular,
    /// Locked by another process.
    Busy,
    /// Larger than the caller takes.
    TooLarge,
    /// Another program changed it, although it is guarded.
    Changed,
    /// The wanted files of these two indices of a row are one to the file system, which tells no
    /// upper case from lower, or no two spellings of a letter.
    OneFile(usize, usize),
    /// Any other error of the system, by errno.
    Other(i32),
}

impl FileError {
    /// ESTALE: a pinned file is not what it was.
    pub const STALE: FileError = FileError::Other(116);

    /// The reason in a few words, for an error line.
    pub fn reason(self) -> String {
        match self {
            FileError::NotFound => "no such file".into(),
            FileError::Exists => "it exists already".into(),
            FileError::Denied => "permission denied".into(),
            FileError::NoSpace => "the disk is full".into(),
            FileError::IsDirectory => "it is a directory".into(),
            FileError::NotRegular => "it is not a regular file".into(),
            FileError::Busy => "another process uses it".into(),
            FileError::TooLarge => "it is larger than expected".into(),
            FileError::Changed => "another program changed it".into(),
            FileError::OneFile(..) => "two of its files are one on this file system".into(),
            FileError::Other(errno) => std::io::Error::from_raw_os_error(errno).to_string(),
        }
    }
}
