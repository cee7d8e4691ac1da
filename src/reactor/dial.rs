//! Connections out: the wish, and what became of it.

use super::canonical;
use crate::core::io::Closed;
use mio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

/// How a dial stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// Not answered yet.
    None,
    /// Established, from this address of ours.
    Established(SocketAddr),
    Failed(Closed),
}

/// Begins to connect, from an address of ours if one is named; never waits. An error is a dial that
/// failed at once.
pub(super) fn begin(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let stream = match from {
        Some(from) => begin_from(to, from)?,
        None => TcpStream::connect(to)?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn begin_from(to: SocketAddr, from: IpAddr) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    net::bind(&socket, &SocketAddr::new(from, 0))?;
    match net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(TcpStream::from_std(socket.into()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_dial_leaves_from_the_address_that_is_named() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let to = listener.local_addr().unwrap();
        let named = IpAddr::from([127, 0, 0, 2]);
        for (from, expected) in [(Some(named), named), (None, to.ip())] {
            let _dialled = begin(to, from).unwrap();
            assert_eq!(listener.accept().unwrap().1.ip(), expected);
        }
        assert!(begin(to, Some([192, 0, 2, 1].into())).is_err(), "it is not ours");
    }
}
