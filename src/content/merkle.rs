//! Merkle arithmetic of BEP 52: padding hashes, folding, and where the piece layer stands.

use super::digest::parent;
use super::geometry::Geometry;
use crate::core::id::Hash32;
use crate::core::limits::BLOCK_BYTES;

/// The hash of a subtree of `layer` levels that lies wholly beyond the end of the file: 32 zero
/// bytes at the leaves, the parent of two such above.
pub fn pad(layer: u8) -> Hash32 {
    (0..layer).fold(Hash32([0; 32]), |below, _| parent(&below, &below))
}

/// The node `up` levels above `nodes`, which are the leftmost nodes of its subtree and stand at
/// `layer` (0 = leaves); the nodes that lack are padding. Nodes beyond the subtree do not count.
pub fn fold(nodes: &[Hash32], layer: u8, up: u8) -> Hash32 {
    let mut padding = pad(layer);
    let mut row = nodes.to_vec();
    for _ in 0..up {
        if row.len() > 1 {
            row = row_above(&row, &padding);
        } else if let Some(only) = row.first_mut() {
            *only = parent(only, &padding);
        }
        padding = parent(&padding, &padding);
    }
    row.first().copied().unwrap_or(padding)
}

/// As [`fold`], of nodes that come one after the other: memory grows with the levels alone.
pub fn fold_each(nodes: impl IntoIterator<Item = Hash32>, layer: u8, up: u8) -> Hash32 {
    // At each level the left node that waits for its sibling.
    let mut left: Vec<Option<Hash32>> = vec![None; usize::from(up)];
    for mut node in nodes {
        let mut waits = false;
        for place in &mut left {
            match place.take() {
                Some(sibling) => node = parent(&sibling, &node),
                None => {
                    *place = Some(node);
                    waits = true;
                    break;
                }
            }
        }
        if !waits {
            return node;
        }
    }
    let mut padding = pad(layer);
    let mut open: Option<Hash32> = None;
    for place in left {
        open = match (place, open) {
            (Some(left), right) => Some(parent(&left, &right.unwrap_or(padding))),
            (None, Some(left)) => Some(parent(&left, &padding)),
            (None, None) => None,
        };
        padding = parent(&padding, &padding);
    }
    open.unwrap_or(padding)
}

/// The row of parents of `row`; a last one without a sibling meets `padding`.
pub fn row_above(row: &[Hash32], padding: &Hash32) -> Vec<Hash32> {
    row.chunks(2)
        .filter_map(|pair| {
            let left = pair.first()?;
            Some(parent(left, pair.get(1).unwrap_or(padding)))
        })
        .collect()
}

/// Levels a tree over `leaves` nodes needs above them.
pub fn levels_above(leaves: u64) -> u8 {
    (u64::BITS - leaves.saturating_sub(1).leading_zeros()) as u8
}

/// Where the layers of one file's tree stand, counted from the leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Layer of the nodes that cover one piece each; of the root when the file has one piece.
    pub piece_layer: u8,
    /// Layer of the root.
    pub root_layer: u8,
    /// Leaves that hold data.
    pub leaves: u64,
    /// Nodes of the piece layer that cover data.
    pub pieces: u32,
}

impl Shape {
    /// The tree of a content whose piece length is a power of two of at least 16 KiB; `None` for
    /// other grids and for an empty file, which has no tree.
    pub fn of(geometry: &Geometry) -> Option<Shape> {
        let length = geometry.piece_length();
        if !length.is_power_of_two() || length < BLOCK_BYTES || geometry.size() == 0 {
            return None;
        }
        let leaves = geometry.blocks();
        let root_layer = levels_above(leaves);
        // A file within one piece has a tree only as tall as its own blocks need.
        let piece_layer = root_layer.min(levels_above(u64::from(length / BLOCK_BYTES)));
        Some(Shape { piece_layer, root_layer, leaves, pieces: geometry.pieces() })
    }

    /// The node of a piece from the leaf hashes of its blocks.
    pub fn piece_node(&self, leaves: &[Hash32]) -> Hash32 {
        fold(leaves, 0, self.piece_layer)
    }

    /// The root from the nodes of all pieces.
    pub fn root(&self, piece_nodes: impl IntoIterator<Item = Hash32>) -> Hash32 {
        fold_each(piece_nodes, self.piece_layer, self.root_layer.saturating_sub(self.piece_layer))
    }

    /// Nodes of the padded `layer`; 0 above the root.
    pub fn width(&self, layer: u8) -> u64 {
        self.root_layer.checked_sub(layer).map_or(0, |up| 1 << up.min(63))
    }

    /// Leaves under one node of the piece layer, padding included.
    pub fn leaves_per_piece(&self) -> u64 {
        1 << self.piece_layer.min(63)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::digest;
    use proptest::prelude::*;

    /// Every node of the padded tree, row by row from the leaves: the definition, written plainly.
    fn naive(leaves: &[Hash32]) -> Vec<Vec<Hash32>> {
        let mut row = leaves.to_vec();
        row.resize(leaves.len().max(1).next_power_of_two(), Hash32([0; 32]));
        let mut rows = vec![row];
        while rows.last().unwrap().len() > 1 {
            let above = rows.last().unwrap().chunks(2).map(|p| parent(&p[0], &p[1])).collect();
            rows.push(above);
        }
        rows
    }

    proptest! {
        #[test]
        fn pieces_fold_to_the_root_of_the_whole_tree(
            blocks in 1u64..150, rest in 0u64..16384, shift in 0u32..6,
        ) {
            let size = blocks * 16384 - rest;
            let geometry = Geometry::new(size, 16384 << shift).unwrap();
            let shape = Shape::of(&geometry).unwrap();
            let leaf = |i: u64| digest::sha256(&i.to_be_bytes());
            let leaves: Vec<Hash32> = (0..blocks).map(leaf).collect();
            let rows = naive(&leaves);
            prop_assert_eq!(rows.len() as u8, shape.root_layer + 1);
            let nodes: Vec<Hash32> =
                leaves.chunks(1 << shift).map(|piece| shape.piece_node(piece)).collect();
            prop_assert_eq!(nodes.len() as u32, shape.pieces);
            for up in 0..=shape.root_layer {
                prop_assert_eq!(fold_each(leaves.iter().copied(), 0, up), fold(&leaves, 0, up));
            }
            prop_assert_eq!(&nodes[..], &rows[shape.piece_layer as usize][..nodes.len()]);
            prop_assert_eq!(shape.root(nodes.iter().copied()), rows.last().unwrap()[0]);
            for layer in 0..=shape.root_layer {
                prop_assert_eq!(shape.width(layer), rows[layer as usize].len() as u64);
            }
        }
    }

    #[test]
    fn grids_without_a_tree_have_no_shape() {
        for (size, length) in [(0, 16384), (1, 8192), (1, 49152)] {
            assert_eq!(Shape::of(&Geometry::new(size, length).unwrap()), None);
        }
        assert_eq!(fold(&[], 2, 3), pad(5));
        assert_eq!(fold_each([], 2, 3), pad(5));
    }
}
