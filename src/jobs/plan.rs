//! What a job is told at birth.

use crate::core::id::InfoHash;
use std::net::SocketAddr;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobPlan {
    pub ask: Ask,
    /// The tracker, resolved.
    pub tracker: SocketAddr,
    /// The tracker as the user named it, with its port.
    pub tracker_text: String,
    /// Seed for everything that is random and no secret.
    pub seed: u64,
    /// Lines are read by a person, in columns under a head; otherwise each stands for itself.
    pub table: bool,
}

/// What is asked of the tracker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// `lmk ls [GLOB]`: names that fit, all without a glob.
    List { glob: Option<String> },
    /// `lmk info NAME`: all contents of a name.
    Info { name: String },
    /// `lmk status`: how the tracker is doing, and the names that somebody has or wants.
    Status,
}

/// `lmk probe`: talk to a tracker and tell each step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbePlan {
    /// The tracker, resolved.
    pub tracker: SocketAddr,
    /// Scheme, host and port as the user named them; no path, as there may be a token in it.
    pub tracker_text: String,
    pub speech: Speech,
    /// What is announced and scraped.
    pub hash: InfoHash,
    /// Seed for everything that is random and no secret.
    pub seed: u64,
    /// Lines are read by a person; otherwise each stands for itself.
    pub table: bool,
}

/// How a tracker is spoken to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Speech {
    /// BEP 15, with path and query of the URL as BEP 41 has them.
    Udp { url_data: Vec<u8> },
    /// BEP 3: the host as it was named, path of the announce and query of the URL.
    Http { host: String, path: String, query: String },
}
