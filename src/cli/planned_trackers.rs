//! The plan of a torrent: which one it is, and where its trackers are. Hosts are asked of the name
//! service here, before the loop begins, so that nothing in the loop waits for it.

use super::machine::Machine;
use super::planned::absolute;
use super::typed::Peer;
use crate::announce::hosts::Hosts;
use crate::content::magnet::Magnet;
use crate::content::metainfo::Content;
use crate::core::limits::TORRENT_BYTES_MAX;
use crate::node::plan::{MagnetPlan, TorrentFrom, TorrentPlan};
use crate::wire::tracker_url::{self, HostPort, TRACKER_PORT};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Hosts looked up for one torrent: each may take the name service a while.
const HOSTS_MAX: usize = 16;

/// `seeds`: with a tracker named, the content is published there under its name; a leecher asks
/// that one beside those of the torrent.
pub fn torrent_plan(
    torrent: &Path,
    peer: &Peer,
    seeds: bool,
    machine: &Machine,
    resolve: &impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> TorrentPlan {
    let path = absolute(torrent, machine);
    // What cannot be read is told when it is read in earnest.
    let bytes = (machine.load)(&path, TORRENT_BYTES_MAX as u64).unwrap_or_default();
    let urls = Content::outside_of(&bytes).tiers.concat();
    with_trackers(TorrentFrom::File(path), urls, peer, seeds, resolve)
}

/// As [`torrent_plan`], of a magnet link. The hosts of its peers are looked up, too.
pub fn magnet_plan(
    link: &Magnet,
    peer: &Peer,
    resolve: &impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> TorrentPlan {
    let mut hosts = Hosts::new();
    let mut peers = Vec::new();
    for (host, port) in &link.peers {
        let at = HostPort { host: host.clone(), port: Some(*port) };
        if hosts.find(&at, *port).is_none() {
            look_up(&at, &mut hosts, resolve);
        }
        peers.extend(hosts.find(&at, *port));
    }
    let magnet = Box::new(MagnetPlan { link: link.clone(), peers });
    let urls = link.trackers.clone();
    with_trackers(TorrentFrom::Magnet(magnet), urls, peer, false, resolve)
}

fn with_trackers(
    from: TorrentFrom,
    mut urls: Vec<String>,
    peer: &Peer,
    seeds: bool,
    resolve: &impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> TorrentPlan {
    let named = (peer.tracker_named && !seeds).then(|| {
        let at = peer.tracker.with_port(TRACKER_PORT);
        format!("udp://{at}/announce")
    });
    urls.extend(named.clone());
    let mut hosts = Hosts::new();
    for url in urls.iter().filter_map(|url| tracker_url::read(url).ok()) {
        look_up(&url.at, &mut hosts, resolve);
    }
    let listed = seeds && peer.tracker_named;
    TorrentPlan { from, hosts, further: named.into_iter().collect(), listed }
}

fn look_up(
    at: &HostPort,
    hosts: &mut Hosts,
    resolve: &impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
) {
    if hosts.contains(&at.host) || hosts.len() >= HOSTS_MAX {
        return;
    }
    let port = at.port.unwrap_or(TRACKER_PORT);
    let found = resolve(&at.host, port).unwrap_or_default();
    let addresses: Vec<IpAddr> = found.into_iter().map(|addr| addr.ip()).collect();
    hosts.insert(&at.host, addresses);
}
