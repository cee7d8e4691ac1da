//! Metainfo of one content: its v1 and v2 identities (BEP 3, BEP 52), made, read and joined.
//!
//! An identity keeps the info dict as the bytes that were found; a hash is always one of those
//! bytes, never of a re-encoding.

mod files;
mod folder;
mod hasher;
mod info;
mod layers;
mod laying;
mod making;
pub mod outside;
mod proving;
mod torrent;
mod whole;

pub use folder::FolderHasher;
pub use hasher::ContentHasher;
pub use making::{Maker, Wanted};
pub use proving::Proving;
pub use whole::{KeyOrder, Metainfo};

use super::digest;
use super::error::MetaError;
use super::file_list::{FileList, Kind};
use super::geometry::{Geometry, Piece};
use super::trees::Trees;
use crate::core::bencode::{Limits, Mode, Writer, parse};
use crate::core::id::{Hash32, InfoHash};
use std::rc::Rc;

/// One file or one folder under one name: its grid and the identities it is known by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// The name as it stands in the info dicts: one safe path element, the file's own bytes.
    pub name: Vec<u8>,
    pub geometry: Geometry,
    /// What lies where in the row that the grid cuts.
    pub files: Rc<FileList>,
    /// BEP 27: only the torrent's own trackers may be asked for peers.
    pub private: bool,
    /// There is at least one of `v1` and `v2`; both come of one dict or are companions.
    pub v1: Option<V1>,
    pub v2: Option<V2>,
    /// Both come of one dict.
    pub hybrid: bool,
}

/// What proves one piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PieceHash {
    /// Its node of the tree of BEP 52.
    Node(Hash32),
    /// BEP 3.
    Sha1([u8; 20]),
}

/// The SHA-1 identity (BEP 3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct V1 {
    /// SHA-1 of `info`.
    pub info_hash: InfoHash,
    /// The info dict as bytes.
    pub info: Vec<u8>,
    /// SHA-1 of each piece.
    pub hashes: Vec<[u8; 20]>,
}

/// The SHA-256 identity (BEP 52).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct V2 {
    /// SHA-256 of `info`.
    pub info_hash: Hash32,
    /// The info dict as bytes.
    pub info: Vec<u8>,
    pub trees: Trees,
}

impl V1 {
    /// The identity of a content with those piece hashes; `{length, name, piece length, pieces}`.
    pub fn write(name: &[u8], geometry: &Geometry, hashes: Vec<[u8; 20]>) -> V1 {
        let mut w = Writer::new();
        w.begin_dict();
        w.key(b"length").uint(geometry.size());
        w.key(b"name").bytes(name);
        w.key(b"piece length").uint(geometry.piece_length().into());
        w.key(b"pieces").bytes(hashes.as_flattened()).end();
        let info = w.finish();
        V1 { info_hash: InfoHash(digest::sha1(&info)), info, hashes }
    }
}

impl V2 {
    /// The identity of one file with that tree; `{file tree, meta version, name, piece length}`.
    pub fn write(
        name: &[u8],
        geometry: &Geometry,
        root: Hash32,
        nodes: &[Hash32],
    ) -> Result<V2, MetaError> {
        let mut w = Writer::new();
        w.begin_dict();
        w.key(b"file tree").begin_dict().key(name).begin_dict().key(b"").begin_dict();
        w.key(b"length").uint(geometry.size());
        if geometry.size() > 0 {
            w.key(b"pieces root").bytes(&root.0);
        }
        w.end().end().end();
        w.key(b"meta version").int(2);
        w.key(b"name").bytes(name);
        w.key(b"piece length").uint(geometry.piece_length().into()).end();
        let info = w.finish();
        let trees = Trees::of_one(root, geometry, nodes)?;
        Ok(V2 { info_hash: digest::sha256(&info), info, trees })
    }
}

impl Content {
    /// The v2 hash of a hybrid, whose two identities come of one dict.
    pub fn hybrid(&self) -> Option<InfoHash> {
        self.v2.as_ref().filter(|_| self.is_hybrid()).map(|v2| v2.info_hash.truncated())
    }

    /// Reads one info dict of any form: v1, v2 or hybrid. `layers` is the bencoded `piece layers`
    /// dict; without it a v2 identity of several pieces has no layer yet.
    pub fn from_info(info: &[u8], layers: Option<&[u8]>) -> Result<Content, MetaError> {
        let info = parse(info, Mode::Strict, Limits::METAINFO)?;
        let layers = match layers {
            Some(bytes) => Some(parse(bytes, Mode::Strict, Limits::METAINFO)?),
            None => None,
        };
        Content::of_info(&info::read(info.root(), layers.as_ref().map(|doc| doc.root()))?)
    }

    fn of_info(info: &info::Info) -> Result<Content, MetaError> {
        let (raw, common) = (info.dict.raw(), &info.common);
        let files = laying::lay(info)?;
        let v1 = match info.pieces {
            Some(pieces) => Some(V1 {
                info_hash: info::flat_hash(raw)?,
                info: raw.to_vec(),
                hashes: pieces.bytes().unwrap_or_default().as_chunks::<20>().0.to_vec(),
            }),
            None => None,
        };
        let v2 = match &info.tree {
            Some(_) => {
                let mut trees = Trees::of(&files, common.piece_length)?;
                if let Some(layers) = &info.layers {
                    let bytes = layers
                        .iter()
                        .filter_map(|(root, layer)| layer.bytes().map(|bytes| (*root, bytes)));
                    trees.take_proven(&bytes.collect());
                }
                Some(V2 { info_hash: digest::sha256(raw), info: raw.to_vec(), trees })
            }
            None => None,
        };
        Ok(Content {
            name: common.name.to_vec(),
            geometry: Geometry::of(&files, common.piece_length)?,
            files: Rc::new(files),
            private: common.private,
            hybrid: v1.is_some() && v2.is_some(),
            v1,
            v2,
        })
    }

    /// Reads what a catalogue entry carries: a v1 or hybrid info dict, a v2 info dict, the piece
    /// layers, each if it is there. What is there must describe one content.
    pub fn from_parts(
        v1: Option<&[u8]>,
        v2: Option<&[u8]>,
        layers: Option<&[u8]>,
    ) -> Result<Content, MetaError> {
        let content = match (v1, v2) {
            (None, None) => return Err(MetaError::Missing("info")),
            (Some(info), None) | (None, Some(info)) => Content::from_info(info, layers)?,
            (Some(info), Some(other)) => {
                let (one, two) =
                    (Content::from_info(info, None)?, Content::from_info(other, layers)?);
                if one.v2.is_some() || two.v1.is_some() {
                    return Err(MetaError::Bad("info", "is a hybrid and has a companion"));
                }
                Content::join(one, two)?
            }
        };
        if v1.is_some() && content.v1.is_none() {
            return Err(MetaError::Missing("pieces"));
        }
        if v2.is_some() && content.v2.is_none() {
            return Err(MetaError::Missing("file tree"));
        }
        Ok(content)
    }

    /// Reads a whole .torrent of any form; a v2 one must bring its piece layers (BEP 52).
    pub fn from_torrent(bytes: &[u8]) -> Result<Content, MetaError> {
        Content::read(bytes, KeyOrder::Sorted)
    }

    /// As [`Content::from_torrent`], with the keys in that order.
    pub fn read(bytes: &[u8], order: KeyOrder) -> Result<Content, MetaError> {
        torrent::read(bytes, order)
    }

    /// What a .torrent says beside its info dict; nothing of what is no .torrent.
    pub fn outside_of(bytes: &[u8], order: KeyOrder) -> outside::Outside {
        torrent::outside(bytes, order)
    }

    /// One content of two companions that agree on name, files, grid and `private`. The bytes lie
    /// as the v1 part has them.
    pub fn join(v1: Content, v2: Content) -> Result<Content, MetaError> {
        v1.agrees_with(&v2)?;
        let (first, second) = match (v1.v1, v2.v2) {
            (Some(first), Some(second)) => (first, second),
            (None, _) => return Err(MetaError::Missing("pieces")),
            (_, None) => return Err(MetaError::Missing("file tree")),
        };
        let files = v1.files.with_roots(v2.files.plain().filter_map(|(_, entry)| entry.root));
        let geometry = Geometry::of(&files, v1.geometry.piece_length())?;
        if geometry.pieces() != v2.geometry.pieces() {
            return Err(MetaError::Disagree("alignment"));
        }
        Ok(Content { geometry, files: Rc::new(files), v1: Some(first), v2: Some(second), ..v2 })
    }

    /// Whether `other` can be the same content under another identity.
    pub fn agrees_with(&self, other: &Content) -> Result<(), MetaError> {
        if self.name != other.name || self.files.is_folder() != other.files.is_folder() {
            return Err(MetaError::Disagree("names"));
        }
        let data = |content: &Content| {
            let entries = content.files.entries().iter().filter(|entry| entry.kind != Kind::Pad);
            entries.cloned().collect::<Vec<_>>()
        };
        let (mine, theirs) = (data(self), data(other));
        if mine.len() != theirs.len() {
            return Err(MetaError::Disagree("number of files"));
        }
        let twins = || mine.iter().zip(&theirs);
        if twins().any(|(a, b)| a.path != b.path || a.kind != b.kind) {
            return Err(MetaError::Disagree("names"));
        }
        if twins().any(|(a, b)| a.length != b.length) {
            return Err(MetaError::Disagree("sizes"));
        }
        if self.geometry.piece_length() != other.geometry.piece_length() {
            return Err(MetaError::Disagree("piece lengths"));
        }
        if twins().any(|(a, b)| a.length > 0 && a.offset != b.offset) {
            return Err(MetaError::Disagree("alignment"));
        }
        if self.private != other.private {
            return Err(MetaError::Disagree("private"));
        }
        Ok(())
    }

    /// Bytes of the files.
    pub fn data_bytes(&self) -> u64 {
        self.files.data_bytes()
    }

    /// What files of ours know the content by: its v2 info-hash, or its v1 info-hash and zeros.
    pub fn hash(&self) -> Hash32 {
        let mut hash = Hash32([0; 32]);
        match (&self.v2, &self.v1) {
            (Some(v2), _) => hash = v2.info_hash,
            (None, Some(v1)) => hash.0[..20].copy_from_slice(&v1.info_hash.0),
            (None, None) => {}
        }
        hash
    }

    /// The info-hash for people: the one of v2, if there is one.
    pub fn shown_hash(&self) -> String {
        match (&self.v2, &self.v1) {
            (Some(v2), _) => v2.info_hash.to_string(),
            (None, v1) => v1.as_ref().map(|v1| v1.info_hash.to_string()).unwrap_or_default(),
        }
    }

    /// Whether the hash of every piece is known under v2; else SHA-1 proves them.
    pub fn has_tree(&self) -> bool {
        self.v2.as_ref().is_some_and(|v2| v2.trees.is_complete())
    }

    /// The trees, if the hash of every piece is known under v2.
    pub fn trees(&self) -> Option<&Trees> {
        self.v2.as_ref().map(|v2| &v2.trees).filter(|trees| trees.is_complete())
    }

    /// The hash of the bytes of `piece`, whose blocks have the hashes `leaves`, in the form that
    /// [`Content::expected`] has.
    pub fn piece_hash(&self, piece: Piece, bytes: &[u8], leaves: &[Hash32]) -> Option<PieceHash> {
        match self.trees() {
            Some(trees) => {
                let (tree, _) = trees.place(piece.index())?;
                Some(PieceHash::Node(tree.shape.piece_node(leaves)))
            }
            None => Some(PieceHash::Sha1(self.flat_hash(piece, bytes))),
        }
    }

    /// SHA-1 of `piece`, with the zeros behind a file that ends in it.
    fn flat_hash(&self, piece: Piece, bytes: &[u8]) -> [u8; 20] {
        let mut hasher = digest::PieceHasher::default();
        hasher.update(bytes);
        let gap = self.geometry.place_len(piece) - self.geometry.piece_len(piece);
        hasher.zeros(gap.into());
        hasher.finish()
    }

    /// What piece `index` must hash to.
    pub fn expected(&self, index: u32) -> Option<PieceHash> {
        match self.trees() {
            Some(trees) => trees.node(index).map(PieceHash::Node),
            None => self.v1.as_ref()?.hashes.get(index as usize).copied().map(PieceHash::Sha1),
        }
    }

    /// Whether both identities come of one info dict.
    pub fn is_hybrid(&self) -> bool {
        self.hybrid
    }

    /// Whether a piece of a hybrid has bytes that are right by the tree and wrong by SHA-1:
    /// none can be right by both.
    pub fn contradicts_itself(&self, piece: Piece, bytes: &[u8]) -> bool {
        let flat = self.v1.as_ref().and_then(|v1| v1.hashes.get(piece.index() as usize));
        self.hybrid && self.has_tree() && flat != Some(&self.flat_hash(piece, bytes))
    }

    /// Takes the nodes of the pieces of the files with that root; they must fold to it.
    pub fn set_layer(&mut self, root: Hash32, layer: &[Hash32]) -> Result<(), MetaError> {
        let Some(v2) = &mut self.v2 else { return Err(MetaError::Missing("file tree")) };
        v2.trees.set_layer(root, layer)
    }

    /// The bencoded `piece layers` dict: empty when none is needed, `None` while one is unknown.
    pub fn piece_layers(&self) -> Option<Vec<u8>> {
        self.v2.as_ref()?.trees.write_layers()
    }

    /// A .torrent of the v1 identity (of the hybrid one if that is what it is) for stock clients.
    pub fn write_torrent_v1(&self, announce: &[String]) -> Option<Vec<u8>> {
        self.write_torrent_v1_with(announce, &[])
    }

    /// The same, with servers of the web that have the file (BEP 19).
    pub fn write_torrent_v1_with(
        &self,
        announce: &[String],
        web_seeds: &[String],
    ) -> Option<Vec<u8>> {
        let layers = if self.is_hybrid() { Some(self.piece_layers()?) } else { None };
        Some(torrent::write(&self.v1.as_ref()?.info, layers.as_deref(), announce, web_seeds))
    }

    /// A .torrent of the v2 identity with its piece layers.
    pub fn write_torrent_v2(&self, announce: &[String]) -> Option<Vec<u8>> {
        let layers = self.piece_layers()?;
        Some(torrent::write(&self.v2.as_ref()?.info, Some(&layers), announce, &[]))
    }
}
