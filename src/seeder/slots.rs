//! Who is served: the right to be served (a slot), and the queue of those who wait for one. First
//! come, first served. Pure: it says what changed, the half of the peer that owns it tells the
//! peers.

use crate::core::id::ConnId;
use crate::core::report::State;
use crate::core::time::{Span, Time};
use std::collections::{BTreeMap, VecDeque};

/// A holder that asks for nothing for so long gives its slot back.
const IDLE_HOLDER: Span = Span::secs(10);

/// Where one leecher stands with us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// It wants nothing.
    Idle,
    /// It wants, and waits.
    Queued,
    /// It holds a slot. `asked`: when it last asked for something.
    Active { asked: Time },
}

/// The slots of one peer's serving half.
#[derive(Debug)]
pub struct Slots {
    total: u32,
    places: BTreeMap<ConnId, Place>,
    queue: VecDeque<ConnId>,
    active: u32,
    /// Who changed place since last asked.
    changed: Vec<ConnId>,
}

impl Slots {
    pub fn new(total: u32) -> Slots {
        Slots {
            total: total.max(1),
            places: BTreeMap::new(),
            queue: VecDeque::new(),
            active: 0,
            changed: Vec::new(),
        }
    }

    pub fn total(&self) -> u32 {
        self.total
    }

    pub fn free(&self) -> u32 {
        self.total - self.active
    }

    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    pub fn place(&self, conn: ConnId) -> Place {
        self.places.get(&conn).copied().unwrap_or(Place::Idle)
    }

    /// Position in the queue, 1 = next; `None` for those who do not wait.
    pub fn position(&self, conn: ConnId) -> Option<usize> {
        self.queue.iter().position(|c| *c == conn).map(|at| at + 1)
    }

    /// The customer's word for a leecher's place.
    pub fn state(&self, conn: ConnId) -> State {
        match self.place(conn) {
            Place::Active { .. } => State::Connected,
            Place::Idle if self.free() > 0 && self.queue.is_empty() => State::Available,
            Place::Idle | Place::Queued => State::Unavailable,
        }
    }

    pub fn joined(&mut self, conn: ConnId) {
        self.places.entry(conn).or_insert(Place::Idle);
    }

    pub fn got_interested(&mut self, conn: ConnId, now: Time) {
        if self.places.get(&conn) != Some(&Place::Idle) {
            return;
        }
        self.set(conn, Place::Queued);
        self.queue.push_back(conn);
        self.promote(now);
    }

    pub fn got_not_interested(&mut self, conn: ConnId, now: Time) {
        self.demote(conn);
        self.promote(now);
    }

    /// The holder asked for something: it keeps its slot.
    pub fn got_request(&mut self, conn: ConnId, now: Time) {
        if let Some(Place::Active { asked }) = self.places.get_mut(&conn) {
            *asked = now;
        }
    }

    pub fn left(&mut self, conn: ConnId, now: Time) {
        self.demote(conn);
        self.places.remove(&conn);
        self.promote(now);
    }

    /// Takes back the slots of holders that ask for nothing; `busy` says who still has something
    /// coming.
    pub fn tick(&mut self, now: Time, busy: impl Fn(ConnId) -> bool) {
        let idle: Vec<ConnId> = self
            .places
            .iter()
            .filter(|(conn, place)| match place {
                Place::Active { asked } => now.since(*asked) > IDLE_HOLDER && !busy(**conn),
                _ => false,
            })
            .map(|(conn, _)| *conn)
            .collect();
        // A slot nobody waits for may stay where it is.
        for conn in idle.into_iter().take(self.queue.len()) {
            self.demote(conn);
            // It still wants, and will not say so again: it waits behind those who waited.
            self.set(conn, Place::Queued);
            self.queue.push_back(conn);
        }
        self.promote(now);
    }

    /// Who changed place since the last call, each once.
    pub fn take_changed(&mut self) -> Vec<ConnId> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    fn set(&mut self, conn: ConnId, place: Place) {
        self.places.insert(conn, place);
        self.changed.push(conn);
    }

    fn demote(&mut self, conn: ConnId) {
        match self.place(conn) {
            Place::Idle => return,
            Place::Queued => self.queue.retain(|c| *c != conn),
            Place::Active { .. } => self.active -= 1,
        }
        self.set(conn, Place::Idle);
    }

    fn promote(&mut self, now: Time) {
        while self.active < self.total
            && let Some(conn) = self.queue.pop_front()
        {
            self.active += 1;
            self.set(conn, Place::Active { asked: now });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    fn states(slots: &Slots, n: u32) -> Vec<State> {
        (0..n).map(|c| slots.state(conn(c))).collect()
    }

    #[test]
    fn one_slot_serves_one_and_the_next_when_it_leaves() {
        use State::*;
        let mut slots = Slots::new(1);
        (0..3).for_each(|c| slots.joined(conn(c)));
        assert_eq!(states(&slots, 3), [Available; 3]);
        (0..3).for_each(|c| slots.got_interested(conn(c), Time::ZERO));
        assert_eq!(states(&slots, 3), [Connected, Unavailable, Unavailable]);
        assert_eq!((slots.position(conn(1)), slots.position(conn(2))), (Some(1), Some(2)));
        slots.left(conn(0), Time::ZERO);
        assert_eq!(states(&slots, 3)[1..], [Connected, Unavailable]);
        slots.got_not_interested(conn(1), Time::ZERO);
        assert_eq!(states(&slots, 3)[1..], [Unavailable, Connected]);
        slots.got_not_interested(conn(2), Time::ZERO);
        assert_eq!(states(&slots, 3)[1..], [Available, Available]);
    }

    #[test]
    fn an_idle_holder_yields_only_to_one_who_waits() {
        let mut slots = Slots::new(1);
        slots.joined(conn(0));
        slots.got_interested(conn(0), Time::ZERO);
        slots.tick(Time::ZERO + Span::secs(60), |_| false);
        assert_eq!(slots.state(conn(0)), State::Connected);
        slots.joined(conn(1));
        slots.got_interested(conn(1), Time::ZERO + Span::secs(60));
        slots.tick(Time::ZERO + Span::secs(61), |_| true);
        assert_eq!(slots.state(conn(1)), State::Unavailable, "a busy holder keeps its slot");
        slots.tick(Time::ZERO + Span::secs(62), |_| false);
        assert_eq!(slots.state(conn(1)), State::Connected);
        assert_eq!(slots.place(conn(0)), Place::Queued, "it still wants");
        slots.left(conn(1), Time::ZERO + Span::secs(63));
        assert_eq!(slots.state(conn(0)), State::Connected);
    }

    #[test]
    fn no_slot_is_ever_free_while_someone_waits() {
        let seed = 0x51_07;
        let mut rng = crate::core::rng::Rng::new(seed);
        let mut slots = Slots::new(3);
        let mut now = Time::ZERO;
        for step in 0..20_000 {
            now = now + Span::ms(rng.below(3000));
            let who = conn(rng.below(12) as u32);
            match rng.below(6) {
                0 => slots.joined(who),
                1 | 2 => slots.got_interested(who, now),
                3 => slots.got_not_interested(who, now),
                4 => slots.left(who, now),
                _ => slots.tick(now, |c| c.slot.is_multiple_of(2)),
            }
            let active =
                slots.places.values().filter(|p| matches!(p, Place::Active { .. })).count() as u32;
            assert_eq!(active, slots.active, "seed {seed:#x} step {step}");
            assert!(slots.queue.is_empty() || slots.free() == 0, "seed {seed:#x} step {step}");
            assert!(active <= 3);
        }
    }
}
