//! What is known of the content so far: info dicts that match the info-hashes, and the layers of
//! the hash tree.

use super::Topics;
use super::layers::Layers;
use super::metadata::{Metadata, Whole};
use crate::content::digest;
use crate::content::error::MetaError;
use crate::content::merkle::Shape;
use crate::content::metainfo::Content;
use crate::core::id::{ConnId, Hash32, InfoHash};
use crate::core::time::{Span, Time};
use crate::peer::Identity;

/// A link with two info-hashes that are not those of one info dict: so long the second dict may
/// take.
const COMPANION: Span = Span::secs(3);
/// How long the layers may take when SHA-1 proves the pieces as well.
const LAYERS: Span = Span::secs(3);

/// The end of learning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Learned {
    /// What the info dicts say, or why no download can be made of it.
    pub content: Result<Content, MetaError>,
    /// Since the first peer was named or came.
    pub took: Span,
}

#[derive(Debug)]
pub struct Learning {
    topics: Topics,
    since: Time,
    v1: Metadata,
    v2: Metadata,
    /// Info dicts that are what an info-hash says, by the identity they were asked for under.
    info_v1: Option<Vec<u8>>,
    info_v2: Option<Vec<u8>>,
    /// When the first of them was there.
    first: Option<Time>,
    layers: Option<Layers>,
    /// What they say together.
    content: Option<Result<Content, MetaError>>,
}

/// What became of a whole info dict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judged {
    Right,
    /// It is not what the info-hash says; by whom, if there can be but one.
    Wrong(Option<ConnId>),
}

impl Learning {
    pub fn new(topics: Topics, now: Time) -> Learning {
        Learning {
            topics,
            since: now,
            v1: Metadata::default(),
            v2: Metadata::default(),
            info_v1: None,
            info_v2: None,
            first: None,
            layers: None,
            content: None,
        }
    }

    pub fn metadata(&mut self, identity: Identity) -> &mut Metadata {
        match identity {
            Identity::V1 => &mut self.v1,
            Identity::V2 => &mut self.v2,
        }
    }

    pub fn layers(&mut self) -> Option<&mut Layers> {
        self.layers.as_mut()
    }

    /// Whether an info dict is still wanted under an identity.
    pub fn wants_info(&self, identity: Identity) -> bool {
        let there = match identity {
            Identity::V1 => self.info_v1.is_some() || self.topics.v1.is_none(),
            Identity::V2 => self.info_v2.is_some() || self.topics.v2.is_none(),
        };
        !there && self.content.is_none()
    }

    /// Whether anything may still come of conversations under an identity.
    pub fn wants(&self, identity: Identity) -> bool {
        let layers = self.layers.as_ref().is_some_and(|layers| !layers.is_complete());
        self.wants_info(identity) || (identity == Identity::V2 && layers)
    }

    /// The info-hash of v2, which follows from an info dict that was met under v1.
    pub fn v2(&self) -> Option<Hash32> {
        match &self.content {
            Some(Ok(content)) => content.v2.as_ref().map(|v2| v2.info_hash),
            _ => None,
        }
    }

    /// All blocks of an info dict are there.
    pub fn judge(&mut self, identity: Identity, whole: Whole, now: Time) -> Judged {
        let is_right = match identity {
            Identity::V1 => self.topics.v1 == Some(InfoHash(digest::sha1(&whole.bytes))),
            Identity::V2 => self.topics.v2 == Some(digest::sha256(&whole.bytes)),
        };
        if !is_right {
            return Judged::Wrong(self.metadata(identity).was_wrong(&whole));
        }
        self.first.get_or_insert(now);
        match identity {
            Identity::V1 => self.info_v1 = Some(whole.bytes),
            Identity::V2 => self.info_v2 = Some(whole.bytes),
        }
        self.read(false);
        Judged::Right
    }

    /// Reads what is there: both info dicts, or the only one that there can be, or (`at_last`)
    /// will be.
    fn read(&mut self, at_last: bool) {
        if self.content.is_some() {
            return;
        }
        let read = match (&self.info_v1, &self.info_v2) {
            (None, None) => return,
            (Some(v1), Some(v2)) if v1 != v2 => {
                let joined = Content::from_parts(Some(v1), Some(v2), None);
                // Two contents under one link: the better proof counts.
                joined.or_else(|_| Content::from_info(v2, None))
            }
            (Some(info), _) | (None, Some(info)) => Content::from_info(info, None),
        };
        let strays = read.as_ref().is_ok_and(|content| self.strays(content));
        if strays && !at_last {
            return;
        }
        let read = read.and_then(|content| match strays {
            true => Err(MetaError::Disagree("the info-hashes of the link")),
            false => Ok(content),
        });
        let (v1, v2) = (self.topics.v1.is_some(), self.topics.v2.is_some());
        let whole = read
            .as_ref()
            .map_or(true, |content| (content.v1.is_some() || !v1) && (content.v2.is_some() || !v2));
        if let Ok(content) = &read
            && self.layers.is_none()
            && content.v2.is_some()
        {
            self.layers = Some(Layers::new(lacking(content)));
        }
        if whole || at_last {
            self.content = Some(read);
        }
    }

    /// Whether its v2 part is not the one that the link names. SHA-1 alone does not prove it: there
    /// may be two info dicts of one v1 info-hash.
    fn strays(&self, content: &Content) -> bool {
        let named = content.v2.as_ref().zip(self.topics.v2);
        named.is_some_and(|(v2, topic)| v2.info_hash != topic)
    }

    /// Time passed: what is there may have to do. -> peers that send nothing.
    pub fn tick(&mut self, now: Time) -> Vec<ConnId> {
        if self.first.is_some_and(|first| now.since(first) >= COMPANION) {
            self.read(true);
        }
        let mut silent = self.layers.as_mut().map_or(Vec::new(), |layers| layers.expire(now));
        silent.extend(self.v1.expire(now));
        silent.extend(self.v2.expire(now));
        silent
    }

    /// Blocks of info dicts and ranges of hashes that came so far.
    pub fn arrived(&self) -> u64 {
        let layers = self.layers.as_ref().map_or(0, Layers::arrived);
        self.v1.arrived() + self.v2.arrived() + layers
    }

    /// What was learned, once.
    pub fn take(&mut self, now: Time) -> Option<Learned> {
        let content = self.content.as_ref()?;
        let took = now.since(self.since);
        let complete = self.layers.as_ref().is_none_or(Layers::is_complete);
        let by_sha1 = content.as_ref().is_ok_and(|content| content.v1.is_some());
        let waited = self.first.is_some_and(|first| now.since(first) >= LAYERS);
        if content.is_ok() && !complete && !(by_sha1 && waited) {
            return None;
        }
        let content = self.content.take()?;
        Some(Learned { content: content.and_then(|content| self.with_layers(content)), took })
    }

    fn with_layers(&mut self, mut content: Content) -> Result<Content, MetaError> {
        let Some(layers) = self.layers.as_mut().filter(|layers| layers.is_complete()) else {
            return Ok(content);
        };
        for (root, layer) in layers.take() {
            content.set_layer(root, &layer)?;
        }
        Ok(content)
    }
}

/// The files whose piece layers are not known: root and shape of each.
fn lacking(content: &Content) -> Vec<(Hash32, Shape)> {
    let trees = content.v2.iter().flat_map(|v2| v2.trees.lacking());
    trees.map(|tree| (tree.root, tree.shape)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The info dict of a hybrid of one piece.
    fn hybrid() -> Vec<u8> {
        let mut info = b"d9:file treed1:ad0:d6:lengthi5e11:pieces root32:".to_vec();
        info.extend([7; 32]);
        info.extend(b"eee6:lengthi5e12:meta versioni2e4:name1:a12:piece lengthi16384e6:pieces20:");
        info.extend([9; 20]);
        info.push(b'e');
        info
    }

    fn learned(v2: Hash32, seconds: u64) -> Option<Learned> {
        let info = hybrid();
        let v1 = Some(InfoHash(digest::sha1(&info)));
        let mut learning = Learning::new(Topics { v1, v2: Some(v2) }, Time::ZERO);
        let whole = Whole { bytes: info, from: Vec::new() };
        assert_eq!(learning.judge(Identity::V1, whole, Time::ZERO), Judged::Right);
        let now = Time::ZERO + Span::secs(seconds);
        learning.tick(now);
        assert_eq!(learning.layers().is_some(), v2 == digest::sha256(&hybrid()));
        learning.take(now)
    }

    #[test]
    fn a_hybrid_is_taken_under_both_hashes_of_the_link_or_not_at_all() {
        let right = digest::sha256(&hybrid());
        assert!(learned(right, 0).unwrap().content.unwrap().is_hybrid());
        let other = Hash32([1; 32]);
        assert_eq!(learned(other, 0), None, "the dict of that hash may still come");
        let refused = learned(other, 3).unwrap().content;
        assert_eq!(refused, Err(MetaError::Disagree("the info-hashes of the link")));
    }
}
