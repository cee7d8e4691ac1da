//! Those who serve what is not the content, or say what is not so.

use super::{Known, Talk, Trick};
use crate::core::io::Outbox;
use crate::wire::peer::{self, BlockRef, HashRange, Message};

/// Answers a request, with a lie where the trick wants one.
pub fn answer(trick: Trick, known: &Known, talk: &mut Talk, asked: BlockRef, out: &mut Outbox) {
    talk.count += 1;
    let geometry = known.content.geometry.clone();
    let block = geometry.block(asked.piece, asked.begin, asked.len);
    let (Ok(block), Ok((offset, len))) =
        (block, geometry.span(asked.piece, asked.begin, asked.len))
    else {
        return out.send(talk.conn, &Message::Reject(asked).encode());
    };
    if trick == Trick::BitfieldLiar {
        return out.send(talk.conn, &Message::Reject(asked).encode());
    }
    let last = block.index() + 1 == geometry.blocks_in(block.piece());
    let lies = match trick {
        Trick::LiesAlways | Trick::HashLiar | Trick::Copycat => true,
        Trick::LiesLast => last,
        Trick::LiesSeventh => talk.count.is_multiple_of(7),
        _ => false,
    };
    let span = offset as usize..offset as usize + len as usize;
    let mut bytes = known.bytes.get(span).unwrap_or_default().to_vec();
    if let Some(first) = bytes.first_mut().filter(|_| lies) {
        *first ^= 0xff;
    }
    out.send(talk.conn, &peer::block_head(asked.piece, asked.begin, len));
    out.send(talk.conn, &bytes);
}

/// Leaves that would make its lies true, with uncles that prove nothing.
pub fn prove(known: &mut Known, talk: &Talk, range: HashRange, out: &mut Outbox) {
    let count = range.length.min(512) + range.proof.min(32);
    let mut hashes = vec![0; 32 * count as usize];
    known.rng.fill(&mut hashes);
    if count == 0 {
        return out.send(talk.conn, &Message::HashReject(range).encode());
    }
    out.send(talk.conn, &peer::hashes_head(range, count));
    out.send(talk.conn, &hashes);
}
