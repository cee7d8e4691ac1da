//! Peers of the local network, found without a tracker (BEP 14): what is taken part in is said to a
//! group of that network from time to time, and what others say there is heard.

use super::filter::is_somebody;
use crate::core::id::{InfoHash, Ticket};
use crate::core::io::{NetError, Outbox};
use crate::core::mark::mark;
use crate::core::network::is_near;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::lsd::{GROUPS, HASHES_MAX, Search};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What is taken part in is said so often, ...
const EVERY: Span = Span::secs(300);
/// ... and two datagrams to a group are so far apart, whatever they say.
const APART: Span = Span::secs(60);
/// Contents searched for at a time; later ones are not.
const TOPICS_MAX: usize = 1_024;
/// Peers remembered for a swarm that has not begun yet.
const HEARD_MAX: usize = 64;
/// No peer listens below: those are the ports of services.
const PORT_MIN: u16 = 1024;

/// One source may say something so often in the long run ...
const SAID_EVERY: Span = Span::ms(50);
/// ... and so much before that counts: some clients say each of their contents by itself.
const SAID_AHEAD: Span = Span::secs(10);
/// Sources are told apart as far as this goes; those of one place share its rate.
const SOURCES: usize = 256;

/// A group, and how it went to join it.
#[derive(Debug)]
struct Group {
    at: SocketAddr,
    asked: Option<Ticket>,
    refused: Option<NetError>,
}

/// Who was heard: where it listens, and what of ours it takes part in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub addr: SocketAddr,
    pub info_hashes: Vec<InfoHash>,
}

#[derive(Debug)]
pub struct LocalSearch {
    /// By this our own datagrams are known again.
    cookie: String,
    seed: u64,
    /// Where peers can reach us; until it is known nothing is said.
    listens: Option<SocketAddr>,
    /// Addresses of this machine.
    own: Vec<IpAddr>,
    groups: [Group; 2],
    open: bool,
    /// Whether it was told that there is no group to join.
    told: bool,
    /// What is searched for: its place in the order of the wishes, and when it was said last.
    topics: BTreeMap<InfoHash, (usize, Option<Time>)>,
    /// Nothing is said before.
    quiet: Time,
    /// When what each place of sources said is forgotten.
    said: Box<[Time; SOURCES]>,
    heard: VecDeque<(InfoHash, SocketAddr)>,
}

impl LocalSearch {
    /// `own`: addresses of this machine, for what is near it.
    pub fn new(own: Vec<IpAddr>, mut rng: Rng) -> LocalSearch {
        let group = |at| Group { at, asked: None, refused: None };
        LocalSearch {
            cookie: format!("{:016x}", rng.next_u64()),
            seed: rng.next_u64(),
            listens: None,
            own,
            groups: GROUPS.map(group),
            open: false,
            told: false,
            topics: BTreeMap::new(),
            quiet: Time::ZERO,
            said: Box::new([Time::ZERO; SOURCES]),
            heard: VecDeque::new(),
        }
    }

    /// Listens to the groups from now on.
    pub fn open(&mut self, listens: Option<SocketAddr>, out: &mut Outbox) {
        if !self.open {
            self.open = true;
            self.listens = listens.or(self.listens);
            self.join(out);
        }
    }

    /// Searches for nothing more, and hears nothing.
    pub fn close(&mut self) {
        self.open = false;
        self.topics.clear();
        self.heard.clear();
    }

    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether there is a network that can be searched, as far as it is known.
    pub fn can_search(&self) -> bool {
        self.open && self.groups.iter().any(|group| group.refused.is_none())
    }

    /// Searches for these from now on, too. `listens`: where we take peers in.
    pub fn search(&mut self, info_hashes: &[InfoHash], listens: SocketAddr) {
        if !self.open {
            return;
        }
        self.listens = Some(listens);
        for info_hash in info_hashes {
            if self.topics.len() < TOPICS_MAX {
                let place = self.topics.len();
                self.topics.entry(*info_hash).or_insert((place, None));
            }
        }
    }

    /// A group was joined, or not; `false` if that was not asked here. Once, if there is none at
    /// all: why not.
    pub fn got_joined(
        &mut self,
        ticket: Ticket,
        result: Result<(), NetError>,
    ) -> Result<Option<NetError>, Ticket> {
        let asked = |group: &&mut Group| group.asked == Some(ticket);
        let group = self.groups.iter_mut().find(asked).ok_or(ticket)?;
        (group.asked, group.refused) = (None, result.err());
        let [v4, v6] = &self.groups;
        let none = v4.refused.filter(|_| v6.refused.is_some() && v6.asked.is_none());
        Ok(none.filter(|_| !std::mem::replace(&mut self.told, true)))
    }

    pub fn deadline(&self) -> Time {
        if !self.open || self.listens.is_none() {
            return Time::NEVER;
        }
        let due = self.topics.values().map(|(_, said)| due(*said)).min();
        due.map_or(Time::NEVER, |due| due.max(self.quiet))
    }

    /// Says what is due, as much of it as one datagram holds.
    pub fn poll(&mut self, now: Time, out: &mut Outbox) {
        let Some(listens) = self.listens.filter(|_| now >= self.deadline()) else { return };
        let topics = self.topics.iter();
        let mut ripe: Vec<(Time, usize, InfoHash)> =
            topics.map(|(topic, (place, said))| (due(*said), *place, *topic)).collect();
        ripe.retain(|(due, ..)| *due <= now);
        // Those that waited longest come first, and then those that were wished for first: some
        // clients read the first of a datagram alone.
        ripe.sort_unstable();
        ripe.truncate(HASHES_MAX);
        let info_hashes: Vec<InfoHash> = ripe.into_iter().map(|(.., topic)| topic).collect();
        for topic in &info_hashes {
            self.topics.entry(*topic).and_modify(|(_, said)| *said = Some(now));
        }
        self.quiet = now + APART;
        // Networks may have come since.
        self.join(out);
        let cookie = Some(self.cookie.as_bytes());
        let search = Search { port: listens.port(), info_hashes, cookie };
        for group in &self.groups {
            // Who hears of us in a family must be able to reach us in it.
            if is_reached_by(listens.ip(), group.at) {
                let any = unspecified(group.at);
                out.datagram(group.at, any, &search.encode(group.at));
            }
        }
    }

    /// Somebody said something to a group: who that is, and what of ours it takes part in. What one
    /// datagram costs does not depend on what was heard before.
    pub fn got_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Time) -> Option<Found> {
        if !self.open || !self.may_say(from.ip(), now) {
            return None;
        }
        let search = Search::decode(bytes)?;
        if search.cookie == Some(self.cookie.as_bytes()) {
            return None;
        }
        let fits = search.port >= PORT_MIN && is_somebody(from.ip());
        if !fits || !is_near(from.ip(), &self.own) {
            mark!("D28");
            return None;
        }
        let mut info_hashes = search.info_hashes;
        info_hashes.retain(|info_hash| self.topics.contains_key(info_hash));
        if info_hashes.is_empty() {
            return None;
        }
        let mut addr = from;
        addr.set_port(search.port);
        for info_hash in &info_hashes {
            self.heard.retain(|known| *known != (*info_hash, addr));
            self.heard.truncate(HEARD_MAX - 1);
            self.heard.push_front((*info_hash, addr));
        }
        Some(Found { addr, info_hashes })
    }

    /// Who was heard last, for a swarm that begins.
    pub fn heard(&self) -> impl Iterator<Item = (InfoHash, SocketAddr)> {
        self.heard.iter().copied()
    }

    fn join(&mut self, out: &mut Outbox) {
        let listens = self.listens.map(|at| at.ip());
        for group in &mut self.groups {
            // On the network of the one address that we listen at, if there is one.
            let same = listens.filter(|ip| ip.is_ipv6() == group.at.is_ipv6());
            let on = match (same, listens) {
                (Some(ip), _) => ip,
                // Of the other family: loopback there, too, and else wherever it goes.
                (None, Some(ip)) if ip.is_loopback() => loopback(group.at),
                _ => unspecified(group.at),
            };
            group.asked = Some(out.join(group.at, on));
        }
    }

    /// Whether a source has not said too much by now.
    fn may_say(&mut self, ip: IpAddr, now: Time) -> bool {
        let number = match ip.to_canonical() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            // The low half is for the other side to choose.
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64 ^ ip.to_bits() as u64,
        };
        let place = Rng::new(self.seed ^ number).next_u64() as usize % SOURCES;
        let Some(until) = self.said.get_mut(place) else { return false };
        if until.since(now) > SAID_AHEAD {
            mark!("D28");
            return false;
        }
        *until = (*until).max(now) + SAID_EVERY;
        true
    }
}

fn due(said: Option<Time>) -> Time {
    said.map_or(Time::ZERO, |said| said + EVERY)
}

fn unspecified(group: SocketAddr) -> IpAddr {
    match group {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn loopback(group: SocketAddr) -> IpAddr {
    match group {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// Whether one who listens at `ip` is reached by those who hear of it in this group. A listener at
/// any address of IPv6 takes those of IPv4, too.
fn is_reached_by(ip: IpAddr, group: SocketAddr) -> bool {
    ip.is_ipv6() == group.is_ipv6() || ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::io::Effect;
    use crate::core::mark::expect_mark;

    const ALL: &str = "0.0.0.0:6881";

    fn at(secs: u64) -> Time {
        Time::ZERO + Span::secs(secs)
    }

    fn topic(n: u16) -> InfoHash {
        let mut hash = InfoHash([7; 20]);
        hash.0[..2].copy_from_slice(&n.to_be_bytes());
        hash
    }

    fn searching(count: u16, listens: &str) -> (LocalSearch, Outbox) {
        let mut local = LocalSearch::new(vec![[203, 0, 113, 5].into()], Rng::new(1));
        let mut out = Outbox::default();
        local.open(None, &mut out);
        // In another order than that of the hashes.
        let topics: Vec<InfoHash> = (0..count).rev().map(topic).collect();
        local.search(&topics, listens.parse().unwrap());
        assert_eq!(local.topics.len(), usize::from(count));
        (local, out)
    }

    /// What was said: to which group, and which topics.
    fn said(out: &mut Outbox) -> Vec<(SocketAddr, Vec<InfoHash>)> {
        let sent = std::mem::take(out);
        let of = |effect: &Effect| match effect {
            Effect::Datagram { to, start, len, .. } => {
                let search = Search::decode(sent.bytes(*start, *len)).unwrap();
                assert_eq!(search.port, 6881);
                Some((*to, search.info_hashes))
            }
            _ => None,
        };
        sent.effects.iter().filter_map(of).collect()
    }

    fn datagram(port: u16, topics: &[u16], cookie: Option<&[u8]>) -> Vec<u8> {
        let info_hashes = topics.iter().copied().map(topic).collect();
        Search { port, info_hashes, cookie }.encode(GROUPS[0])
    }

    fn found(local: &mut LocalSearch, from: &str, bytes: &[u8]) -> Option<String> {
        let found = local.got_datagram(from.parse().unwrap(), bytes, at(1))?;
        Some(found.addr.to_string())
    }

    #[test]
    fn a_topic_is_said_at_once_and_then_every_five_minutes() {
        let (mut local, mut out) = searching(2, ALL);
        let mut times = Vec::new();
        for second in 0..1000 {
            local.poll(at(second), &mut out);
            for (group, topics) in said(&mut out) {
                assert_eq!((group, topics), (GROUPS[0], vec![topic(1), topic(0)]));
                times.push(second);
            }
        }
        assert_eq!(times, [0, 300, 600, 900]);
        assert_eq!(local.deadline(), at(1200));
    }

    #[test]
    fn many_topics_are_said_in_several_datagrams_a_minute_apart() {
        let (mut local, mut out) = searching(60, ALL);
        let mut times = Vec::new();
        for second in 0..300 {
            local.poll(at(second), &mut out);
            times.extend(said(&mut out).iter().map(|(_, topics)| (second, topics.len())));
        }
        assert_eq!(times, [(0, 24), (60, 24), (120, 12)]);
        // One that comes later is said as soon as it may be, and not the others with it.
        let (mut local, mut out) = searching(1, ALL);
        local.poll(at(0), &mut out);
        local.search(&[topic(9)], ALL.parse().unwrap());
        assert_eq!(local.deadline(), at(60));
        local.poll(at(59), &mut out);
        assert_eq!(said(&mut out).len(), 1, "the first word alone");
        local.poll(at(60), &mut out);
        assert_eq!(said(&mut out), [(GROUPS[0], vec![topic(9)])]);
    }

    #[test]
    fn it_is_said_where_we_can_be_reached_and_heard_everywhere() {
        for (listens, groups) in [
            ("0.0.0.0:6881", vec![GROUPS[0]]),
            ("[::]:6881", GROUPS.to_vec()),
            ("[fd00::1]:6881", vec![GROUPS[1]]),
        ] {
            let (mut local, mut out) = searching(1, listens);
            local.poll(at(0), &mut out);
            let joins = out.effects.iter().filter(|wish| matches!(wish, Effect::Join { .. }));
            assert_eq!(joins.count(), 4, "both, at first and with each word");
            let to: Vec<_> = said(&mut out).into_iter().map(|(group, _)| group).collect();
            assert_eq!(to, groups, "{listens}");
        }
        let (mut local, mut out) = searching(1, "127.0.0.1:6881");
        said(&mut out);
        local.poll(at(0), &mut out);
        let on = out.effects.iter().filter_map(|wish| match wish {
            Effect::Join { on, .. } => Some(on.is_loopback()),
            _ => None,
        });
        assert_eq!(on.collect::<Vec<_>>(), [true, true]);
    }

    #[test]
    fn nothing_is_said_or_heard_before_it_is_open_or_after_it_was_closed() {
        let mut local = LocalSearch::new(Vec::new(), Rng::new(1));
        let mut out = Outbox::default();
        local.search(&[topic(0)], ALL.parse().unwrap());
        local.poll(at(0), &mut out);
        assert!(out.effects.is_empty() && local.deadline() == Time::NEVER);
        let (mut local, _) = searching(1, ALL);
        let word = datagram(7000, &[0], None);
        assert!(found(&mut local, "10.0.0.2:6771", &word).is_some());
        local.close();
        local.poll(at(0), &mut out);
        assert!(out.effects.is_empty() && local.heard().next().is_none());
        assert!(found(&mut local, "10.0.0.2:6771", &word).is_none());
    }

    #[test]
    fn who_takes_part_in_the_same_is_found_at_the_port_it_says() {
        let (mut local, _) = searching(2, ALL);
        let own = local.cookie.clone();
        let from = "10.0.0.2:6771";
        let word = datagram(7000, &[1, 5, 0], Some(b"other"));
        let heard = local.got_datagram(from.parse().unwrap(), &word, at(1)).unwrap();
        assert_eq!(heard.addr, "10.0.0.2:7000".parse().unwrap());
        assert_eq!(heard.info_hashes, [topic(1), topic(0)]);
        assert_eq!(local.heard().count(), 2);
        let nobody = |local: &mut LocalSearch, bytes: &[u8]| {
            assert_eq!(found(local, from, bytes), None);
        };
        nobody(&mut local, &datagram(7000, &[5], None));
        nobody(&mut local, &datagram(7000, &[0], Some(own.as_bytes())));
        nobody(&mut local, b"BT-SEARCH");
        // The network of an IPv6 address is kept.
        let heard = local.got_datagram("[fe80::1%3]:6771".parse().unwrap(), &word, at(1)).unwrap();
        assert!(matches!(heard.addr, SocketAddr::V6(addr) if addr.scope_id() == 3));
    }

    #[test]
    fn only_those_of_the_local_network_are_peers_and_no_services() {
        let (mut local, _) = searching(1, ALL);
        let word = datagram(7000, &[0], None);
        // The third is public, and of the network of one of our addresses.
        for near in ["10.0.0.2:6771", "169.254.1.1:6771", "203.0.113.9:6771", "[fd00::9]:6771"] {
            assert!(found(&mut local, near, &word).is_some(), "{near}");
        }
        for far in ["8.8.8.8:6771", "203.0.114.9:6771", "[2001:db8::1]:6771", "0.0.0.0:6771"] {
            assert_eq!(expect_mark!("D28", found(&mut local, far, &word)), None, "{far}");
        }
        assert_eq!(found(&mut local, "10.0.0.2:6771", &datagram(22, &[0], None)), None);
    }

    #[test]
    fn one_source_is_heard_so_often_and_keeps_no_other_from_being_heard() {
        let (mut local, _) = searching(1, ALL);
        let word = datagram(7000, &[0], None);
        let from = |n: u32| SocketAddr::new((0x0a00_0000 + n).to_be_bytes().into(), 6771);
        let heard = |local: &mut LocalSearch, n, now| {
            (0..10_000).filter(|_| local.got_datagram(from(n), &word, now).is_some()).count()
        };
        let first = expect_mark!("D28", heard(&mut local, 1, at(0)));
        assert_eq!(first, 201);
        assert_eq!(heard(&mut local, 1, at(1)), 20, "twenty a second after that");
        let others = (2..102).filter(|n| local.got_datagram(from(*n), &word, at(1)).is_some());
        assert!(others.count() > 90);
        // However many there are, what is kept of them is bounded.
        (0..5_000).for_each(|n| _ = local.got_datagram(from(n), &word, at(100)));
        assert_eq!(local.heard().count(), HEARD_MAX);
        let many: Vec<InfoHash> = (0..5_000).map(topic).collect();
        local.search(&many, ALL.parse().unwrap());
        assert_eq!(local.topics.len(), TOPICS_MAX);
    }

    #[test]
    fn that_no_group_can_be_joined_is_told_once() {
        let (mut local, mut out) = searching(1, ALL);
        let tickets = |out: &mut Outbox| -> Vec<Ticket> {
            let wishes = std::mem::take(&mut out.effects).into_iter();
            wishes
                .filter_map(|wish| match wish {
                    Effect::Join { ticket, .. } => Some(ticket),
                    _ => None,
                })
                .collect()
        };
        let [v4, v6] = tickets(&mut out)[..] else { panic!() };
        let refused = Err(NetError::Other(19));
        assert_eq!(local.got_joined(Ticket(99), refused), Err(Ticket(99)));
        assert_eq!(local.got_joined(v6, refused), Ok(None));
        assert!(local.can_search());
        assert_eq!(local.got_joined(v4, refused), Ok(Some(NetError::Other(19))));
        assert!(!local.can_search());
        // It is tried again with the next word, and that is no news.
        local.poll(at(0), &mut out);
        let [v4, v6] = tickets(&mut out)[..] else { panic!() };
        assert_eq!(local.got_joined(v4, refused), Ok(None));
        assert_eq!(local.got_joined(v6, refused), Ok(None));
        local.poll(at(300), &mut out);
        let [v4, v6] = tickets(&mut out)[..] else { panic!() };
        assert_eq!(local.got_joined(v6, Ok(())), Ok(None));
        assert_eq!(local.got_joined(v4, refused), Ok(None));
        assert!(local.can_search());
    }
}
