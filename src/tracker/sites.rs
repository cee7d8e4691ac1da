//! Networks by prefix.

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

    /// Bits of the prefix, counted in an IPv6 address.
    pub fn prefix(self) -> u32 {
        self.prefix
    }

    /// The first address, as a number.
    pub fn first(self) -> u128 {
        self.first
    }

    /// The first address of the network of `ip` with such a prefix.
    pub fn first_of(ip: IpAddr, prefix: u32) -> u128 {
        number(ip) & mask(prefix)
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
