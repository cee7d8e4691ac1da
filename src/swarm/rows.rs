//! What a swarm shows of itself: a row for each neighbour, a line when its state changes, and the
//! figures of the transfer.

use super::Swarm;
use crate::core::fault::{Blame, Fault};
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::report::{self, Event, PeerRow, SlotsRow, State, Transfer};
use crate::core::time::Time;
use crate::peer::Session;

impl Swarm {
    /// The state of a neighbour: of a source towards us while we fetch from it, else of a leecher
    /// towards our slots.
    pub(super) fn state_of(&self, session: &Session) -> State {
        let source = self.fetch.as_ref().filter(|_| session.wanting || !session.interested);
        source
            .and_then(|fetch| fetch.state(session.conn))
            .unwrap_or_else(|| self.serve.state(session.conn))
    }

    /// Sources that we converse with.
    pub fn sources(&self) -> usize {
        let Some(fetch) = &self.fetch else { return 0 };
        let useful =
            |session: &&Session| session.peer_id.is_some() && fetch.picker().wants(&session.has);
        self.sessions.values().filter(useful).count()
    }

    /// Bytes that are to be there in the end.
    pub fn wanted_bytes(&self) -> u64 {
        self.serve.library.wanted_bytes()
    }

    /// Bytes that are proven and written.
    pub fn done_bytes(&self) -> u64 {
        self.serve.library.have_bytes()
    }

    pub fn downloaded(&self) -> u64 {
        let of =
            |conn: &ConnId| self.fetch.as_ref().map_or(0, |f| f.downloaded(*conn, Time::ZERO).0);
        self.downloaded + self.sessions.keys().map(of).sum::<u64>()
    }

    pub fn uploaded(&self) -> u64 {
        let of = |conn: &ConnId| self.serve.uploaded(*conn, Time::ZERO).0;
        self.uploaded + self.sessions.keys().map(of).sum::<u64>()
    }

    pub fn slots_row(&self) -> SlotsRow {
        self.serve.slots_row()
    }

    pub fn peer_rows(&self, now: Time) -> Vec<PeerRow> {
        let greeted = self.sessions.values().filter(|session| session.peer_id.is_some());
        greeted.map(|session| self.peer_row(session, now)).collect()
    }

    fn peer_row(&self, session: &Session, now: Time) -> PeerRow {
        let geometry = &self.content.geometry;
        let has = geometry.payload_of(&session.has);
        let fetched = self.fetch.as_ref().map(|fetch| fetch.downloaded(session.conn, now));
        let (downloaded, rate_down) = fetched.unwrap_or_default();
        let (uploaded, rate_up) = self.serve.uploaded(session.conn, now);
        PeerRow {
            addr: session.listens_at().unwrap_or(session.remote),
            client: client_name(session),
            state: self.state_of(session),
            // Who takes from us need not say what it has got: it has what we sent it at least.
            has: has.max(uploaded).min(geometry.payload()),
            downloaded,
            uploaded,
            rate_down,
            rate_up,
        }
    }

    pub fn transfer(&self, name: &str, now: Time) -> Transfer {
        let rows = self.peer_rows(now);
        let mut sources = [0, 0, 0];
        for session in self.sessions.values().filter(|session| session.wanting) {
            sources[self.state_of(session) as usize] += 1;
        }
        if self.fetch.is_some() {
            sources[State::Unavailable as usize] += self.neighbours.unreached();
        }
        Transfer {
            name: name.into(),
            size: self.wanted_bytes(),
            done: self.done_bytes(),
            rate_down: rows.iter().map(|row| row.rate_down).sum(),
            rate_up: rows.iter().map(|row| row.rate_up).sum(),
            downloaded: self.downloaded(),
            uploaded: self.uploaded(),
            sources,
        }
    }

    /// A line for each neighbour whose state changed since it was shown.
    pub(super) fn tell_states(&mut self, now: Time, out: &mut Outbox) {
        let mut changed = Vec::new();
        for session in self.sessions.values().filter(|session| session.peer_id.is_some()) {
            let state = self.state_of(session);
            if self.shown.get(&session.conn) != Some(&state) {
                changed.push((session.conn, state, self.peer_row(session, now)));
            }
        }
        for (conn, state, row) in changed {
            self.shown.insert(conn, state);
            out.tell(state_event(self.role_of(conn), &row));
        }
    }

    fn role_of(&self, conn: ConnId) -> &'static str {
        let wanted = self.sessions.get(&conn).is_some_and(|session| session.wanting);
        if wanted && self.fetch.is_some() { "source" } else { "leecher" }
    }

    /// Says once that payload began to come, and how long after our birth.
    pub(super) fn tell_first_byte(&mut self, now: Time, out: &mut Outbox) {
        if !std::mem::replace(&mut self.first_byte, true) {
            let ms = now.since(Time::ZERO).as_ms();
            let line = format!("first payload after {ms} ms");
            out.tell(Event::detail("first_byte", line).number("ms", ms));
        }
    }

    /// A line for a neighbour that is gone: what was wrong with it, or what it took and gave.
    pub(super) fn tell_gone(
        &mut self,
        session: &Session,
        fault: Fault,
        (downloaded, uploaded): (u64, u64),
        out: &mut Outbox,
    ) {
        let shown = self.shown.remove(&session.conn).is_some() || downloaded + uploaded > 0;
        if !shown && fault.blame == Blame::Nobody {
            return;
        }
        let addr = session.listens_at().unwrap_or(session.remote);
        let (gave, took) = (report::bytes_text(downloaded), report::bytes_text(uploaded));
        let line = format!("peer {addr} gone: {fault} (gave {gave}, took {took})");
        let event = match fault.blame {
            Blame::Peer => Event::warning("peer_gone", line),
            Blame::Nobody => Event::info("peer_gone", line),
        };
        out.tell(
            event
                .text("peer", addr.to_string())
                .text("why", fault.what)
                .number("downloaded", downloaded)
                .number("uploaded", uploaded),
        );
    }
}

fn state_event(role: &'static str, row: &PeerRow) -> Event {
    let line = format!(
        "{role} {} ({}): {}, has {}",
        row.addr,
        row.client,
        row.state.name(),
        report::bytes_text(row.has)
    );
    Event::info("peer", line)
        .text("role", role)
        .text("peer", row.addr.to_string())
        .text("client", row.client.clone())
        .text("state", row.state.name())
        .number("has", row.has)
}

/// The name a client gives itself, or the letters of its peer id.
fn client_name(session: &Session) -> String {
    let said = session.introduced.as_ref().and_then(|words| words.client.as_deref());
    match (said, session.peer_id) {
        (Some(name), _) => report::foreign_bytes(name),
        (None, Some(id)) => report::foreign_bytes(&id.0[..8]),
        (None, None) => String::new(),
    }
}
