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
    /// Of a path, of its last element, or of a folder it lies in; and as it was typed.
    Glob(Glob, String),
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
        let numbers = Ranges::of(self.terms.iter().filter_map(|term| match term {
            Term::Numbers(first, last) => Some((*first, *last)),
            _ => None,
        }));
        let entries = Ranges::of(self.terms.iter().filter_map(|term| match term {
            Term::Entries(first, last) => Some((*first, *last)),
            _ => None,
        }));
        for (at, entry) in files.entries().iter().enumerate() {
            number += usize::from(entry.kind != Kind::Pad);
            if entry.kind != Kind::Plain {
                continue;
            }
            let by_glob = || self.terms.iter().any(|term| term.fits(entry));
            if numbers.has(number) || entries.has(at) || by_glob() {
                chosen.insert(plain);
            }
            plain += 1;
        }
        chosen
    }

    /// The terms by which no plain file is chosen, as they were typed; `so=` before those of a
    /// magnet link.
    pub fn idle(&self, files: &FileList) -> Vec<String> {
        let (mut number, mut numbers, mut indices) = (0, Vec::new(), Vec::new());
        for (at, entry) in files.entries().iter().enumerate() {
            number += usize::from(entry.kind != Kind::Pad);
            if entry.kind == Kind::Plain {
                numbers.push(number);
                indices.push(at);
            }
        }
        let within = |there: &[usize], first: usize, last: usize| {
            let next = there.partition_point(|n| *n < first);
            there.get(next).is_some_and(|n| *n <= last)
        };
        let idle = self.terms.iter().filter(|term| match term {
            Term::Numbers(first, last) => !within(&numbers, *first, *last),
            Term::Entries(first, last) => !within(&indices, *first, *last),
            Term::Glob(..) => !files.plain().any(|(_, entry)| term.fits(entry)),
        });
        idle.map(Term::typed).collect()
    }
}

/// Numbers in ranges that do not touch each other, the smallest first.
struct Ranges(Vec<(usize, usize)>);

impl Ranges {
    fn of(ranges: impl Iterator<Item = (usize, usize)>) -> Ranges {
        let mut sorted: Vec<(usize, usize)> = ranges.collect();
        sorted.sort_unstable();
        let mut joined: Vec<(usize, usize)> = Vec::new();
        for (first, last) in sorted {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        Ranges(joined)
    }

    fn has(&self, n: usize) -> bool {
        let next = self.0.partition_point(|(_, last)| *last < n);
        self.0.get(next).is_some_and(|(first, _)| *first <= n)
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
    let glob = Glob::new(text.strip_suffix('/').unwrap_or(text))?;
    Ok(Term::Glob(glob, text.to_owned()))
}

impl Term {
    /// Whether this is a glob and fits.
    fn fits(&self, entry: &Entry) -> bool {
        let Term::Glob(glob, _) = self else { return false };
        // A path of a metainfo is UTF-8.
        let path = String::from_utf8_lossy(&entry.path);
        let folders = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
        let name = path.rsplit('/').next();
        folders.chain(name).chain([&*path]).any(|text| glob.fits(text, &mut 0))
    }

    fn typed(&self) -> String {
        match self {
            Term::Numbers(first, last) if first == last => first.to_string(),
            Term::Numbers(first, last) => format!("{first}-{last}"),
            Term::Entries(first, last) if first == last => format!("so={first}"),
            Term::Entries(first, last) => format!("so={first}-{last}"),
            Term::Glob(_, typed) => typed.clone(),
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
    fn a_term_that_names_nothing_is_told() {
        let link = Entry { kind: Kind::Link, ..Entry::plain(*b"link", 0) };
        let entries = vec![Entry::plain(*b"a.jpg", 1), link, Entry::plain(*b"b", 1)];
        let files = FileList::lay(entries, true, None).unwrap();
        let idle = |text: &str| Chosen::read(text).unwrap().idle(&files);
        assert_eq!(idle("1,99,zzz*,2,*.jpg,3-7,4-9"), ["99", "zzz*", "2", "4-9"]);
        assert_eq!(Chosen::entries(&[(0, 1), (1, 1), (3, 9)]).idle(&files), ["so=1", "so=3-9"]);
    }

    #[test]
    fn ranges_in_any_order_are_each_looked_up() {
        let ranges = Ranges::of([(7, 9), (0, 2), (2, 3), (4, 4), (8, 8)].into_iter());
        assert_eq!(ranges.0, [(0, 4), (7, 9)]);
        let has = (0..12).filter(|n| ranges.has(*n)).collect::<Vec<_>>();
        assert_eq!(has, [0, 1, 2, 3, 4, 7, 8, 9]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", "1,,2", "3-1", "a\\"] {
            assert!(Chosen::read(text).is_err(), "{text}");
        }
    }
}
