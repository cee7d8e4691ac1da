//! What one peer may do too much of: counts of one conversation, and where they end it.

use crate::core::fault::Fault;
use crate::core::mark::mark;
use crate::core::time::{Span, Time};

/// Messages of unknown type taken before we hang up.
const UNKNOWN_MESSAGES_MAX: u32 = 64;
/// Requests outside the content, or longer than a block, that are refused before we hang up.
const INVALID_REQUESTS_MAX: u32 = 32;
/// Extension handshakes of one conversation: clients send one, and another when something changes.
const INTRODUCTIONS_MAX: u32 = 8;
/// Requests that come for this long after a choke were on their way.
const CHOKE_GRACE: Span = Span::secs(2);
/// Requests taken while choked, after the grace: all that one may have queued here and more.
const CHOKED_REQUESTS_MAX: u32 = 512;

#[derive(Debug)]
pub struct Conduct {
    unknown: u32,
    invalid: u32,
    introductions: u32,
    /// Since when the peer is choked, and what it asked for later than the grace.
    choked_since: Time,
    asked_choked: u32,
}

impl Conduct {
    pub fn new(now: Time) -> Conduct {
        Conduct { unknown: 0, invalid: 0, introductions: 0, choked_since: now, asked_choked: 0 }
    }

    /// We choke it from now on.
    pub fn choked(&mut self, now: Time) {
        self.choked_since = now;
        self.asked_choked = 0;
    }

    pub fn sent_unknown(&mut self) -> Result<(), Fault> {
        self.unknown += 1;
        if self.unknown <= UNKNOWN_MESSAGES_MAX {
            return Ok(());
        }
        mark!("D04");
        Err(Fault::peer("too many messages of unknown types"))
    }

    pub fn asked_wrongly(&mut self) -> Result<(), Fault> {
        self.invalid += 1;
        if self.invalid < INVALID_REQUESTS_MAX {
            return Ok(());
        }
        mark!("D09");
        Err(Fault::peer("too many requests of what is not there"))
    }

    /// A request of one who holds no slot. It is refused; who goes on for ever does not listen.
    pub fn asked_choked(&mut self, now: Time) -> Result<(), Fault> {
        if now.since(self.choked_since) <= CHOKE_GRACE {
            return Ok(());
        }
        self.asked_choked += 1;
        if self.asked_choked <= CHOKED_REQUESTS_MAX {
            return Ok(());
        }
        mark!("D10");
        Err(Fault::peer("too many requests while choked"))
    }

    pub fn introduced(&mut self) -> Result<(), Fault> {
        self.introductions += 1;
        if self.introductions <= INTRODUCTIONS_MAX {
            return Ok(());
        }
        mark!("D25");
        Err(Fault::peer("too many extension handshakes"))
    }
}
