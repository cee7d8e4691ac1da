//! One conversation as a judge of the wire sees it: what was asked, and what came.

use crate::core::id::PeerId;
use crate::core::time::Time;
use crate::wire::peer::{BlockRef, Framer};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

pub(super) type Block = (u32, u32, u32);
pub(super) type Verdict = Result<(), String>;

pub(super) fn block(asked: BlockRef) -> Block {
    (asked.piece, asked.begin, asked.len)
}

/// A request of the other side, and how it was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) since: Time,
    pub(super) asked: u32,
    pub(super) answered: u32,
}

/// One conversation.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) remote: SocketAddr,
    pub(super) peer_id: Option<PeerId>,
    pub(super) comes: Framer,
    pub(super) leaves: Framer,
    /// Bytes queued that have not left.
    pub(super) unsent: u64,
    pub(super) fast: bool,
    pub(super) owed: BTreeMap<Block, Owed>,
    pub(super) choking: bool,
    pub(super) interested: bool,
    /// It has everything, so it says: it wants nothing.
    pub(super) full: bool,
    /// Since when it waits for a slot, and how many waited at the most meanwhile.
    pub(super) waits: Option<(Time, usize)>,
    /// What we asked of it and it has not answered, and since when it is asked each time.
    pub(super) asked: BTreeMap<Block, Vec<Time>>,
    pub(super) cancelled: BTreeSet<Block>,
    pub(super) late: BTreeSet<Block>,
    /// The block that comes in: what is there of it, and whether a byte was wrong.
    pub(super) coming: Option<(Block, u32, bool)>,
}

impl Talk {
    pub(super) fn new(remote: SocketAddr) -> Talk {
        Talk {
            remote,
            peer_id: None,
            comes: Framer::new(),
            leaves: Framer::new(),
            unsent: 0,
            fast: false,
            owed: BTreeMap::new(),
            choking: true,
            interested: false,
            full: false,
            waits: None,
            asked: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            late: BTreeSet::new(),
            coming: None,
        }
    }

    /// Where it comes from, and as whom. On one machine all come from one address.
    pub(super) fn origin(&self) -> Option<(IpAddr, PeerId)> {
        let ip = self.remote.ip();
        self.peer_id.filter(|_| !ip.is_loopback()).map(|peer_id| (ip, peer_id))
    }

    pub(super) fn got_request(&mut self, asked: BlockRef, now: Time) {
        let new = Owed { since: now, asked: 0, answered: 0 };
        let owed = self.owed.entry(block(asked)).or_insert(new);
        if owed.answered == owed.asked {
            *owed = new;
        }
        owed.asked += 1;
    }

    /// An answer of ours to a request.
    pub(super) fn answers(&mut self, to: Block, with_block: bool) -> Verdict {
        let owed = self.owed.get_mut(&to).filter(|owed| owed.answered < owed.asked);
        let Some(owed) = owed else {
            return Err(format!("S11: {to:?} was answered, and nobody waited for that"));
        };
        owed.answered += 1;
        // One block does for all who asked meanwhile.
        if with_block || owed.answered == owed.asked {
            self.owed.remove(&to);
        }
        Ok(())
    }

    /// An answer to a request of ours: since when it was asked, if it was.
    pub(super) fn take_asked(&mut self, which: Block) -> Option<Time> {
        let times = self.asked.get_mut(&which)?;
        let first = (!times.is_empty()).then(|| times.remove(0));
        if times.is_empty() {
            self.asked.remove(&which);
        }
        first
    }
}
