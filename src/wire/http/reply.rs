//! What comes back from an HTTP tracker, as a client reads it: head, body, and the dictionaries of
//! announce and scrape (BEP 3, 7, 23, 48). All text in it is safe to show.

use super::incoming::{Came, Coding, Head, Incoming};
use crate::core::bencode::{self, Limits, Mode, Value};
use crate::core::id::InfoHash;
use crate::core::report::foreign_bytes;
use crate::wire::read::Fields;
use crate::wire::udp::ScrapeRow;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};

/// Most bytes of a body that are taken.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

const TOO_LARGE: &str = "the answer is larger than 1 MiB";

/// Longest tracker id that is said again.
const TRACKER_ID_BYTES_MAX: usize = 256;

/// One response, whole and unpacked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    pub status: u16,
    /// Where a redirection points: foreign text.
    pub location: Option<String>,
    pub body: Vec<u8>,
}

/// A response of a tracker while it comes: at most 1 MiB of body, packed or not.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    incoming: Incoming,
    head: Option<Head>,
    body: Vec<u8>,
}

impl Collector {
    /// Takes bytes; the response once it is whole. The error is a few words.
    pub fn got(&mut self, mut bytes: &[u8]) -> Result<Option<Reply>, &'static str> {
        while let Some(came) = self.incoming.next(&mut bytes)? {
            match came {
                Came::Head(head) => {
                    if head.len.is_some_and(|len| len > BODY_BYTES_MAX as u64) {
                        crate::mark!("C14");
                        return Err(TOO_LARGE);
                    }
                    let leads_on = (300..400).contains(&head.status);
                    if let (true, Some(to)) = (leads_on, &head.location) {
                        // Nobody reads what stands below that.
                        let (status, location) = (head.status, Some(to.clone()));
                        return Ok(Some(Reply { status, location, body: Vec::new() }));
                    }
                    self.head = Some(head);
                }
                Came::Bytes(some) if self.body.len() + some.len() > BODY_BYTES_MAX => {
                    crate::mark!("C14");
                    return Err(TOO_LARGE);
                }
                Came::Bytes(some) => self.body.extend_from_slice(some),
                Came::End => return self.whole().map(Some),
            }
        }
        Ok(None)
    }

    /// The connection ended: the response, if that was its end.
    pub fn ended(&mut self) -> Result<Reply, &'static str> {
        self.incoming.ended()?;
        self.whole()
    }

    /// Whether anything came at all.
    pub fn has_begun(&self) -> bool {
        self.head.is_some()
    }

    fn whole(&mut self) -> Result<Reply, &'static str> {
        let head = self.head.take().ok_or("the answer is over")?;
        let body = unpacked(std::mem::take(&mut self.body), head.coding)?;
        Ok(Reply { status: head.status, location: head.location, body })
    }
}

/// A body as it was before it was packed (RFC 1950 to 1952), of 1 MiB at the most however little
/// came.
fn unpacked(body: Vec<u8>, coding: Coding) -> Result<Vec<u8>, &'static str> {
    let packed = body.as_slice();
    match coding {
        Coding::Plain => Ok(body),
        Coding::Gzip => inflated(flate2::read::MultiGzDecoder::new(packed)),
        // Some leave the wrapping out.
        Coding::Deflate => inflated(flate2::read::ZlibDecoder::new(packed)).or_else(|why| {
            if why == TOO_LARGE {
                Err(why)
            } else {
                inflated(flate2::read::DeflateDecoder::new(packed))
            }
        }),
    }
}

fn inflated(packed: impl Read) -> Result<Vec<u8>, &'static str> {
    let mut body = Vec::new();
    let read = packed.take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut body);
    if body.len() > BODY_BYTES_MAX {
        crate::mark!("C14");
        return Err(TOO_LARGE);
    }
    read.map_err(|_| "the answer is packed wrongly")?;
    Ok(body)
}

/// What a body says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said<T> {
    Answer(T),
    /// `failure reason`.
    Failure(String),
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Announced {
    /// The longer one of `interval` and `min interval`.
    pub interval_s: u64,
    /// `tracker id`: to be said with the next announces.
    pub tracker_id: Option<Vec<u8>>,
    /// Peers that have all of it, and those that have not; `None` = not said.
    pub complete: Option<u64>,
    pub incomplete: Option<u64>,
    /// Those that have an address that can be dialled.
    pub peers: Vec<SocketAddr>,
    pub warning: Option<String>,
}

/// Reads the body of an answer to an announce; the error is a few words.
pub fn announced(body: &[u8]) -> Result<Said<Announced>, &'static str> {
    let doc = document(body)?;
    let root = doc.root();
    if let Some(failure) = failure(&root) {
        return Ok(Said::Failure(failure));
    }
    let number = |key: &[u8]| root.get(key).and_then(|value| value.uint());
    let mut announced = Announced {
        interval_s: number(b"interval")
            .ok_or("the answer has no interval")?
            .max(number(b"min interval").unwrap_or_default()),
        tracker_id: root
            .get(b"tracker id")
            .and_then(|id| id.bytes())
            .filter(|id| {
                crate::mark!("C16");
                id.len() <= TRACKER_ID_BYTES_MAX
            })
            .map(<[u8]>::to_vec),
        complete: number(b"complete"),
        incomplete: number(b"incomplete"),
        peers: Vec::new(),
        warning: root.get(b"warning message").and_then(|text| text.bytes()).map(foreign_bytes),
    };
    for (key, ipv6) in [(b"peers".as_slice(), false), (b"peers6", true)] {
        let Some(peers) = root.get(key) else { continue };
        match peers.bytes() {
            Some(compact) => {
                let mut fields = Fields(compact);
                let all = std::iter::from_fn(|| fields.addr(ipv6));
                announced.peers.extend(all.filter(|peer| dialled(*peer)));
            }
            None => announced.peers.extend(peers.items().filter_map(|peer| dictionary(&peer))),
        }
    }
    Ok(Said::Answer(announced))
}

/// Reads the body of an answer to a scrape of one hash: its row, if the tracker has one.
pub fn scraped(body: &[u8], hash: InfoHash) -> Result<Said<Option<ScrapeRow>>, &'static str> {
    let doc = document(body)?;
    let root = doc.root();
    if let Some(failure) = failure(&root) {
        return Ok(Said::Failure(failure));
    }
    let Some(row) = root.get(b"files").and_then(|files| files.get(&hash.0)) else {
        return Ok(Said::Answer(None));
    };
    let number = |key: &[u8]| {
        let value = row.get(key).and_then(|value| value.uint()).unwrap_or_default();
        u32::try_from(value).unwrap_or(u32::MAX)
    };
    let (seeders, completed) = (number(b"complete"), number(b"downloaded"));
    Ok(Said::Answer(Some(ScrapeRow { seeders, completed, leechers: number(b"incomplete") })))
}

fn document(body: &[u8]) -> Result<bencode::Doc<'_>, &'static str> {
    const NO_DICTIONARY: &str = "the answer is no bencoded dictionary";
    let doc = bencode::parse_prefix(body, Mode::Tolerant, Limits::CATALOGUE);
    let (doc, len) = doc.map_err(|_| NO_DICTIONARY)?;
    match body.get(len..) {
        // Some trackers end a line.
        Some(b"" | b"\n") if doc.root().is_dict() => Ok(doc),
        _ => Err(NO_DICTIONARY),
    }
}

fn failure(root: &Value<'_, '_>) -> Option<String> {
    root.get(b"failure reason").map(|why| foreign_bytes(why.bytes().unwrap_or_default()))
}

/// A peer of BEP 3; one that is named and not numbered is left out.
fn dictionary(peer: &Value<'_, '_>) -> Option<SocketAddr> {
    let ip = std::str::from_utf8(peer.get(b"ip")?.bytes()?).ok()?.parse::<IpAddr>().ok()?;
    let port = u16::try_from(peer.get(b"port")?.uint()?).ok()?;
    Some(SocketAddr::new(ip, port)).filter(|peer| dialled(*peer))
}

fn dialled(peer: SocketAddr) -> bool {
    peer.port() != 0 && !peer.ip().is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expect_mark;

    /// What comes of bytes, and of the end of the connection after them.
    fn read(bytes: &[u8], ended: bool) -> Result<Option<Reply>, &'static str> {
        let mut collector = Collector::default();
        match collector.got(bytes)? {
            None if ended => collector.ended().map(Some),
            reply => Ok(reply),
        }
    }

    #[test]
    fn a_response_ends_at_its_length_or_with_the_connection() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ndeX";
        for len in 0..whole.len() - 1 {
            assert_eq!(read(&whole[..len], false), Ok(None), "{len}");
            assert!(read(&whole[..len], true).is_err(), "{len}");
        }
        let reply = Reply { status: 200, location: None, body: b"de".to_vec() };
        assert_eq!(read(whole, false), Ok(Some(reply)));
        let open = b"HTTP/1.0 302 Found\r\nlocation: /x\x1by\r\n\r\nde";
        assert_eq!(read(open, false), Err("the answer is not HTTP"));
        let open = b"HTTP/1.0 302 Found\r\nlocation: /x\xe2\x80\xaey\r\n\r\nde";
        let location = Some("/x\u{202e}y".to_owned());
        let body = Vec::new();
        assert_eq!(read(open, false), Ok(Some(Reply { status: 302, location, body })));
        let open = b"HTTP/1.0 200 OK\r\n\r\nde";
        assert_eq!(read(open, false), Ok(None));
        let body = b"de".to_vec();
        assert_eq!(read(open, true), Ok(Some(Reply { status: 200, location: None, body })));
    }

    #[test]
    fn chunks_are_joined() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
        let bytes = format!("{head}2;x=y\r\nd1\r\n00B\r\n:a1:bi1e234\r\n0\r\nT: x\r\n\r\n");
        let reply = read(bytes.as_bytes(), false).unwrap().unwrap();
        assert_eq!(reply.body, b"d1:a1:bi1e234");
        for cut in 0..bytes.len() {
            assert!(read(&bytes.as_bytes()[..cut], true).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused_in_words() {
        for (bytes, why) in [
            (&b"\x00\x01\x02"[..], "not HTTP"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "coding"),
            (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n", "coding"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "larger"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "length"),
        ] {
            assert!(read(bytes, false).unwrap_err().contains(why), "{why}");
        }
        let endless = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &vec![b'a'; BODY_BYTES_MAX + 1]].concat();
        assert_eq!(expect_mark!("C14", read(&endless, false)), Err(TOO_LARGE));
    }

    fn packed(coding: &str, body: &[u8]) -> Vec<u8> {
        let (fast, mut bytes) = (flate2::Compression::fast(), Vec::new());
        match coding {
            "gzip" => {
                flate2::read::GzEncoder::new(body, fast).read_to_end(&mut bytes).unwrap();
            }
            "zlib" => {
                flate2::read::ZlibEncoder::new(body, fast).read_to_end(&mut bytes).unwrap();
            }
            _ => {
                flate2::read::DeflateEncoder::new(body, fast).read_to_end(&mut bytes).unwrap();
            }
        }
        let coding = if coding == "gzip" { "gzip" } else { "deflate" };
        let len = bytes.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len}");
        [head.as_bytes(), b"\r\n\r\n", &bytes].concat()
    }

    #[test]
    fn packed_bodies_are_unpacked_as_far_as_they_may_be() {
        for coding in ["gzip", "zlib", "raw"] {
            let reply = read(&packed(coding, b"d8:intervali9ee"), false).unwrap().unwrap();
            assert_eq!(reply.body, b"d8:intervali9ee", "{coding}");
            let bomb = packed(coding, &vec![0; 50 * BODY_BYTES_MAX]);
            assert!(bomb.len() < BODY_BYTES_MAX);
            assert_eq!(expect_mark!("C14", read(&bomb, false)), Err(TOO_LARGE), "{coding}");
            let mut broken = packed(coding, &[7; 999]);
            let at = broken.len() - 4;
            broken[at] ^= 0x55;
            broken.truncate(broken.len() - 1);
            assert!(read(&broken, true).is_err(), "{coding}");
        }
    }

    #[test]
    fn fields_of_a_wrong_type_or_size_harm_nothing() {
        let long = format!("d8:intervali9e5:peersi7e10:tracker id300:{}e", "x".repeat(300));
        let Ok(Said::Answer(said)) = expect_mark!("C16", announced(long.as_bytes())) else {
            panic!()
        };
        assert_eq!((said.tracker_id, said.peers), (None, Vec::new()));
        // A failure counts, whatever stands beside it.
        let both =
            announced(b"d14:failure reason2:no8:intervali9e5:peers6:\x01\x02\x03\x04\x00\x05e");
        assert_eq!(both, Ok(Said::Failure("no".into())));
        assert_eq!(announced(b"d14:failure reasoni1ee"), Ok(Said::Failure(String::new())));
        let odd = b"d8:intervali9e5:peersli1e3:abcd2:ip4:hosteee";
        assert!(matches!(announced(odd), Ok(Said::Answer(said)) if said.peers.is_empty()));
    }

    #[test]
    fn answers_that_are_none_and_peers_that_are_none_are_taken_for_what_they_are() {
        let html = include_bytes!("../../../tests/vectors/invalid/http/resp_html.txt");
        assert!(announced(html).is_err() && scraped(html, InfoHash([0; 20])).is_err());
        let number = include_bytes!("../../../tests/vectors/invalid/http/resp_peers_int.ben");
        let Ok(Said::Answer(said)) = announced(number) else { panic!() };
        assert_eq!((said.interval_s, said.peers), (120, vec![]));
        assert!(announced(b"d8:intervali9ee\n").is_ok());
        for more in ["\n\n", "x", "de"] {
            assert!(announced(format!("d8:intervali9ee{more}").as_bytes()).is_err(), "{more}");
        }
    }

    #[test]
    fn peers_come_in_every_form() {
        let body = b"d8:intervali9e5:peers12:\x01\x02\x03\x04\x00\x05\x01\x02\x03\x04\x00\x00e";
        let Ok(Said::Answer(said)) = announced(body) else { panic!() };
        assert_eq!((said.interval_s, said.complete), (9, None));
        assert_eq!(said.peers, ["1.2.3.4:5".parse().unwrap()]);
        let body = b"d8:completei1e8:intervali9e5:peersld2:ip3:::14:porti6eed2:ip1:x4:porti6eee\
            15:warning message3:a\x1bbe";
        let Ok(Said::Answer(said)) = announced(body) else { panic!() };
        assert_eq!((said.complete, said.peers), (Some(1), vec!["[::1]:6".parse().unwrap()]));
        assert_eq!(said.warning.as_deref(), Some("a\u{fffd}b"));
        let failed = announced(b"d14:failure reason2:noe");
        assert_eq!(failed, Ok(Said::Failure("no".into())));
        assert!(announced(b"de").is_err() && announced(b"<html>").is_err());
        let row = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi2eeee";
        let row_said = Some(ScrapeRow { seeders: 1, completed: 2, leechers: 0 });
        assert_eq!(scraped(row, InfoHash([b'a'; 20])), Ok(Said::Answer(row_said)));
        assert_eq!(scraped(row, InfoHash([b'b'; 20])), Ok(Said::Answer(None)));
    }
}
