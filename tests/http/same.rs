//! UDP and HTTP are two doors to one swarm: announces made at random, each through either door,
//! leave the same swarm and get the same numbers.

use super::http_asked::{get, target};
use super::world::{Peer, World};
use lmk::core::bencode::{Limits, Mode, parse};
use lmk::core::id::InfoHash;
use lmk::core::time::Span;
use lmk::wire::udp::Event;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::SocketAddr;

#[derive(Clone, Debug)]
struct Step {
    peer: u8,
    hash: u8,
    left: u64,
    event: Event,
    stock: bool,
    want: i32,
    over_http: bool,
    pass_s: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let event =
        prop::sample::select(vec![Event::None, Event::Started, Event::Completed, Event::Stopped]);
    let want = prop::sample::select(vec![-1, 0, 3, 50, 1000]);
    (0..9u8, 0..2u8, 0..3u64, event, any::<bool>(), want, any::<bool>(), 0..20u64).prop_map(
        |(peer, hash, left, event, stock, want, over_http, pass_s)| Step {
            peer,
            hash,
            left,
            event,
            stock,
            want,
            over_http,
            pass_s,
        },
    )
}

/// Interval, complete, incomplete, peers.
type Told = (u64, u64, u64, BTreeSet<SocketAddr>);

fn over_udp(world: &mut World, peer: &Peer) -> Told {
    let answer = world.announce(peer);
    let peers = answer.peers.into_iter().collect();
    (answer.interval_s.into(), answer.seeders.into(), answer.leechers.into(), peers)
}

fn over_http(world: &mut World, peer: &Peer) -> Told {
    let event = match peer.event {
        Event::Started => "&event=started",
        Event::Completed => "&event=completed",
        Event::Stopped => "&event=stopped",
        Event::None | Event::Paused => "",
    };
    let more = format!("{event}&numwant={}&compact=1", peer.num_want);
    let body = get(world, peer.from, &target(peer, &more)).body;
    let doc = parse(&body, Mode::Strict, Limits::MESSAGE).unwrap();
    let number = |key: &[u8]| doc.root().get(key).and_then(|value| value.uint()).unwrap();
    let packed = doc.root().get(b"peers").and_then(|value| value.bytes()).unwrap();
    let peers = packed.as_chunks::<6>().0.iter().map(|[a, b, c, d, high, low]| {
        SocketAddr::from(([*a, *b, *c, *d], u16::from_be_bytes([*high, *low])))
    });
    (number(b"interval"), number(b"complete"), number(b"incomplete"), peers.collect())
}

proptest! {
    #[test]
    fn either_door_leads_to_the_same_swarm(steps in prop::collection::vec(step(), 1..60)) {
        let (mut mixed, mut plain) = (World::open(), World::open());
        for step in steps {
            let from = format!("10.0.0.{}:{}", step.peer / 2 + 1, 7000 + u16::from(step.peer));
            let hash = InfoHash([step.hash; 20]);
            let mut peer = Peer::new(&from, step.left).event(step.event).hash(hash);
            peer.num_want = step.want;
            if step.stock {
                peer = peer.stock();
            }
            let one = match step.over_http {
                true => over_http(&mut mixed, &peer),
                false => over_udp(&mut mixed, &peer),
            };
            prop_assert_eq!(one, over_udp(&mut plain, &peer));
            let (a, b) = (mixed.row(), plain.row());
            prop_assert_eq!((a.seeders, a.leechers), (b.seeders, b.leechers));
            mixed.pass(Span::secs(step.pass_s));
            plain.pass(Span::secs(step.pass_s));
        }
        let told = |world: &World| -> Vec<String> {
            world.events.iter().map(|event| event.line.clone()).collect()
        };
        prop_assert_eq!(told(&mixed), told(&plain));
    }
}
