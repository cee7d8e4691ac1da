//! Floor 2: one conversation with one peer: what may be said when, in both directions.

mod conduct;
mod early;
pub mod encryption;
mod greeting;
mod heard;
pub mod saying;
mod session;

pub use early::Early;
pub use encryption::{Encrypting, Encryption};
pub use greeting::Identity;
pub use greeting::Us;
pub use heard::{EarlyHeard, Heard};
pub use session::Session;

use crate::core::id::ConnId;
use std::collections::BTreeMap;

/// The conversations of a swarm, by connection.
pub type Sessions = BTreeMap<ConnId, Session>;
