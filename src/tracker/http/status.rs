//! `/status.json`: what is listed, who has how much of it, and when the last one will be done.

use super::Reply;
use crate::core::id::InfoHash;
use crate::core::json::Object;
use crate::core::time::Time;
use crate::tracker::desk::Desk;
use crate::tracker::fleet::Node;
use crate::tracker::names::{Place, Record};
use crate::tracker::registry::Registry;
use crate::tracker::swarm::PeerKey;
use crate::wire::catalogue::entry::Entry;
use crate::wire::http::query::Query;
use std::collections::{BTreeMap, BTreeSet};

/// Contents of one answer; further ones are asked for with `after`.
pub const CONTENTS_MAX: usize = 200;
/// Of these, contents at work that are put before the others.
pub const BUSY_MAX: usize = 50;
/// Nodes of one content, and of one answer.
pub const CONTENT_NODES_MAX: usize = 500;
pub const NODES_MAX: usize = 2000;
/// Entries looked at for one answer: many may be hidden.
const LOOKS_MAX: u64 = 20_000;
/// Bytes of the answer that are made in one step of work.
const BYTES_A_STEP: u64 = 16;
const JSON: &str = "application/json";

/// The status, whole or of the names that begin with `prefix` and come after `after`.
pub fn reply(query: Query<'_>, desk: &mut Desk<'_>) -> Reply {
    let text = |key: &str| match query.get(key) {
        Some(value) => String::from_utf8(value.into_owned()).map(Some),
        None => Ok(None),
    };
    let (Ok(prefix), Ok(after)) = (text("prefix"), text("after")) else {
        return Reply::line(400, "prefix and after are names in UTF-8");
    };
    let prefix = prefix.filter(|prefix| !prefix.is_empty());
    let Desk { now, registry, pages, figures, .. } = desk;
    let now = *now;
    let view = View { registry, now, open: figures.open };
    let mut steps = 0;
    let mut make = |prefix: &str, after: Option<&str>| {
        let (text, looks) = view.status(prefix, after);
        steps = looks + text.len() as u64 / BYTES_A_STEP;
        text
    };
    let body = match (&prefix, &after) {
        (None, None) => pages.status(now, || make("", None)),
        _ => make(prefix.as_deref().unwrap_or_default(), after.as_deref()).into_bytes().into(),
    };
    registry.work.spend(steps);
    Reply::new(200, JSON, body)
}

struct View<'a> {
    registry: &'a Registry,
    now: Time,
    open: u64,
}

impl View<'_> {
    /// The answer, and how many entries were looked at for it.
    fn status(&self, prefix: &str, after: Option<&str>) -> (String, u64) {
        let registry = self.registry;
        let nodes = registry.nodes();
        let mut listing = Listing::default();
        if prefix.is_empty() && after.is_none() {
            self.busy(&mut listing);
        }
        let next = self.in_order(prefix, after, &mut listing);
        let object = Object::default().numbers(&[
            ("v", 1),
            ("time_s", registry.unix_s(self.now)),
            ("uptime_s", self.now.secs()),
            ("names", registry.names.listed()),
            ("seeders", nodes.complete.into()),
            ("leechers", nodes.incomplete.into()),
            ("connections", self.open),
            ("registered", registry.registrations.nodes() as u64),
        ]);
        // More than 2^53, where most readers of JSON lose digits of a number.
        let object = object.text("generation", &registry.names.generation().to_string());
        let object = match registry.not_saving() {
            None => object.raw("not_saving", "null"),
            Some(not) => {
                let not_saving = Object::default().text("why", &not.why);
                let numbers = [("since_s", not.since_s), ("changes", not.changes)];
                object.raw("not_saving", &not_saving.numbers(&numbers).end())
            }
        };
        let object = object.list("contents", &listing.contents);
        let object = match next {
            Some(next) => object.text("next", &next),
            None => object.raw("next", "null"),
        };
        (object.end(), listing.looks)
    }

    /// What somebody is fetching comes first, so that it is seen among a million names.
    fn busy(&self, listing: &mut Listing) {
        for content in self.registry.fleet.busy() {
            for record in self.registry.names.of_hash(content) {
                if listing.contents.len() == BUSY_MAX {
                    return;
                }
                self.add(record, listing);
            }
        }
    }

    /// Contents in the order of their names; the name to go on after, if there are more.
    fn in_order(&self, prefix: &str, after: Option<&str>, listing: &mut Listing) -> Option<String> {
        let after: Option<Place> = after.map(|name| (name.into(), u64::MAX));
        let mut last: Option<&str> = None;
        for (place, record) in self.registry.names.from(after, prefix) {
            if !place.0.starts_with(prefix) {
                return None;
            }
            // A name is not torn: all its contents stand in one answer.
            let full = listing.contents.len() >= CONTENTS_MAX || listing.looks >= LOOKS_MAX;
            if full && last.is_some_and(|last| *last != *place.0) {
                return last.map(str::to_owned);
            }
            listing.looks += 1;
            self.add(record, listing);
            last = Some(&place.0);
        }
        None
    }

    fn add(&self, record: &Record, listing: &mut Listing) {
        if !record.is_seen_by(None) {
            return;
        }
        let entry = &record.entry;
        let hashes = (entry.v1.map(|hash| hash.0), entry.v2.map(|hash| hash.0));
        if listing.shown.insert((entry.name.clone(), hashes.0, hashes.1)) {
            let content = self.content(record, listing);
            listing.contents.push(content);
        }
    }

    fn content(&self, record: &Record, listing: &mut Listing) -> String {
        let (entry, listed) = (&record.entry, self.registry.listed(record));
        let mut object = Object::default().text("name", &entry.name).number("size", entry.size);
        if let Some(hash) = entry.v1 {
            object = object.text("v1", &hash.to_string());
        }
        if let Some(hash) = entry.v2 {
            object = object.text("v2", &hash.to_string());
        }
        let completed = entry.swarm_hashes().map(|hash| self.registry.swarms.scrape(hash).1);
        object = object.numbers(&[
            ("time_s", record.time_s),
            ("complete", listed.complete.into()),
            ("incomplete", listed.incomplete.into()),
            ("completed", completed.max().unwrap_or(0).into()),
        ]);
        object = object.raw("metainfo", if record.metainfo.is_empty() { "false" } else { "true" });
        let Some(content) = entry.swarm_hashes().next() else { return object.end() };
        let most = CONTENT_NODES_MAX.min(NODES_MAX.saturating_sub(listing.nodes));
        let (nodes, all) = match most {
            0 => (Vec::new(), self.count(entry, content)),
            _ => self.nodes(entry, content, most),
        };
        listing.nodes += nodes.len();
        // Each was looked at for when it is done, and most of them for their row.
        listing.looks += all as u64;
        let rows: Vec<String> =
            nodes.iter().map(|(who, node)| self.node(*who, node, entry.size)).collect();
        let object =
            number_or_null(object, "finish_s", self.registry.fleet.finish_s(content, self.now));
        object
            .list("nodes", &rows)
            .number("nodes_more", all.saturating_sub(rows.len()) as u64)
            .end()
    }

    /// Who announced a content with a word about its part, and who registered all of it: `most` of
    /// them, and how many there are.
    fn nodes(
        &self,
        entry: &Entry,
        content: InfoHash,
        most: usize,
    ) -> (Vec<(PeerKey, Node)>, usize) {
        let announced = self.registry.fleet.nodes(content).map(|(who, node)| (who, *node));
        let mut nodes: BTreeMap<PeerKey, Node> = announced.collect();
        for hash in entry.swarm_hashes() {
            for source in self.registry.registrations.sources(hash) {
                nodes.entry(source.key).or_insert_with(|| Node::complete(self.now));
            }
        }
        let all = nodes.len();
        // Who lacks most is who the others wait for.
        let mut nodes: Vec<(PeerKey, Node)> = nodes.into_iter().collect();
        nodes.sort_by_key(|(who, node)| (std::cmp::Reverse(node.left), *who));
        nodes.truncate(most);
        (nodes, all)
    }

    /// How many they are, without a look at each.
    fn count(&self, entry: &Entry, content: InfoHash) -> usize {
        let v2 = entry.v2.map(|hash| hash.truncated());
        let registered = self.registry.registrations.count(entry.v1, v2) as usize;
        self.registry.fleet.count(content) + registered
    }

    fn node(&self, who: PeerKey, node: &Node, size: u64) -> String {
        let object = Object::default().text("addr", &who.addr().to_string());
        let object = number_or_null(object, "permille", node.permille(size));
        let left = (node.left != u64::MAX).then_some(node.left);
        let object = number_or_null(object, "left", left).numbers(&[
            ("rate", node.rate),
            ("downloaded", node.downloaded),
            ("uploaded", node.uploaded),
            ("silent_s", node.silent_s(self.now)),
        ]);
        let object = object.raw("last_known", if node.is_last_known() { "true" } else { "false" });
        let object = number_or_null(object, "finish_s", node.finish_s(self.now));
        let Some(slots) = node.slots else { return object.end() };
        let (free, queue) = (slots.free.into(), slots.queue.into());
        object.text("state", slots.state.name()).numbers(&[("free", free), ("queue", queue)]).end()
    }
}

fn number_or_null(object: Object, key: &str, value: Option<u64>) -> Object {
    match value {
        Some(value) => object.number(key, value),
        None => object.raw(key, "null"),
    }
}

/// A name and the hashes it stands for.
type Shown = (String, Option<[u8; 20]>, Option<[u8; 32]>);

/// What an answer holds so far.
#[derive(Default)]
struct Listing {
    contents: Vec<String>,
    shown: BTreeSet<Shown>,
    nodes: usize,
    looks: u64,
}
