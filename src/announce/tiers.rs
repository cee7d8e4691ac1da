//! The trackers of a torrent in their tiers (BEP 12): of a tier one is announced to, the first that
//! answers. Whoever does not answer gives way to the next of its tier and is left alone for a
//! while; once all of a tier have failed, the next tier is asked, too.

mod tier;

use super::http;
use super::resolver::Found;
use super::session::Health;
use super::udp::{self, Stats};
use super::whereabouts::Change;
use crate::core::id::{ConnId, InfoHash, PeerId};
use crate::core::io::{Closed, Outbox};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::udp::ScrapeRow;
use std::net::{IpAddr, SocketAddr};
use tier::{Road, Talk, Tier, Tracker, Us};

/// Bytes that are said to be missing while the size is unknown: what stock clients say.
const LEFT_UNKNOWN: u64 = 16 * 1024;

/// What came of an announce; the tracker without its path, in which there may be a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    /// The tier of the tracker, from 0.
    pub tier: usize,
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
    /// What it counts.
    Scraped(ScrapeRow),
    /// Why there was no answer, safe to show.
    Failed(String),
}

#[derive(Debug)]
pub struct Tiers {
    tiers: Vec<Tier>,
    who: Option<Us>,
    /// The one address at which we take connections, if there is but one.
    at: Option<IpAddr>,
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
    pub fn new(urls: &[Vec<String>], mut rng: Rng) -> Tiers {
        let mut tiers = Vec::new();
        for urls in urls {
            let mut trackers: Vec<Tracker> = urls.iter().map(|url| Tracker::new(url)).collect();
            rng.shuffle(&mut trackers);
            // Those that cannot be reached at all come last.
            trackers.sort_by_key(|tracker| matches!(tracker.road, Road::None(_)));
            tiers.push(Tier { trackers, ..Tier::default() });
        }
        tiers.retain(|tier: &Tier| !tier.trackers.is_empty());
        if let Some(first) = tiers.iter_mut().find(|tier| tier.is_of_use()) {
            first.is_asked = true;
        }
        Tiers { tiers, who: None, at: None, hashes: Vec::new(), rng, news: Vec::new() }
    }

    /// Announces from the one address at which we take connections.
    pub fn from(self, at: Option<IpAddr>) -> Tiers {
        Tiers { at, ..self }
    }

    /// The last `n` tiers do not wait for those before them to fail.
    pub fn at_once(mut self, n: usize) -> Tiers {
        self.tiers.iter_mut().rev().take(n).for_each(|tier| tier.is_asked = true);
        self
    }

    /// The trackers as they stand, tier by tier.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.tiers.iter().enumerate().flat_map(|(index, tier)| {
            tier.trackers.iter().enumerate().map(move |(nth, tracker)| {
                let status = match &tracker.road {
                    Road::None(why) => why,
                    _ if tier.is_asked && nth == tier.current => "connecting",
                    _ => "in reserve",
                };
                Row { tier: index + 1, tracker: &tracker.shown, status }
            })
        })
    }

    /// Whether anybody can be asked.
    pub fn is_of_use(&self) -> bool {
        self.tiers.iter().any(Tier::is_of_use)
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
        let who = Us { peer_id, own: own.to_vec(), key, at: self.at };
        for tier in self.tiers.iter_mut().filter(|tier| tier.is_asked) {
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

    /// The trackers of the tiers from that one on (from 0) are not asked any more: they are told
    /// that we go, and what they still say does not count.
    pub fn leave_from(&mut self, first: usize, stats: Stats, now: Time, out: &mut Outbox) {
        let stats = shown(stats);
        for tier in self.tiers.iter_mut().skip(first) {
            tier.trackers.clear();
            for (_, talk) in &mut tier.talks {
                match talk {
                    Talk::Udp(talk) => talk.stop(now, stats, out),
                    Talk::Http(talk) => talk.stop(now, out),
                }
            }
        }
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
        let talks = talks.map(|(_, talk)| talk.deadline()).min().unwrap_or(Time::NEVER);
        let places = self.tiers.iter().filter(|_| !self.hashes.is_empty());
        places.map(Tier::look_up_at).fold(talks, Time::min)
    }

    /// Names to look up.
    pub fn take_lookups(&mut self, now: Time) -> Vec<String> {
        let mut names = Vec::new();
        for tier in &mut self.tiers {
            if !self.hashes.is_empty()
                && tier.is_asked
                && let Some(Tracker { road: Road::Udp(place, _), .. }) = tier.at_hand_mut()
            {
                names.extend(place.take_lookup(now));
            }
            for (_, talk) in &mut tier.talks {
                if let Talk::Http(talk) = talk {
                    names.extend(talk.take_lookup());
                }
            }
        }
        names
    }

    /// A name was looked up.
    pub fn got_found(&mut self, found: &Found, now: Time, out: &mut Outbox) {
        let Some(who) = self.who.clone() else { return };
        let mut failed = Vec::new();
        for (index, tier) in self.tiers.iter_mut().enumerate().filter(|(_, tier)| tier.is_asked) {
            let Some(tracker) = tier.at_hand_mut() else { continue };
            let Road::Udp(place, _) = &mut tracker.road else { continue };
            match place.got_found(found, now) {
                Some(Change::Moved) => {
                    // It knows nothing of us there.
                    tier.talks.clear();
                    for info_hash in &self.hashes {
                        tier.begin(*info_hash, &who, now, &mut self.rng);
                    }
                }
                Some(Change::Lost(why)) if place.known().is_none() => {
                    let (tracker, what) = (tracker.shown.clone(), What::Failed(why));
                    for info_hash in self.hashes.iter().take(1) {
                        let (tracker, what) = (tracker.clone(), what.clone());
                        let info_hash = *info_hash;
                        self.news.push(News { tier: index, tracker, info_hash, what });
                    }
                    if tier.go_on(&self.hashes, &who, now, out, &mut self.rng) {
                        failed.push(index);
                    }
                }
                Some(Change::Lost(_) | Change::Same) | None => {}
            }
        }
        self.ask_behind(failed, now);
        self.each(now, out, |talk, out| match talk {
            Talk::Http(talk) => talk.got_found(found, now, out).and_then(Word::of_http),
            Talk::Udp(_) => None,
        });
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
        let mut ours = false;
        self.each(now, out, |talk, out| {
            let Talk::Http(talk) = talk else { return None };
            let heard = talk.got_bytes(conn, bytes, now, out)?;
            ours = true;
            heard.and_then(Word::of_http)
        });
        ours
    }

    pub fn got_closed(&mut self, conn: ConnId, why: Closed, now: Time, out: &mut Outbox) -> bool {
        let mut ours = false;
        self.each(now, out, |talk, out| {
            let Talk::Http(talk) = talk else { return None };
            let heard = talk.got_closed(conn, why, now, out)?;
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
        let mut all_failed = Vec::new();
        for (index, tier) in self.tiers.iter_mut().enumerate() {
            let (mut failed, mut answered) = (false, false);
            let shown = tier.trackers.get(tier.current).map(|tracker| tracker.shown.clone());
            for (info_hash, talk) in &mut tier.talks {
                let Some(word) = turn(talk, out) else { continue };
                if shown.is_none() {
                    continue;
                }
                let what = match word {
                    Word::Answered(what) => {
                        (tier.answered, answered) = (true, true);
                        what
                    }
                    Word::Counted(row) => What::Scraped(row),
                    Word::Failed(why) => {
                        failed = true;
                        What::Failed(why)
                    }
                };
                let (info_hash, tracker) = (*info_hash, shown.clone().unwrap_or_default());
                self.news.push(News { tier: index, tracker, info_hash, what });
            }
            if let (true, Some(tracker)) = (answered, tier.at_hand_mut()) {
                tracker.failures = 0;
                if let Road::Udp(place, _) = &mut tracker.road {
                    place.trust();
                }
            }
            if let (true, Some(who)) = (failed, &self.who) {
                if let Some(Tracker { road: Road::Udp(place, _), .. }) = tier.at_hand_mut() {
                    place.doubt(now);
                }
                if tier.go_on(&self.hashes, who, now, out, &mut self.rng) {
                    all_failed.push(index);
                }
            }
        }
        self.ask_behind(all_failed, now);
    }

    /// All of a tier have failed: the next one is asked from now on.
    fn ask_behind(&mut self, failed: Vec<usize>, now: Time) {
        let Some(who) = &self.who else { return };
        for failed in failed {
            let mut behind = self.tiers.iter_mut().skip(failed + 1);
            let next = behind.find(|tier| tier.is_of_use()).filter(|tier| !tier.is_asked);
            let Some(tier) = next else { continue };
            tier.is_asked = true;
            for info_hash in &self.hashes {
                tier.begin(*info_hash, who, now, &mut self.rng);
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
    Counted(ScrapeRow),
    Failed(String),
}

impl Word {
    fn of_udp(heard: udp::Heard) -> Option<Word> {
        match heard {
            udp::Heard::Peers { peers, seeders, leechers, interval } => {
                let (seeders, leechers) = (Some(seeders.into()), Some(leechers.into()));
                Some(Word::Answered(What::Answered { peers, seeders, leechers, interval }))
            }
            udp::Heard::Scraped(row) => Some(Word::Counted(row)),
            udp::Heard::Refused(text) => Some(Word::Failed(format!("it refuses: {text}"))),
            udp::Heard::Stopped => None,
        }
    }

    fn of_http(heard: http::Heard) -> Option<Word> {
        match heard {
            http::Heard::Peers { peers, seeders, leechers, interval, .. } => {
                Some(Word::Answered(What::Answered { peers, seeders, leechers, interval }))
            }
            http::Heard::Scraped(row) => Some(Word::Counted(row)),
            http::Heard::Refused(text) => Some(Word::Failed(format!("it refuses: {text}"))),
            http::Heard::Failed(why) => Some(Word::Failed(why)),
            http::Heard::Stopped => None,
        }
    }
}
