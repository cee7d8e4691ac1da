//! HTTP connections: kept alive, pipelined, cut anywhere, slow, greedy, gone.

use super::http_asked::{answers, raw, take, target};
use super::http_pages::listed;
use super::world::{Peer, World, addr};
use lmk::core::id::ConnId;
use lmk::core::io::Input;
use lmk::core::mark::expect_mark;
use lmk::core::time::Span;
use lmk::tracker::conversation::QUEUE_BYTES;
use lmk::tracker::held;
use lmk::tracker::http::exchange::HELD_BYTES_MAX;
use lmk::tracker::work::REQUESTS_BURST;
use lmk::tracker::work::{REQUEST_STEPS, TURN_STEPS};
use proptest::prelude::*;

fn http(world: &mut World, bytes: &[u8]) -> ConnId {
    let conn = world.accept(addr("127.0.0.1:50"));
    world.bytes(conn, bytes);
    conn
}

fn request(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

#[test]
fn a_connection_is_kept_and_its_requests_are_answered_in_order() {
    let mut world = World::local();
    let all = [request("/nothing"), request("/metrics"), request("/scrape")].concat();
    let conn = http(&mut world, &all);
    let got = answers(&take(&mut world, conn), false);
    let statuses: Vec<u16> = got.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [404, 200, 200]);
    assert!(got[1].text().starts_with("# HELP lmk_"));
    assert!(got[2].text().starts_with("d14:failure"));
    assert!(!world.line(conn).closed);
    // Empty lines between requests are nothing; a last request says so.
    let last = b"\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    world.bytes(conn, last);
    let got = answers(&take(&mut world, conn), false);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].header("Connection"), Some("close"));
    assert!(world.line(conn).closed);
    assert_eq!(world.row().dropped, 0);
}

#[test]
fn http_1_0_ends_after_one_answer_unless_it_asks_for_more() {
    let mut world = World::local();
    let once = http(&mut world, b"GET /metrics HTTP/1.0\r\n\r\n");
    assert!(world.line(once).closed);
    let kept = http(&mut world, b"GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(!world.line(kept).closed);
    let got = answers(&take(&mut world, kept), false);
    assert_eq!(got[0].header("Connection"), Some("keep-alive"));
}

#[test]
fn what_cannot_be_asked_is_answered_with_a_line_and_an_end() {
    for (text, status, closes) in [
        ("HEAD /metrics HTTP/1.1\r\n\r\n", 200, false),
        ("OPTIONS * HTTP/1.1\r\n\r\n", 204, false),
        ("OPTIONS /announce HTTP/1.1\r\n\r\n", 204, false),
        ("DELETE / HTTP/1.1\r\n\r\n", 405, false),
        ("POST /announce HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 413, true),
        ("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413, true),
        ("GET / HTTP/3.0\r\n\r\n", 505, true),
        ("GET nowhere HTTP/1.1\r\n\r\n", 400, true),
    ] {
        let mut world = World::local();
        let conn = http(&mut world, text.as_bytes());
        let got = answers(&take(&mut world, conn), text.starts_with("HEAD"));
        assert_eq!((got.len(), got[0].status), (1, status), "{text}");
        assert_eq!(world.line(conn).closed, closes, "{text}");
        assert_eq!(world.row().dropped, u64::from(closes), "{text}");
        let lines = got[0].text().matches('\n').count();
        assert_eq!(lines, usize::from(status >= 400), "{text}");
        if [204, 405].contains(&status) {
            assert_eq!(got[0].header("Allow"), Some("GET, HEAD, OPTIONS"));
        }
    }
    let mut world = World::local();
    let head = raw(&mut world, addr("127.0.0.1:5"), b"HEAD / HTTP/1.0\r\n\r\n");
    let whole = raw(&mut world, addr("127.0.0.1:5"), b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(head.head, whole.head);
    assert!(whole.body.len() > 1000);
}

#[test]
fn a_head_that_drips_in_is_not_waited_for() {
    let mut world = World::local();
    let mute = world.accept(addr("127.0.0.1:50"));
    let dripping = http(&mut world, b"GET / HT");
    let kept = http(&mut world, &request("/metrics"));
    for _ in 0..4 {
        world.pass(Span::ms(900));
        world.bytes(dripping, b"x");
    }
    assert!(!world.line(dripping).closed && !world.line(mute).closed);
    expect_mark!("C01", world.pass(Span::secs(3)));
    assert!(world.line(dripping).closed && world.line(mute).closed);
    // The same after an answer.
    world.bytes(kept, b"GET /");
    world.pass(Span::secs(4));
    world.bytes(kept, b"metr");
    assert!(!world.line(kept).closed);
    world.pass(Span::secs(3));
    assert!(world.line(kept).closed);
}

#[test]
fn a_connection_that_asks_nothing_more_is_closed_after_thirty_seconds() {
    let mut world = World::local();
    let conn = http(&mut world, &request("/metrics"));
    world.pass(Span::secs(29));
    assert!(!world.line(conn).closed);
    world.bytes(conn, &request("/metrics"));
    world.pass(Span::secs(29));
    assert!(!world.line(conn).closed);
    world.pass(Span::secs(3));
    assert!(world.line(conn).closed);
}

#[test]
fn a_flood_of_pipelined_requests_is_held_back_and_answered_in_shares() {
    let mut world = World::local();
    let one = b"HEAD /x HTTP/1.1\r\n\r\n";
    let conn = world.accept(addr("127.0.0.1:50"));
    let flood = one.repeat(10_000);
    expect_mark!("C06", world.bytes(conn, &flood));
    assert_eq!(answers(&take(&mut world, conn), true).len(), REQUESTS_BURST as usize);
    assert!(world.line(conn).paused);
    // Others are served meanwhile.
    let other = http(&mut world, &request("/metrics"));
    assert_eq!(answers(&take(&mut world, other), false).len(), 1);
    world.pass(Span::ms(1100));
    assert_eq!(answers(&take(&mut world, conn), true).len(), 200);
    // Whoever sends on although it is not read from is not kept.
    world.bytes(conn, &vec![b'x'; HELD_BYTES_MAX]);
    assert!(world.line(conn).closed);
}

#[test]
fn many_who_are_held_back_do_not_fill_the_memory() {
    let mut world = World::local();
    world.flowing = false;
    let flood = b"HEAD /x HTTP/1.1\r\n\r\n".repeat(50_000);
    let mut held = 0;
    let mut closed = 0;
    for n in 0..100 {
        let conn = world.accept(addr(&format!("127.0.0.1:{}", 100 + n)));
        world.bytes(conn, &flood);
        closed += usize::from(world.line(conn).closed);
        held += if world.line(conn).closed { 0 } else { flood.len() };
    }
    assert!(held <= held::HTTP_BYTES_MAX + flood.len() * 2, "{held}");
    assert!(closed > 20, "{closed}");
}

#[test]
fn a_client_that_does_not_read_costs_a_queue_and_goes() {
    let mut world = World::local();
    listed(&mut world, 2000);
    world.flowing = false;
    let conn = http(&mut world, &request("/status.json").repeat(100));
    let queued = world.line(conn).queued;
    assert!(queued <= QUEUE_BYTES + 128 * 1024, "{queued}");
    assert!(world.line(conn).paused);
    // It is a datagram's turn at any time.
    assert_eq!(world.announce(&Peer::new("127.0.0.1:7002", 1)).leechers, 1);
    // Bit by bit all of it comes.
    while world.line(conn).got.len() < 400_000 {
        world.drain(conn, 10_000);
        assert!(world.line(conn).queued <= QUEUE_BYTES + 128 * 1024);
    }
    expect_mark!("C02", world.pass(Span::secs(12)));
    assert!(world.line(conn).closed);
}

#[test]
fn whoever_is_gone_in_the_middle_of_an_answer_leaves_nothing_behind() {
    let mut world = World::open();
    world.flowing = false;
    for n in 0..100 {
        // A public address may have eight connections: one that leaked would be missed.
        let conn = world.accept(addr(&format!("8.8.8.8:{}", 100 + n)));
        assert!(!world.line(conn).closed, "{n}");
        world.bytes(conn, &request("/").repeat(40));
        expect_mark!("C07", world.end(conn));
    }
    let metrics = raw(&mut world, addr("10.0.0.9:5"), &request("/metrics")).text();
    assert!(metrics.contains("\nlmk_connections 1\n"), "{metrics}");
    assert!(metrics.contains("\nlmk_connections_total 101\n"), "{metrics}");
}

proptest! {
    #[test]
    fn cutting_the_stream_anywhere_changes_nothing(
        cuts in prop::collection::vec(1..200usize, 1..40),
    ) {
        let peer = Peer::new("127.0.0.1:7001", 5);
        let all = [
            request(&target(&peer, "&event=started")),
            b"\r\n".to_vec(),
            request("/scrape?info_hash=%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa"),
            b"HEAD /status.json HTTP/1.1\r\n\r\n".to_vec(),
            b"OPTIONS * HTTP/1.1\nx: y\n\n".to_vec(),
            b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde".to_vec(),
        ]
        .concat();
        let told = |cuts: &[usize]| {
            let mut world = World::local();
            let conn = world.accept(addr("127.0.0.1:50"));
            let (mut rest, mut cuts) = (&all[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (part, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                world.bytes(conn, part);
                rest = after;
            }
            let line = world.line(conn);
            (line.got.clone(), line.closed, world.row())
        };
        let whole = told(&[all.len()]);
        prop_assert_eq!(String::from_utf8_lossy(&whole.0).matches("HTTP/1.1 ").count(), 5);
        prop_assert_eq!(told(&[1]), whole.clone());
        prop_assert_eq!(told(&cuts), whole);
    }
}

#[test]
fn a_turn_answers_a_bounded_number_of_pipelined_requests_and_the_next_turns_the_others() {
    let mut world = World::local();
    let conn = world.accept(addr("127.0.0.1:60"));
    let one = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
    world.on(Input::Bytes { conn, bytes: &one.repeat(300) });
    let first = answers(&take(&mut world, conn), false).len() as u64;
    assert_eq!(first, TURN_STEPS / REQUEST_STEPS);
    // A datagram has its turn in between.
    assert_eq!(world.announce(&Peer::new("127.0.0.1:7001", 0)).seeders, 1);
    world.turn();
    assert_eq!(answers(&take(&mut world, conn), false).len() as u64, 300 - first);
    assert!(!world.line(conn).closed);
}
