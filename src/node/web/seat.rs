//! The place of a web seed among the conversations of a swarm: a connection that no socket stands
//! behind, on which the peer wire is spoken (BEP 3, 6).

use crate::core::chunk::Chunk;
use crate::core::id::{ConnId, PeerId};
use crate::core::io::{Effect, Outbox};
use crate::core::time::Time;
use crate::swarm::Swarm;
use crate::wire::peer::{BlockRef, Framer, Handshake, HashRange, Message, Part, Reserved};
use std::net::SocketAddr;

/// What the swarm said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    Asks(BlockRef),
    Cancels(BlockRef),
    /// For hashes, of which a server of files has none.
    AsksHashes(HashRange),
    /// It ended the conversation.
    Leaves,
}

#[derive(Debug)]
pub struct Seat {
    conn: ConnId,
    /// Where the swarm was told that we are.
    pub at: SocketAddr,
    framer: Framer,
    /// When the swarm last heard of us.
    spoke: Time,
}

impl Seat {
    /// Joins the swarm as a peer that has everything and lets everybody take it. `None` if the
    /// swarm has no identity.
    pub fn take(
        (id, at): (PeerId, SocketAddr),
        swarm: &mut Swarm,
        now: Time,
        out: &mut Outbox,
    ) -> Option<Seat> {
        let (identity, info_hash) = swarm.identities().next()?;
        let handshake = Handshake { reserved: Reserved::new().with_fast(), info_hash, peer_id: id };
        let mut framer = Framer::new();
        framer.next(&mut &handshake.encode()[..]).ok()??;
        let conn = out.conns.insert(());
        swarm.seat((conn, at), (framer, handshake), identity, now, out);
        let mut seat = Seat { conn, at, framer: Framer::new(), spoke: now };
        seat.say(&Message::HaveAll.encode(), swarm, now, out);
        seat.say(&Message::Unchoke.encode(), swarm, now, out);
        Some(seat)
    }

    /// Says something to the swarm.
    pub fn say(&mut self, bytes: &[u8], swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        self.spoke = now;
        swarm.got_bytes(self.conn, bytes, now, out);
    }

    /// When the swarm last heard of us.
    pub fn spoke(&self) -> Time {
        self.spoke
    }

    /// Gets up; `why` the swarm left is its own matter.
    pub fn leave(self, swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        swarm.got_closed(self.conn, crate::core::io::Closed::Reset, now, out);
        self.gone(out);
    }

    /// The swarm left.
    pub fn gone(self, out: &mut Outbox) {
        out.effects.retain(|effect| !is_for(effect, self.conn));
        out.conns.remove(self.conn);
    }

    /// What the swarm said to us since `out` had `before` wishes: taken out of there, for nobody
    /// else knows this connection. `None` if it said nothing.
    pub fn hear(
        &mut self,
        before: usize,
        swarm: &mut Swarm,
        now: Time,
        out: &mut Outbox,
    ) -> Option<Vec<Said>> {
        let (mut said, mut at, mut any) = (Vec::new(), 0, false);
        let (arena, framer, conn) = (&out.arena, &mut self.framer, self.conn);
        out.effects.retain(|effect| {
            at += 1;
            if at <= before || !is_for(effect, conn) {
                return true;
            }
            any = true;
            match effect {
                Effect::Send { chunk: Chunk::Head(head), .. } => {
                    read(head.bytes(), framer, &mut said);
                }
                Effect::Send { chunk: Chunk::Arena { start, len }, .. } => {
                    let start = *start as usize;
                    let bytes = arena.get(start..start + *len as usize).unwrap_or_default();
                    read(bytes, framer, &mut said);
                }
                Effect::Close { .. } => said.push(Said::Leaves),
                _ => {}
            }
            false
        });
        if any {
            // Nothing of it waits anywhere.
            swarm.got_sent(conn, 0, now, out);
        }
        any.then_some(said)
    }
}

fn is_for(effect: &Effect, conn: ConnId) -> bool {
    match effect {
        Effect::Send { conn: to, .. }
        | Effect::Close { conn: to, .. }
        | Effect::Reading { conn: to, .. } => *to == conn,
        _ => false,
    }
}

/// Words of our own swarm: what is not about blocks needs no answer.
fn read(mut bytes: &[u8], framer: &mut Framer, said: &mut Vec<Said>) {
    while let Ok(Some(part)) = framer.next(&mut bytes) {
        match part {
            Part::Message(Message::Request(block)) => said.push(Said::Asks(block)),
            Part::Message(Message::Cancel(block)) => said.push(Said::Cancels(block)),
            Part::Message(Message::HashRequest(range)) => said.push(Said::AsksHashes(range)),
            _ => {}
        }
    }
}
