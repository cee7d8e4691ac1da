//! Writing bencode.

/// Writes bencode. The caller keeps to the grammar: keys in ascending order, each `begin` ended.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Goes on writing behind `out`.
    pub fn after(out: Vec<u8>) -> Writer {
        Writer { out }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
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
        // By hand: a page of names writes tens of thousands of numbers.
        let (mut text, mut left, mut at) = ([0_u8; 20], value, 20);
        while let Some(place) = text.get_mut(..at).and_then(<[u8]>::last_mut) {
            *place = b'0' + (left % 10) as u8;
            (left, at) = (left / 10, at - 1);
            if left == 0 {
                break;
            }
        }
        self.out.extend_from_slice(text.get(at..).unwrap_or_default());
    }
}
