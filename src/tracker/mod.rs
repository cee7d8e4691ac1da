//! The tracker role: swarms over UDP (BEP 15), and on the same port over TCP the catalogue of names
//! and HTTP.
//! Routes only: every piece of news goes to the room it belongs to.

pub mod clock;
pub mod connection;
pub mod connection_id;
pub mod conversation;
pub mod counts;
pub mod datagrams;
pub mod desk;
pub mod figures;
pub mod fleet;
pub mod history;
pub mod http;
pub mod interval;
pub mod key_file;
pub mod listing;
pub mod lists;
pub mod mac;
pub mod metainfo;
pub mod name_record;
pub mod names;
pub mod pairs;
pub mod plan;
pub mod publish;
pub mod raw_stream;
pub mod registrations;
pub mod registry;
pub mod requests;
pub mod source;
pub mod swarm;
pub mod swarms;
pub mod tell;
pub mod ticket;
pub mod turns;
pub mod watches;
pub mod work;

use crate::core::id::Ticket;
use crate::core::io::{Command, FileDone, Input, Listening, NetError, Outbox, Role};
use crate::core::report::{Ending, Snapshot};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use clock::Clock;
use datagrams::{Datagram, Datagrams, World};
use desk::Desk;
use figures::Figures;
use http::pages::Pages;
use lists::{CONNECTIONS_MAX, Lists};
use names::Names;
use plan::TrackerPlan;
use registry::Registry;
use swarms::{Bounds, Swarms};
use ticket::Tickets;

/// How often the regular work is done while there is any.
const TICK: Span = Span::secs(1);

/// One tracker, from its start to its end.
#[derive(Debug)]
pub struct Tracker {
    plan: TrackerPlan,
    datagrams: Datagrams,
    tickets: Tickets,
    registry: Registry,
    lists: Lists,
    pages: Pages,
    figures: Figures,
    /// What was asked of the system at the start and is not answered.
    load: Option<Ticket>,
    listen: Option<Ticket>,
    listening: bool,
    /// A tracker with this key ran before.
    ran_before: bool,
    next_tick: Time,
}

impl Tracker {
    pub fn new(plan: TrackerPlan) -> Tracker {
        let clock = Clock::new(plan.wall_start_s);
        let mut rng = Rng::new(plan.seed);
        let swarms = Swarms::new(rng.fork(1), Bounds::default());
        // Above any generation of a run before this one, and below 2^63.
        let generation = (plan.wall_start_s << 24 | rng.below(1 << 16)) & (u64::MAX >> 1);
        let names = Names::new(generation, Span::secs(plan.keep_names_s));
        let (datagrams, tickets) = Datagrams::keyed(&plan.secret, plan.addresses.clone());
        Tracker {
            datagrams,
            tickets,
            registry: Registry::new(clock, swarms, names),
            lists: Lists::default(),
            pages: Pages::default(),
            figures: Figures::default(),
            load: None,
            listen: None,
            listening: false,
            ran_before: false,
            next_tick: Time::NEVER,
            plan,
        }
    }

    /// No id is given before the key is known: listening comes last.
    fn listen(&mut self, out: &mut Outbox) {
        let at = self.plan.bind;
        self.listen = Some(out.listen(at, at.port(), true, true));
    }

    fn got_listening(&mut self, result: Result<Listening, NetError>, out: &mut Outbox) {
        match result {
            Ok(got) => {
                let at = got.udp.or(got.tcp).unwrap_or(self.plan.bind);
                self.listening = true;
                self.datagrams.listens(at);
                tell::listening(&self.plan, at).into_iter().for_each(|event| out.tell(event));
            }
            Err(error) => {
                out.tell(tell::cannot_listen(self.plan.bind, error));
                out.end(Ending::Network);
            }
        }
    }

    fn got_file(&mut self, ticket: Ticket, done: FileDone, out: &mut Outbox) {
        if self.load.take_if(|load| *load == ticket).is_some() {
            let (secret, there) = key_file::loaded(&self.plan, done, out);
            self.ran_before = there;
            (self.datagrams, self.tickets) = Datagrams::keyed(&secret, self.plan.addresses.clone());
            self.listen(out);
        } else {
            key_file::saved(&self.plan, &done, out);
        }
    }

    fn asked(&mut self, command: Command, out: &mut Outbox) {
        match command {
            Command::Interrupt => out.end(Ending::Interrupted),
            Command::Terminate => out.end(Ending::Terminated),
            // A tracker outlives the terminal it was started from.
            Command::Hangup => {}
        }
    }

    fn tick(&mut self, now: Time, out: &mut Outbox) {
        if now < self.next_tick {
            return;
        }
        self.registry.sweep(now, out);
        let (lists, mut desk) = self.lists();
        lists.tick(now, &mut desk, out);
        self.next_tick = Time::NEVER;
    }

    /// The TCP side, and what it may give.
    fn lists(&mut self) -> (&mut Lists, Desk<'_>) {
        let lists = &mut self.lists;
        self.figures.open = lists.len() as u64;
        self.figures.connections = lists.taken;
        let desk = Desk {
            registry: &mut self.registry,
            tickets: &mut self.tickets,
            pages: &mut self.pages,
            ours: &self.plan.addresses,
            figures: self.figures,
        };
        (lists, desk)
    }

    fn got_datagram(&mut self, now: Time, news: Datagram<'_>, out: &mut Outbox) {
        let (answered, arena) = (self.datagrams.answered, out.arena.len());
        let mut world = World {
            registry: &mut self.registry,
            tickets: &mut self.tickets,
            open: self.lists.len(),
            open_max: CONNECTIONS_MAX,
            returning: self.ran_before,
        };
        self.datagrams.got(now, news, &mut world, out);
        let said = self.datagrams.answered > answered;
        self.figures.datagram(news.bytes, said.then(|| out.arena.len().saturating_sub(arena)));
    }

    /// Whatever there is now, its time is looked at again within a second.
    fn plan_tick(&mut self, now: Time) {
        let work = !self.registry.is_idle() || !self.lists.is_empty();
        if work && self.next_tick == Time::NEVER {
            self.next_tick = now + TICK;
        }
    }
}

impl Role for Tracker {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Born => match &self.plan.key_file {
                Some(path) => self.load = Some(key_file::load(path, out)),
                None => self.listen(out),
            },
            Input::Wake => {
                let (lists, mut desk) = self.lists();
                lists.work(now, &mut desk, out);
            }
            Input::Asked(command) => self.asked(command, out),
            Input::Listening { ticket, result } => {
                if self.listen.take_if(|listen| *listen == ticket).is_some() {
                    self.got_listening(result, out);
                }
            }
            Input::File { ticket, done } => self.got_file(ticket, done, out),
            Input::Datagram { from, to, bytes } => {
                self.got_datagram(now, Datagram { from, to, bytes }, out);
            }
            Input::Accepted { conn, remote, local } => {
                self.lists.accepted(now, conn, remote, local, out);
            }
            Input::Bytes { conn, bytes } => {
                self.figures.stream_bytes_in += bytes.len() as u64;
                let (lists, mut desk) = self.lists();
                lists.got_bytes(now, conn, bytes, &mut desk, out);
            }
            Input::Sent { conn, bytes, .. } => {
                self.figures.stream_bytes_out += bytes;
                let (lists, mut desk) = self.lists();
                lists.sent(now, conn, bytes, &mut desk, out);
            }
            Input::Closed { conn, .. } => self.lists.closed(conn, &mut self.registry),
            // The tracker dials nobody.
            Input::Connected { .. } => {}
        }
        self.lists.note_generation(self.registry.names.generation());
        self.figures.connections_dropped += self.lists.take_dropped();
        self.tick(now, out);
        self.plan_tick(now);
    }

    fn deadline(&self) -> Time {
        // What could not be done in this turn is gone on with in the next one.
        if self.lists.has_work() { Time::ZERO } else { self.next_tick }
    }

    fn snapshot(&self, _now: Time) -> Snapshot {
        let dropped = self.datagrams.dropped + self.figures.connections_dropped;
        let row = self.registry.row(self.datagrams.answered, dropped);
        let waiting = (!self.listening).then(|| format!("starting on {}", self.plan.bind));
        Snapshot { phase: "tracking", waiting, tracker: Some(row), ..Snapshot::default() }
    }
}
