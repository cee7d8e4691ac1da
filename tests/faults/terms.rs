//! On what terms a swarm is taken part in: how much a second, how many peers.

use crate::table::{PIECE_BYTES, PIECES, SIZE, Table};
use lmk::core::id::ConnId;
use lmk::core::time::Span;
use lmk::swarm::Terms;
use lmk::wire::extended::ExtendedHandshake;
use lmk::wire::peer::{self, BlockRef, Message};
use std::num::NonZeroU64;

const BLOCK: u32 = 16 * 1024;

fn limited(up: u64, down: u64) -> Terms {
    Terms { limit_up: NonZeroU64::new(up), limit_down: NonZeroU64::new(down), ..Terms::default() }
}

/// Asks for everything.
fn asks_all(table: &mut Table, conn: ConnId) {
    table.say(conn, Message::Interested);
    for piece in 0..PIECES - 1 {
        for begin in [0, BLOCK] {
            table.say(conn, Message::Request(BlockRef { piece, begin, len: BLOCK }));
        }
    }
}

#[test]
fn what_leaves_keeps_to_the_limit_and_everyone_who_asks_has_a_share() {
    let mut table = Table::on(true, 2, limited(64 * 1024, 0));
    let guests: Vec<ConnId> = (0..2).map(|_| table.guest(true)).collect();
    guests.iter().for_each(|guest| asks_all(&mut table, *guest));
    let mut served = [0, 0];
    for quarter in 1..=20u64 {
        for (guest, served) in guests.iter().zip(&mut served) {
            table.drains(*guest);
            *served += table.heard(*guest).1;
        }
        let bytes = (served[0] + served[1]) as u64 * u64::from(BLOCK);
        assert!(bytes <= 64 * 1024 * quarter / 4 + 48 * 1024, "{bytes} in {quarter} quarters");
        // The first one asks before anybody else does.
        assert!(served[0].abs_diff(served[1]) <= 2, "{served:?}");
        table.passes(Span::ms(250));
    }
    assert!(served[0] + served[1] >= 19, "{served:?}");
}

#[test]
fn who_waits_for_our_limit_does_not_lose_its_slot_to_one_who_waits_for_a_slot() {
    // A block in sixteen seconds: longer than anyone may stall.
    let mut table = Table::on(true, 1, limited(1024, 0));
    let (first, second) = (table.guest(true), table.guest(true));
    asks_all(&mut table, first);
    table.say(second, Message::Interested);
    table.heard(first);
    for _ in 0..4 * 50 {
        table.passes(Span::ms(250));
        table.drains(first);
        let (said, _) = table.heard(first);
        assert!(!said.contains(&Message::Choke));
    }
}

#[test]
fn no_more_is_asked_for_than_the_limit_says() {
    let mut table = Table::on(false, 1, limited(0, 64 * 1024));
    let source = table.guest(true);
    table.say(source, Message::HaveAll);
    table.say(source, Message::Unchoke);
    let mut asked = Vec::new();
    for quarter in 1..=12u64 {
        let requests: Vec<BlockRef> = table
            .heard(source)
            .0
            .into_iter()
            .filter_map(|said| if let Message::Request(block) = said { Some(block) } else { None })
            .collect();
        for block in &requests {
            let head = peer::block_head(block.piece, block.begin, block.len);
            let from = (block.piece * PIECE_BYTES + block.begin) as usize;
            let bytes = table.content_bytes()[from..from + block.len as usize].to_vec();
            table.says(source, &[&head[..], &bytes].concat());
        }
        asked.extend(requests);
        let bytes: u64 = asked.iter().map(|block| u64::from(block.len)).sum();
        assert!(bytes <= 64 * 1024 * quarter / 4 + 48 * 1024, "{bytes} in {quarter} quarters");
        table.passes(Span::ms(250));
    }
    let bytes: u64 = asked.iter().map(|block| u64::from(block.len)).sum();
    assert!(bytes + 32 * 1024 >= (64 * 1024 * 3).min(SIZE as u64), "{bytes}");
}

#[test]
fn no_more_peers_are_met_than_the_terms_say() {
    let mut table = Table::on(true, 1, Terms { conversations_max: 3, ..Terms::default() });
    let guests: Vec<ConnId> = (0..5).map(|_| table.guest(true)).collect();
    let closed: Vec<bool> = guests.iter().map(|guest| table.is_closed(*guest)).collect();
    assert_eq!(closed, [false, false, false, true, true]);
    // Nor are more dialled than there is room for.
    let named: Vec<_> = (1..=9).map(|n| ([10, 0, 9, n], 6881).into()).collect();
    table.swarm.got_named(lmk::peer::Identity::V2, &named, table.now, &mut table.out);
    assert_eq!(table.dials(), []);
    let mut table = Table::on(false, 1, Terms { conversations_max: 3, ..Terms::default() });
    table.guest(true);
    table.swarm.got_named(lmk::peer::Identity::V2, &named, table.now, &mut table.out);
    assert_eq!(table.dials().len(), 2);
}

#[test]
fn a_source_is_asked_for_no_more_blocks_than_it_queues_and_for_none_beyond_sixteen_kib() {
    let mut table = Table::new(false, 1);
    let source = table.guest(true);
    let words = ExtendedHandshake { reqq: Some(3), ..ExtendedHandshake::default() }.encode();
    table.says(source, &[&peer::extended_head(0, words.len() as u32)[..], &words].concat());
    table.say(source, Message::HaveAll);
    table.say(source, Message::Unchoke);
    let (mut asked, mut answered) = (Vec::new(), 0);
    while asked.len() < 15 {
        let said = table.heard(source).0.into_iter();
        asked.extend(
            said.filter_map(|said| if let Message::Request(b) = said { Some(b) } else { None }),
        );
        assert!((1..=3).contains(&(asked.len() - answered)), "{} {answered}", asked.len());
        let block: BlockRef = asked[answered];
        let head = peer::block_head(block.piece, block.begin, block.len);
        let from = (block.piece * PIECE_BYTES + block.begin) as usize;
        let bytes = table.content_bytes()[from..from + block.len as usize].to_vec();
        table.says(source, &[&head[..], &bytes].concat());
        answered += 1;
    }
    assert!(asked.iter().all(|block| block.len <= BLOCK && block.begin.is_multiple_of(BLOCK)));
}
