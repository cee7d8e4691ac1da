//! The control request of ours that prepares a catalogue connection (`docs/wire.md`), both sides.

use super::options;
use super::read::Fields;
use super::udp;

/// The action number, in request and answer: "LMK", 1.
pub const ACTION: u32 = 0x4c4d_4b01;
/// Shortest request, and the exact length of the answer: an answer is never the longer one.
pub const CONTROL_BYTES: usize = 72;
/// The version of the extension this program speaks.
pub const VERSION: u8 = 1;

/// What the tracker can do, and how it stands in the world.
pub mod caps {
    /// Names may be published.
    pub const WRITE: u32 = 1;
    /// Metainfo is stored and handed out.
    pub const METAINFO: u32 = 2;
    /// LIST takes `y`.
    pub const DELTA: u32 = 4;
    /// LIST takes `p`.
    pub const PREFIX: u32 = 8;
    /// HTTP announces on the same port.
    pub const HTTP: u32 = 16;
    /// Reserved.
    pub const TLS: u32 = 32;
    /// The tracker is open to a network: it listens on more than loopback.
    pub const OPEN: u32 = 64;
    /// WATCH is known.
    pub const WATCH: u32 = 128;
    /// REGISTER is known.
    pub const REGISTER: u32 = 256;
    /// LIST takes `q`.
    pub const GLOB: u32 = 512;
    /// The tracker ran before and lost its names: their owners may be on their way back.
    pub const RETURNING: u32 = 1024;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Only: who are you, what can you do.
    Hello,
    /// Prepare a connection that reads.
    Read,
    /// Prepare a connection that publishes.
    Write,
    Other(u16),
}

impl Op {
    fn number(self) -> u16 {
        match self {
            Op::Hello => 0,
            Op::Read => 1,
            Op::Write => 2,
            Op::Other(n) => n,
        }
    }

    fn from_number(n: u16) -> Op {
        match n {
            0 => Op::Hello,
            1 => Op::Read,
            2 => Op::Write,
            n => Op::Other(n),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Ready,
    Busy,
    AuthRequired,
    Forbidden,
    BadVersion,
    BadOp,
    /// READ, and `since` is the generation that holds.
    NotModified,
    Disabled,
    /// In the TCP reply alone.
    BadTicket,
    Other(u8),
}

impl Status {
    pub fn number(self) -> u8 {
        match self {
            Status::Ready => 0,
            Status::Busy => 1,
            Status::AuthRequired => 2,
            Status::Forbidden => 3,
            Status::BadVersion => 4,
            Status::BadOp => 5,
            Status::NotModified => 6,
            Status::Disabled => 7,
            Status::BadTicket => 8,
            Status::Other(n) => n,
        }
    }

    pub fn from_number(n: u8) -> Status {
        match n {
            0 => Status::Ready,
            1 => Status::Busy,
            2 => Status::AuthRequired,
            3 => Status::Forbidden,
            4 => Status::BadVersion,
            5 => Status::BadOp,
            6 => Status::NotModified,
            7 => Status::Disabled,
            8 => Status::BadTicket,
            n => Status::Other(n),
        }
    }

    /// Whether a token would help, or a better one.
    pub fn is_denial(self) -> bool {
        matches!(self, Status::AuthRequired | Status::Forbidden)
    }

    /// The reason in a few words, for an error line.
    pub fn reason(self) -> &'static str {
        match self {
            Status::Ready => "ready",
            Status::Busy => "it is busy",
            Status::AuthRequired => "it asks for a token",
            Status::Forbidden => "it does not allow this",
            Status::BadVersion => "it speaks another version of the catalogue",
            Status::BadOp => "it does not know the request",
            Status::NotModified => "nothing changed",
            Status::Disabled => "its catalogue is switched off",
            Status::BadTicket => "the ticket was not taken",
            Status::Other(_) => "for a reason this version does not know",
        }
    }
}

/// The version both sides speak: the lower of the two maxima if it is at least both minima.
pub fn common_version(ours: (u8, u8), theirs: (u8, u8)) -> Option<u8> {
    let version = ours.1.min(theirs.1);
    (version >= ours.0 && version >= theirs.0 && version > 0).then_some(version)
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlRequest {
    pub cid: u64,
    /// Never 0.
    pub tid: u32,
    /// Lowest and highest version spoken.
    pub versions: (u8, u8),
    pub op: Op,
    /// Random; the ticket is good with this nonce alone.
    pub nonce: [u8; 8],
    /// Generation of the catalogue the client holds, 0 = none.
    pub since: u64,
    /// BEP 41 URLData with the token, empty when there is none.
    pub url_data: Vec<u8>,
}

impl ControlRequest {
    /// Whether a datagram is a control request, well-formed or not.
    pub fn is_one(bytes: &[u8]) -> bool {
        udp::head(&mut Fields(bytes)).is_some_and(|(_, action, _)| action == ACTION)
    }

    /// Reads a datagram; `None` = answer with silence. The connection id is the caller's to check.
    pub fn decode(bytes: &[u8]) -> Option<ControlRequest> {
        if bytes.len() < CONTROL_BYTES {
            return None;
        }
        let mut fields = Fields(bytes);
        let (cid, action, tid) = udp::head(&mut fields)?;
        let versions = (fields.u8()?, fields.u8()?);
        let op = Op::from_number(fields.u16()?);
        let _flags = fields.u32()?;
        let (nonce, since) = (fields.array()?, fields.u64()?);
        let url_data = options::url_data(fields.0)?;
        (action == ACTION && tid != 0).then_some(ControlRequest {
            cid,
            tid,
            versions,
            op,
            nonce,
            since,
            url_data,
        })
    }

    /// Appends the datagram.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        udp::write_head(self.cid, ACTION, self.tid, out);
        out.extend_from_slice(&[self.versions.0, self.versions.1]);
        out.extend_from_slice(&self.op.number().to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.since.to_be_bytes());
        options::write_url_data(&self.url_data, out);
        options::pad(out, start + CONTROL_BYTES);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlResponse {
    pub tid: u32,
    /// 0 = none in common.
    pub version: u8,
    pub status: Status,
    /// 0 = the number of the UDP port.
    pub tcp_port: u16,
    /// READY: life of the ticket; BUSY: ask again after; NOT_MODIFIED: poll interval.
    pub seconds: u32,
    /// Zeros unless READY after READ or WRITE.
    pub ticket: [u8; 24],
    pub generation: u64,
    /// Names listed now.
    pub names: u64,
    /// Bits of [`caps`].
    pub caps: u32,
    /// Largest frame the tracker takes, bytes.
    pub max_frame: u32,
    /// Most entries of one LIST page.
    pub max_page: u32,
    /// Seconds since the tracker started, at least 1; 0 = not said.
    pub age_s: u32,
}

impl ControlResponse {
    /// An answer that carries nothing but its status.
    pub fn bare(tid: u32, version: u8, status: Status) -> ControlResponse {
        ControlResponse {
            tid,
            version,
            status,
            tcp_port: 0,
            seconds: 0,
            ticket: [0; 24],
            generation: 0,
            names: 0,
            caps: 0,
            max_frame: 0,
            max_page: 0,
            age_s: 0,
        }
    }

    /// Reads a datagram; `None` = not such an answer. Longer ones than 72 bytes are taken.
    pub fn decode(bytes: &[u8]) -> Option<ControlResponse> {
        if bytes.len() < CONTROL_BYTES {
            return None;
        }
        let mut fields = Fields(bytes);
        let action = fields.u32()?;
        let response = ControlResponse {
            tid: fields.u32()?,
            version: fields.u8()?,
            status: Status::from_number(fields.u8()?),
            tcp_port: fields.u16()?,
            seconds: fields.u32()?,
            ticket: fields.array()?,
            generation: fields.u64()?,
            names: fields.u64()?,
            caps: fields.u32()?,
            max_frame: fields.u32()?,
            max_page: fields.u32()?,
            age_s: fields.u32()?,
        };
        (action == ACTION).then_some(response)
    }

    /// Appends the datagram: exactly 72 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&ACTION.to_be_bytes());
        out.extend_from_slice(&self.tid.to_be_bytes());
        out.extend_from_slice(&[self.version, self.status.number()]);
        out.extend_from_slice(&self.tcp_port.to_be_bytes());
        out.extend_from_slice(&self.seconds.to_be_bytes());
        out.extend_from_slice(&self.ticket);
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.names.to_be_bytes());
        out.extend_from_slice(&self.caps.to_be_bytes());
        out.extend_from_slice(&self.max_frame.to_be_bytes());
        out.extend_from_slice(&self.max_page.to_be_bytes());
        out.extend_from_slice(&self.age_s.to_be_bytes());
    }
}
