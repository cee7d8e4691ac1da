//! URLs of trackers: `udp://HOST[:PORT]/...`, `http://HOST[:PORT]/announce...`, the same with
//! `https`, and `HOST[:PORT]` for UDP.

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
    Https,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Udp => "udp",
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port where none is said.
    pub fn port(self) -> u16 {
        match self {
            Scheme::Udp => TRACKER_PORT,
            Scheme::Http => 80,
            Scheme::Https => 443,
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

impl TrackerUrl {
    /// The host for the line of that name (RFC 9110, 7.2), with the port if it is not the usual
    /// one.
    pub fn host_line(&self) -> String {
        let usual = self.scheme.port();
        let whole = self.at.with_port(usual);
        match self.at.port.unwrap_or(usual) == usual && self.scheme != Scheme::Udp {
            true => whole.strip_suffix(&format!(":{usual}")).unwrap_or(&whole).to_owned(),
            false => whole,
        }
    }
}

/// Reads a URL or says in one line what is wrong. No such line repeats the path.
pub fn read(text: &str) -> Result<TrackerUrl, String> {
    let (scheme, rest) = match text.split_once("://") {
        None => (Scheme::Udp, text),
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "udp" => (Scheme::Udp, rest),
            "http" => (Scheme::Http, rest),
            "https" => (Scheme::Https, rest),
            _ => {
                crate::mark!("C12");
                let scheme = foreign(scheme);
                return Err(format!(
                    "'{scheme}://' is no tracker's; write udp://, http:// or https://"
                ));
            }
        },
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if host.contains('@') {
        crate::mark!("C12");
        return Err("a user name before the host is not sent; leave it out".to_owned());
    }
    let at = host_port(host).map_err(|why| foreign(&why))?;
    plain_host(&at.host)?;
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

/// A host means one thing to everybody who reads it: it is an address in its usual form, or a name
/// of the letters that DNS has. `127.1`, `0x7f000001` and `2130706433` are addresses to some, and
/// letters of other scripts may look like those of another name.
fn plain_host(host: &str) -> Result<(), String> {
    let bare = host.split('%').next().unwrap_or_default();
    if bare.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !host.chars().all(plain) {
        crate::mark!("C12");
        return Err("the host has letters that DNS has not; write its xn-- form".to_owned());
    }
    // As the URL Standard has it: what ends in a number is an address.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix(['0']).is_some_and(|rest| rest.starts_with(['x', 'X']));
    if is_number {
        crate::mark!("C12");
        return Err("the host is a number that is no address; write it as 192.0.2.1".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expect_mark;

    #[test]
    fn a_host_that_some_read_as_another_is_refused() {
        let odd = [
            "http://2130706433/announce",
            "http://0x7f000001/announce",
            "http://127.1/announce",
            "http://10.0.0.256/announce",
            "http://a.0x1/announce",
            "http://tr\u{430}cker.example/announce",
            "http://tracker\u{3002}example/announce",
            "http://a%2eb/announce",
            "http://tracker.example:80@127.0.0.1/announce",
            "https://user:word@tracker.example/announce",
            "gopher://tracker.example/",
            "file:///etc/passwd",
        ];
        for url in odd {
            assert!(expect_mark!("C12", read(url)).is_err(), "{url}");
        }
        for url in
            ["https://t.example./a", "https://1.example", "http://xn--e1a.example", "http://a_b/"]
        {
            assert!(read(url).is_ok(), "{url}");
        }
        let url = read("https://[2001:db8::1]:8443/announce?a=b").unwrap();
        assert_eq!(
            (url.scheme, url.at.with_port(443)),
            (Scheme::Https, "[2001:db8::1]:8443".into())
        );
        assert_eq!(url.path, "/announce?a=b");
    }
}
