//! What a .torrent says beside its info dict: trackers, web seeds, and who made it when. Nothing of
//! it is proven by a hash, and nothing of it makes a good torrent bad: what has the wrong type or
//! would be too much is passed over.

use crate::core::bencode::{Limits, Mode, Value, Writer, parse};
use crate::core::limits::WEB_SEEDS_MAX;
use crate::core::mark::mark;
use crate::core::report::excerpt;
use std::collections::BTreeSet;

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
    /// Of one that was read an [`excerpt`], as of the next.
    pub comment: Option<String>,
    pub created_by: Option<String>,
    /// Unix seconds.
    pub created_s: Option<u64>,
    /// URLs that were there and are not kept: of another scheme, broken, or too many.
    pub passed_over: u64,
}

impl Outside {
    /// Reads the dictionary that holds `info`. Time grows with the entries alone, memory with what
    /// is kept.
    pub fn read(torrent: Value) -> Outside {
        let text = |key| {
            let bytes = torrent.get(key)?.bytes()?;
            Some(excerpt(bytes))
        };
        let (mut trackers, mut seeds) = (Urls::new(is_tracker), Urls::new(is_web_seed));
        let tiers = tiers(torrent, &mut trackers);
        let list = torrent.get(b"url-list");
        let one = list.filter(|list| list.bytes().is_some_and(|url| !url.is_empty()));
        let entries = one.into_iter().chain(list.iter().flat_map(|list| list.items()));
        let web_seeds = entries.filter_map(|url| seeds.fresh(url)).collect();
        Outside {
            tiers,
            web_seeds,
            comment: text(b"comment".as_slice()),
            created_by: text(b"created by"),
            created_s: torrent.get(b"creation date").and_then(|date| date.uint()),
            passed_over: trackers.passed_over + seeds.passed_over,
        }
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

/// A list of tiers with anything in it counts alone (BEP 12).
fn tiers(torrent: Value, urls: &mut Urls) -> Vec<Vec<String>> {
    let mut tiers: Vec<Vec<String>> = Vec::new();
    for tier in torrent.get(b"announce-list").iter().flat_map(|tiers| tiers.items()) {
        let fresh: Vec<String> = tier.items().filter_map(|url| urls.fresh(url)).collect();
        tiers.extend((!fresh.is_empty()).then_some(fresh));
    }
    if tiers.is_empty() {
        let only = torrent.get(b"announce").and_then(|url| urls.fresh(url));
        tiers.extend(only.map(|url| vec![url]));
    }
    tiers
}

/// URLs of one kind as they are found: which are kept, each once and [`URLS_MAX`] at most.
struct Urls {
    is_taken: fn(&str) -> bool,
    kept: BTreeSet<String>,
    passed_over: u64,
}

impl Urls {
    fn new(is_taken: fn(&str) -> bool) -> Urls {
        Urls { is_taken, kept: BTreeSet::new(), passed_over: 0 }
    }

    /// A URL that is to be kept and was not there yet.
    fn fresh(&mut self, url: Value) -> Option<String> {
        let text = url.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim);
        let Some(text) = text.filter(|text| (self.is_taken)(text)) else {
            self.passed_over += 1;
            return None;
        };
        if self.kept.contains(text) {
            return None;
        }
        if self.kept.len() >= URLS_MAX {
            mark!("A24");
            self.passed_over += 1;
            return None;
        }
        self.kept.insert(text.to_owned());
        Some(text.to_owned())
    }
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
    url.len() <= URL_BYTES_MAX
        && schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme))
        && !host.is_empty()
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

    /// Every entry is compared with what is kept: if that stays small, time grows with the entries
    /// alone.
    #[test]
    fn what_is_kept_while_reading_stays_small_however_many_there_are() {
        let urls = |n: usize| (0..n).map(|n| format!("17:http://host{n:05}/")).collect::<Vec<_>>();
        let each = urls(20_000).iter().map(|url| format!("l{url}e")).collect::<String>();
        let found = read(&format!("d13:announce-listl{each}e8:url-listl{}ee", urls(900).concat()));
        let many = (20_000 + 900 - 2 * URLS_MAX) as u64;
        assert_eq!((found.tiers.len(), found.web_seeds.len()), (URLS_MAX, URLS_MAX));
        assert_eq!(found.passed_over, many);
        let places = found.tiers.capacity().max(found.web_seeds.capacity());
        assert!(places <= 2 * URLS_MAX, "{places} places were needed");
        // Empty tiers are nothing, however many.
        assert_eq!(
            read(&format!("d13:announce-listl{}ee", "le".repeat(9_000))).tiers.capacity(),
            0
        );
    }

    #[test]
    fn of_a_long_comment_the_beginning_is_kept() {
        let long = "\u{1b}".repeat(50_000);
        let found = read(&format!("d7:comment50000:{long}10:created by50000:{long}e"));
        for text in [found.comment.unwrap(), found.created_by.unwrap()] {
            assert!(text.chars().count() < 1100 && text.contains("50000 bytes"), "{text}");
        }
    }

    #[test]
    fn web_seeds_are_one_string_or_a_list() {
        assert_eq!(read("d8:url-list9:http://a/e").web_seeds, ["http://a/"]);
        assert_eq!(read("d8:url-listl9:http://a/9:http://a/6:ftp://ee").web_seeds, ["http://a/"]);
    }
}
