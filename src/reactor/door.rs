//! The one way to the role. It is entered with one input at a time, from the loop only, and
//! its wishes stay in the outbox until they are applied.

use super::Counters;
use super::conns::Conns;
use crate::core::io::{Effect, Input, Outbox, Role};
use crate::core::report::Ending;
use crate::core::time::Time;

#[derive(Debug)]
pub(super) struct Door<R> {
    pub role: R,
    pub out: Outbox,
    pub conns: Conns,
    /// The time of this turn.
    pub now: Time,
    /// Set once the role wished to end: nothing is told any more.
    pub ending: Option<Ending>,
    pub counters: Counters,
}

impl<R: Role> Door<R> {
    /// Tells the role, and notes at once what changes or silences further news: a cipher, a close
    /// and the end.
    pub fn tell(&mut self, input: Input<'_>) {
        if self.ending.is_some() {
            return;
        }
        let before = self.out.effects.len();
        self.role.on(self.now, input, &mut self.out);
        for effect in self.out.effects.get(before..).unwrap_or_default() {
            match effect {
                Effect::Close { conn, .. } => self.conns.hush(*conn),
                // More of the stream may be read before the wish is applied.
                Effect::Encipher { conn, receive, .. } => self.conns.decipher(*conn, *receive),
                Effect::End(ending) => self.ending = self.ending.or(Some(*ending)),
                _ => {}
            }
        }
    }

    /// Frees what was marked. Each id gets its one `Closed`, after the last `Sent` if one is due.
    pub fn free_marked(&mut self) {
        for (conn, why) in self.conns.take_marked() {
            let gone = self.conns.remove(conn);
            if gone.as_ref().is_some_and(|gone| gone.closing_until.is_some()) {
                self.conns.forget_closing(conn);
            }
            let bytes = gone.map_or(0, |gone| gone.sent_untold);
            if bytes > 0 {
                self.tell(Input::Sent { conn, bytes, queued: 0 });
            }
            self.counters.closed += 1;
            self.tell(Input::Closed { conn, why });
            self.out.conns.remove(conn);
        }
    }
}
