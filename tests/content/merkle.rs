//! `merkle` and `invalid/merkle`: trees, padding, and hash requests with the answers a stock client
//! gave.

use crate::vectors::{Vector, folder, json, read};
use lmk::content::digest;
use lmk::content::geometry::Geometry;
use lmk::content::merkle::{Shape, fold, pad};
use lmk::content::metainfo::Content;
use lmk::content::proof::{HashRange, Tree, verify};
use lmk::core::fault::Blame;
use lmk::core::id::Hash32;

fn leaves(data: &[u8]) -> Vec<Hash32> {
    let mut leaves = Vec::new();
    digest::leaves(data, &mut leaves);
    leaves
}

/// The tree of a torrent of the vectors, and the leaves of its file where a piece is not one leaf.
fn tree_of(torrent: &str) -> (Tree, Vec<Hash32>) {
    if torrent == "multi.hybrid" {
        // The requests are for its file `sub/d.bin`, which is within one piece.
        let data = read("data/multi/sub/d.bin");
        let shape = Shape::of(&Geometry::new(data.len() as u64, 32768).unwrap()).unwrap();
        let leaves = leaves(&data);
        return (Tree::new(shape, &[shape.piece_node(&leaves)]).unwrap(), leaves);
    }
    let content = Content::from_torrent(&read(&format!("metainfo/{torrent}.torrent"))).unwrap();
    let leaves = if torrent == "big513.v2" { Vec::new() } else { leaves(&read("data/a.bin")) };
    let trees = content.trees().unwrap();
    (trees.tree(&trees.files()[0]).unwrap(), leaves)
}

/// One hash message: the numbers after length and id, and the hashes.
fn message(bytes: &[u8]) -> (Hash32, HashRange, Vec<Hash32>) {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let range =
        HashRange { base: number(37), index: number(41), length: number(45), proof: number(49) };
    let hashes = bytes[53..].chunks(32).map(|h| Hash32(h.try_into().unwrap())).collect();
    (Hash32(bytes[5..37].try_into().unwrap()), range, hashes)
}

fn answer(tree: &Tree, leaves: &[Hash32], range: &HashRange) -> Option<Vec<Hash32>> {
    let per_piece = tree.shape().leaves_per_piece() as usize;
    let chunks: Vec<&[Hash32]> = leaves.chunks(per_piece).collect();
    tree.answer(range, |piece| chunks.get(piece as usize).map(|leaves| leaves.to_vec()))
}

#[test]
fn padding_is_what_the_vectors_list() {
    let list = json("merkle/pad_hashes.json");
    let list = list.as_array().unwrap();
    for line in list {
        assert_eq!(line["hash"], pad(line["layer"].as_u64().unwrap() as u8).to_string());
    }
    assert_eq!(list.len(), 21);
}

#[test]
fn every_node_of_every_tree_is_what_the_vectors_list() {
    let (mut trees, mut nodes) = (0, 0);
    for tree in json("merkle/trees.json").as_array().unwrap() {
        let data = read(&format!("data/{}", tree["file"].as_str().unwrap()));
        let leaves = leaves(&data);
        for (layer, row) in tree["layers"].as_array().unwrap().iter().enumerate() {
            for (index, node) in row.as_array().unwrap().iter().enumerate() {
                let under = 1 << layer;
                let first = (index * under).min(leaves.len());
                let end = (first + under).min(leaves.len());
                let found = fold(&leaves[first..end], 0, layer as u8);
                assert_eq!(*node, found.to_string(), "{} {layer} {index}", tree["file"]);
                nodes += 1;
            }
        }
        trees += 1;
    }
    assert_eq!((trees, nodes), (5, 15 + 1 + 1 + 7 + 3));
}

#[test]
fn every_request_is_answered_as_the_stock_client_did() {
    let (mut hashes, mut rejects, mut unaligned) = (0, 0, 0);
    let all = folder("merkle");
    for request in all.iter().filter(|vector| vector.name.ends_with("_req.bin")) {
        let (tree, leaves) = tree_of(request.expect("torrent").as_str().unwrap());
        let (root, range, _) = message(&request.bytes);
        let shape = *tree.shape();
        assert_eq!(tree.node(shape.root_layer.into(), 0), Some(root), "{}", request.name);
        assert_eq!(*request.expect("tree_layers"), shape.root_layer);
        let ours = answer(&tree, &leaves, &range);
        if range.index % range.length != 0 {
            // The stock client serves it; BEP 52 wants `index` to be a multiple of `length`.
            assert_eq!(ours, None);
            unaligned += 1;
        } else if *request.expect("answer") == "hash_reject" {
            assert_eq!(ours, None, "{}", request.name);
            rejects += 1;
        } else {
            let answer_name = request.name.replace("_req.bin", "_hashes.bin");
            let theirs = all.iter().find(|vector| vector.name == answer_name).unwrap();
            let (_, range, theirs) = message(&theirs.bytes);
            assert_eq!(ours.as_deref(), Some(&theirs[..]), "{}", request.name);
            assert_eq!(*request.expect("uncles"), range.uncles());
            check_proof(request, &shape, root, &range, &theirs);
            hashes += 1;
        }
    }
    assert_eq!((hashes, rejects, unaligned), (20, 4, 1));
}

/// An answer that reaches the root proves its nodes; one that ends below proves nothing with the
/// root alone, and is nobody's fault.
fn check_proof(
    request: &Vector,
    shape: &Shape,
    root: Hash32,
    range: &HashRange,
    hashes: &[Hash32],
) {
    let at_root = |layer: u32, _| (layer == u32::from(shape.root_layer)).then_some(root);
    let result = verify(shape, range, hashes, at_root);
    let beside_padding = range.length == 1 && result.is_ok();
    if *request.expect("anchors_to_root") == true || beside_padding {
        assert_eq!(result.as_deref(), Ok(&hashes[..range.length as usize]), "{}", request.name);
        for at in 0..hashes.len() {
            let mut altered = hashes.to_vec();
            altered[at].0[7] ^= 1;
            let fault = verify(shape, range, &altered, at_root).unwrap_err();
            assert_eq!(fault.blame, Blame::Peer);
        }
    } else {
        assert_eq!(result.unwrap_err().blame, Blame::Nobody, "{}", request.name);
    }
}

#[test]
fn the_one_node_past_512_is_proven_beside_its_padding() {
    let bytes = read("merkle/big513_v2_b0_i512_l1_p9_hashes.bin");
    let (tree, _) = tree_of("big513.v2");
    let (root, range, hashes) = message(&bytes);
    let at_root = |layer: u32, _| (layer == 10).then_some(root);
    assert_eq!(verify(tree.shape(), &range, &hashes, at_root).as_deref(), Ok(&hashes[..1]));
}

#[test]
fn invalid_requests_are_rejected_and_invalid_answers_fail() {
    let (mut requests, mut answers) = (0, 0);
    for vector in folder("invalid/merkle") {
        let (tree, leaves) = tree_of("a16k.v2");
        let shape = tree.shape();
        let file = vector.name.rsplit('/').next().unwrap();
        if vector.bytes.len() < 53 {
            // A matter of the message's length, not of what is in it.
            assert_eq!(file, "req_short.bin");
            continue;
        }
        let (root, range, hashes) = message(&vector.bytes);
        let at_root = |layer: u32, _| (layer == u32::from(shape.root_layer)).then_some(root);
        match file {
            "req_unknown_root.bin" => assert_ne!(tree.node(shape.root_layer.into(), 0), Some(root)),
            // Right in itself; only who asked for what can tell.
            "hashes_unsolicited.bin" => assert!(verify(shape, &range, &hashes, at_root).is_ok()),
            _ if file.starts_with("req_") => {
                assert_eq!(answer(&tree, &leaves, &range), None, "{file}");
                requests += 1;
            }
            _ => {
                let fault = verify(shape, &range, &hashes, at_root).expect_err(file);
                assert_eq!(fault.blame, Blame::Peer);
                answers += 1;
            }
        }
    }
    assert_eq!((requests, answers), (5, 3));
}
