//! Where requests come from: which limits count for an address, and whom we never answer.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The address that limits per address count for: none for loopback and private sources, the /64
/// for other IPv6 ones.
pub fn public_source(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(v4) => {
            (!v4.is_loopback() && !v4.is_private() && !v4.is_link_local()).then_some(ip)
        }
        IpAddr::V6(v6) => {
            let near = v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local();
            let [a, b, c, d, ..] = v6.segments();
            (!near).then_some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
    }
}

/// Whether a datagram may come from there at all: something that an answer can reach.
pub fn answerable(from: SocketAddr) -> bool {
    let ip = from.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    from.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// The address under which a peer is handed to an asker. A peer on this machine's loopback is
/// handed as it is to askers on it, and to others under the address at which they reached us: `to`,
/// or one of `ours` where the system did not say. `None` where it cannot be reached.
pub fn handed(peer: SocketAddr, asker: IpAddr, to: IpAddr, ours: &[IpAddr]) -> Option<SocketAddr> {
    if !peer.ip().is_loopback() || asker.is_loopback() {
        return Some(peer);
    }
    let usable = |ip: &IpAddr| {
        !ip.is_loopback() && !ip.is_unspecified() && ip.is_ipv4() == peer.ip().is_ipv4()
    };
    let to = to.to_canonical();
    let ip = Some(to).filter(usable).or_else(|| ours.iter().copied().find(usable))?;
    Some(SocketAddr::new(ip, peer.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_per_address_count_for_the_public_ones_alone() {
        let of = |text: &str| public_source(text.parse().unwrap()).map(|ip| ip.to_string());
        for near in ["127.0.0.1", "10.1.2.3", "192.168.0.9", "172.16.0.1", "::1", "fd00::1"] {
            assert_eq!(of(near), None, "{near}");
        }
        assert_eq!(of("8.8.8.8").unwrap(), "8.8.8.8");
        assert_eq!(of("2001:db8:1:2:3::4").unwrap(), "2001:db8:1:2::");
    }

    #[test]
    fn nobody_is_answered_who_cannot_be_a_peer() {
        let bad = ["1.2.3.4:0", "0.0.0.0:5", "224.0.0.1:5", "255.255.255.255:5", "[ff02::1]:5"];
        for from in bad.iter().chain(&["[::ffff:224.0.0.1]:5"]) {
            assert!(!answerable(from.parse().unwrap()), "{from}");
        }
        assert!(answerable("1.2.3.4:5".parse().unwrap()));
    }

    #[test]
    fn a_loopback_peer_is_handed_under_the_address_that_was_asked() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let peer: SocketAddr = "127.0.0.1:6881".parse().unwrap();
        let of = |asker: &str, to: &str, ours: &[IpAddr]| {
            handed(peer, ip(asker), ip(to), ours).map(|addr| addr.to_string())
        };
        assert_eq!(of("127.0.0.1", "127.0.0.1", &[]).unwrap(), "127.0.0.1:6881");
        assert_eq!(of("10.0.0.7", "10.0.0.1", &[]).unwrap(), "10.0.0.1:6881");
        let ours = [ip("fe80::1"), ip("10.0.0.1")];
        assert_eq!(of("10.0.0.7", "0.0.0.0", &ours).unwrap(), "10.0.0.1:6881");
        assert_eq!(of("10.0.0.7", "0.0.0.0", &[]), None);
        let far: SocketAddr = "10.0.0.9:1".parse().unwrap();
        assert_eq!(handed(far, ip("10.0.0.7"), ip("10.0.0.1"), &[]), Some(far));
    }
}
