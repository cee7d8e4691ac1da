//! Swarms and names kept in step: an announce may show a name, a published name may join two
//! swarms, and each of it is told once.

use super::clock::Clock;
use super::counts::{Counts, Standing};
use super::fleet::{Fleet, Said};
use super::names::{Names, News, Place, Record};
use super::registrations::{Registrations, Source};
use super::swarm::{Asker, PeerKey};
use super::swarms::{Announce, Announced, Moved, Swarms};
use super::tell;
use super::work::Work;
use crate::core::fault::Refusal;
use crate::core::id::{ConnId, InfoHash};
use crate::core::io::Outbox;
use crate::core::report::TrackerRow;
use crate::core::time::Time;
use crate::wire::catalogue::entry::{Entry, Listed};
use crate::wire::catalogue::hello::Owner;

/// Peers looked at per second at least; more when there are so many that a round would take long.
const SWEEP_PEERS_MIN: usize = 10_000;
/// Seconds for a sweep through all peers.
const SWEEP_ROUND_S: usize = 8;
/// Entries looked at per second.
const SWEEP_NAMES: usize = 20_000;
/// Steps in which a second forgets what gone nodes had registered.
const FORGET_STEPS: usize = 4;

#[derive(Debug)]
pub struct Registry {
    clock: Clock,
    pub swarms: Swarms,
    pub names: Names,
    pub fleet: Fleet,
    pub registrations: Registrations,
    /// What is left of this turn for requests and lists.
    pub work: Work,
    /// Bytes kept for all watches.
    pub watch_bytes: usize,
}

impl Registry {
    pub fn new(clock: Clock, swarms: Swarms, names: Names) -> Registry {
        Registry {
            clock,
            swarms,
            names,
            fleet: Fleet::default(),
            registrations: Registrations::default(),
            work: Work::default(),
            watch_bytes: 0,
        }
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
        let announced = self.swarms.announce(now, news)?;
        if let Some(replaced) = &announced.replaced {
            self.told(now, replaced, "replaced", out);
        }
        self.told(now, &announced.moved, "left", out);
        Ok(announced)
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

    /// The regular work of a second.
    pub fn sweep(&mut self, now: Time, out: &mut Outbox) {
        let mut gone = Vec::new();
        let peers = (self.swarms.peers() / SWEEP_ROUND_S).max(SWEEP_PEERS_MIN);
        self.swarms.sweep(now, peers, &mut gone);
        for moved in &gone {
            self.told(now, moved, "expired", out);
        }
        for record in self.names.sweep(now, SWEEP_NAMES) {
            self.removed(&record, out);
        }
        for _ in 0..FORGET_STEPS {
            for hash in self.registrations.forget() {
                self.sources_changed(now, hash, out);
            }
        }
    }

    /// A node that is a source of all `hashes` from now on, for the life of its connection.
    pub fn register(
        &mut self,
        now: Time,
        (conn, source): (ConnId, Source),
        hashes: &[InfoHash],
        more: bool,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        self.registrations.bind(conn, source, hashes, more)?;
        for hash in hashes {
            self.sources_changed(now, *hash, out);
        }
        Ok(())
    }

    /// Offers who has a content to an asker, those who announced first, until `take` has what it
    /// wants.
    pub fn sample(
        &mut self,
        now: Time,
        hash: InfoHash,
        asker: &Asker,
        take: &mut dyn FnMut(Source) -> bool,
    ) {
        let mut wanted = asker.want;
        self.swarms.sample(now, hash, asker, &mut |peer| {
            let taken = take(Source { key: peer.key, id: peer.id });
            wanted = wanted.saturating_sub(usize::from(taken));
            taken
        });
        if asker.complete {
            return;
        }
        let usable = |source: &Source| {
            source.key != asker.key
                && source.id != asker.id
                && source.key.ip().is_ipv4() == asker.v4
        };
        let swarms = &self.swarms;
        for source in self.registrations.sources(hash).filter(usable) {
            if wanted == 0 {
                return;
            }
            if !swarms.holds(hash, source.key) && take(source) {
                wanted -= 1;
            }
        }
    }

    /// The counts that an announce or a scrape gives for one info-hash: who announced it and who
    /// registered it.
    pub fn scrape(&self, hash: InfoHash) -> (Counts, u32) {
        let (mut counts, completed) = self.swarms.scrape(hash);
        let announced = |key| self.swarms.holds(hash, key);
        counts.complete += self.registrations.count([hash].into_iter(), announced);
        (counts, completed)
    }

    /// Nodes by state: those that announce, each once per content, and those that registered.
    pub fn nodes(&self) -> Counts {
        let mut nodes = self.swarms.nodes();
        nodes.complete += self.registrations.nodes() as u32;
        nodes
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
        news.counts = counts(&self.swarms, &self.registrations, &news.entry);
        let entry = news.entry.clone();
        let published = self.names.publish(now, news)?;
        for record in &published.gone {
            self.removed(record, out);
        }
        if let (true, Some(v1), Some(v2)) = (published.new, entry.v1, entry.v2) {
            self.swarms.link(v1, v2.truncated());
            self.recount(v1);
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

    fn recount(&mut self, hash: InfoHash) {
        let (swarms, registrations) = (&self.swarms, &self.registrations);
        self.names.recount(hash, |entry| counts(swarms, registrations, entry));
    }

    /// Names whose content got its first source are shown, those that lost the last one are alone.
    fn sources_changed(&mut self, now: Time, hash: InfoHash, out: &mut Outbox) {
        self.recount(hash);
        if self.scrape(hash).0.complete > 0 {
            for place in self.names.got_source(hash, self.clock.unix_s(now)) {
                if let Some(record) = self.names.get(&place) {
                    out.tell(tell::name("listed", record));
                }
            }
        } else {
            let (swarms, registrations) = (&self.swarms, &self.registrations);
            let still = |entry: &Entry| counts(swarms, registrations, entry).complete > 0;
            self.names.lost_source(hash, now, still);
        }
    }

    fn removed(&mut self, record: &Record, out: &mut Outbox) {
        if let (Some(v1), Some(v2)) = (record.entry.v1, record.entry.v2) {
            self.swarms.unlink(v1, v2.truncated());
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

    /// Passes on what became of a peer: to the names it is a source of, and to the user.
    fn told(&mut self, now: Time, moved: &Moved, why_gone: &'static str, out: &mut Outbox) {
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
        let name = self.names.of_hash(moved.hash).next().map(|record| record.entry.name.as_str());
        if let Some(event) = tell::peer(moved, name, why_gone) {
            out.tell(event);
        }
    }
}

/// Who has the content of an entry and who wants it, each node once.
fn counts(swarms: &Swarms, registrations: &Registrations, entry: &Entry) -> Counts {
    let mut counts = swarms.counts(entry.v1, entry.v2.map(|hash| hash.truncated()));
    let announced = |key: PeerKey| entry.swarm_hashes().any(|hash| swarms.holds(hash, key));
    counts.complete += registrations.count(entry.swarm_hashes(), announced);
    counts
}
