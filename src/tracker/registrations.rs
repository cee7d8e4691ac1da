//! Nodes that registered: each is stored once, with all contents it has, and is a source of every
//! one of them for as long as its connection lives.

use super::shares::Shares;
use super::source;
use super::swarm::PeerKey;
use crate::core::fault::Refusal;
use crate::core::id::{ConnId, InfoHash, PeerId};
use crate::core::limits::{ADDRESS_CONTENTS_MAX, ADDRESS_PEERS_MAX};
use crate::wire::catalogue::code;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Contents of one node: a folder of 100,000 files under both hashes, and more.
pub const NODE_CONTENTS_MAX: usize = 262_144;
/// Contents of all nodes together: some 100 bytes each.
pub const CONTENTS_MAX: usize = 4_000_000;
/// Nodes of one content that are handed out.
pub const CONTENT_NODES_MAX: usize = 256;
/// Nodes at one address and port, those that are being forgotten among them: more than one are
/// connections of which the other end knows no more.
pub const PLACE_NODES_MAX: usize = 16;
/// Nodes that are gone up to which they are left out of counts before they are forgotten.
const GOING_MAX: usize = 16;
/// Contents of a node that is gone, forgotten in one slice of work: for each, names may lose their
/// source.
pub const FORGET_STEP: usize = 64;

/// A node as it is handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    pub key: PeerKey,
    pub id: PeerId,
}

#[derive(Debug)]
struct Node {
    source: Source,
    /// What it is bound to. Emptied step by step once it is gone.
    contents: BTreeSet<InfoHash>,
    /// Of these, what it announces too.
    announced: BTreeSet<InfoHash>,
    /// Its connection is over: it is handed out no more.
    gone: bool,
}

impl Node {
    fn new(source: Source) -> Node {
        Node { source, contents: BTreeSet::new(), announced: BTreeSet::new(), gone: false }
    }

    fn is_silent(&self) -> bool {
        !self.gone && self.announced.is_empty()
    }
}

/// What is counted of one content, so that nobody walks its nodes to know it.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// Nodes that have it, those on their way to be forgotten among them.
    nodes: u32,
    /// Of these, places (address and port) that do not announce it, each once.
    unannounced: u32,
}

#[derive(Debug, Default)]
pub struct Registrations {
    nodes: BTreeMap<u32, Node>,
    by_conn: BTreeMap<ConnId, u32>,
    /// Which nodes are reached at one place.
    by_key: BTreeSet<(PeerKey, u32)>,
    /// Which nodes have a content.
    bound: BTreeSet<(InfoHash, u32)>,
    held: BTreeMap<InfoHash, Held>,
    /// Of two contents that are one: the other hash, and places that have either and announce
    /// neither. Known until one of their nodes changes.
    unions: BTreeMap<InfoHash, (InfoHash, u32)>,
    /// Nodes whose connection is over, on their way to be forgotten.
    gone: VecDeque<u32>,
    /// Nodes that are there and announce nothing.
    silent: usize,
    next: u32,
    /// Contents of each source whose limits count, those on their way to be forgotten among them.
    shares: Shares,
    /// Limits per address count for private addresses, too.
    public: bool,
}

impl Registrations {
    /// The lengths of its tables.
    pub fn tables(&self) -> [(&'static str, usize); 6] {
        [
            ("registered_nodes", self.nodes()),
            ("registered_connections", self.by_conn.len()),
            ("registered_contents", self.bound.len()),
            ("registered_hashes", self.held.len()),
            ("registered_unions", self.unions.len()),
            ("registered_gone", self.gone.len()),
        ]
    }

    pub fn new(public: bool) -> Registrations {
        Registrations { public, ..Registrations::default() }
    }

    /// Nodes that are there.
    pub fn nodes(&self) -> usize {
        self.by_conn.len()
    }

    /// Nodes that are there and announce none of their contents: they are counted nowhere else.
    pub fn silent(&self) -> usize {
        self.silent
    }

    /// Whether a node whose connection is over is not forgotten yet.
    pub fn is_behind(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Changes a node and keeps the count of the silent ones.
    fn change<T>(&mut self, number: u32, change: impl FnOnce(&mut Node) -> T) -> Option<T> {
        let node = self.nodes.get_mut(&number)?;
        let before = node.is_silent();
        let changed = change(node);
        match (before, node.is_silent()) {
            (false, true) => self.silent += 1,
            (true, false) => self.silent = self.silent.saturating_sub(1),
            _ => {}
        }
        Some(changed)
    }

    /// The nodes at a place that have a content, and whether it announces it.
    fn at(&self, key: PeerKey, hash: InfoHash) -> impl Iterator<Item = (u32, bool)> {
        let here = self.by_key.range((key, 0)..=(key, u32::MAX)).map(|(_, number)| *number);
        here.filter_map(move |number| {
            let node = self.nodes.get(&number).filter(|node| node.contents.contains(&hash))?;
            Some((number, node.announced.contains(&hash)))
        })
    }

    /// Whether whoever is at `key` announces a content. Nothing happens unless it registered it.
    pub fn announces(&mut self, hash: InfoHash, key: PeerKey, announces: bool) {
        if self.by_key.range((key, 0)..=(key, u32::MAX)).next().is_none() {
            return;
        }
        let here: Vec<(u32, bool)> = self.at(key, hash).collect();
        let changes = here.iter().any(|(_, before)| *before != announces);
        if changes || here.is_empty() {
            // It may have registered the other hash of the content.
            self.part(hash);
        }
        if !changes {
            return;
        }
        for (number, _) in here {
            self.change(number, |node| match announces {
                true => node.announced.insert(hash),
                false => node.announced.remove(&hash),
            });
        }
        if let Some(held) = self.held.get_mut(&hash) {
            held.unannounced = match announces {
                true => held.unannounced.saturating_sub(1),
                false => held.unannounced.saturating_add(1),
            };
        }
    }

    /// Contents of all nodes, each counted once per node.
    pub fn bound(&self) -> usize {
        self.bound.len()
    }

    /// Whether nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Contents that the node of a connection is bound to.
    pub fn contents(&self, conn: ConnId) -> usize {
        let node = self.by_conn.get(&conn).and_then(|number| self.nodes.get(number));
        node.map_or(0, |node| node.contents.len())
    }

    /// Binds contents to the node of a connection, in place of what it was bound to unless `more`.
    pub fn bind(
        &mut self,
        conn: ConnId,
        source: Source,
        hashes: &[InfoHash],
        more: bool,
    ) -> Result<(), Refusal> {
        let kept = self.by_conn.get(&conn).and_then(|number| self.nodes.get(number));
        let kept = kept.filter(|node| more && node.source == source);
        let quota = |what| Err(Refusal { code: code::QUOTA, what });
        if kept.map_or(0, |node| node.contents.len()) + hashes.len() > NODE_CONTENTS_MAX {
            return quota("too many contents of one node");
        }
        if self.bound.len() + hashes.len() > CONTENTS_MAX {
            return quota("too many contents are registered");
        }
        let who = source::Source::limited(source.key.ip(), self.public);
        let asked = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
        if who.is_some() && self.shares.of(who).saturating_add(asked) > ADDRESS_CONTENTS_MAX {
            return quota("too many contents are registered from your address");
        }
        if kept.is_none() {
            let here = self.by_key.range((source.key, 0)..=(source.key, u32::MAX));
            if here.count() >= PLACE_NODES_MAX {
                return quota("too many nodes at your address and port, try later");
            }
            self.drop_node(conn);
            self.enter(conn, source);
        }
        let Some(number) = self.by_conn.get(&conn).copied() else { return Ok(()) };
        for hash in hashes {
            self.bind_one(number, source.key, *hash, who);
        }
        Ok(())
    }

    /// A node without contents.
    fn enter(&mut self, conn: ConnId, source: Source) {
        self.next = self.next.wrapping_add(1);
        while self.nodes.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        self.by_conn.insert(conn, self.next);
        self.by_key.insert((source.key, self.next));
        self.nodes.insert(self.next, Node::new(source));
        self.silent += 1;
    }

    fn bind_one(&mut self, number: u32, key: PeerKey, hash: InfoHash, who: Option<source::Source>) {
        let has = self.nodes.get(&number).is_none_or(|node| node.contents.contains(&hash));
        if has || !self.has_room(hash, who) {
            return;
        }
        let before = self.at(key, hash).next();
        let announced = before.is_some_and(|(_, announced)| announced);
        self.change(number, |node| {
            node.contents.insert(hash);
            if announced {
                node.announced.insert(hash);
            }
        });
        let held = self.held.entry(hash).or_default();
        held.nodes += 1;
        held.unannounced += u32::from(before.is_none());
        self.bound.insert((hash, number));
        self.shares.add(who);
        self.part(hash);
    }

    /// Whether a content has room for a further node of a source.
    fn has_room(&self, hash: InfoHash, who: Option<source::Source>) -> bool {
        let there = self.held.get(&hash).map_or(0, |held| held.nodes as usize);
        if there >= CONTENT_NODES_MAX || who.is_none() {
            return there < CONTENT_NODES_MAX;
        }
        let limited = |source: Source| source::Source::limited(source.key.ip(), self.public);
        let all = self.bound.range((hash, 0)..=(hash, u32::MAX));
        let nodes = all.filter_map(|(_, number)| self.nodes.get(number));
        nodes.filter(|node| limited(node.source) == who).count() < ADDRESS_PEERS_MAX
    }

    /// The connection of a node is over: it is handed out no more.
    pub fn drop_node(&mut self, conn: ConnId) {
        let Some(number) = self.by_conn.remove(&conn) else { return };
        if self.change(number, |node| node.gone = true).is_some() {
            self.gone.push_back(number);
        }
    }

    /// Forgets a step's worth of what gone nodes had; the contents that lost one.
    pub fn forget(&mut self) -> Vec<InfoHash> {
        let mut lost = Vec::new();
        while lost.len() < FORGET_STEP
            && let Some(number) = self.gone.front().copied()
        {
            let Some(node) = self.nodes.get_mut(&number) else {
                self.gone.pop_front();
                continue;
            };
            let key = node.source.key;
            match node.contents.pop_first() {
                Some(hash) => {
                    let announced = node.announced.remove(&hash);
                    self.bound.remove(&(hash, number));
                    self.shares.take(source::Source::limited(key.ip(), self.public));
                    self.lose(hash, !announced && self.at(key, hash).next().is_none());
                    lost.push(hash);
                }
                None => {
                    self.gone.pop_front();
                    self.nodes.remove(&number);
                    self.by_key.remove(&(key, number));
                }
            }
        }
        lost
    }

    /// A content lost a node, and with it a place that was counted if it is the `last` there.
    fn lose(&mut self, hash: InfoHash, last: bool) {
        self.part(hash);
        let Some(held) = self.held.get_mut(&hash) else { return };
        held.nodes = held.nodes.saturating_sub(1);
        held.unannounced = held.unannounced.saturating_sub(u32::from(last));
        if held.nodes == 0 {
            self.held.remove(&hash);
        }
    }

    /// The nodes that have a content.
    pub fn sources(&self, hash: InfoHash) -> impl Iterator<Item = Source> {
        let there = self.bound.range((hash, 0)..=(hash, u32::MAX));
        let nodes = there.filter_map(|(_, number)| self.nodes.get(number));
        nodes.filter(|node| !node.gone).map(|node| node.source)
    }

    /// How many places have a content and do not announce it. Where very many nodes are gone,
    /// theirs count until they are forgotten.
    pub fn unannounced(&self, hash: InfoHash) -> u32 {
        let Some(held) = self.held.get(&hash) else { return 0 };
        if self.gone.is_empty() || self.gone.len() > GOING_MAX {
            return held.unannounced;
        }
        let live = |number: &u32| self.nodes.get(number).is_some_and(|node| !node.gone);
        let here = self.gone.iter().filter_map(|number| self.nodes.get(number));
        let here = here.filter(|node| node.contents.contains(&hash));
        let here = here.filter(|node| !node.announced.contains(&hash));
        let places: BTreeSet<PeerKey> = here.map(|node| node.source.key).collect();
        let left = |key: &PeerKey| !self.at(*key, hash).any(|(number, _)| live(&number));
        let going = places.iter().filter(|key| left(key)).count();
        held.unannounced.saturating_sub(going as u32)
    }

    /// How many places have a content with these hashes and announce it under neither. Two hashes
    /// that were not joined by [`Registrations::unite`] count as the one that more have.
    pub fn count(&self, v1: Option<InfoHash>, v2: Option<InfoHash>) -> u32 {
        let of = |hash: Option<InfoHash>| hash.map_or(0, |hash| self.unannounced(hash));
        let union = v1.and_then(|hash| self.unions.get(&hash));
        match union.filter(|(other, _)| Some(*other) == v2) {
            Some((_, count)) => *count,
            None => of(v1).max(of(v2)),
        }
    }

    /// Counts the places of two hashes that are one content, unless nothing changed since it was
    /// done last. `announced` says who announces either.
    pub fn unite(&mut self, one: InfoHash, other: InfoHash, announced: impl Fn(PeerKey) -> bool) {
        if self.unions.get(&one).is_some_and(|(with, _)| *with == other) {
            return;
        }
        self.part(one);
        self.part(other);
        // Where only one has nodes, they may announce under the other.
        if ![one, other].iter().any(|hash| self.held.contains_key(hash)) {
            return;
        }
        let there = [one, other].into_iter().flat_map(|hash| {
            let bound = self.bound.range((hash, 0)..=(hash, u32::MAX));
            bound.filter_map(|(_, number)| self.nodes.get(number)).map(|node| node.source.key)
        });
        let places: BTreeSet<PeerKey> = there.collect();
        let count = places.into_iter().filter(|key| !announced(*key)).count() as u32;
        self.unions.insert(one, (other, count));
        self.unions.insert(other, (one, count));
    }

    /// What was counted of a content and its other hash holds no more.
    pub fn part(&mut self, hash: InfoHash) {
        if let Some((other, _)) = self.unions.remove(&hash) {
            self.unions.remove(&other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::io::Outbox;

    fn hash(n: u32) -> InfoHash {
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        InfoHash(hash)
    }

    fn source(port: u16) -> Source {
        let key = PeerKey::new(std::net::SocketAddr::new([10, 0, 0, 1].into(), port));
        Source { key, id: PeerId([1; 20]) }
    }

    #[test]
    fn a_node_is_a_source_of_all_it_registered_until_its_connection_is_over() {
        let mut out = Outbox::default();
        let (one, two) = (out.conns.insert(()), out.conns.insert(()));
        let mut nodes = Registrations::default();
        let all: Vec<InfoHash> = (0..5000).map(hash).collect();
        nodes.bind(one, source(1), &all, false).unwrap();
        nodes.bind(two, source(2), &all[..10], false).unwrap();
        nodes.bind(two, source(2), &all[10..20], true).unwrap();
        assert_eq!((nodes.contents(one), nodes.contents(two), nodes.nodes()), (5000, 20, 2));
        assert_eq!(nodes.sources(hash(3)).count(), 2);
        nodes.unite(hash(3), hash(4), |_| false);
        assert_eq!(nodes.count(Some(hash(3)), Some(hash(4))), 2, "each once");
        nodes.bind(two, source(2), &all[..1], false).unwrap();
        assert_eq!(nodes.sources(hash(3)).count(), 1, "replaced");
        nodes.drop_node(one);
        assert_eq!(nodes.sources(hash(3)).count(), 0, "at once, before it is forgotten");
        let mut lost = 0;
        while !nodes.gone.is_empty() {
            let step = nodes.forget();
            assert!(step.len() <= FORGET_STEP);
            lost += step.len();
        }
        assert_eq!((lost, nodes.bound.len()), (5020, 1));
    }

    /// The counts against a walk through everything, over steps made at random.
    #[test]
    fn what_is_counted_is_what_a_walk_gives() {
        for seed in 0..40 {
            let mut rng = crate::core::rng::Rng::new(seed);
            let mut out = Outbox::default();
            let conns: Vec<ConnId> = (0..12).map(|_| out.conns.insert(())).collect();
            let mut nodes = Registrations::default();
            let mut announced: BTreeSet<(InfoHash, PeerKey)> = BTreeSet::new();
            for step in 0..300 {
                let conn = conns[rng.below(12) as usize];
                // Several connections of one place among them.
                let (at, hash) = (source(1 + rng.below(5) as u16), hash(rng.below(4) as u32));
                match rng.below(8) {
                    0..3 => {
                        let more = rng.chance(500);
                        if nodes.bind(conn, at, &[hash], more).is_ok() {
                            nodes.announces(hash, at.key, announced.contains(&(hash, at.key)));
                        }
                    }
                    3..6 => {
                        let on = rng.chance(500);
                        match on {
                            true => announced.insert((hash, at.key)),
                            false => announced.remove(&(hash, at.key)),
                        };
                        nodes.announces(hash, at.key, on);
                    }
                    6 => nodes.drop_node(conn),
                    _ => drop(nodes.forget()),
                }
                check(&mut nodes, &announced, (seed, step));
            }
        }
    }

    fn check(
        nodes: &mut Registrations,
        announced: &BTreeSet<(InfoHash, PeerKey)>,
        at: (u64, usize),
    ) {
        let announces = |h: InfoHash, key: PeerKey| announced.contains(&(h, key));
        let places = |nodes: &Registrations, h: InfoHash, gone: bool| -> BTreeSet<PeerKey> {
            let have = nodes.nodes.values().filter(|node| node.contents.contains(&h));
            have.filter(|node| gone || !node.gone).map(|node| node.source.key).collect()
        };
        for h in (0..4).map(hash) {
            let gone = nodes.gone.len() > GOING_MAX;
            let all = places(nodes, h, gone).into_iter().filter(|key| !announces(h, *key));
            assert_eq!(nodes.unannounced(h) as usize, all.count(), "{at:?}");
        }
        let (one, other) = (hash(0), hash(1));
        let either = |key: PeerKey| announces(one, key) || announces(other, key);
        let both: BTreeSet<PeerKey> = &places(nodes, one, true) | &places(nodes, other, true);
        let all = both.into_iter().filter(|key| !either(*key)).count();
        nodes.unite(one, other, either);
        assert_eq!(nodes.count(Some(one), Some(other)) as usize, all, "{at:?}");
        let silent = |node: &&Node| !node.gone && node.announced.is_empty();
        assert_eq!(nodes.silent(), nodes.nodes.values().filter(silent).count(), "{at:?}");
    }

    #[test]
    fn a_node_is_silent_while_it_announces_nothing_of_what_it_registered() {
        let mut out = Outbox::default();
        let (one, two) = (out.conns.insert(()), out.conns.insert(()));
        let mut nodes = Registrations::default();
        nodes.bind(one, source(1), &[hash(1), hash(2)], false).unwrap();
        nodes.bind(two, source(2), &[hash(1)], false).unwrap();
        assert_eq!(nodes.silent(), 2);
        nodes.announces(hash(1), source(1).key, true);
        nodes.announces(hash(2), source(1).key, true);
        nodes.announces(hash(3), source(2).key, true);
        assert_eq!(nodes.silent(), 1);
        nodes.announces(hash(1), source(1).key, false);
        assert_eq!(nodes.silent(), 1, "the other one is announced still");
        nodes.announces(hash(2), source(1).key, false);
        assert_eq!(nodes.silent(), 2);
    }

    #[test]
    fn what_one_node_may_bind_is_bounded() {
        let mut out = Outbox::default();
        let conn = out.conns.insert(());
        let mut nodes = Registrations::default();
        let all: Vec<InfoHash> = (0..NODE_CONTENTS_MAX as u32).map(hash).collect();
        nodes.bind(conn, source(1), &all, false).unwrap();
        assert!(nodes.bind(conn, source(1), &[hash(u32::MAX)], true).is_err());
        assert!(nodes.bind(conn, source(1), &[hash(u32::MAX)], false).is_ok());
        for port in 0..300 {
            let conn = out.conns.insert(());
            nodes.bind(conn, source(port + 1), &[hash(7)], false).unwrap();
        }
        assert!(nodes.sources(hash(7)).count() <= CONTENT_NODES_MAX);
    }

    #[test]
    fn what_one_address_may_bind_leaves_room_for_others() {
        let mut out = Outbox::default();
        let mut nodes = Registrations::new(true);
        let all: Vec<InfoHash> = (0..NODE_CONTENTS_MAX as u32).map(hash).collect();
        let conns: Vec<ConnId> = (0..9).map(|_| out.conns.insert(())).collect();
        nodes.bind(conns[0], source(1), &all, false).unwrap();
        // Connecting anew is no way around it: what is being forgotten counts.
        nodes.drop_node(conns[0]);
        nodes.bind(conns[1], source(1), &all, false).unwrap();
        let refused = nodes.bind(conns[2], source(2), &[hash(1)], false).unwrap_err();
        assert_eq!(refused.code, code::QUOTA);
        let other = PeerKey::new(std::net::SocketAddr::new([10, 0, 0, 2].into(), 1));
        nodes.bind(conns[3], Source { key: other, ..source(1) }, &[hash(1)], false).unwrap();
        while !nodes.gone.is_empty() {
            nodes.forget();
        }
        for (conn, port) in conns[2..].iter().zip(2..) {
            if *conn != conns[3] {
                nodes.bind(*conn, source(port), &[hash(9)], false).unwrap();
            }
        }
        nodes.drop_node(conns[1]);
        assert!(nodes.sources(hash(9)).count() <= ADDRESS_PEERS_MAX);
        while !nodes.gone.is_empty() {
            nodes.forget();
        }
        assert_eq!(nodes.shares.of(source::Source::limited(other.ip(), true)), 1);
        let left = nodes.shares.of(source::Source::limited([10, 0, 0, 1].into(), true));
        assert_eq!(left as usize, nodes.bound() - 1);
    }
}
