//! HTTP on the tracker's TCP port: announces and scrapes of stock clients, figures, metainfo and a
//! page for people. Read-only but for announces; routes only.

pub mod announce;
pub mod exchange;
pub mod files;
pub mod metrics;
pub mod pages;
pub mod status;

use super::desk::Desk;
use super::work::REQUEST_STEPS;
use crate::wire::http::head::{Head, Method};
use crate::wire::token::{DENIED, TEXT_BYTES, scope};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Who asks, as far as an answer depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    pub ip: IpAddr,
    /// Where it reached us.
    pub local: SocketAddr,
    /// The token of this request, if it may announce.
    pub bearer: Option<[u8; TEXT_BYTES]>,
}

const TEXT: &str = "text/plain; charset=utf-8";
const ALLOW: &str = "GET, HEAD, OPTIONS";

/// One answer: status, what it is, and its bytes, which may be shared by many connections.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Media type; empty = there is no body.
    pub media: &'static str,
    pub more: Vec<(&'static str, String)>,
    pub parts: Vec<Arc<[u8]>>,
}

impl Reply {
    pub fn new(status: u16, media: &'static str, body: impl Into<Arc<[u8]>>) -> Reply {
        Reply { status, media, more: Vec::new(), parts: vec![body.into()] }
    }

    /// A status and one line for people.
    pub fn line(status: u16, line: &str) -> Reply {
        Reply::new(status, TEXT, format!("lmk tracker: {line}\n").into_bytes())
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.more.push((name, value.into()));
        self
    }

    /// Bytes of the body.
    pub fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Executes one request.
pub fn answer(head: &Head<'_>, asker: &Asker, desk: &mut Desk<'_>) -> Reply {
    let token = token(head);
    let token = token.as_deref();
    let unix_s = desk.unix_s();
    let (mut asker, mut welcome) = (*asker, true);
    // Announces and scrapes are judged where it is known what they are about.
    if !is_about_swarms(head.path) {
        let pass = desk.registry.access.passes(token, scope::READ, None, unix_s);
        welcome = pass.is_ok();
        let bearer = pass.ok().and_then(|pass| pass.bearer(token?));
        asker.bearer = bearer.and_then(|text| text.try_into().ok());
    }
    if !welcome {
        return Reply::line(403, DENIED);
    }
    let asker = &asker;
    match head.method {
        Method::Get | Method::Head => {}
        Method::Options => {
            let nothing = Reply { status: 204, media: "", more: Vec::new(), parts: Vec::new() };
            return nothing.with("Allow", ALLOW);
        }
        Method::Other => {
            return Reply::line(405, "only GET, HEAD and OPTIONS are taken").with("Allow", ALLOW);
        }
    }
    desk.pages.asked += 1;
    desk.registry.work.spend(REQUEST_STEPS);
    match head.path {
        b"/" => desk.pages.page(),
        path if begins(path, b"/announce") => announce::announce((head.query, token), asker, desk),
        path if begins(path, b"/scrape") => announce::scrape((head.query, token), desk),
        b"/metrics" => Reply::new(200, metrics::MEDIA, metrics::text(desk).into_bytes()),
        b"/status.json" => status::reply(head.query, desk),
        path => deeper(path, asker, desk),
    }
}

fn is_about_swarms(path: &[u8]) -> bool {
    begins(path, b"/announce") || begins(path, b"/scrape")
}

/// Whether a path is `first`, alone or with a token behind it.
fn begins(path: &[u8], first: &[u8]) -> bool {
    path.strip_prefix(first).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The token of a request: `auth=` in the query, or behind `/announce/` or `/scrape/`.
fn token<'a>(head: &Head<'a>) -> Option<Cow<'a, [u8]>> {
    let behind = |first: &[u8]| head.path.strip_prefix(first);
    let path = behind(b"/announce/").or_else(|| behind(b"/scrape/"));
    head.query.get("auth").or(path.map(Cow::Borrowed))
}

/// Paths with something in them: a hash, a name.
fn deeper(path: &[u8], asker: &Asker, desk: &mut Desk<'_>) -> Reply {
    let file = |before: &str| path.strip_prefix(before.as_bytes())?.strip_suffix(b".torrent");
    let reply = if let Some(hash) = file("/torrent/") {
        files::torrent_of_hash(hash, asker, desk)
    } else if let Some(name) = file("/t/") {
        files::torrent_of_name(name, asker, desk)
    } else if let Some(name) = path.strip_prefix(b"/magnet/") {
        files::magnet(name, asker, desk)
    } else {
        None
    };
    reply.unwrap_or_else(|| Reply::line(404, "there is nothing here; see / for what there is"))
}
