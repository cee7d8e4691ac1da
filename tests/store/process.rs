//! Trackers as processes: killed at random points, and started over files that cannot be used.

use super::base::reader;
use super::bed::{Bed, Tracker};
use super::client::{Asker, Client, bare};
use lmk::core::id::{InfoHash, PeerId};
use lmk::core::rng::Rng;
use lmk::wire::catalogue::answer::Answer;
use lmk::wire::catalogue::code;
use lmk::wire::catalogue::request::Request;
use lmk::wire::udp::{AnnounceRequest, Event, Request as Udp, Response};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

const DB: &str = "tracker/.state/lmk/tracker.db";

fn announce(asker: &Asker, hash: InfoHash, port: u16, left: u64) -> Response {
    let request = AnnounceRequest {
        cid: asker.cid,
        tid: 77,
        info_hash: hash,
        peer_id: PeerId([port as u8; 20]),
        downloaded: 0,
        left,
        uploaded: 0,
        event: Event::None,
        key: 0,
        num_want: -1,
        port,
        url_data: Vec::new(),
    };
    let mut bytes = Vec::new();
    Udp::Announce(request).encode(&mut bytes);
    Response::decode(&asker.ask(&bytes), false).expect("an answer of BEP 15")
}

/// Publishes until the tracker is gone; the names whose answers came.
fn publish_until_killed(tracker: Tracker, round: u32, rng: &mut Rng) -> Vec<String> {
    let mut client = Client::new(tracker.at);
    let killed_after = Duration::from_micros(rng.between(1, 60_000));
    let began = Instant::now();
    let (mut asked, mut answered) = (Vec::new(), 0);
    let mut tracker = Some(tracker);
    for n in 0.. {
        let name = format!("name {round} {n}");
        // Up to 16 are on their way, so that one commit has several.
        if n < 300 && client.send(&Request::Publish(bare(&name, round * 1000 + n))) {
            asked.push(name);
        }
        if began.elapsed() >= killed_after
            && let Some(tracker) = tracker.take()
        {
            tracker.lmk.ended_by(Signal::KILL);
        }
        if n % 16 == 15 || tracker.is_none() || n >= 300 {
            while answered < asked.len() {
                match client.answer() {
                    Some(Answer::Published { .. }) => answered += 1,
                    Some(other) => panic!("{other:?}"),
                    None => {
                        asked.truncate(answered);
                        return asked;
                    }
                }
            }
        }
        if tracker.is_none() {
            return asked;
        }
        if n >= 300 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    unreachable!()
}

#[test]
fn a_tracker_that_is_killed_at_any_point_loses_no_name_it_acknowledged() {
    let rounds = std::env::var("LMK_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let seed = std::env::var("LMK_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(18);
    println!("{rounds} kills, seed {seed}");
    let mut rng = Rng::new(seed);
    let bed = Bed::new("kills");
    let (mut known, mut acknowledged) = (BTreeSet::new(), 0);
    for round in 0..rounds {
        let mut tracker = bed.tracker();
        let names = Client::new(tracker.at).names();
        let lost: Vec<_> = known.difference(&names).collect();
        assert!(lost.is_empty(), "round {round} of seed {seed}: lost {lost:?}");
        let base = reader(&bed.path(DB));
        let said: String = base.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
        assert_eq!(said, "ok", "round {round} of seed {seed}");
        if round % 5 == 4 {
            // What nobody wants any more is gone for good, too.
            let mut client = Client::new(tracker.at);
            for name in std::mem::take(&mut known) {
                let mut parts = name.split(' ').skip(1).map(|n| n.parse::<u32>().unwrap());
                let n = parts.next().unwrap() * 1000 + parts.next().unwrap();
                let hash = bare(&name, n).entry.v1.unwrap();
                let answer = client.ask(&Request::Unpublish { name, hash });
                assert!(matches!(answer, Answer::Unpublished { .. }), "{answer:?}");
            }
            tracker.lmk.ended_by(Signal::KILL);
            tracker = bed.tracker();
            let left = Client::new(tracker.at).names();
            let left: Vec<_> = left.iter().filter(|name| names.contains(*name)).collect();
            assert!(left.is_empty(), "round {round} of seed {seed}: came back: {left:?}");
        }
        let answered = publish_until_killed(tracker, round, &mut rng);
        acknowledged += answered.len();
        known.extend(answered);
    }
    println!("{acknowledged} names were acknowledged");
    assert!(acknowledged > 0);
}

#[test]
fn a_name_that_all_saw_is_seen_by_all_after_a_kill_at_once_and_one_without_a_source_is_not() {
    let bed = Bed::new("listed");
    let all_see = |at| Client::of(at, [6; 32]).names();
    let seen: BTreeSet<String> = (0..5)
        .map(|n| {
            let tracker = bed.tracker();
            let name = format!("name {n}");
            let published = bare(&name, n);
            let hash = published.entry.v1.unwrap();
            Client::new(tracker.at).ask(&Request::Publish(published));
            announce(&Asker::new(tracker.at), hash, 7001, 0);
            assert!(all_see(tracker.at).contains(&name), "{name}");
            tracker.lmk.ended_by(Signal::KILL);
            name
        })
        .collect();
    let tracker = bed.tracker();
    assert_eq!(all_see(tracker.at), seen);
    // What an orderly end leaves pending had no source.
    Client::new(tracker.at).ask(&Request::Publish(bare("no source", 9)));
    tracker.lmk.ended_by(Signal::INT).with(130);
    let tracker = bed.tracker();
    assert_eq!(all_see(tracker.at), seen);
    assert!(Client::new(tracker.at).names().contains("no source"));
}

#[test]
fn a_restart_keeps_ids_peers_and_counts_and_other_programs_can_read_them() {
    let bed = Bed::new("restart");
    let tracker = bed.tracker();
    let hash = InfoHash([0xab; 20]);
    let asker = Asker::new(tracker.at);
    announce(&asker, hash, 7001, 0);
    announce(&asker, hash, 7002, 5);
    announce(&asker, hash, 7003, 5);
    announce(&asker, hash, 7003, 0);
    let at = tracker.at;
    tracker.lmk.ended_by(Signal::TERM).with(143);
    let base = reader(&bed.path(DB));
    let row = |sql: &str| -> String { base.query_row(sql, [], |row| row.get(0)).unwrap() };
    let sql = "SELECT group_concat(info_hash || ' ' || peer_id || ' ' || ip || ' ' || port || ' ' \
        || uploaded || ' ' || downloaded || ' ' || (\"left\" = 0), char(10)) \
        FROM (SELECT * FROM peers ORDER BY port)";
    let (info, ip) = ("ab".repeat(20), asker.ip());
    let line = |id: &str, port: u16, whole: u8| {
        format!("{info} {} {ip} {port} 0 0 {whole}", id.repeat(20))
    };
    let lines = [line("59", 7001, 1), line("5a", 7002, 0), line("5b", 7003, 1)];
    assert_eq!(row(sql), lines.join("\n"));
    assert_eq!(row("SELECT downloads || '' FROM completed"), "1");
    let tracker = bed.tracker_at(at);
    // The id of the run before is good, and everybody is known.
    let Response::Announce(answer) = announce(&asker, hash, 7004, 5) else { panic!("refused") };
    assert_eq!((answer.seeders, answer.leechers, answer.peers.len()), (2, 2, 3));
    let mut bytes = Vec::new();
    Udp::Scrape { cid: asker.cid, tid: 1, hashes: vec![hash] }.encode(&mut bytes);
    let Some(Response::Scrape { rows, .. }) = Response::decode(&asker.ask(&bytes), false) else {
        panic!("no scrape")
    };
    assert_eq!(rows[0].completed, 1);
    drop(tracker);
}

#[test]
fn an_orderly_end_goes_on_with_the_same_generation() {
    let bed = Bed::new("generation");
    let tracker = bed.tracker();
    let at = tracker.at;
    let asker = Asker::new(at);
    let name = bare("a name", 1);
    announce(&asker, name.entry.v1.unwrap(), 7001, 0);
    let mut client = Client::new(at);
    client.ask(&Request::Publish(name));
    let generation = Client::new(at).generation;
    tracker.lmk.ended_by(Signal::INT).with(130);
    let tracker = bed.tracker_at(at);
    assert_eq!(Client::new(at).generation, generation);
    tracker.lmk.ended_by(Signal::KILL);
    let tracker = bed.tracker_at(at);
    assert!(Client::new(at).generation > generation, "a client may have heard of more");
    drop(tracker);
}

#[test]
fn a_second_tracker_on_the_same_file_says_who_has_it() {
    let bed = Bed::new("second");
    let tracker = bed.tracker();
    let line = format!("tracker --bind {}:0", bed.ip(1));
    let pid = format!("already in use by pid {}", tracker.lmk.pid());
    bed.run("tracker", &line).one_line(7, &[&pid, "--db"]);
    bed.start("tracker", &super::bed::words(&format!("{line} --db none"))).says("tracker on ");
    // The lock dies with its process.
    tracker.lmk.ended_by(Signal::KILL);
    bed.tracker();
}

#[test]
fn files_that_cannot_be_used_are_refused_in_one_line() {
    let bed = Bed::new("refused");
    let line = |db: &str| format!("tracker --bind {}:0 --db {db}", bed.ip(0));
    let other = bed.folder("tracker").join("other.db");
    reader(&other).execute_batch("CREATE TABLE theirs (a)").unwrap();
    bed.run("tracker", &line("other.db")).one_line(4, &["other.db", "another program", "--db"]);
    drop(bed.start("tracker", &super::bed::words(&line("new.db"))).says("tracker on "));
    std::thread::sleep(Duration::from_millis(100));
    reader(&bed.path("tracker/new.db")).execute_batch("PRAGMA user_version = 9").unwrap();
    bed.run("tracker", &line("new.db")).one_line(4, &["new.db", "newer lmk", "version 9"]);
    bed.folder("tracker/folder");
    bed.run("tracker", &line("folder")).one_line(4, &["folder", "--db none"]);
    bed.run("tracker", &line("/proc/no/such.db")).one_line(4, &["/proc/no", "--db none"]);
}

#[test]
fn a_file_that_is_damaged_is_put_aside_with_a_loud_line() {
    let bed = Bed::new("damaged");
    let tracker = bed.tracker();
    Client::new(tracker.at).ask(&Request::Publish(bare("a name", 1)));
    tracker.lmk.ended_by(Signal::TERM).with(143);
    let path = bed.path(DB);
    let mut bytes = fs::read(&path).unwrap();
    bytes[..512].fill(7);
    fs::write(&path, &bytes).unwrap();
    let tracker = bed.tracker();
    let said = tracker.lmk.says("was damaged");
    assert!(said.starts_with("error: ") && said.contains("tracker.db.corrupt-"), "{said}");
    assert_eq!(Client::new(tracker.at).names().len(), 0);
}

/// Without rights the usual place is done without, and a place that was asked for is insisted on.
#[test]
fn a_place_that_may_not_be_written_is_said_in_one_line() {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: needs root to become somebody else");
    }
    let bed = Bed::new("denied");
    let at = SocketAddr::new(bed.ip(0), 0).to_string();
    bed.folder("tracker/.state/lmk");
    let program = std::env::temp_dir().join(format!("lmk-{}", std::process::id()));
    fs::copy(env!("CARGO_BIN_EXE_lmk"), &program).unwrap();
    let start = |more: &[&str]| {
        let mut command = bed.dressed("tracker", std::process::Command::new(&program));
        command.args(["tracker", "--bind", &at]).args(more).current_dir("/").uid(65_534);
        super::bed::Lmk::run("tracker", command)
    };
    let tracker = start(&[]);
    let said = tracker.says("not saving");
    assert!(said.starts_with("warning: ") && said.contains("names are lost"), "{said}");
    tracker.says("tracker on ");
    start(&["--db", "/lmk-may-not.db"]).ends().one_line(4, &["/lmk-may-not.db", "denied"]);
    fs::remove_file(program).unwrap();
}

/// A file system of half a megabyte, gone when dropped.
struct Tiny(std::path::PathBuf);

impl Tiny {
    fn new(path: std::path::PathBuf) -> Option<Tiny> {
        fs::create_dir_all(&path).unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
            .arg(&path)
            .output();
        mount.is_ok_and(|ended| ended.status.success()).then_some(Tiny(path))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_publishing_is_refused_and_everything_known_is_served() {
    let bed = Bed::new("full");
    let Some(tiny) = Tiny::new(bed.path("tiny")) else {
        return println!("skipped: mount is not allowed here");
    };
    let db = tiny.0.join("t.db");
    let at = SocketAddr::new(bed.ip(0), 0).to_string();
    let args = ["tracker", "--bind", &at, "--db", db.to_str().unwrap()];
    let lmk = bed.start("tracker", &args);
    let line = lmk.says("tracker on ");
    let at: SocketAddr = line.split_whitespace().nth(2).unwrap().parse().unwrap();
    let mut client = Client::new(at);
    let (mut known, mut refused) = (BTreeSet::new(), None);
    for n in 0..20_000 {
        let name = format!("{n} {}", "long ".repeat(40).trim());
        match client.ask(&Request::Publish(bare(&name, n))) {
            Answer::Published { .. } => drop(known.insert(name)),
            Answer::Refused(no) => {
                refused = Some(no);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let refused = refused.expect("the disk is never full");
    assert_eq!((refused.code, refused.text.as_str()), (code::BUSY, "not saving: disk full"));
    let said = lmk.says("not saving: disk full");
    assert!(said.starts_with("error: "), "{said}");
    assert!(Client::new(at).names().is_superset(&known) && known.len() > 20);
    lmk.ended_by(Signal::KILL);
    let lmk = bed.start("tracker", &args);
    let line = lmk.says("tracker on ");
    let at: SocketAddr = line.split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!(Client::new(at).names().is_superset(&known), "acknowledged and lost");
}
