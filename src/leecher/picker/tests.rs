//! The picker under random lives.

use super::*;

fn conn(slot: u32) -> ConnId {
    ConnId { slot, generation: 0 }
}

fn picker(size: u64, seed: u64) -> (Picker, Geometry) {
    let geometry = Geometry::new(size, 65_536).unwrap();
    let none = Bitfield::new(geometry.pieces());
    (Picker::new(geometry.clone(), none, &mut Rng::new(seed)), geometry)
}

#[test]
fn the_rarest_piece_is_begun_first() {
    let (mut picker, geometry) = picker(65_536 * 8, 3);
    let all = Bitfield::full(geometry.pieces());
    let mut most = all.clone();
    for _ in 0..3 {
        picker.got_bitfield(&Bitfield::new(geometry.pieces()), &all);
    }
    most.clear(5);
    picker.got_bitfield(&Bitfield::new(geometry.pieces()), &most);
    let mut blocks = Vec::new();
    picker.next((conn(0), &all), 4, (8, None), &mut blocks);
    assert!(blocks.iter().all(|block| block.piece().index() == 5), "{blocks:?}");
}

#[test]
fn among_strangers_the_first_piece_is_any_and_the_next_ones_are_the_rarest() {
    let mut first = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let (mut picker, geometry) = picker(65_536 * 8, seed);
        let (all, none) = (Bitfield::full(8), Bitfield::new(8));
        let mut most = all.clone();
        most.clear(5);
        picker.got_bitfield(&none, &all);
        picker.got_bitfield(&none, &most);
        picker.begin_anywhere(true);
        let mut blocks = Vec::new();
        picker.next((conn(0), &all), 4, (1, None), &mut blocks);
        let begun = blocks[0].piece();
        first.insert(begun.index());
        blocks.iter().for_each(|block| _ = picker.got_block(*block));
        picker.got_proven(begun);
        blocks.clear();
        picker.next((conn(0), &all), 4, (1, None), &mut blocks);
        assert!(begun.index() == 5 || blocks[0].piece().index() == 5, "seed {seed}");
        assert_eq!(geometry.pieces(), 8);
    }
    assert!(first.len() > 5, "{first:?}");
}

#[test]
fn pieces_are_begun_from_the_beginning_when_that_is_asked_for() {
    let (mut picker, geometry) = picker(65_536 * 8, 3);
    picker.begin_in(Order::Sequential);
    let all = Bitfield::full(geometry.pieces());
    let mut some = Bitfield::new(geometry.pieces());
    [1, 5, 6].into_iter().for_each(|piece| _ = some.set(piece));
    picker.got_bitfield(&Bitfield::new(geometry.pieces()), &all);
    let mut begun = |conn, has: &Bitfield, n| {
        let mut blocks = Vec::new();
        picker.next((conn, has), n, (8, None), &mut blocks);
        let mut pieces: Vec<u32> = blocks.iter().map(|block| block.piece().index()).collect();
        pieces.dedup();
        pieces
    };
    assert_eq!(begun(conn(0), &some, 8), [1, 5], "as far as the source has them");
    assert_eq!(begun(conn(1), &all, 12), [0, 2, 3]);
    assert_eq!(begun(conn(1), &all, 12), [4, 6, 7]);
}

#[test]
fn a_source_to_be_spared_gives_only_what_the_others_lack() {
    let (mut picker, geometry) = picker(65_536 * 8, 3);
    let none = Bitfield::new(geometry.pieces());
    let all = Bitfield::full(geometry.pieces());
    let mut some = all.clone();
    some.clear(2);
    some.clear(6);
    picker.got_bitfield(&none, &all);
    picker.got_bitfield(&none, &some);
    let mut blocks = Vec::new();
    picker.next((conn(0), &all), 100, (100, Some(1)), &mut blocks);
    let mut pieces: Vec<u32> = blocks.iter().map(|block| block.piece().index()).collect();
    pieces.sort_unstable();
    pieces.dedup();
    assert_eq!(pieces, [2, 6]);
    picker.next((conn(0), &all), 100, (100, None), &mut blocks);
    assert_eq!(blocks.len() as u64, geometry.blocks(), "without that it gives everything");
}

#[test]
fn no_piece_is_begun_beyond_what_may_be_opened() {
    let (mut picker, geometry) = picker(65_536 * 8, 3);
    let all = Bitfield::full(geometry.pieces());
    let mut blocks = Vec::new();
    picker.next((conn(0), &all), 100, (2, None), &mut blocks);
    assert_eq!(blocks.len(), 8, "two pieces of four blocks");
}

/// A life of random events among three sources, and a model beside it: who is asked for what.
struct Life {
    rng: Rng,
    picker: Picker,
    geometry: Geometry,
    asked: BTreeMap<Block, Vec<ConnId>>,
    alone: BTreeMap<Piece, Option<ConnId>>,
}

impl Life {
    fn new(seed: u64) -> Life {
        let (picker, geometry) = picker(65_536 * 9 + 777, seed);
        let (asked, alone) = (BTreeMap::new(), BTreeMap::new());
        Life { rng: Rng::new(seed), picker, geometry, asked, alone }
    }

    fn some_asked(&mut self) -> Option<(Block, ConnId)> {
        let at = self.rng.below(self.asked.len() as u64) as usize;
        let (block, of) = self.asked.iter().nth(at)?;
        Some((*block, of[self.rng.below(of.len() as u64) as usize]))
    }

    fn step(&mut self) {
        let who = conn(self.rng.below(3) as u32);
        let all = Bitfield::full(self.geometry.pieces());
        match self.rng.below(12) {
            0..4 => {
                let mut blocks = Vec::new();
                self.picker.next((who, &all), self.rng.below(6) as usize, (1, None), &mut blocks);
                for block in blocks {
                    assert_eq!(self.picker.claim(who, block), Claim::Sole);
                    let before = self.asked.insert(block, vec![who]);
                    assert_eq!(before, None, "asked although it was asked");
                    if let Some(owner) = self.alone.get_mut(&block.piece()) {
                        assert_eq!(*owner.get_or_insert(who), who, "one source alone");
                    }
                }
            }
            4..8 => {
                if let Some((block, of)) = self.some_asked() {
                    assert_ne!(self.picker.claim(of, block), Claim::Gone);
                    self.asked.remove(&block);
                    let whole = self.picker.got_block(block);
                    assert_eq!(self.picker.claim(of, block), Claim::Gone);
                    if whole {
                        self.judge(block.piece());
                    }
                }
            }
            8..10 => {
                if let Some((block, of)) = self.some_asked() {
                    let second = self.picker.ask_second(who, block);
                    let one = self.asked[&block].len() == 1 && of != who;
                    assert_eq!(second, one && !self.alone.contains_key(&block.piece()));
                    if second {
                        self.asked.get_mut(&block).unwrap().push(who);
                    }
                }
            }
            10 => {
                for (block, of) in &mut self.asked {
                    if of.contains(&who) {
                        self.picker.lost_block(who, *block);
                        of.retain(|of| *of != who);
                    }
                }
                self.asked.retain(|_, of| !of.is_empty());
                self.picker.abandoned(who);
                self.alone.values_mut().for_each(|owner| {
                    owner.take_if(|owner| *owner == who);
                });
            }
            _ => {}
        }
    }

    fn judge(&mut self, piece: Piece) {
        let alone = self.alone.remove(&piece).is_some();
        match self.rng.below(10) {
            0 => self.picker.got_broken(piece),
            1 => self.picker.got_bad_blocks(piece, &[0, 3, 99]),
            2 if !alone => {
                self.picker.take_alone(piece, None);
                self.alone.insert(piece, None);
            }
            _ => self.picker.got_proven(piece),
        }
    }
}

#[test]
fn every_block_is_in_exactly_one_state_whatever_happens() {
    for seed in 0x91_c0..0x91_d0 {
        let mut life = Life::new(seed);
        let total = life.geometry.blocks();
        for step in 0..5_000 {
            life.step();
            let census = life.picker.census();
            assert_eq!(census.iter().sum::<u64>(), total, "seed {seed:#x} step {step} {census:?}");
            assert_eq!(census[1], life.asked.len() as u64, "seed {seed:#x} step {step}");
        }
        assert!(life.picker.is_complete(), "seed {seed:#x}: {:?}", life.picker.census());
    }
}

#[test]
fn what_one_source_did_not_deliver_goes_to_the_next_before_anything_new() {
    let (mut picker, geometry) = picker(65_536 * 8, 3);
    let all = Bitfield::full(geometry.pieces());
    let (mut slow, mut quick) = (Vec::new(), Vec::new());
    picker.next((conn(0), &all), 6, (8, None), &mut slow);
    assert!(picker.has_work(conn(1), &all));
    slow.iter().for_each(|block| picker.lost_block(conn(0), *block));
    picker.next((conn(1), &all), 6, (8, None), &mut quick);
    quick.sort_unstable();
    slow.sort_unstable();
    assert!(quick.iter().filter(|block| slow.contains(block)).count() >= 4, "{quick:?}");
    assert!(quick.iter().all(|block| slow.iter().any(|s| s.piece() == block.piece())));
}

/// Whatever sources tell, repeat and take back, availability is what a recount of them says.
#[test]
fn availability_is_always_what_a_recount_says() {
    crate::expect_mark!("D08", {
        let seed = 0x0d_08;
        let mut rng = Rng::new(seed);
        let (mut picker, geometry) = picker(65_536 * 20, seed);
        let none = Bitfield::new(geometry.pieces());
        let mut sources = vec![none.clone(); 4];
        for step in 0..2_000 {
            let who = rng.below(4) as usize;
            match rng.below(8) {
                0 => {
                    let all = Bitfield::full(geometry.pieces());
                    picker.got_bitfield(&sources[who], &all);
                    sources[who] = all;
                }
                1 => {
                    picker.lost_source(&sources[who]);
                    sources[who] = none.clone();
                }
                2 => {
                    let mut more = sources[who].clone();
                    (0..5).for_each(|_| _ = more.set(rng.below(20) as u32));
                    picker.got_bitfield(&sources[who], &more);
                    sources[who] = more;
                }
                _ => {
                    let piece = rng.below(20) as u32;
                    if !sources[who].get(piece) {
                        sources[who].set(piece);
                        picker.got_have(piece);
                    }
                }
            }
            let recount = (0..20).map(|p| sources.iter().filter(|has| has.get(p)).count() as u16);
            assert!(recount.eq(picker.sources.iter().copied()), "seed {seed:#x} step {step}");
        }
    });
}
