//! Running out of descriptors: a child process with a low limit is asked by its parent.

use crate::world::World;
use lmk::core::io::{FileDone, FileOp, Input, OpenMode};
use lmk::core::mark::expect_mark;
use lmk::core::report::Ending;
use lmk::core::time::Span;
use lmk::reactor::Options;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: u64 = 40;

/// The child: echoes until it hears `q`, then tells its figures.
#[test]
#[ignore = "runs as the child of the test below"]
fn a_child_with_few_descriptors() {
    let low = Rlimit { current: Some(LIMIT), maximum: Some(LIMIT) };
    setrlimit(Resource::Nofile, low).unwrap();
    let options = Options { signals: false, descriptors_reserved: Some(0), ..Options::default() };
    let mut world = World::with(options, |_, input, out| {
        if let Input::Bytes { conn, bytes } = input {
            out.send(*conn, bytes);
            if *bytes == b"q" {
                out.end(Ending::Done);
            }
        }
    });
    let addr = world.listen_tcp();
    println!("\nlistening {addr}");
    let start = world.reactor.now();
    expect_mark!("F01", {
        while world.ending.is_none() {
            world.turn(Span::secs(1));
            assert!(world.reactor.now().since(start) < Span::secs(60));
        }
    });
    let counters = world.reactor.counters();
    let complaints = world.events.iter().filter(|e| e.kind == "too_many_files").count();
    println!("\nfigures {} {} {complaints}", counters.turns, counters.accepts_refused);
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Whether the child answers on this connection.
fn echoes(stream: &mut TcpStream) -> bool {
    let mut got = [0];
    stream.write_all(b"x").is_ok() && stream.read(&mut got).is_ok_and(|n| n == 1)
}

#[test]
fn running_out_of_descriptors_costs_only_the_newcomers() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "descriptors::a_child_with_few_descriptors"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let addr = lines.find_map(|line| line.strip_prefix("listening ").map(str::to_owned));
    let addr: SocketAddr = addr.expect("the child listens").parse().unwrap();
    let mut first = connect(addr);
    assert!(echoes(&mut first));
    let mut crowd: Vec<TcpStream> = (0..60).map(|_| connect(addr)).collect();
    // Each of the crowd is served or dropped, none is left hanging, and the first goes on.
    let served = crowd.iter_mut().filter_map(|stream| echoes(stream).then_some(())).count();
    assert!((10..LIMIT as usize).contains(&served), "{served} of 60 are served");
    assert!(echoes(&mut first));
    drop(crowd);
    // With room again newcomers are served again; those that come too early are dropped.
    let mut tries = 0;
    while !echoes(&mut connect(addr)) {
        tries += 1;
        assert!(tries < 100_000, "no newcomer is served any more");
    }
    first.write_all(b"q").unwrap();
    let figures = lines.find_map(|line| line.strip_prefix("figures ").map(str::to_owned));
    let figures: Vec<u64> =
        figures.unwrap().split(' ').map(|figure| figure.parse().unwrap()).collect();
    assert!(child.wait().unwrap().success());
    let [turns, refused, complaints] = figures[..] else { panic!("{figures:?}") };
    assert!(refused >= 60 - served as u64, "{refused} refused");
    assert_eq!(complaints, 1, "said once a minute at most");
    assert!(turns < 3000 + 10 * tries, "{turns} turns: the loop spins");
}

/// The child: its soft limit is low, and its connections are all in use.
#[test]
#[ignore = "runs as the child of the test below"]
fn a_child_with_a_low_soft_limit() {
    let low = Rlimit { current: Some(32), maximum: Some(128) };
    setrlimit(Resource::Nofile, low).unwrap();
    let options = Options { signals: false, descriptors_reserved: Some(108), ..Options::default() };
    let mut world = expect_mark!("F02", World::with(options, |_, _, _| {}));
    assert_eq!(getrlimit(Resource::Nofile).current, Some(128));
    let addr = world.listen_tcp();
    let crowd: Vec<TcpStream> = (0..60).map(|_| connect(addr)).collect();
    world.until("the crowd came", |world| {
        let counters = world.reactor.counters();
        counters.accepted + counters.accepts_refused == crowd.len() as u64
    });
    assert_eq!(world.reactor.counters().accepted, 20, "128 - 108");
    // Files have descriptors of their own.
    let path = std::env::current_exe().unwrap();
    let opened = world.file(FileOp::Open { path, mode: OpenMode::Read });
    assert!(matches!(opened, FileDone::Opened(Ok(_))), "{opened:?}");
}

#[test]
fn the_limit_is_raised_and_connections_leave_descriptors_for_files() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "descriptors::a_child_with_a_low_soft_limit"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}
