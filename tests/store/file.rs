//! The file: what is written is there, what is damaged is put aside, what is not ours is let be.

use super::base::{Base, Folder, name, put, reader};
use lmk::core::id::{InfoHash, Ticket};
use lmk::core::mark::expect_mark;
use lmk::core::store::{Change, StoreDone, StoreError, StoreOp, SwarmPart};
use lmk::core::time::Time;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

#[test]
fn names_come_back_as_they_were_written_in_pages() {
    let folder = Folder::new();
    let path = folder.path("deep/er/t.db");
    let rows: Vec<_> = (1..=40).map(|n| name(n, &format!("name {n}"))).collect();
    let mut base = Base::opened(&path);
    base.write(rows.iter().cloned().map(put).collect()).unwrap();
    let mut again = name(3, "name 3");
    (again.metainfo, again.listed) = (None, true);
    base.write(vec![put(again), Change::DropName(5), Change::Generation(9)]).unwrap();
    drop(base);
    let mut base = Base::new(&path);
    let opened = base.open().unwrap();
    assert_eq!((opened.generation, opened.orderly, opened.damaged), (9, false, None));
    let mut expected = rows;
    expected.retain(|row| row.number != 5);
    expected[2].listed = true;
    assert_eq!(base.names(1), expected);
    assert_eq!(base.names(1 << 20), expected);
    base.write(vec![Change::Orderly]).unwrap();
    drop(base);
    assert!(Base::new(&path).open().unwrap().orderly);
    assert!(!Base::new(&path).open().unwrap().orderly, "that was one run ago");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn counts_come_back_until_they_are_forgotten() {
    let folder = Folder::new();
    let path = folder.path("t.db");
    let mut base = Base::opened(&path);
    let hash = |n| InfoHash([n; 20]);
    let counts = (1..=5).map(|n| Change::Finished(hash(n), u32::from(n)));
    base.write(counts.collect()).unwrap();
    base.write(vec![Change::Finished(hash(2), 20), Change::Finished(hash(4), 0)]).unwrap();
    drop(base);
    let mut base = Base::opened(&path);
    let done = base.ask(StoreOp::Finished { after: Some(hash(1)), rows_max: 2 });
    assert_eq!(done, StoreDone::Finished(Ok(vec![(hash(2), 20), (hash(3), 3)])));
    let done = base.ask(StoreOp::Finished { after: Some(hash(3)), rows_max: 2 });
    assert_eq!(done, StoreDone::Finished(Ok(vec![(hash(5), 5)])));
}

fn part(n: u8, part: u32, last: bool, bytes: usize) -> SwarmPart {
    SwarmPart { hash: InfoHash([n; 20]), part, last, packed: vec![n; bytes] }
}

#[test]
fn a_swarm_that_shrinks_loses_its_last_parts() {
    let folder = Folder::new();
    let mut base = Base::opened(&folder.path("t.db"));
    let three = vec![part(1, 0, false, 9), part(1, 1, false, 9), part(1, 2, true, 9)];
    base.ask(StoreOp::Liveness(three.clone()));
    base.ask(StoreOp::Liveness(vec![part(2, 0, true, 5)]));
    let kept: Vec<(u8, u32)> =
        base.swarms().iter().map(|part| (part.hash.0[0], part.part)).collect();
    assert_eq!(kept, [(1, 0), (1, 1), (1, 2), (2, 0)]);
    base.ask(StoreOp::Liveness(vec![part(1, 0, false, 9), part(1, 1, true, 3)]));
    base.ask(StoreOp::Liveness(vec![part(2, 0, true, 0)]));
    let kept: Vec<usize> = base.swarms().iter().map(|part| part.packed.len()).collect();
    assert_eq!(kept, [9, 3]);
}

#[test]
fn what_nobody_waits_for_is_written_in_slices_and_what_somebody_waits_for_overtakes_it() {
    let folder = Folder::new();
    let mut base = Base::opened(&folder.path("t.db"));
    let parts: Vec<SwarmPart> = (0..2000u32)
        .map(|n| {
            let mut hash = [0; 20];
            hash[..4].copy_from_slice(&n.to_be_bytes());
            SwarmPart { hash: InfoHash(hash), part: 0, last: true, packed: vec![1; 8_000] }
        })
        .collect();
    let peers = base.wish(StoreOp::Liveness(parts));
    let mut slices = 0;
    let mut turns = Vec::new();
    let (mut overtook, mut over) = (false, false);
    while !over {
        let names =
            (slices == 0).then(|| base.wish(StoreOp::Write(vec![Change::Generation(slices)])));
        let began = Instant::now();
        let answers = base.commit();
        turns.push(began.elapsed());
        slices += 1;
        overtook |= answers.iter().any(|(ticket, _)| Some(*ticket) == names);
        over = answers.iter().any(|(ticket, _)| *ticket == peers);
    }
    assert!(overtook && slices > 10, "{slices} slices");
    turns.sort_unstable_by(|a, b| b.cmp(a));
    turns.truncate(5);
    println!("{slices} slices for 16 MB, longest turns {turns:?}");
    assert_eq!(base.swarms().len(), 2000);
}

#[test]
fn all_writes_of_a_turn_are_one_transaction() {
    let folder = Folder::new();
    let mut base = Base::opened(&folder.path("t.db"));
    let wished: Vec<_> =
        (1..=50).map(|n| base.wish(StoreOp::Write(vec![put(name(n, "x"))]))).collect();
    let answers = base.commit_by(&mut || Time(1));
    assert_eq!(numbers(&answers), wished.iter().map(|ticket| (*ticket, 1)).collect::<Vec<_>>());
}

/// Which write was kept by which transaction.
fn numbers(answers: &[(Ticket, StoreDone)]) -> Vec<(Ticket, u64)> {
    let number = |(ticket, done): &(Ticket, StoreDone)| match done {
        StoreDone::Written { result: Ok(()), commit } => (*ticket, commit.number),
        other => panic!("{other:?}"),
    };
    answers.iter().map(number).collect()
}

#[test]
fn a_turn_that_is_over_leaves_the_rest_to_the_next_transaction() {
    let folder = Folder::new();
    let mut base = Base::opened(&folder.path("t.db"));
    let wished: Vec<_> =
        (1..=3).map(|n| base.wish(StoreOp::Write(vec![put(name(n, "x"))]))).collect();
    let mut now = 0;
    for (at, ticket) in wished.into_iter().enumerate() {
        let answers = base.commit_by(&mut || {
            now += 1_000_000;
            Time(now)
        });
        assert_eq!(numbers(&answers), [(ticket, at as u64 + 1)]);
    }
}

#[test]
fn a_damaged_file_is_put_aside_and_never_lost() {
    for (at, len) in [(0, 100), (0, 8), (5000, 8000)] {
        let folder = Folder::new();
        let path = folder.path("t.db");
        let rows = (1..=400).map(|n| put(name(n, "a name that takes some room")));
        Base::opened(&path).write(rows.collect()).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        assert!(bytes.len() > 50_000, "the log was not written back");
        bytes[at..at + len].fill(0x5a);
        fs::write(&path, &bytes).unwrap();
        let mut base = Base::new(&path);
        let opened = expect_mark!("C17", base.open()).unwrap();
        let aside = opened.damaged.expect("it is damaged");
        assert!(aside.to_str().unwrap().ends_with("t.db.corrupt-77"), "{aside:?}");
        assert_eq!(fs::read(aside).unwrap(), bytes);
        assert_eq!(base.names(1 << 20), []);
        base.write(vec![put(name(1, "new"))]).unwrap();
    }
}

#[test]
fn a_generation_that_nobody_counted_to_is_damage() {
    let folder = Folder::new();
    let path = folder.path("t.db");
    Base::opened(&path).write(vec![Change::Generation(u64::MAX)]).unwrap();
    let mut base = Base::new(&path);
    let opened = base.open().unwrap();
    assert!(opened.damaged.is_some(), "the next change would have no number");
    assert_eq!(opened.generation, 0);
    base.write(vec![Change::Generation(u64::MAX >> 1)]).unwrap();
    drop(base);
    assert_eq!(Base::new(&path).open().unwrap().generation, u64::MAX >> 1);
}

#[test]
fn what_is_newer_or_not_ours_is_left_alone() {
    let pragma = |path: &Path, sql: &str| reader(path).execute_batch(sql).unwrap();
    let folder = Folder::new();
    let newer = folder.path("newer.db");
    drop(Base::opened(&newer));
    pragma(&newer, "PRAGMA user_version = 2");
    let foreign = folder.path("foreign.db");
    pragma(&foreign, "CREATE TABLE theirs (a); PRAGMA application_id = 5");
    let unmarked = folder.path("unmarked.db");
    pragma(&unmarked, "CREATE TABLE theirs (a)");
    for (path, error) in [
        (&newer, StoreError::Newer(2)),
        (&foreign, StoreError::Foreign),
        (&unmarked, StoreError::Foreign),
    ] {
        let before = fs::read(path).unwrap();
        assert_eq!(Base::new(path).open(), Err(error));
        assert_eq!(fs::read(path).unwrap(), before);
    }
    assert_eq!(folder.with("corrupt"), Vec::<String>::new());
}

/// Whoever names the wrong file with `--db` finds it as it was.
#[test]
fn a_file_that_is_no_database_at_all_is_left_alone() {
    let noise: Vec<u8> = (0..20_000u32).map(|n| ((n * 7919) >> 5) as u8).collect();
    for bytes in [&b"notes of somebody\n"[..], &noise, b"S", &[0; 4096], b"SQLite format 3\0"] {
        let folder = Folder::new();
        let path = folder.path("holiday.jpg");
        fs::write(&path, bytes).unwrap();
        assert_eq!(Base::new(&path).open(), Err(StoreError::Foreign));
        assert_eq!(fs::read(&path).unwrap(), bytes);
        let beside = folder.with("holiday.jpg");
        assert!(beside.iter().all(|name| name.ends_with(".jpg") || name.ends_with(".lock")));
    }
}

/// A run that was killed early has everything in its log.
#[test]
fn a_damaged_file_whose_tables_are_in_its_log_is_known_as_ours() {
    let folder = Folder::new();
    let (path, copy) = (folder.path("t.db"), folder.path("copy.db"));
    let mut base = Base::opened(&path);
    base.write(vec![put(name(1, "x"))]).unwrap();
    fs::write(&copy, [9; 4096]).unwrap();
    fs::copy(folder.path("t.db-wal"), folder.path("copy.db-wal")).unwrap();
    let opened = Base::new(&copy).open().unwrap();
    assert!(opened.damaged.is_some());
}

#[test]
fn a_lock_of_another_program_is_waited_for_without_holding_the_loop() {
    let folder = Folder::new();
    let path = folder.path("t.db");
    let mut base = Base::opened(&path);
    let other = reader(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let wished = base.wish(StoreOp::Write(vec![put(name(1, "x"))]));
    let began = std::time::Instant::now();
    expect_mark!("C17", assert_eq!(base.commit(), []));
    // SQLite itself would wait five seconds.
    assert!(began.elapsed().as_secs() < 4, "it waited");
    other.execute_batch("ROLLBACK").unwrap();
    let answers = base.commit();
    assert_eq!(answers[0].0, wished);
    assert!(matches!(answers[0].1, StoreDone::Written { result: Ok(()), .. }));
}

/// Whoever asked behind it does not wait as long once more.
#[test]
fn a_lock_that_is_held_too_long_is_told_to_all_who_wait_and_to_nobody_late() {
    let folder = Folder::new();
    let path = folder.path("t.db");
    let mut base = Base::opened(&path);
    let other = reader(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let at = |base: &mut Base, s: u64| base.commit_by(&mut || Time(s * 1_000_000_000));
    let busy = |answers: Vec<(Ticket, StoreDone)>| {
        let refused = |done: &StoreDone| {
            matches!(done, StoreDone::Written { result: Err(StoreError::Busy), .. })
        };
        assert!(answers.iter().all(|(_, done)| refused(done)), "{answers:?}");
        answers.into_iter().map(|(ticket, _)| ticket).collect::<Vec<_>>()
    };
    let write = |n| StoreOp::Write(vec![put(name(n, "x"))]);
    let wished: Vec<Ticket> = (1..=3).map(|n| base.wish(write(n))).collect();
    assert_eq!(at(&mut base, 1), []);
    assert_eq!(busy(at(&mut base, 7)), wished, "all at once");
    let late = base.wish(write(4));
    assert_eq!(busy(at(&mut base, 8)), [late], "without a wait of its own");
    other.execute_batch("ROLLBACK").unwrap();
    base.wish(write(5));
    assert_eq!(numbers(&at(&mut base, 9)).len(), 1);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    base.wish(write(6));
    assert_eq!(at(&mut base, 10), [], "a new lock is waited for anew");
}

#[test]
fn names_are_values_whatever_they_say() {
    let folder = Folder::new();
    let path = folder.path("t.db");
    let mut base = Base::opened(&path);
    let evil = "x'); DROP TABLE names; --";
    let rows = vec![put(name(1, evil)), put(name(2, "\"; DELETE FROM names; '"))];
    expect_mark!("C19", base.write(rows)).unwrap();
    let names: Vec<String> = base.names(1 << 20).into_iter().map(|row| row.name).collect();
    assert_eq!(names, [evil, "\"; DELETE FROM names; '"]);
}

/// No statement is put together: every call takes a constant of the schema.
#[test]
fn statements_are_constants() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let calls = ["prepare(", "prepare_cached(", "execute_batch(", "query_row(", "pragma_update("];
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let code: String = fs::read_to_string(&path).unwrap().split_whitespace().collect();
        let code = code.as_str();
        for call in calls {
            for (at, _) in code.match_indices(call) {
                let argument = &code[at + call.len()..];
                let constant = ["schema::", "synchronous)"];
                assert!(
                    constant.iter().any(|begin| argument.starts_with(begin)),
                    "{path:?}: {}",
                    &code[at..(at + 60).min(code.len())]
                );
                seen += 1;
            }
        }
        if !path.ends_with("opening.rs") {
            assert!(!code.contains("format!("), "{path:?} puts text together");
        }
    }
    assert!(seen > 20, "only {seen} statements were found");
}
