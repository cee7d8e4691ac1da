//! The trackers of a torrent among the ties of a node.

use super::{Tie, Ties};
use crate::announce::resolver::Found;
use crate::announce::tiers::{self, Tiers};
use crate::announce::udp::Stats;
use crate::core::io::Outbox;
use crate::core::time::Time;

impl Ties {
    /// Leaves the tracker alone: only those of a torrent are asked.
    pub fn without_tracker(mut self) -> Ties {
        (self.used, self.wanted) = (false, false);
        self
    }

    /// Whether the tracker is used, and not only those of a torrent.
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// The trackers of a torrent.
    pub fn add_tiers(&mut self, tiers: Tiers) {
        self.tiers = Some(tiers);
    }

    /// Leaves the trackers of the torrent from that tier on (from 0).
    pub fn leave_tiers_from(&mut self, first: usize, stats: Stats, now: Time, out: &mut Outbox) {
        if let Some(tiers) = &mut self.tiers {
            tiers.leave_from(first, stats, now, out);
        }
    }

    /// Whether words of farewell still wait for a connection.
    pub fn is_stopping(&self) -> bool {
        self.tiers.as_ref().is_some_and(Tiers::is_stopping)
    }

    /// Names to look up.
    pub fn take_lookups(&mut self, now: Time) -> Vec<String> {
        self.tiers.as_mut().map(|tiers| tiers.take_lookups(now)).unwrap_or_default()
    }

    /// A name was looked up.
    pub fn got_found(&mut self, found: &Found, now: Time, out: &mut Outbox) {
        if let Some(tiers) = &mut self.tiers {
            tiers.got_found(found, now, out);
        }
        self.hear_tiers();
    }

    /// What the trackers of the torrent brought.
    pub(super) fn hear_tiers(&mut self) {
        for news in self.tiers.as_mut().map(Tiers::take_news).unwrap_or_default() {
            let named = self.told.iter().find(|(_, info_hash)| *info_hash == news.info_hash);
            let identity = named.map(|(identity, _)| *identity);
            if let (Some(identity), tiers::What::Answered { peers, .. }) = (identity, &news.what) {
                self.news.push(Tie::Named { identity, peers: peers.clone() });
            }
            self.news.push(Tie::Heard(news));
        }
    }
}
