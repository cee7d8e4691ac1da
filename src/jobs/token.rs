//! `lmk token`: makes tokens, and the keys they are made with. The secret is said once, as the
//! result, and kept nowhere.

use super::plan::{TokenAsk, TokenPlan};
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, FileError, FileOp, Input, Outbox, Role};
use crate::core::report::{Ending, Event, Snapshot, foreign};
use crate::core::time::{Time, utc};
use crate::wire::catalogue::hello::Owner;
use crate::wire::token::{Bearer, Token, scope};
use crate::wire::token_keys::{FILE_BYTES_MAX, TokenKeys};
use sha2::{Digest, Sha256};

/// One run of the command.
#[derive(Debug)]
pub struct TokenJob {
    plan: TokenPlan,
    load: Option<Ticket>,
    /// What is said once the keys are kept.
    save: Option<(Ticket, Vec<Event>)>,
    ended: bool,
}

impl TokenJob {
    pub fn new(plan: TokenPlan) -> TokenJob {
        TokenJob { plan, load: None, save: None, ended: false }
    }

    fn route(&mut self, input: Input<'_>, out: &mut Outbox) -> Result<(), Fatal> {
        match input {
            Input::Born => {
                let path = self.plan.keys_file.clone();
                self.load = Some(out.file(FileOp::Load { path, bytes_max: FILE_BYTES_MAX }));
            }
            Input::Asked(_) => self.end(Ending::Interrupted, out),
            Input::File { ticket, done } if self.load.take_if(|load| *load == ticket).is_some() => {
                let keys = self.loaded(done)?;
                self.answer(keys, out)?;
            }
            Input::File { ticket, done } => {
                let Some((_, events)) = self.save.take_if(|(save, _)| *save == ticket) else {
                    return Ok(());
                };
                if let FileDone::Done(Err(error)) = done {
                    return Err(self.failed(Ending::Disk, "cannot write", &error.reason()));
                }
                self.say(events, out);
            }
            _ => {}
        }
        Ok(())
    }

    fn loaded(&self, done: FileDone) -> Result<TokenKeys, Fatal> {
        match done {
            FileDone::Loaded(Ok(bytes)) => {
                TokenKeys::read(&bytes).map_err(|why| self.failed(Ending::Disk, "cannot use", &why))
            }
            FileDone::Loaded(Err(FileError::NotFound)) => Ok(TokenKeys::default()),
            FileDone::Loaded(Err(error)) => {
                Err(self.failed(Ending::Disk, "cannot read", &error.reason()))
            }
            _ => Err(self.failed(Ending::Internal, "cannot read", "an answer to another question")),
        }
    }

    fn failed(&self, ending: Ending, verb: &str, why: &str) -> Fatal {
        let path = foreign(&self.plan.keys_file.to_string_lossy());
        Fatal { ending, line: format!("{verb} the keys of tokens in {path}: {why}") }
    }

    fn answer(&mut self, mut keys: TokenKeys, out: &mut Outbox) -> Result<(), Fatal> {
        let usage = |line: String| Fatal { ending: Ending::Usage, line };
        let events = match &self.plan.ask {
            TokenAsk::List => {
                let events = listed(&keys);
                self.say(events, out);
                return Ok(());
            }
            TokenAsk::NewKey => {
                let id = self.add(&mut keys)?;
                let line = format!("key {id} is made; new tokens are made with it");
                vec![Event::result("key", line).number("key", id.into())]
            }
            TokenAsk::Revoke(id) => {
                if !keys.revoke(*id) {
                    return Err(usage(format!("there is no key {id}; see 'lmk token --list'")));
                }
                let line = format!("key {id} is revoked; a tracker that runs notices within 5 s");
                vec![Event::result("key", line).number("key", (*id).into())]
            }
            TokenAsk::Make { key, .. } => {
                let (key, known) = (*key, keys.newest().map(|key| key.id));
                let id = match key.or(known) {
                    Some(id) => id,
                    None => self.add(&mut keys)?,
                };
                let secret = keys.of(id).and_then(|key| key.key()).ok_or_else(|| {
                    usage(format!("there is no key {id} that counts; see 'lmk token --list'"))
                })?;
                let events = self.made(id, &secret);
                if known.is_some() {
                    self.say(events, out);
                    return Ok(());
                }
                events
            }
        };
        let (path, bytes) = (self.plan.keys_file.clone(), keys.write());
        self.save = Some((out.file(FileOp::Save { path, bytes, private: true }), events));
        Ok(())
    }

    fn add(&self, keys: &mut TokenKeys) -> Result<u16, Fatal> {
        let made = keys.add(self.plan.secret, self.plan.wall_s);
        made.ok_or_else(|| self.failed(Ending::Usage, "cannot add to", "there are too many keys"))
    }

    fn made(&self, id: u16, key: &crate::core::mac::Key) -> Vec<Event> {
        let TokenAsk::Make { scope, bound, expires_s, owner, .. } = &self.plan.ask else {
            return Vec::new();
        };
        let expiry_s = match expires_s {
            Some(s) => u32::try_from(self.plan.wall_s.saturating_add(*s)).unwrap_or(u32::MAX),
            None => u32::MAX,
        };
        let mut eight = [0; 8];
        let digest = match owner {
            Some(name) => Sha256::new().chain_update(b"lmk-owner1").chain_update(name).finalize(),
            None => {
                Sha256::new().chain_update(b"lmk-owner0").chain_update(self.plan.secret).finalize()
            }
        };
        eight.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        let token = Token::make((id, key), *scope, expiry_s, Owner(eight), *bound);
        let mut events = vec![told(&token, bound.map(|hash| hash.to_string()))];
        events.extend(of_use(&token.encode()));
        events.push(Event::result("token", token.encode().text()));
        events
    }

    fn say(&mut self, events: Vec<Event>, out: &mut Outbox) {
        events.into_iter().for_each(|event| out.tell(event));
        self.end(Ending::Done, out);
    }

    fn end(&mut self, ending: Ending, out: &mut Outbox) {
        if !std::mem::replace(&mut self.ended, true) {
            out.end(ending);
        }
    }
}

/// What a token may, and until when.
fn told(token: &Token, bound: Option<String>) -> Event {
    let until = match token.expiry_s {
        u32::MAX => "for ever".to_owned(),
        expiry_s => format!("until {} UTC", utc(expiry_s.into())),
    };
    let only = bound.map(|hash| format!(" for {hash} alone")).unwrap_or_default();
    let line = format!("may {}{only}, {until}; made with key {}", words(token.scope), token.key_id);
    Event::info("may", line)
}

/// Lines of use.
fn of_use(bearer: &Bearer) -> [Event; 4] {
    let text = bearer.text();
    [
        format!("  lmk:               --token {text}"),
        format!("  BitTorrent, UDP:   udp://HOST:6969/announce?auth={text}"),
        format!("  BitTorrent, HTTP:  http://HOST:6969/announce/{text}"),
        "whoever has it may use it; a file (--token-file) or LMK_TOKEN keeps it out of `ps`".into(),
    ]
    .map(|line| Event::info("use", line))
}

fn words(bits: u8) -> String {
    let named = [(scope::ANNOUNCE, "announce"), (scope::READ, "read"), (scope::WRITE, "write")];
    let has: Vec<&str> = named.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, w)| *w).collect();
    has.join(", ")
}

fn listed(keys: &TokenKeys) -> Vec<Event> {
    let newest = keys.newest().map(|key| key.id);
    let mut events: Vec<Event> = keys
        .iter()
        .map(|key| {
            let state = match (key.is_revoked(), newest == Some(key.id)) {
                (true, _) => "revoked",
                (false, true) => "in use; new tokens are made with it",
                (false, false) => "in use",
            };
            let line = format!("key {:<5}  made {} UTC  {state}", key.id, utc(key.made_s));
            Event::result("key", line)
        })
        .collect();
    if events.is_empty() {
        events.push(Event::info("key", "there is no key yet; `lmk token` makes one"));
    }
    events
}

impl Role for TokenJob {
    fn on(&mut self, _now: Time, input: Input<'_>, out: &mut Outbox) {
        if self.ended {
            return;
        }
        if let Err(Fatal { ending, line }) = self.route(input, out) {
            out.tell(Event::error("failed", line));
            self.end(ending, out);
        }
    }

    fn deadline(&self) -> Time {
        Time::NEVER
    }

    fn snapshot(&self, _now: Time) -> Snapshot {
        Snapshot { phase: "making", ..Snapshot::default() }
    }
}
