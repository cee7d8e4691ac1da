//! Opening a database: one process at a time, only a file of ours, a damaged one put aside.

use super::checkpoints::Mover;
use super::{errors, rows, schema};
use crate::core::mark::mark;
use crate::core::store::{Opened, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a lock of another program is waited for while nobody is served yet.
const BUSY: Duration = Duration::from_secs(5);

/// How every SQLite file begins, and where its head has the id of its program.
const MAGIC: &[u8] = b"SQLite format 3\0";
const ID_AT: usize = 68;
/// More than the first page of a file, or of its log, takes.
const HEAD_BYTES: u64 = 64 * 1024;

/// A database that is ours for as long as this lives.
#[derive(Debug)]
pub struct Held {
    pub db: Connection,
    pub mover: Mover,
    /// Keeps the lock.
    _lock: File,
}

/// Opens or makes the database at `path`. `unix_s` is the time for the name of a damaged one.
pub fn open(path: &Path, unix_s: u64) -> Result<(Held, Opened), StoreError> {
    let system = |error: io::Error| errors::of_system(&error);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(directory) = directory {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(system)?;
    }
    let lock = lock(&beside(path, ".lock"))?;
    let mut damaged = None;
    let (db, opened) = match attempt(path) {
        // Whatever else it is, it is not ours to rename.
        Err(StoreError::Damaged) if !was_ours(path) => return Err(StoreError::Foreign),
        Err(StoreError::Damaged) => {
            mark!("C17");
            damaged = Some(put_aside(path, unix_s).map_err(system)?);
            attempt(path)?
        }
        other => other?,
    };
    // A file is not there after a power cut unless its directory says so.
    File::open(directory.unwrap_or(Path::new("."))).and_then(|d| d.sync_all()).map_err(system)?;
    let mover = Mover::new(path).map_err(|error| errors::of_sqlite(&error))?;
    Ok((Held { db, mover, _lock: lock }, Opened { damaged, ..opened }))
}

fn attempt(path: &Path) -> Result<(Connection, Opened), StoreError> {
    let mut ours = OpenOptions::new();
    ours.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = ours.open(path).map_err(|error| errors::of_system(&error))?;
    if !file.metadata().map_err(|error| errors::of_system(&error))?.is_file() {
        return Err(StoreError::Other("it is not a regular file".into()));
    }
    let head = head(&file)?;
    if !head.is_empty() && !head.starts_with(MAGIC) {
        return Err(StoreError::Damaged);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sqlite = |error: rusqlite::Error| errors::of_sqlite(&error);
    let db = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    db.busy_timeout(BUSY).map_err(sqlite)?;
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    ] {
        db.set_db_config(setting, on).map_err(sqlite)?;
    }
    let fresh = is_fresh(&db)?;
    let mode: String = db.query_row(schema::WAL, [], |row| row.get(0)).map_err(sqlite)?;
    if mode != "wal" {
        let said = "the file system cannot share memory; keep it on a local disk";
        return Err(StoreError::Other(said.into()));
    }
    db.execute_batch(schema::SET_UP).map_err(sqlite)?;
    if fresh {
        db.execute_batch(schema::CREATE).map_err(sqlite)?;
    }
    let check: String = db.query_row(schema::QUICK_CHECK, [], |row| row.get(0)).map_err(sqlite)?;
    if check != "ok" {
        return Err(StoreError::Damaged);
    }
    let opened = begin(&db).map_err(sqlite)?;
    // From here on nobody waits in this process: a commit that finds a lock comes again later.
    db.busy_timeout(Duration::ZERO).map_err(sqlite)?;
    Ok((db, opened))
}

/// The first bytes of a file.
fn head(file: &File) -> Result<Vec<u8>, StoreError> {
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head).map_err(|error| errors::of_system(&error))?;
    Ok(head)
}

/// Whether a file that cannot be read as a database was ours: its head names this program, or its
/// first page or its log still have the text of our first table.
fn was_ours(path: &Path) -> bool {
    let of = |path: &Path| File::open(path).ok().and_then(|file| head(&file).ok());
    let [file, log] = [of(path), of(&beside(path, "-wal"))].map(Option::unwrap_or_default);
    let id = (schema::APPLICATION_ID as u32).to_be_bytes();
    let named = file.starts_with(MAGIC) && file.get(ID_AT..ID_AT + 4) == Some(&id[..]);
    let table = schema::FIRST_TABLE.as_bytes();
    let tells = |bytes: &[u8]| bytes.windows(table.len()).any(|here| here == table);
    named || tells(&file) || tells(&log)
}

/// Whether the file is empty; refuses what is not ours or newer than we are.
fn is_fresh(db: &Connection) -> Result<bool, StoreError> {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let (id, version, tables): (i64, i64, i64) =
        db.query_row(schema::LOOK, [], read).map_err(|error| errors::of_sqlite(&error))?;
    match (id, version) {
        (0, 0) if tables == 0 => Ok(true),
        (schema::APPLICATION_ID, version) if version > schema::VERSION => {
            Err(StoreError::Newer(version))
        }
        (schema::APPLICATION_ID, _) => Ok(false),
        _ => Err(StoreError::Foreign),
    }
}

/// Notes that a run is under way; what the last one left.
fn begin(db: &Connection) -> rusqlite::Result<Opened> {
    let generation = rows::setting(db, rows::GENERATION)?.unwrap_or(0);
    let orderly = rows::setting(db, rows::ORDERLY)? == Some(1);
    rows::set(db, rows::ORDERLY, 0)?;
    Ok(Opened { damaged: None, generation, orderly })
}

/// The lock dies with the process, whatever ends it.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path).map_err(|error| errors::of_system(&error))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        mark!("C17");
        let mut said = String::new();
        file.take(20).read_to_string(&mut said).ok();
        return Err(StoreError::InUse(said.trim().parse().ok()));
    }
    let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    // On a full disk the number is missing; the lock holds all the same.
    noted.ok();
    Ok(file)
}

/// Renames the file and its log; the new name of the file.
fn put_aside(path: &Path, unix_s: u64) -> io::Result<PathBuf> {
    let mut ending = format!(".corrupt-{unix_s}");
    let mut tries = 0;
    while fs::symlink_metadata(beside(path, &ending)).is_ok() {
        tries += 1;
        ending = format!(".corrupt-{unix_s}-{tries}");
    }
    let aside = beside(path, &ending);
    fs::rename(path, &aside)?;
    for tail in ["-wal", "-shm"] {
        // The log belongs to the file; often there is none.
        fs::rename(beside(path, tail), beside(&aside, tail)).ok();
    }
    Ok(aside)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
