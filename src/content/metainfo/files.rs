//! The file lists of a metainfo: `length` or `files` of v1 (BEP 3, BEP 47), the `file tree` of v2.

use crate::content::error::MetaError;
use crate::content::file_list::Kind;
use crate::core::bencode::{Entries, Value};
use crate::core::id::Hash32;
use crate::core::mark::mark;
use crate::core::name;

/// Longest path taken, bytes, its separators counted.
const PATH_BYTES_MAX: usize = 1024;

/// One entry of v1 `files`.
#[derive(Clone, Copy, Debug)]
pub struct ListedFile<'d, 'a> {
    /// The list of path elements; `None` for a pad that has none.
    pub path: Option<Value<'d, 'a>>,
    pub length: u64,
    pub attr: Attr<'a>,
}

/// BEP 47: one letter for each property of a file.
#[derive(Clone, Copy, Default, Debug)]
pub struct Attr<'a>(&'a [u8]);

impl<'a> Attr<'a> {
    pub fn of(file: Value<'_, 'a>) -> Attr<'a> {
        Attr(file.get(b"attr").and_then(|attr| attr.bytes()).unwrap_or_default())
    }

    pub fn has(self, letter: u8) -> bool {
        self.0.contains(&letter)
    }

    pub fn kind(self) -> Kind {
        match (self.has(b'p'), self.has(b'l')) {
            (true, _) => Kind::Pad,
            (_, true) => Kind::Link,
            _ => Kind::Plain,
        }
    }
}

/// One file of a v2 tree.
#[derive(Clone, Copy, Debug)]
pub struct TreeFile<'a> {
    pub length: u64,
    pub attr: Attr<'a>,
    /// Zero for an empty file.
    pub root: Hash32,
}

impl ListedFile<'_, '_> {
    pub fn is_pad(&self) -> bool {
        self.attr.kind() == Kind::Pad
    }
}

/// The length of a file of a folder: a link needs none.
fn length_of(file: Value, kind: Kind) -> Result<u64, MetaError> {
    match (kind, file.get(b"length")) {
        (Kind::Link, None) => Ok(0),
        (Kind::Link, Some(length)) if length.int() != Some(0) => {
            mark!("A17");
            Err(MetaError::Bad("length", "is given for a symbolic link"))
        }
        _ => length(file),
    }
}

/// A length that is there and fits.
pub fn length(dict: Value) -> Result<u64, MetaError> {
    let value = dict.get(b"length").ok_or(MetaError::Missing("length"))?;
    value.uint().ok_or(MetaError::Bad("length", "is not a number of bytes"))
}

/// Sum of lengths that still fits the integers of bencode.
pub fn total(lengths: impl Iterator<Item = u64>) -> Result<u64, MetaError> {
    let mut sum = 0u64;
    for length in lengths {
        sum = sum.checked_add(length).ok_or(MetaError::TooLarge)?;
    }
    if sum > i64::MAX as u64 {
        mark!("A12");
        return Err(MetaError::TooLarge);
    }
    Ok(sum)
}

/// The entries of v1 `files`, each with a safe path of its own.
pub fn listed<'d, 'a>(files: Value<'d, 'a>) -> Result<Vec<ListedFile<'d, 'a>>, MetaError> {
    if !files.is_list() {
        return Err(MetaError::Bad("files", "is not a list"));
    }
    let list = files.items().map(listed_one).collect::<Result<Vec<_>, _>>()?;
    if list.is_empty() {
        return Err(MetaError::Bad("files", "is empty"));
    }
    if list.iter().all(ListedFile::is_pad) {
        return Err(MetaError::Bad("files", "has pads alone"));
    }
    no_shared_paths(&list)?;
    Ok(list)
}

fn listed_one<'d, 'a>(file: Value<'d, 'a>) -> Result<ListedFile<'d, 'a>, MetaError> {
    if !file.is_dict() {
        return Err(MetaError::Bad("files", "has an entry that is not a dictionary"));
    }
    let attr = Attr::of(file);
    // Where both are there, the older one is in whatever character set its maker had.
    let path = file.get(b"path.utf-8").or_else(|| file.get(b"path"));
    match path {
        Some(path) => safe_path(path, "path")?,
        None if attr.kind() == Kind::Pad => {}
        None => return Err(MetaError::Missing("path")),
    }
    safe_target(file)?;
    Ok(ListedFile { path, length: length_of(file, attr.kind())?, attr })
}

/// Where a link points to, if it says so: inside of the content.
fn safe_target(file: Value) -> Result<(), MetaError> {
    file.get(b"symlink path").map_or(Ok(()), |target| safe_path(target, "symlink path"))
}

fn safe_path(path: Value, key: &'static str) -> Result<(), MetaError> {
    if path.items().next().is_none() {
        return Err(MetaError::Bad(key, "is not a list of path elements"));
    }
    let mut bytes = 0;
    for element in path.items() {
        let element = element.bytes().ok_or(MetaError::Bad(key, "has a non-string element"))?;
        name::path_element(element).map_err(|why| MetaError::Element(key, why))?;
        bytes += element.len() + 1;
    }
    if bytes > PATH_BYTES_MAX + 1 { Err(MetaError::Bad(key, "is too long")) } else { Ok(()) }
}

/// The elements of a path that was found safe.
pub fn elements<'a>(path: Value<'_, 'a>) -> impl Iterator<Item = &'a [u8]> {
    path.items().filter_map(|element| element.bytes())
}

/// In order of their elements a path stands right before those it is the beginning of, so
/// neighbours tell whether two files share a path or one is the folder of another.
fn no_shared_paths(list: &[ListedFile]) -> Result<(), MetaError> {
    let mut paths: Vec<Value> =
        list.iter().filter(|file| !file.is_pad()).filter_map(|file| file.path).collect();
    paths.sort_by(|a, b| elements(*a).cmp(elements(*b)));
    for pair in paths.windows(2) {
        let [a, b] = pair else { continue };
        let mut longer = elements(*b);
        if elements(*a).all(|element| longer.next() == Some(element)) {
            mark!("A16");
            return Err(MetaError::Bad("files", "has two entries that would be the same file"));
        }
    }
    Ok(())
}

/// Calls `visit` with the path of each file of a v2 tree, in the order of the tree.
pub fn walk<'a>(
    tree: Value<'_, 'a>,
    mut visit: impl FnMut(&[&'a [u8]], TreeFile<'a>) -> Result<(), MetaError>,
) -> Result<(), MetaError> {
    let mut open: Vec<Entries> = vec![branch(tree)?];
    let mut path: Vec<&[u8]> = Vec::new();
    while let Some(folder) = open.last_mut() {
        let Some((element, node)) = folder.next() else {
            open.pop();
            path.pop();
            continue;
        };
        name::path_element(element)?;
        path.push(element);
        if path.iter().map(|element| element.len() + 1).sum::<usize>() > PATH_BYTES_MAX + 1 {
            return Err(MetaError::Bad("file tree", "has a path that is too long"));
        }
        match node.entries().next() {
            Some((b"", file)) => {
                if node.entries().count() != 1 {
                    return Err(MetaError::Bad("file tree", "has a file with siblings inside"));
                }
                visit(&path, tree_file(file)?)?;
                path.pop();
            }
            _ => open.push(branch(node)?),
        }
    }
    Ok(())
}

/// The entries of a folder of the tree.
fn branch<'d, 'a>(node: Value<'d, 'a>) -> Result<Entries<'d, 'a>, MetaError> {
    match node.entries().next() {
        Some((b"", _)) => Err(MetaError::Bad("file tree", "is itself a file")),
        Some(_) => Ok(node.entries()),
        None => Err(MetaError::Bad("file tree", "has an empty folder or a value of another type")),
    }
}

fn tree_file<'a>(file: Value<'_, 'a>) -> Result<TreeFile<'a>, MetaError> {
    let attr = Attr::of(file);
    let length = length_of(file, attr.kind())?;
    if attr.kind() == Kind::Pad {
        return Err(MetaError::Bad("attr", "makes a pad of a v2 file"));
    }
    safe_target(file)?;
    let root = match (file.get(b"pieces root"), length) {
        (None, 0) => Hash32([0; 32]),
        (Some(_), 0) => return Err(MetaError::Bad("pieces root", "is given for an empty file")),
        (None, _) => return Err(MetaError::Missing("pieces root")),
        (Some(root), _) => root
            .bytes()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .map(Hash32)
            .ok_or(MetaError::Bad("pieces root", "is not 32 bytes"))?,
    };
    if length > 0 && root.0 == [0; 32] {
        mark!("A19");
        return Err(MetaError::Bad("pieces root", "is all zero"));
    }
    Ok(TreeFile { length, attr, root })
}
