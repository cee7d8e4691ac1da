//! A conversation about a content that is not known: what a peer may say, and what is kept of it.

use super::*;
use crate::core::chunk::Chunk;
use crate::core::io::Effect;
use crate::core::mark::expect_mark;
use crate::wire::peer::{BlockRef, Reserved};
use proptest::prelude::*;

const TOPIC: InfoHash = InfoHash([7; 20]);
const RANGE: HashRange =
    HashRange { root: Hash32([3; 32]), base: 0, index: 0, length: 2, proof: 0 };

fn us() -> Us {
    Us {
        peer_id: PeerId([1; 20]),
        listen_port: 6881,
        metadata_bytes: [0; 2],
        upgrade: None,
        exchanges: false,
    }
}

/// A conversation that a peer opened to us.
fn early(identity: Identity, fast: bool) -> (Early, Outbox) {
    let mut reserved = Reserved::new().with_extended();
    if fast {
        reserved = reserved.with_fast();
    }
    let handshake = Handshake { reserved, info_hash: TOPIC, peer_id: PeerId([2; 20]) };
    let mut framer = Framer::new();
    assert!(framer.next(&mut &handshake.encode()[..]).unwrap().is_some());
    let mut out = Outbox::default();
    let conn = out.conns.insert(());
    let remote = ([10, 0, 0, 2], 5000).into();
    let mut early = Early::accepted(conn, remote, (framer, handshake), identity, Time::ZERO);
    early.greet(&us(), Time::ZERO, &mut out);
    (early, out)
}

fn extended(id: u8, payload: &[u8]) -> Vec<u8> {
    [&peer::extended_head(id, payload.len() as u32)[..], payload].concat()
}

fn words(size: u32) -> Vec<u8> {
    let mut words = ExtendedHandshake { metadata_size: Some(size), ..Default::default() };
    words.ids.set(Extension::UtMetadata, 3);
    extended(0, &words.encode())
}

fn hear(early: &mut Early, bytes: &[u8], out: &mut Outbox) -> Result<Vec<EarlyHeard>, Fault> {
    let (mut bytes, mut heard) = (bytes, Vec::new());
    while let Some(fact) = early.next(&mut bytes, Time::ZERO, out)? {
        heard.push(fact);
    }
    Ok(heard)
}

/// Everything that was sent.
fn sent(out: &Outbox) -> Vec<u8> {
    let mut bytes = Vec::new();
    for effect in &out.effects {
        match effect {
            Effect::Send { chunk: Chunk::Head(head), .. } => bytes.extend(head.bytes()),
            Effect::Send { chunk: Chunk::Arena { start, len }, .. } => {
                bytes.extend(out.bytes(*start, *len));
            }
            _ => {}
        }
    }
    bytes
}

#[test]
fn it_says_that_it_takes_metadata_and_has_nothing() {
    for fast in [true, false] {
        let (_, out) = early(Identity::V1, fast);
        let (mut framer, bytes) = (Framer::new(), sent(&out));
        let (mut bytes, mut parts, mut said) = (&bytes[..], Vec::new(), Vec::new());
        while let Some(part) = framer.next(&mut bytes).unwrap() {
            match part {
                Part::Bytes(more) => said.extend_from_slice(more),
                part => parts.push(format!("{part:?}")),
            }
        }
        let words = ExtendedHandshake::decode(&said).unwrap();
        assert_eq!(words.ids.id(Extension::UtMetadata), Some(greeting::OUR_METADATA_ID));
        assert_eq!((words.metadata_size, words.listen_port), (None, Some(6881)));
        let none = parts.last().unwrap().contains("HaveNone");
        assert_eq!(none, fast, "{parts:?}");
    }
}

#[test]
fn what_is_told_of_pieces_costs_nothing_and_means_nothing() {
    let (mut early, mut out) = early(Identity::V1, true);
    let bits = [&peer::bitfield_head(200_000)[..], &[0xff; 200_000]].concat();
    assert_eq!(expect_mark!("D05", hear(&mut early, &bits, &mut out)), Ok(vec![]));
    let have = Message::Have(u32::MAX).encode().to_vec();
    assert_eq!(expect_mark!("D06", hear(&mut early, &have, &mut out)), Ok(vec![]));
    for message in [Message::HaveAll, Message::Unchoke, Message::Suggest(9), Message::Port(1)] {
        assert_eq!(hear(&mut early, &message.encode(), &mut out), Ok(vec![]));
    }
    assert!(std::mem::size_of_val(&early) < 512);
    let block = [&peer::block_head(0, 0, 4)[..], b"data"].concat();
    assert!(hear(&mut early, &block, &mut out).is_err(), "nobody asked for it");
}

#[test]
fn hash_messages_belong_to_v2_whatever_the_content_will_be() {
    let hashes = [&peer::hashes_head(RANGE, 1)[..], &[5; 32]].concat();
    let reject = Message::HashReject(RANGE).encode().to_vec();
    let request = Message::HashRequest(RANGE).encode().to_vec();
    for bytes in [&hashes, &reject, &request] {
        let (mut early, mut out) = early(Identity::V1, true);
        expect_mark!("D27", assert!(hear(&mut early, bytes, &mut out).is_err()));
    }
    let (mut early, mut out) = early(Identity::V2, true);
    let heard = hear(&mut early, &[hashes, reject].concat(), &mut out).unwrap();
    let expected = EarlyHeard::GotHashes(RANGE, vec![Hash32([5; 32])]);
    assert_eq!(heard, [expected, EarlyHeard::HashesRejected(RANGE)]);
}

#[test]
fn what_we_cannot_have_is_refused_and_not_for_ever() {
    let (mut early, mut out) = early(Identity::V2, true);
    hear(&mut early, &words(100), &mut out).unwrap();
    assert_eq!(early.metadata_bytes(), Some(100));
    out = Outbox::default();
    let ask = MetadataMessage::Request { piece: 0 }.encode();
    let block = BlockRef { piece: 0, begin: 0, len: 16_384 };
    let asked = [
        extended(greeting::OUR_METADATA_ID, &ask),
        Message::Request(block).encode().to_vec(),
        Message::HashRequest(RANGE).encode().to_vec(),
    ];
    assert_eq!(hear(&mut early, &asked.concat(), &mut out), Ok(vec![]));
    let refusal = extended(3, &MetadataMessage::Reject { piece: 0 }.encode());
    let reject = Message::Reject(block).encode().to_vec();
    let hash_reject = Message::HashReject(RANGE).encode().to_vec();
    assert_eq!(sent(&out), [refusal, reject, hash_reject].concat());
    let on_and_on = asked.concat().repeat(20);
    expect_mark!("D09", assert!(hear(&mut early, &on_and_on, &mut out).is_err()));
}

#[test]
fn another_content_than_we_asked_for_is_a_fault() {
    let mut out = Outbox::default();
    let conn = out.conns.insert(());
    let remote = ([10, 0, 0, 2], 5000).into();
    let mut early = Early::dialled(conn, remote, (Identity::V1, TOPIC), Time::ZERO);
    early.open(&us(), None, Time::ZERO, &mut out);
    let (reserved, peer_id) = (Reserved::new(), PeerId([2; 20]));
    let other = Handshake { reserved, info_hash: InfoHash([8; 20]), peer_id }.encode();
    assert!(hear(&mut early, &other, &mut out).is_err());
}

proptest! {
    /// The law of streams: cutting anywhere changes nothing.
    #[test]
    fn cutting_the_stream_changes_nothing(cuts in prop::collection::vec(1usize..400, 0..40)) {
        let data = MetadataMessage::Data { piece: 1, total_size: 16_884, block: &[9; 500] };
        let story = [
            words(16_884),
            peer::bitfield_head(3).to_vec(), vec![1, 2, 3],
            extended(greeting::OUR_METADATA_ID, &data.encode()),
            extended(greeting::OUR_METADATA_ID, &MetadataMessage::Reject { piece: 0 }.encode()),
            peer::hashes_head(RANGE, 2).to_vec(), vec![4; 64],
            Message::HashReject(RANGE).encode().to_vec(),
        ].concat();
        let (mut whole, mut out) = early(Identity::V2, true);
        let expected = hear(&mut whole, &story, &mut out).unwrap();
        prop_assert_eq!(expected.len(), 5);
        let (mut cut, mut out) = early(Identity::V2, true);
        let (mut heard, mut rest) = (Vec::new(), &story[..]);
        for cut_at in cuts.into_iter().chain([usize::MAX]) {
            let (now, later) = rest.split_at(cut_at.min(rest.len()));
            heard.extend(hear(&mut cut, now, &mut out).unwrap());
            rest = later;
        }
        prop_assert_eq!(heard, expected);
    }
}
