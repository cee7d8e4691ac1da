//! The serving half from outside: what it answers, in which order, and how often.

use super::*;
use crate::content::bitfield::Bitfield;
use crate::content::metainfo::ContentHasher;
use crate::core::chunk::{Chunk, FileSpan};
use crate::core::id::{FileId, PeerId};
use crate::core::io::Effect;
use crate::core::mark::expect_mark;
use crate::core::rng::Rng;
use crate::core::time::Span;
use crate::peer::Identity;
use crate::wire::peer::{BlockRef, Framer, Handshake, Reserved};
use std::rc::Rc;

const BLOCK: u32 = 16 * 1024;
const BLOCKS: u32 = 128;

fn conn(slot: u32) -> ConnId {
    ConnId { slot, generation: 0 }
}

fn block(n: u32) -> BlockRef {
    BlockRef { piece: n, begin: 0, len: BLOCK }
}

/// What left for one leecher.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Said {
    Choke,
    Unchoke,
    State(u8),
    Block(u32),
    Reject(u32),
}

struct Stage {
    seeder: Seeder,
    sessions: Sessions,
    out: Outbox,
    now: Time,
}

impl Stage {
    fn new(slots: u32) -> Stage {
        let size = u64::from(BLOCK * BLOCKS);
        let mut hasher = ContentHasher::new(b"big.zip", size - 1).unwrap();
        hasher.update(&vec![7; size as usize - 1]);
        let content = Rc::new(hasher.finish().unwrap());
        assert_eq!(content.geometry.pieces(), BLOCKS);
        let have = Bitfield::full(BLOCKS);
        let library = Library::new(content, FileId { slot: 0, generation: 0 }, have);
        Stage {
            seeder: Seeder::new(library, slots),
            sessions: Sessions::new(),
            out: Outbox::default(),
            now: Time::ZERO + Span::secs(1),
        }
    }

    /// A leecher that speaks the fast extension and `lmk_state`.
    fn join(&mut self, n: u32) {
        let mut peer_id = *b"-LM0001-............";
        peer_id[8..12].copy_from_slice(&n.to_be_bytes());
        let handshake = Handshake {
            reserved: Reserved::new().with_extended().with_fast(),
            info_hash: crate::core::id::InfoHash([1; 20]),
            peer_id: PeerId(peer_id),
        };
        let geometry = self.seeder.library.content().geometry.clone();
        let read = (Framer::new(), handshake);
        let remote = ([10, 0, 0, 1], 1000 + n as u16).into();
        let mut session =
            Session::accepted(conn(n), remote, read, Identity::V2, geometry, self.now);
        let mut words = crate::wire::extended::ExtendedHandshake::default();
        words.ids.set(crate::wire::extended::Extension::LmkState, 9);
        session.introduced = Some(words);
        self.sessions.insert(conn(n), session);
        self.seeder.joined(conn(n), self.now);
    }

    fn interested(&mut self, n: u32) -> Result<(), Fault> {
        self.seeder.got_interested(conn(n), &mut self.sessions, self.now, &mut self.out)
    }

    fn not_interested(&mut self, n: u32) {
        self.seeder.got_not_interested(conn(n), &mut self.sessions, self.now, &mut self.out);
    }

    fn ask(&mut self, n: u32, b: u32) -> Result<(), Fault> {
        let session = self.sessions.get_mut(&conn(n)).unwrap();
        self.seeder.got_request(session, block(b), self.now, &mut self.out)
    }

    fn cancel(&mut self, n: u32, b: u32) {
        let session = self.sessions.get_mut(&conn(n)).unwrap();
        self.seeder.got_cancel(session, block(b), self.now, &mut self.out);
    }

    fn pump(&mut self, n: u32) {
        self.seeder.pump(conn(n), &mut self.sessions, self.now, &mut self.out);
    }

    /// The driver tells what of the queue is left.
    fn sent(&mut self, n: u32, queued: u64) {
        let told = (conn(n), queued);
        self.seeder.got_sent(told, &mut self.sessions, self.now, &mut self.out);
    }

    fn leave(&mut self, n: u32) {
        let session = self.sessions.remove(&conn(n)).unwrap();
        self.seeder.left(&session, &mut self.sessions, self.now, &mut self.out);
    }

    fn pass(&mut self, span: Span) {
        self.now = self.now + span;
        self.seeder.tick(&mut self.sessions, None, self.now, &mut self.out);
    }

    /// What was said since the last call, to whom.
    fn said(&mut self) -> Vec<(u32, Said)> {
        let effects = std::mem::take(&mut self.out.effects);
        let said = effects.iter().filter_map(|effect| {
            let Effect::Send { conn, chunk } = effect else { return None };
            let bytes = match chunk {
                Chunk::Head(head) => head.bytes(),
                Chunk::Arena { start, len } => self.out.bytes(*start, *len),
                Chunk::File(_) => return None,
            };
            let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            let said = match bytes {
                [0, 0, 0, 1, 0] => Said::Choke,
                [0, 0, 0, 1, 1] => Said::Unchoke,
                [0, 0, 0x40, 9, 7, ..] => Said::Block(number(5)),
                [0, 0, 0, 13, 16, ..] => Said::Reject(number(5)),
                [b'd', ..] => Said::State(UploadState::decode(bytes).unwrap().state as u8),
                _ => return None,
            };
            Some((conn.slot, said))
        });
        let said = said.collect();
        self.out.arena.clear();
        said
    }

    fn said_to(&mut self, n: u32) -> Vec<Said> {
        self.said().into_iter().filter(|(to, _)| *to == n).map(|(_, said)| said).collect()
    }
}

#[test]
fn a_quantum_ends_with_state_choke_and_one_reject_for_each_request_in_this_order() {
    let mut stage = Stage::new(1);
    (0..2).for_each(|n| stage.join(n));
    stage.interested(0).unwrap();
    stage.interested(1).unwrap();
    assert_eq!(stage.said(), [(0, Said::State(1)), (0, Said::Unchoke), (1, Said::State(2))]);
    (0..70).for_each(|b| stage.ask(0, b).unwrap());
    stage.pump(0);
    assert_eq!(stage.said_to(0), (0..64).map(Said::Block).collect::<Vec<_>>());
    for _ in 0..59 {
        stage.seeder.slots.took(conn(0), stage.now);
        stage.pass(Span::secs(1));
    }
    stage.said();
    stage.pass(Span::secs(1));
    let mut expected = vec![(0, Said::State(2)), (0, Said::Choke)];
    expected.extend((64..70).map(|b| (0, Said::Reject(b))));
    expected.extend([(1, Said::State(1)), (1, Said::Unchoke)]);
    assert_eq!(stage.said(), expected);
}

/// libtorrent 2.0.8 asks so for the last block of a v2 file.
#[test]
fn what_a_request_asks_of_behind_the_end_of_a_file_is_zeros() {
    let mut stage = Stage::new(1);
    stage.join(0);
    stage.interested(0).unwrap();
    stage.said();
    stage.ask(0, BLOCKS - 1).unwrap();
    stage.pump(0);
    let sent = stage.out.effects.iter().filter_map(|effect| match effect {
        Effect::Send { chunk, .. } => Some(*chunk),
        _ => None,
    });
    let head = crate::wire::peer::block_head(BLOCKS - 1, 0, BLOCK);
    let (file, offset) = (FileId { slot: 0, generation: 0 }, u64::from(BLOCK * (BLOCKS - 1)));
    let short = FileSpan { file, offset, len: BLOCK - 1 };
    let inline = |bytes: &[u8]| Chunk::Head(crate::core::chunk::Head::new(bytes).unwrap());
    let expected = [inline(&head), Chunk::File(short), inline(&[0])];
    assert_eq!(sent.collect::<Vec<_>>(), expected);
}

#[test]
fn those_who_wait_hear_their_place_when_it_changes_and_every_thirty_seconds() {
    let mut stage = Stage::new(1);
    (0..5).for_each(|n| stage.join(n));
    (0..5).for_each(|n| stage.interested(n).unwrap());
    stage.said();
    stage.now = stage.now + Span::ms(500);
    stage.leave(1);
    stage.leave(2);
    stage.pass(Span::ms(1_400));
    assert_eq!(stage.said(), [], "told 2 s apart at the least");
    stage.pass(Span::ms(100));
    assert_eq!(stage.said(), [(3, Said::State(2)), (4, Said::State(2))]);
    let position = |stage: &Stage, n| stage.seeder.slots.queue().position(conn(n)).unwrap();
    assert_eq!((position(&stage, 3), position(&stage, 4)), (1, 2));
    let mut told = 0;
    for _ in 0..95 {
        stage.seeder.slots.asked(conn(0), stage.now);
        stage.pass(Span::secs(1));
        if !stage.seeder.slots.is_active(conn(0)) {
            break;
        }
        told += stage.said_to(4).len();
    }
    assert_eq!(told, 1, "one heartbeat before the rotation");
}

#[test]
fn the_places_of_thousands_are_counted_in_one_pass() {
    const MANY: u32 = 2_000;
    let mut stage = Stage::new(1);
    (0..MANY).for_each(|n| stage.join(n));
    (0..MANY).for_each(|n| stage.interested(n).unwrap());
    stage.now = stage.now + Span::secs(1);
    stage.leave(1);
    stage.said();
    let counted = |stage: &Stage| stage.seeder.slots.queue().counted.get();
    let before = counted(&stage);
    stage.pass(Span::secs(2));
    assert_eq!(stage.said().len(), MANY as usize - 2, "everyone moved up");
    assert!(counted(&stage) - before <= MANY as usize, "{}", counted(&stage) - before);
}

#[test]
fn who_wants_nothing_hears_of_free_slots_five_seconds_apart() {
    let mut stage = Stage::new(1);
    (0..2).for_each(|n| stage.join(n));
    let mut told = Vec::new();
    for second in 0..40 {
        // A slot that comes and goes every second.
        match second % 2 {
            0 => stage.interested(0).unwrap(),
            _ => stage.not_interested(0),
        }
        stage.pass(Span::ms(500));
        stage.now = stage.now + Span::ms(500);
        if !stage.said_to(1).is_empty() {
            told.push(second);
        }
    }
    assert!(!told.is_empty());
    assert!(told.windows(2).all(|two| two[1] - two[0] >= 5), "{told:?}");
}

#[test]
fn requests_that_are_refused_end_the_conversation_when_they_do_not_end() {
    let mut stage = Stage::new(1);
    (0..2).for_each(|n| stage.join(n));
    (0..2).for_each(|n| stage.interested(n).unwrap());
    stage.pass(Span::secs(3));
    let fault = expect_mark!("D10", (0..10_000).find_map(|b| stage.ask(1, b % BLOCKS).err()));
    assert!(fault.is_some());
    let rejects = stage.said_to(1).iter().filter(|said| matches!(said, Said::Reject(_))).count();
    assert_eq!(rejects, upload::ASKED_MAX);
}

#[test]
fn what_was_on_its_way_when_we_choked_is_no_flood() {
    let mut stage = Stage::new(1);
    stage.join(0);
    assert!((0..10_000).all(|b| stage.ask(0, b % BLOCKS).is_ok()), "choked just now");
}

#[test]
fn changing_its_mind_on_and_on_ends_the_conversation() {
    let mut stage = Stage::new(1);
    stage.join(0);
    let fault = expect_mark!("D23", {
        (0..1000).find_map(|_| {
            stage.not_interested(0);
            stage.interested(0).err()
        })
    });
    assert!(fault.is_some());
    let states = stage.said_to(0).iter().filter(|said| matches!(said, Said::State(_))).count();
    assert_eq!(states, 8, "state messages are rationed");
}

#[test]
fn a_withdrawn_file_is_refused_to_all_and_serves_nobody_any_more() {
    let mut stage = Stage::new(1);
    (0..3).for_each(|n| stage.join(n));
    (0..2).for_each(|n| stage.interested(n).unwrap());
    (0..70).for_each(|b| stage.ask(0, b).unwrap());
    stage.pump(0);
    stage.said();
    stage.seeder.withdraw(&mut stage.sessions, stage.now, &mut stage.out);
    assert_eq!(stage.seeder.state_for(conn(1), None).reason, Reason::Gone);
    let said = stage.said();
    let to = |n: u32| -> Vec<Said> {
        said.iter().filter(|(c, _)| *c == n).map(|(_, s)| s.clone()).collect()
    };
    let mut expected = vec![Said::State(2), Said::Choke];
    expected.extend((64..70).map(Said::Reject));
    assert_eq!(to(0), expected);
    assert_eq!(to(1), [Said::State(2)]);
    assert_eq!(to(2), [Said::State(2)]);
    stage.interested(2).unwrap();
    stage.ask(0, 3).unwrap();
    stage.pass(Span::secs(100));
    assert_eq!(stage.said(), [(0, Said::Reject(3))]);
}

/// What every request got, counted over random asking, cancelling, choking and coming back.
#[test]
fn every_request_gets_exactly_one_answer_across_choke_and_cancel() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let mut stage = Stage::new(1);
        let leechers = 3;
        let mut open = vec![vec![0_u32; BLOCKS as usize]; leechers];
        (0..leechers as u32).for_each(|n| stage.join(n));
        let settle = |stage: &mut Stage, open: &mut Vec<Vec<u32>>| {
            for (n, said) in stage.said() {
                if let Said::Block(b) | Said::Reject(b) = said {
                    let owed = &mut open[n as usize][b as usize];
                    assert_eq!(*owed, 1, "seed {seed}: {n} got {said:?} unasked or twice");
                    *owed = 0;
                }
            }
        };
        for _ in 0..4000 {
            let (n, b) = (rng.below(leechers as u64) as u32, rng.below(BLOCKS.into()) as u32);
            match rng.below(12) {
                0..5 if open[n as usize][b as usize] == 0 => {
                    open[n as usize][b as usize] = 1;
                    stage.ask(n, b).unwrap();
                }
                5 => stage.cancel(n, b),
                6 | 7 => stage.pump(n),
                8 => {
                    let left = rng.below(1 << 20);
                    stage.sent(n, left);
                }
                9 if rng.chance(100) => stage.not_interested(n),
                10 => drop(stage.interested(n)),
                _ => {
                    stage.seeder.slots.took(conn(n), stage.now);
                    stage.pass(Span::ms(rng.below(2000)));
                }
            }
            settle(&mut stage, &mut open);
        }
        // Who holds the slot takes all that it asked for; the others were refused at once.
        for n in 0..leechers as u32 {
            stage.sent(n, 0);
            settle(&mut stage, &mut open);
            for _ in 0..4 {
                stage.sent(n, 0);
                settle(&mut stage, &mut open);
            }
        }
        assert!(open.iter().flatten().all(|owed| *owed == 0), "seed {seed}: {open:?}");
    }
}

#[test]
fn a_cancelled_request_is_refused_once_and_a_block_that_left_is_not_taken_back() {
    let mut stage = Stage::new(1);
    stage.join(0);
    stage.interested(0).unwrap();
    (0..65).for_each(|b| stage.ask(0, b).unwrap());
    stage.pump(0);
    stage.said();
    expect_mark!("D11", stage.cancel(0, 64));
    stage.cancel(0, 64);
    stage.cancel(0, 3);
    assert_eq!(stage.said(), [(0, Said::Reject(64))]);
}

/// Whoever may take part in a private torrent has its .torrent (BEP 27).
#[test]
fn metadata_of_a_private_torrent_is_not_given_away() {
    for private in [false, true] {
        let mut hasher = ContentHasher::new(b"big.zip", 5).unwrap();
        hasher.update(b"bytes");
        let mut content = hasher.finish().unwrap();
        content.private = private;
        let mut stage = Stage::new(1);
        let file = FileId { slot: 0, generation: 0 };
        stage.seeder.library = Library::new(Rc::new(content), file, Bitfield::full(1));
        stage.join(1);
        let session = stage.sessions.get_mut(&conn(1)).unwrap();
        let words = session.introduced.as_mut().unwrap();
        words.ids.set(crate::wire::extended::Extension::UtMetadata, 3);
        let mut ask = || stage.seeder.got_metadata_request(session, 0, stage.now, &mut stage.out);
        match private {
            true => expect_mark!("A25", ask()),
            false => ask(),
        }
        let mut said = Vec::new();
        for effect in &stage.out.effects {
            if let Effect::Send { chunk: Chunk::Arena { start, len }, .. } = effect {
                said.extend_from_slice(stage.out.bytes(*start, *len));
            }
            if let Effect::Send { chunk: Chunk::Head(head), .. } = effect {
                said.extend_from_slice(head.bytes());
            }
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(said.contains("msg_typei2e"), private, "{said}");
        assert_eq!(said.contains("file tree"), !private, "{said}");
    }
}
