//! Announces and scrapes over HTTP (BEP 3, 7, 23, 24, 48), by the rules that UDP has: the sender's
//! address counts, whatever the query says.

use super::{Asker, Reply};
use crate::core::id::{InfoHash, PeerId};
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
use crate::wire::token::{DENIED, scope};
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

/// `token` is what was shown for it.
pub fn announce(
    (query, token): (Query<'_>, Option<&[u8]>),
    asker: &Asker,
    desk: &mut Desk<'_>,
) -> Reply {
    let now = desk.now;
    desk.pages.announces += 1;
    let asked = Announce::read(query);
    let hash = asked.as_ref().map_or(InfoHash([0; 20]), |asked| asked.info_hash);
    let when = (now, desk.unix_s());
    if let Err(text) = desk.registry.access.announces(when, asker.ip, hash, token, desk.out) {
        return bencoded(answer::denial(text));
    }
    let asked = match asked {
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
    let announced = match desk.registry.announce(now, &news, desk.out) {
        Ok(announced) => announced,
        Err(refusal) => return refused(refusal.what),
    };
    let Announce { left, downloaded, uploaded, slots, .. } = asked;
    desk.registry.reported(now, &news, Said { left, downloaded, uploaded, slots });
    let peers = chosen(&asked, &news, asker, desk);
    let (counts, completed) = desk.registry.scrape(now, asked.info_hash, desk.out);
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
        desk.registry.sample(desk.now, news.hash, &taker, &mut |source| {
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

pub fn scrape((query, token): (Query<'_>, Option<&[u8]>), desk: &mut Desk<'_>) -> Reply {
    desk.pages.scrapes += 1;
    let hashes = announce::scrape(query);
    let (access, unix_s) = (&desk.registry.access, desk.unix_s());
    let may = |hash: Option<InfoHash>| {
        let scope = scope::ANNOUNCE | scope::READ;
        let taken = hash.is_none_or(|hash| access.takes(hash));
        taken && access.passes(token, scope, hash, unix_s).is_ok()
    };
    // A token for one content shows that content alone.
    let denied = match &hashes {
        Ok(hashes) if !hashes.is_empty() => !hashes.iter().all(|hash| may(Some(*hash))),
        _ => !may(None),
    };
    if denied {
        return bencoded(answer::denial(DENIED));
    }
    let hashes = match hashes {
        Ok(hashes) if hashes.is_empty() => {
            return refused("name the info_hash; a scrape of everything is not answered");
        }
        Ok(hashes) => hashes,
        Err(why) => return refused(why),
    };
    let rows = hashes.into_iter().map(|hash| {
        let (counts, completed) = desk.registry.scrape(desk.now, hash, desk.out);
        let (seeders, leechers) = (counts.complete, counts.incomplete);
        (hash, ScrapeRow { seeders, completed, leechers })
    });
    bencoded(answer::scrape(&rows.collect(), MIN_INTERVAL_S))
}
