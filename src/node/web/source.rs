//! One web seed (BEP 19): its way to the server, one request for a range at a time, and what
//! becomes of the answers.

use super::parts::{Cut, Parts};
use super::seat::{Said, Seat};
use crate::announce::approach::{Approach, Purpose};
use crate::announce::resolver::Found;
use crate::content::metainfo::Content;
use crate::core::id::{ConnId, PeerId};
use crate::core::io::{Closed, Outbox};
use crate::core::report::{Event, foreign};
use crate::core::time::{Span, Time};
use crate::swarm::Swarm;
use crate::wire::http::asking::AGENT;
use crate::wire::http::incoming::{Came, Coding, Head, Incoming};
use crate::wire::http::query;
use crate::wire::peer::Message;
use crate::wire::tracker_url::{self, Scheme, TrackerUrl};

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
    url: TrackerUrl,
    /// Where a redirection leads to for good.
    place: TrackerUrl,
    /// Without its path, in which there may be a secret.
    shown: String,
    id: PeerId,
    size: u64,
    approach: Option<Approach>,
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
    pub fn new(text: &str, content: &Content, out: &mut Outbox) -> Option<WebSource> {
        let read = tracker_url::read(text).and_then(|url| match url.scheme {
            Scheme::Udp => Err("a web seed begins with http:// or https://".to_owned()),
            Scheme::Http | Scheme::Https => Ok(url),
        });
        let mut url = match read {
            Ok(url) => url,
            Err(why) => {
                let shown = foreign(text.split(['?', '#']).next().unwrap_or_default());
                let line = format!("web seed {shown}: {why}; going on without it");
                out.tell(Event::warning("web_seed_gone", line));
                return None;
            }
        };
        if url.path.is_empty() || url.path.ends_with('/') {
            // A folder, in which the file lies under its name.
            let slash = if url.path.is_empty() { "/" } else { "" };
            url.path.push_str(slash);
            query::encode(&content.name, &mut url.path);
        }
        let host = url.at.with_port(url.scheme.port());
        let shown = format!("{}://{}", url.scheme.name(), foreign(&host));
        Some(WebSource {
            place: url.clone(),
            id: id_of(&url),
            url,
            shown,
            size: content.geometry.size(),
            approach: None,
            answered: false,
            incoming: None,
            parts: Parts::default(),
            seat: None,
            due: Time::ZERO,
            failures: 0,
            gone: false,
        })
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
        match Approach::new(self.place.clone(), Purpose::WebSeed, out) {
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

    /// Asks for the next range, if nothing is under way.
    fn ask(&mut self, swarm: &Swarm, now: Time, out: &mut Outbox) {
        if self.parts.is_idle() || self.incoming.is_some() {
            return;
        }
        let Some(approach) = &self.approach else {
            // The server ended the connection when it had answered: there is another.
            self.due = self.due.min(now);
            return;
        };
        let (Some(_), Some(conn)) = (approach.connected_to(), approach.conn()) else { return };
        let range = match &self.parts.range {
            Some(range) => Some((range.first, range.end.saturating_sub(1))),
            None => self.parts.next_range(&swarm.content().geometry),
        };
        let Some((first, last)) = range else { return };
        let url = approach.url();
        let (host, path) = (url.host_line(), if url.path.is_empty() { "/" } else { &url.path });
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\nAccept-Encoding: identity\r\n\
             Range: bytes={first}-{last}\r\n\r\n"
        );
        out.send(conn, request.as_bytes());
        self.incoming = Some((Incoming::default(), true));
        self.due = now + PATIENCE;
    }

    /// Bytes of the connection to the server.
    pub fn got_bytes(
        &mut self,
        mut bytes: &[u8],
        swarm: &mut Swarm,
        now: Time,
        out: &mut Outbox,
    ) {
        self.due = now + PATIENCE;
        while let Some((incoming, _)) = &mut self.incoming {
            let came = match incoming.next(&mut bytes) {
                Ok(None) => return,
                Ok(Some(came)) => came,
                Err(why) => {
                    return self.fail(Trouble::Later(why.to_owned(), None), swarm, now, out);
                }
            };
            let done = match came {
                Came::Head(head) => self.got_head(head, out),
                Came::Bytes(body) => self.got_body(body, swarm, now, out),
                Came::End => self.got_end(swarm, now, out),
            };
            if let Err(trouble) = done {
                return self.fail(trouble, swarm, now, out);
            }
        }
        if !bytes.is_empty() {
            let why = "it says what nobody asked".to_owned();
            self.fail(Trouble::Later(why, None), swarm, now, out);
        }
    }

    fn got_head(&mut self, head: Head, out: &mut Outbox) -> Result<(), Trouble> {
        let never = |why: String| Err(Trouble::Never(why));
        if let (301 | 302 | 303 | 307 | 308, Some(to)) = (head.status, &head.location) {
            return self.go_on(head.status, to, out);
        }
        if let Some((_, keeps)) = &mut self.incoming {
            *keeps = head.keep_alive;
        }
        let Some(range) = &self.parts.range else { return Ok(()) };
        match head.status {
            200 | 206 if head.coding != Coding::Plain => never("it packs what it sends".into()),
            206 => match head.range {
                Some((_, _, Some(whole))) if whole != self.size => {
                    never(format!("its file has {whole} bytes in place of {}", self.size))
                }
                Some((first, last, _)) if first == range.first && last < range.end => Ok(()),
                _ => never("it sends another part than was asked for".into()),
            },
            200 if head.len.is_some_and(|len| len != self.size) => {
                never(format!("its file does not have {} bytes", self.size))
            }
            200 if self.parts.whole_file_comes() => Ok(()),
            200 => never("it does not give parts of files".into()),
            429 | 500..=599 => {
                let wait = head.retry_after_s.map(|s| Span::secs(s.clamp(1, RETRY_AFTER_MAX_S)));
                Err(Trouble::Later(format!("HTTP status {}", head.status), wait))
            }
            status => never(format!("HTTP status {status}")),
        }
    }

    /// A redirection: the range is asked for there.
    fn go_on(&mut self, status: u16, to: &str, out: &mut Outbox) -> Result<(), Trouble> {
        self.incoming = None;
        let Some(approach) = &mut self.approach else { return Ok(()) };
        let next = approach.redirected(to, out).map_err(Trouble::Never)?;
        if matches!(status, 301 | 308) {
            self.place = next.url().clone();
        }
        self.approach = Some(next);
        self.answered = false;
        Ok(())
    }

    /// Bytes of the body become blocks.
    fn got_body(
        &mut self,
        mut body: &[u8],
        swarm: &mut Swarm,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Trouble> {
        let (Some(range), Some(seat)) = (&mut self.parts.range, &mut self.seat) else {
            return Ok(());
        };
        while let Some(cut) = range.next(&mut body) {
            match cut {
                Cut::Head(head) => seat.say(&head, swarm, now, out),
                Cut::Bytes(bytes) => seat.say(bytes, swarm, now, out),
            }
        }
        if range.is_done() && !body.is_empty() {
            // The rest of a whole file is not wanted.
            (self.parts.range, self.incoming, self.failures) = (None, None, 0);
            self.hang_up(out);
            self.ask(swarm, now, out);
        }
        Ok(())
    }

    fn got_end(&mut self, swarm: &Swarm, now: Time, out: &mut Outbox) -> Result<(), Trouble> {
        let keeps = self.incoming.take().is_some_and(|(_, keeps)| keeps);
        match self.parts.range.take() {
            Some(range) if !range.is_done() => {
                return Err(Trouble::Later("it sends less than was asked for".into(), None));
            }
            _ => {}
        }
        (self.failures, self.answered) = (0, true);
        self.due = Time::NEVER;
        if !keeps {
            self.hang_up(out);
        }
        self.ask(swarm, now, out);
        Ok(())
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
        let untouched = self.parts.range.as_ref().is_some_and(|range| range.is_untouched());
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
                // What a redirection said may not hold any more.
                self.place = self.url.clone();
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
                (Said::Cancels(_), None) => {}
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
