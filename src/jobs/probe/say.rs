//! What a probe says of each step: a line for people, and the same as facts.

use super::{PORT, Step};
use crate::core::io::Outbox;
use crate::core::report::{Event, foreign};
use crate::core::time::Span;
use crate::jobs::plan::ProbePlan;
use crate::wire::control::{ControlResponse, Status};
use crate::wire::udp::ScrapeRow;
use std::net::SocketAddr;

/// Rows of the table of peers; `--json` has all.
const ROWS_MAX: usize = 200;

pub fn begins(plan: &ProbePlan, out: &mut Outbox) {
    let (text, hash) = (foreign(&plan.tracker_text), plan.hash);
    let at = plan.tracker.to_string();
    let resolved = if text.ends_with(&at) { String::new() } else { format!(" ({at})") };
    let line = format!("probing {text}{resolved} for {hash}");
    let event = Event::result("probing", line).text("tracker", text).text("addr", at);
    out.tell(event.text("hash", hash.to_string()));
}

/// A question left for the `tries`th time.
pub fn sent(step: Step, bytes: usize, tries: usize, out: &mut Outbox) {
    let name = step.name();
    let line = if tries > 1 { format!("{name} sent again") } else { format!("{name} sent") };
    let event = Event::result("sent", line).text("step", name).number("bytes", bytes as u64);
    out.tell(event.number("try", tries as u64));
}

/// A sending is no longer waited for.
pub fn silent(step: Step, waited: Span, out: &mut Outbox) {
    let line = format!("no answer in {} s", waited.as_secs());
    let event = Event::result("silent", line).text("step", step.name());
    out.tell(event.number("waited_ms", waited.as_ms()));
}

/// The answer to a question came.
pub fn packet(step: Step, bytes: usize, after: Span, out: &mut Outbox) {
    let ms = after.0 as f64 / 1e6;
    let line = format!("packet of {bytes} bytes after {ms:.1} ms");
    let event = Event::result("packet", line).text("step", step.name());
    out.tell(event.number("bytes", bytes as u64).number("after_us", after.0 / 1000));
}

/// The TCP connection stands.
pub fn connected(after: Span, out: &mut Outbox) {
    let line = format!("connected after {:.1} ms", after.0 as f64 / 1e6);
    out.tell(Event::result("connected", line).number("after_us", after.0 / 1000));
}

/// The answer to a question came by HTTP.
pub fn reply(step: Step, status: u16, bytes: usize, after: Span, out: &mut Outbox) {
    let ms = after.0 as f64 / 1e6;
    let line = format!("answer of {bytes} bytes after {ms:.1} ms, HTTP status {status}");
    let event = Event::result("reply", line).text("step", step.name());
    let event = event.number("status", status.into()).number("bytes", bytes as u64);
    out.tell(event.number("after_us", after.0 / 1000));
}

/// A question that need not be answered was not, or not so that it can be read.
pub fn unanswered(step: Step, why: &str, out: &mut Outbox) {
    let line = format!("no answer to {}: {why}", step.name());
    out.tell(Event::result("unanswered", line).text("step", step.name()).text("why", why));
}

/// A word of the tracker beside its answer.
pub fn warned(text: &str, out: &mut Outbox) {
    out.tell(Event::result("warned", format!("warning: {text}")).text("warning", text));
}

/// Something came that answers nothing.
pub fn odd(bytes: usize, why: &str, out: &mut Outbox) {
    let event = Event::result("ignored", format!("packet of {bytes} bytes ignored: {why}"));
    out.tell(event.number("bytes", bytes as u64).text("why", why));
}

pub fn connection_id(cid: u64, out: &mut Outbox) {
    let id = format!("{cid:016x}");
    let event = Event::result("connection_id", format!("connection id {id}"));
    out.tell(event.text("connection_id", id));
}

/// The figures of an announce, a line each.
pub fn announced(
    interval_s: u64,
    leechers: Option<u64>,
    seeders: Option<u64>,
    peers: u64,
    out: &mut Outbox,
) {
    out.tell(figure("interval", "interval_s", Some(interval_s), " s"));
    out.tell(figure("leechers", "leechers", leechers, ""));
    out.tell(figure("seeders", "seeders", seeders, ""));
    out.tell(figure("peers", "peers", Some(peers), ""));
}

fn figure(kind: &'static str, key: &'static str, value: Option<u64>, unit: &str) -> Event {
    match value {
        Some(value) => Event::result(kind, format!("{kind} {value}{unit}")).number(key, value),
        None => Event::result(kind, format!("{kind} not said")),
    }
}

/// The announce was taken back.
pub fn stopped(out: &mut Outbox) {
    out.tell(Event::result("stopped", "stopped: the probe is out of the swarm"));
}

pub fn scraped(row: Option<&ScrapeRow>, out: &mut Outbox) {
    let Some(row) = row else {
        out.tell(Event::result("scraped", "scrape: the tracker says nothing of this hash"));
        return;
    };
    let ScrapeRow { seeders, completed, leechers } = *row;
    let line = format!("scrape: seeders {seeders}, completed {completed}, leechers {leechers}");
    let event = Event::result("scraped", line).number("seeders", seeders.into());
    out.tell(event.number("completed", completed.into()).number("leechers", leechers.into()));
}

/// A tracker of ours answered.
pub fn hello(answer: &ControlResponse, out: &mut Outbox) {
    let event = match answer.status {
        Status::Ready => {
            let (version, names) = (answer.version, answer.names);
            let ticket = match answer.ticket == [0; 24] {
                true => "no ticket, as none was asked for",
                false => "a ticket, though none was asked for",
            };
            let line = format!("tracker of lmk: version {version}, names {names}, {ticket}");
            Event::result("hello", line).number("version", version.into()).number("names", names)
        }
        status => Event::result("hello", format!("tracker of lmk: {}", status.reason())),
    };
    out.tell(event.number("status", answer.status.number().into()));
}

pub fn no_hello(why: &str, out: &mut Outbox) {
    out.tell(Event::result("no_hello", format!("no tracker of lmk: {why}")));
}

/// The tracker says no, with a text that is safe to show.
pub fn refused(step: Step, text: &str, out: &mut Outbox) {
    let event = Event::result("refused", format!("error: {text}")).text("step", step.name());
    out.tell(event.text("error", text));
}

/// Everything that was handed out, under a head.
pub fn peers(peers: &[SocketAddr], table: bool, out: &mut Outbox) {
    if table && !peers.is_empty() {
        out.tell(Event::result("head", "\nPEER"));
    }
    let shown = if table { ROWS_MAX } else { usize::MAX };
    for peer in peers.iter().take(shown) {
        let ours = if peer.port() == PORT { "  (this probe)" } else { "" };
        let event = Event::result("peer", format!("{peer}{ours}"));
        out.tell(event.text("addr", peer.to_string()));
    }
    if peers.len() > shown {
        let line = format!("and {} more; --json shows all", peers.len() - shown);
        out.tell(Event::result("more", line));
    }
}
