//! A stub resolver: host names to addresses by `/etc/hosts` and the name servers of
//! `/etc/resolv.conf`, in datagrams of the node's one socket. It never waits; what it finds is kept
//! for as long as the servers say.

use super::name_files::{FILE_BYTES_MAX, HostsFile, NameFiles, Servers};
use super::session::unspecified;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, FileOp, Outbox};
use crate::core::limits::{LOOKUPS_MAX, NAMES_KEPT_MAX};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::dns::{self, Answer, Kind};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How long one server has for its answer.
const ANSWER: Span = Span::secs(2);
/// How long the second kind of addresses is waited for when the first is there.
const OTHER_KIND: Span = Span::ms(300);
/// How often each server is asked.
const ROUNDS: usize = 2;
/// How long an address is kept, whatever the servers say: at most until names are asked for anew in
/// any case.
const KEPT: std::ops::RangeInclusive<u64> = 30..=1200;
/// How long it is remembered that a name has no address.
const KEPT_FAILED: Span = Span::secs(30);
/// The files are read anew after so long: a machine moves from network to network.
const FILES_FRESH: Span = Span::secs(60);

/// What became of a look-up: addresses, IPv4 first, or why there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The host as it was asked for.
    pub host: String,
    pub addresses: Result<Vec<IpAddr>, String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Files {
    Unread,
    /// The reads that are under way: of the hosts, of the servers.
    Reading(Option<Ticket>, Option<Ticket>),
    Read(Time),
}

#[derive(Clone, Debug)]
struct Lookup {
    /// Names to ask for, the one at hand last.
    names: Vec<String>,
    /// How many times a server was asked for the name at hand.
    asked: usize,
    questions: [Question; 2],
    due: Time,
}

#[derive(Clone, Debug)]
struct Question {
    kind: Kind,
    id: u16,
    answer: Option<Answer>,
}

#[derive(Clone, Debug)]
struct Kept {
    addresses: Result<Vec<IpAddr>, String>,
    until: Time,
}

/// Call [`Resolver::poll`] after every other call and at [`Resolver::deadline`].
#[derive(Debug)]
pub struct Resolver {
    paths: NameFiles,
    files: Files,
    hosts: HostsFile,
    servers: Servers,
    lookups: BTreeMap<String, Lookup>,
    kept: BTreeMap<String, Kept>,
    found: Vec<Found>,
    rng: Rng,
}

impl Resolver {
    pub fn new(paths: NameFiles, rng: Rng) -> Resolver {
        Resolver {
            paths,
            files: Files::Unread,
            hosts: HostsFile::default(),
            servers: Servers::default(),
            lookups: BTreeMap::new(),
            kept: BTreeMap::new(),
            found: Vec::new(),
            rng,
        }
    }

    /// Asks for the addresses of a host; they come with [`Resolver::take_found`], at once if they
    /// are known.
    pub fn look_up(&mut self, host: &str, now: Time, out: &mut Outbox) {
        if let Some(addresses) = self.known(host, now) {
            return self.found.push(Found { host: host.to_owned(), addresses });
        }
        if self.lookups.contains_key(host) {
            return;
        }
        if self.lookups.len() >= LOOKUPS_MAX {
            let addresses = Err("too many names are being looked up".to_owned());
            return self.found.push(Found { host: host.to_owned(), addresses });
        }
        let questions =
            Kind::ALL.map(|kind| Question { kind, id: self.rng.next_u32() as u16, answer: None });
        let lookup = Lookup { names: Vec::new(), asked: 0, questions, due: Time::NEVER };
        self.lookups.insert(host.to_owned(), lookup);
        let stale = match self.files {
            Files::Unread => true,
            Files::Reading(..) => return,
            Files::Read(at) => now.since(at) > FILES_FRESH,
        };
        match stale {
            true => self.read_files(out),
            false => self.begin(host, now, out),
        }
    }

    fn known(&self, host: &str, now: Time) -> Option<Result<Vec<IpAddr>, String>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Ok(vec![ip]));
        }
        let folded = host.trim_end_matches('.').to_ascii_lowercase();
        // RFC 6761, 6.3: no server knows better.
        if folded == "localhost" || folded.ends_with(".localhost") {
            return Some(Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]));
        }
        let kept = self.kept.get(host).filter(|kept| now < kept.until)?;
        Some(kept.addresses.clone())
    }

    fn read_files(&mut self, out: &mut Outbox) {
        let mut load = |path| Some(out.file(FileOp::Load { path, bytes_max: FILE_BYTES_MAX }));
        self.files =
            Files::Reading(load(self.paths.hosts.clone()), load(self.paths.servers.clone()));
    }

    /// A read came back; what is not ours is handed back.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Option<FileDone> {
        let Files::Reading(hosts, servers) = &mut self.files else { return Some(done) };
        let of_hosts = hosts.take_if(|ours| *ours == ticket).is_some();
        if !of_hosts && servers.take_if(|ours| *ours == ticket).is_none() {
            return Some(done);
        }
        let over = hosts.is_none() && servers.is_none();
        // A file that is not there says nothing.
        let text = match done {
            FileDone::Loaded(text) => text.ok(),
            _ => None,
        };
        match (of_hosts, text) {
            (true, text) => self.hosts = HostsFile::read(&text.unwrap_or_default()),
            (false, Some(text)) => self.servers = Servers::read(&text),
            (false, None) => self.servers = Servers::default(),
        }
        if over {
            self.files = Files::Read(now);
            let waiting = self.lookups.iter().filter(|(_, lookup)| lookup.names.is_empty());
            let waiting: Vec<String> = waiting.map(|(host, _)| host.clone()).collect();
            waiting.iter().for_each(|host| self.begin(host, now, out));
        }
        None
    }

    /// The files are read: the host stands in them, or a server is asked.
    fn begin(&mut self, host: &str, now: Time, out: &mut Outbox) {
        let folded = host.trim_end_matches('.').to_ascii_lowercase();
        if let Some(addresses) = self.hosts.find(&folded) {
            let addresses = sorted(addresses.clone());
            return self.finish(host, Ok(addresses), FILES_FRESH, now);
        }
        let Some(lookup) = self.lookups.get_mut(host) else { return };
        lookup.names = self.servers.names(host);
        lookup.names.reverse();
        self.ask(host, now, out);
    }

    /// Asks the next server, if it is not enough.
    fn ask(&mut self, host: &str, now: Time, out: &mut Outbox) {
        let servers = &self.servers.servers;
        let Some(lookup) = self.lookups.get_mut(host) else { return };
        let (Some(name), true) = (lookup.names.last(), lookup.asked < ROUNDS * servers.len())
        else {
            let why = Err("no name server answers".to_owned());
            return self.finish(host, why, KEPT_FAILED, now);
        };
        let Some(server) = servers.get(lookup.asked % servers.len().max(1)) else { return };
        lookup.asked += 1;
        lookup.due = now + ANSWER;
        let mut can_be_asked = true;
        for question in &mut lookup.questions {
            question.answer.take_if(|answer| *answer == Answer::Failed);
        }
        for question in lookup.questions.iter_mut().filter(|question| question.answer.is_none()) {
            question.id = self.rng.next_u32() as u16;
            match dns::question(question.id, name, question.kind) {
                Some(bytes) => out.datagram(*server, unspecified(*server), &bytes),
                None => can_be_asked = false,
            }
        }
        if !can_be_asked {
            self.finish(host, Err("it is no name of a host".to_owned()), KEPT_FAILED, now);
        }
    }

    /// A datagram came; `false` if it answers no question of ours.
    pub fn got_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Time) -> bool {
        let known = |at: &&SocketAddr| (at.ip(), at.port()) == (from.ip(), from.port());
        if !self.servers.servers.iter().any(|at| known(&at)) {
            return false;
        }
        for lookup in self.lookups.values_mut() {
            let Some(name) = lookup.names.last() else { continue };
            for question in lookup.questions.iter_mut().filter(|one| one.answer.is_none()) {
                let answer = dns::answer(bytes, question.id, name, question.kind);
                let Some(answer) = answer else { continue };
                question.answer = Some(answer);
                let due = match lookup.is_waiting() {
                    false => now,
                    true if lookup.has_addresses() => now + OTHER_KIND,
                    true => lookup.due,
                };
                lookup.due = lookup.due.min(due);
                return true;
            }
        }
        false
    }

    pub fn deadline(&self) -> Time {
        let found = if self.found.is_empty() { Time::NEVER } else { Time::ZERO };
        self.lookups.values().map(|lookup| lookup.due).min().unwrap_or(found).min(found)
    }

    /// Does what is due: takes what was answered, asks the next server.
    pub fn poll(&mut self, now: Time, out: &mut Outbox) {
        let due = self.lookups.iter().filter(|(_, lookup)| lookup.due <= now);
        let due: Vec<String> = due.map(|(host, _)| host.clone()).collect();
        for host in due {
            let Some(lookup) = self.lookups.get_mut(&host) else { continue };
            if lookup.has_addresses() {
                let (addresses, kept) = lookup.addresses();
                self.finish(&host, Ok(addresses), kept, now);
            } else if !lookup.is_answered() {
                self.ask(&host, now, out);
            } else if lookup.names.len() > 1 {
                lookup.names.pop();
                lookup.asked = 0;
                lookup.questions.iter_mut().for_each(|question| question.answer = None);
                self.ask(&host, now, out);
            } else {
                let why = lookup.why().to_owned();
                self.finish(&host, Err(why), KEPT_FAILED, now);
            }
        }
    }

    fn finish(
        &mut self,
        host: &str,
        addresses: Result<Vec<IpAddr>, String>,
        kept: Span,
        now: Time,
    ) {
        self.lookups.remove(host);
        self.kept.retain(|_, kept| now < kept.until);
        if self.kept.len() >= NAMES_KEPT_MAX {
            let soonest = self.kept.iter().min_by_key(|(_, kept)| kept.until);
            if let Some(soonest) = soonest.map(|(host, _)| host.clone()) {
                self.kept.remove(&soonest);
            }
        }
        self.kept.insert(host.to_owned(), Kept { addresses: addresses.clone(), until: now + kept });
        self.found.push(Found { host: host.to_owned(), addresses });
    }

    /// What was found since the last call. A host that several asked for comes once.
    pub fn take_found(&mut self) -> Vec<Found> {
        std::mem::take(&mut self.found)
    }
}

impl Lookup {
    /// Whether the server at hand may answer yet.
    fn is_waiting(&self) -> bool {
        self.questions.iter().any(|question| question.answer.is_none())
    }

    /// Whether no other server needs to be asked; after a failure another one may know.
    fn is_answered(&self) -> bool {
        !self.questions.iter().any(|q| matches!(q.answer, None | Some(Answer::Failed)))
    }

    fn has_addresses(&self) -> bool {
        !self.addresses().0.is_empty()
    }

    /// What came, IPv4 first, and how long it holds.
    fn addresses(&self) -> (Vec<IpAddr>, Span) {
        let (mut all, mut shortest_s) = (Vec::new(), *KEPT.end());
        for question in &self.questions {
            if let Some(Answer::Addresses(addresses, ttl_s)) = &question.answer
                && !addresses.is_empty()
            {
                all.extend_from_slice(addresses);
                shortest_s = shortest_s.min((*ttl_s).into());
            }
        }
        (all, Span::secs(shortest_s.max(*KEPT.start())))
    }

    /// Why there is no address although everything was answered.
    fn why(&self) -> &'static str {
        let all = |is: Answer| self.questions.iter().all(|q| q.answer.as_ref() == Some(&is));
        if self.questions.iter().any(|question| question.answer == Some(Answer::Cut)) {
            return "the answer of the name server does not fit in a datagram";
        }
        if all(Answer::NoSuchName) { "there is no such host" } else { "it has no address" }
    }
}

/// IPv4 first, otherwise in their order.
fn sorted(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses
}
