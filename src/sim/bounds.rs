//! Bounds of one process: connections and dials (S8), bytes it makes others keep (S9), and
//! connections of the dead, which must not stay (L5).

use crate::core::chunk::Chunk;
use crate::core::id::{ConnId, Ticket};
use crate::core::io::{Effect, FileOp, Input, Outbox};
use crate::core::limits::{ADDRESS_CONVERSATIONS_MAX, CONVERSATIONS_MAX, PAGES_BYTES_MAX};
use crate::core::network::public_source;
use crate::core::time::{Span, Time};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Dials under way: those of a swarm, and those to its tracker.
const DIALS_MAX: usize = 40;
/// Connections that have not said yet what they are about, and those to the tracker.
const FURTHER: usize = 72;
/// Twice the silence that ends a conversation, and a little for the turns in between.
const DEAD: Span = Span::secs(2 * 120 + 10);
/// Bytes that wait for one connection: what it is told when it asks and asks and does not read, the
/// longest frame of a catalogue, or what an upload has handed over.
const QUEUE_BYTES_MAX: u64 = 5 * 1024 * 1024;
/// Pages at the disk: all pieces in memory, and a journal.
const AT_DISK_BYTES_MAX: u64 = 2 * PAGES_BYTES_MAX;

#[derive(Debug)]
struct Conn {
    up: bool,
    /// Who dialled, unless it is of this machine.
    from: Option<IpAddr>,
    heard: Time,
    queued: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Bounds {
    conns: BTreeMap<ConnId, Conn>,
    at_disk: BTreeMap<Ticket, u64>,
}

impl Bounds {
    pub fn input(&mut self, now: Time, input: &Input<'_>) {
        match input {
            Input::Accepted { conn, remote, .. } => {
                let from = Some(remote.ip()).filter(|ip| !ip.is_loopback());
                self.conns.insert(*conn, Conn { up: true, from, heard: now, queued: 0 });
            }
            Input::Connected { conn, .. } => {
                if let Some(conn) = self.conns.get_mut(conn) {
                    (conn.up, conn.heard) = (true, now);
                }
            }
            Input::Bytes { conn, .. } => {
                if let Some(conn) = self.conns.get_mut(conn) {
                    conn.heard = now;
                }
            }
            Input::Sent { conn, queued, .. } => {
                if let Some(conn) = self.conns.get_mut(conn) {
                    conn.queued = *queued;
                }
            }
            Input::Closed { conn, .. } => {
                self.conns.remove(conn);
            }
            Input::File { ticket, .. } => {
                self.at_disk.remove(ticket);
            }
            _ => {}
        }
    }

    pub fn effects(&mut self, now: Time, out: &Outbox) -> Result<(), String> {
        for effect in &out.effects {
            match effect {
                Effect::Dial { conn, .. } => {
                    self.conns.insert(*conn, Conn { up: false, from: None, heard: now, queued: 0 });
                    let dials = self.conns.values().filter(|conn| !conn.up).count();
                    if dials > DIALS_MAX {
                        return Err(format!("S8: {dials} dials at a time"));
                    }
                }
                Effect::Send { conn, chunk } => {
                    let Some(state) = self.conns.get_mut(conn) else { continue };
                    state.queued += match chunk {
                        Chunk::Head(head) => head.bytes().len() as u64,
                        Chunk::Arena { len, .. } => u64::from(*len),
                        Chunk::File(span) => u64::from(span.len),
                    };
                    if state.queued > QUEUE_BYTES_MAX {
                        return Err(format!("S9: {} bytes wait for {conn:?}", state.queued));
                    }
                }
                // The rest is the driver's.
                Effect::Close { conn, .. } => {
                    self.conns.remove(conn);
                }
                Effect::File {
                    ticket,
                    op: FileOp::Write { page, .. } | FileOp::Read { page, .. },
                } => {
                    self.at_disk.insert(*ticket, page.len() as u64);
                    let bytes: u64 = self.at_disk.values().sum();
                    if bytes > AT_DISK_BYTES_MAX {
                        return Err(format!("S9: {bytes} bytes of pages are at the disk"));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Now and then.
    pub fn look(&self, now: Time, slots_taken: u32) -> Result<(), String> {
        let dead = self.conns.iter().find(|(_, conn)| now.since(conn.heard) > DEAD);
        if let Some((conn, state)) = dead {
            let silent = now.since(state.heard);
            return Err(format!("L5: {conn:?} was silent for {silent} and is still kept"));
        }
        if self.conns.len() > CONVERSATIONS_MAX + DIALS_MAX + FURTHER {
            return Err(format!("S8: {} connections", self.conns.len()));
        }
        let mut from: BTreeMap<IpAddr, usize> = BTreeMap::new();
        let sources = self.conns.values().filter_map(|conn| public_source(conn.from?));
        sources.for_each(|ip| {
            *from.entry(ip).or_default() += 1;
        });
        if let Some((ip, n)) = from.iter().find(|(_, n)| **n > ADDRESS_CONVERSATIONS_MAX + FURTHER)
        {
            return Err(format!("S8: {n} connections from {ip}"));
        }
        match slots_taken as usize > self.conns.len() {
            true => {
                let conns = self.conns.len();
                Err(format!("L5: {slots_taken} slots are taken over {conns} connections"))
            }
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Span::secs(seconds)
    }

    #[test]
    fn a_connection_of_the_dead_that_stays_and_slots_of_nobody_are_caught() {
        let (mut bounds, mut out) = (Bounds::default(), Outbox::default());
        let conn = out.dial(([10, 0, 0, 9], 1).into());
        bounds.effects(at(0), &out).unwrap();
        let local = ([10, 0, 0, 1], 2).into();
        bounds.input(at(1), &Input::Connected { conn, local });
        bounds.input(at(100), &Input::Bytes { conn, bytes: b"x" });
        assert_eq!(bounds.look(at(340), 1), Ok(()));
        assert!(bounds.look(at(340), 2).unwrap_err().starts_with("L5"));
        assert!(bounds.look(at(360), 0).unwrap_err().starts_with("L5"));
        out.effects.clear();
        out.close(conn);
        bounds.effects(at(341), &out).unwrap();
        assert_eq!(bounds.look(at(360), 0), Ok(()));
    }

    #[test]
    fn a_crowd_from_one_address_is_caught() {
        let (mut bounds, mut out) = (Bounds::default(), Outbox::default());
        let local = ([10, 0, 0, 1], 2).into();
        for _ in 0..=ADDRESS_CONVERSATIONS_MAX + FURTHER {
            let conn = out.conns.insert(());
            let remote = ([8, 8, 8, 9], 1).into();
            bounds.input(at(1), &Input::Accepted { conn, remote, local });
        }
        assert!(bounds.look(at(1), 0).unwrap_err().starts_with("S8"));
    }
}
