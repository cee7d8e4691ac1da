//! Partitions: machines that cannot reach the others for a while. Datagrams between them are lost;
//! streams stand still and go on when the partition heals, as they do with retransmission.

use super::world::{NodeId, World};
use crate::core::time::Time;
use std::net::IpAddr;

/// Which way nothing passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ways {
    Both,
    /// What those inside send does not arrive outside.
    Outwards,
    /// What is sent from outside does not arrive inside.
    Inwards,
}

#[derive(Clone, Debug)]
pub(super) struct Partition {
    since: Time,
    until: Time,
    /// Machines.
    inside: Vec<usize>,
    ways: Ways,
}

impl Partition {
    fn parts(&self, from: usize, to: usize) -> bool {
        let (from, to) = (self.inside.contains(&from), self.inside.contains(&to));
        match self.ways {
            Ways::Both => from != to,
            Ways::Outwards => from && !to,
            Ways::Inwards => !from && to,
        }
    }
}

impl World {
    /// Cuts the machines of `inside` off from all others, from `since` until `until`.
    pub fn part(&mut self, inside: &[NodeId], ways: Ways, since: Time, until: Time) {
        let inside = inside.iter().map(|node| self.nodes[node.0].host).collect();
        self.partitions.push(Partition { since, until, inside, ways });
    }

    /// If nothing passes from one machine to another now: until when.
    pub(super) fn parted(&self, from: usize, to: usize) -> Option<Time> {
        let present = |p: &&Partition| p.since <= self.now && self.now < p.until;
        let parting = self.partitions.iter().filter(present).filter(|p| p.parts(from, to));
        parting.map(|partition| partition.until).max()
    }

    /// The machine with this address, if it is not loopback.
    pub(super) fn machine(&self, ip: IpAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.ip == ip)
    }
}
