//! Hash requests of BEP 52: answering them from the piece layer, and proving what others answer.
//!
//! Layers count from the leaves (0) to the root. A range of 2^m nodes at `base` is followed by the
//! siblings of its ancestors, bottom-up, from the root of the range itself up to `proof` layers
//! above `base`; layers inside the range are implied.

use super::digest::parent;
use super::merkle::{Shape, fold, pad, row_above};
use crate::core::fault::Fault;
use crate::core::id::Hash32;
use std::ops::Range;

/// Longest range asked for by us and answered from data of several pieces, nodes (BEP 52).
pub const RANGE_NODES: u32 = 512;
/// Longest range taken in a request, nodes.
pub const RANGE_NODES_MAX: u32 = 8192;

/// The numbers of a hash request, as they stand on the wire after the root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HashRange {
    /// Layer of the nodes asked for.
    pub base: u32,
    /// First node of the range in its layer; a multiple of `length`.
    pub index: u32,
    /// Number of nodes, a power of two.
    pub length: u32,
    /// Layers above `base` whose proof nodes are asked for.
    pub proof: u32,
}

impl HashRange {
    /// The request for all leaves of one piece, which the node of that piece proves; `None` when a
    /// piece is one leaf, and its node known is the leaf known.
    pub fn leaves_of(shape: &Shape, piece: u32) -> Option<HashRange> {
        let length = u32::try_from(shape.leaves_per_piece()).ok()?;
        let index = piece.checked_mul(length)?;
        let range = HashRange { base: 0, index, length, proof: 0 };
        (length > 1 && piece < shape.pieces).then_some(range)
    }

    /// The requests that together bring the piece layer, each with its proof up to the root; none
    /// when the root is all there is.
    pub fn layer_requests(shape: &Shape) -> impl Iterator<Item = HashRange> + use<> {
        let base = u32::from(shape.piece_layer);
        let above = u32::from(shape.root_layer).saturating_sub(base);
        let length = 1u32 << above.min(RANGE_NODES.ilog2());
        let end = if above == 0 { 0 } else { shape.pieces };
        (0..end).step_by(length as usize).map(move |index| HashRange {
            base,
            index,
            length,
            proof: above - 1,
        })
    }

    /// Whether the range exists in a tree of that shape and its proof stays below the root.
    pub fn is_in(&self, shape: &Shape) -> bool {
        let root = u32::from(shape.root_layer);
        let Some(above) = root.checked_sub(self.base) else { return false };
        self.length.is_power_of_two()
            && self.length <= RANGE_NODES_MAX
            && self.index.is_multiple_of(self.length)
            && u64::from(self.index) + u64::from(self.length) <= shape.width(self.base as u8)
            && self.proof < above
    }

    /// Layers inside the range: its own root stands so many above `base`.
    fn height(&self) -> u32 {
        self.length.max(1).ilog2()
    }

    /// Layers whose proof nodes are sent.
    fn uncle_layers(&self) -> Range<u32> {
        let first = self.base.saturating_add(self.height().max(1));
        first..self.base.saturating_add(self.proof).saturating_add(1).max(first)
    }

    /// Proof nodes that follow the range.
    pub fn uncles(&self) -> u32 {
        let layers = self.uncle_layers();
        layers.end - layers.start
    }

    /// Hashes in the answer.
    pub fn hashes(&self) -> u32 {
        self.length.saturating_add(self.uncles())
    }

    /// Index at `layer` of the node above the range.
    fn ancestor(&self, layer: u32) -> u64 {
        u64::from(self.index) >> layer.saturating_sub(self.base).min(63)
    }
}

/// A file's tree from the piece layer to the root: 64 bytes a piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree {
    shape: Shape,
    /// Nodes that cover data, layer by layer from the piece layer.
    rows: Vec<Vec<Hash32>>,
    /// Padding of every layer.
    pads: Vec<Hash32>,
}

/// The rows of one piece below its node, leaves first.
type PieceRows = Vec<Vec<Hash32>>;

impl Tree {
    /// The tree over the nodes of all pieces; `None` if that is not their number. Whether it ends
    /// at the right root is for the caller to ask.
    pub fn new(shape: Shape, piece_nodes: &[Hash32]) -> Option<Tree> {
        if piece_nodes.len() != shape.pieces as usize {
            return None;
        }
        let pads: Vec<Hash32> = (0..=shape.root_layer).map(pad).collect();
        let mut rows = vec![piece_nodes.to_vec()];
        for padding in pads.get(usize::from(shape.piece_layer)..)?.iter() {
            let row = rows.last()?;
            if row.len() > 1 {
                rows.push(row_above(row, padding));
            }
        }
        Some(Tree { shape, rows, pads })
    }

    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The node at `layer` of that index, padding included; `None` below the piece layer and
    /// outside the tree.
    pub fn node(&self, layer: u32, index: u64) -> Option<Hash32> {
        let row = self.rows.get(layer.checked_sub(self.shape.piece_layer.into())? as usize)?;
        self.node_of(row, layer, index)
    }

    fn node_of(&self, row: &[Hash32], layer: u32, index: u64) -> Option<Hash32> {
        if index >= self.shape.width(u8::try_from(layer).ok()?) {
            return None;
        }
        let node = usize::try_from(index).ok().and_then(|index| row.get(index));
        node.or_else(|| self.pads.get(layer as usize)).copied()
    }

    /// The pieces whose leaves are needed to answer: none for ranges at or above the piece layer.
    /// `None` means hash reject: outside the tree, or more data to read than a request is worth.
    pub fn needs(&self, range: &HashRange) -> Option<Range<u32>> {
        if !range.is_in(&self.shape) {
            return None;
        }
        let piece_layer = u32::from(self.shape.piece_layer);
        let Some(below) = piece_layer.checked_sub(range.base).filter(|below| *below > 0) else {
            return Some(0..0);
        };
        let last = range.index + (range.length - 1);
        let pieces = (range.index >> below)..(last >> below) + 1;
        let leaves = u64::from(range.length) << range.base.min(31);
        if pieces.len() > 1 && leaves > u64::from(RANGE_NODES) {
            return None;
        }
        Some(pieces.start.min(self.shape.pieces)..pieces.end.min(self.shape.pieces))
    }

    /// The hashes that answer `range`, or `None` for hash reject. `leaves_of` gives the leaf hashes
    /// of one of the pieces [`Tree::needs`] names; they are taken only if they fold to its node.
    pub fn answer(
        &self,
        range: &HashRange,
        mut leaves_of: impl FnMut(u32) -> Option<Vec<Hash32>>,
    ) -> Option<Vec<Hash32>> {
        let pieces = self.needs(range)?;
        let mut below = Vec::new();
        for piece in pieces.clone() {
            below.push(self.rows_of(piece, leaves_of(piece)?)?);
        }
        let node = |layer: u32, index: u64| self.node_in(&pieces, &below, layer, index);
        let mut hashes = Vec::with_capacity(range.hashes() as usize);
        for step in 0..range.length {
            hashes.push(node(range.base, u64::from(range.index) + u64::from(step))?);
        }
        for layer in range.uncle_layers() {
            hashes.push(node(layer, range.ancestor(layer) ^ 1)?);
        }
        Some(hashes)
    }

    /// A node of any layer, those below the piece layer from the rows of `pieces`.
    fn node_in(
        &self,
        pieces: &Range<u32>,
        below: &[PieceRows],
        layer: u32,
        index: u64,
    ) -> Option<Hash32> {
        let Some(depth) = u32::from(self.shape.piece_layer).checked_sub(layer) else {
            return self.node(layer, index);
        };
        if depth == 0 {
            return self.node(layer, index);
        }
        let piece = index >> depth;
        if piece >= u64::from(self.shape.pieces) {
            return self.node_of(&[], layer, index);
        }
        let rows = below.get(usize::try_from(piece.checked_sub(pieces.start.into())?).ok()?)?;
        let within = (index - (piece << depth)) as usize;
        let row = rows.get(layer as usize)?;
        row.get(within).or_else(|| self.pads.get(layer as usize)).copied()
    }

    fn rows_of(&self, piece: u32, leaves: Vec<Hash32>) -> Option<PieceRows> {
        let per_piece = self.shape.leaves_per_piece();
        let left = self.shape.leaves.saturating_sub(u64::from(piece) * per_piece);
        if leaves.len() as u64 != left.min(per_piece) {
            return None;
        }
        let mut rows = vec![leaves];
        for padding in self.pads.get(..usize::from(self.shape.piece_layer))? {
            let above = row_above(rows.last()?, padding);
            rows.push(above);
        }
        let top = rows.last()?.first().copied();
        (top == self.node(self.shape.piece_layer.into(), piece.into())).then_some(rows)
    }
}

/// Proves the answer to our own request `range`: the hashes must fold, with their uncles, to a node
/// that `known` has for (layer, index): the root, or a piece node proven before. Gives the nodes of
/// the range, padding included. Nothing is kept of an answer that fails.
pub fn verify(
    shape: &Shape,
    range: &HashRange,
    hashes: &[Hash32],
    known: impl Fn(u32, u64) -> Option<Hash32>,
) -> Result<Vec<Hash32>, Fault> {
    if !range.is_in(shape) {
        return Err(Fault::peer("hashes: no such range in the tree"));
    }
    if hashes.len() != range.hashes() as usize {
        return Err(Fault::peer("hashes: wrong number of hashes"));
    }
    let (nodes, uncles) = hashes.split_at(range.length as usize);
    let height = range.height();
    let mut layer = range.base + height;
    let mut node = fold(nodes, range.base as u8, height as u8);
    if height == 0 && !uncles.is_empty() {
        node = beside_padding(shape, range, node)?;
        layer += 1;
    }
    for uncle in uncles {
        let right = range.ancestor(layer) & 1 == 1;
        node = if right { parent(uncle, &node) } else { parent(&node, uncle) };
        layer += 1;
    }
    match known(layer, range.ancestor(layer)) {
        Some(expected) if expected == node => Ok(nodes.to_vec()),
        Some(_) => Err(Fault::peer("hashes: do not fold to the proven node")),
        None => Err(Fault::nobody("hashes: the proof ends below every known node")),
    }
}

/// The parent of a range of one node: its sibling is never sent, so it must be padding.
fn beside_padding(shape: &Shape, range: &HashRange, node: Hash32) -> Result<Hash32, Fault> {
    let sibling = u64::from(range.index ^ 1) << range.base.min(31);
    if range.index & 1 == 1 || sibling < shape.leaves {
        return Err(Fault::nobody("hashes: one node without its sibling proves nothing"));
    }
    Ok(parent(&node, &pad(range.base as u8)))
}
