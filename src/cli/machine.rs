//! What the command line needs to know of this machine before the loop starts: time, random bytes,
//! environment, addresses, name service. Read once, here.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the one place before the loop that asks the system"
)]

use crate::core::fault::Fatal;
use crate::core::report::Ending;
use crate::reactor;
use nix::net::if_::InterfaceFlags;
use rustix::rand::{GetRandomFlags, getrandom};
use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::io::{IsTerminal, Read};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// Facts of one start.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The working directory, absolute.
    pub directory: PathBuf,
    /// Where state is kept (`docs/files.md`); `None` if the environment names no place.
    pub state: Option<PathBuf>,
    /// Where what can be made again is kept.
    pub cache: Option<PathBuf>,
    /// Addresses of interfaces that are up, loopback and link-local ones left out; IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// Descriptors that the system lets this process have.
    pub descriptors: u64,
    pub wall_start_s: u64,
    pub random: Random,
    /// LMK_TOKEN: a token for the tracker.
    pub token: Option<Secret>,
    /// Reads a file that the command line names, so many bytes of it at the most.
    pub load: fn(&Path, u64) -> std::io::Result<Vec<u8>>,
    /// Whether a path that the command line names is a folder, or leads to one.
    pub is_folder: fn(&Path) -> bool,
    /// Standard error is a terminal that can move its cursor.
    pub terminal_err: bool,
    /// NO_COLOR is set and not empty (no-color.org).
    pub no_color: bool,
    /// A test wants to see a panic; never in a release build.
    pub panics: bool,
}

/// A text of the environment that is never shown.
#[derive(Clone)]
pub struct Secret(pub OsString);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Fresh bytes from the system.
#[derive(Clone, Debug)]
pub struct Random {
    pub secret: [u8; 32],
    pub seed: u64,
    pub peer_id: [u8; 12],
}

impl Machine {
    pub fn look() -> Result<Machine, Fatal> {
        let directory = env::current_dir().map_err(|error| Fatal {
            ending: Ending::Disk,
            line: format!("the working directory is gone ({error}); change to another one"),
        })?;
        let home = absolute("HOME");
        let place = |variable, under: &str| {
            let base = absolute(variable).or_else(|| home.as_ref().map(|home| home.join(under)));
            base.map(|base| base.join("lmk"))
        };
        Ok(Machine {
            directory,
            state: place("XDG_STATE_HOME", ".local/state"),
            cache: place("XDG_CACHE_HOME", ".cache"),
            addresses: addresses(),
            descriptors: reactor::raise_descriptors(),
            wall_start_s: reactor::wall_seconds(),
            random: random()?,
            token: env::var_os("LMK_TOKEN").filter(|value| !value.is_empty()).map(Secret),
            load,
            is_folder: Path::is_dir,
            terminal_err: std::io::stderr().is_terminal()
                && env::var_os("TERM").is_none_or(|term| term != "dumb"),
            no_color: env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            panics: cfg!(debug_assertions) && env::var_os("LMK_PANIC").is_some(),
        })
    }
}

/// The addresses of a host, by the system's resolver.
pub fn resolve(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

fn load(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An XDG variable counts only with an absolute path (XDG base directory specification).
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn addresses() -> Vec<IpAddr> {
    // Without the list everything works; only the line with the addresses for others is poorer.
    let Ok(list) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let up = list.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP));
    let found: BTreeSet<IpAddr> = up.filter_map(|one| usable(&one.address?)).collect();
    found.into_iter().collect()
}

fn usable(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
    let ip = v4.or_else(|| address.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip())))?;
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    (!ip.is_loopback() && !ip.is_unspecified() && !link_local).then_some(ip)
}

fn random() -> Result<Random, Fatal> {
    let mut pool = [0u8; 52];
    let mut filled = 0;
    while filled < pool.len() {
        match getrandom(&mut pool[filled..], GetRandomFlags::empty()) {
            Ok(got) => filled += got,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                let line = format!("the system gives no random bytes ({error})");
                return Err(Fatal { ending: Ending::Internal, line });
            }
        }
    }
    let (mut secret, mut seed, mut peer_id) = ([0; 32], [0; 8], [0; 12]);
    secret.copy_from_slice(&pool[..32]);
    seed.copy_from_slice(&pool[32..40]);
    peer_id.copy_from_slice(&pool[40..]);
    Ok(Random { secret, seed: u64::from_le_bytes(seed), peer_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_looks_share_no_random_bytes() {
        let (a, b) = (Machine::look().unwrap(), Machine::look().unwrap());
        assert_ne!(a.random.secret, b.random.secret);
        assert_ne!(a.random.seed, b.random.seed);
        assert_ne!(a.random.peer_id, b.random.peer_id);
        assert_ne!(a.random.secret[..8], a.random.seed.to_le_bytes());
        assert!(a.directory.is_absolute());
        assert!(a.addresses.iter().all(|ip| !ip.is_loopback()));
    }
}
