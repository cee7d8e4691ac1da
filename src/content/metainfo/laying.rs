//! From an info dict to the files it describes and where each lies in the row.

use super::files::{Attr, elements};
use super::info::{Info, Listed};
use crate::content::error::MetaError;
use crate::content::file_list::{Entry, FileList, Kind};

/// The entries with their places, those of a v2 part with their roots.
pub fn lay(info: &Info) -> Result<FileList, MetaError> {
    let mut entries: Vec<Entry> = match &info.listed {
        Some(Listed::Several(list)) => list
            .iter()
            .map(|file| {
                let path: Vec<&[u8]> =
                    file.path.map(|path| elements(path).collect()).unwrap_or_default();
                entry(path.join(&b'/'), file.length, file.attr)
            })
            .collect(),
        Some(Listed::One(length)) => {
            let alone = entry(info.common.name, *length, Attr::of(info.dict));
            vec![Entry { kind: Kind::Plain, ..alone }]
        }
        None => Vec::new(),
    };
    if let Some(tree) = &info.tree {
        if info.listed.is_none() {
            let files = tree.files.iter().zip(&tree.paths);
            entries.extend(files.map(|(file, path)| entry(path.clone(), file.length, file.attr)));
        }
        // The two parts of a hybrid tell of the same files, pads apart.
        let twins = entries.iter_mut().filter(|entry| entry.kind != Kind::Pad);
        for (entry, file) in twins.zip(&tree.files) {
            entry.root = (file.length > 0).then_some(file.root);
        }
    }
    let aligned = info.listed.is_none().then_some(info.common.piece_length);
    FileList::lay(entries, info.is_folder(), aligned).ok_or(MetaError::TooLarge)
}

fn entry(path: impl Into<Box<[u8]>>, length: u64, attr: Attr) -> Entry {
    Entry {
        kind: attr.kind(),
        executable: attr.has(b'x'),
        hidden: attr.has(b'h'),
        ..Entry::plain(path, length)
    }
}
