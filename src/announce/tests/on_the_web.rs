//! Announces over HTTP against a scripted web: where URLs lead, and what comes of it.

use crate::announce::approach::{Approach, Purpose};
use crate::announce::http::{Heard, HttpAnnouncer};
use crate::announce::resolver::Found;
use crate::announce::tiers::{Tiers, What};
use crate::announce::udp::{Identity, Stats};
use crate::core::id::{ConnId, InfoHash, PeerId};
use crate::core::io::{Closed, Distrust, Effect, Outbox, Transport};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::expect_mark;
use crate::wire::tracker_url;
use crate::wire::udp::{AnnounceResponse, Event, Request, Response};
use std::collections::BTreeSet;

const STATS: Stats = Stats { downloaded: 1, left: 100, uploaded: 3, port: 6881, slots: None };
const ANSWER: &str = "d8:completei3e8:intervali1800e5:peers6:\x01\x02\x03\x04\x00\x05e";

struct World {
    talk: HttpAnnouncer,
    now: Time,
    out: Outbox,
    heard: Vec<Heard>,
}

impl World {
    fn new(url: &str) -> World {
        let identity = Identity {
            info_hash: InfoHash([0xab; 20]),
            peer_id: PeerId(*b"-LM0100-ABCDEFGHIJKL"),
            key: 7,
            own: Vec::new(),
        };
        let mut talk = HttpAnnouncer::new(tracker_url::read(url).unwrap(), identity, 1);
        talk.start(Time::ZERO);
        let (now, out) = (Time::ZERO, Outbox::default());
        let mut world = World { talk, now, out, heard: Vec::new() };
        world.poll();
        world
    }

    fn poll(&mut self) {
        let heard = self.talk.poll(self.now, &mut self.out);
        self.heard.extend(heard);
    }

    fn found(&mut self, host: &str, addresses: &[&str]) {
        let addresses = Ok(addresses.iter().map(|ip| ip.parse().unwrap()).collect());
        let found = Found { host: host.into(), addresses };
        let heard = self.talk.got_found(&found, self.now, &mut self.out);
        self.heard.extend(heard);
    }

    /// The one dial since the last look: its id and where it goes, `tls:` before that over TLS.
    fn dialled(&mut self) -> Option<(ConnId, String)> {
        let out = std::mem::take(&mut self.out.effects);
        let mut dials = out.into_iter().filter_map(|effect| match effect {
            Effect::Dial { conn, to, transport: Transport::Plain, .. } => {
                Some((conn, to.to_string()))
            }
            Effect::Dial { conn, to, transport: Transport::Tls { name }, .. } => {
                Some((conn, format!("tls:{name}:{to}")))
            }
            _ => None,
        });
        let first = dials.next();
        assert!(dials.next().is_none());
        first
    }

    /// Connects, and looks at what is asked there.
    fn asked(&mut self, conn: ConnId) -> String {
        assert!(self.talk.got_connected(conn, STATS, &mut self.out));
        let chunks = std::mem::take(&mut self.out.effects);
        let bytes = chunks.iter().find_map(|effect| match effect {
            Effect::Send { chunk: crate::core::chunk::Chunk::Arena { start, len }, .. } => {
                Some(self.out.bytes(*start, *len).to_vec())
            }
            _ => None,
        });
        String::from_utf8(bytes.unwrap()).unwrap()
    }

    fn answered(&mut self, conn: ConnId, text: &str) {
        let heard = self.talk.got_bytes(conn, text.as_bytes(), self.now, &mut self.out);
        self.heard.extend(heard.unwrap());
    }

    fn closed(&mut self, conn: ConnId, why: Closed) {
        let heard = self.talk.got_closed(conn, why, self.now, &mut self.out);
        self.heard.extend(heard.unwrap());
    }

    fn failed(&mut self) -> String {
        match self.heard.pop() {
            Some(Heard::Failed(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    /// A world whose tracker at a public address was asked; the connection.
    fn asking(url: &str, at: &str) -> (World, ConnId) {
        let mut world = World::new(url);
        if let Some(host) = world.talk.take_lookup() {
            world.found(&host, &[at]);
        }
        let (conn, _) = world.dialled().unwrap();
        world.asked(conn);
        (world, conn)
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn sends_to(url: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\n\r\n")
}

#[test]
fn services_of_the_machine_itself_are_not_asked() {
    for url in [
        "http://127.0.0.1:8080/admin?x=1",
        "http://127.0.0.1/announce?info_hash=a",
        "http://127.0.0.1/announce?%70ort=1",
        "http://127.0.0.1/announce/../admin",
        "http://127.0.0.1/announce/%2e%2E/admin",
        "http://127.0.0.1/announce/.%2e/admin",
        "http://127.0.0.1/announce/..%2fadmin",
        "http://127.0.0.1/announce%5c..%5cadmin",
        "http://127.0.0.1/announce/%252e%252e/admin",
        "http://10.0.0.1/announce/../admin",
        "http://100.64.0.1/announce/../admin",
        "http://[64:ff9b::7f00:1]/admin",
        "http://[::127.0.0.1]/admin",
        "http://[2002:7f00:1::]/admin",
        "http://[64:ff9b::e000:1]/announce",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/x",
        "http://0.0.0.0/announce",
        "http://224.0.0.1/announce",
        "http://255.255.255.255/announce",
    ] {
        let mut world = expect_mark!("C12", World::new(url));
        assert!(world.failed().contains("its host is"), "{url}");
        assert_eq!(world.dialled(), None, "{url}");
    }
    for url in ["http://127.0.0.1:8080/announce", "http://[::1]/announce/TOKEN?auth=x"] {
        assert!(World::new(url).dialled().is_some(), "{url}");
    }
    // What a name means is decided on what is dialled.
    let mut world = World::new("http://rebinds.example/status");
    assert_eq!(world.talk.take_lookup().as_deref(), Some("rebinds.example"));
    assert_eq!(world.talk.take_lookup(), None);
    expect_mark!("C12", world.found("rebinds.example", &["127.0.0.1", "8.8.8.8", "::1"]));
    let (conn, to) = world.dialled().unwrap();
    assert_eq!(to, "8.8.8.8:80");
    world.closed(conn, Closed::Refused);
    assert_eq!(world.failed(), "nobody listens there");
}

#[test]
fn a_web_seed_in_our_own_network_takes_no_orders() {
    let mut out = Outbox::default();
    let mut may = |url: &str| {
        Approach::new(tracker_url::read(url).unwrap(), Purpose::WebSeed, &mut out).is_ok()
    };
    for url in
        ["http://127.0.0.1:8080/files/x.bin", "http://10.0.0.1/x", "http://8.8.8.8/x?token=1"]
    {
        assert!(may(url), "{url}");
    }
    for url in [
        "http://127.0.0.1:8080/?stop",
        "http://[::1]/x?a=b",
        "http://169.254.169.254/a?b",
        "http://10.0.0.1/x?token=1",
        "http://192.168.0.1/reboot?now",
        "http://100.64.0.1/x?a",
        "http://198.18.0.1/x?a",
        "http://[fd00::1]/x?a",
        "http://[64:ff9b::a00:1]/x?a",
    ] {
        assert!(!expect_mark!("C12", may(url)), "{url}");
    }
    assert!(!may("udp://10.0.0.1/x"));
}

#[test]
fn the_next_address_is_tried_when_nobody_listens_at_the_first() {
    let mut world = World::new("https://t.example:8443/announce");
    world.talk.take_lookup();
    world.found("t.example", &["8.8.8.8", "2001:db8::1"]);
    let (first, to) = world.dialled().unwrap();
    assert_eq!(to, "tls:t.example:8.8.8.8:8443");
    world.closed(first, Closed::Unreachable);
    let (second, to) = world.dialled().unwrap();
    assert_eq!(to, "tls:t.example:[2001:db8::1]:8443");
    assert!(world.asked(second).contains("\r\nHost: t.example:8443\r\n"));
    world.answered(second, &ok(ANSWER));
    assert!(matches!(&world.heard[..], [Heard::Peers { seeders: Some(3), peers, .. }]
        if peers.len() == 1));
}

#[test]
fn addresses_of_both_families_are_tried_in_turn_and_none_for_long() {
    let mut world = World::new("https://t.example/announce");
    world.talk.take_lookup();
    let v4 = ["0.0.0.0", "8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4", "8.8.8.5"];
    world.found("t.example", &[&v4[..], &["2001:db8::1"]].concat());
    let mut tried = Vec::new();
    let (mut conn, mut to) = world.dialled().unwrap();
    for turn in 0..4 {
        tried.push(to);
        if turn % 2 == 0 {
            world.now = world.talk.deadline();
            world.poll();
        } else {
            world.closed(conn, Closed::Untrusted(Distrust::Protocol));
        }
        let Some(next) = world.dialled() else { break };
        (conn, to) = next;
    }
    let ports = ["8.8.8.1:443", "[2001:db8::1]:443", "8.8.8.2:443", "8.8.8.3:443"];
    assert_eq!(tried, ports.map(|at| format!("tls:t.example:{at}")));
    assert_eq!(world.now, Time::ZERO + Span::secs(16));
    assert!(world.failed().contains("t.example"));
}

#[test]
fn a_certificate_that_is_not_valid_is_told_and_nothing_is_asked() {
    let mut world = World::new("https://t.example/announce");
    world.talk.take_lookup();
    world.found("t.example", &["8.8.8.8", "8.8.4.4"]);
    let (conn, _) = world.dialled().unwrap();
    expect_mark!("C15", world.closed(conn, Closed::Untrusted(Distrust::Expired)));
    assert_eq!(world.failed(), "certificate of t.example is not valid: it has expired");
    assert_eq!(world.dialled(), None, "nor is it at another address");
}

#[test]
fn redirections_lead_only_where_they_may() {
    for (from, to, says) in [
        ("http://t.example/announce", "http://10.0.0.1/announce", "not public"),
        ("http://t.example/announce", "http://127.0.0.1/announce", "not public"),
        ("http://t.example/announce", "http://[::ffff:192.168.0.1]/announce", "not public"),
        ("http://t.example/announce", "http://100.64.0.1/announce", "not public"),
        ("http://t.example/announce", "http://198.18.0.1/announce", "not public"),
        ("http://t.example/announce", "http://[64:ff9b::a00:1]/announce", "not public"),
        ("http://t.example/announce", "http://[2002:a00:1::1]/announce", "not public"),
        ("https://t.example/announce", "http://t.example/announce", "from https to http"),
        ("http://t.example/announce", "udp://t.example/announce", "from http to udp"),
    ] {
        let (mut world, conn) = World::asking(from, "8.8.8.8");
        expect_mark!("C13", world.answered(conn, &sends_to(to)));
        let failed = world.failed();
        assert!(failed.contains(says), "{to}: {failed}");
        assert_eq!(world.dialled(), None, "{to}");
    }
    for to in ["gopher://t.example/", "file:///etc/passwd", "http://2130706433/announce"] {
        let (mut world, conn) = World::asking("http://t.example/announce", "8.8.8.8");
        world.answered(conn, &sends_to(to));
        assert!(world.failed().contains("it sends us elsewhere"), "{to}");
    }
    // From a network of one's own to the machine itself is no way either.
    let (mut world, conn) = World::asking("http://10.0.0.9/announce", "");
    expect_mark!("B16", world.answered(conn, &sends_to("http://127.0.0.1/announce")));
    assert!(world.failed().contains("where no tracker of strangers is"));
}

#[test]
fn a_tracker_that_sends_us_to_itself_is_left_after_five_times() {
    let (mut world, mut conn) = World::asking("http://8.8.8.8/a/announce", "");
    for hop in 0..5 {
        let to = ["announce?x=1", "?x=2", "/a/announce", "//8.8.8.8/announce", "announce"][hop];
        world.answered(conn, &sends_to(to));
        conn = world.dialled().unwrap_or_else(|| panic!("{hop}: {:?}", world.heard)).0;
        let path = ["/a/announce?x=1&", "/a/announce?x=2&", "/a/announce?", "/announce?"];
        let asked = world.asked(conn);
        assert!(path.get(hop).is_none_or(|p| asked.starts_with(&format!("GET {p}"))), "{asked}");
    }
    expect_mark!("C13", world.answered(conn, &sends_to("/announce")));
    assert!(world.failed().contains("more than 5 times"));
    assert_eq!(world.dialled(), None);
}

#[test]
fn a_redirection_that_repeats_the_question_is_asked_as_it_stands() {
    let (mut world, conn) = World::asking("http://8.8.8.8/announce", "");
    let to = "https://8.8.4.4/x/announce?info_hash=%AB&port=9";
    world.answered(conn, &sends_to(to));
    let (conn, at) = world.dialled().unwrap();
    assert_eq!(at, "tls:8.8.4.4:8.8.4.4:443");
    let asked = world.asked(conn);
    assert!(asked.starts_with("GET /x/announce?info_hash=%AB&port=9 HTTP/1.1\r\n"), "{asked}");
    // The next question goes to the tracker itself again.
    world.answered(conn, &ok(ANSWER));
    world.poll();
    assert_eq!(world.dialled().unwrap().1, "8.8.8.8:80");
}

#[test]
fn an_answer_that_drips_has_thirty_seconds_in_all() {
    let (mut world, mut conn) = World::asking("http://8.8.8.8/announce", "");
    for _ in 0..2 {
        world.now = world.now + Span::secs(14);
        world.answered(conn, &sends_to("/announce"));
        conn = world.dialled().unwrap().0;
        world.asked(conn);
    }
    world.answered(conn, "HTTP/1.1 200 OK\r\nX");
    world.poll();
    assert!(world.heard.is_empty());
    world.now = world.talk.deadline();
    assert_eq!(world.now, Time::ZERO + Span::secs(30));
    expect_mark!("C14", world.poll());
    assert_eq!(world.failed(), "no answer in 30 s");
}

#[test]
fn what_a_tracker_counts_is_asked_once_it_has_answered() {
    let (mut world, conn) = World::asking("http://8.8.8.8/announce?auth=1", "");
    world.answered(conn, &ok(ANSWER));
    world.poll();
    let (conn, _) = world.dialled().unwrap();
    let asked = world.asked(conn);
    assert!(asked.starts_with("GET /scrape?auth=1&info_hash=%AB"), "{asked}");
    let mut row = b"HTTP/1.1 200 OK\r\n\r\nd5:filesd20:".to_vec();
    row.extend([0xab; 20]);
    row.extend(b"d8:completei5e10:downloadedi9e10:incompletei2eeee");
    let heard = world.talk.got_bytes(conn, &row, world.now, &mut world.out);
    assert_eq!(heard, Some(None));
    world.closed(conn, Closed::ByPeer);
    let Some(Heard::Scraped(row)) = world.heard.pop() else { panic!() };
    assert_eq!((row.seeders, row.completed, row.leechers), (5, 9, 2));
    assert_eq!(world.talk.deadline(), world.now + Span::secs(1800));
    // Who has no path for it is not asked, and who does not answer is no worse for it.
    let (mut world, conn) = World::asking("http://8.8.8.8/a", "");
    world.answered(conn, &ok(ANSWER));
    world.poll();
    assert_eq!(world.dialled(), None);
}

/// What trackers over UDP are sent: where to, and the request.
fn sent(out: &mut Outbox) -> Vec<(String, Request)> {
    let effects = std::mem::take(&mut out.effects);
    let datagrams = effects.iter().filter_map(|effect| match effect {
        Effect::Datagram { to, start, len, .. } => {
            Some((to.to_string(), Request::decode(out.bytes(*start, *len)).unwrap()))
        }
        _ => None,
    });
    datagrams.collect()
}

#[test]
fn a_tracker_over_udp_is_followed_to_where_it_moves() {
    let urls = [vec!["udp://t.example:7/announce".to_owned()]];
    let (mut tiers, mut out) = (Tiers::new(&urls, Rng::new(3)), Outbox::default());
    let mut now = Time::ZERO;
    let found =
        |at: &str| Found { host: "t.example".into(), addresses: Ok(vec![at.parse().unwrap()]) };
    assert!(tiers.take_lookups(now).is_empty(), "nothing is announced yet");
    let peer = PeerId(*b"-LM0100-ABCDEFGHIJKL");
    tiers.announce(InfoHash([1; 20]), (peer, &[]), now);
    assert_eq!(tiers.take_lookups(now), ["t.example"]);
    tiers.poll(STATS, now, &mut out);
    assert!(sent(&mut out).is_empty());
    tiers.got_found(&found("10.0.0.1"), now, &mut out);
    tiers.poll(STATS, now, &mut out);
    let first = sent(&mut out);
    let [(to, Request::Connect { tid })] = &first[..] else { panic!("{first:?}") };
    assert_eq!(to, "10.0.0.1:7");
    let mut answer = Vec::new();
    Response::Connect { tid: *tid, cid: 9 }.encode(false, &mut answer);
    tiers.got_datagram(to.parse().unwrap(), &answer, now, &mut out);
    tiers.poll(STATS, now, &mut out);
    let announce = sent(&mut out);
    assert!(matches!(&announce[..], [(_, Request::Announce(_))]), "{announce:?}");
    // It does not answer: its name is looked up anew, and it is found elsewhere.
    expect_mark!(
        "G03",
        while tiers.take_news().is_empty() {
            now = tiers.deadline();
            tiers.poll(STATS, now, &mut out);
        }
    );
    assert_eq!(tiers.take_lookups(now), ["t.example"]);
    sent(&mut out);
    tiers.got_found(&found("10.0.0.1"), now, &mut out);
    now = now + Span::secs(60);
    assert_eq!(tiers.take_lookups(now), ["t.example"], "it may move later");
    sent(&mut out);
    tiers.got_found(&found("10.0.0.2"), now, &mut out);
    tiers.poll(STATS, now, &mut out);
    let second = sent(&mut out);
    assert!(matches!(&second[..], [(to, Request::Connect { .. })] if to == "10.0.0.2:7"));
    // And in any case every 20 minutes, while it stays where it is.
    let lookup_at = now + Span::secs(1200);
    assert!(tiers.take_lookups(Time(lookup_at.0 - 1)).is_empty());
    assert_eq!(tiers.take_lookups(lookup_at), ["t.example"]);
    tiers.got_found(&found("10.0.0.2"), lookup_at, &mut out);
    assert!(sent(&mut out).is_empty(), "nothing begins anew");
}

#[test]
fn trackers_that_are_left_are_told_so_and_count_no_more() {
    let urls = ["udp://10.0.0.1:7", "udp://10.0.0.2:7"].map(|url| vec![url.to_owned()]);
    let (mut tiers, mut out) = (Tiers::new(&urls, Rng::new(3)).at_once(1), Outbox::default());
    let now = Time::ZERO + Span::secs(1);
    tiers.announce(InfoHash([1; 20]), (PeerId([7; 20]), &[]), now);
    tiers.poll(STATS, now, &mut out);
    let answer = |tiers: &mut Tiers, out: &mut Outbox| {
        let asked = sent(out);
        for (to, request) in &asked {
            let mut bytes = Vec::new();
            match request {
                Request::Connect { tid } => Response::Connect { tid: *tid, cid: 9 },
                Request::Announce(announce) => Response::Announce(AnnounceResponse {
                    tid: announce.tid,
                    interval_s: 60,
                    leechers: 0,
                    seeders: 1,
                    peers: vec!["10.0.0.9:6881".parse().unwrap()],
                }),
                _ => continue,
            }
            .encode(false, &mut bytes);
            tiers.got_datagram(to.parse().unwrap(), &bytes, now, out);
        }
        tiers.poll(STATS, now, out);
        asked
    };
    answer(&mut tiers, &mut out);
    answer(&mut tiers, &mut out);
    let told = |tiers: &mut Tiers| {
        let news = tiers.take_news().into_iter();
        let answered = news.filter(|news| matches!(news.what, What::Answered { .. }));
        answered.map(|news| news.tier).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut tiers), [0, 1]);
    sent(&mut out);
    tiers.leave_from(1, STATS, now, &mut out);
    let farewell = answer(&mut tiers, &mut out);
    let stopped = farewell.iter().filter_map(|(to, request)| match request {
        Request::Announce(announce) => Some((&to[..], announce.event)),
        _ => None,
    });
    assert_eq!(stopped.collect::<Vec<_>>(), [("10.0.0.2:7", Event::Stopped)]);
    assert!(told(&mut tiers).is_empty());
    tiers.announce(InfoHash([2; 20]), (PeerId([7; 20]), &[]), now);
    tiers.poll(STATS, now, &mut out);
    let to: Vec<String> = sent(&mut out).into_iter().map(|(to, _)| to).collect();
    assert!(!to.is_empty() && to.iter().all(|to| to == "10.0.0.1:7"), "{to:?}");
}

#[test]
fn a_tier_is_asked_once_all_of_those_before_it_have_failed() {
    let urls = [
        vec!["udp://10.0.0.1:7".to_owned(), "udp://10.0.0.2:7".to_owned()],
        vec!["gopher://nothing".to_owned()],
        vec!["udp://10.0.0.3:7".to_owned()],
        vec!["udp://10.0.0.4:7".to_owned()],
    ];
    let (mut tiers, mut out) = (Tiers::new(&urls, Rng::new(3)).at_once(1), Outbox::default());
    let mut now = Time::ZERO + Span::secs(1);
    tiers.announce(InfoHash([1; 20]), (PeerId([7; 20]), &[]), now);
    let (mut asked, mut failed) = (Vec::new(), BTreeSet::new());
    while now < Time::ZERO + Span::secs(600) {
        tiers.poll(STATS, now, &mut out);
        let news = tiers.take_news();
        failed.extend(news.iter().map(|news| (news.tier, news.tracker.clone())));
        for (to, _) in sent(&mut out) {
            if !asked.contains(&to) {
                let of_first = failed.iter().filter(|(tier, _)| *tier == 0).count();
                assert!(to != "10.0.0.3:7" || of_first == 2, "{asked:?} {failed:?}");
                asked.push(to);
            }
        }
        now = tiers.deadline().max(now + Span::ms(100));
    }
    assert!(asked.contains(&"10.0.0.3:7".to_owned()), "it is asked in the end: {asked:?}");
    assert!(asked[..2].contains(&"10.0.0.4:7".to_owned()), "it waits for nobody: {asked:?}");
}

#[test]
fn a_tier_that_answers_leaves_those_behind_it_alone() {
    let urls = ["udp://10.0.0.1:7", "udp://10.0.0.2:7"].map(|url| vec![url.to_owned()]);
    let (mut tiers, mut out) = (Tiers::new(&urls, Rng::new(3)), Outbox::default());
    let mut now = Time::ZERO + Span::secs(1);
    tiers.announce(InfoHash([1; 20]), (PeerId([7; 20]), &[]), now);
    for _ in 0..40 {
        tiers.poll(STATS, now, &mut out);
        for (to, request) in sent(&mut out) {
            assert_eq!(to, "10.0.0.1:7");
            let mut bytes = Vec::new();
            match request {
                Request::Connect { tid } => Response::Connect { tid, cid: 9 },
                Request::Announce(announce) => Response::Announce(AnnounceResponse {
                    tid: announce.tid,
                    interval_s: 60,
                    leechers: 0,
                    seeders: 0,
                    peers: vec![],
                }),
                Request::Scrape { .. } => continue,
            }
            .encode(false, &mut bytes);
            tiers.got_datagram(to.parse().unwrap(), &bytes, now, &mut out);
        }
        now = tiers.deadline().max(now + Span::ms(100));
    }
    assert!(now > Time::ZERO + Span::secs(300), "{now:?}");
}

#[test]
fn a_name_without_an_address_gives_way_to_the_next_tracker() {
    let urls = [vec!["udp://gone.example".to_owned(), "udp://10.0.0.1:7".to_owned()]];
    // Whichever the order, the one that is there is asked in the end.
    for seed in 0..8 {
        let (mut tiers, mut out) = (Tiers::new(&urls, Rng::new(seed)), Outbox::default());
        let now = Time::ZERO + Span::secs(1);
        tiers.announce(InfoHash([1; 20]), (PeerId([7; 20]), &[]), now);
        for host in tiers.take_lookups(now) {
            let found = Found { host, addresses: Err("there is no such host".into()) };
            tiers.got_found(&found, now, &mut out);
            let news = tiers.take_news();
            assert_eq!(news[0].what, What::Failed("there is no such host".into()));
        }
        tiers.poll(STATS, now, &mut out);
        assert_eq!(sent(&mut out)[0].0, "10.0.0.1:7", "seed {seed}");
    }
}

#[test]
fn counts_of_a_tracker_over_udp_are_asked_for_and_need_not_come() {
    let urls = [vec!["udp://10.0.0.1:7".to_owned()]];
    for answers in [true, false] {
        let (mut tiers, mut out) = (Tiers::new(&urls, Rng::new(3)), Outbox::default());
        let mut now = Time::ZERO;
        tiers.announce(InfoHash([1; 20]), (PeerId([7; 20]), &[]), now);
        let (mut scrapes, mut counts) = (0, 0);
        for _ in 0..12 {
            tiers.poll(STATS, now, &mut out);
            for (to, request) in sent(&mut out) {
                let answer = match request {
                    Request::Connect { tid } => Response::Connect { tid, cid: 9 },
                    Request::Announce(said) => {
                        Response::Announce(crate::wire::udp::AnnounceResponse {
                            tid: said.tid,
                            interval_s: 1800,
                            leechers: 1,
                            seeders: 2,
                            peers: Vec::new(),
                        })
                    }
                    Request::Scrape { tid, hashes, .. } => {
                        assert_eq!(hashes, [InfoHash([1; 20])]);
                        scrapes += 1;
                        if !answers {
                            continue;
                        }
                        let row =
                            crate::wire::udp::ScrapeRow { seeders: 2, completed: 9, leechers: 1 };
                        Response::Scrape { tid, rows: vec![row] }
                    }
                };
                let mut bytes = Vec::new();
                answer.encode(false, &mut bytes);
                tiers.got_datagram(to.parse().unwrap(), &bytes, now, &mut out);
            }
            for news in tiers.take_news() {
                assert!(!matches!(news.what, What::Failed(_)), "{news:?}");
                counts +=
                    usize::from(matches!(news.what, What::Scraped(row) if row.completed == 9));
            }
            now = tiers.deadline().max(now);
        }
        assert!(scrapes > 0);
        assert_eq!(counts > 0, answers);
    }
}
