//! The upload pump of one leecher: a bounded queue of what it asked for, and just enough of it
//! handed over to keep its connection busy. Cancel and choke touch only our own queue, so nothing
//! that was handed over is ever taken back.

use crate::core::chunk::{Chunk, FileSpan};
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::limits::BLOCK_BYTES;
use crate::core::meter::Meter;
use crate::core::time::Time;
use crate::wire::peer::{self, BlockRef};
use std::collections::VecDeque;

/// Requests kept for one leecher; the handshake promises 500 of them (`reqq`).
pub const ASKED_MAX: usize = 512;
/// Bytes handed over to the driver for one connection: a few of its largest writes.
const HANDED_OVER_BYTES: u64 = 1024 * 1024;

/// What stands behind the end of a file.
static ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pushed {
    Queued,
    /// It waits already: one answer will do for both.
    Twice,
    /// The queue is full.
    Full,
}

#[derive(Debug)]
pub struct Upload {
    /// What was asked for, with the place of its bytes.
    asked: VecDeque<(BlockRef, FileSpan)>,
    /// Bytes handed over that have not left yet, as last told.
    handed_over: u64,
    pub meter: Meter,
}

impl Upload {
    pub fn new(now: Time) -> Upload {
        Upload { asked: VecDeque::new(), handed_over: 0, meter: Meter::new(now) }
    }

    pub fn push(&mut self, block: BlockRef, span: FileSpan) -> Pushed {
        if self.asked.len() >= ASKED_MAX {
            return Pushed::Full;
        }
        if self.asked.iter().any(|(asked, _)| *asked == block) {
            return Pushed::Twice;
        }
        self.asked.push_back((block, span));
        Pushed::Queued
    }

    /// Forgets a request; `false` when it is not waiting any more.
    pub fn cancel(&mut self, block: BlockRef) -> bool {
        let found = self.asked.iter().position(|(asked, _)| *asked == block);
        found.and_then(|at| self.asked.remove(at)).is_some()
    }

    /// Forgets every request that was not handed over yet.
    pub fn take_all(&mut self) -> impl Iterator<Item = BlockRef> + use<> {
        std::mem::take(&mut self.asked).into_iter().map(|(block, _)| block)
    }

    /// Whether something is waiting or on its way.
    pub fn busy(&self) -> bool {
        !self.asked.is_empty() || self.handed_over > 0
    }

    /// Whether something waits that the connection could take.
    pub fn waits(&self) -> bool {
        !self.asked.is_empty() && self.handed_over < HANDED_OVER_BYTES
    }

    /// Whether something was handed over and has not left.
    pub fn on_way(&self) -> bool {
        self.handed_over > 0
    }

    /// Told by the driver what of the connection's queue is left; whether that is less than before.
    pub fn sent(&mut self, queued: u64) -> bool {
        let less = queued < self.handed_over;
        self.handed_over = queued;
        less
    }

    /// Whether only a limit of ours keeps what was asked from being handed over.
    pub fn is_held_back(&self) -> bool {
        !self.asked.is_empty() && self.handed_over == 0
    }

    /// Hands over up to `most` requests, until the connection has enough to do. -> bytes of
    /// content.
    pub fn pump(&mut self, conn: ConnId, most: usize, now: Time, out: &mut Outbox) -> u64 {
        let mut bytes = 0;
        for _ in 0..most {
            if self.handed_over >= HANDED_OVER_BYTES {
                break;
            }
            let Some((block, span)) = self.asked.pop_front() else { break };
            out.send(conn, &peer::block_head(block.piece, block.begin, block.len));
            if span.len > 0 {
                out.send_chunk(conn, Chunk::File(span));
            }
            if let Some(zeros @ [_, ..]) = ZEROS.get(..(block.len - span.len) as usize) {
                out.send(conn, zeros);
            }
            self.handed_over += 13 + u64::from(block.len);
            bytes += u64::from(block.len);
        }
        self.meter.add(now, bytes);
        bytes
    }
}
