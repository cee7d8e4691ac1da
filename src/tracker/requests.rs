//! The catalogue's requests, executed: one request in, one answer or one stream of bytes out.

use super::names::{News, Place};
use super::publish;
use super::registry::Registry;
use super::ticket;
use crate::core::fault::Refusal;
use crate::core::io::Outbox;
use crate::core::time::Time;
use crate::wire::catalogue::answer::{Answer, Page, Stat};
use crate::wire::catalogue::entry::Item;
use crate::wire::catalogue::hello::Owner;
use crate::wire::catalogue::request::{List, Publish, Request, What};
use crate::wire::catalogue::{LIST_PAGE_BYTES, LIST_PAGE_MAX, code};
use std::sync::Arc;

/// Entries looked at for one page: many may be hidden from the client.
const PAGE_LOOKS_MAX: usize = 20_000;
/// Bytes of an entry besides its name, rounded up: hashes, counters, keys.
const ENTRY_BYTES: usize = 260;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Client {
    pub owner: Option<Owner>,
    /// Bits of [`ticket`].
    pub rights: u8,
    /// Whether limits per owner count.
    pub public: bool,
    /// The tracker's URL as this client reached it, for a .torrent.
    pub announce: String,
}

/// What a request gives.
#[derive(Debug)]
pub enum Reply {
    Answer(Answer),
    /// Bytes from `skip` on, in parts to be sent as RAW frames.
    Stream {
        parts: Vec<Arc<[u8]>>,
        skip: u64,
    },
}

/// Whether a request changes the catalogue.
pub fn writes(request: &Request) -> bool {
    matches!(request, Request::Publish(_) | Request::Unpublish { .. } | Request::Update { .. })
}

/// Executes one request.
pub fn execute(
    registry: &mut Registry,
    now: Time,
    client: &Client,
    request: Request,
    out: &mut Outbox,
) -> Reply {
    if writes(&request)
        && let Some(refusal) = registry.keeping.refusal()
    {
        return Reply::Answer(refusal.into());
    }
    let answer = match request {
        Request::Ping => Ok(Answer::Pong),
        Request::Publish(publish) => published(registry, now, client, publish, out),
        Request::Unpublish { name, hash } => writer(client).and_then(|owner| {
            registry.unpublish(&name, hash, owner, out)?;
            Ok(Answer::Unpublished { generation: registry.names.generation() })
        }),
        Request::Update { old, to } => writer(client).and_then(|owner| {
            let name = to.entry.name.clone();
            standing(registry, &name, owner, old)?;
            let same = to.entry.has_hash(old);
            published(registry, now, client, to, out)?;
            if !same {
                registry.unpublish(&name, old, owner, out)?;
            }
            Ok(Answer::Updated { generation: registry.names.generation() })
        }),
        Request::List(list) => page(registry, client, &list),
        Request::Lookup { names } => Ok(found(registry, client, &names)),
        Request::Fetch { hash, what, offset } => {
            let of_hash = || registry.names.of_hash(hash);
            let seen = || of_hash().filter(|record| record.is_seen_by(client.owner));
            let parts = seen().find_map(|record| {
                let v2 = record.entry.v2.is_some_and(|v2| v2.truncated() == hash);
                record.metainfo.parts(what, &client.announce, v2)
            });
            match parts {
                Some(parts) => return Reply::Stream { parts, skip: offset },
                None => Err(no_metainfo(seen().next().is_some(), what)),
            }
        }
        Request::Stat => {
            let nodes = registry.swarms.nodes();
            Ok(Answer::Stat(Stat {
                names: registry.names.listed(),
                generation: registry.names.generation(),
                time_s: registry.unix_s(now),
                seeders: nodes.complete.into(),
                leechers: nodes.incomplete.into(),
            }))
        }
    };
    Reply::Answer(answer.unwrap_or_else(Answer::from))
}

fn no_metainfo(known: bool, what: What) -> Refusal {
    match (known, what) {
        (false, _) => Refusal { code: code::NOT_FOUND, what: "no such content" },
        (true, What::Layers) => {
            Refusal { code: code::NO_METAINFO, what: "no piece layers are kept" }
        }
        (true, _) => Refusal { code: code::NO_METAINFO, what: "no such metainfo is kept" },
    }
}

/// The owner in whose name a client may write.
fn writer(client: &Client) -> Result<Owner, Refusal> {
    let refuse = |what| Refusal { code: code::FORBIDDEN, what };
    if client.rights & ticket::WRITE == 0 {
        return Err(refuse("the ticket is for reading"));
    }
    client.owner.ok_or(refuse("only a node with a key may publish"))
}

fn published(
    registry: &mut Registry,
    now: Time,
    client: &Client,
    publish: Publish,
    out: &mut Outbox,
) -> Result<Answer, Refusal> {
    let owner = writer(client)?;
    let (entry, metainfo) = publish::check(publish)?;
    let public = client.public;
    let news = News { entry, metainfo, owner, time_s: 0, has_source: false, public };
    let place = registry.publish(now, news, out)?;
    let record = registry.names.get(&place);
    Ok(Answer::Published {
        generation: registry.names.generation(),
        owner: record.and_then(|record| record.owners.first().copied()).unwrap_or(owner),
        flags: record.map(|record| record.flags()).unwrap_or_default(),
    })
}

/// Compare and set: `old` must be the owner's newest version.
fn standing(
    registry: &Registry,
    name: &str,
    owner: Owner,
    old: crate::core::id::InfoHash,
) -> Result<(), Refusal> {
    let newest = registry.names.newest(name, owner).and_then(|place| registry.names.get(place));
    match newest {
        Some(record) if record.entry.has_hash(old) => Ok(()),
        Some(_) => Err(Refusal {
            code: code::HASH_MISMATCH,
            what: "another version stands under the name",
        }),
        None if registry.names.of_name(name).next().is_some() => {
            Err(Refusal { code: code::FORBIDDEN, what: "another owner's entry" })
        }
        None => Err(Refusal { code: code::NOT_FOUND, what: "no such entry" }),
    }
}

fn found(registry: &Registry, client: &Client, names: &[String]) -> Answer {
    let mut entries = Vec::new();
    for (at, name) in names.iter().enumerate() {
        // A name asked for twice is answered once.
        if names.iter().take(at).any(|earlier| earlier == name) {
            continue;
        }
        let records = registry.names.of_name(name).map(|(_, record)| record);
        let seen = records.filter(|record| record.is_seen_by(client.owner));
        entries.extend(seen.map(|record| registry.listed(record)));
    }
    Answer::Found { entries, generation: registry.names.generation() }
}

fn page(registry: &Registry, client: &Client, list: &List) -> Result<Answer, Refusal> {
    let names = &registry.names;
    let (generation, total) = (names.generation(), names.listed());
    let mut page = Page { items: Vec::new(), cursor: None, generation, names: total };
    if let Some(since) = list.since {
        // Removed names are not remembered: whoever holds another list reads it anew.
        return match since == generation {
            true => Ok(Answer::Page(page)),
            false => Err(Refusal { code: code::RESYNC, what: "read the whole list again" }),
        };
    }
    let after = list.cursor.as_deref().map(cursor_place).transpose()?;
    let prefix = list.prefix.as_deref().unwrap_or_default();
    let limit = list.limit.min(LIST_PAGE_MAX) as usize;
    let mut bytes = 0;
    let mut last: Option<&Place> = None;
    for (looks, (place, record)) in names.from(after, prefix).enumerate() {
        if !place.0.starts_with(prefix) {
            break;
        }
        if looks == PAGE_LOOKS_MAX {
            page.cursor = Some(place_cursor(&(place.0.clone(), place.1 - 1), false));
            break;
        }
        if !record.is_seen_by(client.owner) {
            continue;
        }
        if page.items.len() == limit || bytes >= LIST_PAGE_BYTES {
            page.cursor = last.map(|last| place_cursor(last, last.0 != place.0));
            break;
        }
        bytes += ENTRY_BYTES + place.0.len();
        page.items.push(Item::Listed(registry.listed(record)));
        last = Some(place);
    }
    Ok(Answer::Page(page))
}

/// A cursor is the last name given; when further contents of that name follow, NUL and the number
/// of the last entry are added. No name contains a NUL.
fn place_cursor((name, number): &Place, whole: bool) -> Vec<u8> {
    match whole {
        true => name.as_bytes().to_vec(),
        false => format!("{name}\0{number}").into_bytes(),
    }
}

fn cursor_place(cursor: &[u8]) -> Result<Place, Refusal> {
    let bad = Refusal { code: code::BAD_REQUEST, what: "not a cursor of this tracker" };
    let text = std::str::from_utf8(cursor).map_err(|_| bad)?;
    match text.split_once('\0') {
        None => Ok((text.into(), u64::MAX)),
        Some((name, number)) => Ok((name.into(), number.parse().map_err(|_| bad)?)),
    }
}
