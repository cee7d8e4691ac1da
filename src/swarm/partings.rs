//! How conversations end: by fault, by silence, or because nothing is left to say.

use super::neighbours::BOTH_COMPLETE;
use super::{Happened, Swarm};
use crate::core::fault::{Blame, Fault};
use crate::core::id::ConnId;
use crate::core::io::{Closed, Outbox};
use crate::core::time::{Span, Time};
use crate::wire::peer::Message;

/// A handshake that is not complete after so long will not be.
const HANDSHAKE: Span = Span::secs(10);
/// Silence that ends a conversation (the practice of other clients, too).
const SILENCE: Span = Span::secs(120);
/// We say something at least so often; the least patient of the stock clients hang up after 10 s of
/// silence, and one calls two keep-alives within 5 s a flood.
const KEEP_ALIVE: Span = Span::secs(60);
const KEEP_ALIVE_STOCK: Span = Span::secs(8);

impl Swarm {
    /// Ends a conversation because of a fault.
    pub(super) fn end(&mut self, conn: ConnId, fault: Fault, now: Time, out: &mut Outbox) {
        if self.sessions.contains_key(&conn) {
            out.close_after_flush(conn);
            self.forget(conn, fault, now, out);
        }
    }

    /// The connection of a conversation ended, not by our wish.
    pub(super) fn hung_up(&mut self, conn: ConnId, why: Closed, now: Time, out: &mut Outbox) {
        let what = match why {
            Closed::FileFailed(error) => {
                self.happened.push(Happened::FileFailed(error));
                "the file could not be read"
            }
            Closed::Reset => "the connection was reset",
            _ => "it hung up",
        };
        self.forget(conn, Fault::nobody(what), now, out);
    }

    pub(super) fn forget(&mut self, conn: ConnId, fault: Fault, now: Time, out: &mut Outbox) {
        let Some(session) = self.sessions.remove(&conn) else { return };
        self.seats.remove(&conn);
        self.exchanges.left(conn);
        let uploaded = self.serve.uploaded(conn, now).0;
        let downloaded = self.fetch.as_ref().map_or(0, |fetch| fetch.downloaded(conn, now).0);
        self.uploaded += uploaded;
        self.downloaded += downloaded;
        if let Some(fetch) = &mut self.fetch {
            fetch.left(&session);
        }
        self.serve.left(&session, &mut self.sessions, now, out);
        let struck = fault.blame == Blame::Peer;
        if let Some(peer_id) = session.peer_id {
            self.neighbours.parted(conn, (session.remote.ip(), peer_id));
        }
        if let Some(lost) = self.neighbours.lost(conn, struck, now)
            && self.is_complete()
            && (session.has.is_full() || session.wants_nothing())
        {
            self.neighbours.put_off(lost.addr, BOTH_COMPLETE, now);
        }
        if session.outgoing && session.peer_id.is_none() && !struck {
            self.neighbours.refused_handshake(session.remote);
        }
        self.tell_gone(&session, fault, (downloaded, uploaded), out);
        if let Some(fetch) = &mut self.fetch {
            self.sessions.values_mut().for_each(|session| fetch.fill(session, now, out));
        }
        self.check_sources();
    }

    /// Says once that nobody is left to take from.
    pub(super) fn check_sources(&mut self) {
        let lacking = self.fetch.as_ref().is_some_and(|fetch| !fetch.is_complete());
        if lacking && self.sources() == 0 {
            self.happened.push(Happened::NoSource);
        }
    }

    pub(super) fn look_after_sessions(&mut self, now: Time, out: &mut Outbox) {
        let mut ended = Vec::new();
        for session in self.sessions.values_mut() {
            if session.peer_id.is_none() && now.since(session.began) > HANDSHAKE {
                ended.push((session.conn, Fault::nobody("no handshake")));
                continue;
            }
            if now.since(session.heard) > SILENCE {
                ended.push((session.conn, Fault::nobody("silent for two minutes")));
                continue;
            }
            let pause = if session.is_lmk() { KEEP_ALIVE } else { KEEP_ALIVE_STOCK };
            if session.peer_id.is_some() && now.since(session.spoke) >= pause {
                session.say(Message::KeepAlive, now, out);
            }
        }
        for (conn, fault) in ended {
            self.end(conn, fault, now, out);
        }
    }

    /// Leaves: everyone is told, nobody is dialled any more.
    pub fn leave(&mut self, now: Time, out: &mut Outbox) {
        self.leaving = true;
        self.serve.close(&mut self.sessions, now, out);
    }

    /// Whether it ends its conversations for no fault of anybody's.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether blocks that were asked of us are still on their way.
    pub fn busy(&self) -> bool {
        self.serve.busy()
    }

    /// Ends every conversation once what it was promised has left.
    pub fn hang_up(&mut self, out: &mut Outbox) {
        self.sessions.keys().chain(self.dials.keys()).for_each(|conn| out.close_after_flush(*conn));
    }

    /// The file is not what it was: everyone is told, and nothing of it leaves any more.
    pub fn withdraw(&mut self, now: Time, out: &mut Outbox) {
        self.leaving = true;
        self.serve.withdraw(&mut self.sessions, now, out);
        self.hang_up(out);
    }

    /// Whether nobody is connected or being dialled.
    pub fn is_alone(&self) -> bool {
        self.sessions.is_empty() && self.dials.is_empty()
    }

    /// Nothing is missing any more: sources are let go, those who take stay.
    pub(super) fn completed(&mut self, now: Time, out: &mut Outbox) {
        self.happened.push(Happened::Complete);
        for conn in self.sessions.keys().copied().collect::<Vec<_>>() {
            let Some(session) = self.sessions.get_mut(&conn) else { continue };
            if session.wanting {
                session.say(Message::NotInterested, now, out);
            }
            session.tell_upload_only(now, out);
            if session.has.is_full() || session.wants_nothing() {
                self.end(conn, Fault::nobody("both have everything"), now, out);
            }
        }
        self.downloaded = self.downloaded();
        self.fetch = None;
    }
}
