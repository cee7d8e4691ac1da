//! What peers may send that they should not, and what becomes of the conversation.

use crate::table::{PIECE_BYTES, PIECES, Table};
use lmk::core::id::{ConnId, PeerId};
use lmk::core::limits::PEER_MESSAGE_BYTES_MAX;
use lmk::core::mark::expect_mark;
use lmk::core::time::Span;
use lmk::wire::peer::{self, BlockRef, HashRange, Message};

const FIRST: BlockRef = BlockRef { piece: 0, begin: 0, len: 16 * 1024 };

fn table() -> (Table, ConnId) {
    let mut table = Table::new(true, 1);
    let conn = table.guest(true);
    table.heard(conn);
    (table, conn)
}

/// A table at which a guest holds the slot.
fn served() -> (Table, ConnId) {
    let (mut table, conn) = table();
    table.say(conn, Message::Interested);
    assert!(table.heard(conn).0.contains(&Message::Unchoke));
    (table, conn)
}

fn extended(id: u8, payload: &[u8]) -> Vec<u8> {
    [&peer::extended_head(id, payload.len() as u32)[..], payload].concat()
}

#[track_caller]
fn closed(table: &Table, conn: ConnId, why: &str) {
    assert!(table.is_closed(conn), "the conversation goes on");
    assert_eq!(table.whys.last().map(String::as_str), Some(why));
}

#[test]
fn we_do_not_converse_with_ourselves_nor_twice_with_one_peer() {
    let (mut table, first) = table();
    expect_mark!("D02", {
        let ourselves = table.guest_as(PeerId(*b"-LM0100-us0000000000"), true);
        assert!(table.is_closed(ourselves));
    });
    let mut id = *b"-XX0000-guest0000000";
    id[18..].copy_from_slice(&[0, 1]);
    expect_mark!("D02", {
        let second = table.guest_as(PeerId(id), true);
        assert!(table.is_closed(second) != table.is_closed(first), "one of two goes");
        assert_eq!(table.swarm.peer_rows(table.now).len(), 1);
    });
}

#[test]
fn a_length_beyond_every_message_ends_the_conversation_on_its_prefix() {
    for len in [u32::MAX, 1 << 31, PEER_MESSAGE_BYTES_MAX + 1] {
        let (mut table, conn) = table();
        expect_mark!("D03", table.says(conn, &len.to_be_bytes()));
        closed(&table, conn, "message too large");
    }
    let (mut table, conn) = table();
    table.says(conn, &PEER_MESSAGE_BYTES_MAX.to_be_bytes());
    assert!(!table.is_closed(conn), "the longest message may begin");
}

#[test]
fn fixed_messages_have_their_length_and_unknown_ones_are_counted() {
    // Choke, have, request, and an extended message without an extension.
    for (id, len) in [(0, 2u32), (4, 4), (6, 14), (20, 1)] {
        let (mut table, conn) = table();
        expect_mark!("D04", {
            table.says(conn, &[&len.to_be_bytes()[..], &[id]].concat());
        });
        assert!(table.is_closed(conn), "id {id}, length {len}");
    }
    let (mut table, conn) = table();
    let unknown = [0, 0, 0, 3, 99, 1, 2];
    (0..64).for_each(|_| table.says(conn, &unknown));
    assert!(!table.is_closed(conn), "some are passed over");
    expect_mark!("D04", table.says(conn, &unknown));
    closed(&table, conn, "too many messages of unknown types");
}

#[test]
fn a_bitfield_must_fit_and_takes_nothing_back() {
    let bits = |bits: &[u8]| [&peer::bitfield_head(bits.len() as u32)[..], bits].concat();
    // Seven pieces of eight; a byte too many.
    let (mut table, conn) = table();
    expect_mark!("D05", table.says(conn, &bits(&[0xfe, 0])));
    assert!(table.is_closed(conn));
    // More pieces later is what a client does that learned more meanwhile; fewer is a lie.
    let (mut table, conn) = self::table();
    table.says(conn, &bits(&[0b1100_0000]));
    table.says(conn, &bits(&[0b1110_0000]));
    assert!(!table.is_closed(conn));
    expect_mark!("D05", table.says(conn, &bits(&[0b0110_0000])));
    closed(&table, conn, "bitfield: takes back pieces it had told");
}

#[test]
fn a_piece_beyond_the_end_cannot_be_had() {
    for index in [PIECES, u32::MAX] {
        let (mut table, conn) = table();
        expect_mark!("D06", table.say(conn, Message::Have(index)));
        closed(&table, conn, "have: a piece beyond the end of the content");
    }
    let (mut table, conn) = table();
    table.say(conn, Message::Have(PIECES - 2));
    assert!(!table.is_closed(conn));
}

/// Each of them is outside the content, too long, empty, or overflows.
const WRONG: [BlockRef; 8] = [
    BlockRef { piece: PIECES, begin: 0, len: 16 * 1024 },
    BlockRef { piece: u32::MAX, begin: u32::MAX, len: u32::MAX },
    BlockRef { piece: 0, begin: PIECE_BYTES, len: 1 },
    BlockRef { piece: 0, begin: PIECE_BYTES - 1, len: 2 },
    BlockRef { piece: 0, begin: u32::MAX, len: 16 * 1024 },
    BlockRef { piece: 0, begin: 0, len: 0 },
    BlockRef { piece: 0, begin: 0, len: 16 * 1024 + 1 },
    BlockRef { piece: PIECES - 1, begin: 16 * 1024 + 1, len: 16 * 1024 },
];

#[test]
fn wrong_requests_are_refused_one_by_one_and_the_thirty_second_ends_it() {
    let (mut table, conn) = served();
    for n in 0..31 {
        let wrong = WRONG[n % WRONG.len()];
        table.say(conn, Message::Request(wrong));
        assert_eq!(table.heard(conn), (vec![Message::Reject(wrong)], 0));
    }
    table.say(conn, Message::Request(FIRST));
    assert_eq!(table.heard(conn).1, 1, "a right one is served all the same");
    expect_mark!("D09", table.say(conn, Message::Request(WRONG[0])));
    closed(&table, conn, "too many requests of what is not there");
    assert_eq!(table.file_bytes[&conn], u64::from(FIRST.len), "nothing else was read");
}

#[test]
fn a_flood_of_requests_is_refused_beyond_the_queue() {
    let (mut table, conn) = served();
    let asked = |n: u32| BlockRef { piece: n % 7, begin: 0, len: 16 * 1024 - n / 7 };
    let flood: Vec<u8> =
        (0..1_000).flat_map(|n| Message::Request(asked(n)).encode().to_vec()).collect();
    expect_mark!("D10", table.says(conn, &flood));
    let (said, mut blocks) = table.heard(conn);
    let refused = said.iter().filter(|said| matches!(said, Message::Reject(_))).count();
    assert!(!table.is_closed(conn) && refused >= 1_000 - 600, "{refused} refused");
    for _ in 0..20 {
        table.drains(conn);
        blocks += table.heard(conn).1;
    }
    assert_eq!(blocks + refused, 1_000, "each request has exactly one answer");
}

#[test]
fn who_asks_on_and_on_without_a_slot_is_left() {
    let (mut table, _) = served();
    let waits = table.guest(true);
    table.say(waits, Message::Interested);
    table.heard(waits);
    let ask = Message::Request(FIRST).encode();
    table.says(waits, &ask.repeat(600));
    assert_eq!(table.heard(waits).1, 0);
    assert!(!table.is_closed(waits), "they may have been on their way");
    table.now = table.now + Span::secs(3);
    table.says(waits, &ask.repeat(512));
    assert_eq!(table.heard(waits), (vec![Message::Reject(FIRST); 512], 0));
    expect_mark!("D10", table.says(waits, &ask));
    closed(&table, waits, "requests on and on, though they are refused");
}

#[test]
fn a_cancelled_request_is_answered_exactly_once() {
    let (mut table, conn) = served();
    let mut asked = Vec::new();
    for n in 0..300u32 {
        let block = BlockRef { piece: n % 7, begin: 0, len: 1 + n };
        asked.push(block);
        table.say(conn, Message::Request(block));
    }
    let (said, mut blocks) = table.heard(conn);
    assert!(said.is_empty());
    expect_mark!("D11", {
        for block in &asked {
            table.say(conn, Message::Cancel(*block));
            table.say(conn, Message::Cancel(*block));
        }
    });
    let (said, _) = table.heard(conn);
    for _ in 0..10 {
        table.drains(conn);
        blocks += table.heard(conn).1;
    }
    assert_eq!(said.len() + blocks, asked.len());
    assert!(!table.swarm.busy(), "nothing is left behind");
}

#[test]
fn a_leecher_has_what_it_was_sent_though_it_says_nothing_of_it() {
    let (mut table, conn) = served();
    table.say(conn, Message::Request(FIRST));
    table.heard(conn);
    table.drains(conn);
    let rows = table.swarm.peer_rows(table.now);
    assert_eq!((rows[0].uploaded, rows[0].has), (FIRST.len.into(), FIRST.len.into()));
}

#[test]
fn nothing_is_granted_to_the_choked_and_no_fast_word_without_the_agreement() {
    // We grant no allowed-fast set, so there is nothing to take again and again.
    let (mut table, _) = served();
    let waits = table.guest(true);
    let (said, _) = table.heard(waits);
    assert!(!said.iter().any(|said| matches!(said, Message::AllowedFast(_))));
    table.say(waits, Message::Interested);
    for piece in 0..PIECES {
        table.say(waits, Message::Request(BlockRef { piece, ..FIRST }));
    }
    assert_eq!(table.heard(waits).1, 0);
    let plain = table.guest(false);
    expect_mark!("D12", table.say(plain, Message::AllowedFast(0)));
    closed(&table, plain, "a message of the fast extension, which was not agreed on");
    table.say(waits, Message::AllowedFast(PIECES));
    closed(&table, waits, "piece index beyond the last piece");
}

#[test]
fn extension_handshakes_are_bounded_in_content_and_number() {
    let (mut table, conn) = table();
    let many: String = (0..10_000).map(|n| format!("7:x{n:06}i1e")).collect();
    let hostile = [
        "d1:md9:lmk_statei300eee".to_owned(),
        "d1:md9:lmk_statei3e11:ut_metadatai3eee".to_owned(),
        "d4:reqqi-1e1:pi0e6:yourip3:abce".to_owned(),
        "d4:reqqi2147483648ee".to_owned(),
        "d1:v6:\u{1b}[2Jabe".to_owned(),
        "l".repeat(30_000),
        format!("d1:md{}ee", &many[..many.len().min(30_000)]),
    ];
    for words in &hostile {
        table.says(conn, &extended(0, words.as_bytes()));
        assert!(!table.is_closed(conn), "{:.60}", words);
    }
    table.says(conn, &extended(0, b"d1:v3:abce"));
    let names: Vec<String> =
        table.swarm.peer_rows(table.now).iter().map(|row| row.client.clone()).collect();
    assert_eq!(names, ["abc"], "the last one wins");
    expect_mark!("D25", table.says(conn, &extended(0, b"de")));
    closed(&table, conn, "too many extension handshakes");
}

#[test]
fn offers_and_unknown_extensions_cost_nothing() {
    let (mut table, conn) = served();
    let mut flood = Vec::new();
    for n in 0..20_000u32 {
        flood.extend_from_slice(&Message::Suggest(n % PIECES).encode());
        flood.extend_from_slice(&Message::Port(n as u16).encode());
        flood.extend_from_slice(&extended(200, b"whatever"));
    }
    expect_mark!("D32", table.says(conn, &flood));
    assert_eq!(table.heard(conn), (vec![], 0), "nobody answers them");
    table.say(conn, Message::Request(FIRST));
    assert_eq!(table.heard(conn).1, 1, "and the conversation goes on");
    expect_mark!("D32", table.say(conn, Message::Suggest(PIECES)));
    closed(&table, conn, "piece index beyond the last piece");
}

/// Bytes of memory this process has asked for, used or not.
fn asked_of_the_system() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_long_message_takes_memory_as_it_comes() {
    let mut table = Table::new(false, 1);
    let root = table.content.trees().unwrap().files()[0].root;
    let range = HashRange { root, base: 0, index: 0, length: 8192, proof: 0 };
    let mut promise = peer::hashes_head(range, 8192).to_vec();
    promise.push(0);
    let before = asked_of_the_system();
    expect_mark!("F04", {
        for _ in 0..4_000 {
            let conn = table.guest(true);
            table.says(conn, &promise);
            assert!(!table.is_closed(conn));
        }
    });
    let grown = asked_of_the_system().saturating_sub(before);
    assert!(grown < 300 << 20, "{grown} bytes for 1 GiB that was promised");
}

#[test]
fn who_asks_for_long_answers_and_never_reads_costs_little() {
    let (mut table, conn) = served();
    let root = table.content.trees().unwrap().files()[0].root;
    let layer = HashRange { root, base: 1, index: 0, length: PIECES, proof: 0 };
    // One read of the loop at its largest.
    let asks = Message::HashRequest(layer).encode().repeat(20_000);
    table.says(conn, &asks);
    let waits = table.unsent(conn);
    assert!(waits < 4 * 1024 * 1024, "{waits} bytes wait for one who does not read");
    assert!(table.paused.contains(&conn), "it is not listened to until it reads");
    table.drains(conn);
    assert!(!table.paused.contains(&conn), "it read");
}

#[test]
fn nodes_that_are_not_of_the_tree_are_refused() {
    let (mut table, conn) = table();
    let root = table.content.trees().unwrap().files()[0].root;
    let layer = HashRange { root, base: 1, index: 0, length: PIECES, proof: 0 };
    let strange = lmk::core::id::Hash32([7; 32]);
    for wrong in [
        HashRange { root: strange, ..layer },
        HashRange { base: 200, ..layer },
        HashRange { index: 1, ..layer },
        HashRange { length: 0, ..layer },
        HashRange { length: 3, ..layer },
        HashRange { length: 1 << 31, ..layer },
        HashRange { proof: 255, ..layer },
    ] {
        expect_mark!("D29", table.say(conn, Message::HashRequest(wrong)));
        assert_eq!(table.heard(conn).0, [Message::HashReject(wrong)], "{wrong:?}");
    }
    table.say(conn, Message::HashRequest(layer));
    assert!(table.unsent(conn) > 32 * PIECES as usize, "a right one is answered");
}

#[test]
fn those_who_ask_for_leaves_on_and_on_wait_for_each_other_and_for_the_next_second() {
    const FLOODERS: usize = 20;
    let mut table = Table::new(true, 1);
    let root = table.content.trees().unwrap().files()[0].root;
    let all = HashRange { root, base: 0, index: 0, length: 2 * PIECES, proof: 0 };
    let flooders: Vec<ConnId> = (0..FLOODERS).map(|_| table.guest(true)).collect();
    let honest = table.guest(true);
    for conn in &flooders {
        table.heard(*conn);
        table.says(*conn, &Message::HashRequest(all).encode());
        expect_mark!("D29", table.says(*conn, &Message::HashRequest(all).encode().repeat(50)));
        assert_eq!(table.heard(*conn).0, vec![Message::HashReject(all); 49], "two wait");
    }
    table.heard(honest);
    table.say(honest, Message::HashRequest(HashRange { length: 2, ..all }));
    let turns = (0..).find(|_| table.read().is_none() || table.unsent(honest) > 0).unwrap();
    assert!(turns <= FLOODERS + 1, "{turns} pieces were read for others first");
    assert_eq!(table.heard(honest).0, [], "it is not refused");
    let mut read = 0;
    for _ in 0..20 {
        for conn in &flooders {
            table.says(*conn, &Message::HashRequest(all).encode().repeat(2));
        }
        while let Some(bytes) = table.read() {
            read += bytes;
            assert!(read < 128 << 20, "it reads without end");
            for conn in &flooders {
                table.heard(*conn);
                table.drains(*conn);
                table.says(*conn, &Message::HashRequest(all).encode());
            }
        }
        table.passes(Span::ms(250));
    }
    assert!((64 << 20..96 << 20).contains(&read), "{read} bytes in five seconds");
}

#[test]
fn who_holds_a_slot_gets_more_leaves_read_and_not_without_end() {
    let (mut table, conn) = served();
    let root = table.content.trees().unwrap().files()[0].root;
    let all = HashRange { root, base: 0, index: 0, length: 2 * PIECES, proof: 0 };
    let mut read = 0;
    for _ in 0..4 {
        table.says(conn, &Message::HashRequest(all).encode().repeat(2));
        while let Some(bytes) = table.read() {
            read += bytes;
            assert!(read < 128 << 20, "it reads without end");
            table.heard(conn);
            table.drains(conn);
            table.says(conn, &Message::HashRequest(all).encode());
        }
        table.passes(Span::ms(250));
    }
    assert!((64 << 20..112 << 20).contains(&read), "{read} bytes in a second");
}

#[test]
fn the_same_pieces_again_and_again_end_the_conversation() {
    let mut table = Table::new(false, 1);
    let conn = table.guest(true);
    let have = Message::Have(0).encode();
    table.says(conn, &have.repeat(1 + 2 * PIECES as usize + 64));
    assert!(!table.is_closed(conn));
    expect_mark!("D07", table.says(conn, &have));
    closed(&table, conn, "have: the same pieces again and again");
}
