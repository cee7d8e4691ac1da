//! What of a part file is believed without being read again: what its journal vouches for, but for
//! a sample, and for pieces of which a share was kept aside and is gone.

use super::{Opened, Part, Step};
use crate::content::bitfield::Bitfield;
use crate::content::geometry::Piece;
use crate::content::metainfo::Content;
use crate::core::io::{FileError, FileKind, FileOp, Meta, Outbox};
use crate::core::limits::{SAMPLE_BYTES, SAMPLE_PIECES};
use crate::core::mark::mark;
use crate::core::rng::Rng;
use crate::leecher::journal::{self, JOURNAL_BYTES_MAX};

impl Part {
    pub(super) fn look_for_aside(&mut self, out: &mut Outbox) -> Opened {
        match self.layout.aside().cloned() {
            Some(path) => self.ask(Step::LookAtAside, FileOp::Stat { path }, out),
            None => self.look_for_journal(out),
        }
    }

    pub(super) fn look_at_aside(
        &mut self,
        meta: Result<Meta, FileError>,
        out: &mut Outbox,
    ) -> Opened {
        self.lacks_aside = meta.is_err();
        self.look_for_journal(out)
    }

    fn look_for_journal(&mut self, out: &mut Outbox) -> Opened {
        self.ask(Step::LookAtJournal, FileOp::Stat { path: self.journal.clone() }, out)
    }

    pub(super) fn look_at_journal(
        &mut self,
        meta: Result<Meta, FileError>,
        out: &mut Outbox,
    ) -> Opened {
        match meta {
            Ok(meta) if meta.kind == FileKind::Regular => {
                let op = FileOp::Load { path: self.journal.clone(), bytes_max: JOURNAL_BYTES_MAX };
                self.ask(Step::LoadJournal, op, out)
            }
            // None, or something else under its name: it is replaced, never followed.
            _ => self.believe(None, out),
        }
    }

    /// What the journal says, if there is one, and what of it is to be read again.
    pub(super) fn believe(&mut self, journal: Option<Vec<u8>>, out: &mut Outbox) -> Opened {
        let Some((_, meta)) = self.file else { return Opened::Failed(FileError::NotFound) };
        let geometry = &self.content.geometry;
        let hash = self.layout.journal_hash(self.content.hash());
        let kept = journal.and_then(|bytes| journal::read(&bytes, hash, geometry, &meta));
        let kept = kept.filter(|kept| kept.clean != Some(false));
        let Some(mut kept) = kept else {
            // After a failed sync the system's memory of the file is no proof.
            return if self.trust.sync_failed { self.ask_space(out) } else { self.check_all(out) };
        };
        mark!("E16");
        if self.lacks_aside {
            // What is left of those pieces is not all of them.
            let alone = self.layout.alone(geometry);
            let others: Vec<u32> = kept.durable.ones().filter(|at| !alone.get(*at)).collect();
            others.into_iter().for_each(|piece| _ = kept.durable.clear(piece));
        }
        if kept.clean.is_none() {
            mark!("F17");
        }
        self.sample = sample(&mut self.rng, &self.content, &kept.durable);
        let mut which = self.sample.clone();
        if !self.trust.sync_failed {
            kept.written.ones().for_each(|piece| _ = which.set(piece));
        }
        self.trusted = kept.durable;
        self.sample.ones().for_each(|piece| _ = self.trusted.clear(piece));
        self.check(Step::CheckSome, which, out)
    }
}

/// Some of the pieces, at most so many and so many bytes of them.
fn sample(rng: &mut Rng, content: &Content, of: &Bitfield) -> Bitfield {
    let geometry = &content.geometry;
    let mut pieces: Vec<Piece> = of.ones().filter_map(|index| geometry.piece(index)).collect();
    rng.shuffle(&mut pieces);
    let most = (SAMPLE_BYTES / u64::from(geometry.piece_length()).max(1)).max(1);
    let most = usize::try_from(most).unwrap_or(SAMPLE_PIECES).min(SAMPLE_PIECES);
    let mut sample = Bitfield::new(of.len());
    pieces.iter().take(most).for_each(|piece| _ = sample.set(piece.index()));
    sample
}
