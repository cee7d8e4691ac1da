//! One question to the catalogue of a tracker: control request, connection, pages, rows.

use super::plan::{Ask, JobPlan};
use super::show;
use crate::announce::catalogue::{self, CatalogueClient};
use crate::announce::control::{self, Control, Ready};
use crate::core::io::{Command, Input, Outbox, Role};
use crate::core::mark::mark;
use crate::core::report::{Ending, Event, Snapshot, foreign};
use crate::core::time::{Span, Time};
use crate::wire::catalogue::answer::{Answer, Page};
use crate::wire::catalogue::entry::{Item, Listed};
use crate::wire::catalogue::request::{List, Request};
use crate::wire::control::Op;
use crate::wire::token::{self, DENIED};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// So long a tracker may take to answer at all.
const TRACKER: Span = Span::secs(5);
/// Entries asked for at a time.
const PAGE: u32 = 4096;
/// Rows below the figures of `status`; `ls` shows all.
const STATUS_ROWS: u64 = 100;

/// Why a job ends early, and how.
struct Failed(Ending, String);

/// One job, from its question to its answer.
#[derive(Debug)]
pub struct Job {
    plan: JobPlan,
    control: Option<Control>,
    ready: Option<Ready>,
    catalogue: Option<CatalogueClient>,
    /// The tracker's clock when it took the connection, and ours then.
    time_s: u64,
    opened: Time,
    /// Entries said so far, and those left out.
    said: u64,
    left_out: u64,
    /// What is to be answered next, and whether a connection ended before it was.
    asked: Option<Request>,
    retried: bool,
    ended: bool,
}

impl Job {
    pub fn new(plan: JobPlan) -> Job {
        Job {
            plan,
            control: None,
            ready: None,
            catalogue: None,
            time_s: 0,
            opened: Time::ZERO,
            said: 0,
            left_out: 0,
            asked: None,
            retried: false,
            ended: false,
        }
    }

    fn born(&mut self, now: Time, out: &mut Outbox) {
        out.listen(SocketAddr::new(towards(self.plan.tracker.ip()), 0), 0, false, true);
        self.knock(now, self.plan.seed);
    }

    /// Asks for a ticket.
    fn knock(&mut self, now: Time, seed: u64) {
        let control = Control::new(now, self.plan.tracker, Op::Read, Some(now + TRACKER), seed);
        self.control = Some(control.with_token(self.plan.token.clone()));
    }

    /// The connection ended before its answer did. What was said is whole pages: once more is asked
    /// for the next one, over a new connection.
    fn cut_short(&mut self, now: Time, out: &mut Outbox, why: String) -> Result<(), Failed> {
        if let Some(mut catalogue) = self.catalogue.take() {
            catalogue.close(out);
        }
        if std::mem::replace(&mut self.retried, true) {
            return Err(self.failed(why));
        }
        mark!("C08");
        self.knock(now, self.plan.seed.wrapping_add(1));
        Ok(())
    }

    fn failed(&self, why: impl std::fmt::Display) -> Failed {
        let tracker = foreign(&self.plan.tracker_text);
        Failed(Ending::Network, format!("the tracker at {tracker}: {why}"))
    }

    fn denied(&self) -> Failed {
        let tracker = foreign(&self.plan.tracker_text);
        Failed(Ending::Refused, token::denied_line(&tracker, self.plan.token.is_some()))
    }

    fn poll(&mut self, now: Time, out: &mut Outbox) -> Result<(), Failed> {
        if let Some(control) = &mut self.control
            && control.poll(now, out) == Some(control::News::GaveUp)
        {
            let tracker = foreign(&self.plan.tracker_text);
            let advice = "start one with `lmk tracker`, or name it with --tracker HOST[:PORT]";
            let line = format!("no tracker answers at {tracker}; {advice}");
            return Err(Failed(Ending::Network, line));
        }
        match self.catalogue.as_mut().and_then(|catalogue| catalogue.poll(now, out)) {
            Some(heard) => self.got_heard(heard, now, out),
            None => Ok(()),
        }
    }

    fn route(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) -> Result<(), Failed> {
        match input {
            Input::Born => self.born(now, out),
            Input::Asked(Command::Interrupt) => self.end(Ending::Interrupted, out),
            Input::Asked(_) => self.end(Ending::Terminated, out),
            Input::Listening { result: Err(_), .. } => {
                let line = "no UDP socket can be opened; is the network there?".to_owned();
                return Err(Failed(Ending::Network, line));
            }
            Input::Datagram { from, bytes, .. } => {
                let control = self.control.as_mut();
                let heard = control.and_then(|control| control.got_datagram(now, from, bytes));
                if let Some(heard) = heard {
                    self.got_control(heard, now, out)?;
                }
            }
            Input::Connected { conn, .. } => {
                if let Some(catalogue) = self.of(conn) {
                    catalogue.got_connected(now, out);
                }
            }
            Input::Bytes { conn, bytes } => {
                let heard = self.of(conn).map(|catalogue| catalogue.got_bytes(now, bytes, out));
                for heard in heard.into_iter().flatten() {
                    self.got_heard(heard, now, out)?;
                }
            }
            Input::Closed { conn, why } => {
                if let Some(heard) = self.of(conn).and_then(|catalogue| catalogue.lost(why)) {
                    self.got_heard(heard, now, out)?;
                }
            }
            _ => {}
        }
        self.poll(now, out)
    }

    fn of(&mut self, conn: crate::core::id::ConnId) -> Option<&mut CatalogueClient> {
        self.catalogue.as_mut().filter(|catalogue| catalogue.conn() == conn)
    }

    fn got_control(
        &mut self,
        heard: control::Heard,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Failed> {
        match heard {
            control::Heard::Ready(ready) => {
                self.ready = Some(ready);
                let catalogue = CatalogueClient::dial(now, &ready, None, out);
                self.catalogue = Some(catalogue.with_token(self.plan.token.as_ref()));
                Ok(())
            }
            control::Heard::Busy { .. } => Ok(()),
            control::Heard::Refused(status) if status.is_denial() => Err(self.denied()),
            control::Heard::Stock(text) if text == DENIED => Err(self.denied()),
            control::Heard::Refused(status) => Err(self.failed(status.reason())),
            control::Heard::Stock(text) => Err(self.failed(format!("it has no names ({text})"))),
        }
    }

    fn got_heard(
        &mut self,
        heard: catalogue::Heard,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Failed> {
        match heard {
            catalogue::Heard::Opened { time_s, .. } => {
                (self.time_s, self.opened) = (time_s, now);
                let first = || match &self.plan.ask {
                    Ask::List { .. } => self.list(None),
                    Ask::Info { name } => Request::Lookup { names: vec![name.clone()] },
                    Ask::Status => Request::Stat,
                };
                let request = self.asked.clone().unwrap_or_else(first);
                self.ask(request, now, out);
                Ok(())
            }
            catalogue::Heard::Answered { answer, .. } => self.got_answer(answer, now, out),
            catalogue::Heard::Refused(status) if status.is_denial() => Err(self.denied()),
            catalogue::Heard::Refused(status) => Err(self.failed(status.reason())),
            catalogue::Heard::Broken(what) => {
                self.cut_short(now, out, format!("its list is broken: {what}"))
            }
            catalogue::Heard::Silent => {
                self.cut_short(now, out, "it does not answer any more".to_owned())
            }
            catalogue::Heard::Lost(_) => {
                let said = self.said;
                let why = format!("its answer ended early, twice, after {said} entries; try again");
                self.cut_short(now, out, why)
            }
        }
    }

    fn ask(&mut self, request: Request, now: Time, out: &mut Outbox) {
        self.asked = Some(request.clone());
        if let Some(catalogue) = &mut self.catalogue {
            catalogue.ask(now, request, out);
        }
    }

    fn list(&self, cursor: Option<Vec<u8>>) -> Request {
        let glob = match &self.plan.ask {
            Ask::List { glob } => glob.clone(),
            _ => None,
        };
        Request::List(List { limit: PAGE, cursor, prefix: None, glob, since: None })
    }

    fn got_answer(&mut self, answer: Answer, now: Time, out: &mut Outbox) -> Result<(), Failed> {
        match answer {
            Answer::Page(page) => self.got_page(page, now, out),
            Answer::Found { entries, .. } => self.got_contents(&entries, now, out),
            Answer::Stat(stat) => {
                let tracker = &self.plan.tracker_text;
                let Some(ready) = &self.ready else { return Ok(()) };
                if self.plan.table {
                    for (key, value) in show::status(tracker, ready, &stat) {
                        out.tell(Event::result("status", format!("{key:<9} {value}")));
                    }
                } else {
                    out.tell(show::status_facts(tracker, ready, &stat));
                }
                self.ask(self.list(None), now, out);
                Ok(())
            }
            Answer::Refused(refused) => Err(self.failed(refused.text)),
            _ => Err(self.failed("it answers another question")),
        }
    }

    fn got_page(&mut self, page: Page, now: Time, out: &mut Outbox) -> Result<(), Failed> {
        let status = self.plan.ask == Ask::Status;
        let unix_s = self.unix_s(now);
        for item in page.items {
            let Item::Listed(listed) = item else { continue };
            if status && listed.complete + listed.incomplete == 0 {
                continue;
            }
            if status && self.said == STATUS_ROWS {
                self.left_out += 1;
                continue;
            }
            if self.said == 0 && self.plan.table {
                let head = if status { format!("\n{}", show::HEAD) } else { show::HEAD.to_owned() };
                out.tell(Event::result("head", head));
            }
            self.said += 1;
            out.tell(show::row(&listed, unix_s));
        }
        match page.cursor {
            // Counting on only to say how many more there are is not worth a million names.
            Some(cursor) if !status || self.left_out == 0 => {
                let next = self.list(Some(cursor));
                self.ask(next, now, out);
                Ok(())
            }
            _ => self.listed(out),
        }
    }

    fn listed(&mut self, out: &mut Outbox) -> Result<(), Failed> {
        if self.left_out > 0 {
            out.tell(Event::info("more", "there are more; `lmk ls` shows all"));
        }
        match &self.plan.ask {
            Ask::List { glob: Some(glob) } if self.said == 0 => {
                let line = format!("no name fits {}", foreign(glob));
                Err(Failed(Ending::NotFound, line))
            }
            _ => {
                self.end(Ending::Done, out);
                Ok(())
            }
        }
    }

    fn got_contents(
        &mut self,
        entries: &[Listed],
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Failed> {
        if entries.is_empty() {
            let Ask::Info { name } = &self.plan.ask else { return Ok(()) };
            let line = format!("no content is named {}; `lmk ls` shows all names", foreign(name));
            return Err(Failed(Ending::NotFound, line));
        }
        let unix_s = self.unix_s(now);
        let mut newest: Vec<&Listed> = entries.iter().collect();
        newest.sort_by_key(|listed| std::cmp::Reverse(listed.generation));
        for (at, listed) in newest.into_iter().enumerate() {
            if !self.plan.table {
                out.tell(show::row(listed, unix_s));
                continue;
            }
            if at > 0 {
                out.tell(Event::result("entry", ""));
            }
            show::content(listed, unix_s).into_iter().for_each(|line| out.tell(line));
        }
        self.end(Ending::Done, out);
        Ok(())
    }

    /// The tracker's clock.
    fn unix_s(&self, now: Time) -> u64 {
        self.time_s + now.since(self.opened).as_secs()
    }

    fn end(&mut self, ending: Ending, out: &mut Outbox) {
        if !std::mem::replace(&mut self.ended, true) {
            if let Some(catalogue) = &mut self.catalogue {
                catalogue.close(out);
            }
            out.end(ending);
        }
    }
}

/// Any address of ours that reaches the tracker, and none that it need not reach.
pub(super) fn towards(tracker: IpAddr) -> IpAddr {
    match tracker {
        IpAddr::V4(ip) if ip.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(ip) if ip.is_loopback() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

impl Role for Job {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        if self.ended {
            return;
        }
        if let Err(Failed(ending, line)) = self.route(now, input, out) {
            out.tell(Event::error("failed", line));
            self.end(ending, out);
        }
    }

    fn deadline(&self) -> Time {
        if self.ended {
            return Time::NEVER;
        }
        let control = self.control.as_ref().map_or(Time::NEVER, Control::deadline);
        control.min(self.catalogue.as_ref().map_or(Time::NEVER, CatalogueClient::deadline))
    }

    fn snapshot(&self, _now: Time) -> Snapshot {
        Snapshot { phase: "asking", ..Snapshot::default() }
    }
}
