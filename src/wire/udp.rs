//! The UDP tracker protocol (BEP 15), both sides: datagrams to values and back.

use super::options;
use super::read::Fields;
use crate::core::id::{InfoHash, PeerId};
use crate::core::report::foreign_bytes;
use std::net::SocketAddr;

/// First eight bytes of every connect request.
pub const CONNECT_MAGIC: u64 = 0x0417_2710_1980;
/// Bytes of an announce request without options.
pub const ANNOUNCE_BYTES: usize = 98;
/// Most info-hashes of one scrape that are answered (BEP 15: what fits in 1500 bytes).
pub const SCRAPE_HASHES_MAX: usize = 74;

/// The first 32 bits after the connection id of a request, and the first of an answer.
pub mod action {
    pub const CONNECT: u32 = 0;
    pub const ANNOUNCE: u32 = 1;
    pub const SCRAPE: u32 = 2;
    pub const ERROR: u32 = 3;
    /// What one build of opentracker sends for an error.
    pub const ERROR_SWAPPED: u32 = 0x0300_0000;
}

/// Why a peer announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The regular announce; unknown numbers are read as this.
    None,
    Completed,
    Started,
    Stopped,
    /// BEP 21: a partial seed.
    Paused,
}

impl Event {
    fn number(self) -> u32 {
        match self {
            Event::None => 0,
            Event::Completed => 1,
            Event::Started => 2,
            Event::Stopped => 3,
            Event::Paused => 4,
        }
    }

    fn from_number(n: u32) -> Event {
        match n {
            1 => Event::Completed,
            2 => Event::Started,
            3 => Event::Stopped,
            4 => Event::Paused,
            _ => Event::None,
        }
    }
}

/// What a client asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    Connect { tid: u32 },
    Announce(AnnounceRequest),
    Scrape { cid: u64, tid: u32, hashes: Vec<InfoHash> },
}

/// An announce. The address field of the format is always 0: the sender's address counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceRequest {
    pub cid: u64,
    pub tid: u32,
    pub info_hash: InfoHash,
    pub peer_id: PeerId,
    pub downloaded: u64,
    /// Bytes still missing; `u64::MAX` = unknown.
    pub left: u64,
    pub uploaded: u64,
    pub event: Event,
    /// Lets a tracker know the peer again after its address changed.
    pub key: u32,
    /// Peers wanted, -1 = as many as the tracker thinks fit.
    pub num_want: i32,
    pub port: u16,
    /// BEP 41 URLData, empty when none was sent.
    pub url_data: Vec<u8>,
}

/// A datagram that is not a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadRequest {
    /// Answer with silence.
    Drop,
    /// Answer with an error once `cid` is known to be good, else with silence.
    Refuse { cid: u64, tid: u32, text: &'static str },
}

impl Request {
    /// Reads a datagram that came to a tracker. Bytes after the known ones are ignored.
    pub fn decode(bytes: &[u8]) -> Result<Request, BadRequest> {
        let mut fields = Fields(bytes);
        let (cid, action, tid) = head(&mut fields).ok_or(BadRequest::Drop)?;
        match action {
            action::CONNECT if cid == CONNECT_MAGIC => Ok(Request::Connect { tid }),
            action::ANNOUNCE => {
                let mut announce = announce(cid, tid, &mut fields).ok_or(BadRequest::Drop)?;
                let text = "a truncated option";
                crate::mark!("B23");
                announce.url_data =
                    options::url_data(fields.0).ok_or(BadRequest::Refuse { cid, tid, text })?;
                Ok(Request::Announce(announce))
            }
            action::SCRAPE => {
                let (whole, _) = fields.0.as_chunks::<20>();
                if whole.is_empty() {
                    let text = "no hash";
                    return Err(BadRequest::Refuse { cid, tid, text });
                }
                let hashes = whole.iter().take(SCRAPE_HASHES_MAX).map(|hash| InfoHash(*hash));
                Ok(Request::Scrape { cid, tid, hashes: hashes.collect() })
            }
            _ => Err(BadRequest::Drop),
        }
    }

    /// Appends the datagram.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Request::Connect { tid } => {
                write_head(CONNECT_MAGIC, action::CONNECT, *tid, out);
            }
            Request::Announce(announce) => announce.encode(out),
            Request::Scrape { cid, tid, hashes } => {
                write_head(*cid, action::SCRAPE, *tid, out);
                hashes.iter().for_each(|hash| out.extend_from_slice(&hash.0));
            }
        }
    }
}

impl AnnounceRequest {
    /// Appends the datagram.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_head(self.cid, action::ANNOUNCE, self.tid, out);
        out.extend_from_slice(&self.info_hash.0);
        out.extend_from_slice(&self.peer_id.0);
        out.extend_from_slice(&self.downloaded.to_be_bytes());
        out.extend_from_slice(&self.left.to_be_bytes());
        out.extend_from_slice(&self.uploaded.to_be_bytes());
        out.extend_from_slice(&self.event.number().to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.key.to_be_bytes());
        out.extend_from_slice(&self.num_want.to_be_bytes());
        out.extend_from_slice(&self.port.to_be_bytes());
        options::write_url_data(&self.url_data, out);
    }
}

/// Connection id, action and transaction id: the first 16 bytes of every request.
pub fn head(fields: &mut Fields<'_>) -> Option<(u64, u32, u32)> {
    Some((fields.u64()?, fields.u32()?, fields.u32()?))
}

/// Appends what [`head`] reads.
pub fn write_head(cid: u64, action: u32, tid: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&cid.to_be_bytes());
    out.extend_from_slice(&action.to_be_bytes());
    out.extend_from_slice(&tid.to_be_bytes());
}

fn announce(cid: u64, tid: u32, fields: &mut Fields<'_>) -> Option<AnnounceRequest> {
    let info_hash = InfoHash(fields.array()?);
    let peer_id = PeerId(fields.array()?);
    let (downloaded, left, uploaded) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let event = Event::from_number(fields.u32()?);
    let _address = fields.u32()?;
    let key = fields.u32()?;
    let num_want = i32::from_be_bytes(fields.array()?);
    let port = fields.u16()?;
    let url_data = Vec::new();
    Some(AnnounceRequest {
        cid,
        tid,
        info_hash,
        peer_id,
        downloaded,
        left,
        uploaded,
        event,
        key,
        num_want,
        port,
        url_data,
    })
}

/// What a tracker answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Response {
    Connect { tid: u32, cid: u64 },
    Announce(AnnounceResponse),
    Scrape { tid: u32, rows: Vec<ScrapeRow> },
    Error { tid: u32, text: String },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceResponse {
    pub tid: u32,
    /// Seconds until the next regular announce.
    pub interval_s: u32,
    pub leechers: u32,
    pub seeders: u32,
    pub peers: Vec<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScrapeRow {
    pub seeders: u32,
    /// Downloads ever completed.
    pub completed: u32,
    pub leechers: u32,
}

impl Response {
    /// Reads a datagram that came to a client over IPv4 or `ipv6` (the family of the datagram
    /// decides the length of a peer). `None` = not an answer at all. An announce answer that ends
    /// before its peers is an `Error`: some trackers refuse so. A cut last peer is left out, and
    /// so are peers with port 0 or no address. Error text is safe to show.
    pub fn decode(bytes: &[u8], ipv6: bool) -> Option<Response> {
        let mut fields = Fields(bytes);
        let (action, tid) = (fields.u32()?, fields.u32()?);
        match action {
            action::CONNECT => Some(Response::Connect { tid, cid: fields.u64()? }),
            action::ANNOUNCE => Some(announced(tid, &mut fields, ipv6).unwrap_or_else(|| {
                Response::Error { tid, text: "the answer ends before its peers".into() }
            })),
            action::SCRAPE => {
                let mut rows = Vec::new();
                while let Some(row) = scrape_row(&mut fields) {
                    rows.push(row);
                }
                Some(Response::Scrape { tid, rows })
            }
            action::ERROR | action::ERROR_SWAPPED => {
                Some(Response::Error { tid, text: foreign_bytes(fields.0) })
            }
            _ => None,
        }
    }

    /// Appends the datagram for a client that asked over IPv4 or `ipv6`; peers of the other family
    /// are left out.
    pub fn encode(&self, ipv6: bool, out: &mut Vec<u8>) {
        match self {
            Response::Connect { tid, cid } => {
                write_words(&[action::CONNECT, *tid], out);
                out.extend_from_slice(&cid.to_be_bytes());
            }
            Response::Announce(AnnounceResponse { tid, interval_s, leechers, seeders, peers }) => {
                let (tid, interval_s, leechers, seeders) = (*tid, *interval_s, *leechers, *seeders);
                write_announced(&AnnounceHead { tid, interval_s, leechers, seeders }, out);
                peers.iter().for_each(|peer| write_addr(*peer, ipv6, out));
            }
            Response::Scrape { tid, rows } => write_scrape(*tid, rows.iter().copied(), out),
            Response::Error { tid, text } => {
                write_words(&[action::ERROR, *tid], out);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// An announce answer before its peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnnounceHead {
    pub tid: u32,
    /// Seconds until the next regular announce.
    pub interval_s: u32,
    pub leechers: u32,
    pub seeders: u32,
}

/// Appends an announce answer without peers; each follows by [`write_addr`].
pub fn write_announced(head: &AnnounceHead, out: &mut Vec<u8>) {
    let counts = [head.interval_s, head.leechers, head.seeders];
    write_words(&[action::ANNOUNCE, head.tid], out);
    write_words(&counts, out);
}

/// Appends a scrape answer.
pub fn write_scrape(tid: u32, rows: impl Iterator<Item = ScrapeRow>, out: &mut Vec<u8>) {
    write_words(&[action::SCRAPE, tid], out);
    for row in rows {
        write_words(&[row.seeders, row.completed, row.leechers], out);
    }
}

fn announced(tid: u32, fields: &mut Fields<'_>, ipv6: bool) -> Option<Response> {
    let (interval_s, leechers, seeders) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let mut peers = Vec::new();
    while let Some(peer) = fields.addr(ipv6) {
        if peer.port() != 0 && !peer.ip().is_unspecified() {
            peers.push(peer);
        }
    }
    Some(Response::Announce(AnnounceResponse { tid, interval_s, leechers, seeders, peers }))
}

fn scrape_row(fields: &mut Fields<'_>) -> Option<ScrapeRow> {
    let (seeders, completed, leechers) = (fields.u32()?, fields.u32()?, fields.u32()?);
    Some(ScrapeRow { seeders, completed, leechers })
}

fn write_words(words: &[u32], out: &mut Vec<u8>) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
}

/// Appends a compact address, unless it is of the other family.
pub fn write_addr(addr: SocketAddr, ipv6: bool, out: &mut Vec<u8>) {
    match (addr, ipv6) {
        (SocketAddr::V4(addr), false) => out.extend_from_slice(&addr.ip().octets()),
        (SocketAddr::V6(addr), true) => out.extend_from_slice(&addr.ip().octets()),
        _ => return,
    }
    out.extend_from_slice(&addr.port().to_be_bytes());
}
