//! How much, how many and in which order, with the real program.

use crate::bed::{Bed, noise, words};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn limits_are_kept_figures_are_logged_and_the_file_is_whole() {
    let bed = Bed::new("terms");
    let tracker = bed.tracker();
    let content = noise(7, 600_000);
    bed.file("s/big.bin", &content);
    let _seeder = tracker.seeder(&bed, "s", "big.bin", "--limit-up 256K --stats-log up.log");
    bed.folder("l/there");
    let began = Instant::now();
    let more = "-d there --limit-down 200K --order sequential --max-peers 4 --stats-log l.log";
    tracker.fetch(&bed, "l", "big.bin", more).with(0);
    // A busy machine may be slower than the limit, never quicker: a burst of half a second apart.
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(fs::read(bed.path("l/there/big.bin")).unwrap(), content);
    for log in ["l/l.log", "s/up.log"] {
        let text = fs::read_to_string(bed.path(log)).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(lines.len() >= 2, "{log}: {text}");
        assert!(lines.iter().all(|line| line["event"] == "progress"), "{text}");
    }
    let text = fs::read_to_string(bed.path("l/l.log")).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["size"], &last["done"]), (&600_000.into(), &600_000.into()));
}

#[test]
fn a_log_that_cannot_be_written_is_one_line() {
    let bed = Bed::new("terms-log");
    let line = "leecher --want x --stats-log none/x.log";
    bed.start("l", &words(line)).ends().one_line(4, &["--stats-log", "none/x.log"]);
}
