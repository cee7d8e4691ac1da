//! Rows to values and back. Values are bound to the constants of [`super::schema`].

use super::schema;
use crate::core::id::{Hash32, InfoHash};
use crate::core::mark::mark;
use crate::core::store::{Change, MetainfoRow, NameRow, SwarmPart};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Result, Row, params};
use std::sync::Arc;

/// The settings that the tables keep beside everything else.
pub const GENERATION: &str = "generation";
pub const ORDERLY: &str = "orderly";

/// SQLite has signed numbers only: the same 64 bits.
fn signed(n: u64) -> i64 {
    n.cast_signed()
}

fn unsigned(row: &Row<'_>, at: usize) -> Result<u64> {
    Ok(row.get::<_, i64>(at)?.cast_unsigned())
}

/// A number that is counted up from. None of ours comes near half of the range: what does is
/// damaged, and counting on from it would end at once.
fn counted(row: &Row<'_>, at: usize) -> Result<u64> {
    u64::try_from(row.get::<_, i64>(at)?).map_err(|_| damaged(at))
}

fn count(row: &Row<'_>, at: usize) -> Result<u32> {
    row.get(at)
}

fn damaged(at: usize) -> Error {
    Error::FromSqlConversionFailure(at, Type::Blob, "a value of another length".into())
}

fn array<const N: usize>(row: &Row<'_>, at: usize) -> Result<[u8; N]> {
    row.get_ref(at)?.as_blob()?.try_into().map_err(|_| damaged(at))
}

fn array_maybe<const N: usize>(row: &Row<'_>, at: usize) -> Result<Option<[u8; N]>> {
    match row.get_ref(at)?.as_blob_or_null()? {
        None => Ok(None),
        Some(bytes) => bytes.try_into().map(Some).map_err(|_| damaged(at)),
    }
}

fn shared(row: &Row<'_>, at: usize) -> Result<Option<Arc<[u8]>>> {
    Ok(row.get_ref(at)?.as_blob_or_null()?.map(Into::into))
}

/// Bytes a row takes in memory, roughly.
fn bytes(name: &NameRow) -> usize {
    let metainfo = name.metainfo.iter().flat_map(|m| [&m.v1_info, &m.v2_info, &m.layers]);
    500 + metainfo.flatten().map(|part| part.len()).sum::<usize>()
}

/// One page of names.
pub fn names(db: &Connection, after: u64, bytes_max: usize) -> Result<Vec<NameRow>> {
    let mut statement = db.prepare_cached(schema::NAMES)?;
    let mut rows = statement.query([signed(after)])?;
    let (mut found, mut size) = (Vec::new(), 0);
    while size < bytes_max
        && let Some(row) = rows.next()?
    {
        let name = name(row)?;
        size += bytes(&name);
        found.push(name);
    }
    Ok(found)
}

fn name(row: &Row<'_>) -> Result<NameRow> {
    let (owners, rest) = row.get_ref(8)?.as_blob()?.as_chunks::<8>();
    if owners.is_empty() || !rest.is_empty() {
        return Err(damaged(8));
    }
    let metainfo = match row.get::<_, Option<bool>>(16)? {
        None => None,
        Some(hybrid) => Some(MetainfoRow {
            v1_info: shared(row, 13)?,
            v2_info: shared(row, 14)?,
            layers: shared(row, 15)?,
            hybrid,
        }),
    };
    Ok(NameRow {
        number: unsigned(row, 0)?,
        name: row.get(1)?,
        v1: array_maybe(row, 2)?.map(InfoHash),
        v2: array_maybe(row, 3)?.map(Hash32),
        size: unsigned(row, 4)?,
        piece_bytes: count(row, 5)?,
        flags: count(row, 6)?,
        sha256: array_maybe(row, 7)?.map(Hash32),
        signed: array_maybe(row, 17)?.map(Box::new),
        owners: owners.to_vec(),
        generation: counted(row, 9)?,
        time_s: unsigned(row, 10)?,
        listed: row.get(11)?,
        until_s: row.get::<_, Option<i64>>(12)?.map(i64::cast_unsigned),
        metainfo,
    })
}

/// One page of counts.
pub fn finished(
    db: &Connection,
    after: Option<InfoHash>,
    rows_max: u32,
) -> Result<Vec<(InfoHash, u32)>> {
    let after = after.map(|hash| hash.0.to_vec()).unwrap_or_default();
    let mut statement = db.prepare_cached(schema::FINISHED)?;
    let rows = statement.query_map(params![after, rows_max], |row| {
        Ok((InfoHash(array(row, 0)?), count(row, 1)?))
    })?;
    rows.collect()
}

/// One page of swarms.
pub fn swarms(
    db: &Connection,
    after: Option<(InfoHash, u32)>,
    bytes_max: usize,
) -> Result<Vec<SwarmPart>> {
    let (hash, part) = match after {
        Some((hash, part)) => (hash.0.to_vec(), i64::from(part)),
        None => (Vec::new(), -1),
    };
    let mut statement = db.prepare_cached(schema::SWARMS)?;
    let mut rows = statement.query(params![hash, part])?;
    let (mut found, mut size) = (Vec::new(), 0);
    while size < bytes_max
        && let Some(row) = rows.next()?
    {
        let hash = InfoHash(array(row, 0)?);
        let packed: Vec<u8> = row.get(2)?;
        size += packed.len() + 100;
        found.push(SwarmPart { hash, part: count(row, 1)?, last: false, packed });
    }
    Ok(found)
}

pub fn setting(db: &Connection, name: &str) -> Result<Option<u64>> {
    let mut statement = db.prepare_cached(schema::SETTING)?;
    let mut rows = statement.query([name])?;
    rows.next()?.map(|row| counted(row, 0)).transpose()
}

pub fn set(db: &Connection, name: &str, value: u64) -> Result<()> {
    db.prepare_cached(schema::SET)?.execute(params![name, signed(value)]).map(drop)
}

/// Performs one change within the transaction that is open.
pub fn change(db: &Connection, change: &Change) -> Result<()> {
    match change {
        Change::Name(row) => put_name(db, row),
        Change::DropName(number) => {
            db.prepare_cached(schema::DROP_METAINFO)?.execute([signed(*number)])?;
            db.prepare_cached(schema::DROP_NAME)?.execute([signed(*number)]).map(drop)
        }
        Change::Finished(hash, 0) => {
            db.prepare_cached(schema::DROP_FINISHED)?.execute([hash.0]).map(drop)
        }
        Change::Finished(hash, downloads) => {
            db.prepare_cached(schema::PUT_FINISHED)?.execute(params![hash.0, downloads]).map(drop)
        }
        Change::Generation(generation) => set(db, GENERATION, *generation),
        Change::Orderly => set(db, ORDERLY, 1),
    }
}

fn put_name(db: &Connection, row: &NameRow) -> Result<()> {
    // Whatever a name holds is a value here and never a part of a statement.
    mark!("C19");
    db.prepare_cached(schema::PUT_NAME)?.execute(params![
        signed(row.number),
        row.name,
        row.v1.map(|hash| hash.0),
        row.v2.map(|hash| hash.0),
        signed(row.size),
        row.piece_bytes,
        row.flags,
        row.sha256.map(|hash| hash.0),
        row.owners.as_flattened(),
        signed(row.generation),
        signed(row.time_s),
        row.listed,
        row.until_s.map(signed),
        row.signed.as_deref()
    ])?;
    let Some(metainfo) = &row.metainfo else { return Ok(()) };
    let MetainfoRow { v1_info, v2_info, layers, hybrid } = metainfo;
    db.prepare_cached(schema::PUT_METAINFO)?
        .execute(params![
            signed(row.number),
            v1_info.as_deref(),
            v2_info.as_deref(),
            layers.as_deref(),
            hybrid
        ])
        .map(drop)
}

/// Writes one part of a swarm within the transaction that is open.
pub fn swarm_part(db: &Connection, part: &SwarmPart) -> Result<()> {
    let SwarmPart { hash, part, last, packed } = part;
    if !packed.is_empty() {
        db.prepare_cached(schema::PUT_SWARM)?.execute(params![hash.0, part, packed])?;
    }
    if *last {
        let gone = if packed.is_empty() { *part } else { part + 1 };
        db.prepare_cached(schema::DROP_PARTS)?.execute(params![hash.0, gone])?;
    }
    Ok(())
}
