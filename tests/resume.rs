//! Downloads that end at any moment and go on: crashes at every operation that leaves something on
//! the disk, full disks, failing disks, and part files that others touch.

#[path = "resume/stage.rs"]
mod stage;

use lmk::core::io::{Command, FileError};
use lmk::core::mark::expect_mark;
use lmk::core::report::Ending;
use lmk::core::time::Span;
use lmk::sim::disk::{Fault, On};
use lmk::sim::world::Act;
use stage::{PART, RESUME, Stage, TARGET};

/// More operations than a small download makes.
const OPERATIONS_MAX: u64 = 2_000;
/// Sizes below leave some twenty pieces.
const SIZE: usize = 300_000;

/// Crashes at the n-th lasting operation, then goes on to the end. -> whether there was an n-th.
fn crash_at(n: u64, how: Act, survive_pm: u64) -> bool {
    let mut stage = Stage::new(n, SIZE, survive_pm);
    let leecher = stage.leecher;
    stage.world.disk(leecher).stop_at(n);
    let told = format!("operation {n}, {how:?}, {survive_pm} of 1000 survive");
    if !stage.runs_until(|world| world.disk(leecher).stopped()) {
        stage.must_be_done(&told);
        return false;
    }
    stage.befalls(how);
    let before = stage.vouched();
    let (part, content) = (stage.bytes(PART), stage.content.clone());
    if let (Some(kept), Some(part)) = (&before, part) {
        for piece in kept.durable.ones() {
            let at = stage.span(piece);
            assert_eq!(
                part.get(at.clone()),
                content.get(at),
                "{told}: piece {piece} is vouched for"
            );
        }
    }
    if let Some(bytes) = stage.bytes(TARGET) {
        assert!(bytes == content, "{told}: a target that is not the content");
    }
    stage.befalls(Act::Start);
    assert!(stage.runs_until(|world| world.ending(leecher).is_some()), "{told}: no end");
    stage.must_be_done(&told);
    // The journal's promise: never fewer than it vouched for.
    let durable = before.map_or(0, |kept| u64::from(kept.durable.count()));
    let kept = stage.last_number("resumed", "kept").unwrap_or(0);
    let whole = stage.bytes(TARGET).is_some_and(|_| stage.number_of("resumed") == 0);
    assert!(whole || kept >= (durable * stage.piece()).min(SIZE as u64), "{told}: {kept} kept");
    true
}

#[test]
fn a_crash_at_every_operation_loses_nothing_that_was_vouched_for() {
    let all =
        |body: &dyn Fn()| expect_mark("E16", || expect_mark("E17", || expect_mark("F17", body)));
    all(&|| {
        for (how, survive_pm) in
            [(Act::Kill, 1000), (Act::PowerCut, 0), (Act::PowerCut, 500), (Act::PowerCut, 1000)]
        {
            let reached = (0..OPERATIONS_MAX).take_while(|n| crash_at(*n, how, survive_pm)).count();
            assert!(reached > 50, "only {reached} operations");
            assert!(reached < OPERATIONS_MAX as usize);
        }
    });
}

const EIO: FileError = FileError::Other(5);

fn fault(on: On, name_ends: &'static str, after: u64, error: FileError) -> Fault {
    Fault { on, name_ends, after, times: 1, error }
}

/// The n-th operation of a kind is refused for want of room; without anybody's help the download
/// pauses and comes to its end. -> whether it was refused.
fn full_at(on: On, name_ends: &'static str, n: u64, times: u64) -> bool {
    let mut stage = Stage::new(n, SIZE, 0);
    let leecher = stage.leecher;
    stage.world.disk(leecher).fail(Fault { times, ..fault(on, name_ends, n, FileError::NoSpace) });
    stage.runs_until(|world| world.ending(leecher).is_some());
    let paused = stage.number_of("disk_full");
    if paused == 0 && stage.world.ending(leecher) == Some(Ending::Disk) {
        // Before the part file was ready once: the person is there and is told.
        assert!(stage.line("failed").unwrap().contains("make room"));
        return true;
    }
    stage.must_be_done(&format!("{on:?} {n} of {name_ends} refused"));
    if paused > 0 {
        let line = stage.line("disk_full").unwrap();
        assert!(line.starts_with("disk full: paused at "), "{line}");
        assert!(line.ends_with(" %; free space and it goes on"), "{line}");
        assert_eq!((paused, stage.number_of("disk_room")), (1, 1));
    }
    paused > 0
}

#[test]
fn a_disk_that_is_full_at_any_write_is_waited_for() {
    expect_mark("E02", || {
        let refused = (0..200).take_while(|n| full_at(On::Write, ".lmk-part", *n, 1)).count();
        assert!(refused >= 19, "{refused}");
    });
    // For more than one look at the disk.
    assert!(full_at(On::Write, ".lmk-part", 7, 3));
}

#[test]
fn a_disk_that_is_full_at_a_sync_or_at_the_journal_is_waited_for() {
    expect_mark("E03", || {
        let refused = (0..200).take_while(|n| full_at(On::Write, ".lmk-resume", *n, 1)).count();
        assert!(refused >= 15, "{refused}");
    });
    let refused = (0..200).take_while(|n| full_at(On::Sync, ".lmk-part", *n, 1)).count();
    assert!(refused >= 3, "{refused}");
    let refused = (0..200).take_while(|n| full_at(On::Sync, ".lmk-resume", *n, 1)).count();
    assert!(refused >= 2, "{refused}");
}

/// The n-th operation fails: the leecher stops, and with the power lost right after that it still
/// comes to its end when it is started again. -> whether it failed.
fn broken_at(on: On, name_ends: &'static str, n: u64) -> bool {
    let mut stage = Stage::new(n, SIZE, 0);
    let (leecher, told) = (stage.leecher, format!("{on:?} {n} of {name_ends} fails"));
    stage.world.disk(leecher).fail(fault(on, name_ends, n, EIO));
    stage.runs_until(|world| world.ending(leecher).is_some());
    if stage.world.ending(leecher) == Some(Ending::Done) {
        return false;
    }
    assert_eq!(stage.world.ending(leecher), Some(Ending::Disk), "{told}");
    for act in [Act::Start, Act::PowerCut, Act::Start] {
        stage.befalls(act);
        if act == Act::Start {
            stage.runs_for(Span::secs(9));
        }
    }
    stage.runs_until(|world| world.ending(leecher).is_some());
    stage.must_be_done(&told);
    true
}

#[test]
fn a_disk_that_fails_ends_the_run_and_nothing_since_the_last_sync_is_believed() {
    expect_mark("E04", || {
        expect_mark("E07", || {
            for (on, name, least) in [
                (On::Write, ".lmk-part", 19),
                (On::Sync, ".lmk-part", 3),
                (On::Write, ".lmk-resume", 15),
                (On::Sync, ".lmk-resume", 2),
                (On::Save, ".lmk-resume", 1),
            ] {
                let failed = (0..200).take_while(|n| broken_at(on, name, *n)).count();
                assert!(failed >= least, "{on:?} {name}: {failed}");
            }
        });
    });
}

#[test]
fn a_disk_without_room_for_the_content_is_refused_at_once() {
    expect_mark("E01", || {
        let mut stage = Stage::new(1, SIZE, 0);
        let leecher = stage.leecher;
        stage.world.disk(leecher).set_capacity(SIZE as u64 / 2);
        stage.runs_until(|world| world.ending(leecher).is_some());
        assert_eq!(stage.world.ending(leecher), Some(Ending::Disk));
        let line = stage.line("failed").unwrap();
        assert!(line.contains("needs 293.0 KiB, 146.5 KiB free in /l"), "{line}");
        assert_eq!((stage.bytes(PART), stage.bytes(RESUME)), (None, None));
    });
}

#[test]
fn a_place_that_refuses_is_named() {
    expect_mark("E06", || {
        let mut stage = Stage::new(1, SIZE, 0);
        let leecher = stage.leecher;
        stage.world.disk(leecher).fail(fault(On::Save, ".lmk-resume", 0, FileError::Denied));
        stage.runs_until(|world| world.ending(leecher).is_some());
        assert_eq!(stage.world.ending(leecher), Some(Ending::Disk));
        let line = stage.line("failed").unwrap();
        assert!(line.contains("permission denied") && line.contains("/l must be"), "{line}");
    });
    expect_mark("E08", || {
        let mut stage = Stage::new(1, SIZE, 0);
        let leecher = stage.leecher;
        stage.world.disk(leecher).put_symlink(TARGET, "/l/elsewhere");
        stage.runs_until(|world| world.ending(leecher).is_some());
        assert_eq!(stage.world.ending(leecher), Some(Ending::Refused));
        assert!(stage.line("failed").unwrap().contains("symbolic link"));
    });
}

#[test]
fn a_part_file_that_another_program_touches_is_read_again() {
    let touch: [fn(&mut Stage); 3] = [
        |stage| stage.world.disk(stage.leecher).unlink(PART),
        |stage| _ = stage.world.disk(stage.leecher).edit(PART, |bytes| bytes.truncate(100_000)),
        |stage| stage.world.disk(stage.leecher).put(PART, &[7; SIZE]),
    ];
    for (number, touch) in touch.into_iter().enumerate() {
        expect_mark("E12", || {
            let mut stage = Stage::new(1, SIZE, 0);
            let leecher = stage.leecher;
            stage.runs_to_percent(50);
            touch(&mut stage);
            stage.runs_until(|world| world.ending(leecher).is_some());
            stage.must_be_done(&format!("touch {number}"));
            assert!(stage.number_of("part_changed") > 0);
        });
    }
}

#[test]
fn a_second_leecher_of_the_same_target_is_refused_until_the_first_is_gone() {
    expect_mark("E13", || {
        expect_mark("E14", || {
            let mut stage = Stage::new(1, SIZE, 0);
            let (leecher, second) = (stage.leecher, stage.second);
            stage.runs_to_percent(20);
            let now = stage.world.now();
            stage.world.plan(now, second, Act::Start);
            assert!(stage.runs_until(|world| world.ending(second).is_some()));
            assert_eq!(stage.world.ending(second), Some(Ending::Refused));
            stage.befalls(Act::Kill);
            let now = stage.world.now();
            stage.world.plan(now, second, Act::Start);
            stage.world.run(now);
            stage.world.run_until(now + Span::secs(600), |world| world.ending(second).is_some());
            assert_eq!(stage.world.ending(second), Some(Ending::Done));
            let target = stage.world.disk(leecher).get(TARGET);
            assert!(target.as_ref() == Some(&stage.content));
        });
    });
}

#[test]
fn any_journal_is_survived_and_no_good_data_is_lost() {
    let spoil: [fn(&mut Stage); 6] = [
        |stage| stage.world.disk(stage.leecher).unlink(RESUME),
        |stage| stage.world.disk(stage.leecher).put(RESUME, b""),
        |stage| stage.world.disk(stage.leecher).put(RESUME, &[0; 4096]),
        |stage| stage.world.disk(stage.leecher).put(RESUME, &vec![1; 5 << 20]),
        |stage| stage.world.disk(stage.leecher).put_symlink(RESUME, "/l/elsewhere"),
        |stage| {
            let mut bytes = stage.bytes(RESUME).unwrap();
            bytes[20] ^= 1;
            stage.world.disk(stage.leecher).put(RESUME, &bytes);
        },
    ];
    for (number, spoil) in spoil.into_iter().enumerate() {
        let mut stage = Stage::new(1, SIZE, 0);
        let leecher = stage.leecher;
        stage.runs_to_percent(50);
        stage.befalls(Act::Kill);
        spoil(&mut stage);
        stage.befalls(Act::Start);
        stage.runs_until(|world| world.ending(leecher).is_some());
        stage.must_be_done(&format!("journal {number}"));
        let kept = stage.last_number("resumed", "kept").unwrap();
        assert!(kept * 100 >= SIZE as u64 * 50, "journal {number}: {kept} kept");
        assert_eq!(stage.last_number("resumed", "checked"), Some(SIZE as u64));
    }
}

#[test]
fn a_signal_leaves_everything_durable_and_said() {
    for (row, command, ending) in [
        ("F15", Command::Interrupt, Ending::Interrupted),
        ("F16", Command::Terminate, Ending::Terminated),
    ] {
        let body = || {
            let mut stage = Stage::new(1, SIZE, 0);
            let leecher = stage.leecher;
            stage.runs_to_percent(50);
            stage.befalls(Act::Ask(command));
            let asked = stage.world.now();
            stage.runs_until(|world| world.ending(leecher).is_some());
            assert_eq!(stage.world.ending(leecher), Some(ending));
            assert!(stage.world.now().since(asked) < Span::secs(3));
            let line = stage.line("stopped").unwrap();
            assert!(line.ends_with("%; run the same command to go on"), "{line}");
            // Not even the power is missed now.
            stage.befalls(Act::PowerCut);
            let durable = stage.vouched().unwrap();
            assert!(u64::from(durable.durable.count()) * stage.piece() * 2 >= SIZE as u64);
            assert_eq!((durable.written.count(), durable.clean.is_some()), (0, true));
            stage.befalls(Act::Start);
            stage.runs_until(|world| world.ending(leecher).is_some());
            stage.must_be_done(row);
        };
        match row {
            "F15" => expect_mark("F15", body),
            _ => expect_mark("F16", body),
        }
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut stage = Stage::new(1, SIZE, 0);
    stage.runs_to_percent(50);
    stage.befalls(Act::Ask(Command::Interrupt));
    assert!(stage.world.running(stage.leecher), "it flushes first");
    stage.befalls(Act::Ask(Command::Interrupt));
    assert_eq!(stage.world.ending(stage.leecher), Some(Ending::Interrupted));
}
