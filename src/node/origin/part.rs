//! The part file of an origin: bytes come in their order and leave for the disk in pages, are
//! synced now and then, and a note says how many of them are durable.

use super::note::Note;
use crate::core::id::{FileId, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Outbox, Page};
use crate::core::limits::{FILE_STEP_BYTES, SYNC_BYTES, SYNC_BYTES_MIN, SYNC_EVERY};
use crate::core::time::Time;
use std::path::PathBuf;

/// Pages on their way to the disk before nothing more is taken from the server.
const PAGES_MAX: usize = 8;

#[derive(Debug)]
pub struct Part {
    pub file: FileId,
    note_path: PathBuf,
    pub note: Note,
    page: Page,
    /// Bytes that came, and those of them that were handed to the disk.
    pub received: u64,
    issued: u64,
    writing: Vec<Ticket>,
    spare: Vec<Page>,
    /// The sync under way, and how far it goes; then the note that says so.
    syncing: Option<(Ticket, u64)>,
    noting: Option<(Ticket, u64)>,
    /// Bytes that the note vouches for.
    noted: u64,
    sync_at: Time,
}

impl Part {
    /// A part file of which `have` bytes are durable.
    pub fn new((file, note_path): (FileId, PathBuf), note: Note, have: u64) -> Part {
        Part {
            file,
            note_path,
            note,
            page: Page::new(),
            received: have,
            issued: have,
            writing: Vec::new(),
            spare: Vec::new(),
            syncing: None,
            noting: None,
            noted: have,
            sync_at: Time::NEVER,
        }
    }

    /// The next bytes of the file.
    pub fn take(&mut self, mut bytes: &[u8], now: Time, out: &mut Outbox) {
        if self.sync_at == Time::NEVER {
            self.sync_at = now + SYNC_EVERY;
        }
        while !bytes.is_empty() {
            if self.page.capacity() == 0 {
                self.page = self.spare.pop().unwrap_or_default();
                self.page.clear();
                self.page.reserve_exact(FILE_STEP_BYTES);
            }
            let room = FILE_STEP_BYTES.saturating_sub(self.page.len()).min(bytes.len());
            let (some, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.page.extend_from_slice(some);
            self.received += some.len() as u64;
            bytes = rest;
            if self.page.len() >= FILE_STEP_BYTES {
                self.flush(out);
            }
        }
    }

    /// Hands to the disk what waits for more.
    pub fn flush(&mut self, out: &mut Outbox) {
        if self.page.is_empty() {
            return;
        }
        let (page, offset) = (std::mem::take(&mut self.page), self.issued);
        self.issued += page.len() as u64;
        self.writing.push(out.file(FileOp::Write { file: self.file, offset, page }));
    }

    /// The disk is behind: the server is to wait.
    pub fn is_crowded(&self) -> bool {
        self.writing.len() >= PAGES_MAX
    }

    /// Everything that came stands in the file.
    pub fn is_written(&self) -> bool {
        self.page.is_empty() && self.writing.is_empty()
    }

    /// The note vouches for everything that came, or nobody could go on from it anyway.
    pub fn is_noted(&self) -> bool {
        self.noted == self.received || self.note.validator.is_none()
    }

    pub fn deadline(&self) -> Time {
        self.sync_at
    }

    /// Brings to the disk what is due.
    pub fn tick(&mut self, now: Time, out: &mut Outbox) {
        let batch = if self.noted == 0 { SYNC_BYTES_MIN } else { SYNC_BYTES };
        if now >= self.sync_at || self.issued.saturating_sub(self.noted) >= batch {
            self.sync(now, out);
        }
    }

    /// Makes durable what came; one sync at a time.
    pub fn sync(&mut self, now: Time, out: &mut Outbox) {
        if self.syncing.is_some() || self.noting.is_some() {
            self.sync_at = now + SYNC_EVERY;
            return;
        }
        self.sync_at = Time::NEVER;
        if self.is_noted() {
            return;
        }
        self.flush(out);
        // What was written before it is covered by it: file operations keep their order.
        let ticket = out.file(FileOp::Sync { file: self.file, meta: false });
        self.syncing = Some((ticket, self.issued));
    }

    /// Nothing that came counts any more.
    pub fn begin_anew(&mut self, out: &mut Outbox) {
        self.page.clear();
        (self.received, self.issued, self.noted) = (0, 0, 0);
        (self.syncing, self.noting, self.sync_at) = (None, None, Time::NEVER);
        self.note = Note { url: std::mem::take(&mut self.note.url), ..Note::default() };
        out.file(FileOp::Remove { path: self.note_path.clone() });
        out.file(FileOp::SetLen { file: self.file, len: 0 });
    }

    /// Forgets the note: the file has its name.
    pub fn drop_note(&self, out: &mut Outbox) {
        out.file(FileOp::Remove { path: self.note_path.clone() });
    }

    /// A file operation came back: how it went, or what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Result<(), FileError>, FileDone> {
        if let Some(at) = self.writing.iter().position(|ours| *ours == ticket) {
            self.writing.remove(at);
            let FileDone::Wrote { page, result } = done else { return Err(done) };
            if self.spare.is_empty() {
                self.spare.push(page);
            }
            return Ok(result);
        }
        if let Some((_, upto)) = self.syncing.take_if(|(ours, _)| *ours == ticket) {
            let FileDone::Done(result) = done else { return Err(done) };
            if let (Ok(()), Some(bytes)) = (&result, self.note.write(upto)) {
                let path = self.note_path.clone();
                self.noting = Some((out.file(FileOp::Save { path, bytes, private: false }), upto));
            }
            return Ok(result);
        }
        if let Some((_, upto)) = self.noting.take_if(|(ours, _)| *ours == ticket) {
            let FileDone::Done(result) = done else { return Err(done) };
            self.noted = upto;
            // The rest is not forgotten if nothing more comes.
            self.sync_at = if self.is_noted() { Time::NEVER } else { now + SYNC_EVERY };
            return Ok(result);
        }
        Err(done)
    }
}
