//! A node's ties to its tracker: the control request, the catalogue connection it prepares, and one
//! announcer for each identity of the content. Ties that break are tied again; the node hears of it
//! once an outage.

mod answers;
mod torrents;

use crate::announce::catalogue::{self, CatalogueClient};
use crate::announce::control::{self, Control};
use crate::announce::session::Health;
use crate::announce::tiers::{self, Tiers};
use crate::announce::udp::{self, Announcer, Stats};
use crate::core::id::{ConnId, InfoHash, PeerId};
use crate::core::io::{Closed, Outbox};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::peer::Identity;
use crate::wire::catalogue::answer::Answer;
use crate::wire::catalogue::hello::NodeKey;
use crate::wire::catalogue::request::Request;
use crate::wire::control::Op;
use crate::wire::token::{Bearer, DENIED};
use std::net::SocketAddr;

/// A kept catalogue connection says something so often, well within the tracker's patience. Its end
/// is how a publisher learns at once that the tracker restarted.
const PING: Span = Span::secs(20);
/// The longest wait before the catalogue is dialled again.
const RETRY_MAX_S: u64 = 30;

/// What the ties bring.
#[derive(Debug)]
pub enum Tie {
    /// The tracker answered; `open` if it serves a network.
    Ready {
        open: bool,
        /// It lost its names so many seconds ago: they may be on their way back.
        returning_s: Option<u32>,
    },
    /// The catalogue takes requests.
    Opened,
    Answered {
        number: u64,
        answer: Answer,
    },
    /// The catalogue connection ended; it is tied again by itself.
    Lost(String),
    /// An announce was answered.
    Named {
        identity: Identity,
        peers: Vec<SocketAddr>,
    },
    /// The tracker is silent, told once an outage.
    Silent,
    Back,
    /// The tracker will not have us; it is asked again later.
    Refused(String),
    /// The tracker is private, and we have no token or one that does not count (any more).
    Denied,
    /// What came of an announce to a tracker of the torrent.
    Heard(tiers::News),
}

#[derive(Debug)]
pub struct Ties {
    tracker: SocketAddr,
    op: Op,
    node_key: Option<NodeKey>,
    token: Option<Bearer>,
    rng: Rng,
    control: Option<Control>,
    catalogue: Option<CatalogueClient>,
    announcers: Vec<(Identity, Announcer)>,
    /// The trackers of a torrent, and what is announced to them.
    tiers: Option<Tiers>,
    told: Vec<(Identity, InfoHash)>,
    /// Whether the tracker is used at all, and not only those of a torrent.
    used: bool,
    /// When to try for the catalogue again, and how often it failed in a row.
    retry: Time,
    failures: u32,
    ping: Time,
    /// Whether the catalogue connection is wanted at all.
    wanted: bool,
    /// The tracker answered the control request: it knows our word about slots.
    knows_slots: bool,
    silent: bool,
    news: Vec<Tie>,
}

impl Ties {
    pub fn new(tracker: SocketAddr, op: Op, token: Option<Bearer>, rng: Rng) -> Ties {
        Ties {
            tracker,
            op,
            node_key: None,
            token,
            rng,
            control: None,
            catalogue: None,
            announcers: Vec::new(),
            tiers: None,
            told: Vec::new(),
            used: true,
            retry: Time::NEVER,
            failures: 0,
            ping: Time::NEVER,
            wanted: true,
            knows_slots: false,
            silent: false,
            news: Vec::new(),
        }
    }

    /// Begins with the control request.
    pub fn start(&mut self, node_key: [u8; 32], now: Time, out: &mut Outbox) {
        self.node_key = Some(NodeKey(node_key));
        if !self.used {
            return;
        }
        self.ask_control(now, out);
    }

    fn ask_control(&mut self, now: Time, out: &mut Outbox) {
        let seed = self.rng.next_u64();
        self.retry = Time::NEVER;
        let control = Control::new(now, self.tracker, self.op, None, seed);
        self.control = Some(control.with_token(self.token.clone()));
        self.poll(Stats::default(), now, out);
    }

    /// Announces the content from now on.
    pub fn announce(
        &mut self,
        identities: &[(Identity, InfoHash)],
        (peer_id, own): (PeerId, &[SocketAddr]),
        stats: Stats,
        now: Time,
        out: &mut Outbox,
    ) {
        self.told.extend(identities);
        for (_, info_hash) in identities {
            if let Some(tiers) = &mut self.tiers {
                tiers.announce(*info_hash, (peer_id, own), now);
            }
        }
        let key = self.rng.next_u32();
        for (identity, info_hash) in identities.iter().filter(|_| self.used) {
            let (info_hash, own) = (*info_hash, own.to_vec());
            let who = udp::Identity { info_hash, peer_id, key, own };
            let announcer = Announcer::new(self.tracker, who, self.rng.next_u64());
            let mut announcer = announcer.with_token(self.token.clone());
            if let Some(connection) = self.control.as_ref().and_then(Control::connection) {
                announcer.share(connection);
            }
            announcer.start(now);
            self.announcers.push((*identity, announcer));
        }
        self.poll(stats, now, out);
    }

    pub fn is_announcing(&self, identity: Identity) -> bool {
        self.told.iter().any(|(ours, _)| *ours == identity)
    }

    pub fn completed(&mut self, stats: Stats, now: Time, out: &mut Outbox) {
        self.announcers.iter_mut().for_each(|(_, announcer)| announcer.completed(now));
        if let Some(tiers) = &mut self.tiers {
            tiers.completed(now, out);
        }
        self.poll(stats, now, out);
    }

    /// Announces soon: the sources ran out.
    pub fn hurry(&mut self, now: Time) {
        self.announcers.iter_mut().for_each(|(_, announcer)| announcer.hurry(now));
    }

    /// Says that we go.
    pub fn stop(&mut self, stats: Stats, now: Time, out: &mut Outbox) {
        self.stop_announcing(stats, now, out);
        self.hang_up(out);
    }

    /// Says that we are no source and want nothing.
    pub fn stop_announcing(&mut self, stats: Stats, now: Time, out: &mut Outbox) {
        let stats = self.shown(stats);
        for (_, announcer) in &mut self.announcers {
            announcer.stop(now, stats, out);
        }
        if let Some(tiers) = &mut self.tiers {
            tiers.stop(stats, now, out);
        }
    }

    /// The figures as this tracker takes them.
    fn shown(&self, stats: Stats) -> Stats {
        Stats { slots: stats.slots.filter(|_| self.knows_slots), ..stats }
    }

    /// The tracker cannot do now what was asked: the catalogue is tied again after a while.
    pub fn start_over(&mut self, now: Time, out: &mut Outbox) {
        if let Some(catalogue) = &mut self.catalogue {
            catalogue.close(out);
        }
        self.try_later(now);
    }

    /// The catalogue is not needed any more.
    pub fn hang_up(&mut self, out: &mut Outbox) {
        self.wanted = false;
        self.retry = Time::NEVER;
        if let Some(catalogue) = &mut self.catalogue {
            catalogue.close(out);
        }
    }

    /// Asks the catalogue; the number stands on the answer. `None` while there is no connection.
    pub fn ask(&mut self, request: Request, now: Time, out: &mut Outbox) -> Option<u64> {
        Some(self.catalogue.as_mut()?.ask(now, request, out))
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, number: u64, out: &mut Outbox) {
        if let Some(catalogue) = &mut self.catalogue {
            catalogue.unwatch(number, out);
        }
    }

    pub fn take_news(&mut self) -> Vec<Tie> {
        std::mem::take(&mut self.news)
    }

    pub fn deadline(&self) -> Time {
        let control = self.control.as_ref().map_or(Time::NEVER, Control::deadline);
        let catalogue = self.catalogue.as_ref().map_or(Time::NEVER, CatalogueClient::deadline);
        let announcers = self.announcers.iter().map(|(_, announcer)| announcer.deadline());
        let own = self.retry.min(self.ping);
        let own = own.min(self.tiers.as_ref().map_or(Time::NEVER, Tiers::deadline));
        announcers.min().unwrap_or(Time::NEVER).min(control).min(catalogue).min(own)
    }

    /// Sends what is due.
    pub fn poll(&mut self, stats: Stats, now: Time, out: &mut Outbox) {
        if self.retry <= now && self.wanted {
            self.ask_control(now, out);
        }
        if let Some(control) = &mut self.control
            && let Some(control::News::Health(health)) = control.poll(now, out)
        {
            self.got_health(health);
        }
        if let Some(heard) = self.catalogue.as_mut().and_then(|client| client.poll(now, out)) {
            self.got_heard(heard, now);
        }
        if self.ping <= now {
            self.ping = now + PING;
            self.ask(Request::Ping, now, out);
        }
        let stats = self.shown(stats);
        let mut healths = Vec::new();
        for (_, announcer) in &mut self.announcers {
            healths.extend(announcer.poll(now, stats, out));
        }
        healths.into_iter().for_each(|health| self.got_health(health));
        if let Some(tiers) = &mut self.tiers {
            tiers.poll(stats, now, out);
        }
        self.hear_tiers();
    }

    /// Several conversations notice one outage: it is told once.
    fn got_health(&mut self, health: Health) {
        match (health, self.silent) {
            (Health::NotAnswering { .. }, false) => {
                self.silent = true;
                self.news.push(Tie::Silent);
            }
            (Health::Back, true) => {
                self.silent = false;
                self.news.push(Tie::Back);
            }
            _ => {}
        }
    }

    pub fn got_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Time, out: &mut Outbox) {
        let heard = self.control.as_mut().and_then(|c| c.got_datagram(now, from, bytes));
        if let Some(heard) = heard {
            self.got_control(heard, now, out);
        }
        for (identity, announcer) in &mut self.announcers {
            match announcer.got_datagram(now, from, bytes) {
                Some(udp::Heard::Peers { peers, .. }) => {
                    self.news.push(Tie::Named { identity: *identity, peers });
                }
                Some(udp::Heard::Refused(text)) if text == DENIED => self.news.push(Tie::Denied),
                Some(udp::Heard::Refused(text)) => self.news.push(Tie::Refused(text)),
                Some(udp::Heard::Stopped | udp::Heard::Scraped(_)) | None => {}
            }
        }
        if let Some(tiers) = &mut self.tiers {
            tiers.got_datagram(from, bytes, now, out);
        }
    }

    fn try_later(&mut self, now: Time) {
        let wait_s = (1_u64 << self.failures.min(5)).min(RETRY_MAX_S);
        self.failures += 1;
        self.retry = if self.wanted { now + Span::secs(wait_s) } else { Time::NEVER };
        self.ping = Time::NEVER;
    }

    fn is_catalogue(&self, conn: ConnId) -> bool {
        self.catalogue.as_ref().is_some_and(|catalogue| catalogue.conn() == conn)
    }

    /// A dial succeeded; `false` if it is not ours.
    pub fn got_connected(
        &mut self,
        conn: ConnId,
        stats: Stats,
        now: Time,
        out: &mut Outbox,
    ) -> bool {
        if let Some(tiers) = &mut self.tiers
            && tiers.got_connected(conn, stats, out)
        {
            return true;
        }
        let ours = self.is_catalogue(conn);
        if let Some(catalogue) = self.catalogue.as_mut().filter(|_| ours) {
            catalogue.got_connected(now, out);
        }
        ours
    }

    pub fn got_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Time, out: &mut Outbox) -> bool {
        if !self.is_catalogue(conn) {
            let tiers = self.tiers.as_mut();
            return tiers.is_some_and(|tiers| tiers.got_bytes(conn, bytes, now, out));
        }
        let Some(catalogue) = &mut self.catalogue else { return false };
        for heard in catalogue.got_bytes(now, bytes, out) {
            self.got_heard(heard, now);
        }
        true
    }

    pub fn got_closed(&mut self, conn: ConnId, why: Closed, now: Time, out: &mut Outbox) -> bool {
        if !self.is_catalogue(conn) {
            let tiers = self.tiers.as_mut();
            return tiers.is_some_and(|tiers| tiers.got_closed(conn, why, now, out));
        }
        if let Some(heard) = self.catalogue.take().and_then(|mut client| client.lost(why)) {
            self.got_heard(heard, now);
        }
        true
    }

    fn got_heard(&mut self, heard: catalogue::Heard, now: Time) {
        let lost = match heard {
            catalogue::Heard::Opened { .. } => {
                self.failures = 0;
                self.ping = now + PING;
                return self.news.push(Tie::Opened);
            }
            catalogue::Heard::Answered { number, answer } => {
                return self.news.push(Tie::Answered { number, answer });
            }
            catalogue::Heard::Refused(status) if status.is_denial() => {
                self.try_later(now);
                return self.news.push(Tie::Denied);
            }
            catalogue::Heard::Refused(status) => format!("the catalogue answers {status:?}"),
            catalogue::Heard::Broken(what) => format!("the catalogue is broken: {what}"),
            catalogue::Heard::Silent => "the catalogue does not answer".to_owned(),
            catalogue::Heard::Lost(_) => "the catalogue connection ended".to_owned(),
        };
        self.try_later(now);
        if self.wanted {
            self.news.push(Tie::Lost(lost));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::io::Effect;
    use crate::core::report::SlotsRow;
    use crate::wire::control::{ControlRequest, ControlResponse, Status};
    use crate::wire::udp::{Request, Response};

    /// Answers what the ties send; the URLData of their announces.
    fn played(lmk: bool) -> Vec<Vec<u8>> {
        let tracker = "127.0.0.1:6969".parse().unwrap();
        let (mut ties, mut out) =
            (Ties::new(tracker, Op::Read, None, Rng::new(1)), Outbox::default());
        let slots = Some(SlotsRow { total: 8, free: 8, queued: 0 });
        let stats = Stats { left: 5, port: 6881, slots, ..Stats::default() };
        let mut now = Time::ZERO;
        ties.start([1; 32], now, &mut out);
        let mut told = Vec::new();
        for round in 0..40 {
            if round == 5 {
                let who = (PeerId(*b"-LM0100-ABCDEFGHIJKL"), &[][..]);
                ties.announce(&[(Identity::V1, InfoHash([1; 20]))], who, stats, now, &mut out);
            }
            let sent = std::mem::take(&mut out);
            for effect in &sent.effects {
                let Effect::Datagram { start, len, .. } = effect else { continue };
                let asked = sent.bytes(*start, *len);
                let mut answer = Vec::new();
                if let Some(control) = ControlRequest::decode(asked) {
                    let status = Status::Ready;
                    let ready = ControlResponse::bare(control.tid, 1, status);
                    if lmk {
                        ready.encode(&mut answer);
                    }
                } else if let Ok(Request::Connect { tid }) = Request::decode(asked) {
                    Response::Connect { tid, cid: 9 }.encode(false, &mut answer);
                } else if let Ok(Request::Announce(announce)) = Request::decode(asked) {
                    told.push(announce.url_data);
                }
                ties.got_datagram(tracker, &answer, now, &mut out);
            }
            now = now + Span::ms(500);
            ties.poll(stats, now, &mut out);
        }
        told
    }

    #[test]
    fn slots_are_told_to_a_tracker_that_answered_the_control_request() {
        let told = played(true);
        assert!(!told.is_empty() && told.iter().all(|data| data == b"/announce?lmk=01000800"));
        let told = played(false);
        assert!(!told.is_empty() && told.iter().all(Vec::is_empty));
    }
}
