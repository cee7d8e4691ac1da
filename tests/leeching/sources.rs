//! Sources that misbehave: real seeders whose wishes are changed on their way out.

use lmk::core::chunk::{Chunk, FileSpan};
use lmk::core::id::{ConnId, Hash32};
use lmk::core::io::{Effect, Input, Outbox, Role};
use lmk::core::report::Snapshot;
use lmk::core::time::{Span, Time};
use lmk::node::Node;
use lmk::wire::peer::{HashRange, Message};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    Good,
    /// Every block is wrong.
    LiesAlways,
    /// The last block of each piece is wrong.
    LiesLast,
    /// Every block of the first piece is wrong, and nothing else.
    LiesInFirst,
    LiesSeventh,
    /// As the last, and refuses hashes.
    LiesSeventhMute,
    /// Refuses hashes.
    GoodMute,
    /// Does not answer when it is asked for hashes.
    GoodSilent,
    /// Sends good blocks and wrong hashes.
    LiesAboutLeaves,
    /// Sends a block many times that was asked for once.
    Unasked,
    /// Refuses hashes that nobody asked for.
    RefusesUnasked,
    /// One block is wrong, the fourth it sends.
    LiesOnce,
    SilentAfterHandshake,
    /// The head of its first block is the last that is heard of it.
    StallsInABlock,
    /// One byte a second.
    Drips,
    /// A block in 800 ms.
    Slow,
}

/// What waits to be sent.
enum Held {
    Bytes(Vec<u8>),
    File(FileSpan),
}

/// A seeder with a flaw.
pub struct Source {
    node: Node,
    how: How,
    /// Blocks sent, and bad ones among them.
    sent: u64,
    bad: Rc<Cell<u64>>,
    spoke: BTreeSet<ConnId>,
    stalled: BTreeSet<ConnId>,
    dripping: BTreeMap<ConnId, u64>,
    next_drip: Time,
    held: BTreeMap<ConnId, VecDeque<Held>>,
    /// The head of a message of hashes went there; they follow.
    telling_hashes: Option<ConnId>,
}

const BLOCK: u64 = 16 * 1024;
const PIECE: u64 = 256 * 1024;
const SLOW: Span = Span::ms(800);

impl Source {
    pub fn new(node: Node, how: How, bad: Rc<Cell<u64>>) -> Source {
        Source {
            node,
            how,
            sent: 0,
            bad,
            spoke: BTreeSet::new(),
            stalled: BTreeSet::new(),
            dripping: BTreeMap::new(),
            next_drip: Time::NEVER,
            held: BTreeMap::new(),
            telling_hashes: None,
        }
    }

    fn lies(&self, index: u64) -> bool {
        match self.how {
            How::LiesAlways => true,
            How::LiesInFirst => index < 16,
            How::LiesLast => index % 16 == 15,
            How::LiesSeventh | How::LiesSeventhMute => index % 7 == 3,
            How::LiesOnce => self.sent == 4,
            _ => false,
        }
    }

    /// Keeps back what a slow source has to say from its first block on.
    fn hold(&mut self, effect: &Effect, out: &Outbox, now: Time) -> bool {
        let Effect::Send { conn, chunk } = effect else { return false };
        let slow = self.how == How::Slow;
        let queue = match chunk {
            Chunk::File(_) if slow => {
                self.next_drip = self.next_drip.min(now + SLOW);
                self.held.entry(*conn).or_default()
            }
            _ => match self.held.get_mut(conn) {
                Some(queue) => queue,
                None => return false,
            },
        };
        queue.push_back(match chunk {
            Chunk::Head(head) => Held::Bytes(head.bytes().to_vec()),
            Chunk::Arena { start, len } => Held::Bytes(out.bytes(*start, *len).to_vec()),
            Chunk::File(span) => Held::File(*span),
        });
        true
    }

    fn release(&mut self, now: Time, out: &mut Outbox) {
        if self.how != How::Slow || now < self.next_drip {
            return;
        }
        self.next_drip = now + SLOW;
        for (conn, queue) in &mut self.held {
            while let Some(held) = queue.pop_front() {
                match held {
                    Held::Bytes(bytes) => out.send(*conn, &bytes),
                    Held::File(span) => {
                        out.send_chunk(*conn, Chunk::File(span));
                        break;
                    }
                }
            }
        }
    }

    /// Changes one wish; false when it is not to be heard of.
    fn change(&mut self, effect: &mut Effect, now: Time) -> bool {
        let Effect::Send { conn, chunk } = effect else { return true };
        // The tracker, too, is spoken to; peers are whom a handshake or a block goes to.
        if let Chunk::File(span) = chunk {
            self.sent += 1;
            if self.lies(span.offset / BLOCK) {
                self.bad.set(self.bad.get() + 1);
                span.offset ^= BLOCK;
            }
            match self.how {
                How::StallsInABlock => {
                    self.stalled.insert(*conn);
                }
                How::Drips => {
                    self.stalled.insert(*conn);
                    self.dripping.insert(*conn, u64::from(span.len));
                    self.next_drip = now + Span::secs(1);
                }
                _ => {}
            }
        }
        if self.how == How::SilentAfterHandshake {
            let head = matches!(chunk, Chunk::Arena { len: 68, .. });
            if head {
                self.spoke.insert(*conn);
                return true;
            }
            return !self.spoke.contains(conn);
        }
        !self.stalled.contains(conn)
    }
}

fn block_of(effect: &Effect) -> Option<(ConnId, FileSpan)> {
    match effect {
        Effect::Send { conn, chunk: Chunk::File(span) } => Some((*conn, *span)),
        _ => None,
    }
}

/// The start of a `hashes` message: its length counts what follows the first four bytes.
fn is_hashes(bytes: &[u8]) -> bool {
    bytes.len() == 53 && bytes[4] == 22
}

impl Source {
    /// Changes what is said about hashes.
    fn twist(&mut self, effect: &mut Effect, out: &mut Outbox) {
        let Effect::Send { conn, chunk } = effect else { return };
        let bytes = match chunk {
            Chunk::Head(head) => head.bytes().to_vec(),
            Chunk::Arena { start, len } => out.bytes(*start, *len).to_vec(),
            Chunk::File(_) => return,
        };
        let mute = matches!(self.how, How::LiesSeventhMute | How::GoodMute);
        let told = self.telling_hashes.replace(*conn).filter(|told| told == conn).is_some();
        if !is_hashes(&bytes) {
            self.telling_hashes = None;
        }
        let silent = self.how == How::GoodSilent;
        let new = match () {
            () if silent && (told || is_hashes(&bytes)) => vec![0; 4],
            () if mute && is_hashes(&bytes) => [&[0, 0, 0, 49, 23], &bytes[5..]].concat(),
            // A keep-alive stands for the hashes.
            () if mute && told => vec![0; 4],
            () if self.how == How::LiesAboutLeaves && told => {
                bytes.iter().map(|byte| byte ^ 1).collect()
            }
            () => return,
        };
        let from = out.effects.len();
        out.send(*conn, &new);
        *effect = out.effects.split_off(from).remove(0);
    }

    /// Says more than was asked for after a block.
    fn add(&mut self, conn: ConnId, span: FileSpan, out: &mut Outbox) {
        if !self.spoke.insert(conn) {
            return;
        }
        if self.how == How::Unasked {
            let place = |at: u64| u32::try_from(at).unwrap();
            let (piece, begin) = (place(span.offset / PIECE), place(span.offset % PIECE));
            for _ in 0..600 {
                out.send(conn, &lmk::wire::peer::block_head(piece, begin, span.len));
                out.send_chunk(conn, Chunk::File(FileSpan { offset: 0, ..span }));
            }
        }
        if self.how == How::RefusesUnasked {
            let (root, length) = (Hash32([7; 32]), 16);
            let range = HashRange { root, base: 0, index: 0, length, proof: 0 };
            out.send(conn, &Message::HashReject(range).encode());
            let range = HashRange { base: 200, index: u32::MAX, length: 3, ..range };
            out.send(conn, &Message::HashReject(range).encode());
        }
    }
}

impl Role for Source {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        if let Input::Closed { conn, .. } = &input {
            self.dripping.remove(conn);
            self.stalled.remove(conn);
            self.spoke.remove(conn);
            self.held.remove(conn);
        }
        let waking = matches!(input, Input::Wake);
        let before = out.effects.len();
        if !waking || now >= self.node.deadline() {
            self.node.on(now, input, out);
        }
        let mut made = out.effects.split_off(before);
        for effect in &mut made {
            self.twist(effect, out);
        }
        made.retain_mut(|effect| self.change(effect, now) && !self.hold(effect, out, now));
        let blocks: Vec<(ConnId, FileSpan)> = made.iter().filter_map(block_of).collect();
        out.effects.append(&mut made);
        blocks.into_iter().for_each(|(conn, span)| self.add(conn, span, out));
        self.release(now, out);
        if now >= self.next_drip && self.how == How::Drips {
            self.next_drip = now + Span::secs(1);
            for (conn, left) in &mut self.dripping {
                if *left > 0 {
                    *left -= 1;
                    out.send(*conn, &[0]);
                }
            }
        }
    }

    fn deadline(&self) -> Time {
        self.node.deadline().min(self.next_drip)
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        self.node.snapshot(now)
    }
}
