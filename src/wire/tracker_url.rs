//! URLs of trackers: `udp://HOST[:PORT]/...`, `http://HOST[:PORT]/announce...`, and `HOST[:PORT]`
//! for UDP.

use crate::core::report::foreign;
use std::net::{IpAddr, Ipv6Addr};

/// The customary port of a tracker.
pub const TRACKER_PORT: u16 = 6969;

/// A host with or without a port, as typed. An IPv6 address has lost its brackets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPort {
    pub host: String,
    pub port: Option<u16>,
}

impl HostPort {
    /// `HOST:PORT` or `[v6]:PORT`, with `port_default` where none was typed.
    pub fn with_port(&self, port_default: u16) -> String {
        let port = self.port.unwrap_or(port_default);
        match self.host.contains(':') {
            true => format!("[{}]:{port}", self.host),
            false => format!("{}:{port}", self.host),
        }
    }
}

/// `HOST`, `HOST:PORT`, `[v6]`, `[v6]:PORT` or a bare IPv6 address.
pub fn host_port(text: &str) -> Result<HostPort, String> {
    let wrong = |why: &str| format!("'{text}' is no address ({why}); write HOST or HOST:PORT");
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or_else(|| wrong("']' is missing"))?;
        let bare = inside.split('%').next().unwrap_or_default();
        if bare.parse::<Ipv6Addr>().is_err() {
            return Err(wrong("between [ and ] stands no IPv6 address"));
        }
        match after.strip_prefix(':') {
            Some(port) => (inside, Some(port)),
            None if after.is_empty() => (inside, None),
            None => return Err(wrong("after ']' comes :PORT or nothing")),
        }
    } else if text.parse::<IpAddr>().is_ok() {
        (text, None)
    } else {
        match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err(wrong("an IPv6 address with a port is written [ADDR]:PORT"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    if host.is_empty() || host.contains(odd) {
        return Err(wrong("the host is missing or is not one"));
    }
    let port = match port {
        None => None,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(port.parse().map_err(|_| wrong("a port is a number from 0 to 65535"))?)
        }
        Some(_) => return Err(wrong("a port is a number from 0 to 65535")),
    };
    Ok(HostPort { host: host.to_owned(), port })
}

/// How a tracker is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    Udp,
    Http,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Udp => "udp",
            Scheme::Http => "http",
        }
    }

    /// The port where none is said.
    pub fn port(self) -> u16 {
        match self {
            Scheme::Udp => TRACKER_PORT,
            Scheme::Http => 80,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackerUrl {
    pub scheme: Scheme,
    pub at: HostPort,
    /// Path and query, from the slash on; empty when there is none. There may be a token in it.
    pub path: String,
}

/// Reads a URL or says in one line what is wrong. No such line repeats the path.
pub fn read(text: &str) -> Result<TrackerUrl, String> {
    let (scheme, rest) = match text.split_once("://") {
        None => (Scheme::Udp, text),
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "udp" => (Scheme::Udp, rest),
            "http" => (Scheme::Http, rest),
            "https" => {
                let line = "https:// needs TLS, which is not built yet; try http:// or udp://";
                return Err(line.to_owned());
            }
            _ => {
                let scheme = foreign(scheme);
                return Err(format!("'{scheme}://' is no tracker's; write udp:// or http://"));
            }
        },
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if host.contains('@') {
        return Err("a user name before the host is not sent; leave it out".to_owned());
    }
    let at = host_port(host).map_err(|why| foreign(&why))?;
    if at.port == Some(0) {
        return Err("port 0 is nobody's".to_owned());
    }
    if path.bytes().any(|byte| byte <= b' ' || byte > b'~') {
        return Err("the path has bytes that a URL must escape".to_owned());
    }
    let slash = if path.starts_with('?') { "/" } else { "" };
    let path = if path == "/" { String::new() } else { format!("{slash}{path}") };
    Ok(TrackerUrl { scheme, at, path })
}
