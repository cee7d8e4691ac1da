//! The database and its twin in the simulator are asked the same and answer the same.

use super::base::{Base, Folder, name};
use lmk::core::id::{InfoHash, Ticket};
use lmk::core::rng::Rng;
use lmk::core::store::{Change, NameRow, StoreDone, StoreOp, SwarmPart};
use lmk::sim::store::Base as Twin;
use std::path::PathBuf;

/// Whichever of the two is driven.
trait Driven {
    /// Everything of one turn, answered.
    fn turn(&mut self, ops: Vec<StoreOp>) -> Vec<StoreDone>;
    /// The process ends and another one begins.
    fn reopen(&mut self);
}

struct Real(PathBuf, Option<Base>);

impl Driven for Real {
    fn turn(&mut self, ops: Vec<StoreOp>) -> Vec<StoreDone> {
        let base = self.1.as_mut().unwrap();
        let count = ops.len();
        ops.into_iter().for_each(|op| _ = base.wish(op));
        let mut answers = Vec::new();
        while answers.len() < count {
            answers.extend(base.commit());
        }
        answers.into_iter().map(|(_, done)| done).collect()
    }

    fn reopen(&mut self) {
        self.1 = None;
        self.1 = Some(Base::new(&self.0));
    }
}

impl Driven for Twin {
    fn turn(&mut self, ops: Vec<StoreOp>) -> Vec<StoreDone> {
        let asked = ops.into_iter().zip(1..).map(|(op, n)| (Ticket(n), op)).collect();
        self.commit(asked).into_iter().map(|(_, done)| done).collect()
    }

    fn reopen(&mut self) {}
}

/// Everything that is kept.
#[derive(PartialEq, Eq, Debug, Default)]
struct Content {
    names: Vec<NameRow>,
    finished: Vec<(InfoHash, u32)>,
    swarms: Vec<SwarmPart>,
}

fn content(base: &mut dyn Driven) -> Content {
    let mut content = Content::default();
    let mut ops = vec![
        StoreOp::Names { after: 0, bytes_max: 2000 },
        StoreOp::Finished { after: None, rows_max: 3 },
        StoreOp::Swarms { after: None, bytes_max: 300 },
    ];
    while !ops.is_empty() {
        let answers = base.turn(std::mem::take(&mut ops));
        for done in answers {
            match done {
                StoreDone::Names(Ok(page)) => {
                    let next = page.last().map(|row| row.number);
                    ops.extend(next.map(|after| StoreOp::Names { after, bytes_max: 2000 }));
                    content.names.extend(page);
                }
                StoreDone::Finished(Ok(page)) => {
                    let next = page.last().map(|(hash, _)| *hash);
                    let more =
                        next.map(|hash| StoreOp::Finished { after: Some(hash), rows_max: 3 });
                    ops.extend(more);
                    content.finished.extend(page);
                }
                StoreDone::Swarms(Ok(page)) => {
                    let next = page.last().map(|part| (part.hash, part.part));
                    let more = next.map(|key| StoreOp::Swarms { after: Some(key), bytes_max: 300 });
                    ops.extend(more);
                    content.swarms.extend(page);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    content
}

fn change(rng: &mut Rng) -> Change {
    let number = rng.between(1, 12);
    let hash = InfoHash([rng.below(6) as u8; 20]);
    match rng.below(10) {
        0..4 => {
            let mut row = name(number, &format!("name {}", rng.below(5)));
            if rng.chance(400) {
                row.metainfo = None;
            }
            row.listed = rng.chance(500);
            Change::Name(Box::new(row))
        }
        4 | 5 => Change::DropName(number),
        6 | 7 => Change::Finished(hash, rng.below(9) as u32),
        8 => Change::Generation(rng.below(1000)),
        _ => Change::Orderly,
    }
}

fn part(rng: &mut Rng) -> SwarmPart {
    let hash = InfoHash([rng.below(4) as u8; 20]);
    let packed = vec![rng.below(255) as u8; [0, 60, 200][rng.below(3) as usize]];
    let (part, last) = (rng.below(3) as u32, rng.chance(500));
    // An empty part is the end of a swarm.
    SwarmPart { hash, part, last: last || packed.is_empty(), packed }
}

#[test]
fn the_twin_of_the_database_answers_as_the_database_does() {
    let seed = std::env::var("LMK_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let folder = Folder::new();
    let mut real = Real(folder.path("t.db"), None);
    let mut twin = Twin::default();
    for turn in 0..120 {
        let mut ops = Vec::new();
        if turn == 0 || rng.chance(80) {
            real.reopen();
            twin.reopen();
            ops.push(StoreOp::Open { unix_s: 7 });
        }
        for _ in 0..rng.below(5) {
            ops.push(match rng.chance(700) {
                true => StoreOp::Write((0..rng.below(6)).map(|_| change(&mut rng)).collect()),
                false => StoreOp::Liveness((0..rng.below(4)).map(|_| part(&mut rng)).collect()),
            });
        }
        if rng.chance(300) && !matches!(ops.first(), Some(StoreOp::Open { .. })) {
            ops.insert(0, StoreOp::Finished { after: None, rows_max: 1 });
        }
        let (a, b) = (real.turn(ops.clone()), twin.turn(ops));
        let shown = |answers: Vec<StoreDone>| -> Vec<String> {
            let answer = |done| match done {
                StoreDone::Opened(opened) => format!("{opened:?}"),
                StoreDone::Written { result, .. } => format!("{result:?}"),
                // Pages differ in size.
                StoreDone::Finished(page) => {
                    format!("{:?}", page.map(|page| page[..].first().copied()))
                }
                other => panic!("{other:?}"),
            };
            answers.into_iter().map(answer).collect()
        };
        assert_eq!(shown(a), shown(b), "turn {turn} of seed {seed}");
        assert_eq!(content(&mut real), content(&mut twin), "turn {turn} of seed {seed}");
    }
}
