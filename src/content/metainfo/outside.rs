//! What a .torrent says beside its info dict: trackers, web seeds, and who made it when. Nothing of
//! it is proven by a hash, and nothing of it makes a good torrent bad: what has the wrong type or
//! would be too much is passed over.

use crate::core::bencode::{Limits, Mode, Value, Writer, parse};
use crate::core::limits::WEB_SEEDS_MAX;
use crate::core::mark::mark;

/// Trackers kept of one torrent, and web seeds too.
pub const URLS_MAX: usize = 64;
/// Longest URL kept, bytes.
pub const URL_BYTES_MAX: usize = 2048;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outside {
    /// Tracker URLs, each once: those of a tier are alternatives, the first tier comes first (BEP
    /// 12).
    pub tiers: Vec<Vec<String>>,
    /// URLs that serve the files over HTTP (BEP 19).
    pub web_seeds: Vec<String>,
    pub comment: Option<String>,
    pub created_by: Option<String>,
    /// Unix seconds.
    pub created_s: Option<u64>,
    /// URLs that were there and are not kept: of another scheme, broken, or too many.
    pub passed_over: u64,
}

impl Outside {
    /// Reads the dictionary that holds `info`.
    pub fn read(torrent: Value) -> Outside {
        let text = |key| {
            let bytes = torrent.get(key)?.bytes()?;
            Some(String::from_utf8_lossy(bytes).into_owned())
        };
        let mut outside = Outside {
            comment: text(b"comment".as_slice()),
            created_by: text(b"created by"),
            created_s: torrent.get(b"creation date").and_then(|date| date.uint()),
            ..Outside::default()
        };
        outside.read_trackers(torrent);
        if let Some(seeds) = torrent.get(b"url-list") {
            let one = seeds.bytes().is_some_and(|url| !url.is_empty());
            for url in one.then_some(seeds).into_iter().chain(seeds.items()) {
                let url = outside.url(url, is_web_seed);
                let room = outside.web_seeds.len() < URLS_MAX;
                let fresh = url.filter(|url| !outside.web_seeds.contains(url));
                outside.passed_over += u64::from(fresh.is_some() && !room);
                outside.web_seeds.extend(fresh.filter(|_| room));
            }
        }
        outside
    }

    /// A list of tiers with anything in it counts alone (BEP 12).
    fn read_trackers(&mut self, torrent: Value) {
        if let Some(tiers) = torrent.get(b"announce-list") {
            for tier in tiers.items() {
                self.tiers.push(Vec::new());
                for url in tier.items() {
                    self.read_tracker(url);
                }
            }
        }
        self.tiers.retain(|tier| !tier.is_empty());
        if let (true, Some(url)) = (self.tiers.is_empty(), torrent.get(b"announce")) {
            self.tiers.push(Vec::new());
            self.read_tracker(url);
            self.tiers.retain(|tier| !tier.is_empty());
        }
    }

    fn read_tracker(&mut self, url: Value) {
        let Some(url) = self.url(url, is_tracker) else { return };
        let mut known = self.tiers.iter().flatten();
        if known.any(|other| *other == url) {
            return;
        }
        let room = self.tiers.iter().map(Vec::len).sum::<usize>() < URLS_MAX;
        match self.tiers.last_mut().filter(|_| room) {
            Some(tier) => tier.push(url),
            None => {
                mark!("A24");
                self.passed_over += 1;
            }
        }
    }

    fn url(&mut self, url: Value, is_taken: fn(&str) -> bool) -> Option<String> {
        let text = url.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let taken = text.map(str::trim).filter(|text| is_taken(text));
        self.passed_over += u64::from(taken.is_none());
        taken.map(str::to_owned)
    }

    /// Writes the keys that stand before `info`, in their order.
    pub fn write_before(&self, w: &mut Writer) {
        let mut urls = self.tiers.iter().flatten();
        if let Some(first) = urls.next() {
            w.key(b"announce").bytes(first.as_bytes());
        }
        if urls.next().is_some() {
            w.key(b"announce-list").begin_list();
            for tier in &self.tiers {
                w.begin_list();
                for url in tier {
                    w.bytes(url.as_bytes());
                }
                w.end();
            }
            w.end();
        }
        if let Some(comment) = &self.comment {
            w.key(b"comment").bytes(comment.as_bytes());
        }
        if let Some(maker) = &self.created_by {
            w.key(b"created by").bytes(maker.as_bytes());
        }
        if let Some(created_s) = self.created_s {
            w.key(b"creation date").uint(created_s);
        }
    }

    /// Writes the keys that stand behind `piece layers`.
    pub fn write_behind(&self, w: &mut Writer) {
        if self.web_seeds.is_empty() {
            return;
        }
        w.key(b"url-list").begin_list();
        for url in &self.web_seeds {
            w.bytes(url.as_bytes());
        }
        w.end();
    }
}

/// A bencoded `url-list` of its own; what cannot be one is passed over.
pub fn read_web_seeds(bytes: &[u8]) -> Vec<String> {
    let Ok(doc) = parse(bytes, Mode::Strict, Limits::METAINFO) else { return Vec::new() };
    let urls = doc.root().items().filter_map(|url| std::str::from_utf8(url.bytes()?).ok());
    urls.filter(|url| is_web_seed(url)).take(WEB_SEEDS_MAX).map(str::to_owned).collect()
}

/// A bencoded `url-list`; `None` if there is no URL.
pub fn write_web_seeds(urls: &[String]) -> Option<Vec<u8>> {
    let mut w = Writer::new();
    w.begin_list();
    for url in urls {
        w.bytes(url.as_bytes());
    }
    w.end();
    (!urls.is_empty()).then(|| w.finish())
}

/// Whether text is the URL of a tracker: UDP (BEP 15) or HTTP (BEP 3).
pub fn is_tracker(url: &str) -> bool {
    is_url(url, &["udp", "http", "https"])
}

/// Whether text is the URL of a web seed that is fetched over HTTP (BEP 19).
pub fn is_web_seed(url: &str) -> bool {
    is_url(url, &["http", "https"])
}

/// `SCHEME://HOST...` in visible characters.
fn is_url(url: &str, schemes: &[&str]) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let visible = |c: char| !c.is_control() && !c.is_whitespace();
    schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme))
        && !host.is_empty()
        && url.len() <= URL_BYTES_MAX
        && url.chars().all(visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Outside {
        Outside::read(parse(text.as_bytes(), Mode::Strict, Limits::METAINFO).unwrap().root())
    }

    #[test]
    fn tiers_keep_their_order_and_each_tracker_is_there_once() {
        let found = read(
            "d8:announce8:udp://z/13:announce-listll8:udp://a/8:udp://b/el8:udp://a/\
             el9:http://c/i7e4:junkel8:wss://d/ee7:comment2:hi13:creation datei5ee",
        );
        assert_eq!(found.tiers, [vec!["udp://a/", "udp://b/"], vec!["http://c/"]]);
        assert_eq!((found.passed_over, found.created_s), (3, Some(5)));
        assert_eq!(found.comment.as_deref(), Some("hi"));
        assert_eq!(read("d8:announce8:udp://z/e").tiers, [["udp://z/"]]);
        assert_eq!(read("d8:announce8:udp://z/13:announce-listlleleee").tiers, [["udp://z/"]]);
    }

    #[test]
    fn nothing_outside_of_info_makes_a_torrent_bad() {
        for text in [
            "d8:announcei7e13:announce-list1:x7:commentle8:url-listi5ee",
            "d13:announce-listld1:a1:beee",
            "d13:creation datei-7e8:url-list0:e",
            "d8:url-list8:udp://a/e",
        ] {
            let found = read(text);
            assert_eq!(Outside { passed_over: 0, ..found }, Outside::default(), "{text}");
        }
        let many = (0..200).map(|n| format!("l14:udp://host{n:03}/e")).collect::<String>();
        let found = read(&format!("d13:announce-listl{many}ee"));
        assert_eq!((found.tiers.len(), found.passed_over), (URLS_MAX, 200 - URLS_MAX as u64));
    }

    #[test]
    fn web_seeds_are_one_string_or_a_list() {
        assert_eq!(read("d8:url-list9:http://a/e").web_seeds, ["http://a/"]);
        assert_eq!(read("d8:url-listl9:http://a/9:http://a/6:ftp://ee").web_seeds, ["http://a/"]);
    }
}
