//! Those who say too much.

use super::{Known, Talk, Trick};
use crate::core::io::Outbox;
use crate::wire::peer::{self, BlockRef, Message};
use crate::wire::udp::{self, Request};
use std::net::{Ipv4Addr, SocketAddr};

const FLOOD: usize = 500;
const DATAGRAMS: u32 = 30;

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

/// What the tracker hears at every beat.
pub fn beat_tracker(trick: Trick, known: &mut Known, tracker: SocketAddr, out: &mut Outbox) {
    if trick != Trick::AnnounceFlooder {
        return;
    }
    for n in 0..DATAGRAMS {
        let mut bytes = Vec::new();
        match n % 3 {
            0 => Request::Connect { tid: n }.encode(&mut bytes),
            1 => {
                // An id nobody was given.
                udp::write_head(known.rng.next_u64(), udp::action::ANNOUNCE, n, &mut bytes);
                bytes.resize(98, 7);
            }
            _ => {
                bytes.resize(known.rng.below(200) as usize, 0);
                known.rng.fill(&mut bytes);
            }
        }
        out.datagram(tracker, Ipv4Addr::UNSPECIFIED.into(), &bytes);
    }
}

fn unasked(known: &mut Known, talk: &Talk, count: u32, out: &mut Outbox) {
    let geometry = known.content.geometry.clone();
    for _ in 0..count {
        let piece = known.rng.below(u64::from(geometry.pieces().max(1))) as u32;
        let block = geometry.piece(piece).and_then(|piece| geometry.block_at(piece, 0));
        let Some(block) = block else { return };
        let bytes = vec![0xbb; geometry.block_len(block) as usize];
        out.send(talk.conn, &peer::block_head(piece, 0, bytes.len() as u32));
        out.send(talk.conn, &bytes);
    }
}
