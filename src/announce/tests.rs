//! The clients against a scripted tracker: bytes in and out through the outbox, virtual time.

use super::session::Health;
use super::udp::{Announcer, Heard, Identity, Stats};
use crate::core::id::{InfoHash, PeerId};
use crate::core::io::{Effect, Outbox};
use crate::core::report::SlotsRow;
use crate::core::time::{Span, Time};
use crate::expect_mark;
use crate::wire::udp::{AnnounceRequest, AnnounceResponse, Event, Request, Response};
use std::net::SocketAddr;

mod catalogue_client;
mod control_request;
mod name_lookup;
mod on_the_web;

const TRACKER: &str = "10.0.0.1:6969";
const STATS: Stats = Stats { downloaded: 1, left: 100, uploaded: 3, port: 6881, slots: None };
const DONE: Stats = Stats { left: 0, ..STATS };

fn tracker() -> SocketAddr {
    TRACKER.parse().unwrap()
}

fn at(ms: u64) -> Time {
    Time::ZERO + Span::ms(ms)
}

/// The datagrams of this turn, all of them to the tracker.
fn sent(out: &mut Outbox) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for effect in &out.effects {
        let Effect::Datagram { to, start, len, .. } = effect else { panic!("{effect:?}") };
        assert_eq!(*to, tracker());
        all.push(out.bytes(*start, *len).to_vec());
    }
    *out = Outbox::default();
    all
}

fn bytes(response: Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    response.encode(false, &mut bytes);
    bytes
}

/// An announcer, the time and what it reported.
struct World {
    announcer: Announcer,
    now: Time,
    stats: Stats,
    health: Vec<Health>,
    heard: Vec<Heard>,
    out: Outbox,
}

impl World {
    fn new(stats: Stats) -> World {
        let identity = Identity {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId(*b"-LM0100-ABCDEFGHIJKL"),
            key: 9,
            own: vec!["10.0.0.7:6881".parse().unwrap()],
        };
        let mut announcer = Announcer::new(tracker(), identity, 7);
        announcer.start(at(0));
        let (health, heard) = (Vec::new(), Vec::new());
        World { announcer, now: at(0), stats, health, heard, out: Outbox::default() }
    }

    /// What it sends now.
    fn poll(&mut self) -> Vec<Request> {
        self.health.extend(self.announcer.poll(self.now, self.stats, &mut self.out));
        sent(&mut self.out).iter().map(|bytes| Request::decode(bytes).unwrap()).collect()
    }

    /// Goes to the deadline and gives what is sent there.
    fn wake(&mut self) -> Vec<Request> {
        self.now = self.now.max(self.announcer.deadline());
        self.poll()
    }

    fn got(&mut self, response: Response) {
        let heard = self.announcer.got_datagram(self.now, tracker(), &bytes(response));
        self.heard.extend(heard);
    }

    /// Answers a connect and gives the announce that follows at once.
    fn connect(&mut self, cid: u64) -> AnnounceRequest {
        let [Request::Connect { tid }] = self.wake()[..] else { panic!("no connect") };
        self.got(Response::Connect { tid, cid });
        let announce = self.announce();
        assert_eq!(announce.cid, cid);
        announce
    }

    /// The announce sent at the deadline.
    fn announce(&mut self) -> AnnounceRequest {
        match self.wake().pop() {
            Some(Request::Announce(announce)) => announce,
            other => panic!("no announce but {other:?}"),
        }
    }

    fn answer(&mut self, tid: u32, interval_s: u32, peers: &[&str]) {
        let peers = peers.iter().map(|peer| peer.parse().unwrap()).collect();
        let answer = AnnounceResponse { tid, interval_s, leechers: 2, seeders: 1, peers };
        self.got(Response::Announce(answer));
    }

    /// Started, answered with an interval of 10 s.
    fn running(stats: Stats) -> World {
        let mut world = World::new(stats);
        let first = world.connect(1);
        world.answer(first.tid, 10, &[]);
        world
    }

    fn interval(&self) -> Span {
        match self.heard.last() {
            Some(Heard::Peers { interval, .. }) => *interval,
            other => panic!("no peers but {other:?}"),
        }
    }
}

#[test]
fn slots_are_told_where_they_are_given_and_nowhere_else() {
    assert_eq!(World::new(STATS).connect(77).url_data, b"");
    let slots = Some(SlotsRow { total: 8, free: 2, queued: 0 });
    let mut world = World::new(Stats { slots, ..STATS });
    assert_eq!(world.connect(77).url_data, b"/announce?lmk=01000200");
}

#[test]
fn the_first_announce_says_started_and_its_peers_are_filtered() {
    let mut world = World::new(STATS);
    let first = world.connect(77);
    assert_eq!((first.event, first.port, first.key, first.num_want), (Event::Started, 6881, 9, -1));
    assert_eq!((first.downloaded, first.left, first.uploaded), (1, 100, 3));
    world.answer(first.tid, 10, &["10.0.0.7:6881", "10.0.0.8:6881", "127.0.0.1:22"]);
    let Some(Heard::Peers { peers, seeders: 1, leechers: 2, .. }) = world.heard.pop() else {
        panic!()
    };
    assert_eq!(peers, ["10.0.0.8:6881".parse().unwrap()]);
    let second = world.announce();
    assert_eq!(second.event, Event::None);
    assert_ne!(second.tid, first.tid);
}

#[test]
fn a_connection_id_serves_sixty_seconds_and_not_longer() {
    let mut world = World::running(STATS);
    let mut announces = 0;
    loop {
        match world.wake().pop() {
            Some(Request::Announce(announce)) => {
                assert!(world.now <= at(60_000) && announce.cid == 1);
                world.answer(announce.tid, 10, &[]);
                announces += 1;
            }
            Some(Request::Connect { .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(world.now > at(60_000) && world.now < at(72_000), "{:?}", world.now);
    assert!(announces >= 5, "{announces}");
}

#[test]
fn a_silent_tracker_is_asked_again_and_again_and_reported_once() {
    let mut world = World::new(STATS);
    let (mut times, mut tids) = (Vec::new(), Vec::new());
    expect_mark!(
        "B20",
        for _ in 0..8 {
            let [Request::Connect { tid }] = world.wake()[..] else { panic!() };
            times.push(world.now);
            tids.push(tid);
        }
    );
    for (gap, want_ms) in times.windows(2).zip([1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]) {
        let gap_ms = gap[1].since(gap[0]).as_ms();
        assert!(gap_ms.abs_diff(want_ms) <= want_ms / 10, "{gap_ms} for {want_ms}");
    }
    tids.sort();
    tids.dedup();
    assert_eq!(tids.len(), 8, "a transaction id was used twice");
    assert_eq!(world.health, [Health::NotAnswering { tries: 2 }]);

    let announce = world.connect(3);
    assert_eq!(world.health.len(), 1, "a connect alone is not yet an answer");
    world.answer(announce.tid, 10, &[]);
    world.poll();
    assert_eq!(world.health, [Health::NotAnswering { tries: 2 }, Health::Back]);
}

#[test]
fn a_tracker_that_answers_connects_alone_is_called_silent() {
    let mut world = World::new(STATS);
    for cid in 0..4 {
        let announce = world.connect(cid);
        assert_eq!(announce.event, Event::Started);
    }
    assert_eq!(world.health, [Health::NotAnswering { tries: 2 }]);
    assert!(world.now > at(6000), "connects reset the waits: {:?}", world.now);
}

#[test]
fn strangers_wrong_transactions_and_repeated_answers_are_ignored() {
    let mut world = World::new(STATS);
    let [Request::Connect { tid }] = world.wake()[..] else { panic!() };
    let good = Response::Connect { tid, cid: 5 };
    let stranger: SocketAddr = "10.0.0.1:6970".parse().unwrap();
    let connect = bytes(good.clone());
    let heard = expect_mark!("B17", world.announcer.got_datagram(world.now, stranger, &connect));
    assert_eq!(heard, None);
    world.got(Response::Connect { tid: tid ^ 1, cid: 6 });
    world.answer(tid, 10, &["10.0.0.9:1"]);
    for junk in [&[][..], &[0; 7], &connect[..12]] {
        assert_eq!(world.announcer.got_datagram(world.now, tracker(), junk), None);
    }
    assert!(world.poll().is_empty() && world.heard.is_empty(), "one of them was taken");

    world.got(good.clone());
    let announce = world.announce();
    assert_eq!(announce.cid, 5);
    world.got(good);
    world.got(Response::Connect { tid: announce.tid, cid: 6 });
    world.got(Response::Scrape { tid: announce.tid, rows: Vec::new() });
    world.answer(tid, 10, &[]);
    assert!(world.heard.is_empty());
    world.answer(announce.tid, 10, &[]);
    world.answer(announce.tid, 10, &[]);
    assert_eq!(world.heard.len(), 1, "an answer counted twice");
}

#[test]
fn an_id_error_connects_anew_once_and_then_counts_as_an_error() {
    let mut world = World::new(STATS);
    let error = |tid| Response::Error { tid, text: "Connection ID expired".into() };
    let first = world.connect(1);
    expect_mark!("B19", world.got(error(first.tid)));
    let second = world.connect(2);
    assert_eq!((world.now, second.event), (at(0), Event::Started));
    assert!(world.heard.is_empty());
    world.got(error(second.tid));
    assert_eq!(world.heard, [Heard::Refused("Connection ID expired".into())]);
    assert!(world.poll().is_empty());
    let third = world.announce();
    assert!(world.now >= at(27_000) && third.event == Event::Started, "{:?}", world.now);
    world.answer(third.tid, 10, &[]);
    let fourth = world.announce();
    world.got(error(fourth.tid));
    let before = world.now;
    assert_eq!(world.connect(3).event, Event::None);
    assert_eq!(world.now, before, "an answer forgives the error before it");
}

#[test]
fn a_tracker_that_forgot_its_key_is_connected_to_after_one_timeout() {
    let mut world = World::running(STATS);
    world.announce();
    assert!(matches!(world.wake()[..], [Request::Connect { .. }]));
}

#[test]
fn intervals_are_clamped_and_jittered() {
    for (asked, want_s) in [(0, 5), (1, 5), (120, 120), (u32::MAX, 3600)] {
        let mut world = World::new(STATS);
        let first = world.connect(1);
        expect_mark!("B18", world.answer(first.tid, asked, &[]));
        let interval = world.interval();
        let want = Span::secs(want_s);
        assert!(interval.0.abs_diff(want.0) <= want.0 / 10, "{interval:?} for {asked}");
        assert_eq!(world.announcer.deadline(), world.now + interval);
    }
    let mut world = World::running(STATS);
    let one = world.interval();
    let next = world.announce();
    world.answer(next.tid, 10, &[]);
    assert_ne!(world.interval(), one, "no jitter");
}

#[test]
fn completed_is_said_once_at_once_and_only_after_started() {
    let mut world = World::new(STATS);
    let first = world.connect(1);
    world.announcer.completed(world.now);
    world.stats = DONE;
    assert!(world.poll().is_empty(), "started is not overtaken");
    world.answer(first.tid, 10, &[]);
    let second = world.announce();
    assert_eq!((second.event, second.left, world.now), (Event::Completed, 0, at(0)));
    world.announcer.completed(world.now);
    let Some(Request::Connect { tid }) = world.wake().pop() else { panic!() };
    world.got(Response::Connect { tid, cid: 2 });
    let again = world.announce();
    assert_eq!(again.event, Event::Completed, "unheard, it is said again");
    world.answer(again.tid, 10, &[]);
    world.announcer.completed(world.now);
    assert_eq!(world.announce().event, Event::None);
}

#[test]
fn a_refused_start_is_said_again_before_completed() {
    let mut world = World::new(STATS);
    let first = world.connect(1);
    world.announcer.completed(world.now);
    world.got(Response::Error { tid: first.tid, text: "try later".into() });
    let again = world.announce();
    assert_eq!(again.event, Event::Started);
    world.answer(again.tid, 10, &[]);
    assert_eq!(world.announce().event, Event::Completed);
}

#[test]
fn completed_overtakes_a_regular_announce() {
    let mut world = World::running(STATS);
    assert_eq!(world.announce().event, Event::None);
    world.stats = DONE;
    world.announcer.completed(world.now);
    let before = world.now;
    assert_eq!((world.announce().event, world.now), (Event::Completed, before));
}

#[test]
fn a_seeder_never_says_completed() {
    let mut world = World::running(DONE);
    world.announcer.completed(world.now);
    assert_eq!(world.announce().event, Event::None);
}

#[test]
fn hurry_announces_early_but_not_in_a_stream() {
    let mut world = World::new(STATS);
    let first = world.connect(1);
    world.answer(first.tid, 3000, &[]);
    for _ in 0..3 {
        world.announcer.hurry(world.now);
        let before = world.now;
        let announce = world.announce();
        assert_eq!(world.now.since(before), Span::secs(5));
        world.answer(announce.tid, 3000, &[]);
    }
    world.now = world.now + Span::secs(40);
    world.announcer.hurry(world.now);
    assert_eq!(world.poll().len(), 1);
}

#[test]
fn stopped_leaves_at_once_and_is_repeated_until_heard() {
    let mut world = World::running(STATS);
    // Long after the id stopped being good for anything else.
    world.now = at(100_000);
    world.announcer.stop(world.now, world.stats, &mut world.out);
    let [Request::Announce(stopped)] = &world.poll()[..] else { panic!() };
    assert_eq!((stopped.event, stopped.cid, stopped.num_want), (Event::Stopped, 1, 0));
    world.got(Response::Error { tid: stopped.tid, text: "connection id expired".into() });
    let again = world.connect(2);
    assert_eq!(again.event, Event::Stopped);
    world.answer(again.tid, 10, &[]);
    assert_eq!(world.heard.last(), Some(&Heard::Stopped));
    assert_eq!((world.poll().len(), world.announcer.deadline()), (0, Time::NEVER));
}

#[test]
fn what_was_never_announced_is_not_stopped() {
    let mut world = World::new(STATS);
    assert!(matches!(world.wake()[..], [Request::Connect { .. }]));
    world.announcer.stop(world.now, world.stats, &mut world.out);
    assert_eq!((world.poll().len(), world.announcer.deadline()), (0, Time::NEVER));
}

#[test]
fn a_short_answer_is_a_refusal() {
    let mut world = World::new(STATS);
    let first = world.connect(1);
    let mut short = vec![0, 0, 0, 1];
    short.extend(first.tid.to_be_bytes());
    let heard = world.announcer.got_datagram(world.now, tracker(), &short);
    assert!(matches!(heard, Some(Heard::Refused(_))));
    assert!(world.announcer.deadline() >= at(27_000));
}

#[test]
fn with_three_of_ten_datagrams_lost_every_announce_is_answered_in_the_end() {
    for seed in 0..50 {
        let mut rng = crate::core::rng::Rng::new(seed);
        let mut world = World::new(STATS);
        while world.heard.len() < 5 {
            for request in world.wake() {
                if rng.chance(300) || rng.chance(300) {
                    continue;
                }
                match request {
                    Request::Connect { tid } => world.got(Response::Connect { tid, cid: 1 }),
                    Request::Announce(announce) => world.answer(announce.tid, 10, &[]),
                    Request::Scrape { .. } => panic!("seed {seed}"),
                }
            }
            assert!(world.now < at(600_000), "seed {seed}: {:?}", world.heard);
        }
    }
}
