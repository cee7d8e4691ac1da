//! How the bytes of a content stand on the disk: in one file, or in the files of a folder, which
//! are opened as one.

use crate::content::file_list::FileList;
use crate::core::io::{FileOp, OpenMode};
use crate::core::row::{Row, RowFile};
use std::path::PathBuf;
use std::rc::Rc;

#[derive(Clone, Debug)]
pub enum Layout {
    File,
    Folder(Rc<Row>),
}

impl Layout {
    /// How `files`, in a row of `size` bytes, stand on the disk. Those of a folder that are not
    /// `wanted` are not made, and what comes of them is kept in the file `aside`.
    pub fn new(
        files: &FileList,
        size: u64,
        wanted: impl Fn(usize) -> bool,
        aside: Option<PathBuf>,
    ) -> Layout {
        let file = |(at, entry): (usize, &crate::content::file_list::Entry)| RowFile {
            path: entry.path.clone(),
            offset: entry.offset,
            len: entry.length,
            wanted: wanted(at),
            executable: entry.executable,
        };
        if !files.is_folder() {
            return Layout::File;
        }
        // Whoever laid the files out held their paths and places against the same rules.
        let row = Row::new(files.plain().map(file).collect(), size, aside);
        row.map_or(Layout::File, |row| Layout::Folder(Rc::new(row)))
    }

    /// Of all files of a content that is there, or shall be.
    pub fn whole(files: &FileList, size: u64) -> Layout {
        Layout::new(files, size, |_| true, None)
    }

    pub fn open(&self, path: PathBuf, mode: OpenMode) -> FileOp {
        match self {
            Layout::File => FileOp::Open { path, mode },
            Layout::Folder(row) => FileOp::OpenRow { root: path, row: row.clone(), mode },
        }
    }

    pub fn is_folder(&self) -> bool {
        matches!(self, Layout::Folder(_))
    }
}
