//! Request heads and query strings: what is read out of which bytes, and how the rest is refused.

use lmk::core::id::{InfoHash, PeerId};
use lmk::core::report::State;
use lmk::wire::http::announce::{Announce, scrape};
use lmk::wire::http::head::{BadHead, HEAD_BYTES_MAX, Head, Method, begins, read};
use lmk::wire::http::query::{BadEscape, Query, decode, encode};
use lmk::wire::slot_word::SlotWord;
use lmk::wire::udp::Event;
use proptest::prelude::*;

fn whole(text: &str) -> Result<Head<'_>, BadHead> {
    let (head, len) = read(text.as_bytes(), 0)?.expect("a whole head");
    assert_eq!(len, text.len());
    Ok(head)
}

#[test]
fn a_head_says_method_path_query_and_whether_more_will_come() {
    for (text, method, path, query, keep_alive) in [
        ("GET / HTTP/1.1\r\n\r\n", Method::Get, "/", "", true),
        ("GET / HTTP/1.0\r\n\r\n", Method::Get, "/", "", false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Method::Get, "/", "", true),
        ("HEAD /a?b=c?d HTTP/1.1\r\nconnection: close\r\n\r\n", Method::Head, "/a", "b=c?d", false),
        ("GET /a? HTTP/1.1\r\nConnection: TE, close\r\n\r\n", Method::Get, "/a", "", false),
        ("GET http://h:1/x?y HTTP/1.1\r\nHost: h\r\n\r\n", Method::Get, "/x", "y", true),
        ("GET http://h HTTP/1.1\r\n\r\n", Method::Get, "/", "", true),
        ("OPTIONS * HTTP/1.1\r\n\r\n", Method::Options, "*", "", true),
        ("POST /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Method::Other, "/a", "", true),
        ("GET /a HTTP/1.1\nHost: x\n\n", Method::Get, "/a", "", true),
    ] {
        let head = whole(text).unwrap_or_else(|bad| panic!("{text:?}: {bad:?}"));
        let said = (head.method, head.path, head.query, head.keep_alive);
        assert_eq!(
            said,
            (method, path.as_bytes(), Query(query.as_bytes()), keep_alive),
            "{text:?}"
        );
    }
}

#[test]
fn what_is_no_head_is_refused_with_its_status() {
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
    for (text, bad, status) in [
        ("GET / HTTP/2.0\r\n\r\n", BadHead::Version, 505),
        ("GET /\r\n\r\n", BadHead::Malformed, 400),
        ("GET relative HTTP/1.1\r\n\r\n", BadHead::Malformed, 400),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", BadHead::Malformed, 400),
        ("GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", BadHead::Malformed, 400),
        ("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", BadHead::Malformed, 400),
        ("GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", BadHead::Body, 413),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", BadHead::Body, 413),
        (&many, BadHead::TooLarge, 431),
        (&long, BadHead::TooLarge, 431),
    ] {
        assert_eq!(whole(text), Err(bad), "{text:?}");
        assert_eq!(bad.answer().0, status);
    }
    let endless = vec![b'x'; HEAD_BYTES_MAX];
    assert_eq!(read(&endless, 0), Ok(None));
    assert_eq!(read(&[&endless[..], b"x"].concat(), 0), Err(BadHead::TooLarge));
}

#[test]
fn http_is_known_by_its_method() {
    for (bytes, known) in [
        ("", None),
        ("G", None),
        ("GET", None),
        ("OPTIONS", None),
        ("GET ", Some(true)),
        ("OPTIONS * HTTP/1.1", Some(true)),
        ("GEX", Some(false)),
        ("get ", Some(false)),
        ("\u{13}BitTorrent", Some(false)),
    ] {
        assert_eq!(begins(bytes.as_bytes()), known, "{bytes:?}");
    }
}

#[test]
fn escapes_are_bytes_and_a_plus_is_a_plus() {
    for (text, bytes) in [
        ("", &b""[..]),
        ("a+b", b"a+b"),
        ("%00%fF%Ff", b"\x00\xff\xff"),
        ("%2525", b"%25"),
        ("-LM0100-~", b"-LM0100-~"),
    ] {
        assert_eq!(decode(text.as_bytes()).unwrap(), bytes);
    }
    for bad in ["%", "%0", "a%zz", "%+1", "%1g", "% 1"] {
        assert_eq!(decode(bad.as_bytes()), Err(BadEscape), "{bad}");
    }
    let pairs: Vec<_> = Query(b"a=1&&b&=c&d==&a=2").pairs().map(Result::unwrap).collect();
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
    let expected: [(&[u8], &[u8]); 5] =
        [(b"a", b"1"), (b"b", b""), (b"", b"c"), (b"d", b"="), (b"a", b"2")];
    assert_eq!(pairs, expected);
    assert_eq!(Query(b"a=1&a=2").get("a").unwrap(), &b"1"[..]);
}

const HASH: &str = "info_hash=%aaAAAAAAAAAAAAAAAAAAA&peer_id=-LM0100-ABCDEFGHIJKL";

fn announce(more: &str) -> Result<Announce, &'static str> {
    Announce::read(Query(format!("{HASH}{more}").as_bytes()))
}

#[test]
fn an_announce_is_read_with_what_clients_leave_out() {
    let plain = announce("&port=6881").unwrap();
    let mut hash = [b'A'; 20];
    hash[0] = 0xaa;
    assert_eq!(plain.info_hash, InfoHash(hash));
    assert_eq!(plain.peer_id, PeerId(*b"-LM0100-ABCDEFGHIJKL"));
    assert_eq!((plain.port, plain.left, plain.num_want), (6881, u64::MAX, -1));
    assert_eq!((plain.event, plain.compact, plain.dual), (Event::None, true, false));
    let full = announce(
        "&port=1&uploaded=2&downloaded=3&left=4&event=completed&numwant=5&compact=0&no_peer_id=1\
         &ipv6=%5B::1%5D:5&ip=1.2.3.4&key=x&lmk=01020009",
    );
    let full = full.unwrap();
    assert_eq!((full.uploaded, full.downloaded, full.left), (2, 3, 4));
    assert_eq!((full.event, full.num_want), (Event::Completed, 5));
    assert_eq!((full.compact, full.no_peer_id, full.dual), (false, true, true));
    assert_eq!(full.slots, Some(SlotWord { state: State::Unavailable, free: 0, queue: 9 }));
    let odd = announce("&port=1&left=-1&numwant=-7&event=dancing&downloaded=99999999999999999999");
    let odd = odd.unwrap();
    assert_eq!((odd.left, odd.num_want, odd.event), (u64::MAX, -1, Event::None));
    assert_eq!(odd.downloaded, u64::MAX);
}

#[test]
fn an_announce_that_lacks_something_says_what() {
    for (more, why) in [
        ("", "no port"),
        ("&port=65536", "no port"),
        ("&port=x", "no port"),
        ("&port=1&x=%", "a broken % escape"),
        ("&port=1&info_hash=aaaaaaaaaaaaaaaaaaaa", "one info_hash an announce"),
    ] {
        assert_eq!(announce(more), Err(why), "{more}");
    }
    for (query, why) in [
        ("peer_id=-LM0100-ABCDEFGHIJKL&port=1", "no info_hash"),
        ("info_hash=aaaaaaaaaaaaaaaaaaa&port=1", "info_hash is not 20 bytes"),
        ("info_hash=aaaaaaaaaaaaaaaaaaaa&port=1", "no peer_id"),
        ("info_hash=aaaaaaaaaaaaaaaaaaaa&port=1&peer_id=x", "peer_id is not 20 bytes"),
    ] {
        assert_eq!(Announce::read(Query(query.as_bytes())), Err(why), "{query}");
    }
    assert_eq!(scrape(Query(b"info_hash=x")), Err("info_hash is not 20 bytes"));
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded_again(bytes: Vec<u8>) {
        let mut text = String::new();
        encode(&bytes, &mut text);
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'&'));
        prop_assert_eq!(&*decode(text.as_bytes()).unwrap(), &bytes[..]);
    }

    #[test]
    fn nothing_makes_a_head_panic(bytes: Vec<u8>, seen in 0..40usize) {
        let _ = read(&bytes, seen);
        let mut head = b"GET ".to_vec();
        head.extend(bytes);
        head.extend(b" HTTP/1.1\r\n\r\n");
        let _ = read(&head, 0);
    }

    #[test]
    fn the_end_of_a_head_is_found_however_it_comes(
        lines in prop::collection::vec("[ -~\r\n]{0,12}", 0..5), step in 1..9usize,
    ) {
        let text = format!("GET / HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
        let bytes = text.as_bytes();
        let at_once = read(bytes, 0);
        let mut seen = 0;
        for end in (1..=bytes.len()).filter(|end| end % step == 0 || *end == bytes.len()) {
            match read(&bytes[..end], seen) {
                Ok(None) => seen = end,
                found => {
                    prop_assert_eq!(found, at_once);
                    return Ok(());
                }
            }
        }
        prop_assert!(false, "no end");
    }
}
