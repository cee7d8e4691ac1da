//! One conformance suite for whoever drives a role: the reactor over loopback and the simulator
//! must show the same world. Every role is under watch: the laws of the door are asserted at each
//! input.

#[path = "sim/rows.rs"]
mod rows;
#[path = "sim/scripted.rs"]
mod scripted;
#[path = "sim/suite.rs"]
mod suite;

use lmk::core::io::Role;
use lmk::core::report::Ending;
use lmk::core::time::{Span, Time};
use lmk::reactor::{Options, Reactor};
use lmk::sim::laws::Watched;
use lmk::sim::weather::Planted;
use lmk::sim::{NodeId, Weather, World};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Instant;
use suite::{Stage, Thing};

/// The simulated world: all roles on one machine.
struct Simulated {
    seed: u64,
    weather: Weather,
    world: World,
    /// Opens the disk before there is a role to play.
    props: NodeId,
}

impl Simulated {
    fn new(seed: u64, weather: Weather) -> Simulated {
        let mut world = World::new(seed, weather.clone());
        let idle = |_| scripted::role(|_, _, _| Time::NEVER);
        let props = world.add_idle([10, 0, 0, 1].into(), idle);
        world.disk(props).make_dirs("/stage");
        Simulated { seed, weather, world, props }
    }
}

impl Stage for Simulated {
    fn folder(&self) -> PathBuf {
        "/stage".into()
    }

    fn make(&mut self, thing: Thing<'_>, path: &Path) {
        let disk = self.world.disk(self.props);
        match thing {
            Thing::File(bytes) => disk.put(path, bytes),
            Thing::Directory => disk.make_dirs(path),
            Thing::Fifo => disk.put_special(path),
            Thing::Symlink(to) => disk.put_symlink(path, to),
            Thing::Twin(of) => disk.put_twin(path, of),
        }
    }

    fn get(&mut self, path: &Path) -> Option<Vec<u8>> {
        self.world.disk(self.props).get(path)
    }

    fn play(&mut self, roles: Vec<Box<dyn Role>>) {
        let nodes: Vec<NodeId> = roles
            .into_iter()
            .map(|role| {
                let role = RefCell::new(Some(role));
                let make = move |_| role.borrow_mut().take().expect("started once");
                self.world.add_node([10, 0, 0, 1].into(), make)
            })
            .collect();
        let limit = self.world.now() + Span::secs(600);
        let ended = |world: &mut World| nodes.iter().all(|node| world.ending(*node).is_some());
        let all = self.world.run_until(limit, ended);
        let (seed, weather) = (self.seed, &self.weather);
        assert_eq!(self.world.breach(), None, "seed {seed}, {weather:?}");
        assert!(all, "seed {seed}: not all roles ended in time, {weather:?}");
        for node in nodes {
            assert_eq!(self.world.ending(node), Some(Ending::Done), "seed {seed}");
        }
    }
}

/// The real loop on this machine: one reactor for each role, turned in one thread by turns.
struct Real {
    folder: PathBuf,
}

impl Real {
    fn new(scene: &str) -> Real {
        let name = format!("lmk-same-world-{}-{scene}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Real { folder }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

impl Stage for Real {
    fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    fn make(&mut self, thing: Thing<'_>, path: &Path) {
        match thing {
            Thing::File(bytes) => std::fs::write(path, bytes).unwrap(),
            Thing::Directory => std::fs::create_dir(path).unwrap(),
            Thing::Fifo => {
                let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
                assert!(made.success());
            }
            Thing::Symlink(to) => std::os::unix::fs::symlink(to, path).unwrap(),
            Thing::Twin(of) => std::fs::hard_link(of, path).unwrap(),
        }
    }

    fn get(&mut self, path: &Path) -> Option<Vec<u8>> {
        std::fs::read(path).ok()
    }

    fn play(&mut self, roles: Vec<Box<dyn Role>>) {
        let options = Options { signals: false, ..Options::default() };
        let reactor = |role| Some(Reactor::new(Watched::new(role), options).unwrap());
        let mut reactors: Vec<_> = roles.into_iter().map(reactor).collect();
        let start = Instant::now();
        while reactors.iter().any(Option::is_some) {
            for place in &mut reactors {
                let Some(reactor) = place else { continue };
                match reactor.turn(Span::ms(1), &mut |_| {}).unwrap() {
                    Some(Ending::Done) => *place = None,
                    Some(other) => panic!("a role ended with {other:?}"),
                    None => {}
                }
            }
            assert!(start.elapsed().as_secs() < 60, "not all roles ended in time");
        }
    }
}

fn simulated(scene: fn(&mut dyn Stage)) {
    scene(&mut Simulated::new(0, Weather::calm()));
    for seed in 1..24 {
        scene(&mut Simulated::new(seed, Weather::fair(seed)));
    }
}

macro_rules! same_world {
    ($($file:ident: [$($scene:ident),* $(,)?])*) => {
        mod simulator {
            $($(#[test] fn $scene() { super::simulated(super::$file::$scene) })*)*
        }
        mod reactor {
            $($(#[test] fn $scene() {
                super::$file::$scene(&mut super::Real::new(stringify!($scene)));
            })*)*
        }
    };
}

/// The suite itself can fail: a world with a planted bug does not pass for the same.
#[test]
fn a_world_with_a_planted_bug_is_not_the_same() {
    let flush: fn(&mut dyn Stage) = suite::a_close_after_flush_delivers_everything_then_the_end;
    for (planted, scene) in [
        (Planted::ForgottenSent, flush),
        (Planted::ByteTwice, flush),
        (Planted::ClosedTwice, suite::an_own_close_is_told_once_and_ends_the_other_side),
    ] {
        let passes = |seed| {
            let weather = Weather { planted: Some(planted), ..Weather::fair(seed) };
            std::panic::catch_unwind(|| scene(&mut Simulated::new(seed, weather))).is_ok()
        };
        assert!(!(0..20).all(passes), "{planted:?} passed for the same world");
    }
}

same_world!(
    suite: [
        two_messages_arrive_in_order_and_are_echoed_in_order,
        a_mebibyte_of_file_spans_between_heads_arrives_byte_exact,
        a_close_after_flush_delivers_everything_then_the_end,
        what_leaves_enciphered_arrives_as_it_was_said,
        an_own_close_is_told_once_and_ends_the_other_side,
        a_dial_to_nobody_is_refused,
        a_close_before_the_connection_is_up_is_told_too,
        not_reading_holds_the_sender_back_and_going_on_loses_nothing,
        a_span_beyond_the_end_of_its_file_fails_the_connection,
        an_ending_process_ends_its_connections,
        a_datagram_goes_there_and_back_with_its_addresses,
        a_wake_is_never_early,
        both_listeners_share_a_port_and_a_taken_port_is_passed_over,
        files_open_create_and_read_to_their_end,
        files_are_renamed_removed_and_told_apart,
        small_files_are_saved_and_loaded_whole,
        a_directory_is_listed_by_name_and_links_are_not_followed,
        what_is_no_regular_file_is_never_opened,
        a_lock_of_another_process_is_busy,
        a_guarded_file_tells_that_somebody_else_wrote,
    ]
    rows: [
        the_files_of_a_folder_are_one_file,
        what_is_unwanted_of_a_row_is_kept_aside,
        what_was_kept_aside_is_read_with_the_rest_until_that_is_pinned,
        what_is_unwanted_of_a_row_is_removed_with_the_folders_that_only_it_lay_in,
        two_names_of_one_file_are_no_row_to_write_to,
        a_guarded_row_tells_that_somebody_else_wrote_to_one_of_its_files,
        a_pinned_row_gives_out_nothing_of_another_version,
        a_row_leaves_as_one_file_does,
        a_row_lies_in_a_folder_and_in_nothing_else,
    ]
);
