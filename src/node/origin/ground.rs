//! Where the file of an origin goes: its target, the part file and the note beside it; and how the
//! part file becomes the target.

use super::note::{NOTE_BYTES_MAX, Note};
use super::part::Part;
use super::{Origin, Stage};
use crate::core::fault::Fatal;
use crate::core::id::FileId;
use crate::core::io::{FileDone, FileError, FileKind, FileOp, Meta, OpenMode, Outbox};
use crate::core::report::{Ending, Event, bytes_text};
use crate::core::time::Time;
use crate::node::places::{beside_as, directory_of, show};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Short enough for names that leave room for the suffixes of a leecher.
const PART_SUFFIX: &[u8] = b".lmk-origin";
const NOTE_SUFFIX: &[u8] = b".lmk-have";
/// A part file that another process makes its target meanwhile is looked for anew so often.
const OPENINGS_MAX: u32 = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing is asked of the disk but to write.
    Idle,
    StatOut,
    /// It was a symbolic link: what is behind it?
    StatOutBehind,
    StatTarget,
    Open,
    Create,
    Lock,
    Holder,
    /// Is the locked file still the one of that name?
    Look,
    LoadNote,
    /// The file is whole.
    SetMode,
    Sync,
    Rename,
    SyncDirectory,
}

impl Origin {
    fn put(&mut self, step: Step, op: FileOp, out: &mut Outbox) {
        self.step = step;
        self.ticket = Some(out.file(op));
    }

    fn ask(&mut self, step: Step, op: FileOp, out: &mut Outbox) -> Result<Stage, Fatal> {
        self.put(step, op, out);
        Ok(Stage::More)
    }

    pub(super) fn find_place(&mut self, out: &mut Outbox) {
        match self.plan.out.clone() {
            Some(path) => self.put(Step::StatOut, FileOp::Stat { path }, out),
            None => self.look_at(self.under(&self.plan.directory), out),
        }
    }

    fn look_at(&mut self, target: PathBuf, out: &mut Outbox) {
        self.put(Step::StatTarget, FileOp::Stat { path: target.clone() }, out);
        self.target = target;
    }

    fn under(&self, directory: &Path) -> PathBuf {
        directory.join(OsStr::from_bytes(&self.plan.name))
    }

    fn settle_on(&mut self, target: PathBuf, out: &mut Outbox) -> Result<Stage, Fatal> {
        self.look_at(target, out);
        Ok(Stage::More)
    }

    fn beside(&self, suffix: &[u8]) -> PathBuf {
        let path = self.target.as_os_str().as_bytes();
        beside_as(&self.target, suffix, || {
            Sha256::digest(path).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
        })
    }

    /// A step of the disk came back.
    pub(super) fn got_step(
        &mut self,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Stage, Fatal> {
        match (self.step, done) {
            (Step::StatOut | Step::StatOutBehind, FileDone::Meta(meta)) => self.stat_out(meta, out),
            (Step::StatTarget, FileDone::Meta(meta)) => self.stat_target(meta, now, out),
            (Step::Open | Step::Create, FileDone::Opened(opened)) => match opened {
                Ok((file, meta)) => {
                    let place = (file, self.beside(NOTE_SUFFIX));
                    let note = Note { url: self.shown.clone(), ..Note::default() };
                    self.part = Some(Part::new(place, note, meta.size));
                    self.ask(Step::Lock, FileOp::Lock { file }, out)
                }
                Err(FileError::NotFound) if self.step == Step::Open => self.open(Step::Create, out),
                Err(FileError::Exists) if self.openings < OPENINGS_MAX => {
                    self.open(Step::Open, out)
                }
                Err(FileError::NotFound) => Err(self.no_directory()),
                Err(error) => Err(self.cannot_write(error)),
            },
            (Step::Holder, FileDone::Holder(pid)) => Err(self.locked(pid)),
            (Step::Look, FileDone::Meta(meta)) => self.looked(meta.is_ok(), out),
            (Step::LoadNote, FileDone::Loaded(loaded)) => self.begin(loaded.ok(), now, out),
            (step, FileDone::Done(result)) => self.did(step, result, now, out),
            _ => Err(self.cannot_write(FileError::NotRegular)),
        }
    }

    fn did(
        &mut self,
        step: Step,
        result: Result<(), FileError>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Stage, Fatal> {
        let Some(file) = self.part.as_ref().map(|part| part.file) else { return Ok(Stage::More) };
        match (step, result) {
            (Step::Lock, Err(FileError::Busy)) => {
                self.ask(Step::Holder, FileOp::Holder { file }, out)
            }
            (Step::Lock, Ok(())) => {
                let path = self.beside(PART_SUFFIX);
                self.ask(Step::Look, FileOp::StatNamed { file, path }, out)
            }
            // Some file systems keep no modes.
            (Step::SetMode, Ok(()) | Err(FileError::Denied | FileError::Other(_))) => {
                self.ask(Step::Sync, FileOp::Sync { file, meta: true }, out)
            }
            (Step::Sync, Ok(())) => {
                let (from, to) = (self.beside(PART_SUFFIX), self.target.clone());
                let replace = self.plan.overwrite;
                self.ask(Step::Rename, FileOp::Rename { from, to, replace }, out)
            }
            (Step::Rename, Ok(())) => {
                let path = directory_of(&self.target);
                self.ask(Step::SyncDirectory, FileOp::SyncDir { path }, out)
            }
            (Step::SyncDirectory, Ok(())) => {
                self.tell_fetched(now, out);
                if let Some(part) = &self.part {
                    part.drop_note(out);
                }
                out.file(FileOp::Close { file });
                Ok(Stage::Fetched)
            }
            (Step::Rename, Err(FileError::Exists)) => Err(self.different("came to be meanwhile")),
            (_, Err(error)) => Err(self.cannot_write(error)),
            (_, Ok(())) => Ok(Stage::More),
        }
    }

    fn stat_out(
        &mut self,
        meta: Result<Meta, FileError>,
        out: &mut Outbox,
    ) -> Result<Stage, Fatal> {
        let path = self.plan.out.clone().unwrap_or_default();
        let (must, disk) = (self.plan.out_must_be_directory, Ending::Disk);
        match meta {
            Ok(meta) if meta.kind == FileKind::Directory => self.settle_on(self.under(&path), out),
            Ok(meta) if meta.kind == FileKind::Symlink && self.step == Step::StatOut => {
                self.ask(Step::StatOutBehind, FileOp::Stat { path: path.join(".") }, out)
            }
            Ok(_) | Err(FileError::NotFound) if must => {
                let line = format!("{}: no such directory; make it first", show(&path));
                Err(Fatal { ending: disk, line })
            }
            Ok(_) | Err(FileError::NotFound) => self.settle_on(path, out),
            Err(error) => {
                Err(Fatal { ending: disk, line: format!("{}: {}", show(&path), error.reason()) })
            }
        }
    }

    fn stat_target(
        &mut self,
        meta: Result<Meta, FileError>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Stage, Fatal> {
        match meta {
            Err(FileError::NotFound) => self.open(Step::Open, out),
            Err(error) => Err(self.cannot_write(error)),
            // Is it what the origin has? That says so before it sends anything.
            Ok(meta) if meta.kind == FileKind::Regular => {
                (self.existing, self.step) = (Some(meta), Step::Idle);
                self.connect(now, out).map(|()| Stage::More)
            }
            Ok(_) => {
                let line = format!("{} is no regular file; use --out FILE", show(&self.target));
                Err(Fatal { ending: Ending::Refused, line })
            }
        }
    }

    /// Opens the part file, or makes it.
    pub(super) fn open(&mut self, step: Step, out: &mut Outbox) -> Result<Stage, Fatal> {
        self.openings += 1;
        let mode = if step == Step::Create { OpenMode::CreateNew } else { OpenMode::Update };
        self.ask(step, FileOp::Open { path: self.beside(PART_SUFFIX), mode }, out)
    }

    fn looked(&mut self, is_ours: bool, out: &mut Outbox) -> Result<Stage, Fatal> {
        let path = self.beside(NOTE_SUFFIX);
        let bytes_max = NOTE_BYTES_MAX;
        if is_ours {
            return self.ask(Step::LoadNote, FileOp::Load { path, bytes_max }, out);
        }
        // Who had it locked gave it its name meanwhile.
        if let Some(part) = self.part.take() {
            out.file(FileOp::Close { file: part.file });
        }
        match self.openings < OPENINGS_MAX {
            true => self.settle_on(self.target.clone(), out),
            false => Err(self.locked(None)),
        }
    }

    /// What the note vouches for is kept; without one nothing is.
    fn begin(
        &mut self,
        note: Option<Vec<u8>>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Stage, Fatal> {
        self.step = Step::Idle;
        let note_path = self.beside(NOTE_SUFFIX);
        let Some(part) = &mut self.part else { return Ok(Stage::More) };
        let (file, there) = (part.file, part.received);
        let note = note.and_then(|bytes| Note::read(&bytes, &self.shown));
        match note.filter(|(_, have)| *have > 0 && *have <= there) {
            Some((note, have)) => {
                self.gives_ranges = note.gives_ranges;
                *part = Part::new((file, note_path), note, have);
                out.file(FileOp::SetLen { file, len: have });
                self.best = have;
                let line = format!("resuming with {} of an earlier run", bytes_text(have));
                out.tell(Event::info("resumed", line).number("bytes", have));
            }
            None => part.begin_anew(out),
        }
        match self.is_whole() {
            true => Ok(self.finish_if_whole(out)),
            false => self.connect(now, out).map(|()| Stage::More),
        }
    }

    pub(super) fn remove_part(&self, file: FileId, out: &mut Outbox) {
        let path = self.beside(PART_SUFFIX);
        out.file(FileOp::RemoveBeside { path: path.clone(), file, named: path });
    }

    /// Whether every byte came.
    pub(super) fn is_whole(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.note.size == Some(part.received))
    }

    /// Gives the file its name once every byte of it stands there.
    pub(super) fn finish_if_whole(&mut self, out: &mut Outbox) -> Stage {
        let whole = self.step == Step::Idle && self.incoming.is_none() && self.is_whole();
        if let Some(part) = self.part.as_mut().filter(|_| whole) {
            part.flush(out);
            if part.is_written() {
                let file = part.file;
                self.put(Step::SetMode, FileOp::SetPlainMode { file }, out);
            }
        }
        Stage::More
    }

    /// How much room there is for what comes.
    pub(super) fn ask_space(&mut self, out: &mut Outbox) {
        self.space = Some(out.file(FileOp::FreeSpace { path: directory_of(&self.target) }));
    }

    pub(super) fn got_space(&self, done: &FileDone) -> Result<(), Fatal> {
        let (FileDone::Free(Ok(free)), Some(part)) = (done, &self.part) else { return Ok(()) };
        let needed = part.note.size.unwrap_or(0).saturating_sub(part.received);
        if *free >= needed {
            return Ok(());
        }
        let line = format!(
            "{}: {} more are needed and {} are free; make room or use --out DIR",
            show(&directory_of(&self.target)),
            bytes_text(needed),
            bytes_text(*free)
        );
        Err(Fatal { ending: Ending::Disk, line })
    }

    pub(super) fn different(&self, what: &str) -> Fatal {
        let line = format!(
            "{} {what}; --overwrite replaces it, --out DIR|FILE writes elsewhere, and \
             --file shares it as it is",
            show(&self.target)
        );
        Fatal { ending: Ending::Refused, line }
    }

    fn no_directory(&self) -> Fatal {
        let line = format!("{}: no such directory; make it", show(&directory_of(&self.target)));
        Fatal { ending: Ending::Disk, line }
    }

    fn locked(&self, pid: Option<u32>) -> Fatal {
        let who = pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
        let line = format!(
            "{}: {who} is fetching it; wait for it, or use --out DIR",
            show(&self.beside(PART_SUFFIX))
        );
        Fatal { ending: Ending::Refused, line }
    }
}
