//! A stage in the simulated world: a tracker, a seeder and one leecher at a slow line, so that a
//! small download takes several syncs.

use lmk::content::chosen::Chosen;
use lmk::content::geometry::{Geometry, piece_length_for};
use lmk::content::metainfo::ContentHasher;
use lmk::core::io::{FileKind, Meta, Role};
use lmk::core::report::{Ending, Fact};
use lmk::core::rng::Rng;
use lmk::core::time::{Span, Time};
use lmk::leecher::journal::{self, Kept};
use lmk::node::Node;
use lmk::node::plan::{FetchPlan, Job, SeedPlan, TorrentPlan};
use lmk::sim::world::{Act, NodeEnv, NodeId, World};
use lmk::sim::{Weather, plans};
use lmk::tracker::Tracker;
use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;

pub const TARGET: &str = "/l/big.zip";
pub const PART: &str = "/l/big.zip.lmk-part";
pub const RESUME: &str = "/l/big.zip.lmk-resume";
pub const TORRENT: &str = "/t/big.torrent";
pub const SOURCE: &str = "/s/big.zip";
/// A content comes within some tens of seconds; the rest is patience.
const PATIENCE: Span = Span::secs(3600);

pub struct Stage {
    pub world: World,
    pub leecher: NodeId,
    /// Another one, of the same machine and folder.
    pub second: NodeId,
    /// And one on a machine of its own.
    pub far: NodeId,
    pub seeder: NodeId,
    pub content: Vec<u8>,
    pub geometry: Geometry,
}

pub type Leech = fn(NodeEnv) -> Box<dyn Role>;

fn leech(env: NodeEnv) -> Box<dyn Role> {
    leecher(env, false)
}

fn keep(env: NodeEnv) -> Box<dyn Role> {
    leecher(env, true)
}

fn leecher(env: NodeEnv, keep_seeding: bool) -> Box<dyn Role> {
    fetch(env, keep_seeding, None, None)
}

pub fn torrent() -> TorrentPlan {
    plans::torrent(TORRENT)
}

/// A leecher that wants `files` of the torrent; all of them without.
pub fn chooser(env: NodeEnv, files: Option<&str>) -> Box<dyn Role> {
    fetch(env, false, Some(torrent()), files.map(|files| Chosen::read(files).unwrap()))
}

pub fn fetch(
    env: NodeEnv,
    keep_seeding: bool,
    torrent: Option<TorrentPlan>,
    files: Option<Chosen>,
) -> Box<dyn Role> {
    let usual = plans::fetch("big.zip", "/l");
    let fetch = FetchPlan { files, torrent, keep_seeding, ..usual };
    Box::new(Node::new(plans::node(env, Job::Fetch(fetch))))
}

impl Stage {
    /// `survive_pm` of 1000 sectors and directory entries survive a power cut unsynced.
    pub fn new(seed: u64, size: usize, survive_pm: u64) -> Stage {
        Stage::with(seed, size, (15, survive_pm), leech)
    }

    /// One that takes a minute.
    pub fn slow(seed: u64, size: usize) -> Stage {
        Stage::with(seed, size, (60, 0), leech)
    }

    /// One whose leecher goes on sharing.
    pub fn keeping(seed: u64, size: usize) -> Stage {
        Stage::with(seed, size, (15, 0), keep)
    }

    /// One whose source is a folder of those files, each of so many bytes of the content.
    pub fn folder(seed: u64, files: &[(&str, usize)], survive_pm: u64) -> Stage {
        let size = files.iter().map(|(_, len)| len).sum();
        Stage::made(seed, size, (15, survive_pm), leech, (files, None))
    }

    /// As [`Stage::folder`], by a .torrent.
    pub fn torrent(seed: u64, files: &[(&str, usize)], bytes: &[u8], leech: Leech) -> Stage {
        let size = files.iter().map(|(_, len)| len).sum();
        Stage::made(seed, size, (15, 1000), leech, (files, Some(bytes)))
    }

    /// The process dies, and one of another command line takes its place.
    pub fn killed_and_followed_by(&mut self, leech: Leech) {
        self.befalls(Act::Kill);
        self.leecher = self.world.add_idle(IpAddr::from([10, 0, 0, 3]), leech);
        self.befalls(Act::Start);
    }

    fn with(seed: u64, size: usize, how: (u64, u64), leech: Leech) -> Stage {
        Stage::made(seed, size, how, leech, (&[], None))
    }

    fn made(
        seed: u64,
        size: usize,
        (secs, survive_pm): (u64, u64),
        leech: Leech,
        (files, torrent_bytes): (&[(&str, usize)], Option<&[u8]>),
    ) -> Stage {
        let weather = Weather {
            rate: size as u64 / secs,
            window_bytes: size as u64 / 9,
            survive_pm,
            ..Weather::calm()
        };
        let mut world = World::new(seed, weather);
        let mut content = vec![0; size];
        Rng::new(7).fill(&mut content);
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        world.add_node(ip(1), |env| Box::new(Tracker::new(plans::tracker(env))));
        let by_torrent = torrent_bytes.is_some();
        let seeder = world.add_node(ip(2), move |env| {
            let seed = SeedPlan { torrent: by_torrent.then(torrent), ..plans::seed(SOURCE) };
            Box::new(Node::new(plans::node(env, Job::Seed(seed))))
        });
        world.disk(seeder).make_dirs("/s");
        let mut rest = content.as_slice();
        for (path, len) in files {
            let (bytes, behind) = rest.split_at(*len);
            let path = PathBuf::from(SOURCE).join(path);
            world.disk(seeder).make_dirs(path.parent().unwrap());
            world.disk(seeder).put(path, bytes);
            rest = behind;
        }
        if files.is_empty() {
            world.disk(seeder).put(SOURCE, &content);
        }
        let leecher = world.add_idle(ip(3), leech);
        let second = world.add_idle(ip(3), leech);
        let far = world.add_idle(ip(4), leech);
        world.disk(leecher).make_dirs("/l");
        world.disk(far).make_dirs("/l");
        for node in [seeder, leecher] {
            world.disk(node).make_dirs("/t");
            torrent_bytes.inspect(|bytes| world.disk(node).put(TORRENT, bytes));
        }
        world.plan(Time::ZERO + Span::secs(2), leecher, Act::Start);
        let geometry = Geometry::new(size as u64, piece_length_for(size as u64)).unwrap();
        let mut stage = Stage { world, leecher, second, far, seeder, content, geometry };
        assert!(stage.runs_until(|world| world.running(leecher)));
        stage
    }

    pub fn runs_until(&mut self, mut enough: impl FnMut(&mut World) -> bool) -> bool {
        let limit = self.world.now() + PATIENCE;
        let leecher = self.leecher;
        let reached = self.world.run_until(limit, |world| {
            enough(world) || (!world.running(leecher) && world.ending(leecher).is_some())
        });
        assert_eq!(self.world.breach(), None);
        reached && enough(&mut self.world)
    }

    pub fn runs_for(&mut self, span: Span) {
        let limit = self.world.now() + span;
        self.world.run(limit);
        assert_eq!(self.world.breach(), None);
    }

    /// Runs until so many percent are there.
    pub fn runs_to_percent(&mut self, percent: u64) {
        let leecher = self.leecher;
        let far = self.runs_until(|world| {
            let transfer = world.snapshot(leecher).and_then(|picture| picture.transfer);
            transfer
                .is_some_and(|t| t.size > 0 && t.downloaded > 0 && t.done * 100 >= t.size * percent)
        });
        assert!(far, "it never came to {percent} %");
    }

    /// Runs until so many percent are there, or it ends.
    pub fn runs_to_percent_or_end(&mut self, percent: u64) {
        let leecher = self.leecher;
        self.runs_until(|world| {
            let transfer = world.snapshot(leecher).and_then(|picture| picture.transfer);
            transfer.is_some_and(|t| t.size > 0 && t.done * 100 >= t.size * percent)
        });
    }

    /// Whole pieces that stand in the part file.
    pub fn stored(&self) -> u32 {
        let transfer = self.world.snapshot(self.leecher).and_then(|picture| picture.transfer);
        transfer.map_or(0, |transfer| (transfer.done / self.piece()) as u32)
    }

    /// Bytes of payload that came in this life.
    pub fn downloaded(&self) -> u64 {
        let transfer = self.world.snapshot(self.leecher).and_then(|picture| picture.transfer);
        transfer.map_or(0, |transfer| transfer.downloaded)
    }

    pub fn befalls(&mut self, act: Act) {
        let (now, leecher) = (self.world.now(), self.leecher);
        self.world.plan(now, leecher, act);
        self.world.run(now);
        self.world.disk(leecher).go_on();
    }

    pub fn bytes(&mut self, path: &str) -> Option<Vec<u8>> {
        let leecher = self.leecher;
        self.world.disk(leecher).get(path)
    }

    pub fn pieces(&self) -> u32 {
        self.geometry.pieces()
    }

    pub fn piece(&self) -> u64 {
        u64::from(self.geometry.piece_length())
    }

    pub fn span(&self, piece: u32) -> Range<usize> {
        let piece = self.geometry.piece(piece).unwrap();
        let start = self.geometry.piece_offset(piece) as usize;
        start..start + self.geometry.piece_len(piece) as usize
    }

    /// What the journal on the disk vouches for.
    pub fn vouched(&mut self) -> Option<Kept> {
        let bytes = self.bytes(RESUME)?;
        let size = self.bytes(PART)?.len() as u64;
        let mut hasher = ContentHasher::new(b"big.zip", self.content.len() as u64).unwrap();
        hasher.update(&self.content);
        let hash = hasher.finish().unwrap().v2.unwrap().info_hash;
        // The header names the inode; a run would compare it.
        let inode = u64::from_be_bytes(bytes.get(56..64)?.try_into().ok()?);
        let kind = FileKind::Regular;
        let meta = Meta { kind, size, device: 1, inode, mtime_ns: 0, ctime_ns: 0 };
        journal::read(&bytes, hash, &self.geometry, &meta)
    }

    #[track_caller]
    pub fn must_be_done(&mut self, told: &str) {
        let (leecher, ending) = (self.leecher, self.world.ending(self.leecher));
        let said = self.world.events(leecher).iter().rev().take(3);
        let said: Vec<&str> = said.map(|(_, event)| event.line.as_str()).collect();
        assert_eq!(ending, Some(Ending::Done), "{told}: {said:?}");
        assert!(self.bytes(TARGET).as_ref() == Some(&self.content), "{told}: other bytes");
        assert_eq!((self.bytes(PART), self.bytes(RESUME)), (None, None), "{told}");
    }

    pub fn number_of(&self, kind: &str) -> usize {
        self.world.events(self.leecher).iter().filter(|(_, event)| event.kind == kind).count()
    }

    /// The line of the last event of a kind.
    pub fn line(&self, kind: &str) -> Option<String> {
        let events = self.world.events(self.leecher).iter().rev();
        events.map(|(_, event)| event).find(|event| event.kind == kind).map(|e| e.line.clone())
    }

    pub fn last_number(&self, kind: &str, fact: &str) -> Option<u64> {
        let mut events = self.world.events(self.leecher).iter().rev();
        let (_, event) = events.find(|(_, event)| event.kind == kind)?;
        event.facts.iter().find_map(|(name, value)| match value {
            Fact::Number(number) if *name == fact => Some(*number),
            _ => None,
        })
    }
}
