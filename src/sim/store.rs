//! The twin of the database: rows in memory. What was asked is performed at a commit some time
//! later; a process that dies before takes it along, and a power cut takes what was not synced.

use super::world::{Happening, NodeId, TURN, World};
use crate::core::id::{InfoHash, Ticket};
use crate::core::store::{
    AccessKey, Change, Commit, NameRow, Opened, StoreDone, StoreError, StoreOp, SwarmPart,
};
use crate::core::time::Span;
use std::collections::BTreeMap;

/// Peers of a swarm by part.
type Parts = BTreeMap<(InfoHash, u32), Vec<u8>>;

/// The rows of one machine, and the dials for what befalls them.
#[derive(Clone, Debug, Default)]
pub struct Base {
    names: BTreeMap<u64, NameRow>,
    finished: BTreeMap<InfoHash, u32>,
    keys: BTreeMap<u64, AccessKey>,
    swarms: Parts,
    /// Peers as they are on the disk for sure.
    swarms_synced: Parts,
    generation: u64,
    orderly: bool,
    commits: u64,
    /// Every write fails like this.
    pub failing: Option<StoreError>,
    /// The database is not opened, for this reason.
    pub shut: Option<StoreError>,
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

    /// Contents whose finished downloads are kept.
    pub fn counted(&self) -> usize {
        self.finished.len()
    }

    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// What was written and not synced is gone.
    pub(super) fn power_cut(&mut self) {
        self.swarms.clone_from(&self.swarms_synced);
    }

    /// Performs everything of one turn, and answers in the order asked.
    pub fn commit(&mut self, ops: Vec<(Ticket, StoreOp)>) -> Vec<(Ticket, StoreDone)> {
        self.commits += 1;
        let commit = Commit { number: self.commits, took: Span::us(130), ..Commit::default() };
        let durable = ops.iter().any(|(_, op)| matches!(op, StoreOp::Write(_)));
        let answers = ops.into_iter().map(|(ticket, op)| (ticket, self.perform(op, commit)));
        let answers = answers.collect();
        if durable && self.failing.is_none() {
            // The log is synced as a whole.
            self.swarms_synced.clone_from(&self.swarms);
        }
        answers
    }

    fn perform(&mut self, op: StoreOp, commit: Commit) -> StoreDone {
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
                let rows = self.finished.iter().filter(|(hash, _)| Some(**hash) > after).take(2);
                StoreDone::Finished(Ok(rows.map(|(hash, n)| (*hash, *n)).collect()))
            }
            StoreOp::Swarms { after, .. } => {
                let rows = self.swarms.iter().filter(|(key, _)| Some(**key) > after).take(2);
                let part = |(&(hash, part), packed): (&(InfoHash, u32), &Vec<u8>)| SwarmPart {
                    hash,
                    part,
                    last: false,
                    packed: packed.clone(),
                };
                StoreDone::Swarms(Ok(rows.map(part).collect()))
            }
            StoreOp::AccessKeys => StoreDone::AccessKeys(Ok(self.keys.values().cloned().collect())),
            StoreOp::Write(changes) => {
                let result = self.failing.clone().map_or(Ok(()), Err);
                if result.is_ok() {
                    changes.into_iter().for_each(|change| self.change(change));
                }
                StoreDone::Written { result, commit }
            }
            StoreOp::Liveness(parts) => {
                let result = self.failing.clone().map_or(Ok(()), Err);
                if result.is_ok() {
                    parts.into_iter().for_each(|part| self.part(part));
                }
                StoreDone::Written { result, commit }
            }
        }
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
            Change::Finished(hash, downloads) => drop(self.finished.insert(hash, downloads)),
            Change::Generation(generation) => self.generation = generation,
            Change::Orderly => self.orderly = true,
            Change::AccessKey(key) => drop(self.keys.insert(key.id, key)),
            Change::DropAccessKey(id) => drop(self.keys.remove(&id)),
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
        let done_at = self.now + TURN + Span(self.rng.stores.below(Span::ms(2).0));
        for (ticket, done) in self.hosts[host].base.commit(ops) {
            self.later(done_at, Happening::Stored { node, life, ticket, done });
        }
    }
}
