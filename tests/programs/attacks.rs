//! Attacks on real processes: many connections that mean ill, and too few descriptors. Memory and
//! CPU time stay bounded, and an honest leecher is served afterwards.

use crate::bed::{Bed, Lmk, noise};
use rustix::process::Signal;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

/// What a seeder may grow to, whatever is thrown at it.
const CEILING_KIB: u64 = 64 * 1024;

/// The most memory a process ever had resident.
pub fn peak_kib(lmk: &Lmk) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", lmk.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU time so far, in ticks of 10 ms.
fn cpu_ticks(lmk: &Lmk) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", lmk.pid())).unwrap();
    let (_, after) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = after.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Where a seeder that said `-v` listens: its ports are tried from the first on.
fn listens_at(lmk: &Lmk) -> SocketAddr {
    let line = lmk.says("listening on ");
    let text = line.split("listening on ").nth(1).unwrap();
    text.split([' ', ',']).next().unwrap().parse().unwrap()
}

fn handshake(hash: &str, n: u32) -> Vec<u8> {
    let mut bytes = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05".to_vec();
    bytes.extend((0..20).map(|n| u8::from_str_radix(&hash[2 * n..2 * n + 2], 16).unwrap()));
    bytes.extend_from_slice(format!("-XX0000-{n:012}").as_bytes());
    bytes
}

/// Writes what is taken; whether it is taken, refused or cut off is theirs to decide.
fn pour(stream: &mut TcpStream, bytes: &[u8]) {
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let _ = stream.write_all(bytes);
}

#[test]
fn hundreds_of_attackers_do_not_make_a_seeder_grow() {
    let bed = Bed::new("attacks");
    let bytes = noise(60, 20_000_000);
    bed.file("seeder/big.zip", &bytes);
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "seeder", "big.zip", "");
    let (at, hash) = (listens_at(&seeder), seeder.hash());
    // An extension handshake that gives the metadata exchange the number 3, then requests of it.
    let words = b"d1:md11:ut_metadatai3eee";
    let extended = |id: u8, payload: &[u8]| {
        let len = (payload.len() as u32 + 2).to_be_bytes();
        [&len[..], &[20, id], payload].concat()
    };
    let ask = extended(2, b"d8:msg_typei0e5:piecei0ee").repeat(20_000);
    let block =
        |n: u32| [&[0, 0, 0, 13, 6][..], &n.to_be_bytes(), &[0; 4], &[0, 0, 0x40, 0]].concat();
    let requests: Vec<u8> = (0..20_000).flat_map(|n| block(n % 70)).collect();
    let mut held = Vec::new();
    for n in 0..300_u32 {
        let mut stream = TcpStream::connect(at).unwrap();
        let shake = handshake(&hash, n);
        match n % 5 {
            0 => pour(&mut stream, &noise(n.into(), 100_000)),
            1 => pour(&mut stream, &shake[..30]),
            // Nothing of what is answered is ever read.
            2 => pour(&mut stream, &[&shake[..], &extended(0, words), &ask].concat()),
            3 => pour(&mut stream, &[&shake[..], &[0, 0, 0, 1, 2], &requests].concat()),
            _ => pour(&mut stream, &[&shake[..], &[0, 0, 0x40, 9, 7], &[0; 9_000]].concat()),
        }
        held.push(stream);
    }
    let kib = peak_kib(&seeder);
    assert!(kib < CEILING_KIB, "{kib} KiB at most are too much");
    tracker.fetch(&bed, "after", "big.zip", "").with(0);
    assert!(fs::read(bed.path("after/big.zip")).unwrap() == bytes);
    let kib = peak_kib(&seeder);
    assert!(kib < CEILING_KIB, "{kib} KiB at most are too much");
    eprintln!("the seeder had {kib} KiB at most");
    drop(held);
    seeder.ended_by(Signal::INT).with(130);
}

/// `lmk ARGS` with 64 descriptors, hard and soft.
fn confined(bed: &Bed, who: &str, args: &str) -> Lmk {
    let mut shell = Command::new("sh");
    let line = format!("ulimit -n 64; exec {} {args}", env!("CARGO_BIN_EXE_lmk"));
    shell.args(["-c", &line]);
    Lmk::run(who, bed.dressed(who, shell))
}

/// Connects until nobody is let in any more, holds all for a while, and lets go.
fn exhausts(lmk: &Lmk, at: SocketAddr) {
    let before = cpu_ticks(lmk);
    let held: Vec<TcpStream> = (0..200)
        .filter_map(|_| TcpStream::connect_timeout(&at, Duration::from_secs(2)).ok())
        .collect();
    let (begun, hold) = (Instant::now(), Duration::from_secs(3));
    // Those who are let in hear nothing; a wait for that is the time that passes.
    let mut last = held.last().expect("somebody is let in");
    while begun.elapsed() < hold {
        let left = hold.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
        last.set_read_timeout(Some(left)).unwrap();
        match last.read(&mut [0; 64]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // It was sent away: wait on the first one, which was let in.
            _ => {
                if std::ptr::eq(last, &held[0]) {
                    std::thread::sleep(left);
                }
                last = &held[0];
            }
        }
    }
    let ticks = cpu_ticks(lmk) - before;
    // 3 s are 300 ticks.
    assert!(ticks < 60, "{}: {ticks} ticks of CPU time in {:?}", lmk.who, begun.elapsed());
}

#[test]
fn without_descriptors_nobody_spins_and_everybody_is_served_afterwards() {
    let bed = Bed::new("descriptors");
    let bytes = noise(61, 1_000_000);
    bed.file("seeder/big.zip", &bytes);
    let tracker = confined(&bed, "tracker", &format!("tracker --bind {}:0", bed.ip(0)));
    let line = tracker.says("tracker on ");
    let tracker_at: SocketAddr = line.split_whitespace().nth(2).unwrap().parse().unwrap();
    let seeder = confined(&bed, "seeder", &format!("seeder --file big.zip --tracker {tracker_at}"));
    seeder.says("seeding ");
    let at = listens_at(&seeder);
    exhausts(&seeder, at);
    exhausts(&tracker, tracker_at);
    let tracker = crate::bed::Tracker { lmk: tracker, at: tracker_at };
    tracker.fetch(&bed, "after", "big.zip", "").with(0);
    assert!(fs::read(bed.path("after/big.zip")).unwrap() == bytes);
}

/// Each is one clear line and the code for it; what can be bound nowhere is not half bound.
#[test]
fn a_port_that_cannot_be_had_is_one_line() {
    let bed = Bed::new("ports");
    let far = bed.run("far", "tracker --bind 203.0.113.7:6969");
    let line = far.one_line(5, &["203.0.113.7", "6969"]);
    assert!(line.contains("not an address of this machine") || line.contains("address"), "{line}");
    let held = std::net::UdpSocket::bind((bed.ip(1), 0)).unwrap();
    let at = held.local_addr().unwrap();
    bed.run("udp", &format!("tracker --bind {at}")).one_line(5, &["another program uses the port"]);
    let held = std::net::TcpListener::bind((bed.ip(2), 0)).unwrap();
    let at = held.local_addr().unwrap();
    bed.run("tcp", &format!("tracker --bind {at}")).one_line(5, &["another program uses the port"]);
    // Below 1024, as somebody who may not.
    let lowest = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let free = lowest.is_ok_and(|text| text.trim().parse::<u32>().is_ok_and(|port| port < 1024));
    if !rustix::process::geteuid().is_root() || free {
        return eprintln!("skipped: no privileges to drop, or none are needed");
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"]);
    command.arg(env!("CARGO_BIN_EXE_lmk"));
    command.args(["tracker", "--bind", &format!("{}:800", bed.ip(3))]);
    let ended = Lmk::run("low", bed.dressed("low", command)).ends();
    ended.one_line(5, &["800"]);
}
