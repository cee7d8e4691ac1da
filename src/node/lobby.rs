//! Connections that came in and have not said yet which content they are about.

use crate::core::fault::Fault;
use crate::core::id::ConnId;
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use crate::wire::peer::{Framer, Handshake, Part};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Connections that may wait here. Another one takes the place of the one that waited longest: a
/// handshake is a matter of one round trip, so whoever waits long is the stranger.
const WAITING_MAX: usize = 64;
/// A handshake that is not complete after so long will not be.
const HANDSHAKE: Span = Span::secs(10);

#[derive(Debug)]
struct Guest {
    remote: SocketAddr,
    since: Time,
    framer: Framer,
}

#[derive(Debug, Default)]
pub struct Lobby {
    guests: BTreeMap<ConnId, Guest>,
}

/// A guest whose handshake is complete.
#[derive(Debug)]
pub struct Announced {
    pub remote: SocketAddr,
    pub framer: Framer,
    pub handshake: Handshake,
}

impl Lobby {
    /// Takes in a connection. Gives the one that must go for it, if the lobby is full.
    pub fn enter(&mut self, conn: ConnId, remote: SocketAddr, now: Time) -> Option<ConnId> {
        let longest = self.guests.iter().min_by_key(|(_, guest)| guest.since);
        let goes = longest.map(|(conn, _)| *conn).filter(|_| self.guests.len() >= WAITING_MAX);
        if let Some(conn) = goes {
            mark!("F03");
            self.guests.remove(&conn);
        }
        self.guests.insert(conn, Guest { remote, since: now, framer: Framer::new() });
        goes
    }

    pub fn holds(&self, conn: ConnId) -> bool {
        self.guests.contains_key(&conn)
    }

    /// Bytes of a guest: its handshake once it is complete. It leaves the lobby with it, and with a
    /// fault.
    pub fn hear(&mut self, conn: ConnId, bytes: &mut &[u8]) -> Result<Option<Announced>, Fault> {
        let Some(mut guest) = self.guests.remove(&conn) else { return Ok(None) };
        match guest.framer.next(bytes).inspect_err(|_| mark!("D01"))? {
            Some(Part::Handshake(handshake)) => {
                let Guest { remote, framer, .. } = guest;
                Ok(Some(Announced { remote, framer, handshake }))
            }
            Some(_) => Err(Fault::peer("no handshake")),
            None => {
                self.guests.insert(conn, guest);
                Ok(None)
            }
        }
    }

    pub fn left(&mut self, conn: ConnId) -> bool {
        self.guests.remove(&conn).is_some()
    }

    /// Those who took too long; they are out.
    pub fn expire(&mut self, now: Time) -> Vec<ConnId> {
        let late = |guest: &Guest| now.since(guest.since) >= HANDSHAKE;
        let expired: Vec<ConnId> =
            self.guests.iter().filter(|(_, guest)| late(guest)).map(|(conn, _)| *conn).collect();
        if !expired.is_empty() {
            mark!("D01");
        }
        self.guests.retain(|_, guest| !late(guest));
        expired
    }

    pub fn deadline(&self) -> Time {
        self.guests.values().map(|guest| guest.since + HANDSHAKE).min().unwrap_or(Time::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::mark::expect_mark;

    #[test]
    fn a_crowd_that_says_nothing_keeps_nobody_out() {
        let mut lobby = Lobby::default();
        let remote = SocketAddr::from(([10, 0, 0, 1], 1));
        let conn = |slot| ConnId { slot, generation: 0 };
        let mut gone = Vec::new();
        for n in 0..WAITING_MAX as u32 + 3 {
            let now = Time::ZERO + Span::ms(n.into());
            let goes = match n < WAITING_MAX as u32 {
                true => lobby.enter(conn(n), remote, now),
                false => expect_mark!("F03", lobby.enter(conn(n), remote, now)),
            };
            gone.extend(goes);
            assert!(lobby.holds(conn(n)), "the newest is always heard");
        }
        assert_eq!(gone, [conn(0), conn(1), conn(2)]);
        assert_eq!(lobby.guests.len(), WAITING_MAX);
    }

    #[test]
    fn who_does_not_shake_hands_does_not_stay() {
        let remote = SocketAddr::from(([10, 0, 0, 1], 1));
        let conn = ConnId { slot: 1, generation: 0 };
        // Garbage, a wrong length of the protocol's name, a wrong letter in it.
        for wrong in [&b"GET / HTTP/1.1"[..], b"\x12BitTorrent", b"\x13BitTorrent protocoX"] {
            let mut lobby = Lobby::default();
            lobby.enter(conn, remote, Time::ZERO);
            let heard = expect_mark!("D01", lobby.hear(conn, &mut &wrong[..]));
            assert!(heard.is_err() && !lobby.holds(conn));
        }
        // One byte a second is no handshake within ten.
        let mut lobby = Lobby::default();
        lobby.enter(conn, remote, Time::ZERO);
        for (second, byte) in b"\x13BitTorrent protocol".chunks(1).take(10).enumerate() {
            assert!(lobby.expire(Time::ZERO + Span::secs(second as u64)).is_empty());
            assert!(lobby.hear(conn, &mut &byte[..]).unwrap().is_none());
        }
        let late = Time::ZERO + HANDSHAKE;
        assert_eq!(expect_mark!("D01", lobby.expire(late)), [conn]);
        assert!(!lobby.holds(conn) && lobby.deadline() == Time::NEVER);
    }
}
