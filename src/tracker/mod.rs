//! The tracker role.

pub mod clock;
pub mod connection_id;
pub mod counts;
pub mod interval;
pub mod mac;
pub mod metainfo;
pub mod names;
pub mod pairs;
pub mod plan;
pub mod registry;
pub mod source;
pub mod swarm;
pub mod swarms;
pub mod tell;
pub mod ticket;
