//! The only place where a role and a reactor meet, and the library's face.
//!
//! ```no_run
//! use lmk::core::time::Span;
//! use lmk::engine::{Engine, Plan};
//!
//! fn wait_for_it(plan: Plan) -> Result<(), lmk::core::fault::Fatal> {
//!     let mut engine = Engine::new(plan)?;
//!     while engine.turn(Span::ms(100), &mut |_, event| println!("{}", event.line))?.is_none() {}
//!     Ok(())
//! }
//! ```

use crate::core::fault::Fatal;
use crate::core::io::{Input, Outbox, Role};
use crate::core::report::{Ending, Event, Level, Snapshot, foreign};
use crate::core::store::Store;
use crate::core::time::{Span, Time};
use crate::jobs::keygen::Keygen;
use crate::jobs::plan::{
    CreatePlan, JobPlan, KeygenPlan, ProbePlan, ShowPlan, TokenPlan, VerifyPlan,
};
use crate::jobs::token::TokenJob;
use crate::jobs::{Create, Describe, Job, Probe, Verify};
use crate::node::Node;
use crate::node::plan::NodePlan;
use crate::node::several::Several;
use crate::reactor::{Handle, Options, Reactor};
use crate::store::Sqlite;
use crate::tracker::Tracker;
use crate::tracker::plan::TrackerPlan;
use crate::view::View;

/// What a process is to be, every choice made.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant, reason = "one is made a process")]
pub enum Plan {
    Tracker(TrackerPlan),
    Node(NodePlan),
    /// Several fetches on one loop, in their order.
    Several(Vec<NodePlan>),
    Job(JobPlan),
    Token(TokenPlan),
    Keygen(KeygenPlan),
    Probe(ProbePlan),
    Create(CreatePlan),
    Show(ShowPlan),
    Verify(VerifyPlan),
}

impl Plan {
    /// Whether what it says is a table or a few lines, and nothing is worth a bar meanwhile.
    pub fn says_rows(&self) -> bool {
        matches!(
            self,
            Plan::Job(_) | Plan::Token(_) | Plan::Keygen(_) | Plan::Probe(_) | Plan::Show(_)
        )
    }
}

/// One role on one event loop. Nothing happens between turns.
pub struct Engine {
    reactor: Reactor<Part>,
    /// Events of the turn under way.
    events: Vec<Event>,
}

impl Engine {
    /// Makes the role and the loop it lives on. No listener is open yet: the first turn does that.
    pub fn new(plan: Plan) -> Result<Engine, Fatal> {
        Engine::trusting(plan, Vec::new(), Vec::new())
    }

    /// The same, that believes these authorities beside those of the system when it speaks TLS;
    /// each is an X.509 certificate in DER. Of the hosts `unproven` any certificate is taken, which
    /// is told each time.
    pub fn trusting(
        plan: Plan,
        authorities: Vec<Vec<u8>>,
        unproven: Vec<String>,
    ) -> Result<Engine, Fatal> {
        let store = match &plan {
            Plan::Tracker(TrackerPlan { database: Some(database), .. }) => {
                Some(Box::new(Sqlite::new(database.path.clone())) as Box<dyn Store>)
            }
            _ => None,
        };
        let part = match plan {
            Plan::Tracker(plan) => Part::Tracker(Box::new(Tracker::new(plan))),
            Plan::Node(plan) => Part::Node(Box::new(Node::new(plan))),
            Plan::Several(plans) => Part::Job(Box::new(Several::new(plans))),
            Plan::Job(plan) => Part::Job(Box::new(Job::new(plan))),
            Plan::Token(plan) => Part::Job(Box::new(TokenJob::new(plan))),
            Plan::Keygen(plan) => Part::Job(Box::new(Keygen::new(plan))),
            Plan::Probe(plan) => Part::Job(Box::new(Probe::new(plan))),
            Plan::Create(plan) => Part::Job(Box::new(Create::new(plan))),
            Plan::Show(plan) => Part::Job(Box::new(Describe::new(plan))),
            Plan::Verify(plan) => Part::Job(Box::new(Verify::new(plan))),
        };
        let reactor = Reactor::new(part, Options::default())?.with_store(store);
        let events = unproven.iter().map(|host| not_checked(host)).collect();
        let reactor = reactor.with_authorities(authorities, unproven);
        Ok(Engine { reactor, events })
    }

    /// One turn of the loop; waits at most `wait_max` for news. Events of the turn go to `on_event`
    /// and to the log. The ending is told once; after it there is nothing to turn.
    pub fn turn(
        &mut self,
        wait_max: Span,
        on_event: &mut dyn FnMut(Time, &Event),
    ) -> Result<Option<Ending>, Fatal> {
        let Engine { reactor, events } = self;
        let turned = reactor.turn(wait_max, &mut |event| events.push(event));
        for event in self.events.drain(..) {
            record(&event);
            on_event(self.reactor.now(), &event);
        }
        turned
    }

    /// Turns until the role ends, and shows it in `view`.
    pub fn run(&mut self, view: &mut dyn View) -> Ending {
        // What is over at once needs no picture.
        let mut frame_due = self.now() + view.frame_every();
        loop {
            let now = self.now();
            if now >= frame_due {
                view.frame(now, &self.snapshot());
                frame_due = now + view.frame_every();
            }
            let turned = self.turn(frame_due.since(now), &mut |at, event| view.event(at, event));
            let ending = match turned {
                Ok(None) => continue,
                Ok(Some(ending)) => ending,
                Err(fatal) => {
                    let event = Event::error("fatal", fatal.line);
                    record(&event);
                    view.event(self.now(), &event);
                    fatal.ending
                }
            };
            view.finish(self.now(), &self.snapshot(), ending);
            return ending;
        }
    }

    /// Time since the engine was made, as of its last turn.
    pub fn now(&self) -> Time {
        self.reactor.now()
    }

    /// Everything a view may show, as of now.
    pub fn snapshot(&self) -> Snapshot {
        self.reactor.role().snapshot(self.now())
    }

    /// A way to ask the role something from another thread.
    pub fn handle(&self) -> Handle {
        self.reactor.handle()
    }
}

fn not_checked(host: &str) -> Event {
    let host = foreign(host);
    let line = format!(
        "the certificate of {host} is not checked (--insecure-tracker): anybody on the way may \
         answer for it"
    );
    Event::warning("insecure_tracker", line).text("host", host)
}

/// Every event is logged too: roles never call `log` themselves.
fn record(event: &Event) {
    let level = match event.level {
        Level::Error => log::Level::Error,
        Level::Warning => log::Level::Warn,
        Level::Result | Level::Info => log::Level::Info,
        Level::Detail => log::Level::Debug,
    };
    log::log!(level, "{}: {}", event.kind, event.line);
}

/// Any role, so that one kind of loop serves all.
enum Part {
    Tracker(Box<Tracker>),
    Node(Box<Node>),
    Job(Box<dyn Role>),
}

impl Part {
    fn role(&self) -> &dyn Role {
        match self {
            Part::Tracker(role) => role.as_ref(),
            Part::Node(role) => role.as_ref(),
            Part::Job(role) => role.as_ref(),
        }
    }
}

impl Role for Part {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match self {
            Part::Tracker(role) => role.on(now, input, out),
            Part::Node(role) => role.on(now, input, out),
            Part::Job(role) => role.on(now, input, out),
        }
    }
    fn deadline(&self) -> Time {
        self.role().deadline()
    }
    fn snapshot(&self, now: Time) -> Snapshot {
        self.role().snapshot(now)
    }
}
