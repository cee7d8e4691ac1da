//! `lmk_state`: what the sender's upload side means for the receiver, in the three states.

use crate::core::bencode::{Limits, Mode, Value, Writer, parse};
use crate::core::report::State;

/// Longest payload written or taken, bytes.
const PAYLOAD_BYTES_MAX: usize = 128;

/// Why a receiver is not served.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Reason {
    /// None given, or one this version does not know.
    #[default]
    None,
    Full,
    Paused,
    ShuttingDown,
    /// The sender reads its file again before it serves it.
    Checking,
    RateLimit,
    /// The sender's file is not what it was: it will never serve it again.
    Gone,
}

/// Payload of `lmk_state`, and the value of `lmk` in an extension handshake. Choke and unchoke stay
/// authoritative: a receiver that sees both trusts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UploadState {
    pub state: State,
    /// Place of the receiver in the queue: 1 = next, 0 = not queued.
    pub queue_position: u32,
    /// Peers in the queue.
    pub queue_len: u32,
    /// Slots free.
    pub free: u32,
    /// Slots in all; 0 with `free` 0 = not told.
    pub total: u32,
    /// Wait that the sender expects, seconds; 0 = not told.
    pub wait_s: u32,
    pub reason: Reason,
}

impl UploadState {
    /// A state with nothing else told.
    pub const fn new(state: State) -> UploadState {
        UploadState {
            state,
            queue_position: 0,
            queue_len: 0,
            free: 0,
            total: 0,
            wait_s: 0,
            reason: Reason::None,
        }
    }

    /// The payload, at most 128 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.write(&mut out, false);
        out.finish()
    }

    /// `None`: a bad message, to be ignored.
    pub fn decode(payload: &[u8]) -> Option<UploadState> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return None;
        }
        let doc = parse(payload, Mode::Tolerant, Limits::MESSAGE).ok()?;
        UploadState::read(doc.root())
    }

    /// The dictionary; within an extension handshake it carries its version and always `q`.
    pub(super) fn write(&self, out: &mut Writer, in_handshake: bool) {
        out.begin_dict();
        let mut pair = |key: &[u8], value: u32, told: bool| {
            if told {
                out.key(key).uint(u64::from(value));
            }
        };
        let slots = self.total > 0 || self.free > 0;
        let unavailable = self.state == State::Unavailable;
        let queue = in_handshake || unavailable || self.queue_position > 0;
        pair(b"f", self.free, slots);
        pair(b"n", self.queue_len, self.queue_len > 0);
        pair(b"q", self.queue_position, queue);
        pair(b"r", self.reason.number(), self.reason != Reason::None);
        pair(b"s", state_number(self.state), true);
        pair(b"t", self.total, slots);
        pair(b"v", 1, in_handshake);
        pair(b"w", self.wait_s, self.wait_s > 0);
        out.end();
    }

    pub(super) fn read(dict: Value) -> Option<UploadState> {
        let number = |key: &[u8]| match dict.get(key) {
            None => Some(0),
            Some(value) => u32::try_from(value.uint()?).ok(),
        };
        Some(UploadState {
            state: state_of(dict.get(b"s")?.uint()?)?,
            queue_position: number(b"q")?,
            queue_len: number(b"n")?,
            free: number(b"f")?,
            total: number(b"t")?,
            wait_s: number(b"w")?,
            reason: Reason::of(number(b"r")?),
        })
    }
}

fn state_number(state: State) -> u32 {
    match state {
        State::Available => 0,
        State::Connected => 1,
        State::Unavailable => 2,
    }
}

fn state_of(number: u64) -> Option<State> {
    match number {
        0 => Some(State::Available),
        1 => Some(State::Connected),
        2 => Some(State::Unavailable),
        _ => None,
    }
}

impl Reason {
    fn number(self) -> u32 {
        match self {
            Reason::None => 0,
            Reason::Full => 1,
            Reason::Paused => 2,
            Reason::ShuttingDown => 3,
            Reason::Checking => 4,
            Reason::RateLimit => 5,
            Reason::Gone => 6,
        }
    }

    fn of(number: u32) -> Reason {
        match number {
            1 => Reason::Full,
            2 => Reason::Paused,
            3 => Reason::ShuttingDown,
            4 => Reason::Checking,
            5 => Reason::RateLimit,
            6 => Reason::Gone,
            _ => Reason::None,
        }
    }
}
