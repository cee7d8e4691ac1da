//! Bytes to meaning and back: the formats of the tracker's and the peers' side, without I/O.

pub mod catalogue;
pub mod control;
pub mod options;
pub mod read;
pub mod udp;
