//! What an HTTP tracker answers, bencoded (BEP 3, 7, 23, 24, 48); status 200 even for a failure.

use crate::core::bencode::Writer;
use crate::core::id::{InfoHash, PeerId};
use crate::wire::udp::ScrapeRow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The answer to an announce.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceAnswer {
    pub interval_s: u64,
    pub min_interval_s: u64,
    /// Peers that have all of it, and those that have not.
    pub complete: u32,
    pub incomplete: u32,
    /// Downloads ever completed.
    pub downloaded: u32,
    /// The asker as we see it (BEP 24).
    pub external: IpAddr,
    pub peers: Vec<(SocketAddr, PeerId)>,
    pub form: Form,
}

/// How peers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `peers` of 6 bytes each (BEP 23), `peers6` of 18 (BEP 7).
    Compact,
    /// Dictionaries, with the peer ids or without (BEP 3).
    Dictionaries { ids: bool },
}

impl AnnounceAnswer {
    /// The body; keys ascend, for readers that insist on it.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.begin_dict();
        w.key(b"complete").uint(self.complete.into());
        w.key(b"downloaded").uint(self.downloaded.into());
        w.key(b"external ip");
        match self.external {
            IpAddr::V4(ip) => w.bytes(&ip.octets()),
            IpAddr::V6(ip) => w.bytes(&ip.octets()),
        };
        w.key(b"incomplete").uint(self.incomplete.into());
        w.key(b"interval").uint(self.interval_s);
        w.key(b"min interval").uint(self.min_interval_s);
        match self.form {
            Form::Compact => self.compact(&mut w),
            Form::Dictionaries { ids } => self.dictionaries(ids, &mut w),
        }
        w.end();
        w.finish()
    }

    fn compact(&self, w: &mut Writer) {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (addr, _) in &self.peers {
            match addr.ip() {
                IpAddr::V4(ip) => {
                    v4.extend_from_slice(&ip.octets());
                    v4.extend_from_slice(&addr.port().to_be_bytes());
                }
                IpAddr::V6(ip) => {
                    v6.extend_from_slice(&ip.octets());
                    v6.extend_from_slice(&addr.port().to_be_bytes());
                }
            }
        }
        w.key(b"peers").bytes(&v4);
        if !v6.is_empty() {
            w.key(b"peers6").bytes(&v6);
        }
    }

    fn dictionaries(&self, ids: bool, w: &mut Writer) {
        w.key(b"peers").begin_list();
        for (addr, id) in &self.peers {
            w.begin_dict();
            w.key(b"ip").bytes(addr.ip().to_string().as_bytes());
            if ids {
                w.key(b"peer id").bytes(&id.0);
            }
            w.key(b"port").uint(addr.port().into());
            w.end();
        }
        w.end();
    }
}

/// The answer to a scrape (BEP 48); a hash that was asked for twice is answered once.
pub fn scrape(rows: &BTreeMap<InfoHash, ScrapeRow>, min_interval_s: u64) -> Vec<u8> {
    let mut w = Writer::new();
    w.begin_dict().key(b"files").begin_dict();
    for (hash, row) in rows {
        w.key(&hash.0).begin_dict();
        w.key(b"complete").uint(row.seeders.into());
        w.key(b"downloaded").uint(row.completed.into());
        w.key(b"incomplete").uint(row.leechers.into());
        w.end();
    }
    w.end();
    w.key(b"flags").begin_dict();
    w.key(b"min_request_interval").uint(min_interval_s);
    w.end().end();
    w.finish()
}

/// A request that is refused, and why.
/// A failure that asking again does not change (BEP 31).
pub fn denial(why: &str) -> Vec<u8> {
    let mut w = Writer::new();
    w.begin_dict().key(b"failure reason").bytes(why.as_bytes());
    w.key(b"retry in").bytes(b"never").end();
    w.finish()
}

pub fn failure(why: &str) -> Vec<u8> {
    let mut w = Writer::new();
    w.begin_dict().key(b"failure reason").bytes(why.as_bytes()).end();
    w.finish()
}
