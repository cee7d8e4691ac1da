//! Every law can fail: a bug is planted for each of them in the real roles, and the law must name
//! it.

use lmk::core::chunk::Chunk;
use lmk::core::id::ConnId;
use lmk::core::io::{Effect, FileDone, FileError, FileOp, Input, Outbox, Role};
use lmk::core::report::Snapshot;
use lmk::core::store::{Change, StoreDone, StoreError, StoreOp};
use lmk::core::time::Time;
use lmk::node::Node;
use lmk::node::plan::{Job, NodePlan};
use lmk::sim::catalogue::Publishing;
use lmk::sim::store::Blow;
use lmk::sim::swarm::{Cast, Swarm};
use lmk::tracker::Tracker;
use lmk::tracker::plan::TrackerPlan;
use lmk::wire::peer::{BlockRef, Message};
use std::net::SocketAddr;

/// A planted bug must show within this many seeds.
const SEEDS: u64 = 200;

/// What is done to the wishes of a role.
type Bend = fn(&mut bool, &mut Outbox);

/// A role with a bug in what it hears or in what it wishes.
struct Bent {
    role: Box<dyn Role>,
    hears: fn(FileDone) -> FileDone,
    wishes: Bend,
    /// For bugs that happen once.
    done: bool,
}

impl Role for Bent {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let input = match input {
            Input::File { ticket, done } => Input::File { ticket, done: (self.hears)(done) },
            other => other,
        };
        self.role.on(now, input, out);
        (self.wishes)(&mut self.done, out);
    }

    fn deadline(&self) -> Time {
        self.role.deadline()
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        self.role.snapshot(now)
    }

    fn audit(&self) -> Result<(), String> {
        self.role.audit()
    }
}

fn bent(plan: NodePlan, hears: fn(FileDone) -> FileDone, wishes: Bend) -> Box<dyn Role> {
    Box::new(Bent { role: Box::new(Node::new(plan)), hears, wishes, done: false })
}

/// Some seed shows the bug, and the law says so.
#[track_caller]
fn is_caught(law: &str, node: fn(NodePlan) -> Box<dyn Role>) {
    is_caught_of(law, Cast { node, ..Cast::real() });
}

#[track_caller]
fn is_caught_of(law: &str, cast: Cast) {
    let mut others = Vec::new();
    for seed in 0..SEEDS {
        match Swarm::new(seed, cast, false).play() {
            Err(what) if what.contains(law) => return,
            Err(what) => others.push(what),
            Ok(()) => {}
        }
    }
    panic!("{law} was not named in {SEEDS} seeds, but {:?}", others.first());
}

/// The bytes of a wish to send, if they are not in a file.
fn sent<'a>(effect: &'a Effect, out: &'a Outbox) -> Option<(ConnId, &'a [u8])> {
    match effect {
        Effect::Send { conn, chunk: Chunk::Head(head) } => Some((*conn, head.bytes())),
        Effect::Send { conn, chunk: Chunk::Arena { start, len } } => {
            Some((*conn, out.bytes(*start, *len)))
        }
        _ => None,
    }
}

#[test]
fn s3_a_journal_that_vouches_for_what_was_not_synced() {
    is_caught("S3", |plan| {
        bent(plan, std::convert::identity, |_, out| {
            for effect in &mut out.effects {
                if let Effect::File { op, .. } = effect
                    && let FileOp::Sync { file, .. } = *op
                {
                    *op = FileOp::Lock { file };
                }
            }
        })
    });
}

#[test]
fn s4_a_run_that_does_not_believe_what_is_there() {
    is_caught("S4", |plan| match plan.job {
        Job::Seed(_) => Box::new(Node::new(plan)),
        Job::Fetch(_) => bent(
            plan,
            |done| match done {
                FileDone::Read { page, result } => {
                    FileDone::Read { page: vec![0; page.len()], result }
                }
                other => other,
            },
            |_, _| {},
        ),
    });
}

/// A tracker with a bug in what it asks of its database.
struct Forgetful {
    role: Tracker,
    /// It says that a write was done which it never asked for.
    swallows: bool,
    /// What goes is removed by a later write although the write that said so failed.
    asked: Vec<Change>,
    owed: Vec<Change>,
}

impl Role for Forgetful {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        if let Input::Stored { done: StoreDone::Written { result, .. }, .. } = &input {
            let asked = std::mem::take(&mut self.asked);
            if result.is_err() {
                self.owed.extend(asked);
            }
        }
        self.role.on(now, input, out);
        for effect in &mut out.effects {
            let Effect::Store { op: StoreOp::Write(changes), .. } = effect else { continue };
            if self.swallows {
                changes.retain(|change| !matches!(change, Change::Name(_)));
            }
            let goes = changes.iter().filter(|change| matches!(change, Change::DropName(_)));
            self.asked.extend(goes.cloned());
            changes.append(&mut self.owed);
        }
    }

    fn deadline(&self) -> Time {
        self.role.deadline()
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        self.role.snapshot(now)
    }
}

fn forgetful(plan: TrackerPlan, swallows: bool) -> Box<dyn Role> {
    let role = Tracker::new(plan);
    Box::new(Forgetful { role, swallows, asked: Vec::new(), owed: Vec::new() })
}

#[test]
fn s6_a_tracker_that_acknowledges_what_it_does_not_keep() {
    let cast = Cast { tracker: |plan| forgetful(plan, true), ..Cast::real() };
    let what = Publishing::new(1, cast, None).play().unwrap_err();
    assert!(what.contains("S6"), "{what}");
}

#[test]
fn s6_a_tracker_that_drops_the_old_although_the_new_was_refused() {
    let cast = Cast { tracker: |plan| forgetful(plan, false), ..Cast::real() };
    let refused = |at| Some((at, Blow::Refused(StoreError::Full)));
    let lost = (0..40).filter_map(|at| Publishing::new(1, cast, refused(at)).play().err());
    let lost: Vec<String> = lost.collect();
    assert!(!lost.is_empty() && lost.iter().all(|what| what.contains("S6")), "{lost:?}");
}

#[test]
fn s8_a_role_that_dials_without_bound() {
    is_caught("S8", |plan| {
        bent(plan, std::convert::identity, |done, out| {
            if !std::mem::replace(done, true) {
                let nobody = |n: u8| SocketAddr::from(([10, 9, 9, n], 1));
                (0..60).for_each(|n| _ = out.dial(nobody(n)));
            }
        })
    });
}

#[test]
fn s9_a_role_that_queues_without_bound() {
    is_caught("S9", |plan| {
        bent(plan, std::convert::identity, |done, out| {
            let dialled = out.effects.iter().find_map(|effect| match effect {
                Effect::Dial { conn, .. } => Some(*conn),
                _ => None,
            });
            if let Some(conn) = dialled.filter(|_| !std::mem::replace(done, true)) {
                out.send(conn, &vec![0; 6 << 20]);
            }
        })
    });
}

/// Where a block begins to leave: its head, and the span after it.
fn block_at(out: &Outbox) -> Option<usize> {
    out.effects.windows(2).position(|two| {
        let head = sent(&two[0], out).is_some_and(|(_, bytes)| bytes.get(4) == Some(&7));
        head && matches!(two[1], Effect::Send { chunk: Chunk::File(_), .. })
    })
}

#[test]
fn s11_a_request_that_is_never_answered() {
    is_caught("S11", |plan| {
        bent(plan, std::convert::identity, |done, out| {
            if let Some(at) = block_at(out).filter(|_| !std::mem::replace(done, true)) {
                out.effects.drain(at..at + 2);
            }
        })
    });
}

#[test]
fn s11_a_request_that_is_answered_twice() {
    is_caught("S11", |plan| {
        bent(plan, std::convert::identity, |done, out| {
            if let Some(at) = block_at(out).filter(|_| !std::mem::replace(done, true))
                && let Effect::Send { conn, chunk: Chunk::File(span) } = &out.effects[at + 1]
                && let Some((_, head)) = sent(&out.effects[at], out)
            {
                let (conn, span, head) = (*conn, *span, head.to_vec());
                out.send(conn, &head);
                out.send_chunk(conn, Chunk::File(span));
            }
        })
    });
}

fn is_request(effect: &Effect, out: &Outbox) -> bool {
    sent(effect, out).is_some_and(|(_, bytes)| bytes.starts_with(&[0, 0, 0, 13, 6]))
}

#[test]
fn s12_a_leecher_that_asks_again_and_again() {
    is_caught("S12", |plan| {
        bent(plan, std::convert::identity, |_, out| {
            let asked = out.effects.iter().filter(|effect| is_request(effect, out));
            let again: Vec<(ConnId, Vec<u8>)> = asked
                .filter_map(|effect| sent(effect, out))
                .map(|(conn, bytes)| (conn, bytes.to_vec()))
                .collect();
            again.iter().for_each(|(conn, bytes)| out.send(*conn, bytes));
        })
    });
}

#[test]
fn s13_a_leecher_that_trusts_a_liar() {
    is_caught("S13", |plan| {
        bent(plan, std::convert::identity, |_, out| {
            let lied = |effect: &Effect| matches!(effect, Effect::Tell(e) if e.kind == "corrupt");
            let Some(at) = out.effects.iter().position(lied) else { return };
            let closed = out.effects[at..].iter().position(|e| matches!(e, Effect::Close { .. }));
            let Some(at) = closed.map(|after| at + after) else { return };
            let Effect::Close { conn, .. } = out.effects[at] else { return };
            let block = BlockRef { piece: 0, begin: 0, len: 16 * 1024 };
            out.effects.truncate(at);
            out.send(conn, &Message::Request(block).encode());
        })
    });
}

#[test]
fn l2_a_slot_that_is_given_and_never_told() {
    is_caught("L2", |plan| {
        bent(plan, std::convert::identity, |_, out| {
            let unchoke = Message::Unchoke.encode();
            let unchokes =
                |effect: &Effect| sent(effect, out).is_some_and(|(_, bytes)| bytes == &*unchoke);
            let kept: Vec<bool> = out.effects.iter().map(|effect| !unchokes(effect)).collect();
            let mut kept = kept.into_iter();
            out.effects.retain(|_| kept.next().unwrap_or(true));
        })
    });
}

#[test]
fn l3_a_tracker_that_does_not_answer_announces() {
    let tracker: fn(lmk::tracker::plan::TrackerPlan) -> Box<dyn Role> = |plan| {
        let wishes: Bend = |_, out| {
            let answers = |effect: &Effect| match effect {
                Effect::Datagram { start, len, .. } => {
                    out.bytes(*start, *len).starts_with(&[0, 0, 0, 1])
                }
                _ => false,
            };
            let kept: Vec<bool> = out.effects.iter().map(|effect| !answers(effect)).collect();
            let mut kept = kept.into_iter();
            out.effects.retain(|_| kept.next().unwrap_or(true));
        };
        let role = Box::new(Tracker::new(plan));
        Box::new(Bent { role, hears: std::convert::identity, wishes, done: false })
    };
    is_caught_of("L3", Cast { tracker, ..Cast::real() });
}

#[test]
fn l4_a_leecher_that_does_not_wait_for_room() {
    is_caught("L4", |plan| {
        bent(
            plan,
            |done| match done {
                FileDone::Wrote { page, result: Err(FileError::NoSpace) } => {
                    FileDone::Wrote { page, result: Err(FileError::Other(5)) }
                }
                other => other,
            },
            |_, _| {},
        )
    });
}
