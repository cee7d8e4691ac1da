//! Requests of leechers: every one is answered by exactly one of block, reject, or the end of the
//! conversation (BEP 6). Without the fast extension a choke or a cancel is the answer (BEP 3).

use super::upload::{ASKED_MAX, Pushed};
use super::{Seeder, Served};
use crate::core::fault::Fault;
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use crate::peer::{Session, Sessions};
use crate::wire::peer::{BlockRef, Message};
use crate::wire::peer_metadata::{METADATA_BLOCK_BYTES, MetadataMessage};
use std::ops::Bound;

/// Requests that were on their way when we choked: they are not counted.
const CHOKE_GRACE: Span = Span::secs(2);
/// Refused requests taken in a row: no peer that listens has more than our queue on the way.
const REFUSED_MAX: usize = ASKED_MAX;

/// What of a leecher's requests was refused.
#[derive(Debug)]
pub struct Refusals {
    in_a_row: usize,
    choked: Time,
}

impl Refusals {
    pub fn new(now: Time) -> Refusals {
        Refusals { in_a_row: 0, choked: now }
    }

    /// It was choked: what is on its way to us was asked in good faith.
    pub fn choked(&mut self, now: Time) {
        *self = Refusals::new(now);
    }

    fn granted(&mut self) {
        self.in_a_row = 0;
    }

    fn refused(&mut self, active: bool, now: Time) -> Result<(), Fault> {
        if active || now.since(self.choked) > CHOKE_GRACE {
            self.in_a_row += 1;
        }
        if self.in_a_row <= REFUSED_MAX {
            return Ok(());
        }
        Err(Fault::peer("requests on and on, though they are refused"))
    }
}

impl Seeder {
    /// A request, in range: queued for a holder of a slot, else refused.
    pub fn got_request(
        &mut self,
        session: &mut Session,
        block: BlockRef,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let Some(served) = self.served.get_mut(&session.conn) else { return Ok(()) };
        let active = self.slots.is_active(session.conn);
        let span = self.library.span(block).filter(|_| active);
        match span.map(|span| served.upload.push(block, span)) {
            Some(Pushed::Queued) => {
                served.refusals.granted();
                self.slots.asked(session.conn, now);
            }
            Some(Pushed::Twice) => {}
            Some(Pushed::Full) | None => {
                mark!("D10");
                served.refusals.refused(active, now)?;
                if session.fast() {
                    session.say(Message::Reject(block), now, out);
                }
            }
        }
        Ok(())
    }

    /// Everything the last read brought is queued: hand over what the connection can take.
    pub fn pump(&mut self, conn: ConnId, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        match self.throttle.is_limited() {
            true => self.pump_in_turn(sessions, now, out),
            false => _ = self.hand_over((conn, usize::MAX), sessions, now, out),
        }
    }

    /// One block for each who waits for one, as long as the limit allows it: whoever asks most does
    /// not get all of it.
    pub(super) fn pump_in_turn(&mut self, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        let waits = |served: &Served| served.upload.waits();
        loop {
            let after = (Bound::Excluded(self.turn), Bound::Unbounded);
            let order = self.served.range(after).chain(self.served.range(..=self.turn));
            let order: Vec<ConnId> =
                order.filter(|(_, served)| waits(served)).map(|(conn, _)| *conn).collect();
            let mut moved = 0;
            for conn in order {
                if !self.throttle.is_open(now) {
                    return;
                }
                let bytes = self.hand_over((conn, 1), sessions, now, out);
                self.throttle.spend(bytes, now);
                self.turn = conn;
                moved += bytes;
            }
            if moved == 0 {
                return;
            }
        }
    }

    /// -> bytes of blocks.
    fn hand_over(
        &mut self,
        (conn, most): (ConnId, usize),
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) -> u64 {
        let Some(served) = self.served.get_mut(&conn) else { return 0 };
        let first = !served.upload.on_way();
        let bytes = served.upload.pump(conn, most, now, out);
        if bytes > 0 {
            self.slots.handed_over(conn, bytes, first, now);
            if let Some(session) = sessions.get_mut(&conn) {
                session.handed_over(bytes);
            }
        }
        bytes
    }

    pub fn got_cancel(
        &mut self,
        session: &mut Session,
        block: BlockRef,
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(served) = self.served.get_mut(&session.conn) else { return };
        mark!("D11");
        // What was handed over already is answered by its block.
        if served.upload.cancel(block) && session.fast() {
            session.say(Message::Reject(block), now, out);
        }
    }

    pub fn got_sent(
        &mut self,
        (conn, queued): (ConnId, u64),
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) {
        if let Some(served) = self.served.get_mut(&conn)
            && served.upload.sent(queued)
        {
            self.slots.took(conn, now);
        }
        self.pump(conn, sessions, now, out);
    }

    /// Serves a part of the info dict of the conversation's identity (BEP 9).
    pub fn got_metadata_request(
        &mut self,
        session: &mut Session,
        piece: u32,
        now: Time,
        out: &mut Outbox,
    ) {
        // BEP 9 owes no answer to one who asks on and on and reads nothing.
        if session.told() > 2 * session.room {
            return;
        }
        let mut info = self.library.info(session.identity);
        // Who may take part in a private torrent has its .torrent (BEP 27).
        if self.library.content().private {
            mark!("A25");
            info = &[];
        }
        let block = info.chunks(METADATA_BLOCK_BYTES as usize).nth(piece as usize);
        let answer = match block.filter(|_| !session.is_crowded()) {
            Some(block) => MetadataMessage::Data { piece, total_size: info.len() as u32, block },
            None => MetadataMessage::Reject { piece },
        };
        session.tell_metadata(&answer, now, out);
    }
}
