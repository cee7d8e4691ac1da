//! Making a content: both identities in one read of the file.

use super::{Content, V1, V2};
use crate::content::error::MetaError;
use crate::content::file_list::{Entry, FileList};
use crate::content::geometry::{Geometry, piece_length_for};
use crate::content::grid::{Form, GridHasher};
use crate::content::merkle::Shape;
use crate::core::id::Hash32;
use crate::core::limits::BLOCK_BYTES;
use crate::core::name;
use std::rc::Rc;

/// Hashes the bytes of one file in order, in any cutting. Memory grows with the pieces only.
#[derive(Debug)]
pub struct ContentHasher {
    name: Vec<u8>,
    geometry: Geometry,
    list: Rc<FileList>,
    /// Bytes seen, those beyond the size included.
    got: u64,
    grid: GridHasher,
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
        if !piece_length.is_power_of_two() || piece_length < BLOCK_BYTES {
            return Err(crate::content::trees::PIECE_LENGTH_V2);
        }
        let list = FileList::lay(vec![Entry::plain(name, size)], false, None);
        let list = Rc::new(list.ok_or(MetaError::TooLarge)?);
        Ok(ContentHasher {
            name: name.to_vec(),
            geometry: Geometry::new(size, piece_length)?,
            got: 0,
            grid: GridHasher::new(Rc::clone(&list), Form::Hybrid, piece_length),
            list,
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
        self.got = self.got.saturating_add(bytes.len() as u64);
        self.grid.update(bytes);
        self.hashes.extend(self.grid.flat_done().flatten());
        self.nodes.extend(self.grid.tree_done().flatten());
    }

    /// Both identities, once exactly as many bytes came as the file had.
    pub fn finish(self) -> Result<Content, MetaError> {
        let ContentHasher { name, geometry, list, hashes, mut nodes, got, .. } = self;
        if got != geometry.size() {
            return Err(MetaError::SizeChanged { expected: geometry.size(), got });
        }
        let shape = Shape::of(&geometry);
        let root = shape.map_or(Hash32([0; 32]), |shape| shape.root(nodes.iter().copied()));
        if nodes.len() <= 1 {
            nodes.clear();
        }
        let v1 = Some(V1::write(&name, &geometry, hashes));
        let v2 = Some(V2::write(&name, &geometry, root, &nodes)?);
        let files = Rc::new(list.with_roots(shape.map(|_| root)));
        let geometry = Geometry::of(&files, geometry.piece_length())?;
        Ok(Content { name, geometry, files, private: false, v1, v2, hybrid: false })
    }
}
