//! What a conversation tells: facts, checked against the content's geometry and the protocol's
//! rules, in the past tense.

use crate::content::bitfield::Bitfield;
use crate::content::geometry::{Block, Piece};
use crate::core::fault::Fault;
use crate::core::id::Hash32;
use crate::wire::peer::{BlockRef, HashRange};
use crate::wire::peer_exchange::PeerExchange;
use crate::wire::peer_state::UploadState;

#[derive(Debug)]
pub enum Heard<'a> {
    /// The handshake is complete: the peer's id is known, and we may speak.
    Greeted,
    /// The peer's extension handshake came (or came again).
    Introduced,
    /// We hold a slot there.
    Unchoked,
    /// We hold no slot there; without the fast extension all our requests are void.
    Choked,
    Interested,
    NotInterested,
    /// One more piece stands there.
    Has(Piece),
    /// Its pieces were told in bulk; this is what it had told until then.
    HasMany(Bitfield),
    /// It asks for bytes of the content: in range, at most one block long.
    Asked(BlockRef),
    /// It asks for bytes that are not there, or for more than a block.
    AskedWrongly(BlockRef),
    Cancelled(BlockRef),
    /// It will not answer a request of ours.
    Rejected(BlockRef),
    /// A block begins; its bytes follow in any cutting, then `BlockEnded`.
    BlockBegan(Block),
    BlockBytes(&'a [u8]),
    BlockEnded,
    /// It asks for nodes of the hash tree.
    AskedHashes(HashRange),
    /// Nodes of the hash tree: base hashes, then uncles.
    GotHashes(HashRange, Vec<Hash32>),
    HashesRejected(HashRange),
    /// It tells of further peers.
    GotPeers(PeerExchange),
    /// What it tells of its upload side towards us.
    Told(UploadState),
    /// It asks for a part of the info dict.
    AskedMetadata(u32),
}

/// What ends a conversation, or the next fact, or nothing until more bytes come.
pub type Hearing<'a> = Result<Option<Heard<'a>>, Fault>;

/// What a conversation tells while the content is not known yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EarlyHeard {
    /// The handshake is complete: the peer's id is known, and we may speak.
    Greeted,
    /// The peer's extension handshake came (or came again).
    Introduced,
    /// A block of the info dict, as long as its place in `total_size` bytes calls for.
    GotMetadata {
        piece: u32,
        total_size: u32,
        block: Vec<u8>,
    },
    /// It will not send a block of the info dict.
    MetadataRejected(u32),
    /// Nodes of the hash tree: base hashes, then uncles.
    GotHashes(HashRange, Vec<Hash32>),
    HashesRejected(HashRange),
}
