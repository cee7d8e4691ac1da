//! `lmk seeder --url` with the real program: a file that a server of the web has is fetched once
//! and then spread by the swarm.

use crate::bed::{Bed, Ended, Lmk, Tracker, noise, words};
use crate::web::{certificate, secure_web, web};
use rustix::process::Signal;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const MIB: usize = 1024 * 1024;
const SIZE: usize = 12 * MIB + 4321;

fn bytes() -> Vec<u8> {
    noise(11, SIZE)
}

/// What a server has, and how much of it left.
struct Shelf {
    file: Mutex<Vec<u8>>,
    etag: Mutex<String>,
    /// Bytes of the first answers are cut off here.
    cut: AtomicUsize,
    /// So many requests are answered as always; those after it with status 503.
    answers: AtomicU64,
    sent: AtomicU64,
}

impl Shelf {
    fn new(file: Vec<u8>) -> Arc<Shelf> {
        Arc::new(Shelf {
            file: Mutex::new(file),
            etag: Mutex::new("\"one\"".into()),
            cut: AtomicUsize::new(usize::MAX),
            answers: AtomicU64::new(u64::MAX),
            sent: AtomicU64::new(0),
        })
    }

    /// As a server that gives parts answers (RFC 9110).
    fn answer(&self, request: &str) -> Vec<u8> {
        if self.answers.load(Ordering::SeqCst) == 0 {
            return b"HTTP/1.1 503 Busy\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        self.answers.fetch_sub(1, Ordering::SeqCst);
        let (file, etag) = (self.file.lock().unwrap(), self.etag.lock().unwrap());
        let range = header(request, "Range")
            .filter(|_| header(request, "If-Range").is_none_or(|validator| validator == *etag));
        let (head, body) = match range {
            Some(range) => {
                let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                let first: usize = first.parse().unwrap();
                let last = last.parse().unwrap_or(file.len() - 1);
                let head =
                    format!("206 Part\r\nContent-Range: bytes {first}-{last}/{}", file.len());
                (head, &file[first..=last])
            }
            None => ("200 OK\r\nAccept-Ranges: bytes".to_owned(), &file[..]),
        };
        let head =
            format!("HTTP/1.1 {head}\r\nETag: {etag}\r\nContent-Length: {}\r\n\r\n", body.len());
        let body = &body[..body.len().min(self.cut.load(Ordering::SeqCst))];
        self.sent.fetch_add(body.len() as u64, Ordering::SeqCst);
        [head.as_bytes(), body].concat()
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let line = request.lines().find(|line| line.starts_with(&format!("{name}: ")))?;
    Some(&line[name.len() + 2..])
}

fn seeder(bed: &Bed, tracker: &Tracker, who: &str, url: &str, more: &str) -> Lmk {
    let at = tracker.at.to_string();
    let args = ["seeder", "--url", url, "--tracker", &at];
    bed.start(who, &[&args[..], &words(more)].concat())
}

fn read(path: PathBuf) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn until(what: &str, enough: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !enough() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_millis(20));
    }
}

/// How much of a file in the making the note beside it vouches for.
fn noted(bed: &Bed, under: &str) -> usize {
    let note = std::fs::read(bed.path(under)).unwrap_or_default();
    let text = String::from_utf8_lossy(&note).into_owned();
    let have = text.strip_prefix("d4:havei").and_then(|rest| rest.split('e').next());
    have.map_or(0, |have| have.parse().unwrap())
}

#[test]
fn a_file_of_the_web_is_fetched_once_and_reaches_everybody() {
    let bed = Bed::new("origin");
    let tracker = bed.tracker();
    let shelf = Shelf::new(bytes());
    let serve = shelf.clone();
    let (at, got) = web(&bed, move |request| serve.answer(request));
    let url = format!("http://{at}/files/big%20file.zip");
    let torrent = bed.path("x.torrent").to_str().unwrap().to_owned();
    let seeder = seeder(&bed, &tracker, "s", &url, &format!("--write-torrent {torrent}"));
    seeder.says("fetching big file.zip (12.0 MiB)");
    seeder.says("fetched big file.zip");
    let magnet = seeder.says("stock clients: ");
    assert!(magnet.contains("&ws=http"), "{magnet}");
    seeder.says("wrote ");
    assert_eq!(bed.names("s"), ["big file.zip"]);
    assert!(read(bed.path("s/big file.zip")) == bytes());
    let said = String::from_utf8_lossy(&read(torrent.into())).into_owned();
    assert!(said.contains(&format!("8:url-listl{}:{url}e", url.len())));

    let leechers: Vec<Lmk> = (0..3)
        .map(|n| {
            let at = tracker.at.to_string();
            let args = ["leecher", "--want", "big file.zip", "--tracker", &at];
            bed.start(&format!("l{n}"), &args)
        })
        .collect();
    for (n, leecher) in leechers.into_iter().enumerate() {
        leecher.ends().with(0);
        assert!(read(bed.path(&format!("l{n}/big file.zip"))) == bytes(), "{n}");
    }
    let first = got.recv().unwrap();
    assert!(first.starts_with("GET /files/big%20file.zip HTTP/1.1\r\n"), "{first}");

    // It goes on where it stood: the file is there, and nothing of it is sent again.
    seeder.ended_by(Signal::INT).with(130);
    let before = shelf.sent();
    shelf.cut.store(0, Ordering::SeqCst);
    let again = self::seeder(&bed, &tracker, "s", &url, "");
    again.says("is there already");
    again.says("seeding ");
    assert_eq!(shelf.sent(), before);
}

#[test]
fn after_a_kill_only_the_rest_is_fetched() {
    let bed = Bed::new("origin-kill");
    let tracker = bed.tracker();
    for (who, signal) in [("s", Signal::KILL), ("t", Signal::INT)] {
        let shelf = Shelf::new(bytes());
        // The connection breaks after 8 MiB, and then nothing works for a while.
        shelf.cut.store(8 * MIB, Ordering::SeqCst);
        shelf.answers.store(1, Ordering::SeqCst);
        let serve = shelf.clone();
        let (at, got) = web(&bed, move |request| serve.answer(request));
        let url = format!("http://{at}/big.zip");
        let seeder = self::seeder(&bed, &tracker, who, &url, "");
        seeder.says("HTTP status 503; next try in 300 s");
        let note = format!("{who}/big.zip.lmk-have");
        if signal == Signal::KILL {
            until("a note", || noted(&bed, &note) >= 4 * MIB);
        }
        let ended = seeder.ended_by(signal);
        if signal == Signal::INT {
            ended.with(130);
            assert_eq!(noted(&bed, &note), 8 * MIB, "an orderly end loses nothing");
        }
        let have = noted(&bed, &note);
        shelf.answers.store(u64::MAX, Ordering::SeqCst);
        shelf.cut.store(usize::MAX, Ordering::SeqCst);
        got.try_iter().for_each(drop);
        let seeder = self::seeder(&bed, &tracker, who, &url, &format!("--as {who}.zip"));
        seeder.says("resuming with ");
        seeder.says("seeding ");
        let asked = got.recv().unwrap();
        assert!(asked.contains(&format!("\r\nRange: bytes={have}-\r\nIf-Range: \"one\"\r\n")));
        assert_eq!(shelf.sent() as usize, 8 * MIB + SIZE - have);
        assert!(read(bed.path(&format!("{who}/big.zip"))) == bytes());
        assert_eq!(bed.names(who), ["big.zip"], "neither part nor note stay");
        tracker.fetch(&bed, &format!("l{who}"), &format!("{who}.zip"), "").with(0);
    }
}

#[test]
fn a_file_that_changes_in_the_middle_is_begun_anew() {
    let bed = Bed::new("origin-changes");
    let tracker = bed.tracker();
    let other = noise(12, SIZE / 2);
    for (who, says, validated) in
        [("a", "gives no parts, or the file changed there", true), ("b", "changed there", false)]
    {
        let shelf = Shelf::new(bytes());
        shelf.cut.store(5 * MIB, Ordering::SeqCst);
        let (serve, new, count) = (shelf.clone(), other.clone(), AtomicU64::new(0));
        let (at, _got) = web(&bed, move |request| {
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                return serve.answer(request);
            }
            serve.cut.store(usize::MAX, Ordering::SeqCst);
            *serve.file.lock().unwrap() = new.clone();
            *serve.etag.lock().unwrap() = "\"two\"".into();
            // A server that knows nothing of If-Range gives the part of whatever is there.
            let heard = if validated { request } else { &request.replace("\r\nIf-Range", "\r\nX") };
            serve.answer(heard)
        });
        let url = format!("http://{at}/big.zip");
        let seeder = seeder(&bed, &tracker, who, &url, &format!("--as {who}.zip"));
        let line = seeder.says(says);
        assert!(line.contains("beginning anew"), "{line}");
        seeder.says("seeding ");
        assert!(read(bed.path(&format!("{who}/big.zip"))) == other);
    }
}

#[test]
fn a_body_in_chunks_is_taken_and_a_server_without_parts_is_not_named() {
    let bed = Bed::new("origin-chunks");
    let tracker = bed.tracker();
    let (at, _got) = web(&bed, |_| {
        let mut said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in bytes()[..2 * MIB].chunks(100_000) {
            said.extend(format!("{:x}\r\n", chunk.len()).bytes());
            said.extend(chunk);
            said.extend(b"\r\n");
        }
        [&said[..], b"0\r\n\r\n"].concat()
    });
    let torrent = bed.path("x.torrent").to_str().unwrap().to_owned();
    let more = format!("--out there.bin --write-torrent {torrent}");
    let seeder = seeder(&bed, &tracker, "s", &format!("http://{at}/a.bin?key=secret"), &more);
    seeder.says("seeding a.bin ");
    seeder.says("wrote ");
    assert!(read(bed.path("s/there.bin")) == bytes()[..2 * MIB]);
    let said = String::from_utf8_lossy(&read(torrent.into())).into_owned();
    assert!(!said.contains("url-list") && !said.contains("secret"));
    assert!(!seeder.has_said("secret"), "{}", seeder.story());
}

#[test]
fn servers_of_no_use_are_told_of_in_one_line() {
    let bed = Bed::new("origin-bad");
    let tracker = bed.tracker();
    let whole = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes();
    let status = |status: &str| whole(&format!("{status}\r\nContent-Length: 0"), "");
    let cases = [
        (3, "HTTP status 404", "is the URL right?", status("404 Not Found")),
        (7, "HTTP status 403", "--file", status("403 Forbidden")),
        (5, "HTTP status 418", "not what a file is answered with", status("418 Teapot")),
        (5, "packs what it sends", "fetch it otherwise", {
            whole("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5", "hello")
        }),
        (5, "does not say where the file ends", "fetch it otherwise", whole("200 OK", "hello")),
        (5, "a part that nobody asked for", "origin http://", {
            whole("206 Part\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5", "hello")
        }),
        (7, "sends us from http to udp", "origin http://", {
            whole("302 Found\r\nLocation: udp://127.0.0.1/x", "")
        }),
        (4, "are free", "--out DIR", whole("200 OK\r\nContent-Length: 9000000000000000", "hello")),
        (9, "HTTP status 500", "run the same command", status("500 Oh")),
    ];
    for (index, (code, says, next, answer)) in cases.into_iter().enumerate() {
        let (at, _got) = web(&bed, move |_| answer.clone());
        let url = format!("http://{at}/x.bin?key=secret");
        let ended: Ended =
            seeder(&bed, &tracker, &format!("s{index}"), &url, "--timeout 2s").ends();
        let line = ended.one_line(code, &[says, next]);
        assert!(!line.contains("secret"), "{line}");
    }
    // Nobody listens there; and one whom nobody vouches for.
    let free = TcpListener::bind((bed.ip(2), 0)).unwrap().local_addr().unwrap();
    let ended = seeder(&bed, &tracker, "n", &format!("http://{free}/x"), "--timeout 2s").ends();
    ended.one_line(9, &["nobody listens there", "run the same command"]);
    let (secure, _got) = secure_web("good", |_| b"HTTP/1.1 404 No\r\n\r\n".to_vec());
    let url = format!("https://localhost:{}/x", secure.port());
    let line = seeder(&bed, &tracker, "t", &url, "").ends();
    line.one_line(5, &["certificate of localhost is not valid", "--ca-file"]);
    let trusted = format!("--ca-file {}", certificate("ca"));
    seeder(&bed, &tracker, "t", &url, &trusted).ends().one_line(3, &["HTTP status 404"]);
}

#[test]
fn a_part_that_was_not_asked_for_is_never_taken_for_the_rest() {
    let bed = Bed::new("origin-ranges");
    let tracker = bed.tracker();
    let shelf = Shelf::new(bytes());
    shelf.cut.store(5 * MIB, Ordering::SeqCst);
    let serve = shelf.clone();
    let (at, _got) = web(&bed, move |request| match header(request, "Range") {
        None => serve.answer(request),
        Some(_) => b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-4/5\r\n\r\nhello".to_vec(),
    });
    let ended = seeder(&bed, &tracker, "s", &format!("http://{at}/big.zip"), "").ends();
    ended.one_line(5, &["another part than was asked for"]);
    assert!(!bed.names("s").contains(&"big.zip".to_owned()));
}

#[test]
fn what_stands_there_and_differs_is_replaced_only_on_demand() {
    let bed = Bed::new("origin-exists");
    let tracker = bed.tracker();
    let shelf = Shelf::new(bytes());
    let serve = shelf.clone();
    let (at, _got): (SocketAddr, _) = web(&bed, move |request| serve.answer(request));
    let url = format!("http://{at}/big.zip");
    bed.file("s/sub/big.zip", b"something else");
    let refused = seeder(&bed, &tracker, "s", &url, "--out sub/").ends();
    refused.one_line(7, &["sub/big.zip exists and differs", "--overwrite", "--out DIR|FILE"]);
    assert_eq!(read(bed.path("s/sub/big.zip")), b"something else");
    let seeder = seeder(&bed, &tracker, "s", &url, "--out sub/ --overwrite");
    seeder.says("seeding big.zip ");
    assert!(read(bed.path("s/sub/big.zip")) == bytes());
    let refused = self::seeder(&bed, &tracker, "s", &url, "--out none/").ends();
    refused.one_line(4, &["none", "no such directory"]);
}
