//! What is written becomes durable: pieces are noted in the journal, the part file is synced in
//! batches, and only then the journal says so. A journal that finds no room is tried again. One
//! operation is under way at a time; the transfer goes on meanwhile, up to a bound.

mod batch;
mod notes;

use self::batch::next_batch;
use self::notes::{Notes, Successor};
use super::journal::{GROWTH_BYTES_MAX, Header, Writer};
use crate::content::bitfield::Bitfield;
use crate::content::geometry::Piece;
use crate::core::id::{FileId, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Meta, OpenMode, Outbox};
use crate::core::limits::{DISK_FULL_RETRY, SYNC_BYTES_MIN, SYNC_EVERY, UNSYNCED_BYTES_MAX};
use crate::core::mark::mark;
use crate::core::time::Time;
use std::path::{Path, PathBuf};

/// The two files, opened.
#[derive(Clone, Debug)]
pub struct Files {
    pub part: PathBuf,
    pub part_file: FileId,
    pub part_meta: Meta,
    pub journal: PathBuf,
    pub journal_file: FileId,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Pieces are noted as written.
    Note,
    SyncPart,
    /// Is the part file still ours?
    LookAtPart,
    /// Is it, before the journal beside it is replaced?
    LookToRewrite,
    /// The journal says what the sync covered.
    Vouch,
    SyncJournal,
    /// The journal has grown and is written anew.
    Rewrite,
    SyncDirectory,
    Reopen,
}

/// The journal found no room.
#[derive(Debug)]
struct Stuck {
    /// When it is tried again.
    until: Time,
    /// The record that was refused, to be written once more. Without one nothing is known of the
    /// journal on the disk, and it is written anew.
    page: Option<(Step, Vec<u8>)>,
}

/// What came of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Going,
    /// Closed in order: everything written is durable, and the journal ends with its clean mark.
    Closed,
    /// The part file is not the one we left.
    Changed,
    /// The disk refused. After a failed sync nothing is known of what came since the last one.
    Failed {
        error: FileError,
        at_sync: bool,
    },
}

/// Whether a part is the one it was, whole.
pub fn is_same_file(was: &Meta, now: &Meta) -> bool {
    (was.kind, was.device, was.inode, was.size) == (now.kind, now.device, now.inode, now.size)
}

#[derive(Debug)]
pub struct Durable {
    files: Files,
    writer: Writer,
    /// Bytes of the journal, and of its part up to the last bitmap.
    len: u64,
    base: u64,
    step: Option<(Ticket, Step)>,
    stuck: Option<Stuck>,
    /// The journal found no room, and has not been written to since.
    no_room: bool,
    durable: Bitfield,
    /// Pieces written that the journal does not know.
    unnoted: Vec<u32>,
    /// Pieces it knows that are not durable yet.
    notes: Notes,
    unsynced_bytes: u64,
    /// Of them those that the sync under way does not cover.
    later_bytes: u64,
    /// With so many the part file is synced, and when the last sync began.
    batch_bytes: u64,
    asked_at: Time,
    /// Since when there are any.
    since: Time,
    /// The last record that the sync under way covers.
    covers: u64,
    closing: bool,
    /// The part file is about to become the target: nothing more is noted.
    retired: bool,
}

impl Durable {
    /// Goes on from a journal that was just begun with `durable` and has `len` bytes.
    pub fn new(files: Files, writer: Writer, len: u64, durable: Bitfield) -> Durable {
        Durable {
            files,
            writer,
            len,
            base: len,
            step: None,
            stuck: None,
            no_room: false,
            durable,
            unnoted: Vec::new(),
            notes: Notes::default(),
            unsynced_bytes: 0,
            later_bytes: 0,
            batch_bytes: SYNC_BYTES_MIN,
            asked_at: Time::ZERO,
            since: Time::ZERO,
            covers: 0,
            closing: false,
            retired: false,
        }
    }

    /// Begins a journal: its writer and its first bytes.
    pub fn begin(header: Header, durable: &Bitfield) -> (Writer, Vec<u8>) {
        let mut writer = Writer::new(header);
        let bytes = writer.begin(durable);
        (writer, bytes)
    }

    pub fn files(&self) -> &Files {
        &self.files
    }

    /// A piece of `len` bytes stands in the part file at `offset`.
    pub fn stored(&mut self, piece: Piece, (offset, len): (u64, u32), now: Time, out: &mut Outbox) {
        // The sync, for which everything waits, finds most of its work done.
        let file = self.files.part_file;
        out.file(FileOp::WriteBack { file, offset, len: u64::from(len) });
        if self.unsynced_bytes == 0 {
            self.since = now;
        }
        self.unnoted.push(piece.index());
        self.unsynced_bytes += u64::from(len);
        self.later_bytes += u64::from(len);
        self.go_on(now, out);
    }

    /// Whether no more should be asked for until a sync is done.
    pub fn is_full(&self) -> bool {
        self.unsynced_bytes >= UNSYNCED_BYTES_MAX
    }

    /// Whether nothing more should be asked for because the journal finds no room.
    pub fn waits_for_room(&self) -> bool {
        self.no_room && self.is_full()
    }

    /// Makes everything durable and ends the journal in order.
    pub fn close(&mut self, now: Time, out: &mut Outbox) {
        self.closing = true;
        self.go_on(now, out);
    }

    /// Everything is written: what is left to do is not ours. -> whether a sync is still under way,
    /// whose failure no later one would tell of.
    pub fn retire(&mut self) -> bool {
        self.retired = true;
        matches!(self.step, Some((_, Step::SyncPart)))
    }

    pub fn deadline(&self) -> Time {
        match &self.stuck {
            _ if self.retired => Time::NEVER,
            Some(stuck) => stuck.until,
            None if self.step.is_none() && self.unsynced_bytes > 0 => self.since + SYNC_EVERY,
            None => Time::NEVER,
        }
    }

    /// Does what is due, if nothing is under way.
    pub fn go_on(&mut self, now: Time, out: &mut Outbox) {
        if self.step.is_some() || self.retired {
            return;
        }
        if let Some(stuck) = self.stuck.take() {
            return self.try_again(stuck, now, out);
        }
        if !self.unnoted.is_empty() {
            let bytes = self.writer.written(&self.unnoted);
            self.notes.add(std::mem::take(&mut self.unnoted), self.writer.last(), self.len);
            return self.append(Step::Note, bytes, out);
        }
        let due = self.unsynced_bytes >= self.batch_bytes || now >= self.deadline();
        if due || self.closing {
            self.covers = self.writer.last();
            self.asked_at = now;
            self.later_bytes = 0;
            let op = FileOp::Sync { file: self.files.part_file, meta: false };
            self.ask(Step::SyncPart, op, out);
        }
    }

    fn try_again(&mut self, stuck: Stuck, now: Time, out: &mut Outbox) {
        match stuck {
            stuck if now < stuck.until => self.stuck = Some(stuck),
            Stuck { page: Some((step, page)), .. } => {
                self.len = self.len.saturating_sub(page.len() as u64);
                self.append(step, page, out);
            }
            // Meanwhile the journal of that name may be that of another process.
            Stuck { page: None, .. } => self.ask_look(Step::LookToRewrite, out),
        }
    }

    fn ask(&mut self, step: Step, op: FileOp, out: &mut Outbox) {
        self.step = Some((out.file(op), step));
    }

    fn ask_look(&mut self, step: Step, out: &mut Outbox) {
        let (file, path) = (self.files.part_file, self.files.part.clone());
        self.ask(step, FileOp::StatNamed { file, path }, out);
    }

    fn append(&mut self, step: Step, page: Vec<u8>, out: &mut Outbox) {
        let (file, offset) = (self.files.journal_file, self.len);
        self.len += page.len() as u64;
        self.ask(step, FileOp::Write { file, offset, page }, out);
    }

    /// A file operation came back; `Err` hands back what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Outcome, FileDone> {
        let Some((_, step)) = self.step.take_if(|(ours, _)| *ours == ticket) else {
            return Err(done);
        };
        if self.retired {
            return Ok(match (step, done) {
                (Step::SyncPart, FileDone::Done(Err(error))) => self.failed(step, error, out),
                (Step::Reopen, FileDone::Opened(Ok((file, _)))) => {
                    self.files.journal_file = file;
                    Outcome::Going
                }
                _ => Outcome::Going,
            });
        }
        let outcome = match done {
            FileDone::Done(Ok(())) | FileDone::Wrote { result: Ok(()), .. } => {
                self.no_room = false;
                self.went_well(step, now, out)
            }
            FileDone::Meta(Ok(meta)) => self.look(step, &meta, out),
            FileDone::Meta(Err(FileError::NotFound | FileError::Changed)) => Outcome::Changed,
            FileDone::Opened(Ok((file, _))) => {
                self.files.journal_file = file;
                if let Some(successor) = self.notes.follow() {
                    (self.len, self.base) = (successor.len, successor.base);
                }
                Outcome::Going
            }
            FileDone::Wrote { page, result: Err(FileError::NoSpace) } => {
                self.found_no_room(Some((step, page)), now)
            }
            FileDone::Done(Err(FileError::NoSpace)) if step != Step::SyncPart => {
                self.found_no_room(None, now)
            }
            FileDone::Done(Err(error))
            | FileDone::Wrote { result: Err(error), .. }
            | FileDone::Meta(Err(error))
            | FileDone::Opened(Err(error)) => return Ok(self.failed(step, error, out)),
            other => return Err(other),
        };
        if outcome == Outcome::Going {
            self.go_on(now, out);
        }
        Ok(outcome)
    }

    fn went_well(&mut self, step: Step, now: Time, out: &mut Outbox) -> Outcome {
        match step {
            Step::SyncPart => {
                let bytes = self.unsynced_bytes.saturating_sub(self.later_bytes);
                self.batch_bytes = next_batch(self.batch_bytes, bytes, now.since(self.asked_at));
                self.ask_look(Step::LookAtPart, out);
            }
            Step::Vouch => {
                let file = self.files.journal_file;
                self.ask(Step::SyncJournal, FileOp::Sync { file, meta: false }, out);
            }
            Step::SyncJournal => {
                self.covered(now);
                if self.closing && self.unsynced_bytes == 0 {
                    return Outcome::Closed;
                }
                if self.len - self.base > GROWTH_BYTES_MAX {
                    self.ask_look(Step::LookToRewrite, out);
                }
            }
            Step::Rewrite => {
                let path = self.files.journal.parent().unwrap_or(Path::new(".")).to_path_buf();
                self.ask(Step::SyncDirectory, FileOp::SyncDir { path }, out);
            }
            Step::SyncDirectory => {
                out.file(FileOp::Close { file: self.files.journal_file });
                let (path, mode) = (self.files.journal.clone(), OpenMode::Update);
                self.ask(Step::Reopen, FileOp::Open { path, mode }, out);
            }
            Step::Note | Step::LookAtPart | Step::LookToRewrite | Step::Reopen => {}
        }
        Outcome::Going
    }

    /// After a sync: another program may have removed, replaced or cut off the part file.
    fn look(&mut self, step: Step, meta: &Meta, out: &mut Outbox) -> Outcome {
        if !is_same_file(&self.files.part_meta, meta) {
            return Outcome::Changed;
        }
        if step == Step::LookToRewrite {
            self.rewrite(out);
            return Outcome::Going;
        }
        let mut bytes = self.writer.durable(self.covers);
        // What was stored meanwhile makes the end no clean one; it is closed once more then.
        if self.closing && self.later_bytes == 0 {
            bytes.extend(self.writer.clean(meta));
        }
        self.append(Step::Vouch, bytes, out);
        Outcome::Going
    }

    fn covered(&mut self, now: Time) {
        let covers = self.covers;
        self.notes.take_up_to(covers).for_each(|piece| _ = self.durable.set(piece));
        self.unsynced_bytes = self.later_bytes;
        self.since = now;
    }

    /// All that is known goes into a bitmap.
    fn rewrite(&mut self, out: &mut Outbox) {
        let mut bytes = self.writer.begin(&self.durable);
        let base = bytes.len() as u64;
        let pieces = self.notes.pieces();
        if !pieces.is_empty() {
            bytes.extend(self.writer.written(&pieces));
        }
        let (len, record) = (bytes.len() as u64, self.writer.last());
        self.notes.announce(Successor { len, base, record });
        let path = self.files.journal.clone();
        self.ask(Step::Rewrite, FileOp::Save { path, bytes, private: false }, out);
    }

    /// The data goes on meanwhile, as far as it may run ahead of a journal.
    fn found_no_room(&mut self, page: Option<(Step, Vec<u8>)>, now: Time) -> Outcome {
        mark!("E03");
        self.stuck = Some(Stuck { until: now + DISK_FULL_RETRY, page });
        self.no_room = true;
        Outcome::Going
    }

    fn failed(&mut self, step: Step, error: FileError, out: &mut Outbox) -> Outcome {
        let at_sync = step == Step::SyncPart;
        if at_sync && error != FileError::Changed {
            self.void(out);
        }
        Outcome::Failed { error, at_sync }
    }

    /// A sync of the part file failed. The system may call the pages clean now although they never
    /// reached the disk, so nothing is known of what was written since the last one: the journal is
    /// cut off before it, for which even a full disk has room.
    pub fn void(&mut self, out: &mut Outbox) {
        mark!("E04");
        if let Some(len) = self.notes.first() {
            out.file(FileOp::SetLen { file: self.files.journal_file, len });
        }
        if self.notes.is_followed() {
            let bytes = self.writer.begin(&self.durable);
            let path = self.files.journal.clone();
            out.file(FileOp::Save { path, bytes, private: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::geometry::Geometry;
    use crate::core::id::Hash32;
    use crate::core::io::{Effect, FileKind};

    /// A download of one piece into a journal that stands on no disk.
    fn begun() -> (Durable, Piece) {
        let geometry = Geometry::new(16_384, 16_384).unwrap();
        let file = |slot| FileId { slot, generation: 0 };
        let kind = FileKind::Regular;
        let (mtime_ns, ctime_ns) = (0, 0);
        let part_meta = Meta { kind, size: 16_384, device: 1, inode: 2, mtime_ns, ctime_ns };
        let header = Header::new(Hash32([1; 32]), &geometry, 2, [3; 16]);
        let none = Bitfield::new(1);
        let (writer, bytes) = Durable::begin(header, &none);
        let (part, journal) = ("/d/part".into(), "/d/journal".into());
        let (part_file, journal_file) = (file(0), file(1));
        let files = Files { part, part_file, part_meta, journal, journal_file };
        (Durable::new(files, writer, bytes.len() as u64, none), geometry.piece(0).unwrap())
    }

    /// Stores and syncs without end on a disk that refuses nothing, until the journal would be
    /// written anew. -> how much it had grown, and what became of it when a look found `inode`.
    fn grows(inode: u64) -> (u64, Outcome, Option<PathBuf>) {
        let ((mut durable, piece), mut out) = (begun(), Outbox::default());
        let meta = durable.files.part_meta;
        for _ in 0..100_000 {
            durable.stored(piece, (0, 8 << 20), Time::ZERO, &mut out);
            while let Some(Effect::File { ticket, op }) = out.effects.pop() {
                let rewrites = matches!(durable.step, Some((_, Step::LookToRewrite)));
                let inode = if rewrites { inode } else { meta.inode };
                let done = match op {
                    FileOp::StatNamed { .. } => FileDone::Meta(Ok(Meta { inode, ..meta })),
                    FileOp::Write { page, .. } => FileDone::Wrote { page, result: Ok(()) },
                    _ => FileDone::Done(Ok(())),
                };
                let Ok(outcome) = durable.got_file(ticket, done, Time::ZERO, &mut out) else {
                    continue;
                };
                if rewrites {
                    let saves = out.effects.iter().find_map(|effect| match effect {
                        Effect::File { op: FileOp::Save { path, .. }, .. } => Some(path.clone()),
                        _ => None,
                    });
                    return (durable.len - durable.base, outcome, saves);
                }
            }
        }
        panic!("it grows for ever");
    }

    #[test]
    fn a_journal_that_grew_is_written_anew_unless_its_part_file_is_another() {
        for (inode, outcome, saved) in
            [(2, Outcome::Going, Some("/d/journal".into())), (7, Outcome::Changed, None)]
        {
            let (grown, came_of_it, saves) = grows(inode);
            assert_eq!((came_of_it, saves), (outcome, saved));
            assert!((GROWTH_BYTES_MAX..GROWTH_BYTES_MAX + 1024).contains(&grown), "{grown}");
        }
    }

    /// The operations asked for since the last look, with their tickets.
    fn asked(out: &mut Outbox) -> Vec<(Ticket, FileOp)> {
        let effects = out.effects.drain(..).filter_map(|effect| match effect {
            Effect::File { op: FileOp::WriteBack { .. }, .. } => None,
            Effect::File { ticket, op } => Some((ticket, op)),
            _ => None,
        });
        effects.collect()
    }

    #[test]
    fn a_failed_sync_cuts_the_journal_off_even_behind_a_record_that_found_no_room() {
        let ((mut durable, piece), mut out) = (begun(), Outbox::default());
        let begins = durable.len;
        durable.stored(piece, (0, 1), Time::ZERO, &mut out);
        let [(ticket, FileOp::Write { offset, page, .. })] = &asked(&mut out)[..] else {
            panic!("a piece is noted first");
        };
        assert_eq!(*offset, begins);
        let no_room = FileDone::Wrote { page: page.clone(), result: Err(FileError::NoSpace) };
        let came_of_it = durable.got_file(*ticket, no_room, Time::ZERO, &mut out).ok();
        assert_eq!(came_of_it, Some(Outcome::Going));
        durable.void(&mut out);
        let file = durable.files.journal_file;
        let ops: Vec<FileOp> = asked(&mut out).into_iter().map(|(_, op)| op).collect();
        assert_eq!(ops, [FileOp::SetLen { file, len: begins }]);
    }

    #[test]
    fn a_failed_sync_is_told_to_the_journal_that_takes_the_place_of_another_too() {
        let ((mut durable, piece), mut out) = (begun(), Outbox::default());
        let begins = durable.len;
        durable.stored(piece, (0, 1), Time::ZERO, &mut out);
        let (ticket, _) = asked(&mut out).remove(0);
        let done = FileDone::Wrote { page: Vec::new(), result: Ok(()) };
        let came_of_it = durable.got_file(ticket, done, Time::ZERO, &mut out).ok();
        assert_eq!(came_of_it, Some(Outcome::Going));
        durable.rewrite(&mut out);
        asked(&mut out);
        durable.void(&mut out);
        let file = durable.files.journal_file;
        let [(_, cut), (_, FileOp::Save { bytes, .. })] = &asked(&mut out)[..] else {
            panic!("the name may be the other one's by now");
        };
        assert_eq!(*cut, FileOp::SetLen { file, len: begins });
        assert_eq!(bytes.len() as u64, begins, "nothing but the bitmap");
    }

    #[test]
    fn a_sync_that_is_under_way_when_all_is_written_may_still_fail() {
        let ((mut durable, piece), mut out) = (begun(), Outbox::default());
        durable.stored(piece, (0, 8 << 20), Time::ZERO, &mut out);
        let (ticket, _) = asked(&mut out).remove(0);
        let done = FileDone::Wrote { page: Vec::new(), result: Ok(()) };
        let came_of_it = durable.got_file(ticket, done, Time::ZERO, &mut out).ok();
        assert_eq!(came_of_it, Some(Outcome::Going));
        let (ticket, _) = asked(&mut out).remove(0);
        assert!(durable.retire(), "it is waited for");
        let done = FileDone::Done(Err(FileError::NoSpace));
        let came_of_it = durable.got_file(ticket, done, Time::ZERO, &mut out).ok();
        let failed = Outcome::Failed { error: FileError::NoSpace, at_sync: true };
        assert_eq!(came_of_it, Some(failed));
        assert!(!durable.retire());
    }
}
