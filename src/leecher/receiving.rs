//! The way of a block: from the wire into its page, with its piece to judgement, and to disk.

use super::assembly::Verdict;
use super::link::Receiving;
use super::{Leecher, News};
use crate::content::geometry::{Block, Piece};
use crate::core::fault::Fault;
use crate::core::id::{ConnId, Ticket};
use crate::core::io::{FileDone, FileOp, Outbox};
use crate::core::time::Time;

impl Leecher {
    pub fn block_began(&mut self, conn: ConnId, block: Block) -> Result<(), Fault> {
        let Some(link) = self.links.get_mut(&conn) else { return Ok(()) };
        let answered = link.answered(block);
        // A block that was given up and comes after all is read past.
        let wanted = answered && self.picker.awaits(conn, block);
        link.receiving = Some(Receiving { block, filled: 0, wanted });
        if answered { Ok(()) } else { self.count_misplaced(conn) }
    }

    pub fn block_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Time) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        let Some(receiving) = &mut link.receiving else { return };
        link.meter.add(now, bytes.len() as u64);
        if receiving.wanted {
            self.assembly.fill(receiving.block, receiving.filled, bytes);
        }
        receiving.filled += bytes.len() as u32;
    }

    pub fn block_ended(&mut self, conn: ConnId, now: Time, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        link.served = now;
        link.silent = false;
        let Some(receiving) = link.receiving.take().filter(|r| r.wanted) else { return };
        let block = receiving.block;
        self.assembly.end_block(block, conn);
        if self.picker.got_block(block) {
            self.judge(block.piece(), out);
        }
    }

    pub(super) fn judge(&mut self, piece: Piece, out: &mut Outbox) {
        let Some(v2) = &self.content.v2 else { return };
        match self.assembly.judge(piece, v2) {
            Verdict::Proven(page) => {
                let offset = self.content.geometry.piece_offset(piece);
                let ticket = out.file(FileOp::Write { file: self.file, offset, page });
                self.writes.insert(ticket, piece);
            }
            Verdict::Broken(senders) => {
                self.picker.got_broken(piece);
                self.news.push(match senders[..] {
                    [liar] => News::Lied(liar, piece),
                    _ => News::Broken(piece),
                });
            }
        }
    }

    /// A write of ours came back; hands back what is not ours.
    pub fn got_file(&mut self, ticket: Ticket, done: FileDone) -> Option<FileDone> {
        let Some(piece) = self.writes.remove(&ticket) else { return Some(done) };
        if let FileDone::Wrote { page, result } = done {
            self.assembly.give_back(page);
            match result {
                Ok(()) => {
                    self.picker.got_proven(piece);
                    self.news.push(News::Stored(piece));
                }
                Err(error) => {
                    self.picker.got_broken(piece);
                    self.news.push(News::DiskFailed(error));
                }
            }
        }
        None
    }
}
