//! Message stream encryption (MSE/PE): a handshake that shows nothing of BitTorrent to whoever
//! looks on, before the peer wire begins. There is no BEP; the format is that of the clients that
//! speak it. It hides, it proves nothing: whoever knows the info-hash and stands between can read.
//!
//! 1. Initiator: public key, up to 512 random bytes. 2. Responder: the same. 3. Initiator: a mark
//!    that is found by trying, which swarm is meant, and, enciphered, what it offers and its first
//!    words. 4. Responder, enciphered: what it chose. Then both speak the peer wire, enciphered or
//!    not, as chosen.

mod initiator;
mod keys;
mod responder;

pub use initiator::Initiator;
pub use keys::{KEY_BYTES, KeyPair, Secret};
pub use responder::Responder;

use crate::core::cipher::StreamKey;

/// Longest padding of each kind.
const PAD_BYTES_MAX: usize = 512;
/// Eight zero bytes, enciphered: the beginning of what is enciphered is found by them.
const VERIFICATION: [u8; 8] = [0; 8];
/// Longest first words taken from an initiator: clients send the 68 bytes of their handshake, and
/// perhaps what follows it.
const OPENING_BYTES_MAX: usize = 4096;

/// How the bytes after the handshake travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Plain,
    Rc4,
}

impl Method {
    const fn bit(self) -> u32 {
        match self {
            Method::Plain => 1,
            Method::Rc4 => 2,
        }
    }
}

/// The methods that one side takes, the one it likes better first.
pub type Methods<'a> = &'a [Method];

fn bits(methods: Methods<'_>) -> u32 {
    methods.iter().fold(0, |bits, method| bits | method.bit())
}

/// What each handshake needs anew.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// 160 bits that nobody else knows.
    pub private: [u8; 20],
    /// Up to 512 bytes that look like any.
    pub pad: Vec<u8>,
}

/// A handshake that is complete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreed {
    pub method: Method,
    /// What we send from here on is enciphered with this one, if so agreed, ...
    pub send: StreamKey,
    /// ... and what comes from here on with this one.
    pub receive: StreamKey,
    /// The first words of the other side, deciphered. What came after them was not taken.
    pub opening: Vec<u8>,
}

/// Moves bytes from `input` until `held` has `need` of them; true when it has.
fn collect(held: &mut Vec<u8>, need: usize, input: &mut &[u8]) -> bool {
    let missing = need.saturating_sub(held.len());
    let (bytes, rest) = input.split_at(input.len().min(missing));
    held.extend_from_slice(bytes);
    *input = rest;
    held.len() >= need
}

/// Moves bytes from `input` until `held` ends with `mark`: true. `Err` if it does not within
/// `most` bytes.
fn seek(held: &mut Vec<u8>, mark: &[u8], most: usize, input: &mut &[u8]) -> Result<bool, ()> {
    while let Some((byte, rest)) = input.split_first() {
        *input = rest;
        held.push(*byte);
        if held.ends_with(mark) {
            return Ok(true);
        }
        if held.len() >= most {
            return Err(());
        }
    }
    Ok(false)
}
