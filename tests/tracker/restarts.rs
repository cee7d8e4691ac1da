//! A tracker with a database against a naive one, over random announces, time that passes, commits
//! that come early, late or never, orderly ends and kills: equal answers in every life.

use super::keeping::Stage;
use super::model::{Known, Naive, SWARMS, peer_addr, swarm_hash};
use super::world::{T0, plan};
use lmk::core::id::{PeerId, Ticket};
use lmk::core::io::{Command, Input};
use lmk::core::rng::Rng;
use lmk::core::store::{Change, StoreOp};
use lmk::core::time::Span;
use lmk::sim::store::Base;
use lmk::tracker::plan::{Database, TrackerPlan};
use lmk::wire::udp::{AnnounceRequest, Event, Request, Response};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A swarm of the naive tracker as it was when the other one packed it.
#[derive(Clone, Debug, Default)]
struct Packed {
    peers: BTreeMap<SocketAddr, Known>,
    completed: u32,
}

/// Both trackers, and what is on the disk of each.
struct Twins {
    stage: Stage,
    naive: Naive,
    start_s: u64,
    /// What earlier runs counted durably.
    before: BTreeMap<usize, u32>,
    asked: BTreeMap<Ticket, Vec<(usize, Packed)>>,
    packed: BTreeMap<usize, Packed>,
    counted: BTreeMap<usize, u32>,
}

fn started(base: Base, wall_start_s: u64) -> Stage {
    let database = Some(Database { path: "/t.db".into(), required: false });
    let plan = TrackerPlan { database, wall_start_s, ..plan("0.0.0.0:6969") };
    let stage = Stage::of(base, plan);
    Stage { commits: false, ..stage }
}

fn number(hash: &lmk::core::id::InfoHash) -> usize {
    (0..SWARMS).find(|n| swarm_hash(*n) == *hash).expect("a known swarm")
}

impl Twins {
    fn unix_s(&self) -> u64 {
        self.start_s + self.stage.world.now.secs()
    }

    /// Forgets who is over, and notes what the tracker packs of the swarms as they are now.
    fn look(&mut self) {
        let unix_s = self.unix_s();
        self.naive.peers.retain(|_, known| known.until_s > unix_s);
        for (ticket, op) in &self.stage.world.stores {
            let StoreOp::Liveness(parts) = op else { continue };
            let naive = &self.naive;
            let packed = parts.iter().filter(|part| part.part == 0).map(|part| {
                let swarm = number(&part.hash);
                let completed = naive.completed.get(&swarm).copied().unwrap_or(0);
                (swarm, Packed { peers: naive.of(swarm).collect(), completed })
            });
            self.asked.entry(*ticket).or_insert_with(|| packed.collect());
        }
    }

    /// The database does what it was asked, and whatever follows from it.
    fn commit(&mut self) {
        while !self.stage.world.stores.is_empty() {
            self.look();
            let ops = std::mem::take(&mut self.stage.world.stores);
            for (ticket, op) in &ops {
                self.packed.extend(self.asked.remove(ticket).unwrap_or_default());
                let StoreOp::Write(changes) = op else { continue };
                for change in changes {
                    if let Change::Finished(hash, downloads) = change {
                        self.counted.insert(number(hash), *downloads);
                    }
                }
            }
            for (ticket, done) in self.stage.base.commit(ops) {
                self.stage.tell(Input::Stored { ticket, done });
            }
        }
    }

    /// Both begin a new life with what their disks have.
    fn restart(self, gap_s: u64) -> Twins {
        let start_s = self.unix_s() + gap_s;
        let mut naive = Naive { completed: self.counted.clone(), ..Naive::default() };
        for (swarm, packed) in &self.packed {
            let alive = packed.peers.iter().filter(|(_, known)| known.until_s > start_s);
            let alive: Vec<_> = alive.map(|(addr, known)| ((*swarm, *addr), *known)).collect();
            if !alive.is_empty() {
                // Whoever finished and was not packed since may finish once more.
                naive.completed.insert(*swarm, packed.completed);
            }
            naive.peers.extend(alive);
        }
        let stage = started(self.stage.base, start_s);
        let (before, asked) = (self.counted.clone(), BTreeMap::new());
        Twins { stage, naive, start_s, before, asked, ..self }
    }

    fn announce(&mut self, rng: &mut Rng) {
        let swarm = rng.below(SWARMS as u64) as usize;
        let addr = peer_addr(rng.below(150), swarm);
        let (id, left) = (rng.below(2) as u8, rng.below(3).saturating_sub(1) * 5);
        let stopped = rng.chance(150);
        let cid = self.stage.world.connect(addr);
        self.look();
        let request = AnnounceRequest {
            cid,
            tid: 77,
            info_hash: swarm_hash(swarm),
            peer_id: PeerId([id; 20]),
            downloaded: 0,
            left,
            uploaded: 0,
            event: if stopped { Event::Stopped } else { Event::None },
            key: 0,
            num_want: 200,
            port: addr.port(),
            url_data: Vec::new(),
        };
        let answer = self.stage.world.request(addr, &Request::Announce(request));
        let Some(Response::Announce(answer)) = answer else { panic!("{answer:?}") };
        let known = Known { id, left, counted: false, until_s: self.unix_s() + 660 };
        match stopped {
            true => drop(self.naive.peers.remove(&(swarm, addr))),
            false => self.naive.announce(swarm, addr, known),
        }
        self.look();
        let (seeders, leechers, _) = self.naive.scrape(swarm);
        assert_eq!((answer.seeders, answer.leechers), (seeders, leechers));
        let live =
            |peer: &SocketAddr| *peer != addr && self.naive.peers.contains_key(&(swarm, *peer));
        assert!(answer.peers.iter().all(live), "{:?}", answer.peers);
    }

    /// A scrape of every swarm gives what the naive tracker gives.
    fn compare(&mut self) {
        let asker = peer_addr(1, 0);
        let cid = self.stage.world.connect(asker);
        let hashes = (0..SWARMS).map(swarm_hash).collect();
        let answer = self.stage.world.request(asker, &Request::Scrape { cid, tid: 78, hashes });
        self.look();
        let Some(Response::Scrape { rows, .. }) = answer else { panic!("{answer:?}") };
        for (swarm, row) in rows.iter().enumerate() {
            let (seeders, leechers, completed) = self.naive.scrape(swarm);
            let completed = completed.max(self.before.get(&swarm).copied().unwrap_or(0));
            let got = (row.seeders, row.leechers, row.completed);
            assert_eq!(got, (seeders, leechers, completed), "swarm {swarm}");
        }
    }
}

fn drive(seed: u64) -> [u32; 3] {
    let mut rng = Rng::new(seed);
    let mut twins = Twins {
        stage: started(Base::default(), T0),
        naive: Naive::default(),
        start_s: T0,
        before: BTreeMap::new(),
        asked: BTreeMap::new(),
        packed: BTreeMap::new(),
        counted: BTreeMap::new(),
    };
    let [mut ends, mut kills, mut back] = [0; 3];
    for step in 0..200 {
        println!("seed {seed}, step {step}");
        match rng.below(100) {
            0..70 => twins.announce(&mut rng),
            70..84 => {
                twins.stage.pass(Span::secs(1 + rng.below(250)));
                twins.look();
            }
            84..96 => twins.commit(),
            96..98 => {
                twins.stage.tell(Input::Asked(Command::Terminate));
                twins.commit();
                assert!(twins.stage.world.ending.is_some(), "ends once everything is written");
                twins = twins.restart(rng.below(100));
                ends += 1;
            }
            _ => {
                // What waits is lost, or written before the kill.
                if rng.chance(300) {
                    twins.commit();
                }
                twins = twins.restart(rng.below(100));
                kills += 1;
                back += twins.naive.peers.len() as u32;
            }
        }
        twins.compare();
    }
    [ends, kills, back]
}

#[test]
fn equal_answers_in_every_life() {
    let lives = (0..300).map(drive);
    let [ends, kills, back] = lives.fold([0; 3], |sum, life| [0, 1, 2].map(|n| sum[n] + life[n]));
    println!("{ends} orderly ends, {kills} kills, {back} peers that came back after those");
    assert!(ends > 100 && kills > 100 && back > 100);
}
