//! Trackers of ours, as a person or a magnet link names them.

use super::values::HostPort;
use crate::wire::token::{self, Bearer};
pub use crate::wire::tracker_url::{Scheme, TrackerUrl, read};

/// A tracker of ours, as a person or a magnet link names it: `HOST[:PORT]`, or a URL with the path
/// `/announce` or none, in which there may be a token. What it speaks is on one port, so that the
/// scheme says nothing but which port is meant where none is named.
pub fn ours(text: &str) -> Result<(HostPort, Option<Bearer>), String> {
    let TrackerUrl { scheme, mut at, path } = read(text)?;
    if scheme == Scheme::Https {
        return Err("trackers of lmk speak no TLS; write http:// or udp://".to_owned());
    }
    if scheme == Scheme::Http {
        at.port = at.port.or(Some(scheme.port()));
    }
    let bare = path.split('?').next().unwrap_or_default();
    if !matches!(bare, "" | "/" | "/announce") && !bare.starts_with("/announce/") {
        return Err("after the port comes /announce, /announce/TOKEN or nothing".to_owned());
    }
    let bearer = match token::in_url_data(path.as_bytes()).map(std::str::from_utf8) {
        None => None,
        Some(text) => {
            let bearer = text.ok().and_then(Bearer::read);
            Some(
                bearer
                    .ok_or("what stands for a token in the URL is none; `lmk token` makes one")?,
            )
        }
    };
    Ok((at, bearer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = include_str!("../../tests/vectors/lmk/token_all.txt");

    #[test]
    fn a_tracker_of_ours_is_named_as_its_magnet_links_name_it() {
        let token = TOKEN.trim();
        let bearer = Bearer::read(token);
        assert!(bearer.is_some());
        let made = |host: &str, port, bearer: &Option<Bearer>| {
            Ok((HostPort { host: host.into(), port }, bearer.clone()))
        };
        for text in ["box", "udp://box", "udp://box/", "udp://box/announce", "box/announce"] {
            assert_eq!(ours(text), made("box", None, &None), "{text}");
        }
        for text in ["[::1]:7", "udp://[::1]:7", "udp://[::1]:7/announce", "http://[::1]:7"] {
            assert_eq!(ours(text), made("::1", Some(7), &None), "{text}");
        }
        assert_eq!(ours("http://box/announce"), made("box", Some(80), &None));
        for text in ["udp://box:7/announce?auth=", "udp://box:7/announce/", "box:7/?auth="] {
            assert_eq!(ours(&format!("{text}{token}")), made("box", Some(7), &bearer), "{text}");
        }
        assert_eq!(ours(&format!("http://box:7/announce/{token}?lmk=1")).unwrap().1, bearer);
        for bad in ["udp://box:7/SECRET", "box/announceSECRET", "udp://box/announce/SECRET"] {
            let said = ours(bad).expect_err(bad);
            assert!(!said.contains("SECRET"), "{said}");
        }
    }

    #[test]
    fn urls_come_in_every_customary_form() {
        let made = |host: &str, port, path: &str| {
            let at = HostPort { host: host.into(), port };
            Ok(TrackerUrl { scheme: Scheme::Udp, at, path: path.into() })
        };
        assert_eq!(read("10.0.0.1"), made("10.0.0.1", None, ""));
        assert_eq!(read("box:7"), made("box", Some(7), ""));
        assert_eq!(read("[::1]:7"), made("::1", Some(7), ""));
        assert_eq!(read("udp://box:7"), made("box", Some(7), ""));
        assert_eq!(read("UDP://box:7/"), made("box", Some(7), ""));
        assert_eq!(read("udp://[::1]:7/announce?a=b#c"), made("::1", Some(7), "/announce?a=b"));
        assert_eq!(read("udp://box?a=b"), made("box", None, "/?a=b"));
    }

    #[test]
    fn http_has_a_port_of_its_own() {
        let url = read("http://box/x/announce?a").unwrap();
        assert_eq!((url.scheme, url.scheme.port()), (Scheme::Http, 80));
        assert_eq!((url.at.port, url.path.as_str()), (None, "/x/announce?a"));
    }

    #[test]
    fn what_is_no_url_is_told_in_one_line_without_its_path() {
        for (bad, says) in [
            ("", "no address"),
            ("udp://", "no address"),
            ("udp://h:0/", "port 0"),
            ("https://h:0/SECRET", "port 0"),
            ("ftp://h/SECRET", "ftp"),
            ("udp://u:SECRET@h/", "user name"),
            ("udp://h:x/SECRET", "port"),
            ("udp://h/SECRET\u{1b}[2J", "escape"),
            ("udp://h/SECRET x", "escape"),
        ] {
            let said = read(bad).expect_err(bad);
            assert!(said.contains(says) && !said.contains("SECRET"), "{bad}: {said}");
        }
    }
}
