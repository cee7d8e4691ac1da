//! The catalogue: publishing, its life, and reading it while it changes.

use super::world::{Client, Peer, World, addr};
use lmk::content::metainfo::{Content, ContentHasher, KeyOrder};
use lmk::core::id::InfoHash;
use lmk::core::io::Input;
use lmk::core::mark::expect_mark;
use lmk::core::time::Span;
use lmk::wire::catalogue::answer::{Answer, Page};
use lmk::wire::catalogue::code;
use lmk::wire::catalogue::entry::{Entry, Item, Listed, flag};
use lmk::wire::catalogue::request::{List, Publish, Request, What};
use lmk::wire::udp::Event;
use std::collections::BTreeMap;

pub fn content(name: &str, bytes: &[u8]) -> Content {
    let mut hasher = ContentHasher::new(name.as_bytes(), bytes.len() as u64).unwrap();
    hasher.update(bytes);
    hasher.finish().unwrap()
}

/// Both identities of a content, as its owner publishes them.
pub fn publish(name: &str, content: &Content) -> Publish {
    let (v1, v2) = (content.v1.as_ref().unwrap(), content.v2.as_ref().unwrap());
    let entry = Entry {
        name: name.to_owned(),
        v1: Some(v1.info_hash),
        v2: Some(v2.info_hash),
        size: content.geometry.size(),
        piece_bytes: content.geometry.piece_length(),
        flags: flag::V1 | flag::V2,
        sha256: None,
        signed: None,
    };
    Publish {
        v1_info: Some(v1.info.clone()),
        v2_info: Some(v2.info.clone()),
        layers: content.piece_layers(),
        ..Publish::bare(entry)
    }
}

/// An entry without metainfo.
pub fn bare(name: &str, n: u32) -> Publish {
    let mut hash = [0; 20];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    Publish::bare(Entry::v1(name.to_owned(), InfoHash(hash), 1))
}

fn refused(answer: Answer) -> u8 {
    match answer {
        Answer::Refused(refused) => refused.code,
        other => panic!("not refused: {other:?}"),
    }
}

fn lookup(world: &mut World, client: &mut Client, name: &str) -> Vec<Listed> {
    match world.ask(client, &Request::Lookup { names: vec![name.to_owned()] }) {
        Answer::Found { entries, .. } => entries,
        other => panic!("{other:?}"),
    }
}

fn page(world: &mut World, client: &mut Client, limit: u32, cursor: Option<Vec<u8>>) -> Page {
    let list = List { limit, cursor, prefix: None, glob: None, since: None };
    match world.ask(client, &Request::List(list)) {
        Answer::Page(page) => page,
        other => panic!("{other:?}"),
    }
}

fn names(page: &Page) -> Vec<&str> {
    fn name(item: &Item) -> Option<&str> {
        match item {
            Item::Listed(listed) => Some(&listed.entry.name),
            Item::Gone { .. } => None,
        }
    }
    page.items.iter().filter_map(name).collect()
}

const SEEDER: &str = "127.0.0.1:7001";

#[test]
fn a_name_is_hidden_until_its_source_announces_and_a_node_counts_once_per_content() {
    let mut world = World::local();
    let content = content("big.zip", &[7; 300_000]);
    let (v1, v2) = (content.v1.as_ref().unwrap().info_hash, content.v2.as_ref().unwrap().info_hash);
    let mut owner = world.client(addr(SEEDER), Some(1));
    let mut other = world.client(addr("127.0.0.1:50"), Some(2));
    let answer = world.ask(&mut owner, &Request::Publish(publish("big.zip", &content)));
    let Answer::Published { flags, .. } = answer else { panic!("{answer:?}") };
    assert_ne!(flags & flag::PENDING, 0);
    assert!(lookup(&mut world, &mut other, "big.zip").is_empty());
    assert!(page(&mut world, &mut other, 10, None).items.is_empty());
    assert_eq!(lookup(&mut world, &mut owner, "big.zip").len(), 1, "its owner sees it");
    // An incomplete peer shows nothing.
    world.announce(&Peer::new("127.0.0.1:7009", 5).hash(v1));
    assert!(lookup(&mut world, &mut other, "big.zip").is_empty());
    // The seeder announces under both hashes, a stock client under the v1 hash alone.
    world.announce(&Peer::new(SEEDER, 0).hash(v1));
    world.announce(&Peer::new(SEEDER, 0).hash(v2.truncated()));
    let found = lookup(&mut world, &mut other, "big.zip");
    assert_eq!((found[0].complete, found[0].incomplete), (1, 1));
    assert_eq!(found[0].entry.flags, flag::V1 | flag::V2 | flag::METAINFO);
    assert_eq!((world.row().names, world.row().seeders, world.row().leechers), (1, 1, 1));
    let joined = world.told("joined").len();
    assert_eq!(joined, 2, "{:?}", world.told("joined"));
    world.announce(&Peer::new(SEEDER, 0).hash(v1).event(Event::Stopped));
    assert_eq!(lookup(&mut world, &mut other, "big.zip")[0].complete, 1);
    world.announce(&Peer::new(SEEDER, 0).hash(v2.truncated()).event(Event::Stopped));
    assert_eq!(lookup(&mut world, &mut other, "big.zip")[0].complete, 0);
    assert_eq!(
        world.told("left"),
        ["left: 127.0.0.1:7001, big.zip (0 with all of it, 1 downloading)"]
    );
}

#[test]
fn a_name_no_source_came_for_goes_and_one_that_lost_its_source_stays_a_day() {
    let mut world = World::local();
    let mut client = world.client(addr(SEEDER), Some(1));
    world.ask(&mut client, &Request::Publish(bare("never", 1)));
    world.ask(&mut client, &Request::Publish(bare("once", 2)));
    let hash = bare("once", 2).entry.v1.unwrap();
    world.announce(&Peer::new(SEEDER, 0).hash(hash));
    world.end(client.conn);
    world.pass(Span::secs(61));
    assert_eq!(world.told("unpublished").len(), 1);
    assert!(world.told("unpublished")[0].contains("never"));
    let mut client = world.client(addr(SEEDER), None);
    let found = lookup(&mut world, &mut client, "once");
    assert_eq!((found[0].complete, found[0].incomplete), (0, 0), "expired, and listed still");
    world.end(client.conn);
    world.pass(Span::secs(86_300));
    let mut client = world.client(addr(SEEDER), None);
    assert_eq!(lookup(&mut world, &mut client, "once").len(), 1);
    world.end(client.conn);
    world.pass(Span::secs(120));
    let mut client = world.client(addr(SEEDER), None);
    assert_eq!(lookup(&mut world, &mut client, "once").len(), 0);
    assert_eq!(world.row().names, 0);
}

#[test]
fn two_owners_may_use_one_name_and_neither_touches_the_others_entry() {
    let mut world = World::local();
    let mut alice = world.client(addr("127.0.0.1:50"), Some(1));
    let mut mallory = world.client(addr("127.0.0.1:51"), Some(2));
    let mut nobody = world.client(addr("127.0.0.1:52"), None);
    let (one, two) = (bare("big.zip", 1), bare("big.zip", 2));
    let (h1, h2) = (one.entry.v1.unwrap(), two.entry.v1.unwrap());
    assert_eq!(refused(world.ask(&mut nobody, &Request::Publish(one.clone()))), code::FORBIDDEN);
    world.ask(&mut alice, &Request::Publish(one.clone()));
    world.ask(&mut mallory, &Request::Publish(two.clone()));
    for hash in [h1, h2] {
        world.announce(&Peer::new(SEEDER, 0).hash(hash));
    }
    let found = lookup(&mut world, &mut nobody, "big.zip");
    assert_eq!(found.len(), 2);
    assert_ne!(found[0].owner, found[1].owner);
    let take = |hash| Request::Unpublish { name: "big.zip".to_owned(), hash };
    assert_eq!(refused(world.ask(&mut mallory, &take(h1))), code::FORBIDDEN);
    assert_eq!(refused(world.ask(&mut mallory, &take(InfoHash([9; 20])))), code::NOT_FOUND);
    let update = Request::Update { old: h1, to: bare("big.zip", 3) };
    assert_eq!(refused(world.ask(&mut mallory, &update)), code::HASH_MISMATCH);
    assert!(matches!(world.ask(&mut alice, &update), Answer::Updated { .. }));
    assert_eq!(refused(world.ask(&mut alice, &update)), code::HASH_MISMATCH, "set once");
    world.announce(&Peer::new(SEEDER, 0).hash(bare("big.zip", 3).entry.v1.unwrap()));
    let found = lookup(&mut world, &mut nobody, "big.zip");
    let hashes: Vec<_> = found.iter().map(|listed| listed.entry.v1.unwrap()).collect();
    assert_eq!(hashes, [h2, bare("big.zip", 3).entry.v1.unwrap()]);
    assert!(matches!(world.ask(&mut mallory, &take(h2)), Answer::Unpublished { .. }));
    assert_eq!(lookup(&mut world, &mut nobody, "big.zip").len(), 1);
}

#[test]
fn equal_content_of_two_owners_is_one_entry_that_stays_until_both_take_it_back() {
    let mut world = World::local();
    let mut one = world.client(addr("127.0.0.1:50"), Some(1));
    let mut two = world.client(addr("127.0.0.1:51"), Some(2));
    let entry = bare("big.zip", 1);
    let hash = entry.entry.v1.unwrap();
    world.ask(&mut one, &Request::Publish(entry.clone()));
    world.ask(&mut two, &Request::Publish(entry.clone()));
    world.ask(&mut two, &Request::Publish(entry));
    world.announce(&Peer::new(SEEDER, 0).hash(hash));
    assert_eq!(lookup(&mut world, &mut one, "big.zip").len(), 1);
    let take = Request::Unpublish { name: "big.zip".to_owned(), hash };
    world.ask(&mut one, &take);
    assert_eq!(lookup(&mut world, &mut one, "big.zip").len(), 1);
    world.ask(&mut two, &take);
    assert_eq!(lookup(&mut world, &mut one, "big.zip").len(), 0);
}

#[test]
fn an_owners_newest_version_has_the_highest_generation_and_old_ones_give_way() {
    let mut world = World::local();
    let mut owner = world.client(addr("127.0.0.1:50"), Some(1));
    for n in 0..20 {
        world.ask(&mut owner, &Request::Publish(bare("big.zip", n)));
    }
    world.ask(&mut owner, &Request::Publish(bare("big.zip", 15)));
    let found = lookup(&mut world, &mut owner, "big.zip");
    assert_eq!(found.len(), 8);
    let newest = found.iter().max_by_key(|listed| listed.generation).unwrap();
    assert_eq!(newest.entry.v1, bare("big.zip", 15).entry.v1);
}

#[test]
fn one_name_cannot_be_flooded_over_entries_that_have_sources() {
    let mut world = World::local();
    for n in 0..60 {
        let mut owner = world.client(addr("127.0.0.1:50"), Some(n));
        let entry = bare("big.zip", n.into());
        let answer = world.ask(&mut owner, &Request::Publish(entry.clone()));
        assert!(matches!(answer, Answer::Published { .. }));
        if n < 5 {
            world.announce(&Peer::new(SEEDER, 0).hash(entry.entry.v1.unwrap()));
        }
        world.end(owner.conn);
    }
    let mut client = world.client(addr("127.0.0.1:50"), None);
    assert_eq!(lookup(&mut world, &mut client, "big.zip").len(), 5);
}

#[test]
fn fetch_gives_the_published_bytes_and_a_torrent_that_reads_as_the_same_content() {
    let mut world = World::local();
    // Large enough for piece layers.
    let bytes: Vec<u8> = (0..700_000u32).map(|n| (n % 251) as u8).collect();
    let content = content("big.zip", &bytes);
    let (v1, v2) = (content.v1.clone().unwrap(), content.v2.clone().unwrap());
    let mut client = world.client(addr("127.0.0.1:50"), Some(1));
    world.ask(&mut client, &Request::Publish(publish("big.zip", &content)));
    let mut fetch =
        |hash, what, offset| match world.ask(&mut client, &Request::Fetch { hash, what, offset }) {
            Answer::Data(data) => Ok(data),
            other => Err(refused(other)),
        };
    let short = v2.info_hash.truncated();
    for hash in [v1.info_hash, short] {
        assert_eq!(fetch(hash, What::V1Info, 0).as_ref(), Ok(&v1.info));
        assert_eq!(fetch(hash, What::V2Info, 0).as_ref(), Ok(&v2.info));
        assert_eq!(fetch(hash, What::Layers, 0).ok(), content.piece_layers());
    }
    assert_eq!(fetch(v1.info_hash, What::V1Info, 10).unwrap(), v1.info[10..]);
    assert_eq!(fetch(v1.info_hash, What::V1Info, i64::MAX as u64).unwrap(), b"");
    let torrent = Content::from_torrent(&fetch(v1.info_hash, What::Torrent, 0).unwrap()).unwrap();
    assert_eq!(torrent.v1, content.v1);
    let torrent = Content::from_torrent(&fetch(short, What::Torrent, 0).unwrap()).unwrap();
    assert_eq!(torrent.v2, content.v2);
    assert_eq!(fetch(InfoHash([3; 20]), What::Torrent, 0), Err(code::NOT_FOUND));
}

#[test]
fn web_seeds_are_handed_on_and_what_is_none_is_not() {
    let mut world = World::local();
    let content = content("big.zip", &[5; 70_000]);
    let hash = content.v1.clone().unwrap().info_hash;
    let mut owner = world.client(addr("127.0.0.1:50"), Some(1));
    let plain = publish("big.zip", &content);
    let fetch = |what| Request::Fetch { hash, what, offset: 0 };
    world.ask(&mut owner, &Request::Publish(plain.clone()));
    assert_eq!(refused(world.ask(&mut owner, &fetch(What::WebSeeds))), code::NO_METAINFO);
    // They may come later, and the first ones stay.
    let named = |urls: &str| Publish { web_seeds: Some(urls.into()), ..plain.clone() };
    for (urls, kept) in [
        ("junk", None),
        ("l5:ftp:/7:http://e", None),
        ("l10:http://h/x5:ftp:/e", Some("l10:http://h/xe")),
        ("l10:http://h/ye", Some("l10:http://h/xe")),
    ] {
        let flags = match world.ask(&mut owner, &Request::Publish(named(urls))) {
            Answer::Published { flags, .. } => flags,
            other => panic!("{urls}: {other:?}"),
        };
        assert_eq!(flags & flag::WEB_SEEDS != 0, kept.is_some(), "{urls}");
        let found = match world.ask(&mut owner, &fetch(What::WebSeeds)) {
            Answer::Data(data) => Some(data),
            _ => None,
        };
        assert_eq!(found.as_deref(), kept.map(str::as_bytes), "{urls}");
    }
    let Answer::Data(torrent) = world.ask(&mut owner, &fetch(What::Torrent)) else { panic!() };
    let outside = Content::outside_of(&torrent, KeyOrder::Sorted);
    assert_eq!(outside.web_seeds, ["http://h/x"]);
    let bare = Publish { web_seeds: Some(b"l10:http://h/xe".to_vec()), ..bare("bare", 9) };
    let answer = world.ask(&mut owner, &Request::Publish(bare));
    assert_eq!(refused(answer), code::BAD_REQUEST, "nothing proves what is fetched there");
}

#[test]
fn metainfo_that_lies_is_refused() {
    let mut world = World::local();
    let mut client = world.client(addr("127.0.0.1:50"), Some(1));
    let bytes = vec![5; 700_000];
    let good = publish("big.zip", &content("big.zip", &bytes));
    let other = publish("other", &content("other", &bytes));
    let mut bad: Vec<(u8, Publish)> = Vec::new();
    bad.push((code::HASH_MISMATCH, Publish { v2_info: other.v2_info.clone(), ..good.clone() }));
    bad.push((code::HASH_MISMATCH, Publish { v1_info: other.v1_info.clone(), ..good.clone() }));
    let mut mixed = good.clone();
    (mixed.v2_info, mixed.entry.v2) = (other.v2_info.clone(), other.entry.v2);
    bad.push((code::BAD_REQUEST, mixed));
    let mut sized = good.clone();
    sized.entry.size += 1;
    bad.push((code::HASH_MISMATCH, sized));
    let mut grid = good.clone();
    grid.entry.piece_bytes *= 2;
    bad.push((code::HASH_MISMATCH, grid));
    let mut hybrid = good.clone();
    hybrid.entry.flags |= flag::HYBRID;
    bad.push((code::HASH_MISMATCH, hybrid));
    let mut layers = good.clone();
    if let Some(byte) = layers.layers.as_mut().unwrap().iter_mut().rev().nth(3) {
        *byte ^= 1;
    }
    bad.push((code::BAD_REQUEST, layers));
    let layers_alone = Publish { v1_info: None, v2_info: None, ..good.clone() };
    bad.push((code::BAD_REQUEST, layers_alone));
    for (code, publish) in bad {
        assert_eq!(
            refused(world.ask(&mut client, &Request::Publish(publish.clone()))),
            code,
            "{:?}",
            publish.entry
        );
    }
    assert!(matches!(world.ask(&mut client, &Request::Publish(good)), Answer::Published { .. }));
}

#[test]
fn pages_give_every_name_that_stays_exactly_once_while_others_come_and_go() {
    let mut world = World::local();
    let mut client = world.client(addr("127.0.0.1:50"), Some(1));
    let name = |n: u32| format!("name{n:03}");
    let take = |n: u32| Request::Unpublish { name: name(n), hash: bare("", n).entry.v1.unwrap() };
    for n in (0..200).step_by(2) {
        world.ask(&mut client, &Request::Publish(bare(&name(n), n)));
        world.pass(Span::ms(10));
    }
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let (mut cursor, mut turn) = (None, 0);
    loop {
        let got = match cursor {
            None => page(&mut world, &mut client, 7, None),
            cursor => expect_mark!("C08", page(&mut world, &mut client, 7, cursor)),
        };
        assert!(got.items.len() <= 7);
        names(&got).iter().for_each(|name| *seen.entry((*name).to_owned()).or_default() += 1);
        // One that was given goes, one before and one after the cursor come.
        world.ask(&mut client, &take(turn * 14));
        world.ask(&mut client, &Request::Publish(bare(&name(turn * 14 + 1), turn * 14 + 1)));
        world.ask(&mut client, &Request::Publish(bare(&name(199 - turn), 199 - turn)));
        (cursor, turn) = (got.cursor, turn + 1);
        if cursor.is_none() {
            break;
        }
    }
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    for n in (0..200).step_by(2) {
        assert!(seen.contains_key(&name(n)), "{n} was left out");
    }
}

#[test]
fn contents_of_one_name_may_fall_on_two_pages_and_a_prefix_narrows_the_list() {
    let mut world = World::local();
    for key in 1..=3 {
        let mut owner = world.client(addr("127.0.0.1:50"), Some(key));
        for name in ["a", "mid", "midway", "z"] {
            let n = u32::from(key) * 100 + name.len() as u32;
            let entry = bare(name, n);
            world.ask(&mut owner, &Request::Publish(entry.clone()));
            world.announce(&Peer::new(SEEDER, 0).hash(entry.entry.v1.unwrap()));
        }
        world.end(owner.conn);
    }
    let mut client = world.client(addr("127.0.0.1:50"), None);
    let mut hashes = Vec::new();
    let mut cursor = None;
    loop {
        let list =
            List { limit: 2, cursor, prefix: Some("mid".to_owned()), glob: None, since: None };
        let Answer::Page(got) = world.ask(&mut client, &Request::List(list)) else { panic!() };
        for item in &got.items {
            let Item::Listed(listed) = item else { panic!() };
            assert!(listed.entry.name.starts_with("mid"));
            hashes.push(listed.entry.v1.unwrap());
        }
        cursor = got.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(hashes.len(), 6);
    hashes.dedup();
    assert_eq!(hashes.len(), 6);
    let list = List { limit: 2, cursor: None, prefix: None, glob: None, since: Some(5) };
    assert_eq!(refused(world.ask(&mut client, &Request::List(list))), code::RESYNC);
}

#[test]
fn a_content_with_a_source_under_either_hash_is_not_alone() {
    let mut plan = super::world::plan("127.0.0.1:6969");
    plan.keep_names_s = 100;
    let mut world = World::new(plan);
    let content = content("big.zip", &[7; 3000]);
    let v1 = content.v1.as_ref().unwrap().info_hash;
    let v2 = content.v2.as_ref().unwrap().info_hash.truncated();
    let owner = world.client(addr(SEEDER), Some(1));
    let mut bytes = Vec::new();
    Request::Publish(publish("big.zip", &content)).encode(1, 1 << 20, &mut bytes);
    world.bytes(owner.conn, &bytes);
    world.announce(&Peer::new(SEEDER, 0).hash(v1));
    world.announce(&Peer::new(SEEDER, 0).hash(v2));
    world.announce(&Peer::new(SEEDER, 0).hash(v1).event(Event::Stopped));
    for _ in 0..10 {
        world.announce(&Peer::new(SEEDER, 0).hash(v2));
        world.pass(Span::secs(20));
    }
    assert_eq!(world.row().names, 1);
    world.pass(Span::secs(140));
    assert_eq!(world.row().names, 0);
}

#[test]
fn an_owner_that_is_away_keeps_the_name_beside_whoever_uses_it_meanwhile() {
    let mut world = World::local();
    let mut alice = world.client(addr("127.0.0.1:50"), Some(1));
    let mut mallory = world.client(addr("127.0.0.1:51"), Some(2));
    let (one, two) = (bare("big.zip", 1), bare("big.zip", 2));
    let (h1, h2) = (one.entry.v1.unwrap(), two.entry.v1.unwrap());
    world.ask(&mut alice, &Request::Publish(one));
    let source = Peer::new(SEEDER, 0).hash(h1);
    world.announce(&source);
    expect_mark!("C11", world.announce(&source.event(Event::Stopped)));
    world.ask(&mut mallory, &Request::Publish(two));
    world.announce(&Peer::new("127.0.0.1:9", 0).hash(h2));
    world.pass(Span::secs(3600));
    let mut mallory = world.client(addr("127.0.0.1:53"), Some(2));
    let found = lookup(&mut world, &mut mallory, "big.zip");
    let hashes: Vec<_> = found.iter().map(|listed| listed.entry.v1.unwrap()).collect();
    assert!(hashes.contains(&h1), "an hour is less than a day: {hashes:?}");
    let take = Request::Unpublish { name: "big.zip".to_owned(), hash: h1 };
    assert_eq!(refused(world.ask(&mut mallory, &take)), code::FORBIDDEN);
}

/// Publishes `names` names of the longest with `contents` contents each; gives the names.
fn long_names(world: &mut World, names: u32, contents: u32) -> Vec<String> {
    let wanted: Vec<String> = (0..names).map(|n| format!("{n:0>255}")).collect();
    for version in 0..contents {
        let from = addr(&format!("127.0.0.1:{}", 100 + version / 8));
        let mut owner = world.client(from, Some(1 + (version / 8) as u8));
        for (n, name) in wanted.iter().enumerate() {
            let hash = n as u32 * 32 + version;
            let answer = world.ask(&mut owner, &Request::Publish(bare(name, hash)));
            assert!(matches!(answer, Answer::Published { .. }), "{answer:?}");
            let hash = bare(name, hash).entry.v1.unwrap();
            world.announce(&Peer::new("127.0.0.1:7001", 0).hash(hash));
        }
    }
    wanted
}

#[test]
fn a_lookup_answers_no_more_than_a_page_and_takes_its_work() {
    let mut world = World::local();
    let names = long_names(&mut world, 64, 16);
    let mut client = world.client(addr("127.0.0.1:50"), None);
    let ask = |names: &[String]| Request::Lookup { names: names.to_vec() };
    // One name alone always fits, and one that is asked for twice is answered once.
    let twice = [names[0].clone(), names[0].clone()];
    match world.ask(&mut client, &ask(&twice)) {
        Answer::Found { entries, .. } => assert_eq!(entries.len(), 16),
        other => panic!("{other:?}"),
    }
    match world.ask(&mut client, &ask(&names[..32])) {
        Answer::Found { entries, .. } => assert_eq!(entries.len(), 32 * 16),
        other => panic!("{other:?}"),
    }
    assert_eq!(refused(world.ask(&mut client, &ask(&names))), code::TOO_LARGE);
    // What waits to be executed waits for further turns.
    let mut bytes = Vec::new();
    (0..4).for_each(|_| ask(&names[..32]).encode(1, 1 << 20, &mut bytes));
    world.on(Input::Bytes { conn: client.conn, bytes: &bytes });
    assert!(world.answers(&mut client).len() < 4, "all in one turn");
    world.out.arena.clear();
    world.turn();
}
