//! Where a host is that is talked to for long: looked up before it is used, again after every
//! failure, and every 20 minutes in any case, for hosts move.

use super::filter;
use super::resolver::Found;
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use crate::wire::tracker_url::HostPort;
use std::net::{IpAddr, SocketAddr};

/// How long an address is believed.
const BELIEVED: Span = Span::secs(20 * 60);
/// How long after a look-up that failed the next one may be.
const FAILED: Span = Span::secs(60);

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whereabouts {
    host: String,
    port: u16,
    known: Option<SocketAddr>,
    /// When to look up next.
    look_at: Time,
    /// Who should be there did not answer since.
    doubted: bool,
}

/// What a look-up changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// It is where it was.
    Same,
    /// It is somewhere now, or somewhere else.
    Moved,
    /// It is not known where it is, and why; where it was before counts on.
    Lost(String),
}

impl Whereabouts {
    pub fn new(at: &HostPort, port_default: u16) -> Whereabouts {
        let port = at.port.unwrap_or(port_default);
        let known = at.host.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip.to_canonical(), port));
        // A number is where it is.
        let look_at = if known.is_some() { Time::NEVER } else { Time::ZERO };
        Whereabouts { host: at.host.clone(), port, known, look_at, doubted: false }
    }

    pub fn known(&self) -> Option<SocketAddr> {
        self.known.filter(|at| filter::is_somebody(at.ip()))
    }

    /// When the name is to be looked up.
    pub fn deadline(&self) -> Time {
        self.look_at
    }

    /// Not before this, unless it is known already.
    pub fn not_before(&mut self, at: Time) {
        if self.known.is_none() {
            self.look_at = at;
        }
    }

    /// The name, if it is to be looked up now; told once.
    pub fn take_lookup(&mut self, now: Time) -> Option<String> {
        if self.look_at > now {
            return None;
        }
        self.look_at = Time::NEVER;
        Some(self.host.clone())
    }

    /// Who should be there does not answer: it may have moved.
    pub fn doubt(&mut self, now: Time) {
        if self.host.parse::<IpAddr>().is_err() {
            mark!("G03");
            (self.look_at, self.doubted) = (now, true);
        }
    }

    /// Who should be there answers.
    pub fn trust(&mut self) {
        self.doubted = false;
    }

    /// A name was looked up; `None` if it is not this one.
    pub fn got_found(&mut self, found: &Found, now: Time) -> Option<Change> {
        if found.host != self.host {
            return None;
        }
        let addresses = match &found.addresses {
            Ok(addresses) => addresses,
            Err(why) => {
                self.look_at = now + FAILED;
                return Some(Change::Lost(why.clone()));
            }
        };
        self.look_at = now + if self.doubted { FAILED } else { BELIEVED };
        let mut fit =
            addresses.iter().map(IpAddr::to_canonical).filter(|ip| filter::is_somebody(*ip));
        if self.known.is_some_and(|known| addresses.contains(&known.ip())) {
            return Some(Change::Same);
        }
        let Some(ip) = fit.next() else {
            return Some(Change::Lost("its address is nobody's".to_owned()));
        };
        self.known = Some(SocketAddr::new(ip, self.port));
        (self.doubted, self.look_at) = (false, now + BELIEVED);
        Some(Change::Moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expect_mark;

    fn at(host: &str) -> Whereabouts {
        Whereabouts::new(&HostPort { host: host.into(), port: Some(80) }, 6969)
    }

    fn found(addresses: Result<&[&str], &str>) -> Found {
        let parse = |all: &[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect();
        Found { host: "t.example".into(), addresses: addresses.map(parse).map_err(str::to_owned) }
    }

    #[test]
    fn a_name_is_looked_up_before_use_after_failure_and_every_20_minutes() {
        let mut place = at("t.example");
        let mut now = Time::ZERO + Span::secs(1);
        assert_eq!((place.known(), place.take_lookup(now)), (None, Some("t.example".into())));
        assert_eq!(place.take_lookup(now), None, "it is under way");
        assert_eq!(place.got_found(&found(Ok(&["10.0.0.1"])), now), Some(Change::Moved));
        assert_eq!(place.known().unwrap().to_string(), "10.0.0.1:80");
        assert_eq!(place.deadline(), now + Span::secs(1200));
        now = place.deadline();
        assert!(place.take_lookup(now).is_some());
        let both = found(Ok(&["10.0.0.2", "10.0.0.1"]));
        assert_eq!(place.got_found(&both, now), Some(Change::Same));
        expect_mark!("G03", place.doubt(now));
        assert!(place.take_lookup(now).is_some());
        let lost = place.got_found(&found(Err("no")), now);
        assert_eq!((lost, place.deadline()), (Some(Change::Lost("no".into())), now + FAILED));
        assert!(place.known().is_some(), "it may be there still");
        // As long as it does not answer, what is known of it is asked for again and again.
        assert_eq!(place.got_found(&found(Ok(&["10.0.0.1"])), now), Some(Change::Same));
        assert_eq!(place.deadline(), now + FAILED);
        place.trust();
        assert_eq!(place.got_found(&found(Ok(&["10.0.0.1"])), now), Some(Change::Same));
        assert_eq!(place.deadline(), now + BELIEVED);
        assert_eq!(place.got_found(&found(Ok(&["0.0.0.0", "10.0.0.3"])), now), Some(Change::Moved));
        assert_eq!(place.known().unwrap().to_string(), "10.0.0.3:80");
        let other = Found { host: "u.example".into(), addresses: Ok(Vec::new()) };
        assert_eq!(place.got_found(&other, now), None);
    }

    #[test]
    fn a_number_is_where_it_is() {
        let mut place = at("10.0.0.9");
        assert_eq!(place.known().unwrap().to_string(), "10.0.0.9:80");
        place.doubt(Time::ZERO);
        assert_eq!((place.take_lookup(Time::ZERO), place.deadline()), (None, Time::NEVER));
        assert_eq!(at("224.0.0.1").known(), None);
    }
}
