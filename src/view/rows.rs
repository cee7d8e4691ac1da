//! One row a neighbour, busiest first. That a neighbour came, changed or went is an event and not
//! told here.

use crate::core::report::{PeerRow, Snapshot, bytes_text};
use std::cmp::Reverse;

/// Rows shown at once; the rest is counted.
const ROWS_MAX: usize = 8;

/// The rows of a picture, busiest first; `moving`: only those that bytes come from or go to.
pub fn of(snapshot: &Snapshot, moving: bool) -> Vec<String> {
    // Of several contents each row is about one, and the picture has the size of all.
    let size = snapshot.transfer.as_ref().map_or(0, |transfer| transfer.size);
    let size = snapshot.fetches.is_empty().then_some(size);
    let rate = |row: &PeerRow| row.rate_down.saturating_add(row.rate_up);
    let mut peers: Vec<&PeerRow> =
        snapshot.peers.iter().filter(|row| !moving || rate(row) > 0).collect();
    peers.sort_by_key(|row| Reverse(rate(row)));
    let mut lines: Vec<String> = peers.iter().take(ROWS_MAX).map(|row| text(row, size)).collect();
    if peers.len() > ROWS_MAX {
        lines.push(format!("and {} more", peers.len() - ROWS_MAX));
    }
    lines
}

/// A row for people. `size` is the content's, in bytes, if it is known.
fn text(row: &PeerRow, size: Option<u64>) -> String {
    let has = match size {
        None => bytes_text(row.has),
        Some(0) => "100 %".into(),
        Some(size) => format!("{} %", u128::from(row.has.min(size)) * 100 / u128::from(size)),
    };
    let mut said = format!("{} {} {} has {has}", row.addr, row.state.name(), row.client);
    for (moved, rate, way) in
        [(row.downloaded, row.rate_down, "down"), (row.uploaded, row.rate_up, "up")]
    {
        if moved > 0 || rate > 0 {
            said.push_str(&format!("  {way} {} at {}/s", bytes_text(moved), bytes_text(rate)));
        }
    }
    said
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::core::report::{FetchRow, State, Transfer};
    use std::net::SocketAddr;

    /// A neighbour on `port` that takes `rate_up` bytes a second and has half of ten bytes.
    pub fn row(port: u16, rate_up: u64) -> PeerRow {
        PeerRow {
            addr: SocketAddr::new("127.0.0.1".parse().unwrap(), port),
            client: "lmk".into(),
            state: State::Connected,
            has: 5,
            downloaded: 0,
            uploaded: 2048,
            rate_down: 0,
            rate_up,
        }
    }

    fn with(peers: Vec<PeerRow>) -> Snapshot {
        let transfer = Some(Transfer { size: 10, ..Transfer::default() });
        Snapshot { peers, transfer, ..Snapshot::default() }
    }

    #[test]
    fn a_row_says_state_share_and_rates() {
        assert_eq!(
            of(&with(vec![row(1, 1024)]), false),
            ["127.0.0.1:1 Connected lmk has 50 %  up 2.0 KiB at 1.0 KiB/s"]
        );
    }

    #[test]
    fn of_several_contents_a_row_says_how_much_and_not_which_part() {
        let fetch = FetchRow {
            want: "a".into(),
            phase: "downloading",
            complete: false,
            transfer: Transfer::default(),
        };
        let snapshot = Snapshot { fetches: vec![fetch], ..with(vec![row(1, 0)]) };
        assert_eq!(
            of(&snapshot, false),
            ["127.0.0.1:1 Connected lmk has 5 B  up 2.0 KiB at 0 B/s"]
        );
    }

    #[test]
    fn the_busiest_come_first_and_a_crowd_is_counted() {
        let lines = of(&with((0..2000).map(|n| row(n, u64::from(n))).collect()), true);
        assert_eq!(lines.len(), ROWS_MAX + 1);
        assert!(lines[0].starts_with("127.0.0.1:1999 "), "{}", lines[0]);
        assert_eq!(lines[ROWS_MAX], "and 1991 more", "the one that takes nothing is left out");
    }
}
