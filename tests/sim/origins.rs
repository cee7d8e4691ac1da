//! Files of the web in the simulated world: a seeder fetches one from its origin, and the swarm
//! takes over.

use crate::scripted::{Shared, role};
use lmk::core::id::ConnId;
use lmk::core::io::{Input, Outbox, Role};
use lmk::core::report::Ending;
use lmk::core::time::{Span, Time};
use lmk::node::Node;
use lmk::node::plan::{FetchPlan, Job, OriginPlan, SeedPlan};
use lmk::sim::{Act, NodeId, Weather, World, plans};
use lmk::tracker::Tracker;
use lmk::wire::tracker_url;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

const ORIGIN: [u8; 4] = [10, 0, 0, 80];
const TARGET: &str = "/home/big.bin";
/// How much a server sends at a time, and how often.
const DRIP_BYTES: usize = 64 * 1024;
const DRIP: Span = Span::ms(100);

fn bytes(len: u32) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A server of the web that has one file and gives parts of it, at its own pace; how many bytes
/// left.
fn server(file: Rc<Vec<u8>>, sent: Shared<u64>) -> Box<dyn Role> {
    let mut requests: BTreeMap<ConnId, Vec<u8>> = BTreeMap::new();
    let mut bodies: BTreeMap<ConnId, (usize, usize)> = BTreeMap::new();
    let mut next = Time::NEVER;
    role(move |now, input, out| {
        match input {
            Input::Born => {
                out.listen(SocketAddr::from(([0, 0, 0, 0], 80)), 80, true, false);
            }
            Input::Bytes { conn, bytes } => {
                let request = requests.entry(conn).or_default();
                request.extend_from_slice(bytes);
                if request.ends_with(b"\r\n\r\n") {
                    let request = String::from_utf8(std::mem::take(request)).unwrap();
                    bodies.insert(conn, head(&request, conn, &file, out));
                    next = next.min(now);
                }
            }
            Input::Closed { conn, .. } => {
                requests.remove(&conn);
                bodies.remove(&conn);
            }
            _ => {}
        }
        if now >= next {
            for (conn, (first, end)) in &mut bodies {
                let upto = (*first + DRIP_BYTES).min(*end);
                out.send(*conn, &file[*first..upto]);
                sent.with(|sent| *sent += (upto - *first) as u64);
                *first = upto;
            }
            bodies.retain(|_, (first, end)| first < end);
            next = if bodies.is_empty() { Time::NEVER } else { now + DRIP };
        }
        next
    })
}

/// Answers with a head; where the body begins and ends.
fn head(request: &str, conn: ConnId, file: &[u8], out: &mut Outbox) -> (usize, usize) {
    assert!(request.starts_with("GET /files/big.bin HTTP/1.1\r\nHost: 10.0.0.80\r\n"), "{request}");
    let whole = file.len();
    let (status, first, end) = match request.split_once("\r\nRange: bytes=") {
        Some((_, range)) => {
            let (first, last) = range.lines().next().unwrap().split_once('-').unwrap();
            let first: usize = first.parse().unwrap();
            let last = last.parse().unwrap_or(whole - 1);
            (format!("206 Part\r\nContent-Range: bytes {first}-{last}/{whole}"), first, last + 1)
        }
        None => ("200 OK\r\nAccept-Ranges: bytes".to_owned(), 0, whole),
    };
    let len = end - first;
    let head = format!("HTTP/1.1 {status}\r\nETag: \"one\"\r\nContent-Length: {len}\r\n\r\n");
    out.send(conn, head.as_bytes());
    (first, end)
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::secs(seconds)
}

struct Web {
    world: World,
    file: Rc<Vec<u8>>,
    sent: Shared<u64>,
    origin: NodeId,
    seeder: NodeId,
    leechers: Vec<NodeId>,
}

impl Web {
    fn new(seed: u64, len: u32, leechers: u8, timeout: Span) -> Web {
        let mut world = World::new(seed, Weather::calm());
        let tracker = IpAddr::from(plans::TRACKER.0);
        world.add_node(tracker, |env| Box::new(Tracker::new(plans::tracker(env))));
        let (file, sent) = (Rc::new(bytes(len)), Shared::<u64>::default());
        let shelf = (file.clone(), sent.clone());
        let origin =
            world.add_idle(ORIGIN.into(), move |_| server(shelf.0.clone(), shelf.1.clone()));
        let seeder = world.add_idle(IpAddr::from([10, 0, 1, 1]), move |env| {
            let text = "http://10.0.0.80/files/big.bin".to_owned();
            let origin = OriginPlan {
                url: tracker_url::read(&text).unwrap(),
                text,
                name: b"big.bin".to_vec(),
                directory: "/home".into(),
                out: None,
                out_must_be_directory: false,
                overwrite: false,
                timeout,
            };
            let seed = SeedPlan { origin: Some(origin), ..plans::seed(TARGET) };
            Box::new(Node::new(plans::node(env, Job::Seed(seed))))
        });
        world.disk(seeder).make_dirs("/home");
        let leechers = (0..leechers).map(|n| add_leecher(&mut world, n)).collect();
        world.plan(at(1), seeder, Act::Start);
        Web { world, file, sent, origin, seeder, leechers }
    }

    fn said(&self, kind: &str) -> bool {
        self.world.events(self.seeder).iter().any(|(_, event)| event.kind == kind)
    }

    fn all_have_it(&mut self, limit: Time) {
        for node in self.leechers.clone() {
            let done = self.world.run_until(limit, |world| world.ending(node).is_some());
            assert!(done, "{:#?}", self.world.events(node));
            assert_eq!(self.world.ending(node), Some(Ending::Done));
            assert!(self.world.disk(node).get(TARGET).as_ref() == Some(&*self.file));
        }
        assert_eq!(self.world.breach(), None);
    }
}

fn add_leecher(world: &mut World, n: u8) -> NodeId {
    let node = world.add_idle(IpAddr::from([10, 0, 2, n]), |env| {
        let wait = Some(Span::secs(600));
        let fetch = FetchPlan { wait, ..plans::fetch("big.bin", "/home") };
        Box::new(Node::new(plans::node(env, Job::Fetch(fetch))))
    });
    world.disk(node).make_dirs("/home");
    node
}

#[test]
fn the_origin_of_32_machines_sends_the_file_about_once() {
    let mut web = Web::new(5, 1_000_000, 32, Span::secs(600));
    web.world.plan(at(0), web.origin, Act::Start);
    // Some wait for the name before anybody has it.
    for (n, node) in web.leechers.clone().into_iter().enumerate() {
        web.world.plan(Time::ZERO + Span::ms(500 + 311 * n as u64), node, Act::Start);
    }
    web.all_have_it(at(600));
    let sent = web.sent.get();
    assert!((1_000_000..=1_050_000).contains(&sent), "{sent} bytes left the origin");
}

#[test]
fn when_the_seeder_is_gone_the_origin_gives_what_is_missing() {
    let mut web = Web::new(6, 700_000, 1, Span::secs(600));
    web.world.plan(at(0), web.origin, Act::Start);
    assert!(web.world.run_until(at(60), |world| {
        world.events(web.seeder).iter().any(|(_, event)| event.kind == "seeding")
    }));
    let now = web.world.now();
    web.world.plan(now + Span::secs(1), web.seeder, Act::PowerCut);
    web.world.plan(now + Span::secs(2), web.leechers[0], Act::Start);
    web.all_have_it(now + Span::secs(120));
    let sent = web.sent.get();
    assert!((1_400_000..1_540_000).contains(&sent), "{sent} bytes left the origin");
}

#[test]
fn whatever_ends_the_fetching_it_goes_on_from_what_is_durable() {
    // 12 MiB at this pace take 20 s.
    const LEN: u32 = 12 << 20;
    for (nth, act) in [Act::Kill, Act::PowerCut].into_iter().enumerate() {
        for ms in [1_100, 4_000, 8_300, 13_700] {
            let mut web = Web::new(70 + nth as u64, LEN, 1, Span::secs(600));
            web.world.plan(at(0), web.origin, Act::Start);
            web.world.plan(at(1) + Span::ms(ms), web.seeder, act);
            web.world.plan(at(60), web.seeder, Act::Start);
            web.world.plan(at(61), web.leechers[0], Act::Start);
            web.all_have_it(at(300));
            let again = web.sent.get() - u64::from(LEN);
            // 4 MiB, or 5 s, may have been on their way to the disk, and what the network held. A
            // server does not hear of a power cut, and sends on.
            let fits = act == Act::PowerCut || again < 6 << 20;
            assert!(fits, "{act:?} after {ms} ms: {again} bytes were sent twice");
            // After a power cut the name of the part file may be lost with what was not synced.
            let resumed = web.said("resumed");
            assert!(act == Act::PowerCut || resumed == (ms > 5_000), "{act:?} after {ms} ms");
            let left: Vec<String> = {
                let disk = web.world.disk(web.seeder);
                disk.paths().map(|path| path.display().to_string()).collect()
            };
            assert!(!left.iter().any(|path| path.contains(".lmk-")), "{left:?}");
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_waited_for_as_long_as_was_said() {
    for (timeout, ending) in [(Span::secs(60), Some(Ending::NoSource)), (Span::secs(300), None)] {
        let mut web = Web::new(9, 300_000, 1, timeout);
        web.world.plan(at(150), web.origin, Act::Start);
        web.world.plan(at(200), web.leechers[0], Act::Start);
        web.world.run_until(at(199), |_| false);
        assert_eq!(web.world.ending(web.seeder), ending, "{:#?}", web.world.events(web.seeder));
        let tries = web.world.events(web.seeder).iter();
        let tries = tries.filter(|(_, event)| event.kind == "origin_failed").count();
        assert!((3..12).contains(&tries), "{tries} tries");
        if ending.is_none() {
            web.all_have_it(at(300));
        } else {
            let paths: Vec<_> = web.world.disk(web.seeder).paths().map(|p| p.to_owned()).collect();
            assert!(!paths.iter().any(|path| path.ends_with("big.bin.lmk-origin")), "{paths:?}");
        }
    }
}
