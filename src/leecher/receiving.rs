//! The way of a block: from the wire into its page, with its piece to judgement, and to disk.

use super::assembly::Verdict;
use super::link::{Into, Receiving};
use super::picker::Claim;
use super::{Leecher, News};
use crate::content::geometry::{Block, Piece};
use crate::core::fault::Fault;
use crate::core::id::{ConnId, Ticket};
use crate::core::io::{FileDone, FileOp, Outbox};
use crate::core::mark::mark;
use crate::core::time::Time;
use crate::peer::Sessions;

impl Leecher {
    /// Holds no more than so many bytes of pieces that fill, but a few pieces in any case.
    pub fn hold(&mut self, pages_bytes: u64) {
        self.assembly.hold(pages_bytes);
    }

    pub fn block_began(&mut self, conn: ConnId, block: Block, now: Time) -> Result<(), Fault> {
        let Some(link) = self.links.get_mut(&conn) else { return Ok(()) };
        let asked = link.answered(block);
        let known = asked.is_some() || link.answered_cancelled(block);
        let claim = if known { self.picker.claim(conn, block) } else { Claim::Gone };
        let into = match claim {
            Claim::Sole => Into::Page,
            Claim::Shared => {
                // It may have been called off and come all the same: nobody need ask for it now.
                self.picker.reclaim(conn, block);
                self.contested.insert(block);
                Into::Aside(Vec::new())
            }
            Claim::Gone => Into::Nowhere,
        };
        link.receiving = Some(Receiving { block, asked, began: now, filled: 0, into });
        if known { Ok(()) } else { self.count_misplaced(conn) }
    }

    pub fn block_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Time) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        let Some(receiving) = &mut link.receiving else { return };
        link.meter.add(now, bytes.len() as u64);
        link.pace.got_bytes(now);
        match &mut receiving.into {
            Into::Page => self.assembly.fill(receiving.block, receiving.filled, bytes),
            Into::Aside(block) => block.extend_from_slice(bytes),
            Into::Nowhere => {}
        }
        receiving.filled += bytes.len() as u32;
    }

    pub fn block_ended(
        &mut self,
        conn: ConnId,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        let Some(receiving) = link.receiving.take() else { return };
        let was_late = link.late;
        link.served(receiving.asked, receiving.filled, now);
        if was_late {
            link.asked.iter().for_each(|asked| self.picker.reclaim(conn, asked.block));
        }
        let block = receiving.block;
        match receiving.into {
            Into::Page => {}
            Into::Aside(bytes) if self.picker.claim(conn, block) != Claim::Gone => {
                self.assembly.begin(block.piece());
                self.assembly.fill(block, 0, &bytes);
            }
            Into::Aside(_) | Into::Nowhere => return,
        }
        self.assembly.end_block(block, conn);
        let whole = self.picker.got_block(block);
        if self.contested.remove(&block) {
            self.call_off(block, sessions, now, out);
        }
        if whole {
            self.judge(block.piece(), out);
        }
    }

    pub(super) fn judge(&mut self, piece: Piece, out: &mut Outbox) {
        match self.assembly.judge(piece, &self.content) {
            Some(Verdict::Proven(filling))
                if self.content.contradicts_itself(piece, &filling.page) =>
            {
                mark!("A21");
                self.assembly.discard(filling);
                self.picker.got_broken(piece);
                self.news.push(News::Contradiction(piece));
            }
            Some(Verdict::Proven(filling)) => {
                self.piece_proved(piece, &filling.evidence);
                let offset = self.content.geometry.piece_offset(piece);
                let page = filling.page;
                let ticket = out.file(FileOp::Write { file: self.file, offset, page });
                self.writes.insert(ticket, piece);
            }
            Some(Verdict::Broken(filling)) => {
                // Who sent all of it is found out; among several the leaves will tell.
                self.news.push(match filling.evidence.senders()[..] {
                    [liar] => News::Lied(liar, piece),
                    _ => News::Broken(piece),
                });
                self.inquiries.open(piece, filling);
            }
            None => self.picker.got_broken(piece),
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
                // Our disk is nobody's lie: the piece is asked for again, and nobody is struck.
                Err(error) => {
                    self.picker.got_broken(piece);
                    self.news.push(News::DiskFailed(error));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::bitfield::Bitfield;
    use crate::content::grid::Form;
    use crate::content::metainfo::outside::Outside;
    use crate::content::metainfo::{Content, Maker, Wanted};
    use crate::core::id::FileId;
    use crate::core::mark::expect_mark;
    use crate::core::rng::Rng;
    use crate::leecher::link::Asked;
    use std::rc::Rc;

    /// A hybrid of 40,000 equal bytes; `spoil` is given its SHA-1 hashes.
    fn hybrid(spoil: impl FnOnce(&mut [u8])) -> Content {
        let (outside, source) = (Outside::default(), None);
        let (form, piece_length) = (Form::Hybrid, Some(16_384));
        let wanted = Wanted { form, piece_length, private: false, source, outside };
        let mut maker = Maker::file(b"x", 40_000, wanted).unwrap();
        maker.update(&[7; 40_000]);
        let mut torrent = maker.finish().unwrap();
        let key = b"6:pieces60:";
        let at = torrent.windows(key.len()).position(|part| part == key).unwrap() + key.len();
        spoil(&mut torrent[at..at + 60]);
        Content::from_torrent(&torrent).unwrap()
    }

    /// What is told once all blocks came from one source.
    fn fetched(content: Content) -> Vec<News> {
        let (conn, file) = (ConnId { slot: 1, generation: 0 }, FileId { slot: 0, generation: 0 });
        let (pieces, mut out) = (content.geometry.pieces(), Outbox::default());
        let none = Bitfield::new(pieces);
        let mut leecher = Leecher::new(Rc::new(content), file, none, &mut Rng::new(1));
        leecher.joined(conn, Time::ZERO);
        leecher.got_unchoke(conn, Time::ZERO);
        let all = Bitfield::full(pieces);
        let mut picked = Vec::new();
        leecher.picker.next((conn, &all), 9, (9, None), &mut picked);
        for block in picked {
            leecher.assembly.begin(block.piece());
            let link = leecher.links.get_mut(&conn).unwrap();
            link.asked.push_back(Asked { block, at: Time::ZERO });
            leecher.block_began(conn, block, Time::ZERO).unwrap();
            let len = leecher.content.geometry.block_len(block) as usize;
            leecher.block_bytes(conn, &vec![7; len], Time::ZERO);
            leecher.block_ended(conn, &mut Sessions::new(), Time::ZERO, &mut out);
        }
        leecher.take_news()
    }

    #[test]
    fn a_hybrid_whose_hashes_contradict_each_other_is_nobodys_lie() {
        assert_eq!(fetched(hybrid(|_| ())), []);
        let news = expect_mark!("A21", fetched(hybrid(|hashes| hashes[25] ^= 1)));
        assert!(matches!(news[..], [News::Contradiction(piece)] if piece.index() == 1), "{news:?}");
    }
}
