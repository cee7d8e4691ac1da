//! Making a .torrent of a file or a folder: laid out, hashed in order, written.

use super::outside::Outside;
use crate::content::error::MetaError;
use crate::content::file_list::{Entry, FileList, Kind};
use crate::content::geometry::{Geometry, PIECE_BYTES_MAX, piece_length_for};
use crate::content::grid::{Form, GridHasher};
use crate::content::merkle::Shape;
use crate::core::bencode::Writer;
use crate::core::id::Hash32;
use crate::core::limits::BLOCK_BYTES;
use crate::core::name;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What a .torrent shall be. Equal wishes and equal files make equal bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    pub form: Form,
    /// A power of two from 16 KiB on; `None` = the one that every lmk gives so many bytes.
    pub piece_length: Option<u32>,
    pub private: bool,
    /// A word in the info dict that gives equal files another info-hash.
    pub source: Option<String>,
    pub outside: Outside,
}

/// Makes one .torrent: takes the bytes of [`Maker::wanted`] file by file.
#[derive(Debug)]
pub struct Maker {
    wanted: Wanted,
    name: Vec<u8>,
    list: Rc<FileList>,
    geometry: Geometry,
    grid: GridHasher,
    hashes: Vec<[u8; 20]>,
    /// Nodes of the pieces, file after file.
    nodes: Vec<Hash32>,
}

/// Whether `a` comes before `b` in a file tree: element by element, as raw bytes.
fn tree_order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    a.split(|byte| *byte == b'/').cmp(b.split(|byte| *byte == b'/'))
}

impl Maker {
    /// For one file of the name `name`.
    pub fn file(name: &[u8], size: u64, wanted: Wanted) -> Result<Maker, MetaError> {
        Maker::new(name, vec![Entry::plain(name, size)], false, wanted)
    }

    /// For a folder of the name `name` with those files: path below it, elements joined by `/`, and
    /// size. No path is there twice, none is the folder of another.
    pub fn folder(
        name: &[u8],
        files: Vec<(Vec<u8>, u64)>,
        wanted: Wanted,
    ) -> Result<Maker, MetaError> {
        Maker::new(name, Maker::sorted(files)?, true, wanted)
    }

    /// As [`Maker::folder`], for a v1 torrent whose grid is that of a v2 one of the same files.
    pub fn companion(
        name: &[u8],
        files: Vec<(Vec<u8>, u64)>,
        wanted: Wanted,
    ) -> Result<Maker, MetaError> {
        let files = Maker::sorted(files)?;
        let size = super::files::total(files.iter().map(|entry| entry.length))?;
        let length = wanted.piece_length.unwrap_or_else(|| piece_length_for(size));
        let wanted = Wanted { piece_length: Some(length), ..wanted };
        let mut padded = padded(files, length, |index, len| format!(".pad/{index}.{len}"));
        // Behind the last byte of all there is nothing to align.
        let last = padded.iter().rposition(|entry| entry.length > 0);
        if let Some(at) = last.filter(|at| padded.get(*at).is_some_and(|e| e.kind == Kind::Pad)) {
            padded.remove(at);
        }
        Maker::new(name, padded, true, wanted)
    }

    fn sorted(files: Vec<(Vec<u8>, u64)>) -> Result<Vec<Entry>, MetaError> {
        if files.is_empty() {
            return Err(MetaError::Bad("files", "is empty"));
        }
        for element in files.iter().flat_map(|(path, _)| path.split(|byte| *byte == b'/')) {
            name::path_element(element)?;
        }
        let mut entries: Vec<Entry> =
            files.into_iter().map(|(path, size)| Entry::plain(path, size)).collect();
        entries.sort_by(|a, b| tree_order(&a.path, &b.path));
        Ok(entries)
    }

    fn new(
        name: &[u8],
        entries: Vec<Entry>,
        folder: bool,
        wanted: Wanted,
    ) -> Result<Maker, MetaError> {
        name::path_element(name)?;
        let size = super::files::total(entries.iter().map(|entry| entry.length))?;
        let piece_length = wanted.piece_length.unwrap_or_else(|| piece_length_for(size));
        if !(BLOCK_BYTES..=PIECE_BYTES_MAX).contains(&piece_length)
            || !piece_length.is_power_of_two()
        {
            return Err(crate::content::trees::PIECE_LENGTH_V2);
        }
        let padded = match wanted.form {
            Form::Hybrid if folder => padded(entries, piece_length, |_, len| format!(".pad/{len}")),
            _ => entries,
        };
        let aligned = (wanted.form == Form::V2).then_some(piece_length);
        let list = FileList::lay(padded, folder, aligned).ok_or(MetaError::TooLarge)?;
        let list = Rc::new(list);
        Ok(Maker {
            name: name.to_vec(),
            geometry: Geometry::new(list.size(), piece_length)?,
            grid: GridHasher::new(Rc::clone(&list), wanted.form, piece_length),
            hashes: Vec::new(),
            nodes: Vec::new(),
            list,
            wanted,
        })
    }

    /// Those of its files that may be executed say so (BEP 47).
    pub fn with_executables(mut self, paths: &BTreeSet<Vec<u8>>) -> Maker {
        self.list = Rc::new(self.list.with_executables(paths));
        self
    }

    pub fn files(&self) -> &FileList {
        &self.list
    }

    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The entry whose bytes come next, and from which byte on; `None` once all came.
    pub fn wanted(&self) -> Option<(usize, u64)> {
        self.grid.wanted()
    }

    /// Bytes of the wanted entry still to come.
    pub fn left(&self) -> u64 {
        self.grid.left()
    }

    /// The next bytes of the wanted entry.
    pub fn update(&mut self, bytes: &[u8]) {
        self.grid.update(bytes);
        self.take_done();
    }

    fn take_done(&mut self) {
        self.hashes.extend(self.grid.flat_done().flatten());
        self.nodes.extend(self.grid.tree_done().flatten());
    }

    /// The .torrent, once all bytes came.
    pub fn finish(mut self) -> Result<Vec<u8>, MetaError> {
        // A pad that comes first or last is hashed without any bytes of ours.
        self.take_done();
        if let Some((at, got)) = self.wanted() {
            let expected = self.list.entries().get(at).map_or(0, |entry| entry.length);
            return Err(MetaError::SizeChanged { expected, got });
        }
        let trees = self.trees();
        let mut w = Writer::new();
        w.begin_dict();
        self.wanted.outside.write_before(&mut w);
        w.key(b"info");
        self.write_info(&trees, &mut w);
        if self.wanted.form.has_v2() {
            w.key(b"piece layers").begin_dict();
            // Equal files have one layer.
            let layers: BTreeMap<Hash32, &[Hash32]> =
                trees.iter().filter(|tree| tree.1.len() > 1).copied().collect();
            for (root, nodes) in layers {
                let layer: Vec<u8> = nodes.iter().flat_map(|node| node.0).collect();
                w.key(&root.0).bytes(&layer);
            }
            w.end();
        }
        self.wanted.outside.write_behind(&mut w);
        w.end();
        Ok(w.finish())
    }

    /// Root and piece nodes of each plain file; an empty one has no nodes.
    fn trees(&self) -> Vec<(Hash32, &[Hash32])> {
        let mut rest = self.nodes.as_slice();
        let length = self.geometry.piece_length();
        self.list
            .plain()
            .map(|(_, entry)| {
                let shape =
                    Geometry::new(entry.length, length).ok().and_then(|grid| Shape::of(&grid));
                let pieces = shape.map_or(0, |shape| shape.pieces as usize);
                let (nodes, after) = rest.split_at(pieces.min(rest.len()));
                rest = after;
                let root = shape.map(|shape| shape.root(nodes.iter().copied()));
                (root.unwrap_or(Hash32([0; 32])), nodes)
            })
            .collect()
    }

    fn write_info(&self, trees: &[(Hash32, &[Hash32])], w: &mut Writer) {
        let form = self.wanted.form;
        w.begin_dict();
        if form.has_v2() {
            w.key(b"file tree");
            self.write_tree(trees, w);
        }
        match self.list.is_folder() {
            true if form.has_v1() => self.write_list(w.key(b"files")),
            false if form.has_v1() => {
                w.key(b"length").uint(self.list.size());
            }
            _ => {}
        }
        if form.has_v2() {
            w.key(b"meta version").int(2);
        }
        w.key(b"name").bytes(&self.name);
        w.key(b"piece length").uint(self.geometry.piece_length().into());
        if form.has_v1() {
            w.key(b"pieces").bytes(self.hashes.as_flattened());
        }
        if self.wanted.private {
            w.key(b"private").int(1);
        }
        if let Some(source) = &self.wanted.source {
            w.key(b"source").bytes(source.as_bytes());
        }
        w.end();
    }

    /// `files` of BEP 3, pads as BEP 47 has them.
    fn write_list(&self, w: &mut Writer) {
        w.begin_list();
        for entry in self.list.entries() {
            w.begin_dict();
            match (entry.kind, entry.executable) {
                (Kind::Pad, _) => _ = w.key(b"attr").bytes(b"p"),
                (_, true) => _ = w.key(b"attr").bytes(b"x"),
                _ => {}
            }
            w.key(b"length").uint(entry.length);
            w.key(b"path").begin_list();
            for element in entry.path.split(|byte| *byte == b'/') {
                w.bytes(element);
            }
            w.end().end();
        }
        w.end();
    }

    /// `file tree` of BEP 52. The files come in its order.
    fn write_tree(&self, trees: &[(Hash32, &[Hash32])], w: &mut Writer) {
        w.begin_dict();
        let mut open: Vec<&[u8]> = Vec::new();
        for ((_, entry), (root, _)) in self.list.plain().zip(trees) {
            let mut elements: Vec<&[u8]> = entry.path.split(|byte| *byte == b'/').collect();
            let last = elements.pop().unwrap_or_default();
            let shared = open.iter().zip(&elements).take_while(|(a, b)| a == b).count();
            for _ in open.drain(shared..) {
                w.end();
            }
            for folder in elements.into_iter().skip(shared) {
                w.key(folder).begin_dict();
                open.push(folder);
            }
            w.key(last).begin_dict().key(b"").begin_dict();
            if entry.executable {
                w.key(b"attr").bytes(b"x");
            }
            w.key(b"length").uint(entry.length);
            if entry.length > 0 {
                w.key(b"pieces root").bytes(&root.0);
            }
            w.end().end();
        }
        for _ in open {
            w.end();
        }
        w.end();
    }
}

/// The files with a pad behind each that does not end with a piece, the last one too.
fn padded(files: Vec<Entry>, piece_length: u32, path: impl Fn(usize, u64) -> String) -> Vec<Entry> {
    let mut padded = Vec::with_capacity(files.len());
    for (index, file) in files.into_iter().enumerate() {
        let pad = file.length.next_multiple_of(piece_length.into()) - file.length;
        padded.push(file);
        if pad > 0 {
            let path = path(index, pad).into_bytes();
            padded.push(Entry { kind: Kind::Pad, ..Entry::plain(path, pad) });
        }
    }
    padded
}
