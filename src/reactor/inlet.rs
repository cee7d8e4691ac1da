//! Input: connections come in, dials are answered, bytes are read into one buffer for all and lent
//! to the role.

use super::conns::{Conn, Phase};
use super::dial::{self, Answer};
use super::door::Door;
use super::{Counters, canonical, descriptors};
use crate::core::id::ConnId;
use crate::core::io::{Closed, Distrust, Input, Role};
use crate::core::limits::{ACCEPT_BACKOFF_MS, ACCEPTS_PER_TURN, DESCRIPTORS_MAX, TURN_READ_BYTES};
use crate::core::mark::mark;
use crate::core::report::Event;
use crate::core::time::{Span, Time};
use mio::Registry;
use mio::net::{TcpListener, TcpStream};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;

/// Bytes of the buffer that all connections are read into: fewer and longer reads are faster than
/// anything done with more buffers.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Time between two lines about missing descriptors.
const COMPLAINT_SECS: u64 = 60;

#[derive(Debug)]
pub(super) struct Inlet {
    buffer: Vec<u8>,
    /// Plaintext of a TLS connection, reused.
    plain: Vec<u8>,
    pub listener: Option<TcpListener>,
    /// The poll said that somebody waits in the backlog.
    pub acceptable: bool,
    /// No accept before this time.
    backoff_until: Time,
    /// A descriptor to give up when there is none left, so that a waiting connection can be taken
    /// and dropped instead of waking us for ever.
    reserve: Option<File>,
    conns_max: usize,
    quota_bytes: usize,
    complaint_due: Time,
}

impl Inlet {
    /// `conns_max`: connections held at one time; others are dropped on arrival. `quota_bytes`:
    /// read from one connection in one turn.
    pub fn new(conns_max: usize, quota_bytes: usize) -> Inlet {
        Inlet {
            buffer: vec![0; BUFFER_BYTES],
            plain: Vec::new(),
            listener: None,
            acceptable: false,
            backoff_until: Time::ZERO,
            reserve: reserve(),
            conns_max,
            quota_bytes: quota_bytes.max(1),
            complaint_due: Time::ZERO,
        }
    }

    pub fn full(&self, conns: usize) -> bool {
        conns >= self.conns_max
    }

    /// When accepting goes on; `NEVER` if nobody waits.
    pub fn deadline(&self) -> Time {
        if self.acceptable && self.listener.is_some() { self.backoff_until } else { Time::NEVER }
    }

    /// Takes connections from the backlog, up to the turn's quota.
    pub fn accept<R: Role>(
        &mut self,
        door: &mut Door<R>,
        registry: &Registry,
        events: &mut Vec<Event>,
    ) {
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.acceptable || self.backoff_until > door.now {
                return;
            }
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((stream, remote)) if !self.full(door.conns.len()) => {
                    // A socket that broke since it was made is dropped: the role never knew it.
                    if admit(door, registry, stream, remote).is_err() {
                        door.counters.accepts_refused += 1;
                    }
                }
                Ok(_) => {
                    door.counters.accepts_refused += 1;
                    self.complain(door.now, events);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.acceptable = false,
                Err(e) if concerns_one(&e) => {}
                Err(e) => self.shed(&e, door.now, &mut door.counters, events),
            }
        }
    }

    /// The system refused an accept: get rid of those that wait, then pause.
    fn shed(
        &mut self,
        error: &io::Error,
        now: Time,
        counters: &mut Counters,
        events: &mut Vec<Event>,
    ) {
        self.backoff_until = now + Span::ms(ACCEPT_BACKOFF_MS);
        if !matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)) {
            return;
        }
        mark!("F01");
        self.complain(now, events);
        self.reserve = None;
        if let Some(listener) = &self.listener {
            // The place of the reserve serves one after the other.
            let dropped = (0..ACCEPTS_PER_TURN).take_while(|_| listener.accept().is_ok()).count();
            counters.accepts_refused += dropped as u64;
        }
        self.reserve = reserve();
    }

    fn complain(&mut self, now: Time, events: &mut Vec<Event>) {
        if now < self.complaint_due {
            return;
        }
        self.complaint_due = now + Span::secs(COMPLAINT_SECS);
        let limit = descriptors::limit();
        let line = format!(
            "too many open files (limit {limit}): new connections are dropped; raise the limit \
             with `ulimit -n {DESCRIPTORS_MAX}`"
        );
        events.push(Event::warning("too_many_files", line).number("limit", limit));
    }

    /// Reads every connection that is ready: each up to its quota, all up to the turn's; who comes
    /// too late is first in the next turn.
    pub fn read<R: Role>(&mut self, door: &mut Door<R>) {
        let mut budget = TURN_READ_BYTES;
        for _ in 0..door.conns.ready_len() {
            if budget == 0 {
                return;
            }
            let Some(id) = door.conns.next_ready() else { return };
            let taken = if establish(id, door) { self.read_one(id, door) } else { 0 };
            if taken >= self.quota_bytes {
                // It stays ready: the poll would not tell of it again.
                mark!("D34");
            }
            budget = budget.saturating_sub(taken);
            door.conns.list_ready(id);
        }
    }

    fn read_one<R: Role>(&mut self, id: ConnId, door: &mut Door<R>) -> usize {
        let mut taken = 0;
        while taken < self.quota_bytes {
            let Some(conn) = door.conns.get_mut(id) else { break };
            if !wants_read(conn) {
                break;
            }
            let room = self.buffer.len().min(self.quota_bytes - taken);
            let buffer = self.buffer.get_mut(..room).unwrap_or_default();
            match conn.stream.read(buffer) {
                Ok(0) => end(id, door),
                Ok(n) => {
                    // Fewer bytes than asked for: that was all. An end that the poll told of is
                    // still to be read.
                    conn.readable = n == room || conn.read_closed || conn.write_failed;
                    let (hushed, sealed) = (conn.hushed, conn.tls.is_some());
                    taken += n;
                    door.counters.bytes_in += n as u64;
                    if let (Some(cipher), Some(bytes)) = (&mut conn.enciphered, buffer.get_mut(..n))
                    {
                        cipher.apply(bytes);
                    }
                    let bytes = self.buffer.get(..n).unwrap_or_default();
                    match (sealed, hushed) {
                        (true, _) => unseal(id, bytes, &mut self.plain, door),
                        (false, false) => door.tell(Input::Bytes { conn: id, bytes }),
                        (false, true) => {}
                    }
                }
                Err(e) => match e.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => {
                        conn.readable = false;
                        if conn.write_failed {
                            door.conns.mark(id, Closed::Reset);
                        }
                    }
                    _ => {
                        let asked = conn.phase == Phase::Lingering;
                        let why = if asked { Closed::ByUs } else { Closed::Reset };
                        door.conns.mark(id, why);
                    }
                },
            }
        }
        taken
    }
}

/// Whether an accept failed for the connection that came first, which is gone with the error: the
/// next one may be well (accept(2) tells errors of the new socket, those of the network included).
fn concerns_one(error: &io::Error) -> bool {
    let one = matches!(
        Errno::from_io_error(error),
        Some(
            Errno::INTR
                | Errno::CONNABORTED
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NONET
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
        )
    );
    if one {
        mark!("F05");
    }
    one
}

/// A connection that the role wished closed in this very turn waits for its close, unread; one that
/// is flushed or lingers is read on, unheard.
fn wants_read(conn: &Conn) -> bool {
    let heard = !conn.hushed || conn.closing_until.is_some();
    let alive = matches!(conn.phase, Phase::Open | Phase::Lingering);
    conn.readable && !conn.paused && heard && alive
}

/// The other side ended its half of the stream.
fn end<R: Role>(id: ConnId, door: &mut Door<R>) {
    let Some(conn) = door.conns.get_mut(id) else { return };
    conn.readable = false;
    conn.read_closed = true;
    let unproven = conn.tls.as_ref().is_some_and(|tls| tls.is_shaking());
    match (conn.phase, conn.closing_until) {
        _ if unproven => door.conns.mark(id, Closed::Untrusted(Distrust::Protocol)),
        (Phase::Lingering, _) => door.conns.mark(id, Closed::ByUs),
        // It may still take what we have for it.
        (_, Some(_)) => {}
        (_, None) if conn.write_failed => door.conns.mark(id, Closed::Reset),
        (_, None) => door.conns.mark(id, Closed::ByPeer),
    }
}

/// What came on a TLS connection: the role hears that it stands, and what it says.
fn unseal<R: Role>(id: ConnId, bytes: &[u8], plain: &mut Vec<u8>, door: &mut Door<R>) {
    let Some(conn) = door.conns.get_mut(id) else { return };
    let Some(tls) = &mut conn.tls else { return };
    plain.clear();
    let took = tls.took(bytes, plain);
    let (proven, shaking, over) = (tls.proven(), tls.is_shaking(), tls.is_over());
    if let (Some(local), false) = (proven, conn.hushed) {
        door.tell(Input::Connected { conn: id, local });
    }
    let hushed = door.conns.get_mut(id).is_none_or(|conn| conn.hushed);
    if !hushed && !plain.is_empty() {
        door.tell(Input::Bytes { conn: id, bytes: plain });
    }
    plain.shrink_to(BUFFER_BYTES);
    match took {
        Err(why) if shaking => {
            // The other side is told why, if it takes it at once.
            if let Some(conn) = door.conns.get_mut(id)
                && let Some(tls) = &mut conn.tls
            {
                let _ = tls.write(&mut conn.stream);
            }
            door.conns.mark(id, Closed::Untrusted(why));
        }
        Err(_) => door.conns.mark(id, Closed::Reset),
        Ok(()) if over => end(id, door),
        // There may be something to answer.
        Ok(()) => door.conns.list_flush(id),
    }
}

/// Looks after a dial that was answered. -> whether the connection is established.
fn establish<R: Role>(id: ConnId, door: &mut Door<R>) -> bool {
    let Some(conn) = door.conns.get_mut(id) else { return false };
    if conn.phase != Phase::Dialling {
        return true;
    }
    match dial::answer(&conn.stream) {
        Answer::None => {
            (conn.readable, conn.writable) = (false, false);
            false
        }
        Answer::Failed(why) => {
            door.conns.mark(id, why);
            false
        }
        Answer::Established(local) => {
            conn.phase = Phase::Open;
            conn.writable = true;
            let hushed = conn.hushed;
            let sealed = conn.tls.as_mut().map(|tls| tls.established(local)).is_some();
            door.conns.list_flush(id);
            if !hushed && !sealed {
                door.tell(Input::Connected { conn: id, local });
            }
            true
        }
    }
}

/// Makes a stream from the backlog a connection of the role.
fn admit<R: Role>(
    door: &mut Door<R>,
    registry: &Registry,
    stream: TcpStream,
    remote: SocketAddr,
) -> io::Result<()> {
    let local = canonical(stream.local_addr()?);
    let remote = canonical(remote);
    stream.set_nodelay(true)?;
    let conn = door.out.conns.insert(());
    if let Err(e) = door.conns.insert(registry, conn, (stream, None), Phase::Open) {
        door.out.conns.remove(conn);
        return Err(e);
    }
    door.counters.accepted += 1;
    door.tell(Input::Accepted { conn, remote, local });
    Ok(())
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::mark::expect_mark;

    #[test]
    fn an_error_of_one_connection_is_no_reason_to_pause() {
        for errno in [Errno::CONNABORTED, Errno::PROTO, Errno::PERM, Errno::NETDOWN, Errno::INTR] {
            assert!(expect_mark!("F05", concerns_one(&errno.into())), "{errno}");
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::INVAL] {
            assert!(!concerns_one(&errno.into()), "{errno}");
        }
    }
}
