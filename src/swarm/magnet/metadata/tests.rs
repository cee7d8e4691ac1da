//! One info dict from several peers, honest and not.

use super::*;
use crate::core::mark::expect_mark;
use crate::core::rng::Rng;
use proptest::prelude::*;

const BLOCK: usize = METADATA_BLOCK_BYTES as usize;

fn conn(slot: u32) -> ConnId {
    ConnId { slot, generation: 0 }
}

fn at(ms: u64) -> Time {
    Time::ZERO + Span::ms(ms)
}

fn dict(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    Rng::new(size as u64).fill(&mut bytes);
    bytes
}

fn block_of(dict: &[u8], block: u32) -> Vec<u8> {
    dict.chunks(BLOCK).nth(block as usize).unwrap().to_vec()
}

/// How a peer answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Good,
    /// Every block of it is wrong.
    Lies,
    /// Its last block alone is.
    LiesLast,
    Silent,
    Refuses,
    /// After so many answers it is gone.
    Leaves(u8),
}

/// Plays until the dict is there and right. -> when, and who was found to lie.
fn play(dict: &[u8], hows: &[How], seed: u64) -> Option<(Time, Vec<ConnId>)> {
    let (mut metadata, mut rng) = (Metadata::default(), Rng::new(seed));
    let (mut liars, mut gone) = (Vec::new(), Vec::new());
    let mut answers = vec![0; hows.len()];
    for n in 0..hows.len() {
        metadata.joined(conn(n as u32), dict.len() as u32, at(0)).unwrap();
    }
    let count = dict.len().div_ceil(BLOCK) as u32;
    for step in 0..4_000 {
        let now = at(step * 50);
        gone.extend(metadata.expire(now));
        let mut asked: Vec<(usize, u32)> = Vec::new();
        for n in 0..hows.len() {
            while let Some(block) = metadata.next(conn(n as u32), now) {
                asked.push((n, block));
            }
        }
        rng.shuffle(&mut asked);
        for (n, block) in asked {
            let id = conn(n as u32);
            if gone.contains(&id) || liars.contains(&id) {
                continue;
            }
            answers[n] += 1;
            let mut bytes = block_of(dict, block);
            match hows[n] {
                How::Silent => continue,
                How::Refuses => {
                    metadata.rejected(id, block, now);
                    continue;
                }
                How::Leaves(after) if answers[n] > after => {
                    gone.push(id);
                    metadata.left(id);
                    continue;
                }
                How::Lies => bytes[0] ^= 1,
                How::LiesLast if block + 1 == count => bytes[0] ^= 1,
                _ => {}
            }
            let whole = metadata.got(id, (block, dict.len() as u32), bytes).unwrap();
            let Some(whole) = whole else { continue };
            if whole.bytes == dict {
                return Some((now, liars));
            }
            if let Some(liar) = metadata.was_wrong(&whole) {
                assert!(matches!(hows[liar.slot as usize], How::Lies | How::LiesLast));
                liars.push(liar);
                metadata.left(liar);
            }
        }
        for id in gone.iter().chain(&liars) {
            metadata.left(*id);
        }
    }
    None
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        2 => Just(How::Good),
        1 => Just(How::Lies),
        1 => Just(How::LiesLast),
        1 => Just(How::Silent),
        1 => Just(How::Refuses),
        1 => (0u8..4).prop_map(How::Leaves),
    ]
}

proptest! {
    #[test]
    fn one_honest_peer_among_any_others_is_enough(
        size in prop_oneof![1usize..200, 16_000usize..17_000, 30_000usize..100_000],
        mut hows in prop::collection::vec(how(), 0..8),
        place: prop::sample::Index,
        seed: u64,
    ) {
        hows.insert(place.index(hows.len() + 1), How::Good);
        let played = play(&dict(size), &hows, seed);
        prop_assert!(played.is_some(), "{:?}", hows);
        // Nobody waits longer than for those who do not answer.
        prop_assert!(played.unwrap().0 < at(60_000), "{:?}", hows);
    }
}

#[test]
fn a_liar_among_several_is_found_out_and_spoils_nothing_again() {
    let dict = dict(5 * BLOCK + 1);
    for seed in 0..20 {
        let hows = [How::Good, How::LiesLast, How::Good];
        let played = play(&dict, &hows, seed).expect("the honest ones suffice");
        assert!(played.0 < at(1_000), "seed {seed}: {played:?}");
    }
    let played = expect_mark!("D26", play(&dict, &[How::Lies, How::Good], 1));
    assert!(played.is_some());
    assert_eq!(play(&dict, &[How::Lies], 1), None);
}

#[test]
fn blocks_are_asked_two_at_a_time_and_of_another_when_they_do_not_come() {
    let dict = dict(6 * BLOCK);
    let mut metadata = Metadata::default();
    metadata.joined(conn(0), dict.len() as u32, at(0)).unwrap();
    metadata.joined(conn(1), dict.len() as u32, at(0)).unwrap();
    let asked = |metadata: &mut Metadata, n, ms| {
        std::iter::from_fn(|| metadata.next(conn(n), at(ms))).collect::<Vec<_>>()
    };
    assert_eq!(asked(&mut metadata, 0, 0), [0, 1]);
    assert_eq!(asked(&mut metadata, 1, 0), [2, 3]);
    let take = |metadata: &mut Metadata, n, block| {
        metadata.got(conn(n), (block, dict.len() as u32), block_of(&dict, block)).unwrap()
    };
    assert_eq!(take(&mut metadata, 1, 2), None);
    assert_eq!(asked(&mut metadata, 1, 100), [4]);
    assert!(metadata.expire(at(2_999)).is_empty());
    take(&mut metadata, 1, 3);
    take(&mut metadata, 1, 4);
    // The other one is late from now on.
    assert!(metadata.expire(at(3_000)).is_empty());
    assert_eq!(asked(&mut metadata, 1, 3_000), [0, 1]);
    take(&mut metadata, 1, 0);
    assert_eq!(asked(&mut metadata, 1, 3_001), [5]);
    // What comes late is welcome.
    assert_eq!(take(&mut metadata, 0, 1), None);
    let whole = take(&mut metadata, 1, 5).expect("nothing is missing");
    assert_eq!((whole.bytes, whole.from), (dict.clone(), vec![conn(0), conn(1)]));
}

#[test]
fn a_refusal_is_a_pause_and_silence_is_an_end() {
    let mut metadata = Metadata::default();
    metadata.joined(conn(0), 1, at(0)).unwrap();
    assert_eq!(metadata.next(conn(0), at(0)), Some(0));
    metadata.rejected(conn(0), 0, at(1_000));
    assert_eq!(metadata.next(conn(0), at(60_999)), None);
    assert_eq!(metadata.next(conn(0), at(61_000)), Some(0));
    let mut silent = Vec::new();
    for second in 61..90 {
        silent = metadata.expire(at(second * 1_000));
        if !silent.is_empty() {
            break;
        }
        metadata.next(conn(0), at(second * 1_000));
    }
    assert_eq!(silent, [conn(0)]);
}

#[test]
fn one_who_refuses_three_times_in_a_row_is_no_source() {
    let mut metadata = Metadata::default();
    let dict = dict(2 * BLOCK);
    metadata.joined(conn(0), dict.len() as u32, at(0)).unwrap();
    let refuse = |metadata: &mut Metadata, ms| {
        let block = metadata.next(conn(0), at(ms)).expect("its pause is over");
        metadata.rejected(conn(0), block, at(ms));
        metadata.expire(at(ms))
    };
    assert_eq!(refuse(&mut metadata, 0), []);
    assert_eq!(refuse(&mut metadata, 60_000), []);
    // A block in between makes good for it.
    let block = metadata.next(conn(0), at(120_000)).unwrap();
    let size = dict.len() as u32;
    metadata.got(conn(0), (block, size), block_of(&dict, block)).unwrap();
    assert_eq!(metadata.arrived(), 1);
    assert_eq!(refuse(&mut metadata, 120_000), []);
    assert_eq!(refuse(&mut metadata, 180_000), []);
    assert_eq!(refuse(&mut metadata, 240_000), [conn(0)]);
    assert_eq!(metadata.arrived(), 1);
}

#[test]
fn sizes_that_change_and_blocks_that_nobody_asked_for_end_the_conversation() {
    let mut metadata = Metadata::default();
    metadata.joined(conn(0), 40_000, at(0)).unwrap();
    metadata.joined(conn(0), 40_000, at(1)).unwrap();
    expect_mark!("D26", assert!(metadata.joined(conn(0), 40_001, at(2)).is_err()));
    assert_eq!(metadata.next(conn(0), at(3)), Some(0));
    expect_mark!("D26", {
        assert!(metadata.got(conn(0), (0, 50_000), vec![0; BLOCK]).is_err());
    });
    let unasked = |metadata: &mut Metadata| metadata.got(conn(0), (2, 40_000), vec![0; 7_232]);
    for _ in 0..UNASKED_MAX {
        assert_eq!(expect_mark!("D26", unasked(&mut metadata)), Ok(None));
    }
    assert!(unasked(&mut metadata).is_err());
    // Of one who said nothing of it nothing is taken.
    assert_eq!(metadata.got(conn(7), (0, 1), vec![1]), Ok(None));
}

#[test]
fn a_crowd_that_claims_the_most_holds_little_and_keeps_nobody_out_for_ever() {
    let mut metadata = Metadata::default();
    let claim = |n: u32| METADATA_BYTES_MAX - n;
    for n in 0..200 {
        metadata.joined(conn(n), claim(n), at(0)).unwrap();
    }
    let honest = dict(20_000);
    metadata.joined(conn(900), honest.len() as u32, at(0)).unwrap();
    for second in 0..100 {
        let now = at(second * 1_000);
        for n in 0..200 {
            // They drip: one block a second.
            if let Some(block) = metadata.next(conn(n), now) {
                metadata.got(conn(n), (block, claim(n)), vec![0; BLOCK]).unwrap();
            }
        }
        let reserved: u64 = metadata.attempts.iter().map(|a| u64::from(a.size)).sum();
        assert!(reserved <= HELD_BYTES_MAX);
        while let Some(block) = metadata.next(conn(900), now) {
            let bytes = block_of(&honest, block);
            let whole = metadata.got(conn(900), (block, 20_000), bytes).unwrap();
            if whole.is_some_and(|whole| whole.bytes == honest) {
                assert!(second <= 6, "after {second} s");
                return;
            }
        }
    }
    panic!("the honest one had no turn");
}
