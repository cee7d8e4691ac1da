//! The transition table of a source at our link, as data: a test walks it against the link itself,
//! and `docs/states.md` is made from it. A new event of the link gets its rows here.

use crate::core::report::State::{self, Available, Connected, Unavailable};

/// What a source does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    Unchokes,
    Chokes,
    TellsAvailable,
    TellsUnavailable,
}

/// From where, on what, to where, and what we do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    pub from: State,
    pub event: Event,
    pub to: State,
    pub then: &'static str,
}

const fn row(from: State, event: Event, to: State, then: &'static str) -> Row {
    Row { from, event, to, then }
}

use Event::{Chokes, TellsAvailable, TellsUnavailable, Unchokes};

const ASK: &str = "ask for blocks";
const GIVE_AWAY: &str = "what was asked goes to others";

/// A link begins Unavailable: nothing is known of the source. What is not listed changes nothing.
#[rustfmt::skip]
pub static TABLE: &[Row] = &[
    row(Unavailable, TellsAvailable,   Available,   "say interested, if it has what we lack"),
    row(Unavailable, Unchokes,         Connected,   ASK),
    row(Available,   TellsUnavailable, Unavailable, "wait in its queue; others serve meanwhile"),
    row(Available,   Unchokes,         Connected,   ASK),
    row(Connected,   Chokes,           Unavailable, GIVE_AWAY),
];

impl Event {
    pub fn text(self) -> &'static str {
        match self {
            Unchokes => "it unchokes us",
            Chokes => "it chokes us",
            TellsAvailable => "it tells state 0",
            TellsUnavailable => "it tells state 2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::Time;
    use crate::leecher::link::Link;
    use crate::wire::peer_state::UploadState;

    fn befall(link: &mut Link, event: Event) {
        match event {
            Unchokes => link.got_unchoke(),
            Chokes => link.got_choke(),
            TellsAvailable => link.got_state(UploadState::new(Available)),
            TellsUnavailable => link.got_state(UploadState::new(Unavailable)),
        }
    }

    fn at(state: State) -> Link {
        let mut link = Link::new(Time::ZERO);
        match state {
            Unavailable => {}
            Available => befall(&mut link, TellsAvailable),
            Connected => befall(&mut link, Unchokes),
        }
        assert_eq!(link.state(), state);
        link
    }

    #[test]
    fn every_row_is_walked_and_what_is_not_listed_changes_nothing() {
        for from in [Available, Connected, Unavailable] {
            for event in [Unchokes, Chokes, TellsAvailable, TellsUnavailable] {
                let row = TABLE.iter().find(|row| row.from == from && row.event == event);
                let mut link = at(from);
                befall(&mut link, event);
                assert_eq!(link.state(), row.map_or(from, |row| row.to), "{from:?} {event:?}");
            }
        }
    }
}
