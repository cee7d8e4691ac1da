//! Magnet links (BEP 9, BEP 52, BEP 53): made and read.

use crate::core::id::{Hash32, InfoHash};
use crate::core::limits::NAME_BYTES_MAX;
use crate::core::mark::mark;
use crate::core::report::counted;
use std::fmt;

/// Longest link read, bytes.
pub const MAGNET_BYTES_MAX: usize = 64 * 1024;
/// Trackers, web seeds and peers kept of one link, of each so many; the rest is passed over.
pub const MAGNET_LIST_MAX: usize = 64;

/// What a link says. `Display` writes it as a link.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Magnet {
    /// At least one of the two hashes is there in a link that was read.
    pub v1: Option<InfoHash>,
    pub v2: Option<Hash32>,
    /// `dn`: a name to show; nothing proves it.
    pub name: Option<String>,
    /// `tr`: tracker URLs.
    pub trackers: Vec<String>,
    /// `ws`: URLs that serve the files over HTTP (BEP 19).
    pub web_seeds: Vec<String>,
    /// `x.pe`: host (IPv6 without brackets) and port.
    pub peers: Vec<(String, u16)>,
    /// `so`: ranges of file indices, ends included; empty for all.
    pub select: Vec<(u32, u32)>,
    /// What stands in it and is not gone by.
    pub ignored: Ignored,
}

/// Parts of a link that are passed over, as a link with them is still good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ignored {
    /// A `so` that is no list of indices: all files are meant.
    pub select: bool,
    /// `x.pe` without a host and a port.
    pub peers: u32,
    /// Trackers, web seeds and peers beyond [`MAGNET_LIST_MAX`] of each.
    pub more: u32,
}

impl Ignored {
    /// One line about all of it; `None` if there is nothing.
    pub fn line(self) -> Option<String> {
        let select = self.select.then(|| "`so` is no list of files, so that all are meant".into());
        let peers = (self.peers > 0)
            .then(|| format!("{} without HOST:PORT", counted(self.peers.into(), "`x.pe`")));
        let more = (self.more > 0)
            .then(|| format!("{} more addresses than {MAGNET_LIST_MAX} of a kind", self.more));
        let all: Vec<String> = [select, peers, more].into_iter().flatten().collect();
        (!all.is_empty()).then(|| format!("ignored in the link: {}", all.join("; ")))
    }
}

/// Why a link was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MagnetError {
    TooLong,
    /// The scheme is another.
    NotMagnet,
    /// Broken percent-encoding.
    Encoding,
    /// Not UTF-8 where text must be.
    NotUtf8,
    /// No `xt` of BitTorrent.
    NoTopic,
    /// `urn:btih:` is neither 40 hex nor 32 base32 digits.
    BadV1,
    /// `urn:btmh:` is not 1220 and 64 hex digits.
    BadV2,
    /// Two different hashes of one kind.
    TwoTopics,
    /// A BEP 46 link.
    Mutable,
}

impl fmt::Display for MagnetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MagnetError::TooLong => "magnet: longer than 64 KiB",
            MagnetError::NotMagnet => "magnet: the link does not begin with `magnet:?`",
            MagnetError::Encoding => "magnet: broken percent-encoding",
            MagnetError::NotUtf8 => "magnet: a value is not UTF-8 once it is decoded",
            MagnetError::NoTopic => "magnet: no BitTorrent info-hash in it (`xt=urn:btih:...`)",
            MagnetError::BadV1 => "magnet: `urn:btih:` wants 40 hex or 32 base32 digits",
            MagnetError::BadV2 => "magnet: `urn:btmh:` wants 1220 and 64 hex digits",
            MagnetError::TwoTopics => "magnet: two different info-hashes of one kind",
            MagnetError::Mutable => "magnet: links to mutable torrents are not supported",
        })
    }
}

impl std::error::Error for MagnetError {}

impl Magnet {
    /// Reads a link.
    pub fn parse(link: &str) -> Result<Magnet, MagnetError> {
        if link.len() > MAGNET_BYTES_MAX {
            mark!("A23");
            return Err(MagnetError::TooLong);
        }
        let (scheme, query) = link.split_once(":?").ok_or(MagnetError::NotMagnet)?;
        if !scheme.eq_ignore_ascii_case("magnet") {
            return Err(MagnetError::NotMagnet);
        }
        let (mut magnet, mut mutable) = (Magnet::default(), false);
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value)?;
            // `xt.1`, `tr.2`: numbered parameters mean the same.
            let key = match key.split_once('.') {
                Some((plain, n)) if n.bytes().all(|b| b.is_ascii_digit()) => plain,
                _ => key,
            };
            match key {
                "xt" => magnet.topic(&value)?,
                "dn" if magnet.name.is_none() => magnet.name = Some(value),
                "tr" => keep(&mut magnet.trackers, value, &mut magnet.ignored),
                "ws" => keep(&mut magnet.web_seeds, value, &mut magnet.ignored),
                "x.pe" => match peer(&value) {
                    Some(peer) => keep(&mut magnet.peers, peer, &mut magnet.ignored),
                    None => magnet.ignored.peers += 1,
                },
                "so" => {
                    let list = select(&value);
                    magnet.ignored.select = list.is_none();
                    magnet.select = list.unwrap_or_default();
                }
                "xs" => mutable |= value.starts_with("urn:btpk:"),
                _ => {}
            }
        }
        match (magnet.v1.is_some() || magnet.v2.is_some(), mutable) {
            (true, _) => Ok(magnet),
            (false, true) => Err(MagnetError::Mutable),
            (false, false) => Err(MagnetError::NoTopic),
        }
    }

    /// What to call it until its metadata says more: the name of the link, or an info-hash.
    pub fn shown_name(&self) -> String {
        let v1 = || self.v1.map(|hash| hash.to_string());
        let v2 = || self.v2.map(|hash| hash.to_string());
        let name = self.name.as_ref().map(|name| name.chars().take(NAME_BYTES_MAX).collect());
        name.or_else(v1).or_else(v2).unwrap_or_default()
    }

    fn topic(&mut self, urn: &str) -> Result<(), MagnetError> {
        if let Some(digits) = strip_urn(urn, "urn:btih:") {
            let hash = InfoHash(match digits.len() {
                40 => hex(digits).ok_or(MagnetError::BadV1)?,
                32 => base32(digits).ok_or(MagnetError::BadV1)?,
                _ => return Err(MagnetError::BadV1),
            });
            return one(&mut self.v1, hash);
        }
        if let Some(digits) = strip_urn(urn, "urn:btmh:") {
            // Multihash: code 0x12 is SHA-256, 0x20 its length.
            let digits = digits.strip_prefix("1220").ok_or(MagnetError::BadV2)?;
            return one(&mut self.v2, Hash32(hex(digits).ok_or(MagnetError::BadV2)?));
        }
        Ok(())
    }
}

/// What is said twice is there once.
fn keep<T: PartialEq>(list: &mut Vec<T>, value: T, ignored: &mut Ignored) {
    if list.contains(&value) {
        return;
    }
    match list.len() < MAGNET_LIST_MAX {
        true => list.push(value),
        false => ignored.more += 1,
    }
}

fn one<T: PartialEq>(slot: &mut Option<T>, found: T) -> Result<(), MagnetError> {
    match slot {
        Some(before) if *before != found => Err(MagnetError::TwoTopics),
        _ => {
            *slot = Some(found);
            Ok(())
        }
    }
}

fn strip_urn<'a>(urn: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, digits) = urn.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(digits)
}

/// Exactly `N` bytes of hex.
fn hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |b: u8| char::from(b).to_digit(16);
        *byte = (digit(*high)? * 16 + digit(*low)?) as u8;
    }
    Some(bytes)
}

/// 32 digits of RFC 4648 base32, of either case.
fn base32(digits: &str) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    let (groups, _) = digits.as_bytes().as_chunks::<8>();
    for (five, group) in bytes.chunks_mut(5).zip(groups) {
        let mut bits = 0u64;
        for digit in group {
            let value = match digit.to_ascii_uppercase() {
                letter @ b'A'..=b'Z' => letter - b'A',
                number @ b'2'..=b'7' => number - b'2' + 26,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        five.copy_from_slice(bits.to_be_bytes().get(3..)?);
    }
    Some(bytes)
}

/// `host:port`; what has not that form is passed over.
fn peer(value: &str) -> Option<(String, u16)> {
    let (host, port) = value.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// `0,2,4-6`, all of it; a list with anything else in it is ignored as a whole. What follows each
/// other is one range.
fn select(value: &str) -> Option<Vec<(u32, u32)>> {
    let index = |text: &str| -> Option<u32> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits { text.parse().ok() } else { None }
    };
    let range = |part: &str| -> Option<(u32, u32)> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (index(first)?, index(last)?);
        (first <= last).then_some((first, last))
    };
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for part in value.split(',') {
        let (first, last) = range(part)?;
        match ranges.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(first) => *end = last,
            _ => ranges.push((first, last)),
        }
    }
    Some(ranges)
}

/// Percent-decoding; `+` is itself.
fn decode(text: &str) -> Result<String, MagnetError> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).ok_or(MagnetError::Encoding)?;
        bytes.extend(hex::<1>(code).ok_or(MagnetError::Encoding)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| MagnetError::NotUtf8)
}

/// Text with everything but RFC 3986 unreserved characters and those of `also` percent-encoded.
struct Encoded<'a>(&'a str, &'a [u8]);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || self.1.contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Magnet {
    /// The link: both topics if there are two, name, trackers, peers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut join = "magnet:?";
        let mut next = || std::mem::replace(&mut join, "&");
        if let Some(hash) = self.v1 {
            write!(f, "{}xt=urn:btih:{hash}", next())?;
        }
        if let Some(hash) = self.v2 {
            write!(f, "{}xt=urn:btmh:1220{hash}", next())?;
        }
        if let Some(name) = &self.name {
            write!(f, "{}dn={}", next(), Encoded(name, b""))?;
        }
        for tracker in &self.trackers {
            write!(f, "{}tr={}", next(), Encoded(tracker, b""))?;
        }
        for seed in &self.web_seeds {
            write!(f, "{}ws={}", next(), Encoded(seed, b""))?;
        }
        for (host, port) in &self.peers {
            match host.contains(':') {
                true => write!(f, "{}x.pe=[{}]:{port}", next(), Encoded(host, b":"))?,
                false => write!(f, "{}x.pe={}:{port}", next(), Encoded(host, b""))?,
            }
        }
        for (at, (first, last)) in self.select.iter().enumerate() {
            let lead = if at == 0 { next() } else { "," };
            let key = if at == 0 { "so=" } else { "" };
            match first == last {
                true => write!(f, "{lead}{key}{first}")?,
                false => write!(f, "{lead}{key}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V1: &str = "91fa2f640fbf65ccc7a2a0ed1da15ad639f8ccd4";

    #[test]
    fn hostile_links_are_bounded() {
        let long = format!("magnet:?xt=urn:btih:{V1}&dn={}", "x".repeat(MAGNET_BYTES_MAX));
        assert_eq!(Magnet::parse(&long), Err(MagnetError::TooLong));
        let many = (0..5_000).map(|n| format!("&tr={n}")).collect::<String>();
        let many = Magnet::parse(&format!("magnet:?xt=urn:btih:{V1}&tr=0{many}")).unwrap();
        assert_eq!(many.trackers.len(), MAGNET_LIST_MAX);
        assert_eq!(many.ignored.more as usize, 5_000 - MAGNET_LIST_MAX);
        let odd =
            format!("magnet:?xt=urn:btih:{V1}&x.pe=a&x.pe=h:0&x.pe=h:70000&x.pe=::1:5&x.pe=:5");
        let odd = Magnet::parse(&odd).unwrap();
        assert_eq!((&odd.peers[..], odd.ignored.peers), (&[][..], 5));
        assert!(odd.ignored.line().is_some_and(|line| line.contains("5 `x.pe`s")));
    }

    #[test]
    fn every_file_that_a_link_names_is_wanted_or_none_is_named() {
        let every = (0..9_000).map(|n| (2 * n).to_string()).collect::<Vec<_>>().join(",");
        let magnet = Magnet::parse(&format!("magnet:?xt=urn:btih:{V1}&so={every}")).unwrap();
        assert_eq!(magnet.select.len(), 9_000);
        let magnet = Magnet::parse(&format!("magnet:?xt=urn:btih:{V1}&so=0,1,2-5,7")).unwrap();
        assert_eq!((&magnet.select[..], magnet.ignored.line()), (&[(0, 5), (7, 7)][..], None));
        let magnet = Magnet::parse(&format!("magnet:?xt=urn:btih:{V1}&so=0,x")).unwrap();
        assert!(magnet.select.is_empty() && magnet.ignored.select);
        assert!(magnet.ignored.line().is_some_and(|line| line.contains("`so`")));
    }

    #[test]
    fn each_wrong_topic_has_its_reason() {
        for (link, why) in [
            ("magnet:?dn=a", MagnetError::NoTopic),
            ("magnet:", MagnetError::NotMagnet),
            ("magnet:?xt=urn:btih:91fa", MagnetError::BadV1),
            (&format!("magnet:?xt=urn:btih:{V1}0"), MagnetError::BadV1),
            ("magnet:?xt=urn:btih:0H5C6ZAPX5S4ZR5CUDWR3IK22Y47RTGU", MagnetError::BadV1),
            (&format!("magnet:?xt=urn:btmh:1220{V1}"), MagnetError::BadV2),
            (&format!("magnet:?xt=urn:btih:{V1}&dn=%zz"), MagnetError::Encoding),
            (&format!("magnet:?xt=urn:btih:{V1}&dn=%"), MagnetError::Encoding),
            (&format!("magnet:?xt=urn:btih:{V1}&dn=%ff"), MagnetError::NotUtf8),
        ] {
            assert_eq!(Magnet::parse(link), Err(why), "{link}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s)(magnet:\\?)?.{0,80}") {
            let _ = Magnet::parse(&text).map_err(|why| why.to_string());
        }

        #[test]
        fn what_is_written_reads_back(
            v1: Option<[u8; 20]>, v2: [u8; 32], name: Option<String>,
            trackers in prop::collection::vec(any::<String>(), 0..4),
            port in 1u16.., select in prop::collection::vec((0u32..9, 11u32..14), 0..3),
        ) {
            let unique: std::collections::BTreeSet<String> = trackers.into_iter().collect();
            let trackers: Vec<String> = unique.into_iter().collect();
            let magnet = Magnet {
                v1: v1.map(InfoHash),
                v2: Some(Hash32(v2)),
                name,
                web_seeds: trackers.clone(),
                trackers,
                peers: vec![("::1".into(), port), ("127.0.0.1".into(), port)],
                select,
                ignored: Ignored::default(),
            };
            prop_assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
        }
    }
}
