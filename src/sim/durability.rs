//! Laws S3 and S4: what a journal vouches for is there after a power cut at any moment, and no run
//! begins with less than the last one made durable.

use super::swarm::Swarm;
use super::world::NodeId;
use crate::content::geometry::Geometry;
use crate::content::metainfo::ContentHasher;
use crate::core::id::Hash32;
use crate::core::io::{FileKind, Meta};
use crate::core::report::Fact;
use crate::core::rng::Rng;
use crate::leecher::journal::{self, Kept};
use crate::sim::Disk;
use std::path::{Path, PathBuf};

/// One event in so many, on average, has the disk of one leecher looked at as a power cut would
/// leave it.
const ONE_IN: u64 = 200;
/// Looks at one swarm at the most: each copies a disk.
const LOOKS_MAX: u32 = 60;

/// What the judge knows and remembers.
pub(super) struct Durability {
    pub geometry: Geometry,
    hash: Hash32,
    rng: Rng,
    looks: u32,
    /// For each leecher: whether it ran when it was last looked at, and what it owes.
    owed: Vec<Owed>,
}

#[derive(Clone, Default)]
struct Owed {
    ran: bool,
    /// Bytes vouched for when the last life ended.
    bytes: u64,
    /// Events looked at.
    heard: usize,
}

impl Durability {
    /// `None` if there is no content of that kind.
    pub fn new(name: &str, content: &[u8], leechers: usize, rng: Rng) -> Option<Durability> {
        let mut hasher = ContentHasher::new(name.as_bytes(), content.len() as u64).ok()?;
        hasher.update(content);
        let content = hasher.finish().ok()?;
        let (geometry, hash) = (content.geometry, content.v2.as_ref()?.info_hash);
        let owed = vec![Owed::default(); leechers];
        Some(Durability { geometry, hash, rng, looks: 0, owed })
    }

    /// What the journal on a disk vouches for, with the bytes of the part file.
    fn vouched(&self, disk: &Disk, target: &Path) -> Option<(Kept, Vec<u8>)> {
        let bytes = disk.get(beside(target, ".lmk-resume"))?;
        let part = disk.get(beside(target, ".lmk-part"))?;
        // The header names the inode; a run would compare it.
        let inode = u64::from_be_bytes(bytes.get(56..64)?.try_into().ok()?);
        let (kind, size) = (FileKind::Regular, part.len() as u64);
        let meta = Meta { kind, size, device: 1, inode, mtime_ns: 0, ctime_ns: 0 };
        Some((journal::read(&bytes, self.hash, &self.geometry, &meta)?, part))
    }

    /// S3 on one disk.
    fn check(&self, disk: &Disk, target: &Path, content: &[u8]) -> Result<(), String> {
        if disk.get(target).is_some_and(|bytes| bytes != content) {
            return Err(format!("S1: {} after a power cut", target.display()));
        }
        let Some((kept, part)) = self.vouched(disk, target) else { return Ok(()) };
        for piece in kept.durable.ones().filter_map(|piece| self.geometry.piece(piece)) {
            let start = self.geometry.piece_offset(piece) as usize;
            let span = start..start + self.geometry.piece_len(piece) as usize;
            if part.get(span.clone()) != content.get(span) {
                let piece = piece.index();
                return Err(format!("S3: piece {piece} is vouched for and would not be there"));
            }
        }
        Ok(())
    }
}

/// The file that stands beside a target.
fn beside(target: &Path, suffix: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Swarm {
    /// After an event.
    pub(super) fn look_at_disks(&mut self) -> Result<(), String> {
        let Some(mut durability) = self.durability.take() else { return Ok(()) };
        let verdict = self.cut_in_thought(&mut durability);
        let verdict = verdict.and_then(|()| self.nothing_is_lost(&mut durability));
        self.durability = Some(durability);
        verdict
    }

    /// Cuts the power of one leecher, now and then, on a copy of its disk.
    fn cut_in_thought(&mut self, durability: &mut Durability) -> Result<(), String> {
        if durability.looks >= LOOKS_MAX || durability.rng.below(ONE_IN) != 0 {
            return Ok(());
        }
        durability.looks += 1;
        let number = durability.rng.below(self.scene.leechers as u64) as usize;
        let survive_pm = [0, 500, 1000][durability.rng.below(3) as usize];
        let (node, target) = self.leecher(number);
        let left = self.world.disk(node).after_power_cut(&mut durability.rng, survive_pm);
        let verdict = durability.check(&left, &target, &self.content);
        verdict.map_err(|what| format!("leecher {number}: {what}"))
    }

    /// S4: what a life that ended had made durable, the next one begins with.
    fn nothing_is_lost(&mut self, durability: &mut Durability) -> Result<(), String> {
        for number in 0..self.scene.leechers {
            let (node, target) = self.leecher(number);
            let runs = self.world.running(node);
            if durability.owed[number].ran && !runs {
                let vouched = durability.vouched(self.world.disk(node), &target);
                durability.check(self.world.disk(node), &target, &self.content)?;
                durability.owed[number].bytes =
                    vouched.map_or(0, |(kept, _)| durability.geometry.payload_of(&kept.durable));
            }
            durability.owed[number].ran = runs;
            let kept = self.resumed_with(node, &mut durability.owed[number].heard);
            let owed = durability.owed[number].bytes;
            if let Some(kept) = kept.filter(|kept| *kept < owed) {
                return Err(format!("S4: leecher {number} kept {kept} of {owed} durable bytes"));
            }
        }
        Ok(())
    }

    /// The bytes a leecher said it goes on with, since it was last asked.
    fn resumed_with(&self, node: NodeId, heard: &mut usize) -> Option<u64> {
        let events = self.world.events(node);
        let fresh = events.get(*heard..).unwrap_or_default();
        *heard = events.len();
        let resumed = fresh.iter().map(|(_, event)| event).find(|e| e.kind == "resumed")?;
        resumed.facts.iter().find_map(|fact| match fact {
            ("kept", Fact::Number(kept)) => Some(*kept),
            _ => None,
        })
    }
}
