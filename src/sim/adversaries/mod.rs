//! Hostile peers on the stage of a swarm. Each joins under the true info-hash, announces itself as
//! a full source and talks to whoever comes and whomever it is told of; what it says is its trick.

mod floods;
mod liars;
mod stage;
mod stalls;
mod trick;

pub use trick::Trick;

use crate::announce::udp::{Announcer, Heard, Identity, Stats};
use crate::content::metainfo::{Content, ContentHasher};
use crate::core::id::{ConnId, InfoHash, PeerId};
use crate::core::io::{Input, Outbox, Role};
use crate::core::report::{Ending, Snapshot};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::peer::{Framer, Handshake, Long, Message, Part, Reserved};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// How often a trick gets its turn, and after which time a peer that left is dialled again.
const BEAT: Span = Span::secs(1);
const REDIAL: Span = Span::secs(30);

/// One conversation of an adversary.
struct Talk {
    framer: Framer,
    conn: ConnId,
    /// Who the other side is, once its handshake came.
    theirs: Option<PeerId>,
    /// Bytes kept back, for those who trickle; and how often this conversation did something.
    held: Vec<u8>,
    count: u64,
}

/// What an adversary knows of the content: everything.
struct Known {
    content: Content,
    bytes: Vec<u8>,
    rng: Rng,
}

/// See the module.
pub struct Adversary {
    trick: Trick,
    known: Known,
    peer_id: PeerId,
    /// Whether that is somebody else's.
    copied: bool,
    info_hash: InfoHash,
    announcer: Announcer,
    tracker: SocketAddr,
    port: u16,
    talks: BTreeMap<ConnId, Talk>,
    dialled: BTreeMap<SocketAddr, Time>,
    dialling: BTreeSet<ConnId>,
    beat: Time,
}

impl Adversary {
    /// `name` and `bytes` make the content; `tracker` knows its swarm. `None`: there is no content
    /// of that kind.
    pub fn new(
        trick: Trick,
        tracker: SocketAddr,
        (name, bytes): (&str, Vec<u8>),
        seed: u64,
    ) -> Option<Adversary> {
        let mut hasher = ContentHasher::new(name.as_bytes(), bytes.len() as u64).ok()?;
        hasher.update(&bytes);
        let content = hasher.finish().ok()?;
        let info_hash = content.v2.as_ref()?.info_hash.truncated();
        let mut rng = Rng::new(seed);
        // They pass for programs of ours: only then do they meet everybody.
        let mut peer_id = *b"-LM0100-............";
        rng.fill(&mut peer_id[8..]);
        if trick == Trick::DupPeerId {
            peer_id[8..].fill(b'x');
        }
        let peer_id = PeerId(peer_id);
        let identity = Identity { info_hash, peer_id, key: seed as u32, own: Vec::new() };
        Some(Adversary {
            trick,
            announcer: Announcer::new(tracker, identity, seed),
            tracker,
            known: Known { content, bytes, rng },
            peer_id,
            copied: false,
            info_hash,
            port: 0,
            talks: BTreeMap::new(),
            dialled: BTreeMap::new(),
            dialling: BTreeSet::new(),
            beat: Time::ZERO,
        })
    }

    fn begin(&mut self, conn: ConnId, out: &mut Outbox) {
        let talk = Talk { framer: Framer::new(), conn, theirs: None, held: Vec::new(), count: 0 };
        self.talks.insert(conn, talk);
        if self.trick == Trick::GarbageHandshake {
            return out.send(conn, &[0x13, 0x42, 0x42, 0x00, 0xff, 0x13, 0x99]);
        }
        let reserved = Reserved::new().with_fast();
        let (info_hash, peer_id) = (self.info_hash, self.peer_id);
        out.send(conn, &Handshake { reserved, info_hash, peer_id }.encode());
    }

    fn hear(&mut self, conn: ConnId, mut bytes: &[u8], out: &mut Outbox) {
        let Adversary { trick, known, talks, .. } = self;
        let Some(talk) = talks.get_mut(&conn) else { return };
        while let Ok(Some(part)) = talk.framer.next(&mut bytes) {
            match part {
                Part::Handshake(handshake) => {
                    talk.theirs = Some(handshake.peer_id);
                    greet(*trick, known, talk, out);
                }
                Part::Message(Message::HaveAll) if *trick == Trick::Copycat && !self.copied => {
                    self.copied = true;
                    self.peer_id = talk.theirs.unwrap_or(self.peer_id);
                    // It begins anew, under the name of the other.
                    talks.keys().for_each(|conn| out.close(*conn));
                    self.dialled.clear();
                    return talks.clear();
                }
                Part::Message(message) => answer(*trick, known, talk, message, out),
                Part::Start(Long::Bitfield { .. }) => {}
                _ => {}
            }
        }
    }

    fn dial(&mut self, peers: Vec<SocketAddr>, now: Time, out: &mut Outbox) {
        for addr in peers {
            if self.dialled.get(&addr).is_some_and(|last| now.since(*last) < REDIAL) {
                continue;
            }
            self.dialled.insert(addr, now);
            self.dialling.insert(out.dial(addr));
        }
    }
}

/// The first words of a trick after both handshakes.
fn greet(trick: Trick, known: &mut Known, talk: &mut Talk, out: &mut Outbox) {
    match trick {
        Trick::HugePrefix => return out.send(talk.conn, &[0xff; 64]),
        Trick::KeepAliver => return out.send(talk.conn, &Message::HaveAll.encode()),
        _ => {}
    }
    out.send(talk.conn, &Message::HaveAll.encode());
    out.send(talk.conn, &Message::Unchoke.encode());
    floods::begin(trick, known, talk, out);
}

fn answer(trick: Trick, known: &mut Known, talk: &mut Talk, said: Message, out: &mut Outbox) {
    match (trick, said) {
        (Trick::Slowloris | Trick::ResetMidBlock, Message::Request(asked)) => {
            stalls::answer(trick, known, talk, asked, out);
        }
        (Trick::Snubber | Trick::KeepAliver | Trick::HugePrefix, _) => {}
        (_, Message::Request(asked)) => liars::answer(trick, known, talk, asked, out),
        (Trick::HashLiar, Message::HashRequest(range)) => liars::prove(known, talk, range, out),
        (_, Message::HashRequest(range)) => {
            out.send(talk.conn, &Message::HashReject(range).encode())
        }
        _ => {}
    }
}

impl Role for Adversary {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Born => {
                out.listen(SocketAddr::from(([0, 0, 0, 0], 0)), 0, true, true);
            }
            Input::Listening { result, .. } => {
                let Ok(listening) = result else { return out.end(Ending::Network) };
                self.port = listening.tcp.map_or(0, |at| at.port());
                self.announcer.start(now);
            }
            Input::Datagram { from, bytes, .. } => {
                if let Some(Heard::Peers { peers, .. }) =
                    self.announcer.got_datagram(now, from, bytes)
                {
                    self.dial(peers, now, out);
                }
            }
            Input::Accepted { conn, .. } => self.begin(conn, out),
            Input::Connected { conn, .. } if self.dialling.remove(&conn) => self.begin(conn, out),
            Input::Bytes { conn, bytes } => self.hear(conn, bytes, out),
            Input::Closed { conn, .. } => {
                self.dialling.remove(&conn);
                self.talks.remove(&conn);
            }
            Input::Asked(_) => out.end(Ending::Terminated),
            _ => {}
        }
        if self.beat <= now && self.port != 0 {
            self.beat = now + BEAT;
            let Adversary { trick, known, talks, tracker, .. } = self;
            floods::beat_tracker(*trick, known, *tracker, out);
            for talk in talks.values_mut().filter(|talk| talk.theirs.is_some()) {
                floods::beat(*trick, known, talk, out);
                stalls::beat(*trick, talk, out);
            }
        }
        if self.port != 0 {
            // Trackers name sources to those who lack something: a copycat looks for one first.
            let looks = self.trick == Trick::Copycat && !self.copied;
            let left = if looks { self.known.bytes.len() as u64 } else { 0 };
            let stats = Stats { port: self.port, left, ..Stats::default() };
            self.announcer.poll(now, stats, out);
        }
    }

    fn deadline(&self) -> Time {
        if self.port == 0 { Time::NEVER } else { self.beat.min(self.announcer.deadline()) }
    }

    fn snapshot(&self, _: Time) -> Snapshot {
        let phase = if self.copied { "copied" } else { "hostile" };
        Snapshot { phase, ..Snapshot::default() }
    }
}
