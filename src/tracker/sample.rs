//! Which peers an asker is given: never itself, none that is over, those near it first, the rest at
//! random.

use super::members::Members;
use super::record::{Family, Peer, PeerKey, Record};
use super::sites::Near;
use crate::core::id::PeerId;
use crate::core::rng::Rng;

/// Who asks for peers, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    pub key: PeerKey,
    pub id: PeerId,
    pub complete: bool,
    /// The family of the addresses it can use: the answer holds no other.
    pub v4: bool,
    /// Peers wanted.
    pub want: usize,
}

/// Primes beyond the size of any swarm: a walk with such a stride meets everybody once.
const STRIDES: [u64; 8] = [
    4_294_967_311,
    4_294_967_357,
    4_294_967_371,
    4_294_967_377,
    4_294_967_387,
    4_294_967_389,
    4_294_967_459,
    4_294_967_477,
];

/// One choice of peers, with what it depends on besides the asker.
#[derive(Debug)]
pub struct Choice<'a> {
    pub now_s: u32,
    pub near: Near<'a>,
    pub rng: &'a mut Rng,
    /// Places of those that are not near; reused from choice to choice.
    pub far: &'a mut Vec<u32>,
}

impl Choice<'_> {
    /// A complete asker gets incomplete peers only; an incomplete one gets both kinds, complete
    /// ones at most half while there are others, so that downloaders find each other too. `take`
    /// says whether it took the peer.
    pub fn of<const N: usize>(
        &mut self,
        members: &Members<N>,
        asker: &Asker,
        take: &mut dyn FnMut(&Peer) -> bool,
    ) where
        [u8; N]: Family,
    {
        let (full, few) = members.parted();
        let seeds = match asker.complete {
            true => 0,
            false => {
                asker.want.saturating_sub(few.len()).max(asker.want.div_ceil(2)).min(full.len())
            }
        };
        let given = self.draw(full, seeds, asker, take);
        self.draw(few, asker.want.saturating_sub(given), asker, take);
    }

    /// Walks through the records from a random place with a random stride: all of them when they
    /// are few, else about four times as many as are wanted, so that an answer from a large swarm
    /// costs no more than one from a small one.
    fn draw<const N: usize>(
        &mut self,
        records: &[Record<N>],
        want: usize,
        asker: &Asker,
        take: &mut dyn FnMut(&Peer) -> bool,
    ) -> usize
    where
        [u8; N]: Family,
    {
        let count = records.len();
        if count == 0 || want == 0 {
            return 0;
        }
        self.far.clear();
        let stride =
            STRIDES.get(self.rng.below(8) as usize).map_or(1, |s| (s % count as u64) as usize);
        let mut at = self.rng.below(count as u64) as usize;
        let mut given = 0;
        for _ in 0..count.min(want.saturating_mul(4).saturating_add(16)) {
            let Some(record) = records.get(at) else { break };
            let here = at as u32;
            at += stride;
            at -= if at >= count { count } else { 0 };
            if record.over_s() <= self.now_s {
                continue;
            }
            let peer = record.peer();
            if peer.key == asker.key || peer.id == asker.id {
                continue;
            }
            if !self.near.has(peer.key.ip()) {
                if self.far.len() < want {
                    self.far.push(here);
                }
            } else if take(&peer) {
                given += 1;
                if given == want {
                    return given;
                }
            }
        }
        for here in self.far.iter() {
            if given == want {
                break;
            }
            let peer = records.get(*here as usize).map(Record::peer);
            given += usize::from(peer.is_some_and(|peer| take(&peer)));
        }
        given
    }
}
