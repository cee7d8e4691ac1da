//! The file of keys that tokens are made with (`docs/files.md`): lines of text, one for each key.
//! The number of a key is never used twice, so that a revoked one stays revoked.

use super::token::Token;
use crate::core::id::InfoHash;
use crate::core::mac::Key;

/// Most bytes of the file.
pub const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Most keys, revoked ones included.
const KEYS_MAX: usize = 256;
const HEAD: &str =
    "# lmk: the keys of tokens. Keep it secret; `lmk token --list` tells what is in it.\n";

/// One key.
#[derive(Clone)]
pub struct TokenKey {
    /// From 1 up.
    pub id: u16,
    /// Unix second.
    pub made_s: u64,
    /// `None` = revoked.
    secret: Option<[u8; 32]>,
}

impl TokenKey {
    pub fn is_revoked(&self) -> bool {
        self.secret.is_none()
    }

    /// What tokens are made with.
    pub fn key(&self) -> Option<Key> {
        self.secret.as_ref().map(Key::new)
    }
}

impl std::fmt::Debug for TokenKey {
    /// Keys are never shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKey({}, ..)", self.id)
    }
}

/// All keys of a tracker, in the order they were made.
#[derive(Clone, Debug, Default)]
pub struct TokenKeys(Vec<TokenKey>);

impl TokenKeys {
    /// Reads the file; else what is wrong, and in which line.
    pub fn read(bytes: &[u8]) -> Result<TokenKeys, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
        let mut keys = TokenKeys::default();
        for (number, line) in (1..).zip(text.lines()) {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let key = read_line(line).ok_or_else(|| format!("line {number} is no key"))?;
            if keys.0.len() == KEYS_MAX || keys.0.iter().any(|known| known.id == key.id) {
                return Err(format!("line {number} has a number twice, or is one key too many"));
            }
            keys.0.push(key);
        }
        Ok(keys)
    }

    /// The bytes of the file.
    pub fn write(&self) -> Vec<u8> {
        let mut text = HEAD.to_owned();
        for key in &self.0 {
            let secret: String = match key.secret {
                Some(secret) => secret.iter().map(|byte| format!("{byte:02x}")).collect(),
                None => "revoked".into(),
            };
            text.push_str(&format!("{} {} {secret}\n", key.id, key.made_s));
        }
        text.into_bytes()
    }

    pub fn iter(&self) -> impl Iterator<Item = &TokenKey> {
        self.0.iter()
    }

    /// Adds a key; its number. `None` = there is no room for more.
    pub fn add(&mut self, secret: [u8; 32], made_s: u64) -> Option<u16> {
        let id = self.0.iter().map(|key| key.id).max().unwrap_or(0).checked_add(1)?;
        if self.0.len() == KEYS_MAX {
            return None;
        }
        self.0.push(TokenKey { id, made_s, secret: Some(secret) });
        Some(id)
    }

    /// Revokes a key: no token of it counts any more. `false` = there is none of this number.
    pub fn revoke(&mut self, id: u16) -> bool {
        let Some(key) = self.0.iter_mut().find(|key| key.id == id) else { return false };
        key.secret = None;
        true
    }

    /// The key of this number.
    pub fn of(&self, id: u16) -> Option<&TokenKey> {
        self.0.iter().find(|key| key.id == id)
    }

    /// The newest key that is not revoked.
    pub fn newest(&self) -> Option<&TokenKey> {
        self.0.iter().rev().find(|key| !key.is_revoked())
    }
}

/// What judges tokens: the keys, prepared.
#[derive(Clone, Debug)]
pub struct TokenJudge {
    keys: Vec<(u16, Key)>,
    /// Stands in for a key that is not there, so that the time an answer takes does not tell.
    nobodys: Key,
}

impl TokenJudge {
    pub fn new(keys: &TokenKeys) -> TokenJudge {
        let live = keys.iter().filter_map(|key| Some((key.id, key.key()?)));
        TokenJudge { keys: live.collect(), nobodys: Key::new(&[0; 32]) }
    }

    /// Keys that are not revoked.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The token that `text` is, if it may do what `scope` says, with `hash` if it is bound to a
    /// content, at Unix second `unix_s`. Which part of it was wrong is not told.
    pub fn judge(
        &self,
        text: &[u8],
        scope: u8,
        hash: Option<InfoHash>,
        unix_s: u64,
    ) -> Option<Token> {
        let token = Token::decode(text)?;
        let key = self.keys.iter().find(|(id, _)| *id == token.key_id).map(|(_, key)| key);
        let made = token.is_made_with(key.unwrap_or(&self.nobodys), hash);
        let live = unix_s < u64::from(token.expiry_s) || token.expiry_s == u32::MAX;
        let may = token.scope & scope != 0;
        (made & key.is_some() & live & may).then_some(token)
    }
}

fn read_line(line: &str) -> Option<TokenKey> {
    let mut words = line.split_ascii_whitespace();
    let (id, made_s, secret) = (words.next()?, words.next()?, words.next()?);
    let secret = match secret {
        "revoked" => None,
        hex => Some(bytes_of_hex(hex)?),
    };
    let id = id.parse().ok().filter(|id| *id > 0)?;
    let key = TokenKey { id, made_s: made_s.parse().ok()?, secret };
    words.next().is_none().then_some(key)
}

/// The bytes that `2 N` hex digits stand for.
pub fn bytes_of_hex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if hex.len() != 2 * N || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::catalogue::hello::Owner;
    use crate::wire::token::scope;

    const NOW_S: u64 = 1_767_225_600;

    fn made(keys: &TokenKeys, id: u16, scope: u8, expiry_s: u32) -> String {
        let key = keys.of(id).unwrap().key().unwrap();
        let token = Token::make((id, &key), scope, expiry_s, Owner([7; 8]), None);
        token.encode().text().to_owned()
    }

    #[test]
    fn the_file_reads_as_it_was_written_and_numbers_come_once() {
        let mut keys = TokenKeys::default();
        assert_eq!((keys.add([1; 32], 5), keys.add([0xab; 32], 6)), (Some(1), Some(2)));
        assert!(keys.revoke(2) && !keys.revoke(9));
        let text = keys.write();
        let mut read = TokenKeys::read(&text).unwrap();
        assert_eq!(read.write(), text);
        assert_eq!(read.newest().map(|key| key.id), Some(1));
        assert_eq!(read.add([2; 32], 7), Some(3), "a revoked number is not used again");
        assert!(!String::from_utf8(text).unwrap().contains("abab"), "a revoked key is gone");
    }

    #[test]
    fn a_broken_file_is_refused_with_its_line() {
        for (text, line) in [
            ("1 5 zz", "line 1"),
            ("# x\n\n1 5 00", "line 3"),
            ("0 5 revoked", "line 1"),
            ("1 5 revoked\n1 6 revoked", "line 2"),
            ("1 5 revoked more", "line 1"),
        ] {
            let said = TokenKeys::read(text.as_bytes()).unwrap_err();
            assert!(said.contains(line), "{text:?}: {said}");
        }
        assert!(TokenKeys::read(b"\xff").is_err());
        let many: String = (1..300).map(|id| format!("{id} 5 revoked\n")).collect();
        assert!(TokenKeys::read(many.as_bytes()).is_err());
    }

    #[test]
    fn revoked_expired_narrow_and_foreign_tokens_all_fail() {
        let mut keys = TokenKeys::default();
        keys.add([1; 32], 5);
        keys.add([2; 32], 5);
        let late = u32::try_from(NOW_S).unwrap();
        let good = made(&keys, 1, scope::ALL, late + 1);
        let second = made(&keys, 2, scope::ALL, u32::MAX);
        let over = made(&keys, 1, scope::ALL, late);
        let narrow = made(&keys, 1, scope::ANNOUNCE, u32::MAX);
        let judge = TokenJudge::new(&keys);
        let may = |judge: &TokenJudge, text: &str, scope| {
            judge.judge(text.as_bytes(), scope, None, NOW_S).is_some()
        };
        assert!(may(&judge, &good, scope::WRITE) && may(&judge, &second, scope::READ));
        assert!(!may(&judge, &over, scope::READ));
        assert!(may(&judge, &narrow, scope::ANNOUNCE) && !may(&judge, &narrow, scope::READ));
        assert!(may(&judge, &narrow, scope::ANNOUNCE | scope::READ), "one of them is enough");
        keys.revoke(2);
        let judge = TokenJudge::new(&keys);
        assert!(may(&judge, &good, scope::READ) && !may(&judge, &second, scope::READ));
        let stranger = Token::make((9, &Key::new(&[0; 32])), 7, u32::MAX, Owner([0; 8]), None);
        assert!(!may(&judge, stranger.encode().text(), scope::READ), "the stand-in opens nothing");
    }
}
