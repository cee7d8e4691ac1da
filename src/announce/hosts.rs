//! Addresses of hosts that were asked of the name service before the loop began.

use crate::wire::tracker_url::HostPort;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Addresses by host name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hosts(BTreeMap<String, Vec<IpAddr>>);

impl Hosts {
    pub fn new() -> Hosts {
        Hosts::default()
    }

    pub fn insert(&mut self, host: &str, addresses: Vec<IpAddr>) {
        self.0.insert(host.to_owned(), addresses);
    }

    pub fn contains(&self, host: &str) -> bool {
        self.0.contains_key(host)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a host is, by IPv4 if it has both families; a number is itself.
    pub fn find(&self, at: &HostPort, port_default: u16) -> Option<SocketAddr> {
        let port = at.port.unwrap_or(port_default);
        let ip = match at.host.parse() {
            Ok(ip) => ip,
            Err(_) => {
                let found = self.0.get(&at.host)?;
                *found.iter().find(|ip| ip.is_ipv4()).or(found.first())?
            }
        };
        Some(SocketAddr::new(ip, port))
    }

    /// Whether everything that was found is IPv6.
    pub fn is_ipv6_only(&self) -> bool {
        let mut all = self.0.values().flatten().peekable();
        all.peek().is_some() && all.all(IpAddr::is_ipv6)
    }
}
