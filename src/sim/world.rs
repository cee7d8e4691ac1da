//! A world: machines with disks, processes with roles, and the agenda of what happens next. One
//! event is taken at a time, in the order of (virtual time, sequence number); time jumps between
//! them.

use super::disk::{Disk, Fault};
use super::judges::{Judges, Matters};
use super::laws::Watch;
use super::net::{Bound, NetDone};
use super::partition::Partition;
use super::store::Base;
use super::tcp::{Step, Stream};
use super::trace::{At, Trace};
use super::weather::{Purpose, Randomness, Weather, stream};
pub use super::wire_laws::Known;
use crate::core::id::{ConnId, Ticket};
use crate::core::io::{Command, FileDone, Input, Outbox, Role};
use crate::core::report::{Ending, Event, Snapshot};
use crate::core::store::{StoreDone, StoreOp};
use crate::core::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Unix seconds at the birth of every world: 2030-01-01.
pub const WALL_START_S: u64 = 1_893_456_000;
/// More events in one virtual second than any honest work of a small world makes.
const EVENTS_PER_SECOND_MAX: u64 = 1_000_000;
/// The shortest time between two turns of a role: a turn takes time, so that a deadline that never
/// moves does not stop the world.
pub(super) const TURN: Span = Span::us(10);

/// One process of a world; it may be started many times.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NodeId(pub usize);

/// What a process is told when it starts, for its plan.
#[derive(Clone, Copy, Debug)]
pub struct NodeEnv {
    /// The address of its machine.
    pub ip: IpAddr,
    /// 1 for the first start.
    pub life: u32,
    /// Another one for every start.
    pub seed: u64,
    /// Unix seconds at the role's `Time::ZERO`.
    pub wall_start_s: u64,
}

/// Makes the role of a process, at every start anew.
pub type Make = Box<dyn Fn(NodeEnv) -> Box<dyn Role>>;

/// What befalls a node from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// The process is started, if it does not run.
    Start,
    /// SIGKILL: the system closes its sockets and keeps its written data.
    Kill,
    /// The power of its machine fails: what was not synced may be lost, and nobody is told.
    PowerCut,
    Ask(Command),
    /// The disk of its machine refuses something.
    DiskFails(Fault),
    /// So many bytes stay free on the disk of its machine.
    DiskFills(u64),
    /// The disk of its machine refuses nothing more, and has room.
    DiskHeals,
}

pub(super) enum Happening {
    Act(usize, Act),
    Wake { node: usize, life: u32, at: Time },
    Net { node: usize, life: u32, ticket: Ticket, done: NetDone },
    File { node: usize, life: u32, ticket: Ticket, done: FileDone },
    Commit { node: usize, life: u32 },
    Stored { node: usize, life: u32, ticket: Ticket, done: StoreDone },
    Datagram { from: SocketAddr, to: SocketAddr, from_host: usize, bytes: Vec<u8> },
    Tcp { stream: u64, side: usize, step: Step },
}

pub(super) struct Host {
    pub ip: IpAddr,
    pub disk: Disk,
    pub base: Base,
    pub up: bool,
    pub last_port: u16,
}

pub(super) struct Node {
    pub host: usize,
    pub make: Make,
    pub life: u32,
    pub born: Time,
    pub process: Option<Process>,
    pub slots_max: Option<u32>,
    pub matters: Matters,
    pub events: Vec<(Time, Event)>,
    pub ending: Option<Ending>,
}

/// A running role and what its system knows of it.
pub(super) struct Process {
    pub role: Box<dyn Role>,
    pub out: Outbox,
    pub watch: Watch,
    pub judges: Judges,
    pub born: Time,
    /// Its connections: stream and side.
    pub conns: BTreeMap<ConnId, (u64, usize)>,
    pub bound: Bound,
    pub wake_at: Time,
    /// Completions of file operations come no earlier than this, if they come in order.
    pub files_after: Time,
    /// Database operations that the next commit performs.
    pub stores: Vec<(Ticket, StoreOp)>,
    pub wakes_in_a_row: u32,
    pub turns: u64,
}

/// See the module.
pub struct World {
    pub(super) now: Time,
    pub(super) weather: Weather,
    pub(super) rng: Randomness,
    pub(super) hosts: Vec<Host>,
    pub(super) nodes: Vec<Node>,
    pub(super) streams: BTreeMap<u64, Stream>,
    pub(super) last_stream: u64,
    pub(super) partitions: Vec<Partition>,
    agenda: BTreeMap<(Time, u64), Happening>,
    last_sequence: u64,
    /// The present virtual second and the events in it.
    busy: (u64, u64),
    pub(super) trace: Trace,
    breach: Option<String>,
}

impl World {
    pub fn new(seed: u64, weather: Weather) -> World {
        World::traced(seed, weather, false)
    }

    /// With `print`, everything that happens is printed.
    pub fn traced(seed: u64, weather: Weather, print: bool) -> World {
        World {
            now: Time::ZERO,
            weather,
            rng: Randomness {
                udp: stream(seed, Purpose::Udp),
                tcp: stream(seed, Purpose::Tcp),
                files: stream(seed, Purpose::Files),
                wakes: stream(seed, Purpose::Wakes),
                crash: stream(seed, Purpose::Crash),
                nodes: stream(seed, Purpose::Nodes),
                stores: stream(seed, Purpose::Stores),
            },
            hosts: Vec::new(),
            nodes: Vec::new(),
            streams: BTreeMap::new(),
            last_stream: 0,
            partitions: Vec::new(),
            agenda: BTreeMap::new(),
            last_sequence: 0,
            busy: (0, 0),
            trace: Trace::new(print),
            breach: None,
        }
    }

    /// A process on the machine `ip`, started now. Processes of one machine share its disk and
    /// reach each other over loopback.
    pub fn add_node(
        &mut self,
        ip: IpAddr,
        make: impl Fn(NodeEnv) -> Box<dyn Role> + 'static,
    ) -> NodeId {
        let node = self.add_idle(ip, make);
        self.plan(self.now, node, Act::Start);
        node
    }

    /// As `add_node`, but it waits for an [`Act::Start`].
    pub fn add_idle(
        &mut self,
        ip: IpAddr,
        make: impl Fn(NodeEnv) -> Box<dyn Role> + 'static,
    ) -> NodeId {
        let known = self.hosts.iter().position(|host| host.ip == ip);
        let host = known.unwrap_or_else(|| {
            self.hosts.push(Host {
                ip,
                disk: Disk::default(),
                base: Base::default(),
                up: true,
                last_port: 32_767,
            });
            self.hosts.len() - 1
        });
        self.nodes.push(Node {
            host,
            make: Box::new(make),
            life: 0,
            born: Time::ZERO,
            process: None,
            slots_max: None,
            matters: Matters::default(),
            events: Vec::new(),
            ending: None,
        });
        NodeId(self.nodes.len() - 1)
    }

    /// The law of slots for this node.
    pub fn set_slots(&mut self, node: NodeId, slots_max: u32) {
        self.nodes[node.0].slots_max = Some(slots_max);
    }

    /// The laws of the peer wire for this node, which shares or fetches this content.
    pub fn watch_wire(&mut self, node: NodeId, known: Rc<Known>) {
        self.nodes[node.0].matters.known = Some(known);
    }

    /// The law of answers for a tracker, towards everybody but these.
    pub fn must_answer(&mut self, node: NodeId, but: BTreeSet<IpAddr>) {
        self.nodes[node.0].matters.answers_but = Some(but);
    }

    pub fn plan(&mut self, at: Time, node: NodeId, act: Act) {
        self.later(at, Happening::Act(node.0, act));
    }

    pub fn now(&self) -> Time {
        self.now
    }

    pub fn weather(&self) -> &Weather {
        &self.weather
    }

    /// What the node told, in all its lives.
    pub fn events(&self, node: NodeId) -> &[(Time, Event)] {
        &self.nodes[node.0].events
    }

    /// How its last life ended, if it ended by itself.
    pub fn ending(&self, node: NodeId) -> Option<Ending> {
        self.nodes[node.0].ending
    }

    /// The address of the node's machine.
    pub fn ip(&self, node: NodeId) -> IpAddr {
        self.hosts[self.nodes[node.0].host].ip
    }

    /// When its last life began.
    pub fn born(&self, node: NodeId) -> Time {
        self.nodes[node.0].born
    }

    pub fn running(&self, node: NodeId) -> bool {
        self.nodes[node.0].process.is_some()
    }

    pub fn snapshot(&self, node: NodeId) -> Option<Snapshot> {
        let process = self.nodes[node.0].process.as_ref()?;
        Some(process.role.snapshot(Time::ZERO + self.now.since(process.born)))
    }

    /// The disk of the node's machine.
    pub fn disk(&mut self, node: NodeId) -> &mut Disk {
        let host = self.nodes[node.0].host;
        &mut self.hosts[host].disk
    }

    /// The first law that was broken. The world stands still from then on.
    pub fn breach(&self) -> Option<&str> {
        self.breach.as_deref()
    }

    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    pub fn trace_count(&self) -> u64 {
        self.trace.count()
    }

    /// Runs until `enough` says so (true), or nothing more can happen before `limit`, or a law is
    /// broken (false).
    pub fn run_until(&mut self, limit: Time, mut enough: impl FnMut(&mut World) -> bool) -> bool {
        while self.breach.is_none() {
            if enough(self) {
                return true;
            }
            if !self.step(limit) {
                return false;
            }
        }
        false
    }

    /// Runs until `limit`; true when no law was broken.
    pub fn run(&mut self, limit: Time) -> bool {
        self.run_until(limit, |_| false);
        self.breach.is_none()
    }

    /// Takes the next event; false (and `now` = `limit`) if there is none up to `limit`.
    pub fn step(&mut self, limit: Time) -> bool {
        match self.agenda.first_key_value() {
            Some(((at, _), _)) if *at <= limit => {}
            _ => {
                self.now = self.now.max(limit);
                return false;
            }
        }
        let Some(((at, _), happening)) = self.agenda.pop_first() else { return false };
        self.now = at;
        self.count_busy();
        match happening {
            Happening::Act(node, act) => self.act(node, act),
            Happening::Wake { node, life, at } => self.wake(node, life, at),
            Happening::Net { node, life, ticket, done } => {
                self.tell_life(node, life, done.input(ticket));
            }
            Happening::File { node, life, ticket, done } => {
                self.tell_life(node, life, Input::File { ticket, done });
            }
            Happening::Commit { node, life } => self.commit(node, life),
            Happening::Stored { node, life, ticket, done } => {
                self.tell_life(node, life, Input::Stored { ticket, done });
            }
            Happening::Datagram { from, to, from_host, bytes } => {
                self.datagram_arrives(from, to, from_host, &bytes);
            }
            Happening::Tcp { stream, side, step } => self.tcp(stream, side, step),
        }
        true
    }

    /// At the end of a quiet run: nothing may be owed to any role.
    pub fn check_rest(&mut self) {
        let owed = self.nodes.iter().enumerate().find_map(|(number, node)| {
            let process = node.process.as_ref()?;
            let still = |conn| self.queued_bytes(process, conn);
            process.watch.at_rest(still).err().map(|what| format!("node {number}: {what}"))
        });
        if let Some(what) = owed {
            self.broken(what);
        }
    }

    fn queued_bytes(&self, process: &Process, conn: ConnId) -> u64 {
        let place = process.conns.get(&conn);
        place.and_then(|(id, side)| Some(self.streams.get(id)?.ends[*side].queued)).unwrap_or(0)
    }
}

/// What the other rooms of the simulator use.
impl World {
    pub(super) fn later(&mut self, at: Time, happening: Happening) {
        self.last_sequence += 1;
        self.agenda.insert((at.max(self.now), self.last_sequence), happening);
    }

    /// Roles that answer each other without end never let the time go on.
    fn count_busy(&mut self) {
        let before = if self.busy.0 == self.now.secs() { self.busy.1 } else { 0 };
        self.busy = (self.now.secs(), before + 1);
        if before == EVENTS_PER_SECOND_MAX {
            self.broken(format!("{before} events within one second"));
        }
    }

    /// Whether a fault that happens with `per_mille` happens now.
    pub(super) fn faults(&self) -> bool {
        self.now < self.weather.heal_at
    }

    pub(super) fn broken(&mut self, what: String) {
        self.breach.get_or_insert_with(|| format!("at {} s: {what}", self.now.0 as f64 / 1e9));
    }

    pub(super) fn process(&mut self, node: usize, life: u32) -> Option<&mut Process> {
        let node = self.nodes.get_mut(node).filter(|node| node.life == life)?;
        node.process.as_mut()
    }

    pub(super) fn at(&self, node: usize) -> At {
        At { now: self.now, node, life: self.nodes[node].life }
    }

    fn tell_life(&mut self, node: usize, life: u32, input: Input<'_>) {
        if self.nodes[node].life == life {
            self.tell(node, input);
        }
    }
}
