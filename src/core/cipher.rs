//! Streams that are enciphered on their way: RC4, as message stream encryption has it. It hides
//! what a stream is from whoever looks on; it keeps no secret and proves nothing.

use rc4::{KeyInit, Rc4, StreamCipher};
use std::fmt;

/// Which keystream, and how far it is used up: plain data that a driver makes a [`Keystream`] of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StreamKey {
    pub key: [u8; 20],
    /// Bytes of the keystream that are used up.
    pub used: u64,
}

impl fmt::Debug for StreamKey {
    /// Keys are never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamKey(.. from {})", self.used)
    }
}

/// One direction of one connection.
pub struct Keystream {
    key: StreamKey,
    cipher: Rc4,
}

impl Keystream {
    pub fn new(key: StreamKey) -> Keystream {
        // Refused are keys of no byte and of more than 256; this one has 20.
        let cipher =
            Rc4::new_from_slice(&key.key).unwrap_or_else(|_| Rc4::new(&Default::default()));
        let mut stream = Keystream { key: StreamKey { used: 0, ..key }, cipher };
        let mut waste = [0; 1024];
        while let left @ 1.. = key.used.saturating_sub(stream.key.used) {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(waste.len());
            stream.apply(waste.get_mut(..n).unwrap_or_default());
        }
        stream
    }

    /// Enciphers or deciphers the next bytes of the stream, in place.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.cipher.apply_keystream(bytes);
        self.key.used += bytes.len() as u64;
    }

    /// This keystream from where it stands now.
    pub fn key(&self) -> StreamKey {
        self.key
    }
}

impl fmt::Debug for Keystream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keystream_goes_on_where_its_key_says() {
        let start = StreamKey { key: *b"twenty bytes of key.", used: 0 };
        let mut whole = Keystream::new(start);
        let mut bytes = vec![0; 5000];
        whole.apply(&mut bytes);
        for used in [0, 1, 1023, 1024, 1025, 4096] {
            let mut late = Keystream::new(StreamKey { used, ..start });
            assert_eq!(late.key().used, used);
            let mut rest = vec![0; 5000 - used as usize];
            late.apply(&mut rest);
            assert_eq!(rest, bytes[used as usize..], "from {used}");
        }
    }

    /// RFC 6229, section 2: key length 40 bits, and what follows from 20 bytes by repetition.
    #[test]
    fn it_is_rc4() {
        let mut key = [0; 20];
        key.iter_mut().enumerate().for_each(|(n, byte)| *byte = n as u8 % 5 + 1);
        let mut bytes = [0; 16];
        Keystream::new(StreamKey { key, used: 0 }).apply(&mut bytes);
        let expected = [
            0xb2, 0x39, 0x63, 0x05, 0xf0, 0x3d, 0xc0, 0x27, 0xcc, 0xc3, 0x52, 0x4a, 0x0a, 0x11,
            0x18, 0xa8,
        ];
        assert_eq!(bytes, expected);
    }
}
