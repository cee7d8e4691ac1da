//! Remembered hashes: what a file hashed to, by (device, inode, size, mtime, ctime). Losing it
//! costs time, not truth; whatever does not match exactly is hashed again.

use crate::content::metainfo::Content;
use crate::core::bencode::{Limits, Mode, Writer, parse};
use crate::core::io::Meta;
use std::path::{Path, PathBuf};

/// Where the memory of one file stands: the device and inode name it.
pub fn path(directory: &Path, meta: &Meta) -> PathBuf {
    directory.join(format!("{:x}-{:x}", meta.device, meta.inode))
}

/// What is remembered of `content`, which is what the file said with `meta` hashed to.
pub fn write(meta: &Meta, content: &Content) -> Option<Vec<u8>> {
    let (v1, v2) = (content.v1.as_ref()?, content.v2.as_ref()?);
    let layers = content.piece_layers()?;
    let mut out = Writer::new();
    out.begin_dict();
    out.key(b"file").bytes(stamp(meta).as_bytes());
    out.key(b"info v1").bytes(&v1.info);
    out.key(b"info v2").bytes(&v2.info);
    out.key(b"piece layers").bytes(&layers);
    out.end();
    Some(out.finish())
}

/// The content of the file said with `meta` and named `name`, if that is what was remembered.
pub fn read(bytes: &[u8], meta: &Meta, name: &[u8]) -> Option<Content> {
    let doc = parse(bytes, Mode::Strict, Limits::CATALOGUE).ok()?;
    let root = doc.root();
    if root.get(b"file")?.bytes()? != stamp(meta).as_bytes() {
        return None;
    }
    let part = |key: &[u8]| root.get(key)?.bytes();
    let (v1, v2) = (part(b"info v1")?, part(b"info v2")?);
    let content = Content::from_parts(Some(v1), Some(v2), part(b"piece layers")).ok()?;
    (content.name == name && content.geometry.size() == meta.size).then_some(content)
}

fn stamp(meta: &Meta) -> String {
    let Meta { device, inode, size, mtime_ns, ctime_ns, .. } = meta;
    format!("1 {device} {inode} {size} {mtime_ns} {ctime_ns}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::metainfo::ContentHasher;
    use crate::core::io::FileKind;

    const META: Meta = Meta {
        kind: FileKind::Regular,
        size: 70_000,
        device: 1,
        inode: 2,
        mtime_ns: 3,
        ctime_ns: 4,
    };

    fn content() -> Content {
        let mut hasher = ContentHasher::new(b"big.zip", META.size).unwrap();
        hasher.update(&vec![7; META.size as usize]);
        hasher.finish().unwrap()
    }

    #[test]
    fn what_was_remembered_is_what_was_hashed() {
        let bytes = write(&META, &content()).unwrap();
        assert_eq!(read(&bytes, &META, b"big.zip"), Some(content()));
    }

    #[test]
    fn any_difference_of_the_file_voids_the_memory() {
        let bytes = write(&META, &content()).unwrap();
        for other in [
            Meta { device: 9, ..META },
            Meta { inode: 9, ..META },
            Meta { size: 9, ..META },
            Meta { mtime_ns: 9, ..META },
            Meta { ctime_ns: 9, ..META },
        ] {
            assert_eq!(read(&bytes, &other, b"big.zip"), None, "{other:?}");
        }
        assert_eq!(read(&bytes, &META, b"small.zip"), None);
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end], &META, b"big.zip"), None);
        }
    }
}
