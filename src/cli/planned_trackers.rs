//! The plan of a torrent: which one it is, and which trackers are asked beside its own.

use super::machine::Machine;
use super::planned::absolute;
use super::typed::Peer;
use crate::node::plan::TorrentPlan;
use crate::wire::tracker_url::TRACKER_PORT;
use std::path::Path;

/// `seeds`: with a tracker named, the content is published there under its name; a leecher asks
/// that one beside those of the torrent.
pub fn torrent_plan(torrent: &Path, peer: &Peer, seeds: bool, machine: &Machine) -> TorrentPlan {
    let named = (peer.tracker_named && !seeds).then(|| {
        let at = peer.tracker.with_port(TRACKER_PORT);
        format!("udp://{at}/announce")
    });
    let listed = seeds && peer.tracker_named;
    TorrentPlan { path: absolute(torrent, machine), further: named.into_iter().collect(), listed }
}
