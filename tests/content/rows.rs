//! Metainfo that would do harm, by the rows of the promises about it: each is refused, or taken for
//! no more than it is, at the place that is marked.

use crate::vectors::read;
use lmk::content::error::MetaError;
use lmk::content::magnet::{Magnet, MagnetError};
use lmk::content::metainfo::{KeyOrder, Metainfo};
use lmk::core::mark::expect_mark;

fn torrent(text: &str) -> Result<Metainfo, MetaError> {
    Metainfo::read(text.as_bytes().to_vec(), KeyOrder::Sorted)
}

/// A v1 torrent with those files and that many pieces.
fn listed(files: &str, pieces: usize) -> Result<Metainfo, MetaError> {
    let hashes = "x".repeat(20 * pieces);
    let rest = format!("4:name1:a12:piece lengthi16384e6:pieces{}:{hashes}", hashes.len());
    torrent(&format!("d4:infod5:filesl{files}e{rest}ee"))
}

fn vector(name: &str) -> Result<Metainfo, MetaError> {
    Metainfo::read(read(&format!("invalid/metainfo/{name}.torrent")), KeyOrder::Sorted)
}

#[track_caller]
fn refused(result: Result<Metainfo, MetaError>, words: &str) {
    let why = result.unwrap_err().to_string();
    assert!(why.contains(words) && why.lines().count() == 1, "{why}");
}

#[test]
fn bencode_that_would_exhaust_or_mislead_is_refused_where_it_shows() {
    expect_mark!("A01", refused(torrent(&"l".repeat(8 << 20)), "deeper than 64 at byte 64"));
    expect_mark!("A02", refused(torrent("d4:info99999999999999999999:"), "past end of input"));
    expect_mark!("A03", refused(torrent("d04:infode"), "leading zero"));
    expect_mark!("A04", refused(torrent("d1:ai99999999999999999999ee"), "outside 64 bits"));
    expect_mark!("A05", refused(torrent("d1:bi1e1:ai1ee"), "not in order"));
    expect_mark!("A06", refused(torrent("dex"), "data after the value"));
    expect_mark!("A07", refused(torrent("d4:info"), "ends early"));
    expect_mark!(
        "A08",
        refused(torrent(&format!("l{}", "le".repeat(3_000_001))), "too many items")
    );
}

#[test]
fn numbers_and_names_that_cannot_be_are_refused() {
    let file = |length: &str, path: &str| format!("d6:lengthi{length}e4:path{path}e");
    expect_mark!("A11", refused(listed(&file("5", "l1:xe"), 2), "one hash for each piece"));
    let most = "9223372036854775807";
    let two = file(most, "l1:xe") + &file(most, "l1:ye");
    expect_mark!("A12", refused(listed(&two, 1), "overflow"));
    expect_mark!("A13", refused(listed(&file(most, "l1:xe"), 1), "more than"));
    expect_mark!("A14", refused(listed(&file("5", "l3:a/be"), 1), "contains `/`"));
    // What another system would not take is a name here, and stays what it is.
    for name in ["CON", "nul.txt", "COM\u{b9}", "a:b", "a ", "a.", "foo... bar", "Icon\r", "aux.c"]
    {
        let entry = file("5", &format!("l{}:{name}e", name.len()));
        let read = expect_mark!("A15", listed(&entry, 1)).unwrap();
        assert_eq!(*read.files.entries()[0].path, *name.as_bytes());
    }
    let twins = file("2", "l1:Ae") + &file("3", "l1:ae");
    assert_eq!(listed(&twins, 1).unwrap().files.plain().count(), 2);
    let same = file("1", "l1:x1:ye") + &file("1", "l1:xe");
    expect_mark!("A16", refused(listed(&same, 1), "the same file"));
    let link = file("5", "l1:xe") + "d4:attr1:l6:lengthi9e4:pathl1:ye12:symlink pathl1:xee";
    expect_mark!("A17", refused(listed(&link, 1), "symbolic link"));
    let pad = file("5", "l1:xe") + "d4:attr1:p6:lengthi16384ee";
    expect_mark!("A18", refused(listed(&pad, 2), "pad of a piece"));
}

#[test]
fn trees_layers_and_hybrids_that_do_not_fit_are_refused() {
    expect_mark!("A19", refused(vector("v2_root_zero"), "all zero"));
    expect_mark!("A20", refused(vector("v2_piece_layer_wrong_hash"), "does not fold"));
    expect_mark!("A21", refused(vector("hybrid_missing_pad"), "alignment"));
}

#[test]
fn what_stands_outside_is_bounded_and_a_hash_is_that_of_the_bytes() {
    let unsorted = read("invalid/metainfo/info_unsorted.torrent");
    let read = expect_mark!("A10", Metainfo::read(unsorted, KeyOrder::Any)).unwrap();
    assert_eq!(read.v1.unwrap().0, lmk::content::digest::sha1(read.info()));
    let link = format!("magnet:?xt={}", "x".repeat(1 << 20));
    expect_mark!("A23", assert_eq!(Magnet::parse(&link), Err(MagnetError::TooLong)));
    let tiers: String = (0..10_000).map(|n| format!("l14:udp://{n:07}/e")).collect();
    let info = "d6:lengthi0e4:name1:a12:piece lengthi16384e6:pieces0:e";
    let text = format!("d13:announce-listl{tiers}e4:info{info}e");
    let read = expect_mark!("A24", torrent(&text)).unwrap();
    assert_eq!((read.outside.tiers.len(), read.outside.passed_over), (64, 10_000 - 64));
}
