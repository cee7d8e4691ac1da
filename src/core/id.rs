//! Names of things: newtypes without arithmetic.

use std::fmt;

/// One TCP connection for its whole life, from the wish to dial (or the accept) to its one
/// `Closed`. The generation makes a stale id find nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId {
    pub slot: u32,
    pub generation: u32,
}

/// One open file of the reactor (or of the simulated disk).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId {
    pub slot: u32,
    pub generation: u32,
}

/// A promise of one completion, told in a later turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// The 20 bytes that name a swarm on the wire: a v1 info-hash, or the first 20 bytes of a v2 one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

/// A SHA-256 value: a v2 info-hash, a merkle root or node, a leaf.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash32(pub [u8; 32]);

/// A peer's 20-byte name of itself (BEP 3, BEP 20).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

impl Hash32 {
    /// The 20 bytes under which a v2 content is announced and shaken hands for (BEP 52).
    pub fn truncated(self) -> InfoHash {
        let mut short = [0; 20];
        short.copy_from_slice(&self.0[..20]);
        InfoHash(short)
    }
}

impl PeerId {
    /// Whether it names nobody: some programs send nothing but zeros, and are not one for it.
    pub fn is_blank(&self) -> bool {
        self.0 == [0; 20]
    }

    /// Whether the id carries the prefix of this program, `-LM` (BEP 20).
    pub fn is_lmk(&self) -> bool {
        self.0.starts_with(b"-LM")
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}
impl fmt::Display for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}
impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}
impl fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}
impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}
