//! How much each taker took, whatever became of its conversations: who takes the content again and
//! again is served when nobody else waits. It is not sent away; it may be installing anew.

use super::queue::Who;
use crate::core::id::PeerId;
use crate::core::network::public_source;
use crate::core::time::{Span, Time};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What anyone may take beyond one and a half times the content before others go first.
const SPARE_BYTES: u64 = 64 << 20;
/// Takers remembered; of more, those that took least are forgotten.
const REMEMBERED_MAX: usize = 1024;
/// A taker that took nothing for so long is forgotten.
const FORGOTTEN: Span = Span::secs(24 * 3600);

/// A public address counts as one taker. Many nodes may share a private or loopback one: there each
/// of them counts by its peer id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Taker {
    Address(IpAddr),
    Node(IpAddr, PeerId),
}

fn taker(who: &Who) -> Taker {
    match public_source(who.ip) {
        Some(source) => Taker::Address(source),
        None => Taker::Node(who.ip, who.peer_id),
    }
}

#[derive(Debug)]
struct Taken {
    bytes: u64,
    last: Time,
}

#[derive(Debug)]
pub struct Takers {
    /// Bytes after which others go first.
    share_bytes: u64,
    taken: BTreeMap<Taker, Taken>,
}

impl Takers {
    pub fn new(content_bytes: u64) -> Takers {
        let half_more = content_bytes.saturating_add(content_bytes / 2);
        Takers { share_bytes: half_more.saturating_add(SPARE_BYTES), taken: BTreeMap::new() }
    }

    pub fn took(&mut self, who: &Who, bytes: u64, now: Time) {
        let taker = taker(who);
        if self.taken.len() >= REMEMBERED_MAX && !self.taken.contains_key(&taker) {
            self.make_room(now);
        }
        let taken = self.taken.entry(taker).or_insert(Taken { bytes: 0, last: now });
        taken.bytes = taken.bytes.saturating_add(bytes);
        taken.last = now;
    }

    /// Whether it took so much that those who did not go first.
    pub fn had_its_share(&self, who: &Who, now: Time) -> bool {
        self.taken.get(&taker(who)).is_some_and(|taken| {
            taken.bytes > self.share_bytes && now.since(taken.last) < FORGOTTEN
        })
    }

    fn make_room(&mut self, now: Time) {
        self.taken.retain(|_, taken| now.since(taken.last) < FORGOTTEN);
        let least = self.taken.iter().min_by_key(|(_, taken)| (taken.bytes, taken.last));
        if self.taken.len() >= REMEMBERED_MAX
            && let Some(least) = least.map(|(taker, _)| *taker)
        {
            self.taken.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: u64 = 150 + SPARE_BYTES;

    fn who(ip: &str, n: u32) -> Who {
        let mut peer_id = PeerId([0; 20]);
        peer_id.0[..4].copy_from_slice(&n.to_be_bytes());
        Who { peer_id, addr: None, ip: ip.parse().unwrap() }
    }

    #[test]
    fn a_public_address_is_one_taker_whatever_it_calls_itself() {
        let mut takers = Takers::new(100);
        takers.took(&who("8.8.8.8", 1), SHARE, Time::ZERO);
        assert!(!takers.had_its_share(&who("8.8.8.8", 1), Time::ZERO), "just its share");
        takers.took(&who("8.8.8.8", 2), 1, Time::ZERO);
        assert!(takers.had_its_share(&who("8.8.8.8", 3), Time::ZERO));
        assert!(!takers.had_its_share(&who("8.8.8.9", 1), Time::ZERO));
        takers.took(&who("2001:db8::1", 1), SHARE + 1, Time::ZERO);
        assert!(takers.had_its_share(&who("2001:db8::2", 1), Time::ZERO), "one /64");
    }

    #[test]
    fn nodes_that_share_a_near_address_are_not_blamed_for_each_other() {
        for near in ["127.0.0.1", "10.0.0.7", "::1", "fd00::1"] {
            let mut takers = Takers::new(100);
            for n in 0..8 {
                takers.took(&who(near, n), SHARE / 2, Time::ZERO);
            }
            assert!((0..8).all(|n| !takers.had_its_share(&who(near, n), Time::ZERO)), "{near}");
            takers.took(&who(near, 3), SHARE, Time::ZERO);
            assert!(takers.had_its_share(&who(near, 3), Time::ZERO), "{near}");
        }
    }

    #[test]
    fn takers_are_bounded_forgotten_after_a_day_and_the_greedy_last_when_there_are_many() {
        let mut takers = Takers::new(100);
        takers.took(&who("8.8.8.8", 0), SHARE + 1, Time::ZERO);
        for n in 0..5_000_u32 {
            takers.took(&who("10.0.0.1", n), 10, Time::ZERO + Span::ms(n.into()));
        }
        assert_eq!(takers.taken.len(), REMEMBERED_MAX);
        let greedy = who("8.8.8.8", 0);
        assert!(takers.had_its_share(&greedy, Time::ZERO + FORGOTTEN - Span(1)));
        assert!(!takers.had_its_share(&greedy, Time::ZERO + FORGOTTEN));
    }
}
