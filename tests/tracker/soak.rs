//! Days in the life of a tracker, in virtual time: names come and go, peers announce, finish, stop
//! or fall silent, some watch, some ask over HTTP, some say nothing sensible. Every day is the
//! same, so every night all tables must be as long as in the night before.

use super::keeping::Stage;
use super::world::{Client, Peer, T0, World, addr, plan};
use lmk::core::id::{ConnId, Hash32, InfoHash, PeerId};
use lmk::core::rng::Rng;
use lmk::core::time::Span;
use lmk::sim::store::Base;
use lmk::tracker::history::CHANGES_MAX;
use lmk::tracker::plan::{Database, TrackerPlan};
use lmk::wire::catalogue::entry::flag;
use lmk::wire::catalogue::request::{List, Publish, Register, Request, Watch};
use lmk::wire::udp::Event as Announced;
use std::collections::BTreeMap;

const CONTENTS: u64 = 24;
/// What a name without a source is kept for.
const KEEP: Span = Span::secs(1800);
/// By then everybody who fell silent is over.
const NIGHT: Span = Span::secs(2 * 3600);

/// How long a life is, and whether the driver forgets to tell the end of a connection now and then:
/// for the tracker, a leak.
#[derive(Clone, Copy)]
struct Life {
    days: u64,
    /// Virtual hours of a day before its night.
    hours: u64,
    forgetful: bool,
}

fn start() -> Stage {
    let database = Some(Database { path: "/t.db".into(), required: false });
    let keep_names_s = KEEP.as_secs();
    let plan = TrackerPlan { database, keep_names_s, wall_start_s: T0, ..plan("0.0.0.0:6969") };
    Stage::of(Base::default(), plan)
}

fn content(n: u64) -> Publish {
    let mut publish = super::catalogue::bare(&format!("name {}", n % 15), n as u32);
    if n.is_multiple_of(2) {
        publish.entry.v2 = Some(Hash32([n as u8; 32]));
        publish.entry.flags |= flag::V2;
    }
    publish
}

fn hash(n: u64) -> InfoHash {
    let entry = content(n).entry;
    match n % 4 {
        // The same content under its other hash.
        0 => entry.v2.unwrap().truncated(),
        _ => entry.v1.unwrap(),
    }
}

/// Somebody from the machine, the network, or anywhere.
fn somewhere(rng: &mut Rng) -> String {
    let (n, port) = (rng.below(6), 7000 + rng.below(3));
    match rng.below(4) {
        0 => format!("127.0.0.1:{}", port + n),
        1 => format!("10.0.1.{n}:{port}"),
        2 => format!("8.8.{n}.8:{port}"),
        _ => format!("[2001:db8:{n}::1]:{port}"),
    }
}

/// What is said once; many do so in an hour.
fn act(world: &mut World, rng: &mut Rng, clients: &mut Vec<Client>) {
    match rng.below(16) {
        0..8 => announce(world, rng),
        8 => {
            let mut bytes = vec![0; rng.below(120) as usize];
            rng.fill(&mut bytes);
            world.datagram(addr(&somewhere(rng)), &bytes);
        }
        9 => {
            let from = format!("10.0.2.{}:{}", rng.below(9) + 1, 1024 + rng.below(9999));
            let key = rng.chance(800).then(|| 1 + rng.below(4) as u8);
            clients.push(world.client(addr(&from), key));
        }
        10 => over_http(world, rng),
        _ if !clients.is_empty() => {
            let at = rng.below(clients.len() as u64) as usize;
            ask(world, rng, &mut clients[at]);
            if rng.chance(50) {
                let client = clients.swap_remove(at);
                if world.lines.contains_key(&client.conn) {
                    world.end(client.conn);
                }
            }
        }
        _ => {}
    }
}

fn announce(world: &mut World, rng: &mut Rng) {
    let left = if rng.chance(400) { 0 } else { 5 };
    let peer = Peer::new(&somewhere(rng), left).hash(hash(rng.below(CONTENTS)));
    let peer = if rng.chance(500) { peer.stock() } else { peer };
    let event = match rng.below(6) {
        0 => Announced::Stopped,
        1 if left == 0 => Announced::Completed,
        _ => Announced::None,
    };
    world.announce_raw(&peer.event(event));
}

fn over_http(world: &mut World, rng: &mut Rng) {
    let conn = world.accept(addr(&somewhere(rng)));
    let targets = ["/metrics", "/status.json", "/", "/nothing", "/announce?port=1", "/scrape"];
    let target = targets[rng.below(targets.len() as u64) as usize];
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    // Some go silent within a request, some after it.
    let said = if rng.chance(300) { rng.below(20) as usize } else { request.len() };
    world.bytes(conn, &request.as_bytes()[..said.min(request.len())]);
}

fn ask(world: &mut World, rng: &mut Rng, client: &mut Client) {
    if world.lines.get(&client.conn).is_none_or(|line| line.closed) {
        return;
    }
    let n = rng.below(CONTENTS);
    let Publish { entry, .. } = content(n);
    let request = match rng.below(10) {
        0..4 => Request::Publish(content(n)),
        4 => Request::Update { old: hash(n), to: content((n + 15) % CONTENTS) },
        5 => Request::Unpublish { name: entry.name, hash: hash(n) },
        6 => Request::Watch(Watch { names: vec!["name 1*".into()], since: None }),
        7 => {
            let (hashes, peer_id) = ((n..n + 6).map(hash).collect(), PeerId([n as u8; 20]));
            Request::Register(Register { port: 7000, peer_id, hashes, more: n.is_multiple_of(3) })
        }
        8 => Request::Lookup { names: vec![entry.name] },
        _ => {
            let (cursor, prefix, glob, since) = (None, None, None, None);
            Request::List(List { limit: 9, cursor, prefix, glob, since })
        }
    };
    let mut bytes = Vec::new();
    request.encode(1 + rng.below(5) as u16, 1 << 20, &mut bytes);
    world.bytes(client.conn, &bytes);
}

/// Tells the tracker of the connections that it closed, and looks away from what it said.
fn sweep(stage: &mut Stage, mut forgets: bool) {
    stage.world.events.clear();
    let closed = stage.world.lines.iter().filter(|(_, line)| line.closed);
    let closed: Vec<ConnId> = closed.map(|(conn, _)| *conn).collect();
    for conn in closed {
        if std::mem::take(&mut forgets) {
            stage.world.lines.remove(&conn);
        } else {
            stage.world.end(conn);
        }
    }
    for line in stage.world.lines.values_mut() {
        line.got.clear();
    }
    stage.commit();
}

/// The lengths of all tables, of those of the database, and the figures that are shown.
fn lengths(stage: &Stage) -> BTreeMap<String, u64> {
    let own = stage.world.tracker.tables().map(|(table, n)| (table.to_owned(), n as u64));
    let row = stage.world.row();
    let shown = [
        ("shown names", row.names),
        ("shown seeders", row.seeders),
        ("shown leechers", row.leechers),
        ("shown unsaved", row.store.unwrap().unsaved),
        ("rows of names", stage.base.names().count() as u64),
        ("rows of peers", stage.base.parts() as u64),
        ("rows of counts", stage.base.finished().count() as u64),
    ];
    own.chain(shown.map(|(name, n)| (name.to_owned(), n))).collect()
}

/// The lengths at the busiest moment and at the end of a day.
fn day(stage: &mut Stage, life: Life, seed: u64) -> [BTreeMap<String, u64>; 2] {
    let mut rng = Rng::new(seed);
    let mut clients = Vec::new();
    let mut noon = BTreeMap::new();
    for hour in 0..life.hours {
        for _ in 0..300 {
            act(&mut stage.world, &mut rng, &mut clients);
            stage.commit();
            stage.pass(Span::ms(rng.below(400)));
        }
        if hour == life.hours / 2 {
            noon = lengths(stage);
        }
        sweep(stage, life.forgetful);
        clients.retain(|client| stage.world.lines.contains_key(&client.conn));
        stage.pass(Span::secs(3600 - 300));
    }
    let open: Vec<ConnId> = stage.world.lines.keys().copied().collect();
    open.into_iter().for_each(|conn| stage.world.end(conn));
    stage.commit();
    stage.pass(NIGHT);
    sweep(stage, false);
    [noon, lengths(stage)]
}

/// What grew from day to day, if anything did.
fn grown(life: Life) -> Result<(), String> {
    let mut stage = start();
    let seed = 11;
    // How often a content was fetched is kept for good: on the first days there is more of it.
    (0..2).for_each(|_| drop(day(&mut stage, life, seed)));
    let first = day(&mut stage, life, seed);
    for (table, n) in &first[0] {
        println!("{table}: {n} at noon, {} at night", first[1][table]);
    }
    for table in ["connections_watching", "registered_contents", "fleet_nodes", "swarm_pairs"] {
        assert!(first[0][table] > 0, "nothing happens in {table}");
    }
    for number in 2..=life.days {
        let [noon, night] = day(&mut stage, life, seed);
        for (table, n) in &night {
            // The latest changes are remembered, up to a bound.
            let fine = match &table[..] {
                "name_changes" => *n <= CHANGES_MAX as u64,
                _ => *n == first[1][table],
            };
            if !fine {
                return Err(format!("day {number}: {table} is {n}, not {}", first[1][table]));
            }
        }
        for (table, n) in noon.iter().filter(|(table, _)| *table != "name_changes") {
            // Intervals are drawn: a peer more or less may be there still.
            if *n > first[0][table] * 11 / 10 + 5 {
                return Err(format!(
                    "noon of day {number}: {table} is {n}, not {}",
                    first[0][table]
                ));
            }
        }
    }
    Ok(())
}

#[test]
fn ten_days_leave_nothing_behind() {
    grown(Life { days: 10, hours: 22, forgetful: false }).unwrap();
}

#[test]
fn a_leak_is_found() {
    let found = grown(Life { days: 2, hours: 22, forgetful: true }).unwrap_err();
    assert!(found.contains("connections"), "{found}");
}
