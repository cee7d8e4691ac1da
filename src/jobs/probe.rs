//! A conversation with any tracker, told step by step: announce, take the announce back, scrape,
//! and over UDP the control request of ours. The probe leaves nothing in the swarm: it announces a
//! port on which no peer is, and says `stopped` before it asks anything else.

mod http;
mod say;
mod udp;

use super::plan::{ProbePlan, Speech};
use crate::core::id::PeerId;
use crate::core::io::{Command, Input, Outbox, Role, Transport};
use crate::core::report::{Ending, Event, Snapshot};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::http::asking::Target;
use http::{Asked, HttpTalk};
use std::net::SocketAddr;
use udp::UdpTalk;

/// The port announced: one of the system's own, where no peer can be.
const PORT: u16 = 1;
/// What we say is missing, so that peers of every kind are named.
const LEFT: u64 = 1;
/// Peers asked for.
const NUM_WANT: i32 = 200;
/// How long each sending of a question is waited for; short beside the 15 s of BEP 15, as a person
/// looks on.
const WAITS_MS: [u64; 3] = [1000, 2000, 4000];

/// What is asked, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Connect,
    Announce,
    Stopped,
    Scrape,
    Hello,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Connect => "connect",
            Step::Announce => "announce",
            Step::Stopped => "stopped",
            Step::Scrape => "scrape",
            Step::Hello => "hello",
        }
    }

    /// How long the sendings are waited for, milliseconds. A tracker that knows a peer has answered
    /// the first two; many leave the others unanswered by right.
    fn waits_ms(self) -> &'static [u64] {
        match self {
            Step::Connect | Step::Announce => &WAITS_MS,
            Step::Stopped | Step::Scrape => WAITS_MS.get(..2).unwrap_or_default(),
            Step::Hello => WAITS_MS.get(..1).unwrap_or_default(),
        }
    }
}

/// What is left to say when all was asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Outcome {
    peers: Vec<SocketAddr>,
    /// The tracker refused the announce.
    refused: bool,
    /// Why there is nothing more to ask, when that is no good end.
    failed: Option<String>,
}

#[derive(Debug)]
pub struct Probe {
    plan: ProbePlan,
    talk: Talk,
    /// A signal asked for the end; the announce is being taken back.
    ending: Option<Ending>,
    ended: bool,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one is made a process")]
enum Talk {
    Udp(UdpTalk),
    Http(HttpTalk),
}

impl Probe {
    pub fn new(plan: ProbePlan) -> Probe {
        let mut rng = Rng::new(plan.seed);
        let mut id = PeerId(*b"lmk-probe-..........");
        id.0.iter_mut().skip(10).for_each(|byte| *byte = b'a' + rng.below(26) as u8);
        let talk = match &plan.speech {
            Speech::Udp { url_data } => {
                Talk::Udp(UdpTalk::new(plan.tracker, plan.hash, url_data.clone(), id, rng))
            }
            Speech::Http { host, path, query, tls } => {
                let (host, path, query) = (host.clone(), path.clone(), query.clone());
                let target = Target { host, path, query };
                let transport = match tls {
                    Some(name) => Transport::Tls { name: name.clone() },
                    None => Transport::Plain,
                };
                let asked = Asked { tracker: plan.tracker, target, transport };
                Talk::Http(HttpTalk::new(asked, plan.hash, id))
            }
        };
        Probe { plan, talk, ending: None, ended: false }
    }

    fn asked(&mut self, now: Time, command: Command, out: &mut Outbox) {
        let interrupted = command == Command::Interrupt;
        let ending = if interrupted { Ending::Interrupted } else { Ending::Terminated };
        let waits = match &mut self.talk {
            // Who asks twice is in a hurry.
            _ if self.ending.is_some() => false,
            Talk::Udp(talk) => {
                talk.take_back(out);
                false
            }
            Talk::Http(talk) => talk.take_back(now, out),
        };
        match waits {
            true => self.ending = Some(ending),
            false => self.end(ending, out),
        }
    }

    fn finish(&mut self, outcome: Outcome, out: &mut Outbox) {
        if let Some(ending) = self.ending {
            return self.end(ending, out);
        }
        say::peers(&outcome.peers, self.plan.table, out);
        match outcome.failed {
            Some(why) => {
                let line = format!("the tracker at {}: {why}", self.plan.tracker_text);
                out.tell(Event::error("failed", line));
                self.end(Ending::Network, out);
            }
            None if outcome.refused => self.end(Ending::Refused, out),
            None => self.end(Ending::Done, out),
        }
    }

    fn end(&mut self, ending: Ending, out: &mut Outbox) {
        self.ended = true;
        out.end(ending);
    }
}

impl Role for Probe {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        if self.ended {
            return;
        }
        if let Input::Asked(command) = input {
            return self.asked(now, command, out);
        }
        if matches!(input, Input::Born) {
            say::begins(&self.plan, out);
        }
        let outcome = match &mut self.talk {
            Talk::Udp(talk) => talk.on(now, input, out),
            Talk::Http(talk) => talk.on(now, input, out),
        };
        if let Some(outcome) = outcome {
            self.finish(outcome, out);
        }
    }

    fn deadline(&self) -> Time {
        match &self.talk {
            _ if self.ended => Time::NEVER,
            Talk::Udp(talk) => talk.deadline(),
            Talk::Http(talk) => talk.deadline(),
        }
    }

    fn snapshot(&self, _now: Time) -> Snapshot {
        let waiting = match &self.talk {
            Talk::Udp(talk) => talk.waiting(),
            Talk::Http(talk) => talk.waiting(),
        };
        Snapshot { phase: "probing", waiting: Some(waiting), ..Snapshot::default() }
    }
}

/// When a sending is no longer waited for.
fn due(now: Time, waits_ms: &[u64], tries: usize) -> Time {
    let wait_ms = waits_ms.get(tries.saturating_sub(1)).copied().unwrap_or_default();
    now + Span::ms(wait_ms)
}
