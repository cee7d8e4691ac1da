//! Bencode (BEP 3): an iterative parser into a flat token array with byte spans, and a writer.
//!
//! Nothing is copied and nothing is allocated from a length that stands in the text: memory is 12
//! bytes a value found, the call stack stays flat however deep the nesting. Hashes are taken of
//! [`Value::raw`], the bytes as they came, never of a re-encoding.

mod parser;
mod writer;

pub use writer::Writer;

use super::limits::{BENCODE_DEPTH_MAX, BENCODE_TOKENS_MAX};
use super::mark::mark;
use parser::Parser;
use std::fmt;
use std::ops::Range;

/// How much of BEP 3 is demanded of dictionaries; everything else is always strict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Keys ascend as raw bytes and are unique.
    Strict,
    /// Keys in any order and repeated; the first of equal keys wins in [`Value::get`].
    Tolerant,
}

/// Bounds of one parse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Lists and dictionaries open at one time.
    pub depth: usize,
    /// Values, dictionary keys counted too.
    pub tokens: usize,
}

impl Limits {
    /// A .torrent file or an info dict.
    pub const METAINFO: Limits = Limits { depth: BENCODE_DEPTH_MAX, tokens: BENCODE_TOKENS_MAX };
    /// One message of a peer.
    pub const MESSAGE: Limits = Limits { depth: 8, tokens: 20_000 };
    /// One message of the catalogue.
    pub const CATALOGUE: Limits = Limits { depth: 8, tokens: 200_000 };
}

/// What is wrong with a dictionary whose keys are not sorted.
pub const DISORDER: &str = "dictionary keys not in order";

/// What was wrong and the byte at which it was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BencodeError {
    pub what: &'static str,
    /// Offset in the input.
    pub at: usize,
}

impl fmt::Display for BencodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bencode: {} at byte {}", self.what, self.at)
    }
}

impl std::error::Error for BencodeError {}

/// Parses exactly one value with nothing after it.
pub fn parse(bytes: &[u8], mode: Mode, limits: Limits) -> Result<Doc<'_>, BencodeError> {
    let (doc, len) = parse_prefix(bytes, mode, limits)?;
    if len < bytes.len() {
        mark!("A06");
        return Err(BencodeError { what: "data after the value", at: len });
    }
    Ok(doc)
}

/// Parses one value at the front and gives its length in bytes; anything may follow it.
pub fn parse_prefix(
    bytes: &[u8],
    mode: Mode,
    limits: Limits,
) -> Result<(Doc<'_>, usize), BencodeError> {
    if u32::try_from(bytes.len()).is_err() {
        return Err(BencodeError { what: "text of 4 GiB or more", at: 0 });
    }
    let mut parser = Parser::new(bytes, mode, limits);
    let len = parser.run()?;
    Ok((Doc { bytes, tokens: parser.tokens }, len))
}

/// One parsed text. The first byte of a token's span tells its type.
#[derive(Clone, Debug)]
pub struct Doc<'a> {
    bytes: &'a [u8],
    tokens: Vec<Token>,
}

/// Span of one value in the text, and the index of the first token that is not inside it.
#[derive(Clone, Copy, Debug)]
struct Token {
    start: u32,
    end: u32,
    next: u32,
}

impl<'a> Doc<'a> {
    /// The one value of the text.
    pub fn root(&self) -> Value<'_, 'a> {
        Value { doc: self, index: 0 }
    }

    fn token(&self, index: u32) -> Token {
        let none = Token { start: 0, end: 0, next: u32::MAX };
        self.tokens.get(index as usize).copied().unwrap_or(none)
    }
}

/// One value of a [`Doc`]. Slices taken from it live as long as the parsed bytes (`'a`).
#[derive(Clone, Copy)]
pub struct Value<'d, 'a> {
    doc: &'d Doc<'a>,
    index: u32,
}

impl<'d, 'a> Value<'d, 'a> {
    /// The bytes of the value as they stand in the text: what an info-hash is taken of.
    pub fn raw(&self) -> &'a [u8] {
        let token = self.doc.token(self.index);
        self.doc.bytes.get(token.start as usize..token.end as usize).unwrap_or_default()
    }

    /// Where [`Value::raw`] stands in the text.
    pub fn raw_range(&self) -> Range<usize> {
        let token = self.doc.token(self.index);
        token.start as usize..token.end as usize
    }

    /// Where [`Value::bytes`] stand in the text.
    pub fn bytes_range(&self) -> Option<Range<usize>> {
        let end = self.raw_range().end;
        Some(end.checked_sub(self.bytes()?.len())?..end)
    }

    pub fn is_dict(&self) -> bool {
        self.raw().first() == Some(&b'd')
    }

    pub fn is_list(&self) -> bool {
        self.raw().first() == Some(&b'l')
    }

    /// The number, if the value is an integer.
    pub fn int(&self) -> Option<i64> {
        let digits = self.raw().strip_prefix(b"i")?.strip_suffix(b"e")?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The number, if the value is an integer and not negative.
    pub fn uint(&self) -> Option<u64> {
        u64::try_from(self.int()?).ok()
    }

    /// The bytes, if the value is a string.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        let raw = self.raw();
        if !raw.first()?.is_ascii_digit() {
            return None;
        }
        let colon = raw.iter().position(|b| *b == b':')?;
        raw.get(colon + 1..)
    }

    /// The value of a key, if this is a dictionary that has it. Time grows with the entries before
    /// it: go through [`Value::entries`] where many keys of a large dictionary are wanted.
    pub fn get(&self, key: &[u8]) -> Option<Value<'d, 'a>> {
        self.entries().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// The values of a list; of anything else none.
    pub fn items(&self) -> Items<'d, 'a> {
        self.inside(self.is_list())
    }

    /// Keys and values of a dictionary in the order of the text (in tolerant mode repeated keys
    /// come again); of anything else none.
    pub fn entries(&self) -> Entries<'d, 'a> {
        Entries { tokens: self.inside(self.is_dict()) }
    }

    fn inside(&self, container: bool) -> Items<'d, 'a> {
        let first = self.index + 1;
        let end = if container { self.doc.token(self.index).next } else { first };
        Items { doc: self.doc, index: first, end }
    }
}

impl fmt::Debug for Value<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.raw().escape_ascii())
    }
}

/// See [`Value::items`].
#[derive(Clone, Debug)]
pub struct Items<'d, 'a> {
    doc: &'d Doc<'a>,
    index: u32,
    end: u32,
}

impl<'d, 'a> Iterator for Items<'d, 'a> {
    type Item = Value<'d, 'a>;

    fn next(&mut self) -> Option<Value<'d, 'a>> {
        if self.index >= self.end {
            return None;
        }
        let value = Value { doc: self.doc, index: self.index };
        self.index = self.doc.token(self.index).next;
        Some(value)
    }
}

/// See [`Value::entries`].
#[derive(Clone, Debug)]
pub struct Entries<'d, 'a> {
    tokens: Items<'d, 'a>,
}

impl<'d, 'a> Iterator for Entries<'d, 'a> {
    type Item = (&'a [u8], Value<'d, 'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.tokens.next()?.bytes()?;
        Some((key, self.tokens.next()?))
    }
}
