//! The payloads of the extension protocol against the published vectors, and what is written read
//! again.

use lmk::core::id::{InfoHash, PeerId};
use lmk::core::report::State;
use lmk::wire::extended::{
    CLIENT_BYTES_MAX, ExtendedHandshake, Extension, ExtensionIds, HANDSHAKE_BYTES_MAX,
    METADATA_BLOCK_BYTES, METADATA_BYTES_MAX, MetadataMessage, Reason, UploadState,
    decode_dont_have, decode_upload_only, encode_dont_have,
};
use lmk::wire::peer::{Framer, Handshake, Long, Message, Part, Reserved, extended_head};
use lmk::wire::peer_exchange::{PeerExchange, flags};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::fs;
use std::net::{IpAddr, SocketAddr};

/// The extension messages and the others that stand in a stream, in order.
#[derive(Debug, PartialEq)]
enum Said {
    Extended(u8, Vec<u8>),
    Message(Message),
}

fn said(bytes: &[u8]) -> Vec<Said> {
    let handshake = Handshake {
        reserved: Reserved::new().with_extended(),
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([2; 20]),
    };
    let stream = [&handshake.encode()[..], bytes].concat();
    let (mut framer, mut input, mut said) = (Framer::new(), &stream[..], Vec::new());
    while let Some(part) = framer.next(&mut input).unwrap() {
        match part {
            Part::Message(message) => said.push(Said::Message(message)),
            Part::Start(Long::Extended { id, .. }) => said.push(Said::Extended(id, Vec::new())),
            Part::Bytes(bytes) => {
                let Some(Said::Extended(_, payload)) = said.last_mut() else { panic!() };
                payload.extend_from_slice(bytes);
            }
            Part::Handshake(_) | Part::End => {}
            Part::Start(other) => panic!("{other:?}"),
        }
    }
    said
}

/// The one extension message of a vector.
fn payload(bytes: &[u8]) -> (u8, Vec<u8>) {
    match said(bytes).pop() {
        Some(Said::Extended(id, payload)) => (id, payload),
        other => panic!("{other:?}"),
    }
}

fn framed(id: u8, payload: &[u8]) -> Vec<u8> {
    [&extended_head(id, payload.len() as u32)[..], payload].concat()
}

fn vectors(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/");
    let text = fs::read(format!("{root}index.json")).unwrap();
    let index: Json = serde_json::from_slice(&text).unwrap();
    let names = index["vectors"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap());
    let stem = |n: &str| n.rsplit('/').next().unwrap().trim_end_matches(".bin").to_string();
    names
        .filter(|n| n.starts_with(prefix))
        .map(|n| (stem(n), fs::read(format!("{root}{n}")).unwrap()))
        .collect()
}

fn handshake(payload: &[u8]) -> ExtendedHandshake {
    ExtendedHandshake::decode(payload).unwrap()
}

fn ids(all: &[(Extension, u8)]) -> ExtensionIds {
    let mut ids = ExtensionIds::default();
    all.iter().for_each(|(extension, id)| ids.set(*extension, *id));
    ids
}

/// The handshake of the vector `handshake_lmk`.
fn ours() -> ExtendedHandshake {
    ExtendedHandshake {
        ids: ids(&[
            (Extension::LmkState, 9),
            (Extension::LtDontHave, 7),
            (Extension::UploadOnly, 3),
            (Extension::UtHolepunch, 4),
            (Extension::UtMetadata, 2),
            (Extension::UtPex, 1),
        ]),
        listen_port: Some(6881),
        client: Some(b"lmk/0.1.0".to_vec()),
        yourip: Some(IpAddr::from([127, 0, 0, 1])),
        reqq: Some(250),
        metadata_size: Some(144),
        upload_only: None,
        lmk: Some(UploadState { free: 2, total: 4, ..UploadState::new(State::Available) }),
    }
}

#[test]
fn extension_vectors_are_read_and_written() {
    let mut beyond = 0;
    let vectors = vectors("ext/");
    for (name, bytes) in &vectors {
        let (id, payload) = payload(bytes);
        let written = match &name[..] {
            "handshake_lmk" => {
                assert_eq!(handshake(&payload), ours());
                ours().encode()
            }
            "handshake_disable" => {
                let off = ids(&[(Extension::LmkState, 0)]);
                let expected = ExtendedHandshake { ids: off, ..ExtendedHandshake::default() };
                assert_eq!(handshake(&payload), expected);
                expected.encode()
            }
            "ut_metadata_request_0" => metadata(&payload, MetadataMessage::Request { piece: 0 }),
            "ut_metadata_reject_0" => metadata(&payload, MetadataMessage::Reject { piece: 0 }),
            "ut_metadata_data_0" => {
                let block = &payload[payload.len() - 144..];
                assert!(block.starts_with(b"d6:length"));
                metadata(&payload, MetadataMessage::Data { piece: 0, total_size: 144, block })
            }
            "lt_donthave_3" => {
                assert_eq!(decode_dont_have(&payload), Some(3));
                encode_dont_have(3).to_vec()
            }
            "upload_only_1" => {
                assert_eq!(decode_upload_only(&payload), Some(true));
                vec![1]
            }
            "ut_pex_added" | "ut_pex_dropped" => {
                beyond += 1;
                continue;
            }
            _ if name.starts_with("holepunch_") => {
                beyond += 1;
                continue;
            }
            _ => panic!("{name}"),
        };
        assert_eq!(&framed(id, &written), bytes, "{name}");
    }
    // Peer exchange and hole punching have no reader here.
    assert_eq!((vectors.len(), beyond), (12, 5));
}

fn metadata(payload: &[u8], expected: MetadataMessage) -> Vec<u8> {
    assert_eq!(MetadataMessage::decode(payload), Some(expected));
    expected.encode()
}

#[test]
fn invalid_extension_vectors_are_ignored_as_far_as_a_reader_can_judge() {
    let mut beyond = 0;
    let vectors = vectors("invalid/ext/");
    for (name, bytes) in &vectors {
        let (_, payload) = payload(bytes);
        let all = |h: &ExtendedHandshake| Extension::ALL.map(|e| h.ids.id(e));
        match &name[..] {
            "handshake_not_dict" | "handshake_bad_bencode" => {
                assert_eq!(ExtendedHandshake::decode(&payload), None, "{name}");
            }
            "handshake_m_id_300" | "handshake_m_dup_id" => {
                assert_eq!(all(&handshake(&payload)), [None; 6], "{name}");
            }
            "metadata_size_huge" | "metadata_size_negative" => {
                let handshake = handshake(&payload);
                assert_eq!(handshake.metadata_size, None, "{name}");
                assert_eq!(handshake.ids.id(Extension::UtMetadata), Some(2), "{name}");
            }
            "ut_metadata_data_short" | "ut_metadata_type_7" => {
                assert_eq!(MetadataMessage::decode(&payload), None, "{name}");
            }
            // Only who holds the metadata knows that there is no block 99.
            "ut_metadata_piece_oob" => {
                let request = MetadataMessage::Request { piece: 99 };
                assert_eq!(MetadataMessage::decode(&payload), Some(request));
            }
            "lmk_state_bad" | "lmk_state_not_dict" => {
                assert_eq!(UploadState::decode(&payload), None, "{name}");
            }
            "donthave_short" => assert_eq!(decode_dont_have(&payload), None),
            "extended_unadvertised_id" => {
                assert_eq!(ours().ids.extension(said_id(bytes)), None);
            }
            "ut_pex_added_misaligned" => {
                assert_eq!(PeerExchange::decode(&payload).unwrap().added, [], "{name}");
            }
            "ut_pex_flags_short" => {
                let added = PeerExchange::decode(&payload).unwrap().added;
                assert!(added.len() > 1 && added.iter().all(|(_, flags)| *flags == 0), "{name}");
            }
            // How many are used is for the swarm to say.
            "ut_pex_201_peers" => {
                assert_eq!(PeerExchange::decode(&payload).unwrap().added.len(), 201, "{name}");
            }
            // It is no extension of ours.
            "holepunch_addrtype_7" => beyond += 1,
            _ => panic!("{name}"),
        }
    }
    assert_eq!((vectors.len(), beyond), (17, 1));
}

fn said_id(bytes: &[u8]) -> u8 {
    payload(bytes).0
}

#[test]
fn state_vectors_are_read_and_written() {
    let of = UploadState::new;
    let vectors = vectors("lmk/state_");
    for (name, bytes) in &vectors {
        let expected = match &name[..] {
            "state_available" => UploadState { free: 2, total: 4, ..of(State::Available) },
            "state_connected" => UploadState { free: 1, total: 4, ..of(State::Connected) },
            "state_unavailable_closing" => {
                UploadState { reason: Reason::ShuttingDown, ..of(State::Unavailable) }
            }
            "state_unavailable_full" => {
                UploadState { reason: Reason::Full, ..of(State::Unavailable) }
            }
            "state_unavailable_q3" => UploadState {
                queue_position: 3,
                queue_len: 9,
                total: 4,
                wait_s: 45,
                ..of(State::Unavailable)
            },
            _ => panic!("{name}"),
        };
        let (id, payload) = payload(bytes);
        assert_eq!(UploadState::decode(&payload), Some(expected), "{name}");
        assert_eq!(&framed(id, &expected.encode()), bytes, "{name}");
    }
    assert_eq!(vectors.len(), 5);
}

#[test]
fn state_and_choke_are_said_in_the_order_of_the_vectors() {
    let reject = Message::Reject(lmk::wire::peer::BlockRef { piece: 0, begin: 0, len: 16384 });
    let vectors = vectors("lmk/seq_");
    for (name, bytes) in &vectors {
        let (state, then) = match &name[..] {
            "seq_queue_to_connected" => (
                UploadState { total: 4, ..UploadState::new(State::Connected) },
                vec![Message::Unchoke],
            ),
            "seq_connected_to_queue" => {
                let queued = UploadState::new(State::Unavailable);
                let queued = UploadState { queue_position: 5, queue_len: 5, total: 4, ..queued };
                (queued, vec![Message::Choke, reject])
            }
            _ => panic!("{name}"),
        };
        let mut stream = framed(9, &state.encode());
        let mut expected = vec![Said::Extended(9, state.encode())];
        for message in then {
            stream.extend_from_slice(&message.encode());
            expected.push(Said::Message(message));
        }
        assert_eq!(&said(bytes), &expected, "{name}");
        assert_eq!(&stream, bytes, "{name}");
    }
    assert_eq!(vectors.len(), 2);
}

#[test]
fn a_bad_state_is_ignored() {
    let long = format!("d1:si0e1:x{}:{}e", 120, "x".repeat(120));
    let bad = [
        "de",
        "d1:s1:0e",
        "d1:si-1ee",
        "d1:qi1ee",
        "d1:qi-1e1:si2ee",
        "d1:q1:31:si2ee",
        "d1:qi4294967296e1:si2ee",
        "d1:si0eex",
        "",
        "i0e",
        &long,
    ];
    for text in bad {
        assert_eq!(UploadState::decode(text.as_bytes()), None, "{text}");
    }
    // A reason or key of a later version is no reason to ignore the state.
    let later = UploadState::decode(b"d1:ri77e1:si2e1:zlee").unwrap();
    assert_eq!(later, UploadState::new(State::Unavailable));
}

#[test]
fn ids_of_a_later_handshake_add_to_the_first() {
    let mut ids = ids(&[(Extension::LmkState, 9), (Extension::UtPex, 1)]);
    let later = handshake(b"d1:md9:lmk_statei0e11:ut_metadatai4e6:ut_pex1:xee");
    ids.learn(&later.ids);
    let known = Extension::ALL.map(|extension| ids.id(extension));
    assert_eq!(known, [None, None, None, None, Some(4), Some(1)]);
    assert_eq!(ids.extension(4), Some(Extension::UtMetadata));
    ids.learn(&handshake(b"d1:md11:ut_metadatai0e6:ut_pexi0eee").ids);
    assert_eq!(Extension::ALL.map(|extension| ids.id(extension)), [None; 6]);
    assert_eq!(ids.extension(0), None);
}

#[test]
fn an_id_shared_with_an_unknown_extension_is_not_used() {
    let handshake = handshake(b"d1:md7:foo_bari3e11:upload_onlyi4e11:ut_metadatai3eee");
    assert_eq!(handshake.ids.id(Extension::UtMetadata), None);
    assert_eq!(handshake.ids.id(Extension::UploadOnly), Some(4));
}

#[test]
fn a_field_of_the_wrong_kind_counts_as_absent() {
    let odd: [&[u8]; 4] = [
        b"d3:lmki1e1:mle13:metadata_sizei0e1:pi0e4:reqqi-1e1:vi1e6:yourip5:12345e",
        b"d3:lmkde1:mi1e13:metadata_sizei16777217e1:pi65536e4:reqqi4294967296ee",
        b"d11:upload_only1:11:p1:xe",
        b"de",
    ];
    for payload in odd {
        assert_eq!(handshake(payload), ExtendedHandshake::default(), "{}", payload.escape_ascii());
    }
    let largest = handshake(b"d13:metadata_sizei16777216e11:upload_onlyi1ee");
    assert_eq!(largest.metadata_size, Some(METADATA_BYTES_MAX));
    assert_eq!(largest.upload_only, Some(true));
    let v6 = handshake(b"d6:yourip16:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01e");
    assert_eq!(v6.yourip, Some("2001:db8::1".parse().unwrap()));
}

#[test]
fn handshakes_of_strangers_are_read_though_out_of_order() {
    let text = b"d1:v3:one1:md6:ut_pexi1e11:ut_metadatai3e6:ut_pexi9ee1:pi6881e1:v3:twoe";
    let read = handshake(text);
    assert_eq!(read.client.as_deref(), Some(&b"one"[..]));
    assert_eq!(read.listen_port, Some(6881));
    assert_eq!(read.ids.id(Extension::UtPex), Some(1));
    assert_eq!(read.ids.id(Extension::UtMetadata), Some(3));
}

#[test]
fn a_metadata_block_has_the_length_its_place_calls_for() {
    let size = 2 * METADATA_BLOCK_BYTES;
    let bytes = vec![7; METADATA_BLOCK_BYTES as usize + 1];
    let taken = |piece, total_size, len: usize| {
        let message = MetadataMessage::Data { piece, total_size, block: &bytes[..len] };
        let text = message.encode();
        match MetadataMessage::decode(&text) {
            None => false,
            read => read == Some(message) || panic!("{read:?}"),
        }
    };
    let block = METADATA_BLOCK_BYTES as usize;
    assert!(taken(0, size, block) && taken(1, size, block) && taken(2, size, 0));
    assert!(!taken(2, size, 1) && !taken(3, size, 0) && !taken(u32::MAX, size, 0));
    assert!(!taken(0, size, block - 1) && !taken(0, size, block + 1) && !taken(0, 0, 0));
    assert!(taken(2, size + 5, 5) && !taken(2, size + 5, 0) && !taken(2, size + 5, 6));
    assert!(taken(0, METADATA_BYTES_MAX, block) && !taken(0, METADATA_BYTES_MAX + 1, block));
}

fn any_state() -> impl Strategy<Value = UploadState> {
    let state =
        prop_oneof![Just(State::Available), Just(State::Connected), Just(State::Unavailable)];
    let reason = prop_oneof![
        Just(Reason::None),
        Just(Reason::Full),
        Just(Reason::Paused),
        Just(Reason::ShuttingDown),
        Just(Reason::Checking),
        Just(Reason::RateLimit)
    ];
    let number = || prop_oneof![Just(0), Just(u32::MAX), any::<u32>()];
    (state, reason, number(), number(), number(), number(), number()).prop_map(
        |(state, reason, queue_position, queue_len, free, total, wait_s)| UploadState {
            state,
            queue_position,
            queue_len,
            free,
            total,
            wait_s,
            reason,
        },
    )
}

fn any_handshake() -> impl Strategy<Value = ExtendedHandshake> {
    let some = prop::option::of::<BoxedStrategy<u32>>;
    let client = prop::collection::vec(any::<u8>(), 0..=CLIENT_BYTES_MAX);
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from)
    ];
    let ids = (any::<[bool; 6]>(), 0u8..=249).prop_map(|(told, first)| {
        let told = Extension::ALL.into_iter().zip(first..).zip(told).filter(|(_, told)| *told);
        ids(&told.map(|(pair, _)| pair).collect::<Vec<_>>())
    });
    let options = (
        prop::option::of(1u16..),
        prop::option::of(client),
        prop::option::of(ip),
        some(any::<u32>().boxed()),
        some((1..=METADATA_BYTES_MAX).boxed()),
        any::<Option<bool>>(),
        prop::option::of(any_state()),
    );
    (ids, options).prop_map(
        |(ids, (listen_port, client, yourip, reqq, metadata_size, upload_only, lmk))| {
            ExtendedHandshake {
                ids,
                listen_port,
                client,
                yourip,
                reqq,
                metadata_size,
                upload_only,
                lmk,
            }
        },
    )
}

#[test]
fn the_longest_handshake_is_short_enough() {
    let top = UploadState {
        state: State::Unavailable,
        queue_position: u32::MAX,
        queue_len: u32::MAX,
        free: u32::MAX,
        total: u32::MAX,
        wait_s: u32::MAX,
        reason: Reason::RateLimit,
    };
    assert!(top.encode().len() <= 128);
    let all: Vec<(Extension, u8)> = Extension::ALL.into_iter().zip(250..=255).collect();
    let longest = ExtendedHandshake {
        ids: ids(&all),
        listen_port: Some(u16::MAX),
        client: Some(vec![b'x'; 5000]),
        yourip: Some("::1".parse().unwrap()),
        reqq: Some(u32::MAX),
        metadata_size: Some(u32::MAX),
        upload_only: Some(true),
        lmk: Some(top),
    };
    let text = longest.encode();
    assert!(text.len() + 6 <= HANDSHAKE_BYTES_MAX, "{}", text.len());
    assert_eq!(handshake(&text).client, Some(vec![b'x'; CLIENT_BYTES_MAX]));
}

proptest! {
    #[test]
    fn a_handshake_written_is_read(written in any_handshake()) {
        let text = written.encode();
        prop_assert!(text.len() + 6 <= HANDSHAKE_BYTES_MAX);
        prop_assert_eq!(handshake(&text), written);
    }

    #[test]
    fn a_state_written_is_read(written in any_state()) {
        let text = written.encode();
        prop_assert!(text.len() <= 128);
        prop_assert_eq!(UploadState::decode(&text), Some(written));
    }

    #[test]
    fn a_damaged_payload_is_read_or_ignored(
        written in any_handshake(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut text = written.encode();
        let at = at.index(text.len());
        prop_assert_eq!(ExtendedHandshake::decode(&text[..at]), None);
        text[at] = byte;
        let _ = (UploadState::decode(&text), MetadataMessage::decode(&text));
        if let Some(read) = ExtendedHandshake::decode(&text) {
            prop_assert_eq!(handshake(&read.encode()), read);
        }
    }
}

/// What stock clients, as Debian packages them, said of peers on a bridge: transmission 3.00,
/// libtorrent 2.0.8 (and qBittorrent 4.5.2, which is built on it), rtorrent 0.9.8.
#[test]
fn what_stock_clients_tell_of_peers_is_understood() {
    let at = |last: u8| SocketAddr::from(([10, 77, 1, last], 6881));
    let said: [(&[u8], [(SocketAddr, u8); 2]); 3] = [
        (
            b"d5:added12:\x0aM\x01\x08\x1a\xe1\x0aM\x01\x1f\x1a\xe17:added.f2:\x10\x00e",
            [(at(8), flags::REACHABLE), (at(31), 0)],
        ),
        (
            b"d5:added12:\x0aM\x01\x06\x1a\xe1\x0aM\x01\x19\x1a\xe17:added.f2:\0\0\
              6:added60:8:added6.f0:7:dropped0:8:dropped60:e",
            [(at(6), 0), (at(25), 0)],
        ),
        (
            b"d5:added12:\x0aM\x01\x03\x1a\xe1\x0aM\x01\x0c\x1a\xe17:dropped0:e",
            [(at(3), 0), (at(12), 0)],
        ),
    ];
    for (bytes, added) in said {
        let told = PeerExchange::decode(bytes).unwrap();
        assert_eq!(told, PeerExchange { added: added.to_vec(), dropped: vec![] });
    }
    // With the flag of a seed, from libtorrent.
    let seed = b"d5:added6:\x0aM\x01\x0b\x1a\xe17:added.f1:\x026:added60:8:added6.f0:\
                 7:dropped0:8:dropped60:e";
    assert_eq!(PeerExchange::decode(seed).unwrap().added, [(at(11), flags::SEED)]);
}
