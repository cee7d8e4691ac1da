//! The leecher's target: one step after the other from a name to a complete file. `place`: where
//! the file goes, and whether it is there already. `proof`: what of it no file there can prove.
//! `filling`: the part file. `ending`: a complete part becomes the target.

mod ending;
mod filling;
mod place;
mod proof;

use super::check::Check;
use super::layout::Layout;
use super::part::{Part, Trust};
use super::places::{beside, show};
use super::plan::FetchPlan;
use super::whole::Whole;
use crate::content::bitfield::Bitfield;
use crate::content::metainfo::Content;
use crate::core::fault::Fatal;
use crate::core::id::{FileId, Ticket};
use crate::core::io::{FileDone, FileOp, Meta, Outbox};
use crate::core::report::Ending;
use crate::core::rng::Rng;
use crate::core::time::Time;
use crate::leecher::durable::{Durable, Outcome};
use proof::Proof;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const PART_SUFFIX: &[u8] = b".lmk-part";
const JOURNAL_SUFFIX: &[u8] = b".lmk-resume";
const ASIDE_SUFFIX: &[u8] = b".lmk-aside";
/// A part file that is moved away while it is opened is looked for so often.
const MOVES_MAX: u32 = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Is `--out` a directory?
    StatOut,
    /// It is a symbolic link: to a directory?
    StatOutBehind,
    StatTarget,
    OpenTarget,
    CheckTarget,
    /// Do the files beside the chosen ones prove what these share with them?
    OpenBeside,
    CheckBeside,
    /// The target is there: is a journal of ours left that belongs to nobody?
    StatLeftPart,
    /// With nothing in it the part that is left is nobody's.
    RemoveLeftPart,
    /// The part file is opened.
    Part,
    /// Pieces are written by others and made durable.
    Filling,
    /// All are written, and a sync of the last batch but one is under way.
    LastBatch,
    /// Is the file what a pin by its SHA-256 says?
    Whole,
    /// Is the part file still ours?
    LookAtPart,
    /// Its times do not tell: it is read whole.
    CheckPart,
    SetLen,
    /// What an earlier run made of files that are not chosen now is removed.
    Unwanted,
    SetMode,
    /// What the last sync is about to make durable, for a file that is shared afterwards.
    StatSynced,
    Sync,
    Rename,
    SyncDirectory,
    /// As what is it shared from now on?
    StatFinished,
    Complete,
}

#[derive(Debug)]
pub struct Target {
    plan: FetchPlan,
    content: Rc<Content>,
    /// How the part stands on the disk, once it is known where.
    layout: Layout,
    proof: Proof,
    name: String,
    /// The final path, once it is known.
    pub path: PathBuf,
    rng: Rng,
    part_path: PathBuf,
    journal_path: PathBuf,
    step: Step,
    ticket: Option<Ticket>,
    check: Option<Check>,
    whole: Option<Whole>,
    file: Option<FileId>,
    /// What the file was before its bytes were checked, or when it was finished.
    meta: Option<Meta>,
    part: Option<Part>,
    durable: Option<Durable>,
    /// How the part file is opened the next time.
    trust: Trust,
    /// So often another program wrote to it.
    touches: u32,
    /// So often it was moved away while we opened it.
    moves: u32,
}

/// What came of a step.
#[derive(Debug)]
pub enum Placed {
    /// The next step is under way.
    Waiting,
    /// The part file is open, locked and large enough; `have` of it is proven, and `checked` bytes
    /// of it were read again.
    Ready {
        file: FileId,
        have: Bitfield,
        checked: u64,
    },
    /// The target stands there already, complete.
    Already {
        file: FileId,
        have: Bitfield,
    },
    /// The part has become the target, durably.
    Complete,
    /// Everything written is durable, and nothing more will be.
    Closed,
    /// Another program changed the part file.
    Changed,
    /// There is no room; the line says so for one who just began.
    NoSpace(String),
    Failed(Fatal),
}

impl Target {
    /// Begins to find out where `content`, named `name`, goes.
    pub fn start(
        plan: &FetchPlan,
        content: Rc<Content>,
        name: &str,
        rng: Rng,
        out: &mut Outbox,
    ) -> Target {
        let mut target = Target {
            plan: plan.clone(),
            layout: Layout::File,
            proof: Proof::default(),
            content,
            name: name.to_owned(),
            path: PathBuf::new(),
            rng,
            part_path: PathBuf::new(),
            journal_path: PathBuf::new(),
            step: Step::StatOut,
            ticket: None,
            check: None,
            whole: None,
            file: None,
            meta: None,
            part: None,
            durable: None,
            trust: Trust::default(),
            touches: 0,
            moves: 0,
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

    /// The pieces that are fetched.
    pub fn wanted(&self) -> Bitfield {
        match &self.proof {
            Proof::Fetches(pieces) => pieces.clone(),
            _ => self.layout.wanted(&self.content.geometry),
        }
    }

    /// What the target does, for the snapshot: a word and the bytes checked.
    pub fn progress(&self) -> (&'static str, u64) {
        let part = self.part.as_ref().and_then(Part::checking);
        match (self.step, self.check.as_ref().map(Check::passed_bytes).or(part)) {
            (_, Some(checked)) => ("checking", checked),
            (Step::Whole | Step::CheckTarget | Step::CheckBeside, None) => {
                ("checking", self.whole.as_ref().map_or(0, Whole::read_bytes))
            }
            (Step::SetLen | Step::Sync | Step::Rename | Step::SyncDirectory, _) => {
                ("syncing", self.content.geometry.size())
            }
            _ => ("preparing", 0),
        }
    }

    /// The finished file, open, and what it was when its bytes were known to be right.
    pub fn finished(&self) -> Option<(PathBuf, (FileId, Meta))> {
        Some((self.path.clone(), self.file.zip(self.meta)?))
    }

    fn ask(&mut self, step: Step, op: FileOp, out: &mut Outbox) -> Placed {
        self.step = step;
        self.ticket = Some(out.file(op));
        Placed::Waiting
    }

    fn settle_on(&mut self, path: PathBuf, out: &mut Outbox) -> Placed {
        self.part_path = beside(&path, PART_SUFFIX, &self.content);
        self.journal_path = beside(&path, JOURNAL_SUFFIX, &self.content);
        let (files, size) = (&self.content.files, self.content.geometry.size());
        let aside = beside(&path, ASIDE_SUFFIX, &self.content);
        match Layout::of(files, size, self.plan.files.as_ref(), aside) {
            Ok(layout) => self.layout = layout,
            Err(fatal) => return Placed::Failed(fatal),
        }
        if self.proves() {
            self.proof = Proof::Unasked;
        }
        self.path = path.clone();
        self.ask(Step::StatTarget, FileOp::Stat { path }, out)
    }

    /// A file operation came back; `Err` hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Placed, FileDone> {
        if let Some(check) = &mut self.check {
            return match check.got_file(ticket, done, out) {
                Ok(None) if check.is_done() => Ok(match self.step {
                    Step::CheckPart => self.checked_part(out),
                    Step::CheckBeside => self.checked_beside(out),
                    _ => self.checked(out),
                }),
                Ok(None) => Ok(Placed::Waiting),
                Ok(Some(foreign)) => Err(foreign),
                Err(error) => Ok(self.failed(error)),
            };
        }
        if let Some(part) = &mut self.part {
            let opened = part.got_file(ticket, done, out)?;
            return Ok(self.opened(opened, out));
        }
        if let Some(whole) = &mut self.whole {
            return whole.got_file(ticket, done, out).map(|hash| match hash {
                Ok(None) => Placed::Waiting,
                Ok(Some(hash)) => self.got_whole(hash, out),
                Err(error) => self.failed(error),
            });
        }
        let done = match &mut self.durable {
            Some(durable) => match durable.got_file(ticket, done, now, out) {
                Ok(Outcome::Going) if self.step == Step::LastBatch => {
                    return Ok(self.finish(out));
                }
                Ok(outcome) => return Ok(self.kept(outcome)),
                Err(foreign) => foreign,
            },
            None => done,
        };
        if self.ticket.take_if(|ours| *ours == ticket).is_none() {
            return Err(done);
        }
        Ok(match (self.step, done) {
            (Step::StatOut | Step::StatOutBehind, FileDone::Meta(meta)) => self.stat_out(meta, out),
            (Step::StatTarget, FileDone::Meta(meta)) => self.stat_target(meta, out),
            (Step::OpenTarget, FileDone::Opened(opened)) => self.opened_target(opened, out),
            (Step::OpenBeside, FileDone::Opened(opened)) => self.opened_beside(opened, out),
            (Step::StatLeftPart, FileDone::Meta(meta)) => self.stat_left_part(meta, out),
            (Step::RemoveLeftPart, FileDone::Done(removed)) => self.already(removed.is_ok(), out),
            (Step::LookAtPart, FileDone::Meta(meta)) => self.look_at_part(meta, out),
            (Step::StatSynced, FileDone::Meta(Ok(meta))) => self.stat_synced(meta, out),
            (Step::StatSynced, FileDone::Meta(Err(error))) => self.failed(error),
            (Step::StatFinished, FileDone::Meta(meta)) => self.stat_finished(meta, out),
            (_, FileDone::Done(result)) => self.done(result, out),
            _ => fatal(Ending::Internal, "an answer to another question".into()),
        })
    }
}

fn fatal(ending: Ending, line: String) -> Placed {
    Placed::Failed(Fatal { ending, line })
}

fn no_directory(path: &Path) -> Placed {
    fatal(Ending::Disk, format!("{}: no such directory; make it or use --out DIR", show(path)))
}
