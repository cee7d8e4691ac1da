//! The number of descriptors the system lets us have.

use crate::core::limits::DESCRIPTORS_MAX;
use crate::core::mark::mark;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept back from connections, where there are enough.
const RESERVED_MAX: u64 = 96;

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

/// How many of them connections may have, with so many kept back for files and everything else.
pub(super) fn for_connections(reserved: Option<u64>) -> usize {
    let limit = raise();
    let reserved = reserved.unwrap_or(RESERVED_MAX.min(limit / 3));
    usize::try_from(limit.saturating_sub(reserved).max(1)).unwrap_or(usize::MAX)
}
