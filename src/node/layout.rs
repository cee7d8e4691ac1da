//! How the bytes of a content stand on the disk: in one file, or in the files of a folder, which
//! are opened as one; and which of its pieces that takes.

use crate::content::bitfield::Bitfield;
use crate::content::chosen::Chosen;
use crate::content::digest::sha256;
use crate::content::file_list::{Entry, FileList};
use crate::content::geometry::Geometry;
use crate::core::fault::Fatal;
use crate::core::id::Hash32;
use crate::core::io::{FileOp, OpenMode};
use crate::core::report::{Ending, foreign_bytes};
use crate::core::row::{Row, RowFile};
use std::path::PathBuf;
use std::rc::Rc;

#[derive(Clone, Debug)]
pub enum Layout {
    File,
    Folder(Rc<Row>),
}

impl Layout {
    /// How all `files`, in a row of `size` bytes, stand on the disk. An error is internal: whoever
    /// laid the files out held their paths and places against the same rules.
    pub fn whole(files: &FileList, size: u64) -> Result<Layout, Fatal> {
        Layout::new(files, size, |_| true, None)
    }

    /// How those that are chosen do. The others are not made, and what comes of them is kept in the
    /// file `aside`.
    pub fn of(
        files: &FileList,
        size: u64,
        chosen: Option<&Chosen>,
        aside: PathBuf,
    ) -> Result<Layout, Fatal> {
        let Some(chosen) = chosen.map(|chosen| chosen.of(files)) else {
            return Layout::whole(files, size);
        };
        Layout::new(files, size, |plain| chosen.contains(&plain), Some(aside))
    }

    fn new(
        files: &FileList,
        size: u64,
        wanted: impl Fn(usize) -> bool,
        aside: Option<PathBuf>,
    ) -> Result<Layout, Fatal> {
        let file = |(plain, (_, entry)): (usize, (usize, &Entry))| RowFile {
            path: entry.path.clone(),
            offset: entry.offset,
            len: entry.length,
            wanted: wanted(plain),
            executable: entry.executable,
        };
        if !files.is_folder() {
            return Ok(Layout::File);
        }
        let row = Row::new(files.plain().enumerate().map(file).collect(), size, aside);
        let no_row = || Fatal {
            ending: Ending::Internal,
            line: "the files of a folder do not lie one after the other; nothing is written".into(),
        };
        row.map(|row| Layout::Folder(Rc::new(row))).ok_or_else(no_row)
    }

    pub fn open(&self, path: PathBuf, mode: OpenMode) -> FileOp {
        match self {
            Layout::File => FileOp::Open { path, mode },
            Layout::Folder(row) => FileOp::OpenRow { root: path, row: row.clone(), mode },
        }
    }

    /// What a journal of the content `hash` is bound to. Of which files are made depends where the
    /// bytes of a piece stand: all of them, and the journal is that of the content alone.
    pub fn journal_hash(&self, hash: Hash32) -> Hash32 {
        let Some(row) = self.chosen() else { return hash };
        let mut bytes = hash.0.to_vec();
        bytes.extend(row.files().iter().map(|file| u8::from(file.wanted)));
        sha256(&bytes)
    }

    /// The path of a file in the folder, as it can be shown.
    pub fn shown(&self, file: usize) -> String {
        match self {
            Layout::File => String::new(),
            Layout::Folder(row) => {
                row.files().get(file).map_or_else(String::new, |file| foreign_bytes(&file.path))
            }
        }
    }

    pub fn is_folder(&self) -> bool {
        matches!(self, Layout::Folder(_))
    }

    /// The file that keeps what is not chosen.
    pub fn aside(&self) -> Option<&PathBuf> {
        match self {
            Layout::File => None,
            Layout::Folder(row) => row.aside(),
        }
    }

    /// Files that are made.
    pub fn files(&self) -> usize {
        match self {
            Layout::File => 1,
            Layout::Folder(row) => row.files().iter().filter(|file| file.wanted).count(),
        }
    }

    /// The pieces that have bytes of a file that is made: all of them, if all files are.
    pub fn wanted(&self, geometry: &Geometry) -> Bitfield {
        match self.chosen() {
            Some(row) => pieces_of(row, geometry, true),
            None => Bitfield::full(geometry.pieces()),
        }
    }

    /// The wanted pieces that have no byte of a file that is not made.
    pub fn alone(&self, geometry: &Geometry) -> Bitfield {
        let mut alone = self.wanted(geometry);
        if let Some(row) = self.chosen() {
            pieces_of(row, geometry, false).ones().for_each(|piece| _ = alone.clear(piece));
        }
        alone
    }

    /// The row, if some of its files are not made.
    fn chosen(&self) -> Option<&Row> {
        match self {
            Layout::Folder(row) if row.files().iter().any(|file| !file.wanted) => Some(row),
            _ => None,
        }
    }
}

/// The pieces with bytes of files that are `wanted`, or not.
fn pieces_of(row: &Row, geometry: &Geometry, wanted: bool) -> Bitfield {
    let (mut pieces, length) = (Bitfield::new(geometry.pieces()), geometry.piece_length());
    for file in row.files().iter().filter(|file| file.wanted == wanted && file.len > 0) {
        // A piece begins at a multiple of the piece length, whatever lies between files.
        let piece = |byte: u64| u32::try_from(byte / u64::from(length)).unwrap_or(u32::MAX);
        let last = piece(file.offset + file.len - 1);
        (piece(file.offset)..=last).for_each(|piece| _ = pieces.set(piece));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_wanted_for_any_byte_of_a_chosen_file() {
        let entries = [("a", 10), ("b", 25), ("c", 0), ("d", 15), ("e", 10)];
        let entries = entries.map(|(path, len)| Entry::plain(path.as_bytes(), len)).to_vec();
        let files = FileList::lay(entries, true, None).unwrap();
        let geometry = Geometry::new(60, 10).unwrap();
        let of = |text: &str| {
            let chosen = Chosen::read(text).unwrap();
            let layout = Layout::of(&files, 60, Some(&chosen), "/aside".into()).unwrap();
            let ones = |pieces: Bitfield| pieces.ones().collect::<Vec<u32>>();
            (layout.files(), ones(layout.wanted(&geometry)), ones(layout.alone(&geometry)))
        };
        assert_eq!(of("b"), (1, vec![1, 2, 3], vec![1, 2]));
        assert_eq!(of("c"), (1, vec![], vec![]));
        assert_eq!(of("d,e"), (2, vec![3, 4, 5], vec![4, 5]));
        assert_eq!(of("*"), (5, (0..6).collect(), (0..6).collect()));
        assert_eq!(of("none"), (0, vec![], vec![]));
    }

    #[test]
    fn files_that_make_no_row_are_no_single_file() {
        let lay = |path: &str, size| {
            let entries = vec![Entry::plain(*b"a", 10), Entry::plain(path.as_bytes(), 10)];
            Layout::whole(&FileList::lay(entries, true, None).unwrap(), size)
        };
        assert!(matches!(lay("b", 20), Ok(Layout::Folder(_))));
        for (path, size) in [("../b", 20), ("b", 19)] {
            assert_eq!(lay(path, size).unwrap_err().ending, Ending::Internal, "{path}, {size}");
        }
    }
}
