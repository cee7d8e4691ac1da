//! Announces and scrapes over HTTP: what stock clients really send, and the rules of BEP 3, 7, 23,
//! 24 and 48.

use super::world::{Peer, World, addr, plan, vector};
use lmk::core::bencode::{Limits, Mode, parse};
use lmk::core::id::{ConnId, InfoHash};
use lmk::wire::http::query::encode;
use std::net::SocketAddr;

/// An answer: status, head, body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// All answers in the bytes that came; `heads` are those to HEAD requests, which have no body.
pub fn answers(mut bytes: &[u8], heads: bool) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").expect("a whole head") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        let len: usize = answer.header("Content-Length").map_or(0, |len| len.parse().unwrap());
        let len = if heads { 0 } else { len };
        assert!(bytes.len() >= end + len, "a whole body");
        answer.body = bytes[end..end + len].to_vec();
        bytes = &bytes[end + len..];
        answers.push(answer);
    }
    answers
}

pub fn take(world: &mut World, conn: ConnId) -> Vec<u8> {
    std::mem::take(&mut world.lines.get_mut(&conn).unwrap().got)
}

/// One request on a connection of its own.
pub fn get(world: &mut World, from: SocketAddr, target: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    raw(world, from, request.as_bytes())
}

pub fn raw(world: &mut World, from: SocketAddr, request: &[u8]) -> Answer {
    let conn = world.accept(from);
    world.bytes(conn, request);
    let got = take(world, conn);
    let mut answers = answers(&got, request.starts_with(b"HEAD"));
    assert_eq!(answers.len(), 1, "{}", String::from_utf8_lossy(&got));
    world.end(conn);
    answers.remove(0)
}

/// The target of an announce of this peer, with more of the query.
pub fn target(peer: &Peer, more: &str) -> String {
    let mut target = String::from("/announce?info_hash=");
    encode(&peer.hash.0, &mut target);
    target.push_str("&peer_id=");
    encode(&peer.id.0, &mut target);
    format!("{target}&port={}&uploaded=0&downloaded=0&left={}{more}", peer.port, peer.left)
}

fn announce(world: &mut World, peer: &Peer, more: &str) -> String {
    let answer = get(world, peer.from, &target(peer, more));
    assert_eq!(answer.status, 200);
    parse(&answer.body, Mode::Strict, Limits::MESSAGE).expect("strict bencode");
    answer.body.escape_ascii().to_string()
}

fn interval_s(body: &[u8]) -> u64 {
    let text = body.escape_ascii().to_string();
    let after = text.split_once("8:intervali").expect("an interval").1;
    after.split_once('e').and_then(|(digits, _)| digits.parse().ok()).expect("a number")
}

#[test]
fn requests_of_stock_clients_are_answered() {
    for client in [
        "aria2_1_36",
        "libtorrent_2_0_8",
        "qbittorrent_4_5_2",
        "rtorrent_0_9_8",
        "transmission_3_00",
    ] {
        let mut world = World::local();
        let request = vector(&format!("captured/http_announce_{client}.txt"));
        let answer = raw(&mut world, addr("127.0.0.1:40001"), &request);
        assert_eq!(answer.status, 200, "{client}");
        let body = answer.body.escape_ascii().to_string();
        let seed = client.starts_with("libtorrent");
        let counts = if seed { (1, 0) } else { (0, 1) };
        // Announces are spread: the interval varies by a tenth.
        let interval = interval_s(&answer.body);
        assert!((54..=66).contains(&interval), "{client}: {interval}");
        let expected = format!(
            "d8:completei{}e10:downloadedi0e11:external ip4:\\x7f\\x00\\x00\\x01\
             10:incompletei{}e8:intervali{interval}e12:min intervali{}e5:peers0:e",
            counts.0,
            counts.1,
            interval.min(60)
        );
        assert_eq!(body, expected, "{client}");
        let close = request.windows(17).any(|part| part == b"Connection: close");
        let connection = if close { "close" } else { "keep-alive" };
        assert_eq!(answer.header("Connection"), Some(connection), "{client}");
        assert_eq!(world.told("joined").len(), 1);
        // The same content over UDP finds it.
        let mut hash = [0; 20];
        hash.copy_from_slice(&hex("91fa2f640fbf65ccc7a2a0ed1da15ad639f8ccd4"));
        let peers = world.announce(&Peer::new("127.0.0.1:7001", 9).hash(InfoHash(hash))).peers;
        assert_eq!(peers.len(), 1, "{client}");
    }
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn the_made_request_is_answered_and_the_broken_ones_are_refused() {
    let mut world = World::local();
    let from = addr("127.0.0.1:40001");
    assert_eq!(raw(&mut world, from, &vector("http/announce_req.txt")).status, 200);
    for (name, status, says) in [
        ("hash_19", 200, "d14:failure reason25:info_hash is not 20 bytese"),
        ("bad_escape", 200, "d14:failure reason17:a broken % escapee"),
        ("line_too_long", 431, "lmk tracker: the head of the request is too large\n"),
    ] {
        let answer = raw(&mut world, from, &vector(&format!("invalid/http/{name}.txt")));
        assert_eq!((answer.status, answer.text().as_str()), (status, says), "{name}");
    }
    let conn = world.accept(from);
    world.bytes(conn, &vector("invalid/http/binary.txt"));
    assert!(world.line(conn).closed && world.line(conn).got.is_empty());
}

#[test]
fn peers_are_given_compact_or_as_dictionaries() {
    let mut world = World::open();
    world.announce(&Peer::new("10.0.0.7:7001", 0));
    let leech = Peer::new("10.0.0.8:7002", 5);
    let compact = announce(&mut world, &leech, "&compact=1");
    assert!(compact.contains(r"5:peers6:\n\x00\x00\x07\x1bYe"), "{compact}");
    assert_eq!(announce(&mut world, &leech, ""), compact, "compact unless it is refused");
    let plain = announce(&mut world, &leech, "&compact=0");
    let dict = r"5:peersld2:ip8:10.0.0.77:peer id20:-LM0100-\n\x00\x00\x0700007001";
    assert!(plain.contains(dict) && plain.ends_with("4:porti7001eeee"), "{plain}");
    let short = announce(&mut world, &leech, "&compact=0&no_peer_id=1");
    assert!(short.contains("5:peersld2:ip8:10.0.0.74:porti7001eeee"), "{short}");
    assert!(announce(&mut world, &leech, "&numwant=0").contains("5:peers0:e"));
}

#[test]
fn ipv6_peers_stand_apart_and_go_to_who_can_use_them() {
    let mut world = World::new(plan("[::]:6969"));
    let (four, six) = (Peer::new("10.0.0.7:7001", 0), Peer::new("[2001:db8::7]:7001", 0));
    world.announce(&four);
    world.announce(&six);
    let peers6 = r"6:peers618: \x01\r\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x1bYe";
    let body = announce(&mut world, &Peer::new("[2001:db8::8]:7002", 5), "");
    assert!(body.contains(&format!("5:peers0:{peers6}")), "{body}");
    assert!(body.contains(r"11:external ip16: \x01\r\xb8"), "{body}");
    let body = announce(&mut world, &Peer::new("10.0.0.8:7002", 5), "");
    assert!(!body.contains("6:peers6") && body.contains(r"5:peers6:\n"), "{body}");
    // It has an address of the other family too.
    let body = announce(&mut world, &Peer::new("10.0.0.8:7002", 5), "&ipv6=2001%3Adb8%3A%3A8");
    assert!(body.contains(r"5:peers6:\n") && body.contains("6:peers636:"), "{body}");
}

#[test]
fn the_rules_of_udp_hold() {
    let mut world = World::open();
    let mut peer = Peer::new("10.0.0.7:7001", 5);
    announce(&mut world, &peer, "&event=started&ip=8.8.8.8");
    assert_eq!(world.row().leechers, 1);
    assert!(world.told("joined")[0].contains("10.0.0.7:7001"), "ip= is not believed");
    peer.left = 0;
    announce(&mut world, &peer, "&event=completed");
    assert!(announce(&mut world, &peer, "").contains("10:downloadedi1e"));
    let body = announce(&mut world, &peer, "&event=stopped");
    assert!(body.contains("8:completei0e") && body.contains("5:peers0:"), "{body}");
    assert_eq!(world.row().seeders, 0);
    peer.port = 0;
    let refused = announce(&mut world, &peer, "");
    assert_eq!(refused, "d14:failure reason24:port 0 cannot be reachede");
}

#[test]
fn a_peer_on_the_trackers_machine_is_handed_under_the_address_that_was_asked() {
    let mut world = World::open();
    world.announce(&Peer::new("127.0.0.1:7001", 0));
    let body = announce(&mut world, &Peer::new("10.0.0.8:7002", 5), "");
    assert!(body.contains(r"5:peers6:\n\x00\x00\x01\x1bYe"), "{body}");
}

#[test]
fn a_token_in_the_path_or_the_query_changes_nothing_yet() {
    let mut world = World::local();
    let peer = Peer::new("127.0.0.1:7001", 5);
    let plain = target(&peer, "");
    let with_path = plain.replace("/announce?", "/announce/dG9rZW4?");
    for target in [plain.clone(), with_path, format!("{plain}&auth=dG9rZW4")] {
        let body = get(&mut world, peer.from, &target).text();
        assert!(body.contains("8:interval"), "{body}");
    }
}

#[test]
fn a_scrape_tells_of_every_hash_it_names_in_the_order_of_bytes() {
    let mut world = World::local();
    let (one, two) = (InfoHash([b'b'; 20]), InfoHash([b'a'; 20]));
    world.announce(&Peer::new("127.0.0.1:7001", 0).hash(one));
    world.announce(&Peer::new("127.0.0.1:7002", 5).hash(one));
    let hash = |hash: InfoHash| format!("info_hash={}", hash.0.escape_ascii());
    let query = format!("/scrape?{}&{}&{}", hash(one), hash(two), hash(one));
    let body = get(&mut world, addr("127.0.0.1:9"), &query).text();
    let row = |complete, incomplete| {
        format!("d8:completei{complete}e10:downloadedi0e10:incompletei{incomplete}ee")
    };
    let files = format!("20:{}{}20:{}{}", "a".repeat(20), row(0, 0), "b".repeat(20), row(1, 1));
    assert_eq!(body, format!("d5:filesd{files}e5:flagsd20:min_request_intervali60eee"));
    parse(body.as_bytes(), Mode::Strict, Limits::MESSAGE).unwrap();
    let all = get(&mut world, addr("127.0.0.1:9"), "/scrape").text();
    assert!(all.starts_with("d14:failure reason"), "{all}");
}
