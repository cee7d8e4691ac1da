//! What a disk may do to a process besides losing power: refuse the n-th operation, or stop for
//! good at the n-th one that leaves something, so that a crash can be tried at every one of them.

use super::Disk;
use super::sparse::Sparse;
use crate::core::id::FileId;
use crate::core::io::{FileDone, FileError, FileOp, OpenMode};

/// Which operations a fault befalls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum On {
    Read,
    /// Of bytes that leave by a connection.
    Span,
    Write,
    /// Of a file; what was written since the last one that went well may be lost for good.
    Sync,
    Save,
}

/// Refusals to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    pub on: On,
    /// Only at files whose name ends so.
    pub name_ends: &'static str,
    /// So many operations go well first.
    pub after: u64,
    /// Then so many are refused.
    pub times: u64,
    pub error: FileError,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<Fault>,
    /// Operations that left something.
    lasting: u64,
    stop_at: Option<u64>,
    pub stopped: bool,
    /// Files whose name ends so read back with a wrong byte.
    rots: Option<&'static str>,
}

impl Faults {
    pub fn forgive(&mut self) {
        self.planned.clear();
    }

    /// What befalls an operation on the file `name`.
    fn befall(&mut self, on: On, name: &str) -> Option<FileError> {
        let meant = |fault: &&mut Fault| fault.on == on && name.ends_with(fault.name_ends);
        let fault = self.planned.iter_mut().filter(|fault| fault.times > 0).find(meant)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.error)
    }
}

impl Disk {
    pub fn fail(&mut self, fault: Fault) {
        self.faults.planned.push(fault);
    }

    /// From now on files whose name ends so read back with a wrong byte.
    pub fn rots(&mut self, name_ends: &'static str) {
        self.faults.rots = Some(name_ends);
    }

    /// What a read brings, as the disk has it by now.
    pub(super) fn rot(&self, owner: usize, file: FileId, page: &mut [u8]) {
        let Some(name_ends) = self.faults.rots else { return };
        if self.name_of(owner, file).ends_with(name_ends)
            && let Some(byte) = page.last_mut()
        {
            *byte ^= 1;
        }
    }

    /// Refusals that have not come yet.
    pub fn refusals_left(&self) -> u64 {
        self.faults.planned.iter().map(|fault| fault.times).sum()
    }

    /// Operations so far that left something on the disk.
    pub fn lasting_operations(&self) -> u64 {
        self.faults.lasting
    }

    /// From the n-th lasting operation on nothing reaches the disk, until [`Disk::go_on`].
    pub fn stop_at(&mut self, operation: u64) {
        self.faults.stop_at = Some(operation);
    }

    pub fn stopped(&self) -> bool {
        self.faults.stopped
    }

    pub fn go_on(&mut self) {
        (self.faults.stop_at, self.faults.stopped) = (None, false);
    }

    /// The answer to an operation that is refused, and the page that came with it.
    pub(super) fn refuse(&mut self, owner: usize, op: &FileOp) -> Option<FileError> {
        let mode = |mode: &OpenMode| *mode != OpenMode::Read;
        let lasting = match op {
            FileOp::Open { mode: how, .. } | FileOp::OpenRow { mode: how, .. } => mode(how),
            FileOp::Write { .. } | FileOp::Sync { .. } | FileOp::SyncDir { .. } => true,
            FileOp::SetLen { .. } | FileOp::SetPlainMode { .. } => true,
            FileOp::RemoveUnwanted { .. } => true,
            FileOp::Rename { .. } | FileOp::Save { .. } => true,
            FileOp::Remove { .. } | FileOp::RemoveBeside { .. } => true,
            _ => false,
        };
        self.faults.stopped |= lasting && self.faults.stop_at == Some(self.faults.lasting);
        if self.faults.stopped {
            return Some(FileError::Other(5));
        }
        self.faults.lasting += u64::from(lasting);
        let (on, name) = match op {
            FileOp::Read { file, .. } => (On::Read, self.name_of(owner, *file)),
            FileOp::Write { file, .. } => (On::Write, self.name_of(owner, *file)),
            FileOp::Sync { file, .. } => (On::Sync, self.name_of(owner, *file)),
            FileOp::Save { path, .. } => (On::Save, path.to_string_lossy().into_owned()),
            _ => return None,
        };
        let error = self.faults.befall(on, &name)?;
        if let FileOp::Sync { file, .. } = op {
            match self.row_of(owner, *file) {
                Some(row) => self.sync_bodies(&row, Sparse::sync_failed),
                None => _ = self.change(owner, *file, Sparse::sync_failed).ok(),
            }
        }
        Some(error)
    }

    /// Why bytes that leave by a connection cannot be read.
    pub(super) fn refuse_span(&mut self, owner: usize, file: FileId) -> Option<FileError> {
        if !self.faults.planned.iter().any(|fault| fault.on == On::Span) {
            return None;
        }
        let name = self.name_of(owner, file);
        self.faults.befall(On::Span, &name)
    }
}

/// The refusal in the shape of the answer.
pub(super) fn refusal(op: FileOp, error: FileError) -> FileDone {
    match op {
        FileOp::Open { .. } | FileOp::OpenRow { .. } => FileDone::Opened(Err(error)),
        FileOp::Stat { .. } | FileOp::StatOpen { .. } | FileOp::StatNamed { .. } => {
            FileDone::Meta(Err(error))
        }
        FileOp::Read { page, .. } => FileDone::Read { page, result: Err(error) },
        FileOp::Write { page, .. } => FileDone::Wrote { page, result: Err(error) },
        FileOp::FreeSpace { .. } => FileDone::Free(Err(error)),
        FileOp::Load { .. } => FileDone::Loaded(Err(error)),
        FileOp::ListDir { .. } => FileDone::Listed(Err(error)),
        FileOp::NextExtent { .. } => FileDone::Extent(Err(error)),
        FileOp::Holder { .. } => FileDone::Holder(None),
        FileOp::Guard { .. } => FileDone::Guarded(Err(error)),
        _ => FileDone::Done(Err(error)),
    }
}
