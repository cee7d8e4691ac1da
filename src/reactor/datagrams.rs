//! The one UDP socket: datagrams in batches, each with the address of ours it came to; answers
//! leave from that address. Nothing that happens to a datagram ends anything.

use super::door::Door;
use super::{Counters, canonical};
use crate::core::io::{Input, Role};
use crate::core::limits::{
    DATAGRAM_QUEUE_BYTES, DATAGRAM_RESEND_MAX, DATAGRAM_RESEND_MS, DATAGRAMS_PER_TURN,
};
use crate::core::time::{Span, Time};
use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

/// The longest datagram there is.
const BUFFER_BYTES: usize = 65_536;

#[derive(Debug)]
struct Kept {
    to: SocketAddr,
    from: IpAddr,
    bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Datagrams {
    pub socket: Option<UdpSocket>,
    pub readable: bool,
    ipv6: bool,
    buffer: Vec<u8>,
    control: Vec<u8>,
    /// Datagrams that the system did not take, oldest first.
    kept: VecDeque<Kept>,
    retry_at: Time,
}

/// Asks for the address each datagram came to, and for room. A system that refuses either still
/// serves: the address is then unspecified, the queue as long as it is.
pub(super) fn prepare(socket: &UdpSocket, ipv6: bool) {
    let _ = match ipv6 {
        true => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
        false => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
    };
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(socket, DATAGRAM_QUEUE_BYTES);
}

impl Datagrams {
    pub fn new() -> Datagrams {
        Datagrams {
            socket: None,
            readable: false,
            ipv6: false,
            buffer: vec![0; BUFFER_BYTES],
            control: nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo),
            kept: VecDeque::new(),
            retry_at: Time::NEVER,
        }
    }

    pub fn serve(&mut self, socket: UdpSocket) {
        self.ipv6 = socket.local_addr().is_ok_and(|addr| addr.is_ipv6());
        self.socket = Some(socket);
        self.kept.clear();
        self.retry_at = Time::NEVER;
    }

    /// When kept datagrams are tried again.
    pub fn deadline(&self) -> Time {
        self.retry_at
    }

    /// Takes datagrams, up to the turn's quota.
    pub fn receive<R: Role>(&mut self, door: &mut Door<R>) {
        let Datagrams { socket: Some(socket), buffer, control, .. } = self else { return };
        for _ in 0..DATAGRAMS_PER_TURN {
            if !self.readable {
                return;
            }
            match receive_one(socket, buffer, control) {
                Ok((n, Some(from), to)) => {
                    door.counters.datagrams_in += 1;
                    let bytes = buffer.get(..n).unwrap_or_default();
                    door.tell(Input::Datagram { from, to, bytes });
                }
                Err(Errno::EAGAIN) => self.readable = false,
                // An ICMP answer to something we sent, or a datagram of no use: the next one may be
                // good, and the quota bounds how often we look.
                Ok((_, None, _)) | Err(_) => door.counters.datagrams_dropped += 1,
            }
        }
    }

    /// Sends a datagram, or keeps it for a moment if the system has no room for it.
    pub fn send(
        &mut self,
        to: SocketAddr,
        from: IpAddr,
        bytes: &[u8],
        now: Time,
        counters: &mut Counters,
    ) {
        // Behind those that wait already, as long as they wait.
        let sent = if self.kept.is_empty() { self.try_send(to, from, bytes) } else { Err(AGAIN) };
        match sent {
            Ok(()) => counters.datagrams_out += 1,
            Err(AGAIN | Errno::ENOBUFS) if self.kept.len() < DATAGRAM_RESEND_MAX => {
                crate::mark!("B22");
                self.kept.push_back(Kept { to, from, bytes: bytes.to_vec() });
                self.retry_at = self.retry_at.min(now + Span::ms(DATAGRAM_RESEND_MS));
            }
            Err(_) => counters.datagrams_dropped += 1,
        }
    }

    /// Tries the kept datagrams again, if it is time.
    pub fn resend(&mut self, now: Time, counters: &mut Counters) {
        if now < self.retry_at {
            return;
        }
        self.retry_at = Time::NEVER;
        while let Some(kept) = self.kept.pop_front() {
            match self.try_send(kept.to, kept.from, &kept.bytes) {
                Ok(()) => counters.datagrams_out += 1,
                Err(AGAIN | Errno::ENOBUFS) => {
                    self.kept.push_front(kept);
                    self.retry_at = now + Span::ms(DATAGRAM_RESEND_MS);
                    return;
                }
                Err(_) => counters.datagrams_dropped += 1,
            }
        }
    }

    fn try_send(&self, to: SocketAddr, from: IpAddr, bytes: &[u8]) -> Result<(), Errno> {
        let socket = self.socket.as_ref().ok_or(Errno::ENOTCONN)?;
        let to = for_family(to, self.ipv6).ok_or(Errno::EAFNOSUPPORT)?;
        match send_one(socket, to, from, bytes, self.ipv6) {
            Err(Errno::EINTR) => send_one(socket, to, from, bytes, self.ipv6),
            result => result,
        }
    }
}

const AGAIN: Errno = Errno::EAGAIN;

/// -> length, source and destination of one datagram.
fn receive_one(
    socket: &UdpSocket,
    buffer: &mut [u8],
    control: &mut [u8],
) -> Result<(usize, Option<SocketAddr>, IpAddr), Errno> {
    let mut parts = [IoSliceMut::new(buffer)];
    let got = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(control),
        MsgFlags::empty(),
    )?;
    let to = got.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::V4(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes())))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical())
        }
        _ => None,
    });
    let from = got.address.as_ref().and_then(socket_addr).map(canonical);
    Ok((got.bytes, from, to.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))))
}

fn socket_addr(addr: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = addr.as_sockaddr_in() {
        return Some(SocketAddr::V4(SocketAddrV4::from(*v4)));
    }
    addr.as_sockaddr_in6().map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6)))
}

/// The address as a socket of this family writes it; `None` if it cannot.
fn for_family(addr: SocketAddr, ipv6: bool) -> Option<SocketAddr> {
    match (addr, ipv6) {
        (SocketAddr::V4(v4), true) => {
            Some(SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port()))
        }
        (SocketAddr::V6(_), false) => None,
        _ => Some(addr),
    }
}

fn send_one(
    socket: &UdpSocket,
    to: SocketAddr,
    from: IpAddr,
    bytes: &[u8],
    ipv6: bool,
) -> Result<(), Errno> {
    let fd = socket.as_raw_fd();
    let parts = [IoSlice::new(bytes)];
    let to = SockaddrStorage::from(to);
    let flags = MsgFlags::empty();
    let sent = match from {
        from if from.is_unspecified() => sendmsg(fd, &parts, &[], flags, Some(&to)),
        IpAddr::V4(from) if !ipv6 => {
            let from = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
            let any = libc::in_addr { s_addr: 0 };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: any };
            sendmsg(fd, &parts, &[ControlMessage::Ipv4PacketInfo(&info)], flags, Some(&to))
        }
        IpAddr::V6(_) if !ipv6 => return Err(Errno::EAFNOSUPPORT),
        from => {
            let from = match from {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            let from = libc::in6_addr { s6_addr: from.octets() };
            let info = libc::in6_pktinfo { ipi6_addr: from, ipi6_ifindex: 0 };
            sendmsg(fd, &parts, &[ControlMessage::Ipv6PacketInfo(&info)], flags, Some(&to))
        }
    };
    sent.map(|_| ())
}
