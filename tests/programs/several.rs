//! A leecher that wants several things in one run: names, .torrent files and magnet links.

use crate::bed::{Bed, Ended, Lmk, Tracker, noise};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;

/// Makes `a/NAME`, its .torrent with the bed's tracker, and seeds it. -> its link, and the seeder.
fn seeded(bed: &Bed, tracker: &Tracker, name: &str, bytes: &[u8]) -> (String, Lmk) {
    bed.file(&format!("a/{name}"), bytes);
    let url = format!("udp://{}/announce", tracker.at);
    let line = format!("create {name} --json --announce {url}");
    let made = bed.run("a", &line).with(0);
    let created = events(&made).into_iter().find(|event| event["event"] == "created").unwrap();
    let torrent = format!("{name}.torrent");
    let seeder = bed.start("a", &["seeder", "--torrent", &torrent, "--file", name]);
    seeder.says(": interval ");
    (created["magnet"].as_str().unwrap().to_owned(), seeder)
}

fn events(ended: &Ended) -> Vec<Value> {
    ended.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn complete(ended: &Ended) -> usize {
    ended.out.lines().filter(|line| line.starts_with("complete ")).count()
}

#[test]
fn a_name_a_torrent_and_a_link_are_fetched_in_one_run() {
    let bed = Bed::new("several-kinds");
    let tracker = bed.tracker();
    let [a, b, c] = [41, 42, 43].map(|seed| noise(seed, 700_000));
    bed.file("seeder/a.zip", &a);
    let _a = tracker.seeder(&bed, "seeder", "a.zip", "");
    let (_, _b) = seeded(&bed, &tracker, "b.bin", &b);
    let (link, _c) = seeded(&bed, &tracker, "c.bin", &c);
    let at = tracker.at.to_string();
    let wants = ["--torrent", "../a/b.bin.torrent", "--want", "a.zip", "--magnet", &link];
    let args = [&["leecher", "--tracker", &at][..], &wants].concat();
    let ended = bed.start("l", &args).ends().with(0);
    assert_eq!(bed.names("l"), ["a.zip", "b.bin", "c.bin"]);
    for (name, bytes) in [("a.zip", &a), ("b.bin", &b), ("c.bin", &c)] {
        assert_eq!(&fs::read(bed.path("l").join(name)).unwrap(), bytes, "{name}");
    }
    assert_eq!((complete(&ended), ended.out.lines().count()), (3, 3), "{}", ended.out);
    assert!(ended.err.contains("\n3 of 3 complete\n"), "{}", ended.err);

    // Once more, into a folder, for programs: each line says what it is about.
    bed.folder("l/again");
    let args = [&args[..], &["--json", "-d", "again"]].concat();
    let said = events(&bed.start("l", &args).ends().with(0));
    let mut about: Vec<&str> = said
        .iter()
        .filter(|event| event["event"] == "complete")
        .map(|event| event["want"].as_str().unwrap())
        .collect();
    about.sort_unstable();
    assert_eq!(about, ["a.zip", "b.bin.torrent", "c.bin"]);
    assert_eq!(bed.names("l/again"), ["a.zip", "b.bin", "c.bin"]);
    let last = said.iter().rfind(|event| event["event"] == "progress").unwrap();
    assert_eq!(last["fetches"][0]["want"], "b.bin.torrent");
    let fetched = said.iter().find(|event| event["event"] == "fetched").unwrap();
    assert_eq!((&fetched["complete"], &fetched["of"]), (&3.into(), &3.into()));
}

#[test]
fn what_fails_leaves_the_others_be_and_the_first_failure_is_the_exit_code() {
    let bed = Bed::new("several-fail");
    let tracker = bed.tracker();
    let bytes = noise(44, 300_000);
    for name in ["a.zip", "b.zip"] {
        bed.file(&format!("seeder/{name}"), &bytes);
    }
    let _a = tracker.seeder(&bed, "seeder", "a.zip", "");
    let _b = tracker.seeder(&bed, "seeder", "b.zip", "");
    let at = tracker.at.to_string();
    let run = |who: &str, wants: &[&str]| {
        let ended = bed.start(who, &[&["leecher", "--tracker", &at], wants].concat()).ends();
        assert_eq!(bed.names(who), ["a.zip", "b.zip"], "{}", ended.err);
        assert_eq!(complete(&ended), 2);
        assert!(ended.err.contains("2 of "), "{}", ended.err);
        ended
    };
    let wants = ["--want", "a.zip", "--want", "nowhere.bin", "--want", "b.zip"];
    run("l", &wants).one_line(3, &["nowhere.bin"]);
    // A .torrent that is not there is the disk's matter.
    let all = ["--torrent", "no.torrent", "--want", "nowhere.bin", "--want", "a.zip", "--want"];
    run("m", &[&all[..], &["b.zip"]].concat()).with(4);
    let all = ["--want", "a.zip", "--want", "nowhere.bin", "--torrent", "no.torrent", "--want"];
    let ended = run("n", &[&all[..], &["b.zip"]].concat()).with(3);
    assert!(ended.err.contains("error: ") && ended.err.contains("no.torrent"), "{}", ended.err);
}

#[test]
fn one_that_is_complete_stays_until_all_are_and_a_signal_ends_all() {
    let bed = Bed::new("several-wait");
    let tracker = bed.tracker();
    let bytes = noise(45, 300_000);
    bed.file("seeder/a.zip", &bytes);
    bed.file("seeder/later.zip", &bytes);
    let _a = tracker.seeder(&bed, "seeder", "a.zip", "");
    let start = |who: &str| {
        let leecher = tracker.leecher(&bed, who, "a.zip", "--want later.zip --wait");
        leecher.says("complete ");
        leecher
    };
    start("l").ended_by(Signal::INT).with(130);
    start("m").ended_by(Signal::TERM).with(143);
    let waits = start("n");
    let _later = tracker.seeder(&bed, "seeder", "later.zip", "");
    waits.ends().with(0);
    assert_eq!(bed.names("n"), ["a.zip", "later.zip"]);
}

#[test]
fn those_that_keep_seeding_serve_all_they_have_on_one_port() {
    let bed = Bed::new("several-keep");
    let tracker = bed.tracker();
    let [a, b] = [46, 47].map(|seed| noise(seed, 400_000));
    bed.file("seeder/a.zip", &a);
    let seeder = tracker.seeder(&bed, "seeder", "a.zip", "");
    let (link, other) = seeded(&bed, &tracker, "b.bin", &b);
    let keep =
        tracker.leecher(&bed, "keep", "a.zip", "--torrent ../a/b.bin.torrent --keep-seeding");
    keep.says("/a.zip (");
    keep.says("/b.bin (");
    seeder.ended_by(Signal::INT).with(130);
    other.ended_by(Signal::INT).with(130);
    let at = tracker.at.to_string();
    let args = ["leecher", "--tracker", &at, "--want", "a.zip", "--magnet", &link];
    bed.start("l", &args).ends().with(0);
    for (name, bytes) in [("a.zip", &a), ("b.bin", &b)] {
        assert_eq!(&fs::read(bed.path("l").join(name)).unwrap(), bytes, "{name}");
    }
    keep.ended_by(Signal::INT).with(130);
}

#[test]
fn two_contents_of_one_name_never_come_into_one_file() {
    let bed = Bed::new("several-same");
    let tracker = bed.tracker();
    let (one, other) = (noise(48, 900_000), noise(49, 900_000));
    bed.file("seeder/a.zip", &one);
    let _one = tracker.seeder(&bed, "seeder", "a.zip", "");
    let (_, _other) = seeded(&bed, &tracker, "a.zip", &other);
    let ended = tracker.fetch(&bed, "l", "a.zip", "--torrent ../a/a.zip.torrent").with(7);
    assert_eq!(complete(&ended), 1, "{}", ended.err);
    let got = fs::read(bed.path("l/a.zip")).unwrap();
    assert!(got == one || got == other, "neither of them");
    assert_eq!(bed.names("l"), ["a.zip"]);
}

#[test]
fn several_wants_go_into_a_folder_that_is_there() {
    let bed = Bed::new("several-out");
    let nobody = format!("leecher --want a --want b --tracker {}:9", bed.ip(2));
    bed.run("l", &format!("{nobody} --out x")).one_line(2, &["--out 'x'", "folder"]);
    bed.run("l", &format!("{nobody} --files 1")).one_line(2, &["--files"]);
}
