//! What is asked of whom, and what becomes of requests that are not answered.

use super::Leecher;
use super::link::Link;
use crate::core::fault::Fault;
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::limits::REQUESTS_OUT_MAX;
use crate::core::time::Time;
use crate::peer::Session;
use crate::wire::peer::{BlockRef, Message};

/// Requests a source queues that does not say how many.
const REQUESTS_OUT_UNTOLD: usize = 128;
/// Blocks nobody asked for, and refusals without a choke, that one source may send: more than can
/// be on their way when a choke makes requests void.
const MISPLACED_MAX: u32 = 2 * REQUESTS_OUT_MAX as u32;

impl Leecher {
    /// Asks the source for as much as it should have on its way.
    pub fn fill(&mut self, session: &mut Session, now: Time, out: &mut Outbox) {
        let conn = session.conn;
        let Some(link) = self.links.get_mut(&conn) else { return };
        let depth = depth(session);
        // Requests leave in handfuls: one message for many is one read for the source.
        if self.rests || !link.serves() || link.asked.len() > depth * 3 / 4 {
            return;
        }
        if link.asked.is_empty() {
            link.served = now;
        }
        self.picked.clear();
        let (n, room) = (depth - link.asked.len(), self.assembly.room());
        self.picker.next(conn, &session.has, n, room, &mut self.picked);
        self.requests.clear();
        for block in &self.picked {
            self.assembly.begin(block.piece());
            let (piece, begin) = (block.piece().index(), block.begin());
            let asked = BlockRef { piece, begin, len: self.content.geometry.block_len(*block) };
            self.requests.extend_from_slice(&Message::Request(asked).encode());
            link.asked.push_back(*block);
        }
        if !self.requests.is_empty() {
            out.send(conn, &self.requests);
            session.spoke = now;
        }
    }

    /// Lets go of what sources owe for too long.
    pub fn tick(&mut self, now: Time) {
        let overdue: Vec<ConnId> = self
            .links
            .iter()
            .filter(|(_, link)| link.overdue(now))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in overdue {
            let Some(mut link) = self.links.remove(&conn) else { continue };
            link.silent = true;
            // They stay asked of the source: should they come, they are no offence.
            link.asked.iter().for_each(|block| self.picker.lost_block(conn, *block));
            self.links.insert(conn, link);
        }
    }

    pub(super) fn forget_asked(&mut self, conn: ConnId, link: &mut Link) {
        let receiving = link.receiving.take().filter(|r| r.wanted).map(|r| r.block);
        for block in link.asked.drain(..).chain(receiving) {
            self.picker.lost_block(conn, block);
        }
    }

    /// Without the fast extension a choke makes all requests void; with it each is refused by name.
    pub fn got_choke(&mut self, session: &Session) {
        let Some(mut link) = self.links.remove(&session.conn) else { return };
        link.got_choke();
        if !session.fast() {
            for block in std::mem::take(&mut link.asked) {
                self.picker.lost_block(session.conn, block);
            }
        }
        self.links.insert(session.conn, link);
    }

    pub fn got_reject(&mut self, conn: ConnId, refused: BlockRef) -> Result<(), Fault> {
        let block = self.content.geometry.block(refused.piece, refused.begin, refused.len)?;
        let Some(link) = self.links.get_mut(&conn) else { return Ok(()) };
        if link.answered(block) {
            self.picker.lost_block(conn, block);
        }
        // After a choke every request is refused: that is in order.
        if link.serves() { self.count_misplaced(conn) } else { Ok(()) }
    }

    pub(super) fn count_misplaced(&mut self, conn: ConnId) -> Result<(), Fault> {
        let count = self.misplaced.entry(conn).or_default();
        *count += 1;
        match *count > MISPLACED_MAX {
            true => Err(Fault::peer("too many refusals or blocks that nobody asked for")),
            false => Ok(()),
        }
    }
}

/// Requests a source should have of us at a time.
fn depth(session: &Session) -> usize {
    let told = session.introduced.as_ref().and_then(|words| words.reqq);
    told.map_or(REQUESTS_OUT_UNTOLD, |reqq| (reqq as usize).clamp(1, REQUESTS_OUT_MAX))
}
