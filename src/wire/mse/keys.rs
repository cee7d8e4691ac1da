//! The key agreement of message stream encryption, and what is derived from its secret.

use crate::core::cipher::StreamKey;
use crate::core::fault::Fault;
use crate::core::id::InfoHash;
use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{Encoding, U192, U768, const_monty_params};
use sha1::{Digest, Sha1};
use std::fmt;

/// Bytes of a public key.
pub const KEY_BYTES: usize = 96;
/// Bytes of each keystream that are thrown away.
const DISCARDED_BYTES: u64 = 1024;
const PRIVATE_BITS: u32 = 160;

const_monty_params!(
    Prime,
    U768,
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a0879\
     8e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a3621\
     0000000000090563",
    "The prime of 768 bits in which keys are agreed on."
);
type Residue = ConstMontyForm<Prime, { U768::LIMBS }>;

fn prime() -> U768 {
    *Prime::PARAMS.modulus().as_ref()
}

/// A key of one handshake.
pub struct KeyPair {
    private: U192,
    public: [u8; KEY_BYTES],
}

impl KeyPair {
    pub fn new(private: [u8; 20]) -> KeyPair {
        let mut wide = [0; 24];
        wide.iter_mut().skip(4).zip(private).for_each(|(slot, byte)| *slot = byte);
        let private = U192::from_be_bytes(wide.into());
        KeyPair { private, public: power(&U768::from_u8(2), &private) }
    }

    pub fn public(&self) -> &[u8; KEY_BYTES] {
        &self.public
    }

    /// The secret that both sides come to.
    pub fn agree(&self, theirs: &[u8; KEY_BYTES]) -> Result<Secret, Fault> {
        let theirs = U768::from_be_bytes((*theirs).into());
        let last = prime().wrapping_sub(&U768::ONE);
        // With these everybody knows the secret.
        if theirs <= U768::ONE || theirs >= last {
            return Err(Fault::peer("encrypted handshake: not a public key"));
        }
        Ok(Secret(power(&theirs, &self.private)))
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(..)")
    }
}

fn power(base: &U768, exponent: &U192) -> [u8; KEY_BYTES] {
    Residue::new(base).pow_bounded_exp(exponent, PRIVATE_BITS).retrieve().to_be_bytes().into()
}

/// What the two sides of one handshake know and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; KEY_BYTES]);

impl Secret {
    /// The mark that begins the initiator's third step.
    pub fn mark(&self) -> [u8; 20] {
        sha1(&[b"req1", &self.0])
    }

    /// Which swarm is meant, hidden from those who do not know both.
    pub fn names(&self, swarm: &InfoHash) -> [u8; 20] {
        let mut name = sha1(&[b"req2", &swarm.0]);
        let mask = sha1(&[b"req3", &self.0]);
        name.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        name
    }

    /// What the initiator enciphers with.
    pub fn of_initiator(&self, swarm: &InfoHash) -> StreamKey {
        self.stream(b"keyA", swarm)
    }

    /// What the responder enciphers with.
    pub fn of_responder(&self, swarm: &InfoHash) -> StreamKey {
        self.stream(b"keyB", swarm)
    }

    fn stream(&self, side: &[u8; 4], swarm: &InfoHash) -> StreamKey {
        StreamKey { key: sha1(&[side, &self.0, &swarm.0]), used: DISCARDED_BYTES }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut hash = Sha1::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_that_gives_the_secret_away_is_refused() {
        let pair = KeyPair::new([7; 20]);
        let minus_one = prime().wrapping_sub(&U768::ONE);
        for weak in [U768::ZERO, U768::ONE, minus_one, prime(), U768::MAX] {
            assert!(pair.agree(&weak.to_be_bytes().into()).is_err());
        }
        assert!(pair.agree(KeyPair::new([8; 20]).public()).is_ok());
    }

    #[test]
    fn both_sides_come_to_one_secret() {
        let (a, b) = (KeyPair::new([0x5a; 20]), KeyPair::new([0xff; 20]));
        assert_eq!(a.agree(b.public()), b.agree(a.public()));
        assert_ne!(a.agree(b.public()), a.agree(a.public()));
    }
}
