//! Hashing pieces of both kinds as the bytes of files come, in any cutting: for making metainfo and
//! for comparing files with it. Bytes that cannot be read are told: their pieces have no hash.

use super::digest::{self, LeafHasher, PieceHasher};
use super::file_list::{Entry, FileList, Kind};
use super::geometry::Geometry;
use super::merkle::Shape;
use crate::core::id::Hash32;
use crate::core::limits::BLOCK_BYTES;
use std::rc::Rc;

/// Bytes given to one hash function before the other sees them: they are still in the cache then.
const STEP_BYTES: usize = 128 * 1024;

/// Pieces of BEP 3: cut from one row of bytes, across the borders of files.
#[derive(Debug)]
struct FlatHasher {
    piece_length: u32,
    /// Bytes of the row still to come.
    left: u64,
    in_piece: u32,
    /// All bytes of the present piece were there.
    whole: bool,
    hasher: PieceHasher,
    done: Vec<Option<[u8; 20]>>,
}

impl FlatHasher {
    fn new(size: u64, piece_length: u32) -> FlatHasher {
        let hasher = PieceHasher::default();
        FlatHasher { piece_length, left: size, in_piece: 0, whole: true, hasher, done: Vec::new() }
    }

    /// As many of `len` bytes as the present piece takes.
    fn room(&self, len: u64) -> u64 {
        len.min(u64::from(self.piece_length - self.in_piece)).min(self.left)
    }

    fn bytes(&mut self, mut bytes: &[u8]) {
        while let (room @ 1.., true) = (self.room(bytes.len() as u64), !bytes.is_empty()) {
            let (part, rest) = bytes.split_at(room as usize);
            self.hasher.update(part);
            self.pass(room);
            bytes = rest;
        }
    }

    fn zeros(&mut self, mut len: u64) {
        while let room @ 1.. = self.room(len) {
            self.hasher.zeros(room);
            self.pass(room);
            len -= room;
        }
    }

    fn lacks(&mut self, mut len: u64) {
        while let room @ 1.. = self.room(len) {
            self.whole = false;
            self.pass(room);
            len -= room;
        }
    }

    fn pass(&mut self, len: u64) {
        self.in_piece += len as u32;
        self.left -= len;
        if self.in_piece == self.piece_length || self.left == 0 {
            let hash = self.hasher.finish_reset();
            self.done.push(self.whole.then_some(hash));
            (self.in_piece, self.whole) = (0, true);
        }
    }
}

/// Pieces of BEP 52: nodes in the tree of one file after the other.
#[derive(Debug)]
struct TreeHasher {
    piece_length: u32,
    /// The tree of the present file; `None` for an empty one.
    shape: Option<Shape>,
    /// Bytes of the present file still to come.
    left: u64,
    in_piece: u32,
    in_leaf: u32,
    whole: bool,
    leaf: LeafHasher,
    leaves: Vec<Hash32>,
    done: Vec<Option<Hash32>>,
}

impl TreeHasher {
    fn new(piece_length: u32) -> TreeHasher {
        TreeHasher {
            piece_length,
            shape: None,
            left: 0,
            in_piece: 0,
            in_leaf: 0,
            whole: true,
            leaf: LeafHasher::default(),
            leaves: Vec::new(),
            done: Vec::new(),
        }
    }

    fn begin(&mut self, length: u64) {
        self.left = length;
        self.shape =
            Geometry::new(length, self.piece_length).ok().and_then(|grid| Shape::of(&grid));
    }

    fn room(&self, len: u64) -> u64 {
        len.min(u64::from(self.piece_length - self.in_piece)).min(self.left)
    }

    fn bytes(&mut self, mut bytes: &[u8]) {
        while let (room @ 1.., true) = (self.room(bytes.len() as u64), !bytes.is_empty()) {
            let (part, rest) = bytes.split_at(room as usize);
            self.hash_leaves(part);
            self.pass(room);
            bytes = rest;
        }
    }

    fn lacks(&mut self, mut len: u64) {
        while let room @ 1.. = self.room(len) {
            self.whole = false;
            self.pass(room);
            len -= room;
        }
    }

    fn hash_leaves(&mut self, mut part: &[u8]) {
        const BLOCK: usize = BLOCK_BYTES as usize;
        while !part.is_empty() {
            let whole = part.len() / BLOCK * BLOCK;
            if self.in_leaf == 0 && whole > 0 {
                let (blocks, rest) = part.split_at(whole);
                digest::leaves(blocks, &mut self.leaves);
                part = rest;
                continue;
            }
            let room = (BLOCK_BYTES - self.in_leaf) as usize;
            let (some, rest) = part.split_at(part.len().min(room));
            self.leaf.update(some);
            self.in_leaf += some.len() as u32;
            if self.in_leaf == BLOCK_BYTES {
                self.end_leaf();
            }
            part = rest;
        }
    }

    fn end_leaf(&mut self) {
        self.leaves.push(self.leaf.finish_reset());
        self.in_leaf = 0;
    }

    fn pass(&mut self, len: u64) {
        self.in_piece += len as u32;
        self.left -= len;
        if self.in_piece == self.piece_length || self.left == 0 {
            if self.in_leaf > 0 {
                self.end_leaf();
            }
            let node = self.shape.map(|shape| shape.piece_node(&self.leaves));
            self.done.push(node.filter(|_| self.whole));
            self.leaves.clear();
            (self.in_piece, self.whole) = (0, true);
        }
    }
}

/// Which hashes are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    V1,
    V2,
    /// Both, of one grid.
    Hybrid,
}

impl Form {
    pub fn has_v1(self) -> bool {
        self != Form::V2
    }

    pub fn has_v2(self) -> bool {
        self != Form::V1
    }
}

/// Hashes the entries of a list one after the other. Whoever has it gives the bytes of
/// [`GridHasher::wanted`], whole or with what lacks told, and takes the hashes of finished pieces.
#[derive(Debug)]
pub struct GridHasher {
    list: Rc<FileList>,
    /// The entry whose bytes come next.
    at: usize,
    /// How many of them are still to come.
    left: u64,
    flat: Option<FlatHasher>,
    tree: Option<TreeHasher>,
}

impl GridHasher {
    pub fn new(list: Rc<FileList>, form: Form, piece_length: u32) -> GridHasher {
        let flat = form.has_v1().then(|| FlatHasher::new(list.size(), piece_length));
        let tree = form.has_v2().then(|| TreeHasher::new(piece_length));
        let mut grid = GridHasher { list, at: 0, left: 0, flat, tree };
        grid.begin();
        grid
    }

    /// The entry whose bytes are wanted next, and from which byte on; `None` once all came.
    pub fn wanted(&self) -> Option<(usize, u64)> {
        self.list.entries().get(self.at).map(|entry| (self.at, entry.length - self.left))
    }

    /// Bytes of the wanted entry that are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Goes to the next entry that has bytes of its own.
    fn begin(&mut self) {
        while let Some(Entry { length, kind, .. }) = self.list.entries().get(self.at) {
            match kind {
                Kind::Plain if *length > 0 => {
                    self.left = *length;
                    if let Some(tree) = &mut self.tree {
                        tree.begin(*length);
                    }
                    return;
                }
                Kind::Pad => {
                    if let Some(flat) = &mut self.flat {
                        flat.zeros(*length);
                    }
                }
                Kind::Plain | Kind::Link => {}
            }
            self.at += 1;
        }
    }

    /// The next bytes of the wanted entry; those beyond its end do not count.
    pub fn update(&mut self, bytes: &[u8]) {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let bytes = bytes.get(..most).unwrap_or(bytes);
        for part in bytes.chunks(STEP_BYTES) {
            if let Some(flat) = &mut self.flat {
                flat.bytes(part);
            }
            if let Some(tree) = &mut self.tree {
                tree.bytes(part);
            }
        }
        self.pass(bytes.len() as u64);
    }

    /// The next bytes of the wanted entry are not to be had.
    pub fn lacks(&mut self, len: u64) {
        let len = len.min(self.left);
        if let Some(flat) = &mut self.flat {
            flat.lacks(len);
        }
        if let Some(tree) = &mut self.tree {
            tree.lacks(len);
        }
        self.pass(len);
    }

    fn pass(&mut self, len: u64) {
        self.left -= len;
        if self.left == 0 && len > 0 {
            self.at += 1;
            self.begin();
        }
    }

    /// SHA-1 of the pieces finished since last asked, in their order.
    pub fn flat_done(&mut self) -> impl Iterator<Item = Option<[u8; 20]>> {
        self.flat.as_mut().map(|flat| flat.done.drain(..)).into_iter().flatten()
    }

    /// Nodes of the pieces finished since last asked, in their order.
    pub fn tree_done(&mut self) -> impl Iterator<Item = Option<Hash32>> {
        self.tree.as_mut().map(|tree| tree.done.drain(..)).into_iter().flatten()
    }
}
