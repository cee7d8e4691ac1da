//! The published invalid messages of the peer wire, said to a swarm: `invalid/peer`, `invalid/ext`.

use crate::table::Table;
use lmk::content::metainfo::Content;
use lmk::core::id::{ConnId, PeerId};
use lmk::wire::peer::{Handshake, Message, Reserved};
use std::fs;
use std::path::PathBuf;

fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "vectors"].iter().collect()
}

/// The invalid vectors of one kind, in the order of their names.
fn invalid(kind: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(root().join("invalid").join(kind)).unwrap();
    let named = files.map(|file| {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, fs::read(path).unwrap())
    });
    let mut all: Vec<_> = named.collect();
    all.sort();
    all
}

/// The v1 content of four pieces that the vectors are about, and someone who sits down.
fn table(complete: bool, fast: bool) -> (Table, ConnId) {
    let torrent = fs::read(root().join("metainfo/a.v1.torrent")).unwrap();
    let mut table = Table::of(Content::from_torrent(&torrent).unwrap(), None, complete, 1);
    let info_hash = table.content.v1.as_ref().unwrap().info_hash;
    let reserved = Reserved::new().with_extended();
    let reserved = if fast { reserved.with_fast() } else { reserved };
    let conn = table.guest_with(Handshake { reserved, info_hash, peer_id: PeerId([b'x'; 20]) });
    table.heard(conn);
    (table, conn)
}

/// What becomes of the conversation: why it ended, or the refusals that were the answer.
fn outcome(name: &str, bytes: &[u8]) -> String {
    // A full source is of use to one who lacks something.
    let complete = name != "have_all_after_bitfield";
    let (mut table, conn) = table(complete, name != "have_all_without_fast");
    table.says(conn, bytes);
    if name == "unknown_id_99" {
        assert!(!table.is_closed(conn), "one is borne");
        (1..65).for_each(|_| table.says(conn, bytes));
    }
    if table.is_closed(conn) {
        return table.whys.pop().unwrap_or_default();
    }
    let (said, blocks) = table.heard(conn);
    assert_eq!(blocks, 0, "{name}: served");
    let refusals = said.iter().filter(|message| matches!(message, Message::Reject(_))).count();
    format!("{refusals} refused")
}

#[test]
fn what_a_peer_says_wrongly_ends_the_conversation_or_is_refused_for_its_own_reason() {
    let (mut ran, mut wrong) = (0, Vec::new());
    for (name, bytes) in invalid("peer") {
        if name.starts_with("handshake_") {
            // Whom a handshake is for is found out before there is a swarm.
            continue;
        }
        let expected = match &name[..] {
            "len_too_big" => "message too large",
            "choke_len_2" => "choke: wrong length",
            "have_short" => "have: wrong length",
            "request_short" => "request: wrong length",
            "piece_len_8" => "piece: no data",
            "extended_empty" => "extended: no extension id",
            "have_out_of_range" => "have: a piece beyond the end of the content",
            "bitfield_short" | "bitfield_long" => "bitfield has the wrong length",
            "request_32k" | "request_zero_len" | "request_past_piece" => "1 refused",
            "have_all_without_fast" => "a message of the fast extension, which was not agreed on",
            // It is asked for nothing and has said nothing new.
            "reject_without_request" | "have_all_after_bitfield" => "0 refused",
            "hash_request_v1" => "hash tree messages in a v1 conversation",
            "unknown_id_99" => "too many messages of unknown types",
            other => panic!("{other} has no expected outcome here"),
        };
        let found = outcome(&name, &bytes);
        if found != expected {
            wrong.push(format!("{name}: {found}"));
        }
        ran += 1;
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(ran, 17);
}

#[test]
fn what_a_peer_says_wrongly_in_an_extension_ends_nothing() {
    let (mut ran, mut wrong) = (0, Vec::new());
    for (name, bytes) in invalid("ext") {
        for complete in [true, false] {
            let (mut table, conn) = table(complete, true);
            table.says(conn, &bytes);
            if table.is_closed(conn) {
                wrong.push(format!("{name}: {:?}", table.whys));
            }
        }
        ran += 1;
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(ran, 17);
}

#[test]
fn a_request_for_hashes_that_is_cut_ends_the_conversation() {
    let bytes = fs::read(root().join("invalid/merkle/req_short.bin")).unwrap();
    assert_eq!(outcome("req_short", &bytes), "hash request: wrong length");
}

/// The other kinds are in tests of their formats, which count them, too.
#[test]
fn no_kind_of_invalid_vector_is_new_and_none_is_missing() {
    let kinds = fs::read_dir(root().join("invalid")).unwrap();
    let mut counted: Vec<(String, usize)> = kinds
        .map(|kind| {
            let kind = kind.unwrap().file_name().to_string_lossy().into_owned();
            let count = invalid(&kind).len();
            (kind, count)
        })
        .collect();
    counted.sort();
    let known = [
        ("bencode", 20),
        ("ext", 17),
        ("http", 6),
        ("lmk", 39),
        ("magnet", 7),
        ("merkle", 11),
        ("metainfo", 49),
        ("peer", 21),
        ("udp", 11),
    ];
    assert_eq!(counted, known.map(|(kind, count)| (kind.to_owned(), count)));
}
