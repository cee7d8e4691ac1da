//! The leecher's work: look the name up, fetch and check the metainfo, find the place for the file,
//! let the swarm fill it, make it durable, and hand over what others were promised.

use super::choice;
use super::plan::FetchPlan;
use super::say;
use super::shared::Shared;
use super::target::{Placed, Target, show};
use super::ties::Tie;
use crate::content::bitfield::Bitfield;
use crate::content::metainfo::Content;
use crate::content::name;
use crate::core::fault::Fatal;
use crate::core::id::{FileId, Hash32, InfoHash, Ticket};
use crate::core::io::{FileDone, Outbox};
use crate::core::report::{Ending, Event, Transfer, bytes_text, foreign};
use crate::core::time::{Span, Time};
use crate::peer::Identity;
use crate::swarm::Happened;
use crate::wire::catalogue::answer::Answer;
use crate::wire::catalogue::entry::Listed;
use crate::wire::catalogue::request::{Request, What};
use std::rc::Rc;

/// Without a tracker a wanted name cannot be found: so long it may take to answer.
const TRACKER: Span = Span::secs(5);
/// Blocks already asked of us are handed over for so long after completion.
const HAND_OVER: Span = Span::secs(2);

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

    fn look_up(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let names = vec![self.plan.want.name.clone()];
        if let Some(number) = shared.ties.ask(Request::Lookup { names }, now, out) {
            self.phase = Phase::LookingUp { number };
        }
    }

    fn got_found(
        &mut self,
        shared: &mut Shared,
        answer: Answer,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Answer::Found { entries, .. } = answer else {
            return Err(unexpected(&answer));
        };
        let listed = choice::choose(&self.plan.want, entries)?;
        let hash = swarm_hash(&listed)?;
        self.size = listed.entry.size;
        let mut ask =
            |what| shared.ties.ask(Request::Fetch { hash, what, offset: 0 }, now, out).unwrap_or(0);
        let info = (ask(What::V2Info), None);
        // A content of one piece has no piece layer.
        let layered = listed.entry.size > u64::from(listed.entry.piece_bytes);
        let layers = if layered { (ask(What::Layers), None) } else { (u64::MAX, Some(Vec::new())) };
        self.phase = Phase::Learning { listed: Box::new(listed), info, layers };
        Ok(())
    }

    fn got_metainfo(
        &mut self,
        shared: &mut Shared,
        number: u64,
        answer: Answer,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Phase::Learning { listed, info, layers } = &mut self.phase else { return Ok(()) };
        let Answer::Data(bytes) = answer else { return Err(unexpected(&answer)) };
        if number == info.0 {
            info.1 = Some(bytes);
        } else if number == layers.0 {
            layers.1 = Some(bytes);
        }
        let (Some(info), Some(layers)) = (&info.1, &layers.1) else { return Ok(()) };
        let layers = Some(layers.as_slice()).filter(|layers| !layers.is_empty());
        let content = check_content(listed, info, layers)?;
        shared.ties.hang_up(out);
        self.place(content, now, out)
    }

    /// The metainfo is what its hash says: where does the file go?
    fn place(&mut self, content: Content, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        let file_name = name::target_file_name(&self.plan.want.name).map_err(|why| Fatal {
            ending: Ending::Refused,
            line: format!("{}: {why}; not written", foreign(&self.plan.want.name)),
        })?;
        let target = Target::start(&self.plan, Rc::new(content), file_name, out);
        self.phase = Phase::Placing(Box::new(target));
        self.started = now;
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

    fn finish(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        let phase = std::mem::replace(&mut self.phase, Phase::Reaching);
        let Phase::Downloading(mut target) = phase else {
            self.phase = phase;
            return Ok(());
        };
        shared.waiting = None;
        let placed = target.finish(out);
        self.phase = Phase::Finishing(target);
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
        shared.ties.completed(shared.stats(), now, out);
        self.stay_or_go(shared, now, out);
    }

    fn tell_complete(&self, shared: &Shared, line: &str, path: &str, took: Span, out: &mut Outbox) {
        let hash = shared.swarm.as_ref().and_then(|swarm| swarm.content().v2.as_ref());
        out.tell(
            Event::result("complete", line)
                .text("path", path)
                .text("hash", hash.map(|v2| v2.info_hash.to_string()).unwrap_or_default())
                .number("size", self.size)
                .number("ms", took.as_ms()),
        );
    }

    /// The target was there and is what was wanted.
    fn already(&mut self, shared: &mut Shared, file: FileId, now: Time, out: &mut Outbox) {
        let Some(target) = self.target() else { return };
        let (path, content) = (show(&target.path), target.content());
        let have = Bitfield::full(content.geometry.pieces());
        shared.begin_swarm(content, file, have, now);
        let line = format!("complete {path} was there already; --out DIR|FILE makes another copy");
        self.tell_complete(shared, &line, &path, Span::ZERO, out);
        self.stay_or_go(shared, now, out);
    }

    fn stay_or_go(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        if self.plan.keep_seeding {
            self.phase = Phase::Seeding;
            self.got_listening(shared, now, out);
            say::listening(shared, out);
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

    /// What is said when a signal ends the work.
    pub fn farewell(&self, shared: &Shared) -> String {
        let done = shared.swarm.as_ref().map_or(0, |swarm| swarm.done_bytes());
        let percent = (done * 100).checked_div(self.size).unwrap_or(0);
        match self.phase {
            Phase::Seeding | Phase::HandingOver { .. } => "stopped sharing".into(),
            _ => format!("stopped at {percent} %; run the same command to go on"),
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

fn swarm_hash(listed: &Listed) -> Result<InfoHash, Fatal> {
    listed.entry.v2.map(Hash32::truncated).ok_or_else(|| Fatal {
        ending: Ending::Verification,
        line: format!(
            "{} has no SHA-256 identity; fetch it with a BitTorrent client",
            foreign(&listed.entry.name)
        ),
    })
}

/// The metainfo must be what the entry's hash names, and describe a content of its size.
fn check_content(listed: &Listed, info: &[u8], layers: Option<&[u8]>) -> Result<Content, Fatal> {
    let name = foreign(&listed.entry.name);
    let wrong = |why: String| Fatal {
        ending: Ending::Verification,
        line: format!("the tracker's metainfo of {name} is wrong ({why}); nothing was written"),
    };
    let content = Content::from_info(info, layers).map_err(|error| wrong(error.to_string()))?;
    if content.v2.as_ref().map(|v2| v2.info_hash) != listed.entry.v2 {
        return Err(wrong("it does not match its hash".into()));
    }
    if content.geometry.size() != listed.entry.size {
        return Err(wrong("it has another size than the list says".into()));
    }
    Ok(content)
}

fn unexpected(answer: &Answer) -> Fatal {
    let why = match answer {
        Answer::Refused(refused) => refused.text.clone(),
        _ => "an answer to another question".into(),
    };
    Fatal { ending: Ending::Network, line: format!("the tracker cannot serve the list: {why}") }
}
