//! The end of a transfer: nothing is missing that nobody is asked for, but some sources still have
//! much on their way. One who is done helps the slowest: it is asked for the blocks that the other
//! would deliver last. A block is asked of two at the most, and of all blocks a bounded part twice.

use super::Leecher;
use super::pace::DEPTH_MIN;
use crate::content::geometry::Block;
use crate::core::id::ConnId;
use crate::core::time::Span;
use crate::peer::Session;

/// One in so many blocks may be asked twice, in contents that have as many.
const TWICE_ONE_IN: u64 = 50;
/// A source that needs longer for what it owes, or has delivered nothing yet, may be helped with
/// the few blocks that every source is asked for, whatever was asked twice before.
const TOO_SLOW: Span = Span::secs(2);
/// What the slower one needs for the rest is worth a second request from here on.
const WORTH_IT: Span = Span::ms(100);

impl Leecher {
    /// Picks up to `n` blocks that the slowest other source would deliver long after this one.
    pub(super) fn help_the_slowest(&mut self, session: &Session, n: usize) {
        let conn = session.conn;
        let Some(ours) = self.links.get(&conn) else { return };
        if !ours.asked.is_empty() || self.picker.has_work(conn, &session.has) {
            return;
        }
        let quick = ours.pace.delivery();
        let slowest = self
            .links
            .iter()
            .filter(|(other, link)| **other != conn && link.owes().next().is_some())
            .map(|(other, link)| (link.pace.time_for(link.owes().count()), *other, link))
            .max_by_key(|(needs, other, _)| (*needs, *other));
        let Some((needs, slowest, link)) = slowest else { return };
        if needs.0 < quick.times(2).0.saturating_add(WORTH_IT.0) {
            return;
        }
        // What it has by the rule that everyone has a few is no promise that it can keep.
        if needs > TOO_SLOW || !link.pace.served() {
            self.take_last_of(slowest, session, n.min(DEPTH_MIN));
        } else {
            let most = self.content.geometry.blocks().div_ceil(TWICE_ONE_IN);
            let left = most.saturating_sub(self.asked_twice);
            self.take_last_of(slowest, session, n.min(usize::try_from(left).unwrap_or(n)));
            self.asked_twice += self.picked.len() as u64;
        }
    }

    fn take_last_of(&mut self, slowest: ConnId, session: &Session, n: usize) {
        let Some(link) = self.links.get(&slowest) else { return };
        let owes: Vec<Block> = link.owes().collect();
        for block in owes.into_iter().rev() {
            if self.picked.len() < n
                && session.has.get(block.piece().index())
                && self.picker.ask_second(session.conn, block)
            {
                crate::mark!("D20");
                self.picked.push(block);
                self.contested.insert(block);
            }
        }
    }
}
