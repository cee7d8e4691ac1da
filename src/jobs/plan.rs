//! What a job is told at birth.

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
