//! Announces and scrapes over HTTP (BEP 3, 7, 23, 24, 48), by the rules that UDP has: the sender's
//! address counts, whatever the query says.

use super::{Asker, Reply};
use crate::core::id::PeerId;
use crate::core::io::Outbox;
use crate::core::time::Time;
use crate::tracker::datagrams::{PEERS_DEFAULT, PEERS_MAX};
use crate::tracker::desk::Desk;
use crate::tracker::fleet::Said;
use crate::tracker::record::{PeerKey, Progress};
use crate::tracker::sample::Asker as Taker;
use crate::tracker::source::handed;
use crate::tracker::swarms::Announce as News;
use crate::wire::http::announce::{self, Announce};
use crate::wire::http::answer::{self, AnnounceAnswer, Form};
use crate::wire::http::query::Query;
use crate::wire::udp::{Event, ScrapeRow};
use std::net::SocketAddr;

/// Seconds between two announces that a client may make of its own accord, and between scrapes.
const MIN_INTERVAL_S: u64 = 60;

/// Bencoded answers have no media type of their own that clients agree on.
fn bencoded(body: Vec<u8>) -> Reply {
    Reply::new(200, "text/plain", body)
}

fn refused(why: &str) -> Reply {
    bencoded(answer::failure(why))
}

pub fn announce(
    query: Query<'_>,
    asker: &Asker,
    now: Time,
    desk: &mut Desk<'_>,
    out: &mut Outbox,
) -> Reply {
    desk.pages.announces += 1;
    let asked = match Announce::read(query) {
        Ok(asked) if asked.port == 0 => return refused("port 0 cannot be reached"),
        Ok(asked) => asked,
        Err(why) => return refused(why),
    };
    let news = News {
        hash: asked.info_hash,
        key: PeerKey::new(SocketAddr::new(asker.ip, asked.port)),
        id: asked.peer_id,
        progress: Progress {
            uploaded: asked.uploaded,
            downloaded: asked.downloaded,
            left: asked.left,
        },
        stopped: asked.event == Event::Stopped,
    };
    let announced = match desk.registry.announce(now, &news, out) {
        Ok(announced) => announced,
        Err(refusal) => return refused(refusal.what),
    };
    let Announce { left, downloaded, uploaded, slots, .. } = asked;
    desk.registry.reported(now, &news, Said { left, downloaded, uploaded, slots });
    let peers = chosen(now, &asked, &news, asker, desk);
    let (counts, completed) = desk.registry.scrape(now, asked.info_hash, out);
    let form = match asked.compact {
        true => Form::Compact,
        false => Form::Dictionaries { ids: !asked.no_peer_id },
    };
    let answer = AnnounceAnswer {
        interval_s: announced.interval_s,
        min_interval_s: announced.interval_s.min(MIN_INTERVAL_S),
        complete: counts.complete,
        incomplete: counts.incomplete,
        downloaded: completed,
        external: asker.ip,
        peers,
        form,
    };
    bencoded(answer.encode())
}

/// The peers to hand out: those of the asker's family first, and those of the other one to an asker
/// that says it has an address there too.
fn chosen(
    now: Time,
    asked: &Announce,
    news: &News,
    asker: &Asker,
    desk: &mut Desk<'_>,
) -> Vec<(SocketAddr, PeerId)> {
    let mut peers = Vec::new();
    let wanted = usize::try_from(asked.num_want).unwrap_or(PEERS_DEFAULT).min(PEERS_MAX);
    if news.stopped {
        return peers;
    }
    let own = asker.ip.is_ipv4();
    let families = [Some(own), asked.dual.then_some(!own)];
    for v4 in families.into_iter().flatten() {
        let want = wanted.saturating_sub(peers.len());
        if want == 0 {
            break;
        }
        let taker = Taker { key: news.key, id: news.id, complete: news.complete(), v4, want };
        let (ours, to) = (desk.ours, asker.local.ip());
        desk.registry.sample(now, news.hash, &taker, &mut |source| {
            let Some(addr) = handed(source.key.addr(), asker.ip, to, ours) else { return false };
            let itself = addr == news.key.addr();
            if !itself {
                peers.push((addr, source.id));
            }
            !itself
        });
    }
    peers
}

pub fn scrape(query: Query<'_>, now: Time, desk: &mut Desk<'_>, out: &mut Outbox) -> Reply {
    desk.pages.scrapes += 1;
    let hashes = match announce::scrape(query) {
        Ok(hashes) if hashes.is_empty() => {
            return refused("name the info_hash; a scrape of everything is not answered");
        }
        Ok(hashes) => hashes,
        Err(why) => return refused(why),
    };
    let rows = hashes.into_iter().map(|hash| {
        let (counts, completed) = desk.registry.scrape(now, hash, out);
        let (seeders, leechers) = (counts.complete, counts.incomplete);
        (hash, ScrapeRow { seeders, completed, leechers })
    });
    bencoded(answer::scrape(&rows.collect(), MIN_INTERVAL_S))
}
