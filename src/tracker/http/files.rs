//! Metainfo and magnet links of what is listed, by hash and by name.

use super::{Asker, Reply, TEXT};
use crate::content::magnet::Magnet;
use crate::core::id::{Hash32, InfoHash};
use crate::core::name;
use crate::tracker::access;
use crate::tracker::desk::Desk;
use crate::tracker::names::Record;
use crate::tracker::registry::Registry;
use crate::wire::catalogue::request::What;
use crate::wire::http::query;

const TORRENT: &str = "application/x-bittorrent";

/// What a name means to somebody who cannot choose.
enum Named<'a> {
    One(&'a Record),
    /// Different owners say different things.
    Several(Vec<&'a Record>),
    None,
}

/// A whole .torrent by 40 hex digits (v1, hybrid, or a v2 hash cut short) or 64 (v2).
pub fn torrent_of_hash(digits: &[u8], asker: &Asker, desk: &Desk<'_>) -> Option<Reply> {
    let (hash, v2) = match digits.len() {
        40 => (InfoHash(hex(digits)?), None),
        64 => {
            let whole = Hash32(hex(digits)?);
            (whole.truncated(), Some(whole))
        }
        _ => return None,
    };
    let records = desk.registry.names.of_hash(hash).filter(|record| record.is_seen_by(None));
    let fits = |record: &&Record| v2.is_none_or(|v2| record.entry.v2 == Some(v2));
    let by_v2 = |record: &Record| record.entry.v2.is_some_and(|own| own.truncated() == hash);
    let mut known = false;
    let found = records.filter(fits).find_map(|record| {
        known = true;
        torrent(record, by_v2(record), asker)
    });
    match (found, known) {
        (None, true) => Some(no_metainfo()),
        (found, _) => found,
    }
}

pub fn torrent_of_name(name: &[u8], asker: &Asker, desk: &Desk<'_>) -> Option<Reply> {
    let name = read_name(name)?;
    match named(desk.registry, &name) {
        Named::One(record) => Some(torrent(record, false, asker).unwrap_or_else(no_metainfo)),
        Named::Several(records) => Some(several(&records)),
        Named::None => None,
    }
}

/// The magnet link of a name, as text: browsers do not follow a redirect to one.
pub fn magnet(name: &[u8], asker: &Asker, desk: &Desk<'_>) -> Option<Reply> {
    let name = read_name(name)?;
    let record = match named(desk.registry, &name) {
        Named::One(record) => record,
        Named::Several(records) => return Some(several(&records)),
        Named::None => return None,
    };
    let link = Magnet {
        v1: record.entry.v1,
        v2: record.entry.v2,
        name: Some(name),
        trackers: vec![announce_url(asker)],
        ..Magnet::default()
    };
    Some(Reply::new(200, TEXT, format!("{link}\n").into_bytes()))
}

fn torrent(record: &Record, prefer_v2: bool, asker: &Asker) -> Option<Reply> {
    let parts = record.metainfo.parts(What::Torrent, &announce_url(asker), prefer_v2)?;
    // RFC 8187: a file name of any characters in a header of ASCII.
    let mut file = String::from("attachment; filename*=UTF-8''");
    query::encode(record.entry.name.as_bytes(), &mut file);
    file.push_str(".torrent");
    let reply = Reply { status: 200, media: TORRENT, more: Vec::new(), parts };
    Some(reply.with("Content-Disposition", file))
}

fn announce_url(asker: &Asker) -> String {
    access::announce_url(asker.local, asker.bearer.as_ref().map(|text| text.as_slice()))
}

fn no_metainfo() -> Reply {
    Reply::line(404, "no metainfo is kept for it; use its magnet link")
}

/// The newest of one owner's contents; a name that several owners use is nobody's to choose.
fn named<'a>(registry: &'a Registry, name: &str) -> Named<'a> {
    let records = registry.names.of_name(name).map(|(_, record)| record);
    let seen: Vec<&Record> = records.filter(|record| record.is_seen_by(None)).collect();
    let Some(newest) = seen.iter().max_by_key(|record| record.generation) else {
        return Named::None;
    };
    let related = |record: &&Record| record.owners.iter().any(|o| newest.owners.contains(o));
    if seen.iter().all(related) { Named::One(newest) } else { Named::Several(seen) }
}

fn several(records: &[&Record]) -> Reply {
    let mut text = String::from("several contents carry the name:");
    for record in records {
        let hash = record.entry.v2.map(|hash| hash.to_string());
        let hash = hash.or(record.entry.v1.map(|hash| hash.to_string())).unwrap_or_default();
        text.push_str(&format!(" /torrent/{hash}.torrent"));
    }
    Reply::line(409, &text)
}

fn read_name(encoded: &[u8]) -> Option<String> {
    let bytes = query::decode(encoded).ok()?;
    name::check(&bytes).ok().map(str::to_owned)
}

fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, odd) = digits.as_chunks::<2>();
    if pairs.len() != N || !odd.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = (high? << 4 | low?) as u8;
    }
    Some(bytes)
}
