//! The simulated world itself, with scripted roles: its faults are what they say, it is one world
//! for one seed, and its planted bugs are caught.

use crate::scripted::{Shared, pattern, role};
use lmk::core::io::{Closed, Input, Role};
use lmk::core::report::Ending;
use lmk::core::time::{Span, Time};
use lmk::sim::weather::Planted;
use lmk::sim::{Act, NodeId, Weather, World};
use std::net::{IpAddr, SocketAddr};

const PORT: u16 = 7000;
const ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

fn ip(n: u8) -> IpAddr {
    [10, 0, 0, n].into()
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::secs(seconds)
}

#[derive(Clone, Default)]
struct Heard {
    bytes: Vec<u8>,
    ends: Vec<Closed>,
    connected: u32,
}

/// Sends `content` to whoever comes, then closes with flush.
fn server(content: Vec<u8>) -> Box<dyn Role> {
    role(move |_, input, out| {
        match input {
            Input::Born => {
                out.listen(SocketAddr::new(ANY, PORT), PORT, true, false);
            }
            Input::Accepted { conn, .. } => {
                out.send(conn, &content);
                out.close_after_flush(conn);
            }
            _ => {}
        }
        Time::NEVER
    })
}

/// Dials once and keeps what it hears.
fn client(heard: Shared<Heard>, to: IpAddr) -> Box<dyn Role> {
    role(move |_, input, out| {
        match input {
            Input::Born => {
                out.dial(SocketAddr::new(to, PORT));
            }
            Input::Connected { .. } => heard.with(|heard| heard.connected += 1),
            Input::Bytes { bytes, .. } => heard.with(|heard| heard.bytes.extend_from_slice(bytes)),
            Input::Closed { why, .. } => heard.with(|heard| heard.ends.push(why)),
            _ => {}
        }
        Time::NEVER
    })
}

struct Pair {
    world: World,
    server: NodeId,
    client: NodeId,
    heard: Shared<Heard>,
}

fn pair(seed: u64, weather: Weather, content: Vec<u8>) -> Pair {
    let mut world = World::new(seed, weather);
    let heard = Shared::<Heard>::default();
    let server = world.add_node(ip(1), move |_| server(content.clone()));
    let hears = heard.clone();
    let client = world.add_node(ip(2), move |_| client(hears.clone(), ip(1)));
    Pair { world, server, client, heard }
}

#[test]
fn in_any_weather_a_stream_delivers_a_prefix_and_a_clean_end_means_all() {
    let content = pattern(300_000);
    let (mut whole, mut broken, mut silent) = (0, 0, 0);
    for seed in 0..200 {
        let mut pair = pair(seed, Weather::rough(seed, at(600)), content.clone());
        assert!(pair.world.run(at(900)), "seed {seed}: {:?}", pair.world.breach());
        pair.world.check_rest();
        assert_eq!(pair.world.breach(), None, "seed {seed}");
        let heard = pair.heard.get();
        assert!(content.starts_with(&heard.bytes), "seed {seed}: not what was sent");
        match heard.ends[..] {
            [Closed::ByPeer] => {
                assert_eq!(heard.bytes.len(), content.len(), "seed {seed}");
                whole += 1;
            }
            [] => {
                assert!(pair.world.weather().dark_pm > 0, "seed {seed}: no end and no black hole");
                silent += 1;
            }
            _ => broken += 1,
        }
    }
    assert!(whole > 50 && broken > 10 && silent > 0, "{whole} {broken} {silent}");
}

#[test]
fn a_seed_is_one_world_and_another_seed_another() {
    let hash = |seed| {
        let mut pair = pair(seed, Weather::rough(seed, at(60)), pattern(100_000));
        pair.world.run(at(120));
        (pair.world.trace_hash(), pair.world.trace_count())
    };
    let hashes: Vec<_> = (0..20).map(hash).collect();
    assert_eq!(hashes, (0..20).map(hash).collect::<Vec<_>>());
    let distinct: std::collections::BTreeSet<_> = hashes.iter().collect();
    assert_eq!(distinct.len(), 20);
}

#[test]
fn datagrams_are_lost_doubled_and_overtaken_as_dialled_until_the_faults_cease() {
    let weather = Weather {
        heal_at: at(1000),
        udp_loss_pm: 200,
        udp_twice_pm: 100,
        udp_late_pm: 300,
        ..Weather::calm()
    };
    let mut world = World::new(1, weather);
    let seen = Shared::<Vec<u64>>::default();
    let keeps = seen.clone();
    world.add_node(ip(1), move |_| {
        let keeps = keeps.clone();
        role(move |_, input, out| {
            match input {
                Input::Born => {
                    out.listen(SocketAddr::new(ANY, PORT), PORT, false, true);
                }
                Input::Datagram { from, to, bytes } => {
                    assert_eq!((from, to), (SocketAddr::new(ip(2), PORT), ip(1)));
                    let number = u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
                    keeps.with(|seen| seen.push(number));
                }
                _ => {}
            }
            Time::NEVER
        })
    });
    world.add_node(ip(2), |_| {
        let mut number = 0_u64;
        role(move |now, input, out| {
            match input {
                Input::Born => {
                    out.listen(SocketAddr::new(ANY, PORT), PORT, false, true);
                }
                Input::Wake => {
                    out.datagram(SocketAddr::new(ip(1), PORT), ANY, &number.to_be_bytes());
                    // Too large for the network: it never arrives.
                    out.datagram(SocketAddr::new(ip(1), PORT), ANY, &[0; 1473]);
                    number += 1;
                }
                _ => {}
            }
            now + Span::secs(1)
        })
    });
    assert!(world.run(at(2000)), "{:?}", world.breach());
    let (rough, calm): (Vec<u64>, Vec<u64>) = seen.get().iter().partition(|n| **n < 999);
    let distinct: std::collections::BTreeSet<_> = rough.iter().collect();
    assert!((700..900).contains(&distinct.len()), "{} of 999 arrived", distinct.len());
    assert!((30..160).contains(&(rough.len() - distinct.len())), "doubled");
    assert!(rough.windows(2).filter(|pair| pair[0] > pair[1]).count() > 50, "overtaken");
    assert!(calm.is_sorted() && calm.len() >= 990, "{}", calm.len());
}

#[test]
fn in_a_black_hole_nothing_arrives_and_nobody_says_so() {
    let weather = Weather { heal_at: at(3600), dark_pm: 1000, rate: 1_000, ..Weather::calm() };
    let mut pair = pair(3, weather, pattern(10_000_000));
    assert!(pair.world.run(at(24 * 3600)));
    let heard = pair.heard.get();
    assert_eq!((heard.connected, heard.ends.len()), (1, 0));
    assert!(heard.bytes.len() < 100_000, "{}", heard.bytes.len());
}

#[test]
fn a_killed_process_ends_its_streams_and_its_next_life_listens_again() {
    let mut pair = pair(1, Weather { rate: 10_000, ..Weather::calm() }, pattern(1_000_000));
    pair.world.plan(at(5), pair.server, Act::Kill);
    pair.world.plan(at(20), pair.client, Act::Kill);
    pair.world.plan(at(21), pair.client, Act::Start);
    pair.world.plan(at(30), pair.server, Act::Start);
    pair.world.plan(at(40), pair.client, Act::Kill);
    pair.world.plan(at(41), pair.client, Act::Start);
    assert!(pair.world.run(at(1000)), "{:?}", pair.world.breach());
    let heard = pair.heard.get();
    assert_eq!(heard.ends, [Closed::ByPeer, Closed::Refused, Closed::ByPeer]);
    assert!(heard.bytes.ends_with(&pattern(1_000_000)));
    assert!(heard.bytes.len() < 1_600_000, "{}", heard.bytes.len());
}

#[test]
fn a_power_cut_is_silent_and_the_machine_that_returns_knows_nothing() {
    let mut pair = pair(1, Weather { rate: 10_000, ..Weather::calm() }, pattern(1_000_000));
    pair.world.plan(at(5), pair.server, Act::PowerCut);
    assert!(pair.world.run(at(3600)));
    assert!(pair.heard.get().ends.is_empty(), "someone told of the power cut");

    let talks = Shared::<Option<Closed>>::default();
    let ends = talks.clone();
    let mut world = World::new(1, Weather::calm());
    let mute = world.add_node(ip(1), |_| {
        role(|_, input, out| {
            if let Input::Born = input {
                out.listen(SocketAddr::new(ANY, PORT), PORT, true, false);
            }
            Time::NEVER
        })
    });
    world.add_node(ip(2), move |_| {
        let (ends, mut conn) = (ends.clone(), None);
        role(move |now, input, out| {
            match input {
                Input::Born => conn = Some(out.dial(SocketAddr::new(ip(1), PORT))),
                Input::Wake => out.send(conn.expect("dialled"), b"still there?"),
                Input::Closed { why, .. } => ends.set(Some(why)),
                _ => {}
            }
            if ends.get().is_none() { now + Span::secs(10) } else { Time::NEVER }
        })
    });
    world.plan(at(25), mute, Act::PowerCut);
    assert!(world.run(at(60)));
    assert_eq!(talks.get(), None);
    world.plan(at(61), mute, Act::Start);
    assert!(world.run(at(120)), "{:?}", world.breach());
    assert_eq!(talks.get(), Some(Closed::Reset));
}

#[test]
fn a_machine_that_is_not_there_leaves_a_dial_unanswered() {
    let heard = Shared::<Heard>::default();
    let hears = heard.clone();
    let mut world = World::new(1, Weather::calm());
    world.add_node(ip(2), move |_| client(hears.clone(), ip(99)));
    assert!(world.run(at(29)));
    assert!(heard.get().ends.is_empty());
    assert!(world.run(at(31)));
    assert_eq!(heard.get().ends, [Closed::Unreachable]);
}

#[test]
fn an_idle_year_costs_nothing_and_a_role_that_spins_is_caught() {
    let mut world = World::new(1, Weather::calm());
    let idle = world.add_node(ip(1), |_| {
        role(|now, _, out| {
            if now > at(364 * 86_400) {
                out.end(Ending::Done);
            }
            now + Span::secs(86_400)
        })
    });
    assert!(world.run(at(366 * 86_400)));
    assert_eq!(world.ending(idle), Some(Ending::Done));
    assert!(world.trace_count() < 1000);

    world.add_node(ip(2), |_| role(|now, _, _| now));
    assert!(!world.run(at(367 * 86_400)), "a deadline that never moves went unnoticed");
}

#[test]
fn two_roles_that_answer_each_other_without_end_are_caught() {
    let mut world = World::new(1, Weather { latency: Span::ZERO, ..Weather::calm() });
    for n in [1, 2] {
        world.add_node(ip(n), move |_| {
            role(move |_, input, out| {
                match input {
                    Input::Born => {
                        out.listen(SocketAddr::new(ANY, PORT), PORT, false, true);
                    }
                    Input::Listening { .. } => {
                        out.datagram(SocketAddr::new(ip(3 - n), PORT), ANY, b"x")
                    }
                    Input::Datagram { from, to, .. } => out.datagram(from, to, b"you too"),
                    _ => {}
                }
                Time::NEVER
            })
        });
    }
    assert!(!world.run(at(2)), "a storm went unnoticed");
}

#[test]
fn planted_bugs_of_the_world_are_caught() {
    for planted in [Planted::ForgottenSent, Planted::ClosedTwice, Planted::ByteTwice] {
        let caught = |seed| {
            let weather = Weather { planted: Some(planted), ..Weather::fair(seed) };
            let content = pattern(300_000);
            let mut pair = pair(seed, weather, content.clone());
            pair.world.run(at(600));
            pair.world.check_rest();
            let wrong = pair.heard.get().bytes != content;
            wrong || pair.world.breach().is_some()
        };
        let found = (0..50).find(|seed| caught(*seed));
        assert!(found.is_some(), "{planted:?} went unnoticed in 50 worlds");
    }
}
