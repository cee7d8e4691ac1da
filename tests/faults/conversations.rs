//! Conversations to the letter: however their bytes are cut, whoever opened them and in whatever
//! manner, and for as long as they go on.

use crate::table::{PIECES, Table, content};
use lmk::content::metainfo::Content;
use lmk::core::id::{ConnId, InfoHash, PeerId};
use lmk::core::rng::Rng;
use lmk::core::time::Span;
use lmk::peer::{Encrypting, Encryption, Identity};
use lmk::wire::mse::{Fresh, Method, Responder};
use lmk::wire::peer::{self, BlockRef, Framer, Handshake, HashRange, Message, Part, Reserved};
use std::net::SocketAddr;

const THEIRS: PeerId = PeerId(*b"-XX0000-guest0000000");

fn at() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 9], 6000))
}

fn with_fast() -> Reserved {
    Reserved::new().with_extended().with_fast()
}

fn block(piece: u32, begin: u32) -> Message {
    Message::Request(BlockRef { piece, begin, len: 16 * 1024 })
}

/// What a leecher may say in one go, known and unknown. Nothing in it depends on whether what was
/// asked before has left already, as what a cancel comes to does.
fn speech() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut say = |message: Message| bytes.extend_from_slice(&message.encode());
    say(Message::HaveNone);
    say(Message::KeepAlive);
    say(Message::Interested);
    say(block(0, 0));
    say(Message::Have(3));
    say(block(1, 0));
    say(block(PIECES + 5, 0));
    say(block(0, 16 * 1024));
    say(Message::Port(6881));
    say(Message::Suggest(2));
    say(Message::Interested);
    // A message and an extension that nobody knows.
    bytes.extend_from_slice(&[0, 0, 0, 4, 99, 1, 2, 3]);
    let words = b"d1:md11:upload_onlyi3eee";
    bytes.extend_from_slice(&peer::extended_head(0, words.len() as u32));
    bytes.extend_from_slice(words);
    bytes.extend_from_slice(&peer::extended_head(77, 5));
    bytes.extend_from_slice(b"hello");
    bytes.extend_from_slice(&Message::KeepAlive.encode());
    bytes
}

/// What a leecher hears that says `speech` in pieces of these lengths.
fn answers(cuts: impl Iterator<Item = usize>) -> (Vec<Message>, usize) {
    let mut table = Table::new(true, 1);
    let conn = table.guest(true);
    table.heard(conn);
    let speech = speech();
    let mut rest = &speech[..];
    for cut in cuts {
        let (part, later) = rest.split_at(cut.clamp(1, rest.len().max(1)).min(rest.len()));
        table.says(conn, part);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    assert!(rest.is_empty() && !table.is_closed(conn), "{:?}", table.whys);
    table.heard(conn)
}

#[test]
fn many_messages_in_one_segment_and_one_in_many_are_answered_alike() {
    let whole = answers(std::iter::once(usize::MAX));
    assert!(whole.0.contains(&Message::Unchoke) && whole.1 == 3, "{whole:?}");
    assert_eq!(answers(std::iter::repeat(1)), whole, "byte by byte");
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let cuts = std::iter::repeat_with(move || rng.between(1, 40) as usize);
        assert_eq!(answers(cuts), whole, "seed {seed}");
    }
}

#[test]
fn a_word_is_said_often_enough_for_the_least_patient() {
    let alive = |table: &mut Table, conn, seconds: u64| {
        let mut times = 0;
        for _ in 0..seconds {
            table.passes(Span::secs(1));
            table.says(conn, &Message::KeepAlive.encode());
            let (heard, _) = table.heard(conn);
            times += heard.iter().filter(|said| **said == Message::KeepAlive).count();
        }
        times
    };
    let mut table = Table::new(true, 1);
    let stock = table.guest(true);
    table.heard(stock);
    // Every 8 s; two within 5 s are a flood to some.
    assert!((12..=16).contains(&alive(&mut table, stock, 120)));
    let mut table = Table::new(true, 1);
    let ours = table.guest_as(PeerId(*b"-LM0100-guest0000000"), true);
    table.heard(ours);
    assert!((1..=2).contains(&alive(&mut table, ours, 120)));
}

#[test]
fn who_says_nothing_for_two_minutes_is_left_and_a_keepalive_is_something() {
    let mut table = Table::new(true, 1);
    let conn = table.guest(true);
    for _ in 0..5 {
        table.passes(Span::secs(110));
        table.says(conn, &Message::KeepAlive.encode());
    }
    assert!(!table.is_closed(conn));
    table.passes(Span::secs(121));
    assert!(table.is_closed(conn));
}

/// The handshake a dialled peer was sent.
fn opening(table: &mut Table, conn: ConnId) -> Handshake {
    let sent = table.sent(conn);
    match Framer::new().next(&mut &sent[..]) {
        Ok(Some(Part::Handshake(handshake))) => handshake,
        other => panic!("{other:?} of {sent:?}"),
    }
}

/// Two connections with one peer, one opened by each side. -> whether the one we opened stays.
fn ours_stays(peer_id: PeerId, ours_first: bool) -> bool {
    let mut table = Table::new(false, 1);
    let address = SocketAddr::from(([10, 0, 0, 1], 6000));
    let dialled = table.names(address, Identity::V2)[0];
    let mut answer = opening(&mut table, dialled);
    (answer.peer_id, answer.reserved) = (peer_id, with_fast());
    let mut accepted = None;
    if !ours_first {
        accepted = Some(table.guest_with(answer));
    }
    table.says(dialled, &answer.encode());
    let accepted = accepted.unwrap_or_else(|| table.guest_with(answer));
    assert!(table.is_closed(dialled) != table.is_closed(accepted), "one of two goes");
    assert_eq!(table.swarm.peer_rows(table.now).len(), 1);
    table.is_closed(accepted)
}

#[test]
fn of_two_connections_with_one_peer_the_greater_id_keeps_the_one_it_opened() {
    // Ours begins with `-LM0100-us`.
    let (less, more) = (PeerId(*b"-AA0000-000000000000"), PeerId(*b"-ZZ0000-000000000000"));
    for ours_first in [true, false] {
        assert!(ours_stays(less, ours_first));
        assert!(!ours_stays(more, ours_first));
    }
}

fn hybrid() -> Content {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/metainfo/a16k.hybrid.torrent");
    Content::from_torrent(&std::fs::read(path).unwrap()).unwrap()
}

fn hashes(content: &Content) -> (InfoHash, InfoHash) {
    let (v1, v2) = (content.v1.as_ref().unwrap(), content.v2.as_ref().unwrap());
    (v1.info_hash, v2.info_hash.truncated())
}

fn hash_request(content: &Content) -> Message {
    let root = content.v2.as_ref().unwrap().trees.files()[0].root;
    Message::HashRequest(HashRange { root, base: 0, index: 0, length: 2, proof: 0 })
}

#[test]
fn a_hybrid_that_was_met_under_v1_is_gone_on_with_under_v2_if_both_know_it() {
    let (content, companions) = (hybrid(), content());
    let (v1, v2) = hashes(&content);
    assert_eq!((content.hybrid(), companions.hybrid()), (Some(v2), None));
    for (reserved, expected) in [(with_fast().with_v2_upgrade(), v2), (with_fast(), v1)] {
        let mut table = Table::of(hybrid(), Some(v2), true, 1);
        let guest = table.guest_with(Handshake { reserved, info_hash: v1, peer_id: THEIRS });
        assert_eq!(opening(&mut table, guest).info_hash, expected);
        table.say(guest, hash_request(&content));
        assert_eq!(table.is_closed(guest), expected == v1, "hashes are asked for under v2 alone");
    }
    // Who has a v1 companion alone would take another hash for another content.
    let (v1, _) = hashes(&companions);
    let mut table = Table::new(true, 1);
    let reserved = with_fast().with_v2_upgrade();
    let guest = table.guest_with(Handshake { reserved, info_hash: v1, peer_id: THEIRS });
    assert_eq!(opening(&mut table, guest).info_hash, v1);
}

#[test]
fn a_hybrid_is_dialled_under_v1_with_the_offer_of_v2() {
    let content = hybrid();
    let (v1, v2) = hashes(&content);
    for (answer, under_v2) in [(v1, false), (v2, true)] {
        let mut table = Table::of(hybrid(), Some(v2), true, 1);
        table.names(at(), Identity::V1);
        table.passes(Span::secs(3));
        let conn = table.connects()[0];
        let opened = opening(&mut table, conn);
        assert_eq!((opened.info_hash, opened.reserved.v2_upgrade()), (v1, true));
        let answer = Handshake { reserved: with_fast(), info_hash: answer, peer_id: THEIRS };
        table.says(conn, &answer.encode());
        assert!(!table.is_closed(conn), "{:?}", table.whys);
        table.say(conn, hash_request(&content));
        assert_eq!(table.is_closed(conn), !under_v2);
    }
    // Under v2 there is nothing to offer, and companions never offer it.
    let mut table = Table::of(hybrid(), Some(v2), true, 1);
    let conn = table.names(at(), Identity::V2)[0];
    let opened = opening(&mut table, conn);
    assert_eq!((opened.info_hash, opened.reserved.v2_upgrade()), (v2, false));
    let (v1, v2) = hashes(&self::content());
    let mut table = Table::new(true, 1);
    table.names(at(), Identity::V1);
    table.passes(Span::secs(3));
    let conn = table.connects()[0];
    assert!(!opening(&mut table, conn).reserved.v2_upgrade());
    let answer = Handshake { reserved: with_fast(), info_hash: v2, peer_id: THEIRS };
    assert_ne!(v1, v2);
    table.says(conn, &answer.encode());
    assert!(table.is_closed(conn), "another hash is another content");
}

fn encrypting(policy: Encryption) -> Table {
    let mut table = Table::new(false, 1);
    table.swarm.encrypt(Encrypting::new(policy, &[1; 32], Rng::new(1)));
    table
}

/// Answers an encrypted handshake of the swarm, and shakes hands in it.
fn answers_encrypted(table: &mut Table, conn: ConnId, methods: &[Method]) -> Method {
    let key = table.sent(conn);
    assert!(key.len() >= 96 && !key.starts_with(b"\x13BitTorrent"), "a plain handshake");
    let (_, v2) = hashes(&table.content.clone());
    let (fresh, mut say) = (Fresh { private: [6; 20], pad: vec![1; 77] }, Vec::new());
    let mut side = Responder::new(&fresh, key.first_chunk().unwrap(), &mut say).unwrap();
    assert_eq!(side.hear(&mut &key[96..], (&[v2], methods), &mut say), Ok(None));
    for byte in say.drain(..) {
        table.says(conn, &[byte]);
    }
    let third = table.sent(conn);
    let agreed = side.hear(&mut &third[..], (&[v2], methods), &mut say).unwrap().unwrap();
    let theirs = Handshake { reserved: with_fast(), info_hash: v2, peer_id: THEIRS };
    assert_eq!(agreed.opening[28..48], theirs.encode()[28..48], "its first words come with it");
    // What follows is deciphered by the driver once it was told so, but not what came before.
    let mut tail = theirs.encode().to_vec();
    if agreed.method == Method::Rc4 {
        lmk::core::cipher::Keystream::new(agreed.send).apply(&mut tail);
    }
    say.extend_from_slice(&tail);
    table.says(conn, &say);
    agreed.method
}

#[test]
fn who_hangs_up_on_a_plain_handshake_is_dialled_once_more_encrypted() {
    for methods in [&[Method::Plain, Method::Rc4][..], &[Method::Rc4]] {
        let mut table = encrypting(Encryption::Allow);
        let plain = table.names(at(), Identity::V2)[0];
        opening(&mut table, plain);
        table.hangs_up(plain);
        table.passes(Span::ms(250));
        let again = table.connects();
        assert_eq!(again.len(), 1, "at once, and once");
        assert_eq!(answers_encrypted(&mut table, again[0], methods), methods[0]);
        assert_eq!(table.swarm.peer_rows(table.now).len(), 1, "{:?}", table.whys);
        // It is remembered.
        table.hangs_up(again[0]);
        table.passes(Span::secs(2));
        let later = table.connects()[0];
        assert_eq!(answers_encrypted(&mut table, later, methods), methods[0]);
    }
}

#[test]
fn who_takes_neither_is_left_alone_for_as_long_as_others() {
    let mut table = encrypting(Encryption::Allow);
    let mut conns = table.names(at(), Identity::V2);
    let mut dials = 0;
    for _ in 0..100 {
        for conn in conns.drain(..) {
            dials += 1;
            table.hangs_up(conn);
        }
        table.passes(Span::ms(250));
        conns = table.connects();
    }
    // One at once for the other manner; then after 1, 2, 4, 8 and 16 s in 25 s.
    assert!((5..=7).contains(&dials), "{dials} dials");
}

#[test]
fn who_took_a_plain_handshake_is_never_offered_another() {
    let mut table = encrypting(Encryption::Allow);
    let conn = table.names(at(), Identity::V2)[0];
    let mut answer = opening(&mut table, conn);
    answer.peer_id = THEIRS;
    table.says(conn, &answer.encode());
    for _ in 0..3 {
        for conn in table.connects() {
            opening(&mut table, conn);
            table.hangs_up(conn);
        }
        table.hangs_up(conn);
        table.passes(Span::secs(10));
    }
}

#[test]
fn whether_encryption_is_required_or_off_is_asked_of_nobody() {
    let mut table = encrypting(Encryption::Require);
    let conn = table.names(at(), Identity::V2)[0];
    assert_eq!(answers_encrypted(&mut table, conn, &[Method::Plain, Method::Rc4]), Method::Rc4);
    let mut table = encrypting(Encryption::Off);
    let mut conns = table.names(at(), Identity::V2);
    for _ in 0..5 {
        for conn in conns.drain(..) {
            opening(&mut table, conn);
            table.hangs_up(conn);
        }
        table.passes(Span::secs(10));
        conns = table.connects();
    }
}
