//! What a client asks of the catalogue.

use super::entry::{Entry, read_name};
use super::frame::{Message, write_message};
use super::keys::{Keys, bad, parse_payload};
pub use super::part::What;
use super::{LOOKUP_NAMES_MAX, REGISTER_HASHES_MAX, WATCH_NAMES_MAX, code, kind};
use crate::core::bencode::Writer;
use crate::core::fault::Refusal;
use crate::core::glob::{GLOB_BYTES_MAX, Glob};
use crate::core::id::{InfoHash, PeerId};
use crate::core::limits::NAME_BYTES_MAX;

/// Longest LIST cursor taken, bytes.
const CURSOR_BYTES_MAX: usize = 512;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Type 0, on stream 0: keeps the connection.
    Ping,
    Publish(Publish),
    /// Owner only; `hash` is one of the entry's swarm hashes.
    Unpublish {
        name: String,
        hash: InfoHash,
    },
    /// Compare and set, owner only: `old` is one of the swarm hashes of the version to replace.
    Update {
        old: InfoHash,
        to: Publish,
    },
    List(List),
    /// Entries of exactly these names, 1 to 256.
    Lookup {
        names: Vec<String>,
    },
    /// Metainfo of the content with this swarm hash, from a byte offset.
    Fetch {
        hash: InfoHash,
        what: What,
        offset: u64,
    },
    Stat,
    /// Entries as they appear, change and go.
    Watch(Watch),
    /// An empty frame on the stream of a WATCH: the end of it.
    Unwatch,
    /// Contents that the node has whole, for as long as its connection lives.
    Register(Register),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watch {
    /// Which entries: names and globs, at most 256; empty = all.
    pub names: Vec<String>,
    /// Changes after this generation; `None` = first all that there is, then changes.
    pub since: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// Where the node takes peers, at the address of this connection. Never 0.
    pub port: u16,
    pub peer_id: PeerId,
    /// Swarm hashes, at most 1024.
    pub hashes: Vec<InfoHash>,
    /// These come to what was registered before; without it they replace that.
    pub more: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish {
    pub entry: Entry,
    /// The v1 or hybrid info dict, as hashed.
    pub v1_info: Option<Vec<u8>>,
    /// The v2 info dict, as hashed.
    pub v2_info: Option<Vec<u8>>,
    /// The bencoded `piece layers`.
    pub layers: Option<Vec<u8>>,
    /// The bencoded `url-list` (BEP 19): where the same file is served over HTTP.
    pub web_seeds: Option<Vec<u8>>,
    /// The same content under this name by anyone is fine: one source more. Not in an UPDATE.
    pub same_ok: bool,
}

impl Publish {
    /// An entry without metainfo.
    pub fn bare(entry: Entry) -> Publish {
        let (layers, web_seeds) = (None, None);
        Publish { entry, v1_info: None, v2_info: None, layers, web_seeds, same_ok: false }
    }
}
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// Most entries of the page, from 1.
    pub limit: u32,
    /// What the page before gave, unchanged.
    pub cursor: Option<Vec<u8>>,
    /// Only names that begin so.
    pub prefix: Option<String>,
    /// Only names that fit this [`Glob`].
    pub glob: Option<String>,
    /// Only changes after this generation.
    pub since: Option<u64>,
}

impl Request {
    /// Reads a request that came to a tracker. A refusal is answered on the message's stream; the
    /// connection goes on.
    pub fn decode(message: &Message) -> Result<Request, Refusal> {
        if message.raw {
            return Err(bad("RAW is a flag of the tracker"));
        }
        if message.kind == kind::PING {
            return Ok(Request::Ping);
        }
        if message.stream == 0 {
            return Err(bad("a request on stream 0"));
        }
        if !(kind::PUBLISH..=kind::REGISTER).contains(&message.kind) {
            return Err(Refusal { code: code::UNKNOWN_OP, what: "an unknown request type" });
        }
        if message.kind == kind::WATCH && message.payload.is_empty() {
            return Ok(Request::Unwatch);
        }
        let doc = parse_payload(&message.payload)?;
        let keys = Keys(doc.root());
        match message.kind {
            kind::PUBLISH => {
                let same_ok = keys.uint_maybe(b'r')?.unwrap_or(0) != 0;
                Ok(Request::Publish(Publish { same_ok, ..published(keys)? }))
            }
            kind::UNPUBLISH => Ok(Request::Unpublish {
                name: read_name(keys.bytes(b'n')?)?,
                hash: keys.info_hash(b'h')?,
            }),
            kind::UPDATE => update(keys),
            kind::LIST => list(keys).map(Request::List),
            kind::LOOKUP => lookup(keys),
            kind::FETCH => fetch(keys),
            kind::WATCH => watch(keys).map(Request::Watch),
            kind::REGISTER => register(keys).map(Request::Register),
            _ => Ok(Request::Stat),
        }
    }

    pub fn kind(&self) -> u8 {
        match self {
            Request::Ping => kind::PING,
            Request::Publish(_) => kind::PUBLISH,
            Request::Unpublish { .. } => kind::UNPUBLISH,
            Request::Update { .. } => kind::UPDATE,
            Request::List(_) => kind::LIST,
            Request::Lookup { .. } => kind::LOOKUP,
            Request::Fetch { .. } => kind::FETCH,
            Request::Stat => kind::STAT,
            Request::Watch(_) | Request::Unwatch => kind::WATCH,
            Request::Register(_) => kind::REGISTER,
        }
    }

    /// Appends the frames of the request; `frame_max` is what the tracker takes. A ping goes on
    /// stream 0 whatever `stream` says.
    pub fn encode(&self, stream: u16, frame_max: u32, out: &mut Vec<u8>) {
        let stream = if *self == Request::Ping { 0 } else { stream };
        write_message((self.kind(), 0, stream), &self.payload(), frame_max, out);
    }

    fn payload(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        if matches!(self, Request::Ping | Request::Unwatch) {
            return writer.finish();
        }
        writer.begin_dict();
        match self {
            Request::Ping | Request::Unwatch | Request::Stat => {}
            Request::Publish(publish) => {
                write_published(publish, None, &mut writer);
                if publish.same_ok {
                    writer.key(b"r").uint(1);
                }
                write_web_seeds(publish, &mut writer);
            }
            Request::Unpublish { name, hash } => {
                writer.key(b"h").bytes(&hash.0);
                writer.key(b"n").bytes(name.as_bytes());
            }
            Request::Update { old, to } => {
                write_published(to, Some(*old), &mut writer);
                writer.key(b"n").bytes(to.entry.name.as_bytes());
                write_web_seeds(to, &mut writer);
            }
            Request::List(list) => write_list(list, &mut writer),
            Request::Lookup { names } => write_names(names, &mut writer),
            Request::Watch(watch) => {
                if !watch.names.is_empty() {
                    write_names(&watch.names, &mut writer);
                }
                if let Some(since) = watch.since {
                    writer.key(b"y").uint(since);
                }
            }
            Request::Register(register) => write_register(register, &mut writer),
            Request::Fetch { hash, what, offset } => {
                writer.key(b"h").bytes(&hash.0);
                writer.key(b"o").uint(*offset);
                writer.key(b"w").uint(what.number());
            }
        }
        writer.end();
        writer.finish()
    }
}

fn published(keys: Keys<'_, '_>) -> Result<Publish, Refusal> {
    let owned = |key| Ok(keys.bytes_maybe(key)?.map(<[u8]>::to_vec));
    Ok(Publish {
        entry: Entry::read_published(keys.dict(b'e')?)?,
        v1_info: owned(b'm')?,
        v2_info: owned(b'M')?,
        layers: owned(b'l')?,
        web_seeds: owned(b'w')?,
        same_ok: false,
    })
}

fn update(keys: Keys<'_, '_>) -> Result<Request, Refusal> {
    let to = published(keys)?;
    if keys.bytes(b'n')? != to.entry.name.as_bytes() {
        return Err(bad("the name and the entry's name differ"));
    }
    Ok(Request::Update { old: keys.info_hash(b'h')?, to })
}

fn list(keys: Keys<'_, '_>) -> Result<List, Refusal> {
    let limit = keys.uint(b'l')?;
    if limit == 0 {
        return Err(bad("a limit of 0"));
    }
    let cursor = keys.bytes_maybe(b'c')?;
    if cursor.is_some_and(|cursor| cursor.len() > CURSOR_BYTES_MAX) {
        return Err(bad("a cursor that is too long"));
    }
    let prefix = keys.bytes_maybe(b'p')?;
    if prefix.is_some_and(|prefix| prefix.len() > NAME_BYTES_MAX) {
        return Err(bad("a prefix longer than any name"));
    }
    let prefix = prefix.map(std::str::from_utf8).transpose();
    let glob = keys.bytes_maybe(b'q')?.map(read_glob).transpose()?;
    Ok(List {
        glob,
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        cursor: cursor.map(<[u8]>::to_vec),
        prefix: prefix.map_err(|_| bad("a prefix that is not UTF-8"))?.map(str::to_owned),
        since: keys.uint_maybe(b'y')?,
    })
}

fn lookup(keys: Keys<'_, '_>) -> Result<Request, Refusal> {
    let mut names = Vec::new();
    for name in keys.list(b'n')? {
        if names.len() == LOOKUP_NAMES_MAX {
            return Err(Refusal { code: code::TOO_LARGE, what: "more than 256 names" });
        }
        names.push(read_name(name.bytes().ok_or(bad("a name is not a string"))?)?);
    }
    if names.is_empty() {
        return Err(bad("no name to look up"));
    }
    Ok(Request::Lookup { names })
}

/// A glob that can be read, as it was sent.
fn read_glob(bytes: &[u8]) -> Result<String, Refusal> {
    if bytes.len() > GLOB_BYTES_MAX {
        return Err(bad("a glob that is too long"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| bad("a glob that is not UTF-8"))?;
    Glob::new(text).map_err(bad)?;
    Ok(text.to_owned())
}

fn watch(keys: Keys<'_, '_>) -> Result<Watch, Refusal> {
    let mut names = Vec::new();
    if keys.value(b'n').is_some() {
        for name in keys.list(b'n')? {
            if names.len() == WATCH_NAMES_MAX {
                return Err(Refusal { code: code::TOO_LARGE, what: "more than 256 names" });
            }
            names.push(read_glob(name.bytes().ok_or(bad("a name is not a string"))?)?);
        }
        if names.is_empty() {
            return Err(bad("no name to watch"));
        }
    }
    let since = keys.uint_maybe(b'y')?;
    if names.is_empty() && since.is_none() {
        return Err(bad("neither names nor a generation"));
    }
    Ok(Watch { names, since })
}

fn register(keys: Keys<'_, '_>) -> Result<Register, Refusal> {
    let port = u16::try_from(keys.uint(b'p')?).unwrap_or(0);
    if port == 0 {
        return Err(bad("a port that cannot be reached"));
    }
    let peer_id = keys.array_maybe(b'i')?.map(PeerId).ok_or(bad("the peer id is missing"))?;
    let (hashes, rest) = keys.bytes(b'h')?.as_chunks::<20>();
    if !rest.is_empty() {
        return Err(bad("the hashes are not 20 bytes each"));
    }
    if hashes.len() > REGISTER_HASHES_MAX {
        return Err(Refusal { code: code::TOO_LARGE, what: "more than 1024 contents at once" });
    }
    let hashes = hashes.iter().copied().map(InfoHash).collect();
    Ok(Register { port, peer_id, hashes, more: keys.uint_maybe(b'a')?.unwrap_or(0) != 0 })
}

fn write_register(register: &Register, writer: &mut Writer) {
    if register.more {
        writer.key(b"a").uint(1);
    }
    let hashes: Vec<u8> = register.hashes.iter().flat_map(|hash| hash.0).collect();
    writer.key(b"h").bytes(&hashes);
    writer.key(b"i").bytes(&register.peer_id.0);
    writer.key(b"p").uint(register.port.into());
}

fn write_names(names: &[String], writer: &mut Writer) {
    writer.key(b"n").begin_list();
    names.iter().for_each(|name| {
        writer.bytes(name.as_bytes());
    });
    writer.end();
}

fn fetch(keys: Keys<'_, '_>) -> Result<Request, Refusal> {
    let what = What::of(keys.uint(b'w')?);
    let what = what.ok_or(bad("an unknown part of the metainfo"))?;
    let offset = keys.uint_maybe(b'o')?.unwrap_or(0);
    Ok(Request::Fetch { hash: keys.info_hash(b'h')?, what, offset })
}

/// The keys `M e h l m`, in their order; `h` for an UPDATE.
fn write_published(publish: &Publish, old: Option<InfoHash>, writer: &mut Writer) {
    if let Some(info) = &publish.v2_info {
        writer.key(b"M").bytes(info);
    }
    publish.entry.write(writer.key(b"e"));
    if let Some(hash) = old {
        writer.key(b"h").bytes(&hash.0);
    }
    if let Some(layers) = &publish.layers {
        writer.key(b"l").bytes(layers);
    }
    if let Some(info) = &publish.v1_info {
        writer.key(b"m").bytes(info);
    }
}

fn write_web_seeds(publish: &Publish, writer: &mut Writer) {
    if let Some(list) = &publish.web_seeds {
        writer.key(b"w").bytes(list);
    }
}

fn write_list(list: &List, writer: &mut Writer) {
    if let Some(cursor) = &list.cursor {
        writer.key(b"c").bytes(cursor);
    }
    writer.key(b"l").uint(list.limit.into());
    if let Some(prefix) = &list.prefix {
        writer.key(b"p").bytes(prefix.as_bytes());
    }
    if let Some(glob) = &list.glob {
        writer.key(b"q").bytes(glob.as_bytes());
    }
    if let Some(since) = list.since {
        writer.key(b"y").uint(since);
    }
}
