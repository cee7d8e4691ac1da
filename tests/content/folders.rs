//! Contents of many files against the plain definition: each file cut by itself for trees, all of
//! them in a row for SHA-1.

use crate::vectors::read;
use lmk::content::bitfield::Bitfield;
use lmk::content::digest::{self, sha1};
use lmk::content::error::MetaError;
use lmk::content::file_list::Kind;
use lmk::content::geometry::Geometry;
use lmk::content::grid::Form;
use lmk::content::merkle::{Shape, levels_above};
use lmk::content::metainfo::outside::Outside;
use lmk::content::metainfo::{Content, KeyOrder, Maker, Metainfo, PieceHash, Wanted};
use lmk::content::proof::{HashRange, verify};
use lmk::core::bencode::{Limits, Mode, Writer, parse};
use lmk::core::id::Hash32;
use proptest::prelude::*;

/// Bytes of the files of a folder, in the order of their names: `00`, `01`, ...
type Files = Vec<Vec<u8>>;

fn torrent(files: &Files, form: Form, piece_length: u32) -> Vec<u8> {
    let (outside, source) = (Outside::default(), None);
    let piece_length = Some(piece_length);
    let wanted = Wanted { form, piece_length, private: false, source, outside };
    let named = (0..).zip(files).map(|(n, file)| (path(n), file.len() as u64));
    let mut maker = Maker::folder(b"folder", named.collect(), wanted).unwrap();
    let mut plain = files.iter().filter(|file| !file.is_empty());
    while maker.wanted().is_some() {
        maker.update(plain.next().unwrap());
    }
    maker.finish().unwrap()
}

fn path(n: usize) -> Vec<u8> {
    format!("{}/{n:02}", n / 3).into_bytes()
}

/// A piece by definition: where it begins in the row, its bytes, and what its file is.
struct Plain {
    offset: u64,
    bytes: Vec<u8>,
    file: usize,
}

/// Every piece of files that each begin with a piece.
fn aligned(files: &Files, piece_length: usize) -> Vec<Plain> {
    let chunks = files.iter().enumerate().flat_map(|(file, bytes)| {
        bytes.chunks(piece_length).map(move |chunk| (file, chunk.to_vec()))
    });
    let offset = |n: usize| (n * piece_length) as u64;
    let piece = |(n, (file, bytes)): (usize, _)| Plain { offset: offset(n), bytes, file };
    chunks.enumerate().map(piece).collect()
}

/// Every piece of one row of all bytes.
fn flat(files: &Files, piece_length: usize) -> Vec<Plain> {
    let row = files.concat();
    let offset = |n: usize| (n * piece_length) as u64;
    let piece =
        |(n, bytes): (usize, &[u8])| Plain { offset: offset(n), bytes: bytes.to_vec(), file: 0 };
    row.chunks(piece_length).enumerate().map(piece).collect()
}

/// The root of a tree by its definition: so many levels over the leaves.
fn root_of(bytes: &[u8], levels: u32) -> Hash32 {
    let mut row = Vec::new();
    digest::leaves(bytes, &mut row);
    row.resize(1 << levels, Hash32([0; 32]));
    while row.len() > 1 {
        row = row.chunks(2).map(|pair| digest::parent(&pair[0], &pair[1])).collect();
    }
    row[0]
}

fn levels(len: usize) -> u32 {
    levels_above(len.div_ceil(16384) as u64).into()
}

fn check_grid(content: &Content, pieces: &[Plain], chosen: &[bool]) {
    let grid = &content.geometry;
    assert_eq!(grid.pieces() as usize, pieces.len());
    let (mut payload, mut blocks, mut some) = (0, 0, 0);
    let mut bits = Bitfield::new(grid.pieces());
    for (n, plain) in (0..).zip(pieces) {
        let (piece, len) = (grid.piece(n).unwrap(), plain.bytes.len() as u32);
        assert_eq!((grid.piece_offset(piece), grid.piece_len(piece)), (plain.offset, len));
        payload += u64::from(len);
        if chosen[n as usize % chosen.len()] {
            bits.set(n);
            some += u64::from(len);
        }
        let mut begin = 0;
        for block in grid.blocks_of(piece) {
            let len = 16384.min(len - begin);
            assert_eq!(grid.block(n, begin, len), Ok(block));
            assert!(grid.block(n, begin, len - 1).is_err());
            assert_eq!(grid.span(n, begin, len), Ok((plain.offset + u64::from(begin), len)));
            (begin, blocks) = (begin + len, blocks + 1);
        }
        assert_eq!(begin, len);
        let end = grid.size().min(plain.offset + u64::from(grid.piece_length())) - plain.offset;
        assert_eq!(u64::from(grid.place_len(piece)), end);
        // The zeros behind a file may be asked for: up to the next piece or the end of the row, or
        // of the last block where a tree tells which bytes count.
        let block = if content.v2.is_some() { len.next_multiple_of(16384).into() } else { 0 };
        let end = end.max(block);
        assert!(grid.span(n, end as u32 - 1, 1).is_ok());
        assert!(grid.span(n, end as u32 - 1, 2).is_err());
    }
    assert_eq!((grid.payload(), grid.blocks(), grid.payload_of(&bits)), (payload, blocks, some));
    assert_eq!(grid.payload_of(&Bitfield::full(grid.pieces())), payload);
}

/// Each piece is what it must be, and any other is not.
fn check_hashes(content: &Content, pieces: &[Plain]) {
    for (n, plain) in (0..).zip(pieces) {
        let piece = content.geometry.piece(n).unwrap();
        let judged = |bytes: &[u8]| {
            let mut leaves = Vec::new();
            digest::leaves(bytes, &mut leaves);
            content.piece_hash(piece, bytes, &leaves)
        };
        assert_eq!(judged(&plain.bytes), content.expected(n));
        let mut wrong = plain.bytes.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_ne!(judged(&wrong), content.expected(n));
    }
}

fn check_trees(content: &Content, files: &Files, pieces: &[Plain]) {
    let trees = content.trees().unwrap();
    let full: Vec<usize> = (0..files.len()).filter(|n| !files[*n].is_empty()).collect();
    assert_eq!(trees.files().len(), full.len());
    for (tree, n) in trees.files().iter().zip(&full) {
        assert_eq!(tree.root, root_of(&files[*n], levels(files[*n].len())));
        assert!(trees.of_root(tree.root).any(|found| found == tree));
    }
    for (n, plain) in (0..).zip(pieces) {
        let (tree, index) = trees.place(n).unwrap();
        let first = pieces.iter().position(|piece| piece.file == plain.file).unwrap() as u32;
        assert_eq!((tree.first, index), (first, n - first));
        let up = levels(content.geometry.piece_length() as usize);
        let whole = levels(files[plain.file].len());
        assert_eq!(trees.node(n), Some(root_of(&plain.bytes, up.min(whole))));
        // The leaves of the piece are told and proven by the tree of its file.
        if let Some(range) = HashRange::leaves_of(&tree.shape, index) {
            let leaves_of = |at: u32| {
                let mut leaves = Vec::new();
                digest::leaves(&pieces[(tree.first + at) as usize].bytes, &mut leaves);
                Some(leaves)
            };
            let answer = trees.tree(tree).unwrap().answer(&range, leaves_of).unwrap();
            let known = |layer: u32, at: u64| {
                let known = layer == u32::from(tree.shape.piece_layer);
                trees.node(tree.first + at as u32).filter(|_| known)
            };
            let proven = verify(&tree.shape, &range, &answer, known).unwrap();
            let mut leaves = Vec::new();
            digest::leaves(&plain.bytes, &mut leaves);
            assert_eq!(&proven[..leaves.len()], &leaves[..]);
        }
    }
    assert_eq!(trees.place(pieces.len() as u32), None);
}

/// The v1 part of a hybrid as a torrent of its own.
fn companion(hybrid: &[u8]) -> Vec<u8> {
    let doc = parse(hybrid, Mode::Strict, Limits::METAINFO).unwrap();
    let mut w = Writer::new();
    w.begin_dict();
    for (key, value) in doc.root().get(b"info").unwrap().entries() {
        if key != b"file tree" && key != b"meta version" {
            w.key(key).raw(value.raw());
        }
    }
    w.end();
    w.finish()
}

fn info(torrent: &[u8]) -> Vec<u8> {
    let doc = parse(torrent, Mode::Strict, Limits::METAINFO).unwrap();
    doc.root().get(b"info").unwrap().raw().to_vec()
}

fn files() -> impl Strategy<Value = Files> {
    let length = prop_oneof![
        Just(0usize),
        1usize..200,
        16_380usize..16_390,
        32_765usize..32_771,
        1usize..150_000,
    ];
    let file = (length, any::<u8>()).prop_map(|(len, seed)| {
        (0..len).map(|at| (at / 7) as u8 ^ seed.wrapping_mul(at as u8)).collect()
    });
    prop::collection::vec(file, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn contents_of_many_files_are_what_the_definition_says(
        files in files(),
        shift in 0u32..3,
        form in prop_oneof![Just(Form::V1), Just(Form::V2), Just(Form::Hybrid)],
        chosen in prop::collection::vec(any::<bool>(), 1..9),
    ) {
        let length = 16_384u32 << shift;
        let text = torrent(&files, form, length);
        let content = Content::from_torrent(&text).unwrap();
        let pieces = match form {
            Form::V1 => flat(&files, length as usize),
            _ => aligned(&files, length as usize),
        };
        check_grid(&content, &pieces, &chosen);
        check_hashes(&content, &pieces);
        prop_assert_eq!(content.data_bytes(), files.concat().len() as u64);
        if form != Form::V1 {
            check_trees(&content, &files, &pieces);
        }
        let whole = Metainfo::read(text.clone(), KeyOrder::Sorted).unwrap();
        prop_assert_eq!((&*whole.files, &whole.geometry), (&*content.files, &content.geometry));
        for n in 0..content.geometry.pieces() {
            prop_assert_eq!(whole.node(n), content.trees().and_then(|trees| trees.node(n)));
            let hash = content.v1.as_ref().map(|v1| v1.hashes[n as usize]);
            prop_assert_eq!(whole.flat_hash(n), hash);
        }
        // Without layers the trees of files of several pieces lack, until each was told.
        let mut bare = Content::from_info(&info(&text), None).unwrap();
        if let (Some(v2), true) = (&content.v2, form == Form::V2) {
            let lacking = bare.v2.as_ref().unwrap().trees.lacking();
            let lacking: Vec<Hash32> = lacking.map(|tree| tree.root).collect();
            let several = files.iter().filter(|file| file.len() > length as usize).count();
            prop_assert_eq!(lacking.len(), several);
            for tree in v2.trees.files().iter().filter(|tree| lacking.contains(&tree.root)) {
                bare.set_layer(tree.root, v2.trees.layer(tree).unwrap()).unwrap();
            }
            prop_assert_eq!(&bare, &content);
        }
    }

    #[test]
    fn companions_of_a_folder_are_one_content(files in files(), shift in 0u32..3) {
        let length = 16_384u32 << shift;
        let hybrid = torrent(&files, Form::Hybrid, length);
        let v2 = torrent(&files, Form::V2, length);
        let layers = Content::from_torrent(&v2).unwrap().piece_layers().unwrap();
        let (v1_info, v2_info) = (companion(&hybrid), info(&v2));
        let joined = Content::from_parts(Some(&v1_info), Some(&v2_info), Some(&layers)).unwrap();
        let pieces = aligned(&files, length as usize);
        check_grid(&joined, &pieces, &[true]);
        check_hashes(&joined, &pieces);
        check_trees(&joined, &files, &pieces);
        // Proven by SHA-1 alone, the pads of the companion count, and are not asked for.
        let bare = Content::from_parts(Some(&v1_info), Some(&v2_info), None).unwrap();
        check_grid(&bare, &pieces, &[true]);
        check_hashes(&bare, &pieces);
        // So it is with the companion alone.
        let alone = Content::from_info(&v1_info, None).unwrap();
        check_grid(&alone, &pieces, &[true]);
        check_hashes(&alone, &pieces);
        // The bytes of the same files without pads lie elsewhere.
        let solid = info(&torrent(&files, Form::V1, length));
        let two = Content::from_parts(Some(&solid), Some(&v2_info), None);
        let gaps = joined.files.entries().iter().rev().skip_while(|entry| entry.length == 0);
        let gaps = gaps.skip(1).skip_while(|entry| entry.length == 0);
        if gaps.clone().any(|entry| entry.kind == Kind::Pad) && pieces.len() > 1 {
            let moved = files.iter().rev().skip_while(|file| file.is_empty()).skip(1);
            if moved.clone().any(|file| !file.len().is_multiple_of(length as usize)) {
                prop_assert_eq!(two, Err(MetaError::Disagree("alignment")));
            }
        }
    }
}

#[test]
fn equal_files_have_one_layer_and_each_its_own_pieces() {
    let file: Vec<u8> = (0..40_000u32).map(|n| n as u8).collect();
    let files = vec![file.clone(), vec![1], file];
    let content = Content::from_torrent(&torrent(&files, Form::V2, 16_384)).unwrap();
    let trees = content.trees().unwrap();
    let firsts: Vec<u32> = trees.of_root(trees.files()[0].root).map(|tree| tree.first).collect();
    assert_eq!((firsts, trees.nodes().len()), (vec![0, 4], 7));
    assert_eq!(trees.node(0), trees.node(4));
    assert_eq!(trees.of_root(Hash32([9; 32])).count(), 0);
    let layers = content.piece_layers().unwrap();
    assert_eq!(layers.len(), b"d32:96:e".len() + 32 + 96);
}

#[test]
fn torrents_of_folders_that_a_stock_program_made_are_read_as_the_files_they_were_made_of() {
    let names = ["a.bin", "b_empty.bin", "sub/c.bin", "sub/d.bin"];
    let files: Files = names.map(|name| read(&format!("data/multi/{name}"))).into();
    for name in ["multi.v2", "multi.hybrid"] {
        let text = read(&format!("metainfo/{name}.torrent"));
        let content = Content::from_torrent(&text).unwrap();
        let pieces = aligned(&files, 32_768);
        check_grid(&content, &pieces, &[true, false]);
        check_hashes(&content, &pieces);
        check_trees(&content, &files, &pieces);
        if let Some(v1) = &content.v1 {
            let padded: Vec<Vec<u8>> = pieces
                .iter()
                .map(|piece| [&piece.bytes[..], &vec![0; 32_768 - piece.bytes.len()]].concat())
                .collect();
            let hashes: Vec<[u8; 20]> = padded.iter().map(|piece| sha1(piece)).collect();
            assert_eq!(v1.hashes, hashes);
        }
    }
}

/// As many pads as one likes could make pieces that no file has a byte of.
#[test]
fn pads_of_a_hybrid_make_no_piece_of_their_own() {
    let text = read("metainfo/multi.hybrid.torrent");
    let pad = b"d4:attr1:p6:lengthi16384e4:pathl4:.pad1:xee";
    let key = b"5:filesl";
    let at = text.windows(key.len()).position(|part| part == key).unwrap() + key.len();
    let mut two = text[..at].to_vec();
    two.extend_from_slice(pad);
    two.extend_from_slice(pad);
    two.extend_from_slice(&text[at..]);
    // One more piece, and its hash.
    let (old, new) = (b"6:pieces140:", b"6:pieces160:");
    let at = two.windows(old.len()).position(|part| part == old).unwrap();
    two.splice(at..at + old.len(), new.iter().copied().chain([0; 20]));
    assert_eq!(Content::from_torrent(&two), Err(MetaError::Disagree("alignment")));
}

#[test]
fn one_file_is_a_row_without_gaps() {
    let grid = Geometry::new(100_000, 32_768).unwrap();
    assert_eq!((grid.payload(), grid.size()), (100_000, 100_000));
    let mut some = Bitfield::new(grid.pieces());
    some.set(3);
    assert_eq!(grid.payload_of(&some), 1696);
    assert!(Shape::of(&grid).is_some());
    let content = Content::from_torrent(&read("metainfo/a.hybrid.torrent")).unwrap();
    assert_eq!((content.geometry.payload(), content.geometry.blocks()), (100_000, 7));
    assert_eq!(content.geometry.span(3, 0, 16384), Ok((98_304, 16384)));
    assert!(content.geometry.span(3, 0, 16385).is_err() && grid.span(3, 0, 1697).is_err());
    assert!(matches!(content.expected(0), Some(PieceHash::Node(_))));
}
