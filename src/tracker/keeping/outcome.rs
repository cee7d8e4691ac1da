//! What became of a write: what waits for it is told, what failed is taken back or tried again.

use super::super::names::Before;
use super::super::swarms::Swarms;
use super::super::unwritten::{Unwritten, add, not_saving};
use super::{Asked, Closing, Keeping, RETRY, Trouble};
use crate::core::id::Ticket;
use crate::core::mark::mark;
use crate::core::store::StoreDone;
use crate::core::time::Time;

/// A turn for the worse or the better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    NotSaving(&'static str),
    Saving,
}

impl Keeping {
    /// An answer of the database; a line when the trouble began or ended.
    pub fn got(
        &mut self,
        now: Time,
        ticket: Ticket,
        done: StoreDone,
        swarms: &mut Swarms,
    ) -> Option<Turn> {
        let StoreDone::Written { result, commit } = done else { return None };
        let peers = self.asked_peers.take_if(|asked| asked.ticket == ticket);
        let of_peers = peers.is_some();
        self.count(commit, of_peers);
        for hash in peers.into_iter().flat_map(|asked| asked.hashes) {
            if result.is_err() {
                swarms.unwritten(hash);
            }
        }
        let at = self.asked.iter().position(|asked| asked.ticket == ticket);
        if let Some(asked) = at.and_then(|at| self.asked.remove(at)) {
            self.settle(asked, result.is_ok());
        }
        match result {
            // A database that takes peers may still lack what was asked before them.
            Ok(()) if of_peers => None,
            Ok(()) => self.trouble.take().map(|_| Turn::Saving),
            Err(error) => {
                mark!("C17");
                if self.closing != Closing::No {
                    self.closing = Closing::Failed;
                }
                let known = self.trouble.is_some();
                let retry_at = self.trouble.as_ref().map_or(now + RETRY, |known| known.retry_at);
                let line = not_saving(&error);
                self.trouble = Some(Trouble { error, retry_at });
                (!known).then_some(Turn::NotSaving(line))
            }
        }
    }

    /// Whoever waits for what could not be written hears that it was not done: so it is taken back.
    /// What stands in memory after that is written later.
    fn settle(&mut self, asked: Asked, written: bool) {
        if written {
            mark!("C18");
            self.kept = self.kept.max(asked.mark);
            return;
        }
        self.lost = self.lost.max(asked.mark);
        for (number, Unwritten { name, metainfo, before }) in asked.names {
            let later = self.asked.iter_mut().find_map(|later| later.names.get_mut(&number));
            match (later, before) {
                (_, Before::Unasked) => {}
                // A write under way stands on this one: if it fails, too, all is taken back.
                (Some(later), before) => {
                    later.before = before.and(std::mem::take(&mut later.before));
                }
                (None, before) => self.undone.push(((name.clone(), number), before)),
            }
            let metainfo = metainfo | self.soft.remove(&number).is_some_and(|soft| soft.metainfo);
            add(&mut self.urgent, number, Unwritten { name, metainfo, before: Before::Unasked });
        }
        for (hash, downloads) in asked.finished {
            if !self.finished.contains_key(&hash) {
                self.finished(hash, downloads);
            }
        }
    }
}
