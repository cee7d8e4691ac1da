//! Who may do what here: tokens of a private tracker, lists of who is let in and kept out, and
//! whether machines outside of private networks may register. Every no is the same no.

pub mod files;
pub mod lists;

use super::plan::AccessPlan;
use super::source::Source;
use crate::core::id::InfoHash;
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::report::Event;
use crate::core::time::{Span, Time};
use crate::wire::catalogue::hello::Owner;
use crate::wire::control::{Op, Status};
use crate::wire::token::{DENIED, Token, scope};
use crate::wire::token_keys::{TokenJudge, TokenKeys};
use files::Files;
use lists::List;
use std::net::{IpAddr, SocketAddr};

/// The line about strangers comes at most so often.
const STRANGERS_TOLD: Span = Span::secs(60);
/// Denials that a bucket of addresses is told of in a second; the rest is silence.
const DENIALS_PER_S: u8 = 10;
const DENIAL_BUCKETS: usize = 1024;

/// What a machine that is in no private network reads: no secret, and a way out.
pub const STRANGER: &str = "this tracker is for private networks; it was not started with --public";

/// Not let in. Why is not said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denied;

/// What somebody who is let in may do, and is known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pass {
    /// Bits of [`scope`].
    pub scope: u8,
    /// The owner of the token that was shown; `None` where none is asked for.
    pub owner: Option<Owner>,
    /// Unix second until which it holds; later, and in another [`Access::epoch`], it is judged
    /// again.
    until_s: u64,
    epoch: u64,
}

impl Pass {
    /// All rights, where no token is asked for.
    pub const OPEN: Pass = Pass { scope: scope::ALL, owner: None, until_s: u64::MAX, epoch: 0 };

    /// The token that the pass was given for, if it may announce.
    pub fn bearer<'a>(&self, token: &'a [u8]) -> Option<&'a [u8]> {
        let asked = self.owner.is_some() && self.scope & scope::ANNOUNCE != 0;
        Some(token).filter(|_| asked)
    }
}

#[derive(Debug)]
pub struct Access {
    plan: AccessPlan,
    judge: TokenJudge,
    /// One more whenever the keys change.
    epoch: u64,
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
            epoch: 0,
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
            return Ok(Pass::OPEN);
        }
        let judged = self.judge.judge(token.unwrap_or_default(), scope, hash, unix_s);
        let Some(Token { scope, owner, expiry_s, .. }) = judged else {
            mark!("B24");
            return Err(Denied);
        };
        let until_s = if expiry_s == u32::MAX { u64::MAX } else { expiry_s.into() };
        Ok(Pass { scope, owner: Some(owner), until_s, epoch: self.epoch })
    }

    /// What a control request may lead to.
    pub fn opens(
        &self,
        op: Op,
        ip: IpAddr,
        token: Option<&[u8]>,
        unix_s: u64,
    ) -> Result<Pass, Status> {
        if !self.lets_in(ip) {
            return Err(Status::Forbidden);
        }
        let scope = match op {
            Op::Read => scope::READ,
            Op::Write => scope::WRITE,
            Op::Hello | Op::Other(_) => scope::ALL,
        };
        self.passes(token, scope, None, unix_s).map_err(|Denied| match token {
            None => Status::AuthRequired,
            Some(_) => Status::Forbidden,
        })
    }

    /// Whether a pass that was given for `token` still holds: keys are revoked and tokens end while
    /// a connection lives. Costs nothing as long as neither happened.
    pub fn still_holds(&self, pass: &mut Pass, token: &[u8], unix_s: u64) -> bool {
        if !self.is_private() || (pass.epoch == self.epoch && unix_s < pass.until_s) {
            return true;
        }
        match self.passes(Some(token), pass.scope, None, unix_s) {
            Ok(again) => {
                *pass = again;
                true
            }
            Err(Denied) => false,
        }
    }

    /// Everything that an announce needs; else what is answered.
    pub fn announces(
        &mut self,
        (now, unix_s): (Time, u64),
        ip: IpAddr,
        hash: InfoHash,
        token: Option<&[u8]>,
        out: &mut Outbox,
    ) -> Result<(), &'static str> {
        let passed = self.passes(token, scope::ANNOUNCE, Some(hash), unix_s).is_ok();
        if !passed || !self.lets_in(ip) || !self.takes(hash) {
            return Err(DENIED);
        }
        if self.registers(now, ip, out) { Ok(()) } else { Err(STRANGER) }
    }

    /// Whether a machine may announce and publish from where it is.
    pub fn registers(&mut self, now: Time, ip: IpAddr, out: &mut Outbox) -> bool {
        if self.plan.public || Source::limited(ip, false).is_none() {
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
        let second = now.secs();
        let Some(bucket) = self.denials.get_mut(bucket_of(ip, self.seed)) else { return false };
        if bucket.0 != second {
            *bucket = (second, 0);
        }
        bucket.1 = bucket.1.saturating_add(1);
        bucket.1 <= DENIALS_PER_S
    }
}

/// Where whoever reached the tracker at `local` announces. On a private tracker the asker's own
/// token is in it, and the URL is that of HTTP: few clients carry a token over UDP.
pub fn announce_url(local: SocketAddr, token: Option<&[u8]>) -> String {
    match token {
        None => format!("udp://{local}/announce"),
        Some(token) => format!("http://{local}/announce/{}", String::from_utf8_lossy(token)),
    }
}

/// FNV-1a from a start that nobody knows.
fn bucket_of(ip: IpAddr, seed: u64) -> usize {
    let bytes = Source::of(ip).bytes();
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(seed ^ 0xcbf2_9ce4_8422_2325, step);
    (hash >> 20) as usize % DENIAL_BUCKETS
}
