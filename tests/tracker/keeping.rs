//! What a tracker keeps: answers wait for their commit, a crash at any point loses nothing that was
//! answered, and trouble with the database is said and outlived.

use super::catalogue::bare;
use super::http_asked::get;
use super::world::{Client, Peer, T0, World, addr, plan};
use lmk::core::id::{InfoHash, Ticket};
use lmk::core::io::{Command, Effect, Input, Listening};
use lmk::core::mark::expect_mark;
use lmk::core::report::Ending;
use lmk::core::rng::Rng;
use lmk::core::store::{StoreDone, StoreError, StoreOp};
use lmk::core::time::{Span, Time};
use lmk::sim::store::Base;
use lmk::tracker::plan::{Database, TrackerPlan};
use lmk::wire::catalogue::answer::{Answer, NotSaving};
use lmk::wire::catalogue::code;
use lmk::wire::catalogue::entry::Item;
use lmk::wire::catalogue::request::{List, Request};
use std::collections::BTreeSet;

const SEEDER: &str = "127.0.0.1:7001";

fn kept(wall_start_s: u64) -> TrackerPlan {
    let database = Some(Database { path: "/t.db".into(), required: false });
    TrackerPlan { database, wall_start_s, ..plan("127.0.0.1:6969") }
}

/// A tracker over a database, and what it asked of it.
pub struct Stage {
    pub world: World,
    pub base: Base,
    /// Tells what happens at each commit by itself.
    pub commits: bool,
}

impl Stage {
    fn new(base: Base) -> Stage {
        Stage::at(base, T0)
    }

    /// A tracker that was started at this second over what `base` holds; it listens.
    pub fn at(base: Base, wall_start_s: u64) -> Stage {
        Stage::of(base, kept(wall_start_s))
    }

    pub fn of(base: Base, plan: TrackerPlan) -> Stage {
        let world = World::unborn(plan);
        let mut stage = Stage { world, base, commits: true };
        stage.tell(Input::Born);
        stage
    }

    pub fn tell(&mut self, input: Input<'_>) {
        let effects = self.world.on(input);
        self.heed(effects);
    }

    fn heed(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Listen { ticket, at, .. } = effect {
                let got = Listening { tcp: Some(at), udp: Some(at) };
                self.tell(Input::Listening { ticket, result: Ok(got) });
            }
        }
        if self.commits {
            self.commit();
        }
    }

    /// Performs what was asked and tells it.
    pub fn commit(&mut self) {
        while !self.world.stores.is_empty() {
            for (ticket, done) in self.base.commit(std::mem::take(&mut self.world.stores)) {
                self.tell(Input::Stored { ticket, done });
            }
        }
    }

    pub fn pass(&mut self, span: Span) {
        let end = self.world.now + span;
        while self.world.tracker.deadline_of() <= end {
            self.world.now = self.world.now.max(self.world.tracker.deadline_of());
            self.tell(Input::Wake);
        }
        self.world.now = end;
    }

    fn client(&mut self) -> Client {
        self.world.client(addr(SEEDER), Some(1))
    }

    fn send(&mut self, client: &Client, request: &Request) {
        let mut bytes = Vec::new();
        request.encode(1, 1 << 20, &mut bytes);
        self.tell(Input::Bytes { conn: client.conn, bytes: &bytes });
    }

    fn ask(&mut self, client: &mut Client, request: &Request) -> Option<Answer> {
        self.send(client, request);
        self.world.answers(client).into_iter().next().map(|(_, answer)| answer)
    }

    fn names(&mut self, client: &mut Client) -> BTreeSet<String> {
        let list = List { limit: 4096, cursor: None, prefix: None, glob: None, since: None };
        let Some(Answer::Page(page)) = self.ask(client, &Request::List(list)) else {
            panic!("no page")
        };
        let names = page.items.iter().map(|item| match item {
            Item::Listed(listed) => listed.entry.name.clone(),
            Item::Gone { name, .. } => panic!("{name} is gone"),
        });
        names.collect()
    }
}

/// The hash under which [`bare`] publishes.
fn hash(n: u32) -> InfoHash {
    bare("x", n).entry.v1.unwrap()
}

impl Stage {
    /// The contents of a name, in the order in which their owner published them.
    fn versions(&mut self, client: &mut Client, name: &str) -> Vec<InfoHash> {
        let names = vec![name.to_owned()];
        let Some(Answer::Found { mut entries, .. }) = self.ask(client, &Request::Lookup { names })
        else {
            panic!("nothing found")
        };
        entries.sort_by_key(|listed| listed.generation);
        entries.iter().filter_map(|listed| listed.entry.v1).collect()
    }

    /// The contents that are on the disk.
    fn rows(&self) -> BTreeSet<InfoHash> {
        self.base.names().filter_map(|row| row.v1).collect()
    }

    fn is_refused(&mut self, client: &mut Client, request: &Request) {
        let answer = self.ask(client, request);
        let Some(Answer::Refused(refused)) = answer else { panic!("{answer:?}") };
        assert_eq!((refused.code, &refused.text[..]), (code::BUSY, "not saving: disk full"));
    }

    fn announced(&mut self, n: u32) {
        self.world.announce(&Peer::new(SEEDER, 0).hash(hash(n)));
    }
}

/// What must hold of some versions after a change of theirs was refused: they are as they were in
/// memory, on the disk, for whoever follows changes, once the disk has room, and after a restart.
fn nothing_is_lost_by(request: &Request, versions: u32) {
    let mut stage = Stage::new(Base::default());
    let mut client = stage.client();
    for n in 1..=versions {
        stage.ask(&mut client, &Request::Publish(bare("a", n)));
        stage.announced(n);
    }
    let all: Vec<_> = (1..=versions).map(hash).collect();
    assert_eq!(stage.versions(&mut client, "a"), all);
    let Some(Answer::Stat(stat)) = stage.ask(&mut client, &Request::Stat) else {
        panic!("no stat")
    };
    stage.base.failing = Some(StoreError::Full);
    stage.is_refused(&mut client, request);
    assert_eq!(stage.versions(&mut client, "a"), all, "in memory");
    let since = Some(stat.generation);
    let list = List { limit: 4096, cursor: None, prefix: None, glob: None, since };
    let Some(Answer::Page(page)) = stage.ask(&mut client, &Request::List(list)) else {
        panic!("no page")
    };
    let gone = page.items.iter().filter_map(|item| match item {
        Item::Gone { hash, .. } => *hash,
        Item::Listed(_) => None,
    });
    let gone: BTreeSet<_> = gone.collect();
    let gone: Vec<_> = all.iter().filter(|hash| gone.contains(hash)).collect();
    assert!(gone.is_empty(), "told as gone: {gone:?}");
    let sure: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!(stage.rows(), sure, "on the disk");
    stage.base.failing = None;
    stage.pass(Span::secs(40));
    assert_eq!(stage.rows(), sure, "on a disk with room again");
    let mut client = stage.client();
    assert_eq!(stage.versions(&mut client, "a"), all, "later");
    let mut stage = Stage::at(stage.base, T0 + 50);
    let mut client = stage.client();
    assert_eq!(stage.versions(&mut client, "a"), all, "after a restart");
    let answer =
        stage.ask(&mut client, &Request::Update { old: hash(versions), to: bare("a", 99) });
    assert!(matches!(answer, Some(Answer::Updated { .. })), "{answer:?}");
}

#[test]
fn an_update_that_cannot_be_kept_leaves_what_it_was_to_replace() {
    nothing_is_lost_by(&Request::Update { old: hash(1), to: bare("a", 9) }, 1);
    nothing_is_lost_by(&Request::Update { old: hash(8), to: bare("a", 9) }, 8);
}

#[test]
fn a_version_that_gives_way_to_one_that_cannot_be_kept_comes_back_as_the_oldest() {
    nothing_is_lost_by(&Request::Publish(bare("a", 9)), 8);
}

#[test]
fn what_cannot_be_unpublished_stays_published() {
    nothing_is_lost_by(&Request::Unpublish { name: "a".into(), hash: hash(1) }, 2);
}

#[test]
fn an_owner_who_could_not_be_kept_is_none() {
    let mut stage = Stage::new(Base::default());
    let mut first = stage.client();
    stage.ask(&mut first, &Request::Publish(bare("a", 1)));
    stage.announced(1);
    let mut second = stage.world.client(addr(SEEDER), Some(2));
    stage.base.failing = Some(StoreError::Full);
    stage.is_refused(&mut second, &Request::Publish(bare("a", 1)));
    stage.base.failing = None;
    stage.pass(Span::secs(40));
    let (mut first, mut second) = (stage.client(), stage.world.client(addr(SEEDER), Some(2)));
    let take_back = Request::Unpublish { name: "a".into(), hash: hash(1) };
    let answer = stage.ask(&mut second, &take_back);
    let Some(Answer::Refused(refused)) = answer else { panic!("{answer:?}") };
    assert_eq!(refused.code, code::FORBIDDEN);
    stage.base.failing = Some(StoreError::Full);
    stage.is_refused(&mut first, &take_back);
    assert_eq!(stage.versions(&mut first, "a"), [hash(1)]);
}

/// Requests of one client that stand on each other, in writes of their own, the first of which
/// fails, or all of them.
#[test]
fn what_stands_on_a_write_that_failed_is_taken_back_with_it() {
    for all in [true, false] {
        let mut stage = Stage::new(Base::default());
        let mut client = stage.client();
        stage.ask(&mut client, &Request::Publish(bare("a", 1)));
        stage.commits = false;
        stage.send(&client, &Request::Update { old: hash(1), to: bare("a", 2) });
        stage.send(&client, &Request::Update { old: hash(2), to: bare("a", 3) });
        let asked = std::mem::take(&mut stage.world.stores);
        assert_eq!(asked.len(), 2, "two writes");
        for (n, op) in asked.into_iter().enumerate() {
            stage.base.failing = (all || n == 0).then_some(StoreError::Full);
            for (ticket, done) in stage.base.commit(vec![op]) {
                stage.tell(Input::Stored { ticket, done });
            }
        }
        stage.commits = true;
        let updated = |answer: &Answer| matches!(answer, Answer::Updated { .. });
        let answers = stage.world.answers(&mut client);
        let done: Vec<bool> = answers.iter().map(|(_, answer)| updated(answer)).collect();
        assert_eq!(done, [false, !all]);
        let (seen, rows) = (stage.versions(&mut client, "a"), stage.rows());
        assert_eq!(rows, seen.iter().copied().collect(), "all fail: {all}");
        assert!(rows.contains(&hash(1)) && !rows.contains(&hash(2)));
        assert_eq!(rows.contains(&hash(3)), !all);
        stage.base.failing = None;
        stage.pass(Span::secs(40));
        assert_eq!(stage.rows(), rows);
    }
}

#[test]
fn an_update_costs_no_other_version() {
    let mut stage = Stage::new(Base::default());
    let mut client = stage.client();
    for n in 1..=8 {
        stage.ask(&mut client, &Request::Publish(bare("a", n)));
    }
    stage.ask(&mut client, &Request::Update { old: hash(8), to: bare("a", 9) });
    let left: Vec<_> = (1..=7).chain([9]).map(hash).collect();
    assert_eq!(stage.versions(&mut client, "a"), left);
}

/// Three datagrams make a count; a million of them must not stay for ever.
#[test]
fn counts_go_with_their_swarms() {
    let mut base = Base::default();
    let bounds = lmk::tracker::admission::Bounds { peers: 20, ..Default::default() };
    let with = |base: Base, now| {
        let plan = TrackerPlan { bounds, ..kept(now) };
        let mut stage = Stage { world: World::unborn(plan), base, commits: true };
        stage.tell(Input::Born);
        stage
    };
    for life in 0..3u32 {
        let mut stage = with(base, T0 + 100 * u64::from(life));
        for n in 0..200 {
            let peer = Peer::new(SEEDER, 5).hash(hash(1000 * life + n));
            stage.world.announce(&peer);
            stage.world.announce(&Peer { left: 0, ..peer.clone() });
            stage.world.announce(&peer.event(lmk::wire::udp::Event::Stopped));
        }
        stage.pass(Span::secs(5));
        let kept = stage.base.finished().count();
        assert!((15..=20).contains(&kept), "life {life}: {kept}, not those that are known");
        let last = hash(1000 * life + 199);
        assert!(stage.base.finished().any(|row| row == (last, 1)));
        base = stage.base;
    }
    // One that has less room than the one before it.
    let bounds = lmk::tracker::admission::Bounds { peers: 5, ..Default::default() };
    let plan = TrackerPlan { bounds, ..kept(T0 + 400) };
    let mut stage = Stage { world: World::unborn(plan), base, commits: true };
    stage.tell(Input::Born);
    stage.announced(1);
    stage.pass(Span::secs(5));
    assert!(stage.base.finished().count() <= 5);
}

#[test]
fn a_count_comes_back_with_the_peers_of_its_swarm_and_without_them() {
    let mut stage = Stage::new(Base::default());
    for n in [1, 2] {
        let peer = Peer::new("127.0.0.1:7002", 5).hash(hash(n));
        stage.world.announce(&peer);
        stage.world.announce(&Peer { left: 0, ..peer.clone() });
        if n == 2 {
            stage.world.announce(&peer.event(lmk::wire::udp::Event::Stopped));
        }
    }
    stage.pass(Span::secs(5));
    let mut stage = Stage::at(stage.base, T0 + 6);
    let mut bytes = Vec::new();
    let cid = stage.world.connect(addr(SEEDER));
    let hashes = vec![hash(1), hash(2)];
    lmk::wire::udp::Request::Scrape { cid, tid: 1, hashes }.encode(&mut bytes);
    let answer = stage.world.datagram(addr(SEEDER), &bytes).unwrap();
    let Some(lmk::wire::udp::Response::Scrape { rows, .. }) =
        lmk::wire::udp::Response::decode(&answer, false)
    else {
        panic!("no scrape")
    };
    let rows: Vec<_> = rows.iter().map(|row| (row.seeders, row.completed)).collect();
    assert_eq!(rows, [(1, 1), (0, 1)]);
}

/// An entry whose time was over when the tracker came back is swept, perhaps before everything is
/// read, and does not stay in the database for that.
#[test]
fn what_is_swept_while_the_database_is_read_is_swept_there_too() {
    let mut stage = Stage::new(Base::default());
    let mut client = stage.client();
    for n in 1..=6 {
        stage.ask(&mut client, &Request::Publish(bare("a", n)));
        stage.announced(n);
        stage
            .world
            .announce(&Peer::new(SEEDER, 0).hash(hash(n)).event(lmk::wire::udp::Event::Stopped));
    }
    stage.pass(Span::secs(3));
    assert_eq!(stage.rows().len(), 6);
    // A slow disk: each answer takes more than a second.
    let world = World::unborn(kept(T0 + 100_000));
    let mut stage = Stage { world, base: stage.base, commits: false };
    stage.tell(Input::Born);
    for _ in 0..20 {
        let asked = std::mem::take(&mut stage.world.stores);
        stage.pass(Span::secs(3));
        for (ticket, done) in stage.base.commit(asked) {
            stage.tell(Input::Stored { ticket, done });
        }
    }
    stage.commits = true;
    stage.commit();
    stage.pass(Span::secs(5));
    assert_eq!(stage.rows().len(), 0);
}

/// The deadline, without the trait in scope everywhere.
trait Deadline {
    fn deadline_of(&self) -> Time;
}

impl Deadline for lmk::tracker::Tracker {
    fn deadline_of(&self) -> Time {
        lmk::core::io::Role::deadline(self)
    }
}

#[test]
fn an_answer_waits_for_its_commit_and_those_behind_it_wait_too() {
    let mut stage = Stage::new(Base::default());
    let mut client = stage.client();
    stage.commits = false;
    stage.send(&client, &Request::Publish(bare("a", 1)));
    stage.send(&client, &Request::Publish(bare("b", 2)));
    stage.send(&client, &Request::Stat);
    assert_eq!(stage.world.answers(&mut client), []);
    let mut other = stage.client();
    assert!(matches!(stage.ask(&mut other, &Request::Stat), Some(Answer::Stat(_))));
    let commits = stage.base.commits();
    expect_mark!("C18", stage.commit());
    assert_eq!(stage.base.commits(), commits + 1, "one commit for all");
    let answers: Vec<_> = stage.world.answers(&mut client).into_iter().map(|(_, a)| a).collect();
    assert!(
        matches!(
            answers[..],
            [Answer::Published { .. }, Answer::Published { .. }, Answer::Stat(_)]
        ),
        "{answers:?}"
    );
    assert_eq!(stage.base.names().count(), 2);
    // What changes nothing needs no commit.
    stage.send(&client, &Request::Publish(bare("b", 2)));
    assert_eq!(stage.world.answers(&mut client).len(), 1);
}

#[test]
fn a_crash_at_any_point_loses_no_name_that_was_answered() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let (mut base, mut now) = (Base::default(), T0);
        let (mut sure, mut maybe) = (BTreeSet::new(), BTreeSet::<String>::new());
        for life in 0..6 {
            let mut stage = Stage::at(base, now);
            let mut client = stage.client();
            let names = stage.names(&mut client);
            assert!(sure.is_subset(&names), "seed {seed} life {life}: {sure:?} {names:?}");
            let extra: Vec<_> =
                names.difference(&sure).filter(|name| !maybe.contains(*name)).collect();
            assert!(extra.is_empty(), "seed {seed} life {life}: {extra:?}");
            stage.commits = false;
            for step in 0..rng.below(12) as u32 {
                let n = rng.below(6) as u32;
                let name = format!("n{n}");
                let taken = sure.contains(&name) && rng.chance(400);
                let hash = bare(&name, n).entry.v1.unwrap();
                let request = match taken {
                    true => Request::Unpublish { name: name.clone(), hash },
                    false => Request::Publish(bare(&name, n)),
                };
                stage.send(&client, &request);
                if taken {
                    sure.remove(&name);
                }
                maybe.insert(name.clone());
                if rng.chance(700) {
                    stage.commit();
                    let answers = stage.world.answers(&mut client);
                    if matches!(answers.last(), Some((_, Answer::Published { .. }))) {
                        sure.insert(name);
                    } else {
                        maybe.remove(&name);
                        sure.remove(&name);
                        assert!(!answers.is_empty(), "seed {seed} life {life} step {step}");
                    }
                }
            }
            if rng.chance(300) {
                // Performed, and nobody heard of it.
                stage.base.commit(std::mem::take(&mut stage.world.stores));
            }
            now += 1;
            base = stage.base;
        }
    }
}

#[test]
fn names_and_peers_of_the_last_run_are_there_at_once_with_the_time_they_have_left() {
    let mut stage = Stage::new(Base::default());
    let mut client = stage.client();
    stage.ask(&mut client, &Request::Publish(bare("a", 1)));
    let hash = bare("a", 1).entry.v1.unwrap();
    let seeder = Peer::new(SEEDER, 0).hash(hash);
    let effects_of = |stage: &mut Stage, peer: &Peer| {
        stage.world.announce(peer);
    };
    effects_of(&mut stage, &seeder);
    effects_of(&mut stage, &Peer::new("127.0.0.1:7002", 5).hash(hash));
    stage.pass(Span::secs(6));
    let mut stage = Stage::at(stage.base, T0 + 8);
    let row = stage.world.row();
    assert_eq!((row.names, row.seeders, row.leechers), (1, 1, 1));
    let answer = stage.world.announce(&Peer::new("127.0.0.1:7003", 5).hash(hash));
    assert_eq!((answer.seeders, answer.leechers), (1, 2));
    stage.pass(Span::secs(300));
    let row = stage.world.row();
    assert_eq!((row.names, row.seeders), (1, 0), "their time is over");
    assert_eq!(stage.base.names().next().map(|name| name.listed), Some(true));
}

/// What a client is told of trouble with saving; the page of `/status.json` says the same.
fn not_saving(stage: &mut Stage) -> Option<NotSaving> {
    let mut client = stage.client();
    let Some(Answer::Stat(stat)) = stage.ask(&mut client, &Request::Stat) else { panic!() };
    let status = status(stage);
    let shown = &status["not_saving"];
    match &stat.not_saving {
        None => assert!(shown.is_null(), "{shown}"),
        Some(not) => {
            assert_eq!(shown["why"], not.why);
            assert_eq!(shown["since_s"], not.since_s);
            assert_eq!(shown["changes"], not.changes);
        }
    }
    stat.not_saving
}

fn status(stage: &mut Stage) -> serde_json::Value {
    stage.pass(Span::ms(1_100));
    let answer = get(&mut stage.world, addr("127.0.0.1:60"), "/status.json");
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[test]
fn the_nodes_of_the_last_run_are_shown_as_last_known_until_they_announce() {
    let mut stage = Stage::new(Base::default());
    let mut client = stage.client();
    stage.ask(&mut client, &Request::Publish(bare("a", 1)));
    let hash = bare("a", 1).entry.v1.unwrap();
    stage.world.announce(&Peer::new(SEEDER, 0).hash(hash));
    let leecher = Peer::new("127.0.0.1:7002", 1).hash(hash);
    stage.world.announce(&leecher);
    stage.world.announce(&Peer::new("127.0.0.1:7003", 1).hash(hash).stock());
    stage.pass(Span::secs(6));
    // Killed: nobody said goodbye.
    let mut stage = Stage::at(stage.base, T0 + 8);
    let nodes = |stage: &mut Stage| {
        let status = status(stage);
        let nodes = status["contents"][0]["nodes"].as_array().unwrap().clone();
        let shown = |node: &serde_json::Value| {
            let addr = node["addr"].as_str().unwrap().to_owned();
            (addr, node["permille"].as_u64(), node["last_known"].as_bool().unwrap())
        };
        let silent = nodes[0]["silent_s"].as_u64().unwrap();
        (nodes.iter().map(shown).collect::<Vec<_>>(), silent)
    };
    let (shown, silent) = nodes(&mut stage);
    let (one, two) =
        (("127.0.0.1:7002".to_owned(), Some(0), true), (SEEDER.into(), Some(1000), true));
    assert_eq!(shown, [one.clone(), two.clone()], "those of ours alone");
    assert!((8..11).contains(&silent), "{silent} s: it was heard by the run before");
    stage.world.announce(&leecher);
    assert_eq!(nodes(&mut stage).0, [(one.0, one.1, false), two]);
    stage.pass(Span::secs(700));
    let status = status(&mut stage);
    assert_eq!(status["contents"][0]["nodes"].as_array().unwrap().len(), 0, "they go in time");
}

#[test]
fn on_a_full_disk_publishing_is_refused_until_there_is_room() {
    let mut stage = Stage::new(Base::default());
    let mut client = stage.client();
    stage.ask(&mut client, &Request::Publish(bare("a", 1)));
    stage.base.failing = Some(StoreError::Full);
    let lost = expect_mark!("C17", stage.ask(&mut client, &Request::Publish(bare("b", 2))));
    let again = stage.ask(&mut client, &Request::Publish(bare("c", 3)));
    for answer in [lost, again] {
        let Some(Answer::Refused(refused)) = answer else { panic!("{answer:?}") };
        assert_eq!((refused.code, &refused.text[..]), (code::BUSY, "not saving: disk full"));
    }
    let said = |stage: &Stage| {
        let lines = stage.world.told("database").into_iter();
        lines.filter(|line| line.contains("saving")).count()
    };
    assert_eq!(said(&stage), 1);
    let status = stage.world.row().store.unwrap();
    assert_eq!((status.trouble, status.unsaved), (Some("not saving: disk full"), 1));
    let why = "not saving: disk full".to_owned();
    assert_eq!(not_saving(&mut stage), Some(NotSaving { why, since_s: T0, changes: 1 }));
    stage.pass(Span::secs(65));
    assert_eq!(not_saving(&mut stage).unwrap().since_s, T0, "since it began");
    assert_eq!(said(&stage), 1, "said once");
    stage.base.failing = None;
    stage.pass(Span::secs(31));
    assert_eq!(said(&stage), 2);
    assert_eq!(stage.world.row().store.unwrap().trouble, None);
    assert_eq!(not_saving(&mut stage), None);
    // The first one was silent for too long.
    let mut client = stage.client();
    assert!(!stage.names(&mut client).contains("b"), "what was refused is not published later");
    assert!(stage.base.names().all(|row| row.name != "b"));
    let answer = stage.ask(&mut client, &Request::Publish(bare("c", 3)));
    assert!(matches!(answer, Some(Answer::Published { .. })), "{answer:?}");
}

#[test]
fn an_end_waits_until_everything_is_written_and_is_known_to_be_orderly() {
    let mut stage = Stage::new(Base::default());
    let mut client = stage.client();
    stage.ask(&mut client, &Request::Publish(bare("a", 1)));
    stage.world.announce(&Peer::new(SEEDER, 0).hash(bare("a", 1).entry.v1.unwrap()));
    stage.commits = false;
    stage.tell(Input::Asked(Command::Terminate));
    assert_eq!(stage.world.ending, None);
    stage.commit();
    assert_eq!(stage.world.ending, Some(Ending::Terminated));
    let done = stage.base.commit(vec![(Ticket(0), StoreOp::Open { unix_s: 0 })]);
    let StoreDone::Opened(Ok(opened)) = &done[0].1 else { panic!("{done:?}") };
    assert!(opened.orderly);
    assert!(stage.base.names().all(|name| name.listed));
}

#[test]
fn without_its_usual_place_a_tracker_goes_on_and_says_so() {
    let mut base = Base::default();
    base.shut = Some(StoreError::ReadOnly);
    let mut stage = expect_mark!("C17", Stage::new(base));
    assert!(stage.world.told("database")[0].contains("not saving"));
    let mut client = stage.client();
    let answer = stage.ask(&mut client, &Request::Publish(bare("a", 1)));
    assert!(matches!(answer, Some(Answer::Published { .. })), "{answer:?}");
    assert_eq!(stage.world.row().store, None);
    assert!(not_saving(&mut stage).is_some());
    for (error, ending) in [
        (StoreError::InUse(Some(7)), Ending::Refused),
        (StoreError::Newer(2), Ending::Disk),
        (StoreError::Foreign, Ending::Disk),
    ] {
        let mut base = Base::default();
        base.shut = Some(error);
        let stage = Stage::new(base);
        assert_eq!(stage.world.ending, Some(ending));
    }
}
