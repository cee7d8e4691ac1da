//! One database file of a test, driven through its door without a loop.

use lmk::core::id::{InfoHash, Ticket};
use lmk::core::store::{
    Change, MetainfoRow, NameRow, Opened, Store, StoreDone, StoreError, StoreOp, SwarmPart,
};
use lmk::core::time::Time;
use lmk::store::Sqlite;
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder that is removed when the test passed.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let nth = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("store-{}-{nth}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names in it that contain `part`.
    pub fn with(&self, part: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(part)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// A database and the tickets given out for it.
pub struct Base {
    pub store: Sqlite,
    born: Instant,
    tickets: u64,
}

impl Base {
    pub fn new(path: &Path) -> Base {
        Base { store: Sqlite::new(path.to_owned()), born: Instant::now(), tickets: 0 }
    }

    pub fn opened(path: &Path) -> Base {
        let mut base = Base::new(path);
        base.open().unwrap();
        base
    }

    pub fn open(&mut self) -> Result<Opened, StoreError> {
        match self.ask(StoreOp::Open { unix_s: 77 }) {
            StoreDone::Opened(opened) => opened,
            other => panic!("{other:?}"),
        }
    }

    /// Asks without a commit.
    pub fn wish(&mut self, op: StoreOp) -> Ticket {
        self.tickets += 1;
        self.store.ask(Ticket(self.tickets), op);
        Ticket(self.tickets)
    }

    /// One commit; what it answered.
    pub fn commit(&mut self) -> Vec<(Ticket, StoreDone)> {
        let born = self.born;
        self.commit_by(&mut || Time(born.elapsed().as_nanos() as u64))
    }

    /// One commit by the `clock` given: a turn is as long as that clock says.
    pub fn commit_by(&mut self, clock: &mut dyn FnMut() -> Time) -> Vec<(Ticket, StoreDone)> {
        let mut answers = Vec::new();
        self.store.commit(clock, false, &mut |ticket, done| answers.push((ticket, done)));
        answers
    }

    /// Asks and commits until it is answered.
    pub fn ask(&mut self, op: StoreOp) -> StoreDone {
        let wanted = self.wish(op);
        loop {
            let found = self.commit().into_iter().find(|(ticket, _)| *ticket == wanted);
            if let Some((_, done)) = found {
                return done;
            }
        }
    }

    pub fn write(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        match self.ask(StoreOp::Write(changes)) {
            StoreDone::Written { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    /// All names, page by page.
    pub fn names(&mut self, bytes_max: usize) -> Vec<NameRow> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let StoreDone::Names(Ok(page)) = self.ask(StoreOp::Names { after, bytes_max }) else {
                panic!("no page");
            };
            let Some(last) = page.last() else { return all };
            after = last.number;
            all.extend(page);
        }
    }

    pub fn swarms(&mut self) -> Vec<SwarmPart> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let done = self.ask(StoreOp::Swarms { after, bytes_max: 100 });
            let StoreDone::Swarms(Ok(page)) = done else { panic!("no page") };
            let Some(last) = page.last() else { return all };
            after = Some((last.hash, last.part));
            all.extend(page);
        }
    }
}

pub fn name(number: u64, name: &str) -> NameRow {
    NameRow {
        number,
        name: name.to_owned(),
        v1: Some(InfoHash([number as u8; 20])),
        v2: None,
        size: u64::MAX - number,
        piece_bytes: 16_384,
        flags: 1,
        sha256: None,
        owners: vec![[7; 8], [9; 8]],
        generation: 1 << 55 | number,
        time_s: 1_800_000_000,
        listed: number.is_multiple_of(2),
        until_s: None,
        signed: number.is_multiple_of(2).then(|| Box::new([number as u8; 96])),
        metainfo: Some(MetainfoRow {
            v1_info: Some(vec![number as u8; 100].into()),
            ..MetainfoRow::default()
        }),
    }
}

pub fn put(row: NameRow) -> Change {
    Change::Name(Box::new(row))
}

/// Another program that reads the file.
pub fn reader(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}
