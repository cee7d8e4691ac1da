//! How many conversations about one content there may be, in all and from one address.

use crate::core::limits::{ADDRESS_CONVERSATIONS_MAX, CONVERSATIONS_MAX};
use crate::core::network::public_source;
use crate::peer::Sessions;
use std::net::IpAddr;

/// Whether there is no room for another one with `ip`.
pub fn is_full(sessions: &Sessions, ip: IpAddr) -> bool {
    let Some(source) = public_source(ip) else { return sessions.len() >= CONVERSATIONS_MAX };
    let from_there = sessions.values().filter(|s| public_source(s.remote.ip()) == Some(source));
    sessions.len() >= CONVERSATIONS_MAX || from_there.count() >= ADDRESS_CONVERSATIONS_MAX
}
