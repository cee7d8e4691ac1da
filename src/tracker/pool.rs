//! Records of many small swarms. Each swarm has a block of about its size; blocks of one size lie
//! side by side without gaps, for the last one moves into whatever place is given back. Nothing is
//! lost to an allocator, and no block takes more than one record too many.

/// Most records of a block.
pub const BLOCK_RECORDS_MAX: usize = 40;
/// Records of a chunk, the unit in which memory is taken: 32 KB of IPv4 peers.
const CHUNK_RECORDS: usize = 640;
/// Sizes of blocks: 1, then every even number of records.
const SIZES: usize = BLOCK_RECORDS_MAX / 2 + 1;

/// A block that moved, by whose it is and where it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MovedBlock {
    pub owner: u32,
    pub block: u32,
}

#[derive(Debug)]
struct Chunk<T> {
    records: Vec<T>,
    /// Whose the blocks are, in their order.
    owners: Vec<u32>,
}

/// Blocks of `T`. A block is known by the number of records in it and its number among those of its
/// size. The number may change whenever another block is resized: see [`Pool::moved`].
#[derive(Debug)]
pub struct Pool<T> {
    /// Chunks by size of their blocks; all are full but the last.
    sizes: [Vec<Chunk<T>>; SIZES],
    /// Empty chunks, for blocks of any size. They stay: an allocator that gets the last of many
    /// back returns all of them to the system at once, and that takes long.
    spare: Vec<Chunk<T>>,
    moved: Vec<MovedBlock>,
    /// What is on its way from one block to another.
    carried: Vec<T>,
}

impl<T> Default for Pool<T> {
    fn default() -> Pool<T> {
        Pool {
            sizes: std::array::from_fn(|_| Vec::new()),
            spare: Vec::new(),
            moved: Vec::new(),
            carried: Vec::new(),
        }
    }
}

/// Which size a block of `len` records has; `None` if there is no block.
fn size_of(len: usize) -> Option<usize> {
    match len {
        0 => None,
        1 => Some(0),
        len => Some(len.div_ceil(2)),
    }
}

/// Records that a block of this size has room for.
fn room(size: usize) -> usize {
    (2 * size).max(1)
}

/// The chunk that a block is in, and its number there.
fn place(size: usize, block: u32) -> (usize, usize) {
    let per_chunk = CHUNK_RECORDS / room(size);
    (block as usize / per_chunk, block as usize % per_chunk)
}

impl<T: Copy> Pool<T> {
    /// The records of a block of `len`.
    pub fn get(&self, len: usize, block: u32) -> &[T] {
        let found = size_of(len).and_then(|size| {
            let (chunk, nth) = place(size, block);
            let first = nth * room(size);
            self.sizes.get(size)?.get(chunk)?.records.get(first..first + len)
        });
        found.unwrap_or_default()
    }

    pub fn get_mut(&mut self, len: usize, block: u32) -> &mut [T] {
        let found = size_of(len).and_then(|size| {
            let (chunk, nth) = place(size, block);
            let first = nth * room(size);
            self.sizes.get_mut(size)?.get_mut(chunk)?.records.get_mut(first..first + len)
        });
        found.unwrap_or_default()
    }

    /// Makes a block of `old` records one of `new` (0 = there is none, at most
    /// [`BLOCK_RECORDS_MAX`]) and says where it is now. What fits is kept, new records are `fill`.
    pub fn resize(&mut self, block: u32, (old, new): (usize, usize), owner: u32, fill: T) -> u32 {
        let (before, after) = (size_of(old), size_of(new));
        let mut at = block;
        if before != after {
            let mut carried = std::mem::take(&mut self.carried);
            carried.clear();
            carried.extend_from_slice(self.get(old, block));
            carried.resize(new, fill);
            if let Some(size) = before {
                self.release(size, block);
            }
            at = self.fill(&carried, owner);
            self.carried = carried;
        }
        self.get_mut(new, at).iter_mut().skip(old).for_each(|record| *record = fill);
        at
    }

    /// A new block with these records, at most [`BLOCK_RECORDS_MAX`]; where it is.
    pub fn fill(&mut self, records: &[T], owner: u32) -> u32 {
        let (Some(size), Some(first)) = (size_of(records.len()), records.first()) else { return 0 };
        let block = self.claim(size, owner, *first);
        let places = self.get_mut(records.len(), block).iter_mut();
        places.zip(records).for_each(|(place, record)| *place = *record);
        block
    }

    /// Blocks that moved because others were resized, since this was asked last.
    pub fn moved(&mut self) -> impl Iterator<Item = MovedBlock> {
        self.moved.drain(..)
    }

    fn claim(&mut self, size: usize, owner: u32, fill: T) -> u32 {
        let per_chunk = CHUNK_RECORDS / room(size);
        let Some(chunks) = self.sizes.get_mut(size) else { return 0 };
        if chunks.last().is_none_or(|chunk| chunk.owners.len() == per_chunk) {
            chunks.push(self.spare.pop().unwrap_or_else(|| Chunk {
                records: Vec::with_capacity(CHUNK_RECORDS),
                owners: Vec::new(),
            }));
        }
        let full = (chunks.len() - 1) * per_chunk;
        let Some(chunk) = chunks.last_mut() else { return 0 };
        chunk.owners.push(owner);
        chunk.records.resize(chunk.owners.len() * room(size), fill);
        (full + chunk.owners.len() - 1) as u32
    }

    /// Gives a block back: the last one of its size takes its place.
    fn release(&mut self, size: usize, block: u32) {
        let (chunk, nth) = place(size, block);
        let room = room(size);
        let Some(chunks) = self.sizes.get_mut(size) else { return };
        let Some((last, others)) = chunks.split_last_mut() else { return };
        let Some(owner) = last.owners.pop() else { return };
        let kept = last.owners.len() * room;
        let Some((before, tail)) = last.records.split_at_mut_checked(kept) else { return };
        let hole = match others.get_mut(chunk) {
            Some(other) => Some((other.records.as_mut_slice(), other.owners.as_mut_slice())),
            None if nth < last.owners.len() => Some((before, last.owners.as_mut_slice())),
            // It is the last one itself.
            None => None,
        };
        if let Some((records, owners)) = hole
            && let Some(records) = records.get_mut(nth * room..(nth + 1) * room)
            && let Some(known) = owners.get_mut(nth)
        {
            records.copy_from_slice(tail);
            *known = owner;
            self.moved.push(MovedBlock { owner, block });
        }
        last.records.truncate(kept);
        if last.owners.is_empty()
            && let Some(empty) = chunks.pop()
        {
            self.spare.push(empty);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rng::Rng;
    use std::collections::BTreeMap;

    /// Owners with their blocks and what must be in them.
    #[derive(Default)]
    struct Model {
        pool: Pool<(u32, u32)>,
        blocks: BTreeMap<u32, (u32, Vec<(u32, u32)>)>,
    }

    impl Model {
        fn resize(&mut self, owner: u32, new: usize, fill: (u32, u32)) {
            let (block, mut records) = self.blocks.remove(&owner).unwrap_or_default();
            let block = self.pool.resize(block, (records.len(), new), owner, fill);
            records.resize(new, fill);
            if new > 0 {
                self.blocks.insert(owner, (block, records));
            }
            for moved in self.pool.moved() {
                self.blocks.get_mut(&moved.owner).unwrap().0 = moved.block;
            }
        }

        fn check(&self, seed: u64) {
            for (owner, (block, records)) in &self.blocks {
                assert_eq!(self.pool.get(records.len(), *block), records, "seed {seed}, {owner}");
            }
            let blocks = self.pool.sizes.iter().flatten().map(|chunk| chunk.owners.len());
            assert_eq!(blocks.sum::<usize>(), self.blocks.len(), "seed {seed}");
        }
    }

    #[test]
    fn every_block_keeps_what_is_in_it_while_others_come_grow_shrink_and_go() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let mut model = Model::default();
            for step in 0..4000u32 {
                // Waves, so that chunks fill and empty.
                let most = if step / 1000 % 2 == 0 { BLOCK_RECORDS_MAX as u64 } else { 3 };
                let new = rng.below(most + 1) as usize;
                model.resize(rng.below(300) as u32, new, (seed as u32, step));
                if step % 97 == 0 {
                    model.check(seed);
                }
            }
            model.check(seed);
            let owners: Vec<u32> = model.blocks.keys().copied().collect();
            owners.into_iter().for_each(|owner| model.resize(owner, 0, (0, 0)));
            model.check(seed);
            assert!(model.pool.sizes.iter().all(Vec::is_empty), "seed {seed}");
            let spare = model.pool.spare.len();
            (0..300).for_each(|owner| model.resize(owner, BLOCK_RECORDS_MAX, (owner, 0)));
            model.check(seed);
            let chunks = model.pool.sizes.iter().map(Vec::len).sum::<usize>();
            assert!(model.pool.spare.len() == spare.saturating_sub(chunks), "spare ones first");
        }
    }

    #[test]
    fn a_block_has_at_most_one_record_too_many_and_its_chunks_are_full() {
        let mut model = Model::default();
        for owner in 0..10_000 {
            model.resize(owner, 1 + owner as usize % BLOCK_RECORDS_MAX, (owner, 0));
        }
        for (size, chunks) in model.pool.sizes.iter().enumerate() {
            let per_chunk = CHUNK_RECORDS / room(size);
            assert!(chunks.iter().rev().skip(1).all(|chunk| chunk.owners.len() == per_chunk));
        }
        let taken: usize = model.pool.sizes.iter().flatten().map(|c| c.records.len()).sum();
        let wanted: usize = model.blocks.values().map(|(_, records)| records.len()).sum();
        assert!(taken <= wanted + 5_000, "{taken} for {wanted}");
        assert!((1..=BLOCK_RECORDS_MAX).all(|n| room(size_of(n).unwrap()) - n <= 1));
    }

    #[test]
    fn nobody_gets_what_is_not_there() {
        let mut pool = Pool::<u8>::default();
        assert!(pool.get(0, 0).is_empty() && pool.get(7, 3).is_empty());
        assert!(pool.get_mut(BLOCK_RECORDS_MAX + 5, 0).is_empty());
        assert_eq!(pool.resize(9, (4, 0), 1, 0), 0);
    }
}
