//! Addresses, listeners and datagrams of a world. Processes of one machine share its address and
//! its loopback; a datagram may be lost, doubled, late, or too large to arrive. All machines are in
//! one local network: what is said to a group, all members hear that can be reached.

use super::world::{Happening, World};
use crate::core::id::Ticket;
use crate::core::io::{Input, Listening, NetError};
use crate::core::time::Span;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FIRST_EPHEMERAL_PORT: u16 = 32_768;

/// What a wish for the network came to.
#[derive(Debug)]
pub(super) enum NetDone {
    Listening(Result<Listening, NetError>),
    Joined(Result<(), NetError>),
}

impl NetDone {
    pub fn input(self, ticket: Ticket) -> Input<'static> {
        match self {
            NetDone::Listening(result) => Input::Listening { ticket, result },
            NetDone::Joined(result) => Input::Joined { ticket, result },
        }
    }
}

/// What a process listens on. Another wish for the same kind takes the place of the first.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Bound {
    pub tcp: Option<SocketAddr>,
    pub udp: Option<SocketAddr>,
    /// The groups it is a member of, one of each family, and whether on loopback alone.
    pub groups: [Option<(SocketAddr, bool)>; 2],
}

impl Bound {
    fn of(&self, tcp: bool) -> Option<SocketAddr> {
        if tcp { self.tcp } else { self.udp }
    }
}

impl World {
    /// Opens the listeners of a process on the first free port.
    pub(super) fn bind(
        &mut self,
        node: usize,
        at: SocketAddr,
        port_last: u16,
        tcp: bool,
        udp: bool,
    ) -> Result<Listening, NetError> {
        let host = self.nodes[node].host;
        let ip = at.ip();
        if !ip.is_unspecified() && !ip.is_loopback() && ip != self.hosts[host].ip {
            return Err(NetError::NotOurs);
        }
        let port = match at.port() {
            0 => Some(self.ephemeral_port(host)),
            first => (first..=port_last.max(first)).find(|port| {
                !(tcp && self.taken(host, ip, *port, true)
                    || udp && self.taken(host, ip, *port, false))
            }),
        };
        let at = SocketAddr::new(ip, port.ok_or(NetError::InUse)?);
        if let Some(process) = &mut self.nodes[node].process {
            process.bound.tcp = if tcp { Some(at) } else { process.bound.tcp };
            process.bound.udp = if udp { Some(at) } else { process.bound.udp };
        }
        Ok(Listening { tcp: tcp.then_some(at), udp: udp.then_some(at) })
    }

    /// Makes a process a member of a group. Machines have one address, and no more families than
    /// that.
    pub(super) fn join(
        &mut self,
        node: usize,
        group: SocketAddr,
        on: IpAddr,
    ) -> Result<(), NetError> {
        let ip = self.hosts[self.nodes[node].host].ip;
        let known = on.is_unspecified() || on.is_loopback() || on == ip;
        if !known || group.is_ipv6() != ip.is_ipv6() {
            return Err(NetError::NotOurs);
        }
        if let Some(process) = &mut self.nodes[node].process {
            process.bound.groups[usize::from(group.is_ipv6())] = Some((group, on.is_loopback()));
        }
        Ok(())
    }

    /// The group that a process is a member of, and whether on loopback alone.
    fn member(&self, node: usize, group: SocketAddr) -> Option<bool> {
        let groups = self.nodes[node].process.as_ref()?.bound.groups;
        let joined = groups[usize::from(group.is_ipv6())].filter(|(at, _)| *at == group);
        joined.map(|(_, here)| here)
    }

    fn said_to_group(&mut self, node: usize, group: SocketAddr, bytes: &[u8]) {
        let Some(here) = self.member(node, group) else { return };
        let from_host = self.nodes[node].host;
        let ip = match (here, group) {
            (false, _) => self.hosts[from_host].ip,
            (true, SocketAddr::V4(_)) => Ipv4Addr::LOCALHOST.into(),
            (true, SocketAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
        };
        let jitter = self.rng.udp.below(self.weather.jitter.0 + 1);
        let at = self.now + self.trip(jitter);
        if bytes.len() <= self.weather.datagram_bytes {
            let (from, bytes) = (SocketAddr::new(ip, group.port()), bytes.to_vec());
            self.later(at, Happening::Datagram { from, to: group, from_host, bytes });
        }
    }

    /// Every member that can be reached hears it, or does not, by itself.
    fn heard_by_group(&mut self, from: SocketAddr, to: SocketAddr, from_host: usize, bytes: &[u8]) {
        let here = from.ip().is_loopback();
        for node in 0..self.nodes.len() {
            let host = self.nodes[node].host;
            let near = host == from_host
                || !here && self.hosts[host].up && self.parted(from_host, host).is_none();
            if near && self.member(node, to) == Some(here) {
                let lost = self.rng.udp.chance(self.weather.udp_loss_pm) && self.faults();
                if !lost {
                    self.tell(node, Input::Datagram { from, to: to.ip(), bytes });
                }
            }
        }
    }

    fn taken(&self, host: usize, ip: IpAddr, port: u16, tcp: bool) -> bool {
        self.bound_on(host, tcp).any(|(_, at)| {
            let meet = at.ip() == ip || at.ip().is_unspecified() || ip.is_unspecified();
            at.port() == port && meet
        })
    }

    /// The listeners of one kind on a machine, with their nodes.
    fn bound_on(&self, host: usize, tcp: bool) -> impl Iterator<Item = (usize, SocketAddr)> {
        let nodes = self.nodes.iter().enumerate().filter(move |(_, node)| node.host == host);
        nodes
            .filter_map(move |(number, node)| Some((number, node.process.as_ref()?.bound.of(tcp)?)))
    }

    pub(super) fn ephemeral_port(&mut self, host: usize) -> u16 {
        loop {
            let last = &mut self.hosts[host].last_port;
            *last = last.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
            let port = *last;
            let free = |tcp| self.bound_on(host, tcp).all(|(_, at)| at.port() != port);
            if free(true) && free(false) {
                return port;
            }
        }
    }

    /// The machine that `to` means, seen from machine `from`.
    pub(super) fn host_at(&self, from: usize, to: IpAddr) -> Option<usize> {
        if to.is_loopback() {
            return Some(from);
        }
        self.hosts.iter().position(|host| host.ip == to && host.up)
    }

    /// Who listens at `to`, seen from machine `from`.
    pub(super) fn listener(&self, from: usize, to: SocketAddr, tcp: bool) -> Option<usize> {
        let host = self.host_at(from, to.ip())?;
        let found = self.bound_on(host, tcp).find(|(_, at)| {
            let here = at.ip().is_unspecified() || at.ip() == to.ip();
            here && at.port() == to.port()
        });
        found.map(|(node, _)| node)
    }

    /// The address a machine uses towards `to`.
    pub(super) fn source_ip(&self, host: usize, to: IpAddr) -> IpAddr {
        if to.is_loopback() { to } else { self.hosts[host].ip }
    }

    /// A one-way trip between two machines.
    pub(super) fn trip(&self, jitter: u64) -> Span {
        Span(self.weather.latency.0 + jitter)
    }

    pub(super) fn datagram_leaves(
        &mut self,
        node: usize,
        to: SocketAddr,
        from: IpAddr,
        bytes: &[u8],
    ) {
        if to.ip().is_multicast() {
            return self.said_to_group(node, to, bytes);
        }
        let host = self.nodes[node].host;
        let bound = self.nodes[node].process.as_ref().and_then(|process| process.bound.udp);
        let Some(bound) = bound else { return };
        let ip = match (from.is_unspecified(), bound.ip().is_unspecified()) {
            (false, _) => from,
            (true, false) => bound.ip(),
            (true, true) => self.source_ip(host, to.ip()),
        };
        let from = SocketAddr::new(ip, bound.port());
        let rng = &mut self.rng.udp;
        // Every draw is made for every datagram, so that one dial does not move the others.
        let lost = rng.chance(self.weather.udp_loss_pm);
        let twice = rng.chance(self.weather.udp_twice_pm);
        let late = rng.chance(self.weather.udp_late_pm);
        let late_by = rng.below(Span::secs(2).0);
        let jitters = [rng.below(self.weather.jitter.0 + 1), rng.below(self.weather.jitter.0 + 1)];
        let faults = self.faults();
        let parted = !to.ip().is_loopback()
            && self.machine(to.ip()).is_some_and(|there| self.parted(host, there).is_some());
        if bytes.len() > self.weather.datagram_bytes || (faults && lost) || parted {
            return;
        }
        let copies = if faults && twice { 2 } else { 1 };
        for jitter in &jitters[..copies] {
            let extra = if faults && late { late_by } else { 0 };
            let at = self.now + self.trip(jitter + extra);
            let bytes = bytes.to_vec();
            self.later(at, Happening::Datagram { from, to, from_host: host, bytes });
        }
    }

    pub(super) fn datagram_arrives(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        from_host: usize,
        bytes: &[u8],
    ) {
        if to.ip().is_multicast() {
            return self.heard_by_group(from, to, from_host, bytes);
        }
        if let Some(node) = self.listener(from_host, to, false) {
            self.tell(node, Input::Datagram { from, to: to.ip(), bytes });
        }
    }
}
