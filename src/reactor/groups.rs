//! Multicast groups: what is said to a group is heard on the networks of this machine, and said on
//! each of them. A socket apart for each family, bound to the address of its group, so that nothing
//! else arrives there. What is said goes no further than the local network.

use super::door::Door;
use super::{Counters, canonical, listen};
use crate::core::io::{Input, NetError, Role};
use crate::core::limits::GROUP_DATAGRAMS_PER_TURN;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::libc;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

/// Networks of this machine that take part in one group; the system allows 20 (Linux).
const LINKS_MAX: usize = 16;
/// Longer ones are cut off: nobody says so much to a group.
const BUFFER_BYTES: usize = 2048;
/// The first of the tokens, one for each family.
const TOKENS: [Token; 2] = [Token(4), Token(5)];

#[derive(Debug)]
struct Group {
    at: SocketAddr,
    socket: UdpSocket,
    readable: bool,
    /// The networks it was joined on, by their numbers.
    links: Vec<u32>,
}

/// At most one group of each family.
#[derive(Debug, Default)]
pub(super) struct Groups([Option<Group>; 2]);

impl Groups {
    /// Joins `at`, or joins it anew: networks come and go. `on` is the address of ours whose
    /// network is meant; unspecified: all but loopback, and that if there is no other.
    pub fn join(
        &mut self,
        at: SocketAddr,
        on: IpAddr,
        registry: &Registry,
    ) -> Result<(), NetError> {
        let family = usize::from(at.is_ipv6());
        let (Some(place), Some(token)) = (self.0.get_mut(family), TOKENS.get(family)) else {
            return Err(NetError::NotOurs);
        };
        let failed = |error: io::Error| listen::net_error(&error);
        // Another one takes the place of the first.
        let mut group = match place.take().filter(|group| group.at == at) {
            Some(group) => group,
            None => {
                let mut socket = open(at).map_err(failed)?;
                registry.register(&mut socket, *token, Interest::READABLE).map_err(failed)?;
                Group { at, socket, readable: true, links: Vec::new() }
            }
        };
        group.links = links(at, on);
        let mut why = io::Error::from_raw_os_error(libc::ENODEV);
        group.links.retain(|link| match member(&group.socket, at.ip(), *link) {
            Err(error) if error.kind() != ErrorKind::AddrInUse => {
                why = error;
                false
            }
            // A member it is already.
            _ => true,
        });
        let joined = !group.links.is_empty();
        *place = Some(group);
        if joined { Ok(()) } else { Err(failed(why)) }
    }

    pub fn is_readable(&self) -> bool {
        self.0.iter().flatten().any(|group| group.readable)
    }

    /// Notes that there is something to read; `false` if the token is none of ours.
    pub fn note(&mut self, token: Token) -> bool {
        let Some(place) = TOKENS.iter().position(|ours| *ours == token) else { return false };
        if let Some(Some(group)) = self.0.get_mut(place) {
            group.readable = true;
        }
        true
    }

    /// Takes what was said, up to the quota of a turn.
    pub fn receive<R: Role>(&mut self, door: &mut Door<R>) {
        if !self.is_readable() {
            return;
        }
        let mut buffer = [0; BUFFER_BYTES];
        for group in self.0.iter_mut().flatten() {
            for _ in 0..GROUP_DATAGRAMS_PER_TURN {
                if !group.readable {
                    break;
                }
                match group.socket.recv_from(&mut buffer) {
                    Ok((len, from)) => {
                        door.counters.datagrams_in += 1;
                        let bytes = buffer.get(..len).unwrap_or_default();
                        let (from, to) = (canonical(from), group.at.ip());
                        door.tell(Input::Datagram { from, to, bytes });
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => group.readable = false,
                    Err(_) => door.counters.datagrams_dropped += 1,
                }
            }
        }
    }

    /// Says something to a group on each network that it was joined on. What the system does not
    /// take is lost.
    pub fn send(&self, to: SocketAddr, bytes: &[u8], counters: &mut Counters) {
        let Some(group) = self.0.iter().flatten().find(|group| group.at == to) else {
            counters.datagrams_dropped += 1;
            return;
        };
        for link in &group.links {
            match send_on(&group.socket, to, *link, bytes) {
                Ok(_) => counters.datagrams_out += 1,
                Err(_) => counters.datagrams_dropped += 1,
            }
        }
    }
}

fn open(at: SocketAddr) -> io::Result<UdpSocket> {
    let family = if at.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
    // Other programs, and other processes of this one, listen there, too.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
        sockopt::set_ipv6_multicast_hops(&socket, 1)?;
        sockopt::set_ipv6_multicast_loop(&socket, true)?;
    } else {
        sockopt::set_ip_multicast_ttl(&socket, 1)?;
        sockopt::set_ip_multicast_loop(&socket, true)?;
    }
    bind(&socket, &at)?;
    Ok(UdpSocket::from_std(socket.into()))
}

fn member(socket: &UdpSocket, group: IpAddr, link: u32) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => sockopt::set_ip_add_membership_with_ifindex(
            socket,
            &group,
            &Ipv4Addr::UNSPECIFIED,
            link,
        )?,
        IpAddr::V6(group) => sockopt::set_ipv6_add_membership(socket, &group, link)?,
    }
    Ok(())
}

/// The networks of this machine that a group of this family may be joined on.
fn links(at: SocketAddr, on: IpAddr) -> Vec<u32> {
    let Ok(list) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let mut found: BTreeMap<u32, bool> = BTreeMap::new();
    for one in list.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP)) {
        let Some(ip) = one.address.as_ref().and_then(ip_of) else { continue };
        let here = one.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        let reaches = here || one.flags.contains(InterfaceFlags::IFF_MULTICAST);
        let meant = on.is_unspecified() || on == ip || (on.is_loopback() && here);
        if ip.is_ipv6() == at.is_ipv6()
            && reaches
            && meant
            && let Ok(link) = if_nametoindex(one.interface_name.as_str())
        {
            found.insert(link, here);
        }
    }
    if found.values().any(|here| !here) && on.is_unspecified() {
        found.retain(|_, here| !*here);
    }
    found.into_keys().take(LINKS_MAX).collect()
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip())))
}

fn send_on(socket: &UdpSocket, to: SocketAddr, link: u32, bytes: &[u8]) -> Result<usize, Errno> {
    let (fd, parts, flags) = (socket.as_raw_fd(), [IoSlice::new(bytes)], MsgFlags::empty());
    let address = SockaddrStorage::from(to);
    let zero = libc::in_addr { s_addr: 0 };
    match to {
        SocketAddr::V4(_) => {
            let ipi_ifindex = i32::try_from(link).map_err(|_| Errno::ENODEV)?;
            let info = libc::in_pktinfo { ipi_ifindex, ipi_spec_dst: zero, ipi_addr: zero };
            let from = [ControlMessage::Ipv4PacketInfo(&info)];
            sendmsg(fd, &parts, &from, flags, Some(&address))
        }
        SocketAddr::V6(_) => {
            let ipi6_addr = libc::in6_addr { s6_addr: [0; 16] };
            let info = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: link };
            let from = [ControlMessage::Ipv6PacketInfo(&info)];
            sendmsg(fd, &parts, &from, flags, Some(&address))
        }
    }
}
