//! The table of swarms: who announced what. Counters are kept as peers come and go, never
//! recounted, and a node that announces one content under two info-hashes is counted once.

mod linked;
mod packed;
mod parked;
mod sweep;

pub use super::admission::Bounds;
use super::admission::{Gate, Room};
use super::changes::Changes;
use super::clock::Clock;
use super::counts::{Counts, Standing};
use super::interval::{self, Asker as Rhythm};
use super::members::Keyed;
use super::pairs::{Pair, Pairs};
use super::record::{Entry, Peer, PeerKey, Progress};
use super::sample::{Asker, Candidate, Choice};
use super::shares::Shares;
use super::sites::{Near, Sites};
use super::source::Source;
use super::swarm::Swarm;
use super::table::Table;
use crate::core::fault::Refusal;
use crate::core::id::{InfoHash, PeerId};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use parked::Parked;

/// One announce, as far as the table cares.
#[derive(Clone, Copy, Debug)]
pub struct Announce {
    pub hash: InfoHash,
    pub key: PeerKey,
    pub id: PeerId,
    pub progress: Progress,
    pub stopped: bool,
}

impl Announce {
    pub fn complete(&self) -> bool {
        self.progress.left == 0
    }
}

/// What became of one peer.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    pub hash: InfoHash,
    pub key: PeerKey,
    /// As a member of the content, which may have a second info-hash.
    pub before: Standing,
    pub after: Standing,
    /// A download was finished, for the first time.
    pub finished: bool,
    /// The swarm got its first complete peer, or lost its last.
    pub source_changed: bool,
    /// The content's counts afterwards.
    pub counts: Counts,
}

/// The answer to an announce.
#[derive(Clone, Copy, Debug)]
pub struct Announced {
    pub moved: Moved,
    /// Who gave way, where there was no room.
    pub replaced: Option<Moved>,
    /// Seconds until the next announce.
    pub interval_s: u64,
    /// The counts of the swarm, as every client of BEP 15 expects them.
    pub counts: Counts,
}

#[derive(Debug)]
pub struct Swarms {
    bounds: Bounds,
    clock: Clock,
    table: Table,
    pairs: Pairs,
    sites: Sites,
    shares: Shares,
    peers: usize,
    /// Swarms without peers that are kept for their count of completions.
    parked: Parked,
    /// Swarms whose count is not known any more, since [`Swarms::take_forgotten`].
    forgotten: Vec<InfoHash>,
    /// Swarms with a peer.
    active: usize,
    changes: Changes,
    /// Nodes, each once per content.
    nodes: Counts,
    rng: Rng,
    /// Where the sweep goes on: place of a swarm, and of a peer in it.
    sweep_at: (usize, usize),
    far: Vec<u32>,
    over: Vec<PeerKey>,
}

impl Swarms {
    pub fn new(clock: Clock, mut rng: Rng, bounds: Bounds) -> Swarms {
        let key = (rng.next_u64(), rng.next_u64());
        Swarms {
            bounds,
            clock,
            table: Table::new(Keyed { key, public: bounds.public }),
            pairs: Pairs::default(),
            sites: Sites::default(),
            shares: Shares::default(),
            peers: 0,
            parked: Parked::default(),
            forgotten: Vec::new(),
            active: 0,
            changes: Changes::default(),
            nodes: Counts::default(),
            rng,
            sweep_at: (0, 0),
            far: Vec::new(),
            over: Vec::new(),
        }
    }

    /// Peers of one site are given to each other first.
    pub fn name_sites(&mut self, sites: Sites) {
        self.sites = sites;
    }

    /// Whether limits per address count for private addresses, too.
    pub fn is_public(&self) -> bool {
        self.bounds.public
    }

    fn now_s(&self, now: Time) -> u32 {
        u32::try_from(self.clock.unix_s(now)).unwrap_or(u32::MAX)
    }

    pub fn peers(&self) -> usize {
        self.peers
    }

    /// Swarms that somebody is in.
    pub fn active(&self) -> usize {
        self.active
    }

    /// Swarms, those that wait empty among them.
    pub fn len(&self) -> usize {
        self.table.swarms()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nodes by state, each once per content.
    pub fn nodes(&self) -> Counts {
        self.nodes
    }

    /// The counts of one swarm, and how many downloads finished in it (BEP 15 scrape).
    pub fn scrape(&self, hash: InfoHash) -> (Counts, u32) {
        let Some(swarm) = self.table.get(hash) else { return Default::default() };
        (counts(swarm), swarm.completed())
    }

    /// The counts of a content with the given identities, each node once.
    pub fn counts(&self, v1: Option<InfoHash>, v2: Option<InfoHash>) -> Counts {
        let of = |hash: Option<InfoHash>| hash.map(|h| self.scrape(h).0).unwrap_or_default();
        match (v1, v2) {
            (Some(one), Some(other)) if one != other => match self.pairs.of(one, other) {
                Some(pair) => pair.counts,
                // One of the two belongs to another pair: the larger swarm is the better guess.
                None => {
                    let (a, b) = (of(v1), of(v2));
                    if a.complete + a.incomplete >= b.complete + b.incomplete { a } else { b }
                }
            },
            _ => of(v1.or(v2)),
        }
    }

    fn complete_in(&self, hash: Option<InfoHash>, key: PeerKey) -> Option<bool> {
        self.table.get(hash?)?.standing(key, self.table.arenas())
    }

    /// Whether a peer is in a swarm.
    pub fn holds(&self, hash: InfoHash, key: PeerKey) -> bool {
        self.complete_in(Some(hash), key).is_some()
    }

    /// Takes an announce.
    pub fn announce(&mut self, now: Time, news: &Announce) -> Result<Announced, Refusal> {
        let now_s = self.now_s(now);
        let place = self.table.place(news.hash);
        let interval_s = self.interval_s(now_s, news, place);
        if news.stopped {
            crate::mark!("B15");
            let moved = self.remove(news.hash, news.key);
            let counts = self.scrape(news.hash).0;
            return Ok(Announced { moved, replaced: None, interval_s, counts });
        }
        // Records count whole seconds: the one that has begun is given on top.
        let begun = u64::from(now.since(Time(now.secs() * 1_000_000_000)) > Span::ZERO);
        let lifetime = interval::expiry(news.id.is_lmk(), interval_s).as_secs() + begun;
        let lifetime_s = u16::try_from(lifetime).unwrap_or(u16::MAX);
        let entry = Entry { id: news.id, progress: news.progress, now_s, lifetime_s };
        if let Some((moved, counts)) = place.and_then(|place| self.refresh(place, news, &entry)) {
            return Ok(Announced { moved, replaced: None, interval_s, counts });
        }
        let room = self.gate().admit(news.hash, news.key)?;
        let replaced = match room {
            Room::Replace(hash, key) => Some(self.remove(hash, key)),
            Room::Free | Room::None => None,
        };
        let moved = match room {
            Room::None => self.unmoved(news.hash, news.key),
            Room::Free | Room::Replace(..) => self.enter(news, &entry),
        };
        let counts = self.scrape(news.hash).0;
        Ok(Announced { moved, replaced, interval_s, counts })
    }

    fn gate(&mut self) -> Gate<'_> {
        Gate {
            bounds: &self.bounds,
            table: &self.table,
            shares: &self.shares,
            rng: &mut self.rng,
            peers: self.peers,
        }
    }

    fn interval_s(&mut self, now_s: u32, news: &Announce, place: Option<usize>) -> u64 {
        let (age_s, size) = match place.and_then(|place| self.table.at(place)) {
            Some(swarm) => (now_s.saturating_sub(swarm.born_s), swarm.len() as u64),
            None => (0, 0),
        };
        let rhythm = Rhythm { lmk: news.id.is_lmk(), complete: news.complete() };
        let size = interval::Size { age_s: age_s.into(), peers: size, total: self.peers as u64 };
        let seconds = interval::interval_s(rhythm, size, self.bounds.interval_s);
        interval::jittered(rhythm, seconds, &mut self.rng)
    }

    /// An announce of a peer that is there; the counts of the swarm afterwards.
    fn refresh(&mut self, place: usize, news: &Announce, entry: &Entry) -> Option<(Moved, Counts)> {
        let (changes, most) = (&mut self.changes, self.bounds.peers);
        let refreshed = self.table.change(place, |swarm, arenas| {
            let sources = swarm.complete();
            let refreshed = swarm.refresh(news.key, entry, arenas)?;
            note(changes, swarm, most);
            Some((refreshed, (sources == 0) != (swarm.complete() == 0), counts(swarm)))
        });
        let (refreshed, source_changed, counts) = refreshed.flatten()?;
        let (before, after) = (refreshed.was_complete, news.complete());
        let mut moved = match (before == after, self.pairs.twin(news.hash)) {
            // By far the most of what a tracker hears: no further look-up for it.
            (true, None) => {
                let standing = Standing::of(Some(after), None);
                let (before, after) = (standing, standing);
                Moved {
                    hash: news.hash,
                    key: news.key,
                    before,
                    after,
                    finished: false,
                    source_changed: false,
                    counts,
                }
            }
            (true, Some(_)) => self.unmoved(news.hash, news.key),
            (false, _) => self.moved(news.hash, news.key, Some(before), Some(after)),
        };
        (moved.finished, moved.source_changed) = (refreshed.finished, source_changed);
        Some((moved, counts))
    }

    /// A peer that is not there enters.
    fn enter(&mut self, news: &Announce, entry: &Entry) -> Moved {
        let place = match self.table.place(news.hash) {
            Some(place) => place,
            None => self.table.insert(Swarm::new(news.hash, entry.now_s)),
        };
        let (changes, most) = (&mut self.changes, self.bounds.peers);
        let source_changed = self.table.change(place, |swarm, arenas| {
            let sources = swarm.complete();
            self.active += usize::from(swarm.is_empty());
            swarm.born_s = swarm.born_s.min(entry.now_s);
            swarm.insert(news.key, entry, arenas);
            note(changes, swarm, most);
            (sources == 0) != (swarm.complete() == 0)
        });
        let source_changed = source_changed.unwrap_or(false);
        self.peers += 1;
        self.shares.add(Source::limited(news.key.ip(), self.bounds.public));
        self.unpark();
        Moved { source_changed, ..self.moved(news.hash, news.key, None, Some(news.complete())) }
    }

    /// Offers live peers to an asker until `take` has what it wants.
    pub fn sample(
        &mut self,
        now: Time,
        hash: InfoHash,
        asker: &Asker,
        take: &mut dyn FnMut(&Peer) -> bool,
    ) {
        self.choose(now, hash, asker, &mut |candidate| {
            candidate.peer().is_some_and(|peer| take(&peer))
        });
    }

    /// The same without copying what nobody looks at.
    pub fn choose(
        &mut self,
        now: Time,
        hash: InfoHash,
        asker: &Asker,
        take: &mut impl FnMut(&Candidate<'_>) -> bool,
    ) {
        let now_s = self.now_s(now);
        let Some(swarm) = self.table.get(hash) else { return };
        let near = Near::new(&self.sites, asker.key.ip());
        let mut choice = Choice { now_s, near, rng: &mut self.rng, far: &mut self.far };
        swarm.sample(&mut choice, asker, self.table.arenas(), take);
    }

    /// Removes a peer; nothing happens when it is not there.
    pub fn remove(&mut self, hash: InfoHash, key: PeerKey) -> Moved {
        let (changes, most) = (&mut self.changes, self.bounds.peers);
        let removed = self.table.place(hash).and_then(|place| {
            self.table.change(place, |swarm, arenas| {
                let sources = swarm.complete();
                let was_complete = swarm.remove(key, arenas)?;
                note(changes, swarm, most);
                Some((was_complete, sources > 0 && swarm.complete() == 0, swarm.is_empty()))
            })?
        });
        let Some((was_complete, source_changed, empty)) = removed else {
            return self.unmoved(hash, key);
        };
        if empty {
            self.emptied(hash, key);
        }
        self.peers = self.peers.saturating_sub(1);
        self.shares.take(Source::limited(key.ip(), self.bounds.public));
        Moved { source_changed, ..self.moved(hash, key, Some(was_complete), None) }
    }

    fn unmoved(&self, hash: InfoHash, key: PeerKey) -> Moved {
        let twin = self.complete_in(self.pairs.twin(hash), key);
        let standing = Standing::of(self.complete_in(Some(hash), key), twin);
        Moved {
            hash,
            key,
            before: standing,
            after: standing,
            finished: false,
            source_changed: false,
            counts: self.content(hash),
        }
    }

    fn moved(
        &mut self,
        hash: InfoHash,
        key: PeerKey,
        old: Option<bool>,
        new: Option<bool>,
    ) -> Moved {
        let twin = self.complete_in(self.pairs.twin(hash), key);
        let (before, after) = (Standing::of(old, twin), Standing::of(new, twin));
        self.nodes.moved(before, after);
        if let Some(Pair { counts, .. }) = self.pairs.of_mut(hash) {
            counts.moved(before, after);
        }
        Moved { before, after, ..self.unmoved(hash, key) }
    }

    /// The counts of the content that `hash` belongs to.
    fn content(&self, hash: InfoHash) -> Counts {
        match self.pairs.twin(hash) {
            Some(twin) => self.pairs.of(hash, twin).map(|pair| pair.counts).unwrap_or_default(),
            None => self.scrape(hash).0,
        }
    }
}

fn counts(swarm: &Swarm) -> Counts {
    Counts { complete: swarm.complete(), incomplete: swarm.incomplete() }
}

fn note(changes: &mut Changes, swarm: &mut Swarm, most: usize) {
    if changes.is_kept() && !swarm.noted {
        swarm.noted = changes.note(swarm.hash, most);
    }
}
