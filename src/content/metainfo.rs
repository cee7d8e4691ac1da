//! Metainfo of one content: its v1 and v2 identities (BEP 3, BEP 52), made, read and joined.
//!
//! An identity keeps the info dict as the bytes that were found; a hash is always one of those
//! bytes, never of a re-encoding.

mod files;
mod hasher;
mod info;
mod layers;
mod making;
pub mod outside;
mod proving;
mod torrent;
mod whole;

pub use hasher::ContentHasher;
pub use making::{Maker, Wanted};
pub use proving::Proving;
pub use whole::{KeyOrder, Metainfo};

use super::digest;
use super::error::MetaError;
use super::geometry::Geometry;
use super::merkle::Shape;
use super::proof::Tree;
use crate::core::bencode::{Limits, Mode, Writer, parse};
use crate::core::id::{Hash32, InfoHash};

/// One file under one name: its grid and the identities it is known by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// The name as it stands in the info dicts: one safe path element, the file's own bytes.
    pub name: Vec<u8>,
    pub geometry: Geometry,
    /// BEP 27: only the torrent's own trackers may be asked for peers.
    pub private: bool,
    /// There is at least one of `v1` and `v2`; both come of one dict or are companions.
    pub v1: Option<V1>,
    pub v2: Option<V2>,
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
    /// Root of the file's tree; zero for an empty file, which has none.
    pub root: Hash32,
    /// The node of each piece. Empty when the file has at most one piece, whose node is the root,
    /// and while the layer is not known yet.
    pub layer: Vec<Hash32>,
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
    /// The identity of a content with that tree; `{file tree, meta version, name, piece length}`.
    pub fn write(name: &[u8], geometry: &Geometry, root: Hash32, layer: Vec<Hash32>) -> V2 {
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
        V2 { info_hash: digest::sha256(&info), info, root, layer }
    }

    /// Whether the hash of every piece is known.
    pub fn has_layer(&self, geometry: &Geometry) -> bool {
        geometry.pieces() <= 1 || self.layer.len() == geometry.pieces() as usize
    }

    /// The hash each piece must fold to: the layer, or the root of a file of one piece.
    pub fn piece_node(&self, geometry: &Geometry, piece: u32) -> Option<Hash32> {
        match geometry.pieces() {
            1 => (piece == 0).then_some(self.root),
            _ => self.layer.get(piece as usize).copied(),
        }
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
        info::content(info.root(), layers.as_ref().map(|doc| doc.root()))
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
        torrent::read(bytes)
    }

    /// What a .torrent says beside its info dict; nothing of what is no .torrent.
    pub fn outside_of(bytes: &[u8]) -> outside::Outside {
        torrent::outside(bytes)
    }

    /// One content of two companions that agree on name, size, grid and `private`.
    pub fn join(v1: Content, v2: Content) -> Result<Content, MetaError> {
        v1.agrees_with(&v2)?;
        match (v1.v1, v2.v2) {
            (Some(first), Some(second)) => Ok(Content { v1: Some(first), v2: Some(second), ..v2 }),
            (None, _) => Err(MetaError::Missing("pieces")),
            (_, None) => Err(MetaError::Missing("file tree")),
        }
    }

    /// Whether `other` can be the same content under another identity.
    pub fn agrees_with(&self, other: &Content) -> Result<(), MetaError> {
        if self.name != other.name {
            return Err(MetaError::Disagree("names"));
        }
        if self.geometry.size() != other.geometry.size() {
            return Err(MetaError::Disagree("sizes"));
        }
        if self.geometry != other.geometry {
            return Err(MetaError::Disagree("piece lengths"));
        }
        if self.private != other.private {
            return Err(MetaError::Disagree("private"));
        }
        Ok(())
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
        self.v2.as_ref().is_some_and(|v2| v2.has_layer(&self.geometry))
    }

    /// The hash of the bytes of a piece, whose blocks have the hashes `leaves`, in the form that
    /// [`Content::expected`] has.
    pub fn piece_hash(&self, bytes: &[u8], leaves: &[Hash32]) -> Option<PieceHash> {
        match self.has_tree() {
            true => Some(PieceHash::Node(Shape::of(&self.geometry)?.piece_node(leaves))),
            false => Some(PieceHash::Sha1(digest::sha1(bytes))),
        }
    }

    /// What piece `index` must hash to.
    pub fn expected(&self, index: u32) -> Option<PieceHash> {
        match &self.v2 {
            Some(v2) if self.has_tree() => {
                v2.piece_node(&self.geometry, index).map(PieceHash::Node)
            }
            _ => self.v1.as_ref()?.hashes.get(index as usize).copied().map(PieceHash::Sha1),
        }
    }

    /// Whether both identities come of one info dict.
    pub fn is_hybrid(&self) -> bool {
        matches!((&self.v1, &self.v2), (Some(v1), Some(v2)) if v1.info == v2.info)
    }

    /// Takes the nodes of all pieces once they were fetched; they must fold to the root.
    pub fn set_layer(&mut self, layer: Vec<Hash32>) -> Result<(), MetaError> {
        let Some(v2) = &mut self.v2 else { return Err(MetaError::Missing("file tree")) };
        layers::check(&self.geometry, &v2.root, layer.iter().copied())?;
        v2.layer = layer;
        Ok(())
    }

    /// The upper tree, to answer hash requests from; `None` for an empty file, without a v2
    /// identity and before its layer is known.
    pub fn tree(&self) -> Option<Tree> {
        let (shape, v2) = (Shape::of(&self.geometry)?, self.v2.as_ref()?);
        let root = [v2.root];
        Tree::new(shape, if self.geometry.pieces() == 1 { &root } else { &v2.layer })
    }

    /// The bencoded `piece layers` dict: empty when no layer is needed, `None` while it is unknown.
    pub fn piece_layers(&self) -> Option<Vec<u8>> {
        let v2 = self.v2.as_ref()?;
        v2.has_layer(&self.geometry).then(|| layers::write(v2))
    }

    /// A .torrent of the v1 identity (of the hybrid one if that is what it is) for stock clients.
    pub fn write_torrent_v1(&self, announce: &[String]) -> Option<Vec<u8>> {
        let layers = if self.is_hybrid() { Some(self.piece_layers()?) } else { None };
        Some(torrent::write(&self.v1.as_ref()?.info, layers.as_deref(), announce))
    }

    /// A .torrent of the v2 identity with its piece layers.
    pub fn write_torrent_v2(&self, announce: &[String]) -> Option<Vec<u8>> {
        let layers = self.piece_layers()?;
        Some(torrent::write(&self.v2.as_ref()?.info, Some(&layers), announce))
    }
}
