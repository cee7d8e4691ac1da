//! Bytes that mean nothing, thrown at every port of every program: they go on, and serve.

use crate::bed::{Bed, Lmk, noise};
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// Connections that begin well, say half and wait.
const HALVES: usize = 100;

/// The ports on which a process listens or is bound.
fn ports(lmk: &Lmk) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let fds = fs::read_dir(format!("/proc/{}/fd", lmk.pid())).unwrap();
    let links = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    let sockets: Vec<String> = links
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.to_owned()))
        .map(|inode| inode.trim_end_matches(']').to_owned())
        .collect();
    let table = |name: &str, state: &str| {
        let text = fs::read_to_string(format!("/proc/{}/net/{name}", lmk.pid()));
        let text = text.unwrap_or_default();
        let rows = text.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
        let ours = rows.filter(|row| row[3] == state && sockets.iter().any(|own| own == row[9]));
        ours.map(|row| address(row[1])).collect::<Vec<_>>()
    };
    let both = |name: &str, state| [table(name, state), table(&format!("{name}6"), state)].concat();
    (both("tcp", "0A"), both("udp", "07"))
}

/// `0100007F:1B39`, as the kernel writes 127.0.0.1:6969.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let words: Vec<[u8; 4]> = (0..ip.len() / 8)
        .map(|n| u32::from_str_radix(&ip[8 * n..8 * n + 8], 16).unwrap().to_ne_bytes())
        .collect();
    let ip: IpAddr = match words[..] {
        [v4] => Ipv4Addr::from(v4).into(),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).unwrap()).to_canonical(),
    };
    let ip = if ip.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { ip };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).unwrap())
}

fn resident_kib(lmk: &Lmk) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", lmk.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What strangers send, with the handshake of the content in `info_hash` before some of it.
fn nonsense(info_hash: &[u8]) -> Vec<Vec<u8>> {
    let mut handshake = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05".to_vec();
    handshake.extend_from_slice(info_hash);
    handshake.extend_from_slice(b"-XX0000-abcdefghijkl");
    let after = |more: &[u8]| [&handshake, more].concat();
    vec![
        Vec::new(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"GET ".repeat(100_000),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\x07LMK/CAT\x01\x01".to_vec(),
        [&b"\x07LMK/CAT\x01\x01\0\x01"[..], &[0xff; 200]].concat(),
        handshake[..30].to_vec(),
        after(&[]),
        after(&[0xff; 4]),
        after(b"\0\0\0\x05\x05\xff\xff\xff\xff"),
        after(b"\0\0\0\x01\x02\0\0\0\x0d\x06\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff"),
        after(&[b"\0\0\x40\x09\x07".as_slice(), &[0; 16392]].concat()),
        after(&[b"\0\0\x10\0\x14\0".as_slice(), &b"l".repeat(4094)].concat()),
        after(&noise(40, 100_000)),
        noise(41, 100_000),
        vec![0; 10_000_000],
    ]
}

fn throw_stream(at: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    // Whether it is taken, refused or cut off is theirs to decide.
    let _ = stream.write_all(bytes).and_then(|()| stream.read(&mut [0; 1024]));
}

#[test]
fn garbage_to_every_port_stops_nobody() {
    let bed = Bed::new("garbage");
    let bytes = noise(42, 3_000_000);
    bed.file("seeder/big.zip", &bytes);
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "seeder", "big.zip", "");
    let keeps = tracker.leecher(&bed, "keeps", "big.zip", "--keep-seeding");
    keeps.says("listening on ");
    let hash = seeder.hash();
    let info_hash: Vec<u8> =
        (0..20).map(|n| u8::from_str_radix(&hash[2 * n..2 * n + 2], 16).unwrap()).collect();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut halves = Vec::new();
    for lmk in [&tracker.lmk, &seeder, &keeps] {
        let (streams, datagrams) = ports(lmk);
        assert_eq!((streams.len(), datagrams.len()), (1, 1), "{}: ports", lmk.who);
        for seed in 0..300_u64 {
            let len = (seed * 97 % 1500) as usize;
            socket.send_to(&noise(seed, len), datagrams[0]).unwrap();
        }
        for thrown in nonsense(&info_hash) {
            socket.send_to(&thrown[..thrown.len().min(1400)], datagrams[0]).unwrap();
            throw_stream(streams[0], &thrown);
        }
        for _ in 0..HALVES {
            let mut stream = TcpStream::connect(streams[0]).unwrap();
            let half = if lmk.who == "tracker" { &b"\x07LMK/C"[..] } else { b"\x13BitTor" };
            stream.write_all(half).unwrap();
            halves.push(stream);
        }
    }
    tracker.fetch(&bed, "after", "big.zip", "").with(0);
    assert!(fs::read(bed.path("after/big.zip")).unwrap() == bytes);
    for lmk in [tracker.lmk, seeder, keeps] {
        let kib = resident_kib(&lmk);
        assert!(kib < 64 * 1024, "{} grew to {kib} KiB", lmk.who);
        let ended = lmk.ended_by(Signal::INT).with(130);
        assert!(!ended.err.contains("internal"), "{}", ended.err);
    }
    drop(halves);
}
