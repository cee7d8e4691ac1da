//! Reading one info dict of any form: v1, v2, or hybrid, whose two parts must tell one story.

use super::files::{self, ListedFile, TreeFile};
use super::layers;
use crate::content::digest;
use crate::content::error::MetaError;
use crate::content::geometry::Geometry;
use crate::content::trees::PIECE_LENGTH_V2;
use crate::core::bencode::Value;
use crate::core::id::{Hash32, InfoHash};
use crate::core::limits::{BLOCK_BYTES, PIECES_MAX};
use crate::core::mark::mark;
use crate::core::name;
use std::collections::BTreeMap;

/// An info dict that keeps every rule of its form, its values borrowed from the text.
pub struct Info<'d, 'a> {
    pub dict: Value<'d, 'a>,
    pub common: Common<'a>,
    /// The v1 part.
    pub listed: Option<Listed<'d, 'a>>,
    /// `pieces` of the v1 part: as many hashes as its lengths ask for.
    pub pieces: Option<Value<'d, 'a>>,
    /// The v2 part.
    pub tree: Option<FileTree<'a>>,
    /// The layers that came with it, by their roots.
    pub layers: Option<BTreeMap<Hash32, Value<'d, 'a>>>,
}

/// What every info dict says.
#[derive(Clone, Copy)]
pub struct Common<'a> {
    pub name: &'a [u8],
    pub piece_length: u32,
    pub private: bool,
}

/// The files of the v1 part.
pub enum Listed<'d, 'a> {
    One(u64),
    Several(Vec<ListedFile<'d, 'a>>),
}

/// The files of the v2 part.
pub struct FileTree<'a> {
    pub files: Vec<TreeFile<'a>>,
    /// Their paths, elements joined by `/`.
    pub paths: Vec<Box<[u8]>>,
    /// The only file, when it stands at the top under the name of the torrent.
    pub alone: bool,
}

impl Info<'_, '_> {
    /// Whether the files lie in a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self.listed, Some(Listed::Several(_)))
            || self.tree.as_ref().is_some_and(|tree| !tree.alone)
    }
}

/// Reads an info dict of any form and checks everything the form asks for; layers that are given
/// are proven.
pub fn read<'d, 'a>(
    dict: Value<'d, 'a>,
    piece_layers: Option<Value<'d, 'a>>,
) -> Result<Info<'d, 'a>, MetaError> {
    if !dict.is_dict() {
        return Err(MetaError::Bad("info", "is not a dictionary"));
    }
    let has = |key: &[u8]| dict.get(key).is_some();
    // The version comes first: of a newer one nothing else can be judged.
    let v2 = has(b"meta version") || has(b"file tree");
    if v2 {
        check_version(dict)?;
    }
    let common = common(dict)?;
    let v1 = !v2 || has(b"pieces") || has(b"length") || has(b"files");
    let listed = if v1 { Some(listed(dict, &common)?) } else { None };
    let pieces = match &listed {
        Some(listed) => Some(pieces(dict, &common, listed)?),
        None => None,
    };
    let tree = if v2 { Some(file_tree(dict, &common, listed.as_ref())?) } else { None };
    let layers = match (&tree, piece_layers) {
        (Some(tree), Some(layers)) => {
            Some(layers::check_all(layers, &tree.files, common.piece_length)?)
        }
        _ => None,
    };
    Ok(Info { dict, common, listed, pieces, tree, layers })
}

/// The v1 info-hash: of a dict that was made to share it with another there is none.
pub fn flat_hash(dict: &[u8]) -> Result<InfoHash, MetaError> {
    digest::sha1_checked(dict).map(InfoHash).ok_or_else(|| {
        mark!("A22");
        MetaError::Bad("info", "was made to have the SHA-1 hash of another one")
    })
}

fn check_version(info: Value) -> Result<(), MetaError> {
    let version = info.get(b"meta version").ok_or(MetaError::Missing("meta version"))?;
    match version.int() {
        Some(2) => Ok(()),
        Some(newer) if newer > 2 => {
            Err(MetaError::Bad("meta version", "is newer than this program reads"))
        }
        _ => Err(MetaError::Bad("meta version", "is not 2")),
    }
}

fn common<'a>(info: Value<'_, 'a>) -> Result<Common<'a>, MetaError> {
    let name = info.get(b"name.utf-8").or_else(|| info.get(b"name"));
    let name = name.ok_or(MetaError::Missing("name"))?;
    let name = name.bytes().ok_or(MetaError::Bad("name", "is not a string"))?;
    name::path_element(name)?;
    let length = info.get(b"piece length").ok_or(MetaError::Missing("piece length"))?;
    let piece_length = length
        .int()
        .and_then(|length| u32::try_from(length).ok())
        .ok_or(MetaError::Bad("piece length", "is not a number of bytes below 4 GiB"))?;
    // Refuses a piece length no content can have, whatever its size.
    Geometry::new(0, piece_length)?;
    let private = match info.get(b"private") {
        Some(flag) => flag.int().ok_or(MetaError::Bad("private", "is not a number"))? == 1,
        None => false,
    };
    Ok(Common { name, piece_length, private })
}

fn listed<'d, 'a>(info: Value<'d, 'a>, common: &Common) -> Result<Listed<'d, 'a>, MetaError> {
    let list = match (info.get(b"length"), info.get(b"files")) {
        (Some(_), Some(_)) => return Err(MetaError::Bad("files", "stands beside `length`")),
        (_, None) => return Ok(Listed::One(files::length(info)?)),
        (None, Some(list)) => files::listed(list)?,
    };
    if list.iter().any(|file| file.is_pad() && file.length >= common.piece_length.into()) {
        mark!("A18");
        return Err(MetaError::Bad("attr", "makes a pad of a piece or more"));
    }
    Ok(Listed::Several(list))
}

/// The SHA-1 of each piece: as many as the lengths ask for.
fn pieces<'d, 'a>(
    info: Value<'d, 'a>,
    common: &Common,
    listed: &Listed,
) -> Result<Value<'d, 'a>, MetaError> {
    let total = match listed {
        Listed::One(length) => *length,
        Listed::Several(list) => files::total(list.iter().map(|file| file.length))?,
    };
    let geometry = Geometry::new(total, common.piece_length)?;
    let pieces = info.get(b"pieces").ok_or(MetaError::Missing("pieces"))?;
    let bytes = pieces.bytes().ok_or(MetaError::Bad("pieces", "is not a string"))?;
    let (hashes, rest) = bytes.as_chunks::<20>();
    if !rest.is_empty() {
        return Err(MetaError::Bad("pieces", "is not a multiple of 20 bytes"));
    }
    if hashes.len() != geometry.pieces() as usize {
        mark!("A11");
        return Err(MetaError::Bad("pieces", "has not one hash for each piece"));
    }
    Ok(pieces)
}

/// The files of the tree; in a hybrid each is compared with its twin of the v1 part.
fn file_tree<'a>(
    info: Value<'_, 'a>,
    common: &Common,
    listed: Option<&Listed>,
) -> Result<FileTree<'a>, MetaError> {
    if !common.piece_length.is_power_of_two() || common.piece_length < BLOCK_BYTES {
        return Err(PIECE_LENGTH_V2);
    }
    let tree = info.get(b"file tree").ok_or(MetaError::Missing("file tree"))?;
    let mut twins = listed.map(|listed| Twins::new(listed, common));
    let (mut found, mut paths, mut at_top, mut pieces) = (Vec::new(), Vec::new(), false, 0u64);
    files::walk(tree, |path, file| {
        if let Some(twins) = &mut twins {
            twins.compare(path, &file)?;
        }
        at_top = path == [common.name];
        pieces += file.length.div_ceil(u64::from(common.piece_length));
        if pieces > u64::from(PIECES_MAX) {
            return Err(MetaError::TooManyPieces);
        }
        found.push(file);
        paths.push(path.join(&b'/').into_boxed_slice());
        Ok(())
    })?;
    if let Some(mut twins) = twins {
        twins.end()?;
    }
    files::total(found.iter().map(|file| file.length))?;
    Ok(FileTree { alone: found.len() == 1 && at_top, files: found, paths })
}

/// The v1 part of a hybrid, gone through beside its tree.
struct Twins<'l, 'd, 'a> {
    listed: &'l Listed<'d, 'a>,
    common: Common<'a>,
    /// Entries of the v1 part passed, and bytes in them.
    passed: usize,
    offset: u64,
    /// Where the last of them that is no pad ends.
    data_end: u64,
}

impl<'l, 'd, 'a> Twins<'l, 'd, 'a> {
    fn new(listed: &'l Listed<'d, 'a>, common: &Common<'a>) -> Twins<'l, 'd, 'a> {
        Twins { listed, common: *common, passed: 0, offset: 0, data_end: 0 }
    }

    fn compare(&mut self, path: &[&[u8]], file: &TreeFile) -> Result<(), MetaError> {
        let (same_path, length) = match self.listed {
            Listed::One(length) => (self.passed == 0 && path == [self.common.name], *length),
            Listed::Several(list) => {
                self.pass_pads(list);
                let twin = list.get(self.passed).ok_or(MetaError::Disagree("number of files"))?;
                let same =
                    twin.path.is_some_and(|twin| files::elements(twin).eq(path.iter().copied()));
                (same, twin.length)
            }
        };
        if !same_path {
            return Err(MetaError::Disagree("names"));
        }
        if length != file.length {
            return Err(MetaError::Disagree("sizes"));
        }
        // As many pieces as the tree has: no pad but the one that fills the piece before.
        if length > 0 && Some(self.offset) != self.filled() {
            mark!("A21");
            return Err(MetaError::Disagree("alignment"));
        }
        self.offset = self.offset.saturating_add(length);
        if length > 0 {
            self.data_end = self.offset;
        }
        self.passed += 1;
        Ok(())
    }

    /// Where the piece ends that the last file ends in.
    fn filled(&self) -> Option<u64> {
        self.data_end.checked_next_multiple_of(self.common.piece_length.into())
    }

    fn pass_pads(&mut self, list: &[ListedFile]) {
        while let Some(pad) = list.get(self.passed).filter(|file| file.is_pad()) {
            self.offset = self.offset.saturating_add(pad.length);
            self.passed += 1;
        }
    }

    /// After the last file only the pad that fills its piece may follow.
    fn end(&mut self) -> Result<(), MetaError> {
        let count = match self.listed {
            Listed::One(_) => 1,
            Listed::Several(list) => {
                self.pass_pads(list);
                if self.offset != self.data_end && Some(self.offset) != self.filled() {
                    return Err(MetaError::Disagree("alignment"));
                }
                list.len()
            }
        };
        if self.passed == count { Ok(()) } else { Err(MetaError::Disagree("number of files")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::mark::expect_mark;

    /// The first 320 bytes of the first of two files of one SHA-1 (Stevens and others, 2017).
    const SHATTERED: &str = "\
        255044462d312e330a25e2e3cfd30a0a0a312030206f626a0a3c3c2f57696474682032203020522f48656967 \
        68742033203020522f547970652034203020522f537562747970652035203020522f46696c74657220362030 \
        20522f436f6c6f7253706163652037203020522f4c656e6774682038203020522f42697473506572436f6d70 \
        6f6e656e7420383e3e0a73747265616d0affd8fffe00245348412d3120697320646561642121212121852fec \
        092339759c39b1a1c63c4c97e1fffe017346dc9166b67e118f029ab621b2560ff9ca67cca8c7f85ba84c7903 \
        0c2b3de218f86db3a90901d5df45c14f26fedfb3dc38e96ac22fe7bd728f0e45bce046d23c570feb141398bb \
        552ef5a0a82be331fea48037b8b5d71f0e332edf93ac3500eb4ddc0decc1a864790c782c76215660dd309791 \
        d06bd0af3f98cda4bc4629b1";

    #[test]
    fn a_dict_made_to_share_its_hash_has_none() {
        let digits: String = SHATTERED.split_whitespace().collect();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let mut bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        let why = expect_mark!("A22", flat_hash(&bytes)).unwrap_err();
        assert!(why.to_string().contains("SHA-1"), "{why}");
        bytes[200] ^= 1;
        assert_eq!(flat_hash(&bytes), Ok(InfoHash(digest::sha1(&bytes))));
    }
}
