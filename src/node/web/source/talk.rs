//! What is asked of the server of a web seed, and what becomes of its answers.

use super::{PATIENCE, RETRY_AFTER_MAX_S, Trouble, WebSource};
use crate::core::io::Outbox;
use crate::core::time::{Span, Time};
use crate::node::web::parts::{Cut, Segment};
use crate::swarm::Swarm;
use crate::wire::http::asking::AGENT;
use crate::wire::http::incoming::{Came, Coding, Head, Incoming};

impl WebSource {
    /// Asks for the next part of a file, if nothing is under way.
    pub(super) fn ask(&mut self, swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        if self.incoming.is_some() {
            return;
        }
        let Some(Segment::File { entry, first, len }) = self.next_part(swarm, now, out) else {
            return;
        };
        let url = self.url_of(entry);
        let Some(approach) = &self.approach else {
            // The server ended the connection when it had answered: there is another.
            self.due = self.due.min(now);
            return;
        };
        let (Some(_), Some(conn)) = (approach.connected_to(), approach.conn()) else { return };
        if approach.is_redirected() && entry != self.entry {
            // Where this file is, only its own URL leads to.
            self.hang_up(out);
            self.due = now;
            return;
        }
        self.entry = entry;
        let url = if approach.is_redirected() { approach.url() } else { &url };
        let (host, path) = (url.host_line(), if url.path.is_empty() { "/" } else { &url.path });
        let last = first + len.saturating_sub(1);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\n\
             Accept-Encoding: identity\r\nRange: bytes={first}-{last}\r\n\r\n"
        );
        out.send(conn, request.as_bytes());
        self.incoming = Some((Incoming::default(), true));
        self.due = now + PATIENCE;
    }

    /// The part of a file that is wanted next; the zeros before it are given to the swarm.
    fn next_part(&mut self, swarm: &mut Swarm, now: Time, out: &mut Outbox) -> Option<Segment> {
        const ZEROS: [u8; 4096] = [0; 4096];
        loop {
            let Some(run) = &mut self.parts.run else {
                if self.parts.is_idle() {
                    return None;
                }
                self.parts.begin_run(&self.content);
                continue;
            };
            let seat = self.seat.as_mut()?;
            match run.segment() {
                None => self.parts.run = None,
                Some(Segment::Zeros(mut left)) => {
                    run.part_ended();
                    while left > 0 {
                        let n = left.min(ZEROS.len() as u64);
                        let mut zeros = ZEROS.get(..n as usize).unwrap_or_default();
                        left -= n;
                        while let Some(cut) = run.cut(&mut zeros) {
                            match cut {
                                Cut::Head(head) => seat.say(&head, swarm, now, out),
                                Cut::Bytes(bytes) => seat.say(bytes, swarm, now, out),
                            }
                        }
                    }
                }
                part => return part,
            }
        }
    }

    /// Bytes of the connection to the server.
    pub fn got_bytes(&mut self, mut bytes: &[u8], swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        self.due = now + PATIENCE;
        let (conn, mut answered) = (self.conn(), false);
        while let Some((incoming, _)) = &mut self.incoming {
            let came = match incoming.next(&mut bytes) {
                Ok(None) => return,
                Ok(Some(came)) => came,
                Err(why) => {
                    return self.fail(Trouble::Later(why.to_owned(), None), swarm, now, out);
                }
            };
            answered |= matches!(came, Came::End);
            let done = match came {
                Came::Head(head) => self.got_head(&head, out),
                Came::Bytes(body) => self.got_body(body, swarm, now, out),
                Came::End => self.got_end(swarm, now, out),
            };
            if let Err(trouble) = done {
                return self.fail(trouble, swarm, now, out);
            }
            if self.conn() != conn {
                // We left in the middle of the answer: its rest is for nobody.
                return;
            }
        }
        if !bytes.is_empty() && answered {
            // More than it said would come: what follows could not be told from that.
            self.hang_up(out);
        } else if !bytes.is_empty() {
            let why = "it says what nobody asked".to_owned();
            self.fail(Trouble::Later(why, None), swarm, now, out);
        }
    }

    fn got_head(&mut self, head: &Head, out: &mut Outbox) -> Result<(), Trouble> {
        let never = |why: String| Err(Trouble::Never(why));
        if let (301 | 302 | 303 | 307 | 308, Some(to)) = (head.status, &head.location) {
            return self.go_on(to, out);
        }
        if let Some((_, keeps)) = &mut self.incoming {
            *keeps = head.keep_alive;
        }
        let whole_bytes = self.file_bytes();
        let Some(run) = &mut self.parts.run else { return Ok(()) };
        let Some(Segment::File { first: begin, len, .. }) = run.segment() else { return Ok(()) };
        match head.status {
            200 | 206 if head.coding != Coding::Plain => never("it packs what it sends".into()),
            206 => match head.range {
                Some((_, _, Some(whole))) if whole != whole_bytes => {
                    never(format!("its file has {whole} bytes in place of {whole_bytes}"))
                }
                Some((first, last, _)) if first == begin && last < begin + len => Ok(()),
                _ => never("it sends another part than was asked for".into()),
            },
            200 if head.len.is_some_and(|len| len != whole_bytes) => {
                never(format!("its file does not have {whole_bytes} bytes"))
            }
            200 if run.whole_file_comes() => Ok(()),
            200 => never("it does not give parts of files".into()),
            429 | 500..=599 => {
                let wait = head.retry_after_s.map(|s| Span::secs(s.clamp(1, RETRY_AFTER_MAX_S)));
                Err(Trouble::Later(format!("HTTP status {}", head.status), wait))
            }
            status => never(format!("HTTP status {status}")),
        }
    }

    /// A redirection: the part is asked for there.
    fn go_on(&mut self, to: &str, out: &mut Outbox) -> Result<(), Trouble> {
        self.incoming = None;
        let Some(approach) = &mut self.approach else { return Ok(()) };
        self.approach = Some(approach.redirected(to, out).map_err(Trouble::Never)?);
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
        let (Some(run), Some(seat)) = (&mut self.parts.run, &mut self.seat) else {
            return Ok(());
        };
        while let Some(cut) = run.next(&mut body) {
            match cut {
                Cut::Head(head) => seat.say(&head, swarm, now, out),
                Cut::Bytes(bytes) => {
                    self.given_bytes += bytes.len() as u64;
                    seat.say(bytes, swarm, now, out);
                }
            }
        }
        if run.is_part_done() && !body.is_empty() {
            // The rest of a whole file is not wanted.
            run.part_ended();
            (self.incoming, self.failures, self.unreached) = (None, 0, 0);
            self.hang_up(out);
            self.ask(swarm, now, out);
        }
        Ok(())
    }

    pub(super) fn got_end(
        &mut self,
        swarm: &mut Swarm,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Trouble> {
        let keeps = self.incoming.take().is_some_and(|(_, keeps)| keeps);
        if let Some(run) = &mut self.parts.run {
            if !run.is_part_done() {
                return Err(Trouble::Later("it sends less than was asked for".into(), None));
            }
            run.part_ended();
        }
        (self.failures, self.unreached, self.answered) = (0, 0, true);
        self.due = Time::NEVER;
        if !keeps {
            self.hang_up(out);
        }
        self.ask(swarm, now, out);
        Ok(())
    }
}
