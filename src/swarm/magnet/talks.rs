//! The conversations of a swarm whose content is not known: what is done with each fact, what is
//! asked of whom, and how they end.

use super::MagnetSwarm;
use super::learning::Judged;
use crate::core::fault::{Blame, Fault};
use crate::core::id::ConnId;
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::report::Event;
use crate::core::time::{Span, Time};
use crate::peer::{EarlyHeard, Identity};
use crate::swarm::crowd;
use crate::wire::extended::MetadataMessage;
use crate::wire::peer::Message;

/// A handshake that is not complete after so long will not be.
const HANDSHAKE: Span = Span::secs(10);
/// A peer that can send nothing so long after it came makes room for others.
const OF_NO_USE: Span = Span::secs(30);
/// How long one that was of no use is left alone.
const PAUSE: Span = Span::secs(60);
/// Silence that ends a conversation.
const SILENCE: Span = Span::secs(120);
/// We say something so often: the least patient of the stock clients hang up after 10 s of silence.
const KEEP_ALIVE: Span = Span::secs(8);

impl MagnetSwarm {
    /// Hears all facts in `bytes`.
    pub(super) fn hear(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let Some(talk) = self.talks.get_mut(&conn) else { return Ok(()) };
        let bytes = talk.veil.lift(conn, bytes, out)?;
        let mut bytes = &bytes[..];
        loop {
            let Some(talk) = self.talks.get_mut(&conn) else { return Ok(()) };
            let identity = talk.identity;
            let Some(heard) = talk.next(&mut bytes, now, out)? else { return Ok(()) };
            match heard {
                EarlyHeard::Greeted => self.greeted(conn, now, out),
                EarlyHeard::Introduced => {
                    let (addr, size) = (talk.listens_at(), talk.metadata_bytes());
                    if let Some(addr) = addr {
                        self.books.of(identity).met(addr, conn, now);
                    }
                    if let Some(size) = size {
                        self.learning.metadata(identity).joined(conn, size, now)?;
                    }
                }
                EarlyHeard::GotMetadata { piece, total_size, block } => {
                    let metadata = self.learning.metadata(identity);
                    let whole = metadata.got(conn, (piece, total_size), block)?;
                    if let Some(whole) = whole.filter(|_| self.learning.wants_info(identity)) {
                        let judged = self.learning.judge(identity, whole, now);
                        self.judged(identity, judged, now, out);
                    }
                }
                EarlyHeard::MetadataRejected(piece) => {
                    self.learning.metadata(identity).rejected(conn, piece, now);
                }
                EarlyHeard::GotHashes(range, hashes) => match self.learning.layers() {
                    Some(layers) => layers.got(conn, range, &hashes)?,
                    None => {
                        mark!("D30");
                        return Err(Fault::peer("hashes: nobody asked for them"));
                    }
                },
                EarlyHeard::HashesRejected(range) => match self.learning.layers() {
                    Some(layers) => layers.rejected(conn, range, now),
                    None => mark!("D31"),
                },
            }
        }
    }

    fn judged(&mut self, identity: Identity, judged: Judged, now: Time, out: &mut Outbox) {
        let liar = match judged {
            Judged::Right => return self.meet_under_v2(now),
            Judged::Wrong(liar) => liar,
        };
        let line = match liar.and_then(|liar| self.talks.get(&liar)) {
            Some(talk) => format!("peer {} sent wrong metadata; it is left alone", talk.remote),
            None => "metadata of several peers is wrong; each is asked for all of it".to_owned(),
        };
        out.tell(Event::warning("wrong_metadata", line));
        let Some(liar) = liar else { return };
        match self.talks.contains_key(&liar) {
            true => {
                let fault = Fault::peer("metadata: it is not what the info-hash says");
                self.end(liar, fault, now, out);
            }
            false => drop(self.books.of(identity).strike_gone(liar, now)),
        }
    }

    /// An info dict that was met under v1 turned out to have a v2 part: its peers may be asked for
    /// hashes under that.
    fn meet_under_v2(&mut self, now: Time) {
        let Some(v2) = self.learning.v2().filter(|_| self.topics.v2.is_none()) else { return };
        self.topics.v2 = Some(v2);
        let known: Vec<_> = self.books.v1.addrs().collect();
        self.books.v2.got_named(Identity::V2, &known, now);
    }

    /// The handshake is known: is this someone to talk to? Then we say who we are.
    pub(super) fn greeted(&mut self, conn: ConnId, now: Time, out: &mut Outbox) {
        let Some(talk) = self.talks.get(&conn) else { return };
        let Some(peer_id) = talk.peer_id else { return };
        let origin = (talk.remote, peer_id);
        let (identity, outgoing) = (talk.identity, talk.outgoing);
        if outgoing {
            self.books.of(identity).shook_hands(talk.remote);
        }
        if peer_id == self.us.peer_id {
            mark!("D02");
            return self.end(conn, Fault::nobody("it is ourselves"), now, out);
        }
        if self.books.of(identity).is_struck(origin, outgoing, now) {
            return self.end(conn, Fault::nobody("it sent bad data not long ago"), now, out);
        }
        if let Some(loser) = self.second_talk(conn, now) {
            mark!("D02");
            self.end(loser, Fault::nobody("we converse already"), now, out);
        }
        if let Some(talk) = self.talks.get_mut(&conn) {
            talk.greet(&self.us, now, out);
        }
    }

    /// If there are two conversations with one peer, the one to give up.
    fn second_talk(&self, conn: ConnId, now: Time) -> Option<ConnId> {
        let talk = self.talks.get(&conn)?;
        let peer_id = talk.peer_id?;
        let other = self.talks.values().find(|other| {
            other.conn != conn
                && other.peer_id == Some(peer_id)
                && other.remote.ip() == talk.remote.ip()
        })?;
        let (new, old) = ((conn, talk.outgoing), (other.conn, other.outgoing));
        Some(crowd::loser(self.us.peer_id > peer_id, new, old, now.since(other.heard)))
    }

    /// Asks whom there is something to ask of.
    pub(super) fn go_on(&mut self, now: Time, out: &mut Outbox) {
        let mut done = Vec::new();
        for talk in self.talks.values_mut().filter(|talk| talk.peer_id.is_some()) {
            let (conn, identity) = (talk.conn, talk.identity);
            if !self.learning.wants(identity) {
                done.push(conn);
                continue;
            }
            if self.learning.wants_info(identity) {
                while let Some(piece) = self.learning.metadata(identity).next(conn, now) {
                    talk.tell_metadata(&MetadataMessage::Request { piece }, now, out);
                }
            }
            if identity == Identity::V2
                && let Some(layers) = self.learning.layers()
            {
                while let Some(range) = layers.next(conn, now) {
                    talk.say(Message::HashRequest(range), now, out);
                }
            }
        }
        if done.is_empty() {
            return;
        }
        for conn in done {
            self.end(conn, Fault::nobody("it gave what it can give now"), now, out);
        }
        // It may be met under the other identity now.
        self.dial_due(now, out);
    }

    pub(super) fn look_after_talks(&mut self, now: Time, out: &mut Outbox) {
        let mut ended = Vec::new();
        for talk in self.talks.values_mut() {
            let fault = match talk.peer_id {
                None if now.since(talk.began) > HANDSHAKE => "no handshake",
                Some(_) if now.since(talk.heard) > SILENCE => "silent for two minutes",
                Some(_) if now.since(talk.began) > OF_NO_USE && talk.metadata_bytes().is_none() => {
                    "it has no metadata"
                }
                Some(_) if now.since(talk.spoke) >= KEEP_ALIVE => {
                    talk.say(Message::KeepAlive, now, out);
                    continue;
                }
                _ => continue,
            };
            ended.push((talk.conn, Fault::nobody(fault)));
        }
        let silent = Fault::nobody("it does not tell what it is asked for");
        ended.extend(self.learning.tick(now).into_iter().map(|conn| (conn, silent)));
        for (conn, fault) in ended {
            let talk = self.talks.get(&conn).filter(|talk| talk.peer_id.is_some());
            let met = talk.map(|talk| (talk.identity, talk.listens_at()));
            self.end(conn, fault, now, out);
            if let Some((identity, Some(addr))) = met {
                self.books.of(identity).put_off(addr, PAUSE, now);
            }
        }
    }

    /// Ends a conversation.
    pub(super) fn end(&mut self, conn: ConnId, fault: Fault, now: Time, out: &mut Outbox) {
        let Some(talk) = self.talks.get(&conn) else { return };
        let line = format!("peer {}: {}", talk.remote, fault.what);
        out.tell(Event::detail("peer_gone", line).text("peer", talk.remote.to_string()));
        out.close_after_flush(conn);
        self.forget(conn, fault.blame == Blame::Peer, now);
    }

    /// The connection of a conversation ended, not by our wish.
    pub(super) fn hung_up(&mut self, conn: ConnId, now: Time) {
        self.forget(conn, false, now);
    }

    fn forget(&mut self, conn: ConnId, struck: bool, now: Time) {
        let Some(talk) = self.talks.remove(&conn) else { return };
        let identity = talk.identity;
        self.learning.metadata(identity).left(conn);
        if let Some(layers) = self.learning.layers() {
            layers.left(conn);
        }
        let book = self.books.of(identity);
        if let Some(peer_id) = talk.peer_id {
            book.parted(conn, (talk.remote.ip(), peer_id));
            if struck {
                book.strike((talk.remote.ip(), peer_id), now);
            }
        }
        book.lost(conn, struck, now);
        if talk.outgoing && talk.peer_id.is_none() && !struck {
            book.refused_handshake(talk.remote);
        }
    }
}
