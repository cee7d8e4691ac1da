//! `piece layers` of BEP 52: a dict from root to the nodes of its pieces, for each file of more
//! than one piece.

use super::files::TreeFile;
use crate::content::error::MetaError;
use crate::content::geometry::Geometry;
use crate::content::merkle::Shape;
use crate::content::trees::{self, PIECE_LENGTH_V2};
use crate::core::bencode::Value;
use crate::core::id::Hash32;
use std::collections::BTreeMap;

/// Checks the whole dict against the files of a torrent: no layer lacks, none is there beyond need,
/// each folds to its root. Gives the layers by their roots.
pub fn check_all<'d, 'a>(
    dict: Value<'d, 'a>,
    files: &[TreeFile],
    piece_length: u32,
) -> Result<BTreeMap<Hash32, Value<'d, 'a>>, MetaError> {
    if !dict.is_dict() {
        return Err(MetaError::Bad("piece layers", "is not a dictionary"));
    }
    let mut given = BTreeMap::new();
    for (key, value) in dict.entries() {
        let root = <[u8; 32]>::try_from(key).map_err(|_| MetaError::Layers("a key is no root"))?;
        let layer = value.bytes().ok_or(MetaError::Layers("a layer is not a string"))?;
        given.insert(Hash32(root), (value, layer));
    }
    // Equal files share one layer, which is folded once.
    let mut used = BTreeMap::new();
    for file in files.iter().filter(|file| file.length > u64::from(piece_length)) {
        let geometry = Geometry::new(file.length, piece_length)?;
        if used.get(&file.root) == Some(&geometry.pieces()) {
            continue;
        }
        let Some((_, layer)) = given.get(&file.root) else {
            return Err(MetaError::Layers("the layer of a file lacks"));
        };
        let shape = Shape::of(&geometry).ok_or(PIECE_LENGTH_V2)?;
        trees::check(&shape, &file.root, nodes(layer)?)?;
        used.insert(file.root, geometry.pieces());
    }
    if given.len() != used.len() {
        return Err(MetaError::Layers("a layer belongs to no file of several pieces"));
    }
    Ok(given.into_iter().map(|(root, (value, _))| (root, value)).collect())
}

/// The nodes in the bytes of one layer.
fn nodes(bytes: &[u8]) -> Result<impl ExactSizeIterator<Item = Hash32>, MetaError> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(MetaError::Layers("a layer is not a multiple of 32 bytes"));
    }
    Ok(hashes.iter().copied().map(Hash32))
}
