//! A publisher of versions: it publishes, replaces and takes back what stands under its one name,
//! one request after the other, and notes what was acknowledged.

use super::catalogue::END;
use super::weather::{Purpose, stream};
use crate::announce::catalogue::{CatalogueClient, Heard};
use crate::announce::control::{self, Control};
use crate::core::id::InfoHash;
use crate::core::io::{Input, Outbox, Role};
use crate::core::report::Snapshot;
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use crate::wire::catalogue::answer::Answer;
use crate::wire::catalogue::entry::Entry;
use crate::wire::catalogue::hello::NodeKey;
use crate::wire::catalogue::request::{Publish, Request};
use crate::wire::control::Op;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

/// Requests of each publisher, and how long it thinks before each.
const REQUESTS: u32 = 30;
const THINKS: Span = Span::ms(300);
/// A refused publisher tries again after so long.
const REFUSED: Span = Span::secs(3);

/// What became of one version of a name, as far as its publisher knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It was acknowledged: it must be there.
    Promised,
    /// Something under way may remove it, or has removed it unheard.
    Open,
}

/// What the tracker acknowledged, of all publishers.
#[derive(Debug, Default)]
pub struct Ledger {
    pub versions: BTreeMap<(String, InfoHash), Fate>,
    pub answered: u64,
    pub refused: u64,
    /// What a look at the end found, of each publisher that looked.
    pub seen: Vec<(String, BTreeSet<InfoHash>)>,
}

pub type Shared = Rc<RefCell<Ledger>>;

/// What a publisher asked last.
#[derive(Debug)]
struct Asked {
    /// The version that comes, and those that may go for it.
    comes: Option<InfoHash>,
    goes: Vec<InfoHash>,
}

/// See the module.
pub struct Publisher {
    number: u8,
    name: String,
    rng: Rng,
    ledger: Shared,
    control: Option<Control>,
    catalogue: Option<CatalogueClient>,
    open: bool,
    asked: Option<Asked>,
    left: u32,
    /// When it asks next, or connects again.
    next_at: Time,
    looks: bool,
    versions: u32,
}

impl Publisher {
    pub fn new(number: u8, seed: u64, ledger: Shared) -> Publisher {
        Publisher {
            number,
            name: format!("name of {number}"),
            rng: stream(seed, Purpose::Scene),
            ledger,
            control: None,
            catalogue: None,
            open: false,
            asked: None,
            left: REQUESTS,
            next_at: Time::ZERO,
            looks: false,
            versions: 0,
        }
    }

    fn set(&self, hash: InfoHash, fate: Option<Fate>) {
        let versions = &mut self.ledger.borrow_mut().versions;
        match fate {
            Some(fate) => drop(versions.insert((self.name.clone(), hash), fate)),
            None => drop(versions.remove(&(self.name.clone(), hash))),
        }
    }

    /// Its versions of this fate, oldest first.
    fn of(&self, fate: Fate) -> Vec<InfoHash> {
        let ledger = self.ledger.borrow();
        let own = ledger.versions.iter().filter(|((name, _), _)| *name == self.name);
        own.filter(|(_, is)| **is == fate).map(|((_, hash), _)| *hash).collect()
    }

    fn connect(&mut self, now: Time) {
        let tracker = SocketAddr::from(([10, 0, 0, 1], 6969));
        self.control = Some(Control::new(now, tracker, Op::Write, None, self.rng.next_u64()));
        (self.catalogue, self.open) = (None, false);
    }

    /// The next request, or the look at the end.
    fn ask(&mut self, now: Time, out: &mut Outbox) {
        self.next_at = Time::NEVER;
        if self.left == 0 {
            // Long after the last trouble is over.
            let late = Time::ZERO + END;
            let due = Time(late.0 - Span::secs(5).0);
            if now < due {
                self.next_at = due;
                return;
            }
            self.looks = true;
            return self.send(now, Request::Lookup { names: vec![self.name.clone()] }, out);
        }
        self.left -= 1;
        let (promised, open) = (self.of(Fate::Promised), self.of(Fate::Open));
        let newest = promised.last().copied().filter(|newest| open.iter().all(|o| o < newest));
        let (request, asked) = match (self.rng.below(4), newest) {
            (0, Some(old)) => {
                let to = self.version();
                let comes = to.entry.v1;
                (Request::Update { old, to }, Asked { comes, goes: vec![old] })
            }
            (1, Some(_)) => {
                let at = self.rng.below(promised.len() as u64) as usize;
                let hash = promised[at];
                let name = self.name.clone();
                (Request::Unpublish { name, hash }, Asked { comes: None, goes: vec![hash] })
            }
            _ => {
                let publish = self.version();
                // Eight versions stay: what is beyond goes for the new one, the oldest first.
                let many = (promised.len() + open.len() + 1).saturating_sub(8);
                let goes = promised.iter().take(many).copied().collect();
                (Request::Publish(publish.clone()), Asked { comes: publish.entry.v1, goes })
            }
        };
        for hash in &asked.goes {
            self.set(*hash, Some(Fate::Open));
        }
        self.asked = Some(asked);
        self.send(now, request, out);
    }

    fn send(&mut self, now: Time, request: Request, out: &mut Outbox) {
        if let Some(catalogue) = &mut self.catalogue {
            catalogue.ask(now, request, out);
        }
    }

    /// A version that never was before; later ones have higher hashes.
    fn version(&mut self) -> Publish {
        self.versions += 1;
        let mut hash = [self.number; 20];
        hash[..4].copy_from_slice(&self.versions.to_be_bytes());
        Publish::bare(Entry::v1(self.name.clone(), InfoHash(hash), 1))
    }

    fn got(&mut self, now: Time, heard: Heard) {
        match heard {
            Heard::Opened { .. } => {
                self.open = true;
                self.next_at = now;
            }
            Heard::Answered { answer, .. } => self.got_answer(now, answer),
            _ => {
                // What it asked may be done or not.
                if let Some(comes) = self.asked.take().and_then(|asked| asked.comes) {
                    self.set(comes, Some(Fate::Open));
                }
                (self.catalogue, self.open, self.looks) = (None, false, false);
                self.next_at = now + Span::ms(200);
            }
        }
    }

    fn got_answer(&mut self, now: Time, answer: Answer) {
        self.next_at = now + Span(self.rng.below(THINKS.0));
        if let Answer::Found { entries, .. } = &answer {
            let seen = entries.iter().filter_map(|listed| listed.entry.v1).collect();
            self.ledger.borrow_mut().seen.push((self.name.clone(), seen));
            self.next_at = Time::NEVER;
            return;
        }
        let Some(Asked { comes, goes }) = self.asked.take() else { return };
        if let Answer::Refused(_) = answer {
            // Nothing of it was done.
            self.ledger.borrow_mut().refused += 1;
            goes.into_iter().for_each(|hash| self.set(hash, Some(Fate::Promised)));
            self.next_at = now + REFUSED;
            return;
        }
        self.ledger.borrow_mut().answered += 1;
        if comes.is_none() || matches!(answer, Answer::Updated { .. }) {
            goes.into_iter().for_each(|hash| self.set(hash, None));
        }
        if let Some(comes) = comes {
            self.set(comes, Some(Fate::Promised));
        }
    }
}

impl Role for Publisher {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let mut heard = Vec::new();
        match input {
            Input::Born => {
                out.listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0), 0, false, true);
                self.next_at = now;
            }
            Input::Datagram { from, bytes, .. } => {
                let control = self.control.as_mut();
                let ready = control.and_then(|control| control.got_datagram(now, from, bytes));
                if let Some(control::Heard::Ready(ready)) = ready {
                    let key = Some(NodeKey([self.number; 32]));
                    self.control = None;
                    self.catalogue = Some(CatalogueClient::dial(now, &ready, key, out));
                }
            }
            Input::Connected { conn, .. } => {
                if let Some(one) = self.catalogue.as_mut().filter(|one| one.conn() == conn) {
                    one.got_connected(now, out);
                }
            }
            Input::Bytes { conn, bytes } => {
                if let Some(one) = self.catalogue.as_mut().filter(|one| one.conn() == conn) {
                    heard = one.got_bytes(now, bytes, out);
                }
            }
            Input::Closed { conn, why } => {
                if let Some(one) = self.catalogue.as_mut().filter(|one| one.conn() == conn) {
                    heard.extend(one.lost(why));
                }
            }
            _ => {}
        }
        if let Some(control) = &mut self.control {
            control.poll(now, out);
        }
        heard.extend(self.catalogue.as_mut().and_then(|catalogue| catalogue.poll(now, out)));
        heard.into_iter().for_each(|heard| self.got(now, heard));
        if now < self.next_at {
            return;
        }
        match &self.catalogue {
            Some(_) if self.open && self.asked.is_none() && !self.looks => self.ask(now, out),
            Some(_) => self.next_at = Time::NEVER,
            None if self.control.is_none() => {
                self.next_at = Time::NEVER;
                self.connect(now);
                if let Some(control) = &mut self.control {
                    control.poll(now, out);
                }
            }
            None => self.next_at = Time::NEVER,
        }
    }

    fn deadline(&self) -> Time {
        let control = self.control.as_ref().map_or(Time::NEVER, Control::deadline);
        let catalogue = self.catalogue.as_ref().map_or(Time::NEVER, CatalogueClient::deadline);
        self.next_at.min(control).min(catalogue)
    }

    fn snapshot(&self, _: Time) -> Snapshot {
        Snapshot::default()
    }
}
