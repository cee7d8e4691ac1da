//! Where requests come from: which limits count for an address, and whom we never answer.

use crate::core::network::public_source;
use std::net::{IpAddr, SocketAddr};

/// An address, or a /64 of IPv6, for which limits per address count. IPv4 stands in the range of
/// `::/32`, where no unicast network is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Source(u64);

impl Source {
    pub fn of(ip: IpAddr) -> Source {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Source(u64::from(u32::from(v4))),
            IpAddr::V6(v6) => Source((u128::from(v6) >> 64) as u64),
        }
    }

    /// The source whose limits count: never loopback, and private networks on a `public` tracker
    /// alone.
    pub fn limited(ip: IpAddr, public: bool) -> Option<Source> {
        let counts = match public {
            true => !ip.is_loopback(),
            false => public_source(ip).is_some(),
        };
        counts.then(|| Source::of(ip))
    }

    pub fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
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
    fn a_source_is_an_address_or_a_network_of_64_bits() {
        let of = |text: &str, public| Source::limited(text.parse().unwrap(), public);
        assert_eq!(of("127.0.0.1", true).or(of("::1", true)).or(of("10.0.0.1", false)), None);
        assert_ne!(of("10.0.0.1", true), of("10.0.0.2", true));
        assert_eq!(of("2001:db8::1", false), of("2001:db8::ffff:2", false));
        assert_ne!(of("2001:db8::1", false), of("2001:db8:0:1::1", false));
        assert_eq!(of("::ffff:8.8.8.8", false), of("8.8.8.8", false));
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
