//! What a node says to the person at the terminal: the lines of a seeder that is ready, of a
//! leecher that is done, and of what both wait for.

use super::shared::Shared;
use crate::content::magnet::Magnet;
use crate::content::metainfo::Content;
use crate::core::io::Outbox;
use crate::core::report::{Event, bytes_text, foreign};
use std::net::{IpAddr, SocketAddr};

/// The tracker's announce URL for stock clients.
pub fn announce_url(shared: &Shared) -> String {
    format!("udp://{}/announce", others_tracker(shared))
}

/// The tracker as others must name it. From here it may be on loopback; others reach it under an
/// address of this machine.
fn others_tracker(shared: &Shared) -> String {
    let plan = &shared.plan;
    let here = shared.tracker_open == Some(false);
    let port = plan.tracker.port();
    let loopback = plan.tracker.ip().is_loopback();
    match plan.addresses.first() {
        Some(address) if loopback && !here => SocketAddr::new(*address, port).to_string(),
        _ if loopback => plan.tracker.to_string(),
        _ => plan.tracker_text.clone(),
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+=@%/:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('-') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Whether the end of a name would be taken for a pin.
fn ends_like_a_pin(name: &str) -> bool {
    name.rsplit_once('@').is_some_and(|(_, pin)| {
        pin.starts_with("sha256:") || pin.len() >= 8 && pin.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// The exact line a receiver types. A published name has nothing in it that steers a terminal.
fn receiver_line(shared: &Shared, name: &str) -> String {
    let tracker = others_tracker(shared);
    let literal = if ends_like_a_pin(name) { format!("./{name}") } else { name.to_owned() };
    let want = if name.starts_with('-') {
        format!("--want={}", quoted(&literal))
    } else {
        format!("--want {}", quoted(&literal))
    };
    match tracker == "127.0.0.1:6969" {
        true => format!("lmk leecher {want}"),
        false => format!("lmk leecher {want} --tracker {tracker}"),
    }
}

/// The seeder can serve.
pub fn seeding(shared: &Shared, name: &str, web_seeds: Vec<String>, out: &mut Outbox) {
    let Some(swarm) = &shared.swarm else { return };
    let content = swarm.content();
    let (size, slots) = (content.data_bytes(), shared.plan.slots);
    let shown = foreign(name);
    let hash = content.shown_hash();
    let line = format!("seeding {shown} ({}, {slots} slots) hash {hash}", bytes_text(size));
    out.tell(
        Event::result("seeding", line)
            .text("name", name)
            .text("hash", hash)
            .number("size", size)
            .number("port", u64::from(shared.port())),
    );
    let line = receiver_line(shared, name);
    out.tell(Event::result("receive", format!("receivers type: {line}")).text("command", line));
    let link = magnet(content, &announce_url(shared), web_seeds);
    out.tell(Event::result("magnet", format!("stock clients: {link}")).text("link", link));
    listening(shared, out);
}

/// The seeder can serve a torrent that no catalogue lists.
pub fn seeding_torrent(shared: &Shared, name: &str, out: &mut Outbox) {
    let Some(swarm) = &shared.swarm else { return };
    let (content, slots) = (swarm.content(), shared.plan.slots);
    let (size, hash) = (content.data_bytes(), content.shown_hash());
    let shown = foreign(name);
    let line = format!("seeding {shown} ({}, {slots} slots) hash {hash}", bytes_text(size));
    out.tell(
        Event::result("seeding", line)
            .text("name", name)
            .text("hash", hash)
            .number("size", size)
            .number("port", u64::from(shared.port())),
    );
    listening(shared, out);
}

/// Where others reach this node.
pub fn listening(shared: &Shared, out: &mut Outbox) {
    let Some(at) = shared.listens_at else { return };
    let port = at.port();
    let line = match at.ip() {
        ip if ip.is_loopback() => format!("listening on {at} (this machine only)"),
        ip if ip.is_unspecified() => {
            let all = shared.plan.addresses.iter().map(|ip| SocketAddr::new(*ip, port).to_string());
            format!("listening on port {port}; others use {}", all.collect::<Vec<_>>().join(", "))
        }
        _ => format!("listening on {at}"),
    };
    let ip: IpAddr = at.ip();
    out.tell(Event::info("listening", line).text("ip", ip.to_string()).number("port", port.into()));
}

fn magnet(content: &Content, url: &str, web_seeds: Vec<String>) -> String {
    Magnet {
        v1: content.v1.as_ref().map(|v1| v1.info_hash),
        v2: None,
        name: Some(String::from_utf8_lossy(&content.name).into_owned()),
        trackers: vec![url.to_owned()],
        web_seeds,
        ..Magnet::default()
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_so_that_a_shell_gives_them_back() {
        assert_eq!(quoted("big.zip"), "big.zip");
        assert_eq!(quoted("my file.zip"), "'my file.zip'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("$(reboot)"), "'$(reboot)'");
    }
}
