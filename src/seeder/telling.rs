//! What leechers are told of our upload side: slots granted and taken, and who could come now.

use super::Seeder;
use super::slots::{Place, Slots};
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::report::State;
use crate::core::time::Time;
use crate::peer::Sessions;
use crate::wire::peer::Message;
use crate::wire::peer_state::{Reason, UploadState};

impl Seeder {
    /// Tells everyone whose place changed, and those who could come now or no longer.
    pub(super) fn settle(&mut self, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        for conn in self.slots.take_changed() {
            let state = self.state_for(conn);
            let (Some(session), Some(served)) =
                (sessions.get_mut(&conn), self.served.get_mut(&conn))
            else {
                continue;
            };
            served.told = state.state;
            session.tell_state(state, now, out);
            match self.slots.place(conn) {
                Place::Active { .. } if session.choking => session.say(Message::Unchoke, now, out),
                Place::Idle | Place::Queued if !session.choking => {
                    session.say(Message::Choke, now, out);
                    for block in served.upload.take_all() {
                        if session.fast() {
                            session.say(Message::Reject(block), now, out);
                        }
                    }
                }
                _ => {}
            }
        }
        self.tell_others(sessions, now, out);
    }

    pub(super) fn tell_others(&mut self, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        for (conn, served) in &mut self.served {
            let state = self.slots.state(*conn);
            if state != served.told {
                served.told = state;
                if let Some(session) = sessions.get_mut(conn) {
                    session.tell_state(upload_state(&self.slots, *conn), now, out);
                }
            }
        }
    }

    pub(super) fn state_for(&self, conn: ConnId) -> UploadState {
        upload_state(&self.slots, conn)
    }
}

/// What `conn` is told of our upload side.
fn upload_state(slots: &Slots, conn: ConnId) -> UploadState {
    let state = slots.state(conn);
    UploadState {
        state,
        queue_position: slots.position(conn).unwrap_or(0) as u32,
        queue_len: slots.queued() as u32,
        free: slots.free(),
        total: slots.total(),
        wait_s: 0,
        reason: if state == State::Unavailable { Reason::Full } else { Reason::None },
    }
}
