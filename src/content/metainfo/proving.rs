//! Comparing files with a metainfo: which pieces are what they must be.

use super::Metainfo;
use crate::content::bitfield::Bitfield;
use crate::content::grid::GridHasher;
use std::rc::Rc;

/// Takes the bytes of [`Proving::wanted`] file by file and judges each piece by every hash it has.
#[derive(Debug)]
pub struct Proving {
    metainfo: Rc<Metainfo>,
    grid: GridHasher,
    /// Pieces judged by their v1 hash, and by their node.
    flat: u32,
    tree: u32,
    /// Pieces that are not what they must be, or could not be read whole.
    bad: Bitfield,
}

impl Proving {
    pub fn new(metainfo: Rc<Metainfo>) -> Proving {
        let files = Rc::clone(&metainfo.files);
        let grid = &metainfo.geometry;
        let mut proving = Proving {
            grid: GridHasher::new(files, metainfo.form(), grid.piece_length()),
            flat: 0,
            tree: 0,
            bad: Bitfield::new(grid.pieces()),
            metainfo,
        };
        proving.judge();
        proving
    }

    /// The entry whose bytes come next, and from which byte on; `None` once all came.
    pub fn wanted(&self) -> Option<(usize, u64)> {
        self.grid.wanted()
    }

    /// Bytes of the wanted entry still to come.
    pub fn left(&self) -> u64 {
        self.grid.left()
    }

    /// The next bytes of the wanted entry.
    pub fn update(&mut self, bytes: &[u8]) {
        self.grid.update(bytes);
        self.judge();
    }

    /// The next bytes of the wanted entry cannot be read.
    pub fn lacks(&mut self, len: u64) {
        self.grid.lacks(len);
        self.judge();
    }

    fn judge(&mut self) {
        for found in self.grid.flat_done() {
            if found.is_none() || found != self.metainfo.flat_hash(self.flat) {
                self.bad.set(self.flat);
            }
            self.flat += 1;
        }
        for found in self.grid.tree_done() {
            if found.is_none() || found != self.metainfo.node(self.tree) {
                self.bad.set(self.tree);
            }
            self.tree += 1;
        }
    }

    /// What of the judged pieces is bad.
    pub fn bad(&self) -> &Bitfield {
        &self.bad
    }

    /// Bad pieces with bytes of an entry.
    pub fn bad_of(&self, entry: usize) -> impl Iterator<Item = u32> {
        let grid = u64::from(self.metainfo.geometry.piece_length());
        let entry = self.metainfo.files.entries().get(entry).filter(|entry| entry.length > 0);
        let pieces = entry.map(|entry| {
            let last = (entry.offset + entry.length - 1) / grid;
            (entry.offset / grid) as u32..=last as u32
        });
        pieces.into_iter().flatten().filter(|piece| self.bad.get(*piece))
    }
}
