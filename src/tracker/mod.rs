//! The tracker role: swarms over UDP (BEP 15), the catalogue of names over TCP on the same port.
//! Routes only: every piece of news goes to the room it belongs to.

pub mod admission;
pub mod changes;
pub mod clock;
pub mod connection_id;
pub mod conversation;
pub mod counts;
pub mod datagrams;
pub mod interval;
pub mod keeping;
mod keeping_load;
mod keeping_rows;
pub mod key_file;
mod life;
pub mod lists;
pub mod mac;
pub mod members;
pub mod metainfo;
pub mod names;
pub mod pairs;
pub mod plan;
pub mod publish;
pub mod rate;
pub mod record;
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
mod unwritten;

use crate::core::id::Ticket;
use crate::core::io::{Input, Outbox, Role};
use crate::core::report::{Ending, Snapshot, TrackerRow};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use clock::Clock;
use connection_id::ConnectionIds;
use datagrams::{Datagram, Datagrams, World};
use keeping_load::Loading;
use lists::{CONNECTIONS_MAX, Desk, Lists};
use mac::Key;
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
    /// What was asked of the system at the start and is not answered.
    load: Option<Ticket>,
    loading: Option<Loading>,
    listen: Option<Ticket>,
    listening: bool,
    dropped_conns: u64,
    next_tick: Time,
    /// How it ends once everything is written.
    ending: Option<Ending>,
}

impl Tracker {
    pub fn new(plan: TrackerPlan) -> Tracker {
        let clock = Clock::new(plan.wall_start_s);
        let mut rng = Rng::new(plan.seed);
        let mut swarms = Swarms::new(clock, rng.fork(1), plan.bounds);
        swarms.name_sites(Sites::new(&plan.sites));
        // Above any generation of a run before this one, and below 2^63.
        let generation = (plan.wall_start_s << 24 | rng.below(1 << 16)) & (u64::MAX >> 1);
        let names = Names::new(generation, Span::secs(plan.keep_names_s));
        let (ids, tickets) = keyed(&plan.secret);
        Tracker {
            datagrams: Datagrams::new(ids, &plan),
            tickets,
            registry: Registry::new(clock, swarms, names),
            lists: Lists::default(),
            load: None,
            loading: None,
            listen: None,
            listening: false,
            dropped_conns: 0,
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
        self.lists.tick(now, &mut self.registry, out);
        self.next_tick = Time::NEVER;
    }

    /// Whatever there is now, its time is looked at again within a second.
    fn plan_tick(&mut self, now: Time) {
        let work = !self.registry.is_idle() || !self.lists.is_empty();
        if work && self.next_tick == Time::NEVER {
            self.next_tick = now + TICK.min(self.registry.sweep_every());
        }
    }
}

fn keyed(secret: &[u8; 32]) -> (ConnectionIds, Tickets) {
    let key = Key::new(secret);
    let tickets = Tickets::new(key.derive(b"lmk tickets"));
    (ConnectionIds::new(key), tickets)
}

impl Role for Tracker {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Born => self.born(out),
            Input::Wake => {}
            Input::Asked(command) => self.asked(command, out),
            Input::Listening { ticket, result } => {
                if self.listen.take_if(|listen| *listen == ticket).is_some() {
                    self.got_listening(result, out);
                }
            }
            Input::File { ticket, done } => self.got_file(ticket, done, out),
            Input::Stored { ticket, done } => self.got_stored(now, ticket, done, out),
            Input::Datagram { from, to, bytes } => {
                let mut world = World {
                    registry: &mut self.registry,
                    tickets: &mut self.tickets,
                    open: self.lists.len(),
                    open_max: CONNECTIONS_MAX,
                };
                self.datagrams.got(now, Datagram { from, to, bytes }, &mut world, out);
            }
            Input::Accepted { conn, remote, local } => {
                self.lists.accepted(now, conn, remote, local, out);
            }
            Input::Bytes { conn, bytes } => {
                let mut desk = Desk { registry: &mut self.registry, tickets: &mut self.tickets };
                self.lists.got_bytes(now, conn, bytes, &mut desk, out);
            }
            Input::Sent { conn, bytes, .. } => {
                self.lists.sent(now, conn, bytes, &mut self.registry, out);
            }
            Input::Closed { conn, .. } => self.lists.closed(conn),
            // The tracker dials nobody.
            Input::Connected { .. } => {}
        }
        self.dropped_conns += self.lists.take_dropped();
        self.tick(now, out);
        self.plan_tick(now);
        self.registry.keep(now, out);
        self.end(out);
    }

    fn deadline(&self) -> Time {
        self.next_tick.min(self.registry.keeping.deadline())
    }

    fn snapshot(&self, _now: Time) -> Snapshot {
        let nodes = self.registry.swarms.nodes();
        let row = TrackerRow {
            names: self.registry.names.listed(),
            seeders: nodes.complete.into(),
            leechers: nodes.incomplete.into(),
            answered: self.datagrams.answered,
            dropped: self.datagrams.dropped + self.dropped_conns,
            store: self.registry.keeping.row(),
        };
        let starting = (!self.listening).then(|| format!("starting on {}", self.plan.bind));
        let trouble = row.store.and_then(|store| store.trouble).map(str::to_owned);
        let waiting = starting.or(trouble);
        Snapshot { phase: "tracking", waiting, tracker: Some(row), ..Snapshot::default() }
    }
}
