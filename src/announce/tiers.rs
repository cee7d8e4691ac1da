//! The trackers of a torrent in their tiers (BEP 12): of each tier one is announced to, the first
//! that answers, and all tiers at once. Whoever does not answer gives way to the next of its tier
//! and is left alone for a while.

use super::hosts::Hosts;
use super::http::{self, HttpAnnouncer};
use super::session::Health;
use super::udp::{self, Announcer, Identity, Stats, refused_wait};
use crate::core::id::{ConnId, InfoHash, PeerId};
use crate::core::io::{Closed, Outbox};
use crate::core::report::foreign;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::http::asking::Target;
use crate::wire::tracker_url::{self, Scheme};
use std::net::SocketAddr;

/// Bytes that are said to be missing while the size is unknown: what stock clients say.
const LEFT_UNKNOWN: u64 = 16 * 1024;

/// What came of an announce; the tracker without its path, in which there may be a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    pub tracker: String,
    pub info_hash: InfoHash,
    pub what: What,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    Answered {
        peers: Vec<SocketAddr>,
        seeders: Option<u64>,
        leechers: Option<u64>,
        interval: Span,
    },
    /// Why there was no answer, safe to show.
    Failed(String),
}

/// How a tracker is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Road {
    /// With path and query (BEP 41).
    Udp(SocketAddr, Vec<u8>),
    Http(SocketAddr, Target),
    /// Not at all, and why.
    None(String),
}

#[derive(Clone, Debug)]
struct Tracker {
    shown: String,
    road: Road,
    failures: u32,
    /// It is left alone until then.
    rests_until: Time,
}

/// One conversation, over either road.
#[derive(Clone, Debug)]
enum Talk {
    Udp(Box<Announcer>),
    Http(Box<HttpAnnouncer>),
}

#[derive(Clone, Debug, Default)]
struct Tier {
    trackers: Vec<Tracker>,
    current: usize,
    talks: Vec<(InfoHash, Talk)>,
    /// The tracker at hand answered for one identity at least.
    answered: bool,
}

/// Who announces.
#[derive(Clone, Debug)]
struct Us {
    peer_id: PeerId,
    own: Vec<SocketAddr>,
    key: u32,
}

#[derive(Debug)]
pub struct Tiers {
    tiers: Vec<Tier>,
    hosts: Hosts,
    who: Option<Us>,
    hashes: Vec<InfoHash>,
    rng: Rng,
    news: Vec<News>,
}

/// A row of the table of trackers: tier from 1, tracker, what is known of it.
pub struct Row<'a> {
    pub tier: usize,
    pub tracker: &'a str,
    pub status: &'a str,
}

impl Tiers {
    /// The trackers given as URLs, each tier in an order of our own (BEP 12).
    pub fn new(urls: &[Vec<String>], hosts: Hosts, mut rng: Rng) -> Tiers {
        let mut tiers = Vec::new();
        for urls in urls {
            let mut trackers: Vec<Tracker> =
                urls.iter().map(|url| Tracker::new(url, &hosts)).collect();
            rng.shuffle(&mut trackers);
            // Those that cannot be reached at all come last.
            trackers.sort_by_key(|tracker| matches!(tracker.road, Road::None(_)));
            tiers.push(Tier { trackers, ..Tier::default() });
        }
        tiers.retain(|tier| !tier.trackers.is_empty());
        Tiers { tiers, hosts, who: None, hashes: Vec::new(), rng, news: Vec::new() }
    }

    /// The trackers as they stand, tier by tier.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.tiers.iter().enumerate().flat_map(|(index, tier)| {
            tier.trackers.iter().enumerate().map(move |(nth, tracker)| {
                let status = match &tracker.road {
                    Road::None(why) => why,
                    _ if nth == tier.current => "connecting",
                    _ => "in reserve",
                };
                Row { tier: index + 1, tracker: &tracker.shown, status }
            })
        })
    }

    /// Whether anybody can be asked.
    pub fn is_of_use(&self) -> bool {
        let mut all = self.tiers.iter().flat_map(|tier| &tier.trackers);
        all.any(|tracker| !matches!(tracker.road, Road::None(_)))
    }

    pub fn is_announcing(&self, info_hash: InfoHash) -> bool {
        self.hashes.contains(&info_hash)
    }

    /// Announces one more info-hash from now on.
    pub fn announce(
        &mut self,
        info_hash: InfoHash,
        (peer_id, own): (PeerId, &[SocketAddr]),
        now: Time,
    ) {
        if self.is_announcing(info_hash) {
            return;
        }
        self.hashes.push(info_hash);
        let key = self.who.as_ref().map_or_else(|| self.rng.next_u32(), |who| who.key);
        let who = Us { peer_id, own: own.to_vec(), key };
        for tier in &mut self.tiers {
            tier.begin(info_hash, &who, now, &mut self.rng);
        }
        self.who = Some(who);
    }

    /// Everything is here.
    pub fn completed(&mut self, now: Time, out: &mut Outbox) {
        for talk in self.talks() {
            match talk {
                Talk::Udp(talk) => talk.completed(now),
                Talk::Http(talk) => talk.completed(now, out),
            }
        }
    }

    /// Says that we go.
    pub fn stop(&mut self, stats: Stats, now: Time, out: &mut Outbox) {
        let stats = shown(stats);
        for talk in self.talks() {
            match talk {
                Talk::Udp(talk) => talk.stop(now, stats, out),
                Talk::Http(talk) => talk.stop(now, out),
            }
        }
        self.hashes.clear();
    }

    /// Whether words of farewell wait for a connection.
    pub fn is_stopping(&self) -> bool {
        let mut talks = self.tiers.iter().flat_map(|tier| &tier.talks);
        talks.any(|(_, talk)| matches!(talk, Talk::Http(talk) if talk.is_stopping()))
    }

    fn talks(&mut self) -> impl Iterator<Item = &mut Talk> {
        self.tiers.iter_mut().flat_map(|tier| &mut tier.talks).map(|(_, talk)| talk)
    }

    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    pub fn deadline(&self) -> Time {
        let talks = self.tiers.iter().flat_map(|tier| &tier.talks);
        talks.map(|(_, talk)| talk.deadline()).min().unwrap_or(Time::NEVER)
    }

    /// Sends what is due.
    pub fn poll(&mut self, stats: Stats, now: Time, out: &mut Outbox) {
        let stats = shown(stats);
        self.each(now, out, |talk, out| match talk {
            Talk::Udp(talk) => talk.poll(now, stats, out).and_then(|health| match health {
                Health::NotAnswering { .. } => Some(Word::Failed("it does not answer".into())),
                Health::Back => None,
            }),
            Talk::Http(talk) => talk.poll(now, out).and_then(Word::of_http),
        });
    }

    pub fn got_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Time, out: &mut Outbox) {
        self.each(now, out, |talk, _| match talk {
            Talk::Udp(talk) => talk.got_datagram(now, from, bytes).and_then(Word::of_udp),
            Talk::Http(_) => None,
        });
    }

    /// A dial succeeded; `false` if it is not ours.
    pub fn got_connected(&mut self, conn: ConnId, stats: Stats, out: &mut Outbox) -> bool {
        let stats = shown(stats);
        self.talks().any(|talk| match talk {
            Talk::Http(talk) => talk.got_connected(conn, stats, out),
            Talk::Udp(_) => false,
        })
    }

    pub fn got_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Time, out: &mut Outbox) -> bool {
        let (hosts, mut ours) = (self.hosts.clone(), false);
        self.each(now, out, |talk, out| {
            let Talk::Http(talk) = talk else { return None };
            let heard = talk.got_bytes(conn, bytes, &hosts, now, out)?;
            ours = true;
            heard.and_then(Word::of_http)
        });
        ours
    }

    pub fn got_closed(&mut self, conn: ConnId, why: Closed, now: Time, out: &mut Outbox) -> bool {
        let (hosts, mut ours) = (self.hosts.clone(), false);
        self.each(now, out, |talk, out| {
            let Talk::Http(talk) = talk else { return None };
            let heard = talk.got_closed(conn, why, &hosts, now, out)?;
            ours = true;
            heard.and_then(Word::of_http)
        });
        ours
    }

    /// Lets every conversation have its turn, and does what follows from its word.
    fn each(
        &mut self,
        now: Time,
        out: &mut Outbox,
        mut turn: impl FnMut(&mut Talk, &mut Outbox) -> Option<Word>,
    ) {
        for tier in &mut self.tiers {
            let mut failed = false;
            let shown = tier.trackers.get(tier.current).map(|tracker| tracker.shown.clone());
            for (info_hash, talk) in &mut tier.talks {
                let Some(word) = turn(talk, out) else { continue };
                let what = match word {
                    Word::Answered(what) => {
                        tier.answered = true;
                        what
                    }
                    Word::Failed(why) => {
                        failed = true;
                        What::Failed(why)
                    }
                };
                let (info_hash, tracker) = (*info_hash, shown.clone().unwrap_or_default());
                self.news.push(News { tracker, info_hash, what });
            }
            if let (true, Some(who)) = (failed, &self.who) {
                tier.go_on(&self.hashes, who, now, out, &mut self.rng);
            }
        }
    }
}

/// The figures as strangers take them.
fn shown(stats: Stats) -> Stats {
    let left = if stats.left == u64::MAX { LEFT_UNKNOWN } else { stats.left };
    Stats { left, slots: None, ..stats }
}

/// What one conversation told.
enum Word {
    Answered(What),
    Failed(String),
}

impl Word {
    fn of_udp(heard: udp::Heard) -> Option<Word> {
        match heard {
            udp::Heard::Peers { peers, seeders, leechers, interval } => {
                let (seeders, leechers) = (Some(seeders.into()), Some(leechers.into()));
                Some(Word::Answered(What::Answered { peers, seeders, leechers, interval }))
            }
            udp::Heard::Refused(text) => Some(Word::Failed(format!("it refuses: {text}"))),
            udp::Heard::Stopped => None,
        }
    }

    fn of_http(heard: http::Heard) -> Option<Word> {
        match heard {
            http::Heard::Peers { peers, seeders, leechers, interval, .. } => {
                Some(Word::Answered(What::Answered { peers, seeders, leechers, interval }))
            }
            http::Heard::Refused(text) => Some(Word::Failed(format!("it refuses: {text}"))),
            http::Heard::Failed(why) => Some(Word::Failed(why)),
            http::Heard::Stopped => None,
        }
    }
}

impl Talk {
    fn deadline(&self) -> Time {
        match self {
            Talk::Udp(talk) => talk.deadline(),
            Talk::Http(talk) => talk.deadline(),
        }
    }
}

impl Tracker {
    fn new(url: &str, hosts: &Hosts) -> Tracker {
        let (shown, road) = match tracker_url::read(url) {
            Err(why) => {
                (foreign(url.split(['?', '#']).next().unwrap_or_default()), Road::None(why))
            }
            Ok(url) => {
                let host = url.at.with_port(url.scheme.port());
                let shown = format!("{}://{}", url.scheme.name(), foreign(&host));
                let road = match (hosts.find(&url.at, url.scheme.port()), url.scheme) {
                    (None, _) => Road::None("its host has no address".into()),
                    (Some(at), Scheme::Udp) => Road::Udp(at, url.path.into_bytes()),
                    (Some(at), Scheme::Http) => Road::Http(at, Target::of(&url)),
                };
                (shown, road)
            }
        };
        Tracker { shown, road, failures: 0, rests_until: Time::ZERO }
    }
}

impl Tier {
    /// Begins to announce one info-hash to the tracker at hand.
    fn begin(&mut self, info_hash: InfoHash, who: &Us, now: Time, rng: &mut Rng) {
        let Some(tracker) = self.trackers.get(self.current) else { return };
        let Us { peer_id, own, key } = who.clone();
        let (who, seed) = (Identity { info_hash, peer_id, key, own }, rng.next_u64());
        let at = tracker.rests_until.max(now);
        let talk = match tracker.road.clone() {
            Road::None(_) => return,
            Road::Udp(tracker, path) => {
                let mut talk = Announcer::among_strangers(tracker, who, path, seed);
                talk.start(at);
                Talk::Udp(Box::new(talk))
            }
            Road::Http(tracker, target) => {
                let mut talk = HttpAnnouncer::new((tracker, target), who, seed);
                talk.start(at);
                Talk::Http(Box::new(talk))
            }
        };
        self.talks.push((info_hash, talk));
    }

    /// The tracker at hand failed: the next one of the tier has its turn, unless it answers for
    /// another identity or there is no other.
    fn go_on(&mut self, hashes: &[InfoHash], who: &Us, now: Time, out: &mut Outbox, rng: &mut Rng) {
        let reachable = |tracker: &&Tracker| !matches!(tracker.road, Road::None(_));
        let others = self.trackers.iter().filter(reachable).count() > 1;
        if std::mem::take(&mut self.answered) || !others || hashes.is_empty() {
            return;
        }
        if let Some(failed) = self.trackers.get_mut(self.current) {
            failed.rests_until = now + refused_wait(&mut failed.failures);
        }
        for (_, talk) in self.talks.drain(..) {
            if let Talk::Http(talk) = talk {
                talk.dropped(out);
            }
        }
        let after = self.current + 1;
        let order = (after..self.trackers.len()).chain(0..after);
        let next = order
            .filter(|index| self.trackers.get(*index).is_some_and(|t| reachable(&t)))
            .min_by_key(|index| self.trackers.get(*index).map(|t| t.rests_until.max(now)));
        self.current = next.unwrap_or(0);
        for info_hash in hashes {
            self.begin(*info_hash, who, now, rng);
        }
    }
}
