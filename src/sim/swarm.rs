//! A small swarm from a seed: a tracker, a seeder, up to five leechers, faults, kills and returns,
//! and a person who starts again what gave up. After the faults ceased every leecher must finish.

use super::adversaries::Trick;
use super::cast::{SOURCE, fetch_plan, node_plan, seed_plan, tracker_plan};
use super::durability::Durability;
use super::scene::DiskTrouble;
use super::weather::{Purpose, Weather, stream};
use super::world::{Act, Known, NodeId, World};
use crate::core::report::Ending;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::node::plan::Job;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;

pub use super::cast::Cast;
pub use super::scene::Scene;

pub(super) const NAME: &str = "big.zip";
/// From the last fault on, beside the time the bytes themselves need: back-offs, announce
/// intervals, and idle time-outs of connections that went dark.
pub const PATIENCE: Span = Span::secs(30 * 60);
/// Times the bare transfer time of all copies one after another.
const RATE_PATIENCE: u64 = 10;

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
    pub(super) durability: Option<Durability>,
}

impl Swarm {
    pub fn new(seed: u64, cast: Cast, print: bool) -> Swarm {
        let heal_at = Scene::new(seed).heal_at;
        Swarm::in_weather(seed, cast, Weather::rough(seed, heal_at), print)
    }

    pub fn in_weather(seed: u64, cast: Cast, weather: Weather, print: bool) -> Swarm {
        let mut scene = Scene::new(seed);
        scene.disks.retain(|_| cast.bears_disks);
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
        let leechers = leechers(&mut world, &scene, cast, &ip);
        let returns = vec![None; 2 + leechers.len()];
        let person = stream(seed, Purpose::Scene).fork(1);
        let thought = stream(seed, Purpose::Crash).fork(1);
        let durability = Durability::new(NAME, &content, leechers.len(), thought);
        let durability = durability.filter(|_| cast.bears_disks);
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
            durability,
        };
        swarm.plan(&mut stream(seed, Purpose::Scene).fork(2));
        for trick in swarm.scene.hostile.clone() {
            swarm.is_joined_by(trick, Time::ZERO + Span::secs(2));
        }
        if swarm.scene.flood {
            swarm.is_joined_by(Trick::AnnounceFlooder, Time::ZERO + Span::secs(1));
        }
        swarm.is_judged();
        swarm
    }

    /// Sets the judges at the doors of the honest.
    fn is_judged(&mut self) {
        if let Some(durability) = &self.durability {
            let (geometry, bytes) = (durability.geometry.clone(), self.content.clone());
            let known = Rc::new(Known { geometry, bytes });
            for node in self.honest().collect::<Vec<_>>() {
                self.world.watch_wire(node, known.clone());
            }
        }
        if !self.scene.one_machine {
            let hostile = self.hostile.iter().map(|node| self.world.ip(*node)).collect();
            self.world.must_answer(self.tracker, hostile);
        }
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
        if !calm {
            self.plan_troubles();
        }
    }

    /// What disks and the network between machines do, as the scene says.
    fn plan_troubles(&mut self) {
        for (number, trouble) in self.scene.disks.clone() {
            let node = self.leechers[number].node;
            match trouble {
                DiskTrouble::Full { since, until, free } => {
                    self.world.plan(since, node, Act::DiskFills(free));
                    self.world.plan(until, node, Act::DiskHeals);
                }
                DiskTrouble::Refuses { at, fault } | DiskTrouble::Fails { at, fault } => {
                    self.world.plan(at, node, Act::DiskFails(fault));
                }
            }
            self.world.plan(self.scene.heal_at, node, Act::DiskHeals);
        }
        let all: Vec<NodeId> = [self.tracker].into_iter().chain(self.honest()).collect();
        for parting in self.scene.partitions.clone() {
            let inside = all.iter().enumerate().filter(|(n, _)| parting.inside & 1 << n != 0);
            let inside: Vec<NodeId> = inside.map(|(_, node)| *node).collect();
            self.world.part(&inside, parting.ways, parting.since, parting.until);
        }
    }

    /// The process of a leecher, and where its file shall be.
    pub(super) fn leecher(&self, number: usize) -> (NodeId, PathBuf) {
        (self.leechers[number].node, self.leechers[number].target.clone())
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
        self.look_at_disks()?;
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
                let gave_up = [Ending::Network, Ending::NotFound, Ending::NoSource, Ending::Disk];
                // Of a disk that refuses, only one that has trouble may complain.
                let may = gave_up.len() - usize::from(!self.may_fail_at_disk(number, node)?);
                self.start_again(node, &gave_up[..may])?;
            }
        }
        Ok(())
    }

    /// L4: a full disk is waited for by one that came so far that it takes payload.
    fn may_fail_at_disk(&self, number: usize, node: NodeId) -> Result<bool, String> {
        let full_only = self.scene.disk_fills(number) && !self.scene.disk_fails(number);
        if full_only && self.world.ending(node) == Some(Ending::Disk) {
            let born = self.world.born(node);
            let life = self.world.events(node).iter().filter(|(at, _)| *at >= born);
            let far = life.filter(|(_, event)| event.kind == "first_byte").count();
            if far > 0 {
                let words = self.last_words(node);
                return Err(format!("L4: leecher {number} did not wait for room: {words}"));
            }
        }
        Ok(full_only || self.scene.disk_fails(number))
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
        self.world.look_at_all()?;
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

/// The leechers of a scene on their machines, none of them started.
fn leechers(
    world: &mut World,
    scene: &Scene,
    cast: Cast,
    ip: &dyn Fn(u8) -> IpAddr,
) -> Vec<Leecher> {
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
    leechers
}
