//! What one peer may do too much of: counts of one conversation, and where they end it.

use crate::core::fault::Fault;
use crate::core::mark::mark;

/// Messages of unknown type taken before we hang up.
const UNKNOWN_MESSAGES_MAX: u32 = 64;
/// Requests outside the content, or longer than a block, that are refused before we hang up.
const INVALID_REQUESTS_MAX: u32 = 32;
/// Extension handshakes of one conversation: clients send one, and another when something changes.
const INTRODUCTIONS_MAX: u32 = 8;
#[derive(Debug, Default)]
pub struct Conduct {
    unknown: u32,
    invalid: u32,
    introductions: u32,
}

impl Conduct {
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

    pub fn introduced(&mut self) -> Result<(), Fault> {
        self.introductions += 1;
        if self.introductions <= INTRODUCTIONS_MAX {
            return Ok(());
        }
        mark!("D25");
        Err(Fault::peer("too many extension handshakes"))
    }
}
