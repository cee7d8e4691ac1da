//! Who is served: the right to be served (a slot), given in the order of the queue and for a
//! quantum while others wait. Pure: it says which rows of the table were gone, the half of the peer
//! that owns it tells the peers.

use super::choker::{Bid, Choker, Gives};
use super::queue::{Queue, Who};
use super::states::{self, Event, Row, Stand};
use super::takers::Takers;
use crate::core::id::ConnId;
use crate::core::mark::mark;
use crate::core::report::{SlotsRow, State};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};

/// A holder that asks for nothing, or takes nothing, for so long gives its slot to one who waits.
const STALLED: Span = Span::secs(10);
/// A holder gives its slot to one who waits after this time or these bytes, whichever is first, ...
const QUANTUM: Span = Span::secs(60);
const QUANTUM_BYTES: u64 = 64 * 1024 * 1024;
/// ... but never sooner than this: a change costs both sides a round trip and a warm pipeline.
const QUANTUM_MIN: Span = Span::secs(10);

/// How one leecher holds a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Holding {
    /// Slots given before this one.
    nth: u64,
    since: Time,
    /// When it asked last.
    asked: Time,
    /// When it took something last, or something was handed over to an empty connection.
    took: Time,
    /// Bytes handed over.
    bytes: u64,
}

impl Holding {
    fn stalled(&self, now: Time, busy: bool) -> bool {
        let moved = if busy { self.took } else { self.took.max(self.asked) };
        now.since(moved) >= STALLED
    }

    fn over(&self, now: Time) -> bool {
        let held = now.since(self.since);
        held >= QUANTUM || (held >= QUANTUM_MIN && self.bytes >= QUANTUM_BYTES)
    }
}

/// The slots of one peer's serving half.
#[derive(Debug)]
pub struct Slots {
    total: u32,
    idle: BTreeSet<ConnId>,
    queue: Queue,
    active: BTreeMap<ConnId, Holding>,
    given: u64,
    /// How long a slot is held, averaged over the last few holders.
    hold: Span,
    /// Who they are that asked for a slot, as long as they converse.
    known: BTreeMap<ConnId, Who>,
    takers: Takers,
    /// Among strangers: who is served, in place of the order of the queue.
    choker: Option<Choker>,
    /// Rows gone since last asked.
    gone: Vec<(ConnId, &'static Row)>,
}

impl Slots {
    /// Slots for a content of so many bytes.
    pub fn new(total: u32, content_bytes: u64) -> Slots {
        Slots {
            total: total.max(1),
            idle: BTreeSet::new(),
            queue: Queue::default(),
            active: BTreeMap::new(),
            given: 0,
            hold: QUANTUM,
            known: BTreeMap::new(),
            takers: Takers::new(content_bytes),
            choker: None,
            gone: Vec::new(),
        }
    }

    /// Serves those who give most, and one more by chance.
    pub fn among_strangers(&mut self, rng: Rng) {
        self.total = self.total.saturating_add(1);
        self.choker = Some(Choker::new(rng));
    }

    /// Whether those who wait are served in their order.
    pub fn is_in_order(&self) -> bool {
        self.choker.is_none()
    }

    /// Its place in the queue, 1 = next, if there is an order.
    pub fn place(&self, conn: ConnId) -> Option<usize> {
        self.queue.position(conn).filter(|_| self.is_in_order())
    }

    pub fn total(&self) -> u32 {
        self.total
    }

    pub fn free(&self) -> u32 {
        self.total.saturating_sub(self.active.len() as u32)
    }

    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    pub fn row(&self) -> SlotsRow {
        SlotsRow { total: self.total, free: self.free(), queued: self.queue.len() as u32 }
    }

    pub fn stand(&self, conn: ConnId) -> Stand {
        if self.active.contains_key(&conn) {
            Stand::Active
        } else if self.queue.contains(conn) {
            Stand::Queued
        } else if self.idle.contains(&conn) {
            Stand::Idle
        } else {
            Stand::Away
        }
    }

    pub fn is_active(&self, conn: ConnId) -> bool {
        self.active.contains_key(&conn)
    }

    /// Whether one who comes now is served now.
    pub fn is_open(&self) -> bool {
        self.free() > 0 && self.queue.is_empty()
    }

    /// The customer's word for a leecher's place.
    pub fn state(&self, conn: ConnId) -> State {
        match self.stand(conn) {
            Stand::Active => State::Connected,
            Stand::Idle | Stand::Away if self.is_open() => State::Available,
            Stand::Idle | Stand::Away | Stand::Queued => State::Unavailable,
        }
    }

    /// Seconds that the one at `position` (1 = next) will wait, as far as the past tells.
    pub fn wait_s(&self, position: usize) -> u32 {
        let slots_of_time = (position as u64).saturating_mul(self.hold.as_ms());
        u32::try_from(slots_of_time.div_ceil(u64::from(self.total) * 1000)).unwrap_or(u32::MAX)
    }

    /// Something befell a leecher; what follows for others follows at once.
    pub fn got(&mut self, conn: ConnId, event: Event, who: Option<&Who>, now: Time) {
        if let Some(who) = who {
            self.known.insert(conn, *who);
        }
        self.step(conn, event, now);
        if event == Event::Left {
            self.known.remove(&conn);
            self.choker.iter_mut().for_each(|choker| choker.left(conn));
        }
        self.promote(now);
    }

    /// The holder asked for something.
    pub fn asked(&mut self, conn: ConnId, now: Time) {
        if let Some(holding) = self.active.get_mut(&conn) {
            holding.asked = now;
        }
    }

    /// Bytes were handed over for it; `first`: nothing was on its way.
    pub fn handed_over(&mut self, conn: ConnId, bytes: u64, first: bool, now: Time) {
        if let Some(who) = self.known.get(&conn) {
            self.takers.took(who, bytes, now);
        }
        if let Some(holding) = self.active.get_mut(&conn) {
            holding.bytes += bytes;
            if first {
                holding.took = now;
            }
        }
    }

    /// It took something of what was handed over.
    pub fn took(&mut self, conn: ConnId, now: Time) {
        if let Some(holding) = self.active.get_mut(&conn) {
            holding.took = now;
        }
    }

    /// Takes back the slots of holders that stall or had their share; `busy` says for whom
    /// something is on its way. A slot that nobody waits for stays where it is.
    pub fn tick(&mut self, now: Time, busy: impl Fn(ConnId) -> bool) {
        if self.choker.is_some() {
            return;
        }
        let due = |(conn, holding): (&ConnId, &Holding)| {
            let stalled = holding.stalled(now, busy(*conn));
            let event = if stalled { Event::Stalled } else { Event::QuantumOver };
            (stalled || holding.over(now)).then_some((holding.nth, *conn, event))
        };
        let mut ending: Vec<(u64, ConnId, Event)> = self.active.iter().filter_map(due).collect();
        ending.sort_unstable_by_key(|(nth, ..)| *nth);
        // One for each who waits: nobody steps back only to step forward again.
        for (_, conn, event) in ending.into_iter().take(self.queue.len()) {
            if event == Event::Stalled {
                mark!("D23");
            }
            self.step(conn, event, now);
        }
        self.promote(now);
    }

    /// Among strangers: who is served is decided anew every ten seconds. `took`: bytes that each
    /// took until now.
    pub fn choose(
        &mut self,
        gives: Gives<'_>,
        took: impl Fn(ConnId) -> u64,
        busy: impl Fn(ConnId) -> bool,
        now: Time,
    ) {
        let Some(choker) = self.choker.as_mut() else { return };
        if !choker.is_due(now) {
            return;
        }
        let bid = |conn: ConnId, holding: Option<&Holding>| {
            let (bytes, lately) = gives.map_or_else(|| (took(conn), false), |gives| gives(conn));
            let is_over = holding.is_some_and(|held| {
                held.stalled(now, busy(conn)) || (gives.is_none() && held.over(now))
            });
            Bid { conn, served: holding.map(|held| held.since), is_over, bytes, gives: lately }
        };
        let served = self.active.iter().map(|(conn, holding)| bid(*conn, Some(holding)));
        let bids: Vec<Bid> = served.chain(self.queue.iter().map(|conn| bid(conn, None))).collect();
        let chosen = choker.choose(&bids, self.total as usize, gives.is_some(), now);
        let go = bids.iter().filter(|bid| bid.served.is_some() && !chosen.contains(&bid.conn));
        go.for_each(|bid| self.step(bid.conn, Event::Outbid, now));
        let come = bids.iter().filter(|bid| bid.served.is_none() && chosen.contains(&bid.conn));
        come.for_each(|bid| self.step(bid.conn, Event::Reached, now));
        self.promote(now);
    }

    /// Nobody is served any more.
    pub fn close(&mut self, event: Event, now: Time) {
        let all = self.active.keys().copied().chain(self.queue.iter());
        let all: Vec<ConnId> = all.chain(self.idle.iter().copied()).collect();
        all.into_iter().for_each(|conn| self.step(conn, event, now));
    }

    /// Rows gone since the last call, in their order.
    pub fn take_gone(&mut self) -> Vec<(ConnId, &'static Row)> {
        std::mem::take(&mut self.gone)
    }

    fn step(&mut self, conn: ConnId, event: Event, now: Time) {
        let from = self.stand(conn);
        let awaited = !self.queue.is_empty();
        let Some(row) = states::find(from, event, self.is_open(), awaited) else { return };
        match from {
            Stand::Active => {
                if let Some(holding) = self.active.remove(&conn) {
                    self.held(now.since(holding.since));
                }
            }
            Stand::Queued => match self.known.get(&conn).filter(|_| row.to == Stand::Away) {
                Some(who) => self.queue.keep(conn, *who, now),
                None => self.queue.done(conn, row.to == Stand::Active),
            },
            Stand::Idle | Stand::Away => {
                self.idle.remove(&conn);
            }
        }
        match row.to {
            Stand::Active => {
                self.given += 1;
                let (nth, since, asked, took) = (self.given, now, now, now);
                let holding = Holding { nth, since, asked, took, bytes: 0 };
                self.active.insert(conn, holding);
                self.choker.iter_mut().for_each(|choker| choker.served(conn));
            }
            Stand::Queued => self.enter(conn, now),
            Stand::Idle => {
                self.idle.insert(conn);
            }
            Stand::Away => {}
        }
        self.gone.push((conn, row));
    }

    fn enter(&mut self, conn: ConnId, now: Time) {
        let who = self.known.get(&conn);
        let last = who.is_some_and(|who| self.takers.had_its_share(who, now));
        if last {
            mark!("D13");
        }
        self.queue.enter(conn, who, last, now);
    }

    fn held(&mut self, span: Span) {
        self.hold = Span((self.hold.0 / 4 * 3).saturating_add(span.0 / 4));
    }

    fn promote(&mut self, now: Time) {
        while self.free() > 0
            && let Some(conn) = match &mut self.choker {
                Some(choker) => choker.draw(self.queue.iter()),
                None => self.queue.first(),
            }
        {
            self.step(conn, Event::Reached, now);
        }
    }
}

#[cfg(test)]
mod tests;
