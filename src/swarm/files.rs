//! File work of a swarm: pieces on their way to disk, and what follows when they are there.

use super::doubt::Verdict;
use super::{Happened, Struck, Swarm};
use crate::content::bitfield::Bitfield;
use crate::content::geometry::Piece;
use crate::core::fault::Fault;
use crate::core::id::{ConnId, PeerId, Ticket};
use crate::core::io::{FileDone, Outbox};
use crate::core::report::Event;
use crate::core::time::Time;
use crate::leecher::{Leecher, News};
use crate::wire::peer::Message;
use std::net::SocketAddr;

impl Swarm {
    /// Nothing but these pieces is fetched; said before there is a source.
    pub fn want_only(&mut self, wanted: Bitfield) {
        self.fetch = self.fetch.take().filter(|_| self.serve.library.have().lacks_any_of(&wanted));
        if let Some(fetch) = &mut self.fetch {
            fetch.want_only(wanted.clone());
        }
        self.serve.library.want_only(wanted);
    }

    pub fn take_happened(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.happened)
    }

    /// File work; hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Option<FileDone> {
        let done = match self.doubt.got_file(ticket, done, &self.content, now) {
            Ok(verdict) => {
                self.got_verdict(verdict, now, out);
                return None;
            }
            Err(done) => done,
        };
        let done = match &mut self.fetch {
            Some(fetch) => fetch.got_file(ticket, done)?,
            None => done,
        };
        self.serve.got_file(ticket, done, &mut self.sessions, now, out)
    }

    /// After file work: tells what is stored, and asks for more where a page came free.
    pub fn after_file(&mut self, now: Time, out: &mut Outbox) {
        self.take_news(now, out);
        if let Some(fetch) = &mut self.fetch {
            self.sessions.values_mut().for_each(|session| fetch.fill(session, now, out));
        }
    }

    /// Asks for nothing more (`on`), or goes on: the disk must follow first.
    pub fn rest(&mut self, on: bool, now: Time, out: &mut Outbox) {
        let rested =
            self.fetch.as_mut().is_some_and(|fetch| std::mem::replace(&mut fetch.rests, on));
        if rested && !on {
            self.after_file(now, out);
        }
    }

    /// Whether pieces are on their way to disk.
    pub fn writes(&self) -> bool {
        self.fetch.as_ref().is_some_and(Leecher::writes)
    }

    /// Offers nothing of what is there: nobody can tell whether it still is what was proven.
    pub fn withhold(&mut self) {
        self.serve.library.withhold();
    }

    /// Ends every conversation at once: what was written is not to be had from here any more. What
    /// is known of those who lied is for the swarm that follows.
    pub fn abandon(mut self, out: &mut Outbox) -> Struck {
        self.sessions.keys().chain(self.dials.keys()).for_each(|conn| out.close(*conn));
        self.neighbours.take_struck()
    }

    /// Goes on with what an earlier swarm of the content knew of those who lied.
    pub fn keep_struck(&mut self, struck: Struck) {
        self.neighbours.keep_struck(struck);
    }

    /// Whether a source of our own is found to have lied not long ago.
    pub fn has_struck(&self, id: PeerId, at: SocketAddr, now: Time) -> bool {
        self.neighbours.is_struck((at, id), false, now)
    }

    pub(super) fn take_news(&mut self, now: Time, out: &mut Outbox) {
        let Some(fetch) = &mut self.fetch else { return };
        for news in fetch.take_news() {
            match news {
                News::Stored(piece) => {
                    self.serve.library.add(piece.index());
                    self.happened.push(Happened::Stored(piece));
                    if !self.serve.library.offered().get(piece.index()) {
                        continue;
                    }
                    for session in self.sessions.values_mut() {
                        if session.peer_id.is_some() && !session.has.get(piece.index()) {
                            session.say(Message::Have(piece.index()), now, out);
                        }
                    }
                }
                News::Lied(conn, piece) => self.accuse(conn, piece, now, out),
                News::Broken(piece) => {
                    let line = format!("piece {} does not match; asked again", piece.index());
                    let piece = u64::from(piece.index());
                    out.tell(Event::warning("corrupt", line).number("piece", piece));
                }
                News::Contradiction(piece) => self.happened.push(Happened::Contradiction(piece)),
                News::DiskFailed(error) => self.happened.push(Happened::DiskFailed(error)),
            }
        }
        if let Some(fetch) = &mut self.fetch {
            fetch.inquire(&mut self.sessions, now, out);
        }
        if self.fetch.as_ref().is_some_and(Leecher::is_complete) {
            self.completed(now, out);
        }
    }

    /// A peer seems to have sent wrong blocks. Should it be one of several that failed the same
    /// piece, it is found out first whether they lie or this machine does.
    fn accuse(&mut self, conn: ConnId, piece: Piece, now: Time, out: &mut Outbox) {
        let session = self.sessions.get(&conn);
        let origin = session.and_then(|session| Some((session.remote.ip(), session.peer_id?)));
        let origin = origin.or_else(|| self.neighbours.origin_of(conn));
        let stored = self.serve.library.have();
        let any = stored.ones().nth(now.0 as usize % (stored.count() as usize).max(1));
        let stored = any.and_then(|index| self.content.geometry.piece(index));
        let about = (&*self.content, self.serve.library.file(), stored);
        let verdict = self.doubt.accuse((conn, piece), origin, about, now, out);
        self.got_verdict(verdict, now, out);
    }

    fn got_verdict(&mut self, verdict: Verdict, now: Time, out: &mut Outbox) {
        match verdict {
            Verdict::Guilty(accused) => {
                for (conn, piece) in accused {
                    self.strike(conn, piece, now, out);
                }
            }
            Verdict::Open => {}
            Verdict::Damaged(piece) => self.happened.push(Happened::Damaged(piece)),
            Verdict::Unreadable(error) => self.happened.push(Happened::DiskFailed(error)),
        }
    }

    /// A peer sent wrong blocks. It is left alone for a while, also if it is gone already.
    fn strike(&mut self, conn: ConnId, piece: Piece, now: Time, out: &mut Outbox) {
        let Some(session) = self.sessions.get(&conn) else {
            if self.neighbours.strike_gone(conn, now) {
                let line =
                    format!("piece {} does not match its hash; who sent it is gone", piece.index());
                out.tell(Event::warning("corrupt", line));
            }
            return;
        };
        if let Some(peer_id) = session.peer_id {
            self.neighbours.strike((session.remote.ip(), peer_id), now);
        }
        let peer = session.remote.to_string();
        let line = format!("peer {peer}: piece {} does not match its hash", piece.index());
        let piece = u64::from(piece.index());
        out.tell(Event::warning("corrupt", line).text("peer", peer).number("piece", piece));
        self.end(conn, Fault::peer("sent a piece that does not match its hash"), now, out);
    }
}
