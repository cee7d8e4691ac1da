//! Signed entries: `lmk keygen`, `--sign`, `--publisher`, and trackers that lie about them.

use crate::access::ends_with;
use crate::bed::{Bed, noise};
use crate::script::Script;
use lmk::wire::catalogue::signature::SecretKey;
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Makes a key in the folder `who`; its public half.
fn keygen(bed: &Bed, who: &str) -> String {
    let made = bed.run(who, "keygen --out release.key").with(0);
    assert_eq!(made.out.lines().count(), 1, "{}", made.out);
    made.out.trim().to_owned()
}

#[test]
fn a_key_is_made_once_and_its_secret_is_for_its_owner_alone() {
    let bed = Bed::new("keygen");
    let key = keygen(&bed, "ann");
    assert!(key.starts_with("ed25519:") && key.len() == 8 + 64, "{key}");
    let path = bed.path("ann/release.key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = SecretKey::read_file(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(secret.public().to_string(), key);
    bed.run("ann", "keygen --out release.key").one_line(7, &["release.key", "exists", "--out"]);
    assert_eq!(SecretKey::read_file(&fs::read(&path).unwrap()), Some(secret), "not overwritten");
    assert_eq!(bed.run("ann", "keygen").with(0).out.lines().count(), 1);
    assert!(bed.path("ann/.state/lmk/publisher.key").exists());
}

#[test]
fn a_pinned_leecher_takes_what_its_publisher_signed_and_nothing_else() {
    let bed = Bed::new("signed");
    let (ann, eve) = (keygen(&bed, "ann"), keygen(&bed, "eve"));
    assert_ne!(ann, eve);
    let (real, fake) = (noise(80, 200_000), noise(81, 200_000));
    bed.file("ann/big.zip", &real);
    bed.file("eve/big.zip", &fake);
    let tracker = bed.tracker();
    let _eve = tracker.seeder(&bed, "eve", "big.zip", "--sign release.key");
    bed.file("lee/ann.pub", format!("{ann}\n").as_bytes());
    let pinned = "--publisher ann.pub";
    tracker.fetch(&bed, "lee", "big.zip", pinned).one_line(3, &["big.zip", "signed", &ann]);
    assert!(!bed.path("lee/big.zip").exists());
    let _ann = tracker.seeder(&bed, "ann", "big.zip", "--sign release.key");
    tracker.fetch(&bed, "lee", "big.zip", pinned).with(0);
    assert_eq!(fs::read(bed.path("lee/big.zip")).unwrap(), real);
    tracker.fetch(&bed, "lou", &format!("big.zip@{ann}"), "").with(0);
    assert_eq!(fs::read(bed.path("lou/big.zip")).unwrap(), real);
    tracker.fetch(&bed, "lea", "big.zip", "").one_line(8, &["2 different contents"]);
    let info = bed.run("lee", &format!("info big.zip --tracker {}", tracker.at)).with(0);
    assert!(info.out.contains(&ann) && info.out.contains(&eve), "{}", info.out);

    bed.file("lee/secret", &fs::read(bed.path("eve/release.key")).unwrap());
    let wrong = tracker.fetch(&bed, "lee", "big.zip", "--publisher secret");
    wrong.one_line(2, &["secret is a secret key"]);
    tracker.fetch(&bed, "lee", "big.zip", "--publisher none").one_line(4, &["none"]);
    let wrong = tracker.seeder_starts(&bed, "ann", "big.zip", "--sign big.zip").ends();
    wrong.one_line(2, &["big.zip holds no secret key", "lmk keygen"]);
}

#[test]
fn two_publishers_of_one_content_are_both_listed() {
    let bed = Bed::new("signed-twice");
    let (ann, eve) = (keygen(&bed, "ann"), keygen(&bed, "eve"));
    let bytes = noise(82, 100_000);
    bed.file("ann/f", &bytes);
    bed.file("eve/f", &bytes);
    let tracker = bed.tracker();
    let _eve = tracker.seeder(&bed, "eve", "f", "--sign release.key");
    let _ann = tracker.seeder(&bed, "ann", "f", "--sign release.key");
    for key in [ann, eve] {
        tracker.fetch(&bed, "lee", "f", &format!("--overwrite --publisher {key}")).with(0);
    }
    tracker.fetch(&bed, "lou", "f", "").with(0);
}

#[test]
fn a_signature_outlives_its_publisher_and_a_tracker_that_is_killed() {
    let bed = Bed::new("signed-killed");
    let ann = keygen(&bed, "ann");
    let bytes = noise(85, 200_000);
    bed.file("ann/f", &bytes);
    let tracker = bed.tracker();
    let at = tracker.at;
    let seeder = tracker.seeder(&bed, "ann", "f", "--sign release.key");
    // Somebody who has the bytes and not the key.
    let other = tracker.leecher(&bed, "lou", "f", "--keep-seeding");
    other.says("complete ");
    seeder.ended_by(Signal::KILL);
    tracker.lmk.ended_by(Signal::KILL);
    let tracker = bed.tracker_at(at);
    // Whether a name has had a source is written within a second: one that was killed before waits
    // for the next announce of somebody who has it.
    let info = ends_with(0, || bed.run("lee", &format!("info f --tracker {at}")));
    assert!(info.out.contains(&format!("signed    {ann}")), "{}", info.out);
    tracker.fetch(&bed, "lee", "f", &format!("--publisher {ann}")).with(0);
    assert_eq!(fs::read(bed.path("lee/f")).unwrap(), bytes);
    other.ended_by(Signal::TERM);
}

#[test]
fn a_tracker_that_lies_about_a_signature_is_not_believed() {
    let bed = Bed::new("signed-lies");
    let (ann, eve) = (SecretKey([1; 32]), SecretKey([2; 32]));
    let bytes = noise(83, 100_000);
    let script = || Script::of("big.zip", &bytes);
    let key = ann.public().to_string();
    let fetch = |script: Script| {
        let at = script.play(bed.ip(1));
        bed.run("lee", &format!("leecher --want big.zip --tracker {at} --publisher {key}"))
    };
    fetch(script()).one_line(3, &["nothing that", &key, "signed"]);
    // Signed by another, under the right name and under a claimed one.
    let mut others = script();
    let signed = eve.sign(&others.entries[0].entry);
    others.entries[0].entry.signed = Some(Box::new(signed));
    fetch(others).one_line(3, &[&key]);
    let mut claimed = script();
    let signature = eve.sign(&claimed.entries[0].entry).signature;
    let mut forged = ann.sign(&claimed.entries[0].entry);
    forged.signature = signature;
    claimed.entries[0].entry.signed = Some(Box::new(forged));
    fetch(claimed).one_line(6, &["signature", &key, "nothing was fetched"]);
    // The signature is right, for what the publisher had under another name.
    let mut renamed = script();
    let mut real = renamed.entries[0].entry.clone();
    real.name = "old.zip".into();
    renamed.entries[0].entry.signed = Some(Box::new(ann.sign(&real)));
    fetch(renamed).one_line(6, &["signature"]);
    // The entry is right, and the metainfo that follows is another one.
    let mut swapped = script();
    swapped.entries[0].entry.signed = Some(Box::new(ann.sign(&swapped.entries[0].entry)));
    let other = Script::of("big.zip", &noise(84, 100_000));
    (swapped.info, swapped.layers) = (other.info, other.layers);
    fetch(swapped).one_line(6, &["does not match its hash"]);
    assert!(bed.names("lee").is_empty());
}
