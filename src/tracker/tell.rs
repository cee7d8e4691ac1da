//! The lines a tracker says, one per thing that happened.

use super::counts::Standing;
use super::keeping::Turn;
use super::names::{Life, Record};
use super::plan::TrackerPlan;
use super::swarms::Moved;
use crate::core::io::NetError;
use crate::core::report::{Event, bytes_text, foreign};
use std::net::{IpAddr, SocketAddr};

/// What became of a peer, if anything did. `why_gone` is the word for one that is gone.
pub fn peer(moved: &Moved, name: Option<&str>, why_gone: &'static str) -> Option<Event> {
    use Standing::{Absent, Complete, Incomplete};
    let kind = match (moved.before, moved.after) {
        (Absent, Incomplete | Complete) => "joined",
        (Incomplete, Complete) => "completed",
        (Incomplete | Complete, Absent) => why_gone,
        _ => return None,
    };
    let content = name.map_or_else(|| moved.hash.to_string(), foreign);
    let role = match (kind, moved.after) {
        ("joined", Complete) => " as a source",
        _ => "",
    };
    let (addr, counts) = (moved.key.addr(), moved.counts);
    let (sources, downloading) = (counts.complete, counts.incomplete);
    let line = format!(
        "{kind}: {addr}{role}, {content} ({sources} with all of it, {downloading} downloading)"
    );
    let event = Event::info(kind, line).text("peer", addr.to_string()).text("content", content);
    let event = event.text("hash", moved.hash.to_string());
    Some(event.number("complete", sources.into()).number("incomplete", downloading.into()))
}

/// What became of an entry of the catalogue.
pub fn name(kind: &'static str, record: &Record) -> Event {
    let (name, size) = (foreign(&record.entry.name), record.entry.size);
    let why = match (kind, record.life) {
        ("published", Life::Pending { .. }) => ", waiting for its first source",
        ("unpublished", Life::Pending { .. }) => ", no source came",
        ("unpublished", Life::Listed { alone: Some(_) }) => ", it had no source",
        _ => "",
    };
    let line = format!("{kind}: {name}, {}{why}", bytes_text(size));
    let event = match kind {
        "listed" => Event::detail(kind, line),
        _ => Event::info(kind, line),
    };
    event.text("name", name).number("size", size)
}

/// Whether changes are saved.
pub fn saving(turn: Turn) -> Event {
    match turn {
        Turn::NotSaving(why) => {
            let line = format!(
                "{why}; what is known is served on, publishing is refused, tried again every {}",
                super::keeping::RETRY
            );
            Event::error("database", line)
        }
        Turn::Saving => Event::info("database", "saving again: everything is kept"),
    }
}

/// Where the tracker listens, and what others must type.
pub fn listening(plan: &TrackerPlan, at: SocketAddr) -> Vec<Event> {
    let say = |line: String| Event::info("listening", line).text("address", at.to_string());
    if at.ip().is_loopback() {
        let line =
            format!("tracker on {at} (this machine only; --bind 0.0.0.0 opens it to the network)");
        return vec![say(line)];
    }
    let mut lines = vec![say(format!("tracker on {at} (open to the network)"))];
    let same_family = |ip: &&IpAddr| at.is_ipv6() || ip.is_ipv4();
    let addresses: Vec<IpAddr> = match at.ip().is_unspecified() {
        true => plan.addresses.iter().filter(same_family).copied().collect(),
        false => vec![at.ip()],
    };
    for ip in addresses {
        let addr = SocketAddr::new(ip, at.port());
        lines.push(say(format!("others type: lmk leecher --want NAME --tracker {addr}")));
    }
    lines
}

/// Why the tracker cannot start, and what to do.
pub fn cannot_listen(at: SocketAddr, error: NetError) -> Event {
    let (why, advice) = match error {
        NetError::InUse => ("another program uses the port", "choose another with --bind"),
        NetError::Denied => ("permission denied", "choose a port from 1024 up with --bind"),
        NetError::NotOurs => {
            ("the address is not one of this machine", "name one that is with --bind")
        }
        NetError::Other(errno) => {
            let why = std::io::Error::from_raw_os_error(errno);
            let line =
                format!("cannot listen on {at}: {why}; choose another with --bind ADDR:PORT");
            return Event::error("listening", line).text("address", at.to_string());
        }
    };
    let line = format!("cannot listen on {at}: {why}; {advice} ADDR:PORT");
    Event::error("listening", line).text("address", at.to_string())
}
