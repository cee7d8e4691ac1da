//! The scenes of the conformance suite. Each plays on any [`Stage`].

use crate::scripted::{FileSteps, Shared, pattern, role, soon};
use lmk::core::chunk::{Chunk, FileSpan};
use lmk::core::cipher::{Keystream, StreamKey};
use lmk::core::id::{ConnId, FileId};
use lmk::core::io::{
    Closed, FileDone, FileError, FileKind, FileOp, Input, Meta, NetError, OpenMode, Outbox, Role,
};
use lmk::core::report::Ending;
use lmk::core::time::{Span, Time};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

pub enum Thing<'a> {
    File(&'a [u8]),
    Directory,
    Fifo,
    Symlink(&'a Path),
    /// Another name of that file.
    Twin(&'a Path),
}

/// A driver of roles and the files they see.
pub trait Stage {
    /// An empty directory.
    fn folder(&self) -> PathBuf;
    fn make(&mut self, thing: Thing<'_>, path: &Path);
    fn get(&mut self, path: &Path) -> Option<Vec<u8>>;
    /// Runs the roles side by side until every one has ended with `Done`.
    fn play(&mut self, roles: Vec<Box<dyn Role>>);
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

type Address = Shared<Option<SocketAddr>>;

fn listen(out: &mut Outbox) {
    out.listen(SocketAddr::new(LOOPBACK, 0), 0, true, false);
}

fn tcp_address(input: &Input<'_>, address: &Address) {
    if let Input::Listening { result, .. } = input {
        address.set(result.expect("a free port").tcp);
    }
}

/// Dials as soon as the address is known; `conn` holds the id then. Returns the deadline until
/// then.
fn dial_when_known(
    now: Time,
    address: &Address,
    conn: &mut Option<ConnId>,
    out: &mut Outbox,
) -> Time {
    match (*conn, address.get()) {
        (None, None) => return soon(now),
        (None, Some(to)) => *conn = Some(out.dial(to)),
        _ => {}
    }
    Time::NEVER
}

pub fn two_messages_arrive_in_order_and_are_echoed_in_order(stage: &mut dyn Stage) {
    let address = Address::default();
    let mut said = address.clone();
    let echo = role(move |_, input, out| {
        tcp_address(&input, &said);
        match input {
            Input::Born => listen(out),
            Input::Bytes { conn, bytes } => out.send(conn, bytes),
            Input::Closed { why, .. } => {
                assert_eq!(why, Closed::ByPeer);
                out.end(Ending::Done);
            }
            _ => {}
        }
        Time::NEVER
    });
    said = address;
    let long = pattern(100_000);
    let (mut conn, mut heard) = (None, Vec::new());
    let asks = role(move |now, input, out| {
        match input {
            Input::Connected { conn, local } => {
                assert_eq!(local.ip(), LOOPBACK);
                out.send(conn, b"first, ");
                out.send(conn, &long);
                out.send(conn, b", last");
            }
            Input::Bytes { conn, bytes } => {
                heard.extend_from_slice(bytes);
                if heard.len() == 7 + long.len() + 6 {
                    assert!(heard == [b"first, ", &long[..], b", last"].concat());
                    out.close(conn);
                }
            }
            Input::Closed { why, .. } => {
                assert_eq!((why, heard.len()), (Closed::ByUs, 7 + long.len() + 6));
                out.end(Ending::Done);
            }
            _ => {}
        }
        dial_when_known(now, &said, &mut conn, out)
    });
    stage.play(vec![echo, asks]);
}

/// A server that opens a file, sends heads and spans of it to whoever comes, and closes with flush;
/// and a client that hears `expected` and then the end.
pub fn serve_and_fetch(
    stage: &mut dyn Stage,
    open_as: FileOp,
    chunks: fn(&mut Outbox, ConnId, FileId),
    expected: Vec<u8>,
) {
    let address = Address::default();
    let (said, total) = (address.clone(), expected.len() as u64);
    let (mut open, mut left) = (None, 0);
    let serves = role(move |_, input, out| {
        tcp_address(&input, &said);
        match input {
            Input::Born => {
                out.file(open_as.clone());
            }
            Input::File { done: FileDone::Opened(result), .. } => {
                open = Some(result.expect("the file").0);
                listen(out);
            }
            Input::Accepted { conn, local, .. } => {
                assert_eq!(Some(local), said.get());
                chunks(out, conn, open.expect("it is open"));
                out.close_after_flush(conn);
            }
            Input::Sent { bytes, queued, .. } => {
                left += bytes;
                assert_eq!(queued, total - left);
            }
            Input::Closed { why, .. } => {
                assert_eq!((why, left), (Closed::ByUs, total));
                out.end(Ending::Done);
            }
            _ => {}
        }
        Time::NEVER
    });
    let (mut conn, mut heard) = (None, Vec::new());
    let fetches = role(move |now, input, out| {
        match input {
            Input::Bytes { bytes, .. } => heard.extend_from_slice(bytes),
            Input::Closed { why, .. } => {
                assert_eq!((why, heard.len()), (Closed::ByPeer, expected.len()));
                assert!(heard == expected, "the bytes differ");
                out.end(Ending::Done);
            }
            _ => {}
        }
        dial_when_known(now, &address, &mut conn, out)
    });
    stage.play(vec![serves, fetches]);
}

pub fn a_mebibyte_of_file_spans_between_heads_arrives_byte_exact(stage: &mut dyn Stage) {
    let content = pattern(1024 * 1024 + 3);
    let path = stage.folder().join("content");
    stage.make(Thing::File(&content), &path);
    let mut expected = Vec::new();
    for (n, block) in content.chunks(16_384).enumerate() {
        expected.extend_from_slice(&(n as u32).to_be_bytes());
        expected.extend_from_slice(block);
    }
    let chunks = |out: &mut Outbox, conn, file| {
        let size: u32 = 1024 * 1024 + 3;
        for (n, offset) in (0..size).step_by(16_384).enumerate() {
            out.send(conn, &(n as u32).to_be_bytes());
            let len = (size - offset).min(16_384);
            let span = FileSpan { file, offset: u64::from(offset), len };
            out.send_chunk(conn, Chunk::File(span));
        }
    };
    let open_as = FileOp::Open { path, mode: OpenMode::Read };
    serve_and_fetch(stage, open_as, chunks, expected);
}

pub fn a_close_after_flush_delivers_everything_then_the_end(stage: &mut dyn Stage) {
    let content = pattern(700_000);
    let path = stage.folder().join("content");
    stage.make(Thing::File(&content), &path);
    let expected = [&pattern(300_000)[..], &content, b"end"].concat();
    let chunks = |out: &mut Outbox, conn, file| {
        out.send(conn, &pattern(300_000));
        out.send_chunk(conn, Chunk::File(FileSpan { file, offset: 0, len: 700_000 }));
        out.send(conn, b"end");
    };
    let open_as = FileOp::Open { path, mode: OpenMode::Read };
    serve_and_fetch(stage, open_as, chunks, expected);
}

/// Keys for both directions of an enciphered stream.
const THERE: StreamKey = StreamKey { key: [1; 20], used: 1024 };
const BACK: StreamKey = StreamKey { key: [2; 20], used: 1024 };

/// Bytes in plain, then the wish, then bytes and spans short and long: the other side hears what
/// was said, and deciphers by itself what came in one piece with the last plain bytes.
pub fn what_leaves_enciphered_arrives_as_it_was_said(stage: &mut dyn Stage) {
    const CLEAR: usize = 200_000;
    let content = pattern(900_000);
    let path = stage.folder().join("content");
    stage.make(Thing::File(&content), &path);
    let expected = [&pattern(CLEAR)[..], b"head", &content, b"last"].concat();
    let address = Address::default();
    let said = address.clone();
    let (mut open, mut heard) = (None, Vec::new());
    let serves = role(move |_, input, out| {
        tcp_address(&input, &said);
        match input {
            Input::Born => {
                out.file(FileOp::Open { path: path.clone(), mode: OpenMode::Read });
            }
            Input::File { done: FileDone::Opened(result), .. } => {
                open = Some(result.expect("the file").0);
                listen(out);
            }
            Input::Bytes { conn, bytes } => {
                let before = heard.len();
                heard.extend_from_slice(bytes);
                if before < 5 && heard.len() == 5 {
                    out.send(conn, &pattern(CLEAR));
                    out.encipher(conn, BACK, THERE);
                    out.send(conn, b"head");
                    let file = open.expect("it is open");
                    for (offset, len) in [(0, 16_384), (16_384, 100), (16_484, 883_516)] {
                        out.send_chunk(conn, Chunk::File(FileSpan { file, offset, len }));
                    }
                    out.send(conn, b"last");
                }
                if heard == b"helloand a secret" {
                    out.close_after_flush(conn);
                }
            }
            Input::Closed { why, .. } => {
                assert_eq!((why, &heard[..]), (Closed::ByUs, &b"helloand a secret"[..]));
                out.end(Ending::Done);
            }
            _ => {}
        }
        Time::NEVER
    });
    let (mut conn, mut heard) = (None, Vec::new());
    let fetches = role(move |now, input, out| {
        match input {
            Input::Connected { conn, .. } => out.send(conn, b"hello"),
            Input::Bytes { conn, bytes } => {
                let before = heard.len();
                heard.extend_from_slice(bytes);
                if before < CLEAR && heard.len() >= CLEAR {
                    let mut stream = Keystream::new(BACK);
                    stream.apply(&mut heard[CLEAR..]);
                    out.encipher(conn, THERE, stream.key());
                    out.send(conn, b"and a secret");
                }
            }
            Input::Closed { why, .. } => {
                assert_eq!((why, heard.len()), (Closed::ByPeer, expected.len()));
                assert!(heard == expected, "the bytes differ");
                out.end(Ending::Done);
            }
            _ => {}
        }
        dial_when_known(now, &address, &mut conn, out)
    });
    stage.play(vec![serves, fetches]);
}

pub fn an_own_close_is_told_once_and_ends_the_other_side(stage: &mut dyn Stage) {
    let address = Address::default();
    let said = address.clone();
    let mut ending = Time::NEVER;
    let closes = role(move |now, input, out| {
        tcp_address(&input, &said);
        match input {
            Input::Born => listen(out),
            Input::Accepted { conn, .. } => {
                out.close(conn);
                // What is sent or closed after the close is ignored.
                out.send(conn, b"too late");
                out.close(conn);
            }
            Input::Closed { conn, why } => {
                assert_eq!(why, Closed::ByUs);
                out.send(conn, b"far too late");
                out.close(conn);
                // The watch would see a second `Closed` in this time.
                ending = now + Span::ms(50);
            }
            Input::Wake => out.end(Ending::Done),
            _ => {}
        }
        ending
    });
    let mut conn = None;
    let is_closed = role(move |now, input, out| {
        match input {
            Input::Bytes { .. } => panic!("bytes of a closed connection"),
            Input::Closed { why, .. } => {
                assert_eq!(why, Closed::ByPeer);
                out.end(Ending::Done);
            }
            _ => {}
        }
        dial_when_known(now, &address, &mut conn, out)
    });
    stage.play(vec![closes, is_closed]);
}

pub fn a_dial_to_nobody_is_refused(stage: &mut dyn Stage) {
    let dials = role(move |_, input, out| {
        match input {
            Input::Born => {
                // The port of tcpmux, where nobody has listened for decades.
                let conn = out.dial(SocketAddr::new(LOOPBACK, 1));
                out.send(conn, b"never heard");
            }
            Input::Connected { .. } => panic!("connected to nobody"),
            Input::Closed { why, .. } => {
                assert_eq!(why, Closed::Refused);
                out.end(Ending::Done);
            }
            _ => {}
        }
        Time::NEVER
    });
    stage.play(vec![dials]);
}

pub fn a_close_before_the_connection_is_up_is_told_too(stage: &mut dyn Stage) {
    let dials = role(move |_, input, out| {
        match input {
            Input::Born => {
                let conn = out.dial(SocketAddr::new(LOOPBACK, 1));
                out.close(conn);
            }
            Input::Closed { why, .. } => {
                assert_eq!(why, Closed::ByUs);
                out.end(Ending::Done);
            }
            _ => {}
        }
        Time::NEVER
    });
    stage.play(vec![dials]);
}

pub fn not_reading_holds_the_sender_back_and_going_on_loses_nothing(stage: &mut dyn Stage) {
    const PART: usize = 1024 * 1024;
    const PARTS: usize = 16;
    let (address, go_on) = (Address::default(), Shared::<bool>::default());
    let (said, may_go_on) = (address.clone(), go_on.clone());
    let (mut taken, mut paused) = (0, None);
    let takes = role(move |now, input, out| {
        tcp_address(&input, &said);
        match input {
            Input::Born => listen(out),
            Input::Accepted { conn, .. } => {
                out.reading(conn, false);
                paused = Some(conn);
            }
            Input::Bytes { bytes, .. } => {
                assert!(paused.is_none());
                for byte in bytes {
                    assert_eq!(*byte, ((taken % PART) % 251) as u8 ^ ((taken % PART) >> 16) as u8);
                    taken += 1;
                }
            }
            Input::Closed { why, .. } => {
                assert_eq!((why, taken), (Closed::ByPeer, PART * PARTS));
                out.end(Ending::Done);
            }
            _ => {}
        }
        match paused {
            Some(conn) if may_go_on.get() => {
                paused = None;
                out.reading(conn, true);
                Time::NEVER
            }
            Some(_) => soon(now),
            None => Time::NEVER,
        }
    });
    let (mut conn, mut waiting, mut last_sent) = (None, 0, Time::ZERO);
    let sends = role(move |now, input, out| {
        match input {
            Input::Connected { conn, .. } => {
                (0..PARTS).for_each(|_| out.send(conn, &pattern(PART)));
                (waiting, last_sent) = ((PART * PARTS) as u64, now);
                out.close_after_flush(conn);
            }
            Input::Sent { queued, .. } => (waiting, last_sent) = (queued, now),
            Input::Closed { why, .. } => {
                assert_eq!((why, waiting, go_on.get()), (Closed::ByUs, 0, true));
                out.end(Ending::Done);
            }
            _ => {}
        }
        // Nothing has left for a while though there is something to send: the other side is full.
        if waiting > 0 && now.since(last_sent) > Span::ms(500) {
            go_on.set(true);
        }
        match waiting > 0 && !go_on.get() {
            true => now + Span::ms(100),
            false => dial_when_known(now, &address, &mut conn, out),
        }
    });
    stage.play(vec![takes, sends]);
}

/// Dials as soon as the address is known, and is content when the other side is gone.
fn hears_the_end_of_the_other(address: Address) -> Box<dyn Role> {
    let mut conn = None;
    role(move |now, input, out| {
        if let Input::Closed { why, .. } = input {
            assert!(matches!(why, Closed::Reset | Closed::ByPeer), "{why:?}");
            out.end(Ending::Done);
        }
        dial_when_known(now, &address, &mut conn, out)
    })
}

pub fn a_span_beyond_the_end_of_its_file_fails_the_connection(stage: &mut dyn Stage) {
    let address = Address::default();
    let path = stage.folder().join("short");
    stage.make(Thing::File(&pattern(1000)), &path);
    let (said, mut open) = (address.clone(), None);
    let serves = role(move |_, input, out| {
        tcp_address(&input, &said);
        match input {
            Input::Born => {
                out.file(FileOp::Open { path: path.clone(), mode: OpenMode::Read });
            }
            Input::File { done: FileDone::Opened(result), .. } => {
                open = Some(result.expect("the file").0);
                listen(out);
            }
            Input::Accepted { conn, .. } => {
                let span = FileSpan { file: open.expect("open"), offset: 900, len: 200 };
                out.send_chunk(conn, Chunk::File(span));
            }
            Input::Closed { why, .. } => {
                assert_eq!(why, Closed::FileFailed(FileError::Changed));
                out.end(Ending::Done);
            }
            _ => {}
        }
        Time::NEVER
    });
    stage.play(vec![serves, hears_the_end_of_the_other(address)]);
}

pub fn an_ending_process_ends_its_connections(stage: &mut dyn Stage) {
    let address = Address::default();
    let said = address.clone();
    let ends = role(move |_, input, out| {
        tcp_address(&input, &said);
        match input {
            Input::Born => listen(out),
            Input::Accepted { .. } => out.end(Ending::Done),
            _ => {}
        }
        Time::NEVER
    });
    stage.play(vec![ends, hears_the_end_of_the_other(address)]);
}

pub fn a_datagram_goes_there_and_back_with_its_addresses(stage: &mut dyn Stage) {
    let (there, here) = (Address::default(), Address::default());
    let (said, asker) = (there.clone(), here.clone());
    let answers = role(move |_, input, out| {
        match input {
            Input::Born => {
                out.listen(SocketAddr::new(LOOPBACK, 0), 0, false, true);
            }
            Input::Listening { result, .. } => {
                let listening = result.expect("a free port");
                assert_eq!(listening.tcp, None);
                said.set(listening.udp);
            }
            Input::Datagram { from, to, bytes: b"ask" } => {
                assert_eq!(Some(from), asker.get());
                assert_eq!(to, LOOPBACK);
                out.datagram(from, to, &pattern(1200));
                out.datagram(from, to, b"");
            }
            // The asker is content.
            Input::Datagram { bytes: b"thanks", .. } => out.end(Ending::Done),
            other => panic!("{other:?}"),
        }
        Time::NEVER
    });
    let mut heard = [false; 2];
    let mut thanks = 0;
    let asks = role(move |now, input, out| {
        match input {
            Input::Born => {
                out.listen(SocketAddr::new(LOOPBACK, 0), 0, false, true);
            }
            Input::Listening { result, .. } => here.set(result.expect("a free port").udp),
            Input::Datagram { from, to, bytes } => {
                assert_eq!((Some(from), to), (there.get(), LOOPBACK));
                assert!(bytes.is_empty() || bytes == pattern(1200));
                heard[usize::from(bytes.is_empty())] = true;
            }
            _ => {}
        }
        let (Some(to), Some(_)) = (there.get(), here.get()) else { return soon(now) };
        // Nothing promises that a datagram arrives.
        match heard {
            [true, true] => {
                out.datagram(to, ANY, b"thanks");
                thanks += 1;
                if thanks == 5 {
                    out.end(Ending::Done);
                }
            }
            _ => out.datagram(to, ANY, b"ask"),
        }
        now + Span::ms(50)
    });
    stage.play(vec![answers, asks]);
}

pub fn a_wake_is_never_early(stage: &mut dyn Stage) {
    let (mut asked, mut wakes, mut step_ms) = (Time::NEVER, 0, 1);
    let waits = role(move |now, input, out| {
        match input {
            Input::Wake => {
                assert!(now >= asked, "{now:?} is before {asked:?}");
                assert!(now.since(asked) < Span::secs(2), "{now:?} is long after {asked:?}");
                wakes += 1;
                step_ms *= 2;
            }
            other => assert!(matches!(other, Input::Born), "{other:?}"),
        }
        if wakes == 6 {
            out.end(Ending::Done);
        }
        asked = now + Span::ms(step_ms);
        asked
    });
    stage.play(vec![waits]);
}

pub fn both_listeners_share_a_port_and_a_taken_port_is_passed_over(stage: &mut dyn Stage) {
    let (address, done) = (Address::default(), Shared::<bool>::default());
    let (said, finished) = (address.clone(), done.clone());
    let first = role(move |now, input, out| {
        match input {
            Input::Born => {
                out.listen(SocketAddr::new(LOOPBACK, 0), 0, true, true);
            }
            Input::Listening { result, .. } => {
                let listening = result.expect("a free port");
                assert!(listening.tcp.is_some());
                assert_eq!(listening.tcp, listening.udp);
                said.set(listening.tcp);
            }
            _ => {}
        }
        if finished.get() {
            out.end(Ending::Done);
        }
        soon(now)
    });
    let mut asked = 0;
    let second = role(move |now, input, out| {
        let Some(taken) = address.get() else { return soon(now) };
        if let Input::Listening { result, .. } = input {
            if asked == 1 {
                assert_eq!(result, Err(NetError::InUse));
            } else {
                let port = result.expect("one of the next hundred").tcp.expect("asked").port();
                assert!(port > taken.port() && port <= taken.port().saturating_add(100));
                done.set(true);
                out.end(Ending::Done);
            }
        }
        if asked == 0 || (asked == 1 && matches!(input, Input::Listening { .. })) {
            let last = taken.port().saturating_add(if asked == 0 { 0 } else { 100 });
            out.listen(taken, last, true, true);
            asked += 1;
        }
        Time::NEVER
    });
    stage.play(vec![first, second]);
}

pub fn opened(check: impl FnOnce(Result<Meta, FileError>) + 'static) -> impl FnOnce(FileDone) {
    move |done| match done {
        FileDone::Opened(result) => check(result.map(|(_, meta)| meta)),
        other => panic!("{other:?}"),
    }
}

pub fn is_open(done: FileDone) {
    assert!(matches!(done, FileDone::Opened(Ok(_))), "{done:?}");
}

pub fn answers(expected: Result<(), FileError>) -> impl FnOnce(FileDone) {
    move |done| match done {
        FileDone::Done(result) => assert_eq!(result, expected),
        FileDone::Wrote { result, .. } => assert_eq!(result, expected),
        FileDone::Opened(result) => assert_eq!(result.map(|_| ()), expected),
        FileDone::Meta(result) => assert_eq!(result.map(|_| ()), expected),
        FileDone::Loaded(result) => assert_eq!(result.map(|_| ()), expected),
        other => panic!("{other:?}"),
    }
}

pub fn reads(expected: Vec<u8>) -> impl FnOnce(FileDone) {
    move |done| match done {
        FileDone::Read { page, result } => {
            let len = result.expect("readable") as usize;
            assert_eq!(&page[..len], expected);
        }
        other => panic!("{other:?}"),
    }
}

fn is_kind(kind: FileKind) -> impl FnOnce(FileDone) {
    move |done| match done {
        FileDone::Meta(Ok(meta)) => assert_eq!(meta.kind, kind),
        other => panic!("{other:?}"),
    }
}

fn loaded(expected: Vec<u8>) -> impl FnOnce(FileDone) {
    move |done| match done {
        FileDone::Loaded(Ok(bytes)) => assert_eq!(bytes, expected),
        other => panic!("{other:?}"),
    }
}

pub fn files_open_create_and_read_to_their_end(stage: &mut dyn Stage) {
    let folder = stage.folder();
    let (missing, new) = (folder.join("missing"), folder.join("new"));
    let free = |done| match done {
        FileDone::Free(Ok(bytes)) => assert!(bytes > 0),
        other => panic!("{other:?}"),
    };
    let open = |path: &PathBuf, mode| {
        let path = path.clone();
        move |_: &[FileId]| FileOp::Open { path, mode }
    };
    let read = |offset, len| {
        move |files: &[FileId]| FileOp::Read { file: files[0], offset, page: vec![0xee; len] }
    };
    let write = |offset, bytes: &'static [u8]| {
        move |files: &[FileId]| FileOp::Write { file: files[0], offset, page: bytes.to_vec() }
    };
    let steps = FileSteps::default()
        .then(open(&missing, OpenMode::Read), answers(Err(FileError::NotFound)))
        .then(
            open(&new, OpenMode::CreateNew),
            opened(|meta| {
                let meta = meta.expect("created");
                assert_eq!((meta.kind, meta.size), (FileKind::Regular, 0));
            }),
        )
        .then(open(&new, OpenMode::CreateNew), answers(Err(FileError::Exists)))
        .then(write(5, b"world"), answers(Ok(())))
        .then(write(0, b"hello"), answers(Ok(())))
        .then(read(0, 100), reads(b"helloworld".to_vec()))
        .then(read(7, 2), reads(b"rl".to_vec()))
        .then(read(10, 10), reads(Vec::new()))
        .then(read(99, 10), reads(Vec::new()))
        .then(|files| FileOp::SetLen { file: files[0], len: 12 }, answers(Ok(())))
        .then(read(8, 10), reads(b"ld\0\0".to_vec()))
        .then(|files| FileOp::SetLen { file: files[0], len: 3 }, answers(Ok(())))
        .then(|files| FileOp::Sync { file: files[0], meta: false }, answers(Ok(())))
        .then(|files| FileOp::Sync { file: files[0], meta: true }, answers(Ok(())))
        .then(
            |files| FileOp::StatOpen { file: files[0] },
            |done| match done {
                FileDone::Meta(Ok(meta)) => {
                    assert_eq!((meta.kind, meta.size), (FileKind::Regular, 3))
                }
                other => panic!("{other:?}"),
            },
        )
        .then(open(&new, OpenMode::Update), opened(|meta| assert_eq!(meta.expect("there").size, 3)))
        .then(open(&new, OpenMode::Read), is_open)
        .then(
            |files| FileOp::Write { file: files[2], offset: 0, page: b"x".to_vec() },
            |done| assert!(matches!(done, FileDone::Wrote { result: Err(_), .. }), "{done:?}"),
        )
        .then(|files| FileOp::Close { file: files[0] }, answers(Ok(())))
        .then(read(0, 10), |done| {
            assert!(matches!(done, FileDone::Read { result: Err(_), .. }), "{done:?}");
        })
        .then(
            {
                let folder = folder.clone();
                |_| FileOp::FreeSpace { path: folder }
            },
            free,
        );
    stage.play(vec![steps.role()]);
    assert_eq!(stage.get(&new).as_deref(), Some(&b"hel"[..]));
}

pub fn files_are_renamed_removed_and_told_apart(stage: &mut dyn Stage) {
    let folder = stage.folder();
    let [a, b, c, none] = ["a", "b", "c", "none"].map(|name| folder.join(name));
    stage.make(Thing::File(b"A"), &a);
    stage.make(Thing::File(b"B"), &b);
    let rename = |from: &PathBuf, to: &PathBuf, replace| {
        let (from, to) = (from.clone(), to.clone());
        move |_: &[FileId]| FileOp::Rename { from, to, replace }
    };
    let remove = |path: &PathBuf| {
        let path = path.clone();
        move |_: &[FileId]| FileOp::Remove { path }
    };
    let stat = |path: &PathBuf| {
        let path = path.clone();
        move |_: &[FileId]| FileOp::Stat { path }
    };
    let sync = |path: &PathBuf| {
        let path = path.clone();
        move |_: &[FileId]| FileOp::SyncDir { path }
    };
    let steps = FileSteps::default()
        .then(rename(&a, &b, false), answers(Err(FileError::Exists)))
        .then(rename(&none, &c, true), answers(Err(FileError::NotFound)))
        .then(rename(&a, &c, false), answers(Ok(())))
        .then(stat(&a), answers(Err(FileError::NotFound)))
        .then(rename(&c, &b, true), answers(Ok(())))
        .then(sync(&folder), answers(Ok(())))
        .then(sync(&none), answers(Err(FileError::NotFound)))
        .then(stat(&b), is_kind(FileKind::Regular))
        .then(stat(&folder), is_kind(FileKind::Directory))
        .then(remove(&none), answers(Err(FileError::NotFound)));
    stage.play(vec![steps.role()]);
    assert_eq!(stage.get(&b).as_deref(), Some(&b"A"[..]));
    let steps = FileSteps::default()
        .then(remove(&b), answers(Ok(())))
        .then(stat(&b), answers(Err(FileError::NotFound)));
    stage.play(vec![steps.role()]);
    assert_eq!(stage.get(&b), None);
}

pub fn small_files_are_saved_and_loaded_whole(stage: &mut dyn Stage) {
    let deep = stage.folder().join("not").join("there").join("state");
    let save = |bytes: &'static [u8]| {
        let path = deep.clone();
        move |_: &[FileId]| FileOp::Save { path, bytes: bytes.to_vec(), private: true }
    };
    let load = |bytes_max| {
        let path = deep.clone();
        move |_: &[FileId]| FileOp::Load { path, bytes_max }
    };
    let steps = FileSteps::default()
        .then(load(100), answers(Err(FileError::NotFound)))
        .then(save(b"a longer first state"), answers(Ok(())))
        .then(load(100), loaded(b"a longer first state".to_vec()))
        .then(save(b"state"), answers(Ok(())))
        .then(load(5), loaded(b"state".to_vec()))
        .then(load(4), answers(Err(FileError::TooLarge)))
        .then(save(b""), answers(Ok(())))
        .then(load(0), loaded(Vec::new()));
    stage.play(vec![steps.role()]);
    assert_eq!(stage.get(&deep).as_deref(), Some(&b""[..]));
    // What is not private stands where the user wants it, or nowhere.
    let save = |name: &str| {
        let path = stage.folder().join(name);
        move |_: &[FileId]| FileOp::Save { path, bytes: b"open".to_vec(), private: false }
    };
    let steps = FileSteps::default()
        .then(save("nowhere/open"), answers(Err(FileError::NotFound)))
        .then(save("open"), answers(Ok(())));
    stage.play(vec![steps.role()]);
    assert_eq!(stage.get(&stage.folder().join("open")).as_deref(), Some(&b"open"[..]));
}

pub fn a_directory_is_listed_by_name_and_links_are_not_followed(stage: &mut dyn Stage) {
    let top = stage.folder().join("top");
    let [b, a, sub, deep] = ["b", "a.x", "a", "a/deep"].map(|name| top.join(name));
    let [link, way] = ["link", "../way"].map(|name| top.join(name));
    stage.make(Thing::Directory, &top);
    stage.make(Thing::Directory, &sub);
    stage.make(Thing::File(b"12345"), &b);
    stage.make(Thing::File(b""), &a);
    stage.make(Thing::File(b"not told"), &deep);
    stage.make(Thing::Symlink(&b), &link);
    let way = stage.folder().join(way.file_name().unwrap());
    stage.make(Thing::Symlink(&top), &way);
    let list =
        |path: PathBuf, entries_max| move |_: &[FileId]| FileOp::ListDir { path, entries_max };
    let refuses = |why: FileError| {
        move |done: FileDone| match done {
            FileDone::Listed(found) => assert_eq!(found, Err(why)),
            other => panic!("{other:?}"),
        }
    };
    let all = |done: FileDone| match done {
        FileDone::Listed(Ok(found)) => {
            let told: Vec<_> = found.iter().map(|e| (e.name.as_slice(), e.meta.kind)).collect();
            let expected: [(&[u8], FileKind); 4] = [
                (b"a", FileKind::Directory),
                (b"a.x", FileKind::Regular),
                (b"b", FileKind::Regular),
                (b"link", FileKind::Symlink),
            ];
            assert_eq!(told, expected);
            assert_eq!(found[2].meta.size, 5);
        }
        other => panic!("{other:?}"),
    };
    let steps = FileSteps::default()
        .then(list(top.clone(), 4), all)
        .then(list(top.join("."), 100), all)
        .then(list(top, 3), refuses(FileError::TooLarge))
        .then(list(way, 100), refuses(FileError::NotFound))
        .then(list(b, 100), refuses(FileError::NotFound));
    stage.play(vec![steps.role()]);
}

pub fn what_is_no_regular_file_is_never_opened(stage: &mut dyn Stage) {
    let folder = stage.folder();
    let [file, directory, fifo, link] =
        ["file", "directory", "fifo", "link"].map(|name| folder.join(name));
    stage.make(Thing::File(b"seen"), &file);
    stage.make(Thing::Directory, &directory);
    stage.make(Thing::Fifo, &fifo);
    stage.make(Thing::Symlink(&file), &link);
    let open = |path: &PathBuf, mode| {
        let path = path.clone();
        move |_: &[FileId]| FileOp::Open { path, mode }
    };
    let stat = |path: &PathBuf| {
        let path = path.clone();
        move |_: &[FileId]| FileOp::Stat { path }
    };
    let steps = FileSteps::default()
        .then(stat(&file), is_kind(FileKind::Regular))
        .then(stat(&directory), is_kind(FileKind::Directory))
        .then(stat(&fifo), is_kind(FileKind::Special))
        .then(stat(&link), is_kind(FileKind::Symlink))
        .then(open(&directory, OpenMode::Read), answers(Err(FileError::IsDirectory)))
        .then(open(&fifo, OpenMode::Read), answers(Err(FileError::NotRegular)))
        .then(open(&fifo, OpenMode::Update), answers(Err(FileError::NotRegular)))
        .then(open(&directory, OpenMode::CreateNew), answers(Err(FileError::Exists)))
        .then(open(&link, OpenMode::CreateNew), answers(Err(FileError::Exists)))
        .then(open(&link, OpenMode::Update), answers(Err(FileError::NotRegular)))
        .then(open(&link, OpenMode::Read), opened(|meta| assert_eq!(meta.expect("named").size, 4)))
        .then(
            |files| FileOp::Read { file: files[0], offset: 0, page: vec![0; 9] },
            reads(b"seen".to_vec()),
        );
    stage.play(vec![steps.role()]);
}

pub fn a_guarded_file_tells_that_somebody_else_wrote(stage: &mut dyn Stage) {
    let path = stage.folder().join("guarded");
    stage.make(Thing::File(b"content"), &path);
    let (journal, not_there) = (stage.folder().join("journal"), stage.folder().join("none"));
    stage.make(Thing::File(b"journal"), &journal);
    let (guarded, ours, others) = (path.clone(), path.clone(), path);
    let read = |files: &[FileId]| FileOp::Read { file: files[0], offset: 0, page: vec![0; 4] };
    let beside = |named: &PathBuf| {
        let (path, named) = (journal.clone(), named.clone());
        move |files: &[FileId]| FileOp::RemoveBeside { path, file: files[0], named }
    };
    let write = |n: usize, offset| {
        move |files: &[FileId]| FileOp::Write { file: files[n], offset, page: b"more".to_vec() }
    };
    let steps = FileSteps::default()
        .then(move |_| FileOp::Open { path: ours, mode: OpenMode::Update }, is_open)
        .then(move |_| FileOp::Open { path: others, mode: OpenMode::Update }, is_open)
        .then(
            |files| FileOp::Guard { file: files[0] },
            |done| assert!(matches!(done, FileDone::Guarded(Ok(_))), "{done:?}"),
        )
        .then(write(0, 7), answers(Ok(())))
        .then(|files| FileOp::SetLen { file: files[0], len: 50 }, answers(Ok(())))
        .then(|files| FileOp::SetPlainMode { file: files[0] }, answers(Ok(())))
        .then(|files| FileOp::WriteBack { file: files[0], offset: 0, len: 50 }, answers(Ok(())))
        .then(|files| FileOp::Sync { file: files[0], meta: true }, answers(Ok(())))
        .then(write(0, 11), answers(Ok(())))
        .then(read, reads(b"cont".to_vec()))
        .then(beside(&not_there), answers(Err(FileError::Changed)))
        .then(beside(&guarded), answers(Ok(())))
        .then(beside(&guarded), answers(Err(FileError::NotFound)))
        .then(write(1, 60), answers(Ok(())))
        .then(read, |done| match done {
            FileDone::Read { result, .. } => assert_eq!(result, Err(FileError::Changed)),
            other => panic!("{other:?}"),
        })
        .then(write(0, 15), answers(Err(FileError::Changed)))
        .then(
            |files| FileOp::Sync { file: files[0], meta: false },
            answers(Err(FileError::Changed)),
        )
        .then(
            |files| FileOp::NextExtent { file: files[1], offset: 3 },
            |done| match done {
                FileDone::Extent(Ok(Some((3, end)))) => assert!(end >= 15, "{end}"),
                other => panic!("{other:?}"),
            },
        )
        .then(
            |files| FileOp::NextExtent { file: files[1], offset: 64 },
            |done| assert!(matches!(done, FileDone::Extent(Ok(None))), "{done:?}"),
        );
    stage.play(vec![steps.role()]);
}

pub fn a_lock_of_another_process_is_busy(stage: &mut dyn Stage) {
    let path = stage.folder().join("lock");
    stage.make(Thing::File(b""), &path);
    let (locked, seen) = (Shared::<bool>::default(), Shared::<bool>::default());
    let (has_it, was_seen, own) = (locked.clone(), seen.clone(), path.clone());
    let holds = role(move |now, input, out| {
        match input {
            Input::Born => {
                out.file(FileOp::Open { path: own.clone(), mode: OpenMode::Update });
            }
            Input::File { done: FileDone::Opened(result), .. } => {
                out.file(FileOp::Lock { file: result.expect("there").0 });
            }
            Input::File { done: FileDone::Done(result), .. } => {
                assert_eq!(result, Ok(()));
                has_it.set(true);
            }
            _ => {}
        }
        if was_seen.get() {
            out.end(Ending::Done);
        }
        soon(now)
    });
    let mut asked = false;
    let finds = role(move |now, input, out| {
        match input {
            Input::File { done: FileDone::Opened(result), .. } => {
                out.file(FileOp::Lock { file: result.expect("there").0 });
            }
            Input::File { done: FileDone::Done(result), .. } => {
                assert_eq!(result, Err(FileError::Busy));
                seen.set(true);
                out.end(Ending::Done);
            }
            _ => {}
        }
        if locked.get() && !asked {
            asked = true;
            out.file(FileOp::Open { path: path.clone(), mode: OpenMode::Update });
        }
        if asked { Time::NEVER } else { soon(now) }
    });
    stage.play(vec![holds, finds]);
    // A lock dies with its process.
    let path = stage.folder().join("lock");
    let steps = FileSteps::default()
        .then(move |_| FileOp::Open { path, mode: OpenMode::Update }, is_open)
        .then(|files| FileOp::Lock { file: files[0] }, answers(Ok(())));
    stage.play(vec![steps.role()]);
}
