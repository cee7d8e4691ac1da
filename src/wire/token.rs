//! Tokens: who may do what at a private tracker, and until when (`docs/wire.md`). A token is a
//! bearer secret; nothing here shows one by accident.

use crate::core::id::InfoHash;
use crate::core::mac::Key;
use crate::wire::catalogue::hello::Owner;

/// Bits of a token's scope.
pub mod scope {
    /// Announce and scrape.
    pub const ANNOUNCE: u8 = 1;
    /// Read the catalogue, figures and pages.
    pub const READ: u8 = 2;
    /// Publish.
    pub const WRITE: u8 = 4;
    /// For one info-hash alone.
    pub const BOUND: u8 = 8;
    pub const ALL: u8 = ANNOUNCE | READ | WRITE;
}

/// Bytes of a token, and its characters as text.
const BYTES: usize = 32;
pub const TEXT_BYTES: usize = 43;
const SIGNED_BYTES: usize = 16;
const VERSION: u8 = 1;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Where a token stands in the path of a tracker's URL.
const PATH: &[u8] = b"/announce/";

/// What a private tracker answers to whoever may not: one text for everything, so that nobody
/// learns which part of a token failed.
pub const DENIED: &str = "access denied";

/// A token read, not judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Bits of [`scope`].
    pub scope: u8,
    pub key_id: u16,
    /// Unix second of its end; `u32::MAX` = never.
    pub expiry_s: u32,
    /// Who owns what is published with it.
    pub owner: Owner,
    mac: [u8; 16],
}

impl Token {
    /// Makes a token with the key of this number. `bound` is the one info-hash it is for.
    pub fn make(
        (key_id, key): (u16, &Key),
        scope: u8,
        expiry_s: u32,
        owner: Owner,
        bound: Option<InfoHash>,
    ) -> Token {
        let bound_bit = if bound.is_some() { scope::BOUND } else { 0 };
        let scope = scope & scope::ALL | bound_bit;
        let mut token = Token { scope, key_id, expiry_s, owner, mac: [0; 16] };
        let hash = bound.map_or([0; 20], |hash| hash.0);
        let signed = token.signed();
        key.tag(&[b"lmk-tok1", &signed, &hash], &mut token.mac);
        token
    }

    /// Whether the token was made with `key`, for `hash` if it is bound to one. Takes the same time
    /// for every wrong one.
    pub fn is_made_with(&self, key: &Key, hash: Option<InfoHash>) -> bool {
        let hash = hash.filter(|_| self.scope & scope::BOUND != 0).map_or([0; 20], |hash| hash.0);
        key.agrees(&[b"lmk-tok1", &self.signed(), &hash], &self.mac)
    }

    fn signed(&self) -> [u8; SIGNED_BYTES] {
        let mut bytes = [0; SIGNED_BYTES];
        let fields = [VERSION, self.scope].into_iter();
        let fields = fields.chain(self.key_id.to_be_bytes()).chain(self.expiry_s.to_be_bytes());
        bytes.iter_mut().zip(fields.chain(self.owner.0)).for_each(|(to, from)| *to = from);
        bytes
    }

    /// 43 characters of base64url (RFC 4648, section 5) without padding.
    pub fn encode(&self) -> Bearer {
        let mut bytes = self.signed().to_vec();
        bytes.extend_from_slice(&self.mac);
        Bearer(encoded(&bytes))
    }

    /// Reads the text of a token; `None` if it is none of this version.
    pub fn decode(text: &[u8]) -> Option<Token> {
        let bytes = decoded(text)?;
        let (signed, mac) = bytes.split_at_checked(SIGNED_BYTES)?;
        let [version, scope, id_a, id_b, a, b, c, d, owner @ ..] = signed else { return None };
        if *version != VERSION || scope & !(scope::ALL | scope::BOUND) != 0 {
            return None;
        }
        Some(Token {
            scope: *scope,
            key_id: u16::from_be_bytes([*id_a, *id_b]),
            expiry_s: u32::from_be_bytes([*a, *b, *c, *d]),
            owner: Owner(owner.try_into().ok()?),
            mac: mac.try_into().ok()?,
        })
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The text of a token, as it is carried. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(String);

impl Bearer {
    /// A text that has the form of a token.
    pub fn read(text: &str) -> Option<Bearer> {
        Token::decode(text.as_bytes()).map(|_| Bearer(text.to_owned()))
    }

    /// The secret itself: for the wire, and for the one who made it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What stands in the query of URL data.
    pub fn pair(&self) -> String {
        format!("auth={}", self.0)
    }

    /// What goes into BEP 41 URLData.
    pub fn url_data(&self) -> Vec<u8> {
        url_data(std::iter::once(self.pair()))
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(..)")
    }
}

/// BEP 41 URLData of an announce with these pairs in its query; nothing without any.
pub fn url_data(pairs: impl Iterator<Item = String>) -> Vec<u8> {
    let pairs: Vec<String> = pairs.collect();
    match pairs.is_empty() {
        true => Vec::new(),
        false => format!("/announce?{}", pairs.join("&")).into_bytes(),
    }
}

/// The token in BEP 41 URLData, path and query of a tracker's URL: `auth=` in the query, or what
/// follows `/announce/`.
pub fn in_url_data(url_data: &[u8]) -> Option<&[u8]> {
    let at = url_data.iter().position(|byte| *byte == b'?').unwrap_or(url_data.len());
    let (path, query) = url_data.split_at_checked(at)?;
    let pairs = query.get(1..).unwrap_or_default().split(|byte| *byte == b'&');
    let mut given = pairs.filter_map(|pair| pair.strip_prefix(b"auth=".as_slice()));
    given.next().or_else(|| path.strip_prefix(PATH).filter(|rest| !rest.is_empty()))
}

/// What a person reads whom a private tracker at `tracker` did not let in.
pub fn denied_line(tracker: &str, had_token: bool) -> String {
    match had_token {
        false => format!(
            "the tracker at {tracker} does not let us in (it is private, or its lists leave us \
             out): ask who runs it for a token and give it with --token-file FILE or in LMK_TOKEN"
        ),
        true => format!(
            "the tracker at {tracker} denies access with this token (over, revoked, or not for \
             this); ask who runs it for a new one"
        ),
    }
}

fn encoded(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..=three.len() {
            let digit = (bits >> (18 - 6 * at)) & 63;
            text.extend(ALPHABET.get(digit as usize).map(|c| char::from(*c)));
        }
    }
    text
}

fn decoded(text: &[u8]) -> Option<[u8; BYTES]> {
    if text.len() != TEXT_BYTES {
        return None;
    }
    let mut bytes = [0; BYTES];
    let mut slots = bytes.iter_mut();
    let (mut bits, mut have) = (0u32, 0u32);
    for c in text {
        let digit = ALPHABET.iter().position(|known| known == c)?;
        bits = bits << 6 | digit as u32;
        have += 6;
        if have >= 8 {
            have -= 8;
            *slots.next()? = (bits >> have) as u8;
            bits &= (1 << have) - 1;
        }
    }
    // Every token has one text.
    (bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: &str = include_str!("../../tests/vectors/lmk/token_all.txt");
    const BOUND: &str = include_str!("../../tests/vectors/lmk/token_bound.txt");
    const EXPIRY_S: u32 = 1_767_312_000;
    const OWNER: Owner = Owner(*b"OWNER001");

    fn key() -> Key {
        let mut secret = [0; 32];
        secret.iter_mut().zip(0x40..).for_each(|(slot, byte)| *slot = byte);
        Key::new(&secret)
    }

    fn bound_to() -> InfoHash {
        let hex = "91fa2f640fbf65ccc7a2a0ed1da15ad639f8ccd4";
        let mut hash = [0; 20];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        }
        InfoHash(hash)
    }

    #[test]
    fn the_recipe_gives_the_vectors() {
        let made = Token::make((1, &key()), scope::ALL, EXPIRY_S, OWNER, None);
        assert_eq!(made.encode().text(), ALL.trim());
        let read = Token::decode(ALL.trim().as_bytes()).unwrap();
        assert_eq!((read.scope, read.key_id, read.expiry_s), (7, 1, EXPIRY_S));
        assert_eq!(read.owner, OWNER);
        assert!(read.is_made_with(&key(), None) && read.is_made_with(&key(), Some(bound_to())));
        let made = Token::make((1, &key()), scope::ANNOUNCE, EXPIRY_S, OWNER, Some(bound_to()));
        assert_eq!(made.encode().text(), BOUND.trim());
        assert!(made.is_made_with(&key(), Some(bound_to())));
        assert!(!made.is_made_with(&key(), None), "a bound one without its content");
        assert!(!made.is_made_with(&key(), Some(InfoHash([1; 20]))));
        assert!(!made.is_made_with(&Key::new(&[1; 32]), Some(bound_to())));
    }

    #[test]
    fn short_and_tampered_tokens_are_none() {
        let short = include_bytes!("../../tests/vectors/invalid/lmk/token_short.txt");
        assert!(Token::decode(short.trim_ascii()).is_none());
        let tampered = include_bytes!("../../tests/vectors/invalid/lmk/token_tampered.txt");
        let tampered = Token::decode(tampered.trim_ascii()).unwrap();
        assert!(
            !tampered.is_made_with(&key(), None)
                && !tampered.is_made_with(&key(), Some(bound_to()))
        );
        let expired = include_bytes!("../../tests/vectors/invalid/lmk/token_expired.txt");
        assert!(Token::decode(expired.trim_ascii()).unwrap().expiry_s < 1_767_225_600);
    }

    #[test]
    fn a_token_stands_in_the_query_or_the_path_of_a_url() {
        let announce = include_bytes!("../../tests/vectors/lmk/announce_with_token.bin");
        let crate::wire::udp::Request::Announce(request) =
            crate::wire::udp::Request::decode(announce).unwrap()
        else {
            panic!()
        };
        assert_eq!(in_url_data(&request.url_data), Some(ALL.trim().as_bytes()));
        assert_eq!(Bearer::read(ALL.trim()).unwrap().url_data(), request.url_data);
        for (data, token) in [
            ("/announce/TOKEN", Some("TOKEN")),
            ("/announce/TOKEN?lmk=01", Some("TOKEN")),
            ("/announce?lmk=01&auth=TOKEN", Some("TOKEN")),
            ("/announce?auth=", Some("")),
            ("/announce", None),
            ("/announce/", None),
            ("?xauth=TOKEN", None),
            ("", None),
        ] {
            assert_eq!(in_url_data(data.as_bytes()), token.map(str::as_bytes), "{data}");
        }
    }

    #[test]
    fn nobody_shows_one_by_accident() {
        let token = Token::decode(ALL.trim().as_bytes()).unwrap();
        let shown = format!("{token:?} {:?}", token.encode());
        assert_eq!(shown, "Token(..) Bearer(..)");
    }

    proptest! {
        #[test]
        fn every_token_has_one_text_and_no_text_makes_it_panic(
            scope in 0u8..8, key_id: u16, expiry_s: u32, owner: [u8; 8], bound: Option<[u8; 20]>,
            junk in proptest::collection::vec(any::<u8>(), 0..60),
            at in 0usize..43, to in 0usize..64,
        ) {
            let bound = bound.map(InfoHash);
            let made = Token::make((key_id, &key()), scope, expiry_s, Owner(owner), bound);
            let text = made.encode();
            prop_assert_eq!(Token::decode(text.text().as_bytes()), Some(made));
            prop_assert!(made.is_made_with(&key(), bound));
            let mut other = text.text().as_bytes().to_vec();
            other[at] = ALPHABET[to];
            if other != text.text().as_bytes() {
                let good = Token::decode(&other).is_some_and(|t| t.is_made_with(&key(), bound));
                prop_assert!(!good, "a changed character");
            }
            let _ = (Token::decode(&junk), in_url_data(&junk));
        }
    }
}
