//! Swarms and names kept in step: an announce may show a name, a published name may join two
//! swarms, and each of it is told once.

use super::clock::Clock;
use super::counts::Counts;
use super::keeping::{Keeping, Kept, Turn};
use super::names::{Names, News, Place, Record};
use super::swarms::{Announce, Announced, Moved, Swarms};
use super::tell;
use crate::core::fault::Refusal;
use crate::core::id::{ConnId, InfoHash, Ticket};
use crate::core::io::Outbox;
use crate::core::store::{StoreDone, SwarmPart};
use crate::core::time::{Span, Time};
use crate::wire::catalogue::entry::{Entry, Listed};
use crate::wire::catalogue::hello::Owner;

/// Swarms and peers looked at in one slice of a sweep: a few hundred microseconds.
const SWEEP_SLICE: usize = 10_000;
/// A sweep through all swarms and peers takes about so long.
const SWEEP_ROUND: Span = Span::secs(8);
/// Time between slices, when there are few and when there are very many.
const SWEEP_EVERY: (Span, Span) = (Span::ms(10), Span::secs(1));
/// Entries looked at per second.
const SWEEP_NAMES: usize = 20_000;
/// With more peers than this their comings and goings are no longer told one by one.
const TOLD_PEERS_MAX: usize = 5000;

#[derive(Debug)]
pub struct Registry {
    clock: Clock,
    pub swarms: Swarms,
    pub names: Names,
    pub keeping: Keeping,
    /// When the next look at the names is due.
    names_at: Time,
    gone: Vec<Moved>,
}

impl Registry {
    pub fn new(clock: Clock, swarms: Swarms, names: Names) -> Registry {
        Registry {
            clock,
            swarms,
            names,
            keeping: Keeping::default(),
            names_at: Time::ZERO,
            gone: Vec::new(),
        }
    }

    /// Goes on with the count of an earlier run. One that ended in order is continued; after any
    /// other a client may have heard of changes that were not written.
    pub fn resume(&mut self, generation: u64, orderly: bool) {
        let fresh = self.names.generation();
        match orderly && generation > 0 {
            true => self.names.resume(generation),
            false => self.names.resume(fresh.max(generation.saturating_add(1))),
        }
    }

    /// Puts an entry of an earlier run back; whether there was room.
    pub fn restore_name(&mut self, number: u64, record: Record) -> bool {
        let (v1, v2) = (record.entry.v1, record.entry.v2);
        let restored = self.names.restore(number, record).is_some();
        if let (true, Some(v1), Some(v2)) = (restored, v1, v2) {
            self.swarms.link(v1, v2.truncated());
        }
        restored
    }

    /// Puts peers of an earlier run back, silently; how many.
    pub fn restore_peers(&mut self, now: Time, part: &SwarmPart) -> usize {
        // What is left out is to be forgotten by the database, too.
        self.swarms.note_changes();
        let restored = self.swarms.restore(now, part);
        if self.swarms.scrape(part.hash).0.complete > 0 {
            self.names.got_source(part.hash, self.clock.unix_s(now));
        }
        restored
    }

    /// Everything of an earlier run is there: from now on what changes is kept.
    pub fn start_keeping(&mut self, now: Time) {
        self.swarms.note_changes();
        self.keeping.start(now);
    }

    /// An answer of the database; a line when trouble began or ended.
    pub fn stored(
        &mut self,
        now: Time,
        ticket: Ticket,
        done: StoreDone,
        out: &mut Outbox,
    ) -> Option<Turn> {
        let turn = self.keeping.got(now, ticket, done, &mut self.swarms);
        for place in self.keeping.take_refused() {
            if let Some(record) = self.names.withdraw(&place) {
                self.removed(&record, out);
            }
        }
        turn
    }

    /// The mark of what must be kept before a request of `conn` is answered, if it is one that
    /// `writes`; `None` if nothing must.
    pub fn unsaved_mark(&mut self, writes: bool, conn: ConnId) -> Option<u64> {
        let changed = self.names.take_changed();
        self.keeping.note(changed, writes);
        if writes { self.keeping.mark(conn) } else { None }
    }

    /// Asks the database for what is due.
    pub fn keep(&mut self, now: Time, out: &mut Outbox) {
        let changed = self.names.take_changed();
        self.keeping.note(changed, false);
        let (clock, names, swarms) = (self.clock, &self.names, &mut self.swarms);
        self.keeping.ask(now, &mut Kept { clock, names, swarms }, out);
    }

    pub fn unix_s(&self, now: Time) -> u64 {
        self.clock.unix_s(now)
    }

    /// Whether there is anything whose time may be over.
    pub fn is_idle(&self) -> bool {
        self.swarms.peers() == 0 && self.names.is_empty()
    }

    pub fn announce(
        &mut self,
        now: Time,
        news: &Announce,
        out: &mut Outbox,
    ) -> Result<Announced, Refusal> {
        self.settle(now, news.hash, out);
        let announced = self.swarms.announce(now, news)?;
        if announced.moved.finished {
            self.keeping.finished(news.hash, self.swarms.scrape(news.hash).1);
        }
        if let Some(replaced) = &announced.replaced {
            self.told(now, replaced, "replaced", out);
        }
        self.told(now, &announced.moved, "left", out);
        Ok(announced)
    }

    /// The counts of one swarm (BEP 15 scrape), true at `now`.
    pub fn scrape(&mut self, now: Time, hash: InfoHash, out: &mut Outbox) -> (Counts, u32) {
        self.settle(now, hash, out);
        self.swarms.scrape(hash)
    }

    fn settle(&mut self, now: Time, hash: InfoHash, out: &mut Outbox) {
        let mut gone = std::mem::take(&mut self.gone);
        self.swarms.settle(now, hash, &mut gone);
        for moved in gone.drain(..) {
            self.told(now, &moved, "expired", out);
        }
        self.gone = gone;
    }

    /// A slice of the regular work.
    pub fn sweep(&mut self, now: Time, out: &mut Outbox) {
        let mut gone = std::mem::take(&mut self.gone);
        self.swarms.sweep(now, SWEEP_SLICE, &mut gone);
        for moved in gone.drain(..) {
            self.told(now, &moved, "expired", out);
        }
        self.gone = gone;
        if self.names_at <= now {
            self.names_at = now + SWEEP_EVERY.1;
            for record in self.names.sweep(now, SWEEP_NAMES) {
                self.removed(&record, out);
            }
        }
    }

    /// Time until the next slice.
    pub fn sweep_every(&self) -> Span {
        let slices = self.swarms.sweepable().div_ceil(SWEEP_SLICE).max(1) as u64;
        Span(SWEEP_ROUND.0 / slices).max(SWEEP_EVERY.0).min(SWEEP_EVERY.1)
    }

    /// A publishing that passed its checks.
    pub fn publish(
        &mut self,
        now: Time,
        mut news: News,
        out: &mut Outbox,
    ) -> Result<Place, Refusal> {
        news.time_s = self.unix_s(now);
        news.has_source = self.counts(&news.entry).complete > 0;
        let entry = news.entry.clone();
        let published = self.names.publish(now, news)?;
        for record in &published.gone {
            self.removed(record, out);
        }
        if let (true, Some(v1), Some(v2)) = (published.new, entry.v1, entry.v2) {
            self.swarms.link(v1, v2.truncated());
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
        let counts = self.counts(&record.entry);
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

    fn counts(&self, entry: &Entry) -> Counts {
        self.swarms.counts(entry.v1, entry.v2.map(|hash| hash.truncated()))
    }

    fn removed(&mut self, record: &Record, out: &mut Outbox) {
        if let (Some(v1), Some(v2)) = (record.entry.v1, record.entry.v2) {
            self.swarms.unlink(v1, v2.truncated());
        }
        out.tell(tell::name("unpublished", record));
    }

    /// Passes on what became of a peer: to the names it is a source of, and to the user.
    fn told(&mut self, now: Time, moved: &Moved, why_gone: &'static str, out: &mut Outbox) {
        if moved.source_changed {
            let swarms = &self.swarms;
            if swarms.scrape(moved.hash).0.complete > 0 {
                for place in self.names.got_source(moved.hash, self.clock.unix_s(now)) {
                    if let Some(record) = self.names.get(&place) {
                        out.tell(tell::name("listed", record));
                    }
                }
            } else {
                let still = |entry: &Entry| {
                    entry.swarm_hashes().any(|hash| swarms.scrape(hash).0.complete > 0)
                };
                self.names.lost_source(moved.hash, now, still);
            }
        }
        if moved.before == moved.after || self.swarms.peers() > TOLD_PEERS_MAX {
            return;
        }
        let name = self.names.of_hash(moved.hash).next().map(|record| record.entry.name.as_str());
        if let Some(event) = tell::peer(moved, name, why_gone) {
            out.tell(event);
        }
    }
}
