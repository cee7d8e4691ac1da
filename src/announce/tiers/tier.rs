//! One tier of trackers (BEP 12): which of them is at hand, and the conversations with it.

use crate::announce::http::HttpAnnouncer;
use crate::announce::udp::{Announcer, Identity, refused_wait};
use crate::announce::whereabouts::Whereabouts;
use crate::core::id::{InfoHash, PeerId};
use crate::core::io::Outbox;
use crate::core::report::foreign;
use crate::core::rng::Rng;
use crate::core::time::Time;
use crate::wire::tracker_url::{self, Scheme, TrackerUrl};
use std::net::{IpAddr, SocketAddr};

/// How a tracker is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Road {
    /// With path and query (BEP 41).
    Udp(Whereabouts, Vec<u8>),
    /// Its host is looked up for each question.
    Http(TrackerUrl),
    /// Not at all, and why.
    None(String),
}

#[derive(Clone, Debug)]
pub struct Tracker {
    pub shown: String,
    pub road: Road,
    pub failures: u32,
    /// It is left alone until then.
    pub rests_until: Time,
}

/// One conversation, over either road.
#[derive(Clone, Debug)]
pub enum Talk {
    Udp(Box<Announcer>),
    Http(Box<HttpAnnouncer>),
}

#[derive(Clone, Debug, Default)]
pub struct Tier {
    pub trackers: Vec<Tracker>,
    pub current: usize,
    pub talks: Vec<(InfoHash, Talk)>,
    /// The tracker at hand answered for one identity at least.
    pub answered: bool,
    /// It is announced to; the others wait until those before them fail.
    pub is_asked: bool,
}

/// Who announces.
#[derive(Clone, Debug)]
pub struct Us {
    pub peer_id: PeerId,
    pub own: Vec<SocketAddr>,
    pub key: u32,
    /// The one address at which we take connections, if there is but one.
    pub at: Option<IpAddr>,
}

impl Talk {
    pub fn deadline(&self) -> Time {
        match self {
            Talk::Udp(talk) => talk.deadline(),
            Talk::Http(talk) => talk.deadline(),
        }
    }
}

impl Tracker {
    pub fn new(url: &str) -> Tracker {
        let (shown, road) = match tracker_url::read(url) {
            Err(why) => {
                (foreign(url.split(['?', '#']).next().unwrap_or_default()), Road::None(why))
            }
            Ok(url) => {
                let host = url.at.with_port(url.scheme.port());
                let shown = format!("{}://{}", url.scheme.name(), foreign(&host));
                let road = match url.scheme {
                    Scheme::Udp => {
                        let place = Whereabouts::new(&url.at, url.scheme.port());
                        Road::Udp(place, url.path.into_bytes())
                    }
                    Scheme::Http | Scheme::Https => Road::Http(url),
                };
                (shown, road)
            }
        };
        Tracker { shown, road, failures: 0, rests_until: Time::ZERO }
    }
}

impl Tier {
    pub fn at_hand_mut(&mut self) -> Option<&mut Tracker> {
        self.trackers.get_mut(self.current)
    }

    /// Whether any of its trackers can be asked.
    pub fn is_of_use(&self) -> bool {
        self.trackers.iter().any(|tracker| !matches!(tracker.road, Road::None(_)))
    }

    /// When the host of the tracker at hand is to be looked up.
    pub fn look_up_at(&self) -> Time {
        match self.trackers.get(self.current).map(|tracker| &tracker.road) {
            Some(Road::Udp(place, _)) if self.is_asked => place.deadline(),
            _ => Time::NEVER,
        }
    }

    /// Begins to announce one info-hash to the tracker at hand, as soon as it is known where that
    /// is.
    pub fn begin(&mut self, info_hash: InfoHash, who: &Us, now: Time, rng: &mut Rng) {
        let Some(tracker) = self.trackers.get_mut(self.current) else { return };
        let Us { peer_id, own, key, at: ours } = who.clone();
        let (who, seed) = (Identity { info_hash, peer_id, key, own }, rng.next_u64());
        let at = tracker.rests_until.max(now);
        let talk = match &mut tracker.road {
            Road::None(_) => return,
            Road::Udp(place, path) => {
                place.not_before(at);
                let Some(tracker) = place.known() else { return };
                let mut talk = Announcer::among_strangers(tracker, who, path.clone(), seed);
                talk.start(at);
                Talk::Udp(Box::new(talk.from(ours)))
            }
            Road::Http(url) => {
                let mut talk = HttpAnnouncer::new(url.clone(), who, seed);
                talk.start(at);
                Talk::Http(Box::new(talk.from(ours)))
            }
        };
        self.talks.push((info_hash, talk));
    }

    /// The tracker at hand failed: the next one of the tier has its turn, unless it answers for
    /// another identity or there is no other. -> whether all of the tier have failed.
    pub fn go_on(
        &mut self,
        hashes: &[InfoHash],
        who: &Us,
        now: Time,
        out: &mut Outbox,
        rng: &mut Rng,
    ) -> bool {
        let reachable = |tracker: &&Tracker| !matches!(tracker.road, Road::None(_));
        let others = self.trackers.iter().filter(reachable).count() > 1;
        if std::mem::take(&mut self.answered) || hashes.is_empty() {
            return false;
        }
        if !others {
            return true;
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
        self.trackers.iter().filter(reachable).all(|tracker| tracker.failures > 0)
    }
}
