//! `lmk limits`: every bound of `core/limits.rs` with its reason. The values are the constants, the
//! reasons are the comments above them, so neither can differ from the code.

use crate::core::limits;
use crate::core::time::Span;

/// The text that the reasons are taken from.
const SOURCE: &str = include_str!("../core/limits.rs");

/// Names with their values; a test holds the list against the source.
macro_rules! table {
    ($($name:ident)*) => {
        fn values() -> Vec<(&'static str, String)> {
            vec![$((stringify!($name), limits::$name.shown())),*]
        }
    };
}

table! {
    BLOCK_BYTES
    PEER_MESSAGE_BYTES_MAX
    EXTENDED_BYTES_MAX
    HASHES_BYTES_MAX
    PIECES_MAX
    TORRENT_BYTES_MAX
    FOLDER_FILES_MAX
    BENCODE_DEPTH_MAX
    BENCODE_TOKENS_MAX
    CATALOGUE_MESSAGE_BYTES_MAX
    CATALOGUE_READER_BYTES_MAX
    CATALOGUE_SMALL_BYTES
    CATALOGUE_HELD_BYTES_MAX
    ADDRESS_HELD_BYTES_MAX
    CATALOGUE_FRAME_BYTES_MAX
    CATALOGUE_ANSWER_BYTES_MAX
    NAME_BYTES_MAX
    DATAGRAM_BYTES_MAX
    READ_QUOTA_BYTES
    WRITE_QUOTA_BYTES
    WRITE_GATHER_BYTES
    SENDFILE_BYTES
    TURN_READ_BYTES
    TURN_BYTES
    ACCEPTS_PER_TURN
    ACCEPT_BACKOFF_MS
    DATAGRAMS_PER_TURN
    DATAGRAM_QUEUE_BYTES
    DATAGRAM_RESEND_MAX
    DATAGRAM_RESEND_MS
    FLUSH_IDLE_MS
    LINGER_MS
    DESCRIPTORS_MAX
    FILE_TURN_BYTES
    FILE_STEP_BYTES
    PAGES_BYTES_MAX
    FETCHES_PAGES_BYTES_MAX
    FETCHES_MAX
    PAGES_MIN
    FAILED_PIECES_MAX
    REQUESTS_OUT_MAX
    SOURCES_DEFAULT
    SOURCES_MAX
    CONVERSATIONS_MAX
    ADDRESS_CONVERSATIONS_MAX
    AGREEMENTS_PER_S
    ADDRESS_AGREEMENTS_PER_S
    SLOTS_DEFAULT
    STRANGERS_SLOTS_DEFAULT
    SLOTS_MAX
    KEEP_NAMES
    SYNC_BYTES
    SYNC_BYTES_MIN
    SYNC_SPAN
    SYNC_EVERY
    UNSYNCED_BYTES_MAX
    SAMPLE_PIECES
    SAMPLE_BYTES
    DISK_FULL_RETRY
    ROOM_BYTES_MIN
    TOUCHES_MAX
    STOP_FLUSH
    TRACKED_PEERS_MAX
    SWARM_PEERS_MAX
    ADDRESS_TORRENTS_MAX
    ADDRESS_PEERS_MAX
    PARKED_SWARMS_MAX
    FINISHED_UNWRITTEN_MAX
    ADDRESS_TICKETS_MAX
    ADDRESS_NAMES_MAX
    ADDRESS_METAINFO_BYTES_MAX
    ADDRESS_CONTENTS_MAX
    INTERVAL_MAX
    INTERVAL_TOP
    ADDRESS_REQUESTS_PER_S
    NEAR_REQUESTS_PER_S
    SITES_MAX
    WEB_SEEDS_MAX
    WEB_RANGE_BYTES_MAX
    WEB_SKIP_BYTES_MAX
    LOOKUPS_MAX
    NAMES_KEPT_MAX
}

trait Shown {
    fn shown(&self) -> String;
}

macro_rules! numbers {
    ($($kind:ty)*) => { $(
        impl Shown for $kind {
            fn shown(&self) -> String {
                thousands(&self.to_string())
            }
        }
    )* };
}
numbers! { u8 u16 u32 u64 usize }

impl Shown for Span {
    fn shown(&self) -> String {
        self.to_string()
    }
}

fn thousands(digits: &str) -> String {
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// The comment above a constant, as one line.
fn reason(name: &str) -> String {
    let head = format!("pub const {name}:");
    let lines: Vec<&str> = SOURCE.lines().collect();
    let at = lines.iter().position(|line| line.starts_with(&head)).unwrap_or(0);
    let before = lines.get(..at).unwrap_or_default();
    let mut comment: Vec<&str> =
        before.iter().rev().map_while(|line| line.strip_prefix("/// ")).collect();
    comment.reverse();
    comment.join(" ")
}

/// For a terminal.
pub fn plain() -> String {
    let rows = values();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| {
        format!("{:width$} {value:>12}  {}\n", name.to_lowercase(), reason(name))
    };
    rows.iter().map(line).collect()
}

/// The document `docs/limits.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Limits\n\nEvery bound of the program, with its reason. Made by `lmk limits --markdown` \
         from `src/core/limits.rs`;\na test fails when the two differ.\n\n\
         | limit | value | reason |\n|---|---:|---|\n",
    );
    for (name, value) in values() {
        text.push_str(&format!("| {} | {value} | {} |\n", name.to_lowercase(), reason(name)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constant_of_the_source_is_listed_with_a_reason() {
        let in_source: Vec<&str> = SOURCE
            .lines()
            .filter_map(|line| line.strip_prefix("pub const "))
            .filter_map(|rest| rest.split(':').next())
            .collect();
        let listed: Vec<&str> = values().iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, in_source, "make the table of src/cli/limits.rs name them in order");
        for name in listed {
            assert!(!reason(name).is_empty(), "{name} says no reason in src/core/limits.rs");
        }
    }

    #[test]
    fn the_document_is_the_one_the_code_makes() {
        assert!(
            include_str!("../../docs/limits.md") == markdown(),
            "docs/limits.md is old: cargo run -- limits --markdown > docs/limits.md"
        );
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown: Vec<String> = [0u32, 999, 1000, 1234567].iter().map(Shown::shown).collect();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }
}
