//! How a tracker starts, what it says of itself, and how it ends.

use super::world::{World, addr, plan};
use lmk::core::io::{Command, Effect, FileDone, FileError, FileOp, Input, Listening, NetError};
use lmk::core::report::{Ending, Level};
use lmk::core::time::Time;
use lmk::tracker::connection_id::ConnectionIds;
use lmk::tracker::mac::Key;

#[test]
fn a_tracker_on_loopback_says_so_and_how_to_open_it() {
    let world = World::local();
    let line =
        "tracker on 127.0.0.1:6969 (this machine only; --bind 0.0.0.0 opens it to the network)";
    assert_eq!(world.told("listening"), [line]);
    assert_eq!(lmk::core::io::Role::deadline(&world.tracker), Time::NEVER);
}

#[test]
fn an_open_tracker_says_what_others_must_type() {
    let world = World::open();
    let lines = world.told("listening").join("\n");
    assert!(lines.contains("lmk leecher --want NAME --tracker 10.0.0.1:6969"), "{lines}");
}

#[test]
fn a_port_in_use_is_one_error_line_and_the_end() {
    let mut world = World::unborn(plan("127.0.0.1:6969"));
    let effects = world.on(Input::Born);
    let [Effect::Listen { ticket, at, port_last: 6969, tcp: true, udp: true }] = effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(at, addr("127.0.0.1:6969"));
    world.on(Input::Listening { ticket, result: Err(NetError::InUse) });
    assert_eq!(world.ending, Some(Ending::Network));
    assert_eq!(world.events.len(), 1);
    assert_eq!(world.events[0].level, Level::Error);
    let line = &world.events[0].line;
    assert!(line.contains("127.0.0.1:6969") && line.contains("--bind"), "{line}");
}

#[test]
fn nothing_listens_before_the_key_file_was_read_and_its_key_counts() {
    let mut with_file = plan("127.0.0.1:6969");
    with_file.key_file = Some("/state/tracker.key".into());
    let mut world = World::unborn(with_file);
    let effects = world.on(Input::Born);
    let [Effect::File { ticket, op: FileOp::Load { bytes_max: 32, .. } }] = effects[..] else {
        panic!("{effects:?}");
    };
    let done = FileDone::Loaded(Ok(vec![9; 32]));
    let effects = lmk::expect_mark!("B07", world.on(Input::File { ticket, done }));
    let [Effect::Listen { ticket, at, .. }] = effects[..] else { panic!("{effects:?}") };
    world.on(Input::Listening { ticket, result: Ok(Listening { tcp: Some(at), udp: Some(at) }) });
    let cid = world.connect(addr("127.0.0.1:5"));
    let ids = ConnectionIds::new(Key::new(&[9; 32]));
    assert_eq!(cid, ids.give(addr("127.0.0.1:5").ip(), super::world::T0));
}

#[test]
fn a_missing_key_file_is_made_and_a_bad_one_is_told() {
    for (result, saves, warns) in [
        (Err(FileError::NotFound), true, false),
        (Err(FileError::Denied), false, true),
        (Ok(vec![1, 2, 3]), false, true),
    ] {
        let mut with_file = plan("127.0.0.1:6969");
        with_file.key_file = Some("/state/tracker.key".into());
        let secret = with_file.secret.to_vec();
        let mut world = World::unborn(with_file);
        let effects = world.on(Input::Born);
        let [Effect::File { ticket, .. }] = effects[..] else { panic!("{effects:?}") };
        let effects = world.on(Input::File { ticket, done: FileDone::Loaded(result) });
        let saved = effects.iter().any(|effect| {
            let Effect::File { op: FileOp::Save { bytes, .. }, .. } = effect else { return false };
            *bytes == secret
        });
        assert_eq!(saved, saves);
        assert_eq!(world.told("key").len(), usize::from(warns));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Listen { .. })));
    }
}

#[test]
fn signals_end_a_tracker_but_a_lost_terminal_does_not() {
    for (command, ending) in [
        (Command::Interrupt, Some(Ending::Interrupted)),
        (Command::Terminate, Some(Ending::Terminated)),
        (Command::Hangup, None),
    ] {
        let mut world = World::local();
        world.on(Input::Asked(command));
        assert_eq!(world.ending, ending);
    }
}
