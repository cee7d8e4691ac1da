//! The resolver against scripted name servers: bytes in and out through the outbox.

use crate::announce::name_files::NameFiles;
use crate::announce::resolver::{Found, Resolver};
use crate::core::io::{Effect, FileDone, FileError, FileOp, Outbox};
use crate::core::rng::Rng;
use crate::core::time::{Span, Time};
use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use std::net::SocketAddr;

/// One question as a server sees it.
struct Asked {
    server: SocketAddr,
    name: String,
    ipv6: bool,
    bytes: Vec<u8>,
}

impl Asked {
    fn packet(&self) -> Packet<'_> {
        let mut packet = Packet::parse(&self.bytes).unwrap().into_reply();
        packet.set_flags(PacketFlag::RESPONSE);
        packet
    }

    /// An answer with an address, or none.
    fn answer(&self, address: Option<u32>, ttl_s: u32) -> Vec<u8> {
        let mut packet = self.packet();
        let name = packet.questions[0].qname.clone();
        packet.answers.extend(address.map(|address| {
            let data = match self.ipv6 {
                true => RData::AAAA(AAAA { address: address.into() }),
                false => RData::A(A { address }),
            };
            ResourceRecord::new(name, CLASS::IN, ttl_s, data)
        }));
        packet.build_bytes_vec().unwrap()
    }

    fn refusal(&self, code: RCODE) -> Vec<u8> {
        let mut packet = self.packet();
        *packet.rcode_mut() = code;
        packet.build_bytes_vec().unwrap()
    }
}

struct World {
    resolver: Resolver,
    now: Time,
    out: Outbox,
    hosts: &'static str,
    servers: Option<&'static str>,
}

impl World {
    fn new(hosts: &'static str, servers: Option<&'static str>) -> World {
        let resolver = Resolver::new(NameFiles::default(), Rng::new(5));
        World { resolver, now: Time::ZERO, out: Outbox::default(), hosts, servers }
    }

    fn look_up(&mut self, host: &str) -> Vec<Asked> {
        self.resolver.look_up(host, self.now, &mut self.out);
        self.turn()
    }

    /// Lets files be read and time pass; the questions that left.
    fn turn(&mut self) -> Vec<Asked> {
        let mut asked = Vec::new();
        loop {
            self.resolver.poll(self.now, &mut self.out);
            let sent = std::mem::take(&mut self.out);
            if sent.effects.is_empty() {
                return asked;
            }
            for effect in &sent.effects {
                match effect {
                    Effect::Datagram { to, start, len, .. } => {
                        let bytes = sent.bytes(*start, *len).to_vec();
                        let packet = Packet::parse(&bytes).unwrap();
                        let name = packet.questions[0].qname.to_string();
                        let ipv6 = packet.questions[0].qtype == QTYPE::TYPE(TYPE::AAAA);
                        asked.push(Asked { server: *to, name, ipv6, bytes });
                    }
                    Effect::File { ticket, op: FileOp::Load { path, .. } } => {
                        let text = match path.ends_with("hosts") {
                            true => Ok(self.hosts.into()),
                            false => self.servers.map(Into::into).ok_or(FileError::NotFound),
                        };
                        let (done, out) = (FileDone::Loaded(text), &mut self.out);
                        assert!(self.resolver.got_file(*ticket, done, self.now, out).is_none());
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn passes(&mut self, span: Span) -> Vec<Asked> {
        self.now = self.now + span;
        self.turn()
    }

    fn hears(&mut self, from: SocketAddr, bytes: &[u8]) -> bool {
        let ours = self.resolver.got_datagram(from, bytes, self.now);
        self.resolver.poll(self.now, &mut self.out);
        ours
    }

    /// Addresses as text, or the error.
    fn found(&mut self) -> Vec<String> {
        let found = self.resolver.take_found();
        let text = |Found { host, addresses }| match addresses {
            Ok(all) => format!("{host} {all:?}"),
            Err(why) => format!("{host}: {why}"),
        };
        found.into_iter().map(text).collect()
    }
}

#[test]
fn a_name_is_found_in_the_file_of_hosts_first() {
    let mut world = World::new("10.0.0.7 box\n::1 box\n", None);
    assert!(world.look_up("BOX").is_empty());
    assert_eq!(world.found(), ["BOX [10.0.0.7, ::1]"]);
    for (known, is) in [("10.0.0.1", "[10.0.0.1]"), ("localhost", "[127.0.0.1, ::1]")] {
        assert!(world.look_up(known).is_empty());
        assert_eq!(world.found(), [format!("{known} {is}")]);
    }
}

#[test]
fn both_kinds_of_address_are_asked_for_and_kept_while_they_hold() {
    let mut world = World::new("", Some("nameserver 10.0.0.53"));
    let asked = world.look_up("t.example");
    let shown = |one: &Asked| (one.server.to_string(), one.name.clone(), one.ipv6);
    let server = || "10.0.0.53:53".to_owned();
    let expected = [(server(), "t.example".into(), false), (server(), "t.example".into(), true)];
    assert_eq!(asked.iter().map(shown).collect::<Vec<_>>(), expected);
    assert!(world.hears(asked[1].server, &asked[1].answer(Some(1), 9)));
    assert!(world.found().is_empty(), "IPv4 may follow");
    assert!(world.hears(asked[0].server, &asked[0].answer(Some(0x0a000001), 600)));
    assert_eq!(world.found(), ["t.example [10.0.0.1, ::1]"]);
    // Nine seconds are made thirty.
    world.now = world.now + Span::secs(29);
    assert!(world.look_up("t.example").is_empty());
    assert_eq!(world.found().len(), 1);
    world.now = world.now + Span::secs(2);
    assert_eq!(world.look_up("t.example").len(), 2, "asked anew");
    // Two who ask at once hear of it once.
    assert!(world.look_up("t.example").is_empty());
}

#[test]
fn one_kind_alone_is_enough_after_a_moment() {
    let mut world = World::new("", Some("nameserver 10.0.0.53"));
    let asked = world.look_up("t.example");
    assert!(world.hears(asked[0].server, &asked[0].answer(Some(0x0a000001), 600)));
    assert!(world.found().is_empty());
    assert!(world.passes(Span::ms(300)).is_empty());
    assert_eq!(world.found(), ["t.example [10.0.0.1]"]);
}

#[test]
fn a_server_that_is_silent_or_fails_gives_way_to_the_next() {
    let mut world = World::new("", Some("nameserver 10.0.0.53\nnameserver 10.0.0.54"));
    let first = world.look_up("t.example");
    let second = world.passes(Span::secs(2));
    assert_eq!(second[0].server.to_string(), "10.0.0.54:53");
    // What is late is an answer to a question that is not asked any more.
    assert!(!world.hears(first[0].server, &first[0].answer(Some(1), 60)));
    for asked in &second {
        assert!(world.hears(asked.server, &asked.refusal(RCODE::ServerFailure)));
    }
    let third = world.turn();
    assert_eq!(third[0].server.to_string(), "10.0.0.53:53", "asked when the failure came");
    world.passes(Span::secs(2));
    world.passes(Span::secs(2));
    assert!(world.passes(Span::secs(2)).is_empty());
    assert_eq!(world.found(), ["t.example: no name server answers"]);
    // Whoever asks again soon is told the same without asking.
    assert!(world.look_up("t.example").is_empty());
    assert_eq!(world.found().len(), 1);
}

#[test]
fn a_failure_for_one_kind_of_address_leaves_the_question_for_the_other() {
    let mut world = World::new("", Some("nameserver 10.0.0.53\nnameserver 10.0.0.54"));
    let asked = world.look_up("t.example");
    assert!(world.hears(asked[1].server, &asked[1].refusal(RCODE::ServerFailure)));
    assert!(world.turn().is_empty(), "IPv4 may follow");
    assert!(world.hears(asked[0].server, &asked[0].answer(Some(0x0a000001), 600)));
    assert_eq!(world.found(), ["t.example [10.0.0.1]"]);
    // Without an address of the other kind, the next server is asked for what failed alone.
    let asked = world.look_up("u.example");
    assert!(world.hears(asked[1].server, &asked[1].refusal(RCODE::ServerFailure)));
    assert!(world.hears(asked[0].server, &asked[0].answer(None, 600)));
    let next = world.turn();
    assert!(next.len() == 1 && next[0].ipv6 && next[0].server.to_string() == "10.0.0.54:53");
    assert!(world.hears(next[0].server, &next[0].answer(Some(1), 600)));
    assert_eq!(world.found(), ["u.example [::1]"]);
    // Who says no more than that is given up when its time is over.
    let asked = world.look_up("v.example");
    assert!(world.hears(asked[0].server, &asked[0].refusal(RCODE::ServerFailure)));
    assert_eq!(world.passes(Span::secs(2)).len(), 2);
}

#[test]
fn answers_of_others_and_to_other_questions_are_not_taken() {
    let mut world = World::new("", Some("nameserver 10.0.0.53"));
    let asked = world.look_up("t.example");
    let good = asked[0].answer(Some(0x0a000001), 60);
    assert!(!world.hears("10.0.0.66:53".parse().unwrap(), &good));
    assert!(!world.hears("10.0.0.53:5353".parse().unwrap(), &good));
    let mut other_id = good.clone();
    other_id[0] ^= 1;
    assert!(!world.hears(asked[0].server, &other_id));
    let mut other_name = good.clone();
    other_name[13] ^= 1;
    assert!(!world.hears(asked[0].server, &other_name));
    assert!(world.found().is_empty());
    assert!(world.hears(asked[0].server, &good));
    assert!(!world.hears(asked[0].server, &good), "once");
}

#[test]
fn a_name_that_nobody_knows_is_tried_with_each_domain() {
    let mut world = World::new("", Some("nameserver 10.0.0.53\nsearch lan"));
    let asked = world.look_up("box");
    assert_eq!(asked[0].name, "box.lan");
    for one in &asked {
        assert!(world.hears(one.server, &one.refusal(RCODE::NameError)));
    }
    let again = world.turn();
    for one in &again {
        assert_eq!(one.name, "box");
        assert!(world.hears(one.server, &one.refusal(RCODE::NameError)));
    }
    assert_eq!(world.found(), ["box: there is no such host"]);
    let asked = world.look_up("empty.example");
    for one in &asked {
        assert!(world.hears(one.server, &one.answer(None, 0)));
    }
    assert_eq!(world.found(), ["empty.example: it has no address"]);
}

#[test]
fn names_on_the_way_and_names_kept_are_bounded() {
    let mut world = World::new("", None);
    for n in 0..100 {
        world.resolver.look_up(&format!("h{n}.example"), world.now, &mut world.out);
    }
    assert_eq!(world.found().len(), 36);
    let asked = world.turn();
    assert_eq!((asked.len(), asked[0].server.to_string()), (128, "127.0.0.1:53".to_owned()));
    for n in 0..1000 {
        let host = format!("k{n}.example");
        let asked = world.look_up(&host);
        asked.iter().for_each(|one| {
            world.hears(one.server, &one.answer(Some(n), 1200));
        });
        world.passes(Span::secs(2));
    }
    assert!(format!("{:?}", world.resolver).matches("until:").count() <= 256);
}
