//! The conversation over HTTP (BEP 3, 48): one connection for each question.

use super::{LEFT, NUM_WANT, Outcome, PORT, Step, say};
use crate::core::id::{ConnId, InfoHash, PeerId};
use crate::core::io::{Closed, Input, Outbox, Transport};
use crate::core::report::foreign;
use crate::core::time::{Span, Time};
use crate::wire::http::asking::{Announcing, Target, scrape_path};
use crate::wire::http::reply::{self, Collector, Reply, Said};
use crate::wire::udp::Event;
use std::net::SocketAddr;

/// Where the questions go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    pub tracker: SocketAddr,
    pub target: Target,
    pub transport: Transport,
}

#[derive(Debug)]
pub struct HttpTalk {
    asked: Asked,
    hash: InfoHash,
    id: PeerId,
    step: Step,
    /// The connection of this step.
    conn: Option<ConnId>,
    connected: bool,
    /// What came on it, and how many bytes that are.
    answer: Collector,
    came_bytes: usize,
    sent: Time,
    due: Time,
    /// An announce left and no `stopped` did.
    in_swarm: bool,
    outcome: Outcome,
}

impl HttpTalk {
    pub fn new(asked: Asked, hash: InfoHash, id: PeerId) -> HttpTalk {
        HttpTalk {
            asked,
            hash,
            id,
            step: Step::Connect,
            conn: None,
            connected: false,
            answer: Collector::default(),
            came_bytes: 0,
            sent: Time::ZERO,
            due: Time::NEVER,
            in_swarm: false,
            outcome: Outcome::default(),
        }
    }

    pub fn deadline(&self) -> Time {
        self.due
    }

    pub fn waiting(&self) -> String {
        match self.connected {
            true => format!("waiting for the answer to {}", self.step.name()),
            false => "waiting for the connection".to_owned(),
        }
    }

    /// Takes news; the outcome when nothing is left to ask.
    pub fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) -> Option<Outcome> {
        match input {
            Input::Born => {
                say::sent(Step::Connect, 0, 1, out);
                self.ask(Step::Announce, now, out);
                None
            }
            Input::Connected { conn, .. } if self.conn == Some(conn) => {
                self.got_connected(conn, now, out);
                None
            }
            Input::Bytes { conn, bytes } if self.conn == Some(conn) => {
                self.came_bytes += bytes.len();
                match self.answer.got(bytes) {
                    Ok(None) => None,
                    read => self.read(read.transpose()?, now, out),
                }
            }
            Input::Closed { conn, why } if self.conn == Some(conn) => {
                self.conn = None;
                match self.connected {
                    true => {
                        let read = self.answer.ended();
                        self.read(read, now, out)
                    }
                    false => {
                        let port = self.asked.tracker.port();
                        let refused = format!("nobody listens on TCP port {port}");
                        let why = match why {
                            Closed::Refused => refused,
                            Closed::Untrusted(fault) => {
                                format!("its certificate is not valid: {}", fault.reason())
                            }
                            _ => "no connection".to_owned(),
                        };
                        self.got_nothing(&why, now, out)
                    }
                }
            }
            _ if now >= self.due => {
                let what = if self.connected { "answer" } else { "connection" };
                let why = format!("no {what} in {} s", wait(self.step).as_secs());
                self.got_nothing(&why, now, out)
            }
            _ => None,
        }
    }

    /// Asks the last question there is, if an announce left; false = there is none to wait for.
    pub fn take_back(&mut self, now: Time, out: &mut Outbox) -> bool {
        if !self.in_swarm {
            return false;
        }
        self.outcome.failed = Some("interrupted".to_owned());
        self.ask(Step::Stopped, now, out);
        true
    }

    fn ask(&mut self, step: Step, now: Time, out: &mut Outbox) {
        self.close(out);
        (self.answer, self.came_bytes) = (Collector::default(), 0);
        (self.step, self.connected) = (step, false);
        (self.sent, self.due) = (now, now + wait(step));
        self.conn = Some(out.dial_by(self.asked.tracker, self.asked.transport.clone()));
    }

    fn close(&mut self, out: &mut Outbox) {
        if let Some(conn) = self.conn.take() {
            out.close(conn);
        }
    }

    fn got_connected(&mut self, conn: ConnId, now: Time, out: &mut Outbox) {
        self.connected = true;
        if self.step == Step::Announce {
            say::connected(now.since(self.sent), out);
        }
        match self.step {
            Step::Announce => self.in_swarm = true,
            Step::Stopped => self.in_swarm = false,
            _ => {}
        }
        self.sent = now;
        let request = self.request();
        out.send(conn, request.as_bytes());
        say::sent(self.step, request.len(), 1, out);
    }

    fn request(&self) -> String {
        let (event, num_want) = match self.step {
            Step::Stopped => (Event::Stopped, 0),
            _ => (Event::Started, NUM_WANT),
        };
        let announce = || {
            self.asked.target.announce(&Announcing {
                info_hash: self.hash,
                peer_id: self.id,
                port: PORT,
                uploaded: 0,
                downloaded: 0,
                left: LEFT,
                num_want,
                event,
                key: None,
                tracker_id: None,
            })
        };
        match self.step {
            Step::Scrape => self.asked.target.scrape(self.hash).unwrap_or_else(announce),
            _ => announce(),
        }
    }

    fn read(
        &mut self,
        read: Result<Reply, &'static str>,
        now: Time,
        out: &mut Outbox,
    ) -> Option<Outcome> {
        match read {
            Ok(reply) => {
                self.close(out);
                let took = now.since(self.sent);
                say::reply(self.step, reply.status, self.came_bytes, took, out);
                self.got_reply(&reply, now, out)
            }
            Err(why) => self.got_nothing(why, now, out),
        }
    }

    fn got_reply(&mut self, reply: &Reply, now: Time, out: &mut Outbox) -> Option<Outcome> {
        if let Some(to) = &reply.location {
            let why = format!("it sends us to {}; probe that URL", foreign(to));
            return self.got_nothing(&why, now, out);
        }
        let read = match self.step {
            Step::Scrape => reply::scraped(&reply.body, self.hash).map(|said| match said {
                Said::Answer(row) => {
                    say::scraped(row.as_ref(), out);
                    None
                }
                Said::Failure(text) => Some(text),
            }),
            _ => reply::announced(&reply.body).map(|said| match said {
                Said::Answer(said) => {
                    self.got_announced(said, out);
                    None
                }
                Said::Failure(text) => Some(text),
            }),
        };
        match read {
            Ok(None) => self.next(now, out),
            Ok(Some(text)) => {
                say::refused(self.step, &text, out);
                self.outcome.refused |= self.step == Step::Announce;
                self.next(now, out)
            }
            // A page for people says less than its status.
            Err(_) if reply.status != 200 => {
                let why = format!("HTTP status {}; is the path right?", reply.status);
                self.got_nothing(&why, now, out)
            }
            Err(why) => self.got_nothing(why, now, out),
        }
    }

    fn got_announced(&mut self, said: reply::Announced, out: &mut Outbox) {
        if self.step == Step::Stopped {
            return say::stopped(out);
        }
        if let Some(warning) = &said.warning {
            say::warned(warning, out);
        }
        let (leechers, seeders) = (said.incomplete, said.complete);
        say::announced(said.interval_s, leechers, seeders, said.peers.len() as u64, out);
        self.outcome.peers = said.peers;
    }

    /// There is no answer, or none that can be read.
    fn got_nothing(&mut self, why: &str, now: Time, out: &mut Outbox) -> Option<Outcome> {
        if self.step == Step::Announce {
            self.outcome.failed = Some(format!("no answer to announce: {why}"));
        } else {
            say::unanswered(self.step, why, out);
        }
        self.next(now, out)
    }

    /// Goes on after a step that is over.
    fn next(&mut self, now: Time, out: &mut Outbox) -> Option<Outcome> {
        let over = self.outcome.failed.is_some();
        let scrape = scrape_path(&self.asked.target.path).is_some();
        let next = match self.step {
            Step::Announce if self.in_swarm && !self.outcome.refused => Some(Step::Stopped),
            Step::Announce | Step::Stopped if !over && scrape => Some(Step::Scrape),
            _ => None,
        };
        match next {
            Some(step) => {
                self.ask(step, now, out);
                None
            }
            None => {
                self.close(out);
                self.due = Time::NEVER;
                Some(std::mem::take(&mut self.outcome))
            }
        }
    }
}

/// The whole wait for a question, its connection included.
fn wait(step: Step) -> Span {
    Span::ms(step.waits_ms().iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrape_takes_the_place_of_announce_where_there_is_one() {
        for (path, scrape) in [
            ("/announce", Some("/scrape")),
            ("/x/announce.php", Some("/x/scrape.php")),
            ("/announce/x", None),
            ("/x", None),
        ] {
            assert_eq!(scrape_path(path).as_deref(), scrape, "{path}");
        }
    }

    #[test]
    fn a_request_carries_the_query_of_the_url_and_all_fields() {
        let target =
            Target { host: "box:80".into(), path: "/a/announce".into(), query: "auth=x".into() };
        let tracker = "127.0.0.1:1".parse().unwrap();
        let asked = Asked { tracker, target, transport: Transport::Plain };
        let mut talk = HttpTalk::new(asked, InfoHash([0xab; 20]), PeerId([b'p'; 20]));
        let hash = "%AB".repeat(20);
        let id = "p".repeat(20);
        let tail = concat!(
            " HTTP/1.1\r\nHost: box:80\r\nUser-Agent: lmk/",
            env!("CARGO_PKG_VERSION"),
            "\r\nAccept-Encoding: gzip, deflate\r\nConnection: close\r\n\r\n"
        );
        talk.step = Step::Announce;
        let line = format!(
            "GET /a/announce?auth=x&info_hash={hash}&peer_id={id}&port=1&uploaded=0&downloaded=0\
             &left=1&compact=1&numwant=200&event=started{tail}"
        );
        assert_eq!(talk.request(), line);
        talk.step = Step::Scrape;
        assert_eq!(talk.request(), format!("GET /a/scrape?auth=x&info_hash={hash}{tail}"));
    }
}
