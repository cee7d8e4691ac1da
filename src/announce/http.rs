//! One announcing conversation over HTTP (BEP 3, 7, 23): one tracker, one info-hash, one connection
//! for each question. The tracker may be anybody's: what comes back is bounded in bytes and time,
//! and it can send us nowhere that it could not name as a peer's address.

use super::approach::{Approach, Purpose};
use super::course::Course;
use super::filter;
use super::resolver::Found;
use super::udp::{Identity, SCRAPE_EVERY, Stats, refused_wait, strangers_interval};
use crate::core::id::ConnId;
use crate::core::io::{Closed, Outbox};
use crate::core::mark::mark;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::http::asking::{Announcing, Target, scrape_path};
use crate::wire::http::reply::{self, Collector, Reply, Said};
use crate::wire::tracker_url::TrackerUrl;
use crate::wire::udp::{Event, ScrapeRow};
use std::net::{IpAddr, SocketAddr};

/// The whole wait for an answer: name, connection and redirections included.
const ANSWER: Span = Span::secs(30);
/// Peers wanted.
const NUM_WANT: i32 = 200;

/// What the tracker said, or why it did not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    Peers {
        /// They have gone through [`filter::keep`].
        peers: Vec<SocketAddr>,
        seeders: Option<u64>,
        leechers: Option<u64>,
        interval: Span,
        warning: Option<String>,
    },
    /// What it counts.
    Scraped(ScrapeRow),
    /// Its own words, safe to show. The next try follows by itself.
    Refused(String),
    /// No answer, or none that can be read. The next try follows by itself.
    Failed(String),
    /// The conversation is over.
    Stopped,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    Announce,
    Scrape,
}

/// The question that is under way.
#[derive(Clone, Debug)]
struct Asking {
    what: Question,
    approach: Approach,
    answer: Collector,
    due: Time,
}

/// A machine for one conversation. Call [`HttpAnnouncer::poll`] after every other call and at
/// [`HttpAnnouncer::deadline`]; names it wants to know come with [`HttpAnnouncer::take_lookup`].
#[derive(Clone, Debug)]
pub struct HttpAnnouncer {
    url: TrackerUrl,
    identity: Identity,
    /// Our address that questions leave from, where they can.
    ours: Option<IpAddr>,
    course: Course,
    asking: Option<Asking>,
    /// Where the tracker was when it last answered a connection.
    last: Option<SocketAddr>,
    scrape_at: Time,
    failures: u32,
    tracker_id: Option<Vec<u8>>,
    rng: Rng,
}

impl HttpAnnouncer {
    pub fn new(url: TrackerUrl, identity: Identity, seed: u64) -> HttpAnnouncer {
        HttpAnnouncer {
            url,
            identity,
            ours: None,
            course: Course::default(),
            asking: None,
            last: None,
            scrape_at: Time::NEVER,
            failures: 0,
            tracker_id: None,
            rng: Rng::new(seed),
        }
    }

    /// Speaks from where we take connections.
    pub fn from(mut self, ours: Option<IpAddr>) -> HttpAnnouncer {
        self.ours = ours;
        self
    }

    /// Announces from `at` on, `started` first.
    pub fn start(&mut self, at: Time) {
        self.course.start(at);
    }

    /// Everything is here: says so once, if something was missing at the start.
    pub fn completed(&mut self, now: Time, out: &mut Outbox) {
        if self.course.completed(now) {
            self.hang_up(out);
        }
    }

    /// Says `stopped`, if the tracker heard of us; [`Heard::Stopped`] ends it.
    pub fn stop(&mut self, now: Time, out: &mut Outbox) {
        self.hang_up(out);
        self.scrape_at = Time::NEVER;
        // There is no time to look for it elsewhere.
        if let (true, Some(at)) = (self.course.stop(), self.last) {
            let approach = Approach::again(self.url.clone(), self.purpose(), at, out);
            self.asks(Question::Announce, approach, now);
        }
    }

    fn purpose(&self) -> Purpose {
        Purpose::Tracker { ours: self.ours }
    }

    /// Whether `stopped` is on its way.
    pub fn is_stopping(&self) -> bool {
        self.course.is_stopping() && self.asking.is_some()
    }

    pub fn deadline(&self) -> Time {
        let next = self.course.next().min(self.scrape_at);
        self.asking.as_ref().map_or(next, |asking| asking.due.min(asking.approach.deadline()))
    }

    /// A name to look up.
    pub fn take_lookup(&mut self) -> Option<String> {
        self.asking.as_mut()?.approach.take_lookup()
    }

    /// Asks what is due, and gives up what was not answered.
    pub fn poll(&mut self, now: Time, out: &mut Outbox) -> Option<Heard> {
        if let Some(asking) = self.asking.as_ref().filter(|asking| asking.due <= now) {
            mark!("C14");
            let what = asking.approach.waits_for();
            return self.failed(format!("no {what} in {} s", ANSWER.as_secs()), now, out);
        }
        if let Some(asking) = &mut self.asking {
            asking.approach.poll(now, out);
            return None;
        }
        let what = if self.course.begins(now) {
            Question::Announce
        } else if self.scrape_at <= now {
            self.scrape_at = now + SCRAPE_EVERY;
            Question::Scrape
        } else {
            return None;
        };
        match Approach::new(self.url.clone(), self.purpose(), out) {
            Ok(approach) => {
                self.asks(what, approach, now);
                None
            }
            Err(why) => self.failed(why, now, out),
        }
    }

    fn asks(&mut self, what: Question, approach: Approach, now: Time) {
        let answer = Collector::default();
        self.asking = Some(Asking { what, approach, answer, due: now + ANSWER });
    }

    /// Ends without a word.
    pub fn dropped(mut self, out: &mut Outbox) {
        self.hang_up(out);
    }

    fn hang_up(&mut self, out: &mut Outbox) {
        if let Some(mut asking) = self.asking.take() {
            asking.approach.hang_up(out);
        }
    }

    /// A name was looked up, perhaps for us.
    pub fn got_found(&mut self, found: &Found, now: Time, out: &mut Outbox) -> Option<Heard> {
        let asking = self.asking.as_mut()?;
        match asking.approach.got_found(found, now, out) {
            Ok(()) => None,
            Err(why) => self.failed(why, now, out),
        }
    }

    fn of(&mut self, conn: ConnId) -> Option<&mut Asking> {
        self.asking.as_mut().filter(|asking| asking.approach.conn() == Some(conn))
    }

    /// A dial succeeded; `false` if it is not ours.
    pub fn got_connected(&mut self, conn: ConnId, stats: Stats, out: &mut Outbox) -> bool {
        let Some(asking) = self.of(conn) else { return false };
        asking.approach.got_connected(conn);
        let (what, redirected) = (asking.what, asking.approach.is_redirected());
        let target = Target::of(asking.approach.url());
        let at = asking.approach.connected_to();
        if !redirected {
            self.last = at;
        }
        let request = match what {
            _ if redirected && target.is_whole() => target.as_it_stands(),
            Question::Announce => target.announce(&self.announcing(stats)),
            Question::Scrape => {
                let scrape = target.scrape(self.identity.info_hash);
                scrape.unwrap_or_else(|| target.as_it_stands())
            }
        };
        out.send(conn, request.as_bytes());
        if what == Question::Announce {
            self.course.left(stats.left == 0);
        }
        true
    }

    fn announcing(&self, stats: Stats) -> Announcing {
        let event = self.course.event();
        Announcing {
            info_hash: self.identity.info_hash,
            peer_id: self.identity.peer_id,
            port: stats.port,
            uploaded: stats.uploaded,
            downloaded: stats.downloaded,
            left: stats.left,
            num_want: if event == Event::Stopped { 0 } else { NUM_WANT },
            event,
            key: Some(self.identity.key),
            tracker_id: self.tracker_id.clone(),
        }
    }

    /// Bytes of a connection; `None` if it is not ours.
    pub fn got_bytes(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        now: Time,
        out: &mut Outbox,
    ) -> Option<Option<Heard>> {
        Some(match self.of(conn)?.answer.got(bytes) {
            Ok(None) => None,
            Ok(Some(reply)) => self.got_reply(&reply, now, out),
            Err(why) => self.failed(why.into(), now, out),
        })
    }

    /// The end of a connection; `None` if it is not ours.
    pub fn got_closed(
        &mut self,
        conn: ConnId,
        why: Closed,
        now: Time,
        out: &mut Outbox,
    ) -> Option<Option<Heard>> {
        let asking = self.of(conn)?;
        if asking.approach.connected_to().is_some() {
            return Some(match asking.answer.ended() {
                Ok(reply) => self.got_reply(&reply, now, out),
                Err(why) => self.failed(why.into(), now, out),
            });
        }
        Some(match asking.approach.got_closed(why, now, out) {
            Ok(()) => None,
            Err(why) => self.failed(why, now, out),
        })
    }

    fn got_reply(&mut self, reply: &Reply, now: Time, out: &mut Outbox) -> Option<Heard> {
        let asking = self.asking.as_mut()?;
        if let (300..=399, Some(to)) = (reply.status, &reply.location) {
            match asking.approach.redirected(to, out) {
                Ok(approach) => {
                    (asking.approach, asking.answer) = (approach, Collector::default());
                    return None;
                }
                Err(why) => return self.failed(why, now, out),
            }
        }
        let (what, at) = (asking.what, asking.approach.connected_to());
        if what == Question::Scrape {
            self.hang_up(out);
            let said = reply::scraped(&reply.body, self.identity.info_hash);
            return match said {
                Ok(Said::Answer(Some(row))) => Some(Heard::Scraped(row)),
                _ => None,
            };
        }
        match reply::announced(&reply.body) {
            Ok(Said::Answer(said)) => Some(self.got_answer(said, at, now, out)),
            Ok(Said::Failure(text)) => {
                self.hang_up(out);
                self.try_later(now);
                Some(Heard::Refused(text))
            }
            // A page for people says less than its status.
            Err(_) if reply.status != 200 => {
                self.failed(format!("HTTP status {}", reply.status), now, out)
            }
            Err(why) => self.failed(why.into(), now, out),
        }
    }

    fn got_answer(
        &mut self,
        said: reply::Announced,
        at: Option<SocketAddr>,
        now: Time,
        out: &mut Outbox,
    ) -> Heard {
        self.hang_up(out);
        self.failures = 0;
        self.tracker_id = said.tracker_id.or(self.tracker_id.take());
        if self.course.over_if_stopping() {
            return Heard::Stopped;
        }
        let path = self.url.path.split('?').next().unwrap_or_default();
        if self.scrape_at == Time::NEVER && scrape_path(path).is_some() {
            self.scrape_at = now;
        }
        let interval = strangers_interval(said.interval_s, &mut self.rng);
        self.course.answered(now, interval, now + interval);
        let peers = at.map(|at| filter::keep(&said.peers, at, &self.identity.own));
        Heard::Peers {
            peers: peers.unwrap_or_default(),
            seeders: said.complete,
            leechers: said.incomplete,
            interval,
            warning: said.warning,
        }
    }

    fn try_later(&mut self, now: Time) {
        let wait = refused_wait(&mut self.failures);
        self.course.again(now + wait);
    }

    /// What was asked is not answered. A count that does not come is not worth a word.
    fn failed(&mut self, why: String, now: Time, out: &mut Outbox) -> Option<Heard> {
        let what = self.asking.as_ref().map(|asking| asking.what);
        self.hang_up(out);
        if what == Some(Question::Scrape) {
            return None;
        }
        let stopped = self.course.is_stopping();
        self.try_later(now);
        Some(if stopped { Heard::Stopped } else { Heard::Failed(why) })
    }
}
