//! Making the content of a folder: both identities in one read of its files. The v1 one is a
//! companion, padded so that its grid is that of the v2 one (BEP 47).

use super::outside::Outside;
use super::{Content, Maker, Wanted};
use crate::content::error::MetaError;
use crate::content::file_list::FileList;
use crate::content::grid::Form;
use std::collections::BTreeSet;

#[derive(Debug)]
pub struct FolderHasher {
    v1: Maker,
    v2: Maker,
}

impl FolderHasher {
    /// For a folder of the name `name` with those files: path below it, elements joined by `/`, and
    /// size.
    pub fn new(name: &[u8], files: Vec<(Vec<u8>, u64)>) -> Result<FolderHasher, MetaError> {
        let wanted = |form| Wanted {
            form,
            piece_length: None,
            private: false,
            source: None,
            outside: Outside::default(),
        };
        let v1 = Maker::companion(name, files.clone(), wanted(Form::V1))?;
        Ok(FolderHasher { v1, v2: Maker::folder(name, files, wanted(Form::V2))? })
    }

    /// Those of its files that may be executed say so (BEP 47).
    pub fn with_executables(self, paths: &BTreeSet<Vec<u8>>) -> FolderHasher {
        let FolderHasher { v1, v2 } = self;
        FolderHasher { v1: v1.with_executables(paths), v2: v2.with_executables(paths) }
    }

    /// Where the files lie in the row of the content.
    pub fn files(&self) -> &FileList {
        self.v1.files()
    }

    /// Bytes of that row.
    pub fn size(&self) -> u64 {
        self.v1.geometry().size()
    }

    /// The next stretch to hash: its first byte in the row, and its length. `None` once all bytes
    /// came.
    pub fn wanted(&self) -> Option<(u64, u64)> {
        let (at, from) = self.v1.wanted()?;
        Some((self.files().entries().get(at)?.offset + from, self.v1.left()))
    }

    /// The next bytes, no more than the stretch has.
    pub fn update(&mut self, bytes: &[u8]) {
        self.v1.update(bytes);
        self.v2.update(bytes);
    }

    /// The content, once all bytes came.
    pub fn finish(self) -> Result<Content, MetaError> {
        let (v1, v2) = (self.v1.finish()?, self.v2.finish()?);
        Content::join(Content::from_torrent(&v1)?, Content::from_torrent(&v2)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::file_list::Kind;

    #[test]
    fn a_folder_has_two_identities_of_one_grid() {
        let sizes = [("b/c", 40_000), ("a", 16_384), ("b/empty", 0), ("z", 5), ("zz/none", 0)];
        let files = sizes.map(|(path, size)| (path.as_bytes().to_vec(), size)).to_vec();
        let mut hasher = FolderHasher::new(b"folder", files).unwrap();
        let mut asked = Vec::new();
        while let Some((offset, len)) = hasher.wanted() {
            asked.push((offset, len));
            hasher.update(&vec![7; len as usize]);
        }
        assert_eq!(asked, [(0, 16_384), (16_384, 40_000), (65_536, 5)]);
        let (size, list) = (hasher.size(), hasher.files().clone());
        assert_eq!(size, 65_541);
        let content = hasher.finish().unwrap();
        assert_eq!((content.geometry.size(), content.geometry.pieces()), (65_541, 5));
        assert_eq!(content.data_bytes(), 56_389);
        assert!(content.v1.is_some() && content.has_tree() && !content.is_hybrid());
        let pads: Vec<&[u8]> = content
            .files
            .entries()
            .iter()
            .filter(|entry| entry.kind == Kind::Pad)
            .map(|entry| &*entry.path)
            .collect();
        assert_eq!(pads, [&b".pad/1.9152"[..]]);
        for (now, then) in content.files.plain().zip(list.plain()) {
            assert_eq!((&now.1.path, now.1.offset), (&then.1.path, then.1.offset));
        }
    }
}
