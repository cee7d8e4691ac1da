//! Every statement the store knows, as constants: values are bound, text is never put together
//! while the program runs (`docs/files.md` describes the tables).

/// "lmkt": what the header of the file says it belongs to.
pub const APPLICATION_ID: i64 = 0x6c6d_6b74;
/// Form of the tables. A file with a higher one is left alone.
pub const VERSION: i64 = 1;

/// One hexadecimal digit of `$h` at `$at` (from 1), shifted left by `$by` bits. SQL has no function
/// from bytes to a number.
macro_rules! digit {
    ($h:literal $at:literal, $by:literal) => {
        concat!("(instr('123456789ABCDEF',substr(", $h, ",", $at, ",1))<<", $by, ")")
    };
}

macro_rules! byte {
    ($h:literal $first:literal, $second:literal) => {
        concat!("(", digit!($h $first, 4), "+", digit!($h $second, 0), ")")
    };
}

/// Six bytes whose digits stand at these places of `h`.
macro_rules! six {
    ($($at:literal $by:literal),*) => {
        concat!("(0", $("+", digit!("h" $at, $by)),*, ")")
    };
}

/// A group of an IPv6 address.
macro_rules! group {
    ($at:literal) => {
        concat!("lower(substr(a,", $at, ",4))")
    };
}

/// How the first page of a file of ours begins to say what is in it. Found in a file that SQLite
/// cannot read any more, it tells that the file is ours.
pub const FIRST_TABLE: &str = "CREATE TABLE settings (name TEXT PRIMARY KEY, value INTEGER";

pub const CREATE: &str = concat!(
    "BEGIN IMMEDIATE;
CREATE TABLE settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE names (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, v1 BLOB, v2 BLOB, size INTEGER NOT NULL,
  piece_bytes INTEGER NOT NULL, flags INTEGER NOT NULL, sha256 BLOB, owners BLOB NOT NULL,
  generation INTEGER NOT NULL, time_s INTEGER NOT NULL, listed INTEGER NOT NULL, until_s INTEGER,
  signed BLOB
) STRICT;
CREATE TABLE metainfo (
  number INTEGER PRIMARY KEY, v1_info BLOB, v2_info BLOB, layers BLOB, hybrid INTEGER NOT NULL
) STRICT;
CREATE TABLE completed (info_hash BLOB PRIMARY KEY, downloads INTEGER NOT NULL)
  STRICT, WITHOUT ROWID;
CREATE TABLE swarms (
  info_hash BLOB NOT NULL, part INTEGER NOT NULL, packed BLOB NOT NULL,
  PRIMARY KEY (info_hash, part)
) STRICT;
CREATE VIEW peers AS
WITH RECURSIVE places(id, i, bytes, count) AS (
  SELECT id, 0, bytes, (length-9)/(bytes+46) FROM (
    SELECT rowid AS id, length(packed) AS length,
      CASE hex(substr(packed,1,1)) WHEN '04' THEN 4 WHEN '10' THEN 16 END AS bytes FROM swarms
  ) WHERE length >= 9+bytes+46
  UNION ALL SELECT id, i+1, bytes, count FROM places WHERE i+1 < count
), records(info_hash, a, h) AS (
  SELECT swarms.info_hash, hex(substr(packed, 10+i*(bytes+46), bytes)),
    hex(substr(packed, 10+i*(bytes+46)+bytes, 46))
  FROM places JOIN swarms ON swarms.rowid = places.id
)
SELECT lower(hex(info_hash)) AS info_hash, lower(substr(h,5,40)) AS peer_id,
  CASE WHEN length(a) = 8 THEN ",
    byte!("a" 1, 2),
    "||'.'||",
    byte!("a" 3, 4),
    "||'.'||",
    byte!("a" 5, 6),
    "||'.'||",
    byte!("a" 7, 8),
    " ELSE ",
    group!(1),
    "||':'||",
    group!(5),
    "||':'||",
    group!(9),
    "||':'||",
    group!(13),
    "||':'||",
    group!(17),
    "||':'||",
    group!(21),
    "||':'||",
    group!(25),
    "||':'||",
    group!(29),
    " END AS ip, (",
    byte!("h" 1, 2),
    "<<8)+",
    byte!("h" 3, 4),
    " AS port, ",
    six!(45 44, 46 40, 47 36, 48 32, 49 28, 50 24, 51 20, 52 16, 53 12, 54 8, 55 4, 56 0),
    " AS uploaded, ",
    six!(57 44, 58 40, 59 36, 60 32, 61 28, 62 24, 63 20, 64 16, 65 12, 66 8, 67 4, 68 0),
    " AS downloaded, ",
    six!(69 44, 70 40, 71 36, 72 32, 73 28, 74 24, 75 20, 76 16, 77 12, 78 8, 79 4, 80 0),
    " AS \"left\"
FROM records;
PRAGMA application_id = 1819110260;
PRAGMA user_version = 1;
COMMIT;"
);

pub const LOOK: &str = "SELECT (SELECT application_id FROM pragma_application_id), \
    (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)";
pub const WAL: &str = "PRAGMA journal_mode = WAL";
pub const QUICK_CHECK: &str = "PRAGMA quick_check(1)";
/// A log that grew large is cut back to 64 MiB. With a small cache a large transaction reaches the
/// log while it is gathered, and its commit has little left to write.
pub const SET_UP: &str = "PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = 67108864; \
    PRAGMA wal_autocheckpoint = 0; \
    PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY; PRAGMA synchronous = FULL;";
pub const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// A transaction that has read something stands at what was committed until then.
pub const MARK: &str = "BEGIN; SELECT count(*) FROM settings";
pub const DURABLE: &str = "PRAGMA synchronous = FULL";
pub const RELAXED: &str = "PRAGMA synchronous = NORMAL";
pub const BEGIN: &str = "BEGIN IMMEDIATE";
pub const COMMIT: &str = "COMMIT";
pub const ROLLBACK: &str = "ROLLBACK";

pub const SETTING: &str = "SELECT value FROM settings WHERE name = ?1";
pub const SET: &str = "INSERT INTO settings (name, value) VALUES (?1, ?2) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

pub const NAMES: &str = "SELECT names.number, name, v1, v2, size, piece_bytes, flags, sha256, \
    owners, generation, time_s, listed, until_s, v1_info, v2_info, layers, hybrid, signed \
    FROM names LEFT JOIN metainfo ON metainfo.number = names.number \
    WHERE names.number > ?1 ORDER BY names.number";
pub const PUT_NAME: &str = "INSERT OR REPLACE INTO names (number, name, v1, v2, size, \
    piece_bytes, flags, sha256, owners, generation, time_s, listed, until_s, signed) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
pub const PUT_METAINFO: &str = "INSERT OR REPLACE INTO metainfo (number, v1_info, v2_info, \
    layers, hybrid) VALUES (?1, ?2, ?3, ?4, ?5)";
pub const DROP_NAME: &str = "DELETE FROM names WHERE number = ?1";
pub const DROP_METAINFO: &str = "DELETE FROM metainfo WHERE number = ?1";

pub const FINISHED: &str = "SELECT info_hash, downloads FROM completed WHERE info_hash > ?1 \
    ORDER BY info_hash LIMIT ?2";
pub const PUT_FINISHED: &str = "INSERT INTO completed (info_hash, downloads) VALUES (?1, ?2) \
    ON CONFLICT (info_hash) DO UPDATE SET downloads = excluded.downloads";
pub const DROP_FINISHED: &str = "DELETE FROM completed WHERE info_hash = ?1";

pub const SWARMS: &str = "SELECT info_hash, part, packed FROM swarms \
    WHERE (info_hash, part) > (?1, ?2) ORDER BY info_hash, part";
pub const PUT_SWARM: &str = "INSERT INTO swarms (info_hash, part, packed) VALUES (?1, ?2, ?3) \
    ON CONFLICT (info_hash, part) DO UPDATE SET packed = excluded.packed";
pub const DROP_PARTS: &str = "DELETE FROM swarms WHERE info_hash = ?1 AND part >= ?2";
