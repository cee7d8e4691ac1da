//! Whether the file that is shared is still the one that was hashed. The driver looks after every
//! read (a pinned file); this looks every few seconds, so that a file that nobody reads is
//! withdrawn too.

use crate::core::id::{FileId, Ticket};
use crate::core::io::{FileDone, FileError, FileKind, FileOp, Meta, Outbox};
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use std::path::PathBuf;

/// How often the file and its path are looked at.
const LOOK: Span = Span::secs(5);

#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    file: FileId,
    /// What was hashed.
    meta: Meta,
    next: Time,
    /// The looks that are out: at the open file, and at what the path names.
    open: Option<Ticket>,
    named: Option<Ticket>,
    /// The pin that is not answered yet.
    pin: Option<Ticket>,
}

impl FileWatch {
    /// Pins the file, and looks from now on.
    pub fn new(path: PathBuf, (file, meta): (FileId, Meta), now: Time, out: &mut Outbox) -> Self {
        let pin = Some(out.file(FileOp::Pin { file, meta }));
        FileWatch { path, file, meta, next: now + LOOK, open: None, named: None, pin }
    }

    pub fn deadline(&self) -> Time {
        self.next
    }

    pub fn wake(&mut self, now: Time, out: &mut Outbox) {
        if self.next <= now {
            self.look(now, out);
        }
    }

    /// Looks now: a read said that something is wrong.
    pub fn look(&mut self, now: Time, out: &mut Outbox) {
        self.next = now + LOOK;
        if self.open.is_none() && self.named.is_none() {
            self.open = Some(out.file(FileOp::StatOpen { file: self.file }));
            self.named = Some(out.file(FileOp::Stat { path: self.path.clone() }));
        }
    }

    /// A file operation came back: whether the file is still the same, or `done` if it is not ours.
    pub fn got_file(&mut self, ticket: Ticket, done: FileDone) -> Result<bool, FileDone> {
        if self.pin.take_if(|pin| *pin == ticket).is_some() {
            return Ok(true);
        }
        let open = self.open.take_if(|open| *open == ticket).is_some();
        let named = self.named.take_if(|named| *named == ticket).is_some();
        match done {
            FileDone::Meta(meta) if open => Ok(self.is_same(meta)),
            FileDone::Meta(meta) if named => Ok(self.is_there(meta)),
            done => Err(done),
        }
    }

    /// The open file: written to, cut or grown (its size and times say so), or unlinked.
    fn is_same(&self, meta: Result<Meta, FileError>) -> bool {
        let same = meta == Ok(self.meta);
        if !same {
            mark!("E09");
        }
        same
    }

    /// The path: gone, or another file. A path that ends in a symbolic link says nothing here.
    fn is_there(&self, meta: Result<Meta, FileError>) -> bool {
        let there = match meta {
            Ok(meta) if meta.kind == FileKind::Symlink => true,
            Ok(meta) => (meta.device, meta.inode) == (self.meta.device, self.meta.inode),
            Err(error) => error != FileError::NotFound,
        };
        if !there {
            mark!("E11");
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::mark::expect_mark;

    const META: Meta =
        Meta { kind: FileKind::Regular, size: 7, device: 1, inode: 2, mtime_ns: 3, ctime_ns: 4 };

    /// What the watch says when the open file and the path are found so.
    fn verdicts(
        open: Result<Meta, FileError>,
        named: Result<Meta, FileError>,
    ) -> (Option<bool>, Option<bool>) {
        let mut out = Outbox::default();
        let file = FileId { slot: 0, generation: 0 };
        let mut watch = FileWatch::new("/f".into(), (file, META), Time::ZERO, &mut out);
        assert_eq!(watch.deadline(), Time::ZERO + LOOK);
        watch.wake(Time::ZERO + Span::secs(4), &mut out);
        assert_eq!(watch.open, None);
        watch.wake(Time::ZERO + LOOK, &mut out);
        let (first, second) = (watch.open.unwrap(), watch.named.unwrap());
        let open = watch.got_file(first, FileDone::Meta(open)).ok();
        (open, watch.got_file(second, FileDone::Meta(named)).ok())
    }

    #[test]
    fn what_is_as_it_was_is_said_to_be() {
        assert_eq!(verdicts(Ok(META), Ok(META)), (Some(true), Some(true)));
        let link = Meta { kind: FileKind::Symlink, inode: 9, ..META };
        assert_eq!(verdicts(Ok(META), Ok(link)), (Some(true), Some(true)));
        assert_eq!(verdicts(Ok(META), Err(FileError::Denied)), (Some(true), Some(true)));
    }

    #[test]
    fn a_file_that_was_written_cut_or_touched_is_another_one() {
        for meta in
            [Meta { size: 6, ..META }, Meta { mtime_ns: 9, ..META }, Meta { ctime_ns: 9, ..META }]
        {
            expect_mark!("E09", assert_eq!(verdicts(Ok(meta), Ok(META)).0, Some(false)));
        }
    }

    #[test]
    fn a_path_that_is_gone_or_names_another_file_is_seen() {
        for named in [Err(FileError::NotFound), Ok(Meta { inode: 9, ..META })] {
            expect_mark!("E11", assert_eq!(verdicts(Ok(META), named).1, Some(false)));
        }
    }
}
