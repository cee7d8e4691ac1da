//! The plan of a torrent: which one it is, and which trackers are asked beside its own.

use super::machine::Machine;
use super::planned::absolute;
use super::typed::Peer;
use crate::content::magnet::Magnet;
use crate::content::metainfo::KeyOrder;
use crate::node::plan::{MagnetPlan, TorrentFrom, TorrentPlan};
use crate::wire::tracker_url::TRACKER_PORT;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Hosts of peers looked up for one magnet link: each may take the name service a while.
const HOSTS_MAX: usize = 16;

/// `seeds`: with a tracker named, the content is published there under its name; a leecher asks
/// that one beside those of the torrent.
pub fn torrent_plan(
    (torrent, order): &(PathBuf, KeyOrder),
    peer: &Peer,
    seeds: bool,
    machine: &Machine,
) -> TorrentPlan {
    with_trackers(TorrentFrom::File(absolute(torrent, machine), *order), peer, seeds)
}

/// As [`torrent_plan`], of a magnet link. The hosts of its peers are looked up here.
pub fn magnet_plan(
    link: &Magnet,
    peer: &Peer,
    resolve: &impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> TorrentPlan {
    let (mut peers, mut names) = (Vec::new(), 0);
    for (host, port) in &link.peers {
        if let Ok(ip) = host.parse() {
            peers.push(SocketAddr::new(ip, *port));
        } else if names < HOSTS_MAX {
            names += 1;
            let found = resolve(host, *port).unwrap_or_default();
            peers.extend(found.iter().find(|at| at.is_ipv4()).or(found.first()));
        }
    }
    let magnet = Box::new(MagnetPlan { link: link.clone(), peers });
    with_trackers(TorrentFrom::Magnet(magnet), peer, false)
}

fn with_trackers(from: TorrentFrom, peer: &Peer, seeds: bool) -> TorrentPlan {
    let named = (peer.tracker_named && !seeds).then(|| {
        let at = peer.tracker.with_port(TRACKER_PORT);
        format!("udp://{at}/announce")
    });
    let listed = seeds && peer.tracker_named;
    let (further, announce_all) = (named.into_iter().collect(), peer.announce_all);
    TorrentPlan { from, further, listed, announce_all }
}
