//! The addresses of a swarm: who was named, who is being dialled, who is away until when. One entry
//! an address, whatever identity it was named under.

mod manner;

use super::hearsay::{HOUR, Hearsay};
use super::priority::priority;
use crate::core::id::{ConnId, PeerId};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::peer::encryption::Offer;
use crate::peer::{Encrypting, Identity};
use manner::Manner;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Addresses kept for one swarm.
pub(super) const KNOWN_MAX: usize = 2_000;
/// Dials on their way at a time.
pub const DIALS_MAX: usize = 32;
/// A dial that was not answered for so long is given up.
pub const DIAL: Span = Span::secs(10);
/// A dial that was not answered for so long does not count as a source to be.
pub const DIAL_YOUNG: Span = Span::secs(2);
/// Dials of one who has all to an address with which nothing was done yet: stock clients may refuse
/// the first while they still believe in an earlier connection with us.
const OFFERS_MAX: u32 = 5;
/// The longest wait before an address is dialled again.
const AWAY_MAX_S: u64 = 60;
/// A peer of ours is named under both identities, and met under v2: so long an address named under
/// v1 alone waits for the other name.
const V1_ALONE: Span = Span::secs(2);
/// An address that nobody named for so long is forgotten.
const UNNAMED: Span = Span::secs(600);
/// How long a complete peer is left alone by another.
pub const BOTH_COMPLETE: Span = Span::secs(3600);
/// How long a peer that sent bad data is left alone.
const STRUCK: Span = Span::secs(600);
/// Conversations that ended whose peers may still be found out.
const GONE_MAX: usize = 64;

/// Who comes from an address of the network under a peer id. Anybody can copy a peer id, but not
/// from there.
pub type Origin = (IpAddr, PeerId);
/// Peers that sent bad data, and until when each is left alone.
pub type Struck = VecDeque<(Origin, Time)>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    Fresh,
    Dialling { conn: ConnId, since: Time },
    Talking,
    Away { until: Time },
}

#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    reach: Reach,
    /// The best identity it was named under: two peers of ours meet under v2 only.
    identity: Identity,
    pub(super) named: Time,
    /// No tracker named it.
    pub(super) hearsay: Option<Hearsay>,
    /// When it was named first.
    known: Time,
    /// When it was lost last.
    lost: Time,
    failures: u32,
    /// It sent bad data: left alone until then, whatever becomes of other conversations with it.
    struck_until: Time,
    /// Whether we ever conversed.
    met: bool,
    /// Whether the last conversation came to anything.
    worked: bool,
    manner: Manner,
}

impl Neighbour {
    pub(super) fn new(reach: Reach, identity: Identity, now: Time) -> Neighbour {
        Neighbour {
            reach,
            identity,
            named: now,
            hearsay: None,
            known: now,
            lost: now,
            failures: 0,
            struck_until: Time::ZERO,
            met: false,
            worked: false,
            manner: Manner::default(),
        }
    }
}

/// An address that was lost: how long it is left alone, and whether we had ever conversed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost {
    pub addr: SocketAddr,
    pub wait: Span,
    pub met: bool,
}

/// Who the other side of a conversation was that ended.
#[derive(Clone, Copy, Debug)]
struct Gone {
    conn: ConnId,
    origin: Origin,
    /// Where it listens, if that was known.
    addr: Option<SocketAddr>,
}

#[derive(Debug, Default)]
pub struct Neighbours {
    pub(super) known: BTreeMap<SocketAddr, Neighbour>,
    talking: BTreeMap<ConnId, SocketAddr>,
    /// Who was who in the last conversations that ended.
    gone: VecDeque<Gone>,
    /// Peers that sent bad data, and until when we do not converse with them, whoever dials.
    struck: Struck,
    /// Puts addresses in an order of our own, so that not all dial the same first.
    seed: u64,
    /// The content has no other identity than v1: no other name is waited for.
    v1_alone: bool,
    /// Among strangers: those of higher canonical priority first, ...
    ranks: bool,
    /// ... between them and us, as others see us.
    us: Option<SocketAddr>,
    encrypting: Encrypting,
}

impl Neighbours {
    pub fn new(seed: u64) -> Neighbours {
        Neighbours { seed, ..Neighbours::default() }
    }

    /// Whether the content has no other identity than v1.
    pub fn of_v1(self, v1_alone: bool) -> Neighbours {
        Neighbours { v1_alone, ..self }
    }

    /// Ranks addresses by canonical priority (BEP 40).
    pub fn rank(&mut self, ranks: bool) {
        self.ranks = ranks;
    }

    /// Under which address others see us: the first word counts.
    pub fn seen_as(&mut self, ip: IpAddr, port: u16) {
        self.us.get_or_insert(SocketAddr::new(ip, port));
    }

    /// The canonical priority of a connection with `addr`, if it counts and is known.
    pub fn priority(&self, addr: SocketAddr) -> Option<u32> {
        self.us.filter(|_| self.ranks).and_then(|us| priority(us, addr))
    }

    pub fn encrypt(&mut self, encrypting: Encrypting) {
        self.encrypting = encrypting;
    }

    /// What an encrypted handshake with a peer that was dialled needs; `None` for one in plain.
    pub fn offer(&mut self, addr: SocketAddr) -> Offer {
        let policy = self.encrypting.policy;
        let manner = self.known.get(&addr).map(|n| n.manner).unwrap_or_default();
        manner.is_encrypted(policy).then(|| (self.encrypting.fresh(), policy.methods()))
    }

    /// A peer that was dialled shook hands.
    pub fn shook_hands(&mut self, addr: SocketAddr) {
        if let Some(neighbour) = self.known.get_mut(&addr) {
            neighbour.manner = neighbour.manner.taken();
        }
    }

    /// A peer that was dialled is lost, and had not shaken hands: it may be tried at once in
    /// another manner.
    pub fn refused_handshake(&mut self, addr: SocketAddr) {
        let Some(neighbour) = self.known.get_mut(&addr) else { return };
        neighbour.manner = neighbour.manner.refused(self.encrypting.policy);
        if neighbour.manner == Manner::Trying && matches!(neighbour.reach, Reach::Away { .. }) {
            neighbour.reach = Reach::Fresh;
        }
    }

    /// A tracker named these.
    pub fn got_named(&mut self, identity: Identity, addrs: &[SocketAddr], now: Time) {
        for addr in addrs {
            if self.known.len() >= KNOWN_MAX && !self.known.contains_key(addr) {
                continue;
            }
            let fresh = Neighbour::new(Reach::Fresh, identity, now);
            let neighbour = self.known.entry(*addr).or_insert(fresh);
            neighbour.identity = neighbour.identity.max(identity);
            neighbour.named = now;
            neighbour.hearsay = None;
        }
    }

    /// Every address that is known.
    pub fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.known.keys().copied()
    }

    /// Whom to dial now, at most `room` of them, those that failed least first. One who lacks
    /// pieces tries on its own account; one who has all offers itself a few times, and dials those
    /// again that a tracker still names.
    pub fn due(&mut self, lacking: bool, room: usize, now: Time) -> Vec<(SocketAddr, Identity)> {
        self.known.retain(|_, n| {
            // What was hearsay and tried is remembered as long as that counts.
            let forgotten = if n.hearsay.is_some() { HOUR } else { UNNAMED };
            !matches!(n.reach, Reach::Away { .. } | Reach::Fresh) || now.since(n.named) < forgotten
        });
        let dialling =
            self.known.values().filter(|n| matches!(n.reach, Reach::Dialling { .. })).count();
        let mut due: Vec<(u32, u64, SocketAddr, Identity)> = self
            .known
            .iter()
            .filter(|(_, n)| n.hearsay.as_ref().is_none_or(|hearsay| !hearsay.is_spent(now)))
            .filter(|(_, n)| match n.reach {
                Reach::Fresh if self.v1_alone => true,
                Reach::Fresh => n.identity == Identity::V2 || now.since(n.known) >= V1_ALONE,
                Reach::Away { until } => {
                    let offers = !n.worked && n.failures < OFFERS_MAX;
                    until.max(n.struck_until) <= now && (lacking || offers || n.named > n.lost)
                }
                _ => false,
            })
            .map(|(addr, n)| (n.failures, self.place(*addr), *addr, n.identity))
            .collect();
        due.sort_unstable();
        due.truncate(room.min(DIALS_MAX.saturating_sub(dialling)));
        due.into_iter().map(|(_, _, addr, identity)| (addr, identity)).collect()
    }

    /// Where an address stands among equals.
    fn place(&self, addr: SocketAddr) -> u64 {
        if let Some(priority) = self.priority(addr) {
            return u64::from(!priority);
        }
        let ip = match addr.ip() {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let number = (ip ^ ip >> 64) as u64 ^ u64::from(addr.port()) << 48;
        Rng::new(self.seed ^ number).next_u64()
    }

    /// Dials on their way that may well be answered yet. One that hangs keeps nobody else waiting.
    pub fn dialling(&self, now: Time) -> usize {
        let young = |n: &&Neighbour| match n.reach {
            Reach::Dialling { since, .. } => now.since(since) < DIAL_YOUNG,
            _ => false,
        };
        self.known.values().filter(young).count()
    }

    /// A peer sent bad data.
    pub fn strike(&mut self, origin: Origin, now: Time) {
        self.struck.retain(|(struck, _)| *struck != origin);
        self.struck.truncate(GONE_MAX - 1);
        self.struck.push_front((origin, now + STRUCK));
    }

    /// Who is struck, for a swarm that begins anew.
    pub fn take_struck(&mut self) -> Struck {
        std::mem::take(&mut self.struck)
    }

    pub fn keep_struck(&mut self, struck: Struck) {
        self.struck = struck;
    }

    /// Whether the peer at `remote` is left alone. On one machine all come from one address, so one
    /// whom we dialled is known by its port alone.
    pub fn is_struck(
        &self,
        (remote, peer_id): (SocketAddr, PeerId),
        dialled: bool,
        now: Time,
    ) -> bool {
        if dialled && remote.ip().is_loopback() {
            return self.known.get(&remote).is_some_and(|n| now < n.struck_until);
        }
        let origin = (remote.ip(), peer_id);
        let until = self.struck.iter().find(|(struck, _)| *struck == origin).map(|(_, u)| *u);
        if until.is_some_and(|until| until <= now) {
            // It may be the only source there is, and it may have mended.
            crate::mark!("D18");
        }
        until.is_some_and(|until| now < until)
    }

    /// A conversation ends; what its peer sent may still be found out to be bad.
    pub fn parted(&mut self, conn: ConnId, origin: Origin) {
        let addr = self.talking.get(&conn).copied();
        self.gone.truncate(GONE_MAX - 1);
        self.gone.push_front(Gone { conn, origin, addr });
    }

    /// Who the other side of a conversation was that ended not long ago.
    pub fn origin_of(&self, conn: ConnId) -> Option<Origin> {
        self.gone.iter().find(|gone| gone.conn == conn).map(|gone| gone.origin)
    }

    /// The peer of a conversation that ended is found out to have sent bad data. -> whether it is
    /// remembered.
    pub fn strike_gone(&mut self, conn: ConnId, now: Time) -> bool {
        let Some(gone) = self.gone.iter().find(|gone| gone.conn == conn).copied() else {
            return false;
        };
        self.strike(gone.origin, now);
        if let Some(neighbour) = gone.addr.and_then(|addr| self.known.get_mut(&addr)) {
            neighbour.struck_until = now + STRUCK;
        }
        true
    }

    pub fn dialled(&mut self, addr: SocketAddr, conn: ConnId, now: Time) {
        if let Some(neighbour) = self.known.get_mut(&addr) {
            neighbour.reach = Reach::Dialling { conn, since: now };
            neighbour.hearsay.iter_mut().for_each(|hearsay| hearsay.tried(now));
        }
    }

    /// Dials that were not answered in time.
    pub fn overdue(&self, now: Time) -> Vec<ConnId> {
        self.known
            .values()
            .filter_map(|n| match n.reach {
                Reach::Dialling { conn, since } if now.since(since) > DIAL => Some(conn),
                _ => None,
            })
            .collect()
    }

    /// A conversation with the peer that listens at `addr` is on.
    pub fn met(&mut self, addr: SocketAddr, conn: ConnId, now: Time) {
        // It said once where it listens: it cannot claim one address after the other.
        if self.talking.get(&conn).is_some_and(|said| *said != addr) {
            return;
        }
        self.talking.insert(conn, addr);
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&addr) {
            return;
        }
        let fresh = Neighbour::new(Reach::Talking, Identity::V2, now);
        let neighbour = self.known.entry(addr).or_insert(fresh);
        neighbour.reach = Reach::Talking;
        (neighbour.met, neighbour.worked) = (true, false);
    }

    /// It served or took something: the next loss starts the waits anew.
    pub fn worked(&mut self, conn: ConnId) {
        if let Some(neighbour) = self.talking.get(&conn).and_then(|addr| self.known.get_mut(addr)) {
            (neighbour.failures, neighbour.worked) = (0, true);
        }
    }

    /// A dial failed or a conversation ended.
    pub fn lost(&mut self, conn: ConnId, struck: bool, now: Time) -> Option<Lost> {
        let dialled = self.known.iter().find_map(|(addr, n)| match n.reach {
            Reach::Dialling { conn: dialled, .. } if dialled == conn => Some(*addr),
            _ => None,
        });
        let addr = self.talking.remove(&conn).or(dialled)?;
        if struck && let Some(neighbour) = self.known.get_mut(&addr) {
            neighbour.struck_until = now + STRUCK;
        }
        // A second conversation with the same peer may go on.
        if self.talking.values().any(|other| *other == addr) {
            return None;
        }
        let neighbour = self.known.get_mut(&addr)?;
        neighbour.failures = neighbour.failures.saturating_add(1);
        let wait = match struck {
            true => STRUCK,
            false => Span::secs((1 << (neighbour.failures - 1).min(6)).min(AWAY_MAX_S)),
        };
        neighbour.reach = Reach::Away { until: now + wait };
        neighbour.lost = now;
        Some(Lost { addr, wait, met: neighbour.met })
    }

    /// Puts an address off without blame: we need not talk to it now.
    pub fn put_off(&mut self, addr: SocketAddr, wait: Span, now: Time) {
        if let Some(neighbour) = self.known.get_mut(&addr) {
            neighbour.reach = Reach::Away { until: now + wait };
            neighbour.lost = now;
        }
    }

    /// How many are away or were never reached.
    pub fn unreached(&self) -> u32 {
        self.known.values().filter(|n| matches!(n.reach, Reach::Away { .. })).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    #[test]
    fn a_lost_address_is_dialled_again_after_one_two_four_up_to_sixty_seconds() {
        let mut neighbours = Neighbours::default();
        let mut now = Time::ZERO;
        neighbours.got_named(Identity::V2, &[addr(1)], now);
        let mut waits = Vec::new();
        for n in 0..8 {
            assert_eq!(neighbours.due(true, 99, now).len(), 1);
            neighbours.dialled(addr(1), conn(n), now);
            assert!(neighbours.due(true, 99, now).is_empty());
            let wait = neighbours.lost(conn(n), false, now).unwrap().wait;
            waits.push(wait.as_secs());
            assert!(neighbours.due(true, 99, now + wait - Span(1)).is_empty());
            now = now + wait;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn one_who_has_all_offers_itself_five_times_and_again_when_a_tracker_says_so() {
        let (mut neighbours, mut now) = (Neighbours::default().of_v1(true), Time::ZERO);
        let mut dials = Vec::new();
        // They take the connection and end it.
        let refused = |neighbours: &mut Neighbours, now: Time| {
            let due = neighbours.due(false, 99, now);
            for (addr, _) in &due {
                neighbours.dialled(*addr, conn(7), now);
                neighbours.met(*addr, conn(7), now);
                neighbours.lost(conn(7), false, now);
            }
            !due.is_empty()
        };
        neighbours.got_named(Identity::V1, &[addr(1)], now);
        for second in 0..500 {
            now = Time::ZERO + Span::secs(second);
            if refused(&mut neighbours, now) {
                dials.push(second);
            }
        }
        assert_eq!(dials, [0, 1, 3, 7, 15]);
        neighbours.got_named(Identity::V1, &[addr(1)], now);
        assert!(refused(&mut neighbours, now));
        now = now + Span::secs(100);
        assert!(!refused(&mut neighbours, now));
        // Who took something and left has no need of us.
        neighbours.got_named(Identity::V1, &[addr(1)], now);
        neighbours.dialled(addr(1), conn(8), now);
        neighbours.met(addr(1), conn(8), now);
        neighbours.worked(conn(8));
        neighbours.lost(conn(8), false, now);
        assert_eq!(neighbours.due(false, 99, now + Span::secs(100)), []);
    }

    #[test]
    fn an_address_named_under_both_identities_is_met_under_v2() {
        let mut neighbours = Neighbours::default();
        neighbours.got_named(Identity::V1, &[addr(1), addr(2)], Time::ZERO);
        assert_eq!(neighbours.due(true, 99, Time::ZERO), []);
        neighbours.got_named(Identity::V2, &[addr(1)], Time::ZERO);
        neighbours.got_named(Identity::V1, &[addr(1)], Time::ZERO);
        assert_eq!(neighbours.due(true, 99, Time::ZERO), [(addr(1), Identity::V2)]);
        let mut later = neighbours.due(true, 99, Time::ZERO + V1_ALONE);
        later.sort_unstable();
        assert_eq!(later, [(addr(1), Identity::V2), (addr(2), Identity::V1)]);
    }

    #[test]
    fn an_unnamed_address_is_forgotten_and_the_number_is_bounded() {
        let mut neighbours = Neighbours::default();
        let many: Vec<SocketAddr> = (1..=60_000).map(addr).collect();
        neighbours.got_named(Identity::V2, &many, Time::ZERO);
        assert_eq!(neighbours.known.len(), KNOWN_MAX);
        assert_eq!(neighbours.due(true, 99, Time::ZERO).len(), DIALS_MAX);
        assert!(neighbours.due(true, 99, Time::ZERO + UNNAMED).is_empty());
    }

    #[test]
    fn a_peer_that_is_gone_is_struck_by_address_and_by_origin() {
        let (mut neighbours, now) = (Neighbours::default(), Time::ZERO);
        let (liar, honest) = (PeerId([1; 20]), PeerId([2; 20]));
        neighbours.got_named(Identity::V2, &[addr(1), addr(2)], now);
        for (n, peer_id) in [(1, liar), (2, honest)] {
            neighbours.dialled(addr(n), conn(n.into()), now);
            neighbours.met(addr(n), conn(n.into()), now);
            neighbours.parted(conn(n.into()), (addr(n).ip(), peer_id));
            neighbours.lost(conn(n.into()), false, now);
        }
        assert!(neighbours.strike_gone(conn(1), now));
        assert!(neighbours.is_struck((addr(1), liar), false, now));
        assert!(!neighbours.is_struck((addr(2), honest), false, now));
        let due = |neighbours: &mut Neighbours, at| {
            neighbours.got_named(Identity::V2, &[addr(1), addr(2)], at);
            neighbours.due(true, 99, at).into_iter().map(|(addr, _)| addr).collect::<Vec<_>>()
        };
        assert_eq!(due(&mut neighbours, now + STRUCK - Span(1)), [addr(2)]);
        let mut later = due(&mut neighbours, now + STRUCK);
        later.sort_unstable();
        assert_eq!(later, [addr(1), addr(2)]);
        assert!(!neighbours.is_struck((addr(1), liar), false, now + STRUCK));
    }

    #[test]
    fn who_copies_a_peer_id_shuts_nobody_else_out() {
        let (mut neighbours, now) = (Neighbours::default(), Time::ZERO);
        let copied = PeerId([1; 20]);
        let is_struck =
            |n: &Neighbours, at: &str, out| n.is_struck((at.parse().unwrap(), copied), out, now);
        neighbours.strike(([10, 0, 0, 9].into(), copied), now);
        for dialled in [false, true] {
            assert!(is_struck(&neighbours, "10.0.0.9:5", dialled), "another port is no way out");
            assert!(!is_struck(&neighbours, "10.0.0.1:5", dialled));
        }
        // On one machine: the honest one is known by the port it was dialled at.
        neighbours.got_named(Identity::V2, &["127.0.0.1:6881".parse().unwrap()], now);
        neighbours.strike(([127, 0, 0, 1].into(), copied), now);
        assert!(is_struck(&neighbours, "127.0.0.1:40000", false));
        assert!(!is_struck(&neighbours, "127.0.0.1:6881", true));
    }

    #[test]
    fn those_who_are_gone_are_remembered_up_to_a_number() {
        let mut neighbours = Neighbours::default();
        let origin = (addr(1).ip(), PeerId([3; 20]));
        (0..1_000).for_each(|n| neighbours.parted(conn(n), origin));
        assert_eq!(neighbours.gone.len(), GONE_MAX);
        assert!(!neighbours.strike_gone(conn(5), Time::ZERO), "too long ago");
        assert!(neighbours.strike_gone(conn(999), Time::ZERO));
    }
}
