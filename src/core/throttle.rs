//! A rate that is not exceeded: what was spent is earned again as time passes (the virtual
//! scheduling form of GCRA, ITU-T I.371).

use super::time::{Span, Time};
use std::num::NonZeroU64;

/// Bytes a second; without one there is no limit.
pub type Limit = Option<NonZeroU64>;

/// What may leave at once after a pause: two ticks of a swarm, so that the rate is reached although
/// much is looked after once a tick alone.
const BURST: Span = Span::ms(500);

#[derive(Clone, Copy, Debug, Default)]
pub struct Throttle {
    limit: Limit,
    /// When all that was spent is earned again.
    even: Time,
}

impl Throttle {
    pub fn new(limit: Limit) -> Throttle {
        Throttle { limit, even: Time::ZERO }
    }

    pub fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Whether something may leave now, however much it is: what is more than there was room for is
    /// waited for afterwards. So the lowest rate lets the largest block pass in the end.
    pub fn is_open(&self, now: Time) -> bool {
        self.limit.is_none() || self.even < now + BURST
    }

    /// How many units of so many bytes may leave now.
    pub fn units(&self, unit_bytes: u32, now: Time) -> usize {
        let Some(rate) = self.limit else { return usize::MAX };
        if !self.is_open(now) {
            return 0;
        }
        let earned = u128::from(BURST.0 - self.even.since(now).0.min(BURST.0));
        let bytes = earned * u128::from(rate.get()) / 1_000_000_000;
        usize::try_from(bytes / u128::from(unit_bytes.max(1))).unwrap_or(usize::MAX).max(1)
    }

    pub fn spend(&mut self, bytes: u64, now: Time) {
        self.even = self.even.max(now) + self.earning(bytes);
    }

    /// What was spent was not needed after all.
    pub fn give_back(&mut self, bytes: u64) {
        self.even = self.even - self.earning(bytes);
    }

    /// How long it takes to earn so much.
    fn earning(&self, bytes: u64) -> Span {
        let Some(rate) = self.limit else { return Span::ZERO };
        let ns = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        Span(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u32 = 16 * 1024;

    fn throttle(rate: u64) -> Throttle {
        Throttle::new(NonZeroU64::new(rate))
    }

    /// Bytes that leave in so many seconds when somebody looks every 250 ms.
    fn passed(throttle: &mut Throttle, secs: u64) -> u64 {
        let mut bytes = 0;
        for quarter in 0..secs * 4 {
            let now = Time::ZERO + Span::ms(250).times(quarter);
            // No disk and no network is quicker than this.
            for _ in 0..throttle.units(BLOCK, now).min(1 << 20) {
                throttle.spend(BLOCK.into(), now);
                bytes += u64::from(BLOCK);
            }
        }
        bytes
    }

    #[test]
    fn a_rate_is_reached_and_not_exceeded_by_more_than_a_burst_and_a_block() {
        for rate in [5_000, 16_384, 100_000, 1 << 20, 1 << 30] {
            let bytes = passed(&mut throttle(rate), 100);
            let most = rate * 100 + rate / 2 + u64::from(BLOCK);
            assert!(bytes <= most && bytes + u64::from(BLOCK) >= rate * 98, "{rate}: {bytes}");
        }
    }

    #[test]
    fn the_lowest_rate_never_locks_up_and_the_highest_never_overflows() {
        let mut least = throttle(1);
        least.spend(BLOCK.into(), Time::ZERO);
        let earned = Time::ZERO + Span::secs(BLOCK.into());
        assert!(!least.is_open(Time::ZERO + Span::secs(16_383)));
        assert!(least.is_open(earned) && least.units(BLOCK, earned) == 1);
        for rate in [u64::MAX, 1 << 63, i64::MAX as u64] {
            let mut most = throttle(rate);
            most.spend(u64::MAX, Time::NEVER);
            assert_eq!(most.units(1, Time::ZERO), 0);
            let mut most = throttle(rate);
            most.spend(1 << 40, Time::ZERO);
            assert!(most.is_open(Time::ZERO));
        }
        let mut none = Throttle::default();
        none.spend(u64::MAX, Time::ZERO);
        assert_eq!((none.units(1, Time::ZERO), none.is_limited()), (usize::MAX, false));
    }

    #[test]
    fn what_is_given_back_may_be_spent_again() {
        let mut throttle = throttle(1000);
        throttle.spend(5000, Time::ZERO);
        assert!(!throttle.is_open(Time::ZERO + Span::secs(4)));
        throttle.give_back(5000);
        assert!(throttle.is_open(Time::ZERO));
    }
}
