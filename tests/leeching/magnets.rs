//! One leecher that has a magnet link alone, seeders that have everything, and peers that lie about
//! the metadata.

use crate::stage::{NAME, SIZE, SOURCE, ip};
use lmk::content::magnet::Magnet;
use lmk::content::metainfo::{Content, ContentHasher};
use lmk::core::id::{ConnId, PeerId};
use lmk::core::io::{Effect, Input, Outbox, Role};
use lmk::core::mark::expect_mark;
use lmk::core::report::{Ending, Snapshot};
use lmk::core::rng::Rng;
use lmk::core::time::{Span, Time};
use lmk::node::Node;
use lmk::node::plan::{FetchPlan, Job, MagnetPlan, NodePlan, SeedPlan, TorrentFrom, TorrentPlan};
use lmk::peer::Encryption;
use lmk::sim::{Act, Weather, World, plans};
use lmk::tracker::Tracker;
use lmk::wire::extended::{ExtendedHandshake, Extension, MetadataMessage};
use lmk::wire::peer::{self, Framer, Handshake, Long, Message, Part, Reserved};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// What a peer lies about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lie {
    /// As long as the true metadata, and something else.
    Content,
    /// Its last block alone is something else.
    LastBlock,
    /// Longer by a byte.
    Size,
    /// As long as may be, a block now and then.
    Huge,
    /// One size in its greeting, another in its blocks.
    Changes,
    /// It asks for nothing and sends nothing.
    Silent,
    Refuses,
    /// The metadata is right, the hashes of the pieces are not.
    Hashes,
    /// It tells the truth; it has nothing else.
    Nothing,
}

const LIES: [Lie; 8] = [
    Lie::Content,
    Lie::LastBlock,
    Lie::Size,
    Lie::Huge,
    Lie::Changes,
    Lie::Silent,
    Lie::Refuses,
    Lie::Hashes,
];
const LIAR_PORT: u16 = 7000;
const BLOCK: usize = 16 * 1024;

#[derive(Default)]
struct Talk {
    framer: Framer,
    long: Option<Long>,
    body: Vec<u8>,
    /// The id under which the other side takes metadata.
    id: u8,
    v2: bool,
}

struct Liar {
    lie: Lie,
    content: Content,
    name: u8,
    talks: BTreeMap<ConnId, Talk>,
}

impl Liar {
    fn info(&self, v2: bool) -> &[u8] {
        let v1 = || self.content.v1.as_ref().map(|v1| &v1.info[..]);
        let v2 = self.content.v2.as_ref().map(|v2| &v2.info[..]).filter(|_| v2);
        v2.or_else(v1).unwrap_or_default()
    }

    fn size(&self, v2: bool) -> u32 {
        match self.lie {
            Lie::Size => self.info(v2).len() as u32 + 1,
            Lie::Huge => 16 * 1024 * 1024,
            _ => self.info(v2).len() as u32,
        }
    }

    fn hear(&mut self, conn: ConnId, mut bytes: &[u8], out: &mut Outbox) {
        let Some(mut talk) = self.talks.remove(&conn) else { return };
        while let Ok(Some(part)) = talk.framer.next(&mut bytes) {
            match part {
                Part::Handshake(theirs) => self.greet(conn, theirs, &mut talk, out),
                Part::Start(long) => {
                    talk.long = Some(long);
                    talk.body.clear();
                }
                Part::Bytes(more) => talk.body.extend_from_slice(more),
                Part::End => self.got_long(conn, &mut talk, out),
                Part::Message(Message::HashRequest(range)) if self.lie == Lie::Hashes => {
                    let ours = lmk::content::proof::HashRange {
                        base: range.base,
                        index: range.index,
                        length: range.length,
                        proof: range.proof,
                    };
                    out.send(conn, &peer::hashes_head(range, ours.hashes()));
                    out.send(conn, &vec![9; 32 * ours.hashes() as usize]);
                }
                Part::Message(_) => {}
            }
        }
        self.talks.insert(conn, talk);
    }

    fn greet(&self, conn: ConnId, theirs: Handshake, talk: &mut Talk, out: &mut Outbox) {
        let v2 = self.content.v2.as_ref().map(|v2| v2.info_hash.truncated());
        talk.v2 = v2 == Some(theirs.info_hash);
        let peer_id = PeerId([self.name; 20]);
        let reserved = Reserved::new().with_extended();
        let (info_hash, size) = (theirs.info_hash, self.size(talk.v2));
        out.send(conn, &Handshake { reserved, info_hash, peer_id }.encode());
        let mut words = ExtendedHandshake { metadata_size: Some(size), ..Default::default() };
        words.ids.set(Extension::UtMetadata, 3);
        let payload = words.encode();
        out.send(conn, &peer::extended_head(0, payload.len() as u32));
        out.send(conn, &payload);
    }

    fn got_long(&self, conn: ConnId, talk: &mut Talk, out: &mut Outbox) {
        let Some(Long::Extended { id, .. }) = talk.long else { return };
        if id == 0 {
            let words = ExtendedHandshake::decode(&talk.body).unwrap();
            talk.id = words.ids.id(Extension::UtMetadata).unwrap_or(0);
            return;
        }
        let Some(MetadataMessage::Request { piece }) = MetadataMessage::decode(&talk.body) else {
            return;
        };
        let size = self.size(talk.v2);
        let mut whole = self.info(talk.v2).to_vec();
        whole.resize(size as usize, 7);
        let last = (size as usize).div_ceil(BLOCK) == piece as usize + 1;
        let mut block = whole.chunks(BLOCK).nth(piece as usize).unwrap_or_default().to_vec();
        if self.lie == Lie::Content || (self.lie == Lie::LastBlock && last) {
            block[0] ^= 1;
        }
        let message = match self.lie {
            Lie::Silent => return,
            Lie::Huge if piece > 3 => return,
            Lie::Refuses => MetadataMessage::Reject { piece },
            Lie::Changes => {
                let block = vec![7; BLOCK];
                let more = MetadataMessage::Data { piece: 0, total_size: 90_000, block: &block };
                return say(conn, talk.id, &more.encode(), out);
            }
            _ => MetadataMessage::Data { piece, total_size: size, block: &block },
        };
        say(conn, talk.id, &message.encode(), out);
    }
}

fn say(conn: ConnId, id: u8, payload: &[u8], out: &mut Outbox) {
    out.send(conn, &peer::extended_head(id, payload.len() as u32));
    out.send(conn, payload);
}

impl Role for Liar {
    fn on(&mut self, _: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Born => {
                let at = SocketAddr::new([0, 0, 0, 0].into(), LIAR_PORT);
                out.listen(at, LIAR_PORT, true, false);
            }
            Input::Accepted { conn, .. } => drop(self.talks.insert(conn, Talk::default())),
            Input::Bytes { conn, bytes } => self.hear(conn, bytes, out),
            Input::Closed { conn, .. } => drop(self.talks.remove(&conn)),
            _ => {}
        }
    }

    fn deadline(&self) -> Time {
        Time::NEVER
    }

    fn snapshot(&self, _: Time) -> Snapshot {
        Snapshot::default()
    }
}

struct Outcome {
    took: Span,
    /// When the metadata was known, since the leecher began.
    metadata: Span,
    said: Vec<String>,
}

/// Plays one leecher with the link of `topics` ('1', '2') among seeders and liars.
fn play(seed: u64, weather: Weather, topics: &str, seeders: u8, lies: &[Lie]) -> Outcome {
    play_among(seed, weather, topics, (seeders, Encryption::Allow), lies)
}

/// As [`play`], among seeders that encrypt so.
fn play_among(
    seed: u64,
    weather: Weather,
    topics: &str,
    (seeders, encryption): (u8, Encryption),
    lies: &[Lie],
) -> Outcome {
    let mut bytes = vec![0; SIZE as usize];
    Rng::new(seed).fork(7).fill(&mut bytes);
    let mut hasher = ContentHasher::new(b"big.zip", SIZE).unwrap();
    hasher.update(&bytes);
    let content = hasher.finish().unwrap();
    let mut world = World::new(seed, weather);
    world.add_node(ip(1), |env| Box::new(Tracker::new(plans::tracker(env))));
    for n in 0..seeders {
        let seeder = world.add_node(ip(10 + n), move |env| {
            let usual = plans::node(env, Job::Seed(plans::seed(SOURCE)));
            Box::new(Node::new(NodePlan { encryption, ..usual }))
        });
        world.disk(seeder).make_dirs("/home");
        world.disk(seeder).put("/home/big.zip", &bytes);
    }
    let mut peers = Vec::new();
    for (n, lie) in (0u8..).zip(lies) {
        let (lie, content) = (*lie, content.clone());
        world.add_node(ip(100 + n), move |_| {
            let (content, talks) = (content.clone(), BTreeMap::new());
            Box::new(Liar { lie, content, name: 100 + n, talks })
        });
        peers.push(SocketAddr::new(ip(100 + n), LIAR_PORT));
    }
    let link = Magnet {
        v1: content.v1.as_ref().map(|v1| v1.info_hash).filter(|_| topics.contains('1')),
        v2: content.v2.as_ref().map(|v2| v2.info_hash).filter(|_| topics.contains('2')),
        name: Some("something".into()),
        trackers: vec!["udp://10.0.0.1:6969/announce".into()],
        ..Magnet::default()
    };
    // As it is typed.
    let link = Magnet::parse(&link.to_string()).unwrap();
    let from = TorrentFrom::Magnet(Box::new(MagnetPlan { link, peers }));
    let torrent = plans::unlisted(from);
    let leecher = world.add_idle(ip(200), move |env| {
        let fetch = FetchPlan { torrent: Some(torrent.clone()), ..plans::fetch(NAME, "/home") };
        Box::new(Node::new(plans::node(env, Job::Fetch(fetch))))
    });
    world.disk(leecher).make_dirs("/home");
    let begin = Time::ZERO + Span::secs(10);
    world.plan(begin, leecher, Act::Start);
    world.run_until(begin + Span::secs(900), |world| world.ending(leecher).is_some());
    assert_eq!(world.breach(), None, "seed {seed} {lies:?}");
    let events = world.events(leecher);
    let said: Vec<String> = events.iter().map(|(_, event)| event.line.clone()).collect();
    assert_eq!(world.ending(leecher), Some(Ending::Done), "seed {seed} {lies:?}: {said:?}");
    let known = events.iter().find(|(_, event)| event.kind == "metadata").unwrap().0;
    let (took, metadata) = (world.now().since(begin), known.since(begin));
    let copy = world.disk(leecher).get("/home/big.zip");
    assert!(copy.as_deref() == Some(&bytes[..]), "seed {seed} {lies:?}: the file differs");
    Outcome { took, metadata, said }
}

#[test]
fn a_link_under_either_hash_or_both_becomes_the_file() {
    for topics in ["1", "2", "12"] {
        for seed in 0..4 {
            let outcome = play(seed, Weather::calm(), topics, 1, &[]);
            let within = Span::secs(2);
            assert!(outcome.metadata <= within, "{topics}: {}", outcome.metadata);
        }
    }
}

/// Who hangs up on a plain handshake is dialled once more in an encrypted one, before the content
/// is known as later.
#[test]
fn those_who_take_nothing_but_encrypted_words_tell_what_it_is() {
    for (seed, topics) in (0..).zip(["1", "2", "12"]) {
        play_among(seed, Weather::calm(), topics, (1, Encryption::Require), &[]);
    }
}

#[test]
fn a_network_that_loses_and_stalls_delays_it_only() {
    for seed in 0..12 {
        let heal_at = Time::ZERO + Span::secs(60);
        let topics = ["1", "2", "12"][seed as usize % 3];
        play(seed, Weather::rough(seed, heal_at), topics, 2, &[]);
    }
}

#[test]
fn no_liar_keeps_one_honest_peer_from_telling() {
    for lie in LIES {
        for (seed, topics) in (0..).zip(["1", "2", "12"]) {
            let outcome = play(seed, Weather::calm(), topics, 1, &[lie]);
            assert!(outcome.took <= Span::secs(60), "{lie:?} {topics}: {}", outcome.took);
        }
    }
    for (seed, topics) in (0..).zip(["1", "2", "12"]) {
        let outcome = play(seed, Weather::calm(), topics, 2, &LIES);
        assert!(outcome.metadata <= Span::secs(60), "{topics}: {}", outcome.metadata);
    }
}

#[test]
fn wrong_metadata_is_said_and_its_sender_left_alone() {
    let said = expect_mark!("D26", play(1, Weather::calm(), "1", 1, &[Lie::Content])).said;
    let lines = said.iter().filter(|line| line.contains("wrong metadata")).count();
    assert!(lines <= 1, "{said:?}");
}

/// What a leecher dialled and what it said to trackers, and when.
#[derive(Default)]
struct Ways {
    dials: Vec<(Time, IpAddr)>,
    datagrams: Vec<(Time, IpAddr, Vec<u8>)>,
}

/// A leecher whose ways are noted.
struct Followed(Node, Rc<RefCell<Ways>>);

impl Role for Followed {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let before = out.effects.len();
        self.0.on(now, input, out);
        let mut ways = self.1.borrow_mut();
        for effect in &out.effects[before..] {
            match effect {
                Effect::Dial { to, .. } => ways.dials.push((now, to.ip())),
                Effect::Datagram { to, start, len, .. } => {
                    ways.datagrams.push((now, to.ip(), out.bytes(*start, *len).to_vec()));
                }
                _ => {}
            }
        }
    }

    fn deadline(&self) -> Time {
        self.0.deadline()
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        self.0.snapshot(now)
    }
}

/// A v1 content that is private, its .torrent, and its bytes.
fn private() -> (Content, Vec<u8>, Vec<u8>) {
    let mut bytes = vec![0; SIZE as usize];
    Rng::new(1).fill(&mut bytes);
    let mut hasher = ContentHasher::new(NAME.as_bytes(), SIZE).unwrap();
    hasher.update(&bytes);
    let mut info = hasher.finish().unwrap().v1.unwrap().info;
    assert_eq!(info.pop(), Some(b'e'));
    info.extend_from_slice(b"7:privatei1ee");
    let torrent = [b"d8:announce28:udp://10.0.0.1:6969/announce4:info", &info[..], b"e"].concat();
    (Content::from_info(&info, None).unwrap(), torrent, bytes)
}

/// BEP 27: once it is known that it is private, whom else the person or the link named is left.
#[test]
fn what_turns_out_to_be_private_is_kept_to_the_trackers_of_the_link() {
    let (content, torrent, bytes) = private();
    let (further, teller) = (ip(2), ip(100));
    let mut world = World::new(1, Weather::calm());
    for tracker in [ip(1), further] {
        world.add_node(tracker, |env| Box::new(Tracker::new(plans::tracker(env))));
    }
    let seeder = world.add_node(ip(10), |env| {
        let torrent = Some(plans::torrent("/home/big.torrent"));
        let seed = SeedPlan { torrent, ..plans::seed(SOURCE) };
        Box::new(Node::new(plans::node(env, Job::Seed(seed))))
    });
    world.disk(seeder).make_dirs("/home");
    world.disk(seeder).put(SOURCE, &bytes);
    world.disk(seeder).put("/home/big.torrent", &torrent);
    let v1 = content.v1.as_ref().map(|v1| v1.info_hash);
    world.add_node(teller, move |_| {
        let (content, talks) = (content.clone(), BTreeMap::new());
        Box::new(Liar { lie: Lie::Nothing, content, name: 100, talks })
    });
    let trackers = vec!["udp://10.0.0.1:6969/announce".into()];
    let link = Magnet { v1, trackers, ..Magnet::default() };
    let peers = vec![SocketAddr::new(teller, LIAR_PORT)];
    let magnet = plans::unlisted(TorrentFrom::Magnet(Box::new(MagnetPlan { link, peers })));
    let magnet = TorrentPlan { further: vec![format!("udp://{further}:6969/announce")], ..magnet };
    let ways = Rc::new(RefCell::new(Ways::default()));
    let noted = ways.clone();
    let leecher = world.add_idle(ip(200), move |env| {
        let fetch = FetchPlan { torrent: Some(magnet.clone()), ..plans::fetch(NAME, "/home") };
        let node = Node::new(plans::node(env, Job::Fetch(fetch)));
        Box::new(Followed(node, noted.clone()))
    });
    world.disk(leecher).make_dirs("/home");
    let begin = Time::ZERO + Span::secs(10);
    world.plan(begin, leecher, Act::Start);
    world.run_until(begin + Span::secs(900), |world| world.ending(leecher).is_some());
    assert_eq!((world.breach(), world.ending(leecher)), (None, Some(Ending::Done)));
    let events = world.events(leecher);
    // Its own clock began with it.
    let known = events.iter().find(|(_, event)| event.kind == "metadata").unwrap().0;
    let known = Time::ZERO + known.since(begin);
    let ways = ways.borrow();
    let dialled = |early: bool| {
        let dials = ways.dials.iter().filter(move |(at, ..)| (*at <= known) == early);
        dials.map(|(_, ip)| *ip).collect::<Vec<_>>()
    };
    assert!(dialled(true).contains(&teller) && !dialled(false).contains(&teller), "{known:?}");
    assert!(dialled(false).contains(&ip(10)), "{:?}", ways.dials);
    let asked = |early: bool| {
        let all = ways
            .datagrams
            .iter()
            .filter(move |(at, to, _)| *to == further && (*at < known) == early);
        all.map(|(_, _, bytes)| bytes.as_slice()).collect::<Vec<_>>()
    };
    assert!(!asked(true).is_empty());
    // An announce is 98 bytes or more; its event stands at 80 (BEP 15).
    let stopped = |bytes: &[u8]| bytes.get(80..84) == Some(&[0, 0, 0, 3]);
    assert!(asked(false).into_iter().all(stopped), "{:?}", ways.datagrams);
}
