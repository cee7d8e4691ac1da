//! The node role: seeder or leecher.

mod check;
mod hashing;
mod lobby;
mod memory;
pub mod plan;
