//! The origin of a file (`lmk seeder --url`): a server of the web from which it is fetched once,
//! into a part file beside its place, whole and in order. What follows is as with any file on the
//! disk.

mod ground;
mod note;
mod part;
mod talk;

use super::plan::OriginPlan;
use crate::announce::approach::Approach;
use crate::announce::resolver::Found;
use crate::core::fault::Fatal;
use crate::core::id::{ConnId, Ticket};
use crate::core::io::{FileDone, FileError, Input, Meta, Outbox};
use crate::core::meter::Meter;
use crate::core::report::{Ending, Event, Transfer, bytes_text, foreign, foreign_bytes};
use crate::core::time::{Span, Time};
use crate::wire::http::incoming::Incoming;
use ground::Step;
use part::Part;
use std::path::{Path, PathBuf};

/// What came of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    More,
    /// The file has its name.
    Fetched,
    /// A signal ended it; everything that came is durable.
    Stopped(Ending),
}

#[derive(Debug)]
pub struct Origin {
    plan: OriginPlan,
    /// The URL without its query.
    shown: String,
    /// The step of the disk that is waited for.
    step: Step,
    ticket: Option<Ticket>,
    openings: u32,
    /// Where the file goes, and what stands there.
    target: PathBuf,
    existing: Option<Meta>,
    there_already: bool,
    part: Option<Part>,
    /// The question how much room there is.
    space: Option<Ticket>,
    approach: Option<Approach>,
    /// The answer that is coming.
    incoming: Option<Incoming>,
    paused: bool,
    /// When something is too late, or to be tried again.
    due: Time,
    failures: u32,
    begun_anew: u32,
    /// Most bytes that were there at a time, and when they last became more.
    best: u64,
    alive: Time,
    started: Time,
    /// It was said what is fetched.
    told: bool,
    gives_ranges: bool,
    meter: Meter,
    stopping: Option<Ending>,
}

impl Origin {
    /// Begins to find out where the file goes.
    pub fn start(plan: OriginPlan, now: Time, out: &mut Outbox) -> Origin {
        let url = &plan.url;
        let path = url.path.split('?').next().unwrap_or_default();
        let host = url.at.with_port(url.scheme.port());
        let mut origin = Origin {
            shown: foreign(&format!("{}://{host}{path}", url.scheme.name())),
            plan,
            step: Step::Idle,
            ticket: None,
            openings: 0,
            target: PathBuf::new(),
            existing: None,
            there_already: false,
            part: None,
            space: None,
            approach: None,
            incoming: None,
            paused: false,
            due: Time::NEVER,
            failures: 0,
            begun_anew: 0,
            best: 0,
            alive: now,
            started: now,
            told: false,
            gives_ranges: false,
            meter: Meter::new(now),
            stopping: None,
        };
        origin.find_place(out);
        origin
    }

    /// Where the file lies, once it is there.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Whether parts of it can be had there.
    pub fn gives_ranges(&self) -> bool {
        self.gives_ranges
    }

    pub fn conn(&self) -> Option<ConnId> {
        self.approach.as_ref().and_then(Approach::conn)
    }

    pub fn take_lookup(&mut self) -> Option<String> {
        self.approach.as_mut()?.take_lookup()
    }

    pub fn deadline(&self) -> Time {
        let approach = self.approach.as_ref().map_or(Time::NEVER, Approach::deadline);
        let part = self.part.as_ref().filter(|_| self.step == Step::Idle);
        let part = part.map_or(Time::NEVER, Part::deadline);
        self.due.min(approach).min(part)
    }

    /// Bytes that came, and those there are in all as far as it is known.
    pub fn transfer(&self, now: Time) -> Transfer {
        let done = self.part.as_ref().map_or(0, |part| part.received);
        let size = self.part.as_ref().and_then(|part| part.note.size).unwrap_or(done);
        let name = foreign_bytes(&self.plan.name);
        let rate_down = self.meter.rate(now);
        Transfer { name, size, done, rate_down, downloaded: done, ..Transfer::default() }
    }

    /// News of the connection to the server; hands back what is not ours.
    pub fn got_connection<'a>(
        &mut self,
        input: Input<'a>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<Input<'a>>, Fatal> {
        match input {
            Input::Connected { conn, .. } if self.conn() == Some(conn) => {
                self.got_connected(conn, now, out);
            }
            Input::Bytes { conn, bytes } if self.conn() == Some(conn) => {
                self.got_bytes(bytes, now, out)?;
            }
            Input::Closed { conn, why } if self.conn() == Some(conn) => {
                self.got_closed(why, now, out)?;
            }
            Input::Sent { conn, .. } if self.conn() == Some(conn) => {}
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    /// A name was looked up, perhaps that of the server.
    pub fn got_found(&mut self, found: &Found, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        let Some(approach) = &mut self.approach else { return Ok(()) };
        let Err(why) = approach.got_found(found, now, out) else { return Ok(()) };
        match found.addresses {
            Ok(_) => Err(self.refused(&why)),
            Err(_) => self.failed(why, None, now, out),
        }
    }

    /// A file operation came back; hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Result<Stage, Fatal>, FileDone> {
        if self.space.take_if(|ours| *ours == ticket).is_some() {
            return Ok(self.got_space(&done).map(|()| Stage::More));
        }
        if self.ticket.take_if(|ours| *ours == ticket).is_some() {
            return Ok(self.got_step(done, now, out));
        }
        let Some(part) = &mut self.part else { return Err(done) };
        let result = part.got_file(ticket, done, now, out)?;
        Ok(result.map_err(|error| self.cannot_write(error)).and_then(|()| self.wrote(now, out)))
    }

    /// Pages came back from the disk.
    fn wrote(&mut self, now: Time, out: &mut Outbox) -> Result<Stage, Fatal> {
        let Some(part) = &mut self.part else { return Ok(Stage::More) };
        if let Some(ending) = self.stopping {
            if part.is_noted() {
                return Ok(Stage::Stopped(ending));
            }
            part.sync(now, out);
            return Ok(Stage::More);
        }
        if self.paused && !part.is_crowded() {
            self.paused = false;
            self.due = now + talk::PATIENCE;
            if let Some(conn) = self.conn() {
                out.reading(conn, true);
            }
        }
        Ok(self.finish_if_whole(out))
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Time, out: &mut Outbox) -> Result<Stage, Fatal> {
        if self.there_already {
            return Ok(Stage::Fetched);
        }
        if let (Some(part), Step::Idle) = (&mut self.part, self.step) {
            part.tick(now, out);
        }
        if let Some(approach) = &mut self.approach {
            approach.poll(now, out);
        }
        if now < self.due || self.stopping.is_some() {
            return Ok(Stage::More);
        }
        match &self.approach {
            Some(_) if self.paused => self.due = now + talk::PATIENCE,
            Some(approach) => {
                let why = format!("no {} in {}", approach.waits_for(), talk::PATIENCE);
                self.failed(why, None, now, out)?;
            }
            None => self.connect(now, out)?,
        }
        Ok(Stage::More)
    }

    /// A signal. -> whether it ends by itself once everything that came is durable.
    pub fn stop(&mut self, ending: Ending, now: Time, out: &mut Outbox) -> bool {
        self.hang_up(out);
        self.due = Time::NEVER;
        let Some(part) = &mut self.part else { return false };
        if self.step != Step::Idle || part.is_noted() {
            self.abandon(out);
            return false;
        }
        self.stopping = Some(ending);
        part.sync(now, out);
        true
    }

    /// It is given up: an empty part file is of no use to a later run.
    pub fn abandon(&mut self, out: &mut Outbox) {
        self.hang_up(out);
        // Until it is locked and looked at it may be that of another run.
        let is_ours = !matches!(self.step, Step::Lock | Step::Holder | Step::Look);
        if let Some(part) = self.part.take_if(|part| is_ours && part.received == 0) {
            self.remove_part(part.file, out);
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// It is there: how long it took.
    fn tell_fetched(&self, now: Time, out: &mut Outbox) {
        let transfer = self.transfer(now);
        let took = now.since(self.started);
        let (name, size) = (foreign(&transfer.name), transfer.size);
        let line = format!("fetched {name} ({}) in {took}", bytes_text(size));
        out.tell(Event::info("fetched", line).text("url", self.shown.clone()).number("size", size));
    }

    fn refused(&self, why: &str) -> Fatal {
        Fatal { ending: Ending::Refused, line: format!("origin {}: {why}", self.shown) }
    }

    /// How long nothing may come.
    fn patience(&self) -> Span {
        self.plan.timeout
    }

    fn cannot_write(&self, error: FileError) -> Fatal {
        let advice = match error {
            FileError::NoSpace => "; make room and run the same command to go on, or use --out DIR",
            FileError::Denied => "; its directory must be writable, or use --out DIR",
            _ => "",
        };
        let place = crate::node::places::show(&self.target);
        Fatal { ending: Ending::Disk, line: format!("{place}: {}{advice}", error.reason()) }
    }
}
