//! Rows of the catalogue from what the tracker knows, and back.

use super::counts::Counts;
use super::keeping::Kept as World;
use super::metainfo::Metainfo;
use super::names::{Life, PENDING, Record};
use crate::core::store::{Change, MetainfoRow, NameRow};
use crate::core::time::{Span, Time};
use crate::wire::catalogue::entry::Entry;
use crate::wire::catalogue::hello::Owner;
use crate::wire::catalogue::signature::Signed;

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
    let Entry { name, v1, v2, size, piece_bytes, flags, sha256, signed } = record.entry.clone();
    let (listed, until) = match record.life {
        Life::Pending { until } => (false, Some(until)),
        Life::Listed { alone } => (true, alone),
    };
    let Metainfo { v1_info, v2_info, layers, hybrid, .. } = record.metainfo.clone();
    NameRow {
        number,
        name,
        v1,
        v2,
        size,
        piece_bytes,
        flags,
        sha256,
        signed: signed.map(|signed| Box::new(signed.to_bytes())),
        owners: record.owners.iter().map(|owner| owner.0).collect(),
        generation: record.generation,
        time_s: record.time_s,
        listed,
        until_s: until.map(|until| world.clock.unix_s(until)),
        metainfo: metainfo.then_some(MetainfoRow { v1_info, v2_info, layers, hybrid }),
    }
}

/// An entry of an earlier run, which ended in order or not. `keep` is how long one without a source
/// stays from now on, if it had one when it was last written.
pub fn record(row: NameRow, orderly: bool, now: Time, unix_s: u64, keep: Span) -> Record {
    let left = |until_s: u64| Span::secs(until_s.saturating_sub(unix_s));
    let life = match (row.listed, row.until_s) {
        (true, until_s) => Life::Listed { alone: Some(now + until_s.map_or(keep, left)) },
        // Its first source may have come in the last moments, of which nothing was written: all may
        // have seen it. It counts as one whose source went when it had to be there.
        (false, Some(until_s)) if !orderly => {
            Life::Listed { alone: Some(now + left(until_s.saturating_add(keep.as_secs()))) }
        }
        // Its source had no chance to announce while nobody listened.
        (false, _) => Life::Pending { until: now + PENDING },
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
            signed: row.signed.map(|bytes| Box::new(Signed::from_bytes(&bytes))),
        },
        owners: row.owners.into_iter().map(Owner).collect(),
        source: None,
        generation: row.generation,
        time_s: row.time_s,
        life,
        // Who has it is known once its peers are there.
        counts: Counts::default(),
        metainfo: Metainfo {
            v1_info: metainfo.v1_info,
            v2_info: metainfo.v2_info,
            layers: metainfo.layers,
            hybrid: metainfo.hybrid,
            web_seeds: None,
        },
        linked: false,
    }
}
