//! The one UDP socket: datagrams in batches, each with the address of ours it came to; answers
//! leave from that address. Nothing that happens to a datagram ends anything.

use super::door::Door;
use super::groups::Groups;
use super::{Counters, canonical};
use crate::core::io::{Input, Outbox, Role};
use crate::core::limits::{
    DATAGRAM_QUEUE_BYTES, DATAGRAM_RESEND_MAX, DATAGRAM_RESEND_MS, DATAGRAMS_PER_TURN,
};
use crate::core::time::{Span, Time};
use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmmsg, sendmsg, setsockopt, sockopt,
};
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

/// The longest datagram there is.
const BUFFER_BYTES: usize = 65_536;
/// From the start of one buffer to the next: not a power of two, so that the first lines of all of
/// them find room in the processor's cache together.
const BUFFER_STRIDE: usize = BUFFER_BYTES + 192;
/// Datagrams of one system call.
const BATCH: usize = 64;

/// A datagram to send: its bytes stand in the arena of the turn.
#[derive(Debug)]
struct Posted {
    to: SocketAddr,
    from: IpAddr,
    start: u32,
    len: u32,
}

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
    /// What is said to groups comes and leaves by sockets of their own.
    pub groups: Groups,
    ipv6: bool,
    /// The one address that everything comes to and leaves from, where the socket has one.
    bound: Option<IpAddr>,
    /// Receive buffers side by side; only what was written to is resident.
    buffers: Vec<u8>,
    incoming: MultiHeaders<SockaddrStorage>,
    outgoing: MultiHeaders<SockaddrStorage>,
    /// The same without room for an address of ours.
    plain: MultiHeaders<SockaddrStorage>,
    posted: Vec<Posted>,
    /// Where the datagrams of one call go; reused from call to call.
    addrs: Vec<Option<SockaddrStorage>>,
    /// Datagrams that the system did not take, oldest first.
    kept: VecDeque<Kept>,
    retry_at: Time,
}

/// Asks for the address each datagram came to where there may be several, and for room. A system
/// that refuses either still serves: the address is then unspecified, the queue as long as it is.
pub(super) fn prepare(socket: &UdpSocket, at: IpAddr) {
    let _ = match at {
        at if !at.is_unspecified() => Ok(()),
        IpAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
        IpAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
    };
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(socket, DATAGRAM_QUEUE_BYTES);
}

impl Datagrams {
    pub fn new() -> Datagrams {
        Datagrams {
            socket: None,
            readable: false,
            groups: Groups::default(),
            ipv6: false,
            bound: None,
            buffers: Vec::new(),
            incoming: headers(false),
            outgoing: headers(false),
            plain: MultiHeaders::preallocate(BATCH, None),
            posted: Vec::new(),
            addrs: Vec::new(),
            kept: VecDeque::new(),
            retry_at: Time::NEVER,
        }
    }

    pub fn serve(&mut self, socket: UdpSocket) {
        let at = socket.local_addr().ok().map(|addr| addr.ip());
        self.ipv6 = at.is_some_and(|at| at.is_ipv6());
        self.bound = at.filter(|at| !at.is_unspecified()).map(|at| at.to_canonical());
        self.socket = Some(socket);
        self.buffers = vec![0; BUFFER_STRIDE * BATCH];
        (self.incoming, self.outgoing) = (headers(self.ipv6), headers(self.ipv6));
        self.kept.clear();
        self.retry_at = Time::NEVER;
    }

    /// When kept datagrams are tried again.
    pub fn deadline(&self) -> Time {
        self.retry_at
    }

    /// Takes datagrams, up to the turn's quota.
    pub fn receive<R: Role>(&mut self, door: &mut Door<R>) {
        self.groups.receive(door);
        for _ in 0..DATAGRAMS_PER_TURN / BATCH {
            if !self.readable || self.socket.is_none() {
                return;
            }
            match self.receive_batch(door) {
                // Fewer than there was room for: asking again would only say that there are none,
                // and a datagram that comes now sets the bit again.
                Ok(count) if count < BATCH => self.readable = false,
                Ok(_) => {}
                Err(Errno::EAGAIN) => self.readable = false,
                // An ICMP answer to something we sent: the next datagram may be good, and the quota
                // bounds how often we look.
                Err(_) => door.counters.datagrams_dropped += 1,
            }
        }
    }

    fn receive_batch<R: Role>(&mut self, door: &mut Door<R>) -> Result<usize, Errno> {
        let Datagrams { socket: Some(socket), buffers, incoming, ipv6, bound, .. } = self else {
            return Err(Errno::EAGAIN);
        };
        let mut rest = buffers.chunks_mut(BUFFER_STRIDE);
        let mut parts: [_; BATCH] = std::array::from_fn(|_| {
            let buffer = rest.next().and_then(|part| part.get_mut(..BUFFER_BYTES));
            [IoSliceMut::new(buffer.unwrap_or_default())]
        });
        let got =
            recvmmsg(socket.as_raw_fd(), incoming, parts.iter_mut(), MsgFlags::empty(), None)?;
        let (mut count, mut unknown) = (0, false);
        for message in got {
            count += 1;
            let Some(from) = message.address.as_ref().and_then(socket_addr).map(canonical) else {
                door.counters.datagrams_dropped += 1;
                unknown = true;
                continue;
            };
            let to = bound.or_else(|| came_to(&message));
            unknown |= to.is_none();
            door.counters.datagrams_in += 1;
            let to = to.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            let bytes = message.iovs().next().unwrap_or_default();
            door.tell(Input::Datagram { from, to, bytes });
        }
        // The lengths in a header are those of the last datagram it took: one that came without
        // addresses would leave no room for those of the next.
        if unknown {
            self.incoming = headers(*ipv6);
        }
        Ok(count)
    }

    /// Takes note of a datagram to send with [`Datagrams::flush`].
    pub fn post(&mut self, to: SocketAddr, from: IpAddr, start: u32, len: u32) {
        self.posted.push(Posted { to, from, start, len });
    }

    /// Sends what was posted, many with one call where they leave from one address.
    pub fn flush(&mut self, out: &Outbox, now: Time, counters: &mut Counters) {
        let posted = std::mem::take(&mut self.posted);
        let mut rest = posted.as_slice();
        while let Some(first) = rest.first() {
            let same = rest.iter().take(BATCH).take_while(|other| other.from == first.from).count();
            let (batch, _) = rest.split_at_checked(same).unwrap_or_default();
            let sent = match batch.len() {
                2.. if self.kept.is_empty() => self.send_batch(batch, out).unwrap_or(0),
                _ => 0,
            };
            counters.datagrams_out += sent as u64;
            rest = rest.get(sent..).unwrap_or_default();
            // What stopped the batch is tried by itself, so that its error is its own.
            if sent < same
                && let Some((one, after)) = rest.split_first()
            {
                self.send(one.to, one.from, out.bytes(one.start, one.len), now, counters);
                rest = after;
            }
        }
        self.posted = posted;
        self.posted.clear();
    }

    /// -> how many left.
    fn send_batch(&mut self, batch: &[Posted], out: &Outbox) -> Result<usize, Errno> {
        let Datagrams { socket: Some(socket), outgoing, plain, ipv6, bound, addrs, .. } = self
        else {
            return Err(Errno::ENOTCONN);
        };
        let from = batch.first().ok_or(AGAIN)?.from;
        let from = if *bound == Some(from) { Ours::Any } else { our_address(from, *ipv6)? };
        let bytes = |one: &Posted| out.bytes(one.start, one.len);
        let part = |at| [IoSlice::new(batch.get(at).map_or(&[], bytes))];
        let parts: [_; BATCH] = std::array::from_fn(part);
        let parts = parts.get(..batch.len()).ok_or(Errno::EMSGSIZE)?;
        addrs.clear();
        for one in batch {
            addrs.push(Some(for_family(one.to, *ipv6).ok_or(Errno::EAFNOSUPPORT)?.into()));
        }
        let to = &*addrs;
        let (fd, flags) = (socket.as_raw_fd(), MsgFlags::empty());
        let sent = match from {
            Ours::V4(info) => {
                let from = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmmsg(fd, outgoing, parts, to, from, flags)?.count()
            }
            Ours::V6(info) => {
                let from = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmmsg(fd, outgoing, parts, to, from, flags)?.count()
            }
            Ours::Any => sendmmsg(fd, plain, parts, to, [], flags)?.count(),
        };
        Ok(sent)
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
            Err(_) => {
                crate::mark!("B22");
                counters.datagrams_dropped += 1;
            }
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

/// Room for a batch, with one control message each: the address of ours.
fn headers(ipv6: bool) -> MultiHeaders<SockaddrStorage> {
    let control = match ipv6 {
        true => nix::cmsg_space!(libc::in6_pktinfo),
        false => nix::cmsg_space!(libc::in_pktinfo),
    };
    MultiHeaders::preallocate(BATCH, Some(control))
}

/// The address of ours that a datagram came to.
fn came_to(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<IpAddr> {
    message.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::V4(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes())))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical())
        }
        _ => None,
    })
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

/// Where a datagram shall leave from, as the system is told.
enum Ours {
    /// The system chooses.
    Any,
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

fn our_address(from: IpAddr, ipv6: bool) -> Result<Ours, Errno> {
    match from {
        from if from.is_unspecified() => Ok(Ours::Any),
        IpAddr::V4(from) if !ipv6 => {
            let from = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
            let any = libc::in_addr { s_addr: 0 };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: any };
            Ok(Ours::V4(info))
        }
        IpAddr::V6(_) if !ipv6 => Err(Errno::EAFNOSUPPORT),
        from => {
            let from = match from {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            let from = libc::in6_addr { s6_addr: from.octets() };
            Ok(Ours::V6(libc::in6_pktinfo { ipi6_addr: from, ipi6_ifindex: 0 }))
        }
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
    let sent = match our_address(from, ipv6)? {
        Ours::Any => sendmsg(fd, &parts, &[], flags, Some(&to)),
        Ours::V4(info) => {
            sendmsg(fd, &parts, &[ControlMessage::Ipv4PacketInfo(&info)], flags, Some(&to))
        }
        Ours::V6(info) => {
            sendmsg(fd, &parts, &[ControlMessage::Ipv6PacketInfo(&info)], flags, Some(&to))
        }
    };
    sent.map(|_| ())
}
