//! A table for two: one real swarm on this side, and on the other whoever the test plays.

use lmk::content::bitfield::Bitfield;
use lmk::content::metainfo::{Content, ContentHasher};
use lmk::core::chunk::Chunk;
use lmk::core::id::{ConnId, FileId, InfoHash, PeerId, Ticket};
use lmk::core::io::{Closed, Effect, FileDone, FileOp, Outbox, Page};
use lmk::core::report::Fact;
use lmk::core::rng::Rng;
use lmk::core::time::{Span, Time};
use lmk::peer::{Identity, Us};
use lmk::swarm::{Swarm, Terms};
use lmk::wire::peer::{BlockRef, Framer, Handshake, Long, Message, Part, Reserved};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

/// Eight pieces of two blocks, the last one short.
pub const PIECE_BYTES: u32 = 32 * 1024;
pub const SIZE: usize = 7 * PIECE_BYTES as usize + 20_000;
pub const PIECES: u32 = 8;

pub struct Table {
    pub swarm: Swarm,
    pub out: Outbox,
    pub now: Time,
    pub content: Rc<Content>,
    /// What was sent to each connection and not looked at: bytes here, and lengths of file spans.
    sent: BTreeMap<ConnId, Vec<u8>>,
    pub file_bytes: BTreeMap<ConnId, u64>,
    /// Connections the swarm dialled, and to where.
    pub dialled: Vec<(ConnId, SocketAddr)>,
    /// Connections the swarm closed.
    pub closed: Vec<ConnId>,
    /// Why, as it told.
    pub whys: Vec<String>,
    /// Connections that the swarm does not listen to for now.
    pub paused: BTreeSet<ConnId>,
    peers: u16,
    /// Where the next guest comes from, unless it is the usual place.
    from: Option<SocketAddr>,
    /// Reads of its file that wait.
    reads: VecDeque<(Ticket, u64, Page)>,
}

fn bytes() -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    Rng::new(1).fill(&mut bytes);
    bytes
}

pub fn content() -> Content {
    let mut hasher =
        ContentHasher::with_piece_length(b"big.zip", SIZE as u64, PIECE_BYTES).unwrap();
    hasher.update(&bytes());
    hasher.finish().unwrap()
}

fn reserved(fast: bool) -> Reserved {
    let reserved = Reserved::new().with_extended();
    if fast { reserved.with_fast() } else { reserved }
}

impl Table {
    /// A swarm that has everything, or nothing.
    pub fn new(complete: bool, slots: u32) -> Table {
        Table::on(complete, slots, Terms::default())
    }

    pub fn on(complete: bool, slots: u32, terms: Terms) -> Table {
        Table::seated(content(), None, (complete, slots), terms)
    }

    /// The same of any content, with the hash that its conversations may go over to.
    pub fn of(content: Content, upgrade: Option<InfoHash>, complete: bool, slots: u32) -> Table {
        Table::seated(content, upgrade, (complete, slots), Terms::default())
    }

    pub fn seated(
        content: Content,
        upgrade: Option<InfoHash>,
        (complete, slots): (bool, u32),
        terms: Terms,
    ) -> Table {
        let content = Rc::new(content);
        let pieces = content.geometry.pieces();
        let have = if complete { Bitfield::full(pieces) } else { Bitfield::new(pieces) };
        let us = Us {
            peer_id: PeerId(*b"-LM0100-us0000000000"),
            listen_port: 7000,
            metadata_bytes: [0; 2],
            exchanges: false,
            upgrade,
        };
        let file = FileId { slot: 0, generation: 0 };
        let (mut rng, now) = (Rng::new(2), Time::ZERO + Span::secs(1));
        Table {
            swarm: Swarm::new(content.clone(), us, (file, have), (slots, 10), &mut rng, now)
                .on(terms, &mut Rng::new(3)),
            out: Outbox::default(),
            now,
            content,
            sent: BTreeMap::new(),
            file_bytes: BTreeMap::new(),
            dialled: Vec::new(),
            closed: Vec::new(),
            whys: Vec::new(),
            paused: BTreeSet::new(),
            peers: 0,
            from: None,
            reads: VecDeque::new(),
        }
    }

    /// Someone sits down, with a peer id of its own.
    pub fn guest(&mut self, fast: bool) -> ConnId {
        self.peers += 1;
        let mut id = *b"-XX0000-guest0000000";
        id[18..].copy_from_slice(&self.peers.to_be_bytes());
        self.guest_as(PeerId(id), fast)
    }

    pub fn guest_as(&mut self, peer_id: PeerId, fast: bool) -> ConnId {
        let info_hash = self.content.v2.as_ref().unwrap().info_hash.truncated();
        self.guest_with(Handshake { reserved: reserved(fast), info_hash, peer_id })
    }

    /// Someone sits down who dialled from there, with a peer id of its own.
    pub fn guest_from(&mut self, remote: SocketAddr) -> ConnId {
        self.from = Some(remote);
        let conn = self.guest(true);
        self.from = None;
        conn
    }

    /// Someone sits down with this handshake.
    pub fn guest_with(&mut self, handshake: Handshake) -> ConnId {
        let conn = self.out.conns.insert(());
        let identity = self.swarm.identity_of(handshake.info_hash).unwrap();
        let mut framer = Framer::new();
        assert!(framer.next(&mut &handshake.encode()[..]).unwrap().is_some());
        let usual = SocketAddr::from(([10, 0, 0, self.peers.max(1) as u8], 5000));
        let remote = self.from.unwrap_or(usual);
        let (swarm, out, now) = (&mut self.swarm, &mut self.out, self.now);
        swarm.got_accepted((conn, remote), (framer, handshake), identity, now, out);
        self.perform();
        conn
    }

    /// A tracker names someone under an identity; who is dialled for it is connected.
    pub fn names(&mut self, at: SocketAddr, identity: Identity) -> Vec<ConnId> {
        self.swarm.got_named(identity, &[at], self.now, &mut self.out);
        self.perform();
        self.connects()
    }

    /// Whoever was dialled and not connected yet is.
    pub fn connects(&mut self) -> Vec<ConnId> {
        let dialled = std::mem::take(&mut self.dialled);
        let conns: Vec<ConnId> = dialled.into_iter().map(|(conn, _)| conn).collect();
        for conn in &conns {
            assert!(self.swarm.got_connected(*conn, self.now, &mut self.out));
        }
        self.perform();
        conns
    }

    /// The other side hangs up.
    pub fn hangs_up(&mut self, conn: ConnId) {
        self.swarm.got_closed(conn, Closed::ByPeer, self.now, &mut self.out);
        self.perform();
    }

    /// A guest sends so many of the blocks that it is asked for, chokes, and rejects the others.
    pub fn gives(&mut self, conn: ConnId, blocks: usize) {
        self.passes(Span::ms(100));
        let mut asked = self.asked(conn);
        assert!(asked.len() >= blocks, "{asked:?}");
        for BlockRef { piece, begin, len } in asked.drain(..blocks) {
            let from = (piece * PIECE_BYTES + begin) as usize;
            let head = lmk::wire::peer::block_head(piece, begin, len);
            self.says(conn, &[&head[..], &bytes()[from..][..len as usize]].concat());
        }
        self.say(conn, Message::Choke);
        asked.extend(self.asked(conn));
        asked.into_iter().for_each(|block| self.say(conn, Message::Reject(block)));
    }

    /// What a guest was asked for since last asked.
    fn asked(&mut self, conn: ConnId) -> Vec<BlockRef> {
        let heard = self.heard(conn).0.into_iter();
        let asked = heard.filter_map(|message| match message {
            Message::Request(block) => Some(block),
            _ => None,
        });
        asked.collect()
    }

    /// The bytes a guest was sent since last asked, as they are.
    pub fn sent(&mut self, conn: ConnId) -> Vec<u8> {
        self.sent.remove(&conn).unwrap_or_default()
    }

    pub fn says(&mut self, conn: ConnId, bytes: &[u8]) {
        self.swarm.got_bytes(conn, bytes, self.now, &mut self.out);
        self.perform();
    }

    pub fn say(&mut self, conn: ConnId, message: Message) {
        self.says(conn, &message.encode());
    }

    /// Everything that was handed over leaves.
    pub fn drains(&mut self, conn: ConnId) {
        self.swarm.got_sent(conn, 0, self.now, &mut self.out);
        self.perform();
    }

    /// The file answers one read. -> how many bytes it was of.
    pub fn read(&mut self) -> Option<u64> {
        let (ticket, offset, mut page) = self.reads.pop_front()?;
        let len = page.len();
        page.copy_from_slice(&bytes()[offset as usize..][..len]);
        let done = FileDone::Read { page, result: Ok(len as u32) };
        assert!(self.swarm.got_file(ticket, done, self.now, &mut self.out).is_none());
        self.perform();
        Some(len as u64)
    }

    pub fn passes(&mut self, span: Span) {
        self.now = self.now + span;
        self.swarm.tick(self.now, &mut self.out);
        self.perform();
    }

    fn perform(&mut self) {
        for effect in std::mem::take(&mut self.out.effects) {
            match effect {
                Effect::Send { conn, chunk } => {
                    let bytes = match &chunk {
                        Chunk::Head(head) => head.bytes().to_vec(),
                        Chunk::Arena { start, len } => self.out.bytes(*start, *len).to_vec(),
                        Chunk::File(span) => {
                            *self.file_bytes.entry(conn).or_default() += u64::from(span.len);
                            vec![0; span.len as usize]
                        }
                    };
                    self.sent.entry(conn).or_default().extend(bytes);
                }
                Effect::Reading { conn, on: false } => drop(self.paused.insert(conn)),
                Effect::Reading { conn, on: true } => drop(self.paused.remove(&conn)),
                Effect::File { ticket, op: FileOp::Read { offset, page, .. } } => {
                    self.reads.push_back((ticket, offset, page));
                }
                Effect::Dial { conn, to, .. } => self.dialled.push((conn, to)),
                Effect::Close { conn, .. } => self.closed.push(conn),
                Effect::Tell(event) if event.kind == "peer_gone" => {
                    let why = event.facts.iter().find(|(key, _)| *key == "why");
                    let Some((_, Fact::Text(why))) = why else { panic!("{event:?}") };
                    self.whys.push(why.clone());
                }
                _ => {}
            }
        }
        self.out.arena.clear();
    }

    /// The short messages a guest was sent since last asked, and how many blocks.
    pub fn heard(&mut self, conn: ConnId) -> (Vec<Message>, usize) {
        let mut framer = Framer::new();
        let greeting = Handshake {
            reserved: Reserved::new(),
            info_hash: self.content.v1.as_ref().unwrap().info_hash,
            peer_id: PeerId([0; 20]),
        };
        framer.next(&mut &greeting.encode()[..]).unwrap();
        let bytes = self.sent.remove(&conn).unwrap_or_default();
        // The handshake comes first and once.
        let mut rest = match bytes.first() {
            Some(19) => &bytes[68..],
            _ => &bytes[..],
        };
        let (mut messages, mut blocks) = (Vec::new(), 0);
        while let Some(part) = framer.next(&mut rest).unwrap() {
            match part {
                Part::Message(message) => messages.push(message),
                Part::Start(lmk::wire::peer::Long::Block { .. }) => blocks += 1,
                _ => {}
            }
        }
        (messages, blocks)
    }

    /// The messages of extensions a guest was sent since last asked, with their ids.
    pub fn heard_extended(&mut self, conn: ConnId) -> Vec<(u8, Vec<u8>)> {
        let mut framer = Framer::new();
        let handshake = Handshake {
            reserved: reserved(true),
            info_hash: InfoHash([0; 20]),
            peer_id: PeerId([0; 20]),
        };
        framer.next(&mut &handshake.encode()[..]).unwrap();
        let bytes = self.sent.remove(&conn).unwrap_or_default();
        let mut rest = if bytes.first() == Some(&19) { &bytes[68..] } else { &bytes[..] };
        let (mut all, mut under_way) = (Vec::new(), None);
        while let Some(part) = framer.next(&mut rest).unwrap() {
            match (part, &mut under_way) {
                (Part::Start(Long::Extended { id, .. }), _) => under_way = Some((id, Vec::new())),
                (Part::Bytes(bytes), Some((_, payload))) => payload.extend_from_slice(bytes),
                (Part::End, _) => all.extend(under_way.take()),
                _ => {}
            }
        }
        all
    }

    /// The addresses that were dialled since last asked.
    pub fn dials(&mut self) -> Vec<SocketAddr> {
        self.perform();
        std::mem::take(&mut self.dialled).into_iter().map(|(_, to)| to).collect()
    }

    /// The connection of a guest ends.
    pub fn leaves(&mut self, conn: ConnId) {
        self.swarm.got_closed(conn, Closed::ByPeer, self.now, &mut self.out);
        self.perform();
    }

    pub fn content_bytes(&self) -> Vec<u8> {
        bytes()
    }

    /// Bytes that wait for a guest.
    pub fn unsent(&self, conn: ConnId) -> usize {
        self.sent.get(&conn).map_or(0, Vec::len)
    }

    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.closed.contains(&conn)
    }
}
