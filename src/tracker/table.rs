//! Swarms by info-hash. The index is cut into many small tables, so that none of them ever takes
//! long to grow; its hash is keyed, so that nobody can aim at one of them.

use super::members::Keyed;
use super::swarm::Swarm;
use crate::core::id::InfoHash;
use hashbrown::HashTable;
use slab::Slab;

/// Tables; a power of two. With 4,000,000 swarms each holds 4,000, and grows in 0.2 ms.
const SHARDS: usize = 1024;

#[derive(Debug)]
pub struct Table {
    keyed: Keyed,
    /// Places in `swarms`.
    shards: Vec<HashTable<u32>>,
    swarms: Slab<Swarm>,
}

impl Table {
    pub fn new(keyed: Keyed) -> Table {
        Table { keyed, shards: vec![HashTable::new(); SHARDS], swarms: Slab::new() }
    }

    pub fn keyed(&self) -> &Keyed {
        &self.keyed
    }

    pub fn swarms(&self) -> usize {
        self.swarms.len()
    }

    /// Places there are or were, for a sweep through all of them.
    pub fn places(&self) -> usize {
        self.swarms.capacity()
    }

    fn shard(hash: u64) -> usize {
        // The lowest bits choose within a table, the highest tag its entries.
        (hash >> 32) as usize % SHARDS
    }

    pub fn place(&self, hash: InfoHash) -> Option<usize> {
        let keyed = self.keyed.hash(&hash.0);
        let shard = self.shards.get(Table::shard(keyed))?;
        let there = |at: &u32| self.at(*at as usize).is_some_and(|swarm| swarm.hash == hash);
        shard.find(keyed, there).map(|at| *at as usize)
    }

    pub fn at(&self, place: usize) -> Option<&Swarm> {
        self.swarms.get(place)
    }

    pub fn at_mut(&mut self, place: usize) -> Option<&mut Swarm> {
        self.swarms.get_mut(place)
    }

    pub fn get(&self, hash: InfoHash) -> Option<&Swarm> {
        self.at(self.place(hash)?)
    }

    /// Adds a swarm that is not there; its place.
    pub fn insert(&mut self, swarm: Swarm) -> usize {
        let (keyed, hash) = (self.keyed, swarm.hash);
        let place = self.swarms.insert(swarm);
        let hashed = keyed.hash(&hash.0);
        let swarms = &self.swarms;
        if let Some(shard) = self.shards.get_mut(Table::shard(hashed)) {
            shard.insert_unique(hashed, place as u32, |at| {
                swarms.get(*at as usize).map_or(0, |swarm| keyed.hash(&swarm.hash.0))
            });
        }
        place
    }

    pub fn remove(&mut self, hash: InfoHash) -> Option<Swarm> {
        let place = self.place(hash)?;
        let hashed = self.keyed.hash(&hash.0);
        let shard = self.shards.get_mut(Table::shard(hashed))?;
        if let Ok(entry) = shard.find_entry(hashed, |at| *at as usize == place) {
            entry.remove();
        }
        self.swarms.try_remove(place)
    }
}
