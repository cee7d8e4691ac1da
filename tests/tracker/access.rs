//! Who is let in: tokens over UDP and in the catalogue, lists, machines outside of private
//! networks, signed entries.

use super::catalogue::{bare, content, publish};
use super::world::{Client, Peer, T0, World, addr, plan};
use lmk::core::id::InfoHash;
use lmk::core::io::{
    Command, Effect, FileDone, FileError, FileKind, FileOp, Input, Listening, Meta,
};
use lmk::core::mark::expect_mark;
use lmk::core::report::Ending;
use lmk::core::time::Span;
use lmk::tracker::plan::AccessPlan;
use lmk::wire::catalogue::answer::Answer;
use lmk::wire::catalogue::code;
use lmk::wire::catalogue::frame::{FrameLimits, FrameReader};
use lmk::wire::catalogue::hello::{HelloReply, NodeKey, Owner};
use lmk::wire::catalogue::request::{List, Register, Request, Watch};
use lmk::wire::catalogue::signature::SecretKey;
use lmk::wire::control::{ControlRequest, ControlResponse, Op, Status};
use lmk::wire::token::{Bearer, Token, scope};
use lmk::wire::token_keys::TokenKeys;
use lmk::wire::udp::{self, Response};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

const KEYS: &str = "/state/token.keys";
const DENY: &str = "/deny";

/// A tracker whose files are a map.
struct Guarded {
    world: World,
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// Grows with every change of a file.
    changes: i128,
}

impl Guarded {
    fn new(access: AccessPlan, files: &[(&str, &[u8])]) -> Guarded {
        let world =
            World::unborn(lmk::tracker::plan::TrackerPlan { access, ..plan("0.0.0.0:6969") });
        let files = files.iter().map(|(path, bytes)| ((*path).into(), bytes.to_vec())).collect();
        let mut guarded = Guarded { world, files, changes: 0 };
        guarded.tell(Input::Born);
        guarded
    }

    fn private(keys: &TokenKeys) -> Guarded {
        let keys_file = Some(KEYS.into());
        let access = AccessPlan { keys_file, public: true, ..AccessPlan::default() };
        Guarded::new(access, &[(KEYS, &keys.write())])
    }

    /// Tells one piece of news, and answers what the tracker asks of its files and its port.
    fn tell(&mut self, input: Input<'_>) {
        let mut open = self.world.on(input);
        while !open.is_empty() {
            let wishes = std::mem::take(&mut open);
            for wish in wishes {
                let more = match wish {
                    Effect::File { ticket, op } => {
                        let done = self.done(op);
                        self.world.on(Input::File { ticket, done })
                    }
                    Effect::Listen { ticket, at, .. } => {
                        let got = Listening { tcp: Some(at), udp: Some(at) };
                        self.world.on(Input::Listening { ticket, result: Ok(got) })
                    }
                    _ => continue,
                };
                open.extend(more);
            }
        }
    }

    fn done(&self, op: FileOp) -> FileDone {
        match op {
            FileOp::Load { path, .. } => {
                FileDone::Loaded(self.files.get(&path).cloned().ok_or(FileError::NotFound))
            }
            FileOp::Stat { path } => {
                let meta = |bytes: &Vec<u8>| Meta {
                    kind: FileKind::Regular,
                    size: bytes.len() as u64,
                    device: 1,
                    inode: 1,
                    mtime_ns: self.changes,
                    ctime_ns: self.changes,
                };
                FileDone::Meta(self.files.get(&path).map(meta).ok_or(FileError::NotFound))
            }
            other => panic!("{other:?}"),
        }
    }

    fn write(&mut self, path: &str, bytes: &[u8]) {
        self.changes += 1;
        self.files.insert(path.into(), bytes.to_vec());
    }

    /// Lets the tracker look at its keys, and at its connections.
    fn pass(&mut self, span: Span) {
        let end = self.world.now + span;
        while self.world.tracker_deadline() <= end {
            self.world.now = self.world.now.max(self.world.tracker_deadline());
            self.tell(Input::Wake);
        }
        self.world.now = end;
    }

    fn announce(&mut self, peer: &Peer, token: Option<&Bearer>) -> Option<Response> {
        let cid = self.world.connect(peer.from);
        let mut request = peer.request(cid);
        request.url_data = token.map(Bearer::url_data).unwrap_or_default();
        self.world.request(peer.from, &udp::Request::Announce(request))
    }

    fn control(&mut self, from: SocketAddr, op: Op, token: Option<&Bearer>) -> ControlResponse {
        let cid = self.world.connect(from);
        let (tid, versions, nonce, since) = (5, (1, 1), *b"nonce678", 0);
        let url_data = token.map(Bearer::url_data).unwrap_or_default();
        let mut bytes = Vec::new();
        ControlRequest { cid, tid, versions, op, nonce, since, url_data }.encode(&mut bytes);
        ControlResponse::decode(&self.world.datagram(from, &bytes).unwrap()).unwrap()
    }

    /// Opens a catalogue connection: with one token for the ticket, and one in the hello.
    fn hello(&mut self, from: SocketAddr, op: Op, tokens: [&Bearer; 2]) -> (Client, Status) {
        let ready = self.control(from, op, Some(tokens[0]));
        assert_eq!(ready.status, Status::Ready);
        let conn = self.world.accept(from);
        let mut hello = self.world.hello(ready.ticket, Some(1));
        hello.token = tokens[1].text().into();
        let mut bytes = Vec::new();
        hello.encode(&mut bytes);
        self.world.bytes(conn, &bytes);
        let got = self.world.take(conn);
        let reply = HelloReply::decode(&got).unwrap().unwrap();
        (Client { conn, reader: FrameReader::new(FrameLimits::CLIENT) }, reply.status)
    }
}

/// Two keys, and a maker of tokens.
fn keys() -> TokenKeys {
    let mut keys = TokenKeys::default();
    keys.add([1; 32], T0);
    keys.add([2; 32], T0);
    keys
}

fn token(id: u16, scope: u8, until_s: u64, bound: Option<InfoHash>) -> Bearer {
    let key = keys().of(id).unwrap().key().unwrap();
    let expiry_s = u32::try_from(until_s).unwrap_or(u32::MAX);
    Token::make((id, &key), scope, expiry_s, Owner([id as u8; 8]), bound).encode()
}

fn is_denied(response: Option<Response>) -> bool {
    matches!(response, Some(Response::Error { tid: 77, text }) if text == "access denied")
}

fn refused(answer: Answer) -> (u8, String) {
    match answer {
        Answer::Refused(refused) => (refused.code, refused.text),
        other => panic!("not refused: {other:?}"),
    }
}

fn list() -> Request {
    Request::List(List { limit: 10, cursor: None, prefix: None, glob: None, since: None })
}

#[test]
fn every_wrong_token_earns_the_same_answer_and_only_a_proven_address_gets_it() {
    let mut tracker = Guarded::private(&keys());
    let peer = Peer::new("10.0.0.9:7000", 5);
    let good = token(1, scope::ANNOUNCE, T0 + 60, None);
    let mut tampered = good.text().to_owned();
    tampered.replace_range(20..21, if &tampered[20..21] == "A" { "B" } else { "A" });
    let wrong = [
        None,
        Some(token(1, scope::READ | scope::WRITE, T0 + 60, None)),
        Some(token(1, scope::ANNOUNCE, T0, None)),
        Some(token(1, scope::ANNOUNCE, T0 + 60, Some(InfoHash([9; 20])))),
        Bearer::read(&tampered),
        Bearer::read(include_str!("../vectors/lmk/token_all.txt").trim()),
    ];
    for (at, token) in wrong.iter().enumerate() {
        tracker.world.now = tracker.world.now + Span::secs(1);
        let denied = expect_mark("B24", || tracker.announce(&peer, token.as_ref()));
        assert!(is_denied(denied), "{at}");
    }
    // Without an id that was given to it, an address learns nothing, not even that.
    let mut request = peer.request(12345);
    request.url_data = good.url_data();
    assert_eq!(tracker.world.request(peer.from, &udp::Request::Announce(request)), None);
    for token in [good, token(1, scope::ANNOUNCE, T0 + 60, Some(peer.hash))] {
        let answer = tracker.announce(&peer, Some(&token));
        assert!(matches!(answer, Some(Response::Announce(_))), "{answer:?}");
    }
}

#[test]
fn denials_are_told_some_times_a_second_and_no_more() {
    let mut tracker = Guarded::private(&keys());
    let peer = Peer::new("203.0.113.9:7000", 5);
    let told = |tracker: &mut Guarded| {
        (0..40).filter(|_| is_denied(tracker.announce(&peer, None))).count()
    };
    assert_eq!(told(&mut tracker), 10);
    tracker.world.now = tracker.world.now + Span::secs(1);
    assert_eq!(told(&mut tracker), 10);
    let good = token(1, scope::ALL, u64::MAX, None);
    let answer = tracker.announce(&peer, Some(&good));
    assert!(matches!(answer, Some(Response::Announce(_))), "who may is answered all the same");
}

#[test]
fn a_scrape_over_udp_has_no_place_for_a_token() {
    let mut tracker = Guarded::private(&keys());
    let from = addr("10.0.0.9:7000");
    let cid = tracker.world.connect(from);
    let scrape = udp::Request::Scrape { cid, tid: 77, hashes: vec![InfoHash([0xaa; 20])] };
    assert!(is_denied(tracker.world.request(from, &scrape)));
}

#[test]
fn the_catalogue_asks_for_a_token_twice_and_its_scope_counts() {
    let mut tracker = Guarded::private(&keys());
    let from = addr("10.0.0.9:7000");
    let (read, write) = (token(1, scope::READ, u64::MAX, None), token(1, 4, u64::MAX, None));
    let all = token(2, scope::ALL, u64::MAX, None);
    for op in [Op::Hello, Op::Read, Op::Write] {
        let answer = tracker.control(from, op, None);
        assert_eq!((answer.status, answer.generation, answer.names), (Status::AuthRequired, 0, 0));
    }
    tracker.world.now = tracker.world.now + Span::secs(1);
    assert_eq!(tracker.control(from, Op::Write, Some(&read)).status, Status::Forbidden);
    assert_eq!(tracker.control(from, Op::Read, Some(&write)).status, Status::Forbidden);
    let bound = token(1, scope::ALL, u64::MAX, Some(InfoHash([0xaa; 20])));
    assert_eq!(tracker.control(from, Op::Read, Some(&bound)).status, Status::Forbidden);
    assert_eq!(tracker.control(from, Op::Hello, Some(&read)).status, Status::Ready);
    // A ticket is good with a token of its owner alone, and with the right to use it.
    let none = Bearer::read(all.text()).unwrap();
    assert_eq!(tracker.hello(from, Op::Read, [&none, &read]).1, Status::BadTicket);
    assert_eq!(tracker.hello(from, Op::Write, [&write, &read]).1, Status::Forbidden);

    let (mut writer, status) = tracker.hello(from, Op::Write, [&write, &write]);
    assert_eq!(status, Status::Ready);
    match tracker.world.ask(&mut writer, &Request::Publish(bare("a", 1))) {
        Answer::Published { owner, .. } => assert_eq!(owner, Owner([1; 8]), "the token's"),
        other => panic!("{other:?}"),
    }
    let (code, _) = refused(tracker.world.ask(&mut writer, &list()));
    assert_eq!(code, code::FORBIDDEN, "it may not read");
    let watch = Request::Watch(Watch { names: vec!["*".into()], since: None });
    let names = vec!["a".to_owned()];
    for request in [watch, Request::Stat, Request::Lookup { names }] {
        assert_eq!(refused(tracker.world.ask(&mut writer, &request)).0, code::FORBIDDEN);
    }
    let (mut reader, _) = tracker.hello(from, Op::Read, [&read, &read]);
    assert!(matches!(tracker.world.ask(&mut reader, &list()), Answer::Page(_)));
    let (code, _) = refused(tracker.world.ask(&mut reader, &Request::Publish(bare("b", 2))));
    assert_eq!(code, code::FORBIDDEN);
    // Of two tokens with one owner either may take the name back, of another owner none.
    let hash = bare("a", 1).entry.v1.unwrap();
    let unpublish = Request::Unpublish { name: "a".into(), hash };
    let (mut other, _) = tracker.hello(from, Op::Write, [&all, &all]);
    assert_eq!(refused(tracker.world.ask(&mut other, &unpublish)).0, code::FORBIDDEN);
    let again = token(1, scope::WRITE, T0 + 600, None);
    let (mut own, _) = tracker.hello(from, Op::Write, [&again, &again]);
    assert!(matches!(tracker.world.ask(&mut own, &unpublish), Answer::Unpublished { .. }));
    let key = NodeKey([1; 32]);
    assert_ne!(Owner::of(&key), Owner([1; 8]), "the node key does not count here");
}

#[test]
fn connections_end_when_their_key_is_revoked_or_their_token_is_over() {
    let mut keys = keys();
    let mut tracker = Guarded::private(&keys);
    let from = addr("10.0.0.9:7000");
    let (first, second) = (token(1, 7, u64::MAX, None), token(2, 7, u64::MAX, None));
    let short = token(2, 7, T0 + 13, None);
    let [a, b, c] =
        [&first, &second, &short].map(|token| tracker.hello(from, Op::Read, [token, token]).0.conn);
    tracker.pass(Span::secs(6));
    let closed = |tracker: &Guarded| [a, b, c].map(|conn| tracker.world.line(conn).closed);
    assert_eq!(closed(&tracker), [false, false, false]);
    keys.revoke(1);
    tracker.write(KEYS, &keys.write());
    tracker.pass(Span::secs(6));
    assert_eq!(closed(&tracker), [true, false, false], "the file is looked at");
    tracker.pass(Span::secs(3));
    assert_eq!(closed(&tracker), [true, false, true]);
    assert!(is_denied(tracker.announce(&Peer::new("10.0.0.9:7000", 5), Some(&first))));
    // A broken file leaves the keys before.
    tracker.write(KEYS, b"nonsense");
    tracker.tell(Input::Asked(Command::Hangup));
    assert_eq!(tracker.control(from, Op::Read, Some(&second)).status, Status::Ready);
    let told = tracker.world.told("keys");
    assert!(told[0].contains(KEYS) && told[0].contains("line 1"), "{told:?}");
}

#[test]
fn lists_keep_out_addresses_and_contents_and_the_last_good_ones_stay() {
    let deny = |list: &str| {
        let files: [(&str, &[u8]); 1] = [(DENY, list.as_bytes())];
        let access = AccessPlan { public: true, deny: vec![DENY.into()], ..AccessPlan::default() };
        Guarded::new(access, &files)
    };
    let mut tracker = deny(&format!("10.9.0.0/16\n{}\n", "aa".repeat(20)));
    let listed = Peer::new("10.0.0.9:7000", 5);
    let other = listed.clone().hash(InfoHash([0xbb; 20]));
    assert!(is_denied(tracker.announce(&listed, None)));
    assert!(matches!(tracker.announce(&other, None), Some(Response::Announce(_))));
    let outside = Peer { from: addr("10.9.1.1:7000"), ..other.clone() };
    assert!(is_denied(tracker.announce(&outside, None)));
    assert_eq!(tracker.control(outside.from, Op::Read, None).status, Status::Forbidden);
    let conn = tracker.world.accept(outside.from);
    assert!(tracker.world.line(conn).closed);
    tracker.world.end(conn);
    let mut client = tracker.world.client(listed.from, Some(1));
    let mut denied = bare("x", 1);
    denied.entry.v1 = Some(listed.hash);
    let said = refused(tracker.world.ask(&mut client, &Request::Publish(denied)));
    assert_eq!(said, (code::FORBIDDEN, "access denied".into()));
    let register = Register { port: 7, peer_id: listed.id, hashes: vec![listed.hash], more: false };
    let said = refused(tracker.world.ask(&mut client, &Request::Register(register)));
    assert_eq!(said.0, code::FORBIDDEN);

    tracker.write(DENY, b"10.9.0.0/16\n\noops\n");
    tracker.tell(Input::Asked(Command::Hangup));
    assert!(tracker.world.told("lists")[0].contains("/deny:3: 'oops'"));
    assert!(is_denied(tracker.announce(&listed, None)), "the last good list stays");
    tracker.write(DENY, b"# nobody\n");
    tracker.tell(Input::Asked(Command::Hangup));
    assert!(matches!(tracker.announce(&outside, None), Some(Response::Announce(_))));
    assert_eq!(deny("oops").world.ending, Some(Ending::Usage), "no start without its lists");
}

#[test]
fn what_is_on_no_list_of_allowed_ones_is_not_taken() {
    let access = AccessPlan { public: true, allow: vec![DENY.into()], ..AccessPlan::default() };
    let list = format!("{}\n10.0.0.0/24\n", "aa".repeat(20));
    let mut tracker = Guarded::new(access, &[(DENY, list.as_bytes())]);
    let listed = Peer::new("10.0.0.9:7000", 5);
    assert!(matches!(tracker.announce(&listed, None), Some(Response::Announce(_))));
    assert!(is_denied(tracker.announce(&listed.clone().hash(InfoHash([1; 20])), None)));
    assert!(is_denied(tracker.announce(&Peer::new("10.0.1.9:7000", 5), None)));
}

#[test]
fn machines_outside_of_private_networks_register_on_a_public_tracker_alone() {
    let mut tracker = Guarded::new(AccessPlan::default(), &[]);
    let stranger = Peer::new("203.0.113.9:7000", 5);
    for _ in 0..3 {
        match tracker.announce(&stranger, None) {
            Some(Response::Error { text, .. }) => assert!(text.contains("--public"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(tracker.world.told("stranger").len(), 1, "one line, not one each");
    assert!(tracker.world.told("stranger")[0].contains("203.0.113.9"));
    let mut client = tracker.world.client(stranger.from, Some(1));
    let (code, text) = refused(tracker.world.ask(&mut client, &Request::Publish(bare("a", 1))));
    assert!(code == code::FORBIDDEN && text.contains("--public"), "{text}");
    assert!(matches!(tracker.world.ask(&mut client, &list()), Answer::Page(_)), "it may look");
    for near in ["10.0.0.9:7000", "127.0.0.1:7000", "[fd00::1]:7000"] {
        let answer = tracker.announce(&Peer::new(near, 5), None);
        assert!(matches!(answer, Some(Response::Announce(_))), "{near}: {answer:?}");
    }
}

#[test]
fn a_signature_is_checked_and_listed_and_nobodys_keeps_out_anothers() {
    let mut world = World::local();
    let from = addr("127.0.0.1:7000");
    let (mut ann, mut eve) = (world.client(from, Some(1)), world.client(from, Some(2)));
    let content = content("a", &[7; 1000]);
    let signed = |key: u8| {
        let mut publish = publish("a", &content);
        let signed = SecretKey([key; 32]).sign(&publish.entry);
        publish.entry.signed = Some(Box::new(signed));
        publish
    };
    let mut wrong = signed(1);
    wrong.entry.signed.as_mut().unwrap().signature[9] ^= 1;
    let said = refused(world.ask(&mut ann, &Request::Publish(wrong)));
    assert_eq!(said.0, code::BAD_SIGNATURE);
    let mut swapped = signed(1);
    swapped.entry.name = "b".into();
    let said = refused(world.ask(&mut ann, &Request::Publish(swapped)));
    assert_eq!(said.0, code::BAD_SIGNATURE);
    for (client, publish) in [(&mut eve, signed(2)), (&mut ann, signed(1))] {
        let answer = world.ask(client, &Request::Publish(publish));
        assert!(matches!(answer, Answer::Published { .. }), "{answer:?}");
    }
    let v2 = content.v2.as_ref().unwrap().info_hash.truncated();
    world.announce(&Peer::new("127.0.0.1:7000", 0).hash(v2));
    let answer = world.ask(&mut ann, &Request::Lookup { names: vec!["a".into()] });
    let Answer::Found { entries, .. } = answer else { panic!("{answer:?}") };
    let signers = entries.iter().map(|listed| listed.entry.signed.as_ref().unwrap());
    let signers: Vec<_> = signers.map(|signed| signed.key).collect();
    assert_eq!(signers, [SecretKey([2; 32]).public(), SecretKey([1; 32]).public()]);
    assert!(entries.iter().all(|l| l.entry.signed.as_ref().unwrap().is_of(&l.entry)));
}
