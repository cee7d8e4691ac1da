//! Where requests come from: which limits count for an address, and whom we never answer.

pub use crate::core::network::public_source;
use std::net::{IpAddr, SocketAddr};

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
