//! The seeder's file is changed while it is sent: no byte of it is taken for the old one, the
//! seeder says so and ends, and the tracker forgets the name.

use crate::bed::{Bed, noise};
use rustix::process::Signal;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SIZE: usize = 96_000_000;
const SAYS: &str = "big.zip changed on disk; no longer sharing it";

/// Plays the change `how` in the middle of a transfer.
fn changed(name: &str, how: impl FnOnce(&Path)) {
    let bed = Bed::new(&format!("changed-{name}"));
    let bytes = noise(11, SIZE);
    let file = bed.file("seeder/big.zip", &bytes);
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "seeder", "big.zip", "");
    let leecher = tracker.leecher(&bed, "leecher", "big.zip", "-v");
    leecher.says("first payload after");
    how(&file);
    seeder.ends().one_line(4, &[SAYS, "run the same command"]);
    let ended = leecher.ended_by(Signal::INT);
    let whole = fs::read(bed.path("leecher/big.zip"));
    assert_eq!(ended.code == Some(0), whole.is_ok(), "{}", ended.err);
    assert!(whole.is_err() || whole.unwrap() == bytes, "{name}: a file of mixed bytes");
    tracker.fetch(&bed, "late", "big.zip", "--timeout 2s").one_line(3, &["big.zip"]);
}

#[test]
fn rewritten_in_place() {
    changed("rewritten", |path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let other = noise(12, 1 << 20);
        (0..SIZE as u64 >> 20).for_each(|n| file.write_all_at(&other, n << 20).unwrap());
    });
}

#[test]
fn appended_to() {
    changed("appended", |path| {
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"one more line\n").unwrap();
    });
}

#[test]
fn truncated() {
    changed("truncated", |path| {
        OpenOptions::new().write(true).open(path).unwrap().set_len(1_000_000).unwrap();
    });
}

#[test]
fn replaced_by_rename() {
    changed("replaced", |path| {
        let beside = path.with_extension("new");
        fs::write(&beside, noise(13, SIZE)).unwrap();
        fs::rename(beside, path).unwrap();
    });
}

#[test]
fn removed() {
    changed("removed", |path| fs::remove_file(path).unwrap());
}

#[test]
fn while_nobody_reads_it_and_with_its_old_time() {
    let bed = Bed::new("changed-idle");
    let file = bed.file("seeder/big.zip", &noise(14, 100_000));
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "seeder", "big.zip", "");
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    let opened = OpenOptions::new().write(true).open(&file).unwrap();
    opened.write_all_at(b"other", 7).unwrap();
    opened.set_modified(before).unwrap();
    seeder.ends().one_line(4, &[SAYS]);
}

/// A leecher that goes on sharing is held to what it fetched, as a seeder to what it hashed.
#[test]
fn edited_at_a_leecher_that_keeps_seeding() {
    for there_already in [false, true] {
        let bed = Bed::new("changed-kept");
        let bytes = noise(15, SIZE);
        bed.file("seeder/big.zip", &bytes);
        let tracker = bed.tracker();
        let seeder = tracker.seeder(&bed, "seeder", "big.zip", "");
        let file = bed.path("keeps/big.zip");
        if there_already {
            bed.file("keeps/big.zip", &bytes);
        }
        let keeps = tracker.leecher(&bed, "keeps", "big.zip", "--keep-seeding");
        keeps.says("listening on ");
        seeder.ended_by(Signal::INT).with(130);
        let leecher = tracker.leecher(&bed, "leecher", "big.zip", "-v");
        leecher.says("first payload after");
        let opened = OpenOptions::new().write(true).open(&file).unwrap();
        let other = noise(16, 1 << 20);
        (0..SIZE as u64 >> 20).for_each(|n| opened.write_all_at(&other, n << 20).unwrap());
        keeps.ends().one_line(4, &[SAYS, "fetch it again"]);
        assert!(!leecher.has_said("does not match"), "a wrong byte left: {}", leecher.story());
        leecher.ended_by(Signal::INT);
        let whole = fs::read(bed.path("leecher/big.zip"));
        assert!(whole.is_err() || whole.unwrap() == bytes, "a file of mixed bytes");
    }
}
