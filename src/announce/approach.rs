//! The way to a host of the web: its name is looked up, it is dialled, and a redirection leads on.
//! The URL may be anybody's: where it leads is decided here, once, on the very address that is then
//! dialled, so that no name can mean another host between check and use.

use super::filter;
use super::resolver::Found;
use super::session::leaves_from;
use crate::core::id::ConnId;
use crate::core::io::{Closed, Distrust, Outbox, Transport};
use crate::core::mark::mark;
use crate::core::network::{is_public, meant};
use crate::core::report::foreign;
use crate::core::time::{Span, Time};
use crate::wire::http::query::Query;
use crate::wire::tracker_url::{self, Scheme, TrackerUrl};
use std::net::{IpAddr, SocketAddr};

/// Redirections followed for one question.
const REDIRECTIONS_MAX: u32 = 5;
/// How long one address has for a connection while there is another to try.
const DIAL: Span = Span::secs(8);
/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 4;

/// What is asked there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Announces and scrapes, from our address `ours` where they can leave from there.
    Tracker { ours: Option<IpAddr> },
    /// Parts of files.
    WebSeed,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// The name is to be looked up, or (true) is being.
    Looking(bool),
    /// Dialled, and what else may be tried.
    Dialling(ConnId, SocketAddr, Vec<SocketAddr>),
    Connected(ConnId, SocketAddr),
}

/// One connection to where a URL leads, from its name on.
#[derive(Clone, Debug)]
pub struct Approach {
    url: TrackerUrl,
    purpose: Purpose,
    /// Who sent us here, and how often we were sent on.
    from: Option<IpAddr>,
    redirections: u32,
    stage: Stage,
    /// When the next address is tried, if there is one.
    next_at: Time,
}

impl Approach {
    /// Begins; an address that stands in the URL is dialled at once. The error is for people.
    pub fn new(url: TrackerUrl, purpose: Purpose, out: &mut Outbox) -> Result<Approach, String> {
        Approach::begin(url, purpose, None, 0, out)
    }

    /// Goes straight to where the host was last.
    pub fn again(url: TrackerUrl, purpose: Purpose, at: SocketAddr, out: &mut Outbox) -> Approach {
        let (stage, next_at) = (Stage::Looking(true), Time::NEVER);
        let mut approach = Approach { url, purpose, from: None, redirections: 0, stage, next_at };
        approach.dial(at, Vec::new(), out);
        approach
    }

    fn begin(
        url: TrackerUrl,
        purpose: Purpose,
        from: Option<IpAddr>,
        redirections: u32,
        out: &mut Outbox,
    ) -> Result<Approach, String> {
        if url.scheme == Scheme::Udp {
            return Err("it is no URL of the web".to_owned());
        }
        let (stage, next_at) = (Stage::Looking(false), Time::NEVER);
        let mut approach = Approach { url, purpose, from, redirections, stage, next_at };
        if let Ok(ip) = approach.url.at.host.parse() {
            approach.got_addresses(&[ip], out)?;
        }
        Ok(approach)
    }

    pub fn url(&self) -> &TrackerUrl {
        &self.url
    }

    /// Whether we were sent on at least once.
    pub fn is_redirected(&self) -> bool {
        self.redirections > 0
    }

    /// The name to look up, told once.
    pub fn take_lookup(&mut self) -> Option<String> {
        let Stage::Looking(asked @ false) = &mut self.stage else { return None };
        *asked = true;
        Some(self.url.at.host.clone())
    }

    /// A name was looked up, perhaps ours.
    pub fn got_found(&mut self, found: &Found, now: Time, out: &mut Outbox) -> Result<(), String> {
        self.next_at = now + DIAL;
        if self.stage != Stage::Looking(true) || found.host != self.url.at.host {
            return Ok(());
        }
        match &found.addresses {
            Ok(addresses) => self.got_addresses(addresses, out),
            Err(why) => Err(format!("{}: {why}", foreign(&found.host))),
        }
    }

    fn got_addresses(&mut self, addresses: &[IpAddr], out: &mut Outbox) -> Result<(), String> {
        let port = self.url.at.port.unwrap_or(self.url.scheme.port());
        let (mut fit, mut why) = (Vec::new(), "its host has no address".to_owned());
        for ip in addresses.iter().map(IpAddr::to_canonical) {
            match self.may_be_asked(ip) {
                Ok(()) => fit.push(SocketAddr::new(ip, port)),
                Err(refusal) => why = refusal,
            }
        }
        if fit.is_empty() {
            return Err(why);
        }
        let mut fit = alternately(fit);
        let first = fit.remove(0);
        self.dial(first, fit, out);
        Ok(())
    }

    /// Whether what the URL asks may be asked of this address.
    fn may_be_asked(&self, ip: IpAddr) -> Result<(), String> {
        let refused = |why: &str| {
            let to = if self.from.is_some() { "it sends us to" } else { "its host is" };
            Err(format!("{to} {ip}, {why}"))
        };
        if !filter::is_somebody(ip) {
            mark!("C12");
            return refused("which is nobody's");
        }
        let is_near = meant(ip).is_loopback() || filter::is_link_local(ip);
        if let Some(from) = self.from {
            if is_public(from) && !is_public(ip) {
                mark!("C13");
                return refused("which is not public as it is itself");
            }
            if is_near && filter::keep(&[(ip, 1).into()], (from, 1).into(), &[]).is_empty() {
                mark!("B16");
                return refused("where no tracker of strangers is");
            }
        }
        let (path, query) = self.url.path.split_once('?').unwrap_or((&self.url.path, ""));
        let is_tracker = matches!(self.purpose, Purpose::Tracker { .. });
        if !is_public(ip) && is_tracker && leads_elsewhere(path) {
            mark!("C12");
            return refused("where a path that leads out of itself is not asked");
        }
        let fits = match self.purpose {
            // Services of the machine itself have other paths and take their orders in queries.
            Purpose::Tracker { .. } => {
                path.starts_with("/announce") && (self.from.is_some() || !says_all(query))
            }
            Purpose::WebSeed => query.is_empty(),
        };
        // Parts of files are had without orders from any machine of our own network.
        let is_guarded = is_near || (self.purpose == Purpose::WebSeed && !is_public(ip));
        if is_guarded && !fits {
            mark!("C12");
            return refused(match self.purpose {
                Purpose::Tracker { .. } => {
                    "where only a path /announce without an announce in it is asked"
                }
                Purpose::WebSeed => "where only a path without a query is asked",
            });
        }
        Ok(())
    }

    fn dial(&mut self, to: SocketAddr, rest: Vec<SocketAddr>, out: &mut Outbox) {
        let transport = match self.url.scheme {
            Scheme::Https => {
                let name = self.url.at.host.trim_end_matches('.').to_owned();
                Transport::Tls { name }
            }
            Scheme::Http | Scheme::Udp => Transport::Plain,
        };
        let from = match self.purpose {
            Purpose::Tracker { ours } => leaves_from(ours, to.ip()),
            Purpose::WebSeed => None,
        };
        self.stage = Stage::Dialling(out.dial_from(from, to, transport), to, rest);
    }

    /// The connection, if it is or is to be one.
    pub fn conn(&self) -> Option<ConnId> {
        match &self.stage {
            Stage::Looking(_) => None,
            Stage::Dialling(conn, ..) | Stage::Connected(conn, _) => Some(*conn),
        }
    }

    /// Where we are connected to.
    pub fn connected_to(&self) -> Option<SocketAddr> {
        match &self.stage {
            Stage::Connected(_, at) => Some(*at),
            _ => None,
        }
    }

    /// A dial succeeded; `false` if it is not ours.
    pub fn got_connected(&mut self, conn: ConnId) -> bool {
        let Stage::Dialling(ours, at, _) = self.stage else { return false };
        if ours == conn {
            self.stage = Stage::Connected(conn, at);
        }
        ours == conn
    }

    /// A connection of ours ended before it stood: the next address is tried, if there is one.
    pub fn got_closed(&mut self, why: Closed, now: Time, out: &mut Outbox) -> Result<(), String> {
        let is_invalid = matches!(why, Closed::Untrusted(fault) if fault != Distrust::Protocol);
        if !is_invalid && self.dial_next(now, out).is_some() {
            return Ok(());
        }
        Err(match why {
            Closed::Refused => "nobody listens there".to_owned(),
            Closed::Untrusted(fault) => {
                mark!("C15");
                let host = foreign(&self.url.at.host);
                format!("certificate of {host} is not valid: {}", fault.reason())
            }
            _ => "no connection".to_owned(),
        })
    }

    /// Dials the next address, if there is one. -> the dial that it takes the place of.
    fn dial_next(&mut self, now: Time, out: &mut Outbox) -> Option<ConnId> {
        let Stage::Dialling(conn, _, rest) = &mut self.stage else { return None };
        if rest.is_empty() {
            return None;
        }
        let (conn, next, rest) = (*conn, rest.remove(0), std::mem::take(rest));
        self.next_at = now + DIAL;
        self.dial(next, rest, out);
        Some(conn)
    }

    pub fn deadline(&self) -> Time {
        match &self.stage {
            Stage::Dialling(_, _, rest) if !rest.is_empty() => self.next_at,
            _ => Time::NEVER,
        }
    }

    /// An address that did not answer in time gives way to the next.
    pub fn poll(&mut self, now: Time, out: &mut Outbox) {
        if self.deadline() <= now
            && let Some(silent) = self.dial_next(now, out)
        {
            out.close(silent);
        }
    }

    /// What we wait for, in a word.
    pub fn waits_for(&self) -> &'static str {
        match self.stage {
            Stage::Looking(_) => "address",
            Stage::Dialling(..) => "connection",
            Stage::Connected(..) => "answer",
        }
    }

    pub fn hang_up(&mut self, out: &mut Outbox) {
        if let Some(conn) = self.conn() {
            out.close(conn);
        }
        self.stage = Stage::Looking(true);
    }

    /// Where a redirection leads: the connection at hand is closed, the next one begun.
    pub fn redirected(&mut self, to: &str, out: &mut Outbox) -> Result<Approach, String> {
        let from = self.connected_to().map(|at| at.ip());
        self.hang_up(out);
        if self.redirections >= REDIRECTIONS_MAX {
            mark!("C13");
            return Err(format!("it sends us on more than {REDIRECTIONS_MAX} times"));
        }
        let url = self.led_to(to)?;
        Approach::begin(url, self.purpose, from, self.redirections + 1, out)
    }

    fn led_to(&self, to: &str) -> Result<TrackerUrl, String> {
        let to = to.split('#').next().unwrap_or_default();
        let (scheme, host) =
            (self.url.scheme.name(), self.url.at.with_port(self.url.scheme.port()));
        let text = if to.starts_with("//") {
            format!("{scheme}:{to}")
        } else if to.starts_with('/') {
            format!("{scheme}://{host}{to}")
        } else if to.contains("://") {
            to.to_owned()
        } else {
            // Beside the last part of the path (RFC 3986, 5.2).
            let path = self.url.path.split('?').next().unwrap_or_default();
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            match to.strip_prefix('?') {
                Some(query) => format!("{scheme}://{host}{path}?{query}"),
                None => format!("{scheme}://{host}{folder}/{to}"),
            }
        };
        let url =
            tracker_url::read(&text).map_err(|why| format!("it sends us elsewhere: {why}"))?;
        let plain = url.scheme == Scheme::Http;
        if url.scheme == Scheme::Udp || (plain && self.url.scheme == Scheme::Https) {
            mark!("C13");
            let scheme = url.scheme.name();
            return Err(format!("it sends us from {} to {scheme}", self.url.scheme.name()));
        }
        Ok(url)
    }
}

/// Those that are tried, of both families in turn: one of them may be cut off as a whole.
fn alternately(all: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (mut v4, mut v6): (Vec<_>, Vec<_>) = all.into_iter().partition(SocketAddr::is_ipv4);
    let most = |other: usize| (ADDRESSES_MAX / 2).max(ADDRESSES_MAX.saturating_sub(other));
    let (most_v4, most_v6) = (most(v6.len()), most(v4.len()));
    v4.truncate(most_v4);
    v6.truncate(most_v6);
    let mut taken: Vec<_> = v4.into_iter().enumerate().chain(v6.into_iter().enumerate()).collect();
    // Stable: in each turn IPv4 comes first.
    taken.sort_by_key(|(turn, _)| *turn);
    taken.into_iter().map(|(_, addr)| addr).collect()
}

/// Whether some server would find another path than the one that stands there: by dot segments,
/// written out or escaped, or by slashes that are escaped.
fn leads_elsewhere(path: &str) -> bool {
    path.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        matches!(&*plain, "." | "..")
            || plain.contains('\\')
            || plain.contains("%2f")
            || plain.contains("%5c")
            || plain.contains("%25")
    })
}

/// Whether a query has what only an announce has.
fn says_all(query: &str) -> bool {
    const WORDS: [&str; 8] =
        ["info_hash", "peer_id", "port", "uploaded", "downloaded", "left", "event", "key"];
    let pairs = Query(query.as_bytes()).pairs();
    pairs.into_iter().any(|pair| match pair {
        Ok((key, _)) => WORDS.iter().any(|word| *key == *word.as_bytes()),
        Err(_) => true,
    })
}
