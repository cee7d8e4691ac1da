//! Those who say too much.

use super::{Known, Talk, Trick};
use crate::core::io::Outbox;
use crate::wire::peer::{self, BlockRef, Message};

const FLOOD: usize = 500;

/// What follows the greeting at once.
pub fn begin(trick: Trick, known: &mut Known, talk: &mut Talk, out: &mut Outbox) {
    match trick {
        Trick::UnaskedBlocks => unasked(known, talk, 8, out),
        Trick::RequestFlooder => out.send(talk.conn, &Message::Interested.encode()),
        _ => {}
    }
}

/// What is said at every beat.
pub fn beat(trick: Trick, known: &mut Known, talk: &mut Talk, out: &mut Outbox) {
    let pieces = u64::from(known.content.geometry.pieces().max(1));
    let flood: Vec<u8> = match trick {
        Trick::HaveFlooder => (0..FLOOD)
            .flat_map(|_| Message::Have(known.rng.below(pieces) as u32).encode().to_vec())
            .collect(),
        Trick::RequestFlooder => (0..FLOOD)
            .flat_map(|_| {
                let piece = known.rng.below(pieces) as u32;
                Message::Request(BlockRef { piece, begin: 0, len: 16 * 1024 }).encode().to_vec()
            })
            .collect(),
        Trick::ChokeFlapper => {
            let both = [Message::Choke.encode().to_vec(), Message::Unchoke.encode().to_vec()];
            both.concat().repeat(20)
        }
        Trick::KeepAliver => Message::KeepAlive.encode().to_vec(),
        Trick::UnaskedBlocks => return unasked(known, talk, 2, out),
        _ => return,
    };
    out.send(talk.conn, &flood);
}

fn unasked(known: &mut Known, talk: &Talk, count: u32, out: &mut Outbox) {
    let geometry = known.content.geometry;
    for _ in 0..count {
        let piece = known.rng.below(u64::from(geometry.pieces().max(1))) as u32;
        let block = geometry.piece(piece).and_then(|piece| geometry.block_at(piece, 0));
        let Some(block) = block else { return };
        let bytes = vec![0xbb; geometry.block_len(block) as usize];
        out.send(talk.conn, &peer::block_head(piece, 0, bytes.len() as u32));
        out.send(talk.conn, &bytes);
    }
}
