//! Whose turn it is on the TCP side: a turn of the loop does a bounded piece of work, and who did
//! not get to it comes first in the next one.

use crate::core::id::ConnId;
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub struct Turns {
    /// Connections that could go on at once.
    busy: BTreeSet<ConnId>,
    watching: BTreeSet<ConnId>,
    /// Up to which generation of the catalogue all who watch were looked at.
    looked_at: u64,
    /// The newest generation.
    pub generation: u64,
    next: Option<ConnId>,
}

impl Turns {
    /// Who could go on, and who watches.
    pub fn tables(&self) -> [(&'static str, usize); 2] {
        [("connections_busy", self.busy.len()), ("connections_watching", self.watching.len())]
    }

    /// Whether somebody could go on.
    pub fn is_anyones(&self) -> bool {
        !self.busy.is_empty() || (self.looked_at < self.generation && !self.watching.is_empty())
    }

    /// Keeps in mind whether a connection could go on.
    pub fn note(&mut self, conn: ConnId, busy: bool) {
        match busy {
            true => self.busy.insert(conn),
            false => self.busy.remove(&conn),
        };
    }

    /// Keeps in mind whether a connection is told of changes.
    pub fn note_watching(&mut self, conn: ConnId, watching: bool) {
        match watching {
            true => self.watching.insert(conn),
            false => self.watching.remove(&conn),
        };
    }

    pub fn forget(&mut self, conn: ConnId) {
        self.busy.remove(&conn);
        self.watching.remove(&conn);
    }

    /// Everyone who could go on, in the order of this turn; `has_work` judges who watches.
    pub fn begin(&mut self, has_work: impl Fn(ConnId) -> bool) -> Vec<ConnId> {
        if self.looked_at < self.generation {
            self.looked_at = self.generation;
            self.busy.extend(self.watching.iter().filter(|conn| has_work(**conn)));
        }
        match self.next.take() {
            Some(first) => {
                let earlier = self.busy.range(..first);
                self.busy.range(first..).chain(earlier).copied().collect()
            }
            None => self.busy.iter().copied().collect(),
        }
    }

    /// The turn is over: `conn` comes first in the next one.
    pub fn go_on_with(&mut self, conn: ConnId) {
        self.next = Some(conn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::io::Outbox;

    #[test]
    fn who_did_not_get_its_turn_comes_first_and_a_change_wakes_who_watches() {
        let mut out = Outbox::default();
        let [a, b, c] = [(); 3].map(|()| out.conns.insert(()));
        let mut turns = Turns::default();
        [a, b, c].into_iter().for_each(|conn| turns.note(conn, true));
        assert_eq!(turns.begin(|_| false), [a, b, c]);
        turns.go_on_with(b);
        assert_eq!(turns.begin(|_| false), [b, c, a]);
        assert_eq!(turns.begin(|_| false), [a, b, c]);
        [a, b, c].into_iter().for_each(|conn| turns.note(conn, false));
        assert!(!turns.is_anyones());
        turns.note_watching(b, true);
        turns.generation = 5;
        assert!(turns.is_anyones());
        assert_eq!(turns.begin(|_| true), [b]);
        turns.note(b, false);
        assert!(!turns.is_anyones(), "looked at once");
    }
}
