//! Hostile peers in a simulated swarm: the honest ones get the file, and blame nobody honest.

use lmk::core::time::{Span, Time};
use lmk::sim::adversaries::Trick;
use lmk::sim::swarm::{Cast, Swarm};
use lmk::sim::weather::Weather;

/// Swarms of each trick that are played.
const SEEDS: u64 = 4;

/// How often hostile peers were blamed, if all went well.
fn play(trick: Trick, seed: u64) -> Result<usize, String> {
    let mut swarm = Swarm::in_weather(seed, Cast::real(), Weather::fair(seed), false);
    for n in 0..2 {
        swarm.is_joined_by(trick, Time::ZERO + Span::ms(100 * n));
    }
    swarm.play().map(|()| swarm.blamed())
}

/// How often the hostile ones were blamed, by trick.
fn plays(tricks: impl Iterator<Item = Trick>) -> Vec<(Trick, usize)> {
    let (mut failures, mut blames) = (Vec::new(), Vec::new());
    for trick in tricks {
        let mut all = 0;
        for seed in 0..SEEDS {
            match play(trick, seed) {
                Ok(blamed) => all += blamed,
                Err(what) => failures.push(format!("{trick:?}, seed {seed}: {what}")),
            }
        }
        blames.push((trick, all));
    }
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
    blames
}

#[test]
fn those_who_do_not_serve_hold_up_nobody() {
    plays(Trick::DRAWN.into_iter().filter(|trick| !trick.corrupts()));
}

#[test]
fn liars_spoil_nothing() {
    let blames = plays(Trick::DRAWN.into_iter().filter(|trick| trick.corrupts()));
    assert!(blames.iter().all(|(_, blamed)| *blamed > 0), "not caught: {blames:?}");
}
