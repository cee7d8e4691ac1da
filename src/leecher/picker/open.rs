//! A piece that was begun and is not proven, block by block.

use crate::core::id::ConnId;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockState {
    Missing,
    Asked(ConnId),
    /// Asked of two sources: the end of a transfer shall not wait for the slower one.
    AskedTwice(ConnId, ConnId),
    Held,
}

impl BlockState {
    /// Without `conn` among those it is asked of; `None` if it is not asked of it.
    fn without(self, conn: ConnId) -> Option<BlockState> {
        match self {
            BlockState::Asked(of) if of == conn => Some(BlockState::Missing),
            BlockState::AskedTwice(a, b) if a == conn => Some(BlockState::Asked(b)),
            BlockState::AskedTwice(a, b) if b == conn => Some(BlockState::Asked(a)),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub struct Open {
    pub blocks: Vec<BlockState>,
    pub missing: u32,
    pub held: u32,
    /// Who takes it: others leave it to that source while it delivers.
    pub owner: Option<ConnId>,
    /// It did not match before and nobody can say which block was wrong: all of it must come from
    /// one source.
    pub alone: bool,
}

impl Open {
    pub fn new(blocks: u32, owner: ConnId) -> Open {
        Open {
            blocks: vec![BlockState::Missing; blocks as usize],
            missing: blocks,
            held: 0,
            owner: Some(owner),
            alone: false,
        }
    }

    pub fn is_whole(&self) -> bool {
        self.held as usize == self.blocks.len()
    }

    /// Whether `conn` may be asked for blocks of it.
    pub fn is_for(&self, conn: ConnId) -> bool {
        !self.alone || self.owner.is_none_or(|owner| owner == conn)
    }

    pub fn state(&self, index: u32) -> Option<BlockState> {
        self.blocks.get(index as usize).copied()
    }

    fn set(&mut self, index: u32, state: BlockState) {
        let Some(place) = self.blocks.get_mut(index as usize) else { return };
        let before = std::mem::replace(place, state);
        self.missing -= u32::from(before == BlockState::Missing);
        self.missing += u32::from(state == BlockState::Missing);
        self.held -= u32::from(before == BlockState::Held);
        self.held += u32::from(state == BlockState::Held);
    }

    pub fn ask(&mut self, index: u32, conn: ConnId) -> bool {
        let missing = self.state(index) == Some(BlockState::Missing);
        if missing {
            self.set(index, BlockState::Asked(conn));
        }
        missing
    }

    /// Asks a second source for a block that is asked of one.
    pub fn ask_second(&mut self, index: u32, conn: ConnId) -> bool {
        match self.state(index) {
            Some(BlockState::Asked(first)) if first != conn && !self.alone => {
                self.set(index, BlockState::AskedTwice(first, conn));
                true
            }
            _ => false,
        }
    }

    /// It will not come from `conn` after all.
    pub fn lose(&mut self, index: u32, conn: ConnId) {
        if let Some(without) = self.state(index).and_then(|state| state.without(conn)) {
            self.set(index, without);
        }
        if self.owner == Some(conn) {
            self.abandon();
        }
    }

    /// Its owner does not deliver. What came of a piece that must come from one source is void.
    pub fn abandon(&mut self) {
        self.owner = None;
        if self.alone {
            self.reset();
        }
    }

    pub fn hold(&mut self, index: u32) {
        self.set(index, BlockState::Held);
    }

    /// The blocks are wrong: missing again.
    pub fn drop_blocks(&mut self, bad: &[u32]) {
        for index in bad {
            if self.state(*index) == Some(BlockState::Held) {
                self.set(*index, BlockState::Missing);
            }
        }
        self.owner = None;
    }

    /// All of it is missing again.
    pub fn reset(&mut self) {
        self.blocks.fill(BlockState::Missing);
        (self.missing, self.held, self.owner) = (self.blocks.len() as u32, 0, None);
    }
}
