//! One announcing conversation over HTTP (BEP 3, 7, 23): one tracker, one info-hash, one connection
//! for each question. The tracker may be anybody's: what comes back is bounded in bytes and time,
//! and it can send us nowhere that it could not name as a peer's address.

use super::course::Course;
use super::filter;
use super::hosts::Hosts;
use super::udp::{Identity, Stats, refused_wait, strangers_interval};
use crate::core::id::ConnId;
use crate::core::io::{Closed, Outbox};
use crate::core::report::foreign;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::http::asking::{Announcing, Target};
use crate::wire::http::head::HEAD_BYTES_MAX;
use crate::wire::http::reply::{self, BODY_BYTES_MAX, Reply, Said};
use crate::wire::tracker_url::{self, Scheme};
use crate::wire::udp::Event;
use std::net::SocketAddr;

/// The whole wait for an answer, connection and redirections included.
const ANSWER: Span = Span::secs(30);
/// Redirections followed for one question.
const REDIRECTIONS_MAX: u32 = 5;
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
    /// Its own words, safe to show. The next try follows by itself.
    Refused(String),
    /// No answer, or none that can be read. The next try follows by itself.
    Failed(String),
    /// The conversation is over.
    Stopped,
}

/// The question that is under way.
#[derive(Clone, Debug)]
struct Asking {
    conn: ConnId,
    connected: bool,
    to: (SocketAddr, Target),
    came: Vec<u8>,
    due: Time,
    redirections: u32,
}

/// A machine for one conversation. Call [`HttpAnnouncer::poll`] after every other call and at
/// [`HttpAnnouncer::deadline`].
#[derive(Clone, Debug)]
pub struct HttpAnnouncer {
    tracker: SocketAddr,
    target: Target,
    identity: Identity,
    course: Course,
    asking: Option<Asking>,
    failures: u32,
    tracker_id: Option<Vec<u8>>,
    rng: Rng,
}

impl HttpAnnouncer {
    pub fn new(
        (tracker, target): (SocketAddr, Target),
        identity: Identity,
        seed: u64,
    ) -> HttpAnnouncer {
        HttpAnnouncer {
            tracker,
            target,
            identity,
            course: Course::default(),
            asking: None,
            failures: 0,
            tracker_id: None,
            rng: Rng::new(seed),
        }
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
        if self.course.stop() {
            self.ask(now, (self.tracker, self.target.clone()), 0, out);
        }
    }

    /// Whether `stopped` is on its way.
    pub fn is_stopping(&self) -> bool {
        self.course.is_stopping()
    }

    pub fn deadline(&self) -> Time {
        self.asking.as_ref().map_or(self.course.next(), |asking| asking.due)
    }

    /// Asks what is due, and gives up what was not answered.
    pub fn poll(&mut self, now: Time, out: &mut Outbox) -> Option<Heard> {
        if self.asking.as_ref().is_some_and(|asking| asking.due <= now) {
            let what = self.asking.as_ref().map(|asking| asking.connected);
            // What comes in chunks may be whole although the connection lives.
            if what == Some(true) && self.asking.as_ref().is_some_and(|a| !a.came.is_empty()) {
                return self.read(true, &Hosts::new(), now, out);
            }
            let what = if what == Some(true) { "answer" } else { "connection" };
            return Some(self.failed(format!("no {what} in {} s", ANSWER.as_secs()), now, out));
        }
        if self.asking.is_none() && self.course.begins(now) {
            self.ask(now, (self.tracker, self.target.clone()), 0, out);
        }
        None
    }

    fn ask(&mut self, now: Time, to: (SocketAddr, Target), redirections: u32, out: &mut Outbox) {
        let due = match redirections {
            0 => now + ANSWER,
            _ => self.asking.as_ref().map_or(now + ANSWER, |asking| asking.due),
        };
        let conn = out.dial(to.0);
        let came = Vec::new();
        self.asking = Some(Asking { conn, connected: false, to, came, due, redirections });
    }

    /// Ends without a word.
    pub fn dropped(mut self, out: &mut Outbox) {
        self.hang_up(out);
    }

    fn hang_up(&mut self, out: &mut Outbox) {
        if let Some(asking) = self.asking.take() {
            out.close(asking.conn);
        }
    }

    fn is_asking(&self, conn: ConnId) -> bool {
        self.asking.as_ref().is_some_and(|asking| asking.conn == conn)
    }

    /// A dial succeeded; `false` if it is not ours.
    pub fn got_connected(&mut self, conn: ConnId, stats: Stats, out: &mut Outbox) -> bool {
        let Some(asking) = self.asking.as_mut().filter(|asking| asking.conn == conn) else {
            return false;
        };
        asking.connected = true;
        let event = self.course.event();
        let request = asking.to.1.announce(&Announcing {
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
        });
        out.send(conn, request.as_bytes());
        self.course.left(stats.left == 0);
        true
    }

    /// Bytes of a connection; `None` if it is not ours.
    pub fn got_bytes(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        hosts: &Hosts,
        now: Time,
        out: &mut Outbox,
    ) -> Option<Option<Heard>> {
        let asking = self.asking.as_mut().filter(|asking| asking.conn == conn)?;
        asking.came.extend_from_slice(bytes);
        if asking.came.len() > HEAD_BYTES_MAX + BODY_BYTES_MAX {
            return Some(Some(self.failed("the answer is larger than 1 MiB".into(), now, out)));
        }
        Some(self.read(false, hosts, now, out))
    }

    /// The end of a connection; `None` if it is not ours.
    pub fn got_closed(
        &mut self,
        conn: ConnId,
        why: Closed,
        hosts: &Hosts,
        now: Time,
        out: &mut Outbox,
    ) -> Option<Option<Heard>> {
        if !self.is_asking(conn) {
            return None;
        }
        if self.asking.as_ref().is_some_and(|asking| asking.connected) {
            return Some(self.read(true, hosts, now, out));
        }
        let why = if why == Closed::Refused { "nobody listens there" } else { "no connection" };
        Some(Some(self.failed(why.into(), now, out)))
    }

    fn read(&mut self, ended: bool, hosts: &Hosts, now: Time, out: &mut Outbox) -> Option<Heard> {
        let asking = self.asking.as_mut()?;
        let came = std::mem::take(&mut asking.came);
        match reply::read(&came, ended) {
            Ok(None) => {
                asking.came = came;
                None
            }
            Ok(Some(reply)) => self.got_reply(&reply, hosts, now, out),
            Err(why) => Some(self.failed(why.into(), now, out)),
        }
    }

    fn got_reply(
        &mut self,
        reply: &Reply<'_>,
        hosts: &Hosts,
        now: Time,
        out: &mut Outbox,
    ) -> Option<Heard> {
        if let (300..=399, Some(to)) = (reply.status, &reply.location) {
            return match self.redirected(to, hosts) {
                Ok((to, count)) => {
                    if let Some(asking) = &self.asking {
                        out.close(asking.conn);
                    }
                    self.ask(now, to, count, out);
                    None
                }
                Err(why) => Some(self.failed(why, now, out)),
            };
        }
        match reply::announced(&reply.body) {
            Ok(Said::Answer(said)) => Some(self.got_answer(said, now, out)),
            Ok(Said::Failure(text)) => {
                self.hang_up(out);
                self.try_later(now);
                Some(Heard::Refused(text))
            }
            // A page for people says less than its status.
            Err(_) if reply.status != 200 => {
                Some(self.failed(format!("HTTP status {}", reply.status), now, out))
            }
            Err(why) => Some(self.failed(why.into(), now, out)),
        }
    }

    /// Where a redirection points, and the how manieth it is.
    fn redirected(&self, to: &str, hosts: &Hosts) -> Result<((SocketAddr, Target), u32), String> {
        let Some(asking) = &self.asking else { return Err("nobody asked".into()) };
        if asking.redirections >= REDIRECTIONS_MAX {
            return Err(format!("it sends us on more than {REDIRECTIONS_MAX} times"));
        }
        let count = asking.redirections + 1;
        if to.starts_with('/') && !to.starts_with("//") {
            let (at, target) = &asking.to;
            let url = tracker_url::read(&format!("http://{}{to}", target.host))?;
            return Ok(((*at, Target::of(&url)), count));
        }
        let url = tracker_url::read(to).map_err(|why| format!("it sends us elsewhere: {why}"))?;
        if url.scheme != Scheme::Http || !to.contains("://") {
            return Err(format!("it sends us to {}", foreign(to)));
        }
        let at = hosts.find(&url.at, url.scheme.port());
        let Some(at) = at else {
            let host = foreign(&url.at.host);
            return Err(format!("it sends us to {host}, whose address is not known"));
        };
        if filter::keep(&[at], self.tracker, &[]).is_empty() {
            crate::mark!("B16");
            return Err(format!("it sends us to {at}, where no tracker of strangers is"));
        }
        Ok(((at, Target::of(&url)), count))
    }

    fn got_answer(&mut self, said: reply::Announced, now: Time, out: &mut Outbox) -> Heard {
        self.hang_up(out);
        self.failures = 0;
        self.tracker_id = said.tracker_id.or(self.tracker_id.take());
        if self.course.over_if_stopping() {
            return Heard::Stopped;
        }
        let interval = strangers_interval(said.interval_s, &mut self.rng);
        self.course.answered(now, interval, now + interval);
        Heard::Peers {
            peers: filter::keep(&said.peers, self.tracker, &self.identity.own),
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

    fn failed(&mut self, why: String, now: Time, out: &mut Outbox) -> Heard {
        self.hang_up(out);
        let stopped = self.course.is_stopping();
        self.try_later(now);
        if stopped { Heard::Stopped } else { Heard::Failed(why) }
    }
}
