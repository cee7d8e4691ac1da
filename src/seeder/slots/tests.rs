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
    Who { peer_id: PeerId([n as u8; 20]), addr: None }
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::secs(seconds)
}

/// `n` conversations that want nothing yet.
fn joined(total: u32, n: u32) -> Slots {
    let mut slots = Slots::new(total);
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
    let seed = 0x51_07;
    let mut rng = Rng::new(seed);
    let mut slots = Slots::new(3);
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
            _ => slots.tick(now, |c| c.slot.is_multiple_of(2)),
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
