//! When web seeds are asked that are only there for need: the server that a file was published from
//! shall send it about once, so peers come first.

use crate::core::limits::{WEB_RESERVE, WEB_RESERVE_ALONE};
use crate::core::time::{Span, Time};
use crate::swarm::Swarm;

/// How often it is looked at who gave what.
const LOOK: Span = Span::secs(1);

#[derive(Debug, Default)]
pub struct Reserve {
    next: Time,
    /// Bytes that peers gave, and since when they gave no more.
    peers_gave: u64,
    idle_since: Option<Time>,
    /// Bytes that those in reserve gave before they rested.
    pub gave: u64,
    called: bool,
}

impl Reserve {
    pub fn deadline(&self) -> Time {
        self.next
    }

    /// Whether the web seeds in reserve are to be asked now; `given` = bytes that those gave that
    /// are called in.
    pub fn is_called(&mut self, swarm: &Swarm, given: u64, now: Time) -> bool {
        if now < self.next {
            return self.called;
        }
        if swarm.is_complete() {
            self.next = Time::NEVER;
            return self.called;
        }
        self.next = now + LOOK;
        let peers = swarm.downloaded().saturating_sub(self.gave + given);
        let since = *self.idle_since.get_or_insert(now);
        if peers > self.peers_gave {
            (self.peers_gave, self.idle_since, self.called) = (peers, Some(now), false);
            return false;
        }
        // Those that are called in are sources, too.
        let alone = self.called || swarm.sources() == 0;
        let patience = if alone { WEB_RESERVE_ALONE } else { WEB_RESERVE };
        self.called |= now.since(since) >= patience;
        self.called
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::bitfield::Bitfield;
    use crate::content::metainfo::ContentHasher;
    use crate::core::id::{FileId, PeerId};
    use crate::core::rng::Rng;
    use crate::peer::Us;
    use std::rc::Rc;

    fn swarm(have: Bitfield) -> Swarm {
        let mut hasher = ContentHasher::new(b"x", 5).unwrap();
        hasher.update(b"bytes");
        let content = Rc::new(hasher.finish().unwrap());
        let (peer_id, metadata_bytes) = (PeerId([9; 20]), [0; 2]);
        let us = Us { peer_id, listen_port: 7, metadata_bytes, exchanges: false, upgrade: None };
        let file = (FileId { slot: 0, generation: 0 }, have);
        Swarm::new(content, us, file, (1, 10), &mut Rng::new(1), Time::ZERO)
    }

    #[test]
    fn those_in_reserve_are_called_when_nobody_gives_anything_for_long() {
        let (swarm, mut reserve, begun) = (swarm(Bitfield::new(1)), Reserve::default(), Time(7));
        assert!(!reserve.is_called(&swarm, 0, begun));
        assert!(reserve.deadline() > begun);
        let just_before = Time((begun + WEB_RESERVE_ALONE).0 - 1);
        assert!(!reserve.is_called(&swarm, 0, just_before));
        let then = just_before + LOOK;
        assert!(reserve.is_called(&swarm, 0, then));
        // They stay while they give and peers do not.
        assert!(reserve.is_called(&swarm, 0, then + LOOK));
        assert!(reserve.is_called(&swarm, 0, then + LOOK + LOOK));
    }

    #[test]
    fn nothing_is_looked_at_once_all_is_there() {
        let (swarm, mut reserve) = (swarm(Bitfield::full(1)), Reserve::default());
        assert!(!reserve.is_called(&swarm, 0, Time(7)));
        assert_eq!(reserve.deadline(), Time::NEVER);
    }
}
