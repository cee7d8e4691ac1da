//! Connections out: the wish, and what became of it.

use super::canonical;
use crate::core::io::Closed;
use mio::net::TcpStream;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// How a dial stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// Not answered yet.
    None,
    /// Established, from this address of ours.
    Established(SocketAddr),
    Failed(Closed),
}

/// Begins to connect; never waits. An error is a dial that failed at once.
pub(super) fn begin(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks a dialled socket for its answer, after the poll said there is one.
pub(super) fn answer(stream: &TcpStream) -> Answer {
    match stream.take_error() {
        Ok(None) => {}
        Ok(Some(e)) | Err(e) => return Answer::Failed(reason(&e)),
    }
    match stream.peer_addr().and_then(|_| stream.local_addr()) {
        Ok(local) => Answer::Established(canonical(local)),
        Err(e) if e.kind() == ErrorKind::NotConnected => Answer::None,
        Err(e) => Answer::Failed(reason(&e)),
    }
}

/// Why a dial failed, as the role knows it.
pub(super) fn reason(error: &io::Error) -> Closed {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Closed::Refused,
        _ => Closed::Unreachable,
    }
}
