//! Output: order, framing of file spans with their heads, slow receivers, files that shrink.

use crate::world::{Dir, World, pattern};
use lmk::core::chunk::{Chunk, FileSpan};
use lmk::core::id::{ConnId, FileId};
use lmk::core::io::{Closed, FileDone, FileError, FileOp, OpenMode};
use lmk::core::mark::expect_mark;
use lmk::core::rng::Rng;
use rustix::net::{AddressFamily, SocketType};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

/// Connects with a receive buffer of so many bytes.
fn connect_with_window(addr: SocketAddr, bytes: usize) -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, bytes).unwrap();
    rustix::net::connect(&socket, &addr).unwrap();
    TcpStream::from(socket)
}

/// Reads in small and odd portions until `len` bytes are there.
fn read_slowly(mut stream: TcpStream, len: usize) -> Vec<u8> {
    let mut got = Vec::with_capacity(len);
    let mut buffer = [0; 7001];
    let mut rng = Rng::new(5);
    while got.len() < len {
        let room = rng.between(1, buffer.len() as u64) as usize;
        let n = stream.read(&mut buffer[..room]).unwrap();
        assert!(n > 0, "ended after {} of {len} bytes", got.len());
        got.extend_from_slice(&buffer[..n]);
    }
    got
}

/// A world with one accepted connection whose other end has a window of so many bytes.
fn connected(window: usize) -> (World, ConnId, TcpStream) {
    let mut world = World::new();
    let addr = world.listen_tcp();
    let peer = connect_with_window(addr, window);
    let conn = world.accepted(0);
    (world, conn, peer)
}

#[test]
fn two_messages_leave_in_their_order() {
    let (mut world, conn, peer) = connected(1 << 16);
    world.wish(move |out| {
        out.send(conn, b"first ");
        out.send(conn, b"second");
    });
    assert_eq!(read_slowly(peer, 12), b"first second");
    world.until("told", |w| w.seen().sent.get(&conn) == Some(&(12, 0)));
}

#[test]
fn ten_thousand_messages_leave_in_their_order() {
    let (mut world, conn, peer) = connected(4096);
    let messages: Vec<Vec<u8>> =
        (0..10_000_u32).map(|n| format!("{n}:").repeat(1 + n as usize % 20).into()).collect();
    let expected = messages.concat();
    world.wish(move |out| messages.iter().for_each(|message| out.send(conn, message)));
    let len = expected.len();
    let reader = thread::spawn(move || read_slowly(peer, len));
    world.until("all left", |w| w.seen().sent.get(&conn) == Some(&(len as u64, 0)));
    assert!(reader.join().unwrap() == expected);
}

/// Heads, long and short bytes, short, joining and long spans in a random order.
fn mixture(file: FileId, content: &[u8], seed: u64) -> (Vec<Chunk>, Vec<u8>, Vec<Vec<u8>>) {
    let mut rng = Rng::new(seed);
    let (mut chunks, mut expected, mut arena) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = 0;
    for n in 0..400_u32 {
        let head = n.to_be_bytes();
        chunks.push(Chunk::Head(lmk::core::chunk::Head::new(&head).unwrap()));
        expected.extend_from_slice(&head);
        let len = match rng.below(10) {
            0 => rng.between(128 << 10, 600 << 10),
            1 => 0,
            2..5 => rng.between(1, 40_000),
            _ => 16_384,
        };
        if rng.chance(300) {
            next = rng.below(content.len() as u64);
        }
        let len = len.min(content.len() as u64 - next);
        let span = FileSpan { file, offset: next, len: len as u32 };
        chunks.push(Chunk::File(span));
        expected.extend_from_slice(&content[next as usize..(next + len) as usize]);
        next += len;
        if rng.chance(100) {
            let bytes = pattern(rng.between(1, 90_000) as usize);
            expected.extend_from_slice(&bytes);
            // Where the bytes go among the chunks is noted by an arena chunk without place.
            chunks.push(Chunk::Arena { start: u32::MAX, len: bytes.len() as u32 });
            arena.push(bytes);
        }
    }
    (chunks, expected, arena)
}

#[test]
fn spans_arrive_byte_exact_between_their_heads_whatever_the_window() {
    let dir = Dir::new("spans");
    let content = pattern(3_000_000);
    std::fs::write(dir.path("content"), &content).unwrap();
    for (seed, window) in [(1, 2304), (2, 4096), (3, 65_536), (4, 4 << 20)] {
        let (mut world, conn, peer) = connected(window);
        let (file, _) = world.open(&dir.path("content"), OpenMode::Read);
        let (chunks, expected, arena) = mixture(file, &content, seed);
        world.wish(move |out| {
            let mut arena = arena.iter();
            for chunk in chunks {
                match chunk {
                    Chunk::Arena { .. } => out.send(conn, arena.next().unwrap()),
                    chunk => out.send_chunk(conn, chunk),
                }
            }
        });
        let len = expected.len();
        let reader = thread::spawn(move || read_slowly(peer, len));
        world.until("all left", |w| w.seen().sent.get(&conn) == Some(&(len as u64, 0)));
        assert!(reader.join().unwrap() == expected, "seed {seed}, window {window}");
        assert_eq!(world.reactor.counters().bytes_out, len as u64);
    }
}

#[test]
fn a_file_that_shrank_ends_the_connection_that_needs_it() {
    let dir = Dir::new("shrunk");
    // Read into a buffer, and sent by the system.
    for len in [16_384, 500_000] {
        let path = dir.path("content");
        std::fs::write(&path, pattern(600_000)).unwrap();
        let (mut world, conn, peer) = connected(1 << 16);
        let (file, meta) = world.open(&path, OpenMode::Read);
        lmk::core::mark::clear();
        assert_eq!(meta.size, 600_000);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10_000).unwrap();
        world.wish(move |out| {
            out.send(conn, b"head");
            out.send_chunk(conn, Chunk::File(FileSpan { file, offset: 0, len }));
        });
        let reader = thread::spawn(move || {
            let (mut peer, mut got) = (peer, Vec::new());
            let _ = peer.read_to_end(&mut got);
            got.len()
        });
        world.until("the end", |w| !w.seen().closed.is_empty());
        assert_eq!(world.seen().closed, [(conn, Closed::FileFailed(FileError::Changed))]);
        let gathered = len < 128 * 1024 && cfg!(debug_assertions);
        assert!(!gathered || lmk::core::mark::hits().contains("E10"), "the mark of E10");
        assert!(reader.join().unwrap() <= 10_004, "bytes that are not in the file");
    }
}

/// Every byte that arrives is of the file as it was pinned; what is read later ends the connection.
#[test]
fn nothing_leaves_of_a_pinned_file_once_it_changed() {
    let dir = Dir::new("pinned");
    // Long enough for `sendfile`, were it not pinned, and too long for a closed window.
    for len in [16_384, 4_000_000] {
        let path = dir.path("content");
        let content = pattern(4_000_000);
        std::fs::write(&path, &content).unwrap();
        let (mut world, conn, peer) = connected(1 << 16);
        let (file, meta) = world.open(&path, OpenMode::Read);
        let done = world.file(FileOp::Pin { file, meta });
        assert!(matches!(done, FileDone::Done(Ok(()))), "{done:?}");
        let span = FileSpan { file, offset: 0, len: 16_384 };
        world.wish(move |out| out.send_chunk(conn, Chunk::File(span)));
        world.until("the first", |w| w.seen().sent.get(&conn) == Some(&(16_384, 0)));
        world.wish(move |out| {
            let mut at = 16_384;
            while at < 16_384 + len && at < 4_000_000 - 16_384 {
                out.send_chunk(conn, Chunk::File(FileSpan { file, offset: at, len: 16_384 }));
                at += 16_384;
            }
        });
        world.turns(3);
        // Other bytes, the old length, the old time of writing.
        let was = std::fs::metadata(&path).unwrap().modified().unwrap();
        let opened = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        opened.write_all_at(&vec![0xee; content.len()], 0).unwrap();
        opened.set_modified(was).unwrap();
        let reader = thread::spawn(move || {
            let (mut peer, mut got) = (peer, Vec::new());
            let _ = peer.read_to_end(&mut got);
            got
        });
        expect_mark!("E09", {
            world.wish(move |out| {
                out.send_chunk(conn, Chunk::File(FileSpan { file, offset: 0, len: 4_000_000 }));
            });
            world.until("the end", |w| !w.seen().closed.is_empty());
        });
        let stale = FileError::Other(rustix::io::Errno::STALE.raw_os_error());
        assert_eq!(world.seen().closed, [(conn, Closed::FileFailed(stale))]);
        let got = reader.join().unwrap();
        assert!(got.len() >= 16_384 && got == content[..got.len()], "{} bytes", got.len());
        let read = world.file(FileOp::Read { file, offset: 0, page: vec![0; 100] });
        assert!(matches!(read, FileDone::Read { result: Err(_), .. }), "{read:?}");
    }
}

#[test]
fn a_span_of_a_file_that_is_not_open_ends_the_connection() {
    for len in [100, 200_000] {
        let (mut world, conn, _peer) = connected(1 << 16);
        let file = FileId { slot: 7, generation: 1 };
        world.wish(move |out| {
            out.send_chunk(conn, Chunk::File(FileSpan { file, offset: 0, len }));
        });
        let not_open = FileError::Other(rustix::io::Errno::BADF.raw_os_error());
        let ended = [(conn, Closed::FileFailed(not_open))];
        world.until("the end", |w| w.seen().closed == ended);
    }
}

/// The memory of a process is a regular file whose first page cannot be read.
#[test]
fn a_span_that_the_system_cannot_read_ends_the_connection_with_its_reason() {
    let (mut world, conn, _peer) = connected(1 << 16);
    let (file, _) = world.open(Path::new("/proc/self/mem"), OpenMode::Read);
    world.wish(move |out| {
        out.send_chunk(conn, Chunk::File(FileSpan { file, offset: 0, len: 16_384 }));
    });
    let io = FileError::Other(rustix::io::Errno::IO.raw_os_error());
    let ended = [(conn, Closed::FileFailed(io))];
    world.until("the end", |w| w.seen().closed == ended);
}
