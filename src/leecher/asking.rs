//! What is asked of whom, and what becomes of requests that are not answered.

use super::Leecher;
use super::link::{Asked, Into, Link};
use crate::content::bitfield::Bitfield;
use crate::content::geometry::Block;
use crate::core::fault::Fault;
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::limits::{BLOCK_BYTES, REQUESTS_OUT_MAX};
use crate::core::throttle::{Limit, Throttle};
use crate::core::time::{Span, Time};
use crate::peer::{Session, Sessions};
use crate::wire::peer::{BlockRef, Message};

/// Blocks on their way from sources that do not have everything, to leave those that have alone: a
/// mebibyte.
const BUSY_ENOUGH: usize = 64;
/// Blocks that all sources together have on their way beyond what their round trips need: 4 MiB.
/// More would wait in socket buffers to no use, and would be asked of a seeder that other leechers
/// could have given soon.
const WAITING_MAX: usize = 256;
/// Requests a source queues that does not say how many.
const REQUESTS_OUT_UNTOLD: usize = 128;
/// Blocks nobody asked for, and refusals without a choke, that one source may send: more than can
/// be on their way when a choke makes requests void.
const MISPLACED_MAX: u32 = 2 * REQUESTS_OUT_MAX as u32;
/// Refusals in a row, without a block and without a choke, of one who has nothing for us (the
/// practice of other clients, too).
const REFUSALS_MAX: u32 = 50;
/// When we were held up ourselves for so long, what came meanwhile was not heard yet: nobody is
/// late before it was.
const HELD_UP: Span = Span::secs(1);

impl Leecher {
    /// No more than so much is asked for a second.
    pub fn limit(&mut self, limit: Limit) {
        self.throttle = Throttle::new(limit);
    }

    /// Whether a source that has everything is left to those who need it: others who have not are
    /// busy for us already, and what they have need not leave the full one twice. Then only pieces
    /// are taken from it that nobody but so many full sources has.
    fn spares(&self, conn: ConnId, now: Time) -> Option<u16> {
        if !self.links.get(&conn).is_some_and(|link| link.full) {
            return None;
        }
        let partial = self.links.values().filter(|link| !link.full && link.serves(now));
        let busy: usize = partial.map(|link| link.asked.len()).sum();
        let full = self.links.values().filter(|link| link.full).count();
        (busy >= BUSY_ENOUGH).then_some(full as u16)
    }

    /// Each source's share of what may wait for us.
    fn share(&self, now: Time) -> usize {
        let serving = self.links.values().filter(|link| link.serves(now));
        let busy = serving.filter(|link| !link.asked.is_empty()).count();
        WAITING_MAX / busy.max(1)
    }

    /// Asks the source for as much as it should have on its way.
    pub fn fill(&mut self, session: &mut Session, now: Time, out: &mut Outbox) {
        let conn = session.conn;
        let (spared, share) = (self.spares(conn, now), self.share(now));
        let Some(link) = self.links.get_mut(&conn) else { return };
        if self.rests || !link.serves(now) {
            return;
        }
        if link.asked.is_empty() && link.receiving.is_none() {
            link.pace.resume(now);
        }
        // Requests leave in handfuls: one message for many is one read for the source.
        let depth = link.depth(most_requests(session), share);
        if link.asked.len() > depth * 3 / 4 {
            return;
        }
        self.picked.clear();
        let allowed = self.throttle.units(BLOCK_BYTES, now);
        let (n, room) = ((depth - link.asked.len()).min(allowed), self.assembly.room());
        if self.inquiries.suspects(conn) {
            let again = |piece| self.inquiries.remembers(piece);
            self.picker.next_again((conn, &session.has), n, again, &mut self.picked);
        } else {
            self.picker.next((conn, &session.has), n, (room, spared), &mut self.picked);
            if self.picked.is_empty() && spared.is_none() {
                self.help_the_slowest(session, n);
            }
        }
        self.ask(session, now, out);
    }

    /// Sends requests for what was picked.
    fn ask(&mut self, session: &mut Session, now: Time, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(&session.conn) else { return };
        self.requests.clear();
        for block in &self.picked {
            self.assembly.begin(block.piece());
            let asked = block_ref(&self.content.geometry, *block);
            self.requests.extend_from_slice(&Message::Request(asked).encode());
            self.throttle.spend(asked.len.into(), now);
            link.asked.push_back(Asked { block: *block, at: now });
        }
        if !self.requests.is_empty() {
            out.send(session.conn, &self.requests);
            session.spoke = now;
        }
    }

    /// Offers what sources owe for too long to others, and tries those whose rest is over.
    pub fn tick(&mut self, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        let held_up = now.since(std::mem::replace(&mut self.ticked, now)) > HELD_UP;
        for (conn, session) in sessions.iter_mut() {
            let Some(mut link) = self.links.remove(conn) else { continue };
            if !held_up && link.is_overdue(now) {
                self.offer_to_others(*conn, &mut link);
                link.overdue(now);
            } else if link.late && !link.rests(now) {
                // They may still come; should they not, they are asked again one by one.
                for asked in link.asked.drain(..) {
                    link.cancelled.push(asked.block);
                    let cancel = block_ref(&self.content.geometry, asked.block);
                    session.say(Message::Cancel(cancel), now, out);
                }
                link.rested(now);
                // What comes in all the while is not asked of it anew.
                link.owes().for_each(|block| self.picker.reclaim(*conn, block));
            }
            self.count_pieces(session, &mut link, now);
            self.links.insert(*conn, link);
        }
        self.inquire(sessions, now, out);
    }

    /// What one says it has that delivers nothing makes no piece less rare.
    fn count_pieces(&mut self, session: &Session, link: &mut Link, now: Time) {
        let counts = !link.snubs(now);
        if counts == std::mem::replace(&mut link.counts, counts) {
            return;
        }
        if counts {
            let none = Bitfield::new(session.has.len());
            self.picker.got_bitfield(&none, &session.has);
        } else {
            crate::mark!("D19");
            self.picker.lost_source(&session.has);
        }
    }

    /// What the source owes is for anyone now; from whom it comes first, it is taken.
    fn offer_to_others(&mut self, conn: ConnId, link: &mut Link) {
        for block in link.owes() {
            self.lost_block(conn, block);
            self.contested.insert(block);
        }
        self.picker.abandoned(conn);
        if let Some(receiving) = &mut link.receiving
            && matches!(receiving.into, Into::Page)
        {
            let begun = self.assembly.begun(receiving.block, receiving.filled);
            receiving.into = Into::Aside(begun.to_vec());
        }
    }

    /// A block will not come from `conn`. It is missing then, unless somebody who delivers owes it
    /// too: asked for it anew, that one would send it twice.
    fn lost_block(&mut self, conn: ConnId, block: Block) {
        self.picker.lost_block(conn, block);
        if self.contested.contains(&block) {
            let owes = |link: &Link| !link.late && link.owes().any(|owed| owed == block);
            let other = self.links.iter().find(|(other, link)| **other != conn && owes(link));
            other.into_iter().for_each(|(other, _)| self.picker.reclaim(*other, block));
        }
    }

    /// The source is gone: what it owed is asked of others.
    pub(super) fn forget_asked(&mut self, conn: ConnId, link: &Link) {
        for block in link.owes() {
            crate::mark!("D21");
            self.lost_block(conn, block);
        }
        self.picker.abandoned(conn);
    }

    /// Without the fast extension a choke makes all requests void; with it each is refused by name.
    pub fn got_choke(&mut self, session: &Session, now: Time) {
        let Some(mut link) = self.links.remove(&session.conn) else { return };
        link.got_choke(now);
        if !session.fast() {
            for asked in std::mem::take(&mut link.asked) {
                self.throttle.give_back(self.content.geometry.block_len(asked.block).into());
                self.lost_block(session.conn, asked.block);
            }
            link.cancelled.clear();
        }
        self.picker.abandoned(session.conn);
        self.links.insert(session.conn, link);
    }

    pub fn got_reject(&mut self, conn: ConnId, refused: BlockRef) -> Result<(), Fault> {
        let block = self.content.geometry.block(refused.piece, refused.begin, refused.len)?;
        let Some(link) = self.links.get_mut(&conn) else { return Ok(()) };
        if link.answered_cancelled(block) {
            return Ok(());
        }
        let is_unchoked = link.is_unchoked();
        if link.answered(block).is_some() {
            let in_a_row = if is_unchoked { link.refuses() } else { 0 };
            self.throttle.give_back(refused.len.into());
            self.lost_block(conn, block);
            if in_a_row >= REFUSALS_MAX {
                crate::mark!("D19");
                return Err(Fault::peer("refuses whatever it is asked for"));
            }
        }
        // After a choke every request is refused: that is in order.
        if is_unchoked { self.count_misplaced(conn) } else { Ok(()) }
    }

    /// The block came from another: whoever else was asked for it need not send it.
    pub(super) fn call_off(
        &mut self,
        block: Block,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) {
        for (conn, link) in &mut self.links {
            if let Some(receiving) = &mut link.receiving
                && receiving.block == block
            {
                receiving.into = Into::Nowhere;
            }
            if link.answered(block).is_some()
                && let Some(session) = sessions.get_mut(conn)
            {
                link.cancelled.push(block);
                let cancel = block_ref(&self.content.geometry, block);
                session.say(Message::Cancel(cancel), now, out);
            }
        }
    }

    pub(super) fn count_misplaced(&mut self, conn: ConnId) -> Result<(), Fault> {
        crate::mark!("D14");
        let count = self.misplaced.entry(conn).or_default();
        *count += 1;
        match *count > MISPLACED_MAX {
            true => Err(Fault::peer("too many refusals or blocks that nobody asked for")),
            false => Ok(()),
        }
    }
}

fn block_ref(geometry: &crate::content::geometry::Geometry, block: Block) -> BlockRef {
    let len = geometry.block_len(block);
    BlockRef { piece: block.piece().index(), begin: block.begin(), len }
}

/// Most requests a source takes from us at a time.
fn most_requests(session: &Session) -> usize {
    let told = session.introduced.as_ref().and_then(|words| words.reqq);
    told.map_or(REQUESTS_OUT_UNTOLD, |reqq| (reqq as usize).clamp(1, REQUESTS_OUT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::metainfo::ContentHasher;
    use crate::core::id::{FileId, InfoHash};
    use crate::core::rng::Rng;
    use crate::peer::Identity;
    use std::rc::Rc;

    const HELPER: ConnId = ConnId { slot: 1, generation: 0 };
    const FIRST: ConnId = ConnId { slot: 2, generation: 0 };

    /// A leecher that asked `FIRST` for two blocks, and `HELPER` for the same two.
    fn asked_twice() -> (Leecher, [Block; 2]) {
        let mut hasher = ContentHasher::new(b"x", 1 << 20).unwrap();
        hasher.update(&vec![7; 1 << 20]);
        let content = Rc::new(hasher.finish().unwrap());
        let all = Bitfield::full(content.geometry.pieces());
        let none = Bitfield::new(content.geometry.pieces());
        let file = FileId { slot: 0, generation: 0 };
        let mut leecher = Leecher::new(content, file, none, &mut Rng::new(1));
        leecher.picker.next((FIRST, &all), 2, (2, None), &mut leecher.picked);
        let blocks = [leecher.picked[0], leecher.picked[1]];
        for conn in [FIRST, HELPER] {
            leecher.joined(conn, Time::ZERO);
            leecher.got_unchoke(conn, Time::ZERO);
            let link = leecher.links.get_mut(&conn).unwrap();
            link.asked.extend(blocks.map(|block| Asked { block, at: Time::ZERO }));
        }
        for block in blocks {
            assert!(leecher.picker.ask_second(HELPER, block));
            leecher.contested.insert(block);
        }
        (leecher, blocks)
    }

    fn is_late(leecher: &mut Leecher, conn: ConnId, at: Time) {
        let mut link = leecher.links.remove(&conn).unwrap();
        leecher.offer_to_others(conn, &mut link);
        link.overdue(at);
        leecher.links.insert(conn, link);
    }

    fn sends(leecher: &mut Leecher, conn: ConnId, block: Block, at: Time) {
        let len = leecher.content.geometry.block_len(block) as usize;
        leecher.block_began(conn, block, at).unwrap();
        leecher.block_bytes(conn, &vec![7; len], at);
        leecher.block_ended(conn, &mut Sessions::new(), at, &mut Outbox::default());
    }

    #[test]
    fn what_a_source_has_that_delivers_nothing_for_a_minute_makes_no_piece_less_rare() {
        let (mut leecher, [one, _]) = asked_twice();
        let at = |secs| Time::ZERO + Span::secs(secs);
        let pieces = leecher.content.geometry.pieces();
        let none = Bitfield::new(pieces);
        let geometry = leecher.content.geometry.clone();
        let (hash, from) = (InfoHash([0; 20]), ([10, 0, 0, 9], 6881).into());
        let mut session = Session::dialled(HELPER, from, Identity::V2, hash, geometry, Time::ZERO);
        session.has = Bitfield::full(pieces);
        leecher.picker.got_bitfield(&none, &session.has);
        let sources = |leecher: &mut Leecher, now: Time| {
            let mut link = leecher.links.remove(&HELPER).unwrap();
            leecher.count_pieces(&session, &mut link, now);
            leecher.links.insert(HELPER, link);
            leecher.picker.sources.iter().sum::<u16>()
        };
        is_late(&mut leecher, HELPER, at(7));
        assert_eq!(sources(&mut leecher, at(59)), pieces as u16);
        assert_eq!(crate::expect_mark!("D19", sources(&mut leecher, at(60))), 0);
        assert_eq!(sources(&mut leecher, at(61)), 0, "once");
        sends(&mut leecher, HELPER, one, at(62));
        assert_eq!(sources(&mut leecher, at(62)), pieces as u16, "it delivers after all");
        is_late(&mut leecher, HELPER, at(70));
        assert_eq!(sources(&mut leecher, at(122)), 0);
        leecher.left(&session);
        assert!(
            leecher.picker.sources.iter().all(|count| *count == 0),
            "it is not taken off twice"
        );
    }

    #[test]
    fn what_a_source_owes_that_was_late_and_delivers_again_is_not_missing_when_others_fail() {
        for first_refuses in [true, false] {
            let (mut leecher, [one, other]) = asked_twice();
            let missing = leecher.picker.census()[0];
            let at = |secs| Time::ZERO + Span::secs(secs);
            is_late(&mut leecher, HELPER, at(7));
            sends(&mut leecher, HELPER, one, at(8));
            match first_refuses {
                true => {
                    let refused = block_ref(&leecher.content.geometry, other);
                    leecher.got_reject(FIRST, refused).unwrap();
                }
                false => is_late(&mut leecher, FIRST, at(9)),
            }
            assert_eq!(leecher.picker.census()[0], missing, "the other one is on its way");
            assert_eq!(leecher.audit(&Sessions::new()), Ok(()));
            // And when nobody is left who delivers, anyone may be asked.
            is_late(&mut leecher, HELPER, at(20));
            assert_eq!(leecher.picker.census()[0], missing + 1);
            assert_eq!(leecher.audit(&Sessions::new()), Ok(()));
        }
    }

    /// It was called off, and trickles in all the same: others are asked for it in the end.
    #[test]
    fn a_block_that_was_called_off_and_trickles_in_is_not_waited_for_for_ever() {
        let (mut leecher, [one, other]) = asked_twice();
        let missing = leecher.picker.census()[0];
        for conn in [FIRST, HELPER] {
            let link = leecher.links.get_mut(&conn).unwrap();
            link.asked.clear();
            link.cancelled.extend([one, other]);
            leecher.picker.lost_block(conn, one);
            leecher.picker.lost_block(conn, other);
            leecher.block_began(conn, one, Time::ZERO).unwrap();
        }
        assert_eq!(leecher.picker.census()[0], missing + 1, "one is on its way");
        for secs in 0..30 {
            let at = Time::ZERO + Span::secs(secs);
            for conn in [FIRST, HELPER] {
                leecher.block_bytes(conn, &[7], at);
                if leecher.links[&conn].is_overdue(at) {
                    is_late(&mut leecher, conn, at);
                }
            }
        }
        assert_eq!(leecher.picker.census()[0], missing + 2, "anyone may be asked for it");
        assert_eq!(leecher.audit(&Sessions::new()), Ok(()));
    }
}
