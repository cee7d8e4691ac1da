//! Clients of a tracker: the UDP announce, the control request, the catalogue over TCP.

pub mod catalogue;
pub mod control;
pub mod filter;
pub mod session;
pub mod udp;

#[cfg(test)]
mod tests;
