//! A swarm of strangers in the simulated world: a torrent, its tracker, and nobody's name.

use crate::scripted::{Shared, role};
use lmk::content::metainfo::ContentHasher;
use lmk::core::io::{Effect, Role};
use lmk::core::report::Ending;
use lmk::core::rng::Rng;
use lmk::core::time::{Span, Time};
use lmk::node::Node;
use lmk::node::plan::{FetchPlan, Job, Listen, NodePlan, SeedPlan, TorrentPlan};
use lmk::sim::plans::{self, TRACKER};
use lmk::sim::{Act, NodeEnv, NodeId, Weather, World};
use lmk::swarm::Terms;
use lmk::tracker::Tracker;
use std::net::IpAddr;
use std::num::NonZeroU64;

const GIVERS: u8 = 12;
const SIZE: usize = 64 * 64 * 1024;

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::secs(seconds)
}

fn bytes() -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    Rng::new(9).fill(&mut bytes);
    bytes
}

pub fn torrent_file() -> Vec<u8> {
    torrent_file_of(&["udp://10.0.0.1:6969/announce".to_owned()])
}

fn torrent_file_of(trackers: &[String]) -> Vec<u8> {
    let mut hasher = ContentHasher::with_piece_length(b"big.zip", SIZE as u64, 64 * 1024).unwrap();
    hasher.update(&bytes());
    let content = hasher.finish().unwrap();
    content.write_torrent_v1(trackers).unwrap()
}

fn torrent() -> Option<TorrentPlan> {
    Some(plans::torrent("/home/big.torrent"))
}

fn node_plan(env: NodeEnv, job: Job, slots: u32, terms: Terms) -> NodePlan {
    let listen = Some(Listen { ip: [0, 0, 0, 0].into(), ports: (7000, 7009) });
    NodePlan { listen, slots, terms, ..plans::node(env, job) }
}

fn add_tracker(world: &mut World) {
    world.add_node(TRACKER.0.into(), |env| Box::new(Tracker::new(plans::tracker(env))));
}

fn add_seeder(world: &mut World, slots: u32, terms: Terms) -> NodeId {
    let node = world.add_node([10, 0, 0, 2].into(), move |env| {
        let seed = SeedPlan { torrent: torrent(), ..plans::seed("/home/big.zip") };
        Box::new(Node::new(node_plan(env, Job::Seed(seed), slots, terms)))
    });
    world.disk(node).make_dirs("/home");
    world.disk(node).put("/home/big.zip", &bytes());
    world.disk(node).put("/home/big.torrent", &torrent_file());
    node
}

fn add_leecher(world: &mut World, n: u8, terms: Terms) -> NodeId {
    let node = world.add_idle([10, 0, 1, n].into(), move |env| {
        let fetch = plans::fetch("", "/home");
        let fetch = FetchPlan { torrent: torrent(), keep_seeding: true, ..fetch };
        Box::new(Node::new(node_plan(env, Job::Fetch(fetch), 3, terms)))
    });
    world.disk(node).make_dirs("/home");
    world.disk(node).put("/home/big.torrent", &torrent_file());
    world.plan(at(2), node, Act::Start);
    node
}

fn up(rate: u64) -> Terms {
    Terms { limit_up: NonZeroU64::new(rate), ..Terms::default() }
}

fn is_complete(world: &World, node: NodeId) -> bool {
    let picture = world.snapshot(node);
    let transfer = picture.and_then(|picture| picture.transfer);
    transfer.is_some_and(|transfer| transfer.done == SIZE as u64)
}

/// Bytes that `givers` sent to `to` until now.
fn sent(world: &World, givers: &[NodeId], to: NodeId) -> u64 {
    let to = world.ip(to);
    let rows = givers.iter().filter_map(|giver| world.snapshot(*giver)).flat_map(|p| p.peers);
    rows.filter(|row| row.addr.ip() == to).map(|row| row.uploaded).sum()
}

/// Everyone has three slots for those who give most, and one for chance.
#[test]
fn who_gives_nothing_gets_little_and_is_done_in_the_end() {
    let (mut to_taker, mut to_givers) = (0, 0);
    for seed in [3, 4, 5] {
        let weather = Weather { rate: 4_000_000, ..Weather::calm() };
        let mut world = World::new(seed, weather);
        add_tracker(&mut world);
        add_seeder(&mut world, 1, up(64 * 1024));
        let givers: Vec<NodeId> =
            (1..=GIVERS).map(|n| add_leecher(&mut world, n, up(16 * 1024))).collect();
        let taker = add_leecher(&mut world, 99, up(1));
        let all = |world: &World| {
            let all = givers.iter().chain([&taker]);
            all.filter(|node| is_complete(world, **node)).count()
        };
        let mut looked = 0_u64;
        let mut look = |world: &mut World, enough: usize| {
            looked += 1;
            looked.is_multiple_of(64) && all(world) >= enough
        };
        assert!(world.run_until(at(3600), |world| look(world, 1)), "seed {seed}");
        to_taker += sent(&world, &givers, taker);
        to_givers +=
            givers.iter().map(|to| sent(&world, &givers, *to)).sum::<u64>() / u64::from(GIVERS);
        assert!(world.run_until(at(3600), |world| look(world, GIVERS as usize + 1)), "seed {seed}");
        assert_eq!(world.breach(), None, "seed {seed}");
        assert_eq!(world.ending(taker), None::<Ending>);
    }
    assert!(to_taker * 3 < to_givers * 2, "{to_taker} to the taker, {to_givers} to each giver");
}

/// Where the announces of a seeder that listens at `listen` leave from: datagrams, and dials.
fn announces_from(listen: [u8; 4], scheme: &str) -> (Vec<IpAddr>, Vec<Option<IpAddr>>) {
    let mut world = World::new(1, Weather::calm());
    add_tracker(&mut world);
    let (datagrams, dials) = (Shared::<Vec<_>>::default(), Shared::<Vec<_>>::default());
    let (told, dialled) = (datagrams.clone(), dials.clone());
    let node = world.add_node([10, 0, 0, 2].into(), move |env| {
        let seed = SeedPlan { torrent: torrent(), ..plans::seed("/home/big.zip") };
        let listen = Some(Listen { ip: listen.into(), ports: (7000, 7009) });
        let mut node = Node::new(NodePlan { listen, ..plans::node(env, Job::Seed(seed)) });
        let (told, dialled) = (told.clone(), dialled.clone());
        role(move |now, input, out| {
            let before = out.effects.len();
            node.on(now, input, out);
            for effect in &out.effects[before..] {
                match effect {
                    Effect::Datagram { from, .. } => told.with(|all| all.push(*from)),
                    Effect::Dial { from, .. } => dialled.with(|all| all.push(*from)),
                    _ => {}
                }
            }
            node.deadline()
        })
    });
    world.disk(node).make_dirs("/home");
    world.disk(node).put("/home/big.zip", &bytes());
    let tracker = format!("{scheme}://10.0.0.1:6969/announce");
    world.disk(node).put("/home/big.torrent", &torrent_file_of(&[tracker]));
    world.run(at(60));
    assert_eq!(world.breach(), None);
    (datagrams.get(), dials.get())
}

/// Strangers dial the address that an announce comes from: it must be the one that is listened at.
#[test]
fn who_listens_at_one_address_announces_from_there() {
    let here = IpAddr::from([10, 0, 0, 2]);
    for (listen, ours) in [([10, 0, 0, 2], Some(here)), ([0, 0, 0, 0], None)] {
        let from = ours.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let (datagrams, _) = announces_from(listen, "udp");
        assert!(!datagrams.is_empty() && datagrams.iter().all(|one| *one == from), "{datagrams:?}");
        let (_, dials) = announces_from(listen, "http");
        assert!(!dials.is_empty() && dials.iter().all(|one| *one == ours), "{dials:?}");
    }
}
