//! One web seed (BEP 19): its way to the server, one request for a range at a time, and what
//! becomes of the answers.

mod talk;

use super::parts::{Parts, Run, Segment};
use super::seat::{Said, Seat};
use crate::announce::approach::{Approach, Purpose};
use crate::announce::resolver::Found;
use crate::content::metainfo::Content;
use crate::core::id::{ConnId, PeerId};
use crate::core::io::{Closed, Outbox};
use crate::core::report::{Event, foreign};
use crate::core::time::{Span, Time};
use crate::swarm::Swarm;
use crate::wire::http::incoming::Incoming;
use crate::wire::http::query;
use crate::wire::peer::Message;
use crate::wire::tracker_url::{self, Scheme, TrackerUrl};
use std::rc::Rc;

/// How long a server has for a connection, and for each sign of life after that.
const PATIENCE: Span = Span::secs(30);
/// The first wait after a failure; then twice as long, and so on.
const REST_S: u64 = 10;
const REST_MAX_S: u64 = 600;
/// A server that fails so often in a row is not asked any more.
const FAILURES_MAX: u32 = 6;
/// The longest wait that a server may ask for with `Retry-After`.
const RETRY_AFTER_MAX_S: u64 = 3600;
/// So often the swarm hears of us while nothing is asked.
const KEEP_ALIVE: Span = Span::secs(60);

#[derive(Debug)]
pub struct WebSource {
    /// Of the file, or of the folder that the folder lies in.
    url: TrackerUrl,
    content: Rc<Content>,
    /// Without its path, in which there may be a secret.
    shown: String,
    id: PeerId,
    approach: Option<Approach>,
    /// The entry whose URL the connection was made for.
    entry: usize,
    /// This connection has answered before: its end may cross our next request.
    answered: bool,
    /// The answer that is coming, and whether the server will take another request after it.
    incoming: Option<(Incoming, bool)>,
    parts: Parts,
    seat: Option<Seat>,
    due: Time,
    failures: u32,
    /// It is of no use.
    gone: bool,
}

/// Why an answer is not taken.
enum Trouble {
    /// It may be better later, at the soonest after so long.
    Later(String, Option<Span>),
    Never(String),
}

impl WebSource {
    /// `None` for a URL that no file can be fetched from, which is told.
    pub fn new(text: &str, content: &Rc<Content>, out: &mut Outbox) -> Option<WebSource> {
        let read = tracker_url::read(text).and_then(|url| match url.scheme {
            Scheme::Udp => Err("a web seed begins with http:// or https://".to_owned()),
            Scheme::Http | Scheme::Https => Ok(url),
        });
        let url = match read {
            Ok(url) => url,
            Err(why) => {
                let shown = foreign(text.split(['?', '#']).next().unwrap_or_default());
                let line = format!("web seed {shown}: {why}; going on without it");
                out.tell(Event::warning("web_seed_gone", line));
                return None;
            }
        };
        let host = url.at.with_port(url.scheme.port());
        let shown = format!("{}://{}", url.scheme.name(), foreign(&host));
        Some(WebSource {
            id: id_of(&url),
            url,
            content: content.clone(),
            shown,
            approach: None,
            entry: 0,
            answered: false,
            incoming: None,
            parts: Parts::default(),
            seat: None,
            due: Time::ZERO,
            failures: 0,
            gone: false,
        })
    }

    /// Where an entry lies: the file itself at the URL, or under its name if that ends in a slash;
    /// files of a folder below the folder's name, as BEP 19 has it.
    fn url_of(&self, entry: usize) -> TrackerUrl {
        let mut url = self.url.clone();
        let is_folder = self.content.files.is_folder();
        if url.path.is_empty() || (is_folder && !url.path.ends_with('/')) {
            url.path.push('/');
        }
        if url.path.ends_with('/') {
            query::encode(&self.content.name, &mut url.path);
        }
        let path = self.content.files.entries().get(entry).map(|entry| &entry.path);
        if let (true, Some(path)) = (is_folder, path) {
            for element in path.split(|byte| *byte == b'/') {
                url.path.push('/');
                query::encode(element, &mut url.path);
            }
        }
        url
    }

    /// Bytes of the file that is asked for.
    fn file_bytes(&self) -> u64 {
        self.content.files.entries().get(self.entry).map_or(0, |entry| entry.length)
    }

    pub fn deadline(&self) -> Time {
        match &self.seat {
            _ if self.gone => Time::NEVER,
            Some(seat) => self.due.min(seat.spoke() + KEEP_ALIVE),
            None => self.due,
        }
    }

    /// The connection to the server.
    pub fn conn(&self) -> Option<ConnId> {
        self.approach.as_ref().and_then(Approach::conn)
    }

    pub fn take_lookup(&mut self) -> Option<String> {
        self.approach.as_mut()?.take_lookup()
    }

    pub fn got_found(&mut self, found: &Found, swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        let Some(approach) = &mut self.approach else { return };
        if let Err(why) = approach.got_found(found, out) {
            self.fail(Trouble::Later(why, None), swarm, now, out);
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        if self.gone {
            return;
        }
        if swarm.is_complete() {
            self.hang_up(out);
            self.gone = true;
            return;
        }
        if let Some(seat) = self.seat.as_mut().filter(|seat| seat.spoke() + KEEP_ALIVE <= now) {
            seat.say(&Message::KeepAlive.encode(), swarm, now, out);
        }
        if now < self.due {
            return;
        }
        match &self.approach {
            Some(approach) => {
                let why = format!("no {} in {} s", approach.waits_for(), PATIENCE.as_secs());
                self.fail(Trouble::Later(why, None), swarm, now, out);
            }
            None if self.seat.is_none() || !self.parts.is_idle() => self.dial(swarm, now, out),
            None => self.due = Time::NEVER,
        }
    }

    fn dial(&mut self, swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        self.due = now + PATIENCE;
        self.answered = false;
        let first = self.content.files.plain().next().map_or(0, |(entry, _)| entry);
        self.entry = match self.parts.run.as_ref().and_then(Run::segment) {
            Some(Segment::File { entry, .. }) => entry,
            _ => first,
        };
        match Approach::new(self.url_of(self.entry), Purpose::WebSeed, out) {
            Ok(approach) => self.approach = Some(approach),
            Err(why) => self.fail(Trouble::Never(why), swarm, now, out),
        }
    }

    pub fn got_connected(&mut self, swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        let Some(approach) = &mut self.approach else { return };
        let Some(conn) = approach.conn() else { return };
        approach.got_connected(conn);
        let at = approach.connected_to();
        self.due = Time::NEVER;
        if let (None, Some(at)) = (&self.seat, at) {
            self.seat = Seat::take((self.id, at), swarm, now, out);
        }
        self.ask(swarm, now, out);
    }

    /// The connection to the server ended.
    pub fn got_closed(&mut self, why: Closed, swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        let Some(approach) = &mut self.approach else { return };
        if approach.connected_to().is_none() {
            if let Err(why) = approach.got_closed(why, out) {
                self.approach = None;
                self.fail(Trouble::Later(why, None), swarm, now, out);
            }
            return;
        }
        self.approach = None;
        self.due = Time::NEVER;
        let Some((mut incoming, _)) = self.incoming.take() else {
            return self.ask(swarm, now, out);
        };
        let untouched = self.parts.run.as_ref().is_some_and(Run::is_untouched);
        if incoming.ended().is_ok() {
            self.incoming = Some((incoming, false));
            if let Err(trouble) = self.got_end(swarm, now, out) {
                self.fail(trouble, swarm, now, out);
            }
        } else if std::mem::take(&mut self.answered) && untouched {
            // Its end and our request crossed.
            self.parts.put_back();
            self.ask(swarm, now, out);
        } else {
            let why = "the connection ended in the answer".to_owned();
            self.fail(Trouble::Later(why, None), swarm, now, out);
        }
    }

    fn hang_up(&mut self, out: &mut Outbox) {
        if let Some(mut approach) = self.approach.take() {
            approach.hang_up(out);
        }
        self.due = Time::NEVER;
    }

    /// It does not serve: the swarm is left, for a while or for good.
    fn fail(&mut self, trouble: Trouble, swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        self.hang_up(out);
        self.incoming = None;
        self.parts = Parts::default();
        if let Some(seat) = self.seat.take() {
            seat.leave(swarm, now, out);
        }
        self.failures += 1;
        let (why, wait) = match trouble {
            Trouble::Later(why, wait) if self.failures < FAILURES_MAX => {
                let wait_s = (REST_S << self.failures.min(8).saturating_sub(1)).min(REST_MAX_S);
                (why, Some(wait.unwrap_or(Span::secs(wait_s))))
            }
            Trouble::Later(why, _) | Trouble::Never(why) => (why, None),
        };
        let shown = &self.shown;
        let event = match wait {
            Some(wait) => {
                self.due = now + wait;
                let line = format!("web seed {shown}: {why}; next try in {} s", wait.as_secs());
                Event::info("web_seed_failed", line)
            }
            None => {
                self.gone = true;
                let line = format!("web seed {shown}: {why}; going on without it");
                Event::warning("web_seed_gone", line)
            }
        };
        out.tell(event.text("url", shown.clone()));
    }

    /// Hears what the swarm said since `out` had `before` wishes. -> whether it said anything.
    pub fn hear_swarm(
        &mut self,
        before: usize,
        swarm: &mut Swarm,
        now: Time,
        out: &mut Outbox,
    ) -> bool {
        let Some(seat) = &mut self.seat else { return false };
        let Some(said) = seat.hear(before, swarm, now, out) else { return false };
        for said in said {
            match (said, &mut self.seat) {
                (Said::Asks(block), _) => self.parts.ask(block),
                (Said::Cancels(block), Some(seat)) => {
                    // What is on its way comes all the same.
                    if self.parts.cancel(block) {
                        seat.say(&Message::Reject(block).encode(), swarm, now, out);
                    }
                }
                (Said::Leaves, _) => {
                    self.swarm_left(swarm, now, out);
                    return true;
                }
                (Said::AsksHashes(range), Some(seat)) => {
                    seat.say(&Message::HashReject(range).encode(), swarm, now, out);
                }
                (Said::Cancels(_) | Said::AsksHashes(_), None) => {}
            }
        }
        self.ask(swarm, now, out);
        true
    }

    /// The swarm wants nothing more of us: it is complete, or what we gave is not the content.
    fn swarm_left(&mut self, swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        if let Some(seat) = self.seat.take() {
            seat.gone(out);
        }
        if swarm.is_complete() {
            self.hang_up(out);
            self.gone = true;
            return;
        }
        let why = "its file is not what the hashes say".to_owned();
        self.fail(Trouble::Never(why), swarm, now, out);
    }
}

/// Who it is to the swarm: one and the same whenever it comes.
fn id_of(url: &TrackerUrl) -> PeerId {
    let mut id = *b"-WS0000-............";
    let text = format!("{}{}{}", url.scheme.name(), url.at.with_port(0), url.path);
    // No secret and no proof: it must only differ from URL to URL.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let digits = format!("{hash:016x}");
    id.iter_mut().skip(8).zip(digits.bytes()).for_each(|(to, digit)| *to = digit);
    PeerId(id)
}
