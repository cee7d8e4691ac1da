//! Metainfo that was broken on purpose: each a typed refusal, never a panic, never taken.

use crate::vectors::{folder, read};
use lmk::content::error::MetaError;
use lmk::content::metainfo::Content;
use proptest::prelude::*;

fn v1_info(rest: &str) -> Result<Content, MetaError> {
    Content::from_info(format!("d{rest}e").as_bytes(), None)
}

#[test]
fn numbers_out_of_range_are_refused_one_by_one() {
    use MetaError::*;
    let not_bytes = Bad("length", "is not a number of bytes");
    let no_length = Bad("piece length", "is not a number of bytes below 4 GiB");
    let table: &[(&str, MetaError)] = &[
        ("6:lengthi-1e4:name1:a12:piece lengthi16384e6:pieces0:", not_bytes.clone()),
        ("6:lengthi9223372036854775807e4:name1:a12:piece lengthi16384e6:pieces0:", TooManyPieces),
        ("6:lengthi1e4:name1:a12:piece lengthi-5e6:pieces0:", no_length.clone()),
        ("6:lengthi1e4:name1:a12:piece lengthi9223372036854775807e6:pieces0:", no_length),
        (
            "6:lengthi1e4:name1:a12:piece lengthi268435456e6:pieces0:",
            Bad("piece length", "is above 128 MiB"),
        ),
        (
            "6:lengthi1e4:name1:a12:piece lengthi16384e6:pieces19:xxxxxxxxxxxxxxxxxxx",
            Bad("pieces", "is not a multiple of 20 bytes"),
        ),
        ("6:lengthi1e4:name1:a12:piece lengthi16384e6:piecesle", Bad("pieces", "is not a string")),
        ("6:lengthi1e4:namei5e12:piece lengthi16384e6:pieces0:", Bad("name", "is not a string")),
        (
            "6:lengthi0e4:name1:a12:piece lengthi16384e6:pieces0:7:private0:",
            Bad("private", "is not a number"),
        ),
        (
            "5:filesld6:lengthi9223372036854775807e4:pathl1:xeed6:lengthi9223372036854775807e\
             4:pathl1:yeed6:lengthi9223372036854775807e4:pathl1:zeee\
             4:name1:a12:piece lengthi16384e6:pieces0:",
            TooLarge,
        ),
        (
            "12:meta versioni3e4:name1:a12:piece lengthi16384e",
            Bad("meta version", "is newer than this program reads"),
        ),
        ("12:meta versioni2e4:name1:a12:piece lengthi16384e", Missing("file tree")),
        ("9:file treed1:ad0:d6:lengthi0eeee4:name1:a", Missing("meta version")),
    ];
    for (text, why) in table {
        assert_eq!(v1_info(text), Err(why.clone()), "{text}");
        assert!(!why.to_string().contains('\n'));
    }
    let good = "6:lengthi1e4:name1:a12:piece lengthi1000e6:pieces20:xxxxxxxxxxxxxxxxxxxx";
    assert_eq!(v1_info(good).unwrap().geometry.piece_length(), 1000);
}

#[test]
fn strange_trees_are_refused() {
    let tree = |tree: &str| {
        let rest = "12:meta versioni2e4:name1:a12:piece lengthi16384e";
        v1_info(&format!("9:file tree{tree}{rest}"))
    };
    let root = "11:pieces root32:rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr";
    let bad = |rule| Err(MetaError::Bad("file tree", rule));
    assert_eq!(tree("d0:d6:lengthi0eee"), bad("is itself a file"));
    assert_eq!(tree("de"), bad("has an empty folder or a value of another type"));
    assert_eq!(tree("d1:adee"), bad("has an empty folder or a value of another type"));
    assert_eq!(tree("d1:ai5ee"), bad("has an empty folder or a value of another type"));
    assert_eq!(tree("d1:ad0:d6:lengthi5eeee"), Err(MetaError::Missing("pieces root")));
    assert_eq!(tree("d1:ad0:deee"), Err(MetaError::Missing("length")));
    let huge = format!("d1:ad0:d6:lengthi9223372036854775807e{root}eee");
    assert_eq!(tree(&huge), Err(MetaError::TooManyPieces));
    let pad = format!("d1:ad0:d4:attr1:p6:lengthi5e{root}eee");
    assert_eq!(tree(&pad), Err(MetaError::Bad("attr", "makes a pad of a v2 file")));
    let one = format!("d0:d6:lengthi5e{root}ee");
    assert!(tree(&format!("d1:a{one}e")).is_ok());
    // A folder with one file in it, a file under another name, two files.
    for folder in [format!("d1:ad1:a{one}ee"), format!("d1:b{one}e"), format!("d1:a{one}1:b{one}e")]
    {
        assert!(tree(&folder).unwrap().files.is_folder(), "{folder}");
    }
}

#[test]
fn a_hybrid_folder_may_end_with_the_pad_that_fills_its_piece_and_no_other() {
    let with_tail_pad = |len: &str| {
        let mut bytes = read("metainfo/multi.hybrid.torrent");
        let pad = b"lengthi16383e4:path";
        let at = bytes.windows(pad.len()).position(|part| part == pad).unwrap();
        bytes[at + 7..at + 12].copy_from_slice(len.as_bytes());
        Content::from_torrent(&bytes)
    };
    assert!(with_tail_pad("16383").is_ok());
    assert_eq!(with_tail_pad("16382"), Err(MetaError::Disagree("alignment")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_torrent_with_bytes_changed_is_read_or_refused_and_its_hashes_stay_its_bytes(
        which: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut vectors = folder("metainfo");
        vectors.retain(|vector| vector.bytes.len() < 2000);
        let mut bytes = which.get(&vectors).bytes.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(content) = Content::from_torrent(&bytes) {
            let inside = |info: &[u8]| bytes.windows(info.len()).any(|part| part == info);
            if let Some(v1) = &content.v1 {
                prop_assert!(inside(&v1.info));
                prop_assert_eq!(v1.info_hash.0, lmk::content::digest::sha1(&v1.info));
            }
            if let Some(v2) = &content.v2 {
                prop_assert!(inside(&v2.info));
                prop_assert!(v2.trees.is_complete());
            }
        }
    }
}
