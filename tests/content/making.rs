//! Contents made from bytes: one read, any cutting, both identities.

use lmk::content::digest::{sha1, sha256};
use lmk::content::error::MetaError;
use lmk::content::metainfo::{Content, ContentHasher};
use lmk::core::id::Hash32;
use lmk::core::name::NameError;
use proptest::prelude::*;

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    lmk::core::rng::Rng::new(seed).fill(&mut bytes);
    bytes
}

fn made(name: &[u8], parts: &[&[u8]]) -> Content {
    let size = parts.iter().map(|part| part.len() as u64).sum();
    let mut hasher = ContentHasher::new(name, size).unwrap();
    for part in parts {
        hasher.update(part);
    }
    assert_eq!(hasher.hashed(), size);
    hasher.finish().unwrap()
}

/// The root of a whole tree by its definition, over leaves padded to a power of two.
fn naive_root(data: &[u8]) -> Hash32 {
    let mut row: Vec<Hash32> = data.chunks(16384).map(sha256).collect();
    row.resize(row.len().next_power_of_two(), Hash32([0; 32]));
    while row.len() > 1 {
        row = row.chunks(2).map(|p| sha256(&[p[0].0, p[1].0].concat())).collect();
    }
    row[0]
}

#[test]
fn an_empty_file_has_both_identities_and_no_piece() {
    let content = made(b"empty", &[]);
    let (v1, v2) = (content.v1.as_ref().unwrap(), content.v2.as_ref().unwrap());
    assert_eq!(v1.info, b"d6:lengthi0e4:name5:empty12:piece lengthi16384e6:pieces0:e");
    let info = b"d9:file treed5:emptyd0:d6:lengthi0eeee12:meta versioni2e4:name5:empty\
                 12:piece lengthi16384ee";
    assert_eq!(v2.info, info);
    assert!(v2.trees.files().is_empty() && v2.trees.is_complete());
    let parts = Content::from_parts(Some(&v1.info), Some(&v2.info), None);
    assert_eq!(parts, Ok(content.clone()));
    for torrent in [content.write_torrent_v1(&[]), content.write_torrent_v2(&[])] {
        assert_eq!(Content::from_torrent(&torrent.unwrap()).unwrap().geometry.pieces(), 0);
    }
}

#[test]
fn sizes_around_the_borders_of_blocks_and_pieces_make_the_tree_of_the_definition() {
    for len in [1, 2, 16383, 16384, 16385, 32767, 32768, 32769, 49153, 65537] {
        let data = bytes(len, 9);
        for length in [16384, 32768, 131_072] {
            let mut hasher = ContentHasher::with_piece_length(b"f", len as u64, length).unwrap();
            hasher.update(&data);
            let content = hasher.finish().unwrap();
            assert_eq!(
                content.v2.unwrap().trees.files()[0].root,
                naive_root(&data),
                "{len} {length}"
            );
            assert_eq!(content.v1.unwrap().hashes.len(), len.div_ceil(length as usize));
        }
    }
}

#[test]
fn a_file_that_changed_size_is_refused() {
    let hash = |size, data: &[u8]| {
        let mut hasher = ContentHasher::new(b"f", size).unwrap();
        hasher.update(data);
        hasher.finish()
    };
    let changed = |expected, got| Err(MetaError::SizeChanged { expected, got });
    assert_eq!(hash(10, &[7; 9]), changed(10, 9));
    assert_eq!(hash(10, &[7; 20]), changed(10, 20));
    assert_eq!(hash(0, &[7; 1]), changed(0, 1));
    assert!(hash(10, &[7; 10]).is_ok());
}

#[test]
fn what_cannot_be_named_or_cut_is_refused_before_a_byte_is_read() {
    let refused = |name: &[u8], size| ContentHasher::new(name, size).err();
    assert_eq!(refused(b"..", 1), Some(MetaError::Name(NameError::Dots)));
    assert_eq!(refused(b"a/b", 1), Some(MetaError::Name(NameError::Separator)));
    assert_eq!(refused(b"f", u64::MAX), Some(MetaError::TooLarge));
    assert_eq!(refused(b"f", 1 << 50), Some(MetaError::TooManyPieces));
    for length in [0, 8192, 49152] {
        assert!(ContentHasher::with_piece_length(b"f", 1, length).is_err());
    }
}

#[test]
fn companions_must_describe_one_content() {
    let (a, b) = (made(b"a", &[b"12"]), made(b"b", &[b"12"]));
    let longer = made(b"a", &[b"123"]);
    let join = |v1: &Content, v2: &Content| {
        let (v1, v2) = (&v1.v1.as_ref().unwrap().info, &v2.v2.as_ref().unwrap().info);
        Content::from_parts(Some(v1), Some(v2), None)
    };
    assert_eq!(join(&a, &a), Ok(a.clone()));
    assert_eq!(join(&a, &b), Err(MetaError::Disagree("names")));
    assert_eq!(join(&a, &longer), Err(MetaError::Disagree("sizes")));
    let mut other_grid = ContentHasher::with_piece_length(b"a", 2, 32768).unwrap();
    other_grid.update(b"12");
    let other_grid = other_grid.finish().unwrap();
    assert_eq!(join(&a, &other_grid), Err(MetaError::Disagree("piece lengths")));
    // Each part in its own place.
    let (v1, v2) = (&a.v1.as_ref().unwrap().info, &a.v2.as_ref().unwrap().info);
    assert_eq!(Content::from_parts(Some(v2), None, None), Err(MetaError::Missing("pieces")));
    assert_eq!(Content::from_parts(None, Some(v1), None), Err(MetaError::Missing("file tree")));
    assert_eq!(Content::from_parts(None, None, None), Err(MetaError::Missing("info")));
}

#[test]
fn a_layer_that_comes_later_must_fold_to_the_root() {
    let whole = made(b"f", &[&bytes(70_000, 3)]);
    let v2 = whole.v2.as_ref().unwrap();
    let mut bare = Content::from_info(&v2.info, None).unwrap();
    let (root, layer) = (v2.trees.files()[0].root, v2.trees.nodes());
    let lacking = |bare: &Content| bare.v2.as_ref().unwrap().trees.lacking().count();
    assert_eq!((lacking(&bare), bare.trees(), bare.expected(0)), (1, None, None));
    assert_eq!((bare.piece_layers(), bare.write_torrent_v2(&[])), (None, None));
    let mut wrong = layer.to_vec();
    wrong[4].0[0] ^= 1;
    assert!(bare.set_layer(root, &wrong).is_err());
    assert!(bare.set_layer(root, &layer[..4]).is_err());
    assert!(bare.set_layer(Hash32([7; 32]), layer).is_err());
    assert_eq!((bare.set_layer(root, layer), lacking(&bare)), (Ok(()), 0));
    assert_eq!((bare.v2.as_ref(), bare.v1.as_ref()), (Some(v2), None));
}

#[test]
fn trackers_are_written_each_in_a_tier_of_its_own() {
    let content = made(b"f", &[b"x"]);
    let torrent = content.write_torrent_v1(&["udp://a:1".into(), "udp://b:2".into()]).unwrap();
    let start = b"d8:announce9:udp://a:113:announce-listll9:udp://a:1el9:udp://b:2ee4:infod";
    assert_eq!(&torrent[..start.len()], start);
    let none = content.write_torrent_v1(&[]).unwrap();
    assert!(none.starts_with(b"d4:infod"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_cutting_makes_the_content_of_the_definition(
        len in 0usize..200_000,
        shift in 0u32..4,
        seed: u64,
        cuts in prop::collection::vec(1usize..50_000, 0..12),
    ) {
        let (data, length) = (bytes(len, seed), 16384u32 << shift);
        let mut hasher = ContentHasher::with_piece_length(b"f", len as u64, length).unwrap();
        let mut rest = &data[..];
        for cut in cuts {
            let (part, after) = rest.split_at(cut.min(rest.len()));
            hasher.update(part);
            rest = after;
        }
        hasher.update(rest);
        let content = hasher.finish().unwrap();
        let (v1, v2) = (content.v1.as_ref().unwrap(), content.v2.as_ref().unwrap());
        let pieces: Vec<[u8; 20]> = data.chunks(length as usize).map(sha1).collect();
        prop_assert_eq!(&v1.hashes, &pieces);
        prop_assert!(len == 0 || v2.trees.files()[0].root == naive_root(&data));
        // The grid of a piece is a tree of its own, as long as the file has several.
        let full = data.chunks_exact(length as usize).enumerate();
        for (index, piece) in full.filter(|_| pieces.len() > 1) {
            prop_assert_eq!(v2.trees.node(index as u32), Some(naive_root(piece)));
        }
        let layers = content.piece_layers();
        let parts = Content::from_parts(Some(&v1.info), Some(&v2.info), layers.as_deref());
        prop_assert_eq!(parts, Ok(content));
    }
}
