//! Places on the disk: what stands beside a target, the directory of both, and paths made safe
//! to show.

use crate::content::metainfo::Content;
use crate::core::report::foreign;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Longest name of a file that every common file system takes, bytes.
const FILE_NAME_BYTES_MAX: usize = 255;
/// Longest suffix of ours: what is cut is cut for all of them alike.
const SUFFIX_BYTES_MAX: usize = 11;

/// A path made safe to show.
pub fn show(path: &Path) -> String {
    foreign(&path.to_string_lossy())
}

pub fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What stands beside its target: the target's name and `suffix`. Where the name would be too long
/// it is cut, and eight digits of the content's hash keep it apart from others.
pub fn beside(target: &Path, suffix: &[u8], content: &Content) -> PathBuf {
    beside_as(target, suffix, || content.hash().to_string())
}

/// The same, with digits of what `hash` gives.
pub fn beside_as(target: &Path, suffix: &[u8], hash: impl FnOnce() -> String) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().as_bytes().to_vec();
    if name.len() + SUFFIX_BYTES_MAX > FILE_NAME_BYTES_MAX {
        let whole = String::from_utf8_lossy(&name).into_owned();
        let cut = whole.floor_char_boundary(FILE_NAME_BYTES_MAX - SUFFIX_BYTES_MAX - 9);
        let hash = hash();
        name = format!("{}~{}", &whole[..cut], &hash[..8.min(hash.len())]).into_bytes();
    }
    name.extend_from_slice(suffix);
    directory_of(target).join(OsString::from_vec(name))
}
