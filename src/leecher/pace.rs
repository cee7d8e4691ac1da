//! How fast one source delivers: a smoothed rate and request-to-block time, and what follows from
//! them: how much to have on the way, and when it is late.

use crate::core::limits::{BLOCK_BYTES, REQUESTS_OUT_MAX};
use crate::core::time::{Span, Time};

/// Requests every source that serves has on the way at the least.
pub const DEPTH_MIN: usize = 16;
/// What must be on the way covers so much time beside the round trip: more than the pauses of a
/// busy machine.
const MARGIN: Span = Span::ms(250);
/// A source with a shorter round trip has all it needs on the way with its share of the margin.
const NEAR: Span = Span::ms(5);
/// The rate is measured over no less than this.
const SAMPLE: Span = Span::ms(100);
/// Samples of the rate before it decides about the depth: until then the depth grows by one a
/// block, which doubles it each round trip.
const SAMPLES_YOUNG: u32 = 5;
/// A source that has nothing of ours on the way for so long starts anew.
const PAUSE: Span = Span::secs(1);
/// The request-to-block time of a source that has not shown one.
const DELIVERY_UNKNOWN: Span = Span::secs(1);
/// A request is late after so many times the smoothed delivery time, and this beside.
const LATE_TIMES: u64 = 4;
const LATE_FLOOR: Span = Span::secs(2);
/// Not one byte of what is owed for so long is late whatever the promise was.
const SILENT: Span = Span::secs(20);

#[derive(Debug)]
pub struct Pace {
    /// Bytes a second, smoothed.
    rate: u64,
    samples: u32,
    sample_bytes: u64,
    sample_began: Time,
    /// The shortest time from a request to its block: the round trip without queues.
    round_trip: Option<Span>,
    /// From a request to its block, queues included, smoothed.
    delivery: Option<Span>,
    ramp: usize,
    /// When payload came last, or the pace was started.
    heard: Time,
    served: bool,
}

impl Pace {
    pub fn new(now: Time) -> Pace {
        Pace {
            rate: 0,
            samples: 0,
            sample_bytes: 0,
            sample_began: now,
            round_trip: None,
            delivery: None,
            ramp: DEPTH_MIN,
            heard: now,
            served: false,
        }
    }

    /// Requests begin to go out after a pause: what was measured before says little.
    pub fn restart(&mut self, now: Time) {
        let delivery = self.delivery;
        *self = Pace { delivery, ..Pace::new(now) };
    }

    /// Requests are about to go out while nothing is on the way.
    pub fn resume(&mut self, now: Time) {
        if now.since(self.heard.max(self.sample_began)) > PAUSE {
            self.restart(now);
        } else if self.sample_bytes == 0 {
            self.sample_began = now;
        }
    }

    /// Whether a block came since it was started.
    pub fn served(&self) -> bool {
        self.served
    }

    pub fn got_bytes(&mut self, now: Time) {
        self.heard = now;
    }

    /// A block of `bytes` came whole, asked for at `asked`.
    pub fn got_block(&mut self, asked: Option<Time>, bytes: u32, now: Time) {
        self.served = true;
        self.ramp = (self.ramp + 1).min(REQUESTS_OUT_MAX);
        self.sample_bytes += u64::from(bytes);
        let elapsed = now.since(self.sample_began);
        if elapsed >= SAMPLE {
            let sample = u128::from(self.sample_bytes) * 1_000_000_000 / u128::from(elapsed.0);
            let sample = u64::try_from(sample).unwrap_or(u64::MAX) / 10;
            self.rate =
                if self.samples == 0 { sample * 10 } else { self.rate / 10 * 7 + sample * 3 };
            self.samples = self.samples.saturating_add(1);
            (self.sample_bytes, self.sample_began) = (0, now);
        }
        let Some(took) = asked.map(|asked| now.since(asked)) else { return };
        self.round_trip = Some(self.round_trip.map_or(took, |shortest| shortest.min(took)));
        // Slowness shows at once, quickness little by little: a promise is easily broken.
        self.delivery = Some(match self.delivery {
            Some(before) if before > took => Span(before.0 - (before.0 - took.0) / 8),
            Some(before) => Span(before.0 + (took.0 - before.0) / 2),
            None => took,
        });
    }

    /// Requests to have on the way, at most `max`: rate times round trip and, beyond it, a margin
    /// of at most `share` blocks.
    pub fn depth(&self, max: usize, share: usize) -> usize {
        let round_trip = self.round_trip.unwrap_or(DELIVERY_UNKNOWN);
        let depth = match self.samples >= SAMPLES_YOUNG {
            false if round_trip < NEAR => self.ramp.min(share),
            false => self.ramp,
            true => self.blocks_in(round_trip).saturating_add(self.blocks_in(MARGIN).min(share)),
        };
        depth.max(DEPTH_MIN).min(max)
    }

    /// Blocks that come in so much time at its rate.
    fn blocks_in(&self, time: Span) -> usize {
        let bytes = u128::from(self.rate) * u128::from(time.0) / 1_000_000_000;
        usize::try_from(bytes / u128::from(BLOCK_BYTES)).unwrap_or(REQUESTS_OUT_MAX)
    }

    /// How long it will take for `blocks` at its rate.
    pub fn time_for(&self, blocks: usize) -> Span {
        let bytes = (blocks as u64).saturating_mul(u64::from(BLOCK_BYTES));
        match self.rate {
            0 => self.delivery().times(2),
            rate => Span::ms(bytes.saturating_mul(1000) / rate),
        }
    }

    /// From a request to its block, queues included, as it is to be expected.
    pub fn delivery(&self) -> Span {
        self.delivery.unwrap_or(DELIVERY_UNKNOWN)
    }

    /// Whether the oldest request, of `asked`, should have been answered long ago.
    pub fn is_overdue(&self, asked: Time, now: Time) -> bool {
        let promised = asked + self.delivery().times(LATE_TIMES) + LATE_FLOOR;
        now > promised || now.since(asked.max(self.heard)) > SILENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source of that rate and round trip, asked for as much as the pace says; the depth after
    /// each block.
    fn play(rate: u64, round_trip: Span, blocks: usize) -> Vec<usize> {
        let mut pace = Pace::new(Time::ZERO);
        let mut asked = std::collections::VecDeque::new();
        let (mut now, mut free_at, mut depths) = (Time::ZERO, Time::ZERO, Vec::new());
        while depths.len() < blocks {
            while asked.len() < pace.depth(REQUESTS_OUT_MAX, REQUESTS_OUT_MAX) {
                asked.push_back(now);
            }
            let of = asked.pop_front().unwrap();
            let ready = (of + round_trip).max(free_at);
            free_at = ready + Span::us(u64::from(BLOCK_BYTES) * 1_000_000 / rate);
            now = free_at.max(now);
            assert!(!pace.is_overdue(of, now), "late at {now:?}");
            pace.got_bytes(now);
            pace.got_block(Some(of), BLOCK_BYTES, now);
            depths.push(pace.depth(REQUESTS_OUT_MAX, REQUESTS_OUT_MAX));
        }
        depths
    }

    #[test]
    fn the_depth_follows_rate_times_round_trip() {
        for (rate, ms, least, most) in [
            (1_000_000, 10, DEPTH_MIN, 20),
            (10_000_000, 50, 160, 200),
            (3_000_000, 200, 75, 95),
            (100_000, 100, DEPTH_MIN, DEPTH_MIN),
            (1_000_000_000, 1, REQUESTS_OUT_MAX, REQUESTS_OUT_MAX),
        ] {
            let depths = play(rate, Span::ms(ms), 4_000);
            let last = *depths.last().unwrap();
            assert!((least..=most).contains(&last), "{rate} B/s, {ms} ms: {last}");
        }
    }

    #[test]
    fn a_fast_source_has_all_it_may_have_after_a_few_round_trips() {
        let depths = play(1_000_000_000, Span::ms(1), 300);
        assert_eq!(depths[0], DEPTH_MIN + 1);
        assert_eq!(depths[REQUESTS_OUT_MAX - DEPTH_MIN], REQUESTS_OUT_MAX);
    }

    #[test]
    fn late_is_much_later_than_the_source_used_to_be_or_silent_for_long() {
        let mut pace = Pace::new(Time::ZERO);
        let at = |ms| Time::ZERO + Span::ms(ms);
        assert!(!pace.is_overdue(at(0), at(6_000)));
        assert!(pace.is_overdue(at(0), at(6_001)), "nothing was ever shown");
        for n in 0..100 {
            pace.got_block(Some(at(100 * n)), BLOCK_BYTES, at(100 * n + 100));
        }
        assert!(!pace.is_overdue(at(10_000), at(12_000)));
        assert!(pace.is_overdue(at(10_000), at(12_500)));
        let slow = Pace { delivery: Some(Span::secs(30)), ..Pace::new(at(0)) };
        assert!(!slow.is_overdue(at(0), at(20_000)));
        assert!(slow.is_overdue(at(0), at(20_001)));
    }

    #[test]
    fn a_share_bounds_what_waits_and_not_what_the_round_trip_needs() {
        // 32 MB a second: two blocks in the near round trip, 195 in the far one, and 32 as share.
        for (round_trip, least, most) in [(Span::ms(1), 32, 36), (Span::ms(100), 220, 235)] {
            let mut pace = Pace::new(Time::ZERO);
            let blocks = (0..4_000).map(|n| Time::ZERO + Span::us(512 * n));
            blocks.for_each(|asked| pace.got_block(Some(asked), BLOCK_BYTES, asked + round_trip));
            let depth = pace.depth(REQUESTS_OUT_MAX, 32);
            assert!((least..=most).contains(&depth), "{depth} at {round_trip:?}");
        }
    }
}
