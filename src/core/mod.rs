//! Floor 0: the words every other room speaks. Pure data and arithmetic, no I/O of any kind.

pub mod bencode;
pub mod chunk;
pub mod cipher;
pub mod crc32c;
pub mod fault;
pub mod files;
pub mod glob;
pub mod id;
pub mod io;
pub mod json;
pub mod limits;
pub mod mac;
pub mod mark;
pub mod meter;
pub mod name;
pub mod network;
pub mod report;
pub mod rng;
pub mod row;
pub mod slots;
pub mod store;
pub mod throttle;
pub mod time;
