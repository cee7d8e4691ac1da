//! What sources may fail to do, and what becomes of them.

use crate::table::Table;
use lmk::core::id::ConnId;
use lmk::core::mark::expect_mark;
use lmk::wire::peer::{self, BlockRef, Message};

/// Someone who says that it has everything, and lets us ask.
fn source(table: &mut Table) -> ConnId {
    let conn = table.guest(true);
    table.say(conn, Message::HaveAll);
    table.say(conn, Message::Unchoke);
    conn
}

/// What a source was asked for since last looked.
fn asked(table: &mut Table, conn: ConnId) -> Vec<BlockRef> {
    let heard = table.heard(conn).0;
    heard
        .into_iter()
        .filter_map(|message| match message {
            Message::Request(block) => Some(block),
            _ => None,
        })
        .collect()
}

/// A block as it is, whatever piece it stands in.
fn sends(table: &mut Table, conn: ConnId, block: BlockRef) {
    let at = (block.piece * crate::table::PIECE_BYTES + block.begin) as usize;
    let bytes = table.content_bytes()[at..at + block.len as usize].to_vec();
    let head = peer::block_head(block.piece, block.begin, block.len);
    table.says(conn, &[&head[..], &bytes].concat());
}

#[test]
fn one_who_refuses_whatever_it_is_asked_for_is_let_go_after_fifty_times() {
    let mut table = Table::new(false, 1);
    let conn = source(&mut table);
    let mut refused = 0;
    let mut waits = asked(&mut table, conn);
    expect_mark!("D19", {
        while !table.is_closed(conn) {
            assert!(!waits.is_empty(), "it is asked for nothing more after {refused} refusals");
            let block = waits.remove(0);
            table.say(conn, Message::Reject(block));
            refused += 1;
            waits.extend(asked(&mut table, conn));
        }
    });
    assert_eq!(refused, 50);
    assert_eq!(table.whys.last().unwrap(), "refuses whatever it is asked for");
}

#[test]
fn one_that_delivers_now_and_then_may_refuse_much() {
    let mut table = Table::new(false, 1);
    let conn = source(&mut table);
    let mut waits = asked(&mut table, conn);
    for turn in 1..200 {
        let block = waits.remove(0);
        match turn % 40 {
            0 => sends(&mut table, conn, block),
            _ => table.say(conn, Message::Reject(block)),
        }
        assert!(!table.is_closed(conn), "after {turn} turns: {:?}", table.whys);
        waits.extend(asked(&mut table, conn));
    }
}
