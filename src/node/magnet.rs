//! A torrent of which a magnet link is all there is: its trackers are asked and its peers met until
//! they have told what the content is.

use super::plan::MagnetPlan;
use super::shared::Shared;
use super::ties::Tie;
use super::torrent;
use crate::announce::filter;
use crate::announce::tiers::{News, What};
use crate::content::error::MetaError;
use crate::content::metainfo::Content;
use crate::core::fault::Fatal;
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::report::{Ending, Event, bytes_text, foreign};
use crate::core::time::{Span, Time};
use crate::peer::{Identity, Us};
use crate::swarm::magnet::{MagnetSwarm, Topics};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Ports below are those of services that no peer listens on.
const PORT_MIN: u16 = 1024;
/// How long somebody of the local network is waited for when there is nobody else to ask and no
/// time was given: whoever has it hears at once that it is wanted.
const LOCAL_ALONE: Span = Span::secs(15);
/// Peers kept between the end of the search and the begin of the download.
const NAMED_MAX: usize = 2_000;

#[derive(Debug)]
pub struct MagnetSearch {
    plan: Box<MagnetPlan>,
    /// Peers that the link's own trackers named.
    told: BTreeSet<SocketAddr>,
    began: bool,
    timeout: Option<Span>,
    /// The link leads nowhere but to the local network, and nobody was met there that can tell.
    local_alone: bool,
    /// Since when nothing came of what was asked for, and how much had come by then. A peer that
    /// only says that it can tell is no source.
    nothing: Option<Time>,
    arrived: u64,
}

impl MagnetSearch {
    pub fn new(plan: Box<MagnetPlan>, timeout: Option<Span>) -> MagnetSearch {
        let told = BTreeSet::new();
        let (began, local_alone) = (false, false);
        MagnetSearch { plan, told, began, timeout, local_alone, nothing: None, arrived: 0 }
    }

    pub fn deadline(&self) -> Time {
        let timeout = self.timeout.or(self.local_alone.then_some(LOCAL_ALONE)).zip(self.nothing);
        timeout.map_or(Time::NEVER, |(span, since)| since + span)
    }

    pub fn too_late(&self, now: Time) -> Fatal {
        if self.local_alone && self.timeout.is_none() {
            return self.nowhere(", nobody on the local network has it");
        }
        let waited = self.nothing.map_or(Span::ZERO, |since| now.since(since));
        let line = format!("nobody told what {} is within {waited}", self.name());
        Fatal { ending: Ending::NoSource, line }
    }

    /// What is waited for.
    pub fn waiting(&self, shared: &Shared) -> Option<String> {
        let (met, able) = shared.early.as_ref()?.counts();
        Some(match (met, able) {
            (0, _) => format!("nobody has {} now; waiting", self.name()),
            (_, 0) => format!("nobody can tell what {} is now; waiting", self.name()),
            _ => return None,
        })
    }

    fn name(&self) -> String {
        foreign(&self.plan.link.shown_name())
    }

    /// Begins as soon as there is a port to announce, and looks what was learned: the content, once
    /// it is known.
    pub fn learn(
        &mut self,
        shared: &mut Shared,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<Content>, Fatal> {
        if !self.began {
            if shared.listens_at.is_some() {
                self.began = true;
                self.begin(shared, now, out)?;
            }
            return Ok(None);
        }
        let Some(early) = &mut shared.early else { return Ok(None) };
        self.local_alone &= early.counts().1 == 0;
        if self.local_alone && !shared.local.can_search() {
            return Err(self.nowhere(""));
        }
        self.look_at_arrivals(early.arrived(), now);
        let Some(learned) = early.take_learned(now, out) else { return Ok(None) };
        let content = learned.content.map_err(|why| self.refused(why))?;
        self.tell(&content, learned.took, out);
        torrent::say_content(&content, out);
        if let Some(early) = shared.early.take() {
            let (mut peers, struck) = early.into_peers(&content);
            if content.private {
                self.keep_to_link(&mut peers);
                shared.local.close();
                let (own, stats) = (self.plan.link.trackers.len(), shared.stats());
                shared.ties.leave_tiers_from(own, stats, now, out);
            }
            shared.struck = struck;
            shared.named = peers;
        }
        Ok(Some(content))
    }

    /// Time counts from the last thing that came.
    fn look_at_arrivals(&mut self, arrived: u64, now: Time) {
        if arrived != self.arrived {
            (self.arrived, self.nothing) = (arrived, Some(now));
        }
    }

    /// What of the link is not gone by.
    pub fn say_ignored(&self, out: &mut Outbox) {
        if let Some(line) = self.plan.link.ignored.line() {
            out.tell(Event::warning("ignored", line));
        }
    }

    /// News of the trackers. Those of the link are the first tiers.
    pub fn got_tie(&mut self, tie: &Tie) {
        if let Tie::Heard(News { tier, what: What::Answered { peers, .. }, .. }) = tie
            && *tier < self.plan.link.trackers.len()
        {
            let room = NAMED_MAX.saturating_sub(self.told.len());
            self.told.extend(peers.iter().take(room));
        }
    }

    /// A private torrent has no peers but those its own trackers name (BEP 27).
    fn keep_to_link(&self, peers: &mut Vec<(Identity, SocketAddr)>) {
        peers.retain(|(_, addr)| self.told.contains(addr));
    }

    fn begin(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        let link = &self.plan.link;
        let tiers = link.trackers.iter().map(|url| vec![url.clone()]).collect::<Vec<_>>();
        shared.web.add(&link.web_seeds);
        shared.open_local(false, out);
        let can_ask = torrent::take_up_trackers(shared, &tiers, false, out);
        let peers = self.peers_of_link(shared);
        if !can_ask && peers.is_empty() {
            if !shared.local.can_search() {
                return Err(self.nowhere(""));
            }
            self.local_alone = true;
            let wait = self.timeout.unwrap_or(LOCAL_ALONE);
            let line = format!(
                "{}: the link names no tracker that can be asked and no peer; looking for one on \
                 the local network for {wait}",
                self.name()
            );
            out.tell(Event::warning("local_alone", line));
        }
        let us = Us {
            peer_id: shared.plan.peer_id,
            listen_port: shared.port(),
            metadata_bytes: [0; 2],
            exchanges: false,
            upgrade: None,
        };
        let topics = Topics { v1: link.v1, v2: link.v2 };
        let mut early = MagnetSwarm::new(topics, us, &mut shared.rng.fork(0x6d), now);
        early.encrypt(&mut shared.encrypting);
        for (identity, _) in early.identities().collect::<Vec<_>>() {
            early.got_named(identity, &peers, now, out);
        }
        shared.early = Some(early);
        self.nothing = Some(now);
        shared.announce(&[Identity::V2, Identity::V1], now, out);
        Ok(())
    }

    fn nowhere(&self, nobody: &str) -> Fatal {
        let line = format!(
            "{}: the link names no tracker that can be asked and no peer{nobody}, and there is no \
             DHT; name a tracker with --tracker HOST[:PORT]",
            self.name()
        );
        Fatal { ending: Ending::NoSource, line }
    }

    /// The peers that the link names, as far as one may dial those whom anybody may have named.
    /// Those of this machine only where the person named a tracker on it.
    fn peers_of_link(&self, shared: &Shared) -> Vec<SocketAddr> {
        let named = shared.plan.torrent().is_some_and(|torrent| !torrent.further.is_empty());
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let near = if named { shared.plan.tracker } else { nowhere };
        let ours = shared.plan.addresses.iter().chain(&[IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        let own: Vec<_> = ours.map(|ip| SocketAddr::new(*ip, shared.port())).collect();
        let mut peers = filter::keep(&self.plan.peers, near, &own);
        peers.retain(|addr| addr.port() >= PORT_MIN);
        if peers.len() < self.plan.peers.len() {
            mark!("A23");
        }
        peers
    }

    fn refused(&self, why: MetaError) -> Fatal {
        Fatal { ending: Ending::Verification, line: format!("{}: {why}", self.name()) }
    }

    fn tell(&self, content: &Content, took: Span, out: &mut Outbox) {
        let info = |info: Option<&Vec<u8>>| info.map_or(0, |info| info.len() as u64);
        let v1 = info(content.v1.as_ref().map(|v1| &v1.info));
        let v2 = info(content.v2.as_ref().map(|v2| &v2.info));
        let bytes = if content.is_hybrid() { v1 } else { v1 + v2 };
        let line = format!("metadata of {}: {} in {took}", self.name(), bytes_text(bytes));
        out.tell(Event::info("metadata", line).number("bytes", bytes).number("ms", took.as_ms()));
    }
}

impl Shared {
    /// Peers were named while there was no swarm to tell: it will begin soon.
    pub(super) fn keep_named(&mut self, identity: Identity, peers: &[SocketAddr]) {
        let room = NAMED_MAX.saturating_sub(self.named.len());
        self.named.extend(peers.iter().take(room).map(|addr| (identity, *addr)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::magnet::Magnet;
    use crate::core::id::InfoHash;

    fn search() -> MagnetSearch {
        let link = format!("magnet:?xt=urn:btih:{}&tr=udp://one:9", "01".repeat(20));
        let link = Magnet::parse(&link).unwrap();
        let plan = Box::new(MagnetPlan { link, peers: Vec::new() });
        MagnetSearch::new(plan, Some(Span::secs(5)))
    }

    #[test]
    fn a_private_torrent_has_the_peers_of_its_own_trackers_alone() {
        let mut search = search();
        let addr = |n: u8| SocketAddr::from(([10, 0, 0, n], 6881));
        for (tier, peers) in [(0, vec![addr(1), addr(2)]), (1, vec![addr(2), addr(3)])] {
            let (seeders, leechers, interval) = (None, None, Span::secs(60));
            let what = What::Answered { peers, seeders, leechers, interval };
            let (tracker, info_hash) = (String::new(), InfoHash([1; 20]));
            search.got_tie(&Tie::Heard(News { tier, tracker, info_hash, what }));
        }
        let mut peers: Vec<_> = (1..5).map(|n| (Identity::V1, addr(n))).collect();
        search.keep_to_link(&mut peers);
        assert_eq!(peers, [(Identity::V1, addr(1)), (Identity::V1, addr(2))]);
    }

    #[test]
    fn the_timeout_counts_from_the_last_thing_that_came() {
        let mut search = search();
        assert_eq!(search.deadline(), Time::NEVER);
        let at = |second| Time::ZERO + Span::secs(second);
        search.nothing = Some(at(1));
        search.look_at_arrivals(0, at(4));
        assert_eq!(search.deadline(), at(6), "whoever was met: nothing came");
        search.look_at_arrivals(1, at(5));
        search.look_at_arrivals(1, at(9));
        assert_eq!(search.deadline(), at(10));
    }
}
