//! A whole .torrent, of one file or many, kept as the text that was found: the hashes stay where
//! they stand, so that millions of them take no memory of their own.

use super::files::{Attr, elements};
use super::info::{self, Info, Listed};
use super::outside::Outside;
use crate::content::digest;
use crate::content::error::MetaError;
use crate::content::file_list::{Entry, FileList, Kind};
use crate::content::geometry::Geometry;
use crate::content::grid::Form;
use crate::core::bencode::{Doc, Limits, Mode, Value, parse};
use crate::core::id::{Hash32, InfoHash};
use crate::core::limits::TORRENT_BYTES_MAX;
use crate::core::mark::mark;
use std::ops::Range;

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
    /// Who it was made for: a word that gives equal files another info-hash.
    pub source: Option<String>,
    /// The keys were not in order.
    pub unsorted: bool,
    /// The grid over all bytes of `files`, those between files included.
    pub geometry: Geometry,
    pub files: FileList,
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
        if text.len() > TORRENT_BYTES_MAX {
            return Err(MetaError::Bad("torrent", "is larger than 96 MiB"));
        }
        let (doc, unsorted) = match (parse(&text, Mode::Strict, Limits::METAINFO), order) {
            (Ok(doc), _) => (doc, false),
            (Err(strict), KeyOrder::Any) => match lenient(&text)? {
                Some(doc) => {
                    // The hash is that of the bytes as they stand, never of a re-encoding.
                    mark!("A10");
                    (doc, true)
                }
                None => return Err(strict.into()),
            },
            (Err(strict), KeyOrder::Sorted) => return Err(strict.into()),
        };
        let root = doc.root();
        if !root.is_dict() {
            return Err(MetaError::Bad("torrent", "is not a dictionary"));
        }
        let dict = root.get(b"info").ok_or(MetaError::Missing("info"))?;
        let info = info::read(dict, root.get(b"piece layers"))?;
        let (files, layers) = lay(&info)?;
        let (hashes, text_of) = (dict.raw(), |key: &[u8]| Some(dict.get(key)?.bytes()?.to_vec()));
        let read = Metainfo {
            text: Vec::new(),
            info: dict.raw_range(),
            pieces: info.pieces.and_then(|pieces| pieces.bytes_range()).unwrap_or_default(),
            layers,
            name: info.common.name.to_vec(),
            private: info.common.private,
            source: text_of(b"source").map(|source| String::from_utf8_lossy(&source).into_owned()),
            unsorted,
            geometry: Geometry::new(files.size(), info.common.piece_length)?,
            files,
            v1: info.listed.as_ref().map(|_| InfoHash(digest::sha1(hashes))),
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

/// The text with keys in any order, but each once; only of a v1 torrent.
fn lenient(text: &[u8]) -> Result<Option<Doc<'_>>, MetaError> {
    let Ok(doc) = parse(text, Mode::Tolerant, Limits::METAINFO) else { return Ok(None) };
    let Some(info) = doc.root().get(b"info") else { return Ok(None) };
    if info.get(b"meta version").is_some() || info.get(b"file tree").is_some() {
        return Ok(None);
    }
    match repeats_a_key(info) || keys_repeat(&doc.root()) {
        true => Err(MetaError::Bad("info", "has a dictionary with a key twice")),
        false => Ok(Some(doc)),
    }
}

/// Whether any dictionary in a value has a key twice.
fn repeats_a_key(value: Value) -> bool {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        if keys_repeat(&value) {
            return true;
        }
        let inside = value.items().chain(value.entries().map(|(_, value)| value));
        open.extend(inside.filter(|value| value.is_dict() || value.is_list()));
    }
    false
}

fn keys_repeat(value: &Value) -> bool {
    let mut keys: Vec<&[u8]> = value.entries().map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

/// The entries of an info dict with their places, and where the layer of each stands in the text.
fn lay(info: &Info) -> Result<(FileList, Vec<Range<usize>>), MetaError> {
    let grid = info.common.piece_length;
    let mut entries: Vec<Entry> = match &info.listed {
        Some(Listed::Several(list)) => list
            .iter()
            .map(|file| {
                let path: Vec<&[u8]> =
                    file.path.map(|path| elements(path).collect()).unwrap_or_default();
                entry(path.join(&b'/'), file.length, file.attr)
            })
            .collect(),
        Some(Listed::One(length)) => {
            let alone = entry(info.common.name, *length, Attr::of(info.dict));
            vec![Entry { kind: Kind::Plain, ..alone }]
        }
        None => Vec::new(),
    };
    let mut layers = Vec::new();
    if let Some(tree) = &info.tree {
        if info.listed.is_none() {
            let files = tree.files.iter().zip(&tree.paths);
            entries.extend(files.map(|(file, path)| entry(path.clone(), file.length, file.attr)));
        }
        layers.resize(entries.len(), 0..0);
        // The two parts of a hybrid tell of the same files, pads apart.
        let twins =
            entries.iter_mut().zip(&mut layers).filter(|(entry, _)| entry.kind != Kind::Pad);
        for ((entry, place), file) in twins.zip(&tree.files) {
            entry.root = (file.length > 0).then_some(file.root);
            if file.length > grid.into() {
                let layer = info.layers.as_ref().ok_or(MetaError::Missing("piece layers"))?;
                let layer = layer.get(&file.root).and_then(|layer| layer.bytes_range());
                *place = layer.ok_or(MetaError::Missing("piece layers"))?;
            }
        }
    }
    let aligned = info.listed.is_none().then_some(grid);
    let files = FileList::lay(entries, info.is_folder(), aligned).ok_or(MetaError::TooLarge)?;
    Ok((files, layers))
}

fn entry(path: impl Into<Box<[u8]>>, length: u64, attr: Attr) -> Entry {
    Entry {
        kind: attr.kind(),
        executable: attr.has(b'x'),
        hidden: attr.has(b'h'),
        ..Entry::plain(path, length)
    }
}
