//! A complete part becomes the target: sync, rename, sync the directory; and what the refusals
//! of the disk mean.

use super::{Placed, Step, Target, fatal};
use crate::core::id::{FileId, Hash32};
use crate::core::io::{FileError, FileOp, Meta, Outbox};
use crate::core::mark::mark;
use crate::core::report::Ending;
use crate::node::places::{directory_of, show};
use crate::node::plan::Pin;
use crate::node::whole::Whole;

impl Target {
    /// All pieces are written: make them durable and give them their name.
    pub fn finish(&mut self, out: &mut Outbox) -> Placed {
        if let Some(durable) = &mut self.durable {
            durable.retire();
        }
        let Some(file) = self.file else {
            return fatal(Ending::Internal, "a target without a file".into());
        };
        match self.plan.want.pin {
            Some(Pin::Sha256(_)) if self.step != Step::Whole => {
                self.step = Step::Whole;
                self.ask_whole(file, out)
            }
            _ => self.ask(Step::Sync, FileOp::Sync { file, meta: true }, out),
        }
    }

    pub(super) fn ask_whole(&mut self, file: FileId, out: &mut Outbox) -> Placed {
        self.whole = Some(Whole::start(file, self.content.geometry.size(), out));
        Placed::Waiting
    }

    pub(super) fn got_whole(&mut self, hash: Hash32, out: &mut Outbox) -> Placed {
        self.whole = None;
        match self.plan.want.pin {
            Some(Pin::Sha256(pinned)) if pinned != hash.0 => {
                let (path, name) = match self.step {
                    Step::CheckTarget => (show(&self.path), "the file"),
                    _ => (show(&self.part_path), "what came"),
                };
                let line = format!("{path}: {name} has SHA-256 {hash}, not the one after @");
                fatal(Ending::Verification, line)
            }
            _ if self.step == Step::CheckTarget => self.look_for_left_part(out),
            _ => self.finish(out),
        }
    }

    pub(super) fn done(&mut self, result: Result<(), FileError>, out: &mut Outbox) -> Placed {
        match (self.step, result) {
            (Step::Rename, Err(FileError::Exists)) => self.different(out),
            (Step::Rename, Err(FileError::NotFound)) => Placed::Changed,
            (Step::Sync, Err(error)) => {
                self.distrust = true;
                if let Some(durable) = &mut self.durable {
                    durable.void(out);
                }
                self.failed(error)
            }
            (_, Err(error)) => self.failed(error),
            (Step::Sync, Ok(())) => {
                mark!("E17");
                let (from, to) = (self.part_path.clone(), self.path.clone());
                let replace = self.plan.overwrite;
                self.ask(Step::Rename, FileOp::Rename { from, to, replace }, out)
            }
            (Step::Rename, Ok(())) => {
                let path = directory_of(&self.path);
                self.ask(Step::SyncDirectory, FileOp::SyncDir { path }, out)
            }
            (Step::SyncDirectory, Ok(())) => match self.file.filter(|_| self.plan.keep_seeding) {
                Some(file) => self.ask(Step::StatFinished, FileOp::StatOpen { file }, out),
                None => self.completed(out),
            },
            _ => fatal(Ending::Internal, "a step that has no end".into()),
        }
    }

    /// The file has its name and its bytes: from now on it may not change while it is shared.
    pub(super) fn stat_finished(
        &mut self,
        meta: Result<Meta, FileError>,
        out: &mut Outbox,
    ) -> Placed {
        match meta {
            Ok(meta) => self.meta = Some(meta),
            Err(error) => return self.failed(error),
        }
        self.completed(out)
    }

    fn completed(&mut self, out: &mut Outbox) -> Placed {
        self.step = Step::Complete;
        self.drop_journal(out);
        Placed::Complete
    }

    /// The target is durable under its name: the journal is of no more use.
    pub(super) fn drop_journal(&mut self, out: &mut Outbox) {
        if let Some(durable) = self.durable.take() {
            out.file(FileOp::Close { file: durable.files().journal_file });
        }
        out.file(FileOp::Remove { path: self.journal_path.clone() });
        out.file(FileOp::SyncDir { path: directory_of(&self.path) });
    }

    /// What the disk said, as a line: a full one may be waited for.
    pub fn failed(&self, error: FileError) -> Placed {
        let path = match self.step {
            Step::StatTarget | Step::OpenTarget | Step::CheckTarget | Step::Rename => &self.path,
            _ => &self.part_path,
        };
        let line = format!("{}: {}", show(path), error.reason());
        match error {
            FileError::NoSpace => Placed::NoSpace(line + "; make room or use --out DIR"),
            FileError::Denied => {
                mark!("E06");
                let directory = show(&directory_of(&self.path));
                fatal(Ending::Disk, format!("{line}; {directory} must be writable, or use --out"))
            }
            FileError::Other(_) if matches!(self.step, Step::Filling | Step::Sync) => {
                mark!("E07");
                let line = line + "; what is there is kept, run the same command to go on";
                fatal(Ending::Disk, line)
            }
            _ => fatal(Ending::Disk, line),
        }
    }
}
