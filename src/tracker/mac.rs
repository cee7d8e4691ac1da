//! HMAC-SHA256 (RFC 2104, FIPS 180-4) with a key of 32 bytes, prepared once and cloned per message.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::net::IpAddr;

/// A keyed state: making one costs two compressions, using it none of them again.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    pub fn new(secret: &[u8; 32]) -> Key {
        // Shorter keys are filled with zeros to the block length (RFC 2104, section 2).
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (slot, byte) in block.iter_mut().zip(secret) {
            *slot = *byte;
        }
        Key(Hmac::new(&block))
    }

    /// A key for another use, so that no two uses share one.
    pub fn derive(&self, label: &[u8]) -> Key {
        let mut secret = [0; 32];
        self.tag(&[label], &mut secret);
        Key::new(&secret)
    }

    /// Writes the first `tag.len()` (at most 32) bytes of the MAC over the joined parts.
    pub fn tag(&self, parts: &[&[u8]], tag: &mut [u8]) {
        let mac = self.over(parts).finalize().into_bytes();
        for (slot, byte) in tag.iter_mut().zip(mac) {
            *slot = byte;
        }
    }

    /// Whether `tag` is the beginning of the MAC over the joined parts; takes the same time for
    /// every wrong tag.
    pub fn agrees(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        crate::mark!("B06");
        self.over(parts).verify_truncated_left(tag).is_ok()
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac
    }
}

impl std::fmt::Debug for Key {
    /// Keys are never shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// An address in 16 bytes, IPv4 as `::ffff:a.b.c.d` (RFC 4291, section 2.5.5.2).
pub fn ip16(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
