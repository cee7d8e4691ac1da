//! The output of one connection: bytes in memory and spans of files, in the order they were queued.
//! A block costs no allocation: segments and bytes reuse their capacity.

use super::files::{FileFailed, Files};
use crate::core::chunk::FileSpan;
use crate::core::cipher::{Keystream, StreamKey};
use crate::core::id::FileId;
use crate::core::io::FileError;
use crate::core::limits::{SENDFILE_BYTES, WRITE_GATHER_BYTES};
use std::collections::VecDeque;
use std::io::IoSliceMut;

/// Spans read by one call at most.
const PARTS_MAX: usize = 32;
/// Bytes in memory from here on are written from where they stand.
const DIRECT_BYTES: usize = 32 * 1024;
/// Least bytes gathered for a receiver that takes little.
const GATHER_BYTES_MIN: usize = 32 * 1024;
/// Capacity that an empty queue keeps.
const KEEP_BYTES: usize = 64 * 1024;

/// More parts than the buffer has room for.
const MISLAID: FileFailed = FileFailed(FileError::TooLarge);

#[derive(Clone, Copy, Debug)]
enum Segment {
    /// So many of `Queue::bytes`.
    Bytes(usize),
    File(FileSpan),
}

/// What stands first and how it leaves best.
#[derive(Debug)]
pub(super) enum Front<'a> {
    Empty,
    /// These bytes, from where they stand.
    Bytes(&'a [u8]),
    /// A span long enough for `sendfile`.
    Span(FileSpan),
    /// Short bytes and spans: gather them.
    Mixed,
}

/// What is queued is enciphered as it is gathered: then its order is final, and bytes that stand in
/// files are in memory.
#[derive(Debug)]
struct Cipher {
    stream: Box<Keystream>,
    /// Bytes in segments that were queued before, and leave as they are.
    clear: usize,
}

#[derive(Debug)]
pub(super) struct Queue {
    segments: VecDeque<Segment>,
    /// The bytes of the `Bytes` segments, from `start` on.
    bytes: Vec<u8>,
    start: usize,
    /// The gathered bytes that a full socket did not take, from `held_start` on: they leave first.
    /// Kept instead of read again, so that a slow receiver costs one read per byte; `gather_bytes`
    /// follows what it takes, so that it costs little memory too.
    held: Vec<u8>,
    held_start: usize,
    gather_bytes: usize,
    cipher: Option<Cipher>,
    /// All bytes that have not left.
    queued: u64,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            segments: VecDeque::new(),
            bytes: Vec::new(),
            start: 0,
            held: Vec::new(),
            held_start: 0,
            gather_bytes: WRITE_GATHER_BYTES,
            cipher: None,
            queued: 0,
        }
    }
}

impl Queue {
    /// Bytes that have not left.
    pub fn len(&self) -> u64 {
        self.queued
    }

    pub fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// What is queued from here on leaves enciphered.
    pub fn encipher(&mut self, key: StreamKey) {
        let held = self.held.len().saturating_sub(self.held_start) as u64;
        let clear = usize::try_from(self.queued.saturating_sub(held)).unwrap_or(usize::MAX);
        self.cipher = Some(Cipher { stream: Box::new(Keystream::new(key)), clear });
    }

    pub fn is_enciphered(&self) -> bool {
        self.cipher.is_some()
    }

    pub fn push_bytes(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.bytes.extend_from_slice(bytes);
        self.queued += bytes.len() as u64;
        match self.segments.back_mut() {
            Some(Segment::Bytes(len)) => *len += bytes.len(),
            _ => self.segments.push_back(Segment::Bytes(bytes.len())),
        }
    }

    pub fn push_span(&mut self, span: FileSpan) {
        if span.len == 0 {
            return;
        }
        self.queued += u64::from(span.len);
        if let Some(Segment::File(last)) = self.segments.back_mut()
            && last.joins(&span)
            && let Some(len) = last.len.checked_add(span.len)
        {
            last.len = len;
        } else {
            self.segments.push_back(Segment::File(span));
        }
    }

    pub fn front(&self, files: &Files) -> Front<'_> {
        let held = self.held.get(self.held_start..).unwrap_or_default();
        if !held.is_empty() {
            return Front::Bytes(held);
        }
        match self.segments.front() {
            None => Front::Empty,
            Some(_) if self.cipher.is_some() => Front::Mixed,
            Some(Segment::File(span)) if is_sent_alone(span, files) => Front::Span(*span),
            Some(Segment::Bytes(len)) if *len >= DIRECT_BYTES || self.segments.len() == 1 => {
                let end = self.start + len;
                Front::Bytes(self.bytes.get(self.start..end).unwrap_or_default())
            }
            Some(_) => Front::Mixed,
        }
    }

    /// The first `n` bytes of what `front` showed (bytes or a span) left.
    pub fn left(&mut self, n: usize) {
        self.queued = self.queued.saturating_sub(n as u64);
        if self.held_start < self.held.len() {
            self.held_start += n;
            return;
        }
        let in_memory = matches!(self.segments.front(), Some(Segment::Bytes(_)));
        self.shorten(n);
        if in_memory {
            self.used_bytes(n);
        }
    }

    /// The buffer of held bytes, once all of them left.
    pub fn take_drained(&mut self) -> Option<Vec<u8>> {
        let drained = self.held.capacity() > 0 && self.held_start >= self.held.len();
        drained.then(|| {
            self.held_start = 0;
            std::mem::take(&mut self.held)
        })
    }

    /// Lays the next bytes and spans one behind the other into `buffer`, no further than a span
    /// that is better sent alone. -> bytes laid out, and whether such a span comes next. The caller
    /// tells by `gathered_left` how many left.
    pub fn gather(
        &mut self,
        buffer: &mut [u8],
        files: &mut Files,
    ) -> Result<(usize, bool), FileFailed> {
        let room = buffer.len().min(self.gather_bytes);
        let clear = self.cipher.as_ref().map_or(0, |cipher| cipher.clear);
        let room = if clear > 0 { room.min(clear) } else { room };
        let mut run = Run::default();
        let mut at = 0;
        let mut long_next = false;
        while at < room && !long_next {
            match self.segments.front().copied() {
                None => break,
                Some(Segment::Bytes(len)) => {
                    let n = len.min(room - at);
                    let from = self.bytes.get(self.start..self.start + n);
                    if let (Some(to), Some(from)) = (buffer.get_mut(at..at + n), from) {
                        to.copy_from_slice(from);
                    }
                    self.shorten(n);
                    self.used_bytes(n);
                    at += n;
                }
                Some(Segment::File(span))
                    if self.cipher.is_none() && is_sent_alone(&span, files) =>
                {
                    long_next = true;
                }
                Some(Segment::File(span)) => {
                    let n = (span.len as usize).min(room - at);
                    if !run.takes(&span) {
                        run.fill(buffer, files)?;
                        run = Run::of(&span);
                    }
                    run.add(at, n);
                    self.shorten(n);
                    at += n;
                }
            }
        }
        run.fill(buffer, files)?;
        match &mut self.cipher {
            Some(cipher) if cipher.clear > 0 => cipher.clear -= at.min(cipher.clear),
            Some(cipher) => cipher.stream.apply(buffer.get_mut(..at).unwrap_or_default()),
            None => {}
        }
        Ok((at, long_next))
    }

    /// Of the gathered bytes the first `n` left; the rest is kept, in `spare` if one is given.
    pub fn gathered_left(&mut self, gathered: &[u8], n: usize, spare: Option<Vec<u8>>) {
        self.queued = self.queued.saturating_sub(n as u64);
        let rest = gathered.get(n..).unwrap_or_default();
        if rest.is_empty() {
            self.gather_bytes = (self.gather_bytes * 2).min(WRITE_GATHER_BYTES);
            return;
        }
        self.gather_bytes = (n * 2).clamp(GATHER_BYTES_MIN, WRITE_GATHER_BYTES);
        self.held = spare.unwrap_or_default();
        self.held.clear();
        self.held.extend_from_slice(rest);
        self.held_start = 0;
    }

    /// Nothing of it will leave.
    pub fn clear(&mut self) {
        *self = Queue::default();
    }

    /// Takes `n` bytes off the first segment.
    fn shorten(&mut self, n: usize) {
        let empty = match self.segments.front_mut() {
            Some(Segment::Bytes(len)) => {
                *len = len.saturating_sub(n);
                *len == 0
            }
            Some(Segment::File(span)) => {
                span.advance(u32::try_from(n).unwrap_or(u32::MAX));
                span.len == 0
            }
            None => false,
        };
        if empty {
            self.segments.pop_front();
        }
    }

    /// The first `n` bytes in memory are done with.
    fn used_bytes(&mut self, n: usize) {
        self.start += n;
        if self.start >= self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEEP_BYTES);
        } else if self.start >= KEEP_BYTES && self.start >= self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

/// Whether a span leaves by `sendfile`: it is long, and nobody must look at its bytes.
fn is_sent_alone(span: &FileSpan, files: &Files) -> bool {
    span.len >= SENDFILE_BYTES && !files.is_read(span.file)
}

/// Spans that follow each other in one file and stand apart in the buffer, between their heads: one
/// call reads them all.
#[derive(Default)]
struct Run {
    file: Option<FileId>,
    offset: u64,
    len: u64,
    /// Position and length in the buffer.
    parts: [(usize, usize); PARTS_MAX],
    count: usize,
}

impl Run {
    fn of(span: &FileSpan) -> Run {
        Run { file: Some(span.file), offset: span.offset, ..Run::default() }
    }

    fn takes(&self, span: &FileSpan) -> bool {
        self.count < PARTS_MAX
            && self.file == Some(span.file)
            && self.offset.checked_add(self.len) == Some(span.offset)
    }

    fn add(&mut self, at: usize, n: usize) {
        if let Some(part) = self.parts.get_mut(self.count) {
            *part = (at, n);
            self.count += 1;
            self.len += n as u64;
        }
    }

    fn fill(&self, buffer: &mut [u8], files: &mut Files) -> Result<(), FileFailed> {
        let Some(file) = self.file else { return Ok(()) };
        let mut slices: [IoSliceMut<'_>; PARTS_MAX] =
            std::array::from_fn(|_| IoSliceMut::new(&mut []));
        let (mut rest, mut passed) = (buffer, 0);
        for (slice, (at, n)) in slices.iter_mut().zip(self.parts.iter().take(self.count)) {
            let tail = rest.get_mut(at - passed..).ok_or(MISLAID)?;
            let (mine, tail) = tail.split_at_mut_checked(*n).ok_or(MISLAID)?;
            *slice = IoSliceMut::new(mine);
            (rest, passed) = (tail, at + n);
        }
        let slices = slices.get_mut(..self.count).ok_or(MISLAID)?;
        files.read_parts(file, self.offset, slices, self.len)
    }
}
