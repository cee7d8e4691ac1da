//! The only place of the crate that reads a clock.

use crate::core::time::Time;
use std::time::{Instant, SystemTime};

/// Time since this clock was made; it never steps back.
#[derive(Debug)]
pub struct Clock {
    born: Instant,
    last: Time,
}

impl Clock {
    /// A clock that stands at zero now.
    pub fn start() -> Clock {
        Clock { born: Instant::now(), last: Time::ZERO }
    }

    /// Nanoseconds since the start, never less than what it said before.
    pub fn now(&mut self) -> Time {
        let ns = Instant::now().saturating_duration_since(self.born).as_nanos();
        self.last = self.last.max(Time(u64::try_from(ns).unwrap_or(u64::MAX)));
        self.last
    }
}

/// Whole seconds of Unix time: for dates that people or other programs read, never for intervals.
/// 0 if the system's date lies before 1970.
pub fn wall_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_forward_and_the_wall_clock_is_in_this_century() {
        let mut clock = Clock::start();
        let mut last = clock.now();
        // Forward within a bound of readings, and never back on the way.
        for _ in 0..10_000_000 {
            let now = clock.now();
            assert!(now >= last);
            if now.0 > 1_000_000 {
                assert!(wall_seconds() > 946_684_800, "before the year 2000");
                return;
            }
            last = now;
        }
        panic!("the clock stands still at {last:?}");
    }
}
