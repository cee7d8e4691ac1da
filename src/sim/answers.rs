//! L3: a tracker answers every valid request of an honest peer within a second, whatever others do.

use crate::core::io::{Effect, Input, Outbox};
use crate::core::time::{Span, Time};
use crate::wire::udp::{self, Request};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

const SOON: Span = Span::secs(1);
/// A connection id may be used for so long (BEP 15).
const ID_LASTS: Span = Span::secs(60);

/// See the module.
#[derive(Debug)]
pub struct Answers {
    /// Who is hostile: nothing is promised to them.
    hostile: BTreeSet<IpAddr>,
    /// Transactions without an answer.
    waiting: BTreeMap<(SocketAddr, u32), Time>,
    /// Connection ids given, to whom and when.
    given: BTreeMap<(IpAddr, u64), Time>,
}

impl Answers {
    pub fn new(hostile: BTreeSet<IpAddr>) -> Answers {
        Answers { hostile, waiting: BTreeMap::new(), given: BTreeMap::new() }
    }

    pub fn input(&mut self, now: Time, input: &Input<'_>) {
        let Input::Datagram { from, bytes, .. } = input else { return };
        if self.hostile.contains(&from.ip()) {
            return;
        }
        let fresh = |cid: u64| {
            let given = self.given.get(&(from.ip(), cid));
            given.is_some_and(|given| now.since(*given) < ID_LASTS)
        };
        let tid = match Request::decode(bytes) {
            Ok(Request::Connect { tid }) => tid,
            Ok(Request::Announce(announce)) if fresh(announce.cid) => announce.tid,
            _ => return,
        };
        self.waiting.entry((*from, tid)).or_insert(now);
    }

    pub fn effects(&mut self, now: Time, out: &Outbox) {
        for effect in &out.effects {
            let Effect::Datagram { to, start, len, .. } = effect else { continue };
            let bytes = out.bytes(*start, *len);
            let word = |at: usize| {
                let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
                four.map_or(0, u32::from_be_bytes)
            };
            self.waiting.remove(&(*to, word(4)));
            if word(0) == udp::action::CONNECT {
                let cid = u64::from(word(8)) << 32 | u64::from(word(12));
                self.given.insert((to.ip(), cid), now);
            }
        }
    }

    /// Now and then.
    pub fn look(&self, now: Time) -> Result<(), String> {
        match self.waiting.iter().find(|(_, since)| now.since(**since) > SOON) {
            Some(((from, tid), _)) => {
                Err(format!("L3: transaction {tid:#x} of {from} has no answer"))
            }
            None => Ok(()),
        }
    }
}
