//! The tracker role: swarms over UDP (BEP 15), and on the same port over TCP the catalogue of names
//! and HTTP. Routes only: every piece of news goes to the room it belongs to.

pub mod access;
pub mod admission;
pub mod callers;
pub mod changes;
pub mod clock;
pub mod connection;
pub mod connection_id;
pub mod conversation;
pub mod counts;
pub mod crowd;
pub mod datagrams;
pub mod desk;
pub mod figures;
pub mod fleet;
pub mod held;
pub mod history;
pub mod http;
pub mod interval;
pub mod keeping;
mod keeping_load;
mod keeping_rows;
pub mod key_file;
mod life;
pub mod listing;
pub mod lists;
pub mod members;
pub mod metainfo;
pub mod name_record;
pub mod names;
pub mod pairs;
pub mod parts;
pub mod plan;
pub mod pool;
pub mod publish;
pub mod rate;
pub mod raw_stream;
pub mod record;
pub mod registrations;
pub mod registry;
pub mod requests;
pub mod sample;
pub mod shares;
pub mod sites;
pub mod source;
pub mod swarm;
pub mod swarms;
pub mod table;
pub mod tell;
pub mod ticket;
pub mod trace;
pub mod turns;
mod unsaved;
mod unwritten;
pub mod watches;
pub mod work;

pub use crate::core::mac;

use crate::core::id::Ticket;
use crate::core::io::{Input, Outbox, Role};
use crate::core::report::{Ending, Snapshot};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use access::Access;
use clock::Clock;
use datagrams::{Datagram, Datagrams, World};
use desk::Desk;
use figures::Figures;
use http::pages::Pages;
use keeping_load::Loading;
use lists::Lists;
use names::Names;
use plan::TrackerPlan;
use registry::Registry;
use sites::Sites;
use swarms::Swarms;
use ticket::Tickets;

/// How often connections are looked at while there are any.
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
    loading: Option<Loading>,
    listen: Option<Ticket>,
    /// Everything else is there.
    waits_for_access: bool,
    listening: bool,
    /// A tracker with this key ran before.
    ran_before: bool,
    next_tick: Time,
    /// How it ends once everything is written.
    ending: Option<Ending>,
}

impl Tracker {
    pub fn new(plan: TrackerPlan) -> Tracker {
        let (clock, mut rng) = (Clock::new(plan.wall_start_s), Rng::new(plan.seed));
        let mut swarms = Swarms::new(clock, rng.fork(1), plan.bounds);
        swarms.name_sites(Sites::new(&plan.sites));
        // Above any generation of a run before this one, and below 2^63.
        let generation = (plan.wall_start_s << 24 | rng.below(1 << 16)) & (u64::MAX >> 1);
        let names = Names::new(generation, Span::secs(plan.keep_names_s));
        let (datagrams, tickets) = Datagrams::keyed(&plan.secret, &plan);
        let mut registry = Registry::new(clock, swarms, names);
        registry.access = Access::new(plan.access.clone(), rng.next_u64());
        Tracker {
            datagrams,
            tickets,
            registry,
            lists: Lists::new(&plan.bounds),
            pages: Pages::default(),
            figures: Figures::default(),
            load: None,
            loading: None,
            listen: None,
            waits_for_access: false,
            listening: false,
            ran_before: false,
            next_tick: Time::NEVER,
            ending: None,
            plan,
        }
    }

    fn tick(&mut self, now: Time, out: &mut Outbox) {
        if now < self.next_tick {
            return;
        }
        self.registry.sweep(now, out);
        self.lists(now, out, Lists::tick);
        self.next_tick = Time::NEVER;
    }

    /// Lets the TCP side work, with what it may give.
    fn lists(&mut self, now: Time, out: &mut Outbox, work: impl FnOnce(&mut Lists, &mut Desk<'_>)) {
        self.figures.open = self.lists.len() as u64;
        self.figures.connections = self.lists.taken;
        let mut desk = Desk {
            now,
            registry: &mut self.registry,
            tickets: &mut self.tickets,
            pages: &mut self.pages,
            ours: &self.plan.addresses,
            figures: self.figures,
            out,
        };
        work(&mut self.lists, &mut desk);
    }

    fn got_datagram(&mut self, now: Time, news: Datagram<'_>, out: &mut Outbox) {
        let trace = self.plan.trace.then(|| trace::Trace::came(now, &self.plan, news, out));
        let (answered, arena) = (self.datagrams.answered, out.arena.len());
        let mut world = World {
            registry: &mut self.registry,
            tickets: &mut self.tickets,
            callers: &self.lists.callers,
            open: self.lists.len(),
            open_max: self.plan.bounds.connections,
            returning: self.ran_before,
        };
        self.datagrams.got(now, news, &mut world, out);
        let said = self.datagrams.answered > answered;
        self.figures.datagram(news.bytes, said.then(|| out.arena.len().saturating_sub(arena)));
        trace.into_iter().for_each(|trace| trace.left(out));
    }

    /// Whatever there is now, its time is looked at again within a second.
    fn plan_tick(&mut self, now: Time) {
        let work = !self.registry.is_idle() || !self.lists.is_empty();
        if work && self.next_tick == Time::NEVER {
            self.next_tick = now + TICK.min(self.registry.sweep_every());
        }
    }
}

impl Role for Tracker {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Born => self.born(out),
            Input::Wake => self.lists(now, out, Lists::work),
            Input::Asked(command) => self.asked(command, out),
            Input::Listening { ticket, result } => {
                if self.listen.take_if(|listen| *listen == ticket).is_some() {
                    self.got_listening(result, out);
                }
            }
            Input::File { ticket, done } => self.got_file(now, ticket, done, out),
            Input::Stored { ticket, done } => self.got_stored(now, ticket, done, out),
            Input::Datagram { from, to, bytes } => {
                self.got_datagram(now, Datagram { from, to, bytes }, out);
            }
            Input::Accepted { conn, remote, .. } if !self.registry.lets_in(remote) => {
                out.close(conn);
            }
            Input::Accepted { conn, remote, local } => {
                self.lists(now, out, |lists, desk| lists.accepted(conn, remote, local, desk));
            }
            Input::Bytes { conn, bytes } => {
                self.figures.stream_bytes_in += bytes.len() as u64;
                self.lists(now, out, |lists, desk| lists.got_bytes(conn, bytes, desk));
            }
            Input::Sent { conn, bytes, .. } => {
                self.figures.stream_bytes_out += bytes;
                self.lists(now, out, |lists, desk| lists.sent(conn, bytes, desk));
            }
            Input::Closed { conn, .. } => self.lists.closed(conn, &mut self.registry),
            // The tracker dials nobody, and joins nothing.
            Input::Connected { .. } | Input::Joined { .. } => {}
        }
        self.lists.note_generation(self.registry.names.generation());
        self.figures.connections_dropped += self.lists.take_dropped();
        self.registry.access.tick(now, out);
        self.tick(now, out);
        self.plan_tick(now);
        self.registry.keep(now, out);
        self.end(out);
    }

    fn deadline(&self) -> Time {
        // What could not be done in this turn is gone on with in the next one.
        match self.lists.has_work() {
            true => Time::ZERO,
            false => self.next_tick.min(self.registry.deadline()),
        }
    }

    fn snapshot(&self, _now: Time) -> Snapshot {
        let dropped = self.datagrams.dropped + self.figures.connections_dropped;
        let row = self.registry.row(self.datagrams.answered, dropped);
        let starting = (!self.listening).then(|| format!("starting on {}", self.plan.bind));
        let trouble = || row.store.and_then(|store| store.trouble).map(str::to_owned);
        let waiting = starting.or_else(trouble);
        Snapshot { phase: "tracking", waiting, tracker: Some(row), ..Snapshot::default() }
    }
}
