//! Load for the catalogue of a tracker, over real sockets: registers nodes, publishes names, lists
//! them whole, keeps idle connections and one that does not read; meanwhile another process connects
//! and announces each 10 ms and says how long the answers took, from when they were due to be asked.
//! Started by `scripts/bench/catalogue`.

use lmk::core::id::{Hash32, InfoHash, PeerId};
use lmk::wire::catalogue::answer::Answer;
use lmk::wire::catalogue::entry::{Entry, flag};
use lmk::wire::catalogue::frame::{FrameLimits, FrameReader};
use lmk::wire::catalogue::hello::{Hello, NodeKey, REPLY_BYTES};
use lmk::wire::catalogue::request::{List, Publish, Register, Request};
use lmk::wire::control::{ControlRequest, ControlResponse, Op};
use lmk::wire::udp::{AnnounceRequest, Event, Request as Udp, Response};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WRITERS: u32 = 64;
const IN_FLIGHT: u32 = 128;
const PROBE_EVERY: Duration = Duration::from_millis(10);
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
    Request::Publish(Publish { same_ok: true, ..Publish::bare(entry) })
}

fn announce(socket: &UdpSocket, cid: u64, n: u32) {
    let request = AnnounceRequest {
        cid,
        tid: 10,
        info_hash: InfoHash([n as u8; 20]),
        peer_id: PeerId(*b"-TR0000-benchbench12"),
        downloaded: 0,
        left: 1,
        uploaded: 0,
        event: Event::None,
        key: 0,
        num_want: 50,
        port: 9000 + (n % 1000) as u16,
        url_data: Vec::new(),
    };
    let (mut bytes, mut answer) = (Vec::new(), [0; 1500]);
    Udp::Announce(request).encode(&mut bytes);
    socket.send(&bytes).unwrap();
    let len = socket.recv(&mut answer).expect("an answer within 5 s");
    let answer = Response::decode(&answer[..len], false);
    assert!(matches!(answer, Some(Response::Announce(_))), "{answer:?}");
}

/// Measures until its input ends; says it in one line.
fn probe(tracker: SocketAddr) {
    // It shall wait for the tracker, not for the load beside it.
    let _ = rustix::process::nice(-10);
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::spawn({
        let stop = stop.clone();
        move || {
            let _ = std::io::stdin().read(&mut [0]);
            stop.store(true, Ordering::Relaxed);
        }
    });
    let socket = udp(tracker);
    let (mut took, mut due) = (Vec::new(), Instant::now());
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let cid = connect(&socket);
        took.push(due.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        announce(&socket, cid, n);
        took.push(start.elapsed().as_secs_f64() * 1e3);
        due += PROBE_EVERY;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    println!("UDP p50 {p50:.3} ms, p99 {p99:.3} ms, max {max:.1} ms of {}", took.len());
}

/// Does `work` while UDP is measured, and says what both gave.
fn measured((tracker, pid): (SocketAddr, u32), what: &str, work: impl FnOnce() -> String) {
    let own = std::env::current_exe().unwrap();
    let mut prober = Command::new(own);
    prober.args(["probe", &tracker.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut prober = prober.spawn().unwrap();
    let before = cpu_s(pid);
    let said = work();
    let cpu = cpu_s(pid) - before;
    drop(prober.stdin.take());
    let udp = String::from_utf8(prober.wait_with_output().unwrap().stdout).unwrap();
    println!("{what}: {said}; {cpu:.2} s of CPU; {}", udp.trim());
    println!("  since the start: {}", longest(tracker));
}

/// What the tracker says of its database.
fn longest(tracker: SocketAddr) -> String {
    let mut stream = TcpStream::connect(tracker).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let ours = ["lmk_commits_total", "longest_us"];
    let lines = text.lines().filter(|line| line.starts_with("lmk_"));
    let found: Vec<_> = lines.filter(|line| ours.iter().any(|one| line.contains(one))).collect();
    found.join(", ")
}

/// Seconds until a tracker that was just started answers.
fn awaited(tracker: SocketAddr) {
    let start = Instant::now();
    let socket = udp(tracker);
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let (mut bytes, mut answer) = (Vec::new(), [0; 1500]);
    Udp::Connect { tid: 9 }.encode(&mut bytes);
    while socket.send(&bytes).is_err() || socket.recv(&mut answer).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("restart: UDP answers after {:.2} s", start.elapsed().as_secs_f64());
}

fn register(tracker: SocketAddr, names: u32) -> Vec<Client> {
    let mut nodes = Vec::new();
    for (node, first) in (0..names).step_by(NODE_CONTENTS as usize).enumerate() {
        let mut client = Client::open(tracker, &ticket(tracker), 7);
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
        nodes.iter_mut().for_each(ping);
    }
    nodes
}

fn ping(node: &mut Client) {
    node.send([Request::Ping].into_iter());
    assert_eq!(node.answer(), Answer::Pong);
}

fn published(client: &mut Client, count: usize) {
    for _ in 0..count {
        let answer = client.answer();
        assert!(matches!(answer, Answer::Published { .. }), "{answer:?}");
    }
}

fn publish_all(tracker: SocketAddr, names: u32) -> String {
    let ticket = Arc::new(ticket(tracker));
    let start = Instant::now();
    let writers = (0..WRITERS).map(|writer| {
        let ticket = ticket.clone();
        std::thread::spawn(move || {
            let mut client = Client::open(tracker, &ticket, writer as u8 + 1);
            let own: Vec<u32> = (writer..names).step_by(WRITERS as usize).collect();
            let mut unanswered = 0;
            for batch in own.chunks(IN_FLIGHT as usize) {
                client.send(batch.iter().map(|n| publish(*n)));
                // The next batch is on its way while this one is answered.
                published(&mut client, unanswered);
                unanswered = batch.len();
            }
            published(&mut client, unanswered);
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
    let (tracker, pid, names, idles) = match &args[..] {
        [_, mode, tracker] if mode == "probe" => return probe(tracker.parse().unwrap()),
        [_, mode, tracker] if mode == "await" => return awaited(tracker.parse().unwrap()),
        [_, tracker, pid, names, idles] => (tracker, pid, names, idles),
        _ => panic!("usage: catalogue TRACKER PID NAMES IDLE"),
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
                    nodes.iter_mut().for_each(ping);
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
