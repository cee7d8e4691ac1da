//! One leecher and several sources in the simulator, some of them bad: they lie, stall, drip.

mod magnets;
mod sources;
mod stage;

use lmk::core::report::Ending;
use lmk::core::time::Span;
use lmk::sim::Weather;
use lmk::sim::adversaries::Trick;
use sources::How;
use stage::{BLOCK, Outcome, SIZE, Stage};

/// A local network in which a source needs about a second for everything.
fn weather() -> Weather {
    Weather { rate: 8_000_000, ..Weather::calm() }
}

fn play(seed: u64, sources: &[How]) -> Outcome {
    play_in(seed, weather(), sources)
}

fn play_in(seed: u64, weather: Weather, sources: &[How]) -> Outcome {
    let mut stage = Stage::new(seed, weather, sources);
    let outcome = stage.play(Span::secs(300));
    assert_eq!(outcome.ending, Some(Ending::Done), "seed {seed:#x}: {outcome:?}");
    assert!(outcome.same, "seed {seed:#x}: the file differs");
    outcome
}

/// Bytes requested: what was missing, a tenth, one little pipeline a source, and what was bad.
fn assert_frugal(seed: u64, sources: usize, outcome: &Outcome) {
    let bad = outcome.bad_sent.iter().sum::<u64>();
    let most = SIZE / 10 * 11 + 16 * BLOCK * sources as u64 + bad * BLOCK;
    assert!(outcome.requested() <= most, "seed {seed:#x}: {} of {most}", outcome.requested());
}

#[test]
fn a_liar_is_struck_for_its_own_blocks_and_nobody_else_is() {
    for how in [How::LiesAlways, How::LiesLast, How::LiesSeventh] {
        for seed in 0..3 {
            let outcome = lmk::expect_mark!("D15", play(seed, &[how, How::Good, How::Good]));
            let liar = &outcome.addrs[0];
            assert!(outcome.struck.contains(liar), "seed {seed} {how:?}: {outcome:?}");
            assert!(
                outcome.struck.iter().all(|struck| struck == liar),
                "seed {seed} {how:?}: an honest source was struck: {:?}",
                outcome.struck
            );
            // What came twice is what was bad, and a few blocks of the end.
            let wasted = outcome.downloaded - SIZE;
            let twice = outcome.blocks_asked_twice() as u64;
            let most = (outcome.bad_sent[0] + twice.min(SIZE / BLOCK / 50)) * BLOCK;
            assert!(wasted <= most, "seed {seed} {how:?}: {wasted} wasted of {most}");
            assert_frugal(seed, 3, &outcome);
        }
    }
}

/// A liar that mixes its blocks with those of others in one piece: the leaves tell.
#[test]
fn one_wrong_block_in_a_piece_costs_one_block() {
    for seed in 0..3 {
        let outcome = play(seed, &[How::LiesOnce, How::Good, How::Good]);
        assert_eq!(outcome.bad_sent[0], 1, "seed {seed}");
        assert_eq!(outcome.struck, [outcome.addrs[0].clone()], "seed {seed}");
        let wasted = outcome.downloaded - SIZE;
        // One block, and what the liar had begun to send when it was found out.
        assert!(wasted < BLOCK * 3, "seed {seed}: {wasted} wasted");
        assert!(outcome.hash_requests >= 1, "seed {seed}: nobody was asked for leaves");
    }
}

#[test]
fn several_liars_are_found_out_one_by_one() {
    for seed in 0..3 {
        let all = [How::LiesSeventh, How::LiesLast, How::LiesAlways, How::Good];
        let outcome = play(seed, &all);
        assert!(!outcome.struck.contains(&outcome.addrs[3]), "seed {seed}: {:?}", outcome.struck);
        assert_frugal(seed, 4, &outcome);
    }
}

#[test]
fn a_source_that_stalls_or_drips_costs_nothing_to_the_rest() {
    let alone = play(1, &[How::Good]).took;
    for how in [How::SilentAfterHandshake, How::StallsInABlock, How::Drips, How::Slow] {
        for seed in 0..3 {
            let outcome = play(seed, &[how, How::Good]);
            assert!(outcome.struck.is_empty(), "seed {seed} {how:?}: {:?}", outcome.struck);
            let most = Span(alone.0 + Span::ms(500).0);
            assert!(outcome.took <= most, "seed {seed} {how:?}: {} of {most}", outcome.took);
            assert_frugal(seed, 2, &outcome);
        }
    }
}

/// The last blocks of a slow source are asked of a quick one, too, and few others.
#[test]
fn the_end_of_a_transfer_waits_for_nobody_slow_and_costs_two_in_a_hundred() {
    let alone = play(1, &[How::Good]).took;
    for seed in 0..3 {
        let outcome = lmk::expect_mark!("D20", play(seed, &[How::Slow, How::Good, How::Good]));
        let wasted = outcome.downloaded - SIZE;
        assert!(wasted <= SIZE / 50, "seed {seed}: {wasted} bytes came twice");
        assert!(outcome.asked_most() <= 3, "seed {seed}: of {} sources", outcome.asked_most());
        assert!(outcome.took <= alone, "seed {seed}: {} of {alone}", outcome.took);
    }
}

/// Anybody can take on a peer id. The honest source that it belongs to is all that is left.
#[test]
fn who_lies_under_the_name_of_an_honest_source_is_struck_alone() {
    for seed in 0..3 {
        let mut stage = Stage::new(seed, weather(), &[How::Good]);
        let (is, copycat) = stage.is_forestalled_by(Trick::Copycat, 0);
        assert_eq!(is, "copied", "seed {seed}: it has a name of its own still");
        let outcome = stage.play(Span::secs(300));
        assert!(outcome.struck.contains(&copycat), "seed {seed}: {outcome:?}");
        assert_eq!(outcome.ending, Some(Ending::Done), "seed {seed}: {outcome:?}");
        assert!(outcome.struck.iter().all(|struck| *struck == copycat), "seed {seed}");
        assert!(outcome.same && outcome.took < Span::secs(200), "seed {seed}: {}", outcome.took);
    }
}

/// Whatever the network is like, an honest source is not struck and little is asked for twice.
#[test]
fn in_any_fair_weather_the_liar_alone_is_struck() {
    for seed in 0..8 {
        let fair = Weather::fair(seed);
        let weather = Weather { rate: fair.rate.max(1_000_000), ..fair };
        let outcome = play_in(seed, weather, &[How::Good, How::LiesSeventh, How::Good]);
        let liar = &outcome.addrs[1];
        assert!(outcome.struck.iter().all(|struck| struck == liar), "seed {seed}: {outcome:?}");
        assert_frugal(seed, 3, &outcome);
    }
}

/// Nobody tells leaves, as in a swarm of v1 clients: the piece is fetched again from one source.
#[test]
fn without_leaves_a_piece_is_fetched_again_from_one_source_to_find_the_liar() {
    for seed in 0..3 {
        let all = [How::LiesSeventhMute, How::GoodMute, How::GoodMute];
        let outcome = play(seed, &all);
        let liar = &outcome.addrs[0];
        assert!(outcome.struck.contains(liar), "seed {seed}: {:?}", outcome.struck);
        assert!(outcome.struck.iter().all(|struck| struck == liar), "seed {seed}");
        let wasted = outcome.downloaded - SIZE;
        assert!(wasted <= 16 * 4 * BLOCK, "seed {seed}: {wasted}");
    }
}

/// Five who agree on one lie: our machine is in order, so they are the ones to blame.
#[test]
fn liars_who_agree_are_struck_once_this_machine_was_found_in_order() {
    for seed in 0..3 {
        let mut all = vec![How::LiesInFirst; 5];
        all.push(How::Good);
        let mut stage = Stage::new(seed, weather(), &all);
        stage.hide_source(5, Span::secs(60));
        let outcome = lmk::expect_mark!("D17", stage.play(Span::secs(600)));
        assert!(outcome.ending == Some(Ending::Done) && outcome.same, "seed {seed}: {outcome:?}");
        let mut struck = outcome.struck.clone();
        struck.sort();
        assert_eq!(struck, outcome.addrs[..5], "seed {seed}: each of them, once");
    }
}

#[test]
fn nobody_more_is_struck_once_our_own_disk_is_found_to_damage_what_it_holds() {
    for seed in 0..3 {
        let mut all = vec![How::LiesInFirst; 5];
        all.push(How::Good);
        let mut stage = Stage::new(seed, weather(), &all);
        stage.hide_source(5, Span::secs(60));
        stage.disk_rots();
        let outcome = lmk::expect_mark!("D17", stage.play(Span::secs(600)));
        assert_eq!(outcome.ending, Some(Ending::Disk), "seed {seed}: {outcome:?}");
        assert_eq!(outcome.struck.len(), 2, "seed {seed}: {:?}", outcome.struck);
        let line = outcome.last_line.as_deref().unwrap_or_default();
        assert!(line.contains("local data is being damaged (disk or memory): piece "), "{line}");
        // What was proven is there, and the next run reads it before it believes it.
        assert!(stage.leaves_file(".lmk-part") && !stage.leaves_file(".lmk-resume"));
    }
}

/// The only source there is lied once: it is let alone for ten minutes, not for ever.
#[test]
fn the_only_source_is_taken_again_once_it_is_forgiven() {
    let mut stage = Stage::new(1, weather(), &[How::LiesOnce]);
    let outcome = lmk::expect_mark!("D18", stage.play(Span::secs(1200)));
    assert!(outcome.ending == Some(Ending::Done) && outcome.same, "{outcome:?}");
    assert_eq!(outcome.struck, outcome.addrs, "once");
    let took = outcome.took;
    assert!(took >= Span::secs(600) && took < Span::secs(720), "{took}");
}

/// A liar spoils pieces it shares with the only honest source, and that one answers no question
/// about them: it is waited for once, and not for long.
#[test]
fn a_source_that_tells_no_leaves_is_not_waited_for_when_there_is_no_other() {
    for liars in 1..=3 {
        for seed in 0..3 {
            let mut all = vec![How::LiesSeventhMute; liars];
            all.push(How::GoodSilent);
            let outcome = play(seed, &all);
            assert!(!outcome.struck.contains(&outcome.addrs[liars]), "seed {seed}");
            assert!(outcome.took < Span::secs(6), "{liars} liars, seed {seed}: {}", outcome.took);
        }
    }
}

#[test]
fn leaves_that_do_not_fold_count_for_nothing_and_whoever_told_them_is_let_go() {
    for seed in 0..3 {
        let all = [How::LiesSeventh, How::LiesAboutLeaves, How::Good, How::Good];
        let outcome = lmk::expect_mark!("D15", play(seed, &all));
        let liar = &outcome.addrs[0];
        assert!(outcome.struck.iter().all(|struck| struck == liar), "seed {seed}");
    }
    let all = [How::LiesSeventh, How::LiesAboutLeaves, How::Good, How::LiesAboutLeaves];
    let hits = (0..8).any(|seed| {
        lmk::core::mark::clear();
        play(seed, &all);
        lmk::core::mark::hits().contains("D30")
    });
    assert!(hits, "nobody lied about leaves");
}

#[test]
fn blocks_nobody_asked_for_are_never_written_and_end_the_conversation_when_they_are_many() {
    for seed in 0..3 {
        let outcome = lmk::expect_mark!("D14", play(seed, &[How::Unasked, How::Good]));
        assert!(outcome.struck.is_empty(), "seed {seed}: {:?}", outcome.struck);
        let words = "too many refusals or blocks that nobody asked for";
        assert!(outcome.gone.iter().any(|why| why == words), "seed {seed}: {:?}", outcome.gone);
    }
}

#[test]
fn a_refusal_of_hashes_that_nobody_asked_for_means_nothing() {
    let outcome = lmk::expect_mark!("D31", play(1, &[How::RefusesUnasked]));
    assert!(outcome.gone.is_empty(), "{:?}", outcome.gone);
}

#[test]
fn a_source_that_dies_in_a_block_loses_its_blocks_to_others_once() {
    for number in 0..8 {
        let mut stage = Stage::new(number, weather(), &[How::Good; 3]);
        stage.kill_source(0, Span::ms(100 + 17 * number));
        let outcome = lmk::expect_mark!("D21", stage.play(Span::secs(300)));
        assert!(outcome.ending == Some(Ending::Done) && outcome.same, "{number}: {outcome:?}");
        assert!(outcome.struck.is_empty(), "{number}: {:?}", outcome.struck);
        // What was on its way from the dead one is asked for once more, and nothing else.
        let (again, twice) = (outcome.requested() - SIZE, outcome.blocks_asked_twice() as u64);
        assert!(again <= twice * BLOCK, "{number}: {again} bytes again, {twice} blocks twice");
        // One pipeline: a quarter of a second at its rate.
        assert!(twice <= 130, "{number}: {twice} blocks twice");
        assert!(outcome.took < Span::secs(2), "{number}: {}", outcome.took);
    }
}

#[test]
fn three_sources_share_the_load_and_are_no_slower_than_one() {
    let alone = play(1, &[How::Good]);
    for seed in 0..3 {
        let outcome = play(seed, &[How::Good; 3]);
        let by_source = outcome.requested_by_source();
        for bytes in &by_source {
            assert!(*bytes >= SIZE / 5, "seed {seed}: {by_source:?}");
        }
        assert!(outcome.took.0 < alone.took.0 / 2, "seed {seed}: {} {}", outcome.took, alone.took);
        let twice = outcome.blocks_asked_twice() as u64;
        assert!(twice <= SIZE / BLOCK / 50, "seed {seed}: {twice} blocks asked twice");
        assert!(outcome.requested() - SIZE <= twice * BLOCK, "seed {seed}");
    }
}

#[test]
fn no_more_sources_are_dialled_and_kept_than_were_allowed() {
    for most in [1, 3, 10] {
        let mut stage = Stage::taking_from(most, 5, weather(), &[How::Good; 14]);
        let outcome = stage.play(Span::secs(300));
        assert!(outcome.ending == Some(Ending::Done) && outcome.same, "{most}: {outcome:?}");
        assert_eq!(outcome.dialled_most, most as usize, "{outcome:?}");
    }
}
