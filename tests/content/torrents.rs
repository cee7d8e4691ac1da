//! Whole .torrent files of any number of files: read, made, and compared with the bytes of files.

use crate::vectors::{folder, read};
use lmk::content::error::MetaError;
use lmk::content::file_list::Kind;
use lmk::content::grid::Form;
use lmk::content::metainfo::outside::Outside;
use lmk::content::metainfo::{Content, KeyOrder, Maker, Metainfo, Proving, Wanted};
use proptest::prelude::*;
use std::rc::Rc;

fn strict(bytes: Vec<u8>) -> Result<Metainfo, MetaError> {
    Metainfo::read(bytes, KeyOrder::Sorted)
}

fn wanted(form: Form, piece_length: u32) -> Wanted {
    Wanted {
        form,
        piece_length: Some(piece_length),
        private: false,
        source: None,
        outside: Outside::default(),
    }
}

/// Path and bytes of the files of a folder.
type Files = Vec<(String, Vec<u8>)>;

fn made(name: &str, files: &Files, wanted: Wanted) -> Vec<u8> {
    let sizes = files.iter().map(|(path, bytes)| (path.clone().into_bytes(), bytes.len() as u64));
    let mut maker = Maker::folder(name.as_bytes(), sizes.collect(), wanted).unwrap();
    while let Some((entry, from)) = maker.wanted() {
        let path = maker.files().entries()[entry].path.clone();
        let (_, bytes) = files.iter().find(|(name, _)| name.as_bytes() == &*path).unwrap();
        let to = bytes.len().min(from as usize + 10_007);
        maker.update(&bytes[from as usize..to]);
    }
    maker.finish().unwrap()
}

fn proven(metainfo: &Rc<Metainfo>, files: &Files) -> Proving {
    let mut proving = Proving::new(Rc::clone(metainfo));
    while let Some((entry, from)) = proving.wanted() {
        let path = &metainfo.files.entries()[entry].path;
        match files.iter().find(|(name, _)| name.as_bytes() == &**path) {
            Some((_, bytes)) if (from as usize) < bytes.len() => {
                let to = bytes.len().min(from as usize + 7_001);
                proving.update(&bytes[from as usize..to]);
            }
            _ => proving.lacks(proving.left()),
        }
    }
    proving
}

fn multi() -> Files {
    let names = ["a.bin", "b_empty.bin", "sub/c.bin", "sub/d.bin"];
    names.map(|name| (name.to_owned(), read(&format!("data/multi/{name}")))).into()
}

#[test]
fn every_valid_torrent_is_read_with_its_files_and_its_hashes() {
    let mut compared = 0;
    for vector in folder("metainfo") {
        let read = strict(vector.bytes.clone()).unwrap_or_else(|e| panic!("{}: {e}", vector.name));
        let hash = |key| vector.expect(key).as_str().map(str::to_owned);
        assert_eq!(read.v1.map(|hash| hash.to_string()), hash("infohash_v1"), "{}", vector.name);
        assert_eq!(read.v2.map(|hash| hash.to_string()), hash("infohash_v2"), "{}", vector.name);
        assert_eq!(hash("torrent_name").unwrap().as_bytes(), read.name);
        if let Some(files) = vector.index["expect"]["files_v2"].as_array() {
            let mine: Vec<_> = read.files.plain().map(|(_, entry)| entry).collect();
            assert_eq!(mine.len(), files.len(), "{}", vector.name);
            for (mine, file) in mine.iter().zip(files) {
                assert_eq!(mine.length, file["length"].as_u64().unwrap());
                let root = mine.root.map(|root| root.to_string());
                assert_eq!(root.as_deref(), file["pieces_root"].as_str());
            }
        }
        if let Ok(content) = Content::from_torrent(&vector.bytes) {
            for piece in 0..content.geometry.pieces() {
                let hash = content.v1.as_ref().map(|v1| v1.hashes[piece as usize]);
                assert_eq!(read.flat_hash(piece), hash);
                let node = content.v2.as_ref().and_then(|v2| v2.trees.node(piece));
                assert_eq!(read.node(piece), node);
            }
        }
        compared += 1;
    }
    assert_eq!(compared, 20);
}

#[test]
fn every_invalid_torrent_is_refused_for_the_reason_that_single_files_have() {
    let mut refused = 0;
    for vector in folder("invalid/metainfo") {
        let name = vector.name.rsplit('/').next().unwrap();
        if name == "hybrid_v1_piece_hash_conflict.torrent" {
            // Only the data shows it.
            assert!(strict(vector.bytes).is_ok());
            continue;
        }
        let why = strict(vector.bytes.clone()).expect_err(name);
        assert_eq!(Content::from_torrent(&vector.bytes), Err(why), "{name}");
        refused += 1;
    }
    assert_eq!(refused, 48);
}

#[test]
fn the_files_of_a_folder_are_where_the_grid_of_its_form_has_them() {
    let places = |name: &str| {
        let read = strict(read(name)).unwrap();
        let row = |entry: &lmk::content::file_list::Entry| {
            let path = String::from_utf8(entry.path.to_vec()).unwrap();
            (path, entry.length, entry.offset, entry.kind == Kind::Pad)
        };
        (read.geometry.pieces(), read.files.entries().iter().map(row).collect::<Vec<_>>())
    };
    let row = |path: &str, length, offset| (path.to_owned(), length, offset, false);
    let pad = |len: u64, offset| (format!(".pad/{len}"), len, offset, true);
    let (a, b) = (row("a.bin", 100_000, 0), row("sub/c.bin", 40_000, 131_072));
    let c = row("sub/d.bin", 16_385, 196_608);
    let (pieces, v2) = places("metainfo/multi.v2.torrent");
    assert_eq!(
        (pieces, v2),
        (7, vec![a.clone(), row("b_empty.bin", 0, 100_000), b.clone(), c.clone()])
    );
    let (pieces, hybrid) = places("metainfo/multi.hybrid.torrent");
    let pads = [pad(31_072, 100_000), pad(25_536, 171_072), pad(16_383, 212_993)];
    let [first, second, last] = pads;
    assert_eq!(pieces, 7);
    assert_eq!(hybrid, [a, first, row("b_empty.bin", 0, 131_072), b, second, c, last]);
}

#[test]
fn made_folders_are_what_the_reference_tools_make() {
    let files = multi();
    for (form, name) in [(Form::V2, "multi.v2"), (Form::Hybrid, "multi.hybrid")] {
        let mine = strict(made("multi", &files, wanted(form, 32_768))).unwrap();
        let theirs = strict(read(&format!("metainfo/{name}.torrent"))).unwrap();
        assert_eq!(mine.info(), theirs.info(), "{name}");
        assert_eq!((mine.v1, mine.v2, &mine.files), (theirs.v1, theirs.v2, &theirs.files));
        let proving = proven(&Rc::new(theirs), &files);
        assert!(proving.bad().is_empty(), "{name}");
    }
}

#[test]
fn lenient_hashes_the_bytes_of_unsorted_v1_and_of_nothing_else() {
    let unsorted = read("invalid/metainfo/info_unsorted.torrent");
    assert!(matches!(strict(unsorted.clone()), Err(MetaError::Bencode(_))));
    let read = Metainfo::read(unsorted.clone(), KeyOrder::Any).unwrap();
    assert!(read.unsorted && unsorted.windows(read.info().len()).any(|part| part == read.info()));
    assert_eq!(read.v1.unwrap().0, lmk::content::digest::sha1(read.info()));
    let info = |info: &str| Metainfo::read(format!("d4:info{info}e").into_bytes(), KeyOrder::Any);
    let twice = "d4:name1:a6:lengthi0e6:lengthi0e12:piece lengthi16384e6:pieces0:e";
    assert_eq!(info(twice), Err(MetaError::Bad("info", "has a dictionary with a key twice")));
    let v2 = "d4:name1:a9:file treed1:ad0:d6:lengthi0eeee12:meta versioni2e12:piece lengthi16384ee";
    assert!(matches!(info(v2), Err(MetaError::Bencode(_))));
    assert!(matches!(info("i5x"), Err(MetaError::Bencode(_))));
    // Only where it helps is there a hint that keys may stand in any order.
    assert!(strict(unsorted).unwrap_err().is_disorder());
    let why = strict(format!("d4:info{v2}e").into_bytes()).unwrap_err();
    assert!(matches!(why, MetaError::Disorder(_)) && !why.is_disorder(), "{why}");
}

#[test]
fn names_are_kept_byte_for_byte_and_older_character_sets_give_way() {
    let file = |rest: &[u8]| [b"d6:lengthi1e".as_slice(), rest, b"e"].concat();
    let files = [
        file(b"4:pathl5:Icon\re"),
        // The older path is Latin-1.
        file(b"4:pathl1:\xe9e10:path.utf-8l2:\xc3\xa8e"),
        file(b"4:pathl1:Ae"),
        file(b"4:pathl1:ae"),
    ];
    let rest = format!("e4:name5:aux.c12:piece lengthi16384e6:pieces20:{}ee", "x".repeat(20));
    let bytes = [b"d4:infod5:filesl", files.concat().as_slice(), rest.as_bytes()].concat();
    let read = strict(bytes).unwrap();
    let paths: Vec<&[u8]> = read.files.entries().iter().map(|entry| &*entry.path).collect();
    assert_eq!(paths, ["Icon\r".as_bytes(), "\u{e8}".as_bytes(), b"A", b"a"]);
    assert_eq!(read.name, b"aux.c");
}

#[test]
fn pads_are_smaller_than_a_piece_and_never_all_there_is() {
    let list = |files: &str, pieces: usize| {
        let rest = format!("4:name1:a12:piece lengthi16384e6:pieces{}:", 20 * pieces);
        strict(format!("d4:infod5:filesl{files}e{rest}{}ee", "x".repeat(20 * pieces)).into_bytes())
    };
    let file = "d6:lengthi5e4:pathl1:aee";
    assert!(list(&format!("{file}d4:attr1:p6:lengthi16379ee"), 1).is_ok());
    let huge = format!("{file}d4:attr1:p6:lengthi16384ee");
    assert_eq!(list(&huge, 2), Err(MetaError::Bad("attr", "makes a pad of a piece or more")));
    let alone = "d4:attr1:p6:lengthi5ee";
    assert_eq!(list(alone, 1), Err(MetaError::Bad("files", "has pads alone")));
    let link = "d4:attr1:l4:pathl1:be12:symlink pathl1:aee";
    let read = list(&format!("{file}{link}"), 1).unwrap();
    assert_eq!(read.files.entries()[1].kind, Kind::Link);
    let escapes = link.replace("l1:ae", "l2:..e");
    assert!(matches!(
        list(&format!("{file}{escapes}"), 1),
        Err(MetaError::Element("symlink path", _))
    ));
}

fn some_files() -> impl Strategy<Value = Files> {
    let size = prop_oneof![Just(0usize), 1usize..200, 16_000usize..16_800, 1usize..90_000];
    let element = "[a-c.]{1,2}|Icon\r|\u{e8}";
    let path = prop::collection::vec(element, 1..4).prop_map(|path| path.join("/"));
    prop::collection::btree_map(path, (size, any::<u8>()), 1..7).prop_map(|files| {
        let mut kept: Files = Vec::new();
        for (path, (size, seed)) in files {
            let dots = path.split('/').any(|element| matches!(element, "." | ".."));
            let under = |a: &str, b: &str| a.starts_with(&format!("{b}/"));
            if dots || kept.iter().any(|(other, _)| under(&path, other) || under(other, &path)) {
                continue;
            }
            let byte = |at: usize| (at * 31 + at / 251 + usize::from(seed)) as u8;
            kept.push((path, (0..size).map(byte).collect()));
        }
        kept
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn what_is_made_is_read_and_proven_and_a_flipped_byte_names_its_piece_and_file(
        files in some_files().prop_filter("a file", |files| !files.is_empty()),
        form in prop::sample::select(vec![Form::V1, Form::V2, Form::Hybrid]),
        shift in 0u32..3,
        which in any::<prop::sample::Index>(),
    ) {
        let piece_length = 16_384 << shift;
        let bytes = made("n", &files, wanted(form, piece_length));
        let read = Rc::new(strict(bytes.clone()).unwrap());
        prop_assert_eq!(read.form(), form);
        prop_assert_eq!(read.files.plain().count(), files.len());
        prop_assert!(proven(&read, &files).bad().is_empty());
        let mut backwards = files.clone();
        backwards.reverse();
        prop_assert_eq!(made("n", &backwards, wanted(form, piece_length)), bytes);

        let total: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        prop_assume!(total > 0);
        let (mut at, mut file) = (which.index(total), 0);
        while at >= files[file].1.len() {
            at -= files[file].1.len();
            file += 1;
        }
        let mut flipped = files.clone();
        flipped[file].1[at] ^= 1;
        let proving = proven(&read, &flipped);
        let name = files[file].0.as_bytes();
        let (entry, place) =
            read.files.plain().find(|(_, entry)| &*entry.path == name).unwrap();
        let piece = ((place.offset + at as u64) / u64::from(piece_length)) as u32;
        prop_assert_eq!(proving.bad().ones().collect::<Vec<_>>(), vec![piece]);
        prop_assert_eq!(proving.bad_of(entry).collect::<Vec<_>>(), vec![piece]);

        // Cut short there: its last pieces are bad, and of other files what shares them.
        let mut short = files.clone();
        short[file].1.truncate(at);
        let last = (place.offset + place.length - 1) / u64::from(piece_length);
        let bad: Vec<u32> = (piece..=last as u32).collect();
        prop_assert_eq!(proven(&read, &short).bad().ones().collect::<Vec<_>>(), bad);
    }
}
