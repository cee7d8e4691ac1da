//! Every datagram as a line: when, which way, the other side, its bytes and what they say. Asked
//! for with `--trace`; nothing here runs without it.

use super::clock::Clock;
use super::datagrams::Datagram;
use super::plan::TrackerPlan;
use crate::core::io::{Effect, Outbox};
use crate::core::report::Event;
use crate::core::time::Time;
use crate::wire::meaning::{self, Meaning};
use std::fmt;
use std::net::SocketAddr;

/// One datagram that came, and what leaves for it.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    time: TimeOfDay,
    /// Wishes from this one on were stated since.
    first: usize,
}

impl Trace {
    /// Tells of a datagram that came.
    pub fn came(now: Time, plan: &TrackerPlan, news: Datagram<'_>, out: &mut Outbox) -> Trace {
        let unix_s = Clock::new(plan.wall_start_s).unix_s(now);
        let time = TimeOfDay { unix_s, ms: now.0 / 1_000_000 % 1000 };
        let bytes = news.bytes;
        out.tell(line(time, "<-", news.from, bytes.len(), meaning::request(bytes)));
        Trace { time, first: out.effects.len() }
    }

    /// Tells of the datagrams that leave since.
    pub fn left(self, out: &mut Outbox) {
        let late = out.effects.get(self.first..).unwrap_or_default();
        let told = late.iter().filter_map(|effect| match effect {
            Effect::Datagram { to, start, len, .. } => {
                let bytes = out.bytes(*start, *len);
                let said = meaning::answer(bytes, to.ip().to_canonical().is_ipv6());
                Some(line(self.time, "->", *to, bytes.len(), said))
            }
            _ => None,
        });
        let told: Vec<Event> = told.collect();
        told.into_iter().for_each(|event| out.tell(event));
    }
}

fn line(time: TimeOfDay, way: &'static str, other: SocketAddr, len: usize, said: Meaning) -> Event {
    let Meaning { hex, text } = said;
    let line = format!("{time} {way} {other} {len} bytes {hex} {text}");
    Event::info("datagram", line)
        .text("way", if way == "<-" { "in" } else { "out" })
        .text("addr", other.to_string())
        .number("bytes", len as u64)
        .text("hex", hex)
        .text("meaning", text)
}

/// `13:27:05.123`, UTC. The second is the one the tracker goes by, the rest is told apart by its
/// start.
#[derive(Clone, Copy, Debug)]
struct TimeOfDay {
    unix_s: u64,
    ms: u64,
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unix_s, ms) = (self.unix_s, self.ms);
        let (hours, minutes, seconds) = (unix_s / 3600 % 24, unix_s / 60 % 60, unix_s % 60);
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}.{ms:03}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::Span;
    use crate::sim::{NodeEnv, plans};
    use crate::wire::udp::{Request, Response};

    #[test]
    fn both_ways_are_one_line_each() {
        let wall_start_s = 1_767_225_600 + 3725;
        let env = NodeEnv { ip: [127, 0, 0, 1].into(), life: 1, seed: 1, wall_start_s };
        let plan = TrackerPlan { trace: true, ..plans::tracker(env) };
        let now = Time::ZERO + Span::ms(2007);
        let other: SocketAddr = "1.2.3.4:5".parse().unwrap();
        let mut asked = Vec::new();
        Request::Connect { tid: 7 }.encode(&mut asked);
        let mut answer = Vec::new();
        Response::Connect { tid: 7, cid: 8 }.encode(false, &mut answer);
        let mut out = Outbox::default();
        out.datagram(other, other.ip(), b"an earlier one");
        let news = Datagram { from: other, to: other.ip(), bytes: &asked };
        let trace = Trace::came(now, &plan, news, &mut out);
        out.datagram(other, other.ip(), &answer);
        trace.left(&mut out);
        let told = out.effects.iter().filter_map(|effect| match effect {
            Effect::Tell(event) => Some((event.kind, event.line.as_str())),
            _ => None,
        });
        let came = format!(
            "01:02:07.007 <- {other} 16 bytes 00000417271019800000000000000007 \
             connect, tid 00000007"
        );
        let left = format!(
            "01:02:07.007 -> {other} 16 bytes 00000000000000070000000000000008 \
             connect, tid 00000007, cid 0000000000000008"
        );
        let expected = [("datagram", came.as_str()), ("datagram", left.as_str())];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}
