//! Addresses that no tracker named, but a peer (BEP 11, BEP 14): it may have made them up, so few
//! are taken of one source, few of one address, and each is tried rarely.

use super::neighbours::{KNOWN_MAX, Neighbour, Neighbours, Reach};
use crate::core::mark::mark;
use crate::core::network::public_source;
use crate::core::time::{Span, Time};
use crate::peer::Identity;
use std::net::{IpAddr, SocketAddr};

/// Addresses kept of hearsay: half of all, so that those of trackers always have a place, ...
const HEARSAY_MAX: usize = KNOWN_MAX / 2;
/// ... a quarter of them from one source, ...
const SOURCE_MAX: usize = HEARSAY_MAX / 4;
/// ... and so many ports of one public address.
const PORTS_MAX: usize = 4;
/// Dials to one of them in an hour.
const TRIES_MAX: u32 = 3;
/// One that speaks for itself is believed to be there anew, so long after that counted last.
const NEARBY_AGAIN: Span = Span::secs(60);
pub(super) const HOUR: Span = Span::secs(3600);

/// Who said so, and how often it was tried in the hour that began then.
#[derive(Clone, Debug)]
pub(super) struct Hearsay {
    by: IpAddr,
    tries: u32,
    since: Time,
}

impl Hearsay {
    pub fn tried(&mut self, now: Time) {
        if now.since(self.since) >= HOUR {
            (self.tries, self.since) = (0, now);
        }
        self.tries += 1;
    }

    /// Whether it was tried often enough.
    pub fn is_spent(&self, now: Time) -> bool {
        self.tries >= TRIES_MAX && now.since(self.since) < HOUR
    }
}

impl Neighbours {
    /// One at `by` told of these.
    pub fn got_hearsay(&mut self, identity: Identity, addrs: &[SocketAddr], by: IpAddr, now: Time) {
        let by = public_source(by).unwrap_or(by);
        let kept = |of: &dyn Fn(&SocketAddr, &Hearsay) -> bool| {
            let all = self.known.iter().filter_map(|(addr, n)| Some((addr, n.hearsay.as_ref()?)));
            all.filter(|(addr, hearsay)| of(addr, hearsay)).count()
        };
        let mut room = HEARSAY_MAX
            .saturating_sub(kept(&|_, _| true))
            .min(SOURCE_MAX.saturating_sub(kept(&|_, hearsay| hearsay.by == by)))
            .min(KNOWN_MAX.saturating_sub(self.known.len()));
        for addr in addrs {
            if let Some(neighbour) = self.known.get_mut(addr) {
                neighbour.named = now;
                if neighbour.hearsay.is_some() {
                    neighbour.identity = neighbour.identity.max(identity);
                }
                continue;
            }
            let ports = self.known.iter().filter(|(other, n)| {
                n.hearsay.is_some() && other.ip() == addr.ip() && public_source(addr.ip()).is_some()
            });
            if room == 0 || ports.count() >= PORTS_MAX {
                mark!("D28");
                continue;
            }
            room -= 1;
            let mut fresh = Neighbour::new(Reach::Fresh, identity, now);
            fresh.hearsay = Some(Hearsay { by, tries: 0, since: now });
            self.known.insert(*addr, fresh);
        }
    }

    /// One of the local network said itself that it is there (BEP 14).
    pub fn got_nearby(&mut self, identity: Identity, addr: SocketAddr, now: Time) {
        self.got_hearsay(identity, &[addr], addr.ip(), now);
        let hearsay = self.known.get_mut(&addr).and_then(|neighbour| neighbour.hearsay.as_mut());
        if let Some(hearsay) = hearsay.filter(|said| now.since(said.since) >= NEARBY_AGAIN) {
            (hearsay.tries, hearsay.since) = (0, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::ConnId;
    use crate::core::mark::expect_mark;

    fn addr(n: u32) -> SocketAddr {
        SocketAddr::new((0x0909_0000 + n).to_be_bytes().into(), 6881)
    }

    #[test]
    fn one_source_fills_a_quarter_and_all_of_them_half_of_what_is_kept() {
        let (mut neighbours, now) = (Neighbours::default(), Time::ZERO);
        let many: Vec<SocketAddr> = (0..10_000).map(addr).collect();
        let by = |n: u8| IpAddr::from([8, 8, 8, n]);
        expect_mark!("D28", neighbours.got_hearsay(Identity::V1, &many, by(1), now));
        assert_eq!(neighbours.known.len(), SOURCE_MAX);
        neighbours.got_hearsay(Identity::V1, &many, by(1), now);
        assert_eq!(neighbours.known.len(), SOURCE_MAX, "not more for saying it again");
        (2..9).for_each(|n| neighbours.got_hearsay(Identity::V1, &many, by(n), now));
        assert_eq!(neighbours.known.len(), HEARSAY_MAX);
        // A tracker is heard all the same.
        let named: Vec<SocketAddr> = (20_000..20_900).map(addr).collect();
        neighbours.got_named(Identity::V1, &named, now);
        assert_eq!(neighbours.known.len(), HEARSAY_MAX + 900);
    }

    #[test]
    fn one_that_speaks_for_itself_is_tried_again_once_a_minute() {
        let (mut neighbours, mut now) = (Neighbours::default().of_v1(true), Time::ZERO);
        let near: SocketAddr = ([10, 0, 0, 9], 6881).into();
        let mut dials = 0;
        for second in 0..600 {
            // It says so all the time.
            neighbours.got_nearby(Identity::V1, near, now);
            for (addr, _) in neighbours.due(true, 9, now) {
                let conn = ConnId { slot: dials, generation: 0 };
                neighbours.dialled(addr, conn, now);
                neighbours.lost(conn, false, now);
                dials += 1;
            }
            assert!(dials <= TRIES_MAX * (second / 60 + 1), "{dials} in {second} s");
            now = now + Span::secs(1);
        }
        assert!(dials >= 10, "{dials}");
        assert_eq!(neighbours.known.len(), 1);
    }

    #[test]
    fn an_address_has_four_ports_at_the_most_unless_it_is_near() {
        let ports = |ip: [u8; 4]| -> usize {
            let mut neighbours = Neighbours::default();
            let told: Vec<SocketAddr> = (2000..2020).map(|port| (ip, port).into()).collect();
            neighbours.got_hearsay(Identity::V1, &told, [8, 8, 8, 8].into(), Time::ZERO);
            neighbours.known.len()
        };
        assert_eq!((ports([9, 9, 9, 9]), ports([127, 0, 0, 1])), (PORTS_MAX, 20));
    }

    #[test]
    fn it_is_dialled_three_times_an_hour_and_as_any_other_once_a_tracker_names_it() {
        let (mut neighbours, mut now) = (Neighbours::default().of_v1(true), Time::ZERO);
        neighbours.got_hearsay(Identity::V1, &[addr(1)], [8, 8, 8, 8].into(), now);
        let mut dials = Vec::new();
        let tries = |neighbours: &mut Neighbours, now: Time, at: &mut Vec<u64>| {
            for (addr, _) in neighbours.due(true, 9, now) {
                let conn = ConnId { slot: at.len() as u32, generation: 0 };
                neighbours.dialled(addr, conn, now);
                neighbours.lost(conn, false, now);
                at.push(now.secs());
            }
        };
        for _ in 0..7300 {
            neighbours.got_hearsay(Identity::V1, &[addr(1)], [8, 8, 8, 8].into(), now);
            tries(&mut neighbours, now, &mut dials);
            now = now + Span::secs(1);
        }
        assert!((6..=9).contains(&dials.len()), "{dials:?}");
        for hour in dials.windows(4) {
            assert!(hour[3] - hour[0] >= 3590, "{dials:?}");
        }
        neighbours.got_named(Identity::V1, &[addr(1)], now);
        let before = dials.len();
        for _ in 0..600 {
            tries(&mut neighbours, now, &mut dials);
            now = now + Span::secs(1);
        }
        assert!(dials.len() >= before + 5, "{dials:?}");
    }
}
