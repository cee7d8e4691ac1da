//! The queue for slots: first come, first served, and the places that are kept for a while for
//! those whose connection ended. Public networks take turns in it, so that one party with many
//! addresses cannot fill it, and who had more than its share already comes last.

use crate::core::id::{ConnId, PeerId};
use crate::core::mark::mark;
use crate::core::network::public_network;
use crate::core::time::{Span, Time};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

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
    /// Where its connection comes from.
    pub ip: IpAddr,
}

impl Who {
    fn is(&self, other: &Who) -> bool {
        self.peer_id == other.peer_id || (self.addr.is_some() && self.addr == other.addr)
    }
}

/// A place in the queue; the least is next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    /// It had its share already: behind all who had not.
    last: bool,
    /// In each round a public network has one place; nodes elsewhere have one each.
    round: u64,
    number: u64,
}

/// What one public network has in the queue.
#[derive(Debug)]
struct Line {
    waiting: u32,
    /// The round of its last place.
    last_round: u64,
}

#[derive(Debug)]
struct Kept {
    who: Who,
    place: Place,
    until: Time,
}

/// Everyone who waits has a place; of those in one round, who drew the lower number is next.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: BTreeMap<Place, ConnId>,
    places: BTreeMap<ConnId, (Place, Option<IpAddr>)>,
    lines: BTreeMap<IpAddr, Line>,
    drawn: u64,
    /// The round that is being served.
    round: u64,
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
        self.places.contains_key(&conn)
    }

    pub fn first(&self) -> Option<ConnId> {
        self.waiting.first_key_value().map(|(_, conn)| *conn)
    }

    /// Place in the queue, 1 = next.
    pub fn position(&self, conn: ConnId) -> Option<usize> {
        self.places.get(&conn).map(|(place, _)| self.waiting.range(..place).count() + 1)
    }

    /// Those who wait, the next one first.
    pub fn iter(&self) -> impl Iterator<Item = ConnId> {
        self.waiting.values().copied()
    }

    /// To the tail of its network's line, or to the place that was kept for it. `last`: whoever
    /// had not its share goes first.
    pub fn enter(&mut self, conn: ConnId, who: Option<&Who>, last: bool, now: Time) {
        self.leave(conn);
        let known = |kept: &Kept| kept.until > now && who.is_some_and(|who| kept.who.is(who));
        let network = who.and_then(|who| public_network(who.ip));
        let place = match self.kept.iter().position(known) {
            Some(at) => self.kept.remove(at).place,
            None => self.draw(network),
        };
        let place = Place { last, ..place };
        if let Some(network) = network {
            let line =
                self.lines.entry(network).or_insert(Line { waiting: 0, last_round: place.round });
            line.waiting += 1;
            line.last_round = line.last_round.max(place.round);
        }
        self.waiting.insert(place, conn);
        self.places.insert(conn, (place, network));
    }

    fn draw(&mut self, network: Option<IpAddr>) -> Place {
        self.drawn += 1;
        let line = network.and_then(|network| self.lines.get(&network));
        if line.is_some() {
            mark!("D23");
        }
        let before = line.map_or(0, |line| line.last_round).max(self.round);
        Place { last: false, round: before + 1, number: self.drawn }
    }

    fn leave(&mut self, conn: ConnId) -> Option<Place> {
        let (place, network) = self.places.remove(&conn)?;
        self.waiting.remove(&place);
        if let Some(network) = network
            && let Some(line) = self.lines.get_mut(&network)
        {
            line.waiting -= 1;
            if line.waiting == 0 {
                self.lines.remove(&network);
            }
        }
        Some(place)
    }

    /// It waits no longer: it is served, or wants nothing any more.
    pub fn done(&mut self, conn: ConnId, served: bool) {
        if let Some(place) = self.leave(conn).filter(|_| served) {
            self.round = self.round.max(place.round);
        }
    }

    /// Its connection ended: its place is kept.
    pub fn keep(&mut self, conn: ConnId, who: Who, now: Time) {
        let Some(place) = self.leave(conn) else { return };
        self.kept.retain(|kept| kept.until > now && !kept.who.is(&who));
        if self.kept.len() >= KEPT_MAX {
            self.kept.remove(0);
        }
        self.kept.push(Kept { who, place, until: now + KEPT });
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
        Who { peer_id: PeerId([n; 20]), addr, ip: [10, 0, 0, n].into() }
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
                (1..4).for_each(|n| queue.enter(conn(n), None, false, start));
                queue.keep(conn(2), Who { addr: who(2, 5).addr, ..who(2, 0) }, start);
                assert_eq!(order(&queue), [1, 3]);
                let now = start + Span::secs(away_s);
                let known = back.peer_id == who(2, 0).peer_id;
                let back = if known { back } else { Who { addr: who(2, 5).addr, ..back } };
                queue.enter(conn(7), Some(&back), false, now);
                assert_eq!(order(&queue), expected, "{back:?} after {away_s} s");
            }
        }
    }

    #[test]
    fn a_stranger_gets_nobodys_place_and_a_place_is_given_once() {
        let mut queue = Queue::default();
        (1..3).for_each(|n| queue.enter(conn(n), None, false, Time::ZERO));
        queue.keep(conn(1), who(1, 5), Time::ZERO);
        queue.enter(conn(5), Some(&who(5, 6)), false, Time::ZERO);
        assert_eq!(order(&queue), [2, 5]);
        queue.enter(conn(6), Some(&who(1, 0)), false, Time::ZERO);
        queue.enter(conn(7), Some(&who(1, 0)), false, Time::ZERO);
        assert_eq!(order(&queue), [6, 2, 5, 7]);
        assert_eq!(queue.position(conn(5)), Some(3));
    }

    #[test]
    fn kept_places_are_bounded() {
        let mut queue = Queue::default();
        for n in 0..5_000_u32 {
            queue.enter(conn(n), None, false, Time::ZERO);
            let mut peer_id = [0; 20];
            peer_id[..4].copy_from_slice(&n.to_be_bytes());
            queue.keep(
                conn(n),
                Who { peer_id: PeerId(peer_id), addr: None, ip: [1, 2, 3, 4].into() },
                Time::ZERO,
            );
        }
        assert!(queue.is_empty() && queue.places.is_empty() && queue.lines.is_empty());
        assert_eq!(queue.kept.len(), KEPT_MAX);
    }

    fn from(ip: [u8; 4], n: u8) -> Who {
        Who { peer_id: PeerId([n; 20]), addr: None, ip: ip.into() }
    }

    #[test]
    fn public_networks_take_turns_and_near_nodes_come_in_their_order() {
        let mut queue = Queue::default();
        for n in 1..=4 {
            queue.enter(conn(n), Some(&from([8, 8, 8, n as u8], n as u8)), false, Time::ZERO);
        }
        queue.enter(conn(5), Some(&from([9, 9, 9, 9], 5)), false, Time::ZERO);
        queue.enter(conn(6), Some(&from([10, 0, 0, 1], 6)), false, Time::ZERO);
        queue.enter(conn(7), Some(&from([10, 0, 0, 1], 7)), false, Time::ZERO);
        assert_eq!(order(&queue), [1, 5, 6, 7, 2, 3, 4]);
        // Later ones of a network that waits go behind, those of a new one stand in the next round.
        queue.done(conn(1), true);
        queue.enter(conn(8), Some(&from([8, 8, 8, 99], 8)), false, Time::ZERO);
        queue.enter(conn(9), Some(&from([7, 7, 7, 7], 9)), false, Time::ZERO);
        assert_eq!(order(&queue), [5, 6, 7, 2, 9, 3, 4, 8]);
        assert_eq!(queue.position(conn(9)), Some(5));
    }

    #[test]
    fn who_had_its_share_waits_behind_all_who_had_not() {
        let mut queue = Queue::default();
        queue.enter(conn(1), Some(&who(1, 0)), true, Time::ZERO);
        queue.enter(conn(2), Some(&who(2, 0)), false, Time::ZERO);
        queue.enter(conn(3), Some(&who(3, 0)), false, Time::ZERO);
        assert_eq!(order(&queue), [2, 3, 1]);
    }
}
