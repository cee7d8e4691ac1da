//! The power goes: what a disk may hold then is made of copies of real files, cut and torn where
//! nothing was synced yet, and opened. Every name that was acknowledged before is there.

use super::base::{Base, Folder, name, put};
use lmk::core::rng::Rng;
use lmk::core::store::{Change, NameRow, StoreError};
use lmk::core::time::{Span, Time};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const SECTOR_BYTES: usize = 512;
const SEED: u64 = 11;

/// The files of a database at some moment.
struct Files {
    db: Vec<u8>,
    log: Vec<u8>,
}

/// What was written and acknowledged, and how long the log was at each acknowledgement.
#[derive(Default)]
struct Written {
    rows: Vec<NameRow>,
    acknowledged: Vec<(usize, usize)>,
}

impl Written {
    /// Writes so many times, up to `most` names at a time.
    fn write(&mut self, base: &mut Base, path: &Path, (count, most): (usize, u64), rng: &mut Rng) {
        for _ in 0..count {
            let group = 1 + rng.below(most) as usize;
            let first = self.rows.len() as u64 + 1;
            let rows: Vec<NameRow> = (first..first + group as u64)
                .map(|n| name(n, &"x".repeat(1 + rng.below(200) as usize)))
                .collect();
            base.write(rows.iter().cloned().map(put).collect()).unwrap();
            self.rows.extend(rows);
            self.acknowledged.push((log_len(path), self.rows.len()));
        }
    }

    /// How many rows must be there if the log holds this many bytes as they were written.
    fn due(&self, log_bytes: usize) -> usize {
        let kept = self.acknowledged.iter().filter(|(bytes, _)| *bytes <= log_bytes);
        kept.map(|(_, rows)| *rows).max().unwrap_or(0)
    }
}

fn beside(path: &Path) -> std::path::PathBuf {
    path.with_extension("db-wal")
}

fn log_len(path: &Path) -> usize {
    fs::metadata(beside(path)).unwrap().len() as usize
}

fn files(path: &Path) -> Files {
    Files { db: fs::read(path).unwrap(), log: fs::read(beside(path)).unwrap() }
}

/// Opens such files as a start after the power came back; the names in them.
fn after(folder: &Folder, files: &Files, case: &str) -> Vec<NameRow> {
    let path = folder.path("after.db");
    for tail in ["db", "db-wal", "db-shm"] {
        fs::remove_file(path.with_extension(tail)).ok();
    }
    fs::write(&path, &files.db).unwrap();
    fs::write(beside(&path), &files.log).unwrap();
    let mut base = Base::new(&path);
    let until = Instant::now() + Duration::from_secs(60);
    let opened = loop {
        match base.open() {
            Ok(opened) => break opened,
            // Whoever starts a process in another test gives it, for a moment, our lock of before.
            Err(StoreError::InUse(_)) if Instant::now() < until => thread::yield_now(),
            Err(error) => panic!("{case}: {error:?}"),
        }
    };
    assert_eq!(opened.damaged, None, "{case}");
    base.names(1 << 20)
}

/// All that was acknowledged is there, in order and whole; of what was not, the first part at most.
fn assert_kept(found: &[NameRow], written: &Written, due: usize, case: &str) {
    assert!(found.len() >= due, "{case}: {} of {due} acknowledged names", found.len());
    assert!(found == &written.rows[..found.len()], "{case}: not what was written");
}

/// The log ends in the middle: at the ends of writes and beside them, and at random; behind the cut
/// there is nothing, zeros, or what stood in those sectors before anything was written.
fn cut_everywhere(folder: &Folder, files: &Files, written: &Written, from: usize, rng: &mut Rng) {
    let ends = written.acknowledged.iter().map(|(bytes, _)| *bytes).filter(|at| *at >= from);
    let near = ends.flat_map(|at| [at - 24, at - 1, at, at + 1, at + SECTOR_BYTES]);
    let random: Vec<usize> =
        (0..120).map(|_| rng.between(from as u64, files.log.len() as u64) as usize).collect();
    let mut cuts = 0;
    for cut in near.chain(random).filter(|cut| *cut <= files.log.len()) {
        let sector = cut - cut % SECTOR_BYTES;
        let torn = rng.below(4) as usize * SECTOR_BYTES;
        let mut log = files.log[..cut].to_vec();
        let case = match rng.below(3) {
            0 => format!("seed {SEED}, cut at {cut}"),
            1 => {
                log.resize(files.log.len(), 0);
                format!("seed {SEED}, zeros from {cut} on")
            }
            _ => {
                log.truncate(sector);
                let noise = (0..torn + SECTOR_BYTES).map(|_| rng.below(256) as u8);
                log.extend(noise);
                format!("seed {SEED}, noise from {sector} on")
            }
        };
        let whole = log.iter().zip(&files.log).take_while(|(one, other)| one == other).count();
        let cut = Files { db: files.db.clone(), log };
        assert_kept(&after(folder, &cut, &case), written, written.due(whole), &case);
        cuts += 1;
    }
    assert!(cuts > 100, "only {cuts}");
}

#[test]
fn a_log_that_is_cut_or_torn_anywhere_loses_nothing_that_was_acknowledged_before() {
    let folder = Folder::new();
    let path = folder.path("t.db");
    let mut rng = Rng::new(SEED);
    let (mut base, mut written) = (Base::opened(&path), Written::default());
    let from = log_len(&path);
    written.write(&mut base, &path, (25, 12), &mut rng);
    cut_everywhere(&folder, &files(&path), &written, from, &mut rng);
}

/// The store has nothing to write for a while.
fn pauses(base: &mut Base, path: &Path) -> usize {
    let mut at = Time::ZERO + Span::secs(1000);
    for _ in 0..20 {
        at = at + Span::secs(1);
        base.commit_by(&mut || at);
    }
    log_len(path)
}

#[test]
fn the_power_may_go_while_the_log_is_moved_into_the_database_and_after() {
    let folder = Folder::new();
    let path = folder.path("t.db");
    let mut rng = Rng::new(SEED);
    let (mut base, mut written) = (Base::opened(&path), Written::default());
    let early = files(&path).db;
    while log_len(&path) < 8 * 1024 * 1024 {
        written.write(&mut base, &path, (1, 400), &mut rng);
    }
    // Parts of the log are in the database, without a sync of it.
    let before = files(&path);
    assert!(before.db.len() > early.len() + (1 << 17), "no part was moved");
    pauses(&mut base, &path);
    let moved = files(&path);
    assert!(moved.db.len() > before.db.len(), "the log was not moved");
    assert!(moved.log == before.log, "what was moved is there still");
    // Nothing is said of the order in which pages reach the disk, nor that they do.
    for round in 0..10 {
        let mut db = moved.db.clone();
        for (nth, page) in db.chunks_mut(SECTOR_BYTES).enumerate() {
            if rng.chance(500) {
                let at = nth * SECTOR_BYTES;
                let old = early.get(at..at + page.len());
                page.copy_from_slice(old.unwrap_or(&vec![0; page.len()]));
            }
        }
        let case = format!("seed {SEED}, round {round}");
        let torn = Files { db, log: before.log.clone() };
        assert_kept(&after(&folder, &torn, &case), &written, written.rows.len(), &case);
    }
    // The log begins anew: behind what is new stands what is old.
    let rows = written.rows.len();
    written.acknowledged.clear();
    base.write(vec![Change::Generation(5)]).unwrap();
    assert_eq!(log_len(&path), before.log.len(), "it is written over");
    let all = files(&path);
    for cut in (0..200_000).step_by(7919) {
        let log = [&all.log[..cut], &before.log[cut..]].concat();
        let case = format!("new until {cut}");
        let found = after(&folder, &Files { db: all.db.clone(), log }, &case);
        assert_kept(&found, &written, rows, &case);
    }
}
