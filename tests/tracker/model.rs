//! The swarm table against a naive model, over announces made at random.

use lmk::core::id::{InfoHash, PeerId};
use lmk::core::rng::Rng;
use lmk::core::store::SwarmPart;
use lmk::core::time::{Span, Time};
use lmk::tracker::admission::Bounds;
use lmk::tracker::clock::Clock;
use lmk::tracker::counts::Counts;
use lmk::tracker::record::{PeerKey, Progress};
use lmk::tracker::sample::Asker;
use lmk::tracker::swarms::{Announce, Swarms};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// v1 and v2 hash of one content, and a third by itself.
const HASHES: [InfoHash; 3] = [InfoHash([1; 20]), InfoHash([0xff; 20]), InfoHash([7; 20])];

fn table(seed: u64, bounds: Bounds) -> Swarms {
    Swarms::new(Clock::new(1_767_225_600), Rng::new(seed), bounds)
}

fn progress(complete: bool) -> Progress {
    Progress { left: u64::from(!complete), ..Progress::default() }
}

#[derive(Clone, Debug)]
enum Step {
    Announce { hash: usize, peer: u8, complete: bool, stopped: bool, twice: bool },
    Pass { seconds: u64 },
    Link(bool),
}

fn rarely(probability: f64) -> impl Strategy<Value = bool> {
    prop::bool::weighted(probability)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..3usize, 0..6u8, any::<bool>(), rarely(0.2), rarely(0.3))
            .prop_map(|(hash, peer, complete, stopped, twice)| {
                Step::Announce { hash, peer, complete, stopped, twice }
            }),
        3 => (1..25u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => any::<bool>().prop_map(Step::Link),
    ]
}

fn key(peer: u8) -> PeerKey {
    PeerKey::new(format!("10.0.0.{}:{}", peer / 2 + 1, 7000 + u16::from(peer)).parse().unwrap())
}

/// Who is where: complete or not, and until when.
type Model = BTreeMap<(usize, u8), (bool, Time)>;

fn counts(model: &Model, hashes: &[usize]) -> Counts {
    let mut counts = Counts::default();
    for peer in 0..6 {
        let at = hashes.iter().filter_map(|hash| model.get(&(*hash, peer)));
        let there: Vec<bool> = at.map(|(complete, _)| *complete).collect();
        counts.complete += u32::from(there.contains(&true));
        counts.incomplete += u32::from(!there.is_empty() && !there.contains(&true));
    }
    counts
}

proptest! {
    #[test]
    fn counters_are_what_a_recount_gives(
        steps in prop::collection::vec(step(), 1..120), seed: u64,
    ) {
        let mut swarms = table(seed, Bounds::default());
        let mut model = Model::new();
        let (mut now, mut linked) = (Time::ZERO, 0);
        for step in steps {
            match step {
                Step::Announce { hash, peer, complete, stopped, twice } => {
                    let id = PeerId(*b"-LM0100-abcdefghijkl");
                    let (hash_bytes, key) = (HASHES[hash], key(peer));
                    let progress = progress(complete);
                    let news = Announce { hash: hash_bytes, key, id, progress, stopped };
                    // A datagram may come twice.
                    for _ in 0..=u8::from(twice) {
                        swarms.announce(now, &news).unwrap();
                    }
                    match stopped {
                        true => model.remove(&(hash, peer)),
                        false => model.insert((hash, peer), (complete, now + Span::secs(30))),
                    };
                }
                Step::Pass { seconds } => {
                    now = now + Span::secs(seconds);
                    model.retain(|_, (_, until)| *until > now);
                    swarms.sweep(now, 10_000, &mut Vec::new());
                }
                Step::Link(true) => {
                    assert!(swarms.link(HASHES[0], HASHES[1]).is_some());
                    linked += 1;
                }
                Step::Link(false) => {
                    swarms.unlink(HASHES[0], HASHES[1]);
                    linked = (linked - 1).max(0);
                }
            }
            for (at, hash) in HASHES.into_iter().enumerate() {
                prop_assert_eq!(swarms.scrape(hash).0, counts(&model, &[at]));
            }
            prop_assert_eq!(swarms.peers(), model.len());
            let apart = match linked > 0 {
                true => vec![vec![0, 1], vec![2]],
                false => vec![vec![0], vec![1], vec![2]],
            };
            let mut total = Counts::default();
            for content in &apart {
                let part = counts(&model, content);
                total.complete += part.complete;
                total.incomplete += part.incomplete;
            }
            prop_assert_eq!(swarms.nodes(), total);
            if linked > 0 {
                let content = swarms.counts(Some(HASHES[0]), Some(HASHES[1]));
                prop_assert_eq!(content, counts(&model, &[0, 1]));
            }
        }
    }

    #[test]
    fn a_sample_is_a_choice_of_the_live_ones(
        complete in prop::collection::vec(any::<bool>(), 1..60), want in 0..40usize, seed: u64,
    ) {
        let mut swarms = table(seed, Bounds::default());
        let id = |n: usize| PeerId([n as u8; 20]);
        let key = |n: usize| PeerKey::new(([10, 0, 1, n as u8], 7000).into());
        for (n, complete) in complete.iter().enumerate() {
            let (hash, complete) = (HASHES[0], *complete);
            let progress = progress(complete);
            let news = Announce { hash, key: key(n), id: id(n), progress, stopped: false };
            swarms.announce(Time::ZERO, &news).unwrap();
        }
        for asker in [true, false] {
            let asker = Asker { key: key(200), id: id(200), complete: asker, v4: true, want };
            let mut got = BTreeSet::new();
            swarms.sample(Time::ZERO, HASHES[0], &asker, &mut |peer| got.insert(peer.key));
            let fit = |n: &usize| !(asker.complete && complete[*n]);
            let able: BTreeSet<_> = (0..complete.len()).filter(fit).map(key).collect();
            prop_assert!(got.is_subset(&able));
            prop_assert_eq!(got.len(), want.min(able.len()));
        }
    }
}

#[test]
fn joining_two_swarms_looks_at_the_smaller_one_and_only_if_it_is_believed() {
    let mut swarms = table(1, Bounds::default());
    let mut announce = |hash: InfoHash, n: u16, complete| {
        let key = PeerKey::new(([10, 0, 0, 1], 1000 + n).into());
        let (id, progress) = (PeerId([1; 20]), progress(complete));
        let news = Announce { hash, key, id, progress, stopped: false };
        swarms.announce(Time::ZERO, &news).unwrap();
    };
    (0..500).for_each(|n| announce(HASHES[0], n, n < 100));
    (498..501).for_each(|n| announce(HASHES[1], n, true));
    assert_eq!(swarms.link(HASHES[0], HASHES[2]), Some(0), "nobody is in one of them");
    assert_eq!(swarms.link(HASHES[0], HASHES[1]), None);
    swarms.unlink(HASHES[0], HASHES[2]);
    assert_eq!(swarms.link(HASHES[0], HASHES[1]), Some(3));
    assert_eq!(swarms.link(HASHES[1], HASHES[0]), Some(0), "it is known");
    let all = swarms.counts(Some(HASHES[0]), Some(HASHES[1]));
    assert_eq!(all, Counts { complete: 103, incomplete: 398 });
    assert_eq!(swarms.nodes(), all);
}

#[test]
fn many_that_are_over_hold_up_no_answer() {
    let mut swarms = table(1, Bounds::default());
    for n in 0..1000u16 {
        let news = Announce {
            hash: HASHES[usize::from(n % 3)],
            key: PeerKey::new(([10, 0, 0, 1], 1000 + n).into()),
            id: PeerId([1; 20]),
            progress: progress(false),
            stopped: false,
        };
        swarms.announce(Time::ZERO, &news).unwrap();
    }
    let mut now = Time::ZERO + Span::secs(5000);
    let mut gone = Vec::new();
    HASHES.iter().for_each(|hash| swarms.settle(now, *hash, &mut gone));
    assert!((1..=3 * 64).contains(&gone.len()), "{}", gone.len());
    while swarms.peers() > 0 {
        now = now + Span::ms(10);
        let before = gone.len();
        swarms.sweep(now, 10_000, &mut gone);
        assert!(gone.len() > before && gone.len() - before <= 200);
    }
    assert_eq!(swarms.nodes(), Counts::default());
}

#[test]
fn a_full_swarm_replaces_newcomers_and_keeps_those_who_stay() {
    let bounds = Bounds { peers: 1000, swarm_peers: 50, ..Bounds::default() };
    let mut swarms = table(1, bounds);
    let news = |n: u16| Announce {
        hash: HASHES[0],
        key: PeerKey::new(([10, 0, 0, 1], 1000 + n).into()),
        id: PeerId([n as u8; 20]),
        progress: progress(false),
        stopped: false,
    };
    for round in 0..3 {
        for n in 0..40 {
            swarms.announce(Time(round), &news(n)).unwrap();
        }
    }
    for n in 40..2000 {
        swarms.announce(Time(9), &news(n)).unwrap();
        assert!(swarms.peers() <= 50);
    }
    for n in 0..40 {
        let again = swarms.announce(Time(10), &news(n)).unwrap();
        assert_ne!(
            again.moved.before,
            lmk::tracker::counts::Standing::Absent,
            "{n} was thrown out"
        );
    }
}

#[test]
fn a_full_table_refuses_and_takes_again_when_there_is_room() {
    let mut swarms = table(1, Bounds { peers: 10, swarm_peers: 50, ..Bounds::default() });
    let news = |n: u8, stopped| Announce {
        hash: InfoHash([n; 20]),
        key: PeerKey::new(([10, 0, 0, 1], 1000).into()),
        id: PeerId([n; 20]),
        progress: progress(false),
        stopped,
    };
    for n in 0..10 {
        swarms.announce(Time::ZERO, &news(n, false)).unwrap();
    }
    assert_eq!(
        swarms.announce(Time::ZERO, &news(99, false)).unwrap_err().what,
        "tracker is full, try later"
    );
    swarms.announce(Time::ZERO, &news(3, true)).unwrap();
    swarms.announce(Time::ZERO, &news(99, false)).unwrap();
    assert_eq!(swarms.peers(), 10);
}

#[test]
fn a_sample_leaves_out_the_asker_under_any_name_and_whoever_is_over() {
    let mut swarms = table(1, Bounds::default());
    let key = |port: u16| PeerKey::new(([10, 0, 0, 1], port).into());
    let news = |port: u16| Announce {
        hash: HASHES[0],
        key: key(port),
        id: PeerId([port as u8; 20]),
        progress: progress(false),
        stopped: false,
    };
    swarms.announce(Time::ZERO, &news(1)).unwrap();
    let mut count = |now, port, id| {
        let id = PeerId([id; 20]);
        let asker = Asker { key: key(port), id, complete: false, v4: true, want: 9 };
        let mut count = 0;
        swarms.sample(now, HASHES[0], &asker, &mut |_| {
            count += 1;
            true
        });
        count
    };
    assert_eq!(count(Time::ZERO, 2, 2), 1);
    assert_eq!(count(Time::ZERO, 1, 2), 0, "same address, new id");
    assert_eq!(count(Time::ZERO, 2, 1), 0, "same id, other address");
    assert_eq!(count(Time::ZERO + Span::secs(660), 2, 2), 0, "not swept yet");
}

/// What a naive tracker knows of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    pub id: u8,
    pub left: u64,
    /// No completion of this run is left to be counted.
    pub counted: bool,
    pub until_s: u64,
}

/// A tracker as one would write it first: everything in one map, everything recounted.
#[derive(Clone, Debug, Default)]
pub struct Naive {
    pub peers: BTreeMap<(usize, SocketAddr), Known>,
    pub completed: BTreeMap<usize, u32>,
}

impl Naive {
    pub fn announce(&mut self, swarm: usize, addr: SocketAddr, known: Known) {
        let before = self.peers.get(&(swarm, addr)).copied();
        let same_run = before.filter(|before| before.id == known.id);
        let finished = same_run.is_some_and(|before| !before.counted && known.left == 0);
        *self.completed.entry(swarm).or_default() += u32::from(finished);
        let counted = known.left == 0 || same_run.is_some_and(|before| before.counted);
        self.peers.insert((swarm, addr), Known { counted, ..known });
    }

    pub fn of(&self, swarm: usize) -> impl Iterator<Item = (SocketAddr, Known)> {
        self.peers.iter().filter(move |((at, _), _)| *at == swarm).map(|((_, addr), k)| (*addr, *k))
    }

    /// Seeders, leechers, completed.
    pub fn scrape(&self, swarm: usize) -> (u32, u32, u32) {
        let seeders = self.of(swarm).filter(|(_, known)| known.left == 0).count() as u32;
        let completed = self.completed.get(&swarm).copied().unwrap_or(0);
        (seeders, self.of(swarm).count() as u32 - seeders, completed)
    }
}

pub const SWARMS: usize = 4;

pub fn swarm_hash(swarm: usize) -> InfoHash {
    InfoHash([swarm as u8 * 40; 20])
}

pub fn peer_addr(n: u64, swarm: usize) -> SocketAddr {
    // The third swarm is large enough for an index.
    let n = if swarm == 2 { n } else { n % 9 };
    match n % 3 {
        0 => format!("[fd00::{:x}]:{}", n / 6, 7000 + n).parse().unwrap(),
        _ => format!("10.0.{}.{}:{}", n % 2, n / 6 + 1, 7000 + n % 5).parse().unwrap(),
    }
}

/// Writes the next swarm that changed; false when there is none.
fn store(swarms: &mut Swarms, stored: &mut BTreeMap<(InfoHash, u32), SwarmPart>) -> bool {
    let mut parts = Vec::new();
    let Some(hash) = swarms.changed(&mut parts) else { return false };
    stored.retain(|(other, _), _| *other != hash);
    parts.retain(|part| !part.packed.is_empty());
    stored.extend(parts.into_iter().map(|part| ((part.hash, part.part), part)));
    true
}

fn drive(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut start_s = 1_767_225_600;
    let fresh = |start_s, seed| Swarms::new(Clock::new(start_s), Rng::new(seed), Bounds::default());
    let (mut swarms, mut naive) = (fresh(start_s, seed), Naive::default());
    swarms.note_changes();
    let (mut now, mut stored) = (Time::ZERO, BTreeMap::new());
    for step in 0..150 {
        let unix_s = start_s + now.secs();
        naive.peers.retain(|_, known| known.until_s > unix_s);
        let swarm = rng.below(SWARMS as u64) as usize;
        match rng.below(20) {
            0..15 => {
                let addr = peer_addr(rng.below(150), swarm);
                let (id, left) = (rng.below(2) as u8, rng.below(3).saturating_sub(1) * 5);
                let stopped = rng.chance(150);
                let news = Announce {
                    hash: swarm_hash(swarm),
                    key: PeerKey::new(addr),
                    id: PeerId([id; 20]),
                    progress: Progress { left, ..Progress::default() },
                    stopped,
                };
                swarms.settle(now, news.hash, &mut Vec::new());
                for _ in 0..1 + rng.below(2) {
                    let answer = swarms.announce(now, &news).unwrap();
                    // Stock clients: 660 s whatever the interval is.
                    let known = Known { id, left, counted: false, until_s: unix_s + 660 };
                    match stopped {
                        true => drop(naive.peers.remove(&(swarm, addr))),
                        false => naive.announce(swarm, addr, known),
                    }
                    let (seeders, leechers, _) = naive.scrape(swarm);
                    assert_eq!(
                        (answer.counts.complete, answer.counts.incomplete),
                        (seeders, leechers)
                    );
                }
            }
            15..18 => {
                now = now + Span::secs(1 + rng.below(250));
                if rng.chance(500) {
                    for _ in 0..rng.below(4) {
                        swarms.sweep(now, 3, &mut Vec::new());
                    }
                }
            }
            18 => {
                // What changed is written, a few at a time.
                for _ in 0..rng.below(6) {
                    store(&mut swarms, &mut stored);
                }
            }
            _ => {
                // A restart after everything was written: all are there with the time they have.
                while store(&mut swarms, &mut stored) {}
                let gap_s = rng.below(100);
                start_s += now.secs() + gap_s;
                now = Time::ZERO;
                let counted: Vec<_> = (0..SWARMS).map(|n| swarms.scrape(swarm_hash(n)).1).collect();
                swarms = fresh(start_s, seed + step);
                swarms.note_changes();
                for part in stored.values() {
                    swarms.restore(now, part);
                }
                for (n, count) in counted.into_iter().enumerate() {
                    swarms.remember_completed(swarm_hash(n), count);
                }
            }
        }
        let unix_s = start_s + now.secs();
        naive.peers.retain(|_, known| known.until_s > unix_s);
        let swarm = rng.below(SWARMS as u64) as usize;
        let hash = swarm_hash(swarm);
        swarms.settle(now, hash, &mut Vec::new());
        let (counts, completed) = swarms.scrape(hash);
        let got = (counts.complete, counts.incomplete, completed);
        assert_eq!(got, naive.scrape(swarm), "seed {seed}, step {step}, swarm {swarm}");
        check_sample(&mut swarms, &naive, (now, swarm), &mut rng);
    }
}

/// Only live peers of the right family and kind, none twice, never the asker, and as many as there
/// are when there are few.
fn check_sample(swarms: &mut Swarms, naive: &Naive, (now, swarm): (Time, usize), rng: &mut Rng) {
    let addr = peer_addr(rng.below(150), swarm);
    let (complete, want) = (rng.chance(400), rng.below(60) as usize);
    let v4 = addr.is_ipv4();
    let asker = Asker { key: PeerKey::new(addr), id: PeerId([99; 20]), complete, v4, want };
    let mut got = BTreeSet::new();
    swarms.sample(now, swarm_hash(swarm), &asker, &mut |peer| {
        assert!(got.insert(peer.key.addr()), "twice in one answer");
        true
    });
    let able: BTreeSet<SocketAddr> = naive
        .of(swarm)
        .filter(|(other, known)| {
            *other != addr && other.is_ipv4() == v4 && !(complete && known.left == 0)
        })
        .map(|(other, _)| other)
        .collect();
    assert!(got.is_subset(&able), "{got:?} of {able:?}");
    // Where one side is short because of the asker itself, one may be missing.
    assert!(got.len() + 1 >= want.min(able.len()), "{} of {}", got.len(), able.len());
}

#[test]
fn a_naive_tracker_gives_equal_answers() {
    (0..2000).for_each(drive);
}
