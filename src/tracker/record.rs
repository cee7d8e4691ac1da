//! One peer of a swarm as it is kept: 50 bytes for IPv4, 62 for IPv6, without padding.

use super::sample::Candidate;
use super::source::Source;
use crate::core::id::PeerId;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Identity of a peer within a swarm: its source address and the port it announced. The id it calls
/// itself by proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PeerKey(SocketAddr);

impl PeerKey {
    /// A mapped address is the IPv4 address that it maps (RFC 4291, section 2.5.5.2).
    pub fn new(addr: SocketAddr) -> PeerKey {
        PeerKey(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
    }

    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }

    pub fn addr(self) -> SocketAddr {
        self.0
    }
}

/// What a peer says of its transfer, bytes. Kept with 48 bits each, saturating: 281 TB.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    pub uploaded: u64,
    pub downloaded: u64,
    /// Bytes missing; `u64::MAX` = unknown, and so is what is too much to keep.
    pub left: u64,
}

/// A peer as others see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    pub key: PeerKey,
    pub id: PeerId,
    pub complete: bool,
}

/// A peer as an earlier run knew it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastKnown {
    pub peer: Peer,
    pub progress: Progress,
    /// Unix second of its last announce.
    pub heard_s: u32,
}

/// Announces after which a peer keeps its place in a full swarm.
pub const SETTLED: u8 = 3;
/// Longest time without an announce that a record can hold, seconds.
pub const LIFETIME_S_MAX: u64 = 4095;

/// A peer in a swarm whose addresses have `N` bytes. All fields are bytes, big-endian: this is also
/// how a peer stands in a packed swarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<const N: usize> {
    ip: [u8; N],
    port: [u8; 2],
    id: [u8; 20],
    uploaded: [u8; 6],
    downloaded: [u8; 6],
    left: [u8; 6],
    /// Unix second of the last announce.
    heard_s: [u8; 4],
    /// From the top: 12 bits lifetime in seconds, one bit whether its completion was counted (or it
    /// came complete: either way there is none to count), one bit unused, two bits how many
    /// announces were heard, up to [`SETTLED`].
    rest: [u8; 2],
}

/// An address with `N` bytes: 4 or 16.
pub trait Family {
    /// The small network that the address lies in, a /24 or a /64.
    fn subnet(&self) -> u64;
    fn ip(&self) -> IpAddr;
}

impl Family for [u8; 4] {
    fn subnet(&self) -> u64 {
        u64::from(u32::from_be_bytes(*self) >> 8)
    }
    fn ip(&self) -> IpAddr {
        IpAddr::from(*self)
    }
}

impl Family for [u8; 16] {
    fn subnet(&self) -> u64 {
        (u128::from_be_bytes(*self) >> 64) as u64
    }
    fn ip(&self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(*self))
    }
}

/// One announce of a peer, as it is entered.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub id: PeerId,
    pub progress: Progress,
    /// Unix second.
    pub now_s: u32,
    /// Seconds until it is over without another.
    pub lifetime_s: u16,
}

const COUNTED: u16 = 8;
const HEARD: u16 = 3;

impl<const N: usize> Record<N>
where
    [u8; N]: Family,
{
    /// Bytes of a record, also in a packed swarm.
    pub const BYTES: usize = N + 46;

    /// A peer that announces for the first time.
    pub fn new(ip: [u8; N], port: u16, entry: &Entry) -> Record<N> {
        let mut record = Record {
            ip,
            port: port.to_be_bytes(),
            id: [0; 20],
            uploaded: [0; 6],
            downloaded: [0; 6],
            left: [0; 6],
            heard_s: [0; 4],
            rest: [0; 2],
        };
        record.enter(entry);
        record.set_counted(record.complete());
        record
    }

    /// A further announce.
    pub fn enter(&mut self, entry: &Entry) {
        self.id = entry.id.0;
        self.uploaded = short(entry.progress.uploaded);
        self.downloaded = short(entry.progress.downloaded);
        self.left = short(entry.progress.left);
        self.heard_s = entry.now_s.to_be_bytes();
        let heard = (self.heard() + 1).min(SETTLED);
        let lifetime = entry.lifetime_s.min(LIFETIME_S_MAX as u16);
        self.rest = (lifetime << 4 | self.rest() & COUNTED | u16::from(heard)).to_be_bytes();
    }

    fn rest(&self) -> u16 {
        u16::from_be_bytes(self.rest)
    }

    pub fn is(&self, ip: &[u8; N], port: [u8; 2]) -> bool {
        self.port == port && self.ip == *ip
    }

    pub fn ip_bytes(&self) -> &[u8; N] {
        &self.ip
    }

    pub fn port_bytes(&self) -> [u8; 2] {
        self.port
    }

    pub fn id_bytes(&self) -> &[u8; 20] {
        &self.id
    }

    pub fn candidate(&self) -> Candidate<'_> {
        let complete = self.complete();
        Candidate { ip: &self.ip, port: self.port, id: &self.id, complete }
    }

    pub fn id(&self) -> PeerId {
        PeerId(self.id)
    }

    pub fn key(&self) -> PeerKey {
        PeerKey(SocketAddr::new(self.ip.ip(), u16::from_be_bytes(self.port)))
    }

    pub fn source(&self, public: bool) -> Option<Source> {
        Source::limited(self.ip.ip(), public)
    }

    pub fn complete(&self) -> bool {
        self.left == [0; 6]
    }

    pub fn peer(&self) -> Peer {
        Peer { key: self.key(), id: self.id(), complete: self.complete() }
    }

    pub fn progress(&self) -> Progress {
        Progress {
            uploaded: long(self.uploaded),
            downloaded: long(self.downloaded),
            left: if self.left == [0xff; 6] { u64::MAX } else { long(self.left) },
        }
    }

    pub fn last_known(&self) -> LastKnown {
        let (peer, progress) = (self.peer(), self.progress());
        LastKnown { peer, progress, heard_s: self.heard_s() }
    }

    pub fn counted(&self) -> bool {
        self.rest() & COUNTED != 0
    }

    pub fn set_counted(&mut self, counted: bool) {
        let bit = if counted { COUNTED } else { 0 };
        self.rest = (self.rest() & !COUNTED | bit).to_be_bytes();
    }

    /// Announces heard, up to [`SETTLED`].
    pub fn heard(&self) -> u8 {
        (self.rest() & HEARD) as u8
    }

    pub fn heard_s(&self) -> u32 {
        u32::from_be_bytes(self.heard_s)
    }

    /// Unix second from which on it is over.
    pub fn over_s(&self) -> u32 {
        self.heard_s().saturating_add(u32::from(self.rest() >> 4))
    }

    /// The same peer, heard at `now_s` at the latest: the clock may have been set back.
    pub fn heard_by(mut self, now_s: u32) -> Record<N> {
        self.heard_s = self.heard_s().min(now_s).to_be_bytes();
        self
    }

    /// Appends the record's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let parts: [&[u8]; 8] = [
            &self.ip,
            &self.port,
            &self.id,
            &self.uploaded,
            &self.downloaded,
            &self.left,
            &self.heard_s,
            &self.rest,
        ];
        parts.iter().for_each(|part| out.extend_from_slice(part));
    }

    /// Reads what [`Record::write`] wrote; `None` when bytes are missing or there is no port.
    pub fn read(fields: &mut crate::wire::read::Fields<'_>) -> Option<Record<N>> {
        let record = Record {
            ip: fields.array()?,
            port: fields.array()?,
            id: fields.array()?,
            uploaded: fields.array()?,
            downloaded: fields.array()?,
            left: fields.array()?,
            heard_s: fields.array()?,
            rest: fields.array()?,
        };
        (record.port != [0; 2]).then_some(record)
    }
}

/// 48 bits, saturating.
fn short(n: u64) -> [u8; 6] {
    let [_, _, rest @ ..] = n.min((1 << 48) - 1).to_be_bytes();
    rest
}

fn long([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::read::Fields;

    #[test]
    fn a_record_keeps_what_was_announced_and_survives_its_bytes() {
        let progress = Progress { uploaded: 7, downloaded: 1 << 47, left: u64::MAX };
        let entry = Entry { id: PeerId([9; 20]), progress, now_s: 1000, lifetime_s: 300 };
        let mut record = Record::new([10, 0, 0, 1], 6881, &entry);
        assert_eq!(size_of_val(&record), Record::<4>::BYTES);
        assert_eq!((size_of::<Record<4>>(), size_of::<Record<16>>()), (50, 62));
        assert_eq!((record.progress(), record.over_s(), record.heard()), (progress, 1300, 1));
        assert!(!record.complete() && !record.counted());
        record.set_counted(true);
        for _ in 0..9 {
            record.enter(&Entry { now_s: 2000, lifetime_s: 5000, ..entry });
        }
        assert_eq!((record.over_s(), record.heard(), record.counted()), (6095, SETTLED, true));
        let mut bytes = Vec::new();
        record.write(&mut bytes);
        assert_eq!(bytes.len(), Record::<4>::BYTES);
        assert_eq!(Record::<4>::read(&mut Fields(&bytes)), Some(record));
        assert_eq!(Record::<4>::read(&mut Fields(&bytes[1..])), None);
    }

    #[test]
    fn who_comes_complete_has_nothing_to_be_counted() {
        let progress = Progress::default();
        let entry = Entry { id: PeerId([9; 20]), progress, now_s: 0, lifetime_s: 0 };
        let record = Record::new([0; 16], 1, &entry);
        assert!(record.complete() && record.counted());
    }
}
