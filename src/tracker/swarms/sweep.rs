//! Who goes without saying so: peers whose time is over, and swarms that nobody is in.

use super::{Moved, Swarms};
use crate::core::id::InfoHash;
use crate::core::limits::PARKED_SWARMS_MAX;
use crate::core::time::Time;
use crate::tracker::record::PeerKey;
use crate::tracker::source::Source;
use crate::tracker::swarm::Swarm;

/// Peers of a swarm up to which those that are over are removed before anything is said of it; a
/// larger one waits for the sweep.
const SETTLE_PEERS_MAX: usize = 4096;
/// Peers removed in one slice of work: each may be told, names may lose their source, and memory
/// goes back.
const REMOVED_PER_SLICE: usize = 150;
/// Peers removed so that an answer is true.
const SETTLED_MAX: usize = 64;

impl Swarms {
    /// The lengths of its tables.
    pub fn tables(&self) -> [(&'static str, usize); 6] {
        [
            ("peers", self.peers),
            ("swarms", self.table.swarms()),
            ("swarms_parked", self.parked.len()),
            ("swarms_changed", self.changes.len()),
            ("swarm_pairs", self.pairs.len()),
            ("sources", self.shares.len()),
        ]
    }

    /// Swarms and peers that a whole sweep looks at.
    pub fn sweepable(&self) -> usize {
        self.table.swarms() + self.peers
    }

    /// A swarm lost its last peer: it is forgotten, or kept for a while for what it counted.
    pub(super) fn emptied(&mut self, hash: InfoHash, last: PeerKey) {
        let place = self.table.place(hash);
        let Some(swarm) = place.and_then(|place| self.table.at_mut(place)) else { return };
        self.active = self.active.saturating_sub(1);
        if swarm.completed() == 0 {
            self.table.remove(hash);
        } else if !swarm.parked {
            swarm.parked = true;
            self.parked.push(Source::limited(last.ip(), self.bounds.public), hash);
            self.unpark();
        }
    }

    /// Swarms without peers go first when room is short.
    pub(super) fn unpark(&mut self) {
        while self.parked.len() > PARKED_SWARMS_MAX
            || (!self.parked.is_empty() && self.peers + self.parked.len() > self.bounds.peers)
        {
            let Some(hash) = self.parked.pop() else { return };
            let place = self.table.place(hash);
            let Some(swarm) = place.and_then(|place| self.table.at_mut(place)) else { continue };
            swarm.parked = false;
            if swarm.is_empty() {
                self.changes.note(hash, self.bounds.peers);
                self.table.remove(hash);
                self.forget_count(hash);
            }
        }
    }

    /// What was counted of a swarm is not known any more, and not to be kept.
    pub(super) fn forget_count(&mut self, hash: InfoHash) {
        if self.changes.is_kept() {
            self.forgotten.push(hash);
        }
    }

    /// Swarms whose counts are not to be kept any longer.
    pub fn take_forgotten(&mut self) -> Vec<InfoHash> {
        std::mem::take(&mut self.forgotten)
    }

    /// Removes the peers of one swarm whose time is over, up to 64, so that what is said of it next
    /// is true; where there are more the sweep does the rest.
    pub fn settle(&mut self, now: Time, hash: InfoHash, gone: &mut Vec<Moved>) {
        let now_s = self.now_s(now);
        let Some(place) = self.table.place(hash) else { return };
        let due = |swarm: &&Swarm| swarm.earliest_s() <= now_s && swarm.len() <= SETTLE_PEERS_MAX;
        if self.table.at(place).filter(due).is_none() {
            return;
        }
        let mut over = std::mem::take(&mut self.over);
        self.table.change(place, |swarm, arenas| {
            swarm.over(now_s, (0, SETTLE_PEERS_MAX, SETTLED_MAX), &mut over, arenas);
        });
        gone.extend(over.drain(..).map(|key| self.remove(hash, key)));
        self.over = over;
    }

    /// One slice of the sweep: looks at up to `slots` swarms and peers for peers whose time is
    /// over and removes some of them into `gone`, going on where the last slice ended. Whether
    /// there were too many of them for one slice.
    pub fn sweep(&mut self, now: Time, mut slots: usize, gone: &mut Vec<Moved>) -> bool {
        let before = gone.len();
        let now_s = self.now_s(now);
        let mut over = std::mem::take(&mut self.over);
        let mut rounds = self.table.places();
        while slots > 0 && rounds > 0 && gone.len() - before < REMOVED_PER_SLICE {
            let (place, from) = self.sweep_at;
            if place >= self.table.places() {
                self.sweep_at = (0, 0);
                continue;
            }
            slots -= 1;
            let most = (REMOVED_PER_SLICE + before).saturating_sub(gone.len());
            let next = self.table.change(place, |swarm, arenas| {
                if swarm.earliest_s() > now_s {
                    return (swarm.hash, None);
                }
                let len = swarm.len().saturating_sub(from);
                let next = swarm.over(now_s, (from, slots.max(1), most), &mut over, arenas);
                slots = slots.saturating_sub(len);
                (swarm.hash, next)
            });
            let (hash, next) = next.unzip();
            let next = next.flatten();
            self.sweep_at = match next {
                // Those that are removed make those behind them move up.
                Some(at) => (place, at.saturating_sub(over.len())),
                None => (place + 1, 0),
            };
            rounds -= usize::from(next.is_none());
            let gone_here = over.drain(..).zip(std::iter::repeat(hash));
            gone.extend(gone_here.filter_map(|(key, hash)| Some(self.remove(hash?, key))));
        }
        self.over = over;
        gone.len() - before >= REMOVED_PER_SLICE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::PeerId;
    use crate::core::rng::Rng;
    use crate::core::time::Span;
    use crate::tracker::clock::Clock;
    use crate::tracker::record::Progress;
    use crate::tracker::swarms::{Announce, Bounds};

    const HASH: InfoHash = InfoHash([7; 20]);

    fn announce(n: u32, left: u64) -> Announce {
        let [_, b, c, d] = n.to_be_bytes();
        Announce {
            hash: HASH,
            key: PeerKey::new(([10, b, c, d], 7000).into()),
            id: PeerId(*b"-LM0100-sweepsweep12"),
            progress: Progress { uploaded: 0, downloaded: 0, left },
            stopped: false,
        }
    }

    fn swarms(peers: std::ops::Range<u32>, at: Time, mut known: Option<Swarms>) -> Swarms {
        let new = || Swarms::new(Clock::new(1_800_000_000), Rng::new(3), Bounds::default());
        let mut swarms = known.take().unwrap_or_else(new);
        for n in peers {
            // Those that have it all stand in front.
            swarms.announce(at, &announce(n, u64::from(n == 0))).unwrap();
        }
        swarms
    }

    /// The only one that is over stands last: slices pass by until one comes there.
    #[test]
    fn a_slice_looks_at_no_more_than_it_was_given() {
        let later = Time::ZERO + Span::secs(300);
        let mut swarms = swarms(1..5000, later, Some(swarms(0..1, Time::ZERO, None)));
        let mut gone = Vec::new();
        let slices = (1..100).find(|_| {
            swarms.sweep(later, 500, &mut gone);
            !gone.is_empty()
        });
        assert!(slices.is_some_and(|slices| slices >= 10), "{slices:?}");
        assert_eq!((gone.len(), gone[0].key), (1, announce(0, 1).key));
    }

    #[test]
    fn a_slice_removes_so_many_and_the_next_goes_on_where_it_ended() {
        let mut swarms = swarms(0..1000, Time::ZERO, None);
        let later = Time::ZERO + Span::secs(4000);
        let left: Vec<usize> = (0..7)
            .map(|_| {
                let mut gone = Vec::new();
                swarms.sweep(later, 1_000_000, &mut gone);
                assert!(gone.len() <= REMOVED_PER_SLICE);
                swarms.peers()
            })
            .collect();
        assert_eq!(left, [850, 700, 550, 400, 250, 100, 0]);
    }
}
