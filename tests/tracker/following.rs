//! Following the catalogue: globs, lists of changes, watches, and nodes that register.

use super::catalogue::bare;
use super::world::{Client, Peer, World, addr};
use lmk::core::id::{InfoHash, PeerId};
use lmk::core::io::Input;
use lmk::core::time::Span;
use lmk::tracker::conversation::QUEUE_BYTES;
use lmk::tracker::history::CHANGES_MAX;
use lmk::wire::catalogue::answer::Answer;
use lmk::wire::catalogue::code;
use lmk::wire::catalogue::entry::Item;
use lmk::wire::catalogue::request::{List, Register, Request, Watch};
use lmk::wire::control::{Op, caps};

const SEEDER: &str = "127.0.0.1:7001";

/// Publishes a name and lets its source announce: everybody sees it.
fn show(world: &mut World, owner: &mut Client, name: &str, n: u32) {
    let publish = bare(name, n);
    let hash = publish.entry.v1.unwrap();
    world.ask(owner, &Request::Publish(publish));
    world.announce(&Peer::new(SEEDER, 0).hash(hash));
    world.turn();
}

fn hide(world: &mut World, owner: &mut Client, name: &str, n: u32) {
    let hash = bare(name, n).entry.v1.unwrap();
    world.ask(owner, &Request::Unpublish { name: name.to_owned(), hash });
}

fn story(items: &[Item]) -> Vec<String> {
    let line = |item: &Item| match item {
        Item::Listed(listed) => listed.entry.name.clone(),
        Item::Gone { name, .. } => format!("-{name}"),
    };
    items.iter().map(line).collect()
}

/// All pages of a list, as names, and the generation of the last one.
fn list(world: &mut World, client: &mut Client, list: List) -> Result<(Vec<String>, u64), u8> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let request = Request::List(List { cursor, ..list.clone() });
        match world.ask(client, &request) {
            Answer::Page(page) => {
                all.extend(story(&page.items));
                cursor = page.cursor;
                if cursor.is_none() {
                    return Ok((all, page.generation));
                }
            }
            Answer::Refused(refused) => return Err(refused.code),
            other => panic!("{other:?}"),
        }
    }
}

fn glob(glob: &str) -> List {
    List { limit: 2, cursor: None, prefix: None, glob: Some(glob.into()), since: None }
}

fn since(generation: u64) -> List {
    List { limit: 2, cursor: None, prefix: None, glob: None, since: Some(generation) }
}

/// What a watch said since the last look: names, and how it ended, if it did.
fn news(world: &mut World, client: &mut Client, stream: u16) -> (Vec<String>, Option<u8>) {
    let (mut all, mut end) = (Vec::new(), None);
    for (on, answer) in world.answers(client) {
        match answer {
            Answer::Watched(watched) if on == stream => all.extend(story(&watched.items)),
            Answer::Unwatched if on == stream => end = Some(0),
            Answer::Refused(refused) if on == stream => end = Some(refused.code),
            other => panic!("{on}: {other:?}"),
        }
    }
    (all, end)
}

fn send(world: &mut World, client: &Client, stream: u16, request: &Request) {
    let mut bytes = Vec::new();
    request.encode(stream, 1 << 20, &mut bytes);
    world.bytes(client.conn, &bytes);
}

fn watch(names: &[&str], since: Option<u64>) -> Request {
    Request::Watch(Watch { names: names.iter().map(|name| (*name).to_owned()).collect(), since })
}

#[test]
fn a_glob_narrows_the_list_and_a_page_that_looked_long_enough_goes_on_elsewhere() {
    let mut world = World::local();
    let mut owner = world.client(addr("127.0.0.1:50"), Some(1));
    for (n, name) in ["a.iso", "a.zip", "ab.iso", "b.iso", "c[1].iso"].into_iter().enumerate() {
        show(&mut world, &mut owner, name, n as u32);
    }
    let mut client = world.client(addr("127.0.0.1:51"), None);
    let mut of = |text: &str| list(&mut world, &mut client, glob(text)).map(|(names, _)| names);
    assert_eq!(of("*.iso").unwrap(), ["a.iso", "ab.iso", "b.iso", "c[1].iso"]);
    assert_eq!(of("a*.iso").unwrap(), ["a.iso", "ab.iso"]);
    assert_eq!(of("c\\[1].iso").unwrap(), ["c[1].iso"]);
    assert_eq!(of("x*").unwrap(), [""; 0]);
    assert_eq!(of("[").unwrap_err(), code::BAD_REQUEST);
    for n in 0..20_000 {
        let publish = bare(&format!("many{n:05}"), 100 + n);
        world.ask(&mut owner, &Request::Publish(publish));
        if n % 500 == 0 {
            world.pass(Span::ms(1));
        }
    }
    let page = world.ask(&mut client, &Request::List(glob("*z")));
    let Answer::Page(page) = page else { panic!("{page:?}") };
    assert!(page.items.is_empty() && page.cursor.is_some(), "bounded work, and a place to go on");
    assert_eq!(list(&mut world, &mut client, glob("many1999*")).unwrap().0, [""; 0], "pending");
    assert_eq!(list(&mut world, &mut owner, glob("many1999*")).unwrap().0.len(), 10);
}

#[test]
fn a_list_of_changes_turns_the_old_list_into_the_new_one() {
    let mut world = World::local();
    let mut owner = world.client(addr("127.0.0.1:50"), Some(1));
    let mut client = world.client(addr("127.0.0.1:51"), None);
    for n in 0..5 {
        show(&mut world, &mut owner, &format!("old{n}"), n);
    }
    let (_, before) = list(&mut world, &mut client, glob("*")).unwrap();
    assert_eq!(list(&mut world, &mut client, since(before)).unwrap(), (vec![], before));
    for n in 5..8 {
        show(&mut world, &mut owner, &format!("new{n}"), n);
    }
    hide(&mut world, &mut owner, "old1", 1);
    hide(&mut world, &mut owner, "new6", 6);
    let (told, now) = list(&mut world, &mut client, since(before)).unwrap();
    let names = |told: &[String]| {
        let mut names = std::collections::BTreeSet::new();
        for line in told {
            match line.strip_prefix('-') {
                Some(gone) => names.remove(gone),
                None => names.insert(line.clone()),
            };
        }
        names.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(names(&told), ["new5", "new7"]);
    assert!(told.contains(&"-old1".to_owned()), "{told:?}");
    assert_eq!(list(&mut world, &mut client, since(now)).unwrap().0, [""; 0]);
    for odd in [now + 1, 0, before - 1000] {
        assert_eq!(list(&mut world, &mut client, since(odd)), Err(code::RESYNC), "{odd}");
    }
}

#[test]
fn a_watch_tells_what_is_there_what_comes_and_what_goes_until_it_is_ended() {
    let mut world = World::local();
    let mut owner = world.client(addr("127.0.0.1:50"), Some(1));
    let mut client = world.client(addr("127.0.0.1:51"), None);
    show(&mut world, &mut owner, "here.iso", 1);
    show(&mut world, &mut owner, "other.zip", 2);
    send(&mut world, &client, 3, &watch(&["*.iso", "big.zip"], None));
    assert_eq!(news(&mut world, &mut client, 3), (vec!["here.iso".to_owned()], None));
    let publish = bare("big.zip", 3);
    let hash = publish.entry.v1.unwrap();
    world.ask(&mut owner, &Request::Publish(publish));
    assert_eq!(news(&mut world, &mut client, 3).0, [""; 0], "nobody has it yet");
    world.announce(&Peer::new(SEEDER, 0).hash(hash));
    world.turn();
    assert_eq!(news(&mut world, &mut client, 3).0, ["big.zip"], "at once");
    show(&mut world, &mut owner, "third.zip", 4);
    hide(&mut world, &mut owner, "here.iso", 1);
    assert_eq!(news(&mut world, &mut client, 3).0, ["-here.iso"]);
    send(&mut world, &client, 3, &Request::Unwatch);
    assert_eq!(news(&mut world, &mut client, 3), (vec![], Some(0)));
    show(&mut world, &mut owner, "big2.iso", 5);
    assert_eq!(news(&mut world, &mut client, 3), (vec![], None));
    // Four at a time.
    for stream in 1..=4 {
        send(&mut world, &client, stream, &watch(&["none"], None));
        assert_eq!(news(&mut world, &mut client, stream), (vec![], None));
    }
    send(&mut world, &client, 5, &watch(&["none"], None));
    assert_eq!(news(&mut world, &mut client, 5).1, Some(code::QUOTA));
    world.end(client.conn);
}

#[test]
fn a_watch_that_is_not_read_costs_its_queue_and_then_reads_anew() {
    let mut world = World::local();
    let mut owner = world.client(addr("127.0.0.1:50"), Some(1));
    let (_, start) = list(&mut world, &mut owner, glob("*")).unwrap();
    let mut client = world.client(addr("127.0.0.1:51"), Some(1));
    world.flowing = false;
    send(&mut world, &client, 9, &watch(&["*"], Some(start)));
    let publishes = CHANGES_MAX as u32 + 20_000;
    let mut most = 0;
    for n in 0..publishes {
        let mut bytes = Vec::new();
        Request::Publish(bare(&format!("n{n}"), n)).encode(1, 1 << 20, &mut bytes);
        world.bytes(owner.conn, &bytes);
        world.drain(owner.conn, u64::MAX);
        if n % 1000 == 0 {
            world.lines.get_mut(&owner.conn).unwrap().got.clear();
            world.pass(Span::ms(100));
            // It reads now and then, and so little that it is kept.
            world.drain(client.conn, 10);
        }
        most = most.max(world.line(client.conn).queued);
    }
    assert!(most <= QUEUE_BYTES + 300 * 1024, "{most}");
    world.flowing = true;
    world.drain(client.conn, u64::MAX);
    world.turn();
    let (told, end) = news(&mut world, &mut client, 9);
    assert_eq!(end, Some(code::RESYNC));
    assert!(told.len() < 10_000, "{}", told.len());
}

#[test]
fn a_flood_of_requests_is_done_a_piece_a_turn() {
    let mut world = World::local();
    let owner = world.client(addr("127.0.0.1:50"), Some(1));
    let mut bytes = Vec::new();
    for n in 0..1000 {
        Request::Publish(bare(&format!("n{n}"), n)).encode(1, 1 << 20, &mut bytes);
    }
    world.on(Input::Bytes { conn: owner.conn, bytes: &bytes });
    let done = |world: &World| world.told("published").len();
    assert!(done(&world) < 50, "{}", done(&world));
    world.on(Input::Wake);
    assert!((30..100).contains(&done(&world)), "{}", done(&world));
    world.turn();
    assert_eq!(done(&world), 1000);
}

pub fn register(hashes: &[InfoHash], more: bool) -> Request {
    let peer_id = PeerId(*b"-LM0100-registered12");
    Request::Register(Register { port: 7002, peer_id, hashes: hashes.to_vec(), more })
}

#[test]
fn a_registered_node_is_a_source_of_all_its_contents_for_as_long_as_it_is_there() {
    let mut world = World::local();
    let mut node = world.client(addr("127.0.0.1:50"), Some(1));
    let mut client = world.client(addr("127.0.0.1:51"), None);
    let hashes: Vec<InfoHash> = (0..3000).map(|n| bare("", n).entry.v1.unwrap()).collect();
    world.ask(&mut node, &Request::Publish(bare("early", 1)));
    for part in hashes.chunks(1000) {
        let answer = world.ask(&mut node, &register(part, true));
        assert!(matches!(answer, Answer::Registered { lease_s: 30, .. }), "{answer:?}");
    }
    world.ask(&mut node, &Request::Publish(bare("late", 2)));
    let seen = list(&mut world, &mut client, glob("*")).unwrap().0;
    assert_eq!(seen, ["early", "late"], "they need no announce");
    // Handed out to who wants one, counted once even if it announces, too.
    let wants = Peer::new("127.0.0.1:7009", 5).hash(hashes[2]);
    let answer = world.announce(&wants);
    assert_eq!((answer.peers, answer.seeders), (vec![addr("127.0.0.1:7002")], 1));
    let mut own = Peer::new("127.0.0.1:7002", 0).hash(hashes[2]);
    own.id = PeerId(*b"-LM0100-registered12");
    world.announce(&own);
    let answer = world.announce(&wants);
    assert_eq!((answer.peers, answer.seeders), (vec![addr("127.0.0.1:7002")], 1));
    // A lease is renewed by pings alone.
    for _ in 0..3 {
        world.pass(Span::secs(20));
        world.ask(&mut node, &Request::Ping);
        world.ask(&mut client, &Request::Ping);
        world.announce(&wants);
    }
    assert_eq!(world.announce(&wants.clone().hash(hashes[2999])).seeders, 1);
    let one = &hashes[..1];
    let answer = world.ask(&mut node, &register(one, false));
    assert!(matches!(answer, Answer::Registered { contents: 1, .. }), "{answer:?}");
    assert_eq!(world.announce(&wants.clone().hash(hashes[2999])).seeders, 0);
    world.end(node.conn);
    assert_eq!(world.announce(&wants.clone().hash(hashes[0])).seeders, 0, "at once");
    let reader = world.ask(&mut client, &register(one, false));
    assert!(matches!(reader, Answer::Refused(_)), "who has no key registers nothing: {reader:?}");
}

#[test]
fn a_tracker_says_what_it_can_how_old_it_is_and_whether_its_names_may_come_back() {
    let mut world = World::local();
    world.pass(Span::secs(7));
    let answer = world.control(addr("127.0.0.1:50"), Op::Hello, 0);
    let can = caps::DELTA | caps::PREFIX | caps::WATCH | caps::REGISTER | caps::GLOB;
    assert_eq!((answer.caps & can, answer.age_s), (can, 7));
    assert_eq!(answer.caps & caps::RETURNING, 0, "its first run");
}
