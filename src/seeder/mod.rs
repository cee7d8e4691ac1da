//! The serving half of a peer: slots (Available / Connected / Unavailable), the library of proven
//! pieces, the upload pumps and the hash tree. It routes; slots and pumps decide.

pub mod library;
mod proofs;
pub mod slots;
mod telling;
mod upload;

use crate::core::id::{ConnId, Ticket};
use crate::core::io::{FileDone, Outbox};
use crate::core::report::State;
use crate::core::time::Time;
use crate::peer::{Session, Sessions};
use crate::wire::peer::{BlockRef, HashRange, Message};
use crate::wire::peer_metadata::{METADATA_BLOCK_BYTES, MetadataMessage};
use crate::wire::peer_state::{Reason, UploadState};
use library::Library;
use proofs::Proofs;
use slots::{Place, Slots};
use std::collections::BTreeMap;
use upload::Upload;

/// What we keep of one leecher.
#[derive(Debug)]
struct Served {
    upload: Upload,
    /// The state it was told last.
    told: State,
}

#[derive(Debug)]
pub struct Seeder {
    slots: Slots,
    served: BTreeMap<ConnId, Served>,
    pub library: Library,
    proofs: Proofs,
    /// Nobody is promoted any more: we are leaving.
    closing: bool,
}

impl Seeder {
    pub fn new(library: Library, slots: u32) -> Seeder {
        Seeder {
            slots: Slots::new(slots),
            served: BTreeMap::new(),
            proofs: Proofs::new(&library),
            library,
            closing: false,
        }
    }

    /// A conversation began: what to tell it of our upload side.
    pub fn joined(&mut self, conn: ConnId, now: Time) -> UploadState {
        self.slots.joined(conn);
        let state = self.slots.state(conn);
        self.served.insert(conn, Served { upload: Upload::new(now), told: state });
        self.state_for(conn)
    }

    pub fn left(&mut self, conn: ConnId, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        self.served.remove(&conn);
        self.proofs.left(conn);
        self.slots.left(conn, now);
        self.settle(sessions, now, out);
    }

    pub fn got_interested(
        &mut self,
        conn: ConnId,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) {
        if !self.closing {
            self.slots.got_interested(conn, now);
            self.settle(sessions, now, out);
        }
    }

    pub fn got_not_interested(
        &mut self,
        conn: ConnId,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) {
        self.slots.got_not_interested(conn, now);
        self.settle(sessions, now, out);
    }

    /// A request, in range: queued for a holder of a slot, else refused.
    pub fn got_request(
        &mut self,
        session: &mut Session,
        block: BlockRef,
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(served) = self.served.get_mut(&session.conn) else { return };
        let holds_slot =
            !self.closing && matches!(self.slots.place(session.conn), Place::Active { .. });
        let granted = holds_slot && self.library.span(block).is_some() && served.upload.push(block);
        if granted {
            self.slots.got_request(session.conn, now);
        } else if session.fast() {
            session.say(Message::Reject(block), now, out);
        }
    }

    /// Everything the last read brought is queued: hand over what the connection can take.
    pub fn pump(&mut self, conn: ConnId, now: Time, out: &mut Outbox) {
        if let Some(served) = self.served.get_mut(&conn) {
            served.upload.pump(conn, &self.library, now, out);
        }
    }

    pub fn got_cancel(
        &mut self,
        session: &mut Session,
        block: BlockRef,
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(served) = self.served.get_mut(&session.conn) else { return };
        // BEP 6: every request gets exactly one answer, a cancelled one too.
        if served.upload.cancel(block) && session.fast() {
            session.say(Message::Reject(block), now, out);
        }
    }

    pub fn got_sent(&mut self, conn: ConnId, queued: u64, now: Time, out: &mut Outbox) {
        if let Some(served) = self.served.get_mut(&conn) {
            served.upload.sent(queued);
            served.upload.pump(conn, &self.library, now, out);
        }
    }

    /// Serves a part of the info dict of the conversation's identity (BEP 9).
    pub fn got_metadata_request(
        &mut self,
        session: &mut Session,
        piece: u32,
        now: Time,
        out: &mut Outbox,
    ) {
        let info = self.library.info(session.identity);
        let answer = match info.chunks(METADATA_BLOCK_BYTES as usize).nth(piece as usize) {
            Some(block) => MetadataMessage::Data { piece, total_size: info.len() as u32, block },
            None => MetadataMessage::Reject { piece },
        };
        session.tell_metadata(&answer, now, out);
    }

    pub fn got_hash_request(
        &mut self,
        session: &mut Session,
        range: HashRange,
        now: Time,
        out: &mut Outbox,
    ) {
        self.proofs.asked(session, range, &self.library, now, out);
    }

    /// A file read of ours came back; `None` if the ticket is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) -> Option<FileDone> {
        self.proofs.got_file(ticket, done, &self.library, sessions, now, out)
    }

    pub fn tick(&mut self, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        let served = &self.served;
        self.slots.tick(now, |conn| served.get(&conn).is_some_and(|s| s.upload.busy()));
        self.settle(sessions, now, out);
    }

    /// Stops serving: everyone is told, nothing new is handed over.
    pub fn close(&mut self, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        self.closing = true;
        for session in sessions.values_mut() {
            let unavailable = UploadState {
                state: State::Unavailable,
                reason: Reason::ShuttingDown,
                ..self.state_for(session.conn)
            };
            session.tell_state(unavailable, now, out);
        }
    }

    /// Whether blocks that were asked of us are still on their way.
    pub fn busy(&self) -> bool {
        self.served.values().any(|served| served.upload.busy())
    }

    pub fn state(&self, conn: ConnId) -> State {
        self.slots.state(conn)
    }

    /// Bytes handed over to one leecher, and its rate in bytes a second.
    pub fn uploaded(&self, conn: ConnId, now: Time) -> (u64, u64) {
        let meter = self.served.get(&conn).map(|served| &served.upload.meter);
        meter.map_or((0, 0), |meter| (meter.total, meter.rate(now)))
    }
}
