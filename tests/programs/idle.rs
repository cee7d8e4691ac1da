//! Connections that do nothing, and a lister that does not read: they cost descriptors and bounded
//! buffers. And what a tracker does that the system lets have few descriptors.

use crate::access::get;
use crate::bed::{Bed, Lmk};
use lmk::core::id::{InfoHash, PeerId};
use lmk::wire::catalogue::entry::{Entry, flag};
use lmk::wire::catalogue::hello::{Hello, HelloReply, NodeKey, REPLY_BYTES};
use lmk::wire::catalogue::request::{List, Publish, Register, Request};
use lmk::wire::control::{ControlRequest, ControlResponse, Op, Status};
use lmk::wire::udp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

/// Connections that say hello and nothing more.
const IDLE: usize = 9_000;
/// What one of them may cost in memory of the process, bytes.
const IDLE_BYTES_MAX: u64 = 2_048;
/// What a lister that does not read may cost: what waits to leave, and what came and waits.
const SLOW_BYTES_MAX: u64 = 8 * 1024 * 1024;
const NAMES: u32 = 4_000;
const NONCE: [u8; 8] = *b"nonce678";
const PATIENCE: Duration = Duration::from_secs(20);

/// Resident memory now, bytes.
fn resident(lmk: &Lmk) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", lmk.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A UDP client of one tracker.
struct Asker {
    socket: UdpSocket,
    cid: u64,
}

impl Asker {
    fn new(tracker: SocketAddr) -> Asker {
        // The address that a connection without one of its own has, too.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(tracker).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut asker = Asker { socket, cid: 0 };
        let mut connect = Vec::new();
        udp::Request::Connect { tid: 1 }.encode(&mut connect);
        let answer = asker.ask(&connect);
        let Some(udp::Response::Connect { cid, .. }) = udp::Response::decode(&answer, false) else {
            panic!("{answer:?}")
        };
        asker.cid = cid;
        asker
    }

    fn ask(&self, request: &[u8]) -> Vec<u8> {
        let mut answer = [0; 2048];
        self.socket.send(request).unwrap();
        let len = self.socket.recv(&mut answer).unwrap();
        answer[..len].to_vec()
    }

    fn control(&self, op: Op) -> ControlResponse {
        let (cid, versions, url_data) = (self.cid, (1, 1), Vec::new());
        let request =
            ControlRequest { cid, tid: 2, versions, op, nonce: NONCE, since: 0, url_data };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        ControlResponse::decode(&self.ask(&bytes)).unwrap()
    }
}

/// A connection that has said hello with this ticket.
fn greets(tracker: SocketAddr, ticket: [u8; 24], key: Option<u8>) -> TcpStream {
    let mut stream = TcpStream::connect(tracker).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut hello = Vec::new();
    let node_key = key.map(|byte| NodeKey([byte; 32]));
    let (versions, max_frame, token) = ((1, 1), 1 << 20, Vec::new());
    Hello { versions, max_frame, ticket, nonce: NONCE, token, node_key }.encode(&mut hello);
    stream.write_all(&hello).unwrap();
    stream
}

fn is_greeted(stream: &mut TcpStream) {
    let mut reply = [0; REPLY_BYTES];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(HelloReply::decode(&reply).unwrap().unwrap().status, Status::Ready);
}

fn long_name(n: u32) -> (Entry, InfoHash) {
    let mut hash = [0x55; 20];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    let entry = Entry {
        name: format!("{n:06}{}", "x".repeat(190)),
        v1: Some(InfoHash(hash)),
        v2: None,
        size: 1000,
        piece_bytes: 16_384,
        flags: flag::V1,
        sha256: None,
        signed: None,
    };
    (entry, InfoHash(hash))
}

/// Opens so many connections. On a slow machine that takes longer than one may be silent.
fn idles(asker: &Asker, tracker: SocketAddr, many: usize) -> Vec<TcpStream> {
    let mut ping = Vec::new();
    Request::Ping.encode(1, 1 << 20, &mut ping);
    let mut held: Vec<TcpStream> = Vec::new();
    let mut pinged = Instant::now();
    while held.len() < many {
        // A ticket counts for 20 s.
        let ticket = asker.control(Op::Read).ticket;
        let part = 500.min(many - held.len());
        let mut fresh: Vec<TcpStream> = (0..part).map(|_| greets(tracker, ticket, None)).collect();
        fresh.iter_mut().for_each(is_greeted);
        held.append(&mut fresh);
        if pinged.elapsed() > Duration::from_secs(10) {
            pinged = Instant::now();
            held.iter_mut().for_each(|stream| stream.write_all(&ping).unwrap());
        }
    }
    held
}

/// Publishes many long names and waits until all of them are listed.
fn publishes(asker: &Asker, tracker: SocketAddr) -> TcpStream {
    let mut owner = greets(tracker, asker.control(Op::Write).ticket, Some(1));
    is_greeted(&mut owner);
    let (mut bytes, mut hashes) = (Vec::new(), Vec::new());
    for n in 0..NAMES {
        let (entry, hash) = long_name(n);
        let publish = Publish::bare(entry);
        Request::Publish(publish).encode(1, 1 << 20, &mut bytes);
        hashes.push(hash);
    }
    for part in hashes.chunks(1000) {
        let peer_id = PeerId(*b"-LM0100-registered12");
        let register = Register { port: 7002, peer_id, hashes: part.to_vec(), more: true };
        Request::Register(register).encode(1, 1 << 20, &mut bytes);
    }
    owner.write_all(&bytes).unwrap();
    let until = Instant::now() + PATIENCE;
    owner.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while asker.control(Op::Hello).names < u64::from(NAMES) {
        assert!(Instant::now() < until, "not all names are listed");
        let _ = owner.read(&mut [0; 65_536]);
    }
    owner
}

/// Asks for the whole list again and again, as long as the tracker takes it, and reads nothing.
fn lists_without_reading(asker: &Asker, tracker: SocketAddr) -> TcpStream {
    let mut slow = greets(tracker, asker.control(Op::Read).ticket, None);
    is_greeted(&mut slow);
    slow.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let list = List { limit: 4096, cursor: None, prefix: None, glob: None, since: None };
    let mut request = Vec::new();
    Request::List(list).encode(1, 1 << 20, &mut request);
    let requests = request.repeat(200);
    for _ in 0..1000 {
        match slow.write(&requests) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    slow
}

#[test]
fn idle_connections_and_a_lister_that_does_not_read_cost_little() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(65_536);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum });
    let few = usize::try_from(most).unwrap().saturating_sub(1_000).min(IDLE);
    if few < IDLE {
        eprintln!("only {few} connections: the system gives {most} descriptors");
    }
    let bed = Bed::new("idle");
    let tracker = bed.forgetful_tracker(SocketAddr::new(bed.ip(0), 0));
    let asker = Asker::new(tracker.at);
    let owner = publishes(&asker, tracker.at);
    let before = resident(&tracker.lmk);
    let held = idles(&asker, tracker.at, few);
    let open = get(tracker.at, "/metrics");
    let open = open.lines().find_map(|line| line.strip_prefix("lmk_connections ")).unwrap();
    assert!(open.trim().parse::<usize>().unwrap() >= few, "{open} connections are open");
    let idle = resident(&tracker.lmk).saturating_sub(before);
    let each = idle / few as u64;
    eprintln!("{few} idle connections: {each} bytes each");
    assert!(each < IDLE_BYTES_MAX, "{each} bytes for each of {few} idle connections");

    let before = resident(&tracker.lmk);
    let slow = lists_without_reading(&asker, tracker.at);
    let grown = resident(&tracker.lmk).saturating_sub(before);
    eprintln!("a lister that does not read: {grown} bytes");
    assert!(grown < SLOW_BYTES_MAX, "{grown} bytes for a lister that does not read");
    // Everybody else is served.
    bed.run("asker", &format!("ls 00000* --tracker {}", tracker.at)).with(0);
    drop((owner, slow, held));
}

#[test]
fn a_tracker_with_few_descriptors_promises_no_more_than_it_has() {
    let bed = Bed::new("idle-few");
    let mut shell = Command::new("sh");
    let lmk = env!("CARGO_BIN_EXE_lmk");
    let line = format!("ulimit -n 100; exec {lmk} tracker --db none --bind {}:0", bed.ip(0));
    shell.args(["-c", &line]);
    let lmk = Lmk::run("tracker", bed.dressed("tracker", shell));
    let said = lmk.says("tracker on ");
    let at: SocketAddr = said.split_whitespace().nth(2).unwrap().parse().unwrap();
    let asker = Asker::new(at);
    // Half of so few are kept for other things.
    let ticket = asker.control(Op::Read).ticket;
    let mut held: Vec<TcpStream> = (0..49).map(|_| greets(at, ticket, None)).collect();
    held.iter_mut().for_each(is_greeted);
    let first = asker.control(Op::Read);
    assert_eq!(first.status, Status::Ready, "one place is left");
    let busy = asker.control(Op::Read);
    assert_eq!(busy.status, Status::Busy, "it is promised");
    let mut last = greets(at, first.ticket, None);
    is_greeted(&mut last);
    // One more is sent away at once, and is not left waiting.
    let mut over = greets(at, ticket, None);
    assert!(matches!(over.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert!(!lmk.has_said("too many open files"), "{}", lmk.story());
    drop(held);
    let until = Instant::now() + PATIENCE;
    while asker.control(Op::Read).status == Status::Busy {
        assert!(Instant::now() < until, "places that are free again are promised again");
    }
}
