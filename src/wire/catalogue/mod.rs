//! The catalogue over TCP (`docs/wire.md`), both sides: hello, frames, typed requests and answers.

pub mod answer;
pub mod entry;
pub mod frame;
pub mod hello;
mod keys;
mod part;
pub mod request;
pub mod signature;

/// Message types. An answer has the type of its request with the highest bit set.
pub mod kind {
    pub const PING: u8 = 0;
    pub const PUBLISH: u8 = 1;
    pub const UNPUBLISH: u8 = 2;
    pub const UPDATE: u8 = 3;
    pub const LIST: u8 = 4;
    pub const LOOKUP: u8 = 5;
    pub const FETCH: u8 = 6;
    pub const STAT: u8 = 7;
    /// Answers stream as entries appear, change and go.
    pub const WATCH: u8 = 8;
    /// A node's contents bound to its address at once.
    pub const REGISTER: u8 = 9;
    pub const ANSWER: u8 = 0x80;
    pub const ERROR: u8 = 0xff;
}

/// Error codes: `c` of an ERROR, and the code of a [`crate::core::fault::Refusal`].
pub mod code {
    pub const BAD_REQUEST: u8 = 1;
    pub const UNKNOWN_OP: u8 = 2;
    pub const NOT_FOUND: u8 = 3;
    pub const NAME_TAKEN: u8 = 4;
    pub const HASH_MISMATCH: u8 = 5;
    pub const BAD_NAME: u8 = 6;
    pub const TOO_LARGE: u8 = 7;
    pub const QUOTA: u8 = 8;
    pub const FORBIDDEN: u8 = 9;
    pub const RESYNC: u8 = 10;
    pub const RATE: u8 = 11;
    pub const BUSY: u8 = 12;
    pub const NO_METAINFO: u8 = 13;
    pub const NOT_SEEDING: u8 = 14;
    pub const INTERNAL: u8 = 15;
    pub const BAD_SIGNATURE: u8 = 16;
}

/// Requests a client may have unanswered on one connection.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 32;
/// Most names of one LOOKUP.
pub const LOOKUP_NAMES_MAX: usize = 256;
/// Most names or globs of one WATCH.
pub const WATCH_NAMES_MAX: usize = 256;
/// Most contents of one REGISTER: what a tracker enters in a millisecond or two.
pub const REGISTER_HASHES_MAX: usize = 1024;
/// Most entries of one LIST page.
pub const LIST_PAGE_MAX: u32 = 4096;
/// A LIST page ends after about so many bytes even if its limit allows more entries.
pub const LIST_PAGE_BYTES: usize = 256 * 1024;
/// Most payload of one RAW frame, bytes.
pub const RAW_FRAME_BYTES: usize = 64 * 1024;
/// Longest text of an ERROR, bytes.
pub const ERROR_TEXT_BYTES_MAX: usize = 200;
