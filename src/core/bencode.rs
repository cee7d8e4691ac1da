//! Bencode (BEP 3): an iterative parser into a flat token array with byte spans, and a writer.
//!
//! Nothing is copied and nothing is allocated from a length that stands in the text: memory is 12
//! bytes a value found, the call stack stays flat however deep the nesting. Hashes are taken of
//! [`Value::raw`], the bytes as they came, never of a re-encoding.

use super::limits::{BENCODE_DEPTH_MAX, BENCODE_TOKENS_MAX};
use std::fmt;

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
    let mut parser = Parser { bytes, at: 0, mode, limits, tokens: Vec::new(), open: Vec::new() };
    parser.run()?;
    let len = parser.at;
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

/// A list or dictionary whose end has not been seen.
struct Open<'a> {
    token: usize,
    dict: bool,
    /// The key before, for the order.
    key: Option<&'a [u8]>,
    /// A key has been read and its value not.
    owes_value: bool,
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    mode: Mode,
    limits: Limits,
    tokens: Vec<Token>,
    open: Vec<Open<'a>>,
}

impl<'a> Parser<'a> {
    fn error<T>(&self, what: &'static str) -> Result<T, BencodeError> {
        Err(BencodeError { what, at: self.at })
    }

    fn peek(&self) -> Result<u8, BencodeError> {
        match self.bytes.get(self.at) {
            Some(byte) => Ok(*byte),
            None => self.error("text ends early"),
        }
    }

    fn run(&mut self) -> Result<(), BencodeError> {
        loop {
            match self.peek()? {
                b'e' => self.close()?,
                b'0'..=b'9' => self.string()?,
                _ if self.wants_key() => return self.error("dictionary key is not a string"),
                b'i' => self.int()?,
                b'l' => self.begin(false)?,
                b'd' => self.begin(true)?,
                _ => return self.error("no value begins with this byte"),
            }
            if self.open.is_empty() {
                return Ok(());
            }
        }
    }

    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|open| open.dict && !open.owes_value)
    }

    /// Notes a value that starts here and ends before `end`.
    fn push(&mut self, end: usize) -> Result<(), BencodeError> {
        if self.tokens.len() >= self.limits.tokens {
            return self.error("too many items");
        }
        let next = self.tokens.len() as u32 + 1;
        self.tokens.push(Token { start: self.at as u32, end: end as u32, next });
        Ok(())
    }

    fn begin(&mut self, dict: bool) -> Result<(), BencodeError> {
        if self.open.len() >= self.limits.depth {
            return self.error(match self.limits.depth {
                8 => "nesting deeper than 8",
                64 => "nesting deeper than 64",
                _ => "nesting too deep",
            });
        }
        self.push(self.at + 1)?;
        self.took_value();
        let token = self.tokens.len() - 1;
        self.open.push(Open { token, dict, key: None, owes_value: false });
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), BencodeError> {
        let next = self.tokens.len() as u32;
        let Some(open) = self.open.pop() else {
            return self.error("no value begins with this byte");
        };
        if open.owes_value {
            return self.error("dictionary key without a value");
        }
        self.at += 1;
        if let Some(token) = self.tokens.get_mut(open.token) {
            token.end = self.at as u32;
            token.next = next;
        }
        Ok(())
    }

    fn took_value(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.owes_value = false;
        }
    }

    fn int(&mut self) -> Result<(), BencodeError> {
        let start = self.at;
        self.at += 1;
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let first = self.peek()?;
        let mut value = 0i64;
        let mut digits = 0usize;
        loop {
            let byte = self.peek()?;
            if byte == b'e' && digits > 0 {
                break;
            }
            if !byte.is_ascii_digit() {
                return self.error("integer is not decimal digits");
            }
            if first == b'0' && (digits > 0 || negative) {
                return self.error("integer with a leading zero or negative zero");
            }
            // Counted downwards: the negative side of i64 is the longer one.
            let lower = value.checked_mul(10).and_then(|v| v.checked_sub(i64::from(byte - b'0')));
            let Some(lower) = lower else { return self.error("integer outside 64 bits") };
            value = lower;
            digits += 1;
            self.at += 1;
        }
        if !negative && value == i64::MIN {
            return self.error("integer outside 64 bits");
        }
        let end = self.at + 1;
        self.at = start;
        self.push(end)?;
        self.took_value();
        self.at = end;
        Ok(())
    }

    /// A string, as a value or as the key of the innermost dictionary.
    fn string(&mut self) -> Result<(), BencodeError> {
        let start = self.at;
        let mut len = 0usize;
        loop {
            let byte = self.peek()?;
            if byte == b':' {
                break;
            }
            if !byte.is_ascii_digit() {
                return self.error("string length is not decimal digits");
            }
            if self.at > start && len == 0 {
                return self.error("string length with a leading zero");
            }
            // Never beyond ten times 4 GiB: no digits can overflow it.
            len = len * 10 + usize::from(byte - b'0');
            if len > self.bytes.len() {
                return self.error("string length runs past end of input");
            }
            self.at += 1;
        }
        let body = self.at + 1;
        let Some(text) = self.bytes.get(body..body + len) else {
            return self.error("string length runs past end of input");
        };
        self.at = start;
        self.push(body + len)?;
        if self.wants_key() {
            self.key(text)?;
        } else {
            self.took_value();
        }
        self.at = body + len;
        Ok(())
    }

    fn key(&mut self, key: &'a [u8]) -> Result<(), BencodeError> {
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        let before = open.key.replace(key);
        open.owes_value = true;
        match before {
            Some(before) if self.mode == Mode::Strict && before == key => {
                self.error("dictionary key twice")
            }
            Some(before) if self.mode == Mode::Strict && before > key => {
                self.error("dictionary keys not in order")
            }
            _ => Ok(()),
        }
    }
}

/// Writes bencode. The caller keeps to the grammar: keys in ascending order, each `begin` ended.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    pub fn int(&mut self, value: i64) -> &mut Writer {
        self.number(value < 0, value.unsigned_abs())
    }

    /// Readers of ours take numbers up to `i64::MAX`.
    pub fn uint(&mut self, value: u64) -> &mut Writer {
        self.number(false, value)
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Writer {
        self.digits(value.len() as u64);
        self.out.push(b':');
        self.raw(value)
    }

    pub fn begin_dict(&mut self) -> &mut Writer {
        self.raw(b"d")
    }

    /// The key of the value that is written next.
    pub fn key(&mut self, key: &[u8]) -> &mut Writer {
        self.bytes(key)
    }

    pub fn begin_list(&mut self) -> &mut Writer {
        self.raw(b"l")
    }

    /// Ends the innermost list or dictionary.
    pub fn end(&mut self) -> &mut Writer {
        self.raw(b"e")
    }

    /// A value that is bencoded already.
    pub fn raw(&mut self, value: &[u8]) -> &mut Writer {
        self.out.extend_from_slice(value);
        self
    }

    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn number(&mut self, negative: bool, value: u64) -> &mut Writer {
        self.raw(if negative { b"i-" } else { b"i" });
        self.digits(value);
        self.raw(b"e")
    }

    fn digits(&mut self, value: u64) {
        self.out.extend_from_slice(value.to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_values_found_and_not_lengths_declared() {
        for text in ["d1:a99999999999999999999:", "l2222222222:", "l9:", "l1:a4000000000:xxx"] {
            let mut parser = Parser {
                bytes: text.as_bytes(),
                at: 0,
                mode: Mode::Strict,
                limits: Limits::METAINFO,
                tokens: Vec::new(),
                open: Vec::new(),
            };
            let error = parser.run().unwrap_err();
            assert_eq!(error.what, "string length runs past end of input", "{text}");
            assert!(parser.tokens.capacity() <= 8 && parser.open.capacity() <= 8, "{text}");
        }
    }

    #[test]
    fn a_token_is_12_bytes() {
        assert_eq!(std::mem::size_of::<Token>(), 12);
    }
}
