//! The part file and its journal at the start of a download: opened, locked, believed as far as the
//! journal vouches, read again where it does not, and a fresh journal begun.

mod begin;
mod belief;

use super::check::Check;
use super::layout::Layout;
use crate::content::bitfield::Bitfield;
use crate::content::geometry::Geometry;
use crate::content::metainfo::Content;
use crate::core::id::{FileId, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Meta, OpenMode, Outbox};
use crate::core::limits::ROOM_BYTES_MIN;
use crate::core::mark::mark;
use crate::core::rng::Rng;
use crate::leecher::durable::{Durable, Files};
use crate::leecher::journal::Writer;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A part that others make and remove while it is opened is tried so often.
const OPENINGS_MAX: u32 = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Open,
    /// There is none: it is made, and nobody else's is taken for it.
    Create,
    Lock,
    /// Another process has the lock: which?
    Holder,
    /// From here on what others write is noticed.
    Guard,
    /// Is the locked file still the one of that name?
    Look,
    /// Is what belongs to files that are not made still kept?
    LookAtAside,
    LookAtJournal,
    LoadJournal,
    /// Written, not vouched for; and a sample of what is.
    CheckSome,
    CheckAll,
    Space,
    SetLen,
    Sync,
    /// It failed: the next run hears of it.
    Void,
    BeginJournal,
    SyncDirectory,
    OpenJournal,
}

/// What came of a step.
#[derive(Debug)]
pub enum Opened {
    Waiting,
    /// Ready to be filled; `kept` pieces are durable.
    Ready(Box<(Durable, Bitfield)>),
    /// Another process downloads into it: this one, if the system knows.
    Locked(Option<u32>),
    /// It was given another name, or removed, while we opened it: who did so may have completed it.
    Moved,
    NoDirectory,
    /// `needed` bytes more, of `free`.
    NoSpace {
        needed: u64,
        free: u64,
        /// Nothing of it is there: the empty part file may go.
        empty: bool,
    },
    Failed(FileError),
}

/// How a part file is opened.
#[derive(Clone, Copy, Default, Debug)]
pub struct Trust {
    /// A sync failed: what the journal does not vouch for counts for nothing.
    pub sync_failed: bool,
    /// The times of the file say nothing about who wrote to it: it is not guarded.
    pub no_times: bool,
    /// Two changes may have the same time: that of another program may go unnoticed.
    pub coarse_times: bool,
    /// The download was under way: room for some more is enough.
    pub under_way: bool,
}

#[derive(Debug)]
pub struct Part {
    content: Rc<Content>,
    layout: Layout,
    path: PathBuf,
    journal: PathBuf,
    pub trust: Trust,
    rng: Rng,
    step: Step,
    ticket: Option<Ticket>,
    openings: u32,
    file: Option<(FileId, Meta)>,
    check: Option<Check>,
    /// What is vouched for and was not read again.
    trusted: Bitfield,
    /// What belongs to files that are not made is gone.
    lacks_aside: bool,
    /// Pieces of the sample: one that fails voids the journal.
    sample: Bitfield,
    have: Bitfield,
    pub checked_bytes: u64,
    /// The whole part was read: there was no journal to believe.
    pub read_whole: bool,
    writer: Option<(Writer, u64)>,
    sync_error: Option<FileError>,
}

impl Part {
    /// Begins to open the part file `path`.
    pub fn start(
        (content, layout): (Rc<Content>, Layout),
        (path, journal): (PathBuf, PathBuf),
        trust: Trust,
        rng: Rng,
        out: &mut Outbox,
    ) -> Part {
        let none = Bitfield::new(content.geometry.pieces());
        let mut part = Part {
            content,
            layout,
            path,
            journal,
            trust,
            rng,
            step: Step::Open,
            ticket: None,
            openings: 0,
            file: None,
            check: None,
            trusted: none.clone(),
            lacks_aside: false,
            sample: none.clone(),
            have: none,
            checked_bytes: 0,
            read_whole: false,
            writer: None,
            sync_error: None,
        };
        part.open(out);
        part
    }

    /// Bytes that have been read again, or are holes, while others still are.
    pub fn checking(&self) -> Option<u64> {
        self.check.as_ref().map(Check::passed_bytes)
    }

    fn ask(&mut self, step: Step, op: FileOp, out: &mut Outbox) -> Opened {
        self.step = step;
        self.ticket = Some(out.file(op));
        Opened::Waiting
    }

    fn open(&mut self, out: &mut Outbox) -> Opened {
        self.openings += 1;
        let op = self.layout.open(self.path.clone(), OpenMode::Update);
        self.ask(Step::Open, op, out)
    }

    /// A file operation came back; `Err` hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        out: &mut Outbox,
    ) -> Result<Opened, FileDone> {
        if let Some(check) = &mut self.check {
            return match check.got_file(ticket, done, out) {
                Ok(None) if check.is_done() => Ok(self.checked(out)),
                Ok(None) => Ok(Opened::Waiting),
                Ok(Some(foreign)) => Err(foreign),
                Err(error) => Ok(Opened::Failed(error)),
            };
        }
        if self.ticket.take_if(|ours| *ours == ticket).is_none() {
            return Err(done);
        }
        Ok(match (self.step, done) {
            (Step::Open | Step::Create, FileDone::Opened(Ok((file, meta)))) => {
                self.file = Some((file, meta));
                self.ask(Step::Lock, FileOp::Lock { file }, out)
            }
            (Step::Open, FileDone::Opened(Err(FileError::NotFound))) => {
                let op = self.layout.open(self.path.clone(), OpenMode::CreateNew);
                self.ask(Step::Create, op, out)
            }
            (Step::Create, FileDone::Opened(Err(FileError::NotFound))) => Opened::NoDirectory,
            (Step::Create, FileDone::Opened(Err(FileError::Exists)))
                if self.openings < OPENINGS_MAX =>
            {
                self.open(out)
            }
            (Step::Holder, FileDone::Holder(pid)) => {
                mark!("E13");
                self.close(out);
                Opened::Locked(pid)
            }
            (Step::Guard, FileDone::Guarded(Ok(fine))) => {
                self.trust.coarse_times = !fine;
                self.ask_look(out)
            }
            (Step::OpenJournal, FileDone::Opened(Ok((file, _)))) => self.ready(file),
            (Step::Look, FileDone::Meta(meta)) => self.look(meta, out),
            (Step::LookAtAside, FileDone::Meta(meta)) => self.look_at_aside(meta, out),
            (Step::LookAtJournal, FileDone::Meta(meta)) => self.look_at_journal(meta, out),
            (Step::LoadJournal, FileDone::Loaded(loaded)) => self.believe(loaded.ok(), out),
            (Step::Space, FileDone::Free(free)) => self.space(free, out),
            (Step::Lock, FileDone::Done(Err(FileError::Busy))) => match self.file {
                Some((file, _)) => self.ask(Step::Holder, FileOp::Holder { file }, out),
                None => Opened::Locked(None),
            },
            (Step::Sync, FileDone::Done(Err(error))) => self.void(error, out),
            (Step::Void, FileDone::Done(_)) => self.voided(),
            (_, FileDone::Done(Ok(()))) => self.next(out),
            (_, FileDone::Opened(Err(error)) | FileDone::Done(Err(error))) => Opened::Failed(error),
            (_, FileDone::Guarded(Err(error))) => Opened::Failed(error),
            _ => Opened::Failed(FileError::NotRegular),
        })
    }

    fn next(&mut self, out: &mut Outbox) -> Opened {
        let Some((file, _)) = self.file else { return Opened::Failed(FileError::NotFound) };
        match self.step {
            Step::Lock if self.trust.no_times => self.ask_look(out),
            Step::Lock => self.ask(Step::Guard, FileOp::Guard { file }, out),
            Step::SetLen => self.ask(Step::Sync, FileOp::Sync { file, meta: true }, out),
            Step::Sync => self.begin_journal(Step::BeginJournal, out),
            Step::BeginJournal => {
                let path = self.directory();
                self.ask(Step::SyncDirectory, FileOp::SyncDir { path }, out)
            }
            _ => {
                let (path, mode) = (self.journal.clone(), OpenMode::Update);
                self.ask(Step::OpenJournal, FileOp::Open { path, mode }, out)
            }
        }
    }

    fn ask_look(&mut self, out: &mut Outbox) -> Opened {
        let Some((file, _)) = self.file else { return Opened::Failed(FileError::NotFound) };
        self.ask(Step::Look, FileOp::StatNamed { file, path: self.path.clone() }, out)
    }

    /// The lock holds the file, not its name: who held it before may have renamed it.
    fn look(&mut self, meta: Result<Meta, FileError>, out: &mut Outbox) -> Opened {
        let Some((file, _)) = self.file else { return Opened::Failed(FileError::NotFound) };
        match meta {
            Ok(meta) => {
                mark!("E14");
                self.file = Some((file, meta));
                if meta.size == 0 {
                    return self.ask_space(out);
                }
                self.look_for_aside(out)
            }
            Err(FileError::Changed | FileError::NotFound) => {
                self.close(out);
                Opened::Moved
            }
            Err(error) => Opened::Failed(error),
        }
    }

    fn check_all(&mut self, out: &mut Outbox) -> Opened {
        self.read_whole = true;
        let pieces = self.content.geometry.pieces();
        (self.trusted, self.sample) = (Bitfield::new(pieces), Bitfield::new(pieces));
        self.check(Step::CheckAll, Bitfield::full(pieces), out)
    }

    fn check(&mut self, step: Step, which: Bitfield, out: &mut Outbox) -> Opened {
        let Some((file, _)) = self.file else { return Opened::Failed(FileError::NotFound) };
        self.step = step;
        let check = Check::start(self.content.clone(), file, &which, out);
        let done = check.is_done();
        self.check = Some(check);
        if done { self.checked(out) } else { Opened::Waiting }
    }

    fn checked(&mut self, out: &mut Outbox) -> Opened {
        let Some(check) = self.check.take() else { return Opened::Failed(FileError::NotFound) };
        self.checked_bytes += check.checked_bytes();
        if check.good.lacks_any_of(&self.sample) {
            // Somebody else wrote into the file: the journal speaks of another time.
            return self.check_all(out);
        }
        self.have = check.good;
        self.trusted.ones().for_each(|piece| _ = self.have.set(piece));
        self.ask_space(out)
    }

    /// The part file, once it is locked and has its name.
    pub fn locked_file(&self) -> Option<FileId> {
        let opening = [Step::Open, Step::Create, Step::Lock, Step::Holder, Step::Guard, Step::Look];
        self.file.map(|(file, _)| file).filter(|_| !opening.contains(&self.step))
    }

    fn directory(&self) -> PathBuf {
        self.path.parent().unwrap_or(Path::new(".")).to_path_buf()
    }

    fn ask_space(&mut self, out: &mut Outbox) -> Opened {
        let path = self.directory();
        self.ask(Step::Space, FileOp::FreeSpace { path }, out)
    }

    fn space(&mut self, free: Result<u64, FileError>, out: &mut Outbox) -> Opened {
        let Some((file, meta)) = self.file else { return Opened::Failed(FileError::NotFound) };
        let geometry = &self.content.geometry;
        let mut missing = self.layout.wanted(geometry);
        self.have.ones().for_each(|piece| _ = missing.clear(piece));
        let (missing, len) = (geometry.payload_of(&missing), geometry.size());
        let needed = match self.trust.under_way {
            true => room_for_more(geometry, missing),
            false => missing,
        };
        match free {
            Ok(free) if free < needed => {
                mark!("E01");
                Opened::NoSpace { needed, free, empty: meta.size == 0 }
            }
            Err(error) => Opened::Failed(error),
            Ok(_) => self.ask(Step::SetLen, FileOp::SetLen { file, len }, out),
        }
    }

    fn ready(&mut self, journal_file: FileId) -> Opened {
        let (Some((part_file, meta)), Some((writer, len))) = (self.file, self.writer.take()) else {
            return Opened::Failed(FileError::NotFound);
        };
        let part_meta = Meta { size: self.content.geometry.size(), ..meta };
        let (part, journal) = (self.path.clone(), self.journal.clone());
        let files = Files { part, part_file, part_meta, journal, journal_file };
        let durable = Durable::new(files, writer, len, self.have.clone());
        Opened::Ready(Box::new((durable, self.have.clone())))
    }

    /// Forgets the open file, and with it the lock.
    pub fn close(&mut self, out: &mut Outbox) {
        if let Some((file, _)) = self.file.take() {
            out.file(FileOp::Close { file });
        }
    }
}

/// Bytes that must be free for a download to go on after the disk was full, with `missing` to come.
pub fn room_for_more(geometry: &Geometry, missing: u64) -> u64 {
    ROOM_BYTES_MIN.max(u64::from(geometry.piece_length())).min(missing)
}
