//! Our memory of one source while we converse: its state towards us (Available / Connected /
//! Unavailable) with the table of its transitions, what we asked of it, and the block that is
//! coming in.

use super::pace::Pace;
use crate::content::geometry::Block;
use crate::core::meter::Meter;
use crate::core::report::State;
use crate::core::time::{Span, Time};
use crate::wire::peer_state::UploadState;
use std::collections::VecDeque;

/// The longest rest of a source that did not serve, seconds; the first is 2 s, then twice as long.
const REST_MAX_S: u64 = 60;
/// An unavailable source that says no less than this, or has let us wait for so long, has a long
/// wait.
const LONG_WAIT: Span = Span::secs(10);

/// A source from which no block came for so long snubs us (the practice of other clients, too).
const SNUBBED: Span = Span::secs(60);

/// What befalls a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkEvent {
    /// It tells that a slot is free.
    ToldAvailable,
    /// It tells that we hold a slot.
    ToldConnected,
    /// It tells that all its slots are taken.
    ToldUnavailable,
    /// We may ask (BEP 3).
    Unchoked,
    /// We may ask no longer.
    Choked,
    /// What we asked is not delivered in its time: it rests.
    Overdue,
    /// A block came whole.
    Served,
    /// Its rest is over.
    Rested,
}

/// Where an event leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    Stay,
    To(State),
    /// Available if that is what it told last, else Unavailable: choke is trusted over words, but
    /// words say what a choke means.
    AsTold,
    /// Connected if it does not choke us.
    IfUnchoked,
}

/// Every event in every state, in the order Available, Connected, Unavailable.
#[rustfmt::skip]
pub const TABLE: [(LinkEvent, [Next; 3]); 8] = [
    (LinkEvent::ToldAvailable,   [Next::Stay, Next::Stay, Next::AsTold]),
    (LinkEvent::ToldConnected,   [Next::Stay, Next::Stay, Next::Stay]),
    (LinkEvent::ToldUnavailable, [Next::To(State::Unavailable), Next::Stay, Next::Stay]),
    (LinkEvent::Unchoked, [Next::To(State::Connected), Next::Stay, Next::To(State::Connected)]),
    (LinkEvent::Choked,   [Next::Stay, Next::AsTold, Next::Stay]),
    (LinkEvent::Overdue,  [Next::Stay, Next::To(State::Unavailable), Next::Stay]),
    (LinkEvent::Served,   [Next::Stay, Next::Stay, Next::IfUnchoked]),
    (LinkEvent::Rested,   [Next::Stay, Next::Stay, Next::IfUnchoked]),
];

impl LinkEvent {
    /// In words, for `docs/states.md`.
    pub fn text(self) -> &'static str {
        match self {
            LinkEvent::ToldAvailable => "it tells state 0",
            LinkEvent::ToldConnected => "it tells state 1",
            LinkEvent::ToldUnavailable => "it tells state 2",
            LinkEvent::Unchoked => "it unchokes us",
            LinkEvent::Choked => "it chokes us",
            LinkEvent::Overdue => "what we asked is not delivered in its time: it rests",
            LinkEvent::Served => "a block came whole",
            LinkEvent::Rested => "its rest is over",
        }
    }
}

impl Next {
    /// In words, for `docs/states.md`; `None` when nothing changes.
    pub fn text(self) -> Option<&'static str> {
        match self {
            Next::Stay => None,
            Next::To(state) => Some(state.name()),
            Next::AsTold => Some("Available if it told so last, else Unavailable"),
            Next::IfUnchoked => Some("Connected if it does not choke us"),
        }
    }
}

#[derive(Debug)]
pub struct Link {
    state: State,
    /// Since when it is in that state.
    since: Time,
    /// What it told with `lmk_state`, if it speaks it. Choke and unchoke stay authoritative.
    told: Option<UploadState>,
    unchoked: bool,
    /// Blocks asked and not answered, in the order they were asked.
    pub asked: VecDeque<Asked>,
    /// Blocks asked and cancelled: they may still come, and are no offence.
    pub cancelled: Vec<Block>,
    pub receiving: Option<Receiving>,
    /// It has every piece.
    pub full: bool,
    /// What it owes is overdue and was offered to others.
    pub late: bool,
    /// Nothing is asked until then.
    rests_until: Time,
    /// Times it was given up, or took our slot away, without a block in between.
    fruitless: u32,
    /// When a block came whole last.
    gave: Option<Time>,
    /// When it let us ask first.
    promised: Option<Time>,
    /// Requests it refused although we may ask, and no block came in between.
    refused: u32,
    /// Whether what it says it has counts for how rare pieces are.
    pub counts: bool,
    pub pace: Pace,
    pub meter: Meter,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    pub block: Block,
    pub at: Time,
}

/// The block that is coming in.
#[derive(Debug)]
pub struct Receiving {
    pub block: Block,
    /// When it was asked for; a request that was called off counts for nothing.
    pub asked: Option<Time>,
    pub began: Time,
    /// Bytes of it that came.
    pub filled: u32,
    pub into: Into,
}

/// Where the bytes of a block go while it comes in.
#[derive(Debug)]
pub enum Into {
    /// To its place: nobody else is asked for it.
    Page,
    /// Aside, because another may be writing its place: who ends first wins.
    Aside(Vec<u8>),
    /// It is not wanted, or not any more, and read past.
    Nowhere,
}

impl Link {
    pub fn new(now: Time) -> Link {
        Link {
            state: State::Unavailable,
            since: now,
            told: None,
            unchoked: false,
            asked: VecDeque::new(),
            cancelled: Vec::new(),
            receiving: None,
            full: false,
            late: false,
            rests_until: Time::ZERO,
            fruitless: 0,
            gave: None,
            promised: None,
            refused: 0,
            counts: true,
            pace: Pace::new(now),
            meter: Meter::new(now),
        }
    }

    fn step(&mut self, event: LinkEvent, now: Time) {
        let row = TABLE.iter().find(|(of, _)| *of == event);
        let next = row.and_then(|(_, next)| next.get(self.state as usize)).copied();
        let free = self.told.is_some_and(|told| told.state == State::Available);
        let state = match next.unwrap_or(Next::Stay) {
            Next::To(state) => state,
            Next::AsTold if free => State::Available,
            Next::AsTold => State::Unavailable,
            Next::IfUnchoked if self.unchoked => State::Connected,
            Next::IfUnchoked | Next::Stay => self.state,
        };
        if state != self.state {
            (self.state, self.since) = (state, now);
        }
    }

    pub fn got_state(&mut self, told: UploadState, now: Time) {
        self.told = Some(told);
        if self.late {
            return;
        }
        let event = match told.state {
            State::Available => LinkEvent::ToldAvailable,
            State::Connected => LinkEvent::ToldConnected,
            State::Unavailable => LinkEvent::ToldUnavailable,
        };
        self.step(event, now);
    }

    pub fn got_unchoke(&mut self, now: Time) {
        if !std::mem::replace(&mut self.unchoked, true) {
            self.pace.restart(now);
            self.promised.get_or_insert(now);
        }
        if !self.late {
            self.step(LinkEvent::Unchoked, now);
        }
    }

    /// A slot that is taken away before a block came is worth less each time.
    pub fn got_choke(&mut self, now: Time) {
        if std::mem::replace(&mut self.unchoked, false) && !self.pace.served() {
            crate::mark!("D22");
            self.rest(now);
        }
        self.refused = 0;
        self.step(LinkEvent::Choked, now);
    }

    /// A block came whole, asked for at `asked`.
    pub fn served(&mut self, asked: Option<Time>, bytes: u32, now: Time) {
        self.pace.got_block(asked, bytes, now);
        self.fruitless = 0;
        self.gave = Some(now);
        self.refused = 0;
        self.late = false;
        self.rests_until = Time::ZERO;
        self.step(LinkEvent::Served, now);
    }

    /// What it owes is overdue.
    pub fn overdue(&mut self, now: Time) {
        self.late = true;
        self.rest(now);
        self.step(LinkEvent::Overdue, now);
    }

    /// Its rest is over: it is tried with one block.
    pub fn rested(&mut self, now: Time) {
        self.late = false;
        self.pace.restart(now);
        self.step(LinkEvent::Rested, now);
    }

    fn rest(&mut self, now: Time) {
        self.fruitless = self.fruitless.saturating_add(1);
        let wait = (1u64 << self.fruitless.min(6)).min(REST_MAX_S);
        self.rests_until = now + Span::secs(wait);
    }

    pub fn rests(&self, now: Time) -> bool {
        now < self.rests_until
    }

    /// The source's state towards us. A stock client that chokes says nothing else, so it counts
    /// as one without a free slot.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether it will not serve soon.
    pub fn waits_long(&self, now: Time) -> bool {
        let told = self.told.map_or(Span::ZERO, |told| Span::secs(told.wait_s.into()));
        self.state == State::Unavailable
            && (told >= LONG_WAIT || now.since(self.since) >= LONG_WAIT)
    }

    /// Whether a block came whole lately.
    pub fn gives(&self, now: Time) -> bool {
        self.gave.is_some_and(|at| now.since(at) < SNUBBED)
    }

    /// Whether it promised blocks and has not delivered one for a minute: what it has may be a lie.
    pub fn snubs(&self, now: Time) -> bool {
        let last = self.gave.or(self.promised);
        self.fruitless > 0 && last.is_some_and(|last| now.since(last) >= SNUBBED)
    }

    /// It refused what it was asked for while we may ask. -> how often it did so in a row.
    pub fn refuses(&mut self) -> u32 {
        self.refused = self.refused.saturating_add(1);
        self.refused
    }

    /// Whether requests may be sent.
    pub fn serves(&self, now: Time) -> bool {
        self.unchoked && !self.late && !self.rests(now)
    }

    pub fn is_unchoked(&self) -> bool {
        self.unchoked
    }

    /// Requests it should have of us at a time, at most `max`: one while it must prove itself.
    pub fn depth(&self, max: usize, share: usize) -> usize {
        if self.fruitless > 0 { 1 } else { self.pace.depth(max, share) }
    }

    /// Takes a block out of what was asked; answers come mostly in order.
    pub fn answered(&mut self, block: Block) -> Option<Time> {
        let at = self.asked.iter().position(|asked| asked.block == block)?;
        let asked = if at == 0 { self.asked.pop_front() } else { self.asked.remove(at) };
        asked.map(|asked| asked.at)
    }

    /// Takes a block out of what was cancelled.
    pub fn answered_cancelled(&mut self, block: Block) -> bool {
        let at = self.cancelled.iter().position(|cancelled| *cancelled == block);
        at.map(|at| self.cancelled.swap_remove(at)).is_some()
    }

    /// The blocks it owes us: the one that is coming in, then those asked.
    pub fn owes(&self) -> impl Iterator<Item = Block> + '_ {
        let receiving = self.receiving.as_ref();
        let coming = receiving.filter(|r| !matches!(r.into, Into::Nowhere)).map(|r| r.block);
        coming.into_iter().chain(self.asked.iter().map(|asked| asked.block))
    }

    /// Whether what it owes is not delivered in its time.
    pub fn is_overdue(&self, now: Time) -> bool {
        // One that was called off and comes all the same is waited for, too, but not for ever.
        let is_wanted = |receiving: &Receiving| !matches!(receiving.into, Into::Nowhere);
        let coming = self.receiving.as_ref().and_then(|receiving| {
            receiving.asked.or(is_wanted(receiving).then_some(receiving.began))
        });
        let oldest = coming.or(self.asked.front().map(|asked| asked.at));
        oldest.is_some_and(|asked| !self.late && self.pace.is_overdue(asked, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::peer_state::UploadState;

    const STATES: [State; 3] = [State::Available, State::Connected, State::Unavailable];

    fn in_state(state: State) -> Link {
        let mut link = Link::new(Time::ZERO);
        match state {
            State::Available => link.got_state(UploadState::new(State::Available), Time::ZERO),
            State::Connected => link.got_unchoke(Time::ZERO),
            State::Unavailable => {}
        }
        assert_eq!(link.state(), state);
        link
    }

    fn befall(link: &mut Link, event: LinkEvent) {
        let now = Time::ZERO + Span::secs(1);
        match event {
            LinkEvent::ToldAvailable => link.got_state(UploadState::new(State::Available), now),
            LinkEvent::ToldConnected => link.got_state(UploadState::new(State::Connected), now),
            LinkEvent::ToldUnavailable => link.got_state(UploadState::new(State::Unavailable), now),
            LinkEvent::Unchoked => link.got_unchoke(now),
            LinkEvent::Choked => link.got_choke(now),
            LinkEvent::Overdue => link.overdue(now),
            LinkEvent::Served => link.served(None, 16_384, now),
            LinkEvent::Rested => link.rested(now),
        }
    }

    /// What the table must say, written apart from it.
    fn wanted(event: LinkEvent, from: State) -> State {
        match (event, from) {
            (LinkEvent::Unchoked, _) => State::Connected,
            (LinkEvent::ToldAvailable, State::Unavailable) => State::Available,
            (LinkEvent::ToldUnavailable, State::Available) => State::Unavailable,
            (LinkEvent::Choked | LinkEvent::Overdue, State::Connected) => State::Unavailable,
            _ => from,
        }
    }

    #[test]
    fn every_event_in_every_state_leads_where_it_must() {
        for (event, _) in TABLE {
            for from in STATES {
                let mut link = in_state(from);
                befall(&mut link, event);
                assert_eq!(link.state(), wanted(event, from), "{event:?} in {from:?}");
            }
        }
    }

    #[test]
    fn choke_is_trusted_over_words() {
        let mut link = in_state(State::Connected);
        befall(&mut link, LinkEvent::ToldUnavailable);
        assert_eq!(link.state(), State::Connected);
        befall(&mut link, LinkEvent::ToldAvailable);
        befall(&mut link, LinkEvent::Choked);
        assert_eq!(link.state(), State::Available, "it told that a slot is free");
    }

    #[test]
    fn a_late_source_is_tried_again_after_ever_longer_rests_and_serves_at_once_when_it_serves() {
        let mut link = in_state(State::Connected);
        let mut now = Time::ZERO;
        for secs in [2, 4, 8, 16, 32, 60, 60] {
            link.overdue(now);
            assert_eq!(link.state(), State::Unavailable);
            assert!(link.rests(now + Span(Span::secs(secs).0 - 1)), "{secs} s");
            now = now + Span::secs(secs);
            assert!(!link.rests(now), "{secs} s");
            link.rested(now);
            assert_eq!((link.state(), link.depth(256, 256)), (State::Connected, 1));
        }
        link.overdue(now);
        link.served(None, 16_384, now);
        assert!(link.serves(now) && link.depth(256, 256) > 1);
    }

    #[test]
    fn a_source_that_flaps_between_choke_and_unchoke_rests_longer_each_time() {
        crate::expect_mark!("D22", {
            let mut link = in_state(State::Connected);
            let mut now = Time::ZERO;
            for secs in [2, 4, 8] {
                link.got_choke(now);
                link.got_unchoke(now);
                assert!(!link.serves(now));
                now = now + Span::secs(secs);
                assert!(link.serves(now));
            }
        });
    }
}
