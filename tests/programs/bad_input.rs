//! What people and trackers get wrong: each is told in one line, and nothing is lost or written
//! where it must not be.

use crate::bed::{Bed, Lmk, noise, words};
use crate::gate::Gate;
use crate::script::{Script, content, listed};
use lmk::content::metainfo::V2;
use rustix::process::Signal;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

#[test]
fn what_is_no_file_is_not_seeded() {
    let bed = Bed::new("no-file");
    bed.folder("seeder/folder");
    symlink("nowhere", bed.path("seeder/dangling")).unwrap();
    let fifo = bed.path("seeder/fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(bed.path("seeder/socket")).unwrap();
    for (file, why) in [
        ("missing", "no such file; check the path"),
        ("dangling", "no such file; check the path"),
        ("fifo", "it is not a regular file; name a file or a folder"),
        ("socket", "it is not a regular file; name a file or a folder"),
        ("/dev/null", "it is not a regular file; name a file or a folder"),
    ] {
        let ended = bed.run("seeder", &format!("seeder --file {file} --tracker 127.0.0.1:1"));
        ended.one_line(4, &[file, why, "--file"]);
    }
    for file in ["folder", "folder/"] {
        let ended = bed.run("seeder", &format!("seeder --file {file} --tracker 127.0.0.1:1"));
        ended.one_line(2, &["folder", "there is no file in it; put some there"]);
    }
}

#[test]
fn a_link_to_a_file_is_seeded_under_the_name_of_the_link() {
    let bed = Bed::new("link");
    symlink(bed.file("real", b"bytes"), bed.folder("seeder").join("f")).unwrap();
    let tracker = bed.tracker();
    let _seeder = tracker.seeder(&bed, "seeder", "f", "");
    tracker.fetch(&bed, "leecher", "f", "").with(0);
    assert_eq!(fs::read(bed.path("leecher/f")).unwrap(), b"bytes");
}

#[test]
fn a_complete_target_is_said_and_left_alone() {
    let bed = Bed::new("complete");
    bed.file("seeder/f", b"bytes");
    let path = bed.file("leecher/f", b"bytes");
    let before = fs::metadata(&path).unwrap();
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "seeder", "f", "");
    let ended = tracker.fetch(&bed, "leecher", "f", "").with(0);
    let line = ended.out.lines().next().unwrap();
    assert!(line.starts_with("complete ") && line.contains(path.to_str().unwrap()), "{line}");
    assert!(line.contains("already") && line.contains("--out"), "{line}");
    let after = fs::metadata(&path).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    assert_eq!(bed.names("leecher"), ["f"]);
    // With --keep-seeding it is a source at once.
    let keeps = tracker.leecher(&bed, "leecher", "f", "--keep-seeding");
    keeps.says("complete ");
    seeder.ended_by(Signal::INT).with(130);
    tracker.fetch(&bed, "other", "f", "").with(0);
}

#[test]
fn the_file_goes_where_it_is_told() {
    let bed = Bed::new("out");
    bed.file("seeder/f", b"bytes");
    let tracker = bed.tracker();
    let _seeder = tracker.seeder(&bed, "seeder", "f", "");
    bed.folder("leecher/folder");
    bed.folder("elsewhere");
    symlink(bed.path("elsewhere"), bed.path("leecher/link")).unwrap();
    let absolute = bed.path("absolute");
    for (out, becomes) in [
        ("folder", "leecher/folder/f"),
        ("folder/", "leecher/folder/f"),
        ("folder/g", "leecher/folder/g"),
        ("h", "leecher/h"),
        ("link", "elsewhere/f"),
        ("link/i", "elsewhere/i"),
        (".", "leecher/f"),
        (absolute.to_str().unwrap(), "absolute"),
    ] {
        let ended = tracker.fetch(&bed, "leecher", "f", &format!("--out {out}")).with(0);
        let shown = if out.starts_with('/') { out.to_owned() } else { format!("leecher/{out}") };
        assert!(ended.out.contains(&shown.replace("/.", "")), "{out}: {}", ended.out);
        assert_eq!(fs::read(bed.path(becomes)).unwrap(), b"bytes", "{out}");
        fs::remove_file(bed.path(becomes)).unwrap();
    }
    assert_eq!(bed.names("leecher"), ["folder", "link"]);
}

#[test]
fn a_file_whose_name_cannot_be_published_takes_another() {
    let bed = Bed::new("names");
    let tracker = bed.tracker();
    let at = tracker.at.to_string();
    let names: [&[u8]; 7] = [
        b"line\nbreak",
        b"\x1b[2Jclear",
        b"trailing ",
        b" leading",
        b"back\\slash",
        b"latin-\xe9",
        "turn\u{202e}txt.exe".as_bytes(),
    ];
    for (n, name) in names.into_iter().enumerate() {
        let folder = bed.folder("seeder");
        fs::write(folder.join(OsStr::from_bytes(name)), [n as u8]).unwrap();
        let seed = |more: &[&str]| {
            let mut command = bed.command("seeder");
            command.args(["seeder", "--tracker", &at, "--file"]).arg(OsStr::from_bytes(name));
            Lmk::run("seeder", {
                command.args(more);
                command
            })
        };
        let line = seed(&[]).ends().one_line(2, &["--as NAME", "the name "]);
        assert!(!line.contains(['\x1b', '\u{202e}']), "{line:?}");
        let new_name = format!("plain-{n}");
        let seeder = seed(&["--as", &new_name]);
        seeder.says(&format!("seeding {new_name} "));
        tracker.fetch(&bed, "leecher", &new_name, "").with(0);
        assert_eq!(fs::read(bed.path("leecher").join(new_name)).unwrap(), [n as u8]);
        for bad in ["", "a/b", "..", "a\nb", " a"] {
            seed(&["--as", bad]).ends().one_line(2, &["--as", "name"]);
        }
    }
}

#[test]
fn a_name_is_found_in_either_form_of_unicode() {
    let bed = Bed::new("nfd");
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    bed.file(&format!("seeder/{decomposed}"), b"bytes");
    let tracker = bed.tracker();
    let seeder = tracker.seeder_starts(&bed, "seeder", decomposed, "");
    seeder.says(&format!("seeding {composed} "));
    for (who, want) in [("one", composed), ("two", decomposed)] {
        tracker.fetch(&bed, who, want, "").with(0);
        assert_eq!(bed.names(who), [composed]);
    }
    seeder.ended_by(Signal::INT).with(130);
    let seeder = tracker.seeder_starts(&bed, "seeder", decomposed, &format!("--as {decomposed}"));
    seeder.says(&format!("seeding {composed} "));
}

#[test]
fn names_that_a_tracker_makes_up_are_refused() {
    let bed = Bed::new("evil-names");
    let names = ["../../x", "/tmp/lmk-evil", "..", "a/b", "x\x1b[2J", "x\u{202e}", "", "x\ny"];
    let leechers = names.map(|name| {
        let mut script = Script::of("f", b"bytes");
        let evil = listed(name, &content("f", b"bytes"));
        script.entries.insert(0, evil);
        let at = script.play(bed.ip(0));
        (name, bed.start("deep/er/leecher", &words(&format!("leecher --want f --tracker {at}"))))
    });
    for (name, leecher) in leechers {
        let line = leecher.ends().one_line(5, &["is of no use", "name"]);
        assert!(!line.contains(['\x1b', '\u{202e}']), "{name:?}: {line:?}");
    }
    assert!(bed.names("deep/er/leecher").is_empty());
    assert_eq!((bed.names("deep"), bed.names("")), (vec!["er".into()], vec!["deep".into()]));
    assert!(!Path::new("/tmp/lmk-evil").exists());
}

#[test]
fn names_inside_metainfo_lead_nowhere() {
    let bed = Bed::new("evil-info");
    let bytes = noise(30, 40_000);
    let honest = content("f", &bytes);
    let v2 = honest.v2.clone().unwrap();
    for name in [&b"../../x"[..], b"/x", b"..", b"a/b", b"x\0y", b""] {
        let (root, nodes) = (v2.trees.files()[0].root, v2.trees.nodes());
        let evil = V2::write(name, &honest.geometry, root, nodes).unwrap();
        let mut script = Script::of("f", &bytes);
        script.entries[0].entry.v2 = Some(evil.info_hash);
        script.info = evil.info;
        let at = script.play(bed.ip(0));
        let ended = bed.run("deep/er/leecher", &format!("leecher --want f --tracker {at}"));
        let line = ended.one_line(6, &["metainfo of f is wrong", "nothing was written"]);
        assert!(!line.contains('\x1b'), "{line:?}");
        assert!(bed.names("deep/er/leecher").is_empty());
    }
    assert_eq!((bed.names("deep"), bed.names("")), (vec!["er".into()], vec!["deep".into()]));
}

#[test]
fn a_file_that_changes_while_it_is_hashed_is_not_published() {
    let bed = Bed::new("changes");
    // Of no bytes on the disk and long enough to be met in the middle.
    let file = fs::File::create(bed.folder("seeder").join("f")).unwrap();
    file.set_len(8 << 30).unwrap();
    let tracker = bed.tracker();
    let seeder = tracker.seeder_starts(&bed, "seeder", "f", "");
    seeder.says("hashing f");
    file.set_len(1 << 20).unwrap();
    seeder.ends().one_line(4, &["seeder/f", "changed while it was hashed"]);
    assert!(!tracker.lmk.has_said("published"));
}

#[test]
fn a_file_that_changes_while_it_is_seeded_reaches_nobody() {
    let bed = Bed::new("rots");
    let bytes = noise(31, 3_000_000);
    let path = bed.file("seeder/big.zip", &bytes);
    let gate = Gate::new(&bed, 1_000_000);
    let tracker = bed.tracker();
    let seeder = gate.seeder(&tracker, &bed, "big.zip", "");
    let leecher = tracker.leecher(&bed, "leecher", "big.zip", "--timeout 1s");
    leecher.says("downloading ");
    // Everything that is on its way is one thing, everything still to be read is another.
    fs::write(&path, noise(32, 3_000_000)).unwrap();
    leecher.ended_by(Signal::KILL);
    let again = tracker.leecher(&bed, "leecher", "big.zip", "--timeout 1s");
    gate.open();
    let ended = again.ends().with(9);
    // Not even a byte that its hash would have to catch.
    assert!(!ended.err.contains("does not match its hash"), "{}", ended.err);
    seeder.ends().one_line(4, &["big.zip changed on disk; no longer sharing it"]);
    assert_eq!(bed.names("leecher"), ["big.zip.lmk-part", "big.zip.lmk-resume"]);
    // With the true bytes again it goes on from what was good.
    fs::write(&path, &bytes).unwrap();
    let _good = tracker.seeder(&bed, "good", path.to_str().unwrap(), "");
    let ended = tracker.fetch(&bed, "leecher", "big.zip", "").with(0);
    assert!(ended.err.contains("of an earlier run are good"), "{}", ended.err);
    assert!(fs::read(bed.path("leecher/big.zip")).unwrap() == bytes);
}
