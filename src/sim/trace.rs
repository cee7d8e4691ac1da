//! Everything that happened in a world, as one 64-bit number, and on demand as lines to read. The
//! number is for telling two runs apart, not against forgery.

use crate::core::chunk::Chunk;
use crate::core::io::{Effect, FileDone, FileOp, Input, Outbox};
use crate::core::time::Time;
use std::fmt::Write;

/// The running hash, and the lines if they are wanted.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    count: u64,
    print: bool,
}

/// Where a line of the trace happened.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub now: Time,
    pub node: usize,
    pub life: u32,
}

impl Trace {
    /// `print`: every input and effect as a line on standard output.
    pub fn new(print: bool) -> Trace {
        Trace { hash: 0x6c6d_6b20_7369_6d21, count: 0, print }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Inputs and effects so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn input(&mut self, at: At, input: &Input<'_>) {
        self.place(at, 1);
        match input {
            Input::Bytes { conn, bytes } => {
                self.say(at, '<', format_args!("Bytes {conn:?} {} bytes", bytes.len()));
                self.bytes(bytes);
            }
            Input::Datagram { from, to, bytes } => {
                self.say(at, '<', format_args!("Datagram {from} -> {to} {} bytes", bytes.len()));
                self.bytes(bytes);
            }
            Input::File { ticket, done } => match done {
                FileDone::Read { page, result } => {
                    self.say(at, '<', format_args!("{ticket:?} Read {result:?}"));
                    self.bytes(page);
                }
                FileDone::Wrote { page, result } => {
                    let len = page.len();
                    self.say(at, '<', format_args!("{ticket:?} Wrote {result:?} of {len}"));
                }
                FileDone::Loaded(Ok(bytes)) => {
                    self.say(at, '<', format_args!("{ticket:?} Loaded {} bytes", bytes.len()));
                    self.bytes(bytes);
                }
                done => self.say(at, '<', format_args!("{ticket:?} {done:?}")),
            },
            other => self.say(at, '<', format_args!("{other:?}")),
        }
    }

    pub(super) fn effect(&mut self, at: At, effect: &Effect, out: &Outbox) {
        self.place(at, 2);
        match effect {
            Effect::Send { conn, chunk: Chunk::Head(head) } => {
                self.say(at, '>', format_args!("Send {conn:?} {} bytes", head.bytes().len()));
                self.bytes(head.bytes());
            }
            Effect::Send { conn, chunk: Chunk::Arena { start, len } } => {
                self.say(at, '>', format_args!("Send {conn:?} {len} bytes"));
                self.bytes(out.bytes(*start, *len));
            }
            Effect::Datagram { to, from, start, len } => {
                self.say(at, '>', format_args!("Datagram {from} -> {to} {len} bytes"));
                self.bytes(out.bytes(*start, *len));
            }
            Effect::File { ticket, op } => match op {
                FileOp::Read { file, offset, page } => {
                    let len = page.len();
                    self.say(at, '>', format_args!("{ticket:?} Read {file:?} {len} at {offset}"));
                }
                FileOp::Write { file, offset, page } => {
                    let len = page.len();
                    self.say(at, '>', format_args!("{ticket:?} Write {file:?} {len} at {offset}"));
                    self.bytes(page);
                }
                FileOp::OpenRow { root, mode, .. } => {
                    self.say(at, '>', format_args!("{ticket:?} OpenRow {root:?} {mode:?}"));
                }
                FileOp::Save { path, bytes, .. } => {
                    let len = bytes.len();
                    self.say(at, '>', format_args!("{ticket:?} Save {path:?} {len} bytes"));
                    self.bytes(bytes);
                }
                op => self.say(at, '>', format_args!("{ticket:?} {op:?}")),
            },
            other => self.say(at, '>', format_args!("{other:?}")),
        }
    }

    /// What the world itself does: a process starts, is killed, loses its power.
    pub(super) fn world(&mut self, at: At, what: std::fmt::Arguments<'_>) {
        self.place(at, 3);
        self.say(at, '*', what);
    }

    fn place(&mut self, at: At, kind: u64) {
        self.count += 1;
        self.word(at.now.0);
        self.word((at.node as u64) << 40 | u64::from(at.life) << 8 | kind);
    }

    fn say(&mut self, at: At, way: char, what: std::fmt::Arguments<'_>) {
        if self.print {
            let seconds = at.now.0 as f64 / 1e9;
            println!("{seconds:>12.6}  node {} life {}  {way} {what}", at.node, at.life);
        }
        // Formatting into this writer cannot fail.
        self.write_fmt(what).ok();
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        self.fold(bytes);
    }

    fn fold(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last) ^ (rest.len() as u64) << 56);
    }

    fn word(&mut self, word: u64) {
        let mixed = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.hash = (mixed ^ (mixed >> 29)).rotate_left(17);
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.fold(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::ConnId;

    fn hash_of(bytes: &[u8]) -> u64 {
        let mut trace = Trace::new(false);
        let conn = ConnId { slot: 0, generation: 0 };
        let at = At { now: Time(7), node: 0, life: 1 };
        trace.input(at, &Input::Bytes { conn, bytes });
        trace.hash()
    }

    #[test]
    fn one_bit_one_byte_or_one_order_more_is_another_hash() {
        let all = [&b"abcdefghi"[..], b"abcdefghj", b"abcdefgh", b"bacdefghi", b"abcdefghi\0", b""];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(hash_of(a) == hash_of(b), i == j, "{a:?} {b:?}");
            }
        }
    }
}
