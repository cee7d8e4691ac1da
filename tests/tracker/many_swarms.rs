//! Many swarms of all sizes among each other, which keep their peers in memory that they share:
//! each must have exactly its own, whoever comes and goes in the others.

use lmk::core::id::{InfoHash, PeerId};
use lmk::core::rng::Rng;
use lmk::core::store::SwarmPart;
use lmk::core::time::{Span, Time};
use lmk::tracker::admission::Bounds;
use lmk::tracker::clock::Clock;
use lmk::tracker::record::{PeerKey, Progress};
use lmk::tracker::sample::Asker;
use lmk::tracker::swarms::{Announce, Swarms};
use std::collections::BTreeMap;

const SWARMS: u64 = 150;
const BORN_S: u64 = 1_767_225_600;

fn hash(swarm: u64) -> InfoHash {
    InfoHash([swarm as u8; 20])
}

/// A peer of a swarm; more of them in swarms with a high number.
fn key(n: u64, swarm: u64) -> PeerKey {
    let n = n % (1 + swarm * 60 / SWARMS);
    let text = match n % 4 {
        0 => format!("[fd00::{swarm:x}:{n:x}]:7000"),
        _ => format!("10.0.{swarm}.{n}:7000"),
    };
    PeerKey::new(text.parse().unwrap())
}

/// Who is where: whether it has it all, and until when.
type Model = BTreeMap<(u64, PeerKey), (bool, u64)>;

fn of(model: &Model, swarm: u64, v4: bool) -> BTreeMap<PeerKey, bool> {
    let here = model.iter().filter(|((at, key), _)| *at == swarm && key.ip().is_ipv4() == v4);
    here.map(|((_, key), (complete, _))| (*key, *complete)).collect()
}

fn check(swarms: &mut Swarms, model: &mut Model, now: Time, place: &str) {
    model.retain(|_, (_, until_s)| *until_s > BORN_S + now.secs());
    for swarm in 0..SWARMS {
        swarms.settle(now, hash(swarm), &mut Vec::new());
        let mut count = (0, 0);
        for (v4, asker) in [(true, "10.9.9.9:1"), (false, "[fd09::9]:1")] {
            let key = PeerKey::new(asker.parse().unwrap());
            let id = PeerId([99; 20]);
            let asker = Asker { key, id, complete: false, v4, want: 1000 };
            let mut got = BTreeMap::new();
            swarms.sample(now, hash(swarm), &asker, &mut |peer| {
                assert_eq!(got.insert(peer.key, peer.complete), None, "twice, {place}");
                true
            });
            let there = of(model, swarm, v4);
            assert_eq!(got, there, "swarm {swarm}, {place}");
            let complete = there.values().filter(|complete| **complete).count();
            count = (count.0 + complete, count.1 + there.len() - complete);
        }
        let counts = swarms.scrape(hash(swarm)).0;
        assert_eq!((counts.complete as usize, counts.incomplete as usize), count, "{place}");
    }
    assert_eq!(swarms.peers(), model.len(), "{place}");
}

/// Everything is written, and read by a tracker that begins anew at the same moment.
fn again(swarms: &mut Swarms, now: Time, seed: u64) -> Swarms {
    let mut parts: Vec<SwarmPart> = Vec::new();
    while swarms.changed(&mut parts).is_some() {}
    let mut fresh = table(seed);
    for part in parts.iter().filter(|part| !part.packed.is_empty()) {
        fresh.restore(now, part);
    }
    for swarm in 0..SWARMS {
        swarms.unwritten(hash(swarm));
    }
    fresh
}

fn table(seed: u64) -> Swarms {
    let mut swarms = Swarms::new(Clock::new(BORN_S), Rng::new(seed), Bounds::default());
    swarms.note_changes();
    swarms
}

fn drive(seed: u64) {
    let mut rng = Rng::new(seed);
    let (mut swarms, mut model, mut now) = (table(seed), Model::new(), Time::ZERO);
    for step in 0..12_000 {
        let swarm = rng.below(SWARMS);
        let key = key(rng.next_u64() >> 8, swarm);
        // Waves: swarms fill up, then they empty.
        let stopped = rng.chance(if step / 3000 % 2 == 0 { 200 } else { 700 });
        let left = rng.below(2);
        let news = Announce {
            hash: hash(swarm),
            key,
            id: PeerId([7; 20]),
            progress: Progress { left, ..Progress::default() },
            stopped,
        };
        swarms.announce(now, &news).unwrap();
        match stopped {
            true => drop(model.remove(&(swarm, key))),
            // Stock clients: 660 s whatever the interval is, and the second that has begun.
            false => drop(model.insert((swarm, key), (left == 0, BORN_S + now.secs() + 660))),
        }
        if rng.chance(20) {
            now = now + Span::secs(rng.below(20));
            swarms.sweep(now, 1 + rng.below(300) as usize, &mut Vec::new());
        }
        if step % 1499 == 0 {
            check(&mut swarms, &mut model, now, &format!("seed {seed}, step {step}"));
        }
    }
    let mut fresh = again(&mut swarms, now, seed + 1);
    check(&mut swarms, &mut model, now, &format!("seed {seed}, before the end"));
    check(&mut fresh, &mut model, now, &format!("seed {seed}, after it"));
    // All at once.
    now = now + Span::secs(700);
    let mut gone = Vec::new();
    for _ in 0..2000 {
        swarms.sweep(now, 500, &mut gone);
    }
    assert_eq!((swarms.peers(), gone.len()), (0, model.len()), "seed {seed}");
    check(&mut swarms, &mut model, now, &format!("seed {seed}, at last"));
}

#[test]
fn every_swarm_keeps_its_own_peers() {
    (0..6).for_each(drive);
}
