//! What a role tells about itself: narration ([`Event`]), a complete picture ([`Snapshot`]) and how
//! it ended ([`Ending`]). Plain data; views paint from it without knowing a role.

use super::time::Span;
use std::net::SocketAddr;

/// How a process ends. `cli` maps each to its exit code, in one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Everything asked for is done and verified.
    Done,
    /// A mistake of ours.
    Internal,
    /// The command line asks for something that cannot be.
    Usage,
    /// No content of that name (or of that pin).
    NotFound,
    /// The disk refused.
    Disk,
    /// Tracker or network.
    Network,
    /// Bytes or metainfo that do not match their hash.
    Verification,
    /// Policy or a lock of another process.
    Refused,
    /// Several contents carry the name.
    Ambiguous,
    /// Nobody had the content within `--timeout`.
    NoSource,
    /// SIGINT.
    Interrupted,
    /// SIGTERM or SIGHUP.
    Terminated,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// The result of the program: standard output.
    Result,
    Error,
    Warning,
    /// A line a person at the terminal wants: standard error.
    Info,
    /// Only with `-v`.
    Detail,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    pub level: Level,
    /// A stable word for programs: `joined`, `seeding`, `complete`, ...
    pub kind: &'static str,
    /// One line for people. Foreign text in it has gone through [`foreign`].
    pub line: String,
    /// The same facts for programs.
    pub facts: Vec<(&'static str, Fact)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    Text(String),
    Number(u64),
    Flag(bool),
}

impl Event {
    pub fn new(level: Level, kind: &'static str, line: impl Into<String>) -> Event {
        Event { level, kind, line: line.into(), facts: Vec::new() }
    }
    pub fn result(kind: &'static str, line: impl Into<String>) -> Event {
        Event::new(Level::Result, kind, line)
    }
    pub fn error(kind: &'static str, line: impl Into<String>) -> Event {
        Event::new(Level::Error, kind, line)
    }
    pub fn warning(kind: &'static str, line: impl Into<String>) -> Event {
        Event::new(Level::Warning, kind, line)
    }
    pub fn info(kind: &'static str, line: impl Into<String>) -> Event {
        Event::new(Level::Info, kind, line)
    }
    pub fn detail(kind: &'static str, line: impl Into<String>) -> Event {
        Event::new(Level::Detail, kind, line)
    }
    pub fn text(mut self, key: &'static str, value: impl Into<String>) -> Event {
        self.facts.push((key, Fact::Text(value.into())));
        self
    }
    pub fn number(mut self, key: &'static str, value: u64) -> Event {
        self.facts.push((key, Fact::Number(value)));
        self
    }
    pub fn flag(mut self, key: &'static str, value: bool) -> Event {
        self.facts.push((key, Fact::Flag(value)));
        self
    }
}

/// Which of the three states a neighbour is in, as both sides of a conversation use the words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// A slot is free for it (or: it has one free for us).
    Available,
    /// It holds a slot and is served (or: we hold one).
    Connected,
    /// All slots are taken, or it cannot be reached.
    Unavailable,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Available => "Available",
            State::Connected => "Connected",
            State::Unavailable => "Unavailable",
        }
    }
}

/// A complete picture of a role at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Snapshot {
    /// What the role is doing, in a word or two: `hashing`, `downloading`, `seeding`, `tracking`.
    pub phase: &'static str,
    /// Why it is not getting on, when it is not; one line.
    pub waiting: Option<String>,
    /// The content at work, if the role has one.
    pub transfer: Option<Transfer>,
    /// The neighbours by name and state.
    pub peers: Vec<PeerRow>,
    /// The slots for leechers.
    pub slots: SlotsRow,
    /// The tracker's own figures, if the role is one.
    pub tracker: Option<TrackerRow>,
    /// Each of several fetches, in the order they were asked for; the rest of the picture is then
    /// that of all of them together.
    pub fetches: Vec<FetchRow>,
}

/// One of several fetches.
#[derive(Clone, PartialEq, Debug)]
pub struct FetchRow {
    /// As it was typed, made safe for a terminal.
    pub want: String,
    /// What it is doing; `complete` and `failed` when it is over.
    pub phase: &'static str,
    /// Every byte is verified and has its place.
    pub complete: bool,
    pub transfer: Transfer,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Transfer {
    pub name: String,
    /// Bytes of the content.
    pub size: u64,
    /// Bytes hashed, or proven on disk.
    pub done: u64,
    /// Bytes a second over the last few seconds.
    pub rate_down: u64,
    pub rate_up: u64,
    /// Bytes of payload since the start.
    pub downloaded: u64,
    pub uploaded: u64,
    /// Sources by state: available, connected, unavailable.
    pub sources: [u32; 3],
}

impl Transfer {
    /// Time left at the present rate, when there is one.
    pub fn eta(&self) -> Option<Span> {
        let left = self.size.saturating_sub(self.done);
        (self.rate_down > 0).then(|| Span::ms(left.saturating_mul(1000) / self.rate_down))
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct PeerRow {
    pub addr: SocketAddr,
    /// Client name or peer id prefix, made safe for a terminal.
    pub client: String,
    pub state: State,
    /// Bytes of the content the peer says it has.
    pub has: u64,
    pub downloaded: u64,
    pub uploaded: u64,
    pub rate_down: u64,
    pub rate_up: u64,
}

/// Rights to be served, and how many wait for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SlotsRow {
    pub total: u32,
    pub free: u32,
    pub queued: u32,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct TrackerRow {
    pub names: u64,
    pub seeders: u64,
    pub leechers: u64,
    /// UDP requests answered since the start.
    pub answered: u64,
    /// Datagrams and connections dropped as malformed since the start.
    pub dropped: u64,
    /// The database, if there is one.
    pub store: Option<StoreRow>,
}

/// What is known of commits to a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreRow {
    /// Transactions since the start.
    pub commits: u64,
    /// How long the last one and the longest one held the loop, of those that somebody waits for.
    pub last: Span,
    pub longest: Span,
    /// The same of a slice of peers, and of moving the log into the database.
    pub longest_slice: Span,
    pub longest_checkpoint: Span,
    /// Changes that are not written yet.
    pub unsaved: u64,
    /// Why nothing is saved at present.
    pub trouble: Option<&'static str>,
}

/// Foreign text made safe for a terminal: no control, bidi or zero-width characters, at most 200
/// characters. Everything from the network or a file name passes here once before it is shown.
pub fn foreign(text: &str) -> String {
    let mut safe: String =
        text.chars().take(201).map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect();
    if safe.chars().count() > 200 {
        safe = safe.chars().take(199).collect();
        safe.push('\u{2026}');
    }
    safe
}

/// Whether a character would steer a terminal or not be seen.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A foreign path made safe for a terminal, whole and so that different paths look different:
/// `Icon\r`, `a\u{202e}b`. Bytes that are not UTF-8 become U+FFFD.
pub fn escaped(path: &[u8]) -> String {
    let mut safe = String::new();
    for c in String::from_utf8_lossy(path).chars() {
        match c {
            '\\' => safe.push_str("\\\\"),
            c if hidden(c) => safe.extend(c.escape_default()),
            c => safe.push(c),
        }
    }
    safe
}

/// Characters of one text of a stranger that are kept to be shown.
pub const EXCERPT_CHARS_MAX: usize = 1000;

/// The beginning of a foreign text of any length, and how long it is if that is not all. It may
/// steer a terminal: it is shown through [`escaped`] alone.
pub fn excerpt(text: &[u8]) -> String {
    // No character has more than four bytes.
    let head = text.get(..4 * EXCERPT_CHARS_MAX).unwrap_or(text);
    let head = String::from_utf8_lossy(head);
    match head.char_indices().nth(EXCERPT_CHARS_MAX) {
        None if head.len() >= text.len() => head.into_owned(),
        cut => {
            let end = cut.map_or(head.len(), |(at, _)| at);
            let head = head.get(..end).unwrap_or_default();
            format!("{head}\u{2026} (cut: {} bytes in all)", text.len())
        }
    }
}

/// Foreign bytes as [`foreign`] text.
pub fn foreign_bytes(bytes: &[u8]) -> String {
    foreign(&String::from_utf8_lossy(bytes))
}

/// `1 name`, `2 names`.
pub fn counted(n: u64, one: &str) -> String {
    let end = if n == 1 { "" } else { "s" };
    format!("{n} {one}{end}")
}

/// Bytes for people: `999 B`, `1.5 KiB`, `2.0 GiB`.
pub fn bytes_text(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_a_terminal() {
        assert_eq!(foreign("a\x1b[2Jb\u{202e}c\r\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\u{fffd}");
        assert_eq!(foreign(&"x".repeat(500)).chars().count(), 200);
        assert_eq!(foreign("größe 文件"), "größe 文件");
    }

    #[test]
    fn a_path_is_shown_whole_and_nothing_of_it_is_obeyed() {
        let path = "Icon\r/\x1b[2J\u{202e}größe\\".as_bytes();
        assert_eq!(escaped(path), "Icon\\r/\\u{1b}[2J\\u{202e}größe\\\\");
        assert_eq!(escaped("x".repeat(900).as_bytes()).len(), 900);
    }

    #[test]
    fn of_a_long_text_the_beginning_is_kept_and_its_length_told() {
        for short in ["", "größe", &"ü".repeat(EXCERPT_CHARS_MAX)] {
            assert_eq!(excerpt(short.as_bytes()), *short);
        }
        for (c, most) in [("x", 1), ("\u{1b}", 1), ("ü", 2), ("\u{1f600}", 4)] {
            let said = excerpt(c.repeat(100_000).as_bytes());
            let (head, mark) = said.split_at(EXCERPT_CHARS_MAX * most);
            assert_eq!(head, c.repeat(EXCERPT_CHARS_MAX));
            assert_eq!(mark, format!("\u{2026} (cut: {} bytes in all)", 100_000 * most));
        }
        let broken = excerpt(&[0xff; 5000]);
        assert!(broken.chars().count() < EXCERPT_CHARS_MAX + 40 && broken.contains("5000 bytes"));
        assert_eq!(excerpt(b"a\xff"), "a\u{fffd}");
    }

    #[test]
    fn sizes_read_as_a_person_would_write_them() {
        let said: Vec<String> =
            [0, 1023, 1536, 1 << 20, 1 << 31].iter().map(|n| bytes_text(*n)).collect();
        assert_eq!(said, ["0 B", "1023 B", "1.5 KiB", "1.0 MiB", "2.0 GiB"]);
    }
}
