//! Scenes about rows of files: the files of a folder as one.

use crate::scripted::{FileSteps, pattern};
use crate::suite::{Stage, Thing, answers, is_open, opened, reads, serve_and_fetch};
use lmk::core::chunk::{Chunk, FileSpan};
use lmk::core::id::FileId;
use lmk::core::io::{FileDone, FileError, FileKind, FileOp, Meta, OpenMode};
use lmk::core::row::{Row, RowFile};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// `a` has 5 bytes, `d/empty` none, `d/e/b` begins at 8 and has 6; two bytes of padding follow.
fn row(wanted: [bool; 3], aside: Option<PathBuf>) -> Rc<Row> {
    let file = |path: &str, offset, len, wanted| RowFile {
        path: path.as_bytes().into(),
        offset,
        len,
        wanted,
        executable: false,
    };
    let [a, empty, b] = wanted;
    let files = vec![file("a", 0, 5, a), file("d/empty", 5, 0, empty), file("d/e/b", 8, 6, b)];
    Rc::new(Row::new(files, 16, aside).expect("a row"))
}

fn open(root: &Path, mode: OpenMode) -> impl FnOnce(&[FileId]) -> FileOp + use<> {
    let root = root.to_path_buf();
    move |_| FileOp::OpenRow { root, row: row([true; 3], None), mode }
}

fn read(n: usize, offset: u64, len: usize) -> impl FnOnce(&[FileId]) -> FileOp {
    move |files| FileOp::Read { file: files[n], offset, page: vec![0xee; len] }
}

fn write(offset: u64, bytes: &'static [u8]) -> impl FnOnce(&[FileId]) -> FileOp {
    move |files| FileOp::Write { file: files[0], offset, page: bytes.to_vec() }
}

fn set_len(files: &[FileId]) -> FileOp {
    FileOp::SetLen { file: files[0], len: 16 }
}

fn sync(meta: bool) -> impl FnOnce(&[FileId]) -> FileOp {
    move |files| FileOp::Sync { file: files[0], meta }
}

fn guard(files: &[FileId]) -> FileOp {
    FileOp::Guard { file: files[0] }
}

fn has_size(size: u64) -> impl FnOnce(Result<Meta, FileError>) {
    move |meta| {
        let meta = meta.expect("opened");
        assert_eq!((meta.kind, meta.size), (FileKind::Directory, size));
    }
}

fn stat(n: usize, size: u64) -> (impl FnOnce(&[FileId]) -> FileOp, impl FnOnce(FileDone)) {
    let told = move |done| match done {
        FileDone::Meta(meta) => has_size(size)(meta),
        other => panic!("{other:?}"),
    };
    (move |files: &[FileId]| FileOp::StatOpen { file: files[n] }, told)
}

fn is_guarded(done: FileDone) {
    assert!(matches!(done, FileDone::Guarded(Ok(_))), "{done:?}");
}

fn reads_error(error: FileError) -> impl FnOnce(FileDone) {
    move |done| match done {
        FileDone::Read { result, .. } => assert_eq!(result, Err(error)),
        other => panic!("{other:?}"),
    }
}

fn extent(expected: Option<(u64, u64)>) -> impl FnOnce(FileDone) {
    move |done| match done {
        FileDone::Extent(found) => assert_eq!(found, Ok(expected)),
        other => panic!("{other:?}"),
    }
}

/// The folder with its three files.
fn made(stage: &mut dyn Stage, name: &str) -> PathBuf {
    let root = stage.folder().join(name);
    for folder in [root.clone(), root.join("d"), root.join("d/e")] {
        stage.make(Thing::Directory, &folder);
    }
    stage.make(Thing::File(b"first"), &root.join("a"));
    stage.make(Thing::File(b""), &root.join("d/empty"));
    stage.make(Thing::File(b"second"), &root.join("d/e/b"));
    root
}

pub fn the_files_of_a_folder_are_one_file(stage: &mut dyn Stage) {
    let root = stage.folder().join("row");
    let (again, done) = (root.clone(), stage.folder().join("done"));
    let (from, to, named) = (root.clone(), done.clone(), done.clone());
    let (fresh, whole) = (stat(0, 0), stat(0, 16));
    let steps = FileSteps::default()
        .then(open(&root, OpenMode::Update), answers(Err(FileError::NotFound)))
        .then(open(&root, OpenMode::CreateNew), opened(has_size(0)))
        .then(open(&root, OpenMode::CreateNew), answers(Err(FileError::Exists)))
        .then(fresh.0, fresh.1)
        .then(|files| FileOp::NextExtent { file: files[0], offset: 0 }, extent(None))
        .then(read(0, 0, 20), reads(vec![0; 16]))
        .then(write(3, b"st...second.."), answers(Ok(())))
        .then(write(9, b"12345678"), |done| {
            assert!(matches!(done, FileDone::Wrote { result: Err(_), .. }), "{done:?}");
        })
        .then(set_len, answers(Ok(())))
        .then(
            |files| FileOp::SetLen { file: files[0], len: 9 },
            |done| {
                assert!(matches!(done, FileDone::Done(Err(_))), "{done:?}");
            },
        )
        .then(whole.0, whole.1)
        .then(write(0, b"fir"), answers(Ok(())))
        .then(read(0, 0, 20), reads(b"first\0\0\0second\0\0".to_vec()))
        .then(read(0, 4, 5), reads(b"t\0\0\0s".to_vec()))
        .then(read(0, 16, 5), reads(Vec::new()))
        .then(
            |files| FileOp::NextExtent { file: files[0], offset: 6 },
            |done| match done {
                FileDone::Extent(Ok(Some((8, end)))) => assert!(end >= 14, "{end}"),
                other => panic!("{other:?}"),
            },
        )
        .then(|files| FileOp::NextExtent { file: files[0], offset: 14 }, extent(None))
        .then(|files| FileOp::SetPlainMode { file: files[0] }, answers(Ok(())))
        .then(|files| FileOp::WriteBack { file: files[0], offset: 0, len: 16 }, answers(Ok(())))
        .then(sync(false), answers(Ok(())))
        .then(sync(true), answers(Ok(())))
        .then(move |_| FileOp::Rename { from, to, replace: false }, answers(Ok(())))
        .then(
            move |files| FileOp::StatNamed { file: files[0], path: again },
            answers(Err(FileError::NotFound)),
        )
        .then(move |files| FileOp::StatNamed { file: files[0], path: named }, answers(Ok(())))
        .then(read(0, 9, 3), reads(b"eco".to_vec()))
        .then(open(&done, OpenMode::Read), opened(has_size(16)))
        .then(read(1, 0, 5), reads(b"first".to_vec()))
        .then(|files| FileOp::Close { file: files[0] }, answers(Ok(())))
        .then(read(0, 0, 5), |done| {
            assert!(matches!(done, FileDone::Read { result: Err(_), .. }), "{done:?}");
        });
    stage.play(vec![steps.role()]);
    assert_eq!(stage.get(&done.join("a")).as_deref(), Some(&b"first"[..]));
    assert_eq!(stage.get(&done.join("d/empty")).as_deref(), Some(&b""[..]));
    assert_eq!(stage.get(&done.join("d/e/b")).as_deref(), Some(&b"second"[..]));
    assert_eq!(stage.get(&root.join("a")), None);
}

pub fn what_is_unwanted_of_a_row_is_kept_aside(stage: &mut dyn Stage) {
    let (root, aside) = (stage.folder().join("some"), stage.folder().join("aside"));
    let open = |mode| {
        let (root, aside) = (root.clone(), aside.clone());
        move |_: &[FileId]| {
            let row = row([false, true, true], Some(aside));
            FileOp::OpenRow { root, row, mode }
        }
    };
    let path = aside.clone();
    let whole = stat(0, 16);
    let steps = FileSteps::default()
        .then(open(OpenMode::CreateNew), opened(has_size(0)))
        .then(set_len, answers(Ok(())))
        .then(whole.0, whole.1)
        .then(write(3, b"st...sec"), answers(Ok(())))
        .then(read(0, 0, 11), reads(b"\0\0\0st\0\0\0sec".to_vec()))
        .then(sync(true), answers(Ok(())))
        .then(open(OpenMode::Update), opened(has_size(16)))
        .then(move |_| FileOp::Remove { path }, answers(Ok(())))
        .then(read(1, 2, 9), reads(b"\0st\0\0\0sec".to_vec()))
        .then(read(0, 2, 9), reads(b"\0st\0\0\0sec".to_vec()));
    stage.play(vec![steps.role()]);
    assert_eq!(stage.get(&root.join("a")), None);
    assert_eq!(stage.get(&root.join("d/e/b")).as_deref(), Some(&b"sec\0\0\0"[..]));
    assert_eq!(stage.get(&aside), None);
}

pub fn what_was_kept_aside_is_read_with_the_rest_until_that_is_pinned(stage: &mut dyn Stage) {
    let (root, aside) = (made(stage, "proven"), stage.folder().join("proof"));
    // Where the files of the row lie in it.
    stage.make(Thing::File(b"FIRST"), &aside);
    let (path, kept) = (aside.clone(), aside);
    let of_both = move |_: &[FileId]| {
        let row = row([false, true, true], Some(kept));
        FileOp::OpenRow { root, row, mode: OpenMode::Read }
    };
    let known: Rc<std::cell::Cell<Option<Meta>>> = Rc::default();
    let (knows, says) = (known.clone(), known);
    let steps = FileSteps::default()
        .then(of_both, opened(move |meta| knows.set(Some(meta.expect("there")))))
        .then(read(0, 0, 16), reads(b"FIRST\0\0\0second\0\0".to_vec()))
        .then(
            |files| FileOp::NextExtent { file: files[0], offset: 0 },
            |done| {
                assert!(matches!(done, FileDone::Extent(Ok(Some((0, _))))), "{done:?}");
            },
        )
        // It goes once it has proven the rest, of which nothing has changed then.
        .then(move |_| FileOp::Remove { path }, answers(Ok(())))
        .then(
            move |files| FileOp::Pin { file: files[0], meta: says.get().expect("known") },
            answers(Ok(())),
        )
        .then(read(0, 8, 6), reads(b"second".to_vec()))
        .then(read(0, 0, 5), reads(b"".to_vec()));
    stage.play(vec![steps.role()]);
}

pub fn what_is_unwanted_of_a_row_is_removed_with_the_folders_that_only_it_lay_in(
    stage: &mut dyn Stage,
) {
    let (root, aside) = (made(stage, "fewer"), stage.folder().join("fewer-aside"));
    let whole = root.clone();
    let open = |wanted, mode| {
        let (root, aside) = (root.clone(), aside.clone());
        move |_: &[FileId]| FileOp::OpenRow { root, row: row(wanted, Some(aside)), mode }
    };
    let remove = |n: usize| move |files: &[FileId]| FileOp::RemoveUnwanted { file: files[n] };
    let stat = |path: &str| {
        let path = root.join(path);
        move |_: &[FileId]| FileOp::Stat { path }
    };
    let gone = || answers(Err(FileError::NotFound));
    let steps = FileSteps::default()
        .then(open([true, true, false], OpenMode::Read), is_open)
        .then(remove(0), |done| assert!(matches!(done, FileDone::Done(Err(_))), "{done:?}"))
        .then(stat("d/e/b"), answers(Ok(())))
        .then(open([true, true, false], OpenMode::Update), is_open)
        .then(remove(1), answers(Ok(())))
        .then(stat("d/e"), gone())
        .then(stat("d/empty"), answers(Ok(())))
        .then(stat("a"), answers(Ok(())))
        // Nothing is left of it to be removed.
        .then(remove(1), answers(Ok(())))
        .then(|files| FileOp::Sync { file: files[1], meta: true }, answers(Ok(())))
        .then(open([true, false, false], OpenMode::Update), is_open)
        .then(remove(2), answers(Ok(())))
        .then(stat("d"), gone())
        .then(stat("a"), answers(Ok(())));
    stage.play(vec![steps.role()]);
    assert_eq!(stage.get(&whole.join("a")).as_deref(), Some(&b"first"[..]));
}

pub fn two_names_of_one_file_are_no_row_to_write_to(stage: &mut dyn Stage) {
    let root = stage.folder().join("twins");
    for folder in [root.clone(), root.join("d"), root.join("d/e")] {
        stage.make(Thing::Directory, &folder);
    }
    stage.make(Thing::File(b"first"), &root.join("a"));
    stage.make(Thing::Twin(&root.join("a")), &root.join("d/e/b"));
    let some = |wanted| {
        let root = root.clone();
        move |_: &[FileId]| FileOp::OpenRow { root, row: row(wanted, None), mode: OpenMode::Update }
    };
    let steps = FileSteps::default()
        .then(some([true, true, true]), answers(Err(FileError::OneFile(0, 2))))
        .then(some([true, true, false]), is_open)
        // Not wanted, and yet it stays: it is one that is.
        .then(|files| FileOp::RemoveUnwanted { file: files[0] }, answers(Ok(())))
        .then(open(&root, OpenMode::Read), is_open)
        .then(read(1, 0, 5), reads(b"first".to_vec()));
    stage.play(vec![steps.role()]);
    assert_eq!(stage.get(&root.join("d/e/b")).as_deref(), Some(&b"first"[..]));
}

pub fn a_guarded_row_tells_that_somebody_else_wrote_to_one_of_its_files(stage: &mut dyn Stage) {
    let root = made(stage, "guarded");
    let (one, gone) = (root.join("d/e/b"), root.join("d/empty"));
    let lacks = stat(0, 17);
    let steps = FileSteps::default()
        .then(open(&root, OpenMode::Update), opened(has_size(16)))
        .then(guard, is_guarded)
        .then(write(4, b"T...S"), answers(Ok(())))
        .then(sync(true), answers(Ok(())))
        .then(write(9, b"E"), answers(Ok(())))
        .then(read(0, 0, 16), reads(b"firsT\0\0\0SEcond\0\0".to_vec()))
        .then(move |_| FileOp::Open { path: one, mode: OpenMode::Update }, is_open)
        .then(
            |files| FileOp::Write { file: files[1], offset: 6, page: b"more".to_vec() },
            answers(Ok(())),
        )
        .then(read(0, 8, 2), reads_error(FileError::Changed))
        .then(write(8, b"s"), answers(Err(FileError::Changed)))
        .then(sync(true), answers(Err(FileError::Changed)))
        // What it is from now on is what counts.
        .then(guard, is_guarded)
        .then(sync(true), answers(Ok(())))
        .then(read(0, 8, 9), reads(b"SEcond\0\0".to_vec()))
        .then(set_len, answers(Ok(())))
        .then(move |_| FileOp::Remove { path: gone }, answers(Ok(())))
        .then(lacks.0, lacks.1)
        .then(sync(true), answers(Err(FileError::Changed)));
    stage.play(vec![steps.role()]);
    assert_eq!(stage.get(&root.join("d/e/b")).as_deref(), Some(&b"SEcond"[..]));
}

pub fn a_pinned_row_gives_out_nothing_of_another_version(stage: &mut dyn Stage) {
    let root = made(stage, "pinned");
    let new = stage.folder().join("new");
    stage.make(Thing::File(b"FIRST"), &new);
    let to = root.join("a");
    let pin = |files: &[FileId], meta| FileOp::Pin { file: files[0], meta };
    let known: Rc<std::cell::Cell<Option<Meta>>> = Rc::default();
    let (knows, says) = (known.clone(), known);
    let steps = FileSteps::default()
        .then(
            open(&root, OpenMode::Read),
            opened(move |meta| knows.set(Some(meta.expect("there")))),
        )
        .then(move |files| pin(files, says.get().expect("known")), answers(Ok(())))
        .then(read(0, 0, 5), reads(b"first".to_vec()))
        .then(write(0, b"x"), |done| {
            assert!(matches!(done, FileDone::Wrote { result: Err(_), .. }), "{done:?}");
        })
        .then(move |_| FileOp::Rename { from: new, to, replace: true }, answers(Ok(())))
        .then(read(0, 0, 5), reads_error(FileError::STALE))
        .then(read(0, 8, 5), reads_error(FileError::STALE));
    stage.play(vec![steps.role()]);
}

pub fn a_row_leaves_as_one_file_does(stage: &mut dyn Stage) {
    let root = stage.folder().join("leaves");
    stage.make(Thing::Directory, &root);
    let content = pattern(600_000);
    let (mut files, mut expected, mut at) = (Vec::new(), Vec::new(), 0);
    for (n, end) in [10, 200_000, 200_001, 550_000, 600_000].into_iter().enumerate() {
        let name = format!("{n}");
        let bytes = &content[expected.len() - n * 7..end];
        stage.make(Thing::File(bytes), &root.join(&name));
        let (path, len) = (name.into_bytes().into(), bytes.len() as u64);
        files.push(RowFile { path, offset: at, len, wanted: true, executable: false });
        expected.extend_from_slice(bytes);
        expected.extend_from_slice(&[0; 7]);
        at = expected.len() as u64;
    }
    let row = Rc::new(Row::new(files, at, None).expect("a row"));
    expected.extend_from_slice(b"end");
    let chunks = |out: &mut lmk::core::io::Outbox, conn, file| {
        let all = FileSpan { file, offset: 0, len: 600_035 };
        out.send_chunk(conn, Chunk::File(all));
        out.send(conn, b"end");
    };
    let open_as = FileOp::OpenRow { root, row, mode: OpenMode::Read };
    serve_and_fetch(stage, open_as, chunks, expected);
}

pub fn a_row_lies_in_a_folder_and_in_nothing_else(stage: &mut dyn Stage) {
    let root = made(stage, "real");
    let [file, link, linked] = ["file", "link", "linked"].map(|name| stage.folder().join(name));
    stage.make(Thing::File(b"x"), &file);
    stage.make(Thing::Symlink(&root), &link);
    stage.make(Thing::Directory, &linked);
    stage.make(Thing::Symlink(&root.join("d")), &linked.join("d"));
    stage.make(Thing::Symlink(&root.join("a")), &linked.join("a"));
    let steps = FileSteps::default()
        .then(open(&file, OpenMode::Update), answers(Err(FileError::NotRegular)))
        .then(open(&link, OpenMode::Update), answers(Err(FileError::NotRegular)))
        .then(open(&link, OpenMode::Read), opened(has_size(16)))
        .then(open(&linked, OpenMode::Update), opened(has_size(0)))
        .then(
            |files| FileOp::Write { file: files[1], offset: 9, page: b"x".to_vec() },
            |done| assert!(matches!(done, FileDone::Wrote { result: Err(_), .. }), "{done:?}"),
        )
        .then(
            |files| FileOp::SetLen { file: files[1], len: 16 },
            |done| assert!(matches!(done, FileDone::Done(Err(_))), "{done:?}"),
        );
    stage.play(vec![steps.role()]);
    assert_eq!(stage.get(&root.join("a")).as_deref(), Some(&b"first"[..]));
    assert_eq!(stage.get(&root.join("d/e/b")).as_deref(), Some(&b"second"[..]));
}
