//! A complete part becomes the target: sync, rename, sync the directory; and what the refusals
//! of the disk mean.

use super::{ASIDE_SUFFIX, Placed, Step, Target, fatal};
use crate::core::id::{FileId, Hash32};
use crate::core::io::{FileError, FileOp, Meta, Outbox};
use crate::core::limits::TOUCHES_MAX;
use crate::core::mark::mark;
use crate::core::report::{Ending, Event, foreign};
use crate::leecher::durable::{Durable, is_same_file};
use crate::node::check::Check;
use crate::node::part::Part;
use crate::node::places::{beside, directory_of, show};
use crate::node::plan::Pin;
use crate::node::whole::Whole;

impl Target {
    /// All pieces are written: make them durable and give them their name.
    pub fn finish(&mut self, out: &mut Outbox) -> Placed {
        if self.durable.as_mut().is_some_and(Durable::retire) {
            self.step = Step::LastBatch;
            return Placed::Waiting;
        }
        if self.proves() {
            return self.got_proof(out);
        }
        let Some(file) = self.file else {
            return fatal(Ending::Internal, "a target without a file".into());
        };
        match self.plan.want.pin {
            Some(Pin::Sha256(_)) if self.step != Step::Whole => {
                self.step = Step::Whole;
                self.ask_whole(file, out)
            }
            _ => {
                let path = self.part_path.clone();
                self.ask(Step::LookAtPart, FileOp::StatNamed { file, path }, out)
            }
        }
    }

    /// Another program may have removed, replaced or cut off the part file since the last sync.
    pub(super) fn look_at_part(
        &mut self,
        meta: Result<Meta, FileError>,
        out: &mut Outbox,
    ) -> Placed {
        let ours = self.durable.as_ref().map(|durable| durable.files().part_meta);
        let same = |meta: Meta| ours.is_some_and(|ours| is_same_file(&ours, &meta));
        match (meta, self.file) {
            (Ok(meta), Some(file)) if same(meta) => {
                match self.trust.no_times || self.trust.coarse_times {
                    true => self.check_part(file, out),
                    false => self.set_len(file, out),
                }
            }
            (Ok(_) | Err(FileError::NotFound | FileError::Changed), _) => Placed::Changed,
            (Err(error), _) => self.failed(error),
        }
    }

    fn check_part(&mut self, file: FileId, out: &mut Outbox) -> Placed {
        self.step = Step::CheckPart;
        let check = Check::start(self.content.clone(), file, &self.wanted(), out);
        let done = check.is_done();
        self.check = Some(check);
        if done { self.checked_part(out) } else { Placed::Waiting }
    }

    pub(super) fn checked_part(&mut self, out: &mut Outbox) -> Placed {
        match (self.check.take(), self.file) {
            (Some(check), Some(file)) if !check.good.lacks_any_of(&self.wanted()) => {
                self.set_len(file, out)
            }
            _ => Placed::Changed,
        }
    }

    fn set_len(&mut self, file: FileId, out: &mut Outbox) -> Placed {
        let len = self.content.geometry.size();
        self.ask(Step::SetLen, FileOp::SetLen { file, len }, out)
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
            (Step::SetLen | Step::Unwanted, Ok(())) => match self.file {
                // Else they would get the target's name with it, as long as they are and not right.
                Some(file) if self.step == Step::SetLen && self.layout.aside().is_some() => {
                    self.ask(Step::Unwanted, FileOp::RemoveUnwanted { file }, out)
                }
                Some(file) => self.ask(Step::SetMode, FileOp::SetPlainMode { file }, out),
                None => fatal(Ending::Internal, "a target without a file".into()),
            },
            // Some file systems keep no modes; a part file of another user keeps the one it has.
            (Step::SetMode, Ok(()) | Err(FileError::Denied | FileError::Other(_))) => {
                match self.file {
                    Some(file) if self.plan.keep_seeding => {
                        self.ask(Step::StatSynced, FileOp::StatOpen { file }, out)
                    }
                    Some(file) => self.ask(Step::Sync, FileOp::Sync { file, meta: true }, out),
                    None => fatal(Ending::Internal, "a target without a file".into()),
                }
            }
            (Step::Rename, Err(FileError::Exists)) => self.different(out),
            (Step::Rename, Err(FileError::NotFound)) => Placed::Changed,
            (Step::Sync, Err(error)) if error != FileError::Changed => {
                self.trust.sync_failed = true;
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

    /// The sync that follows finds out whether another program came before this look.
    pub(super) fn stat_synced(&mut self, meta: Meta, out: &mut Outbox) -> Placed {
        self.meta = Some(meta);
        match self.file {
            Some(file) => self.ask(Step::Sync, FileOp::Sync { file, meta: true }, out),
            None => fatal(Ending::Internal, "a target without a file".into()),
        }
    }

    /// The file has its name and its bytes: from now on it may not change while it is shared. Of
    /// what was synced a rename of ours changes the ctime alone.
    pub(super) fn stat_finished(
        &mut self,
        meta: Result<Meta, FileError>,
        out: &mut Outbox,
    ) -> Placed {
        match meta {
            Ok(now) => {
                let same = |was: &Meta| (was.size, was.mtime_ns) == (now.size, now.mtime_ns);
                let as_synced = self.meta.as_ref().is_some_and(same);
                self.meta = Some(now).filter(|_| as_synced && !self.trust.no_times);
                if self.meta.is_none() {
                    let name = foreign(&self.name);
                    let line = format!("{name} may have been changed on disk; not sharing it");
                    out.tell(Event::warning("changed", line).text("name", name));
                }
            }
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
        self.remove_left(out);
        out.file(FileOp::SyncDir { path: directory_of(&self.path) });
    }

    /// What stood beside the part is of no more use.
    pub(super) fn remove_left(&self, out: &mut Outbox) {
        out.file(FileOp::Remove { path: self.journal_path.clone() });
        if self.layout.is_folder() {
            out.file(FileOp::Remove { path: beside(&self.path, ASIDE_SUFFIX, &self.content) });
        }
    }

    /// Another program wrote to the part file: nothing that the journal says of it counts.
    pub fn touched(&mut self, out: &mut Outbox) {
        let part = self.part.as_ref().and_then(Part::locked_file);
        let durable = self.durable.as_ref().map(|durable| durable.files().part_file);
        if let Some(file) = durable.or(part) {
            self.remove_journal(file, out);
        }
        self.let_go(out);
        self.touches += 1;
        self.trust.no_times = self.touches >= TOUCHES_MAX;
    }

    /// While the part file is locked and has its name, the journal is ours and nobody else's.
    fn remove_journal(&self, file: FileId, out: &mut Outbox) {
        let (path, named) = (self.journal_path.clone(), self.part_path.clone());
        out.file(FileOp::RemoveBeside { path, file, named });
        out.file(FileOp::SyncDir { path: directory_of(&self.path) });
    }

    /// Where it is that the disk refused something.
    fn place(&self) -> String {
        match self.step {
            Step::StatTarget
            | Step::OpenTarget
            | Step::CheckTarget
            | Step::OpenBeside
            | Step::CheckBeside
            | Step::Rename => show(&self.path),
            _ => show(&self.part_path),
        }
    }

    /// Bytes that stand in the file cannot be read back: nor could they be by whoever wants it.
    pub fn unreadable(&self, error: FileError) -> Placed {
        mark!("E04");
        let (path, reason) = (self.place(), error.reason());
        let line = format!(
            "{path}: reading failed: {reason}; check the disk, \
             then run the same command to go on, or use --out DIR on another disk"
        );
        fatal(Ending::Disk, line)
    }

    /// What the disk said, as a line: a full one may be waited for.
    pub fn failed(&self, error: FileError) -> Placed {
        let line = format!("{}: {}", self.place(), error.reason());
        let reads = self.check.is_some()
            || self.whole.is_some()
            || self.part.as_ref().is_some_and(|part| part.checking().is_some());
        match error {
            FileError::Other(_) if reads => self.unreadable(error),
            FileError::Changed => Placed::Changed,
            FileError::OneFile(one, other) => {
                let [one, other] = [one, other].map(|file| self.layout.shown(file));
                let part = self.place();
                let line = format!(
                    "{part}: {one} and {other} are one file on this file system; \
                     fetch one of them with --files, or both with --out DIR on another disk"
                );
                fatal(Ending::Disk, line)
            }
            FileError::NoSpace => Placed::NoSpace(line + "; make room or use --out DIR"),
            FileError::Denied => {
                mark!("E06");
                let directory = show(&directory_of(&self.path));
                fatal(Ending::Disk, format!("{line}; {directory} must be writable, or use --out"))
            }
            FileError::Other(_)
                if matches!(self.step, Step::Filling | Step::LastBatch | Step::Sync) =>
            {
                mark!("E07");
                let line = line + "; what is there is kept, run the same command to go on";
                fatal(Ending::Disk, line)
            }
            _ => fatal(Ending::Disk, line),
        }
    }
}
