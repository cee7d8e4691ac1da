//! The bencode grammar: one pass over the bytes that notes each value's span.

use super::{BencodeError, DISORDER, Limits, Mode, Token};
use crate::core::mark::mark;

/// A list or dictionary whose end has not been seen.
struct Open<'a> {
    token: usize,
    dict: bool,
    /// The key before, for the order.
    key: Option<&'a [u8]>,
    /// A key has been read and its value not.
    owes_value: bool,
}

/// One pass over the text; nesting is kept in `open`, not on the call stack.
pub(super) struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    mode: Mode,
    limits: Limits,
    pub(super) tokens: Vec<Token>,
    open: Vec<Open<'a>>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(bytes: &'a [u8], mode: Mode, limits: Limits) -> Parser<'a> {
        Parser { bytes, at: 0, mode, limits, tokens: Vec::new(), open: Vec::new() }
    }

    fn error<T>(&self, what: &'static str) -> Result<T, BencodeError> {
        Err(BencodeError { what, at: self.at })
    }

    fn peek(&self) -> Result<u8, BencodeError> {
        match self.bytes.get(self.at) {
            Some(byte) => Ok(*byte),
            None => {
                mark!("A07");
                self.error("text ends early")
            }
        }
    }

    /// Reads one value and gives its length in bytes.
    pub(super) fn run(&mut self) -> Result<usize, BencodeError> {
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
                return Ok(self.at);
            }
        }
    }

    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|open| open.dict && !open.owes_value)
    }

    /// Notes a value that starts here and ends before `end`.
    fn push(&mut self, end: usize) -> Result<(), BencodeError> {
        if self.tokens.len() >= self.limits.tokens {
            mark!("A08");
            return self.error("too many items");
        }
        let next = self.tokens.len() as u32 + 1;
        self.tokens.push(Token { start: self.at as u32, end: end as u32, next });
        Ok(())
    }

    fn begin(&mut self, dict: bool) -> Result<(), BencodeError> {
        if self.open.len() >= self.limits.depth {
            mark!("A01");
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
            let Some(lower) = lower else {
                mark!("A04");
                return self.error("integer outside 64 bits");
            };
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
                mark!("A03");
                return self.error("string length with a leading zero");
            }
            // Never beyond ten times 4 GiB: no digits can overflow it.
            len = len * 10 + usize::from(byte - b'0');
            if len > self.bytes.len() {
                mark!("A02");
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
                mark!("A05");
                self.error(DISORDER)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_values_found_and_not_lengths_declared() {
        for text in ["d1:a99999999999999999999:", "l2222222222:", "l9:", "l1:a4000000000:xxx"] {
            let mut parser = Parser::new(text.as_bytes(), Mode::Strict, Limits::METAINFO);
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
