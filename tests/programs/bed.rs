//! The test bed: a folder and loopback addresses of one test, and the programs that run there. What
//! they say is heard line by line; every wait is for a line or an end, with a deadline.

use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// No step of any test takes so long on a machine that works.
const DEADLINE: Duration = Duration::from_secs(40);

/// Addresses a bed may use: its own one and further ones.
const ADDRESSES: u32 = 4;

static BEDS: AtomicU32 = AtomicU32::new(0);

/// A folder and addresses that belong to one test.
pub struct Bed {
    folder: PathBuf,
    first: u32,
}

impl Bed {
    pub fn new(name: &str) -> Bed {
        let pid = std::process::id();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("programs-{pid}-{name}"));
        fs::create_dir_all(&folder).unwrap();
        let nth = BEDS.fetch_add(1, Ordering::Relaxed);
        // 127.64.0.0/10 in steps: 16,384 test runs at a time, 64 beds each.
        let first = (127 << 24) | (64 << 16) | ((pid & 0x3fff) << 8) | ((nth % 63 + 1) * ADDRESSES);
        Bed { folder, first }
    }

    /// The `n`th address of this bed; the 0th is where its tracker listens.
    pub fn ip(&self, n: u32) -> IpAddr {
        assert!(n < ADDRESSES);
        Ipv4Addr::from_bits(self.first + n).into()
    }

    pub fn path(&self, under: &str) -> PathBuf {
        self.folder.join(under)
    }

    /// Makes a file, and the folders above it.
    pub fn file(&self, under: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(under);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn folder(&self, under: &str) -> PathBuf {
        let path = self.path(under);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// The names in a folder, the hidden ones of state and cache left out.
    pub fn names(&self, under: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(under)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    /// `lmk` as it is started in the folder `who`.
    pub fn command(&self, who: &str) -> Command {
        self.dressed(who, Command::new(env!("CARGO_BIN_EXE_lmk")))
    }

    /// A command in the folder `who` with the places of lmk there.
    pub fn dressed(&self, who: &str, mut command: Command) -> Command {
        let home = self.folder(who);
        command.current_dir(&home).env("HOME", &home).env_remove("NO_COLOR").env_remove("TERM");
        command.env_remove("LMK_TOKEN");
        command.env("XDG_STATE_HOME", home.join(".state"));
        command.env("XDG_CACHE_HOME", home.join(".cache"));
        command.stdin(Stdio::null());
        command
    }

    /// Starts `lmk ARGS` in the folder `who`.
    pub fn start(&self, who: &str, args: &[impl AsRef<OsStr>]) -> Lmk {
        let mut command = self.command(who);
        command.args(args);
        Lmk::run(who, command)
    }

    /// Runs `lmk LINE` in the folder `who` to its end.
    pub fn run(&self, who: &str, line: &str) -> Ended {
        self.start(who, &words(line)).ends()
    }

    /// A tracker on a port of its own, ready to answer.
    pub fn tracker(&self) -> Tracker {
        self.tracker_at(SocketAddr::new(self.ip(0), 0))
    }

    pub fn tracker_at(&self, at: SocketAddr) -> Tracker {
        self.tracker_with(at, &[])
    }

    /// One that keeps its names in memory alone.
    pub fn forgetful_tracker(&self, at: SocketAddr) -> Tracker {
        self.tracker_with(at, &["--db", "none"])
    }

    pub fn tracker_with(&self, at: SocketAddr, flags: &[&str]) -> Tracker {
        let at = at.to_string();
        let words: Vec<&str> =
            ["tracker", "--bind", &at].into_iter().chain(flags.iter().copied()).collect();
        let lmk = self.start("tracker", &words);
        let line = lmk.says("tracker on ");
        let at = line.split_whitespace().nth(2).and_then(|at| at.parse().ok());
        Tracker { at: at.unwrap_or_else(|| panic!("no address in '{line}'")), lmk }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

pub struct Tracker {
    pub lmk: Lmk,
    pub at: SocketAddr,
}

impl Tracker {
    /// Starts a seeder of `file` in the folder `who` and waits until it serves.
    pub fn seeder(&self, bed: &Bed, who: &str, file: &str, more: &str) -> Lmk {
        let seeder = self.seeder_starts(bed, who, file, more);
        seeder.says("seeding ");
        seeder
    }

    pub fn seeder_starts(&self, bed: &Bed, who: &str, file: &str, more: &str) -> Lmk {
        let tracker = self.at.to_string();
        let args = ["seeder", "--file", file, "--tracker", &tracker];
        bed.start(who, &[&args[..], &words(more)].concat())
    }

    pub fn leecher(&self, bed: &Bed, who: &str, want: &str, more: &str) -> Lmk {
        let tracker = self.at.to_string();
        let args = ["leecher", "--want", want, "--tracker", &tracker];
        bed.start(who, &[&args[..], &words(more)].concat())
    }

    pub fn fetch(&self, bed: &Bed, who: &str, want: &str, more: &str) -> Ended {
        self.leecher(bed, who, want, more).ends()
    }
}

pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// What a process said so far.
#[derive(Default)]
struct Heard {
    out: String,
    err: String,
    /// Streams at their end.
    over: u32,
}

#[derive(Default)]
struct Ear {
    heard: Mutex<Heard>,
    more: Condvar,
}

impl Ear {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }
}

/// A running program; ended when dropped.
pub struct Lmk {
    pub who: String,
    child: Child,
    ear: Arc<Ear>,
}

/// A program that has ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Lmk {
    pub fn run(who: &str, mut command: Command) -> Lmk {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let ear = Arc::new(Ear::default());
        listen(&ear, child.stdout.take().unwrap(), |heard| &mut heard.out);
        listen(&ear, child.stderr.take().unwrap(), |heard| &mut heard.err);
        Lmk { who: who.to_owned(), child, ear }
    }

    /// Waits until `enough` finds in both streams what it looks for.
    fn wait<T>(&self, what: &str, limit: Duration, enough: impl Fn(&Heard) -> Option<T>) -> T {
        let until = Instant::now() + limit;
        let mut heard = self.ear.heard();
        loop {
            if let Some(found) = enough(&heard) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            if heard.over == 2 || left.is_zero() {
                let (who, out, err) = (&self.who, &heard.out, &heard.err);
                let story = format!("{who}: {what} did not come.\n{out}---\n{err}");
                drop(heard);
                panic!("{story}");
            }
            heard = self.ear.more.wait_timeout(heard, left).unwrap().0;
        }
    }

    /// Waits for a line with `text` in it, on either stream.
    pub fn says(&self, text: &str) -> String {
        self.says_within(text, DEADLINE)
    }

    pub fn says_within(&self, text: &str, limit: Duration) -> String {
        self.wait(&format!("'{text}'"), limit, |heard| {
            let mut lines = heard.out.lines().chain(heard.err.lines());
            lines.find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    /// The hash that stands at the end of a seeder's first line.
    pub fn hash(&self) -> String {
        self.says("seeding ").split_whitespace().next_back().unwrap().to_owned()
    }

    pub fn has_said(&self, text: &str) -> bool {
        let heard = self.ear.heard();
        heard.out.contains(text) || heard.err.contains(text)
    }

    pub fn story(&self) -> String {
        let heard = self.ear.heard();
        format!("== {}\n{}---\n{}", self.who, heard.out, heard.err)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    pub fn ends(self) -> Ended {
        self.ends_within(DEADLINE)
    }

    /// Waits for the end of something long.
    pub fn ends_within(mut self, limit: Duration) -> Ended {
        let until = Instant::now() + limit;
        let mut heard = self.ear.heard();
        while heard.over < 2 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(heard);
                panic!("no end came.\n{}", self.story());
            }
            heard = self.ear.more.wait_timeout(heard, left).unwrap().0;
        }
        let (out, err) = (heard.out.clone(), heard.err.clone());
        drop(heard);
        let code = self.child.wait().unwrap().code();
        Ended { code, out, err }
    }

    /// Ends it with a signal and waits.
    pub fn ended_by(self, signal: Signal) -> Ended {
        self.signal(signal);
        self.ends()
    }
}

impl Drop for Lmk {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.story());
        }
        let _ = (self.child.kill(), self.child.wait());
    }
}

fn listen(ear: &Arc<Ear>, stream: impl Read + Send + 'static, side: fn(&mut Heard) -> &mut String) {
    let ear = ear.clone();
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line);
            let _ = side(&mut ear.heard()).write_str(&text);
            ear.more.notify_all();
            line.clear();
        }
        ear.heard().over += 1;
        ear.more.notify_all();
    });
}

impl Ended {
    /// It ended with `code`; if not, what it said.
    #[track_caller]
    pub fn with(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "{}---\n{}", self.out, self.err);
        self
    }

    /// It failed with `code` and one line on standard error that has all `parts`; the line.
    #[track_caller]
    pub fn one_line(self, code: i32, parts: &[&str]) -> String {
        let ended = self.with(code);
        let errors = ended.err.lines().filter(|line| is_error(line));
        let lines: Vec<&str> = errors.collect();
        assert_eq!(lines.len(), 1, "{}", ended.err);
        for part in parts {
            assert!(lines[0].contains(part), "no '{part}' in: {}", lines[0]);
        }
        lines[0].to_owned()
    }
}

fn is_error(line: &str) -> bool {
    line.starts_with("error: ") || line.starts_with("lmk: ")
}

/// Bytes without a pattern that a mistake could repeat, the same in every run.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    lmk::core::rng::Rng::new(seed).fill(&mut bytes);
    bytes
}
