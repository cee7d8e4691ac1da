//! What a datagram of a tracker says, as a line for a person, and its bytes in hex. It tells what
//! came, field by field, not what is made of it. Secrets are shown in neither: tickets, and
//! whatever in URL data (BEP 41) may be a token or a passkey.

use super::control;
use super::options::{self, Opt};
use super::read::Fields;
use super::udp::{ANNOUNCE_BYTES, CONNECT_MAGIC, action, head};
use crate::core::id::{InfoHash, PeerId};
use crate::core::report::{foreign, foreign_bytes};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::ops::Range;

/// Stands where a secret was.
pub const HIDDEN: &str = "[…]";
/// Bytes shown in hex; no datagram of the protocol that fits in a packet of Ethernet is longer.
pub const HEX_BYTES_MAX: usize = 2048;
/// Hashes, rows, peers or options told one by one.
const ITEMS_MAX: usize = 200;
/// Where the options of a control request begin, and the ticket of its answer.
const CONTROL_OPTIONS: usize = 40;
const TICKET: Range<usize> = 16..40;

/// One datagram, readable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meaning {
    /// Two digits a byte, [`HIDDEN`] for each stretch that is secret; cut after
    /// [`HEX_BYTES_MAX`] bytes.
    pub hex: String,
    /// Safe to show.
    pub text: String,
}

/// A datagram on its way to a tracker.
pub fn request(bytes: &[u8]) -> Meaning {
    let text = request_text(bytes).unwrap_or_else(|| cut(bytes));
    Meaning { hex: hex(bytes, &request_secrets(bytes)), text }
}

/// A datagram on its way from a tracker, to an address of IPv4 or `ipv6`.
pub fn answer(bytes: &[u8], ipv6: bool) -> Meaning {
    let text = answer_text(bytes, ipv6).unwrap_or_else(|| cut(bytes));
    let secret = is_control_answer(bytes) && bytes.get(TICKET).is_some_and(|t| t != [0; 24]);
    let secrets = if secret { vec![TICKET] } else { vec![] };
    Meaning { hex: hex(bytes, &secrets), text }
}

fn cut(bytes: &[u8]) -> String {
    format!("cut off after {} bytes", bytes.len())
}

fn hex(bytes: &[u8], secrets: &[Range<usize>]) -> String {
    let mut text = String::with_capacity(2 * bytes.len().min(HEX_BYTES_MAX));
    for (at, byte) in bytes.iter().enumerate().take(HEX_BYTES_MAX) {
        match secrets.iter().find(|secret| secret.contains(&at)) {
            Some(secret) if secret.start == at => text.push_str(HIDDEN),
            Some(_) => {}
            None => {
                let _ = write!(text, "{byte:02x}");
            }
        }
    }
    if bytes.len() > HEX_BYTES_MAX {
        let _ = write!(text, "… ({} bytes more)", bytes.len() - HEX_BYTES_MAX);
    }
    text
}

/// Where URL data stands that must not be read.
fn request_secrets(bytes: &[u8]) -> Vec<Range<usize>> {
    let Some(start) = options_start(bytes) else { return vec![] };
    let found = options::walk(bytes.get(start..).unwrap_or_default());
    let secret = found.filter_map(|(at, option)| match option {
        Opt::UrlData(data) if !is_plain(data) => Some(start + at + 2..start + at + 2 + data.len()),
        // What is cut off may be half a token.
        Opt::Cut => Some(start + at..bytes.len()),
        _ => None,
    });
    secret.collect()
}

fn options_start(bytes: &[u8]) -> Option<usize> {
    match head(&mut Fields(bytes))?.1 {
        action::ANNOUNCE => Some(ANNOUNCE_BYTES),
        control::ACTION => Some(CONTROL_OPTIONS),
        _ => None,
    }
}

fn is_control_answer(bytes: &[u8]) -> bool {
    Fields(bytes).u32() == Some(control::ACTION)
}

fn request_text(bytes: &[u8]) -> Option<String> {
    let mut fields = Fields(bytes);
    let (cid, action, tid) = head(&mut fields)?;
    match action {
        action::CONNECT if cid == CONNECT_MAGIC => Some(format!("connect, tid {tid:08x}")),
        action::CONNECT => Some(format!("connect with a wrong magic, tid {tid:08x}")),
        action::ANNOUNCE => announce(cid, tid, &mut fields)
            .or_else(|| Some(format!("announce, tid {tid:08x}, cid {cid:016x}, {}", cut(bytes)))),
        action::SCRAPE => {
            let (hashes, rest) = fields.0.as_chunks::<20>();
            let mut text = format!("scrape, tid {tid:08x}, cid {cid:016x}, hashes");
            list(&mut text, hashes.iter().map(|hash| InfoHash(*hash).to_string()));
            if !rest.is_empty() {
                let _ = write!(text, ", {} bytes more", rest.len());
            }
            Some(text)
        }
        control::ACTION => control_request(cid, tid, &mut fields)
            .or_else(|| Some(format!("control, tid {tid:08x}, cid {cid:016x}, {}", cut(bytes)))),
        _ => Some(format!("action {action:#x} is not known, tid {tid:08x}, cid {cid:016x}")),
    }
}

fn announce(cid: u64, tid: u32, fields: &mut Fields<'_>) -> Option<String> {
    let (hash, id) = (InfoHash(fields.array()?), PeerId(fields.array()?));
    let (downloaded, left, uploaded) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let event = match fields.u32()? {
        0 => "none".to_owned(),
        1 => "completed".to_owned(),
        2 => "started".to_owned(),
        3 => "stopped".to_owned(),
        4 => "paused".to_owned(),
        n => format!("{n} (not known)"),
    };
    let (address, key) = (Ipv4Addr::from(fields.u32()?), fields.u32()?);
    let (want, port) = (i32::from_be_bytes(fields.array()?), fields.u16()?);
    let left = if left == u64::MAX { "unknown".to_owned() } else { left.to_string() };
    let mut text = format!(
        "announce, tid {tid:08x}, cid {cid:016x}, hash {hash}, peer id {id:?}, \
         downloaded {downloaded}, left {left}, uploaded {uploaded}, event {event}, \
         address {address}, key {key:08x}, num_want {want}, port {port}",
    );
    tell_options(&mut text, fields.0);
    Some(text)
}

fn control_request(cid: u64, tid: u32, fields: &mut Fields<'_>) -> Option<String> {
    let (low, high) = (fields.u8()?, fields.u8()?);
    let op = match fields.u16()? {
        0 => "HELLO".to_owned(),
        1 => "READ".to_owned(),
        2 => "WRITE".to_owned(),
        n => format!("op {n}"),
    };
    let (flags, nonce, since) = (fields.u32()?, fields.u64()?, fields.u64()?);
    let mut text = format!(
        "control {op}, tid {tid:08x}, cid {cid:016x}, versions {low} to {high}, flags {flags}, \
         nonce {nonce:016x}, since {since}",
    );
    tell_options(&mut text, fields.0);
    Some(text)
}

/// Options as they stand, but for the NOPs that fill up.
fn tell_options(text: &mut String, bytes: &[u8]) {
    let told = options::walk(bytes).filter_map(|(_, option)| match option {
        Opt::Nop => None,
        Opt::End => Some("end of options".to_owned()),
        Opt::UrlData(data) => Some(format!("url data '{}'", url(data))),
        Opt::Other(kind, data) => Some(format!("option {kind} of {} bytes", data.len())),
        Opt::Cut => Some("an option that is cut off".to_owned()),
    });
    let mut told = told.peekable();
    if told.peek().is_some() {
        text.push_str(", options");
        list(text, told);
    }
}

/// Whether nothing of URL data is hidden; what is too long to be shown whole is not looked into.
fn is_plain(data: &[u8]) -> bool {
    data.len() <= 100 && url(data) == foreign_bytes(data)
}

/// URL data with everything hidden that may be a token or a passkey: path segments that are no
/// customary words, and the values of a query.
fn url(data: &[u8]) -> String {
    let data = foreign_bytes(data);
    let (path, query) = match data.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (data.as_str(), None),
    };
    let customary = |word: &&str| matches!(*word, "" | "announce" | "announce.php" | "scrape");
    let words = path.split('/').map(|word| if customary(&word) { word } else { HIDDEN });
    let mut shown = words.collect::<Vec<_>>().join("/");
    if let Some(query) = query {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            // What a node says of its slots.
            Some(("lmk", _)) => pair.to_owned(),
            Some((key, _)) if key.len() <= 16 => format!("{key}={HIDDEN}"),
            _ => HIDDEN.to_owned(),
        });
        let _ = write!(shown, "?{}", pairs.collect::<Vec<_>>().join("&"));
    }
    shown
}

fn answer_text(bytes: &[u8], ipv6: bool) -> Option<String> {
    let mut fields = Fields(bytes);
    let (action, tid) = (fields.u32()?, fields.u32()?);
    Some(match action {
        action::CONNECT => format!("connect, tid {tid:08x}, cid {:016x}", fields.u64()?),
        action::ANNOUNCE => {
            let (interval_s, leechers, seeders) = (fields.u32()?, fields.u32()?, fields.u32()?);
            let mut text = format!(
                "announce, tid {tid:08x}, interval {interval_s} s, leechers {leechers}, \
                 seeders {seeders}, peers",
            );
            list(&mut text, std::iter::from_fn(|| Some(fields.addr(ipv6)?.to_string())));
            text
        }
        action::SCRAPE => {
            let mut text = format!("scrape, tid {tid:08x}, seeders/completed/leechers");
            let row = || {
                let (seeders, completed) = (fields.u32()?, fields.u32()?);
                Some(format!("{seeders}/{completed}/{}", fields.u32()?))
            };
            list(&mut text, std::iter::from_fn(row));
            text
        }
        action::ERROR | action::ERROR_SWAPPED => {
            format!("error, tid {tid:08x}: {}", foreign_bytes(fields.0))
        }
        control::ACTION => control_answer(bytes)?,
        _ => format!("action {action:#x} is not known, tid {tid:08x}"),
    })
}

fn control_answer(bytes: &[u8]) -> Option<String> {
    let at = control::ControlResponse::decode(bytes)?;
    let ticket = if at.ticket == [0; 24] { "none" } else { HIDDEN };
    Some(format!(
        "control, tid {:08x}, version {}, status {} ({}), tcp port {}, seconds {}, \
         ticket {ticket}, generation {}, names {}, caps {:#x}, max frame {}, max page {}, age {} s",
        at.tid,
        at.version,
        at.status.number(),
        foreign(at.status.reason()),
        at.tcp_port,
        at.seconds,
        at.generation,
        at.names,
        at.caps,
        at.max_frame,
        at.max_page,
        at.age_s,
    ))
}

/// Appends items after a space each, `none` when there are none, and how many were left out.
fn list(text: &mut String, items: impl Iterator<Item = String>) {
    let mut count = 0;
    for item in items {
        count += 1;
        if count <= ITEMS_MAX {
            let _ = write!(text, " {item}");
        }
    }
    match count {
        0 => text.push_str(" none"),
        n if n > ITEMS_MAX => {
            let _ = write!(text, " and {} more", n - ITEMS_MAX);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
