//! Swarms by info-hash. The index is cut into many small tables and the swarms stand in pieces of
//! one size, so that nothing ever takes long to grow; the hash is keyed, so that nobody can aim at
//! one of the tables.

use super::members::{Arenas, Keyed};
use super::pool::Pool;
use super::swarm::Swarm;
use crate::core::id::InfoHash;
use hashbrown::HashTable;
use slab::Slab;
use std::cell::Cell;

/// Tables; a power of two. With 4,000,000 swarms each holds 4,000, and grows in 0.2 ms.
const SHARDS: usize = 1024;
/// Swarms of one piece: 72 KB.
const PIECE_SWARMS: usize = 1024;

#[derive(Debug)]
pub struct Table {
    arenas: Arenas,
    /// Places of swarms.
    shards: Vec<HashTable<u32>>,
    pieces: Vec<Slab<Swarm>>,
    /// Pieces with room, the one that is filled next at the end.
    roomy: Vec<u32>,
    swarms: usize,
    /// Places up to the last that was ever taken.
    places: usize,
    /// Where the latest look-up ended: one request asks for its swarm several times.
    latest: Cell<usize>,
}

impl Table {
    pub fn new(keyed: Keyed) -> Table {
        Table {
            arenas: Arenas { keyed, v4: Pool::default(), v6: Pool::default() },
            shards: vec![HashTable::new(); SHARDS],
            pieces: Vec::new(),
            roomy: Vec::new(),
            swarms: 0,
            places: 0,
            latest: Cell::new(0),
        }
    }

    /// Where the peers of all swarms are.
    pub fn arenas(&self) -> &Arenas {
        &self.arenas
    }

    pub fn swarms(&self) -> usize {
        self.swarms
    }

    /// Places there are or were, for a sweep through all of them.
    pub fn places(&self) -> usize {
        self.places
    }

    fn hash(&self, hash: InfoHash) -> u64 {
        self.arenas.keyed.hash(&hash.0)
    }

    fn shard(hash: u64) -> usize {
        // The lowest bits choose within a table, the highest tag its entries.
        (hash >> 32) as usize % SHARDS
    }

    pub fn place(&self, hash: InfoHash) -> Option<usize> {
        let there = |at: usize| self.at(at).is_some_and(|swarm| swarm.hash == hash);
        if there(self.latest.get()) {
            return Some(self.latest.get());
        }
        let keyed = self.hash(hash);
        let shard = self.shards.get(Table::shard(keyed))?;
        let place = *shard.find(keyed, |at| there(*at as usize))? as usize;
        self.latest.set(place);
        Some(place)
    }

    pub fn at(&self, place: usize) -> Option<&Swarm> {
        at(&self.pieces, place)
    }

    pub fn at_mut(&mut self, place: usize) -> Option<&mut Swarm> {
        at_mut(&mut self.pieces, place)
    }

    pub fn get(&self, hash: InfoHash) -> Option<&Swarm> {
        self.at(self.place(hash)?)
    }

    /// Changes a swarm and its peers; `None` if there is none at this place.
    pub fn change<T>(
        &mut self,
        place: usize,
        change: impl FnOnce(&mut Swarm, &mut Arenas) -> T,
    ) -> Option<T> {
        let Table { pieces, arenas, .. } = self;
        let value = change(at_mut(pieces, place)?, arenas);
        // What was given back is filled with blocks of others: they are told.
        for moved in arenas.v4.moved() {
            if let Some(swarm) = at_mut(pieces, moved.owner as usize) {
                swarm.moved_v4(moved);
            }
        }
        for moved in arenas.v6.moved() {
            if let Some(swarm) = at_mut(pieces, moved.owner as usize) {
                swarm.moved_v6(moved);
            }
        }
        Some(value)
    }

    /// Adds a swarm that is not there and has no peers; its place.
    pub fn insert(&mut self, mut swarm: Swarm) -> usize {
        let hashed = self.hash(swarm.hash);
        if self.roomy.is_empty() {
            self.roomy.push(self.pieces.len() as u32);
            self.pieces.push(Slab::with_capacity(PIECE_SWARMS));
        }
        let nth = self.roomy.last().map_or(0, |nth| *nth as usize);
        let Some(piece) = self.pieces.get_mut(nth) else { return usize::MAX };
        let place = nth * PIECE_SWARMS + piece.vacant_key();
        swarm.place = place as u32;
        piece.insert(swarm);
        if piece.len() == PIECE_SWARMS {
            self.roomy.pop();
        }
        self.swarms += 1;
        self.places = self.places.max(place + 1);
        let Table { shards, pieces, arenas, .. } = self;
        if let Some(shard) = shards.get_mut(Table::shard(hashed)) {
            shard.insert_unique(hashed, place as u32, |at| {
                self::at(pieces, *at as usize).map_or(0, |swarm| arenas.keyed.hash(&swarm.hash.0))
            });
        }
        place
    }

    /// Forgets a swarm that nobody is in.
    pub fn remove(&mut self, hash: InfoHash) {
        let Some(place) = self.place(hash).filter(|at| self.at(*at).is_some_and(Swarm::is_empty))
        else {
            return;
        };
        let hashed = self.hash(hash);
        if let Some(shard) = self.shards.get_mut(Table::shard(hashed))
            && let Ok(entry) = shard.find_entry(hashed, |at| *at as usize == place)
        {
            entry.remove();
        }
        let nth = place / PIECE_SWARMS;
        let Some(piece) = self.pieces.get_mut(nth) else { return };
        if piece.len() == PIECE_SWARMS {
            self.roomy.push(nth as u32);
        }
        if piece.try_remove(place % PIECE_SWARMS).is_some() {
            self.swarms -= 1;
        }
    }
}

fn at(pieces: &[Slab<Swarm>], place: usize) -> Option<&Swarm> {
    pieces.get(place / PIECE_SWARMS)?.get(place % PIECE_SWARMS)
}

fn at_mut(pieces: &mut [Slab<Swarm>], place: usize) -> Option<&mut Swarm> {
    pieces.get_mut(place / PIECE_SWARMS)?.get_mut(place % PIECE_SWARMS)
}
