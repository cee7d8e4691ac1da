//! The transition table of one leecher at our slots, as data: from where, on what, when, to where,
//! and what goes on the wire, in that order and in one write. `slots.rs` moves by it, `telling.rs`
//! speaks by it, `docs/states.md` is made from it.

use Event::*;
use Word::*;

/// Where a leecher stands with us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stand {
    /// It wants nothing.
    Idle,
    /// It wants, and waits.
    Queued,
    /// It holds a slot.
    Active,
    /// No conversation: before the handshakes, or after the end.
    Away,
}

/// What befalls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    Joined,
    Interested,
    NotInterested,
    /// It has every piece.
    Complete,
    /// It stands first and a slot is free.
    Reached,
    /// Its place changed and it was not told for 2 s, or it was told nothing for 30 s.
    Moved,
    /// It asked for nothing, or took nothing of what was handed over, for 10 s.
    Stalled,
    /// It held its slot for 60 s or 64 MiB, and for 10 s at the least.
    QuantumOver,
    /// In a swarm of strangers: others gave more, or have their turn.
    Outbid,
    /// It was told that no slot is free, at least 5 s ago, and now there is one.
    SlotFree,
    /// It was told that a slot is free, at least 5 s ago, and now there is none.
    SlotsTaken,
    /// We leave: what was asked is still handed over.
    Leaving,
    /// We may serve no more: the file is not what it was.
    Withdrawn,
    Left,
}

/// The condition of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    Always,
    /// A slot is free and nobody waits.
    Free,
    /// All slots are taken, or somebody waits.
    Full,
    /// Somebody else waits.
    Awaited,
}

/// What is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// `lmk_state` 0 (Available) or 2 (Unavailable), whichever is true now.
    Available,
    /// `lmk_state` 1.
    Connected,
    /// `lmk_state` 2; with its place while it is queued, with the reason while it is not.
    Unavailable,
    Choke,
    Unchoke,
    /// One for each request that was not handed over, under the fast extension (BEP 6).
    Rejects,
}

#[derive(PartialEq, Eq, Debug)]
pub struct Row {
    pub from: Stand,
    pub event: Event,
    pub when: When,
    pub to: Stand,
    pub says: &'static [Word],
}

const fn row(from: Stand, event: Event, when: When, to: Stand, says: &'static [Word]) -> Row {
    Row { from, event, when, to, says }
}

use Stand::{Active, Away, Idle, Queued};
use When::{Always, Awaited, Free, Full};

const GIVES_BACK: &[Word] = &[Available, Choke, Rejects];
const STEPS_BACK: &[Word] = &[Unavailable, Choke, Rejects];

/// What is not in the table does not happen.
#[rustfmt::skip]
pub static TABLE: &[Row] = &[
    row(Away,   Joined,        Free,    Idle,   &[Available]),
    row(Away,   Joined,        Full,    Idle,   &[Unavailable]),
    row(Idle,   Interested,    Free,    Active, &[Connected, Unchoke]),
    row(Idle,   Interested,    Full,    Queued, &[Unavailable]),
    row(Idle,   SlotFree,      Always,  Idle,   &[Available]),
    row(Idle,   SlotsTaken,    Always,  Idle,   &[Unavailable]),
    row(Idle,   Leaving,       Always,  Idle,   &[Unavailable]),
    row(Idle,   Withdrawn,     Always,  Idle,   &[Unavailable]),
    row(Idle,   Left,          Always,  Away,   &[]),
    row(Queued, Reached,       Always,  Active, &[Connected, Unchoke]),
    row(Queued, Moved,         Always,  Queued, &[Unavailable]),
    row(Queued, NotInterested, Always,  Idle,   &[Available]),
    row(Queued, Complete,      Always,  Idle,   &[Available]),
    row(Queued, Leaving,       Always,  Idle,   &[Unavailable]),
    row(Queued, Withdrawn,     Always,  Idle,   &[Unavailable]),
    row(Queued, Left,          Always,  Away,   &[]),
    row(Active, NotInterested, Always,  Idle,   GIVES_BACK),
    row(Active, Complete,      Always,  Idle,   GIVES_BACK),
    row(Active, Stalled,       Awaited, Queued, STEPS_BACK),
    row(Active, QuantumOver,   Awaited, Queued, STEPS_BACK),
    row(Active, Outbid,        Awaited, Queued, STEPS_BACK),
    row(Active, Leaving,       Always,  Idle,   &[Unavailable, Choke]),
    row(Active, Withdrawn,     Always,  Idle,   STEPS_BACK),
    row(Active, Left,          Always,  Away,   &[]),
];

/// The row that applies, if the event means anything there. `free`: a slot is free and nobody
/// waits; `awaited`: somebody waits.
pub fn find(from: Stand, event: Event, free: bool, awaited: bool) -> Option<&'static Row> {
    let applies = |when: When| match when {
        Always => true,
        Free => free,
        Full => !free,
        Awaited => awaited,
    };
    TABLE.iter().find(|row| row.from == from && row.event == event && applies(row.when))
}

impl Event {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Joined => "the handshakes are done",
            Interested => "interested",
            NotInterested => "not interested",
            Complete => "it has every piece",
            Reached => "it is first and a slot is free",
            Moved => "its place changed (told every 2 s at most, and every 30 s anyway)",
            Stalled => "it asked for nothing, or took nothing of what it asked for, for 10 s",
            QuantumOver => "it held the slot for 60 s or 64 MiB, and for 10 s at the least",
            Outbid => "among strangers: others gave more, or have their turn (every 10 s)",
            SlotFree => "a slot came free (told 5 s after the last word at the earliest)",
            SlotsTaken => "no slot is free any more (likewise)",
            Leaving => "we leave; what it asked for before still comes",
            Withdrawn => "the file is not what it was",
            Left => "the connection ended (who was queued may come back to its place for 90 s)",
        }
    }
}

impl When {
    pub fn text(self) -> &'static str {
        match self {
            Always => "",
            Free => "a slot is free, nobody waits",
            Full => "otherwise",
            Awaited => "somebody waits",
        }
    }
}

impl Word {
    pub fn text(self) -> &'static str {
        match self {
            Available => "state 0, or 2 if no slot is free",
            Connected => "state 1",
            Unavailable => "state 2",
            Choke => "choke",
            Unchoke => "unchoke",
            Rejects => "a reject for each request not handed over",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_apply_at_once_and_those_with_conditions_are_exhaustive() {
        for from in [Idle, Queued, Active, Away] {
            for row in TABLE.iter().filter(|row| row.from == from) {
                for (free, awaited) in [(false, false), (false, true), (true, false)] {
                    let twins = TABLE.iter().filter(|other| {
                        let found = find(from, row.event, free, awaited);
                        other.from == from
                            && other.event == row.event
                            && found.is_some_and(|found| std::ptr::eq(found, *other))
                    });
                    let optional = row.when == Awaited && !awaited;
                    assert_eq!(twins.count(), usize::from(!optional), "{row:?}");
                }
            }
        }
    }

    #[test]
    fn a_slot_is_told_with_unchoke_and_its_loss_with_choke() {
        for row in TABLE {
            let (had, has) = (row.from == Active, row.to == Active);
            assert_eq!(row.says.contains(&Unchoke), !had && has, "{row:?}");
            let choked = had && !has && row.event != Left;
            assert_eq!(row.says.contains(&Choke), choked, "{row:?}");
            // Who leaves hands over what was asked before.
            let rejected = choked && row.event != Leaving;
            assert_eq!(row.says.contains(&Rejects), rejected, "{row:?}");
            // A state goes before the choke or unchoke it explains.
            let first = row.says.first();
            assert!(!matches!(first, Some(Choke | Unchoke | Rejects)), "{row:?}");
        }
    }
}
