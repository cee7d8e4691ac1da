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

/// What an address means, by whichever way it is reached: IPv6 addresses with an IPv4 one in them
/// (mapped, RFC 4291; translated, RFC 6052; 6to4, RFC 3056) lead to that.
pub fn meant(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let inside = match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] => (a, b),
        // IPv4-compatible: given up, and still understood by some.
        [0, 0, 0, 0, 0, 0, a, b] if a != 0 => (a, b),
        [0x2002, a, b, ..] => (a, b),
        _ => return ip,
    };
    Ipv4Addr::from_bits(u32::from(inside.0) << 16 | u32::from(inside.1)).into()
}

/// Whether everybody in the world means the same machine by an address (the registries of special
/// addresses, RFC 6890). What is no such address may be a machine of our own network.
pub fn is_public(ip: IpAddr) -> bool {
    let special = match meant(ip) {
        IpAddr::V4(v4) => match v4.octets() {
            // Carriers' networks, the protocol's own, and those of benchmarks.
            [100, b, ..] if b & 0xc0 == 64 => true,
            [192, 0, 0, _] | [198, 18 | 19, ..] => true,
            [a, ..] => {
                a == 0 || a >= 224 || v4.is_private() || v4.is_loopback() || v4.is_link_local()
            }
        },
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            let local = v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local();
            let translated = (a, b, c) == (0x64, 0xff9b, 1);
            local || translated || v6.is_multicast() || v6.is_unspecified() || a & 0xffc0 == 0xfec0
        }
    };
    !special
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
    fn addresses_of_networks_of_ones_own_are_not_public_however_they_are_written() {
        let is = |text: &str| is_public(text.parse().unwrap());
        for own in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is(own), "{own}");
        }
        for public in [
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.1.1.1",
            "2001:db8::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(is(public), "{public}");
        }
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
