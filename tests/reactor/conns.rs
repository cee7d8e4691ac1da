//! Connections: echo, fairness, back-pressure, and exactly one end for each.

use crate::world::{World, pattern};
use lmk::core::io::{Closed, Input, NetError};
use lmk::core::mark::expect_mark;
use lmk::core::time::Span;
use lmk::reactor::Options;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

fn echo() -> World {
    World::acting(|_, input, out| {
        if let Input::Bytes { conn, bytes } = input {
            out.send(*conn, bytes);
        }
    })
}

#[test]
fn bytes_come_back_as_they_went() {
    let mut world = echo();
    let addr = world.listen_tcp();
    let sent = pattern(3 << 20);
    let expected = sent.clone();
    let peer = thread::spawn(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        let mut back = stream.try_clone().unwrap();
        let reader = thread::spawn(move || {
            let mut got = vec![0; 3 << 20];
            back.read_exact(&mut got).unwrap();
            got
        });
        stream.write_all(&sent).unwrap();
        (reader.join().unwrap(), stream.local_addr().unwrap())
    });
    world.until("the peer leaves", |w| w.seen().closed.len() == 1);
    let (got, from) = peer.join().unwrap();
    assert!(got == expected, "the echo differs");
    let (conn, remote, local) = world.seen().accepted[0];
    assert_eq!((remote, local), (from, addr));
    assert_eq!(world.seen().closed, [(conn, Closed::ByPeer)]);
    let total = world.seen().sent[&conn].0;
    assert_eq!(total, 3 << 20, "everything that left is told before the end");
}

#[test]
fn a_dialled_connection_works_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut world = World::new();
    let conn = world.wish(move |out| {
        let conn = out.dial(addr);
        // Queued before there is a connection.
        out.send(conn, b"hello");
        conn
    });
    let (mut peer, _) = listener.accept().unwrap();
    world.until("connected", |w| w.seen().connected == [conn]);
    world.turns(2);
    let mut got = [0; 5];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
    peer.write_all(b"welcome").unwrap();
    world.until("an answer", |w| w.seen().got(conn) == b"welcome");
}

#[test]
fn a_flood_is_cut_to_the_quota_and_starves_nobody() {
    // Small enough that the flood exceeds it in every turn, however fast the turns are.
    const QUOTA: usize = 4096;
    let options = Options { signals: false, read_quota_bytes: QUOTA, ..Options::default() };
    let mut world = World::with(options, |_, _, _| {});
    let addr = world.listen_tcp();
    let mut flood = TcpStream::connect(addr).unwrap();
    let (mut quiet, ours) = (TcpStream::connect(addr).unwrap(), world.accepted(1));
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let flooder = thread::spawn(move || {
        let block = vec![7; 1 << 20];
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            if flood.write_all(&block).is_err() {
                return;
            }
        }
    });
    world.until("the flood begins", |w| w.reactor.counters().bytes_in > 0);
    let mut round = |n: usize| {
        quiet.write_all(b"!").unwrap();
        // The byte stands in our socket now: it must be told in this turn or the next.
        for _ in 0..2 {
            let before = world.reactor.counters().bytes_in;
            world.turn(Span::ZERO);
            let taken = world.reactor.counters().bytes_in - before;
            assert!(taken <= QUOTA as u64 + 1, "{taken} bytes in one turn");
        }
        assert_eq!(world.seen().got(ours).len(), n);
    };
    expect_mark!("D34", (1..=50).for_each(&mut round));
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    world.until("the flood ends", |w| w.seen().closed.len() == 1);
    flooder.join().unwrap();
}

#[test]
fn a_paused_connection_is_read_to_the_last_byte_once_it_goes_on() {
    let mut world = World::new();
    let addr = world.listen_tcp();
    let mut peer = TcpStream::connect(addr).unwrap();
    let conn = world.accepted(0);
    world.wish(move |out| out.reading(conn, false));
    // Fill our receive queue while we do not read, until it takes no more.
    peer.set_nonblocking(true).unwrap();
    let block = pattern(64 << 10);
    let mut sent = Vec::new();
    let mut idle = 0;
    while idle < 200 {
        match peer.write(&block) {
            Ok(n) => {
                sent.extend_from_slice(&block[..n]);
                idle = 0;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                idle += 1;
                world.turn(Span::ms(1));
            }
            Err(e) => panic!("{e}"),
        }
    }
    assert!(world.seen().got(conn).is_empty(), "told while paused");
    world.wish(move |out| out.reading(conn, true));
    world.until("all bytes", |w| w.seen().got(conn).len() == sent.len());
    assert!(world.seen().got(conn) == sent);
}

#[test]
fn a_small_quota_delays_and_loses_nothing() {
    let options = Options { signals: false, read_quota_bytes: 1000, ..Options::default() };
    let mut world = World::with(options, |_, _, _| {});
    let addr = world.listen_tcp();
    let mut peer = TcpStream::connect(addr).unwrap();
    let conn = world.accepted(0);
    world.turns(3);
    // All of it stands in our socket before the first of it is read.
    let sent = pattern(20_000);
    peer.write_all(&sent).unwrap();
    for portion in 1..=20 {
        world.turn(Span::secs(25));
        assert_eq!(world.seen().got(conn), &sent[..portion * 1000]);
    }
}

#[test]
fn an_end_that_comes_with_the_last_bytes_is_seen() {
    let mut world = World::new();
    let addr = world.listen_tcp();
    let mut peer = TcpStream::connect(addr).unwrap();
    let conn = world.accepted(0);
    world.turns(3);
    peer.write_all(b"bye").unwrap();
    drop(peer);
    world.until("the end", |w| w.seen().closed == [(conn, Closed::ByPeer)]);
    assert_eq!(world.seen().got(conn), b"bye");
}

#[test]
fn every_connection_has_one_end_with_its_reason() {
    let mut world = World::new();
    let addr = world.listen_tcp();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere: SocketAddr = "255.255.255.255:1".parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let somebody = listener.local_addr().unwrap();

    let leaver = TcpStream::connect(addr).unwrap();
    let by_peer = world.accepted(0);
    let mut kept = TcpStream::connect(addr).unwrap();
    let by_us = world.accepted(1);
    let resetter = TcpStream::connect(addr).unwrap();
    let reset = world.accepted(2);
    rustix::net::sockopt::set_socket_linger(&resetter, Some(Duration::ZERO)).unwrap();
    let (refused, unreachable, changed) = world.wish(move |out| {
        let changed = out.dial(somebody);
        out.close(changed);
        // A wish for a connection that is over is ignored.
        out.send(changed, b"never");
        out.close(changed);
        out.close(by_us);
        out.close(by_us);
        (out.dial(nobody), out.dial(nowhere), changed)
    });
    drop((leaver, resetter));
    world.until("six ends", |w| w.seen().closed.len() >= 6);
    world.turns(20);
    let mut ends = world.seen().closed.clone();
    ends.sort_by_key(|(id, _)| *id);
    let mut expected = [
        (by_peer, Closed::ByPeer),
        (by_us, Closed::ByUs),
        (reset, Closed::Reset),
        (refused, Closed::Refused),
        (unreachable, Closed::Unreachable),
        (changed, Closed::ByUs),
    ];
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(ends, expected);
    assert_eq!(kept.read(&mut [0; 8]).unwrap(), 0, "our close reached the other side");
    // Ids come back with a new generation, and the old ones mean nothing.
    let again = world.wish(move |out| out.dial(nobody));
    assert!(expected.iter().all(|(id, _)| *id != again));
    world.wish(move |out| expected.iter().for_each(|(id, _)| out.close(*id)));
    world.until("the seventh end", |w| !w.seen().closed_as(again).is_empty());
    world.turns(20);
    assert_eq!(world.seen().closed.len(), 7);
}

#[test]
fn nothing_is_told_of_a_connection_after_its_close_was_wished() {
    // Whoever speaks first has the other one closed.
    let mut world = World::acting(|seen, input, out| {
        if let Input::Bytes { conn, .. } = input {
            seen.accepted.iter().filter(|(id, ..)| id != conn).for_each(|(id, ..)| out.close(*id));
        }
    });
    let addr = world.listen_tcp();
    let mut a = TcpStream::connect(addr).unwrap();
    let mut b = TcpStream::connect(addr).unwrap();
    world.accepted(1);
    world.turns(3);
    a.write_all(b"a").unwrap();
    b.write_all(b"b").unwrap();
    world.until("one end", |w| !w.seen().closed.is_empty());
    world.turns(10);
    assert_eq!(world.seen().bytes.len(), 1, "one speaks, the other is silent");
    assert_eq!(world.seen().closed.len(), 1);
}

#[test]
fn last_words_before_a_reset_are_heard() {
    // Too many for one turn, so that our own writing fails in between.
    let options = Options { signals: false, read_quota_bytes: 1000, ..Options::default() };
    let mut world = World::with(options, |_, _, _| {});
    let addr = world.listen_tcp();
    let mut peer = TcpStream::connect(addr).unwrap();
    let conn = world.accepted(0);
    world.wish(move |out| out.send(conn, &[1; 5000]));
    world.turns(3);
    let words = pattern(20_000);
    peer.write_all(&words).unwrap();
    // It leaves what we sent unread, so its close resets the connection.
    drop(peer);
    world.wish(move |out| out.send(conn, &[2; 100_000]));
    world.until("the end", |w| !w.seen().closed.is_empty());
    assert!(world.seen().got(conn) == words, "{} bytes heard", world.seen().got(conn).len());
    assert_eq!(world.seen().closed, [(conn, Closed::Reset)]);
}

#[test]
fn a_refusal_reaches_one_who_is_still_sending() {
    let mut world = World::acting(|seen, input, out| {
        if let Input::Bytes { conn, .. } = input
            && seen.bytes.is_empty()
        {
            out.send(*conn, b"too large");
            out.close_after_flush(*conn);
        }
    });
    let addr = world.listen_tcp();
    let peer = thread::spawn(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(&vec![9; 8 << 20]).expect("everything is taken");
        stream.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("the answer is read to its end");
        got
    });
    world.until("the end", |w| !w.seen().closed.is_empty());
    assert_eq!(peer.join().unwrap(), b"too large");
    assert_eq!(world.seen().closed[0].1, Closed::ByUs);
}

#[test]
fn a_dial_closed_after_flush_delivers_first() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut world = World::new();
    let conn = world.wish(move |out| {
        let conn = out.dial(addr);
        out.send(conn, b"hello");
        out.close_after_flush(conn);
        conn
    });
    let peer = thread::spawn(move || {
        let mut got = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut got).unwrap();
        got
    });
    world.until("the end", |w| w.seen().closed == [(conn, Closed::ByUs)]);
    assert_eq!(peer.join().unwrap(), b"hello");
    assert!(world.seen().connected.is_empty(), "told after the close was wished");
}

#[test]
fn a_close_after_flush_delivers_everything_even_to_one_who_still_talks() {
    let mut world = World::new();
    let addr = world.listen_tcp();
    let mut peer = TcpStream::connect(addr).unwrap();
    let conn = world.accepted(0);
    let answer = pattern(6 << 20);
    let expected = answer.clone();
    world.wish(move |out| {
        out.send(conn, &answer);
        out.close_after_flush(conn);
        out.send(conn, b"too late");
    });
    let got = thread::spawn(move || {
        let talk = vec![9; 1 << 20];
        peer.write_all(&talk).unwrap();
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        got
    });
    world.until("the end", |w| !w.seen().closed.is_empty());
    assert!(got.join().unwrap() == expected, "the answer differs");
    assert_eq!(world.seen().closed, [(conn, Closed::ByUs)]);
    assert!(world.seen().got(conn).is_empty(), "bytes were told after the close");
    assert_eq!(world.seen().sent[&conn].0, expected.len() as u64);
}

#[test]
fn one_who_ended_its_half_still_gets_the_answer() {
    let mut world = World::new();
    let addr = world.listen_tcp();
    let mut peer = TcpStream::connect(addr).unwrap();
    let conn = world.accepted(0);
    world.turns(3);
    peer.write_all(b"GET").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let answer = pattern(4 << 20);
    let expected = answer.clone();
    // In this turn question and end are read, and then the role answers.
    world.wish(move |out| {
        out.send(conn, &answer);
        out.close_after_flush(conn);
    });
    assert_eq!(world.seen().got(conn), b"GET");
    let got = thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        got
    });
    world.until("the end", |w| !w.seen().closed.is_empty());
    assert!(got.join().unwrap() == expected, "the answer differs");
    assert_eq!(world.seen().closed, [(conn, Closed::ByUs)]);
}

#[test]
fn a_peer_that_neither_reads_nor_leaves_does_not_hold_a_closed_connection_for_ever() {
    let mut world = World::new();
    let addr = world.listen_tcp();
    let peer = TcpStream::connect(addr).unwrap();
    let conn = world.accepted(0);
    world.wish(move |out| {
        out.send(conn, b"bye");
        out.close_after_flush(conn);
    });
    world.until("lingering ends", |w| w.seen().closed == [(conn, Closed::ByUs)]);
    drop(peer);
}

#[test]
fn both_kinds_of_listener_share_one_number() {
    let mut world = World::new();
    let got = world.listen("127.0.0.1:0", 0, (true, true)).unwrap();
    let (tcp, udp) = (got.tcp.unwrap(), got.udp.unwrap());
    assert_eq!(tcp, udp);
    assert_ne!(tcp.port(), 0);
    let port = tcp.port();
    TcpStream::connect(tcp).unwrap();

    let mut other = World::new();
    let at = format!("127.0.0.1:{port}");
    let taken = expect_mark!("F06", other.listen(&at, port, (true, false)));
    assert_eq!(taken, Err(NetError::InUse));
    assert_eq!(other.listen(&at, port, (false, true)), Err(NetError::InUse));
    let next = other.listen(&at, port.saturating_add(50), (true, true)).unwrap();
    let (tcp, udp) = (next.tcp.unwrap(), next.udp.unwrap());
    assert_eq!(tcp, udp);
    assert!(tcp.port() > port);
    assert_eq!(other.listen("192.0.2.1:0", 0, (true, false)), Err(NetError::NotOurs));
}

#[test]
fn a_number_taken_for_one_kind_is_passed_over_for_both() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut world = World::new();
    let at = format!("127.0.0.1:{port}");
    let got = world.listen(&at, port.saturating_add(50), (true, true)).unwrap();
    assert!(got.tcp.unwrap().port() > port);
    assert_eq!(got.tcp, got.udp);
}
