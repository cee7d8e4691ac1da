//! `lmk ls`, `lmk info`, `lmk status` and `--wait`, against real trackers and seeders.

use crate::bed::{Bed, Ended};
use serde_json::Value;
use std::net::SocketAddr;

fn ask(bed: &Bed, tracker: &crate::bed::Tracker, line: &str) -> Ended {
    bed.run("asker", &format!("{line} --tracker {}", tracker.at))
}

/// The events of one kind.
fn events(ended: &Ended, kind: &str) -> Vec<Value> {
    let all = ended.out.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    all.filter(|event| event["event"] == kind).collect()
}

#[test]
fn names_are_listed_as_a_table_and_as_json() {
    let bed = Bed::new("jobs-ls");
    bed.file("one/big.zip", &[7; 5000]);
    bed.file("two/small.iso", b"bytes");
    let tracker = bed.tracker();
    let empty = ask(&bed, &tracker, "ls");
    assert_eq!((empty.code, empty.out.as_str()), (Some(0), ""), "{}", empty.err);
    ask(&bed, &tracker, "ls *.iso").one_line(3, &["no name fits *.iso"]);
    let _one = tracker.seeder(&bed, "one", "big.zip", "");
    let _two = tracker.seeder(&bed, "two", "small.iso", "");
    let all = ask(&bed, &tracker, "ls");
    let lines: Vec<&str> = all.out.lines().collect();
    assert_eq!((all.code, lines.len()), (Some(0), 3), "{}", all.out);
    let column = lines[0].find("NAME").unwrap();
    assert_eq!((&lines[1][column..], &lines[2][column..]), ("big.zip", "small.iso"));
    assert!(lines[1].contains("4.9 KiB") && lines[2].contains("5 B"), "{}", all.out);
    let isos = ask(&bed, &tracker, "ls *.iso --json");
    let entries = events(&isos, "entry");
    assert_eq!((isos.code, entries.len()), (Some(0), 1), "{}", isos.out);
    assert_eq!((&entries[0]["name"], &entries[0]["size"]), (&"small.iso".into(), &5.into()));
    assert_eq!((&entries[0]["sources"], &entries[0]["leechers"]), (&1.into(), &0.into()));
    assert_eq!(events(&isos, "ended")[0]["ending"], "done");
    assert!(isos.out.lines().all(|line| !line.contains("\"head\"")), "{}", isos.out);
}

#[test]
fn one_name_and_the_tracker_itself_are_told_of() {
    let bed = Bed::new("jobs-info");
    bed.file("one/big.zip", &[7; 5000]);
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "one", "big.zip", "");
    let hash = seeder.hash();
    let info = ask(&bed, &tracker, "info big.zip");
    assert_eq!(info.code, Some(0), "{}", info.err);
    for said in ["name      big.zip\n", "5000 bytes", &hash, "sources   1\n", "with the tracker"] {
        assert!(info.out.contains(said), "{said}:\n{}", info.out);
    }
    let info = ask(&bed, &tracker, "info big.zip --json");
    assert_eq!(events(&info, "entry")[0]["v2"], hash);
    ask(&bed, &tracker, "info none").one_line(3, &["no content is named none"]);
    let status = ask(&bed, &tracker, "status");
    assert_eq!(status.code, Some(0), "{}", status.err);
    for said in ["names     1\n", "sources   1\n", "this machine only", "big.zip\n"] {
        assert!(status.out.contains(said), "{said}:\n{}", status.out);
    }
    assert!(!status.out.contains("changes") && !status.out.contains("trouble"), "{}", status.out);
    let status = ask(&bed, &tracker, "status --json");
    let told = &events(&status, "status")[0];
    assert_eq!((&told["names"], &told["sources"]), (&1.into(), &1.into()), "{told}");
    let generation = told["generation"].as_str().and_then(|text| text.parse::<u64>().ok());
    assert!(generation.is_some_and(|generation| generation > 1 << 53), "{told}");
    assert_eq!(events(&status, "entry").len(), 1);
}

#[test]
fn a_tracker_is_named_by_its_url_too() {
    let bed = Bed::new("jobs-url");
    bed.file("one/big.zip", &[7; 5000]);
    let tracker = bed.tracker();
    let at = tracker.at;
    let url = format!("udp://{at}/announce");
    let seeder = bed.start("one", &["seeder", "--file", "big.zip", "--tracker", &url]);
    seeder.says("seeding ");
    let typed = seeder.says("receivers type: ");
    assert!(typed.contains(&format!("--tracker {at}")), "{typed}");
    for (who, url) in [("two", format!("udp://{at}")), ("three", format!("http://{at}/announce"))] {
        bed.run(who, &format!("leecher --want big.zip --tracker {url}")).with(0);
    }
    assert!(bed.run("asker", &format!("ls --tracker {url}")).with(0).out.contains("big.zip"));
    for wrong in [format!("udp://{at}/other"), format!("ftp://{at}"), format!("{url}/none")] {
        bed.run("asker", &format!("ls --tracker {wrong}")).one_line(2, &["--tracker"]);
    }
}

#[test]
fn without_a_tracker_a_job_is_5() {
    let bed = Bed::new("jobs-none");
    let silent = std::net::UdpSocket::bind((bed.ip(1), 0)).unwrap();
    let line = format!("ls --tracker {}", silent.local_addr().unwrap());
    bed.run("asker", &line).one_line(5, &["no tracker answers"]);
}

#[test]
fn a_leecher_that_may_wait_has_the_file_once_somebody_publishes_it() {
    let bed = Bed::new("jobs-wait");
    bed.file("one/big.zip", &[7; 5000]);
    let tracker = bed.tracker();
    tracker.fetch(&bed, "hasty", "big.zip", "").one_line(3, &["no content is named", "--wait"]);
    let waited = tracker.fetch(&bed, "patient", "big.zip", "--wait 1s");
    assert_eq!(waited.code, Some(3), "{}", waited.err);
    let waiter = tracker.leecher(&bed, "waiter", "big.zip", "--wait");
    waiter.says("nobody has published big.zip yet");
    let _seeder = tracker.seeder(&bed, "one", "big.zip", "");
    waiter.ends().with(0);
    assert_eq!(bed.names("waiter"), ["big.zip"]);
}

#[test]
fn a_leecher_gives_a_tracker_that_restarted_time_to_hear_of_its_names() {
    let bed = Bed::new("jobs-restart");
    bed.file("one/big.zip", &[7; 5000]);
    let tracker = bed.forgetful_tracker(SocketAddr::new(bed.ip(0), 0));
    let at = tracker.at;
    drop(tracker);
    let tracker = bed.forgetful_tracker(at);
    let waiter = tracker.leecher(&bed, "waiter", "big.zip", "");
    waiter.says("nobody has published big.zip yet");
    let _seeder = tracker.seeder(&bed, "one", "big.zip", "");
    waiter.ends().with(0);
}
