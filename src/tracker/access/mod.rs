//! Who may do what here: tokens of a private tracker, lists of who is let in and kept out, and
//! whether machines outside of private networks may register. Every no is the same no.

pub mod files;
pub mod lists;

use super::plan::AccessPlan;
use super::source::public_source;
use crate::core::id::InfoHash;
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::report::Event;
use crate::core::time::{Span, Time};
use crate::wire::catalogue::hello::Owner;
use crate::wire::token::{Token, scope};
use crate::wire::token_keys::{TokenJudge, TokenKeys};
use files::Files;
use lists::List;
use std::net::IpAddr;

/// The line about strangers comes at most so often.
const STRANGERS_TOLD: Span = Span::secs(60);
/// Denials that a bucket of addresses is told of in a second; the rest is silence.
const DENIALS_PER_S: u8 = 10;
const DENIAL_BUCKETS: usize = 1024;

/// Not let in. Why is not said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denied;

/// What somebody who is let in is known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pass {
    /// The owner of the token that was shown; `None` where none is asked for.
    pub owner: Option<Owner>,
}

#[derive(Debug)]
pub struct Access {
    plan: AccessPlan,
    judge: TokenJudge,
    allow: List,
    deny: List,
    files: Files,
    /// Since when strangers were told of last.
    told: Option<Time>,
    /// Second and count of denials told, by hash of the address.
    denials: Vec<(u64, u8)>,
    seed: u64,
}

impl Access {
    pub fn new(plan: AccessPlan, seed: u64) -> Access {
        Access {
            judge: TokenJudge::new(&TokenKeys::default()),
            allow: List::default(),
            deny: List::default(),
            files: Files::new(&plan),
            told: None,
            denials: vec![(0, 0); DENIAL_BUCKETS],
            seed,
            plan,
        }
    }

    /// Whether tokens are asked for.
    pub fn is_private(&self) -> bool {
        self.plan.keys_file.is_some()
    }

    /// Whether an address is let in at all.
    pub fn lets_in(&self, ip: IpAddr) -> bool {
        let allowed = !self.allow.has_networks() || self.allow.names_address(ip);
        allowed && !self.deny.names_address(ip)
    }

    /// Whether a content may be here.
    pub fn takes(&self, hash: InfoHash) -> bool {
        let allowed = !self.allow.has_hashes() || self.allow.names_hash(hash);
        allowed && !self.deny.names_hash(hash)
    }

    /// Whether whoever shows `token` may do something of `scope`, with `hash`, at Unix second
    /// `unix_s`.
    pub fn passes(
        &self,
        token: Option<&[u8]>,
        scope: u8,
        hash: Option<InfoHash>,
        unix_s: u64,
    ) -> Result<Pass, Denied> {
        if !self.is_private() {
            return Ok(Pass::default());
        }
        mark!("B24");
        let judged = self.judge.judge(token.unwrap_or_default(), scope, hash, unix_s);
        judged.map(|Token { owner, .. }| Pass { owner: Some(owner) }).ok_or(Denied)
    }

    /// Everything that an announce needs.
    pub fn announces(
        &mut self,
        (now, unix_s): (Time, u64),
        ip: IpAddr,
        hash: InfoHash,
        token: Option<&[u8]>,
        out: &mut Outbox,
    ) -> Result<(), Denied> {
        self.passes(token, scope::ANNOUNCE, Some(hash), unix_s)?;
        if !self.lets_in(ip) || !self.takes(hash) || !self.registers(now, ip, out) {
            return Err(Denied);
        }
        Ok(())
    }

    /// Whether a machine may announce and publish from where it is.
    pub fn registers(&mut self, now: Time, ip: IpAddr, out: &mut Outbox) -> bool {
        if self.plan.public || public_source(ip).is_none() {
            return true;
        }
        if self.told.is_none_or(|told| now.since(told) >= STRANGERS_TOLD) {
            self.told = Some(now);
            let line = format!(
                "{ip} wants to announce or publish and is refused: it is in no private network; \
                 start the tracker with --public to let such machines in"
            );
            out.tell(Event::warning("stranger", line).text("address", ip.to_string()));
        }
        false
    }

    /// Whether this denial is answered: nobody makes us talk much.
    pub fn tells_denial(&mut self, now: Time, ip: IpAddr) -> bool {
        let second = now.as_secs();
        let Some(bucket) = self.denials.get_mut(bucket_of(ip, self.seed)) else { return false };
        if bucket.0 != second {
            *bucket = (second, 0);
        }
        bucket.1 = bucket.1.saturating_add(1);
        bucket.1 <= DENIALS_PER_S
    }
}

/// FNV-1a from a start that nobody knows.
fn bucket_of(ip: IpAddr, seed: u64) -> usize {
    let source = public_source(ip).unwrap_or(ip);
    let bytes = crate::core::mac::ip16(source);
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(seed ^ 0xcbf2_9ce4_8422_2325, step);
    (hash >> 20) as usize % DENIAL_BUCKETS
}
