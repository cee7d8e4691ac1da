//! What is done about a piece that does not match its hash. Its page is kept, and a source that is
//! not the sole suspect is asked for the leaf hashes, which the proven node of the piece proves
//! (BEP 52): only the blocks that are wrong are missing again, and only who sent them is struck.
//! Where nobody can tell the leaves, all of the piece is fetched again from one source; once it
//! matches, the leaves are known, and with them who had lied.

use super::assembly::{Evidence, Filling};
use super::{Leecher, News};
use crate::content::geometry::Piece;
use crate::content::proof::{self, HashRange};
use crate::content::trees::FileTree;
use crate::core::fault::Fault;
use crate::core::id::{ConnId, Hash32};
use crate::core::io::Outbox;
use crate::core::limits::FAILED_PIECES_MAX;
use crate::core::time::{Span, Time};
use crate::peer::{Identity, Session, Sessions};
use crate::wire::peer::{self, Message};
use std::collections::{BTreeMap, BTreeSet};

/// A source that does not tell the leaves for so long is not waited for.
const ANSWER: Span = Span::secs(10);
/// ... nor so long where hardly anybody may be asked for anything else meanwhile.
const ANSWER_STUCK: Span = Span::secs(2);
/// Pieces one source is asked about at a time: sources refuse more.
const ASKED_MAX: usize = 2;

#[derive(Debug)]
struct Inquiry {
    filling: Filling,
    /// Who is asked for the leaves, and since when.
    asked: Option<(ConnId, Time)>,
    tried: BTreeSet<ConnId>,
}

#[derive(Debug, Default)]
pub struct Inquiries {
    open: BTreeMap<Piece, Inquiry>,
    /// Requests for leaves that may still be answered.
    awaited: BTreeSet<(ConnId, Piece)>,
    /// Failed attempts at pieces that are fetched again from one source.
    evidence: BTreeMap<Piece, Evidence>,
    /// Sources that let us wait once: they are not asked for leaves again.
    silent: BTreeSet<ConnId>,
}

impl Inquiries {
    pub fn open(&mut self, piece: Piece, filling: Filling) {
        self.open.insert(piece, Inquiry { filling, asked: None, tried: BTreeSet::new() });
    }

    /// Whether a part of a piece that did not match came from `conn`, and it is not known yet which
    /// part was wrong. Until then it is asked for nothing that it could spoil, too.
    pub fn suspects(&self, conn: ConnId) -> bool {
        let open = self.open.values().map(|inquiry| &inquiry.filling.evidence);
        open.chain(self.evidence.values()).any(|evidence| evidence.is_from(conn))
    }

    /// Failed attempts that are remembered.
    pub fn remembered(&self) -> usize {
        self.evidence.len()
    }

    /// Whether an earlier attempt at the piece failed, and a good one will tell who had lied.
    pub fn remembers(&self, piece: Piece) -> bool {
        self.evidence.contains_key(&piece)
    }

    pub fn left(&mut self, conn: ConnId) {
        self.awaited.retain(|(asked, _)| *asked != conn);
        self.silent.remove(&conn);
        for inquiry in self.open.values_mut() {
            inquiry.asked.take_if(|(asked, _)| *asked == conn);
        }
    }

    fn give_up(&mut self, conn: ConnId, piece: Piece) {
        if let Some(inquiry) = self.open.get_mut(&piece) {
            inquiry.asked.take_if(|(asked, _)| *asked == conn);
        }
    }

    /// Pieces nobody is being asked about; whoever let us wait for too long is passed over.
    fn waiting(&mut self, patience: Span, now: Time) -> Vec<Piece> {
        let mut waiting = Vec::new();
        for (piece, inquiry) in &mut self.open {
            let late = inquiry.asked.take_if(|(_, since)| now.since(*since) > patience);
            self.silent.extend(late.map(|(conn, _)| conn));
            if inquiry.asked.is_none() {
                waiting.push(*piece);
            }
        }
        waiting
    }

    /// Whether a source is asked about as many pieces as it answers at a time.
    fn is_busy(&self, conn: ConnId) -> bool {
        let asked = self.open.values().filter_map(|inquiry| inquiry.asked);
        asked.filter(|(asked, _)| *asked == conn).count() >= ASKED_MAX
    }
}

impl Leecher {
    /// Goes on with every piece that did not match and that nobody is asked about.
    pub fn inquire(&mut self, sessions: &mut Sessions, now: Time, out: &mut Outbox) {
        if self.inquiries.open.is_empty() {
            return;
        }
        let patience = if self.is_stuck(now) { ANSWER_STUCK } else { ANSWER };
        for piece in self.inquiries.waiting(patience, now) {
            if !self.ask_for_leaves(piece, sessions, now, out) {
                self.do_without_leaves(piece, sessions, now);
            }
        }
    }

    /// Whether the whole download may be waiting for one answer: no two sources that serve are
    /// beyond suspicion.
    fn is_stuck(&self, now: Time) -> bool {
        let serving = self.links.iter().filter(|(_, link)| link.serves(now));
        serving.filter(|(conn, _)| !self.inquiries.suspects(**conn)).nth(1).is_none()
    }

    /// The tree a piece is in, and the request for the leaves of the piece.
    fn leaves_of(&self, piece: Piece) -> Option<(FileTree, HashRange)> {
        let (tree, index) = self.content.trees()?.place(piece.index())?;
        Some((*tree, HashRange::leaves_of(&tree.shape, index)?))
    }

    /// Asks somebody who can know; `false` if there is nobody left.
    fn ask_for_leaves(
        &mut self,
        piece: Piece,
        sessions: &mut Sessions,
        now: Time,
        out: &mut Outbox,
    ) -> bool {
        let Some((tree, range)) = self.leaves_of(piece) else { return false };
        let Some(inquiry) = self.inquiries.open.get(&piece) else { return true };
        let senders = inquiry.filling.evidence.senders();
        let can_tell = |session: &&mut Session| {
            session.peer_id.is_some()
                && session.identity == Identity::V2
                && session.has.get(piece.index())
                && !inquiry.tried.contains(&session.conn)
                && !self.inquiries.silent.contains(&session.conn)
                && senders != [session.conn]
        };
        // One who sent nothing of it has nothing to hide.
        let best = sessions.values_mut().filter(can_tell).min_by_key(|session| {
            let busy = self.inquiries.is_busy(session.conn);
            (busy, senders.contains(&session.conn), !session.is_lmk())
        });
        let Some(session) = best else { return false };
        if self.inquiries.is_busy(session.conn) {
            return true;
        }
        let HashRange { base, index, length, proof } = range;
        let asked = peer::HashRange { root: tree.root, base, index, length, proof };
        let Some(inquiry) = self.inquiries.open.get_mut(&piece) else { return true };
        inquiry.asked = Some((session.conn, now));
        inquiry.tried.insert(session.conn);
        self.inquiries.awaited.insert((session.conn, piece));
        session.say(Message::HashRequest(asked), now, out);
        true
    }

    /// Nobody can tell the leaves. With one sender there is nothing to find out; with several the
    /// piece is fetched again from one of them, rather one who sent nothing of it. Should there be
    /// many such pieces, those beyond the bound wait until others have matched.
    fn do_without_leaves(&mut self, piece: Piece, sessions: &Sessions, now: Time) {
        let Some(inquiry) = self.inquiries.open.remove(&piece) else { return };
        let senders = inquiry.filling.evidence.senders();
        let known = self.inquiries.remembers(piece);
        if senders.len() > 1 && !known && self.inquiries.evidence.len() >= FAILED_PIECES_MAX {
            self.inquiries.open.insert(piece, inquiry);
            return;
        }
        let evidence = self.assembly.discard(inquiry.filling);
        if senders.len() < 2 && !known {
            return self.picker.got_broken(piece);
        }
        let serving = sessions.values().filter(|session| {
            let link = self.links.get(&session.conn);
            session.has.get(piece.index()) && link.is_some_and(|link| link.serves(now))
        });
        let owner = serving.min_by_key(|session| senders.contains(&session.conn));
        self.picker.take_alone(piece, owner.map(|session| session.conn));
        self.inquiries.evidence.entry(piece).or_insert(evidence);
    }

    /// The leaves of a piece that did not match, from one who was asked for them. They count only
    /// if they fold to the proven node; until then nothing is touched.
    pub fn got_hashes(
        &mut self,
        conn: ConnId,
        told: peer::HashRange,
        hashes: &[Hash32],
    ) -> Result<(), Fault> {
        let piece = self.asked_about(conn, told);
        let Some((piece, tree, range)) = piece else {
            crate::mark!("D30");
            return Err(Fault::peer("hashes: nobody asked for them"));
        };
        let known = |layer: u32, index: u64| {
            let index = u32::try_from(index).ok().filter(|index| *index < tree.shape.pieces)?;
            let known = layer == u32::from(tree.shape.piece_layer);
            self.content.trees().filter(|_| known)?.node(tree.first + index)
        };
        // It was slow, not silent.
        self.inquiries.silent.remove(&conn);
        match proof::verify(&tree.shape, &range, hashes, known) {
            Ok(leaves) => self.settle(piece, &leaves),
            Err(fault) => {
                crate::mark!("D30");
                self.inquiries.give_up(conn, piece);
                return Err(fault);
            }
        }
        Ok(())
    }

    /// A refusal of hashes: of what was asked the next is asked; any other means nothing.
    pub fn got_hash_reject(&mut self, conn: ConnId, told: peer::HashRange) {
        match self.asked_about(conn, told) {
            Some((piece, ..)) => self.inquiries.give_up(conn, piece),
            None => crate::mark!("D31"),
        }
    }

    /// The piece that an answer about `told` is about, if `conn` was asked for it: of pieces of
    /// equal files any one.
    fn asked_about(
        &mut self,
        conn: ConnId,
        told: peer::HashRange,
    ) -> Option<(Piece, FileTree, HashRange)> {
        let peer::HashRange { root, base, index, length, proof } = told;
        let told = (root, HashRange { base, index, length, proof });
        let awaited = self.inquiries.awaited.iter().filter(|(asked, _)| *asked == conn);
        let (piece, tree, range) = awaited.map(|(_, piece)| *piece).find_map(|piece| {
            let (tree, range) = self.leaves_of(piece)?;
            ((tree.root, range) == told).then_some((piece, tree, range))
        })?;
        self.inquiries.awaited.remove(&(conn, piece));
        Some((piece, tree, range))
    }

    /// The true leaves of a piece are known: its wrong blocks are missing again.
    fn settle(&mut self, piece: Piece, leaves: &[Hash32]) {
        let Some(inquiry) = self.inquiries.open.remove(&piece) else { return };
        crate::mark!("D15");
        let bad = inquiry.filling.evidence.differing(leaves);
        let blocks: Vec<u32> = bad.iter().map(|(index, _)| *index).collect();
        self.accuse(piece, bad.into_iter().filter_map(|(_, from)| from).collect());
        self.assembly.resume(piece, inquiry.filling);
        self.picker.got_bad_blocks(piece, &blocks);
    }

    /// A piece matched: if an earlier attempt did not, its leaves say who had lied.
    pub(super) fn piece_proved(&mut self, piece: Piece, proven: &Evidence) {
        if let Some(evidence) = self.inquiries.evidence.remove(&piece) {
            crate::mark!("D16");
            let bad = evidence.differing(&proven.leaves);
            self.accuse(piece, bad.into_iter().filter_map(|(_, from)| from).collect());
        }
    }

    fn accuse(&mut self, piece: Piece, mut liars: Vec<ConnId>) {
        liars.sort_unstable();
        liars.dedup();
        self.news.extend(liars.into_iter().map(|liar| News::Lied(liar, piece)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::bitfield::Bitfield;
    use crate::content::geometry::Block;
    use crate::content::metainfo::ContentHasher;
    use crate::core::id::FileId;
    use crate::core::limits::FAILED_PIECES_MAX;
    use crate::core::rng::Rng;
    use crate::leecher::link::Asked;
    use std::rc::Rc;

    const HONEST: ConnId = ConnId { slot: 9, generation: 0 };
    const LIARS: [ConnId; 3] = [liar(1), liar(2), liar(3)];
    const PIECE: u32 = 4 * 16_384;
    const PIECES: u32 = 6;

    const fn liar(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    /// A leecher of six pieces of four blocks of sevens, in which nobody tells leaves.
    fn leecher() -> Leecher {
        let bytes = vec![7; (PIECE * PIECES) as usize];
        let mut hasher = ContentHasher::with_piece_length(b"x", bytes.len() as u64, PIECE).unwrap();
        hasher.update(&bytes);
        let content = Rc::new(hasher.finish().unwrap());
        let file = FileId { slot: 0, generation: 0 };
        let mut leecher = Leecher::new(content, file, Bitfield::new(PIECES), &mut Rng::new(1));
        for conn in LIARS.into_iter().chain([HONEST]) {
            leecher.joined(conn, Time::ZERO);
            leecher.got_unchoke(conn, Time::ZERO);
        }
        leecher
    }

    /// `conn` is asked for up to `n` blocks and may begin so many pieces.
    fn asks(leecher: &mut Leecher, conn: ConnId, (n, begins): (usize, usize)) -> Vec<Block> {
        let (all, mut picked) = (Bitfield::full(PIECES), Vec::new());
        leecher.picker.next((conn, &all), n, (begins, None), &mut picked);
        picked.iter().for_each(|block| leecher.assembly.begin(block.piece()));
        let link = leecher.links.get_mut(&conn).unwrap();
        link.asked.extend(picked.iter().map(|block| Asked { block: *block, at: Time::ZERO }));
        picked
    }

    /// `conn` sends blocks of nothing but `byte`.
    fn delivers(leecher: &mut Leecher, conn: ConnId, blocks: &[Block], byte: u8) {
        let mut out = Outbox::default();
        for block in blocks {
            leecher.block_began(conn, *block, Time::ZERO).unwrap();
            let len = leecher.content.geometry.block_len(*block) as usize;
            leecher.block_bytes(conn, &vec![byte; len], Time::ZERO);
            leecher.block_ended(conn, &mut Sessions::new(), Time::ZERO, &mut out);
        }
        leecher.inquire(&mut Sessions::new(), Time::ZERO, &mut out);
    }

    fn sends(leecher: &mut Leecher, conn: ConnId, wanted: (usize, usize), byte: u8) {
        let blocks = asks(leecher, conn, wanted);
        delivers(leecher, conn, &blocks, byte);
    }

    /// Who is found to have lied, and how many pieces did not match.
    fn found(leecher: &mut Leecher) -> (Vec<ConnId>, usize) {
        let news = leecher.take_news();
        let broken = news.iter().filter(|news| matches!(news, News::Broken(_))).count();
        let liars = news.iter().filter_map(|news| match news {
            News::Lied(conn, _) => Some(*conn),
            _ => None,
        });
        let mut liars: Vec<ConnId> = liars.collect();
        liars.sort_unstable();
        (liars, broken)
    }

    #[test]
    fn blocks_of_a_failed_attempt_are_compared_with_those_of_the_good_one_from_one_source() {
        for liars in 1..=3 {
            let mut leecher = leecher();
            for liar in &LIARS[..liars] {
                sends(&mut leecher, *liar, (1, 1), 8);
                // Of the piece of the first one; the others lie in it, too.
                (leecher.picker.open.values_mut()).for_each(|open| open.owner = None);
            }
            sends(&mut leecher, HONEST, (4 - liars, 0), 7);
            assert_eq!(found(&mut leecher), (vec![], 1), "several sent parts of it");
            // Nobody but the one who is asked first sends blocks of it now.
            sends(&mut leecher, HONEST, (1, 0), 7);
            sends(&mut leecher, LIARS[0], (4, 0), 8);
            assert_eq!(found(&mut leecher), (vec![], 0));
            crate::expect_mark!("D16", sends(&mut leecher, HONEST, (3, 0), 7));
            assert_eq!(found(&mut leecher), (LIARS[..liars].to_vec(), 0));
        }
    }

    #[test]
    fn few_failed_attempts_are_remembered_and_the_others_wait_for_their_turn() {
        let mut leecher = leecher();
        let blocks = asks(&mut leecher, HONEST, (99, PIECES as usize));
        for (number, blocks) in blocks.chunks(4).enumerate() {
            // It is quicker with the first one.
            let (liar, block) = (LIARS[number % 3], blocks[0]);
            let link = leecher.links.get_mut(&liar).unwrap();
            link.asked.push_back(Asked { block, at: Time::ZERO });
            delivers(&mut leecher, liar, &[block], 8);
            delivers(&mut leecher, HONEST, &blocks[1..], 7);
        }
        assert_eq!(found(&mut leecher), (vec![], PIECES as usize));
        assert_eq!(leecher.inquiries.remembered(), FAILED_PIECES_MAX);
        for _ in 0..2 {
            crate::expect_mark!("D16", sends(&mut leecher, HONEST, (99, 0), 7));
        }
        let [a, b, c] = LIARS;
        assert_eq!(found(&mut leecher), (vec![a, a, b, b, c, c], 0));
        assert_eq!(leecher.inquiries.remembered(), 0);
    }
}
