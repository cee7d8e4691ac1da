//! Announces and scrapes as a client asks them over HTTP (BEP 3, 7, 23, 48).

use super::query::{self, Query};
use crate::core::id::{InfoHash, PeerId};
use crate::wire::tracker_url::TrackerUrl;
use crate::wire::udp::Event;

/// What we call ourselves.
pub const AGENT: &str = concat!("lmk/", env!("CARGO_PKG_VERSION"));

/// Where the questions go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The host as it was named, with its port, for the line of that name.
    pub host: String,
    /// Path of the announce, from the slash on.
    pub path: String,
    /// Query of the URL, without its `?`; empty when there is none.
    pub query: String,
}

/// What an announce says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcing {
    pub info_hash: InfoHash,
    pub peer_id: PeerId,
    pub port: u16,
    pub uploaded: u64,
    pub downloaded: u64,
    /// Bytes still missing.
    pub left: u64,
    /// Peers wanted.
    pub num_want: i32,
    pub event: Event,
    /// What proves to the tracker that we are who we were.
    pub key: Option<u32>,
    /// What the tracker wants to hear again.
    pub tracker_id: Option<Vec<u8>>,
}

impl Target {
    /// The target of a URL of a tracker.
    pub fn of(url: &TrackerUrl) -> Target {
        let (path, query) = url.path.split_once('?').unwrap_or((&url.path, ""));
        let path = if path.is_empty() { "/" } else { path };
        let host = url.host_line();
        Target { host, path: path.to_owned(), query: query.to_owned() }
    }

    /// The request of an announce.
    pub fn announce(&self, said: &Announcing) -> String {
        let mut line = self.line(&self.path, said.info_hash);
        line.push_str("&peer_id=");
        query::encode(&said.peer_id.0, &mut line);
        let Announcing { port, uploaded, downloaded, left, num_want, .. } = said;
        line.push_str(&format!(
            "&port={port}&uploaded={uploaded}&downloaded={downloaded}&left={left}&compact=1\
             &numwant={num_want}"
        ));
        line.push_str(match said.event {
            Event::None => "",
            Event::Started => "&event=started",
            Event::Completed => "&event=completed",
            Event::Stopped => "&event=stopped",
            Event::Paused => "&event=paused",
        });
        if let Some(key) = said.key {
            line.push_str(&format!("&key={key:08X}"));
        }
        if let Some(id) = &said.tracker_id {
            line.push_str("&trackerid=");
            query::encode(id, &mut line);
        }
        self.whole(&line)
    }

    /// Whether the query says already what is announced, as that of a redirection mostly does.
    pub fn is_whole(&self) -> bool {
        Query(self.query.as_bytes()).get("info_hash").is_some()
    }

    /// The request for the URL as it stands.
    pub fn as_it_stands(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        self.whole(&format!("GET {}{mark}{}", self.path, self.query))
    }

    /// The request of a scrape, if the tracker has a path for it.
    pub fn scrape(&self, info_hash: InfoHash) -> Option<String> {
        let path = scrape_path(&self.path)?;
        Some(self.whole(&self.line(&path, info_hash)))
    }

    fn line(&self, path: &str, info_hash: InfoHash) -> String {
        let mut line = format!("GET {path}?");
        if !self.query.is_empty() {
            line.push_str(&self.query);
            line.push('&');
        }
        line.push_str("info_hash=");
        query::encode(&info_hash.0, &mut line);
        line
    }

    /// One question a connection.
    fn whole(&self, line: &str) -> String {
        let host = &self.host;
        format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\n\
             Accept-Encoding: gzip, deflate\r\nConnection: close\r\n\r\n"
        )
    }
}

/// The path of a scrape, if that of the announce has one: the last part begins with `announce`
/// (BEP 48).
pub fn scrape_path(path: &str) -> Option<String> {
    let (before, last) = path.rsplit_once('/')?;
    let rest = last.strip_prefix("announce")?;
    Some(format!("{before}/scrape{rest}"))
}
