//! One row a neighbour: as a line when its state changes, and as part of a display.

use crate::core::report::{PeerRow, Snapshot, State, bytes_text};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Lines about neighbours printed for one picture; the rest is counted.
const LINES_MAX: usize = 20;

/// What was last said of each neighbour.
#[derive(Debug, Default)]
pub struct Rows {
    said: BTreeMap<SocketAddr, State>,
}

impl Rows {
    /// A line for every neighbour that is new, gone or in another state than last said.
    pub fn changes(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let size = snapshot.transfer.as_ref().map_or(0, |transfer| transfer.size);
        let mut lines = Vec::new();
        for row in &snapshot.peers {
            if self.said.insert(row.addr, row.state) != Some(row.state) {
                lines.push(text(row, size));
            }
        }
        if self.said.len() > snapshot.peers.len() {
            let here: BTreeMap<SocketAddr, ()> =
                snapshot.peers.iter().map(|row| (row.addr, ())).collect();
            self.said.retain(|addr, _| {
                let stays = here.contains_key(addr);
                if !stays {
                    lines.push(format!("{addr} gone"));
                }
                stays
            });
        }
        let more = lines.len().saturating_sub(LINES_MAX);
        if more > 0 {
            lines.truncate(LINES_MAX);
            lines.push(format!("and {more} more changes among {} peers", snapshot.peers.len()));
        }
        lines
    }
}

/// A row for people. `size` is the content's, in bytes.
pub fn text(row: &PeerRow, size: u64) -> String {
    let has = match size {
        0 => 100,
        size => (u128::from(row.has.min(size)) * 100 / u128::from(size)) as u64,
    };
    let mut said = format!("{} {} {} has {has} %", row.addr, row.state.name(), row.client);
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
mod tests {
    use super::*;

    fn row(port: u16, state: State) -> PeerRow {
        PeerRow {
            addr: SocketAddr::new("127.0.0.1".parse().unwrap(), port),
            client: "lmk".into(),
            state,
            has: 5,
            downloaded: 0,
            uploaded: 2048,
            rate_down: 0,
            rate_up: 1024,
        }
    }

    fn with(peers: Vec<PeerRow>) -> Snapshot {
        let transfer = crate::core::report::Transfer { size: 10, ..Default::default() };
        Snapshot { peers, transfer: Some(transfer), ..Snapshot::default() }
    }

    #[test]
    fn a_neighbour_is_told_when_its_state_changes_and_when_it_goes() {
        let mut rows = Rows::default();
        let first = rows.changes(&with(vec![row(1, State::Available)]));
        assert_eq!(
            first,
            ["127.0.0.1:1 Available lmk has 50 %  up 2.0 KiB at 1.0 KiB/s".to_string()]
        );
        assert!(rows.changes(&with(vec![row(1, State::Available)])).is_empty());
        let both = rows.changes(&with(vec![row(1, State::Connected), row(2, State::Unavailable)]));
        assert_eq!(both.len(), 2);
        assert_eq!(rows.changes(&with(vec![row(2, State::Unavailable)])), ["127.0.0.1:1 gone"]);
        assert_eq!(rows.said.len(), 1);
    }

    #[test]
    fn a_crowd_does_not_flood_the_screen() {
        let crowd: Vec<PeerRow> = (1..=2000).map(|port| row(port, State::Available)).collect();
        let lines = Rows::default().changes(&with(crowd));
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines[LINES_MAX], "and 1980 more changes among 2000 peers");
    }
}
