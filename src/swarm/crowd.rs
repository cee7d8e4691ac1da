//! How many conversations about one content there may be, in all and from one address.

use super::Swarm;
use crate::core::limits::ADDRESS_CONVERSATIONS_MAX;
use crate::core::network::public_source;
use std::net::IpAddr;

impl Swarm {
    /// Whether there is no room for another conversation with `ip`.
    pub(super) fn has_no_room_for(&self, ip: IpAddr) -> bool {
        let is_full = self.sessions.len() >= self.terms.conversations_max;
        let Some(source) = public_source(ip) else { return is_full };
        let remotes = self.sessions.values().map(|session| session.remote.ip());
        let from_there = remotes.filter(|remote| public_source(*remote) == Some(source));
        is_full || from_there.count() >= ADDRESS_CONVERSATIONS_MAX
    }

    /// How many more may be dialled.
    pub(super) fn room(&self) -> usize {
        self.terms.conversations_max.saturating_sub(self.sessions.len() + self.dials.len())
    }
}
