//! The twin of the database: rows in memory. What was asked is performed at a commit some time
//! later; a process that dies before takes it along, and a power cut takes what was not synced.

use super::world::{Happening, NodeId, TURN, World};
use crate::core::id::{InfoHash, Ticket};
use crate::core::store::{
    Change, Commit, NameRow, Opened, StoreDone, StoreError, StoreOp, SwarmPart,
};
use crate::core::time::Span;
use std::collections::BTreeMap;

/// Peers of a swarm by part.
type Parts = BTreeMap<(InfoHash, u32), Vec<u8>>;

/// What a durable write meets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Blow {
    /// It fails, and nothing of it is written.
    Refused(StoreError),
    /// The process is killed before it.
    KilledBefore,
    /// It is on the disk, and the process is killed before it hears of that.
    KilledAfter,
}

/// The rows of one machine, and the dials for what befalls them.
#[derive(Clone, Debug, Default)]
pub struct Base {
    names: BTreeMap<u64, NameRow>,
    finished: BTreeMap<InfoHash, u32>,
    swarms: Parts,
    /// Peers as they are on the disk for sure.
    swarms_synced: Parts,
    generation: u64,
    orderly: bool,
    commits: u64,
    /// Durable writes that were asked for, those that failed among them.
    writes: u64,
    /// Every write fails like this.
    pub failing: Option<StoreError>,
    /// The database is not opened, for this reason.
    pub shut: Option<StoreError>,
    /// What the durable write of this number meets; the first is 0.
    pub blow: Option<(u64, Blow)>,
}

impl Base {
    /// The names that are kept.
    pub fn names(&self) -> impl Iterator<Item = &NameRow> {
        self.names.values()
    }

    /// Parts of swarms that are kept.
    pub fn parts(&self) -> usize {
        self.swarms.len()
    }

    /// The counts that are kept.
    pub fn finished(&self) -> impl Iterator<Item = (InfoHash, u32)> {
        self.finished.iter().map(|(hash, downloads)| (*hash, *downloads))
    }

    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// Durable writes so far.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// What was written and not synced is gone.
    pub(super) fn power_cut(&mut self) {
        self.swarms.clone_from(&self.swarms_synced);
    }

    /// Performs everything of one turn as the database does: questions first, then every durable
    /// change in one transaction, then peers.
    pub fn commit(&mut self, ops: Vec<(Ticket, StoreOp)>) -> Vec<(Ticket, StoreDone)> {
        let (mut answers, mut writes, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        for (ticket, op) in ops {
            match op {
                StoreOp::Write(changes) => writes.push((ticket, changes)),
                StoreOp::Liveness(parts) => peers.push((ticket, parts)),
                question => answers.push((ticket, self.look(&question))),
            }
        }
        self.write(writes, &mut answers);
        self.write_peers(peers, &mut answers);
        answers
    }

    fn look(&mut self, op: &StoreOp) -> StoreDone {
        match op {
            StoreOp::Open { .. } => StoreDone::Opened(match self.shut.clone() {
                Some(error) => Err(error),
                None => {
                    let orderly = std::mem::take(&mut self.orderly);
                    Ok(Opened { damaged: None, generation: self.generation, orderly })
                }
            }),
            // Small pages: whoever reads them must come again.
            StoreOp::Names { after, .. } => {
                let rows = self.names.range(after.saturating_add(1)..).take(2);
                StoreDone::Names(Ok(rows.map(|(_, row)| row.clone()).collect()))
            }
            StoreOp::Finished { after, .. } => {
                let rows = self.finished.iter().filter(|(hash, _)| Some(**hash) > *after).take(2);
                StoreDone::Finished(Ok(rows.map(|(hash, n)| (*hash, *n)).collect()))
            }
            StoreOp::Swarms { after, .. } => {
                let rows = self.swarms.iter().filter(|(key, _)| Some(**key) > *after).take(2);
                let part = |(&(hash, part), packed): (&(InfoHash, u32), &Vec<u8>)| SwarmPart {
                    hash,
                    part,
                    last: false,
                    packed: packed.clone(),
                };
                StoreDone::Swarms(Ok(rows.map(part).collect()))
            }
            // Not questions.
            StoreOp::Write(_) | StoreOp::Liveness(_) => op.refused(StoreError::Absent),
        }
    }

    fn write(
        &mut self,
        writes: Vec<(Ticket, Vec<Change>)>,
        answers: &mut Vec<(Ticket, StoreDone)>,
    ) {
        if writes.is_empty() {
            return;
        }
        let refused = match &self.blow {
            Some((number, Blow::Refused(error))) if *number == self.writes => Some(error.clone()),
            _ => None,
        };
        self.writes += 1;
        let result = self.failing.clone().or(refused).map_or(Ok(()), Err);
        let commit = self.transaction();
        for (ticket, changes) in writes {
            if result.is_ok() {
                changes.into_iter().for_each(|change| self.change(change));
            }
            answers.push((ticket, StoreDone::Written { result: result.clone(), commit }));
        }
        if result.is_ok() {
            // The log is synced as a whole.
            self.swarms_synced.clone_from(&self.swarms);
        }
    }

    fn write_peers(
        &mut self,
        peers: Vec<(Ticket, Vec<SwarmPart>)>,
        answers: &mut Vec<(Ticket, StoreDone)>,
    ) {
        for (ticket, parts) in peers {
            let result = self.failing.clone().map_or(Ok(()), Err);
            let commit = self.transaction();
            if result.is_ok() {
                parts.into_iter().for_each(|part| self.part(part));
            }
            answers.push((ticket, StoreDone::Written { result, commit }));
        }
    }

    fn transaction(&mut self) -> Commit {
        self.commits += 1;
        Commit { number: self.commits, took: Span::us(130), ..Commit::default() }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Name(mut row) => {
                if row.metainfo.is_none() {
                    let old = self.names.remove(&row.number);
                    row.metainfo = old.and_then(|old| old.metainfo);
                }
                self.names.insert(row.number, *row);
            }
            Change::DropName(number) => drop(self.names.remove(&number)),
            Change::Finished(hash, 0) => drop(self.finished.remove(&hash)),
            Change::Finished(hash, downloads) => drop(self.finished.insert(hash, downloads)),
            Change::Generation(generation) => self.generation = generation,
            Change::Orderly => self.orderly = true,
        }
    }

    fn part(&mut self, part: SwarmPart) {
        let SwarmPart { hash, part, last, packed } = part;
        if last {
            self.swarms.retain(|(other, at), _| *other != hash || *at < part);
        }
        if !packed.is_empty() {
            self.swarms.insert((hash, part), packed);
        }
    }

    /// How the process dies at the next commit, if it does, and if that has a durable write.
    fn kills(&self, ops: &[(Ticket, StoreOp)]) -> Option<Blow> {
        let writes = ops.iter().any(|(_, op)| matches!(op, StoreOp::Write(_)));
        let (number, blow) = self.blow.as_ref()?;
        let kills = !matches!(blow, Blow::Refused(_));
        (writes && kills && *number == self.writes).then(|| blow.clone())
    }
}

impl World {
    /// The database of the node's machine.
    pub fn base(&mut self, node: NodeId) -> &mut Base {
        let host = self.nodes[node.0].host;
        &mut self.hosts[host].base
    }

    pub(super) fn store_op(&mut self, node: usize, life: u32, ticket: Ticket, op: StoreOp) {
        let at = self.now + TURN + Span(self.rng.stores.below(Span::ms(20).0));
        let Some(process) = self.process(node, life) else { return };
        process.stores.push((ticket, op));
        if process.stores.len() == 1 {
            self.later(at, Happening::Commit { node, life });
        }
    }

    /// Between the commit and its completion a process can die, too.
    pub(super) fn commit(&mut self, node: usize, life: u32) {
        let Some(process) = self.process(node, life) else { return };
        let ops = std::mem::take(&mut process.stores);
        let host = self.nodes[node].host;
        let base = &mut self.hosts[host].base;
        let kills = base.kills(&ops);
        let answers = match kills {
            Some(Blow::KilledBefore) => {
                base.writes += 1;
                Vec::new()
            }
            _ => base.commit(ops),
        };
        if kills.is_some() {
            return self.end_process(node, false);
        }
        let done_at = self.now + TURN + Span(self.rng.stores.below(Span::ms(2).0));
        for (ticket, done) in answers {
            self.later(done_at, Happening::Stored { node, life, ticket, done });
        }
    }
}
