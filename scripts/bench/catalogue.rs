//! Load for the catalogue of a tracker, over real sockets: registers nodes, publishes names, lists
//! them whole, keeps idle connections and one that does not read; meanwhile another thread measures
//! how long UDP answers take. Started by `scripts/bench/catalogue`.

use lmk::core::id::{Hash32, InfoHash, PeerId};
use lmk::wire::catalogue::answer::Answer;
use lmk::wire::catalogue::entry::{Entry, flag};
use lmk::wire::catalogue::frame::{FrameLimits, FrameReader};
use lmk::wire::catalogue::hello::{Hello, NodeKey, REPLY_BYTES};
use lmk::wire::catalogue::request::{List, Publish, Register, Request};
use lmk::wire::control::{ControlRequest, ControlResponse, Op};
use lmk::wire::udp::{Request as Udp, Response};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WRITERS: u32 = 4;
const IN_FLIGHT: u32 = 32;
const NODE_CONTENTS: u32 = 200_000;

struct Ticket {
    ticket: [u8; 24],
    nonce: [u8; 8],
}

fn udp(tracker: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(tracker).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn connect(socket: &UdpSocket) -> u64 {
    let (mut bytes, mut answer) = (Vec::new(), [0; 1500]);
    Udp::Connect { tid: 9 }.encode(&mut bytes);
    socket.send(&bytes).unwrap();
    let len = socket.recv(&mut answer).expect("an answer within 5 s");
    match Response::decode(&answer[..len], false) {
        Some(Response::Connect { cid, .. }) => cid,
        other => panic!("{other:?}"),
    }
}

fn ticket(tracker: SocketAddr) -> Ticket {
    let socket = udp(tracker);
    let (mut bytes, mut answer, nonce) = (Vec::new(), [0; 1500], *b"benchmrk");
    let cid = connect(&socket);
    let (versions, op, url_data) = ((1, 1), Op::Write, Vec::new());
    ControlRequest { cid, tid: 5, versions, op, nonce, since: 0, url_data }.encode(&mut bytes);
    socket.send(&bytes).unwrap();
    let len = socket.recv(&mut answer).unwrap();
    let ready = ControlResponse::decode(&answer[..len]).unwrap();
    Ticket { ticket: ready.ticket, nonce }
}

struct Client {
    stream: TcpStream,
    reader: FrameReader,
    buffer: Vec<u8>,
    /// Read and not taken: start and end in the buffer.
    left: (usize, usize),
    received: u64,
}

impl Client {
    fn open(tracker: SocketAddr, ticket: &Ticket, key: u8) -> Client {
        let mut stream = TcpStream::connect(tracker).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut bytes = Vec::new();
        Hello {
            versions: (1, 1),
            max_frame: 1 << 20,
            ticket: ticket.ticket,
            nonce: ticket.nonce,
            token: Vec::new(),
            node_key: Some(NodeKey([key; 32])),
        }
        .encode(&mut bytes);
        stream.write_all(&bytes).unwrap();
        let mut reply = [0; REPLY_BYTES];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply[8], 1, "the hello was refused");
        let (reader, buffer) = (FrameReader::new(FrameLimits::CLIENT), vec![0; 1 << 18]);
        Client { stream, reader, buffer, left: (0, 0), received: 0 }
    }

    fn send(&mut self, requests: impl Iterator<Item = Request>) {
        let mut bytes = Vec::new();
        requests.for_each(|request| request.encode(1, 1 << 20, &mut bytes));
        self.stream.write_all(&bytes).unwrap();
    }

    /// The payload of the next answer.
    fn payload(&mut self) -> lmk::wire::catalogue::frame::Message {
        loop {
            let mut rest = &self.buffer[self.left.0..self.left.1];
            let before = rest.len();
            let message = self.reader.next(&mut rest).unwrap();
            self.left.0 += before - rest.len();
            if let Some(message) = message {
                return message;
            }
            let got = self.stream.read(&mut self.buffer).unwrap();
            assert!(got > 0, "the tracker closed the connection");
            self.received += got as u64;
            self.left = (0, got);
        }
    }

    fn answer(&mut self) -> Answer {
        Answer::decode(self.payload()).unwrap()
    }
}

fn hashes(n: u32) -> (InfoHash, Hash32) {
    let mut hash = [0x5a; 32];
    hash[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b1).to_be_bytes());
    let mut v1 = [0xa5; 20];
    v1[..4].copy_from_slice(&n.wrapping_mul(0x85eb_ca6b).to_be_bytes());
    (InfoHash(v1), Hash32(hash))
}

fn publish(n: u32) -> Request {
    let (v1, v2) = hashes(n);
    let entry = Entry {
        name: format!("datasets/2026/file-{n:08}.tar.zst").replace('/', "_"),
        v1: Some(v1),
        v2: Some(v2),
        size: 1 << 30,
        piece_bytes: 1 << 18,
        flags: flag::V1 | flag::V2,
        sha256: None,
        signed: None,
    };
    let (v1_info, v2_info, layers) = (None, None, None);
    Request::Publish(Publish { entry, v1_info, v2_info, layers, same_ok: true })
}

/// Measures UDP answers until it is told to stop: milliseconds, sorted.
fn probe(tracker: SocketAddr, stop: &AtomicBool) -> Vec<f64> {
    let socket = udp(tracker);
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        connect(&socket);
        took.push(start.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(1));
    }
    took.sort_by(f64::total_cmp);
    took
}

/// Does `work` while UDP is measured, and says what both gave.
fn measured((tracker, pid): (SocketAddr, u32), what: &str, work: impl FnOnce() -> String) {
    let stop = Arc::new(AtomicBool::new(false));
    let prober = std::thread::spawn({
        let stop = stop.clone();
        move || probe(tracker, &stop)
    });
    let before = cpu_s(pid);
    let said = work();
    let cpu = cpu_s(pid) - before;
    stop.store(true, Ordering::Relaxed);
    let took = prober.join().unwrap();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{what}: {said}; {cpu:.2} s of CPU; UDP p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms of {}",
        at(0.5),
        at(0.99),
        at(1.0),
        took.len()
    );
}

fn register(tracker: SocketAddr, names: u32) -> Vec<Client> {
    let ticket = ticket(tracker);
    let mut nodes = Vec::new();
    for (node, first) in (0..names).step_by(NODE_CONTENTS as usize).enumerate() {
        let mut client = Client::open(tracker, &ticket, 7);
        for from in (first..names.min(first + NODE_CONTENTS)).step_by(1024) {
            let to = (from + 1024).min(names).min(first + NODE_CONTENTS);
            let hashes = (from..to).map(|n| hashes(n).0).collect();
            let (port, peer_id) = (7000 + node as u16, PeerId(*b"-LM0100-benchbench12"));
            let register = Register { port, peer_id, hashes, more: true };
            client.send([Request::Register(register)].into_iter());
            let answer = client.answer();
            assert!(matches!(answer, Answer::Registered { .. }), "{answer:?}");
        }
        nodes.push(client);
    }
    nodes
}

fn publish_all(tracker: SocketAddr, names: u32) -> String {
    let ticket = Arc::new(ticket(tracker));
    let start = Instant::now();
    let writers = (0..WRITERS).map(|writer| {
        let ticket = ticket.clone();
        std::thread::spawn(move || {
            let mut client = Client::open(tracker, &ticket, writer as u8 + 1);
            let own: Vec<u32> = (writer..names).step_by(WRITERS as usize).collect();
            for batch in own.chunks(IN_FLIGHT as usize) {
                client.send(batch.iter().map(|n| publish(*n)));
                for _ in batch {
                    let answer = client.answer();
                    assert!(matches!(answer, Answer::Published { .. }), "{answer:?}");
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let took = start.elapsed().as_secs_f64();
    format!("{names} names in {took:.1} s, {:.0}/s", f64::from(names) / took)
}

fn list_all(tracker: SocketAddr, names: u32) -> String {
    let mut client = Client::open(tracker, &ticket(tracker), 9);
    let start = Instant::now();
    let (mut cursor, mut pages) = (None, 0);
    let before = client.received;
    loop {
        let list = List { limit: 4096, cursor, prefix: None, glob: None, since: None };
        client.send([Request::List(list)].into_iter());
        // The cursor stands first: the entries themselves are not worth reading here.
        let message = client.payload();
        pages += 1;
        cursor = cursor_of(&message.payload);
        if cursor.is_none() {
            break;
        }
    }
    let (took, bytes) = (start.elapsed().as_secs_f64(), client.received - before);
    let rate = bytes as f64 / took / 1e6;
    format!("{names} names, {pages} pages, {bytes} bytes in {took:.2} s, {rate:.0} MB/s")
}

fn cursor_of(payload: &[u8]) -> Option<Vec<u8>> {
    let rest = payload.strip_prefix(b"d1:c")?;
    let colon = rest.iter().position(|byte| *byte == b':')?;
    let len: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
    Some(rest[colon + 1..colon + 1 + len].to_vec())
}

fn idle(tracker: SocketAddr, pid: u32, count: usize) -> String {
    let before = rss_kib(pid);
    let ticket = ticket(tracker);
    let start = Instant::now();
    let idle: Vec<Client> = (0..count)
        .map(|_| {
            let mut client = Client::open(tracker, &ticket, 3);
            (client.buffer, client.left) = (Vec::new(), (0, 0));
            client
        })
        .collect();
    let opened = start.elapsed().as_secs_f64();
    let mut slow = Client::open(tracker, &ticket, 3);
    let list = || List { limit: 4096, cursor: None, prefix: None, glob: None, since: None };
    slow.send((0..IN_FLIGHT).map(|_| Request::List(list())));
    std::thread::sleep(Duration::from_secs(8));
    let after = rss_kib(pid);
    let held = idle.len();
    format!(
        "{held} idle and one that does not read, opened in {opened:.1} s: {:.1} KiB resident each",
        (after.saturating_sub(before)) as f64 / held as f64
    )
}

/// Seconds of CPU a process has had.
fn cpu_s(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|t| t.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}

fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, tracker, pid, names, idles] = &args[..] else {
        panic!("usage: catalogue TRACKER PID NAMES IDLE")
    };
    let tracker: SocketAddr = tracker.parse().unwrap();
    let (pid, names): (u32, u32) = (pid.parse().unwrap(), names.parse().unwrap());
    let empty = rss_kib(pid);
    measured((tracker, pid), "at rest", || {
        std::thread::sleep(Duration::from_secs(2));
        "2 s".to_owned()
    });
    let mut nodes = Vec::new();
    measured((tracker, pid), "register", || {
        let start = Instant::now();
        nodes = register(tracker, names);
        format!("{} nodes, {names} contents in {:.1} s", nodes.len(), start.elapsed().as_secs_f64())
    });
    // Their connections are their leases: a ping each 10 s keeps them.
    let stop = Arc::new(AtomicBool::new(false));
    let pinger = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut last = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                if last.elapsed() > Duration::from_secs(10) {
                    last = Instant::now();
                    for node in &mut nodes {
                        node.send([Request::Ping].into_iter());
                        assert_eq!(node.answer(), Answer::Pong);
                    }
                }
            }
        }
    });
    measured((tracker, pid), "publish", || publish_all(tracker, names));
    let full = rss_kib(pid);
    println!("memory: {} bytes a name", (full - empty) * 1024 / u64::from(names.max(1)));
    measured((tracker, pid), "list", || list_all(tracker, names));
    measured((tracker, pid), "list again", || list_all(tracker, names));
    measured((tracker, pid), "idle", || idle(tracker, pid, idles.parse().unwrap()));
    stop.store(true, Ordering::Relaxed);
    pinger.join().unwrap();
}
