//! Which pieces are there: a bitfield in the form it has on the wire (BEP 3), its count kept.

use crate::core::fault::Fault;

/// `len` bits, the first in the high bit of the first byte; spare bits are always zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bitfield {
    bytes: Vec<u8>,
    len: u32,
    count: u32,
}

/// Length in bytes of a bitfield of `len` bits on the wire.
pub fn wire_bytes(len: u32) -> u32 {
    len.div_ceil(8)
}

impl Bitfield {
    /// `len` bits, none set.
    pub fn new(len: u32) -> Bitfield {
        Bitfield { bytes: vec![0; wire_bytes(len) as usize], len, count: 0 }
    }

    /// `len` bits, all set.
    pub fn full(len: u32) -> Bitfield {
        let mut bytes = vec![0xff; wire_bytes(len) as usize];
        if let Some(last) = bytes.last_mut() {
            *last &= !spare_mask(len);
        }
        Bitfield { bytes, len, count: len }
    }

    /// The body of a whole bitfield message of a content of `len` pieces.
    pub fn from_bytes(len: u32, body: &[u8]) -> Result<Bitfield, Fault> {
        let body_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut loader = Loader::new(len, body_len)?;
        loader.feed(body)?;
        loader.finish()
    }

    /// Number of bits.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Number of bits set.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether no bit is set.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether every bit is set; so is a bitfield of no bits.
    pub fn is_full(&self) -> bool {
        self.count == self.len
    }

    /// Whether bit `index` is set; false beyond the end.
    pub fn get(&self, index: u32) -> bool {
        let (byte, mask) = place(index);
        index < self.len && self.bytes.get(byte).is_some_and(|b| b & mask != 0)
    }

    /// Sets bit `index`. True if it was not set before; false also beyond the end.
    pub fn set(&mut self, index: u32) -> bool {
        let (byte, mask) = place(index);
        match self.bytes.get_mut(byte) {
            Some(b) if index < self.len && *b & mask == 0 => {
                *b |= mask;
                self.count += 1;
                true
            }
            _ => false,
        }
    }

    /// Clears bit `index`. True if it was set before.
    pub fn clear(&mut self, index: u32) -> bool {
        let (byte, mask) = place(index);
        match self.bytes.get_mut(byte) {
            Some(b) if index < self.len && *b & mask != 0 => {
                *b &= !mask;
                self.count -= 1;
                true
            }
            _ => false,
        }
    }

    /// The body of a bitfield message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Indices of the bits that are set, ascending.
    pub fn ones(&self) -> impl Iterator<Item = u32> + '_ {
        self.matching(|b| b)
    }

    /// Indices of the bits that are not set, ascending.
    pub fn missing(&self) -> impl Iterator<Item = u32> + '_ {
        self.matching(|b| !b)
    }

    /// Whether `other` has a bit that is not set here: whether a neighbour is worth asking.
    pub fn lacks_any_of(&self, other: &Bitfield) -> bool {
        let shared = self.bytes.iter().zip(&other.bytes).any(|(ours, theirs)| theirs & !ours != 0);
        shared || other.bytes.iter().skip(self.bytes.len()).any(|b| *b != 0)
    }

    /// Whether both others have a bit that is not set here; all three have one length.
    pub fn lacks_any_both_have(&self, one: &Bitfield, other: &Bitfield) -> bool {
        let both = one.bytes.iter().zip(&other.bytes).map(|(one, other)| one & other);
        self.bytes.iter().zip(both).any(|(ours, theirs)| theirs & !ours != 0)
    }

    /// Whole bytes without a match are passed over, so the walk costs by bytes, not by bits.
    fn matching(&self, turn: impl Fn(u8) -> u8 + 'static) -> impl Iterator<Item = u32> + '_ {
        let len = self.len;
        let hits = self.bytes.iter().zip(0u32..).map(move |(b, at)| (turn(*b), at));
        hits.filter(|(bits, _)| *bits != 0)
            .flat_map(|(bits, at)| {
                (0..8u32).filter(move |k| bits & (0x80 >> k) != 0).map(move |k| at * 8 + k)
            })
            .take_while(move |index| *index < len)
    }
}

fn place(index: u32) -> (usize, u8) {
    ((index / 8) as usize, 0x80 >> (index % 8))
}

/// The bits of the last byte that belong to no piece.
fn spare_mask(len: u32) -> u8 {
    match len % 8 {
        0 => 0,
        used => 0xff >> used,
    }
}

/// Takes the body of a bitfield message as it flows in, in any cuts, straight into its place.
#[derive(Debug)]
pub struct Loader {
    field: Bitfield,
    filled: usize,
}

impl Loader {
    /// A loader for `len` pieces and a message body of `body_len` bytes. Nothing is allocated when
    /// the length is wrong.
    pub fn new(len: u32, body_len: u32) -> Result<Loader, Fault> {
        if body_len != wire_bytes(len) {
            return Err(Fault::peer("bitfield has the wrong length"));
        }
        Ok(Loader { field: Bitfield::new(len), filled: 0 })
    }

    /// The next bytes of the body.
    pub fn feed(&mut self, part: &[u8]) -> Result<(), Fault> {
        let end = self.filled.saturating_add(part.len());
        let whole = self.field.bytes.len();
        let Some(room) = self.field.bytes.get_mut(self.filled..end) else {
            return Err(Fault::peer("bitfield has the wrong length"));
        };
        room.copy_from_slice(part);
        if end == whole && part.last().is_some_and(|b| b & spare_mask(self.field.len) != 0) {
            return Err(Fault::peer("bitfield has spare bits set"));
        }
        self.field.count += part.iter().map(|b| b.count_ones()).sum::<u32>();
        self.filled = end;
        Ok(())
    }

    /// The bitfield, once its whole body was fed.
    pub fn finish(self) -> Result<Bitfield, Fault> {
        if self.filled != self.field.bytes.len() {
            return Err(Fault::peer("bitfield has the wrong length"));
        }
        Ok(self.field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn piece_0_is_the_high_bit_and_spare_bits_stay_zero() {
        let mut field = Bitfield::new(10);
        assert!(field.set(0) && field.set(9) && !field.set(9) && !field.set(10));
        assert_eq!((field.as_bytes(), field.count()), (&[0x80, 0x40][..], 2));
        assert_eq!(Bitfield::full(10).as_bytes(), [0xff, 0xc0]);
        assert_eq!(Bitfield::full(16).as_bytes(), [0xff, 0xff]);
        assert!(Bitfield::full(0).is_full() && Bitfield::new(0).is_empty());
    }

    #[test]
    fn wrong_lengths_and_spare_bits_are_refused() {
        assert!(Bitfield::from_bytes(10, &[0]).is_err());
        assert!(Bitfield::from_bytes(10, &[0, 0, 0]).is_err());
        assert!(Bitfield::from_bytes(10, &[0, 0x20]).is_err());
        assert!(Bitfield::from_bytes(0, &[0]).is_err());
        assert!(Bitfield::from_bytes(10, &[0xff, 0xc0]).is_ok_and(|f| f.is_full()));
        let mut loader = Loader::new(10, 2).unwrap();
        loader.feed(&[1]).unwrap();
        assert!(loader.feed(&[0, 0]).is_err());
        assert!(Loader::new(10, 2).unwrap().finish().is_err());
    }

    #[test]
    fn a_neighbour_is_worth_asking_only_for_what_we_lack() {
        let mut ours = Bitfield::new(20);
        let mut theirs = Bitfield::new(20);
        assert!(!ours.lacks_any_of(&theirs));
        theirs.set(19);
        assert!(ours.lacks_any_of(&theirs));
        ours.set(19);
        assert!(!ours.lacks_any_of(&theirs));
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_set_of_indices(
            len in 0u32..200,
            steps in prop::collection::vec((0u32..220, any::<bool>()), 0..200),
        ) {
            let (mut field, mut set) = (Bitfield::new(len), BTreeSet::new());
            for (index, put) in steps {
                if put {
                    prop_assert_eq!(field.set(index), index < len && set.insert(index));
                } else {
                    prop_assert_eq!(field.clear(index), set.remove(&index));
                }
            }
            prop_assert_eq!(field.count() as usize, set.len());
            prop_assert!(field.ones().eq(set.iter().copied()));
            prop_assert!(field.missing().eq((0..len).filter(|i| !set.contains(i))));
            prop_assert!((0..len + 9).all(|i| field.get(i) == set.contains(&i)));
            prop_assert_eq!(field.is_full(), set.len() == len as usize);
            prop_assert_eq!(Bitfield::from_bytes(len, field.as_bytes()), Ok(field.clone()));
        }

        #[test]
        fn cutting_the_body_anywhere_changes_nothing(
            body in prop::collection::vec(any::<u8>(), 1..40),
            spare in 0u32..8,
            cuts in prop::collection::vec(1usize..9, 0..40),
        ) {
            let len = body.len() as u32 * 8 - spare;
            let whole = Bitfield::from_bytes(len, &body);
            let mut loader = Loader::new(len, body.len() as u32).unwrap();
            let (mut rest, mut cuts) = (&body[..], cuts.into_iter());
            let mut result = Ok(());
            while !rest.is_empty() && result.is_ok() {
                let (part, after) = rest.split_at(cuts.next().unwrap_or(40).min(rest.len()));
                result = loader.feed(part);
                rest = after;
            }
            prop_assert_eq!(result.and_then(|()| loader.finish()), whole);
        }
    }
}
