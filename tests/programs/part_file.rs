//! The part file of a running leecher: nobody else takes it, what others do to it is found, what
//! the leecher does to it alarms nobody, and the mode of the target is that of a new file.

use crate::bed::{Bed, noise};
use crate::gate::Gate;
use rustix::process::Signal;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

const CHANGED: &str = "part file was changed by another program";

#[test]
fn a_large_download_takes_none_of_its_own_writes_for_those_of_others() {
    let bed = Bed::new("own-writes");
    let bytes = noise(21, 256 << 20);
    bed.file("seeder/big.zip", &bytes);
    let tracker = bed.tracker();
    let _seeder = tracker.seeder(&bed, "seeder", "big.zip", "");
    let ended = tracker.fetch(&bed, "leecher", "big.zip", "-v").with(0);
    assert!(!ended.err.contains(CHANGED), "{}", ended.err);
    assert!(fs::read(bed.path("leecher/big.zip")).unwrap() == bytes);
}

/// Somebody does `how` to the part file in the middle of a download.
fn touched(name: &str, how: impl FnOnce(&Path)) {
    let bed = Bed::new(&format!("touched-{name}"));
    let bytes = noise(22, 6_000_000);
    bed.file("seeder/big.zip", &bytes);
    let gate = Gate::new(&bed, 3_000_000);
    let tracker = bed.tracker();
    let _seeder = gate.seeder(&tracker, &bed, "big.zip", "");
    let leecher = tracker.leecher(&bed, "leecher", "big.zip", "-v");
    leecher.says("first payload after");
    how(&bed.path("leecher/big.zip.lmk-part"));
    gate.open();
    leecher.says(CHANGED);
    leecher.ends().with(0);
    assert!(fs::read(bed.path("leecher/big.zip")).unwrap() == bytes, "{name}");
    assert_eq!(bed.names("leecher"), ["big.zip"], "{name}");
}

#[test]
fn an_edit_that_keeps_the_size_is_found() {
    touched("edited", |part| {
        let file = File::options().write(true).open(part).unwrap();
        file.write_all_at(&[7; 5_000_000], 0).unwrap();
    });
}

#[test]
fn an_edit_that_puts_the_time_back_is_found() {
    touched("time", |part| {
        let file = File::options().write(true).open(part).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(&[7; 5_000_000], 0).unwrap();
        file.set_modified(time).unwrap();
    });
}

#[test]
fn a_part_file_that_is_cut_off_is_found() {
    touched("cut", |part| File::options().write(true).open(part).unwrap().set_len(9).unwrap());
}

#[test]
fn a_part_file_that_is_removed_is_found() {
    touched("removed", |part| fs::remove_file(part).unwrap());
}

#[test]
fn the_lock_goes_with_its_process_and_is_told_while_it_holds() {
    let bed = Bed::new("lock");
    let bytes = noise(23, 3_000_000);
    bed.file("seeder/big.zip", &bytes);
    let gate = Gate::new(&bed, 1_000_000);
    let tracker = bed.tracker();
    let _seeder = gate.seeder(&tracker, &bed, "big.zip", "");
    let first = tracker.leecher(&bed, "leecher", "big.zip", "-v");
    first.says("first payload after");
    let holder = format!("another lmk (pid {}) is downloading this file", first.pid());
    tracker.fetch(&bed, "leecher", "big.zip", "").one_line(7, &[&holder]);
    // Of another target it is no business.
    let other = tracker.leecher(&bed, "leecher", "big.zip", "-v --out other");
    other.says("first payload after");
    first.ended_by(Signal::KILL);
    gate.open();
    tracker.fetch(&bed, "leecher", "big.zip", "").with(0);
    other.ends().with(0);
    for name in ["big.zip", "other"] {
        assert!(fs::read(bed.path("leecher").join(name)).unwrap() == bytes, "{name}");
    }
}

#[test]
fn two_leechers_of_one_target_end_with_one_good_file_whoever_comes_first() {
    let bed = Bed::new("race");
    let bytes = noise(24, 400_000);
    bed.file("seeder/big.zip", &bytes);
    let tracker = bed.tracker();
    let _seeder = tracker.seeder(&bed, "seeder", "big.zip", "");
    for round in 0..10 {
        let both = [(); 2].map(|()| tracker.leecher(&bed, "leecher", "big.zip", ""));
        let codes = both.map(|leecher| leecher.ends().code);
        assert!(codes.contains(&Some(0)), "round {round}: {codes:?}");
        assert!(codes.iter().all(|code| [Some(0), Some(7)].contains(code)), "{round}: {codes:?}");
        assert!(fs::read(bed.path("leecher/big.zip")).unwrap() == bytes, "round {round}");
        assert_eq!(bed.names("leecher"), ["big.zip"], "round {round}");
        fs::remove_file(bed.path("leecher/big.zip")).unwrap();
    }
}

#[test]
fn a_target_has_the_mode_of_a_new_file_whatever_its_part_had() {
    let bed = Bed::new("mode");
    let bytes = noise(25, 3_000_000);
    bed.file("seeder/big.zip", &bytes);
    let gate = Gate::new(&bed, 1_000_000);
    let tracker = bed.tracker();
    let _seeder = gate.seeder(&tracker, &bed, "big.zip", "");
    let first = tracker.leecher(&bed, "leecher", "big.zip", "-v");
    first.says("first payload after");
    first.ended_by(Signal::KILL);
    let part = bed.path("leecher/big.zip.lmk-part");
    fs::set_permissions(&part, Permissions::from_mode(0o4777)).unwrap();
    gate.open();
    tracker.fetch(&bed, "leecher", "big.zip", "").with(0);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let usual = bed.file("leecher/usual", b"");
    assert_eq!(mode(bed.path("leecher/big.zip")), mode(usual));
}
