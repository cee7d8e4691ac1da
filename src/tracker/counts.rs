//! What a peer is to a content, and how many are what.

/// What a peer is to a content, under whichever of its info-hashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    #[default]
    Absent,
    Incomplete,
    Complete,
}

impl Standing {
    /// From what the peer is in each of the two swarms, if it is there at all.
    pub fn of(one: Option<bool>, other: Option<bool>) -> Standing {
        match (one, other) {
            (Some(true), _) | (_, Some(true)) => Standing::Complete,
            (None, None) => Standing::Absent,
            _ => Standing::Incomplete,
        }
    }
}

/// How many have it all, and how many not yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub complete: u32,
    pub incomplete: u32,
}

impl Counts {
    /// One peer's way from one standing to another.
    pub fn moved(&mut self, before: Standing, after: Standing) {
        match before {
            Standing::Absent => {}
            Standing::Incomplete => self.incomplete = self.incomplete.saturating_sub(1),
            Standing::Complete => self.complete = self.complete.saturating_sub(1),
        }
        match after {
            Standing::Absent => {}
            Standing::Incomplete => self.incomplete = self.incomplete.saturating_add(1),
            Standing::Complete => self.complete = self.complete.saturating_add(1),
        }
    }
}
