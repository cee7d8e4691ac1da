//! Fetching the piece layers of a content that came by its info-hash (BEP 52): they are no part of
//! the info dict. They are asked for in ranges, each with its proof up to the root of its file.

use crate::content::merkle::Shape;
use crate::content::proof::{self, HashRange};
use crate::core::fault::Fault;
use crate::core::id::{ConnId, Hash32};
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use crate::wire::peer;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Ranges asked of one peer at a time.
const ASKED_MAX: usize = 8;
/// A range that did not come for so long is asked of another.
const LOST: Span = Span::secs(3);
/// How long a peer that refused a range, or was silent, is not asked.
const PAUSE: Span = Span::secs(20);
/// A peer that refused so many ranges in a row, or was silent so often, does not tell.
const FAILED_MAX: u32 = 3;

/// The layer of one file.
#[derive(Debug)]
struct File {
    root: Hash32,
    shape: Shape,
    nodes: Vec<Option<Hash32>>,
}

#[derive(Debug)]
pub struct Layers {
    files: Vec<File>,
    /// Ranges that nobody is asked for: file, range.
    open: VecDeque<(usize, HashRange)>,
    asked: BTreeMap<(ConnId, peer::HashRange), Asked>,
    paused: BTreeMap<ConnId, Time>,
    /// How often in a row a peer refused or was silent.
    failed: BTreeMap<ConnId, u32>,
    /// Ranges that are not there, and those that came.
    missing: usize,
    arrived: u64,
}

#[derive(Debug)]
struct Asked {
    file: usize,
    at: Time,
    /// It did not come in time: it is open again, and if it comes it is welcome.
    late: bool,
}

impl Layers {
    /// The layers of files with those roots; equal files share one.
    pub fn new(lacking: impl IntoIterator<Item = (Hash32, Shape)>) -> Layers {
        let files: BTreeMap<Hash32, Shape> = lacking.into_iter().collect();
        let (mut open, mut kept) = (VecDeque::new(), Vec::new());
        for (index, (root, shape)) in files.into_iter().enumerate() {
            open.extend(HashRange::layer_requests(&shape).map(|range| (index, range)));
            kept.push(File { root, shape, nodes: vec![None; shape.pieces as usize] });
        }
        let missing = open.len();
        Layers {
            files: kept,
            open,
            asked: BTreeMap::new(),
            paused: BTreeMap::new(),
            failed: BTreeMap::new(),
            missing,
            arrived: 0,
        }
    }

    /// Ranges that came so far.
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The layers, by the roots of their files.
    pub fn take(&mut self) -> BTreeMap<Hash32, Vec<Hash32>> {
        let files = std::mem::take(&mut self.files).into_iter();
        files.map(|file| (file.root, file.nodes.into_iter().flatten().collect())).collect()
    }

    /// The range to ask a peer for now.
    pub fn next(&mut self, conn: ConnId, now: Time) -> Option<peer::HashRange> {
        let on_way = self.asked.iter().filter(|((of, _), asked)| *of == conn && !asked.late);
        if on_way.count() >= ASKED_MAX || self.paused.get(&conn).is_some_and(|until| now < *until) {
            return None;
        }
        // What came late, after all, is not asked for again.
        while let Some((file, range)) = self.open.pop_front() {
            let Some(at) = self.files.get(file) else { continue };
            if at.nodes.get(range.index as usize).is_none_or(Option::is_some) {
                continue;
            }
            let HashRange { base, index, length, proof } = range;
            let told = peer::HashRange { root: at.root, base, index, length, proof };
            self.asked.insert((conn, told), Asked { file, at: now, late: false });
            return Some(told);
        }
        None
    }

    /// Hashes came.
    pub fn got(
        &mut self,
        conn: ConnId,
        told: peer::HashRange,
        hashes: &[Hash32],
    ) -> Result<(), Fault> {
        let Some(asked) = self.asked.remove(&(conn, told)) else {
            mark!("D30");
            return Err(Fault::peer("hashes: nobody asked for them"));
        };
        let Some(file) = self.files.get_mut(asked.file) else { return Ok(()) };
        let range = range_of(told);
        let (root, top) = (file.root, u32::from(file.shape.root_layer));
        let known = |layer: u32, index: u64| (layer == top && index == 0).then_some(root);
        let proven = match proof::verify(&file.shape, &range, hashes, known) {
            Ok(proven) => proven,
            Err(fault) => {
                mark!("D30");
                if !asked.late {
                    self.open.push_front((asked.file, range));
                }
                return Err(Fault::peer(fault.what));
            }
        };
        self.failed.remove(&conn);
        self.arrived += 1;
        let places = file.nodes.get_mut(range.index as usize..).unwrap_or_default();
        if places.first().is_some_and(Option::is_none) {
            self.missing = self.missing.saturating_sub(1);
        }
        places.iter_mut().zip(proven).for_each(|(place, node)| *place = Some(node));
        Ok(())
    }

    /// A peer does not tell: another one is asked.
    pub fn rejected(&mut self, conn: ConnId, told: peer::HashRange, now: Time) {
        let Some(asked) = self.asked.remove(&(conn, told)) else {
            mark!("D31");
            return;
        };
        if !asked.late {
            self.open.push_front((asked.file, range_of(told)));
        }
        self.pause(conn, now);
    }

    fn pause(&mut self, conn: ConnId, now: Time) {
        self.paused.insert(conn, now + PAUSE);
        *self.failed.entry(conn).or_default() += 1;
    }

    pub fn left(&mut self, conn: ConnId) {
        self.paused.remove(&conn);
        self.failed.remove(&conn);
        for ((_, told), asked) in self.asked.extract_if(.., |(of, _), _| *of == conn) {
            if !asked.late {
                self.open.push_front((asked.file, range_of(told)));
            }
        }
    }

    /// Ranges that did not come in time are asked of others. -> peers that do not tell.
    pub fn expire(&mut self, now: Time) -> Vec<ConnId> {
        let mut silent = BTreeSet::new();
        for ((conn, told), asked) in &mut self.asked {
            if !asked.late && now.since(asked.at) >= LOST {
                asked.late = true;
                self.open.push_front((asked.file, range_of(*told)));
                silent.insert(*conn);
            }
        }
        // All that were asked of one at a time are one silence.
        silent.into_iter().for_each(|conn| self.pause(conn, now));
        let failed = self.failed.iter().filter(|(_, times)| **times >= FAILED_MAX);
        failed.map(|(conn, _)| *conn).collect()
    }
}

fn range_of(told: peer::HashRange) -> HashRange {
    let peer::HashRange { base, index, length, proof, .. } = told;
    HashRange { base, index, length, proof }
}

#[cfg(test)]
mod tests;
