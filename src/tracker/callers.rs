//! Who is connected, by where they come from: how many connections an address may have, and whose
//! gives way when all places are taken.

use super::source::Source;
use crate::core::id::ConnId;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Connections of one public IPv4 address.
pub const ADDRESS_CONNECTIONS_MAX: usize = 8;
/// Connections of one public IPv6 network of 64 bits, which is a whole house or classroom.
pub const NETWORK_CONNECTIONS_MAX: usize = 64;
/// Connections of one private address; loopback has no limit of its own.
pub const NEAR_CONNECTIONS_MAX: usize = 4096;

/// Whose connections are counted together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Origin {
    /// One public address (or IPv6 /64), or on a public tracker any but loopback.
    Limited(Source),
    /// One private address, or one of loopback.
    Near(IpAddr),
}

#[derive(Debug, Default)]
pub struct Callers {
    /// Limits per address count for private addresses too.
    public: bool,
    of: BTreeMap<Origin, BTreeSet<ConnId>>,
    by_count: BTreeSet<(usize, Origin)>,
}

impl Callers {
    pub fn new(public: bool) -> Callers {
        Callers { public, ..Callers::default() }
    }

    /// Origins that have a connection.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Whose connections are counted together with those of an address, and how many there may be.
    fn limited(&self, ip: IpAddr) -> (Origin, usize) {
        match Source::limited(ip, self.public) {
            Some(source) if ip.is_ipv6() => (Origin::Limited(source), NETWORK_CONNECTIONS_MAX),
            Some(source) => (Origin::Limited(source), ADDRESS_CONNECTIONS_MAX),
            None if ip.is_loopback() => (Origin::Near(ip), usize::MAX),
            None => (Origin::Near(ip), NEAR_CONNECTIONS_MAX),
        }
    }

    fn count(&self, origin: Origin) -> usize {
        self.of.get(&origin).map_or(0, BTreeSet::len)
    }

    /// Whether an address may have one connection more.
    pub fn admits(&self, ip: IpAddr) -> bool {
        let (origin, most) = self.limited(ip);
        self.count(origin) < most
    }

    pub fn came(&mut self, ip: IpAddr, conn: ConnId) {
        let (origin, _) = self.limited(ip);
        self.change(origin, |conns| conns.insert(conn));
    }

    pub fn went(&mut self, ip: IpAddr, conn: ConnId) {
        let (origin, _) = self.limited(ip);
        self.change(origin, |conns| conns.remove(&conn));
    }

    fn change(&mut self, origin: Origin, change: impl FnOnce(&mut BTreeSet<ConnId>) -> bool) {
        let conns = self.of.entry(origin).or_default();
        self.by_count.remove(&(conns.len(), origin));
        change(conns);
        match conns.len() {
            0 => drop(self.of.remove(&origin)),
            len => drop(self.by_count.insert((len, origin))),
        }
    }

    /// The connections of whoever has most of them, if `ip` would still have fewer with one more.
    pub fn greediest(&self, ip: IpAddr) -> impl Iterator<Item = ConnId> {
        let own = self.count(self.limited(ip).0);
        let most = self.by_count.last().filter(|(count, _)| *count > own + 1);
        let conns = most.and_then(|(_, origin)| self.of.get(origin));
        conns.into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::io::Outbox;

    #[test]
    fn whoever_has_most_gives_way_and_never_to_one_who_would_have_as_many() {
        let mut out = Outbox::default();
        let ip = |n: u8| IpAddr::from([8, 8, 8, n]);
        let mut callers = Callers::default();
        let mut enter = |callers: &mut Callers, ip: IpAddr| {
            let conn = out.conns.insert(());
            callers.came(ip, conn);
            conn
        };
        let greedy: Vec<ConnId> = (0..4).map(|_| enter(&mut callers, ip(1))).collect();
        let modest: Vec<ConnId> = (0..2).map(|_| enter(&mut callers, ip(2))).collect();
        assert_eq!(callers.greediest(ip(3)).collect::<Vec<_>>(), greedy);
        assert_eq!(callers.greediest(ip(2)).collect::<Vec<_>>(), greedy);
        assert_eq!(callers.greediest(ip(1)).count(), 0, "nobody has more than itself");
        callers.went(ip(1), greedy[0]);
        assert_eq!(callers.greediest(ip(2)).count(), 0, "they would have three each");
        assert_eq!(callers.greediest(ip(3)).count(), 3);
        greedy[1..].iter().for_each(|conn| callers.went(ip(1), *conn));
        modest.iter().for_each(|conn| callers.went(ip(2), *conn));
        assert!(callers.is_empty() && callers.by_count.is_empty());
    }
}
