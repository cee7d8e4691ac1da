//! The UDP side: one datagram in, executed, at most one datagram out, never longer than the request
//! to an address that has not shown an id it was given.

mod control;

use super::callers::Callers;
use super::connection_id::{ConnectionIds, Standing};
use super::fleet::Said;
use super::mac::Key;
use super::plan::TrackerPlan;
use super::rate::Rate;
use super::record::{PeerKey, Progress};
use super::registry::Registry;
use super::sample::Asker;
use super::source::{answerable, handed};
use super::swarms::Announce;
use super::ticket::Tickets;
use crate::core::io::Outbox;
use crate::core::limits::DATAGRAM_BYTES_MAX;
use crate::core::mark::mark;
use crate::core::rng::Rng;
use crate::core::time::Time;
use crate::wire::control::{ControlRequest, caps};
use crate::wire::slot_word::SlotWord;
use crate::wire::token::{self, DENIED};
use crate::wire::udp::{
    AnnounceHead, AnnounceRequest, BadRequest, Event, Request, Response, ScrapeRow, write_addr,
    write_announced, write_scrape,
};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Peers of an answer when the client leaves it to us, and the most it may ask for.
pub const PEERS_DEFAULT: usize = 50;
pub const PEERS_MAX: usize = 200;
/// Bytes of an announce answer before its peers.
const ANNOUNCE_HEAD_BYTES: usize = 20;
/// When a client that has the newest list should ask again.
const POLL_S: u32 = 30;

/// What every tracker of this version can do.
const CAPS: u32 = caps::WRITE
    | caps::METAINFO
    | caps::DELTA
    | caps::PREFIX
    | caps::WATCH
    | caps::REGISTER
    | caps::GLOB
    | caps::HTTP;

/// A datagram as it came.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    pub from: SocketAddr,
    pub to: IpAddr,
    pub bytes: &'a [u8],
}

/// What datagrams may touch besides the desk's own state.
pub struct World<'a> {
    pub registry: &'a mut Registry,
    pub tickets: &'a mut Tickets,
    /// Who is connected, how many TCP connections are open, and the most there may be.
    pub callers: &'a Callers,
    pub open: usize,
    pub open_max: usize,
    /// The names of an earlier run may be on their way back.
    pub returning: bool,
}

#[derive(Debug)]
pub struct Datagrams {
    ids: ConnectionIds,
    rate: Rate,
    /// Where we listen, once we do: nothing that comes from there is answered.
    listening: Option<SocketAddr>,
    /// Our addresses on the network.
    ours: Vec<IpAddr>,
    pub answered: u64,
    pub dropped: u64,
    /// Reused from answer to answer.
    answer: Vec<u8>,
}

/// Nothing to say.
struct Silence;

impl Datagrams {
    fn new(ids: ConnectionIds, plan: &TrackerPlan) -> Datagrams {
        let mut rng = Rng::new(plan.seed).fork(2);
        Datagrams {
            ids,
            rate: Rate::new((rng.next_u64(), rng.next_u64()), plan.bounds.public),
            listening: None,
            ours: plan.addresses.clone(),
            answered: 0,
            dropped: 0,
            answer: Vec::new(),
        }
    }

    /// The UDP side and the judge of tickets, with keys of this secret.
    pub fn keyed(secret: &[u8; 32], plan: &TrackerPlan) -> (Datagrams, Tickets) {
        let key = Key::new(secret);
        let tickets = Tickets::new(key.derive(b"lmk tickets"), plan.bounds.public);
        (Datagrams::new(ConnectionIds::new(key), plan), tickets)
    }

    pub fn listens(&mut self, at: SocketAddr) {
        self.listening = Some(at);
    }

    /// Answers one datagram or stays silent.
    pub fn got(&mut self, now: Time, news: Datagram<'_>, world: &mut World<'_>, out: &mut Outbox) {
        self.answer.clear();
        let said = match answerable(news.from) && !self.is_ourselves(news.from) {
            true if self.rate.takes(now, news.from.ip().to_canonical()) => {
                self.execute(now, news, world, out)
            }
            true => Err(Silence),
            false => {
                mark!("B09");
                Err(Silence)
            }
        };
        match said {
            Ok(()) => {
                self.answered += 1;
                out.datagram(news.from, news.to, &self.answer);
            }
            Err(Silence) => self.dropped += 1,
        }
    }

    fn is_ourselves(&self, from: SocketAddr) -> bool {
        let Some(at) = self.listening else { return false };
        let ip = from.ip().to_canonical();
        let all = at.ip().is_unspecified();
        let own = ip == at.ip() || (all && (ip.is_loopback() || self.ours.contains(&ip)));
        own && from.port() == at.port()
    }

    fn execute(
        &mut self,
        now: Time,
        news: Datagram<'_>,
        world: &mut World<'_>,
        out: &mut Outbox,
    ) -> Result<(), Silence> {
        if ControlRequest::is_one(news.bytes) {
            return self.control(now, news, world);
        }
        let unix_s = world.registry.unix_s(now);
        let ip = news.from.ip().to_canonical();
        match Request::decode(news.bytes) {
            Ok(Request::Connect { tid }) => {
                let cid = self.ids.give(ip, unix_s);
                self.say(news, &Response::Connect { tid, cid })
            }
            Ok(Request::Announce(request)) => {
                if self.knows(request.cid, request.tid, unix_s, news)? {
                    self.announce(now, news, &request, world, out)?;
                }
                Ok(())
            }
            Ok(Request::Scrape { cid, tid, hashes }) => {
                if self.knows(cid, tid, unix_s, news)? {
                    let access = &world.registry.access;
                    let taken = hashes.iter().all(|hash| access.takes(*hash));
                    // BEP 41 gives a scrape no place for a token: a private tracker answers it over
                    // HTTP alone.
                    if access.is_private() || !access.lets_in(ip) || !taken {
                        return self.deny(now, news, tid, DENIED, world);
                    }
                    let rows = hashes.iter().map(|hash| {
                        let (counts, completed) = world.registry.scrape(now, *hash, out);
                        let (seeders, leechers) = (counts.complete, counts.incomplete);
                        ScrapeRow { seeders, completed, leechers }
                    });
                    write_scrape(tid, rows, &mut self.answer);
                }
                Ok(())
            }
            Err(BadRequest::Refuse { cid, tid, text }) => {
                if self.knows(cid, tid, unix_s, news)? {
                    self.refuse(news, tid, text)?;
                }
                Ok(())
            }
            Err(BadRequest::Drop) => {
                mark!("B01");
                Err(Silence)
            }
        }
    }

    /// Whether the id is good; an expired one is answered here, an unknown one with silence.
    fn knows(
        &mut self,
        cid: u64,
        tid: u32,
        unix_s: u64,
        news: Datagram<'_>,
    ) -> Result<bool, Silence> {
        match self.ids.judge(cid, news.from.ip().to_canonical(), unix_s) {
            Standing::Valid => Ok(true),
            Standing::Expired => {
                mark!("B03");
                self.refuse(news, tid, "connection id expired")?;
                Ok(false)
            }
            Standing::Unknown => {
                mark!("B02");
                Err(Silence)
            }
        }
    }

    /// An error, unless it would be longer than the request.
    fn refuse(&mut self, news: Datagram<'_>, tid: u32, text: &str) -> Result<(), Silence> {
        if text.len() + 8 > news.bytes.len() {
            mark!("B08");
            return Err(Silence);
        }
        self.say(news, &Response::Error { tid, text: text.to_owned() })
    }

    /// The answer to whoever may not, told to proven addresses and not too often.
    fn deny(
        &mut self,
        now: Time,
        news: Datagram<'_>,
        tid: u32,
        text: &str,
        world: &mut World<'_>,
    ) -> Result<(), Silence> {
        match world.registry.access.tells_denial(now, news.from.ip().to_canonical()) {
            true => self.refuse(news, tid, text),
            false => Err(Silence),
        }
    }

    fn say(&mut self, news: Datagram<'_>, response: &Response) -> Result<(), Silence> {
        response.encode(news.from.ip().to_canonical().is_ipv6(), &mut self.answer);
        Ok(())
    }

    fn announce(
        &mut self,
        now: Time,
        news: Datagram<'_>,
        request: &AnnounceRequest,
        world: &mut World<'_>,
        out: &mut Outbox,
    ) -> Result<(), Silence> {
        let tid = request.tid;
        let from = news.from.ip().to_canonical();
        let when = (now, world.registry.unix_s(now));
        let token = token::in_url_data(&request.url_data);
        let access = &mut world.registry.access;
        if let Err(text) = access.announces(when, from, request.info_hash, token, out) {
            return self.deny(now, news, tid, text, world);
        }
        if request.port == 0 {
            mark!("B11");
            return self.refuse(news, tid, "port 0 cannot be reached");
        }
        // The address is the one the datagram came from, whatever the request says.
        mark!("B10");
        let addr = SocketAddr::new(news.from.ip().to_canonical(), request.port);
        let heard = Announce {
            hash: request.info_hash,
            key: PeerKey::new(addr),
            id: request.peer_id,
            progress: Progress {
                uploaded: request.uploaded,
                downloaded: request.downloaded,
                left: request.left,
            },
            stopped: request.event == Event::Stopped,
        };
        let announced = match world.registry.announce(now, &heard, out) {
            Ok(announced) => announced,
            Err(refusal) => return self.refuse(news, tid, refusal.what),
        };
        let said = Said {
            left: request.left,
            downloaded: request.downloaded,
            uploaded: request.uploaded,
            slots: SlotWord::in_url_data(&request.url_data),
        };
        world.registry.reported(now, &heard, said);
        let head = AnnounceHead {
            tid,
            interval_s: announced.interval_s as u32,
            leechers: announced.counts.incomplete,
            seeders: announced.counts.complete,
        };
        write_announced(&head, &mut self.answer);
        self.choose(now, news, request, &heard, world);
        Ok(())
    }

    /// Appends the peers to hand to an asker.
    fn choose(
        &mut self,
        now: Time,
        news: Datagram<'_>,
        request: &AnnounceRequest,
        heard: &Announce,
        world: &mut World<'_>,
    ) {
        let wanted = usize::try_from(request.num_want).unwrap_or(PEERS_DEFAULT).min(PEERS_MAX);
        if heard.stopped || wanted == 0 {
            return;
        }
        let ip = heard.key.ip();
        let peer_bytes = if ip.is_ipv4() { 6 } else { 18 };
        let room = (DATAGRAM_BYTES_MAX - ANNOUNCE_HEAD_BYTES) / peer_bytes;
        let asker = Asker {
            key: heard.key,
            id: heard.id,
            complete: heard.complete(),
            v4: ip.is_ipv4(),
            want: wanted.min(room),
        };
        let (answer, ours) = (&mut self.answer, &self.ours);
        world.registry.choose(now, heard.hash, &asker, &mut |candidate| {
            if ip.is_loopback() || !is_loopback(candidate.ip) {
                match (candidate.ip, candidate.port) {
                    // By far the most of what a tracker says: six bytes at once.
                    (&[a, b, c, d], [p, q]) => answer.extend_from_slice(&[a, b, c, d, p, q]),
                    (ip, port) => {
                        answer.extend_from_slice(ip);
                        answer.extend_from_slice(&port);
                    }
                }
                return true;
            }
            let addr = candidate.peer().and_then(|p| handed(p.key.addr(), ip, news.to, ours));
            let Some(addr) = addr.filter(|addr| *addr != heard.key.addr()) else { return false };
            write_addr(addr, ip.is_ipv6(), answer);
            true
        });
    }
}

/// Whether the bytes of an address are those of a loopback one.
fn is_loopback(ip: &[u8]) -> bool {
    matches!(ip, [127, _, _, _]) || ip == Ipv6Addr::LOCALHOST.octets()
}
