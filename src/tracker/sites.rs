//! Which addresses are near each other: those of one site that the operator named, and those of one
//! small network.

use super::record::Family;
use std::net::IpAddr;

/// A network by its first address and the length of its prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    first: u128,
    /// Bits, counted in an IPv6 address; IPv4 networks stand in `::ffff:0:0/96`.
    prefix: u32,
}

impl Network {
    /// From `10.1.0.0/16`, `fd00:1::/32` or a single address.
    pub fn parse(text: &str) -> Option<Network> {
        let (ip, length) = match text.split_once('/') {
            Some((ip, length)) => (ip, Some(length)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().ok()?;
        let (bits, before) = if ip.is_ipv4() { (32, 96) } else { (128, 0) };
        let length = match length {
            None => bits,
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
            Some(_) => return None,
        };
        if length > bits {
            return None;
        }
        let prefix = before + length;
        Some(Network { first: number(ip) & mask(prefix), prefix })
    }

    pub fn has(&self, ip: IpAddr) -> bool {
        number(ip) & mask(self.prefix) == self.first
    }
}

fn mask(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The sites of `--site CIDR=NAME`. Where networks lie in one another the smaller one counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sites {
    /// Longest prefix first; sites by number.
    networks: Vec<(Network, u16)>,
}

impl Sites {
    pub fn new(named: &[(Network, String)]) -> Sites {
        let mut names: Vec<&str> = Vec::new();
        let mut networks = Vec::new();
        for (network, name) in named {
            let at = names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            networks.push((*network, at as u16));
        }
        networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix));
        Sites { networks }
    }

    /// The site of an address.
    pub fn of(&self, ip: IpAddr) -> Option<u16> {
        self.networks.iter().find(|(network, _)| network.has(ip)).map(|(_, site)| *site)
    }
}

/// What is near an asker.
#[derive(Clone, Copy, Debug)]
pub struct Near<'a> {
    sites: &'a Sites,
    site: Option<u16>,
    subnet: u64,
    /// Bytes of the asker's address.
    bytes: usize,
}

impl<'a> Near<'a> {
    pub fn new(sites: &'a Sites, asker: IpAddr) -> Near<'a> {
        let (subnet, bytes) = match asker {
            IpAddr::V4(ip) => (ip.octets().subnet(), 4),
            IpAddr::V6(ip) => (ip.octets().subnet(), 16),
        };
        Near { sites, site: sites.of(asker), subnet, bytes }
    }

    /// Whether an address lies in the subnet of the asker, a /24 or a /64, or at its site.
    pub fn has_bytes<const N: usize>(&self, ip: &[u8; N]) -> bool
    where
        [u8; N]: Family,
    {
        (N == self.bytes && ip.subnet() == self.subnet)
            || (self.site.is_some() && self.sites.of(ip.ip()) == self.site)
    }

    pub fn has(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.has_bytes(&ip.octets()),
            IpAddr::V6(ip) => self.has_bytes(&ip.octets()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        let has = |network: &str, text: &str| Network::parse(network).unwrap().has(ip(text));
        assert!(has("10.1.0.0/16", "10.1.255.255") && !has("10.1.0.0/16", "10.2.0.0"));
        assert!(has("10.1.7.9/16", "10.1.0.1"), "bits behind the prefix do not count");
        assert!(has("0.0.0.0/0", "9.9.9.9") && !has("0.0.0.0/0", "fd00::1"));
        assert!(has("fd00:1::/32", "fd00:1:2::3") && !has("fd00:1::/32", "fd00:2::"));
        assert!(has("::/0", "fd00::1") && has("10.0.0.1", "10.0.0.1"));
        for wrong in ["", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "10.0.0/8", "x/8", "1.2.3.4/"]
        {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn near_are_the_own_subnet_and_the_own_site() {
        let named = [("10.0.0.0/8", "all"), ("10.1.0.0/16", "left"), ("10.2.0.0/16", "left")];
        let named = named.map(|(text, name)| (Network::parse(text).unwrap(), name.to_owned()));
        let sites = Sites::new(&named);
        let near = |a: &str, b: &str| Near::new(&sites, ip(a)).has(ip(b));
        assert!(near("10.1.0.1", "10.2.9.9"), "one site, two networks");
        assert!(!near("10.1.0.1", "10.3.0.1") && near("10.3.0.1", "10.4.0.1"));
        assert!(near("8.8.8.8", "8.8.8.9") && !near("8.8.8.8", "8.8.9.8"));
        assert!(near("fd00::1", "fd00::2:0:0:1") && !near("fd00::1", "fd00:0:0:1::1"));
        assert!(!near("8.8.8.8", "::808:809"));
    }
}
