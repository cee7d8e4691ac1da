//! Three kinds of "no", with no conversion between them: a fault ends one connection, a refusal may
//! be answered, a fatal ends us.

use super::report::Ending;
use std::fmt;

/// Ends one connection. Carries who is to blame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What was wrong, for a log line: `have: index beyond the last piece`.
    pub what: &'static str,
    pub blame: Blame,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blame {
    /// The other side broke the protocol or sent bad data: a strike.
    Peer,
    /// Nobody's fault: we do not need the connection, or it was silent too long.
    Nobody,
}

impl Fault {
    pub const fn peer(what: &'static str) -> Fault {
        Fault { what, blame: Blame::Peer }
    }
    pub const fn nobody(what: &'static str) -> Fault {
        Fault { what, blame: Blame::Nobody }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

/// A request that is not granted, with the code of its protocol (`docs/wire.md`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub code: u8,
    pub what: &'static str,
}

/// Ends the process: how, and the one line that says what, where and what to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fatal {
    pub ending: Ending,
    pub line: String,
}
