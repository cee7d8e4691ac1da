//! Small swarms from seeds: 64 that stay, 64 fresh ones in every run, and canaries that must fail.

use crate::{seeds, stand_in};
use lmk::core::io::{Effect, FileOp, Input, Outbox, Role};
use lmk::core::report::{Ending, Snapshot};
use lmk::core::time::{Span, Time};
use lmk::node::Node;
use lmk::node::plan::{Job, NodePlan};
use lmk::node::several::Several;
use lmk::peer::Encryption;
use lmk::sim::Weather;
use lmk::sim::swarm::{Cast, Scene, Swarm};
use lmk::sim::weather::Planted;
use std::time::Instant;

const FIXED_SEEDS: &str = include_str!("fixed_seeds.txt");
const FRESH_SEEDS: usize = 64;
const ENCRYPTED_SEEDS: usize = 24;
const TOGETHER_SEEDS: usize = 24;
/// Every so many seeds are played twice: one seed, one trace.
const TWICE_EVERY: usize = 50;
/// A planted bug must show within this many seeds.
const CANARY_SEEDS: u64 = 200;

fn parse(text: &str) -> u64 {
    let text = text.trim();
    let hex = text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
    hex.unwrap_or_else(|| text.parse()).unwrap_or_else(|e| panic!("seed {text:?}: {e}"))
}

fn fixed_seeds() -> Vec<u64> {
    let lines = FIXED_SEEDS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(parse).collect()
}

fn play(seed: u64, cast: Cast) -> Result<u64, String> {
    let mut swarm = Swarm::new(seed, cast, false);
    swarm.play().map(|()| swarm.world.trace_hash())
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("(no words)")
}

fn play_all(seeds: &[u64], cast: Cast) {
    let failures: Vec<String> = seeds
        .iter()
        .enumerate()
        .filter_map(|(number, seed)| {
            let first = std::panic::catch_unwind(|| play(*seed, cast));
            let first = first.unwrap_or_else(|panic| Err(format!("a panic: {}", words(&*panic))));
            let twice = number.is_multiple_of(TWICE_EVERY) && first.is_ok();
            let what = match first {
                Err(what) => what,
                Ok(hash) if twice && play(*seed, cast) != Ok(hash) => "two runs, two traces".into(),
                Ok(_) => return None,
            };
            Some(format!(
                "seed {seed:#018x}: {what}\n  replay it with: scripts/sim {seed:#018x}\n  \
                 and add it to tests/sim/fixed_seeds.txt"
            ))
        })
        .collect();
    assert!(failures.is_empty(), "{} swarms failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn fixed_seeds_finish() {
    let seeds = fixed_seeds();
    assert!(seeds.len() >= 64, "{} fixed seeds", seeds.len());
    play_all(&seeds, Cast::real());
}

#[test]
fn fresh_seeds_finish() {
    play_all(&seeds::fresh(FRESH_SEEDS), Cast::real());
}

/// The stage itself: simple honest programs finish on it, whatever the weather.
#[test]
fn the_stand_ins_finish() {
    let seeds: Vec<u64> = (0..64).collect();
    play_all(&seeds, stand_in::CAST);
}

/// The real roles, but a byte is made wrong on its way to the disk, after it was verified.
#[test]
fn a_byte_of_the_real_roles_made_wrong_after_verification_is_caught() {
    let cast = Cast { node: |plan| Box::new(Corrupts(Node::new(plan))), ..Cast::real() };
    let what = caught(cast).expect("a wrong file went unnoticed");
    // It shows in the file, to a peer that was served from it, or when the journal is audited.
    let shows = ["differs from the source", "does not match its hash", "is vouched for"];
    assert!(shows.iter().any(|seen| what.contains(seen)), "{what}");
}

struct Corrupts(Node);

impl Role for Corrupts {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        self.0.on(now, input, out);
        for effect in &mut out.effects {
            if let Effect::File { op: FileOp::Write { offset: 0, page, .. }, .. } = effect
                && page.len() > 1000
            {
                page[1000] ^= 1;
            }
        }
    }

    fn deadline(&self) -> Time {
        self.0.deadline()
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        self.0.snapshot(now)
    }
}

/// A world that never tells `Sent`: whoever waits for it stands still, or the laws say so.
#[test]
fn a_world_that_never_tells_sent_is_caught() {
    let found = (0..CANARY_SEEDS).find(|seed| {
        let weather = Weather { planted: Some(Planted::ForgottenSent), ..Weather::fair(*seed) };
        Swarm::in_weather(*seed, Cast::real(), weather, false).play().is_err()
    });
    assert!(found.is_some(), "nobody missed it");
}

/// More seeds than a test run has time for: `LMK_SIM_SEEDS=1000 cargo test --test sim -- --ignored
/// many_fresh_seeds`.
#[test]
#[ignore = "as long as you want"]
fn many_fresh_seeds_finish() {
    let count = std::env::var("LMK_SIM_SEEDS").map_or(1000, |count| parse(&count) as usize);
    play_all(&seeds::fresh(count), Cast::real());
}

/// About half of the peers take encrypted conversations alone, the others meet them in plain first.
#[test]
fn swarms_in_which_some_require_encryption_finish() {
    let node = |mut plan: NodePlan| -> Box<dyn Role> {
        if plan.seed.is_multiple_of(2) {
            plan.encryption = Encryption::Require;
        }
        Box::new(Node::new(plan))
    };
    play_all(&seeds::fresh(ENCRYPTED_SEEDS), Cast { node, ..Cast::real() });
}

/// Every leecher is one of two fetches of its process; the other one fails after a while, which is
/// not held against it.
#[test]
fn swarms_finish_in_which_each_leecher_wants_two_things() {
    let node = |plan: NodePlan| -> Box<dyn Role> {
        let mut other = plan.clone();
        let Job::Fetch(fetch) = &mut other.job else { return Box::new(Node::new(plan)) };
        fetch.want.name = "nowhere.zip".into();
        // Whichever of them fails, the process ends, and the person starts both again.
        fetch.wait = Some(Span::secs(60));
        let plans = if plan.seed.is_multiple_of(2) { [plan, other] } else { [other, plan] };
        Box::new(Forgives(Several::new(plans.into())))
    };
    play_all(&seeds::fresh(TOGETHER_SEEDS), Cast { node, ..Cast::real() });
}

/// Ends well if one of its fetches is complete.
struct Forgives(Several);

impl Role for Forgives {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        self.0.on(now, input, out);
        let complete = |role: &Several| role.snapshot(now).fetches.iter().any(|row| row.complete);
        for effect in &mut out.effects {
            if let Effect::End(ending @ Ending::NotFound) = effect
                && complete(&self.0)
            {
                *ending = Ending::Done;
            }
        }
    }

    fn deadline(&self) -> Time {
        self.0.deadline()
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        self.0.snapshot(now)
    }

    fn audit(&self) -> Result<(), String> {
        self.0.audit()
    }
}

/// One alone among several is what it is by itself: it fails and ends as that does, too.
#[test]
fn swarms_finish_in_which_each_leecher_is_the_only_one_of_several() {
    let node = |plan: NodePlan| -> Box<dyn Role> {
        match plan.job {
            Job::Fetch(_) => Box::new(Several::new(vec![plan])),
            Job::Seed(_) => Box::new(Node::new(plan)),
        }
    };
    play_all(&seeds::fresh(TOGETHER_SEEDS), Cast { node, ..Cast::real() });
}

/// Whether some seed shows that something is wrong with the cast, and what it says.
fn caught(cast: Cast) -> Option<String> {
    (0..CANARY_SEEDS).find_map(|seed| Swarm::new(seed, cast, false).play().err())
}

#[test]
fn a_byte_made_wrong_on_its_way_to_the_disk_is_caught() {
    let what = caught(stand_in::CORRUPTS).expect("a wrong file went unnoticed");
    assert!(what.contains("differs from the source"), "{what}");
}

#[test]
fn a_leecher_that_waits_for_ever_is_caught() {
    let what = caught(stand_in::WAITS).expect("a leecher that never finishes went unnoticed");
    assert!(what.contains("not finished") || what.contains("L5"), "{what}");
}

#[test]
fn a_picture_that_boasts_is_caught() {
    let what = caught(stand_in::BOASTS).expect("more bytes done than there are went unnoticed");
    assert!(what.contains("snapshot"), "{what}");
}

/// `scripts/sim SEED`: one seed with its whole trace.
#[test]
#[ignore = "needs LMK_SIM_SEED; scripts/sim sets it"]
fn replay() {
    let seed = parse(&std::env::var("LMK_SIM_SEED").expect("LMK_SIM_SEED names the seed"));
    let begun = Instant::now();
    let mut swarm = Swarm::new(seed, Cast::real(), true);
    println!("{:?}\n{:?}", Scene::new(seed), swarm.world.weather());
    let result = swarm.play();
    println!(
        "seed {seed:#018x}: {} entries, {} virtual seconds, {} ms, trace {:#018x}",
        swarm.world.trace_count(),
        swarm.world.now().secs(),
        begun.elapsed().as_millis(),
        swarm.world.trace_hash()
    );
    if let Err(what) = result {
        panic!("{what}");
    }
}
