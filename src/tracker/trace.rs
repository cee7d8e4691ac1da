//! Every datagram as a line: when, which way, the other side, its bytes and what they say. Asked for
//! with `--trace`; nothing here runs without it.

use super::clock::Clock;
use crate::core::io::{Effect, Outbox};
use crate::core::report::Event;
use crate::core::time::Time;
use crate::wire::meaning::{self, Meaning};
use std::net::SocketAddr;

/// The line of a datagram that came.
pub fn came(now: Time, clock: Clock, from: SocketAddr, bytes: &[u8]) -> Event {
    line(now, clock, "<-", from, bytes.len(), meaning::request(bytes))
}

/// Tells of the datagrams among the wishes from the `first` one on.
pub fn left(now: Time, clock: Clock, first: usize, out: &mut Outbox) {
    let late = out.effects.get(first..).unwrap_or_default();
    let told = late.iter().filter_map(|effect| match effect {
        Effect::Datagram { to, start, len, .. } => {
            let bytes = out.bytes(*start, *len);
            let said = meaning::answer(bytes, to.ip().to_canonical().is_ipv6());
            Some(line(now, clock, "->", *to, bytes.len(), said))
        }
        _ => None,
    });
    let told: Vec<Event> = told.collect();
    told.into_iter().for_each(|event| out.tell(event));
}

fn line(
    now: Time,
    clock: Clock,
    way: &'static str,
    other: SocketAddr,
    len: usize,
    said: Meaning,
) -> Event {
    let Meaning { hex, text } = said;
    let time = time_of_day(clock.unix_s(now), now);
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
fn time_of_day(unix_s: u64, now: Time) -> String {
    let (hours, minutes, seconds) = (unix_s / 3600 % 24, unix_s / 60 % 60, unix_s % 60);
    let ms = now.0 / 1_000_000 % 1000;
    format!("{hours:02}:{minutes:02}:{seconds:02}.{ms:03}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::Span;
    use crate::wire::udp::{Request, Response};

    #[test]
    fn both_ways_are_one_line_each() {
        let (clock, now) = (Clock::new(1_767_225_600 + 3725), Time::ZERO + Span::ms(2007));
        let other: SocketAddr = "1.2.3.4:5".parse().unwrap();
        let mut bytes = Vec::new();
        Request::Connect { tid: 7 }.encode(&mut bytes);
        let told = came(now, clock, other, &bytes);
        let hex = "00000417271019800000000000000007";
        let line = format!("01:02:07.007 <- {other} 16 bytes {hex} connect, tid 00000007");
        assert_eq!((told.kind, told.line), ("datagram", line));
        let mut out = Outbox::default();
        out.datagram(other, other.ip(), b"an earlier one");
        let first = out.effects.len();
        let mut bytes = Vec::new();
        Response::Connect { tid: 7, cid: 8 }.encode(false, &mut bytes);
        out.datagram(other, other.ip(), &bytes);
        left(now, clock, first, &mut out);
        let told = out.effects.iter().filter_map(|effect| match effect {
            Effect::Tell(event) => Some(event.line.as_str()),
            _ => None,
        });
        let line = format!(
            "01:02:07.007 -> {other} 16 bytes 00000000000000070000000000000008 \
             connect, tid 00000007, cid 0000000000000008"
        );
        assert_eq!(told.collect::<Vec<_>>(), [line]);
    }
}
