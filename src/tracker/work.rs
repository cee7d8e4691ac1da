//! How much the TCP side may do before datagrams have their turn again.

/// Steps of one turn: a quarter of a millisecond. A step is a tenth of a microsecond, roughly.
pub const TURN_STEPS: u64 = 2_048;
/// What any request takes.
pub const REQUEST_STEPS: u64 = 64;
/// Bytes of a request that are read and checked in one step.
pub const REQUEST_BYTES_A_STEP: u64 = 256;
/// Writing one entry of a list.
pub const ENTRY_STEPS: u64 = 4;
/// Requests a connection from a public address may spend at once, and what it gets back per second.
/// Beyond, it waits.
pub const REQUESTS_BURST: u32 = 400;
pub const REQUESTS_PER_S: u32 = 200;
/// The same for loopback and private addresses.
pub const NEAR_REQUESTS_BURST: u32 = 40_000;
pub const NEAR_REQUESTS_PER_S: u32 = 20_000;

/// What is left of a turn. It may be overdrawn by one request.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    left: u64,
}

impl Default for Work {
    fn default() -> Work {
        Work { left: TURN_STEPS }
    }
}

impl Work {
    /// A new turn.
    pub fn refill(&mut self) {
        self.left = TURN_STEPS;
    }

    pub fn is_left(&self) -> bool {
        self.left > 0
    }

    pub fn spend(&mut self, steps: u64) {
        self.left = self.left.saturating_sub(steps);
    }
}
