//! The layers of a tree from several peers, honest and not.

use super::*;
use crate::content::digest;
use crate::content::geometry::Geometry;
use crate::content::proof::Tree;
use crate::core::mark::expect_mark;
use proptest::prelude::*;

fn conn(slot: u32) -> ConnId {
    ConnId { slot, generation: 0 }
}

/// A file of so many pieces of one block: its root, its layer, and its tree.
fn file(pieces: u64) -> (Hash32, Vec<Hash32>, Tree) {
    let geometry = Geometry::new(pieces * 16_384, 16_384).unwrap();
    let shape = Shape::of(&geometry).unwrap();
    let layer: Vec<Hash32> = (0..pieces).map(|n| digest::sha256(&n.to_be_bytes())).collect();
    (shape.root(layer.iter().copied()), layer.clone(), Tree::new(shape, &layer).unwrap())
}

fn answer(tree: &Tree, told: peer::HashRange) -> Vec<Hash32> {
    tree.answer(&range_of(told), |_| None).unwrap()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Good,
    Lies,
    Silent,
    Refuses,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn layers_are_fetched_and_proven_whoever_else_answers(
        sizes in prop::collection::vec(2u64..2_100, 1..4),
        hows in prop::collection::vec(
            prop_oneof![Just(How::Good), Just(How::Lies), Just(How::Silent), Just(How::Refuses)],
            0..4,
        ),
    ) {
        let files: Vec<_> = sizes.iter().map(|pieces| file(*pieces)).collect();
        let lacking = files.iter().map(|(root, _, tree)| (*root, *tree.shape()));
        let mut layers = Layers::new(lacking);
        let hows: Vec<How> = hows.into_iter().chain([How::Good]).collect();
        let mut gone = vec![false; hows.len()];
        for second in 0..60 {
            let now = Time::ZERO + Span::secs(second);
            layers.expire(now);
            for (n, how) in hows.iter().enumerate().filter(|(_, how)| **how != How::Silent) {
                while let Some(told) = layers.next(conn(n as u32), now).filter(|_| !gone[n]) {
                    let tree = &files.iter().find(|(root, ..)| *root == told.root).unwrap().2;
                    let mut hashes = answer(tree, told);
                    match how {
                        How::Refuses => layers.rejected(conn(n as u32), told, now),
                        How::Lies => {
                            hashes[0].0[0] ^= 1;
                            prop_assert!(layers.got(conn(n as u32), told, &hashes).is_err());
                            layers.left(conn(n as u32));
                            gone[n] = true;
                        }
                        _ => prop_assert!(layers.got(conn(n as u32), told, &hashes).is_ok()),
                    }
                }
            }
            for (n, _) in hows.iter().enumerate().filter(|(_, how)| **how == How::Silent) {
                while layers.next(conn(n as u32), now).is_some() {}
            }
            if layers.is_complete() {
                break;
            }
        }
        prop_assert!(layers.is_complete(), "{:?}", hows);
        let taken = layers.take();
        for (root, layer, _) in &files {
            prop_assert_eq!(&taken[root], layer);
        }
    }
}

#[test]
fn hashes_that_nobody_asked_for_or_that_prove_nothing_are_not_taken() {
    let (root, _, tree) = file(600);
    let mut layers = Layers::new([(root, *tree.shape())]);
    let told = layers.next(conn(0), Time::ZERO).unwrap();
    let right = answer(&tree, told);
    expect_mark!("D30", assert!(layers.got(conn(1), told, &right).is_err()));
    let mut short = right.clone();
    short.pop();
    expect_mark!("D30", assert!(layers.got(conn(0), told, &short).is_err()));
    // It is open again, for whoever comes next.
    let again = layers.next(conn(2), Time::ZERO).unwrap();
    assert_eq!(again, told);
    layers.got(conn(2), again, &right).unwrap();
    expect_mark!("D31", layers.rejected(conn(2), again, Time::ZERO));
    let rest = layers.next(conn(2), Time::ZERO).unwrap();
    assert!(!layers.is_complete());
    layers.got(conn(2), rest, &answer(&tree, rest)).unwrap();
    assert!(layers.is_complete() && layers.next(conn(2), Time::ZERO).is_none());
}

#[test]
fn hashes_that_come_late_are_welcome() {
    let (root, layer, tree) = file(600);
    let mut layers = Layers::new([(root, *tree.shape())]);
    let mut asked = Vec::new();
    while let Some(told) = layers.next(conn(0), Time::ZERO) {
        asked.push(told);
    }
    layers.expire(Time::ZERO + LOST);
    assert!(layers.next(conn(0), Time::ZERO + LOST).is_none(), "it is left alone for a while");
    for told in asked {
        layers.got(conn(0), told, &answer(&tree, told)).unwrap();
    }
    assert!(layers.is_complete());
    assert!(layers.next(conn(1), Time::ZERO + LOST).is_none(), "nothing is asked twice");
    assert_eq!(layers.take()[&root], layer);
}

#[test]
fn one_who_refuses_or_is_silent_three_times_in_a_row_does_not_tell() {
    let (root, _, tree) = file(600);
    let mut layers = Layers::new([(root, *tree.shape())]);
    let at = |second| Time::ZERO + Span::secs(second);
    for (second, expected) in [(0, vec![]), (20, vec![]), (40, vec![conn(0)])] {
        let told = layers.next(conn(0), at(second)).expect("its pause is over");
        layers.rejected(conn(0), told, at(second));
        assert_eq!(layers.expire(at(second)), expected, "after {second} s");
    }
    layers.left(conn(0));
    // However much was asked at a time, it is silent once.
    for (second, expected) in [(50, vec![]), (80, vec![]), (110, vec![conn(1)])] {
        while layers.next(conn(1), at(second)).is_some() {}
        assert_eq!(layers.expire(at(second + 3)), expected, "after {second} s");
    }
    layers.left(conn(1));
    assert_eq!(layers.expire(at(120)), [], "who left is forgotten");
    // What comes makes good for refusals.
    let first = layers.next(conn(2), at(130)).unwrap();
    layers.rejected(conn(2), first, at(130));
    let again = layers.next(conn(2), at(150)).unwrap();
    layers.got(conn(2), again, &answer(&tree, again)).unwrap();
    assert_eq!(layers.arrived(), 1);
    for second in [150, 170] {
        let told = layers.next(conn(2), at(second)).unwrap();
        layers.rejected(conn(2), told, at(second));
        assert_eq!(layers.expire(at(second)), []);
    }
}
