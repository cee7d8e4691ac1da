//! The node role: seeder or leecher.

pub mod plan;
