//! Swarms and names kept in step: an announce may show a name, a published name may join two
//! swarms, and each of it is told once.

use super::clock::Clock;
use super::counts::Counts;
use super::keeping::{Keeping, Kept as Memory};
use super::names::{Names, News, Place, Record};
use super::swarms::{Announce, Announced, Kept, Moved, Swarms};
use super::tell;
use crate::core::fault::Refusal;
use crate::core::id::{ConnId, InfoHash};
use crate::core::io::Outbox;
use crate::core::time::Time;
use crate::wire::catalogue::entry::{Entry, Listed};
use crate::wire::catalogue::hello::Owner;

/// Peers looked at per second at least; more when there are so many that a round would take long.
const SWEEP_PEERS_MIN: usize = 10_000;
/// Seconds for a sweep through all peers.
const SWEEP_ROUND_S: usize = 8;
/// Entries looked at per second.
const SWEEP_NAMES: usize = 20_000;

#[derive(Debug)]
pub struct Registry {
    clock: Clock,
    pub swarms: Swarms,
    pub names: Names,
    pub keeping: Keeping,
}

impl Registry {
    pub fn new(clock: Clock, swarms: Swarms, names: Names) -> Registry {
        Registry { clock, swarms, names, keeping: Keeping::default() }
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

    /// Puts a peer of an earlier run back, silently; whether there was room.
    pub fn restore_peer(&mut self, now: Time, hash: InfoHash, kept: &Kept) -> bool {
        let Some(moved) = self.swarms.restore(now, hash, kept) else { return false };
        if moved.source_changed {
            self.names.got_source(hash, self.clock.unix_s(now));
        }
        true
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
        let memory = Memory { clock: self.clock, names: &self.names, swarms: &self.swarms };
        self.keeping.ask(now, &memory, out);
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
        let announced = self.swarms.announce(now, news)?;
        self.keeping.swarm(news.hash);
        if announced.moved.finished {
            self.keeping.finished(news.hash, self.swarms.scrape(news.hash).1);
        }
        if let Some(replaced) = &announced.replaced {
            self.told(now, replaced, "replaced", out);
        }
        self.told(now, &announced.moved, "left", out);
        Ok(announced)
    }

    /// The regular work of a second.
    pub fn sweep(&mut self, now: Time, out: &mut Outbox) {
        let mut gone = Vec::new();
        let peers = (self.swarms.peers() / SWEEP_ROUND_S).max(SWEEP_PEERS_MIN);
        self.swarms.sweep(now, peers, &mut gone);
        for moved in &gone {
            self.keeping.swarm(moved.hash);
            self.told(now, moved, "expired", out);
        }
        for record in self.names.sweep(now, SWEEP_NAMES) {
            self.removed(&record, out);
        }
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
        let name = self.names.of_hash(moved.hash).next().map(|record| record.entry.name.as_str());
        if let Some(event) = tell::peer(moved, name, why_gone) {
            out.tell(event);
        }
    }
}
