//! A small swarm from a seed: a tracker, a seeder, up to five leechers, faults, kills and returns,
//! and a person who starts again what gave up. After the faults ceased every leecher must finish.

use super::adversaries::Trick;
use super::weather::{Purpose, Weather, stream};
use super::world::{Act, NodeEnv, NodeId, World};
use crate::core::id::PeerId;
use crate::core::io::Role;
use crate::core::limits::SOURCES_DEFAULT;
use crate::core::report::Ending;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::node::Node;
use crate::node::plan::{FetchPlan, Job, Listen, NodePlan, SeedPlan, Want};
use crate::tracker::Tracker;
use crate::tracker::plan::TrackerPlan;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub(super) const NAME: &str = "big.zip";
const SOURCE: &str = "/home/seeder/big.zip";
const TRACKER_PORT: u16 = 6969;
/// From the last fault on, beside the time the bytes themselves need: back-offs, announce
/// intervals, and idle time-outs of connections that went dark.
pub const PATIENCE: Span = Span::secs(30 * 60);
/// Times the bare transfer time of all copies one after another.
const RATE_PATIENCE: u64 = 10;

/// Who plays: makes the two roles. Another cast puts a planted bug on the stage.
#[derive(Clone, Copy)]
pub struct Cast {
    pub tracker: fn(TrackerPlan) -> Box<dyn Role>,
    pub node: fn(NodePlan) -> Box<dyn Role>,
}

impl Cast {
    /// The roles of this program.
    pub fn real() -> Cast {
        Cast {
            tracker: |plan| Box::new(Tracker::new(plan)),
            node: |plan| Box::new(Node::new(plan)),
        }
    }
}

/// What a seed says about the swarm itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scene {
    /// Bytes of the content.
    pub size: usize,
    pub leechers: usize,
    pub slots: u32,
    /// Everyone on one machine, over loopback, as the demo does.
    pub one_machine: bool,
    pub keep_seeding: bool,
    /// Keys and remembered hashes are kept on disk.
    pub remembers: bool,
    pub heal_at: Time,
    /// Hostile peers that join, and stay when the faults have ceased.
    pub hostile: Vec<Trick>,
}

impl Scene {
    pub fn new(seed: u64) -> Scene {
        let mut rng = stream(seed, Purpose::Scene);
        let mut hostility = stream(seed, Purpose::Scene).fork(3);
        let (size, leechers) = (size(&mut rng), rng.between(1, 5) as usize);
        // Up to half of the peers.
        let count = hostility.below(leechers as u64 + 2);
        let trick = |_| Trick::ALL[hostility.below(Trick::ALL.len() as u64) as usize];
        Scene {
            size,
            leechers,
            slots: rng.between(1, 8) as u32,
            one_machine: rng.chance(250),
            keep_seeding: rng.chance(500),
            remembers: rng.chance(500),
            heal_at: Time::ZERO + Span::secs(rng.between(30, 300)),
            hostile: (0..count).map(trick).collect(),
        }
    }
}

/// A size at a boundary, or any up to 2 MiB.
fn size(rng: &mut Rng) -> usize {
    const EDGES: [usize; 6] = [16 << 10, 32 << 10, 64 << 10, 256 << 10, 1 << 20, 2 << 20];
    match rng.below(10) {
        0 => rng.below(2) as usize,
        1..6 => {
            let edge = EDGES[rng.below(EDGES.len() as u64) as usize];
            let times = rng.between(1, ((2 << 20) / edge) as u64) as usize;
            edge * times + rng.below(3) as usize - 1
        }
        _ => rng.below(2 << 20) as usize,
    }
}

struct Leecher {
    node: NodeId,
    target: PathBuf,
    finished: bool,
}

/// The swarm on its stage.
pub struct Swarm {
    pub world: World,
    pub scene: Scene,
    pub tracker: NodeId,
    pub seeder: NodeId,
    leechers: Vec<Leecher>,
    pub(super) content: Vec<u8>,
    pub(super) hostile: Vec<NodeId>,
    /// Events of each honest node that were looked at.
    pub(super) heard: Vec<usize>,
    /// The person who starts again what gave up.
    person: Rng,
    /// When each node is started again, if it is to be.
    returns: Vec<Option<Time>>,
    looked: u64,
}

impl Swarm {
    pub fn new(seed: u64, cast: Cast, print: bool) -> Swarm {
        let heal_at = Scene::new(seed).heal_at;
        Swarm::in_weather(seed, cast, Weather::rough(seed, heal_at), print)
    }

    pub fn in_weather(seed: u64, cast: Cast, weather: Weather, print: bool) -> Swarm {
        let scene = Scene::new(seed);
        let mut world = World::traced(seed, weather, print);
        let mut content = vec![0; scene.size];
        stream(seed, Purpose::Content).fill(&mut content);
        let ip = |n: u8| IpAddr::from([10, 0, 0, if scene.one_machine { 1 } else { n }]);
        let tracker = {
            let scene = scene.clone();
            world.add_idle(ip(1), move |env| (cast.tracker)(tracker_plan(&scene, env)))
        };
        let seeder = {
            let scene = scene.clone();
            world.add_idle(ip(2), move |env| {
                (cast.node)(node_plan(&scene, env, "seeder", Job::Seed(seed_plan(&scene))))
            })
        };
        world.disk(tracker).make_dirs("/home/tracker");
        world.disk(seeder).make_dirs("/home/seeder");
        world.disk(seeder).put(SOURCE, &content);
        world.set_slots(seeder, scene.slots);
        let mut leechers = Vec::new();
        for number in 0..scene.leechers {
            let home = format!("/home/leecher{number}");
            let (scene, folder) = (scene.clone(), PathBuf::from(&home));
            let node = world.add_idle(ip(10 + number as u8), move |env| {
                let job = Job::Fetch(fetch_plan(&scene, folder.clone()));
                (cast.node)(node_plan(&scene, env, &format!("leecher{number}"), job))
            });
            world.disk(node).make_dirs(&home);
            let target = PathBuf::from(home).join(NAME);
            leechers.push(Leecher { node, target, finished: false });
        }
        let returns = vec![None; 2 + leechers.len()];
        let person = stream(seed, Purpose::Scene).fork(1);
        let mut swarm = Swarm {
            world,
            scene,
            tracker,
            seeder,
            leechers,
            content,
            hostile: Vec::new(),
            heard: Vec::new(),
            person,
            returns,
            looked: 0,
        };
        swarm.plan(&mut stream(seed, Purpose::Scene).fork(2));
        for trick in swarm.scene.hostile.clone() {
            swarm.is_joined_by(trick, Time::ZERO + Span::secs(2));
        }
        swarm
    }

    /// Starts, kills, power cuts and returns.
    fn plan(&mut self, rng: &mut Rng) {
        let chaos = self.scene.heal_at.since(Time::ZERO);
        let calm = !self.world.weather().heal_at.gt(&Time::ZERO);
        let within = |rng: &mut Rng, span: Span| Time::ZERO + Span(rng.below(span.0.max(1)));
        let nodes: Vec<NodeId> = [self.tracker].into_iter().chain(self.honest()).collect();
        for node in nodes {
            // Most begin together, some much later.
            let spread = if rng.chance(300) { chaos } else { Span::secs(3) };
            let start = within(rng, spread);
            self.world.plan(start, node, Act::Start);
            let (falls, cut) = (rng.chance(500), rng.chance(300));
            let (fall, down) = (within(rng, chaos), Span(rng.below(Span::secs(60).0)));
            if calm || !falls || fall <= start {
                continue;
            }
            let act = if cut && !self.scene.one_machine { Act::PowerCut } else { Act::Kill };
            self.world.plan(fall, node, act);
            self.world.plan((fall + down).min(self.scene.heal_at), node, Act::Start);
        }
    }

    /// The peers that mean well.
    pub fn honest(&self) -> impl Iterator<Item = NodeId> {
        [self.seeder].into_iter().chain(self.leechers.iter().map(|leecher| leecher.node))
    }

    /// When every leecher must have finished at the latest.
    pub fn limit(&self) -> Time {
        let bytes =
            (self.scene.size as u64).saturating_mul(self.leechers.len() as u64 * RATE_PATIENCE);
        let transfer = Span::ms(bytes.saturating_mul(1000) / self.world.weather().rate.max(1));
        self.scene.heal_at + PATIENCE + transfer
    }

    /// Plays to the end. An error says what is wrong with whom.
    pub fn play(&mut self) -> Result<(), String> {
        let limit = self.limit();
        while self.leechers.iter().any(|leecher| !leecher.finished) {
            if !self.world.step(limit) {
                return Err(self.unfinished());
            }
            if let Some(what) = self.world.breach() {
                return Err(what.into());
            }
            self.look()?;
        }
        self.audit()
    }

    fn unfinished(&self) -> String {
        let late: Vec<String> = self
            .leechers
            .iter()
            .enumerate()
            .filter(|(_, leecher)| !leecher.finished)
            .map(|(number, leecher)| {
                let picture = self.world.snapshot(leecher.node);
                format!(
                    "leecher {number}: {picture:?}, ended {:?}",
                    self.world.ending(leecher.node)
                )
            })
            .collect();
        format!("not finished {PATIENCE} after the last fault: {}", late.join("; "))
    }

    /// What the person sees after each event.
    fn look(&mut self) -> Result<(), String> {
        for node in [self.tracker, self.seeder] {
            self.start_again(node, &[Ending::Network])?;
        }
        if !self.hostile.is_empty() {
            self.honest_are_not_struck()?;
        }
        self.looked += 1;
        for number in 0..self.leechers.len() {
            let (node, ended) = {
                let leecher = &self.leechers[number];
                (leecher.node, self.world.ending(leecher.node))
            };
            // A look at the disk is dear; the target appears once.
            if ended == Some(Ending::Done) || self.looked.is_multiple_of(64) {
                self.look_at_target(number)?;
            }
            if !self.leechers[number].finished {
                let gave_up = [Ending::Network, Ending::NotFound, Ending::NoSource];
                self.start_again(node, &gave_up)?;
            }
        }
        Ok(())
    }

    fn look_at_target(&mut self, number: usize) -> Result<(), String> {
        let node = self.leechers[number].node;
        let (ended, keeps) = (self.world.ending(node), self.scene.keep_seeding);
        let target = self.leechers[number].target.clone();
        if self.leechers[number].finished {
            return Ok(());
        }
        match self.world.disk(node).get(&target) {
            Some(bytes) if bytes != self.content => {
                Err(format!("leecher {number}: {} differs from the source", target.display()))
            }
            Some(_) => {
                let picture = self.world.snapshot(node).and_then(|picture| picture.transfer);
                let all = picture.is_some_and(|transfer| transfer.done == transfer.size);
                self.leechers[number].finished = ended == Some(Ending::Done) || (keeps && all);
                Ok(())
            }
            None if ended == Some(Ending::Done) => {
                Err(format!("leecher {number}: ended well without {}", target.display()))
            }
            None => Ok(()),
        }
    }

    /// Starts a node again some seconds after it gave up for one of `reasons`.
    fn start_again(&mut self, node: NodeId, reasons: &[Ending]) -> Result<(), String> {
        let now = self.world.now();
        match (self.world.ending(node), self.returns[node.0]) {
            (Some(how), _) if !reasons.contains(&how) => {
                Err(format!("node {} ended with {how:?}: {}", node.0, self.last_words(node)))
            }
            (Some(_), at) if at.is_none_or(|at| at < now) => {
                let at = now + Span::ms(self.person.between(1_000, 8_000));
                self.returns[node.0] = Some(at);
                self.world.plan(at, node, Act::Start);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn last_words(&self, node: NodeId) -> String {
        let said = self.world.events(node).iter().rev().take(3);
        said.map(|(_, event)| event.line.as_str()).collect::<Vec<_>>().join(" | ")
    }

    /// At the very end, once more, every copy and the source.
    fn audit(&mut self) -> Result<(), String> {
        if self.world.disk(self.seeder).get(SOURCE).as_ref() != Some(&self.content) {
            return Err("the seeder's own file was changed".into());
        }
        for (number, leecher) in self.leechers.iter().enumerate() {
            if self.world.disk(leecher.node).get(&leecher.target).as_ref() != Some(&self.content) {
                return Err(format!("leecher {number}: the finished file changed"));
            }
        }
        Ok(())
    }
}

fn tracker_plan(scene: &Scene, env: NodeEnv) -> TrackerPlan {
    let ip = if scene.one_machine { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    TrackerPlan {
        bind: SocketAddr::new(ip.into(), TRACKER_PORT),
        addresses: vec![env.ip],
        wall_start_s: env.wall_start_s,
        seed: env.seed,
        secret: secret(env.seed),
        key_file: scene.remembers.then(|| "/home/tracker/.state/key".into()),
        keep_names_s: 24 * 3600,
        trace: false,
    }
}

fn node_plan(scene: &Scene, env: NodeEnv, home: &str, job: Job) -> NodePlan {
    let tracker_ip = if scene.one_machine { [127, 0, 0, 1] } else { [10, 0, 0, 1] };
    let tracker = SocketAddr::from((tracker_ip, TRACKER_PORT));
    let mut peer_id = *b"-LM0100-............";
    peer_id[8..].copy_from_slice(&secret(env.seed ^ 1)[..12]);
    let listen_on_all = Listen { ip: Ipv4Addr::UNSPECIFIED.into(), ports: Listen::PORTS };
    NodePlan {
        job,
        tracker,
        tracker_text: tracker.to_string(),
        listen: (env.seed.is_multiple_of(2) && !scene.one_machine).then_some(listen_on_all),
        addresses: vec![env.ip],
        peer_id: PeerId(peer_id),
        seed: env.seed,
        secret: secret(env.seed),
        key_file: scene.remembers.then(|| format!("/home/{home}/.state/key").into()),
        slots: scene.slots,
    }
}

fn seed_plan(scene: &Scene) -> SeedPlan {
    SeedPlan {
        path: SOURCE.into(),
        file_name: NAME.into(),
        publish_as: None,
        torrent_out: None,
        hash_cache: scene.remembers.then(|| "/home/seeder/.cache".into()),
    }
}

fn fetch_plan(scene: &Scene, directory: PathBuf) -> FetchPlan {
    FetchPlan {
        want: Want { name: NAME.into(), pin: None },
        directory,
        out: None,
        out_must_be_directory: false,
        overwrite: false,
        keep_seeding: scene.keep_seeding,
        wait: None,
        timeout: None,
        sources: SOURCES_DEFAULT,
    }
}

fn secret(seed: u64) -> [u8; 32] {
    let mut secret = [0; 32];
    Rng::new(seed).fork(32).fill(&mut secret);
    secret
}
