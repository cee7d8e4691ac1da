//! Rows of the database from what the tracker knows, and back. The form of a packed peer stands
//! here alone (`docs/files.md`).

use super::keeping::Kept as World;
use super::metainfo::Metainfo;
use super::names::{Life, PENDING, Record};
use super::swarm::{Peer, PeerKey};
use super::swarms::Kept;
use crate::core::id::{InfoHash, PeerId};
use crate::core::store::{Change, MetainfoRow, NameRow, SwarmPart};
use crate::core::time::{Span, Time};
use crate::wire::catalogue::entry::Entry;
use crate::wire::catalogue::hello::Owner;
use crate::wire::read::Fields;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Bytes of one peer.
pub const PEER_BYTES: usize = 67;
/// Peers of one part of a swarm: 68 KB, a fraction of a millisecond to write.
pub const PART_PEERS: usize = 1024;

const COMPLETE: u8 = 1;
const COUNTED: u8 = 2;
/// The protocol has 64 bits; SQL has signed numbers.
const UNKNOWN: u64 = u64::MAX >> 1;

/// The row of an entry as memory has it now, or its end.
pub fn change(
    world: &World<'_>,
    number: u64,
    name: &std::sync::Arc<str>,
    metainfo: bool,
) -> Change {
    match world.names.get(&(name.clone(), number)) {
        None => Change::DropName(number),
        Some(record) => Change::Name(Box::new(name_row(world, number, record, metainfo))),
    }
}

fn name_row(world: &World<'_>, number: u64, record: &Record, metainfo: bool) -> NameRow {
    let Entry { name, v1, v2, size, piece_bytes, flags, sha256 } = record.entry.clone();
    let (listed, until) = match record.life {
        Life::Pending { until } => (false, Some(until)),
        Life::Listed { alone } => (true, alone),
    };
    let Metainfo { v1_info, v2_info, layers, hybrid } = record.metainfo.clone();
    NameRow {
        number,
        name,
        v1,
        v2,
        size,
        piece_bytes,
        flags,
        sha256,
        owners: record.owners.iter().map(|owner| owner.0).collect(),
        generation: record.generation,
        time_s: record.time_s,
        listed,
        until_s: until.map(|until| world.clock.unix_s(until)),
        metainfo: metainfo.then_some(MetainfoRow { v1_info, v2_info, layers, hybrid }),
    }
}

/// An entry of an earlier run. `keep` is how long one without a source stays from now on, if it had
/// one when it was last written.
pub fn record(row: NameRow, now: Time, unix_s: u64, keep: Span) -> Record {
    let left = row.until_s.map(|until| Span::secs(until.saturating_sub(unix_s)));
    let life = match row.listed {
        true => Life::Listed { alone: Some(now + left.unwrap_or(keep)) },
        // Its source had no chance to announce while nobody listened.
        false => Life::Pending { until: now + PENDING },
    };
    let metainfo = row.metainfo.unwrap_or_default();
    Record {
        entry: Entry {
            name: row.name,
            v1: row.v1,
            v2: row.v2,
            size: row.size,
            piece_bytes: row.piece_bytes,
            flags: row.flags,
            sha256: row.sha256,
        },
        owners: row.owners.into_iter().map(Owner).collect(),
        generation: row.generation,
        time_s: row.time_s,
        life,
        metainfo: Metainfo {
            v1_info: metainfo.v1_info,
            v2_info: metainfo.v2_info,
            layers: metainfo.layers,
            hybrid: metainfo.hybrid,
        },
    }
}

/// The peers of a swarm, packed in parts; one empty part if there are none.
pub fn parts(world: &World<'_>, hash: InfoHash, out: &mut Vec<SwarmPart>) {
    let (mut part, mut packed) = (0, Vec::new());
    for peer in world.swarms.peers_of(hash) {
        if packed.len() == PART_PEERS * PEER_BYTES {
            out.push(SwarmPart { hash, part, last: false, packed: std::mem::take(&mut packed) });
            part += 1;
        }
        pack(peer, world.clock.unix_s(peer.expires), &mut packed);
    }
    out.push(SwarmPart { hash, part, last: true, packed });
}

fn pack(peer: &Peer, until_s: u64, out: &mut Vec<u8>) {
    let addr = peer.key.addr();
    let ip = match addr.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let flags = if peer.complete { COMPLETE } else { 0 } | if peer.counted { COUNTED } else { 0 };
    let left = if peer.complete { 0 } else { UNKNOWN };
    out.extend_from_slice(&peer.id.0);
    out.extend_from_slice(&ip.octets());
    out.extend_from_slice(&addr.port().to_be_bytes());
    for figure in [0, 0, left] {
        out.extend_from_slice(&figure.to_be_bytes());
    }
    out.extend_from_slice(&u32::try_from(until_s).unwrap_or(u32::MAX).to_be_bytes());
    out.push(flags);
}

/// The peers of a part whose time is not over.
pub fn unpacked(packed: &[u8], now: Time, unix_s: u64) -> impl Iterator<Item = Kept> {
    let (records, _) = packed.as_chunks::<PEER_BYTES>();
    records.iter().filter_map(move |record| unpack(record, now, unix_s))
}

fn unpack(record: &[u8], now: Time, unix_s: u64) -> Option<Kept> {
    let mut fields = Fields(record);
    let id = PeerId(fields.array()?);
    let ip = Ipv6Addr::from(fields.array::<16>()?);
    let port = fields.u16()?;
    let _figures: [u8; 24] = fields.array()?;
    let until_s = u64::from(fields.u32()?);
    let [flags] = fields.array()?;
    let left = until_s.checked_sub(unix_s).filter(|left| *left > 0 && port > 0)?;
    Some(Kept {
        key: PeerKey::new(SocketAddr::new(IpAddr::V6(ip).to_canonical(), port)),
        id,
        complete: flags & COMPLETE != 0,
        counted: flags & COUNTED != 0,
        expires: now + Span::secs(left),
    })
}
