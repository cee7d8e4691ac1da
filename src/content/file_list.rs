//! The files of a content and where each lies in the row of bytes that pieces are cut from.

use crate::core::id::Hash32;
use std::collections::BTreeSet;

/// What an entry stands for (BEP 47).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Plain,
    /// Zeros that fill the grid: hashed, never written.
    Pad,
    /// A symbolic link: no bytes, never made.
    Link,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Elements joined by `/`, which none of them contains; beginning below the folder of a content
    /// that has one. UTF-8, each element one that [`crate::core::name::path_element`] takes.
    pub path: Box<[u8]>,
    /// Bytes.
    pub length: u64,
    /// First byte in the row. In a v2 content every file that is not empty begins with a piece, and
    /// between two files there may be bytes of none.
    pub offset: u64,
    pub kind: Kind,
    pub executable: bool,
    pub hidden: bool,
    /// Root of the file's tree (BEP 52).
    pub root: Option<Hash32>,
}

impl Entry {
    /// A plain file whose place is not known yet.
    pub fn plain(path: impl Into<Box<[u8]>>, length: u64) -> Entry {
        Entry {
            path: path.into(),
            length,
            offset: 0,
            kind: Kind::Plain,
            executable: false,
            hidden: false,
            root: None,
        }
    }
}

/// Bytes of one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Index of the entry.
    pub entry: usize,
    /// First byte in the entry.
    pub offset: u64,
    pub len: u64,
}

/// All entries in the order of their bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileList {
    entries: Vec<Entry>,
    folder: bool,
    size: u64,
}

impl FileList {
    /// Lays entries one after the other; with `grid` each that is not empty begins at a multiple of
    /// it. `None` if the row does not fit 63 bits.
    pub fn lay(mut entries: Vec<Entry>, folder: bool, grid: Option<u32>) -> Option<FileList> {
        let mut size = 0u64;
        for entry in &mut entries {
            if let (Some(grid), 1..) = (grid, entry.length) {
                size = size.checked_next_multiple_of(grid.into())?;
            }
            entry.offset = size;
            size = size.checked_add(entry.length).filter(|size| *size <= i64::MAX as u64)?;
        }
        Some(FileList { entries, folder, size })
    }

    /// The same entries, those that are plain files and not empty with their roots, in their order.
    pub fn with_roots(&self, roots: impl IntoIterator<Item = Hash32>) -> FileList {
        let mut list = self.clone();
        let full = |entry: &&mut Entry| entry.kind == Kind::Plain && entry.length > 0;
        for (entry, root) in list.entries.iter_mut().filter(full).zip(roots) {
            entry.root = Some(root);
        }
        list
    }

    /// The same entries, of which those with these paths may be executed.
    pub fn with_executables(&self, paths: &BTreeSet<Vec<u8>>) -> FileList {
        let mut list = self.clone();
        for entry in &mut list.entries {
            entry.executable = entry.kind == Kind::Plain && paths.contains(&*entry.path);
        }
        list
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether the entries lie in a folder of the content's name; else the only one has that name.
    pub fn is_folder(&self) -> bool {
        self.folder
    }

    /// Bytes of the row: the end of the last entry.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of plain files.
    pub fn data_bytes(&self) -> u64 {
        self.plain().map(|(_, entry)| entry.length).sum()
    }

    /// Plain files with their indices.
    pub fn plain(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().filter(|(_, entry)| entry.kind == Kind::Plain)
    }

    /// What of each entry lies in `start..end` of the row, in order; empty entries do not.
    pub fn spans(&self, start: u64, end: u64) -> impl Iterator<Item = Span> {
        let first = self.entries.partition_point(|entry| entry.offset + entry.length <= start);
        let rest = self.entries.iter().enumerate().skip(first);
        rest.take_while(move |(_, entry)| entry.offset < end).filter_map(move |(at, entry)| {
            let from = start.max(entry.offset);
            let to = end.min(entry.offset + entry.length);
            let offset = from - entry.offset;
            (to > from).then(|| Span { entry: at, offset, len: to - from })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_are_all_bytes_of_all_files_once_and_in_order(
            lengths in prop::collection::vec(0u64..90, 0..12),
            grid in prop::option::of(1u32..50),
            step in 1u64..40,
        ) {
            let entries: Vec<Entry> =
                lengths.iter().map(|length| Entry::plain(*b"x", *length)).collect();
            let list = FileList::lay(entries, true, grid).unwrap();
            let mut found = vec![0; lengths.len()];
            let mut last = 0;
            for start in (0..list.size()).step_by(step as usize) {
                for span in list.spans(start, start + step) {
                    prop_assert!(span.entry >= last && span.len > 0);
                    prop_assert_eq!(span.offset, found[span.entry]);
                    let at = list.entries()[span.entry].offset + span.offset;
                    prop_assert!(at >= start && at + span.len <= start + step);
                    (last, found[span.entry]) = (span.entry, span.offset + span.len);
                }
            }
            prop_assert_eq!(&found, &lengths);
            for entry in list.entries().iter().filter(|entry| entry.length > 0) {
                prop_assert!(entry.offset.is_multiple_of(grid.unwrap_or(1).into()));
            }
        }
    }

    #[test]
    fn a_row_longer_than_63_bits_is_refused() {
        let entries = vec![Entry::plain(*b"a", i64::MAX as u64), Entry::plain(*b"b", 1)];
        assert_eq!(FileList::lay(entries.clone(), true, None), None);
        assert_eq!(FileList::lay(entries, true, Some(16384)), None);
    }
}
