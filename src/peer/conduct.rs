//! What one peer may do too much of: counts of one conversation, and where they end it.

use crate::core::fault::Fault;
use crate::core::mark::mark;

/// Messages of unknown type taken before we hang up.
const UNKNOWN_MESSAGES_MAX: u32 = 64;
/// Requests outside the content, or longer than a block, that are refused before we hang up.
const INVALID_REQUESTS_MAX: u32 = 32;
/// Extension handshakes of one conversation: clients send one, and another when something changes.
const INTRODUCTIONS_MAX: u32 = 8;
/// Pieces told again that are always borne, however small the content.
const TOLD_AGAIN_MIN: u32 = 64;

#[derive(Debug, Default)]
pub struct Conduct {
    unknown: u32,
    invalid: u32,
    introductions: u32,
    told_again: u32,
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

    /// A piece told again. Each costs as good as nothing, so much is borne: twice the content.
    pub fn told_again(&mut self, pieces: u32) -> Result<(), Fault> {
        self.told_again = self.told_again.saturating_add(1);
        if self.told_again <= pieces.saturating_mul(2).saturating_add(TOLD_AGAIN_MIN) {
            return Ok(());
        }
        mark!("D07");
        Err(Fault::peer("have: the same pieces again and again"))
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
