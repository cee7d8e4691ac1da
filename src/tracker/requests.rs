//! The catalogue's requests, executed: one request in, one answer or one stream of bytes out.

use super::access::{Access, Pass, STRANGER};
use super::counts::Counts;
use super::listing;
use super::names::{News, Place};
use super::publish;
use super::registrations::Source;
use super::registry::Registry;
use super::source::Source as Origin;
use super::swarm::PeerKey;
use super::ticket;
use super::work::REQUEST_STEPS;
use crate::core::fault::Refusal;
use crate::core::id::{ConnId, InfoHash};
use crate::core::io::Outbox;
use crate::core::time::Time;
use crate::wire::catalogue::answer::{Answer, Stat};
use crate::wire::catalogue::hello::Owner;
use crate::wire::catalogue::request::{Publish, Register, Request, What};
use crate::wire::catalogue::{code, kind};
use crate::wire::token::DENIED;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Seconds of silence after which a connection is closed, and what its node registered forgotten.
pub const LEASE_S: u32 = super::lists::IDLE.as_secs() as u32;

/// Who asks.
#[derive(Clone)]
pub struct Client {
    pub conn: ConnId,
    /// Where it is.
    pub ip: IpAddr,
    pub owner: Option<Owner>,
    /// Bits of [`ticket`].
    pub rights: u8,
    /// What it was let in for, by this token.
    pub pass: Pass,
    pub token: Box<[u8]>,
    /// Whether limits per owner count.
    pub public: bool,
    /// The tracker's URL as this client reached it, for a .torrent.
    pub announce: String,
}

/// What a client hears whose token is for writing alone.
pub const NOT_FOR_READING: Refusal =
    Refusal { code: code::FORBIDDEN, what: "the token is not for reading" };

impl Client {
    /// Whether what it was let in for still holds.
    pub fn is_welcome(&mut self, access: &Access, unix_s: u64) -> bool {
        access.still_holds(&mut self.pass, &self.token, unix_s)
    }

    /// Whether it may ask this, as far as reading goes.
    pub fn may(&self, request: &Request) -> bool {
        let reads = match request {
            Request::List(_) | Request::Lookup { .. } | Request::Fetch { .. } => true,
            Request::Stat | Request::Watch(_) => true,
            Request::Ping | Request::Publish(_) | Request::Unpublish { .. } => false,
            Request::Update { .. } | Request::Register(_) | Request::Unwatch => false,
        };
        !reads || self.rights & ticket::READ != 0
    }
}

impl std::fmt::Debug for Client {
    /// Its token is never shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({:?}, {})", self.conn, self.ip)
    }
}

/// What a request gives.
#[derive(Debug)]
pub enum Reply {
    Answer(Answer),
    /// The type and the payload of an answer that is written already.
    Payload(u8, Vec<u8>),
    /// Bytes from `skip` on, in parts to be sent as RAW frames.
    Stream {
        parts: Vec<Arc<[u8]>>,
        skip: u64,
    },
}

impl Reply {
    /// Bytes that are kept for this reply alone.
    pub fn bytes(&self) -> usize {
        match self {
            Reply::Payload(_, payload) => payload.capacity(),
            Reply::Answer(_) | Reply::Stream { .. } => 0,
        }
    }
}

/// Whether a request changes the catalogue.
pub fn writes(request: &Request) -> bool {
    matches!(request, Request::Publish(_) | Request::Unpublish { .. } | Request::Update { .. })
}

/// Executes one request.
pub fn execute(
    registry: &mut Registry,
    now: Time,
    client: &Client,
    request: Request,
    out: &mut Outbox,
) -> Reply {
    if writes(&request)
        && let Some(refusal) = registry.keeping.refusal()
    {
        return Reply::Answer(refusal.into());
    }
    let answer = match request {
        Request::Ping => Ok(Answer::Pong),
        Request::Publish(publish) => published(registry, now, client, (publish, None), out),
        Request::Unpublish { name, hash } => writer(client).and_then(|owner| {
            registry.unpublish(&name, hash, owner, out)?;
            Ok(Answer::Unpublished { generation: registry.names.generation() })
        }),
        Request::Update { old, to } => writer(client).and_then(|owner| {
            let name = to.entry.name.clone();
            let place = standing(registry, &name, owner, old)?;
            let replaces = (!to.entry.has_hash(old)).then_some(place);
            let goes = replaces.is_some();
            published(registry, now, client, (to, replaces), out)?;
            if goes {
                registry.unpublish(&name, old, owner, out)?;
            }
            Ok(Answer::Updated { generation: registry.names.generation() })
        }),
        Request::List(list) => match listing::page(registry, client.owner, &list) {
            Ok((payload, steps)) => {
                registry.work.spend(steps);
                return Reply::Payload(kind::ANSWER | kind::LIST, payload);
            }
            Err(refusal) => Err(refusal),
        },
        Request::Lookup { names } => match listing::found(registry, client.owner, &names) {
            Ok(payload) => return Reply::Payload(kind::ANSWER | kind::LOOKUP, payload),
            Err(refusal) => Err(refusal),
        },
        Request::Fetch { hash, what, offset } => match fetched(registry, client, hash, what) {
            Ok(parts) => return Reply::Stream { parts, skip: offset },
            Err(refusal) => Err(refusal),
        },
        Request::Stat => Ok(Answer::Stat(stat(registry, now))),
        Request::Register(register) => registered(registry, now, client, &register, out),
        // A conversation keeps its watches itself.
        Request::Watch(_) | Request::Unwatch => {
            Err(Refusal { code: code::INTERNAL, what: "a watch out of place" })
        }
    };
    Reply::Answer(answer.unwrap_or_else(Answer::from))
}

fn stat(registry: &Registry, now: Time) -> Stat {
    let nodes = registry.nodes();
    Stat {
        names: registry.names.listed(),
        generation: registry.names.generation(),
        time_s: registry.unix_s(now),
        seeders: nodes.complete.into(),
        leechers: nodes.incomplete.into(),
        not_saving: registry.not_saving(),
    }
}

/// Binds a node's contents to where its peers reach it.
fn registered(
    registry: &mut Registry,
    now: Time,
    client: &Client,
    register: &Register,
    out: &mut Outbox,
) -> Result<Answer, Refusal> {
    writer(client)?;
    may_register(registry, now, client, register.hashes.iter().copied(), out)?;
    let key = PeerKey::new(SocketAddr::new(client.ip, register.port));
    let source = Source { key, id: register.peer_id };
    registry.work.spend(register.hashes.len() as u64 * REQUEST_STEPS / 8);
    registry.register(now, (client.conn, source), &register.hashes, register.more, out)?;
    Ok(Answer::Registered {
        generation: registry.names.generation(),
        contents: registry.registrations.contents(client.conn) as u64,
        lease_s: LEASE_S,
    })
}

/// Metainfo that is kept of a content, in parts.
fn fetched(
    registry: &Registry,
    client: &Client,
    hash: InfoHash,
    what: What,
) -> Result<Vec<Arc<[u8]>>, Refusal> {
    let of_hash = || registry.names.of_hash(hash);
    let seen = || of_hash().filter(|record| record.is_seen_by(client.owner));
    let parts = seen().find_map(|record| {
        let v2 = record.entry.v2.is_some_and(|v2| v2.truncated() == hash);
        record.metainfo.parts(what, &client.announce, v2)
    });
    parts.ok_or_else(|| no_metainfo(seen().next().is_some(), what))
}

fn no_metainfo(known: bool, what: What) -> Refusal {
    match (known, what) {
        (false, _) => Refusal { code: code::NOT_FOUND, what: "no such content" },
        (true, What::Layers) => {
            Refusal { code: code::NO_METAINFO, what: "no piece layers are kept" }
        }
        (true, _) => Refusal { code: code::NO_METAINFO, what: "no such metainfo is kept" },
    }
}

/// The owner in whose name a client may write.
fn writer(client: &Client) -> Result<Owner, Refusal> {
    let refuse = |what| Refusal { code: code::FORBIDDEN, what };
    if client.rights & ticket::WRITE == 0 {
        return Err(refuse("the ticket is for reading"));
    }
    client.owner.ok_or(refuse("only a node with a key may publish"))
}

/// Whether these contents may be here, from where the client is.
fn may_register(
    registry: &mut Registry,
    now: Time,
    client: &Client,
    mut hashes: impl Iterator<Item = InfoHash>,
    out: &mut Outbox,
) -> Result<(), Refusal> {
    let refuse = |what| Refusal { code: code::FORBIDDEN, what };
    if !hashes.all(|hash| registry.access.takes(hash)) {
        return Err(refuse(DENIED));
    }
    match registry.access.registers(now, client.ip, out) {
        true => Ok(()),
        false => Err(refuse(STRANGER)),
    }
}

fn published(
    registry: &mut Registry,
    now: Time,
    client: &Client,
    (publish, replaces): (Publish, Option<Place>),
    out: &mut Outbox,
) -> Result<Answer, Refusal> {
    let owner = writer(client)?;
    may_register(registry, now, client, publish.entry.swarm_hashes(), out)?;
    let (entry, metainfo) = publish::check(publish)?;
    let source = client.public.then(|| Origin::of(client.ip));
    let counts = Counts::default();
    let news = News { entry, metainfo, owner, time_s: 0, counts, source, replaces };
    let place = registry.publish(now, news, out)?;
    let record = registry.names.get(&place);
    Ok(Answer::Published {
        generation: registry.names.generation(),
        owner: record.and_then(|record| record.owners.first().copied()).unwrap_or(owner),
        flags: record.map(|record| record.flags()).unwrap_or_default(),
    })
}

/// Compare and set: `old` must be the owner's newest version; where it stands.
fn standing(
    registry: &Registry,
    name: &str,
    owner: Owner,
    old: InfoHash,
) -> Result<Place, Refusal> {
    let newest = registry.names.newest(name, owner);
    match newest.and_then(|place| Some((place, registry.names.get(place)?))) {
        Some((place, record)) if record.entry.has_hash(old) => Ok(place.clone()),
        Some(_) => Err(Refusal {
            code: code::HASH_MISMATCH,
            what: "another version stands under the name",
        }),
        None if registry.names.of_name(name).next().is_some() => {
            Err(Refusal { code: code::FORBIDDEN, what: "another owner's entry" })
        }
        None => Err(Refusal { code: code::NOT_FOUND, what: "no such entry" }),
    }
}
