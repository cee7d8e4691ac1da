//! Floor 1: what the bytes are. Geometry, bitfields, hashes, trees, metainfo, names, magnets.

pub mod bitfield;
pub mod digest;
pub mod error;
pub mod geometry;
pub mod magnet;
pub mod merkle;
pub mod metainfo;
pub mod proof;
