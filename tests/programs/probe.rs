//! `lmk probe` against our tracker, opentracker and trackers that say what they must not.

use crate::bed::{Bed, Ended, Lmk};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

const HASH: &str = "0123456789abcdef0123456789abcdef01234567";
const PATIENCE: Duration = Duration::from_secs(20);

/// The lines of a probe with every duration taken out.
fn lines(ended: &Ended) -> Vec<String> {
    let plain = |line: &str| match line.split_once(" after ") {
        Some((before, rest)) => {
            let (_ms, tail) = rest.split_once(" ms").expect(line);
            format!("{before}{tail}")
        }
        None => line.to_owned(),
    };
    // Our tracker spreads its intervals by a tenth.
    let spread = |line: String| match line.strip_prefix("interval ").map(|rest| &rest[..2]) {
        Some(seconds) if (54..=66).contains(&seconds.parse().unwrap_or(0)) => {
            "interval 60 s".into()
        }
        _ => line,
    };
    ended.out.lines().map(plain).map(spread).collect()
}

#[track_caller]
fn says(ended: &Ended, code: i32, expected: &[&str]) {
    assert_eq!(lines(ended), expected, "{}---\n{}", ended.out, ended.err);
    assert_eq!(ended.code, Some(code), "{}---\n{}", ended.out, ended.err);
}

/// A tracker of one test: what it answers to each datagram, and what it got.
fn scripted(
    bed: &Bed,
    mut answers: impl FnMut(u32, &[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (SocketAddr, Receiver<Vec<u8>>) {
    let socket = UdpSocket::bind((bed.ip(1), 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (at, (sender, got)) = (socket.local_addr().unwrap(), channel());
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let bytes = &buffer[..len];
            let _ = sender.send(bytes.to_vec());
            for answer in answers(action(bytes), bytes) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    (at, got)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn action(request: &[u8]) -> u32 {
    word(request, 8)
}

/// An answer to `request`: action and transaction, then `rest`.
fn answer(action: u32, request: &[u8], rest: &[u8]) -> Vec<u8> {
    [&action.to_be_bytes(), &request[12..16], rest].concat()
}

fn connect(request: &[u8]) -> Vec<u8> {
    answer(0, request, &[0xab; 8])
}

fn announce(request: &[u8], peers: &[u8]) -> Vec<u8> {
    let head = [9u32, 7, 8].map(u32::to_be_bytes).concat();
    answer(1, request, &[&head, peers].concat())
}

/// A well-behaved tracker, but for its announces.
fn honest(kind: u32, request: &[u8], announced: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    match kind {
        0 => vec![connect(request)],
        1 if word(request, 80) == 3 => vec![announce(request, &[])],
        1 => announced,
        2 => vec![answer(2, request, &[0; 12])],
        _ => vec![answer(3, request, b"what is this?")],
    }
}

#[test]
fn each_step_with_our_tracker_is_told_over_udp() {
    let bed = Bed::new("probe-udp");
    bed.file("one/big.zip", &[7; 5000]);
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "one", "big.zip", "");
    let hash = seeder.hash();
    let ended = bed.run("asker", &format!("probe {} {hash}", tracker.at));
    let (first, peer) = (ended.out.lines().next().unwrap(), ended.out.lines().last().unwrap());
    assert_eq!(first, format!("probing udp://{} for {}", tracker.at, &hash[..40]));
    let peer: SocketAddr = peer.parse().unwrap();
    assert!((6881..7000).contains(&peer.port()), "{peer}");
    says(
        &ended,
        0,
        &[
            first,
            "connect sent",
            "packet of 16 bytes",
            &lines(&ended)[3],
            "announce sent",
            "packet of 26 bytes",
            "interval 60 s",
            "leechers 1",
            "seeders 1",
            "peers 1",
            "stopped sent",
            "packet of 20 bytes",
            "stopped: the probe is out of the swarm",
            "scrape sent",
            "packet of 20 bytes",
            "scrape: seeders 1, completed 0, leechers 0",
            "hello sent",
            "packet of 72 bytes",
            "tracker of lmk: version 1, names 1, no ticket, as none was asked for",
            "",
            "PEER",
            &peer.to_string(),
        ],
    );
    assert!(lines(&ended)[3].starts_with("connection id "), "{}", ended.out);
    assert_eq!(lines(&ended)[3].len(), "connection id ".len() + 16);
}

#[test]
fn each_step_with_our_tracker_is_told_over_http() {
    let bed = Bed::new("probe-http");
    let tracker = bed.tracker();
    let ended = bed.run("asker", &format!("probe http://{}/announce {HASH}", tracker.at));
    let sizes_out = |line: &String| match line.strip_prefix("answer of ") {
        Some(rest) => format!("answer{}", rest.split_once(" bytes").unwrap().1),
        None => line.clone(),
    };
    let said: Vec<String> = lines(&ended).iter().map(sizes_out).collect();
    let first = format!("probing http://{} for {HASH}", tracker.at);
    assert_eq!(
        said,
        [
            &first,
            "connect sent",
            "connected",
            "announce sent",
            "answer, HTTP status 200",
            "interval 60 s",
            "leechers 1",
            "seeders 0",
            "peers 0",
            "stopped sent",
            "answer, HTTP status 200",
            "stopped: the probe is out of the swarm",
            "scrape sent",
            "answer, HTTP status 200",
            "scrape: seeders 0, completed 0, leechers 0",
        ]
    );
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let lost = bed.run("asker", &format!("probe http://{}/nowhere", tracker.at));
    lost.one_line(5, &["HTTP status 404"]);
}

#[test]
fn json_has_an_object_for_each_step() {
    let bed = Bed::new("probe-json");
    let tracker = bed.tracker();
    let ended = bed.run("asker", &format!("probe {} {HASH} --json", tracker.at));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let all = ended.out.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let events: Vec<Value> = all.filter(|event| event["event"] != "progress").collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(
        kinds.join(" "),
        "probing sent packet connection_id sent packet interval leechers seeders peers \
         sent packet stopped sent packet scraped sent packet hello ended"
    );
    assert_eq!((&events[1]["step"], &events[1]["bytes"]), (&"connect".into(), &16.into()));
    assert!((54..=66).contains(&events[6]["interval_s"].as_u64().unwrap()), "{}", events[6]);
}

/// opentracker with a list of one hash, if it is installed.
fn opentracker(bed: &Bed) -> Option<(Lmk, SocketAddr)> {
    if !Command::new("opentracker").arg("-h").output().is_ok_and(|ran| !ran.stdout.is_empty()) {
        eprintln!("opentracker is not installed: skipped");
        return None;
    }
    let list = bed.file("opentracker/list", format!("{HASH}\n").as_bytes());
    let home = bed.folder("opentracker");
    let ip = bed.ip(2).to_string();
    let mut command = bed.dressed("opentracker", Command::new("opentracker"));
    command.args(["-i", &ip, "-p", "6969", "-P", "6969"]);
    // Started by root it changes its root and its user.
    match rustix::process::getuid().is_root() {
        true => command.arg("-d").arg(&home).args(["-w", "/list"]),
        false => command.arg("-w").arg(&list),
    };
    let running = Lmk::run("opentracker", command);
    let at = SocketAddr::new(bed.ip(2), 6969);
    let socket = UdpSocket::bind((bed.ip(1), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let hello = [&0x0417_2710_1980_u64.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, 1]].concat();
    for _ in 0..100 {
        socket.send_to(&hello, at).unwrap();
        if socket.recv_from(&mut [0; 64]).is_ok() {
            return Some((running, at));
        }
    }
    panic!("opentracker does not answer");
}

#[test]
fn opentracker_is_probed_over_udp_and_http() {
    let bed = Bed::new("probe-open");
    let Some((_running, at)) = opentracker(&bed) else { return };
    let ended = bed.run("asker", &format!("probe udp://{at} {HASH}"));
    let said = lines(&ended);
    assert_eq!(ended.code, Some(0), "{}---\n{}", ended.out, ended.err);
    for line in [
        "packet of 26 bytes",
        "leechers 1",
        "stopped: the probe is out of the swarm",
        "scrape: seeders 0, completed 0, leechers 0",
        "no tracker of lmk: it does not know the question",
        "127.0.0.1:1  (this probe)",
    ] {
        assert!(said.iter().any(|said| said == line), "no '{line}':\n{}", ended.out);
    }
    let refused = bed.run("asker", &format!("probe {at}"));
    assert_eq!(refused.code, Some(7), "{}---\n{}", refused.out, refused.err);
    assert!(refused.out.contains("error: the answer ends before its peers\n"), "{}", refused.out);
    let ended = bed.run("asker", &format!("probe http://{at}/announce {HASH}"));
    assert_eq!(ended.code, Some(0), "{}---\n{}", ended.out, ended.err);
    assert!(ended.out.contains("scrape: seeders 0, completed 0, leechers 0\n"), "{}", ended.out);
    let refused = bed.run("asker", &format!("probe http://{at}/announce"));
    assert_eq!(refused.code, Some(7), "{}---\n{}", refused.out, refused.err);
    assert!(refused.out.contains("not authorized"), "{}", refused.out);
}

#[test]
fn packets_that_answer_nothing_are_told_and_passed_over() {
    let bed = Bed::new("probe-odd");
    let (at, got) = scripted(&bed, |kind, request| {
        let mut other = connect(request);
        other[4..8].copy_from_slice(&[0xff; 4]);
        match kind {
            0 => {
                let wrong = answer(2, request, &[0; 12]);
                let cut = answer(0, request, &[1, 2, 3]);
                vec![other, vec![0, 0, 0], wrong, cut, connect(request)]
            }
            1 if word(request, 80) == 2 => honest(kind, request, vec![announce(request, &[])]),
            _ => honest(kind, request, vec![]),
        }
    });
    let ended = bed.run("asker", &format!("probe udp://{at} {HASH}"));
    let tid = word(&got.recv_timeout(PATIENCE).unwrap(), 12);
    says(
        &ended,
        0,
        &[
            &format!("probing udp://{at} for {HASH}"),
            "connect sent",
            &format!("packet of 16 bytes ignored: transaction ffffffff, and {tid:08x} was asked"),
            "packet of 3 bytes ignored: too short for an answer",
            "packet of 20 bytes ignored: action 0x2 does not answer connect",
            "packet of 11 bytes ignored: too short for an answer to connect",
            "packet of 16 bytes",
            "connection id abababababababab",
            "announce sent",
            "packet of 20 bytes",
            "interval 9 s",
            "leechers 7",
            "seeders 8",
            "peers 0",
            "stopped sent",
            "packet of 20 bytes",
            "stopped: the probe is out of the swarm",
            "scrape sent",
            "packet of 20 bytes",
            "scrape: seeders 0, completed 0, leechers 0",
            "hello sent",
            "packet of 21 bytes",
            "no tracker of lmk: what is this?",
        ],
    );
}

#[test]
fn an_error_cannot_steer_the_terminal() {
    let bed = Bed::new("probe-error");
    let (at, _got) = scripted(&bed, |kind, request| {
        honest(kind, request, vec![answer(3, request, b"no\x1b[2J\nentry")])
    });
    let ended = bed.run("asker", &format!("probe {at}"));
    assert_eq!(ended.code, Some(7), "{}---\n{}", ended.out, ended.err);
    assert!(lines(&ended).contains(&"error: no\u{fffd}[2J\u{fffd}entry".into()), "{}", ended.out);
    assert!(!ended.out.contains("stopped sent"), "{}", ended.out);
}

#[test]
fn five_thousand_peers_are_counted_and_cut_for_people() {
    let bed = Bed::new("probe-many");
    let (at, _got) = scripted(&bed, |kind, request| {
        honest(kind, request, vec![announce(request, &[10, 1, 2, 3, 0x1a, 0xe1].repeat(5000))])
    });
    let ended = bed.run("asker", &format!("probe {at}"));
    let said = lines(&ended);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(said.contains(&"packet of 30020 bytes".into()) && said.contains(&"peers 5000".into()));
    assert_eq!(said.iter().filter(|line| *line == "10.1.2.3:6881").count(), 200);
    assert_eq!(said.last().unwrap(), "and 4800 more; --json shows all");
    let ended = bed.run("asker", &format!("probe {at} --json"));
    let peers = ended.out.lines().filter(|line| line.contains("\"event\":\"peer\""));
    assert_eq!(peers.count(), 5000);
}

#[test]
fn silence_is_told_and_ends_with_5() {
    let bed = Bed::new("probe-silent");
    let (at, _got) = scripted(&bed, |_, _| vec![]);
    let ended = bed.run("asker", &format!("probe {at} {HASH}"));
    says(
        &ended,
        5,
        &[
            &format!("probing udp://{at} for {HASH}"),
            "connect sent",
            "no answer in 1 s",
            "connect sent again",
            "no answer in 2 s",
            "connect sent again",
            "no answer in 4 s",
        ],
    );
    assert!(ended.err.contains("waiting for the answer to connect, try 3 of 3\n"), "{}", ended.err);
    let port = at.port();
    let why = format!("no answer to connect in 7 s; is a tracker there, and UDP port {port} open?");
    ended.one_line(5, &[&why]);
}

/// Waits for an announce with this event.
fn announced(got: &Receiver<Vec<u8>>, event: u32) -> Vec<u8> {
    loop {
        let request = got.recv_timeout(PATIENCE).unwrap();
        if action(&request) == 1 && word(&request, 80) == event {
            return request;
        }
    }
}

#[test]
fn whoever_ends_a_probe_early_leaves_no_peer_in_the_swarm() {
    let bed = Bed::new("probe-early");
    let (at, got) = scripted(&bed, |kind, request| match kind {
        0 => vec![connect(request)],
        _ => vec![],
    });
    let probe = bed.start("asker", &["probe", &at.to_string()]);
    let first = announced(&got, 2);
    assert!(!first[36..56].starts_with(b"-LM"), "no node of ours is meant");
    assert_eq!(&first[96..98], [0, 1], "no peer is on port 1");
    probe.ended_by(Signal::INT).with(130);
    let last = announced(&got, 3);
    assert_eq!((&first[16..56], &first[88..92]), (&last[16..56], &last[88..92]));
    // Nor does one that nobody answered.
    let probe = bed.start("asker", &["probe", &at.to_string()]);
    announced(&got, 3);
    probe.ends().one_line(5, &["no answer to announce in 7 s"]);
}

/// A web server of one test that says `answer` to every request.
fn web(bed: &Bed, answer: Vec<u8>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind((bed.ip(1), 0)).unwrap();
    let (at, (sender, got)) = (listener.local_addr().unwrap(), channel());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                request.push(byte[0]);
            }
            let _ = sender.send(String::from_utf8_lossy(&request).into_owned());
            let _ = stream.write_all(&answer);
        }
    });
    (at, got)
}

#[test]
fn an_http_tracker_may_say_what_it_will() {
    let bed = Bed::new("probe-web");
    let ok = |body: &[u8]| [b"HTTP/1.1 200 OK\r\n\r\n", body].concat();
    for (answer, code, says) in [
        (b"\x00\x01garbage".to_vec(), 5, "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nd".to_vec(), 5, "ended in the answer"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n".to_vec(), 5, "to http://x/;"),
        (ok(b"<html>"), 5, "no bencoded dictionary"),
        (ok(b"d14:failure reason5:no\x1b[Je"), 7, "error: no\u{fffd}[J\n"),
        (ok(&vec![b'x'; 3 << 20]), 5, "larger than 1 MiB"),
    ] {
        let (at, got) = web(&bed, answer);
        let ended = bed.run("asker", &format!("probe http://{at}/x/announce?auth=SECRET {HASH}"));
        let all = format!("{}---\n{}", ended.out, ended.err);
        assert_eq!(ended.code, Some(code), "{all}");
        assert!(all.contains(says) && !all.contains("SECRET"), "{says}: {all}");
        let request = got.recv_timeout(PATIENCE).unwrap();
        assert!(request.starts_with("GET /x/announce?auth=SECRET&info_hash=%01%23E"), "{request}");
        // Whatever it said, it may have counted us.
        let last = if code == 7 { "GET /x/scrape?" } else { "&event=stopped " };
        assert!(got.recv_timeout(PATIENCE).unwrap().contains(last), "{all}");
    }
}

#[test]
fn a_traced_tracker_tells_each_datagram_and_no_secret() {
    let bed = Bed::new("probe-trace");
    let at = SocketAddr::new(bed.ip(0), 0).to_string();
    let tracker = bed.start("tracker", &["tracker", "--trace", "--bind", &at]);
    let line = tracker.says("tracker on ");
    let at: SocketAddr = line.split_whitespace().nth(2).unwrap().parse().unwrap();
    let socket = UdpSocket::bind((bed.ip(1), 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let us = socket.local_addr().unwrap();
    let mut buffer = [0; 2048];
    let mut ask = |request: &[u8]| {
        socket.send_to(request, at).unwrap();
        let len = socket.recv(&mut buffer).unwrap();
        buffer[..len].to_vec()
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let hello = [&0x0417_2710_1980_u64.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, 7]].concat();
    let connected = ask(&hello);
    let cid = hex(&connected[8..16]);
    let mut request = connected[8..16].to_vec();
    request.extend([0, 0, 0, 1, 0, 0, 0, 8]);
    request.extend([0xab; 20]);
    request.extend(b"-XX0001-abcdefghijkl");
    request.extend([0; 24]);
    request.extend([0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x1a, 0xe1]);
    let open = hex(&request);
    request.extend([2, 21]);
    request.extend(b"/announce?auth=SECRET");
    let announced = ask(&request);
    let interval = u32::from_be_bytes(announced[8..12].try_into().unwrap());
    let ended = tracker.ended_by(Signal::TERM);
    let told = ended.err.lines().filter_map(|line| Some(line.split_at_checked(13)?.1));
    let told: Vec<&str> =
        told.filter(|line| line.starts_with("<- ") || line.starts_with("-> ")).collect();
    let hash = "ab".repeat(20);
    assert_eq!(
        told,
        [
            format!("<- {us} 16 bytes {} connect, tid 00000007", hex(&hello)),
            format!("-> {us} 16 bytes {} connect, tid 00000007, cid {cid}", hex(&connected)),
            format!(
                "<- {us} 121 bytes {open}0215[…] announce, tid 00000008, cid {cid}, hash {hash}, \
                 peer id -XX0001-abcdefghijkl, downloaded 0, left 0, uploaded 0, event started, \
                 address 0.0.0.0, key 00000005, num_want -1, port 6881, \
                 options url data '/announce?auth=[…]'"
            ),
            format!(
                "-> {us} 20 bytes {} announce, tid 00000008, interval {interval} s, leechers 0, \
                 seeders 1, peers none",
                hex(&announced)
            ),
        ],
        "{}",
        ended.err
    );
    let all = format!("{}{}", ended.out, ended.err);
    assert!(!all.contains("SECRET") && !all.contains(&hex(b"SECRET")), "{all}");
    assert!(!ended.out.contains("bytes"), "standard output stays free: {}", ended.out);
}
