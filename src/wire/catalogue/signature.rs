//! Signed entries (`docs/wire.md`): a publisher says with Ed25519 (RFC 8032) which content a name
//! stands for, so that nobody between publisher and leecher, the tracker included, can put another
//! one in its place.

use super::entry::Entry;
use crate::wire::token_keys::bytes_of_hex;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use std::fmt;

/// Keeps these signatures apart from any others made with the same key.
const DOMAIN: &[u8] = b"lmk-entry-sig1";
/// Before the digits of a public key as text.
pub const KEY_PREFIX: &str = "ed25519:";

/// Before the digits of a secret key in its file.
pub const SECRET_PREFIX: &str = "lmk-secret-ed25519:";

/// Who publishes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KEY_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A publisher's secret: 32 random bytes. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(pub [u8; 32]);

impl SecretKey {
    pub fn public(&self) -> PublicKey {
        PublicKey(SigningKey::from_bytes(&self.0).verifying_key().to_bytes())
    }

    /// The bytes of the file that keeps it (`docs/files.md`).
    pub fn write_file(&self) -> Vec<u8> {
        let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{SECRET_PREFIX}{hex}\n").into_bytes()
    }

    /// Reads such a file.
    pub fn read_file(bytes: &[u8]) -> Option<SecretKey> {
        let text = std::str::from_utf8(bytes).ok()?.trim();
        text.strip_prefix(SECRET_PREFIX).and_then(bytes_of_hex).map(SecretKey)
    }

    /// Signs name, hashes and size of an entry.
    pub fn sign(&self, entry: &Entry) -> Signed {
        let key = SigningKey::from_bytes(&self.0);
        Signed { key: self.public(), signature: key.sign(&message(entry)).to_bytes() }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A signature as it came: not checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    pub key: PublicKey,
    pub signature: [u8; 64],
}

impl Signed {
    /// Key and signature, as they are kept.
    pub fn to_bytes(&self) -> [u8; 96] {
        let mut bytes = [0; 96];
        let all = self.key.0.iter().chain(&self.signature);
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
        bytes
    }

    pub fn from_bytes(bytes: &[u8; 96]) -> Signed {
        let mut signed = Signed { key: PublicKey([0; 32]), signature: [0; 64] };
        let all = signed.key.0.iter_mut().chain(&mut signed.signature);
        all.zip(bytes).for_each(|(to, from)| *to = *from);
        signed
    }

    /// Whether it is the signature of this entry by this key; one that several messages or keys
    /// could share does not count (RFC 8032, section 5.1.7, without cofactors and small orders).
    pub fn is_of(&self, entry: &Entry) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.key.0) else { return false };
        key.verify_strict(&message(entry), &Signature::from_bytes(&self.signature)).is_ok()
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({})", self.key)
    }
}

/// What is signed: every field but the name, which comes last, has a fixed length.
fn message(entry: &Entry) -> Vec<u8> {
    let mut bytes = DOMAIN.to_vec();
    bytes.push(u8::from(entry.v1.is_some()) | u8::from(entry.v2.is_some()) << 1);
    bytes.extend_from_slice(&entry.v1.map_or([0; 20], |hash| hash.0));
    bytes.extend_from_slice(&entry.v2.map_or([0; 32], |hash| hash.0));
    bytes.extend_from_slice(&entry.size.to_be_bytes());
    bytes.extend_from_slice(entry.name.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::{Hash32, InfoHash};
    use proptest::prelude::*;

    fn entry() -> Entry {
        Entry {
            name: "big.zip".into(),
            v1: Some(InfoHash([0x11; 20])),
            v2: Some(Hash32([0xab; 32])),
            size: 1000,
            piece_bytes: 16_384,
            flags: 3,
            sha256: None,
            signed: None,
        }
    }

    #[test]
    fn a_key_is_what_rfc_8032_says_and_its_file_reads_back() {
        // Section 7.1, test 1.
        let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key = SecretKey(bytes_of_hex(secret).unwrap());
        assert_eq!(key.public().to_string(), format!("ed25519:{public}"));
        assert_eq!(SecretKey::read_file(&key.write_file()), Some(key.clone()));
        assert_eq!(SecretKey::read_file(b"ed25519:00"), None);
        assert_eq!(format!("{key:?}"), "SecretKey(..)");
    }

    #[test]
    fn a_signature_is_of_one_entry_alone() {
        let signed = SecretKey([1; 32]).sign(&entry());
        assert!(signed.is_of(&entry()));
        assert_eq!(Signed::from_bytes(&signed.to_bytes()), signed);
        // What the publisher does not vouch for may change.
        assert!(signed.is_of(&Entry { flags: 9, piece_bytes: 1, ..entry() }));
        for other in [
            Entry { name: "big.zi".into(), ..entry() },
            Entry { size: 1001, ..entry() },
            Entry { v1: None, ..entry() },
            Entry { v1: Some(InfoHash([0; 20])), ..entry() },
            Entry { v2: None, ..entry() },
        ] {
            assert!(!signed.is_of(&other), "{other:?}");
        }
        let of_others = Signed { key: SecretKey([2; 32]).public(), ..signed };
        assert!(!of_others.is_of(&entry()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_agree(key: [u8; 32], a: [u8; 32], b: [u8; 32]) {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&a);
            signature[32..].copy_from_slice(&b);
            let made_up = Signed { key: PublicKey(key), signature };
            prop_assert!(!made_up.is_of(&entry()));
        }
    }
}
