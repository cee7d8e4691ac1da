//! Local service discovery (BEP 14): who takes part in a swarm says so to a group of the local
//! network, in a datagram that looks like a request of HTTP.
//!
//! ```text
//! BT-SEARCH * HTTP/1.1
//! Host: 239.192.152.143:6771
//! Port: 6881
//! Infohash: 8738ae8638aa8f4843ed7b3922577b4b378aecdb     (once or more often)
//! cookie: 7196954c                                       (if there is one)
//! ```
//!
//! Lines end in CRLF, and the datagram in two empty ones. The address of the peer is that of the
//! datagram, its TCP port the one it says.

use crate::core::id::InfoHash;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where the groups are, one for each family.
pub const GROUPS: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 152, 143)), PORT),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f)), PORT),
];
const PORT: u16 = 6771;

/// Longest datagram sent and taken, bytes: none is cut into packets on its way.
pub const SEARCH_BYTES_MAX: usize = 1400;
/// Info-hashes of one datagram of ours: 52 bytes each, after 110 of the other lines at the most.
pub const HASHES_MAX: usize = 24;
/// Longest cookie sent, bytes.
pub const COOKIE_BYTES_MAX: usize = 32;
/// Most header lines: more do not fit with one info-hash in each.
const LINES_MAX: usize = 64;

/// One datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search<'a> {
    /// Where the sender listens for peers.
    pub port: u16,
    /// What it takes part in; one or more.
    pub info_hashes: Vec<InfoHash>,
    /// A word by which the sender knows its own datagrams again.
    pub cookie: Option<&'a [u8]>,
}

impl Search<'_> {
    /// The datagram as it is sent to `group`, without the info-hashes behind [`HASHES_MAX`] and
    /// without a cookie that is longer than [`COOKIE_BYTES_MAX`].
    pub fn encode(&self, group: SocketAddr) -> Vec<u8> {
        let mut text = format!("BT-SEARCH * HTTP/1.1\r\nHost: {group}\r\nPort: {}\r\n", self.port);
        for info_hash in self.info_hashes.iter().take(HASHES_MAX) {
            // Writing to a text cannot fail.
            let _ = write!(text, "Infohash: {info_hash}\r\n");
        }
        let mut bytes = text.into_bytes();
        if let Some(cookie) = self.cookie.filter(|cookie| cookie.len() <= COOKIE_BYTES_MAX) {
            bytes.extend_from_slice(b"cookie: ");
            bytes.extend_from_slice(cookie);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes
    }

    /// `None`: not one, to be ignored. Names of lines may be written in any case, lines that are
    /// not known are passed over, and so are info-hashes of another length than 40 digits.
    pub fn decode(bytes: &[u8]) -> Option<Search<'_>> {
        if bytes.len() > SEARCH_BYTES_MAX {
            return None;
        }
        let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
        let mut request = httparse::Request::new(&mut lines);
        if !request.parse(bytes).ok()?.is_complete() {
            return None;
        }
        if !request.method?.eq_ignore_ascii_case("BT-SEARCH") || request.path? != "*" {
            return None;
        }
        let mut search = Search { port: 0, info_hashes: Vec::new(), cookie: None };
        for line in request.headers.iter() {
            let (name, value) = (line.name, line.value.trim_ascii());
            if name.eq_ignore_ascii_case("Infohash") {
                search.info_hashes.extend(info_hash(value));
            } else if name.eq_ignore_ascii_case("Port") {
                let port = port(value)?;
                // Two of them contradict each other.
                if search.port != 0 && search.port != port {
                    return None;
                }
                search.port = port;
            } else if name.eq_ignore_ascii_case("cookie") {
                search.cookie = Some(value);
            }
        }
        (search.port != 0 && !search.info_hashes.is_empty()).then_some(search)
    }
}

fn port(digits: &[u8]) -> Option<u16> {
    let fits = (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| fits)?.parse().ok().filter(|port| *port != 0)
}

fn info_hash(digits: &[u8]) -> Option<InfoHash> {
    let (pairs, rest) = digits.as_chunks::<2>();
    let pairs: &[[u8; 2]; 20] = pairs.try_into().ok().filter(|_| rest.is_empty())?;
    let mut hash = InfoHash([0; 20]);
    for (byte, [high, low]) in hash.0.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}

fn digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAPTURED: &[u8] = include_bytes!("../../tests/vectors/captured/libtorrent_lsd.txt");

    fn of(lines: &str) -> Option<(u16, usize)> {
        let text = format!("BT-SEARCH * HTTP/1.1\r\n{lines}\r\n");
        let search = Search::decode(text.as_bytes())?;
        Some((search.port, search.info_hashes.len()))
    }

    #[test]
    fn a_datagram_of_another_client_is_read_and_written_again_byte_for_byte() {
        let search = Search::decode(CAPTURED).unwrap();
        assert_eq!(search.port, 51951);
        let hash = "8738ae8638aa8f4843ed7b3922577b4b378aecdb";
        assert_eq!(search.info_hashes.iter().map(|h| h.to_string()).collect::<Vec<_>>(), [hash]);
        assert_eq!(search.cookie, Some(b"7196954c".as_slice()));
        assert_eq!(search.encode(GROUPS[0]), CAPTURED);
    }

    #[test]
    fn both_groups_are_those_of_the_bep() {
        let shown = GROUPS.map(|group| group.to_string());
        assert_eq!(shown, ["239.192.152.143:6771", "[ff15::efc0:988f]:6771"]);
        assert!(GROUPS.iter().all(|group| group.ip().is_multicast()));
    }

    #[test]
    fn what_clients_do_otherwise_is_taken() {
        let hash = "8738AE8638aa8f4843ed7b3922577b4b378aecdb";
        let lines = format!("PORT:6881 \r\ninfohash:{hash}\r\nINFOHASH: {hash}\r\nX-New: 1\r\n");
        assert_eq!(of(&lines), Some((6881, 2)));
        // Lines may end in LF alone, and one empty line ends them.
        let text = format!("bt-search * HTTP/1.1\nPort: 1\nInfohash: {hash}\n\n");
        assert!(Search::decode(text.as_bytes()).is_some());
        // One info-hash that is none takes none of the others with it.
        let long = "0".repeat(64);
        let lines = format!("Port: 7\r\nInfohash: {long}\r\nInfohash: x\r\nInfohash: {hash}\r\n");
        assert_eq!(of(&lines), Some((7, 1)));
    }

    #[test]
    fn what_says_too_little_or_contradicts_itself_is_ignored() {
        let hash = format!("Infohash: {}\r\n", "ab".repeat(20));
        assert_eq!(of(&format!("Port: 1\r\n{hash}")), Some((1, 1)));
        for port in ["0", "65536", "-1", "+1", "1 2", "", "0x1", "100000"] {
            assert_eq!(of(&format!("Port: {port}\r\n{hash}")), None, "{port}");
        }
        assert_eq!(of(&hash), None, "no port");
        assert_eq!(of("Port: 1\r\n"), None, "no info-hash");
        assert_eq!(of(&format!("Port: 1\r\nPort: 2\r\n{hash}")), None, "two ports");
        assert_eq!(of(&format!("Port: 1\r\nInfohash: {}\r\n", "zz".repeat(20))), None);
        for first in
            ["GET * HTTP/1.1", "BT-SEARCH / HTTP/1.1", "BT-SEARCH *", "M-SEARCH * HTTP/1.1"]
        {
            let text = format!("{first}\r\nPort: 1\r\n{hash}\r\n");
            assert_eq!(Search::decode(text.as_bytes()), None, "{first}");
        }
        let unfinished = format!("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n{hash}");
        assert_eq!(Search::decode(unfinished.as_bytes()), None);
        let lines =
            |n| format!("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n{hash}{}\r\n", "a:\r\n".repeat(n));
        assert!(Search::decode(lines(62).as_bytes()).is_some());
        assert_eq!(Search::decode(lines(63).as_bytes()), None, "too many lines");
        let padding =
            |n| format!("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n{hash}a: {}\r\n\r\n", "x".repeat(n));
        let room = SEARCH_BYTES_MAX - padding(0).len();
        assert!(Search::decode(padding(room).as_bytes()).is_some());
        assert_eq!(Search::decode(padding(room + 1).as_bytes()), None, "too long");
    }

    #[test]
    fn what_we_send_fits_whatever_it_is() {
        let info_hashes = (0..100).map(|n| InfoHash([n; 20])).collect();
        let cookie = vec![b'c'; COOKIE_BYTES_MAX];
        let search = Search { port: 65535, info_hashes, cookie: Some(&cookie) };
        for group in GROUPS {
            let bytes = search.encode(group);
            assert!(bytes.len() <= SEARCH_BYTES_MAX, "{}", bytes.len());
            let read = Search::decode(&bytes).unwrap();
            assert_eq!(read.info_hashes, search.info_hashes[..HASHES_MAX]);
            assert_eq!(read.cookie, search.cookie);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            port in 1_u16..,
            hashes in prop::collection::vec(any::<[u8; 20]>(), 1..=HASHES_MAX),
            cookie in prop::option::of("[0-9a-z]{1,32}"),
        ) {
            let info_hashes = hashes.into_iter().map(InfoHash).collect();
            let search = Search { port, info_hashes, cookie: cookie.as_deref().map(str::as_bytes) };
            let bytes = search.encode(GROUPS[0]);
            prop_assert_eq!(Search::decode(&bytes), Some(search));
        }

        #[test]
        fn no_bytes_do_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..200), at: usize) {
            let _ = Search::decode(&bytes);
            // Nor do those that are nearly one.
            let mut near = CAPTURED.to_vec();
            let at = at % near.len();
            near.splice(at..at + 1, bytes.drain(..));
            let _ = Search::decode(&near);
        }
    }
}
