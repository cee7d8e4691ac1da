//! Bytes a second over the last few seconds: a ring of half-second buckets.

use super::time::{Span, Time};

const BUCKETS: usize = 8;
const BUCKET: Span = Span::ms(500);

/// A rate over at most the last four seconds. A plain value: it is told the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    ring: [u64; BUCKETS],
    /// Index of the bucket `now` falls in, counted since birth.
    at: u64,
    /// First bucket that counts: a young meter is not averaged with the time before it.
    first: u64,
    pub total: u64,
}

impl Meter {
    pub fn new(now: Time) -> Meter {
        let at = now.0 / BUCKET.0;
        Meter { at, first: at, ..Meter::default() }
    }

    pub fn add(&mut self, now: Time, bytes: u64) {
        self.roll(now);
        self.ring[(self.at % BUCKETS as u64) as usize] += bytes;
        self.total += bytes;
    }

    /// When bytes came last, to the bucket.
    pub fn last(&self) -> Option<Time> {
        (self.total > 0).then_some(Time(BUCKET.0 * self.at))
    }

    fn roll(&mut self, now: Time) {
        let at = now.0 / BUCKET.0;
        let steps = at.saturating_sub(self.at).min(BUCKETS as u64);
        for step in 1..=steps {
            self.ring[((at - steps + step) % BUCKETS as u64) as usize] = 0;
        }
        self.at = self.at.max(at);
    }

    /// Bytes a second.
    pub fn rate(&self, now: Time) -> u64 {
        let mut meter = *self;
        meter.roll(now);
        let sum: u64 = meter.ring.iter().sum();
        let age = now.since(Time(BUCKET.0 * self.first)).0.max(BUCKET.0);
        let window = age.min(BUCKET.0 * (BUCKETS as u64 - 1) + now.0 % BUCKET.0);
        (u128::from(sum) * 1_000_000_000 / u128::from(window.max(1))) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_reads_as_its_rate_and_silence_as_zero() {
        let start = Time(0) + Span::secs(100);
        let mut meter = Meter::new(start);
        let mut now = start;
        for _ in 0..1000 {
            now = now + Span::ms(10);
            meter.add(now, 10_000);
        }
        let rate = meter.rate(now);
        assert!((950_000..1_050_000).contains(&rate), "{rate}");
        assert_eq!(meter.rate(now + Span::secs(5)), 0);
        assert_eq!(meter.total, 10_000_000);
    }
}
