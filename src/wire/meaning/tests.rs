//! Datagrams as people see them, and secrets that they do not.

use super::*;
use crate::wire::control::{ControlRequest, ControlResponse, Op, Status};
use crate::wire::udp::{
    AnnounceRequest, AnnounceResponse, Event, Request, Response, ScrapeRow, write_head,
};
use proptest::prelude::*;

fn announce(url_data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let request = AnnounceRequest {
        cid: 1,
        tid: 2,
        info_hash: InfoHash([0xab; 20]),
        peer_id: PeerId(*b"-XX0001-\x1b[2Jabcdefgh"),
        downloaded: 3,
        left: u64::MAX,
        uploaded: 5,
        event: Event::Started,
        key: 6,
        num_want: -1,
        port: 7,
        url_data: url_data.to_vec(),
    };
    request.encode(&mut bytes);
    bytes
}

fn said(response: &Response) -> String {
    let mut bytes = Vec::new();
    response.encode(false, &mut bytes);
    answer(&bytes, false).text
}

#[test]
fn a_connect_is_told_with_its_bytes() {
    let mut bytes = Vec::new();
    Request::Connect { tid: 0xbeef }.encode(&mut bytes);
    let told = request(&bytes);
    assert_eq!(told.hex, "0000041727101980000000000000beef");
    assert_eq!(told.text, "connect, tid 0000beef");
    let told = said(&Response::Connect { tid: 1, cid: 0xfeed });
    assert_eq!(told, "connect, tid 00000001, cid 000000000000feed");
}

#[test]
fn an_announce_is_told_with_every_field() {
    let told = request(&announce(b""));
    assert_eq!(
        told.text,
        "announce, tid 00000002, cid 0000000000000001, \
         hash abababababababababababababababababababab, peer id -XX0001-\\x1b[2Jabcdefgh, \
         downloaded 3, left unknown, uploaded 5, event started, address 0.0.0.0, key 00000006, \
         num_want -1, port 7"
    );
    let peers = vec!["1.2.3.4:5".parse().unwrap(), "6.7.8.9:10".parse().unwrap()];
    let response = AnnounceResponse { tid: 1, interval_s: 60, leechers: 2, seeders: 3, peers };
    assert_eq!(
        said(&Response::Announce(response)),
        "announce, tid 00000001, interval 60 s, leechers 2, seeders 3, \
         peers 1.2.3.4:5 6.7.8.9:10"
    );
}

#[test]
fn scrapes_errors_and_what_is_not_known_are_told() {
    let mut bytes = Vec::new();
    Request::Scrape { cid: 1, tid: 2, hashes: vec![InfoHash([1; 20])] }.encode(&mut bytes);
    bytes.push(9);
    let hash = "01".repeat(20);
    let text = format!("scrape, tid 00000002, cid 0000000000000001, hashes {hash}, 1 bytes more");
    assert_eq!(request(&bytes).text, text);
    let rows = vec![ScrapeRow { seeders: 1, completed: 2, leechers: 3 }];
    let told = said(&Response::Scrape { tid: 1, rows });
    assert_eq!(told, "scrape, tid 00000001, seeders/completed/leechers 1/2/3");
    let told = said(&Response::Error { tid: 1, text: "no\x1b[2J".into() });
    assert_eq!(told, "error, tid 00000001: no\u{fffd}[2J");
    let mut odd = Vec::new();
    write_head(1, 77, 2, &mut odd);
    let told = request(&odd).text;
    assert_eq!(told, "action 0x4d is not known, tid 00000002, cid 0000000000000001");
    assert_eq!(request(&odd[..9]).text, "cut off after 9 bytes");
    let cut = request(&announce(b"")[..50]).text;
    assert_eq!(cut, "announce, tid 00000002, cid 0000000000000001, cut off after 50 bytes");
}

#[test]
fn what_may_be_a_token_is_shown_in_no_form() {
    for (data, shown) in [
        ("/announce", "/announce"),
        ("/announce?auth=TOPSECRET", "/announce?auth=[…]"),
        ("/announce/TOPSECRET", "/announce/[…]"),
        ("/TOPSECRET/announce?a=1&TOPSECRET", "/[…]/announce?a=[…]&[…]"),
        ("/announce?TOPSECRETTOPSECRET=1", "/announce?[…]"),
    ] {
        let told = request(&announce(data.as_bytes()));
        assert!(told.text.ends_with(&format!(", options url data '{shown}'")), "{}", told.text);
        let open = "544f50534543524554";
        assert!(!told.hex.contains(open), "{data}: {}", told.hex);
        assert_eq!(told.hex.contains(HIDDEN), data != shown, "{data}: {}", told.hex);
    }
    // Half a token in an option that the datagram cuts off.
    let mut bytes = announce(b"/announce?auth=TOPSECRET");
    bytes.truncate(bytes.len() - 4);
    let told = request(&bytes);
    assert!(told.hex.ends_with("0007[…]"), "{}", told.hex);
    assert!(told.text.ends_with("options an option that is cut off"), "{}", told.text);
}

#[test]
fn a_control_conversation_is_told_without_its_ticket() {
    let mut bytes = Vec::new();
    let url_data = b"/announce?auth=TOPSECRET".to_vec();
    let ask = ControlRequest {
        cid: 1,
        tid: 2,
        versions: (1, 1),
        op: Op::Read,
        nonce: [3; 8],
        since: 4,
        url_data,
    };
    ask.encode(&mut bytes);
    let told = request(&bytes);
    assert_eq!(
        told.text,
        "control READ, tid 00000002, cid 0000000000000001, versions 1 to 1, flags 0, \
         nonce 0303030303030303, since 4, options url data '/announce?auth=[…]'"
    );
    assert!(told.hex.ends_with("0218[…]010101010101"), "{}", told.hex);
    let mut bytes = Vec::new();
    let ready = ControlResponse {
        ticket: [0xee; 24],
        names: 5,
        age_s: 6,
        ..ControlResponse::bare(2, 1, Status::Ready)
    };
    ready.encode(&mut bytes);
    let told = answer(&bytes, false);
    assert!(!told.hex.contains("eeee") && told.hex.contains(HIDDEN), "{}", told.hex);
    assert_eq!(
        told.text,
        "control, tid 00000002, version 1, status 0 (ready), tcp port 0, seconds 0, \
         ticket […], generation 0, names 5, caps 0x0, max frame 0, max page 0, age 6 s"
    );
}

#[test]
fn long_datagrams_are_cut_and_say_so() {
    let mut bytes = vec![0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5];
    bytes.extend([1, 2, 3, 4, 5, 6].repeat(5000));
    let told = answer(&bytes, false);
    assert!(told.hex.ends_with("… (27972 bytes more)"), "{}", told.hex);
    assert!(told.text.ends_with(" 1.2.3.4:1286 and 4800 more"), "{}", told.text);
    assert!(told.text.len() < 4000 && told.hex.len() < 4200);
}

proptest! {
    #[test]
    fn any_bytes_are_one_line(bytes in prop::collection::vec(any::<u8>(), 0..300), v6: bool) {
        for told in [request(&bytes), answer(&bytes, v6)] {
            for text in [told.hex, told.text] {
                prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
            }
        }
    }

    #[test]
    fn any_end_of_an_announce_is_one_line(
        tail in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0_usize..300,
    ) {
        let mut bytes = announce(b"");
        bytes.extend(tail);
        bytes.truncate(cut);
        let told = request(&bytes);
        prop_assert!(!told.text.chars().any(char::is_control), "{:?}", told.text);
    }
}
