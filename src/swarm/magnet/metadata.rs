//! Putting one info dict together from blocks of several peers (BEP 9). How long it is only those
//! say who may lie: each length is an attempt of its own. An attempt whose blocks came of several
//! peers and are not what the info-hash says is begun anew by each peer alone: a liar is known for
//! one then, and spoils its own attempt only.

use crate::core::fault::Fault;
use crate::core::id::ConnId;
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use crate::wire::extended::{METADATA_BLOCK_BYTES, METADATA_BYTES_MAX};
use std::collections::BTreeMap;

/// Blocks asked of one peer at a time, as other clients have it.
const ASKED_MAX: usize = 2;
/// A block that did not come for so long is asked of another.
const LOST: Span = Span::secs(3);
/// A peer that lost so many in a row does not send them.
const LOST_MAX: u32 = 5;
/// A peer that refused so many in a row will not send them.
const REFUSED_MAX: u32 = 3;
/// How long a peer that refused a block is not asked.
const PAUSE: Span = Span::secs(60);
/// Blocks taken of one peer that it was not asked for.
const UNASKED_MAX: u32 = 8;
/// What all attempts may hold together, as large as they are said to be.
const HELD_BYTES_MAX: u64 = 2 * METADATA_BYTES_MAX as u64;
/// How long an attempt may take while a smaller one waits for its room: what is small is soon seen
/// to be right or wrong.
const TURN: Span = Span::secs(5);
/// The same while any other one waits.
const LONG_TURN: Span = Span::secs(30);

/// A peer that can send it.
#[derive(Debug)]
struct Source {
    /// Bytes of the whole, as it says.
    size: u32,
    asked: Vec<Asked>,
    paused: Time,
    /// Blocks in a row that did not come in time.
    lost: u32,
    /// Blocks in a row that it refused.
    refused: u32,
    unasked: u32,
    /// It would be asked if there were room for what it has.
    waits: bool,
}

#[derive(Debug)]
struct Asked {
    block: u32,
    at: Time,
    /// It did not come in time: others are asked, and if it comes it is welcome.
    late: bool,
}

#[derive(Debug)]
struct Attempt {
    size: u32,
    /// The only peer it is made with; `None`: all that say this size.
    of: Option<ConnId>,
    since: Time,
    blocks: BTreeMap<u32, (ConnId, Vec<u8>)>,
}

impl Attempt {
    fn count(&self) -> u32 {
        self.size.div_ceil(METADATA_BLOCK_BYTES)
    }
}

/// All blocks of an attempt: to be compared with the info-hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whole {
    pub bytes: Vec<u8>,
    /// Who sent them.
    pub from: Vec<ConnId>,
}

#[derive(Debug, Default)]
pub struct Metadata {
    sources: BTreeMap<ConnId, Source>,
    attempts: Vec<Attempt>,
    /// Somebody among several lied: each is asked for all of it.
    alone: bool,
    /// Blocks that came of those who were asked for them.
    arrived: u64,
}

impl Metadata {
    /// Blocks that came so far.
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    /// A peer says how many bytes it can send. It cannot take that back.
    pub fn joined(&mut self, conn: ConnId, size: u32, now: Time) -> Result<(), Fault> {
        let (asked, lost, refused, unasked) = (Vec::new(), 0, 0, 0);
        let fresh = Source { size, asked, paused: now, lost, refused, unasked, waits: false };
        if self.sources.entry(conn).or_insert(fresh).size == size {
            return Ok(());
        }
        mark!("D26");
        Err(Fault::peer("metadata: it has another size than before"))
    }

    pub fn left(&mut self, conn: ConnId) {
        self.sources.remove(&conn);
        self.attempts.retain(|attempt| attempt.of != Some(conn));
    }

    /// The block to ask a peer for now.
    pub fn next(&mut self, conn: ConnId, now: Time) -> Option<u32> {
        let source = self.sources.get(&conn)?;
        let on_way = source.asked.iter().filter(|asked| !asked.late).count();
        if on_way >= ASKED_MAX || now < source.paused {
            return None;
        }
        let index = self.attempt_of(conn, now)?;
        let attempt = self.attempts.get(index)?;
        let mut times: BTreeMap<u32, u32> = BTreeMap::new();
        for (other, source) in self.sources.iter().filter(|(_, other)| other.size == attempt.size) {
            let counts = attempt.of.is_none_or(|of| of == *other);
            for asked in source.asked.iter().filter(|asked| counts && !asked.late) {
                *times.entry(asked.block).or_default() += 1;
            }
        }
        let ours = |block: &u32| source_asked(&self.sources, conn, *block);
        let open = (0..attempt.count()).filter(|block| !attempt.blocks.contains_key(block));
        // What nobody was asked for first; at the end a block may come of two.
        let block = open
            .filter(|block| !ours(block))
            .map(|block| (times.get(&block).copied().unwrap_or(0), block))
            .filter(|(times, _)| *times < 2)
            .min()?
            .1;
        let asked = &mut self.sources.get_mut(&conn)?.asked;
        asked.retain(|asked| asked.block != block);
        asked.push(Asked { block, at: now, late: false });
        Some(block)
    }

    /// The attempt a peer takes part in; a new one if there is none, and room for it.
    fn attempt_of(&mut self, conn: ConnId, now: Time) -> Option<usize> {
        let size = self.sources.get(&conn)?.size;
        let of = self.alone.then_some(conn);
        let is_it = |attempt: &Attempt| attempt.size == size && attempt.of == of;
        if !self.attempts.iter().any(is_it) {
            let sources = &self.sources;
            // A size that nobody says any more has no use.
            self.attempts.retain(|a| sources.values().any(|source| source.size == a.size));
            let room = self.make_room(size, now);
            self.sources.get_mut(&conn)?.waits = room.is_none();
            room?;
            self.attempts.push(Attempt { size, of, since: now, blocks: BTreeMap::new() });
        }
        self.sources.get_mut(&conn)?.waits = false;
        self.attempts.iter().position(is_it)
    }

    /// Room for one more attempt: while there is none, the largest of those that had their turn go.
    /// What room there is belongs to the smallest that waits, or a crowd would take it each time.
    fn make_room(&mut self, size: u32, now: Time) -> Option<()> {
        let mut others = self.sources.values().filter(|other| other.waits && now >= other.paused);
        if others.any(|other| other.size < size) {
            return None;
        }
        loop {
            let held: u64 = self.attempts.iter().map(|attempt| u64::from(attempt.size)).sum();
            if held + u64::from(size) <= HELD_BYTES_MAX {
                return Some(());
            }
            let over = self.attempts.iter().enumerate().filter(|(_, attempt)| {
                let turn = if attempt.size > size { TURN } else { LONG_TURN };
                now.since(attempt.since) > turn
            });
            let goes = over.max_by_key(|(_, attempt)| attempt.size).map(|(index, _)| index)?;
            self.attempts.swap_remove(goes);
        }
    }

    /// A block came. -> the whole, when nothing of it is missing any more.
    pub fn got(
        &mut self,
        conn: ConnId,
        (block, total_size): (u32, u32),
        bytes: Vec<u8>,
    ) -> Result<Option<Whole>, Fault> {
        let Some(source) = self.sources.get_mut(&conn) else { return Ok(None) };
        if total_size != source.size {
            mark!("D26");
            return Err(Fault::peer("metadata: it has another size than before"));
        }
        let Some(asked) = source.asked.iter().position(|asked| asked.block == block) else {
            mark!("D26");
            source.unasked += 1;
            return match source.unasked > UNASKED_MAX {
                true => Err(Fault::peer("metadata: blocks that nobody asked for")),
                false => Ok(None),
            };
        };
        source.asked.swap_remove(asked);
        (source.lost, source.refused) = (0, 0);
        self.arrived += 1;
        let (size, of) = (source.size, self.alone.then_some(conn));
        let is_it = |attempt: &Attempt| attempt.size == size && attempt.of == of;
        let Some(index) = self.attempts.iter().position(is_it) else { return Ok(None) };
        let Some(attempt) = self.attempts.get_mut(index) else { return Ok(None) };
        attempt.blocks.entry(block).or_insert((conn, bytes));
        if attempt.blocks.len() < attempt.count() as usize {
            return Ok(None);
        }
        let attempt = self.attempts.swap_remove(index);
        let mut whole = Whole { bytes: Vec::with_capacity(size as usize), from: Vec::new() };
        for (from, bytes) in attempt.blocks.into_values() {
            whole.bytes.extend(bytes);
            whole.from.push(from);
        }
        whole.from.sort_unstable();
        whole.from.dedup();
        Ok(Some(whole))
    }

    /// A whole is not what the info-hash says. -> the liar, if there can be but one.
    pub fn was_wrong(&mut self, whole: &Whole) -> Option<ConnId> {
        mark!("D26");
        if let [liar] = whole.from[..] {
            return Some(liar);
        }
        self.alone = true;
        self.attempts.clear();
        None
    }

    /// A peer will not send a block: it is asked for nothing for a while.
    pub fn rejected(&mut self, conn: ConnId, block: u32, now: Time) {
        let Some(source) = self.sources.get_mut(&conn) else { return };
        let before = source.asked.len();
        source.asked.retain(|asked| asked.block != block);
        if source.asked.len() < before {
            source.paused = now + PAUSE;
            source.refused += 1;
        }
    }

    /// Blocks that did not come in time are asked of others. -> peers that send nothing at all,
    /// or refuse whatever they are asked.
    pub fn expire(&mut self, now: Time) -> Vec<ConnId> {
        let mut silent = Vec::new();
        for (conn, source) in &mut self.sources {
            for asked in source.asked.iter_mut().filter(|asked| !asked.late) {
                if now.since(asked.at) >= LOST {
                    asked.late = true;
                    source.lost += 1;
                }
            }
            if source.lost >= LOST_MAX || source.refused >= REFUSED_MAX {
                silent.push(*conn);
            }
        }
        silent
    }
}

/// Whether a peer has been asked for a block that it still may send.
fn source_asked(sources: &BTreeMap<ConnId, Source>, conn: ConnId, block: u32) -> bool {
    let asked = sources.get(&conn).map(|source| &source.asked);
    asked.is_some_and(|asked| asked.iter().any(|asked| asked.block == block && !asked.late))
}

#[cfg(test)]
mod tests;
