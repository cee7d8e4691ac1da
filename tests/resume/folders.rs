//! Downloads of folders that end at any moment and go on.

use super::stage::{PART, RESUME, Stage, TARGET};
use lmk::content::metainfo::{Content, FolderHasher};
use lmk::core::io::{FileError, FileKind, Meta};
use lmk::leecher::journal::{self, Kept};
use lmk::sim::disk::{Fault, On};
use lmk::sim::world::Act;
use std::collections::BTreeMap;

/// More operations than a small download makes.
const OPERATIONS_MAX: u64 = 2_000;
/// In the order of a file tree.
const FILES: [(&str, usize); 6] = [
    ("a/deep/none", 0),
    ("a/deep/x", 90_000),
    ("a/long", 130_000),
    ("a/short", 5),
    ("b", 16_384),
    ("z/none", 0),
];

/// The files with their bytes.
fn files(stage: &Stage) -> BTreeMap<&'static str, Vec<u8>> {
    let mut rest = stage.content.as_slice();
    let mut cut = |len: usize| {
        let (bytes, behind) = rest.split_at(len);
        rest = behind;
        bytes.to_vec()
    };
    FILES.iter().map(|(path, len)| (*path, cut(*len))).collect()
}

fn content(stage: &Stage) -> Content {
    let sizes = FILES.iter().map(|(path, len)| (path.as_bytes().to_vec(), *len as u64)).collect();
    let mut hasher = FolderHasher::new(b"big.zip", sizes).unwrap();
    let mut rest = stage.content.as_slice();
    while let Some((_, len)) = hasher.wanted() {
        let (bytes, behind) = rest.split_at(len as usize);
        hasher.update(bytes);
        rest = behind;
    }
    hasher.finish().unwrap()
}

/// What the files below `root` are as one, with zeros for what is not there.
fn row(stage: &mut Stage, content: &Content, root: &str) -> Vec<u8> {
    let mut row = vec![0; content.geometry.size() as usize];
    for (_, entry) in content.files.plain() {
        let path = format!("{root}/{}", std::str::from_utf8(&entry.path).unwrap());
        let bytes = stage.bytes(&path).unwrap_or_default();
        let at = entry.offset as usize;
        row[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    row
}

fn vouched(stage: &mut Stage, content: &Content) -> Option<Kept> {
    let bytes = stage.bytes(RESUME)?;
    // The header names the inode; a run would compare it.
    let inode = u64::from_be_bytes(bytes.get(56..64)?.try_into().ok()?);
    let (kind, size) = (FileKind::Directory, content.geometry.size());
    let meta = Meta { kind, size, device: 1, inode, mtime_ns: 0, ctime_ns: 0 };
    journal::read(&bytes, content.hash(), &content.geometry, &meta)
}

#[track_caller]
fn must_be_done(stage: &mut Stage, told: &str) {
    let ending = stage.world.ending(stage.leecher);
    let said = stage.line("failed");
    assert_eq!(ending, Some(lmk::core::report::Ending::Done), "{told}: {said:?}");
    for (path, bytes) in files(stage) {
        assert!(stage.bytes(&format!("{TARGET}/{path}")) == Some(bytes), "{told}: {path}");
    }
    let leecher = stage.leecher;
    let left: Vec<_> = stage.world.disk(leecher).paths().map(|path| path.to_path_buf()).collect();
    let is_ours = |path: &std::path::Path| path.to_string_lossy().contains(".lmk-");
    assert!(!left.iter().any(|path| is_ours(path)), "{told}: {left:?}");
}

/// Crashes at the n-th lasting operation, then goes on to the end. -> whether there was an n-th.
fn crash_at(n: u64, how: Act, survive_pm: u64) -> bool {
    let mut stage = Stage::folder(n, &FILES, survive_pm);
    let leecher = stage.leecher;
    stage.world.disk(leecher).stop_at(n);
    let told = format!("operation {n}, {how:?}, {survive_pm} of 1000 survive");
    if !stage.runs_until(|world| world.disk(leecher).stopped()) {
        must_be_done(&mut stage, &told);
        return false;
    }
    stage.befalls(how);
    let content = content(&stage);
    let kept = vouched(&mut stage, &content);
    let (there, whole) = (row(&mut stage, &content, PART), files(&stage));
    let geometry = &content.geometry;
    let mut right = vec![0; geometry.size() as usize];
    for (_, entry) in content.files.plain() {
        let bytes = &whole[std::str::from_utf8(&entry.path).unwrap()];
        right[entry.offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }
    // The folder has its name only once all of it is there.
    let is_renamed = stage.world.disk(leecher).paths().any(|path| path == TARGET);
    if is_renamed {
        assert!(row(&mut stage, &content, TARGET) == right, "{told}: not the content");
    } else if let Some(kept) = &kept {
        for piece in kept.durable.ones().filter_map(|piece| geometry.piece(piece)) {
            let start = geometry.piece_offset(piece) as usize;
            let at = start..start + geometry.piece_len(piece) as usize;
            assert!(there[at.clone()] == right[at], "{told}: {piece:?} is vouched for");
        }
    }
    stage.befalls(Act::Start);
    assert!(stage.runs_until(|world| world.ending(leecher).is_some()), "{told}: no end");
    must_be_done(&mut stage, &told);
    assert_eq!(stage.number_of("part_changed"), 0, "{told}: a false alarm");
    let durable = kept.map_or(0, |kept| geometry.payload_of(&kept.durable));
    let resumed = stage.last_number("resumed", "kept").unwrap_or(0);
    let was_there = stage.number_of("resumed") == 0;
    assert!(was_there || resumed >= durable, "{told}: {resumed} of {durable} kept");
    true
}

#[test]
fn a_crash_at_every_operation_loses_nothing_of_a_folder_that_was_vouched_for() {
    for (how, survive_pm) in
        [(Act::Kill, 1000), (Act::PowerCut, 0), (Act::PowerCut, 500), (Act::PowerCut, 1000)]
    {
        let reached = (0..OPERATIONS_MAX).take_while(|n| crash_at(*n, how, survive_pm)).count();
        assert!(reached > 40, "only {reached} operations");
        assert!(reached < OPERATIONS_MAX as usize);
    }
}

#[test]
fn a_disk_that_is_full_at_any_write_of_a_folder_is_waited_for() {
    let refused_at = |n: u64| {
        let mut stage = Stage::folder(n, &FILES, 0);
        let (leecher, error) = (stage.leecher, FileError::NoSpace);
        let fault = Fault { on: On::Write, name_ends: ".lmk-part", after: n, times: 1, error };
        stage.world.disk(leecher).fail(fault);
        stage.runs_until(|world| world.ending(leecher).is_some());
        must_be_done(&mut stage, &format!("write {n} refused"));
        stage.number_of("disk_full") > 0
    };
    assert!((0..200).take_while(|n| refused_at(*n)).count() >= 15);
}

#[test]
fn a_file_of_the_folder_that_another_program_edits_is_read_again() {
    for percent in [20, 50, 90] {
        let mut stage = Stage::folder(percent, &FILES, 0);
        let leecher = stage.leecher;
        stage.runs_to_percent(percent);
        let path = format!("{PART}/a/long");
        assert!(stage.world.disk(leecher).edit(&path, |bytes| bytes.fill(7)));
        assert!(stage.runs_until(|world| world.ending(leecher).is_some()), "{percent}");
        must_be_done(&mut stage, &format!("edited at {percent} %"));
        assert_eq!(stage.number_of("part_changed"), 1, "{percent}");
    }
}

#[test]
fn a_folder_of_which_a_file_is_removed_meanwhile_comes_whole_even_so() {
    let mut stage = Stage::folder(3, &FILES, 0);
    let leecher = stage.leecher;
    stage.runs_to_percent(60);
    stage.world.disk(leecher).unlink(format!("{PART}/a/short"));
    stage.world.disk(leecher).unlink(format!("{PART}/z/none"));
    assert!(stage.runs_until(|world| world.ending(leecher).is_some()));
    must_be_done(&mut stage, "removed");
}

#[test]
fn a_folder_of_files_of_one_piece_each_comes_by_its_name() {
    let files = [("a", 9_000), ("b/c", 16_384), ("b/d", 12), ("e", 16_383)];
    let mut stage = Stage::folder(4, &files, 0);
    let leecher = stage.leecher;
    assert!(stage.runs_until(|world| world.ending(leecher).is_some()));
    let said = stage.line("failed");
    assert_eq!(stage.world.ending(leecher), Some(lmk::core::report::Ending::Done), "{said:?}");
    let mut start = 0;
    for (path, len) in files {
        let bytes = stage.content[start..start + len].to_vec();
        assert!(stage.bytes(&format!("{TARGET}/{path}")) == Some(bytes), "{path}");
        start += len;
    }
}
