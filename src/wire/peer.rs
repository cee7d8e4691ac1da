//! The words of the peer wire (BEP 3, 6, 10, 52) and how each is written; [`Framer`] reads a stream
//! of them. Integers are big-endian.

pub use super::peer_framer::{Framer, Long, Part};

use crate::core::id::{Hash32, InfoHash, PeerId};

/// What a conversation opens with, after a byte that gives its length (BEP 3).
pub const PROTOCOL: &[u8; 19] = b"BitTorrent protocol";

/// Message ids: BEP 3 (0-9), BEP 6 (13-17), BEP 10 (20), BEP 52 (21-23).
pub(super) mod id {
    pub const CHOKE: u8 = 0;
    pub const UNCHOKE: u8 = 1;
    pub const INTERESTED: u8 = 2;
    pub const NOT_INTERESTED: u8 = 3;
    pub const HAVE: u8 = 4;
    pub const BITFIELD: u8 = 5;
    pub const REQUEST: u8 = 6;
    pub const PIECE: u8 = 7;
    pub const CANCEL: u8 = 8;
    pub const PORT: u8 = 9;
    pub const SUGGEST: u8 = 13;
    pub const HAVE_ALL: u8 = 14;
    pub const HAVE_NONE: u8 = 15;
    pub const REJECT: u8 = 16;
    pub const ALLOWED_FAST: u8 = 17;
    pub const EXTENDED: u8 = 20;
    pub const HASH_REQUEST: u8 = 21;
    pub const HASHES: u8 = 22;
    pub const HASH_REJECT: u8 = 23;
}

/// The eight bytes of a handshake in which each side says what it understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reserved(pub [u8; 8]);

impl Reserved {
    pub const fn new() -> Reserved {
        Reserved([0; 8])
    }

    /// BEP 10.
    pub const fn with_extended(self) -> Reserved {
        self.with(5, 0x10)
    }
    /// BEP 6.
    pub const fn with_fast(self) -> Reserved {
        self.with(7, 0x04)
    }
    /// BEP 5.
    pub const fn with_dht(self) -> Reserved {
        self.with(7, 0x01)
    }
    /// BEP 52: "I know this hybrid's v2 hash too".
    pub const fn with_v2_upgrade(self) -> Reserved {
        self.with(7, 0x10)
    }

    pub const fn extended(self) -> bool {
        self.0[5] & 0x10 != 0
    }
    pub const fn fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }
    pub const fn dht(self) -> bool {
        self.0[7] & 0x01 != 0
    }
    pub const fn v2_upgrade(self) -> bool {
        self.0[7] & 0x10 != 0
    }

    const fn with(mut self, byte: usize, mask: u8) -> Reserved {
        self.0[byte] |= mask;
        self
    }
}

/// The first 68 bytes of each direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handshake {
    pub reserved: Reserved,
    /// A v1 info-hash, or the first 20 bytes of a v2 one.
    pub info_hash: InfoHash,
    pub peer_id: PeerId,
}

impl Handshake {
    /// Length on the wire, bytes.
    pub const LEN: usize = 68;

    /// To be sent in one write: some clients take it from a single read.
    pub fn encode(&self) -> [u8; Handshake::LEN] {
        let mut out = Short::default();
        out.put(&[PROTOCOL.len() as u8]).put(PROTOCOL).put(&self.reserved.0);
        out.put(&self.info_hash.0).put(&self.peer_id.0);
        out.bytes
    }
}

/// A range of bytes of a piece, as asked for and as answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BlockRef {
    pub piece: u32,
    /// First byte within the piece.
    pub begin: u32,
    /// Bytes.
    pub len: u32,
}

/// A range of nodes of one merkle layer and the ancestors wanted with it (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HashRange {
    /// `pieces root` of the file.
    pub root: Hash32,
    /// Layer of the hashes: 0 = leaves.
    pub base: u32,
    /// First hash within the layer.
    pub index: u32,
    /// Hashes wanted.
    pub length: u32,
    /// Ancestor layers wanted, counted from the one above `base`.
    pub proof: u32,
}

/// Every message of fixed length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message {
    KeepAlive,
    Choke,
    Unchoke,
    Interested,
    NotInterested,
    /// Piece index.
    Have(u32),
    Request(BlockRef),
    Cancel(BlockRef),
    /// UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// Piece index (BEP 6), as in `AllowedFast`.
    Suggest(u32),
    AllowedFast(u32),
    HaveAll,
    HaveNone,
    Reject(BlockRef),
    HashRequest(HashRange),
    HashReject(HashRange),
}

impl Message {
    /// The whole message with its length prefix, 4 to 53 bytes.
    pub fn encode(&self) -> Encoded {
        use Message::*;
        let mut out = Short::default();
        match *self {
            KeepAlive => out.put(&[0; 4]),
            Choke => out.head(1, id::CHOKE),
            Unchoke => out.head(1, id::UNCHOKE),
            Interested => out.head(1, id::INTERESTED),
            NotInterested => out.head(1, id::NOT_INTERESTED),
            HaveAll => out.head(1, id::HAVE_ALL),
            HaveNone => out.head(1, id::HAVE_NONE),
            Have(piece) => out.head(5, id::HAVE).word(piece),
            Suggest(piece) => out.head(5, id::SUGGEST).word(piece),
            AllowedFast(piece) => out.head(5, id::ALLOWED_FAST).word(piece),
            Port(port) => out.head(3, id::PORT).put(&port.to_be_bytes()),
            Request(block) => out.head(13, id::REQUEST).block(block),
            Cancel(block) => out.head(13, id::CANCEL).block(block),
            Reject(block) => out.head(13, id::REJECT).block(block),
            HashRequest(range) => out.head(49, id::HASH_REQUEST).range(range),
            HashReject(range) => out.head(49, id::HASH_REJECT).range(range),
        };
        Encoded(out)
    }
}

/// One encoded message by value; dereferences to its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Encoded(Short<53>);

impl std::ops::Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes.get(..self.0.len).unwrap_or_default()
    }
}

/// What stands before the `len` bytes of a block.
pub fn block_head(piece: u32, begin: u32, len: u32) -> [u8; 13] {
    let mut out = Short::default();
    out.head(9u32.saturating_add(len), id::PIECE).word(piece).word(begin);
    out.bytes
}

/// What stands before the `len` bytes of a bitfield.
pub fn bitfield_head(len: u32) -> [u8; 5] {
    let mut out = Short::default();
    out.head(1u32.saturating_add(len), id::BITFIELD);
    out.bytes
}

/// What stands before the payload of an extension message. `extension` is the id that the receiver
/// chose; 0 is the extension handshake (BEP 10).
pub fn extended_head(extension: u8, payload_len: u32) -> [u8; 6] {
    let mut out = Short::default();
    out.head(2u32.saturating_add(payload_len), id::EXTENDED).put(&[extension]);
    out.bytes
}

/// What stands before `hash_count` hashes of 32 bytes, uncles included (BEP 52).
pub fn hashes_head(range: HashRange, hash_count: u32) -> [u8; 53] {
    let mut out = Short::default();
    let len = 49u32.saturating_add(hash_count.saturating_mul(32));
    out.head(len, id::HASHES).range(range);
    out.bytes
}

/// Up to `N` bytes, filled from the front.
#[derive(Clone, Copy, Debug)]
struct Short<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Short<N> {
        Short { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Short<N> {
    fn put(&mut self, bytes: &[u8]) -> &mut Short<N> {
        let end = self.len + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
            self.len = end;
        }
        self
    }

    fn word(&mut self, value: u32) -> &mut Short<N> {
        self.put(&value.to_be_bytes())
    }

    fn head(&mut self, len: u32, id: u8) -> &mut Short<N> {
        self.word(len).put(&[id])
    }

    fn block(&mut self, block: BlockRef) -> &mut Short<N> {
        self.word(block.piece).word(block.begin).word(block.len)
    }

    fn range(&mut self, range: HashRange) -> &mut Short<N> {
        self.put(&range.root.0).word(range.base).word(range.index);
        self.word(range.length).word(range.proof)
    }
}
