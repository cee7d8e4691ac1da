//! Messages of peer exchange (BEP 11): which peers the sender met since its last word, and which
//! left.

use crate::core::bencode::{Limits, Mode, Value, Writer, parse};
use std::iter::repeat;
use std::net::{IpAddr, SocketAddr};

/// What is said of a peer that was added, bit by bit.
pub mod flags {
    /// It is complete, or wants nothing (BEP 21).
    pub const SEED: u8 = 0x02;
    /// The sender dialled it: it can be reached.
    pub const REACHABLE: u8 = 0x10;
}

/// Payload of `ut_pex`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerExchange {
    /// With the flags of each; 0 where none were said.
    pub added: Vec<(SocketAddr, u8)>,
    pub dropped: Vec<SocketAddr>,
}

impl PeerExchange {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.begin_dict();
        for (v6, [added, flags]) in [(false, ["added", "added.f"]), (true, ["added6", "added6.f"])]
        {
            let of = || self.added.iter().filter(move |(addr, _)| addr.is_ipv6() == v6);
            if of().next().is_some() {
                let addrs: Vec<u8> = of().flat_map(|(addr, _)| compact(addr)).collect();
                let said: Vec<u8> = of().map(|(_, flags)| *flags).collect();
                out.key(added.as_bytes()).bytes(&addrs);
                out.key(flags.as_bytes()).bytes(&said);
            }
        }
        for (v6, dropped) in [(false, "dropped"), (true, "dropped6")] {
            let of = self.dropped.iter().filter(|addr| addr.is_ipv6() == v6);
            let addrs: Vec<u8> = of.flat_map(compact).collect();
            if !addrs.is_empty() {
                out.key(dropped.as_bytes()).bytes(&addrs);
            }
        }
        out.end();
        out.finish()
    }

    /// `None`: a bad message, to be ignored. A list whose length does not fit is passed over, and
    /// so are flags that do not fit their list.
    pub fn decode(payload: &[u8]) -> Option<PeerExchange> {
        let doc = parse(payload, Mode::Tolerant, Limits::MESSAGE).ok()?;
        let root = doc.root();
        if !root.is_dict() {
            return None;
        }
        let bytes = |key: &str| root.get(key.as_bytes()).and_then(|value: Value| value.bytes());
        let mut told = PeerExchange::default();
        for (v6, [added, flags, dropped]) in
            [(false, ["added", "added.f", "dropped"]), (true, ["added6", "added6.f", "dropped6"])]
        {
            let addrs = addresses(bytes(added).unwrap_or_default(), v6);
            // Flags that do not fit say nothing of anybody.
            let said = bytes(flags).filter(|said| said.len() == addrs.len()).unwrap_or_default();
            told.added.extend(addrs.into_iter().zip(said.iter().copied().chain(repeat(0))));
            told.dropped.extend(addresses(bytes(dropped).unwrap_or_default(), v6));
        }
        Some(told)
    }
}

fn compact(addr: &SocketAddr) -> Vec<u8> {
    let mut bytes = match addr.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.extend_from_slice(&addr.port().to_be_bytes());
    bytes
}

/// Compact addresses; none if they are cut.
fn addresses(bytes: &[u8], v6: bool) -> Vec<SocketAddr> {
    let port = |hi, lo| u16::from_be_bytes([hi, lo]);
    if v6 {
        let (all, rest) = bytes.as_chunks::<18>();
        let one = |[ip @ .., hi, lo]: &[u8; 18]| SocketAddr::new((*ip).into(), port(*hi, *lo));
        return if rest.is_empty() { all.iter().map(one).collect() } else { Vec::new() };
    }
    let (all, rest) = bytes.as_chunks::<6>();
    let one = |[ip @ .., hi, lo]: &[u8; 6]| SocketAddr::new((*ip).into(), port(*hi, *lo));
    if rest.is_empty() { all.iter().map(one).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_stock_clients_say_is_understood() {
        // Recorded on loopback: aria2 says an empty dictionary at the start.
        assert_eq!(PeerExchange::decode(b"de"), Some(PeerExchange::default()));
        let said = b"d5:added6:\x7f\0\0\x01\x1a\xe17:added.f1:\x126:added60:8:added6.f0:e";
        let told = PeerExchange::decode(said).unwrap();
        assert_eq!(told.added, [(addr("127.0.0.1:6881"), flags::SEED | flags::REACHABLE)]);
        // Without flags, as rtorrent says it.
        let told = PeerExchange::decode(b"d5:added6:\x0a\0\0\x01\0\x077:dropped0:e").unwrap();
        assert_eq!(told.added, [(addr("10.0.0.1:7"), 0)]);
    }

    #[test]
    fn a_list_that_does_not_fit_is_passed_over_and_what_is_no_dictionary_ignored() {
        let cut = PeerExchange::decode(b"d5:added7:\x0a\0\0\x01\0\x07\x07e").unwrap();
        assert_eq!(cut, PeerExchange::default());
        let flags = b"d5:added6:\x0a\0\0\x01\0\x077:added.f2:\0\x007:dropped6:\x0a\0\0\x02\0\x08e";
        let told = PeerExchange::decode(flags).unwrap();
        assert_eq!(told.added, [(addr("10.0.0.1:7"), 0)]);
        assert_eq!(told.dropped, [addr("10.0.0.2:8")]);
        for bad in [&b"le"[..], b"i1e", b"d5:added", b"", b"\0"] {
            assert_eq!(PeerExchange::decode(bad), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_said_is_heard(
            v4 in proptest::collection::vec((any::<[u8; 4]>(), any::<u16>(), any::<u8>()), 0..60),
            v6 in proptest::collection::vec((any::<[u8; 16]>(), any::<u16>(), any::<u8>()), 0..9),
        ) {
            let v4 = v4.iter().map(|(ip, port, flags)| ((*ip, *port).into(), *flags));
            let v6 = v6.iter().map(|(ip, port, flags)| ((*ip, *port).into(), *flags));
            let added: Vec<(SocketAddr, u8)> = v4.chain(v6).collect();
            let dropped = added.iter().map(|(addr, _)| *addr).collect();
            let said = PeerExchange { added, dropped };
            prop_assert_eq!(PeerExchange::decode(&said.encode()), Some(said));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = PeerExchange::decode(&bytes);
        }
    }
}
