//! A tracker and everything around it: a clock that is turned by hand, datagrams, connections whose
//! queues empty when a test says so.

use lmk::core::chunk::Chunk;
use lmk::core::id::{ConnId, InfoHash, PeerId, Ticket};
use lmk::core::io::{Closed, Effect, Input, Listening, Outbox, Role};
use lmk::core::report::{Ending, Event};
use lmk::core::store::StoreOp;
use lmk::core::time::{Span, Time};
use lmk::sim::{NodeEnv, plans};
use lmk::tracker::Tracker;
use lmk::tracker::plan::{AccessPlan, TrackerPlan};
use lmk::wire::catalogue::answer::Answer;
use lmk::wire::catalogue::frame::{FrameLimits, FrameReader};
use lmk::wire::catalogue::hello::{Hello, HelloReply, NodeKey};
use lmk::wire::catalogue::request::Request as ListRequest;
use lmk::wire::control::{ControlRequest, ControlResponse, Op, Status};
use lmk::wire::udp::{AnnounceRequest, AnnounceResponse, Event as Announced, Request, Response};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The second and the key of the byte vectors.
pub const T0: u64 = 1_767_225_600;

pub fn plan(bind: &str) -> TrackerPlan {
    let mut secret = [0; 32];
    secret.iter_mut().zip(0..).for_each(|(slot, byte)| *slot = byte);
    let access = AccessPlan { public: true, ..AccessPlan::default() };
    let env = NodeEnv { ip: ip("10.0.0.1"), life: 1, seed: 7, wall_start_s: T0 };
    TrackerPlan { bind: bind.parse().unwrap(), secret, access, ..plans::tracker(env) }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn vector(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[derive(Debug, Default)]
pub struct Line {
    /// All bytes that were sent.
    pub got: Vec<u8>,
    /// Of these, bytes that have not left.
    pub queued: u64,
    pub closed: bool,
    /// Whether the tracker takes bytes.
    pub paused: bool,
}

pub struct World {
    pub tracker: Tracker,
    pub now: Time,
    pub out: Outbox,
    pub events: Vec<Event>,
    pub ending: Option<Ending>,
    pub lines: BTreeMap<ConnId, Line>,
    /// The address of the tracker that datagrams and connections come to.
    pub at: IpAddr,
    /// Queues empty at once.
    pub flowing: bool,
    /// What was asked of the database.
    pub stores: Vec<(Ticket, StoreOp)>,
}

impl World {
    /// A tracker that listens.
    pub fn new(plan: TrackerPlan) -> World {
        let bind = plan.bind;
        let mut world = World::unborn(plan);
        let effects = world.on(Input::Born);
        let ticket = effects.iter().find_map(|effect| match effect {
            Effect::Listen { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let got = Listening { tcp: Some(bind), udp: Some(bind) };
        world.on(Input::Listening { ticket: ticket.unwrap(), result: Ok(got) });
        world
    }

    pub fn unborn(plan: TrackerPlan) -> World {
        let at = if plan.bind.ip().is_unspecified() { ip("10.0.0.1") } else { plan.bind.ip() };
        World {
            tracker: Tracker::new(plan),
            now: Time::ZERO,
            out: Outbox::default(),
            events: Vec::new(),
            ending: None,
            lines: BTreeMap::new(),
            at,
            flowing: true,
            stores: Vec::new(),
        }
    }

    pub fn local() -> World {
        World::new(plan("127.0.0.1:6969"))
    }

    pub fn open() -> World {
        World::new(plan("0.0.0.0:6969"))
    }

    /// Tells one piece of news and applies what came of it.
    pub fn on(&mut self, input: Input<'_>) -> Vec<Effect> {
        self.tracker.on(self.now, input, &mut self.out);
        let effects = std::mem::take(&mut self.out.effects);
        let mut left = Vec::new();
        for effect in &effects {
            match effect {
                Effect::Tell(event) => self.events.push(event.clone()),
                Effect::Store { ticket, op } => self.stores.push((*ticket, op.clone())),
                Effect::End(ending) => self.ending = Some(*ending),
                Effect::Send { conn, chunk } => {
                    let bytes = match chunk {
                        Chunk::Head(head) => head.bytes(),
                        Chunk::Arena { start, len } => self.out.bytes(*start, *len),
                        Chunk::File(_) => panic!("a tracker sends no files"),
                    };
                    let line = self.lines.get_mut(conn).expect("a live connection");
                    assert!(!line.closed, "sent on a closed connection");
                    line.got.extend_from_slice(bytes);
                    line.queued += bytes.len() as u64;
                    left.push(*conn);
                }
                Effect::Close { conn, .. } => self.lines.get_mut(conn).unwrap().closed = true,
                Effect::Reading { conn, on } => self.lines.get_mut(conn).unwrap().paused = !on,
                _ => {}
            }
        }
        let datagrams = effects.clone();
        let kept = std::mem::take(&mut self.out.arena);
        if self.flowing {
            left.dedup();
            left.into_iter().for_each(|conn| self.drain(conn, u64::MAX));
        }
        self.out.arena = kept;
        datagrams
    }

    /// Up to `most` bytes of a connection's queue leave.
    pub fn drain(&mut self, conn: ConnId, most: u64) {
        let Some(line) = self.lines.get_mut(&conn) else { return };
        let bytes = line.queued.min(most);
        line.queued -= bytes;
        let queued = line.queued;
        if bytes > 0 {
            self.on(Input::Sent { conn, bytes, queued });
        }
    }

    /// Lets time pass, waking the tracker whenever it asks for it.
    pub fn pass(&mut self, span: Span) {
        let end = self.now + span;
        while self.tracker.deadline() <= end {
            self.now = self.now.max(self.tracker.deadline());
            self.on(Input::Wake);
        }
        self.now = end;
    }

    /// Sends a datagram; the answer, if there is one.
    pub fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        self.out.arena.clear();
        let to = self.at;
        let effects = self.on(Input::Datagram { from, to, bytes });
        let mut answers = effects.iter().filter_map(|effect| match effect {
            Effect::Datagram { to, start, len, .. } => {
                assert_eq!(*to, from, "answered somebody else");
                Some(self.out.bytes(*start, *len).to_vec())
            }
            _ => None,
        });
        let answer = answers.next();
        assert!(answers.next().is_none(), "two answers to one datagram");
        answer
    }

    pub fn request(&mut self, from: SocketAddr, request: &Request) -> Option<Response> {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        let answer = self.datagram(from, &bytes)?;
        Some(Response::decode(&answer, from.is_ipv6()).expect("an answer of BEP 15"))
    }

    pub fn connect(&mut self, from: SocketAddr) -> u64 {
        match self.request(from, &Request::Connect { tid: 9 }) {
            Some(Response::Connect { tid: 9, cid }) => cid,
            other => panic!("no connection id: {other:?}"),
        }
    }

    /// Connects and announces; the answer must be one.
    pub fn announce(&mut self, peer: &Peer) -> AnnounceResponse {
        match self.announce_raw(peer) {
            Some(Response::Announce(answer)) => answer,
            other => panic!("no announce answer: {other:?}"),
        }
    }

    pub fn announce_raw(&mut self, peer: &Peer) -> Option<Response> {
        let cid = self.connect(peer.from);
        self.request(peer.from, &Request::Announce(peer.request(cid)))
    }

    /// Control request; the answer.
    pub fn control(&mut self, from: SocketAddr, op: Op, since: u64) -> ControlResponse {
        let cid = self.connect(from);
        let request = ControlRequest {
            cid,
            tid: 5,
            versions: (1, 1),
            op,
            nonce: *b"nonce678",
            since,
            url_data: Vec::new(),
        };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        ControlResponse::decode(&self.datagram(from, &bytes).unwrap()).unwrap()
    }

    /// A connection comes in.
    pub fn accept(&mut self, from: SocketAddr) -> ConnId {
        let conn = self.out.conns.insert(());
        self.lines.insert(conn, Line::default());
        let local = SocketAddr::new(self.at, 6969);
        self.on(Input::Accepted { conn, remote: from, local });
        conn
    }

    pub fn bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        self.on(Input::Bytes { conn, bytes });
        self.out.arena.clear();
        self.turn();
    }

    /// The end of a turn: the tracker is woken as long as it has something to do at once.
    pub fn turn(&mut self) {
        while self.tracker.deadline() <= self.now {
            self.on(Input::Wake);
            self.out.arena.clear();
        }
    }

    pub fn line(&self, conn: ConnId) -> &Line {
        &self.lines[&conn]
    }

    /// The driver tells the end of a connection.
    pub fn end(&mut self, conn: ConnId) {
        self.on(Input::Closed { conn, why: Closed::ByPeer });
        self.out.conns.remove(conn);
        self.lines.remove(&conn);
    }

    /// A catalogue connection that may write, of the node with this key; `None` = without a key.
    pub fn client(&mut self, from: SocketAddr, key: Option<u8>) -> Client {
        let ready = self.control(from, Op::Write, 0);
        assert_eq!(ready.status, Status::Ready);
        let conn = self.accept(from);
        let mut hello = Vec::new();
        self.hello(ready.ticket, key).encode(&mut hello);
        self.bytes(conn, &hello);
        let got = std::mem::take(&mut self.lines.get_mut(&conn).unwrap().got);
        let reply = HelloReply::decode(&got).unwrap().unwrap();
        assert_eq!((reply.version, reply.status), (1, Status::Ready));
        Client { conn, reader: FrameReader::new(FrameLimits::CLIENT) }
    }

    pub fn hello(&self, ticket: [u8; 24], key: Option<u8>) -> Hello {
        Hello {
            versions: (1, 1),
            max_frame: 1 << 20,
            ticket,
            nonce: *b"nonce678",
            token: Vec::new(),
            node_key: key.map(|byte| NodeKey([byte; 32])),
        }
    }

    /// Sends a request and reads its answer.
    pub fn ask(&mut self, client: &mut Client, request: &ListRequest) -> Answer {
        let mut bytes = Vec::new();
        request.encode(1, 1 << 20, &mut bytes);
        self.bytes(client.conn, &bytes);
        self.answers(client).into_iter().next().expect("an answer").1
    }

    /// All answers that came since the last look: stream and answer.
    pub fn answers(&mut self, client: &mut Client) -> Vec<(u16, Answer)> {
        let got = std::mem::take(&mut self.lines.get_mut(&client.conn).unwrap().got);
        let mut rest = &got[..];
        let mut answers = Vec::new();
        while let Some(message) = client.reader.next(&mut rest).unwrap() {
            answers.push((message.stream, Answer::decode(message).unwrap()));
        }
        answers
    }

    /// Bytes that came on a connection since the last look.
    pub fn take(&mut self, conn: ConnId) -> Vec<u8> {
        std::mem::take(&mut self.lines.get_mut(&conn).unwrap().got)
    }

    pub fn tracker_deadline(&self) -> Time {
        self.tracker.deadline()
    }

    pub fn told(&self, kind: &str) -> Vec<&str> {
        let of_kind = self.events.iter().filter(|event| event.kind == kind);
        of_kind.map(|event| event.line.as_str()).collect()
    }

    pub fn row(&self) -> lmk::core::report::TrackerRow {
        self.tracker.snapshot(self.now).tracker.unwrap()
    }
}

#[derive(Debug)]
pub struct Client {
    pub conn: ConnId,
    pub reader: FrameReader,
}

/// Someone who announces.
#[derive(Clone, Debug)]
pub struct Peer {
    pub from: SocketAddr,
    pub port: u16,
    pub hash: InfoHash,
    pub id: PeerId,
    pub left: u64,
    pub event: Announced,
    pub num_want: i32,
}

impl Peer {
    /// A node of ours in the swarm `aa..`.
    pub fn new(from: &str, left: u64) -> Peer {
        let from = addr(from);
        let mut id = *b"-LM0100-............";
        id[8..].copy_from_slice(&format!("{:0>12}", from.port())[..].as_bytes()[..12]);
        if let IpAddr::V4(v4) = from.ip() {
            id[8..12].copy_from_slice(&v4.octets());
        }
        Peer {
            from,
            port: from.port(),
            hash: InfoHash([0xaa; 20]),
            id: PeerId(id),
            left,
            event: Announced::None,
            num_want: -1,
        }
    }

    pub fn stock(mut self) -> Peer {
        self.id.0[..3].copy_from_slice(b"-TR");
        self
    }

    pub fn event(mut self, event: Announced) -> Peer {
        self.event = event;
        self
    }

    pub fn hash(mut self, hash: InfoHash) -> Peer {
        self.hash = hash;
        self
    }

    pub fn request(&self, cid: u64) -> AnnounceRequest {
        AnnounceRequest {
            cid,
            tid: 77,
            info_hash: self.hash,
            peer_id: self.id,
            downloaded: 0,
            left: self.left,
            uploaded: 0,
            event: self.event,
            key: 0,
            num_want: self.num_want,
            port: self.port,
            url_data: Vec::new(),
        }
    }
}
