//! What a tracker keeps: answers wait for their commit, a crash at any point loses nothing that was
//! answered, and trouble with the database is said and outlived.

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
use lmk::wire::catalogue::answer::Answer;
use lmk::wire::catalogue::code;
use lmk::wire::catalogue::entry::{Entry, Item, flag};
use lmk::wire::catalogue::request::{List, Publish, Request};
use std::collections::BTreeSet;

const SEEDER: &str = "127.0.0.1:7001";

fn kept(wall_start_s: u64) -> TrackerPlan {
    let database = Some(Database { path: "/t.db".into(), required: false });
    TrackerPlan { database, wall_start_s, ..plan("127.0.0.1:6969") }
}

fn bare(name: &str, n: u32) -> Publish {
    let mut hash = [0; 20];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    let entry = Entry {
        name: name.to_owned(),
        v1: Some(InfoHash(hash)),
        v2: None,
        size: 1,
        piece_bytes: 16_384,
        flags: flag::V1,
        sha256: None,
        signed: None,
    };
    Publish { entry, v1_info: None, v2_info: None, layers: None, same_ok: false }
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
    stage.pass(Span::secs(65));
    assert_eq!(said(&stage), 1, "said once");
    stage.base.failing = None;
    stage.pass(Span::secs(31));
    assert_eq!(said(&stage), 2);
    assert_eq!(stage.world.row().store.unwrap().trouble, None);
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
