//! Frames of a catalogue connection, and the messages they carry in parts. The reader is fed what
//! came, in any cutting, and keeps received bytes alone: no length off the wire is ever allocated.

use super::code;
use crate::core::fault::Refusal;
use crate::core::limits::{
    CATALOGUE_ANSWER_BYTES_MAX, CATALOGUE_FRAME_BYTES_MAX, CATALOGUE_MESSAGE_BYTES_MAX,
    CATALOGUE_READER_BYTES_MAX,
};
use crate::core::mark::mark;

/// Bytes of length, type, flags and stream.
pub const FRAME_HEAD_BYTES: usize = 8;
/// The part of the head that the length field counts.
const COUNTED_HEAD_BYTES: u32 = 4;

/// Frame flag: the last frame of its message.
pub const FIN: u8 = 1;
/// Frame flag: the payload is data, not bencode. From the tracker alone.
pub const RAW: u8 = 2;

/// A whole message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub kind: u8,
    pub raw: bool,
    pub stream: u16,
    pub payload: Vec<u8>,
}

/// Bounds of one direction, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameLimits {
    /// The frame size that this side announced: value of the length field.
    pub frame: u32,
    /// Payload of a message of bencode.
    pub message: usize,
    /// Payload of a RAW message.
    pub raw_message: usize,
}

impl FrameLimits {
    /// What a tracker takes from a client.
    pub const TRACKER: FrameLimits = FrameLimits {
        frame: CATALOGUE_FRAME_BYTES_MAX,
        message: CATALOGUE_MESSAGE_BYTES_MAX,
        raw_message: CATALOGUE_FRAME_BYTES_MAX as usize,
    };
    /// What a tracker takes from a client that may only read.
    pub const READER: FrameLimits = FrameLimits {
        frame: CATALOGUE_FRAME_BYTES_MAX,
        message: CATALOGUE_READER_BYTES_MAX,
        raw_message: CATALOGUE_READER_BYTES_MAX,
    };
    /// What a client takes from a tracker.
    pub const CLIENT: FrameLimits = FrameLimits {
        frame: CATALOGUE_FRAME_BYTES_MAX,
        message: CATALOGUE_MESSAGE_BYTES_MAX,
        raw_message: CATALOGUE_ANSWER_BYTES_MAX,
    };
}

/// Puts messages together. After a refusal it stays refused.
#[derive(Clone, Debug)]
pub struct FrameReader {
    limits: FrameLimits,
    head: [u8; FRAME_HEAD_BYTES],
    head_len: usize,
    /// Payload bytes of the current frame that have not come yet.
    left: usize,
    fin: bool,
    unfinished: Option<Message>,
    refused: Option<Refusal>,
}

impl FrameReader {
    pub fn new(limits: FrameLimits) -> FrameReader {
        FrameReader {
            limits,
            head: [0; FRAME_HEAD_BYTES],
            head_len: 0,
            left: 0,
            fin: false,
            unfinished: None,
            refused: None,
        }
    }

    /// Takes from the front of `bytes` up to the end of the next message and gives that message;
    /// `Ok(None)` = all taken, no message complete. A refusal breaks the framing: the error goes
    /// out on stream 0 and the connection is closed.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, Refusal> {
        if let Some(refusal) = self.refused {
            return Err(refusal);
        }
        let result = self.advance(bytes);
        if let Err(refusal) = result {
            self.refused = Some(refusal);
            self.unfinished = None;
        }
        result
    }

    /// Whether a message has begun and is not complete: its time is the caller's to limit.
    pub fn is_inside(&self) -> bool {
        self.head_len > 0 || self.unfinished.is_some()
    }

    /// Bytes kept of a message that is not complete.
    pub fn held(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |message| message.payload.capacity())
    }

    fn advance(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, Refusal> {
        loop {
            if self.head_len < FRAME_HEAD_BYTES {
                if !self.take_head(bytes)? {
                    return Ok(None);
                }
                self.begin_frame()?;
            }
            self.take_payload(bytes);
            if self.left > 0 {
                return Ok(None);
            }
            self.head_len = 0;
            if self.fin {
                return Ok(self.unfinished.take());
            }
        }
    }

    /// Takes head bytes; true once all eight are there. The length is judged once it is whole.
    fn take_head(&mut self, bytes: &mut &[u8]) -> Result<bool, Refusal> {
        while self.head_len < FRAME_HEAD_BYTES {
            let Some((byte, rest)) = bytes.split_first() else { return Ok(false) };
            *bytes = rest;
            if let Some(place) = self.head.get_mut(self.head_len) {
                *place = *byte;
            }
            self.head_len += 1;
            if self.head_len == 4 {
                let len = self.frame_len();
                if len < COUNTED_HEAD_BYTES {
                    return Err(refuse(code::BAD_REQUEST, "a frame length below 4"));
                }
                if len > self.limits.frame {
                    mark!("C05");
                    return Err(refuse(code::TOO_LARGE, "a frame above the announced size"));
                }
            }
        }
        Ok(true)
    }

    fn frame_len(&self) -> u32 {
        let [a, b, c, d, ..] = self.head;
        u32::from_be_bytes([a, b, c, d])
    }

    fn begin_frame(&mut self) -> Result<(), Refusal> {
        let [_, _, _, _, kind, flags, stream_high, stream_low] = self.head;
        let (raw, stream) = (flags & RAW != 0, u16::from_be_bytes([stream_high, stream_low]));
        self.left = self.frame_len().saturating_sub(COUNTED_HEAD_BYTES) as usize;
        self.fin = flags & FIN != 0;
        let message = self.unfinished.get_or_insert_with(|| Message {
            kind,
            raw,
            stream,
            payload: Vec::new(),
        });
        if (message.kind, message.raw, message.stream) != (kind, raw, stream) {
            return Err(refuse(code::BAD_REQUEST, "a frame inside another message"));
        }
        let most = if raw { self.limits.raw_message } else { self.limits.message };
        if message.payload.len().saturating_add(self.left) > most {
            mark!("C05");
            return Err(refuse(code::TOO_LARGE, "a message above the size taken"));
        }
        Ok(())
    }

    fn take_payload(&mut self, bytes: &mut &[u8]) {
        let here = self.left.min(bytes.len());
        if let (Some((part, rest)), Some(message)) =
            (bytes.split_at_checked(here), self.unfinished.as_mut())
        {
            message.payload.extend_from_slice(part);
            *bytes = rest;
            self.left -= here;
        }
    }
}

fn refuse(code: u8, what: &'static str) -> Refusal {
    Refusal { code, what }
}

/// Appends one frame. `part` must leave room for 4 bytes in the receiver's frame size.
pub fn write_frame(kind: u8, flags: u8, stream: u16, part: &[u8], out: &mut Vec<u8>) {
    let len = (part.len() as u32).saturating_add(COUNTED_HEAD_BYTES);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(part);
}

/// Appends a message in as many frames as the receiver's `frame_max` asks for. `flags` says RAW or
/// nothing; FIN is set here.
pub fn write_message(
    (kind, flags, stream): (u8, u8, u16),
    payload: &[u8],
    frame_max: u32,
    out: &mut Vec<u8>,
) {
    let part_max = frame_max.saturating_sub(COUNTED_HEAD_BYTES).max(1) as usize;
    let mut rest = payload;
    while let Some((part, later)) = rest.split_at_checked(part_max)
        && !later.is_empty()
    {
        write_frame(kind, flags & !FIN, stream, part, out);
        rest = later;
    }
    write_frame(kind, flags | FIN, stream, rest, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: FrameLimits = FrameLimits { frame: 40, message: 100, raw_message: 60 };

    /// Everything a reader says to `bytes` cut at the given places.
    fn story(bytes: &[u8], cuts: &[usize]) -> (Vec<Message>, Option<Refusal>, bool) {
        let mut reader = FrameReader::new(SMALL);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort();
        let (mut messages, mut start) = (Vec::new(), 0);
        for end in ends {
            let mut part = &bytes[start..end];
            start = end;
            loop {
                match reader.next(&mut part) {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break assert!(part.is_empty()),
                    Err(refusal) => return (messages, Some(refusal), false),
                }
            }
        }
        (messages, None, reader.is_inside())
    }

    /// A frame with mostly legal fields.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        (0u8..3, 0u8..4, 0u16..2, 0usize..40, 0u8..20).prop_map(
            |(kind, flags, stream, len, odd)| {
                let mut out = Vec::new();
                write_frame(kind, flags | (odd & FIN), stream, &vec![kind; len], &mut out);
                if odd == 7 {
                    out[3] = 3;
                }
                out
            },
        )
    }

    proptest! {
        #[test]
        fn cutting_the_stream_anywhere_changes_nothing(
            frames in prop::collection::vec(frame(), 0..8),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            let bytes = frames.concat();
            let every: Vec<usize> = (0..bytes.len()).collect();
            let whole = story(&bytes, &[]);
            prop_assert_eq!(&story(&bytes, &cuts), &whole);
            prop_assert_eq!(&story(&bytes, &every), &whole);
        }

        #[test]
        fn a_message_written_in_frames_comes_back_whole(
            payload in prop::collection::vec(any::<u8>(), 0..100), frame_max in 5u32..40,
        ) {
            let mut out = Vec::new();
            write_message((4, 0, 9), &payload, frame_max, &mut out);
            let (messages, refusal, inside) = story(&out, &[]);
            prop_assert_eq!((refusal, inside), (None, false));
            prop_assert_eq!(messages, vec![Message { kind: 4, raw: false, stream: 9, payload }]);
        }
    }

    #[test]
    fn two_messages_in_one_slice_come_one_at_a_time_in_order() {
        let mut out = Vec::new();
        write_message((1, 0, 1), b"first", 40, &mut out);
        write_message((2, RAW, 2), b"", 40, &mut out);
        let (messages, ..) = story(&out, &[]);
        let seen: Vec<_> = messages.iter().map(|m| (m.kind, m.raw, m.payload.len())).collect();
        assert_eq!(seen, [(1, false, 5), (2, true, 0)]);
    }

    #[test]
    fn a_message_is_refused_at_the_head_that_would_make_it_too_long() {
        for (flags, most) in [(0, SMALL.message), (RAW, SMALL.raw_message)] {
            let mut out = Vec::new();
            (0..most / 20).for_each(|_| write_frame(4, flags, 1, &[0; 20], &mut out));
            assert_eq!(story(&out, &[]).1, None, "flags {flags}");
            out.extend_from_slice(&[0, 0, 0, 5, 4, flags, 0, 1]);
            assert_eq!(story(&out, &[]).1.map(|r| r.code), Some(code::TOO_LARGE), "flags {flags}");
        }
    }

    #[test]
    fn a_length_alone_reserves_no_memory_and_a_refusal_stays() {
        let mut reader = FrameReader::new(FrameLimits::CLIENT);
        let mut head: &[u8] = &[0, 15, 255, 255, 4, 1, 0, 1, 7];
        assert_eq!(reader.next(&mut head), Ok(None));
        assert!(reader.unfinished.as_ref().unwrap().payload.capacity() < 100);

        let mut reader = FrameReader::new(FrameLimits::TRACKER);
        let mut bad: &[u8] = &[0, 0, 0, 0];
        let refusal = reader.next(&mut bad).unwrap_err();
        let mut good: &[u8] = &[0, 0, 0, 4, 0, 1, 0, 0];
        assert_eq!(reader.next(&mut good), Err(refusal));
    }
}
