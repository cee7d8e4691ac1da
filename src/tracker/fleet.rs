//! The fleet: what each node of ours last said of its part in a named content, counted once per
//! node however many identities it announces under. Bounded; for people to look at, nothing is
//! decided by it.

use super::record::Progress;
use super::shares::Shares;
use super::source::Source;
use super::swarm::PeerKey;
use crate::core::id::InfoHash;
use crate::core::time::{Span, Time};
use crate::wire::slot_word::SlotWord;
use std::collections::BTreeMap;

/// Nodes remembered, all contents together; later ones are counted in their swarm and not shown.
pub const FLEET_NODES_MAX: usize = 10_000;
/// Of these, nodes of one limited source: it leaves room for others.
pub const SOURCE_NODES_MAX: u32 = 500;
/// Announces closer than this are of one moment: two identities of a node, or a word repeated.
const MOMENT: Span = Span::secs(1);
/// Weight of the new in the smoothed rate, percent: after three announces the old is forgotten.
const NEW_PERCENT: u64 = 60;

/// What an announce says beyond its place in a swarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Said {
    /// Bytes still missing; `u64::MAX` = not known.
    pub left: u64,
    /// Bytes of content received and sent since the node started.
    pub downloaded: u64,
    pub uploaded: u64,
    pub slots: Option<SlotWord>,
}

/// One node of a content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node {
    pub left: u64,
    pub downloaded: u64,
    pub uploaded: u64,
    pub slots: Option<SlotWord>,
    /// Bytes a second, from two announces and smoothed over the last few.
    pub rate: u64,
    /// When it was heard last, or that it is remembered.
    pub heard: Time,
    /// Seconds it was silent then, as long as all that is known of it is what an earlier run kept.
    silent_s: Option<u64>,
    /// The announce from which the next rate is reckoned.
    from: (Time, u64),
}

impl Node {
    fn new(now: Time, said: Said) -> Node {
        let Said { left, downloaded, uploaded, slots } = said;
        let from = (now, downloaded);
        Node { left, downloaded, uploaded, slots, rate: 0, heard: now, silent_s: None, from }
    }

    /// A node that has it all and says no more of it, for as long as it is there.
    pub fn complete(now: Time) -> Node {
        Node::new(now, Said { left: 0, downloaded: 0, uploaded: 0, slots: None })
    }

    fn says(&mut self, now: Time, said: Said) {
        let passed = now.since(self.from.0);
        if said.downloaded < self.from.1 || self.is_last_known() {
            // It started anew, or we did.
            (self.rate, self.from) = (0, (now, said.downloaded));
        } else if passed >= MOMENT {
            let bytes = u128::from(said.downloaded - self.from.1);
            let fresh = (bytes * 1_000_000_000 / u128::from(passed.0)) as u64;
            self.rate = match self.rate {
                0 => fresh,
                old => {
                    let mixed = u128::from(fresh) * u128::from(NEW_PERCENT)
                        + u128::from(old) * u128::from(100 - NEW_PERCENT);
                    (mixed / 100) as u64
                }
            };
            self.from = (now, said.downloaded);
        }
        if said.left == 0 {
            self.rate = 0;
        }
        (self.left, self.downloaded, self.uploaded) = (said.left, said.downloaded, said.uploaded);
        // An announce without the word takes nothing back: it may be of an older identity.
        self.slots = said.slots.or(self.slots);
        (self.heard, self.silent_s) = (now, None);
    }

    /// Whether nothing was heard of it since the tracker started.
    pub fn is_last_known(&self) -> bool {
        self.silent_s.is_some()
    }

    /// Seconds since it was heard.
    pub fn silent_s(&self, now: Time) -> u64 {
        now.since(self.heard).as_secs() + self.silent_s.unwrap_or(0)
    }

    pub fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// How much it has of `size` bytes, in tenths of a percent; all of them only when nothing is
    /// left. `None` while it does not know itself.
    pub fn permille(&self, size: u64) -> Option<u64> {
        match self.left {
            0 => Some(1000),
            u64::MAX => None,
            left => {
                let has = u128::from(size.saturating_sub(left)) * 1000 / u128::from(size.max(1));
                Some((has as u64).min(999))
            }
        }
    }

    /// Seconds from `now` until it is complete at its present rate; `None` if that cannot be said.
    pub fn finish_s(&self, now: Time) -> Option<u64> {
        match (self.left, self.rate) {
            (0, _) => Some(0),
            (u64::MAX, _) | (_, 0) => None,
            (left, rate) => {
                let passed = now.since(self.heard).as_secs();
                Some(left.div_ceil(rate).saturating_sub(passed))
            }
        }
    }
}

/// The nodes of all named contents.
#[derive(Debug, Default)]
pub struct Fleet {
    contents: BTreeMap<InfoHash, BTreeMap<PeerKey, Node>>,
    nodes: usize,
    /// Nodes of each source whose limits count.
    shares: Shares,
    /// Limits per address count for private addresses, too.
    public: bool,
}

impl Fleet {
    pub fn new(public: bool) -> Fleet {
        Fleet { public, ..Fleet::default() }
    }

    fn source(&self, who: PeerKey) -> Option<Source> {
        Source::limited(who.ip(), self.public)
    }

    /// A node of a content that was not there, if there is room.
    fn enter(&mut self, content: InfoHash, who: PeerKey, node: Node) {
        let source = self.source(who);
        if self.nodes < FLEET_NODES_MAX && self.shares.of(source) < SOURCE_NODES_MAX {
            self.nodes += 1;
            self.shares.add(source);
            self.contents.entry(content).or_default().insert(who, node);
        }
    }

    fn node_mut(&mut self, content: InfoHash, who: PeerKey) -> Option<&mut Node> {
        self.contents.get_mut(&content)?.get_mut(&who)
    }

    /// The lengths of its tables.
    pub fn tables(&self) -> [(&'static str, usize); 2] {
        [("fleet_contents", self.contents.len()), ("fleet_nodes", self.nodes)]
    }

    /// Nodes remembered.
    pub fn len(&self) -> usize {
        self.nodes
    }

    pub fn is_empty(&self) -> bool {
        self.nodes == 0
    }

    /// A node of a content announced. `content` is the one hash that stands for the content.
    pub fn heard(&mut self, now: Time, content: InfoHash, who: PeerKey, said: Said) {
        match self.node_mut(content, who) {
            Some(node) => node.says(now, said),
            None => self.enter(content, who, Node::new(now, said)),
        }
    }

    /// A node as an earlier run knew it, last heard `silent_s` seconds ago.
    pub fn remembers(
        &mut self,
        now: Time,
        content: InfoHash,
        who: PeerKey,
        progress: Progress,
        silent_s: u64,
    ) {
        let Progress { uploaded, downloaded, left } = progress;
        // The other identity of a content may have told of it already.
        if self.node_mut(content, who).is_none() {
            let node = Node::new(now, Said { left, downloaded, uploaded, slots: None });
            self.enter(content, who, Node { silent_s: Some(silent_s), ..node });
        }
    }

    /// A node is gone from a content.
    pub fn left(&mut self, content: InfoHash, who: PeerKey) {
        let Some(nodes) = self.contents.get_mut(&content) else { return };
        let gone = nodes.remove(&who).is_some();
        if nodes.is_empty() {
            self.contents.remove(&content);
        }
        if gone {
            self.took(who);
        }
    }

    /// A content has no name any more.
    pub fn forget(&mut self, content: InfoHash) {
        for who in self.contents.remove(&content).unwrap_or_default().into_keys() {
            self.took(who);
        }
    }

    fn took(&mut self, who: PeerKey) {
        self.nodes = self.nodes.saturating_sub(1);
        self.shares.take(self.source(who));
    }

    /// How many nodes a content has here.
    pub fn count(&self, content: InfoHash) -> usize {
        self.contents.get(&content).map_or(0, BTreeMap::len)
    }

    /// The nodes of a content, in the order of their addresses.
    pub fn nodes(&self, content: InfoHash) -> impl Iterator<Item = (PeerKey, &Node)> {
        let nodes = self.contents.get(&content).into_iter().flatten();
        nodes.map(|(who, node)| (*who, node))
    }

    /// Contents that a node is still fetching.
    pub fn busy(&self) -> impl Iterator<Item = InfoHash> {
        let busy = |nodes: &BTreeMap<PeerKey, Node>| nodes.values().any(|n| !n.is_complete());
        self.contents.iter().filter(move |(_, nodes)| busy(nodes)).map(|(content, _)| *content)
    }

    /// Seconds until the last node of a content is complete; `None` when one of them stands still
    /// or does not say how much it lacks, or when there is no node.
    pub fn finish_s(&self, content: InfoHash, now: Time) -> Option<u64> {
        let mut last = None;
        for (_, node) in self.nodes(content) {
            last = Some(node.finish_s(now)?.max(last.unwrap_or(0)));
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: InfoHash = InfoHash([7; 20]);

    fn key(n: u16) -> PeerKey {
        PeerKey::new(format!("10.0.0.1:{n}").parse().unwrap())
    }

    fn said(left: u64, downloaded: u64) -> Said {
        Said { left, downloaded, uploaded: 0, slots: None }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Span::secs(seconds)
    }

    fn node(fleet: &Fleet) -> Node {
        *fleet.nodes(CONTENT).next().unwrap().1
    }

    #[test]
    fn a_rate_comes_from_two_announces_and_is_smoothed_over_more() {
        let mut fleet = Fleet::default();
        fleet.heard(at(0), CONTENT, key(1), said(1000, 0));
        assert_eq!((node(&fleet).rate, fleet.finish_s(CONTENT, at(0))), (0, None));
        fleet.heard(at(5), CONTENT, key(1), said(500, 500));
        assert_eq!((node(&fleet).rate, fleet.finish_s(CONTENT, at(5))), (100, Some(5)));
        // The second identity of the node, a moment later.
        fleet.heard(at(5) + Span::ms(3), CONTENT, key(1), said(499, 501));
        assert_eq!((node(&fleet).rate, fleet.len()), (100, 1));
        fleet.heard(at(10), CONTENT, key(1), said(500, 500));
        assert_eq!(node(&fleet).rate, 40, "a node that stands still slows down, by and by");
        fleet.heard(at(15), CONTENT, key(1), said(0, 1000));
        assert_eq!((node(&fleet).rate, fleet.finish_s(CONTENT, at(15))), (0, Some(0)));
    }

    #[test]
    fn a_node_that_starts_anew_has_no_rate_of_before() {
        let mut fleet = Fleet::default();
        fleet.heard(at(0), CONTENT, key(1), said(9, 0));
        fleet.heard(at(1), CONTENT, key(1), said(5, 400));
        fleet.heard(at(9), CONTENT, key(1), said(9, 0));
        assert_eq!(node(&fleet).rate, 0);
    }

    #[test]
    fn percent_is_whole_only_when_nothing_is_left() {
        let of = |left, size| Node::new(at(0), said(left, 0)).permille(size);
        assert_eq!(of(1, 1 << 40), Some(999));
        assert_eq!(of(0, 0), Some(1000));
        assert_eq!(of(250, 1000), Some(750));
        assert_eq!(of(5000, 1000), Some(0));
        assert_eq!(of(u64::MAX, 1000), None);
    }

    #[test]
    fn the_last_node_is_waited_for() {
        let mut fleet = Fleet::default();
        for n in 1..=3 {
            fleet.heard(at(0), CONTENT, key(n), said(1000, 0));
            fleet.heard(at(10), CONTENT, key(n), said(1000, u64::from(n) * 100));
        }
        assert_eq!(fleet.finish_s(CONTENT, at(10)), Some(100));
        assert_eq!(fleet.finish_s(CONTENT, at(40)), Some(70));
        fleet.heard(at(10), CONTENT, key(4), said(7, 0));
        assert_eq!(fleet.finish_s(CONTENT, at(40)), None);
        fleet.left(CONTENT, key(4));
        assert!(fleet.finish_s(CONTENT, at(40)).is_some());
        assert_eq!(fleet.busy().collect::<Vec<_>>(), [CONTENT]);
        fleet.forget(CONTENT);
        assert!(fleet.is_empty() && fleet.busy().next().is_none());
    }

    #[test]
    fn what_an_earlier_run_knew_counts_until_the_node_is_heard() {
        let mut fleet = Fleet::default();
        let progress = Progress { uploaded: 3, downloaded: 40, left: 60 };
        fleet.remembers(at(0), CONTENT, key(1), progress, 90);
        fleet.remembers(at(0), CONTENT, key(1), Progress { left: 70, ..progress }, 95);
        let known = node(&fleet);
        assert_eq!((known.left, known.rate, known.silent_s(at(10))), (60, 0, 100));
        assert!(known.is_last_known() && fleet.len() == 1);
        fleet.heard(at(11), CONTENT, key(1), said(50, 50));
        let heard = node(&fleet);
        assert_eq!((heard.is_last_known(), heard.silent_s(at(13))), (false, 2));
        assert_eq!(heard.rate, 0, "what came while the tracker was away says nothing of a rate");
        fleet.heard(at(21), CONTENT, key(1), said(40, 60));
        assert_eq!(node(&fleet).rate, 1);
    }

    #[test]
    fn a_full_fleet_takes_nobody_new_and_keeps_whom_it_has() {
        let mut fleet = Fleet::default();
        for n in 0..FLEET_NODES_MAX as u16 {
            fleet.heard(at(0), CONTENT, key(n), said(5, 0));
        }
        fleet.heard(at(1), CONTENT, key(60_000), said(5, 0));
        fleet.heard(at(1), CONTENT, key(3), said(4, 1));
        assert_eq!(fleet.len(), FLEET_NODES_MAX);
        assert!(fleet.nodes(CONTENT).all(|(who, _)| who != key(60_000)));
        fleet.left(CONTENT, key(3));
        fleet.heard(at(2), CONTENT, key(60_000), said(5, 0));
        assert_eq!(fleet.len(), FLEET_NODES_MAX);
    }

    #[test]
    fn one_address_leaves_room_for_others() {
        let mut fleet = Fleet::new(true);
        // A private address: on a public tracker its limits count.
        let of = |host: u8, port| PeerKey::new(([10, 9, 9, host], port).into());
        for n in 0..2000 {
            fleet.heard(at(0), CONTENT, of(1, n), said(5, 0));
            let progress = Progress { uploaded: 0, downloaded: 0, left: 5 };
            fleet.remembers(at(0), CONTENT, of(1, 3000 + n), progress, 9);
        }
        assert_eq!(fleet.len(), SOURCE_NODES_MAX as usize);
        fleet.heard(at(0), CONTENT, of(2, 1), said(5, 0));
        assert_eq!(fleet.len(), SOURCE_NODES_MAX as usize + 1);
        fleet.left(CONTENT, of(1, 0));
        fleet.heard(at(0), CONTENT, of(1, 9000), said(5, 0));
        assert!(fleet.nodes(CONTENT).any(|(who, _)| who == of(1, 9000)), "one went");
        fleet.forget(CONTENT);
        assert!(fleet.is_empty() && fleet.shares.is_empty());
    }
}
