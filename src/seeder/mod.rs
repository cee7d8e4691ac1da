//! The serving half of a peer: slots (Available / Connected / Unavailable), the library of proven
//! pieces, the upload pumps and the hash tree. It routes; slots and pumps decide.

mod choker;
pub mod library;
mod proofs;
mod queue;
mod requests;
pub mod slots;
pub mod states;
mod takers;
mod telling;
mod upload;
pub mod walk;

use crate::core::fault::Fault;
use crate::core::id::{ConnId, Ticket};
use crate::core::io::{FileDone, Outbox};
use crate::core::mark::mark;
use crate::core::meter::Meter;
use crate::core::report::{SlotsRow, State};
use crate::core::rng::Rng;
use crate::core::throttle::{Limit, Throttle};
use crate::core::time::Time;
use crate::peer::{Session, Sessions};
use crate::wire::peer::HashRange;
use crate::wire::peer_state::{Reason, UploadState};
use choker::Gives;
use library::Library;
use proofs::Proofs;
use queue::Who;
use requests::Refusals;
use slots::Slots;
use states::Event;
use std::collections::BTreeMap;
use telling::{Allowance, Told};
use upload::Upload;

/// What we keep of one leecher.
#[derive(Debug)]
struct Served {
    upload: Upload,
    told: Told,
    refusals: Refusals,
    /// How often it may still change its mind.
    minds: Allowance,
}

#[derive(Debug)]
pub struct Seeder {
    slots: Slots,
    served: BTreeMap<ConnId, Served>,
    pub library: Library,
    proofs: Proofs,
    /// Nobody is served any more, and why.
    closed: Option<Reason>,
    /// What leaves a second, and who had a block of it last.
    throttle: Throttle,
    turn: ConnId,
}

fn who(session: &Session) -> Option<Who> {
    session.peer_id.map(|peer_id| Who {
        peer_id,
        addr: session.listens_at(),
        ip: session.remote.ip(),
    })
}

impl Seeder {
    pub fn new(library: Library, slots: u32) -> Seeder {
        Seeder {
            slots: Slots::new(slots, library.content().geometry.size()),
            served: BTreeMap::new(),
            proofs: Proofs::new(),
            library,
            closed: None,
            throttle: Throttle::default(),
            turn: ConnId { slot: 0, generation: 0 },
        }
    }

    /// Serves those who give most, and one more by chance.
    pub fn among_strangers(&mut self, rng: Rng) {
        self.slots.among_strangers(rng);
    }

    /// No more than so much content leaves a second.
    pub fn limit(&mut self, limit: Limit) {
        self.throttle = Throttle::new(limit);
    }

    /// A conversation began: what to tell it of our upload side.
    pub fn joined(&mut self, conn: ConnId, now: Time) -> UploadState {
        self.slots.got(conn, Event::Joined, None, now);
        // The extension handshake carries the state.
        self.slots.take_gone();
        let state = self.state_for(conn, self.slots.place(conn));
        let served = Served {
            upload: Upload::new(now),
            told: Told::new(&state, now),
            refusals: Refusals::new(now),
            minds: Allowance::MINDS,
        };
        self.served.insert(conn, served);
        state
    }

    pub fn left(&mut self, gone: &Session, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        self.served.remove(&gone.conn);
        self.proofs.left(gone.conn);
        self.slots.got(gone.conn, Event::Left, who(gone).as_ref(), now);
        self.settle(sessions, now, out);
    }

    pub fn got_interested(
        &mut self,
        conn: ConnId,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        if let Some(served) = self.served.get_mut(&conn)
            && !served.minds.spend(now)
        {
            mark!("D23");
            return Err(Fault::peer("interested and not interested, on and on"));
        }
        if self.closed.is_none() {
            let who = sessions.get(&conn).and_then(who);
            self.slots.got(conn, Event::Interested, who.as_ref(), now);
            self.settle(sessions, now, out);
        }
        Ok(())
    }

    pub fn got_not_interested(
        &mut self,
        conn: ConnId,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) {
        self.slots.got(conn, Event::NotInterested, None, now);
        self.settle(sessions, now, out);
    }

    /// It has every piece: whatever it said before, it wants nothing any more.
    pub fn got_complete(
        &mut self,
        conn: ConnId,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) {
        self.slots.got(conn, Event::Complete, None, now);
        self.settle(sessions, now, out);
    }

    pub fn got_hash_request(
        &mut self,
        session: &mut Session,
        range: HashRange,
        now: Time,
        out: &mut Outbox,
    ) {
        self.proofs.asked(session, range, (&self.library, &self.slots), now, out);
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
        self.proofs.got_file(ticket, done, (&self.library, &self.slots), sessions, now, out)
    }

    pub fn tick(&mut self, sessions: &mut Sessions, gives: Gives<'_>, now: Time, out: &mut Outbox) {
        if self.throttle.is_limited() {
            self.pump_in_turn(sessions, now, out);
            // Who waits for our limit does not stall.
            let held_back = self.served.iter().filter(|(_, served)| served.upload.is_held_back());
            held_back.for_each(|(conn, _)| self.slots.took(*conn, now));
        }
        let served = &self.served;
        let busy = |conn| served.get(&conn).is_some_and(|served| served.upload.busy());
        let took = |conn| served.get(&conn).map_or(0, |served| served.upload.meter.total);
        self.slots.tick(now, busy);
        self.slots.choose(gives, took, busy, now);
        self.settle(sessions, now, out);
        self.tell_due(sessions, now, out);
        self.proofs.read_next(&self.library, &self.slots, now, out);
    }

    /// Stops serving: everyone is told, and only what was asked before is still handed over.
    pub fn close(&mut self, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        self.shut(Reason::ShuttingDown, Event::Leaving, sessions, now, out);
    }

    /// The file is not what it was: nothing of it leaves any more.
    pub fn withdraw(&mut self, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        self.shut(Reason::Gone, Event::Withdrawn, sessions, now, out);
    }

    fn shut(
        &mut self,
        reason: Reason,
        event: Event,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) {
        self.closed = Some(reason);
        self.slots.close(event, now);
        self.settle(sessions, now, out);
    }

    /// Whether blocks that were asked of us are still on their way.
    pub fn busy(&self) -> bool {
        self.served.values().any(|served| served.upload.busy())
    }

    pub fn state(&self, conn: ConnId) -> State {
        match self.closed {
            Some(_) => State::Unavailable,
            None => self.slots.state(conn),
        }
    }

    pub fn slots_row(&self) -> SlotsRow {
        self.slots.row()
    }

    /// Bytes handed over to one leecher, and when.
    pub fn meter(&self, conn: ConnId) -> Option<&Meter> {
        self.served.get(&conn).map(|served| &served.upload.meter)
    }

    /// Bytes handed over to one leecher, and its rate in bytes a second.
    pub fn uploaded(&self, conn: ConnId, now: Time) -> (u64, u64) {
        self.meter(conn).map_or((0, 0), |meter| (meter.total, meter.rate(now)))
    }
}

#[cfg(test)]
mod tests;
