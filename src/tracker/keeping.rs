//! What the tracker keeps between runs: which changes wait to be written, which are being written,
//! and what of it failed. Memory is the truth; the database follows it.

mod figures;
mod outcome;
pub use outcome::Turn;

use super::clock::Clock;
use super::keeping_rows as rows;
use super::names::{Before, Changed, Names, Place};
use super::swarms::Swarms;
use super::unwritten::{Dirty, Unwritten, add, not_saving};
use crate::core::fault::Refusal;
use crate::core::id::{ConnId, InfoHash, Ticket};
use crate::core::io::Outbox;
use crate::core::limits::FINISHED_UNWRITTEN_MAX;
use crate::core::report::StoreRow;
use crate::core::store::{Change, StoreError, StoreOp, SwarmPart};
use crate::core::time::{Span, Time};
use crate::wire::catalogue::code;
use std::collections::{BTreeMap, VecDeque};

/// Rows of one write that nobody waits for.
const ROWS_MAX: usize = 2_000;
/// How often peers are written, and how many bytes of them each time: all peers of a full tracker
/// (4 million) within ten minutes.
pub const LIVENESS_EVERY: Span = Span::secs(2);
const LIVENESS_BYTES: usize = 1024 * 1024;
/// How often what nobody waits for is written: counts, and whether an entry has a source.
const SOFT_EVERY: Span = Span::secs(1);
/// Time between two attempts after one that failed.
pub const RETRY: Span = Span::secs(30);

/// What became of the changes up to a mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Open,
    Kept,
    Lost(Refusal),
}

/// One write that is not answered.
#[derive(Debug)]
struct Asked {
    ticket: Ticket,
    mark: u64,
    names: Dirty,
    finished: BTreeMap<InfoHash, u32>,
}

/// Peers that are being written.
#[derive(Debug)]
struct AskedPeers {
    ticket: Ticket,
    hashes: Vec<InfoHash>,
}

/// Nothing is saved at present.
#[derive(Debug)]
struct Trouble {
    error: StoreError,
    retry_at: Time,
}

/// Whether there is a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    #[default]
    Absent,
    /// What it held is being read: what changes meanwhile is noted, and not written yet.
    Loading,
    On,
}

/// How far the end of a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Closing {
    #[default]
    No,
    /// Nothing new is taken; what is left is written.
    Writing,
    /// The word that everything is written is on its way.
    LastWord,
    Failed,
}

#[derive(Debug, Default)]
pub struct Keeping {
    phase: Phase,
    /// Somebody waits for these.
    urgent: Dirty,
    soft: Dirty,
    finished: BTreeMap<InfoHash, u32>,
    /// There are swarms that changed since they were written.
    swarms: bool,
    /// Urgent changes so far, those of them that are kept, and those that could not be.
    changes: u64,
    kept: u64,
    lost: u64,
    asked: VecDeque<Asked>,
    asked_peers: Option<AskedPeers>,
    soft_at: Time,
    liveness_at: Time,
    trouble: Option<Trouble>,
    closing: Closing,
    /// Asked for, and refused afterwards: what was there before.
    undone: Vec<(Place, Before)>,
    waiting: Vec<ConnId>,
    row: StoreRow,
    commit: u64,
}

impl Keeping {
    /// What an earlier run left is being read.
    pub fn load(&mut self) {
        self.phase = Phase::Loading;
    }

    pub fn is_loading(&self) -> bool {
        self.phase == Phase::Loading
    }

    /// From now on everything is kept.
    pub fn start(&mut self, now: Time) {
        self.phase = Phase::On;
        self.soft_at = now + SOFT_EVERY;
        self.liveness_at = now + LIVENESS_EVERY;
    }

    pub fn is_on(&self) -> bool {
        self.phase == Phase::On
    }

    /// Entries that changed; `urgent` if somebody waits for them to be kept.
    pub fn note(&mut self, changed: Vec<Changed>, urgent: bool) {
        if self.phase == Phase::Absent {
            return;
        }
        for Changed { place: (name, number), metainfo, before } in changed {
            self.changes += u64::from(urgent);
            let soft = self.soft.remove(&number).is_some_and(|soft| soft.metainfo);
            let dirty = if urgent || self.urgent.contains_key(&number) {
                &mut self.urgent
            } else {
                &mut self.soft
            };
            let before = if urgent { before } else { Before::Unasked };
            add(dirty, number, Unwritten { name, metainfo: metainfo || soft, before });
        }
    }

    /// How many downloads of a swarm were finished; 0 = the swarm is forgotten. What is left out
    /// when very much waits is not lost: its swarm is written with its count, and rows of swarms
    /// that are not there are dropped by the next run.
    pub fn finished(&mut self, hash: InfoHash, downloads: u32) {
        let room = self.finished.len() < FINISHED_UNWRITTEN_MAX;
        if self.phase != Phase::Absent && (room || self.finished.contains_key(&hash)) {
            self.finished.insert(hash, downloads);
        }
    }

    /// The mark of what a connection waits for; `None` if all is kept.
    pub fn mark(&mut self, conn: ConnId) -> Option<u64> {
        // What is lost is written again, but nobody waits for that.
        if self.kept.max(self.lost) >= self.changes {
            return None;
        }
        self.wait(conn);
        Some(self.changes)
    }

    /// The connection is told of the next answer of the database.
    pub fn wait(&mut self, conn: ConnId) {
        if self.waiting.last() != Some(&conn) {
            self.waiting.push(conn);
        }
    }

    pub fn fate(&self, mark: u64) -> Fate {
        if mark <= self.kept {
            Fate::Kept
        } else if mark <= self.lost {
            Fate::Lost(self.refusal().unwrap_or(NOT_SAVED))
        } else {
            Fate::Open
        }
    }

    /// Why nothing can be published at present.
    pub fn refusal(&self) -> Option<Refusal> {
        if self.closing != Closing::No {
            return Some(Refusal { code: code::BUSY, what: "the tracker is about to end" });
        }
        let trouble = self.trouble.as_ref()?;
        Some(Refusal { code: code::BUSY, what: not_saving(&trouble.error) })
    }

    /// Changes that could not be kept, with what was there before: first what came, then what
    /// went, the newest first.
    pub fn take_undone(&mut self) -> Vec<(Place, Before)> {
        let mut undone = std::mem::take(&mut self.undone);
        let age = |before: &Before| before.generation().map(std::cmp::Reverse);
        undone.sort_by_key(|(_, before)| age(before));
        undone
    }

    /// Connections whose answers may be due.
    pub fn take_waiting(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.waiting)
    }

    /// When there is something to be written that nobody waits for.
    pub fn deadline(&self) -> Time {
        if self.closing != Closing::No {
            return Time::NEVER;
        }
        if let Some(trouble) = &self.trouble {
            return trouble.retry_at;
        }
        let soft = !self.is_clean() && self.asked.is_empty();
        let peers = self.swarms && self.asked_peers.is_none();
        let at = |due: bool, at: Time| if due && self.is_on() { at } else { Time::NEVER };
        at(soft, self.soft_at).min(at(peers, self.liveness_at))
    }

    /// Asks for what is due to be written.
    pub fn ask(&mut self, now: Time, world: &mut Kept<'_>, out: &mut Outbox) {
        self.swarms = world.swarms.changes() > 0;
        if !self.is_on() || self.closing != Closing::No {
            return self.ask_last(world, out);
        }
        if let Some(trouble) = &mut self.trouble {
            if trouble.retry_at > now || !self.asked.is_empty() {
                return;
            }
            trouble.retry_at = now + RETRY;
            self.ask_names(world, out);
            return;
        }
        let soft = now >= self.soft_at && self.asked.is_empty();
        if !self.urgent.is_empty() || (soft && !self.is_clean()) {
            self.soft_at = now + SOFT_EVERY;
            self.ask_names(world, out);
        }
        let peers = self.swarms && self.asked_peers.is_none();
        if peers && now >= self.liveness_at {
            self.liveness_at = now + LIVENESS_EVERY;
            self.ask_peers(world, out);
        }
    }

    fn ask_names(&mut self, world: &Kept<'_>, out: &mut Outbox) {
        let mut names = std::mem::take(&mut self.urgent);
        while names.len() < ROWS_MAX
            && let Some((number, dirty)) = self.soft.pop_first()
        {
            names.insert(number, dirty);
        }
        let mut finished = BTreeMap::new();
        while finished.len() < ROWS_MAX
            && let Some((hash, downloads)) = self.finished.pop_first()
        {
            finished.insert(hash, downloads);
        }
        let mut changes: Vec<Change> = names
            .iter()
            .map(|(number, row)| rows::change(world, *number, &row.name, row.metainfo))
            .collect();
        changes.extend(finished.iter().map(|(hash, n)| Change::Finished(*hash, *n)));
        changes.push(Change::Generation(world.names.generation()));
        let ticket = out.store(StoreOp::Write(changes));
        self.asked.push_back(Asked { ticket, mark: self.changes, names, finished });
    }

    fn ask_peers(&mut self, world: &mut Kept<'_>, out: &mut Outbox) {
        let mut parts: Vec<SwarmPart> = Vec::new();
        let (mut hashes, mut bytes) = (Vec::new(), 0);
        while bytes < LIVENESS_BYTES {
            let from = parts.len();
            let Some(hash) = world.swarms.changed(&mut parts) else { break };
            hashes.push(hash);
            bytes += parts.iter().skip(from).map(|part| part.packed.len() + 100).sum::<usize>();
        }
        self.swarms = world.swarms.changes() > 0;
        let ticket = out.store(StoreOp::Liveness(parts));
        self.asked_peers = Some(AskedPeers { ticket, hashes });
    }

    /// The end is near: [`Keeping::ask`] asks for all that is left.
    pub fn close(&mut self) {
        self.closing = Closing::Writing;
    }

    fn ask_last(&mut self, world: &mut Kept<'_>, out: &mut Outbox) {
        if self.closing != Closing::Writing {
            return;
        }
        if self.asked_peers.is_none() && world.swarms.changes() > 0 {
            self.ask_peers(world, out);
        }
        if !self.asked.is_empty() {
            return;
        }
        if !self.is_clean() {
            self.ask_names(world, out);
        } else if self.asked_peers.is_none() {
            self.closing = Closing::LastWord;
            let generation = Change::Generation(world.names.generation());
            let ticket = out.store(StoreOp::Write(vec![generation, Change::Orderly]));
            let (names, finished) = Default::default();
            self.asked.push_back(Asked { ticket, mark: self.changes, names, finished });
        }
    }

    fn is_clean(&self) -> bool {
        self.urgent.is_empty() && self.soft.is_empty() && self.finished.is_empty()
    }

    /// After [`Keeping::close`]: whether everything is written; `None` while it is not known.
    pub fn closed(&self) -> Option<bool> {
        match self.closing {
            _ if !self.is_on() => Some(true),
            Closing::Failed => Some(false),
            Closing::LastWord if self.asked.is_empty() => Some(true),
            _ => None,
        }
    }
}

/// What the rows are made of.
pub struct Kept<'a> {
    pub clock: Clock,
    pub names: &'a Names,
    pub swarms: &'a mut Swarms,
}

const NOT_SAVED: Refusal = Refusal { code: code::BUSY, what: "not saved" };
