//! Whom to serve in a swarm of strangers: those who give us most (tit for tat), and one or more by
//! chance, so that newcomers have something to give and better partners are found. Once we lack
//! nothing, whoever takes fast serves its time and those who wait have their turn.

use crate::core::id::ConnId;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// How often it is decided anew who is served; nobody is served for a shorter time.
pub const ROUND: Span = Span::secs(10);
/// Who is served by chance is served for so long, if others wait.
const BY_CHANCE: Span = Span::secs(30);
/// Somebody who was never served is drawn so many times as likely.
const NEWCOMER: usize = 3;

/// What each neighbour gave us until now, in bytes, and whether it gave anything lately; `None`
/// once we lack nothing.
pub type Gives<'a> = Option<&'a dyn Fn(ConnId) -> (u64, bool)>;

/// One who wants to be served.
#[derive(Clone, Copy, Debug)]
pub struct Bid {
    pub conn: ConnId,
    /// Since when it is served; `None`: it waits.
    pub served: Option<Time>,
    /// It had its turn, or does not use it.
    pub is_over: bool,
    /// Bytes it gave until now, or took if we lack nothing.
    pub bytes: u64,
    /// It gave something lately; else it snubs us and is served by chance alone.
    pub gives: bool,
}

#[derive(Debug)]
pub struct Choker {
    rng: Rng,
    next: Time,
    /// The bytes of each as of the last round.
    before: BTreeMap<ConnId, u64>,
    /// Those who were served already.
    known: BTreeSet<ConnId>,
}

impl Choker {
    pub fn new(rng: Rng) -> Choker {
        Choker { rng, next: Time::ZERO, before: BTreeMap::new(), known: BTreeSet::new() }
    }

    /// Whether a round is due; it is then over.
    pub fn is_due(&mut self, now: Time) -> bool {
        let due = self.next <= now;
        if due {
            self.next = now + ROUND;
        }
        due
    }

    pub fn served(&mut self, conn: ConnId) {
        self.known.insert(conn);
    }

    pub fn left(&mut self, conn: ConnId) {
        self.known.remove(&conn);
        self.before.remove(&conn);
    }

    /// One of those who wait, by chance.
    pub fn draw(&mut self, waiting: impl Iterator<Item = ConnId>) -> Option<ConnId> {
        self.shuffled(waiting).first().copied()
    }

    /// In an order of chance; newcomers tend to come early.
    fn shuffled(&mut self, waiting: impl Iterator<Item = ConnId>) -> Vec<ConnId> {
        let mut lots = Vec::new();
        for conn in waiting {
            let times = if self.known.contains(&conn) { 1 } else { NEWCOMER };
            lots.extend(std::iter::repeat_n(conn, times));
        }
        self.rng.shuffle(&mut lots);
        let mut drawn = BTreeSet::new();
        lots.retain(|conn| drawn.insert(*conn));
        lots
    }

    /// Who is served for the next round: `total` of them, one at the least by chance. Those who
    /// wait stand in `bids` in the order in which they came.
    pub fn choose(
        &mut self,
        bids: &[Bid],
        total: usize,
        lacking: bool,
        now: Time,
    ) -> BTreeSet<ConnId> {
        let bytes: BTreeMap<ConnId, u64> = bids.iter().map(|bid| (bid.conn, bid.bytes)).collect();
        let before = std::mem::replace(&mut self.before, bytes);
        let lately = |bid: &Bid| {
            bid.bytes.saturating_sub(before.get(&bid.conn).copied().unwrap_or_default())
        };
        let is_young = |bid: &Bid| bid.served.is_some_and(|since| now.since(since) < ROUND);
        let fits = |bid: &&Bid| !bid.is_over && (bid.gives || !lacking);
        let mut ranked: Vec<&Bid> = bids.iter().filter(fits).collect();
        // The sort is stable: those who wait stay in their order.
        ranked.sort_by_key(|bid| {
            let waits = bid.served.is_none();
            let counts = lacking || !waits;
            (!is_young(bid), waits && !lacking, Reverse(if counts { lately(bid) } else { 0 }))
        });
        let regular = total.saturating_sub(1).max(1);
        let mut chosen: BTreeSet<ConnId> =
            ranked.iter().take(regular).map(|bid| bid.conn).collect();
        let rest = bids.iter().filter(|bid| !chosen.contains(&bid.conn));
        let lots = self.shuffled(rest.clone().filter(|bid| bid.served.is_none()).map(|b| b.conn));
        let served = |bid: &&Bid| bid.served.is_some();
        let stays = |bid: &&Bid| {
            let short = bid.served.is_some_and(|since| now.since(since) < BY_CHANCE);
            is_young(bid) || (short && !bid.is_over)
        };
        let (stay, go): (Vec<&Bid>, Vec<&Bid>) = rest.filter(served).partition(stays);
        let stay = stay.iter().map(|bid| bid.conn);
        // Nobody goes for nobody.
        let order: Vec<ConnId> = stay.chain(lots).chain(go.iter().map(|bid| bid.conn)).collect();
        let room = total.saturating_sub(chosen.len());
        chosen.extend(order.into_iter().take(room));
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Span::secs(seconds)
    }

    fn choker(seed: u64) -> Choker {
        Choker::new(Rng::new(seed))
    }

    fn bid(slot: u32, served: Option<u64>, bytes: u64) -> Bid {
        let gives = bytes > 0;
        Bid { conn: conn(slot), served: served.map(at), is_over: false, bytes, gives }
    }

    fn slots(chosen: &BTreeSet<ConnId>) -> Vec<u32> {
        chosen.iter().map(|conn| conn.slot).collect()
    }

    #[test]
    fn those_who_gave_most_in_the_last_round_are_served_and_one_by_chance() {
        let mut by_chance = BTreeSet::new();
        for seed in 0..50 {
            let mut choker = choker(seed);
            // 0 gave much long ago, and nothing since.
            let first: Vec<Bid> = (0..8).map(|n| bid(n, Some(0), 1)).collect();
            let first = [&[bid(0, Some(0), 1 << 30)], &first[1..]].concat();
            choker.choose(&first, 8, true, at(5));
            let bids: Vec<Bid> =
                (0..8).map(|n| bid(n, (n < 5).then_some(0), 1 + u64::from(n) * 1000)).collect();
            let bids = [&[bid(0, Some(0), (1 << 30) + 10)], &bids[1..]].concat();
            let chosen = slots(&choker.choose(&bids, 5, true, at(60)));
            assert_eq!(chosen.len(), 5);
            assert!([4, 5, 6, 7].iter().all(|n| chosen.contains(n)), "seed {seed}: {chosen:?}");
            by_chance.extend(chosen.iter().filter(|n| **n < 4).copied());
        }
        // Of those four only holders are left, whose thirty seconds are over: nobody waits.
        assert!(!by_chance.is_empty());
    }

    #[test]
    fn who_snubs_us_leaves_its_place_to_chance() {
        // Five hold slots, one of them gave something in the last minute; seven wait.
        let mut drawn = BTreeSet::new();
        for seed in 0..200 {
            let mut bids: Vec<Bid> = (0..12).map(|n| bid(n, (n < 5).then_some(0), 0)).collect();
            bids[2].gives = true;
            let chosen = slots(&choker(seed).choose(&bids, 5, true, at(40)));
            assert!(chosen.contains(&2), "seed {seed}");
            let waited = chosen.iter().filter(|n| **n >= 5).count();
            assert_eq!(waited, 4, "seed {seed}: {chosen:?}");
            drawn.extend(chosen);
        }
        assert!((5..12).all(|n| drawn.contains(&n)), "{drawn:?}");
    }

    #[test]
    fn nobody_loses_its_place_within_a_round_nor_chance_within_thirty_seconds() {
        for (held_s, stays) in [(9, true), (29, true), (30, false)] {
            let mut bids: Vec<Bid> = (1..6).map(|n| bid(n, None, 1000)).collect();
            bids.push(bid(0, Some(100 - held_s), 0));
            let chosen = choker(1).choose(&bids, 5, true, at(100));
            assert_eq!(chosen.contains(&conn(0)), stays, "{held_s} s");
        }
        // And nobody goes when nobody waits.
        let bids: Vec<Bid> = (0..5).map(|n| bid(n, Some(0), 0)).collect();
        assert_eq!(slots(&choker(1).choose(&bids, 5, true, at(100))), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn without_a_lack_those_whose_turn_is_over_go_and_the_longest_waiting_come() {
        for seed in 0..50 {
            let mut bids: Vec<Bid> = (0..5).map(|n| bid(n, Some(0), u64::from(n) * 10)).collect();
            bids[1].is_over = true;
            bids[4].is_over = true;
            bids.extend((5..9).map(|n| bid(n, None, 0)));
            let chosen = slots(&choker(seed).choose(&bids, 5, false, at(20)));
            assert!([0, 2, 3, 5].iter().all(|n| chosen.contains(n)), "seed {seed}: {chosen:?}");
            assert!(!chosen.contains(&1) && !chosen.contains(&4), "seed {seed}: {chosen:?}");
        }
    }

    #[test]
    fn a_newcomer_is_drawn_three_times_as_often() {
        let mut choker = choker(7);
        (1..4).for_each(|n| choker.served(conn(n)));
        let mut newcomer = 0;
        for _ in 0..6000 {
            newcomer += u32::from(choker.draw((0..4).map(conn)) == Some(conn(0)));
        }
        assert!((2800..3200).contains(&newcomer), "{newcomer} of 6000");
        choker.left(conn(1));
        assert_eq!(choker.draw(std::iter::empty()), None);
    }
}
