//! How many conversations about one content there may be, in all, from one address, and with one
//! peer.

use crate::core::id::ConnId;
use crate::core::limits::{ADDRESS_CONVERSATIONS_MAX, CONVERSATIONS_MAX};
use crate::core::network::public_source;
use crate::core::time::Span;
use crate::peer::Sessions;
use std::net::IpAddr;

/// A conversation that was silent for so long gives way when the same peer comes anew.
const GONE_QUIET: Span = Span::secs(5);

/// Whether there is no room for another one with `ip`.
pub fn is_full(sessions: &Sessions, ip: IpAddr) -> bool {
    let Some(source) = public_source(ip) else { return sessions.len() >= CONVERSATIONS_MAX };
    let from_there = sessions.values().filter(|s| public_source(s.remote.ip()) == Some(source));
    sessions.len() >= CONVERSATIONS_MAX || from_there.count() >= ADDRESS_CONVERSATIONS_MAX
}

/// Of two conversations with one peer, each with whether we dialled it, the one to give up: the
/// side with the greater peer id (`keep_dialled` if that is ours) keeps the one it dialled, so both
/// sides choose the same. `quiet` is how long nothing came of the old one.
pub fn loser(
    keep_dialled: bool,
    (new, new_dialled): (ConnId, bool),
    (old, old_dialled): (ConnId, bool),
    quiet: Span,
) -> ConnId {
    match (new_dialled == keep_dialled, old_dialled == keep_dialled) {
        (true, false) => old,
        // It came back, and what it had before is dead: nothing came of that for a while.
        _ if new_dialled == old_dialled && quiet > GONE_QUIET => old,
        _ => new,
    }
}
