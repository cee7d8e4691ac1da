//! Announces and scrapes as query strings (BEP 3, 7, 21, 23, 48).

use super::query::Query;
use crate::core::id::{InfoHash, PeerId};
use crate::wire::slot_word::SlotWord;
use crate::wire::udp::Event;

/// An announce. `ip`, `ipv4` and `ipv6` are not believed: the sender's address counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announce {
    pub info_hash: InfoHash,
    pub peer_id: PeerId,
    pub port: u16,
    pub uploaded: u64,
    pub downloaded: u64,
    /// Bytes still missing; `u64::MAX` = not said.
    pub left: u64,
    pub event: Event,
    /// Peers wanted, -1 = as many as the tracker thinks fit.
    pub num_want: i32,
    /// Peers as strings of 6 and 18 bytes (BEP 23, BEP 7); false only when `compact=0` asks for
    /// dictionaries.
    pub compact: bool,
    /// Leave the peer ids out of dictionaries.
    pub no_peer_id: bool,
    /// The client says that it has an address of the other family too (BEP 7).
    pub dual: bool,
    /// What a node of ours says of its slots.
    pub slots: Option<SlotWord>,
}

impl Announce {
    /// Reads the query of an announce. The error is the failure reason to answer.
    pub fn read(query: Query<'_>) -> Result<Announce, &'static str> {
        let (mut info_hash, mut peer_id, mut port) = (None, None, None);
        let mut announce = Announce {
            info_hash: InfoHash([0; 20]),
            peer_id: PeerId([0; 20]),
            port: 0,
            uploaded: 0,
            downloaded: 0,
            left: u64::MAX,
            event: Event::None,
            num_want: -1,
            compact: true,
            no_peer_id: false,
            dual: false,
            slots: None,
        };
        for pair in query.pairs() {
            let (key, value) = pair.map_err(|_| "a broken % escape")?;
            match &*key {
                b"info_hash" if info_hash.is_some() => return Err("one info_hash an announce"),
                b"info_hash" => info_hash = Some(InfoHash(twenty(&value).ok_or(BAD_HASH)?)),
                b"peer_id" => peer_id = Some(twenty(&value).ok_or("peer_id is not 20 bytes")?),
                b"port" => port = number(&value).and_then(|port| u16::try_from(port).ok()),
                b"uploaded" => announce.uploaded = number(&value).unwrap_or(0),
                b"downloaded" => announce.downloaded = number(&value).unwrap_or(0),
                // Some clients write -1 for what they do not know.
                b"left" => announce.left = number(&value).unwrap_or(u64::MAX),
                b"event" => announce.event = event(&value),
                b"numwant" => {
                    let want = number(&value).map(|n| i32::try_from(n).unwrap_or(i32::MAX));
                    announce.num_want = want.unwrap_or(-1);
                }
                b"compact" => announce.compact = *value != *b"0",
                b"no_peer_id" => announce.no_peer_id = *value != *b"0",
                b"ipv4" | b"ipv6" => announce.dual = true,
                b"lmk" => announce.slots = SlotWord::decode(&value),
                _ => {}
            }
        }
        announce.info_hash = info_hash.ok_or("no info_hash")?;
        announce.peer_id = PeerId(peer_id.ok_or("no peer_id")?);
        announce.port = port.ok_or("no port")?;
        Ok(announce)
    }
}

const BAD_HASH: &str = "info_hash is not 20 bytes";

/// The hashes of a scrape; the error is the failure reason to answer.
pub fn scrape(query: Query<'_>) -> Result<Vec<InfoHash>, &'static str> {
    let mut hashes = Vec::new();
    for pair in query.pairs() {
        let (key, value) = pair.map_err(|_| "a broken % escape")?;
        if *key == *b"info_hash" {
            hashes.push(InfoHash(twenty(&value).ok_or(BAD_HASH)?));
        }
    }
    Ok(hashes)
}

fn twenty(value: &[u8]) -> Option<[u8; 20]> {
    value.try_into().ok()
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    // A number too large to hold is as large as can be held.
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn event(value: &[u8]) -> Event {
    match value {
        b"started" => Event::Started,
        b"completed" => Event::Completed,
        b"stopped" => Event::Stopped,
        b"paused" => Event::Paused,
        _ => Event::None,
    }
}
