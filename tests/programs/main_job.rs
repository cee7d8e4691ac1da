//! One file, by name, from one to many.

use crate::bed::{Bed, noise};
use rustix::process::Signal;
use std::fs;

/// Sizes at the borders of blocks (16 KiB) and pieces (16 KiB up to 4 MiB, then 256 KiB).
const SIZES: [usize; 12] = [
    0,
    1,
    1024,
    16 * 1024 - 1,
    16 * 1024,
    16 * 1024 + 1,
    3 * 16 * 1024,
    4 * 1024 * 1024 - 1,
    4 * 1024 * 1024,
    4 * 1024 * 1024 + 1,
    4 * 1024 * 1024 + 256 * 1024,
    4 * 1024 * 1024 + 256 * 1024 + 16 * 1024 + 1,
];

#[test]
fn three_leechers_get_the_file_bit_for_bit() {
    let bed = Bed::new("three");
    let bytes = noise(1, 20_000_003);
    bed.file("seeder/big.zip", &bytes);
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "seeder", "big.zip", "");
    let whos = ["one", "two", "three"];
    let leechers = whos.map(|who| tracker.leecher(&bed, who, "big.zip", ""));
    for (who, leecher) in whos.iter().zip(leechers) {
        let ended = leecher.ends().with(0);
        let path = bed.path(who).join("big.zip");
        assert!(fs::read(&path).unwrap() == bytes, "{who}: other bytes");
        assert_eq!(bed.names(who), ["big.zip"], "it left something behind");
        let line = ended.out.lines().find(|line| line.starts_with("complete ")).expect(&ended.out);
        assert!(line.contains(path.to_str().unwrap()), "{line}");
    }
    assert!(!seeder.has_said("error"), "{}", seeder.story());
}

#[test]
fn every_size_at_a_border_arrives() {
    let bed = Bed::new("sizes");
    let tracker = bed.tracker();
    for size in SIZES {
        let (name, bytes) = (format!("f{size}"), noise(size as u64, size));
        bed.file(&format!("seeder/{name}"), &bytes);
        let seeder = tracker.seeder(&bed, "seeder", &name, "");
        tracker.fetch(&bed, "leecher", &name, "").with(0);
        assert!(fs::read(bed.path("leecher").join(&name)).unwrap() == bytes, "{size} bytes");
        seeder.ended_by(Signal::INT).with(130);
    }
}

#[test]
fn a_latecomer_is_served_by_the_first_leecher_when_the_seeder_is_gone() {
    let bed = Bed::new("late");
    let bytes = noise(2, 5_000_000);
    bed.file("seeder/big.zip", &bytes);
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "seeder", "big.zip", "");
    let first = tracker.leecher(&bed, "first", "big.zip", "--keep-seeding");
    assert!(first.says("complete").starts_with("complete "));
    seeder.ended_by(Signal::INT).with(130);
    tracker.fetch(&bed, "late", "big.zip", "").with(0);
    assert!(fs::read(bed.path("late/big.zip")).unwrap() == bytes);
    first.ended_by(Signal::TERM).with(143);
}
