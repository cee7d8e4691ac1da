//! What must hold on the peer wire, watched at the door of one process in both directions: every
//! request has one answer (S11), a leecher asks for little more than it misses (S12), asks nothing
//! new of one whose lie is known (S13), and nobody waits for a slot for ever (L2).

mod talk;

use self::talk::{Block, Owed, Talk, Verdict, block};
use crate::content::geometry::Geometry;
use crate::core::chunk::Chunk;
use crate::core::id::{ConnId, PeerId};
use crate::core::io::{Effect, FileDone, Input, Outbox};
use crate::core::limits::BLOCK_BYTES;
use crate::core::report::{Event, Fact};
use crate::core::time::{Span, Time};
use crate::wire::peer::{Long, Message, Part};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// With nothing on its way, a request is answered within this time.
const ANSWER: Span = Span::secs(5);
/// The longest wait for a slot, for each round of the queue.
const ROUND: Span = Span::secs(90);
/// One who lets a block wait for longer may be asked past: what comes twice then is not held
/// against the leecher.
const OVERDUE: Span = Span::secs(2);
/// One whose lie is known is asked for nothing for so long.
const STRUCK: Span = Span::secs(500);

/// The content of a swarm.
#[derive(Debug)]
pub struct Known {
    pub geometry: Geometry,
    pub bytes: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct WireLaws {
    known: Rc<Known>,
    talks: BTreeMap<ConnId, Talk>,
    /// Blocks asked for that came, bytes.
    came: u64,
    /// What may be asked for: what was missing, and what was wrong or could not be written.
    missing: u64,
    again: u64,
    peers: u64,
    /// Blocks that came, and whether they were overdue by then.
    had: BTreeMap<Block, bool>,
    /// Pieces in which one sent wrong bytes, and whether the leecher has noticed since.
    lies: BTreeMap<ConnId, BTreeMap<u32, bool>>,
    /// Pieces the role said did not match.
    broken: BTreeSet<u32>,
    /// Who was said to have lied: one who comes from elsewhere, or under another peer id, is taken
    /// for another, because many honest ones may share an address.
    struck: BTreeMap<(IpAddr, PeerId), Time>,
}

impl WireLaws {
    pub fn new(known: Rc<Known>) -> WireLaws {
        WireLaws {
            missing: known.bytes.len() as u64,
            known,
            talks: BTreeMap::new(),
            came: 0,
            again: 0,
            peers: 0,
            had: BTreeMap::new(),
            lies: BTreeMap::new(),
            broken: BTreeSet::new(),
            struck: BTreeMap::new(),
        }
    }

    pub fn input(&mut self, now: Time, input: &Input<'_>) {
        match input {
            Input::Accepted { conn, remote, .. } => {
                self.talks.insert(*conn, Talk::new(*remote));
            }
            Input::Bytes { conn, bytes } => self.hear(*conn, bytes, now),
            Input::Sent { conn, queued, .. } => {
                if let Some(talk) = self.talks.get_mut(conn) {
                    talk.unsent = *queued;
                }
            }
            Input::Closed { conn, .. } => self.over(*conn),
            Input::File { done: FileDone::Wrote { page, result: Err(_) }, .. } => {
                self.again += page.len() as u64;
            }
            _ => {}
        }
    }

    pub fn effects(&mut self, now: Time, out: &Outbox) -> Verdict {
        for effect in &out.effects {
            match effect {
                Effect::Dial { conn, to, .. } => {
                    self.talks.insert(*conn, Talk::new(*to));
                }
                Effect::Send { conn, chunk } => match chunk {
                    Chunk::Head(head) => self.say(*conn, head.bytes(), now)?,
                    Chunk::Arena { start, len } => {
                        self.say(*conn, out.bytes(*start, *len), now)?;
                    }
                    Chunk::File(span) => {
                        const BLANK: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];
                        let mut left = span.len as usize;
                        while left > 0 {
                            let part = left.min(BLANK.len());
                            self.say(*conn, &BLANK[..part], now)?;
                            left -= part;
                        }
                    }
                },
                Effect::Close { conn, .. } => self.over(*conn),
                Effect::Tell(event) => self.told(event, now),
                _ => {}
            }
        }
        Ok(())
    }

    fn over(&mut self, conn: ConnId) {
        self.talks.remove(&conn);
        self.lies.remove(&conn);
    }

    fn told(&mut self, event: &Event, now: Time) {
        let number = |name| {
            event.facts.iter().find_map(|(key, value)| match value {
                Fact::Number(number) if *key == name => Some(*number),
                _ => None,
            })
        };
        match event.kind {
            "corrupt" => {
                if let Some(piece) = number("piece").map(|piece| piece as u32) {
                    self.broken.insert(piece);
                    let lies = self.lies.values_mut().filter_map(|lies| lies.get_mut(&piece));
                    lies.for_each(|is_known| *is_known = true);
                }
                let peer = event.facts.iter().find_map(|(key, value)| match value {
                    Fact::Text(text) if *key == "peer" => text.parse::<SocketAddr>().ok(),
                    _ => None,
                });
                let talk = self.talks.values().find(|talk| Some(talk.remote) == peer);
                if let Some(origin) = talk.and_then(Talk::origin) {
                    self.struck.insert(origin, now);
                }
            }
            "resumed" => {
                let size = self.known.bytes.len() as u64;
                // A run that begins, or one that read its part file anew after it was refused.
                self.missing = self.came + size - number("kept").unwrap_or(0).min(size);
            }
            _ => {}
        }
    }

    fn hear(&mut self, conn: ConnId, mut bytes: &[u8], now: Time) {
        let Some(mut talk) = self.talks.remove(&conn) else { return };
        loop {
            match talk.comes.next(&mut bytes) {
                Ok(Some(part)) => self.heard(&mut talk, conn, part, now),
                Ok(None) => break,
                // Not the peer wire, or not as it must be: the role sees to that.
                Err(_) => return,
            }
        }
        self.talks.insert(conn, talk);
    }

    fn heard(&mut self, talk: &mut Talk, conn: ConnId, part: Part<'_>, now: Time) {
        match part {
            Part::Handshake(handshake) => {
                talk.fast = handshake.reserved.fast();
                talk.peer_id = Some(handshake.peer_id);
                self.peers += 1;
            }
            Part::Message(Message::Interested) => {
                if talk.choking && !talk.interested {
                    talk.waits = Some((now, 0));
                }
                talk.interested = true;
            }
            Part::Message(Message::NotInterested) => {
                (talk.interested, talk.waits) = (false, None);
            }
            Part::Message(Message::HaveAll) => talk.full = true,
            Part::Message(Message::Request(asked)) => talk.got_request(asked, now),
            Part::Message(Message::Reject(refused)) => {
                talk.cancelled.remove(&block(refused));
                talk.take_asked(block(refused));
            }
            Part::Start(Long::Block { piece, begin, len }) => {
                talk.coming = Some(((piece, begin, len), 0, false));
            }
            Part::Bytes(bytes) => {
                let Some(((piece, begin, _), at, wrong)) = &mut talk.coming else { return };
                let start = u64::from(*piece) * u64::from(self.known.geometry.piece_length());
                let start = (start + u64::from(*begin + *at)) as usize;
                let right = self.known.bytes.get(start..start + bytes.len());
                *wrong |= right != Some(bytes);
                *at += bytes.len() as u32;
            }
            Part::End => {
                let Some((which, _, wrong)) = talk.coming.take() else { return };
                let asked = talk.take_asked(which);
                let late = talk.cancelled.remove(&which);
                if asked.is_none() && !late {
                    return;
                }
                self.came += u64::from(which.2);
                let overdue = asked.is_some_and(|since| now.since(since) > OVERDUE);
                let before = self.had.insert(which, overdue);
                if before.is_some_and(|before| before || overdue) {
                    self.again += u64::from(which.2);
                }
                // It was called off, and was on its way already: once for each that sends it.
                if asked.is_none() && talk.late.insert(which) {
                    self.again += u64::from(which.2);
                }
                if wrong {
                    self.again += u64::from(self.known.geometry.piece_length());
                    self.lies.entry(conn).or_default().entry(which.0).or_default();
                }
            }
            _ => {}
        }
    }

    fn say(&mut self, conn: ConnId, mut bytes: &[u8], now: Time) -> Verdict {
        let Some(mut talk) = self.talks.remove(&conn) else { return Ok(()) };
        talk.unsent += bytes.len() as u64;
        loop {
            match talk.leaves.next(&mut bytes) {
                Ok(Some(part)) => self.said(&mut talk, conn, part, now)?,
                Ok(None) => break,
                // It is no conversation of peers.
                Err(_) => return Ok(()),
            }
        }
        self.talks.insert(conn, talk);
        Ok(())
    }

    fn said(&mut self, talk: &mut Talk, conn: ConnId, part: Part<'_>, now: Time) -> Verdict {
        match part {
            Part::Message(Message::Unchoke) => (talk.choking, talk.waits) = (false, None),
            Part::Message(Message::Choke) => {
                if !talk.choking {
                    talk.waits = talk.interested.then_some((now, 0));
                }
                talk.choking = true;
                if !talk.fast {
                    talk.owed.clear();
                }
            }
            Part::Message(Message::Reject(refused)) => talk.answers(block(refused), false)?,
            Part::Start(Long::Block { piece, begin, len }) => {
                talk.answers((piece, begin, len), true)?;
            }
            Part::Message(Message::Cancel(off)) if talk.take_asked(block(off)).is_some() => {
                talk.cancelled.insert(block(off));
            }
            Part::Message(Message::Request(asked)) => {
                self.is_trusted(talk, conn, asked.piece, now)?;
                talk.asked.entry(block(asked)).or_default().push(now);
            }
            _ => {}
        }
        Ok(())
    }

    /// S13: whether this one may be asked for a block of a piece.
    fn is_trusted(&self, talk: &Talk, conn: ConnId, piece: u32, now: Time) -> Verdict {
        let remote = talk.remote;
        let struck = talk.origin().and_then(|origin| self.struck.get(&origin));
        if struck.is_some_and(|at| now.since(*at) < STRUCK) {
            return Err(format!("S13: {remote} lied, and is asked for piece {piece}"));
        }
        let mut lies = self.lies.get(&conn).into_iter().flatten();
        let known = lies.find(|(_, is_known)| **is_known).map(|(lie, _)| lie);
        match known.filter(|_| !self.broken.contains(&piece)) {
            Some(lie) => Err(format!(
                "S13: {remote} sent wrong bytes in piece {lie}, and is asked for piece {piece}"
            )),
            None => Ok(()),
        }
    }

    /// Bytes that are asked for and have not come; those of a second source count once until they
    /// came twice.
    fn on_its_way(&self, now: Time) -> u64 {
        let mut asked: BTreeMap<Block, usize> = BTreeMap::new();
        for (block, times) in self.talks.values().flat_map(|talk| &talk.asked) {
            let overdue = times.last().is_some_and(|since| now.since(*since) > OVERDUE);
            let is_excused = self.had.get(block).is_some_and(|before| *before || overdue);
            asked.insert(*block, times.len() - usize::from(is_excused));
        }
        asked.iter().map(|((.., len), times)| u64::from(*len) * *times as u64).sum()
    }

    /// Now and then; `slots`: how many are served at once.
    pub fn look(&mut self, now: Time, slots: u32) -> Verdict {
        let requested = self.came + self.on_its_way(now);
        let allowed = self.missing * 11 / 10 + self.peers * u64::from(BLOCK_BYTES) + self.again;
        if requested > allowed {
            let WireLaws { missing, again, peers, .. } = self;
            return Err(format!(
                "S12: {requested} bytes asked for, {missing} missing, {again} again, {peers} peers"
            ));
        }
        let crowd = self.talks.values().filter(|talk| talk.waits.is_some()).count();
        for talk in self.talks.values_mut() {
            let late = |owed: &Owed| owed.answered == 0 && now.since(owed.since) > ANSWER;
            let late = talk.owed.iter().find(|(_, owed)| late(owed));
            if let Some((block, _)) = late.filter(|_| talk.fast && talk.unsent == 0) {
                return Err(format!("S11: {block:?} of {} has no answer", talk.remote));
            }
            let Some((since, most)) = talk.waits.as_mut().filter(|_| !talk.full) else { continue };
            *most = crowd.max(*most);
            let rounds = most.div_ceil(slots.max(1) as usize) as u64 + 1;
            if slots > 0 && now.since(*since) > ROUND.times(rounds) {
                let (remote, waits) = (talk.remote, now.since(*since));
                return Err(format!("L2: {remote} waits for a slot for {waits}, {most} wait"));
            }
        }
        Ok(())
    }
}
