//! The opening of a catalogue connection: the client's hello and the tracker's reply
//! (`docs/wire.md`), both sides.

use crate::core::fault::Fault;
use crate::wire::control::Status;
use crate::wire::read::Fields;
use sha2::{Digest, Sha256};

/// First eight bytes of both.
pub const MAGIC: [u8; 8] = *b"\x07LMK/CAT";
/// Bytes before the token.
const FIXED_BYTES: usize = 50;
const TOKEN_BYTES_MAX: usize = 512;
const NODE_KEY_BYTES: usize = 32;
/// Hello flag: a node key follows the token.
const NODE_KEY_FLAG: u16 = 1;
/// Longest hello: what a tracker buffers before it decides.
pub const HELLO_BYTES_MAX: usize = FIXED_BYTES + TOKEN_BYTES_MAX + NODE_KEY_BYTES;
/// Bytes of the reply.
pub const REPLY_BYTES: usize = 32;
/// What either side may name as its largest frame, bytes.
pub const FRAME_BYTES_RANGE: std::ops::RangeInclusive<u32> = 4096..=16 * 1024 * 1024;

/// Who a name belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Owner(pub [u8; 8]);

impl Owner {
    /// The owner that a node key stands for: the first 8 bytes of its SHA-256.
    pub fn of(node_key: &NodeKey) -> Owner {
        let digest = Sha256::digest(node_key.0);
        let mut owner = [0; 8];
        owner.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        Owner(owner)
    }
}

/// A node's secret: 32 random bytes made once. Never shown and never sent but in a hello.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeKey(pub [u8; 32]);

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeKey(..)")
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Lowest and highest version spoken.
    pub versions: (u8, u8),
    /// Largest frame the client takes, bytes.
    pub max_frame: u32,
    pub ticket: [u8; 24],
    /// The nonce of the control request that got the ticket.
    pub nonce: [u8; 8],
    /// Empty when there is none.
    pub token: Vec<u8>,
    pub node_key: Option<NodeKey>,
}

impl Hello {
    /// Whether `bytes` are, or begin like, a hello.
    pub fn begins(bytes: &[u8]) -> bool {
        MAGIC.iter().zip(bytes).all(|(magic, byte)| magic == byte)
    }

    /// Reads a hello from the front of what has come. `Ok(None)` = not all here yet (it never needs
    /// more than [`HELLO_BYTES_MAX`]); else the hello and its length. A fault closes the connection
    /// without a reply.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Hello, usize)>, Fault> {
        if !Hello::begins(bytes) {
            return Err(Fault::peer("catalogue hello: wrong magic"));
        }
        let mut fields = Fields(bytes);
        let Some((flags, hello)) = fixed(&mut fields) else { return Ok(None) };
        if !FRAME_BYTES_RANGE.contains(&hello.max_frame) {
            return Err(Fault::peer("catalogue hello: frame size out of range"));
        }
        let Some(token_len) = fields.u16() else { return Ok(None) };
        if usize::from(token_len) > TOKEN_BYTES_MAX {
            return Err(Fault::peer("catalogue hello: token too long"));
        }
        let Some(token) = fields.bytes(usize::from(token_len)) else { return Ok(None) };
        let mut node_key = None;
        if flags & NODE_KEY_FLAG != 0 {
            let Some(key) = fields.array() else { return Ok(None) };
            node_key = Some(NodeKey(key));
        }
        let len = bytes.len() - fields.0.len();
        Ok(Some((Hello { token: token.to_vec(), node_key, ..hello }, len)))
    }

    /// Appends the hello. A token longer than 512 bytes is left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let token = if self.token.len() <= TOKEN_BYTES_MAX { &self.token[..] } else { &[] };
        let flags = if self.node_key.is_some() { NODE_KEY_FLAG } else { 0 };
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[self.versions.0, self.versions.1]);
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(&self.max_frame.to_be_bytes());
        out.extend_from_slice(&self.ticket);
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&(token.len() as u16).to_be_bytes());
        out.extend_from_slice(token);
        if let Some(key) = &self.node_key {
            out.extend_from_slice(&key.0);
        }
    }
}

/// The flags and everything before the token's length.
fn fixed(fields: &mut Fields<'_>) -> Option<(u16, Hello)> {
    fields.array::<8>()?;
    let versions = (fields.u8()?, fields.u8()?);
    let flags = fields.u16()?;
    let max_frame = fields.u32()?;
    let (ticket, nonce) = (fields.array()?, fields.array()?);
    let hello = Hello { versions, max_frame, ticket, nonce, token: Vec::new(), node_key: None };
    Some((flags, hello))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HelloReply {
    /// The version chosen, 0 = refused.
    pub version: u8,
    pub status: Status,
    /// Largest frame the tracker takes, bytes.
    pub max_frame: u32,
    pub generation: u64,
    /// Unix seconds.
    pub time_s: u64,
}

impl HelloReply {
    /// Reads a reply from the front of what has come; `Ok(None)` = not all 32 bytes are here.
    pub fn decode(bytes: &[u8]) -> Result<Option<HelloReply>, Fault> {
        if !Hello::begins(bytes) {
            return Err(Fault::peer("catalogue reply: wrong magic"));
        }
        Ok(reply(&mut Fields(bytes)))
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[self.version, self.status.number(), 0, 0]);
        out.extend_from_slice(&self.max_frame.to_be_bytes());
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.time_s.to_be_bytes());
    }
}

fn reply(fields: &mut Fields<'_>) -> Option<HelloReply> {
    fields.array::<8>()?;
    let (version, status) = (fields.u8()?, Status::from_number(fields.u8()?));
    let _reserved = fields.u16()?;
    let (max_frame, generation, time_s) = (fields.u32()?, fields.u64()?, fields.u64()?);
    Some(HelloReply { version, status, max_frame, generation, time_s })
}
