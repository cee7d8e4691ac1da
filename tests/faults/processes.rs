//! What a system does to a process: its terminal goes, its output goes, it has a mistake.

use lmk::core::io::Command as Asked;
use lmk::core::mark::expect_mark;
use lmk::core::time::{Span, Time};
use lmk::sim::swarm::{Cast, Swarm};
use lmk::sim::weather::Weather;
use lmk::sim::world::Act;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn lmk(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lmk"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("faults-{}-{name}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Asks again and again until the answer is yes.
fn until(what: &str, mut yes: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !yes() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_seeder_goes_on_without_its_terminal() {
    let mut swarm = Swarm::in_weather(1, Cast::real(), Weather::fair(1), false);
    let seeder = swarm.seeder;
    swarm.world.plan(Time::ZERO + Span::secs(4), seeder, Act::Ask(Asked::Hangup));
    expect_mark!("F18", {
        swarm.world.run(Time::ZERO + Span::secs(5));
        assert_eq!(swarm.play(), Ok(()));
    });
    assert!(swarm.world.running(seeder), "{:?}", swarm.world.ending(seeder));
}

#[test]
fn a_terminal_that_closes_ends_a_leecher_and_no_tracker() {
    if Command::new("script").arg("--version").output().is_err() {
        return eprintln!("skipped: there is no script(1) to make a terminal with");
    }
    let folder = Folder::new("terminal");
    let bin = env!("CARGO_BIN_EXE_lmk");
    // The shell tells the id of the process it becomes.
    for (work, stays) in [("tracker --bind 127.0.0.1:0", true), ("leecher --want x", false)] {
        let to = if stays { "" } else { "--tracker 127.0.0.1:9" };
        let line = format!("echo pid $$; exec {bin} {work} {to}");
        let mut terminal = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .current_dir(&folder.0)
            .env("HOME", &folder.0)
            .env("TERM", "dumb")
            .env_remove("XDG_STATE_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(terminal.stdout.take().unwrap()).lines();
        let mut next = || lines.next().expect("it goes on").unwrap();
        let pid: i32 = loop {
            if let Some(pid) = next().trim().strip_prefix("pid ") {
                break pid.parse().unwrap();
            }
        };
        while !next().contains(if stays { "tracker on" } else { "does not answer" }) {}
        terminal.kill().unwrap();
        terminal.wait().unwrap();
        let process = rustix::process::Pid::from_raw(pid).unwrap();
        let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let lives = || !state().is_empty() && !state().contains(") Z");
        if stays {
            // It has seen the hangup when it slept, and lives.
            until("the tracker to sleep", || state().contains(") S"));
            assert!(lives(), "the tracker went with its terminal");
            rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        }
        until("the end", || !lives());
    }
}

#[test]
fn output_that_goes_nowhere_ends_quietly() {
    let mut child = lmk(&["limits"]).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert_eq!(said, "");
}

#[test]
fn a_tracker_serves_on_when_nobody_reads_what_it_says() {
    let folder = Folder::new("pipe");
    let mut child = lmk(&["tracker", "--bind", "127.0.0.1:0"])
        .current_dir(&folder.0)
        .env("HOME", &folder.0)
        .env_remove("XDG_STATE_HOME")
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    while !first.contains("tracker on") {
        first.clear();
        assert!(err.read_line(&mut first).unwrap() > 0, "it ended");
    }
    drop(err);
    assert_eq!(child.try_wait().unwrap(), None);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
#[cfg(debug_assertions)]
fn a_panic_is_one_line_and_its_exit_code() {
    let ended = lmk(&["tracker"]).env("LMK_PANIC", "1").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("lmk: internal error: asked for by LMK_PANIC at src/cli/"), "{said}");
}
