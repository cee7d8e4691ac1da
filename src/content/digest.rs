//! The one seam to the hash functions: everything that is hashed is hashed here, so that a faster
//! kernel for many equal blocks at once has one place to stand.

use crate::core::id::Hash32;
use crate::core::limits::BLOCK_BYTES;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Hash32 {
    Hash32(Sha256::digest(bytes).into())
}

/// SHA-1 of `bytes`.
pub fn sha1(bytes: &[u8]) -> [u8; 20] {
    Sha1::digest(bytes).into()
}

/// SHA-1 of bytes whose hash is their name; `None` if they were made so that others have the same
/// one (Stevens, "Counter-cryptanalysis", 2013).
pub fn sha1_checked(bytes: &[u8]) -> Option<[u8; 20]> {
    let found = sha1_checked::Sha1::try_digest(bytes);
    (!found.has_collision()).then(|| (*found.hash()).into())
}

/// The inner node above `left` and `right` (BEP 52): SHA-256 of the two side by side.
pub fn parent(left: &Hash32, right: &Hash32) -> Hash32 {
    let mut both = [0; 64];
    both[..32].copy_from_slice(&left.0);
    both[32..].copy_from_slice(&right.0);
    sha256(&both)
}

/// Appends the leaf hash of each 16 KiB block of `bytes` to `leaves`; a last, shorter block counts
/// as one.
pub fn leaves(bytes: &[u8], leaves: &mut Vec<Hash32>) {
    each_block(bytes, BLOCK_BYTES as usize, leaves);
}

/// Appends the SHA-256 of each `block_bytes` of `bytes` to `hashes`; a shorter rest counts as one.
pub fn each_block(bytes: &[u8], block_bytes: usize, hashes: &mut Vec<Hash32>) {
    hashes.extend(bytes.chunks(block_bytes.max(1)).map(sha256));
}

/// SHA-256 of one leaf whose bytes arrive in slices.
#[derive(Clone, Default, Debug)]
pub struct LeafHasher {
    state: Sha256,
}

impl LeafHasher {
    pub fn update(&mut self, part: &[u8]) {
        self.state.update(part);
    }

    pub fn finish(self) -> Hash32 {
        Hash32(self.state.finalize().into())
    }

    /// The hash of what came so far; the hasher starts anew.
    pub fn finish_reset(&mut self) -> Hash32 {
        Hash32(self.state.finalize_reset().into())
    }
}

/// SHA-1 of one v1 piece whose bytes arrive in slices.
#[derive(Clone, Default, Debug)]
pub struct PieceHasher {
    state: Sha1,
}

impl PieceHasher {
    pub fn update(&mut self, part: &[u8]) {
        self.state.update(part);
    }

    /// As `len` zeros.
    pub fn zeros(&mut self, mut len: u64) {
        static ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];
        while let some @ 1.. = len.min(ZEROS.len() as u64) {
            self.state.update(ZEROS.get(..some as usize).unwrap_or_default());
            len -= some;
        }
    }

    pub fn finish(self) -> [u8; 20] {
        self.state.finalize().into()
    }

    /// The hash of what came so far; the hasher starts anew.
    pub fn finish_reset(&mut self) -> [u8; 20] {
        self.state.finalize_reset().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_are_the_published_ones() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").to_string(), abc);
        let abc = crate::core::id::InfoHash(sha1(b"abc")).to_string();
        assert_eq!(abc, "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn slices_in_order_hash_as_the_whole() {
        let bytes: Vec<u8> = (0..20_000u32).map(|i| (i * 7) as u8).collect();
        let (mut leaf, mut piece) = (LeafHasher::default(), PieceHasher::default());
        for part in bytes.chunks(977) {
            leaf.update(part);
            piece.update(part);
        }
        assert_eq!(leaf.finish_reset(), sha256(&bytes));
        assert_eq!(leaf.finish(), sha256(b""));
        assert_eq!(piece.finish(), sha1(&bytes));
        let mut found = Vec::new();
        leaves(&bytes, &mut found);
        assert_eq!(found, [sha256(&bytes[..16384]), sha256(&bytes[16384..])]);
    }
}
