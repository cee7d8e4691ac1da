//! Leechers that are killed at any moment and started again: nothing that was written is lost, and
//! little is read again.

use crate::bed::{Bed, noise};
use rustix::process::Signal;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

const SIZE: usize = 64 << 20;
const KILLS: u64 = 20;
/// What may be read again after a kill.
const CHECKED_BYTES_MAX: u64 = 64 << 20;

/// A number of the first event of a kind in a story of JSON lines.
fn number(story: &str, kind: &str, fact: &str) -> Option<u64> {
    let lines = story.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut events = lines.filter(|event: &serde_json::Value| event["event"] == kind);
    events.next()?[fact].as_u64()
}

#[test]
fn a_leecher_that_is_killed_at_any_moment_ends_with_the_bytes_of_the_source() {
    let bed = Bed::new("kills");
    let bytes = noise(9, SIZE);
    bed.file("seeder/big.zip", &bytes);
    let tracker = bed.tracker();
    let _seeder = tracker.seeder(&bed, "seeder", "big.zip", "");
    let (mut kept, mut resumed) = (0, 0);
    for kill in 0..KILLS {
        let leecher = tracker.leecher(&bed, "leecher", "big.zip", "--json");
        // Moments between the first steps and the last ones, the same in every run.
        let until = Instant::now() + Duration::from_millis(20 + kill * 7919 % 140);
        while Instant::now() < until {
            thread::yield_now();
        }
        let ended = leecher.ended_by(Signal::KILL);
        if let Some(now) = number(&ended.out, "resumed", "kept") {
            resumed += 1;
            assert!(now >= kept, "kill {kill}: {now} bytes kept after {kept}");
            kept = now;
            let checked = number(&ended.out, "resumed", "checked").unwrap();
            assert!(checked <= CHECKED_BYTES_MAX, "kill {kill}: {checked} bytes read again");
        }
        if bed.names("leecher") == ["big.zip"] {
            assert!(fs::read(bed.path("leecher/big.zip")).unwrap() == bytes, "kill {kill}");
            fs::remove_file(bed.path("leecher/big.zip")).unwrap();
            kept = 0;
        }
    }
    assert!(resumed > 0, "no kill came in the middle");
    tracker.fetch(&bed, "leecher", "big.zip", "").with(0);
    assert!(fs::read(bed.path("leecher/big.zip")).unwrap() == bytes);
    assert_eq!(bed.names("leecher"), ["big.zip"]);
}
