//! A fresh journal: begun once the part file is as the last run left it, or, when that cannot be
//! made durable, to say what a later run may still believe

use super::{Opened, Part, Step};
use crate::core::io::{FileError, FileOp, Outbox};
use crate::core::mark::mark;
use crate::leecher::durable::Durable;
use crate::leecher::journal::Header;

impl Part {
    pub(super) fn begin_journal(&mut self, step: Step, out: &mut Outbox) -> Opened {
        let Some((_, meta)) = &self.file else {
            return Opened::Failed(FileError::NotRegular);
        };
        let mut run = [0; 16];
        self.rng.fill(&mut run);
        let hash = self.layout.journal_hash(self.content.hash());
        let header = Header::new(hash, &self.content.geometry, meta.inode, run);
        let (writer, bytes) = Durable::begin(header, &self.have);
        self.writer = Some((writer, bytes.len() as u64));
        let path = self.journal.clone();
        self.ask(step, FileOp::Save { path, bytes, private: false }, out)
    }

    /// What was read again came from the system's memory, and may never reach the disk: a later run
    /// would find it there once more. Only what the journal vouched for before stays.
    pub(super) fn void(&mut self, error: FileError, out: &mut Outbox) -> Opened {
        if error == FileError::Changed {
            return Opened::Failed(error);
        }
        mark!("E04");
        (self.trust.sync_failed, self.sync_error) = (true, Some(error));
        self.sample.ones().for_each(|piece| _ = self.trusted.set(piece));
        let unproven: Vec<u32> = self.have.ones().filter(|at| !self.trusted.get(*at)).collect();
        unproven.into_iter().for_each(|piece| _ = self.have.clear(piece));
        self.begin_journal(Step::Void, out)
    }

    /// Whether or not the journal could be begun: the disk failed.
    pub(super) fn voided(&self) -> Opened {
        Opened::Failed(self.sync_error.unwrap_or(FileError::NotFound))
    }
}
