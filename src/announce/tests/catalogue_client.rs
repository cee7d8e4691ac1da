//! The client of the catalogue, against bytes of a scripted tracker in any cutting.

use super::{at, tracker};
use crate::announce::catalogue::{self, CatalogueClient};
use crate::announce::control;
use crate::core::id::InfoHash;
use crate::core::io::{Closed, Effect, Outbox};
use crate::core::time::Time;
use crate::wire::catalogue::answer::{Answer, Refused, Stat};
use crate::wire::catalogue::frame::{FrameLimits, FrameReader};
use crate::wire::catalogue::hello::{Hello, HelloReply, NodeKey};
use crate::wire::catalogue::request::{Request as Asked, What};
use crate::wire::control::Status;

/// The other end of a catalogue client: what it was sent, and the bytes for it.
struct Catalogue {
    client: CatalogueClient,
    out: Outbox,
    reader: FrameReader,
    hello: Option<Hello>,
}

impl Catalogue {
    fn dialled() -> Catalogue {
        let ready = control::Ready {
            ticket: [3; 24],
            nonce: [4; 8],
            until: at(20_000),
            catalogue: tracker(),
            caps: 0,
            generation: 1,
            names: 1,
            max_frame: 1 << 20,
            max_page: 10,
            age_s: None,
        };
        let mut out = Outbox::default();
        let key = Some(NodeKey([5; 32]));
        let client = CatalogueClient::dial(at(0), &ready, key, &mut out);
        let dialled = out.effects.remove(0);
        assert!(matches!(dialled, Effect::Dial { to, conn, .. }
            if to == tracker() && conn == client.conn()));
        Catalogue { client, out, reader: FrameReader::new(FrameLimits::TRACKER), hello: None }
    }

    /// Connected, the hello taken.
    fn open() -> Catalogue {
        let mut catalogue = Catalogue::dialled();
        catalogue.client.got_connected(at(0), &mut catalogue.out);
        assert!(catalogue.requests().is_empty());
        assert_eq!(catalogue.hello.as_ref().unwrap().node_key, Some(NodeKey([5; 32])));
        let heard = catalogue.tell(&reply(1, Status::Ready));
        assert_eq!(heard, [catalogue::Heard::Opened { generation: 9, time_s: 10 }]);
        catalogue
    }

    fn tell(&mut self, bytes: &[u8]) -> Vec<catalogue::Heard> {
        self.client.got_bytes(at(0), bytes, &mut self.out)
    }

    /// What the client sent since last looked: (stream, request).
    fn requests(&mut self) -> Vec<(u16, Asked)> {
        let mut bytes = Vec::new();
        for effect in std::mem::take(&mut self.out.effects) {
            match effect {
                Effect::Send { chunk: crate::core::chunk::Chunk::Head(head), .. } => {
                    bytes.extend_from_slice(head.bytes());
                }
                Effect::Send { chunk: crate::core::chunk::Chunk::Arena { start, len }, .. } => {
                    bytes.extend_from_slice(self.out.bytes(start, len));
                }
                other => panic!("{other:?}"),
            }
        }
        let mut rest = &bytes[..];
        if self.hello.is_none() && !rest.is_empty() {
            let (hello, len) = Hello::decode(rest).unwrap().unwrap();
            self.hello = Some(hello);
            rest = &rest[len..];
        }
        let mut requests = Vec::new();
        while let Some(message) = self.reader.next(&mut rest).unwrap() {
            requests.push((message.stream, Asked::decode(&message).unwrap()));
        }
        requests
    }

    fn is_closed(&self) -> bool {
        self.out.effects.iter().any(|effect| matches!(effect, Effect::Close { .. }))
    }
}

fn reply(version: u8, status: Status) -> Vec<u8> {
    let mut bytes = Vec::new();
    HelloReply { version, status, max_frame: 4096, generation: 9, time_s: 10 }.encode(&mut bytes);
    bytes
}

fn answer(stream: u16, answer: &Answer) -> Vec<u8> {
    let mut bytes = Vec::new();
    answer.encode(stream, 4096, &mut bytes);
    bytes
}

const STAT: Answer = Answer::Stat(Stat {
    names: 1,
    generation: 2,
    time_s: 3,
    seeders: 4,
    leechers: 5,
    not_saving: None,
});

#[test]
fn requests_wait_for_the_reply_and_are_answered_in_order_in_any_cutting() {
    let data = Answer::Data((0..20_000u32).map(|n| n as u8).collect());
    let no = Answer::Refused(Refused { code: 3, text: "no such name".into(), retry_s: None });
    for step in [1, 7, 4096, usize::MAX] {
        let mut catalogue = Catalogue::dialled();
        let fetch = Asked::Fetch { hash: InfoHash([1; 20]), what: What::V1Info, offset: 0 };
        let lookup = Asked::Lookup { names: vec!["big.zip".into()] };
        let asked = [Asked::Stat, Asked::Ping, fetch, lookup];
        for request in asked.clone() {
            catalogue.client.ask(at(0), request, &mut catalogue.out);
        }
        assert!(catalogue.requests().is_empty());
        catalogue.client.got_connected(at(0), &mut catalogue.out);
        assert!(catalogue.requests().is_empty(), "sent before the reply");

        catalogue.tell(&reply(1, Status::Ready));
        let requests = catalogue.requests();
        assert!(requests.iter().map(|(_, request)| request).eq(&asked));
        let answers = [STAT, Answer::Pong, data.clone(), no.clone()];
        let stream: Vec<u8> =
            requests.iter().zip(&answers).flat_map(|((s, _), a)| answer(*s, a)).collect();
        let heard: Vec<_> =
            stream.chunks(step.min(stream.len())).flat_map(|part| catalogue.tell(part)).collect();
        let want: Vec<_> = (0..4)
            .zip(answers)
            .map(|(number, answer)| catalogue::Heard::Answered { number, answer })
            .collect();
        assert_eq!(heard, want);
        assert!(catalogue.client.is_idle() && !catalogue.is_closed());
        assert_eq!(catalogue.client.deadline(), Time::NEVER);
    }
}

#[test]
fn no_more_than_32_requests_are_unanswered() {
    let mut catalogue = Catalogue::open();
    for _ in 0..40 {
        catalogue.client.ask(at(0), Asked::Stat, &mut catalogue.out);
    }
    let first = catalogue.requests();
    assert_eq!(first.len(), 32);
    catalogue.tell(&answer(first[0].0, &STAT));
    assert_eq!(catalogue.requests().len(), 1);
}

#[test]
fn a_hello_that_is_not_taken_ends_the_connection() {
    let cases = [
        (reply(0, Status::BadTicket), catalogue::Heard::Refused(Status::BadTicket)),
        (reply(2, Status::Ready), catalogue::Heard::Refused(Status::BadVersion)),
    ];
    for (bytes, want) in cases {
        let mut catalogue = Catalogue::dialled();
        catalogue.client.got_connected(at(0), &mut catalogue.out);
        let heard: Vec<_> = bytes.iter().flat_map(|byte| catalogue.tell(&[*byte])).collect();
        assert_eq!(heard, [want]);
        assert!(catalogue.is_closed());
        assert_eq!(catalogue.client.lost(Closed::ByUs), None);
    }
}

#[test]
fn answers_that_fit_nothing_break_the_connection_once() {
    let error = Answer::Refused(Refused { code: 7, text: "too large".into(), retry_s: None });
    let stray: [(&str, Vec<u8>); 7] = [
        ("unasked", [answer(1, &STAT), answer(1, &STAT)].concat()),
        ("other stream", answer(2, &STAT)),
        ("other type", answer(1, &Answer::Unpublished { generation: 1 })),
        ("connection error", answer(0, &error)),
        ("not bencode", vec![0, 0, 0, 5, 0x87, 1, 0, 1, b'x']),
        ("frame too long", vec![0xff; 8]),
        ("no catalogue", b"HTTP/1.1 400 Bad Request\r\n".to_vec()),
    ];
    for (what, bytes) in stray {
        let mut catalogue = Catalogue::open();
        catalogue.client.ask(at(0), Asked::Stat, &mut catalogue.out);
        catalogue.requests();
        let heard = catalogue.tell(&[bytes.clone(), bytes].concat());
        let broken = heard.iter().filter(|h| matches!(h, catalogue::Heard::Broken(_))).count();
        assert_eq!(broken, 1, "{what}: {heard:?}");
        assert_eq!(heard.len(), if what == "unasked" { 2 } else { 1 }, "{what}: {heard:?}");
        assert!(catalogue.is_closed(), "{what}");
    }
}

#[test]
fn a_silent_or_lost_catalogue_is_told_once() {
    let mut catalogue = Catalogue::dialled();
    assert_eq!(catalogue.client.poll(at(9_999), &mut catalogue.out), None);
    let heard = catalogue.client.poll(at(10_000), &mut catalogue.out);
    assert_eq!(heard, Some(catalogue::Heard::Silent));
    assert!(catalogue.is_closed());
    assert_eq!(catalogue.client.lost(Closed::ByUs), None);
    assert_eq!(catalogue.client.poll(at(50_000), &mut catalogue.out), None);

    let mut catalogue = Catalogue::open();
    assert_eq!(catalogue.client.poll(at(50_000), &mut catalogue.out), None, "idle is not silent");
    catalogue.client.ask(at(50_000), Asked::Stat, &mut catalogue.out);
    assert_eq!(catalogue.client.deadline(), at(60_000));
    let heard = catalogue.client.lost(Closed::Reset);
    assert_eq!(heard, Some(catalogue::Heard::Lost(Closed::Reset)));
    assert_eq!(catalogue.client.lost(Closed::Reset), None);
}
