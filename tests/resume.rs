//! Downloads that end at any moment and go on: crashes at every operation that leaves something on
//! the disk, full disks, failing disks, and part files that others touch.

#[path = "resume/chosen.rs"]
mod chosen;
#[path = "resume/folders.rs"]
mod folders;
#[path = "seeds/mod.rs"]
mod seeds;
#[path = "resume/stage.rs"]
mod stage;
#[path = "resume/swarms.rs"]
mod swarms;

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
/// Enough for a disk to have room for some of it and not for all.
const BIG: usize = 24 << 20;

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
    assert_eq!(stage.number_of("part_changed"), 0, "{told}: a false alarm");
    // The journal's promise: never fewer than it vouched for.
    let durable = before.map_or(0, |kept| stage.geometry.payload_of(&kept.durable));
    let kept = stage.last_number("resumed", "kept").unwrap_or(0);
    let whole = stage.bytes(TARGET).is_some_and(|_| stage.number_of("resumed") == 0);
    assert!(whole || kept >= durable, "{told}: {kept} kept");
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
    assert_eq!(stage.number_of("part_changed"), 0, "{on:?} {n}: a false alarm");
    if paused > 0 {
        let line = stage.line("disk_full").unwrap();
        assert!(line.starts_with("disk full – paused, "), "{line}");
        assert!(line.ends_with(" % kept; free space and it goes on"), "{line}");
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
fn a_disk_that_is_full_at_a_sync_is_waited_for() {
    let refused = (0..200).take_while(|n| full_at(On::Sync, ".lmk-part", *n, 1)).count();
    assert!(refused >= 3, "{refused}");
}

/// The n-th operation on the journal alone finds no room: the data goes on, and after a loss of the
/// power nothing is missing that was vouched for. -> whether it was refused.
fn journal_full_at(on: On, n: u64) -> bool {
    let mut stage = Stage::new(n, SIZE, 0);
    let (leecher, told) = (stage.leecher, format!("{on:?} {n} of the journal refused"));
    stage.world.disk(leecher).fail(fault(on, ".lmk-resume", n, FileError::NoSpace));
    stage.runs_until(|world| world.ending(leecher).is_some());
    if stage.number_of("failed") > 0 {
        // Before there was a first journal: the person is there and is told.
        assert!(stage.line("failed").unwrap().contains("make room"), "{told}");
        return true;
    }
    stage.must_be_done(&told);
    assert_eq!((stage.number_of("disk_full"), stage.number_of("resumed")), (0, 0), "{told}");
    stage.world.disk(leecher).refusals_left() == 0
}

#[test]
fn a_journal_without_room_holds_nothing_up() {
    expect_mark("E03", || {
        for (on, least) in [(On::Write, 15), (On::Sync, 2), (On::Save, 1)] {
            let refused = (0..200).take_while(|n| journal_full_at(on, *n)).count();
            assert!(refused >= least, "{on:?}: {refused}");
        }
    });
}

#[test]
fn the_data_runs_only_so_far_ahead_of_a_journal_without_room() {
    const SIZE: u64 = 80 << 20;
    let mut stage = Stage::new(1, SIZE as usize, 0);
    let leecher = stage.leecher;
    let refused = fault(On::Write, ".lmk-resume", 3, FileError::NoSpace);
    stage.world.disk(leecher).fail(Fault { times: 4, ..refused });
    stage.runs_until(|world| world.events(leecher).iter().any(|(_, e)| e.kind == "disk_full"));
    stage.runs_for(Span::secs(5));
    let asked = stage.downloaded();
    assert!((30 << 20..=64 << 20).contains(&asked), "{asked} bytes ahead");
    stage.runs_for(Span::secs(5));
    assert_eq!((stage.downloaded(), stage.number_of("disk_full")), (asked, 1));
    stage.runs_until(|world| world.ending(leecher).is_some());
    stage.must_be_done("a journal without room for forty seconds");
    let told = ["disk_full", "disk_room", "resumed", "peer_gone", "part_changed"];
    assert_eq!(told.map(|kind| stage.number_of(kind)), [1, 1, 0, 1, 0]);
}

#[test]
fn a_journal_that_found_no_room_vouches_for_everything_once_there_is() {
    for (on, n) in [(On::Write, 3), (On::Sync, 0)] {
        let mut stage = Stage::new(1, SIZE, 0);
        let leecher = stage.leecher;
        stage.world.disk(leecher).fail(fault(on, ".lmk-resume", n, FileError::NoSpace));
        stage.runs_until(|world| world.disk(leecher).refusals_left() == 0);
        // It is tried again after 10 s, and synced at the latest 5 s later.
        stage.runs_for(Span::secs(9));
        stage.befalls(Act::PowerCut);
        stage.befalls(Act::Start);
        stage.runs_until(|world| world.ending(leecher).is_some());
        stage.must_be_done("power lost while the journal was full");
        let mut stage = Stage::slow(1, SIZE);
        stage.world.disk(leecher).fail(fault(on, ".lmk-resume", n, FileError::NoSpace));
        assert!(stage.runs_until(|world| world.disk(leecher).refusals_left() == 0));
        stage.runs_for(Span::secs(9));
        let (before, stored) = (stage.vouched().unwrap().durable.count(), stage.stored());
        assert!(before < stored && stored < stage.pieces(), "{before} of {stored}");
        stage.runs_for(Span::secs(7));
        let vouched = stage.vouched().unwrap().durable.count();
        assert!(vouched >= stored, "{on:?}: {vouched} of {stored}");
        stage.runs_until(|world| world.ending(leecher).is_some());
        stage.must_be_done("the journal was full");
    }
}

#[test]
fn a_full_disk_pauses_at_once_keeps_its_connections_and_goes_on_with_room_for_some_more() {
    let mut stage = Stage::new(1, BIG, 0);
    let leecher = stage.leecher;
    // Half of it fits.
    stage.world.disk(leecher).set_capacity(u64::MAX / 2);
    stage.runs_to_percent(20);
    stage.world.disk(leecher).set_capacity(BIG as u64 / 2);
    stage.runs_until(|world| world.events(leecher).iter().any(|(_, e)| e.kind == "disk_full"));
    stage.runs_for(Span::secs(1));
    let asked = stage.downloaded();
    stage.runs_for(Span::secs(60));
    assert_eq!(stage.downloaded(), asked, "it asks for more although nothing fits");
    assert_eq!(stage.number_of("disk_full"), 1);
    let kept = stage.last_number("disk_full", "percent").unwrap();
    assert!((30..=50).contains(&kept), "{kept}");
    let waiting = stage.world.snapshot(leecher).unwrap().waiting.unwrap();
    assert_eq!(waiting, format!("disk full – paused, {kept} % kept; free space and it goes on"));
    // Room for some more, and by far not for all.
    stage.world.disk(leecher).set_capacity(BIG as u64 / 2 + (5 << 20));
    stage.runs_for(Span::secs(11));
    assert_eq!(stage.number_of("disk_room"), 1);
    assert!(stage.downloaded() > asked, "it does not go on");
    stage.runs_for(Span::secs(60));
    assert_eq!(stage.number_of("disk_full"), 2);
    stage.world.disk(leecher).set_capacity(1 << 40);
    stage.runs_until(|world| world.ending(leecher).is_some());
    stage.must_be_done("a disk that was full twice");
    // What stood was not read again, and nobody was hung up on.
    assert_eq!((stage.number_of("resumed"), stage.number_of("disk_room")), (0, 2));
    assert_eq!(stage.number_of("peer_gone"), 1, "the end is the only parting");
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

/// What a killed run had written is read from the system's memory by the next one, whose first sync
/// fails: neither that one nor the one after it may take it for durable.
#[test]
fn a_sync_that_fails_when_a_download_goes_on_voids_what_was_read_again() {
    for with_journal in [true, false] {
        let mut stage = Stage::new(7, SIZE, 0);
        let leecher = stage.leecher;
        stage.runs_to_percent(25);
        stage.befalls(Act::Kill);
        if !with_journal {
            stage.world.disk(leecher).unlink(RESUME);
        }
        stage.world.disk(leecher).fail(fault(On::Sync, ".lmk-part", 0, EIO));
        stage.befalls(Act::Start);
        stage.runs_until(|world| world.ending(leecher).is_some());
        assert_eq!(stage.world.ending(leecher), Some(Ending::Disk), "{with_journal}");
        stage.befalls(Act::Start);
        stage.runs_until(|world| world.ending(leecher).is_some());
        stage.must_be_done("a sync failed at the start");
        stage.befalls(Act::PowerCut);
        stage.must_be_done("and the power after the end");
    }
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
    let touch: [fn(&mut Stage); 5] = [
        |stage| stage.world.disk(stage.leecher).unlink(PART),
        |stage| _ = stage.world.disk(stage.leecher).edit(PART, |bytes| bytes.truncate(100_000)),
        |stage| stage.world.disk(stage.leecher).put(PART, &[7; SIZE]),
        |stage| _ = stage.world.disk(stage.leecher).edit(PART, |bytes| bytes.fill(7)),
        |stage| _ = stage.world.disk(stage.leecher).edit(PART, |bytes| bytes[0] ^= 1),
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
fn an_edit_at_any_moment_is_found_before_the_end() {
    let mut found = 0;
    for percent in (5..=100).step_by(5) {
        let mut stage = Stage::new(percent, SIZE, 0);
        let leecher = stage.leecher;
        stage.runs_to_percent(percent);
        // Where something stands already, and its size stays.
        if !stage.world.disk(leecher).edit(PART, |bytes| bytes.iter_mut().for_each(|b| *b ^= 1)) {
            continue;
        }
        stage.runs_until(|world| world.ending(leecher).is_some());
        stage.must_be_done(&format!("edited at {percent} %"));
        assert_eq!(stage.number_of("part_changed"), 1, "{percent} %");
        found += 1;
    }
    assert!(found >= 19, "{found}");
}

#[test]
fn a_crash_after_an_edit_was_found_leaves_no_journal_that_believes_the_old_bytes() {
    // A sample of what the journal vouches for has the edited piece in some worlds, not in all.
    for (seed, kill) in (1..5).map(|seed| (seed, seed % 2 == 0)) {
        let mut stage = Stage::new(seed, 2 * BIG, 0);
        let leecher = stage.leecher;
        stage.runs_to_percent(60);
        let edited = stage.vouched().unwrap().durable.ones().next().unwrap();
        let at = stage.span(edited).start;
        stage.world.disk(leecher).edit(PART, |bytes| bytes[at] ^= 1);
        stage.runs_until(|world| {
            world.events(leecher).iter().any(|(_, event)| event.kind == "part_changed")
        });
        if kill {
            stage.befalls(Act::Kill);
            stage.befalls(Act::Start);
        }
        stage.runs_until(|world| world.ending(leecher).is_some());
        stage.must_be_done(&format!("seed {seed}, killed after the edit was found: {kill}"));
        assert_eq!(stage.number_of("part_changed"), 1, "seed {seed}");
    }
}

#[test]
fn a_part_file_whose_times_never_rest_is_read_whole_at_the_end_and_not_again_and_again() {
    let mut stage = Stage::new(1, SIZE, 0);
    let leecher = stage.leecher;
    // The times change and no byte does, many times over: a file system may do so by itself.
    for _ in 0..40 {
        stage.runs_for(Span::secs(1));
        stage.world.disk(leecher).edit(PART, |_| {});
    }
    stage.runs_until(|world| world.ending(leecher).is_some());
    stage.must_be_done("touched again and again");
    assert_eq!(stage.number_of("part_changed"), 3);
    // An edit that the times do not tell of is found at the end.
    let mut stage = Stage::new(1, SIZE, 0);
    for _ in 0..12 {
        stage.runs_for(Span::secs(1));
        stage.world.disk(leecher).edit(PART, |_| {});
    }
    stage.runs_until(|world| world.events(leecher).len() > 1);
    stage.runs_to_percent(70);
    stage.world.disk(leecher).edit(PART, |bytes| bytes.iter_mut().for_each(|b| *b ^= 1));
    stage.runs_until(|world| world.ending(leecher).is_some());
    stage.must_be_done("edited after being touched");
    assert_eq!(stage.number_of("part_changed"), 4);
}

#[test]
fn nobody_is_struck_for_our_own_disk() {
    for (on, name, error) in [
        (On::Write, ".lmk-part", EIO),
        (On::Write, ".lmk-part", FileError::NoSpace),
        (On::Sync, ".lmk-part", EIO),
        (On::Read, ".lmk-part", EIO),
    ] {
        for after in [0, 3, 9] {
            let mut stage = Stage::new(after, SIZE, 500);
            let leecher = stage.leecher;
            stage.world.disk(leecher).fail(fault(on, name, after, error));
            for _ in 0..4 {
                stage.runs_to_percent_or_end(60);
                // What stands is not what was written, and is read again.
                stage.world.disk(leecher).edit(PART, |bytes| bytes[..50_000].fill(0));
                stage.befalls(Act::Kill);
                stage.befalls(Act::Start);
            }
            for _ in 0..3 {
                stage.runs_until(|world| world.ending(leecher).is_some());
                if stage.world.ending(leecher) != Some(Ending::Done) {
                    stage.befalls(Act::Start);
                }
            }
            stage.must_be_done(&format!("{on:?} {after} {error:?}"));
            assert_eq!(stage.number_of("corrupt"), 0, "{on:?} {after}: a source was blamed");
        }
    }
}

#[test]
fn holes_of_a_part_file_are_not_read() {
    let mut stage = Stage::new(1, SIZE, 0);
    let leecher = stage.leecher;
    stage.runs_to_percent(30);
    stage.befalls(Act::Kill);
    stage.world.disk(leecher).unlink(RESUME);
    let data = stage.world.disk(leecher).used_bytes(PART).unwrap();
    expect_mark("E26", || {
        stage.befalls(Act::Start);
        let shown = stage.runs_until(|world| {
            let picture = world.snapshot(leecher).filter(|picture| picture.phase == "checking");
            let row = picture.and_then(|picture| picture.transfer);
            row.is_some_and(|row| row.done > 0 && row.rate_down > 0)
        });
        assert!(shown, "what is read again shows no progress");
        stage.runs_until(|world| world.ending(leecher).is_some());
    });
    stage.must_be_done("a part file with holes");
    let checked = stage.last_number("resumed", "checked").unwrap();
    // A piece that begins or ends in data is read whole.
    assert!(checked <= data + 2 * stage.piece() && checked * 2 < SIZE as u64, "{checked}");
    assert!(stage.last_number("resumed", "kept").unwrap() * 100 >= SIZE as u64 * 30);
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
            let said = stage.world.events(second).iter().map(|(_, event)| event.line.as_str());
            let holder = format!("another lmk (pid {}) is downloading this file", leecher.0);
            assert_eq!(said.filter(|line| line.contains(&holder)).count(), 1);
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
        let checked = stage.last_number("resumed", "checked").unwrap();
        assert!(
            checked + stage.piece() > kept && checked <= SIZE as u64,
            "journal {number}: {checked} checked"
        );
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

#[test]
fn an_edit_while_the_part_file_is_synced_is_found() {
    let mut found = 0;
    for syncs in 0..20 {
        let mut stage = Stage::new(syncs, SIZE, 0);
        let leecher = stage.leecher;
        stage.world.disk(leecher).edit_at_sync(".lmk-part", syncs);
        stage.runs_until(|world| world.ending(leecher).is_some());
        stage.must_be_done(&format!("edited at sync {syncs}"));
        if stage.world.disk(leecher).edits_left() > 0 {
            break;
        }
        // While it is opened it is empty, and read whole afterwards.
        assert_eq!(stage.number_of("part_changed"), 1, "sync {syncs}");
        found += 1;
    }
    assert!(found >= 4, "{found}");
}

#[test]
fn where_two_changes_may_have_one_time_the_part_file_is_read_whole_at_the_end() {
    let mut unseen = 0;
    for percent in (10..=90).step_by(10) {
        let mut stage = Stage::new(percent, SIZE, 0);
        let leecher = stage.leecher;
        // So coarse that no edit has a time of its own.
        stage.world.disk(leecher).set_tick(3_600_000_000_000);
        stage.runs_to_percent(percent);
        stage.world.disk(leecher).edit(PART, |bytes| bytes.iter_mut().for_each(|b| *b ^= 1));
        stage.runs_until(|world| {
            world.snapshot(leecher).is_some_and(|picture| picture.phase == "checking")
                || world.ending(leecher).is_some()
        });
        unseen += usize::from(stage.number_of("part_changed") == 0);
        stage.runs_until(|world| world.ending(leecher).is_some());
        stage.must_be_done(&format!("edited at {percent} % within one time"));
        assert_eq!(stage.number_of("part_changed"), 1, "{percent} %");
    }
    assert!(unseen > 0, "the times told every edit");
}

#[test]
fn an_edit_while_the_part_file_is_read_whole_at_the_end_is_found() {
    let mut stage = Stage::new(1, SIZE, 0);
    let leecher = stage.leecher;
    // So coarse that it is read at the end, and fine enough for an edit by then to be seen.
    stage.world.disk(leecher).set_tick(1_000);
    assert!(stage.runs_until(|world| {
        world.snapshot(leecher).is_some_and(|picture| picture.phase == "checking")
    }));
    stage.world.disk(leecher).edit(PART, |bytes| bytes[SIZE - 1] ^= 1);
    stage.runs_until(|world| world.ending(leecher).is_some());
    stage.must_be_done("edited while it was read");
    assert_eq!(stage.number_of("part_changed"), 1);
}

#[test]
fn who_lost_its_part_file_leaves_the_journal_of_another_alone() {
    let mut stage = Stage::new(1, SIZE, 0);
    let (leecher, second) = (stage.leecher, stage.second);
    stage.runs_to_percent(30);
    stage.world.disk(leecher).unlink(PART);
    let now = stage.world.now();
    stage.world.plan(now, second, Act::Start);
    // The second begins a part file and a journal of its own at once, before the first looks.
    stage.runs_until(|world| world.disk(leecher).get(PART).is_some());
    assert!(stage.runs_until(|world| world.ending(leecher).is_some()));
    assert_eq!(stage.world.ending(leecher), Some(Ending::Refused));
    assert!(stage.bytes(RESUME).is_some(), "the journal of the other one is gone");
    let later = stage.world.now() + Span::secs(600);
    stage.world.run_until(later, |world| world.ending(second).is_some());
    assert_eq!(stage.world.ending(second), Some(Ending::Done));
    assert!(stage.bytes(TARGET).as_ref() == Some(&stage.content));
}

#[test]
fn an_edit_after_the_last_sync_is_not_shared() {
    let told = |edited: bool| {
        let mut stage = Stage::keeping(1, SIZE);
        let leecher = stage.leecher;
        assert!(stage.runs_until(|world| world.disk(leecher).get(TARGET).is_some()));
        if edited {
            stage.world.disk(leecher).edit(TARGET, |bytes| bytes[9] ^= 1);
        }
        stage.runs_for(Span::secs(4));
        (stage.number_of("changed"), stage.world.ending(leecher))
    };
    assert_eq!(told(true), (1, Some(Ending::Done)));
    assert_eq!(told(false), (0, None));
}

/// Of a leecher that is all there is, somebody edits the part file; then another leecher comes.
/// -> how often the first found the edit, and how often it was blamed for it.
fn served_after_an_edit(mut stage: Stage) -> (usize, usize) {
    let (leecher, far, seeder) = (stage.leecher, stage.far, stage.seeder);
    stage.runs_to_percent(50);
    let now = stage.world.now();
    stage.world.plan(now, seeder, Act::Kill);
    // All is synced: nothing but a reader will look at the file.
    stage.runs_for(Span::secs(15));
    let before = stage.number_of("part_changed");
    stage.world.disk(leecher).edit(PART, |bytes| bytes.iter_mut().for_each(|b| *b ^= 1));
    let now = stage.world.now();
    stage.world.plan(now, far, Act::Start);
    stage.runs_for(Span::secs(30));
    let blamed = |(_, event): &&(_, lmk::core::report::Event)| event.kind == "corrupt";
    let blames = stage.world.events(far).iter().filter(blamed).count();
    (stage.number_of("part_changed") - before, blames)
}

#[test]
fn edited_bytes_of_a_part_file_are_never_served_as_proven() {
    assert_eq!(served_after_an_edit(Stage::new(1, SIZE, 0)), (1, 0));
    // Of a file whose times say nothing, nothing is served.
    let mut stage = Stage::new(1, SIZE, 0);
    for _ in 0..12 {
        stage.runs_for(Span::secs(1));
        stage.world.disk(stage.leecher).edit(PART, |_| {});
    }
    assert_eq!(stage.number_of("part_changed"), 3);
    assert_eq!(served_after_an_edit(stage), (0, 0));
}

/// Of a leecher that is all there is, the n-th span cannot be read while it is downloading.
#[test]
fn a_part_file_that_cannot_be_read_back_ends_the_run_and_says_what_to_do() {
    for n in [0, 2] {
        let mut stage = Stage::new(1, SIZE, 0);
        let (leecher, far, seeder) = (stage.leecher, stage.far, stage.seeder);
        stage.runs_to_percent(50);
        let now = stage.world.now();
        stage.world.plan(now, seeder, Act::Kill);
        stage.world.plan(now, far, Act::Start);
        stage.world.disk(leecher).fail(fault(On::Span, ".lmk-part", n, EIO));
        let ended = || stage.runs_until(|world| world.ending(leecher).is_some());
        assert!(expect_mark("E04", ended), "span {n}: it goes on");
        assert_eq!(stage.world.ending(leecher), Some(Ending::Disk));
        let line = stage.line("failed").unwrap();
        assert!(line.starts_with(&format!("{PART}: reading failed: Input/output error")), "{line}");
        assert!(line.contains("check the disk, then run the same command to go on"), "{line}");
        assert_eq!(stage.number_of("part_changed"), 0, "span {n}: nobody changed it");
        stage.befalls(Act::Start);
        let now = stage.world.now();
        stage.world.plan(now, seeder, Act::Start);
        stage.runs_until(|world| world.ending(leecher).is_some());
        stage.must_be_done(&format!("span {n}"));
        assert!(stage.last_number("resumed", "kept").unwrap() * 2 >= SIZE as u64, "span {n}");
    }
}

/// While the journal of one finds no room, its part file is taken away and another begins anew.
#[test]
fn a_journal_that_found_no_room_does_not_take_the_place_of_anothers() {
    let mut stage = Stage::slow(1, SIZE);
    let (leecher, second) = (stage.leecher, stage.second);
    stage.world.disk(leecher).fail(fault(On::Sync, ".lmk-resume", 0, FileError::NoSpace));
    assert!(stage.runs_until(|world| world.disk(leecher).refusals_left() == 0));
    let ours = stage.bytes(RESUME).unwrap();
    stage.world.disk(leecher).unlink(PART);
    let now = stage.world.now();
    stage.world.plan(now, second, Act::Start);
    let run_of = |journal: Vec<u8>| journal[..84].to_vec();
    let ours = run_of(ours);
    assert!(stage.runs_until(|world| {
        world.disk(leecher).get(RESUME).is_some_and(|now| run_of(now) != ours)
    }));
    let theirs = run_of(stage.bytes(RESUME).unwrap());
    // It is tried again after ten seconds.
    assert!(stage.runs_until(|world| {
        let now = world.disk(leecher).get(RESUME).map(run_of);
        assert!(now.as_ref() == Some(&theirs), "the journal of the other one is gone");
        world.ending(leecher).is_some()
    }));
    assert_eq!(stage.world.ending(leecher), Some(Ending::Refused));
    assert_eq!(stage.number_of("part_changed"), 1);
    let later = stage.world.now() + Span::secs(600);
    stage.world.run_until(later, |world| world.ending(second).is_some());
    assert_eq!(stage.world.ending(second), Some(Ending::Done));
    assert!(stage.bytes(TARGET).as_ref() == Some(&stage.content));
}
