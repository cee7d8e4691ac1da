//! A catalogue client over real sockets, as small as can be.

use lmk::core::id::InfoHash;
use lmk::wire::catalogue::answer::Answer;
use lmk::wire::catalogue::entry::{Entry, Item};
use lmk::wire::catalogue::frame::{FrameLimits, FrameReader};
use lmk::wire::catalogue::hello::{Hello, HelloReply, NodeKey};
use lmk::wire::catalogue::request::{List, Publish, Request};
use lmk::wire::control::{ControlRequest, ControlResponse, Op, Status};
use lmk::wire::udp::{Request as Udp, Response};
use std::collections::{BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const NONCE: [u8; 8] = *b"nonce678";
/// A commit on a disk that is busy with others' data may take tens of seconds.
const PATIENCE: Duration = Duration::from_secs(40);

/// An entry without metainfo.
pub fn bare(name: &str, n: u32) -> Publish {
    let mut hash = [0xb0; 20];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    Publish::bare(Entry::v1(name.to_owned(), InfoHash(hash), 1))
}

/// One UDP conversation with a tracker.
pub struct Asker {
    socket: UdpSocket,
    pub cid: u64,
}

impl Asker {
    pub fn new(tracker: SocketAddr) -> Asker {
        // The same way to the tracker as TCP goes: a ticket is for one address.
        let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        socket.connect(tracker).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut asker = Asker { socket, cid: 0 };
        let mut bytes = Vec::new();
        Udp::Connect { tid: 3 }.encode(&mut bytes);
        match Response::decode(&asker.ask(&bytes), false) {
            Some(Response::Connect { cid, .. }) => asker.cid = cid,
            other => panic!("{other:?}"),
        }
        asker
    }

    pub fn ip(&self) -> IpAddr {
        self.socket.local_addr().unwrap().ip()
    }

    pub fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        self.socket.send(bytes).unwrap();
        let mut answer = [0; 2048];
        let len = self.socket.recv(&mut answer).unwrap();
        answer[..len].to_vec()
    }
}

/// A catalogue connection that may write.
pub struct Client {
    stream: TcpStream,
    reader: FrameReader,
    answers: VecDeque<Answer>,
    pub generation: u64,
    /// Why there are no more answers.
    end: Option<String>,
}

impl Client {
    pub fn new(tracker: SocketAddr) -> Client {
        Client::of(tracker, [5; 32])
    }

    /// One with another node key: it owns what it publishes, and sees of others what all see.
    pub fn of(tracker: SocketAddr, node_key: [u8; 32]) -> Client {
        let asker = Asker::new(tracker);
        let request = ControlRequest {
            cid: asker.cid,
            tid: 4,
            versions: (1, 1),
            op: Op::Write,
            nonce: NONCE,
            since: 0,
            url_data: Vec::new(),
        };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        let ready = ControlResponse::decode(&asker.ask(&bytes)).unwrap();
        assert_eq!(ready.status, Status::Ready);
        let mut stream = TcpStream::connect(tracker).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let hello = Hello {
            versions: (1, 1),
            max_frame: 1 << 20,
            ticket: ready.ticket,
            nonce: NONCE,
            token: Vec::new(),
            node_key: Some(NodeKey(node_key)),
        };
        let mut bytes = Vec::new();
        hello.encode(&mut bytes);
        stream.write_all(&bytes).unwrap();
        let mut got = Vec::new();
        let reply = loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            got.push(byte[0]);
            if let Some(reply) = HelloReply::decode(&got).unwrap() {
                break reply;
            }
        };
        assert_eq!(reply.status, Status::Ready);
        let reader = FrameReader::new(FrameLimits::CLIENT);
        let generation = reply.generation;
        Client { stream, reader, answers: VecDeque::new(), generation, end: None }
    }

    /// Sends a request; false if nobody takes it any more.
    pub fn send(&mut self, request: &Request) -> bool {
        let mut bytes = Vec::new();
        request.encode(1, 1 << 20, &mut bytes);
        self.stream.write_all(&bytes).is_ok()
    }

    /// The next answer; `None` when the connection is over.
    pub fn answer(&mut self) -> Option<Answer> {
        let mut buffer = [0; 65_536];
        while self.answers.is_empty() {
            let got = match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.end = Some("closed".into());
                    return None;
                }
                Err(error) => {
                    self.end = Some(error.to_string());
                    return None;
                }
                Ok(got) => got,
            };
            let mut rest = &buffer[..got];
            while let Some(message) = self.reader.next(&mut rest).unwrap() {
                self.answers.push_back(Answer::decode(message).unwrap());
            }
        }
        self.answers.pop_front()
    }

    /// What the tracker answers; it must be there.
    pub fn ask(&mut self, request: &Request) -> Answer {
        let began = Instant::now();
        assert!(self.send(request), "nobody takes {request:?}");
        self.answer().unwrap_or_else(|| {
            let (end, after) = (self.end.as_deref().unwrap_or("?"), began.elapsed());
            panic!("no answer to {request:?}: {end} after {after:?}")
        })
    }

    /// Every name that this client sees.
    pub fn names(&mut self) -> BTreeSet<String> {
        let (mut names, mut cursor) = (BTreeSet::new(), None);
        loop {
            let list = List { limit: 4096, cursor, prefix: None, glob: None, since: None };
            let Answer::Page(page) = self.ask(&Request::List(list)) else { panic!("no page") };
            names.extend(page.items.iter().filter_map(|item| match item {
                Item::Listed(listed) => Some(listed.entry.name.clone()),
                Item::Gone { .. } => None,
            }));
            cursor = page.cursor;
            if cursor.is_none() {
                return names;
            }
        }
    }
}
