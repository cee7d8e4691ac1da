//! A reactor with a role that remembers what it was told and wishes what a test tells it to.

use lmk::core::id::{ConnId, FileId, Ticket};
use lmk::core::io::{
    Closed, Command, FileDone, FileOp, Input, Listening, Meta, NetError, OpenMode, Outbox, Role,
};
use lmk::core::report::{Ending, Event, Snapshot};
use lmk::core::time::{Span, Time};
use lmk::reactor::{Options, Reactor};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;

/// Longest time a test waits for what must happen.
const PATIENCE: Span = Span::secs(30);

/// What the role was told.
#[derive(Default)]
pub struct Seen {
    pub born: u32,
    pub wakes: u32,
    pub commands: Vec<Command>,
    pub listening: Vec<(Ticket, Result<Listening, NetError>)>,
    pub accepted: Vec<(ConnId, SocketAddr, SocketAddr)>,
    pub connected: Vec<ConnId>,
    pub bytes: BTreeMap<ConnId, Vec<u8>>,
    pub sent: BTreeMap<ConnId, (u64, u64)>,
    pub closed: Vec<(ConnId, Closed)>,
    pub datagrams: Vec<(SocketAddr, IpAddr, Vec<u8>)>,
    pub files: Vec<(Ticket, FileDone)>,
}

impl Seen {
    pub fn closed_as(&self, conn: ConnId) -> Vec<Closed> {
        self.closed.iter().filter(|(id, _)| *id == conn).map(|(_, why)| *why).collect()
    }
    pub fn got(&self, conn: ConnId) -> &[u8] {
        self.bytes.get(&conn).map_or(&[], Vec::as_slice)
    }
    pub fn has_answer(&self, ticket: Ticket) -> bool {
        self.files.iter().any(|(t, _)| *t == ticket)
    }
}

type Wish = dyn FnOnce(&mut Outbox);
type Act = dyn FnMut(&Seen, &Input<'_>, &mut Outbox);

pub struct Script {
    pub seen: Seen,
    pub deadline: Time,
    act: Box<Act>,
    wishes: VecDeque<Box<Wish>>,
}

impl Role for Script {
    fn on(&mut self, _now: Time, input: Input<'_>, out: &mut Outbox) {
        (self.act)(&self.seen, &input, out);
        let seen = &mut self.seen;
        match input {
            Input::Born => seen.born += 1,
            Input::Wake => {
                seen.wakes += 1;
                self.deadline = Time::NEVER;
                self.wishes.drain(..).for_each(|wish| wish(out));
            }
            Input::Asked(command) => seen.commands.push(command),
            Input::Listening { ticket, result } => seen.listening.push((ticket, result)),
            Input::Accepted { conn, remote, local } => seen.accepted.push((conn, remote, local)),
            Input::Connected { conn, .. } => seen.connected.push(conn),
            Input::Bytes { conn, bytes } => {
                assert!(!bytes.is_empty());
                seen.bytes.entry(conn).or_default().extend_from_slice(bytes);
            }
            Input::Sent { conn, bytes, queued } => {
                assert!(bytes > 0);
                let sent = seen.sent.entry(conn).or_default();
                *sent = (sent.0 + bytes, queued);
            }
            Input::Closed { conn, why } => seen.closed.push((conn, why)),
            Input::Datagram { from, to, bytes } => seen.datagrams.push((from, to, bytes.into())),
            Input::File { ticket, done } => seen.files.push((ticket, done)),
            Input::Joined { .. } | Input::Stored { .. } => {}
        }
    }
    fn deadline(&self) -> Time {
        if self.wishes.is_empty() { self.deadline } else { Time::ZERO }
    }
    fn snapshot(&self, _now: Time) -> Snapshot {
        Snapshot::default()
    }
}

pub struct World {
    pub reactor: Reactor<Script>,
    pub events: Vec<Event>,
    pub ending: Option<Ending>,
}

impl World {
    pub fn new() -> World {
        World::acting(|_, _, _| {})
    }

    /// A role that does `act` on every input, before it is recorded.
    pub fn acting(act: impl FnMut(&Seen, &Input<'_>, &mut Outbox) + 'static) -> World {
        World::with(Options { signals: false, ..Options::default() }, act)
    }

    pub fn with(
        options: Options,
        act: impl FnMut(&Seen, &Input<'_>, &mut Outbox) + 'static,
    ) -> World {
        let role = Script {
            seen: Seen::default(),
            deadline: Time::NEVER,
            act: Box::new(act),
            wishes: VecDeque::new(),
        };
        let reactor = Reactor::new(role, options).unwrap();
        World { reactor, events: Vec::new(), ending: None }
    }

    pub fn seen(&self) -> &Seen {
        &self.reactor.role().seen
    }

    pub fn turn(&mut self, wait_max: Span) {
        let events = &mut self.events;
        let ending = self.reactor.turn(wait_max, &mut |event| events.push(event)).unwrap();
        self.ending = self.ending.or(ending);
    }

    pub fn turns(&mut self, n: u32) {
        (0..n).for_each(|_| self.turn(Span::ZERO));
    }

    /// Turns until the condition holds.
    pub fn until(&mut self, what: &str, condition: impl Fn(&World) -> bool) {
        let start = self.reactor.now();
        while !condition(self) {
            self.turn(Span::ms(10));
            assert!(self.reactor.now().since(start) < PATIENCE, "waited in vain: {what}");
        }
    }

    /// Has the role state a wish now.
    pub fn wish<T: 'static>(&mut self, wish: impl FnOnce(&mut Outbox) -> T + 'static) -> T {
        let place = Rc::new(RefCell::new(None));
        let result = place.clone();
        let wish = move |out: &mut Outbox| {
            *place.borrow_mut() = Some(wish(out));
        };
        self.reactor.role_mut().wishes.push_back(Box::new(wish));
        self.turn(Span::ZERO);
        result.take().expect("the wish was stated")
    }

    pub fn listen(
        &mut self,
        at: &str,
        port_last: u16,
        (tcp, udp): (bool, bool),
    ) -> Result<Listening, NetError> {
        let at: SocketAddr = at.parse().unwrap();
        let ticket = self.wish(move |out| out.listen(at, port_last, tcp, udp));
        assert!(!self.seen().listening.iter().any(|(t, _)| *t == ticket), "a later turn answers");
        self.turn(Span::ZERO);
        let answer = self.seen().listening.iter().find(|(t, _)| *t == ticket).unwrap();
        answer.1
    }

    /// Listens for connections on loopback.
    pub fn listen_tcp(&mut self) -> SocketAddr {
        self.listen("127.0.0.1:0", 0, (true, false)).unwrap().tcp.unwrap()
    }

    /// The id of the n-th accepted connection.
    pub fn accepted(&mut self, n: usize) -> ConnId {
        self.until("a connection comes in", |w| w.seen().accepted.len() > n);
        self.seen().accepted[n].0
    }

    /// One file operation and its answer.
    pub fn file(&mut self, op: FileOp) -> FileDone {
        let ticket = self.wish(move |out| out.file(op));
        assert!(!self.seen().has_answer(ticket), "a later turn answers");
        self.until("a file answer", |w| w.seen().has_answer(ticket));
        let files = &mut self.reactor.role_mut().seen.files;
        let at = files.iter().position(|(t, _)| *t == ticket).unwrap();
        files.remove(at).1
    }

    pub fn open(&mut self, path: &Path, mode: OpenMode) -> (FileId, Meta) {
        match self.file(FileOp::Open { path: path.into(), mode }) {
            FileDone::Opened(result) => result.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

/// Bytes that differ from place to place.
pub fn pattern(len: usize) -> Vec<u8> {
    let mut rng = lmk::core::rng::Rng::new(len as u64);
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

/// A directory of its own that goes away with the test.
pub struct Dir(pub std::path::PathBuf);

impl Dir {
    pub fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("lmk-reactor-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
