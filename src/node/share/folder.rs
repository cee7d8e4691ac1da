//! A seeder that was given a folder: its files are found, laid out and opened as one.

use super::{Phase, Share};
use crate::content::file_list::FileList;
use crate::content::metainfo::{Content, FolderHasher};
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, Meta, Outbox};
use crate::core::report::Ending;
use crate::node::hashing::Hasher;
use crate::node::layout::Layout;
use crate::node::places::show;
use crate::seeder::walk::Walk;

impl Share {
    /// What is to be shared is a folder: which files are in it?
    pub(super) fn walk(&mut self, out: &mut Outbox) {
        let (top, made) = (self.plan.path.clone(), self.plan.torrent_out.clone());
        self.phase = Some(Phase::Walking(Box::new(Walk::start(top, made, out))));
    }

    /// A directory was read.
    pub(super) fn walked(
        &mut self,
        mut walk: Box<Walk>,
        (ticket, done): (Ticket, FileDone),
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        if !walk.got(ticket, done, out)? {
            self.phase = Some(Phase::Walking(walk));
            return Ok(());
        }
        if walk.files.is_empty() {
            let path = show(&self.plan.path);
            let line = format!(
                "{path}: there is no file in it; put some there, or name another with --file"
            );
            return Err(Fatal { ending: Ending::Usage, line });
        }
        let files = walk.files.into_iter().map(|(path, meta)| (path, meta.size)).collect();
        let hasher = FolderHasher::new(self.info_name(), files)
            .map_err(|error| self.refused(&error.to_string()))?
            .with_executables(&walk.executables);
        let layout = Layout::whole(hasher.files(), hasher.size())?;
        self.folder = Some(Box::new(hasher));
        self.open(&layout, out);
        Ok(())
    }

    /// Whether the files of the folder, if it is one, are those of a content.
    pub(super) fn lies_as(&self, content: &Content) -> bool {
        let place = |list: &FileList| -> Vec<(Box<[u8]>, u64, u64)> {
            list.plain().map(|(_, file)| (file.path.clone(), file.offset, file.length)).collect()
        };
        match &self.folder {
            Some(folder) => place(folder.files()) == place(&content.files),
            None => !content.files.is_folder(),
        }
    }

    /// What hashes the file, or the files of the folder, that is open.
    pub(super) fn hasher(&mut self, meta: &Meta) -> Result<Hasher, Fatal> {
        match self.folder.take() {
            Some(folder) if folder.size() != meta.size => Err(self.changed()),
            Some(folder) => Ok(Hasher::Folder(folder)),
            None => Hasher::file(self.info_name(), meta.size)
                .map_err(|error| self.refused(&error.to_string())),
        }
    }
}
