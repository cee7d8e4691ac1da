//! Programs that die in the middle and come back: nothing is lost, and each says what it waits for.

use crate::bed::{Bed, noise};
use crate::gate::Gate;
use rustix::process::Signal;
use std::fs;

const MIDDLE: usize = 1_000_000;

#[test]
fn a_tracker_that_dies_and_returns_is_published_to_again() {
    let bed = Bed::new("tracker-dies");
    let bytes = noise(3, 3_000_000);
    bed.file("seeder/big.zip", &bytes);
    let gate = Gate::new(&bed, MIDDLE);
    let tracker = bed.tracker();
    let seeder = gate.seeder(&tracker, &bed, "big.zip", "");
    let running = tracker.leecher(&bed, "running", "big.zip", "");
    running.says("downloading ");

    let at = tracker.at;
    tracker.lmk.ended_by(Signal::KILL);
    seeder.says("trying again");
    gate.open();
    running.ends().with(0);
    assert!(fs::read(bed.path("running/big.zip")).unwrap() == bytes);

    let tracker = bed.tracker_at(at);
    tracker.lmk.says("as a source");
    tracker.fetch(&bed, "later", "big.zip", "").with(0);
    assert!(fs::read(bed.path("later/big.zip")).unwrap() == bytes);
}

#[test]
fn a_leecher_waits_for_a_killed_seeder_and_goes_on_when_it_returns() {
    let bed = Bed::new("seeder-dies");
    let bytes = noise(4, 3_000_000);
    bed.file("seeder/big.zip", &bytes);
    let gate = Gate::new(&bed, MIDDLE);
    let tracker = bed.tracker();
    let seeder = gate.seeder(&tracker, &bed, "big.zip", "");
    let leecher = tracker.leecher(&bed, "leecher", "big.zip", "");
    leecher.says("downloading ");

    seeder.ended_by(Signal::KILL);
    gate.cut();
    assert!(leecher.says("no source has big.zip now; waiting").starts_with("warning: "));
    let seeder = gate.seeder(&tracker, &bed, "big.zip", "");
    seeder.says("remembered");
    gate.open();
    leecher.ends().with(0);
    assert!(fs::read(bed.path("leecher/big.zip")).unwrap() == bytes);
}

#[test]
fn a_leecher_that_was_killed_goes_on_where_it_was() {
    let bed = Bed::new("leecher-dies");
    let bytes = noise(5, 3_000_000);
    bed.file("seeder/big.zip", &bytes);
    let gate = Gate::new(&bed, MIDDLE);
    let tracker = bed.tracker();
    let _seeder = gate.seeder(&tracker, &bed, "big.zip", "");
    let killed = tracker.leecher(&bed, "leecher", "big.zip", "");
    killed.says("downloading ");
    killed.ended_by(Signal::KILL);
    assert_eq!(bed.names("leecher"), ["big.zip.lmk-part", "big.zip.lmk-resume"]);

    let interrupted = tracker.leecher(&bed, "leecher", "big.zip", "");
    assert!(interrupted.says("of an earlier run are good").contains("KiB"));
    let ended = interrupted.ended_by(Signal::INT).with(130);
    assert!(ended.err.contains("run the same command to go on"), "{}", ended.err);
    assert_eq!(bed.names("leecher"), ["big.zip.lmk-part", "big.zip.lmk-resume"]);

    gate.open();
    let ended = tracker.fetch(&bed, "leecher", "big.zip", "").with(0);
    assert!(ended.err.contains("of an earlier run are good"), "{}", ended.err);
    assert!(fs::read(bed.path("leecher/big.zip")).unwrap() == bytes);
    assert_eq!(bed.names("leecher"), ["big.zip"]);
}

#[test]
fn a_leecher_without_a_slot_waits_for_its_turn() {
    let bed = Bed::new("slots");
    // More than all the buffers on the way can hold: what is not taken keeps the slot.
    let bytes = noise(6, 30_000_000);
    bed.file("seeder/big.zip", &bytes);
    let gate = Gate::new(&bed, MIDDLE);
    let tracker = bed.tracker();
    let seeder = gate.seeder(&tracker, &bed, "big.zip", "-v --slots 1");
    // No way to a leecher but through the gate: the tracker names places where nobody listens.
    let more = |n| format!("-v --listen {}:0", bed.ip(n));
    let first = tracker.leecher(&bed, "first", "big.zip", &more(2));
    first.says("source ");
    first.says(": Connected");
    let second = tracker.leecher(&bed, "second", "big.zip", &more(3));
    second.says(": Unavailable");
    seeder.says(": Connected");
    seeder.says(": Unavailable");
    gate.open();
    for (who, leecher) in [("first", first), ("second", second)] {
        leecher.ends().with(0);
        assert!(fs::read(bed.path(who).join("big.zip")).unwrap() == bytes, "{who}");
    }
}

#[test]
fn a_seeder_that_starts_before_its_tracker_waits_for_it() {
    let bed = Bed::new("no-tracker-yet");
    bed.file("seeder/f", b"early");
    let tracker = bed.tracker();
    let at = tracker.at;
    tracker.lmk.ended_by(Signal::KILL);
    let args = ["seeder", "--file", "f", "--tracker", &at.to_string()];
    let seeder = bed.start("seeder", &args);
    seeder.says("does not answer; trying again");
    let tracker = bed.tracker_at(at);
    seeder.says("answers again");
    seeder.says("seeding f");
    tracker.fetch(&bed, "leecher", "f", "").with(0);
}
