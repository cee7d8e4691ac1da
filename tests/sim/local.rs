//! Peers that find each other on the local network of the simulated world (BEP 14): no tracker is
//! named and none is there.

use lmk::content::grid::Form;
use lmk::content::magnet::Magnet;
use lmk::content::metainfo::outside::Outside;
use lmk::content::metainfo::{Content, Maker, Wanted};
use lmk::core::id::InfoHash;
use lmk::core::io::{Effect, Input, Outbox, Role};
use lmk::core::report::{Ending, Snapshot};
use lmk::core::rng::Rng;
use lmk::core::time::{Span, Time};
use lmk::node::Node;
use lmk::node::plan::{
    FetchPlan, Job, Listen, MagnetPlan, NodePlan, SeedPlan, TorrentFrom, TorrentPlan,
};
use lmk::sim::{Act, NodeEnv, NodeId, Weather, World, plans};
use lmk::swarm::Terms;
use lmk::wire::lsd::{GROUPS, Search};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const SIZE: usize = 40 * 16 * 1024 + 5;
const SEEDER: [u8; 4] = [10, 0, 0, 2];
const LEECHER: [u8; 4] = [10, 0, 0, 3];

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::secs(seconds)
}

fn bytes() -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    Rng::new(14).fill(&mut bytes);
    bytes
}

fn torrent(form: Form, private: bool) -> Vec<u8> {
    let piece_length = Some(16 * 1024);
    let outside = Outside::default();
    let wanted = Wanted { form, piece_length, private, source: None, outside };
    let mut maker = Maker::file(b"big.zip", SIZE as u64, wanted).unwrap();
    maker.update(&bytes());
    maker.finish().unwrap()
}

/// What a node said to groups: when, and what it takes part in.
type Said = Rc<RefCell<Vec<(Time, BTreeSet<InfoHash>)>>>;

/// A node whose words to groups are read on their way out.
struct Overheard {
    node: Node,
    said: Said,
}

impl Role for Overheard {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let before = out.effects.len();
        self.node.on(now, input, out);
        for effect in &out.effects[before..] {
            if let Effect::Datagram { to, start, len, .. } = effect
                && to.ip().is_multicast()
            {
                assert_eq!(*to, GROUPS[0]);
                let search = Search::decode(out.bytes(*start, *len)).expect("it is one");
                assert_eq!(search.port, 7000);
                let topics = search.info_hashes.into_iter().collect();
                self.said.borrow_mut().push((now, topics));
            }
        }
    }
    fn deadline(&self) -> Time {
        self.node.deadline()
    }
    fn snapshot(&self, now: Time) -> Snapshot {
        self.node.snapshot(now)
    }
    fn audit(&self) -> Result<(), String> {
        self.node.audit()
    }
}

fn node(env: NodeEnv, job: Job, local: bool, said: Said) -> Box<dyn Role> {
    // At the tracker of the plan nobody is.
    let listen = Some(Listen { ip: [0, 0, 0, 0].into(), ports: (7000, 7000) });
    let terms = Terms { local, ..Terms::default() };
    let node = Node::new(NodePlan { listen, terms, ..plans::node(env, job) });
    Box::new(Overheard { node, said })
}

/// A seeder and a leecher that know of nobody.
struct Pair {
    world: World,
    seeder: NodeId,
    leecher: NodeId,
    /// What each of them said.
    said: [Said; 2],
    hashes: BTreeSet<InfoHash>,
}

/// How the leecher knows what it wants.
#[derive(Clone, Copy)]
enum By {
    Torrent,
    /// Of a hybrid the v1 hash alone.
    Magnet,
}

fn plan_of(by: By, content: &Content) -> TorrentPlan {
    match by {
        By::Torrent => plans::torrent("/home/big.torrent"),
        By::Magnet => {
            let v1 = content.v1.as_ref().expect("of v1").info_hash;
            let link = Magnet::parse(&format!("magnet:?xt=urn:btih:{v1}")).unwrap();
            plans::unlisted(TorrentFrom::Magnet(Box::new(MagnetPlan { link, peers: vec![] })))
        }
    }
}

fn pair(seed: u64, weather: Weather, torrent: &[u8], by: By, local: [bool; 2]) -> Pair {
    let content = Content::from_torrent(torrent).unwrap();
    let hashes = [
        content.v1.as_ref().map(|v1| v1.info_hash),
        content.v2.as_ref().map(|v2| v2.info_hash.truncated()),
    ];
    let hashes = hashes.into_iter().flatten().collect();
    let mut world = World::new(seed, weather);
    let said = [Said::default(), Said::default()];
    let own = said[0].clone();
    let seeder = world.add_node(SEEDER.into(), move |env| {
        let torrent = Some(plans::torrent("/home/big.torrent"));
        let job = Job::Seed(SeedPlan { torrent, ..plans::seed("/home/big.zip") });
        node(env, job, local[0], own.clone())
    });
    let (wanted, own) = (plan_of(by, &content), said[1].clone());
    let leecher = world.add_idle(LEECHER.into(), move |env| {
        let torrent = Some(wanted.clone());
        let job = Job::Fetch(FetchPlan { torrent, ..plans::fetch("", "/home") });
        node(env, job, local[1], own.clone())
    });
    for node in [seeder, leecher] {
        world.disk(node).make_dirs("/home");
        world.disk(node).put("/home/big.torrent", torrent);
    }
    world.disk(seeder).put("/home/big.zip", &bytes());
    world.plan(at(5), leecher, Act::Start);
    Pair { world, seeder, leecher, said, hashes }
}

impl Pair {
    /// Runs until the leecher has ended. -> how.
    fn ends(&mut self, limit: Time) -> Option<Ending> {
        let leecher = self.leecher;
        self.world.run_until(limit, |world| world.ending(leecher).is_some());
        assert_eq!(self.world.breach(), None);
        self.world.ending(leecher)
    }

    fn said_by(&self, who: usize) -> Vec<(Time, BTreeSet<InfoHash>)> {
        self.said[who].borrow().clone()
    }

    fn is_whole(&mut self) -> bool {
        let leecher = self.leecher;
        self.world.disk(leecher).get("/home/big.zip") == Some(bytes())
    }
}

#[test]
fn a_torrent_without_a_tracker_is_fetched_from_the_local_network() {
    for (form, hashes) in [(Form::V1, 1), (Form::V2, 1), (Form::Hybrid, 2)] {
        let mut pair = pair(1, Weather::calm(), &torrent(form, false), By::Torrent, [true, true]);
        assert_eq!(pair.hashes.len(), hashes);
        assert_eq!(pair.ends(at(60)), Some(Ending::Done), "{form:?}");
        assert!(pair.is_whole(), "{form:?}");
        for who in [0, 1] {
            let said = pair.said_by(who);
            assert_eq!(said.len(), 1, "{form:?}: once in five minutes");
            assert_eq!(said[0].1, pair.hashes, "{form:?}: under every hash");
        }
    }
}

#[test]
fn a_link_without_a_tracker_is_fetched_from_the_local_network() {
    for form in [Form::V1, Form::Hybrid] {
        let mut pair = pair(2, Weather::calm(), &torrent(form, false), By::Magnet, [true, true]);
        assert_eq!(pair.ends(at(120)), Some(Ending::Done), "{form:?}");
        assert!(pair.is_whole(), "{form:?}");
    }
}

#[test]
fn in_any_weather_they_meet_in_the_end_and_nothing_is_said_too_often() {
    for seed in 0..12 {
        let by = if seed % 2 == 0 { By::Torrent } else { By::Magnet };
        let torrent = torrent(Form::Hybrid, false);
        let mut pair = pair(seed, Weather::rough(seed, at(200)), &torrent, by, [true, true]);
        let ending = pair.ends(at(1800));
        // A link leads to the local network alone, and not for long: lost words may end it.
        match by {
            By::Torrent => assert_eq!(ending, Some(Ending::Done), "seed {seed}"),
            By::Magnet => {
                assert!(matches!(ending, Some(Ending::Done | Ending::NoSource)), "seed {seed}")
            }
        }
        for who in [0, 1] {
            let mut last: BTreeMap<InfoHash, Time> = BTreeMap::new();
            let mut before: Option<Time> = None;
            for (now, topics) in pair.said_by(who) {
                assert!(topics.is_subset(&pair.hashes), "seed {seed}");
                assert!(before.is_none_or(|before| now.since(before) >= Span::secs(60)));
                before = Some(now);
                for topic in topics {
                    let early = last.insert(topic, now);
                    let apart = early.map_or(Span::secs(300), |early| now.since(early));
                    assert!(apart >= Span::secs(300), "seed {seed}: {apart} apart");
                }
            }
        }
    }
}

#[test]
fn a_private_torrent_is_not_said_and_not_heard_of() {
    for form in [Form::V1, Form::Hybrid] {
        let mut pair = pair(3, Weather::calm(), &torrent(form, true), By::Torrent, [true, true]);
        assert_eq!(pair.ends(at(1000)), None, "{form:?}: nobody is met");
        assert_eq!(pair.said_by(0), [], "{form:?}");
        assert_eq!(pair.said_by(1), [], "{form:?}");
    }
}

#[test]
fn who_does_not_want_it_says_and_hears_nothing() {
    for local in [[true, false], [false, true], [false, false]] {
        let torrent = torrent(Form::V1, false);
        let mut pair = pair(4, Weather::calm(), &torrent, By::Torrent, local);
        assert_eq!(pair.ends(at(1000)), None, "{local:?}: nobody is met");
        for who in [0, 1] {
            assert_eq!(pair.said_by(who).is_empty(), !local[who], "{local:?}");
        }
    }
}

#[test]
fn a_link_that_nobody_answers_ends_soon_and_at_once_without_the_local_network() {
    let torrent = torrent(Form::V1, false);
    for (local, least_s, most_s) in [(true, 15, 17), (false, 0, 1)] {
        let mut pair = pair(5, Weather::calm(), &torrent, By::Magnet, [false, local]);
        assert_eq!(pair.ends(at(60)), Some(Ending::NoSource));
        let took = pair.world.now().since(at(5)).as_secs();
        assert!((least_s..=most_s).contains(&took), "{took} s");
        let (leecher, seeder) = (pair.leecher, pair.seeder);
        assert!(pair.world.running(seeder));
        let lines: Vec<&str> =
            pair.world.events(leecher).iter().map(|(_, event)| event.line.as_str()).collect();
        let last = lines.iter().find(|line| line.contains("no DHT")).expect("it says so");
        assert_eq!(last.contains("nobody on the local network"), local, "{last}");
    }
}
