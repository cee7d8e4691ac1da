//! Rates, printed and never judged:
//! `cargo test --release --test reactor -- --ignored rate --nocapture`.

use crate::world::{Dir, pattern};
use lmk::core::chunk::{Chunk, FileSpan, Head};
use lmk::core::id::{ConnId, FileId};
use lmk::core::io::{FileDone, FileOp, Input, OpenMode, Outbox, Role};
use lmk::core::report::{Ending, Snapshot};
use lmk::core::time::{Span, Time};
use lmk::reactor::{Options, Reactor};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Instant;

const FILE_BYTES: u64 = 256 << 20;
const TOTAL_BYTES: u64 = 4 << 30;

/// Serves a file in framed blocks of 16 KiB, or takes bytes and throws them away.
struct Mill {
    path: PathBuf,
    file: Option<FileId>,
    addr: Option<SocketAddr>,
    at: u64,
    taken: u64,
    /// Bytes kept in the queue of the connection.
    window: u64,
    block: u32,
}

impl Mill {
    fn top_up(&mut self, conn: ConnId, mut queued: u64, out: &mut Outbox) {
        let Some(file) = self.file else { return };
        while queued < self.window && self.at < TOTAL_BYTES {
            let offset = self.at % FILE_BYTES;
            out.send_chunk(conn, Chunk::Head(Head::new(&[7; 13]).unwrap()));
            out.send_chunk(conn, Chunk::File(FileSpan { file, offset, len: self.block }));
            self.at += u64::from(self.block);
            queued += u64::from(self.block) + 13;
        }
    }
}

impl Role for Mill {
    fn on(&mut self, _now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Born => {
                out.listen("127.0.0.1:0".parse().unwrap(), 0, true, false);
                out.file(FileOp::Open { path: self.path.clone(), mode: OpenMode::Read });
            }
            Input::Listening { result, .. } => self.addr = result.unwrap().tcp,
            Input::File { done: FileDone::Opened(opened), .. } => {
                self.file = opened.ok().map(|(file, _)| file);
            }
            Input::Accepted { conn, .. } => self.top_up(conn, 0, out),
            Input::Sent { conn, queued, .. } => {
                self.top_up(conn, queued, out);
                if queued == 0 && self.at >= TOTAL_BYTES {
                    out.end(Ending::Done);
                }
            }
            Input::Bytes { bytes, .. } => self.taken += bytes.len() as u64,
            Input::Closed { .. } => out.end(Ending::Done),
            _ => {}
        }
    }
    fn deadline(&self) -> Time {
        Time::NEVER
    }
    fn snapshot(&self, _now: Time) -> Snapshot {
        Snapshot::default()
    }
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Runs one mill against a peer. -> GB/s, GB per CPU second of the loop, turns.
fn mill(path: PathBuf, block: u32, peer: fn(SocketAddr)) -> (f64, f64, u64) {
    let window = 2 << 20;
    let mill = Mill { path, file: None, addr: None, at: 0, taken: 0, window, block };
    let options = Options { signals: false, ..Options::default() };
    let mut reactor = Reactor::new(mill, options).unwrap();
    let mut quiet = |_| {};
    while reactor.role().addr.is_none() || reactor.role().file.is_none() {
        reactor.turn(Span::ms(5), &mut quiet).unwrap();
        if !reactor.role().path.exists() {
            reactor.turn(Span::ms(5), &mut quiet).unwrap();
            break;
        }
    }
    let addr = reactor.role().addr.unwrap();
    let peer = std::thread::spawn(move || peer(addr));
    let (start, cpu) = (Instant::now(), cpu_seconds());
    while reactor.turn(Span::secs(1), &mut quiet).unwrap().is_none() {}
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let counters = reactor.counters();
    drop(reactor);
    peer.join().unwrap();
    let gb = (counters.bytes_in + counters.bytes_out) as f64 / 1e9;
    (gb / wall, gb / cpu, counters.turns)
}

/// The floor: a loop that only reads 128 KiB of the file and writes them. -> as `mill`.
fn floor(path: PathBuf, peer: fn(SocketAddr)) -> (f64, f64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(path).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let peer = std::thread::spawn(move || peer(addr));
    let (mut stream, _) = listener.accept().unwrap();
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut block = vec![0; 128 << 10];
    for at in (0..TOTAL_BYTES).step_by(block.len()) {
        file.read_exact_at(&mut block, at % FILE_BYTES).unwrap();
        stream.write_all(&block).unwrap();
    }
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    drop(stream);
    peer.join().unwrap();
    let gb = TOTAL_BYTES as f64 / 1e9;
    (gb / wall, gb / cpu)
}

/// Reads and throws away.
fn drain(addr: SocketAddr) {
    let mut stream = TcpStream::connect(addr).unwrap();
    let mut buffer = vec![0; 1 << 20];
    while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
}

/// Has the kernel throw away.
fn discard(addr: SocketAddr) {
    let stream = TcpStream::connect(addr).unwrap();
    let mut buffer = vec![0_u8; 8 << 20];
    let flags = rustix::net::RecvFlags::TRUNC;
    while rustix::net::recv(&stream, &mut buffer[..], flags).is_ok_and(|(_, n)| n > 0) {}
}

fn pour(addr: SocketAddr) {
    let mut stream = TcpStream::connect(addr).unwrap();
    let block = vec![1; 256 << 10];
    for _ in 0..TOTAL_BYTES / block.len() as u64 {
        stream.write_all(&block).unwrap();
    }
}

#[test]
#[ignore = "prints rates and judges nothing"]
fn rate() {
    let dir = match std::path::Path::new("/dev/shm").is_dir() {
        true => Dir(PathBuf::from(format!("/dev/shm/lmk-rate-{}", std::process::id()))),
        false => Dir::new("rate"),
    };
    std::fs::create_dir_all(&dir.0).unwrap();
    std::fs::write(dir.path("content"), pattern(FILE_BYTES as usize)).unwrap();
    type Run = (&'static str, u32, &'static str, fn(SocketAddr));
    let runs: [Run; 4] = [
        ("serve 16 KiB blocks to a reader", 16 << 10, "content", drain),
        ("serve 16 KiB blocks to a discarder", 16 << 10, "content", discard),
        ("serve 1 MiB blocks (sendfile) to a reader", 1 << 20, "content", drain),
        ("receive and discard", 16 << 10, "none", pour),
    ];
    for (what, peer) in [("a reader", drain as fn(SocketAddr)), ("a discarder", discard)] {
        let (wall, cpu) = floor(dir.path("content"), peer);
        println!("floor, to {what}: {wall:.2} GB/s, {cpu:.2} GB per CPU second");
    }
    for (what, block, name, peer) in runs {
        for _ in 0..3 {
            let (wall, cpu, turns) = mill(dir.path(name), block, peer);
            println!("{what}: {wall:.2} GB/s, {cpu:.2} GB per CPU second, {turns} turns");
        }
    }
}

#[test]
#[ignore = "prints a time and judges nothing"]
fn rate_of_start() {
    let started = Instant::now();
    let path = PathBuf::from("/nonexistent");
    let mill = Mill { path, file: None, addr: None, at: 0, taken: 0, window: 0, block: 1 };
    let mut reactor = Reactor::new(mill, Options::default()).unwrap();
    let made = started.elapsed();
    while reactor.role().addr.is_none() {
        reactor.turn(Span::ms(5), &mut |_| {}).unwrap();
    }
    println!("made after {made:?}, listening after {:?}", started.elapsed());
}
