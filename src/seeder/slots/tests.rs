//! The walk of the table, who is served in which order, and the law of slots.

use super::*;
use crate::core::id::PeerId;
use crate::core::mark::expect_mark;
use crate::core::rng::Rng;
use crate::seeder::states::{TABLE, When};

fn conn(slot: u32) -> ConnId {
    ConnId { slot, generation: 0 }
}

fn who(n: u32) -> Who {
    Who { peer_id: PeerId([n as u8; 20]), addr: None, ip: [10, 0, 0, n as u8].into() }
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::secs(seconds)
}

/// `n` conversations that want nothing yet.
fn joined(total: u32, n: u32) -> Slots {
    let mut slots = Slots::new(total, 1 << 20);
    (0..n).for_each(|c| slots.got(conn(c), Event::Joined, None, Time::ZERO));
    slots.take_gone();
    slots
}

fn wants(slots: &mut Slots, c: u32, now: Time) {
    slots.got(conn(c), Event::Interested, Some(&who(c)), now);
}

fn states(slots: &Slots, n: u32) -> Vec<State> {
    (0..n).map(|c| slots.state(conn(c))).collect()
}

/// Slots in which leecher 0 stands at `row.from` and the row's condition holds.
fn before(row: &Row) -> Slots {
    let mut slots = joined(1, 4);
    if row.event == Event::Outbid {
        slots.among_strangers(Rng::new(1));
        (0..4).for_each(|c| wants(&mut slots, c, Time::ZERO));
        slots.take_gone();
        return slots;
    }
    if row.from == Stand::Away {
        slots.got(conn(0), Event::Left, None, Time::ZERO);
    }
    let awaited = row.when == When::Awaited;
    let order: &[u32] = match (row.from, row.when) {
        (Stand::Active, _) if awaited => &[0, 1],
        (Stand::Active, _) => &[0],
        (Stand::Queued, _) => &[1, 0],
        (_, When::Full) => &[1],
        _ => &[],
    };
    order.iter().for_each(|c| wants(&mut slots, *c, Time::ZERO));
    assert_eq!(slots.stand(conn(0)), row.from, "{row:?}");
    slots.take_gone();
    slots
}

/// A round among strangers, who gave what `gives` says.
fn rounds(slots: &mut Slots, now: Time, gives: impl Fn(ConnId) -> u64) {
    let gives = |conn| (gives(conn), gives(conn) > 1);
    slots.choose(Some(&gives), |_| 0, |_| true, now);
}

#[test]
fn every_row_of_the_table_is_walked() {
    for row in TABLE {
        let mut slots = before(row);
        match row.event {
            Event::Reached => slots.got(conn(1), Event::NotInterested, None, at(1)),
            Event::Stalled => slots.tick(at(10), |_| false),
            Event::QuantumOver => {
                slots.took(conn(0), at(59));
                slots.tick(at(60), |_| false);
            }
            // Two wait, and give more than the two that are served.
            Event::Outbid => rounds(&mut slots, at(40), |c| u64::from(c.slot)),
            Event::Leaving | Event::Withdrawn => slots.close(row.event, at(1)),
            event => slots.got(conn(0), event, None, at(1)),
        }
        let gone = slots.take_gone();
        let mine: Vec<_> = gone.iter().filter(|(c, _)| *c == conn(0)).map(|(_, r)| *r).collect();
        assert_eq!(mine, [row], "{gone:?}");
        assert_eq!(slots.stand(conn(0)), row.to, "{row:?}");
    }
}

#[test]
fn what_is_not_in_the_table_changes_nothing() {
    let events = [
        Event::Joined,
        Event::Interested,
        Event::NotInterested,
        Event::Complete,
        Event::Reached,
        Event::Left,
    ];
    for from in [Stand::Idle, Stand::Queued, Stand::Active, Stand::Away] {
        for event in events {
            if TABLE.iter().any(|row| row.from == from && row.event == event) {
                continue;
            }
            let row = Row { from, event, when: When::Always, to: from, says: &[] };
            let mut slots = before(&row);
            slots.got(conn(0), event, None, at(1));
            assert_eq!(slots.take_gone(), [], "{row:?}");
            assert_eq!(slots.stand(conn(0)), from, "{row:?}");
        }
    }
}

#[test]
fn one_slot_serves_one_and_the_next_when_it_leaves() {
    use State::*;
    let mut slots = joined(1, 3);
    assert_eq!(states(&slots, 3), [Available; 3]);
    (0..3).for_each(|c| wants(&mut slots, c, Time::ZERO));
    assert_eq!(states(&slots, 3), [Connected, Unavailable, Unavailable]);
    slots.got(conn(0), Event::Left, None, Time::ZERO);
    assert_eq!(states(&slots, 3)[1..], [Connected, Unavailable]);
    slots.got(conn(1), Event::NotInterested, None, Time::ZERO);
    assert_eq!(states(&slots, 3)[1..], [Unavailable, Connected]);
    slots.got(conn(2), Event::Complete, None, Time::ZERO);
    assert_eq!(states(&slots, 3)[1..], [Available, Available]);
}

#[test]
fn a_holder_that_asks_for_nothing_yields_after_ten_seconds_and_only_to_one_who_waits() {
    let mut slots = joined(1, 2);
    wants(&mut slots, 0, Time::ZERO);
    slots.tick(at(30), |_| false);
    assert_eq!(slots.state(conn(0)), State::Connected, "nobody waits");
    slots.asked(conn(0), at(30));
    wants(&mut slots, 1, at(30));
    slots.tick(at(39), |_| false);
    assert_eq!(slots.state(conn(0)), State::Connected);
    slots.tick(at(40), |_| false);
    assert_eq!((slots.stand(conn(0)), slots.stand(conn(1))), (Stand::Queued, Stand::Active));
    slots.got(conn(1), Event::Left, None, at(41));
    assert_eq!(slots.state(conn(0)), State::Connected, "it still wanted");
}

#[test]
fn a_holder_that_takes_nothing_yields_however_much_it_asks_for() {
    let mut slots = joined(1, 2);
    (0..2).for_each(|c| wants(&mut slots, c, Time::ZERO));
    slots.handed_over(conn(0), 1 << 20, true, at(1));
    expect_mark!("D23", {
        for second in 1..=11 {
            assert_eq!(slots.stand(conn(0)), Stand::Active, "{second} s");
            slots.asked(conn(0), at(second));
            slots.tick(at(second), |_| true);
        }
    });
    assert_eq!((slots.stand(conn(0)), slots.stand(conn(1))), (Stand::Queued, Stand::Active));
}

#[test]
fn a_quantum_is_sixty_seconds_or_sixty_four_mib_and_ten_seconds_at_the_least() {
    let held = |bytes: u64| {
        let mut slots = joined(1, 2);
        (0..2).for_each(|c| wants(&mut slots, c, Time::ZERO));
        slots.handed_over(conn(0), bytes, true, Time::ZERO);
        let over = |second: &u64| {
            slots.took(conn(0), at(*second));
            slots.tick(at(*second), |_| true);
            slots.stand(conn(1)) == Stand::Active
        };
        (0..100).find(over)
    };
    assert_eq!(held(0), Some(60));
    assert_eq!(held((64 << 20) - 1), Some(60));
    assert_eq!(held(64 << 20), Some(10));
}

#[test]
fn slots_rotate_in_order_so_that_everyone_gets_the_same_share() {
    let mut slots = joined(2, 7);
    (0..7).for_each(|c| wants(&mut slots, c, Time::ZERO));
    let mut shares = [0; 7];
    for second in 0..60 * 7 {
        (0..7).for_each(|c| slots.took(conn(c), at(second)));
        slots.tick(at(second), |_| true);
        (0..7).filter(|c| slots.is_active(conn(*c))).for_each(|c| shares[c as usize] += 1);
    }
    assert_eq!(shares, [120; 7]);
    assert!(slots.wait_s(4) >= 100 && slots.wait_s(4) <= 130, "{}", slots.wait_s(4));
}

#[test]
fn no_slot_is_ever_free_while_someone_waits() {
    a_life_of_slots(Slots::new(3, 1 << 20), 0x51_07);
    let mut slots = Slots::new(2, 1 << 20);
    slots.among_strangers(Rng::new(2));
    a_life_of_slots(slots, 0x51_08);
}

#[test]
fn among_strangers_everyone_is_served_in_time_though_nobody_but_one_gives() {
    let mut slots = joined(2, 9);
    slots.among_strangers(Rng::new(5));
    (0..9).for_each(|c| wants(&mut slots, c, Time::ZERO));
    let (mut shares, mut held) = ([0; 9], BTreeMap::new());
    for second in 0..1200 {
        (0..9).for_each(|c| slots.took(conn(c), at(second)));
        slots.tick(at(second), |_| true);
        rounds(&mut slots, at(second), |c| if c.slot == 4 { second * 1000 } else { 0 });
        let active: Vec<ConnId> = slots.active.keys().copied().collect();
        assert_eq!(active.len(), 3);
        active.iter().for_each(|conn| shares[conn.slot as usize] += 1);
        let since =
            |held: &BTreeMap<ConnId, u64>, c: ConnId| held.get(&c).copied().unwrap_or(second);
        for gone in held.keys().filter(|conn| !active.contains(conn)) {
            assert!(second - since(&held, *gone) >= 10, "nobody is served for less");
        }
        held = active.into_iter().map(|conn| (conn, since(&held, conn))).collect();
    }
    assert!(shares[4] >= 1150, "who gives is served: {shares:?}");
    assert!(shares.iter().all(|share| *share >= 100), "chance comes to all: {shares:?}");
    assert_eq!(slots.place(conn(0)), None, "there is no order to tell of");
}

fn a_life_of_slots(mut slots: Slots, seed: u64) {
    let mut rng = Rng::new(seed);
    let mut now = Time::ZERO;
    for step in 0..20_000 {
        now = now + Span::ms(rng.below(3000));
        let c = rng.below(12) as u32;
        match rng.below(8) {
            0 => slots.got(conn(c), Event::Joined, None, now),
            1 | 2 => wants(&mut slots, c, now),
            3 => slots.got(conn(c), Event::NotInterested, None, now),
            4 => slots.got(conn(c), Event::Left, Some(&who(c)), now),
            5 => slots.got(conn(c), Event::Complete, None, now),
            6 => slots.handed_over(conn(c), rng.below(40 << 20), rng.chance(500), now),
            _ => {
                let given: Vec<u64> = (0..12).map(|_| rng.below(5) * (step as u64 + 1)).collect();
                let gives = |c: ConnId| (given[c.slot as usize], given[c.slot as usize] > 0);
                let gives: Gives<'_> = if rng.chance(500) { Some(&gives) } else { None };
                slots.tick(now, |c| c.slot.is_multiple_of(2));
                slots.choose(gives, |_| 7, |c| c.slot.is_multiple_of(2), now);
            }
        }
        let row = slots.row();
        assert!(row.queued == 0 || row.free == 0, "seed {seed:#x} step {step}: {row:?}");
        assert!(slots.active.len() <= 3 && slots.queue.len() + slots.active.len() <= 12);
        for (_, row) in slots.take_gone() {
            assert!(TABLE.contains(row));
        }
    }
}

#[test]
fn who_left_while_queued_comes_back_to_its_place() {
    let mut slots = joined(1, 5);
    (0..4).for_each(|c| wants(&mut slots, c, Time::ZERO));
    slots.got(conn(1), Event::Left, Some(&who(1)), at(1));
    assert_eq!(slots.queue().position(conn(2)), Some(1));
    slots.got(conn(4), Event::Interested, Some(&who(1)), at(60));
    assert_eq!(slots.queue().iter().collect::<Vec<_>>(), [conn(4), conn(2), conn(3)]);
}

fn from(ip: [u8; 4], n: u8) -> Who {
    Who { peer_id: PeerId([n; 20]), addr: None, ip: ip.into() }
}

#[test]
fn who_takes_the_content_again_and_again_waits_while_a_fresh_one_is_served() {
    let mut slots = joined(1, 4);
    let now = Time::ZERO;
    let enter = |slots: &mut Slots, c: u32, ip| {
        slots.got(conn(c), Event::Interested, Some(&from(ip, c as u8)), now);
    };
    enter(&mut slots, 0, [8, 8, 8, 8]);
    slots.handed_over(conn(0), (3 << 19) + (64 << 20) + 1, true, now);
    enter(&mut slots, 1, [9, 9, 9, 1]);
    // The greedy one comes anew, under another name; then one who took nothing yet.
    slots.got(conn(0), Event::Left, None, now);
    assert!(slots.is_active(conn(1)));
    expect_mark!("D13", enter(&mut slots, 2, [8, 8, 8, 8]));
    enter(&mut slots, 3, [7, 7, 7, 7]);
    slots.got(conn(1), Event::NotInterested, None, now);
    assert!(slots.is_active(conn(3)), "the greedy one went first");
    slots.got(conn(3), Event::Left, None, now);
    assert!(slots.is_active(conn(2)), "it is not sent away");
}

/// Two hundred of one network hold every slot and fill the queue before an honest one comes.
#[test]
fn two_hundred_of_one_network_do_not_starve_one_of_another() {
    for (total, active) in [(1, true), (1, false), (8, true), (8, false)] {
        let mut slots = joined(total, 201);
        for c in 0..200 {
            let who = from([8, 8, 8, c as u8], c as u8);
            slots.got(conn(c), Event::Interested, Some(&who), Time::ZERO);
        }
        let honest = from([9, 9, 9, 9], 200);
        slots.got(conn(200), Event::Interested, Some(&honest), at(1));
        let mut served = Vec::new();
        for second in 1..1200 {
            // They take what they can, or hold their slots and do nothing.
            let takes = |c: &u32| active || *c == 200;
            (0..201).filter(takes).for_each(|c| slots.took(conn(c), at(second)));
            slots.tick(at(second), |_| true);
            if slots.is_active(conn(200)) {
                served.push(second);
            }
        }
        // One change of all slots, and one more if one of the others stood before it.
        let most = if active { 2 * 60 } else { 2 * 10 };
        assert!(served[0] <= most, "{total} slots: not before {} s", served[0]);
        // It takes turns with the whole of the other network.
        assert!(served.len() >= 1200 / 3, "{total} slots: {} s of 1200", served.len());
    }
}
