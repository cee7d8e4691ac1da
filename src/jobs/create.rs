//! `lmk create`: makes a .torrent of a file or a folder. Nothing of the machine or the moment goes
//! into it, so that equal files and equal options make equal bytes.

use super::describe;
use super::pages::{Got, Pages};
use super::plan::CreatePlan;
use super::torrent_file::shown;
use crate::content::error::MetaError;
use crate::content::metainfo::{KeyOrder, Maker, Metainfo};
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, FileError, FileKind, FileOp, Input, Meta, Outbox, Role};
use crate::core::mark::mark;
use crate::core::meter::Meter;
use crate::core::report::{Ending, Event, Snapshot, Transfer, bytes_text, escaped};
use crate::core::time::Time;
use crate::seeder::walk::{Walk, below};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// One run of the command.
#[derive(Debug)]
pub struct Create {
    plan: CreatePlan,
    step: Step,
    pages: Pages,
    meter: Meter,
    ended: bool,
}

#[derive(Debug)]
enum Step {
    /// Whether there is something already where the .torrent goes.
    Place(Option<Ticket>),
    /// Whether it is a file or a folder.
    Top,
    Walking(Walk),
    Hashing(Box<Hashing>),
    Saving(Option<Ticket>, Box<Metainfo>),
}

#[derive(Debug)]
struct Hashing {
    maker: Maker,
    /// What the files were when they were found; empty for a single one, which is open already.
    found: BTreeMap<Vec<u8>, Meta>,
    hashed_bytes: u64,
}

fn changed() -> String {
    "it changed while it was hashed; nothing is written".to_owned()
}

impl Create {
    pub fn new(plan: CreatePlan) -> Create {
        let (pages, meter) = (Pages::default(), Meter::default());
        Create { plan, step: Step::Place(None), pages, meter, ended: false }
    }

    fn born(&mut self, out: &mut Outbox) {
        self.step = Step::Place(Some(out.file(FileOp::Stat { path: self.plan.out.clone() })));
    }

    fn open_top(&mut self, out: &mut Outbox) {
        self.step = Step::Top;
        self.pages.open(self.plan.path.clone(), out);
    }

    fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        match &mut self.step {
            Step::Place(asked) if *asked == Some(ticket) => self.got_place(done, out),
            Step::Top => match self.pages.got(ticket, done) {
                Some(got) => self.got_top(got, now, out),
                None => Ok(()),
            },
            Step::Walking(walk) => {
                if walk.got(ticket, done, out)? {
                    let files = std::mem::take(&mut walk.files);
                    let executables = std::mem::take(&mut walk.executables);
                    self.walked(files, &executables, now, out)?;
                }
                Ok(())
            }
            Step::Hashing(_) => match self.pages.got(ticket, done) {
                Some(got) => self.got_page(got, now, out),
                None => Ok(()),
            },
            Step::Saving(asked, metainfo) if *asked == Some(ticket) => {
                if let FileDone::Done(Err(error)) = done {
                    return Err(failed(Ending::Disk, &self.plan.out, &error.reason()));
                }
                say(metainfo, &self.plan, out);
                self.end(Ending::Done, out);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn got_place(&mut self, done: FileDone, out: &mut Outbox) -> Result<(), Fatal> {
        match done {
            FileDone::Meta(Err(FileError::NotFound)) => {
                self.open_top(out);
                Ok(())
            }
            FileDone::Meta(Err(error)) => {
                Err(failed(Ending::Disk, &self.plan.out, &error.reason()))
            }
            FileDone::Meta(Ok(meta)) if self.plan.overwrite => {
                let what = match meta.kind {
                    FileKind::Regular => {
                        self.open_top(out);
                        return Ok(());
                    }
                    FileKind::Symlink => "it is a symbolic link; name what it leads to",
                    FileKind::Directory => "it is a folder; name a file",
                    FileKind::Special => "it is no regular file and is left alone; name a file",
                };
                Err(failed(Ending::Refused, &self.plan.out, &format!("{what} with -o")))
            }
            _ => {
                let why = "it exists already; --overwrite replaces it, -o names another place";
                Err(failed(Ending::Refused, &self.plan.out, why))
            }
        }
    }

    fn got_top(&mut self, got: Got, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        match got {
            Got::Opened(meta) => {
                let wanted = self.plan.wanted.clone();
                let maker = Maker::file(&self.plan.name, meta.size, wanted);
                let maker = maker.map_err(|why| self.refused(&why))?;
                self.pages.pin(meta, out);
                self.hash(maker, BTreeMap::new(), now, out)
            }
            Got::Failed(FileError::IsDirectory) => {
                let (top, made) = (self.plan.path.clone(), Some(self.plan.out.clone()));
                self.step = Step::Walking(Walk::start(top, made, out));
                Ok(())
            }
            Got::Failed(error) => Err(failed(Ending::Disk, &self.plan.path, &error.reason())),
            Got::Bytes(_) => Ok(()),
        }
    }

    fn walked(
        &mut self,
        files: Vec<(Vec<u8>, Meta)>,
        executables: &BTreeSet<Vec<u8>>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        if files.is_empty() {
            let why = "there is no file in it; put some there, or name another folder";
            return Err(failed(Ending::Usage, &self.plan.path, why));
        }
        let sizes = files.iter().map(|(path, meta)| (path.clone(), meta.size)).collect();
        let maker = Maker::folder(&self.plan.name, sizes, self.plan.wanted.clone());
        let maker = maker.map_err(|why| self.refused(&why))?.with_executables(executables);
        self.hash(maker, files.into_iter().collect(), now, out)
    }

    fn refused(&self, why: &MetaError) -> Fatal {
        let mut line = why.to_string();
        if *why == MetaError::TooManyPieces {
            line.push_str("; give a larger --piece-length");
        }
        failed(Ending::Usage, &self.plan.path, &line)
    }

    fn hash(
        &mut self,
        maker: Maker,
        found: BTreeMap<Vec<u8>, Meta>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let size = maker.files().data_bytes();
        let line = format!("hashing {} ({})", escaped(&self.plan.name), bytes_text(size));
        out.tell(Event::info("hashing", line).number("size", size));
        self.meter = Meter::new(now);
        let single = found.is_empty();
        self.step = Step::Hashing(Box::new(Hashing { maker, found, hashed_bytes: 0 }));
        if single { self.read(out) } else { self.next(out) }
    }

    /// Opens the file whose bytes come next, or ends.
    fn next(&mut self, out: &mut Outbox) -> Result<(), Fatal> {
        let Step::Hashing(hashing) = &mut self.step else { return Ok(()) };
        match hashing.maker.wanted().and_then(|(at, _)| hashing.maker.files().entries().get(at)) {
            Some(entry) => {
                self.pages.open(below(&self.plan.path, &entry.path), out);
                Ok(())
            }
            None => self.hashed(out),
        }
    }

    /// Asks for the next bytes of the file that is open.
    fn read(&mut self, out: &mut Outbox) -> Result<(), Fatal> {
        let Step::Hashing(hashing) = &mut self.step else { return Ok(()) };
        match hashing.maker.wanted() {
            Some((_, from)) => {
                self.pages.read(from, hashing.maker.left(), out);
                Ok(())
            }
            None => self.hashed(out),
        }
    }

    fn got_page(&mut self, got: Got, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        let Step::Hashing(hashing) = &mut self.step else { return Ok(()) };
        let Some((at, _)) = hashing.maker.wanted() else { return Ok(()) };
        let entry = hashing.maker.files().entries().get(at);
        let path = entry.filter(|_| !hashing.found.is_empty()).map(|entry| entry.path.clone());
        let place = match &path {
            Some(path) => below(&self.plan.path, path),
            None => self.plan.path.clone(),
        };
        match got {
            Got::Opened(meta) => {
                if path.and_then(|path| hashing.found.get(&*path).copied()) != Some(meta) {
                    return Err(Self::got_other_file(&place));
                }
                self.pages.pin(meta, out);
                self.read(out)
            }
            Got::Bytes(page) if page.is_empty() => Err(Self::got_other_file(&place)),
            Got::Bytes(page) => {
                hashing.maker.update(&page);
                hashing.hashed_bytes += page.len() as u64;
                self.meter.add(now, page.len() as u64);
                self.pages.done_with(page);
                if hashing.maker.wanted().is_some_and(|(next, _)| next == at) {
                    return self.read(out);
                }
                self.pages.close(out);
                self.next(out)
            }
            // It is pinned: whoever writes to it makes the system call it stale.
            Got::Failed(FileError::Changed | FileError::STALE) => Err(Self::got_other_file(&place)),
            Got::Failed(error) => Err(failed(Ending::Disk, &place, &error.reason())),
        }
    }

    /// Writes what was made, once it reads back as what it shall be.
    fn hashed(&mut self, out: &mut Outbox) -> Result<(), Fatal> {
        let Step::Hashing(hashing) = std::mem::replace(&mut self.step, Step::Place(None)) else {
            return Ok(());
        };
        let made = hashing.maker.finish();
        let read = made.and_then(|bytes| Metainfo::read(bytes, KeyOrder::Sorted));
        let metainfo = Box::new(read.map_err(|why| self.refused(&why))?);
        let (path, bytes) = (self.plan.out.clone(), metainfo.text().to_vec());
        let ticket = out.file(FileOp::Save { path, bytes, private: false });
        self.step = Step::Saving(Some(ticket), metainfo);
        Ok(())
    }

    fn got_other_file(place: &std::path::Path) -> Fatal {
        mark!("A26");
        failed(Ending::Disk, place, &changed())
    }

    fn end(&mut self, ending: Ending, out: &mut Outbox) {
        self.ended = true;
        out.end(ending);
    }
}

fn failed(ending: Ending, path: &std::path::Path, why: &str) -> Fatal {
    Fatal { ending, line: format!("{}: {why}", shown(path)) }
}

/// What was made: its place, its hashes and its link, each a line.
fn say(metainfo: &Metainfo, plan: &CreatePlan, out: &mut Outbox) {
    let (files, grid) = (metainfo.files.plain().count() as u64, &metainfo.geometry);
    let path: &PathBuf = &plan.out;
    let (v1, v2) = (metainfo.v1.map(|h| h.to_string()), metainfo.v2.map(|h| h.to_string()));
    let link = describe::magnet(metainfo).to_string();
    let size = metainfo.files.data_bytes();
    let line = format!(
        "created {}: {}, {}, {} pieces of {}",
        shown(path),
        if files == 1 { "1 file".into() } else { format!("{files} files") },
        bytes_text(size),
        grid.pieces(),
        bytes_text(grid.piece_length().into()),
    );
    let mut event = Event::result("created", line).text("path", path.to_string_lossy());
    event = event.number("files", files).number("size", size);
    event = event.number("pieces", grid.pieces().into());
    event = event.number("piece_bytes", grid.piece_length().into());
    for (key, value) in [("v1", v1.clone()), ("v2", v2.clone()), ("magnet", Some(link.clone()))] {
        event = value.into_iter().fold(event, |event, value| event.text(key, value));
    }
    out.tell(event);
    if plan.table {
        for (key, value) in [("v2", v2), ("v1", v1), ("magnet", Some(link))] {
            value
                .into_iter()
                .for_each(|value| out.tell(Event::result(key, format!("{key:<6} {value}"))));
        }
    }
}

impl Role for Create {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let done = match input {
            _ if self.ended => Ok(()),
            Input::Born => {
                self.born(out);
                Ok(())
            }
            Input::Asked(command) => {
                self.end(super::stopped(command), out);
                Ok(())
            }
            Input::File { ticket, done } => self.got_file(ticket, done, now, out),
            _ => Ok(()),
        };
        if let Err(Fatal { ending, line }) = done {
            out.tell(Event::error("failed", line));
            self.end(ending, out);
        }
    }

    fn deadline(&self) -> Time {
        Time::NEVER
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        let transfer = match &self.step {
            Step::Hashing(hashing) => Some(Transfer {
                name: escaped(&self.plan.name),
                size: hashing.maker.files().data_bytes(),
                done: hashing.hashed_bytes,
                rate_down: self.meter.rate(now),
                ..Transfer::default()
            }),
            _ => None,
        };
        Snapshot { phase: "hashing", transfer, ..Snapshot::default() }
    }
}
