//! Unix time as the tracker knows it: the wall time at start plus the monotonic time since, so that
//! a clock that is set while the tracker runs changes nothing.

use crate::core::time::Time;

/// Turns moments of this process into Unix seconds.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall_start_s: u64,
}

impl Clock {
    pub fn new(wall_start_s: u64) -> Clock {
        Clock { wall_start_s }
    }

    /// Unix seconds at `now`.
    pub fn unix_s(self, now: Time) -> u64 {
        crate::mark!("B25");
        self.wall_start_s.saturating_add(now.secs())
    }
}
