//! The file lists of a metainfo: `length` or `files` of v1 (BEP 3, BEP 47), the `file tree` of v2.

use crate::content::error::MetaError;
use crate::core::bencode::{Entries, Value};
use crate::core::id::Hash32;
use crate::core::name;

/// Longest path taken, bytes, its separators counted.
const PATH_BYTES_MAX: usize = 1024;

/// One entry of v1 `files`.
#[derive(Clone, Copy, Debug)]
pub struct ListedFile<'d, 'a> {
    /// The list of path elements; `None` for a pad that has none.
    pub path: Option<Value<'d, 'a>>,
    pub length: u64,
    /// BEP 47: zero bytes that only fill the grid.
    pub pad: bool,
}

/// One file of a v2 tree.
#[derive(Clone, Copy, Debug)]
pub struct TreeFile {
    pub length: u64,
    /// Zero for an empty file.
    pub root: Hash32,
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
    if sum > i64::MAX as u64 { Err(MetaError::TooLarge) } else { Ok(sum) }
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
    no_shared_paths(&list)?;
    Ok(list)
}

fn listed_one<'d, 'a>(file: Value<'d, 'a>) -> Result<ListedFile<'d, 'a>, MetaError> {
    if !file.is_dict() {
        return Err(MetaError::Bad("files", "has an entry that is not a dictionary"));
    }
    let attr = file.get(b"attr").and_then(|attr| attr.bytes()).unwrap_or_default();
    let pad = attr.contains(&b'p');
    let path = file.get(b"path");
    match path {
        Some(path) => safe_path(path, "path")?,
        None if pad => {}
        None => return Err(MetaError::Missing("path")),
    }
    if let Some(target) = file.get(b"symlink path") {
        safe_path(target, "symlink path")?;
    }
    Ok(ListedFile { path, length: length(file)?, pad })
}

fn safe_path(path: Value, key: &'static str) -> Result<(), MetaError> {
    if path.items().next().is_none() {
        return Err(MetaError::Bad(key, "is not a list of path elements"));
    }
    let mut bytes = 0;
    for element in path.items() {
        let element = element.bytes().ok_or(MetaError::Bad(key, "has a non-string element"))?;
        name::element(element)?;
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
        list.iter().filter(|file| !file.pad).filter_map(|file| file.path).collect();
    paths.sort_by(|a, b| elements(*a).cmp(elements(*b)));
    for pair in paths.windows(2) {
        let [a, b] = pair else { continue };
        let mut longer = elements(*b);
        if elements(*a).all(|element| longer.next() == Some(element)) {
            return Err(MetaError::Bad("files", "has two entries that would be the same file"));
        }
    }
    Ok(())
}

/// Calls `visit` with the path of each file of a v2 tree, in the order of the tree.
pub fn walk<'a>(
    tree: Value<'_, 'a>,
    mut visit: impl FnMut(&[&'a [u8]], TreeFile) -> Result<(), MetaError>,
) -> Result<(), MetaError> {
    let mut open: Vec<Entries> = vec![branch(tree)?];
    let mut path: Vec<&[u8]> = Vec::new();
    while let Some(folder) = open.last_mut() {
        let Some((element, node)) = folder.next() else {
            open.pop();
            path.pop();
            continue;
        };
        name::element(element)?;
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

fn tree_file(file: Value) -> Result<TreeFile, MetaError> {
    let length = length(file)?;
    if file.get(b"attr").and_then(|attr| attr.bytes()).is_some_and(|attr| attr.contains(&b'p')) {
        return Err(MetaError::Bad("attr", "makes a pad of a v2 file"));
    }
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
        return Err(MetaError::Bad("pieces root", "is all zero"));
    }
    Ok(TreeFile { length, root })
}
