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
/// A server that answers and fails so often in a row is not asked any more.
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
    /// Answers in a row that were of no use, and how often it was not reached since.
    failures: u32,
    unreached: u32,
    /// It is of no use.
    gone: bool,
    /// The URL as it was named.
    text: String,
    /// Bytes of the content that it gave.
    given_bytes: u64,
}

/// Why an answer is not taken.
enum Trouble {
    /// It may be better later, at the soonest after so long.
    Later(String, Option<Span>),
    /// Nothing was asked: that says nothing of the server, which may come back whenever.
    Unreached(String),
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
            unreached: 0,
            gone: false,
            text: text.to_owned(),
            given_bytes: 0,
        })
    }

    /// Bytes of the content that it gave.
    pub fn given_bytes(&self) -> u64 {
        self.given_bytes
    }

    /// It is not asked for now: it gets up and goes.
    pub fn rest(&mut self, swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        self.hang_up(out);
        if let Some(seat) = self.seat.take() {
            seat.leave(swarm, now, out);
        }
    }

    /// The URL as it was named, if it may be of use again.
    pub fn into_text(self) -> Option<String> {
        (!self.gone).then_some(self.text)
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
        let due = self.approach.as_ref().map_or(Time::NEVER, Approach::deadline).min(self.due);
        match &self.seat {
            _ if self.gone => Time::NEVER,
            Some(seat) => due.min(seat.spoke() + KEEP_ALIVE),
            None => due,
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
        if let Err(why) = approach.got_found(found, now, out) {
            self.fail(Trouble::Unreached(why), swarm, now, out);
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
        if let Some(approach) = &mut self.approach {
            approach.poll(now, out);
        }
        if now < self.due {
            return;
        }
        match &self.approach {
            Some(approach) => {
                let why = format!("no {} in {} s", approach.waits_for(), PATIENCE.as_secs());
                let trouble = match approach.connected_to() {
                    Some(_) => Trouble::Later(why, None),
                    None => Trouble::Unreached(why),
                };
                self.fail(trouble, swarm, now, out);
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
            if let Err(why) = approach.got_closed(why, now, out) {
                self.approach = None;
                self.fail(Trouble::Unreached(why), swarm, now, out);
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
        match trouble {
            Trouble::Unreached(_) => self.unreached = self.unreached.saturating_add(1),
            _ => (self.failures, self.unreached) = (self.failures + 1, 0),
        }
        let times = (self.failures + self.unreached.min(8)).clamp(1, 8);
        let rest = Span::secs((REST_S << (times - 1)).min(REST_MAX_S));
        let (why, wait) = match trouble {
            Trouble::Later(why, wait) if self.failures < FAILURES_MAX => {
                (why, Some(wait.unwrap_or(rest)))
            }
            Trouble::Unreached(why) => (why, Some(rest)),
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

    /// The swarm wants nothing more of us: it is complete, or leaves, or what we gave is not the
    /// content.
    fn swarm_left(&mut self, swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        let Some(seat) = self.seat.take() else { return };
        let at = seat.at;
        seat.gone(out);
        if swarm.is_complete() || swarm.is_leaving() {
            self.hang_up(out);
            self.gone = true;
            return;
        }
        self.fail(
            match swarm.has_struck(self.id, at, now) {
                true => Trouble::Never("its file is not what the hashes say".to_owned()),
                false => Trouble::Unreached("the swarm let it go".to_owned()),
            },
            swarm,
            now,
            out,
        );
    }

    /// The swarm is given up: another one will begin.
    pub fn swarm_gone(&mut self, now: Time, out: &mut Outbox) {
        if let Some(seat) = self.seat.take() {
            seat.gone(out);
        }
        self.hang_up(out);
        (self.incoming, self.parts, self.due) = (None, Parts::default(), now);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::bitfield::Bitfield;
    use crate::content::metainfo::ContentHasher;
    use crate::core::chunk::Chunk;
    use crate::core::id::FileId;
    use crate::core::io::Effect;
    use crate::core::rng::Rng;
    use crate::peer::Us;
    use crate::swarm::{Company, Terms};

    struct World {
        swarm: Swarm,
        source: WebSource,
        now: Time,
        out: Outbox,
        told: Vec<String>,
    }

    impl World {
        /// A swarm that lacks a file of five bytes, and its web seed at work.
        fn new(terms: Terms) -> World {
            let mut hasher = ContentHasher::new(b"x", 5).unwrap();
            hasher.update(b"bytes");
            let content = Rc::new(hasher.finish().unwrap());
            let (peer_id, metadata_bytes) = (PeerId([9; 20]), [0; 2]);
            let us =
                Us { peer_id, listen_port: 7, metadata_bytes, exchanges: false, upgrade: None };
            let file = (FileId { slot: 0, generation: 0 }, Bitfield::new(1));
            let (rng, now) = (&mut Rng::new(1), Time::ZERO);
            let swarm = Swarm::new(content.clone(), us, file, (1, 10), rng, now).on(terms, rng);
            let mut out = Outbox::default();
            let source = WebSource::new("http://10.0.0.1/x", &content, &mut out).unwrap();
            World { swarm, source, now, out, told: Vec::new() }
        }

        /// Does what is due: whether a new connection is dialled, and what is asked.
        fn turn(&mut self) -> (bool, String) {
            let (swarm, out, now) = (&mut self.swarm, &mut self.out, self.now);
            self.source.tick(swarm, now, out);
            swarm.tick(now, out);
            while self.source.hear_swarm(0, swarm, now, out) {}
            let (mut dials, mut asked) = (false, String::new());
            for effect in std::mem::take(&mut out.effects) {
                match effect {
                    Effect::Dial { .. } => dials = true,
                    Effect::Send { conn, chunk: Chunk::Arena { start, len } } => {
                        assert_eq!(Some(conn), self.source.conn());
                        asked += &String::from_utf8_lossy(out.bytes(start, len));
                    }
                    Effect::Tell(event) if event.kind.starts_with("web_seed") => {
                        self.told.push(event.line);
                    }
                    _ => {}
                }
            }
            (dials, asked)
        }

        fn connects(&mut self) -> String {
            assert!(self.turn().0, "{:?}", self.told);
            self.source.got_connected(&mut self.swarm, self.now, &mut self.out);
            self.turn().1
        }

        fn hears(&mut self, text: &str) {
            let (swarm, out) = (&mut self.swarm, &mut self.out);
            self.source.got_bytes(text.as_bytes(), swarm, self.now, out);
        }
    }

    #[test]
    fn what_follows_in_an_answer_that_is_left_is_for_nobody() {
        let mut world = World::new(Terms::default());
        assert!(world.connects().starts_with("GET /x HTTP/1.1"));
        let body = "Content-Length: 5\r\n\r\nthere";
        world.hears(&format!("HTTP/1.1 302 Found\r\nLocation: http://10.0.0.2/y\r\n{body}"));
        assert!(world.connects().starts_with("GET /y HTTP/1.1\r\nHost: 10.0.0.2\r\n"));
        // It says more than it was to say.
        let body = "Content-Range: bytes 0-4/5\r\nContent-Length: 5\r\n\r\nbytes and more";
        world.hears(&format!("HTTP/1.1 206 Part\r\n{body}"));
        world.turn();
        assert!(world.told.is_empty() && world.source.conn().is_none(), "{:?}", world.told);

        let mut world = World::new(Terms::default());
        world.connects();
        world.hears("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nbytes and\r\n0\r\n");
        world.turn();
        assert!(world.told.is_empty(), "{:?}", world.told);

        let mut world = World::new(Terms::default());
        world.connects();
        world.source.incoming = None;
        world.hears("HTTP/1.1 206 Part\r\n");
        world.turn();
        assert!(world.told[0].contains("nobody asked"), "{:?}", world.told);
    }

    #[test]
    fn a_seat_needs_no_room_and_one_that_is_lost_is_taken_again() {
        let full = Terms { conversations_max: 0, company: Company::Strangers, ..Terms::default() };
        let mut world = World::new(full);
        assert!(world.connects().starts_with("GET /x"));
        // The swarm ends the conversation, for no lie.
        world.now = world.now + Span::secs(200);
        let (now, out) = (world.now, &mut world.out);
        world.source.due = now + PATIENCE;
        world.swarm.tick(now, out);
        while world.source.hear_swarm(0, &mut world.swarm, now, out) {}
        assert!(!world.source.gone && world.source.seat.is_none());
        world.turn();
        assert!(world.told[0].contains("the swarm let it go; next try in 10 s"));
        world.now = world.source.deadline();
        assert!(world.connects().starts_with("GET /x"));
        // The swarm is given up, and another one begins.
        world.source.swarm_gone(world.now, &mut world.out);
        world.swarm = World::new(full).swarm;
        assert!(world.connects().starts_with("GET /x"));
        world.swarm.leave(world.now, &mut world.out);
        world.swarm.hang_up(&mut world.out);
        world.turn();
        assert!(world.source.gone && world.told.len() == 1, "{:?}", world.told);
    }

    #[test]
    fn a_server_that_is_not_reached_is_tried_for_ever_and_one_that_fails_is_not() {
        let mut world = World::new(Terms::default());
        for _ in 0..20 {
            assert!(world.turn().0);
            let (swarm, out) = (&mut world.swarm, &mut world.out);
            world.source.got_closed(Closed::Refused, swarm, world.now, out);
            world.now = world.source.deadline();
        }
        world.turn();
        assert!(world.told[19].contains("next try in 600 s"), "{:?}", world.told);
        for _ in 0..FAILURES_MAX {
            world.source.got_connected(&mut world.swarm, world.now, &mut world.out);
            world.turn();
            world.hears("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
            world.now = world.now + Span::secs(REST_MAX_S);
            world.turn();
        }
        assert!(world.source.gone, "{:?}", world.told);
    }
}
