//! The part file of a target: opened, filled piece by piece, and let go.

use super::{MOVES_MAX, Placed, Step, Target, fatal, no_directory};
use crate::content::geometry::Piece;
use crate::core::id::Ticket;
use crate::core::io::{FileError, FileOp, Outbox};
use crate::core::report::{Ending, bytes_text, foreign};
use crate::core::time::Time;
use crate::leecher::durable::{Durable, Outcome};
use crate::node::part::{Opened, Part, room_for_more};
use crate::node::places::{directory_of, show};

impl Target {
    pub(super) fn begin_part(&mut self, out: &mut Outbox) -> Placed {
        self.step = Step::Part;
        let paths = (self.part_path.clone(), self.journal_path.clone());
        let rng = self.rng.fork(1);
        let what = (self.content.clone(), self.layout.clone());
        self.part = Some(Part::start(what, paths, self.trust, rng, out));
        Placed::Waiting
    }

    /// Forgets the open files; [`Target::again`] opens them anew.
    pub fn let_go(&mut self, out: &mut Outbox) {
        (self.ticket, self.check, self.whole) = (None, None, None);
        if let Some(mut part) = self.part.take() {
            part.close(out);
        }
        if let Some(durable) = self.durable.take() {
            out.file(FileOp::Close { file: durable.files().part_file });
            out.file(FileOp::Close { file: durable.files().journal_file });
        }
    }

    pub fn again(&mut self, out: &mut Outbox) -> Placed {
        self.let_go(out);
        self.trust.under_way = true;
        self.begin_part(out)
    }

    pub(super) fn opened(&mut self, opened: Opened, out: &mut Outbox) -> Placed {
        match opened {
            Opened::Waiting => Placed::Waiting,
            Opened::Ready(ready) => {
                let part = self.part.take();
                self.trust.coarse_times = part.as_ref().is_some_and(|p| p.trust.coarse_times);
                let checked = part.map_or(0, |part| part.checked_bytes);
                let (durable, have) = *ready;
                let file = durable.files().part_file;
                (self.step, self.file, self.durable) = (Step::Filling, Some(file), Some(durable));
                self.trust.sync_failed = false;
                Placed::Ready { file, have, checked }
            }
            Opened::Locked(holder) => self.locked(holder),
            Opened::Moved => {
                // Complete meanwhile, it stands under its own name.
                (self.part, self.moves) = (None, self.moves + 1);
                match self.moves > MOVES_MAX {
                    true => self.locked(None),
                    false => self.settle_on(self.path.clone(), out),
                }
            }
            Opened::NoDirectory => no_directory(&directory_of(&self.path)),
            Opened::NoSpace { needed, free, empty } => {
                let directory = show(&directory_of(&self.path));
                let (needed, free) = (bytes_text(needed), bytes_text(free));
                if empty || self.proves() {
                    out.file(FileOp::Remove { path: self.part_path.clone() });
                }
                Placed::NoSpace(format!(
                    "{} needs {needed}, {free} free in {directory}; make room or use --out DIR",
                    foreign(&self.name)
                ))
            }
            Opened::Failed(error) => {
                self.trust.sync_failed |= self.part.as_ref().is_some_and(|p| p.trust.sync_failed);
                self.failed(error)
            }
        }
    }

    fn locked(&self, holder: Option<u32>) -> Placed {
        let part = show(&self.part_path);
        let pid = holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        let line = format!("{part}: another lmk{pid} is downloading this file; --out elsewhere");
        fatal(Ending::Refused, line)
    }

    pub(super) fn kept(&mut self, outcome: Outcome) -> Placed {
        match outcome {
            Outcome::Going => Placed::Waiting,
            Outcome::Closed => Placed::Closed,
            Outcome::Changed => Placed::Changed,
            Outcome::Failed { error, at_sync } => {
                self.trust.sync_failed |= at_sync && error != FileError::Changed;
                self.failed(error)
            }
        }
    }

    /// Whether nobody would notice that another program changed the part file.
    pub fn is_unguarded(&self) -> bool {
        self.trust.no_times
    }

    /// A piece stands in the part file.
    pub fn stored(&mut self, piece: Piece, now: Time, out: &mut Outbox) {
        if let Some(durable) = &mut self.durable {
            let geometry = &self.content.geometry;
            let span = (geometry.piece_offset(piece), geometry.piece_len(piece));
            durable.stored(piece, span, now, out);
        }
    }

    /// Makes durable what is due. -> whether so much waits for it that no more should be asked for.
    pub fn tend(&mut self, now: Time, out: &mut Outbox) -> bool {
        let Some(durable) = &mut self.durable else { return false };
        durable.go_on(now, out);
        durable.is_full()
    }

    /// Whether nothing more should be asked for because the journal finds no room.
    pub fn waits_for_room(&self) -> bool {
        self.durable.as_ref().is_some_and(Durable::waits_for_room)
    }

    /// Asks how much is free where the file goes.
    pub fn ask_room(&self, out: &mut Outbox) -> Ticket {
        out.file(FileOp::FreeSpace { path: directory_of(&self.path) })
    }

    /// Whether `free` bytes are enough to go on with `missing` to come.
    pub fn has_room(&self, free: u64, missing: u64) -> bool {
        free >= room_for_more(&self.content.geometry, missing)
    }

    pub fn deadline(&self) -> Time {
        self.durable.as_ref().map_or(Time::NEVER, Durable::deadline)
    }

    /// Makes everything durable and ends in order; `Closed` tells when it is done.
    pub fn close(&mut self, now: Time, out: &mut Outbox) {
        if let Some(durable) = &mut self.durable {
            durable.close(now, out);
        }
    }
}
