//! The one door between a machine and the world. News come in as [`Input`]; wishes go out as
//! [`Effect`] in an [`Outbox`]. Nothing is performed while logic runs: whoever drives the role (the
//! reactor or the simulator) applies the effects afterwards and tells completions in later turns.

use super::chunk::{Chunk, Head};
use super::id::{ConnId, FileId, Ticket};
use super::report::{Ending, Event, Snapshot};
use super::slots::Slots;
use super::time::Time;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A machine that lives behind the door.
pub trait Role {
    /// Takes one piece of news and states its wishes. Must not look at the world in any other way.
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox);
    /// When the role wants `Input::Wake` at the latest; [`Time::NEVER`] if it waits for news only.
    fn deadline(&self) -> Time;
    /// Everything a view may show, as plain data.
    fn snapshot(&self, now: Time) -> Snapshot;
    /// Whether its own books agree with each other; else what does not. Dear: for judges alone.
    fn audit(&self) -> Result<(), String> {
        Ok(())
    }
}

/// News. Completions are inputs of a later turn than the wish they answer.
#[derive(Debug)]
pub enum Input<'a> {
    /// The first input of every role, once.
    Born,
    /// The deadline was reached (or passed).
    Wake,
    /// The user, a signal or the embedding program asks.
    Asked(Command),
    /// Answer to [`Effect::Listen`].
    Listening { ticket: Ticket, result: Result<Listening, NetError> },
    /// A connection came in through the listener. `local` is the address it came to.
    Accepted { conn: ConnId, remote: SocketAddr, local: SocketAddr },
    /// A dialled connection is established. A dial that fails is told by `Closed` alone.
    Connected { conn: ConnId, local: SocketAddr },
    /// Bytes came. They are borrowed from the driver for this call only.
    Bytes { conn: ConnId, bytes: &'a [u8] },
    /// Bytes left the queue of a connection: `bytes` since last told, `queued` still waiting.
    Sent { conn: ConnId, bytes: u64, queued: u64 },
    /// The end of a connection: exactly once for every `ConnId`, and the last word about it. Every
    /// id is told, those the role closed itself too.
    Closed { conn: ConnId, why: Closed },
    /// A datagram came from `from` to our address `to` (unspecified if the system does not say).
    Datagram { from: SocketAddr, to: IpAddr, bytes: &'a [u8] },
    /// The answer to a file operation.
    File { ticket: Ticket, done: FileDone },
}

/// What a person or a signal asks of a role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal is gone.
    Hangup,
}

/// The addresses that a listening wish got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listening {
    pub tcp: Option<SocketAddr>,
    pub udp: Option<SocketAddr>,
}

/// A refusal by the network side of the system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetError {
    /// The port is used by another program.
    InUse,
    /// Ports below 1024 or a firewall rule.
    Denied,
    /// The address is not one of this machine.
    NotOurs,
    /// Anything else, by errno.
    Other(i32),
}

/// Why a connection is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// We asked for it.
    ByUs,
    /// The other side ended the stream.
    ByPeer,
    /// Reset, or any error of an established connection.
    Reset,
    /// The dial was refused: nobody listens there.
    Refused,
    /// The dial went unanswered, or there is no route.
    Unreachable,
    /// A file span that was queued could not be read whole: the file shrank or failed.
    FileFailed,
}

/// A buffer for file bytes: it travels with the wish and comes back, so that their number is fixed.
pub type Page = Vec<u8>;

/// File work. Every operation is a ticket answered by [`Input::File`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileOp {
    /// -> `Opened`. Regular files alone; a last symbolic link is followed only to read.
    Open { path: PathBuf, mode: OpenMode },
    /// -> `Meta` of what a path names, not following a last symbolic link.
    Stat { path: PathBuf },
    /// -> `Meta` of an open file.
    StatOpen { file: FileId },
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
    /// -> `Done`. A missing file is `NotFound`.
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
    /// not has the mode that the user's umask leaves, in a directory that is there. -> `Done`.
    Save { path: PathBuf, bytes: Vec<u8>, private: bool },
    /// An advisory lock that dies with the process; `Busy` if another process holds it. -> `Done`.
    Lock { file: FileId },
    /// Who holds the lock of a file that was `Busy`. -> `Holder`.
    Holder { file: FileId },
    /// From now on a change of the file by anybody else is noticed: a `Read`, `Write`, `SetLen`,
    /// `SetPlainMode` or `Sync` fails with `Changed`, bytes leave as with `Pin`. -> `Guarded`.
    Guard { file: FileId },
    /// The mode of a new file, never executable: what the umask leaves of 0666. -> `Done`.
    SetPlainMode { file: FileId },
    /// Begins to bring written bytes to the disk; a hint for a short `Sync`. -> `Done`.
    WriteBack { file: FileId, offset: u64, len: u64 },
    /// The first stretch of data at or after `offset`: before and behind it are holes, which read
    /// as zeros. A file system without holes calls all of the file data. -> `Extent`.
    NextExtent { file: FileId, offset: u64 },
    /// From now on bytes are given out only while the file is what `meta` says (size, times) after
    /// they were read; else a connection ends with `FileFailed` and a `Read` fails. -> `Done`.
    Pin { file: FileId, meta: Meta },
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
    /// The process id of who holds a lock, if the system knows it.
    Holder(Option<u32>),
    /// First byte and end of a stretch of data; `None` if there is no more data.
    Extent(Result<Option<(u64, u64)>, FileError>),
}

/// What the system says of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Meta {
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    pub device: u64,
    pub inode: u64,
    /// Both times are Unix time.
    pub mtime_ns: i128,
    pub ctime_ns: i128,
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
    /// Any other error of the system, by errno.
    Other(i32),
}

impl FileError {
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
            FileError::Other(errno) => std::io::Error::from_raw_os_error(errno).to_string(),
        }
    }
}

/// How the bytes of a dialled connection travel. TLS, MSE and Noise have their place here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Plain,
}

/// Wishes, applied by the driver after the role returned, in the order they were stated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Open the role's listeners. `at.port()` 0 = any; otherwise the first free port from
    /// `at.port()` to `port_last`. With `tcp` and `udp` both get one number. -> `Listening`.
    Listen {
        ticket: Ticket,
        at: SocketAddr,
        port_last: u16,
        tcp: bool,
        udp: bool,
    },
    Dial {
        conn: ConnId,
        to: SocketAddr,
        transport: Transport,
    },
    /// Queue output. Ignored for a connection that is closed.
    Send {
        conn: ConnId,
        chunk: Chunk,
    },
    /// End a connection: at once, or (`flush`) after its queue has left.
    Close {
        conn: ConnId,
        flush: bool,
    },
    /// Stop or go on taking bytes from a connection (back-pressure).
    Reading {
        conn: ConnId,
        on: bool,
    },
    /// One datagram; the bytes stand in the arena. `from` is our address it shall leave from
    /// (unspecified: the system chooses). May be lost silently, as datagrams are.
    Datagram {
        to: SocketAddr,
        from: IpAddr,
        start: u32,
        len: u32,
    },
    File {
        ticket: Ticket,
        op: FileOp,
    },
    /// Narration for the user.
    Tell(Event),
    /// The role is finished: the process ends after this turn's effects.
    End(Ending),
}

/// The wishes of one turn and the bytes they need. Reused from turn to turn.
#[derive(Debug, Default)]
pub struct Outbox {
    pub effects: Vec<Effect>,
    /// Bytes of `Chunk::Arena` and `Effect::Datagram`.
    pub arena: Vec<u8>,
    /// Who has which connection id. The driver frees an id when its `Closed` was told.
    pub conns: Slots<ConnId, ()>,
    tickets: u64,
}

impl Outbox {
    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn keep(&mut self, bytes: &[u8]) -> (u32, u32) {
        // What does not fit in 4 GiB of one turn is not sent: no role comes near it.
        let (Ok(start), Ok(len)) = (u32::try_from(self.arena.len()), u32::try_from(bytes.len()))
        else {
            return (0, 0);
        };
        self.arena.extend_from_slice(bytes);
        (start, len)
    }

    pub fn listen(&mut self, at: SocketAddr, port_last: u16, tcp: bool, udp: bool) -> Ticket {
        let ticket = self.ticket();
        self.effects.push(Effect::Listen { ticket, at, port_last, tcp, udp });
        ticket
    }

    pub fn dial(&mut self, to: SocketAddr) -> ConnId {
        let conn = self.conns.insert(());
        self.effects.push(Effect::Dial { conn, to, transport: Transport::Plain });
        conn
    }

    /// Queues bytes: short ones by value, longer ones through the arena.
    pub fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        let chunk = match Head::new(bytes) {
            Some(head) => Chunk::Head(head),
            None => {
                let (start, len) = self.keep(bytes);
                Chunk::Arena { start, len }
            }
        };
        self.effects.push(Effect::Send { conn, chunk });
    }

    pub fn send_chunk(&mut self, conn: ConnId, chunk: Chunk) {
        self.effects.push(Effect::Send { conn, chunk });
    }

    pub fn close(&mut self, conn: ConnId) {
        self.effects.push(Effect::Close { conn, flush: false });
    }

    pub fn close_after_flush(&mut self, conn: ConnId) {
        self.effects.push(Effect::Close { conn, flush: true });
    }

    pub fn reading(&mut self, conn: ConnId, on: bool) {
        self.effects.push(Effect::Reading { conn, on });
    }

    pub fn datagram(&mut self, to: SocketAddr, from: IpAddr, bytes: &[u8]) {
        let (start, len) = self.keep(bytes);
        self.effects.push(Effect::Datagram { to, from, start, len });
    }

    pub fn file(&mut self, op: FileOp) -> Ticket {
        let ticket = self.ticket();
        self.effects.push(Effect::File { ticket, op });
        ticket
    }

    pub fn tell(&mut self, event: Event) {
        self.effects.push(Effect::Tell(event));
    }

    pub fn end(&mut self, ending: Ending) {
        self.effects.push(Effect::End(ending));
    }

    /// The bytes of an arena chunk or datagram of this turn.
    pub fn bytes(&self, start: u32, len: u32) -> &[u8] {
        let start = start as usize;
        self.arena.get(start..start + len as usize).unwrap_or_default()
    }
}
