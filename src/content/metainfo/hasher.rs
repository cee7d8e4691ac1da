//! Making a content: both identities in one read of the file.

use super::{Content, V1, V2};
use crate::content::digest::{self, LeafHasher, PieceHasher};
use crate::content::error::MetaError;
use crate::content::geometry::{Geometry, piece_length_for};
use crate::content::merkle::Shape;
use crate::core::id::Hash32;
use crate::core::limits::BLOCK_BYTES;
use crate::core::name;

/// Bytes given to one hash function before the other sees them: they are still in the cache then.
const STEP_BYTES: usize = 128 * 1024;

/// Hashes the bytes of one file in order, in any cutting. Memory grows with the pieces only.
#[derive(Debug)]
pub struct ContentHasher {
    name: Vec<u8>,
    geometry: Geometry,
    /// `None` for an empty file: no byte is ever hashed.
    shape: Option<Shape>,
    /// Bytes seen, those beyond the size included.
    got: u64,
    /// Bytes of the present piece and of the present leaf.
    in_piece: u32,
    in_leaf: u32,
    piece: PieceHasher,
    leaf: LeafHasher,
    leaves: Vec<Hash32>,
    hashes: Vec<[u8; 20]>,
    nodes: Vec<Hash32>,
}

impl ContentHasher {
    /// For a file of `size` bytes, under the piece length every lmk gives that size.
    pub fn new(name: &[u8], size: u64) -> Result<ContentHasher, MetaError> {
        ContentHasher::with_piece_length(name, size, piece_length_for(size))
    }

    /// Under another piece length: a power of two of at least 16 KiB.
    pub fn with_piece_length(
        name: &[u8],
        size: u64,
        piece_length: u32,
    ) -> Result<ContentHasher, MetaError> {
        name::element(name)?;
        if size > i64::MAX as u64 {
            return Err(MetaError::TooLarge);
        }
        if !piece_length.is_power_of_two() || piece_length < BLOCK_BYTES {
            return Err(super::info::PIECE_LENGTH_V2);
        }
        let geometry = Geometry::new(size, piece_length)?;
        Ok(ContentHasher {
            name: name.to_vec(),
            geometry,
            shape: Shape::of(&geometry),
            got: 0,
            in_piece: 0,
            in_leaf: 0,
            piece: PieceHasher::default(),
            leaf: LeafHasher::default(),
            leaves: Vec::new(),
            hashes: Vec::new(),
            nodes: Vec::new(),
        })
    }

    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Bytes hashed so far.
    pub fn hashed(&self) -> u64 {
        self.got.min(self.geometry.size())
    }

    /// The next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        let left = self.geometry.size().saturating_sub(self.got);
        self.got = self.got.saturating_add(bytes.len() as u64);
        let mut rest = bytes.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(bytes);
        let mut left = left;
        while !rest.is_empty() {
            let room = (self.geometry.piece_length() - self.in_piece) as usize;
            let (part, after) = rest.split_at(rest.len().min(room).min(STEP_BYTES));
            self.piece.update(part);
            self.hash_leaves(part);
            self.in_piece += part.len() as u32;
            left -= part.len() as u64;
            if self.in_piece == self.geometry.piece_length() || left == 0 {
                self.end_piece();
            }
            rest = after;
        }
    }

    fn hash_leaves(&mut self, part: &[u8]) {
        const BLOCK: usize = BLOCK_BYTES as usize;
        let mut rest = part;
        while !rest.is_empty() {
            let whole = rest.len() / BLOCK * BLOCK;
            if self.in_leaf == 0 && whole > 0 {
                let (blocks, after) = rest.split_at(whole);
                digest::leaves(blocks, &mut self.leaves);
                rest = after;
                continue;
            }
            let room = (BLOCK_BYTES - self.in_leaf) as usize;
            let (some, after) = rest.split_at(rest.len().min(room));
            self.leaf.update(some);
            self.in_leaf += some.len() as u32;
            if self.in_leaf == BLOCK_BYTES {
                self.end_leaf();
            }
            rest = after;
        }
    }

    fn end_leaf(&mut self) {
        self.leaves.push(self.leaf.finish_reset());
        self.in_leaf = 0;
    }

    fn end_piece(&mut self) {
        if self.in_leaf > 0 {
            self.end_leaf();
        }
        self.hashes.push(self.piece.finish_reset());
        self.nodes.extend(self.shape.map(|shape| shape.piece_node(&self.leaves)));
        self.leaves.clear();
        self.in_piece = 0;
    }

    /// Both identities, once exactly as many bytes came as the file had.
    pub fn finish(self) -> Result<Content, MetaError> {
        let ContentHasher { name, geometry, shape, hashes, mut nodes, got, .. } = self;
        if got != geometry.size() {
            return Err(MetaError::SizeChanged { expected: geometry.size(), got });
        }
        let root = shape.map_or(Hash32([0; 32]), |shape| shape.root(&nodes));
        if nodes.len() <= 1 {
            nodes.clear();
        }
        let v1 = Some(V1::write(&name, &geometry, hashes));
        let v2 = Some(V2::write(&name, &geometry, root, nodes));
        Ok(Content { name, geometry, private: false, v1, v2 })
    }
}
