//! Memory of a tracker: 2,000,000 peers in 200,000 swarms, announced through the role's own door in
//! random order, and the longest time that a slice of the sweep took afterwards.
//!
//! `cargo run --release --example tracker_memory [PEERS] [SWARMS] [ROUNDS] [even]`: every peer in a
//! swarm drawn at random, or (`even`) the same number of peers in each
//! -> resident bytes per peer above the empty process; the longest announce; the longest wake-up
//! while all are kept, and while all are over. Times are those of the processor.

use lmk::core::id::{InfoHash, PeerId};
use lmk::core::io::{Effect, Input, Listening, Outbox, Role};
use lmk::core::rng::Rng;
use lmk::core::time::{Span, Time};
use lmk::sim::{NodeEnv, plans};
use lmk::tracker::Tracker;
use lmk::tracker::admission::Bounds;
use lmk::tracker::plan::TrackerPlan;
use lmk::wire::udp::{AnnounceRequest, Event, Request, Response};
use nix::time::{ClockId, clock_gettime};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

struct World {
    tracker: Tracker,
    out: Outbox,
    now: Time,
}

impl World {
    fn on(&mut self, input: Input<'_>) -> Vec<Effect> {
        self.tracker.on(self.now, input, &mut self.out);
        std::mem::take(&mut self.out.effects)
    }

    /// Sends a request and reads its answer.
    fn ask(&mut self, from: SocketAddr, request: &Request) -> Response {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        self.out.arena.clear();
        let to = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        let effects = self.on(Input::Datagram { from, to, bytes: &bytes });
        let answer = effects.iter().find_map(|effect| match effect {
            Effect::Datagram { start, len, .. } => Some(self.out.bytes(*start, *len).to_vec()),
            _ => None,
        });
        Response::decode(&answer.expect("an answer"), false).expect("an answer of BEP 15")
    }

    fn announce(&mut self, peer: u32, swarm: u32) {
        let ip = Ipv4Addr::from(0x0a00_0000 | peer & 0x00ff_ffff);
        let from = SocketAddr::from((ip, 6881));
        let Response::Connect { cid, .. } = self.ask(from, &Request::Connect { tid: 1 }) else {
            panic!("no connection id")
        };
        let mut info_hash = [7; 20];
        info_hash[..4].copy_from_slice(&swarm.to_be_bytes());
        let mut id = *b"-qB4520-............";
        id[8..12].copy_from_slice(&peer.to_be_bytes());
        let request = AnnounceRequest {
            cid,
            tid: 2,
            info_hash: InfoHash(info_hash),
            peer_id: PeerId(id),
            downloaded: 1,
            left: u64::from(peer % 3),
            uploaded: 2,
            event: Event::Started,
            key: 0,
            num_want: 10,
            port: 6881,
            url_data: Vec::new(),
        };
        let answer = self.ask(from, &Request::Announce(request));
        assert!(matches!(answer, Response::Announce(_)), "{answer:?}");
    }

    /// Wakes the tracker until `until`; the longest wake-up in milliseconds.
    fn pass(&mut self, until: Time) -> f64 {
        let mut longest = 0f64;
        while self.tracker.deadline() <= until {
            self.now = self.now.max(self.tracker.deadline());
            let start = processor_time();
            self.on(Input::Wake);
            longest = longest.max((processor_time() - start).as_secs_f64() * 1e3);
        }
        self.now = until;
        longest
    }
}

/// Time that this thread had the processor, so that others on the machine count for nothing.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of the thread").into()
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    1024 * line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("kB")
}

fn plan() -> TrackerPlan {
    let ip = Ipv4Addr::LOCALHOST.into();
    let env = NodeEnv { ip, life: 1, seed: 7, wall_start_s: 1_767_225_600 };
    let bounds = Bounds { swarm_peers: 4_000_000, ..Bounds::default() };
    TrackerPlan { bounds, ..plans::tracker(env) }
}

fn main() {
    let number = |at, default| {
        std::env::args().nth(at).map_or(default, |text| text.parse::<u32>().expect("a number"))
    };
    let even = std::env::args().any(|word| word == "even");
    let (peers, swarms, rounds) = (number(1, 2_000_000), number(2, 200_000), number(3, 1));
    let mut world =
        World { tracker: Tracker::new(plan()), out: Outbox::default(), now: Time::ZERO };
    let born = world.on(Input::Born);
    let Some(Effect::Listen { ticket, at, .. }) = born.first() else { panic!("{born:?}") };
    let got = Listening { tcp: Some(*at), udp: Some(*at) };
    world.on(Input::Listening { ticket: *ticket, result: Ok(got) });
    let mut rng = Rng::new(1);
    let drawn = |peer| if even { peer % swarms } else { rng.below(u64::from(swarms)) as u32 };
    let swarm_of: Vec<u32> = (0..peers).map(drawn).collect();
    let mut order: Vec<u32> = (0..peers).collect();
    Rng::new(2).shuffle(&mut order);
    let empty = resident();
    for round in 0..rounds {
        // Everybody announces once in a round of four minutes.
        let (start, mut longest) = (processor_time(), Duration::ZERO);
        for (nth, peer) in order.iter().enumerate() {
            let before = processor_time();
            world.announce(*peer, swarm_of[*peer as usize]);
            longest = longest.max(processor_time() - before);
            if nth % 1000 == 999 {
                let nanos = 240_000_000_000 * (nth as u64 + 1) / u64::from(peers);
                let round_starts = Span::secs(240 * u64::from(round));
                world.pass(Time::ZERO + round_starts + Span(nanos));
            }
        }
        let bytes = resident() - empty;
        println!(
            "round {round}: {peers} peers in {swarms} swarms, {bytes} bytes resident, {:.1} per \
             peer, {:.2} us per connect and announce, the longest {:.3} ms",
            bytes as f64 / f64::from(peers),
            (processor_time() - start).as_secs_f64() * 1e6 / f64::from(peers),
            longest.as_secs_f64() * 1e3,
        );
    }
    let kept = world.pass(world.now + Span::secs(60));
    println!("sweep while all are kept: longest wake-up {kept:.3} ms");
    let row = world.tracker.snapshot(world.now).tracker.expect("a tracker");
    assert_eq!(row.seeders + row.leechers, u64::from(peers));
    let over = world.pass(world.now + Span::secs(1200));
    println!("sweep while all go: longest wake-up {over:.3} ms");
    let row = world.tracker.snapshot(world.now).tracker.expect("a tracker");
    assert_eq!(row.seeders + row.leechers, 0);
}
