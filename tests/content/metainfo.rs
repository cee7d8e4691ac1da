//! `metainfo` and `invalid/metainfo`, and contents made from the data the vectors were made from.

use crate::vectors::{folder, read};
use lmk::content::digest::sha256;
use lmk::content::error::MetaError;
use lmk::content::metainfo::{Content, ContentHasher};
use lmk::content::trees::Trees;
use lmk::core::id::InfoHash;
use lmk::core::name::NameError;

#[test]
fn every_valid_torrent_has_the_hashes_of_the_index() {
    let mut read = 0;
    for vector in folder("metainfo") {
        let content = Content::from_torrent(&vector.bytes);
        let content = content.unwrap_or_else(|why| panic!("{}: {why}", vector.name));
        assert_eq!(content.files.is_folder(), vector.name.contains("/multi."));
        let hash = |key| vector.expect(key).as_str().map(str::to_owned);
        let (v1, v2) = (&content.v1, &content.v2);
        assert_eq!(v1.as_ref().map(|v1| v1.info_hash.to_string()), hash("infohash_v1"));
        assert_eq!(v2.as_ref().map(|v2| v2.info_hash.to_string()), hash("infohash_v2"));
        assert_eq!(
            v2.as_ref().map(|v2| v2.info_hash.truncated().to_string()),
            hash("infohash_v2_truncated")
        );
        let number = |key| vector.expect(key).as_u64();
        assert_eq!(Some(u64::from(content.geometry.piece_length())), number("piece_length"));
        assert_eq!(hash("torrent_name").unwrap().as_bytes(), content.name);
        if let Some(count) = number("num_pieces") {
            assert_eq!(u64::from(content.geometry.pieces()), count);
        }
        let (at, len) = (number("info_offset").unwrap(), number("info_len").unwrap());
        let raw = &vector.bytes[at as usize..(at + len) as usize];
        if let Some(v1) = v1 {
            assert_eq!(v1.info, raw);
            let hashes: Vec<String> = v1.hashes.iter().map(|h| InfoHash(*h).to_string()).collect();
            assert_eq!(serde_json::json!(hashes), *vector.expect("pieces_v1"));
            assert_eq!(Some(content.geometry.size()), number("total_length_v1"));
        }
        if let Some(v2) = v2 {
            assert_eq!(v2.info, raw);
            check_trees(&v2.trees, vector.expect("files_v2").as_array().unwrap());
        }
        assert_eq!(content.is_hybrid(), vector.name.contains(".hybrid."));
        assert_eq!(content.private, vector.name.contains(".private."));
        read += 1;
    }
    assert_eq!(read, 20);
}

/// The trees of the files that the index lists, empty ones among them.
fn check_trees(trees: &Trees, files: &[serde_json::Value]) {
    let full: Vec<_> = files.iter().filter(|file| file["length"] != 0).collect();
    assert_eq!(full.len(), trees.files().len());
    for (file, tree) in full.iter().zip(trees.files()) {
        assert_eq!(file["pieces_root"], tree.root.to_string());
        let layer = trees.layer(tree).unwrap();
        if let Some(expected) = file.get("piece_layer") {
            let nodes: Vec<String> = layer.iter().map(|h| h.to_string()).collect();
            assert_eq!(*expected, serde_json::json!(nodes));
        }
        if let Some(count) = file.get("piece_layer_hashes") {
            assert_eq!(*count, layer.len());
            let bytes: Vec<u8> = layer.iter().flat_map(|h| h.0).collect();
            assert_eq!(file["piece_layer_sha256"], sha256(&bytes).to_string());
        }
    }
}

/// The rule each invalid vector breaks, as we say it.
fn right_reason(name: &str) -> MetaError {
    use MetaError::*;
    match name {
        "no_info" => Missing("info"),
        "info_is_list" => Bad("info", "is not a dictionary"),
        "root_is_list" => Bad("torrent", "is not a dictionary"),
        "no_name" => Missing("name"),
        "name_empty" => Name(NameError::Empty),
        "path_element_empty" => Element("path", NameError::Empty),
        "name_dotdot" | "v2_dotdot" => Name(NameError::Dots),
        "symlink_escape" => Element("symlink path", NameError::Dots),
        "name_abs" | "name_backslash" => Name(NameError::Separator),
        "path_slash_in_element" => Element("path", NameError::Separator),
        "path_element_too_long" => Element("path", NameError::TooLong),
        "no_piece_length" => Missing("piece length"),
        "piece_length_zero" => Bad("piece length", "must be positive"),
        "piece_length_string" => Bad("piece length", "is not a number of bytes below 4 GiB"),
        "no_pieces" => Missing("pieces"),
        "pieces_too_few" | "pieces_too_many" => Bad("pieces", "has not one hash for each piece"),
        "length_negative" | "length_string" | "v2_length_negative" => {
            Bad("length", "is not a number of bytes")
        }
        "length_and_files" => Bad("files", "stands beside `length`"),
        "files_empty" => Bad("files", "is empty"),
        "path_empty_list" => Bad("path", "is not a list of path elements"),
        "path_element_int" => Bad("path", "has a non-string element"),
        "path_duplicate" | "path_file_as_dir" => {
            Bad("files", "has two entries that would be the same file")
        }
        "v2_piece_length_not_pow2" => {
            Bad("piece length", "is not a power of two of at least 16384")
        }
        "v2_root_short" => Bad("pieces root", "is not 32 bytes"),
        "v2_root_zero" => Bad("pieces root", "is all zero"),
        "v2_empty_file_with_root" => Bad("pieces root", "is given for an empty file"),
        "v2_file_with_siblings" => Bad("file tree", "has a file with siblings inside"),
        "v2_no_piece_layers" => Missing("piece layers"),
        "v2_piece_layer_wrong_hash" => Layers("a layer does not fold to its root"),
        "v2_piece_layer_short" | "v2_piece_layer_padded" | "v2_piece_layer_wrong_layer" => {
            Layers("a layer has not one hash for each piece")
        }
        "v2_piece_layer_not_32" => Layers("a layer is not a multiple of 32 bytes"),
        "v2_piece_layer_small_file" => Layers("a layer belongs to no file of several pieces"),
        "hybrid_length_mismatch" => Disagree("sizes"),
        "hybrid_name_mismatch" | "hybrid_order_differs" => Disagree("names"),
        "hybrid_missing_pad" | "hybrid_pad_wrong_size" => Disagree("alignment"),
        other => panic!("{other} has no expected reason here"),
    }
}

#[test]
fn every_invalid_torrent_is_refused_for_its_own_reason() {
    let (mut refused, mut by_data) = (0, 0);
    for vector in folder("invalid/metainfo") {
        let file = vector.name.rsplit('/').next().unwrap();
        let name = file.strip_suffix(".torrent").unwrap();
        let result = Content::from_torrent(&vector.bytes);
        match name {
            "hybrid_v1_piece_hash_conflict" => {
                // Only the data can tell: both hashes of piece 0 cannot hold.
                let content = result.unwrap();
                let data = read("data/a.bin");
                let true_one = made("a.bin", &data, 32768);
                assert_ne!(content.v1.unwrap().hashes[0], true_one.v1.unwrap().hashes[0]);
                assert_eq!(content.v2.unwrap().trees, true_one.v2.unwrap().trees);
                by_data += 1;
                continue;
            }
            "info_unsorted" | "trailing_garbage" | "v2_tree_too_deep" => {
                assert!(matches!(result, Err(MetaError::Bencode(_))), "{name}: {result:?}");
            }
            _ => assert_eq!(result, Err(right_reason(name)), "{name}"),
        }
        refused += 1;
    }
    assert_eq!((refused, by_data), (48, 1));
}

fn made(name: &str, data: &[u8], piece_length: u32) -> Content {
    let size = data.len() as u64;
    let mut hasher = ContentHasher::with_piece_length(name.as_bytes(), size, piece_length).unwrap();
    hasher.update(data);
    hasher.finish().unwrap()
}

#[test]
fn one_read_makes_the_identities_the_reference_tools_make() {
    let mut compared = 0;
    for (name, file, piece_length) in [
        ("a", "a.bin", 32768),
        ("a16k", "a.bin", 16384),
        ("small", "small.bin", 16384),
        ("block", "block.bin", 16384),
        ("exact", "exact.bin", 32768),
    ] {
        let content = made(file, &read(&format!("data/{file}")), piece_length);
        let v1 = Content::from_torrent(&read(&format!("metainfo/{name}.v1.torrent"))).unwrap();
        let v2 = Content::from_torrent(&read(&format!("metainfo/{name}.v2.torrent"))).unwrap();
        assert_eq!(Content::join(v1.clone(), v2.clone()), Ok(content.clone()), "{name}");
        let announce = ["udp://127.0.0.1:6969/announce".to_owned()];
        let back = Content::from_torrent(&content.write_torrent_v1(&announce).unwrap());
        assert_eq!(back, Ok(v1));
        let back = Content::from_torrent(&content.write_torrent_v2(&[]).unwrap());
        assert_eq!(back, Ok(v2));
        compared += 1;
    }
    assert_eq!(compared, 5);
}

#[test]
fn torrents_cut_short_anywhere_are_refused() {
    for vector in folder("metainfo").iter().filter(|vector| vector.bytes.len() < 2000) {
        for len in 0..vector.bytes.len() {
            assert!(Content::from_torrent(&vector.bytes[..len]).is_err(), "{} {len}", vector.name);
        }
    }
}
