//! Clients of a tracker: the UDP announce, the control request, the catalogue over TCP.

pub mod catalogue;
pub mod control;
pub mod course;
pub mod filter;
pub mod hosts;
pub mod http;
pub mod session;
pub mod tiers;
pub mod udp;

#[cfg(test)]
mod tests;
