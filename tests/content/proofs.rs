//! Hash requests against a tree written out in full.

use lmk::content::digest::{parent, sha256};
use lmk::content::geometry::Geometry;
use lmk::content::merkle::Shape;
use lmk::content::proof::{HashRange, Tree, verify};
use lmk::core::fault::Blame;
use lmk::core::id::Hash32;
use proptest::prelude::*;

/// A file's tree by its definition: every node, padding included, layer by layer from the leaves.
struct Naive {
    shape: Shape,
    leaves: Vec<Hash32>,
    rows: Vec<Vec<Hash32>>,
}

impl Naive {
    fn new(blocks: u64, shift: u32) -> Naive {
        let shape = Shape::of(&Geometry::new(blocks * 16384 - 5, 16384 << shift).unwrap()).unwrap();
        let leaves: Vec<Hash32> = (0..blocks).map(|i| sha256(&i.to_be_bytes())).collect();
        let mut row = leaves.clone();
        row.resize(leaves.len().next_power_of_two(), Hash32([0; 32]));
        let mut rows = vec![row];
        while rows[rows.len() - 1].len() > 1 {
            let row = &rows[rows.len() - 1];
            rows.push(row.chunks(2).map(|pair| parent(&pair[0], &pair[1])).collect());
        }
        Naive { shape, leaves, rows }
    }

    fn tree(&self) -> Tree {
        let row = &self.rows[self.shape.piece_layer as usize];
        Tree::new(self.shape, &row[..self.shape.pieces as usize]).unwrap()
    }

    fn leaves_of(&self, piece: u32) -> Option<Vec<Hash32>> {
        let per_piece = self.shape.leaves_per_piece() as usize;
        self.leaves.chunks(per_piece).nth(piece as usize).map(<[Hash32]>::to_vec)
    }

    /// The answer by the words of BEP 52: the nodes, then the sibling of each ancestor asked for
    /// that does not lie inside the range.
    fn answer(&self, range: &HashRange) -> Vec<Hash32> {
        let (base, first, length) =
            (range.base as usize, range.index as usize, range.length as usize);
        let mut hashes = self.rows[base][first..first + length].to_vec();
        for layer in base + 1..=base + range.proof as usize {
            let inside = 1 << (layer - base) < length;
            let node = first >> (layer - base);
            if !inside {
                hashes.push(self.rows[layer][node ^ 1]);
            }
        }
        hashes
    }

    fn known(&self, from: u32) -> impl Fn(u32, u64) -> Option<Hash32> + '_ {
        move |layer, index| {
            (layer >= from).then(|| self.rows.get(layer as usize)?.get(index as usize).copied())?
        }
    }
}

proptest! {
    #[test]
    fn every_request_inside_the_tree_is_answered_and_proven(
        blocks in 1u64..300, shift in 0u32..6,
        base in 0u32..9, index: u32, m in 0u32..9, proof in 0u32..9,
    ) {
        let naive = Naive::new(blocks, shift);
        let (tree, shape) = (naive.tree(), &naive.shape);
        let width = shape.width(base as u8) as u32;
        let first = (index % (width + 2)) >> m << m;
        let range = HashRange { base, index: first, length: 1 << m, proof };
        let answer = tree.answer(&range, |piece| naive.leaves_of(piece));
        let fits = base < u32::from(shape.root_layer)
            && range.index + range.length <= width
            && base + proof < u32::from(shape.root_layer);
        prop_assert_eq!(answer.is_some(), fits);
        let Some(answer) = answer else { return Ok(()) };
        prop_assert_eq!(&answer, &naive.answer(&range));
        prop_assert_eq!(answer.len() as u32, range.hashes());
        // One node without its sibling proves nothing unless the proof is the node itself.
        if m > 0 || proof == 0 {
            let nodes = &answer[..range.length as usize];
            let proven = verify(shape, &range, &answer, naive.known(0));
            prop_assert_eq!(proven.as_deref(), Ok(nodes));
            let mut altered = answer.clone();
            let at = index as usize % altered.len();
            altered[at].0[31] ^= 0x80;
            let fault = verify(shape, &range, &altered, naive.known(0)).unwrap_err();
            prop_assert_eq!(fault.blame, Blame::Peer);
        }
    }

    #[test]
    fn no_request_makes_the_tree_panic(
        blocks in 1u64..300, shift in 0u32..6,
        base: u32, index: u32, length: u32, m in 0u32..32, proof: u32, small: bool,
    ) {
        let naive = Naive::new(blocks, shift);
        let (base, proof) = if small { (base % 12, proof % 12) } else { (base, proof) };
        for length in [length, 1 << m] {
            let range = HashRange { base, index, length, proof };
            let _ = naive.tree().answer(&range, |piece| naive.leaves_of(piece));
            let _ = verify(&naive.shape, &range, &naive.leaves, naive.known(0));
            let _ = (range.uncles(), range.hashes());
        }
    }

    #[test]
    fn the_layer_is_fetched_with_the_root_alone_and_leaves_with_the_layer(
        blocks in 1u64..3000, shift in 0u32..6, piece: u32,
    ) {
        let naive = Naive::new(blocks, shift);
        let (tree, shape) = (naive.tree(), &naive.shape);
        let mut layer = Vec::new();
        for range in HashRange::layer_requests(shape) {
            let answer = tree.answer(&range, |_| None).unwrap();
            let proven = verify(shape, &range, &answer, naive.known(shape.root_layer.into()));
            layer.extend(proven.unwrap());
        }
        if shape.pieces > 1 {
            layer.truncate(shape.pieces as usize);
            prop_assert_eq!(Tree::new(*shape, &layer), Some(tree.clone()));
        }
        let piece = piece % shape.pieces;
        if let Some(range) = HashRange::leaves_of(shape, piece) {
            let answer = tree.answer(&range, |piece| naive.leaves_of(piece)).unwrap();
            let proven = verify(shape, &range, &answer, |layer, index| tree.node(layer, index));
            let leaves = naive.leaves_of(piece).unwrap();
            prop_assert_eq!(&proven.unwrap()[..leaves.len()], &leaves[..]);
        } else {
            prop_assert_eq!(shape.leaves_per_piece(), 1);
        }
    }
}

#[test]
fn leaves_that_do_not_fold_to_their_piece_are_never_sent() {
    let naive = Naive::new(40, 3);
    let range = HashRange { base: 0, index: 8, length: 8, proof: 0 };
    assert_eq!(naive.tree().needs(&range), Some(1..2));
    assert_eq!(naive.tree().answer(&range, |_| naive.leaves_of(2)), None);
    assert_eq!(naive.tree().answer(&range, |_| None), None);
    assert!(naive.tree().answer(&range, |piece| naive.leaves_of(piece)).is_some());
}

#[test]
fn a_request_that_would_read_many_pieces_is_rejected() {
    let naive = Naive::new(2048, 1);
    let wide = HashRange { base: 0, index: 0, length: 1024, proof: 0 };
    assert_eq!(naive.tree().needs(&wide), None);
    assert_eq!(naive.tree().needs(&HashRange { length: 512, ..wide }), Some(0..256));
    assert_eq!(naive.tree().needs(&HashRange { base: 1, ..wide }), Some(0..0));
}

#[test]
fn one_node_without_its_sibling_proves_nothing_and_nobody_is_to_blame() {
    let naive = Naive::new(5, 0);
    for (index, proven) in [(0, false), (1, false), (4, true), (5, false)] {
        let range = HashRange { base: 0, index, length: 1, proof: 2 };
        let answer = naive.tree().answer(&range, |_| None).unwrap();
        match verify(&naive.shape, &range, &answer, naive.known(3)) {
            Ok(nodes) => assert!(proven && nodes == answer[..1], "{index}"),
            Err(fault) => assert!(!proven && fault.blame == Blame::Nobody, "{index}"),
        }
    }
}
