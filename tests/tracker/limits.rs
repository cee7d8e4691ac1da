//! The rows of promises about a tracker under bad input and greed, those that no other file of this
//! folder shows: each test demands the mark of its row.

use super::catalogue::bare;
use super::world::{Peer, T0, World, addr, plan, vector};
use lmk::core::id::{InfoHash, PeerId};
use lmk::core::limits::{ADDRESS_METAINFO_BYTES_MAX, ADDRESS_NAMES_MAX, PARKED_SWARMS_MAX};
use lmk::core::rng::Rng;
use lmk::core::time::{Span, Time};
use lmk::expect_mark;
use lmk::tracker::admission::Bounds;
use lmk::tracker::clock::Clock;
use lmk::tracker::connection_id::{ConnectionIds, WINDOW_S};
use lmk::tracker::counts::Counts;
use lmk::tracker::mac::Key;
use lmk::tracker::metainfo::Metainfo;
use lmk::tracker::names::{METAINFO_BYTES_MAX, Names, News, OWNER_ENTRIES_MAX};
use lmk::tracker::record::{PeerKey, Progress};
use lmk::tracker::sites::Network;
use lmk::tracker::source::Source;
use lmk::tracker::swarms::{Announce, Swarms};
use lmk::wire::catalogue::answer::Answer;
use lmk::wire::catalogue::code;
use lmk::wire::catalogue::entry::{Entry, flag};
use lmk::wire::catalogue::hello::Owner;
use lmk::wire::catalogue::request::Request as ListRequest;
use lmk::wire::udp::{Event, Request, Response, ScrapeRow};
use std::net::SocketAddr;

fn scrape(world: &mut World, hash: InfoHash) -> ScrapeRow {
    let from = addr("127.0.0.1:9");
    let cid = world.connect(from);
    match world.request(from, &Request::Scrape { cid, tid: 1, hashes: vec![hash] }) {
        Some(Response::Scrape { rows, .. }) => rows[0],
        other => panic!("{other:?}"),
    }
}

fn hash(n: u32) -> InfoHash {
    let mut hash = [3; 20];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    InfoHash(hash)
}

fn id_from(windows: i64, from: SocketAddr) -> u64 {
    let unix = T0.saturating_add_signed(windows * WINDOW_S as i64);
    ConnectionIds::new(Key::new(&plan("0.0.0.0:1").secret)).give(from.ip(), unix)
}

#[test]
fn what_is_no_request_and_who_proves_nothing_get_silence() {
    let from = addr("127.0.0.1:7001");
    let mut world = World::local();
    for bytes in [&[0; 15][..], &[7; 16], &[0xee; 65_507], &vector("udp/connect_req.bin")[..15]] {
        assert_eq!(expect_mark!("B01", world.datagram(from, bytes)), None);
    }
    let mut announce = |cid, from: SocketAddr| {
        let request = Peer::new("127.0.0.1:7001", 1).request(cid);
        world.request(from, &Request::Announce(request))
    };
    assert_eq!(expect_mark!("B02", announce(0x1234, from)), None);
    let old = expect_mark!("B03", announce(id_from(-2, from), from));
    assert!(matches!(old, Some(Response::Error { text, .. }) if text == "connection id expired"));
    for future in [1, 2, 1000] {
        assert_eq!(expect_mark!("B04", announce(id_from(future, from), from)), None);
    }
    let good = id_from(0, from);
    assert_eq!(expect_mark!("B05", announce(good, addr("127.0.0.2:7001"))), None);
    let other_port = expect_mark!("B06", announce(good, addr("127.0.0.1:9999")));
    assert!(matches!(other_port, Some(Response::Announce(_))));
    assert_eq!(world.row().dropped, 9);
}

/// Whoever forges a source never sees an answer: without one it has no id for that address.
#[test]
fn forged_sources_change_nothing_and_draw_no_more_than_they_send() {
    let mut world = World::open();
    let (own, mut sent, mut drawn) = (addr("9.9.9.9:7001"), 0, 0);
    world.announce(&Peer::new("8.8.8.8:7001", 0));
    let cid = world.connect(own);
    let before = world.row();
    for n in 0..2000u32 {
        let forged = SocketAddr::new([7, 7, (n >> 8) as u8, n as u8].into(), 7001);
        let hashes = vec![Peer::new("8.8.8.8:7001", 0).hash; 74];
        let request = match n % 4 {
            0 => Request::Connect { tid: n },
            1 => Request::Announce(Peer::new("7.7.7.7:7001", 0).request(cid)),
            2 => Request::Scrape { cid, tid: n, hashes },
            _ => {
                let mut bye = Peer::new("8.8.8.8:7001", 0).event(Event::Stopped);
                bye.port = 7001;
                Request::Announce(bye.request(id_from(0, own)))
            }
        };
        let from = if n % 4 == 3 { addr("8.8.8.8:7001") } else { forged };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        let answer = world.datagram(from, &bytes).map_or(0, |answer| answer.len());
        assert!(answer <= bytes.len(), "{answer} for {}", bytes.len());
        (sent, drawn) = (sent + bytes.len(), drawn + answer);
    }
    let after = world.row();
    assert_eq!((after.seeders, after.leechers), (before.seeders, before.leechers));
    assert!(drawn > 0 && drawn < sent, "{drawn} for {sent}");
}

#[test]
fn an_error_is_never_longer_than_what_it_answers() {
    let mut world = World::local();
    let from = addr("127.0.0.1:7001");
    let mut bytes = Vec::new();
    Request::Scrape { cid: id_from(-3, from), tid: 1, hashes: vec![] }.encode(&mut bytes);
    assert_eq!(expect_mark!("B08", world.datagram(from, &bytes)), None);
}

#[test]
fn a_source_that_cannot_be_answered_gets_silence_and_a_mapped_one_is_ipv4() {
    let mut world = World::open();
    let connect = vector("udp/connect_req.bin");
    for from in ["1.2.3.4:0", "[::ffff:255.255.255.255]:5", "[ff02::1]:5", "10.0.0.1:6969"] {
        assert_eq!(expect_mark!("B09", world.datagram(addr(from), &connect)), None, "{from}");
    }
    assert!(world.datagram(addr("[::ffff:1.2.3.4]:5"), &connect).is_some());
}

#[test]
fn the_address_in_a_request_is_nobodys_and_port_0_is_refused() {
    let mut world = World::local();
    let from = addr("127.0.0.1:7001");
    let mut bytes = Vec::new();
    let cid = world.connect(from);
    Request::Announce(Peer::new("127.0.0.1:7001", 0).request(cid)).encode(&mut bytes);
    bytes[84..88].copy_from_slice(&[8, 8, 8, 8]);
    expect_mark!("B10", world.datagram(from, &bytes)).unwrap();
    assert_eq!(world.announce(&Peer::new("127.0.0.1:7002", 1)).peers, [from]);
    bytes[96..98].fill(0);
    let refused = expect_mark!("B11", world.datagram(from, &bytes)).unwrap();
    assert!(matches!(Response::decode(&refused, false), Some(Response::Error { .. })));
    // 7 is no event, and numbers beyond any file are numbers.
    bytes[96..98].copy_from_slice(&[1, 1]);
    bytes[56..80].fill(0xff);
    bytes[80..84].copy_from_slice(&7_u32.to_be_bytes());
    let answer = world.datagram(from, &bytes).unwrap();
    assert!(matches!(Response::decode(&answer, false), Some(Response::Announce(_))));
}

#[test]
fn a_full_table_takes_from_the_greedy_and_never_from_the_modest() {
    let mut plan = plan("0.0.0.0:6969");
    plan.bounds.peers = 60;
    let mut world = World::new(plan);
    let modest: Vec<Peer> = (1..=10)
        .map(|n| Peer::new(&format!("9.9.{n}.9:7000"), 1).hash(hash(1000 + n)).stock())
        .collect();
    modest.iter().for_each(|peer| assert!(world.announce_raw(peer).is_some()));
    let greedy = |n| Peer::new("8.8.8.8:7000", 1).hash(hash(n)).stock();
    let (mut taken, mut refused) = (0, 0);
    for n in 0..90 {
        match world.announce_raw(&greedy(n)) {
            Some(Response::Announce(_)) => taken += 1,
            Some(Response::Error { text, .. }) => {
                assert_eq!(text, "tracker is full, try later");
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((taken, refused), (50, 40));
    // Newcomers with little find room, at the cost of the greedy one alone.
    for n in 1..=15 {
        let newcomer = Peer::new(&format!("7.7.{n}.7:7000"), 1).hash(hash(2000 + n)).stock();
        assert!(matches!(world.announce_raw(&newcomer), Some(Response::Announce(_))), "{n}");
        assert_eq!(scrape(&mut world, hash(2000 + n)).leechers, 1);
    }
    for n in 1..=10 {
        assert_eq!(scrape(&mut world, hash(1000 + n)).leechers, 1, "modest {n} is gone");
    }
    assert_eq!(world.row().leechers, 60);
}

/// Most places of the table are empty, as after a great many swarms went.
#[test]
fn a_full_table_finds_the_greedy_however_few_places_are_taken() {
    let mut plan = plan("0.0.0.0:6969");
    plan.bounds.peers = 4000;
    let mut world = World::new(plan);
    let far = |n: u32| format!("7.{}.{}.7:7000", n >> 8, n & 255);
    let passing = |n: u32| Peer::new(&far(n), 1).hash(hash(n)).stock();
    (0..4000).for_each(|n| drop(world.announce_raw(&passing(n))));
    for n in 0..4000 {
        world.announce_raw(&passing(n).event(Event::Stopped));
    }
    for n in 0..60 {
        world.announce_raw(&Peer::new("8.8.8.8:7000", 1).hash(hash(9000 + n)).stock());
    }
    for n in 0..3940 {
        world.announce_raw(&Peer::new(&far(n), 1).hash(hash(8000)).stock());
    }
    assert_eq!(world.row().leechers, 4000);
    for n in 0..30 {
        let newcomer = Peer::new(&format!("9.9.{n}.9:7000"), 1).hash(hash(20_000 + n)).stock();
        assert!(matches!(world.announce_raw(&newcomer), Some(Response::Announce(_))), "{n}");
    }
}

#[test]
fn so_many_swarms_are_kept_for_their_counts_and_no_more() {
    let mut swarms = Swarms::new(Clock::new(T0), Rng::new(1), Bounds::default());
    for n in 0..PARKED_SWARMS_MAX as u32 + 10 {
        for (left, stopped) in [(1, false), (0, false), (0, true)] {
            let news = Announce {
                hash: hash(n),
                key: PeerKey::new(addr("10.0.0.1:7000")),
                id: PeerId([7; 20]),
                progress: Progress { uploaded: 0, downloaded: 0, left },
                stopped,
            };
            swarms.announce(Time::ZERO, &news).unwrap();
        }
    }
    assert_eq!(swarms.len(), PARKED_SWARMS_MAX);
    assert_eq!(swarms.scrape(hash(9)).1, 0, "the oldest went");
    assert_eq!(swarms.scrape(hash(10)).1, 1);
}

/// A tracker that had no limits for private addresses is started again as a public one.
#[test]
fn what_an_earlier_run_kept_of_one_source_is_taken_back_as_far_as_it_may_have_it() {
    let swarms = |public| {
        let bounds = Bounds { public, source_entries: 30, ..Bounds::default() };
        Swarms::new(Clock::new(T0), Rng::new(1), bounds)
    };
    let mut earlier = swarms(false);
    earlier.note_changes();
    let announce = |host: u8, port: u16, n: u32| Announce {
        hash: hash(n),
        key: PeerKey::new(SocketAddr::new([10, 0, 0, host].into(), port)),
        id: PeerId([7; 20]),
        progress: Progress { uploaded: 0, downloaded: 0, left: 0 },
        stopped: false,
    };
    for n in 0..10 {
        (1..=20).for_each(|port| _ = earlier.announce(Time::ZERO, &announce(1, port, n)));
        earlier.announce(Time::ZERO, &announce(2, 1, n)).unwrap();
    }
    let mut parts = Vec::new();
    while earlier.changed(&mut parts).is_some() {}
    for (public, greedy) in [(false, 200), (true, 30)] {
        let mut now = swarms(public);
        parts.iter().for_each(|part| drop(now.restore(Time::ZERO, part)));
        assert_eq!(now.peers(), greedy + 10, "{public}");
        for n in 0..10 {
            assert!(now.holds(hash(n), announce(2, 1, n).key), "the modest one is back");
            assert!(!public || now.scrape(hash(n)).0.complete <= 9, "eight of one in a swarm");
        }
    }
}

#[test]
fn swarms_that_are_empty_go_before_any_peer() {
    let mut plan = plan("0.0.0.0:6969");
    plan.bounds.peers = 3;
    let mut world = World::new(plan);
    let mut peer = Peer::new("10.0.0.1:7001", 1).hash(hash(1));
    world.announce(&peer);
    peer.left = 0;
    world.announce(&peer);
    world.announce(&peer.clone().event(Event::Stopped));
    assert_eq!(scrape(&mut world, hash(1)).completed, 1, "what was counted stays for a while");
    for n in 2..=3 {
        world.announce(&Peer::new("10.0.0.1:7001", 1).hash(hash(n)));
    }
    assert_eq!(scrape(&mut world, hash(1)).completed, 1);
    world.announce(&Peer::new("10.0.0.1:7001", 1).hash(hash(4)));
    assert_eq!(scrape(&mut world, hash(1)).completed, 0, "its place was needed");
    assert_eq!(world.row().leechers, 3);
}

#[test]
fn a_network_of_64_bits_is_one_address_and_a_full_swarm_protects_those_who_stay() {
    let mut plan = plan("[::]:6969");
    plan.bounds.swarm_peers = 20;
    let mut world = World::new(plan);
    for n in 0..8 {
        let from = format!("[2001:db8::{n:x}]:7000");
        assert!(matches!(world.announce_raw(&Peer::new(&from, 1)), Some(Response::Announce(_))));
    }
    let ninth = world.announce_raw(&Peer::new("[2001:db8::99]:7000", 1));
    let text = "too many peers from your address".to_owned();
    assert_eq!(ninth, Some(Response::Error { tid: 77, text }));
    let own_id = |net: &str, n: u32| {
        let mut peer = Peer::new(&format!("[2001:db8:{net}:{n:x}::1]:7000"), 1);
        peer.id.0[12..16].copy_from_slice(&n.to_be_bytes());
        peer
    };
    for _ in 0..3 {
        (0..10).for_each(|n| drop(world.announce(&own_id("1", n))));
    }
    expect_mark!(
        "B13",
        for n in 0..40 {
            world.pass(Span::ms(300));
            world.announce_raw(&own_id("2", n));
        }
    );
    assert_eq!(world.row().leechers, 20);
    let asker = Peer { num_want: 60, ..own_id("1", 0) };
    let told = world.announce(&asker).peers;
    for n in 1..10 {
        let settled = addr(&format!("[2001:db8:1:{n:x}::1]:7000"));
        assert!(told.contains(&settled), "{settled} was driven out");
    }
}

#[test]
fn a_completion_counts_once_in_a_run_and_a_new_run_counts_anew() {
    let mut world = World::local();
    let mut peer = Peer::new("127.0.0.1:7001", 9);
    world.announce(&peer);
    peer.left = 0;
    expect_mark!("B14", world.announce(&peer));
    expect_mark!("B21", world.announce(&peer));
    peer.left = 3;
    world.announce(&peer);
    peer.left = 0;
    world.announce(&peer);
    assert_eq!(scrape(&mut world, peer.hash).completed, 1);
    // Another id from the same port is another run of the program.
    peer.id = PeerId(*b"-LM0100-another-run-");
    peer.left = 9;
    world.announce(&peer);
    peer.left = 0;
    world.announce(&peer);
    assert_eq!(scrape(&mut world, peer.hash).completed, 2);
    // Who comes complete has completed nothing.
    peer.id = PeerId(*b"-LM0100-a-third-run-");
    world.announce(&peer);
    assert_eq!(scrape(&mut world, peer.hash).completed, 2);
}

#[test]
fn nobody_is_stopped_by_another_address() {
    let mut world = World::local();
    let peer = Peer::new("127.0.0.1:7001", 0);
    world.announce(&peer);
    let mut thief = Peer { port: 7001, ..Peer::new("127.0.0.2:7009", 0).event(Event::Stopped) };
    thief.id = peer.id;
    expect_mark!("B15", world.announce(&thief));
    assert_eq!(scrape(&mut world, peer.hash).seeders, 1);
    world.announce(&peer.clone().event(Event::Stopped));
    assert_eq!(scrape(&mut world, peer.hash).seeders, 0);
}

#[test]
fn options_stand_behind_byte_98_and_odd_ones_are_skipped() {
    let mut world = World::local();
    let from = addr("127.0.0.1:7001");
    let cid = world.connect(from);
    let mut plain = Vec::new();
    Request::Announce(Peer::new("127.0.0.1:7001", 0).request(cid)).encode(&mut plain);
    let mut answer = |options: &[u8]| {
        let bytes = [&plain[..], options].concat();
        Response::decode(&expect_mark!("B23", world.datagram(from, &bytes)).unwrap(), false)
    };
    let fine: [&[u8]; 4] = [&[], &[0, 2], &[1, 1, 0x7f, 2, 9, 9, 2, 1, 47], &[2, 0]];
    for options in fine {
        assert!(matches!(answer(options), Some(Response::Announce(_))), "{options:?}");
    }
    // The published vectors of BEP 41 decide: an option that is cut short is refused, although the
    // table of failures would rather ignore it.
    let many = [&[2, 255][..], &[b'x'; 255]].concat().repeat(100);
    assert!(matches!(answer(&many), Some(Response::Announce(_))));
    for cut in [&[2][..], &[2, 3, 1], &[0x7f, 1]] {
        assert!(matches!(answer(cut), Some(Response::Error { .. })), "{cut:?}");
    }
}

#[test]
fn time_is_the_monotonic_one_and_nobody_is_over_early() {
    let mut world = World::local();
    // Half a second into a second: the lifetime of 30 s is not cut short.
    world.now = world.now + Span::ms(999);
    let peer = Peer::new("127.0.0.1:7001", 0);
    expect_mark!("B25", world.announce(&peer));
    world.now = world.now + Span::ms(29_999);
    assert_eq!(scrape(&mut world, peer.hash).seeders, 1);
    world.now = world.now + Span::secs(2);
    assert_eq!(scrape(&mut world, peer.hash).seeders, 0, "and nobody stays, swept or not");
}

#[test]
fn a_public_address_is_answered_at_a_pace() {
    let mut world = World::open();
    let connect = vector("udp/connect_req.bin");
    let answered = |world: &mut World, from: &str| {
        (0..1000).filter(|_| world.datagram(addr(from), &connect).is_some()).count()
    };
    assert_eq!(answered(&mut world, "8.8.8.8:1"), 200);
    assert_eq!(answered(&mut world, "8.8.4.4:1"), 200, "others are not touched");
    assert_eq!(answered(&mut world, "10.0.0.7:1") + answered(&mut world, "127.0.0.1:1"), 2000);
}

#[test]
fn those_nearby_are_given_first_and_the_rest_at_random() {
    let mut plan = plan("0.0.0.0:6969");
    let named = [("10.1.0.0/16", "left"), ("10.2.0.0/16", "left")];
    plan.sites =
        named.map(|(cidr, name)| (Network::parse(cidr).unwrap(), name.to_owned())).to_vec();
    let mut world = World::new(plan);
    let mut enter = |from: String| {
        world.announce(&Peer::new(&from, 1));
        addr(&from)
    };
    let left: Vec<_> = (0..20).map(|n| enter(format!("10.2.{n}.9:7000"))).collect();
    let subnet: Vec<_> = (1..20).map(|n| enter(format!("10.7.7.{n}:7000"))).collect();
    for n in 0..100 {
        enter(format!("10.9.{n}.1:7000"));
    }
    for (from, near) in [("10.1.0.1:7000", &left), ("10.7.7.77:7000", &subnet)] {
        let asker = Peer { num_want: 30, ..Peer::new(from, 1) };
        let (one, two) = (world.announce(&asker).peers, world.announce(&asker).peers);
        assert_eq!(one.len(), 30);
        assert!(one[..near.len()].iter().all(|peer| near.contains(peer)), "{from}: {one:?}");
        assert!(near.iter().all(|peer| two.contains(peer)));
        assert_ne!(one[near.len()..], two[near.len()..], "the rest is drawn anew");
    }
}

/// One publishing from an address, by one of many owners that are all one.
fn news(source: &str, n: u32, metainfo: Metainfo) -> News {
    let mut owner = [0; 8];
    owner[..4].copy_from_slice(&(n / 1000).to_be_bytes());
    let entry = Entry {
        name: format!("{source} {n}"),
        v1: Some(hash(n)),
        v2: None,
        size: 1,
        piece_bytes: 16_384,
        flags: flag::V1,
        sha256: None,
        signed: None,
    };
    News {
        entry,
        metainfo,
        owner: Owner(owner),
        time_s: T0,
        counts: Counts::default(),
        source: Source::limited(source.parse().unwrap(), false),
        replaces: None,
    }
}

#[test]
fn one_address_has_a_share_of_the_catalogue_whatever_keys_it_shows() {
    let mut names = Names::new(1, Span::secs(60));
    let mut publish = |source: &str, n: u32| {
        let said = names.publish(Time::ZERO, news(source, n, Metainfo::default()));
        names.take_changed();
        said.map_err(|refusal| refusal.code)
    };
    for n in 0..ADDRESS_NAMES_MAX {
        assert!(publish("8.8.8.8", n).is_ok(), "{n}");
    }
    assert_eq!(publish("8.8.8.8", ADDRESS_NAMES_MAX).unwrap_err(), code::QUOTA);
    assert!(publish("8.8.8.8", 5).is_ok(), "what it has may be published again");
    assert!(publish("8.8.4.4", ADDRESS_NAMES_MAX).is_ok(), "a modest one is let in");
    for n in 0..=ADDRESS_NAMES_MAX {
        assert!(publish("10.0.0.9", n + 2 * ADDRESS_NAMES_MAX).is_ok(), "a private one, {n}");
    }
    let owner = news("8.8.8.8", 0, Metainfo::default()).owner;
    names.unpublish("8.8.8.8 0", hash(0), owner).unwrap();
    let again = names.publish(Time::ZERO, news("8.8.8.8", ADDRESS_NAMES_MAX, Metainfo::default()));
    let place = again.expect("in the place of one that was taken back").place;
    let newest = |replaces| News {
        replaces,
        owner: news("8.8.8.8", ADDRESS_NAMES_MAX, Metainfo::default()).owner,
        ..news("8.8.8.8", ADDRESS_NAMES_MAX + 1, Metainfo::default())
    };
    assert!(names.publish(Time::ZERO, newest(None)).is_err());
    assert!(names.publish(Time::ZERO, newest(Some(place))).is_ok(), "in the place of its old one");
}

#[test]
fn one_owner_has_so_many_names_wherever_it_publishes_from_in_public() {
    let mut names = Names::new(1, Span::secs(60));
    let mut publish = |source: &str, n: u32| {
        let news = News { owner: Owner([7; 8]), ..news(source, n, Metainfo::default()) };
        names.publish(Time::ZERO, news).map_err(|refusal| refusal.code).map(drop)
    };
    for n in 0..OWNER_ENTRIES_MAX {
        assert_eq!(publish(&format!("8.8.8.{}", n % 200), n), Ok(()), "{n}");
    }
    assert_eq!(publish("8.8.4.4", OWNER_ENTRIES_MAX), Err(code::QUOTA));
    assert_eq!(publish("10.0.0.9", OWNER_ENTRIES_MAX), Ok(()), "a private address");
}

#[test]
fn one_address_has_a_share_of_the_metainfo_that_is_kept() {
    let mut names = Names::new(1, Span::secs(60));
    let large: std::sync::Arc<[u8]> = vec![b'x'; 1 << 20].into();
    let mut publish = |source: &str, n: u32| {
        let metainfo = Metainfo { v1_info: Some(large.clone()), ..Metainfo::default() };
        let place = names.publish(Time::ZERO, news(source, n, metainfo)).unwrap().place;
        !names.get(&place).unwrap().metainfo.is_empty()
    };
    let most = (ADDRESS_METAINFO_BYTES_MAX >> 20) as u32;
    assert!((0..most).all(|n| publish("8.8.8.8", n)));
    assert!(!publish("8.8.8.8", most), "listed without");
    assert!(publish("8.8.4.4", most + 1) && publish("10.0.0.9", most + 2));
    let all = (METAINFO_BYTES_MAX >> 20) as u32;
    assert!((most + 3..all + 1).all(|n| publish("10.0.0.9", n)));
    assert!(!publish("10.0.0.9", all + 1) && !publish("8.8.4.4", all + 2), "no more in all");
}

#[test]
fn a_name_counts_for_the_address_that_published_it() {
    let mut world = World::open();
    let origins = |world: &World| {
        let mut tables = world.tracker.tables();
        tables.find(|(table, _)| *table == "name_origins").unwrap().1
    };
    for (from, counted) in [("10.0.0.9:50", 0), ("127.0.0.1:50", 0), ("8.8.8.8:50", 1)] {
        let mut client = world.client(addr(from), Some(1));
        let answer = world.ask(&mut client, &ListRequest::Publish(bare(from, 1)));
        assert!(matches!(answer, Answer::Published { .. }), "{from}: {answer:?}");
        assert_eq!(origins(&world), counted, "{from}");
    }
}
