//! What is done with each fact of a conversation: which half of the peer hears it.

use super::{Swarm, crowd};
use crate::core::fault::Fault;
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::network::public_source;
use crate::core::time::{Span, Time};
use crate::peer::{Heard, Identity};
use crate::wire::peer::Message;

/// How long a peer of ours that was met under v1 is not dialled under v1 again.
const MET_UNDER_V1: Span = Span::secs(3600);

impl Swarm {
    /// Hears all facts in `bytes`.
    pub(super) fn hear(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let Some(session) = self.sessions.get_mut(&conn) else { return Ok(()) };
        let bytes = session.veil.lift(conn, bytes, out)?;
        let mut bytes = &bytes[..];
        loop {
            let Some(session) = self.sessions.get_mut(&conn) else { return Ok(()) };
            let Some(heard) = session.next(&mut bytes)? else { return Ok(()) };
            match heard {
                Heard::BlockBytes(part) => {
                    if let Some(fetch) = &mut self.fetch {
                        fetch.block_bytes(conn, part, now);
                    }
                }
                Heard::Greeted => self.greeted(conn, now, out)?,
                Heard::Introduced => self.introduced(conn, now)?,
                Heard::GotPeers(told) => self.got_peers(conn, &told, now)?,
                Heard::HasMany(before) => {
                    if let Some(fetch) = &mut self.fetch {
                        fetch.got_pieces(session, &before, now, out);
                    }
                    self.complete_if_full(conn, now, out)?;
                }
                Heard::Has(piece) => {
                    if let Some(fetch) = &mut self.fetch {
                        fetch.got_have(session, piece, now, out);
                    }
                    self.complete_if_full(conn, now, out)?;
                }
                fact => self.hear_of_blocks(conn, fact, now, out)?,
            }
        }
    }

    fn hear_of_blocks(
        &mut self,
        conn: ConnId,
        heard: Heard<'_>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        match heard {
            Heard::BlockBegan(block) => {
                if let Some(fetch) = &mut self.fetch {
                    fetch.block_began(conn, block, now)?;
                    self.tell_first_byte(now, out);
                }
            }
            Heard::BlockEnded => {
                if let Some(fetch) = &mut self.fetch {
                    fetch.block_ended(conn, &mut self.sessions, now, out);
                }
            }
            Heard::Unchoked => {
                if let Some(fetch) = &mut self.fetch {
                    fetch.got_unchoke(conn, now);
                }
                self.neighbours.worked(conn);
            }
            Heard::Rejected(block) => {
                if let Some(fetch) = &mut self.fetch {
                    fetch.got_reject(conn, block)?;
                }
            }
            Heard::Told(state) => {
                if let Some(fetch) = &mut self.fetch {
                    fetch.got_state(conn, state, now);
                }
            }
            Heard::GotHashes(range, hashes) => {
                // Once nothing is missing, an answer that comes late is of no use.
                if let Some(fetch) = &mut self.fetch {
                    fetch.got_hashes(conn, range, &hashes)?;
                }
            }
            Heard::HashesRejected(range) => {
                if let Some(fetch) = &mut self.fetch {
                    fetch.got_hash_reject(conn, range);
                }
            }
            fact => self.hear_of_slots(conn, fact, now, out)?,
        }
        Ok(())
    }

    fn hear_of_slots(
        &mut self,
        conn: ConnId,
        heard: Heard<'_>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        match heard {
            Heard::Interested => {
                return self.serve.got_interested(conn, &mut self.sessions, now, out);
            }
            Heard::NotInterested => {
                self.serve.got_not_interested(conn, &mut self.sessions, now, out);
                return Ok(());
            }
            _ => {}
        }
        let Some(session) = self.sessions.get_mut(&conn) else { return Ok(()) };
        match heard {
            Heard::Asked(block) => self.serve.got_request(session, block, now, out)?,
            Heard::AskedWrongly(block) if session.fast() => {
                session.say(Message::Reject(block), now, out);
            }
            Heard::Cancelled(block) => self.serve.got_cancel(session, block, now, out),
            Heard::AskedHashes(range) => self.serve.got_hash_request(session, range, now, out),
            Heard::AskedMetadata(part) => self.serve.got_metadata_request(session, part, now, out),
            Heard::Choked => {
                if let Some(fetch) = &mut self.fetch {
                    fetch.got_choke(session, now);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The handshake is known: is this someone to talk to? Then we say who we are.
    pub(super) fn greeted(
        &mut self,
        conn: ConnId,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let Some(session) = self.sessions.get(&conn) else { return Ok(()) };
        let Some(peer_id) = session.peer_id else { return Ok(()) };
        if session.outgoing {
            self.neighbours.shook_hands(session.remote);
        }
        if peer_id == self.us.peer_id {
            mark!("D02");
            let remote = session.remote;
            self.neighbours.put_off(remote, MET_UNDER_V1, now);
            return Err(Fault::nobody("it is ourselves"));
        }
        if self.neighbours.is_struck((session.remote, peer_id), session.outgoing, now) {
            return Err(Fault::nobody("it sent bad data not long ago"));
        }
        // One of ours that dials under v1 knows no more: else it would hang up here itself.
        let both = session.identity == Identity::V1 && self.content.v2.is_some();
        if both && session.outgoing && peer_id.is_lmk() {
            self.neighbours.got_named(Identity::V2, &[session.remote], now);
            return Err(Fault::nobody("peers of ours meet under v2"));
        }
        if let Some(loser) = self.second_conversation(conn, now) {
            mark!("D02");
            if loser == conn {
                return Err(Fault::nobody("we converse already"));
            }
            self.end(loser, Fault::nobody("we converse already"), now, out);
        }
        let state = self.serve.joined(conn, now);
        if let Some(fetch) = &mut self.fetch {
            fetch.joined(conn, now);
        }
        let have = self.serve.library.offered();
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.greet(&self.us, have, state, now, out);
        }
        Ok(())
    }

    /// If there are two conversations with one peer, the one to give up. A peer id is no proof: who
    /// comes with it from elsewhere is somebody else, who displaces nobody and keeps nobody out.
    fn second_conversation(&self, conn: ConnId, now: Time) -> Option<ConnId> {
        let session = self.sessions.get(&conn)?;
        let peer_id = session.peer_id?;
        let other = self.sessions.values().find(|other| {
            other.conn != conn
                && other.peer_id == Some(peer_id)
                && other.remote.ip() == session.remote.ip()
        })?;
        let (new, old) = ((conn, session.outgoing), (other.conn, other.outgoing));
        Some(crowd::loser(self.us.peer_id > peer_id, new, old, now.since(other.heard)))
    }

    fn introduced(&mut self, conn: ConnId, now: Time) -> Result<(), Fault> {
        let Some(session) = self.sessions.get(&conn) else { return Ok(()) };
        if let Some(addr) = session.listens_at() {
            self.neighbours.met(addr, conn, now);
        }
        let told = session.introduced.as_ref().and_then(|words| words.lmk);
        if let (Some(told), Some(fetch)) = (told, &mut self.fetch) {
            fetch.got_state(conn, told, now);
        }
        let yourip = session.introduced.as_ref().and_then(|words| words.yourip);
        if let Some(ip) = yourip.filter(|ip| public_source(*ip).is_some()) {
            self.neighbours.seen_as(ip, self.us.listen_port);
        }
        match self.is_complete() && session.wants_nothing() {
            true => Err(Fault::nobody("neither wants anything")),
            false => Ok(()),
        }
    }

    /// A complete peer takes nothing; two complete peers have nothing to give each other.
    fn complete_if_full(&mut self, conn: ConnId, now: Time, out: &mut Outbox) -> Result<(), Fault> {
        if !self.sessions.get(&conn).is_some_and(|session| session.has.is_full()) {
            return Ok(());
        }
        if self.is_complete() {
            return Err(Fault::nobody("both have everything"));
        }
        self.serve.got_complete(conn, &mut self.sessions, now, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::bitfield::Bitfield;
    use crate::content::metainfo::ContentHasher;
    use crate::core::id::{FileId, PeerId};
    use crate::core::io::Effect;
    use crate::core::rng::Rng;
    use crate::peer::Us;
    use crate::wire::peer::{Framer, Handshake, Reserved};
    use std::rc::Rc;

    #[test]
    fn a_struck_peer_that_dials_us_is_refused_until_it_is_forgiven() {
        let mut hasher = ContentHasher::new(b"big.zip", 5).unwrap();
        hasher.update(b"bytes");
        let content = Rc::new(hasher.finish().unwrap());
        let us = Us {
            peer_id: PeerId([9; 20]),
            listen_port: 7,
            metadata_bytes: [0; 2],
            exchanges: false,
            upgrade: None,
        };
        let file = (FileId { slot: 0, generation: 0 }, Bitfield::new(1));
        let mut swarm = Swarm::new(content, us, file, (1, 10), &mut Rng::new(1), Time::ZERO);
        let (identity, info_hash) = swarm.identities().next().unwrap();
        let mut out = Outbox::default();
        let mut is_taken = |swarm: &mut Swarm, id: u8, now: Time| {
            let reserved = Reserved::new().with_extended().with_fast();
            let handshake = Handshake { reserved, info_hash, peer_id: PeerId([id; 20]) };
            let mut framer = Framer::new();
            assert!(framer.next(&mut &handshake.encode()[..]).unwrap().is_some());
            let from = (out.conns.insert(()), ([10, 0, 0, id], 5000).into());
            swarm.got_accepted(from, (framer, handshake), identity, now, &mut out);
            let taken = swarm.sessions.contains_key(&from.0);
            let closes = std::mem::take(&mut out.effects)
                .iter()
                .any(|effect| matches!(effect, Effect::Close { conn, .. } if *conn == from.0));
            assert_eq!(taken, !closes);
            taken
        };
        swarm.neighbours.strike(([10, 0, 0, 1].into(), PeerId([1; 20])), Time::ZERO);
        assert!(!is_taken(&mut swarm, 1, Time::ZERO + Span::secs(1)));
        assert!(is_taken(&mut swarm, 2, Time::ZERO + Span::secs(1)), "another one is taken");
        assert!(is_taken(&mut swarm, 1, Time::ZERO + Span::secs(600)), "it may have mended");
    }
}
