//! How many requests one address may send: a token bucket for each, in a table of fixed size. The
//! place in the table is a keyed hash, so that nobody can choose whom they share it with.

use super::source::Source;
use crate::core::limits::{ADDRESS_REQUESTS_PER_S, NEAR_REQUESTS_PER_S};
use crate::core::time::{Span, Time};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::net::IpAddr;

/// Buckets; a power of two.
const BUCKETS: usize = 65_536;
/// A full bucket is worth so many seconds of its rate: 200 requests at 50 a second.
const BURST: Span = Span::secs(4);

#[derive(Debug)]
pub struct Rate {
    key: (u64, u64),
    public: bool,
    /// When each bucket would be full again (generic cell rate algorithm, ITU-T I.371).
    full_at: Vec<Time>,
}

impl Rate {
    pub fn new(key: (u64, u64), public: bool) -> Rate {
        Rate { key, public, full_at: vec![Time::ZERO; BUCKETS] }
    }

    /// Takes a token; false = the address sends too much. Loopback may send what it likes, a
    /// private address much more than others unless the tracker is public.
    pub fn takes(&mut self, now: Time, ip: IpAddr) -> bool {
        if ip.is_loopback() {
            return true;
        }
        let near = Source::limited(ip, self.public).is_none();
        let per_s = if near { NEAR_REQUESTS_PER_S } else { ADDRESS_REQUESTS_PER_S };
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(&Source::of(ip).bytes());
        let bucket = hasher.finish() as usize % BUCKETS;
        let Some(full_at) = self.full_at.get_mut(bucket) else { return true };
        let after = (*full_at).max(now) + Span(1_000_000_000 / per_s);
        let takes = after.since(now) <= BURST;
        if takes {
            *full_at = after;
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_200_and_fills_with_50_a_second() {
        let mut rate = Rate::new((1, 2), false);
        let mut taken = |ms, ip: &str| {
            let ip: IpAddr = ip.parse().unwrap();
            (0..300).filter(|_| rate.takes(Time::ZERO + Span::ms(ms), ip)).count()
        };
        assert_eq!(taken(0, "8.8.8.8"), 200);
        assert_eq!(taken(0, "8.8.4.4"), 200, "others are not touched");
        assert_eq!(taken(1000, "8.8.8.8"), 50);
        assert_eq!(taken(60_000, "8.8.8.8"), 200, "no more than a full bucket");
        assert_eq!(taken(0, "2001:db8::1") + taken(0, "2001:db8::2"), 200, "a /64 is one");
        assert_eq!(taken(0, "127.0.0.1") + taken(0, "10.0.0.1"), 600);
        let mut public = Rate::new((1, 2), true);
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!((0..300).filter(|_| public.takes(Time::ZERO, ip)).count(), 200);
    }
}
