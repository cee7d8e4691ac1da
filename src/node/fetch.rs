//! The leecher's work: look the name up, fetch and check the metainfo, find the place for the file,
//! let the swarm fill it, make it durable, and hand over what others were promised.

mod ending;
mod learning;

use super::plan::FetchPlan;
use super::shared::Shared;
use super::target::{Placed, Target, show};
use super::ties::Tie;
use crate::content::bitfield::Bitfield;
use crate::core::fault::Fatal;
use crate::core::id::{FileId, Ticket};
use crate::core::io::{FileDone, Outbox};
use crate::core::report::{Ending, Event, Transfer, bytes_text, foreign};
use crate::core::time::{Span, Time};
use crate::peer::Identity;
use crate::swarm::Happened;
use crate::wire::catalogue::entry::Listed;

/// Without a tracker a wanted name cannot be found: so long it may take to answer.
const TRACKER: Span = Span::secs(5);

#[derive(Debug)]
enum Phase {
    /// No catalogue connection yet.
    Reaching,
    LookingUp {
        number: u64,
    },
    /// The metainfo comes in two answers.
    Learning {
        listed: Box<Listed>,
        info: (u64, Option<Vec<u8>>),
        layers: (u64, Option<Vec<u8>>),
    },
    Placing(Box<Target>),
    Downloading(Box<Target>),
    Finishing(Box<Target>),
    /// Complete; others may still be owed blocks.
    HandingOver {
        until: Time,
        /// Everything has left us; the peers are reading the last of it.
        hung_up: bool,
    },
    Seeding,
}

#[derive(Debug)]
pub struct Fetch {
    plan: FetchPlan,
    phase: Phase,
    born: Time,
    /// When the payload began to be wanted, for the average rate.
    started: Time,
    /// Since when there is no source.
    no_source: Option<Time>,
    size: u64,
}

impl Fetch {
    pub fn new(plan: FetchPlan) -> Fetch {
        Fetch {
            plan,
            phase: Phase::Reaching,
            born: Time::ZERO,
            started: Time::ZERO,
            no_source: None,
            size: 0,
        }
    }

    pub fn name(&self) -> &str {
        &self.plan.want.name
    }

    pub fn start(&mut self, now: Time) {
        self.born = now;
        self.no_source = Some(now);
    }

    pub fn deadline(&self) -> Time {
        let tracker = match self.phase {
            Phase::Reaching => self.born + TRACKER,
            Phase::HandingOver { until, .. } => until,
            _ => Time::NEVER,
        };
        let timeout = self.plan.timeout.zip(self.no_source).map(|(span, since)| since + span);
        match self.phase {
            Phase::Downloading(_) => tracker.min(timeout.unwrap_or(Time::NEVER)),
            _ => tracker,
        }
    }

    pub fn wake(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        self.look_for_sources(shared, now);
        if now < self.deadline() {
            return Ok(());
        }
        match self.phase {
            Phase::Reaching => {
                let tracker = &shared.plan.tracker_text;
                let line = format!(
                    "no tracker answers at {tracker}; start one with `lmk tracker`, or name it with \
                     --tracker HOST[:PORT]"
                );
                Err(Fatal { ending: Ending::Network, line })
            }
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
        shared.waiting = waits.then(|| format!("nobody has {} now; waiting", foreign(self.name())));
    }

    /// News of the tracker.
    pub fn got_tie(
        &mut self,
        shared: &mut Shared,
        tie: Tie,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        match (tie, &mut self.phase) {
            (Tie::Opened, Phase::Reaching | Phase::LookingUp { .. } | Phase::Learning { .. }) => {
                self.look_up(shared, now, out);
            }
            (Tie::Answered { number, answer }, Phase::LookingUp { number: ours })
                if number == *ours =>
            {
                self.got_found(shared, answer, now, out)?;
            }
            (Tie::Answered { number, answer }, Phase::Learning { .. }) => {
                self.got_metainfo(shared, number, answer, now, out)?;
            }
            (Tie::Refused(text), Phase::Reaching) => {
                let tracker = &shared.plan.tracker_text;
                let line = format!("the tracker at {tracker} refuses: {text}");
                return Err(Fatal { ending: Ending::Network, line });
            }
            _ => {}
        }
        Ok(())
    }

    /// A file operation came back; hands back what is not ours.
    pub fn got_file(
        &mut self,
        shared: &mut Shared,
        (ticket, done): (Ticket, FileDone),
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<FileDone>, Fatal> {
        let (Phase::Placing(target) | Phase::Finishing(target)) = &mut self.phase else {
            return Ok(Some(done));
        };
        match target.got_file(ticket, done, out) {
            Err(done) => return Ok(Some(done)),
            Ok(placed) => self.placed(shared, placed, now, out)?,
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
            Placed::Ready { file, have } => self.download(shared, file, have, now, out)?,
            Placed::Already { file } => self.already(shared, file, now, out),
            Placed::Complete => self.complete(shared, now, out),
            Placed::Failed(fatal) => return Err(fatal),
        }
        Ok(())
    }

    fn target(&self) -> Option<&Target> {
        match &self.phase {
            Phase::Placing(target) | Phase::Downloading(target) | Phase::Finishing(target) => {
                Some(target)
            }
            _ => None,
        }
    }

    fn download(
        &mut self,
        shared: &mut Shared,
        file: FileId,
        have: Bitfield,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Some(content) = self.target().map(Target::content) else { return Ok(()) };
        let complete = have.is_full();
        if have.count() > 0 && !complete {
            let geometry = content.geometry;
            let bytes = u64::from(have.count()) * u64::from(geometry.piece_length());
            let line = format!("{} of an earlier run are good", bytes_text(bytes));
            out.tell(Event::info("resumed", line).number("bytes", bytes));
        }
        shared.begin_swarm(content, file, have, now);
        let phase = std::mem::replace(&mut self.phase, Phase::Reaching);
        if let Phase::Placing(target) = phase {
            self.phase = Phase::Downloading(target);
        }
        self.no_source = Some(now);
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
        if shared.listens_at.is_none() {
            return;
        }
        match self.phase {
            Phase::Downloading(_) => shared.announce(&[Identity::V2], now, out),
            Phase::Seeding => shared.announce(&[Identity::V1, Identity::V2], now, out),
            _ => {}
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
            Happened::Complete => self.finish(shared, now, out),
            Happened::DiskFailed(error) => {
                let path = self.target().map(|target| show(&target.path)).unwrap_or_default();
                let line = format!(
                    "{path}: {}; what is there is kept, run the same command to go on",
                    error.reason()
                );
                Err(Fatal { ending: Ending::Disk, line })
            }
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

    pub fn phase(&self) -> &'static str {
        match &self.phase {
            Phase::Reaching | Phase::LookingUp { .. } | Phase::Learning { .. } => "looking up",
            Phase::Placing(target) | Phase::Finishing(target) => target.progress().0,
            Phase::Downloading(_) => "downloading",
            Phase::HandingOver { .. } => "handing over",
            Phase::Seeding => "seeding",
        }
    }

    /// The transfer row before there is a swarm.
    pub fn transfer(&self) -> Option<Transfer> {
        let done = self.target().map_or(0, |target| target.progress().1);
        let name = self.plan.want.name.clone();
        (self.size > 0).then(|| Transfer { name, size: self.size, done, ..Transfer::default() })
    }
}
