//! Every exit code of the README, each by what earns it. Code 1 is for mistakes of the program
//! itself, and no way to one is known; 2 is also tested in `tests/cli.rs`.

use crate::bed::{Bed, Ended, Lmk, noise, words};
use crate::gate::Gate;
use crate::script::{Manners, Script, content};
use rustix::process::Signal;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn verified_is_0() {
    let bed = Bed::new("code-0");
    bed.file("seeder/f", b"bytes");
    let tracker = bed.tracker();
    let _seeder = tracker.seeder(&bed, "seeder", "f", "");
    tracker.fetch(&bed, "leecher", "f", "").with(0);
}

#[test]
fn a_wrong_command_line_is_2() {
    let bed = Bed::new("code-2");
    bed.run("a", "leecher").one_line(2, &["--want"]);
    bed.run("a", "seeder --file ..").one_line(2, &["directory"]);
}

#[test]
fn an_unknown_name_and_a_pin_that_fits_nothing_are_3() {
    let bed = Bed::new("code-3");
    bed.file("seeder/f", b"bytes");
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "seeder", "f", "");
    tracker.fetch(&bed, "leecher", "g", "").one_line(3, &["no content is named g"]);
    tracker.fetch(&bed, "leecher", "f@00000000", "").one_line(3, &["f is there", "pin"]);
    let pinned = format!("f@{}", &seeder.hash()[..8]);
    tracker.fetch(&bed, "leecher", &pinned, "").with(0);
    assert_eq!(bed.names("leecher"), ["f"]);
}

#[test]
fn what_the_disk_refuses_is_4() {
    let bed = Bed::new("code-4");
    bed.file("seeder/f", b"bytes");
    let tracker = bed.tracker();
    let _seeder = tracker.seeder(&bed, "seeder", "f", "");
    bed.run("a", "seeder --file missing").one_line(4, &["missing", "no such file"]);
    let ended = tracker.fetch(&bed, "leecher", "f", "--out none/");
    ended.one_line(4, &["none", "no such directory"]);
    let ended = tracker.fetch(&bed, "leecher", "f", "--out none/f");
    ended.one_line(4, &["none", "no such directory"]);
    let ended = tracker.fetch(&bed, "leecher", "f", "--out ../seeder/f/");
    ended.one_line(4, &["seeder/f", "no such directory"]);
    assert!(bed.names("leecher").is_empty());
}

/// A command as a user whom file permissions bind, or why there is none.
fn as_nobody(bed: &Bed, who: &str, line: &str) -> Result<Ended, String> {
    let lmk = env!("CARGO_BIN_EXE_lmk");
    let drop = words("--reuid=65534 --regid=65534 --clear-groups");
    let is_root = rustix::process::geteuid().is_root();
    let mut command = match is_root {
        true => Command::new("setpriv"),
        false => Command::new(lmk),
    };
    if is_root {
        let tried = Command::new("setpriv").args(&drop).args([lmk, "--version"]).output();
        match tried {
            Ok(ran) if ran.status.success() => {}
            Ok(ran) => return Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
            Err(error) => return Err(error.to_string()),
        }
        command.args(drop).arg(lmk);
    }
    command.args(words(line));
    Ok(Lmk::run(who, bed.dressed(who, command)).ends())
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_may_not_be_read_or_written_is_4() {
    let bed = Bed::new("code-4-denied");
    set_mode(&bed.file("seeder/f", b"bytes"), 0o644);
    set_mode(&bed.file("secret/s", b"bytes"), 0o000);
    let tracker = bed.tracker();
    let _seeder = tracker.seeder(&bed, "seeder", "f", "");
    set_mode(&bed.folder("leecher"), 0o555);
    let fetch = format!("leecher --want f --tracker {}", tracker.at);
    match as_nobody(&bed, "leecher", &fetch) {
        Ok(ended) => drop(ended.one_line(4, &["leecher/f", "permission denied"])),
        Err(why) => return println!("skipped: nobody is bound by permissions here ({why})"),
    }
    assert!(bed.names("leecher").is_empty());
    let seed = format!("seeder --file s --tracker {}", tracker.at);
    let ended = as_nobody(&bed, "secret", &seed).unwrap();
    ended.one_line(4, &["secret/s", "permission denied"]);
    set_mode(&bed.path("leecher"), 0o755);
    set_mode(&bed.path("secret/s"), 0o644);
}

#[test]
fn a_disk_too_small_is_4_before_anything_is_written() {
    let bed = Bed::new("code-4-small");
    bed.file("seeder/big.zip", &noise(7, 3_000_000));
    let tracker = bed.tracker();
    let _seeder = tracker.seeder(&bed, "seeder", "big.zip", "");
    bed.folder("leecher/small");
    // A file system of its own, seen by these processes alone and gone with them.
    let script = "mount -t tmpfs -o size=1m lmk-test small || exit 99; \
                  \"$0\" \"$@\"; code=$?; ls -A small >&2; exit $code";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_lmk")]);
    let tracker_at = tracker.at.to_string();
    command.args(["leecher", "--want", "big.zip", "--tracker", &tracker_at, "--out", "small"]);
    if Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|ran| ran.success()) {
        let ended = Lmk::run("leecher", bed.dressed("leecher", command)).ends();
        if ended.code == Some(99) {
            return println!("skipped: no file system may be mounted here: {}", ended.err);
        }
        assert!(!ended.err.contains("lmk-part"), "it left a part file: {}", ended.err);
        ended.one_line(4, &["big.zip", "2.9 MiB", "free", "--out"]);
    } else {
        println!("skipped: no mount namespaces here");
    }
}

#[test]
fn no_tracker_is_5_after_five_seconds() {
    let bed = Bed::new("code-5");
    // Nobody there; one who listens and says nothing; one who shuts the door; one who ponders.
    let nobody = UdpSocket::bind((bed.ip(0), 0)).unwrap().local_addr().unwrap();
    let play = |manners| Script { manners, ..Script::of("f", b"bytes") }.play(bed.ip(0));
    let began = Instant::now();
    let leechers = [nobody, play(Manners::Mute), play(Manners::HangsUp), play(Manners::NoAnswer)]
        .map(|at| (at, bed.start("a", &words(&format!("leecher --want f --tracker {at}")))));
    for (at, leecher) in leechers {
        leecher.ends().one_line(5, &[&at.to_string(), "tracker"]);
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(4), "it gave up after {took:?}");
    // A busy machine may be slow to say so; one that tries for ever is not.
    assert!(took < Duration::from_secs(60), "it gave up after {took:?} only");
}

#[test]
fn a_tracker_without_names_is_5() {
    let bed = Bed::new("code-5-stock");
    let stock = Script { manners: Manners::Stock, ..Script::of("f", b"bytes") }.play(bed.ip(0));
    let ended = bed.run("a", &format!("leecher --want f --tracker {stock}"));
    ended.one_line(5, &["has no names", "unknown action"]);
}

#[test]
fn a_port_that_is_taken_is_5() {
    let bed = Bed::new("code-5-port");
    let tracker = bed.tracker();
    let at = tracker.at;
    let again = bed.run("second", &format!("tracker --bind {at}"));
    again.one_line(5, &[&at.to_string(), "another program uses the port", "--bind"]);
    let taken = TcpListener::bind((bed.ip(0), 0)).unwrap().local_addr().unwrap();
    let _held = TcpListener::bind(taken).unwrap();
    bed.file("seeder/f", b"bytes");
    let ended = bed.run("seeder", &format!("seeder --file f --tracker {at} --listen {taken}"));
    ended.one_line(5, &[&taken.port().to_string(), "in use", "--listen"]);
    let ended = bed.run("seeder", &format!("seeder --file f --tracker {at} --listen 192.0.2.1"));
    ended.one_line(5, &["192.0.2.1", "not an address of this machine"]);
}

#[test]
fn metainfo_that_does_not_match_its_hash_is_6() {
    let bed = Bed::new("code-6");
    let bytes = noise(8, 100_000);
    let other = content("f", &noise(9, 100_000));
    let truth = || Script::of("f", &bytes);
    // All of another content, sound in itself: nothing but the hash tells them apart.
    let other_layers = other.piece_layers().unwrap();
    let info = other.v2.as_ref().unwrap().info.clone();
    let other_info = Script { info, layers: other_layers.clone(), ..truth() };
    let other_layers = Script { layers: other_layers, ..truth() };
    let no_info = Script { info: b"de".to_vec(), ..truth() };
    let mut size = truth();
    size.entries[0].entry.size += 1;
    for (what, script) in
        [("info", other_info), ("layers", other_layers), ("nothing", no_info), ("size", size)]
    {
        let at = script.play(bed.ip(0));
        let ended = bed.run("leecher", &format!("leecher --want f --tracker {at}"));
        let line = ended.one_line(6, &["metainfo of f is wrong", "nothing was written"]);
        assert!(bed.names("leecher").is_empty(), "{what}: {line}");
    }
}

#[test]
fn bytes_that_are_not_the_pinned_ones_are_6() {
    let bed = Bed::new("code-6-pin");
    let bytes = noise(14, 3_000_000);
    bed.file("seeder/f", &bytes);
    let tracker = bed.tracker();
    let _seeder = tracker.seeder(&bed, "seeder", "f", "");
    let pin = |bytes: &[u8]| format!("f@sha256:{}", lmk::content::digest::sha256(bytes));
    let (right, wrong) = (pin(&bytes), pin(b"other bytes"));
    let ended = tracker.fetch(&bed, "leecher", &wrong, "");
    ended.one_line(6, &["f.lmk-part", &pin(&bytes)[9..]]);
    assert_eq!(bed.names("leecher"), ["f.lmk-part", "f.lmk-resume"], "it got its name");
    tracker.fetch(&bed, "leecher", &right, "").with(0);
    assert!(fs::read(bed.path("leecher/f")).unwrap() == bytes);
    // Of a file that is there already the same is asked.
    tracker.fetch(&bed, "leecher", &right, "").with(0);
    tracker.fetch(&bed, "leecher", &wrong, "").one_line(6, &["leecher/f", "the file"]);
    assert_eq!(bed.names("leecher"), ["f"]);
    bed.file("seeder/empty", b"");
    let _seeder = tracker.seeder(&bed, "seeder", "empty", "");
    let empty = pin(b"").replace("f@", "empty@");
    tracker.fetch(&bed, "leecher", &empty, "").with(0);
}

#[test]
fn a_target_with_other_content_is_7_and_stays() {
    let bed = Bed::new("code-7");
    bed.file("seeder/f", b"new bytes");
    let tracker = bed.tracker();
    let _seeder = tracker.seeder(&bed, "seeder", "f", "");
    for old in [&b"old bytes"[..], b"shorter", b"", b"longer than that"] {
        let path = bed.file("leecher/f", old);
        let ended = tracker.fetch(&bed, "leecher", "f", "");
        ended.one_line(7, &[path.to_str().unwrap(), "--overwrite", "--out"]);
        assert_eq!(fs::read(&path).unwrap(), old);
        assert_eq!(bed.names("leecher"), ["f"]);
    }
    tracker.fetch(&bed, "leecher", "f", "--overwrite").with(0);
    assert_eq!(fs::read(bed.path("leecher/f")).unwrap(), b"new bytes");

    bed.folder("folder/f");
    let ended = tracker.fetch(&bed, "folder", "f", "--overwrite");
    ended.one_line(7, &["folder/f", "directory", "--out"]);
    bed.folder("link");
    let aim = bed.file("aim", b"aim");
    std::os::unix::fs::symlink(&aim, bed.path("link/f")).unwrap();
    let ended = tracker.fetch(&bed, "link", "f", "--overwrite");
    ended.one_line(7, &["link/f", "symbolic link", "--out"]);
    assert_eq!(fs::read(&aim).unwrap(), b"aim");
}

#[test]
fn a_second_leecher_of_the_same_target_is_7() {
    let bed = Bed::new("code-7-lock");
    let bytes = noise(10, 3_000_000);
    bed.file("seeder/big.zip", &bytes);
    let gate = Gate::new(&bed, 1_000_000);
    let tracker = bed.tracker();
    let _seeder = gate.seeder(&tracker, &bed, "big.zip", "");
    let first = tracker.leecher(&bed, "leecher", "big.zip", "");
    first.says("downloading ");
    let ended = tracker.fetch(&bed, "leecher", "big.zip", "");
    let holder = format!("another lmk (pid {}) is downloading this file", first.pid());
    ended.one_line(7, &["big.zip.lmk-part", &holder]);
    gate.open();
    first.ends().with(0);
    assert!(fs::read(bed.path("leecher/big.zip")).unwrap() == bytes);
}

#[test]
fn two_contents_of_one_name_are_8_and_a_pin_chooses() {
    let bed = Bed::new("code-8");
    bed.file("ann/f", b"of Ann");
    bed.file("bob/f", b"of Bobby");
    let tracker = bed.tracker();
    let seeders = ["ann", "bob"].map(|who| tracker.seeder(&bed, who, "f", ""));
    let [anns, bobs] = seeders.each_ref().map(|seeder| seeder.hash()[..8].to_owned());
    let ended = tracker.fetch(&bed, "leecher", "f", "");
    let each = [format!("f@{anns} (6 B, 1 source)"), format!("f@{bobs} (8 B, 1 source)")];
    ended.one_line(8, &[&each[0], &each[1]]);
    assert!(bed.names("leecher").is_empty());
    tracker.fetch(&bed, "leecher", &format!("f@{bobs}"), "").with(0);
    assert_eq!(fs::read(bed.path("leecher/f")).unwrap(), b"of Bobby");
    let out = format!("--out copy-of-{anns}");
    tracker.fetch(&bed, "leecher", &format!("f@{anns}"), &out).with(0);
    assert_eq!(fs::read(bed.path(&format!("leecher/copy-of-{anns}"))).unwrap(), b"of Ann");
}

#[test]
fn no_source_within_the_timeout_is_9() {
    let bed = Bed::new("code-9");
    bed.file("seeder/f", b"bytes");
    let tracker = bed.tracker();
    let seeder = tracker.seeder(&bed, "seeder", "f", "");
    seeder.ended_by(Signal::KILL);
    let ended = tracker.fetch(&bed, "leecher", "f", "--timeout 1s");
    ended.one_line(9, &["no source for f", "1.0 s"]);
    // What was made room for is no loss, and the next run may find a source.
    let waiting = tracker.leecher(&bed, "leecher", "f", "");
    waiting.says("nobody has f now; waiting");
    let _seeder = tracker.seeder(&bed, "seeder", "f", "");
    waiting.ends().with(0);
}

#[test]
fn signals_are_130_and_143() {
    let bed = Bed::new("code-130");
    bed.file("seeder/f", b"bytes");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let tracker = bed.tracker();
        let seeder = tracker.seeder(&bed, "seeder", "f", "");
        let keeps = tracker.leecher(&bed, "keeps", "f", "--keep-seeding");
        keeps.says("complete ");
        let ended = keeps.ended_by(signal).with(code);
        assert!(ended.err.contains("stopped sharing"), "{}", ended.err);
        tracker.lmk.says("left: ");
        seeder.ended_by(signal).with(code);
        tracker.lmk.ended_by(signal).with(code);
    }
}
