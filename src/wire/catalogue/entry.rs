//! One entry of the catalogue: what a publisher says of a content, and what the tracker adds.

use super::code;
use super::hello::Owner;
use super::keys::{Keys, bad};
use super::signature::{PublicKey, Signed};
use crate::core::bencode::Writer;
use crate::core::fault::Refusal;
use crate::core::id::{Hash32, InfoHash};
use crate::core::mark::mark;
use crate::core::name;

/// Bits of `f`.
pub mod flag {
    pub const V1: u32 = 1;
    pub const V2: u32 = 2;
    pub const PRIVATE: u32 = 4;
    /// Set by the tracker: FETCH gives metainfo.
    pub const METAINFO: u32 = 8;
    pub const MULTI_FILE: u32 = 16;
    /// Set by the tracker: not confirmed by an announce yet, hidden from others.
    pub const PENDING: u32 = 32;
    /// Both hashes are of one hybrid info dict; without it they are companions.
    pub const HYBRID: u32 = 64;
    /// Set by the tracker: FETCH gives web seeds.
    pub const WEB_SEEDS: u32 = 128;
    /// What a publisher may set; the rest is ignored.
    pub const PUBLISHERS: u32 = V1 | V2 | PRIVATE | MULTI_FILE | HYBRID;
}

/// What a publisher says of a content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// By the rule of [`name::check`].
    pub name: String,
    /// v1 info-hash, if there is one.
    pub v1: Option<InfoHash>,
    /// v2 info-hash, if there is one. At least one of the two is there.
    pub v2: Option<Hash32>,
    /// Bytes, all files together.
    pub size: u64,
    /// Piece length, bytes.
    pub piece_bytes: u32,
    /// Bits of [`flag`]. V1 and V2 say the same as the hashes.
    pub flags: u32,
    /// SHA-256 of the content, if it is a single file and was asked for.
    pub sha256: Option<Hash32>,
    /// Who says that the name stands for this content, not checked.
    pub signed: Option<Box<Signed>>,
}

impl Entry {
    /// A content of `size` bytes of which nothing but the v1 hash is known.
    pub fn v1(name: String, hash: InfoHash, size: u64) -> Entry {
        let (v1, v2, flags, piece_bytes) = (Some(hash), None, flag::V1, 16_384);
        Entry { name, v1, v2, size, piece_bytes, flags, sha256: None, signed: None }
    }
}

/// An entry as the tracker lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    pub entry: Entry,
    /// Generation of its last change.
    pub generation: u64,
    /// Unix seconds of its last change.
    pub time_s: u64,
    pub owner: Option<Owner>,
    /// Sources that have all of it.
    pub complete: u32,
    /// Peers that do not.
    pub incomplete: u32,
    /// Sources with a free slot.
    pub available: u32,
}

/// A line of a LIST page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    Listed(Listed),
    /// An entry was removed; told only to who follows changes.
    Gone {
        name: String,
        /// A swarm hash of what the name stood for.
        hash: Option<InfoHash>,
        generation: u64,
    },
}

/// A name by the rule for names, with the refusal a bad one earns.
pub(super) fn read_name(bytes: &[u8]) -> Result<String, Refusal> {
    name::check(bytes).map(str::to_owned).map_err(|_| {
        mark!("C09");
        BAD_NAME
    })
}

const BAD_NAME: Refusal = Refusal {
    code: code::BAD_NAME,
    what: "the name is empty, too long or has characters that are not allowed",
};

fn read_signed(keys: Keys<'_, '_>) -> Result<Option<Box<Signed>>, Refusal> {
    match (keys.array_maybe(b'k')?, keys.array_maybe(b'u')?) {
        (None, None) => Ok(None),
        (Some(key), Some(signature)) => {
            Ok(Some(Box::new(Signed { key: PublicKey(key), signature })))
        }
        _ => Err(bad("a key without a signature, or a signature without its key")),
    }
}

impl Entry {
    /// The hashes under which the content's swarm is announced (BEP 3, BEP 52).
    pub fn swarm_hashes(&self) -> impl Iterator<Item = InfoHash> {
        self.v1.into_iter().chain(self.v2.map(Hash32::truncated))
    }

    /// Whether one of the entry's swarm hashes is `hash`.
    pub fn has_hash(&self, hash: InfoHash) -> bool {
        self.swarm_hashes().any(|own| own == hash)
    }

    /// Reads the entry of a PUBLISH or UPDATE: keys of the tracker are not allowed in it.
    pub(super) fn read_published(keys: Keys<'_, '_>) -> Result<Entry, Refusal> {
        if b"gtociaz".iter().any(|key| keys.value(*key).is_some()) {
            return Err(bad("the entry has a key that only the tracker sets"));
        }
        let mut entry = Entry::read(keys)?;
        entry.flags &= flag::PUBLISHERS;
        Ok(entry)
    }

    fn read(keys: Keys<'_, '_>) -> Result<Entry, Refusal> {
        let entry = Entry {
            name: read_name(keys.bytes(b'n')?)?,
            v1: keys.array_maybe(b'h')?.map(InfoHash),
            v2: keys.hash32_maybe(b'H')?,
            size: keys.uint(b's')?,
            piece_bytes: keys.count(b'p')?,
            flags: keys.count(b'f')?,
            sha256: keys.hash32_maybe(b'x')?,
            signed: read_signed(keys)?,
        };
        let says = (entry.flags & flag::V1 != 0, entry.flags & flag::V2 != 0);
        let has = (entry.v1.is_some(), entry.v2.is_some());
        if says != has || has == (false, false) {
            return Err(bad("the hashes of the entry do not fit its flags"));
        }
        if entry.flags & flag::HYBRID != 0 && has != (true, true) {
            return Err(bad("a hybrid entry without both hashes"));
        }
        if entry.piece_bytes == 0 {
            return Err(bad("a piece length of 0"));
        }
        Ok(entry)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        write_entry(self, None, writer);
    }
}

impl Item {
    pub(super) fn read(keys: Keys<'_, '_>) -> Result<Item, Refusal> {
        if keys.count(b'z')? == 0 {
            return Listed::read(keys).map(Item::Listed);
        }
        let hash = keys.array_maybe(b'h')?.map(InfoHash);
        let name = read_name(keys.bytes(b'n')?)?;
        Ok(Item::Gone { name, hash, generation: keys.uint(b'g')? })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        match self {
            Item::Listed(listed) => listed.write(writer),
            Item::Gone { name, hash, generation } => {
                write_gone(name, *hash, *generation, writer);
            }
        }
    }
}

impl Listed {
    pub(super) fn read(keys: Keys<'_, '_>) -> Result<Listed, Refusal> {
        Ok(Listed {
            entry: Entry::read(keys)?,
            generation: keys.uint(b'g')?,
            time_s: keys.uint(b't')?,
            owner: keys.array_maybe(b'o')?.map(Owner),
            complete: keys.count(b'c')?,
            incomplete: keys.count(b'i')?,
            available: keys.count(b'a')?,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        let added = Added {
            flags: self.entry.flags,
            generation: self.generation,
            time_s: self.time_s,
            owner: self.owner,
            complete: self.complete,
            incomplete: self.incomplete,
            available: self.available,
        };
        write_listed(&self.entry, &added, writer);
    }
}

/// What the tracker adds to an entry that it lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Added {
    /// Bits of [`flag`], the publisher's and the tracker's.
    pub flags: u32,
    pub generation: u64,
    pub time_s: u64,
    pub owner: Option<Owner>,
    pub complete: u32,
    pub incomplete: u32,
    pub available: u32,
}

/// Writes an entry as it is listed, straight from where it is kept.
pub fn write_listed(entry: &Entry, added: &Added, writer: &mut Writer) {
    write_entry(entry, Some(added), writer);
}

/// Writes what tells that an entry was removed.
pub fn write_gone(name: &str, hash: Option<InfoHash>, generation: u64, writer: &mut Writer) {
    writer.begin_dict();
    writer.key(b"g").uint(generation);
    if let Some(hash) = hash {
        writer.key(b"h").bytes(&hash.0);
    }
    writer.key(b"n").bytes(name.as_bytes());
    writer.key(b"z").uint(1).end();
}

/// All keys in their order; those of the tracker only where it lists.
fn write_entry(entry: &Entry, listed: Option<&Added>, writer: &mut Writer) {
    writer.begin_dict();
    if let Some(hash) = entry.v2 {
        writer.key(b"H").bytes(&hash.0);
    }
    if let Some(listed) = listed {
        writer.key(b"a").uint(listed.available.into());
        writer.key(b"c").uint(listed.complete.into());
    }
    writer.key(b"f").uint(listed.map_or(entry.flags, |listed| listed.flags).into());
    if let Some(listed) = listed {
        writer.key(b"g").uint(listed.generation);
    }
    if let Some(hash) = entry.v1 {
        writer.key(b"h").bytes(&hash.0);
    }
    if let Some(listed) = listed {
        writer.key(b"i").uint(listed.incomplete.into());
    }
    if let Some(signed) = &entry.signed {
        writer.key(b"k").bytes(&signed.key.0);
    }
    writer.key(b"n").bytes(entry.name.as_bytes());
    if let Some(owner) = listed.and_then(|listed| listed.owner) {
        writer.key(b"o").bytes(&owner.0);
    }
    writer.key(b"p").uint(entry.piece_bytes.into());
    writer.key(b"s").uint(entry.size);
    if let Some(listed) = listed {
        writer.key(b"t").uint(listed.time_s);
    }
    if let Some(signed) = &entry.signed {
        writer.key(b"u").bytes(&signed.signature);
    }
    if let Some(hash) = entry.sha256 {
        writer.key(b"x").bytes(&hash.0);
    }
    writer.end();
}
