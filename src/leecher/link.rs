//! Our memory of one source while we converse: its state towards us (Available / Connected /
//! Unavailable), what we asked of it, and the block that is coming in.

use crate::content::geometry::Block;
use crate::core::meter::Meter;
use crate::core::report::State;
use crate::core::time::{Span, Time};
use crate::wire::peer_state::UploadState;
use std::collections::VecDeque;

/// A source that owes us blocks and sends none for so long is asked for nothing more.
const SILENT: Span = Span::secs(20);

#[derive(Debug)]
pub struct Link {
    /// What it told with `lmk_state`, if it speaks it. Choke and unchoke stay authoritative.
    told: Option<UploadState>,
    unchoked: bool,
    /// Blocks asked and not answered, in the order they were asked.
    pub asked: VecDeque<Block>,
    pub receiving: Option<Receiving>,
    /// When the last block came, or the first of the outstanding ones was asked.
    pub served: Time,
    /// It let requests time out: nothing is asked until it sends a block.
    pub silent: bool,
    pub meter: Meter,
}

/// The block that is coming in. A block we did not ask for is read past.
#[derive(Clone, Copy, Debug)]
pub struct Receiving {
    pub block: Block,
    /// Bytes of it that came.
    pub filled: u32,
    pub wanted: bool,
}

impl Link {
    pub fn new(now: Time) -> Link {
        Link {
            told: None,
            unchoked: false,
            asked: VecDeque::new(),
            receiving: None,
            served: now,
            silent: false,
            meter: Meter::new(now),
        }
    }

    pub fn got_state(&mut self, told: UploadState) {
        self.told = Some(told);
    }

    pub fn got_unchoke(&mut self) {
        self.unchoked = true;
    }

    pub fn got_choke(&mut self) {
        self.unchoked = false;
    }

    /// The source's state towards us. Choke is trusted over words; a stock client that chokes says
    /// nothing else, so it counts as one without a free slot.
    pub fn state(&self) -> State {
        match (self.unchoked, self.told) {
            (true, _) => State::Connected,
            (false, Some(told)) if told.state == State::Available => State::Available,
            (false, _) => State::Unavailable,
        }
    }

    /// Whether requests may be sent.
    pub fn serves(&self) -> bool {
        self.unchoked && !self.silent
    }

    /// Takes a block out of what was asked; answers come mostly in order.
    pub fn answered(&mut self, block: Block) -> bool {
        match self.asked.iter().position(|asked| *asked == block) {
            Some(0) => self.asked.pop_front().is_some(),
            Some(at) => self.asked.remove(at).is_some(),
            None => false,
        }
    }

    /// Whether it owes us blocks and has been silent for too long.
    pub fn overdue(&self, now: Time) -> bool {
        !self.silent && !self.asked.is_empty() && now.since(self.served) > SILENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::peer_state::Reason;

    fn told(state: State) -> UploadState {
        let reason = Reason::None;
        UploadState { state, queue_position: 0, queue_len: 0, free: 0, total: 1, wait_s: 0, reason }
    }

    #[test]
    fn choke_is_trusted_over_words() {
        let mut link = Link::new(Time::ZERO);
        assert_eq!(link.state(), State::Unavailable, "a silent stock client that chokes");
        link.got_state(told(State::Available));
        assert_eq!(link.state(), State::Available);
        link.got_unchoke();
        link.got_state(told(State::Unavailable));
        assert_eq!(link.state(), State::Connected);
        link.got_choke();
        assert_eq!(link.state(), State::Unavailable);
    }
}
