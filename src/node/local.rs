//! Peers of the local network (BEP 14): searched for where a content is shared among strangers and
//! is not private (BEP 27), and brought to its swarm, with little trust.

use super::plan::NodePlan;
use super::shared::Shared;
use crate::core::id::{InfoHash, Ticket};
use crate::core::io::{NetError, Outbox};
use crate::core::mark::mark;
use crate::core::report::Event;
use crate::core::time::Time;
use crate::peer::Identity;
use crate::swarm::{Company, Swarm};
use std::net::SocketAddr;

impl NodePlan {
    /// Whether the local network is searched for contents that are not private.
    pub(super) fn searches_locally(&self) -> bool {
        let terms = self.terms();
        terms.local && terms.company == Company::Strangers
    }
}

impl Shared {
    /// The local network is listened to from now on, if the content may be searched for there.
    pub(super) fn open_local(&mut self, private: bool, out: &mut Outbox) {
        if private {
            mark!("A25");
        } else if self.plan.searches_locally() {
            let planned = self.plan.listen.map(|listen| SocketAddr::new(listen.ip, 0));
            self.local.open(self.listens_at.or(planned), out);
        }
    }

    /// Says on the local network what is announced to trackers.
    pub(super) fn search_locally(&mut self, identities: &[(Identity, InfoHash)]) {
        let Some(listens) = self.listens_at else { return };
        let mut identities = identities.to_vec();
        // That of v1 first, which all clients know.
        identities.sort_unstable();
        let info_hashes: Vec<InfoHash> = identities.iter().map(|(_, hash)| *hash).collect();
        self.local.search(&info_hashes, listens);
    }

    /// What came of joining a group.
    pub(super) fn got_joined(
        &mut self,
        ticket: Ticket,
        result: Result<(), NetError>,
        out: &mut Outbox,
    ) {
        let Ok(Some(why)) = self.local.got_joined(ticket, result) else { return };
        let why = match why {
            NetError::Denied => "not allowed for this user".to_owned(),
            NetError::InUse => "its port is in use by another program".to_owned(),
            NetError::NotOurs => "no network for it".to_owned(),
            NetError::Other(errno) => std::io::Error::from_raw_os_error(errno).to_string(),
        };
        let line = format!("the local network is not searched for peers: {why}");
        out.tell(Event::info("no_local", line));
    }

    /// Somebody said something on the local network.
    pub(super) fn got_local(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(found) = self.local.got_datagram(from, bytes, now) else { return };
        let addr = found.addr;
        if let Some(swarm) = &mut self.swarm {
            let known = found.info_hashes.iter().filter_map(|hash| swarm.identity_of(*hash));
            // Under both at once it is met under the better one.
            if let Some(identity) = known.max() {
                swarm.got_nearby(identity, addr, now, out);
            }
        } else if let Some(early) = &mut self.early {
            for info_hash in &found.info_hashes {
                if let Some(identity) = early.identity_of(*info_hash) {
                    early.got_nearby(identity, addr, now, out);
                }
            }
        }
        let line = format!("peer {addr} is on the local network");
        out.tell(Event::detail("found_locally", line).text("peer", addr.to_string()));
    }

    /// A swarm that begins knows who was heard before.
    pub(super) fn tell_heard(&self, swarm: &mut Swarm, now: Time) {
        for (info_hash, addr) in self.local.heard() {
            if let Some(identity) = swarm.identity_of(info_hash) {
                swarm.know_nearby(identity, addr, now);
            }
        }
    }
}
