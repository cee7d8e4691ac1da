//! The files that say how this machine finds hosts: `/etc/hosts` (hosts(5)) and `/etc/resolv.conf`
//! (resolv.conf(5)). What cannot be read in them is passed over, as the system does.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Most bytes of either file that are read.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Name servers and domains that are used, as the C library does.
const SERVERS_MAX: usize = 3;
const DOMAINS_MAX: usize = 6;
const PORT: u16 = 53;

/// Where the files are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameFiles {
    pub hosts: PathBuf,
    pub servers: PathBuf,
}

impl Default for NameFiles {
    fn default() -> NameFiles {
        NameFiles { hosts: "/etc/hosts".into(), servers: "/etc/resolv.conf".into() }
    }
}

/// Addresses by name in lower case.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostsFile(BTreeMap<String, Vec<IpAddr>>);

impl HostsFile {
    pub fn read(text: &[u8]) -> HostsFile {
        let mut hosts: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for line in String::from_utf8_lossy(text).lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
                continue;
            };
            for name in words {
                hosts.entry(name.to_ascii_lowercase()).or_default().push(ip);
            }
        }
        HostsFile(hosts)
    }

    pub fn find(&self, host: &str) -> Option<&Vec<IpAddr>> {
        self.0.get(host)
    }
}

/// Whom to ask, and under which names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Servers {
    pub servers: Vec<SocketAddr>,
    domains: Vec<String>,
    /// A name with so many dots is asked for as it is.
    dots: usize,
}

impl Default for Servers {
    /// Without a file the name server is on this machine.
    fn default() -> Servers {
        let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT);
        Servers { servers: vec![local], domains: Vec::new(), dots: 1 }
    }
}

impl Servers {
    /// A server may have a port: `[127.0.0.1]:5353`, as in OpenBSD.
    pub fn read(text: &[u8]) -> Servers {
        let (mut servers, mut domains, mut dots) = (Vec::new(), Vec::new(), 1);
        for line in String::from_utf8_lossy(text).lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => servers.extend(words.next().and_then(server)),
                Some("search" | "domain") => {
                    domains = words.map(|word| word.trim_matches('.').to_owned()).collect();
                }
                Some("options") => {
                    let mut said =
                        words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    dots = said.next_back().unwrap_or(dots);
                }
                _ => {}
            }
        }
        servers.truncate(SERVERS_MAX);
        domains.retain(|domain| !domain.is_empty());
        domains.truncate(DOMAINS_MAX);
        let servers = if servers.is_empty() { Servers::default().servers } else { servers };
        Servers { servers, domains, dots }
    }

    /// The names to ask for, one after the other until one of them is known.
    pub fn names(&self, host: &str) -> Vec<String> {
        let bare = host.trim_end_matches('.').to_owned();
        let absolute = host.ends_with('.') || host.matches('.').count() >= self.dots;
        let domains = self.domains.iter().filter(|_| !absolute);
        let longer = domains.map(|domain| format!("{bare}.{domain}"));
        longer.chain([bare.clone()]).collect()
    }
}

fn server(word: &str) -> Option<SocketAddr> {
    if word.starts_with('[') {
        // Also of an IPv4 address, which has no brackets elsewhere.
        let (ip, port) = word.strip_prefix('[')?.split_once("]:")?;
        return Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?));
    }
    word.parse().ok().map(|ip| SocketAddr::new(ip, PORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_addresses_and_other_names() {
        let text = b"# none\n127.0.0.1 localhost\n\n10.0.0.1\tBox box.lan # box2\nx y\n::1 box\n";
        let hosts = HostsFile::read(text);
        assert_eq!(hosts.find("box").unwrap().len(), 2);
        assert_eq!(hosts.find("box.lan").unwrap()[0].to_string(), "10.0.0.1");
        assert_eq!((hosts.find("box2"), hosts.find("y")), (None, None));
    }

    #[test]
    fn servers_and_domains_are_read_as_the_system_reads_them() {
        let text = b"; x\nnameserver 10.0.0.53 # a\nnameserver ::1\nnameserver fe80::1%eth0\n\
            nameserver [127.0.0.1]:5353\nnameserver 10.0.0.54\ndomain old\n\
            search lan. example.org\noptions timeout:1 ndots:2";
        let read = Servers::read(text);
        let servers: Vec<String> = read.servers.iter().map(|at| at.to_string()).collect();
        assert_eq!(servers, ["10.0.0.53:53", "[::1]:53", "127.0.0.1:5353"]);
        assert_eq!(read.names("box"), ["box.lan", "box.example.org", "box"]);
        assert_eq!(read.names("a.b"), ["a.b.lan", "a.b.example.org", "a.b"]);
        assert_eq!(read.names("a.b.c"), ["a.b.c"]);
        assert_eq!(read.names("box."), ["box"]);
        assert_eq!(Servers::read(b"\xff\nnameserver x\n"), Servers::default());
    }
}
