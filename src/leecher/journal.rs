//! The journal of a download, as bytes: which pieces of a part file were written, and which of them
//! are durable. It is never trusted beyond what a checksum, the run that wrote it and the content's
//! hash vouch for; a torn tail is dropped (`docs/files.md`).

use crate::content::bitfield::Bitfield;
use crate::content::geometry::Geometry;
use crate::core::crc32c::crc32c;
use crate::core::id::Hash32;
use crate::core::io::Meta;
use crate::core::mark::mark;
use std::collections::BTreeSet;

const MAGIC: &[u8; 8] = b"lmk-resu";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 84;
/// Checksum, length of the payload, sequence number, kind.
const HEAD_BYTES: usize = 4 + 4 + 8 + 1;
/// A journal that grew by so many bytes since its last bitmap is written anew.
pub const GROWTH_BYTES_MAX: u64 = 1024 * 1024;
/// Largest journal read: a bitmap of `PIECES_MAX` pieces, all growth, and the batch that overran.
pub const JOURNAL_BYTES_MAX: u64 = 4 * 1024 * 1024;

const WRITTEN: u8 = 1;
const DURABLE: u8 = 2;
const BITMAP: u8 = 3;
const CLEAN: u8 = 4;

/// What a journal is about, and which run writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What the content is known by ([`crate::content::metainfo::Content::hash`]).
    pub hash: Hash32,
    pub size: u64,
    pub piece_length: u32,
    /// The inode of the part file.
    pub inode: u64,
    /// Random; records of another run are none of this journal.
    pub run: [u8; 16],
}

impl Header {
    pub fn new(hash: Hash32, geometry: &Geometry, inode: u64, run: [u8; 16]) -> Header {
        let (size, piece_length) = (geometry.size(), geometry.piece_length());
        Header { hash, size, piece_length, inode, run }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.hash.0);
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.piece_length.to_be_bytes());
        bytes.extend_from_slice(&self.inode.to_be_bytes());
        bytes.extend_from_slice(&self.run);
        let crc = crc32c(&[&bytes]);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Header> {
        let mut rest = bytes.get(..HEADER_BYTES)?;
        let (body, crc) = rest.split_at(HEADER_BYTES - 4);
        if crc != crc32c(&[body]).to_be_bytes() || take::<8>(&mut rest)? != *MAGIC {
            return None;
        }
        if u32::from_be_bytes(take(&mut rest)?) != VERSION {
            return None;
        }
        Some(Header {
            hash: Hash32(take(&mut rest)?),
            size: u64::from_be_bytes(take(&mut rest)?),
            piece_length: u32::from_be_bytes(take(&mut rest)?),
            inode: u64::from_be_bytes(take(&mut rest)?),
            run: take(&mut rest)?,
        })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// Writes a journal: the bytes of a new one, then those of each record to append.
#[derive(Debug)]
pub struct Writer {
    header: Header,
    /// The number of the last record.
    last: u64,
}

impl Writer {
    pub fn new(header: Header) -> Writer {
        Writer { header, last: 0 }
    }

    /// A whole journal that says of `durable` that it is.
    pub fn begin(&mut self, durable: &Bitfield) -> Vec<u8> {
        let mut bytes = self.header.encode();
        self.last = 0;
        bytes.extend_from_slice(&self.record(BITMAP, durable.as_bytes()));
        bytes
    }

    /// The number of the last record: what [`Writer::durable`] refers to.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Pieces were written; a sync has not covered them yet.
    pub fn written(&mut self, pieces: &[u32]) -> Vec<u8> {
        let payload: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_be_bytes()).collect();
        self.record(WRITTEN, &payload)
    }

    /// A sync covered all pieces written up to the record `covers`.
    pub fn durable(&mut self, covers: u64) -> Vec<u8> {
        self.record(DURABLE, &covers.to_be_bytes())
    }

    /// The end of an orderly run, which left the part file as `meta` says.
    pub fn clean(&mut self, meta: &Meta) -> Vec<u8> {
        self.record(CLEAN, &stamp(meta))
    }

    fn record(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        self.last += 1;
        let mut body = (payload.len() as u32).to_be_bytes().to_vec();
        body.extend_from_slice(&self.last.to_be_bytes());
        body.push(kind);
        body.extend_from_slice(payload);
        let mut bytes = crc32c(&[&self.header.run, &body]).to_be_bytes().to_vec();
        bytes.append(&mut body);
        bytes
    }
}

fn stamp(meta: &Meta) -> Vec<u8> {
    let mut stamp = meta.size.to_be_bytes().to_vec();
    stamp.extend_from_slice(&meta.inode.to_be_bytes());
    stamp.extend_from_slice(&meta.mtime_ns.to_be_bytes());
    stamp
}

/// What a journal vouches for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Pieces that are durable.
    pub durable: Bitfield,
    /// Pieces that were written later: to be read again before they are believed.
    pub written: Bitfield,
    /// Whether the run ended in order and the part file is as it was left then; `None` if the run
    /// did not end in order.
    pub clean: Option<bool>,
}

/// Reads the journal of a part file that the system describes with `part`. -> `None` if it is none,
/// or that of another content, another file or another version.
pub fn read(bytes: &[u8], hash: Hash32, geometry: &Geometry, part: &Meta) -> Option<Kept> {
    let header = Header::decode(bytes);
    let ours = |header: &Header| *header == Header::new(hash, geometry, part.inode, header.run);
    let Some(header) = header.filter(ours).filter(|_| part.size == geometry.size()) else {
        mark!("E15");
        return None;
    };
    let pieces = geometry.pieces();
    let mut kept =
        Kept { durable: Bitfield::new(pieces), written: Bitfield::new(pieces), clean: None };
    let mut reader = Reader { kept: &mut kept, waiting: BTreeSet::new(), part };
    let mut rest = bytes.get(HEADER_BYTES..)?;
    let mut number = 0;
    while let Some((kind, payload)) = record(&mut rest, &header.run, number + 1) {
        number += 1;
        // A record that checks out and cannot be is of no version we know.
        reader.apply(number, kind, payload)?;
    }
    if !rest.is_empty() {
        mark!("E18");
    }
    reader.settle();
    Some(kept)
}

/// The next record, if it is whole, of this run and in its place.
fn record<'a>(rest: &mut &'a [u8], run: &[u8; 16], number: u64) -> Option<(u8, &'a [u8])> {
    let mut head = rest.get(..HEAD_BYTES)?;
    let crc = take::<4>(&mut head)?;
    let len = u32::from_be_bytes(take(&mut head)?) as usize;
    let (sequence, kind) = (u64::from_be_bytes(take(&mut head)?), *head.first()?);
    let end = HEAD_BYTES.checked_add(len)?;
    let body = rest.get(4..end)?;
    if sequence != number || crc != crc32c(&[run, body]).to_be_bytes() {
        return None;
    }
    let payload = rest.get(HEAD_BYTES..end)?;
    *rest = rest.get(end..)?;
    Some((kind, payload))
}

struct Reader<'a> {
    kept: &'a mut Kept,
    /// Pieces written and not durable yet, by the number of their record.
    waiting: BTreeSet<(u64, u32)>,
    part: &'a Meta,
}

impl Reader<'_> {
    fn apply(&mut self, number: u64, kind: u8, payload: &[u8]) -> Option<()> {
        self.kept.clean = None;
        let pieces = self.kept.durable.len();
        match kind {
            BITMAP if number == 1 => {
                self.kept.durable = Bitfield::from_bytes(pieces, payload).ok()?;
            }
            WRITTEN if payload.len().is_multiple_of(4) => {
                let mut rest = payload;
                while let Some(piece) = take(&mut rest).map(u32::from_be_bytes) {
                    self.waiting.insert((number, Some(piece).filter(|piece| *piece < pieces)?));
                }
            }
            DURABLE => {
                let covers = u64::from_be_bytes(payload.try_into().ok()?);
                let later = self.waiting.split_off(&(covers.checked_add(1)?, 0));
                for (_, piece) in std::mem::replace(&mut self.waiting, later) {
                    self.kept.durable.set(piece);
                }
            }
            CLEAN => self.kept.clean = Some(payload == stamp(self.part)),
            _ => return None,
        }
        Some(())
    }

    fn settle(self) {
        for (_, piece) in self.waiting {
            if !self.kept.durable.get(piece) {
                self.kept.written.set(piece);
            }
        }
    }
}

#[cfg(test)]
mod tests;
