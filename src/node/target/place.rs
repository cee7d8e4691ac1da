//! Where the file goes, and whether it is there already.

use super::{Placed, Step, Target, fatal, no_directory};
use crate::core::id::FileId;
use crate::core::io::{FileError, FileKind, FileOp, Meta, OpenMode, Outbox};
use crate::core::mark::mark;
use crate::core::report::Ending;
use crate::node::check::Check;
use crate::node::places::show;
use crate::node::plan::Pin;

impl Target {
    pub(super) fn stat_out(&mut self, meta: Result<Meta, FileError>, out: &mut Outbox) -> Placed {
        let path = self.plan.out.clone().unwrap_or_default();
        let must = self.plan.out_must_be_directory;
        match meta {
            Ok(meta) if meta.kind == FileKind::Directory => {
                self.settle_on(path.join(&self.name), out)
            }
            Ok(meta) if meta.kind == FileKind::Symlink && self.step == Step::StatOut => {
                self.ask(Step::StatOutBehind, FileOp::Stat { path: path.join(".") }, out)
            }
            Ok(_) if must => fatal(Ending::Disk, format!("{}: not a directory", show(&path))),
            Err(FileError::NotFound) if must => no_directory(&path),
            Ok(_) | Err(FileError::NotFound) => self.settle_on(path, out),
            Err(error) => fatal(Ending::Disk, format!("{}: {}", show(&path), error.reason())),
        }
    }

    pub(super) fn stat_target(
        &mut self,
        meta: Result<Meta, FileError>,
        out: &mut Outbox,
    ) -> Placed {
        let path = self.path.clone();
        let what = match meta {
            Err(FileError::NotFound) => return self.begin_part(out),
            Err(error) => return self.failed(error),
            Ok(meta) if meta.kind == FileKind::Regular && !self.layout.is_folder() => {
                if meta.size != self.content.geometry.size() {
                    return self.different(out);
                }
                return self.ask(Step::OpenTarget, self.layout.open(path, OpenMode::Read), out);
            }
            Ok(meta) if meta.kind == FileKind::Directory && self.layout.is_folder() => {
                return self.ask(Step::OpenTarget, self.layout.open(path, OpenMode::Read), out);
            }
            Ok(meta) if meta.kind == FileKind::Regular => "a file and what is wanted a folder",
            Ok(meta) if meta.kind == FileKind::Directory => "a directory",
            Ok(meta) if meta.kind == FileKind::Symlink => "a symbolic link",
            Ok(_) => "no regular file",
        };
        mark!("E08");
        let line = format!("{} is {what}; name another place with --out", show(&path));
        fatal(Ending::Refused, line)
    }

    pub(super) fn opened_target(
        &mut self,
        opened: Result<(FileId, Meta), FileError>,
        out: &mut Outbox,
    ) -> Placed {
        match opened {
            Ok((file, meta)) if meta.size != self.content.geometry.size() => {
                out.file(FileOp::Close { file });
                self.different(out)
            }
            Ok((file, meta)) => {
                self.meta = Some(meta);
                self.check_target(file, out)
            }
            Err(error) => self.failed(error),
        }
    }

    fn check_target(&mut self, file: FileId, out: &mut Outbox) -> Placed {
        self.step = Step::CheckTarget;
        self.file = Some(file);
        let wanted = self.layout.wanted(&self.content.geometry);
        let check = Check::start(self.content.clone(), file, &wanted, out);
        let done = check.is_done();
        self.check = Some(check);
        if done { self.checked(out) } else { Placed::Waiting }
    }

    /// The file that stood there was read whole.
    pub(super) fn checked(&mut self, out: &mut Outbox) -> Placed {
        let (Some(check), Some(file)) = (self.check.take(), self.file) else {
            return fatal(Ending::Internal, "a check without a file".into());
        };
        let geometry = &self.content.geometry;
        if !check.good.lacks_any_of(&self.layout.wanted(geometry)) {
            if let Some(Pin::Sha256(_)) = self.plan.want.pin {
                return self.ask_whole(file, out);
            }
            return self.look_for_left_part(out);
        }
        if !check.good.lacks_any_of(&self.layout.alone(geometry)) {
            return self.look_beside(&check.good, out);
        }
        self.wrong(out)
    }

    /// What stands there has other content than it should.
    pub(super) fn wrong(&mut self, out: &mut Outbox) -> Placed {
        if let Some(file) = self.file.take() {
            out.file(FileOp::Close { file });
        }
        self.different(out)
    }

    /// The target is what was wanted.
    pub(super) fn look_for_left_part(&mut self, out: &mut Outbox) -> Placed {
        let path = self.part_path.clone();
        self.ask(Step::StatLeftPart, FileOp::Stat { path }, out)
    }

    /// An earlier run may have ended between the last rename and the end of its journal.
    pub(super) fn stat_left_part(
        &mut self,
        part: Result<Meta, FileError>,
        out: &mut Outbox,
    ) -> Placed {
        let is_folder = |meta: &Meta| meta.kind == FileKind::Directory;
        if self.layout.aside().is_some() && part.as_ref().is_ok_and(is_folder) {
            let path = self.part_path.clone();
            return self.ask(Step::RemoveLeftPart, FileOp::Remove { path }, out);
        }
        self.already(part == Err(FileError::NotFound), out)
    }

    /// Every byte of it is right; what else is left is nobody's if the part is `gone`.
    pub(super) fn already(&mut self, gone: bool, out: &mut Outbox) -> Placed {
        if gone {
            self.remove_left(out);
        }
        match self.file {
            Some(file) => {
                // What proves the other pieces goes.
                let have = self.layout.alone(&self.content.geometry);
                Placed::Already { file, have }
            }
            None => fatal(Ending::Internal, "a target without a file".into()),
        }
    }

    /// The target has other content.
    pub(super) fn different(&mut self, out: &mut Outbox) -> Placed {
        let path = show(&self.path);
        let line = match self.layout.is_folder() {
            true => format!(
                "{path} exists and is different; a folder is never replaced: move it away, \
                 or write elsewhere with --out DIR"
            ),
            false if self.plan.overwrite => return self.begin_part(out),
            false => format!(
                "{path} exists and is different; --overwrite replaces it, \
                 --out DIR|FILE writes elsewhere"
            ),
        };
        fatal(Ending::Refused, line)
    }
}
