//! What a seed says about a swarm: who plays, what befalls them, and when. Each kind of trouble has
//! a stream of its own and is there in about half of the scenes.

use super::adversaries::Trick;
use super::disk::{Fault, On};
use super::partition::Ways;
use super::weather::{Purpose, log_uniform, stream};
use crate::core::io::FileError;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};

/// What a fault may befall.
const ON: [(On, &str); 6] = [
    (On::Read, ".lmk-part"),
    (On::Write, ".lmk-part"),
    (On::Sync, ".lmk-part"),
    (On::Write, ".lmk-resume"),
    (On::Sync, ".lmk-resume"),
    (On::Save, ".lmk-resume"),
];

const EIO: FileError = FileError::Other(5);

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
    /// What the disks of leechers do, and which leechers: their machines have disks of their own.
    pub disks: Vec<(usize, DiskTrouble)>,
    pub partitions: Vec<Parting>,
    /// Somebody floods the tracker.
    pub flood: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskTrouble {
    /// So many bytes stay free, from then until then.
    Full { since: Time, until: Time, free: u64 },
    /// An operation is refused for want of room, some times.
    Refuses { at: Time, fault: Fault },
    /// An operation fails.
    Fails { at: Time, fault: Fault },
}

/// Some machines cannot reach the others for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parting {
    pub since: Time,
    pub until: Time,
    pub ways: Ways,
    /// A bit for the tracker, the seeder and each leecher, in this order.
    pub inside: u32,
}

impl Scene {
    pub fn new(seed: u64) -> Scene {
        let mut rng = stream(seed, Purpose::Scene);
        let mut hostility = stream(seed, Purpose::Scene).fork(3);
        let (size, leechers) = (size(&mut rng), rng.between(1, 5) as usize);
        // Up to half of the peers.
        let count = hostility.below(leechers as u64 + 2);
        let trick = |_| Trick::DRAWN[hostility.below(Trick::DRAWN.len() as u64) as usize];
        let mut scene = Scene {
            size,
            leechers,
            slots: rng.between(1, 8) as u32,
            one_machine: rng.chance(250),
            keep_seeding: rng.chance(500),
            remembers: rng.chance(500),
            heal_at: Time::ZERO + Span::secs(rng.between(30, 300)),
            hostile: (0..count).map(trick).collect(),
            disks: Vec::new(),
            partitions: Vec::new(),
            flood: stream(seed, Purpose::Scene).fork(6).chance(500),
        };
        if !scene.one_machine {
            scene.draw_disks(&mut stream(seed, Purpose::Scene).fork(4));
            scene.draw_partitions(&mut stream(seed, Purpose::Scene).fork(5));
        }
        scene
    }

    /// Whether an operation fails on the disk of a leecher, so that it may give up.
    pub fn disk_fails(&self, leecher: usize) -> bool {
        let fails = |trouble: &DiskTrouble| matches!(trouble, DiskTrouble::Fails { .. });
        self.disks.iter().any(|(of, trouble)| *of == leecher && fails(trouble))
    }

    pub fn disk_fills(&self, leecher: usize) -> bool {
        let full = |trouble: &DiskTrouble| {
            matches!(trouble, DiskTrouble::Full { .. } | DiskTrouble::Refuses { .. })
        };
        self.disks.iter().any(|(of, trouble)| *of == leecher && full(trouble))
    }

    /// A time span before the healing.
    fn within(&self, rng: &mut Rng) -> (Time, Time) {
        // Most of what matters happens in the first seconds.
        let since = Time(log_uniform(rng, Span::ms(500).0, self.heal_at.0));
        let long = log_uniform(rng, Span::ms(200).0, Span::secs(120).0);
        (since, (since + Span(long)).min(self.heal_at))
    }

    fn draw_disks(&mut self, rng: &mut Rng) {
        let (fills, fails) = (rng.chance(500), rng.chance(500));
        for _ in 0..if fills { rng.between(1, 3) } else { 0 } {
            let leecher = rng.below(self.leechers as u64) as usize;
            let (since, until) = self.within(rng);
            let free = rng.below(self.size as u64 + 1);
            let (at, error) = (Time::ZERO, FileError::NoSpace);
            let (on, name_ends) = ON[rng.between(1, 4) as usize];
            let (after, times) = (rng.below(30), rng.between(1, 4));
            let fault = Fault { on, name_ends, after, times, error };
            self.disks.push((
                leecher,
                match rng.chance(500) {
                    true => DiskTrouble::Full { since, until, free },
                    false => DiskTrouble::Refuses { at, fault },
                },
            ));
        }
        for _ in 0..if fails { rng.between(1, 2) } else { 0 } {
            let leecher = rng.below(self.leechers as u64) as usize;
            let (on, name_ends) = ON[rng.below(ON.len() as u64) as usize];
            let (after, at) = (rng.below(8), self.within(rng).0);
            let fault = Fault { on, name_ends, after, times: 1, error: EIO };
            self.disks.push((leecher, DiskTrouble::Fails { at, fault }));
        }
    }

    fn draw_partitions(&mut self, rng: &mut Rng) {
        let on = rng.chance(500);
        let nodes = self.leechers as u64 + 2;
        for _ in 0..if on { rng.between(1, 4) } else { 0 } {
            let (since, until) = self.within(rng);
            let ways = [Ways::Both, Ways::Both, Ways::Outwards, Ways::Inwards];
            let ways = ways[rng.below(4) as usize];
            let alone = rng.chance(500);
            let (one, some) = (1 << rng.below(nodes), rng.below(1 << nodes));
            let inside = if alone { one } else { some } as u32;
            self.partitions.push(Parting { since, until, ways, inside });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_trouble_is_there_in_a_good_part_of_the_scenes() {
        let all: Vec<Scene> = (0..400).map(Scene::new).collect();
        let count = |of: fn(&Scene) -> bool| all.iter().filter(|scene| of(scene)).count();
        for (what, count) in [
            ("full", count(|s| (0..5).any(|n| s.disk_fills(n)))),
            ("failing", count(|s| (0..5).any(|n| s.disk_fails(n)))),
            ("parted", count(|s| !s.partitions.is_empty())),
            ("flooded", count(|s| s.flood)),
        ] {
            assert!((100..250).contains(&count), "{what}: {count} of 400");
        }
        let ends = |p: &Parting, scene: &Scene| p.since <= p.until && p.until <= scene.heal_at;
        assert!(all.iter().all(|scene| scene.partitions.iter().all(|p| ends(p, scene))));
    }
}
