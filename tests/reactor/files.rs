//! Every file operation, where it works and where it must refuse.

use crate::world::{Dir, World, pattern};
use lmk::core::id::FileId;
use lmk::core::io::{FileDone, FileError, FileKind, FileOp, OpenMode};
use lmk::core::limits::FILE_TURN_BYTES;
use lmk::core::mark::expect_mark;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

const NOT_OPEN: FileId = FileId { slot: 9, generation: 9 };

fn done(world: &mut World, op: FileOp) -> Result<(), FileError> {
    match world.file(op) {
        FileDone::Done(result) => result,
        other => panic!("{other:?}"),
    }
}

fn open_error(world: &mut World, path: &Path, mode: OpenMode) -> FileError {
    match world.file(FileOp::Open { path: path.into(), mode }) {
        FileDone::Opened(Err(e)) => e,
        other => panic!("{other:?}"),
    }
}

fn read(world: &mut World, file: FileId, offset: u64, len: usize) -> (Vec<u8>, u32) {
    match world.file(FileOp::Read { file, offset, page: vec![0xee; len] }) {
        FileDone::Read { page, result } => (page, result.unwrap()),
        other => panic!("{other:?}"),
    }
}

fn write(world: &mut World, file: FileId, offset: u64, page: Vec<u8>) -> Result<(), FileError> {
    let sent = page.clone();
    match world.file(FileOp::Write { file, offset, page }) {
        FileDone::Wrote { page, result } => {
            assert!(page == sent, "the page comes back as it went");
            result
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_file_is_written_read_cut_and_made_durable() {
    let dir = Dir::new("new");
    let mut world = World::new();
    let path = dir.path("new");
    let (file, meta) = world.open(&path, OpenMode::CreateNew);
    assert_eq!((meta.kind, meta.size), (FileKind::Regular, 0));
    assert_eq!(open_error(&mut world, &path, OpenMode::CreateNew), FileError::Exists);
    let bytes = pattern(100_000);
    write(&mut world, file, 5, bytes.clone()).unwrap();
    assert_eq!(fs::read(&path).unwrap()[5..], bytes);
    assert_eq!(read(&mut world, file, 5, 100_000), (bytes.clone(), 100_000));
    let (page, n) = read(&mut world, file, 100_000, 10);
    assert_eq!((&page[..5], n, page.len()), (&bytes[99_995..], 5, 10), "short at the end only");
    assert_eq!(read(&mut world, file, 200_000, 10).1, 0);
    for meta in [false, true] {
        done(&mut world, FileOp::Sync { file, meta }).unwrap();
    }
    done(&mut world, FileOp::SyncDir { path: dir.0.clone() }).unwrap();
    for len in [7, 5_000_000_000] {
        done(&mut world, FileOp::SetLen { file, len }).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), len);
    }
    done(&mut world, FileOp::Close { file }).unwrap();
    let errors = [
        done(&mut world, FileOp::Close { file }),
        done(&mut world, FileOp::Sync { file, meta: false }),
        done(&mut world, FileOp::Lock { file: NOT_OPEN }),
        write(&mut world, file, 0, vec![1]),
    ];
    assert!(errors.iter().all(|e| matches!(e, Err(FileError::Other(_)))), "{errors:?}");
}

#[test]
fn what_the_system_says_of_a_file_is_told() {
    let dir = Dir::new("stat");
    let mut world = World::new();
    let path = dir.path("file");
    fs::write(&path, b"12345").unwrap();
    let (file, opened) = world.open(&path, OpenMode::Read);
    let real = fs::metadata(&path).unwrap();
    assert_eq!(
        (opened.size, opened.device, opened.inode, opened.mtime_ns, opened.ctime_ns),
        (
            5,
            real.dev(),
            real.ino(),
            i128::from(real.mtime()) * 1_000_000_000 + i128::from(real.mtime_nsec()),
            i128::from(real.ctime()) * 1_000_000_000 + i128::from(real.ctime_nsec()),
        )
    );
    symlink(&path, dir.path("link")).unwrap();
    let kinds = [
        ("file", Ok(FileKind::Regular)),
        ("", Ok(FileKind::Directory)),
        ("link", Ok(FileKind::Symlink)),
        ("missing", Err(FileError::NotFound)),
        ("file/below", Err(FileError::NotFound)),
    ];
    for (name, expected) in kinds {
        match world.file(FileOp::Stat { path: dir.path(name) }) {
            FileDone::Meta(result) => assert_eq!(result.map(|meta| meta.kind), expected, "{name}"),
            other => panic!("{other:?}"),
        }
    }
    match world.file(FileOp::Stat { path: "/dev/null".into() }) {
        FileDone::Meta(result) => assert_eq!(result.unwrap().kind, FileKind::Special),
        other => panic!("{other:?}"),
    }
    match world.file(FileOp::StatOpen { file }) {
        FileDone::Meta(result) => assert_eq!(result, Ok(opened)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_or_a_link_is_replaced_and_nothing_else() {
    let dir = Dir::new("saved-kinds");
    let mut world = World::new();
    fs::write(dir.path("file"), b"x").unwrap();
    fs::create_dir(dir.path("folder")).unwrap();
    symlink(dir.path("file"), dir.path("link")).unwrap();
    let (fifo, mode) = (dir.path("fifo"), rustix::fs::Mode::from_raw_mode(0o600));
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for (name, expected) in [
        ("link", Ok(())),
        ("fifo", Err(FileError::NotRegular)),
        ("folder", Err(FileError::IsDirectory)),
        ("new", Ok(())),
        ("file", Ok(())),
    ] {
        let save = FileOp::Save { path: dir.path(name), bytes: b"y".to_vec(), private: false };
        match world.file(save) {
            FileDone::Done(result) => assert_eq!(result, expected, "{name}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(fs::symlink_metadata(dir.path("link")).unwrap().is_file());
}

#[test]
fn nothing_but_a_regular_file_is_opened_and_nothing_blocks() {
    let dir = Dir::new("kinds");
    let mut world = World::new();
    fs::write(dir.path("file"), b"x").unwrap();
    symlink(dir.path("file"), dir.path("link")).unwrap();
    let fifo = dir.path("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path("socket")).unwrap();
    use OpenMode::{CreateNew, Read, Update};
    let refusals = [
        ("fifo", Read, FileError::NotRegular),
        ("fifo", Update, FileError::NotRegular),
        ("socket", Read, FileError::NotRegular),
        ("socket", Update, FileError::NotRegular),
        ("", Read, FileError::IsDirectory),
        ("", Update, FileError::IsDirectory),
        ("link", Update, FileError::NotRegular),
        ("link", CreateNew, FileError::Exists),
        ("missing", Read, FileError::NotFound),
        ("missing", Update, FileError::NotFound),
        ("no/such/folder", CreateNew, FileError::NotFound),
        ("no/such/folder", Update, FileError::NotFound),
    ];
    for (name, mode, expected) in refusals {
        assert_eq!(open_error(&mut world, &dir.path(name), mode), expected, "{name} {mode:?}");
    }
    assert_eq!(open_error(&mut world, Path::new("/dev/zero"), Read), FileError::NotRegular);
    assert_eq!(open_error(&mut world, Path::new("a\0b"), Read), FileError::Other(22));
    // A link that the user named for reading is followed.
    assert_eq!(world.open(&dir.path("link"), Read).1.size, 1);
    let (file, _) = world.open(&dir.path("fresh"), CreateNew);
    write(&mut world, file, 0, b"kept".to_vec()).unwrap();
    assert_eq!(world.open(&dir.path("fresh"), Update).1.size, 4, "existing bytes stay");
    let (file, _) = world.open(&dir.path("file"), Read);
    assert!(write(&mut world, file, 0, vec![1]).is_err(), "opened for reading only");
}

#[test]
fn names_are_changed_and_removed() {
    let dir = Dir::new("names");
    let mut world = World::new();
    let (a, b) = (dir.path("a"), dir.path("b"));
    fs::write(&a, b"a").unwrap();
    fs::write(&b, b"b").unwrap();
    let rename = |replace| FileOp::Rename { from: dir.path("a"), to: dir.path("b"), replace };
    assert_eq!(done(&mut world, rename(false)), Err(FileError::Exists));
    assert_eq!((fs::read(&a).unwrap(), fs::read(&b).unwrap()), (b"a".to_vec(), b"b".to_vec()));
    done(&mut world, rename(true)).unwrap();
    assert_eq!(fs::read(&b).unwrap(), b"a");
    assert_eq!(done(&mut world, rename(true)), Err(FileError::NotFound));
    done(&mut world, FileOp::Rename { from: b, to: a.clone(), replace: false }).unwrap();
    assert_eq!(fs::read(&a).unwrap(), b"a");
    done(&mut world, FileOp::Remove { path: a.clone() }).unwrap();
    assert!(!a.exists());
    assert_eq!(done(&mut world, FileOp::Remove { path: a }), Err(FileError::NotFound));
    // A folder goes when nothing is in it, and with nothing else.
    let folder = dir.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("kept"), b"k").unwrap();
    assert!(done(&mut world, FileOp::Remove { path: folder.clone() }).is_err());
    assert!(folder.join("kept").exists());
    fs::remove_file(folder.join("kept")).unwrap();
    done(&mut world, FileOp::Remove { path: folder.clone() }).unwrap();
    assert!(!folder.exists());
    assert!(done(&mut world, FileOp::SyncDir { path: dir.path("none") }).is_err());
}

#[test]
fn small_files_are_saved_and_loaded_whole() {
    let dir = Dir::new("whole");
    let mut world = World::new();
    let path = dir.path("deep/er/state");
    for bytes in [pattern(5000), Vec::new(), pattern(10)] {
        done(&mut world, FileOp::Save { path: path.clone(), bytes: bytes.clone(), private: true })
            .unwrap();
        match world.file(FileOp::Load { path: path.clone(), bytes_max: 5000 }) {
            FileDone::Loaded(result) => assert_eq!(result, Ok(bytes)),
            other => panic!("{other:?}"),
        }
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&dir.path("deep")), 0o700);
    assert_eq!(mode(&dir.path("deep/er")), 0o700);
    let names: Vec<_> = fs::read_dir(dir.path("deep/er")).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing is left beside it");
    for (path, bytes_max, expected) in [
        (path.clone(), 9, FileError::TooLarge),
        (dir.path("missing"), 9, FileError::NotFound),
        (dir.0.clone(), 9, FileError::IsDirectory),
    ] {
        match world.file(FileOp::Load { path, bytes_max }) {
            FileDone::Loaded(result) => assert_eq!(result, Err(expected)),
            other => panic!("{other:?}"),
        }
    }
    // A folder stands where the file should be: refused, and again nothing is left beside it.
    let folder = dir.path("deep");
    assert!(
        done(&mut world, FileOp::Save { path: folder, bytes: vec![1], private: true }).is_err()
    );
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1);
    // A file stands where a folder should be.
    let below = dir.path("deep/er/state/x");
    assert!(done(&mut world, FileOp::Save { path: below, bytes: vec![1], private: true }).is_err());
}

#[test]
fn what_is_not_private_has_the_mode_that_the_umask_leaves() {
    let dir = Dir::new("open");
    let mut world = World::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (usual, path) = (dir.path("usual"), dir.path("saved"));
    fs::write(&usual, b"as any program makes it").unwrap();
    done(&mut world, FileOp::Save { path: path.clone(), bytes: vec![1], private: false }).unwrap();
    assert_eq!(mode(&path), mode(&usual));
    let nowhere = dir.path("no/such/folder");
    let saved = done(&mut world, FileOp::Save { path: nowhere, bytes: vec![1], private: false });
    assert_eq!(saved, Err(FileError::NotFound));
}

#[test]
fn free_space_is_told_for_what_does_not_exist_yet() {
    let dir = Dir::new("space");
    let mut world = World::new();
    for name in ["", "not/there/yet"] {
        match world.file(FileOp::FreeSpace { path: dir.path(name) }) {
            FileDone::Free(result) => assert!(result.unwrap() > 0),
            other => panic!("{other:?}"),
        }
    }
    match world.file(FileOp::FreeSpace { path: "relative".into() }) {
        FileDone::Free(result) => assert!(result.unwrap() > 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lock_excludes_everybody_else_until_its_file_is_closed() {
    let dir = Dir::new("lock");
    let mut world = World::new();
    let path = dir.path("lock");
    let (file, _) = world.open(&path, OpenMode::CreateNew);
    done(&mut world, FileOp::Lock { file }).unwrap();
    // A second open file description stands for another process.
    let (other, _) = world.open(&path, OpenMode::Update);
    assert_eq!(done(&mut world, FileOp::Lock { file: other }), Err(FileError::Busy));
    done(&mut world, FileOp::Close { file }).unwrap();
    done(&mut world, FileOp::Lock { file: other }).unwrap();
}

#[test]
fn an_edit_of_a_guarded_file_is_found_at_the_next_change() {
    let dir = Dir::new("guard");
    let mut world = World::new();
    let path = dir.path("part");
    let guarded = |world: &mut World, mode| {
        let (file, _) = world.open(&path, mode);
        let guarded = world.file(FileOp::Guard { file });
        assert!(matches!(guarded, FileDone::Guarded(Ok(_))), "{guarded:?}");
        file
    };
    let file = guarded(&mut world, OpenMode::CreateNew);
    // What we do ourselves is no news, however often and however it ends.
    for n in 0..200 {
        write(&mut world, file, n * 100, pattern(100)).unwrap();
        done(&mut world, FileOp::WriteBack { file, offset: n * 100, len: 100 }).unwrap();
    }
    assert!(write(&mut world, file, u64::MAX / 2, pattern(100)).is_err());
    done(&mut world, FileOp::SetLen { file, len: 30_000 }).unwrap();
    done(&mut world, FileOp::SetPlainMode { file }).unwrap();
    for meta in [false, true] {
        done(&mut world, FileOp::Sync { file, meta }).unwrap();
    }
    let read_only = fs::File::open(&path).unwrap();
    drop(read_only);
    write(&mut world, file, 0, pattern(10)).unwrap();
    let touches: [fn(&fs::File); 3] = [
        |file| file.set_len(30_001).unwrap(),
        |file| file.set_modified(std::time::UNIX_EPOCH).unwrap(),
        |file| file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap(),
    ];
    for touch in touches {
        let file = guarded(&mut world, OpenMode::Update);
        touch(&fs::File::options().write(true).open(&path).unwrap());
        assert_eq!(write(&mut world, file, 0, pattern(10)), Err(FileError::Changed));
        assert_eq!(done(&mut world, FileOp::SetLen { file, len: 9 }), Err(FileError::Changed));
        let sync = FileOp::Sync { file, meta: false };
        assert_eq!(done(&mut world, sync), Err(FileError::Changed));
        assert_ne!(fs::metadata(&path).unwrap().len(), 9);
    }
}

#[test]
fn a_plain_mode_has_what_the_umask_leaves_and_nothing_to_execute() {
    let dir = Dir::new("mode");
    let mut world = World::new();
    fs::write(dir.path("fresh"), b"").unwrap();
    let plain = fs::metadata(dir.path("fresh")).unwrap().mode() & 0o7777;
    for before in [0o4755, 0o2777, 0o600, 0o666, plain] {
        let path = dir.path(&format!("{before:o}"));
        fs::write(&path, b"x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
        let (file, _) = world.open(&path, OpenMode::Update);
        done(&mut world, FileOp::SetPlainMode { file }).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, plain, "{before:o}");
    }
}

#[test]
fn stretches_of_data_are_found_between_holes() {
    let dir = Dir::new("holes");
    let mut world = World::new();
    let (file, _) = world.open(&dir.path("sparse"), OpenMode::CreateNew);
    let extent = |world: &mut World, offset| match world.file(FileOp::NextExtent { file, offset }) {
        FileDone::Extent(found) => found.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(extent(&mut world, 0), None);
    done(&mut world, FileOp::SetLen { file, len: 1 << 30 }).unwrap();
    let at = 512 << 20;
    write(&mut world, file, at, vec![1; 1 << 20]).unwrap();
    let Some((start, end)) = extent(&mut world, 0) else { panic!("no data") };
    assert!(start <= at && end >= at + (1 << 20), "{start} to {end}");
    if start == 0 {
        return eprintln!("skipped: this file system knows no holes");
    }
    assert_eq!(extent(&mut world, at + 5), Some((at + 5, end)));
    assert_eq!(extent(&mut world, end), None);
}

#[test]
fn file_work_is_cut_to_portions_and_answered_in_order() {
    let dir = Dir::new("portions");
    let mut world = World::new();
    let (file, _) = world.open(&dir.path("big"), OpenMode::CreateNew);
    let page = 8 << 20;
    let tickets = world.wish(move |out| {
        let write = |n: u64| FileOp::Write { file, offset: n << 23, page: vec![n as u8; page] };
        (0..12).map(|n| out.file(write(n))).collect::<Vec<_>>()
    });
    expect_mark!("D33", world.turns(1));
    assert_eq!(world.seen().files.len(), FILE_TURN_BYTES / page, "one portion a turn");
    world.until("all", |w| w.seen().files.len() == 12);
    let told: Vec<_> = world.seen().files.iter().map(|(ticket, _)| *ticket).collect();
    assert_eq!(told, tickets);
    assert_eq!(fs::metadata(dir.path("big")).unwrap().len(), 96 << 20);
}
