//! Listening: one port number for both kinds of socket, the first free one of a range.

use super::datagrams;
use crate::core::io::{Listening, NetError};
use crate::core::mark::mark;
use mio::net::{TcpListener, UdpSocket};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// Attempts to find one number that is free for both kinds, when the system chooses it.
const ANY_PORT_TRIES: u32 = 64;

/// The sockets of a listening wish, with their addresses.
#[derive(Debug)]
pub(super) struct Bound {
    pub tcp: Option<TcpListener>,
    pub udp: Option<UdpSocket>,
    pub listening: Listening,
}

/// Which sockets are wished for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds {
    pub tcp: bool,
    pub udp: bool,
}

/// Binds on the first free port of `at.port()..=port_last`, or on any if `at.port()` is 0.
pub(super) fn bind(at: SocketAddr, port_last: u16, kinds: Kinds) -> Result<Bound, NetError> {
    let mut last = NetError::InUse;
    if at.port() == 0 {
        for _ in 0..ANY_PORT_TRIES {
            match bind_one(at, kinds) {
                Err(NetError::InUse) => {}
                result => return result,
            }
        }
        return Err(last);
    }
    for port in at.port()..=port_last.max(at.port()) {
        match bind_one(SocketAddr::new(at.ip(), port), kinds) {
            Err(NetError::InUse) => last = NetError::InUse,
            result => return result,
        }
    }
    Err(last)
}

fn bind_one(at: SocketAddr, kinds: Kinds) -> Result<Bound, NetError> {
    let (mut tcp, mut udp) = (None, None);
    let mut listening = Listening { tcp: None, udp: None };
    let mut number = at.port();
    if kinds.udp {
        let socket = UdpSocket::bind(at).map_err(|e| net_error(&e))?;
        datagrams::prepare(&socket, at.ip());
        let addr = socket.local_addr().map_err(|e| net_error(&e))?;
        number = addr.port();
        listening.udp = Some(addr);
        udp = Some(socket);
    }
    if kinds.tcp {
        let listener = TcpListener::bind(SocketAddr::new(at.ip(), number));
        let listener = listener.map_err(|e| net_error(&e))?;
        listening.tcp = Some(listener.local_addr().map_err(|e| net_error(&e))?);
        tcp = Some(listener);
    }
    Ok(Bound { tcp, udp, listening })
}

/// The system's refusal in the role's words.
pub(super) fn net_error(error: &io::Error) -> NetError {
    mark!("F06");
    match error.kind() {
        ErrorKind::AddrInUse => NetError::InUse,
        ErrorKind::PermissionDenied => NetError::Denied,
        ErrorKind::AddrNotAvailable => NetError::NotOurs,
        _ => NetError::Other(error.raw_os_error().unwrap_or(0)),
    }
}
