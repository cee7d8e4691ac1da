//! Those who stop in the middle.

use super::{Known, Talk, Trick};
use crate::core::io::Outbox;
use crate::wire::peer::{self, BlockRef};

/// Begins to answer.
pub fn answer(trick: Trick, known: &Known, talk: &mut Talk, asked: BlockRef, out: &mut Outbox) {
    let span = known.content.geometry.span(asked.piece, asked.begin, asked.len);
    let Ok((offset, len)) = span else { return };
    let from = offset as usize;
    let bytes = known.bytes.get(from..from + len as usize).unwrap_or_default();
    let head = peer::block_head(asked.piece, asked.begin, len);
    match trick {
        Trick::ResetMidBlock => {
            out.send(talk.conn, &head);
            out.send(talk.conn, &bytes[..bytes.len() / 2]);
            out.close_after_flush(talk.conn);
        }
        // It keeps one answer at a time: at this pace there will be no second.
        _ if talk.held.is_empty() => talk.held = [&head[..], bytes].concat(),
        _ => {}
    }
}

/// One byte more.
pub fn beat(trick: Trick, talk: &mut Talk, out: &mut Outbox) {
    if trick == Trick::Slowloris && !talk.held.is_empty() {
        let byte = talk.held.remove(0);
        out.send(talk.conn, &[byte]);
    }
}
