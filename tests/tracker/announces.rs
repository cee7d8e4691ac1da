//! Announces over UDP: who is answered, what, and for how long they are remembered.

use super::world::{Peer, World, addr, ip, vector};
use lmk::core::id::{InfoHash, PeerId};
use lmk::core::time::Span;
use lmk::expect_mark;
use lmk::tracker::connection_id::WINDOW_S;
use lmk::tracker::lists::CONNECTIONS_MAX;
use lmk::wire::catalogue::request::{Register, Request as ListRequest};
use lmk::wire::control::{ControlResponse, Op, Status, caps};
use lmk::wire::udp::{Event, Request, Response, ScrapeRow};
use proptest::prelude::*;

fn scrape(world: &mut World) -> ScrapeRow {
    let from = addr("127.0.0.1:9");
    let cid = world.connect(from);
    let hashes = vec![InfoHash([0xaa; 20])];
    match world.request(from, &Request::Scrape { cid, tid: 1, hashes }) {
        Some(Response::Scrape { rows, .. }) => rows[0],
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_leecher_is_told_of_all_and_a_seeder_of_leechers_alone_and_nobody_of_themselves() {
    let mut world = World::local();
    let (seed, other_seed) = (Peer::new("127.0.0.1:7001", 0), Peer::new("127.0.0.1:7002", 0));
    let leech = Peer::new("127.0.0.1:7003", 5);
    assert_eq!(world.announce(&seed).peers, []);
    assert_eq!(world.announce(&other_seed).peers, []);
    let mut told = world.announce(&leech).peers;
    told.sort();
    assert_eq!(told, [seed.from, other_seed.from]);
    let answer = world.announce(&seed);
    assert_eq!(answer.peers, [leech.from]);
    assert_eq!((answer.seeders, answer.leechers, answer.interval_s), (2, 1, 5));
    assert_eq!(world.told("joined").len(), 3);
}

#[test]
fn aria2_is_told_of_seeders_though_it_says_that_nothing_is_left() {
    let mut world = World::local();
    let seed = Peer::new("127.0.0.1:7001", 0);
    let other = Peer::new("127.0.0.1:7002", 0).stock();
    world.announce(&seed);
    assert_eq!(world.announce(&other).peers, []);
    // With a magnet link it says so before it knows the size.
    let mut aria2 = Peer::new("127.0.0.1:7003", 0);
    aria2.id.0[..9].copy_from_slice(b"A2-1-36-0");
    let mut told = world.announce(&aria2).peers;
    told.sort();
    assert_eq!(told, [seed.from, other.from]);
}

/// Some programs send zeros for an id: they are not one program for it.
#[test]
fn a_peer_id_of_zeros_names_nobody() {
    let mut world = World::local();
    let blank = |from: &str, left| Peer { id: PeerId([0; 20]), ..Peer::new(from, left) };
    let (one, two) = (blank("127.0.0.1:7001", 5), blank("127.0.0.1:7002", 5));
    world.announce(&one);
    assert_eq!(world.announce(&two).peers, [one.from]);
    assert_eq!(world.announce(&one).peers, [two.from], "and never itself");
    // The same id elsewhere is the same program, once it is an id.
    let moved = Peer { id: Peer::new("127.0.0.1:7003", 5).id, ..Peer::new("127.0.0.1:7004", 5) };
    world.announce(&Peer::new("127.0.0.1:7003", 5));
    assert!(!world.announce(&moved).peers.contains(&addr("127.0.0.1:7003")));
    // Who registered is known by the same rule.
    let mut node = world.client(addr("127.0.0.1:50"), Some(1));
    let hash = InfoHash([0xbb; 20]);
    let (port, peer_id, hashes) = (7009, PeerId([0; 20]), vec![hash]);
    let register = Register { port, peer_id, hashes, more: false };
    world.ask(&mut node, &ListRequest::Register(register));
    assert_eq!(world.announce(&one.clone().hash(hash)).peers, [addr("127.0.0.1:7009")]);
}

#[test]
fn a_flood_of_peers_is_told_of_at_a_pace() {
    let mut world = World::local();
    let peer = |n: u32| Peer::new(&format!("127.{}.{}.1:7001", n >> 8, n & 255), 5);
    let most = 1000;
    (0..3000).for_each(|n| drop(world.announce(&peer(n))));
    assert_eq!(world.told("joined").len(), most);
    world.pass(Span::secs(1));
    (3000..4500).for_each(|n| drop(world.announce(&peer(n))));
    assert_eq!(world.told("joined").len(), 2 * most, "a new second");
    world.pass(Span::secs(1));
    (4500..5000).for_each(|n| drop(world.announce(&peer(n))));
    assert_eq!(world.told("joined").len(), 2 * most + 500);
    (5000..5010).for_each(|n| drop(world.announce(&peer(n))));
    assert_eq!(world.told("joined").len(), 2 * most + 500, "of a crowd nothing is told at all");
}

#[test]
fn an_announce_that_stops_removes_the_peer_at_once_and_only_that_peer() {
    let mut world = World::local();
    world.announce(&Peer::new("127.0.0.1:7001", 0));
    world.announce(&Peer::new("127.0.0.1:7002", 0));
    // Same id, same port, other address: somebody else.
    let mut thief = Peer::new("127.0.0.9:7001", 0).event(Event::Stopped);
    thief.id = Peer::new("127.0.0.1:7001", 0).id;
    world.announce(&thief);
    assert_eq!(scrape(&mut world).seeders, 2);
    let answer = world.announce(&Peer::new("127.0.0.1:7001", 0).event(Event::Stopped));
    assert_eq!((answer.seeders, answer.peers.len()), (1, 0));
    assert_eq!(
        world.told("left"),
        ["left: 127.0.0.1:7001, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \
             (1 with all of it, 0 downloading)"]
    );
}

#[test]
fn a_download_that_completes_is_counted_and_told_once() {
    let mut world = World::local();
    let mut peer = Peer::new("127.0.0.1:7001", 9).event(Event::Started);
    world.announce(&peer);
    (peer.left, peer.event) = (0, Event::Completed);
    for _ in 0..3 {
        world.announce(&peer);
    }
    // Back and forth does not count again; who comes complete has completed nothing here.
    peer.left = 4;
    world.announce(&peer);
    peer.left = 0;
    world.announce(&peer);
    world.announce(&Peer::new("127.0.0.1:7002", 0).event(Event::Completed));
    let row = scrape(&mut world);
    assert_eq!((row.seeders, row.completed, row.leechers), (2, 1, 0));
    assert_eq!(world.told("joined").len(), 2);
}

#[test]
fn silence_removes_a_node_after_its_time_and_a_stock_client_after_eleven_minutes() {
    let mut world = World::local();
    world.announce(&Peer::new("127.0.0.1:7001", 0));
    world.announce(&Peer::new("127.0.0.1:7002", 0).stock());
    world.pass(Span::secs(29));
    assert_eq!(scrape(&mut world).seeders, 2);
    world.pass(Span::secs(2));
    assert_eq!(scrape(&mut world).seeders, 1);
    assert_eq!(world.told("expired").len(), 1);
    world.pass(Span::secs(628));
    assert_eq!(scrape(&mut world).seeders, 1);
    world.pass(Span::secs(2));
    assert_eq!(scrape(&mut world).seeders, 0);
    assert_eq!(world.row().seeders, 0);
    assert_eq!(lmk::core::io::Role::deadline(&world.tracker), lmk::core::time::Time::NEVER);
}

#[test]
fn an_announce_keeps_a_peer_and_an_expired_one_is_never_handed_out() {
    let mut world = World::local();
    let seed = Peer::new("127.0.0.1:7001", 0);
    for _ in 0..10 {
        world.announce(&seed);
        world.pass(Span::secs(20));
    }
    assert_eq!(world.announce(&Peer::new("127.0.0.1:7003", 5)).peers, [seed.from]);
    // Time passes without the tracker being woken: the answer is right all the same.
    world.now = world.now + Span::secs(40);
    assert_eq!(world.announce(&Peer::new("127.0.0.1:7003", 5)).peers, []);
}

#[test]
fn ids_of_others_get_silence_and_old_ones_an_error_that_says_so() {
    let mut world = World::local();
    let (here, there) = (addr("127.0.0.1:7001"), addr("127.0.0.2:7001"));
    let cid = world.connect(here);
    let request = Request::Announce(Peer::new("127.0.0.1:7001", 0).request(cid));
    let mut wrong = Peer::new("127.0.0.1:7001", 0).request(cid ^ 1);
    assert_eq!(world.request(here, &Request::Announce(wrong.clone())), None);
    assert_eq!(world.request(there, &request), None);
    wrong.cid = u64::MAX;
    assert_eq!(world.request(here, &Request::Announce(wrong)), None);
    assert_eq!(world.row().dropped, 3);
    assert!(world.request(addr("127.0.0.1:9999"), &request).is_some(), "another port");
    world.now = world.now + Span::secs(2 * WINDOW_S);
    let text = "connection id expired".to_owned();
    assert_eq!(world.request(here, &request), Some(Response::Error { tid: 77, text }));
    world.now = world.now + Span::secs(9 * WINDOW_S);
    assert_eq!(world.request(here, &request), None);
}

#[test]
fn junk_and_impossible_sources_get_silence() {
    let mut world = World::local();
    let connect = vector("udp/connect_req.bin");
    for from in ["1.2.3.4:0", "0.0.0.0:1", "239.1.2.3:1", "255.255.255.255:1", "127.0.0.1:6969"] {
        assert_eq!(world.datagram(addr(from), &connect), None, "{from}");
    }
    let from = addr("127.0.0.1:5");
    let junk: [&[u8]; 5] =
        [b"", &connect[..15], &[0; 16], &[0xff; 65_507], b"GET / HTTP/1.1\r\n\r\n"];
    for bytes in junk {
        assert_eq!(world.datagram(from, bytes), None);
    }
    for name in ["unknown_action", "announce_short_97", "announce_bad_cid", "scrape_empty"] {
        assert_eq!(world.datagram(from, &vector(&format!("invalid/udp/{name}.bin"))), None);
    }
    assert_eq!(world.row().dropped, 14);
    assert_eq!(world.row().answered, 0);
}

#[test]
fn odd_numbers_in_an_announce_do_no_harm() {
    let mut world = World::local();
    let mut peer = Peer::new("127.0.0.1:7001", u64::MAX);
    peer.num_want = i32::MIN;
    assert_eq!(world.announce(&peer).leechers, 1);
    let mut other = Peer::new("127.0.0.1:7002", 1);
    other.num_want = i32::MAX;
    assert_eq!(world.announce(&other).peers, [peer.from]);
    other.num_want = 0;
    assert_eq!(world.announce(&other).peers, []);
    other.port = 0;
    let text = "port 0 cannot be reached".to_owned();
    assert_eq!(world.announce_raw(&other), Some(Response::Error { tid: 77, text }));
}

#[test]
fn an_answer_holds_a_fresh_sample_that_fits_1200_bytes() {
    for (v6, room) in [(false, 196), (true, 65)] {
        let mut world = World::open();
        let from = |n: u32| match v6 {
            false => format!("10.1.{}.{}:7000", n / 200, n % 200 + 1),
            true => format!("[fd00::{n:x}]:7000"),
        };
        for n in 0..600 {
            world.announce(&Peer { id: id(n), ..Peer::new(&from(n), u64::from(n % 3)) });
        }
        let mut asker = Peer { id: id(9999), ..Peer::new(&from(700), 1) };
        assert_eq!(world.announce(&asker).peers.len(), 50, "what we think fit");
        asker.num_want = 10_000;
        let (one, two) = (world.announce(&asker).peers, world.announce(&asker).peers);
        for peers in [&one, &two] {
            let distinct: std::collections::BTreeSet<_> = peers.iter().collect();
            assert_eq!((peers.len(), distinct.len()), (room, room));
            assert!(!peers.contains(&asker.from));
        }
        assert_ne!(one, two);
        let complete =
            one.iter().filter(|peer| (0..600).step_by(3).any(|n| addr(&from(n)) == **peer));
        assert_eq!(complete.count(), room.div_ceil(2), "half of them can give all");
    }
}

fn id(n: u32) -> PeerId {
    let mut id = *b"-LM0100-............";
    id[16..].copy_from_slice(&n.to_be_bytes());
    PeerId(id)
}

#[test]
fn a_peer_on_the_trackers_machine_is_handed_to_others_under_the_address_they_asked() {
    let mut world = World::open();
    world.at = ip("127.0.0.1");
    let seed = Peer::new("127.0.0.1:7001", 0);
    world.announce(&seed);
    assert_eq!(world.announce(&Peer::new("127.0.0.1:7002", 1)).peers, [seed.from]);
    world.announce(&Peer::new("127.0.0.1:7002", 1).event(Event::Stopped));
    world.at = ip("192.168.5.1");
    let far = Peer::new("192.168.5.9:7003", 1);
    assert_eq!(world.announce(&far).peers, [addr("192.168.5.1:7001")]);
    world.at = ip("0.0.0.0");
    assert_eq!(world.announce(&far).peers, [addr("10.0.0.1:7001")], "as far as known");
    world.at = ip("127.0.0.1");
    assert_eq!(world.announce(&seed).peers, [far.from]);
}

#[test]
fn families_do_not_mix_and_mapped_addresses_count_as_ipv4() {
    let mut world = World::open();
    world.announce(&Peer::new("[fd00::1]:7001", 0));
    world.announce(&Peer::new("10.0.0.2:7001", 0));
    assert_eq!(world.announce(&Peer::new("[fd00::2]:7002", 1)).peers, [addr("[fd00::1]:7001")]);
    let mapped = addr("[::ffff:10.0.0.3]:7002");
    let cid = world.connect(mapped);
    let mut request = Vec::new();
    Request::Announce(Peer::new("10.0.0.3:7002", 1).request(cid)).encode(&mut request);
    let answer = world.datagram(mapped, &request).unwrap();
    let Some(Response::Announce(answer)) = Response::decode(&answer, false) else { panic!() };
    assert_eq!(answer.peers, [addr("10.0.0.2:7001")]);
}

#[test]
fn one_public_address_may_not_fill_the_table_and_a_private_one_is_trusted() {
    let mut plan = super::world::plan("0.0.0.0:6969");
    plan.bounds.source_entries = 90;
    let mut world = World::new(plan);
    let announce = |world: &mut World, from: &str, n: u32| {
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        world.announce_raw(&Peer::new(from, 1).hash(InfoHash(hash))).unwrap()
    };
    for n in 0..90 {
        assert!(matches!(announce(&mut world, "8.8.4.4:7000", n), Response::Announce(_)));
    }
    let text = "too many torrents from your address".to_owned();
    let refused = expect_mark!("B12", announce(&mut world, "8.8.4.4:7000", 5000));
    assert_eq!(refused, Response::Error { tid: 77, text });
    assert!(matches!(announce(&mut world, "8.8.4.4:7000", 5), Response::Announce(_)), "known");
    for n in 0..5000 {
        assert!(matches!(announce(&mut world, "10.0.0.7:7000", n), Response::Announce(_)));
    }
    // All of a /64 are one; after the time of its entries it may come again.
    world.pass(Span::secs(60));
    assert!(matches!(announce(&mut world, "8.8.4.4:7000", 5000), Response::Announce(_)));
    for port in 0..8 {
        let from = format!("9.9.9.9:{}", 1000 + port);
        assert!(matches!(announce(&mut world, &from, 1), Response::Announce(_)));
    }
    let text = "too many peers from your address".to_owned();
    assert_eq!(announce(&mut world, "9.9.9.9:2000", 1), Response::Error { tid: 77, text });
}

#[test]
fn a_hello_says_whether_the_tracker_is_open_to_a_network() {
    for (mut world, open) in [(World::local(), false), (World::open(), true)] {
        let answer = world.control(addr("127.0.0.1:5"), Op::Hello, 0);
        assert_eq!((answer.status, answer.ticket), (Status::Ready, [0; 24]));
        assert_eq!(answer.caps & caps::OPEN != 0, open);
        let again = world.control(addr("127.0.0.1:5"), Op::Read, answer.generation);
        assert_eq!(again.status, Status::NotModified);
    }
}

#[test]
fn the_control_vectors_get_what_they_must() {
    let from = addr("127.0.0.1:5");
    let mut world = World::local();
    let status = |world: &mut World, name: &str| {
        let answer = world.datagram(from, &vector(name))?;
        assert_eq!(answer.len(), 72);
        Some(ControlResponse::decode(&answer).unwrap().status)
    };
    for name in ["ctl_hello_req", "ctl_read_req", "ctl_write_req_token"] {
        assert_eq!(status(&mut world, &format!("lmk/{name}.bin")), Some(Status::Ready));
    }
    assert_eq!(status(&mut world, "invalid/lmk/ctl_ver_0.bin"), Some(Status::BadVersion));
    assert_eq!(status(&mut world, "invalid/lmk/ctl_op_9.bin"), Some(Status::BadOp));
    for name in ["ctl_short_71", "ctl_bad_cid", "ctl_tid_0", "ctl_opt_truncated"] {
        assert_eq!(status(&mut world, &format!("invalid/lmk/{name}.bin")), None, "{name}");
    }
}

#[test]
fn promised_connections_count_and_further_clients_are_told_to_wait() {
    let mut world = World::local();
    let from = addr("127.0.0.1:5");
    for _ in 0..CONNECTIONS_MAX {
        assert_eq!(world.control(from, Op::Read, 0).status, Status::Ready);
    }
    let busy = world.control(from, Op::Read, 0);
    assert_eq!((busy.status, busy.seconds), (Status::Busy, 1 + CONNECTIONS_MAX as u32 / 20));
    world.pass(Span::secs(21));
    assert_eq!(world.control(from, Op::Read, 0).status, Status::Ready);
}

proptest! {
    /// To an address that has shown no id of its own, never more bytes leave than came from it.
    #[test]
    fn nothing_is_amplified(
        picks in prop::collection::vec((0..12usize, any::<u64>(), 0..200usize), 1..40),
    ) {
        let names = [
            "udp/connect_req", "udp/announce_req_98", "udp/scrape_req_2", "lmk/ctl_hello_req",
            "lmk/ctl_read_req", "lmk/ctl_write_req_token", "invalid/udp/scrape_empty",
            "invalid/udp/announce_opt_truncated_len", "invalid/udp/unknown_action",
            "invalid/lmk/ctl_ver_0", "invalid/lmk/ctl_tid_0", "lmk/announce_with_token",
        ];
        let mut world = World::open();
        let victim = addr("203.0.113.5:53");
        let (mut came, mut left) = (0, 0);
        for (pick, cid, cut) in picks {
            let mut bytes = vector(&format!("{}.bin", names[pick]));
            // An old id of the victim's may have been seen on the wire.
            let old = lmk::tracker::connection_id::ConnectionIds::new(
                lmk::tracker::mac::Key::new(&super::world::plan("0.0.0.0:1").secret),
            ).give(victim.ip(), super::world::T0 - 3 * WINDOW_S);
            if pick > 0 {
                let cid = if cid % 2 == 0 { cid } else { old };
                bytes[..8].copy_from_slice(&cid.to_be_bytes());
            }
            bytes.truncate(bytes.len().saturating_sub(cut % 40));
            came += bytes.len();
            left += world.datagram(victim, &bytes).map_or(0, |answer| answer.len());
            prop_assert!(left <= came, "{left} bytes out for {came} in: {}", names[pick]);
        }
    }

    #[test]
    fn no_datagram_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), good: bool) {
        let mut world = World::local();
        let from = addr("127.0.0.1:5");
        let mut bytes = bytes;
        if good && bytes.len() >= 16 {
            bytes[..8].copy_from_slice(&world.connect(from).to_be_bytes());
            bytes[8..11].fill(0);
            bytes[11] %= 4;
        }
        world.datagram(from, &bytes);
    }
}
