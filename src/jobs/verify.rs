//! `lmk verify`: compares files with a .torrent and says which files and pieces are not what it
//! says.

mod told;

use super::pages::{Got, Pages};
use super::plan::VerifyPlan;
use super::torrent_file::shown;
use crate::content::file_list::Entry;
use crate::content::metainfo::{Metainfo, Proving};
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, FileError, FileKind, FileOp, Input, Outbox, Role};
use crate::core::meter::Meter;
use crate::core::report::{Ending, Event, Snapshot, Transfer, bytes_text, escaped};
use crate::core::time::Time;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use told::Told;

/// One run of the command.
#[derive(Debug)]
pub struct Verify {
    plan: VerifyPlan,
    step: Step,
    ended: bool,
}

#[derive(Debug)]
enum Step {
    Loading,
    /// Where the files are: what PATH is, then whether they stand right below it.
    Looking(Option<Ticket>, Look, Rc<Metainfo>),
    Reading(Box<Reading>),
    /// All is read, and what is wrong is told.
    Telling(Box<Reading>, Told),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    Top,
    First,
    Named,
}

/// Files read one after the other.
#[derive(Debug)]
struct Reading {
    metainfo: Rc<Metainfo>,
    proving: Proving,
    /// The folder of the files, or the file itself.
    top: PathBuf,
    /// Index of the entry at work, and bytes of it that are on the disk.
    at: usize,
    on_disk: u64,
    pages: Pages,
    /// What is wrong with files beside their pieces.
    wrong: BTreeMap<usize, Wrong>,
    passed_bytes: u64,
    meter: Meter,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wrong {
    Missing,
    Unreadable(FileError),
    /// Bytes on the disk.
    Short(u64),
    Long(u64),
}

impl Wrong {
    fn word(self) -> &'static str {
        match self {
            Wrong::Missing => "missing",
            Wrong::Unreadable(_) => "unreadable",
            Wrong::Short(_) => "short",
            Wrong::Long(_) => "long",
        }
    }
}

impl Verify {
    pub fn new(plan: VerifyPlan) -> Verify {
        Verify { plan, step: Step::Loading, ended: false }
    }

    fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        match &mut self.step {
            Step::Loading => {
                let metainfo = Rc::new(self.plan.torrent.loaded(done)?);
                let ticket = out.file(FileOp::Stat { path: self.plan.path.clone() });
                self.step = Step::Looking(Some(ticket), Look::Top, metainfo);
                Ok(())
            }
            Step::Looking(asked, look, metainfo) if *asked == Some(ticket) => {
                let (look, metainfo) = (*look, Rc::clone(metainfo));
                match done {
                    FileDone::Meta(found) => {
                        self.looked(look, found.map(|m| m.kind), metainfo, now, out)
                    }
                    _ => Ok(()),
                }
            }
            Step::Looking(..) | Step::Telling(..) => Ok(()),
            Step::Reading(reading) => {
                if let Some(got) = reading.pages.got(ticket, done) {
                    reading.got(got, now, out);
                }
                self.end_if_over(out);
                Ok(())
            }
        }
    }

    /// Where the files are: PATH is the file or the folder itself, or what it lies in.
    fn looked(
        &mut self,
        look: Look,
        found: Result<FileKind, FileError>,
        metainfo: Rc<Metainfo>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let path = &self.plan.path;
        let folder = metainfo.files.is_folder();
        let named = path.join(OsStr::from_bytes(&metainfo.name));
        let failed = |ending, why: &str| Fatal { ending, line: format!("{}: {why}", shown(path)) };
        let (next, look) = match (look, found) {
            (Look::Top, Err(error)) => return Err(failed(Ending::Disk, &error.reason())),
            (Look::Top, Ok(FileKind::Regular)) if folder => {
                return Err(failed(Ending::Usage, "it is a file, and the torrent is of a folder"));
            }
            (Look::Top, Ok(FileKind::Directory)) if !folder => {
                self.read(named, metainfo, now, out);
                return Ok(());
            }
            (Look::Top, Ok(_)) if folder => {
                let first = metainfo.files.plain().next();
                let first = first.map_or(path.clone(), |(_, entry)| below(path, entry));
                (first, Look::First)
            }
            (Look::First, Err(FileError::NotFound)) => (named, Look::Named),
            (Look::Named, Ok(FileKind::Directory)) => {
                self.read(named, metainfo, now, out);
                return Ok(());
            }
            _ => {
                self.read(path.clone(), metainfo, now, out);
                return Ok(());
            }
        };
        self.step = Step::Looking(Some(out.file(FileOp::Stat { path: next })), look, metainfo);
        Ok(())
    }

    fn read(&mut self, top: PathBuf, metainfo: Rc<Metainfo>, now: Time, out: &mut Outbox) {
        let size = metainfo.files.data_bytes();
        let line = format!("verifying {} ({})", shown(&top), bytes_text(size));
        out.tell(Event::info("verifying", line).number("size", size));
        let mut reading = Reading {
            proving: Proving::new(Rc::clone(&metainfo)),
            metainfo,
            top,
            at: 0,
            on_disk: 0,
            pages: Pages::default(),
            wrong: BTreeMap::new(),
            passed_bytes: 0,
            meter: Meter::new(now),
        };
        reading.open(out);
        self.step = Step::Reading(Box::new(reading));
        self.end_if_over(out);
    }

    fn end_if_over(&mut self, out: &mut Outbox) {
        match std::mem::replace(&mut self.step, Step::Loading) {
            Step::Reading(reading) if reading.entry().is_none() => {
                self.step = Step::Telling(reading, Told::default());
                self.go_on(out);
            }
            step => self.step = step,
        }
    }

    /// Tells the next of what is wrong, or ends.
    fn go_on(&mut self, out: &mut Outbox) {
        let Step::Telling(reading, told) = &mut self.step else { return };
        if let Some(good) = reading.say(told, out) {
            self.end(if good { Ending::Done } else { Ending::Verification }, out);
        }
    }

    fn end(&mut self, ending: Ending, out: &mut Outbox) {
        self.ended = true;
        out.end(ending);
    }
}

/// Where an entry of a folder stands.
fn below(top: &Path, entry: &Entry) -> PathBuf {
    top.join(OsStr::from_bytes(&entry.path))
}

impl Reading {
    /// The plain file at work, from `at` on; `None` once all were read.
    fn entry(&self) -> Option<(usize, &Entry)> {
        let (at, list) = (self.at, &self.metainfo.files);
        let found = list.entries().iter().enumerate().skip(at);
        found.into_iter().find(|(_, entry)| entry.kind == crate::content::file_list::Kind::Plain)
    }

    fn open(&mut self, out: &mut Outbox) {
        let Some((at, entry)) = self.entry() else { return };
        let path = match self.metainfo.files.is_folder() {
            true => below(&self.top, entry),
            false => self.top.clone(),
        };
        self.at = at;
        self.pages.open(path, out);
    }

    fn got(&mut self, got: Got, now: Time, out: &mut Outbox) {
        let Some((at, length)) = self.entry().map(|(at, entry)| (at, entry.length)) else { return };
        match got {
            Got::Opened(meta) => {
                self.on_disk = meta.size;
                if meta.size > length {
                    self.wrong.insert(at, Wrong::Long(meta.size));
                }
            }
            Got::Bytes(page) => {
                self.passed_bytes += page.len() as u64;
                self.meter.add(now, page.len() as u64);
                self.proving.update(&page);
                // It was longer when it was opened.
                if page.is_empty() {
                    self.on_disk = 0;
                }
                self.pages.done_with(page);
            }
            Got::Failed(error) => {
                let wrong = match error {
                    FileError::NotFound => Wrong::Missing,
                    error => Wrong::Unreadable(error),
                };
                self.wrong.insert(at, wrong);
                self.on_disk = 0;
            }
        }
        self.go_on(at, length, out);
    }

    /// Asks for the next bytes of the entry, or goes to the next one.
    fn go_on(&mut self, at: usize, length: u64, out: &mut Outbox) {
        let from = match self.proving.wanted() {
            Some((wanted, from)) if wanted == at => from,
            _ => length,
        };
        if from < length.min(self.on_disk) {
            self.pages.read(from, self.proving.left().min(self.on_disk - from), out);
            return;
        }
        if from < length {
            self.wrong.entry(at).or_insert(Wrong::Short(from));
            self.passed_bytes += self.proving.left();
            self.proving.lacks(self.proving.left());
        }
        self.pages.close(out);
        self.at = at + 1;
        self.open(out);
    }
}

impl Role for Verify {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let done = match input {
            _ if self.ended => Ok(()),
            Input::Born => {
                out.file(self.plan.torrent.load());
                Ok(())
            }
            Input::Asked(command) => {
                self.end(super::stopped(command), out);
                Ok(())
            }
            Input::File { ticket, done } => self.got_file(ticket, done, now, out),
            Input::Wake => {
                self.go_on(out);
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(Fatal { ending, line }) = done {
            out.tell(Event::error("failed", line));
            self.end(ending, out);
        }
    }

    fn deadline(&self) -> Time {
        match self.step {
            Step::Telling(..) if !self.ended => Time::ZERO,
            _ => Time::NEVER,
        }
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        let transfer = match &self.step {
            Step::Reading(reading) | Step::Telling(reading, _) => Some(Transfer {
                name: escaped(&reading.metainfo.name),
                size: reading.metainfo.files.data_bytes(),
                done: reading.passed_bytes,
                rate_down: reading.meter.rate(now),
                ..Transfer::default()
            }),
            _ => None,
        };
        Snapshot { phase: "verifying", transfer, ..Snapshot::default() }
    }
}
