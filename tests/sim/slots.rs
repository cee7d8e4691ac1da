//! Slots in the simulated world: a hundred leechers at one slot, stock clients that wait, and a
//! file that changes under the seeder.

use crate::scripted::{Shared, role};
use lmk::core::id::{ConnId, PeerId};
use lmk::core::io::{Input, Role};
use lmk::core::mark::expect_mark;
use lmk::core::report::{Ending, Fact};
use lmk::core::rng::Rng;
use lmk::core::time::{Span, Time};
use lmk::node::Node;
use lmk::node::plan::{FetchPlan, Job, Listen, NodePlan};
use lmk::sim::plans::{self, TRACKER};
use lmk::sim::{Act, NodeEnv, NodeId, Weather, World};
use lmk::tracker::Tracker;
use lmk::wire::peer::{BlockRef, Handshake, Message, Reserved};
use std::net::{IpAddr, SocketAddr};

const SOURCE: &str = "/home/big.zip";
const SEEDER_PORT: u16 = 7000;

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::secs(seconds)
}

fn node_plan(env: NodeEnv, job: Job) -> NodePlan {
    let listen = Some(Listen { ip: [0, 0, 0, 0].into(), ports: (SEEDER_PORT, SEEDER_PORT + 9) });
    NodePlan { listen, slots: 1, ..plans::node(env, job) }
}

fn add_seeder(world: &mut World, ip: [u8; 4], content: &[u8]) -> NodeId {
    let seeder = world.add_node(ip.into(), |env| {
        Box::new(Node::new(node_plan(env, Job::Seed(plans::seed(SOURCE)))))
    });
    world.disk(seeder).make_dirs("/home");
    world.disk(seeder).put(SOURCE, content);
    world.set_slots(seeder, 1);
    seeder
}

/// A tracker, and a seeder of `content` with one slot.
fn stage(weather: Weather, content: &[u8]) -> (World, NodeId) {
    let mut world = World::new(7, weather);
    world.add_node(TRACKER.0.into(), |env| Box::new(Tracker::new(plans::tracker(env))));
    let seeder = add_seeder(&mut world, [10, 0, 0, 2], content);
    (world, seeder)
}

fn add_leecher(world: &mut World, number: usize, start: Time) -> NodeId {
    // Room for everyone: the order is the one in which the seeder was asked.
    add_leecher_of(world, number, start, 200)
}

/// A leecher that fetches from `sources` at a time.
fn add_leecher_of(world: &mut World, number: usize, start: Time, sources: u32) -> NodeId {
    let ip = IpAddr::from([10, 0, 1, number as u8]);
    let node = world.add_idle(ip, move |env| {
        let fetch = FetchPlan { sources, ..plans::fetch("big.zip", "/home") };
        Box::new(Node::new(node_plan(env, Job::Fetch(fetch))))
    });
    world.disk(node).make_dirs("/home");
    world.plan(start, node, Act::Start);
    node
}

/// Who was given a slot for the first time, in order. Every grant went to the one who had waited
/// longest of those who still waited.
fn granted_in_turn(world: &World, seeder: NodeId) -> Vec<IpAddr> {
    let (mut waiting, mut granted) = (Vec::<IpAddr>::new(), Vec::new());
    for (at, event) in world.events(seeder) {
        let peer = event.facts.iter().find_map(|(key, fact)| match fact {
            Fact::Text(text) if *key == "peer" => text.parse::<SocketAddr>().ok(),
            _ => None,
        });
        let Some(ip) = peer.map(|peer| peer.ip()) else { continue };
        let waited =
            event.facts.iter().any(|(key, fact)| *key == "waited" && *fact == Fact::Number(1));
        match event.kind {
            "queued" => waiting.push(ip),
            "slot" => {
                // Whoever stood before it left: none of them is served without waiting anew.
                let place = waiting.iter().position(|waits| *waits == ip);
                assert_eq!(place.is_some(), waited, "{at:?}: {ip} passed {waiting:?}");
                drop(waiting.drain(..place.map_or(waiting.len(), |place| place + 1)));
                if !granted.contains(&ip) {
                    granted.push(ip);
                }
            }
            _ => {}
        }
    }
    granted
}

/// Many pieces: leechers serve each other, and finish when they have it all, but slots are granted
/// in the order of joining the queue.
#[test]
fn slots_are_granted_in_the_order_of_the_queue_whoever_else_serves() {
    let mut content = vec![0; 40 * 16 * 1024];
    Rng::new(5).fill(&mut content);
    let weather = Weather { rate: 400_000, ..Weather::calm() };
    let (mut world, seeder) = stage(weather, &content);
    let start = |n: usize| at(5) + Span::ms(20 * n as u64);
    let leechers: Vec<NodeId> =
        (0..100).map(|n| add_leecher_of(&mut world, n, start(n), 10)).collect();
    let mut looked = 0_u64;
    let mut most = (0, 0);
    let all = world.run_until(at(1200), |world| {
        looked += 1;
        if !looked.is_multiple_of(256) {
            return false;
        }
        let picture = world.snapshot(seeder).unwrap();
        most = (most.0.max(picture.slots.queued), most.1.max(picture.peers.len()));
        leechers.iter().all(|node| world.ending(*node).is_some())
    });
    assert!(all && world.breach().is_none(), "{:?}", world.breach());
    assert!(leechers.iter().all(|node| world.ending(*node) == Some(Ending::Done)));
    let granted = granted_in_turn(&world, seeder);
    assert!(granted.len() > 5, "{granted:?}");
    // One conversation and one place for each leecher at the most.
    assert!(most.0 > 5 && most.0 < 100 && most.1 <= 100, "{most:?}");
}

/// One piece, so that nobody but the seeder can serve before it is done and gone.
#[test]
fn a_hundred_leechers_are_served_by_one_slot_in_the_order_they_came() {
    let mut content = vec![0; 16_000];
    Rng::new(3).fill(&mut content);
    let weather = Weather { rate: 8_000, segment_bytes: 1448, ..Weather::calm() };
    let (mut world, seeder) = stage(weather, &content);
    let start = |n: usize| at(5) + Span::ms(300 * n as u64);
    let leechers: Vec<NodeId> = (0..100).map(|n| add_leecher(&mut world, n, start(n))).collect();
    let mut done: Vec<NodeId> = Vec::new();
    let (mut queued_max, mut looked) = (0, 0_u64);
    let all = world.run_until(at(1200), |world| {
        // A look at everyone is dear; they end seconds apart.
        looked += 1;
        if !looked.is_multiple_of(64) {
            return false;
        }
        for node in &leechers {
            if world.ending(*node).is_some() && !done.contains(node) {
                done.push(*node);
            }
        }
        let slots = world.snapshot(seeder).map(|picture| picture.slots).unwrap_or_default();
        queued_max = queued_max.max(slots.queued);
        done.len() == leechers.len()
    });
    assert!(all, "{:?}: {} of 100 are done", world.breach(), done.len());
    assert!(queued_max > 50, "{queued_max} waited at most: there was no queue to speak of");
    assert_eq!(done, leechers, "not in the order they came");
    let granted = granted_in_turn(&world, seeder);
    assert_eq!(granted, (0..100).map(|n| IpAddr::from([10, 0, 1, n])).collect::<Vec<_>>());
    for node in leechers {
        assert_eq!(world.ending(node), Some(Ending::Done));
        assert!(world.disk(node).get(SOURCE).as_ref() == Some(&content));
    }
}

/// What a stock client heard, with the time.
type Log = Shared<Vec<(Time, String)>>;

/// A client without extensions of any kind. It wants, and `asks` one block every so often while it
/// is unchoked.
fn stock(
    name: u8,
    info_hash: Shared<Option<lmk::core::id::InfoHash>>,
    asks: Span,
    log: Log,
) -> Box<dyn Role> {
    let mut conn: Option<ConnId> = None;
    let mut wake = Time::NEVER;
    let (mut heard, mut greeted, mut unchoked, mut next) = (Vec::new(), false, false, 0);
    role(move |now, input, out| {
        let asking = matches!(input, Input::Wake);
        if asking {
            wake = now + asks;
        }
        match input {
            Input::Born => {
                wake = now + asks;
                conn = Some(out.dial(SocketAddr::from(([10, 0, 0, 2], SEEDER_PORT))));
            }
            Input::Connected { conn, .. } => {
                let reserved = Reserved::new();
                let (info_hash, peer_id) = (info_hash.get().unwrap(), PeerId([name; 20]));
                out.send(conn, &Handshake { reserved, info_hash, peer_id }.encode());
                out.send(conn, &Message::Interested.encode());
            }
            Input::Bytes { bytes, .. } => heard.extend_from_slice(bytes),
            Input::Closed { .. } => log.with(|log| log.push((now, "closed".into()))),
            _ => {}
        }
        if !greeted && heard.len() >= 68 {
            greeted = true;
            heard.drain(..68);
        }
        while greeted && heard.len() >= 4 {
            let len = u32::from_be_bytes(heard[..4].try_into().unwrap()) as usize;
            if heard.len() < 4 + len {
                break;
            }
            let word = match heard.get(4).filter(|_| len > 0) {
                None => "keepalive".to_owned(),
                Some(0) => "choke".to_owned(),
                Some(1) => "unchoke".to_owned(),
                Some(id) => format!("message {id}"),
            };
            unchoked = word == "unchoke" || (unchoked && word != "choke");
            log.with(|log| log.push((now, word)));
            heard.drain(..4 + len);
        }
        if let Some(conn) = conn.filter(|_| unchoked && asking) {
            let block = BlockRef { piece: next % 4, begin: 0, len: 16 * 1024 };
            next += 1;
            out.send(conn, &Message::Request(block).encode());
        }
        wake
    })
}

#[test]
fn stock_clients_wait_with_keepalives_and_rotate_by_choke_and_unchoke() {
    let content = vec![5; 64 * 1024];
    let (mut world, seeder) = stage(Weather::calm(), &content);
    assert!(world.run(at(5)));
    assert!(world.running(seeder));
    let info_hash = v1_hash(&content);
    let (first, second) = (Log::default(), Log::default());
    for (n, log) in [(1, &first), (2, &second)] {
        let (info_hash, log) = (info_hash.clone(), log.clone());
        let ip = IpAddr::from([10, 0, 2, n]);
        let node =
            world.add_idle(ip, move |_| stock(n, info_hash.clone(), Span::secs(4), log.clone()));
        world.plan(at(5 + u64::from(n)), node, Act::Start);
    }
    assert!(world.run(at(160)), "{:?}", world.breach());
    let times = |log: &Log, word: &str| -> Vec<u64> {
        log.with(|log| log.iter().filter(|(_, w)| w == word).map(|(t, _)| t.secs()).collect())
    };
    assert_eq!(times(&first, "closed"), [], "nobody is sent away");
    assert_eq!(times(&second, "closed"), []);
    // Times of a role count from its own birth, a second after the other's.
    let (choked, unchoked) = (times(&first, "choke"), times(&first, "unchoke"));
    assert_eq!(unchoked.len(), 2, "{unchoked:?}");
    assert!((60..62).contains(&choked[0]), "{choked:?}");
    assert!((120..123).contains(&unchoked[1]), "{unchoked:?}");
    let heard = second.get();
    let waiting: Vec<&(Time, String)> =
        heard.iter().take_while(|(_, word)| word != "unchoke").collect();
    let gaps = |two: &[&(Time, String)]| two[1].0.since(two[0].0).as_ms();
    assert!(waiting.len() >= 7, "{waiting:?}");
    for two in waiting[1..].windows(2) {
        assert_eq!(two[1].1, "keepalive");
        assert!((5_000..9_000).contains(&gaps(two)), "{two:?}");
    }
}

fn v1_hash(content: &[u8]) -> Shared<Option<lmk::core::id::InfoHash>> {
    let mut hasher =
        lmk::content::metainfo::ContentHasher::new(b"big.zip", content.len() as u64).unwrap();
    hasher.update(content);
    let info_hash = Shared::default();
    info_hash.set(hasher.finish().unwrap().v1.map(|v1| v1.info_hash));
    info_hash
}

/// It takes a thousand times the content; then it waits behind one who comes after it, and is not
/// sent away.
#[test]
fn who_takes_the_content_again_and_again_waits_for_those_who_did_not() {
    let content = vec![5; 64 * 1024];
    let weather = Weather { rate: 100_000_000, ..Weather::calm() };
    let (mut world, _) = stage(weather, &content);
    let info_hash = v1_hash(&content);
    let logs: [Log; 3] = Default::default();
    let places = [([8, 8, 8, 8], 5, 1), ([10, 0, 2, 2], 8, 4_000), ([10, 0, 2, 3], 30, 4_000)];
    for ((n, (ip, start, asks_ms)), log) in (1..).zip(places).zip(&logs) {
        let (info_hash, log) = (info_hash.clone(), log.clone());
        let node = world.add_idle(ip.into(), move |_| {
            stock(n, info_hash.clone(), Span::ms(asks_ms), log.clone())
        });
        world.plan(at(start), node, Act::Start);
    }
    expect_mark!("D13", assert!(world.run(at(130)), "{:?}", world.breach()));
    let said = |n: usize, word: &str| -> Vec<u64> {
        logs[n].with(|log| log.iter().filter(|(_, w)| w == word).map(|(t, _)| t.secs()).collect())
    };
    let (first, second, third) = (said(0, "unchoke"), said(1, "unchoke"), said(2, "unchoke"));
    assert_eq!(first.len(), 1, "the greedy one was served again before others: {first:?}");
    assert!((5..15).contains(&said(0, "choke")[0]), "{:?}", said(0, "choke"));
    assert!(!second.is_empty() && !third.is_empty(), "{second:?} {third:?}");
    assert!((0..3).all(|n| said(n, "closed").is_empty()), "nobody is sent away");
}

/// An Unavailable source is waited for, and left when another serves as many as are wanted.
#[test]
fn a_source_that_lets_us_wait_is_left_when_another_serves() {
    let mut left = 0;
    for seed in 0..6 {
        let content = vec![5; 160 * 1024];
        let (mut world, _) = stage(Weather { rate: 8_000, ..Weather::calm() }, &content);
        add_seeder(&mut world, [10, 0, 0, 3], &content);
        let (info_hash, log) = (v1_hash(&content), Log::default());
        let node = world.add_idle([10, 0, 2, 1].into(), move |_| {
            stock(1, info_hash.clone(), Span::secs(4), log.clone())
        });
        world.plan(at(5), node, Act::Start);
        // Another number, another order of dialling.
        let leecher = add_leecher_of(&mut world, 10 + seed, at(7), 1);
        assert!(world.run_until(at(200), |world| world.ending(leecher).is_some()));
        assert_eq!(world.ending(leecher), Some(Ending::Done), "{:?}", world.breach());
        let why = |fact: &Fact| matches!(fact, Fact::Text(why) if why == "others serve");
        let events = world.events(leecher).iter();
        left += events
            .filter(|(_, event)| event.kind == "peer_gone")
            .filter(|(_, event)| event.facts.iter().any(|(key, fact)| *key == "why" && why(fact)))
            .count();
    }
    assert!(left > 0, "nobody was left");
}

/// The file is rewritten in the middle of a transfer, whenever that is.
#[test]
fn a_file_that_changes_is_withdrawn_and_nothing_of_it_is_taken_for_the_old_one() {
    for ms in (0..40).map(|n| 5_000 + n * 97) {
        let mut content = vec![0; 400_000];
        Rng::new(ms).fill(&mut content);
        let weather = Weather { rate: 200_000, ..Weather::calm() };
        let (mut world, seeder) = stage(weather, &content);
        let leecher = add_leecher(&mut world, 1, at(5));
        assert!(world.run(Time::ZERO + Span::ms(ms)));
        expect_mark!("E09", {
            let flip = |bytes: &mut Vec<u8>| bytes.iter_mut().for_each(|b| *b ^= 1);
            assert!(world.disk(seeder).edit(SOURCE, flip));
            world.run_until(at(60), |world| world.ending(seeder).is_some());
        });
        assert_eq!(world.breach(), None);
        assert_eq!(world.ending(seeder), Some(Ending::Disk), "{ms} ms");
        let said = world.events(seeder).iter().any(|(_, event)| event.kind == "changed");
        assert!(said, "{ms} ms");
        let warned = world.events(leecher).iter().any(|(_, event)| event.kind == "corrupt");
        assert!(!warned, "{ms} ms: a wrong byte left the seeder");
        if let Some(bytes) = world.disk(leecher).get(SOURCE) {
            assert!(bytes == content, "{ms} ms");
        }
    }
}
