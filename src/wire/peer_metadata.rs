//! Messages of the metadata exchange (BEP 9).

use crate::core::bencode::{Limits, Mode, Writer, parse_prefix};

/// Bytes of one block of an info dict; the last is shorter.
pub const METADATA_BLOCK_BYTES: u32 = 16 * 1024;
/// Largest info dict taken from peers.
pub const METADATA_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// Payload of `ut_metadata`. `piece` counts blocks of [`METADATA_BLOCK_BYTES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetadataMessage<'a> {
    Request {
        piece: u32,
    },
    /// `block` has the length that `piece` and `total_size` call for; empty in the block after the
    /// last that some clients send when the size is a multiple of a block.
    Data {
        piece: u32,
        /// Bytes of the whole info dict.
        total_size: u32,
        block: &'a [u8],
    },
    Reject {
        piece: u32,
    },
}

impl<'a> MetadataMessage<'a> {
    pub fn encode(&self) -> Vec<u8> {
        let (kind, piece, total_size, block) = match *self {
            MetadataMessage::Request { piece } => (0, piece, None, &[][..]),
            MetadataMessage::Data { piece, total_size, block } => {
                (1, piece, Some(total_size), block)
            }
            MetadataMessage::Reject { piece } => (2, piece, None, &[][..]),
        };
        let mut out = Writer::new();
        out.begin_dict().key(b"msg_type").uint(kind).key(b"piece").uint(u64::from(piece));
        if let Some(size) = total_size {
            out.key(b"total_size").uint(u64::from(size));
        }
        out.end().raw(block);
        out.finish()
    }

    /// `None`: a bad message or one of a later kind, to be ignored.
    pub fn decode(payload: &'a [u8]) -> Option<MetadataMessage<'a>> {
        let (doc, len) = parse_prefix(payload, Mode::Tolerant, Limits::MESSAGE).ok()?;
        let number = |key: &[u8]| u32::try_from(doc.root().get(key)?.uint()?).ok();
        let piece = number(b"piece")?;
        match number(b"msg_type")? {
            0 => Some(MetadataMessage::Request { piece }),
            1 => {
                let total_size = number(b"total_size")?;
                let block = payload.get(len..)?;
                let right = block.len() as u64 == block_bytes(piece, total_size)?;
                right.then_some(MetadataMessage::Data { piece, total_size, block })
            }
            2 => Some(MetadataMessage::Reject { piece }),
            _ => None,
        }
    }
}

/// Bytes of block `piece` of an info dict, if it can have that block.
fn block_bytes(piece: u32, total_size: u32) -> Option<u64> {
    let begin = u64::from(piece) * u64::from(METADATA_BLOCK_BYTES);
    if !(1..=METADATA_BYTES_MAX).contains(&total_size) {
        return None;
    }
    let left = u64::from(total_size).checked_sub(begin)?;
    Some(left.min(u64::from(METADATA_BLOCK_BYTES)))
}
