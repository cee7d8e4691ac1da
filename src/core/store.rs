//! What is kept in a database, and how a role asks for it: operations with tickets, as for files.
//! Rows are plain data; nobody above the store sees SQL.

use super::id::{Hash32, InfoHash, Ticket};
use super::time::{Span, Time};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

/// A database behind the door.
pub trait Store: Debug {
    /// Takes an operation. It is performed by a later [`Store::commit`], in the order asked.
    fn ask(&mut self, ticket: Ticket, op: StoreOp);
    /// When there is something to be done: [`Time::ZERO`] = at once, [`Time::NEVER`] = nothing.
    fn due(&self) -> Time;
    /// Answers what is not a write and gathers writes, for about half a millisecond: what takes
    /// long is left to [`Store::commit`].
    fn gather(&mut self, clock: &mut dyn FnMut() -> Time, done: &mut dyn FnMut(Ticket, StoreDone));
    /// Whether [`Store::gather`] has nothing to do.
    fn is_gathered(&self) -> bool;
    /// Performs what was asked, all writes of one kind in one transaction, and gives the
    /// completions. What nobody waits for is written in slices of about 1 ms a call, unless this is
    /// the `last` call. `clock` is asked how long it took.
    fn commit(
        &mut self,
        clock: &mut dyn FnMut() -> Time,
        last: bool,
        done: &mut dyn FnMut(Ticket, StoreDone),
    );
}

/// Database work. Every operation is a ticket answered by [`super::io::Input::Stored`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreOp {
    /// The first of all: opens the database, makes it if there is none. `unix_s` is the time for
    /// the name of a damaged one that is put aside. -> `Opened`.
    Open { unix_s: u64 },
    /// Names with numbers above `after`, in order, until their bytes reach `bytes_max`. -> `Names`;
    /// none = that was all.
    Names { after: u64, bytes_max: usize },
    /// Counts of finished downloads, in the order of hashes. -> `Finished`.
    Finished { after: Option<InfoHash>, rows_max: u32 },
    /// Peers as they were last written, in the order of (hash, part). -> `Swarms`.
    Swarms { after: Option<(InfoHash, u32)>, bytes_max: usize },
    /// Changes that must outlive a power cut, all or none of them. -> `Written`.
    Write(Vec<Change>),
    /// Peers: what is lost of them comes back by itself. -> `Written`.
    Liveness(Vec<SwarmPart>),
}

/// Completion of a [`StoreOp`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreDone {
    Opened(Result<Opened, StoreError>),
    Names(Result<Vec<NameRow>, StoreError>),
    Finished(Result<Vec<(InfoHash, u32)>, StoreError>),
    Swarms(Result<Vec<SwarmPart>, StoreError>),
    Written { result: Result<(), StoreError>, commit: Commit },
}

/// The transaction that an operation was part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Commit {
    /// Several operations of one transaction have one number.
    pub number: u64,
    /// How long it held the loop; for an operation in several slices, the longest of them.
    pub took: Span,
    /// The longest that moving the log into the database held it since the commit before.
    pub checkpoint: Span,
}

/// What an opened database says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Opened {
    /// A damaged database was there; it is kept under this path now, and the new one is empty.
    pub damaged: Option<PathBuf>,
    /// Generation of the catalogue at the last change that was kept.
    pub generation: u64,
    /// The last run wrote everything before it ended.
    pub orderly: bool,
}

/// One durable change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Adds or replaces the name of this number.
    Name(Box<NameRow>),
    DropName(u64),
    /// How many downloads of a swarm were finished; 0 = nothing is kept of it.
    Finished(InfoHash, u32),
    Generation(u64),
    /// The run is at its end: nothing follows.
    Orderly,
}

/// A name of the catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameRow {
    /// Order of publishing; never used twice.
    pub number: u64,
    pub name: String,
    pub v1: Option<InfoHash>,
    pub v2: Option<Hash32>,
    /// Bytes.
    pub size: u64,
    pub piece_bytes: u32,
    pub flags: u32,
    pub sha256: Option<Hash32>,
    /// Public key and signature of who signed it.
    pub signed: Option<Box<[u8; 96]>>,
    /// First the one that is shown.
    pub owners: Vec<[u8; 8]>,
    pub generation: u64,
    /// Unix seconds of its last change.
    pub time_s: u64,
    /// A source came since it was published.
    pub listed: bool,
    /// Unix seconds until which it is kept without a source; `None` while it has one.
    pub until_s: Option<u64>,
    /// Written only where it is `Some`: what is kept of it stays otherwise.
    pub metainfo: Option<MetainfoRow>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MetainfoRow {
    pub v1_info: Option<Arc<[u8]>>,
    pub v2_info: Option<Arc<[u8]>>,
    pub layers: Option<Arc<[u8]>>,
    pub hybrid: bool,
}

/// Peers of one swarm, packed as `docs/files.md` says. A large swarm has several parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SwarmPart {
    pub hash: InfoHash,
    /// 0 for the first.
    pub part: u32,
    /// Parts of higher numbers are gone.
    pub last: bool,
    /// Empty = the part is gone, too.
    pub packed: Vec<u8>,
}

/// Why a database does not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreError {
    /// There is none behind this door.
    Absent,
    /// Another process holds it; its id, if it says so.
    InUse(Option<u32>),
    /// Another program kept a write lock for too long.
    Busy,
    Full,
    /// An error of the device.
    Broken,
    ReadOnly,
    Denied,
    /// The bytes are not what was written.
    Damaged,
    /// Written by a newer version of this program: the version of the file.
    Newer(i64),
    /// A file of another program, a database or not.
    Foreign,
    /// Anything else, in the words of the system.
    Other(String),
}

impl StoreError {
    /// The reason in a few words, for an error line.
    pub fn reason(&self) -> String {
        match self {
            StoreError::Absent => "there is no database".into(),
            StoreError::InUse(Some(pid)) => format!("already in use by pid {pid}"),
            StoreError::InUse(None) => "already in use by another process".into(),
            StoreError::Busy => "another program keeps it locked".into(),
            StoreError::Full => "disk full".into(),
            StoreError::Broken => "the disk reports an error".into(),
            StoreError::ReadOnly => "it is read-only".into(),
            StoreError::Denied => "permission denied".into(),
            StoreError::Damaged => "the file is damaged".into(),
            StoreError::Newer(version) => {
                format!("a newer lmk wrote it (version {version} of its form)")
            }
            StoreError::Foreign => "it is a file of another program".into(),
            StoreError::Other(said) => said.clone(),
        }
    }
}

impl StoreOp {
    /// The completion that says no.
    pub fn refused(&self, error: StoreError) -> StoreDone {
        match self {
            StoreOp::Open { .. } => StoreDone::Opened(Err(error)),
            StoreOp::Names { .. } => StoreDone::Names(Err(error)),
            StoreOp::Finished { .. } => StoreDone::Finished(Err(error)),
            StoreOp::Swarms { .. } => StoreDone::Swarms(Err(error)),
            StoreOp::Write(_) | StoreOp::Liveness(_) => {
                StoreDone::Written { result: Err(error), commit: Commit::default() }
            }
        }
    }
}
