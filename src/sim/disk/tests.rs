//! The disk held against what a power cut, a full disk and an ended process may do to it.

use super::*;
use crate::core::io::{FileDone, FileError, FileOp, OpenMode};

fn open(disk: &mut Disk, path: &str, mode: OpenMode) -> Result<FileId, FileError> {
    match disk.perform(0, FileOp::Open { path: path.into(), mode }) {
        FileDone::Opened(result) => result.map(|(file, _)| file),
        other => panic!("{other:?}"),
    }
}

fn done(disk: &mut Disk, op: FileOp) -> Result<(), FileError> {
    match disk.perform(0, op) {
        FileDone::Done(result) | FileDone::Wrote { result, .. } => result,
        other => panic!("{other:?}"),
    }
}

fn write(disk: &mut Disk, file: FileId, bytes: &[u8]) -> Result<(), FileError> {
    done(disk, FileOp::Write { file, offset: 0, page: bytes.to_vec() })
}

/// A disk with `/d/part` written, not synced.
fn with_part() -> (Disk, FileId) {
    let mut disk = Disk::default();
    disk.make_dirs("/d");
    let file = open(&mut disk, "/d/part", OpenMode::CreateNew).unwrap();
    write(&mut disk, file, b"content").unwrap();
    (disk, file)
}

fn cut(disk: &mut Disk, survive_pm: u64) {
    disk.power_cut(&mut Rng::new(4), survive_pm);
}

#[test]
fn a_new_file_survives_a_power_cut_only_with_its_data_and_its_directory_synced() {
    for (sync_file, sync_dir, left) in [
        (true, true, Some(b"content".to_vec())),
        (false, true, Some(Vec::new())),
        (true, false, None),
    ] {
        let (mut disk, file) = with_part();
        if sync_file {
            done(&mut disk, FileOp::Sync { file, meta: true }).unwrap();
        }
        if sync_dir {
            done(&mut disk, FileOp::SyncDir { path: "/d".into() }).unwrap();
        }
        cut(&mut disk, 0);
        assert_eq!(disk.get("/d/part"), left, "file {sync_file}, directory {sync_dir}");
    }
    let (mut disk, _) = with_part();
    cut(&mut disk, 1000);
    assert_eq!(disk.get("/d/part").as_deref(), Some(&b"content"[..]));
}

#[test]
fn a_rename_that_was_not_synced_is_undone_and_the_old_target_is_back() {
    let (mut disk, file) = with_part();
    disk.put("/d/target", b"old");
    done(&mut disk, FileOp::Sync { file, meta: false }).unwrap();
    done(&mut disk, FileOp::SyncDir { path: "/d".into() }).unwrap();
    let (from, to) = ("/d/part".into(), "/d/target".into());
    done(&mut disk, FileOp::Rename { from, to, replace: true }).unwrap();
    assert_eq!(disk.get("/d/target").as_deref(), Some(&b"content"[..]));
    assert_eq!(disk.get("/d/part"), None);
    cut(&mut disk, 0);
    assert_eq!(disk.get("/d/target").as_deref(), Some(&b"old"[..]));
    assert_eq!(disk.get("/d/part").as_deref(), Some(&b"content"[..]));
}

#[test]
fn directory_changes_survive_in_their_order() {
    for seed in 0..100 {
        let mut disk = Disk::default();
        disk.make_dirs("/d");
        for name in ["/d/a", "/d/b", "/d/c"] {
            open(&mut disk, name, OpenMode::CreateNew).unwrap();
        }
        disk.power_cut(&mut Rng::new(seed), 500);
        let there = ["/d/a", "/d/b", "/d/c"].map(|name| disk.get(name).is_some());
        assert!(there[0] >= there[1] && there[1] >= there[2], "{there:?}");
    }
}

#[test]
fn a_saved_file_is_old_or_new_and_never_torn() {
    for seed in 0..100 {
        let mut disk = Disk::default();
        let (old, new) = (vec![1; 9000], vec![2; 12_000]);
        disk.put("/s/state", &old);
        done(
            &mut disk,
            FileOp::Save { path: "/s/state".into(), bytes: new.clone(), private: true },
        )
        .unwrap();
        disk.power_cut(&mut Rng::new(seed), 500);
        let left = disk.get("/s/state").unwrap();
        assert!(left == old || left == new, "{} bytes", left.len());
    }
}

#[test]
fn a_full_disk_refuses_a_write_and_takes_it_once_there_is_room() {
    let (mut disk, file) = with_part();
    disk.put("/d/other", &[1; 8192]);
    disk.set_capacity(3 * 4096);
    assert_eq!(write(&mut disk, file, &[2; 4096]), Ok(()));
    assert_eq!(write(&mut disk, file, &[2; 4097]), Err(FileError::NoSpace));
    done(&mut disk, FileOp::Remove { path: "/d/other".into() }).unwrap();
    assert_eq!(write(&mut disk, file, &[2; 4097]), Ok(()));
}

#[test]
fn a_process_that_ends_loses_its_handles_and_locks() {
    let (mut disk, file) = with_part();
    let second = open(&mut disk, "/d/part", OpenMode::Update).unwrap();
    done(&mut disk, FileOp::Lock { file }).unwrap();
    assert_eq!(done(&mut disk, FileOp::Lock { file: second }), Err(FileError::Busy));
    disk.process_ends(0);
    assert!(write(&mut disk, file, b"x").is_err());
    let third = open(&mut disk, "/d/part", OpenMode::Update).unwrap();
    assert_eq!(done(&mut disk, FileOp::Lock { file: third }), Ok(()));
}

#[test]
fn an_unlinked_file_stays_readable_for_who_has_it_open() {
    let (mut disk, file) = with_part();
    done(&mut disk, FileOp::Remove { path: "/d/part".into() }).unwrap();
    done(&mut disk, FileOp::SyncDir { path: "/d".into() }).unwrap();
    assert_eq!(disk.span(0, file, 0, 7).as_deref(), Ok(&b"content"[..]));
    assert_eq!(disk.span(0, file, 1, 7), Err(FileError::Changed));
}
