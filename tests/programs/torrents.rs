//! `lmk create`, `lmk show` and `lmk verify` on real files and folders.

use crate::bed::{Bed, Ended, noise};
use lmk::core::id::InfoHash;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;

/// The events of one kind.
fn events(ended: &Ended, kind: &str) -> Vec<Value> {
    let all = ended.out.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    all.filter(|event| event["event"] == kind).collect()
}

/// A folder with an empty file, a deep one, and names that need care.
fn photos(bed: &Bed) {
    bed.file("a/photos/big", &noise(1, 100_000));
    bed.file("a/photos/empty", b"");
    bed.file("a/photos/one/two/three/Icon\r", &noise(2, 20_000));
    bed.file("a/photos/one/foo... bar", &noise(3, 16_384));
    bed.file("a/photos/one.txt", b"x");
    bed.file("a/photos/A", b"upper");
    bed.file("a/photos/aux.c", b"c");
}

#[test]
fn a_folder_is_made_shown_and_verified_in_every_form_and_equal_input_makes_equal_bytes() {
    let bed = Bed::new("torrents-folder");
    photos(&bed);
    for form in ["--v1", "--v2", "--hybrid"] {
        let made = bed.run("a", &format!("create photos {form} -o one{form} --json")).with(0);
        let created = &events(&made, "created")[0];
        assert_eq!((&created["files"], &created["size"]), (&json!(7), &json!(136_391)));
        // Another name for the same place, and another time.
        bed.run("a", &format!("create ../a/photos/ {form} -o two{form}")).with(0);
        let read = |name: &str| fs::read(bed.path(&format!("a/{name}{form}"))).unwrap();
        assert_eq!(read("one"), read("two"), "{form}");
        let shown = bed.run("a", &format!("show one{form} --json")).with(0);
        let torrent = &events(&shown, "torrent")[0];
        for hash in ["v1", "v2", "magnet"] {
            assert_eq!(torrent[hash], created[hash], "{form} {hash}");
        }
        assert_eq!(torrent["v1"].is_null(), form == "--v2");
        assert_eq!(torrent["v2"].is_null(), form == "--v1");
        let files = events(&shown, "file");
        let paths: Vec<&str> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
        // Element by element: a folder comes before a file that its name begins.
        let expected =
            ["A", "aux.c", "big", "empty", "one/foo... bar", "one/two/three/Icon\r", "one.txt"];
        assert_eq!(paths, expected, "{form}");
        bed.run("a", &format!("verify one{form} photos")).with(0);
        bed.run("a", &format!("verify one{form} .")).with(0);
    }
}

#[test]
fn what_is_wrong_with_files_is_named_and_the_exit_code_is_6() {
    let bed = Bed::new("torrents-wrong");
    photos(&bed);
    bed.run("a", "create photos --piece-length 16K").with(0);
    let mut big = noise(1, 100_000);
    big[40_000] ^= 1;
    bed.file("a/photos/big", &big);
    bed.file("a/photos/one.txt", b"xy");
    bed.file("a/photos/one/foo... bar", &noise(3, 16_383));
    fs::remove_file(bed.path("a/photos/empty")).unwrap();
    fs::remove_dir_all(bed.path("a/photos/one/two")).unwrap();
    fs::remove_file(bed.path("a/photos/A")).unwrap();
    fs::create_dir(bed.path("a/photos/A")).unwrap();
    let ended = bed.run("a", "verify photos.torrent photos").with(6);
    // A and aux.c are pieces 0 and 1, big is 2 to 8.
    for line in [
        "unreadable  A: it is a directory; bad pieces: 0\n",
        "bad         big; bad pieces: 4\n",
        "missing     empty\n",
        "short       one/foo... bar: 16383 bytes instead of 16384; bad pieces: 9\n",
        "missing     one/two/three/Icon\\r; bad pieces: 10-11\n",
        "long        one.txt: 2 bytes instead of 1\n",
        "photos: 6 of 7 files and 5 of 13 pieces are bad\n",
    ] {
        assert!(ended.out.contains(line), "{line}{}", ended.out);
    }
    let ended = bed.run("a", "verify photos.torrent photos --json").with(6);
    let verified = &events(&ended, "verified")[0];
    assert_eq!((&verified["good"], &verified["bad_pieces"]), (&json!(false), &json!("0,4,9-11")));
    let states: Vec<Value> =
        events(&ended, "file").iter().map(|file| file["state"].clone()).collect();
    assert_eq!(states, ["unreadable", "bad", "missing", "short", "missing", "long"]);
    assert_eq!(events(&ended, "ended")[0]["ending"], "verification");
    // Nothing at all there is a matter of the disk, not of the content.
    bed.run("a", "verify photos.torrent none").one_line(4, &["none", "no such file"]);
}

#[test]
fn one_file_is_made_and_verified_where_it_stands_and_by_its_folder() {
    let bed = Bed::new("torrents-file");
    bed.file("a/big.iso", &noise(5, 300_000));
    bed.file("a/none", b"");
    for form in ["--v1", "--v2", "--hybrid"] {
        bed.run("a", &format!("create big.iso {form} --overwrite")).with(0);
        bed.run("a", "verify big.iso.torrent big.iso").with(0);
        bed.run("a", "verify big.iso.torrent .").with(0);
        bed.run("a", &format!("create none {form} --overwrite")).with(0);
        bed.run("a", "verify none.torrent none").with(0);
    }
    fs::rename(bed.path("a/big.iso"), bed.path("a/other")).unwrap();
    bed.run("a", "verify big.iso.torrent other").with(0);
    bed.file("a/other", &noise(5, 299_999));
    let ended = bed.run("a", "verify big.iso.torrent other").with(6);
    assert!(ended.out.contains("short       big.iso: 299999 bytes"), "{}", ended.out);
    let ended = bed.run("a", "verify big.iso.torrent .").with(6);
    assert!(ended.out.contains("missing     big.iso; bad pieces: 0-18"), "{}", ended.out);
}

#[test]
fn everything_that_was_asked_for_is_in_it_and_shown() {
    let bed = Bed::new("torrents-options");
    bed.file("a/f", &noise(6, 70_000));
    let line = "create f --piece-length 32K --private --source team --comment words --date 86399 \
                --announce udp://one:1/announce,http://two/announce --announce udp://three:3/ \
                --webseed https://four/f";
    bed.run("a", line).with(0);
    let shown = bed.run("a", "show f.torrent").with(0);
    for said in [
        "name        f\n",
        "size        68.4 KiB (70000 bytes)\n",
        "pieces      3 of 32.0 KiB\n",
        "private     yes\n",
        "source      team\n",
        "created     1970-01-01 23:59 UTC\n",
        "comment     words\n",
        "tracker     tier 1  udp://one:1/announce\n",
        "tracker     tier 1  http://two/announce\n",
        "tracker     tier 2  udp://three:3/\n",
        "web seed    https://four/f\n",
        "     1    68.4 KiB              0-2  f\n",
    ] {
        assert!(shown.out.contains(said), "{said}{}", shown.out);
    }
    let link = shown.out.lines().find_map(|line| line.strip_prefix("magnet ")).unwrap().trim();
    let from_link = bed.start("a", &["show", link]).ends().with(0);
    for (key, said) in [("v1  ", 40), ("v2  ", 64)] {
        let hash = |out: &str| out.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
        assert_eq!(hash(&from_link.out), hash(&shown.out));
        assert_eq!(hash(&shown.out).split_whitespace().nth(1).unwrap().len(), said);
    }
    assert!(from_link.out.contains("web seed    https://four/f\n"), "{}", from_link.out);
    // An option outside of the info dict changes no hash, one inside does.
    let hash = |more: &str| {
        let made = bed.run("a", &format!("create f -o x --overwrite --json {more}")).with(0);
        events(&made, "created")[0]["v2"].clone()
    };
    assert_eq!(hash(""), hash("--comment other --date 1 --announce udp://other:1/"));
    assert_ne!(hash(""), hash("--source other"));
    assert_ne!(hash(""), hash("--private"));
}

#[test]
fn links_devices_and_the_torrent_itself_are_left_out_and_told_of() {
    let bed = Bed::new("torrents-left-out");
    bed.file("a/d/f", b"bytes");
    bed.file("elsewhere/secret", b"secret");
    symlink(bed.path("elsewhere"), bed.path("a/d/link")).unwrap();
    symlink("..", bed.path("a/d/loop")).unwrap();
    mknodat(CWD, bed.path("a/d/fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let first = bed.run("a", "create d -o d/made.torrent").with(0);
    for said in ["link is left out: symbolic links", "loop is left out", "fifo is left out"] {
        assert!(first.err.contains(said), "{said}\n{}", first.err);
    }
    let bytes = fs::read(bed.path("a/d/made.torrent")).unwrap();
    let again = bed.run("a", "create d -o d/made.torrent --overwrite").with(0);
    assert!(again.err.contains("made.torrent is left out"), "{}", again.err);
    assert_eq!(fs::read(bed.path("a/d/made.torrent")).unwrap(), bytes);
    // The folder itself may be named by a link.
    symlink("d", bed.path("a/alias")).unwrap();
    let alias = bed.run("a", "create alias -o alias.torrent --json").with(0);
    assert_eq!(events(&alias, "created")[0]["files"], 2);
}

#[test]
fn what_cannot_be_made_or_read_is_one_line_with_its_code() {
    let bed = Bed::new("torrents-refused");
    bed.file("a/f", b"bytes");
    bed.file("a/there", b"keep me");
    bed.folder("a/empty/er");
    bed.file("a/odd/back\\slash", b"x");
    bed.run("a", "create none").one_line(4, &["none", "no such file"]);
    bed.run("a", "create empty").one_line(2, &["no file in it"]);
    bed.run("a", "create odd").one_line(2, &["back\\\\slash", "`\\`"]);
    bed.run("a", "create f -o there").one_line(7, &["exists already", "--overwrite"]);
    assert_eq!(fs::read(bed.path("a/there")).unwrap(), b"keep me");
    bed.run("a", "create f -o no/where").one_line(4, &["no/where", "no such file"]);
    bed.run("a", "create ..").one_line(2, &["no name of its own"]);
    bed.run("a", "show there").one_line(2, &["there", "bencode"]);
    bed.run("a", "show empty").one_line(4, &["is a directory"]);
    bed.run("a", "show /dev/zero").one_line(4, &["not a regular file"]);
    let made = bed.run("a", "create f").with(0);
    assert!(made.out.contains("f.torrent: 1 file, 5 B, 1 pieces"), "{}", made.out);
    bed.run("a", "verify there f").one_line(2, &["there", "bencode"]);
    bed.run("a", "create empty/../odd/.. -o x").one_line(2, &["no name of its own"]);
}

#[test]
fn unsorted_keys_are_refused_unless_lenient_and_then_said() {
    let bed = Bed::new("torrents-lenient");
    let vector = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/invalid/metainfo/");
    fs::create_dir_all(bed.path("a")).unwrap();
    fs::copy(format!("{vector}info_unsorted.torrent"), bed.path("a/x")).unwrap();
    bed.run("a", "show x").one_line(2, &["not in order", "--lenient"]);
    let shown = bed.run("a", "show x --lenient").with(0);
    assert!(shown.err.contains("not sorted"), "{}", shown.err);
    assert!(shown.out.contains("v1  "), "{}", shown.out);
}

/// A v1 torrent of one file of few bytes, its keys in that order.
fn one_file(name: &str, bytes: &[u8], sorted: bool) -> Vec<u8> {
    let mut keys = [
        format!("6:lengthi{}e", bytes.len()).into_bytes(),
        format!("4:name{}:{name}", name.len()).into_bytes(),
        b"12:piece lengthi16384e".to_vec(),
        [&b"6:pieces20:"[..], &lmk::content::digest::sha1(bytes)].concat(),
    ];
    if !sorted {
        keys.reverse();
    }
    [&b"d4:infod"[..], &keys.concat(), b"ee"].concat()
}

#[test]
fn unsorted_keys_are_refused_by_peers_too_unless_lenient() {
    let bed = Bed::new("torrents-lenient-peers");
    bed.file("a/f", b"bytes");
    bed.file("a/x", &one_file("f", b"bytes", false));
    for line in ["seeder --torrent x --file f", "leecher --torrent x"] {
        bed.run("a", line).one_line(2, &["not in order", "--lenient takes"]);
    }
    let there = bed.run("a", "leecher --torrent x --lenient").with(0);
    assert!(there.out.contains("f"), "{}", there.out);
    let torrent = one_file("f", b"bytes", false);
    let hash = InfoHash(lmk::content::digest::sha1(&torrent[7..torrent.len() - 1])).to_string();
    let seeder = bed.start("a", &["seeder", "--torrent", "x", "--file", "f", "--lenient"]);
    seeder.says(&hash);
    seeder.says("seeding f");
    seeder.ended_by(Signal::INT);
}

#[test]
fn names_that_need_care_are_kept_byte_for_byte_and_shown_with_escapes() {
    let bed = Bed::new("torrents-names");
    for (name, shown) in [
        ("Icon\r", "Icon\\r"),
        ("a\u{202e}b", "a\\u{202e}b"),
        ("foo... bar", "foo... bar"),
        ("CON", "CON"),
    ] {
        bed.file(&format!("a/{name}"), b"bytes");
        bed.file("a/x", &one_file(name, b"bytes", true));
        let ended = bed.run("a", "leecher --torrent x").with(0);
        let said = format!("{}{}", ended.out, ended.err);
        assert!(said.contains(&format!("torrent {shown}:")), "{said}");
        assert!(!said.contains(['\r', '\u{202e}']), "{said:?}");
        fs::remove_file(bed.path(&format!("a/{name}"))).unwrap();
    }
}

#[test]
fn a_hybrid_that_contradicts_itself_is_not_seeded() {
    let bed = Bed::new("torrents-contradiction");
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/");
    fs::create_dir_all(bed.path("a")).unwrap();
    let conflict = format!("{vectors}invalid/metainfo/hybrid_v1_piece_hash_conflict.torrent");
    fs::copy(conflict, bed.path("a/x")).unwrap();
    fs::copy(format!("{vectors}data/a.bin"), bed.path("a/a.bin")).unwrap();
    let ended = bed.run("a", "seeder --torrent x --file a.bin").with(6);
    assert!(ended.err.contains("inconsistent hybrid: piece 0"), "{}", ended.err);
}

#[test]
fn a_file_that_changes_while_it_is_hashed_ends_it_and_nothing_is_written() {
    let bed = Bed::new("torrents-changes");
    // Of no bytes on the disk and long enough to be met in the middle.
    let file = fs::File::create(bed.folder("a/d").join("f")).unwrap();
    file.set_len(8 << 30).unwrap();
    bed.file("a/d/g", b"bytes");
    let create = bed.start("a", &["create", "d"]);
    create.says("hashing d");
    file.set_len(7 << 30).unwrap();
    create.ends().one_line(4, &["d/f", "changed while it was hashed", "nothing is written"]);
    let create = bed.start("a", &["create", "d/f"]);
    create.says("hashing f");
    create.ended_by(Signal::INT).with(130);
    assert_eq!(bed.names("a"), ["d"]);
}

#[test]
fn progress_is_told_while_files_are_hashed_and_verified() {
    let bed = Bed::new("torrents-progress");
    fs::File::create(bed.folder("a").join("f")).unwrap().set_len(1 << 30).unwrap();
    for (line, phase) in
        [("create f --json", "hashing"), ("verify f.torrent f --json", "verifying")]
    {
        let ended = bed.run("a", line).with(0);
        let frames = events(&ended, "progress");
        let done: Vec<u64> = frames.iter().filter_map(|frame| frame["done"].as_u64()).collect();
        assert!(done.is_sorted() && !done.is_empty(), "{line}: {done:?}");
        assert!(frames.iter().all(|frame| frame["phase"] == phase), "{line}");
    }
}

#[test]
fn only_a_regular_file_is_replaced_by_a_torrent() {
    let bed = Bed::new("torrents-replaced");
    bed.file("a/f", b"words");
    bed.file("a/old", b"old");
    symlink("old", bed.path("a/link")).unwrap();
    symlink("nowhere", bed.path("a/dangling")).unwrap();
    fs::create_dir(bed.path("a/folder")).unwrap();
    mknodat(CWD, bed.path("a/fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for (out, says) in [
        ("link", "symbolic link"),
        ("dangling", "symbolic link"),
        ("folder", "folder"),
        ("fifo", "no regular file"),
    ] {
        let kind = || fs::symlink_metadata(bed.path(&format!("a/{out}"))).unwrap().file_type();
        let before = kind();
        bed.run("a", &format!("create f -o {out} --overwrite")).one_line(7, &[out, says, "-o"]);
        assert_eq!(kind(), before, "{out}");
    }
    assert_eq!(fs::read(bed.path("a/old")).unwrap(), b"old");
    bed.run("a", "create f -o old --overwrite").with(0);
    assert_eq!(fs::read(bed.path("a/old")).unwrap().first(), Some(&b'd'));
}

#[test]
fn many_files_are_all_shown_in_their_order_and_a_long_comment_is_cut() {
    let bed = Bed::new("torrents-many");
    let files: String = (0..1000).map(|n| format!("d6:lengthi0e4:pathl4:{n:04}ee")).collect();
    let head = format!("d7:comment50000:{}4:info", "\u{1b}".repeat(50_000));
    let info = "4:name1:n12:piece lengthi16384e6:pieces0:e";
    bed.file("a/t", format!("{head}d5:filesl{files}e{info}e").as_bytes());
    let shown = bed.run("a", "show t").with(0);
    let rows: Vec<&str> = shown.out.lines().filter(|line| line.contains("0 B")).collect();
    let expected = |n: usize| format!("{:>6}  {:>10}  {:>15}  {n:04}", n + 1, "0 B", "-");
    let rows = rows.into_iter().filter(|line| !line.starts_with("size"));
    assert!(rows.eq((0..1000).map(expected)), "{}", shown.out);
    let comment = shown.out.lines().find(|line| line.starts_with("comment")).unwrap();
    assert!(comment.ends_with("(cut: 50000 bytes in all)") && comment.len() < 8000);
    let told = bed.run("a", "show t --json").with(0);
    let numbers = events(&told, "file").into_iter().map(|file| file["no"].as_u64().unwrap());
    assert!(numbers.eq(1..=1000));
    let comment = &events(&told, "torrent")[0]["comment"];
    assert!(comment.as_str().unwrap().ends_with("(cut: 50000 bytes in all)"), "{comment}");
    fs::create_dir(bed.path("a/n")).unwrap();
    let ended = bed.run("a", "verify t n --json").with(6);
    let missing = events(&ended, "file").into_iter();
    let paths = missing.map(|file| file["path"].as_str().unwrap().to_owned());
    assert!(paths.eq((0..1000).map(|n| format!("{n:04}"))));
    assert_eq!(events(&ended, "verified")[0]["files_bad"], 1000);
}

#[test]
fn what_of_a_link_is_not_used_is_told_and_nothing_is_told_twice() {
    let bed = Bed::new("torrents-link");
    bed.folder("a");
    let link = format!(
        "magnet:?xt=urn:btih:{}&tr=foo&tr=udp://a:1/&tr=udp://a:1/&ws=file:///x&so=1,x&x.pe=h",
        "ab".repeat(20)
    );
    let shown = bed.start("a", &["show", &link]).ends().with(0);
    assert!(shown.out.contains("tracker     foo  (not used: no such URL)\n"), "{}", shown.out);
    assert_eq!(shown.out.matches("udp://a:1/\n").count(), 1, "{}", shown.out);
    assert!(shown.out.contains("web seed    file:///x  (not used"), "{}", shown.out);
    assert!(shown.err.contains("`so`") && shown.err.contains("1 `x.pe`"), "{}", shown.err);
}
