//! One announcing conversation (BEP 15): one tracker, one info-hash.

use super::filter;
use super::session::{Connection, Health, Pace, Reply, Session, jittered};
use crate::core::id::{InfoHash, PeerId};
use crate::core::io::Outbox;
use crate::core::report::SlotsRow;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::slot_word::SlotWord;
use crate::wire::udp::{AnnounceRequest, AnnounceResponse, Event, Response, action};
use std::net::SocketAddr;

/// Local networks lose little, and a tracker that restarts must be found quickly: far shorter waits
/// than those of BEP 15.
const PACE: Pace = Pace { waits_ms: &[1000, 2000, 4000, 8000, 15_000], patience: 2 };
/// Intervals a tracker may ask for, seconds.
const INTERVAL_S: std::ops::RangeInclusive<u64> = 5..=3600;
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
    life: Life,
    /// When the next announce begins, unless one is under way.
    next: Time,
    /// No hurried announce before this.
    hurry_from: Time,
    /// The event of the announce under way or next.
    event: Event,
    /// What to say after `started` was heard.
    completion: Completion,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// Not started, or over.
    Quiet,
    Running,
    Stopping,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Completion {
    /// It is not known yet whether content was missing at the start.
    Unknown,
    /// Content was missing at the start: `completed` may come.
    Open,
    /// To be said with the next announce that is free for it.
    ToSay,
    /// Said, or never to be said.
    Closed,
}

impl Announcer {
    pub fn new(tracker: SocketAddr, identity: Identity, seed: u64) -> Announcer {
        Announcer {
            session: Session::new(tracker, PACE, Rng::new(seed)),
            identity,
            life: Life::Quiet,
            next: Time::NEVER,
            hurry_from: Time::ZERO,
            event: Event::Started,
            completion: Completion::Unknown,
        }
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

    /// Announces from now on, `started` first.
    pub fn start(&mut self, now: Time) {
        if self.life == Life::Quiet {
            self.life = Life::Running;
            self.event = Event::Started;
            self.completion = Completion::Unknown;
            self.next = now;
        }
    }

    /// Everything is here: says so once, at once, if something was missing at the start.
    pub fn completed(&mut self, now: Time) {
        if self.completion != Completion::Open {
            return;
        }
        self.completion = Completion::ToSay;
        self.next = now;
        // A regular announce under way is overtaken; `started` is not.
        if self.event == Event::None {
            self.session.rest();
        }
    }

    /// The next announce leaves now, or 5 s after the last answer.
    pub fn hurry(&mut self, now: Time) {
        self.next = self.next.min(self.hurry_from.max(now));
    }

    /// Says `stopped` at once with the connection id there is. The process may end after this turn;
    /// if it lives on, the word is repeated until [`Heard::Stopped`].
    pub fn stop(&mut self, now: Time, stats: Stats, out: &mut Outbox) {
        // What never left needs no farewell.
        let heard_of = self.life == Life::Running
            && (self.event != Event::Started || self.completion != Completion::Unknown);
        self.life = Life::Quiet;
        self.next = Time::NEVER;
        self.session.rest();
        if heard_of {
            self.life = Life::Stopping;
            self.event = Event::Stopped;
            self.session.ask_last(now, action::ANNOUNCE);
            self.poll(now, stats, out);
        }
    }

    pub fn deadline(&self) -> Time {
        let next = if self.session.is_asking() { Time::NEVER } else { self.next };
        self.session.deadline().min(next)
    }

    /// Sends what is due.
    pub fn poll(&mut self, now: Time, stats: Stats, out: &mut Outbox) -> Option<Health> {
        if self.life == Life::Running && !self.session.is_asking() && self.next <= now {
            if self.completion == Completion::ToSay && self.event != Event::Started {
                self.event = Event::Completed;
            }
            self.session.ask(now, action::ANNOUNCE);
        }
        let (identity, event) = (&self.identity, self.event);
        let mut announced = false;
        let health = self.session.poll(now, out, |cid, tid, bytes| {
            announced = true;
            request(identity, stats, event, (cid, tid)).encode(bytes);
        });
        if announced && self.completion == Completion::Unknown {
            let complete = stats.left == 0;
            self.completion = if complete { Completion::Closed } else { Completion::Open };
        }
        health
    }

    /// A datagram came, perhaps for this conversation.
    pub fn got_datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) -> Option<Heard> {
        let ipv6 = self.tracker().is_ipv6();
        let read = |bytes: &[u8]| Response::decode(bytes, ipv6);
        match self.session.got(now, from, bytes, read)? {
            Reply::Answer(Response::Announce(answer)) => Some(self.got_answer(now, answer)),
            Reply::Answer(Response::Error { text, .. }) | Reply::Refused(text) => {
                self.next = now + jittered(REFUSED_AFTER, self.session.rng());
                self.over_if_stopping();
                Some(Heard::Refused(text))
            }
            Reply::Answer(_) => None,
        }
    }

    fn got_answer(&mut self, now: Time, answer: AnnounceResponse) -> Heard {
        if self.over_if_stopping() {
            return Heard::Stopped;
        }
        if self.event == Event::Completed {
            self.completion = Completion::Closed;
        }
        self.event = Event::None;
        let interval_s = u64::from(answer.interval_s).clamp(*INTERVAL_S.start(), *INTERVAL_S.end());
        crate::mark!("B18");
        let interval = jittered(Span::secs(interval_s), self.session.rng());
        self.hurry_from = now + HURRY_AFTER;
        self.next = if self.completion == Completion::ToSay { now } else { now + interval };
        Heard::Peers {
            peers: filter::keep(&answer.peers, self.tracker(), &self.identity.own),
            seeders: answer.seeders,
            leechers: answer.leechers,
            interval,
        }
    }

    fn over_if_stopping(&mut self) -> bool {
        let over = self.life == Life::Stopping;
        if over {
            self.life = Life::Quiet;
            self.next = Time::NEVER;
        }
        over
    }
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
        url_data: stats.slots.map(|slots| SlotWord::of(slots).url_data()).unwrap_or_default(),
    }
}
