//! The one door between a machine and the world. News come in as [`Input`]; wishes go out as
//! [`Effect`] in an [`Outbox`]. Nothing is performed while logic runs: whoever drives the role (the
//! reactor or the simulator) applies the effects afterwards and tells completions in later turns.

pub use super::files::{DirEntry, FileDone, FileError, FileKind, FileOp, Meta, OpenMode, Page};

use super::chunk::{Chunk, Head};
use super::cipher::StreamKey;
use super::id::{ConnId, Ticket};
use super::report::{Ending, Event, Snapshot};
use super::slots::Slots;
use super::store::{StoreDone, StoreOp};
use super::time::Time;
use std::net::{IpAddr, SocketAddr};

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
    /// The answer to a database operation.
    Stored { ticket: Ticket, done: StoreDone },
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
    /// A file span that was queued could not be read whole: with `Changed` the file shrank or is
    /// not what it was pinned or guarded as, with anything else reading failed.
    FileFailed(FileError),
    /// The dial came through, but the other side is not who it should be, or speaks no TLS.
    Untrusted(Distrust),
}

/// Why the other side of a TLS connection is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Distrust {
    Expired,
    NotYetValid,
    /// The certificate is for other names.
    OtherName,
    /// Nobody we trust vouches for it.
    UnknownIssuer,
    /// Anything else about the certificate.
    Certificate,
    /// This machine trusts nobody: there are no certificates of authorities.
    NoAuthorities,
    /// It speaks no TLS, or none that we do.
    Protocol,
}

impl Distrust {
    /// For people; part of a line.
    pub fn reason(self) -> &'static str {
        match self {
            Distrust::Expired => "it has expired",
            Distrust::NotYetValid => "it is not valid yet; is the clock of this machine right?",
            Distrust::OtherName => "it is for another name",
            Distrust::UnknownIssuer => {
                "nobody this machine trusts vouches for it; name who does with --ca-file"
            }
            Distrust::Certificate => "it is no certificate of a server",
            Distrust::NoAuthorities => {
                "this machine has no certificates of authorities; install them or use --ca-file"
            }
            Distrust::Protocol => "there was none, for it speaks no TLS that we do",
        }
    }
}

/// How the bytes of a dialled connection travel. Noise has its place here, too; what is agreed on
/// in the stream itself begins with [`Effect::Encipher`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Transport {
    Plain,
    /// TLS; the other side must prove that it is `name`, a host name or an address. `Connected`
    /// comes once it has.
    Tls {
        name: String,
    },
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
    /// `from` is our address it shall leave from; without, the system chooses.
    Dial {
        conn: ConnId,
        to: SocketAddr,
        from: Option<IpAddr>,
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
    /// From here on the driver enciphers what is sent and deciphers what comes: everything that is
    /// sent after this wish, and every byte after those of the input that the role answers by it.
    /// Once for a connection at the most.
    Encipher {
        conn: ConnId,
        send: StreamKey,
        receive: StreamKey,
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
    Store {
        ticket: Ticket,
        op: StoreOp,
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
        self.dial_by(to, Transport::Plain)
    }

    pub fn dial_by(&mut self, to: SocketAddr, transport: Transport) -> ConnId {
        self.dial_from(None, to, transport)
    }

    pub fn dial_from(
        &mut self,
        from: Option<IpAddr>,
        to: SocketAddr,
        transport: Transport,
    ) -> ConnId {
        let conn = self.conns.insert(());
        self.effects.push(Effect::Dial { conn, to, from, transport });
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

    pub fn encipher(&mut self, conn: ConnId, send: StreamKey, receive: StreamKey) {
        self.effects.push(Effect::Encipher { conn, send, receive });
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

    pub fn store(&mut self, op: StoreOp) -> Ticket {
        let ticket = self.ticket();
        self.effects.push(Effect::Store { ticket, op });
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
