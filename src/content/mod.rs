//! Floor 1: what the bytes are. Geometry, bitfields, hashes, trees, metainfo, names, magnets.

pub mod bitfield;
pub mod chosen;
pub mod digest;
pub mod error;
pub mod file_list;
pub mod geometry;
pub mod grid;
pub mod magnet;
pub mod merkle;
pub mod metainfo;
pub mod proof;
pub mod trees;
