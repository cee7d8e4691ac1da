//! The keys of a bencoded dictionary, read with the refusal that a wrong one earns.

use super::code;
use crate::core::bencode::{Doc, Limits, Mode, Value, parse};
use crate::core::fault::Refusal;
use crate::core::id::{Hash32, InfoHash};

/// BAD_REQUEST with its reason.
pub fn bad(what: &'static str) -> Refusal {
    Refusal { code: code::BAD_REQUEST, what }
}

/// Parses a payload that must be one canonical dictionary.
pub fn parse_payload(payload: &[u8]) -> Result<Doc<'_>, Refusal> {
    let doc = parse(payload, Mode::Strict, Limits::CATALOGUE)
        .map_err(|_| bad("the payload is not canonical bencode"))?;
    if !doc.root().is_dict() {
        return Err(bad("the payload is not a dictionary"));
    }
    Ok(doc)
}

/// One dictionary.
#[derive(Clone, Copy)]
pub struct Keys<'d, 'a>(pub Value<'d, 'a>);

impl<'d, 'a> Keys<'d, 'a> {
    pub fn value(&self, key: u8) -> Option<Value<'d, 'a>> {
        self.0.get(&[key])
    }

    pub fn uint_maybe(&self, key: u8) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.uint().map(Some).ok_or(bad("a key is not a number from 0 up"))
    }

    pub fn uint(&self, key: u8) -> Result<u64, Refusal> {
        self.uint_maybe(key)?.ok_or(bad("a number is missing"))
    }

    /// A number of at most 32 bits, 0 when it is absent.
    pub fn count(&self, key: u8) -> Result<u32, Refusal> {
        let n = self.uint_maybe(key)?.unwrap_or(0);
        u32::try_from(n).map_err(|_| bad("a number is too large"))
    }

    pub fn bytes_maybe(&self, key: u8) -> Result<Option<&'a [u8]>, Refusal> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.bytes().map(Some).ok_or(bad("a key is not a string"))
    }

    pub fn bytes(&self, key: u8) -> Result<&'a [u8], Refusal> {
        self.bytes_maybe(key)?.ok_or(bad("a string is missing"))
    }

    pub fn array_maybe<const N: usize>(&self, key: u8) -> Result<Option<[u8; N]>, Refusal> {
        let Some(bytes) = self.bytes_maybe(key)? else { return Ok(None) };
        bytes.try_into().map(Some).map_err(|_| bad("a string has the wrong length"))
    }

    pub fn info_hash(&self, key: u8) -> Result<InfoHash, Refusal> {
        self.array_maybe(key)?.map(InfoHash).ok_or(bad("a hash is missing"))
    }

    pub fn hash32_maybe(&self, key: u8) -> Result<Option<Hash32>, Refusal> {
        Ok(self.array_maybe(key)?.map(Hash32))
    }

    /// The dictionary under a key.
    pub fn dict(&self, key: u8) -> Result<Keys<'d, 'a>, Refusal> {
        let value = self.value(key).ok_or(bad("a dictionary is missing"))?;
        if value.is_dict() { Ok(Keys(value)) } else { Err(bad("a key is not a dictionary")) }
    }

    /// The values of the list under a key.
    pub fn list(&self, key: u8) -> Result<impl Iterator<Item = Value<'d, 'a>>, Refusal> {
        let value = self.value(key).ok_or(bad("a list is missing"))?;
        if value.is_list() { Ok(value.items()) } else { Err(bad("a key is not a list")) }
    }
}
