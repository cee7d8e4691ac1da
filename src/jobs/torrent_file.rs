//! Reading a .torrent that the command line names.

use crate::content::metainfo::{KeyOrder, Metainfo};
use crate::core::fault::Fatal;
use crate::core::io::{FileDone, FileOp};
use crate::core::limits::TORRENT_BYTES_MAX;
use crate::core::mark::mark;
use crate::core::report::{Ending, escaped};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A .torrent to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TorrentFile {
    /// Absolute.
    pub path: PathBuf,
    pub order: KeyOrder,
}

/// A path as a person sees it.
pub fn shown(path: &Path) -> String {
    escaped(path.as_os_str().as_bytes())
}

impl TorrentFile {
    pub fn load(&self) -> FileOp {
        FileOp::Load { path: self.path.clone(), bytes_max: TORRENT_BYTES_MAX as u64 }
    }

    /// What the file says, or why nobody knows.
    pub fn loaded(&self, done: FileDone) -> Result<Metainfo, Fatal> {
        let path = shown(&self.path);
        let failed = |ending, why: String| Fatal { ending, line: format!("{path}: {why}") };
        match done {
            FileDone::Loaded(Ok(bytes)) => Metainfo::read(bytes, self.order).map_err(|why| {
                let mut line = why.to_string();
                if why.is_disorder() && self.order == KeyOrder::Sorted {
                    line.push_str("; --lenient takes a v1 torrent as it stands");
                }
                failed(Ending::Usage, line)
            }),
            FileDone::Loaded(Err(error)) => {
                mark!("A09");
                Err(failed(Ending::Disk, error.reason()))
            }
            _ => Err(failed(Ending::Internal, "an answer to another question".into())),
        }
    }
}
