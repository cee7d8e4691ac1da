//! The upload pump of one leecher: a bounded queue of what it asked for, and just enough of it
//! handed over to keep its connection busy. Cancel and choke touch only our own queue, so nothing
//! that was handed over is ever taken back.

use super::library::Library;
use crate::core::chunk::{Chunk, FileSpan};
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::meter::Meter;
use crate::core::time::Time;
use crate::wire::peer::{self, BlockRef};
use std::collections::VecDeque;

/// Requests kept for one leecher; the handshake promises 500 of them (`reqq`).
pub const ASKED_MAX: usize = 512;
/// Bytes handed over to the driver for one connection: a few of its largest writes.
const HANDED_OVER_BYTES: u64 = 1024 * 1024;

#[derive(Debug)]
pub struct Upload {
    asked: VecDeque<BlockRef>,
    /// Bytes handed over that have not left yet, as last told.
    handed_over: u64,
    pub meter: Meter,
}

impl Upload {
    pub fn new(now: Time) -> Upload {
        Upload { asked: VecDeque::new(), handed_over: 0, meter: Meter::new(now) }
    }

    /// Queues a request; `false` when the queue is full.
    pub fn push(&mut self, block: BlockRef) -> bool {
        let room = self.asked.len() < ASKED_MAX;
        match room {
            true => self.asked.push_back(block),
            false => mark!("D10"),
        }
        room
    }

    /// Forgets a request; `false` when it is not waiting any more.
    pub fn cancel(&mut self, block: BlockRef) -> bool {
        mark!("D11");
        let found = self.asked.iter().position(|asked| *asked == block);
        found.and_then(|at| self.asked.remove(at)).is_some()
    }

    /// Forgets every request that was not handed over yet.
    pub fn take_all(&mut self) -> VecDeque<BlockRef> {
        std::mem::take(&mut self.asked)
    }

    /// Whether something is waiting or on its way.
    pub fn busy(&self) -> bool {
        !self.asked.is_empty() || self.handed_over > 0
    }

    /// Told by the driver what of the connection's queue is left.
    pub fn sent(&mut self, queued: u64) {
        self.handed_over = queued;
    }

    /// Hands over requests until the connection has enough to do.
    pub fn pump(&mut self, conn: ConnId, library: &Library, now: Time, out: &mut Outbox) {
        while self.handed_over < HANDED_OVER_BYTES
            && let Some(block) = self.asked.pop_front()
        {
            let Some(span) = library.span(block) else { continue };
            self.hand_over(conn, block, span, now, out);
        }
    }

    fn hand_over(
        &mut self,
        conn: ConnId,
        block: BlockRef,
        span: FileSpan,
        now: Time,
        out: &mut Outbox,
    ) {
        out.send(conn, &peer::block_head(block.piece, block.begin, block.len));
        out.send_chunk(conn, Chunk::File(span));
        self.handed_over += 13 + u64::from(block.len);
        self.meter.add(now, u64::from(block.len));
    }
}
