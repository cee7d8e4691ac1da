//! Which of the addresses a tracker names are worth a dial. A tracker may be wrong or hostile: it
//! must not make a peer knock on its own machine or send to a group.

use crate::core::network::{is_public, meant, public_source};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// Most peers kept of one answer.
pub const PEERS_PER_ANSWER_MAX: usize = 200;

/// The peers of an answer without doubles and without: port 0, unspecified, multicast and broadcast
/// addresses, those in `own`; loopback unless the tracker is on loopback, link-local unless the
/// tracker is link-local, and any that is not public unless the tracker's is not: who is elsewhere
/// in the world knows nobody in our network. IPv4-mapped addresses become IPv4. At most 200, in the
/// tracker's order.
pub fn keep(peers: &[SocketAddr], tracker: SocketAddr, own: &[SocketAddr]) -> Vec<SocketAddr> {
    let tracker = tracker.ip().to_canonical();
    let own: Vec<SocketAddr> = own.iter().map(canonical).collect();
    let mut seen = BTreeSet::new();
    peers
        .iter()
        .map(canonical)
        .filter(|peer| {
            let fit = peer.port() != 0 && is_dialable(peer.ip(), tracker) && !own.contains(peer);
            if !fit {
                crate::mark!("B16");
            }
            fit
        })
        .filter(|peer| seen.insert(*peer))
        .take(PEERS_PER_ANSWER_MAX)
        .collect()
}

/// The peers that one at `source` told of, as [`keep`] has them. One elsewhere in the world knows
/// nobody in our network, and no peer listens where the services of a machine do: whoever says so
/// wants us to knock there.
pub fn keep_told(peers: &[SocketAddr], source: SocketAddr) -> Vec<SocketAddr> {
    let mut kept = keep(peers, source, &[]);
    if public_source(source.ip()).is_some() {
        let known = kept.len();
        kept.retain(|peer| public_source(peer.ip()).is_some() && peer.port() >= 1024);
        if kept.len() < known {
            crate::mark!("D28");
        }
    }
    kept
}

fn canonical(addr: &SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

fn is_dialable(ip: IpAddr, tracker: IpAddr) -> bool {
    let (ip, tracker) = (meant(ip), meant(tracker));
    is_somebody(ip)
        && (is_public(ip) || !is_public(tracker))
        && (!ip.is_loopback() || tracker.is_loopback())
        && (!is_link_local(ip) || is_link_local(tracker))
}

/// Whether one machine can be meant.
pub fn is_somebody(ip: IpAddr) -> bool {
    let ip = meant(ip);
    let nobody = match ip {
        IpAddr::V4(v4) => v4.octets().starts_with(&[0]) || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unspecified(),
    };
    !nobody && !ip.is_multicast()
}

pub fn is_link_local(ip: IpAddr) -> bool {
    match meant(ip) {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(peers: &[&str], tracker: &str, own: &[&str]) -> Vec<String> {
        let addrs = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let kept = keep(&addrs(peers), tracker.parse().unwrap(), &addrs(own));
        kept.iter().map(|peer| peer.to_string()).collect()
    }

    #[test]
    fn addresses_nobody_can_be_dialled_at_are_dropped() {
        let garbage = [
            "0.0.0.0:80",
            "0.1.2.3:80",
            "255.255.255.255:80",
            "224.0.0.1:80",
            "10.0.0.9:0",
            "[::]:80",
            "[ff02::1]:80",
            "[::ffff:0.0.0.0]:80",
        ];
        let kept = crate::expect_mark!("B16", kept(&garbage, "127.0.0.1:6969", &[]));
        assert!(kept.is_empty());
    }

    #[test]
    fn loopback_and_link_local_need_such_a_tracker() {
        let near = ["127.0.0.1:22", "[::1]:22", "[::ffff:127.0.0.1]:23"];
        assert!(kept(&near, "10.0.0.1:6969", &[]).is_empty());
        assert_eq!(
            kept(&near, "127.0.0.1:6969", &[]),
            ["127.0.0.1:22", "[::1]:22", "127.0.0.1:23"]
        );
        let link = ["169.254.169.254:80", "[fe80::1]:80"];
        assert!(kept(&link, "10.0.0.1:6969", &[]).is_empty());
        assert_eq!(kept(&link, "169.254.1.1:6969", &[]).len(), 2);
    }

    #[test]
    fn a_tracker_elsewhere_knows_nobody_in_our_network() {
        let own = [
            "10.0.0.9:6881",
            "192.168.1.1:6881",
            "100.64.0.9:6881",
            "198.18.0.1:6881",
            "[fd00::1]:6881",
            "[::ffff:10.0.0.9]:6882",
            "[64:ff9b::7f00:1]:6881",
            "[64:ff9b::a00:9]:6881",
        ];
        let public = "9.9.9.9:6881";
        for tracker in ["8.8.8.8:6969", "[2001:db8::1]:6969"] {
            let all = [&own[..], &[public]].concat();
            assert_eq!(crate::expect_mark!("B16", kept(&all, tracker, &[])), [public]);
        }
        // One in our network, or in a carrier's, knows its neighbours and those elsewhere.
        for tracker in ["10.0.0.1:6969", "192.168.7.7:6969", "100.64.0.1:6969", "[fd00::2]:6969"] {
            let near = &[&own[..6], &[public]].concat();
            assert_eq!(kept(near, tracker, &[]).len(), 7, "{tracker}");
            assert!(kept(&own[6..7], tracker, &[]).is_empty(), "loopback in disguise");
        }
    }

    #[test]
    fn a_peer_elsewhere_tells_of_nobody_near_and_of_no_service() {
        let told =
            ["10.0.0.9:6881", "127.0.0.1:6881", "9.9.9.9:22", "9.9.9.9:6881", "[fd00::1]:7000"];
        let told: Vec<SocketAddr> = told.iter().map(|text| text.parse().unwrap()).collect();
        let kept = |source: &str| keep_told(&told, source.parse().unwrap());
        let far = crate::expect_mark!("D28", kept("8.8.8.8:6881"));
        assert_eq!(far, ["9.9.9.9:6881".parse().unwrap()]);
        // One of our own network knows its neighbours.
        assert_eq!(kept("10.0.0.1:5").len(), 4);
        assert_eq!(kept("127.0.0.1:5").len(), 5);
    }

    #[test]
    fn self_and_doubles_are_dropped_and_the_rest_bounded_in_order() {
        let own = ["10.0.0.2:6881"];
        let peers = ["10.0.0.3:1", "[::ffff:10.0.0.2]:6881", "10.0.0.2:6882", "10.0.0.3:1"];
        assert_eq!(kept(&peers, "10.0.0.1:6969", &own), ["10.0.0.3:1", "10.0.0.2:6882"]);

        let many: Vec<SocketAddr> =
            (1..=5000).map(|port| SocketAddr::from(([10, 0, 0, 9], port))).collect();
        let kept = keep(&many, "10.0.0.1:6969".parse().unwrap(), &[]);
        assert_eq!(kept, many[..PEERS_PER_ANSWER_MAX]);
    }
}
