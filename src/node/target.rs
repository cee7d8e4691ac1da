//! The leecher's target: where the file goes, whether it is there already, the part file beside it,
//! and the steps that make a complete part the target: sync, rename, sync the directory.

use super::check::Check;
use super::places::{directory_of, part_path, show};
use super::plan::{FetchPlan, Pin};
use super::whole::Whole;
use crate::content::bitfield::Bitfield;
use crate::content::metainfo::Content;
use crate::core::fault::Fatal;
use crate::core::id::{FileId, Hash32, Ticket};
use crate::core::io::{FileDone, FileError, FileKind, FileOp, Meta, OpenMode, Outbox};
use crate::core::report::{Ending, bytes_text, foreign};
use std::path::{Path, PathBuf};
use std::rc::Rc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Is `--out` a directory?
    StatOut,
    /// It is a symbolic link: to a directory?
    StatOutBehind,
    StatTarget,
    OpenTarget,
    CheckTarget,
    OpenPart,
    LockPart,
    CheckPart,
    FreeSpace,
    SetLen,
    /// Pieces are written by others.
    Filling,
    /// Is the file what a pin by its SHA-256 says?
    Whole,
    Sync,
    Rename,
    SyncDirectory,
    Complete,
}

#[derive(Debug)]
pub struct Target {
    plan: FetchPlan,
    content: Rc<Content>,
    name: String,
    /// The final path, once it is known.
    pub path: PathBuf,
    part: PathBuf,
    step: Step,
    ticket: Option<Ticket>,
    check: Option<Check>,
    whole: Option<Whole>,
    file: Option<FileId>,
    have: Bitfield,
}

/// What came of a step.
#[derive(Debug)]
pub enum Placed {
    /// The next step is under way.
    Waiting,
    /// The part file is open, locked and large enough; `have` of it is proven.
    Ready {
        file: FileId,
        have: Bitfield,
    },
    /// The target stands there already, complete.
    Already {
        file: FileId,
    },
    /// The part has become the target, durably.
    Complete,
    Failed(Fatal),
}

impl Target {
    /// Begins to find out where `content`, named `name`, goes.
    pub fn start(plan: &FetchPlan, content: Rc<Content>, name: &str, out: &mut Outbox) -> Target {
        let have = Bitfield::new(content.geometry.pieces());
        let mut target = Target {
            plan: plan.clone(),
            content,
            name: name.to_owned(),
            path: PathBuf::new(),
            part: PathBuf::new(),
            step: Step::StatOut,
            ticket: None,
            check: None,
            whole: None,
            file: None,
            have,
        };
        match plan.out.clone() {
            Some(path) => target.ask(Step::StatOut, FileOp::Stat { path }, out),
            None => target.settle_on(plan.directory.join(name), out),
        };
        target
    }

    pub fn content(&self) -> Rc<Content> {
        self.content.clone()
    }

    /// What the target does, for the snapshot: a word and the bytes checked.
    pub fn progress(&self) -> (&'static str, u64) {
        match (self.step, &self.check) {
            (_, Some(check)) => ("checking", check.checked_bytes()),
            (Step::Whole | Step::CheckTarget, None) => {
                ("checking", self.whole.as_ref().map_or(0, Whole::read_bytes))
            }
            (Step::Sync | Step::Rename | Step::SyncDirectory, _) => {
                ("syncing", self.content.geometry.size())
            }
            _ => ("preparing", 0),
        }
    }

    fn ask(&mut self, step: Step, op: FileOp, out: &mut Outbox) -> Placed {
        self.step = step;
        self.ticket = Some(out.file(op));
        Placed::Waiting
    }

    fn settle_on(&mut self, path: PathBuf, out: &mut Outbox) -> Placed {
        self.part = part_path(&path, &self.content);
        self.path = path.clone();
        self.ask(Step::StatTarget, FileOp::Stat { path }, out)
    }

    /// A file operation came back; `Err` hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        out: &mut Outbox,
    ) -> Result<Placed, FileDone> {
        if let Some(check) = &mut self.check {
            return match check.got_file(ticket, done, out) {
                Ok(None) if check.is_done() => Ok(self.checked(out)),
                Ok(None) => Ok(Placed::Waiting),
                Ok(Some(foreign)) => Err(foreign),
                Err(error) => Ok(self.failed(error)),
            };
        }
        if let Some(whole) = &mut self.whole {
            return whole.got_file(ticket, done, out).map(|hash| match hash {
                Ok(None) => Placed::Waiting,
                Ok(Some(hash)) => self.got_whole(hash, out),
                Err(error) => self.failed(error),
            });
        }
        if self.ticket.take_if(|ours| *ours == ticket).is_none() {
            return Err(done);
        }
        Ok(match (self.step, done) {
            (Step::StatOut | Step::StatOutBehind, FileDone::Meta(meta)) => self.stat_out(meta, out),
            (Step::StatTarget, FileDone::Meta(meta)) => self.stat_target(meta, out),
            (Step::OpenTarget, FileDone::Opened(opened)) => match opened {
                Ok((file, _)) => self.start_check(Step::CheckTarget, file, out),
                Err(error) => self.failed(error),
            },
            (Step::OpenPart, FileDone::Opened(opened)) => self.open_part(opened, out),
            (Step::FreeSpace, FileDone::Free(free)) => self.free_space(free, out),
            (_, FileDone::Done(result)) => self.done(result, out),
            _ => fatal(Ending::Internal, "an answer to another question".into()),
        })
    }

    fn stat_out(&mut self, meta: Result<Meta, FileError>, out: &mut Outbox) -> Placed {
        let path = self.plan.out.clone().unwrap_or_default();
        let must = self.plan.out_must_be_directory;
        match meta {
            Ok(meta) if meta.kind == FileKind::Directory => {
                self.settle_on(path.join(&self.name), out)
            }
            Ok(meta) if meta.kind == FileKind::Symlink && self.step == Step::StatOut => {
                self.ask(Step::StatOutBehind, FileOp::Stat { path: path.join(".") }, out)
            }
            Ok(_) if must => fatal(Ending::Disk, format!("{}: not a directory", show(&path))),
            Err(FileError::NotFound) if must => no_directory(&path),
            Ok(_) | Err(FileError::NotFound) => self.settle_on(path, out),
            Err(error) => fatal(Ending::Disk, format!("{}: {}", show(&path), error.reason())),
        }
    }

    fn stat_target(&mut self, meta: Result<Meta, FileError>, out: &mut Outbox) -> Placed {
        let path = self.path.clone();
        let what = match meta {
            Err(FileError::NotFound) => return self.begin_part(out),
            Err(error) => return self.failed(error),
            Ok(meta) if meta.kind == FileKind::Regular => {
                if meta.size != self.content.geometry.size() {
                    return self.different(out);
                }
                return self.ask(
                    Step::OpenTarget,
                    FileOp::Open { path, mode: OpenMode::Read },
                    out,
                );
            }
            Ok(meta) if meta.kind == FileKind::Directory => "a directory",
            Ok(meta) if meta.kind == FileKind::Symlink => "a symbolic link",
            Ok(_) => "no regular file",
        };
        let line = format!("{} is {what}; name another place with --out", show(&path));
        fatal(Ending::Refused, line)
    }

    fn start_check(&mut self, step: Step, file: FileId, out: &mut Outbox) -> Placed {
        self.step = step;
        self.file = Some(file);
        let check = Check::start(self.content.clone(), file, out);
        let done = check.is_done();
        self.check = Some(check);
        if done { self.checked(out) } else { Placed::Waiting }
    }

    /// The file that stood there was read whole.
    fn checked(&mut self, out: &mut Outbox) -> Placed {
        let (Some(check), Some(file)) = (self.check.take(), self.file) else {
            return fatal(Ending::Internal, "a check without a file".into());
        };
        self.have = check.good;
        match (self.step, self.have.is_full()) {
            (Step::CheckTarget, true) => match self.plan.want.pin {
                Some(Pin::Sha256(_)) => self.ask_whole(file, out),
                _ => Placed::Already { file },
            },
            (Step::CheckTarget, false) => {
                out.file(FileOp::Close { file });
                self.different(out)
            }
            _ => self.ask_space(out),
        }
    }

    /// The target has other content.
    fn different(&mut self, out: &mut Outbox) -> Placed {
        if self.plan.overwrite {
            return self.begin_part(out);
        }
        let line = format!(
            "{} exists and is different; --overwrite replaces it, --out DIR|FILE writes elsewhere",
            show(&self.path)
        );
        fatal(Ending::Refused, line)
    }

    fn begin_part(&mut self, out: &mut Outbox) -> Placed {
        self.have = Bitfield::new(self.content.geometry.pieces());
        let (path, mode) = (self.part.clone(), OpenMode::Update);
        self.ask(Step::OpenPart, FileOp::Open { path, mode }, out)
    }

    fn open_part(&mut self, opened: Result<(FileId, Meta), FileError>, out: &mut Outbox) -> Placed {
        match opened {
            Ok((file, meta)) => {
                self.file = Some(file);
                // A part of an earlier run has what it has; it is read again before it is believed.
                let step = if meta.size > 0 { Step::CheckPart } else { Step::LockPart };
                self.ask(step, FileOp::Lock { file }, out)
            }
            Err(FileError::NotFound) => no_directory(&directory_of(&self.path)),
            Err(error) => fatal(Ending::Disk, format!("{}: {}", show(&self.part), error.reason())),
        }
    }

    fn ask_space(&mut self, out: &mut Outbox) -> Placed {
        let directory = directory_of(&self.path);
        self.ask(Step::FreeSpace, FileOp::FreeSpace { path: directory }, out)
    }

    fn free_space(&mut self, free: Result<u64, FileError>, out: &mut Outbox) -> Placed {
        let geometry = &self.content.geometry;
        let have = u64::from(self.have.count()) * u64::from(geometry.piece_length());
        let needed = geometry.size().saturating_sub(have);
        match (free, self.file) {
            (Ok(free), _) if free < needed => {
                let directory = show(&directory_of(&self.path));
                let (needed, free) = (bytes_text(needed), bytes_text(free));
                if self.have.is_empty() {
                    out.file(FileOp::Remove { path: self.part.clone() });
                }
                let line = format!(
                    "{} needs {needed}, {free} free in {directory}; make room or use --out DIR",
                    foreign(&self.name)
                );
                fatal(Ending::Disk, line)
            }
            (Err(error), _) => self.failed(error),
            (Ok(_), Some(file)) => {
                let len = geometry.size();
                self.ask(Step::SetLen, FileOp::SetLen { file, len }, out)
            }
            (Ok(_), None) => fatal(Ending::Internal, "a part without a file".into()),
        }
    }

    /// All pieces are written: make them durable and give them their name.
    pub fn finish(&mut self, out: &mut Outbox) -> Placed {
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

    fn ask_whole(&mut self, file: FileId, out: &mut Outbox) -> Placed {
        self.whole = Some(Whole::start(file, self.content.geometry.size(), out));
        Placed::Waiting
    }

    fn got_whole(&mut self, hash: Hash32, out: &mut Outbox) -> Placed {
        self.whole = None;
        match (&self.plan.want.pin, self.file) {
            (Some(Pin::Sha256(pinned)), _) if *pinned != hash.0 => {
                let (path, name) = match self.step {
                    Step::CheckTarget => (show(&self.path), "the file"),
                    _ => (show(&self.part), "what came"),
                };
                let line = format!("{path}: {name} has SHA-256 {hash}, not the one after @");
                fatal(Ending::Verification, line)
            }
            (_, Some(file)) if self.step == Step::CheckTarget => Placed::Already { file },
            _ => self.finish(out),
        }
    }

    fn done(&mut self, result: Result<(), FileError>, out: &mut Outbox) -> Placed {
        match (self.step, result) {
            (Step::LockPart | Step::CheckPart, Err(FileError::Busy)) => {
                let part = show(&self.part);
                let line = format!("{part}: another lmk is downloading this file; --out elsewhere");
                fatal(Ending::Refused, line)
            }
            (Step::Rename, Err(FileError::Exists)) => self.different(out),
            (_, Err(error)) => self.failed(error),
            (Step::LockPart, Ok(())) => self.ask_space(out),
            (Step::CheckPart, Ok(())) => match self.file {
                Some(file) => self.start_check(Step::CheckPart, file, out),
                None => fatal(Ending::Internal, "a part without a file".into()),
            },
            (Step::SetLen, Ok(())) => {
                self.step = Step::Filling;
                match self.file {
                    Some(file) => Placed::Ready { file, have: self.have.clone() },
                    None => fatal(Ending::Internal, "a part without a file".into()),
                }
            }
            (Step::Sync, Ok(())) => {
                let (from, to) = (self.part.clone(), self.path.clone());
                let replace = self.plan.overwrite;
                self.ask(Step::Rename, FileOp::Rename { from, to, replace }, out)
            }
            (Step::Rename, Ok(())) => {
                let path = directory_of(&self.path);
                self.ask(Step::SyncDirectory, FileOp::SyncDir { path }, out)
            }
            (Step::SyncDirectory, Ok(())) => {
                self.step = Step::Complete;
                Placed::Complete
            }
            _ => fatal(Ending::Internal, "a step that has no end".into()),
        }
    }

    fn failed(&self, error: FileError) -> Placed {
        let path = match self.step {
            Step::StatTarget | Step::OpenTarget | Step::CheckTarget | Step::Rename => &self.path,
            _ => &self.part,
        };
        fatal(Ending::Disk, format!("{}: {}", show(path), error.reason()))
    }
}

fn fatal(ending: Ending, line: String) -> Placed {
    Placed::Failed(Fatal { ending, line })
}

fn no_directory(path: &Path) -> Placed {
    fatal(Ending::Disk, format!("{}: no such directory; make it or use --out DIR", show(path)))
}
