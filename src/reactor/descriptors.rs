//! The number of descriptors the system lets us have.

use crate::core::limits::DESCRIPTORS_MAX;
use crate::core::mark::mark;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors we may have open now.
pub(super) fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(DESCRIPTORS_MAX)
}

/// Raises the limit as far as the system lets us without privilege. -> the limit from now on.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(DESCRIPTORS_MAX).min(DESCRIPTORS_MAX);
    if current.is_some_and(|current| current < wanted) {
        mark!("F02");
        // Refused: then the limit stays what it is, which `limit` tells.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
    limit()
}
