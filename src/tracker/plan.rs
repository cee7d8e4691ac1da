//! What a tracker is told at birth: every choice already made, every name resolved.

use super::admission::Bounds;
use super::sites::Network;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackerPlan {
    /// Where to listen, UDP and TCP on the same port. Port 0 = any that is free for both.
    pub bind: SocketAddr,
    /// Addresses of this machine that others may use, loopback left out; for the line that says so.
    pub addresses: Vec<IpAddr>,
    /// Unix seconds at `Time::ZERO`.
    pub wall_start_s: u64,
    /// Seed for everything that is random and no secret.
    pub seed: u64,
    /// 32 fresh bytes from the system for keys, used unless `key_file` already holds some.
    pub secret: [u8; 32],
    /// Where the key for connection ids is kept between runs; `None` = nowhere.
    pub key_file: Option<PathBuf>,
    /// Where names and peers are kept between runs; `None` = in memory alone.
    pub database: Option<Database>,
    /// Seconds a name without a source stays listed (`--keep-names`).
    pub keep_names_s: u64,
    /// Tell of every datagram (`--trace`).
    pub trace: bool,
    /// The most of everything (`--max-peers` and the like).
    pub bounds: Bounds,
    /// Networks whose peers are given to each other first (`--site`).
    pub sites: Vec<(Network, String)>,
}

/// A database file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Database {
    pub path: PathBuf,
    /// It was asked for by name: without it the tracker does not start.
    pub required: bool,
}
