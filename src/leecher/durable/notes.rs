//! What a journal notes as written and not yet as durable, and where in it each note stands: by
//! these notes it is cut off when a sync fails, and carries them over when it is written anew.

/// A piece that the journal calls written, and in which record.
#[derive(Clone, Copy, Debug)]
struct Note {
    piece: u32,
    record: u64,
    /// Where that record begins, bytes.
    offset: u64,
}

/// A journal that is to take the place of this one: its bytes, and those of its bitmap, behind
/// which one record carries all notes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Successor {
    pub(super) len: u64,
    pub(super) base: u64,
    pub(super) record: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: Vec<Note>,
    successor: Option<Successor>,
}

impl Notes {
    /// A record that begins at `offset` notes these pieces.
    pub(super) fn add(&mut self, pieces: Vec<u32>, record: u64, offset: u64) {
        self.notes.extend(pieces.into_iter().map(|piece| Note { piece, record, offset }));
    }

    pub(super) fn pieces(&self) -> Vec<u32> {
        self.notes.iter().map(|note| note.piece).collect()
    }

    /// Takes what is noted up to a record.
    pub(super) fn take_up_to(&mut self, record: u64) -> impl Iterator<Item = u32> {
        self.notes.extract_if(.., move |note| note.record <= record).map(|note| note.piece)
    }

    /// Where the first note begins.
    pub(super) fn first(&self) -> Option<u64> {
        self.notes.iter().map(|note| note.offset).min()
    }

    pub(super) fn announce(&mut self, successor: Successor) {
        self.successor = Some(successor);
    }

    /// Whether a successor may have the name of the journal by now.
    pub(super) fn is_followed(&self) -> bool {
        self.successor.is_some()
    }

    /// The successor is the journal from now on.
    pub(super) fn follow(&mut self) -> Option<Successor> {
        let successor = self.successor.take()?;
        for note in &mut self.notes {
            (note.record, note.offset) = (successor.record, successor.base);
        }
        Some(successor)
    }
}
