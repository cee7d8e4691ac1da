//! While pieces come in: they are made durable, as far as the disk has room.

use super::{Target, room_for_more};
use crate::content::geometry::Piece;
use crate::core::id::Ticket;
use crate::core::io::{FileOp, Outbox};
use crate::core::time::Time;
use crate::leecher::durable::Durable;
use crate::node::places::directory_of;

impl Target {
    /// Whether nobody would notice that another program changed the part file.
    pub fn is_unguarded(&self) -> bool {
        self.trust.no_times
    }

    /// A piece stands in the part file.
    pub fn stored(&mut self, piece: Piece, now: Time, out: &mut Outbox) {
        if let Some(durable) = &mut self.durable {
            let geometry = &self.content.geometry;
            let span = (geometry.piece_offset(piece), geometry.piece_len(piece));
            durable.stored(piece, span, now, out);
        }
    }

    /// Makes durable what is due. -> whether so much waits for it that no more should be asked for.
    pub fn tend(&mut self, now: Time, out: &mut Outbox) -> bool {
        let Some(durable) = &mut self.durable else { return false };
        durable.go_on(now, out);
        durable.is_full()
    }

    /// Whether nothing more should be asked for because the journal finds no room.
    pub fn waits_for_room(&self) -> bool {
        self.durable.as_ref().is_some_and(Durable::waits_for_room)
    }

    /// Asks how much is free where the file goes.
    pub fn ask_room(&self, out: &mut Outbox) -> Ticket {
        out.file(FileOp::FreeSpace { path: directory_of(&self.path) })
    }

    /// Whether `free` bytes are enough to go on with `missing` to come.
    pub fn has_room(&self, free: u64, missing: u64) -> bool {
        free >= room_for_more(&self.content.geometry, missing)
    }

    pub fn deadline(&self) -> Time {
        self.durable.as_ref().map_or(Time::NEVER, Durable::deadline)
    }

    /// Makes everything durable and ends in order; `Closed` tells when it is done.
    pub fn close(&mut self, now: Time, out: &mut Outbox) {
        if let Some(durable) = &mut self.durable {
            durable.close(now, out);
        }
    }
}
