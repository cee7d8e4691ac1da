//! A whole .torrent, of one file or many, kept as the text that was found: the hashes stay where
//! they stand, so that millions of them take no memory of their own.

use super::info::{self, Info};
use super::outside::Outside;
use super::{laying, torrent};
use crate::content::digest;
use crate::content::error::MetaError;
use crate::content::file_list::FileList;
use crate::content::geometry::Geometry;
use crate::content::grid::Form;
use crate::core::id::{Hash32, InfoHash};
use crate::core::report::excerpt;
use std::ops::Range;
use std::rc::Rc;

/// In which order the keys of dictionaries may stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyOrder {
    /// As BEP 3 asks.
    Sorted,
    /// In a v1 torrent in any: the info-hash is taken of the bytes as they stand.
    Any,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metainfo {
    /// The .torrent.
    text: Vec<u8>,
    /// Where its info dict stands, and in it the v1 hashes.
    info: Range<usize>,
    pieces: Range<usize>,
    /// Where the layer of each entry stands; empty for those that have none.
    layers: Vec<Range<usize>>,
    /// UTF-8, one element of a path.
    pub name: Vec<u8>,
    /// BEP 27: only the torrent's own trackers may be asked for peers.
    pub private: bool,
    /// Who it was made for: a word that gives equal files another info-hash; an [`excerpt`].
    pub source: Option<String>,
    /// The keys were not in order.
    pub unsorted: bool,
    /// The grid over all bytes of `files`, those between files included.
    pub geometry: Geometry,
    pub files: Rc<FileList>,
    /// SHA-1 of the info dict, if there is a v1 part.
    pub v1: Option<InfoHash>,
    /// SHA-256 of the info dict, if there is a v2 part.
    pub v2: Option<Hash32>,
    pub outside: Outside,
}

impl Metainfo {
    /// Reads a .torrent of any form. A v2 one must bring its piece layers (BEP 52), which are
    /// proven.
    pub fn read(text: Vec<u8>, order: KeyOrder) -> Result<Metainfo, MetaError> {
        let (doc, unsorted) = torrent::open(&text, order)?;
        let root = doc.root();
        let dict = root.get(b"info").ok_or(MetaError::Missing("info"))?;
        let info = info::read(dict, root.get(b"piece layers"))?;
        let files = laying::lay(&info)?;
        let layers = layer_places(&info, &files)?;
        let hashes = dict.raw();
        let read = Metainfo {
            text: Vec::new(),
            info: dict.raw_range(),
            pieces: info.pieces.and_then(|pieces| pieces.bytes_range()).unwrap_or_default(),
            layers,
            name: info.common.name.to_vec(),
            private: info.common.private,
            source: dict.get(b"source").and_then(|source| source.bytes()).map(excerpt),
            unsorted,
            geometry: Geometry::of(&files, info.common.piece_length)?,
            files: Rc::new(files),
            v1: info.listed.as_ref().map(|_| info::flat_hash(hashes)).transpose()?,
            v2: info.tree.as_ref().map(|_| digest::sha256(hashes)),
            outside: Outside::read(root),
        };
        drop(info);
        drop(doc);
        Ok(Metainfo { text, ..read })
    }

    pub fn form(&self) -> Form {
        match (self.v1, self.v2) {
            (Some(_), Some(_)) => Form::Hybrid,
            (None, Some(_)) => Form::V2,
            _ => Form::V1,
        }
    }

    /// The .torrent as it was found.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The info dict as it was found.
    pub fn info(&self) -> &[u8] {
        self.text.get(self.info.clone()).unwrap_or_default()
    }

    /// SHA-1 of a piece, if there is a v1 part.
    pub fn flat_hash(&self, piece: u32) -> Option<[u8; 20]> {
        let hashes = self.text.get(self.pieces.clone())?.as_chunks::<20>().0;
        hashes.get(piece as usize).copied()
    }

    /// The node of a piece in the tree of its file, if there is a v2 part: the root for a file of
    /// one piece.
    pub fn node(&self, piece: u32) -> Option<Hash32> {
        let grid = u64::from(self.geometry.piece_length());
        let start = u64::from(piece) * grid;
        let span = self.files.spans(start, start + 1).next()?;
        let entry = self.files.entries().get(span.entry)?;
        if entry.length <= grid {
            return entry.root;
        }
        let layer = self.text.get(self.layers.get(span.entry)?.clone())?.as_chunks::<32>().0;
        layer.get(usize::try_from(span.offset / grid).ok()?).copied().map(Hash32)
    }
}

/// Where the layer of each entry stands in the text.
fn layer_places(info: &Info, files: &FileList) -> Result<Vec<Range<usize>>, MetaError> {
    if info.tree.is_none() {
        return Ok(Vec::new());
    }
    let grid = u64::from(info.common.piece_length);
    let place = |root: Hash32| info.layers.as_ref()?.get(&root)?.bytes_range();
    let of = files.entries().iter().map(|entry| match entry.root {
        Some(root) if entry.length > grid => place(root).ok_or(MetaError::Missing("piece layers")),
        _ => Ok(0..0),
    });
    of.collect()
}
