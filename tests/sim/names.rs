//! Names in the simulated world: a tracker that is found by a name server, and moves.

use crate::scripted::{Shared, role};
use lmk::content::metainfo::ContentHasher;
use lmk::core::io::Input;
use lmk::core::report::Ending;
use lmk::core::time::{Span, Time};
use lmk::node::Node;
use lmk::node::plan::{FetchPlan, Job, Listen, NodePlan, SeedPlan, TorrentPlan};
use lmk::sim::{Act, NodeEnv, NodeId, Weather, World, plans};
use lmk::tracker::Tracker;
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, ResourceRecord, TYPE};
use std::net::{IpAddr, SocketAddr};

const NAME_SERVER: [u8; 4] = [10, 0, 0, 53];

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::secs(seconds)
}

fn add_tracker(world: &mut World, ip: [u8; 4]) -> NodeId {
    world.add_node(ip.into(), |env| Box::new(Tracker::new(plans::tracker(env))))
}

/// A name server that knows one name, which is where `place` says; how often it was asked.
fn add_name_server(world: &mut World, place: Shared<Option<u32>>, asked: Shared<u32>) {
    world.add_node(NAME_SERVER.into(), move |_| {
        let (place, asked) = (place.clone(), asked.clone());
        role(move |_, input, out| {
            match input {
                Input::Born => {
                    out.listen(SocketAddr::from(([0, 0, 0, 0], 53)), 53, false, true);
                }
                Input::Datagram { from, to, bytes } => {
                    asked.with(|asked| *asked += 1);
                    let mut packet = Packet::parse(bytes).unwrap().into_reply();
                    packet.set_flags(PacketFlag::RESPONSE);
                    let question = packet.questions[0].clone();
                    let known = Name::new_unchecked("tracker.example");
                    assert_eq!(question.qname, known);
                    if question.qtype == QTYPE::TYPE(TYPE::A)
                        && let Some(address) = place.get()
                    {
                        let data = RData::A(A { address });
                        packet.answers.push(ResourceRecord::new(known, CLASS::IN, 60, data));
                    }
                    out.datagram(from, to, &packet.build_bytes_vec().unwrap());
                }
                _ => {}
            }
            Time::NEVER
        })
    });
}

fn plan(env: NodeEnv, job: Job) -> NodePlan {
    let nobody = SocketAddr::from(([10, 0, 0, 250], 6969));
    let listen = Some(Listen { ip: [0, 0, 0, 0].into(), ports: Listen::PORTS });
    let usual = plans::node(env, job);
    NodePlan { tracker: nobody, tracker_text: nobody.to_string(), listen, slots: 1, ..usual }
}

fn torrent() -> Option<TorrentPlan> {
    Some(plans::torrent("/home/big.torrent"))
}

/// Puts what a machine needs on its disk.
fn furnish(world: &mut World, node: NodeId, torrent: &[u8]) {
    let disk = world.disk(node);
    disk.make_dirs("/home");
    disk.make_dirs("/etc");
    disk.put("/etc/resolv.conf", b"nameserver 10.0.0.53\n");
    disk.put("/etc/hosts", b"127.0.0.1 localhost\n");
    disk.put("/home/big.torrent", torrent);
}

#[test]
fn a_tracker_that_moves_is_followed_by_its_name() {
    let bytes: Vec<u8> = (0..100_000u32).map(|i| (i >> 3) as u8).collect();
    let mut hasher = ContentHasher::new(b"big.bin", bytes.len() as u64).unwrap();
    hasher.update(&bytes);
    let urls = ["udp://tracker.example:6969/announce".to_owned()];
    let torrent_bytes = hasher.finish().unwrap().write_torrent_v1(&urls).unwrap();

    let mut world = World::new(11, Weather::calm());
    let (place, asked) = (Shared::<Option<u32>>::default(), Shared::<u32>::default());
    place.set(Some(0x0a00_0001));
    add_name_server(&mut world, place.clone(), asked.clone());
    let first = add_tracker(&mut world, [10, 0, 0, 1]);
    add_tracker(&mut world, [10, 0, 0, 9]);
    let seeder = world.add_idle(IpAddr::from([10, 0, 1, 1]), |env| {
        let seed = SeedPlan { torrent: torrent(), ..plans::seed("/home/big.bin") };
        Box::new(Node::new(plan(env, Job::Seed(seed))))
    });
    furnish(&mut world, seeder, &torrent_bytes);
    world.disk(seeder).put("/home/big.bin", &bytes);
    let leecher = world.add_idle(IpAddr::from([10, 0, 1, 2]), |env| {
        let fetch = FetchPlan { torrent: torrent(), ..plans::fetch("big.bin", "/home") };
        Box::new(Node::new(plan(env, Job::Fetch(fetch))))
    });
    furnish(&mut world, leecher, &torrent_bytes);
    world.plan(at(1), seeder, Act::Start);
    // The tracker goes, and is elsewhere from then on; the leecher comes and finds it there.
    world.plan(at(20), first, Act::Kill);
    world.plan(at(30), leecher, Act::Start);
    let announced = |world: &World, node| {
        world.events(node).iter().filter(|(_, event)| event.kind == "announced").count()
    };
    world.run_until(at(19), |_| false);
    assert!(announced(&world, seeder) > 0, "{:?}", world.events(seeder));
    place.set(Some(0x0a00_0009));
    let done = world.run_until(at(600), |world| world.ending(leecher).is_some());
    assert!(done, "{:#?}\n{:#?}", world.events(seeder), world.events(leecher));
    assert_eq!(world.ending(leecher), Some(Ending::Done));
    assert_eq!(world.disk(leecher).get("/home/big.bin").unwrap(), bytes);
    assert_eq!(world.breach(), None);
    assert!((4..60).contains(&asked.get()), "asked {} times", asked.get());
}
