//! What people and programs look at: status, figures, metainfo, magnet links and the page.

use super::catalogue::{bare, content, publish};
use super::following::register;
use super::http_asked::{Answer, get, raw, target};
use super::world::{Peer, World, addr};
use lmk::content::magnet::Magnet;
use lmk::content::metainfo::Content;
use lmk::core::id::{InfoHash, PeerId};
use lmk::core::mark::expect_mark;
use lmk::core::report::SlotsRow;
use lmk::core::time::Span;
use lmk::wire::catalogue::entry::{Entry, flag};
use lmk::wire::catalogue::request::{Publish, Request};
use lmk::wire::control::Op;
use lmk::wire::http::query::encode;
use lmk::wire::slot_word::SlotWord;
use lmk::wire::udp;
use serde_json::Value;

/// Publishes a content as the node with this key, and lets a source announce it.
fn offer(world: &mut World, name: &str, bytes: &[u8], key: u8) -> Content {
    let content = content(name, bytes);
    let mut owner = world.client(addr("127.0.0.1:40"), Some(key));
    world.ask(&mut owner, &Request::Publish(publish(name, &content)));
    world.end(owner.conn);
    let seeder = Peer::new("127.0.0.1:7001", 0);
    world.announce(&seeder.clone().hash(content.v1.as_ref().unwrap().info_hash));
    world.announce(&seeder.hash(content.v2.as_ref().unwrap().info_hash.truncated()));
    content
}

/// So many names with a source each.
pub fn listed(world: &mut World, names: u32) {
    let mut owner = world.client(addr("127.0.0.1:40"), Some(1));
    for n in 0..names {
        let mut hash = [0x55; 20];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        let entry = Entry {
            name: format!("name {n:06}"),
            v1: Some(InfoHash(hash)),
            v2: None,
            size: 1000,
            piece_bytes: 16_384,
            flags: flag::V1,
            sha256: None,
            signed: None,
        };
        let publish = Publish::bare(entry);
        world.ask(&mut owner, &Request::Publish(publish));
        if n % 300 == 0 {
            world.pass(Span::secs(2));
        }
        world.announce(&Peer::new("127.0.0.1:7001", 0).hash(InfoHash(hash)));
    }
    world.end(owner.conn);
}

fn look(world: &mut World, target: &str) -> Answer {
    get(world, addr("127.0.0.1:60"), target)
}

fn status(world: &mut World, query: &str) -> Value {
    let answer = look(world, &format!("/status.json{query}"));
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// A node of ours that says what it has.
fn report(world: &mut World, peer: &Peer, downloaded: u64, slots: Option<SlotsRow>) {
    let cid = world.connect(peer.from);
    let url_data = slots.map(|row| format!("/announce?{}", SlotWord::of(row).pair()).into_bytes());
    let url_data = url_data.unwrap_or_default();
    let request = udp::AnnounceRequest { downloaded, url_data, ..peer.request(cid) };
    world.request(peer.from, &udp::Request::Announce(request)).unwrap();
}

#[test]
fn the_status_tells_what_each_node_has_and_when_the_last_one_is_done() {
    let mut world = World::local();
    let content = offer(&mut world, "big.zip", &[7; 100_000], 1);
    let hashes = [
        content.v1.as_ref().unwrap().info_hash,
        content.v2.as_ref().unwrap().info_hash.truncated(),
    ];
    let slots = Some(SlotsRow { total: 8, free: 0, queued: 3 });
    for (left, downloaded) in [(100_000, 0), (80_000, 20_000)] {
        // Under both identities: one node.
        for hash in hashes {
            report(&mut world, &Peer::new("127.0.0.1:7002", left).hash(hash), downloaded, slots);
        }
        world.pass(Span::secs(5));
    }
    // Somebody else's client is counted and not shown; it says too little.
    world.announce(&Peer::new("127.0.0.1:7003", 5).stock().hash(hashes[0]));
    let all = status(&mut world, "");
    assert_eq!(
        (&all["names"], &all["seeders"], &all["leechers"]),
        (&1.into(), &1.into(), &2.into())
    );
    assert_eq!(all["next"], Value::Null);
    let one = &all["contents"][0];
    assert_eq!((&one["name"], &one["size"]), (&"big.zip".into(), &100_000.into()));
    assert_eq!((&one["complete"], &one["incomplete"]), (&1.into(), &2.into()));
    assert_eq!(one["v1"], hashes[0].to_string());
    assert_eq!((&one["finish_s"], &one["metainfo"]), (&15.into(), &true.into()));
    let nodes = one["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2);
    let node = &nodes[0];
    assert_eq!((&node["addr"], &node["permille"]), (&"127.0.0.1:7002".into(), &200.into()));
    assert_eq!((&node["rate"], &node["left"]), (&4000.into(), &80_000.into()));
    assert_eq!(
        (&node["state"], &node["free"], &node["queue"]),
        (&"Unavailable".into(), &0.into(), &3.into())
    );
    assert_eq!((&node["silent_s"], &node["finish_s"]), (&5.into(), &15.into()));
    assert_eq!((&nodes[1]["permille"], &nodes[1]["state"]), (&1000.into(), &Value::Null));
    // Who leaves one swarm is still there under the other identity.
    let gone = Peer::new("127.0.0.1:7002", 5).event(udp::Event::Stopped);
    world.announce(&gone.clone().hash(hashes[0]));
    world.pass(Span::secs(2));
    assert_eq!(status(&mut world, "")["contents"][0]["nodes"].as_array().unwrap().len(), 2);
    world.announce(&gone.hash(hashes[1]));
    world.pass(Span::secs(2));
    assert_eq!(status(&mut world, "")["contents"][0]["nodes"].as_array().unwrap().len(), 1);
    // All go in time.
    world.pass(Span::secs(700));
    let left = status(&mut world, "");
    assert_eq!(left["contents"][0]["nodes"].as_array().unwrap().len(), 0);
    assert_eq!(left["contents"][0]["complete"], 0);
}

#[test]
fn a_content_that_nobody_named_has_no_fleet_and_a_forgotten_name_neither() {
    let mut world = World::local();
    world.announce(&Peer::new("127.0.0.1:7002", 5));
    assert!(look(&mut world, "/metrics").text().contains("\nlmk_fleet_nodes 0\n"));
    let content = offer(&mut world, "a", b"abc", 1);
    assert!(look(&mut world, "/metrics").text().contains("\nlmk_fleet_nodes 1\n"));
    let mut owner = world.client(addr("127.0.0.1:40"), Some(1));
    let hash = content.v1.as_ref().unwrap().info_hash;
    world.ask(&mut owner, &Request::Unpublish { name: "a".into(), hash });
    assert!(look(&mut world, "/metrics").text().contains("\nlmk_fleet_nodes 0\n"));
}

#[test]
fn many_names_come_in_parts_and_what_is_at_work_comes_first() {
    let mut world = World::local();
    listed(&mut world, 450);
    let mut hash = [0x55; 20];
    hash[..4].copy_from_slice(&444u32.to_be_bytes());
    world.announce(&Peer::new("127.0.0.1:7009", 5).hash(InfoHash(hash)));
    world.pass(Span::secs(2));
    let first = status(&mut world, "");
    let names = |status: &Value| -> Vec<String> {
        let all = status["contents"].as_array().unwrap();
        all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = names(&first);
    assert_eq!(
        (seen.len(), seen[0].as_str(), seen[1].as_str()),
        (200, "name 000444", "name 000000")
    );
    let mut next = first["next"].clone();
    while let Some(after) = next.as_str() {
        let page = status(&mut world, &format!("?after={}", after.replace(' ', "%20")));
        seen.extend(names(&page));
        next = page["next"].clone();
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 450);
    let some = status(&mut world, "?prefix=name%2000044");
    assert_eq!((names(&some).len(), &some["next"]), (10, &Value::Null));
    assert_eq!(look(&mut world, "/status.json?prefix=%ff").status, 400);
}

#[test]
fn the_generation_is_text_as_most_readers_of_json_would_lose_its_last_digits() {
    let mut world = World::local();
    listed(&mut world, 1);
    let generation = world.control(addr("127.0.0.1:9"), Op::Hello, 0).generation;
    assert!(generation > 1 << 53);
    let all = status(&mut world, "");
    assert_eq!(
        (&all["generation"], &all["not_saving"]),
        (&generation.to_string().into(), &Value::Null)
    );
}

#[test]
fn swarms_are_counted_while_somebody_is_in_them() {
    let mut world = World::local();
    let swarms = |world: &mut World| -> u32 {
        let text = look(world, "/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix("lmk_swarms ")).map(str::parse);
        line.unwrap().unwrap()
    };
    let one = Peer::new("127.0.0.1:7001", 5);
    world.announce(&one);
    world.announce(&Peer { left: 0, ..one.clone() }.event(udp::Event::Completed));
    world.announce(&Peer::new("127.0.0.1:7002", 5).hash(InfoHash([7; 20])));
    assert_eq!(swarms(&mut world), 2);
    world.announce(&one.clone().event(udp::Event::Stopped));
    assert_eq!(swarms(&mut world), 1, "what is kept for its count is no swarm");
    world.announce(&one);
    assert_eq!(swarms(&mut world), 2);
    world.pass(Span::secs(700));
    assert_eq!(swarms(&mut world), 0);
}

#[test]
fn a_status_serves_everybody_for_a_second() {
    let mut world = World::local();
    let before = look(&mut world, "/status.json").body;
    offer(&mut world, "a", b"abc", 1);
    assert_eq!(look(&mut world, "/status.json").body, before);
    world.pass(Span::ms(1100));
    assert_ne!(look(&mut world, "/status.json").body, before);
}

#[test]
fn figures_are_counted_by_kind() {
    let mut world = World::local();
    world.announce(&Peer::new("127.0.0.1:7001", 0));
    world.datagram(addr("127.0.0.1:9"), b"garbage of no kind");
    let peer = Peer::new("127.0.0.1:7002", 0);
    get(&mut world, peer.from, &super::http_asked::target(&peer, ""));
    let answer = look(&mut world, "/metrics");
    let media = answer.header("Content-Type").unwrap();
    assert!(media.starts_with("text/plain; version=0.0.4"), "{media}");
    let text = answer.text();
    for line in [
        "lmk_datagrams_received_total{kind=\"connect\"} 1",
        "lmk_datagrams_sent_total{kind=\"announce\"} 1",
        "lmk_datagrams_dropped_total{kind=\"other\"} 1",
        "lmk_announces_total{over=\"udp\"} 1",
        "lmk_announces_total{over=\"http\"} 1",
        "lmk_bytes_total{direction=\"out\",over=\"udp\"} 36",
        "lmk_peers 2",
        "lmk_swarms 1",
        "lmk_seeders 2",
        "lmk_http_requests_total 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    // Every sample has its type before it, and no name comes twice.
    let mut known = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap().to_owned();
            assert!(!known.contains(&name), "{name}");
            known.push(name);
        } else if !line.starts_with('#') {
            assert!(line.starts_with(known.last().unwrap().as_str()), "{line}");
        }
    }
}

#[test]
fn metainfo_is_given_by_hash_and_by_name_in_its_form() {
    let mut world = World::local();
    let content = offer(&mut world, "a b\u{e4}.zip", &[9; 70_000], 1);
    let (v1, v2) = (content.v1.as_ref().unwrap(), content.v2.as_ref().unwrap());
    let read = |answer: Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("Content-Type"), Some("application/x-bittorrent"));
        let file = answer.header("Content-Disposition").unwrap();
        assert_eq!(file, "attachment; filename*=UTF-8''a%20b%C3%A4.zip.torrent");
        Content::from_torrent(&answer.body).unwrap()
    };
    let by_v1 = read(look(&mut world, &format!("/torrent/{}.torrent", v1.info_hash)));
    assert_eq!(by_v1.v1.unwrap().info_hash, v1.info_hash);
    for digits in [v2.info_hash.to_string(), v2.info_hash.to_string().to_uppercase()] {
        let by_v2 = read(look(&mut world, &format!("/torrent/{digits}.torrent")));
        assert_eq!(by_v2.v2.unwrap().info_hash, v2.info_hash);
    }
    let by_name = read(look(&mut world, "/t/a%20b%c3%a4.zip.torrent"));
    assert_eq!(by_name.v1.unwrap().info_hash, v1.info_hash);
    let magnet = look(&mut world, "/magnet/a%20b%c3%a4.zip").text();
    let magnet = Magnet::parse(magnet.trim_end()).unwrap();
    assert_eq!((magnet.v1, magnet.v2), (Some(v1.info_hash), Some(v2.info_hash)));
    assert_eq!(magnet.name.as_deref(), Some("a b\u{e4}.zip"));
    assert_eq!(magnet.trackers, ["udp://127.0.0.1:6969/announce"]);
    for missing in [
        "/torrent/00.torrent".to_owned(),
        format!("/torrent/{}.torrent", "0".repeat(40)),
        format!("/torrent/{}{}.torrent", &v2.info_hash.to_string()[..40], "0".repeat(24)),
        format!("/torrent/{}", v1.info_hash),
        "/t/other.torrent".to_owned(),
        "/t/%ff.torrent".to_owned(),
        "/magnet/".to_owned(),
        "/magnet/a%".to_owned(),
    ] {
        let answer = look(&mut world, &missing);
        assert_eq!((answer.status, answer.text().matches('\n').count()), (404, 1), "{missing}");
    }
}

#[test]
fn what_waits_for_its_first_source_is_not_given() {
    let mut world = World::local();
    let content = content("a", b"abc");
    let mut owner = world.client(addr("127.0.0.1:40"), Some(1));
    world.ask(&mut owner, &Request::Publish(publish("a", &content)));
    let hash = content.v1.as_ref().unwrap().info_hash;
    for target in [format!("/torrent/{hash}.torrent"), "/t/a.torrent".into(), "/magnet/a".into()] {
        assert_eq!(look(&mut world, &target).status, 404, "{target}");
    }
    assert_eq!(status(&mut world, "")["contents"].as_array().unwrap().len(), 0);
}

#[test]
fn a_name_of_two_owners_is_nobodys_to_choose() {
    let mut world = World::local();
    let one = offer(&mut world, "a", b"one", 1);
    let newer = offer(&mut world, "a", b"two", 1);
    let magnet = look(&mut world, "/magnet/a").text();
    let hash = newer.v1.as_ref().unwrap().info_hash;
    assert_eq!(Magnet::parse(magnet.trim_end()).unwrap().v1, Some(hash), "the newest of its owner");
    offer(&mut world, "a", b"three", 2);
    for target in ["/magnet/a", "/t/a.torrent"] {
        let answer = look(&mut world, target);
        assert_eq!(answer.status, 409, "{target}");
        let v2 = one.v2.as_ref().unwrap().info_hash;
        assert!(answer.text().contains(&format!("/torrent/{v2}.torrent")), "{}", answer.text());
    }
}

#[test]
fn the_page_lets_nothing_run_but_its_own_script() {
    let mut world = World::local();
    let page = expect_mark!("C20", look(&mut world, "/"));
    assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("X-Content-Type-Options"), Some("nosniff"));
    assert!(page.header("Set-Cookie").is_none());
    let policy = page.header("Content-Security-Policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && policy.contains("connect-src 'self'"), "{policy}");
    // Whatever a page elsewhere makes a browser send changes nothing.
    let post =
        b"POST /status.json HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\n";
    assert_eq!(raw(&mut world, addr("127.0.0.1:5"), post).status, 405);
}

#[test]
fn names_that_are_markup_stay_text_in_the_status() {
    let mut world = World::local();
    let name = "<img src=x onerror=alert(1)>\"'</script>\u{5d0}";
    listed(&mut world, 1);
    let mut owner = world.client(addr("127.0.0.1:40"), Some(1));
    let entry = Entry {
        name: name.to_owned().replace('/', "|"),
        v1: Some(InfoHash([3; 20])),
        v2: None,
        size: u64::MAX >> 1,
        piece_bytes: 16_384,
        flags: flag::V1,
        sha256: None,
        signed: None,
    };
    let named = entry.name.clone();
    let publish = Publish::bare(entry);
    world.ask(&mut owner, &Request::Publish(publish));
    let mut seeder = Peer::new("127.0.0.1:7001", 0).hash(InfoHash([3; 20]));
    seeder.id = PeerId(*b"-LM0100-\"<script>\x00\xff\x07");
    world.announce(&seeder);
    let all = status(&mut world, "");
    assert_eq!(all["contents"][0]["name"], named);
}

#[test]
fn a_registered_node_is_seen_through_every_door() {
    let mut world = World::local();
    let entry = bare("one.zip", 3);
    let hash = entry.entry.v1.unwrap();
    let mut node = world.client(addr("127.0.0.1:50"), Some(1));
    world.ask(&mut node, &Request::Publish(entry));
    world.ask(&mut node, &register(&[hash], false));
    let wants = Peer::new("127.0.0.1:7009", 5).hash(hash);
    let answer = get(&mut world, wants.from, &target(&wants, "&compact=1"));
    let body = answer.body.escape_ascii().to_string();
    // 127.0.0.1:7002
    assert!(
        body.contains("8:completei1e") && body.contains("peers6:\\x7f\\x00\\x00\\x01\\x1bZ"),
        "{body}"
    );
    let mut scrape = String::from("/scrape?info_hash=");
    encode(&hash.0, &mut scrape);
    let body = look(&mut world, &scrape).body.escape_ascii().to_string();
    assert!(body.contains("8:completei1e") && body.contains("10:incompletei1e"), "{body}");
    let all = status(&mut world, "");
    assert_eq!((&all["seeders"], &all["registered"]), (&1.into(), &1.into()));
    // One that announces, too, is one all the same, and is still there when it stops announcing.
    let mut own = Peer::new("127.0.0.1:7002", 0).hash(hash);
    own.id = PeerId(*b"-LM0100-registered12");
    for (event, seeders) in [(udp::Event::None, 1), (udp::Event::Stopped, 1)] {
        world.announce(&own.clone().event(event));
        world.pass(Span::secs(2));
        let all = status(&mut world, "");
        assert_eq!((&all["seeders"], &all["registered"]), (&seeders.into(), &1.into()));
    }
    let one = &all["contents"][0];
    assert_eq!((&one["complete"], &one["incomplete"]), (&1.into(), &1.into()));
    let nodes = one["nodes"].as_array().unwrap();
    assert!(
        nodes.iter().any(|n| n["addr"] == "127.0.0.1:7002" && n["permille"] == 1000),
        "{nodes:?}"
    );
    let metrics = look(&mut world, "/metrics").text();
    for line in ["lmk_seeders 1", "lmk_registered_nodes 1", "lmk_registered_contents 1"] {
        assert!(metrics.lines().any(|shown| shown == line), "{line}");
    }
    world.end(node.conn);
    world.pass(Span::secs(2));
    let all = status(&mut world, "");
    assert_eq!((&all["seeders"], &all["registered"]), (&0.into(), &0.into()));
    assert_eq!(all["contents"][0]["complete"], 0);
}
