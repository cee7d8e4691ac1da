//! What comes back from an HTTP tracker, as a client reads it: head, body, and the dictionaries of
//! announce and scrape (BEP 3, 7, 23, 48). All text in it is safe to show.

use super::head::{HEAD_BYTES_MAX, HEADERS_MAX};
use crate::core::bencode::{self, Limits, Mode, Value};
use crate::core::id::InfoHash;
use crate::core::report::foreign_bytes;
use crate::wire::read::Fields;
use crate::wire::udp::ScrapeRow;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// Most bytes of a body that are taken.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Longest tracker id that is said again.
const TRACKER_ID_BYTES_MAX: usize = 256;

/// One response, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply<'a> {
    pub status: u16,
    /// Where a redirection points: foreign text.
    pub location: Option<String>,
    pub body: Cow<'a, [u8]>,
}

/// Reads a response to a request of HTTP/1.0, whose body ends at its stated length or with the
/// connection (`ended`). `None` = more must come; the error is a few words.
pub fn read(bytes: &[u8], ended: bool) -> Result<Option<Reply<'_>>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head_bytes = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_BYTES_MAX => len,
        Ok(httparse::Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => {
            return if ended { Err("the connection ended before the answer") } else { Ok(None) };
        }
        Ok(_) => return Err("the head of the answer is too large"),
        Err(_) => return Err("the answer is not HTTP"),
    };
    let (mut len, mut location, mut chunked) = (None, None, false);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).unwrap_or_default();
            len = Some(text.trim().parse::<usize>().map_err(|_| "its length is no number")?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            // Some send chunks to one who asks with HTTP/1.0, too.
            chunked = header.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if !chunked {
                return Err("the answer is in a coding that nobody asked for");
            }
        } else if header.name.eq_ignore_ascii_case("location") {
            location = Some(String::from_utf8_lossy(header.value).into_owned());
        }
    }
    let status = response.code.unwrap_or_default();
    let body = bytes.get(head_bytes..).unwrap_or_default();
    if chunked {
        // Read once, whole: it must not be read anew with each packet.
        return match ended {
            true => Ok(Some(Reply { status, location, body: Cow::Owned(unchunked(body)?) })),
            false => Ok(None),
        };
    }
    if len.unwrap_or(body.len()) > BODY_BYTES_MAX {
        return Err("the answer is larger than 1 MiB");
    }
    let body = match len {
        Some(len) if body.len() < len && ended => return Err("the connection ended in the answer"),
        Some(len) if body.len() < len => return Ok(None),
        Some(len) => body.get(..len).unwrap_or_default(),
        None if !ended => return Ok(None),
        None => body,
    };
    Ok(Some(Reply { status, location, body: Cow::Borrowed(body) }))
}

/// The bytes of a chunked body (RFC 9112, 7.1); trailers are passed over.
fn unchunked(mut rest: &[u8]) -> Result<Vec<u8>, &'static str> {
    const BROKEN: &str = "the chunks of the answer are broken";
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").ok_or(BROKEN)?;
        let (line, after) = rest.split_at_checked(end).ok_or(BROKEN)?;
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let digits = std::str::from_utf8(digits).map_err(|_| BROKEN)?;
        let len = usize::from_str_radix(digits, 16).map_err(|_| BROKEN)?;
        if len == 0 {
            return Ok(body);
        }
        let after = after.get(2..).unwrap_or_default();
        let (chunk, after) = after.split_at_checked(len).ok_or(BROKEN)?;
        body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n").ok_or(BROKEN)?;
    }
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
            .filter(|id| id.len() <= TRACKER_ID_BYTES_MAX)
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

    #[test]
    fn a_response_ends_at_its_length_or_with_the_connection() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ndeX";
        for len in 0..whole.len() - 1 {
            assert_eq!(read(&whole[..len], false), Ok(None), "{len}");
            assert!(read(&whole[..len], true).is_err(), "{len}");
        }
        let reply = Reply { status: 200, location: None, body: Cow::Borrowed(&b"de"[..]) };
        assert_eq!(read(whole, false), Ok(Some(reply)));
        let open = b"HTTP/1.0 302 Found\r\nlocation: /x\x1by\r\n\r\nde";
        assert_eq!(read(open, false), Err("the answer is not HTTP"));
        let open = b"HTTP/1.0 302 Found\r\nlocation: /x\xe2\x80\xaey\r\n\r\nde";
        assert_eq!(read(open, false), Ok(None));
        let location = Some("/x\u{202e}y".to_owned());
        let body = Cow::Borrowed(&b"de"[..]);
        assert_eq!(read(open, true), Ok(Some(Reply { status: 302, location, body })));
    }

    #[test]
    fn chunks_are_joined_once_the_connection_ended() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
        let bytes = format!("{head}2;x=y\r\nd1\r\n00B\r\n:a1:bi1e234\r\n0\r\nT: x\r\n\r\n");
        assert_eq!(read(bytes.as_bytes(), false), Ok(None));
        let reply = read(bytes.as_bytes(), true).unwrap().unwrap();
        assert_eq!(reply.body, &b"d1:a1:bi1e234"[..]);
        for broken in ["", "x\r\n", "5\r\nab", "2\r\nabX", "fffffffffffffffff\r\n", "-1\r\n"] {
            let said = read(format!("{head}{broken}").as_bytes(), true).unwrap_err();
            assert!(said.contains("chunks"), "{broken}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused_in_words() {
        for (bytes, why) in [
            (&b"\x00\x01\x02"[..], "not HTTP"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "coding"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "larger"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "length"),
        ] {
            assert!(read(bytes, false).unwrap_err().contains(why), "{why}");
        }
        let long = [&b"HTTP/1.1 200 OK\r\nX: "[..], &[b'a'; HEAD_BYTES_MAX]].concat();
        assert!(read(&long, false).unwrap_err().contains("too large"));
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
