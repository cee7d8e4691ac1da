//! Clients of trackers: announces over UDP and HTTP, the control request, the catalogue over TCP;
//! and the way to hosts by their names.

pub mod approach;
pub mod catalogue;
pub mod control;
pub mod course;
pub mod filter;
pub mod http;
pub mod local;
pub mod name_files;
pub mod resolver;
pub mod session;
pub mod tiers;
pub mod udp;
pub mod whereabouts;

#[cfg(test)]
mod tests;
