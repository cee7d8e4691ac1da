//! The turn itself: birth, deadlines, commands, signals, narration and the end.

use crate::world::{Dir, World};
use lmk::core::io::{Command, FileOp, Input};
use lmk::core::report::{Ending, Event};
use lmk::core::time::{Span, Time};
use lmk::reactor::Options;
use std::io::Read;
use std::net::{TcpListener, TcpStream};

#[test]
fn the_first_input_is_birth_and_it_comes_once() {
    let mut first = Vec::new();
    let (sender, heard) = std::sync::mpsc::channel();
    let mut world = World::acting(move |_, input, _| sender.send(format!("{input:?}")).unwrap());
    world.turn(Span::secs(25));
    first.extend(heard.try_iter());
    assert_eq!(first, ["Born"]);
    world.turns(5);
    assert_eq!(world.seen().born, 1);
}

#[test]
fn a_deadline_wakes_the_role_and_not_before() {
    let mut world = World::new();
    world.turns(1);
    let due = world.reactor.now() + Span::ms(30);
    world.reactor.role_mut().deadline = due;
    while world.seen().wakes == 0 {
        world.turn(Span::secs(25));
        assert!(world.reactor.now() >= due || world.seen().wakes == 0, "woken early");
    }
    assert!(world.reactor.now() < due + Span::secs(20));
    assert_eq!(world.reactor.role().deadline, Time::NEVER);
}

#[test]
fn a_command_from_another_thread_ends_the_wait() {
    let mut world = World::new();
    world.turns(1);
    let handle = world.reactor.handle();
    let asker = std::thread::spawn(move || {
        assert!(handle.ask(Command::Interrupt));
        handle
    });
    let before = world.reactor.now();
    while world.seen().commands.is_empty() {
        world.turn(Span::secs(25));
    }
    assert_eq!(world.seen().commands, [Command::Interrupt]);
    assert!(world.reactor.now().since(before) < Span::secs(20));
    let handle = asker.join().unwrap();
    drop(world);
    assert!(!handle.ask(Command::Terminate), "nobody is there to ask");
}

#[test]
fn signals_are_commands() {
    use rustix::process::{Signal, getpid, kill_process};
    let mut world = World::with(Options::default(), |_, _, _| {});
    world.turns(1);
    let signals = [
        (Signal::INT, Command::Interrupt),
        (Signal::TERM, Command::Terminate),
        (Signal::INT, Command::Interrupt),
    ];
    for (n, (signal, command)) in signals.into_iter().enumerate() {
        kill_process(getpid(), signal).unwrap();
        world.until("the signal", |w| w.seen().commands.len() > n);
        assert_eq!(world.seen().commands[n], command);
    }
}

#[test]
fn effects_of_the_last_turn_are_applied_before_the_end() {
    let dir = Dir::new("end");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let path = dir.path("state");
    let mut world = World::new();
    let conn = world.wish(move |out| out.dial(addr));
    let (mut peer, _) = listener.accept().unwrap();
    world.until("connected", |w| !w.seen().connected.is_empty());
    let save = FileOp::Save { path: path.clone(), bytes: b"saved".to_vec(), private: true };
    world.wish(move |out| {
        out.tell(Event::info("bye", "good bye"));
        out.end(Ending::Done);
        out.file(save);
        out.send(conn, b"last");
        out.tell(Event::info("after", "after the end"));
    });
    assert_eq!(world.ending, Some(Ending::Done));
    let kinds: Vec<_> = world.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["bye", "after"]);
    assert_eq!(std::fs::read(path).unwrap(), b"saved");
    let mut got = [0; 4];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"last");
}

#[test]
fn an_end_wished_for_at_the_end_of_a_connection_has_its_effects_too() {
    let mut world = World::acting(|_, input, out| {
        if let Input::Closed { .. } = input {
            out.tell(Event::info("alone", "nobody is left"));
            out.end(Ending::NoSource);
            out.end(Ending::Internal);
        }
    });
    let addr = world.listen_tcp();
    let peer = TcpStream::connect(addr).unwrap();
    world.accepted(0);
    drop(peer);
    world.until("the end", |w| w.ending.is_some());
    assert_eq!(world.ending, Some(Ending::NoSource), "the first ending counts");
    assert_eq!(world.events.len(), 1);
}

#[test]
fn nothing_is_told_after_the_end_was_wished() {
    let mut world = World::acting(|seen, input, out| {
        assert!(seen.commands.is_empty(), "told after the end: {input:?}");
        if let Input::Asked(_) = input {
            out.end(Ending::Interrupted);
        }
    });
    world.turns(1);
    let handle = world.reactor.handle();
    assert!(handle.ask(Command::Interrupt) && handle.ask(Command::Interrupt));
    world.until("the end", |w| w.ending.is_some());
    assert_eq!(world.ending, Some(Ending::Interrupted));
    world.turns(3);
}

#[test]
fn an_idle_loop_does_not_spin() {
    let mut world = World::new();
    let addr = world.listen("127.0.0.1:0", 0, (true, true)).unwrap().tcp.unwrap();
    let peer = TcpStream::connect(addr).unwrap();
    let conn = world.accepted(0);
    world.wish(move |out| out.send(conn, b"x"));
    world.wish(move |out| out.reading(conn, false));
    let start = (world.reactor.now(), world.reactor.counters().turns);
    while world.reactor.now().since(start.0) < Span::ms(200) {
        world.turn(Span::ms(50));
    }
    let turns = world.reactor.counters().turns - start.1;
    assert!(turns < 40, "{turns} turns in 200 ms of silence");
    drop(peer);
}
