//! What the programs say and where: results on standard output, the rest on standard error, logs in
//! files, JSON for programs.

use crate::bed::{Bed, Ended, Lmk, noise, words};
use lmk::content::metainfo::Content;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn json_lines(out: &str) -> Vec<Value> {
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

#[test]
fn a_torrent_for_stock_clients_is_left_and_its_magnet_printed() {
    let bed = Bed::new("torrent");
    let bytes = noise(20, 300_000);
    bed.file("seeder/big.zip", &bytes);
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "seeder", "big.zip", "--write-torrent big.torrent");
    seeder.says("wrote ");
    let path = bed.path("seeder/big.torrent");
    let torrent = fs::read(&path).unwrap();
    let content = Content::from_torrent(&torrent).unwrap();
    let v1 = content.v1.unwrap();
    assert!(content.v2.is_none(), "a stock client meets no key of version 2");
    assert_eq!((content.name.as_slice(), content.geometry.size()), (&b"big.zip"[..], 300_000));
    let announce = format!("udp://{}/announce", tracker.at);
    let text = String::from_utf8_lossy(&torrent).into_owned();
    assert!(text.contains(&announce), "{text}");
    let link = seeder.says("magnet:?");
    assert!(link.contains(&format!("xt=urn:btih:{}", v1.info_hash)), "{link}");
    let usual = bed.file("usual", b"as any program makes it");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path), mode(usual), "others may read it");
    assert_eq!(mode(bed.path("seeder/.state/lmk/node.key")), 0o600);
    assert_eq!(mode(bed.path("seeder/.state/lmk")), 0o700);

    let args = "--write-torrent none/big.torrent";
    let ended = tracker.seeder_starts(&bed, "seeder", "big.zip", args).ends();
    ended.one_line(4, &["none/big.torrent", "no such file", "--write-torrent"]);
    assert!(!bed.path("seeder/none").exists());
}

#[test]
fn the_second_run_of_a_seeder_remembers_the_hashes() {
    let bed = Bed::new("remembers");
    bed.file("seeder/f", &noise(21, 100_000));
    let tracker = bed.tracker();
    let run = || {
        let seeder = tracker.seeder(&bed, "seeder", "f", "");
        let hash = seeder.says("seeding f");
        (hash, seeder.ended_by(Signal::TERM).with(143).err)
    };
    let (first, said) = run();
    assert!(said.contains("hashing f") && !said.contains("remembered"), "{said}");
    let (second, said) = run();
    assert!(said.contains("hashes of f are remembered") && !said.contains("hashing"), "{said}");
    assert_eq!(first, second);
    bed.file("seeder/f", &noise(22, 100_000));
    let (third, said) = run();
    assert!(said.contains("hashing f"), "{said}");
    assert_ne!(first, third);
}

/// A seeder that served one leecher, both with the options `more`.
fn one_job(bed: &Bed, more: &str) -> (Ended, Ended) {
    bed.file("seeder/f", &noise(23, 100_000));
    let tracker = bed.tracker();
    let seeder = tracker.seeder(bed, "seeder", "f", more);
    let leecher = tracker.fetch(bed, "leecher", "f", more).with(0);
    (seeder.ended_by(Signal::INT).with(130), leecher)
}

#[test]
fn results_alone_go_to_standard_output() {
    let bed = Bed::new("results");
    let (seeder, leecher) = one_job(&bed, "");
    let path = bed.path("leecher/f");
    assert_eq!(leecher.out.lines().count(), 1, "{}", leecher.out);
    assert!(leecher.out.starts_with(&format!("complete {} (", path.display())), "{}", leecher.out);
    let starts = ["seeding f (97.7 KiB, 8 slots) hash ", "receivers type: ", "stock clients: "];
    assert_eq!(seeder.out.lines().count(), starts.len(), "{}", seeder.out);
    for (line, start) in seeder.out.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(seeder.err.contains("listening on "), "{}", seeder.err);
}

#[test]
fn the_line_for_receivers_works_as_it_stands() {
    let bed = Bed::new("line");
    let long = "x".repeat(240);
    for name in ["it's $(odd) & \"so\".zip", "-f", "a@12345678", "grü\u{df}e 文件", &long] {
        bed.file(&format!("seeder/{name}"), name.as_bytes());
        let tracker = bed.tracker();
        let seeder = tracker.seeder(&bed, "seeder", &format!("./{name}"), "");
        let line = seeder.says("receivers type: lmk leecher ");
        let typed = line.split_once("lmk leecher ").unwrap().1;
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("\"$0\" leecher {typed}"), env!("CARGO_BIN_EXE_lmk")]);
        let ended = Lmk::run("leecher", bed.dressed("leecher", shell)).ends();
        assert_eq!(ended.code, Some(0), "{line}: {}", ended.err);
        assert_eq!(fs::read(bed.path("leecher").join(name)).unwrap(), name.as_bytes());
    }
}

#[test]
fn quiet_says_results_and_verbose_says_more() {
    let bed = Bed::new("quiet");
    let (seeder, leecher) = one_job(&bed, "-q");
    assert_eq!((seeder.err.as_str(), leecher.err.as_str()), ("", ""));
    assert!(leecher.out.starts_with("complete "), "{}", leecher.out);
    let bed = Bed::new("verbose");
    for (flag, name, says) in [("--no-color", "f", false), ("-v", "g", true)] {
        bed.file(&format!("seeder/{name}"), b"bytes");
        let at = SocketAddr::new(bed.ip(0), 0).to_string();
        let tracker = bed.start("tracker", &["tracker", flag, "--bind", &at]);
        let line = tracker.says("tracker on ");
        let at = line.split(' ').nth(2).unwrap();
        let seeder = bed.start("seeder", &["seeder", "--file", name, "--tracker", at]);
        seeder.says(&format!("seeding {name}"));
        seeder.ended_by(Signal::INT).with(130);
        let ended = tracker.ended_by(Signal::INT).with(130);
        let listed = ended.err.contains(&format!("listed: {name}"));
        assert_eq!(listed, says, "{flag}: {}", ended.err);
    }
    let bed = Bed::new("loop");
    let (_, leecher) = one_job(&bed, "-vv");
    assert!(leecher.err.contains("registering"), "{}", leecher.err);
}

#[test]
fn json_is_one_object_a_line_and_the_last_is_the_ending() {
    let bed = Bed::new("json");
    let (seeder, leecher) = one_job(&bed, "--json");
    for (ended, event, ending) in
        [(seeder, "seeding", "interrupted"), (leecher, "complete", "done")]
    {
        assert_eq!(ended.err, "");
        let lines = json_lines(&ended.out);
        for line in &lines {
            assert!(line["event"].is_string() && line["t_ms"].is_u64(), "{line}");
        }
        let found = lines.iter().find(|line| line["event"] == event).expect(&ended.out);
        assert_eq!(found["size"], 100_000);
        assert_eq!(found["hash"].as_str().map(str::len), Some(64));
        let last = lines.last().unwrap();
        assert_eq!((&last["event"], &last["ending"]), (&"ended".into(), &ending.into()));
    }
    let tracker = bed.tracker();
    let lines = json_lines(&tracker.fetch(&bed, "none", "none", "--json").with(3).out);
    assert_eq!(lines.last().unwrap()["ending"], "not_found");
    assert!(lines.iter().any(|line| line["level"] == "error"), "{lines:?}");
}

#[test]
fn the_log_file_has_what_happened_with_times() {
    let bed = Bed::new("log");
    one_job(&bed, "-q --log-file log");
    for (who, event) in [("seeder", "seeding: "), ("leecher", "complete: ")] {
        let path = bed.path(who).join("log");
        let log = fs::read_to_string(&path).unwrap();
        let line = log.lines().find(|line| line.contains(event)).expect(&log);
        let time = line.split(' ').next().unwrap();
        assert!(time.contains('T') && time.ends_with('Z'), "no time of RFC 3339: {line}");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_reader_that_went_away_stops_nobody() {
    let bed = Bed::new("pipe");
    bed.file("seeder/f", &noise(24, 100_000));
    let tracker = bed.tracker();
    let at = tracker.at;
    let piped = |who: &str, args: &str| {
        let mut shell = Command::new("sh");
        // Both streams end at a reader that reads nothing; the exit code comes by the third.
        let script = format!("{{ \"$0\" {args} 2>&1; echo $? >&3; }} 3>code | true; cat code");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_lmk")]);
        Lmk::run(who, bed.dressed(who, shell))
    };
    let seeder = piped("seeder", &format!("seeder --file f --tracker {at}"));
    tracker.lmk.says("as a source");
    let leecher = piped("leecher", &format!("leecher --want f --tracker {at}")).ends();
    assert_eq!(leecher.out, "0\n", "{}", leecher.err);
    assert!(fs::read(bed.path("leecher/f")).unwrap() == noise(24, 100_000));
    // The shell waits for its child: the child is ended first, by what the tracker's end tells.
    let child = fs::read_to_string(format!("/proc/{0}/task/{0}/children", seeder.pid())).unwrap();
    for pid in words(&child) {
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        let grandchildren =
            fs::read_to_string(format!("/proc/{0}/task/{0}/children", pid.as_raw_nonzero()));
        for pid in words(&grandchildren.unwrap_or_default()) {
            let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
            rustix::process::kill_process(pid, Signal::INT).unwrap();
        }
    }
    assert_eq!(seeder.ends().out, "130\n");
}

#[test]
fn a_terminal_gets_a_bar_and_no_colour_that_was_not_wanted() {
    let tried = Command::new("script").arg("--version").output();
    if !tried.is_ok_and(|ran| ran.status.success()) {
        return println!("skipped: 'script' (util-linux), which makes a terminal, is not here");
    }
    let bed = Bed::new("terminal");
    bed.file("leecher/f", b"other");
    bed.file("seeder/f", b"bytes");
    let tracker = bed.tracker();
    let _seeder = tracker.seeder(&bed, "seeder", "f", "");
    let on_terminal = |more: &str, no_color: Option<&str>| {
        let line = format!(
            "{} leecher --want f --tracker {} {more}",
            env!("CARGO_BIN_EXE_lmk"),
            tracker.at
        );
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]);
        let mut command = bed.dressed("leecher", command);
        command.env("TERM", "xterm").envs(no_color.map(|value| ("NO_COLOR", value)));
        let ended = Lmk::run("leecher", command).ends().with(7);
        assert!(ended.out.contains("exists and is different"), "{}", ended.out);
        ended.out
    };
    let coloured = |text: &str| text.contains("\x1b[1;31m");
    assert!(coloured(&on_terminal("", None)));
    assert!(coloured(&on_terminal("", Some(""))));
    assert!(!coloured(&on_terminal("", Some("1"))));
    assert!(!coloured(&on_terminal("--no-color", None)));
}
