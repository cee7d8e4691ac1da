//! A row of files: the files of a folder as one, in the order of their bytes.

use super::files::{FileKind, Meta};
use super::name::path_element;
use std::path::PathBuf;

/// Files that lie one after the other in a row of `size` bytes. What lies between two of them is
/// zeros that stand nowhere: padding (BEP 47), and the ends of pieces that begin with a file
/// (BEP 52).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    files: Vec<RowFile>,
    size: u64,
    aside: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowFile {
    /// Below the folder; elements joined by `/`.
    pub path: Box<[u8]>,
    /// First byte in the row.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Else it is not made, and what is written of it is kept aside.
    pub wanted: bool,
    pub executable: bool,
}

/// Where a stretch of the row stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In the file of that index, from that byte of the file on.
    File(usize, u64),
    /// Kept aside, at the offset that it has in the row.
    Aside(u64),
    /// Nowhere: it is zeros.
    Zeros,
}

impl Row {
    /// `None` unless the files lie in the order of their bytes, none in another, all within `size`,
    /// and each path is one that stays below its folder. Without `aside`, a file to write to, what
    /// is written of unwanted files is forgotten.
    pub fn new(files: Vec<RowFile>, size: u64, aside: Option<PathBuf>) -> Option<Row> {
        let mut end = 0;
        for file in &files {
            let is_safe = |element| path_element(element).is_ok();
            if file.offset < end || !file.path.split(|byte| *byte == b'/').all(is_safe) {
                return None;
            }
            end = file.offset.checked_add(file.len)?;
        }
        (end <= size && size <= i64::MAX as u64).then_some(Row { files, size, aside })
    }

    pub fn files(&self) -> &[RowFile] {
        &self.files
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file that keeps what was written of unwanted files.
    pub fn aside(&self) -> Option<&PathBuf> {
        self.aside.as_ref()
    }

    /// Where `len` bytes from `offset` on stand, with the length of each stretch, in order; no
    /// further than the row.
    pub fn parts(&self, offset: u64, len: u64) -> impl Iterator<Item = (Place, u64)> {
        let end = offset.saturating_add(len).min(self.size);
        let mut next = self.files.partition_point(|file| file.offset + file.len <= offset);
        let mut at = offset;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            while self.files.get(next).is_some_and(|file| file.len == 0) {
                next += 1;
            }
            let (place, to) = match self.files.get(next) {
                Some(file) if file.offset <= at => {
                    next += 1;
                    let place = match file.wanted {
                        true => Place::File(next - 1, at - file.offset),
                        false => Place::Aside(at),
                    };
                    (place, file.offset + file.len)
                }
                Some(file) => (Place::Zeros, file.offset),
                None => (Place::Zeros, end),
            };
            let to = to.min(end);
            let len = to - std::mem::replace(&mut at, to);
            Some((place, len))
        })
    }
}

/// What a row is, found out file by file.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    mtime_ns: i128,
    ctime_ns: i128,
    /// Wanted files that are there, and those that are not as the row says.
    there: u64,
    wrong: u64,
}

impl Tally {
    /// What is there of one file; of what is kept aside if `file` is `None`.
    pub fn add(&mut self, file: Option<&RowFile>, found: Option<&Meta>) {
        if let Some(meta) = found {
            // No sum of times that fit 64 bits is near the end of 128.
            self.mtime_ns = self.mtime_ns.wrapping_add(meta.mtime_ns);
            self.ctime_ns = self.ctime_ns.wrapping_add(meta.ctime_ns);
        }
        if let Some(file) = file.filter(|file| file.wanted) {
            self.there += u64::from(found.is_some());
            self.wrong += u64::from(found.is_none_or(|meta| meta.size != file.len));
        }
    }

    /// What the system says of the row whose folder is `root`, once all of it was added.
    pub fn meta(&self, row: &Row, root: &Meta) -> Meta {
        let size = match (self.there, self.wrong) {
            (_, 0) => row.size,
            (0, _) if row.size > 0 => 0,
            _ => row.size + 1,
        };
        let Tally { mtime_ns, ctime_ns, .. } = *self;
        Meta { kind: FileKind::Directory, size, mtime_ns, ctime_ns, ..*root }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(path: &[u8], offset: u64, len: u64, wanted: bool) -> RowFile {
        RowFile { path: path.into(), offset, len, wanted, executable: false }
    }

    proptest! {
        #[test]
        fn parts_are_what_a_look_at_each_byte_says(
            files in prop::collection::vec((0u64..9, 0u64..9, any::<bool>()), 0..9),
            behind in 0u64..9,
            from in 0u64..99,
            len in 0u64..99,
        ) {
            let (mut bytes, mut row) = (Vec::new(), Vec::new());
            for (n, (gap, len, wanted)) in files.into_iter().enumerate() {
                bytes.resize(bytes.len() + gap as usize, Place::Zeros);
                let start = bytes.len() as u64;
                row.push(file(b"a/b", start, len, wanted));
                bytes.extend((0..len).map(|at| match wanted {
                    true => Place::File(n, at),
                    false => Place::Aside(start + at),
                }));
            }
            bytes.resize(bytes.len() + behind as usize, Place::Zeros);
            let row = Row::new(row, bytes.len() as u64, None).unwrap();
            let found: Vec<Place> = row.parts(from, len).flat_map(|(place, len)| {
                (0..len).map(move |n| match place {
                    Place::File(file, at) => Place::File(file, at + n),
                    Place::Aside(at) => Place::Aside(at + n),
                    Place::Zeros => Place::Zeros,
                })
            }).collect();
            let to = bytes.len().min((from + len) as usize);
            let expected = bytes.get(from as usize..to).unwrap_or_default();
            prop_assert_eq!(found.as_slice(), expected);
        }
    }

    #[test]
    fn a_path_that_leaves_the_folder_and_files_that_overlap_make_no_row() {
        let row = |files: &[RowFile]| Row::new(files.to_vec(), 10, None);
        assert!(row(&[file(b"a", 0, 4, true), file(b"b/c", 4, 6, true)]).is_some());
        for path in ["", "..", "../a", "a/../b", "/a", "a//b", "a/", "./a", "a\0"] {
            assert_eq!(row(&[file(path.as_bytes(), 0, 4, true)]), None, "{path:?}");
        }
        assert_eq!(row(&[file(b"a", 0, 4, true), file(b"b", 3, 1, true)]), None);
        assert_eq!(row(&[file(b"a", 0, 11, true)]), None);
        assert_eq!(row(&[file(b"a", u64::MAX, 1, true)]), None);
    }
}
