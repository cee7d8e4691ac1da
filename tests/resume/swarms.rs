//! Folders in small swarms from seeds: several leechers, some that go on sharing, some that choose
//! other files after each kill or power cut; then whatever is there is looked at once more.

use super::stage::{SOURCE, TORRENT, fetch, torrent};
use crate::seeds;
use lmk::content::chosen::Chosen;
use lmk::content::grid::Form;
use lmk::content::metainfo::outside::Outside;
use lmk::content::metainfo::{Content, KeyOrder, Maker, Wanted};
use lmk::core::report::Ending;
use lmk::core::rng::Rng;
use lmk::core::time::{Span, Time};
use lmk::node::Node;
use lmk::node::plan::{Job, SeedPlan};
use lmk::sim::weather::log_uniform;
use lmk::sim::world::{Act, NodeId, World};
use lmk::sim::{Weather, plans};
use lmk::tracker::Tracker;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const TARGET: &str = "/l/big.zip";
const FIXED_SEEDS: u64 = 48;
const FRESH_SEEDS: usize = 24;
/// From the last fault on, beside the time that the bytes themselves need.
const PATIENCE: Span = Span::secs(30 * 60);

/// What a seed says about a swarm.
struct Scene {
    files: BTreeMap<String, Vec<u8>>,
    form: Form,
    piece_length: u32,
    heal_at: Time,
    leechers: Vec<Part>,
}

/// What one leecher does.
#[derive(Clone)]
struct Part {
    /// What is wanted in each of its lives, and in all that follow.
    choices: Vec<Option<String>>,
    keeps: bool,
    start: Time,
    /// When it falls, how, and for how long.
    falls: Vec<(Time, Act, Span)>,
}

fn files(rng: &mut Rng) -> BTreeMap<String, Vec<u8>> {
    const EDGES: [u64; 6] = [0, 1, 16_383, 16_384, 16_385, 65_536];
    let folders = ["", "a/", "a/b/", "z/"];
    let mut files = BTreeMap::new();
    for n in 0..rng.between(2, 12) {
        let len = match rng.below(3) {
            0 => EDGES[rng.below(6) as usize],
            1 => rng.below(20_000),
            _ => log_uniform(rng, 1, 200_000),
        };
        let mut bytes = vec![0; len as usize];
        if rng.chance(900) {
            rng.fill(&mut bytes);
        }
        // Holes, but no piece that two files share is one: of zeros alone nothing is fetched that
        // could prove them (docs/files.md).
        bytes.first_mut().into_iter().for_each(|byte| *byte |= 1);
        bytes.last_mut().into_iter().for_each(|byte| *byte |= 1);
        files.insert(format!("{}f{n}", folders[rng.below(4) as usize]), bytes);
    }
    files
}

/// Some of the files by their numbers, or all of them.
fn choice(rng: &mut Rng, files: usize) -> Option<String> {
    let some: Vec<String> =
        (1..=files).filter(|_| rng.chance(400)).map(|n| n.to_string()).collect();
    (!some.is_empty() && rng.chance(750)).then(|| some.join(","))
}

impl Scene {
    fn new(seed: u64) -> Scene {
        let mut rng = Rng::new(seed).fork(0xf01d);
        let files = files(&mut rng);
        let heal_at = Time::ZERO + Span::secs(rng.between(20, 120));
        let leechers = (0..rng.between(1, 4)).map(|_| {
            let lives = rng.between(1, 4);
            let chaos = heal_at.since(Time::ZERO);
            let start = Time::ZERO + Span(rng.below(Span::secs(5).0));
            let mut falls = Vec::new();
            for _ in 0..if rng.chance(700) { lives } else { 0 } {
                let at = Time(log_uniform(&mut rng, Span::ms(500).0, chaos.0));
                let act = if rng.chance(500) { Act::Kill } else { Act::PowerCut };
                falls.push((at.max(start), act, Span(rng.below(Span::secs(10).0))));
            }
            let choices = (0..lives).map(|_| choice(&mut rng, files.len())).collect();
            Part { choices, keeps: rng.chance(300), start, falls }
        });
        let leechers = leechers.collect();
        let form = [Form::V1, Form::V1, Form::V2, Form::Hybrid][rng.below(4) as usize];
        Scene { form, piece_length: 16_384 << rng.below(3), heal_at, leechers, files }
    }

    fn torrent(&self) -> Vec<u8> {
        let tiers = vec![vec!["udp://10.0.0.1:6969/announce".to_owned()]];
        let wanted = Wanted {
            form: self.form,
            piece_length: Some(self.piece_length),
            private: false,
            source: None,
            outside: Outside { tiers, ..Outside::default() },
        };
        let sizes = self.files.iter();
        let sizes = sizes.map(|(path, bytes)| (path.clone().into_bytes(), bytes.len() as u64));
        let mut maker = Maker::folder(b"big.zip", sizes.collect(), wanted).unwrap();
        while let Some((at, from)) = maker.wanted() {
            let path = String::from_utf8(maker.files().entries()[at].path.to_vec()).unwrap();
            let end = (from + maker.left()) as usize;
            maker.update(&self.files[&path][from as usize..end]);
        }
        maker.finish().unwrap()
    }
}

struct Leecher {
    node: NodeId,
    /// The life that it is in, from 1.
    life: Rc<Cell<u32>>,
    part: Part,
    /// The files that it made, once it was done.
    made: Option<BTreeSet<String>>,
    /// When it is started again.
    returns: Option<Time>,
}

struct Swarm {
    world: World,
    scene: Scene,
    content: Content,
    seeder: NodeId,
    leechers: Vec<Leecher>,
    person: Rng,
}

impl Swarm {
    fn new(seed: u64) -> Swarm {
        let scene = Scene::new(seed);
        let mut world = World::new(seed, Weather::rough(seed, scene.heal_at));
        let ip = |n: usize| IpAddr::from([10, 0, 0, n as u8]);
        let tracker = world.add_idle(ip(1), |env| Box::new(Tracker::new(plans::tracker(env))));
        let seeder = world.add_idle(ip(2), |env| {
            let seed = SeedPlan { torrent: Some(torrent()), ..plans::seed(SOURCE) };
            Box::new(Node::new(plans::node(env, Job::Seed(seed))))
        });
        for (path, bytes) in &scene.files {
            let path = PathBuf::from(SOURCE).join(path);
            world.disk(seeder).make_dirs(path.parent().unwrap());
            world.disk(seeder).put(path, bytes);
        }
        let bytes = scene.torrent();
        let mut leechers = Vec::new();
        for (n, part) in scene.leechers.iter().enumerate() {
            let (own, life) = (part.clone(), Rc::new(Cell::new(0)));
            let lives = life.clone();
            let node = world.add_idle(ip(10 + n), move |env| {
                lives.set(env.life);
                let files = own.choice(env.life).map(|text| Chosen::read(&text).unwrap());
                fetch(env, own.keeps, Some(torrent()), files)
            });
            world.disk(node).make_dirs("/l");
            world.plan(part.start, node, Act::Start);
            for (at, act, down) in &part.falls {
                world.plan(*at, node, *act);
                world.plan((*at + *down).min(scene.heal_at), node, Act::Start);
            }
            leechers.push(Leecher { node, life, part: part.clone(), made: None, returns: None });
        }
        for node in leechers.iter().map(|leecher| leecher.node).chain([seeder]) {
            world.disk(node).make_dirs("/t");
            world.disk(node).put(TORRENT, &bytes);
        }
        for node in [tracker, seeder] {
            world.plan(Time::ZERO, node, Act::Start);
        }
        let content = Content::read(&bytes, KeyOrder::Sorted).unwrap();
        let person = Rng::new(seed).fork(0xbe);
        Swarm { world, scene, content, seeder, leechers, person }
    }

    fn limit(&self) -> Time {
        let bytes: usize = self.scene.files.values().map(Vec::len).sum();
        let bytes = (bytes * 10 * self.leechers.len()) as u64;
        let transfer = Span::ms(bytes * 1000 / self.world.weather().rate.max(1));
        self.world.now().max(self.scene.heal_at) + PATIENCE + transfer
    }

    fn play(&mut self) -> Result<(), String> {
        let limit = self.limit();
        while self.leechers.iter().any(|leecher| leecher.made.is_none()) {
            if !self.world.step(limit) {
                return Err("not finished in time".into());
            }
            if let Some(what) = self.world.breach() {
                return Err(what.into());
            }
            for n in 0..self.leechers.len() {
                self.look(n).map_err(|what| format!("leecher {n}: {what}"))?;
            }
        }
        for n in 0..self.leechers.len() {
            self.look_again(n).map_err(|what| format!("leecher {n}, once more: {what}"))?;
        }
        for (path, bytes) in &self.scene.files {
            let path = Path::new(SOURCE).join(path);
            if self.world.disk(self.seeder).get(path).as_ref() != Some(bytes) {
                return Err("the source was changed".into());
            }
        }
        Ok(())
    }

    /// Paths of what is wanted in that life.
    fn chosen(&self, n: usize, life: u32) -> BTreeSet<String> {
        let files = &self.content.files;
        let path = |at: usize| {
            let (_, entry) = files.plain().nth(at).unwrap();
            String::from_utf8(entry.path.to_vec()).unwrap()
        };
        match self.leechers[n].part.choice(life) {
            Some(text) => Chosen::read(&text).unwrap().of(files).into_iter().map(path).collect(),
            None => self.scene.files.keys().cloned().collect(),
        }
    }

    fn life(&self, n: usize) -> u32 {
        self.leechers[n].life.get()
    }

    /// Whether it has all that it wants, and goes on or ended well.
    fn is_done(&self, n: usize) -> bool {
        let leecher = &self.leechers[n];
        let born = self.world.born(leecher.node);
        let life = self.world.events(leecher.node).iter().rev().take_while(|(at, _)| *at >= born);
        match self.world.ending(leecher.node) {
            Some(ending) => ending == Ending::Done,
            None => leecher.part.keeps && life.into_iter().any(|(_, e)| e.kind == "complete"),
        }
    }

    fn look(&mut self, n: usize) -> Result<(), String> {
        let (node, now) = (self.leechers[n].node, self.world.now());
        if self.leechers[n].made.is_some() {
            return Ok(());
        }
        let ending = self.world.ending(node);
        if self.is_done(n) || ending == Some(Ending::Refused) {
            // An earlier life may have fallen when all of its files had their name.
            let lives: Vec<_> = (1..=self.life(n)).map(|life| self.chosen(n, life)).collect();
            let made = lives.into_iter().rev().find(|made| self.stands(n, made).is_ok());
            let wanted = self.chosen(n, self.life(n));
            let fits = made.as_ref().is_some_and(|made| wanted.is_subset(made));
            if made.is_none() || fits != self.is_done(n) {
                let what = self.stands(n, &wanted);
                return Err(format!("{ending:?} with {made:?}: {what:?}: {}", self.words(n)));
            }
            self.leechers[n].made = made;
            return Ok(());
        }
        let Some(ending) = ending else { return Ok(()) };
        if ![Ending::Network, Ending::NotFound, Ending::NoSource].contains(&ending) {
            return Err(format!("ended with {ending:?}: {}", self.words(n)));
        }
        if self.leechers[n].returns.is_none_or(|at| at < now) {
            let at = now + Span::ms(self.person.between(1_000, 8_000));
            self.leechers[n].returns = Some(at);
            self.world.plan(at, node, Act::Start);
        }
        Ok(())
    }

    fn words(&self, n: usize) -> String {
        let said = self.world.events(self.leechers[n].node).iter().rev().take(4);
        said.map(|(_, event)| event.line.as_str()).collect::<Vec<_>>().join(" | ")
    }

    /// Exactly those files stand there, byte for byte.
    fn stands(&mut self, n: usize, made: &BTreeSet<String>) -> Result<(), String> {
        let node = self.leechers[n].node;
        for (path, bytes) in &self.scene.files {
            let found = self.world.disk(node).get(Path::new(TARGET).join(path));
            match (found, made.contains(path)) {
                (None, false) => {}
                (Some(found), true) if found == *bytes => {}
                (Some(_), true) => return Err(format!("{path} has other bytes")),
                (None, true) => return Err(format!("{path} is not there")),
                (Some(_), false) => return Err(format!("{path} was not wanted")),
            }
        }
        Ok(())
    }

    /// Runs it to an end, or until it goes on sharing, however often it gives up meanwhile.
    fn ends(&mut self, n: usize) -> Result<Option<Ending>, String> {
        let (node, limit) = (self.leechers[n].node, self.limit());
        loop {
            if !self.world.step(limit) {
                return Err(format!("no end: {}", self.words(n)));
            }
            if let Some(what) = self.world.breach() {
                return Err(what.into());
            }
            let gave_up = [Ending::Network, Ending::NotFound, Ending::NoSource];
            match self.world.ending(node) {
                _ if self.is_done(n) => return Ok(None),
                Some(ending) if !gave_up.contains(&ending) => return Ok(Some(ending)),
                Some(_) if self.leechers[n].returns.is_none_or(|at| at < self.world.now()) => {
                    let at = self.world.now() + Span::secs(3);
                    self.leechers[n].returns = Some(at);
                    self.world.plan(at, node, Act::Start);
                }
                _ => {}
            }
        }
    }

    /// What is complete is durable; another run proves it; and a wrong byte is found.
    fn look_again(&mut self, n: usize) -> Result<(), String> {
        let node = self.leechers[n].node;
        let made = self.leechers[n].made.clone().unwrap_or_default();
        let begin = |swarm: &mut Swarm, act: Act| {
            let now = swarm.world.now();
            swarm.world.plan(now, node, act);
            swarm.world.plan(now + Span::ms(1), node, Act::Start);
            swarm.world.run(now + Span::ms(1));
        };
        let act = if self.person.chance(500) { Act::PowerCut } else { Act::Kill };
        begin(self, act);
        self.stands(n, &made)?;
        let ending = self.ends(n)?;
        let wanted = self.chosen(n, self.life(n));
        let fits = wanted.is_subset(&made);
        if ending.is_none() != fits || ending.is_some_and(|ending| ending != Ending::Refused) {
            return Err(format!("{ending:?}, of {made:?} wants {wanted:?}: {}", self.words(n)));
        }
        self.stands(n, &made)?;
        let full: Vec<&String> =
            wanted.iter().filter(|path| !self.scene.files[*path].is_empty()).collect();
        if !fits || full.is_empty() {
            return Ok(());
        }
        let path = full[self.person.below(full.len() as u64) as usize].clone();
        let at = self.person.below(self.scene.files[&path].len() as u64) as usize;
        let wrong = Path::new(TARGET).join(&path);
        self.world.disk(node).edit(&wrong, |bytes| bytes[at] ^= 1);
        begin(self, Act::Kill);
        let ending = self.ends(n)?;
        // It may have been another choice that ended so.
        let wanted = self.chosen(n, self.life(n));
        match ending {
            Some(Ending::Refused) => Ok(()),
            None if wanted.is_subset(&made) && !wanted.contains(&path) => Ok(()),
            other => Err(format!(
                "byte {at} of {path} is wrong, and it ends {other:?}: {}",
                self.words(n)
            )),
        }
    }
}

impl Part {
    /// What is wanted in that life, from 1.
    fn choice(&self, life: u32) -> Option<String> {
        let last = self.choices.len() - 1;
        self.choices[last.min(life.saturating_sub(1) as usize)].clone()
    }
}

fn play_all(seeds: impl IntoIterator<Item = u64>) {
    let fails = |seed: u64| {
        let played = std::panic::catch_unwind(|| Swarm::new(seed).play());
        let played = played.unwrap_or_else(|_| Err("a panic".into()));
        played.err().map(|what| format!("seed {seed:#018x}: {what}"))
    };
    let failures: Vec<String> = seeds.into_iter().filter_map(fails).collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn folders_in_swarms_of_fixed_seeds_come_whole() {
    play_all(0..FIXED_SEEDS);
}

#[test]
fn folders_in_swarms_of_fresh_seeds_come_whole() {
    play_all(seeds::fresh(FRESH_SEEDS));
}

/// `LMK_SIM_SEEDS=1000 cargo test --test resume -- --ignored many_fresh`; `LMK_SIM_SEEDS=0x...`
/// plays one seed.
#[test]
#[ignore = "as long as you want"]
fn folders_in_swarms_of_many_fresh_seeds_come_whole() {
    let text = std::env::var("LMK_SIM_SEEDS").unwrap_or_else(|_| "1000".into());
    match text.strip_prefix("0x") {
        Some(seed) => play_all([u64::from_str_radix(seed, 16).unwrap()]),
        None => play_all(seeds::fresh(text.parse().unwrap())),
    }
}
