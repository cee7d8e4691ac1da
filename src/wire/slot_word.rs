//! What a node says of its upload side to a tracker of ours: `lmk=` in the URL data of an announce
//! (BEP 41), four bytes as hex digits: version 1, state, free slots, length of the queue.

use super::http::query::Query;
use crate::core::report::{SlotsRow, State};

const VERSION: u8 = 1;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotWord {
    pub state: State,
    /// Free slots and nodes that wait for one; 255 stands for that many or more.
    pub free: u8,
    pub queue: u8,
}

impl SlotWord {
    pub fn of(slots: SlotsRow) -> SlotWord {
        let short = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
        // Whoever has a free slot is there for others, whomever it serves already.
        let state = if slots.free > 0 { State::Available } else { State::Unavailable };
        SlotWord { state, free: short(slots.free), queue: short(slots.queued) }
    }

    /// Eight hex digits; `None` when they are of another version or no digits.
    pub fn decode(text: &[u8]) -> Option<SlotWord> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 8)?;
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let [version, state, free, queue] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        let state = match state {
            0 => State::Available,
            1 => State::Connected,
            2 => State::Unavailable,
            _ => return None,
        };
        (version == VERSION).then_some(SlotWord { state, free, queue })
    }

    pub fn encode(self) -> String {
        let state = match self.state {
            State::Available => 0,
            State::Connected => 1,
            State::Unavailable => 2,
        };
        format!("{:08x}", u32::from_be_bytes([VERSION, state, self.free, self.queue]))
    }

    /// What stands in the query of an announce's URL data.
    pub fn pair(self) -> String {
        format!("lmk={}", self.encode())
    }

    /// The word in the URL data of an announce, if there is one.
    pub fn in_url_data(url_data: &[u8]) -> Option<SlotWord> {
        let query = url_data.splitn(2, |byte| *byte == b'?').nth(1)?;
        SlotWord::decode(&Query(query).get("lmk")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_eight_hex_digits_and_reads_as_it_was_written() {
        let row = |total, free, queued| SlotWord::of(SlotsRow { total, free, queued });
        for (word, text) in [
            (row(8, 8, 0), "01000800"),
            (row(8, 3, 0), "01000300"),
            (row(8, 0, 300), "010200ff"),
            (row(0, 0, 0), "01020000"),
        ] {
            assert_eq!(word.encode(), text);
            assert_eq!(SlotWord::decode(text.as_bytes()), Some(word));
            assert_eq!(
                SlotWord::in_url_data(format!("/announce?{}", word.pair()).as_bytes()),
                Some(word)
            );
        }
        let data = b"/announce?auth=x&lmk=010200FF";
        assert_eq!(SlotWord::in_url_data(data), Some(row(8, 0, 300)));
        for bad in ["", "0100080", "02000800", "01030800", "+1000800", "010008000"] {
            assert_eq!(SlotWord::decode(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(SlotWord::in_url_data(b"/announce"), None);
    }
}
