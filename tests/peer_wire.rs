//! The peer wire against the published vectors, every length, and every cutting of a stream.

use lmk::core::fault::Fault;
use lmk::core::id::{Hash32, InfoHash, PeerId};
use lmk::core::limits::{EXTENDED_BYTES_MAX, HASHES_BYTES_MAX, PEER_MESSAGE_BYTES_MAX};
use lmk::wire::peer::{
    BlockRef, Framer, Handshake, HashRange, Long, Message, Part, Reserved, bitfield_head,
    block_head, extended_head, hashes_head,
};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::fs;

/// One thing a stream said, with the bytes taken until it was said.
#[derive(Clone, PartialEq, Debug)]
enum Said {
    Handshake(Handshake),
    Message(Message, usize),
    /// A long message with its whole body.
    Long(Long, Vec<u8>, usize),
    /// A long message that is not over.
    Begun(Long, Vec<u8>),
    Fault(Fault, usize),
}

/// What a framer says of a stream that comes in these chunks.
fn story<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Said> {
    let mut framer = Framer::new();
    let mut said = Vec::new();
    let mut taken = 0;
    for chunk in chunks {
        let mut input = chunk;
        loop {
            let part = framer.next(&mut input);
            let at = taken + chunk.len() - input.len();
            match part {
                Ok(Some(Part::Handshake(handshake))) => said.push(Said::Handshake(handshake)),
                Ok(Some(Part::Message(message))) => said.push(Said::Message(message, at)),
                Ok(Some(Part::Start(long))) => said.push(Said::Begun(long, Vec::new())),
                Ok(Some(Part::Bytes(bytes))) => {
                    assert!(!bytes.is_empty() && chunk.as_ptr_range().contains(&bytes.as_ptr()));
                    let Some(Said::Begun(_, body)) = said.last_mut() else { panic!("{said:?}") };
                    body.extend_from_slice(bytes);
                }
                Ok(Some(Part::End)) => {
                    let Some(Said::Begun(long, body)) = said.pop() else { panic!("stray end") };
                    said.push(Said::Long(long, body, at));
                }
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(framer.next(&mut &chunk[..]), Err(fault), "a fault is final");
                    said.push(Said::Fault(fault, at));
                    return said;
                }
            }
        }
        assert!(input.is_empty(), "{} bytes left behind", input.len());
        taken += chunk.len();
    }
    said
}

fn greeting() -> Handshake {
    Handshake {
        reserved: Reserved::new().with_extended().with_fast().with_dht(),
        info_hash: InfoHash([0xab; 20]),
        peer_id: PeerId(*b"-LM0100-ABCDEFGHIJKL"),
    }
}

/// A stream's bytes after a handshake, and what they say without it.
fn after_greeting(bytes: &[u8]) -> Vec<Said> {
    let stream = [&greeting().encode()[..], bytes].concat();
    let mut said = story([&stream[..]]);
    assert_eq!(said.remove(0), Said::Handshake(greeting()));
    for said in &mut said {
        match said {
            Said::Message(_, at) | Said::Long(_, _, at) | Said::Fault(_, at) => *at -= 68,
            _ => {}
        }
    }
    said
}

const BLOCK: BlockRef = BlockRef { piece: 1, begin: 0x4000, len: 0x01020304 };

fn range() -> HashRange {
    let mut root = [0; 32];
    root.iter_mut().zip(100..).for_each(|(place, n)| *place = n);
    HashRange { root: Hash32(root), base: 1, index: 512, length: 3, proof: 0xfffefdfc }
}

/// One of each.
fn messages() -> Vec<Message> {
    use Message::*;
    vec![
        KeepAlive,
        Choke,
        Unchoke,
        Interested,
        NotInterested,
        Have(0x01020304),
        Request(BLOCK),
        Cancel(BLOCK),
        Port(0x1ae1),
        Suggest(7),
        AllowedFast(u32::MAX),
        HaveAll,
        HaveNone,
        Reject(BLOCK),
        HashRequest(range()),
        HashReject(range()),
    ]
}

fn head(long: Long) -> Vec<u8> {
    match long {
        Long::Bitfield { len } => bitfield_head(len).to_vec(),
        Long::Block { piece, begin, len } => block_head(piece, begin, len).to_vec(),
        Long::Extended { id, len } => extended_head(id, len).to_vec(),
        Long::Hashes { range, len } => hashes_head(range, len / 32).to_vec(),
        Long::Unknown { id, len } => [&(len + 1).to_be_bytes()[..], &[id]].concat(),
    }
}

fn body(len: u32) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}

fn longs(len: u32) -> Vec<Long> {
    vec![
        Long::Bitfield { len },
        Long::Bitfield { len: 0 },
        Long::Block { piece: 3, begin: 0x8000, len },
        Long::Extended { id: 9, len },
        Long::Extended { id: 0, len: 0 },
        Long::Hashes { range: range(), len: 64 },
        Long::Unknown { id: 99, len },
        Long::Unknown { id: 10, len: 0 },
    ]
}

/// A stream of all messages and what it says; long bodies have `len` bytes.
fn all(len: u32) -> (Vec<u8>, Vec<Said>) {
    let mut stream = greeting().encode().to_vec();
    let mut said = vec![Said::Handshake(greeting())];
    let mut short = messages().into_iter();
    for long in longs(len) {
        for message in short.by_ref().take(2) {
            stream.extend_from_slice(&message.encode());
            said.push(Said::Message(message, stream.len()));
        }
        let (Long::Bitfield { len }
        | Long::Block { len, .. }
        | Long::Hashes { len, .. }
        | Long::Extended { len, .. }
        | Long::Unknown { len, .. }) = long;
        stream.extend_from_slice(&head(long));
        stream.extend_from_slice(&body(len));
        said.push(Said::Long(long, body(len), stream.len()));
    }
    assert!(short.next().is_none());
    (stream, said)
}

#[test]
fn what_is_written_is_what_is_said() {
    for len in [1, 100, 16384] {
        let (stream, said) = all(len);
        assert_eq!(story([&stream[..]]), said);
    }
}

#[test]
fn a_stream_cut_at_any_two_places_says_the_same() {
    let (stream, said) = all(3);
    let mut pairs = 0;
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let chunks = [&stream[..first], &stream[first..second], &stream[second..]];
            assert_eq!(story(chunks), said, "cut at {first} and {second}");
            pairs += 1;
        }
    }
    assert!(pairs > 80_000, "{pairs}");
    assert_eq!(story(stream.chunks(1)), said);
}

#[test]
fn a_broken_stream_cut_at_any_two_places_breaks_at_the_same_byte() {
    let bad: [&[u8]; 6] = [
        b"\x00\x10\x00\x01",
        b"\x00\x00\x00\x02\x00\x00",
        b"\x00\x00\x00\x09\x07\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x00\x00\x00\x01\x14",
        b"\x00\x00\x00\x32\x16",
        b"\xff\xff\xff\xff",
    ];
    for bad in bad {
        let mut stream = greeting().encode().to_vec();
        stream.extend_from_slice(&Message::Have(5).encode());
        stream.extend_from_slice(bad);
        stream.extend_from_slice(&Message::HaveAll.encode());
        let said = story([&stream[..]]);
        assert!(matches!(said[..], [_, Said::Message(..), Said::Fault(_, 81 | 82)]), "{said:?}");
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let chunks = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(story(chunks), said, "cut at {first} and {second}");
            }
        }
    }
}

#[test]
fn a_prefix_of_a_stream_says_a_prefix_of_its_story() {
    let (stream, said) = all(5);
    for cut in 0..stream.len() {
        let mut short = story([&stream[..cut]]);
        if let Some(Said::Begun(long, part)) = short.last().cloned() {
            short.pop();
            let Said::Long(whole, body, _) = &said[short.len()] else { panic!("{long:?}") };
            assert!(long == *whole && body.starts_with(&part), "{long:?}");
        }
        assert_eq!(short, said[..short.len()], "cut at {cut}");
    }
}

#[test]
fn a_block_flows_through_as_it_comes() {
    let mut framer = Framer::new();
    let head = block_head(2, 0, 16384);
    let opening = [&greeting().encode()[..], &head].concat();
    let mut input = &opening[..];
    assert!(matches!(framer.next(&mut input), Ok(Some(Part::Handshake(_)))));
    let start = Long::Block { piece: 2, begin: 0, len: 16384 };
    assert_eq!(framer.next(&mut input), Ok(Some(Part::Start(start))));
    for byte in body(16384) {
        assert_eq!(framer.next(&mut input), Ok(None));
        let chunk = [byte];
        input = &chunk;
        assert_eq!(framer.next(&mut input), Ok(Some(Part::Bytes(&chunk))));
        input = &[];
    }
    assert_eq!(framer.next(&mut input), Ok(Some(Part::End)));
    assert_eq!(framer.next(&mut input), Ok(None));
}

#[test]
fn another_protocol_is_refused_at_the_first_byte_that_differs() {
    let right = greeting().encode();
    for at in 0..20 {
        let mut wrong = right;
        wrong[at] ^= 0x20;
        let said = story([&wrong[..=at]]);
        let fault = Fault::peer("handshake: not the BitTorrent protocol");
        assert_eq!(said, [Said::Fault(fault, at + 1)]);
        assert_eq!(story([&right[..at]]), []);
    }
    assert_eq!(story([&right[..67]]), []);
}

/// Lengths of the messages that have only one, id by id.
const FIXED: [(u8, u32, &str); 15] = [
    (0, 1, "choke"),
    (1, 1, "unchoke"),
    (2, 1, "interested"),
    (3, 1, "not interested"),
    (4, 5, "have"),
    (6, 13, "request"),
    (8, 13, "cancel"),
    (9, 3, "port"),
    (13, 5, "suggest"),
    (14, 1, "have all"),
    (15, 1, "have none"),
    (16, 13, "reject"),
    (17, 5, "allowed fast"),
    (21, 49, "hash request"),
    (23, 49, "hash reject"),
];

/// What the five bytes of length and id are answered with: the line of the fault, if any.
fn verdict(id: u8, len: u32) -> Option<&'static str> {
    let said = after_greeting(&[&len.to_be_bytes()[..], &[id]].concat());
    match said.last() {
        Some(Said::Fault(fault, at)) => {
            assert_eq!(*at, if len > PEER_MESSAGE_BYTES_MAX { 4 } else { 5 }, "{fault:?}");
            Some(fault.what)
        }
        _ => None,
    }
}

#[test]
fn a_wrong_length_is_refused_as_soon_as_the_id_is_known() {
    let lengths = || (1..200).chain([EXTENDED_BYTES_MAX, PEER_MESSAGE_BYTES_MAX]);
    for (id, right, name) in FIXED {
        for len in lengths() {
            let wrong = format!("{name}: wrong length");
            let expected = (len != right).then_some(wrong.as_str());
            assert_eq!(verdict(id, len), expected, "id {id} length {len}");
        }
    }
    let table = [
        (5, 1, None),
        (5, 1 + 256 * 1024, None),
        (5, 2 + 256 * 1024, Some("bitfield: too long")),
        (7, 1, Some("piece: no data")),
        (7, 9, Some("piece: no data")),
        (7, 10, None),
        (7, 9 + 16384, None),
        (7, 9 + 128 * 1024, None),
        (7, 10 + 128 * 1024, Some("piece: too long")),
        (20, 1, Some("extended: no extension id")),
        (20, 2, None),
        (20, 2 + EXTENDED_BYTES_MAX, None),
        (20, 3 + EXTENDED_BYTES_MAX, Some("extended: too long")),
        (22, 1, Some("hashes: wrong length")),
        (22, 49, Some("hashes: wrong length")),
        (22, 80, Some("hashes: wrong length")),
        (22, 81, None),
        (22, 82, Some("hashes: wrong length")),
        (22, HASHES_BYTES_MAX, None),
        (22, HASHES_BYTES_MAX + 32, Some("hashes: too long")),
    ];
    for (id, len, expected) in table {
        assert_eq!(verdict(id, len), expected, "id {id} length {len}");
    }
    for id in (10..=12).chain(18..=19).chain(24..=255) {
        for len in lengths() {
            assert_eq!(verdict(id, len), None, "id {id} length {len}");
        }
    }
}

#[test]
fn a_message_too_large_is_refused_on_its_prefix_alone() {
    for len in [PEER_MESSAGE_BYTES_MAX + 1, 1 << 31, u32::MAX] {
        let fault = Fault::peer("message too large");
        assert_eq!(after_greeting(&len.to_be_bytes()), [Said::Fault(fault, 4)]);
        for id in 0..=255 {
            assert_eq!(verdict(id, len), Some("message too large"));
        }
    }
}

fn vectors(folder: &str) -> Vec<(String, Vec<u8>)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/");
    let text = fs::read(format!("{root}index.json")).unwrap();
    let index: Json = serde_json::from_slice(&text).unwrap();
    let names = index["vectors"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap());
    let binary = names.filter(|n| n.starts_with(folder) && n.ends_with(".bin"));
    binary
        .map(|n| (n[folder.len()..].to_string(), fs::read(format!("{root}{n}")).unwrap()))
        .collect()
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let byte = |n: usize| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap();
    std::array::from_fn(byte)
}

#[test]
fn handshake_vectors_are_read_and_written() {
    let (v1, v2) = (
        bytes("91fa2f640fbf65ccc7a2a0ed1da15ad639f8ccd4"),
        bytes("ee09251194a9321e5f7b8b8caa3ce957930a407e"),
    );
    let hybrid_v1 = bytes("8738ae8638aa8f4843ed7b3922577b4b378aecdb");
    let basic = Reserved::new().with_extended().with_fast();
    let mut seen = 0;
    for (name, bytes) in vectors("peer/handshake_") {
        let said = story([&bytes[..]]);
        let [Said::Handshake(handshake)] = said[..] else { panic!("{name}: {said:?}") };
        let (reserved, hash) = match &name[..] {
            "v1_lmk.bin" => (basic.with_dht(), v1),
            "lmk_nodht.bin" => (basic, v1),
            "hybrid_upgrade.bin" => (basic.with_v2_upgrade(), hybrid_v1),
            "v2.bin" => (basic, v2),
            _ => panic!("{name}"),
        };
        assert_eq!(handshake.reserved.0, reserved.0, "{name}");
        assert_eq!(handshake.info_hash, InfoHash(hash), "{name}");
        assert!(handshake.peer_id.is_lmk(), "{name}");
        assert_eq!(handshake.encode()[..], bytes, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 4);
    let upgrade = basic.with_v2_upgrade();
    assert!(upgrade.v2_upgrade() && upgrade.fast() && upgrade.extended() && !upgrade.dht());
    assert!(!basic.v2_upgrade() && basic.with_dht().dht() && !Reserved::new().extended());
    assert!(!Reserved::new().fast());
}

#[test]
fn message_vectors_are_read_and_written() {
    use Message::*;
    let block = |piece, begin, len| BlockRef { piece, begin, len };
    let mut seen = 0;
    for (name, bytes) in vectors("peer/") {
        if name.starts_with("handshake_") {
            continue;
        }
        seen += 1;
        let said = after_greeting(&bytes);
        let expected = match &name[..name.len() - 4] {
            "keepalive" => KeepAlive,
            "choke" => Choke,
            "unchoke" => Unchoke,
            "interested" => Interested,
            "not_interested" => NotInterested,
            "have_all" => HaveAll,
            "have_none" => HaveNone,
            "have_3" => Have(3),
            "suggest_2" => Suggest(2),
            "allowed_fast_2" => AllowedFast(2),
            "port_6881" => Port(6881),
            "request" => Request(block(1, 16384, 16384)),
            "cancel" => Cancel(block(1, 16384, 16384)),
            "reject" => Reject(block(1, 16384, 16384)),
            "request_last_block" => Request(block(3, 0, 1696)),
            _ => {
                let (long, data): (Long, &[u8]) = match &name[..] {
                    "bitfield_4of4.bin" => (Long::Bitfield { len: 1 }, b"\xf0"),
                    "bitfield_9of9.bin" => (Long::Bitfield { len: 2 }, b"\xff\x80"),
                    "piece_last_block.bin" => {
                        (Long::Block { piece: 3, begin: 0, len: 1696 }, &bytes[13..])
                    }
                    _ => panic!("{name}"),
                };
                assert_eq!(said, [Said::Long(long, data.to_vec(), bytes.len())], "{name}");
                assert_eq!([&head(long)[..], data].concat(), bytes, "{name}");
                continue;
            }
        };
        assert_eq!(said, [Said::Message(expected, bytes.len())], "{name}");
        assert_eq!(expected.encode()[..], bytes, "{name}");
    }
    assert_eq!(seen, 18);
}

/// The range a merkle vector's name tells of: `..._b0_i512_l2_p9_...`.
fn named(name: &str, root: Hash32) -> HashRange {
    let number = |letter: char| {
        let digits = name.split('_').find_map(|word| word.strip_prefix(letter)?.parse().ok());
        digits.unwrap_or_else(|| panic!("{name}"))
    };
    let (base, index) = (number('b'), number('i'));
    HashRange { root, base, index, length: number('l'), proof: number('p') }
}

#[test]
fn hash_messages_exchanged_with_libtorrent_are_read_and_written() {
    let mut seen = [0; 3];
    for (name, bytes) in vectors("merkle/") {
        let root = Hash32(bytes[5..37].try_into().unwrap());
        let range = named(&name, root);
        let said = after_greeting(&bytes);
        if name.ends_with("_hashes.bin") {
            let long = Long::Hashes { range, len: bytes.len() as u32 - 53 };
            assert_eq!(said, [Said::Long(long, bytes[53..].to_vec(), bytes.len())], "{name}");
            assert_eq!(head(long), bytes[..53], "{name}");
            seen[2] += 1;
        } else {
            let request = name.ends_with("_req.bin");
            let wrap = if request { Message::HashRequest } else { Message::HashReject };
            assert_eq!(said, [Said::Message(wrap(range), 53)], "{name}");
            assert_eq!(wrap(range).encode()[..], bytes, "{name}");
            seen[usize::from(request)] += 1;
        }
    }
    assert_eq!(seen, [4, 25, 21], "rejects, requests, hashes");
}

#[test]
fn invalid_vectors_are_refused_or_left_to_the_session() {
    let block = |piece, begin, len| BlockRef { piece, begin, len };
    let (mut refused, mut left) = (0, 0);
    for (name, bytes) in vectors("invalid/peer/") {
        let said = if name.starts_with("handshake_") {
            story([&bytes[..]])
        } else {
            after_greeting(&bytes)
        };
        let fault = match &name[..name.len() - 4] {
            "handshake_pstrlen_18" => (1, "handshake: not the BitTorrent protocol"),
            "handshake_bad_pstr" => (20, "handshake: not the BitTorrent protocol"),
            "len_too_big" => (4, "message too large"),
            "choke_len_2" => (5, "choke: wrong length"),
            "have_short" => (5, "have: wrong length"),
            "request_short" => (5, "request: wrong length"),
            "piece_len_8" => (5, "piece: no data"),
            "extended_empty" => (5, "extended: no extension id"),
            _ => {
                let range =
                    HashRange { root: Hash32([0; 32]), base: 0, index: 0, length: 2, proof: 0 };
                let message = |m| vec![Said::Message(m, bytes.len())];
                let expected = match &name[..name.len() - 4] {
                    "handshake_unknown_hash" | "handshake_own_peer_id" => {
                        assert!(matches!(said[..], [Said::Handshake(_)]), "{name}: {said:?}");
                        left += 1;
                        continue;
                    }
                    "have_out_of_range" => message(Message::Have(4)),
                    "bitfield_short" => vec![Said::Long(Long::Bitfield { len: 0 }, vec![], 5)],
                    "bitfield_long" => {
                        vec![Said::Long(Long::Bitfield { len: 2 }, vec![0xf0, 0], 7)]
                    }
                    "request_32k" => message(Message::Request(block(0, 0, 32768))),
                    "request_zero_len" => message(Message::Request(block(0, 0, 0))),
                    "request_past_piece" => message(Message::Request(block(3, 0, 16384))),
                    "have_all_without_fast" => message(Message::HaveAll),
                    "have_all_after_bitfield" => vec![
                        Said::Long(Long::Bitfield { len: 1 }, vec![0xf0], 6),
                        Said::Message(Message::HaveAll, 11),
                    ],
                    "reject_without_request" => message(Message::Reject(block(0, 0, 16384))),
                    "hash_request_v1" => message(Message::HashRequest(range)),
                    "unknown_id_99" => {
                        vec![Said::Long(Long::Unknown { id: 99, len: 3 }, b"abc".to_vec(), 8)]
                    }
                    _ => panic!("{name}"),
                };
                assert_eq!(said, expected, "{name}");
                left += 1;
                continue;
            }
        };
        assert_eq!(said, [Said::Fault(Fault::peer(fault.1), fault.0)], "{name}");
        refused += 1;
    }
    assert_eq!((refused, left), (8, 13));
}

/// A message or a long one with a body of up to a block.
fn any_part() -> impl Strategy<Value = (Option<Message>, Option<Long>)> {
    let short = prop::sample::select(messages()).prop_map(|m| (Some(m), None));
    let long = (1u32..20_000)
        .prop_flat_map(|len| prop::sample::select(longs(len)))
        .prop_map(|l| (None, Some(l)));
    prop_oneof![short, long]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_long_stream_cut_at_random_says_the_same(
        parts in prop::collection::vec(any_part(), 1..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
    ) {
        let mut stream = greeting().encode().to_vec();
        for (message, long) in parts {
            message.iter().for_each(|m| stream.extend_from_slice(&m.encode()));
            if let Some(long) = long {
                let (Long::Bitfield { len } | Long::Block { len, .. } | Long::Hashes { len, .. }
                | Long::Extended { len, .. } | Long::Unknown { len, .. }) = long;
                stream.extend_from_slice(&head(long));
                stream.extend_from_slice(&body(len));
            }
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let said = story(cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]));
        prop_assert_eq!(&said, &story([&stream[..]]));
        prop_assert!(said.iter().all(|s| !matches!(s, Said::Fault(..) | Said::Begun(..))));
    }

    #[test]
    fn garbage_says_the_same_however_it_is_cut(
        garbage in prop::collection::vec(prop_oneof![Just(0u8), 0u8..30, any::<u8>()], 0..400),
        chunk in 1usize..40,
    ) {
        let stream = [&greeting().encode()[..], &garbage].concat();
        prop_assert_eq!(story(stream.chunks(chunk)), story([&stream[..]]));
    }
}
