//! The queue for slots: first come, first served, and the places that are kept for a while for
//! those whose connection ended.

use crate::core::id::{ConnId, PeerId};
use crate::core::time::{Span, Time};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// How long the place of a queued leecher is kept after its connection ended: some clients hang up
/// when they wait choked for a minute, and dial again a minute later.
const KEPT: Span = Span::secs(90);
/// Places kept at most; the oldest go first.
const KEPT_MAX: usize = 1024;

/// By what a leecher is known again: its peer id, or the address where it listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Who {
    pub peer_id: PeerId,
    pub addr: Option<SocketAddr>,
}

impl Who {
    fn is(&self, other: &Who) -> bool {
        self.peer_id == other.peer_id || (self.addr.is_some() && self.addr == other.addr)
    }
}

#[derive(Debug)]
struct Kept {
    who: Who,
    number: u64,
    until: Time,
}

/// Everyone who waits has drawn a number; the lowest is next.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: BTreeMap<u64, ConnId>,
    numbers: BTreeMap<ConnId, u64>,
    drawn: u64,
    kept: Vec<Kept>,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn contains(&self, conn: ConnId) -> bool {
        self.numbers.contains_key(&conn)
    }

    pub fn first(&self) -> Option<ConnId> {
        self.waiting.first_key_value().map(|(_, conn)| *conn)
    }

    /// Place in the queue, 1 = next.
    pub fn position(&self, conn: ConnId) -> Option<usize> {
        self.numbers.get(&conn).map(|number| self.waiting.range(..number).count() + 1)
    }

    /// Those who wait, the next one first.
    pub fn iter(&self) -> impl Iterator<Item = ConnId> {
        self.waiting.values().copied()
    }

    /// To the tail, or to the place that was kept for it.
    pub fn enter(&mut self, conn: ConnId, who: Option<&Who>, now: Time) {
        self.leave(conn);
        let known = |kept: &Kept| kept.until > now && who.is_some_and(|who| kept.who.is(who));
        let number = match self.kept.iter().position(known) {
            Some(at) => self.kept.remove(at).number,
            None => {
                self.drawn += 1;
                self.drawn
            }
        };
        self.waiting.insert(number, conn);
        self.numbers.insert(conn, number);
    }

    pub fn leave(&mut self, conn: ConnId) -> Option<u64> {
        let number = self.numbers.remove(&conn)?;
        self.waiting.remove(&number);
        Some(number)
    }

    /// Its connection ended: its place is kept.
    pub fn keep(&mut self, conn: ConnId, who: Who, now: Time) {
        let Some(number) = self.leave(conn) else { return };
        self.kept.retain(|kept| kept.until > now && !kept.who.is(&who));
        if self.kept.len() >= KEPT_MAX {
            self.kept.remove(0);
        }
        self.kept.push(Kept { who, number, until: now + KEPT });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    fn who(n: u8, port: u16) -> Who {
        let addr = (port > 0).then(|| SocketAddr::from(([10, 0, 0, n], port)));
        Who { peer_id: PeerId([n; 20]), addr }
    }

    fn order(queue: &Queue) -> Vec<u32> {
        queue.iter().map(|conn| conn.slot).collect()
    }

    #[test]
    fn a_place_is_kept_for_ninety_seconds_by_peer_id_or_by_address() {
        for back in [who(2, 0), who(9, 0)] {
            for (away_s, expected) in [(89, [1, 7, 3]), (90, [1, 3, 7])] {
                let mut queue = Queue::default();
                let start = Time::ZERO;
                (1..4).for_each(|n| queue.enter(conn(n), None, start));
                queue.keep(conn(2), Who { addr: who(2, 5).addr, ..who(2, 0) }, start);
                assert_eq!(order(&queue), [1, 3]);
                let now = start + Span::secs(away_s);
                let known = back.peer_id == who(2, 0).peer_id;
                let back = if known { back } else { Who { addr: who(2, 5).addr, ..back } };
                queue.enter(conn(7), Some(&back), now);
                assert_eq!(order(&queue), expected, "{back:?} after {away_s} s");
            }
        }
    }

    #[test]
    fn a_stranger_gets_nobodys_place_and_a_place_is_given_once() {
        let mut queue = Queue::default();
        (1..3).for_each(|n| queue.enter(conn(n), None, Time::ZERO));
        queue.keep(conn(1), who(1, 5), Time::ZERO);
        queue.enter(conn(5), Some(&who(5, 6)), Time::ZERO);
        assert_eq!(order(&queue), [2, 5]);
        queue.enter(conn(6), Some(&who(1, 0)), Time::ZERO);
        queue.enter(conn(7), Some(&who(1, 0)), Time::ZERO);
        assert_eq!(order(&queue), [6, 2, 5, 7]);
        assert_eq!(queue.position(conn(5)), Some(3));
    }

    #[test]
    fn kept_places_are_bounded() {
        let mut queue = Queue::default();
        for n in 0..5_000_u32 {
            queue.enter(conn(n), None, Time::ZERO);
            let mut peer_id = [0; 20];
            peer_id[..4].copy_from_slice(&n.to_be_bytes());
            queue.keep(conn(n), Who { peer_id: PeerId(peer_id), addr: None }, Time::ZERO);
        }
        assert!(queue.is_empty() && queue.numbers.is_empty());
        assert_eq!(queue.kept.len(), KEPT_MAX);
    }
}
