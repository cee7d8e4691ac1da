//! Lists of who and what is let in or kept out (`--allow`, `--deny`): files of info-hashes and
//! networks, one a line, `#` before a comment.

use crate::core::id::{Hash32, InfoHash};
use crate::core::report::foreign;
use crate::tracker::sites::Network;
use crate::wire::token_keys::bytes_of_hex;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Most bytes of one file: some 400,000 info-hashes.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The lines of one or more files. However long, a question costs a look-up for each length of
/// prefix that occurs.
#[derive(Clone, Debug, Default)]
pub struct List {
    hashes: BTreeSet<InfoHash>,
    /// First addresses by bits of prefix.
    networks: BTreeMap<u32, BTreeSet<u128>>,
}

impl List {
    /// Adds the lines of a file; else the number of the first that is wrong, and what it is.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), (usize, String)> {
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
            if line.is_empty() {
                continue;
            }
            let text = String::from_utf8_lossy(line);
            if let Some(hash) = info_hash(&text) {
                self.hashes.insert(hash);
            } else if let Some(network) = Network::parse(&text) {
                self.networks.entry(network.prefix()).or_default().insert(network.first());
            } else {
                let shown = foreign(&text);
                return Err((number, format!("'{shown}' is no info-hash and no network")));
            }
        }
        Ok(())
    }

    pub fn has_hashes(&self) -> bool {
        !self.hashes.is_empty()
    }

    pub fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }

    pub fn names_hash(&self, hash: InfoHash) -> bool {
        self.hashes.contains(&hash)
    }

    pub fn names_address(&self, ip: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|(prefix, firsts)| firsts.contains(&Network::first_of(ip, *prefix)))
    }
}

/// 40 digits, or 64 of which the swarm is known by the first 40 (BEP 52).
fn info_hash(hex: &str) -> Option<InfoHash> {
    let long = bytes_of_hex(hex).map(|hash| Hash32(hash).truncated());
    bytes_of_hex(hex).map(InfoHash).or(long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(text: &str) -> Result<List, (usize, String)> {
        let mut list = List::default();
        list.read(text.as_bytes()).map(|()| list)
    }

    #[test]
    fn hashes_of_both_lengths_networks_and_comments_are_read() {
        let short = "0b".repeat(20);
        let long = format!("{}{}", "0C".repeat(20), "ff".repeat(12));
        let text =
            format!("# who\n{short} # one\r\n\n  {long}\n10.1.0.0/16\n192.0.2.7\n2001:db8::/32\n");
        let list = list(&text).unwrap();
        assert!(list.names_hash(InfoHash([0x0b; 20])) && list.names_hash(InfoHash([0x0c; 20])));
        assert!(!list.names_hash(InfoHash([0xff; 20])));
        let names = |ip: &str| list.names_address(ip.parse().unwrap());
        assert!(names("10.1.255.9") && names("192.0.2.7") && names("2001:db8:9::1"));
        assert!(names("::ffff:10.1.2.3"), "the same address in its other form");
        assert!(!names("10.2.0.1") && !names("192.0.2.8") && !names("2001:db9::1"));
        assert!(!names("127.0.0.1"));
    }

    #[test]
    fn a_wrong_line_is_named() {
        for bad in ["nonsense", "0b0b", "10.0.0.0/33", "10.0.0.0/x", "::/129", "1.2.3", "\u{ff}"] {
            let (line, what) = list(&format!("# x\n10.0.0.0/8\n{bad}\n")).unwrap_err();
            assert_eq!(line, 3, "{bad}: {what}");
        }
        assert!(list("0.0.0.0/0\n::/0").unwrap().names_address("9.9.9.9".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = List::default().read(&bytes);
        }
    }
}
