//! The stage: a tracker, sources that all have the file, one leecher whose requests are counted.

use crate::sources::{How, Source};
use lmk::core::chunk::Chunk;
use lmk::core::id::ConnId;
use lmk::core::io::{Effect, Input, Outbox, Role};
use lmk::core::report::{Ending, Fact, Level, Snapshot};
use lmk::core::rng::Rng;
use lmk::core::time::{Span, Time};
use lmk::node::Node;
use lmk::node::plan::{FetchPlan, Job};
use lmk::sim::adversaries::{Adversary, Trick};
use lmk::sim::partition::Ways;
use lmk::sim::{Act, NodeId, Weather, World, plans};
use lmk::tracker::Tracker;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;

pub const BLOCK: u64 = 16 * 1024;
/// 32 pieces of 16 blocks, and one more short of a block.
pub const SIZE: u64 = (8 << 20) + (256 << 10);
pub const NAME: &str = "big.zip";
pub const SOURCE: &str = "/home/big.zip";
/// The leecher starts when every source is known to the tracker.
const BEGIN: Span = Span::secs(10);

#[derive(Debug)]
pub struct Outcome {
    pub ending: Option<Ending>,
    pub same: bool,
    pub took: Span,
    pub downloaded: u64,
    /// Addresses of the sources, without port.
    pub addrs: Vec<String>,
    /// Those that were struck for bad data.
    pub struck: Vec<String>,
    /// Bad blocks each source put on the wire.
    pub bad_sent: Vec<u64>,
    pub hash_requests: u64,
    /// Sources dialled or conversed with at a time, at most.
    pub dialled_most: usize,
    /// The last error line.
    pub last_line: Option<String>,
    /// Why conversations ended by a fault of the other side did.
    pub gone: Vec<String>,
    asked: Vec<(ConnId, u32, u32, u32)>,
}

impl Outcome {
    pub fn requested(&self) -> u64 {
        self.asked.iter().map(|(.., len)| u64::from(*len)).sum()
    }

    pub fn requested_by_source(&self) -> Vec<u64> {
        let mut by: BTreeMap<ConnId, u64> = BTreeMap::new();
        for (conn, .., len) in &self.asked {
            *by.entry(*conn).or_default() += u64::from(*len);
        }
        by.into_values().collect()
    }

    /// Of how many sources one block was asked at the most.
    pub fn asked_most(&self) -> usize {
        let mut of: BTreeMap<(u32, u32), BTreeSet<ConnId>> = BTreeMap::new();
        for (conn, piece, begin, _) in &self.asked {
            of.entry((*piece, *begin)).or_default().insert(*conn);
        }
        of.values().map(BTreeSet::len).max().unwrap_or(0)
    }

    pub fn blocks_asked_twice(&self) -> usize {
        let mut times: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        self.asked.iter().for_each(|(_, piece, begin, _)| {
            *times.entry((*piece, *begin)).or_default() += 1;
        });
        times.values().filter(|times| **times > 1).count()
    }
}

#[derive(Default)]
struct Counts {
    asked: Vec<(ConnId, u32, u32, u32)>,
    hash_requests: u64,
    downloaded: u64,
    /// Connections to sources that were dialled and have not ended, and the most there were.
    dialled: BTreeSet<ConnId>,
    dialled_most: usize,
}

/// A leecher whose requests are read on their way out.
struct Counted {
    node: Node,
    counts: Rc<RefCell<Counts>>,
}

impl Role for Counted {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let before = out.effects.len();
        if let Input::Closed { conn, .. } = &input {
            self.counts.borrow_mut().dialled.remove(conn);
        }
        self.node.on(now, input, out);
        let mut counts = self.counts.borrow_mut();
        for effect in &out.effects[before..] {
            match effect {
                Effect::Dial { conn, to, .. } if to.ip() != ip(1) => {
                    counts.dialled.insert(*conn);
                    counts.dialled_most = counts.dialled_most.max(counts.dialled.len());
                }
                Effect::Close { conn, .. } => drop(counts.dialled.remove(conn)),
                _ => {}
            }
        }
        for effect in &out.effects[before..] {
            let Effect::Send { conn, chunk } = effect else { continue };
            let bytes = match chunk {
                Chunk::Head(head) => head.bytes(),
                Chunk::Arena { start, len } => out.bytes(*start, *len),
                Chunk::File(_) => continue,
            };
            if bytes.starts_with(&[0, 0, 0, 13, 6]) {
                for request in bytes.chunks(17) {
                    let word =
                        |at: usize| u32::from_be_bytes(request[at..at + 4].try_into().unwrap());
                    counts.asked.push((*conn, word(5), word(9), word(13)));
                }
            }
            counts.hash_requests += u64::from(bytes.starts_with(&[0, 0, 0, 49, 21]));
        }
        let picture = self.node.snapshot(now).transfer;
        counts.downloaded = picture.map_or(counts.downloaded, |transfer| transfer.downloaded);
    }

    fn deadline(&self) -> Time {
        self.node.deadline()
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        self.node.snapshot(now)
    }
}

pub struct Stage {
    pub world: World,
    leecher: NodeId,
    sources: Vec<NodeId>,
    addrs: Vec<String>,
    bad: Vec<Rc<Cell<u64>>>,
    counts: Rc<RefCell<Counts>>,
    content: Vec<u8>,
}

pub fn ip(n: u8) -> IpAddr {
    [10, 0, 0, n].into()
}

impl Stage {
    pub fn new(seed: u64, weather: Weather, sources: &[How]) -> Stage {
        Stage::taking_from(10, seed, weather, sources)
    }

    /// The leecher takes from so many sources at a time.
    pub fn taking_from(most: u32, seed: u64, weather: Weather, sources: &[How]) -> Stage {
        let mut content = vec![0; SIZE as usize];
        Rng::new(seed).fork(7).fill(&mut content);
        let mut world = World::new(seed, weather);
        world.add_node(ip(1), |env| Box::new(Tracker::new(plans::tracker(env))));
        let (mut addrs, mut bad, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
        for (number, how) in (0u8..).zip(sources) {
            let (how, count) = (*how, Rc::new(Cell::new(0)));
            bad.push(count.clone());
            addrs.push(ip(10 + number).to_string());
            let source = world.add_node(ip(10 + number), move |env| {
                let node = Node::new(plans::node(env, Job::Seed(plans::seed(SOURCE))));
                Box::new(Source::new(node, how, count.clone()))
            });
            nodes.push(source);
            world.disk(source).make_dirs("/home");
            world.disk(source).put(SOURCE, &content);
        }
        let counts = Rc::new(RefCell::new(Counts::default()));
        let counted = counts.clone();
        let leecher = world.add_idle(ip(200), move |env| {
            let fetch = FetchPlan { sources: most, ..plans::fetch(NAME, "/home") };
            let node = Node::new(plans::node(env, Job::Fetch(fetch)));
            Box::new(Counted { node, counts: counted.clone() })
        });
        world.disk(leecher).make_dirs("/home");
        world.plan(Time::ZERO + BEGIN, leecher, Act::Start);
        Stage { world, leecher, sources: nodes, addrs, bad, counts, content }
    }

    /// The process of a source is killed so long after the leecher began.
    pub fn kill_source(&mut self, number: usize, after: Span) {
        self.world.plan(Time::ZERO + BEGIN + after, self.sources[number], Act::Kill);
    }

    /// Nobody reaches a source until so long after the leecher began.
    pub fn hide_source(&mut self, number: usize, after: Span) {
        let since = Time(BEGIN.0 - Span::secs(1).0);
        self.world.part(&[self.sources[number]], Ways::Both, since, Time::ZERO + BEGIN + after);
    }

    /// What the leecher's part file holds reads back wrong.
    pub fn disk_rots(&mut self) {
        self.world.disk(self.leecher).rots(".lmk-part");
    }

    /// The name of a file of the leecher ends so.
    pub fn leaves_file(&mut self, name_ends: &str) -> bool {
        let disk = self.world.disk(self.leecher);
        disk.paths().any(|path| path.to_string_lossy().ends_with(name_ends))
    }

    /// A hostile peer joins, and the leecher begins twenty seconds later, when nobody reaches the
    /// source of that number for a minute. -> what the hostile one is by then, and its address.
    pub fn is_forestalled_by(&mut self, trick: Trick, source: usize) -> (&'static str, String) {
        let (tracker, content) = (SocketAddr::new(ip(1), 6969), self.content.clone());
        let hostile = self.world.add_node(ip(100), move |env| {
            let made = Adversary::new(trick, tracker, (NAME, content.clone()), env.seed);
            Box::new(made.expect("a content"))
        });
        let (begin, met) = (Time::ZERO + BEGIN, Time::ZERO + BEGIN + Span::secs(20));
        self.world.plan(begin, self.leecher, Act::Kill);
        self.world.plan(met, self.leecher, Act::Start);
        let looks = Time(met.0 - Span::secs(1).0);
        self.world.part(&[self.sources[source]], Ways::Both, looks, met + Span::secs(60));
        assert!(self.world.run(looks));
        let picture = self.world.snapshot(hostile).expect("it runs");
        (picture.phase, ip(100).to_string())
    }

    /// Plays until the leecher ended, for `most` at the most.
    pub fn play(&mut self, most: Span) -> Outcome {
        let leecher = self.leecher;
        let limit = Time::ZERO + BEGIN + most;
        self.world.run_until(limit, |world| world.ending(leecher).is_some());
        assert_eq!(self.world.breach(), None);
        let struck = self.world.events(leecher).iter().filter(|(_, event)| {
            event.kind == "corrupt" && event.facts.iter().any(|(key, _)| *key == "peer")
        });
        let struck = struck.filter_map(|(_, event)| match &event.facts[0].1 {
            Fact::Text(peer) => peer.parse::<SocketAddr>().ok().map(|peer| peer.ip().to_string()),
            _ => None,
        });
        let struck = struck.collect();
        let faults = self
            .world
            .events(leecher)
            .iter()
            .filter(|(_, event)| event.kind == "peer_gone" && event.level == Level::Warning);
        let gone = faults.flat_map(|(_, event)| &event.facts);
        let gone = gone.filter_map(|(key, fact)| match fact {
            Fact::Text(why) if *key == "why" => Some(why.clone()),
            _ => None,
        });
        let gone = gone.collect();
        let counts = self.counts.take();
        let errors = self.world.events(leecher).iter().filter(|(_, e)| e.level == Level::Error);
        let last_line = errors.last().map(|(_, event)| event.line.clone());
        let copy = self.world.disk(leecher).get(PathBuf::from("/home").join(NAME));
        Outcome {
            ending: self.world.ending(leecher),
            same: copy.as_deref() == Some(&self.content[..]),
            took: self.world.now().since(Time::ZERO + BEGIN),
            downloaded: counts.downloaded,
            addrs: self.addrs.clone(),
            struck,
            bad_sent: self.bad.iter().map(|bad| bad.get()).collect(),
            hash_requests: counts.hash_requests,
            dialled_most: counts.dialled_most,
            last_line,
            gone,
            asked: counts.asked,
        }
    }
}
