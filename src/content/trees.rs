//! The trees of a content's files (BEP 52): which file a piece is of, and what it must fold to.

use super::error::MetaError;
use super::file_list::FileList;
use super::geometry::Geometry;
use super::merkle::Shape;
use super::proof::Tree;
use crate::core::bencode::Writer;
use crate::core::id::Hash32;
use crate::core::mark::mark;
use std::collections::BTreeMap;

/// The tree of one file that is not empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileTree {
    pub root: Hash32,
    pub shape: Shape,
    /// The first piece of the file.
    pub first: u32,
    /// Whether the nodes of its pieces are known.
    known: bool,
}

/// The trees of all files, and the node of each piece. Equal files have equal trees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trees {
    /// In the order of their pieces.
    files: Vec<FileTree>,
    /// Indices of `files` in the order of their roots.
    by_root: Vec<u32>,
    /// The node of each piece; of files whose layer is not known, zeros.
    nodes: Vec<Hash32>,
    /// Files whose layer is not known.
    lacking: usize,
}

impl Trees {
    /// The trees of `files`, of which those of several pieces lack their layer.
    pub fn of(files: &FileList, piece_length: u32) -> Result<Trees, MetaError> {
        let mut trees =
            Trees { files: Vec::new(), by_root: Vec::new(), nodes: Vec::new(), lacking: 0 };
        for (_, entry) in files.plain().filter(|(_, entry)| entry.length > 0) {
            let root = entry.root.ok_or(MetaError::Missing("pieces root"))?;
            trees.push(root, &Geometry::new(entry.length, piece_length)?)?;
        }
        trees.sort();
        Ok(trees)
    }

    /// The tree of a content of one file; `layer` is empty where it is of one piece at most.
    pub fn of_one(root: Hash32, grid: &Geometry, layer: &[Hash32]) -> Result<Trees, MetaError> {
        let mut trees =
            Trees { files: Vec::new(), by_root: Vec::new(), nodes: Vec::new(), lacking: 0 };
        if grid.size() > 0 {
            trees.push(root, grid)?;
            trees.sort();
        }
        if !layer.is_empty() {
            trees.fill(0, layer.iter().copied());
        }
        Ok(trees)
    }

    /// The tree of the next file, whose own grid is `grid`.
    fn push(&mut self, root: Hash32, grid: &Geometry) -> Result<(), MetaError> {
        let shape = Shape::of(grid).ok_or(PIECE_LENGTH_V2)?;
        let first = u32::try_from(self.nodes.len()).map_err(|_| MetaError::TooManyPieces)?;
        let known = shape.pieces == 1;
        self.lacking += usize::from(!known);
        let node = if known { root } else { Hash32([0; 32]) };
        self.nodes.resize(self.nodes.len() + shape.pieces as usize, node);
        self.files.push(FileTree { root, shape, first, known });
        Ok(())
    }

    fn sort(&mut self) {
        let files = &self.files;
        self.by_root = (0..files.len() as u32).collect();
        self.by_root.sort_by_key(|at| files.get(*at as usize).map(|tree| tree.root));
    }

    /// All trees, in the order of the files.
    pub fn files(&self) -> &[FileTree] {
        &self.files
    }

    /// The trees of that root: of several files if they are equal.
    pub fn of_root(&self, root: Hash32) -> impl Iterator<Item = &FileTree> {
        let root_of = |at: &u32| self.files.get(*at as usize).map(|tree| tree.root);
        let first = self.by_root.partition_point(|at| root_of(at) < Some(root));
        let rest = self.by_root.iter().skip(first).filter_map(|at| self.files.get(*at as usize));
        rest.take_while(move |tree| tree.root == root)
    }

    /// The tree a piece is in, and which of its pieces it is.
    pub fn place(&self, piece: u32) -> Option<(&FileTree, u32)> {
        let after = self.files.partition_point(|tree| tree.first <= piece);
        let tree = self.files.get(after.checked_sub(1)?)?;
        let index = piece - tree.first;
        (index < tree.shape.pieces).then_some((tree, index))
    }

    /// The node of a piece, if it is known: what the piece must fold to.
    pub fn node(&self, piece: u32) -> Option<Hash32> {
        if self.lacking > 0 && !self.place(piece)?.0.known {
            return None;
        }
        self.nodes.get(piece as usize).copied()
    }

    /// The nodes of all pieces, file after file; those of a file whose layer lacks are zeros.
    pub fn nodes(&self) -> &[Hash32] {
        &self.nodes
    }

    /// Whether the node of every piece is known.
    pub fn is_complete(&self) -> bool {
        self.lacking == 0
    }

    /// The files whose layers are not known, in their order.
    pub fn lacking(&self) -> impl Iterator<Item = &FileTree> {
        self.files.iter().filter(|tree| !tree.known)
    }

    /// The nodes of the pieces of one file, if they are known.
    pub fn layer(&self, tree: &FileTree) -> Option<&[Hash32]> {
        let first = tree.first as usize;
        self.nodes.get(first..first + tree.shape.pieces as usize).filter(|_| tree.known)
    }

    /// The upper part of a tree, to answer hash requests from; `None` while its layer lacks.
    pub fn tree(&self, tree: &FileTree) -> Option<Tree> {
        Tree::new(tree.shape, self.layer(tree)?)
    }

    /// Takes the layer of every file of that root; it must fold to it.
    pub fn set_layer(&mut self, root: Hash32, layer: &[Hash32]) -> Result<(), MetaError> {
        let places: Vec<(usize, Shape)> = (0..)
            .zip(&self.files)
            .filter(|(_, tree)| tree.root == root && tree.shape.pieces > 1)
            .map(|(at, tree)| (at, tree.shape))
            .collect();
        if places.is_empty() {
            return Err(MetaError::Layers("a layer belongs to no file of several pieces"));
        }
        for (at, shape) in places {
            check(&shape, &root, layer.iter().copied())?;
            self.fill(at, layer.iter().copied());
        }
        Ok(())
    }

    /// Takes layers that were proven, as bytes by their roots; files that are not among them go on
    /// lacking theirs.
    pub fn take_proven(&mut self, layers: &BTreeMap<Hash32, &[u8]>) {
        for at in 0..self.files.len() {
            let Some(tree) = self.files.get(at).filter(|tree| !tree.known) else { continue };
            if let Some(layer) = layers.get(&tree.root) {
                self.fill(at, layer.as_chunks::<32>().0.iter().copied().map(Hash32));
            }
        }
    }

    fn fill(&mut self, at: usize, layer: impl ExactSizeIterator<Item = Hash32>) {
        let Some(tree) = self.files.get_mut(at) else { return };
        let (first, pieces) = (tree.first as usize, tree.shape.pieces as usize);
        let place = self.nodes.get_mut(first..first + pieces);
        let Some(place) = place.filter(|place| place.len() == layer.len()) else { return };
        place.iter_mut().zip(layer).for_each(|(node, known)| *node = known);
        if !std::mem::replace(&mut tree.known, true) {
            self.lacking -= 1;
        }
    }

    /// The bencoded `piece layers` dict, without the files that need none; `None` while a layer
    /// lacks.
    pub fn write_layers(&self) -> Option<Vec<u8>> {
        let mut layers: BTreeMap<Hash32, &[Hash32]> = BTreeMap::new();
        for tree in self.files.iter().filter(|tree| tree.shape.pieces > 1 || !tree.known) {
            layers.insert(tree.root, self.layer(tree)?);
        }
        let mut w = Writer::new();
        w.begin_dict();
        for (root, nodes) in layers {
            let bytes: Vec<u8> = nodes.iter().flat_map(|node| node.0).collect();
            w.key(&root.0).bytes(&bytes);
        }
        w.end();
        Some(w.finish())
    }
}

/// Checks that `layer` has one node for each piece, without padding, and folds to `root`.
pub fn check(
    shape: &Shape,
    root: &Hash32,
    layer: impl ExactSizeIterator<Item = Hash32>,
) -> Result<(), MetaError> {
    if layer.len() != shape.pieces as usize {
        return Err(MetaError::Layers("a layer has not one hash for each piece"));
    }
    if shape.root(layer) != *root {
        mark!("A20");
        return Err(MetaError::Layers("a layer does not fold to its root"));
    }
    Ok(())
}

/// The rule of BEP 52 for piece lengths.
pub const PIECE_LENGTH_V2: MetaError =
    MetaError::Bad("piece length", "is not a power of two of at least 16384");
