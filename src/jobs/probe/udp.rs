//! The conversation over UDP (BEP 15).

use super::{LEFT, NUM_WANT, Outcome, PORT, Step, due, say};
use crate::announce::session::unspecified;
use crate::core::id::{InfoHash, PeerId};
use crate::core::io::{Input, Outbox};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::jobs::inquiry::towards;
use crate::wire::control::{self, ControlRequest, ControlResponse, Op};
use crate::wire::read::Fields;
use crate::wire::udp::{AnnounceRequest, Event, Request, Response, action};
use std::net::SocketAddr;

/// Datagrams that answer nothing are told of so many times.
const ODD_MAX: u32 = 20;

#[derive(Debug)]
pub struct UdpTalk {
    tracker: SocketAddr,
    hash: InfoHash,
    /// BEP 41 URLData, empty when the URL has no path.
    url_data: Vec<u8>,
    id: PeerId,
    key: u32,
    rng: Rng,
    /// `None` until there is a socket.
    step: Option<Step>,
    tid: u32,
    /// 0 until the tracker gave one.
    cid: u64,
    sent: Time,
    due: Time,
    /// Sendings of this step.
    tries: usize,
    odd: u32,
    /// An announce left and no `stopped` did.
    in_swarm: bool,
    outcome: Outcome,
}

impl UdpTalk {
    pub fn new(
        tracker: SocketAddr,
        hash: InfoHash,
        url_data: Vec<u8>,
        id: PeerId,
        mut rng: Rng,
    ) -> UdpTalk {
        UdpTalk {
            tracker,
            hash,
            url_data,
            id,
            key: rng.next_u32(),
            rng,
            step: None,
            tid: 0,
            cid: 0,
            sent: Time::ZERO,
            due: Time::NEVER,
            tries: 0,
            odd: 0,
            in_swarm: false,
            outcome: Outcome::default(),
        }
    }

    pub fn deadline(&self) -> Time {
        self.due
    }

    pub fn waiting(&self) -> String {
        match self.step {
            Some(step) => {
                let (name, most) = (step.name(), step.waits_ms().len());
                format!("waiting for the answer to {name}, try {} of {most}", self.tries)
            }
            None => "opening a UDP socket".to_owned(),
        }
    }

    /// Takes news; the outcome when nothing is left to ask.
    pub fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) -> Option<Outcome> {
        match input {
            Input::Born => {
                let ours = SocketAddr::new(towards(self.tracker.ip()), 0);
                out.listen(ours, 0, false, true);
                None
            }
            Input::Listening { result: Ok(_), .. } => {
                self.ask(Step::Connect, now, out);
                None
            }
            Input::Listening { result: Err(_), .. } => {
                self.failed("no UDP socket can be opened; is the network there?".to_owned())
            }
            Input::Datagram { from, bytes, .. } => self.got(now, from, bytes, out),
            _ if now >= self.due => self.timed_out(now, out),
            _ => None,
        }
    }

    /// Says `stopped` once, without waiting, if an announce left.
    pub fn take_back(&mut self, out: &mut Outbox) {
        if std::mem::take(&mut self.in_swarm) {
            let bytes = self.datagram(Step::Stopped);
            out.datagram(self.tracker, unspecified(self.tracker), &bytes);
            say::sent(Step::Stopped, bytes.len(), 1, out);
        }
    }

    fn failed(&mut self, why: String) -> Option<Outcome> {
        self.due = Time::NEVER;
        self.outcome.failed = Some(why);
        Some(std::mem::take(&mut self.outcome))
    }

    fn ask(&mut self, step: Step, now: Time, out: &mut Outbox) {
        (self.step, self.tries) = (Some(step), 0);
        self.send(step, now, out);
    }

    fn send(&mut self, step: Step, now: Time, out: &mut Outbox) {
        self.tries += 1;
        self.tid = self.rng.between(1, u64::from(u32::MAX)) as u32;
        (self.sent, self.due) = (now, due(now, step.waits_ms(), self.tries));
        match step {
            Step::Announce => self.in_swarm = true,
            Step::Stopped => self.in_swarm = false,
            _ => {}
        }
        let bytes = self.datagram(step);
        out.datagram(self.tracker, unspecified(self.tracker), &bytes);
        say::sent(step, bytes.len(), self.tries, out);
    }

    fn datagram(&mut self, step: Step) -> Vec<u8> {
        let (cid, tid) = (self.cid, self.tid);
        let mut bytes = Vec::new();
        match step {
            Step::Connect => Request::Connect { tid }.encode(&mut bytes),
            Step::Announce => self.announce(Event::Started, LEFT).encode(&mut bytes),
            Step::Stopped => self.announce(Event::Stopped, LEFT).encode(&mut bytes),
            Step::Scrape => {
                Request::Scrape { cid, tid, hashes: vec![self.hash] }.encode(&mut bytes);
            }
            Step::Hello => {
                let versions = (control::VERSION, control::VERSION);
                let mut nonce = [0; 8];
                self.rng.fill(&mut nonce);
                let (op, url_data) = (Op::Hello, self.url_data.clone());
                ControlRequest { cid, tid, versions, op, nonce, since: 0, url_data }
                    .encode(&mut bytes);
            }
        }
        bytes
    }

    fn announce(&self, event: Event, left: u64) -> AnnounceRequest {
        AnnounceRequest {
            cid: self.cid,
            tid: self.tid,
            info_hash: self.hash,
            peer_id: self.id,
            downloaded: 0,
            left,
            uploaded: 0,
            event,
            key: self.key,
            num_want: if event == Event::Stopped { 0 } else { NUM_WANT },
            port: PORT,
            url_data: self.url_data.clone(),
        }
    }

    fn timed_out(&mut self, now: Time, out: &mut Outbox) -> Option<Outcome> {
        let step = self.step?;
        say::silent(step, now.since(self.sent), out);
        if self.tries < step.waits_ms().len() {
            self.send(step, now, out);
            return None;
        }
        match step {
            Step::Connect | Step::Announce => {
                self.take_back(out);
                let waited = Span::ms(step.waits_ms().iter().sum()).as_secs();
                let (name, port) = (step.name(), self.tracker.port());
                let advice = format!("is a tracker there, and UDP port {port} open?");
                self.failed(format!("no answer to {name} in {waited} s; {advice}"))
            }
            Step::Stopped | Step::Scrape => self.next(step, now, out),
            Step::Hello => {
                say::no_hello("it does not know the question", out);
                self.next(step, now, out)
            }
        }
    }

    /// Goes on after a step that is over.
    fn next(&mut self, step: Step, now: Time, out: &mut Outbox) -> Option<Outcome> {
        let next = match step {
            Step::Connect => Step::Announce,
            Step::Announce if self.outcome.refused => Step::Scrape,
            Step::Announce => Step::Stopped,
            Step::Stopped => Step::Scrape,
            Step::Scrape => Step::Hello,
            Step::Hello => {
                self.due = Time::NEVER;
                return Some(std::mem::take(&mut self.outcome));
            }
        };
        self.ask(next, now, out);
        None
    }

    fn got(
        &mut self,
        now: Time,
        from: SocketAddr,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Option<Outcome> {
        let step = self.step?;
        match self.read(step, from, bytes) {
            Ok(answer) => {
                say::packet(step, bytes.len(), now.since(self.sent), out);
                self.got_answer(step, answer, now, out)
            }
            Err(why) => {
                self.odd += 1;
                if self.odd <= ODD_MAX {
                    say::odd(bytes.len(), &why, out);
                }
                // Whatever comes in, the answer is waited for no longer than was said.
                if now >= self.due { self.timed_out(now, out) } else { None }
            }
        }
    }

    /// The answer to what was asked, or why it is none.
    fn read(&self, step: Step, from: SocketAddr, bytes: &[u8]) -> Result<Answer, String> {
        if (from.ip(), from.port()) != (self.tracker.ip(), self.tracker.port()) {
            return Err(format!("it comes from {from}"));
        }
        let mut fields = Fields(bytes);
        let (Some(action), Some(tid)) = (fields.u32(), fields.u32()) else {
            return Err("too short for an answer".to_owned());
        };
        if tid != self.tid {
            return Err(format!("transaction {tid:08x}, and {:08x} was asked", self.tid));
        }
        let wanted = match step {
            Step::Connect => action::CONNECT,
            Step::Announce | Step::Stopped => action::ANNOUNCE,
            Step::Scrape => action::SCRAPE,
            Step::Hello => control::ACTION,
        };
        let error = matches!(action, action::ERROR | action::ERROR_SWAPPED);
        if action != wanted && !error {
            return Err(format!("action {action:#x} does not answer {}", step.name()));
        }
        let read = match step {
            Step::Hello if !error => ControlResponse::decode(bytes).map(Answer::Hello),
            _ => Response::decode(bytes, self.tracker.is_ipv6()).map(Answer::Stock),
        };
        read.ok_or_else(|| format!("too short for an answer to {}", step.name()))
    }

    fn got_answer(
        &mut self,
        step: Step,
        answer: Answer,
        now: Time,
        out: &mut Outbox,
    ) -> Option<Outcome> {
        match answer {
            Answer::Hello(hello) => say::hello(&hello, out),
            Answer::Stock(Response::Connect { cid, .. }) => {
                self.cid = cid;
                say::connection_id(cid, out);
            }
            Answer::Stock(Response::Announce(_)) if step == Step::Stopped => say::stopped(out),
            Answer::Stock(Response::Announce(answer)) => {
                let (leechers, seeders) = (answer.leechers.into(), answer.seeders.into());
                let (leechers, seeders) = (Some(leechers), Some(seeders));
                let peers = answer.peers.len() as u64;
                say::announced(answer.interval_s.into(), leechers, seeders, peers, out);
                self.outcome.peers = answer.peers;
            }
            Answer::Stock(Response::Scrape { rows, .. }) => say::scraped(rows.first(), out),
            Answer::Stock(Response::Error { text, .. }) => {
                return self.got_error(step, &text, now, out);
            }
        }
        self.next(step, now, out)
    }

    fn got_error(
        &mut self,
        step: Step,
        text: &str,
        now: Time,
        out: &mut Outbox,
    ) -> Option<Outcome> {
        match step {
            Step::Hello => say::no_hello(text, out),
            _ => say::refused(step, text, out),
        }
        match step {
            Step::Connect => {
                self.due = Time::NEVER;
                self.outcome.refused = true;
                return Some(std::mem::take(&mut self.outcome));
            }
            Step::Announce => self.outcome.refused = true,
            _ => {}
        }
        self.next(step, now, out)
    }
}

/// What answers a question.
enum Answer {
    Stock(Response),
    Hello(ControlResponse),
}
