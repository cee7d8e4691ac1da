//! The real program at its edges: what is typed wrong, help, and streams that are gone.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn lmk() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lmk"));
    let home = env!("CARGO_TARGET_TMPDIR");
    command.stdin(Stdio::null()).env("HOME", home).env_remove("XDG_STATE_HOME");
    command.env_remove("XDG_CACHE_HOME").env_remove("NO_COLOR");
    command
}

fn run(line: &str) -> Output {
    lmk().args(line.split_whitespace()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_mistake_is_one_line_and_exit_code_2() {
    for (line, names) in [
        ("", "command"),
        ("seedr", "seeder"),
        ("seeder", "--file"),
        ("seeder --file x --slots many", "--slots"),
        ("seeder --file x --slots 0", "--slots"),
        ("seeder --file x --encryption maybe", "--encryption"),
        ("leecher --want x --sources 0", "--sources"),
        ("seeder --file ..", "directory"),
        ("seeder --file x --as a/b", "--as"),
        ("leecher", "--want"),
        ("leecher --want ../../x", "--want"),
        ("leecher --want x@sha256:12", "--want"),
        ("leecher --want x --timeout 5x", "--timeout"),
        ("leecher --want x --tracker 127.0.0.1:0", "--tracker"),
        ("leecher --want x --tracker ::1:6969x", "--tracker"),
        ("leecher --want x --listen [::1", "--listen"),
        ("leecher --want x --no-such-flag", "--no-such-flag"),
        ("tracker --bind 127.0.0.1:99999", "--bind"),
        ("tracker --keep-names soon", "--keep-names"),
        ("create", "PATH"),
        ("create x --v1 --hybrid", "choose one"),
        ("create x --piece-length 100", "--piece-length"),
        ("create x --announce tracker", "--announce"),
        ("show magnet:?xt=urn:btih:zz", "magnet"),
        ("verify x.torrent", "PATH"),
        ("limits --json", "--json"),
    ] {
        let ran = run(line);
        let said = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "lmk {line}: {said}");
        assert_eq!(said.lines().count(), 1, "lmk {line}: {said}");
        assert!(said.starts_with("lmk: ") && said.contains(names), "lmk {line}: {said}");
        assert!(ran.stdout.is_empty(), "lmk {line}: {}", text(&ran.stdout));
    }
}

#[test]
fn a_value_that_steers_terminals_does_not_reach_one() {
    let ran = lmk().args(["leecher", "--want", "a\x1b[2J\nb"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
    let said = text(&ran.stderr);
    assert_eq!(said.lines().count(), 1, "{said:?}");
    assert!(!said.contains('\x1b'), "{said:?}");
}

#[test]
fn a_name_that_is_not_utf8_is_refused_and_a_path_is_not() {
    let odd = OsStr::from_bytes(b"caf\xe9.zip");
    let ran = lmk().args(["leecher", "--want"]).arg(odd).output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert!(text(&ran.stderr).contains("UTF-8"));
    let ran = lmk().args(["seeder", "--file"]).arg(odd).args(["--slots", "0"]).output().unwrap();
    assert!(text(&ran.stderr).contains("--slots"), "{}", text(&ran.stderr));
}

#[test]
fn help_and_version_go_to_standard_output() {
    for line in ["--help", "tracker --help", "seeder --help", "leecher -h", "limits --help"] {
        let ran = run(line);
        assert_eq!(ran.status.code(), Some(0), "lmk {line}");
        assert!(text(&ran.stdout).contains("Examples"), "lmk {line}");
        assert!(ran.stderr.is_empty(), "lmk {line}");
    }
    assert_eq!(text(&run("--version").stdout).trim(), concat!("lmk ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn limits_are_printed_with_values_and_reasons() {
    let ran = run("limits");
    assert_eq!(ran.status.code(), Some(0));
    let said = text(&ran.stdout);
    let line = said.lines().find(|line| line.starts_with("block_bytes ")).unwrap();
    assert!(line.contains("16,384") && line.contains("BEP 3"), "{line}");
}

#[test]
fn a_reader_that_is_gone_is_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = lmk().arg("limits").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(ran.status.code(), Some(0));
    assert!(ran.stderr.is_empty(), "{}", text(&ran.stderr));
}

#[test]
fn a_log_file_that_cannot_be_written_says_so() {
    let ran = run("tracker --log-file /nonexistent/lmk.log");
    assert_eq!(ran.status.code(), Some(4));
    let said = text(&ran.stderr);
    assert!(said.contains("/nonexistent/lmk.log") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_host_nobody_knows_is_a_network_matter() {
    let ran = run("leecher --want x --tracker no-such-host.invalid");
    assert_eq!(ran.status.code(), Some(5));
    assert!(text(&ran.stderr).contains("no-such-host.invalid"), "{}", text(&ran.stderr));
}

#[test]
fn the_readme_has_every_exit_code_and_every_flag() {
    let readme = include_str!("../README.md");
    for (_, code, meaning) in lmk::cli::exit::CODES {
        assert!(readme.contains(&format!("| {code} | {meaning} |\n")), "exit code {code}");
    }
    for flag in lmk::cli::flags::FLAGS.iter().filter(|flag| !flag.on.contains(&"limits")) {
        let short = flag.short.map(|short| format!("`-{short}`"));
        // In a table `|` is the border of a cell.
        let named = readme.contains(&format!("`{}", flag.shown().replace('|', "\\|")));
        assert!(named || short.is_some_and(|short| readme.contains(&short)), "--{}", flag.name);
    }
    // Once each: the first two cells of a row say which option of which command it is.
    let options = readme.split_once("### Options").unwrap().1.split("###").next().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for row in options.lines().filter(|line| line.starts_with("| ")) {
        let (commands, option) = row[2..].split_once(" | ").unwrap();
        let option = option.split([' ', '[', '=']).next().unwrap().trim_matches('`');
        for command in commands.split(", ") {
            assert!(seen.insert((command, option)), "{command} {option} is there twice");
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
}

/// A running lmk whose events can be waited for; killed when dropped, so that no test leaves one.
struct Running(std::process::Child);

impl Running {
    /// Starts it and waits until it listens.
    fn listening(args: &[&str]) -> Running {
        use std::io::{BufRead, BufReader};
        let mut command = lmk();
        command.args(args).arg("--json").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = Running(command.spawn().unwrap());
        let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
        let listens = lines.any(|line| line.unwrap().contains("\"event\":\"listening\""));
        assert!(listens, "it ended before it listened");
        running
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            match self.0.try_wait().unwrap() {
                Some(status) => return status.code(),
                None if Instant::now() > until => return None,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

#[test]
fn a_signal_ends_the_tracker_with_its_customary_code() {
    use rustix::process::Signal;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut tracker = Running::listening(&["tracker", "--bind", "127.0.0.1:0", "--db", "none"]);
        // A tracker outlives the terminal it was started from.
        tracker.signal(Signal::HUP);
        tracker.signal(signal);
        assert_eq!(tracker.exit_code(), Some(code), "{signal:?}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let holder = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = holder.local_addr().unwrap().to_string();
    let ran = lmk().args(["tracker", "--bind", &at, "--db", "none"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(5));
    let said = text(&ran.stderr);
    assert!(said.contains(&at) && said.contains("error: "), "{said}");
}
