//! TCP connections: who may have one, for how long, and what a slow or strange one costs.

use super::catalogue::{content, publish};
use super::world::{Client, Peer, World, addr, plan, vector};
use lmk::core::id::{ConnId, InfoHash};
use lmk::core::limits::{ADDRESS_HELD_BYTES_MAX, CATALOGUE_READER_BYTES_MAX};
use lmk::core::mark::expect_mark;
use lmk::core::time::Span;
use lmk::tracker::conversation::QUEUE_BYTES;
use lmk::tracker::lists::{CONNECTIONS_MAX, connections_max};
use lmk::tracker::work::REQUESTS_BURST;
use lmk::wire::catalogue::answer::Answer;
use lmk::wire::catalogue::entry::{Entry, flag};
use lmk::wire::catalogue::frame::write_frame;
use lmk::wire::catalogue::hello::{HelloReply, REPLY_BYTES};
use lmk::wire::catalogue::request::{Publish, Request, What};
use lmk::wire::catalogue::{code, kind};
use lmk::wire::control::{Op, Status};
use proptest::prelude::*;

/// A tracker that keeps an info dict of about six megabytes, and its hash.
fn with_large_info() -> (World, InfoHash, Vec<u8>) {
    let mut world = World::local();
    // 300,000 pieces of 16 KiB, hashes of no content at all: a tracker cannot know.
    let pieces = 300_000usize;
    let size = pieces * 16_384;
    let mut info =
        format!("d6:lengthi{size}e4:name3:big12:piece lengthi16384e6:pieces{}:", pieces * 20)
            .into_bytes();
    info.resize(info.len() + pieces * 20, b'x');
    info.push(b'e');
    let hash = InfoHash(<sha1::Sha1 as sha1::Digest>::digest(&info).into());
    let entry = Entry {
        name: "big".to_owned(),
        v1: Some(hash),
        v2: None,
        size: size as u64,
        piece_bytes: 16_384,
        flags: flag::V1,
        sha256: None,
        signed: None,
    };
    let mut owner = world.client(addr("127.0.0.1:40"), Some(1));
    let publish = Publish { v1_info: Some(info.clone()), ..Publish::bare(entry) };
    let answer = world.ask(&mut owner, &Request::Publish(publish));
    assert!(matches!(answer, Answer::Published { .. }), "{answer:?}");
    world.announce(&Peer::new("127.0.0.1:7001", 0).hash(hash));
    world.end(owner.conn);
    (world, hash, info)
}

fn ask_for(world: &mut World, client: &Client, hash: InfoHash, times: usize) {
    let mut bytes = Vec::new();
    for _ in 0..times {
        Request::Fetch { hash, what: What::V1Info, offset: 0 }.encode(1, 1 << 20, &mut bytes);
    }
    world.bytes(client.conn, &bytes);
}

#[test]
fn a_reader_that_does_not_read_costs_a_queue_and_udp_goes_on() {
    let (mut world, hash, info) = with_large_info();
    let mut slow = world.client(addr("127.0.0.1:50"), None);
    world.flowing = false;
    ask_for(&mut world, &slow, hash, 1000);
    let most = QUEUE_BYTES + 64 * 1024 + 8;
    let queued = world.line(slow.conn).queued;
    assert!((QUEUE_BYTES..=most).contains(&queued), "{queued}");
    assert!(world.line(slow.conn).paused, "not read from while it is owed so much");
    // It is a datagram's turn at any time.
    assert_eq!(world.announce(&Peer::new("127.0.0.1:7002", 1).hash(hash)).peers.len(), 1);
    // Two whole answers, taken bit by bit.
    while world.line(slow.conn).got.len() < 2 * info.len() + 4096 {
        world.drain(slow.conn, 40_000);
        assert!(world.line(slow.conn).queued <= most);
    }
    let answers = world.answers(&mut slow);
    assert!(answers.len() >= 2);
    assert!(answers.iter().all(|(_, answer)| *answer == Answer::Data(info.clone())));
    // Nobody takes anything for ten seconds.
    world.pass(Span::secs(12));
    assert!(world.line(slow.conn).closed);
}

#[test]
fn many_slow_readers_share_the_bytes_they_fetch() {
    let (mut world, hash, _) = with_large_info();
    world.flowing = false;
    for n in 0..50 {
        world.flowing = true;
        let client = world.client(addr(&format!("127.0.0.1:{}", 100 + n)), None);
        world.flowing = false;
        ask_for(&mut world, &client, hash, 3);
        assert!(world.line(client.conn).queued <= QUEUE_BYTES + 64 * 1024 + 8);
    }
}

#[test]
fn a_flood_of_requests_is_answered_at_a_pace() {
    let mut world = World::open();
    let mut near = world.client(addr("10.0.0.9:50"), None);
    let mut client = world.client(addr("8.8.8.8:50"), None);
    let mut bytes = Vec::new();
    (0..1000).for_each(|_| Request::Ping.encode(0, 1 << 20, &mut bytes));
    world.bytes(near.conn, &bytes);
    assert_eq!(world.answers(&mut near).len(), 1000, "an address of our own network");
    world.bytes(client.conn, &bytes);
    assert_eq!(world.answers(&mut client).len(), 400);
    assert!(world.line(client.conn).paused);
    world.pass(Span::ms(1100));
    assert_eq!(world.answers(&mut client).len(), 200);
    world.pass(Span::secs(2));
    assert_eq!(world.answers(&mut client).len(), 400);
    assert!(!world.line(client.conn).paused);
}

#[test]
fn silence_ends_a_connection_before_and_after_its_hello() {
    let mut world = World::local();
    let mute = world.accept(addr("127.0.0.1:50"));
    let slow = world.accept(addr("127.0.0.1:51"));
    let client = world.client(addr("127.0.0.1:52"), None);
    let hello = vector("lmk/tcp_hello_read.bin");
    for byte in &hello[..4] {
        world.bytes(slow, &[*byte]);
        world.pass(Span::secs(1));
    }
    assert!(!world.line(mute).closed && !world.line(slow).closed);
    world.pass(Span::secs(2));
    assert!(world.line(mute).closed && world.line(slow).closed);
    world.pass(Span::secs(20));
    assert!(!world.line(client.conn).closed);
    world.pass(Span::secs(6));
    assert!(world.line(client.conn).closed);
}

#[test]
fn a_ping_keeps_a_connection_and_a_dripping_message_does_not() {
    let mut world = World::local();
    let mut client = world.client(addr("127.0.0.1:50"), None);
    let dripping = world.client(addr("127.0.0.1:51"), None);
    world.bytes(dripping.conn, &[0, 1, 0, 0, 1, 1, 0, 1]);
    for _ in 0..6 {
        world.ask(&mut client, &Request::Ping);
        world.bytes(dripping.conn, b"d");
        world.pass(Span::secs(15));
    }
    assert!(!world.line(client.conn).closed);
    assert!(world.line(dripping.conn).closed);
}

/// A frame of a PUBLISH that is not complete.
fn part(bytes: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame(kind::PUBLISH, 0, 1, &vec![b'x'; bytes], &mut frame);
    frame
}

fn table(world: &World, wanted: &str) -> usize {
    let mut tables = world.tracker.tables();
    tables.find(|(table, _)| *table == wanted).expect("a table of this name").1
}

#[test]
fn unfinished_messages_share_one_budget_of_which_an_address_has_a_part() {
    let mut world = World::open();
    let greedy: Vec<Client> =
        (0..8).map(|n| world.client(addr(&format!("8.8.8.8:{}", 100 + n)), Some(1))).collect();
    for _ in 0..7 {
        for client in &greedy {
            if !world.line(client.conn).closed {
                world.bytes(client.conn, &part((1 << 20) - 4));
            }
        }
    }
    assert!(table(&world, "held_bytes") <= ADDRESS_HELD_BYTES_MAX);
    assert!(greedy.iter().any(|client| world.line(client.conn).closed));
    // Somebody else publishes what is large, and small things go on from there, too.
    let other = world.client(addr("8.8.4.4:50"), Some(2));
    (0..7).for_each(|_| world.bytes(other.conn, &part((1 << 20) - 4)));
    assert!(!world.line(other.conn).closed);
    assert!(table(&world, "held_bytes") >= 7 << 20, "what is unfinished is counted");
    let closed = greedy.iter().find(|client| world.line(client.conn).closed).unwrap();
    world.end(closed.conn);
    let mut small = world.client(addr("8.8.8.8:200"), Some(3));
    let answer = world.ask(&mut small, &Request::Publish(publish("a", &content("a", b"abc"))));
    assert!(matches!(answer, Answer::Published { .. }), "{answer:?}");
    for client in greedy.iter().chain([&other]).filter(|client| client.conn != closed.conn) {
        world.end(client.conn);
    }
    assert_eq!((table(&world, "held_bytes"), table(&world, "held_sources")), (0, 0));
}

#[test]
fn who_may_only_read_says_nothing_long() {
    let mut world = World::local();
    let from = addr("127.0.0.1:50");
    let ticket = world.control(from, Op::Read, 0).ticket;
    let conn = world.accept(from);
    let mut bytes = Vec::new();
    world.hello(ticket, Some(1)).encode(&mut bytes);
    bytes.extend(part(CATALOGUE_READER_BYTES_MAX));
    world.bytes(conn, &bytes);
    assert!(!world.line(conn).closed);
    world.bytes(conn, &part(1));
    assert!(world.line(conn).closed);
    let frame = &world.line(conn).got[REPLY_BYTES..];
    let word = format!("ci{}e", code::TOO_LARGE);
    assert!(frame.windows(4).any(|part| part == word.as_bytes()), "{frame:?}");
    // The longest that a reader asks for is taken.
    let from = addr("127.0.0.1:51");
    let ticket = world.control(from, Op::Read, 0).ticket;
    let conn = world.accept(from);
    let mut bytes = Vec::new();
    world.hello(ticket, None).encode(&mut bytes);
    let names = (0..256).map(|n| format!("{n:0>255}")).collect();
    Request::Lookup { names }.encode(1, 1 << 20, &mut bytes);
    world.bytes(conn, &bytes);
    assert!(!world.line(conn).closed);
    assert_eq!(world.line(conn).got[REPLY_BYTES + 4], kind::ANSWER | kind::LOOKUP);
}

#[test]
fn a_burst_buys_no_time_for_a_message_that_drips() {
    let mut world = World::local();
    let burst = world.client(addr("127.0.0.1:50"), Some(1));
    let steady = world.client(addr("127.0.0.1:51"), Some(2));
    world.bytes(burst.conn, &part(1 << 19));
    world.bytes(burst.conn, &part(1 << 19));
    for n in 0..10 {
        if !world.line(burst.conn).closed {
            world.bytes(burst.conn, &part(1));
        }
        world.bytes(steady.conn, &part(11 * 1024));
        world.pass(Span::secs(5));
        assert!(n < 6 || world.line(burst.conn).closed, "{n}");
        assert!(!world.line(steady.conn).closed, "{n}");
    }
}

#[test]
fn other_protocols_are_recognised_by_their_first_bytes() {
    let mut world = World::local();
    let http = world.accept(addr("127.0.0.1:50"));
    world.bytes(http, b"GE");
    assert!(!world.line(http).closed);
    world.bytes(http, b"T /t HTTP/1.1\r\nHost: x\r\n\r\n");
    let text = String::from_utf8(world.line(http).got.clone()).unwrap();
    assert!(text.starts_with("HTTP/1.1 404 Not Found\r\n"), "{text}");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(body.starts_with("lmk tracker: ") && body.ends_with('\n'), "{body}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    assert!(!world.line(http).closed, "a client of HTTP/1.1 may ask more");
    let strange: [&[u8]; 5] = [
        b"\x13BitTorrent protocol",
        b"\x16\x03\x01\x02\x00",
        b"SSH-2.0-x\r\n",
        b"\x00",
        b"\x07LMK/DOG",
    ];
    for bytes in strange {
        let conn = world.accept(addr("127.0.0.1:51"));
        expect_mark!("C04", world.bytes(conn, bytes));
        assert!(world.line(conn).closed && world.line(conn).got.is_empty(), "{bytes:?}");
    }
    for name in ["hello_magic", "hello_token_len"] {
        let conn = world.accept(addr("127.0.0.1:52"));
        world.bytes(conn, &vector(&format!("invalid/lmk/{name}.bin")));
        assert!(world.line(conn).closed && world.line(conn).got.is_empty(), "{name}");
    }
    assert_eq!(world.row().dropped, 7);
}

fn reply(world: &World, conn: ConnId) -> HelloReply {
    let line = world.line(conn);
    assert_eq!(line.got.len(), REPLY_BYTES);
    HelloReply::decode(&line.got).unwrap().unwrap()
}

#[test]
fn a_ticket_is_good_from_its_address_with_its_nonce_for_twenty_seconds() {
    let mut world = World::open();
    let from = addr("10.0.0.9:50");
    let ticket = world.control(from, Op::Read, 0).ticket;
    let knock = |world: &mut World, from: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let conn = world.accept(addr(from));
        let mut hello = Vec::new();
        world.hello(ticket, None).encode(&mut hello);
        change(&mut hello);
        world.bytes(conn, &hello);
        let reply = reply(world, conn);
        assert_eq!(world.line(conn).closed, reply.status != Status::Ready);
        reply.status
    };
    assert_eq!(knock(&mut world, "10.0.0.9:51", &|_| {}), Status::Ready);
    assert_eq!(knock(&mut world, "10.0.0.8:51", &|_| {}), Status::BadTicket);
    assert_eq!(knock(&mut world, "10.0.0.9:51", &|hello| hello[40] ^= 1), Status::BadTicket);
    assert_eq!(knock(&mut world, "10.0.0.9:51", &|hello| hello[20] = 3), Status::BadTicket);
    assert_eq!(knock(&mut world, "10.0.0.9:51", &|hello| hello[8..10].fill(9)), Status::BadVersion);
    world.pass(Span::secs(21));
    assert_eq!(knock(&mut world, "10.0.0.9:51", &|_| {}), Status::BadTicket);
}

#[test]
fn a_ticket_for_reading_does_not_write() {
    let mut world = World::local();
    let from = addr("127.0.0.1:50");
    let ticket = world.control(from, Op::Read, 0).ticket;
    let conn = world.accept(from);
    let mut bytes = Vec::new();
    world.hello(ticket, Some(1)).encode(&mut bytes);
    // Hello and request in one write.
    let content = content("a", b"abc");
    Request::Publish(publish("a", &content)).encode(3, 1 << 20, &mut bytes);
    world.bytes(conn, &bytes);
    let frame = &world.line(conn).got[REPLY_BYTES..];
    assert_eq!(frame[4], 0xff);
    assert!(frame.windows(4).any(|part| part == b"ci9e"), "FORBIDDEN");
}

#[test]
fn connections_are_limited_in_all_and_per_public_address() {
    let mut world = World::open();
    for n in 0..9 {
        let conn = world.accept(addr(&format!("8.8.8.8:{}", 100 + n)));
        assert_eq!(world.line(conn).closed, n == 8, "{n}");
    }
    for n in 0..4096 {
        let conn = world.accept(addr(&format!("10.0.0.9:{}", 100 + n)));
        assert!(!world.line(conn).closed, "{n}");
    }
    let over = expect_mark!("C03", world.accept(addr("10.0.0.9:99")));
    assert!(world.line(over).closed);
    for n in 0..CONNECTIONS_MAX - 8 - 4096 - 2 {
        let conn = world.accept(addr("127.0.0.1:9"));
        assert!(!world.line(conn).closed, "{n}");
    }
    let over = world.accept(addr("127.0.0.1:9"));
    assert!(world.line(over).closed);
    // Nothing of it is felt by datagrams.
    assert_eq!(world.announce(&Peer::new("10.0.0.9:7001", 0)).seeders, 1);
    assert_eq!(world.control(addr("127.0.0.1:99"), Op::Read, 0).status, Status::Busy);
}

#[test]
fn a_public_tracker_limits_the_connections_of_private_addresses_too() {
    let mut plan = plan("0.0.0.0:6969");
    plan.bounds.public = true;
    let mut world = World::new(plan);
    for (from, most) in [("10.0.0.9", 8), ("[fd00::9]", 64), ("127.0.0.1", 100)] {
        for n in 0..100 {
            let conn = world.accept(addr(&format!("{from}:{}", 100 + n)));
            assert_eq!(world.line(conn).closed, n >= most, "{from}, {n}");
        }
    }
    // Nor may it ask as much: the requests of one connection are counted as those of a public one.
    let mut client = world.client(addr("10.0.0.8:50"), None);
    let mut bytes = Vec::new();
    (0..1000).for_each(|_| Request::Ping.encode(1, 1 << 20, &mut bytes));
    world.bytes(client.conn, &bytes);
    assert_eq!(world.answers(&mut client).len(), REQUESTS_BURST as usize);
}

#[test]
fn a_tracker_takes_and_promises_as_many_connections_as_it_was_told() {
    let mut plan = plan("127.0.0.1:6969");
    plan.bounds.connections = 3;
    let mut world = World::new(plan);
    let from = addr("127.0.0.1:9");
    let first = world.accept(from);
    world.accept(from);
    assert_eq!(world.control(from, Op::Read, 0).status, Status::Ready);
    assert_eq!(world.control(from, Op::Read, 0).status, Status::Busy, "the third is promised");
    world.accept(from);
    let over = expect_mark!("C03", world.accept(from));
    assert!(world.line(over).closed);
    world.end(over);
    world.end(first);
    let conn = world.accept(from);
    assert!(!world.line(conn).closed);
}

/// All places are taken, most of them by one: whoever comes with little has a place, at its cost.
#[test]
fn a_full_tracker_closes_what_the_greedy_left_idle_longest_and_nothing_of_the_modest() {
    let mut plan = plan("0.0.0.0:6969");
    plan.bounds.connections = 10;
    let mut world = World::new(plan);
    let greedy: Vec<ConnId> = (0..8)
        .map(|n| {
            world.pass(Span::ms(100));
            world.accept(addr(&format!("8.8.8.8:{}", 100 + n)))
        })
        .collect();
    let modest = [world.accept(addr("9.9.9.9:50")), world.accept(addr("10.0.0.9:50"))];
    world.bytes(greedy[0], b"GET /t HTTP/1.1\r\n");
    // The second is silent longest now.
    assert_eq!(world.control(addr("7.7.7.7:50"), Op::Read, 0).status, Status::Ready);
    assert_eq!(world.control(addr("8.8.8.8:50"), Op::Read, 0).status, Status::Busy);
    let mut there: Vec<ConnId> = greedy.iter().chain(&modest).copied().collect();
    let mut place = |from: &str, gives_way: Option<ConnId>| {
        let conn = world.accept(addr(from));
        there.push(conn);
        let is_closed = |conn: &ConnId| world.line(*conn).closed;
        let (closed, left): (Vec<ConnId>, _) = there.iter().copied().partition(is_closed);
        there = left;
        assert_eq!(closed, [gives_way.unwrap_or(conn)], "{from}");
        world.end(closed[0]);
    };
    place("7.7.7.7:50", Some(greedy[1]));
    place("8.8.8.8:99", None);
    place("9.9.9.9:51", Some(greedy[2]));
    place("10.0.0.9:51", Some(greedy[3]));
    place("7.7.7.7:51", Some(greedy[4]));
    // Two each, and four of the greedy: three would be as many as it has then.
    place("9.9.9.9:52", Some(greedy[5]));
    place("9.9.9.9:53", None);
    assert!(modest.iter().all(|conn| there.contains(conn)));
}

#[test]
fn a_ticket_that_was_used_promises_nothing_more() {
    let mut plan = plan("127.0.0.1:6969");
    plan.bounds.connections = 3;
    let mut world = World::new(plan);
    // Its ticket was the promise of this connection.
    world.client(addr("127.0.0.1:50"), None);
    let said: Vec<Status> =
        (0..3).map(|_| world.control(addr("127.0.0.1:51"), Op::Read, 0).status).collect();
    assert_eq!(said, [Status::Ready, Status::Ready, Status::Busy]);
}

#[test]
fn descriptors_are_kept_for_other_things_than_connections() {
    let most = [20_000, 1024, 100, 40, 10, 0].map(connections_max);
    assert_eq!(most, [19_488, 512, 50, 8, 1, 1]);
    assert_eq!(connections_max(u64::MAX), CONNECTIONS_MAX);
}

proptest! {
    #[test]
    fn no_stream_panics(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8),
        greeted: bool,
    ) {
        let mut world = World::local();
        let conn = match greeted {
            true => world.client(addr("127.0.0.1:50"), Some(1)).conn,
            false => world.accept(addr("127.0.0.1:50")),
        };
        for part in parts {
            world.bytes(conn, &part);
        }
        world.pass(Span::secs(60));
        prop_assert!(world.line(conn).closed);
    }
}
