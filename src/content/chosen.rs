//! Some of the files of a content, as a person or a magnet link names them.

use super::file_list::{Entry, FileList, Kind};
use crate::core::glob::{GLOB_BYTES_MAX, Glob};
use std::collections::BTreeSet;

/// Files of a content that are wanted. What is named by none of the terms is not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chosen {
    terms: Vec<Term>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Term {
    /// First and last number, from 1; pads have none.
    Numbers(usize, usize),
    /// First and last index of an entry, from 0; pads have one (BEP 53).
    Entries(usize, usize),
    /// Of a path, of its last element, or of a folder it lies in.
    Glob(Glob),
}

impl Chosen {
    /// Reads numbers, ranges of them and globs, with commas between them: `1,4-6,*.jpg,docs`. The
    /// numbers are those that `lmk show` prints.
    pub fn read(text: &str) -> Result<Chosen, &'static str> {
        let terms: Result<Vec<Term>, &'static str> = text.split(',').map(term).collect();
        Ok(Chosen { terms: terms? })
    }

    /// Ranges of indices, as `so` of a magnet link has them (BEP 53).
    pub fn entries(ranges: &[(u32, u32)]) -> Chosen {
        let term = |(first, last): &(u32, u32)| Term::Entries(*first as usize, *last as usize);
        Chosen { terms: ranges.iter().map(term).collect() }
    }

    /// Indices of the plain files that are chosen, as they come in [`FileList::plain`].
    pub fn of(&self, files: &FileList) -> BTreeSet<usize> {
        let (mut number, mut chosen, mut plain) = (0, BTreeSet::new(), 0);
        for (at, entry) in files.entries().iter().enumerate() {
            number += usize::from(entry.kind != Kind::Pad);
            if entry.kind != Kind::Plain {
                continue;
            }
            if self.terms.iter().any(|term| term.names(entry, number, at)) {
                chosen.insert(plain);
            }
            plain += 1;
        }
        chosen
    }
}

fn term(text: &str) -> Result<Term, &'static str> {
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    if let (Some(first), Some(last)) = (number(first), number(last)) {
        return match first <= last {
            true => Ok(Term::Numbers(first, last)),
            false => Err("a range begins with its smaller number"),
        };
    }
    if text.is_empty() || text.len() > GLOB_BYTES_MAX {
        return Err("numbers of files, ranges of them, or globs, with commas between them");
    }
    Glob::new(text.strip_suffix('/').unwrap_or(text)).map(Term::Glob)
}

impl Term {
    fn names(&self, entry: &Entry, number: usize, at: usize) -> bool {
        match self {
            Term::Numbers(first, last) => (*first..=*last).contains(&number),
            Term::Entries(first, last) => (*first..=*last).contains(&at),
            Term::Glob(glob) => {
                // A path of a metainfo is UTF-8.
                let path = String::from_utf8_lossy(&entry.path);
                let folders = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
                let name = path.rsplit('/').next();
                folders.chain(name).chain([&*path]).any(|text| glob.fits(text, &mut 0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str) -> Vec<usize> {
        let pad = Entry { kind: Kind::Pad, ..Entry::plain(*b".pad/1", 1) };
        let link = Entry { kind: Kind::Link, ..Entry::plain(*b"link", 0) };
        let file = |path: &str| Entry::plain(path.as_bytes(), 1);
        let (a, deep) = (file("a.jpg"), file("docs/old/b.jpg"));
        let entries = vec![a, pad, link, deep, file("docs/7"), file("7-9")];
        let files = FileList::lay(entries, true, None).unwrap();
        Chosen::read(text).unwrap().of(&files).into_iter().collect()
    }

    #[test]
    fn numbers_are_those_that_are_shown_and_globs_fit_paths_names_and_folders() {
        assert_eq!(chosen("1"), [0]);
        assert_eq!(chosen("2"), [0; 0]);
        assert_eq!(chosen("3-4"), [1, 2]);
        assert_eq!(chosen("1,5"), [0, 3]);
        assert_eq!(chosen("4-99"), [2, 3]);
        assert_eq!(chosen("*.jpg"), [0, 1]);
        assert_eq!(chosen("docs/*"), [1, 2]);
        assert_eq!(chosen("docs/"), [1, 2]);
        assert_eq!(chosen("old"), [0; 0]);
        assert_eq!(chosen("docs/old,[7]*"), [1, 2, 3]);
    }

    #[test]
    fn indices_of_a_magnet_link_count_every_entry_from_0() {
        let entries = vec![Entry::plain(*b"a", 1), Entry::plain(*b"b", 1)];
        let files = FileList::lay(entries, true, None).unwrap();
        let of = |ranges: &[(u32, u32)]| Chosen::entries(ranges).of(&files);
        assert_eq!(of(&[(0, 0)]), BTreeSet::from([0]));
        assert_eq!(of(&[(1, 5)]), BTreeSet::from([1]));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", "1,,2", "3-1", "a\\"] {
            assert!(Chosen::read(text).is_err(), "{text}");
        }
    }
}
