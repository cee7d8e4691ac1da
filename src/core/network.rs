//! Where addresses belong: which limits count for one, and who its neighbours are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that limits per address count for: none for loopback and private sources, where many
/// nodes may share one, the /64 for other IPv6 ones.
pub fn public_source(ip: IpAddr) -> Option<IpAddr> {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let near = v4.is_loopback() || v4.is_private() || v4.is_link_local();
            (!near).then_some(v4.into())
        }
        IpAddr::V6(v6) => {
            let near = v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local();
            let [a, b, c, d, ..] = v6.segments();
            (!near).then_some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
    }
}

/// The network of a public source, of which one party may well hold every address: the /24 (IPv4)
/// or the /64 (IPv6).
pub fn public_network(ip: IpAddr) -> Option<IpAddr> {
    public_source(ip).map(|source| match source {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        v6 => v6,
    })
}

/// Whether one at `ip` is in the local network of a machine that has the addresses `own`: where
/// addresses are public, those of its own small networks are.
pub fn is_near(ip: IpAddr, own: &[IpAddr]) -> bool {
    let Some(network) = public_network(ip) else { return true };
    own.iter().any(|own| public_network(*own) == Some(network))
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
        assert_eq!(of("::ffff:10.1.2.3"), None);
        assert_eq!(of("8.8.8.8").unwrap(), "8.8.8.8");
        assert_eq!(of("2001:db8:1:2:3::4").unwrap(), "2001:db8:1:2::");
    }

    #[test]
    fn near_are_private_addresses_and_those_of_our_own_networks() {
        let own: Vec<IpAddr> =
            ["8.8.4.1", "2001:db8:1:2::1", "10.0.0.1"].map(|text| text.parse().unwrap()).into();
        let near = |text: &str| is_near(text.parse().unwrap(), &own);
        assert!(["10.9.9.9", "fe80::1", "8.8.4.200", "2001:db8:1:2:9::9"].into_iter().all(near));
        assert!(!["8.8.5.1", "2001:db8:1:3::1", "9.9.9.9"].into_iter().any(near));
    }

    #[test]
    fn a_public_network_is_a_24_or_a_64() {
        let of = |text: &str| public_network(text.parse().unwrap()).map(|ip| ip.to_string());
        assert_eq!(of("10.1.2.3"), None);
        assert_eq!(of("8.8.4.9").unwrap(), "8.8.4.0");
        assert_eq!(of("::ffff:8.8.4.9").unwrap(), "8.8.4.0");
        assert_eq!(of("2001:db8:1:2:3::4").unwrap(), "2001:db8:1:2::");
    }
}
