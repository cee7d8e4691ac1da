//! Whose connections, tickets and open files are whose, so that each hears of its own alone and
//! leaves nothing behind.

use crate::core::id::{ConnId, FileId, Ticket};
use crate::core::io::{Effect, FileDone, FileOp, Outbox};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug)]
struct Owned {
    who: usize,
    /// It wished the connection closed.
    closing: bool,
}

#[derive(Debug, Default)]
pub(super) struct Owners {
    conns: BTreeMap<ConnId, Owned>,
    /// Of file operations under way. That of one who left has no owner any more.
    tickets: BTreeMap<Ticket, Option<usize>>,
    files: BTreeMap<FileId, usize>,
}

impl Owners {
    /// A wish of `who`. -> true: it is passed on as it is.
    pub fn note(&mut self, who: usize, wish: &Effect) -> bool {
        match wish {
            Effect::Dial { conn, .. } => self.took(*conn, who),
            Effect::Close { conn, .. } => {
                if let Some(owned) = self.conns.get_mut(conn) {
                    owned.closing = true;
                }
            }
            Effect::File { ticket, op } => {
                self.tickets.insert(*ticket, Some(who));
                if let FileOp::Close { file } = op {
                    self.files.remove(file);
                }
            }
            _ => {}
        }
        true
    }

    /// A connection that came in is for `who`.
    pub fn took(&mut self, conn: ConnId, who: usize) {
        self.conns.insert(conn, Owned { who, closing: false });
    }

    pub fn of(&self, conn: ConnId) -> Option<usize> {
        self.conns.get(&conn).map(|owned| owned.who)
    }

    pub fn closed(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
    }

    /// Who hears of a file operation. What was opened for one who left is closed.
    pub fn got_file(&mut self, ticket: Ticket, done: &FileDone, out: &mut Outbox) -> Option<usize> {
        let who = self.tickets.remove(&ticket)?;
        if let FileDone::Opened(Ok((file, _))) = done {
            match who {
                Some(who) => _ = self.files.insert(*file, who),
                None => _ = out.file(FileOp::Close { file: *file }),
            }
        }
        who
    }

    /// One has left: its connections end, and its files are closed, and their locks with them.
    pub fn left(&mut self, who: usize, out: &mut Outbox) {
        let of = |owned: &Owned| owned.who == who;
        for (conn, _) in self.conns.iter().filter(|(_, owned)| of(owned) && !owned.closing) {
            out.close(*conn);
        }
        self.conns.retain(|_, owned| !of(owned));
        for owner in self.tickets.values_mut() {
            owner.take_if(|owner| *owner == who);
        }
        for (file, _) in self.files.iter().filter(|(_, owner)| **owner == who) {
            out.file(FileOp::Close { file: *file });
        }
        self.files.retain(|_, owner| *owner != who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::io::{FileError, FileKind, Meta, OpenMode};

    const META: Meta =
        Meta { kind: FileKind::Regular, size: 1, device: 1, inode: 1, mtime_ns: 0, ctime_ns: 0 };

    fn file(slot: u32) -> FileId {
        FileId { slot, generation: 0 }
    }

    fn opens(who: usize, owners: &mut Owners, out: &mut Outbox) -> Ticket {
        let ticket = out.file(FileOp::Open { path: "/f".into(), mode: OpenMode::Read });
        owners.note(who, out.effects.last().unwrap());
        ticket
    }

    fn closed(out: &mut Outbox) -> (Vec<ConnId>, Vec<FileId>) {
        let (mut conns, mut files) = (Vec::new(), Vec::new());
        for effect in out.effects.drain(..) {
            match effect {
                Effect::Close { conn, .. } => conns.push(conn),
                Effect::File { op: FileOp::Close { file }, .. } => files.push(file),
                _ => {}
            }
        }
        (conns, files)
    }

    #[test]
    fn each_hears_of_its_own_and_once() {
        let (mut owners, mut out) = (Owners::default(), Outbox::default());
        let (one, other) = (opens(0, &mut owners, &mut out), opens(1, &mut owners, &mut out));
        let failed = FileDone::Opened(Err(FileError::NotFound));
        assert_eq!(owners.got_file(other, &failed, &mut out), Some(1));
        assert_eq!(owners.got_file(one, &failed, &mut out), Some(0));
        assert_eq!(owners.got_file(one, &failed, &mut out), None);
    }

    #[test]
    fn whoever_leaves_leaves_nothing_open() {
        let (mut owners, mut out) = (Owners::default(), Outbox::default());
        let conns: Vec<ConnId> = (0..3).map(|_| out.dial(([127, 0, 0, 1], 1).into())).collect();
        for (effect, who) in std::mem::take(&mut out.effects).iter().zip([0, 1, 0]) {
            owners.note(who, effect);
        }
        for (slot, who) in [(1, 0), (2, 1), (3, 0)] {
            let ticket = opens(who, &mut owners, &mut out);
            owners.got_file(ticket, &FileDone::Opened(Ok((file(slot), META))), &mut out);
        }
        // The first one closes one of each itself, and opens one more.
        out.close_after_flush(conns[0]);
        out.file(FileOp::Close { file: file(1) });
        out.effects.iter().for_each(|effect| _ = owners.note(0, effect));
        let late = opens(0, &mut owners, &mut out);
        out.effects.clear();
        owners.left(0, &mut out);
        assert_eq!(closed(&mut out), (vec![conns[2]], vec![file(3)]));
        assert_eq!((owners.of(conns[2]), owners.of(conns[1])), (None, Some(1)));
        let opened = FileDone::Opened(Ok((file(9), META)));
        assert_eq!(owners.got_file(late, &opened, &mut out), None);
        assert_eq!(closed(&mut out), (vec![], vec![file(9)]));
    }
}
