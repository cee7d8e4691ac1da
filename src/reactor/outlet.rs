//! Output: what stands in the queues of the connections leaves, in few and long writes.

use super::Counters;
use super::conns::{Conn, Conns, Phase};
use super::files::{FileFailed, Files, SHORTER};
use super::queue::Front;
use super::regular::file_error;
use crate::core::id::ConnId;
use crate::core::io::{Closed, FileError};
use crate::core::limits::{
    FLUSH_IDLE_MS, LINGER_MS, TURN_BYTES, WRITE_GATHER_BYTES, WRITE_QUOTA_BYTES,
};
use crate::core::time::{Span, Time};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::net::Shutdown;

/// Buffers of drained connections kept for the next one that blocks.
const SPARES_MAX: usize = 4;

/// An enciphered byte takes as long as so many others.
const ENCIPHERED_COST: usize = 8;

/// Why a connection takes no more.
enum Stop {
    Full,
    Broken,
    FileFailed(FileError),
}

impl From<FileFailed> for Stop {
    fn from(FileFailed(error): FileFailed) -> Stop {
        Stop::FileFailed(error)
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Stop {
        match errno {
            Errno::AGAIN => Stop::Full,
            _ => Stop::Broken,
        }
    }
}

#[derive(Debug)]
pub(super) struct Outlet {
    buffer: Vec<u8>,
    spares: Vec<Vec<u8>>,
}

impl Outlet {
    pub fn new() -> Outlet {
        Outlet { buffer: vec![0; WRITE_GATHER_BYTES], spares: Vec::new() }
    }

    /// Writes to every connection that has output and room for it: each up to its quota, all up to
    /// the turn's; who comes too late is first in the next turn.
    pub fn flush(
        &mut self,
        conns: &mut Conns,
        files: &mut Files,
        now: Time,
        counters: &mut Counters,
    ) {
        let mut budget = TURN_BYTES;
        for _ in 0..conns.flush_len() {
            if budget == 0 {
                return;
            }
            let Some(id) = conns.next_flush() else { return };
            let left = self.flush_one(id, conns, files, now);
            let enciphered = conns.get_mut(id).is_some_and(|conn| conn.queue.is_enciphered());
            let cost = if enciphered { left * ENCIPHERED_COST } else { left };
            budget = budget.saturating_sub(cost);
            counters.bytes_out += left as u64;
        }
    }

    fn flush_one(&mut self, id: ConnId, conns: &mut Conns, files: &mut Files, now: Time) -> usize {
        let Some(conn) = conns.get_mut(id) else { return 0 };
        if !conn.takes_output() {
            return 0;
        }
        let mut left = 0;
        let mut stop = None;
        while conn.writable && left < WRITE_QUOTA_BYTES && conn.has_output() {
            let room = WRITE_QUOTA_BYTES - left;
            let written = match conn.tls.is_some() {
                true => self.write_sealed(conn, files, room),
                false => self.write_front(conn, files, room),
            };
            match written {
                Ok(n) => left += n,
                Err(reason) => {
                    conn.writable = false;
                    stop = Some(reason);
                }
            }
        }
        if left > 0 && conn.closing_until.is_some() {
            conn.closing_until = Some(now + Span::ms(FLUSH_IDLE_MS));
        }
        match stop {
            None | Some(Stop::Full) => end_of_stream(conn, now),
            Some(Stop::FileFailed(error)) => conns.mark(id, Closed::FileFailed(error)),
            Some(Stop::Broken) => broken(id, conns),
        }
        if left > 0 {
            conns.note_sent(id, left as u64);
        }
        conns.list_flush(id);
        conns.list_ready(id);
        left
    }

    /// One write of what stands first. -> bytes that left. Less than asked for leaves the
    /// connection unwritable: the poll tells when there is room again.
    fn write_front(
        &mut self,
        conn: &mut Conn,
        files: &mut Files,
        quota: usize,
    ) -> Result<usize, Stop> {
        let (asked, n) = match conn.queue.front(files) {
            Front::Empty => return Ok(0),
            Front::Bytes(bytes) => {
                let bytes = bytes.get(..quota).unwrap_or(bytes);
                let n = send(conn, bytes, false)?;
                let asked = bytes.len();
                conn.queue.left(n);
                self.keep_spare(conn.queue.take_drained());
                (asked, n)
            }
            Front::Span(span) => {
                let asked = (span.len as usize).min(quota);
                let n = match files.send(&conn.stream, &span, asked) {
                    Ok(0) => return Err(SHORTER.into()),
                    Err(errno @ (Errno::BADF | Errno::IO | Errno::INVAL)) => {
                        return Err(FileFailed(file_error(errno)).into());
                    }
                    sent => sent?,
                };
                conn.queue.left(n);
                // Short of `asked` may mean a full socket or a file that shrank meanwhile: the
                // next call tells which.
                (n, n)
            }
            Front::Mixed => {
                let room = self.buffer.len().min(quota);
                let buffer = self.buffer.get_mut(..room).unwrap_or_default();
                let (asked, more) = conn.queue.gather(buffer, files)?;
                let gathered = self.buffer.get(..asked).unwrap_or_default();
                let sent = send(conn, gathered, more);
                let n = match &sent {
                    Ok(n) => *n,
                    Err(_) => 0,
                };
                let spare = if n < asked { self.spares.pop() } else { None };
                conn.queue.gathered_left(gathered, n, spare);
                (asked, sent?)
            }
        };
        conn.writable = n >= asked;
        Ok(n)
    }

    /// One write of a TLS connection, or some plaintext sealed. -> bytes of plaintext that
    /// are on their way.
    fn write_sealed(
        &mut self,
        conn: &mut Conn,
        files: &mut Files,
        quota: usize,
    ) -> Result<usize, Stop> {
        let Some(tls) = &mut conn.tls else { return Ok(0) };
        if tls.wants_write() {
            let written = tls.write(&mut conn.stream).map_err(|_| Stop::Broken)?;
            conn.writable = written > 0;
            return Ok(0);
        }
        let n = match conn.queue.front(files) {
            Front::Empty => 0,
            Front::Bytes(bytes) => {
                let n = tls.seal(bytes.get(..quota).unwrap_or(bytes));
                conn.queue.left(n);
                self.keep_spare(conn.queue.take_drained());
                n
            }
            // No role of ours serves files over TLS.
            Front::Span(_) => return Err(Stop::Broken),
            Front::Mixed => {
                let room = self.buffer.len().min(quota);
                let buffer = self.buffer.get_mut(..room).unwrap_or_default();
                let (laid, _) = conn.queue.gather(buffer, files)?;
                let gathered = self.buffer.get(..laid).unwrap_or_default();
                let n = tls.seal(gathered);
                let spare = if n < laid { self.spares.pop() } else { None };
                conn.queue.gathered_left(gathered, n, spare);
                n
            }
        };
        Ok(n)
    }

    fn keep_spare(&mut self, buffer: Option<Vec<u8>>) {
        if self.spares.len() < SPARES_MAX {
            self.spares.extend(buffer);
        }
    }
}

/// One write; `more` if the rest of a message follows at once by another call.
fn send(conn: &Conn, bytes: &[u8], more: bool) -> Result<usize, Errno> {
    let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
    rustix::io::retry_on_intr(|| rustix::net::send(&conn.stream, bytes, flags))
}

/// The queue has left and the role wished to close then: our half of the stream ends here.
fn end_of_stream(conn: &mut Conn, now: Time) {
    if conn.phase == Phase::Open && conn.closing_until.is_some() && conn.queue.is_empty() {
        // An error here is told by the read that follows.
        let _ = conn.stream.shutdown(Shutdown::Write);
        conn.phase = Phase::Lingering;
        conn.closing_until = Some(now + Span::ms(LINGER_MS));
        conn.readable |= conn.read_closed;
    }
}

/// The other side takes nothing more. What it said before that is still read, unless nobody wants
/// to hear it.
fn broken(id: ConnId, conns: &mut Conns) {
    let Some(conn) = conns.get_mut(id) else { return };
    conn.queue.clear();
    conn.write_failed = true;
    conn.readable = true;
    if conn.paused || conn.closing_until.is_some() {
        conns.mark(id, Closed::Reset);
    }
}
