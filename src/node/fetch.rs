//! The leecher's work: find out what is wanted, find the place for the file, let the swarm fill it,
//! make it durable, and hand over what others were promised.

mod denied;
mod disk;
mod keeping;
mod picture;
mod room;
mod seeking;

use super::places::show;
use super::plan::FetchPlan;
use super::search::Search;
use super::shared::Shared;
use super::target::{Placed, Target};
use super::ties::Tie;
use super::torrent;
use crate::content::bitfield::Bitfield;
use crate::core::fault::Fatal;
use crate::core::id::{FileId, Ticket};
use crate::core::io::{FileDone, Outbox};
use crate::core::meter::Meter;
use crate::core::report::{Ending, Event, bytes_text, foreign};
use crate::core::time::{Span, Time};
use crate::peer::Identity;
use crate::swarm::Happened;
use room::Room;

/// Blocks already asked of us are handed over for so long after completion.
const HAND_OVER: Span = Span::secs(2);

#[derive(Debug)]
enum Phase {
    /// Only while one phase becomes the next.
    Between,
    Seeking(Search),
    Placing(Box<Target>),
    Downloading(Box<Target>),
    /// The disk is full, and what was written last is lost: looked at again then.
    Full {
        target: Box<Target>,
        until: Time,
    },
    /// A signal came: what is written becomes durable first.
    Stopping(Box<Target>, disk::Stop),
    Finishing(Box<Target>),
    /// Complete; others may still be owed blocks.
    HandingOver {
        until: Time,
        /// Everything has left us; the peers are reading the last of it.
        hung_up: bool,
    },
    Seeding(keeping::Keeping),
}

#[derive(Debug)]
pub struct Fetch {
    plan: FetchPlan,
    phase: Phase,
    /// When the payload began to be wanted, for the average rate.
    started: Time,
    /// Since when there is no source.
    no_source: Option<Time>,
    size: u64,
    /// The part file was ready once: from then on a full disk is waited for.
    began: bool,
    room: Room,
    /// What is read again or verified before there is a swarm.
    checking: Meter,
}

impl Fetch {
    pub fn new(plan: FetchPlan) -> Fetch {
        Fetch {
            phase: Phase::Seeking(Search::new(&plan)),
            plan,
            started: Time::ZERO,
            no_source: None,
            size: 0,
            began: false,
            room: Room::default(),
            checking: Meter::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.plan.want.name
    }

    pub fn start(&mut self, now: Time, out: &mut Outbox) {
        if let Phase::Seeking(search) = &mut self.phase {
            search.start(now, out);
        }
        self.no_source = Some(now);
    }

    pub fn deadline(&self) -> Time {
        self.work_deadline().min(self.disk_deadline())
    }

    fn work_deadline(&self) -> Time {
        match &self.phase {
            Phase::Seeking(seek) => seek.deadline(),
            Phase::HandingOver { until, .. } => *until,
            Phase::Seeding(keeping) => keeping.deadline(),
            Phase::Downloading(_) => {
                let timeout = self.plan.timeout.zip(self.no_source);
                timeout.map_or(Time::NEVER, |(span, since)| since + span)
            }
            _ => Time::NEVER,
        }
    }

    pub fn wake(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        self.learn(shared, now, out)?;
        self.look_for_sources(shared, now);
        self.tend_disk(shared, now, out);
        if now < self.work_deadline() {
            return Ok(());
        }
        match &self.phase {
            Phase::Seeding(_) => self.keep_on(shared, now, out),
            Phase::Seeking(seek) => Err(seek.too_late(&shared.plan.tracker_text, now)),
            Phase::HandingOver { .. } => {
                shared.end(Ending::Done, now, out);
                Ok(())
            }
            _ => {
                let waited = self.no_source.map_or(Span::ZERO, |since| now.since(since));
                let line = format!("no source for {} within {waited}", foreign(self.name()));
                Err(Fatal { ending: Ending::NoSource, line })
            }
        }
    }

    fn look_for_sources(&mut self, shared: &mut Shared, now: Time) {
        let sources = shared.swarm.as_ref().map_or(0, |swarm| swarm.sources());
        let waits = matches!(self.phase, Phase::Downloading(_)) && sources == 0;
        if sources > 0 {
            self.no_source = None;
        } else {
            self.no_source.get_or_insert(now);
        }
        let nobody = waits.then(|| format!("nobody has {} now; waiting", foreign(self.name())));
        shared.waiting = match &self.phase {
            Phase::Seeking(seek) => seek.waiting(shared),
            _ => self.waits_for_disk().or(nobody),
        };
    }

    /// A file operation came back; hands back what is not ours.
    pub fn got_file(
        &mut self,
        shared: &mut Shared,
        (ticket, done): (Ticket, FileDone),
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<FileDone>, Fatal> {
        if self.room.asked(ticket) {
            self.got_room(shared, done, now, out);
            return Ok(None);
        }
        if matches!(self.phase, Phase::Seeking(_)) {
            return self.read(shared, (ticket, done), now, out);
        }
        let (Phase::Placing(target)
        | Phase::Downloading(target)
        | Phase::Stopping(target, _)
        | Phase::Finishing(target)) = &mut self.phase
        else {
            return Ok(self.looked(shared, (ticket, done), now, out));
        };
        let before = target.progress().1;
        match target.got_file(ticket, done, now, out) {
            Err(done) => return Ok(Some(done)),
            Ok(placed) => {
                let after = target.progress().1;
                self.checking.add(now, after.saturating_sub(before));
                self.placed(shared, placed, now, out)?;
            }
        }
        Ok(None)
    }

    fn placed(
        &mut self,
        shared: &mut Shared,
        placed: Placed,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        match placed {
            Placed::Waiting => {}
            Placed::Ready { file, have, checked } => {
                self.download(shared, file, (have, checked), now, out)?;
            }
            Placed::Already { file, have } => self.already(shared, (file, have), now, out),
            Placed::Complete => self.complete(shared, now, out),
            Placed::Closed => self.closed(shared, now, out),
            Placed::Changed => self.changed(shared, now, out),
            Placed::NoSpace(line) => self.full(shared, line, now, out)?,
            Placed::Failed(fatal) => return Err(fatal),
        }
        Ok(())
    }

    fn target(&self) -> Option<&Target> {
        match &self.phase {
            Phase::Placing(target)
            | Phase::Downloading(target)
            | Phase::Full { target, .. }
            | Phase::Stopping(target, _)
            | Phase::Finishing(target) => Some(target),
            _ => None,
        }
    }

    fn download(
        &mut self,
        shared: &mut Shared,
        file: FileId,
        (have, checked): (Bitfield, u64),
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Some(target) = self.target() else { return Ok(()) };
        let (content, wanted) = (target.content(), target.wanted());
        let complete = !have.lacks_any_of(&wanted);
        // One who goes on within a run says so, too, if nothing is left.
        if have.count() > 0 || checked > 0 || self.began {
            Self::tell_resumed(content.geometry.payload_of(&have), checked, out);
        }
        shared.begin_swarm(content, file, have, now);
        if let Some(swarm) = &mut shared.swarm {
            swarm.want_only(wanted);
            self.size = swarm.wanted_bytes();
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Between);
        if let Phase::Placing(target) = phase {
            self.phase = Phase::Downloading(target);
        }
        self.no_source = Some(now);
        self.went_on(shared, now, out);
        match complete {
            true => self.finish(shared, now, out),
            false => {
                self.got_listening(shared, now, out);
                Ok(())
            }
        }
    }

    /// The listener is open: what waited for its port goes on.
    pub fn got_listening(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let wanted = matches!(self.phase, Phase::Downloading(_) | Phase::Seeding(_));
        if wanted && shared.listens_at.is_some() {
            shared.announce(&[Identity::V2, Identity::V1], now, out);
        }
    }

    pub fn got_happened(
        &mut self,
        shared: &mut Shared,
        happened: Happened,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        match happened {
            Happened::Stored(piece) => {
                self.stored(shared, piece, now, out);
                Ok(())
            }
            Happened::Complete => self.finish(shared, now, out),
            Happened::Contradiction(piece) => Err(torrent::contradiction(self.name(), piece)),
            Happened::Damaged(piece) => Err(self.damaged(piece, out)),
            Happened::DiskFailed(error) => self.disk_failed(shared, error, now, out),
            Happened::FileFailed(error) => self.file_failed(shared, error, now, out),
            Happened::NoSource => {
                if self.no_source.is_none() {
                    let line = format!("no source has {} now; waiting", foreign(self.name()));
                    out.tell(Event::warning("no_source", line));
                    shared.ties.hurry(now);
                }
                self.look_for_sources(shared, now);
                Ok(())
            }
        }
    }

    fn finish(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        let phase = std::mem::replace(&mut self.phase, Phase::Between);
        let Phase::Downloading(mut target) = phase else {
            self.phase = phase;
            return Ok(());
        };
        shared.waiting = None;
        self.found_room(shared, out);
        let proves = target.proves();
        let placed = target.finish(out);
        self.phase = match proves {
            true => Phase::Placing(target),
            false => Phase::Finishing(target),
        };
        if proves {
            self.abandon(shared, now, out);
        }
        self.placed(shared, placed, now, out)
    }

    /// Every byte is verified and durable under its name.
    fn complete(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let path = self.target().map(|target| show(&target.path)).unwrap_or_default();
        let took = now.since(self.started);
        let rate = (self.size as f64 / took.as_secs_f64().max(1e-3)) as u64;
        let size = bytes_text(self.size);
        let line = format!("complete {path} ({size} in {took}, {}/s)", bytes_text(rate));
        self.tell_complete(shared, &line, &path, took, out);
        let stats = shared.stats();
        if stats.left == 0 {
            shared.ties.completed(stats, now, out);
        }
        self.stay_or_go(shared, now, out);
    }

    fn tell_complete(&self, shared: &Shared, line: &str, path: &str, took: Span, out: &mut Outbox) {
        let content = shared.swarm.as_ref().map(|swarm| swarm.content());
        out.tell(
            Event::result("complete", line)
                .text("path", path)
                .text("hash", content.map(|content| content.shown_hash()).unwrap_or_default())
                .number("size", self.size)
                .number("ms", took.as_ms()),
        );
    }

    /// The target was there and is what was wanted.
    fn already(
        &mut self,
        shared: &mut Shared,
        (file, have): (FileId, Bitfield),
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(target) = self.target() else { return };
        let (path, content) = (show(&target.path), target.content());
        self.size = content.geometry.payload_of(&target.wanted());
        shared.begin_swarm(content, file, have.clone(), now);
        if let Some(swarm) = &mut shared.swarm {
            swarm.want_only(have);
        }
        let line = format!("complete {path} was there already; --out DIR|FILE makes another copy");
        self.tell_complete(shared, &line, &path, Span::ZERO, out);
        self.stay_or_go(shared, now, out);
    }

    fn stay_or_go(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        if self.keeps(shared, now, out) {
            return;
        }
        self.phase = Phase::HandingOver { until: now + HAND_OVER, hung_up: false };
        if let Some(swarm) = &mut shared.swarm {
            swarm.leave(now, out);
        }
        self.go_if_idle(shared, now, out);
    }

    /// Ends as soon as nobody is owed a block: first what was asked leaves us, then the connections
    /// end in order, so that nothing on its way is lost.
    pub fn go_if_idle(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let Phase::HandingOver { hung_up, .. } = &mut self.phase else { return };
        match &mut shared.swarm {
            Some(swarm) if swarm.busy() => {}
            Some(swarm) if !*hung_up => {
                *hung_up = true;
                swarm.hang_up(out);
                if swarm.is_alone() {
                    shared.end(Ending::Done, now, out);
                }
            }
            Some(swarm) if !swarm.is_alone() => {}
            _ => shared.end(Ending::Done, now, out),
        }
    }
}
