//! What both works of a node use: the plan, the ties to the tracker, the listener, the swarm.

use super::lobby::Lobby;
use super::parting::Parting;
use super::plan::{Job, Listen, NodePlan};
use super::ties::{Tie, Ties};
use super::torrent;
use super::web::WebSeeds;
use crate::announce::local::LocalSearch;
use crate::announce::resolver::{Found, Resolver};
use crate::announce::udp::Stats;
use crate::content::bitfield::Bitfield;
use crate::content::metainfo::Content;
use crate::core::fault::Fatal;
use crate::core::id::{FileId, Ticket};
use crate::core::io::{Listening, NetError, Outbox};
use crate::core::report::{Ending, Event, foreign};
use crate::core::rng::Rng;
use crate::core::time::Time;
use crate::peer::{Encrypting, Identity, Us};
use crate::swarm::magnet::MagnetSwarm;
use crate::swarm::{Struck, Swarm};
use crate::wire::token::denied_line;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

/// Where to bind what talks to `tracker`. For all of 127.0.0.0/8 it is the address the system
/// itself chooses for connections there: the tracker must see one source, whether we come by UDP or
/// TCP.
pub fn towards(tracker: IpAddr) -> IpAddr {
    match tracker {
        IpAddr::V4(ip) if ip.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(ip) if ip.is_loopback() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[derive(Debug)]
pub struct Shared {
    pub plan: NodePlan,
    pub ties: Ties,
    pub swarm: Option<Swarm>,
    /// The swarm of a magnet link, until it is known what it stands for.
    pub early: Option<MagnetSwarm>,
    /// Peers for the swarm that will begin.
    pub named: Vec<(Identity, SocketAddr)>,
    /// Peers that lied to a swarm of ours that was given up.
    pub struck: Struck,
    pub lobby: Lobby,
    pub rng: Rng,
    /// Finds the hosts of others.
    pub names: Resolver,
    pub web: WebSeeds,
    /// Finds peers of the local network.
    pub local: LocalSearch,
    /// Names that the work wants to be found, and what came of it.
    pub lookups: Vec<String>,
    pub found: Vec<Found>,
    /// The wish for a socket for datagrams.
    speaking: Option<Ticket>,
    /// This machine has no IPv6.
    without_ipv6: bool,
    pub encrypting: Encrypting,
    /// The wish for a peer listener, and where it listens.
    listening: Option<Ticket>,
    pub listens_at: Option<SocketAddr>,
    /// Whether the tracker serves a network, once it said so.
    pub tracker_open: Option<bool>,
    /// Why nothing moves, for the snapshot.
    pub waiting: Option<String>,
    pub ended: bool,
    /// The end, while words of farewell are on their way.
    pub parting: Option<Parting>,
}

impl Shared {
    pub fn new(plan: NodePlan, ties: Ties, rng: Rng) -> Shared {
        let mut encrypting =
            Encrypting::new(plan.encryption, &plan.secret, Rng::new(plan.seed).fork(0x35e));
        Shared {
            names: Resolver::new(plan.names.clone(), Rng::new(plan.seed).fork(0x53)),
            web: WebSeeds::default(),
            local: LocalSearch::new(plan.addresses.clone(), Rng::new(plan.seed).fork(0x6c)),
            lookups: Vec::new(),
            found: Vec::new(),
            speaking: None,
            without_ipv6: false,
            plan,
            ties,
            swarm: None,
            early: None,
            named: Vec::new(),
            struck: Struck::default(),
            lobby: Lobby::new(encrypting.fork()),
            encrypting,
            rng,
            listening: None,
            listens_at: None,
            tracker_open: None,
            waiting: None,
            ended: false,
            parting: None,
        }
    }

    /// Says why, and ends the process.
    pub fn fail(&mut self, fatal: Fatal, now: Time, out: &mut Outbox) {
        out.tell(Event::error("failed", fatal.line));
        self.end(fatal.ending, now, out);
    }

    /// Ends the process: the tracker is told that we go.
    pub fn end(&mut self, ending: Ending, now: Time, out: &mut Outbox) {
        if self.ended || self.parting.is_some() {
            return;
        }
        self.ties.stop(self.stats(), now, out);
        self.part_from_trackers(ending, now, out);
    }

    /// The address that datagrams leave from: any, where hosts of others are to be found.
    pub fn speaks_from(&self) -> IpAddr {
        match self.speaks_with_others() {
            true if self.without_ipv6 => Ipv4Addr::UNSPECIFIED.into(),
            // That is any address of either kind.
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => towards(self.plan.tracker.ip()),
        }
    }

    fn speaks_with_others(&self) -> bool {
        self.plan.torrent().is_some() || self.plan.origin().is_some()
    }

    /// Opens the socket for datagrams.
    pub fn speak(&mut self, out: &mut Outbox) {
        let any = SocketAddr::new(self.speaks_from(), 0);
        self.speaking = Some(out.listen(any, 0, false, true));
    }

    /// Finds the names that are wanted, as far as it is known now where they are.
    pub fn find_names(&mut self, now: Time, out: &mut Outbox) {
        loop {
            let wanted = self.ties.take_lookups(now).into_iter().chain(self.web.take_lookups());
            for host in wanted.chain(std::mem::take(&mut self.lookups)) {
                self.names.look_up(&host, now, out);
            }
            self.names.poll(now, out);
            let found = self.names.take_found();
            if found.is_empty() {
                return;
            }
            for found in found {
                self.ties.got_found(&found, now, out);
                self.web.got_found(&found, &mut self.swarm, now, out);
                if self.plan.origin().is_some() {
                    self.found.push(found);
                }
            }
        }
    }

    pub fn port(&self) -> u16 {
        self.listens_at.map_or(0, |addr| addr.port())
    }

    /// The figures for announces.
    pub fn stats(&self) -> Stats {
        let port = self.port();
        let Some(swarm) = &self.swarm else {
            return Stats { left: u64::MAX, port, ..Stats::default() };
        };
        Stats {
            downloaded: swarm.downloaded(),
            left: swarm.content().geometry.payload() - swarm.done_bytes(),
            uploaded: swarm.uploaded(),
            port,
            slots: Some(swarm.slots_row()),
        }
    }

    /// Opens the listener for peers: on loopback if the tracker is reached there and serves nobody
    /// else, unless the user said where.
    pub fn listen(&mut self, out: &mut Outbox) {
        if self.listening.is_some() || self.listens_at.is_some() {
            return;
        }
        let here = self.plan.tracker.ip().is_loopback() && self.tracker_open == Some(false);
        let listen = self.plan.listen.unwrap_or(Listen {
            ip: match (self.plan.tracker.ip(), here) {
                (ip, true) => towards(ip),
                (IpAddr::V4(_), false) => Ipv4Addr::UNSPECIFIED.into(),
                (IpAddr::V6(_), false) => Ipv6Addr::UNSPECIFIED.into(),
            },
            ports: Listen::PORTS,
        });
        let at = SocketAddr::new(listen.ip, listen.ports.0);
        self.listening = Some(out.listen(at, listen.ports.1, true, false));
    }

    /// The listener's fate; `Ok(false)` if the ticket is not ours.
    pub fn got_listening(
        &mut self,
        ticket: Ticket,
        result: Result<Listening, NetError>,
        out: &mut Outbox,
    ) -> Result<bool, Fatal> {
        if self.speaking.take_if(|ours| *ours == ticket).is_some() {
            let again = result.is_err() && self.speaks_from().is_ipv6() && !self.without_ipv6;
            if again && self.speaks_with_others() {
                self.without_ipv6 = true;
                self.speak(out);
            }
            return Ok(false);
        }
        if self.listening != Some(ticket) {
            return Ok(false);
        }
        self.listens_at = result.map_err(|error| self.cannot_listen(error))?.tcp;
        let port = self.port();
        if let Some(swarm) = &mut self.swarm {
            swarm.listens_on(port);
        }
        if let Some(early) = &mut self.early {
            early.listens_on(port);
        }
        Ok(true)
    }

    fn cannot_listen(&self, error: NetError) -> Fatal {
        let (ip, (first, last)) = match self.plan.listen {
            Some(listen) => (listen.ip.to_string(), listen.ports),
            None => ("this machine".into(), Listen::PORTS),
        };
        let ports =
            if first == last { format!("port {first}") } else { format!("ports {first}-{last}") };
        let reason = match error {
            NetError::InUse => "in use by another program".to_owned(),
            NetError::Denied => "not allowed for this user".to_owned(),
            NetError::NotOurs => "not an address of this machine".to_owned(),
            NetError::Other(errno) => std::io::Error::from_raw_os_error(errno).to_string(),
        };
        let line = format!("cannot listen on {ip}, {ports}: {reason}; name another with --listen");
        Fatal { ending: Ending::Network, line }
    }

    /// Begins the swarm of a content whose pieces `have` stand in `file`.
    pub fn begin_swarm(&mut self, content: Rc<Content>, file: FileId, have: Bitfield, now: Time) {
        let open = !content.private;
        if !open {
            self.local.close();
        }
        let bytes =
            |info: Option<&Vec<u8>>| info.filter(|_| open).map_or(0, |info| info.len() as u32);
        let us = Us {
            peer_id: self.plan.peer_id,
            listen_port: self.port(),
            metadata_bytes: [
                bytes(content.v1.as_ref().map(|v1| &v1.info)),
                bytes(content.v2.as_ref().map(|v2| &v2.info)),
            ],
            exchanges: false,
            upgrade: content.hybrid(),
        };
        let mut rng = self.rng.fork(0x5a);
        let sources = match &self.plan.job {
            Job::Fetch(fetch) => fetch.sources,
            Job::Seed(_) => 0,
        };
        let counts = (self.plan.slots, sources);
        let swarm = Swarm::new(content, us, (file, have), counts, &mut rng, now);
        let mut swarm = swarm.on(self.plan.terms(), &mut rng);
        swarm.encrypt(self.encrypting.fork());
        swarm.keep_struck(std::mem::take(&mut self.struck));
        for (identity, addr) in std::mem::take(&mut self.named) {
            swarm.know(identity, &[addr], now);
        }
        self.tell_heard(&mut swarm, now);
        self.swarm = Some(swarm);
    }

    /// Announces the identities given that are not announced yet.
    pub fn announce(&mut self, which: &[Identity], now: Time, out: &mut Outbox) {
        let identities: Vec<_> = match (&self.swarm, &self.early) {
            (Some(swarm), _) => swarm.identities().collect(),
            (None, Some(early)) => early.identities().collect(),
            (None, None) => return,
        };
        self.search_locally(&identities);
        let identities: Vec<_> = identities
            .into_iter()
            .filter(|(identity, _)| which.contains(identity))
            .filter(|(identity, _)| !self.ties.is_announcing(*identity))
            .collect();
        let stats = self.stats();
        let here = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        let ours = self.plan.addresses.iter().chain(&here);
        let own: Vec<SocketAddr> = ours.map(|ip| SocketAddr::new(*ip, stats.port)).collect();
        self.ties.announce(&identities, (self.plan.peer_id, &own), stats, now, out);
    }

    /// The tracker is private, and not for us.
    pub fn denied(&self) -> Fatal {
        let tracker = foreign(&self.plan.tracker_text);
        let line = denied_line(&tracker, self.plan.token.is_some());
        Fatal { ending: Ending::Refused, line }
    }

    /// What concerns every node in the news of the tracker.
    pub fn got_tie(&mut self, tie: &Tie, now: Time, out: &mut Outbox) {
        let tracker = &self.plan.tracker_text;
        match tie {
            Tie::Ready { open, .. } => {
                let opened = self.tracker_open.replace(*open) == Some(false) && *open;
                if opened && self.plan.listen.is_none() {
                    // It came back open to a network: peers elsewhere must reach us, too.
                    self.listening = None;
                    self.listens_at = None;
                }
                self.listen(out);
            }
            Tie::Named { identity, peers } => {
                if let Some(swarm) = &mut self.swarm {
                    swarm.got_named(*identity, peers, now, out);
                } else if let Some(early) = &mut self.early {
                    early.got_named(*identity, peers, now, out);
                } else {
                    self.keep_named(*identity, peers);
                }
            }
            Tie::Silent => {
                let line = format!("tracker {tracker} does not answer; trying again");
                out.tell(Event::warning("tracker_silent", line));
            }
            Tie::Back => {
                let line = format!("tracker {tracker} answers again");
                out.tell(Event::info("tracker_back", line));
            }
            Tie::Lost(why) => {
                let line = format!("tracker {tracker}: {why}; trying again");
                out.tell(Event::info("tracker_lost", line));
            }
            Tie::Refused(text) => {
                let line = format!("tracker {tracker} refuses: {text}");
                out.tell(Event::warning("tracker_refuses", line));
            }
            Tie::Denied => {
                let line = self.denied().line;
                out.tell(Event::detail("tracker_denies", line));
            }
            Tie::Heard(news) => torrent::say_heard(news, out),
            Tie::Opened | Tie::Answered { .. } => {}
        }
    }
}
