//! The database: the file itself, and trackers that are killed, refused and filled up over it.

#[path = "../programs/bed.rs"]
#[allow(dead_code)]
mod bed;

mod base;
mod client;
mod file;
mod power;
mod process;
mod same;
