//! One announcing conversation (BEP 15): one tracker, one info-hash.

use super::course::Course;
use super::filter;
use super::session::{Connection, Health, Pace, Reply, Session, jittered, leaves_from};
use crate::core::id::{InfoHash, PeerId};
use crate::core::io::Outbox;
use crate::core::report::SlotsRow;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::slot_word::SlotWord;
use crate::wire::token::{self, Bearer};
use crate::wire::udp::{
    AnnounceRequest, AnnounceResponse, Event, Request, Response, ScrapeRow, action,
};
use std::net::{IpAddr, SocketAddr};

/// Local networks lose little, and a tracker that restarts must be found quickly: far shorter waits
/// than those of BEP 15.
const PACE: Pace = Pace { waits_ms: &[1000, 2000, 4000, 8000, 15_000], patience: 2 };
/// Intervals a tracker may ask for, seconds.
const INTERVAL_S: std::ops::RangeInclusive<u64> = 5..=3600;
/// The timeouts of BEP 15 itself, for trackers that may be anybody's; one of them says enough.
const STRANGERS_PACE: Pace = Pace {
    waits_ms: &[15_000, 30_000, 60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, 3_840_000],
    patience: 1,
};
/// Intervals that such a tracker may ask for, seconds.
const STRANGERS_INTERVAL_S: std::ops::RangeInclusive<u64> = 5..=86_400;
/// How often a tracker that may be anybody's is asked what it counts.
pub const SCRAPE_EVERY: Span = Span::secs(30 * 60);
/// How long after an answer the next hurried announce may leave.
const HURRY_AFTER: Span = Span::secs(5);
/// How long after an error the next announce leaves.
const REFUSED_AFTER: Span = Span::secs(30);

/// What is announced, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    pub info_hash: InfoHash,
    pub peer_id: PeerId,
    pub key: u32,
    /// Where this node listens: left out of the peers heard.
    pub own: Vec<SocketAddr>,
}

/// The figures of an announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Bytes of content, since this peer started.
    pub downloaded: u64,
    /// Bytes missing; `u64::MAX` while the size is unknown.
    pub left: u64,
    /// Bytes of content, since this peer started.
    pub uploaded: u64,
    /// Where others reach us.
    pub port: u16,
    /// Our slots, for a tracker that shows them; `None` for one that does not know the word.
    pub slots: Option<SlotsRow>,
}

/// What the tracker said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// An answer; the peers have gone through [`filter::keep`].
    Peers { peers: Vec<SocketAddr>, seeders: u32, leechers: u32, interval: Span },
    /// What it counts.
    Scraped(ScrapeRow),
    /// Its error, safe to show. The next try follows by itself.
    Refused(String),
    /// The tracker knows that we go: the conversation is over.
    Stopped,
}

/// A machine for one conversation. Call [`Announcer::poll`] after every other call and at
/// [`Announcer::deadline`].
#[derive(Clone, Debug)]
pub struct Announcer {
    session: Session,
    identity: Identity,
    course: Course,
    /// Its tracker may be anybody's: path and query of its URL (BEP 41), and refusals in a row.
    stranger: Option<(Vec<u8>, u32)>,
    /// When to ask a stranger what it counts, and whether that is being asked.
    scrape_at: Time,
    scrapes: bool,
    token: Option<Bearer>,
}

impl Announcer {
    pub fn new(tracker: SocketAddr, identity: Identity, seed: u64) -> Announcer {
        Announcer {
            session: Session::new(tracker, PACE, Rng::new(seed)),
            identity,
            course: Course::default(),
            stranger: None,
            scrape_at: Time::NEVER,
            scrapes: false,
            token: None,
        }
    }

    /// Announces to a tracker that may be anybody's: with the timeouts of BEP 15, and never before
    /// the interval given. `url_data`: path and query of its URL (BEP 41).
    pub fn among_strangers(
        tracker: SocketAddr,
        identity: Identity,
        url_data: Vec<u8>,
        seed: u64,
    ) -> Announcer {
        let announcer = Announcer::new(tracker, identity, seed);
        let session = Session::new(tracker, STRANGERS_PACE, Rng::new(seed));
        Announcer { session, stranger: Some((url_data, 0)), ..announcer }
    }

    /// Speaks from where we take connections.
    pub fn from(mut self, ours: Option<IpAddr>) -> Announcer {
        let to = self.session.tracker().ip();
        self.session.speak_from(leaves_from(ours, to));
        self
    }

    /// Shows a token.
    pub fn with_token(mut self, token: Option<Bearer>) -> Announcer {
        self.token = token;
        self
    }

    pub fn tracker(&self) -> SocketAddr {
        self.session.tracker()
    }

    /// The connection id held, for another conversation with this tracker.
    pub fn connection(&self) -> Option<Connection> {
        self.session.connection()
    }

    /// Goes on with a connection id another conversation with this tracker got.
    pub fn share(&mut self, connection: Connection) {
        self.session.share(connection);
    }

    /// Announces from `at` on, `started` first.
    pub fn start(&mut self, at: Time) {
        self.course.start(at);
    }

    /// Everything is here: says so once, at once, if something was missing at the start.
    pub fn completed(&mut self, now: Time) {
        if self.course.completed(now) {
            self.session.rest();
            self.scrapes = false;
        }
    }

    /// The next announce leaves now, or 5 s after the last answer; among strangers at its time.
    pub fn hurry(&mut self, now: Time) {
        if self.stranger.is_none() {
            self.course.hurry(now);
        }
    }

    /// Says `stopped` at once with the connection id there is. The process may end after this turn;
    /// if it lives on, the word is repeated until [`Heard::Stopped`].
    pub fn stop(&mut self, now: Time, stats: Stats, out: &mut Outbox) {
        self.session.rest();
        (self.scrape_at, self.scrapes) = (Time::NEVER, false);
        if self.course.stop() {
            self.session.ask_last(now, action::ANNOUNCE);
            self.poll(now, stats, out);
        }
    }

    pub fn deadline(&self) -> Time {
        let next = self.course.next();
        let next = match self.session.is_asking() {
            // What it counts gives way to an announce.
            true if self.scrapes => next,
            true => Time::NEVER,
            false => next.min(self.scrape_at),
        };
        self.session.deadline().min(next)
    }

    /// Sends what is due.
    pub fn poll(&mut self, now: Time, stats: Stats, out: &mut Outbox) -> Option<Health> {
        if (self.scrapes || !self.session.is_asking()) && self.course.begins(now) {
            self.scrapes = false;
            self.session.ask(now, action::ANNOUNCE);
        } else if !self.session.is_asking() && self.scrape_at <= now {
            (self.scrapes, self.scrape_at) = (true, now + SCRAPE_EVERY);
            self.session.ask(now, action::SCRAPE);
        }
        if self.scrapes && self.session.is_unanswered(now) {
            // It need not answer that.
            self.scrapes = false;
            self.session.rest();
        }
        let scrapes = self.scrapes;
        let (identity, event) = (&self.identity, self.course.event());
        let slots = stats.slots.map(|slots| SlotWord::of(slots).pair());
        let auth = self.token.as_ref().map(Bearer::pair);
        let url_data = match &self.stranger {
            Some((path, _)) => path.clone(),
            None => token::url_data(auth.into_iter().chain(slots)),
        };
        let mut announced = false;
        let health = self.session.poll(now, out, |cid, tid, bytes| {
            if scrapes {
                let hashes = vec![identity.info_hash];
                return Request::Scrape { cid, tid, hashes }.encode(bytes);
            }
            announced = true;
            AnnounceRequest { url_data, ..request(identity, stats, event, (cid, tid)) }
                .encode(bytes);
        });
        if announced {
            self.course.left(stats.left == 0);
        }
        health
    }

    /// A datagram came, perhaps for this conversation.
    pub fn got_datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) -> Option<Heard> {
        let ipv6 = self.tracker().is_ipv6();
        let read = |bytes: &[u8]| Response::decode(bytes, ipv6);
        match self.session.got(now, from, bytes, read)? {
            Reply::Answer(Response::Announce(answer)) => Some(self.got_answer(now, answer)),
            Reply::Answer(Response::Scrape { rows, .. }) => {
                self.scrapes = false;
                rows.first().map(|row| Heard::Scraped(*row))
            }
            // Many do not count for others.
            Reply::Answer(Response::Error { .. }) | Reply::Refused(_) if self.scrapes => {
                self.scrapes = false;
                None
            }
            Reply::Answer(Response::Error { text, .. }) | Reply::Refused(text) => {
                let wait = match &mut self.stranger {
                    Some((_, refusals)) => refused_wait(refusals),
                    None => REFUSED_AFTER,
                };
                let wait = jittered(wait, self.session.rng());
                self.course.again(now + wait);
                Some(Heard::Refused(text))
            }
            Reply::Answer(_) => None,
        }
    }

    fn got_answer(&mut self, now: Time, answer: AnnounceResponse) -> Heard {
        if self.course.over_if_stopping() {
            return Heard::Stopped;
        }
        crate::mark!("B18");
        let interval = match &mut self.stranger {
            Some((_, refusals)) => {
                *refusals = 0;
                if self.scrape_at == Time::NEVER {
                    self.scrape_at = now;
                }
                strangers_interval(answer.interval_s.into(), self.session.rng())
            }
            None => {
                let interval_s = u64::from(answer.interval_s);
                let interval_s = interval_s.clamp(*INTERVAL_S.start(), *INTERVAL_S.end());
                jittered(Span::secs(interval_s), self.session.rng())
            }
        };
        self.course.answered(now, interval, now + HURRY_AFTER);
        Heard::Peers {
            peers: filter::keep(&answer.peers, self.tracker(), &self.identity.own),
            seeders: answer.seeders,
            leechers: answer.leechers,
            interval,
        }
    }
}

/// The time until the next announce to a tracker that may be anybody's: never less than it said.
pub fn strangers_interval(said_s: u64, rng: &mut Rng) -> Span {
    let said = Span::secs(said_s.clamp(*STRANGERS_INTERVAL_S.start(), *STRANGERS_INTERVAL_S.end()));
    Span(said.0 + rng.below(said.0 / 10))
}

/// How long a tracker is left alone after one more failure: 1, 2, 4 ... 32 minutes.
pub fn refused_wait(failures: &mut u32) -> Span {
    let wait = Span::secs(60 << (*failures).min(5));
    *failures = failures.saturating_add(1);
    wait
}

fn request(
    identity: &Identity,
    stats: Stats,
    event: Event,
    (cid, tid): (u64, u32),
) -> AnnounceRequest {
    AnnounceRequest {
        cid,
        tid,
        info_hash: identity.info_hash,
        peer_id: identity.peer_id,
        downloaded: stats.downloaded,
        left: stats.left,
        uploaded: stats.uploaded,
        event,
        key: identity.key,
        num_want: if event == Event::Stopped { 0 } else { -1 },
        port: stats.port,
        url_data: Vec::new(),
    }
}
