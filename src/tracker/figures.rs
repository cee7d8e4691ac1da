//! The tracker's own figures: what came, what was answered, what was dropped, counted where the
//! news come in; and how long its tables are. Shown by `/metrics` and `/status.json`.

use super::Tracker;
use super::registry::Registry;
use crate::wire::control::ControlRequest;
use crate::wire::udp::action;

/// What a datagram asks for, by its action number alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Connect,
    Announce,
    Scrape,
    Control,
    Other,
}

impl Kind {
    pub const ALL: [(Kind, &'static str); 5] = [
        (Kind::Connect, "connect"),
        (Kind::Announce, "announce"),
        (Kind::Scrape, "scrape"),
        (Kind::Control, "control"),
        (Kind::Other, "other"),
    ];

    fn of(bytes: &[u8]) -> Kind {
        if ControlRequest::is_one(bytes) {
            return Kind::Control;
        }
        let number = bytes.get(8..12).and_then(|number| number.try_into().ok());
        match number.map(u32::from_be_bytes) {
            Some(action::CONNECT) => Kind::Connect,
            Some(action::ANNOUNCE) => Kind::Announce,
            Some(action::SCRAPE) => Kind::Scrape,
            _ => Kind::Other,
        }
    }
}

/// Counts since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Datagrams received and answered, by [`Kind`].
    received: [u64; Kind::ALL.len()],
    answered: [u64; Kind::ALL.len()],
    /// Bytes of payload of datagrams.
    pub datagram_bytes_in: u64,
    pub datagram_bytes_out: u64,
    /// Bytes over TCP.
    pub stream_bytes_in: u64,
    pub stream_bytes_out: u64,
    /// Connections accepted, and those that were dropped for what they said.
    pub connections: u64,
    pub connections_dropped: u64,
    /// Connections open now.
    pub open: u64,
}

impl Figures {
    /// A datagram was executed; `answer` is the bytes of the answer, if there was one.
    pub fn datagram(&mut self, bytes: &[u8], answer: Option<usize>) {
        let kind = Kind::of(bytes) as usize;
        self.datagram_bytes_in += bytes.len() as u64;
        self.received[kind] += 1;
        if let Some(answer) = answer {
            self.answered[kind] += 1;
            self.datagram_bytes_out += answer as u64;
        }
    }

    /// Received, answered and left without an answer, of one kind.
    pub fn of(&self, kind: Kind) -> (u64, u64, u64) {
        let (received, answered) = (self.received[kind as usize], self.answered[kind as usize]);
        (received, answered, received.saturating_sub(answered))
    }
}

impl Registry {
    /// Name and length of each table of swarms, names and nodes: what a leak would show in,
    /// whatever the allocator does.
    pub fn tables(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let swarms = self.swarms.tables().into_iter().chain(self.names.tables());
        let nodes = self.fleet.tables().into_iter().chain(self.registrations.tables());
        let kept = self.keeping.tables().into_iter().chain([("watch_bytes", self.watch_bytes)]);
        swarms.chain(nodes).chain(kept)
    }
}

impl Tracker {
    /// The same with those of the connections.
    pub fn tables(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.registry.tables().chain(self.lists.tables())
    }
}
