//! The loop: the real driver of a [`Role`]. One thread, one poll; sockets, files, signals and the
//! clock live in this folder and nowhere else. [`Reactor::turn`] reads top to bottom.
// This folder owns what the rest of the crate must not touch.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod clock;
mod conns;
mod datagrams;
mod descriptors;
mod dial;
mod door;
mod effects;
mod files;
mod inlet;
mod listen;
mod news;
mod open;
mod outlet;
mod paths;
mod queue;
mod regular;
mod row;
mod signals;
mod storing;
mod tls;
mod unproven;
mod wake;

pub use clock::wall_seconds;
pub use descriptors::raise as raise_descriptors;
pub use wake::Handle;

use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{Effect, FileDone, Input, Listening, NetError, Outbox, Role};
use crate::core::limits;
use crate::core::report::{Ending, Event};
use crate::core::store::{Store, StoreDone};
use crate::core::time::{Span, Time};
use clock::Clock;
use conns::Conns;
use datagrams::Datagrams;
use door::Door;
use files::Files;
use inlet::Inlet;
use mio::{Events, Poll, Token};
use outlet::Outlet;
use signals::Signals;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use storing::Pace;
use tls::Trust;
use wake::Inbox;

const TOKEN_WAKE: Token = Token(0);
const TOKEN_SIGNALS: Token = Token(1);
const TOKEN_TCP: Token = Token(2);
const TOKEN_UDP: Token = Token(3);
const FIRST_CONN_TOKEN: usize = 16;
/// News of readiness taken from one poll; more wait for the next.
const EVENTS_PER_TURN: usize = 1024;

/// How a reactor is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Take over SIGINT, SIGTERM and SIGHUP of the process.
    pub signals: bool,
    /// Descriptors kept back from connections, for files and everything else; `None`: a third of
    /// all, and no more than 96.
    pub descriptors_reserved: Option<u64>,
    /// Bytes read from one connection in one turn.
    pub read_quota_bytes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            signals: true,
            descriptors_reserved: None,
            read_quota_bytes: limits::READ_QUOTA_BYTES,
        }
    }
}

/// What happened since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    pub turns: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub accepted: u64,
    /// Connections dropped on arrival for want of a descriptor.
    pub accepts_refused: u64,
    pub dialled: u64,
    pub closed: u64,
    pub datagrams_in: u64,
    pub datagrams_out: u64,
    /// Datagrams lost on our side, in either direction.
    pub datagrams_dropped: u64,
}

/// What an effect came to, told in the turn after.
#[derive(Debug)]
enum Completion {
    Listening(Ticket, Result<Listening, NetError>),
    File(Ticket, FileDone),
    Stored(Ticket, StoreDone),
}

/// A role and the world it lives in.
#[derive(Debug)]
pub struct Reactor<R> {
    door: Door<R>,
    clock: Clock,
    poll: Poll,
    ready: Events,
    inbox: Inbox,
    signals: Option<Signals>,
    signalled: bool,
    inlet: Inlet,
    outlet: Outlet,
    trust: Trust,
    datagrams: Datagrams,
    files: Files,
    store: Option<Box<dyn Store>>,
    pace: Pace,
    completions: VecDeque<Completion>,
    /// Narration of this turn.
    events: Vec<Event>,
    /// The other buffer of effects, while one is applied.
    spare: Vec<Effect>,
    born: bool,
}

impl<R: Role> Reactor<R> {
    pub fn new(role: R, options: Options) -> Result<Reactor<R>, Fatal> {
        let fatal = |e: io::Error| internal("start", &e);
        let clock = Clock::start();
        let poll = Poll::new().map_err(fatal)?;
        let inbox = Inbox::new(poll.registry()).map_err(fatal)?;
        let signals = match options.signals {
            true => Some(Signals::new(poll.registry()).map_err(fatal)?),
            false => None,
        };
        let conns_max = descriptors::for_connections(options.descriptors_reserved);
        Ok(Reactor {
            door: Door {
                role,
                out: Outbox::default(),
                conns: Conns::default(),
                now: Time::ZERO,
                ending: None,
                counters: Counters::default(),
            },
            clock,
            poll,
            ready: Events::with_capacity(EVENTS_PER_TURN),
            inbox,
            signals,
            signalled: false,
            inlet: Inlet::new(conns_max, options.read_quota_bytes),
            outlet: Outlet::new(),
            trust: Trust::default(),
            datagrams: Datagrams::new(),
            files: Files::default(),
            store: None,
            pace: Pace::default(),
            completions: VecDeque::new(),
            events: Vec::new(),
            spare: Vec::new(),
            born: false,
        })
    }

    /// One turn of the loop. Waits at most `wait_max`, less if the role or anything left over has a
    /// reason. -> how the role ended, once it did; then there is no further turn.
    pub fn turn(
        &mut self,
        wait_max: Span,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Option<Ending>, Fatal> {
        // 1. How long there is nothing to do. 2. Poll: readiness bits are set, nothing more.
        let wait = self.wait(wait_max);
        self.poll_readiness(wait)?;
        // 3. What the effects of earlier turns came to.
        self.tell_completions();
        // 4. What people and signals ask.
        self.tell_commands();
        // 5. Connections and their bytes.
        self.inlet.accept(&mut self.door, self.poll.registry(), &mut self.events);
        self.inlet.read(&mut self.door);
        // 6. Datagrams.
        self.datagrams.receive(&mut self.door);
        // 7. The deadline of the role, and ours.
        if self.door.role.deadline() <= self.door.now {
            self.door.tell(Input::Wake);
        }
        self.door.conns.expire_closing(self.door.now);
        // 8. The wishes that all this led to.
        self.apply_effects();
        // 9. What was queued leaves.
        let Door { conns, counters, now, .. } = &mut self.door;
        self.outlet.flush(conns, &mut self.files, *now, counters);
        self.datagrams.resend(*now, counters);
        self.commit();
        // 10. What is over is freed and told; then the narration.
        self.door.free_marked();
        self.events.drain(..).for_each(on_event);
        self.door.counters.turns += 1;
        // An end wished for in step 10 still has its effects to be applied.
        Ok(self.door.ending.filter(|_| self.door.out.effects.is_empty()))
    }

    /// Time since the start, as of the last turn.
    pub fn now(&self) -> Time {
        self.door.now
    }

    pub fn role(&self) -> &R {
        &self.door.role
    }

    pub fn role_mut(&mut self) -> &mut R {
        &mut self.door.role
    }

    pub fn counters(&self) -> Counters {
        self.door.counters
    }

    /// A way to ask the role from another thread.
    pub fn handle(&self) -> Handle {
        self.inbox.handle()
    }
}

/// An address as people write it: an IPv4 peer of a dual-stack socket is an IPv4 address.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip if ip == addr.ip() => addr,
        ip => SocketAddr::new(ip, addr.port()),
    }
}

fn internal(what: &str, error: &io::Error) -> Fatal {
    let line = format!("{what} of the event loop: {error}; please report this");
    Fatal { ending: Ending::Internal, line }
}
