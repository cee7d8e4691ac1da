//! A hundred leechers before one slot, as processes.

use crate::bed::{Bed, noise};
use std::fs;

const CROWD: usize = 100;

/// The value of a field of one JSON line, as it stands there.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{key}\":"))?;
    rest.split([',', '}']).next().map(|value| value.trim_matches('"'))
}

#[test]
fn a_hundred_processes_get_one_slot_in_the_order_they_queued_for_it() {
    let bed = Bed::new("crowd");
    let bytes = noise(50, 300_000);
    bed.file("seeder/big.zip", &bytes);
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "seeder", "big.zip", "--slots 1 --json -v");
    let whos: Vec<String> = (0..CROWD).map(|n| format!("crowd{n}")).collect();
    let leechers: Vec<_> =
        whos.iter().map(|who| tracker.leecher(&bed, who, "big.zip", "")).collect();
    for (who, leecher) in whos.iter().zip(leechers) {
        leecher.ends().with(0);
        assert!(fs::read(bed.path(who).join("big.zip")).unwrap() == bytes, "{who}: other bytes");
    }
    let kib = crate::attacks::peak_kib(&seeder);
    let story = seeder.story();
    let (mut waiting, mut granted, mut queued) = (Vec::new(), 0, 0);
    for line in story.lines() {
        let Some(peer) = field(line, "peer") else { continue };
        let waited = field(line, "waited") == Some("1");
        match field(line, "event") {
            Some("queued") => {
                queued += 1;
                waiting.push(peer);
            }
            Some("slot") => {
                granted += 1;
                let place = waiting.iter().position(|waits| *waits == peer);
                assert_eq!(place.is_some(), waited, "{peer} passed {waiting:?}");
                // Whoever stood before it left: none of them is served without waiting anew.
                drop(waiting.drain(..place.map_or(waiting.len(), |place| place + 1)));
            }
            _ => {}
        }
    }
    assert!(granted > 0 && queued > 0, "{granted} granted, {queued} queued\n{story}");
    assert!(kib < 64 * 1024, "the seeder grew to {kib} KiB");
}
