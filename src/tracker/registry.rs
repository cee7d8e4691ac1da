//! Swarms and names kept in step: an announce may show a name, a published name may join two
//! swarms, and each of it is told once.

mod kept;
mod sources;

use super::access::Access;
use super::clock::Clock;
use super::counts::Standing;
use super::fleet::{Fleet, Said};
use super::keeping::Keeping;
use super::names::{Names, News, Place, Record};
use super::plan::AccessPlan;
use super::registrations::Registrations;
use super::swarms::{Announce, Announced, Moved, Swarms};
use super::tell;
use super::work::Work;
use crate::core::fault::Refusal;
use crate::core::id::InfoHash;
use crate::core::io::Outbox;
use crate::core::report::TrackerRow;
use crate::core::time::{Span, Time};
use crate::wire::catalogue::entry::{Entry, Listed};
use crate::wire::catalogue::hello::Owner;
use std::net::SocketAddr;

/// Swarms and peers looked at in one slice of a sweep: a few hundred microseconds.
const SWEEP_SLICE: usize = 10_000;
/// A sweep through all swarms and peers takes about so long.
const SWEEP_ROUND: Span = Span::secs(8);
/// Time between slices, when there are few and when there are very many.
const SWEEP_EVERY: (Span, Span) = (Span::ms(10), Span::secs(1));
/// Entries looked at and removed in one slice: a look takes a tenth of a microsecond, a removal a
/// few of them, for its swarms are counted anew.
const SWEEP_NAMES: (usize, usize) = (2_000, 200);
/// Time between slices of a look that goes on.
const SWEEP_NAMES_EVERY: Span = Span::ms(100);
/// What it takes to look whether a peer is in two swarms.
const LINKED_PEER_STEPS: u64 = 2;
/// Peers that are over up to which they are removed for the answers of one moment, those to a
/// scrape of many swarms among them.
const SETTLED_AT_ONCE: usize = 256;
/// With more peers than this their comings and goings are no longer told one by one.
const TOLD_PEERS_MAX: usize = 5000;
/// Nor are more of them told in one second than so many.
const TOLD_PER_S: u32 = 1000;

#[derive(Debug)]
pub struct Registry {
    clock: Clock,
    pub swarms: Swarms,
    pub names: Names,
    pub keeping: Keeping,
    pub fleet: Fleet,
    pub registrations: Registrations,
    /// Who may do what.
    pub access: Access,
    /// What is left of this turn for requests and lists.
    pub work: Work,
    /// Why nothing can be saved, and since which Unix second.
    not_saving: Option<(&'static str, u64)>,
    /// Bytes kept for all watches.
    pub watch_bytes: usize,
    /// When the next look at the names is due.
    names_at: Time,
    names_every: Span,
    gone: Vec<Moved>,
    /// The last slice of the sweep left peers that are over.
    behind: bool,
    /// When peers were removed for answers, and how many.
    settled: (Time, usize),
    /// The second in which peers were told of last, and how many.
    told: (u64, u32),
}

impl Registry {
    pub fn new(clock: Clock, swarms: Swarms, names: Names) -> Registry {
        Registry {
            clock,
            names,
            keeping: Keeping::default(),
            fleet: Fleet::new(swarms.is_public()),
            registrations: Registrations::new(swarms.is_public()),
            access: Access::new(AccessPlan::default(), 0),
            work: Work::default(),
            swarms,
            not_saving: None,
            watch_bytes: 0,
            names_at: Time::ZERO,
            names_every: SWEEP_EVERY.1,
            gone: Vec::new(),
            behind: false,
            settled: (Time::ZERO, 0),
            told: (0, 0),
        }
    }

    /// Whether an address is let in at all.
    pub fn lets_in(&self, remote: SocketAddr) -> bool {
        self.access.lets_in(remote.ip().to_canonical())
    }

    /// When files are to be looked at or written.
    pub fn deadline(&self) -> Time {
        self.keeping.deadline().min(self.access.deadline())
    }

    pub fn unix_s(&self, now: Time) -> u64 {
        self.clock.unix_s(now)
    }

    /// Whether there is anything whose time may be over.
    pub fn is_idle(&self) -> bool {
        self.swarms.peers() == 0 && self.names.is_empty() && self.registrations.is_empty()
    }

    pub fn announce(
        &mut self,
        now: Time,
        news: &Announce,
        out: &mut Outbox,
    ) -> Result<Announced, Refusal> {
        self.settle(now, news.hash, out);
        let mut announced = self.swarms.announce(now, news)?;
        if announced.moved.finished {
            self.keeping.finished(news.hash, self.swarms.scrape(news.hash).1);
        }
        if let Some(replaced) = &announced.replaced {
            self.told(now, replaced, "replaced", out);
        }
        self.told(now, &announced.moved, "left", out);
        announced.counts.complete += self.registered(news.hash);
        Ok(announced)
    }

    fn settle(&mut self, now: Time, hash: InfoHash, out: &mut Outbox) {
        if self.settled.0 != now {
            self.settled = (now, 0);
        }
        if self.settled.1 >= SETTLED_AT_ONCE {
            return;
        }
        let mut gone = std::mem::take(&mut self.gone);
        self.swarms.settle(now, hash, &mut gone);
        self.settled.1 += gone.len();
        for moved in gone.drain(..) {
            self.told(now, &moved, "expired", out);
        }
        self.gone = gone;
    }

    /// What an announce that was taken says of its node, for those who look at the fleet: nodes of
    /// ours and named contents alone.
    pub fn reported(&mut self, now: Time, news: &Announce, said: Said) {
        if !news.id.is_lmk() || news.stopped {
            return;
        }
        if let Some(content) = self.content_of(news.hash) {
            self.fleet.heard(now, content, news.key, said);
        }
    }

    /// The one hash that stands for the content that `hash` names, if the content has a name.
    fn content_of(&self, hash: InfoHash) -> Option<InfoHash> {
        self.names.of_hash(hash).find_map(|record| record.entry.swarm_hashes().next())
    }

    /// A slice of the regular work.
    pub fn sweep(&mut self, now: Time, out: &mut Outbox) {
        let mut gone = std::mem::take(&mut self.gone);
        self.behind = self.swarms.sweep(now, SWEEP_SLICE, &mut gone);
        for moved in gone.drain(..) {
            self.told(now, &moved, "expired", out);
        }
        self.gone = gone;
        if self.names_at <= now {
            self.sweep_names(now, out);
        }
        for hash in self.registrations.forget() {
            self.sources_changed(now, hash, out);
        }
    }

    fn sweep_names(&mut self, now: Time, out: &mut Outbox) {
        self.names.age(now);
        let (looks, most) = SWEEP_NAMES;
        let gone = self.names.sweep(now, looks, most);
        self.names_every = match (gone.len() == most, self.names.is_mid_sweep()) {
            (true, _) => SWEEP_EVERY.0,
            (false, true) => SWEEP_NAMES_EVERY,
            (false, false) => SWEEP_EVERY.1,
        };
        self.names_at = now + self.names_every;
        for record in gone {
            self.removed(&record, out);
        }
    }

    /// The tracker in figures; what was answered and dropped is counted elsewhere.
    pub fn row(&self, answered: u64, dropped: u64) -> TrackerRow {
        let nodes = self.nodes();
        TrackerRow {
            names: self.names.listed(),
            seeders: nodes.complete.into(),
            leechers: nodes.incomplete.into(),
            answered,
            dropped,
            store: self.keeping.row(),
        }
    }

    /// Time until the next slice.
    pub fn sweep_every(&self) -> Span {
        if self.behind || self.registrations.is_behind() {
            return SWEEP_EVERY.0;
        }
        let slices = self.swarms.sweepable().div_ceil(SWEEP_SLICE).max(1) as u64;
        Span(SWEEP_ROUND.0 / slices).max(SWEEP_EVERY.0).min(self.names_every)
    }

    /// A publishing that passed its checks.
    pub fn publish(
        &mut self,
        now: Time,
        mut news: News,
        out: &mut Outbox,
    ) -> Result<Place, Refusal> {
        news.time_s = self.unix_s(now);
        news.counts = sources::counts(&self.swarms, &self.registrations, &news.entry);
        let entry = news.entry.clone();
        let published = self.names.publish(now, news)?;
        for record in &published.gone {
            self.removed(record, out);
        }
        if published.new {
            self.link(&published.place, &entry);
        }
        if published.new
            && let Some(record) = self.names.get(&published.place)
        {
            out.tell(tell::name("published", record));
        }
        Ok(published.place)
    }

    pub fn unpublish(
        &mut self,
        name: &str,
        hash: InfoHash,
        owner: Owner,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        if let Some(record) = self.names.unpublish(name, hash, owner)? {
            self.removed(&record, out);
        }
        Ok(())
    }

    /// An entry with what the tracker adds to it.
    pub fn listed(&self, record: &Record) -> Listed {
        let counts = record.counts;
        let mut entry = record.entry.clone();
        entry.flags = record.flags();
        Listed {
            entry,
            generation: record.generation,
            time_s: record.time_s,
            owner: record.owners.first().copied(),
            complete: counts.complete,
            incomplete: counts.incomplete,
            available: 0,
        }
    }

    fn removed(&mut self, record: &Record, out: &mut Outbox) {
        if let (Some(v1), Some(v2)) = (record.entry.v1, record.entry.v2) {
            if record.linked {
                self.swarms.unlink(v1, v2.truncated());
            }
            self.recount(v1);
            self.recount(v2.truncated());
        }
        for hash in record.entry.swarm_hashes() {
            if self.content_of(hash).is_none() {
                self.fleet.forget(hash);
            }
        }
        out.tell(tell::name("unpublished", record));
    }

    /// An entry came that says of two hashes that they are one content.
    fn link(&mut self, place: &Place, entry: &Entry) {
        let (Some(v1), Some(v2)) = (entry.v1, entry.v2) else { return };
        let looked = self.swarms.link(v1, v2.truncated());
        self.names.note_linked(place, looked.is_some());
        self.work.spend(looked.unwrap_or(0) as u64 * LINKED_PEER_STEPS);
        self.recount(v1);
    }

    /// Passes on what became of a peer: to the names it is a source of, and to the user.
    fn told(&mut self, now: Time, moved: &Moved, why_gone: &'static str, out: &mut Outbox) {
        if !self.registrations.is_empty() {
            let announces = self.swarms.holds(moved.hash, moved.key);
            self.registrations.announces(moved.hash, moved.key, announces);
        }
        if moved.after == Standing::Absent
            && let Some(content) = self.content_of(moved.hash)
        {
            self.fleet.left(content, moved.key);
        }
        if moved.source_changed {
            self.sources_changed(now, moved.hash, out);
        } else if moved.before != moved.after {
            self.recount(moved.hash);
        }
        if moved.before == moved.after || self.swarms.peers() > TOLD_PEERS_MAX {
            return;
        }
        if self.told.0 != now.secs() {
            self.told = (now.secs(), 0);
        }
        if self.told.1 >= TOLD_PER_S {
            return;
        }
        let name = self.names.of_hash(moved.hash).next().map(|record| record.entry.name.as_str());
        if let Some(event) = tell::peer(moved, name, why_gone) {
            self.told.1 += 1;
            out.tell(event);
        }
    }
}
