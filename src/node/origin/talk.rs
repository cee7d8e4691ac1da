//! What is asked of the server of an origin, and what becomes of its answers (RFC 9110).

use super::note::Note;
use super::{Origin, ground};
use crate::announce::approach::{Approach, Purpose};
use crate::core::fault::Fatal;
use crate::core::id::ConnId;
use crate::core::io::{Closed, Outbox};
use crate::core::report::{Ending, Event, bytes_text, foreign_bytes};
use crate::core::time::{Span, Time};
use crate::node::places::show;
use crate::wire::http::asking::AGENT;
use crate::wire::http::date;
use crate::wire::http::incoming::{Came, Coding, Head, Incoming};

/// How long a server has for a connection, and for each sign of life after that.
pub const PATIENCE: Span = Span::secs(30);
/// The longest wait before the next try; the first is a second, then twice as long, and so on.
const REST_MAX_S: u64 = 60;
/// The longest wait that a server may ask for with `Retry-After`.
const RETRY_AFTER_MAX_S: u64 = 600;
/// So often in one run the file may have to be fetched from its beginning again.
const ANEW_MAX: u32 = 5;

/// Why an answer is not taken.
enum Trouble {
    /// It may be better later, at the soonest after so long.
    Later(String, Option<Span>),
    Never(Fatal),
}

impl Origin {
    pub(super) fn connect(&mut self, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        self.due = now + PATIENCE;
        let approach = Approach::new(self.plan.url.clone(), Purpose::Origin, out);
        self.approach = Some(approach.map_err(|why| self.refused(&why))?);
        Ok(())
    }

    pub(super) fn hang_up(&mut self, out: &mut Outbox) {
        if let Some(mut approach) = self.approach.take() {
            approach.hang_up(out);
        }
        (self.incoming, self.paused) = (None, false);
    }

    /// Asks for the file, or for what of it is not there yet.
    pub(super) fn got_connected(&mut self, conn: ConnId, now: Time, out: &mut Outbox) {
        let Some(approach) = &mut self.approach else { return };
        approach.got_connected(conn);
        self.due = now + PATIENCE;
        if let Some(part) = &mut self.part
            && part.received > 0
            && part.note.validator.is_none()
        {
            // Nothing would tell that the rest belongs to it.
            part.begin_anew(out);
        }
        let url = approach.url();
        let (host, path) = (url.host_line(), if url.path.is_empty() { "/" } else { &url.path });
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\n\
             Accept: */*\r\nAccept-Encoding: identity\r\n"
        );
        if let Some((from, validator)) = self.resumes_from() {
            request += &format!("Range: bytes={from}-\r\nIf-Range: {validator}\r\n");
        }
        out.send(conn, (request + "\r\n").as_bytes());
        self.incoming = Some(Incoming::default());
    }

    fn resumes_from(&self) -> Option<(u64, &str)> {
        let part = self.part.as_ref().filter(|part| part.received > 0)?;
        Some((part.received, part.note.validator.as_deref()?))
    }

    pub(super) fn got_closed(
        &mut self,
        why: Closed,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Some(approach) = &mut self.approach else { return Ok(()) };
        if approach.connected_to().is_none() {
            let Err(line) = approach.got_closed(why, now, out) else { return Ok(()) };
            self.approach = None;
            if let Closed::Untrusted(_) = why {
                return Err(self.network(&line));
            }
            return self.failed(line, None, now, out);
        }
        self.approach = None;
        let ended = self.incoming.take().map(|mut incoming| incoming.ended());
        let trouble = match ended {
            Some(Ok(())) => self.got_end(out),
            Some(Err(why)) => Err(Trouble::Later(why.to_owned(), None)),
            None => Err(Trouble::Later("the connection ended".to_owned(), None)),
        };
        self.over(trouble, now, out)
    }

    pub(super) fn got_bytes(
        &mut self,
        mut bytes: &[u8],
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        self.due = now + PATIENCE;
        let conn = self.conn();
        while let Some(incoming) = &mut self.incoming {
            let done = match incoming.next(&mut bytes) {
                Ok(None) => return Ok(()),
                Ok(Some(Came::Head(head))) => self.got_head(&head, now, out),
                Ok(Some(Came::Bytes(body))) => self.got_body(body, now, out),
                Ok(Some(Came::End)) => self.got_end(out),
                Err(why) => Err(Trouble::Later(why.to_owned(), None)),
            };
            let failed = done.is_err();
            self.over(done, now, out)?;
            if failed || self.conn() != conn {
                // We left in the middle of the answer: its rest is for nobody.
                return Ok(());
            }
        }
        Ok(())
    }

    fn over(
        &mut self,
        done: Result<(), Trouble>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        match done {
            Ok(()) => Ok(()),
            Err(Trouble::Later(why, wait)) => self.failed(why, wait, now, out),
            Err(Trouble::Never(fatal)) => Err(fatal),
        }
    }

    fn got_head(&mut self, head: &Head, now: Time, out: &mut Outbox) -> Result<(), Trouble> {
        if let (301 | 302 | 303 | 307 | 308, Some(to)) = (head.status, &head.location) {
            return self.go_on(to, out);
        }
        match head.status {
            200 | 206 if head.coding != Coding::Plain => {
                Err(Trouble::Never(self.network("it packs what it sends; fetch it otherwise")))
            }
            206 => self.part_comes(head, out),
            200 if !head.framed => {
                let why = "it does not say where the file ends; fetch it otherwise";
                Err(Trouble::Never(self.network(why)))
            }
            200 if self.existing.is_some() => self.compare(head, now, out),
            200 => self.whole_comes(head, out),
            416 => {
                self.begin_anew("it has less of the file than came before", out)?;
                Err(Trouble::Later("the file changed there".to_owned(), None))
            }
            status => Err(self.status(status, head.retry_after_s)),
        }
    }

    fn status(&self, status: u16, retry_after_s: Option<u64>) -> Trouble {
        let shown = &self.shown;
        let line = |what: &str| format!("origin {shown}: HTTP status {status}, {what}");
        let never = |ending, line| Trouble::Never(Fatal { ending, line });
        match status {
            408 | 425 | 429 | 500..=599 => {
                let wait = retry_after_s.map(|s| Span::secs(s.clamp(1, RETRY_AFTER_MAX_S)));
                Trouble::Later(format!("HTTP status {status}"), wait)
            }
            404 | 410 => never(Ending::NotFound, line("there is no such file; is the URL right?")),
            401 | 402 | 403 | 407 | 451 => {
                let advice = "it may not be had so; give a URL that carries the right to it, or \
                              fetch it otherwise and use --file";
                never(Ending::Refused, line(advice))
            }
            _ => never(Ending::Network, line("not what a file is answered with")),
        }
    }

    /// A file stands at its place: is it the one of the origin?
    fn compare(&mut self, head: &Head, now: Time, out: &mut Outbox) -> Result<(), Trouble> {
        let Some(meta) = self.existing.take() else { return Ok(()) };
        self.gives_ranges = head.gives_ranges;
        self.hang_up(out);
        let modified = head.modified.as_deref().and_then(date::read);
        // Fetched before it was changed there, it is not what is there now.
        let is_newer = modified.is_some_and(|s| i128::from(s) * 1_000_000_000 > meta.mtime_ns);
        if head.len == Some(meta.size) && !is_newer {
            self.there_already = true;
            self.due = now;
            let place = show(&self.target);
            let line = format!("{place} is there already, of the size that it has at the origin");
            out.tell(Event::info("fetched", line).text("url", self.shown.clone()));
            return Ok(());
        }
        if !self.plan.overwrite {
            return Err(Trouble::Never(self.different("exists and differs from the origin's")));
        }
        self.due = Time::NEVER;
        let opened = self.open(ground::Step::Open, out);
        opened.map(|_| ()).map_err(Trouble::Never)
    }

    /// The file comes from its beginning.
    fn whole_comes(&mut self, head: &Head, out: &mut Outbox) -> Result<(), Trouble> {
        if self.part.as_ref().is_some_and(|part| part.received > 0) {
            self.begin_anew("it gives no parts, or the file changed there", out)?;
        }
        self.gives_ranges = head.gives_ranges;
        let Some(part) = &mut self.part else { return Ok(()) };
        part.note = Note {
            url: std::mem::take(&mut part.note.url),
            validator: validator(head),
            size: head.len,
            gives_ranges: head.gives_ranges,
        };
        self.say_fetching(out);
        self.ask_space(out);
        Ok(())
    }

    /// The rest of the file comes.
    fn part_comes(&mut self, head: &Head, out: &mut Outbox) -> Result<(), Trouble> {
        let Some((from, validator)) = self.resumes_from() else {
            return Err(Trouble::Never(self.network("it sends a part that nobody asked for")));
        };
        let Some((first, last, whole)) = head.range.filter(|(first, ..)| *first == from) else {
            return Err(Trouble::Never(self.network("it sends another part than was asked for")));
        };
        let mark = if validator.starts_with('"') { &head.etag } else { &head.modified };
        let other = mark.as_deref().is_some_and(|mark| mark != validator);
        let Some(part) = &mut self.part else { return Ok(()) };
        // Without a length nothing tells the end of the file from that of a part.
        let Some(size) = part.note.size.or(whole) else {
            self.begin_anew("it does not say how long the file is", out)?;
            return Err(Trouble::Later("it does not say how long the file is".to_owned(), None));
        };
        let fits = whole.is_none_or(|whole| whole == size)
            && last < size
            && head.len.is_none_or(|len| len == last - first + 1);
        if other || !fits {
            self.begin_anew("the file changed there", out)?;
            return Err(Trouble::Later("the file changed there".to_owned(), None));
        }
        (part.note.size, part.note.gives_ranges) = (Some(size), true);
        self.gives_ranges = true;
        self.say_fetching(out);
        self.ask_space(out);
        Ok(())
    }

    fn say_fetching(&mut self, out: &mut Outbox) {
        let Some(part) = self.part.as_ref().filter(|_| !self.told) else { return };
        let name = foreign_bytes(&self.plan.name);
        let size = part.note.size.map_or("size unknown".to_owned(), bytes_text);
        let line = format!("fetching {name} ({size}) from {}", self.shown);
        let event = Event::info("fetching", line).text("url", self.shown.clone());
        out.tell(event.number("size", part.note.size.unwrap_or(0)));
        self.told = true;
    }

    /// A redirection: the file is asked for there.
    fn go_on(&mut self, to: &str, out: &mut Outbox) -> Result<(), Trouble> {
        self.incoming = None;
        let Some(approach) = &mut self.approach else { return Ok(()) };
        match approach.redirected(to, out) {
            Ok(next) => self.approach = Some(next),
            Err(why) => return Err(Trouble::Never(self.refused(&why))),
        }
        Ok(())
    }

    fn got_body(&mut self, body: &[u8], now: Time, out: &mut Outbox) -> Result<(), Trouble> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let after = part.received + body.len() as u64;
        if part.note.size.is_some_and(|size| after > size) {
            self.begin_anew("it sends more than it said", out)?;
            return Err(Trouble::Later("it sends more than it said".to_owned(), None));
        }
        part.take(body, now, out);
        part.tick(now, out);
        self.meter.add(now, body.len() as u64);
        if after > self.best {
            (self.best, self.alive, self.failures) = (after, now, 0);
        }
        let crowded = part.is_crowded();
        if let Some(conn) = self.conn().filter(|_| crowded && !self.paused) {
            self.paused = true;
            out.reading(conn, false);
        }
        Ok(())
    }

    fn got_end(&mut self, out: &mut Outbox) -> Result<(), Trouble> {
        let Some(part) = &mut self.part else { return Ok(()) };
        part.note.size.get_or_insert(part.received);
        self.hang_up(out);
        if !self.is_whole() {
            return Err(Trouble::Later("it sends less than was asked for".to_owned(), None));
        }
        self.due = Time::NEVER;
        self.finish_if_whole(out);
        Ok(())
    }

    /// What came belongs to another file than what comes.
    fn begin_anew(&mut self, why: &str, out: &mut Outbox) -> Result<(), Trouble> {
        self.begun_anew += 1;
        if self.begun_anew > ANEW_MAX {
            let line = format!("{why}, again and again; try when it is at rest");
            return Err(Trouble::Never(self.network(&line)));
        }
        if let Some(part) = &mut self.part {
            part.begin_anew(out);
        }
        let line = format!("origin {}: {why}; beginning anew", self.shown);
        out.tell(Event::warning("origin_anew", line).text("url", self.shown.clone()));
        Ok(())
    }

    /// It did not work this time.
    pub(super) fn failed(
        &mut self,
        why: String,
        wait: Option<Span>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        self.hang_up(out);
        let rest = Span::secs((1 << self.failures.min(6)).min(REST_MAX_S));
        self.failures = self.failures.saturating_add(1);
        let (wait, last) = (wait.unwrap_or(rest), self.alive + self.patience());
        let shown = &self.shown;
        if now + wait >= last {
            let line = format!(
                "origin {shown}: nothing came for {}: {why}; what came is kept, run the same \
                 command to go on",
                self.patience()
            );
            return Err(Fatal { ending: Ending::NoSource, line });
        }
        self.due = now + wait;
        let line = format!("origin {shown}: {why}; next try in {} s", wait.as_secs());
        out.tell(Event::info("origin_failed", line).text("url", shown.clone()));
        Ok(())
    }

    fn network(&self, why: &str) -> Fatal {
        Fatal { ending: Ending::Network, line: format!("origin {}: {why}", self.shown) }
    }
}

/// What `If-Range` may say of this answer: a strong tag, or a date that no later change has, too
/// (RFC 9110, 8.8.2.2).
fn validator(head: &Head) -> Option<String> {
    let strong = head.etag.clone().filter(|tag| tag.len() >= 2 && tag.starts_with('"'));
    strong.or_else(|| {
        let (said, now) = (head.modified.as_deref()?, head.date.as_deref()?);
        let settled = date::read(said)? < date::read(now)?;
        settled.then(|| said.to_owned())
    })
}
