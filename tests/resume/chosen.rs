//! Folders of which other files are chosen after each kill: pieces of v1 lie across the borders of
//! files, and where the bytes of one stand depends on the choice.

use super::stage::{Leech, PART, RESUME, Stage, TARGET, chooser};
use lmk::content::chosen::Chosen;
use lmk::content::grid::Form;
use lmk::content::metainfo::outside::Outside;
use lmk::content::metainfo::{Content, KeyOrder, Maker, Wanted};
use lmk::core::io::{FileKind, Meta, Role};
use lmk::core::report::Ending;
use lmk::core::rng::Rng;
use lmk::leecher::journal;
use lmk::node::layout::Layout;
use lmk::sim::world::{Act, NodeEnv};
use std::path::Path;

const ASIDE: &str = "/l/big.zip.lmk-aside";
/// More pieces than the sample that is read again.
const FILES: [(&str, usize); 3] = [("a/first", 10_000), ("big", 1_800_000), ("z", 10_000)];

fn torrent_bytes() -> Vec<u8> {
    torrent_of(&FILES)
}

fn torrent_of(files: &[(&str, usize)]) -> Vec<u8> {
    let size = files.iter().map(|(_, len)| len).sum();
    let files = files.iter().map(|(path, len)| (path.as_bytes().to_vec(), *len as u64)).collect();
    let tiers = vec![vec!["udp://10.0.0.1:6969/announce".to_owned()]];
    let outside = Outside { tiers, ..Outside::default() };
    let (piece_length, source) = (Some(16_384), None);
    let wanted = Wanted { form: Form::V1, piece_length, private: false, source, outside };
    let mut maker = Maker::folder(b"big.zip", files, wanted).unwrap();
    let mut content = vec![0; size];
    Rng::new(7).fill(&mut content);
    let mut rest = content.as_slice();
    while maker.wanted().is_some() {
        let (bytes, behind) = rest.split_at(maker.left() as usize);
        maker.update(bytes);
        rest = behind;
    }
    maker.finish().unwrap()
}

fn all(env: NodeEnv) -> Box<dyn Role> {
    chooser(env, None)
}

fn big(env: NodeEnv) -> Box<dyn Role> {
    chooser(env, Some("big"))
}

fn but_big(env: NodeEnv) -> Box<dyn Role> {
    chooser(env, Some("a/first,z"))
}

/// What stands on the disk where a leecher of that choice looks for it is right, as far as its
/// journal vouches for it.
#[track_caller]
fn vouches_for_nothing_wrong(stage: &mut Stage, content: &Content, files: &str, told: &str) {
    let (chosen, size) = (Chosen::read(files).unwrap(), content.geometry.size());
    let layout = Layout::of(&content.files, size, Some(&chosen), ASIDE.into()).unwrap();
    let made = chosen.of(&content.files);
    let mut there = stage.bytes(ASIDE).unwrap_or_default();
    there.resize(size as usize, 0);
    for (at, (_, entry)) in content.files.plain().enumerate() {
        let path = format!("{PART}/{}", std::str::from_utf8(&entry.path).unwrap());
        if made.contains(&at) {
            let bytes = stage.bytes(&path).unwrap_or_default();
            there[entry.offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
    }
    let bytes = stage.bytes(RESUME).expect("a journal");
    let inode = u64::from_be_bytes(bytes[56..64].try_into().unwrap());
    let kind = FileKind::Directory;
    let meta = Meta { kind, size, device: 1, inode, mtime_ns: 0, ctime_ns: 0 };
    let geometry = &content.geometry;
    let hash = layout.journal_hash(content.hash());
    let kept = journal::read(&bytes, hash, geometry, &meta);
    let durable = kept.unwrap_or_else(|| panic!("{told}: not its journal")).durable;
    for piece in durable.ones().filter_map(|piece| geometry.piece(piece)) {
        let start = geometry.piece_offset(piece) as usize;
        let at = start..start + geometry.piece_len(piece) as usize;
        assert!(there[at.clone()] == stage.content[at], "{told}: {piece:?} is vouched for");
    }
}

/// Ends with those files, right, and no others.
#[track_caller]
fn must_end_with(stage: &mut Stage, files: &[&str], told: &str) {
    let leecher = stage.leecher;
    assert!(stage.runs_until(|world| world.ending(leecher).is_some()), "{told}: no end");
    let ending = stage.world.ending(leecher);
    assert_eq!(ending, Some(Ending::Done), "{told}: {:?}", stage.line("failed"));
    let mut start = 0;
    for (path, len) in FILES {
        let right = files.contains(&path).then(|| stage.content[start..start + len].to_vec());
        start += len;
        let found = stage.bytes(&format!("{TARGET}/{path}"));
        assert_eq!(found.is_some(), right.is_some(), "{told}: {path}");
        assert!(found == right, "{told}: {path} has other bytes");
    }
}

/// Nothing but what was wanted is left.
#[track_caller]
fn leaves_nothing(stage: &mut Stage, told: &str) {
    let leecher = stage.leecher;
    let paths = stage.world.disk(leecher).paths();
    let left: Vec<&Path> = paths.filter(|path| path.to_string_lossy().contains(".lmk-")).collect();
    assert!(left.is_empty(), "{told}: {left:?}");
}

/// A leecher that ended well is followed by another.
fn follow(stage: &mut Stage, leech: Leech) {
    stage.killed_and_followed_by(leech);
    let leecher = stage.leecher;
    assert!(stage.runs_until(|world| world.ending(leecher).is_some()), "no end");
}

fn begin(seed: u64, torrent_bytes: &[u8], leech: Leech) -> (Stage, Content) {
    let stage = Stage::torrent(seed, &FILES, torrent_bytes, leech);
    (stage, Content::read(torrent_bytes, KeyOrder::Sorted).unwrap())
}

#[test]
fn a_journal_of_another_choice_vouches_for_nothing() {
    let torrent = torrent_bytes();
    for seed in 0..4 {
        let (mut stage, content) = begin(seed, &torrent, big);
        stage.runs_to_percent(70);
        stage.killed_and_followed_by(all);
        stage.runs_to_percent(85);
        let told = format!("seed {seed}");
        vouches_for_nothing_wrong(&mut stage, &content, "*", &told);
        stage.killed_and_followed_by(big);
        stage.runs_to_percent(95);
        vouches_for_nothing_wrong(&mut stage, &content, "big", &told);
        stage.killed_and_followed_by(all);
        must_end_with(&mut stage, &["a/first", "big", "z"], &told);
    }
}

#[test]
fn pieces_of_which_a_share_was_kept_aside_go_with_it() {
    let torrent = torrent_bytes();
    for seed in 0..4 {
        let (mut stage, content) = begin(seed, &torrent, big);
        stage.runs_to_percent(80);
        let leecher = stage.leecher;
        stage.world.disk(leecher).unlink(ASIDE);
        stage.killed_and_followed_by(big);
        stage.runs_to_percent(90);
        vouches_for_nothing_wrong(&mut stage, &content, "big", &format!("seed {seed}"));
    }
}

#[test]
fn what_an_earlier_choice_made_is_not_delivered_with_the_later_one() {
    let torrent = torrent_bytes();
    let (mut stage, _) = begin(1, &torrent, all);
    stage.runs_to_percent(30);
    stage.killed_and_followed_by(big);
    must_end_with(&mut stage, &["big"], "big alone");
    let leecher = stage.leecher;
    let mut paths = stage.world.disk(leecher).paths();
    assert!(!paths.any(|path| path == Path::new("/l/big.zip/a")), "an empty folder is left");
    drop(paths);

    let (mut stage, _) = begin(2, &torrent, big);
    stage.runs_to_percent(30);
    stage.killed_and_followed_by(but_big);
    must_end_with(&mut stage, &["a/first", "z"], "all but big");
}

#[test]
fn chosen_files_that_are_there_are_proven_to_the_last_byte() {
    let torrent = torrent_bytes();
    let (mut stage, _) = begin(3, &torrent, big);
    must_end_with(&mut stage, &["big"], "fetched");
    follow(&mut stage, big);
    must_end_with(&mut stage, &["big"], "proven");
    leaves_nothing(&mut stage, "proven");
    assert_eq!(stage.last_number("proving", "pieces"), Some(2), "both ends are shared");
    assert!(stage.line("complete").is_some_and(|line| line.contains("was there already")));
    // Of these bytes no piece is of the file alone.
    for at in [0, 1_799_999] {
        let (path, leecher) = (format!("{TARGET}/big"), stage.leecher);
        assert!(stage.world.disk(leecher).edit(&path, |bytes| bytes[at] ^= 1));
        follow(&mut stage, big);
        let ending = stage.world.ending(stage.leecher);
        assert_eq!(ending, Some(Ending::Refused), "byte {at}: {:?}", stage.line("complete"));
        assert!(stage.line("failed").is_some_and(|line| line.contains("is different")));
        leaves_nothing(&mut stage, "wrong");
        let leecher = stage.leecher;
        assert!(stage.world.disk(leecher).edit(&path, |bytes| bytes[at] ^= 1));
        follow(&mut stage, big);
        must_end_with(&mut stage, &["big"], "right again");
        leaves_nothing(&mut stage, "right again");
    }
}

#[test]
fn chosen_files_beside_the_others_need_nothing_fetched() {
    let torrent = torrent_bytes();
    let (mut stage, _) = begin(4, &torrent, all);
    must_end_with(&mut stage, &["a/first", "big", "z"], "all");
    follow(&mut stage, big);
    must_end_with(&mut stage, &["a/first", "big", "z"], "still all");
    assert_eq!(stage.number_of("proving"), 0);
    // One of the others is not what it was: it proves nothing any more, and is left as it is.
    let leecher = stage.leecher;
    assert!(stage.world.disk(leecher).edit(format!("{TARGET}/z"), |bytes| bytes[0] ^= 1));
    follow(&mut stage, big);
    assert_eq!(stage.world.ending(stage.leecher), Some(Ending::Done));
    assert_eq!(stage.last_number("proving", "pieces"), Some(1));
    leaves_nothing(&mut stage, "beside others");
}

#[test]
fn a_proof_that_is_cut_short_is_made_by_the_next_run() {
    let torrent = torrent_bytes();
    for how in [Act::Kill, Act::PowerCut] {
        let mut reached = 0;
        for n in 0..200 {
            let (mut stage, _) = begin(5 + n, &torrent, but_big);
            must_end_with(&mut stage, &["a/first", "z"], "fetched");
            stage.killed_and_followed_by(but_big);
            let leecher = stage.leecher;
            let before = stage.world.disk(leecher).lasting_operations();
            stage.world.disk(leecher).stop_at(before + n);
            if !stage.runs_until(|world| world.disk(leecher).stopped()) {
                break;
            }
            reached = n;
            stage.befalls(how);
            stage.befalls(Act::Start);
            assert!(stage.runs_until(|world| world.ending(leecher).is_some()), "operation {n}");
            must_end_with(&mut stage, &["a/first", "z"], &format!("operation {n}, {how:?}"));
            leaves_nothing(&mut stage, &format!("operation {n}, {how:?}"));
        }
        assert!(reached > 5, "only {reached} operations");
    }
}

const TWINS: [(&str, usize); 3] = [("A/b", 40_000), ("a/B", 50_000), ("c", 10)];

fn one_twin(env: NodeEnv) -> Box<dyn Role> {
    chooser(env, Some("A/b,c"))
}

#[test]
fn two_files_that_are_one_to_the_file_system_end_the_download_in_one_line() {
    let torrent = torrent_of(&TWINS);
    let mut stage = Stage::torrent(6, &TWINS, &torrent, all);
    let leecher = stage.leecher;
    stage.world.disk(leecher).fold_case();
    for run in 0..2 {
        let leecher = stage.leecher;
        assert!(stage.runs_until(|world| world.ending(leecher).is_some()), "run {run}: no end");
        assert_eq!(stage.world.ending(leecher), Some(Ending::Disk), "run {run}");
        let line = stage.line("failed").unwrap();
        assert!(line.contains("A/b and a/B are one file"), "{line}");
        assert!(line.contains("--files") && line.contains("--out DIR"), "{line}");
        assert_eq!(stage.downloaded(), 0, "run {run}");
        if run == 0 {
            stage.killed_and_followed_by(all);
        }
    }
    stage.killed_and_followed_by(one_twin);
    let leecher = stage.leecher;
    assert!(stage.runs_until(|world| world.ending(leecher).is_some()), "one of them: no end");
    assert_eq!(stage.world.ending(leecher), Some(Ending::Done), "{:?}", stage.line("failed"));
    assert!(stage.bytes(&format!("{TARGET}/a/b")).as_deref() == Some(&stage.content[..40_000]));
}
