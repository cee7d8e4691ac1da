//! Query strings: `key=value` pairs, percent-decoded to bytes. A plus is a plus: BitTorrent clients
//! escape every byte that is not unreserved (RFC 3986) and none of them writes a space so.

use std::borrow::Cow;

/// What stands behind the `?` of a target, still encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Query<'a>(pub &'a [u8]);

/// A `%` that two hex digits do not follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadEscape;

impl<'a> Query<'a> {
    /// The pairs in their order, decoded; a key without `=` has an empty value, empty pairs are
    /// passed over.
    pub fn pairs(self) -> impl Iterator<Item = Result<Pair<'a>, BadEscape>> {
        let parts = self.0.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
        parts.map(|part| {
            let (key, value) = match part.iter().position(|byte| *byte == b'=') {
                Some(at) => (part.get(..at), part.get(at + 1..)),
                None => (Some(part), None),
            };
            Ok((decode(key.unwrap_or_default())?, decode(value.unwrap_or_default())?))
        })
    }

    /// The value of the first pair with this key, if it can be decoded.
    pub fn get(self, key: &str) -> Option<Cow<'a, [u8]>> {
        let mut pairs = self.pairs().filter_map(Result::ok);
        pairs.find(|(found, _)| **found == *key.as_bytes()).map(|(_, value)| value)
    }
}

/// Key and value, decoded.
pub type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Text with each `%xx` replaced by its byte.
pub fn decode(text: &[u8]) -> Result<Cow<'_, [u8]>, BadEscape> {
    if !text.contains(&b'%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else { return Err(BadEscape) };
        bytes.push(digit(*high)? << 4 | digit(*low)?);
        rest = after;
    }
    Ok(Cow::Owned(bytes))
}

fn digit(byte: u8) -> Result<u8, BadEscape> {
    let digit = char::from(byte).to_digit(16).ok_or(BadEscape)?;
    Ok(digit as u8)
}

/// Appends text with everything but unreserved characters (RFC 3986) percent-encoded.
pub fn encode(text: &[u8], out: &mut String) {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(*byte));
            }
            _ => {
                let digits = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
                out.push('%');
                out.extend(digits);
            }
        }
    }
}
