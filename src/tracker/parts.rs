//! Bytes on their way to a client in parts that may be shared by many connections, cut as they
//! leave.

use std::sync::Arc;

#[derive(Debug)]
pub struct Parts {
    parts: Vec<Arc<[u8]>>,
    /// First part that has not left whole, and how much of it has.
    part: usize,
    at: usize,
}

impl Parts {
    /// All bytes but the first `skip`.
    pub fn new(parts: Vec<Arc<[u8]>>, skip: u64) -> Parts {
        let at = usize::try_from(skip).unwrap_or(usize::MAX);
        let mut all = Parts { parts, part: 0, at };
        all.turn_over();
        all
    }

    /// Whether all have left.
    pub fn is_over(&self) -> bool {
        self.part >= self.parts.len()
    }

    /// The next bytes, at most `most` and of one part, none once all have left; and whether they
    /// are the last.
    pub fn next(&mut self, most: usize) -> (&[u8], bool) {
        let (part, from) = (self.part, self.at);
        let left = self.parts.get(part).map_or(0, |bytes| bytes.len().saturating_sub(from));
        self.at += left.min(most);
        let to = self.at;
        self.turn_over();
        let bytes = self.parts.get(part).and_then(|bytes| bytes.get(from..to));
        (bytes.unwrap_or_default(), self.is_over())
    }

    /// Goes on to the first part of which something is left.
    fn turn_over(&mut self) {
        while let Some(part) = self.parts.get(self.part)
            && self.at >= part.len()
        {
            self.at -= part.len();
            self.part += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_leaves_once_and_in_order_whatever_is_skipped_and_taken() {
        let texts: [&[u8]; 5] = [b"", b"abc", b"", b"defgh", b""];
        for (skip, most) in (0..10).flat_map(|skip| (1..10).map(move |most| (skip, most))) {
            let mut parts = Parts::new(texts.map(Arc::from).to_vec(), skip);
            let mut got = Vec::new();
            while !parts.is_over() {
                let (next, last) = parts.next(most);
                assert!((1..=most).contains(&next.len()), "skip {skip}, most {most}");
                got.extend_from_slice(next);
                assert_eq!(last, got.len() + skip as usize == 8, "skip {skip}, most {most}");
            }
            assert_eq!(got, b"abcdefgh".get(skip as usize..).unwrap_or_default());
            assert_eq!(parts.next(most), (b"".as_slice(), true));
        }
        assert!(Parts::new(Vec::new(), 0).is_over());
    }
}
