//! Chosen files that are there already share pieces with files that are not chosen. What no file
//! there proves of them is fetched and kept aside, and with that the chosen files are compared.

use super::{Placed, Step, Target};
use crate::content::bitfield::Bitfield;
use crate::content::chosen::Chosen;
use crate::core::id::FileId;
use crate::core::io::{FileError, FileOp, Meta, OpenMode, Outbox};
use crate::core::report::{Event, counted, foreign};
use crate::node::check::Check;
use crate::node::layout::Layout;

/// How far the pieces that are shared are proven.
#[derive(Clone, Debug, Default)]
pub(super) enum Proof {
    #[default]
    Unasked,
    /// By the files beside the chosen ones, perhaps; what these do not prove was `fetched`.
    Lacks { pieces: Bitfield, fetched: bool },
    /// By nothing that is there: these are fetched.
    Fetches(Bitfield),
    /// They were: what nothing proves now is wrong.
    Fetched,
}

impl Target {
    /// Whether what is fetched proves a target that is there.
    pub fn proves(&self) -> bool {
        matches!(self.proof, Proof::Fetches(_))
    }

    /// The chosen files are right as far as they can be told by themselves, in the pieces `good`.
    pub(super) fn look_beside(&mut self, good: &Bitfield, out: &mut Outbox) -> Placed {
        let geometry = &self.content.geometry;
        let pieces = without(self.layout.wanted(geometry), good);
        self.proof = Proof::Lacks { pieces, fetched: matches!(self.proof, Proof::Fetched) };
        match Layout::whole(&self.content.files, geometry.size()) {
            Ok(whole) => {
                let op = whole.open(self.path.clone(), OpenMode::Read);
                self.ask(Step::OpenBeside, op, out)
            }
            Err(fatal) => Placed::Failed(fatal),
        }
    }

    pub(super) fn opened_beside(
        &mut self,
        opened: Result<(FileId, Meta), FileError>,
        out: &mut Outbox,
    ) -> Placed {
        let Proof::Lacks { pieces, .. } = self.proof.clone() else { return self.wrong(out) };
        let Ok((file, _)) = opened else { return self.fetch_proof(pieces, out) };
        self.step = Step::CheckBeside;
        let check = Check::start(self.content.clone(), file, &pieces, out);
        let done = check.is_done();
        self.check = Some(check);
        if done { self.checked_beside(out) } else { Placed::Waiting }
    }

    pub(super) fn checked_beside(&mut self, out: &mut Outbox) -> Placed {
        let (Some(check), Proof::Lacks { pieces, .. }) = (self.check.take(), &self.proof) else {
            return self.wrong(out);
        };
        out.file(FileOp::Close { file: check.file() });
        let lacks = without(pieces.clone(), &check.good);
        match lacks.count() {
            0 => self.look_for_left_part(out),
            _ => self.fetch_proof(lacks, out),
        }
    }

    /// The part has none of the files: what comes of the pieces is kept aside.
    fn fetch_proof(&mut self, pieces: Bitfield, out: &mut Outbox) -> Placed {
        if matches!(self.proof, Proof::Lacks { fetched: true, .. }) {
            self.remove_left(out);
            return self.wrong(out);
        }
        if let Some(file) = self.file.take() {
            out.file(FileOp::Close { file });
        }
        let aside = self.layout.aside().cloned().unwrap_or_default();
        let (files, size) = (&self.content.files, self.content.geometry.size());
        match Layout::of(files, size, Some(&Chosen::entries(&[])), aside) {
            Ok(layout) => self.layout = layout,
            Err(fatal) => return Placed::Failed(fatal),
        }
        let shared = counted(u64::from(pieces.count()), "piece");
        let name = foreign(&self.name);
        let line = format!("{name} is there; fetching {shared} shared with files that are not");
        out.tell(Event::info("proving", line).number("pieces", u64::from(pieces.count())));
        self.proof = Proof::Fetches(pieces);
        self.begin_part(out)
    }

    /// What was fetched is kept aside: the target is looked at once more, with it.
    pub(super) fn got_proof(&mut self, out: &mut Outbox) -> Placed {
        self.proof = Proof::Fetched;
        self.let_go(out);
        self.file = None;
        out.file(FileOp::Remove { path: self.part_path.clone() });
        out.file(FileOp::Remove { path: self.journal_path.clone() });
        self.settle_on(self.path.clone(), out)
    }
}

fn without(mut pieces: Bitfield, others: &Bitfield) -> Bitfield {
    others.ones().for_each(|piece| _ = pieces.clear(piece));
    pieces
}
