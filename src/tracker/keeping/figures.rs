//! How much waits to be kept, and how long the database held the loop.

use super::Keeping;
use crate::core::report::StoreRow;
use crate::core::store::Commit;
use crate::tracker::unwritten::not_saving;

impl Keeping {
    pub fn row(&self) -> Option<StoreRow> {
        let unsaved = self.urgent.len() + self.soft.len() + self.finished.len();
        let trouble = self.trouble.as_ref().map(|trouble| not_saving(&trouble.error));
        self.is_on().then_some(StoreRow { unsaved: unsaved as u64, trouble, ..self.row })
    }

    /// The lengths of its tables.
    pub fn tables(&self) -> [(&'static str, usize); 4] {
        [
            ("rows_unsaved", self.urgent.len() + self.soft.len() + self.finished.len()),
            ("writes_asked", self.asked.len() + usize::from(self.asked_peers.is_some())),
            ("changes_undone", self.undone.len()),
            ("connections_waiting", self.waiting.len()),
        ]
    }

    /// Counts a transaction: of peers, or of what somebody may wait for.
    pub(super) fn count(&mut self, commit: Commit, of_peers: bool) {
        if commit.number <= self.commit {
            return;
        }
        self.commit = commit.number;
        let row = &mut self.row;
        row.commits += 1;
        row.longest_checkpoint = row.longest_checkpoint.max(commit.checkpoint);
        match of_peers {
            true => row.longest_slice = row.longest_slice.max(commit.took),
            false => {
                row.last = commit.took;
                row.longest = row.longest.max(commit.took);
            }
        }
    }
}
