//! Generational slots on top of `slab`: O(1), stable ids, iteration in slot order; a stale id finds
//! nothing.

use slab::Slab;

/// A key into [`Slots`]: implemented by the id types that name a slot and its generation.
pub trait SlotId: Copy {
    fn new(slot: u32, generation: u32) -> Self;
    fn slot(self) -> u32;
    fn generation(self) -> u32;
}

macro_rules! slot_id {
    ($($name:ty),*) => { $(impl SlotId for $name {
        fn new(slot: u32, generation: u32) -> Self { Self { slot, generation } }
        fn slot(self) -> u32 { self.slot }
        fn generation(self) -> u32 { self.generation }
    })* };
}
slot_id!(super::id::ConnId, super::id::FileId);

/// Values by generational id.
#[derive(Debug)]
pub struct Slots<K, T> {
    slab: Slab<(u32, T)>,
    /// Generation to give next, for each slot that was ever used.
    next: Vec<u32>,
    id: std::marker::PhantomData<K>,
}

impl<K: SlotId, T> Default for Slots<K, T> {
    fn default() -> Self {
        Slots { slab: Slab::new(), next: Vec::new(), id: std::marker::PhantomData }
    }
}

impl<K: SlotId, T> Slots<K, T> {
    pub fn insert(&mut self, value: T) -> K {
        let entry = self.slab.vacant_entry();
        let slot = entry.key();
        if slot >= self.next.len() {
            self.next.resize(slot + 1, 0);
        }
        let generation = self.next[slot];
        self.next[slot] = generation.wrapping_add(1);
        entry.insert((generation, value));
        K::new(slot as u32, generation)
    }

    pub fn get(&self, id: K) -> Option<&T> {
        let (generation, value) = self.slab.get(id.slot() as usize)?;
        (*generation == id.generation()).then_some(value)
    }

    pub fn get_mut(&mut self, id: K) -> Option<&mut T> {
        let (generation, value) = self.slab.get_mut(id.slot() as usize)?;
        (*generation == id.generation()).then_some(value)
    }

    pub fn remove(&mut self, id: K) -> Option<T> {
        self.get(id)?;
        Some(self.slab.remove(id.slot() as usize).1)
    }

    /// The live id that uses `slot`, if any.
    pub fn id_at(&self, slot: u32) -> Option<K> {
        let (generation, _) = self.slab.get(slot as usize)?;
        Some(K::new(slot, *generation))
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.slab
            .iter()
            .map(|(slot, (generation, value))| (K::new(slot as u32, *generation), value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        self.slab
            .iter_mut()
            .map(|(slot, (generation, value))| (K::new(slot as u32, *generation), value))
    }

    pub fn ids(&self) -> Vec<K> {
        self.iter().map(|(id, _)| id).collect()
    }

    pub fn len(&self) -> usize {
        self.slab.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::ConnId;

    #[test]
    fn a_stale_id_finds_nothing_after_its_slot_is_used_again() {
        let mut slots: Slots<ConnId, &str> = Slots::default();
        let old = slots.insert("old");
        assert_eq!(slots.remove(old), Some("old"));
        let new = slots.insert("new");
        assert_eq!(new.slot, old.slot);
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get(new), Some(&"new"));
    }
}
