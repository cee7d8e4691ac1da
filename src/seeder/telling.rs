//! What leechers are told of our upload side: what the rows of the table say, at once; places in
//! the queue and slots that came free, when it is time; and never more than they care to hear.

use super::Seeder;
use super::states::{self, Event, Row, Stand, Word};
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::report::{self, State};
use crate::core::time::{Span, Time};
use crate::peer::Sessions;
use crate::wire::peer::Message;
use crate::wire::peer_state::{Reason, UploadState};

/// A changed place is told so long after the last word at the earliest.
const PLACE: Span = Span::secs(2);
/// Who waits is told its place so often, changed or not.
const HEARTBEAT: Span = Span::secs(30);
/// Who wants nothing is told that a slot came free, or that none is, so long after the last word at
/// the earliest.
const FREED: Span = Span::secs(5);

/// A leecher and its place in the queue, if it waits; 1 = next.
type Standing = (ConnId, Option<usize>);

/// A number of words at once, and a steady number of them later.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    each: Span,
    burst: u64,
    /// When all that was spent is earned again.
    even: Time,
}

impl Allowance {
    /// State messages: 4 a second, 8 at once.
    pub const STATES: Allowance = Allowance::new(Span::ms(250), 8);
    /// Changes of mind: one a second, 64 at once.
    pub const MINDS: Allowance = Allowance::new(Span::secs(1), 64);

    const fn new(each: Span, burst: u64) -> Allowance {
        Allowance { each, burst, even: Time::ZERO }
    }

    /// Takes one; `false` if there is none.
    pub fn spend(&mut self, now: Time) -> bool {
        let even = self.even.max(now) + self.each;
        let allowed = even.since(now) <= self.each.times(self.burst);
        if allowed {
            self.even = even;
        }
        allowed
    }
}

/// What one leecher was told last.
#[derive(Debug)]
pub struct Told {
    state: State,
    position: u32,
    at: Time,
    allowance: Allowance,
    /// The allowance was spent when there was something to tell.
    owed: bool,
}

impl Told {
    pub fn new(state: &UploadState, now: Time) -> Told {
        Told {
            state: state.state,
            position: state.queue_position,
            at: now,
            allowance: Allowance::STATES,
            owed: false,
        }
    }
}

impl Seeder {
    /// Says what the rows say that were gone.
    pub(super) fn settle(&mut self, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        for (conn, row) in self.slots.take_gone() {
            self.say((conn, self.slots.place(conn)), row, sessions, now, out);
            let (kind, words) = match (row.from, row.to) {
                (Stand::Queued, Stand::Active) => ("slot", "has a slot; it was next"),
                (Stand::Idle, Stand::Active) => ("slot", "has a slot; nobody waited"),
                (Stand::Idle | Stand::Active, Stand::Queued) => ("queued", "waits for a slot"),
                _ => continue,
            };
            if let Some(session) = sessions.get(&conn) {
                let peer = session.listens_at().unwrap_or(session.remote).to_string();
                let line = format!("leecher {peer} {words}");
                let waited = u64::from(row.from == Stand::Queued);
                let event = report::Event::detail(kind, line).text("peer", peer);
                out.tell(event.number("waited", waited));
            }
        }
    }

    /// Says the words of a row to one leecher, whose place in the queue is known.
    fn say(
        &mut self,
        (conn, place): Standing,
        row: &Row,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) {
        for word in row.says {
            if matches!(word, Word::Available | Word::Connected | Word::Unavailable) {
                self.tell((conn, place), sessions, now, out);
                continue;
            }
            let Some(session) = sessions.get_mut(&conn) else { return };
            let Some(served) = self.served.get_mut(&conn) else { return };
            match word {
                Word::Unchoke => session.say(Message::Unchoke, now, out),
                Word::Choke => {
                    served.refusals.choked(now);
                    session.say(Message::Choke, now, out);
                }
                _ => {
                    let fast = session.fast();
                    for block in served.upload.take_all().filter(|_| fast) {
                        session.say(Message::Reject(block), now, out);
                    }
                }
            }
        }
    }

    /// Tells one leecher how it stands now; later, if it was told too often.
    fn tell(
        &mut self,
        (conn, place): Standing,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) {
        let state = self.state_for(conn, place);
        let Some(session) = sessions.get_mut(&conn) else { return };
        let Some(served) = self.served.get_mut(&conn) else { return };
        let told = &mut served.told;
        told.owed = !told.allowance.spend(now);
        if !told.owed {
            (told.state, told.position, told.at) = (state.state, state.queue_position, now);
            session.tell_state(state, now, out);
        }
    }

    /// Tells those for whom it is time.
    pub(super) fn tell_due(&mut self, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        if self.closed.is_some() {
            return;
        }
        let mut due: Vec<(Standing, Option<Event>)> = Vec::new();
        // The places are counted in one pass: thousands may wait.
        for (conn, place) in self.slots.queue().iter().zip(1..) {
            // Among strangers nobody has a place.
            let place = if self.slots.is_in_order() { place } else { 0 };
            let Some(served) = self.served.get(&conn) else { continue };
            let Told { position, at: then, owed, .. } = served.told;
            let silent = now.since(then);
            let moved = position as usize != place && silent >= PLACE;
            if moved || silent >= HEARTBEAT {
                due.push(((conn, Some(place)), Some(Event::Moved)));
            } else if owed {
                due.push(((conn, Some(place)), None));
            }
        }
        let event = if self.slots.is_open() { Event::SlotFree } else { Event::SlotsTaken };
        for (conn, served) in &self.served {
            let told = &served.told;
            let stand = self.slots.stand(*conn);
            let is_other = told.state != self.slots.state(*conn);
            if stand == Stand::Idle && is_other && now.since(told.at) >= FREED {
                due.push(((*conn, None), Some(event)));
            } else if told.owed && stand != Stand::Queued {
                due.push(((*conn, None), None));
            }
        }
        for (who, event) in due {
            let stand = self.slots.stand(who.0);
            match event.and_then(|event| states::find(stand, event, false, false)) {
                Some(row) => self.say(who, row, sessions, now, out),
                None => self.tell(who, sessions, now, out),
            }
        }
    }

    /// What `conn`, at `position` of the queue, is told of our upload side.
    pub(super) fn state_for(&self, conn: ConnId, position: Option<usize>) -> UploadState {
        let state = self.state(conn);
        let reason = match (self.closed, state) {
            (Some(reason), _) => reason,
            (None, State::Unavailable) => Reason::Full,
            (None, _) => Reason::None,
        };
        UploadState {
            state,
            queue_position: position.unwrap_or(0) as u32,
            queue_len: self.slots.queue().len() as u32,
            free: self.slots.free(),
            total: self.slots.total(),
            wait_s: position.map_or(0, |position| self.slots.wait_s(position)),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_messages_are_eight_at_once_and_four_a_second() {
        let mut allowance = Allowance::STATES;
        let told = |allowance: &mut Allowance, now: Time| {
            (0..100).filter(|_| allowance.spend(now)).count()
        };
        let start = Time::ZERO + Span::secs(9);
        assert_eq!(told(&mut allowance, start), 8);
        assert_eq!(told(&mut allowance, start + Span::ms(249)), 0);
        assert_eq!(told(&mut allowance, start + Span::ms(1000)), 4);
        assert_eq!(told(&mut allowance, start + Span::secs(100)), 8);
    }
}
