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
/// Contents of all nodes together: 60 bytes each.
pub const CONTENTS_MAX: usize = 4_000_000;
/// Nodes of one content that are handed out.
pub const CONTENT_NODES_MAX: usize = 256;
/// Contents of a node that is gone, forgotten at a time.
pub const FORGET_STEP: usize = 2_048;

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
}

impl Node {
    fn new(source: Source) -> Node {
        Node { source, contents: BTreeSet::new(), announced: BTreeSet::new() }
    }
}

#[derive(Debug, Default)]
pub struct Registrations {
    nodes: BTreeMap<u32, Node>,
    by_conn: BTreeMap<ConnId, u32>,
    /// Which nodes have a content.
    bound: BTreeSet<(InfoHash, u32)>,
    /// Nodes whose connection is over, on their way to be forgotten.
    gone: VecDeque<Node>,
    gone_numbers: VecDeque<u32>,
    next: u32,
    /// Contents of each source whose limits count, those on their way to be forgotten among them.
    shares: Shares,
    /// Limits per address count for private addresses, too.
    public: bool,
}

impl Registrations {
    /// The lengths of its tables.
    pub fn tables(&self) -> [(&'static str, usize); 4] {
        [
            ("registered_nodes", self.nodes.len()),
            ("registered_connections", self.by_conn.len()),
            ("registered_contents", self.bound.len()),
            ("registered_gone", self.gone.len() + self.gone_numbers.len()),
        ]
    }

    pub fn new(public: bool) -> Registrations {
        Registrations { public, ..Registrations::default() }
    }

    /// Nodes that are there.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Nodes that are there and announce none of their contents: they are counted nowhere else.
    pub fn silent(&self) -> usize {
        self.nodes.values().filter(|node| node.announced.is_empty()).count()
    }

    /// Whether whoever is at `key` announces a content. Nothing happens unless it registered it.
    pub fn announces(&mut self, hash: InfoHash, key: PeerKey, announces: bool) {
        for (_, number) in self.bound.range((hash, 0)..=(hash, u32::MAX)) {
            let Some(node) = self.nodes.get_mut(number) else { continue };
            if node.source.key != key {
                continue;
            }
            match announces {
                true => node.announced.insert(hash),
                false => node.announced.remove(&hash),
            };
        }
    }

    /// Contents of all nodes, each counted once per node.
    pub fn bound(&self) -> usize {
        self.bound.len()
    }

    /// Whether nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.gone.is_empty()
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
        let limited = |source: Source| source::Source::limited(source.key.ip(), self.public);
        let who = limited(source);
        let asked = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
        if who.is_some() && self.shares.of(who).saturating_add(asked) > ADDRESS_CONTENTS_MAX {
            return quota("too many contents are registered from your address");
        }
        if kept.is_none() {
            self.drop_node(conn);
            self.next = self.next.wrapping_add(1);
            while self.nodes.contains_key(&self.next) || self.gone_numbers.contains(&self.next) {
                self.next = self.next.wrapping_add(1);
            }
            self.by_conn.insert(conn, self.next);
            self.nodes.insert(self.next, Node::new(source));
        }
        let Some(number) = self.by_conn.get(&conn).copied() else { return Ok(()) };
        for hash in hashes {
            if self.has_room(*hash, who)
                && let Some(node) = self.nodes.get_mut(&number)
                && node.contents.insert(*hash)
            {
                self.bound.insert((*hash, number));
                self.shares.add(who);
            }
        }
        Ok(())
    }

    /// Whether a content has room for a further node of a source.
    fn has_room(&self, hash: InfoHash, who: Option<source::Source>) -> bool {
        let limited = |source: Source| source::Source::limited(source.key.ip(), self.public);
        let (mut there, mut same) = (0, 0);
        let all = self.bound.range((hash, 0)..=(hash, u32::MAX)).take(CONTENT_NODES_MAX);
        for node in all.map(|(_, number)| self.nodes.get(number)) {
            there += 1;
            same += usize::from(who.is_some_and(|_| node.map(|n| limited(n.source)) == Some(who)));
        }
        there < CONTENT_NODES_MAX && same < ADDRESS_PEERS_MAX
    }

    /// The connection of a node is over: it is handed out no more.
    pub fn drop_node(&mut self, conn: ConnId) {
        let Some(number) = self.by_conn.remove(&conn) else { return };
        if let Some(node) = self.nodes.remove(&number) {
            self.gone.push_back(node);
            self.gone_numbers.push_back(number);
        }
    }

    /// Forgets a step's worth of what gone nodes had; the contents that lost one.
    pub fn forget(&mut self) -> Vec<InfoHash> {
        let mut lost = Vec::new();
        while lost.len() < FORGET_STEP
            && let (Some(node), Some(number)) = (self.gone.front_mut(), self.gone_numbers.front())
        {
            match node.contents.pop_first() {
                Some(hash) => {
                    self.bound.remove(&(hash, *number));
                    self.shares.take(source::Source::limited(node.source.key.ip(), self.public));
                    lost.push(hash);
                }
                None => {
                    self.gone.pop_front();
                    self.gone_numbers.pop_front();
                }
            }
        }
        lost
    }

    /// The nodes that have a content.
    pub fn sources(&self, hash: InfoHash) -> impl Iterator<Item = Source> {
        let there = self.bound.range((hash, 0)..=(hash, u32::MAX));
        there.filter_map(|(_, number)| self.nodes.get(number)).map(|node| node.source)
    }

    /// How many nodes have a content under any of its hashes and are not counted already.
    pub fn count(
        &self,
        hashes: impl Iterator<Item = InfoHash>,
        counted: impl Fn(PeerKey) -> bool,
    ) -> u32 {
        let mut seen: Vec<PeerKey> = Vec::new();
        for source in hashes.flat_map(|hash| self.sources(hash)) {
            if !seen.contains(&source.key) && !counted(source.key) {
                seen.push(source.key);
            }
        }
        seen.len() as u32
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
        assert_eq!(nodes.count([hash(3), hash(4)].into_iter(), |_| false), 2, "each once");
        assert_eq!(nodes.count([hash(3)].into_iter(), |key| key == source(2).key), 1);
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
