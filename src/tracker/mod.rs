//! The tracker role.

pub mod clock;
pub mod connection_id;
pub mod interval;
pub mod mac;
pub mod pairs;
pub mod plan;
pub mod swarm;
pub mod swarms;
pub mod ticket;
